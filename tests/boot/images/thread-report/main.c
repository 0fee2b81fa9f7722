/*
 * Threads of which each is where its name says, when one of them does what is forbidden. "many": with a hundred more
 * than a report shows; "damaged": the list of threads leads to nowhere; "freed": the core panics, called by a thread.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "vm/vm.h"

#define MANY 100

static pthread_mutex_t taken = PTHREAD_MUTEX_INITIALIZER;
static atomic_int spinning;
static sem_t ready;
static const char *deed = "";

static void is_ready(const char *name)
{
    prctl(PR_SET_NAME, name);
    sem_post(&ready);
}

static void *sleeps(void *unused)
{
    const struct timespec long_time = {.tv_sec = 1000};

    is_ready("sleeper");
    nanosleep(&long_time, NULL);
    return unused;
}

static void wants_lock(void)
{
    pthread_mutex_lock(&taken);
    puts("survived");
}

static void *waits(void *unused)
{
    is_ready("waiter");
    wants_lock();
    return unused;
}

static void *spins(void *unused)
{
    is_ready("spinner");
    for (;;)
        atomic_fetch_add(&spinning, 1);
    return unused;
}

/* What the core knows of the running thread holds its name, and before that, in 128 bytes, what leads to others. */
static void damage_list(void)
{
    const char name[16] = "damaged thread!";
    struct vm_segment *segment = NULL;

    prctl(PR_SET_NAME, name);
    while ((segment = vm_next(vm_space(), segment ? vm_start(segment) + vm_size(segment) : 0)) != NULL) {
        char *end = (char *)vm_start(segment) + vm_size(segment);

        if (vm_driver_of(segment) != &vm_stack || vm_size(segment) > 1 << 17)
            continue;
        for (char *at = end - 2 * VM_PAGE_SIZE; at + sizeof name <= end; at++)
            if (memcmp(at, name, sizeof name) == 0)
                memset(at - 128, 0x5a, 128);
    }
}

void crash_here(void);
void crash_here(void)
{
    struct vm_segment *segment;

    if (strcmp(deed, "damaged") == 0)
        damage_list();
    if (strcmp(deed, "freed") == 0) {
        segment = vm_alloc(vm_space(), &vm_anon, VM_ANYWHERE, VM_PAGE_SIZE, VM_RW);
        vm_free(vm_space(), segment);
        vm_free(vm_space(), segment);
    }
    *(volatile char *)64 = 1;
}

static void *crashes(void *unused)
{
    prctl(PR_SET_NAME, "crasher\033[1m");
    usleep(50000); /* the others come to where they stay */
    crash_here();
    return unused;
}

static pthread_t start(void *(*function)(void *))
{
    pthread_attr_t attributes;
    pthread_t thread;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 65536);
    if (pthread_create(&thread, &attributes, function, NULL) != 0)
        abort();
    return thread;
}

static void start_ready(void *(*function)(void *))
{
    start(function);
    while (sem_wait(&ready) != 0)
        continue;
}

int main(int argc, char **argv)
{
    deed = argc > 1 ? argv[1] : "";
    sem_init(&ready, 0, 0);
    pthread_mutex_lock(&taken);
    start_ready(sleeps);
    start_ready(waits);
    for (int i = 0; strcmp(deed, "many") == 0 && i < MANY; i++)
        start_ready(sleeps);
    start_ready(spins);
    pthread_join(start(crashes), NULL);
    puts("survived");
    return 0;
}
