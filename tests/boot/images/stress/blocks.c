/* Blocks of malloc that every worker changes: a block is taken, checked, and freed, resized or put back. */
#include "stress.h"

#include <malloc.h>

#define BLOCKS 384u
#define STEP 251u /* between bytes that are written and checked */

struct block {
    size_t size;
    uint64_t stamp;
};

static _Atomic(struct block *) blocks[BLOCKS];

static size_t random_size(uint64_t *random)
{
    uint32_t kind = below(random, 100);

    return sizeof(struct block) + (kind < 70   ? below(random, 500)
                                   : kind < 95 ? below(random, 8000)
                                   : kind < 99 ? below(random, 100000)
                                               : below(random, 1500000));
}

static unsigned char *bytes(struct block *block)
{
    return (unsigned char *)(block + 1);
}

static size_t count(const struct block *block)
{
    return block->size - sizeof(*block);
}

static void fill(struct block *block, size_t size, uint64_t *random)
{
    *block = (struct block){size, random_next(random)};
    for (size_t i = 0; i < count(block); i += STEP)
        bytes(block)[i] = (unsigned char)(block->stamp + i);
    if (count(block))
        bytes(block)[count(block) - 1] = (unsigned char)block->stamp;
}

/* limit: so many of its bytes are as they were. */
static void check_bytes(struct block *block, size_t limit)
{
    for (size_t i = 0; i < limit && i + 1 < count(block); i += STEP)
        if (bytes(block)[i] != (unsigned char)(block->stamp + i))
            finding("a block of %zu bytes: byte %zu was written over", block->size, i);
}

static void check(struct block *block)
{
    check_bytes(block, count(block));
    if (count(block) && bytes(block)[count(block) - 1] != (unsigned char)block->stamp)
        finding("a block of %zu bytes: its end was written over", block->size);
}

static struct block *zeroed(size_t size)
{
    struct block *block = calloc(1, size);

    for (size_t i = 0; block && i < size; i += 64)
        if (((unsigned char *)block)[i])
            finding("calloc of %zu bytes: byte %zu is not zero", size, i);
    return block;
}

static struct block *aligned(size_t size, uint64_t *random)
{
    size_t align = 16ul << below(random, 9);
    void *block = NULL;

    must(posix_memalign(&block, align, size), "posix_memalign");
    if ((uintptr_t)block % align)
        finding("posix_memalign: %p is not aligned to %zu", block, align);
    return block;
}

static struct block *make(uint64_t *random)
{
    size_t size = random_size(random);
    uint32_t kind = below(random, 8);
    struct block *block = kind == 0 ? zeroed(size) : kind == 1 ? aligned(size, random) : malloc(size);

    must(block ? 0 : ENOMEM, "malloc");
    fill(block, size, random);
    return block;
}

static struct block *resized(struct block *block, uint64_t *random)
{
    size_t size = random_size(random);
    struct block *moved = realloc(block, size);

    must(moved ? 0 : ENOMEM, "realloc");
    size_t limit = size < moved->size ? size : moved->size;

    check_bytes(moved, limit - sizeof(*moved));
    fill(moved, size, random);
    return moved;
}

/* What another one has put there meanwhile is freed. */
static void put(struct block *block, uint64_t *random)
{
    struct block *old = atomic_exchange(&blocks[below(random, BLOCKS)], block);

    if (old == NULL)
        return;
    check(old);
    free(old);
}

void change_block(uint64_t *random)
{
    struct block *block = atomic_exchange(&blocks[below(random, BLOCKS)], NULL);

    if (block)
        check(block);
    switch (block ? below(random, 4) : 0) {
    case 0:
    case 1:
        free(block);
        put(make(random), random);
        break;
    case 2:
        put(resized(block, random), random);
        break;
    default:
        free(block);
    }
}

void blocks_end(void)
{
    for (unsigned i = 0; i < BLOCKS; i++) {
        struct block *block = atomic_exchange(&blocks[i], NULL);

        if (block)
            check(block);
        free(block);
    }
}
