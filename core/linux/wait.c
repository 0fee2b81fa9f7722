/*
 * One thread: it sleeps where the CPU does. What wakes it is a timer, or the look at the console every so often, whose
 * port does not interrupt. CPU time is all time that was not slept. Before the CPU halts it cleans frames, a piece at a
 * time until the wait is over: nothing but the end of the wait interrupts.
 */
#include "core/linux/wait.h"

#include "core/clock.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/timers.h"
#include "vm/frames.h"

#define CONSOLE_INTERVAL 10000000u /* ns between looks at the port */

const struct timer_hooks *linux_timers;

static uint64_t slept; /* ns in all, without the sleep that is going on */
static uint64_t asleep_since;
static bool asleep;

uint64_t linux_cpu_time(void)
{
    return (asleep ? asleep_since : clock_monotonic()) - slept;
}

error_t linux_wait(uint64_t deadline)
{
    uint64_t until, next;

    console_look(); /* takes in what was typed: Ctrl-C is a signal */
    if (linux_timers != NULL)
        linux_timers->run();
    if (linux_signal_waits())
        return E_INTR;
    asleep_since = clock_monotonic();
    if (asleep_since >= deadline)
        return E_TIMEDOUT;
    until = deadline - asleep_since < CONSOLE_INTERVAL ? deadline : asleep_since + CONSOLE_INTERVAL;
    next = linux_timers != NULL ? linux_timers->next() : UINT64_MAX;
    asleep = true;
    next = next < until ? next : until;
    while (clock_monotonic() < next && frames_clean())
        ;
    cpu_wait_until(next);
    asleep = false;
    slept += clock_monotonic() - asleep_since;
    if (linux_timers != NULL)
        linux_timers->run();
    return linux_signal_waits() ? E_INTR : E_SUCCESS;
}
