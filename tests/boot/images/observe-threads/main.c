/*
 * Two threads, each on a CPU of its own, that cost each other known amounts: turns that they give each other,
 * protection of pages that both know, and blocks that the one allocates and the other frees. What is done is printed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define TURNS 300
#define PROTECTIONS 40
#define BLOCKS 50
#define BLOCK 100000 /* larger than what a CPU keeps in its lists, whoever allocated it */
#define BURN_MS 300

static sem_t to_other, to_main;
static void *blocks[BLOCKS];
static volatile char *page;
static atomic_int stop;

static void stay_on(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (pthread_setaffinity_np(pthread_self(), sizeof(set), &set) != 0) {
        puts("there is no second CPU");
        exit(2);
    }
}

static int64_t used_ms(void)
{
    struct timespec time;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void *other(void *unused)
{
    stay_on(1);
    for (int64_t end = used_ms() + BURN_MS; used_ms() < end;)
        continue;
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = malloc(BLOCK);
    for (int i = 0; i < TURNS; i++) {
        sem_wait(&to_other);
        sem_post(&to_main);
    }
    while (!atomic_load(&stop))
        (void)*page;
    return unused;
}

static void protect(void)
{
    for (int i = 0; i < PROTECTIONS; i++) {
        *page = 1;
        mprotect((void *)page, 4096, PROT_READ);
        mprotect((void *)page, 4096, PROT_READ | PROT_WRITE);
    }
}

/* Both end the program, at the same time. */
static void *end_together(void *cpu)
{
    static atomic_int come;

    stay_on((int)(intptr_t)cpu);
    atomic_fetch_add(&come, 1);
    while (atomic_load(&come) < 2)
        continue;
    _exit(5);
}

int main(int argc, char **argv)
{
    pthread_t thread;

    (void)argv;
    if (argc > 1 && pthread_create(&thread, NULL, end_together, (void *)1) == 0)
        end_together((void *)0);
    stay_on(0);
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    sem_init(&to_other, 0, 0);
    sem_init(&to_main, 0, 0);
    if (page == MAP_FAILED || pthread_create(&thread, NULL, other, NULL) != 0)
        return 2;
    for (int i = 0; i < TURNS; i++) {
        sem_post(&to_other);
        sem_wait(&to_main);
    }
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    blocks[0] = malloc(BLOCK); /* a CPU sends what it freed when it next has to do with more than its lists */
    protect();
    atomic_store(&stop, 1);
    pthread_join(thread, NULL);
    printf("protections %d blocks %d busy %d\n", PROTECTIONS, BLOCKS, BURN_MS);
    return 0;
}
