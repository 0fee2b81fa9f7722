/*
 * The heap's memory from the VM core (memory.h).
 *
 * A run is a segment of the heap driver, so that the map of segments, /proc and system calls know it; a short one,
 * taken when RAM has no 2 MiB in one piece, is a segment for each slice, as slices go back one by one.
 */
#include "vm/heap/memory.h"

#include "core/base/assert.h"
#include "vm/frames.h"
#include "vm/segments.h"

#define FRAMES_LEFT 64u /* for page tables and the stack, as mmap leaves them */

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
