/*
 * What the files of the frame allocator share. Each has its theory at the top:
 *
 *     magazines.c   the interface, and the frames that each CPU has of its own, in front of
 *     store.c       the store: children of 2 MiB and their bits, single frames
 *     runs.c        aligned runs of 2^order from it
 *     large.c       2 MiB and 1 GiB
 *     place.c       the frames of a place, and what is RAM
 *     trees.c       whose the children are, where CPUs are several; trees.h: the search for one
 *     drain.c       what the magazines of other CPUs hold
 *     clean.c       zeros, made by CPUs that are idle
 *     start.c       taking over RAM
 *     stats.c       counting
 *     check.c       what debug builds look at
 */
#ifndef VM_FRAMES_INTERNAL_H
#define VM_FRAMES_INTERNAL_H

#include "core/base/assert.h"
#include "core/base/string.h"
#include "core/cpu.h"
#include "core/percpu.h"
#include "core/spinlock.h"
#include "machine.h"
#include "vm/frames.h"

/* ---- children: store.c ---- */

#define CHILD_SHIFT 21u
#define CHILD_FRAMES 512u
#define GIB_SHIFT 30u
#define GIB_CHILDREN 512u
#define TREE_CHILDREN 16u /* 32 MiB, where CPUs are several */
#define RANGES_MAX 128

/* State of a child: the free count and these. */
#define COUNT_MASK 0x03ffu
#define BITS_VALID 0x8000u /* the bits say which frames; otherwise the count is 0 or CHILD_FRAMES */
#define EDGE 0x4000u       /* part of it is not ours, or metadata: a put looks at the ranges */
#define FOREIGN 0x2000u    /* none of it is ours */

#define NO_CHILD (~(size_t)0)

#define CHILD_WORDS (CHILD_FRAMES / 64u)
#define SIZE_2M ((size_t)1 << CHILD_SHIFT)

#if QUIRE_THREADS
typedef uint8_t tree_count; /* of children of one tree */
#else
typedef uint16_t tree_count;
#endif

struct group {
    tree_count whole, partial; /* children that are wholly, and partly, free */
};

#if QUIRE_THREADS
#define TREES (store.children / TREE_CHILDREN)
#define GROUP_CHILDREN TREE_CHILDREN
typedef uint8_t tree_place; /* number of a child in its tree; TREE_CHILDREN: none */
#else
#define GROUP_CHILDREN GIB_CHILDREN
typedef size_t tree_place;
#endif

/* What one lock is for: the fields, and the bits of the children. Where CPUs are several, a cache line; elsewhere the
 * only tree is the store, and locks are nothing. */
struct tree {
    paddr_t virgin; /* from here on no frame of the tree was ever handed out */
    struct spinlock_frames lock;
    tree_place lowest_whole, lowest_partial;    /* no child below is wholly, or partly, free: where a search begins */
    tree_place lowest_run[FRAME_RUN_ORDER_MAX]; /* no partly free child below has a free run of that order */
    tree_place highest_run;                     /* none of these is above */
#if QUIRE_THREADS
    uint8_t owner; /* 1 + the CPU whose frames come from here; 0: none */
    uint16_t free; /* frames */
    struct group group;
    uint16_t state[TREE_CHILDREN];
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct tree) == 64, "a tree is a cache line");
#else
};
#endif

struct store {
    struct frame_range ranges[RANGES_MAX], declared[RANGES_MAX];
    size_t range_count, declared_count;
    size_t children;
#if QUIRE_THREADS
    struct tree *tree;
    ptrdiff_t batch; /* frames that a CPU counts by itself before it adds them to frames_stored */
#else
    struct tree tree[1];
    uint16_t *state;
    struct group *group;
#endif
    uint64_t (*bits)[CHILD_WORDS];
    paddr_t metadata_start;
    size_t metadata;
};

extern struct store store;

static inline unsigned cpus(void)
{
    return QUIRE_THREADS ? cpu_count() : 1;
}

static inline struct tree *tree_of(size_t child)
{
#if QUIRE_THREADS
    return &store.tree[child / TREE_CHILDREN];
#else
    (void)child;
    return store.tree;
#endif
}

/* The first child of a child's tree. */
static inline size_t tree_first(size_t child)
{
    return QUIRE_THREADS ? align_down(child, TREE_CHILDREN) : 0;
}

static inline size_t tree_end(size_t child)
{
    return QUIRE_THREADS ? tree_first(child) + TREE_CHILDREN : store.children;
}

#define STORE_STACK 2048u /* bytes of stack, more than what runs with the lock takes */

/* A program's own call may come here without a lock of the address space (vm/lock.h). */
static inline void back_stack(void)
{
#if QUIRE_THREADS
    machine_back_stack(STORE_STACK);
#endif
}

static inline struct tree *lock_tree(size_t child)
{
    struct tree *tree = tree_of(child);

    back_stack();
    spin_lock(&tree->lock);
    return tree;
}

static inline void unlock_tree(struct tree *tree)
{
    spin_unlock(&tree->lock);
}

static inline uint16_t *child_state(size_t child)
{
#if QUIRE_THREADS
    return &tree_of(child)->state[child % TREE_CHILDREN];
#else
    return &store.state[child];
#endif
}

static inline struct group *group_of(size_t child)
{
#if QUIRE_THREADS
    return &tree_of(child)->group;
#else
    return &store.group[child / GROUP_CHILDREN];
#endif
}

static inline unsigned child_free(size_t child)
{
    return *child_state(child) & COUNT_MASK;
}

static inline paddr_t frame_address(size_t child, unsigned index)
{
    return ((paddr_t)child << CHILD_SHIFT) + ((paddr_t)index << VM_PAGE_SHIFT);
}

static inline unsigned frame_index(paddr_t frame)
{
    return (unsigned)(frame >> VM_PAGE_SHIFT) % CHILD_FRAMES;
}

/* The bits [first, first + count) of the word that holds them; the run does not cross words. */
static inline uint64_t bit_run(unsigned first, unsigned count)
{
    return (count == 64 ? ~0ull : (1ull << count) - 1) << (first % 64);
}

void child_set_free(size_t child, unsigned count, unsigned flags);
/* The bits of a child, made valid if they were not. */
uint64_t *child_bits(size_t child);
/* True if all frames of the run, which may cross words, are free, or all are out. */
bool child_run_is(const uint64_t *bits, unsigned first, unsigned count, bool free);
void child_take_run(size_t child, unsigned first, unsigned count);
/* A part of a wholly free child is about to be taken. */
COLD void child_is_split(size_t child);

bool range_is_ours(paddr_t start, paddr_t end);

static inline bool range_is_metadata(paddr_t start, paddr_t end)
{
    return start < store.metadata_start + store.metadata && end > store.metadata_start;
}

/* ---- counting: stats.c ---- */

struct frame_counts {
    uint64_t taken, refills, spills, splits, cleaned; /* as in frame_stats */
};

extern struct frame_counts frame_counts; /* PERCPU */
extern size_t frames_least_free;

/* Frames of 4 KiB that the magazines hold. */
RACY static inline size_t magazines_free(const struct frame_magazines *own)
{
    size_t large = own->of[PAGE_2M][FRAME_DIRTY].count + own->of[PAGE_2M][FRAME_CLEAN].count;

    large += own->uncleaned > 0;
    return own->of[PAGE_4K][FRAME_DIRTY].count + own->of[PAGE_4K][FRAME_CLEAN].count + large * CHILD_FRAMES;
}

/* Frames of 4 KiB that came to the store, or left it: modulo 2^64. */
#if QUIRE_THREADS

extern ptrdiff_t stored_change; /* PERCPU; not in frames_stored yet; at most a batch, either way */
extern bool stored_told;        /* PERCPU; since the least that is free was noted */

COLD void tell_stored(void);
size_t stored(void);

static inline void add_stored(size_t frames)
{
    ptrdiff_t change = this_cpu(stored_change) += (ptrdiff_t)frames;

    if (UNLIKELY(change > store.batch || change < -store.batch))
        tell_stored();
}

#else

static inline void add_stored(size_t frames)
{
    frames_stored += frames;
}

static inline size_t stored(void)
{
    return frames_stored;
}

#endif

COLD void note_least_free(void);

/* Before frames come back to the store, or after large ones left it: what is free is least then. Of several
 * CPUs each looks only after it has told what it counted. */
static inline void note_extreme(void)
{
#if QUIRE_THREADS
    if (LIKELY(!this_cpu(stored_told)) && cpus() > 1)
        return;
    this_cpu(stored_told) = false;
#endif
    note_least_free();
}

/* So many frames more of the tree are free: modulo 2^64. */
static inline void tree_add_free(struct tree *tree, size_t frames)
{
#if QUIRE_THREADS
    tree->free = (uint16_t)(tree->free + frames);
#else
    (void)tree;
#endif
    add_stored(frames);
}

/* Frames of the tree, up to the address, are about to be handed out. */
static inline void note_taken(struct tree *tree, unsigned count, paddr_t end)
{
    this_cpu(frame_counts).taken += count;
    if (end > tree->virgin)
        tree->virgin = end;
}

/* Takes all of a child that is wholly free. */
static inline void child_take(size_t child)
{
    note_taken(tree_of(child), CHILD_FRAMES, frame_address(child + 1, 0));
    child_set_free(child, 0, 0);
}

/* ---- virgin frames: magazines.c ---- */

/*
 * Whoever trusts that virgin frames are zeros asks for the mark before frames are taken. Other CPUs may move it until
 * then: so there it is noted what it was, and of several the highest.
 */
#if QUIRE_THREADS
extern paddr_t virgin_before; /* PERCPU */
#endif

static inline paddr_t virgin_mark(void)
{
#if QUIRE_THREADS
    this_cpu(virgin_before) = 0;
    return frames_trust_virgin ? 0 : FRAME_NONE;
#else
    return frames_trust_virgin ? store.tree->virgin : FRAME_NONE;
#endif
}

/* Before frames of the tree are taken. */
static inline void note_virgin(const struct tree *tree)
{
#if QUIRE_THREADS
    if (tree->virgin > this_cpu(virgin_before))
        this_cpu(virgin_before) = tree->virgin;
#else
    (void)tree;
#endif
}

/* When they are taken: they are zeros from here on. */
static inline paddr_t virgin_mark_then(paddr_t mark)
{
#if QUIRE_THREADS
    return mark == FRAME_NONE ? mark : this_cpu(virgin_before);
#else
    return mark;
#endif
}

/* ---- from the store and back: store.c, large.c ---- */

/* Frames that are being taken: `want` more, as runs of neighbours, for which there are so many places. */
struct taking {
    struct frame_run *runs;
    unsigned count, places, want;
};

/* As far as the store has some and there are places. */
void take_runs(struct taking *taking);

/* A frame of 2 MiB or 1 GiB. Of the first the magazine has none left: no less was free before. */
paddr_t take_large(enum page_size size);
/* All children of a GiB are wholly free. */
RACY bool gib_is_whole(size_t first);

/* A part of a child; single frames; neighbours, whole ones; whatever a range has of these. */
void child_put_run(size_t child, unsigned first, unsigned count);
void put_singles(const paddr_t *frames, unsigned count);
void put_children(size_t child, size_t count);
COLD void put_range(paddr_t start, paddr_t end);

/* ---- magazines: magazines.c, drain.c, place.c ---- */

#define REFILL 32u /* frames of 4 KiB that go between a magazine and the store */

#ifdef QUIRE_FAULT_INJECTION
static inline bool get_fails(void)
{
    return this_cpu(frames_failing) > 0 && --this_cpu(frames_failing) == 0;
}
#else
static inline bool get_fails(void)
{
    return false;
}
#endif

/*
 * Around what moves frames between magazines and the store: they are in neither, so another CPU that wants them waits
 * (drain_others), and this one may be asked meanwhile, where it waits for a lock. Nests.
 */
static inline void begin_moving(struct frame_magazines *own)
{
#if QUIRE_THREADS
    __atomic_store_n(&own->moving, own->moving + 1, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
#else
    (void)own;
#endif
}

static inline void end_moving(struct frame_magazines *own)
{
#if QUIRE_THREADS
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    __atomic_store_n(&own->moving, own->moving - 1, __ATOMIC_RELAXED);
#else
    (void)own;
#endif
}

static inline paddr_t pop(enum page_size size, enum frame_state state)
{
    struct frame_magazine *own = frame_magazine(size, state);

    return size <= PAGE_2M && own->count > 0 ? own->frames[--own->count] : FRAME_NONE;
}

/* Fills the magazine of single frames, which is empty; the highest are last. */
void refill(void);

/* What the magazines of the other CPUs hold goes to the store. They are interrupted: for who would have to refuse
 * memory otherwise. False: there are no others. */
#if QUIRE_THREADS
COLD bool drain_others(bool large);
#else
static inline bool drain_others(bool large)
{
    (void)large;
    return false;
}

#endif

/* True if a frame of the range is in a magazine. */
RACY COLD bool magazines_hold(const struct frame_magazines *own, paddr_t start, paddr_t end);

/* ---- debugging: check.c ---- */

/* Panics if the frame is not out: a put is seen at once; release builds see it when the magazine is emptied. */
#ifdef QUIRE_DEBUG
void check_is_out(paddr_t frame, size_t size);
#else
static inline void check_is_out(paddr_t frame, size_t size)
{
    (void)frame, (void)size;
}
#endif

#endif
