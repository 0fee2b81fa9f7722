/*
 * The workloads of the native benchmark: one for a run of the program, chosen by its argument, with whatever allocator
 * is linked. Prints the nanoseconds that it had the processor, the kernel's for it included, and the peak of resident
 * memory in KiB. Each block is written to and checked.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SLOTS 100000u

static void *slots[SLOTS];
static uint32_t sizes[SLOTS], order[SLOTS];
static uint64_t state = 0x2545f4914f6cdd1d;

static uint64_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static uint32_t below(uint32_t limit)
{
    return (uint32_t)((next_random() >> 32) * limit >> 32);
}

static void fail(void)
{
    fprintf(stderr, "workloads: a block does not hold what was written to it\n");
    exit(1);
}

static void *make(size_t size, uint32_t number)
{
    uint32_t *block = malloc(size);

    if (!block)
        fail();
    *block = number;
    return block;
}

static void drop(void *block, uint32_t number)
{
    if (*(uint32_t *)block != number)
        fail();
    free(block);
}

static void pairs(size_t size)
{
    for (uint32_t i = 0; i < 20000000; i++)
        drop(make(size, i), i);
}

static void pairs_16(void)
{
    pairs(16);
}

static void pairs_256(void)
{
    pairs(256);
}

static void pairs_4096(void)
{
    pairs(4096);
}

static void pairs_64k(void)
{
    pairs(65536);
}

/* Blocks of random sizes, freed in another order. */
static void random_blocks(void)
{
    for (uint32_t i = 0; i < SLOTS; i++) {
        sizes[i] = 16 + below(1009);
        order[i] = i;
    }
    for (uint32_t i = SLOTS; i > 1; i--) {
        uint32_t j = below(i), number = order[i - 1];

        order[i - 1] = order[j];
        order[j] = number;
    }
    for (unsigned round = 0; round < 30; round++) {
        for (uint32_t i = 0; i < SLOTS; i++)
            slots[i] = make(sizes[i], i);
        for (uint32_t i = 0; i < SLOTS; i++)
            drop(slots[order[i]], order[i]);
    }
}

/* After Larson and Krishnan (ISMM 1998): a server replaces blocks at random. */
static void churn(uint32_t count, uint32_t replacements, uint32_t least, uint32_t most)
{
    for (uint32_t i = 0; i < count; i++)
        slots[i] = make(least + below(most - least), i);
    for (uint32_t i = 0; i < replacements; i++) {
        uint32_t slot = below(count);

        drop(slots[slot], slot);
        slots[slot] = make(least + below(most - least), slot);
    }
    for (uint32_t i = 0; i < count; i++)
        drop(slots[i], i);
}

static void larson(void)
{
    churn(8192, 10000000, 16, 1024);
}

static void churn_wide(void)
{
    churn(4096, 2000000, 64, 60000);
}

/* Batches of one size, freed first or last first. */
static void batches(void)
{
    static const uint32_t batch_sizes[] = {16, 64, 256, 1024, 4096};

    for (unsigned kind = 0; kind < 5; kind++) {
        for (unsigned round = 0; round < 2000; round++) {
            for (uint32_t i = 0; i < 1000; i++)
                slots[i] = make(batch_sizes[kind], i);
            for (uint32_t i = 0; i < 1000; i++)
                drop(slots[round % 2 ? i : 999 - i], round % 2 ? i : 999 - i);
        }
    }
}

struct node {
    struct node *left, *right;
};

static struct node *build(unsigned depth)
{
    struct node *node = malloc(sizeof(*node));

    if (!node)
        fail();
    *node = (struct node){depth ? build(depth - 1) : NULL, depth ? build(depth - 1) : NULL};
    return node;
}

static void tear_down(struct node *node)
{
    if (node->left) {
        tear_down(node->left);
        tear_down(node->right);
    }
    free(node);
}

static void trees(void)
{
    struct node *lasting = build(16);

    for (unsigned depth = 4; depth <= 16; depth += 2) {
        for (unsigned i = 0; i < 16u << (16 - depth); i++)
            tear_down(build(depth));
    }
    tear_down(lasting);
}

/* Many vectors grow by doubling, and begin again. */
static void vectors(void)
{
    static uint32_t capacity[1024], count[1024];

    for (uint32_t i = 0; i < 60000; i++) {
        uint32_t v = below(1 + below(1 + below(1024)));

        for (unsigned j = 0; j < 256; j++) {
            if (count[v] == capacity[v]) {
                capacity[v] = capacity[v] ? 2 * capacity[v] : 4;
                slots[v] = realloc(slots[v], capacity[v] * sizeof(uint64_t));
            }
            ((uint64_t *)slots[v])[count[v]] = count[v];
            count[v]++;
        }
        if (count[v] < 65536)
            continue;
        if (((uint64_t *)slots[v])[count[v] / 2] != count[v] / 2)
            fail();
        free(slots[v]);
        slots[v] = NULL;
        count[v] = capacity[v] = 0;
    }
}

/* One block grows in steps. */
static void growth(void)
{
    for (unsigned round = 0; round < 4; round++) {
        char *block = NULL;

        for (size_t size = 65536; size <= (size_t)64 << 20; size += 65536) {
            block = realloc(block, size);
            memset(block + size - 65536, 1, 65536);
        }
        free(block);
    }
}

/* Not what others of the machine had meanwhile. */
static uint64_t processor_time(void)
{
    struct timespec time;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* KiB of this program alone: ru_maxrss is at least what its parent had. */
static long peak(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    long kib = 0;

    while (file && fgets(line, sizeof(line), file) && sscanf(line, "VmHWM: %ld", &kib) != 1)
        ;
    return kib;
}

static const struct {
    const char *name;
    void (*run)(void);
} workloads[] = {
    {"pairs-16", pairs_16},    {"pairs-256", pairs_256}, {"pairs-4096", pairs_4096}, {"pairs-64k", pairs_64k},
    {"random", random_blocks}, {"larson", larson},       {"churn-wide", churn_wide}, {"batches", batches},
    {"trees", trees},          {"vectors", vectors},     {"growth", growth},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++) {
        uint64_t start;

        if (argc < 2)
            puts(workloads[i].name);
        if (argc < 2 || strcmp(argv[1], workloads[i].name) != 0)
            continue;
        start = processor_time();
        workloads[i].run();
        start = processor_time() - start;
        printf("%llu %ld\n", (unsigned long long)start, peak());
        return 0;
    }
    return argc < 2 ? 0 : 2;
}
