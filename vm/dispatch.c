#include "vm/dispatch.h"

#include "core/cpu.h"
#include "vm/space.h"

static uint64_t faults_of(const struct vm_segment *segment)
{
    return segment->faults[PAGE_4K] + segment->faults[PAGE_2M] + segment->faults[PAGE_1G];
}

/* vm_segment_back counts what it serves; what the driver has mapped in another way is counted here. */
static __attribute__((noinline)) void count_fault(struct address_space *space, struct vm_segment *segment)
{
    struct mmu_entry entry = {.size = PAGE_4K};

    mmu_query(&space->mmu, vm_fault_info()->address, &entry);
    segment->faults[entry.size]++;
}

/* On its own, as it is the one that is in a hurry. */
error_t driver_fault_saving_state(struct address_space *space, struct vm_segment *segment)
{
    void *area = __builtin_alloca_with_align(cpu_extended_state_size(), 64 * 8);
    uint64_t before = faults_of(segment);

    cpu_extended_state_save(area);
    user_check_suspend();
    error_t error = segment->driver->vm_fault(space, segment);

    user_check_resume();
    cpu_extended_state_load(area);
    if (UNLIKELY(!error && faults_of(segment) == before))
        count_fault(space, segment);
    return error;
}

static error_t call_driver(const struct driver_call *call)
{
    const struct vm_segment_driver *driver = call->segment->driver;

    switch (call->operation) {
    case CALL_FREE:
        driver->vm_free(call->space, call->segment);
        return E_SUCCESS;
    case CALL_RESIZE:
        return driver->vm_resize(call->space, call->segment, call->size);
    case CALL_PROTECT:
        return driver->protect(call->space, call->segment, call->protection);
    case CALL_SPLIT:
        return driver->split(call->space, call->segment, call->second);
    case CALL_JOIN:
        driver->join(call->space, call->segment, call->second);
        return E_SUCCESS;
    case CALL_COPY:
        return driver->copy(call->space, call->segment, call->start, call->second);
    case CALL_ADVISE:
        return driver->advise(call->space, call->segment, call->start, call->size, call->advice);
    }
    return E_NOTSUP;
}

error_t driver_call_saving_state(const struct driver_call *call)
{
    void *area = __builtin_alloca_with_align(cpu_extended_state_size(), 64 * 8);

    cpu_extended_state_save(area);
    user_check_suspend();
    error_t error = call_driver(call);

    user_check_resume();
    cpu_extended_state_load(area);
    return error;
}
