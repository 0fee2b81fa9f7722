/*
 * Slices of regions, and the structures' pages.
 *
 * A region is 2 MiB of addresses in 512 slices of a page, a bit for each that the heap owns and for each that is free.
 * Memory comes from the driver in runs of a part of what the heap holds, so that a small heap grows by little and a
 * large one seldom. Where the runs lie is the frame allocator's choice, which fills its broken 2 MiB first.
 *
 * Regions with free slices are in lists by the logarithm of the longest free run. That is an upper bound, put right
 * when a search fails: then taking costs no look at what is left. Those with the shortest runs are used first, so that
 * others become empty; in a region it is the first that fits. What is free beyond a part of the heap goes back to
 * the driver, the longest runs first: whole regions, and then parts of them, in the map of RAM.
 */
#include "core/base/assert.h"
#include "core/base/string.h"
#include "vm/heap/internal.h"

#define STEP_LEAST ((size_t)64 << 10) /* growth */
#define STEP_PART 16u                 /* of the heap */
#define LONG_SLICES 17u               /* a medium block comes alone, or short runs would fill what is left around it */
#define FREE_LEAST ((size_t)1 << 20)  /* free slices that are kept, */
#define FREE_PART 128u                /* or this part of the heap */
#define FREE_OTHERS (4 * REGION_SIZE) /* of other drivers, whose addresses are new each time */
#define PUT_SLICES 1u                 /* shorter runs are not worth a segment of their own behind them */

static unsigned slice_of(const struct region *region, uintptr_t address)
{
    return (unsigned)((address - region->start) >> SLICE_SHIFT);
}

/* ---- bits of slices ---- */

/* The bits of one word that belong to [first, end). */
static inline uint64_t word_mask(unsigned word, unsigned first, unsigned end)
{
    uint64_t from = first > word * 64 ? ~0ull << (first - word * 64) : ~0ull;

    return end < word * 64 + 64 ? from & ~(~0ull << (end - word * 64)) : from;
}

/* As a rule all are of one word. */
static inline bool in_one_word(unsigned first, unsigned count)
{
    return LIKELY(first % 64 + count <= 64);
}

static inline void bits_change(uint64_t *bits, unsigned first, unsigned count)
{
    if (in_one_word(first, count)) {
        bits[first / 64] ^= ~0ull >> (64 - count) << first % 64;
        return;
    }
    for (unsigned word = first / 64; word * 64 < first + count; word++)
        bits[word] ^= word_mask(word, first, first + count);
}

/* True if all of them are as the value says. */
static inline bool bits_are(const uint64_t *bits, unsigned first, unsigned count, bool value)
{
    if (in_one_word(first, count))
        return !((bits[first / 64] >> first % 64 ^ (value ? ~0ull : 0)) << (64 - count));
    for (unsigned word = first / 64; word * 64 < first + count; word++) {
        if ((bits[word] ^ (value ? ~0ull : 0)) & word_mask(word, first, first + count))
            return false;
    }
    return true;
}

/* The first bit from `from` on that is set, or (flip: all ones) clear; REGION_SLICES: none. */
static inline unsigned bits_next(const uint64_t *bits, unsigned from, uint64_t flip)
{
    for (unsigned word = from / 64; word < REGION_WORDS; word++) {
        uint64_t found = (bits[word] ^ flip) & word_mask(word, from, REGION_SLICES);

        if (found)
            return word * 64 + (unsigned)__builtin_ctzll(found);
    }
    return REGION_SLICES;
}

/* Where the run of set bits begins that ends before `end`. */
static inline unsigned bits_run_start(const uint64_t *bits, unsigned end)
{
    for (unsigned word = (end + 63) / 64; word-- > 0;) {
        uint64_t clear = ~bits[word] & word_mask(word, 0, end);

        if (clear)
            return word * 64 + 64 - (unsigned)__builtin_clzll(clear);
    }
    return 0;
}

/* The first free run of `count`, aligned, from `from` on; REGION_SLICES: none, and then *longest is how long the
 * longest is. */
static unsigned find_run(const uint64_t *free, unsigned from, unsigned count, unsigned align, unsigned *longest)
{
    *longest = 0;
    for (unsigned first = bits_next(free, from, 0), end; first < REGION_SLICES; first = bits_next(free, end, 0)) {
        unsigned at = (unsigned)align_up(first, align);

        if (at + count <= REGION_SLICES && bits_are(free, at, count, true))
            return at;
        end = bits_next(free, first, ~0ull);
        if (end - first > *longest)
            *longest = end - first;
    }
    return REGION_SLICES;
}

/* ---- lists ---- */

static unsigned list_of(unsigned run)
{
    return 31u - (unsigned)__builtin_clz(run);
}

static void list_remove(struct region *region)
{
    if (!region->link)
        return;
    *region->link = region->next;
    if (region->next)
        region->next->link = region->link;
    else if (region->link == &region->heap->regions[list_of(region->longest)])
        region->heap->lists &= ~(1u << list_of(region->longest));
    region->link = NULL;
}

/* Puts the region where it belongs with a longest free run of so much, at most. */
static void place(struct region *region, unsigned longest)
{
    struct region **head = longest ? &region->heap->regions[list_of(longest)] : NULL;

    if (region->link && longest && region->longest && list_of(region->longest) == list_of(longest)) {
        region->longest = (uint16_t)longest;
        return;
    }
    list_remove(region);
    region->longest = (uint16_t)longest;
    if (!head)
        return;
    region->next = *head;
    region->link = head;
    if (region->next)
        region->next->link = &region->next;
    *head = region;
    region->heap->lists |= 1u << list_of(longest);
}

/* ---- what is free ---- */

static void take(struct region *region, unsigned first, unsigned count)
{
    bits_change(region->free, first, count);
    region->free_slices = (uint16_t)(region->free_slices - count);
    region->heap->free_slices -= count;
    if (region->lowest == first)
        region->lowest = (uint16_t)(first + count);
    if (region->longest > region->free_slices)
        place(region, region->free_slices);
}

static void give(struct region *region, unsigned first, unsigned count)
{
    bits_change(region->free, first, count);
    region->free_slices = (uint16_t)(region->free_slices + count);
    if (region->lowest > first)
        region->lowest = (uint16_t)first;
    region->heap->free_slices += count;

    unsigned run = bits_next(region->free, first + count, ~0ull) - bits_run_start(region->free, first);

    place(region, run > region->longest ? run : region->longest);
}

/* ---- regions ---- */

static struct region **bucket_of(struct heap *heap, uintptr_t start)
{
    return &heap->buckets[start / REGION_SIZE % REGION_BUCKETS];
}

struct region *region_after(const struct heap *heap, const struct region *region)
{
    size_t bucket = region ? region->start / REGION_SIZE % REGION_BUCKETS + 1 : 0;

    if (region && region->next_of_bucket)
        return region->next_of_bucket;
    while (bucket < REGION_BUCKETS && !heap->buckets[bucket])
        bucket++;
    return bucket < REGION_BUCKETS ? heap->buckets[bucket] : NULL;
}

static void region_forget(struct region *region)
{
    struct heap *heap = region->heap;
    struct region **link = bucket_of(heap, region->start);

    place(region, 0);
    while (*link != region)
        link = &(*link)->next_of_bucket;
    *link = region->next_of_bucket;
    heap->held -= region->owned_slices * SLICE_SIZE;
    heap->free_slices -= region->free_slices;
    pool_put(heap, &heap->region_structures, region);
}

/* Of the run; made if there is none yet, NULL: no memory. */
static struct region *region_of_run(struct heap *heap, uintptr_t run)
{
    uintptr_t start = run & ~(REGION_SIZE - 1);
    struct region **bucket = bucket_of(heap, start), *region = *bucket;

    while (region && region->start != start)
        region = region->next_of_bucket;
    if (!region && (!heap_is_program(heap) || heap_tables_back(start)) &&
        (region = pool_get(heap, &heap->region_structures))) {
        *region = (struct region){.heap = heap, .start = start, .next_of_bucket = *bucket};
        *bucket = region;
    }
    return region;
}

static bool is_over_limit(const struct heap *heap, size_t size)
{
    return heap->held + size > heap->limit;
}

/* The run is the heap's from now on. */
static void own(struct region *region, unsigned first, unsigned count)
{
    bits_change(region->owned, first, count);
    region->owned_slices = (uint16_t)(region->owned_slices + count);
    region->heap->held += count * SLICE_SIZE;
    give(region, first, count);
}

/* Adds a run of that many bytes to the heap: its region; NULL: none is to be had. */
static struct region *region_add(struct heap *heap, size_t size)
{
    uintptr_t run = is_over_limit(heap, size) ? 0 : heap_run_get(heap->driver, size, heap->pages);
    struct region *region = run ? region_of_run(heap, run) : NULL;

    if (region)
        own(region, slice_of(region, run), (unsigned)(size >> SLICE_SHIFT));
    else if (run)
        heap_run_put(run, size);
    return region;
}

/* Takes about so many slices of the region that the heap does not own, in runs of `least` or more; how many. */
static unsigned region_fill(struct region *region, unsigned least, size_t slices)
{
    uint64_t foreign[REGION_WORDS];
    unsigned taken = 0;

    for (unsigned word = 0; word < REGION_WORDS; word++)
        foreign[word] = ~region->owned[word];
    for (unsigned first = bits_next(foreign, 0, 0), end; first < REGION_SLICES && taken < slices;
         first = bits_next(foreign, end, 0)) {
        end = bits_next(foreign, first, ~0ull);
        unsigned count = end - first < slices - taken ? end - first : (unsigned)(slices - taken);

        if (count < least)
            count = least;
        if (first + count > end || is_over_limit(region->heap, count * SLICE_SIZE) ||
            !heap_run_take(region->start + first * SLICE_SIZE, count * SLICE_SIZE))
            continue;
        own(region, first, count);
        taken += count;
    }
    return taken;
}

/* Growth by about so many slices without another 2 MiB: what of regions was never taken, or given back. */
static bool regions_fill(struct heap *heap, unsigned least, size_t slices)
{
    size_t taken = 0;

    if (heap->driver != &vm_heap)
        return false;
    for (struct region *region = NULL; taken < slices && (region = region_after(heap, region));) {
        if (region->owned_slices < REGION_SLICES)
            taken += region_fill(region, least, slices - taken);
    }
    return taken > 0;
}

/* Gives back a free run; false: not possible now. */
static bool release(struct region *region, unsigned first, unsigned count)
{
    if (!heap_run_put(region->start + first * SLICE_SIZE, count * SLICE_SIZE))
        return false;
    take(region, first, count);
    bits_change(region->owned, first, count);
    region->owned_slices = (uint16_t)(region->owned_slices - count);
    region->heap->held -= count * SLICE_SIZE;
    if (!region->owned_slices)
        region_forget(region);
    return true;
}

/* The longest free run of the region, which goes where it belongs by that; false: it has none. */
static bool find_longest(struct region *region, unsigned *at, unsigned *count)
{
    find_run(region->free, 0, REGION_SLICES + 1, 1, count);
    place(region, *count);
    return *count && (*at = find_run(region->free, 0, *count, 1, &(unsigned){0})) < REGION_SLICES;
}

/* Gives back the region's free runs of at least so many slices until no more than so much is free; false: not possible
 * now. */
static bool release_from(struct region *region, size_t free, unsigned least)
{
    struct heap *heap = region->heap;
    unsigned first, count;
    bool last = false;

    while (!last && heap->free_slices > free && find_longest(region, &first, &count) && count >= least) {
        last = count == region->owned_slices;
        if (!release(region, first, count))
            return false;
    }
    return true;
}

/* The same of all regions, the longest runs first. */
static void release_until(struct heap *heap, size_t free, unsigned least)
{
    if (heap->driver != &vm_heap)
        least = REGION_SLICES;
    for (unsigned list = REGION_LISTS; list-- > list_of(least) && heap->free_slices > free;) {
        unsigned shortest = 1u << list > least ? 1u << list : least;

        for (struct region *region = heap->regions[list], *next; region; region = next) {
            next = region->next;
            if (!release_from(region, free, shortest))
                return;
        }
    }
}

static size_t part_of_heap(const struct heap *heap, size_t part, size_t least)
{
    size_t size = (heap->held - heap->large) / part;

    return size > least ? size : least;
}

/* ---- runs of slices ---- */

static uintptr_t take_from(struct region *region, unsigned count, unsigned align)
{
    unsigned longest, first;

    if (region->longest < count)
        return 0;
    first = (unsigned)align_up(region->lowest, align);
    if (UNLIKELY(first + count > REGION_SLICES || !bits_are(region->free, first, count, true))) {
        region->lowest = (uint16_t)bits_next(region->free, region->lowest, 0);
        first = find_run(region->free, region->lowest, count, align, &longest);
    }
    if (UNLIKELY(first == REGION_SLICES)) {
        place(region, longest);
        return 0;
    }
    take(region, first, count);
    return region->start + first * SLICE_SIZE;
}

static uintptr_t take_any(struct heap *heap, unsigned count, unsigned align, struct region **found)
{
    for (unsigned lists = heap->lists & ~0u << list_of(count); lists; lists &= lists - 1) {
        for (struct region *region = heap->regions[__builtin_ctz(lists)], *next; region; region = next) {
            next = region->next; /* as this one may go elsewhere */
            uintptr_t run = take_from(region, count, align);

            if (LIKELY(run)) {
                *found = region;
                return run;
            }
        }
    }
    return 0;
}

/* How many bytes the heap asks the driver for, a power of two, when it needs a run of so many slices; if that is less
 * than the run, for the run. */
static size_t step_of(const struct heap *heap, unsigned count)
{
    size_t step = part_of_heap(heap, STEP_PART, STEP_LEAST);

    if (heap->driver != &vm_heap)
        return REGION_SIZE;
    if (count >= LONG_SLICES)
        return 0;
    return step >= REGION_SIZE ? REGION_SIZE : (size_t)1 << (log2_ceil(step + 1) - 1);
}

/* What the program's lists hold comes before growth. */
static __attribute__((noinline)) uintptr_t take_or_grow(struct heap *heap, unsigned count, unsigned align,
                                                        struct region **region)
{
    uintptr_t run = kept_give_back(heap) ? take_any(heap, count, align, region) : 0;
    size_t least = SLICE_SIZE << log2_ceil(count > align ? count : align), step = step_of(heap, count);

    if (!run && lists_give_back(heap))
        run = take_any(heap, count, align, region);
    if (!run && regions_fill(heap, count, (step > least ? step : least) >> SLICE_SHIFT))
        run = take_any(heap, count, align, region);
    for (; !run && step > least; step /= 2) {
        if (region_add(heap, step))
            run = take_any(heap, count, align, region);
    }
    return run || !region_add(heap, least) ? run : take_any(heap, count, align, region);
}

uintptr_t slices_get(struct heap *heap, unsigned count, unsigned align, struct region **region)
{
    uintptr_t run = take_any(heap, count, align, region);

    return LIKELY(run) ? run : take_or_grow(heap, count, align, region);
}

void slices_put(struct region *region, uintptr_t start, unsigned count)
{
    struct heap *heap = region->heap;
    unsigned first = slice_of(region, start);
    size_t least = heap->driver == &vm_heap ? FREE_LEAST : FREE_OTHERS;
    size_t most = part_of_heap(heap, FREE_PART, least) >> SLICE_SHIFT;

    CHECK(bits_are(region->free, first, count, false) && bits_are(region->owned, first, count, true),
          "heap: slices of %#lx are free already", (unsigned long)start);
    give(region, first, count);
    if (heap->free_slices > most)
        release_until(heap, most / 2, PUT_SLICES);
}

bool slices_extend(struct region *region, uintptr_t end, unsigned count)
{
    unsigned first = slice_of(region, end);

    if (first + count > REGION_SLICES || !bits_are(region->free, first, count, true))
        return false;
    take(region, first, count);
    return true;
}

void regions_trim(struct heap *heap)
{
    release_until(heap, 0, 1);
}

#if QUIRE_THREADS
bool regions_have(const struct heap *heap, uintptr_t address)
{
    uintptr_t start = address & ~(REGION_SIZE - 1);
    const struct region *region = heap->buckets[start / REGION_SIZE % REGION_BUCKETS];

    while (region && region->start != start)
        region = region->next_of_bucket;
    return region && bits_are(region->owned, slice_of(region, address), 1, true) &&
           bits_are(region->free, slice_of(region, address), 1, false);
}
#endif

COLD void regions_destroy(struct heap *heap)
{
    for (struct region *region; (region = region_after(heap, NULL));) {
        for (unsigned first = bits_next(region->owned, 0, 0), end; first < REGION_SLICES;
             first = bits_next(region->owned, end, 0)) {
            end = bits_next(region->owned, first, ~0ull);
            for (unsigned slice = first; slice < end; slice++)
                *heap_span_of_slice(region->start + slice * SLICE_SIZE) = NULL;
            heap_run_put(region->start + first * SLICE_SIZE, (end - first) * SLICE_SIZE);
        }
        region_forget(region);
    }
}

/* ---- structures ---- */

static void page_insert(struct pool_page *page, struct pool_page **head)
{
    page->next = *head;
    page->link = head;
    if (page->next)
        page->next->link = &page->next;
    *head = page;
}

static void page_remove(struct pool_page *page)
{
    *page->link = page->next;
    if (page->next)
        page->next->link = page->link;
}

static void page_destroy(struct heap *heap, struct pool_page *page)
{
    page_remove(page);
    heap->structure_pages--;
    heap_page_put(page);
}

bool pool_grow(struct heap *heap, struct pool *pool)
{
    struct pool_page *page = heap_page_get();

    if (!page)
        return false;
    page->free = NULL;
    page->used = 0;
    page_insert(page, &pool->pages);
    heap->structure_pages++;
    /* The lowest address is given out first. */
    for (size_t at = VM_PAGE_SIZE / pool->size * pool->size; at >= 2 * pool->size; at -= pool->size) {
        void **structure = (void **)((char *)page + at - pool->size);

        *structure = page->free;
        page->free = structure;
    }
    return true;
}

void pool_page_full(struct pool *pool, struct pool_page *page)
{
    page_remove(page);
    page_insert(page, &pool->full);
}

void pool_put(struct heap *heap, struct pool *pool, void *structure)
{
    struct pool_page *page = (struct pool_page *)((uintptr_t)structure & ~(VM_PAGE_SIZE - 1));

    if (UNLIKELY(!page->free)) {
        page_remove(page);
        page_insert(page, &pool->pages);
    }
    *(void **)structure = page->free;
    page->free = structure;
    if (UNLIKELY(--page->used == 0) && (page->next || page->link != &pool->pages)) /* one is kept */
        page_destroy(heap, page);
}

void pool_destroy(struct heap *heap, struct pool *pool)
{
    while (pool->pages)
        page_destroy(heap, pool->pages);
    while (pool->full)
        page_destroy(heap, pool->full);
}
