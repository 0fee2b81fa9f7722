/*
 * The guard driver: addresses that are taken and always fault. Also the smallest driver there is: where to start when
 * writing one (docs/segment-driver.md).
 */
#include "vm/driver.h"

static struct vm_segment *guard_alloc(struct address_space *space, vaddr_t start, size_t size, vm_flags_t flags)
{
    return vm_segment_create(space, &vm_guard, start, size, flags & ~(VM_PROTECTION | VM_POPULATE));
}

static error_t guard_fault(struct address_space *space, struct vm_segment *segment)
{
    (void)space, (void)segment;
    return E_FAULT;
}

const struct vm_segment_driver vm_guard = {
    .vm_alloc = guard_alloc,
    .vm_free = vm_segment_destroy,
    .vm_resize = vm_segment_set_size,
    .vm_fault = guard_fault,
    .name = "guard",
    .properties = VM_DRIVER_GENERAL_REGISTERS | VM_DRIVER_MERGES | VM_DRIVER_APART,
    .split = vm_segment_split_nothing,
};
