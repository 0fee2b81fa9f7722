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
#define GROUP_SHIFT 30u
#define GROUP_CHILDREN 512u
#define RANGES_MAX 128

/* State of a child: the free count and these. */
#define COUNT_MASK 0x03ffu
#define BITS_VALID 0x8000u /* the bits say which frames; otherwise the count is 0 or CHILD_FRAMES */
#define EDGE 0x4000u       /* part of it is not ours, or metadata: a put looks at the ranges */
#define FOREIGN 0x2000u    /* none of it is ours */

#define NO_CHILD (~(size_t)0)

#define WORD_SHIFT (VM_PAGE_SHIFT + 6u) /* 64 frames: a word of bits */
#define CHILD_WORDS (CHILD_FRAMES / 64u)

struct group {
    uint16_t whole, partial; /* children that are wholly, and partly, free */
};

static struct {
    struct spinlock lock; /* of all that changes in here, but not the magazines */
    struct frame_range ranges[RANGES_MAX], declared[RANGES_MAX];
    size_t range_count, declared_count;
    size_t children, groups;
    size_t lowest_whole, lowest_partial;    /* no child below is wholly, or partly, free: where a search begins */
    size_t lowest_run[FRAME_RUN_ORDER_MAX]; /* no partly free child below has a free run of that order */
    size_t highest_run;                     /* none of these is above */
    uint16_t *state;
    uint64_t (*bits)[CHILD_WORDS];
    struct group *group;
    paddr_t metadata_start;
    size_t metadata;
    size_t least_free;
    paddr_t virgin; /* from here on no frame was ever handed out */
} store;

static PERCPU struct {
    uint64_t taken, refills, spills, splits, cleaned; /* as in frame_stats */
} counts;

PERCPU uint64_t frames_zeroed;

size_t frames_stored;

bool frames_trust_virgin;

#define REFILL 32u          /* frames of 4 KiB that go between a magazine and the store */
#define FEW 4u              /* frames for which the magazine is filled, where it is empty: for the next ones, too */
#define RUNS 16u            /* of neighbours that are taken from the store before they are looked at */
#define CLEAN_2M 2u         /* frames of 2 MiB that an idle CPU keeps clean, of those that were used */
#define CLEAN_PIECE 0x8000u /* bytes of them that it zeroes before it looks around */
#define SPLIT_PART 4u /* runs are taken of whole 2 MiB while these are more than so many times those in part free */
#define SIZE_2M ((size_t)1 << CHILD_SHIFT)

PERCPU struct frame_magazines frame_magazines;

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
    return frames_trust_virgin ? store.virgin : FRAME_NONE;
#endif
}

/* With the lock held, before frames are taken. */
static inline void note_virgin(void)
{
#if QUIRE_THREADS
    if (store.virgin > this_cpu(virgin_before))
        this_cpu(virgin_before) = store.virgin;
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

RACY static size_t stored(void)
{
    return frames_stored;
}

RACY size_t frames_free(void)
{
    size_t free = frames_stored;

    for (unsigned cpu = 0; cpu < cpus(); cpu++)
        free += magazines_free(&cpu_variable(cpu, frame_magazines));
    return free;
}

/* Before frames come back to the store, or after large ones left it: what is free is least then. */
COLD static __attribute__((noinline)) void note_least_free(void)
{
    size_t free = frames_free();

    spin_lock(&store.lock);
    if (free < store.least_free)
        store.least_free = free;
    spin_unlock(&store.lock);
}

/* ---- children ---- */

static inline unsigned child_free(size_t child)
{
    return store.state[child] & COUNT_MASK;
}

static __attribute__((noinline)) void child_set_free(size_t child, unsigned count, unsigned flags)
{
    struct group *group = &store.group[child / GROUP_CHILDREN];
    unsigned old = child_free(child);

    group->whole = (uint16_t)(group->whole - (old == CHILD_FRAMES) + (count == CHILD_FRAMES));
    group->partial = (uint16_t)(group->partial - (old > 0 && old < CHILD_FRAMES) + (count > 0 && count < CHILD_FRAMES));
    frames_stored = frames_stored + count - old;
    store.state[child] = (uint16_t)(count | flags | (store.state[child] & EDGE));
    if (count == CHILD_FRAMES && child < store.lowest_whole)
        store.lowest_whole = child;
    if (count > 0 && count < CHILD_FRAMES && child < store.lowest_partial)
        store.lowest_partial = child;
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

    if (!(store.state[child] & BITS_VALID)) {
        memset(bits, child_free(child) ? 0xff : 0, sizeof(store.bits[child]));
        store.state[child] |= BITS_VALID;
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

/* Frames up to the address are about to be handed out. */
static inline void note_taken(unsigned count, paddr_t end)
{
    this_cpu(counts).taken += count;
    if (end > store.virgin)
        store.virgin = end;
}

static void child_take_run(size_t child, unsigned first, unsigned count)
{
    note_taken(count, frame_address(child, first) + ((paddr_t)count << VM_PAGE_SHIFT));
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
    if (LIKELY(child >= store.highest_run))
        return;
    for (unsigned order = 0; order < FRAME_RUN_ORDER_MAX; order++) {
        if (child < store.lowest_run[order])
            store.lowest_run[order] = child;
    }
    store.highest_run = child;
}

/* A part of a wholly free child is about to be taken. */
COLD static void child_is_split(size_t child)
{
    this_cpu(counts).splits++;
    runs_may_be_in(child);
}

/* Panics unless [start, end), which is inside the child, is RAM that is handed out. */
static inline void check_ours(size_t child, paddr_t start, paddr_t end)
{
    CHECK(child < store.children && !(store.state[child] & FOREIGN), "frame_put: %#llx is not RAM of ours",
          (unsigned long long)start);
    if (UNLIKELY(store.state[child] & EDGE))
        CHECK(range_is_ours(start, end) && !range_is_metadata(start, end), "frame_put: %#llx is not RAM of ours",
              (unsigned long long)start);
}

/* A part of a child. */
static void child_put_run(size_t child, unsigned first, unsigned count)
{
    paddr_t start = frame_address(child, first);

    spin_lock(&store.lock);
    check_ours(child, start, start + ((paddr_t)count << VM_PAGE_SHIFT));
    uint64_t *bits = child_bits(child);

    CHECK(child_run_is(bits, first, count, false), "frame_put: %#llx is free already", (unsigned long long)start);
    child_run_flip(bits, first, count);
    unsigned free = child_free(child) + count;
    child_set_free(child, free, free == CHILD_FRAMES ? 0 : BITS_VALID);
    runs_may_be_in(child);
    spin_unlock(&store.lock);
}

/* Neighbours that have so many free frames, none or all, have the other number then: how many children, up to the first
 * that is not so, at most `most`. */
static size_t set_children(size_t first, size_t most, unsigned from, unsigned to)
{
    size_t child = first, end = first + most, begin, seam;

    do {
        begin = child;
        seam = align_down(child, GROUP_CHILDREN) + GROUP_CHILDREN;
        seam = seam < end ? seam : end;
        while (child < seam && (store.state[child] & ~BITS_VALID) == from)
            store.state[child++] = (uint16_t)to;
        store.group[begin / GROUP_CHILDREN].whole += (uint16_t)(to > from ? child - begin : begin - child);
    } while (child == seam && child < end);
    frames_stored += (child - first) * ((size_t)to - from);
    return child - first;
}

/* Neighbours, whole ones. */
static void put_children(size_t child, size_t count)
{
    CHECK(child + count <= store.children, "frame_put: %#llx is not RAM of ours",
          (unsigned long long)frame_address(child, 0));
    spin_lock(&store.lock);
    if (child < store.lowest_whole)
        store.lowest_whole = child;
    size_t put = set_children(child, count, 0, CHILD_FRAMES);

    spin_unlock(&store.lock);
    child += put;
    CHECK(put == count, "frame_put: %#llx is %s", (unsigned long long)frame_address(child, 0),
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

    CHECK(child < store.children && !(store.state[child] & FOREIGN), "frame_put: %#llx is not RAM of ours",
          (unsigned long long)frames[0]);
    bool whole = !(store.state[child] & EDGE);
    uint64_t *bits = child_bits(child);

    do
        n += put_word(bits, frames + n, count - n, whole);
    while (n < count && frames[n] >> CHILD_SHIFT == child);
    unsigned free = child_free(child) + n;

    child_set_free(child, free, free == CHILD_FRAMES ? 0 : BITS_VALID);
    runs_may_be_in(child);
    return n;
}

static void put_singles(const paddr_t *frames, unsigned count)
{
    spin_lock(&store.lock);
    while (count > 0) {
        unsigned put = put_child(frames, count);

        frames += put;
        count -= put;
    }
    spin_unlock(&store.lock);
}

/* ---- searching ---- */

static bool child_is(size_t child, bool partial)
{
    unsigned free = child_free(child);

    return partial ? free > 0 && free < CHILD_FRAMES : free == CHILD_FRAMES;
}

/* The first child that is partly free, or else wholly free; groups without one are passed over. */
static inline __attribute__((always_inline)) size_t find_child(bool partial)
{
    size_t *lowest = partial ? &store.lowest_partial : &store.lowest_whole;

    for (size_t child = *lowest; child < store.children; child++) {
        const struct group *group = &store.group[child / GROUP_CHILDREN];

        if (!(partial ? group->partial : group->whole)) {
            child |= GROUP_CHILDREN - 1;
            continue;
        }
        if (child_is(child, partial)) {
            *lowest = child;
            return child;
        }
    }
    *lowest = store.children;
    return NO_CHILD;
}

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
    note_taken(want - taking->want, frame_run_end(taking->runs[taking->count - 1]));
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

/* From the store, as far as it has some and there are places. */
static void take_runs(struct frame_magazines *own, struct taking *taking)
{
    spin_lock(&store.lock);
    note_virgin();
    while (taking->want > 0 && taking->count < taking->places) {
        if (own->reserved >= store.children || child_free(own->reserved) == 0) {
            own->reserved = find_child(true);
            if (own->reserved == NO_CHILD)
                own->reserved = find_child(false);
            if (own->reserved == NO_CHILD)
                break;
        }
        if (child_free(own->reserved) == CHILD_FRAMES)
            whole_take(own->reserved, taking);
        else
            partial_take(own->reserved, taking);
    }
    spin_unlock(&store.lock);
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

static void begin_runs_at(unsigned order, size_t child)
{
    store.lowest_run[order] = child;
    if (child > store.highest_run)
        store.highest_run = child;
}

/* The lowest partly free child with a free run of that order: where in it, or CHILD_FRAMES if there is none. */
COLD static unsigned find_run(unsigned order, size_t *child)
{
    for (size_t c = store.lowest_run[order]; c < store.children; c++) {
        unsigned first;

        if (!store.group[c / GROUP_CHILDREN].partial) {
            c |= GROUP_CHILDREN - 1;
            continue;
        }
        if (child_free(c) == CHILD_FRAMES || (first = child_find_run(c, order)) == CHILD_FRAMES)
            continue;
        *child = c;
        begin_runs_at(order, c);
        return first;
    }
    begin_runs_at(order, store.children);
    return CHILD_FRAMES;
}

COLD static paddr_t take_run_locked(struct frame_magazines *own, unsigned order)
{
    size_t child = own->reserved;
    unsigned first = child < store.children ? child_find_run(child, order) : CHILD_FRAMES;

    if (first == CHILD_FRAMES)
        first = find_run(order, &child);
    if (first == CHILD_FRAMES) {
        child = find_child(false);
        if (child == NO_CHILD)
            return FRAME_NONE;
        first = 0;
        child_is_split(child);
    }
    child_take_run(child, first, 1u << order);
    return frame_address(child, first);
}

static paddr_t take_run(struct frame_magazines *own, unsigned order)
{
    spin_lock(&store.lock);
    paddr_t first = take_run_locked(own, order);

    spin_unlock(&store.lock);
    return first;
}

static paddr_t take_2m(void)
{
    spin_lock(&store.lock);
    note_virgin();
    size_t child = find_child(false);

    if (child != NO_CHILD)
        child_take_run(child, 0, CHILD_FRAMES);
    spin_unlock(&store.lock);
    return child != NO_CHILD ? frame_address(child, 0) : FRAME_NONE;
}

/* Neighbours, at most `most` wholly free ones: the first frame of 2 MiB, or FRAME_NONE. */
static paddr_t take_children(size_t most, size_t *count)
{
    spin_lock(&store.lock);
    size_t first = find_child(false);

    if (first == NO_CHILD) {
        spin_unlock(&store.lock);
        return FRAME_NONE;
    }
    *count = set_children(first, most < store.children - first ? most : store.children - first, CHILD_FRAMES, 0);
    store.lowest_whole = first + *count;
    note_taken((unsigned)*count * CHILD_FRAMES, frame_address(first + *count, 0));
    spin_unlock(&store.lock);
    return frame_address(first, 0);
}

static paddr_t take_1g(void)
{
    paddr_t frame = FRAME_NONE;

    spin_lock(&store.lock);
    note_virgin();
    for (size_t g = 0; g < store.groups && frame == FRAME_NONE; g++) {
        if (store.group[g].whole != GROUP_CHILDREN)
            continue;
        for (size_t child = g * GROUP_CHILDREN; child < (g + 1) * GROUP_CHILDREN; child++)
            child_take_run(child, 0, CHILD_FRAMES);
        frame = (paddr_t)g << GROUP_SHIFT;
    }
    spin_unlock(&store.lock);
    return frame;
}

/* ---- the way back ---- */

/*
 * Around what moves frames between magazines and the store: they are in neither, so another CPU that wants them waits
 * (drain_others), and this one may be asked meanwhile, where it waits for a lock. Nests.
 */
static inline void begin_moving(struct frame_magazines *own)
{
    if (QUIRE_THREADS)
        __atomic_store_n(&own->moving, own->moving + 1, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline void end_moving(struct frame_magazines *own)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (QUIRE_THREADS)
        __atomic_store_n(&own->moving, own->moving - 1, __ATOMIC_RELAXED);
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

/* What the magazines of the other CPUs hold goes to the store: false: nothing. They are interrupted: for who would have
 * to refuse memory otherwise. */
COLD static bool drain_others(bool large)
{
    struct draining draining = {.large = large, .busy = cpus_with_frames(large), .first = FRAME_NONE};
    bool any = draining.busy != 0;

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
    return any;
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

    note_least_free();
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
    note_least_free();
    return first;
}

/* The half of the magazine that was put first goes to the store. */
static void spill(struct frame_magazine *own)
{
    this_cpu(counts).spills++;
    note_least_free();
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
    note_least_free();
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
        note_least_free();
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
    unsigned room = size == PAGE_2M ? FRAME_MAGAZINE_2M - hot->count : 0;

    CHECK(is_aligned(first, page_bytes(size)), "frame_put: %#llx is misaligned", (unsigned long long)first);
    for (paddr_t frame = first; frame < end; frame += page_bytes(size))
        frame_check_put(frame, size, FRAME_DIRTY);
    room = count < room ? (unsigned)count : room;
    for (unsigned i = room; i-- > 0;) /* the lowest is the next one got */
        hot->frames[hot->count++] = first + i * SIZE_2M;
    note_least_free();
    put_range(first + room * SIZE_2M, end);
}

/* ---- cleaning ---- */

/* A piece of 2 MiB; true while there is more to do. */
static bool clean_2m(struct frame_magazines *own)
{
    if (own->uncleaned == 0) {
        if (own->of[PAGE_2M][FRAME_CLEAN].count >= CLEAN_2M ||
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

COLD bool frames_clean(void)
{
    struct frame_magazines *own = &this_cpu(frame_magazines);

    begin_moving(own); /* it may be interrupted */
    bool done = clean_4k(own) || clean_2m(own);

    end_moving(own);
    return done;
}

/* ---- debugging ---- */

/* True if a frame of the range is in a magazine. */
COLD static bool magazines_hold(const struct frame_magazines *own, paddr_t start, paddr_t end)
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
        spin_lock(&store.lock);
        unsigned count = size < SIZE_2M ? (unsigned)(size >> VM_PAGE_SHIFT) : CHILD_FRAMES;
        bool out = store.state[child] & BITS_VALID ? child_run_is(store.bits[child], frame_index(at), count, false)
                                                   : child_free(child) == 0;

        spin_unlock(&store.lock);
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
    const struct group *group = &store.group[child / GROUP_CHILDREN];

    return group->whole > SPLIT_PART * group->partial;
}

static bool take_at(paddr_t first, unsigned count)
{
    size_t child = first >> CHILD_SHIFT;
    unsigned place = frame_index(first), free;

    ASSERT(count > 0 && place + count <= CHILD_FRAMES);
    if (child >= store.children || (free = child_free(child)) < count)
        return false;
    if (free == CHILD_FRAMES || place % 64 + count > 64)
        return part_is_free(child, place, count) && part_take(child, place, count);
    uint64_t *word = &store.bits[child][place / 64], mask = bit_run(place, count);

    if ((*word & mask) != mask)
        return false;
    *word ^= mask;
    note_taken(count, first + ((paddr_t)count << VM_PAGE_SHIFT));
    child_set_free(child, free - count, BITS_VALID);
    return true;
}

bool frames_get_at(paddr_t first, unsigned count)
{
    if (get_fails())
        return false;
    spin_lock(&store.lock);
    bool taken = take_at(first, count);

    spin_unlock(&store.lock);
    return taken;
}

paddr_t frames_get_beside(paddr_t first, unsigned count)
{
    if (frames_get_at(first, count))
        return first;
    spin_lock(&store.lock);
    size_t child = find_child(false);

    if (child != NO_CHILD && may_be_split(child)) {
        first = frame_address(child, frame_index(first));
        take_at(first, count);
    } else {
        first = FRAME_NONE;
    }
    spin_unlock(&store.lock);
    return first;
}

COLD static bool take_range(paddr_t start, paddr_t end)
{
    spin_lock(&store.lock);
    bool free = for_each_child(start, end, part_is_free);

    if (free)
        for_each_child(start, end, part_take);
    spin_unlock(&store.lock);
    return free;
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
    return take_range(start, end) || (drain_others(false) && take_range(start, end)) ? E_SUCCESS : E_BUSY;
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

COLD struct frame_stats frames_stats(void)
{
    note_least_free();
    struct frame_stats stats = {.metadata = store.metadata, .least_free = store.least_free, .free = frames_free()};

    spin_lock(&store.lock);
    for (size_t g = 0; g < store.groups; g++) {
        stats.free_2m += store.group[g].whole;
        stats.free_1g += store.group[g].whole == GROUP_CHILDREN;
    }
    spin_unlock(&store.lock);
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

/* What the range has of children is ours, and out. */
static void claim(paddr_t start, paddr_t end)
{
    size_t first = start >> CHILD_SHIFT, last = (end - 1) >> CHILD_SHIFT;

    for (size_t child = first; child <= last; child++)
        store.state[child] = 0;
    if (!is_aligned(start, SIZE_2M))
        store.state[first] = EDGE;
    if (!is_aligned(end, SIZE_2M))
        store.state[last] = EDGE;
}

COLD error_t frames_init(const struct frame_range *ranges, size_t count)
{
    memset(&store, 0, sizeof(store));
    frames_stored = 0;
    memset(&this_cpu(frame_magazines), 0, sizeof(frame_magazines));
    this_cpu(frame_magazines).reserved = NO_CHILD;
    if (count == 0 || count > RANGES_MAX)
        return E_NOMEM;
    keep_ranges(ranges, count);
    store.children = (ranges[count - 1].end + ((paddr_t)1 << CHILD_SHIFT) - 1) >> CHILD_SHIFT;
    store.groups = (store.children + GROUP_CHILDREN - 1) / GROUP_CHILDREN;

    size_t bits = store.children * sizeof(store.bits[0]);
    size_t state = align_up(store.children * sizeof(store.state[0]), 8);

    size_t size = align_up(bits + state + store.groups * sizeof(store.group[0]), VM_PAGE_SIZE);
    paddr_t place = place_metadata(size);

    if (place == FRAME_NONE) {
        memset(&store, 0, sizeof(store));
        frames_stored = 0;
        return E_NOMEM;
    }
    store.bits = phys_to_virt(place);
    store.state = (uint16_t *)((char *)phys_to_virt(place) + bits);
    store.group = (struct group *)((char *)store.state + state);
    for (size_t child = 0; child < store.children; child++)
        store.state[child] = FOREIGN;
    memset(store.group, 0, store.groups * sizeof(store.group[0]));
    for (size_t i = 0; i < store.range_count; i++)
        claim(store.ranges[i].start, store.ranges[i].end);
    for (size_t i = 0; i < store.range_count; i++)
        put_range(store.ranges[i].start, store.ranges[i].end);
    if (frame_take(place, size) != E_SUCCESS)
        return E_NOMEM;
    store.metadata_start = place;
    store.metadata = size;
    for (paddr_t at = place; at < place + size; at += VM_PAGE_SIZE)
        store.state[at >> CHILD_SHIFT] |= EDGE;
    store.least_free = frames_stored;
    store.virgin = 0;
    memset(&this_cpu(counts), 0, sizeof(counts));
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
