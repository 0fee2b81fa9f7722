/*
 * One lock for what core/linux keeps: files, descriptors, timers, signals, the list of threads. A call that is not
 * UNLOCKED in calls.def runs with it held, from the first instruction of its function to the last but while it waits
 * (linux_wait); so do handlers of signals being set up, and timers that expire. Faults, and calls that only deal with
 * memory or threads, do without it; so do calls that read what is the running thread's own, one word, or nothing.
 *
 * It is the first of all locks: those of futexes, the address space, the heap and the scheduler are taken with it held.
 * A fault, which holds one of the address space, never takes it: what faults on mapped files look at is changed with
 * that one held, too (contents.c).
 */
#ifndef CORE_LINUX_LOCK_H
#define CORE_LINUX_LOCK_H

#include "core/spinlock.h"

#if QUIRE_THREADS
#include "core/threads/scheduler.h"

extern struct spinlock_calls linux_lock;

static inline void linux_enter(void)
{
    spin_lock(&linux_lock);
}

/* Threads that were woken with it held, which take it next: they run when it has been given back. */
extern struct thread_list linux_woken;
void linux_leave_to_woken(void);

static inline void linux_leave(void)
{
    if (UNLIKELY(linux_woken.first != NULL))
        linux_leave_to_woken();
    else
        spin_unlock(&linux_lock);
}

/* False: not so, or it is held already: a segment driver of the program makes a call inside of one. */
static inline bool linux_enter_if(bool condition)
{
    bool enters = condition && !spin_is_held(&linux_lock);

    if (enters)
        linux_enter();
    return enters;
}

static inline void linux_leave_if(const bool *entered)
{
    if (*entered)
        linux_leave();
}

/* Holds it from here to the end of the block where the condition is true: what is asked for is not the running thread's
 * own. */
#define LINUX_HOLD_IF(condition)                                                                                       \
    const bool held_linux_lock __attribute__((cleanup(linux_leave_if), unused)) = linux_enter_if(condition)
#define LINUX_HOLD() LINUX_HOLD_IF(true)
#else
#define LINUX_HOLD() ((void)0)
#define LINUX_HOLD_IF(condition) ((void)0)

static inline void linux_enter(void)
{
}

static inline void linux_leave(void)
{
}
#endif
#endif
