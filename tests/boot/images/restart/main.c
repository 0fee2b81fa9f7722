/*
 * The windows of malloc and free (arch/x86_64/malloc.h, vm/malloc_inline.h), interrupted: by a timer at whatever
 * instruction it comes, with a handler that allocates and frees of the same classes, and instruction by instruction
 * with the trap flag. Each block is full of its own address, so that one that is handed out twice, or lost, is seen;
 * the heap checks itself.
 *
 * With the argument "every" the timer comes at each instruction of each kind of window: the image has to run with
 * -icount, where an instruction takes a nanosecond. Whoever was interrupted inside of a window is seen at its
 * beginning.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>

#include "vm/heap.h"
#include "vm/malloc.h"

#define BLOCKS 64
#define SIZES 7
#define FLAG_TRAP 0x100

static void *theirs[BLOCKS];
static volatile unsigned ticks, stepped, inside;
static unsigned long hits;

static size_t size_of(unsigned i)
{
    static const size_t sizes[SIZES] = {16, 40, 100, 1000, 2000, 5000, 60000};

    return sizes[i % SIZES];
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

/* Nothing is lost: what is not in blocks is in lists, and those can be emptied. */
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

/* ---- every instruction ---- */

#define WINDOWS 4096
#define WINDOWS_LEAST 9     /* that are interrupted: three of malloc and free, and six inlined ones */
#define BYTES_TAKE 24       /* more than this is a window that takes, */
#define INSTRUCTIONS_TAKE 5 /* of so many instructions; others have */
#define INSTRUCTIONS_LEAST 3
#define LEAST_NS 200 /* less than it takes to set a timer */
#define MOST_NS 8000 /* more than that and the turn behind it */
#define SWEEPS 4     /* now and then a turn is longer, and an instruction behind that is passed over */

extern const struct window {
    int32_t start, end; /* relative to where they stand */
} __restarts_start[], __restarts_end[];

static unsigned caught[WINDOWS], most[WINDOWS]; /* in this sweep, and in any */
static void *(*volatile called_malloc)(size_t) = malloc;
static void (*volatile called_free)(void *) = free;
static volatile size_t some_size = 100;

static uintptr_t window_start(unsigned i)
{
    return (uintptr_t)&__restarts_start[i].start + (uintptr_t)(intptr_t)__restarts_start[i].start;
}

/* How often it is interrupted at least. */
static unsigned window_instructions(unsigned i)
{
    uintptr_t end = (uintptr_t)&__restarts_start[i].end + (uintptr_t)(intptr_t)__restarts_start[i].end;

    return end - window_start(i) > BYTES_TAKE ? INSTRUCTIONS_TAKE : INSTRUCTIONS_LEAST;
}

static unsigned window_count(void)
{
    return (unsigned)(__restarts_end - __restarts_start);
}

static void on_instruction(int signal, siginfo_t *info, void *context)
{
    uintptr_t address = (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];

    (void)signal, (void)info;
    for (unsigned i = 0; i < window_count(); i++)
        caught[i] += window_start(i) == address;
    /* As many are taken as are freed, so that every turn is as long. */
    for (unsigned i = 0; i < SIZES; i++) {
        void *block = make(i);

        if (theirs[i])
            drop(theirs[i], i);
        theirs[i] = block;
    }
    ticks++;
}

static void *marked(void *block)
{
    if (!block)
        fail("out of memory");
    *(void **)block = block;
    return block;
}

static void unmark(void *block)
{
    if (*(void **)block != block)
        fail("a block was handed out twice");
    *(void **)block = NULL;
}

/* Each kind of window. */
__attribute__((noinline)) static void use_windows(void)
{
    void *small = marked(called_malloc(40)), *medium = marked(called_malloc(5000)), *constant = marked(malloc(40)),
         *sized = marked(heap_malloc(16)), *some = marked(malloc(some_size));

    unmark(small), unmark(medium), unmark(constant), unmark(sized), unmark(some);
    called_free(small);
    free(medium);
    free(constant);
    heap_free_sized(sized, 16);
    free(some);
}

__attribute__((noinline)) static void behind_windows(void)
{
    __asm__ volatile("");
}

static void check_windows(void)
{
    unsigned found = 0;

    for (unsigned i = 0; i < window_count(); i++) {
        uintptr_t start = window_start(i);

        if (!is_inside(start) && start - (uintptr_t)use_windows >= (uintptr_t)behind_windows - (uintptr_t)use_windows)
            continue;
        found += most[i] > 0; /* or it is where another found no object */
        if (most[i] > 0 && most[i] < window_instructions(i)) {
            fprintf(stderr, "window %u: interrupted %u times; ", i, most[i]);
            fail("not at each instruction");
        }
    }
    printf("%s\n", found >= WINDOWS_LEAST ? "interrupted at each instruction" : "too few windows");
}

static void sweep(timer_t timer)
{
    for (long ns = LEAST_NS; ns < MOST_NS; ns++) {
        struct itimerspec once = {.it_value = {.tv_nsec = ns}};
        unsigned before = ticks;

        timer_settime(timer, 0, &once, NULL);
        use_windows();
        while (ticks == before)
            ;
    }
    for (unsigned i = 0; i < window_count(); i++) {
        most[i] = caught[i] > most[i] ? caught[i] : most[i];
        caught[i] = 0;
    }
}

static void every_instruction(void)
{
    struct sigaction action = {.sa_sigaction = on_instruction, .sa_flags = SA_SIGINFO};
    timer_t timer;

    if (window_count() > WINDOWS || timer_create(CLOCK_MONOTONIC, NULL, &timer))
        fail("no timer");
    sigaction(SIGALRM, &action, NULL);
    for (unsigned i = 0; i < SWEEPS; i++)
        sweep(timer);
    timer_delete(timer);
    check("after each instruction");
    check_windows();
}

int main(int argc, char **argv)
{
    bool every = argc > 1 && strcmp(argv[1], "every") == 0;

    heap_program_trim();
    printf("restart\n");
    hits = heap_statistics(heap_program()).used; /* standard output's buffer, if it has one */
    if (every) {
        every_instruction();
    } else {
        with_timer();
        step_by_step();
    }
    check_end();
    return 0;
}
