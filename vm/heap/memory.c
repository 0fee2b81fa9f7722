/*
 * The heap's memory from the VM core (memory.h).
 *
 * A run is a segment of the heap driver, so that the map of segments, /proc and system calls know it; a short one,
 * taken when RAM has no 2 MiB in one piece, is a segment for each slice, as slices go back one by one. Large blocks of
 * malloc have a driver of their own, which tells them from the program's other segments.
 */
#include "vm/heap/memory.h"

#include "core/base/assert.h"
#include "vm/frames.h"
#include "vm/segments.h"

/* A block that has grown gets so much more addresses than others, up to a size. */
#define ROOM 8u
#define ROOM_MAX ((size_t)1 << 34)

#define FRAMES_LEFT 64u /* for page tables and the stack, as mmap leaves them */

static struct vm_segment *large_alloc(struct address_space *space, vaddr_t start, size_t size, vm_flags_t flags)
{
    return segment_create_owned(space, &heap_large_driver, start, size, flags, 0);
}

static error_t large_fault(struct address_space *space, struct vm_segment *segment)
{
    const struct vm_fault_info *fault = this_cpu(fault_record);

    return UNLIKELY(fault->present) ? E_ACCES : vm_segment_back(space, segment, fault->address);
}

const struct vm_segment_driver heap_large_driver = {
    .vm_alloc = large_alloc,
    .vm_free = vm_segment_free_owned,
    .vm_resize = vm_segment_resize_owned,
    .vm_fault = large_fault,
    .name = "large",
    .properties = VM_DRIVER_GENERAL_REGISTERS | VM_DRIVER_MERGES | VM_DRIVER_DEMAND,
    .protect = vm_segment_protect_mapped,
    .split = vm_segment_split_nothing,
    .advise = vm_segment_advise_owned,
};

size_t heap_ram(void)
{
    return frames_stats().total << VM_PAGE_SHIFT;
}

bool heap_has_memory(size_t size)
{
    return (size >> VM_PAGE_SHIFT) + FRAMES_LEFT <= frames_free();
}

void *heap_page_get(void)
{
    paddr_t frame = frame_get(PAGE_4K);

    return frame == FRAME_NONE ? NULL : phys_to_virt(frame);
}

void heap_page_put(void *page)
{
    frame_put(virt_to_phys(page), PAGE_4K);
}

/* ---- runs ---- */

/* A segment for each slice of a run of the map of RAM that was free a moment ago. */
static uintptr_t run_in_slices(uintptr_t run, size_t size)
{
    for (size_t at = 0; at < size; at += SLICE_SIZE) {
        struct vm_segment *slice =
            vm_alloc_at(vm_space(), &vm_heap, virt_to_phys((void *)(run + at)), SLICE_SIZE, VM_RW | VM_NOZERO);

        if (!IS_ERR(slice))
            continue;
        while (at > 0)
            heap_run_put(run + (at -= SLICE_SIZE), SLICE_SIZE);
        return 0;
    }
    return run;
}

uintptr_t heap_run_get(const struct vm_segment_driver *driver, size_t size, vm_flags_t pages)
{
    struct vm_segment *segment;
    uintptr_t start;

    if (!heap_has_memory(size) || (driver != &vm_heap && size != REGION_SIZE))
        return 0;
    segment = vm_alloc(vm_space(), driver, VM_ANYWHERE, size, VM_RW | VM_NOZERO | pages);
    if (IS_ERR(segment))
        return 0;
    start = segment->start;
    if ((driver != &vm_heap || segment_in_ram_map(segment)) && (size == SLICE_SIZE || size == REGION_SIZE) &&
        is_aligned(start, size))
        return start;
    bool again = driver == &vm_heap && segment_in_ram_map(segment);

    vm_free(vm_space(), segment);
    return again ? run_in_slices(start, size) : 0;
}

void heap_run_put(uintptr_t run, size_t size)
{
    for (uintptr_t end = run + size; run < end;) { /* of one segment, or one for each slice */
        struct vm_segment *segment = vm_find(vm_space(), run);

        CHECK(segment && segment->start == run && segment->size <= end - run, "heap: %#lx is not a run",
              (unsigned long)run);
        run += segment->size;
        vm_free(vm_space(), segment);
    }
}

/* ---- large blocks ---- */

/* The last one of malloc that was freed without ever being touched: nothing but addresses. */
static struct vm_segment *untouched;

static inline struct vm_segment *large_at(const struct vm_segment_driver *driver, uintptr_t block)
{
    struct vm_segment *segment = segment_find_again(current_space, block);

    return LIKELY(segment && segment->start == block && segment->driver == driver && segment != untouched) ? segment
                                                                                                           : NULL;
}

/* That one, if it fits. */
static inline uintptr_t take_untouched(size_t size, vm_flags_t flags)
{
    struct vm_segment *segment = untouched;

    if (!segment || segment->size < size || segment->size / 2 > size)
        return 0;
    untouched = NULL;
    segment->size = size;
    segment->flags = flags;
    return segment->start;
}

static void keep_untouched(struct vm_segment *segment)
{
    struct vm_segment *before = untouched;

    untouched = segment;
    if (before)
        vm_free(vm_space(), before);
}

uintptr_t heap_large_get(const struct vm_segment_driver *driver, size_t size, vm_flags_t pages, bool zero)
{
    vm_flags_t flags = VM_RW | pages | (zero ? 0 : VM_NOZERO);
    struct vm_segment *segment;

    uintptr_t kept;

    if (UNLIKELY(!heap_has_memory(size)))
        return 0;
    if (UNLIKELY(driver != &heap_large_driver))
        segment = vm_alloc(vm_space(), driver, VM_ANYWHERE, size, flags);
    else if ((kept = take_untouched(size, flags)))
        return kept;
    else
        segment = vm_segment_create(vm_space(), driver, VM_ANYWHERE, size, flags);
    return IS_ERR(segment) ? 0 : segment->start;
}

bool heap_large_resize(uintptr_t block, size_t size)
{
    struct vm_segment *segment = segment_find(vm_space(), block);
    size_t old = segment->size;

    return (size <= old || heap_has_memory(size - old)) && vm_resize(vm_space(), segment, size) == E_SUCCESS;
}

uintptr_t heap_large_move(uintptr_t block, size_t size)
{
    struct vm_segment *segment = segment_find(vm_space(), block);

    if (size > segment->size && !heap_has_memory(size - segment->size))
        return 0;
    return vm_move(vm_space(), segment, VM_ANYWHERE, size) == E_SUCCESS ? segment->start : 0;
}

bool heap_large_put(const struct vm_segment_driver *driver, uintptr_t block)
{
    struct vm_segment *segment = large_at(driver, block);

    if (!segment)
        return false;
    if (!segment->mapped && driver == &heap_large_driver)
        keep_untouched(segment);
    else if (!segment_free_whole(vm_space(), block, segment->size))
        vm_free(vm_space(), segment);
    return true;
}

size_t heap_large_size(const struct vm_segment_driver *driver, uintptr_t block)
{
    const struct vm_segment *segment = large_at(driver, block);

    return segment ? segment->size : 0;
}

/* The frame of the run becomes the first page of the segment. */
uintptr_t heap_large_adopt(const struct vm_segment_driver *driver, uintptr_t run, size_t size)
{
    struct address_space *space = vm_space();
    struct vm_segment *old = vm_find(space, run), *segment;

    if (!heap_is_run(run) || vm_page_policy() == PAGE_4K)
        return 0;
    segment = vm_segment_create(space, driver, VM_ANYWHERE, size < ROOM_MAX ? size * ROOM : size, VM_RW | VM_NOZERO);
    if (IS_ERR(segment))
        return 0;
    segment->size = size;
    if (!is_aligned(segment->start, REGION_SIZE) ||
        vm_segment_map(space, segment, segment->start, virt_to_phys((void *)run), PAGE_2M) != E_SUCCESS) {
        vm_segment_destroy(space, segment);
        return 0;
    }
    space_spans_shrink(space, old->size);
    vm_segment_destroy(space, old);
    return segment->start;
}
