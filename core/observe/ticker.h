/* Ticks at regular intervals for observers that sample, on an alarm (core/linux/alarm.h). */
#ifndef CORE_OBSERVE_TICKER_H
#define CORE_OBSERVE_TICKER_H

#include "core/linux/alarm.h"

/* As an alarm's `due`; periods: how many are over since the last tick, usually 1, more if the core ran all the time.
 * False: this is no moment for it; it is called again soon. */
typedef bool (*ticker_tick)(struct trap_frame *program, uint64_t periods);

/* The ticker owns the fields. */
struct ticker {
    struct alarm alarm; /* first: `due` finds the rest by it */
    ticker_tick tick;
    bool spread;
    uint64_t period, slot, next; /* ns; monotonic ns: the beginning of the period, and the tick in it */
    uint64_t owed;               /* periods of which the next tick is told */
    uint64_t skipped;
};

/*
 * One tick in each period (ns) from now on: at its end or, to be in step with nothing that the program does, somewhere
 * in it, at random but alike in all runs (spread).
 *
 * Periods that pass while the observers themselves work are nobody's and counted in `skipped`; so are those in as much
 * time again, which is the program's: however long ticks take, it goes on. On a machine without a timer that interrupts
 * there are no ticks, which is said once on the console.
 */
void ticker_start(struct ticker *, uint64_t period, bool spread, ticker_tick);

/* At the end: no more ticks, and the periods that are not over are not counted. */
void ticker_stop(struct ticker *);

#endif
