/*
 * What the parts of this test share. They print the same here and on Linux, with musl and with glibc, however many CPUs
 * there are: results of calls, and what has to hold as yes or no. Nothing waits for a time to pass that could decide
 * between two outcomes; what has to happen is waited for as long as the test as a whole may take.
 */
#ifndef THREADS_H
#define THREADS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LENGTH(array) (sizeof(array) / sizeof(*(array)))
#define PAGE 4096ul
#define NS_PER_S 1000000000ll
#define NS_PER_MS 1000000ll

/* The result of a call, the name of its error if it is one of pthread_*. */
#define SHOW(call) printf("%s: %ld\n", #call, (long)(call))
/* The result of a call that says in errno what is wrong. */
#define SHOW_ERRNO(call)                                                                                               \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        long result_ = (long)(call);                                                                                   \
        printf("%s: %ld%s%d\n", #call, result_, result_ == -1 ? " errno " : " ", result_ == -1 ? errno : 0);           \
    } while (0)
#define YES(what, condition) printf("%s: %s\n", what, (condition) ? "yes" : "NO")

/* Ends the test: without this, nothing behind it makes sense. */
static inline void must(int error, const char *what)
{
    if (error == 0)
        return;
    printf("%s failed: %d\n", what, error);
    fflush(stdout);
    _exit(99);
}

static inline pthread_t start(void *(*function)(void *), void *argument)
{
    pthread_t thread;

    must(pthread_create(&thread, NULL, function, argument), "pthread_create");
    return thread;
}

static inline void *finish(pthread_t thread)
{
    void *result;

    must(pthread_join(thread, &result), "pthread_join");
    return result;
}

/* Many threads of one function, which gets its number. */
static inline void start_all(pthread_t *threads, unsigned count, void *(*function)(void *))
{
    for (unsigned i = 0; i < count; i++)
        threads[i] = start(function, (void *)(uintptr_t)i);
}

/* The sum of what they return. */
static inline uintptr_t finish_all(const pthread_t *threads, unsigned count)
{
    uintptr_t sum = 0;

    for (unsigned i = 0; i < count; i++)
        sum += (uintptr_t)finish(threads[i]);
    return sum;
}

static inline struct timespec clock_now(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return now;
}

static inline int64_t to_ns(struct timespec time)
{
    return time.tv_sec * NS_PER_S + time.tv_nsec;
}

static inline struct timespec from_ns(int64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
}

static inline struct timespec in_ms(clockid_t clock, int64_t ms)
{
    return from_ns(to_ns(clock_now(clock)) + ms * NS_PER_MS);
}

static inline void sleep_ms(int64_t ms)
{
    struct timespec time = from_ns(ms * NS_PER_MS);

    while (nanosleep(&time, &time) != 0 && errno == EINTR)
        continue;
}

static inline void wait_sem(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0)
        must(errno == EINTR ? 0 : errno, "sem_wait");
}

/* Until the value is there, however long that takes. */
static inline void wait_value(atomic_int *variable, int value)
{
    while (atomic_load(variable) != value)
        sched_yield();
}

void check_create(void);
void check_locks(void);
void check_conditions(void);
void check_cancel(void);
void check_signals(void);
void check_schedule(void);
void check_tasks(void);
void check_state(void);
void check_descriptors(void);
void check_thread_memory(void);
void check_mapped_files(void);
void check_thread_calls(void);

#endif
