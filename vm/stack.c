/*
 * The stack driver: memory that is touched from its high end downwards, page by page, above a guard that never is. The
 * guard is the low end of the segment and part of its size. A page touched far below the others is backed too:
 * compilers probe large frames page by page, but assembly need not. Pages are of 4 KiB whatever the policy: a larger
 * one could cover the guard, and few stacks grow that far.
 */
#include "core/base/print.h"
#include "vm/segments.h"

static struct vm_segment *stack_alloc(struct address_space *space, vaddr_t start, size_t size, vm_flags_t flags)
{
    if (size <= VM_STACK_GUARD)
        return ERR_PTR(E_INVAL);
    flags = (flags & ~VM_PAGES) | VM_PAGES_4K;
    return segment_create_owned(space, &vm_stack, start, size, flags, VM_STACK_GUARD);
}

bool vm_stack_overflow(const struct vm_segment *segment, vaddr_t va)
{
    return segment->driver == &vm_stack && va - segment->start < VM_STACK_GUARD;
}

static error_t stack_fault(struct address_space *space, struct vm_segment *segment)
{
    const struct vm_fault_info *fault = vm_fault_info();

    if (fault->present)
        return E_ACCES;
    if (vm_stack_overflow(segment, fault->address))
        return E_FAULT;
    return vm_segment_back(space, segment, fault->address);
}

static error_t stack_advise(struct address_space *space, struct vm_segment *segment, vaddr_t va, size_t size,
                            int advice)
{
    vaddr_t lowest = segment->start + VM_STACK_GUARD;
    vaddr_t end = va + size;

    if (va < lowest)
        va = lowest;
    return va < end ? vm_segment_advise_owned(space, segment, va, end - va, advice) : E_SUCCESS;
}

static void stack_describe(const struct vm_segment *segment, char *buffer, size_t size)
{
    text_format(buffer, size, "guard below %#lx", (unsigned long)(segment->start + VM_STACK_GUARD));
}

const struct vm_segment_driver vm_stack = {
    .vm_alloc = stack_alloc,
    .vm_free = vm_segment_free_owned,
    .vm_fault = stack_fault,
    .name = "stack",
    .properties = VM_DRIVER_GENERAL_REGISTERS | VM_DRIVER_DEMAND | VM_DRIVER_APART,
    .protect = vm_segment_protect_mapped,
    .advise = stack_advise,
    .describe = stack_describe,
};
