#include "core/base/print.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/signals.h"

static void deliver(struct trap_frame *frame, int signal, const struct signal_info *info)
{
    (void)frame, (void)info;
    kprintf("quire: the handler of signal %d is not called: handlers are not there\n", signal);
}

static const struct signal_handlers handlers = {.deliver = deliver};

long linux_rt_sigaction(int signal, const struct linux_sigaction *new, struct linux_sigaction *old, size_t set_size)
{
    struct linux_sigaction wanted, *action;

    if (set_size != sizeof(wanted.mask))
        return -E_INVAL;
    if (new != NULL && user_copy(&wanted, new, sizeof(wanted)) != E_SUCCESS)
        return -E_FAULT;
    if (signal < 1 || signal > SIGNALS || (new != NULL && (signal == SIGKILL || signal == SIGSTOP)))
        return -E_INVAL;
    action = &process_signals.actions[signal];
    if (old != NULL && user_copy(old, action, sizeof(*old)) != E_SUCCESS)
        return -E_FAULT;
    if (new == NULL)
        return 0;
    *action = wanted;
    signal_handlers = &handlers;
    if (wanted.handler == SIG_IGN || (wanted.handler == SIG_DFL && signal_is_harmless(signal))) {
        process_signals.ignored |= signal_bit(signal);
        signal_forget(signal);
    } else {
        process_signals.ignored &= ~signal_bit(signal);
    }
    return 0;
}

long linux_sigaltstack(const struct linux_stack *new, struct linux_stack *old)
{
    struct linux_stack wanted;

    if (new != NULL) {
        if (user_copy(&wanted, new, sizeof(wanted)) != E_SUCCESS)
            return -E_FAULT;
        if (wanted.flags != 0 && wanted.flags != SS_DISABLE && wanted.flags != SS_ONSTACK)
            return -E_INVAL;
        if (wanted.flags != SS_DISABLE && wanted.size < LINUX_MINSIGSTKSZ)
            return -E_NOMEM;
    }
    if (old != NULL && user_copy(old, &thread_signals.alternate, sizeof(*old)) != E_SUCCESS)
        return -E_FAULT;
    if (new != NULL) {
        thread_signals.alternate = wanted.flags == SS_DISABLE ? (struct linux_stack){.flags = SS_DISABLE} : wanted;
        thread_signals.alternate.flags &= SS_DISABLE;
    }
    return 0;
}
