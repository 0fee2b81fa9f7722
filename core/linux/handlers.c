/*
 * Handlers of signals: dispositions, alternate stacks, running a handler and coming back from it, and the calls that
 * wait for signals (man 7 signal). This file is linked where the program asks for it; rt_sigaction, the first call of
 * any that wants a handler, makes it known to signals.c and to the exceptions of the machine.
 */
#include "core/base/print.h"
#include "core/clock.h"
#include "core/cpu.h"
#include "core/linux/alarm.h"
#include "core/linux/calls.h"
#include "core/linux/lock.h"
#include "core/linux/signals.h"
#include "core/linux/wait.h"
#include "core/percpu.h"

#define FLAGS_KNOWN                                                                                                    \
    (SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_EXPOSE_TAGBITS | SA_RESTORER | SA_ONSTACK | SA_RESTART |            \
     SA_NODEFER | SA_RESETHAND)
#define UNBLOCKABLE (signal_bit(SIGKILL) | signal_bit(SIGSTOP))

/* ---- alternate stacks ---- */

/* Inside the range of the alternate stack, armed or not. */
static bool in_alternate(uintptr_t stack)
{
    const struct linux_stack *alternate = &own_signals.alternate;

    return stack > alternate->start && stack - alternate->start <= alternate->size;
}

/* With SS_AUTODISARM there is none while a handler runs on it, so that the handler may leave it for another. */
static bool on_alternate(uintptr_t stack)
{
    return !(own_signals.alternate.flags & (int32_t)SS_AUTODISARM) && in_alternate(stack);
}

static error_t set_alternate(const struct linux_stack *wanted, uintptr_t stack)
{
    int mode = wanted->flags & ~(int32_t)SS_AUTODISARM;

    if (on_alternate(stack))
        return E_PERM;
    if (mode != 0 && mode != SS_DISABLE && mode != SS_ONSTACK)
        return E_INVAL;
    if (mode != SS_DISABLE && wanted->size < LINUX_MINSIGSTKSZ)
        return E_NOMEM;
    own_signals.alternate = *wanted;
    if (mode == SS_DISABLE)
        own_signals.alternate = (struct linux_stack){.flags = wanted->flags};
    return E_SUCCESS;
}

long linux_sigaltstack(const struct linux_stack *new, struct linux_stack *old)
{
    uintptr_t stack = frame_call_stack_pointer();
    struct linux_stack wanted, before = own_signals.alternate;
    error_t error = E_SUCCESS;

    before.flags &= (int32_t)SS_AUTODISARM;
    before.flags |= before.size == 0 ? SS_DISABLE : on_alternate(stack) ? SS_ONSTACK : 0;
    if (new != NULL) {
        if (user_read(&wanted, new, sizeof(wanted)) != E_SUCCESS)
            return -E_FAULT;
        error = set_alternate(&wanted, stack);
    }
    if (error == E_SUCCESS && old != NULL)
        error = user_write(old, &before, sizeof(before));
    return -error;
}

/* ---- running handlers ---- */

static _Noreturn void end_without_handler(const struct trap_frame *frame, const char *why)
{
    kprintf("quire: %s (stack pointer 0x%lx)\n", why, (unsigned long)frame_stack_pointer(frame));
    signal_end_program(SIGSEGV);
}

/* SIGSEGV that cannot be held back: what is blocked or ignored ends the program. */
static void force_segmentation_fault(struct trap_frame *frame, const char *why)
{
    const struct signal_info info = {.signal = SIGSEGV, .code = SI_KERNEL};

    if ((own_signals.blocked | process_signals.ignored) & signal_bit(SIGSEGV) ||
        process_signals.actions[SIGSEGV].handler == SIG_DFL)
        end_without_handler(frame, why);
    signal_send(&own_signals.pending, &info);
}

static void note_disposition(int signal)
{
    uintptr_t handler = process_signals.actions[signal].handler;

    if (handler == SIG_IGN || (handler == SIG_DFL && signal_is_harmless(signal)))
        process_signals.ignored |= signal_bit(signal);
    else
        process_signals.ignored &= ~signal_bit(signal);
}

/* The mask, disposition and alternate stack as long as the handler runs. What it blocks, and the thread may have been
 * told of before, others are told of. */
static void begin_handler(int signal, const struct linux_sigaction *action)
{
    signals_block(own_signals.blocked | process_signals.masks[signal]);
    own_signals.has_saved = false;
    if (own_signals.alternate.flags & (int32_t)SS_AUTODISARM)
        own_signals.alternate = (struct linux_stack){.flags = SS_DISABLE};
    if (action->flags & SA_RESETHAND) {
        process_signals.actions[signal].handler = SIG_DFL;
        note_disposition(signal);
    }
}

/* There is an alternate stack: whether to run on it, or in it already. */
static void choose_stack(const struct trap_frame *frame, struct handler_call *call)
{
    const struct linux_stack *alternate = &own_signals.alternate;
    bool nested = on_alternate(frame_stack_pointer(frame));

    if ((call->action->flags & SA_ONSTACK) && !nested)
        call->stack = alternate->start + alternate->size;
    if (nested || call->stack != 0) {
        call->low = alternate->start;
        call->size = alternate->size;
    }
}

static inline __attribute__((always_inline)) void run_handler(struct trap_frame *frame, int signal,
                                                              const struct signal_info *info)
{
    const struct linux_sigaction *action = &process_signals.actions[signal];
    struct linux_stack *alternate = &own_signals.alternate;
    struct handler_call call = {
        .info = info,
        .action = action,
        .mask = own_signals.has_saved ? own_signals.saved : own_signals.blocked,
        .reported = alternate,
    };

    if (alternate->size != 0)
        choose_stack(frame, &call);
    if (LIKELY(frame_enter_handler(frame, &call) == E_SUCCESS))
        begin_handler(signal, action);
    else if (signal == SIGSEGV)
        end_without_handler(frame, "the handler of SIGSEGV cannot be run: there is no stack for its frame");
    else
        force_segmentation_fault(frame, "the handler of a signal cannot be run: there is no stack for its frame");
}

static void deliver(struct trap_frame *frame, int signal, const struct signal_info *info)
{
    run_handler(frame, signal, info);
}

static inline bool handle_exception(struct trap_frame *frame, const struct signal_info *info)
{
    int signal = info->signal;

    if ((own_signals.blocked | process_signals.ignored) & signal_bit(signal) ||
        process_signals.actions[signal].handler == SIG_DFL)
        return false;
    run_handler(frame, signal, info);
    if (UNLIKELY((own_signals.pending.set | process_signals.pending.set) != 0))
        signals_deliver(frame, false);
    return true;
}

static bool exception(struct trap_frame *frame, const struct signal_info *info)
{
    bool handled;

    linux_enter();
    handled = handle_exception(frame, info);
    linux_leave();
    return handled;
}

static const struct signal_handlers handlers = {.deliver = deliver};

static void enable(void)
{
    if (signal_handlers == NULL)
        frame_on_exception(exception);
    signal_handlers = &handlers;
}

static inline bool is_same(const struct linux_stack *a, const struct linux_stack *b)
{
    return a->start == b->start && a->size == b->size && a->flags == b->flags;
}

static inline void return_from_handler(struct trap_frame *frame)
{
    struct handler_return back;

    if (LIKELY(frame_leave_handler(frame, &back) == E_SUCCESS)) {
        signals_block(back.mask);
        if (UNLIKELY(!is_same(&back.stack, &own_signals.alternate)))
            set_alternate(&back.stack, frame_stack_pointer(frame));
    } else {
        force_segmentation_fault(frame, "rt_sigreturn without a valid frame");
    }
    if (UNLIKELY((own_signals.pending.set | process_signals.pending.set) != 0))
        signals_deliver(frame, false);
}

void linux_signal_return(struct trap_frame *frame)
{
    linux_enter();
    return_from_handler(frame);
    linux_leave();
}

/* ---- who computes ---- */

/*
 * Neither the console nor the power button interrupts: they are looked at in waits (wait.c). Where the program handles
 * what they send (SIGINT, SIGTERM), or a thread waits for what is typed while others may keep all CPUs, they are looked
 * at while it computes, too, for a few instructions in a million.
 */
#define WATCH_INTERVAL 100000000u /* ns */

static void watch(struct alarm *own, struct trap_frame *program)
{
    alarm_set(own, clock_monotonic() + WATCH_INTERVAL);
    if (program == NULL) /* who waits looks by himself */
        return;
    if (console_look())
        linux_wake_waiting();
    if (!QUIRE_THREADS && signals_deliverable() != 0) /* threads look for themselves */
        signals_deliver(program, false);
}

void linux_watch_console(void)
{
    static struct alarm alarm = {.deadline = UINT64_MAX, .due = watch};

    if (alarm.deadline == UINT64_MAX)
        alarm_set(&alarm, clock_monotonic() + WATCH_INTERVAL);
}

static void watch_for(int signal)
{
    if (signal != SIGINT && signal != SIGTERM)
        return;
    linux_watches = true;
    linux_watch_console();
}

/* ---- dispositions ---- */

long linux_rt_sigaction(int signal, const struct linux_sigaction *new, struct linux_sigaction *old, size_t set_size)
{
    struct linux_sigaction wanted, before;

    if (set_size != sizeof(wanted.mask))
        return -E_INVAL;
    if (new != NULL && user_read(&wanted, new, sizeof(wanted)) != E_SUCCESS)
        return -E_FAULT;
    if (signal < 1 || signal > SIGNALS || (new != NULL && (signal == SIGKILL || signal == SIGSTOP)))
        return -E_INVAL;
    before = process_signals.actions[signal];
    if (new != NULL) {
        wanted.flags &= FLAGS_KNOWN;
        wanted.mask &= ~UNBLOCKABLE;
        process_signals.actions[signal] = wanted;
        process_signals.masks[signal] = wanted.mask | (wanted.flags & SA_NODEFER ? 0 : signal_bit(signal));
        note_disposition(signal);
        if (process_signals.ignored & signal_bit(signal))
            signal_forget(signal);
        enable();
        if (wanted.handler != SIG_DFL && wanted.handler != SIG_IGN)
            watch_for(signal);
    }
    /* As on Linux the action is set even if this fails. */
    return old != NULL ? -user_write(old, &before, sizeof(before)) : 0;
}

/* ---- waiting for signals ---- */

long linux_pause(void)
{
    while (linux_wait(WAIT_FOR_EVER) == E_SUCCESS)
        ;
    return -E_INTR; /* with SA_RESTART, too */
}

long linux_rt_sigsuspend(const uint64_t *mask, size_t set_size)
{
    error_t error;

    if (set_size != sizeof(*mask))
        return -E_INVAL;
    if (mask == NULL)
        return -E_FAULT;
    error = linux_temporary_mask(mask, set_size);
    while (error == E_SUCCESS)
        error = linux_wait(WAIT_FOR_EVER);
    return -error;
}

/* siginfo_t as the program sees it. */
static error_t copy_info(void *to, const struct signal_info *info)
{
    uint64_t bytes[LINUX_SIGINFO_SIZE / 8] = {0};

    *(struct signal_info *)bytes = *info;
    return user_write(to, bytes, sizeof(bytes));
}

/* Those of the set that are blocked are taken; they may have been unblocked only for the wait. */
long linux_rt_sigtimedwait(const uint64_t *user_set, void *user_info, const struct linux_timespec *timeout,
                           size_t set_size)
{
    uint64_t set, span, deadline = WAIT_FOR_EVER;
    struct signal_info info;
    error_t error = E_SUCCESS;
    int signal;

    if (set_size != sizeof(set))
        return -E_INVAL;
    if (user_read(&set, user_set, sizeof(set)) != E_SUCCESS)
        return -E_FAULT;
    if (timeout != NULL) {
        error = linux_read_span(timeout, &span);
        if (error != E_SUCCESS)
            return -error;
        deadline = linux_deadline(span);
    }
    set &= ~UNBLOCKABLE;
    while ((signal = signal_take(set, &info)) == 0 && error == E_SUCCESS) {
        own_signals.waited = set;
        error = linux_wait(deadline);
        own_signals.waited = 0;
    }
    if (signal == 0)
        return error == E_TIMEDOUT ? -E_AGAIN : -E_INTR;
    return user_info != NULL && copy_info(user_info, &info) != E_SUCCESS ? -E_FAULT : signal;
}

/* ---- sending with a value ---- */

/* What a thread says to itself it may also make up, but to others it may neither be the kernel nor tkill: `to` is
 * compared with the thread's number, in both calls. */
static error_t read_info(int signal, const void *user, int to, struct signal_info *info)
{
    if (user_read(info, user, sizeof(*info)) != E_SUCCESS)
        return E_FAULT;
    info->signal = signal;
    return to != linux_gettid() && (info->code >= 0 || info->code == SI_TKILL) ? E_PERM : E_SUCCESS;
}

static long send_info(struct pending_signals *to, const struct signal_info *info)
{
    if (info->signal < 0 || info->signal > SIGNALS)
        return -E_INVAL;
    return info->signal == 0 ? 0 : -signal_send(to, info);
}

long linux_rt_sigqueueinfo(int pid, int signal, const void *user)
{
    struct signal_info info;
    error_t error = read_info(signal, user, pid, &info);

    if (error != E_SUCCESS)
        return -error;
    return pid != 1 ? -E_SRCH : send_info(&process_signals.pending, &info);
}

long linux_rt_tgsigqueueinfo(int group, int thread, int signal, const void *user)
{
    struct signal_info info;
    error_t error = read_info(signal, user, thread, &info);
    struct pending_signals *to = thread > 0 ? signals_of_thread(thread) : NULL;

    if (error != E_FAULT && (group <= 0 || thread <= 0))
        return -E_INVAL;
    if (error != E_SUCCESS)
        return -error;
    return group != 1 || to == NULL ? -E_SRCH : send_info(to, &info);
}
