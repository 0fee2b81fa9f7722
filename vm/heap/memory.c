/*
 * The heap's memory from the VM core (memory.h).
 *
 * A run is a segment of the heap driver, so that the map of segments, /proc and system calls know it; it is cut where a
 * part of it goes back.
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

/* Both are of domain 0, which is not tied to another. */
#if QUIRE_THREADS
bool heap_memory_enter(void)
{
    struct space_hold hold;

    return space_try(&hold, vm_space());
}

void heap_memory_leave(void)
{
    space_release(&(struct space_hold){.domain = vm_space()});
}
#endif

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

uintptr_t heap_run_get(const struct vm_segment_driver *driver, size_t size, vm_flags_t pages)
{
    SPACE_HOLD(vm_space());
    struct vm_segment *segment;
    uintptr_t start;

    if (!heap_has_memory(size) || (driver != &vm_heap && size != REGION_SIZE))
        return 0;
    segment = vm_alloc(vm_space(), driver, VM_ANYWHERE, size, VM_RW | VM_NOZERO | pages);
    if (IS_ERR(segment))
        return 0;
    start = segment->start;
    if ((driver == &vm_heap && !segment_in_ram_map(segment)) || !is_aligned(start, size)) {
        vm_free(vm_space(), segment);
        return 0;
    }
    return start;
}

bool heap_run_take(uintptr_t run, size_t size)
{
    return heap_has_memory(size) &&
           !IS_ERR(vm_alloc_at(vm_space(), &vm_heap, run - PHYSMAP_BASE, size, VM_RW | VM_NOZERO));
}

/* Makes the address the end of a segment; false: no structure. */
static bool cut_at(struct address_space *space, uintptr_t at)
{
    struct vm_segment *segment = segment_find(space, at);

    return !segment || segment->start == at || !IS_ERR(segment_cut(space, segment, at));
}

bool heap_run_put(uintptr_t run, size_t size)
{
    struct address_space *space = vm_space();
    SPACE_HOLD(space);

    if (!cut_at(space, run) || !cut_at(space, run + size))
        return false;
    for (uintptr_t end = run + size; run < end;) {
        struct vm_segment *segment = segment_find(space, run);

        CHECK(segment && segment->start == run && segment->size <= end - run, "heap: %#lx is not a run",
              (unsigned long)run);
        run += segment->size;
        vm_free(space, segment);
    }
    return true;
}
