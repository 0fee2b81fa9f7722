/*
 * The timer queue: a pairing heap for each clock (Fredman, Sedgewick, Sleator, Tarjan, 1986), linked through the
 * timers, so that setting one costs nothing but a comparison and needs no memory. The root is the next one due.
 * `previous` is the left sibling, or the parent of a first child.
 *
 * Who computes is interrupted by an alarm, which is set to the next deadline once a timer asks for that. Who sleeps
 * wakes for it by himself (wait.c).
 */
#include "core/linux/timers.h"

#include "core/clock.h"
#include "core/linux/alarm.h"
#include "core/linux/signals.h"
#include "core/percpu.h"

static void interrupt(struct alarm *, struct trap_frame *program);

static struct timer *queues[TIMER_CLOCKS];
static bool interrupting; /* a timer was set that interrupts the program */
static struct alarm alarm = {.deadline = UINT64_MAX, .due = interrupt};

uint64_t timer_now(enum timer_clock clock)
{
    return clock == TIMER_REALTIME ? clock_realtime() : clock == TIMER_CPU ? linux_cpu_time() : clock_monotonic();
}

/* ---- the heap ---- */

static struct timer *meld(struct timer *first, struct timer *second)
{
    struct timer *least = first, *other = second;

    if (first == NULL || second == NULL)
        return first != NULL ? first : second;
    if (second->deadline < first->deadline) {
        least = second;
        other = first;
    }
    other->next = least->child;
    if (other->next != NULL)
        other->next->previous = other;
    other->previous = least;
    least->child = other;
    least->next = least->previous = NULL;
    return least;
}

/* One heap of the children of a root that goes: in pairs from the left, then the pairs from the right. */
static struct timer *meld_children(struct timer *child)
{
    struct timer *pairs = NULL, *result = NULL;

    while (child != NULL) {
        struct timer *first = child, *second = child->next, *pair;

        child = second != NULL ? second->next : NULL;
        first->next = first->previous = NULL;
        if (second != NULL)
            second->next = second->previous = NULL;
        pair = meld(first, second);
        pair->next = pairs;
        pairs = pair;
    }
    while (pairs != NULL) {
        struct timer *next = pairs->next;

        pairs->next = NULL;
        result = meld(result, pairs);
        pairs = next;
    }
    return result;
}

static void take_out(struct timer *timer)
{
    struct timer **root = &queues[timer->clock], *rest = meld_children(timer->child);

    if (timer == *root) {
        *root = rest;
    } else {
        if (timer->previous->child == timer)
            timer->previous->child = timer->next;
        else
            timer->previous->next = timer->next;
        if (timer->next != NULL)
            timer->next->previous = timer->previous;
        *root = meld(*root, rest);
    }
    timer->child = timer->next = timer->previous = NULL;
    timer->queued = false;
}

/* ---- what is due ---- */

/* The monotonic time at which the first timer of the clock is due, if the clock runs from now on. */
static uint64_t due(enum timer_clock clock, uint64_t now)
{
    const struct timer *first = queues[clock];
    uint64_t time;

    if (first == NULL || first->deadline == UINT64_MAX)
        return UINT64_MAX;
    if (clock == TIMER_MONOTONIC)
        return first->deadline;
    time = timer_now(clock);
    if (first->deadline <= time)
        return now;
    return first->deadline - time < UINT64_MAX - now ? now + (first->deadline - time) : UINT64_MAX;
}

uint64_t timers_next(void)
{
    uint64_t now = clock_monotonic(), monotonic = due(TIMER_MONOTONIC, now), realtime = due(TIMER_REALTIME, now);

    return monotonic < realtime ? monotonic : realtime;
}

static void set_alarm(uint64_t deadline)
{
    if (!alarm_set(&alarm, deadline)) /* no timer interrupts here: every call looks */
        this_cpu(linux_attention) |= ATTEND_TIMERS;
}

/* One that is set too early costs an interrupt, which sets it anew. */
static void adjust_alarm(void)
{
    uint64_t next, cpu;

    if (!interrupting)
        return;
    next = timers_next();
    cpu = due(TIMER_CPU, clock_monotonic());
    if (cpu < next)
        next = cpu;
    if (next < alarm.deadline)
        set_alarm(next);
}

void timers_run(void)
{
    for (enum timer_clock clock = 0; clock < TIMER_CLOCKS; clock++) {
        /* Looked at once: one that is set anew with a short period may be due again already. */
        uint64_t now = queues[clock] != NULL ? timer_now(clock) : 0;

        while (queues[clock] != NULL && queues[clock]->deadline <= now && queues[clock]->deadline != UINT64_MAX) {
            struct timer *timer = queues[clock];

            take_out(timer);
            timer->expired(timer);
        }
    }
    if (alarm.deadline <= clock_monotonic())
        alarm.deadline = UINT64_MAX; /* it has gone off */
    adjust_alarm();
}

/* Interrupted is the program or (NULL) the core, where the program called it directly. */
static void interrupt(struct alarm *own, struct trap_frame *program)
{
    (void)own;
    timers_run();
    if (signals_deliverable() == 0)
        return;
    if (program != NULL)
        signals_deliver(program, false);
    else
        set_alarm(clock_monotonic() + ALARM_AGAIN_NS);
}

/* ---- setting ---- */

static const struct timer_hooks hooks = {.run = timers_run, .next = timers_next};

void timer_set(struct timer *timer, enum timer_clock clock, uint64_t deadline, void (*expired)(struct timer *),
               bool interrupts)
{
    timer_cancel(timer);
    *timer = (struct timer){.deadline = deadline, .expired = expired, .clock = clock, .queued = true};
    queues[clock] = meld(queues[clock], timer);
    linux_timers = &hooks;
    interrupting |= interrupts;
    adjust_alarm();
}

bool timer_cancel(struct timer *timer)
{
    if (!timer->queued)
        return false;
    take_out(timer);
    return true;
}

uint64_t timer_advance(uint64_t *deadline, uint64_t interval, uint64_t now)
{
    uint64_t times = now < *deadline ? 1 : (now - *deadline) / interval + 1;

    *deadline += times * interval;
    return times;
}
