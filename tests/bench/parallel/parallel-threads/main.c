/*
 * Threads that come and go, hand over to each other, and call the system. In the rows of handing over each thread has a
 * partner, so that there are twice as many: with one CPU the two take turns on it.
 *
 * The first row computes and does nothing else: how much the host has for so many CPUs.
 */
#include <semaphore.h>
#include <sys/syscall.h>

#include "tests/bench/parallel.h"

/* ---- on its own ---- */

static void compute(const struct parallel_row *row, unsigned thread)
{
    uint64_t random = thread + 1;

    for (uint64_t i = 0; i < row->operations; i++)
        bench_random(&random);
    bench_check(random != 0, "a random number");
}

static void call(const struct parallel_row *row, unsigned thread)
{
    (void)thread;
    for (uint64_t i = 0; i < row->operations; i++)
        bench_check(syscall(SYS_getppid) >= 0, "the parent's number");
}

static void yield(const struct parallel_row *row, unsigned thread)
{
    (void)thread;
    for (uint64_t i = 0; i < row->operations; i++)
        sched_yield();
}

/* ---- come and go ---- */

static void *leaves_argument(void *argument)
{
    ++*(uint64_t *)argument;
    return NULL;
}

static void create_join(const struct parallel_row *row, unsigned thread)
{
    uint64_t ran = 0;

    (void)thread;
    for (uint64_t i = 0; i < row->operations; i++)
        parallel_join(parallel_create(leaves_argument, &ran));
    bench_check_number("the number of threads that ran", ran, row->operations);
}

/* ---- one lock ---- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static uint64_t guarded[2];

static void lock_shared(const struct parallel_row *row, unsigned thread)
{
    (void)thread;
    for (uint64_t i = 0; i < row->operations; i++) {
        pthread_mutex_lock(&mutex);
        guarded[0]++;
        guarded[1]++;
        pthread_mutex_unlock(&mutex);
    }
}

static void finish_lock(const struct parallel_row *row)
{
    bench_check_number("what the lock guards", guarded[0], row->operations * parallel_threads);
    bench_check_number("what the lock guards", guarded[1], guarded[0]);
    guarded[0] = guarded[1] = 0;
}

/* ---- handing over ---- */

/* Of a thread and its partner; each on lines of its own. */
static struct pair {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    sem_t there, back;
    int request[2], answer[2];
    uint64_t turn, count;
} __attribute__((aligned(2 * PARALLEL_LINE))) pairs[PARALLEL_MOST];

static void prepare_pairs(const struct parallel_row *row)
{
    for (unsigned i = 0; i < parallel_threads; i++) {
        struct pair *pair = &pairs[i];

        pthread_mutex_init(&pair->mutex, NULL);
        pthread_cond_init(&pair->changed, NULL);
        sem_init(&pair->there, 0, 0);
        sem_init(&pair->back, 0, 0);
        if (pipe(pair->request) || pipe(pair->answer))
            bench_fail("pipe: %s", strerror(errno));
        pair->turn = 0;
        pair->count = row->operations;
    }
}

static void finish_pairs(const struct parallel_row *row)
{
    for (unsigned i = 0; i < parallel_threads; i++) {
        struct pair *pair = &pairs[i];

        bench_check_number("the number of turns", pair->turn, 2 * row->operations);
        for (unsigned end = 0; end < 2; end++) {
            close(pair->request[end]);
            close(pair->answer[end]);
        }
        pthread_cond_destroy(&pair->changed);
        pthread_mutex_destroy(&pair->mutex);
    }
}

static void take_turns(struct pair *pair, unsigned which)
{
    pthread_mutex_lock(&pair->mutex);
    for (uint64_t i = 0; i < pair->count; i++) {
        while (pair->turn % 2 != which)
            pthread_cond_wait(&pair->changed, &pair->mutex);
        pair->turn++;
        pthread_cond_signal(&pair->changed);
    }
    pthread_mutex_unlock(&pair->mutex);
}

static void *takes_turns(void *pair)
{
    take_turns(pair, 1);
    return NULL;
}

static void hand_by_condition(const struct parallel_row *row, unsigned thread)
{
    pthread_t partner = parallel_create(takes_turns, &pairs[thread]);

    (void)row;
    take_turns(&pairs[thread], 0);
    parallel_join(partner);
}

static void *answers_semaphores(void *argument)
{
    struct pair *pair = argument;

    for (uint64_t i = 0; i < pair->count; i++) {
        while (sem_wait(&pair->there))
            continue;
        pair->turn++;
        sem_post(&pair->back);
    }
    return NULL;
}

static void hand_by_semaphore(const struct parallel_row *row, unsigned thread)
{
    struct pair *pair = &pairs[thread];
    pthread_t partner = parallel_create(answers_semaphores, pair);

    for (uint64_t i = 0; i < row->operations; i++) {
        sem_post(&pair->there);
        while (sem_wait(&pair->back))
            continue;
        pair->turn++;
    }
    parallel_join(partner);
}

/* It is the answer that hands the turn over: what comes behind it is at the same time as the other's. */
static void *answers_bytes(void *argument)
{
    struct pair *pair = argument;
    char byte;

    for (uint64_t i = 0; i < pair->count; i++) {
        if (read(pair->request[0], &byte, 1) != 1)
            bench_fail("a byte did not come: %s", strerror(errno));
        pair->turn++;
        if (write(pair->answer[1], &byte, 1) != 1)
            bench_fail("a byte was not passed on: %s", strerror(errno));
    }
    return NULL;
}

static void hand_by_pipe(const struct parallel_row *row, unsigned thread)
{
    struct pair *pair = &pairs[thread];
    pthread_t partner = parallel_create(answers_bytes, pair);
    char byte = 1;

    for (uint64_t i = 0; i < row->operations; i++) {
        if (write(pair->request[1], &byte, 1) != 1 || read(pair->answer[0], &byte, 1) != 1)
            bench_fail("a byte did not come back: %s", strerror(errno));
        pair->turn++;
    }
    parallel_join(partner);
}

/* ---- all together ---- */

static pthread_barrier_t barrier;
static _Atomic uint64_t met;

static void prepare_barrier(const struct parallel_row *row)
{
    (void)row;
    atomic_store(&met, 0);
    pthread_barrier_init(&barrier, NULL, parallel_threads);
}

static void meet(const struct parallel_row *row, unsigned thread)
{
    (void)thread;
    for (uint64_t i = 0; i < row->operations; i++)
        if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
            atomic_fetch_add(&met, 1);
}

static void finish_barrier(const struct parallel_row *row)
{
    bench_check_number("how often all have met", atomic_load(&met), row->operations);
    pthread_barrier_destroy(&barrier);
}

static const struct parallel_row rows[] = {
    {"compute", 0, "arithmetic alone", 6000000, NULL, compute, NULL, NULL, NULL},
    {"call", 0, "a small system call", 200000, NULL, call, NULL, NULL, NULL},
    {"yield", 0, "sched_yield", 40000, NULL, yield, NULL, NULL, NULL},
    {"create_join", 0, "pthread_create + pthread_join", 800, NULL, create_join, NULL, NULL, NULL},
    {"lock_shared", 0, "one mutex for all", 100000, NULL, lock_shared, finish_lock, NULL, NULL},
    {"hand_condition", 0, "handed over and back, condition", 4000, prepare_pairs, hand_by_condition, finish_pairs, NULL,
     NULL},
    {"hand_semaphore", 0, "handed over and back, semaphores", 4000, prepare_pairs, hand_by_semaphore, finish_pairs,
     NULL, NULL},
    {"hand_pipe", 0, "handed over and back, pipes", 4000, prepare_pairs, hand_by_pipe, finish_pairs, NULL, NULL},
    {"barrier", 0, "all meet", 2000, prepare_barrier, meet, finish_barrier, NULL, NULL},
};

int main(int argc, char **argv)
{
    return parallel_main(argc, argv, rows, sizeof(rows) / sizeof(*rows));
}
