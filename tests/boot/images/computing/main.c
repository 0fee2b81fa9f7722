/* Every CPU computes and nobody makes a call, until SIGTERM or SIGINT comes. */
#include "tests/boot/images/threads/threads.h"

#include <signal.h>

static volatile sig_atomic_t asked;

static void ask(int signal)
{
    asked = signal;
}

static void *computes(void *number)
{
    while (!asked)
        ;
    return number;
}

int main(void)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    pthread_t threads[64];

    signal(SIGTERM, ask);
    signal(SIGINT, ask);
    for (long i = 1; i < cpus; i++)
        must(pthread_create(&threads[i], NULL, computes, NULL), "pthread_create");
    printf("all compute\n");
    fflush(stdout);
    computes(NULL);
    for (long i = 1; i < cpus; i++)
        must(pthread_join(threads[i], NULL), "pthread_join");
    printf("asked by signal %d\n", (int)asked);
    return 3;
}
