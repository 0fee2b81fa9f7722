/*
 * Batches of blocks of one size: allocated, then freed in the order of allocation and, the next time, in the opposite
 * one; small batches often and large ones seldom.
 *
 * Checked: each block holds its number until it is freed, and the sum of the numbers is that of a series.
 */
#include "tests/bench/bench.h"

#define BLOCKS 8000u /* for each size and each length of batches, times the scale */
#define BATCH_MOST 1600u

static const uint32_t sizes[] = {16, 64, 256, 1024, 4096};
static const uint32_t batches[] = {25, 100, 400, BATCH_MOST};

static uint64_t *blocks[BATCH_MOST];

static void allocate(uint32_t count, uint32_t size)
{
    for (uint32_t i = 0; i < count; i++) {
        blocks[i] = bench_malloc(size);
        *blocks[i] = i + 1;
    }
}

static uint64_t free_block(uint32_t i)
{
    uint64_t number = *blocks[i];

    free(blocks[i]);
    return number;
}

/* The sum of the numbers in two batches. */
static uint64_t run_batch(uint32_t count, uint32_t size)
{
    uint64_t sum = 0;

    allocate(count, size);
    for (uint32_t i = 0; i < count; i++)
        sum += free_block(i);
    allocate(count, size);
    for (uint32_t i = count; i-- > 0;)
        sum += free_block(i);
    return sum;
}

int main(int argc, char **argv)
{
    uint64_t total = (uint64_t)BLOCKS * bench_scale(argc, argv), sum = 0, wanted = 0;
    struct bench_span span = {0};

    bench_open();
    bench_begin(&span);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (size_t j = 0; j < sizeof(batches) / sizeof(batches[0]); j++) {
            for (uint64_t done = 0; done < total; done += batches[j])
                sum += run_batch(batches[j], sizes[i]);
            wanted += total / batches[j] * batches[j] * (batches[j] + 1);
        }
    }
    bench_end(&span);
    bench_check_number("the sum of the numbers in all blocks", sum, wanted);
    bench_print("total", "batches of one size, freed first or last first", 1, &span, 0);
    return bench_close();
}
