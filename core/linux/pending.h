/* What is kept of signals: those that wait to be delivered, and what a thread has of its own (core/linux/signals.h). */
#ifndef CORE_LINUX_PENDING_H
#define CORE_LINUX_PENDING_H

#include "core/base/types.h"
#include "core/linux/abi.h"

#define SIGNAL_REALTIME 32 /* the first one that queues */

static inline uint64_t signal_bit(int signal)
{
    return (uint64_t)1 << (signal - 1);
}

/* Of one number there may be one (standard signals from kill and the core) or many (real-time signals, timers). */
struct signal_entry {
    struct signal_entry *next;
    struct signal_info info;
    /* The entry is out of the queue, to be freed or used again; may still change the info that the program gets. NULL:
     * one of pending_signals. */
    void (*taken)(struct signal_entry *, struct signal_info *);
};

struct pending_signals {
    uint64_t set;
    struct signal_entry *first[SIGNALS + 1], *last[SIGNALS + 1]; /* by number */
    struct signal_entry standard[SIGNAL_REALTIME];
};

/* Of a thread. */
struct thread_signals {
    uint64_t blocked;
    uint64_t saved; /* the mask before a call that has one of its own (ppoll), if there is one */
    bool has_saved;
    uint64_t waited; /* by rt_sigtimedwait: these end a wait though they are blocked */
    struct linux_stack alternate;
    struct pending_signals pending;
};

#endif
