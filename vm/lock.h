/*
 * A lock that its CPU may take several times over: a driver of the program calls vm/vm.h from inside of an operation,
 * and touches memory that is backed on demand. Who holds what of an address space is in vm/space.h.
 */
#ifndef VM_LOCK_H
#define VM_LOCK_H

#include "core/spinlock.h"

struct space_lock {
    struct spinlock_space spin;
#if QUIRE_THREADS
    uint32_t depth; /* how many times more than once its CPU holds it */
#endif
};

#if QUIRE_THREADS
static inline void space_lock(struct space_lock *lock)
{
    if (spin_is_held(&lock->spin))
        lock->depth++;
    else
        spin_lock(&lock->spin);
}

static inline bool space_lock_try(struct space_lock *lock)
{
    if (!spin_is_held(&lock->spin))
        return spin_try(&lock->spin);
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
