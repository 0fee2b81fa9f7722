/*
 * What malloc and its relatives take, in instructions as images/micro counts them: a line for each, without what the
 * same loop takes without it, and without the touching, zeroing and copying that the limits leave out
 * (tests/bench/goals.py). The workload `allocation` has the same operations with all of that, to be compared with
 * Linux.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define PAGE 4096u
#define LOOP 1000u
#define BLOCKS 100000u
#define COPIED_BELOW (256 * KIB)
#define CALIBRATION_LOOP 1000000u /* of two instructions each */

static uint64_t ticks(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

static void *keep(void *value)
{
    __asm__ volatile("" : "+r"(value) : : "memory");
    return value;
}

static void *need(void *block)
{
    if (block == NULL) {
        printf("heap-costs: no memory\n");
        exit(1);
    }
    return block;
}

static void print(const char *name, double value)
{
    printf("%s %.3f\n", name, value);
}

static double calibrate(void)
{
    uint64_t count = CALIBRATION_LOOP, start = ticks();

    __asm__ volatile("1: subq $1, %0\n jnz 1b" : "+r"(count));
    return (double)(ticks() - start) / (2.0 * CALIBRATION_LOOP);
}

/* ---- pairs ---- */

static double empty_loop(void)
{
    uint64_t start = ticks();

    for (unsigned i = 0; i < LOOP; i++)
        keep(NULL);
    return (double)(ticks() - start);
}

/* With the calls: a program that is compiled for this heap has these functions inlined where it names them, so their
 * addresses are kept from the compiler. */
static double called_once(size_t size)
{
    void *(*take)(size_t) = (void *(*)(size_t))keep((void *)malloc);
    void (*give)(void *) = (void (*)(void *))keep((void *)free);
    uint64_t start = ticks();

    for (unsigned i = 0; i < LOOP; i++)
        give(keep(take(size)));
    return ((double)(ticks() - start) - empty_loop()) / LOOP;
}

static double called_at_worst(void)
{
    double worst = 0;

    for (size_t size = 16; size <= KIB; size *= 2) {
        called_once(size);
        double cost = called_once(size);

        worst = cost > worst ? cost : worst;
    }
    return worst;
}

static double pairs_once(size_t size)
{
    uint64_t start = ticks();

    for (unsigned i = 0; i < LOOP; i++)
        free(keep(malloc(size)));
    return ((double)(ticks() - start) - empty_loop()) / LOOP;
}

static double pairs(size_t size)
{
    pairs_once(size);
    pairs_once(size);
    return pairs_once(size);
}

static double inlined_once(void)
{
    uint64_t start = ticks();

    for (unsigned i = 0; i < LOOP; i++)
        free(keep(malloc(64)));
    return ((double)(ticks() - start) - empty_loop()) / LOOP;
}

static double inlined(void)
{
    inlined_once();
    return inlined_once();
}

/* ---- many blocks of random sizes, freed in another order ---- */

static void *blocks[BLOCKS];
static uint32_t sizes[BLOCKS], order[BLOCKS];

static uint32_t random_below(uint32_t limit)
{
    static uint64_t state = 0x2545f4914f6cdd1d;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)((state >> 32) * limit >> 32);
}

static void choose(void)
{
    for (uint32_t i = 0; i < BLOCKS; i++) {
        uint32_t other = random_below(i + 1);

        sizes[i] = 16 + random_below(1024 - 16 + 1);
        order[i] = order[other];
        order[other] = i;
    }
}

/* The loops of random_pairs without the allocator. */
static double empty_blocks(void)
{
    uint64_t start = ticks();

    for (uint32_t i = 0; i < BLOCKS; i++)
        blocks[i] = keep((void *)(uintptr_t)sizes[i]);
    for (uint32_t i = 0; i < BLOCKS; i++)
        keep(blocks[order[i]]);
    return (double)(ticks() - start);
}

static double random_pairs(void)
{
    double empty = empty_blocks();
    uint64_t start = ticks();

    for (uint32_t i = 0; i < BLOCKS; i++)
        blocks[i] = malloc(sizes[i]);
    for (uint32_t i = 0; i < BLOCKS; i++)
        free(blocks[order[i]]);
    return ((double)(ticks() - start) - empty) / BLOCKS;
}

/* ---- blocks that grow ---- */

static uint64_t touch(volatile char *memory, size_t from, size_t to)
{
    uint64_t start = ticks();

    for (size_t page = (from + PAGE - 1) / PAGE * PAGE; page < to; page += PAGE)
        memory[page] = 1;
    return ticks() - start;
}

/* What the same copies take elsewhere. */
static uint64_t copies(size_t from, size_t below)
{
    static char source[COPIED_BELOW], target[COPIED_BELOW];
    uint64_t sum = 0;

    for (size_t size = from; 2 * size <= below; size *= 2) {
        uint64_t start = ticks();

        keep(memcpy(target, source, size));
        sum += ticks() - start;
    }
    return sum;
}

/* The third of three, as in tests/bench/bench.h: of the first an allocator may learn what it is used for. */
static double third(double (*round)(void))
{
    round();
    round();
    return round();
}

/* From `size` to 256 MiB, to the double or by `step`, and freed; touched, without what touching again takes. */
static double grow(size_t size, size_t step)
{
    char *block = NULL;
    size_t old = 0;
    uint64_t sum = 0, start;

    for (; size <= 256 * MIB; size = step ? size + step : 2 * size) {
        start = ticks();
        block = need(realloc(block, size));
        sum += ticks() - start;
        sum += touch(block, old, size);
        sum -= touch(block, old, size);
        old = size;
    }
    start = ticks();
    free(block);
    return (double)(sum + (ticks() - start));
}

static double double_up(void)
{
    return grow(KIB, 0) - (double)copies(KIB, COPIED_BELOW);
}

static double step_up(void)
{
    return grow(64 * KIB, 64 * KIB);
}

/* ---- memory that is zero ---- */

static double zeroed_untouched(void)
{
    uint64_t start = ticks();

    free(need(calloc(1, 64 * MIB)));
    return (double)(ticks() - start);
}

/* The zeroing of 1 MiB included, as it is the core's or ours: who reads this takes it off. */
static double zeroed_touched(void)
{
    uint64_t start = ticks(), used;
    char *block = need(calloc(1, MIB));

    used = ticks() - start + touch(block, 0, MIB) - touch(block, 0, MIB);
    start = ticks();
    free(block);
    return (double)(used + (ticks() - start));
}

int main(void)
{
    print("calibration", calibrate());
    print("malloc_called", called_at_worst());
    print("malloc_inlined", inlined());
    print("malloc_64k", pairs(64 * KIB));
    print("malloc_1m", pairs(MIB));
    print("malloc_32m", pairs(32 * MIB));
    choose();
    print("random_cold", random_pairs());
    print("random_warm", random_pairs());
    print("realloc_double", third(double_up));
    print("realloc_steps", third(step_up));
    print("calloc_64m", third(zeroed_untouched));
    print("calloc_touch_1m", third(zeroed_touched));
    return 0;
}
