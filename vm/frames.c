/*
 * Frames.
 *
 * RAM is divided into children of 2 MiB, as in LLFree (Wrenger et al., "LLFree: Scalable and Optionally-Persistent
 * Page-Frame Allocation", USENIX ATC 2023). A child has a count of its free frames and 512 bits, one a frame (set:
 * free). While all of a child is free, or all of it is out, the bits are not looked at and not even initialised: so a
 * 2 MiB frame costs one store, and starting up touches 2 bytes for each 2 MiB. Children are grouped by GiB; a group
 * counts its wholly free and its partly free children, which makes the search for either short and a 1 GiB frame
 * a comparison.
 *
 * In front of that store each CPU has magazines (Bonwick, Adams, "Magazines and Vmem", USENIX 2001): small
 * stacks of frames, so that the usual get and put are a load and a store, and a frame that is reused is still in the
 * cache. Frames in a magazine look handed out to the store. Single frames come from the child that the CPU has
 * reserved, so that they stay together and other children stay whole. Between store and magazines they go many at
 * once, by words of the bits.
 *
 * Where CPUs are several (QUIRE_THREADS), 16 children are a tree: a cache line with a lock, counts and the children's
 * states. As in LLFree each CPU has trees of its own, one that its single frames come from and one for 2 MiB, and moves
 * to another when it has none left: the lowest that is nobody's. So CPUs that keep to their own memory write to no line
 * that another one uses, and find no lock taken; one that is freed on another CPU than it was got on costs that CPU's
 * lock. Only when all trees are somebody's are they shared. At most one lock is held, but for 1 GiB and frame_take,
 * which take those of all their trees in order. What is stored is counted by each CPU, which tells it to all by
 * batches. Elsewhere the only tree is the store, and locks are nothing.
 *
 * A frame is refused only if there is none anywhere: before, all CPUs are asked for what their magazines hold, by one
 * CPU at a time. They chain their frames, without a lock, as they may be asked at any time; who is in the middle of
 * moving some is asked again.
 *
 * A frame is virgin (never handed out: above a mark, as the lowest are handed out first), clean (all zeros) or dirty.
 * Only magazines tell clean from dirty: who wants zeros takes clean ones first, and who does not, dirty ones.
 * Clean are those that came back so (emptied page tables), that an idle CPU has zeroed, and, if the image was built to
 * trust that RAM is zeros at boot, virgin ones.
 */
#include "vm/frames.h"

#include "core/base/assert.h"
#include "core/base/string.h"
#include "core/cpu.h"
#include "core/percpu.h"
#include "core/spinlock.h"
#include "machine.h"

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

#define WORD_SHIFT (VM_PAGE_SHIFT + 6u) /* 64 frames: a word of bits */
#define CHILD_WORDS (CHILD_FRAMES / 64u)

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

/* What one lock is for: the fields, and the bits of the children. Where CPUs are several, a cache line. */
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

static struct {
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
} store;

static size_t least_free;

static PERCPU struct {
    uint64_t taken, refills, spills, splits, cleaned; /* as in frame_stats */
} counts;

PERCPU uint64_t frames_zeroed;

size_t frames_stored __attribute__((aligned(64)));

bool frames_trust_virgin __attribute__((aligned(64)));

#define REFILL 32u          /* frames of 4 KiB that go between a magazine and the store */
#define FEW 4u              /* frames for which the magazine is filled, where it is empty: for the next ones, too */
#define RUNS 16u            /* of neighbours that are taken from the store before they are looked at */
#define CLEAN_2M 2u         /* frames of 2 MiB that an idle CPU keeps clean, of those that were used */
#define CLEAN_PART 8u       /* of what is free so much is kept clean by several CPUs */
#define CLEAN_PIECE 0x8000u /* bytes of them that it zeroes before it looks around */
#define TREE_FREE_GOOD                                                                                                 \
    (TREE_CHILDREN * CHILD_FRAMES / 16)     /* frames that a tree should have for whoever moves there                  \
                                             */
#define TREE_LARGE_GOOD (TREE_CHILDREN / 4) /* or 2 MiB */
#define MAGAZINES_PART 16u /* of all frames: what the magazine of 2 MiB of each CPU holds at most, or 1 */
#define BATCH_PART 256u    /* of all frames: what each CPU counts by itself, */
#define BATCH_MIN 1024u    /* or 4 MiB, so that 2 MiB are less, */
#define BATCH_MAX 4096u    /* and at most 16 MiB */
#define SPLIT_PART 4u /* runs are taken of whole 2 MiB while these are more than so many times those in part free */
#define SIZE_2M ((size_t)1 << CHILD_SHIFT)

PERCPU struct frame_magazines frame_magazines;
#if QUIRE_THREADS
unsigned frame_magazine_2m;
#endif

/*
 * Whoever trusts that virgin frames are zeros asks for the mark before frames are taken. Other CPUs may move it until
 * then: so there it is noted what it was, and of several the highest.
 */
#if QUIRE_THREADS
static PERCPU paddr_t virgin_before;
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

#ifdef QUIRE_FAULT_INJECTION
PERCPU long frames_failing;

void frames_fail_nth(long nth)
{
    this_cpu(frames_failing) = nth + 1;
}

static bool get_fails(void)
{
    return this_cpu(frames_failing) > 0 && --this_cpu(frames_failing) == 0;
}
#else
static inline bool get_fails(void)
{
    return false;
}
#endif

static inline unsigned cpus(void)
{
    return QUIRE_THREADS ? cpu_count() : 1;
}

/* Frames of 4 KiB that the magazines hold. */
RACY static size_t magazines_free(const struct frame_magazines *own)
{
    size_t large = own->of[PAGE_2M][FRAME_DIRTY].count + own->of[PAGE_2M][FRAME_CLEAN].count;

    large += own->uncleaned > 0;
    return own->of[PAGE_4K][FRAME_DIRTY].count + own->of[PAGE_4K][FRAME_CLEAN].count + large * CHILD_FRAMES;
}

/* Frames of 4 KiB that came to the store, or left it: modulo 2^64. */
#if QUIRE_THREADS

static PERCPU ptrdiff_t stored_change; /* not in frames_stored yet; at most a batch, either way */
static PERCPU bool stored_told;        /* since the least that is free was noted */

COLD static __attribute__((noinline)) void tell_stored(void)
{
    __atomic_fetch_add(&frames_stored, (size_t)this_cpu(stored_change), __ATOMIC_RELAXED);
    this_cpu(stored_change) = 0;
    this_cpu(stored_told) = true;
}

static inline void add_stored(size_t frames)
{
    ptrdiff_t change = this_cpu(stored_change) += (ptrdiff_t)frames;

    if (UNLIKELY(change > store.batch || change < -store.batch))
        tell_stored();
}

size_t frames_stored_at_least(void)
{
    size_t told = __atomic_load_n(&frames_stored, __ATOMIC_RELAXED), untold = cpus() * (size_t)store.batch;

    return told > untold ? told - untold : 0;
}

RACY static size_t stored(void)
{
    size_t sum = __atomic_load_n(&frames_stored, __ATOMIC_RELAXED);

    for (unsigned cpu = 0; cpu < cpus(); cpu++)
        sum += (size_t)cpu_variable(cpu, stored_change);
    return (ptrdiff_t)sum < 0 ? 0 : sum; /* while CPUs were looked at, others took what these had put */
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

RACY size_t frames_free(void)
{
    size_t free = stored();

    for (unsigned cpu = 0; cpu < cpus(); cpu++)
        free += magazines_free(&cpu_variable(cpu, frame_magazines));
    return free;
}

static COLD __attribute__((noinline)) void note_least_free(void)
{
    size_t free = frames_free(), least = __atomic_load_n(&least_free, __ATOMIC_RELAXED);

    if (!QUIRE_THREADS && free < least)
        least_free = free;
    while (QUIRE_THREADS && free < least &&
           !__atomic_compare_exchange_n(&least_free, &least, free, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

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

/* ---- children ---- */

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

static __attribute__((noinline)) void child_set_free(size_t child, unsigned count, unsigned flags)
{
    struct group *group = group_of(child);
    struct tree *tree = tree_of(child);
    uint16_t *state = child_state(child);
    unsigned old = *state & COUNT_MASK;
    tree_place place = (tree_place)(child - tree_first(child));

    group->whole = (tree_count)(group->whole - (old == CHILD_FRAMES) + (count == CHILD_FRAMES));
    group->partial =
        (tree_count)(group->partial - (old > 0 && old < CHILD_FRAMES) + (count > 0 && count < CHILD_FRAMES));
    tree_add_free(tree, (size_t)count - old);
    *state = (uint16_t)(count | flags | (*state & EDGE));
    if (count == CHILD_FRAMES && place < tree->lowest_whole)
        tree->lowest_whole = place;
    if (count > 0 && count < CHILD_FRAMES && place < tree->lowest_partial)
        tree->lowest_partial = place;
}

static inline paddr_t frame_address(size_t child, unsigned index)
{
    return ((paddr_t)child << CHILD_SHIFT) + ((paddr_t)index << VM_PAGE_SHIFT);
}

static inline unsigned frame_index(paddr_t frame)
{
    return (unsigned)(frame >> VM_PAGE_SHIFT) % CHILD_FRAMES;
}

/* The bits of a child, made valid if they were not. */
static uint64_t *child_bits(size_t child)
{
    uint64_t *bits = store.bits[child];

    if (!(*child_state(child) & BITS_VALID)) {
        memset(bits, child_free(child) ? 0xff : 0, sizeof(store.bits[child]));
        *child_state(child) |= BITS_VALID;
    }
    return bits;
}

/* The bits [first, first + count) of the word that holds them; the run does not cross words. */
static inline uint64_t bit_run(unsigned first, unsigned count)
{
    return (count == 64 ? ~0ull : (1ull << count) - 1) << (first % 64);
}

/* True if all frames of the run, which may cross words, are free, or all are out. */
static bool child_run_is(const uint64_t *bits, unsigned first, unsigned count, bool free)
{
    while (count > 0) {
        unsigned part = 64 - first % 64 < count ? 64 - first % 64 : count;
        uint64_t mask = bit_run(first, part);

        if ((bits[first / 64] & mask) != (free ? mask : 0))
            return false;
        first += part;
        count -= part;
    }
    return true;
}

static void child_run_flip(uint64_t *bits, unsigned first, unsigned count)
{
    while (count > 0) {
        unsigned part = 64 - first % 64 < count ? 64 - first % 64 : count;

        bits[first / 64] ^= bit_run(first, part);
        first += part;
        count -= part;
    }
}

/* Frames of the tree, up to the address, are about to be handed out. */
static inline void note_taken(struct tree *tree, unsigned count, paddr_t end)
{
    this_cpu(counts).taken += count;
    if (end > tree->virgin)
        tree->virgin = end;
}

static void child_take_run(size_t child, unsigned first, unsigned count)
{
    note_taken(tree_of(child), count, frame_address(child, first) + ((paddr_t)count << VM_PAGE_SHIFT));
    if (count == CHILD_FRAMES) {
        child_set_free(child, 0, 0);
        return;
    }
    child_run_flip(child_bits(child), first, count);
    child_set_free(child, child_free(child) - count, BITS_VALID);
}

static bool range_is_ours(paddr_t start, paddr_t end)
{
    for (size_t i = 0; i < store.range_count; i++) {
        if (start < end && start >= store.ranges[i].start && end <= store.ranges[i].end)
            return true;
    }
    return false;
}

static inline bool range_is_metadata(paddr_t start, paddr_t end)
{
    return start < store.metadata_start + store.metadata && end > store.metadata_start;
}

/* The child is, or has become, partly free in another way. */
static inline void runs_may_be_in(size_t child)
{
    struct tree *tree = tree_of(child);
    tree_place place = (tree_place)(child - tree_first(child));

    if (LIKELY(place >= tree->highest_run))
        return;
    for (unsigned order = 0; order < FRAME_RUN_ORDER_MAX; order++) {
        if (place < tree->lowest_run[order])
            tree->lowest_run[order] = place;
    }
    tree->highest_run = place;
}

/* A part of a wholly free child is about to be taken. */
COLD static void child_is_split(size_t child)
{
    this_cpu(counts).splits++;
    runs_may_be_in(child);
}

/* Before its tree is locked: panics if there is none. */
static inline void check_child(size_t child, paddr_t frame)
{
    if (QUIRE_THREADS)
        CHECK(child < store.children, "frame_put: %#llx is not RAM of ours", (unsigned long long)frame);
}

/* Panics unless [start, end), which is inside the child, is RAM that is handed out. */
static inline void check_ours(size_t child, paddr_t start, paddr_t end)
{
    CHECK(child < store.children && !(*child_state(child) & FOREIGN), "frame_put: %#llx is not RAM of ours",
          (unsigned long long)start);
    if (UNLIKELY(*child_state(child) & EDGE))
        CHECK(range_is_ours(start, end) && !range_is_metadata(start, end), "frame_put: %#llx is not RAM of ours",
              (unsigned long long)start);
}

/* A part of a child. */
static void child_put_run(size_t child, unsigned first, unsigned count)
{
    paddr_t start = frame_address(child, first);

    check_child(child, start);
    struct tree *tree = lock_tree(child);

    check_ours(child, start, start + ((paddr_t)count << VM_PAGE_SHIFT));
    uint64_t *bits = child_bits(child);

    CHECK(child_run_is(bits, first, count, false), "frame_put: %#llx is free already", (unsigned long long)start);
    child_run_flip(bits, first, count);
    unsigned free = child_free(child) + count;
    child_set_free(child, free, free == CHILD_FRAMES ? 0 : BITS_VALID);
    runs_may_be_in(child);
    unlock_tree(tree);
}

/* Neighbours of one tree that have so many free frames, none or all, have the other number then: how many children, up
 * to the first that is not so, at most `most`. */
static size_t set_children(size_t first, size_t most, unsigned from, unsigned to)
{
    size_t child = first, end = first + most, begin, seam;

    do {
        begin = child;
        seam = align_down(child, GROUP_CHILDREN) + GROUP_CHILDREN;
        seam = seam < end ? seam : end;
        while (child < seam && (*child_state(child) & ~BITS_VALID) == from)
            *child_state(child++) = (uint16_t)to;
        group_of(begin)->whole += (tree_count)(to > from ? child - begin : begin - child);
    } while (child == seam && child < end);
    tree_add_free(tree_of(first), (child - first) * ((size_t)to - from));
    return child - first;
}

/* Neighbours of one tree, whole ones: how many, up to the first that is not out. */
static size_t put_tree_children(size_t child, size_t count)
{
    struct tree *tree = lock_tree(child);
    tree_place place = (tree_place)(child - tree_first(child));

    if (place < tree->lowest_whole)
        tree->lowest_whole = place;
    size_t put = set_children(child, count, 0, CHILD_FRAMES);

    unlock_tree(tree);
    return put;
}

/* Neighbours, whole ones. */
static void put_children(size_t child, size_t count)
{
    CHECK(child + count <= store.children, "frame_put: %#llx is not RAM of ours",
          (unsigned long long)frame_address(child, 0));
    size_t end = child + count, part, put;

    do {
        part = !QUIRE_THREADS || end < tree_end(child) ? end - child : tree_end(child) - child;
        put = put_tree_children(child, part);
        child += put;
    } while (QUIRE_THREADS && put == part && child < end);
    CHECK(put == part, "frame_put: %#llx is %s", (unsigned long long)frame_address(child, 0),
          child_free(child) ? "free already" : "not RAM of ours");
}

COLD static void put_range(paddr_t start, paddr_t end)
{
    while (start < end) {
        size_t child = start >> CHILD_SHIFT, count = (end - start) >> VM_PAGE_SHIFT;
        unsigned first = frame_index(start);

        if (first == 0 && count >= CHILD_FRAMES) {
            count -= count % CHILD_FRAMES;
            put_children(child, count / CHILD_FRAMES);
        } else {
            count = count < CHILD_FRAMES - first ? count : CHILD_FRAMES - first;
            child_put_run(child, first, (unsigned)count);
        }
        start += (paddr_t)count << VM_PAGE_SHIFT;
    }
}

/* Frames of one word, in a child that is not all ours: what they span is, or each is looked at. */
COLD static __attribute__((noinline)) void check_word(paddr_t word, uint64_t mask)
{
    paddr_t start = word << WORD_SHIFT, first = start + ((paddr_t)__builtin_ctzll(mask) << VM_PAGE_SHIFT);
    paddr_t end = start + ((paddr_t)(64 - __builtin_clzll(mask)) << VM_PAGE_SHIFT);

    if (LIKELY(range_is_ours(first, end) && !range_is_metadata(first, end)))
        return;
    for (; mask; mask &= mask - 1) {
        first = start + ((paddr_t)__builtin_ctzll(mask) << VM_PAGE_SHIFT);
        check_ours(first >> CHILD_SHIFT, first, first + VM_PAGE_SIZE);
    }
}

/* Sets the bits of the first frames of the array, as many as lie in the same word; the number of them. whole: all of
 * the child is ours. */
static inline unsigned put_word(uint64_t *bits, const paddr_t *frames, unsigned count, bool whole)
{
    paddr_t word = frames[0] >> WORD_SHIFT;
    uint64_t mask = 0, *free = &bits[word % CHILD_WORDS];
    unsigned n = 0;

    do
        mask |= 1ull << (frames[n] >> VM_PAGE_SHIFT) % 64;
    while (++n < count && frames[n] >> WORD_SHIFT == word);
    if (UNLIKELY(!whole))
        check_word(word, mask);
    CHECK(!(*free & mask) && (n == 1 || (unsigned)__builtin_popcountll(mask) == n),
          "frame_put: one of the frames from %#llx on is free already", (unsigned long long)(word << WORD_SHIFT));
    *free |= mask;
    return n;
}

/* Puts the first frames of the array, as many as lie in the same child; the number of them. */
static unsigned put_child(const paddr_t *frames, unsigned count)
{
    size_t child = frames[0] >> CHILD_SHIFT;
    unsigned n = 0;

    CHECK(child < store.children && !(*child_state(child) & FOREIGN), "frame_put: %#llx is not RAM of ours",
          (unsigned long long)frames[0]);
    bool whole = !(*child_state(child) & EDGE);
    uint64_t *bits = child_bits(child);

    do
        n += put_word(bits, frames + n, count - n, whole);
    while (n < count && frames[n] >> CHILD_SHIFT == child);
    unsigned free = child_free(child) + n;

    child_set_free(child, free, free == CHILD_FRAMES ? 0 : BITS_VALID);
    runs_may_be_in(child);
    return n;
}

/* Children of one tree are done with its lock held once. */
static void put_singles(const paddr_t *frames, unsigned count)
{
    while (count > 0) {
        check_child(frames[0] >> CHILD_SHIFT, frames[0]);
        struct tree *tree = lock_tree(frames[0] >> CHILD_SHIFT);

        do {
            unsigned put = put_child(frames, count);

            frames += put;
            count -= put;
        } while (count > 0 && tree_of(frames[0] >> CHILD_SHIFT) == tree);
        unlock_tree(tree);
    }
}

/* ---- searching ---- */

static bool child_is(size_t child, bool partial)
{
    unsigned free = child_free(child);

    return partial ? free > 0 && free < CHILD_FRAMES : free == CHILD_FRAMES;
}

/* The first child of the tree that begins there which is partly free, or else wholly free; groups without one are
 * passed over. */
static inline __attribute__((always_inline)) size_t find_child(size_t begin, bool partial)
{
    struct tree *tree = tree_of(begin);
    tree_place *lowest = partial ? &tree->lowest_partial : &tree->lowest_whole;
    size_t end = tree_end(begin);

    for (size_t child = begin + *lowest; child < end; child++) {
        const struct group *group = group_of(child);

        if (!(partial ? group->partial : group->whole)) {
            child |= GROUP_CHILDREN - 1;
            continue;
        }
        if (child_is(child, partial)) {
            *lowest = (tree_place)(child - begin);
            return child;
        }
    }
    *lowest = (tree_place)(end - begin);
    return NO_CHILD;
}

/* ---- which tree ---- */

enum use { SINGLES, LARGE, USES }; /* of frames: single ones and runs, or 2 MiB as a whole */

#if QUIRE_THREADS

static PERCPU struct tree *own_trees[USES];

static inline size_t tree_begin(const struct tree *tree)
{
    return (size_t)(tree - store.tree) * TREE_CHILDREN;
}

RACY static bool tree_has(const struct tree *tree, enum use use)
{
    return use == LARGE ? tree->group.whole > 0 : tree->free > 0;
}

/* How well the tree suits a CPU that needs another one: a look from outside is a guess. */
enum fit { GOOD, UNOWNED, ANY, FITS };

RACY static bool tree_fits(const struct tree *tree, enum use use, enum fit fit)
{
    if (!tree_has(tree, use))
        return false;
    if (fit == ANY)
        return true;
    if (tree->owner != 0 && tree->owner != 1 + cpu_number())
        return false;
    if (fit == UNOWNED)
        return true;
    return use == LARGE ? tree->group.whole >= TREE_LARGE_GOOD
                        : tree->group.partial > 0 && tree->free >= TREE_FREE_GOOD;
}

/* Takes the lock; the tree becomes this CPU's own if it is nobody's. False: it does not fit after all, or somebody is
 * there just now, as long as there may be others. */
static bool take_tree(struct tree *tree, enum use use, enum fit fit)
{
    if (fit == ANY)
        spin_lock(&tree->lock);
    else if (!spin_try(&tree->lock))
        return false;
    if (!tree_fits(tree, use, fit)) {
        unlock_tree(tree);
        return false;
    }
    if (tree->owner == 0)
        tree->owner = (uint8_t)(1 + cpu_number());
    this_cpu(own_trees)[use] = tree;
    return true;
}

/* The lowest that fits best, so that 1 GiB stay whole above; CPUs that must share trees begin at different ones. */
COLD static __attribute__((noinline)) struct tree *other_tree(enum use use)
{
    size_t shared = TREES * cpu_number() / cpus();

    for (enum fit fit = GOOD; fit < FITS; fit++) {
        for (size_t i = 0; i < TREES; i++) {
            struct tree *tree = &store.tree[fit == ANY ? (i + shared) % TREES : i];

            if (tree_fits(tree, use, fit) && take_tree(tree, use, fit))
                return tree;
        }
    }
    return NULL;
}

/* The tree that this CPU's frames come from, which has some, with its lock held. NULL: no tree has any. */
static struct tree *lock_tree_for(enum use use)
{
    struct tree *tree = this_cpu(own_trees)[use];

    back_stack();
    if (UNLIKELY(tree == NULL))
        return other_tree(use);
    spin_lock(&tree->lock);
    if (LIKELY(tree_has(tree, use)))
        return tree;
    this_cpu(own_trees)[use] = NULL;
    if (tree->owner == 1 + cpu_number() && this_cpu(own_trees)[USES - 1 - use] != tree)
        tree->owner = 0;
    unlock_tree(tree);
    return other_tree(use);
}

#else

static inline size_t tree_begin(const struct tree *tree)
{
    (void)tree;
    return 0;
}

static inline struct tree *lock_tree_for(enum use use)
{
    (void)use;
    return lock_tree(0);
}

#endif

/* Frames that are being taken: `want` more, as runs of neighbours, for which there are so many places. */
struct taking {
    struct frame_run *runs;
    unsigned count, places, want;
};

/* Adds frames to the last run if they come behind it, else as one more; false: there is no place. */
static inline bool add_frames(struct taking *taking, paddr_t first, unsigned count)
{
    struct frame_run *last = taking->runs + taking->count - 1;

    if (taking->count > 0 && frame_run_end(*last) == first)
        last->count += count;
    else if (UNLIKELY(taking->count == taking->places))
        return false;
    else
        taking->runs[taking->count++] = (struct frame_run){.first = first, .count = count};
    taking->want -= count;
    return true;
}

/* Free frames of a word, whose first one is given, from the lowest on. */
static inline void word_take(uint64_t *word, paddr_t first, struct taking *taking)
{
    uint64_t left = *word;

    while (left && taking->want > 0) {
        unsigned at = (unsigned)__builtin_ctzll(left);
        uint64_t behind = ~(left >> at);
        unsigned run = behind ? (unsigned)__builtin_ctzll(behind) : 64;

        run = run < taking->want ? run : taking->want;
        if (!add_frames(taking, first + ((paddr_t)at << VM_PAGE_SHIFT), run))
            break;
        left ^= bit_run(at, run);
    }
    *word = left;
}

/* The lowest of one that is partly free. */
static void partial_take(size_t child, struct taking *taking)
{
    uint64_t *bits = child_bits(child);
    unsigned want = taking->want;

    for (uint64_t *word = bits; word < bits + CHILD_WORDS && taking->want > 0; word++) {
        if (*word != 0)
            word_take(word, frame_address(child, (unsigned)(word - bits) * 64), taking);
    }
    child_set_free(child, child_free(child) - (want - taking->want), BITS_VALID);
    note_taken(tree_of(child), want - taking->want, frame_run_end(taking->runs[taking->count - 1]));
}

/* The first of one that is wholly free, or all of it. */
static void whole_take(size_t child, struct taking *taking)
{
    unsigned count = taking->want < CHILD_FRAMES ? taking->want : CHILD_FRAMES;

    if (!add_frames(taking, frame_address(child, 0), count))
        return;
    if (count < CHILD_FRAMES)
        child_is_split(child);
    child_take_run(child, 0, count);
}

/* The child that single frames come from, with the lock of its tree held. NO_CHILD: no child has any. */
static inline size_t lock_child(struct frame_magazines *own)
{
    struct tree *tree = lock_tree_for(SINGLES);

    if (QUIRE_THREADS && UNLIKELY(tree == NULL))
        return NO_CHILD;
    size_t begin = tree_begin(tree), child = own->reserved;

    if (LIKELY(child - begin < tree_end(begin) - begin && child_free(child) > 0))
        return child;
    child = find_child(begin, true);
    if (child == NO_CHILD)
        child = find_child(begin, false);
    own->reserved = child;
    if (child == NO_CHILD)
        unlock_tree(tree);
    return child;
}

/* From the store, as far as it has some and there are places. */
static void take_runs(struct frame_magazines *own, struct taking *taking)
{
    while (taking->want > 0 && taking->count < taking->places) {
        size_t child = lock_child(own);

        if (child == NO_CHILD)
            break;
        note_virgin(tree_of(child));
        if (child_free(child) == CHILD_FRAMES)
            whole_take(child, taking);
        else
            partial_take(child, taking);
        unlock_tree(tree_of(child));
    }
}

/* The same one by one: the number of them. */
static unsigned take_singles(struct frame_magazines *own, paddr_t *frames, unsigned want)
{
    struct frame_run runs[RUNS];
    struct taking taking = {.runs = runs, .places = RUNS, .want = want};
    paddr_t *next = frames;

    do {
        taking.count = 0;
        take_runs(own, &taking);
        for (const struct frame_run *run = runs; run < runs + taking.count; next += run++->count) {
            for (unsigned i = 0; i < run->count; i++)
                next[i] = run->first + ((paddr_t)i << VM_PAGE_SHIFT);
        }
    } while (taking.want > 0 && taking.count > 0);
    return want - taking.want;
}

/* The first aligned free run of 2^order frames in the child, or CHILD_FRAMES. */
COLD static unsigned child_find_run(size_t child, unsigned order)
{
    static const uint64_t aligned[] = {
        ~0ull, 0x5555555555555555, 0x1111111111111111, 0x0101010101010101, 0x0001000100010001, 0x0000000100000001, 1};
    unsigned length = 1u << order;

    if (child_free(child) < length)
        return CHILD_FRAMES;
    uint64_t *bits = child_bits(child);

    for (unsigned first = 0; first < CHILD_FRAMES; first += length < 64 ? 64 : length) {
        if (length >= 64) {
            if (child_run_is(bits, first, length, true))
                return first;
            continue;
        }
        uint64_t runs = bits[first / 64];

        for (unsigned shift = 1; shift < length; shift *= 2)
            runs &= runs >> shift;
        runs &= aligned[order];
        if (runs)
            return first + (unsigned)__builtin_ctzll(runs);
    }
    return CHILD_FRAMES;
}

static void begin_runs_at(struct tree *tree, unsigned order, size_t place)
{
    tree->lowest_run[order] = (tree_place)place;
    if (place > tree->highest_run)
        tree->highest_run = (tree_place)place;
}

/* The lowest partly free child of the tree with a free run of that order: where in it, or CHILD_FRAMES: none has. */
COLD static unsigned find_run(struct tree *tree, unsigned order, size_t *child)
{
    size_t begin = tree_begin(tree);

    for (size_t c = begin + tree->lowest_run[order]; c < tree_end(begin); c++) {
        unsigned first;

        if (!group_of(c)->partial) {
            c |= GROUP_CHILDREN - 1;
            continue;
        }
        if (child_free(c) == CHILD_FRAMES || (first = child_find_run(c, order)) == CHILD_FRAMES)
            continue;
        *child = c;
        begin_runs_at(tree, order, c - begin);
        return first;
    }
    begin_runs_at(tree, order, tree_end(begin) - begin);
    return CHILD_FRAMES;
}

/* Of one tree: from the child that single frames come from, from another one, from one that is wholly free. */
COLD static paddr_t tree_take_run(struct tree *tree, size_t reserved, unsigned order)
{
    size_t begin = tree_begin(tree), child = reserved;
    unsigned first = child - begin < tree_end(begin) - begin ? child_find_run(child, order) : CHILD_FRAMES;

    if (first == CHILD_FRAMES)
        first = find_run(tree, order, &child);
    if (first == CHILD_FRAMES) {
        child = find_child(begin, false);
        if (child == NO_CHILD)
            return FRAME_NONE;
        first = 0;
        child_is_split(child);
    }
    child_take_run(child, first, 1u << order);
    return frame_address(child, first);
}

#if QUIRE_THREADS
/* From whichever tree has one. */
COLD static paddr_t take_run_anywhere(size_t reserved, unsigned order)
{
    paddr_t first = FRAME_NONE;

    for (struct tree *tree = store.tree; tree < store.tree + TREES && first == FRAME_NONE; tree++) {
        if (!tree_fits(tree, SINGLES, ANY))
            continue;
        spin_lock(&tree->lock);
        first = tree_take_run(tree, reserved, order);
        unlock_tree(tree);
    }
    return first;
}
#endif

COLD static paddr_t take_run(struct frame_magazines *own, unsigned order)
{
    struct tree *tree = lock_tree_for(SINGLES);

    if (QUIRE_THREADS && tree == NULL)
        return FRAME_NONE;
    paddr_t first = tree_take_run(tree, own->reserved, order);

    unlock_tree(tree);
#if QUIRE_THREADS
    if (first == FRAME_NONE)
        first = take_run_anywhere(own->reserved, order);
#endif
    return first;
}

static paddr_t take_2m(void)
{
    struct tree *tree = lock_tree_for(LARGE);

    if (QUIRE_THREADS && tree == NULL)
        return FRAME_NONE;
    note_virgin(tree);
    size_t child = find_child(tree_begin(tree), false);

    if (child != NO_CHILD)
        child_take_run(child, 0, CHILD_FRAMES);
    unlock_tree(tree);
    return child != NO_CHILD ? frame_address(child, 0) : FRAME_NONE;
}

/* Neighbours of one tree from one on that is wholly free, with its lock held: how many, at most `most`. */
static size_t take_tree_children(size_t first, size_t most)
{
    struct tree *tree = tree_of(first);
    size_t left = tree_end(first) - first, count = set_children(first, most < left ? most : left, CHILD_FRAMES, 0);

    tree->lowest_whole = (tree_place)(first + count - tree_first(first));
    note_taken(tree, (unsigned)count * CHILD_FRAMES, frame_address(first + count, 0));
    return count;
}

#if QUIRE_THREADS
/* The next ones, in trees that no CPU has. */
static size_t take_next_children(size_t first, size_t most)
{
    size_t count = 0, part;

    do {
        size_t child = first + count;

        if (count == most || child >= store.children || child != tree_first(child) ||
            !tree_fits(tree_of(child), LARGE, UNOWNED))
            break;
        struct tree *tree = lock_tree(child);

        part = child_free(child) == CHILD_FRAMES ? take_tree_children(child, most - count) : 0;
        count += part;
        unlock_tree(tree);
    } while (part == TREE_CHILDREN);
    return count;
}
#endif

/* Neighbours, at most `most` wholly free ones: the first frame of 2 MiB, or FRAME_NONE. */
static paddr_t take_children(size_t most, size_t *count)
{
    struct tree *tree = lock_tree_for(LARGE);

    if (QUIRE_THREADS && tree == NULL)
        return FRAME_NONE;
    size_t first = find_child(tree_begin(tree), false);

    if (first != NO_CHILD)
        *count = take_tree_children(first, most);
    unlock_tree(tree);
    if (first == NO_CHILD)
        return FRAME_NONE;
#if QUIRE_THREADS
    *count += take_next_children(first + *count, most - *count);
#endif
    return frame_address(first, 0);
}

/* ---- several trees at once ---- */

/* Of all children from one on up to another; in this order by all CPUs, which else hold one at most. */
COLD static void lock_trees(size_t first, size_t last)
{
    for (size_t child = tree_first(first); child <= last; child = tree_end(child))
        lock_tree(child);
}

COLD static void unlock_trees(size_t first, size_t last)
{
    for (size_t child = tree_first(first); child <= last; child = tree_end(child))
        unlock_tree(tree_of(child));
}

/* All children of a GiB are wholly free. */
RACY static bool gib_is_whole(size_t first)
{
    size_t child = first;

    if (store.children < first + GIB_CHILDREN)
        return false;
    while (child < first + GIB_CHILDREN && group_of(child)->whole == GROUP_CHILDREN)
        child += GROUP_CHILDREN;
    return child == first + GIB_CHILDREN;
}

/* With all its trees locked. */
COLD static bool take_gib(size_t first)
{
    if (!gib_is_whole(first))
        return false;
    for (size_t child = first; child < first + GIB_CHILDREN; child++) {
        note_virgin(tree_of(child));
        child_take_run(child, 0, CHILD_FRAMES);
    }
    return true;
}

static paddr_t take_1g(void)
{
    for (size_t first = 0; first < store.children; first += GIB_CHILDREN) {
        if (!gib_is_whole(first))
            continue;
        lock_trees(first, first + GIB_CHILDREN - 1);
        bool taken = take_gib(first);

        unlock_trees(first, first + GIB_CHILDREN - 1);
        if (taken)
            return frame_address(first, 0);
    }
    return FRAME_NONE;
}

/* ---- the way back ---- */

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

COLD void frames_drain(void)
{
    struct frame_magazines *own = &this_cpu(frame_magazines);

    begin_moving(own);
    for (unsigned state = 0; state < FRAME_STATES; state++) {
        struct frame_magazine *single = &own->of[PAGE_4K][state], *large = &own->of[PAGE_2M][state];

        put_singles(single->frames, single->count);
        single->count = 0;
        while (large->count > 0)
            put_children(large->frames[--large->count] >> CHILD_SHIFT, 1);
    }
    if (own->uncleaned > 0)
        put_children(own->cleaning >> CHILD_SHIFT, 1);
    own->uncleaned = 0;
    end_moving(own);
}

#if QUIRE_THREADS

/* What CPUs are asked for: their frames come as a chain, each of which says which is the next and how large it is. */
struct draining {
    bool large;    /* those of 2 MiB alone */
    uint64_t busy; /* CPUs that are moving frames just now */
    paddr_t first; /* FRAME_NONE: the end */
};

struct link {
    paddr_t next;
    enum page_size size;
};

static void chain_push(paddr_t *first, paddr_t frame, enum page_size size)
{
    struct link *link = phys_to_virt(frame);

    link->size = size;
    link->next = __atomic_load_n(first, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(first, &link->next, frame, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        ;
}

/* On the CPU that is asked. */
COLD static void give_frames(void *argument)
{
    struct draining *draining = argument;
    struct frame_magazines *own = &this_cpu(frame_magazines);

    if (own->moving > 0 || cpu_is_inside_core()) {
        __atomic_fetch_or(&draining->busy, 1ull << cpu_number(), __ATOMIC_RELAXED);
        return;
    }
    for (unsigned i = draining->large ? FRAME_STATES : 0; i < 2 * FRAME_STATES; i++) {
        enum page_size size = i < FRAME_STATES ? PAGE_4K : PAGE_2M;
        struct frame_magazine *magazine = &own->of[size][i % FRAME_STATES];

        while (magazine->count > 0)
            chain_push(&draining->first, magazine->frames[--magazine->count], size);
    }
    if (own->uncleaned > 0)
        chain_push(&draining->first, own->cleaning, PAGE_2M);
    own->uncleaned = 0;
}

/* CPUs besides this one that have frames, or are moving some. */
RACY COLD static uint64_t cpus_with_frames(bool large)
{
    uint64_t mask = 0;

    for (unsigned cpu = 0; cpu < cpus(); cpu++) {
        const struct frame_magazines *other = &cpu_variable(cpu, frame_magazines);

        if (cpu != cpu_number() && (magazines_free(other) >= (large ? CHILD_FRAMES : 1) || other->moving > 0))
            mask |= 1ull << cpu;
    }
    return mask;
}

static struct spinlock_draining draining_lock;

/* What the magazines of the other CPUs hold goes to the store. They are interrupted: for who would have to refuse
 * memory otherwise. One at a time, for what is on its way from one CPU nobody else finds: who waited here looks after
 * that. False: there are no others. */
COLD static bool drain_others(bool large)
{
    if (cpus() == 1)
        return false;
    back_stack();
    spin_lock(&draining_lock);
    struct draining draining = {.large = large, .busy = cpus_with_frames(large), .first = FRAME_NONE};

    while (draining.busy != 0)
        cpu_call(__atomic_exchange_n(&draining.busy, 0, __ATOMIC_RELAXED), give_frames, &draining);
    while (draining.first != FRAME_NONE) {
        paddr_t frame = draining.first;
        struct link link = *(struct link *)phys_to_virt(frame);

        draining.first = link.next;
        if (link.size == PAGE_4K)
            put_singles(&frame, 1);
        else
            put_children(frame >> CHILD_SHIFT, 1);
    }
    spin_unlock(&draining_lock);
    return true;
}

#else

static inline bool drain_others(bool large)
{
    (void)large;
    return false;
}

#endif

/* ---- the interface ---- */

static paddr_t pop(enum page_size size, enum frame_state state)
{
    struct frame_magazine *own = frame_magazine(size, state);

    return size <= PAGE_2M && own->count > 0 ? own->frames[--own->count] : FRAME_NONE;
}

/* Single frames from `virgin` on go to the magazine of clean ones, as far as there is room. */
static __attribute__((noinline, cold)) void sort_out_virgin(struct frame_magazines *own, paddr_t virgin)
{
    struct frame_magazine *dirty = &own->of[PAGE_4K][FRAME_DIRTY], *clean = &own->of[PAGE_4K][FRAME_CLEAN];

    while (dirty->count > 0 && dirty->frames[dirty->count - 1] >= virgin && clean->count < FRAME_MAGAZINE_MAX)
        clean->frames[clean->count++] = dirty->frames[--dirty->count];
}

/* Fills the magazine of single frames, which is empty; the highest are last. */
static void refill(struct frame_magazines *own)
{
    struct frame_magazine *dirty = &own->of[PAGE_4K][FRAME_DIRTY];
    paddr_t virgin = virgin_mark();

    begin_moving(own);
    dirty->count = take_singles(own, dirty->frames, REFILL);
    end_moving(own);
    this_cpu(counts).refills++;
    if (UNLIKELY(frames_trust_virgin))
        sort_out_virgin(own, virgin_mark_then(virgin));
}

/* From the store. When it is asked for large frames the magazine has none left: no less was free before. */
static paddr_t take(struct frame_magazines *own, enum page_size size)
{
    if (size == PAGE_4K) {
        refill(own);
        return pop(PAGE_4K, FRAME_DIRTY);
    }
    paddr_t frame = size == PAGE_2M ? take_2m() : take_1g();

    note_extreme();
    return frame;
}

static paddr_t get(struct frame_magazines *own, enum page_size size)
{
    paddr_t frame;

    if ((frame = pop(size, FRAME_DIRTY)) != FRAME_NONE || (frame = take(own, size)) != FRAME_NONE ||
        (frame = pop(size, FRAME_CLEAN)) != FRAME_NONE)
        return frame;
    frames_drain();
    if ((frame = take(own, size)) != FRAME_NONE || !drain_others(size > PAGE_4K))
        return frame;
    return take(own, size);
}

static __attribute__((noinline)) paddr_t get_failing(enum page_size size)
{
    return get_fails() ? FRAME_NONE : get(&this_cpu(frame_magazines), size);
}

paddr_t frame_get(enum page_size size)
{
    paddr_t frame = LIKELY(size <= PAGE_2M) ? frame_get_hot(size, FRAME_DIRTY) : FRAME_NONE;

    return LIKELY(frame != FRAME_NONE) ? frame : get_failing(size);
}

static __attribute__((noinline)) paddr_t get_zeroed(enum page_size size)
{
    struct frame_magazines *own = &this_cpu(frame_magazines);
    paddr_t frame, virgin = virgin_mark();

    if (get_fails())
        return FRAME_NONE;
    if ((frame = pop(size, FRAME_CLEAN)) != FRAME_NONE)
        return frame_check_zeroed(frame);
    frame = virgin != FRAME_NONE && size > PAGE_4K ? take(own, size) : FRAME_NONE;
    virgin = virgin_mark_then(virgin);
    if (frame == FRAME_NONE) {
        frame = get(own, size); /* which need not be one that was just taken */
        virgin = QUIRE_THREADS ? FRAME_NONE : virgin;
    }
    if (frame != FRAME_NONE && frame < virgin)
        frame_zero(phys_to_virt(frame), page_bytes(size));
    return frame;
}

paddr_t frame_get_zeroed(enum page_size size)
{
    paddr_t frame = LIKELY(size == PAGE_4K) ? frame_get_zeroed_hot() : FRAME_NONE;

    return LIKELY(frame != FRAME_NONE) ? frame : get_zeroed(size);
}

COLD void frames_prepare_zeroed(enum page_size size, unsigned count)
{
    const struct frame_magazine *clean = frame_magazine(size, FRAME_CLEAN);

    while (clean->count < count && clean->count < frame_magazine_places(size)) {
        paddr_t frame = frame_get_hot(size, FRAME_DIRTY);

        if (frame == FRAME_NONE)
            frame = frame_get(size);
        if (frame == FRAME_NONE)
            return;
        frame_zero(phys_to_virt(frame), page_bytes(size));
        frame_put_clean(frame, size);
    }
}

paddr_t frames_get_large(size_t most, size_t *count)
{
    struct frame_magazine *hot = frame_magazine(PAGE_2M, FRAME_DIRTY);
    paddr_t first = frame_get_hot(PAGE_2M, FRAME_DIRTY);

    *count = 1;
    if (first != FRAME_NONE) {
        for (; *count < most && hot->count > 0 && hot->frames[hot->count - 1] == first + *count * SIZE_2M; ++*count)
            hot->count--;
        return first;
    }
    if (UNLIKELY(FRAMES_MAY_FAIL) || (first = take_children(most, count)) == FRAME_NONE)
        return frame_get(PAGE_2M);
    note_extreme();
    return first;
}

/* The half of the magazine that was put first goes to the store. */
static void spill(struct frame_magazine *own)
{
    this_cpu(counts).spills++;
    note_extreme();
    begin_moving(&this_cpu(frame_magazines));
    put_singles(own->frames, FRAME_MAGAZINE_MAX - REFILL);
    own->count = REFILL;
    memmove(own->frames, own->frames + FRAME_MAGAZINE_MAX - REFILL, REFILL * sizeof(own->frames[0]));
    end_moving(&this_cpu(frame_magazines));
}

COLD static __attribute__((noinline)) void put_overflow(paddr_t frame, enum page_size size)
{
    struct frame_magazine *own = frame_magazine(size, FRAME_DIRTY);

    CHECK(is_aligned(frame, page_bytes(size)), "frame_put: %#llx is misaligned", (unsigned long long)frame);
    if (size == PAGE_4K) {
        if (own->count == FRAME_MAGAZINE_MAX)
            spill(own);
        own->frames[own->count++] = frame;
        return;
    }
    note_extreme();
    put_children(frame >> CHILD_SHIFT, page_bytes(size) >> CHILD_SHIFT);
}

void frame_put(paddr_t frame, enum page_size size)
{
    if (UNLIKELY(size > PAGE_2M))
        frame_check_put(frame, size, FRAME_DIRTY);
    if (UNLIKELY(size > PAGE_2M || !frame_put_hot(frame, size, FRAME_DIRTY)))
        put_overflow(frame, size);
}

void frame_put_clean(paddr_t frame, enum page_size size)
{
    if (UNLIKELY(!frame_put_hot(frame, size, FRAME_CLEAN)))
        put_overflow(frame, size);
}

unsigned frames_get(paddr_t *frames, unsigned count)
{
    struct frame_magazines *own = &this_cpu(frame_magazines);
    struct frame_magazine *hot = &own->of[PAGE_4K][FRAME_DIRTY];
    unsigned got;

    if (get_fails())
        return 0;
    got = count < hot->count ? count : hot->count;
    hot->count -= got;
    memcpy(frames, hot->frames + hot->count, got * sizeof(frames[0])); /* in this order they are neighbours, if any */
    got += take_singles(own, frames + got, count - got);
    if (LIKELY(got == count))
        return got;
    frames_drain();
    got += take_singles(own, frames + got, count - got);
    if (got < count && drain_others(false))
        got += take_singles(own, frames + got, count - got);
    return got;
}

/* What is behind `virgin` is zeros. */
static void zero_runs(const struct frame_run *runs, unsigned count, paddr_t virgin)
{
    for (const struct frame_run *run = runs; run < runs + count; run++) {
        paddr_t end = frame_run_end(*run) < virgin ? frame_run_end(*run) : virgin;

        if (run->first < end)
            frame_zero(phys_to_virt(run->first), end - run->first);
    }
}

unsigned frames_get_runs(struct frame_run *runs, unsigned places, unsigned count, bool zeroed)
{
    struct frame_magazines *own = &this_cpu(frame_magazines);
    struct taking taking = {.runs = runs, .places = places, .want = count};
    paddr_t virgin = virgin_mark();

    if (get_fails())
        return 0;
    take_runs(own, &taking);
    if (UNLIKELY(taking.want > 0 && taking.count < taking.places)) {
        frames_drain();
        take_runs(own, &taking);
        if (taking.want > 0 && taking.count < taking.places && drain_others(false))
            take_runs(own, &taking);
    }
    virgin = virgin_mark_then(virgin);
    if (count <= FEW && own->of[PAGE_4K][FRAME_DIRTY].count == 0)
        refill(own);
    if (zeroed)
        zero_runs(taking.runs, taking.count, virgin);
    return taking.count;
}

void frames_put(const paddr_t *frames, unsigned count)
{
    struct frame_magazine *hot = frame_magazine(PAGE_4K, FRAME_DIRTY);

    for (unsigned i = 0; i < count; i++)
        frame_check_put(frames[i], PAGE_4K, FRAME_DIRTY);
    if (count > FRAME_MAGAZINE_MAX - hot->count) {
        note_extreme();
        put_singles(frames, count);
        return;
    }
    memcpy(hot->frames + hot->count, frames, count * sizeof(frames[0]));
    hot->count += count;
}

void frames_put_neighbours(paddr_t first, enum page_size size, size_t count)
{
    struct frame_magazine *hot = frame_magazine(PAGE_2M, FRAME_DIRTY);
    paddr_t end = first + (count << page_shift(size));
    unsigned room = size == PAGE_2M ? frame_magazine_places(PAGE_2M) - hot->count : 0;

    CHECK(is_aligned(first, page_bytes(size)), "frame_put: %#llx is misaligned", (unsigned long long)first);
    for (paddr_t frame = first; frame < end; frame += page_bytes(size))
        frame_check_put(frame, size, FRAME_DIRTY);
    room = count < room ? (unsigned)count : room;
    for (unsigned i = room; i-- > 0;) /* the lowest is the next one got */
        hot->frames[hot->count++] = first + i * SIZE_2M;
    note_extreme();
    put_range(first + room * SIZE_2M, end);
}

/* ---- cleaning ---- */

static inline unsigned clean_2m_most(void)
{
    return frame_magazine_places(PAGE_2M) < CLEAN_2M ? frame_magazine_places(PAGE_2M) : CLEAN_2M;
}

/* A piece of 2 MiB; true while there is more to do. */
static bool clean_2m(struct frame_magazines *own)
{
    if (own->uncleaned == 0) {
        if (own->of[PAGE_2M][FRAME_CLEAN].count >= clean_2m_most() ||
            (own->cleaning = pop(PAGE_2M, FRAME_DIRTY)) == FRAME_NONE)
            return false;
        own->uncleaned = SIZE_2M;
    }
    own->uncleaned -= CLEAN_PIECE;
    frame_zero((char *)phys_to_virt(own->cleaning) + own->uncleaned, CLEAN_PIECE);
    this_cpu(counts).cleaned += CLEAN_PIECE;
    if (own->uncleaned == 0)
        frame_put_clean(own->cleaning, PAGE_2M);
    return true;
}

/* Single frames; false if there is nothing to do. */
static bool clean_4k(struct frame_magazines *own)
{
    const struct frame_magazine *dirty = &own->of[PAGE_4K][FRAME_DIRTY], *clean = &own->of[PAGE_4K][FRAME_CLEAN];
    unsigned done = 0;

    while (done < CLEAN_PIECE && clean->count < FRAME_MAGAZINE_MAX) {
        if (dirty->count == 0 && stored() >= REFILL)
            refill(own);
        if (dirty->count == 0)
            break;
        paddr_t frame = pop(PAGE_4K, FRAME_DIRTY);

        frame_zero(phys_to_virt(frame), VM_PAGE_SIZE);
        frame_put_clean(frame, PAGE_4K);
        done += VM_PAGE_SIZE;
    }
    this_cpu(counts).cleaned += done;
    return done > 0;
}

#if QUIRE_THREADS

/* Frames of 4 KiB that are clean, or are becoming so. */
RACY static size_t clean_frames(void)
{
    size_t clean = 0;

    for (unsigned cpu = 0; cpu < cpus(); cpu++) {
        const struct frame_magazines *own = &cpu_variable(cpu, frame_magazines);

        clean += own->of[PAGE_4K][FRAME_CLEAN].count;
        clean += (own->of[PAGE_2M][FRAME_CLEAN].count + (own->uncleaned > 0)) * (size_t)CHILD_FRAMES;
    }
    return clean;
}

/* A CPU that has got frames before, which are then its own trees', and as long as all have not made too many. */
static bool may_clean(void)
{
    bool has_tree = this_cpu(own_trees)[SINGLES] != NULL || this_cpu(own_trees)[LARGE] != NULL;

    return has_tree && clean_frames() < frames_free() / CLEAN_PART;
}

#else

static inline bool may_clean(void)
{
    return true;
}

#endif

COLD bool frames_clean(void)
{
    struct frame_magazines *own = &this_cpu(frame_magazines);

    if (!may_clean())
        return false;
    begin_moving(own); /* it may be interrupted */
    bool done = clean_4k(own) || clean_2m(own);

    end_moving(own);
    return done;
}

/* ---- debugging ---- */

/* True if a frame of the range is in a magazine. */
RACY COLD static bool magazines_hold(const struct frame_magazines *own, paddr_t start, paddr_t end)
{
    for (unsigned i = 0; i < 2 * FRAME_STATES; i++) {
        enum page_size size = i < FRAME_STATES ? PAGE_4K : PAGE_2M;
        const struct frame_magazine *magazine = &own->of[size][i % FRAME_STATES];

        for (unsigned k = 0; k < magazine->count; k++) {
            if (magazine->frames[k] < end && magazine->frames[k] + page_bytes(size) > start)
                return true;
        }
    }
    return own->uncleaned > 0 && own->cleaning < end && own->cleaning + SIZE_2M > start;
}

#ifdef QUIRE_DEBUG

#define POISON 0xdb
#define POISON_BYTES 64u /* at the beginning: enough to tell a dirty frame */

static bool is_zeros(paddr_t frame, size_t size)
{
    const uint64_t *words = phys_to_virt(frame);

    for (size_t i = 0; i < size / sizeof(words[0]); i++) {
        if (words[i] != 0)
            return false;
    }
    return true;
}

/* A put is seen at once; release builds see it when the magazine is emptied. */
static void check_is_out(paddr_t frame, size_t size)
{
    paddr_t last = frame + size - 1;
    size_t child = frame >> CHILD_SHIFT;

    CHECK(is_aligned(frame, size), "frame_put: %#llx is misaligned", (unsigned long long)frame);
    CHECK(range_is_ours(frame, last + 1) && !range_is_metadata(frame, last + 1), "frame_put: %#llx is not RAM of ours",
          (unsigned long long)frame);
    CHECK(!magazines_hold(&this_cpu(frame_magazines), frame, last + 1), "frame_put: %#llx is free already",
          (unsigned long long)frame);
    for (paddr_t at = frame; at < last; child++, at = (paddr_t)child << CHILD_SHIFT) {
        struct tree *tree = lock_tree(child);
        unsigned count = size < SIZE_2M ? (unsigned)(size >> VM_PAGE_SHIFT) : CHILD_FRAMES;
        bool out = *child_state(child) & BITS_VALID ? child_run_is(store.bits[child], frame_index(at), count, false)
                                                    : child_free(child) == 0;

        unlock_tree(tree);
        CHECK(out, "frame_put: %#llx is free already", (unsigned long long)at);
    }
}

void frame_check_put(paddr_t frame, enum page_size size, enum frame_state state)
{
    check_is_out(frame, page_bytes(size));
    if (state == FRAME_CLEAN)
        CHECK(is_zeros(frame, page_bytes(size)), "frame_put_clean: %#llx is dirty", (unsigned long long)frame);
    else if (size == PAGE_4K)
        memset(phys_to_virt(frame), POISON, POISON_BYTES);
}

/* A look takes a lock: while that is waited for the magazine is not to be emptied. */
void frames_check_filled(unsigned count)
{
    struct frame_magazines *own = &this_cpu(frame_magazines);
    const struct frame_magazine *dirty = &own->of[PAGE_4K][FRAME_DIRTY];

    begin_moving(own);
    for (unsigned i = 0; i < count; i++)
        frame_check_put(dirty->frames[dirty->count + i], PAGE_4K, FRAME_DIRTY);
    end_moving(own);
}

paddr_t frame_check_zeroed(paddr_t frame)
{
    CHECK(is_zeros(frame, POISON_BYTES), "frame_get_zeroed: %#llx is dirty", (unsigned long long)frame);
    return frame;
}
#else
static inline void check_is_out(paddr_t frame, size_t size)
{
    (void)frame, (void)size;
}
#endif

/* ---- runs ---- */

paddr_t frame_get_run(unsigned order)
{
    struct frame_magazines *own = &this_cpu(frame_magazines);

    ASSERT(order <= FRAME_RUN_ORDER_MAX);
    if (order == 0)
        return frame_get(PAGE_4K);
    if (order == FRAME_RUN_ORDER_MAX)
        return frame_get(PAGE_2M);
    if (get_fails())
        return FRAME_NONE;
    paddr_t first = take_run(own, order);

    if (first == FRAME_NONE) {
        frames_drain();
        first = take_run(own, order);
    }
    if (first == FRAME_NONE && drain_others(false))
        first = take_run(own, order);
    return first;
}

void frame_put_run(paddr_t first, unsigned order)
{
    if (order == 0)
        frame_put(first, PAGE_4K);
    else if (order == FRAME_RUN_ORDER_MAX)
        frame_put(first, PAGE_2M);
    else {
        CHECK(is_aligned(first, VM_PAGE_SIZE << order), "frame_put: %#llx is misaligned", (unsigned long long)first);
        check_is_out(first, VM_PAGE_SIZE << order);
        child_put_run(first >> CHILD_SHIFT, frame_index(first), 1u << order);
    }
}

/* Calls for every child that [start, end) touches with the part of it inside. */
static bool for_each_child(paddr_t start, paddr_t end, bool (*part)(size_t child, unsigned first, unsigned count))
{
    while (start < end) {
        size_t child = start >> CHILD_SHIFT;
        unsigned first = frame_index(start);
        uint64_t left = (end - start) >> VM_PAGE_SHIFT;
        unsigned count = left < CHILD_FRAMES - first ? (unsigned)left : CHILD_FRAMES - first;

        if (!part(child, first, count))
            return false;
        start += (paddr_t)count << VM_PAGE_SHIFT;
    }
    return true;
}

COLD static bool part_is_free(size_t child, unsigned first, unsigned count)
{
    return child_free(child) == CHILD_FRAMES ||
           (child_free(child) >= count && child_run_is(child_bits(child), first, count, true));
}

COLD static bool part_take(size_t child, unsigned first, unsigned count)
{
    if (child_free(child) == CHILD_FRAMES && count < CHILD_FRAMES)
        child_is_split(child);
    child_take_run(child, first, count);
    return true;
}

/* Single frames and runs of other orders shall not be the only ones left: in a GiB most of what is free is whole. */
static inline bool may_be_split(size_t child)
{
    const struct group *group = group_of(child);

    return group->whole > SPLIT_PART * group->partial;
}

/* With the lock of the child's tree held. */
static inline bool take_at(size_t child, unsigned place, unsigned count)
{
    unsigned free = child_free(child);

    ASSERT(count > 0 && place + count <= CHILD_FRAMES);
    if (free < count)
        return false;
    if (free == CHILD_FRAMES || place % 64 + count > 64)
        return part_is_free(child, place, count) && part_take(child, place, count);
    uint64_t *word = &store.bits[child][place / 64], mask = bit_run(place, count);

    if ((*word & mask) != mask)
        return false;
    *word ^= mask;
    note_taken(tree_of(child), count, frame_address(child, place + count));
    child_set_free(child, free - count, BITS_VALID);
    return true;
}

bool frames_get_at(paddr_t first, unsigned count)
{
    size_t child = first >> CHILD_SHIFT;

    if (get_fails() || child >= store.children)
        return false;
    struct tree *tree = lock_tree(child);
    bool taken = take_at(child, frame_index(first), count);

    unlock_tree(tree);
    return taken;
}

paddr_t frames_get_beside(paddr_t first, unsigned count)
{
    if (frames_get_at(first, count))
        return first;
    struct tree *tree = lock_tree_for(LARGE);

    if (QUIRE_THREADS && tree == NULL)
        return FRAME_NONE;
    size_t child = find_child(tree_begin(tree), false);
    bool may = child != NO_CHILD && may_be_split(child);

    unlock_tree(tree);
    first = frame_address(child, frame_index(first));
    return may && frames_get_at(first, count) ? first : FRAME_NONE;
}

COLD static bool take_range(paddr_t start, paddr_t end)
{
    size_t first = start >> CHILD_SHIFT, last = (end - 1) >> CHILD_SHIFT;

    lock_trees(first, last);
    bool free = for_each_child(start, end, part_is_free);

    if (free)
        for_each_child(start, end, part_take);
    unlock_trees(first, last);
    return free;
}

/* True if the magazine of another CPU has a frame of the range, as far as a look at what that CPU may be changing
 * tells: nobody is interrupted in vain. */
RACY COLD static bool others_hold(paddr_t start, paddr_t end)
{
    bool hold = false;

    for (unsigned cpu = 0; cpu < cpus() && !hold; cpu++)
        hold = cpu != cpu_number() && magazines_hold(&cpu_variable(cpu, frame_magazines), start, end);
    return hold;
}

COLD error_t frame_take(paddr_t start, size_t size)
{
    paddr_t end;

    if (size == 0 || !is_aligned(start | size, VM_PAGE_SIZE) || __builtin_add_overflow(start, size, &end) ||
        !range_is_ours(start, end))
        return E_INVAL;
    if (get_fails())
        return E_NOMEM;
    if (magazines_hold(&this_cpu(frame_magazines), start, end))
        frames_drain();
    return take_range(start, end) || (others_hold(start, end) && drain_others(false) && take_range(start, end))
               ? E_SUCCESS
               : E_BUSY;
}

void frames_declare_ram(const struct frame_range *ranges, size_t count)
{
    CHECK(count <= RANGES_MAX, "frames_declare_ram: %lu ranges, at most %u", (unsigned long)count, RANGES_MAX);
    memcpy(store.declared, ranges, count * sizeof(ranges[0]));
    store.declared_count = count;
}

static bool overlaps(const struct frame_range *ranges, size_t count, paddr_t start, paddr_t end)
{
    for (size_t i = 0; i < count; i++) {
        if (start < ranges[i].end && end > ranges[i].start)
            return true;
    }
    return false;
}

bool frames_overlap(paddr_t start, uint64_t size)
{
    paddr_t end;

    if (__builtin_add_overflow(start, size, &end))
        end = ~(paddr_t)0;
    return overlaps(store.ranges, store.range_count, start, end) ||
           overlaps(store.declared, store.declared_count, start, end);
}

void (*frames_reclaim)(void);

/* ---- statistics ---- */

RACY static void add_counts(struct frame_stats *stats, unsigned cpu)
{
    const __typeof__(counts) *own = &cpu_variable(cpu, counts);
    const struct frame_magazines *magazines = &cpu_variable(cpu, frame_magazines);

    stats->taken += own->taken;
    stats->refills += own->refills;
    stats->spills += own->spills;
    stats->splits += own->splits;
    stats->cleaned += own->cleaned;
    stats->zeroed += cpu_variable(cpu, frames_zeroed);
    stats->clean +=
        magazines->of[PAGE_4K][FRAME_CLEAN].count + (size_t)magazines->of[PAGE_2M][FRAME_CLEAN].count * CHILD_FRAMES;
}

RACY static size_t whole_of_group(size_t child)
{
    return group_of(child)->whole;
}

COLD struct frame_stats frames_stats(void)
{
    note_least_free();
    struct frame_stats stats = {.metadata = store.metadata,
                                .least_free = __atomic_load_n(&least_free, __ATOMIC_RELAXED),
                                .free = frames_free()};

    for (size_t child = 0; child < store.children; child += GROUP_CHILDREN) {
        stats.free_2m += whole_of_group(child);
        stats.free_1g += child % GIB_CHILDREN == 0 && gib_is_whole(child);
    }
    for (size_t i = 0; i < store.range_count; i++)
        stats.total += (store.ranges[i].end - store.ranges[i].start) >> VM_PAGE_SHIFT;
    stats.total -= store.metadata >> VM_PAGE_SHIFT;
    stats.highest = store.range_count ? store.ranges[store.range_count - 1].end : 0;
    for (unsigned cpu = 0; cpu < cpus(); cpu++)
        add_counts(&stats, cpu);
    return stats;
}

/* ---- start ---- */

/* Keeps the ranges, those that touch as one: a 2 MiB frame may cross the seam. */
static void keep_ranges(const struct frame_range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (store.range_count > 0 && store.ranges[store.range_count - 1].end == ranges[i].start)
            store.ranges[store.range_count - 1].end = ranges[i].end;
        else
            store.ranges[store.range_count++] = ranges[i];
    }
}

/* Where the metadata goes: the lowest range that holds it, so that high memory stays in whole large frames. */
static paddr_t place_metadata(size_t size)
{
    for (size_t i = 0; i < store.range_count; i++) {
        if (store.ranges[i].end - store.ranges[i].start >= size)
            return store.ranges[i].start;
    }
    return FRAME_NONE;
}

COLD static void set_states(size_t first, size_t end, uint16_t state)
{
    for (size_t child = first; child < end; child++)
        *child_state(child) = state;
}

/* What the range has of children is ours, and out. */
static void claim(paddr_t start, paddr_t end)
{
    size_t first = start >> CHILD_SHIFT, last = (end - 1) >> CHILD_SHIFT;

    set_states(first, last + 1, 0);
    if (!is_aligned(start, SIZE_2M))
        *child_state(first) = EDGE;
    if (!is_aligned(end, SIZE_2M))
        *child_state(last) = EDGE;
}

/* Lays out the metadata for so many children: its size. */
static size_t lay_out(uintptr_t at)
{
    size_t bits = store.children * sizeof(store.bits[0]);

    store.bits = (void *)at;
#if QUIRE_THREADS
    store.tree = (void *)(at + bits);
    return bits + TREES * sizeof(store.tree[0]);
#else
    size_t state = align_up(store.children * sizeof(store.state[0]), 8);
    size_t groups = (store.children + GROUP_CHILDREN - 1) / GROUP_CHILDREN;

    store.state = (void *)(at + bits);
    store.group = (void *)(at + bits + state);
    return bits + state + groups * sizeof(store.group[0]);
#endif
}

/* Each child's state is written once: what lies between the ranges belongs to nobody. */
static void make_store(void)
{
    size_t next = 0;

#if QUIRE_THREADS
    memset(store.tree, 0, TREES * sizeof(store.tree[0]));
#else
    memset(store.group, 0, (store.children + GROUP_CHILDREN - 1) / GROUP_CHILDREN * sizeof(store.group[0]));
#endif
    for (size_t i = 0; i < store.range_count; i++) {
        set_states(next, store.ranges[i].start >> CHILD_SHIFT, FOREIGN);
        claim(store.ranges[i].start, store.ranges[i].end);
        next = ((store.ranges[i].end - 1) >> CHILD_SHIFT) + 1;
    }
    set_states(next, store.children, FOREIGN);
    for (size_t i = 0; i < store.range_count; i++)
        put_range(store.ranges[i].start, store.ranges[i].end);
}

#if QUIRE_THREADS
static size_t within(size_t least, size_t value, size_t most)
{
    return value < least ? least : value > most ? most : value;
}
#endif

/* What there is was never used. */
static void begin_counting(void)
{
    memset(&this_cpu(counts), 0, sizeof(counts));
    least_free = frames_stored;
    for (size_t child = 0; child < store.children; child = tree_end(child))
        tree_of(child)->virgin = 0;
#if QUIRE_THREADS
    store.batch = (ptrdiff_t)within(BATCH_MIN, frames_stored / BATCH_PART, BATCH_MAX);
    frame_magazine_2m = (unsigned)within(1, frames_stored / (MAGAZINES_PART * CHILD_FRAMES), FRAME_MAGAZINE_2M);
#endif
}

COLD error_t frames_init(const struct frame_range *ranges, size_t count)
{
    memset(&store, 0, sizeof(store));
    frames_stored = 0;
    memset(&this_cpu(frame_magazines), 0, sizeof(frame_magazines));
    this_cpu(frame_magazines).reserved = NO_CHILD;
#if QUIRE_THREADS
    memset(&this_cpu(own_trees), 0, sizeof(own_trees));
    this_cpu(stored_change) = 0;
#endif
    if (count == 0 || count > RANGES_MAX)
        return E_NOMEM;
    keep_ranges(ranges, count);
    store.children = (ranges[count - 1].end + SIZE_2M - 1) >> CHILD_SHIFT;
    if (QUIRE_THREADS)
        store.children = align_up(store.children, TREE_CHILDREN);
    size_t size = align_up(lay_out(0), VM_PAGE_SIZE);
    paddr_t place = place_metadata(size);

    if (place == FRAME_NONE) {
        memset(&store, 0, sizeof(store));
        return E_NOMEM;
    }
    lay_out((uintptr_t)phys_to_virt(place));
    make_store();
    if (frame_take(place, size) != E_SUCCESS)
        return E_NOMEM;
    store.metadata_start = place;
    store.metadata = size;
    for (paddr_t at = place; at < place + size; at += VM_PAGE_SIZE)
        *child_state(at >> CHILD_SHIFT) |= EDGE;
    begin_counting();
    return E_SUCCESS;
}

/* ---- upcalls of the page tables ---- */

paddr_t mmu_get_table_frame(void)
{
    return frame_get_zeroed(PAGE_4K);
}

void mmu_put_table_frame(paddr_t table)
{
    frame_put_clean(table, PAGE_4K);
}

void mmu_release_frame(paddr_t frame, enum page_size size)
{
    frame_put(frame, size);
}

void mmu_release_frames(const paddr_t *frames, unsigned count)
{
    frames_put(frames, count);
}

void mmu_release_neighbours(paddr_t first, enum page_size size, size_t count)
{
    frames_put_neighbours(first, size, count);
}
