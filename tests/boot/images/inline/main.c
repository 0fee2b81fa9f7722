/*
 * vm/malloc.h: blocks of constant sizes without calls, mixed with those of malloc and free; a timer interrupts whose
 * handler does the same. And what a pair costs, called and inlined, in ticks of the time-stamp counter, which are
 * instructions under -icount.
 */
#include "vm/malloc.h"

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "vm/heap.h"

#define BLOCKS 200
#define PAIRS 1000

static volatile unsigned ticks;
static void *volatile none; /* NULL */

static void fail(const char *what)
{
    fprintf(stderr, "inline: %s\n", what);
    _Exit(1);
}

struct own {
    uintptr_t *blocks[BLOCKS];
};

static struct own mine, theirs;

#define TURN(own, i, size)                                                                                             \
    do {                                                                                                               \
        uintptr_t **block = &(own)->blocks[i];                                                                         \
                                                                                                                       \
        if (*block && (**block != (uintptr_t)*block || (*block)[(size) / 8 - 1] != (uintptr_t)*block))                 \
            fail("a block was handed out twice");                                                                      \
        if (*block && (i) % 2)                                                                                         \
            heap_free_sized(*block, size);                                                                             \
        else                                                                                                           \
            free(*block);                                                                                              \
        *block = (i) % 3 ? heap_malloc(size) : (i) % 2 ? malloc(size) : realloc(none, size);                           \
        **block = (*block)[(size) / 8 - 1] = (uintptr_t)*block;                                                        \
    } while (0)

static void turns(struct own *own)
{
    for (unsigned i = 0; i < BLOCKS / 4; i++) {
        TURN(own, 4 * i, 16);
        TURN(own, 4 * i + 1, 200);
        TURN(own, 4 * i + 2, 264);
        TURN(own, 4 * i + 3, 1024);
    }
}

static void on_tick(int signal)
{
    (void)signal;
    ticks++;
    turns(&theirs);
}

static uint64_t now(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

static void count(void)
{
    uint64_t start, called, inlined, empty;

    free(malloc(64));
    start = now();
    for (unsigned i = 0; i < PAIRS; i++)
        __asm__ volatile("" : : : "memory");
    empty = now() - start;
    start = now();
    for (unsigned i = 0; i < PAIRS; i++) {
        void *block = malloc(64);

        __asm__ volatile("" : "+r"(block) : : "memory");
        free(block);
    }
    called = now() - start - empty;
    start = now();
    for (unsigned i = 0; i < PAIRS; i++) {
        void *block = heap_malloc(64);

        __asm__ volatile("" : "+r"(block) : : "memory");
        heap_free_sized(block, 64);
    }
    inlined = now() - start - empty;
    printf("called %llu\ninlined %llu\n", (unsigned long long)(called / PAIRS), (unsigned long long)(inlined / PAIRS));
}

int main(void)
{
    struct itimerval often = {{0, 50}, {0, 50}}, never = {{0, 0}, {0, 0}};
    const char *wrong;

    count();
    signal(SIGALRM, on_tick);
    setitimer(ITIMER_REAL, &often, NULL);
    while (ticks < 2000)
        turns(&mine);
    setitimer(ITIMER_REAL, &never, NULL);
    wrong = heap_validate(NULL);
    if (wrong)
        fail(wrong);
    printf("interrupted, and whole\n");
    return 0;
}
