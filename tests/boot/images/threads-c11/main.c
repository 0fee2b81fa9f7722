/* Threads as C11 has them. Prints the same on Linux, with musl and with glibc. */
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <threads.h>
#include <time.h>

#define WORKERS 4
#define ROUNDS 3000

#define SHOW(call) printf("%s: %ld\n", #call, (long)(call))

/* Results by name: their numbers are each libc's own. */
static const char *name_of(int result)
{
    switch (result) {
    case thrd_success:
        return "success";
    case thrd_busy:
        return "busy";
    case thrd_timedout:
        return "timed out";
    case thrd_nomem:
        return "no memory";
    default:
        return "error";
    }
}

#define SAY(call) printf("%s: %s\n", #call, name_of(call))

static int start_and_join(thrd_start_t function, int count)
{
    thrd_t threads[WORKERS];
    int sum = 0, result;

    for (int i = 0; i < count; i++)
        if (thrd_create(&threads[i], function, (void *)(intptr_t)i) != thrd_success)
            return -1;
    for (int i = 0; i < count; i++)
        if (thrd_join(threads[i], &result) == thrd_success)
            sum += result;
    return sum;
}

static struct timespec in_ms(int ms)
{
    struct timespec time;

    timespec_get(&time, TIME_UTC);
    time.tv_nsec += ms * 1000000l;
    time.tv_sec += time.tv_nsec / 1000000000;
    time.tv_nsec %= 1000000000;
    return time;
}

/* ---- threads ---- */

static int returns_square(void *number)
{
    return (int)((intptr_t)number * (intptr_t)number);
}

static int exits(void *number)
{
    thrd_exit(10 + (int)(intptr_t)number);
}

static atomic_int detached;

static int detaches_itself(void *number)
{
    thrd_detach(thrd_current());
    atomic_fetch_add(&detached, 1);
    return (int)(intptr_t)number;
}

static void check_threads(void)
{
    thrd_t thread;

    SHOW(start_and_join(returns_square, WORKERS));
    SHOW(start_and_join(exits, WORKERS));
    for (int i = 0; i < 20; i++)
        thrd_create(&thread, detaches_itself, NULL);
    while (atomic_load(&detached) != 20)
        thrd_yield();
    SHOW(thrd_equal(thrd_current(), thrd_current()) != 0);
    SHOW(thrd_sleep(&(struct timespec){.tv_nsec = 1000000}, NULL));
}

/* ---- mutexes ---- */

static mtx_t mutex;
static long counter;

static int counts(void *unused)
{
    (void)unused;
    for (int i = 0; i < ROUNDS; i++) {
        mtx_lock(&mutex);
        counter++;
        mtx_unlock(&mutex);
    }
    return 0;
}

static int tries(void *unused)
{
    (void)unused;
    return mtx_trylock(&mutex) == thrd_busy;
}

static int waits_a_while(void *unused)
{
    struct timespec end = in_ms(10);

    (void)unused;
    return mtx_timedlock(&mutex, &end) == thrd_timedout;
}

static void check_mutexes(void)
{
    SAY(mtx_init(&mutex, mtx_plain));
    start_and_join(counts, WORKERS);
    SHOW(counter);
    mtx_destroy(&mutex);
    SAY(mtx_init(&mutex, mtx_timed | mtx_recursive));
    SAY(mtx_lock(&mutex));
    SAY(mtx_trylock(&mutex));
    SHOW(start_and_join(tries, WORKERS));
    SHOW(start_and_join(waits_a_while, WORKERS));
    SAY(mtx_unlock(&mutex));
    SAY(mtx_unlock(&mutex));
    SHOW(start_and_join(tries, 1));
    mtx_destroy(&mutex);
}

/* ---- conditions ---- */

static cnd_t changed;
static int turn;

static int takes_turns(void *number)
{
    mtx_lock(&mutex);
    for (int i = 0; i < 200; i++) {
        while (turn % WORKERS != (int)(intptr_t)number)
            cnd_wait(&changed, &mutex);
        turn++;
        cnd_broadcast(&changed);
    }
    mtx_unlock(&mutex);
    return 1;
}

static void check_conditions(void)
{
    struct timespec end = in_ms(10);
    int result;

    mtx_init(&mutex, mtx_plain);
    SAY(cnd_init(&changed));
    SHOW(start_and_join(takes_turns, WORKERS));
    SHOW(turn);
    SAY(cnd_signal(&changed));
    mtx_lock(&mutex);
    while ((result = cnd_timedwait(&changed, &mutex, &end)) == thrd_success)
        continue;
    SAY(result);
    mtx_unlock(&mutex);
    cnd_destroy(&changed);
    mtx_destroy(&mutex);
}

/* ---- once, thread-specific and thread-local data ---- */

static once_flag once = ONCE_FLAG_INIT;
static atomic_int initialised, destroyed;
static tss_t key;
static thread_local int local = 3;

static void initialise(void)
{
    atomic_fetch_add(&initialised, 1);
}

static int initialises(void *unused)
{
    (void)unused;
    call_once(&once, initialise);
    return atomic_load(&initialised);
}

static void destroy(void *value)
{
    atomic_fetch_add(&destroyed, (int)(intptr_t)value);
}

static int has_data(void *number)
{
    int good = local == 3 && tss_get(key) == NULL;

    local = (int)(intptr_t)number;
    tss_set(key, (void *)((intptr_t)number + 1));
    thrd_yield();
    return good && local == (int)(intptr_t)number && tss_get(key) == (void *)((intptr_t)number + 1);
}

static void check_data(void)
{
    SHOW(start_and_join(initialises, WORKERS));
    SAY(tss_create(&key, destroy));
    SHOW(start_and_join(has_data, WORKERS));
    SHOW(atomic_load(&destroyed));
    SHOW(local);
    tss_delete(key);
}

/* ---- atomics ---- */

static atomic_long total;
static atomic_flag busy = ATOMIC_FLAG_INIT;
static long plain;
static atomic_int flags[2], turn_of;

static int adds(void *number)
{
    for (int i = 0; i < ROUNDS; i++) {
        atomic_fetch_add_explicit(&total, (intptr_t)number, memory_order_relaxed);
        while (atomic_flag_test_and_set_explicit(&busy, memory_order_acquire))
            thrd_yield();
        plain++;
        atomic_flag_clear_explicit(&busy, memory_order_release);
    }
    return 0;
}

/* Peterson's algorithm, which needs that stores are seen in order. */
static int excludes(void *number)
{
    int mine = (int)(intptr_t)number;

    for (int i = 0; i < ROUNDS; i++) {
        atomic_store(&flags[mine], 1);
        atomic_store(&turn_of, 1 - mine);
        while (atomic_load(&flags[1 - mine]) && atomic_load(&turn_of) == 1 - mine)
            thrd_yield();
        plain++;
        atomic_store(&flags[mine], 0);
    }
    return 0;
}

static void check_atomics(void)
{
    start_and_join(adds, WORKERS);
    SHOW(atomic_load(&total));
    SHOW(plain);
    start_and_join(excludes, 2);
    SHOW(plain);
}

int main(void)
{
    puts("-- threads");
    check_threads();
    puts("-- mutexes");
    check_mutexes();
    puts("-- conditions");
    check_conditions();
    puts("-- data");
    check_data();
    puts("-- atomics");
    check_atomics();
    puts("-- end");
    return 0;
}
