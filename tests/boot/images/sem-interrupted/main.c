/* The only thread waits for a semaphore that the handler of Ctrl-C posts. */
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>

static sem_t asked;

static void ask(int signal)
{
    (void)signal;
    sem_post(&asked);
}

int main(void)
{
    sem_init(&asked, 0, 0);
    signal(SIGINT, ask);
    puts("waits");
    fflush(stdout);
    while (sem_wait(&asked) != 0)
        if (errno != EINTR)
            return 1;
    puts("asked");
    return 4;
}
