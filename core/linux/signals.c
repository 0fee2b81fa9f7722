/*
 * Signals that the program sends to itself. Dispositions, mask and alternate stack are kept and returned as on Linux; a
 * signal is then ignored, ends the program (128 + its number, as a shell reports it), or waits until it is unblocked.
 * Handlers are not called: sending a signal that has one is ENOSYS, which is said once.
 */
#include "core/base/print.h"
#include "core/config.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/power.h"

static struct linux_sigaction actions[SIGNALS + 1];
static uint64_t blocked, pending; /* bit n - 1 for signal n */
static struct linux_stack alternate_stack = {.flags = SS_DISABLE};

static uint64_t bit(int signal)
{
    return (uint64_t)1 << (signal - 1);
}

static const char *signal_name(int signal)
{
    static const char *const names[] = {
        "?",         "SIGHUP",  "SIGINT",    "SIGQUIT", "SIGILL",   "SIGTRAP", "SIGABRT", "SIGBUS",
        "SIGFPE",    "SIGKILL", "SIGUSR1",   "SIGSEGV", "SIGUSR2",  "SIGPIPE", "SIGALRM", "SIGTERM",
        "SIGSTKFLT", "SIGCHLD", "SIGCONT",   "SIGSTOP", "SIGTSTP",  "SIGTTIN", "SIGTTOU", "SIGURG",
        "SIGXCPU",   "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO",   "SIGPWR",  "SIGSYS",
    };

    return signal > 0 && (size_t)signal < ARRAY_LENGTH(names) ? names[signal] : "real-time signal";
}

/* What the default action leaves running: what ignores, and what would stop a program that nobody could continue. */
static bool is_harmless(int signal)
{
    return signal == SIGCHLD || signal == SIGCONT || signal == SIGURG || signal == SIGWINCH || signal == SIGSTOP ||
           signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
}

static long deliver(int signal)
{
    static bool reported;
    uintptr_t handler = actions[signal].handler;

    if (handler == SIG_IGN || (handler == SIG_DFL && is_harmless(signal)))
        return 0;
    if (handler == SIG_DFL) {
        kprintf("quire: %s was ended by signal %d (%s)\n", quire_config.name, signal, signal_name(signal));
        power_off(128 + signal);
    }
    if (!reported)
        kprintf("quire: the handler of signal %d (%s) is not called: handlers are not there\n", signal,
                signal_name(signal));
    reported = true;
    return -E_NOSYS;
}

long linux_raise(int signal)
{
    if (signal < 0 || signal > SIGNALS)
        return -E_INVAL;
    if (signal == 0)
        return 0;
    if (blocked & bit(signal)) {
        pending |= bit(signal);
        return 0;
    }
    return deliver(signal);
}

long linux_kill(int pid, int signal)
{
    /* 0 and -1: the process group, and all processes: on Linux the sender of the latter is left out. */
    if (pid != 0 && pid != 1 && pid != -1)
        return -E_SRCH;
    return pid == -1 ? -E_SRCH : linux_raise(signal);
}

long linux_tkill(int thread, int signal)
{
    if (thread <= 0)
        return -E_INVAL;
    return thread == 1 ? linux_raise(signal) : -E_SRCH;
}

long linux_tgkill(int group, int thread, int signal)
{
    if (group <= 0)
        return -E_INVAL;
    return group == 1 ? linux_tkill(thread, signal) : -E_SRCH;
}

long linux_rt_sigaction(int signal, const struct linux_sigaction *new, struct linux_sigaction *old, size_t set_size)
{
    struct linux_sigaction wanted;

    if (set_size != sizeof(wanted.mask) || signal < 1 || signal > SIGNALS)
        return -E_INVAL;
    if (new != NULL) {
        if (user_copy(&wanted, new, sizeof(wanted)) != E_SUCCESS)
            return -E_FAULT;
        if (signal == SIGKILL || signal == SIGSTOP)
            return -E_INVAL;
    }
    if (old != NULL && user_copy(old, &actions[signal], sizeof(*old)) != E_SUCCESS)
        return -E_FAULT;
    if (new != NULL) {
        actions[signal] = wanted;
        if (wanted.handler == SIG_IGN || (wanted.handler == SIG_DFL && is_harmless(signal)))
            pending &= ~bit(signal);
    }
    return 0;
}

static void deliver_unblocked(void)
{
    for (int signal = 1; signal <= SIGNALS && (pending & ~blocked) != 0; signal++)
        if (pending & ~blocked & bit(signal)) {
            pending &= ~bit(signal);
            deliver(signal);
        }
}

long linux_rt_sigprocmask(int how, const uint64_t *new, uint64_t *old, size_t set_size)
{
    uint64_t set, before = blocked;

    if (set_size != sizeof(set))
        return -E_INVAL;
    if (new != NULL) {
        if (user_copy(&set, new, sizeof(set)) != E_SUCCESS)
            return -E_FAULT;
        if (how < SIG_BLOCK || how > SIG_SETMASK)
            return -E_INVAL;
        blocked = how == SIG_BLOCK ? blocked | set : how == SIG_UNBLOCK ? blocked & ~set : set;
        blocked &= ~(bit(SIGKILL) | bit(SIGSTOP));
    }
    if (old != NULL && user_copy(old, &before, sizeof(before)) != E_SUCCESS)
        return -E_FAULT;
    deliver_unblocked();
    return 0;
}

long linux_rt_sigpending(uint64_t *set, size_t set_size)
{
    uint64_t waiting = pending & blocked;

    return set_size > sizeof(waiting) ? -E_INVAL : -user_copy(set, &waiting, set_size);
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
    if (old != NULL && user_copy(old, &alternate_stack, sizeof(*old)) != E_SUCCESS)
        return -E_FAULT;
    if (new != NULL) {
        alternate_stack = wanted.flags == SS_DISABLE ? (struct linux_stack){.flags = SS_DISABLE} : wanted;
        alternate_stack.flags &= SS_DISABLE;
    }
    return 0;
}
