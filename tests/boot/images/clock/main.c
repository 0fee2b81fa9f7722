/* Clocks never go back, nanosleep sleeps at least as long as asked and not much longer. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static long long now(clockid_t clock)
{
    struct timespec time;

    clock_gettime(clock, &time);
    return time.tv_sec * 1000000000ll + time.tv_nsec;
}

static int goes_forward(clockid_t clock)
{
    long long first = now(clock), before = first;

    for (int i = 0; i < 10000; i++) {
        long long next = now(clock);

        if (next < before)
            return 0;
        before = next;
    }
    return before > first;
}

/* Milliseconds that a sleep of so many took. */
static long long sleep_takes(long milliseconds)
{
    struct timespec span = {.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000};
    long long start = now(CLOCK_MONOTONIC);

    if (nanosleep(&span, NULL))
        return -1;
    return (now(CLOCK_MONOTONIC) - start) / 1000000;
}

/* A program in ring 0 may switch interrupts on; that nobody asked for one is up to the core. */
static int wait_with_interrupts(void)
{
    long long start = now(CLOCK_MONOTONIC);

    __asm__ volatile("sti");
    while (now(CLOCK_MONOTONIC) - start < 200000000)
        continue;
    printf("interrupts on, sleep %s\n", sleep_takes(20) >= 20 ? "long enough" : "WRONG");
    return 0;
}

int main(int argc, char **argv)
{
    const long spans[] = {0, 1, 20, 300, 1100};
    struct timespec bad = {.tv_nsec = 1000000000}, until;

    if (argc > 1 && !strcmp(argv[1], "interrupts"))
        return wait_with_interrupts();
    printf("monotonic %d, realtime %d\n", goes_forward(CLOCK_MONOTONIC), goes_forward(CLOCK_REALTIME));
    printf("year %s\n", time(NULL) > 1700000000 ? "plausible" : "wrong");
    for (unsigned i = 0; i < sizeof(spans) / sizeof(spans[0]); i++) {
        long long took = sleep_takes(spans[i]);

        if (took < spans[i] || took > spans[i] + 500)
            printf("sleep of %ld ms took %lld WRONG\n", spans[i], took);
    }
    printf("bad span: %s\n", nanosleep(&bad, NULL) && errno == EINVAL ? "EINVAL" : "WRONG");
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec++;
    printf("until: %d\n", clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL));
    printf("waited %s\n",
           now(CLOCK_MONOTONIC) >= until.tv_sec * 1000000000ll + until.tv_nsec ? "long enough" : "WRONG");
    return 0;
}
