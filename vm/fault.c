/*
 * Page faults: from the address to the segment to its driver.
 *
 * A driver of the image's own program is ordinary compiled code, so the vector registers of the interrupted code
 * are saved around it; the core's own drivers use general registers only and go straight through. What a driver needs
 * to know of the fault it reads from the running CPU's record. A driver may fault itself (it may touch demand-backed
 * memory): the record of the outer fault is current again afterwards.
 */
#include "vm/fault.h"

#include "vm/dispatch.h"
#include "vm/segments.h"

PERCPU const struct vm_fault_info *fault_record;

const struct vm_fault_info *vm_fault_info(void)
{
    return this_cpu(fault_record);
}

error_t (*vm_fault_outside)(struct address_space *, vaddr_t);

/* Not inside of another fault, whose driver may be looking at the segments. */
static __attribute__((noinline, cold)) error_t fault_outside(vaddr_t address, vm_flags_t access, bool present)
{
    if (!current_space || !vm_fault_outside || this_cpu(fault_record))
        return E_FAULT;
    error_t error = vm_fault_outside(current_space, address);

    return error ? error : vm_handle_fault(address, access, present);
}

static __attribute__((noinline)) error_t serve(struct address_space *space, vaddr_t address, vm_flags_t access,
                                               bool present)
{
    struct vm_segment *segment = LIKELY(space) ? segment_find_again(space, address) : NULL;
    error_t error = E_ACCES;

    if (UNLIKELY(!segment))
        return fault_outside(address, access, present);
    if (LIKELY(segment->flags & access)) {
        const struct vm_fault_info fault = {.address = address, .access = access, .present = present};
        const struct vm_fault_info **current = &this_cpu(fault_record), *outer = *current;

        *current = &fault;
        error = driver_fault(space, segment);
        *current = outer;
    }
    if (UNLIKELY(error))
        segment->faults_refused++;
    return error;
}

/* What protection forbids, as garbage collectors have it, is answered at once. */
error_t vm_handle_fault(vaddr_t address, vm_flags_t access, bool present)
{
    struct address_space *space = current_space;
    struct vm_segment *last = LIKELY(space) ? space->last : NULL;

    if (!present || !last || address - last->start >= last->size || (last->flags & access))
        return serve(space, address, access, present);
    last->faults_refused++;
    return E_ACCES;
}
