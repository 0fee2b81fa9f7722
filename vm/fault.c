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

/* By the driver. */
static __attribute__((noinline)) error_t serve(struct address_space *space, struct vm_segment *segment,
                                               const struct vm_fault_info *fault)
{
    const struct vm_fault_info **current = &this_cpu(fault_record), *outer = *current;

    *current = fault;
    error_t error = driver_fault(space, segment);

    if (UNLIKELY(error == E_NOMEM) && space_reclaim(space))
        error = driver_fault(space, segment);
    *current = outer;
    if (UNLIKELY(error))
        segment->faults_refused++;
    return error;
}

static __attribute__((noinline)) error_t serve_by_driver(struct address_space *space, vaddr_t address,
                                                         vm_flags_t access, bool present)
{
    const struct vm_fault_info fault = {.address = address, .access = access, .present = present};

    return serve(space, space->last, &fault);
}

/* In a segment that is not the last one asked for. */
static __attribute__((noinline)) error_t serve_elsewhere(vaddr_t address, vm_flags_t access, bool present)
{
    struct address_space *space = current_space;
    struct vm_segment *segment = space ? segment_find(space, address) : NULL;

    if (UNLIKELY(!segment))
        return fault_outside(address, access, present);
    space->last = segment;
    return vm_handle_fault(address, access, present);
}

/* What protection forbids, as garbage collectors have it, is answered at once, and fresh memory without a call of its
 * driver. */
error_t vm_handle_fault(vaddr_t address, vm_flags_t access, bool present)
{
    struct address_space *space = current_space;
    struct vm_segment *segment = LIKELY(space) ? space->last : NULL;

    if (UNLIKELY(!segment || address - segment->start >= segment->size))
        return serve_elsewhere(address, access, present);
    if (UNLIKELY(!(segment->flags & access))) {
        segment->faults_refused++;
        return E_ACCES;
    }
    if (UNLIKELY(present || segment->driver->vm_fault != vm_segment_fault_owned))
        return serve_by_driver(space, address, access, present);
    return segment_touch(space, segment, address);
}
