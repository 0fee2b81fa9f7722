/*
 * Threads until there is no memory for what the system keeps of one. Their stacks are part of the image, so that
 * nothing else can fail. The one that is refused changes nothing: the others go on, all end, and as many can be made
 * again.
 */
#include "tests/boot/images/threads/threads.h"

#include <sys/sysinfo.h>

#define MOST 1400u
#define STACK (16ul << 10)
#define ROUNDS 4

static char stacks[MOST][STACK] __attribute__((aligned(4096)));
static pthread_t threads[MOST];
static sem_t may_end;
static atomic_uint running;

static void *waits(void *number)
{
    atomic_fetch_add(&running, 1);
    wait_sem(&may_end);
    return number;
}

/* Until one is refused: how many there are. */
static unsigned make_threads(int *error)
{
    pthread_attr_t attributes;
    unsigned count = 0;

    pthread_attr_init(&attributes);
    for (*error = 0; count < MOST; count++) {
        must(pthread_attr_setstack(&attributes, stacks[count], STACK), "pthread_attr_setstack");
        *error = pthread_create(&threads[count], &attributes, waits, (void *)(uintptr_t)count);
        if (*error)
            break;
    }
    pthread_attr_destroy(&attributes);
    return count;
}

static uintptr_t end_threads(unsigned count)
{
    while (atomic_load(&running) != count)
        sched_yield();
    for (unsigned i = 0; i < count; i++)
        sem_post(&may_end);
    atomic_store(&running, 0);
    return finish_all(threads, count);
}

static size_t free_memory(void)
{
    struct sysinfo info;

    return sysinfo(&info) ? 0 : info.freeram * info.mem_unit;
}

int main(void)
{
    unsigned first = 0;
    size_t before = 0;

    sem_init(&may_end, 0, 0);
    for (int round = 0; round < ROUNDS; round++) {
        int error;
        unsigned count = make_threads(&error);

        first = round == 0 ? count : first;
        printf("refused with %d, some were made: %s\n", error, count > 100 ? "yes" : "NO");
        YES("all have run", end_threads(count) == (uintptr_t)count * (count - 1) / 2);
        YES("as many as before", count + 8 >= first && count <= first + 8);
        before = round == 0 ? free_memory() : before;
    }
    YES("nothing is kept", free_memory() + (64 << 10) >= before);
    return 0;
}
