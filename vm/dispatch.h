/*
 * Calling drivers: private to vm/. The core may be in the middle of a fault or of a system call, both of which preserve
 * the vector registers; a driver of the program is ordinary compiled code that uses them, so they are saved around its
 * operations. The core's own drivers, and those that say VM_DRIVER_GENERAL_REGISTERS, are called directly. vm_alloc and
 * vm_alloc_at come from the program itself and need none of this; vm_fault, the one that is in a hurry, is called by
 * fault.c.
 */
#ifndef VM_DISPATCH_H
#define VM_DISPATCH_H

#include "vm/driver.h"

/* One call of a driver: what the operation takes of these. */
struct driver_call {
    enum { CALL_FREE, CALL_RESIZE, CALL_PROTECT, CALL_SPLIT, CALL_JOIN, CALL_ADVISE, CALL_COPY } operation;
    struct address_space *space;
    struct vm_segment *segment, *second;
    vaddr_t start;
    size_t size;
    vm_flags_t protection;
    int advice;
};

/* The call with the extended state saved around it. */
error_t driver_call_saving_state(const struct driver_call *call);

static inline bool driver_is_plain(const struct vm_segment *segment)
{
    return LIKELY(segment->driver->properties & VM_DRIVER_GENERAL_REGISTERS);
}

/* Its driver waits in a fault. */
static inline bool segment_is_served(const struct vm_segment *segment)
{
    return QUIRE_THREADS && UNLIKELY(segment->served != 0);
}

/* Where the driver waits in a fault of the segment, at the end of that. */
static inline void driver_free(struct address_space *space, struct vm_segment *segment)
{
    if (segment_is_served(segment))
        segment->served |= VM_SERVED_FREED;
    else if (driver_is_plain(segment))
        segment->driver->vm_free(space, segment);
    else
        driver_call_saving_state(&(struct driver_call){.operation = CALL_FREE, .space = space, .segment = segment});
}

static inline error_t driver_resize(struct address_space *space, struct vm_segment *segment, size_t size)
{
    if (driver_is_plain(segment))
        return segment->driver->vm_resize(space, segment, size);
    return driver_call_saving_state(
        &(struct driver_call){.operation = CALL_RESIZE, .space = space, .segment = segment, .size = size});
}

static inline error_t driver_protect(struct address_space *space, struct vm_segment *segment, vm_flags_t protection)
{
    if (driver_is_plain(segment))
        return segment->driver->protect(space, segment, protection);
    return driver_call_saving_state(
        &(struct driver_call){.operation = CALL_PROTECT, .space = space, .segment = segment, .protection = protection});
}

static inline error_t driver_split(struct address_space *space, struct vm_segment *segment, struct vm_segment *second)
{
    if (driver_is_plain(segment))
        return segment->driver->split(space, segment, second);
    return driver_call_saving_state(
        &(struct driver_call){.operation = CALL_SPLIT, .space = space, .segment = segment, .second = second});
}

static inline void driver_join(struct address_space *space, struct vm_segment *segment, struct vm_segment *second)
{
    if (driver_is_plain(segment))
        segment->driver->join(space, segment, second);
    else
        driver_call_saving_state(
            &(struct driver_call){.operation = CALL_JOIN, .space = space, .segment = segment, .second = second});
}

static inline error_t driver_copy(struct address_space *space, struct vm_segment *segment, vaddr_t from,
                                  struct vm_segment *second)
{
    if (driver_is_plain(segment))
        return segment->driver->copy(space, segment, from, second);
    return driver_call_saving_state(&(struct driver_call){
        .operation = CALL_COPY, .space = space, .segment = segment, .second = second, .start = from});
}

static inline error_t driver_advise(struct address_space *space, struct vm_segment *segment, vaddr_t start, size_t size,
                                    int advice)
{
    if (driver_is_plain(segment))
        return segment->driver->advise(space, segment, start, size, advice);
    return driver_call_saving_state(&(struct driver_call){
        .operation = CALL_ADVISE, .space = space, .segment = segment, .start = start, .size = size, .advice = advice});
}

#endif
