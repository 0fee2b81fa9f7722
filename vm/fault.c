/*
 * Page faults: from the address to the segment to its driver.
 *
 * A driver of the image's own program is ordinary compiled code, so the vector registers of the interrupted code
 * are saved around it; the core's own drivers use general registers only and go straight through. What a driver needs
 * to know of the fault it reads from the running CPU's record. A driver may fault itself (it may touch demand-backed
 * memory): the record of the outer fault is put back afterwards.
 */
#include "vm/fault.h"

#include "core/cpu.h"
#include "core/percpu.h"
#include "vm/segments.h"

static PERCPU struct vm_fault_info fault_record;

const struct vm_fault_info *vm_fault_info(void)
{
    return &this_cpu(fault_record);
}

/* An area for the extended state on the stack; kept out of line so that the usual fault has no such frame. */
static __attribute__((noinline)) error_t call_saving_state(struct address_space *space, struct vm_segment *segment)
{
    void *area = __builtin_alloca_with_align(cpu_extended_state_size(), 64 * 8);

    cpu_extended_state_save(area);
    error_t error = segment->driver->vm_fault(space, segment);

    cpu_extended_state_load(area);
    return error;
}

static inline error_t call_driver(struct address_space *space, struct vm_segment *segment)
{
    if (UNLIKELY(!segment->driver->vm_fault))
        return E_FAULT;
    if (UNLIKELY(!(segment->driver->properties & VM_DRIVER_GENERAL_REGISTERS)))
        return call_saving_state(space, segment);
    return segment->driver->vm_fault(space, segment);
}

error_t vm_handle_fault(vaddr_t address, vm_flags_t access, bool present)
{
    struct address_space *space = current_space;
    struct vm_segment *segment = space ? segment_find(space, address) : NULL;
    struct vm_fault_info *record = &this_cpu(fault_record);
    struct vm_fault_info outer = *record;
    error_t error = E_ACCES;

    if (UNLIKELY(!segment))
        return E_FAULT;
    if (LIKELY(segment->flags & access)) {
        *record = (struct vm_fault_info){.address = address, .access = access, .present = present};
        error = call_driver(space, segment);
        *record = outer;
    }
    if (UNLIKELY(error))
        segment->faults_refused++;
    return error;
}
