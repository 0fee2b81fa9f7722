/* Signals of threads: whom they reach, masks, waiting for them, stacks of their own, faults, timers. */
#include "threads.h"

#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define ALTERNATE (64ul << 10)

static atomic_int handled_by, handled;

static int own_tid(void)
{
    return (int)syscall(SYS_gettid);
}

static void on_signal(int signal)
{
    (void)signal;
    atomic_store(&handled_by, own_tid());
    atomic_fetch_add(&handled, 1);
}

static void handle(int signal, void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

    must(sigaction(signal, &action, NULL), "sigaction");
}

static sigset_t set_of(int first, int second)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, first);
    if (second)
        sigaddset(&set, second);
    return set;
}

static void mask(int how, int signal)
{
    sigset_t set = set_of(signal, 0);

    must(pthread_sigmask(how, &set, NULL), "pthread_sigmask");
}

static bool is_pending(int signal)
{
    sigset_t set;

    sigpending(&set);
    return sigismember(&set, signal) == 1;
}

/* ---- to one thread, to the process ---- */

struct target {
    sem_t ready, go;
    atomic_int tid, stop;
    bool blocked, pending;
};

static void make_target(struct target *target)
{
    sem_init(&target->ready, 0, 0);
    sem_init(&target->go, 0, 0);
    atomic_init(&target->tid, 0);
    atomic_init(&target->stop, 0);
    target->blocked = target->pending = false;
}

static void *is_target(void *argument)
{
    struct target *target = argument;

    atomic_store(&target->tid, own_tid());
    sem_post(&target->ready);
    wait_value(&target->stop, 1);
    return NULL;
}

static void check_one_thread(void)
{
    struct target target;

    make_target(&target);
    handle(SIGUSR1, on_signal, 0);
    pthread_t thread = start(is_target, &target);

    wait_sem(&target.ready);
    for (int i = 1; i <= 50; i++) {
        must(pthread_kill(thread, SIGUSR1), "pthread_kill");
        wait_value(&handled, i);
    }
    YES("the thread itself handles them", atomic_load(&handled_by) == atomic_load(&target.tid));
    must(pthread_kill(pthread_self(), SIGUSR1), "pthread_kill");
    YES("and main its own, at once", atomic_load(&handled) == 51 && atomic_load(&handled_by) == getpid());
    atomic_store(&target.stop, 1);
    finish(thread);
}

/* Main has it blocked: the thread that has not takes it. */
static void check_process(void)
{
    struct target target;

    make_target(&target);
    atomic_store(&handled, 0);
    pthread_t thread = start(is_target, &target);

    wait_sem(&target.ready);
    mask(SIG_BLOCK, SIGUSR1);
    kill(getpid(), SIGUSR1);
    wait_value(&handled, 1);
    YES("one that has not blocked it", atomic_load(&handled_by) == atomic_load(&target.tid));
    atomic_store(&target.stop, 1);
    finish(thread);
    kill(getpid(), SIGUSR1);
    YES("blocked by all it is pending", is_pending(SIGUSR1) && atomic_load(&handled) == 1);
    mask(SIG_UNBLOCK, SIGUSR1);
    YES("and handled when one unblocks it", !is_pending(SIGUSR1) && atomic_load(&handled) == 2);
}

static void *looks_at_mask(void *argument)
{
    struct target *target = argument;
    sigset_t set;

    pthread_sigmask(SIG_BLOCK, NULL, &set);
    target->blocked = sigismember(&set, SIGUSR2) == 1;
    mask(SIG_BLOCK, SIGUSR1);
    sem_post(&target->ready);
    wait_sem(&target->go);
    target->pending = is_pending(SIGUSR1);
    mask(SIG_UNBLOCK, SIGUSR1);
    return (void *)(uintptr_t)(atomic_load(&handled_by) == own_tid());
}

static void check_masks(void)
{
    struct target target;
    sigset_t set;

    make_target(&target);
    mask(SIG_BLOCK, SIGUSR2);
    pthread_t thread = start(looks_at_mask, &target);

    wait_sem(&target.ready);
    pthread_sigmask(SIG_BLOCK, NULL, &set);
    YES("a mask is inherited", target.blocked);
    YES("and each thread's own", sigismember(&set, SIGUSR1) == 0);
    pthread_kill(thread, SIGUSR1);
    YES("pending for one is not for another", !is_pending(SIGUSR1));
    sem_post(&target.go);
    YES("it handled what it had blocked", finish(thread) == (void *)1);
    YES("it saw it pending", target.pending);
    mask(SIG_UNBLOCK, SIGUSR2);
}

/* What was pending for a thread that ends is gone. */
static void *ends_with_pending(void *unused)
{
    mask(SIG_BLOCK, SIGUSR1);
    pthread_kill(pthread_self(), SIGUSR1);
    return unused;
}

static void check_lost(void)
{
    int before = atomic_load(&handled);

    finish(start(ends_with_pending, NULL));
    YES("what was pending for an ended thread is gone", !is_pending(SIGUSR1) && atomic_load(&handled) == before);
}

/* ---- waiting ---- */

static void *waits_for_signals(void *sum)
{
    sigset_t set = set_of(SIGUSR1, SIGUSR2);
    int signal = 0;

    for (int i = 0; i < 3; i++) {
        must(sigwait(&set, &signal), "sigwait");
        *(int *)sum += signal;
    }
    return NULL;
}

static void check_sigwait(void)
{
    int sum = 0;

    mask(SIG_BLOCK, SIGUSR1);
    mask(SIG_BLOCK, SIGUSR2);
    pthread_t thread = start(waits_for_signals, &sum);

    pthread_kill(thread, SIGUSR1);
    kill(getpid(), SIGUSR2);
    while (is_pending(SIGUSR2))
        sched_yield();
    sleep_ms(20);
    pthread_kill(thread, SIGUSR2);
    finish(thread);
    SHOW(sum == SIGUSR1 + 2 * SIGUSR2);
    sigset_t set = set_of(SIGUSR1, 0);
    struct timespec little = from_ns(10 * NS_PER_MS);

    SHOW_ERRNO(sigtimedwait(&set, NULL, &little));
    mask(SIG_UNBLOCK, SIGUSR1);
    mask(SIG_UNBLOCK, SIGUSR2);
}

/* Values of queued signals arrive in order, each at the thread that it was sent to. */
#define QUEUED 20

static void *takes_values(void *wrong)
{
    sigset_t set = set_of(SIGRTMIN + 1, 0);
    siginfo_t info;

    for (int i = 0; i < QUEUED; i++) {
        while (sigwaitinfo(&set, &info) < 0)
            must(errno == EINTR ? 0 : errno, "sigwaitinfo");
        *(int *)wrong += info.si_value.sival_int != i || info.si_code != SI_QUEUE || info.si_pid != getpid();
    }
    return NULL;
}

static void check_values(void)
{
    int wrong = 0;

    mask(SIG_BLOCK, SIGRTMIN + 1);
    pthread_t thread = start(takes_values, &wrong);

    for (int i = 0; i < QUEUED; i++)
        must(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = i}), "sigqueue");
    finish(thread);
    SHOW(wrong);
    mask(SIG_UNBLOCK, SIGRTMIN + 1);
}

/* ---- interrupted calls ---- */

struct sleeper {
    sem_t ready;
    atomic_int returned;
    int ends[2];
    int error;
    long got;
};

static void *sleeps_until_signal(void *argument)
{
    struct sleeper *sleeper = argument;
    struct timespec time = {.tv_sec = 1000};

    sem_post(&sleeper->ready);
    sleeper->got = nanosleep(&time, &time);
    sleeper->error = errno;
    atomic_store(&sleeper->returned, 1);
    return NULL;
}

static void *reads_through_signals(void *argument)
{
    struct sleeper *sleeper = argument;
    char byte;

    sem_post(&sleeper->ready);
    sleeper->got = read(sleeper->ends[0], &byte, 1);
    sleeper->error = errno;
    atomic_store(&sleeper->returned, 1);
    return NULL;
}

static void signal_until_returned(struct sleeper *sleeper, pthread_t thread)
{
    wait_sem(&sleeper->ready);
    while (!atomic_load(&sleeper->returned)) { /* the first may come before it sleeps */
        pthread_kill(thread, SIGUSR1);
        sleep_ms(5);
    }
    finish(thread);
    printf("%ld errno %d\n", sleeper->got, sleeper->got < 0 ? sleeper->error : 0);
}

static void check_interrupted(void)
{
    struct sleeper sleeper = {.got = 0};
    pthread_t thread;

    sem_init(&sleeper.ready, 0, 0);
    must(pipe(sleeper.ends), "pipe");
    printf("a sleep: ");
    signal_until_returned(&sleeper, start(sleeps_until_signal, &sleeper));
    atomic_store(&sleeper.returned, 0);
    printf("a read: ");
    signal_until_returned(&sleeper, start(reads_through_signals, &sleeper));
    handle(SIGUSR1, on_signal, SA_RESTART);
    atomic_store(&sleeper.returned, 0);
    atomic_store(&handled, 0);
    thread = start(reads_through_signals, &sleeper);
    wait_sem(&sleeper.ready);
    for (int i = 1; i <= 5; i++) {
        pthread_kill(thread, SIGUSR1);
        wait_value(&handled, i);
        sleep_ms(2);
    }
    YES("a read goes on by SA_RESTART", !atomic_load(&sleeper.returned));
    write(sleeper.ends[1], "x", 1);
    finish(thread);
    SHOW(sleeper.got);
    close(sleeper.ends[0]);
    close(sleeper.ends[1]);
}

static atomic_int suspended;

static void *suspends(void *unused)
{
    sigset_t none;
    int before = atomic_load(&handled);

    sigemptyset(&none);
    atomic_store(&suspended, 1);
    while (atomic_load(&handled) == before)
        sigsuspend(&none);
    return unused;
}

static void check_suspend(void)
{
    mask(SIG_BLOCK, SIGUSR1);
    pthread_t thread = start(suspends, NULL);

    wait_value(&suspended, 1);
    pthread_kill(thread, SIGUSR1);
    YES("sigsuspend returns", finish(thread) == NULL);
    mask(SIG_UNBLOCK, SIGUSR1);
}

/* ---- what a handler blocks ---- */

#define SENT_ROUNDS 50

static sem_t sent_both;
static atomic_int second_handled, sent_rounds;

/* Main is in the handler of the first and has the second blocked, which it may have been told of before. */
static void wait_for_second(int signal)
{
    (void)signal;
    wait_value(&second_handled, atomic_load(&sent_rounds));
}

static void count_second(int signal)
{
    (void)signal;
    atomic_fetch_add(&second_handled, 1);
}

static void *sends_both(void *unused)
{
    mask(SIG_BLOCK, SIGUSR2);
    kill(getpid(), SIGUSR1);
    kill(getpid(), SIGUSR2);
    sem_post(&sent_both);
    return unused;
}

/* It sleeps: whom nobody tells finds nothing. */
static void *takes_second(void *argument)
{
    struct target *target = argument;

    sem_post(&target->ready);
    wait_sem(&target->go);
    return NULL;
}

static void check_blocked_by_handler(void)
{
    struct sigaction first = {.sa_handler = wait_for_second, .sa_mask = set_of(SIGUSR2, 0)};
    struct target target;

    make_target(&target);
    sem_init(&sent_both, 0, 0);
    must(sigaction(SIGUSR1, &first, NULL), "sigaction");
    handle(SIGUSR2, count_second, 0);
    mask(SIG_BLOCK, SIGUSR1);
    pthread_t other = start(takes_second, &target);

    wait_sem(&target.ready);
    for (int i = 1; i <= SENT_ROUNDS; i++) {
        pthread_t sender = start(sends_both, NULL);

        atomic_store(&sent_rounds, i);
        mask(SIG_UNBLOCK, SIGUSR1);
        wait_sem(&sent_both);
        mask(SIG_BLOCK, SIGUSR1);
        wait_value(&second_handled, i);
        finish(sender);
    }
    mask(SIG_UNBLOCK, SIGUSR1);
    SHOW(atomic_load(&second_handled));
    sem_post(&target.go);
    finish(other);
}

/* ---- whose call a signal ends ---- */

#define SLEEPERS 4
#define WAKES 4000

static __thread volatile sig_atomic_t handled_here;
static atomic_int handled_by_any, ended_for_nothing, sleepers_end;

static void note_where(int signal)
{
    (void)signal;
    handled_here = 1;
    atomic_fetch_add(&handled_by_any, 1);
}

static void *sleeps_often(void *unused)
{
    struct timespec time = {.tv_nsec = 20000000};

    while (!atomic_load(&sleepers_end)) {
        handled_here = 0;
        if (nanosleep(&time, NULL) != 0 && !handled_here)
            atomic_fetch_add(&ended_for_nothing, 1);
    }
    return unused;
}

/* A signal of the process is handled by one thread; the others may hear of it, but sleep on. */
static void check_sleepers(void)
{
    pthread_t threads[SLEEPERS];

    handle(SIGUSR1, note_where, 0);
    start_all(threads, SLEEPERS, sleeps_often);
    mask(SIG_BLOCK, SIGUSR1);
    for (int i = 1; i <= WAKES; i++) {
        kill(getpid(), SIGUSR1);
        wait_value(&handled_by_any, i);
    }
    atomic_store(&sleepers_end, 1);
    finish_all(threads, SLEEPERS);
    mask(SIG_UNBLOCK, SIGUSR1);
    SHOW(atomic_load(&handled_by_any));
    SHOW(atomic_load(&ended_for_nothing));
}

/* ---- stacks and faults ---- */

static __thread sigjmp_buf escape;
static __thread char *alternate;
static __thread volatile int on_alternate, escapes;
static __thread void *volatile fault_address;

static void on_fault(int signal, siginfo_t *info, void *context)
{
    char here;

    (void)signal;
    (void)context;
    on_alternate = &here >= alternate && &here < alternate + ALTERNATE;
    fault_address = info->si_addr;
    escapes++;
    siglongjmp(escape, 1);
}

static void use_alternate_stack(void)
{
    stack_t stack = {.ss_size = ALTERNATE};

    alternate = mmap(NULL, ALTERNATE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    stack.ss_sp = alternate;
    must(sigaltstack(&stack, NULL), "sigaltstack");
}

static void drop_alternate_stack(void)
{
    stack_t stack = {.ss_flags = SS_DISABLE};

    must(sigaltstack(&stack, NULL), "sigaltstack");
    munmap(alternate, ALTERNATE);
}

/* Deeper than any stack. */
static int deeper(volatile int depth)
{
    volatile char frame[512];

    frame[depth % 512] = (char)depth;
    return depth < INT_MAX ? deeper(depth + 1) + frame[0] : 0;
}

static pthread_barrier_t all_fault;

/* All threads fault at the same time, each at its own address, and each on its own stack in the handler. */
static void *faults(void *number)
{
    char *page = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    volatile uintptr_t wrong = 0;

    use_alternate_stack();
    pthread_barrier_wait(&all_fault);
    for (volatile int i = 0; i < 200; i++) {
        if (sigsetjmp(escape, 1) == 0) {
            *(volatile char *)(page + (uintptr_t)number) = 1;
            wrong++;
        } else {
            wrong += fault_address != page + (uintptr_t)number || !on_alternate;
        }
    }
    wrong += escapes != 200;
    if (sigsetjmp(escape, 1) == 0)
        deeper(0);
    wrong += escapes != 201 || !on_alternate;
    drop_alternate_stack();
    munmap(page, PAGE);
    return (void *)wrong;
}

static void *has_no_alternate(void *unused)
{
    stack_t stack = {.ss_flags = 0};

    (void)unused;
    sigaltstack(NULL, &stack);
    return (void *)(uintptr_t)(stack.ss_flags == SS_DISABLE);
}

static void check_faults(void)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK}, old;
    pthread_t threads[4];

    action.sa_sigaction = on_fault;
    sigaction(SIGSEGV, &action, &old);
    pthread_barrier_init(&all_fault, NULL, 4);
    start_all(threads, 4, faults);
    SHOW(finish_all(threads, 4));
    use_alternate_stack();
    YES("a new thread has no alternate stack", finish(start(has_no_alternate, NULL)) == (void *)1);
    drop_alternate_stack();
    sigaction(SIGSEGV, &old, NULL);
    pthread_barrier_destroy(&all_fault);
}

/* ---- timers ---- */

static sem_t expired;
static atomic_int expired_value, expired_elsewhere;

static void on_expiry(union sigval value)
{
    atomic_store(&expired_value, value.sival_int);
    atomic_store(&expired_elsewhere, own_tid() != getpid());
    sem_post(&expired);
}

static void check_thread_timer(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_value.sival_int = 77};
    struct itimerspec every = {.it_value.tv_nsec = 5000000, .it_interval.tv_nsec = 5000000};
    timer_t timer;

    sem_init(&expired, 0, 0);
    event.sigev_notify_function = on_expiry;
    SHOW_ERRNO(timer_create(CLOCK_MONOTONIC, &event, &timer));
    SHOW_ERRNO(timer_settime(timer, 0, &every, NULL));
    for (int i = 0; i < 5; i++)
        wait_sem(&expired);
    SHOW(atomic_load(&expired_value));
    YES("in a thread of its own", atomic_load(&expired_elsewhere));
    SHOW_ERRNO(timer_delete(timer));
}

struct by_id {
    sem_t ready;
    atomic_int tid, count, stop;
};

static struct by_id by_id;

static void count_own(int signal)
{
    (void)signal;
    if (own_tid() == atomic_load(&by_id.tid))
        atomic_fetch_add(&by_id.count, 1);
}

static void *has_a_timer(void *unused)
{
    atomic_store(&by_id.tid, own_tid());
    sem_post(&by_id.ready);
    wait_value(&by_id.stop, 1);
    return unused;
}

static void check_timer_by_id(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + 2};
    struct itimerspec every = {.it_value.tv_nsec = 3000000, .it_interval.tv_nsec = 3000000};
    timer_t timer;

    sem_init(&by_id.ready, 0, 0);
    handle(SIGRTMIN + 2, count_own, SA_RESTART);
    pthread_t thread = start(has_a_timer, NULL);

    wait_sem(&by_id.ready);
    event.sigev_notify_thread_id = atomic_load(&by_id.tid);
    SHOW_ERRNO(timer_create(CLOCK_MONOTONIC, &event, &timer));
    SHOW_ERRNO(timer_settime(timer, 0, &every, NULL));
    while (atomic_load(&by_id.count) < 5)
        sleep_ms(1);
    SHOW_ERRNO(timer_delete(timer));
    atomic_store(&by_id.stop, 1);
    finish(thread);
    event.sigev_notify_thread_id = 1 << 29;
    SHOW_ERRNO(timer_create(CLOCK_MONOTONIC, &event, &timer));
}

/* ---- time-outs while the process gets signals ---- */

static atomic_int waits_ended;

static void on_tick(int signal)
{
    (void)signal;
}

/* A signal that another thread takes does not make a wait longer. */
static void *waits_with_timeouts(void *unused)
{
    struct timespec time = from_ns(60 * NS_PER_MS);

    for (int i = 0; i < 3; i++) {
        struct pollfd none = {.fd = -1};

        poll(&none, 1, 60);
        nanosleep(&time, NULL);
        ppoll(&none, 1, &time, NULL);
        time = from_ns(60 * NS_PER_MS);
    }
    atomic_fetch_add(&waits_ended, 1);
    return unused;
}

static void check_timeouts_among_signals(void)
{
    struct itimerval often = {.it_value.tv_usec = 3000, .it_interval.tv_usec = 3000}, never = {.it_value.tv_usec = 0};
    pthread_t threads[3];

    atomic_store(&waits_ended, 0);
    handle(SIGALRM, on_tick, SA_RESTART);
    start_all(threads, LENGTH(threads), waits_with_timeouts);
    SHOW_ERRNO(setitimer(ITIMER_REAL, &often, NULL));
    while (atomic_load(&waits_ended) != LENGTH(threads))
        poll(NULL, 0, 1000);
    SHOW_ERRNO(setitimer(ITIMER_REAL, &never, NULL));
    finish_all(threads, LENGTH(threads));
}

/* ---- all to all ---- */

#define STORM 4u
#define SENT 200u

static pthread_t storm[STORM];
static atomic_int storm_received[STORM], storm_started;
static __thread unsigned storm_number;

static void on_storm(int signal)
{
    (void)signal;
    atomic_fetch_add(&storm_received[storm_number], 1);
}

/* Waits until all it has to get is there: queued signals are not lost. */
static void *sends_to_all(void *number)
{
    storm_number = (unsigned)(uintptr_t)number;
    atomic_fetch_add(&storm_started, 1);
    wait_value(&storm_started, STORM + 1);
    for (unsigned i = 0; i < SENT; i++)
        for (unsigned to = 0; to < STORM; to++)
            while (pthread_kill(storm[to], SIGRTMIN + 3) == EAGAIN)
                sched_yield();
    wait_value(&storm_received[storm_number], STORM * SENT);
    wait_value(&storm_started, 0);
    return (void *)(uintptr_t)atomic_load(&storm_received[storm_number]);
}

static void check_storm(void)
{
    handle(SIGRTMIN + 3, on_storm, SA_RESTART);
    start_all(storm, STORM, sends_to_all);
    wait_value(&storm_started, STORM);
    atomic_store(&storm_started, STORM + 1);
    for (unsigned i = 0; i < STORM; i++)
        wait_value(&storm_received[i], STORM * SENT);
    atomic_store(&storm_started, 0);
    SHOW(finish_all(storm, STORM));
}

void check_signals(void)
{
    puts("-- signals");
    check_one_thread();
    check_process();
    check_masks();
    check_lost();
    puts("-- waiting for signals");
    check_sigwait();
    check_values();
    check_interrupted();
    check_suspend();
    check_blocked_by_handler();
    check_sleepers();
    puts("-- faults");
    check_faults();
    puts("-- timers");
    check_thread_timer();
    check_timer_by_id();
    check_timeouts_among_signals();
    puts("-- all to all");
    check_storm();
}
