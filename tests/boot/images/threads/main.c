/* Threads: all checks, or how a program with threads ends. */
#include "threads.h"

#include <signal.h>
#include <sys/mman.h>

static atomic_int far_ended;

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

/* A range that begins and ends in the part of one CPU, and has those of all in between. */
static void *unmaps_far(void *unused)
{
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET(1, &one);
    must(sched_setaffinity(0, sizeof(one), &one) ? errno : 0, "sched_setaffinity");
    for (int i = 0; i < 2000; i++) {
        void *memory = mmap(NULL, 64ul << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        must(memory == MAP_FAILED ? errno : 0, "mmap");
        must(munmap(memory, 1ul << 41) ? errno : 0, "munmap");
    }
    atomic_store(&far_ended, 1);
    return unused;
}

/* Beside one whose calls are about all parts. */
static int unmap_far(void)
{
    pthread_t thread = start(unmaps_far, NULL);

    while (!atomic_load(&far_ended))
        must(mlockall(MCL_FUTURE) || munlockall() ? errno : 0, "mlockall");
    finish(thread);
    puts("far: unmapped");
    return 0;
}

static sem_t rung;

static void on_alarm(int signal)
{
    (void)signal;
    sem_post(&rung);
}

/* Alone, with nobody but a timer that could wake it, which expires at any moment of its falling asleep. */
static int wait_for_alarms(void)
{
    struct sigaction action = {.sa_handler = on_alarm};
    timer_t timer;

    finish(start(ends_alone, NULL));
    must(sem_init(&rung, 0, 0) || sigaction(SIGALRM, &action, NULL) ? errno : 0, "sigaction");
    must(timer_create(CLOCK_MONOTONIC, NULL, &timer) ? errno : 0, "timer_create");
    for (long i = 0; i < 5000; i++) {
        struct itimerspec once = {.it_value.tv_nsec = 1000 + i * 37 % 60000};

        must(timer_settime(timer, 0, &once, NULL) ? errno : 0, "timer_settime");
        wait_sem(&rung);
    }
    puts("alarms: all have rung");
    return 0;
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
    if (argc > 1 && strcmp(argv[1], "unmap-far") == 0)
        return unmap_far();
    if (argc > 1 && strcmp(argv[1], "alarms") == 0)
        return wait_for_alarms();
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
    check_mapped_files();
    check_thread_calls();
    puts("-- end");
    return 0;
}
