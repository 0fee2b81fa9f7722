/*
 * Slices of regions, and the structures' pages.
 *
 * A region is 2 MiB of addresses in 64 slices, so that what is free of it is one word. It is taken from the driver as
 * one run; by a small heap, and where RAM has no such run any more, in shorter ones, and then what becomes free goes
 * back at once. Regions with free slices are in lists by the longest free run (its logarithm): the first of the next
 * longer list always fits, and those with the shortest runs are used first, so that others become empty. One empty
 * region is kept.
 */
#include "core/base/assert.h"
#include "core/base/string.h"
#include "vm/heap/internal.h"

#define EMPTY_KEPT 1u
#define SMALL_HEAP ((size_t)1 << 20) /* up to here a heap grows by pieces of PIECE_SLICES */
#define PIECE_SLICES 4u

static uint64_t mask_of(unsigned first, unsigned count)
{
    return (count == 64 ? ~0ull : (1ull << count) - 1) << first;
}

static unsigned slice_of(const struct region *region, uintptr_t address)
{
    return (unsigned)((address - region->start) >> SLICE_SHIFT);
}

/* Bit i: the slices i to i + count - 1 are all free. */
static uint64_t runs_of(uint64_t free, unsigned count)
{
    for (unsigned have = 1; have < count;) {
        unsigned step = count - have < have ? count - have : have;

        free &= free >> step;
        have += step;
    }
    return free;
}

/* The logarithm of the longest run of set bits; there is one. */
static unsigned longest_run(uint64_t free)
{
    unsigned order = 0;

    while (order < REGION_LISTS - 1 && (free &= free >> (1u << order)))
        order++;
    return order;
}

/* ---- lists ---- */

static void list_remove(struct region *region)
{
    if (!region->link)
        return;
    *region->link = region->next;
    if (region->next)
        region->next->link = region->link;
    region->link = NULL;
}

static void list_insert(struct region *region)
{
    struct region **head;

    if (!region->free)
        return;
    head = &region->heap->regions[longest_run(region->free)];
    region->next = *head;
    region->link = head;
    if (region->next)
        region->next->link = &region->next;
    *head = region;
}

static void set_free(struct region *region, uint64_t free)
{
    list_remove(region);
    region->free = free;
    list_insert(region);
}

/* ---- regions ---- */

void region_forget(struct region *region)
{
    struct heap *heap = region->heap;

    list_remove(region);
    *region->link_of_all = region->next_of_all;
    if (region->next_of_all)
        region->next_of_all->link_of_all = region->link_of_all;
    heap->held -= (size_t)__builtin_popcountll(region->owned) << SLICE_SHIFT;
    pool_put(&heap->structures, region);
}

static struct region *region_make(struct heap *heap, uintptr_t start)
{
    struct region *region = pool_get(heap, &heap->structures);

    if (!region)
        return NULL;
    *region = (struct region){.heap = heap, .start = start, .next_of_all = heap->all_regions};
    region->link_of_all = &heap->all_regions;
    if (region->next_of_all)
        region->next_of_all->link_of_all = &region->next_of_all;
    heap->all_regions = region;
    return region;
}

static struct region *region_of_run(struct heap *heap, uintptr_t run)
{
    uintptr_t start = run & ~(REGION_SIZE - 1);

    for (struct region *region = heap->all_regions; region; region = region->next_of_all) {
        if (region->start == start)
            return region;
    }
    return region_make(heap, start);
}

/* Adds a run of that many bytes to the heap; false: none is to be had. */
static bool region_add(struct heap *heap, size_t size)
{
    uintptr_t run = heap->held + size <= heap->limit ? heap_run_get(heap->driver, size, heap->pages) : 0;
    struct region *region = run ? region_of_run(heap, run) : NULL;

    if (!region) {
        if (run)
            heap_run_put(run, size);
        return false;
    }
    uint64_t slices = mask_of(slice_of(region, run), (unsigned)(size >> SLICE_SHIFT));

    region->owned |= slices;
    region->whole = size == REGION_SIZE;
    heap->held += size;
    heap->empty_regions += region->whole;
    set_free(region, region->free | slices);
    return true;
}

static void region_release(struct region *region)
{
    uintptr_t start = region->start;

    region->heap->empty_regions--;
    region_forget(region);
    heap_run_put(start, REGION_SIZE);
}

/* Of a region in pieces: what is free goes back, slice by slice as it came or from a longer piece. */
static void pieces_release(struct region *region)
{
    struct heap *heap = region->heap;
    uint64_t slices = region->free;

    set_free(region, 0);
    region->owned &= ~slices;
    heap->held -= (size_t)__builtin_popcountll(slices) << SLICE_SHIFT;
    for (; slices; slices &= slices - 1)
        heap_run_put(region->start + ((uintptr_t)__builtin_ctzll(slices) << SLICE_SHIFT), SLICE_SIZE);
    if (!region->owned)
        region_forget(region);
}

/* ---- runs of slices ---- */

/* Every align-th slice, from the first on; a power of two. */
static uint64_t aligned_slices(unsigned align)
{
    return align >= REGION_SLICES ? 1 : ~0ull / ((1ull << align) - 1);
}

static uintptr_t take(struct region *region, unsigned first, unsigned count)
{
    struct heap *heap = region->heap;

    heap->empty_regions -= region->whole && region->free == region->owned;
    set_free(region, region->free & ~mask_of(first, count));
    return region->start + ((uintptr_t)first << SLICE_SHIFT);
}

/* From the regions of a list. */
static uintptr_t take_from(struct region *list, unsigned count, unsigned align, struct region **found)
{
    for (struct region *region = list; region; region = region->next) {
        uint64_t runs = runs_of(region->free, count) & aligned_slices(align);

        if (runs) {
            *found = region;
            return take(region, (unsigned)__builtin_ctzll(runs), count);
        }
    }
    return 0;
}

static uintptr_t take_any(struct heap *heap, unsigned count, unsigned align, struct region **region)
{
    for (unsigned list = log2_ceil(count + 1) - 1; list < REGION_LISTS; list++) {
        uintptr_t run = take_from(heap->regions[list], count, align, region);

        if (run)
            return run;
    }
    return 0;
}

static uintptr_t take_as_asked(struct heap *heap, unsigned count, unsigned align, bool alone, struct region **region)
{
    return alone ? take_from(heap->regions[REGION_LISTS - 1], count, align, region)
                 : take_any(heap, count, align, region);
}

/* What magazines hold comes before growth. A small heap grows by little; where RAM has no 2 MiB in one piece, so does
 * any. */
uintptr_t slices_get(struct heap *heap, unsigned count, unsigned align, bool alone, struct region **region)
{
    uintptr_t run = take_as_asked(heap, count, align, alone, region);
    unsigned least = count > align ? count : align;

    if (!run && magazines_give_back(heap))
        run = take_as_asked(heap, count, align, alone, region);
    if (!run && !alone && heap->held < SMALL_HEAP &&
        region_add(heap, SLICE_SIZE << log2_ceil(least > PIECE_SLICES ? least : PIECE_SLICES)))
        run = take_any(heap, count, align, region);
    if (!run && region_add(heap, REGION_SIZE))
        run = take_as_asked(heap, count, align, alone, region);
    if (!run && alone)
        run = take_any(heap, count, align, region);
    if (!run && region_add(heap, SLICE_SIZE << log2_ceil(least)))
        run = take_any(heap, count, align, region);
    return run;
}

void slices_put(struct region *region, uintptr_t start, unsigned count)
{
    struct heap *heap = region->heap;
    uint64_t slices = mask_of(slice_of(region, start), count);

    CHECK(!(region->free & slices) && (region->owned & slices) == slices, "heap: slices of %#lx are free already",
          (unsigned long)start);
    set_free(region, region->free | slices);
    if (!region->whole) {
        pieces_release(region);
    } else if (region->free == region->owned && ++heap->empty_regions > EMPTY_KEPT) {
        region_release(region);
    }
}

bool slices_extend(struct region *region, uintptr_t end, unsigned count)
{
    unsigned first = slice_of(region, end);

    if (first + count > REGION_SLICES || (region->free & mask_of(first, count)) != mask_of(first, count))
        return false;
    set_free(region, region->free & ~mask_of(first, count));
    return true;
}

bool slices_fill_alone(const struct region *region, uintptr_t start, unsigned count)
{
    return region->whole && start == region->start && region->free == (region->owned & ~mask_of(0, count));
}

void regions_trim(struct heap *heap)
{
    for (struct region *region = heap->regions[REGION_LISTS - 1], *next; region; region = next) {
        next = region->next;
        if (region->whole && region->free == region->owned)
            region_release(region);
    }
}

void regions_destroy(struct heap *heap)
{
    for (struct region *region; (region = heap->all_regions);) {
        uintptr_t start = region->start;
        uint64_t owned = region->owned;
        bool whole = region->whole;

        region_forget(region);
        for (uintptr_t slice = start; slice < start + REGION_SIZE; slice += SLICE_SIZE)
            *heap_span_of_slice(slice) = NULL;
        if (whole)
            heap_run_put(start, REGION_SIZE);
        for (; !whole && owned; owned &= owned - 1)
            heap_run_put(start + ((uintptr_t)__builtin_ctzll(owned) << SLICE_SHIFT), SLICE_SIZE);
    }
}

/* ---- structures ---- */

struct pool_page {
    void *next;
};

bool pool_grow(struct heap *heap, struct pool *pool)
{
    struct pool_page *page = heap_page_get();

    if (!page)
        return false;
    page->next = pool->pages;
    pool->pages = page;
    heap->structure_pages++;
    /* The first place holds the page's header; the lowest address is given out first. */
    for (size_t at = VM_PAGE_SIZE / pool->size * pool->size; at >= 2 * pool->size; at -= pool->size)
        pool_put(pool, (char *)page + at - pool->size);
    return true;
}

void pool_destroy(struct heap *heap, struct pool *pool)
{
    for (struct pool_page *page; (page = pool->pages); heap->structure_pages--) {
        pool->pages = page->next;
        heap_page_put(page);
    }
    pool->free = NULL;
}
