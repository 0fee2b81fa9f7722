/*
 * Timers: one queue for everything that happens at a time. A timer is a field of whatever needs it; its callback runs
 * once the deadline is over, in a wait (core/linux/wait.h), at the exit of a call, or by an interrupt while the program
 * computes.
 */
#ifndef CORE_LINUX_TIMERS_H
#define CORE_LINUX_TIMERS_H

#include "core/base/types.h"
#include "core/threads/deadlines.h"

/* What a deadline counts: ns of clock_monotonic(), of clock_realtime() (which the program may set: timers follow), or
 * of the program's CPU time, which stands still while the core sleeps. */
enum timer_clock { TIMER_MONOTONIC, TIMER_REALTIME, TIMER_CPU, TIMER_CLOCKS };

/* All zero before it is first set. The queue owns the fields; `due` and `clock` may be read. */
struct timer {
    struct deadline due;
    /* The timer is out of the queue and may be set again. Runs with interrupts off, possibly inside an interrupt: may
     * neither sleep nor allocate nor touch memory of the program. */
    void (*expired)(struct timer *);
    enum timer_clock clock;
};

/*
 * Sets the timer, anew if it is set already. A deadline in the past expires at once, in timers_run. Nothing is done
 * with a deadline of UINT64_MAX but that the timer is set. interrupt: the program is interrupted for it if it computes
 * then (signals); otherwise the timer is heeded when the program makes a call that looks (timerfd: call timers_run
 * first).
 */
void timer_set(struct timer *, enum timer_clock, uint64_t deadline, void (*expired)(struct timer *), bool interrupt);
/* True if it was set. */
bool timer_cancel(struct timer *);

uint64_t timer_now(enum timer_clock);
/* Calls what is due. */
void timers_run(void);
/* When the next one is due in monotonic ns, for a sleep (CPU time stands still); UINT64_MAX: none. */
uint64_t timers_next(void);

/* The queue as waiting sees it: NULL until the first timer is set, so that an image without timers links no queue. */
struct timer_hooks {
    void (*run)(void);
    uint64_t (*next)(void);
};
extern const struct timer_hooks *linux_timers;

/* The program's CPU time in ns (wait.c). */
uint64_t linux_cpu_time(void);

/* How often a timer with this interval (ns, not 0) has expired at `now` (>= *deadline): at least 1; *deadline becomes
 * the next one. */
uint64_t timer_advance(uint64_t *deadline, uint64_t interval, uint64_t now);

#endif
