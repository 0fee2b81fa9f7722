/* Mutexes of each kind, read-write locks, spin locks. */
#include "threads.h"

#include <sys/mman.h>
#include <sys/syscall.h>

#define WORKERS 4u
#define ROUNDS 5000u
#define FUTEX_WAIT 0
#define FUTEX_WAKE 1

/* Of a mutex; all without more: a normal one. */
struct kind {
    const char *name;
    int type, protocol, robust, shared;
};

static void make_mutex(pthread_mutex_t *mutex, struct kind kind)
{
    pthread_mutexattr_t attributes;

    pthread_mutexattr_init(&attributes);
    must(pthread_mutexattr_settype(&attributes, kind.type), "pthread_mutexattr_settype");
    must(pthread_mutexattr_setprotocol(&attributes, kind.protocol), "pthread_mutexattr_setprotocol");
    must(pthread_mutexattr_setrobust(&attributes, kind.robust), "pthread_mutexattr_setrobust");
    must(pthread_mutexattr_setpshared(&attributes, kind.shared), "pthread_mutexattr_setpshared");
    must(pthread_mutex_init(mutex, &attributes), "pthread_mutex_init");
    pthread_mutexattr_destroy(&attributes);
}

/* What a call returns when another thread makes it. */
struct elsewhere {
    int (*call)(void *);
    void *argument;
};

static void *calls_it(void *argument)
{
    struct elsewhere *elsewhere = argument;

    return (void *)(intptr_t)elsewhere->call(elsewhere->argument);
}

static int elsewhere(int (*call)(void *), void *argument)
{
    struct elsewhere what = {call, argument};

    return (int)(intptr_t)finish(start(calls_it, &what));
}

static int try_it(void *mutex)
{
    int error = pthread_mutex_trylock(mutex);

    if (error == 0)
        pthread_mutex_unlock(mutex);
    return error;
}

static int lock_for_a_while(void *mutex)
{
    struct timespec end = in_ms(CLOCK_REALTIME, 20);
    int error = pthread_mutex_timedlock(mutex, &end);

    if (error == 0)
        pthread_mutex_unlock(mutex);
    return error;
}

static int unlock_it(void *mutex)
{
    return pthread_mutex_unlock(mutex);
}

static int lock_and_leave(void *mutex)
{
    return pthread_mutex_lock(mutex);
}

/* ---- all of them exclude ---- */

struct contended {
    pthread_mutex_t mutex;
    unsigned long first, second; /* changed together */
    bool torn;
};

static struct contended contended;

static void *contends(void *number)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        must(pthread_mutex_lock(&contended.mutex), "pthread_mutex_lock");
        contended.torn |= contended.first != contended.second;
        contended.first++;
        if ((i + (uintptr_t)number) % 512 == 0)
            sched_yield(); /* so that others find it locked */
        contended.second++;
        must(pthread_mutex_unlock(&contended.mutex), "pthread_mutex_unlock");
    }
    return NULL;
}

static void check_exclusion(struct kind kind)
{
    pthread_t threads[WORKERS];

    contended.first = contended.second = 0;
    make_mutex(&contended.mutex, kind);
    start_all(threads, WORKERS, contends);
    finish_all(threads, WORKERS);
    printf("%s: %lu, torn: %s\n", kind.name, contended.first, contended.torn ? "YES" : "no");
    SHOW(elsewhere(try_it, &contended.mutex));
    pthread_mutex_lock(&contended.mutex);
    SHOW(elsewhere(try_it, &contended.mutex));
    SHOW(elsewhere(lock_for_a_while, &contended.mutex));
    pthread_mutex_unlock(&contended.mutex);
    SHOW(pthread_mutex_destroy(&contended.mutex));
}

static const struct kind kinds[] = {
    {.name = "normal"},
    {.name = "recursive", .type = PTHREAD_MUTEX_RECURSIVE},
    {.name = "errorcheck", .type = PTHREAD_MUTEX_ERRORCHECK},
    {.name = "robust", .robust = PTHREAD_MUTEX_ROBUST},
    {.name = "shared", .shared = PTHREAD_PROCESS_SHARED},
    {.name = "inherits", .protocol = PTHREAD_PRIO_INHERIT},
    {.name = "inherits, robust, errorcheck",
     .type = PTHREAD_MUTEX_ERRORCHECK,
     .protocol = PTHREAD_PRIO_INHERIT,
     .robust = PTHREAD_MUTEX_ROBUST},
};

static void check_kinds(void)
{
    for (unsigned i = 0; i < LENGTH(kinds); i++)
        check_exclusion(kinds[i]);
}

/* ---- what each says of misuse ---- */

static void check_recursive(void)
{
    pthread_mutex_t mutex;

    make_mutex(&mutex, (struct kind){.type = PTHREAD_MUTEX_RECURSIVE});
    for (int i = 0; i < 10; i++)
        must(pthread_mutex_lock(&mutex), "pthread_mutex_lock, recursive");
    for (int i = 0; i < 9; i++)
        must(pthread_mutex_unlock(&mutex), "pthread_mutex_unlock, recursive");
    SHOW(elsewhere(try_it, &mutex));
    SHOW(elsewhere(unlock_it, &mutex));
    SHOW(pthread_mutex_unlock(&mutex));
    SHOW(elsewhere(try_it, &mutex));
    SHOW(pthread_mutex_unlock(&mutex));
}

static void check_errorcheck(int protocol)
{
    pthread_mutex_t mutex;

    make_mutex(&mutex, (struct kind){.type = PTHREAD_MUTEX_ERRORCHECK, .protocol = protocol});
    SHOW(pthread_mutex_unlock(&mutex));
    SHOW(pthread_mutex_lock(&mutex));
    SHOW(pthread_mutex_lock(&mutex));
    SHOW(lock_for_a_while(&mutex));
    SHOW(pthread_mutex_trylock(&mutex) != 0); /* EBUSY, or with glibc EDEADLK if the priority is inherited */
    SHOW(elsewhere(unlock_it, &mutex));
    SHOW(pthread_mutex_unlock(&mutex));
}

/* ---- owners that end ---- */

static int lock_or_inherit(void *mutex)
{
    int error = pthread_mutex_lock(mutex);

    if (error == EOWNERDEAD)
        pthread_mutex_consistent(mutex);
    if (error == 0 || error == EOWNERDEAD)
        pthread_mutex_unlock(mutex);
    return error;
}

static void check_robust(int protocol, int shared)
{
    pthread_mutex_t mutex;

    make_mutex(&mutex, (struct kind){.protocol = protocol, .robust = PTHREAD_MUTEX_ROBUST, .shared = shared});
    SHOW(elsewhere(lock_and_leave, &mutex));
    SHOW(pthread_mutex_trylock(&mutex));
    SHOW(pthread_mutex_consistent(&mutex));
    SHOW(pthread_mutex_unlock(&mutex));
    SHOW(pthread_mutex_consistent(&mutex));
    SHOW(elsewhere(lock_and_leave, &mutex));
    SHOW(elsewhere(lock_or_inherit, &mutex));
    SHOW(elsewhere(lock_or_inherit, &mutex));
    SHOW(elsewhere(lock_and_leave, &mutex));
    SHOW(pthread_mutex_lock(&mutex));
    SHOW(pthread_mutex_unlock(&mutex)); /* without having made it consistent */
    SHOW(pthread_mutex_lock(&mutex));
    SHOW(elsewhere(try_it, &mutex));
    SHOW(pthread_mutex_destroy(&mutex));
}

/* Ends with the mutex locked while others wait for it. */
static pthread_mutex_t left_locked;
static sem_t is_locked, may_leave;

static void *leaves_it_locked(void *unused)
{
    (void)unused;
    must(pthread_mutex_lock(&left_locked), "pthread_mutex_lock");
    sem_post(&is_locked);
    wait_sem(&may_leave);
    return NULL;
}

static void *inherits_it(void *unused)
{
    (void)unused;
    return (void *)(uintptr_t)(lock_or_inherit(&left_locked) == EOWNERDEAD);
}

static void check_robust_waiters(int protocol)
{
    pthread_t owner, waiters[WORKERS];

    make_mutex(&left_locked, (struct kind){.protocol = protocol, .robust = PTHREAD_MUTEX_ROBUST});
    sem_init(&is_locked, 0, 0);
    sem_init(&may_leave, 0, 0);
    owner = start(leaves_it_locked, NULL);
    wait_sem(&is_locked);
    start_all(waiters, WORKERS, inherits_it);
    sleep_ms(20);
    sem_post(&may_leave);
    finish(owner);
    printf("of %u waiters heard of the owner's end: %lu\n", WORKERS, finish_all(waiters, WORKERS));
    SHOW(pthread_mutex_destroy(&left_locked));
}

/* ---- one mutex at two addresses ---- */

struct twice {
    pthread_mutex_t *here, *there;
    sem_t locked;
};

static void *waits_there(void *argument)
{
    struct twice *twice = argument;

    sem_post(&twice->locked);
    must(pthread_mutex_lock(twice->there), "pthread_mutex_lock, at its other address");
    must(pthread_mutex_unlock(twice->there), "pthread_mutex_unlock, at its other address");
    return (void *)1;
}

static void check_two_addresses(void)
{
    int fd = memfd_create("mutex", 0);
    struct twice twice;

    must(ftruncate(fd, (off_t)PAGE), "ftruncate");
    twice.here = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    twice.there = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    make_mutex(twice.here, (struct kind){.shared = PTHREAD_PROCESS_SHARED});
    sem_init(&twice.locked, 0, 0);
    pthread_mutex_lock(twice.here);
    pthread_t thread = start(waits_there, &twice);

    wait_sem(&twice.locked);
    sleep_ms(20);
    SHOW(pthread_mutex_unlock(twice.here));
    SHOW((uintptr_t)finish(thread));
    munmap(twice.here, PAGE);
    munmap(twice.there, PAGE);
    close(fd);
}

/* A word of a file that is mapped privately has other memory once it is written to. */
static void *waits_at_word(void *word)
{
    struct timespec most = {.tv_sec = 5};

    return (void *)syscall(SYS_futex, word, FUTEX_WAIT, 0, &most, NULL, 0);
}

static void check_private_file(void)
{
    int fd = memfd_create("word", 0);

    must(ftruncate(fd, (off_t)PAGE), "ftruncate");
    int *word = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    pthread_t thread = start(waits_at_word, word);

    sleep_ms(50);
    __atomic_store_n(word, 1, __ATOMIC_SEQ_CST);
    SHOW(syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0));
    SHOW((long)finish(thread));
    munmap(word, PAGE);
    close(fd);
}

/* ---- read-write locks ---- */

static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t readers_inside;
static unsigned long guarded[8];

static int try_read(void *lock)
{
    int error = pthread_rwlock_tryrdlock(lock);

    if (error == 0)
        pthread_rwlock_unlock(lock);
    return error;
}

static int try_write(void *lock)
{
    int error = pthread_rwlock_trywrlock(lock);

    if (error == 0)
        pthread_rwlock_unlock(lock);
    return error;
}

static int read_for_a_while(void *lock)
{
    struct timespec end = in_ms(CLOCK_REALTIME, 20);

    return pthread_rwlock_timedrdlock(lock, &end);
}

static int write_for_a_while(void *lock)
{
    struct timespec end = in_ms(CLOCK_REALTIME, 20);

    return pthread_rwlock_timedwrlock(lock, &end);
}

static void *reads_with_others(void *unused)
{
    (void)unused;
    must(pthread_rwlock_rdlock(&rwlock), "pthread_rwlock_rdlock");
    pthread_barrier_wait(&readers_inside); /* all of them at once, or nobody goes on */
    must(pthread_rwlock_unlock(&rwlock), "pthread_rwlock_unlock");
    return (void *)1;
}

static void *reads_and_writes(void *number)
{
    uintptr_t torn = 0;

    for (unsigned i = 0; i < ROUNDS / 4; i++) {
        if ((i + (uintptr_t)number) % 8 == 0) {
            must(pthread_rwlock_wrlock(&rwlock), "pthread_rwlock_wrlock");
            for (unsigned k = 0; k < LENGTH(guarded); k++)
                guarded[k]++;
        } else {
            must(pthread_rwlock_rdlock(&rwlock), "pthread_rwlock_rdlock");
            for (unsigned k = 1; k < LENGTH(guarded); k++)
                torn += guarded[k] != guarded[0];
        }
        must(pthread_rwlock_unlock(&rwlock), "pthread_rwlock_unlock");
    }
    return (void *)torn;
}

static void check_rwlocks(void)
{
    pthread_t threads[WORKERS];

    pthread_barrier_init(&readers_inside, NULL, WORKERS);
    start_all(threads, WORKERS, reads_with_others);
    SHOW(finish_all(threads, WORKERS));
    start_all(threads, WORKERS, reads_and_writes);
    SHOW(finish_all(threads, WORKERS));
    SHOW(guarded[0]);
    pthread_rwlock_rdlock(&rwlock);
    SHOW(elsewhere(try_read, &rwlock));
    SHOW(elsewhere(try_write, &rwlock));
    SHOW(elsewhere(write_for_a_while, &rwlock));
    pthread_rwlock_unlock(&rwlock);
    pthread_rwlock_wrlock(&rwlock);
    SHOW(elsewhere(try_read, &rwlock));
    SHOW(elsewhere(read_for_a_while, &rwlock));
    SHOW(elsewhere(write_for_a_while, &rwlock));
    pthread_rwlock_unlock(&rwlock);
    SHOW(pthread_rwlock_destroy(&rwlock));
    pthread_barrier_destroy(&readers_inside);
}

/* ---- spin locks ---- */

static pthread_spinlock_t spinlock;
static unsigned long spun;

static void *spins(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < ROUNDS; i++) {
        pthread_spin_lock(&spinlock);
        spun++;
        pthread_spin_unlock(&spinlock);
    }
    return NULL;
}

static int try_spin(void *lock)
{
    return pthread_spin_trylock(lock);
}

static void check_spinlocks(void)
{
    pthread_t threads[WORKERS];

    pthread_spin_init(&spinlock, PTHREAD_PROCESS_PRIVATE);
    start_all(threads, WORKERS, spins);
    finish_all(threads, WORKERS);
    SHOW(spun);
    pthread_spin_lock(&spinlock);
    SHOW(elsewhere(try_spin, (void *)&spinlock));
    pthread_spin_unlock(&spinlock);
    SHOW(pthread_spin_destroy(&spinlock));
}

void check_locks(void)
{
    puts("-- mutexes");
    check_kinds();
    check_recursive();
    check_errorcheck(PTHREAD_PRIO_NONE);
    check_errorcheck(PTHREAD_PRIO_INHERIT);
    puts("-- robust mutexes");
    check_robust(PTHREAD_PRIO_NONE, PTHREAD_PROCESS_PRIVATE);
    check_robust(PTHREAD_PRIO_NONE, PTHREAD_PROCESS_SHARED);
    check_robust(PTHREAD_PRIO_INHERIT, PTHREAD_PROCESS_PRIVATE);
    check_robust_waiters(PTHREAD_PRIO_NONE);
    check_robust_waiters(PTHREAD_PRIO_INHERIT);
    check_two_addresses();
    check_private_file();
    puts("-- read-write locks");
    check_rwlocks();
    puts("-- spin locks");
    check_spinlocks();
}
