/*
 * Signals inside of the core. What every image has (signals.c): sending, masks, default actions. What comes with the
 * first handler (handlers.c): running handlers. Frames on the program's stack are the machine's (core/linux/frame.h).
 */
#ifndef CORE_LINUX_SIGNALS_H
#define CORE_LINUX_SIGNALS_H

#include "core/base/error.h"
#include "core/base/types.h"
#include "core/linux/abi.h"
#include "core/linux/frame.h"
#include "core/linux/linux.h"
#include "core/linux/pending.h"
#if QUIRE_THREADS
#include "core/linux/thread.h"
#endif

#if QUIRE_THREADS
#define own_signals (linux_thread()->signals) /* of the running thread */
#else
extern struct thread_signals own_signals;
#endif

/* Of the process. */
struct process_signals {
    struct linux_sigaction actions[SIGNALS + 1];
    uint64_t masks[SIGNALS + 1]; /* what a handler adds to the mask while it runs */
    uint64_t ignored;            /* signals of which nothing happens: SIG_IGN, or SIG_DFL that does nothing */
    struct pending_signals pending;
};
extern struct process_signals process_signals;

#if QUIRE_THREADS
/* A thread is no more: what was sent to it is forgotten. */
void signals_end_thread(struct thread_signals *);
/* The running thread does not take these any more: what of them waits for the process is told to others. */
void signals_pass_on(uint64_t set);
#endif

/* The mask that decides whether what is sent there is ignored: the thread's, for the process the first thread's, as on
 * Linux. */
uint64_t signals_blocked_by(const struct pending_signals *to);

void linux_signals_init(void);

/* True if the default action is to do nothing. */
bool signal_is_harmless(int signal);

/*
 * Sends the thread or the process a signal with its info. E_AGAIN: a real-time signal that nothing can hold (those of
 * kill are sent without their info then). signal_send_entry queues an entry of the caller's, which may not be queued
 * already.
 */
error_t signal_send(struct pending_signals *to, const struct signal_info *);
void signal_send_entry(struct pending_signals *to, struct signal_entry *);
/* Takes the entry out without delivering it; `taken` is not called. */
void signal_withdraw(struct pending_signals *from, struct signal_entry *);
/* Takes the signal with the lowest number of the set that is pending, the thread's first: its number, or 0. */
int signal_take(uint64_t set, struct signal_info *);
/* Forgets what is pending of a signal. */
void signal_forget(int signal);

/* Where signals are sent to a thread by its number, not 0; NULL: there is none. */
struct pending_signals *signals_of_thread(int thread);

/* What is pending and neither blocked nor ignored. */
static inline uint64_t signals_deliverable(void)
{
    return (own_signals.pending.set | process_signals.pending.set) & ~own_signals.blocked & ~process_signals.ignored;
}

/* The mask of the thread; SIGKILL and SIGSTOP are never blocked. */
void signals_block(uint64_t blocked);

/* The default action of a signal that is not harmless: one line, and the end. */
_Noreturn void signal_end_program(int signal);

/*
 * A mask for the rest of the running call, as ppoll, pselect and epoll_pwait have: if the call returns -E_INTR (or
 * -E_RESTART), a handler runs with this mask and the old one comes back behind it; otherwise the old one comes back at
 * once. user NULL: nothing. E_INVAL (the size), E_FAULT.
 */
error_t linux_temporary_mask(const uint64_t *user, size_t size);

/* The handlers' part; NULL until the first rt_sigaction. */
struct signal_handlers {
    /* Has the frame run the signal's handler; what cannot be done becomes a SIGSEGV. */
    void (*deliver)(struct trap_frame *, int signal, const struct signal_info *);
};
extern const struct signal_handlers *signal_handlers;

/* Delivers what is pending. in_call: the frame is that of a call which has just ended, with its result. */
void signals_deliver(struct trap_frame *, bool in_call);

/* Why linux_attend is called (linux_attention). */
enum {
    ATTEND_SIGNALS = 1,
    ATTEND_MASK = 2,
    ATTEND_INTERRUPTS = 4,
    ATTEND_TIMERS = 8,
    ATTEND_FILES = 16,
    ATTEND_FAULT = 32
};

/* Around what the running thread's call ends with: first what it touched whose driver waits is served, without a lock,
 * and the call is made again if that is why it failed (thread.c). */
#if QUIRE_THREADS
void thread_begin_attending(struct trap_frame *call);
void thread_end_attending(void);
#else
static inline void thread_begin_attending(struct trap_frame *call)
{
    (void)call;
}

static inline void thread_end_attending(void)
{
}
#endif

/* handlers.c */
long linux_rt_sigreturn(void); /* arch/x86_64/syscall.S, over the next one */
/* Fills in a frame of which only the stack pointer and flags (of the call) are known. */
void linux_signal_return(struct trap_frame *);
long linux_pause(void);
long linux_rt_sigsuspend(const uint64_t *mask, size_t set_size);
long linux_rt_sigtimedwait(const uint64_t *set, void *info, const struct linux_timespec *timeout, size_t set_size);
long linux_rt_sigqueueinfo(int pid, int signal, const void *info);
long linux_rt_tgsigqueueinfo(int group, int thread, int signal, const void *info);

#endif
