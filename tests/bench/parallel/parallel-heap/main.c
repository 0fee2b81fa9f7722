/*
 * What several threads do to an allocator, after the benchmarks that are customary for it: each on its own; blocks that
 * are replaced by others than have made them (Larson and Krishnan, "Memory Allocation for Long-Running Server
 * Applications", ISMM 1998); blocks that one thread makes and another one frees; blocks of all ages and sizes, some of
 * which change hands (as mimalloc's mstress); and whether blocks of two threads share a cache line (Berger et al.,
 * "Hoard", ASPLOS 2000: cache-scratch and cache-thrash).
 *
 * Checked: a block holds its size and a number at both ends until it is freed, and as many are freed as were made.
 */
#include <semaphore.h>

#include "tests/bench/parallel.h"

#define LEAST 16u
#define MOST 512u
#define SLOTS 512u
#define EPOCHS 16u
#define BATCH 128u
#define MAILBOX 8u
#define TRANSFERS 256u

struct block {
    uint32_t size, number;
};

/* What a thread has; each on lines of its own. */
struct owner {
    struct block *slots[SLOTS];
    uint64_t random;
    uint64_t made, freed;
} __attribute__((aligned(2 * PARALLEL_LINE)));

static struct owner owners[PARALLEL_MOST];

static char *last_byte(struct block *block)
{
    return (char *)block + block->size - 1;
}

static struct block *make(struct owner *owner, uint32_t size)
{
    struct block *block = bench_malloc(size);

    *block = (struct block){size, (uint32_t)owner->made++};
    *last_byte(block) = (char)block->number;
    return block;
}

static void destroy(struct owner *owner, struct block *block)
{
    if (block == NULL)
        return;
    if (*last_byte(block) != (char)block->number)
        bench_fail("a block is wrong: another one wrote over it");
    owner->freed++;
    free(block);
}

static uint32_t random_size(struct owner *owner)
{
    return LEAST + bench_random_below(&owner->random, MOST - LEAST + 1);
}

/* Of four in five small, of one in a hundred many pages. */
static uint32_t mixed_size(struct owner *owner)
{
    uint32_t kind = bench_random_below(&owner->random, 100);

    return kind < 80   ? 16 + bench_random_below(&owner->random, 240)
           : kind < 99 ? 256 + bench_random_below(&owner->random, 8000)
                       : 8192 + bench_random_below(&owner->random, 120000);
}

static void prepare_own(const struct parallel_row *row, unsigned thread)
{
    (void)row;
    owners[thread] = (struct owner){.random = 0x853c49e6748fea9b + thread};
}

static void prepare(const struct parallel_row *row)
{
    for (unsigned i = 0; i < parallel_threads; i++)
        prepare_own(row, i);
}

static void check_counts(void)
{
    uint64_t made = 0, freed = 0;

    for (unsigned i = 0; i < parallel_threads; i++) {
        made += owners[i].made;
        freed += owners[i].freed;
    }
    bench_check_number("the number of blocks that were freed", freed, made);
}

static void finish_own(const struct parallel_row *row, unsigned thread)
{
    (void)row;
    for (unsigned k = 0; k < SLOTS; k++)
        destroy(&owners[thread], owners[thread].slots[k]);
}

static void finish(const struct parallel_row *row)
{
    for (unsigned i = 0; i < parallel_threads; i++)
        finish_own(row, i);
    check_counts();
}

static void finish_disjoint(const struct parallel_row *row)
{
    (void)row;
    check_counts();
}

/* ---- replaced: by its own thread, or by the next ---- */

/* owner: whose slots they are. */
static void replace(struct owner *worker, struct owner *owner, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        uint32_t slot = bench_random_below(&worker->random, SLOTS);

        destroy(worker, owner->slots[slot]);
        owner->slots[slot] = make(worker, random_size(worker));
    }
}

static void disjoint(const struct parallel_row *row, unsigned thread)
{
    replace(&owners[thread], &owners[thread], row->operations);
}

static pthread_barrier_t epoch_over;

static void prepare_larson(const struct parallel_row *row)
{
    prepare(row);
    pthread_barrier_init(&epoch_over, NULL, parallel_threads);
}

static void finish_larson(const struct parallel_row *row)
{
    pthread_barrier_destroy(&epoch_over);
    finish(row);
}

/* In each epoch a thread goes on with what another one has left. */
static void larson(const struct parallel_row *row, unsigned thread)
{
    for (unsigned epoch = 0; epoch < EPOCHS; epoch++) {
        replace(&owners[thread], &owners[(thread + epoch) % parallel_threads], row->operations / EPOCHS);
        pthread_barrier_wait(&epoch_over);
    }
}

/* ---- made by one, freed by another ---- */

struct batch {
    struct block *blocks[BATCH];
};

/* Of one thread: batches that it has to free, and places for more. One writer, the thread before it, and one reader:
 * each waits for the other asleep. Who waited by sched_yield measured when a host with fewer processors takes them
 * away. */
static struct mailbox {
    sem_t there, places;
    struct batch *batches[MAILBOX];
} __attribute__((aligned(2 * PARALLEL_LINE))) mailboxes[PARALLEL_MOST];

static void wait_for(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0)
        bench_check(errno == EINTR, "sem_wait");
}

static struct batch *make_batch(struct owner *owner)
{
    struct batch *batch = bench_malloc(sizeof(*batch));

    for (unsigned i = 0; i < BATCH; i++)
        batch->blocks[i] = make(owner, random_size(owner));
    return batch;
}

static void destroy_batch(struct owner *owner, struct batch *batch)
{
    for (unsigned i = 0; i < BATCH; i++)
        destroy(owner, batch->blocks[i]);
    free(batch);
}

static void send_batch(struct mailbox *to, uint64_t number, struct batch *batch)
{
    wait_for(&to->places);
    to->batches[number % MAILBOX] = batch;
    sem_post(&to->there);
}

static struct batch *take_batch(struct mailbox *from, uint64_t number)
{
    wait_for(&from->there);
    struct batch *batch = from->batches[number % MAILBOX];

    sem_post(&from->places);
    return batch;
}

static void prepare_exchange(const struct parallel_row *row)
{
    prepare(row);
    for (unsigned i = 0; i < parallel_threads; i++) {
        sem_init(&mailboxes[i].there, 0, 0);
        sem_init(&mailboxes[i].places, 0, MAILBOX);
    }
}

/* Every block is freed by the next thread, up to half a mailbox later; an operation is a block made and one freed. */
static void exchange(const struct parallel_row *row, unsigned thread)
{
    struct mailbox *next = &mailboxes[(thread + 1) % parallel_threads], *own = &mailboxes[thread];
    uint64_t batches = row->operations / BATCH, ahead = batches < MAILBOX / 2 ? batches : MAILBOX / 2;

    for (uint64_t i = 0; i < batches + ahead; i++) {
        if (i < batches)
            send_batch(next, i, make_batch(&owners[thread]));
        if (i >= ahead)
            destroy_batch(&owners[thread], take_batch(own, i - ahead));
    }
}

/* ---- all ages and sizes ---- */

static _Atomic(struct block *) transfers[TRANSFERS];

static void mixed(const struct parallel_row *row, unsigned thread)
{
    struct owner *owner = &owners[thread];

    for (uint64_t i = 0; i < row->operations; i++) {
        uint32_t slot = bench_random_below(&owner->random, SLOTS);
        struct block *block = owner->slots[slot];

        owner->slots[slot] = NULL;
        if (i % 8 == 0) /* it changes hands */
            block = atomic_exchange(&transfers[bench_random_below(&owner->random, TRANSFERS)], block);
        destroy(owner, block);
        owner->slots[slot] = make(owner, mixed_size(owner));
    }
}

static void finish_mixed(const struct parallel_row *row)
{
    for (unsigned i = 0; i < TRANSFERS; i++)
        destroy(&owners[0], atomic_exchange(&transfers[i], NULL));
    finish(row);
}

/* ---- shared lines ---- */

#define WRITES 2000u

static char *handed[PARALLEL_MOST];

static void write_often(char *block, size_t size)
{
    volatile char *bytes = block;

    for (unsigned i = 0; i < WRITES; i++)
        for (size_t k = 0; k < size; k++)
            bytes[k]++;
}

static void use_block(const struct parallel_row *row)
{
    char *block = bench_calloc(1, row->size);

    write_often(block, row->size);
    for (size_t i = 0; i < row->size; i++)
        bench_check(block[i] == (char)WRITES, "a block that one thread wrote to");
    free(block);
}

/* Active: whether blocks made at the same time by several threads share a line. */
static void thrash(const struct parallel_row *row, unsigned thread)
{
    (void)thread;
    for (uint64_t i = 0; i < row->operations; i++)
        use_block(row);
}

/* Blocks side by side, a thread gets one of them each. */
static void hand_out(const struct parallel_row *row)
{
    for (unsigned i = 0; i < parallel_threads; i++)
        handed[i] = bench_malloc(row->size);
}

/* Passive: whether a block that was made elsewhere comes back to the thread that freed it, and its line with it. */
static void scratch(const struct parallel_row *row, unsigned thread)
{
    free(handed[thread]);
    thrash(row, thread);
}

/* ---- large blocks ---- */

static void large(const struct parallel_row *row, unsigned thread)
{
    for (uint64_t i = 0; i < row->operations; i++) {
        size_t size = row->size + (i + thread) % 16 * BENCH_PAGE;
        char *block = bench_malloc(size);

        block[0] = 1;
        block[size - 1] = 2;
        bench_keep(block);
        free(block);
    }
}

static const struct parallel_row rows[] = {
    {"disjoint", 0, "own blocks replaced", 150000, NULL, disjoint, finish_disjoint, prepare_own, finish_own},
    {"larson", 0, "blocks of others replaced (larson)", 150000, prepare_larson, larson, finish_larson, NULL, NULL},
    {"exchange", 0, "made by one, freed by another", 128000, prepare_exchange, exchange, finish, NULL, NULL},
    {"mixed", 0, "all sizes, some change hands (mstress)", 200000, prepare, mixed, finish_mixed, NULL, NULL},
    {"thrash", 8, "written to, side by side (cache-thrash)", 300, NULL, thrash, NULL, NULL, NULL},
    {"scratch", 8, "written to, handed out (cache-scratch)", 300, hand_out, scratch, NULL, NULL, NULL},
    {"large", 256 * BENCH_KIB, "malloc + free", 20000, NULL, large, NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return parallel_main(argc, argv, rows, sizeof(rows) / sizeof(*rows));
}
