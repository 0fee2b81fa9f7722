/*
 * Setting the wall clock: of this machine's run, not of its battery-backed clock. Its speed is that of the time-stamp
 * counter and cannot be changed (adjtimex).
 */
#include "core/clock.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/time.h"
#include "core/linux/wait.h"

#define YEARS_MAX (INT64_MAX / (int64_t)SECOND - 30ll * 365 * 24 * 3600) /* seconds; Linux: TIME_SETTOD_SEC_MAX */
#define TIME_ZONE_MAX (15 * 60)
#define TIME_ERROR 5 /* adjtimex: nobody has set the clock to a standard */
#define STA_UNSYNC 0x40

static error_t set_time(const struct linux_timespec *time)
{
    uint64_t ns;

    if (time->seconds >= YEARS_MAX || linux_span_of(time, &ns) != E_SUCCESS || ns < clock_monotonic())
        return E_INVAL; /* also what lies before the boot's zero */
    clock_set_realtime(ns);
    linux_wake_waiting(); /* what they wait for may come sooner, or be cancelled */
    if (linux_timers != NULL)
        linux_timers->run();
    return E_SUCCESS;
}

long linux_clock_settime(int clock, const struct linux_timespec *user)
{
    struct linux_timespec time;
    enum timer_clock kind;

    if (clock != CLOCK_REALTIME && (clock >= 0 || linux_find_clock(clock, &kind) != E_SUCCESS))
        return -E_INVAL;
    if (user_read(&time, user, sizeof(time)) != E_SUCCESS)
        return -E_FAULT;
    return clock != CLOCK_REALTIME ? -E_PERM : -set_time(&time);
}

long linux_settimeofday(const struct linux_timeval *user, const struct linux_timezone *user_zone)
{
    struct linux_timeval value;
    struct linux_timezone zone;
    struct linux_timespec time;

    if (user != NULL) {
        if (user_read(&value, user, sizeof(value)) != E_SUCCESS)
            return -E_FAULT;
        if (value.microseconds < 0 || value.microseconds > 999999)
            return -E_INVAL;
    }
    if (user_zone != NULL) {
        if (user_read(&zone, user_zone, sizeof(zone)) != E_SUCCESS)
            return -E_FAULT;
        if (zone.minutes_west > TIME_ZONE_MAX || zone.minutes_west < -TIME_ZONE_MAX)
            return -E_INVAL;
    }
    if (user != NULL) {
        time = (struct linux_timespec){value.seconds, value.microseconds * 1000};
        if (set_time(&time) != E_SUCCESS)
            return -E_INVAL;
    }
    if (user_zone != NULL)
        linux_time_zone = zone;
    return 0;
}

long linux_adjtimex(struct linux_timex *user)
{
    uint64_t now = clock_realtime();
    struct linux_timex state = {
        .maximum_error = 16000000,
        .estimated_error = 16000000,
        .status = STA_UNSYNC,
        .constant = 2,
        .precision = 1,
        .tolerance = 32768000,
        .time = {(int64_t)(now / SECOND), (int64_t)(now % SECOND / 1000)},
        .tick = 10000,
    };
    uint32_t modes;

    if (user_read(&modes, user, sizeof(modes)) != E_SUCCESS)
        return -E_FAULT;
    if (modes != 0)
        return -E_PERM;
    return user_write(user, &state, sizeof(state)) != E_SUCCESS ? -E_FAULT : TIME_ERROR;
}

long linux_clock_adjtime(int clock, struct linux_timex *user)
{
    enum timer_clock kind;
    uint32_t modes;

    if (user_read(&modes, user, sizeof(modes)) != E_SUCCESS)
        return -E_FAULT;
    if (clock == CLOCK_REALTIME)
        return linux_adjtimex(user);
    return linux_find_clock(clock, &kind) == E_SUCCESS ? -E_NOTSUP : -E_INVAL;
}
