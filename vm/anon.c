/* The anon driver: memory that reads as zeros until it is written, backed on first touch in pages up to the policy's.
 */
#include "vm/segments.h"

static struct vm_segment *anon_alloc(struct address_space *space, vaddr_t start, size_t size, vm_flags_t flags)
{
    if (LIKELY(!(flags & (VM_POPULATE | VM_CACHE))))
        return vm_segment_create(space, &vm_anon, start, size, flags);
    return segment_create_owned(space, &vm_anon, start, size, flags, 0);
}

/*
 * Pages that were moved remember from where: `own` is by how many bytes. So they merge with neighbours that came along,
 * but not with those at the new place, as on Linux, where a program sees it in /proc/self/maps and mremap. Untouched
 * ones are at home everywhere.
 */
static error_t anon_copy(struct address_space *space, struct vm_segment *segment, vaddr_t from,
                         struct vm_segment *second)
{
    (void)space;
    second->own = segment->mapped ? (void *)((uintptr_t)segment->own + from - second->start) : NULL;
    return E_SUCCESS;
}

const struct vm_segment_driver vm_anon = {
    .vm_alloc = anon_alloc,
    .vm_free = vm_segment_free_owned,
    .vm_resize = vm_segment_resize_owned,
    .vm_fault = vm_segment_fault_owned,
    .name = "anon",
    .properties = VM_DRIVER_GENERAL_REGISTERS | VM_DRIVER_MERGES | VM_DRIVER_DEMAND | VM_DRIVER_APART,
    .protect = vm_segment_protect_mapped,
    .split = vm_segment_split_nothing,
    .advise = vm_segment_advise_owned,
    .copy = anon_copy,
};
