/*
 * The phys driver: windows onto given physical addresses (device registers, framebuffers), mapped at once with the
 * memory type the caller names. It never owns frames, and refuses RAM: a second mapping of RAM with another memory type
 * than that of the permanent map is undefined on x86 (Intel SDM vol. 3, 11.12.4). RAM at a given place is the heap
 * driver's.
 */
#include "core/base/print.h"
#include "vm/frames.h"
#include "vm/segments.h"

static error_t check_window(paddr_t start, size_t size)
{
    unsigned bits = mmu_physical_bits();

    if ((start + size - 1) >> bits)
        return E_RANGE;
    return frames_overlap(start, size) ? E_BUSY : E_SUCCESS;
}

/* Maps the part of the window from an offset on. Windows are not subject to the image's page policy. */
static error_t map_window(struct address_space *space, struct vm_segment *segment, size_t offset, size_t size)
{
    enum page_size largest = segment->flags & VM_PAGES ? largest_page_asked(segment->flags) : mmu_largest_page();
    error_t error =
        mmu_map_range(&space->mmu, segment->start + offset, segment->physical + offset, size, largest, segment->flags);

    if (error)
        return error;
    segment->mapped = true;
    space->windows += size;
    return E_SUCCESS;
}

static struct vm_segment *phys_alloc_at(struct address_space *space, paddr_t start, size_t size, vm_flags_t flags)
{
    error_t error = check_window(start, size);

    if (error)
        return ERR_PTR(error);
    struct vm_segment *segment = vm_segment_create(space, &vm_phys, VM_ANYWHERE, size, flags);

    if (IS_ERR(segment))
        return segment;
    segment->physical = start;
    error = map_window(space, segment, 0, size);
    if (error) {
        vm_segment_destroy(space, segment);
        return ERR_PTR(error);
    }
    return segment;
}

static void phys_free(struct address_space *space, struct vm_segment *segment)
{
    vm_segment_unmap(space, segment, segment->start, segment->size, false);
    space->windows -= segment->size;
    vm_segment_destroy(space, segment);
}

static error_t phys_resize(struct address_space *space, struct vm_segment *segment, size_t size)
{
    size_t old = segment->size;
    error_t error;

    if (size < old) {
        error = mmu_split(&space->mmu, segment->start + size);
        if (error)
            return error;
        vm_segment_unmap(space, segment, segment->start + size, old - size, false);
        space->windows -= old - size;
        return vm_segment_set_size(space, segment, size);
    }
    if (segment->physical + size < segment->physical)
        return E_RANGE;
    error = check_window(segment->physical, size);
    if (!error)
        error = vm_segment_set_size(space, segment, size);
    if (error)
        return error;
    error = map_window(space, segment, old, size - old);
    if (error)
        segment->size = old;
    return error;
}

/* All of a window is mapped from the start: what faults is a forbidden access. */
static error_t phys_fault(struct address_space *space, struct vm_segment *segment)
{
    (void)space, (void)segment;
    return E_ACCES;
}

static error_t phys_split(struct address_space *space, struct vm_segment *first, struct vm_segment *second)
{
    (void)space;
    second->physical = first->physical + first->size;
    return E_SUCCESS;
}

static void phys_describe(const struct vm_segment *segment, char *buffer, size_t size)
{
    static const char *const types[] = {"WB", "WC", "WT", "UC"};

    text_format(buffer, size, "physical %#llx %s", (unsigned long long)segment->physical,
                types[(segment->flags & VM_CACHE) / VM_CACHE_WC]);
}

const struct vm_segment_driver vm_phys = {
    .vm_alloc_at = phys_alloc_at,
    .vm_free = phys_free,
    .vm_resize = phys_resize,
    .vm_fault = phys_fault,
    .name = "phys",
    .properties = VM_DRIVER_GENERAL_REGISTERS,
    .protect = vm_segment_protect_mapped,
    .split = phys_split,
    .describe = phys_describe,
};
