/*
 * The windows of malloc and free (arch/x86_64/malloc.h), interrupted: by a timer at whatever instruction it comes, with
 * a handler that allocates and frees of the same classes, and instruction by instruction with the trap flag. Each block
 * is full of its own address, so that one that is handed out twice, or lost, is seen; the heap checks itself.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <ucontext.h>

#include "vm/heap.h"

#define BLOCKS 64
#define FLAG_TRAP 0x100

static void *theirs[BLOCKS];
static volatile unsigned ticks, stepped, inside;
static unsigned long hits;

static size_t size_of(unsigned i)
{
    static const size_t sizes[] = {16, 40, 100, 1000, 2000, 5000, 60000};

    return sizes[i % (sizeof(sizes) / sizeof(sizes[0]))];
}

static void fail(const char *what)
{
    fprintf(stderr, "restart: %s\n", what);
    _Exit(1);
}

/* A block that holds its address at both ends. */
static void *make(unsigned i)
{
    uintptr_t *block = malloc(size_of(i));

    if (block == NULL)
        fail("out of memory");
    block[0] = (uintptr_t)block;
    block[size_of(i) / 8 - 1] = (uintptr_t)block;
    return block;
}

static void drop(void *block, unsigned i)
{
    uintptr_t *words = block;

    if (words[0] != (uintptr_t)block || words[size_of(i) / 8 - 1] != (uintptr_t)block)
        fail("a block was handed out twice");
    words[0] = 0;
    free(block);
}

static void turn(void **blocks, unsigned i)
{
    void **block = &blocks[i % BLOCKS];

    if (*block)
        drop(*block, i % BLOCKS);
    *block = *block && i % 3 ? NULL : make(i % BLOCKS);
}

static void on_tick(int signal)
{
    (void)signal;
    for (unsigned i = 0; i < BLOCKS; i++)
        turn(theirs, i + ticks);
    ticks++;
}

/* True in the code of malloc and free. */
static int is_inside(uintptr_t address)
{
    return address - (uintptr_t)malloc < 128 || address - (uintptr_t)free < 64;
}

static void on_step(int signal, siginfo_t *info, void *context)
{
    uintptr_t address = (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];

    (void)signal, (void)info;
    stepped++;
    if (!is_inside(address))
        return;
    inside++;
    for (unsigned i = 0; i < 8; i++)
        turn(theirs, i + stepped);
}

static void check(const char *what)
{
    const char *wrong = heap_validate(NULL);

    if (wrong) {
        fprintf(stderr, "%s: ", what);
        fail(wrong);
    }
}

/* Nothing is lost: what is not in blocks is in magazines, and those can be emptied. */
static void check_end(void)
{
    size_t held;

    for (unsigned i = 0; i < BLOCKS; i++) {
        if (theirs[i])
            drop(theirs[i], i);
        theirs[i] = NULL;
    }
    heap_program_trim();
    check("at the end");
    held = heap_statistics(heap_program()).used;
    printf("%s\n", held <= hits ? "nothing is lost" : "blocks were lost");
}

static void with_timer(void)
{
    struct itimerval often = {{0, 50}, {0, 50}}, never = {{0, 0}, {0, 0}};
    void *ours[BLOCKS] = {NULL};

    signal(SIGALRM, on_tick);
    setitimer(ITIMER_REAL, &often, NULL);
    for (unsigned i = 0; ticks < 3000; i++) {
        turn(ours, i);
        if (i % 65536 == 0)
            check("with a timer");
    }
    setitimer(ITIMER_REAL, &never, NULL);
    for (unsigned i = 0; i < BLOCKS; i++)
        if (ours[i])
            drop(ours[i], i);
    check("after the timer");
    printf("interrupted by a timer\n");
}

static void set_trap(int on)
{
    uint64_t flags;

    __asm__ volatile("subq $128, %%rsp; pushfq; popq %0; addq $128, %%rsp" : "=r"(flags));
    flags = on ? flags | FLAG_TRAP : flags & ~(uint64_t)FLAG_TRAP;
    __asm__ volatile("subq $128, %%rsp; pushq %0; popfq; addq $128, %%rsp" : : "r"(flags) : "memory", "cc");
}

static void step_by_step(void)
{
    struct sigaction action = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};
    void *ours[BLOCKS] = {NULL};

    sigaction(SIGTRAP, &action, NULL);
    for (unsigned i = 0; i < 2000; i++) {
        set_trap(1);
        turn(ours, i);
        set_trap(0);
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        if (ours[i])
            drop(ours[i], i);
    check("after the steps");
    printf("%s\n", inside > 1000 ? "stepped through malloc and free" : "hardly stepped");
}

int main(void)
{
    heap_program_trim();
    printf("restart\n");
    hits = heap_statistics(heap_program()).used; /* standard output's buffer, if it has one */
    with_timer();
    step_by_step();
    check_end();
    return 0;
}
