#include "core/clock.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/wait.h"
#include "vm/frames.h"
#include "vm/vm.h"

#define SECOND 1000000000ull /* nanoseconds */

/* Nanoseconds on a clock. CPU time is the time since boot: the one program has the one CPU. */
static error_t read_clock(int clock, uint64_t *time)
{
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_TAI:
        *time = clock_realtime();
        return E_SUCCESS;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
    case CLOCK_PROCESS_CPUTIME_ID:
    case CLOCK_THREAD_CPUTIME_ID:
        *time = clock_monotonic();
        return E_SUCCESS;
    default:
        return E_INVAL;
    }
}

static struct linux_timespec timespec_of(uint64_t time)
{
    return (struct linux_timespec){.seconds = (int64_t)(time / SECOND), .nanoseconds = (int64_t)(time % SECOND)};
}

static struct linux_timeval timeval_of(uint64_t time)
{
    return (struct linux_timeval){.seconds = (int64_t)(time / SECOND), .microseconds = (int64_t)(time % SECOND / 1000)};
}

long linux_clock_gettime(int clock, struct linux_timespec *to)
{
    uint64_t time;
    error_t error = read_clock(clock, &time);
    struct linux_timespec now;

    if (error != E_SUCCESS)
        return -error;
    now = timespec_of(time);
    return -user_copy(to, &now, sizeof(now));
}

long linux_clock_getres(int clock, struct linux_timespec *to)
{
    struct linux_timespec resolution = {.nanoseconds = 1};
    uint64_t time;
    error_t error = read_clock(clock, &time);

    if (error != E_SUCCESS || to == NULL)
        return -error;
    return -user_copy(to, &resolution, sizeof(resolution));
}

long linux_gettimeofday(struct linux_timeval *to, void *zone)
{
    struct linux_timeval now;
    const int utc[2] = {0, 0};

    if (to != NULL) {
        now = timeval_of(clock_realtime());
        if (user_copy(to, &now, sizeof(now)) != E_SUCCESS)
            return -E_FAULT;
    }
    return zone != NULL ? -user_copy(zone, utc, sizeof(utc)) : 0;
}

long linux_time(int64_t *to)
{
    int64_t seconds = (int64_t)(clock_realtime() / SECOND);

    if (to != NULL && user_copy(to, &seconds, sizeof(seconds)) != E_SUCCESS)
        return -E_FAULT;
    return seconds;
}

error_t linux_read_span(const struct linux_timespec *user, uint64_t *nanoseconds)
{
    const uint64_t limit = UINT64_MAX / 4 / SECOND; /* so that it can be added to a time */
    struct linux_timespec span;

    if (user_copy(&span, user, sizeof(span)) != E_SUCCESS)
        return E_FAULT;
    if (span.seconds < 0 || span.nanoseconds < 0 || span.nanoseconds >= (int64_t)SECOND)
        return E_INVAL;
    *nanoseconds =
        ((uint64_t)span.seconds < limit ? (uint64_t)span.seconds : limit) * SECOND + (uint64_t)span.nanoseconds;
    return E_SUCCESS;
}

/* A handler ends the sleep, with or without SA_RESTART; the rest of the time goes where `rest` says. */
static long sleep_until(uint64_t deadline, struct linux_timespec *rest)
{
    uint64_t now;
    struct linux_timespec left;
    error_t error;

    do
        error = linux_wait(deadline);
    while (error == E_SUCCESS);
    if (error == E_TIMEDOUT)
        return 0;
    now = clock_monotonic();
    left = timespec_of(deadline > now ? deadline - now : 0);
    if (rest != NULL && user_copy(rest, &left, sizeof(left)) != E_SUCCESS)
        return -E_FAULT;
    return -error;
}

static bool can_sleep(int clock)
{
    return clock != CLOCK_THREAD_CPUTIME_ID && clock != CLOCK_MONOTONIC_RAW && clock != CLOCK_REALTIME_COARSE &&
           clock != CLOCK_MONOTONIC_COARSE;
}

long linux_clock_nanosleep(int clock, int flags, const struct linux_timespec *request, struct linux_timespec *rest)
{
    uint64_t span, now;
    error_t error = read_clock(clock, &now);

    /* The alarm clocks need a device to wake the machine. */
    if (error == E_SUCCESS ? !can_sleep(clock) : clock == CLOCK_REALTIME_ALARM || clock == CLOCK_BOOTTIME_ALARM)
        error = E_NOTSUP;
    if (error == E_SUCCESS)
        error = linux_read_span(request, &span);
    if (error != E_SUCCESS)
        return -error;
    if (flags & TIMER_ABSTIME)
        span = span > now ? span - now : 0;
    return sleep_until(clock_monotonic() + span, flags & TIMER_ABSTIME ? NULL : rest);
}

long linux_nanosleep(const struct linux_timespec *request, struct linux_timespec *rest)
{
    return linux_clock_nanosleep(CLOCK_MONOTONIC, 0, request, rest);
}

/* Memory in use stands for its maximum: nothing records how much it was before. */
long linux_getrusage(int who, struct linux_rusage *to)
{
    struct linux_rusage usage = {.user = {0}};

    if (who < -1 || who > 1)
        return -E_INVAL;
    if (who >= 0) { /* not RUSAGE_CHILDREN: there are none */
        struct frame_stats frames = frames_stats();

        usage.user = timeval_of(clock_monotonic());
        usage.resident_max = (int64_t)((frames.total - frames.free) * VM_PAGE_SIZE / 1024);
        usage.minor_faults = (int64_t)vm_faults(vm_space());
    }
    return -user_copy(to, &usage, sizeof(usage));
}

long linux_times(struct linux_tms *to)
{
    int64_t ticks = (int64_t)(clock_monotonic() / (SECOND / CLOCK_TICKS));
    struct linux_tms times = {.user = ticks};

    if (to != NULL && user_copy(to, &times, sizeof(times)) != E_SUCCESS)
        return -E_FAULT;
    return ticks;
}
