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
 * reserved, so that they stay together and other children stay whole.
 */
#include "vm/frames.h"

#include "core/base/assert.h"
#include "core/base/string.h"
#include "core/percpu.h"
#include "machine.h"

#define CHILD_SHIFT 21u
#define CHILD_FRAMES 512u
#define GROUP_SHIFT 30u
#define GROUP_CHILDREN 512u
#define RANGES_MAX 128

/* State of a child: the free count and these. */
#define COUNT_MASK 0x03ffu
#define BITS_VALID 0x8000u /* the bits say which frames; otherwise the count is 0 or CHILD_FRAMES */
#define EDGE 0x4000u       /* part of it is not ours: a put looks at the ranges */
#define FOREIGN 0x2000u    /* none of it is ours */

#define NO_CHILD (~(size_t)0)

struct group {
    uint16_t whole, partial; /* children that are wholly, and partly, free */
};

static struct {
    struct frame_range ranges[RANGES_MAX], declared[RANGES_MAX];
    size_t range_count, declared_count;
    size_t children, groups;
    size_t lowest_whole, lowest_partial;    /* no child below is wholly, or partly, free: where a search begins */
    size_t lowest_run[FRAME_RUN_ORDER_MAX]; /* no partly free child below has a free run of that order */
    size_t highest_run;                     /* none of these is above */
    uint16_t *state;
    uint64_t (*bits)[CHILD_FRAMES / 64];
    struct group *group;
    size_t free; /* 4 KiB frames in the children */
    paddr_t metadata_start;
    size_t metadata;
    size_t least_free;
    uint64_t taken, refills, spills, splits;
} store;

uint64_t frames_zeroed;

#define MAGAZINE_4K 64u
#define REFILL_4K 32u
#define MAGAZINE_2M 8u

struct magazines {
    unsigned count_4k, count_2m;
    size_t reserved; /* the child that single frames come from */
    paddr_t frames_4k[MAGAZINE_4K];
    paddr_t frames_2m[MAGAZINE_2M];
};

static PERCPU struct magazines magazines;

#ifdef QUIRE_FAULT_INJECTION
static long failing = -1;

void frames_fail_nth(long nth)
{
    failing = nth;
}

static bool get_fails(void)
{
    return failing >= 0 && failing-- == 0;
}
#else
static inline bool get_fails(void)
{
    return false;
}
#endif

size_t frames_free(void)
{
    const struct magazines *own = &this_cpu(magazines);

    return store.free + own->count_4k + (size_t)own->count_2m * CHILD_FRAMES;
}

/* Before frames come back to the store: what is free is least right before that. */
static __attribute__((noinline)) void note_least_free(void)
{
    size_t free = frames_free();

    if (free < store.least_free)
        store.least_free = free;
}

/* ---- children ---- */

static inline unsigned child_free(size_t child)
{
    return store.state[child] & COUNT_MASK;
}

static void child_set_free(size_t child, unsigned count, unsigned flags)
{
    struct group *group = &store.group[child / GROUP_CHILDREN];
    unsigned old = child_free(child);

    group->whole = (uint16_t)(group->whole - (old == CHILD_FRAMES) + (count == CHILD_FRAMES));
    group->partial = (uint16_t)(group->partial - (old > 0 && old < CHILD_FRAMES) + (count > 0 && count < CHILD_FRAMES));
    store.free = store.free + count - old;
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

static void child_take_run(size_t child, unsigned first, unsigned count)
{
    store.taken += count;
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
static void child_is_split(size_t child)
{
    store.splits++;
    runs_may_be_in(child);
}

static void child_put_run(size_t child, unsigned first, unsigned count)
{
    paddr_t start = frame_address(child, first), end = start + ((paddr_t)count << VM_PAGE_SHIFT);

    CHECK(child < store.children && !(store.state[child] & FOREIGN) && !range_is_metadata(start, end),
          "frame_put: %#llx is not RAM of ours", (unsigned long long)start);
    if (UNLIKELY(store.state[child] & EDGE))
        CHECK(range_is_ours(start, end), "frame_put: %#llx is not RAM of ours", (unsigned long long)start);
    if (count == CHILD_FRAMES) {
        CHECK(child_free(child) == 0, "frame_put: %#llx is free already", (unsigned long long)start);
        child_set_free(child, CHILD_FRAMES, 0);
        return;
    }
    uint64_t *bits = child_bits(child);

    CHECK(child_run_is(bits, first, count, false), "frame_put: %#llx is free already", (unsigned long long)start);
    child_run_flip(bits, first, count);
    unsigned free = child_free(child) + count;
    child_set_free(child, free, free == CHILD_FRAMES ? 0 : BITS_VALID);
    runs_may_be_in(child);
}

/* ---- searching ---- */

static bool child_is(size_t child, bool partial)
{
    unsigned free = child_free(child);

    return partial ? free > 0 && free < CHILD_FRAMES : free == CHILD_FRAMES;
}

/* The first child that is partly free, or else wholly free; groups without one are passed over. */
static size_t find_child(bool partial)
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

/* Moves up to `want` single frames of a child to `frames`; the number of them. */
static unsigned child_take_singles(size_t child, paddr_t *frames, unsigned want)
{
    uint64_t *bits = child_bits(child);
    unsigned taken = 0, free = child_free(child);

    for (unsigned word = 0; word < CHILD_FRAMES / 64 && taken < want; word++) {
        uint64_t left = bits[word];

        for (; left && taken < want; left &= left - 1)
            frames[taken++] = frame_address(child, word * 64 + (unsigned)__builtin_ctzll(left));
        bits[word] = left;
    }
    if (free == CHILD_FRAMES)
        child_is_split(child);
    child_set_free(child, free - taken, BITS_VALID);
    store.taken += taken;
    return taken;
}

static unsigned take_singles(struct magazines *own, paddr_t *frames, unsigned want)
{
    unsigned taken = 0;

    while (taken < want) {
        if (own->reserved >= store.children || child_free(own->reserved) == 0) {
            own->reserved = find_child(true);
            if (own->reserved == NO_CHILD)
                own->reserved = find_child(false);
            if (own->reserved == NO_CHILD)
                break;
        }
        taken += child_take_singles(own->reserved, frames + taken, want - taken);
    }
    return taken;
}

/* The first aligned free run of 2^order frames in the child, or CHILD_FRAMES. */
static unsigned child_find_run(size_t child, unsigned order)
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
static unsigned find_run(unsigned order, size_t *child)
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

static paddr_t take_run(struct magazines *own, unsigned order)
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

static paddr_t take_2m(void)
{
    size_t child = find_child(false);

    if (child == NO_CHILD)
        return FRAME_NONE;
    child_take_run(child, 0, CHILD_FRAMES);
    return frame_address(child, 0);
}

static paddr_t take_1g(void)
{
    for (size_t g = 0; g < store.groups; g++) {
        if (store.group[g].whole != GROUP_CHILDREN)
            continue;
        for (size_t child = g * GROUP_CHILDREN; child < (g + 1) * GROUP_CHILDREN; child++)
            child_take_run(child, 0, CHILD_FRAMES);
        return (paddr_t)g << GROUP_SHIFT;
    }
    return FRAME_NONE;
}

/* ---- the interface ---- */

static paddr_t get_4k_slow(struct magazines *own)
{
    store.refills++;
    own->count_4k = take_singles(own, own->frames_4k, REFILL_4K);
    if (own->count_4k == 0 && own->count_2m > 0) {
        frames_drain();
        own->count_4k = take_singles(own, own->frames_4k, REFILL_4K);
    }
    return own->count_4k ? own->frames_4k[--own->count_4k] : FRAME_NONE;
}

paddr_t frame_get(enum page_size size)
{
    struct magazines *own = &this_cpu(magazines);
    paddr_t frame;

    if (get_fails())
        return FRAME_NONE;
    if (LIKELY(size == PAGE_4K))
        return LIKELY(own->count_4k) ? own->frames_4k[--own->count_4k] : get_4k_slow(own);
    if (size == PAGE_2M) {
        if (own->count_2m)
            return own->frames_2m[--own->count_2m];
        frame = take_2m();
    } else {
        frame = take_1g();
    }
    if (frame == FRAME_NONE) {
        frames_drain();
        frame = size == PAGE_2M ? take_2m() : take_1g();
    }
    return frame;
}

static void put_4k_overflow(struct magazines *own)
{
    store.spills++;
    note_least_free();
    for (unsigned i = 0; i < MAGAZINE_4K - REFILL_4K; i++)
        child_put_run(own->frames_4k[i] >> CHILD_SHIFT, frame_index(own->frames_4k[i]), 1);
    own->count_4k = REFILL_4K;
    memmove(own->frames_4k, own->frames_4k + MAGAZINE_4K - REFILL_4K, REFILL_4K * sizeof(own->frames_4k[0]));
}

/* What a release build sees only when the magazine is emptied. */
static void check_is_out(const struct magazines *own, paddr_t frame, size_t size)
{
#ifdef QUIRE_DEBUG
    paddr_t last = frame + size - 1;

    CHECK(range_is_ours(frame, last + 1) && !range_is_metadata(frame, last + 1), "frame_put: %#llx is not RAM of ours",
          (unsigned long long)frame);
    for (unsigned i = 0; i < own->count_4k; i++)
        CHECK(own->frames_4k[i] < frame || own->frames_4k[i] > last, "frame_put: %#llx is free already",
              (unsigned long long)frame);
    for (unsigned i = 0; i < own->count_2m; i++)
        CHECK(own->frames_2m[i] > last || own->frames_2m[i] + ((paddr_t)1 << CHILD_SHIFT) <= frame,
              "frame_put: %#llx is free already", (unsigned long long)frame);
    if (size == VM_PAGE_SIZE && (store.state[frame >> CHILD_SHIFT] & BITS_VALID))
        CHECK(child_run_is(store.bits[frame >> CHILD_SHIFT], frame_index(frame), 1, false),
              "frame_put: %#llx is free already", (unsigned long long)frame);
    if (size == VM_PAGE_SIZE && !(store.state[frame >> CHILD_SHIFT] & BITS_VALID))
        CHECK(child_free(frame >> CHILD_SHIFT) == 0, "frame_put: %#llx is free already", (unsigned long long)frame);
#else
    (void)own, (void)frame, (void)size;
#endif
}

static __attribute__((noinline)) void put_large(struct magazines *own, paddr_t frame, enum page_size size)
{
    size_t first = frame >> CHILD_SHIFT;

    note_least_free();
    if (size == PAGE_1G) {
        for (size_t child = first; child < first + GROUP_CHILDREN; child++)
            child_put_run(child, 0, CHILD_FRAMES);
        return;
    }
    if (own->count_2m < MAGAZINE_2M && first < store.children && !(store.state[first] & (EDGE | FOREIGN)) &&
        child_free(first) == 0)
        own->frames_2m[own->count_2m++] = frame;
    else
        child_put_run(first, 0, CHILD_FRAMES);
}

void frame_put(paddr_t frame, enum page_size size)
{
    struct magazines *own = &this_cpu(magazines);

    CHECK(is_aligned(frame, page_bytes(size)), "frame_put: %#llx is misaligned", (unsigned long long)frame);
    check_is_out(own, frame, page_bytes(size));
    if (LIKELY(size == PAGE_4K)) {
        if (UNLIKELY(own->count_4k == MAGAZINE_4K))
            put_4k_overflow(own);
        own->frames_4k[own->count_4k++] = frame;
        return;
    }
    put_large(own, frame, size);
}

paddr_t frame_get_run(unsigned order)
{
    struct magazines *own = &this_cpu(magazines);

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
        check_is_out(&this_cpu(magazines), first, VM_PAGE_SIZE << order);
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

static bool part_is_free(size_t child, unsigned first, unsigned count)
{
    return child_free(child) == CHILD_FRAMES ||
           (child_free(child) >= count && child_run_is(child_bits(child), first, count, true));
}

static bool part_take(size_t child, unsigned first, unsigned count)
{
    if (child_free(child) == CHILD_FRAMES && count < CHILD_FRAMES)
        child_is_split(child);
    child_take_run(child, first, count);
    return true;
}

/* True if a frame of the range is in a magazine. */
static bool magazines_hold(const struct magazines *own, paddr_t start, paddr_t end)
{
    for (unsigned i = 0; i < own->count_4k; i++) {
        if (own->frames_4k[i] >= start && own->frames_4k[i] < end)
            return true;
    }
    for (unsigned i = 0; i < own->count_2m; i++) {
        if (own->frames_2m[i] < end && own->frames_2m[i] + ((paddr_t)1 << CHILD_SHIFT) > start)
            return true;
    }
    return false;
}

error_t frame_take(paddr_t start, size_t size)
{
    paddr_t end;

    if (size == 0 || !is_aligned(start | size, VM_PAGE_SIZE) || __builtin_add_overflow(start, size, &end) ||
        !range_is_ours(start, end))
        return E_INVAL;
    if (get_fails())
        return E_NOMEM;
    if (magazines_hold(&this_cpu(magazines), start, end))
        frames_drain();
    if (!for_each_child(start, end, part_is_free))
        return E_BUSY;
    for_each_child(start, end, part_take);
    return E_SUCCESS;
}

void frames_drain(void)
{
    struct magazines *own = &this_cpu(magazines);

    while (own->count_4k > 0) {
        paddr_t frame = own->frames_4k[--own->count_4k];

        child_put_run(frame >> CHILD_SHIFT, frame_index(frame), 1);
    }
    while (own->count_2m > 0)
        child_put_run(own->frames_2m[--own->count_2m] >> CHILD_SHIFT, 0, CHILD_FRAMES);
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

COLD struct frame_stats frames_stats(void)
{
    note_least_free();
    struct frame_stats stats = {.metadata = store.metadata,
                                .least_free = store.least_free,
                                .taken = store.taken,
                                .refills = store.refills,
                                .spills = store.spills,
                                .splits = store.splits};

    for (size_t g = 0; g < store.groups; g++) {
        stats.free_2m += store.group[g].whole;
        stats.free_1g += store.group[g].whole == GROUP_CHILDREN;
    }
    for (size_t i = 0; i < store.range_count; i++)
        stats.total += (store.ranges[i].end - store.ranges[i].start) >> VM_PAGE_SHIFT;
    stats.total -= store.metadata >> VM_PAGE_SHIFT;
    stats.free = frames_free();
    stats.highest = store.range_count ? store.ranges[store.range_count - 1].end : 0;
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

/* Adds a part of a child, whose other parts are not ours or were added before. */
static bool part_add(size_t child, unsigned first, unsigned count)
{
    if (count == CHILD_FRAMES) {
        store.state[child] = 0;
        child_set_free(child, CHILD_FRAMES, 0);
        return true;
    }
    if (store.state[child] & FOREIGN)
        store.state[child] = EDGE;
    child_run_flip(child_bits(child), first, count);
    child_set_free(child, child_free(child) + count, BITS_VALID);
    return true;
}

COLD error_t frames_init(const struct frame_range *ranges, size_t count)
{
    memset(&store, 0, sizeof(store));
    memset(&this_cpu(magazines), 0, sizeof(magazines));
    this_cpu(magazines).reserved = NO_CHILD;
    if (count == 0 || count > RANGES_MAX)
        return E_NOMEM;
    keep_ranges(ranges, count);
    store.children = (ranges[count - 1].end + ((paddr_t)1 << CHILD_SHIFT) - 1) >> CHILD_SHIFT;
    store.groups = (store.children + GROUP_CHILDREN - 1) / GROUP_CHILDREN;

    size_t bits = store.children * sizeof(store.bits[0]);
    size_t state = align_up(store.children * sizeof(store.state[0]), 8);

    store.metadata = align_up(bits + state + store.groups * sizeof(store.group[0]), VM_PAGE_SIZE);
    paddr_t place = place_metadata(store.metadata);

    if (place == FRAME_NONE) {
        memset(&store, 0, sizeof(store));
        return E_NOMEM;
    }
    store.bits = phys_to_virt(place);
    store.state = (uint16_t *)((char *)phys_to_virt(place) + bits);
    store.group = (struct group *)((char *)store.state + state);
    for (size_t child = 0; child < store.children; child++)
        store.state[child] = FOREIGN;
    memset(store.group, 0, store.groups * sizeof(store.group[0]));
    for (size_t i = 0; i < store.range_count; i++)
        for_each_child(store.ranges[i].start, store.ranges[i].end, part_add);
    if (frame_take(place, store.metadata) != E_SUCCESS)
        return E_NOMEM;
    store.metadata_start = place;
    store.least_free = store.free;
    store.taken = store.splits = 0;
    return E_SUCCESS;
}

/* ---- upcalls of the page tables ---- */

paddr_t mmu_get_table_frame(void)
{
    paddr_t frame = frame_get(PAGE_4K);

    frames_zeroed += frame != FRAME_NONE ? VM_PAGE_SIZE : 0; /* the page tables do that */
    return frame;
}

void mmu_release_frame(paddr_t frame, enum page_size size)
{
    frame_put(frame, size);
}
