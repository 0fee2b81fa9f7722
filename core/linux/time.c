#include "core/linux/time.h"
#include "core/clock.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/lock.h"
#include "core/linux/wait.h"
#include "vm/space.h"
#if QUIRE_THREADS
#include "core/threads/scheduler.h"
#endif

#define TICK_NS 4000000 /* of the coarse clocks, as they say; they are exact */

/*
 * Clocks of a process or thread by its number (clock_getcpuclockid): the number's complement above three bits, of which
 * the lower two say what counts, and the third that it is a thread's (linux/include/linux/posix-timers.h). Nothing
 * tells what the core used of a CPU time. Timers on a thread's clock are on that of the program.
 */
#define LINUX_RUSAGE_THREAD 1
#define CPU_CLOCK_KIND 3
#define CPU_CLOCK_EXACT 2
#define CPU_CLOCK_THREAD 4
enum { THIS_PROCESS = 0, FIRST_PROCESS = 1 };

/* True for the clocks of a CPU time by number. */
static bool is_numbered(int clock)
{
    int number = ~(clock >> 3);
    uint64_t time;

    if (clock >= 0 || (clock & CPU_CLOCK_KIND) == CPU_CLOCK_KIND)
        return false;
    return clock & CPU_CLOCK_THREAD ? linux_thread_cpu_time(number, &time)
                                    : number == THIS_PROCESS || number == FIRST_PROCESS;
}

error_t linux_find_clock(int clock, enum timer_clock *kind)
{
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_TAI:
        *kind = TIMER_REALTIME;
        return E_SUCCESS;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
        *kind = TIMER_MONOTONIC;
        return E_SUCCESS;
    case CLOCK_PROCESS_CPUTIME_ID:
    case CLOCK_THREAD_CPUTIME_ID:
        *kind = TIMER_CPU;
        return E_SUCCESS;
    default: /* The alarm clocks need a device that wakes the machine. */
        *kind = TIMER_CPU;
        return is_numbered(clock) ? E_SUCCESS : E_INVAL;
    }
}

uint64_t linux_clock_now(enum timer_clock clock)
{
    return clock == TIMER_REALTIME ? clock_realtime() : clock == TIMER_CPU ? linux_cpu_time() : clock_monotonic();
}

/* What a clock that is there shows. */
static uint64_t time_of(int clock, enum timer_clock kind)
{
    bool of_thread = clock == CLOCK_THREAD_CPUTIME_ID || (clock < 0 && (clock & CPU_CLOCK_THREAD));
    uint64_t time;

    if (kind != TIMER_CPU || !of_thread)
        return linux_clock_now(kind);
    return linux_thread_cpu_time(clock < 0 ? ~(clock >> 3) : 0, &time) ? time : 0;
}

static struct linux_timeval timeval_of(uint64_t time)
{
    return (struct linux_timeval){.seconds = (int64_t)(time / SECOND), .microseconds = (int64_t)(time % SECOND / 1000)};
}

/* Clocks by number are looked for among the threads. */
#define HOLD_FOR(clock) LINUX_HOLD_IF((clock) < 0)

long linux_clock_gettime(int clock, struct linux_timespec *to)
{
    HOLD_FOR(clock);
    enum timer_clock kind;
    error_t error = linux_find_clock(clock, &kind);
    struct linux_timespec now;

    if (error != E_SUCCESS)
        return -error;
    now = linux_timespec_of(time_of(clock, kind));
    return -user_write(to, &now, sizeof(now));
}

long linux_clock_getres(int clock, struct linux_timespec *to)
{
    HOLD_FOR(clock);
    bool coarse = clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE ||
                  (clock < 0 && (clock & CPU_CLOCK_KIND) != CPU_CLOCK_EXACT);
    struct linux_timespec resolution = {.nanoseconds = coarse ? TICK_NS : 1};
    enum timer_clock kind;
    error_t error = linux_find_clock(clock, &kind);

    if (error != E_SUCCESS || to == NULL)
        return -error;
    return -user_write(to, &resolution, sizeof(resolution));
}

struct linux_timezone linux_time_zone;

long linux_gettimeofday(struct linux_timeval *to, void *zone)
{
    struct linux_timeval now;

    if (to != NULL) {
        now = timeval_of(clock_realtime());
        if (user_write(to, &now, sizeof(now)) != E_SUCCESS)
            return -E_FAULT;
    }
    return zone != NULL ? -user_write(zone, &linux_time_zone, sizeof(linux_time_zone)) : 0;
}

long linux_time(int64_t *to)
{
    int64_t seconds = (int64_t)(clock_realtime() / SECOND);

    if (to != NULL && user_write(to, &seconds, sizeof(seconds)) != E_SUCCESS)
        return -E_FAULT;
    return seconds;
}

static bool is_time(const struct linux_timespec *time)
{
    return time->seconds >= 0 && time->nanoseconds >= 0 && time->nanoseconds < (int64_t)SECOND;
}

error_t linux_span_of(const struct linux_timespec *span, uint64_t *nanoseconds)
{
    const uint64_t limit = UINT64_MAX / 4 / SECOND; /* so that it can be added to a time */

    if (!is_time(span))
        return E_INVAL;
    *nanoseconds =
        ((uint64_t)span->seconds < limit ? (uint64_t)span->seconds : limit) * SECOND + (uint64_t)span->nanoseconds;
    return E_SUCCESS;
}

error_t linux_read_span(const struct linux_timespec *user, uint64_t *nanoseconds)
{
    struct linux_timespec span;

    return user_read(&span, user, sizeof(span)) != E_SUCCESS ? E_FAULT : linux_span_of(&span, nanoseconds);
}

#if QUIRE_THREADS
/* As linux_wait, but nothing except a signal wakes it before: without the lock. */
static error_t wait(uint64_t deadline)
{
    if (linux_signal_waits(deadline))
        return E_INTR;
    if (clock_monotonic() >= deadline)
        return E_TIMEDOUT;
    thread_park(deadline);
    return E_SUCCESS;
}
#else
#define wait linux_wait
#endif

/* Until a signal comes: nobody else computes, so CPU time stands still. */
static long sleep_for_ever(void)
{
    error_t error;

    do
        error = wait(WAIT_FOR_EVER);
    while (error == E_SUCCESS);
    return -error;
}

/* Monotonic. A handler ends the sleep, with or without SA_RESTART; the rest of the time goes where `rest` says. */
static long sleep_until(uint64_t deadline, struct linux_timespec *rest)
{
    uint64_t now;
    struct linux_timespec left;
    error_t error;

    do
        error = wait(deadline);
    while (error == E_SUCCESS);
    if (error == E_TIMEDOUT)
        return 0;
    now = clock_monotonic();
    left = linux_timespec_of(deadline > now ? deadline - now : 0);
    if (rest != NULL && user_write(rest, &left, sizeof(left)) != E_SUCCESS)
        return -E_FAULT;
    return -error;
}

static bool can_sleep(int clock)
{
    return clock != CLOCK_THREAD_CPUTIME_ID && clock != CLOCK_MONOTONIC_RAW && clock != CLOCK_REALTIME_COARSE &&
           clock != CLOCK_MONOTONIC_COARSE;
}

static error_t find_clock(int clock, enum timer_clock *kind)
{
    HOLD_FOR(clock);
    return linux_find_clock(clock, kind);
}

long linux_clock_nanosleep(int clock, int flags, const struct linux_timespec *request, struct linux_timespec *rest)
{
    enum timer_clock kind;
    uint64_t span, now;
    error_t error = find_clock(clock, &kind);

    if (error == E_SUCCESS ? !can_sleep(clock) : clock == CLOCK_REALTIME_ALARM || clock == CLOCK_BOOTTIME_ALARM)
        error = E_NOTSUP;
    if (error == E_SUCCESS)
        error = linux_read_span(request, &span);
    if (error == E_SUCCESS && clock < 0 && (clock & CPU_CLOCK_THREAD))
        error = E_INVAL; /* it would wait for itself to compute */
    if (error != E_SUCCESS)
        return -error;
    now = linux_clock_now(kind);
    if (flags & TIMER_ABSTIME)
        span = span > now ? span - now : 0;
    if (kind == TIMER_CPU && span > 0)
        return sleep_for_ever();
    return sleep_until(linux_deadline(span), flags & TIMER_ABSTIME ? NULL : rest);
}

long linux_nanosleep(const struct linux_timespec *request, struct linux_timespec *rest)
{
    return linux_clock_nanosleep(CLOCK_MONOTONIC, 0, request, rest);
}

long linux_getrusage(int who, struct linux_rusage *to)
{
    struct linux_rusage usage = {.user = {0}};
    uint64_t time;

    if (who < -1 || who > 1)
        return -E_INVAL;
    if (who >= 0) { /* not RUSAGE_CHILDREN: there are none */
        if (who != LINUX_RUSAGE_THREAD || !linux_thread_cpu_time(0, &time))
            time = linux_cpu_time();
        usage.user = timeval_of(time);
        usage.resident_max = (int64_t)(vm_resident_peak(vm_space()) / 1024);
        usage.minor_faults = (int64_t)vm_faults(vm_space());
    }
    return -user_write(to, &usage, sizeof(usage));
}

long linux_times(struct linux_tms *to)
{
    struct linux_tms times = {.user = (int64_t)(linux_cpu_time() / (SECOND / CLOCK_TICKS))};

    if (to != NULL && user_write(to, &times, sizeof(times)) != E_SUCCESS)
        return -E_FAULT;
    return (long)(clock_monotonic() / (SECOND / CLOCK_TICKS));
}
