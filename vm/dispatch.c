#include "vm/dispatch.h"

#include "core/cpu.h"

static error_t call_driver(const struct driver_call *call)
{
    const struct vm_segment_driver *driver = call->segment->driver;

    switch (call->operation) {
    case CALL_FREE:
        driver->vm_free(call->space, call->segment);
        return E_SUCCESS;
    case CALL_RESIZE:
        return driver->vm_resize(call->space, call->segment, call->size);
    case CALL_FAULT:
        return driver->vm_fault(call->space, call->segment);
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
