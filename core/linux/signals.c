/*
 * Signals: what is pending, what is blocked, and the default actions. A signal is sent by making it pending; what then
 * happens is decided at the exit of a system call, or where an interrupt or exception of the program ends (handlers.c).
 * A signal that nothing is done about, and that is not blocked, is dropped when it is sent, so that what is deliverable
 * always either runs a handler or ends the program (128 + its number, as a shell reports it).
 *
 * All of this is under linux_lock, but a thread changes its mask without it as long as nothing is pending: it writes
 * the mask, then looks at what is pending; who sends makes it pending, then looks at masks (tell). So one of the two
 * finds what the other did.
 */
#include "core/linux/signals.h"

#include "core/allocate.h"
#include "core/base/print.h"
#include "core/config.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/file.h"
#include "core/linux/lock.h"
#include "core/linux/timers.h"
#include "core/linux/wait.h"
#include "core/percpu.h"
#include "core/power.h"

/* What the default action leaves running: what ignores, and what would stop a program that nobody could continue. */
#define HARMLESS                                                                                                       \
    (1ull << (SIGCHLD - 1) | 1ull << (SIGCONT - 1) | 1ull << (SIGURG - 1) | 1ull << (SIGWINCH - 1) |                   \
     1ull << (SIGSTOP - 1) | 1ull << (SIGTSTP - 1) | 1ull << (SIGTTIN - 1) | 1ull << (SIGTTOU - 1))
/* Those that the program's own instructions caused come first (Linux: SYNCHRONOUS_MASK). */
#define SYNCHRONOUS                                                                                                    \
    (1ull << (SIGSEGV - 1) | 1ull << (SIGBUS - 1) | 1ull << (SIGILL - 1) | 1ull << (SIGTRAP - 1) |                     \
     1ull << (SIGFPE - 1) | 1ull << (SIGSYS - 1))
#define UNBLOCKABLE (1ull << (SIGKILL - 1) | 1ull << (SIGSTOP - 1))

#if !QUIRE_THREADS
struct thread_signals own_signals;
#endif
struct process_signals process_signals;
const struct signal_handlers *signal_handlers;
PERCPU uint32_t linux_attention;

static const char *signal_name(int signal)
{
    static const char names[][10] = {
        "?",         "SIGHUP",  "SIGINT",    "SIGQUIT", "SIGILL",   "SIGTRAP", "SIGABRT", "SIGBUS",
        "SIGFPE",    "SIGKILL", "SIGUSR1",   "SIGSEGV", "SIGUSR2",  "SIGPIPE", "SIGALRM", "SIGTERM",
        "SIGSTKFLT", "SIGCHLD", "SIGCONT",   "SIGSTOP", "SIGTSTP",  "SIGTTIN", "SIGTTOU", "SIGURG",
        "SIGXCPU",   "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO",   "SIGPWR",  "SIGSYS",
    };

    return signal > 0 && (size_t)signal < ARRAY_LENGTH(names) ? names[signal] : "real-time signal";
}

/* Not initialisers: the file would hold the queues, too. */
void linux_signals_init(void)
{
    own_signals.alternate.flags = SS_DISABLE;
    process_signals.ignored = HARMLESS;
}

bool signal_is_harmless(int signal)
{
    return (HARMLESS & signal_bit(signal)) != 0;
}

_Noreturn void signal_end_program(int signal)
{
    kprintf("quire: %s was ended by signal %d (%s)\n", quire_config.name, signal, signal_name(signal));
    power_off(128 + signal);
}

/* ---- pending signals ---- */

static void notice(void)
{
    if (signals_deliverable() != 0)
        this_cpu(linux_attention) |= ATTEND_SIGNALS;
}

#if QUIRE_THREADS

static bool can_take(const struct linux_thread *thread, int signal)
{
    uint64_t blocked = __atomic_load_n(&thread->signals.blocked, __ATOMIC_RELAXED);

    return !thread->exiting && (~blocked | thread->signals.waited) & signal_bit(signal);
}

/* A thread that takes a signal of the process: the running one if it can. NULL: none does now. */
static struct linux_thread *find_taker(int signal)
{
    struct linux_thread *thread = linux_thread();

    if (thread != NULL && can_take(thread, signal))
        return thread;
    thread = &linux_first_thread;
    while (thread != NULL && !can_take(thread, signal))
        thread = thread->next;
    return thread;
}

static void forget_in(struct pending_signals *from, int signal);

/* Whose it may be hears of it: the one that runs at the end of its call, one that runs elsewhere by an interrupt, and
 * one that waits wakes. */
static void tell(struct pending_signals *to, int signal)
{
    struct linux_thread *thread;

    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* it is pending before masks are looked at: set_mask */
    if (UNLIKELY((process_signals.ignored & ~signals_blocked_by(to) & signal_bit(signal)) != 0)) {
        forget_in(to, signal); /* it was blocked when it was sent */
        return;
    }
    thread =
        to == &process_signals.pending ? find_taker(signal) : CONTAINER_OF(to, struct linux_thread, signals.pending);
    linux_wake_waiting(); /* signalfd */
    if (thread == NULL)
        return;
    if (thread == linux_thread()) {
        notice();
        return;
    }
    thread_unpark(&thread->thread);
    thread_interrupt(&thread->thread);
}

void signals_pass_on(uint64_t set)
{
    for (set &= process_signals.pending.set; set != 0; set &= set - 1)
        tell(&process_signals.pending, __builtin_ctzll(set) + 1);
}

uint64_t signals_blocked_by(const struct pending_signals *to)
{
    const struct linux_thread *thread =
        to == &process_signals.pending ? &linux_first_thread : CONTAINER_OF(to, struct linux_thread, signals.pending);

    return __atomic_load_n(&thread->signals.blocked, __ATOMIC_RELAXED);
}

#else

static void tell(struct pending_signals *to, int signal)
{
    (void)to, (void)signal;
    notice();
}

uint64_t signals_blocked_by(const struct pending_signals *to)
{
    (void)to;
    return own_signals.blocked;
}

#endif

static inline void make_pending(struct pending_signals *to, int signal)
{
    __atomic_store_n(&to->set, to->set | signal_bit(signal), __ATOMIC_RELAXED);
    tell(to, signal);
}

void signal_send_entry(struct pending_signals *to, struct signal_entry *entry)
{
    int signal = entry->info.signal;

    entry->next = NULL;
    if (to->first[signal] == NULL)
        to->first[signal] = entry;
    else
        to->last[signal]->next = entry;
    to->last[signal] = entry;
    make_pending(to, signal);
}

static uint64_t queued; /* entries that signal_send made */

static void free_entry(struct signal_entry *entry, struct signal_info *info)
{
    (void)info;
    queued--;
    core_release(entry, sizeof(*entry));
}

error_t signal_send(struct pending_signals *to, const struct signal_info *info)
{
    int signal = info->signal;
    struct signal_entry *entry;

    if (process_signals.ignored & ~signals_blocked_by(to) & signal_bit(signal))
        return E_SUCCESS;
    if (signal < SIGNAL_REALTIME) {
        if (to->set & signal_bit(signal))
            return E_SUCCESS;
        entry = &to->standard[signal];
    } else {
        entry = queued < linux_signal_limit() ? core_allocate(sizeof(*entry)) : NULL;
        if (entry == NULL && info->code != SI_USER)
            return E_AGAIN;
        if (entry == NULL) {
            make_pending(to, signal);
            return E_SUCCESS;
        }
        entry->taken = free_entry;
        queued++;
    }
    entry->info = *info;
    signal_send_entry(to, entry);
    return E_SUCCESS;
}

void signal_withdraw(struct pending_signals *from, struct signal_entry *entry)
{
    int signal = entry->info.signal;
    struct signal_entry **link = &from->first[signal], *before = NULL;

    for (; *link != entry; link = &before->next)
        before = *link;
    *link = entry->next;
    if (from->last[signal] == entry)
        from->last[signal] = before;
    if (from->first[signal] == NULL)
        from->set &= ~signal_bit(signal);
}

static void take_first(struct pending_signals *from, int signal, struct signal_info *info)
{
    struct signal_entry *entry = from->first[signal];

    if (entry == NULL) { /* sent without info */
        *info = (struct signal_info){.signal = signal, .code = SI_USER};
        from->set &= ~signal_bit(signal);
        return;
    }
    *info = entry->info;
    signal_withdraw(from, entry);
    if (entry->taken != NULL)
        entry->taken(entry, info);
}

int signal_take(uint64_t set, struct signal_info *info)
{
    struct pending_signals *from = &own_signals.pending;
    uint64_t found = from->set & set;
    int signal;

    if (found == 0) {
        from = &process_signals.pending;
        found = from->set & set;
    }
    if (found == 0)
        return 0;
    if (found & SYNCHRONOUS)
        found &= SYNCHRONOUS;
    signal = __builtin_ctzll(found) + 1;
    take_first(from, signal, info);
    return signal;
}

#if QUIRE_THREADS
void signals_end_thread(struct thread_signals *signals)
{
    struct signal_info info;

    while (signals->pending.set != 0)
        take_first(&signals->pending, __builtin_ctzll(signals->pending.set) + 1, &info);
}
#endif

static void forget_in(struct pending_signals *from, int signal)
{
    struct signal_info info;

    while (from->set & signal_bit(signal))
        take_first(from, signal, &info);
}

void signal_forget(int signal)
{
#if QUIRE_THREADS
    for (struct linux_thread *thread = &linux_first_thread; thread != NULL; thread = thread->next)
        forget_in(&thread->signals.pending, signal);
#else
    forget_in(&own_signals.pending, signal);
#endif
    forget_in(&process_signals.pending, signal);
}

static inline uint64_t pending_for(const struct thread_signals *own)
{
    return __atomic_load_n(&own->pending.set, __ATOMIC_RELAXED) |
           __atomic_load_n(&process_signals.pending.set, __ATOMIC_RELAXED);
}

/* True: something is pending, and mask_changed is to be called with the lock. */
static inline bool set_mask(struct thread_signals *own, uint64_t blocked)
{
#if QUIRE_THREADS
    __atomic_store_n(&own->blocked, blocked & ~UNBLOCKABLE, __ATOMIC_SEQ_CST); /* before it is looked what is pending */
#else
    own->blocked = blocked & ~UNBLOCKABLE;
#endif
    return UNLIKELY(pending_for(own) != 0);
}

/* new: what was not blocked before. */
static __attribute__((noinline)) void mask_changed(struct thread_signals *own, uint64_t new)
{
#if QUIRE_THREADS
    signals_pass_on(new);
#else
    (void)new;
#endif
    /* What is ignored is kept as long as it is blocked: by other threads, for them. */
    for (uint64_t set = pending_for(own) & process_signals.ignored & ~own->blocked; set != 0; set &= set - 1) {
        forget_in(&own->pending, __builtin_ctzll(set) + 1);
        forget_in(&process_signals.pending, __builtin_ctzll(set) + 1);
    }
    notice();
}

void signals_block(uint64_t blocked)
{
    struct thread_signals *own = &own_signals;
    uint64_t new = blocked & ~own->blocked;

    if (set_mask(own, blocked))
        mask_changed(own, new);
}

/* ---- delivery ---- */

/* The actions of signals that run no handler. Returns the first one that does, taken, or 0. */
static int next_handled(struct signal_info *info)
{
    int signal = signal_take(signals_deliverable(), info);

    if (signal != 0 && process_signals.actions[signal].handler == SIG_DFL)
        signal_end_program(signal);
    return signal;
}

/* The call whose wait a signal has ended that another thread has taken. */
static void begin_again(struct trap_frame *frame)
{
    frame_restart_call(frame);
#if QUIRE_THREADS
    linux_thread()->begun_again_until = linux_thread()->ended_before;
    linux_thread()->ended_before = 0;
#endif
}

/* What is begun after a handler has run, or in it, is another call. */
static inline void forget_deadlines(void)
{
#if QUIRE_THREADS
    linux_thread()->ended_before = linux_thread()->begun_again_until = 0;
#endif
}

void signals_deliver(struct trap_frame *frame, bool in_call)
{
    struct signal_info info;
    int signal;

    while ((signal = next_handled(&info)) != 0) {
        if (in_call && frame_result(frame) == -E_RESTART) {
            if (process_signals.actions[signal].flags & SA_RESTART)
                frame_restart_call(frame);
            else
                frame_set_result(frame, -E_INTR);
        }
        in_call = false;
        forget_deadlines();
        signal_handlers->deliver(frame, signal, &info);
    }
    /* No handler ran. Where a call ended for a signal all the same another thread has taken it. */
    if (in_call && (frame_result(frame) == -E_RESTART || frame_result(frame) == -E_INTR))
        begin_again(frame);
}

static inline void attend(struct trap_frame *frame)
{
    uint32_t why = this_cpu(linux_attention);
    long result = frame_result(frame);

    this_cpu(linux_attention) = why & ATTEND_TIMERS; /* for good: there are no interrupts */
    if (why & ATTEND_FILES)
        file_release_deferred();
    if (why & ATTEND_TIMERS)
        linux_timers->run();
    if (why & ATTEND_INTERRUPTS)
        frame_enable_interrupts(frame);
    if (own_signals.has_saved && result != -E_INTR && result != -E_RESTART) {
        own_signals.has_saved = false;
        signals_block(own_signals.saved);
    }
    signals_deliver(frame, true);
    if (own_signals.has_saved) { /* no handler's frame took it */
        own_signals.has_saved = false;
        signals_block(own_signals.saved);
    }
    this_cpu(linux_attention) &= ~(uint32_t)(ATTEND_SIGNALS | ATTEND_MASK);
}

void linux_attend(struct trap_frame *frame)
{
    thread_begin_attending(frame);
    linux_enter();
    attend(frame);
    linux_leave();
    thread_end_attending();
}

void linux_attend_nested(struct trap_frame *frame)
{
    if (frame_result(frame) == -E_RESTART)
        frame_set_result(frame, -E_INTR);
}

bool file_defer_release(bool in_use)
{
    bool defer = in_use || frame_in_driver();

    if (defer)
        this_cpu(linux_attention) |= ATTEND_FILES;
    return defer;
}

error_t linux_temporary_mask(const uint64_t *user, size_t size)
{
    uint64_t mask;

    if (user == NULL)
        return E_SUCCESS;
    if (size != sizeof(mask))
        return E_INVAL;
    if (user_read(&mask, user, sizeof(mask)) != E_SUCCESS)
        return E_FAULT;
    if (!own_signals.has_saved) /* else it is a call of a driver inside of one, or behind another one of it */
        own_signals.saved = own_signals.blocked;
    own_signals.has_saved = true;
    this_cpu(linux_attention) |= ATTEND_MASK;
    signals_block(mask);
    return E_SUCCESS;
}

bool linux_signal_waits(uint64_t deadline)
{
    if (pending_for(&own_signals) & own_signals.waited)
        return true;
    if (signals_deliverable() == 0)
        return false;
    this_cpu(linux_attention) |= ATTEND_SIGNALS; /* even if another thread takes it now: the call is begun again */
#if QUIRE_THREADS
    linux_thread()->ended_before = deadline != WAIT_FOR_EVER ? deadline : 0;
#else
    (void)deadline;
#endif
    return !frame_in_driver(); /* its call would only come back and find the same: no handler runs before it has ended
                                */
}

/* ---- sending ---- */

void linux_send_signal(int signal)
{
    signal_send(&process_signals.pending, &(struct signal_info){.signal = signal, .code = SI_KERNEL});
}

static long send_as_user(struct pending_signals *to, int signal, int code)
{
    struct signal_info info = {.signal = signal, .code = code, .sender = {.pid = 1}};

    if (signal < 0 || signal > SIGNALS)
        return -E_INVAL;
    return signal == 0 ? 0 : -signal_send(to, &info);
}

struct pending_signals *signals_of_thread(int thread)
{
#if QUIRE_THREADS
    struct linux_thread *found = linux_thread_find(thread);

    return found == NULL || (found->exiting && found != &linux_first_thread) ? NULL : &found->signals.pending;
#else
    return thread == 1 ? &own_signals.pending : NULL;
#endif
}

long linux_kill(int pid, int signal)
{
    /* 0: the process group. -1: all processes, of which Linux leaves out the sender. */
    return pid != 0 && pid != 1 ? -E_SRCH : send_as_user(&process_signals.pending, signal, SI_USER);
}

long linux_tkill(int thread, int signal)
{
    struct pending_signals *to = thread > 0 ? signals_of_thread(thread) : NULL;

    if (thread <= 0)
        return -E_INVAL;
    return to != NULL ? send_as_user(to, signal, SI_TKILL) : -E_SRCH;
}

long linux_tgkill(int group, int thread, int signal)
{
    if (group <= 0)
        return -E_INVAL;
    return group == 1 ? linux_tkill(thread, signal) : -E_SRCH;
}

/* ---- masks ---- */

long linux_rt_sigprocmask(int how, const uint64_t *new, uint64_t *old, size_t set_size)
{
    struct thread_signals *own = &own_signals;
    uint64_t set, before = own->blocked;

    if (set_size != sizeof(set))
        return -E_INVAL;
    if (new != NULL) {
        if (user_read(&set, new, sizeof(set)) != E_SUCCESS)
            return -E_FAULT;
        if (how < SIG_BLOCK || how > SIG_SETMASK)
            return -E_INVAL;
        set = how == SIG_BLOCK ? before | set : how == SIG_UNBLOCK ? before & ~set : set;
        if (set_mask(own, set)) {
            LINUX_HOLD();
            mask_changed(own, set & ~before);
        }
    }
    if (old != NULL && user_write(old, &before, sizeof(before)) != E_SUCCESS)
        return -E_FAULT;
    return 0;
}

long linux_rt_sigpending(uint64_t *set, size_t set_size)
{
    uint64_t waiting = pending_for(&own_signals) & own_signals.blocked;

    return set_size > sizeof(waiting) ? -E_INVAL : -user_write(set, &waiting, set_size);
}
