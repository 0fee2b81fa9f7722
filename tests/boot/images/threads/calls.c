/*
 * Calls that need no lock of the system's, by several threads at once: each finds its own state and what is the same
 * for all, whatever the others do meanwhile; and masks of signals against who sends them, where none may be lost or be
 * handled twice.
 */
#include "threads.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/times.h>
#include <sys/utsname.h>

#define CALLERS 6u
#define CALL_TURNS 80
#define ARCH_GET_FS 0x1003
#define KERNEL_MASK 8 /* bytes of a mask as the kernel has it */

static pthread_barrier_t calls_barrier;

/* ---- what a thread has of its own ---- */

struct caller {
    uint64_t number, mask, last_random;
    stack_t stack;
    char name[16];
    cpu_set_t cpus; /* that there are */
    int64_t monotonic, own_time, process_time;
    char memory[4096];
};

static bool mask_is_own(struct caller *caller)
{
    uint64_t old, next = 1ull << (33 + (caller->mask >> caller->number & 7)) | caller->number << 48;
    bool good = syscall(SYS_rt_sigprocmask, SIG_SETMASK, &next, &old, KERNEL_MASK) == 0 && old == caller->mask;

    caller->mask = next;
    return good && syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &old, KERNEL_MASK) == 0 && old == next;
}

static bool stack_is_own(struct caller *caller)
{
    stack_t old, next = {.ss_sp = caller->memory, .ss_size = 2048 + caller->number * 16};
    bool good =
        sigaltstack(&next, &old) == 0 && old.ss_sp == caller->stack.ss_sp && old.ss_size == caller->stack.ss_size;

    caller->stack = next;
    return good;
}

static bool name_is_own(const struct caller *caller)
{
    char name[16];

    return prctl(PR_SET_NAME, caller->name) == 0 && prctl(PR_GET_NAME, name) == 0 && strcmp(name, caller->name) == 0;
}

static bool robust_list_is_own(void)
{
    uintptr_t head, again;
    size_t size;
    int self = (int)syscall(SYS_gettid);

    return syscall(SYS_get_robust_list, 0, &head, &size) == 0 &&
           syscall(SYS_get_robust_list, self, &again, &size) == 0 && head == again;
}

static bool thread_pointer_is_own(void)
{
    uintptr_t base = 0, own;

    __asm__ volatile("movq %%fs:0, %0" : "=r"(own));
    return syscall(SYS_arch_prctl, ARCH_GET_FS, &base) == 0 && base == own;
}

/* ---- CPUs and time ---- */

/* It leaves a CPU that is none of its own at once. */
static bool runs_where_it_may(const struct caller *caller, int turn)
{
    cpu_set_t set, found;
    unsigned running = CPU_SETSIZE;
    int count = CPU_COUNT(&caller->cpus), wanted = turn % count;

    CPU_ZERO(&set);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &caller->cpus) && wanted-- == 0)
            CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) != 0 || syscall(SYS_getcpu, &running, NULL, NULL) != 0)
        return false;
    if (!CPU_ISSET(running, &set) || sched_getaffinity(0, sizeof(found), &found) != 0 || !CPU_EQUAL(&set, &found))
        return false;
    return sched_setaffinity(0, sizeof(caller->cpus), &caller->cpus) == 0;
}

static int64_t asked_ns(clockid_t clock)
{
    struct timespec now = {.tv_sec = -1};

    syscall(SYS_clock_gettime, clock, &now);
    return to_ns(now);
}

static bool advances(int64_t *last, int64_t now)
{
    bool good = now >= *last;

    *last = now;
    return good;
}

static bool time_goes_on(struct caller *caller)
{
    struct rusage usage;
    struct tms all;

    return advances(&caller->monotonic, asked_ns(CLOCK_MONOTONIC)) &&
           advances(&caller->own_time, asked_ns(CLOCK_THREAD_CPUTIME_ID)) &&
           advances(&caller->process_time, asked_ns(CLOCK_PROCESS_CPUTIME_ID)) &&
           caller->own_time <= caller->process_time && getrusage(RUSAGE_SELF, &usage) == 0 && times(&all) > 0 &&
           syscall(SYS_time, NULL) > 1000000000;
}

static bool sleeps_long_enough(void)
{
    struct timespec little = from_ns(20000), until;
    int64_t before = asked_ns(CLOCK_MONOTONIC);
    bool good = syscall(SYS_nanosleep, &little, NULL) == 0 && asked_ns(CLOCK_MONOTONIC) - before >= 20000;

    until = from_ns(asked_ns(CLOCK_MONOTONIC) + 20000);
    return good && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == 0 &&
           asked_ns(CLOCK_MONOTONIC) >= to_ns(until);
}

/* ---- what is the same for all ---- */

static pid_t parent;
static uid_t user;
static gid_t group;
static struct utsname system_name;

static bool process_is_one(void)
{
    struct utsname name;
    int least = sched_get_priority_min(SCHED_FIFO), parameter = -1;

    return syscall(SYS_getppid) == parent && syscall(SYS_getuid) == user && syscall(SYS_geteuid) == user &&
           syscall(SYS_getgid) == group && syscall(SYS_getegid) == group && uname(&name) == 0 &&
           memcmp(&name, &system_name, sizeof(name)) == 0 && getpgid(0) == getpgrp() && least == 1 &&
           syscall(SYS_sched_getparam, 0, &parameter) == 0 && parameter == 0 && getpriority(PRIO_PROCESS, 0) == 0;
}

static bool is_random(struct caller *caller)
{
    uint64_t word = 0, before = caller->last_random;

    caller->last_random = 0;
    if (syscall(SYS_getrandom, &word, sizeof(word), 0) != sizeof(word))
        return false;
    caller->last_random = word;
    return word != before;
}

/* ---- all of it at once ---- */

static void *calls(void *number)
{
    struct caller caller = {.number = (uintptr_t)number + 1};
    uintptr_t wrong = 0;

    snprintf(caller.name, sizeof(caller.name), "caller %lu", (unsigned long)caller.number);
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &caller.mask, KERNEL_MASK);
    sigaltstack(NULL, &caller.stack);
    sched_getaffinity(0, sizeof(caller.cpus), &caller.cpus);
    pthread_barrier_wait(&calls_barrier);
    for (int turn = 0; turn < CALL_TURNS; turn++)
        wrong += !mask_is_own(&caller) + !stack_is_own(&caller) + !name_is_own(&caller) + !robust_list_is_own() +
                 !thread_pointer_is_own() + !time_goes_on(&caller) + !process_is_one() + !is_random(&caller) +
                 (turn % 8 == 0 && (!runs_where_it_may(&caller, turn / 8) || !sleeps_long_enough()));
    sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL);
    return (void *)wrong;
}

static void check_at_once(void)
{
    pthread_t threads[CALLERS];

    parent = getppid();
    user = getuid();
    group = getgid();
    uname(&system_name);
    pthread_barrier_init(&calls_barrier, NULL, CALLERS);
    start_all(threads, CALLERS, calls);
    SHOW(finish_all(threads, CALLERS));
    pthread_barrier_destroy(&calls_barrier);
}

/* ---- masks, and who sends ---- */

#define SIGNALS_SENT 300

static atomic_int signals_arrived, signals_come;

static void counts(int signal)
{
    (void)signal;
    atomic_fetch_add(&signals_arrived, 1);
}

static void change_mask(int how, int signal)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, signal);
    pthread_sigmask(how, &set, NULL);
}

static void *changes_its_mask(void *unused)
{
    while (atomic_load(&signals_come)) {
        change_mask(SIG_BLOCK, SIGRTMIN + 2);
        change_mask(SIG_UNBLOCK, SIGRTMIN + 2);
    }
    return unused;
}

/* Each is queued: real-time. There may be too many of them for a moment. */
static void send_all(pthread_t thread, bool to_process)
{
    for (int i = 0; i < SIGNALS_SENT; i++) {
        int error;

        while ((error = to_process ? (sigqueue(getpid(), SIGRTMIN + 2, (union sigval){0}) == 0 ? 0 : errno)
                                   : pthread_kill(thread, SIGRTMIN + 2)) == EAGAIN)
            sched_yield();
        must(error, "a signal is sent");
    }
}

static void check_senders(const char *what, unsigned count, bool to_process)
{
    pthread_t threads[CALLERS];

    atomic_store(&signals_arrived, 0);
    atomic_store(&signals_come, 1);
    start_all(threads, count, changes_its_mask);
    send_all(threads[0], to_process);
    wait_value(&signals_arrived, SIGNALS_SENT);
    atomic_store(&signals_come, 0);
    finish_all(threads, count);
    printf("%s: %d\n", what, atomic_load(&signals_arrived));
}

/* What does nothing is kept only as long as it is blocked. */
static void *forgets(void *unused)
{
    uintptr_t kept = 0;

    for (int round = 0; round < CALL_TURNS; round++) {
        sigset_t pending;

        pthread_barrier_wait(&calls_barrier);
        for (int i = 0; i < 4; i++) {
            change_mask(SIG_BLOCK, SIGURG);
            change_mask(SIG_UNBLOCK, SIGURG);
        }
        pthread_barrier_wait(&calls_barrier);
        change_mask(SIG_BLOCK, SIGURG);
        sigpending(&pending);
        kept += sigismember(&pending, SIGURG) == 1;
        change_mask(SIG_UNBLOCK, SIGURG);
    }
    (void)unused;
    return (void *)kept;
}

static void check_forgotten(void)
{
    pthread_t thread;

    pthread_barrier_init(&calls_barrier, NULL, 2);
    thread = start(forgets, NULL);
    for (int round = 0; round < CALL_TURNS; round++) {
        pthread_barrier_wait(&calls_barrier);
        for (int i = 0; i < 4; i++)
            must(pthread_kill(thread, SIGURG), "pthread_kill");
        pthread_barrier_wait(&calls_barrier);
    }
    SHOW((uintptr_t)finish(thread));
    pthread_barrier_destroy(&calls_barrier);
}

void check_thread_calls(void)
{
    struct sigaction action = {.sa_handler = counts};

    puts("-- calls at once");
    check_at_once();
    puts("-- masks and senders");
    must(sigaction(SIGRTMIN + 2, &action, NULL), "sigaction");
    check_senders("one thread", 1, false);
    change_mask(SIG_BLOCK, SIGRTMIN + 2);
    check_senders("the process", CALLERS, true);
    change_mask(SIG_UNBLOCK, SIGRTMIN + 2);
    check_forgotten();
}
