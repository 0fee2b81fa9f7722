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
 * the function that they run takes none. Locks are not fair; sections are short.
 *
 * Each lock is of a class, which its type says: struct spinlock_NAME; struct spinlock is of none (of tests). Debug
 * builds check the order in which classes are taken, and more: core/spin_check.c.
 */
#ifndef CORE_SPINLOCK_H
#define CORE_SPINLOCK_H

#include "core/percpu.h"

/* The classes, and in which order a CPU may take several locks of one: that of their ADDRESS, or of a RANK. */
#define SPIN_CLASSES(X)                                                                                                \
    X(none, ADDRESS)                                                                                                   \
    X(calls, ADDRESS)      /* core/linux/lock.h */                                                                     \
    X(futex, ADDRESS)      /* core/linux/futex.c: of a bucket */                                                       \
    X(space, RANK)         /* vm/space.h: of a domain, whose number is the rank */                                     \
    X(heap, ADDRESS)       /* vm/heap/internal.h */                                                                    \
    X(heap_start, ADDRESS) /* vm/heap: what is made once */                                                            \
    X(heap_kept, ADDRESS)  /* vm/heap/large.c: of a CPU */                                                             \
    X(slabs, ADDRESS)      /* core/allocate.c */                                                                       \
    X(draining, ADDRESS)   /* vm/frames/drain.c: of who asks all CPUs for frames */                                    \
    X(frames, ADDRESS)     /* vm/frames: of a tree */                                                                  \
    X(scheduler, ADDRESS)  /* core/threads/scheduler.c: of a CPU */                                                    \
    X(clock, ADDRESS)      /* arch/x86_64/clock.c */                                                                   \
    X(console, ADDRESS)    /* arch/x86_64/uart.c */

enum spin_class {
#define SPIN_CLASS_NAME(name, order) SPIN_CLASS_##name,
    SPIN_CLASSES(SPIN_CLASS_NAME)
#undef SPIN_CLASS_NAME
};

#if QUIRE_THREADS

/* Only debug builds know ranks. */
#define SPIN_FIELD_ADDRESS
#ifdef QUIRE_DEBUG
#define SPIN_FIELD_RANK uint32_t rank;
#define spin_set_rank(lock, value) ((void)((lock)->rank = (value)))
#else
#define SPIN_FIELD_RANK
#define spin_set_rank(lock, value) ((void)(lock), (void)(value))
#endif

/* taken: 0, or 1 + the number of the CPU that holds it. The array has no bytes; the size of its elements is 1 + the
 * class. */
#define SPIN_TYPE(name, order)                                                                                         \
    struct spinlock_##name {                                                                                           \
        uint32_t taken;                                                                                                \
        SPIN_FIELD_##order char class[0][1 + SPIN_CLASS_##name];                                                       \
    };
SPIN_CLASSES(SPIN_TYPE)
#undef SPIN_TYPE
struct spinlock {
    uint32_t taken;
    char class[0][1 + SPIN_CLASS_none];
};
#define SPIN_CLASS(lock) ((enum spin_class)(sizeof((lock)->class[0]) - 1))

/* Where the machine is about to end: stops the other CPUs for good, whatever they do. Of several CPUs that call it at
 * once one goes on. From then on every lock is free, and what it protects may be half done. (arch/x86_64/smp.c) */
void cpu_stop_others(void);
bool cpu_others_stopped(void);

/* Out of line: the lock is taken by another CPU. */
void spin_wait(uint32_t *taken, uint32_t owner);

/* How often this CPU found a lock taken. */
extern uint64_t spin_contended; /* PERCPU */

#ifdef QUIRE_DEBUG
/* Before a lock is waited for, when it has been taken (waited: and others could have been waited for), when it is given
 * back; and while it is waited for, since a time that is 0 at first. They panic. */
void spin_check_wait(const uint32_t *taken, enum spin_class class);
void spin_check_taken(const uint32_t *taken, enum spin_class class, bool waited);
void spin_check_release(const uint32_t *taken);
void spin_check_time(const uint32_t *taken, uint64_t *since);
/* Where the running CPU must hold none: it parks a thread, or goes back to the program. */
void spin_check_none(const char *where);
#else
#define spin_check_wait(taken, class) ((void)(class))
#define spin_check_taken(taken, class, waited) ((void)(class))
#define spin_check_release(taken) ((void)(taken))
#define spin_check_time(taken, since) ((void)(since))
#define spin_check_none(where) ((void)0)
#endif

static inline bool spin_word_is_held(const uint32_t *taken)
{
    return __atomic_load_n(taken, __ATOMIC_RELAXED) == 1 + cpu_number();
}

static inline void spin_word_lock(uint32_t *taken, enum spin_class class)
{
    uint32_t owner = 1 + cpu_number(), expected = 0;

    spin_check_wait(taken, class);
    if (UNLIKELY(!__atomic_compare_exchange_n(taken, &expected, owner, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)))
        spin_wait(taken, owner);
    spin_check_taken(taken, class, true);
}

static inline bool spin_word_try(uint32_t *taken, enum spin_class class)
{
    uint32_t owner = 1 + cpu_number(), expected = 0;

    if (!__atomic_compare_exchange_n(taken, &expected, owner, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return false;
    spin_check_taken(taken, class, false);
    return true;
}

static inline void spin_word_unlock(uint32_t *taken)
{
    spin_check_release(taken);
    __atomic_store_n(taken, 0, __ATOMIC_RELEASE);
}

/* Of any of these types. spin_is_held: by the running CPU. spin_try: false: it is taken. */
#define spin_is_held(lock) spin_word_is_held(&(lock)->taken)
#define spin_lock(lock) spin_word_lock(&(lock)->taken, SPIN_CLASS(lock))
#define spin_try(lock) spin_word_try(&(lock)->taken, SPIN_CLASS(lock))
#define spin_unlock(lock) spin_word_unlock(&(lock)->taken)

#else

#define SPIN_TYPE(name, order)                                                                                         \
    struct spinlock_##name {                                                                                           \
        char nothing[0];                                                                                               \
    };
SPIN_CLASSES(SPIN_TYPE)
#undef SPIN_TYPE
struct spinlock {
    char nothing[0];
};

static inline void cpu_stop_others(void)
{
}

static inline bool spin_is_held(const void *lock)
{
    (void)lock;
    return true;
}

static inline void spin_lock(const void *lock)
{
    (void)lock;
}

static inline bool spin_try(const void *lock)
{
    (void)lock;
    return true;
}

static inline void spin_unlock(const void *lock)
{
    (void)lock;
}

#define spin_check_none(where) ((void)0)
#define spin_set_rank(lock, value) ((void)(lock), (void)(value))

#endif
#endif
