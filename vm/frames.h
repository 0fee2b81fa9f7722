/*
 * Frames: who owns which part of RAM.
 *
 * frame_get hands out frames of 4 KiB, 2 MiB and 1 GiB; frame_get_run aligned runs of 2^order 4 KiB frames. The
 * caller owns what it got until it puts it back; a 2 MiB frame or a run may be put back in any smaller pieces.
 * Contents are undefined. Exhaustion is an ordinary result (FRAME_NONE). Putting back what is not out is a
 * caller's bug: debug builds panic at once; release builds when the frame leaves the magazine it was put into for the
 * common store, so a frame that was put twice may have been handed out twice before. Each CPU takes 4 KiB and 2 MiB
 * frames from magazines of its own.
 */
#ifndef VM_FRAMES_H
#define VM_FRAMES_H

#include "core/base/error.h"
#include "core/base/types.h"
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

paddr_t frame_get(enum page_size size);
void frame_put(paddr_t frame, enum page_size size);

/* 2^order contiguous frames aligned to their length; order <= FRAME_RUN_ORDER_MAX. */
paddr_t frame_get_run(unsigned order);
void frame_put_run(paddr_t first, unsigned order);

/* Exactly [start, start + size): E_BUSY if any frame of it is out, E_INVAL if it is not all RAM of ours. */
error_t frame_take(paddr_t start, size_t size);

/* Tells what else is RAM, though not ours to hand out: the image, boot modules. Copied; at most 128 ranges. */
void frames_declare_ram(const struct frame_range *ranges, size_t count);

/* True if any byte of the range is RAM, ours or declared. */
bool frames_overlap(paddr_t start, uint64_t size);

/* Frames of 4 KiB that are not handed out, those in magazines included. Constant time. */
size_t frames_free(void);

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
    /* The least that was ever free, as seen whenever a magazine spilled and large frames came back: of what came and
     * went in between, runs of frames and fewer single ones than a magazine holds are not in it. */
    size_t least_free;
    uint64_t taken;           /* 4 KiB frames that have left the store */
    uint64_t refills, spills; /* of magazines with single frames */
    uint64_t splits;          /* whole 2 MiB of which a smaller piece was taken */
};
struct frame_stats frames_stats(void);

/* Bytes of frames that were zeroed: for the program, for structures and page tables. */
extern uint64_t frames_zeroed;

/* Zeroes whole pages of RAM, and counts them. */
static inline void frame_zero(void *start, size_t size)
{
    frames_zeroed += size;
    machine_zero_pages(start, size);
}

/* Returns what the magazines of the running CPU hold to the common store. */
void frames_drain(void);

#ifdef QUIRE_FAULT_INJECTION
/* The nth following get of any kind fails once (0: the next one); negative: none does. */
void frames_fail_nth(long nth);
#endif

#endif
