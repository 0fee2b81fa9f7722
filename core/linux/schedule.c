/*
 * Scheduling: nobody competes with the one thread for its CPU, so policies, priorities and affinity are checked, kept
 * and returned as on Linux (sched(7)), and change nothing.
 */
#include "core/base/string.h"
#include "core/cpu.h"
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

static int policy = SCHED_OTHER, priority, nice;
static bool reset_on_fork;
static uint64_t forbidden; /* CPUs that the affinity leaves out */

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
    bool reset = (which & RESET_ON_FORK) != 0;
    int wanted;
    error_t error;

    if (which < 0 || user_priority == NULL || pid < 0)
        return -E_INVAL;
    if (user_read(&wanted, user_priority, sizeof(wanted)) != E_SUCCESS)
        return -E_FAULT;
    if (!process_is_own(pid))
        return -E_SRCH;
    error = check(which & ~RESET_ON_FORK, wanted);
    if (error != E_SUCCESS)
        return -error;
    policy = which & ~RESET_ON_FORK;
    priority = wanted;
    reset_on_fork = reset;
    return 0;
}

long linux_sched_getscheduler(int pid)
{
    if (pid < 0)
        return -E_INVAL;
    return process_is_own(pid) ? policy | (reset_on_fork ? RESET_ON_FORK : 0) : -E_SRCH;
}

long linux_sched_setparam(int pid, const int *user_priority)
{
    return linux_sched_setscheduler(pid, policy | (reset_on_fork ? RESET_ON_FORK : 0), user_priority);
}

long linux_sched_getparam(int pid, int *to)
{
    if (to == NULL || pid < 0)
        return -E_INVAL;
    return process_is_own(pid) ? -user_write(to, &priority, sizeof(priority)) : -E_SRCH;
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
    /* Linux's RR_TIMESLICE, none for SCHED_FIFO, a tick of 250 Hz for the others. */
    struct linux_timespec interval = {.nanoseconds = policy == SCHED_RR     ? 100000000
                                                     : policy == SCHED_FIFO ? 0
                                                                            : 4000000};

    if (pid < 0)
        return -E_INVAL;
    return process_is_own(pid) ? -user_write(to, &interval, sizeof(interval)) : -E_SRCH;
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
    error_t error;

    if (user == NULL || pid < 0 || flags != 0)
        return -E_INVAL;
    error = read_attr(user, &attr);
    if (error != E_SUCCESS)
        return -error;
    if ((int32_t)attr.policy < 0 || (attr.flags & ~(uint64_t)ATTR_FLAGS))
        return -E_INVAL;
    if (!process_is_own(pid))
        return -E_SRCH;
    error = attr.priority > PRIORITY_MAX ? E_INVAL : check((int)attr.policy, (int)attr.priority);
    if (error != E_SUCCESS)
        return -error;
    policy = (int)attr.policy;
    priority = (int)attr.priority;
    reset_on_fork = attr.flags & ATTR_RESET_ON_FORK;
    if (!is_real_time(policy))
        nice = attr.nice < NICE_LEAST ? NICE_LEAST : attr.nice > NICE_MOST ? NICE_MOST : attr.nice;
    return 0;
}

long linux_sched_getattr(int pid, struct linux_sched_attr *user, unsigned size, unsigned flags)
{
    struct linux_sched_attr attr = {
        .size = size < sizeof(attr) ? size : sizeof(attr),
        .policy = (uint32_t)policy,
        .flags = reset_on_fork ? ATTR_RESET_ON_FORK : 0,
        .nice = is_real_time(policy) ? 0 : nice,
        .priority = (uint32_t)priority,
        .clamp_most = 1024,
    };

    if (user == NULL || pid < 0 || size < ATTR_SIZE_FIRST || size > ATTR_SIZE_MOST || flags != 0)
        return -E_INVAL;
    if (!process_is_own(pid))
        return -E_SRCH;
    return -user_write(user, &attr, attr.size);
}

/* ---- CPUs ---- */

static uint64_t all_cpus(void)
{
    unsigned count = cpu_count();

    return count >= 64 ? UINT64_MAX : ((uint64_t)1 << count) - 1;
}

long linux_sched_setaffinity(int pid, unsigned size, const void *user)
{
    uint64_t mask = 0;

    if (user_read(&mask, user, size < sizeof(mask) ? size : sizeof(mask)) != E_SUCCESS)
        return -E_FAULT;
    if (!process_is_own(pid))
        return -E_SRCH;
    if ((mask & all_cpus()) == 0)
        return -E_INVAL;
    forbidden = all_cpus() & ~mask;
    return 0;
}

/* As Linux: the bytes of the kernel's own mask, which is a word for up to 64 CPUs. */
long linux_sched_getaffinity(int pid, unsigned size, uint64_t *user)
{
    uint64_t mask = all_cpus() & ~forbidden;

    if (size < sizeof(mask) || size % sizeof(mask) != 0)
        return -E_INVAL;
    if (!process_is_own(pid))
        return -E_SRCH;
    return user_write(user, &mask, sizeof(mask)) != E_SUCCESS ? -E_FAULT : (long)sizeof(mask);
}

long linux_getcpu(unsigned *cpu, unsigned *node)
{
    unsigned zero = 0;

    if (cpu != NULL && user_write(cpu, &zero, sizeof(zero)) != E_SUCCESS)
        return -E_FAULT;
    return node != NULL ? -user_write(node, &zero, sizeof(zero)) : 0;
}

/* ---- nice ---- */

static error_t check_priority(int which, int who)
{
    if (which < PRIO_PROCESS || which > PRIO_USER)
        return E_INVAL;
    if (which == PRIO_USER)
        return who == 0 || (uint32_t)who == process_user() ? E_SUCCESS : E_SRCH;
    return process_is_own(who) ? E_SUCCESS : E_SRCH;
}

/* 20 less nice, so that it is never negative: man 2 getpriority, "C library/kernel differences". */
long linux_getpriority(int which, int who)
{
    error_t error = check_priority(which, who);

    return error != E_SUCCESS ? -error : 20 - nice;
}

long linux_setpriority(int which, int who, int wanted)
{
    error_t error = check_priority(which, who);

    if (error == E_SUCCESS)
        nice = wanted < NICE_LEAST ? NICE_LEAST : wanted > NICE_MOST ? NICE_MOST : wanted;
    return -error;
}
