/*
 * Spends time and memory in known ways: tests/apps/test_observed.py runs each with instructions counted, where one
 * takes a nanosecond, and looks at the record. All work is done by `spin`, which is called from functions that cannot
 * be told apart by anything but the stack.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "vm/vm.h"

#define NOINLINE __attribute__((noinline))
#define BARRIER() __asm__ volatile("" : : : "memory") /* behind a call, which is not made a jump then */
#define MIB ((size_t)1 << 20)
#define US 1000ul
#define MS 1000000ul

/* So many instructions, two a round. */
static NOINLINE void spin(unsigned long instructions)
{
    unsigned long rounds = instructions / 2;

    __asm__ volatile("1: subq $1, %0\n jnz 1b" : "+r"(rounds) : : "cc");
}

/* The same without a frame, as assembly in a C library has it. */
void spin_without_frame(unsigned long instructions);
__asm__(".text\n.globl spin_without_frame\nspin_without_frame:\n shrq %rdi\n1: subq $1, %rdi\n jnz 1b\n ret\n");

/* ---- shares: three quarters, and one quarter of which half is in code without a frame ---- */

static NOINLINE void large_share(void)
{
    spin(75 * US);
    BARRIER();
}

static NOINLINE void small_share(void)
{
    spin(12 * US + 500);
    BARRIER();
    spin_without_frame(12 * US + 500);
    BARRIER();
}

static NOINLINE void caller_of_large(void)
{
    large_share();
    BARRIER();
}

static NOINLINE void caller_of_small(void)
{
    small_share();
    BARRIER();
}

/* A round is not in step with the ticks, which come each 100 us. */
static int shares(void)
{
    for (int i = 0; i < 1000; i++) {
        caller_of_large();
        caller_of_small();
        spin(1234);
    }
    return 0;
}

/* ---- deep, and wide: long stacks, and many ---- */

static NOINLINE void deep(int depth)
{
    if (depth == 0)
        spin(2 * MS);
    else
        deep(depth - 1);
    BARRIER();
}

static NOINLINE void wide(int depth)
{
    if (depth == 0) {
        spin(130 * US);
        return;
    }
    wide(depth - 1);
    BARRIER();
    wide(depth - 1);
    BARRIER();
}

/* ---- steps ---- */

static char *map_area(size_t size, int flags)
{
    char *area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

    if (area == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    return area;
}

/* A MiB in small pages at a time, from its end on so that nothing is backed ahead, then 2 MiB in one page, then back;
 * at each level for 4 ms. */
static int steps(void)
{
    char *small = map_area(4 * MIB, 0), *large = map_area(16 * MIB, 0);

    madvise(small, 4 * MIB, MADV_NOHUGEPAGE);
    large += -(uintptr_t)large % (2 * MIB);
    for (int step = 0; step < 4; step++) {
        spin(4 * MS);
        for (size_t at = MIB; at > 0; at -= 4096)
            small[step * MIB + at - 4096] = 1;
    }
    for (int step = 0; step < 4; step++) {
        spin(4 * MS);
        large[step * 2 * MIB] = 1;
    }
    spin(4 * MS);
    munmap(large, 8 * MIB);
    spin(4 * MS);
    munmap(small, 4 * MIB);
    spin(4 * MS);
    return 0;
}

/* ---- inside of the core ---- */

/* One long call: 512 MiB are zeroed. */
static NOINLINE int populate(void)
{
    spin(10 * MS);
    map_area(512 * MIB, MAP_POPULATE);
    spin(10 * MS);
    return 0;
}

static NOINLINE void touch(char *area, size_t size)
{
    for (size_t at = 0; at < size; at += 4096)
        area[at] = 1;
}

static int faults(void)
{
    char *area = map_area(64 * MIB, 0);

    madvise(area, 64 * MIB, MADV_NOHUGEPAGE);
    touch(area, 64 * MIB);
    return 0;
}

/* Short calls, some instructions apart. */
static NOINLINE int calls(void)
{
    for (int i = 0; i < 100000; i++)
        getppid();
    return 0;
}

static NOINLINE void doze(long ms)
{
    struct timespec time = {.tv_nsec = ms * 1000000};

    nanosleep(&time, NULL);
    BARRIER();
}

static int sleeps(void)
{
    spin(10 * MS);
    doze(50);
    spin(10 * MS);
    return 0;
}

/* The program calls the core itself, which has interrupts enabled then; where it is linked with it. */
extern __typeof__(vm_space) vm_space __attribute__((weak));
extern __typeof__(vm_alloc) vm_alloc __attribute__((weak));
extern __typeof__(vm_free) vm_free __attribute__((weak));
extern __typeof__(vm_anon) vm_anon __attribute__((weak));

static NOINLINE int direct(void)
{
    for (int i = 0; vm_alloc != NULL && i < 10; i++) {
        struct vm_segment *area = vm_alloc(vm_space(), &vm_anon, VM_ANYWHERE, 32 * MIB, VM_RW | VM_POPULATE);

        spin(MS / 10);
        vm_free(vm_space(), area);
        spin(MS / 10);
    }
    return 0;
}

/* ---- a timer of its own ---- */

static volatile sig_atomic_t count;

static void on_alarm(int signal)
{
    (void)signal;
    count++;
    spin(500 * US);
}

/* Each 2 ms a handler that runs for 0.5 ms. */
static int timer(void)
{
    struct itimerval value = {{0, 2000}, {0, 2000}}, off = {{0, 0}, {0, 0}};
    struct sigaction action = {.sa_handler = on_alarm};
    struct timespec start, end;
    sigset_t set, waiting;

    sigaction(SIGALRM, &action, NULL);
    clock_gettime(CLOCK_MONOTONIC, &start);
    setitimer(ITIMER_REAL, &value, NULL);
    while (count < 50)
        spin(10 * US);
    clock_gettime(CLOCK_MONOTONIC, &end);
    setitimer(ITIMER_REAL, &off, NULL);
    printf("50 signals in %ld ms\n",
           ((end.tv_sec - start.tv_sec) * 1000000000l + end.tv_nsec - start.tv_nsec) / 1000000);
    /* Blocked, it stays pending, and comes once. */
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    count = 0;
    setitimer(ITIMER_REAL, &value, NULL);
    spin(9 * MS);
    setitimer(ITIMER_REAL, &off, NULL);
    sigpending(&waiting);
    printf("blocked: %d, pending %d\n", count, sigismember(&waiting, SIGALRM));
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    printf("then: %d\n", count);
    return 0;
}

/* ---- ends ---- */

static int signalled(void)
{
    spin(5 * MS);
    return raise(SIGKILL);
}

static int crashed(void)
{
    spin(5 * MS);
    *(volatile int *)8 = 1;
    return 0;
}

static int run_deep(void)
{
    deep(100);
    return 0;
}

static int run_wide(void)
{
    wide(11);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(void);
    } ways[] = {{"shares", shares},     {"deep", run_deep}, {"wide", run_wide},       {"steps", steps},
                {"populate", populate}, {"direct", direct}, {"faults", faults},       {"calls", calls},
                {"sleeps", sleeps},     {"timer", timer},   {"signalled", signalled}, {"crashed", crashed}};

    for (size_t i = 0; argc == 2 && i < sizeof(ways) / sizeof(ways[0]); i++)
        if (strcmp(argv[1], ways[i].name) == 0)
            return ways[i].run();
    fprintf(stderr, "there is no way %s\n", argc == 2 ? argv[1] : "without an argument");
    return 2;
}
