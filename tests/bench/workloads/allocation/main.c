/*
 * What malloc costs, by size and pattern, of whichever allocator is linked. The order of the rows matters, and is that
 * of the figures it is compared with: allocators keep what was freed, and glibc moves its limit to mmap with what is
 * freed.
 */
#include "tests/bench/bench.h"

#define KIB_64 (64 * BENCH_KIB)
#define MIB_1 BENCH_MIB
#define MIB_16 (16 * BENCH_MIB)
#define MIB_32 (32 * BENCH_MIB)
#define MIB_64 (64 * BENCH_MIB)
#define MIB_256 (256 * BENCH_MIB)
#define HOLE (100 * BENCH_KIB)
#define BLOCKS 100000u
#define LEAST 16u
#define MOST 1024u

static void malloc_free(const struct bench_row *row, struct bench_span *span)
{
    bench_begin(span);
    for (uint64_t i = 0; i < row->operations; i++)
        free(bench_malloc(row->size));
    bench_end(span);
}

static void malloc_touch_free(const struct bench_row *row, struct bench_span *span)
{
    bench_begin(span);
    for (uint64_t i = 0; i < row->operations; i++) {
        void *memory = bench_malloc(row->size);

        bench_touch(memory, row->size);
        free(memory);
    }
    bench_end(span);
}

static void calloc_free(const struct bench_row *row, struct bench_span *span)
{
    bench_begin(span);
    for (uint64_t i = 0; i < row->operations; i++)
        free(bench_calloc(1, row->size));
    bench_end(span);
}

static void calloc_touch_free(const struct bench_row *row, struct bench_span *span)
{
    bench_begin(span);
    for (uint64_t i = 0; i < row->operations; i++) {
        char *memory = bench_calloc(1, row->size);

        if (memory[row->size - 1] != 0)
            bench_fail("memory of calloc is wrong: it is not zero");
        bench_touch(memory, row->size);
        free(memory);
    }
    bench_end(span);
}

/* The first byte of each page says which page it is. Many pages a round: the loop itself is no part of the question. */
static void number_pages(unsigned char *memory, size_t start, size_t end)
{
    size_t last = end / BENCH_PAGE;

#pragma clang loop unroll_count(16)
    for (size_t page = (start + BENCH_PAGE - 1) / BENCH_PAGE; page < last; page++)
        *(volatile unsigned char *)(memory + page * BENCH_PAGE) = (unsigned char)page;
    if (end % BENCH_PAGE && last * BENCH_PAGE >= start)
        memory[last * BENCH_PAGE] = (unsigned char)last;
}

/*
 * Grows a block from `start` to row->size, by `step` or, if that is 0, to twice its size, and touches what is new. The
 * block, for the caller to free.
 */
static void *grow(const struct bench_row *row, struct bench_span *span, size_t start, size_t step)
{
    unsigned char *memory = NULL;
    size_t old = 0, size = start;

    bench_begin(span);
    for (;;) {
        memory = bench_realloc(memory, size);
        number_pages(memory, old, size);
        if (size >= row->size)
            break;
        old = size;
        size = step ? size + step : 2 * size;
    }
    bench_end(span);
    for (size_t page = 0; page < size; page += BENCH_PAGE)
        bench_check_number("a page of a block that grew", memory[page], (unsigned char)(page / BENCH_PAGE));
    return memory;
}

/* With the free at the end; by steps, where that is most of munmap's work, without. */
static void realloc_double(const struct bench_row *row, struct bench_span *span)
{
    void *memory = grow(row, span, BENCH_KIB, 0);

    bench_begin(span);
    free(memory);
    bench_end(span);
}

static void realloc_steps(const struct bench_row *row, struct bench_span *span)
{
    free(grow(row, span, KIB_64, KIB_64));
}

static const struct bench_row pairs[] = {
    {"malloc_free", 16, "malloc + free", malloc_free, 10000, 0},
    {"malloc_free", 64, "malloc + free", malloc_free, 10000, 0},
    {"malloc_free", 256, "malloc + free", malloc_free, 10000, 0},
    {"malloc_free", 1024, "malloc + free", malloc_free, 10000, 0},
    {"malloc_free", 4096, "malloc + free", malloc_free, 10000, 0},
    {"malloc_free", KIB_64, "malloc + free", malloc_free, 1000, 0},
    {"malloc_free", MIB_1, "malloc + free", malloc_free, 1000, 0},
    {"malloc_free", MIB_32, "malloc + free", malloc_free, 100, 0},
    {"malloc_touch_free", KIB_64, "malloc + touch + free", malloc_touch_free, 200, 0},
    {"malloc_touch_free", MIB_1, "malloc + touch + free", malloc_touch_free, 20, 0},
    {"malloc_touch_free", MIB_32, "malloc + touch + free", malloc_touch_free, 2, 0},
};

static const struct bench_row growth[] = {
    {"realloc_double", MIB_256, "realloc from 1 KiB, doubling, free: whole run", realloc_double, 1, 0},
    {"realloc_steps", MIB_16, "realloc by steps of 64 KiB: whole run", realloc_steps, 1, 0},
    {"realloc_steps", MIB_256, "realloc by steps of 64 KiB: whole run", realloc_steps, 1, 0},
    {"calloc_free", MIB_1, "calloc + free", calloc_free, 20, MIB_1},
    {"calloc_free", MIB_64, "calloc + free", calloc_free, 2, MIB_64},
    {"calloc_touch_free", MIB_1, "calloc + touch + free", calloc_touch_free, 20, MIB_1},
    {"calloc_touch_free", MIB_64, "calloc + touch + free", calloc_touch_free, 2, MIB_64},
};

struct blocks {
    uint32_t *memory[BLOCKS];
    uint32_t size[BLOCKS], order[BLOCKS];
};

static struct blocks blocks;

static void allocate_blocks(const char *key, const char *label)
{
    struct bench_span span = {0};

    bench_begin(&span);
    for (uint32_t i = 0; i < BLOCKS; i++) {
        blocks.memory[i] = bench_malloc(blocks.size[i]);
        *blocks.memory[i] = i;
    }
    bench_end(&span);
    bench_print(key, label, BLOCKS, &span, 0);
}

static void free_blocks(const char *key, const char *label)
{
    struct bench_span span = {0};

    for (uint32_t i = 0; i < BLOCKS; i++)
        bench_check_number("the number in a block", *blocks.memory[i], i);
    bench_begin(&span);
    for (uint32_t i = 0; i < BLOCKS; i++)
        free(blocks.memory[blocks.order[i]]);
    bench_end(&span);
    bench_print(key, label, BLOCKS, &span, 0);
}

/* Many blocks of random sizes, freed in another order: the first time, and again with what the first time left. */
static void random_blocks(void)
{
    uint64_t random = 0x2545f4914f6cdd1d;

    for (uint32_t i = 0; i < BLOCKS; i++) {
        blocks.size[i] = LEAST + bench_random_below(&random, MOST - LEAST + 1);
        blocks.order[i] = i;
        blocks.memory[i] = NULL;
    }
    bench_shuffle(blocks.order, BLOCKS, &random);
    allocate_blocks("random_allocate_cold", "malloc of 16 to 1024 bytes at random, first time");
    free_blocks("random_free_cold", "free in random order, first time");
    allocate_blocks("random_allocate_warm", "malloc of 16 to 1024 bytes at random, again");
    free_blocks("random_free_warm", "free in random order, again");
}

/* As in a program that runs for a while: there is free memory below what is in use. */
static void leave_hole(void)
{
    void *hole = bench_malloc(HOLE);

    bench_malloc(LEAST);
    free(hole);
}

int main(int argc, char **argv)
{
    bench_no_arguments(argc, argv);
    bench_open();
    leave_hole();
    bench_run_all(pairs, sizeof(pairs) / sizeof(pairs[0]));
    random_blocks();
    bench_run_all(growth, sizeof(growth) / sizeof(growth[0]));
    return bench_close();
}
