/* Timers that interrupt sleeps, waits and computations, and the clocks that they count. Linux prints the same. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define MS 1000000ll

static volatile sig_atomic_t count;
static siginfo_t info;
static int most_missed;

static void show(const char *what, long result)
{
    printf("%s: %ld, error %d\n", what, result, result == -1 ? errno : 0);
}

static long long now(clockid_t clock)
{
    struct timespec time;

    clock_gettime(clock, &time);
    return time.tv_sec * 1000000000ll + time.tv_nsec;
}

static void on_signal(int signal, siginfo_t *from, void *context)
{
    (void)signal;
    (void)context;
    info = *from;
    if (from->si_code == SI_TIMER && from->si_overrun > most_missed)
        most_missed = from->si_overrun;
    count++;
}

static void handle(int signal, int flags)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | flags};

    sigemptyset(&action.sa_mask);
    sigaction(signal, &action, NULL);
}

static void set_interval(int which, long first_ms, long ms)
{
    struct itimerval value = {{0, ms * 1000}, {0, first_ms * 1000}};

    if (setitimer(which, &value, NULL))
        show("setitimer", -1);
}

/* The program computes and makes no call. */
static void check_computation(void)
{
    static const struct {
        const char *name;
        int which, signal;
    } timers[] = {
        {"real", ITIMER_REAL, SIGALRM}, {"virtual", ITIMER_VIRTUAL, SIGVTALRM}, {"profiling", ITIMER_PROF, SIGPROF}};

    for (unsigned i = 0; i < 3; i++) {
        volatile double sum = 0;

        handle(timers[i].signal, 0);
        count = 0;
        set_interval(timers[i].which, 10, 10);
        while (count < 5)
            sum = sum + 1.5;
        set_interval(timers[i].which, 0, 0);
        printf("%s: %s, whole %d, code %d\n", timers[i].name, count >= 5 ? "interrupted" : "WRONG", sum > 0,
               info.si_code);
    }
}

/* Vector registers and flags of the interrupted loop are as they were. */
static void check_state(void)
{
    unsigned long wrong = 0, rounds = 0;

    handle(SIGALRM, 0);
    count = 0;
    set_interval(ITIMER_REAL, 5, 5);
    while (count < 10) {
        unsigned long a = 0, sum;

        __asm__ volatile("movq %[a], %%xmm5\n movq $50000, %%rcx\n xorl %%eax, %%eax\n movq $7, -120(%%rsp)\n"
                         "1: addq $1, %%rax\n incq %%rdx\n movq %%xmm5, %%r8\n addq $1, %%r8\n movq %%r8, %%xmm5\n"
                         "decq %%rcx\n jnz 1b\n cmpq $7, -120(%%rsp)\n je 2f\n xorl %%eax, %%eax\n2:\n"
                         "movq %%xmm5, %[a]\n movq %%rax, %[sum]"
                         : [a] "+m"(a), [sum] "=m"(sum)
                         :
                         : "rax", "rcx", "rdx", "r8", "xmm5", "cc", "memory");
        wrong += sum != 50000 || a != 50000;
        rounds++;
    }
    set_interval(ITIMER_REAL, 0, 0);
    printf("registers kept: %d\n", wrong == 0 && rounds > 0);
}

static void check_sleeps(void)
{
    struct timespec long_time = {.tv_sec = 10}, rest = {0, 0}, until;
    struct pollfd none = {.fd = -1};
    long long start = now(CLOCK_MONOTONIC);

    handle(SIGALRM, SA_RESTART);
    set_interval(ITIMER_REAL, 30, 0);
    show("nanosleep", nanosleep(&long_time, &rest));
    printf("rest %s\n", rest.tv_sec == 9 ? "9 seconds and more" : "WRONG");
    set_interval(ITIMER_REAL, 30, 0);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 10;
    rest.tv_sec = 77;
    printf("clock_nanosleep: %d\n", clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, &rest));
    printf("rest untouched: %ld\n", (long)rest.tv_sec);
    set_interval(ITIMER_REAL, 30, 0);
    show("pause", pause());
    set_interval(ITIMER_REAL, 30, 0);
    show("poll", poll(&none, 1, 10000));
    printf("quickly: %d\n", now(CLOCK_MONOTONIC) - start < 9000 * MS);
}

static void check_alarm(void)
{
    struct itimerval value;

    show("alarm", alarm(100));
    show("alarm again", alarm(50));
    getitimer(ITIMER_REAL, &value);
    printf("left %s\n", value.it_value.tv_sec == 49 ? "49 seconds and more" : "WRONG");
    show("alarm off", alarm(0));
    value.it_value.tv_usec = 1000000;
    show("bad microseconds", setitimer(ITIMER_REAL, &value, NULL));
    show("bad timer", syscall(SYS_setitimer, 3, &value, NULL));
    show("bad timer", syscall(SYS_getitimer, 3, &value));
    show("nowhere", syscall(SYS_getitimer, 0, 16));
}

static void wait_for(int signals)
{
    struct timespec step = {.tv_nsec = MS};

    for (int i = 0; i < 3000 && count < signals; i++)
        nanosleep(&step, NULL);
}

static void check_posix_timers(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 42};
    struct itimerspec value = {.it_value.tv_nsec = 5 * MS}, old;
    sigset_t set;
    timer_t id;

    handle(SIGUSR1, 0);
    count = 0;
    show("create", timer_create(CLOCK_MONOTONIC, &event, &id));
    show("set", timer_settime(id, 0, &value, NULL));
    wait_for(1);
    printf("%d: code %d, value %d, overrun %d\n", count, info.si_code, info.si_value.sival_int, info.si_overrun);
    timer_gettime(id, &old);
    printf("left %ld\n", (long)(old.it_value.tv_sec + old.it_value.tv_nsec));
    count = 0;
    value.it_interval.tv_nsec = 2 * MS;
    timer_settime(id, 0, &value, NULL);
    wait_for(5);
    printf("periodic: %d\n", count >= 5);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    nanosleep(&(struct timespec){.tv_nsec = 50 * MS}, NULL);
    nanosleep(&(struct timespec){.tv_nsec = 50 * MS}, NULL);
    count = most_missed = 0;
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    printf("overrun: %d of %d\n", most_missed >= 10, count >= 1);
    value.it_value.tv_nsec = 0;
    timer_settime(id, 0, &value, &old);
    printf("interval was %ld\n", old.it_interval.tv_nsec);
    count = 0;
    value.it_interval.tv_nsec = 0;
    value.it_value.tv_sec = 1;
    show("in the past", timer_settime(id, TIMER_ABSTIME, &value, NULL));
    wait_for(1);
    printf("%d\n", count);
    show("delete", timer_delete(id));
    show("gone", timer_settime(id, 0, &value, NULL));
    event.sigev_notify = SIGEV_NONE;
    show("create silent", timer_create(CLOCK_REALTIME, &event, &id));
    value.it_value = (struct timespec){.tv_sec = 100};
    timer_settime(id, 0, &value, NULL);
    timer_gettime(id, &old);
    printf("left %s\n", old.it_value.tv_sec == 99 ? "99 seconds and more" : "WRONG");
    timer_delete(id);
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = 0;
    show("signal 0", syscall(SYS_timer_create, CLOCK_REALTIME, &event, &id));
    show("clock 20", syscall(SYS_timer_create, 20, NULL, &id));
    show("raw clock", syscall(SYS_timer_create, CLOCK_MONOTONIC_RAW, NULL, &id));
    show("id nowhere", syscall(SYS_timer_create, CLOCK_REALTIME, NULL, 16));
    show("no timer", syscall(SYS_timer_gettime, 1234567, &old));
    show("no overrun", syscall(SYS_timer_getoverrun, 1234567));
}

/* CPU time passes only while the program computes. */
static void check_cpu_time(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
    struct itimerspec value = {.it_value.tv_nsec = 30 * MS};
    long long before = now(CLOCK_PROCESS_CPUTIME_ID), monotonic = now(CLOCK_MONOTONIC);
    clockid_t own;
    timer_t id;

    nanosleep(&(struct timespec){.tv_nsec = 300 * MS}, NULL);
    printf("asleep: %d\n", now(CLOCK_PROCESS_CPUTIME_ID) - before < (now(CLOCK_MONOTONIC) - monotonic) / 2);
    printf("clock of the process: %d\n", clock_getcpuclockid(0, &own) == 0 && now(own) >= before);
    handle(SIGUSR2, 0);
    count = 0;
    show("create", timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &id));
    timer_settime(id, 0, &value, NULL);
    nanosleep(&(struct timespec){.tv_nsec = 60 * MS}, NULL);
    printf("not asleep: %d\n", count);
    before = now(CLOCK_PROCESS_CPUTIME_ID);
    while (count == 0)
        ;
    printf("computing: %d\n", now(CLOCK_PROCESS_CPUTIME_ID) - before >= 10 * MS);
    timer_delete(id);
}

static sigjmp_buf back;

static void jump(int signal)
{
    siglongjmp(back, signal);
}

/* A program that does not come back, as interpreters end endless loops. */
static void check_jump(void)
{
    volatile int rounds = 0;

    signal(SIGALRM, jump);
    if (sigsetjmp(back, 1) == 0 || rounds < 3) {
        rounds++;
        set_interval(ITIMER_REAL, 10, 0);
        for (;;)
            ;
    }
    printf("%d jumps out of endless loops\n", rounds);
}

/* While system calls are made, the signal comes at the end of one. */
static void check_calls(void)
{
    long calls = 0;

    handle(SIGALRM, 0);
    count = 0;
    set_interval(ITIMER_REAL, 3, 3);
    while (count < 20) {
        char *page = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        for (int i = 0; i < 65536; i += 4096)
            page[i] = 1;
        munmap(page, 65536);
        calls++;
    }
    set_interval(ITIMER_REAL, 0, 0);
    printf("calls between signals: %d\n", calls > 0);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    check_computation();
    check_state();
    check_sleeps();
    check_alarm();
    check_posix_timers();
    check_cpu_time();
    check_jump();
    check_calls();
    return 0;
}
