/*
 * Timers that send signals: setitimer(2) and alarm(2), timer_create(2). A POSIX timer has the entry in the queue of
 * signals with it, so that an expiry, which may come by an interrupt, needs no memory. While its signal waits to be
 * delivered the timer rests; what it would have sent meanwhile is counted as overrun (man 2 timer_getoverrun). One that
 * sends no signal rests from its first expiry on, as only timer_gettime asks for it.
 */
#include "core/allocate.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/signals.h"
#include "core/linux/time.h"
#include "core/linux/wait.h"

#define MICROSECOND 1000u /* ns */
/* The least time between expiries of which the program sees nothing; shorter ones would leave it no time to compute. */
#define REST_NS 100000u

static void advance_unseen(uint64_t *deadline, uint64_t interval, enum timer_clock clock)
{
    timer_advance(deadline, interval, timer_now(clock) + (interval < REST_NS ? REST_NS : 0));
}

/* ---- interval timers ---- */

struct interval_timer {
    struct timer timer;
    uint64_t interval;
};

enum { ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF, ITIMERS };

static struct interval_timer interval_timers[ITIMERS];

static enum timer_clock interval_clock(int which)
{
    return which == ITIMER_REAL ? TIMER_MONOTONIC : TIMER_CPU;
}

static void interval_expired(struct timer *timer)
{
    static const int signals[ITIMERS] = {SIGALRM, SIGVTALRM, SIGPROF};
    struct interval_timer *own = CONTAINER_OF(timer, struct interval_timer, timer);
    long which = own - interval_timers;
    uint64_t deadline = timer->due.time, bit = signal_bit(signals[which]);
    bool unseen =
        ((process_signals.pending.set | (process_signals.ignored & ~signals_blocked_by(&process_signals.pending))) &
         bit) != 0;

    linux_send_signal(signals[which]);
    if (own->interval == 0)
        return;
    if (unseen)
        advance_unseen(&deadline, own->interval, timer->clock);
    else
        timer_advance(&deadline, own->interval, timer_now(timer->clock));
    timer_set(timer, timer->clock, deadline, interval_expired, true);
}

static struct linux_timeval timeval_of(uint64_t ns)
{
    return (struct linux_timeval){(int64_t)(ns / SECOND), (int64_t)(ns % SECOND / MICROSECOND)};
}

static struct linux_itimerval interval_state(int which)
{
    const struct interval_timer *own = &interval_timers[which];
    uint64_t now = timer_now(interval_clock(which)), left = 0;

    if (own->timer.due.queued) /* never 0 as long as it runs */
        left = own->timer.due.time >= now + MICROSECOND ? own->timer.due.time - now : MICROSECOND;
    return (struct linux_itimerval){timeval_of(own->interval), timeval_of(left)};
}

static void set_interval_timer(int which, uint64_t value, uint64_t interval)
{
    struct interval_timer *own = &interval_timers[which];
    enum timer_clock clock = interval_clock(which);

    timer_cancel(&own->timer);
    own->interval = interval;
    if (value != 0)
        timer_set(&own->timer, clock, timer_now(clock) + value, interval_expired, true);
}

static error_t read_interval(const struct linux_timeval *value, uint64_t *ns)
{
    if (value->microseconds < 0 || value->microseconds > 999999)
        return E_INVAL;
    return linux_span_of(&(struct linux_timespec){value->seconds, value->microseconds * MICROSECOND}, ns);
}

long linux_getitimer(int which, struct linux_itimerval *to)
{
    struct linux_itimerval state;

    if (which < 0 || which >= ITIMERS)
        return -E_INVAL;
    state = interval_state(which);
    return -user_write(to, &state, sizeof(state));
}

/* No new value is one of zero: the timer stops. */
long linux_setitimer(int which, const struct linux_itimerval *new, struct linux_itimerval *old)
{
    struct linux_itimerval wanted = {.value = {0, 0}}, before;
    uint64_t value, interval;

    if (new != NULL && user_read(&wanted, new, sizeof(wanted)) != E_SUCCESS)
        return -E_FAULT;
    if (read_interval(&wanted.value, &value) != E_SUCCESS || read_interval(&wanted.interval, &interval) != E_SUCCESS ||
        which < 0 || which >= ITIMERS)
        return -E_INVAL;
    before = interval_state(which);
    set_interval_timer(which, value, interval);
    return old != NULL ? -user_write(old, &before, sizeof(before)) : 0;
}

long linux_alarm(unsigned seconds)
{
    struct linux_itimerval before = interval_state(ITIMER_REAL);
    bool more = (before.value.seconds == 0 && before.value.microseconds != 0) || before.value.microseconds >= 500000;

    set_interval_timer(ITIMER_REAL, seconds * SECOND, 0);
    return before.value.seconds + more;
}

/* ---- POSIX timers ---- */

enum { SIGEV_SIGNAL, SIGEV_NONE, SIGEV_THREAD, SIGEV_THREAD_ID = 4 };

enum { TO_NOBODY = -1, TO_PROCESS = 0 };

struct posix_timer {
    struct posix_timer *next;
    struct timer timer;
    struct signal_entry entry;
    int thread;             /* that signals are sent to: TO_PROCESS, or TO_NOBODY */
    enum timer_clock clock; /* of the absolute times */
    bool sent;              /* the entry is in the queue */
    int id;
    uint64_t interval;
    uint64_t missed;  /* expiries since the one whose signal waits */
    uint64_t overrun; /* of the signal that was delivered last */
};

static struct posix_timer *posix_timers; /* the newest first */

static struct posix_timer *find_timer(int id)
{
    struct posix_timer *own = posix_timers;

    while (own != NULL && own->id != id)
        own = own->next;
    return own;
}

static void posix_expired(struct timer *timer);

/* NULL: nobody, or a thread that is no more. */
static struct pending_signals *target_of(const struct posix_timer *own)
{
    return own->thread > 0             ? signals_of_thread(own->thread)
           : own->thread == TO_PROCESS ? &process_signals.pending
                                       : NULL;
}

/* A resting periodic timer: its deadline is moved to the next one to come. */
static void catch_up(struct posix_timer *own)
{
    struct timer *timer = &own->timer;
    uint64_t now = timer_now(timer->clock);

    if (timer->due.time <= now)
        own->missed += timer_advance(&timer->due.time, own->interval, now);
}

static void posix_delivered(struct signal_entry *entry, struct signal_info *info)
{
    struct posix_timer *own = CONTAINER_OF(entry, struct posix_timer, entry);

    own->sent = false;
    if (own->interval != 0) {
        catch_up(own);
        timer_set(&own->timer, own->timer.clock, own->timer.due.time, posix_expired, true);
    }
    own->overrun = own->missed < INT32_MAX ? own->missed : INT32_MAX;
    own->missed = 0;
    info->timer.overrun = (int32_t)own->overrun;
}

static void posix_expired(struct timer *timer)
{
    struct posix_timer *own = CONTAINER_OF(timer, struct posix_timer, timer);
    uint64_t bit = signal_bit(own->entry.info.signal), deadline = timer->due.time;
    struct pending_signals *to = target_of(own);

    if (to == NULL)
        return;
    if (!(process_signals.ignored & ~signals_blocked_by(to) & bit)) {
        if (own->interval != 0)
            timer_advance(&timer->due.time, own->interval, deadline);
        own->sent = true;
        signal_send_entry(to, &own->entry);
    } else if (own->interval != 0) {
        advance_unseen(&deadline, own->interval, timer->clock);
        timer_set(timer, timer->clock, deadline, posix_expired, true);
    }
}

/* E_NOTSUP: a clock without timers. */
static error_t timer_clock_of(int clock, enum timer_clock *kind)
{
    error_t error = linux_find_clock(clock, kind);

    if (clock == CLOCK_MONOTONIC_RAW || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE ||
        clock == CLOCK_REALTIME_ALARM || clock == CLOCK_BOOTTIME_ALARM)
        return E_NOTSUP;
    return error;
}

static error_t check_event(const struct linux_sigevent *event)
{
    switch (event->notify) {
    case SIGEV_NONE:
        return E_SUCCESS;
    case SIGEV_SIGNAL | SIGEV_THREAD_ID:
        if (event->thread <= 0 || signals_of_thread(event->thread) == NULL)
            return E_INVAL;
        break;
    case SIGEV_SIGNAL:
    case SIGEV_THREAD:
        break;
    default:
        return E_INVAL;
    }
    return event->signal < 1 || event->signal > SIGNALS ? E_INVAL : E_SUCCESS;
}

long linux_timer_create(int clock, const struct linux_sigevent *user, int *user_id)
{
    static int ids;
    struct linux_sigevent event = {.signal = SIGALRM, .value = (uint64_t)(unsigned)ids};
    enum timer_clock kind;
    struct posix_timer *own;
    error_t error;

    if (user != NULL && user_read(&event, user, sizeof(event)) != E_SUCCESS)
        return -E_FAULT;
    error = timer_clock_of(clock, &kind);
    if (error == E_SUCCESS)
        error = check_event(&event);
    if (error != E_SUCCESS)
        return -error;
    if (user_write(user_id, &ids, sizeof(ids)) != E_SUCCESS)
        return -E_FAULT;
    own = core_allocate(sizeof(*own));
    if (own == NULL)
        return -E_AGAIN;
    own->id = ids;
    ids = ids == INT32_MAX ? 0 : ids + 1;
    own->clock = kind;
    own->thread = event.notify == SIGEV_NONE ? TO_NOBODY : event.notify & SIGEV_THREAD_ID ? event.thread : TO_PROCESS;
    own->entry.taken = posix_delivered;
    own->entry.info =
        (struct signal_info){.signal = own->thread != TO_NOBODY ? event.signal : SIGALRM, .code = SI_TIMER};
    own->entry.info.timer.id = own->id;
    own->entry.info.timer.value = event.value;
    own->next = posix_timers;
    posix_timers = own;
    return 0;
}

static struct linux_itimerspec posix_state(struct posix_timer *own)
{
    uint64_t now = timer_now(own->timer.clock), left = 0;
    bool rests = own->interval != 0 && !own->timer.due.queued;

    if (rests)
        catch_up(own);
    if (own->timer.due.queued || rests)
        left = own->timer.due.time > now ? own->timer.due.time - now : own->thread != TO_NOBODY;
    return (struct linux_itimerspec){linux_timespec_of(own->interval), linux_timespec_of(left)};
}

static void stop(struct posix_timer *own)
{
    timer_cancel(&own->timer);
    if (own->sent)
        signal_withdraw(target_of(own), &own->entry);
    own->sent = false;
    own->missed = own->overrun = 0;
}

/* A span counts from now, whatever the wall clock is set to meanwhile. */
static void start(struct posix_timer *own, uint64_t value, bool absolute)
{
    enum timer_clock clock = !absolute && own->clock == TIMER_REALTIME ? TIMER_MONOTONIC : own->clock;

    timer_set(&own->timer, clock, absolute ? value : timer_now(clock) + value, posix_expired, own->thread != TO_NOBODY);
}

long linux_timer_settime(int id, int flags, const struct linux_itimerspec *new, struct linux_itimerspec *old)
{
    struct linux_itimerspec wanted, before;
    struct posix_timer *own;
    uint64_t value, interval;

    if (new == NULL)
        return -E_INVAL;
    if (user_read(&wanted, new, sizeof(wanted)) != E_SUCCESS)
        return -E_FAULT;
    if (linux_span_of(&wanted.value, &value) != E_SUCCESS || linux_span_of(&wanted.interval, &interval) != E_SUCCESS)
        return -E_INVAL;
    own = find_timer(id);
    if (own == NULL)
        return -E_INVAL;
    before = posix_state(own);
    stop(own);
    own->interval = value != 0 ? interval : 0;
    if (value != 0)
        start(own, value, (flags & TIMER_ABSTIME) != 0);
    timers_run();
    return old != NULL ? -user_write(old, &before, sizeof(before)) : 0;
}

long linux_timer_gettime(int id, struct linux_itimerspec *to)
{
    struct posix_timer *own = find_timer(id);
    struct linux_itimerspec state;

    if (own == NULL)
        return -E_INVAL;
    timers_run();
    state = posix_state(own);
    return -user_write(to, &state, sizeof(state));
}

long linux_timer_getoverrun(int id)
{
    struct posix_timer *own = find_timer(id);

    return own == NULL ? -E_INVAL : (long)own->overrun;
}

long linux_timer_delete(int id)
{
    struct posix_timer *own = find_timer(id), **link = &posix_timers;

    if (own == NULL)
        return -E_INVAL;
    stop(own);
    while (*link != own)
        link = &(*link)->next;
    *link = own->next;
    core_release(own, sizeof(*own));
    return 0;
}
