/*
 * The timer queue: deadlines for each clock, in the order of the times.
 *
 * Who computes is interrupted by an alarm, which is set to the next deadline once a timer asks for that. Who sleeps
 * wakes for it by himself (wait.c).
 */
#include "core/linux/timers.h"

#include "core/clock.h"
#include "core/cpu.h"
#include "core/linux/alarm.h"
#include "core/linux/signals.h"
#include "core/linux/wait.h"
#include "core/percpu.h"

static void interrupt(struct alarm *, struct trap_frame *program);

static struct deadline *queues[TIMER_CLOCKS];
static bool interrupting; /* a timer was set that interrupts the program */
static struct alarm alarm = {.deadline = UINT64_MAX, .due = interrupt};

uint64_t timer_now(enum timer_clock clock)
{
    return clock == TIMER_REALTIME ? clock_realtime() : clock == TIMER_CPU ? linux_cpu_time() : clock_monotonic();
}

/* ---- what is due ---- */

/* The monotonic time at which the first timer of the clock is due, if the clock runs from now on. */
static uint64_t due(enum timer_clock clock, uint64_t now)
{
    const struct deadline *first = queues[clock];
    uint64_t time, left;

    if (first == NULL || first->time == UINT64_MAX)
        return UINT64_MAX;
    if (clock == TIMER_MONOTONIC)
        return first->time;
    time = timer_now(clock);
    if (first->time <= time)
        return now;
    left = first->time - time;
    if (clock == TIMER_CPU)
        left /= cpu_count(); /* so much sooner if all of them compute */
    return left < UINT64_MAX - now ? now + left : UINT64_MAX;
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

        while (queues[clock] != NULL && queues[clock]->time <= now && queues[clock]->time != UINT64_MAX) {
            struct timer *timer = CONTAINER_OF(queues[clock], struct timer, due);

            deadline_remove(&queues[clock], &timer->due);
            timer->expired(timer);
            linux_wake_running();
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
    if (QUIRE_THREADS || signals_deliverable() == 0) /* threads look for themselves */
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
    timer->expired = expired;
    timer->clock = clock;
    deadline_add(&queues[clock], &timer->due, deadline);
    linux_timers = &hooks;
    interrupting |= interrupts;
    linux_wake_waiting(); /* who waits may have to wake earlier now */
    adjust_alarm();
}

bool timer_cancel(struct timer *timer)
{
    if (!timer->due.queued)
        return false;
    deadline_remove(&queues[timer->clock], &timer->due);
    return true;
}

uint64_t timer_advance(uint64_t *deadline, uint64_t interval, uint64_t now)
{
    uint64_t times = now < *deadline ? 1 : (now - *deadline) / interval + 1;

    *deadline += times * interval;
    return times;
}
