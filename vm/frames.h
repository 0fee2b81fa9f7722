/*
 * Frames: who owns which part of RAM.
 *
 * frame_get hands out frames of 4 KiB, 2 MiB and 1 GiB of undefined contents, frame_get_zeroed of zeros;
 * frame_get_run aligned runs of 2^order 4 KiB frames, and frames_get many single ones. The caller owns what it got
 * until it puts it back; a 2 MiB frame or a run may be put back in any smaller pieces. Exhaustion is an ordinary result
 * (FRAME_NONE). Putting back what is not out is a caller's bug: debug builds panic at once; release builds when the
 * frame leaves the magazine it was put into for the common store, so a frame that was put twice may have been handed
 * out twice before.
 *
 * Each CPU takes 4 KiB and 2 MiB frames from magazines of its own, which are here so that the usual get and put stand
 * where they are asked for. A frame in them is dirty, or clean: known to be zeros.
 */
#ifndef VM_FRAMES_H
#define VM_FRAMES_H

#include "core/base/error.h"
#include "core/base/types.h"
#include "core/percpu.h"
#include "machine.h"
#include "vm/mmu.h" /* FRAME_NONE */

#define FRAME_RUN_ORDER_MAX 9 /* 2 MiB */

struct frame_range {
    paddr_t start, end; /* page aligned, end exclusive */
};

/*
 * Takes over the given RAM ranges (sorted, disjoint); metadata is carved out of them. phys_to_virt() must work for
 * all of it. Nothing in proportion to RAM is touched but about 66 bytes of metadata per 2 MiB, of which 64 only when
 * that 2 MiB is first split; holes between the ranges count as RAM here. E_NOMEM if the ranges cannot hold their own
 * metadata.
 */
error_t frames_init(const struct frame_range *ranges, size_t count);

enum frame_state { FRAME_DIRTY, FRAME_CLEAN, FRAME_STATES };

#define FRAME_MAGAZINE_MAX 64u

struct frame_magazine {
    unsigned count;
    paddr_t frames[FRAME_MAGAZINE_MAX]; /* the last one put is the next one got */
};

struct frame_magazines {
    struct frame_magazine of[PAGE_2M + 1][FRAME_STATES]; /* 2 MiB: at most FRAME_MAGAZINE_2M */
    size_t reserved;                                     /* the 2 MiB that single frames come from */
    paddr_t cleaning;                                    /* 2 MiB of which so many bytes at the end */
    size_t uncleaned;                                    /* are not zeroed yet; none: there is no such frame */
    unsigned moving;                                     /* frames are on their way from or to the store */
};

#define FRAME_MAGAZINE_2M 8u
#if QUIRE_THREADS
extern unsigned frame_magazine_2m; /* fewer where RAM is small, as each CPU has some */
#else
#define frame_magazine_2m FRAME_MAGAZINE_2M
#endif

extern struct frame_magazines frame_magazines; /* PERCPU */

/* Of 1 GiB there are none. */
static inline struct frame_magazine *frame_magazine(enum page_size size, enum frame_state state)
{
    return &this_cpu(frame_magazines).of[size == PAGE_4K ? PAGE_4K : PAGE_2M][state];
}

static inline unsigned frame_magazine_places(enum page_size size)
{
    return size == PAGE_4K ? FRAME_MAGAZINE_MAX : frame_magazine_2m;
}

#ifdef QUIRE_FAULT_INJECTION
/* The nth following get of any kind on this CPU fails once (0: the next one); negative: none does. */
void frames_fail_nth(long nth);
extern long frames_failing; /* PERCPU; which one fails, from 1 on; 0: none */
#define FRAMES_MAY_FAIL (this_cpu(frames_failing) > 0)
#else
#define FRAMES_MAY_FAIL 0
#endif

paddr_t frame_get(enum page_size size);
void frame_put(paddr_t frame, enum page_size size);
/* A frame of zeros. */
paddr_t frame_get_zeroed(enum page_size size);
/* Has so many frames of zeros in the CPU's magazine, as far as there are frames and places: for who wants them soon,
 * and has no time then. */
void frames_prepare_zeroed(enum page_size size, unsigned count);
/* Puts back a frame that is all zeros, as it should be handed out to the next who wants zeros. */
void frame_put_clean(paddr_t frame, enum page_size size);

/* Frames of 2 MiB that follow each other, at most `most`: the first, and how many they are. FRAME_NONE. */
paddr_t frames_get_large(size_t most, size_t *count);

/* Many frames of 4 KiB at once: the number of those that there are. Neighbours take a few instructions each. */
unsigned frames_get(paddr_t *frames, unsigned count);
void frames_put(const paddr_t *frames, unsigned count);
/* The same for frames of any size that follow each other: a few instructions for each word of bits, or 2 MiB. */
void frames_put_neighbours(paddr_t first, enum page_size size, size_t count);

static inline paddr_t frame_run_end(struct frame_run run)
{
    return run.first + ((paddr_t)run.count << VM_PAGE_SHIFT);
}

/* At most `count` frames of 4 KiB, of zeros if they are to be, as runs of any length: the number of runs, at most
 * `places`. Fewer frames than asked for: there are no more, or no places. Neighbours take next to nothing each. What
 * magazines hold is left to frames_get_hot while there is anything else. */
unsigned frames_get_runs(struct frame_run *runs, unsigned places, unsigned count, bool zeroed);

/* Frames of 4 KiB that follow each other, from this one on, all in one 2 MiB: false: not all are free in the store, as
 * none beyond RAM is. */
bool frames_get_at(paddr_t first, unsigned count);
/* Those, or else the same ones of a 2 MiB that is wholly free, as long as there are many of these: the first, or
 * FRAME_NONE. */
paddr_t frames_get_beside(paddr_t first, unsigned count);

#ifdef QUIRE_DEBUG
/* Panic if the frame is not out, or is clean and not zeros; a dirty one gets a pattern. */
void frame_check_put(paddr_t frame, enum page_size size, enum frame_state state);
paddr_t frame_check_zeroed(paddr_t frame);
/* The same for frames in the magazine's room. */
void frames_check_filled(unsigned count);
#else
static inline void frame_check_put(paddr_t frame, enum page_size size, enum frame_state state)
{
    (void)frame, (void)size, (void)state;
}
static inline paddr_t frame_check_zeroed(paddr_t frame)
{
    return frame;
}
static inline void frames_check_filled(unsigned count)
{
    (void)count;
}
#endif

/* A frame of that state from the magazine, if it has one: FRAME_NONE does not mean that there is none. */
static inline paddr_t frame_get_hot(enum page_size size, enum frame_state state)
{
    struct frame_magazine *own = frame_magazine(size, state);

    if (UNLIKELY(FRAMES_MAY_FAIL || own->count == 0))
        return FRAME_NONE;
    paddr_t frame = own->frames[--own->count];

    if (frame == FRAME_NONE)
        __builtin_unreachable(); /* so that the caller's comparison goes */
    return frame;
}

/* Puts the frame into the magazine; false: it is full. */
static inline bool frame_put_hot(paddr_t frame, enum page_size size, enum frame_state state)
{
    struct frame_magazine *own = frame_magazine(size, state);

    frame_check_put(frame, size, state);
    if (UNLIKELY(own->count == frame_magazine_places(size)))
        return false;
    own->frames[own->count++] = frame;
    return true;
}

/* So many frames of 4 KiB of that state from the magazine, where they stand until the next put; NULL: it has less. */
static inline const paddr_t *frames_get_hot(unsigned count, enum frame_state state)
{
    struct frame_magazine *own = frame_magazine(PAGE_4K, state);

    if (FRAMES_MAY_FAIL || own->count < count)
        return NULL;
    own->count -= count;
    for (unsigned i = 0; state == FRAME_CLEAN && i < count; i++)
        frame_check_zeroed(own->frames[own->count + i]);
    return own->frames + own->count;
}

/* Room for so many dirty frames of 4 KiB in the magazine; NULL: it has less. Who writes frames there puts them, as many
 * as frames_put_filled then tells. */
static inline paddr_t *frames_put_room(size_t count)
{
    struct frame_magazine *own = frame_magazine(PAGE_4K, FRAME_DIRTY);

    return LIKELY(own->count + count <= FRAME_MAGAZINE_MAX) ? own->frames + own->count : NULL;
}

static inline void frames_put_filled(size_t count)
{
    struct frame_magazine *own = frame_magazine(PAGE_4K, FRAME_DIRTY);

    frames_check_filled((unsigned)count);
    own->count += (unsigned)count;
}

/* 2^order contiguous frames aligned to their length; order <= FRAME_RUN_ORDER_MAX. */
paddr_t frame_get_run(unsigned order);
void frame_put_run(paddr_t first, unsigned order);

/* Exactly [start, start + size): E_BUSY if any frame of it is out, E_INVAL if it is not all RAM of ours. */
error_t frame_take(paddr_t start, size_t size);

/* Tells what else is RAM, though not ours to hand out: the image, boot modules. Copied; at most 128 ranges. */
void frames_declare_ram(const struct frame_range *ranges, size_t count);

/* True if any byte of the range is RAM, ours or declared. */
bool frames_overlap(paddr_t start, uint64_t size);

/* Frames of 4 KiB that are not handed out, those in magazines included: a look at each CPU, which may be changing it.
 */
size_t frames_free(void);
/* Those of them that no magazine holds. Several CPUs count by themselves for a while: there are that many at least. */
extern size_t frames_stored;
#if QUIRE_THREADS
size_t frames_stored_at_least(void);
#else
static inline size_t frames_stored_at_least(void)
{
    return frames_stored;
}
#endif

/* What gives back frames that are kept to be used again (malloc's heap does); NULL: nobody keeps any. For whoever is
 * about to refuse memory, outside of faults. */
extern void (*frames_reclaim)(void);

struct frame_stats {
    size_t total;   /* 4 KiB frames managed, metadata excluded */
    size_t free;    /* of them not handed out; magazines count as free */
    size_t free_2m; /* whole 2 MiB frames among them, magazines not counted */
    size_t free_1g;
    size_t metadata; /* bytes */
    paddr_t highest; /* end of the last range */
    /* The least that was ever free, as seen whenever a magazine spilled and large frames left the store: of what came
     * and went in between, runs of frames and fewer single ones than a magazine holds are not in it. */
    size_t least_free;
    uint64_t taken;           /* 4 KiB frames that have left the store */
    uint64_t refills, spills; /* of magazines with single frames */
    uint64_t splits;          /* whole 2 MiB of which a smaller piece was taken */
    size_t clean;             /* of the free ones: known to be zeros */
    uint64_t cleaned;         /* bytes that frames_clean has zeroed */
    uint64_t zeroed;          /* bytes of frames that were zeroed for whoever asked for zeros */
};
struct frame_stats frames_stats(void);

/* Bytes of frames that this CPU has zeroed: for the program, for structures and page tables. */
extern uint64_t frames_zeroed; /* PERCPU */

/* Zeroes whole pages of RAM, and counts them. */
static inline void frame_zero(void *start, size_t size)
{
    this_cpu(frames_zeroed) += size;
    machine_zero_pages(start, size);
}

/* A frame of zeros that a magazine has or makes of its own at once; FRAME_NONE does not mean that there is none. */
static inline paddr_t frame_get_zeroed_hot(void)
{
    paddr_t frame = frame_get_hot(PAGE_4K, FRAME_CLEAN);

    if (frame != FRAME_NONE)
        return frame_check_zeroed(frame);
    frame = frame_get_hot(PAGE_4K, FRAME_DIRTY);
    if (LIKELY(frame != FRAME_NONE))
        frame_zero(phys_to_virt(frame), VM_PAGE_SIZE);
    return frame;
}

/* For a CPU that has nothing else to do: cleans a piece of a frame that its magazines hold, of at most 32 KiB: who may
 * be wanted looks after each. False: its magazines of clean ones have what they should, or those of all CPUs hold an
 * eighth of what is free. RAM that was never used is left alone. */
bool frames_clean(void);

/* Frames that were never handed out are zeros: they are, where the hypervisor or the firmware has cleared RAM. */
extern bool frames_trust_virgin;

/* Returns what the magazines of the running CPU hold to the common store. */
void frames_drain(void);

#endif
