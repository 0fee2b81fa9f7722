/*
 * Scheduling: policies and priorities are checked, kept for each thread, and returned as on Linux (sched(7)), and
 * change nothing: threads take turns (core/threads/scheduler.c). Affinity is heeded.
 */
#include "core/base/string.h"
#include "core/cpu.h"
#include "core/linux/lock.h"
#include "core/linux/process.h"

enum { SCHED_OTHER, SCHED_FIFO, SCHED_RR, SCHED_BATCH, SCHED_IDLE = 5, SCHED_DEADLINE };
enum { PRIO_PROCESS, PRIO_PGRP, PRIO_USER };
#define RESET_ON_FORK 0x40000000
#define ATTR_RESET_ON_FORK 1u
#define ATTR_FLAGS 0x7fu
#define ATTR_SIZE_FIRST 48u /* of the first version of the structure */
#define ATTR_SIZE_MOST 4096u
#define PRIORITY_MAX 99
#define NICE_LEAST (-20)
#define NICE_MOST 19

#if QUIRE_THREADS
#include "core/linux/thread.h"

struct thread_scheduling *linux_scheduling(int id)
{
    struct linux_thread *thread = linux_thread_find(id);

    return thread != NULL ? &thread->scheduling : NULL;
}

static uint64_t get_affinity(int id)
{
    return __atomic_load_n(&linux_thread_find(id)->thread.affinity, __ATOMIC_RELAXED);
}

static void start_cpus(void)
{
    scheduler_use_all_cpus();
}

static void set_affinity(int id, uint64_t cpus)
{
    thread_set_affinity(&linux_thread_find(id)->thread, cpus); /* leaves this CPU without a lock held, if it has to */
}

static unsigned running_cpu(void)
{
    return cpu_number();
}
#else
static struct thread_scheduling own;

struct thread_scheduling *linux_scheduling(int id)
{
    return process_is_own(id) ? &own : NULL;
}

static uint64_t get_affinity(int id)
{
    (void)id;
    return UINT64_MAX;
}

static void start_cpus(void)
{
}

static void set_affinity(int id, uint64_t cpus)
{
    (void)id, (void)cpus; /* there is one CPU */
}

static unsigned running_cpu(void)
{
    return 0;
}
#endif

static bool is_real_time(int which)
{
    return which == SCHED_FIFO || which == SCHED_RR;
}

static bool is_known(int which)
{
    return which >= SCHED_OTHER && which <= SCHED_DEADLINE && which != 4;
}

/* deadline scheduling takes its parameters from sched_setattr only, which does not have it. */
static error_t check(int which, int wanted)
{
    if (!is_known(which) || which == SCHED_DEADLINE || wanted < 0 || wanted > PRIORITY_MAX)
        return E_INVAL;
    return is_real_time(which) == (wanted > 0) ? E_SUCCESS : E_INVAL;
}

long linux_sched_setscheduler(int pid, int which, const int *user_priority)
{
    struct thread_scheduling *of = pid >= 0 ? linux_scheduling(pid) : NULL;
    int wanted;
    error_t error;

    if (which < 0 || user_priority == NULL || pid < 0)
        return -E_INVAL;
    if (user_read(&wanted, user_priority, sizeof(wanted)) != E_SUCCESS)
        return -E_FAULT;
    if (of == NULL)
        return -E_SRCH;
    error = check(which & ~RESET_ON_FORK, wanted);
    if (error != E_SUCCESS)
        return -error;
    of->policy = which & ~RESET_ON_FORK;
    of->priority = wanted;
    of->reset_on_fork = (which & RESET_ON_FORK) != 0;
    return 0;
}

long linux_sched_getscheduler(int pid)
{
    const struct thread_scheduling *of = pid >= 0 ? linux_scheduling(pid) : NULL;

    if (pid < 0)
        return -E_INVAL;
    return of != NULL ? of->policy | (of->reset_on_fork ? RESET_ON_FORK : 0) : -E_SRCH;
}

long linux_sched_setparam(int pid, const int *user_priority)
{
    long which = linux_sched_getscheduler(pid);

    return which == -E_SRCH && user_priority != NULL ? -E_SRCH
                                                     : linux_sched_setscheduler(pid, (int)which, user_priority);
}

long linux_sched_getparam(int pid, int *to)
{
    LINUX_HOLD_IF(linux_thread_is_other(pid));
    const struct thread_scheduling *of = pid >= 0 ? linux_scheduling(pid) : NULL;

    if (to == NULL || pid < 0)
        return -E_INVAL;
    return of != NULL ? -user_write(to, &of->priority, sizeof(of->priority)) : -E_SRCH;
}

long linux_sched_get_priority_max(int which)
{
    return !is_known(which) ? -E_INVAL : is_real_time(which) ? PRIORITY_MAX : 0;
}

long linux_sched_get_priority_min(int which)
{
    return !is_known(which) ? -E_INVAL : is_real_time(which);
}

long linux_sched_rr_get_interval(int pid, struct linux_timespec *to)
{
    LINUX_HOLD_IF(linux_thread_is_other(pid));
    const struct thread_scheduling *of = pid >= 0 ? linux_scheduling(pid) : NULL;
    struct linux_timespec interval = {.nanoseconds = 0};

    if (pid < 0)
        return -E_INVAL;
    if (of == NULL)
        return -E_SRCH;
    /* Linux's RR_TIMESLICE, none for SCHED_FIFO, a tick of 250 Hz for the others. */
    if (of->policy != SCHED_FIFO)
        interval.nanoseconds = of->policy == SCHED_RR ? 100000000 : 4000000;
    return -user_write(to, &interval, sizeof(interval));
}

/* Reads the structure of whatever version: what this one does not know must be 0. E_2BIG tells the size that is known.
 */
static error_t read_attr(struct linux_sched_attr *user, struct linux_sched_attr *attr)
{
    uint32_t size, known = sizeof(*attr);

    memset(attr, 0, sizeof(*attr));
    if (user_read(&size, &user->size, sizeof(size)) != E_SUCCESS)
        return E_FAULT;
    if (size == 0)
        size = ATTR_SIZE_FIRST;
    if (size < ATTR_SIZE_FIRST || size > ATTR_SIZE_MOST)
        goto too_large;
    if (user_read(attr, user, size < known ? size : known) != E_SUCCESS)
        return E_FAULT;
    for (uint32_t at = known; at < size; at++) {
        char byte;

        if (user_read(&byte, (char *)user + at, 1) != E_SUCCESS)
            return E_FAULT;
        if (byte != 0)
            goto too_large;
    }
    return E_SUCCESS;
too_large:
    return user_write(&user->size, &known, sizeof(known)) != E_SUCCESS ? E_FAULT : E_2BIG;
}

long linux_sched_setattr(int pid, struct linux_sched_attr *user, unsigned flags)
{
    struct linux_sched_attr attr;
    struct thread_scheduling *of;
    error_t error;

    if (user == NULL || pid < 0 || flags != 0)
        return -E_INVAL;
    error = read_attr(user, &attr);
    if (error != E_SUCCESS)
        return -error;
    if ((int32_t)attr.policy < 0 || (attr.flags & ~(uint64_t)ATTR_FLAGS))
        return -E_INVAL;
    of = linux_scheduling(pid);
    if (of == NULL)
        return -E_SRCH;
    error = attr.priority > PRIORITY_MAX ? E_INVAL : check((int)attr.policy, (int)attr.priority);
    if (error != E_SUCCESS)
        return -error;
    of->policy = (int)attr.policy;
    of->priority = (int)attr.priority;
    of->reset_on_fork = attr.flags & ATTR_RESET_ON_FORK;
    if (!is_real_time(of->policy))
        of->nice = attr.nice < NICE_LEAST ? NICE_LEAST : attr.nice > NICE_MOST ? NICE_MOST : attr.nice;
    return 0;
}

long linux_sched_getattr(int pid, struct linux_sched_attr *user, unsigned size, unsigned flags)
{
    const struct thread_scheduling *of = pid >= 0 ? linux_scheduling(pid) : NULL;
    struct linux_sched_attr attr = {.size = size < sizeof(attr) ? size : sizeof(attr), .clamp_most = 1024};

    if (user == NULL || pid < 0 || size < ATTR_SIZE_FIRST || size > ATTR_SIZE_MOST || flags != 0)
        return -E_INVAL;
    if (of == NULL)
        return -E_SRCH;
    attr.policy = (uint32_t)of->policy;
    attr.flags = of->reset_on_fork ? ATTR_RESET_ON_FORK : 0;
    attr.nice = is_real_time(of->policy) ? 0 : of->nice;
    attr.priority = (uint32_t)of->priority;
    return -user_write(user, &attr, attr.size);
}

/* ---- CPUs ---- */

uint64_t linux_cpus(void)
{
    unsigned count = cpu_present();

    return count >= 64 ? UINT64_MAX : ((uint64_t)1 << count) - 1;
}

long linux_sched_setaffinity(int pid, unsigned size, const void *user)
{
    LINUX_HOLD_IF(linux_thread_is_other(pid));
    uint64_t mask = 0;

    if (user_read(&mask, user, size < sizeof(mask) ? size : sizeof(mask)) != E_SUCCESS)
        return -E_FAULT;
    if (linux_scheduling(pid) == NULL)
        return -E_SRCH;
    start_cpus(); /* one that the firmware tells of may not start */
    mask &= linux_cpus();
    if (mask == 0)
        return -E_INVAL;
    set_affinity(pid, mask);
    return 0;
}

uint64_t linux_affinity(int id)
{
    return linux_cpus() & get_affinity(id);
}

/* As Linux: the bytes of the kernel's own mask, which is a word for up to 64 CPUs. */
long linux_sched_getaffinity(int pid, unsigned size, uint64_t *user)
{
    LINUX_HOLD_IF(linux_thread_is_other(pid));
    uint64_t mask;

    if (size < sizeof(mask) || size % sizeof(mask) != 0)
        return -E_INVAL;
    if (linux_scheduling(pid) == NULL)
        return -E_SRCH;
    mask = linux_affinity(pid);
    return user_write(user, &mask, sizeof(mask)) != E_SUCCESS ? -E_FAULT : (long)sizeof(mask);
}

long linux_getcpu(unsigned *cpu, unsigned *node)
{
    const unsigned zero = 0, running = running_cpu();

    if (cpu != NULL && user_write(cpu, &running, sizeof(running)) != E_SUCCESS)
        return -E_FAULT;
    return node != NULL ? -user_write(node, &zero, sizeof(zero)) : 0;
}

/* ---- nice ---- */

/* NULL: *error says why. Of all of a user's threads or a group's the running one stands for the others. */
static struct thread_scheduling *find_nice(int which, int who, error_t *error)
{
    struct thread_scheduling *of = linux_scheduling(which == PRIO_PROCESS ? who : 0);

    *error = E_SRCH;
    if (which < PRIO_PROCESS || which > PRIO_USER)
        *error = E_INVAL;
    else if (which == PRIO_USER ? who == 0 || (uint32_t)who == process_user()
                                : which == PRIO_PROCESS || process_is_own(who))
        return of;
    return NULL;
}

/* 20 less nice, so that it is never negative: man 2 getpriority, "C library/kernel differences". */
long linux_getpriority(int which, int who)
{
    LINUX_HOLD_IF(which == PRIO_PROCESS && linux_thread_is_other(who));
    error_t error;
    const struct thread_scheduling *of = find_nice(which, who, &error);

    return of == NULL ? -error : 20 - of->nice;
}

long linux_setpriority(int which, int who, int wanted)
{
    error_t error;
    struct thread_scheduling *of = find_nice(which, who, &error);

    if (of == NULL)
        return -error;
    of->nice = wanted < NICE_LEAST ? NICE_LEAST : wanted > NICE_MOST ? NICE_MOST : wanted;
    return 0;
}
