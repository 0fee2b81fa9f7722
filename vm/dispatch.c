#include "vm/dispatch.h"

#include "machine.h"
#include "vm/space.h"

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
    struct machine_state interrupted;

    machine_enter_program_code(&interrupted);
    error_t error = call_driver(call);

    machine_leave_program_code(&interrupted);
    return error;
}
