/*
 * timerfd_create(2). As on Linux (fs/timerfd.c) a periodic timer is set again not when it expires but when somebody
 * looks: then the periods that went by are counted.
 */
#include "core/allocate.h"
#include "core/clock.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/events.h"
#include "core/linux/timers.h"
#include "core/linux/wait.h"

#define SECOND 1000000000ull
#define SPAN_MAX (INT64_MAX / SECOND) /* seconds: Linux's KTIME_SEC_MAX */
enum { TFD_TIMER_ABSTIME = 1, TFD_TIMER_CANCEL_ON_SET = 2 };
#define OFFSET_NOISE 1000000 /* ns */
#define TFD_IOC_SET_TICKS 0x40085400u

struct alarm {
    struct timer timer;
    struct file *file;
    enum timer_clock clock; /* of the deadline now set */
    bool realtime;          /* created on a clock that can be set */
    bool cancel_on_set;     /* and then reads fail */
    bool expired;           /* and not looked at since */
    uint64_t deadline, interval, ticks;
    int64_t offset; /* of the clock, from the monotonic one, when the timer was set */
};

static void expire(struct timer *timer)
{
    struct alarm *alarm = CONTAINER_OF(timer, struct alarm, timer);

    alarm->expired = true;
    alarm->ticks++;
    file_wake(alarm->file, POLLIN);
}

static void start(struct alarm *alarm)
{
    timer_set(&alarm->timer, alarm->clock, alarm->deadline, expire, false);
}

/* Counts the periods that went by since the timer expired, and sets it for the next. */
static void catch_up(struct alarm *alarm)
{
    timers_run();
    if (!alarm->expired || alarm->interval == 0)
        return;
    alarm->expired = false;
    alarm->ticks += timer_advance(&alarm->deadline, alarm->interval, timer_now(alarm->clock)) - 1;
    start(alarm);
}

static int64_t realtime_offset(void)
{
    return (int64_t)(clock_realtime() - clock_monotonic());
}

/* The clock was set since the timer was: by more than the time between two looks at it. */
static bool is_cancelled(const struct alarm *alarm)
{
    int64_t moved = realtime_offset() - alarm->offset;

    return alarm->cancel_on_set && (moved > OFFSET_NOISE || moved < -OFFSET_NOISE);
}

/* The same, and it is told once. */
static bool take_cancellation(struct alarm *alarm)
{
    bool cancelled = is_cancelled(alarm);

    if (cancelled)
        alarm->offset = realtime_offset();
    return cancelled;
}

static long alarm_read(struct file *file, void *user, size_t length, uint64_t *offset)
{
    struct alarm *alarm = file->own;
    uint64_t ticks;

    (void)offset;
    if (length < sizeof(ticks))
        return -E_INVAL;
    for (timers_run(); alarm->ticks == 0; timers_run()) {
        if (take_cancellation(alarm))
            return -E_CANCELED;
        if (file->flags & O_NONBLOCK)
            return -E_AGAIN;
        if (linux_wait(WAIT_FOR_EVER) == E_INTR)
            return -E_RESTART;
    }
    catch_up(alarm);
    ticks = alarm->ticks;
    alarm->ticks = 0;
    alarm->expired = false;
    if (take_cancellation(alarm))
        return -E_CANCELED;
    return user_write(user, &ticks, sizeof(ticks)) != E_SUCCESS ? -E_FAULT : (long)sizeof(ticks);
}

static unsigned alarm_poll(struct file *file)
{
    const struct alarm *alarm = file->own;

    timers_run();
    return alarm->ticks > 0 || is_cancelled(alarm) ? POLLIN : 0;
}

static long alarm_ioctl(struct file *file, unsigned request, unsigned long argument)
{
    struct alarm *alarm = file->own;
    uint64_t ticks;

    if (request != TFD_IOC_SET_TICKS)
        return -E_NOTTY;
    if (user_read(&ticks, (const void *)argument, sizeof(ticks)) != E_SUCCESS)
        return -E_FAULT;
    if (ticks == 0)
        return -E_INVAL;
    alarm->ticks = ticks;
    file_wake(file, POLLIN);
    return 0;
}

static long alarm_seek(struct file *file, int64_t offset, int whence)
{
    (void)file, (void)offset, (void)whence;
    return 0; /* Linux's noop_llseek */
}

static void alarm_release(struct file *file)
{
    struct alarm *alarm = file->own;

    timer_cancel(&alarm->timer);
    core_release(alarm, sizeof(*alarm));
}

static const struct file_operations alarm_operations = {
    .name = "anon_inode:[timerfd]",
    .read = alarm_read,
    .poll = alarm_poll,
    .ioctl = alarm_ioctl,
    .seek = alarm_seek,
    .release = alarm_release,
    .wakes = true,
};

static bool is_realtime(int clock)
{
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_ALARM;
}

long linux_timerfd_create(int clock, int flags)
{
    struct alarm *alarm;
    long fd;

    if ((flags & ~(O_CLOEXEC | O_NONBLOCK)) ||
        (!is_realtime(clock) && clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME && clock != CLOCK_BOOTTIME_ALARM))
        return -E_INVAL;
    alarm = core_allocate(sizeof(*alarm));
    if (alarm == NULL)
        return -E_NOMEM;
    *alarm = (struct alarm){.realtime = is_realtime(clock)};
    fd = file_open(&alarm_operations, O_RDWR | (unsigned)flags, alarm);
    if (fd < 0)
        core_release(alarm, sizeof(*alarm));
    else
        alarm->file = linux_file((int)fd);
    return fd;
}

static bool is_span(const struct linux_timespec *span)
{
    return span->seconds >= 0 && span->nanoseconds >= 0 && span->nanoseconds < (int64_t)SECOND;
}

static uint64_t nanoseconds_of(const struct linux_timespec *span)
{
    return (uint64_t)span->seconds >= SPAN_MAX ? INT64_MAX
                                               : (uint64_t)span->seconds * SECOND + (uint64_t)span->nanoseconds;
}

static struct linux_timespec timespec_of(uint64_t span)
{
    return (struct linux_timespec){.seconds = (int64_t)(span / SECOND), .nanoseconds = (int64_t)(span % SECOND)};
}

/* What gettime answers: the time to the next expiry, 0 if none is to come. */
static struct linux_itimerspec setting_of(struct alarm *alarm)
{
    uint64_t now, rest = 0;

    catch_up(alarm);
    now = timer_now(alarm->clock);
    if (alarm->timer.due.queued && alarm->deadline > now)
        rest = alarm->deadline - now;
    return (struct linux_itimerspec){.interval = timespec_of(alarm->interval), .value = timespec_of(rest)};
}

/* The alarm behind a descriptor; E_BADF, E_INVAL. */
static error_t find_alarm(int fd, struct alarm **alarm)
{
    struct file *file = linux_file_usable(fd);

    if (file == NULL)
        return E_BADF;
    if (file->operations != &alarm_operations)
        return E_INVAL;
    *alarm = file->own;
    return E_SUCCESS;
}

static void set_alarm(struct alarm *alarm, int flags, const struct linux_itimerspec *to)
{
    uint64_t value = nanoseconds_of(&to->value), now;

    timer_cancel(&alarm->timer);
    /* A span of time does not change when the clock is set. */
    alarm->clock = alarm->realtime && (flags & TFD_TIMER_ABSTIME) ? TIMER_REALTIME : TIMER_MONOTONIC;
    alarm->cancel_on_set = alarm->clock == TIMER_REALTIME && (flags & TFD_TIMER_CANCEL_ON_SET);
    alarm->offset = realtime_offset();
    alarm->expired = false;
    alarm->ticks = 0;
    alarm->interval = nanoseconds_of(&to->interval);
    if (value == 0)
        return;
    now = timer_now(alarm->clock);
    alarm->deadline = flags & TFD_TIMER_ABSTIME ? value : value < INT64_MAX - now ? now + value : INT64_MAX;
    start(alarm);
}

long linux_timerfd_settime(int fd, int flags, const struct linux_itimerspec *new, struct linux_itimerspec *old)
{
    struct linux_itimerspec to, before;
    struct alarm *alarm;
    error_t error;

    if (user_read(&to, new, sizeof(to)) != E_SUCCESS)
        return -E_FAULT;
    if ((flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)) || !is_span(&to.value) || !is_span(&to.interval))
        return -E_INVAL;
    error = find_alarm(fd, &alarm);
    if (error != E_SUCCESS)
        return -error;
    before = setting_of(alarm);
    set_alarm(alarm, flags, &to);
    return old != NULL ? -user_write(old, &before, sizeof(before)) : 0;
}

long linux_timerfd_gettime(int fd, struct linux_itimerspec *to)
{
    struct linux_itimerspec now;
    struct alarm *alarm;
    error_t error = find_alarm(fd, &alarm);

    if (error != E_SUCCESS)
        return -error;
    now = setting_of(alarm);
    return -user_write(to, &now, sizeof(now));
}
