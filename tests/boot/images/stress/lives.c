/*
 * Threads that are made, end, and are cancelled wherever they wait; signals to workers, none of which may be lost;
 * turns by conditions, tokens through a pipe, and from CPU to CPU.
 */
#include "stress.h"

#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/time.h>

#define COUNTED_SIGNAL (SIGRTMIN + 5) /* queued: each arrives */
#define DETACHED_MOST 24
#define PENDING_MOST 2000 /* Linux has a limit for a user's queued signals */

static atomic_int detached;
static _Atomic uint64_t signals_sent, cleanups, cancelled;
static __thread _Atomic uint64_t *signals_got;
static int tokens[2];
static _Atomic uint64_t tokens_put, tokens_taken;
static pthread_mutex_t turn_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static uint64_t turn, turn_again;
static sem_t nobody_posts;
static cpu_set_t all_cpus;

/* ---- short lives ---- */

static void *short_life(void *seed)
{
    uint64_t random = (uint64_t)(uintptr_t)seed | 1;

    for (unsigned i = below(&random, 6); i > 0; i--) {
        if (below(&random, 2))
            change_mapping(&random);
        else
            change_block(&random);
    }
    return seed;
}

static void *detached_life(void *seed)
{
    short_life(seed);
    atomic_fetch_sub(&detached, 1);
    return NULL;
}

/* pthread_create may fail for a while where ended threads are not forgotten yet. */
static pthread_t make_thread(void *(*function)(void *), uint64_t *random)
{
    pthread_t thread;
    int error;

    while ((error = pthread_create(&thread, NULL, function, (void *)(uintptr_t)random_next(random))) == EAGAIN)
        sched_yield();
    must(error, "pthread_create");
    atomic_fetch_add(&threads_made, 1);
    return thread;
}

static void make_and_join(uint64_t *random)
{
    pthread_t threads[3];
    unsigned count = 1 + below(random, LENGTH(threads));

    for (unsigned i = 0; i < count; i++)
        threads[i] = make_thread(short_life, random);
    for (unsigned i = 0; i < count; i++)
        must(pthread_join(threads[i], NULL), "pthread_join");
}

static void make_detached(uint64_t *random)
{
    if (atomic_fetch_add(&detached, 1) < DETACHED_MOST)
        must(pthread_detach(make_thread(detached_life, random)), "pthread_detach");
    else
        atomic_fetch_sub(&detached, 1);
}

/* ---- cancelled ---- */

static void cleaned(void *mutex)
{
    atomic_fetch_add(&cleanups, 1);
    if (mutex)
        pthread_mutex_unlock(mutex);
}

static void wait_in_condition(void)
{
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t never = PTHREAD_COND_INITIALIZER;

    pthread_mutex_lock(&mutex);
    pthread_cleanup_push(cleaned, &mutex);
    for (;;)
        pthread_cond_wait(&never, &mutex);
    pthread_cleanup_pop(0);
}

static void spin(void)
{
    volatile uint64_t turns = 0;
    int old;

    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old);
    for (;;)
        turns++;
}

static void wait_somewhere(uint32_t place)
{
    struct timespec long_time = {.tv_sec = 1000};

    switch (place) {
    case 0:
        pause();
        break;
    case 1:
        nanosleep(&long_time, NULL);
        break;
    case 2:
        sem_wait(&nobody_posts);
        break;
    case 3:
        poll(NULL, 0, -1);
        break;
    case 4:
        spin();
        break;
    default:
        pthread_testcancel();
    }
}

static void *is_cancelled(void *seed)
{
    uint64_t random = (uint64_t)(uintptr_t)seed | 1;
    uint32_t place = below(&random, 7);

    if (place == 6)
        wait_in_condition();
    pthread_cleanup_push(cleaned, NULL);
    for (;;)
        wait_somewhere(place);
    pthread_cleanup_pop(0);
    return NULL;
}

static void rest(uint64_t *random)
{
    struct timespec time = {.tv_nsec = (long)below(random, 300000)};

    nanosleep(&time, NULL);
}

static void make_and_cancel(uint64_t *random)
{
    pthread_t thread = make_thread(is_cancelled, random);
    void *result;

    if (below(random, 2))
        rest(random);
    must(pthread_cancel(thread), "pthread_cancel");
    must(pthread_join(thread, &result), "pthread_join");
    if (result != PTHREAD_CANCELED)
        finding("a cancelled thread has ended otherwise");
    atomic_fetch_add(&cancelled, 1);
}

/* ---- signals ---- */

static void on_counted(int signal)
{
    (void)signal;
    atomic_fetch_add(signals_got, 1);
}

static void on_alarm(int signal)
{
    (void)signal;
}

static uint64_t signals_received(void)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < worker_count; i++)
        sum += atomic_load(&workers[i].signals_got);
    return sum;
}

/* Workers are there until all have stopped. */
static void send_signal(uint64_t *random)
{
    if (atomic_load(&signals_sent) - signals_received() > PENDING_MOST)
        return;
    atomic_fetch_add(&signals_sent, 1);
    int error = pthread_kill(workers[below(random, worker_count)].thread, COUNTED_SIGNAL);

    if (error == EAGAIN) /* over the limit */
        atomic_fetch_sub(&signals_sent, 1);
    else
        must(error, "pthread_kill");
}

/* ---- turns, tokens, CPUs ---- */

static void take_turn(uint64_t *random)
{
    struct timespec end;

    pthread_mutex_lock(&turn_mutex);
    if (turn != turn_again)
        finding("two threads have had the turn at the same time");
    turn++;
    if (below(random, 4) == 0)
        sched_yield();
    turn_again++;
    pthread_cond_signal(&turned);
    if (below(random, 2)) {
        clock_gettime(CLOCK_REALTIME, &end);
        end.tv_nsec += 200000;
        end.tv_sec += end.tv_nsec / 1000000000;
        end.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&turned, &turn_mutex, &end);
    }
    pthread_mutex_unlock(&turn_mutex);
}

static void pass_token(uint64_t *random)
{
    uint64_t token = random_next(random);

    if (below(random, 2)) {
        atomic_fetch_add(&tokens_put, token);
        if (write(tokens[1], &token, sizeof(token)) != sizeof(token))
            atomic_fetch_sub(&tokens_put, token);
    } else if (read(tokens[0], &token, sizeof(token)) == sizeof(token)) {
        atomic_fetch_add(&tokens_taken, token);
    }
}

static void change_cpu(uint64_t *random)
{
    cpu_set_t one;
    uint32_t cpu = below(random, (uint32_t)CPU_COUNT(&all_cpus));

    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (CPU_ISSET(cpu, &all_cpus))
        must(pthread_setaffinity_np(pthread_self(), sizeof(one), &one), "pthread_setaffinity_np");
    if (below(random, 2))
        must(pthread_setaffinity_np(pthread_self(), sizeof(all_cpus), &all_cpus), "pthread_setaffinity_np");
}

static void (*const kinds[])(uint64_t *) = {
    make_and_join, make_detached, make_and_cancel, send_signal, send_signal,
    take_turn,     pass_token,    pass_token,      change_cpu,  rest,
};

void live(uint64_t *random)
{
    kinds[below(random, LENGTH(kinds))](random);
}

/* ---- before and after ---- */

void count_signals_of(struct worker *worker)
{
    sigset_t set;

    signals_got = &worker->signals_got;
    sigemptyset(&set);
    sigaddset(&set, COUNTED_SIGNAL);
    must(pthread_sigmask(SIG_UNBLOCK, &set, NULL), "pthread_sigmask");
}

/* Threads are made with the signal blocked: workers unblock it when they can count it. */
void lives_begin(void)
{
    struct sigaction counted = {.sa_handler = on_counted, .sa_flags = SA_RESTART};
    struct sigaction alarm = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct itimerval often = {.it_value.tv_usec = 1700, .it_interval.tv_usec = 1700};
    sigset_t set;

    atomic_store(&signals_sent, 0);
    sigemptyset(&set);
    sigaddset(&set, COUNTED_SIGNAL);
    must(pthread_sigmask(SIG_BLOCK, &set, NULL), "pthread_sigmask");
    must(sigaction(COUNTED_SIGNAL, &counted, NULL) || sigaction(SIGALRM, &alarm, NULL) ? errno : 0, "sigaction");
    must(sem_init(&nobody_posts, 0, 0) || pipe2(tokens, O_NONBLOCK) ? errno : 0, "pipe2");
    must(pthread_getaffinity_np(pthread_self(), sizeof(all_cpus), &all_cpus), "pthread_getaffinity_np");
    must(setitimer(ITIMER_REAL, &often, NULL) ? errno : 0, "setitimer");
}

void signals_end(void)
{
    for (unsigned tries = 0; signals_received() != atomic_load(&signals_sent); tries++) {
        struct timespec little = {.tv_nsec = 10000000};

        if (tries == 3000)
            finding("%llu signals were sent, %llu arrived", (unsigned long long)atomic_load(&signals_sent),
                    (unsigned long long)signals_received());
        nanosleep(&little, NULL);
    }
}

void lives_end(void)
{
    struct itimerval never = {.it_value.tv_usec = 0};
    uint64_t token;

    must(setitimer(ITIMER_REAL, &never, NULL) ? errno : 0, "setitimer");
    while (atomic_load(&detached) != 0)
        sched_yield();
    while (read(tokens[0], &token, sizeof(token)) == sizeof(token))
        atomic_fetch_add(&tokens_taken, token);
    if (atomic_load(&tokens_put) != atomic_load(&tokens_taken))
        finding("what went into the pipe did not come out of it");
    if (atomic_load(&cleanups) != atomic_load(&cancelled))
        finding("%llu threads were cancelled, %llu cleaned up", (unsigned long long)atomic_load(&cancelled),
                (unsigned long long)atomic_load(&cleanups));
    close(tokens[0]);
    close(tokens[1]);
    sem_destroy(&nobody_posts);
}
