/*
 * Threads and the CPUs that they run on; the theory is at the top of scheduler.c. For the core; of a program's threads
 * core/linux/thread.h knows the rest. Interrupts are off in all of this.
 */
#ifndef CORE_THREADS_SCHEDULER_H
#define CORE_THREADS_SCHEDULER_H

#include "core/context.h"
#include "core/spinlock.h"
#include "core/threads/deadlines.h"

struct thread;
struct trap_frame;

/* Why a thread leaves its CPU. */
enum leaving { LEAVE_READY, LEAVE_PARKED, LEAVE_FOR_EVER, LEAVE_IDLE };

struct thread_list {
    struct thread *first, *last;
};

struct thread {
    struct machine_context context;
    uint32_t state;                /* enum thread_state, atomic */
    enum leaving leaving;          /* of the CPU that it leaves */
    unsigned cpu;                  /* where it runs, or ran last */
    uint64_t affinity;             /* CPUs that it may run on, a bit for each */
    struct thread *next;           /* in a run queue, or a list of woken ones */
    struct deadline wake;          /* while it is parked, in the sleepers of its CPU */
    unsigned wake_cpu;             /* whose those are */
    uint64_t slice;                /* ns left of it, while the thread has no CPU */
    uint64_t ran_before;           /* `ran` at its last wait */
    uint64_t ran;                  /* thread_time_at; atomic */
    uint64_t left[LEAVE_IDLE + 1]; /* how often it left a CPU, by why */
    void (*begin)(struct thread *);
    void (*gone)(struct thread *);
};

/*
 * ns of CPU time at a moment (monotonic ns), of `ran` of a thread. It is one word, so that others find it as it is at
 * one moment: while the thread runs a bit, and when it had begun if it had run ever since, modulo 2^63. The clock of
 * another CPU may be behind that a little.
 */
#define THREAD_RUNS ((uint64_t)1 << 63)
static inline uint64_t thread_time_at(uint64_t ran, uint64_t now)
{
    uint64_t time = (now - ran) & ~THREAD_RUNS;

    if (!(ran & THREAD_RUNS))
        return ran;
    return time < THREAD_RUNS / 2 ? time : 0;
}

/* The running CPU's thread; NULL: it has none. */
struct thread *thread_current(void);

/*
 * From now on what runs is this thread, on the stack [low, high). Once.
 */
void scheduler_begin(struct thread *first, uintptr_t low, uintptr_t high);

/* Starts the other CPUs, the first time: before there is a second thread, and before affinity is changed. */
void scheduler_use_all_cpus(void);

/* What the timer, and cpu_kick, call after what the scheduler does itself, and what a thread that was interrupted by
 * others calls before it goes on: with the frame of the program, or NULL
 * (core/ linux/frame.h); then no thread is running, or this CPU will be interrupted again soon. */
void scheduler_on_interrupt(void (*interrupt)(struct trap_frame *program));
/* The monotonic time at which CPU 0 is interrupted; UINT64_MAX: not at all. False: this machine has no such timer. From
 * any CPU. */
bool scheduler_set_alarm(uint64_t time);
/* Called when a thread has got a CPU, in its context: what waits for it (thread_interrupt does nothing for one that has
 * none). */
void scheduler_on_arrival(void (*arrival)(void));
/* What CPU 0 does when it has nothing else to do, the time until which it may sleep. */
void scheduler_on_idle(uint64_t (*idle)(void));

/* Makes a thread, of the program or one of the core (core/context.h), that runs `begin`, which never returns, on the
 * stack [low, high); it may run on all CPUs of `affinity`. thread_start: it does. */
void thread_make(struct thread *, uintptr_t low, uintptr_t high, void (*begin)(struct thread *), bool program);
void thread_start(struct thread *);

/*
 * The running thread waits until thread_unpark is called for it, or was since the last wait, or the time is over
 * (monotonic ns; UINT64_MAX: never). May return without a reason, too: what is waited for is looked at in a loop.
 * Without a lock held. In a page fault that is served on the stack of the CPU (vm/fault.c) the CPU waits with the
 * thread.
 */
void thread_park(uint64_t deadline);
/* From any CPU, with locks held, by an interrupt too. */
void thread_unpark(struct thread *);
/*
 * The same in two steps, for who holds a lock that the woken thread takes next: it has its permit, and may end if it
 * was not asleep yet; one that was goes into a list, which begins all zero, and runs no sooner than threads_go says.
 */
void thread_unpark_later(struct thread *, struct thread_list *);
void threads_go(const struct thread_list *);

/* Others that are ready run first. */
void thread_yield(void);
/* The running thread is no more; gone is called, on another stack, when its own is of no use any more. */
_Noreturn void thread_end(void (*gone)(struct thread *));

/* CPUs that the thread may run on, of those that there are not none; it leaves this CPU if that is none of them. */
void thread_set_affinity(struct thread *, uint64_t cpus);
/* Interrupts the thread if it runs on another CPU; otherwise nothing happens. */
void thread_interrupt(struct thread *);
/* Whether it waits, any thread. */
bool thread_is_parked(const struct thread *);
/* ns of CPU time so far, of any thread. */
uint64_t thread_cpu_time(const struct thread *);

/* For reports, where the other CPUs are stopped: the CPU that runs it, whose thread is at that address, or -1; and of
 * one that does not run whether it waits, or is ready. */
int thread_runs_on(const struct thread *);
bool thread_waits(const struct thread *);
/* What a CPU runs; NULL: nothing. */
const struct thread *scheduler_current(unsigned cpu);

struct scheduler_counts {
    uint64_t switches, preemptions, migrations, wakes;
};
/* Since boot, of one CPU. */
struct scheduler_counts scheduler_counts(unsigned cpu);
/* ns for which the CPU has run threads. */
uint64_t scheduler_busy_time(unsigned cpu);

#endif
