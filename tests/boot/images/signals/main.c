/* Signals as a program sees them: what handlers are told, what they may change, queues, masks. Linux prints the same.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE 4096
#define PAGES 64
#define KERNEL_SET 8 /* bytes of the kernel's sigset_t */

static char *memory; /* PAGES, readable and writable */
static volatile int count;
static siginfo_t info;
static ucontext_t context;

static void show(const char *what, long result)
{
    printf("%s: %ld, error %d\n", what, result, result == -1 ? errno : 0);
}

static void handle(int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};

    sigemptyset(&action.sa_mask);
    if (sigaction(signal, &action, NULL) != 0)
        show("sigaction", -1);
}

static void keep(siginfo_t *from, void *frame)
{
    info = *from;
    context = *(ucontext_t *)frame;
    count++;
}

static long long general(int index)
{
    return context.uc_mcontext.gregs[index];
}

static void print_fault(const char *what, const char *base)
{
    printf("%s: signal %d, code %d, address %ld, trap %lld, error %lld, %d handled\n", what, info.si_signo,
           info.si_code, base ? (long)((char *)info.si_addr - base) : 0, general(REG_TRAPNO), general(REG_ERR), count);
    count = 0;
}

/* ---- memory ---- */

static void on_fault(int signal, siginfo_t *from, void *frame)
{
    char *page = (char *)((uintptr_t)from->si_addr & -PAGE);

    (void)signal;
    keep(from, frame);
    if (from->si_code == SEGV_MAPERR)
        mmap(page, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    else
        mprotect(page, PAGE, PROT_READ | PROT_WRITE);
}

static void check_memory(void)
{
    volatile char *bytes = memory;

    handle(SIGSEGV, on_fault, 0);
    bytes[5] = 'a';
    mprotect(memory, PAGE, PROT_READ);
    bytes[5] = 'b';
    print_fault("write to a page for reading", memory);
    mprotect(memory, PAGE, PROT_NONE);
    printf("it holds %c\n", bytes[5]);
    print_fault("read of a protected page", memory);
    printf("cr2 is the address: %d\n", (char *)context.uc_mcontext.gregs[REG_CR2] == memory + 5);
    munmap(memory + 3 * PAGE, PAGE);
    bytes[3 * PAGE + 7] = 'c';
    print_fault("write to no mapping", memory + 3 * PAGE);
    printf("it holds %c\n", bytes[3 * PAGE + 7]);
    printf("flags %#lx, link %d, selectors %#llx, mask %d\n", context.uc_flags & 7, context.uc_link != NULL,
           general(REG_CSGSFS), sigismember(&context.uc_sigmask, SIGSEGV));
}

/* As a garbage collector: pages are protected, those that are written to are found by their faults. */
static void check_collector(void)
{
    volatile char *bytes = memory;
    unsigned long sum = 0;

    count = 0;
    for (int round = 0; round < 20; round++) {
        mprotect(memory, PAGES * PAGE, PROT_READ);
        for (int i = round % 3; i < PAGES; i += 3)
            bytes[i * PAGE + round]++;
        for (int i = 0; i < PAGES; i++)
            sum += (unsigned char)bytes[i * PAGE + round];
        mprotect(memory, PAGES * PAGE, PROT_READ | PROT_WRITE);
    }
    printf("collector: %d faults, sum %lu\n", count, sum);
    count = 0;
}

/* The bytes below the stack pointer are the program's: the fault may not touch them. */
static void check_red_zone(void)
{
    long sum = 0;

    mprotect(memory, PAGE, PROT_READ);
    __asm__ volatile("movq $11, -8(%%rsp)\n movq $22, -64(%%rsp)\n movq $33, -128(%%rsp)\n"
                     "movb $1, (%1)\n"
                     "movq -8(%%rsp), %0\n addq -64(%%rsp), %0\n addq -128(%%rsp), %0\n"
                     : "=&r"(sum)
                     : "r"(memory)
                     : "memory");
    printf("red zone: %ld, %d handled\n", sum, count);
    count = 0;
}

/* ---- instructions ---- */

static void on_divide(int signal, siginfo_t *from, void *frame)
{
    (void)signal;
    keep(from, frame);
    ((ucontext_t *)frame)->uc_mcontext.gregs[REG_RCX] = 7;
}

static void on_skip(int signal, siginfo_t *from, void *frame)
{
    (void)signal;
    keep(from, frame);
    ((ucontext_t *)frame)->uc_mcontext.gregs[REG_RIP] += 2;
}

static void on_trap(int signal, siginfo_t *from, void *frame)
{
    (void)signal;
    keep(from, frame);
}

static void check_instructions(void)
{
    int quotient = 42, rest = 0;
    char *place;

    handle(SIGFPE, on_divide, 0);
    __asm__ volatile("lea 1f(%%rip), %2\n xorl %%ecx, %%ecx\n1: idivl %%ecx"
                     : "+a"(quotient), "+d"(rest), "=&r"(place)
                     :
                     : "rcx");
    print_fault("division", place);
    printf("42 / 7 is %d\n", quotient);
    handle(SIGILL, on_skip, 0);
    __asm__ volatile("lea 1f(%%rip), %0\n1: ud2" : "=r"(place));
    print_fault("ud2", place);
    handle(SIGTRAP, on_trap, 0);
    __asm__ volatile("lea 1f(%%rip), %0\n int3\n1:" : "=r"(place));
    printf("behind int3: %d\n", general(REG_RIP) == (long long)place);
    print_fault("int3", NULL);
    __asm__ volatile("pushfq\n orq $0x100, (%%rsp)\n popfq\n nop\n nop\n nop\n pushfq\n andq $~0x100, (%%rsp)\n popfq"
                     :
                     :
                     : "memory", "cc");
    printf("single steps: code %d, %d of them\n", info.si_code, count);
    count = 0;
    handle(SIGSEGV, on_skip, 0);
    __asm__ volatile("movq %0, %%rax\n movb (%%rax), %%al" : : "r"(0x8000000000000000) : "rax");
    print_fault("address that is not canonical", NULL);
    handle(SIGSEGV, on_fault, 0);
}

static void on_float(int signal, siginfo_t *from, void *frame)
{
    ucontext_t *u = frame;

    (void)signal;
    keep(from, frame);
    u->uc_mcontext.fpregs->mxcsr = 0x1f80;
    u->uc_mcontext.fpregs->swd = 0;
    u->uc_mcontext.fpregs->cwd = 0x37f;
}

/* By x87 instructions only: QEMU's emulation raises no exceptions for SSE. */
static void check_floats(void)
{
    static const struct {
        const char *name;
        short masked;
        double a, b;
    } cases[] = {
        {"invalid", 0x37f & ~1, 0, 0},
        {"by zero", 0x37f & ~4, 1, 0},
        {"inexact", 0x37f & ~32, 1, 3},
    };

    handle(SIGFPE, on_float, 0);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        __asm__ volatile("fldcw %2\n fldl %1\n fldl %0\n fdivrp\n fwait\n fninit"
                         :
                         : "m"(cases[i].b), "m"(cases[i].a), "m"(cases[i].masked)
                         : "memory");
        print_fault(cases[i].name, NULL);
    }
}

/* ---- registers ---- */

static void on_registers(int signal, siginfo_t *from, void *frame)
{
    greg_t *g = ((ucontext_t *)frame)->uc_mcontext.gregs;
    struct _libc_fpstate *f = (struct _libc_fpstate *)((ucontext_t *)frame)->uc_mcontext.fpregs;
    unsigned int *xmm3 = (unsigned int *)((char *)f + 160 + 3 * 16);

    (void)signal;
    keep(from, frame);
    g[REG_RBX] += 1;
    g[REG_R12] += 2;
    g[REG_R15] += 3;
    g[REG_EFL] ^= 1;
    printf("in the handler xmm3 is %u, state %d\n", xmm3[0], ((unsigned *)f)[116] == 0x46505853u);
    xmm3[0] = 77;
    __asm__ volatile("pxor %%xmm3, %%xmm3\n pxor %%xmm4, %%xmm4\n vzeroall" : : : "xmm3", "xmm4");
}

static void check_registers(void)
{
    long b = 10, r12 = 20, r15 = 30;
    unsigned three = 3, four = 4, out3, out4;
    unsigned char carry;

    handle(SIGUSR1, on_registers, 0);
    fflush(stdout);
    __asm__ volatile(
        "movq %[b], %%rbx\n movq %[r12], %%r12\n movq %[r15], %%r15\n"
        "movd %[three], %%xmm3\n movd %[four], %%xmm4\n"
        "movl $39, %%eax\n syscall\n movl %%eax, %%edi\n movl $10, %%esi\n clc\n"
        "movl $62, %%eax\n syscall\n setc %[carry]\n"
        "movd %%xmm3, %[out3]\n movd %%xmm4, %[out4]\n"
        "movq %%rbx, %[b]\n movq %%r12, %[r12]\n movq %%r15, %[r15]\n"
        : [b] "+m"(b), [r12] "+m"(r12), [r15] "+m"(r15), [carry] "=m"(carry), [out3] "=m"(out3), [out4] "=m"(out4)
        : [three] "m"(three), [four] "m"(four)
        : "rax", "rbx", "rcx", "rdi", "rsi", "r11", "r12", "r15", "xmm3", "xmm4", "memory", "cc");
    printf("behind it %ld %ld %ld, xmm3 %u, xmm4 %u, carry %d, result %lld, code %d\n", b, r12, r15, out3, out4, carry,
           general(REG_RAX), info.si_code);
    count = 0;
}

/* ---- stacks ---- */

static char *other;
static stack_t seen, before;

static void on_stack(int signal, siginfo_t *from, void *frame)
{
    char here;
    stack_t again = {.ss_sp = other, .ss_size = 65536};

    (void)signal;
    keep(from, frame);
    sigaltstack(NULL, &seen);
    printf("on the other stack: %d, flags %d, size %zu, shown %d\n", &here > other && &here < other + 65536,
           seen.ss_flags, seen.ss_size, context.uc_stack.ss_flags);
    show("sigaltstack there", sigaltstack(&again, NULL));
}

static void on_disarmed(int signal, siginfo_t *from, void *frame)
{
    (void)signal;
    keep(from, frame);
    sigaltstack(NULL, &seen);
    printf("disarmed: flags %d, shown %#x\n", seen.ss_flags, (unsigned)context.uc_stack.ss_flags);
}

static void check_stacks(void)
{
    stack_t stack = {.ss_size = 65536};

    other = malloc(65536);
    stack.ss_sp = other;
    show("sigaltstack", sigaltstack(&stack, &before));
    printf("before: flags %d\n", before.ss_flags);
    handle(SIGUSR1, on_stack, SA_ONSTACK);
    raise(SIGUSR1);
    sigaltstack(NULL, &seen);
    printf("afterwards: flags %d\n", seen.ss_flags);
    stack.ss_flags = (int)(1u << 31); /* SS_AUTODISARM */
    show("sigaltstack", sigaltstack(&stack, NULL));
    handle(SIGUSR1, on_disarmed, SA_ONSTACK);
    raise(SIGUSR1);
    sigaltstack(NULL, &seen);
    printf("armed again: flags %#x\n", (unsigned)seen.ss_flags);
    stack.ss_flags = 4;
    show("bad flags", syscall(SYS_sigaltstack, &stack, NULL));
    stack.ss_flags = 0;
    stack.ss_size = 2047;
    show("too small", syscall(SYS_sigaltstack, &stack, NULL));
    show("no memory", syscall(SYS_sigaltstack, 16, NULL));
    stack.ss_flags = SS_DISABLE;
    show("disable", sigaltstack(&stack, NULL));
    count = 0;
}

/* ---- order, queues and masks ---- */

static void on_any(int signal, siginfo_t *from, void *frame)
{
    (void)frame;
    printf("signal %d, code %d, value %d, from itself %d\n", signal >= SIGRTMIN ? 1000 + signal - SIGRTMIN : signal,
           from->si_code, from->si_code == SI_QUEUE ? from->si_value.sival_int : 0, from->si_pid == getpid());
    count++;
}

static void on_nested(int signal, siginfo_t *from, void *frame)
{
    static int depth;

    (void)from;
    (void)frame;
    printf("%d begins at depth %d\n", signal, ++depth);
    if (signal == SIGUSR1 && depth == 1 && count++ == 0) {
        raise(SIGUSR1);
        raise(SIGUSR2);
    }
    printf("%d ends at depth %d\n", signal, depth--);
}

static void check_queues(void)
{
    sigset_t all, old, waiting;
    union sigval value;
    siginfo_t got;
    struct timespec soon = {.tv_nsec = 20000000}, never = {.tv_nsec = -1};

    for (int signal = SIGRTMIN; signal < SIGRTMIN + 3; signal++)
        handle(signal, on_any, 0);
    handle(SIGUSR1, on_any, 0);
    handle(SIGUSR2, on_any, 0);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &old);
    for (int i = 0; i < 3; i++) {
        value.sival_int = 100 + i;
        show("sigqueue", sigqueue(getpid(), SIGRTMIN + 1, value));
    }
    value.sival_int = 200;
    sigqueue(getpid(), SIGRTMIN, value);
    kill(getpid(), SIGUSR2);
    kill(getpid(), SIGUSR2);
    raise(SIGUSR1);
    sigpending(&waiting);
    printf("pending: %d %d %d %d\n", sigismember(&waiting, SIGUSR1), sigismember(&waiting, SIGUSR2),
           sigismember(&waiting, SIGRTMIN + 1), sigismember(&waiting, SIGRTMIN + 2));
    sigprocmask(SIG_SETMASK, &old, NULL);
    printf("%d handled\n", count);
    sigprocmask(SIG_BLOCK, &all, &old);
    value.sival_int = 300;
    sigqueue(getpid(), SIGRTMIN + 2, value);
    show("sigwaitinfo", sigwaitinfo(&all, &got) - SIGRTMIN);
    printf("code %d, value %d\n", got.si_code, got.si_value.sival_int);
    show("sigtimedwait", sigtimedwait(&all, &got, &soon));
    show("sigtimedwait for no time", sigtimedwait(&all, &got, &never));
    raise(SIGUSR1);
    sigdelset(&all, SIGUSR1);
    sigfillset(&waiting);
    sigdelset(&waiting, SIGUSR1);
    show("sigsuspend", sigsuspend(&waiting));
    sigprocmask(SIG_SETMASK, NULL, &waiting);
    printf("blocked again: %d\n", sigismember(&waiting, SIGUSR1));
    sigprocmask(SIG_SETMASK, &old, NULL);
    count = 0;
    handle(SIGUSR1, on_nested, 0);
    handle(SIGUSR2, on_nested, 0);
    raise(SIGUSR1);
    count = 0;
    handle(SIGUSR1, on_nested, SA_NODEFER);
    raise(SIGUSR1);
    signal(SIGUSR1, SIG_IGN);
    raise(SIGUSR1);
    handle(SIGUSR1, on_any, (int)SA_RESETHAND);
    raise(SIGUSR1);
    printf("reset: %d\n", signal(SIGUSR1, SIG_DFL) == SIG_DFL);
    raise(SIGCHLD);
    raise(SIGURG);
}

/* ---- bad arguments ---- */

static void check_arguments(void)
{
    struct sigaction action = {.sa_handler = SIG_IGN};
    uint64_t set = 0;

    show("kill of nobody", kill(12345678, SIGUSR1));
    show("signal 0", kill(getpid(), 0));
    show("signal 65", kill(getpid(), 65));
    show("tgkill", syscall(SYS_tgkill, 0, getpid(), SIGUSR1));
    show("SIGKILL ignored", sigaction(SIGKILL, &action, NULL));
    show("SIGSTOP asked for", sigaction(SIGSTOP, NULL, &action));
    show("no action", syscall(SYS_rt_sigaction, SIGUSR1, 16, NULL, KERNEL_SET));
    show("short set", syscall(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 4));
    show("bad how", syscall(SYS_rt_sigprocmask, 3, &set, NULL, KERNEL_SET));
    show("no set", syscall(SYS_rt_sigprocmask, SIG_BLOCK, 16, NULL, KERNEL_SET));
    show("pending of too many", syscall(SYS_rt_sigpending, &set, 16));
    show("suspend of a short set", syscall(SYS_rt_sigsuspend, &set, 4));
    show("suspend of no set", syscall(SYS_rt_sigsuspend, NULL, KERNEL_SET));
    show("wait without a set", syscall(SYS_rt_sigtimedwait, NULL, NULL, NULL, KERNEL_SET));
    show("queue without info", syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, NULL));
    show("queue 65", syscall(SYS_rt_sigqueueinfo, getpid(), 65, &info));
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check_memory();
    check_collector();
    check_red_zone();
    check_instructions();
    check_floats();
    check_registers();
    check_stacks();
    check_queues();
    check_arguments();
    return 0;
}
