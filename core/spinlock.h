/*
 * Spin locks, for short sections of the core that several CPUs may run at once. The core is not preempted, so who holds
 * one goes on running; but it may be interrupted where the program called it directly: interrupt handlers take none of
 * the locks of vm/.
 *
 * An image whose program cannot create threads (images/calls.py) has a core that is compiled without: there the
 * functions do nothing.
 *
 * A lock that is free costs one compare-and-swap. Who finds it taken counts that and waits, and serves meanwhile what
 * other CPUs ask of this one (cpu_relax): so a CPU may wait for an answer of all others (cpu_call) with locks held, if
 * the function that they run takes none. Locks are not fair; sections are short. Debug builds panic when a CPU takes a
 * lock that it holds, or releases one that it does not.
 */
#ifndef CORE_SPINLOCK_H
#define CORE_SPINLOCK_H

#include "core/percpu.h"

#if QUIRE_THREADS

struct spinlock {
    uint32_t taken; /* 0, or 1 + the number of the CPU that holds it */
};

/* Where the machine is about to end: stops the other CPUs for good, whatever they do. Of several CPUs that call it at
 * once one goes on. From then on every lock is free, and what it protects may be half done. (arch/x86_64/smp.c) */
void cpu_stop_others(void);
bool cpu_others_stopped(void);

/* Out of line: the lock is taken by another CPU. */
void spin_wait(struct spinlock *lock, uint32_t owner);

/* How often this CPU found a lock taken. */
extern uint64_t spin_contended; /* PERCPU */

#ifdef QUIRE_DEBUG
/* Checks around the operations; they panic. */
void spin_check_take(const struct spinlock *lock);
void spin_check_release(const struct spinlock *lock);
#else
#define spin_check_take(lock) ((void)(lock))
#define spin_check_release(lock) ((void)(lock))
#endif

static inline bool spin_is_held(const struct spinlock *lock)
{
    return __atomic_load_n(&lock->taken, __ATOMIC_RELAXED) == 1 + cpu_number();
}

static inline void spin_lock(struct spinlock *lock)
{
    uint32_t owner = 1 + cpu_number(), expected = 0;

    spin_check_take(lock);
    if (UNLIKELY(
            !__atomic_compare_exchange_n(&lock->taken, &expected, owner, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)))
        spin_wait(lock, owner);
}

/* False: it is taken. */
static inline bool spin_try(struct spinlock *lock)
{
    uint32_t owner = 1 + cpu_number(), expected = 0;

    return __atomic_compare_exchange_n(&lock->taken, &expected, owner, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static inline void spin_unlock(struct spinlock *lock)
{
    spin_check_release(lock);
    __atomic_store_n(&lock->taken, 0, __ATOMIC_RELEASE);
}

#else

struct spinlock {
    char nothing[0];
};

static inline void cpu_stop_others(void)
{
}

static inline bool spin_is_held(const struct spinlock *lock)
{
    (void)lock;
    return true;
}

static inline void spin_lock(struct spinlock *lock)
{
    (void)lock;
}

static inline bool spin_try(struct spinlock *lock)
{
    (void)lock;
    return true;
}

static inline void spin_unlock(struct spinlock *lock)
{
    (void)lock;
}

#endif
#endif
