/* Condition variables, barriers, semaphores, once, thread-specific data. */
#include "threads.h"

#include <sys/mman.h>

#define WAITERS 6u

/* ---- condition variables ---- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER, woke = PTHREAD_COND_INITIALIZER;
static unsigned waiting, tickets, through;

static void *waits_for_ticket(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&mutex);
    waiting++;
    pthread_cond_signal(&woke);
    while (tickets == 0)
        pthread_cond_wait(&changed, &mutex);
    tickets--;
    through++;
    pthread_cond_signal(&woke);
    pthread_mutex_unlock(&mutex);
    return (void *)1;
}

/* With the mutex locked. */
static void wait_until(const unsigned *variable, unsigned value)
{
    while (*variable != value)
        pthread_cond_wait(&woke, &mutex);
}

static void check_signal(void)
{
    pthread_t threads[WAITERS];

    start_all(threads, WAITERS, waits_for_ticket);
    pthread_mutex_lock(&mutex);
    wait_until(&waiting, WAITERS);
    for (unsigned i = 1; i <= 2; i++) {
        tickets = 1;
        SHOW(pthread_cond_signal(&changed));
        wait_until(&through, i);
    }
    tickets = WAITERS - 2;
    SHOW(pthread_cond_broadcast(&changed));
    pthread_mutex_unlock(&mutex);
    SHOW(finish_all(threads, WAITERS));
    SHOW(through);
}

static void check_timeouts(clockid_t clock)
{
    pthread_condattr_t attributes;
    pthread_cond_t never;
    struct timespec end, past = {0, 0}, wrong = {.tv_sec = 1, .tv_nsec = 1000000000};
    int error;

    pthread_condattr_init(&attributes);
    SHOW(pthread_condattr_setclock(&attributes, clock));
    SHOW(pthread_cond_init(&never, &attributes));
    pthread_condattr_destroy(&attributes);
    pthread_mutex_lock(&mutex);
    end = in_ms(clock, 30);
    while ((error = pthread_cond_timedwait(&never, &mutex, &end)) == 0)
        continue;
    SHOW(error);
    YES("not before its time", to_ns(clock_now(clock)) >= to_ns(end));
    SHOW(pthread_cond_timedwait(&never, &mutex, &past));
    SHOW(pthread_cond_timedwait(&never, &mutex, &wrong));
    SHOW(pthread_mutex_trylock(&mutex)); /* it was locked again each time */
    pthread_mutex_unlock(&mutex);
    SHOW(pthread_cond_destroy(&never));
}

/* ---- a queue between producers and consumers ---- */

#define ITEMS 2000u
#define CAPACITY 8u

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t filled, emptied;
    unsigned items[CAPACITY], first, count;
} queue = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER, {0}, 0, 0};

static void put(unsigned item)
{
    pthread_mutex_lock(&queue.mutex);
    while (queue.count == CAPACITY)
        pthread_cond_wait(&queue.emptied, &queue.mutex);
    queue.items[(queue.first + queue.count++) % CAPACITY] = item;
    pthread_cond_signal(&queue.filled);
    pthread_mutex_unlock(&queue.mutex);
}

static unsigned take(void)
{
    unsigned item;

    pthread_mutex_lock(&queue.mutex);
    while (queue.count == 0)
        pthread_cond_wait(&queue.filled, &queue.mutex);
    item = queue.items[queue.first++ % CAPACITY];
    queue.count--;
    pthread_cond_signal(&queue.emptied);
    pthread_mutex_unlock(&queue.mutex);
    return item;
}

static void *produces(void *number)
{
    for (unsigned i = 1; i <= ITEMS; i++)
        put(i);
    return number;
}

/* Until the item 0; the sum. */
static void *consumes(void *unused)
{
    uintptr_t sum = 0;
    unsigned item;

    (void)unused;
    while ((item = take()) != 0)
        sum += item;
    return (void *)sum;
}

static void check_queue(void)
{
    pthread_t producers[3], consumers[3];

    start_all(consumers, 3, consumes);
    start_all(producers, 3, produces);
    finish_all(producers, 3);
    for (int i = 0; i < 3; i++)
        put(0);
    SHOW(finish_all(consumers, 3) == 3ul * ITEMS * (ITEMS + 1) / 2);
}

/* ---- two addresses of one condition ---- */

struct shared {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    unsigned turn;
};

static struct shared *views[2];

/* Waits for its turn, at its own address of the same memory. */
static void *takes_turns(void *number)
{
    unsigned mine = (unsigned)(uintptr_t)number;
    struct shared *shared = views[mine];

    pthread_mutex_lock(&shared->mutex);
    for (unsigned i = 0; i < 200; i++) {
        while (shared->turn % 2 != mine)
            pthread_cond_wait(&shared->changed, &shared->mutex);
        shared->turn++;
        pthread_cond_broadcast(&shared->changed);
    }
    pthread_mutex_unlock(&shared->mutex);
    return NULL;
}

static void check_shared(void)
{
    pthread_mutexattr_t of_mutex;
    pthread_condattr_t of_condition;
    pthread_t threads[2];
    int fd = memfd_create("condition", 0);

    must(ftruncate(fd, (off_t)PAGE), "ftruncate");
    for (int i = 0; i < 2; i++)
        views[i] = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    pthread_mutexattr_init(&of_mutex);
    pthread_condattr_init(&of_condition);
    SHOW(pthread_mutexattr_setpshared(&of_mutex, PTHREAD_PROCESS_SHARED));
    SHOW(pthread_condattr_setpshared(&of_condition, PTHREAD_PROCESS_SHARED));
    pthread_mutex_init(&views[0]->mutex, &of_mutex);
    pthread_cond_init(&views[0]->changed, &of_condition);
    start_all(threads, 2, takes_turns);
    finish_all(threads, 2);
    SHOW(views[1]->turn);
    for (int i = 0; i < 2; i++)
        munmap(views[i], PAGE);
    close(fd);
}

/* ---- barriers ---- */

#define TURNS 50u

static pthread_barrier_t barrier;
static atomic_uint serial, arrived;
static atomic_bool early;

static void *meets(void *unused)
{
    (void)unused;
    for (unsigned i = 1; i <= TURNS; i++) {
        atomic_fetch_add(&arrived, 1);
        int result = pthread_barrier_wait(&barrier);

        if (atomic_load(&arrived) < i * WAITERS)
            atomic_store(&early, true);
        if (result == PTHREAD_BARRIER_SERIAL_THREAD)
            atomic_fetch_add(&serial, 1);
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

static void check_barriers(void)
{
    pthread_t threads[WAITERS];

    SHOW(pthread_barrier_init(&barrier, NULL, WAITERS));
    start_all(threads, WAITERS, meets);
    finish_all(threads, WAITERS);
    SHOW(atomic_load(&serial));
    YES("nobody is early", !atomic_load(&early));
    SHOW(pthread_barrier_destroy(&barrier));
}

/* ---- semaphores ---- */

static sem_t tokens, done;

static void *takes_tokens(void *count)
{
    for (uintptr_t i = 0; i < (uintptr_t)count; i++) {
        wait_sem(&tokens);
        sem_post(&done);
    }
    return NULL;
}

static void check_semaphores(void)
{
    struct timespec end = in_ms(CLOCK_REALTIME, 30), wrong = {.tv_sec = 1, .tv_nsec = -1};
    pthread_t threads[2];
    int value = -1;

    SHOW_ERRNO(sem_init(&tokens, 0, 0));
    SHOW_ERRNO(sem_init(&done, 1, 0));
    SHOW_ERRNO(sem_trywait(&tokens));
    SHOW_ERRNO(sem_timedwait(&tokens, &end));
    YES("not before its time", to_ns(clock_now(CLOCK_REALTIME)) >= to_ns(end));
    SHOW_ERRNO(sem_timedwait(&tokens, &wrong));
    threads[0] = start(takes_tokens, (void *)300);
    threads[1] = start(takes_tokens, (void *)200);
    for (int i = 0; i < 500; i++)
        sem_post(&tokens);
    for (int i = 0; i < 500; i++)
        wait_sem(&done);
    finish_all(threads, 2);
    sem_post(&tokens);
    SHOW_ERRNO(sem_getvalue(&tokens, &value));
    SHOW(value);
    SHOW_ERRNO(sem_timedwait(&tokens, &end)); /* there is one: the time does not matter */
    SHOW_ERRNO(sem_destroy(&tokens));
}

/* ---- once ---- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static atomic_uint initialised;

static void initialise(void)
{
    sleep_ms(10);
    atomic_fetch_add(&initialised, 1);
}

static void *initialises(void *unused)
{
    (void)unused;
    pthread_once(&once, initialise);
    return (void *)(uintptr_t)atomic_load(&initialised);
}

static void check_once(void)
{
    pthread_t threads[WAITERS];

    start_all(threads, WAITERS, initialises);
    SHOW(finish_all(threads, WAITERS));
    SHOW(atomic_load(&initialised));
}

/* ---- keys ---- */

static pthread_key_t plain, stubborn;
static atomic_uint destroyed, stubborn_rounds;

static void destroy_plain(void *value)
{
    atomic_fetch_add(&destroyed, (unsigned)(uintptr_t)value);
}

/* Sets itself again: it is called as often as the system says, and no more. */
static void destroy_stubborn(void *value)
{
    atomic_fetch_add(&stubborn_rounds, 1);
    pthread_setspecific(stubborn, value);
}

static void *uses_keys(void *number)
{
    uintptr_t before = (uintptr_t)pthread_getspecific(plain);

    pthread_setspecific(plain, (void *)((uintptr_t)number + 1));
    if (number == NULL)
        pthread_setspecific(stubborn, number + 1);
    sched_yield();
    return (void *)(before + ((uintptr_t)pthread_getspecific(plain) != (uintptr_t)number + 1));
}

static void check_keys(void)
{
    pthread_t threads[WAITERS];
    pthread_key_t more[64];

    SHOW(pthread_key_create(&plain, destroy_plain));
    SHOW(pthread_key_create(&stubborn, destroy_stubborn));
    pthread_setspecific(plain, (void *)1000);
    start_all(threads, WAITERS, uses_keys);
    SHOW(finish_all(threads, WAITERS));
    SHOW(atomic_load(&destroyed));
    SHOW(atomic_load(&stubborn_rounds));
    SHOW((uintptr_t)pthread_getspecific(plain));
    for (unsigned i = 0; i < LENGTH(more); i++)
        must(pthread_key_create(&more[i], NULL), "pthread_key_create");
    for (unsigned i = 0; i < LENGTH(more); i++)
        must(pthread_key_delete(more[i]), "pthread_key_delete");
    pthread_setspecific(plain, NULL);
    SHOW(pthread_key_delete(plain));
    SHOW(pthread_key_delete(stubborn));
}

void check_conditions(void)
{
    puts("-- conditions");
    check_signal();
    check_timeouts(CLOCK_REALTIME);
    check_timeouts(CLOCK_MONOTONIC);
    check_queue();
    check_shared();
    puts("-- barriers");
    check_barriers();
    puts("-- semaphores");
    check_semaphores();
    puts("-- once");
    check_once();
    puts("-- keys");
    check_keys();
}
