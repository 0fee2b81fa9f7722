/*
 * The heap.
 *
 * Memory comes in regions of 2 MiB of the map of RAM, which never fault (regions.c); slices of 4 KiB of them are spans
 * of objects of one size class, or a medium block each (spans.c). What is larger than a MiB is a segment with headroom,
 * backed on touch: it grows where it is by entries of the page table (memory.c). A span that is empty gives its slices
 * back, for spans of any class, and an empty region goes back to the frame allocator.
 *
 * An object has no header: a table of two bytes for each slice says its class, one of a pointer its span (memory.h).
 * Both are ranges of addresses that are backed where they are used: 10 bytes for 4 KiB.
 *
 * The heap of the program, malloc's, has lists of free objects in front (program.c), one for each class and CPU, so
 * that malloc and free are two loads and stores each (arch/x86_64/malloc.S). Heaps that a program makes for itself are
 * this file: each takes its memory from the segment driver that it was given, up to its limit, and is destroyed in time
 * for each region and large block, whatever number of objects is left in it.
 *
 * Heaps have a lock each, which their operations take; of malloc's heap each CPU has one of its own (program.c).
 */
#include "vm/heap.h"

#include "core/base/assert.h"
#include "core/base/string.h"
#include "vm/heap/internal.h"

_Static_assert(sizeof(struct heap) <= VM_PAGE_SIZE, "a heap is a page");

void heap_init(struct heap *heap, const struct vm_segment_driver *driver, vm_flags_t pages, size_t limit)
{
    /* Not the lock. */
    memset(&heap->driver, 0, sizeof(*heap) - offsetof(struct heap, driver));
    heap->driver = heap->large_driver = driver;
    heap->pages = pages;
    heap->limit = limit;
    heap->structures.size = SPAN_STRUCTURE;
    heap->large_structures.size = SPAN_STRUCTURE_LARGE;
    heap->region_structures.size = sizeof(struct region);
}

bool heap_start(void)
{
    static struct spinlock_heap_start lock;
    static bool made;

    spin_lock(&lock);
    if (!made && heap_tables_make()) {
        classes_make();
        made = true;
    }
    spin_unlock(&lock);
    return made;
}

static bool is_canonical(uintptr_t address)
{
    return (uintptr_t)((intptr_t)(address << 16) >> 16) == address;
}

struct span *heap_span_of(struct heap *heap, uintptr_t block)
{
    struct span *span = is_canonical(block) ? *heap_span_of_slice(block) : NULL;

    return span && span_heap(span) == heap && span_holds(span, block) ? span : NULL;
}

size_t heap_span_size(const struct span *span)
{
    if (span->class)
        return span->size;
    return span->slices ? span->slices * SLICE_SIZE : heap_large_size(span->heap->large_driver, span->start);
}

bool heap_span_resize(struct span *span, size_t size)
{
    size_t old = heap_span_size(span);

    if (span->class)
        return size <= old && size >= old / 2;
    if (span->slices)
        return size > CLASS_SIZE_MAX / 2 && size <= REGION_SIZE && span_resize_medium(span, size);
    if (size <= MEDIUM_MAX / 2 || span->heap->held - old + large_size(size) > span->heap->limit ||
        !heap_large_resize(span->start, large_size(size)))
        return false;
    span->heap->held += large_size(size) - old;
    span->heap->large += large_size(size) - old;
    return true;
}

static struct span *must_be_block(const char *function, struct heap *heap, void *block)
{
    struct span *span = heap_span_of(heap, (uintptr_t)block);

    if (!span)
        heap_misused(function, (uintptr_t)block);
    return span;
}

/* ---- heaps of the program's own ---- */

struct heap *heap_create(const struct vm_segment_driver *driver, vm_flags_t pages, size_t limit)
{
    struct heap *heap;

    if (!driver || !driver->vm_alloc || !driver->vm_free || (pages & ~VM_PAGES))
        return ERR_PTR(E_INVAL);
    heap = heap_start() ? heap_page_get() : NULL;
    if (!heap)
        return ERR_PTR(E_NOMEM);
    memset(heap, 0, offsetof(struct heap, driver));
    heap_init(heap, driver, pages, limit ? limit : SIZE_MAX_ASKED);
    return heap;
}

void heap_destroy(struct heap *heap)
{
    while (heap->large_blocks) {
        struct span *span = heap->large_blocks;

        heap_large_put(heap->large_driver, span->start);
        span_free_large(span);
    }
    regions_destroy(heap);
    pool_destroy(heap, &heap->structures);
    pool_destroy(heap, &heap->large_structures);
    pool_destroy(heap, &heap->region_structures);
    heap_page_put(heap);
}

static void *large_alloc(struct heap *heap, size_t size, bool zero)
{
    size_t bytes = large_size(size);
    uintptr_t block =
        bytes <= heap->limit - heap->held ? heap_large_get(heap->large_driver, bytes, heap->pages, zero) : 0;

    if (!block)
        return NULL;
    if (!span_make_large(heap, block)) {
        heap_large_put(heap->large_driver, block);
        return NULL;
    }
    heap->held += bytes;
    heap->large += bytes;
    return (void *)block;
}

static void *object_take(struct heap *heap, unsigned class)
{
    uintptr_t object = 0;

    span_take(heap, class, &object, 1);
    return (void *)object;
}

static void *medium_alloc(struct heap *heap, size_t size, size_t align)
{
    struct span *span = span_make_medium(heap, size, align);

    return span ? (void *)span->start : NULL;
}

static void *any_alloc(struct heap *heap, size_t size)
{
    if (size <= CLASS_SIZE_MAX)
        return object_take(heap, class_of_size(size ? size : 1));
    if (size <= MEDIUM_MAX)
        return medium_alloc(heap, size, 1);
    return size <= SIZE_MAX_ASKED ? large_alloc(heap, size, false) : NULL;
}

void *heap_alloc(struct heap *heap, size_t size)
{
    void *block;

    HEAP_STEP(heap);
    spin_lock(&heap->lock);
    block = any_alloc(heap, size);
    spin_unlock(&heap->lock);
    return block;
}

static void *aligned_alloc(struct heap *heap, size_t align, size_t size)
{
    unsigned class = class_of_aligned(size ? size : 1, align);

    if (align <= 16)
        return any_alloc(heap, size);
    if (class)
        return object_take(heap, class);
    if (size <= MEDIUM_MAX && align <= MEDIUM_MAX)
        return medium_alloc(heap, size, align);
    /* A slot is a power of two of at least the size, and aligned to it. */
    size = size < align ? align : size;
    return size <= SIZE_MAX_ASKED ? large_alloc(heap, size, false) : NULL;
}

void *heap_alloc_aligned(struct heap *heap, size_t align, size_t size)
{
    void *block;

    HEAP_STEP(heap);
    if (align & (align - 1))
        return NULL;
    spin_lock(&heap->lock);
    block = aligned_alloc(heap, align, size);
    spin_unlock(&heap->lock);
    return block;
}

void *heap_calloc(struct heap *heap, size_t count, size_t size)
{
    void *block;

    if (__builtin_mul_overflow(count, size, &size) || size > SIZE_MAX_ASKED)
        return NULL;
    if (size <= MEDIUM_MAX) {
        block = heap_alloc(heap, size);
        return block ? memset(block, 0, size) : NULL;
    }
    spin_lock(&heap->lock);
    block = large_alloc(heap, size, true);
    spin_unlock(&heap->lock);
    return block;
}

static void large_free(struct heap *heap, struct span *span)
{
    size_t size = heap_span_size(span);

    heap->held -= size;
    heap->large -= size;
    heap_large_put(heap->large_driver, span->start);
    span_free_large(span);
}

void heap_free(struct heap *heap, void *block)
{
    if (!block)
        return;
    HEAP_STEP(heap);
    spin_lock(&heap->lock);
    struct span *span = must_be_block("heap_free", heap, block);

    if (span->class)
        span_give(span, (uintptr_t)block);
    else if (span->slices)
        span_free_medium(span);
    else
        large_free(heap, span);
    spin_unlock(&heap->lock);
}

/* What is copied then is the caller's alone. */
void *heap_realloc(struct heap *heap, void *block, size_t size)
{
    if (!block)
        return heap_alloc(heap, size);
    HEAP_STEP(heap);
    spin_lock(&heap->lock);
    struct span *span = must_be_block("heap_realloc", heap, block);
    size_t old = heap_span_size(span);
    void *moved = heap_span_resize(span, size) ? block : any_alloc(heap, size);

    spin_unlock(&heap->lock);
    if (!moved || moved == block)
        return moved;
    heap_copy((uintptr_t)moved, (uintptr_t)block, align_up(old < size ? old : size, 16));
    heap_free(heap, block);
    return moved;
}

size_t heap_size(struct heap *heap, void *block)
{
    size_t size = 0;

    spin_lock(&heap->lock);
    if (block)
        size = heap_span_size(must_be_block("heap_size", heap, block));
    spin_unlock(&heap->lock);
    return size;
}

/* ---- statistics ---- */

static void add_statistics(struct heap *heap, struct heap_statistics *sum)
{
    spin_lock(&heap->lock);
    sum->held += heap->held;
    sum->used += heap->used + heap->large;
    sum->large += heap->large;
    for (const struct region *region = NULL; (region = region_after(heap, region));)
        sum->empty += region->free_slices * SLICE_SIZE;
    sum->structures += heap->structure_pages * VM_PAGE_SIZE;
    spin_unlock(&heap->lock);
}

/* The lock is not part of what is the caller's not to change. */
struct heap_statistics heap_statistics(const struct heap *heap)
{
    struct heap_statistics sum = {0};

    if (heap != &program_heap) {
        add_statistics((struct heap *)heap, &sum);
        return sum;
    }
    for (unsigned cpu = 0; cpu < heap_cpus(); cpu++)
        add_statistics(&cpu_variable(cpu, program_heap), &sum);
    return sum;
}
