/*
 * Threads of the program: what Linux knows of one. The list of them, and all that says nothing else, is read and
 * changed with linux_lock held. Only where the core is compiled for threads.
 */
#ifndef CORE_LINUX_THREAD_H
#define CORE_LINUX_THREAD_H

#include "core/linux/file.h"
#include "core/linux/pending.h"
#include "core/linux/process.h"
#include "core/threads/scheduler.h"

struct linux_thread {
    struct thread thread;
    struct linux_thread *next, *previous; /* of all, in the order of their numbers; the first is the program's own */
    int id;
    bool exiting;
    int *child_id;                     /* where its number goes when it begins; NULL: nowhere */
    uint32_t *clear_id;                /* set_tid_address: 0 goes there, and a futex is woken, at the end */
    uintptr_t robust;                  /* struct robust_list_head of the program; 0: none */
    struct vm_segment *stack;          /* that holds this structure above its core stack; NULL: the first thread's */
    struct linux_thread *next_waiting; /* in linux_wait */
    const struct file *waits_for;      /* alone; NULL: for anything */
    /* The deadline of the wait that a signal has just ended; of the call that is begun again since the signal was
     * another thread's, until one asks for its own, which is the same if it may wait as long (core/linux/wait.h). 0:
     * none. */
    uint64_t ended_before, begun_again_until, asked_span;
    struct file *in_use[FILES_IN_USE]; /* of the running call: core/linux/file.h */
    /* What the running call touched whose driver may wait; no more is noted when the call attends to what it ends with.
     */
    uintptr_t fault;
    uint32_t fault_access; /* 0: nothing was touched */
    bool attends;
    char name[THREAD_NAME_SIZE];
    struct thread_scheduling scheduling;
    struct thread_signals signals;
};

/* The running one. Not where a CPU has nothing to run. */
static inline struct linux_thread *linux_thread(void)
{
    return (struct linux_thread *)thread_current();
}
_Static_assert(offsetof(struct linux_thread, thread) == 0, "linux_thread()");

extern struct linux_thread linux_first_thread;

/* The next in the list, the first behind NULL. */
struct linux_thread *linux_thread_next(const struct linux_thread *);
/* NULL: there is none. 0: the running one, which without the lock finds itself by its number, too. */
struct linux_thread *linux_thread_find(int id);

static inline bool linux_thread_is_other(int id)
{
    return id != 0 && id != linux_thread()->id;
}

/* True if there is no other thread, nor the end of one that may wake somebody. */
bool linux_thread_is_alone(void);

#endif
