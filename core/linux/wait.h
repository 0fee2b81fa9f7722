/* Waiting: the one way a system call sleeps. */
#ifndef CORE_LINUX_WAIT_H
#define CORE_LINUX_WAIT_H

#include "core/base/error.h"
#include "core/base/types.h"
#include "core/clock.h"

#define WAIT_FOR_EVER UINT64_MAX

/* Internal results of a call, never seen by the program (Linux's numbers): the signal code makes E_INTR of the first
 * or, after a handler with SA_RESTART or where none runs, repeats the call. */
#define E_RESTART 512

/*
 * Sleeps until something may have changed (a timer, console input, a signal), at the latest until the deadline
 * (monotonic ns). The caller looks again in a loop:
 *
 *     while (!ready(...))
 *         if ((error = linux_wait(deadline)) != E_SUCCESS)
 *             return -error;                  (E_INTR; a call that Linux restarts returns -E_RESTART instead)
 *
 * E_TIMEDOUT: the deadline is over. E_INTR: a signal that is not blocked waits to be handled.
 */
error_t linux_wait(uint64_t deadline);

/* The deadline of a call that may wait `span` ns from now. A call that is begun again, since the signal that ended its
 * wait was another thread's, has the deadline that it had. To be asked once in a call, by all that have one. */
#if QUIRE_THREADS
uint64_t linux_deadline(uint64_t span);
#else
static inline uint64_t linux_deadline(uint64_t span)
{
    return clock_monotonic() + span;
}
#endif

struct file;

#if QUIRE_THREADS
/* The same for who waits for nothing but one file, of those that say so when something happens to them (file_wake). */
error_t linux_wait_for(const struct file *, uint64_t deadline);
/* Whatever linux_wait waits for may have changed: all threads that are in it look again. */
void linux_wake_waiting(void);
/* The running thread looks once more before it sleeps: what it has just done itself may be what it waits for. */
void linux_wake_running(void);
/* Something happened to the file: those that wait for others alone sleep on. */
void linux_wake_waiting_for(const struct file *);
/* What CPU 0 does when it has nothing to run: until when it may sleep (monotonic ns). */
uint64_t linux_idle(void);
#else
static inline error_t linux_wait_for(const struct file *file, uint64_t deadline)
{
    (void)file;
    return linux_wait(deadline);
}

static inline void linux_wake_waiting(void)
{
}

static inline void linux_wake_running(void)
{
}

static inline void linux_wake_waiting_for(const struct file *file)
{
    (void)file;
}
#endif

/* Has the console looked at from now on while CPUs compute (handlers.c). With the lock. */
void linux_watch_console(void);
/* The program handles what the console or the power button may send it, which may wake it from whatever it waits for.
 */
extern bool linux_watches; /* process.c */

/* True if a signal is waiting that the program has not blocked: the call, which waits until the deadline, should end.
 * Not one of a driver. */
bool linux_signal_waits(uint64_t deadline);

/* Sends the program a signal as the kernel does (SIGPIPE to the writer, SIGINT by Ctrl-C): pending until the call ends.
 */
void linux_send_signal(int signal);

#endif
