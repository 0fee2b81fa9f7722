/* Threads: all checks, or how a program with threads ends. */
#include "threads.h"

#include <signal.h>

static void *sleeps_forever(void *unused)
{
    (void)unused;
    for (;;)
        pause();
}

static void *ends_the_program(void *status)
{
    sleep_ms(20);
    exit((int)(uintptr_t)status);
}

static void *prints_and_ends(void *unused)
{
    (void)unused;
    sleep_ms(50);
    puts("a thread that main did not wait for");
    return NULL;
}

static void *writes_to_nowhere(void *unused)
{
    (void)unused;
    sleep_ms(20);
    *(volatile char *)64 = 1;
    return NULL;
}

static void *aborts(void *unused)
{
    (void)unused;
    abort();
}

static void *spins_forever(void *unused)
{
    static atomic_int turns;

    (void)unused;
    for (;;)
        atomic_fetch_add(&turns, 1);
}

static void *ends_alone(void *status)
{
    (void)status;
    pthread_exit(NULL);
}

static void at_exit(void)
{
    puts("at exit");
}

/* Each does not return, but main-returns. */
static int end_like(const char *how)
{
    atexit(at_exit);
    start(sleeps_forever, NULL);
    start(spins_forever, NULL);
    start(ends_alone, NULL);
    printf("ends: %s\n", how);
    fflush(stdout);
    if (strcmp(how, "main-returns") == 0)
        return 3;
    if (strcmp(how, "exit-elsewhere") == 0)
        start(ends_the_program, (void *)5);
    else if (strcmp(how, "segv") == 0)
        start(writes_to_nowhere, NULL);
    else if (strcmp(how, "abort") == 0)
        start(aborts, NULL);
    else if (strcmp(how, "killed") == 0)
        pthread_kill(start(sleeps_forever, NULL), SIGUSR1);
    else if (strcmp(how, "stop-by-main") == 0)
        pthread_kill(pthread_self(), SIGTERM);
    for (;;)
        pause();
}

/* The last thread that ends ends the program, with status 0. */
static void main_leaves(void)
{
    atexit(at_exit);
    start(prints_and_ends, NULL);
    puts("main leaves");
    pthread_exit(NULL);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "main-leaves") == 0)
        main_leaves();
    if (argc > 1)
        return end_like(argv[1]);
    check_create();
    check_locks();
    check_conditions();
    check_cancel();
    check_signals();
    check_schedule();
    check_tasks();
    check_state();
    check_descriptors();
    check_thread_memory();
    check_thread_calls();
    puts("-- end");
    return 0;
}
