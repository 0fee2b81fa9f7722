/*
 * A lock that its CPU may take several times over: a driver of the program calls vm/vm.h from inside of an operation,
 * and touches memory that is backed on demand. Who holds what of an address space is in vm/space.h.
 *
 * A program calls malloc and vm/vm.h on its own stack: what of that an operation may use is backed before the lock is
 * taken.
 */
#ifndef VM_LOCK_H
#define VM_LOCK_H

#include "core/spinlock.h"
#include "machine.h"

#define OPERATION_STACK 8192u /* bytes, more than any takes */

struct space_lock {
    struct spinlock_space spin;
#if QUIRE_THREADS
    uint32_t depth; /* how many times more than once its CPU holds it */
#endif
};

#if QUIRE_THREADS
static inline void space_lock(struct space_lock *lock)
{
    if (spin_is_held(&lock->spin)) {
        lock->depth++;
    } else {
        machine_back_stack(OPERATION_STACK);
        spin_lock(&lock->spin);
    }
}

static inline bool space_lock_try(struct space_lock *lock)
{
    if (!spin_is_held(&lock->spin)) {
        machine_back_stack(OPERATION_STACK);
        return spin_try(&lock->spin);
    }
    lock->depth++;
    return true;
}

static inline void space_unlock(struct space_lock *lock)
{
    if (lock->depth > 0)
        lock->depth--;
    else
        spin_unlock(&lock->spin);
}

#endif

#endif
