/*
 * A thread on each CPU reads the clock, by the vDSO and by calls, and finds no time before one that any has told. And
 * one that waits for a time of the wall clock follows when another sets that.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define CPUS_MOST 64
#define ROUNDS 20000
#define SLEEPS 5
#define SLEEP_NS 2000000

static _Atomic long latest, backwards, short_sleeps;
static atomic_int begun;
static int cpus;

static long read_clock(int by_call)
{
    struct timespec now;

    if (by_call)
        syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    else
        clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000l + now.tv_nsec;
}

static void tell(long now)
{
    long told = atomic_load(&latest);

    while (told < now && !atomic_compare_exchange_weak(&latest, &told, now))
        continue;
}

static void *reads(void *cpu)
{
    const struct timespec span = {.tv_nsec = SLEEP_NS};
    cpu_set_t own;

    CPU_ZERO(&own);
    CPU_SET((int)(long)cpu, &own);
    if (sched_setaffinity(0, sizeof own, &own) != 0)
        abort();
    for (atomic_fetch_add(&begun, 1); atomic_load(&begun) < cpus;)
        sched_yield();
    for (int i = 0; i < ROUNDS; i++) {
        long before = atomic_load(&latest), now = read_clock(i & 1);

        if (now < before)
            atomic_fetch_add(&backwards, 1);
        tell(now);
    }
    for (int i = 0; i < SLEEPS; i++) {
        long before = read_clock(0);

        nanosleep(&span, NULL);
        if (read_clock(0) < before + SLEEP_NS)
            atomic_fetch_add(&short_sleeps, 1);
    }
    return NULL;
}

#define FAR 3600 /* seconds */

static void *waits_for_time(void *fd)
{
    uint64_t ticks;

    return (void *)(read((int)(long)fd, &ticks, sizeof ticks) == sizeof ticks ? (long)ticks : -(long)errno);
}

/* What a read answers that waits for a far time, when the clock is set so many seconds further. */
static long set_while_waited(int flags, long by)
{
    const struct timespec moment = {.tv_nsec = 20000000};
    struct itimerspec far = {.it_value.tv_sec = 0};
    struct timespec now;
    pthread_t waiter;
    void *result;
    int fd = timerfd_create(CLOCK_REALTIME, 0);

    clock_gettime(CLOCK_REALTIME, &now);
    far.it_value.tv_sec = now.tv_sec + FAR;
    if (timerfd_settime(fd, TFD_TIMER_ABSTIME | flags, &far, NULL) != 0 ||
        pthread_create(&waiter, NULL, waits_for_time, (void *)(long)fd) != 0)
        abort();
    nanosleep(&moment, NULL);
    now.tv_sec += by;
    if (clock_settime(CLOCK_REALTIME, &now) != 0)
        abort();
    pthread_join(waiter, &result);
    close(fd);
    return (long)result;
}

int main(void)
{
    pthread_t threads[CPUS_MOST];

    cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
    for (long i = 0; i < cpus && i < CPUS_MOST; i++)
        if (pthread_create(&threads[i], NULL, reads, (void *)i) != 0)
            abort();
    for (int i = 0; i < cpus && i < CPUS_MOST; i++)
        pthread_join(threads[i], NULL);
    printf("CPUs: %d\nclock gone back: %ld times\nsleeps too short: %ld\n", cpus, latest > 0 ? backwards : -1,
           short_sleeps);
    printf("clock set: %ld", set_while_waited(0, FAR - 1));
    printf(", %ld\n", set_while_waited(TFD_TIMER_CANCEL_ON_SET, 1));
    return backwards != 0 || short_sleeps != 0;
}
