/*
 * Alarms: what interrupts the program at a time, whatever it computes. The machine has one timer (core/cpu.h); each
 * user has an alarm of its own, and the earliest is armed.
 */
#ifndef CORE_LINUX_ALARM_H
#define CORE_LINUX_ALARM_H

#include "core/base/types.h"
#include "core/linux/frame.h"

/* Where an interrupt came at a bad moment, in the middle of what the core does, it is tried again so much later. */
#define ALARM_AGAIN_NS 50000

/* All zero but `due` before it is first set. Only `deadline` may be read. */
struct alarm {
    uint64_t deadline; /* monotonic ns; UINT64_MAX: off */
    /* The deadline is over and the alarm is off; may set it again. program: as frame_on_interrupt says. Interrupts are
     * off: may neither sleep nor allocate nor touch memory of the program. */
    void (*due)(struct alarm *, struct trap_frame *program);
    struct alarm *next;
    bool known;
};

/*
 * From the first one on the program runs with interrupts enabled. Those that are due together are called in the order
 * in which they were first set. False: this machine has no timer that interrupts.
 */
bool alarm_set(struct alarm *, uint64_t deadline);

/* What the timer's interrupt does about them, where threads have one of their own (core/linux/thread.c). */
bool alarm_is_due(void);
void alarm_interrupt(struct trap_frame *program);

#endif
