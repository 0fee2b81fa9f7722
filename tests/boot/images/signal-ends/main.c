/* Ends by signals, one for each word. "frames" does not end: wrong frames, one after the other, are faults it handles.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define FRAMES 2000
#define STATE_HEADER 512

static char other[65536] __attribute__((aligned(64)));
static char frame[8192] __attribute__((aligned(64)));
static sigjmp_buf back;
static uint64_t seed = 88172645463325252u;

static uint64_t number(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static void handle(int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    stack_t stack = {.ss_sp = other, .ss_size = sizeof(other)};

    sigaltstack(&stack, NULL);
    sigemptyset(&action.sa_mask);
    sigaction(signal, &action, NULL);
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    (void)context;
    _exit(7);
}

static void on_far_return(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] = 0x123456789abcdef0;
}

static void on_wrong_state(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    memset((char *)((ucontext_t *)context)->uc_mcontext.fpregs + STATE_HEADER, 0xff, 64);
}

static void on_wrong_selector(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_CSGSFS] = 0x18;
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    siglongjmp(back, signal);
}

__attribute__((noinline)) static long deep(volatile char *above)
{
    volatile char here[4096];

    here[0] = above[0];
    return above[0] == 1 ? 0 : deep(here) + here[1];
}

/* Makes the call with the stack pointer given. */
static void call_on(long call, const void *stack)
{
    __asm__ volatile("movq %1, %%rsp\n syscall\n ud2" : : "a"(call), "r"(stack), "D"(1), "S"(SIGUSR1) : "memory");
}

static void send_on(const void *stack)
{
    __asm__ volatile(
        "movq %0, %%rsp\n movl $39, %%eax\n syscall\n movl %%eax, %%edi\n movl $10, %%esi\n movl $62, %%eax\n"
        "syscall\n ud2"
        :
        : "r"(stack)
        : "memory");
}

/* Wrong frames: registers, state and masks are what comes; some have a place to return to, or a state, that is there.
 */
static void check_frames(void)
{
    volatile int faults = 0;
    volatile int i;

    handle(SIGSEGV, on_fault, SA_ONSTACK | SA_NODEFER);
    handle(SIGBUS, on_fault, SA_ONSTACK | SA_NODEFER);
    handle(SIGILL, on_fault, SA_ONSTACK | SA_NODEFER);
    handle(SIGTRAP, on_fault, SA_ONSTACK | SA_NODEFER);
    for (i = 0; i < FRAMES; i++) {
        ucontext_t *context = (ucontext_t *)frame;

        for (size_t word = 0; word < sizeof(frame) / 8; word++)
            ((uint64_t *)frame)[word] = number();
        memset(&context->uc_sigmask, 0, 8);
        context->uc_mcontext.gregs[REG_EFL] &= ~0x40000; /* alignment checks: of the handler, too */
        if (i & 1)
            context->uc_mcontext.gregs[REG_CSGSFS] = 0x2b000000000033;
        if (i & 2)
            context->uc_mcontext.gregs[REG_RIP] = (greg_t)(number() & 0xfff);
        if (i & 4)
            context->uc_mcontext.fpregs = (void *)(frame + 1024);
        if (i & 8)
            context->uc_mcontext.fpregs = NULL;
        if (i & 16)
            memset(&context->uc_stack, 0, sizeof(context->uc_stack));
        if (sigsetjmp(back, 1) == 0)
            call_on(SYS_rt_sigreturn, frame);
        handle(SIGSEGV, on_fault, SA_ONSTACK | SA_NODEFER);
        __asm__ volatile("fninit");
        faults++;
    }
    printf("%d wrong frames\n", faults);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "frames";
    char here = 0;
    sigset_t set;

    setvbuf(stdout, NULL, _IONBF, 0);
    printf("%s\n", what);
    if (!strcmp(what, "frames")) {
        check_frames();
        return 0;
    }
    sigemptyset(&set);
    sigaddset(&set, SIGSEGV);
    if (!strcmp(what, "no-frame")) {
        call_on(SYS_rt_sigreturn, frame);
    } else if (!strcmp(what, "frame-nowhere")) {
        call_on(SYS_rt_sigreturn, (void *)0x700000000000);
    } else if (!strcmp(what, "stack-nowhere")) {
        handle(SIGUSR1, on_signal, 0);
        send_on((void *)0x700000000000);
    } else if (!strcmp(what, "stack-of-the-core")) {
        handle(SIGUSR1, on_signal, 0);
        send_on((void *)0xffff800000200000);
    } else if (!strcmp(what, "overflow")) {
        handle(SIGSEGV, on_signal, 0);
        return (int)deep(&here);
    } else if (!strcmp(what, "overflow-handled")) {
        handle(SIGSEGV, on_signal, SA_ONSTACK);
        return (int)deep(&here);
    } else if (!strcmp(what, "far-return")) {
        handle(SIGUSR1, on_far_return, 0);
        raise(SIGUSR1);
    } else if (!strcmp(what, "wrong-state")) {
        handle(SIGUSR1, on_wrong_state, 0);
        raise(SIGUSR1);
    } else if (!strcmp(what, "wrong-selector")) {
        handle(SIGUSR1, on_wrong_selector, 0);
        raise(SIGUSR1);
    } else if (!strcmp(what, "blocked")) {
        handle(SIGSEGV, on_signal, 0);
        sigprocmask(SIG_BLOCK, &set, NULL);
        *(volatile int *)8 = 1;
    } else if (!strcmp(what, "ignored")) {
        signal(SIGSEGV, SIG_IGN);
        *(volatile int *)8 = 1;
    } else {
        raise(atoi(what));
    }
    return 1;
}
