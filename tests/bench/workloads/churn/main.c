/*
 * What a server does to an allocator, after Larson and Krishnan ("Memory Allocation for Long-Running Server
 * Applications", ISMM 1998), with one thread: blocks of random sizes, of which one after the other, chosen at random,
 * is replaced.
 *
 * Checked: each block holds its number and size at both ends until it is freed, and the sizes of all that were freed
 * are those that the same random numbers give without a heap.
 */
#include "tests/bench/bench.h"

#define SLOTS 8192u
#define REPLACEMENTS 1000000u /* times the scale */
#define LEAST 16u
#define MOST 1024u
#define SEED 0x853c49e6748fea9b

struct block {
    uint32_t number, size;
};

static struct block *slots[SLOTS];

static uint32_t random_size(uint64_t *random)
{
    return LEAST + bench_random_below(random, MOST - LEAST + 1);
}

static char *last_byte(struct block *block)
{
    return (char *)block + block->size - 1;
}

static struct block *make(uint32_t number, uint32_t size)
{
    struct block *block = bench_malloc(size);

    *block = (struct block){number, size};
    *last_byte(block) = (char)number;
    return block;
}

/* Its size. */
static uint32_t destroy(struct block *block, uint32_t slot)
{
    uint32_t size = block->size;

    if (block->number % SLOTS != slot || *last_byte(block) != (char)block->number)
        bench_fail("a block is wrong: another one wrote over it");
    free(block);
    return size;
}

/* The sum of the sizes of all blocks ever freed. */
static uint64_t run(uint64_t replacements)
{
    uint64_t random = SEED, bytes = 0;

    for (uint32_t slot = 0; slot < SLOTS; slot++)
        slots[slot] = make(slot, random_size(&random));
    for (uint64_t i = 1; i <= replacements; i++) {
        uint32_t slot = bench_random_below(&random, SLOTS);

        bytes += destroy(slots[slot], slot);
        slots[slot] = make((uint32_t)(i * SLOTS + slot), random_size(&random));
    }
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        bytes += destroy(slots[slot], slot);
    return bytes;
}

/* The same without blocks: all that are made are freed. */
static uint64_t expected(uint64_t replacements)
{
    uint64_t random = SEED, bytes = 0;

    for (uint32_t slot = 0; slot < SLOTS; slot++)
        bytes += random_size(&random);
    for (uint64_t i = 1; i <= replacements; i++) {
        bench_random(&random);
        bytes += random_size(&random);
    }
    return bytes;
}

int main(int argc, char **argv)
{
    uint64_t replacements = (uint64_t)REPLACEMENTS * bench_scale(argc, argv);
    struct bench_span span = {0};

    bench_open();
    bench_begin(&span);
    uint64_t bytes = run(replacements);

    bench_end(&span);
    bench_check_number("the sum of the sizes of all blocks", bytes, expected(replacements));
    bench_print("total", "random blocks replaced, as in a server", 1, &span, 0);
    return bench_close();
}
