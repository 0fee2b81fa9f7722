/*
 * How a system call sleeps. What wakes it is a timer, or the look at the console every so often, whose port does not
 * interrupt.
 *
 * Alone, the one thread sleeps where the CPU does; CPU time is all time that was not slept. Before the CPU halts it
 * cleans frames, a piece at a time until the wait is over: nothing but the end of the wait interrupts.
 *
 * Where there are threads, one that waits is parked, and whatever may have changed what it waits for wakes it: one that
 * waits for a file alone, what happens to that file, all others, anything. Each looks for itself (core/linux/wait.h).
 * At the console looks CPU 0, when it has nothing else to do, and every 100 ms while it computes, once a thread has
 * waited for input (linux_watch_console).
 */
#include "core/linux/wait.h"

#include "core/clock.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/file.h"
#include "core/linux/lock.h"
#include "core/linux/timers.h"
#include "vm/frames.h"

#define CONSOLE_INTERVAL 10000000u /* ns between looks at the port */

const struct timer_hooks *linux_timers;

static void run_timers(void)
{
    if (linux_timers != NULL)
        linux_timers->run();
}

#if QUIRE_THREADS

#include "core/linux/thread.h"

static struct linux_thread *waiting;

/* The running one, too: it may have looked already and be about to sleep, and itself run a timer or look at the console
 * on the way. */
void linux_wake_running(void)
{
    if (thread_current() != NULL)
        thread_unpark(thread_current());
}

void linux_wake_waiting(void)
{
    for (struct linux_thread *thread = waiting; thread != NULL; thread = thread->next_waiting)
        thread_unpark_later(&thread->thread, &linux_woken);
    linux_wake_running();
}

void linux_wake_waiting_for(const struct file *file)
{
    for (struct linux_thread *thread = waiting; thread != NULL; thread = thread->next_waiting)
        if (thread->waits_for == NULL || thread->waits_for == file)
            thread_unpark_later(&thread->thread, &linux_woken);
}

/* Of all threads that are and were: CPUs run nothing else. */
uint64_t linux_cpu_time(void)
{
    uint64_t time = 0;

    for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
        time += scheduler_busy_time(cpu);
    return time;
}

static void sleep_until(uint64_t time)
{
    struct linux_thread *self = linux_thread(), **link = &waiting;

    files_hold(self->in_use);
    self->next_waiting = waiting;
    waiting = self;
    linux_leave();
    thread_park(time);
    linux_enter();
    files_let_go(self->in_use);
    while (*link != self)
        link = &(*link)->next_waiting;
    *link = self->next_waiting;
}

static uint64_t next_look(uint64_t now)
{
    (void)now;
    return UINT64_MAX;
}

/* Signals that were typed find their thread by themselves. */
uint64_t linux_idle(void)
{
    if (spin_try(&linux_lock)) {
        if (console_look())
            linux_wake_waiting();
        linux_leave();
    }
    return clock_monotonic() + CONSOLE_INTERVAL;
}

#else

static uint64_t slept; /* ns in all, without the sleep that is going on */
static uint64_t asleep_since;
static bool asleep;

uint64_t linux_cpu_time(void)
{
    return (asleep ? asleep_since : clock_monotonic()) - slept;
}

static void sleep_until(uint64_t time)
{
    asleep_since = clock_monotonic();
    asleep = true;
    while (clock_monotonic() < time && frames_clean())
        ;
    cpu_wait_until(time);
    asleep = false;
    slept += clock_monotonic() - asleep_since;
}

static uint64_t next_look(uint64_t now)
{
    return now + CONSOLE_INTERVAL;
}

#endif

error_t linux_wait(uint64_t deadline)
{
    uint64_t now, until = deadline, next;

    if (console_look()) /* takes in what was typed: Ctrl-C is a signal */
        linux_wake_waiting();
    run_timers();
    if (linux_signal_waits(deadline))
        return E_INTR;
    now = clock_monotonic();
    if (now >= deadline)
        return E_TIMEDOUT;
    next = next_look(now);
    until = next < until ? next : until;
    next = linux_timers != NULL ? linux_timers->next() : UINT64_MAX;
    sleep_until(next < until ? next : until);
    run_timers();
    return linux_signal_waits(deadline) ? E_INTR : E_SUCCESS;
}

#if QUIRE_THREADS
uint64_t linux_deadline(uint64_t span)
{
    struct linux_thread *self = linux_thread();
    uint64_t before = self->begun_again_until;

    self->begun_again_until = 0;
    if (before != 0 && span == self->asked_span)
        return before;
    self->asked_span = span;
    return clock_monotonic() + span;
}

error_t linux_wait_for(const struct file *file, uint64_t deadline)
{
    struct linux_thread *self = linux_thread();
    error_t error;

    self->waits_for = file;
    error = linux_wait(deadline);
    self->waits_for = NULL;
    return error;
}
#endif
