/*
 * One thread waits for what is typed while others compute on all CPUs: by read or, with an argument, by poll.
 */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#define CPUS_MOST 64

static atomic_bool over;
static atomic_int computing;

static void *compute(void *unused)
{
    atomic_fetch_add(&computing, 1);
    while (!atomic_load_explicit(&over, memory_order_relaxed))
        ;
    return unused;
}

int main(int argc, char **argv)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    pthread_t threads[CPUS_MOST];
    char line[64];

    (void)argv;
    for (long i = 0; i < cpus; i++)
        pthread_create(&threads[i], NULL, compute, NULL);
    while (atomic_load(&computing) < cpus)
        usleep(1000);
    if (argc > 1)
        poll(&input, 1, -1);
    ssize_t length = read(STDIN_FILENO, line, sizeof(line));

    over = true;
    for (long i = 0; i < cpus; i++)
        pthread_join(threads[i], NULL);
    printf("typed: %.*s", (int)length, line);
    return 0;
}
