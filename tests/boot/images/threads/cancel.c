/* Cancellation: where a thread waits, where it asks, anywhere, and not at all; what it leaves behind. */
#include "threads.h"

#include <poll.h>
#include <sys/mman.h>

static sem_t there;
static pthread_mutex_t cancel_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t nobody_signals = PTHREAD_COND_INITIALIZER;
static sem_t nobody_posts;
static int pipe_ends[2];
static char order[8];
static unsigned order_length;

static void note(void *letter)
{
    order[order_length++] = (char)(uintptr_t)letter;
}

static void unlock(void *locked)
{
    pthread_mutex_unlock(locked);
}

/* ---- where a thread waits ---- */

static void *waits_on_condition(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&cancel_mutex);
    pthread_cleanup_push(unlock, &cancel_mutex);
    sem_post(&there);
    for (;;)
        pthread_cond_wait(&nobody_signals, &cancel_mutex);
    pthread_cleanup_pop(0);
    return NULL;
}

static void *waits_long_on_condition(void *unused)
{
    struct timespec end = in_ms(CLOCK_REALTIME, 100000);

    (void)unused;
    pthread_mutex_lock(&cancel_mutex);
    pthread_cleanup_push(unlock, &cancel_mutex);
    sem_post(&there);
    for (;;)
        pthread_cond_timedwait(&nobody_signals, &cancel_mutex, &end);
    pthread_cleanup_pop(0);
    return NULL;
}

static void *reads(void *unused)
{
    char byte;

    sem_post(&there);
    return read(pipe_ends[0], &byte, 1) == 1 ? &there : unused;
}

static void *writes(void *unused)
{
    static char bytes[65536];

    sem_post(&there);
    while (write(pipe_ends[1], bytes, sizeof(bytes)) > 0) /* until the pipe is full */
        continue;
    return unused;
}

static void *sleeps(void *unused)
{
    struct timespec long_time = {.tv_sec = 1000};

    sem_post(&there);
    nanosleep(&long_time, NULL);
    return unused;
}

static void *sleeps_by_clock(void *unused)
{
    struct timespec end = in_ms(CLOCK_MONOTONIC, 1000000);

    sem_post(&there);
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL);
    return unused;
}

static void *waits_on_semaphore(void *unused)
{
    sem_post(&there);
    sem_wait(&nobody_posts);
    return unused;
}

static void *polls(void *unused)
{
    sem_post(&there);
    poll(NULL, 0, -1);
    return unused;
}

static void *pauses(void *unused)
{
    sem_post(&there);
    pause();
    return unused;
}

static pthread_t never_ends;

static void *joins(void *unused)
{
    sem_post(&there);
    pthread_join(never_ends, NULL);
    return unused;
}

/* Cancels the thread once it is there: before it waits or while it does, which comes to the same. */
static bool cancelled(void *(*function)(void *), int ms)
{
    pthread_t thread = start(function, NULL);

    wait_sem(&there);
    sleep_ms(ms);
    must(pthread_cancel(thread), "pthread_cancel");
    return finish(thread) == PTHREAD_CANCELED;
}

static const struct {
    const char *name;
    void *(*function)(void *);
} places[] = {
    {"pthread_cond_wait", waits_on_condition},
    {"pthread_cond_timedwait", waits_long_on_condition},
    {"read", reads},
    {"write", writes},
    {"nanosleep", sleeps},
    {"clock_nanosleep", sleeps_by_clock},
    {"sem_wait", waits_on_semaphore},
    {"poll", polls},
    {"pause", pauses},
    {"pthread_join", joins},
};

static void check_places(void)
{
    sem_init(&there, 0, 0);
    sem_init(&nobody_posts, 0, 0);
    must(pipe(pipe_ends), "pipe");
    never_ends = start(pauses, NULL);
    wait_sem(&there);
    for (unsigned i = 0; i < LENGTH(places); i++) {
        printf("%s: %d %d\n", places[i].name, cancelled(places[i].function, 0), cancelled(places[i].function, 10));
        SHOW(pthread_mutex_trylock(&cancel_mutex)); /* nobody has left it locked */
        pthread_mutex_unlock(&cancel_mutex);
    }
    pthread_cancel(never_ends);
    YES("a thread that another one had joined", finish(never_ends) == PTHREAD_CANCELED);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
}

/* ---- where it asks, anywhere, nowhere ---- */

static void *asks(void *unused)
{
    sem_post(&there);
    for (;;)
        pthread_testcancel();
    return unused;
}

static void *asynchronous(void *unused)
{
    volatile unsigned long turns = 0;
    int old;

    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old);
    sem_post(&there);
    for (;;)
        turns++;
    return unused;
}

static atomic_int may_go_on;

static void *refuses(void *unused)
{
    int old;

    (void)unused;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
    sem_post(&there);
    wait_value(&may_go_on, 1);
    sleep_ms(1);
    pthread_testcancel();
    note((void *)'r');
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old);
    pthread_testcancel();
    note((void *)'x');
    return NULL;
}

static void *cleans_up(void *unused)
{
    pthread_cleanup_push(note, (void *)'1');
    pthread_cleanup_push(note, (void *)'2');
    pthread_cleanup_push(note, (void *)'n');
    pthread_cleanup_pop(0);
    pthread_cleanup_push(note, (void *)'3');
    pthread_cleanup_pop(1);
    sem_post(&there);
    for (;;)
        pause();
    pthread_cleanup_pop(1);
    pthread_cleanup_pop(1);
    return unused;
}

static void *exits(void *unused)
{
    pthread_cleanup_push(note, (void *)'4');
    pthread_exit((void *)7);
    pthread_cleanup_pop(0);
    return unused;
}

static pthread_key_t cancel_key;

static void note_key(void *letter)
{
    note(letter);
}

static void *has_a_key(void *unused)
{
    pthread_setspecific(cancel_key, (void *)'k');
    pthread_cleanup_push(note, (void *)'c');
    sem_post(&there);
    for (;;)
        pause();
    pthread_cleanup_pop(1);
    return unused;
}

static void *cancels_itself(void *unused)
{
    pthread_cancel(pthread_self());
    pthread_testcancel();
    return unused;
}

static void check_ways(void)
{
    pthread_t thread;

    YES("where it asks", cancelled(asks, 5));
    YES("anywhere", cancelled(asynchronous, 5));
    thread = start(refuses, NULL);
    wait_sem(&there);
    pthread_cancel(thread);
    atomic_store(&may_go_on, 1);
    YES("later", finish(thread) == PTHREAD_CANCELED);
    YES("cleans up", cancelled(cleans_up, 5));
    SHOW((uintptr_t)finish(start(exits, NULL)));
    pthread_key_create(&cancel_key, note_key);
    YES("with a key", cancelled(has_a_key, 5));
    pthread_key_delete(cancel_key);
    YES("itself", finish(start(cancels_itself, NULL)) == PTHREAD_CANCELED);
    printf("in this order: %s\n", order);
}

/* ---- many at once ---- */

static void check_cancel_many(void)
{
    void *(*const functions[])(void *) = {sleeps, pauses, asks, asynchronous, polls};
    unsigned count = 0;

    for (unsigned round = 0; round < 10; round++) {
        pthread_t threads[10];

        for (unsigned i = 0; i < LENGTH(threads); i++)
            threads[i] = start(functions[i % LENGTH(functions)], NULL);
        for (unsigned i = 0; i < LENGTH(threads); i++)
            wait_sem(&there);
        for (unsigned i = 0; i < LENGTH(threads); i++)
            pthread_cancel(threads[i]);
        for (unsigned i = 0; i < LENGTH(threads); i++)
            count += finish(threads[i]) == PTHREAD_CANCELED;
    }
    SHOW(count);
}

void check_cancel(void)
{
    puts("-- cancellation");
    check_places();
    check_ways();
    check_cancel_many();
}
