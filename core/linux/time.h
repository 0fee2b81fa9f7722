/* Time as system calls have it: clocks by their numbers, time spans, and setting the time. */
#ifndef CORE_LINUX_TIME_H
#define CORE_LINUX_TIME_H

#include "core/base/error.h"
#include "core/linux/abi.h"
#include "core/linux/timers.h"

#define SECOND 1000000000ull /* nanoseconds */

struct linux_timezone {
    int32_t minutes_west, summer_time;
};
extern struct linux_timezone linux_time_zone; /* kept and returned */

struct linux_itimerval {
    struct linux_timeval interval, value;
};

struct linux_sigevent { /* as far as the kernel reads it */
    uint64_t value;
    int32_t signal, notify, thread, padding[11];
};
_Static_assert(sizeof(struct linux_sigevent) == 64, "struct sigevent of x86-64");

struct linux_timex {
    uint32_t modes, padding0;
    int64_t offset, frequency, maximum_error, estimated_error;
    int32_t status, padding1;
    int64_t constant, precision, tolerance;
    struct linux_timeval time;
    int64_t tick, pps[8];
    int32_t tai, padding2[11];
};
_Static_assert(sizeof(struct linux_timex) == 208, "struct timex of x86-64");

/* What a clock of the program counts; E_INVAL: there is no such clock. */
error_t linux_find_clock(int clock, enum timer_clock *kind);
uint64_t linux_clock_now(enum timer_clock);

static inline struct linux_timespec linux_timespec_of(uint64_t time)
{
    return (struct linux_timespec){.seconds = (int64_t)(time / SECOND), .nanoseconds = (int64_t)(time % SECOND)};
}

/* ns of a time span (E_INVAL); spans of more than centuries are cut. */
error_t linux_span_of(const struct linux_timespec *, uint64_t *nanoseconds);

/* timer_calls.c */
long linux_setitimer(int which, const struct linux_itimerval *new, struct linux_itimerval *old);
long linux_getitimer(int which, struct linux_itimerval *to);
long linux_alarm(unsigned seconds);
long linux_timer_create(int clock, const struct linux_sigevent *event, int *id);
long linux_timer_settime(int id, int flags, const struct linux_itimerspec *new, struct linux_itimerspec *old);
long linux_timer_gettime(int id, struct linux_itimerspec *to);
long linux_timer_getoverrun(int id);
long linux_timer_delete(int id);

/* set_time.c */
long linux_clock_settime(int clock, const struct linux_timespec *);
long linux_settimeofday(const struct linux_timeval *, const struct linux_timezone *);
long linux_adjtimex(struct linux_timex *);
long linux_clock_adjtime(int clock, struct linux_timex *);

#endif
