/*
 * Ends as its argument says: "right" with a figure, "whole" without one, "wrong" with a result that is wrong, "short"
 * before its last figure, "hang" not at all, "crash" by a bad access, "differs" with other words on each system.
 * "memory" holds 32 MiB for a moment.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>

#define LOOP 1000000u /* of two instructions each */
#define MEMORY ((size_t)32 << 20)

static uint64_t ticks(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

static void figure(void)
{
    uint64_t count = LOOP, start = ticks();

    __asm__ volatile("1: subq $1, %0\n jnz 1b" : "+r"(count));
    printf("bench\tloop/2\ta loop\t%u\t%llu\t1000\t0\n", 2 * LOOP, (unsigned long long)(ticks() - start));
}

static void hold_memory(void)
{
    volatile char *memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        exit(1);
    for (size_t offset = 0; offset < MEMORY; offset += 4096)
        memory[offset] = 1;
    munmap((void *)memory, MEMORY);
}

int main(int argc, char **argv)
{
    const char *way = argc > 1 ? argv[1] : "right";
    struct utsname name;

    puts("the same on both");
    if (strcmp(way, "whole") == 0)
        return 0;
    if (strcmp(way, "memory") == 0)
        hold_memory();
    if (strcmp(way, "differs") == 0 && uname(&name) == 0)
        puts(name.release);
    if (strcmp(way, "memory") == 0 || strcmp(way, "differs") == 0)
        return 0;
    if (strcmp(way, "hang") == 0)
        for (;;)
            __asm__ volatile("pause");
    if (strcmp(way, "crash") == 0)
        *(volatile int *)8 = 1;
    figure();
    if (strcmp(way, "wrong") == 0) {
        fputs("bench: the sum is wrong: 3 instead of 4\n", stderr);
        return 1;
    }
    if (strcmp(way, "short") != 0)
        puts("bench\tok");
    return 0;
}
