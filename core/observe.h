/*
 * Observation: what an image that was configured for it (configure.py --stats, --timeline, --profile) tells of its own
 * run. Each kind is an observer; the image's configuration (core/config.h) lists those it has and holds the only
 * reference to all of this, so that other images link nothing of it.
 *
 * Observers of the core are quire_observer_*, one file each in core/observe/, named by build/APP/config.c.
 */
#ifndef CORE_OBSERVE_H
#define CORE_OBSERVE_H

#include "core/base/types.h"
#include "core/config.h"

struct observer {
    const char *name; /* for messages */
    /* Right before the program's first instruction: its stack is laid out, interrupts are off. NULL: nothing to do. */
    void (*start)(const struct observation *);
    /*
     * The program has ended, with this status: by itself, by a signal or by a report (core/panic.h: panic_reports is
     * not 0 then, and panic_space() says what may be looked at). Interrupts are off, the console takes output; the
     * status line comes afterwards. Allocates nothing. A fault in it ends the observation with a report.
     */
    void (*end)(const struct observation *, int status);
};

struct observation {
    uint64_t timeline;                       /* ns between two samples; 0: no timeline */
    uint32_t profile;                        /* samples a second; 0: no profile */
    const struct observer *const *observers; /* NULL-terminated; the first starts last and ends first */
    void (*start)(void);                     /* quire_observe_start and _end: in this way only observing images */
    void (*end)(int status);                 /* link them */
};

/* For program.c and power_off. The end may come without a start (nothing happens), and again inside of itself. */
static inline void observe_start(void)
{
    if (quire_config.observe != NULL)
        quire_config.observe->start();
}

static inline void observe_end(int status)
{
    if (quire_config.observe != NULL)
        quire_config.observe->end(status);
}

/* core/observe/observe.c */
void quire_observe_start(void);
void quire_observe_end(int status);
/* When the program ended, by cpu_cycles and clock_monotonic, before any observer took time. */
extern uint64_t observe_end_ticks, observe_end_ns;

/* core/observe/measure.c, stats.c, timeline.c, profile.c */
extern const struct observer quire_observer_measure, quire_observer_stats;
extern const struct observer quire_observer_timeline, quire_observer_profile;

#endif
