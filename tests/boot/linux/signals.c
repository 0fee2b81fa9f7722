/*
 * Signals that the program sends itself. Left out: stopping and continuing (SIGSTOP, SIGTSTP), other processes and
 * groups, core dumps. What ends the program is in the tests of tests.toml that end with a status of 128 and more.
 */
#include "tests/boot/linux/linux.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>

#define SA_RESTORER_ 0x04000000

struct kernel_action {
    void *handler;
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

static volatile int log_count;
static volatile int logged[64];
static siginfo_t last;

static uint64_t bit(int signal)
{
    return 1ul << (signal - 1);
}

static void note(int number)
{
    if (log_count < 64)
        logged[log_count++] = number;
}

static void show_log(const char *what)
{
    printf("%s:", what);
    for (int i = 0; i < log_count; i++)
        printf(" %d", logged[i]);
    puts("");
    log_count = 0;
}

static void simple(int signal)
{
    note(signal);
}

static void with_info(int signal, siginfo_t *info, void *context)
{
    (void)context;
    last = *info;
    note(signal);
}

static void install(int signal, void (*handler)(int, siginfo_t *, void *), int flags, uint64_t mask)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = flags | SA_SIGINFO};

    memcpy(&action.sa_mask, &mask, 8);
    sigaction(signal, &action, NULL);
}

static void block(uint64_t mask)
{
    sys(rt_sigprocmask, SIG_BLOCK, &mask, NULL, 8);
}

static void unblock(uint64_t mask)
{
    sys(rt_sigprocmask, SIG_UNBLOCK, &mask, NULL, 8);
}

static void show_mask(const char *what)
{
    uint64_t mask = 0;

    show(sys(rt_sigprocmask, SIG_BLOCK, NULL, &mask, 8), "%s %lx", what, mask);
}

static void action_errors(void)
{
    struct kernel_action action = {SIG_IGN, 0, NULL, 0}, old = {0};

    try(rt_sigaction, 0, &action, NULL, 8);
    try(rt_sigaction, 65, &action, NULL, 8);
    try(rt_sigaction, -1, &action, NULL, 8);
    try(rt_sigaction, 64, &action, &old, 8);
    try(rt_sigaction, 64, NULL, &old, 8);
    value(old.handler == SIG_IGN);
    try(rt_sigaction, SIGKILL, &action, NULL, 8);
    try(rt_sigaction, SIGSTOP, &action, NULL, 8);
    try(rt_sigaction, SIGKILL, NULL, &old, 8);
    value(old.handler == SIG_DFL);
    try(rt_sigaction, SIGUSR1, &action, NULL, 4);
    try(rt_sigaction, SIGUSR1, &action, NULL, 16);
    try(rt_sigaction, SIGUSR1, WILD, NULL, 8);
    try(rt_sigaction, SIGUSR1, KERNEL_HALF, NULL, 8);
    try(rt_sigaction, SIGUSR1, NULL, WILD, 8);
    try(rt_sigaction, SIGUSR1, NULL, NULL, 8);
    try(rt_sigaction, 0, NULL, NULL, 8);
    action = (struct kernel_action){SIG_DFL, 0x08000000 | SA_RESTART, NULL, -1ul};
    try(rt_sigaction, SIGUSR1, &action, NULL, 8);
    try(rt_sigaction, SIGUSR1, NULL, &old, 8);
    printf("flags %lx, mask %lx\n", old.flags & ~(unsigned long)SA_RESTORER_, old.mask);
    action = (struct kernel_action){SIG_DFL, 0, NULL, 0};
    sys(rt_sigaction, 64, &action, NULL, 8);
}

static void mask_errors(void)
{
    uint64_t mask = bit(SIGUSR1) | bit(SIGKILL) | bit(SIGSTOP), old = 0, none = 0;

    try(rt_sigprocmask, SIG_BLOCK, &mask, &old, 8);
    value(old);
    show_mask("mask");
    try(rt_sigprocmask, SIG_BLOCK, &mask, NULL, 4);
    try(rt_sigprocmask, 99, &mask, NULL, 8);
    try(rt_sigprocmask, 99, NULL, &old, 8);
    try(rt_sigprocmask, SIG_SETMASK, WILD, NULL, 8);
    try(rt_sigprocmask, SIG_SETMASK, NULL, WILD, 8);
    try(rt_sigprocmask, SIG_SETMASK, KERNEL_HALF, NULL, 8);
    mask = -1;
    try(rt_sigprocmask, SIG_SETMASK, &mask, NULL, 8);
    show_mask("all");
    try(rt_sigprocmask, SIG_UNBLOCK, &mask, NULL, 8);
    show_mask("none");
    try(rt_sigprocmask, SIG_SETMASK, &none, WILD, 8);
    try(rt_sigpending, &old, 8);
    value(old);
    try(rt_sigpending, &old, 4);
    try(rt_sigpending, &old, 16);
    try(rt_sigpending, WILD, 8);
}

static void sending(void)
{
    int self = getpid(), thread = (int)sys(gettid);

    install(SIGUSR1, with_info, 0, 0);
    show(sys(kill, self, SIGUSR1), "kill");
    show_log("handled");
    printf("signal %d, code %d, errno %d, ours %d\n", last.si_signo, last.si_code, last.si_errno, last.si_pid == self);
    show(sys(tgkill, self, thread, SIGUSR1), "tgkill");
    printf("code %d\n", last.si_code);
    show(sys(tkill, thread, SIGUSR1), "tkill");
    printf("code %d\n", last.si_code);
    show(sys(kill, self, 0), "signal 0");
    show(sys(kill, self, 65), "signal 65");
    show(sys(kill, self, -1), "signal -1");
    show(sys(kill, 0x7fffffff, SIGUSR1), "nobody");
    show(sys(kill, 0x80000000, SIGUSR1), "the most negative process");
    show(sys(kill, 0x7fffffff, 0), "nobody, signal 0");
    show(sys(tgkill, self, 0x7fffffff, SIGUSR1), "no thread");
    show(sys(tgkill, self, 0, SIGUSR1), "thread 0");
    show(sys(tgkill, 0, thread, SIGUSR1), "group 0");
    show(sys(tgkill, self, thread, 65), "signal 65");
    show(sys(tkill, -1, SIGUSR1), "thread -1");
    show_log("handled");
    siginfo_t info = {.si_signo = 99, .si_code = SI_QUEUE};

    info.si_value.sival_int = 4711;
    show(sys(rt_sigqueueinfo, self, SIGUSR1, &info), "queue");
    printf("signal %d, code %d, value %d\n", last.si_signo, last.si_code, last.si_value.sival_int);
    info.si_code = SI_TIMER;
    show(sys(rt_tgsigqueueinfo, self, thread, SIGUSR1, &info), "queue to the thread");
    printf("code %d\n", last.si_code);
    show(sys(rt_sigqueueinfo, self, SIGUSR1, WILD), "from nowhere");
    show(sys(rt_sigqueueinfo, self, 65, &info), "signal 65");
    show(sys(rt_sigqueueinfo, 0x7fffffff, SIGUSR1, &info), "nobody");
    show(sys(rt_sigqueueinfo, 0x7fffffff, SIGUSR1, WILD), "nobody, from nowhere");
    show(sys(rt_tgsigqueueinfo, 0, thread, SIGUSR1, WILD), "group 0, from nowhere");
    show(sys(rt_tgsigqueueinfo, 0, thread, SIGUSR1, &info), "group 0");
    show(sys(rt_tgsigqueueinfo, 0x7fffffff, 0x7fffffff, SIGUSR1, &info), "no thread");
    info.si_code = SI_USER;
    show(sys(rt_sigqueueinfo, 0x7fffffff, SIGUSR1, &info), "nobody, as kill");
    show(sys(rt_tgsigqueueinfo, 0x7fffffff, 0x7fffffff, SIGUSR1, &info), "no thread, as kill");
    show(sys(rt_tgsigqueueinfo, 0, 0x7fffffff, SIGUSR1, &info), "group 0, as kill");
    info.si_code = SI_QUEUE;
    show_log("handled");
}

static void pending(void)
{
    uint64_t set = 0;
    union sigval payload;

    install(SIGUSR1, with_info, 0, 0), install(SIGUSR2, with_info, 0, 0);
    install(40, with_info, 0, 0), install(36, with_info, 0, 0);
    block(bit(SIGUSR1) | bit(SIGUSR2) | bit(40) | bit(36));
    kill(getpid(), SIGUSR2), kill(getpid(), SIGUSR1), kill(getpid(), SIGUSR1);
    for (int i = 0; i < 3; i++) {
        payload.sival_int = i;
        sigqueue(getpid(), 40, payload);
    }
    sigqueue(getpid(), 36, payload);
    sys(rt_sigpending, &set, 8);
    printf("pending %lx\n", set);
    show_log("none yet");
    unblock(bit(SIGUSR1) | bit(SIGUSR2) | bit(40) | bit(36));
    show_log("all"); /* each handler begins before the one that was set up before it */
    sys(rt_sigpending, &set, 8);
    printf("pending %lx\n", set);
    block(bit(SIGUSR1));
    kill(getpid(), SIGUSR1);
    signal(SIGUSR1, SIG_IGN);
    sys(rt_sigpending, &set, 8);
    printf("ignored while pending %lx\n", set);
    install(SIGUSR1, with_info, 0, 0);
    unblock(bit(SIGUSR1));
    show_log("gone");
    block(bit(SIGUSR1));
    signal(SIGUSR1, SIG_IGN);
    kill(getpid(), SIGUSR1);
    sys(rt_sigpending, &set, 8);
    printf("ignored and blocked %lx\n", set);
    unblock(bit(SIGUSR1));
    kill(getpid(), SIGCHLD), kill(getpid(), SIGWINCH), kill(getpid(), SIGURG), kill(getpid(), SIGCONT);
    puts("ignored by default");
}

static volatile int runs;
static uint64_t seen_mask;

/* Sends its own signal, twice in all: it is handled inside with SA_NODEFER, else when the handler has returned. */
static void nested(int signal, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    note(signal);
    sys(rt_sigprocmask, SIG_BLOCK, NULL, &seen_mask, 8);
    if (++runs < 3)
        kill(getpid(), signal);
    note(100 + signal);
}

static void show_nested(const char *what, int flags, uint64_t mask, int already)
{
    runs = already;
    install(SIGUSR1, nested, flags, mask);
    kill(getpid(), SIGUSR1);
    printf("mask %lx\n", seen_mask);
    show_log(what);
}

static void masks_of_handlers(void)
{
    struct sigaction action;

    show_nested("one after the other", 0, 0, 0);
    show_nested("SA_NODEFER", SA_NODEFER, 0, 0);
    show_nested("sa_mask", 0, bit(SIGUSR2) | bit(SIGTERM) | bit(SIGKILL), 5);
    show_mask("afterwards");
    show_nested("SA_RESETHAND", (int)SA_RESETHAND, 0, 5);
    sigaction(SIGUSR1, NULL, &action);
    value(action.sa_handler == SIG_DFL);
}

static void change_mask(int signal, siginfo_t *info, void *context)
{
    ucontext_t *user = context;
    uint64_t mask = bit(SIGTERM) | bit(SIGKILL);

    (void)info;
    note(signal);
    memcpy(&user->uc_sigmask, &mask, 8);
}

static void mask_in_the_context(void)
{
    install(SIGUSR1, change_mask, 0, 0);
    show_mask("before");
    kill(getpid(), SIGUSR1);
    show_mask("after");
    unblock(bit(SIGTERM));
    log_count = 0;
}

static void change_result(int signal, siginfo_t *info, void *context)
{
    ucontext_t *user = context;

    (void)info;
    note(signal);
    user->uc_mcontext.gregs[REG_RAX] = 12345;
    user->uc_mcontext.gregs[REG_R12] = 54321;
}

static void registers_in_the_context(void)
{
    long result = SYS_kill, twelve = 1;
    register long pid __asm__("rdi") = getpid();
    register long number __asm__("rsi") = SIGUSR1;

    install(SIGUSR1, change_result, 0, 0);
    __asm__ volatile("movq %1, %%r12\n syscall\n movq %%r12, %1"
                     : "+a"(result), "+r"(twelve), "+r"(pid), "+r"(number)
                     :
                     : "rcx", "r11", "r12", "memory");
    value(result);
    value(twelve);
    log_count = 0;
}

static void clobber(int signal)
{
    double x = signal;

    note(signal);
    for (int i = 0; i < 100; i++)
        x = x * 1.5 + 1 / x;
    __asm__ volatile("pxor %%xmm0, %%xmm0\n pxor %%xmm7, %%xmm7\n pxor %%xmm15, %%xmm15\n fninit\n std\n cld"
                     :
                     : "x"(x)
                     : "xmm0", "xmm7", "xmm15");
}

/* Nothing of the interrupted code is changed: registers, vector registers, flags, the red zone. */
static void everything_kept(void)
{
    uint64_t in[4] = {0x1111, 0x2222, 0x3333, 0x4444}, out[4] = {0};
    long result, flags = 0;

    signal(SIGUSR1, clobber);
    __asm__ volatile("movups (%4), %%xmm0\n movups 16(%4), %%xmm15\n"
                     "movq $0x5151, -8(%%rsp)\n movq $0x5252, -120(%%rsp)\n"
                     "stc\n syscall\n"
                     "movq -8(%%rsp), %%r8\n movq -120(%%rsp), %%r9\n"
                     "movups %%xmm0, (%5)\n movups %%xmm15, 16(%5)\n"
                     "xorq $0x5151, %%r8\n xorq $0x5252, %%r9\n orq %%r9, %%r8\n movq %%r8, %1"
                     : "=a"(result), "=&r"(flags)
                     : "a"(SYS_kill), "D"(getpid()), "r"(in), "r"(out), "S"(SIGUSR1)
                     : "rcx", "r8", "r9", "r11", "memory", "xmm0", "xmm15", "cc");
    value(result);
    show(flags, "the red zone");
    value(memcmp(in, out, sizeof in) == 0);
    show_log("handled");
}

static char alternate[64 << 10] __attribute__((aligned(16)));
static volatile int on_alternate;
static stack_t seen_stack;

static void where(int signal, siginfo_t *info, void *context)
{
    char here;

    (void)info, (void)context;
    note(signal);
    on_alternate = &here >= alternate && &here < alternate + sizeof alternate;
    sys(sigaltstack, NULL, &seen_stack);
    stack_t off = {.ss_flags = SS_DISABLE};

    note((int)-sys(sigaltstack, &off, NULL));
}

static void alternate_stacks(void)
{
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate}, old;

    show(sys(sigaltstack, NULL, &old), "the first");
    value(old.ss_flags == SS_DISABLE);
    show(sys(sigaltstack, NULL, NULL), "nothing");
    show(sys(sigaltstack, WILD, NULL), "from nowhere");
    show(sys(sigaltstack, NULL, WILD), "to nowhere");
    stack.ss_size = 100;
    show(sys(sigaltstack, &stack, NULL), "too small");
    stack.ss_size = sizeof alternate;
    stack.ss_flags = 99;
    show(sys(sigaltstack, &stack, NULL), "unknown flags");
    stack.ss_flags = SS_ONSTACK;
    show(sys(sigaltstack, &stack, NULL), "SS_ONSTACK");
    stack.ss_flags = 0;
    show(sys(sigaltstack, &stack, &old), "set");
    install(SIGUSR1, where, SA_ONSTACK, 0);
    kill(getpid(), SIGUSR1);
    printf("on it %d, flags %d, size %zu\n", on_alternate, seen_stack.ss_flags, seen_stack.ss_size);
    show_log("EPERM inside"); /* 1 is EPERM */
    install(SIGUSR1, where, 0, 0);
    kill(getpid(), SIGUSR1);
    printf("on it %d, flags %d\n", on_alternate, seen_stack.ss_flags);
    log_count = 0;
    show(sys(sigaltstack, &stack, NULL), "set");
    stack.ss_flags = (int)0x80000000; /* SS_AUTODISARM */
    show(sys(sigaltstack, &stack, NULL), "SS_AUTODISARM");
    install(SIGUSR1, where, SA_ONSTACK, 0);
    kill(getpid(), SIGUSR1);
    printf("on it %d, flags %d\n", on_alternate, seen_stack.ss_flags);
    show_log("allowed inside");
    sys(sigaltstack, NULL, &old);
    printf("afterwards: flags %x, the same %d\n", old.ss_flags, old.ss_sp == alternate);
    stack.ss_flags = SS_DISABLE;
    show(sys(sigaltstack, &stack, NULL), "off");
}

static sigjmp_buf jump;

static void jump_out(int signal)
{
    note(signal);
    siglongjmp(jump, signal);
}

static void jumping(void)
{
    for (volatile int i = 0; i < 3; i++) {
        signal(SIGUSR1, jump_out);
        if (sigsetjmp(jump, 1) == 0)
            kill(getpid(), SIGUSR1);
    }
    show_log("three jumps");
    show_mask("afterwards");
}

static void waiting(void)
{
    uint64_t none = 0, set = bit(SIGUSR1) | bit(40);
    struct timespec zero = {0, 0}, some = {0, 20000000}, bad = {0, -1};
    siginfo_t info = {0};
    union sigval payload = {.sival_int = 5};

    install(SIGUSR1, with_info, SA_RESTART, 0), install(40, with_info, 0, 0);
    block(set);
    kill(getpid(), SIGUSR1);
    show(sys(rt_sigsuspend, &none, 8), "sigsuspend");
    show_log("handled");
    show_mask("afterwards");
    show(sys(rt_sigsuspend, &none, 4), "a small mask");
    show(sys(rt_sigsuspend, WILD, 8), "a mask nowhere");
    show(sys(rt_sigtimedwait, &set, &info, &zero, 8), "no signal");
    show(sys(rt_sigtimedwait, &set, &info, &some, 8), "none for a while");
    show(sys(rt_sigtimedwait, &set, &info, &bad, 8), "a bad time");
    show(sys(rt_sigtimedwait, &set, &info, &zero, 4), "a small mask");
    show(sys(rt_sigtimedwait, WILD, &info, &zero, 8), "a mask nowhere");
    show(sys(rt_sigtimedwait, &set, &info, WILD, 8), "a time nowhere");
    sigqueue(getpid(), 40, payload);
    kill(getpid(), SIGUSR1);
    show(sys(rt_sigtimedwait, &set, &info, &zero, 8), "one");
    printf("signal %d, code %d\n", info.si_signo, info.si_code);
    show(sys(rt_sigtimedwait, &set, NULL, NULL, 8), "another");
    sigqueue(getpid(), 40, payload);
    show(sys(rt_sigtimedwait, &set, WILD, &zero, 8), "to nowhere");
    show(sys(rt_sigtimedwait, &set, &info, &zero, 8), "it is lost");
    show_log("none handled");
    unblock(set);
    struct itimerval soon = {{0, 0}, {0, 20000}};

    install(SIGALRM, with_info, SA_RESTART, 0);
    setitimer(ITIMER_REAL, &soon, NULL);
    show(sys(pause), "pause");
    show_log("alarm");
    printf("code %d\n", last.si_code);
    setitimer(ITIMER_REAL, &soon, NULL);
    some.tv_sec = 5;
    struct timespec rest = {0, 0};

    show(sys(nanosleep, &some, &rest), "nanosleep");
    value(rest.tv_sec == 4 || (rest.tv_sec == 5 && rest.tv_nsec < 20000000));
    setitimer(ITIMER_REAL, &soon, NULL);
    show(sys(rt_sigtimedwait, &none, NULL, &some, 8), "sigtimedwait of another one");
    log_count = 0;
}

static int restart_pipe[2];

static void feed(int signal)
{
    note(signal);
    if (write(restart_pipe[1], "fed", 3) != 3)
        note(-1);
}

static void restarting(void)
{
    struct sigaction action = {.sa_handler = feed, .sa_flags = SA_RESTART};
    struct itimerval soon = {{0, 0}, {0, 20000}};
    char bytes[8] = "";

    pipe(restart_pipe);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &soon, NULL);
    show(sys(read, restart_pipe[0], bytes, 8), "read, started again");
    text(bytes);
    action.sa_flags = 0;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &soon, NULL);
    show(sys(read, restart_pipe[0], bytes, 8), "read, interrupted");
    show(sys(read, restart_pipe[0], bytes, 8), "read");
    show_log("handled");
    close(restart_pipe[0]), close(restart_pipe[1]);
}

static void queue_limits(void)
{
    struct rlimit limit = {8, 0}, old;
    union sigval payload = {.sival_int = 1};
    long result = 0;
    int count = 0;

    install(40, with_info, 0, 0);
    getrlimit(RLIMIT_SIGPENDING, &old);
    limit.rlim_max = old.rlim_max;
    block(bit(40));
    if (!setrlimit(RLIMIT_SIGPENDING, &limit))
        while (count < 1000 && (result = sigqueue(getpid(), 40, payload)) == 0)
            count++;
    show(result ? -errno : 0, "the queue is full");
    value(count <= 8);
    setrlimit(RLIMIT_SIGPENDING, &old);
    unblock(bit(40));
    value(log_count == count);
    log_count = 0;
}

static void with_libc(void)
{
    sigset_t set;

    sigemptyset(&set);
    value(sigismember(&set, SIGUSR1));
    sigaddset(&set, SIGUSR1);
    value(sigismember(&set, SIGUSR1));
    signal(SIGUSR1, simple);
    value(raise(SIGUSR1));
    show_log("raise");
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGUSR1);
    int number = 0;

    value(sigwait(&set, &number));
    value(number);
    value(alarm(100));
    value(alarm(0) > 98);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    signal(SIGABRT, jump_out);
    if (sigsetjmp(jump, 1) == 0)
        abort();
    show_log("abort caught");
}

/* What a handler writes into the saved state is the program's afterwards, though it used nothing of that state before.
 */
static void on_state(int signal, siginfo_t *info, void *context)
{
    struct _libc_fpstate *state = (struct _libc_fpstate *)((ucontext_t *)context)->uc_mcontext.fpregs;

    (void)info;
    state->cwd = 0x27f;
    state->_xmm[5].element[0] = 77;
    note(signal);
}

static void state_in_the_context(void)
{
    uint16_t control = 0;
    uint32_t low = 0;

    install(SIGUSR1, on_state, 0, 0);
    __asm__ volatile("fninit\n pxor %%xmm0, %%xmm0\n pxor %%xmm1, %%xmm1\n pxor %%xmm2, %%xmm2\n"
                     "pxor %%xmm3, %%xmm3\n pxor %%xmm4, %%xmm4\n pxor %%xmm5, %%xmm5\n pxor %%xmm6, %%xmm6\n"
                     "pxor %%xmm7, %%xmm7\n pxor %%xmm8, %%xmm8\n pxor %%xmm9, %%xmm9\n pxor %%xmm10, %%xmm10\n"
                     "pxor %%xmm11, %%xmm11\n pxor %%xmm12, %%xmm12\n pxor %%xmm13, %%xmm13\n"
                     "pxor %%xmm14, %%xmm14\n pxor %%xmm15, %%xmm15\n"
                     "syscall\n fnstcw %0\n movd %%xmm5, %1\n fninit"
                     : "=m"(control), "=r"(low)
                     : "a"(SYS_tgkill), "D"(getpid()), "S"(gettid()), "d"(SIGUSR1)
                     : "rcx", "r11", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                       "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
    printf("x87 control %x, xmm5 %u\n", control, low);
    show_log("state");
}

/* ---- rt_sigreturn with what is no frame ---- */

static char model[16384] __attribute__((aligned(64))), garbage[16384] __attribute__((aligned(64)));
static long state_offset; /* of the extended state in the frame */
static size_t model_size;
static sigjmp_buf behind;
static uint32_t seed = 12345;

static uint64_t random_word(void)
{
    uint64_t word = 0;

    for (int i = 0; i < 4; i++) {
        seed = seed * 1103515245 + 12345;
        word = word << 16 | seed >> 16;
    }
    return word;
}

static void keep_frame(int signal, siginfo_t *info, void *context)
{
    char *start = (char *)context - 8, *state = (char *)((ucontext_t *)context)->uc_mcontext.fpregs;

    (void)signal, (void)info;
    state_offset = state - start;
    model_size = state_offset + *(uint32_t *)(state + 468); /* struct _fpx_sw_bytes: extended_size */
    memcpy(model, start, model_size < sizeof model ? model_size : sizeof model);
}

static void come_back(int signal)
{
    siglongjmp(behind, signal);
}

/* A copy of the frame, wrong in one way. */
static char *garbage_frame(int kind, const stack_t *stack)
{
    char *frame = garbage + (64 - state_offset % 64) % 64;
    ucontext_t *context = (ucontext_t *)(frame + 8);
    greg_t *registers = context->uc_mcontext.gregs;

    memcpy(frame, model, model_size);
    context->uc_mcontext.fpregs = (void *)(frame + state_offset);
    context->uc_stack = *stack;
    memset(&context->uc_sigmask, 0, 8);
    for (int i = 0; kind == 0 && i < 8; i++)
        ((uint64_t *)(frame + state_offset + 512))[i] = random_word();
    if (kind == 1)
        context->uc_mcontext.fpregs = (void *)random_word();
    if (kind == 2 || kind == 3)
        registers[REG_RIP] = kind == 2 ? random_word() : 16;
    if (kind == 3)
        registers[REG_RSP] = random_word();
    return kind == 4 ? (char *)(random_word() | 1ul << 63) : frame + 8;
}

static void garbage_frames(void)
{
    static char own[64 << 10];
    stack_t stack = {own, 0, sizeof own}, none = {NULL, SS_DISABLE, 0};
    struct sigaction action = {.sa_handler = come_back, .sa_flags = SA_ONSTACK};
    volatile int ended[5] = {0};

    install(SIGUSR1, keep_frame, 0, 0);
    raise(SIGUSR1);
    sigaction(SIGSEGV, &action, NULL);
    for (volatile int i = 0; i < 5000; i++) {
        sigaltstack(&stack, NULL);
        if (sigsetjmp(behind, 1) == SIGSEGV)
            ended[i % 5]++;
        else
            __asm__ volatile("movq %0, %%rsp\n syscall\n ud2"
                             :
                             : "r"(garbage_frame(i % 5, &stack)), "a"(SYS_rt_sigreturn)
                             : "memory");
    }
    sigaltstack(&none, NULL);
    signal(SIGSEGV, SIG_DFL);
    for (int kind = 0; kind < 5; kind++)
        printf("garbage of kind %d: %d of 1000 refused\n", kind, ended[kind]);
}

/* All but a page of the addresses from there on, the stack in use too, which nothing leads away from: the last. */
static void alternate_stack_beyond_the_end(void)
{
    stack_t stack = {.ss_sp = alternate, .ss_size = (size_t)-4096};

    show(sys(sigaltstack, &stack, NULL), "an alternate stack that ends beyond 2^64");
    install(SIGUSR1, where, 0, 0);
    kill(getpid(), SIGUSR1);
    printf("flags %d, size %zx\n", seen_stack.ss_flags, seen_stack.ss_size);
    show_log("EPERM inside");
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    action_errors();
    mask_errors();
    sending();
    pending();
    masks_of_handlers();
    mask_in_the_context();
    registers_in_the_context();
    everything_kept();
    state_in_the_context();
    alternate_stacks();
    jumping();
    garbage_frames();
    waiting();
    restarting();
    queue_limits();
    with_libc();
    alternate_stack_beyond_the_end();
    return 0;
}
