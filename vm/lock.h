/*
 * The lock of an address space. Whoever looks at segments or page tables holds it, from the entry of each operation of
 * vm/vm.h, vm/space.h and vm/object.h, of each helper of vm/driver.h and of vm_handle_fault to its end. It is the CPU
 * that holds it, and it may do so several times over: a driver of the program calls vm/vm.h from inside of an
 * operation, and touches memory that is backed on demand.
 *
 * While one waits for it, a CPU serves what others ask of it (core/spinlock.h): flushes above all, which the holder
 * waits for (arch/x86_64/mmu.c). A segment that was found may be gone when the lock is given back: who calls vm_find
 * and uses the segment holds the lock around both, unless it owns the segment.
 */
#ifndef VM_LOCK_H
#define VM_LOCK_H

#include "core/spinlock.h"

struct space_lock {
    struct spinlock spin;
#if QUIRE_THREADS
    uint32_t depth; /* how many times more than once its CPU holds it */
#endif
};

#if QUIRE_THREADS
/* NULL: there is no space yet. */
static inline struct space_lock *space_lock(struct space_lock *lock)
{
    if (UNLIKELY(!lock))
        return NULL;
    if (spin_is_held(&lock->spin))
        lock->depth++;
    else
        spin_lock(&lock->spin);
    return lock;
}

static inline void space_unlock(struct space_lock *const *held)
{
    struct space_lock *lock = *held;

    if (UNLIKELY(!lock))
        return;
    if (lock->depth > 0)
        lock->depth--;
    else
        spin_unlock(&lock->spin);
}

/* Holds the lock of the space, which may be NULL, from here to the end of the block. */
#define SPACE_HOLD(space)                                                                                              \
    struct space_lock *const held_lock __attribute__((cleanup(space_unlock), unused)) =                                \
        space_lock((space) ? &(space)->lock : NULL)

/* For a panic, when other CPUs have stopped wherever they were: what they held is this CPU's. */
static inline void space_seize(struct space_lock *lock)
{
    __atomic_store_n(&lock->spin.taken, 1 + cpu_number(), __ATOMIC_RELAXED);
}
#else
#define SPACE_HOLD(space) ((void)sizeof(space))

static inline void space_seize(struct space_lock *lock)
{
    (void)lock;
}
#endif

#endif
