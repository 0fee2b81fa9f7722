/*
 * Heaps of the program's own, on drivers and page sizes of its choice: random blocks with their contents checked, the
 * limit, and that destroying one gives back all that it held.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "vm/heap.h"

#define BLOCKS 300
#define TURNS 6000
#define MIB ((size_t)1 << 20)

static struct block {
    unsigned char *start;
    size_t size;
    unsigned char fill;
} blocks[BLOCKS];
static uint64_t state = 0x9e3779b97f4a7c15;

static uint64_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state >> 16;
}

static void fail(const char *what)
{
    fprintf(stderr, "heaps: %s\n", what);
    exit(1);
}

static size_t random_size(void)
{
    return 1 + (next_random() & (((size_t)1 << next_random() % 22) - 1));
}

static void fill(struct block *block)
{
    block->fill = (unsigned char)next_random();
    memset(block->start, block->fill, block->size);
}

static void check(const struct block *block, size_t size)
{
    for (size_t i = 0; i < size; i += size < 4096 ? 1 : 1021)
        if (block->start[i] != block->fill)
            fail("a block does not hold what was written to it");
}

static void turn(struct heap *heap)
{
    struct block *block = &blocks[next_random() % BLOCKS];
    size_t size = random_size();

    if (!block->start) {
        size_t align = (size_t)16 << next_random() % 10;

        block->start = next_random() % 2 ? heap_alloc(heap, size) : heap_alloc_aligned(heap, align, size);
        block->size = size;
    } else if (next_random() % 2) {
        check(block, block->size);
        heap_free(heap, block->start);
        block->start = NULL;
        return;
    } else {
        block->start = heap_realloc(heap, block->start, size);
        if (block->start)
            check(block, size < block->size ? size : block->size);
        block->size = size;
    }
    if (!block->start || heap_size(heap, block->start) < size)
        fail("no memory, or a block that is too short");
    fill(block);
}

static unsigned long free_memory(void)
{
    struct sysinfo info;

    return sysinfo(&info) ? 0 : info.freeram * info.mem_unit;
}

static void use(const char *name, const struct vm_segment_driver *driver, vm_flags_t pages)
{
    unsigned long before = free_memory();
    struct heap *heap = heap_create(driver, pages, 96 * MIB);
    const char *wrong;

    if (IS_ERR(heap))
        fail("a heap cannot be made");
    memset(blocks, 0, sizeof(blocks));
    for (unsigned i = 0; i < TURNS; i++) {
        turn(heap);
        wrong = i % 256 == 0 ? heap_validate(heap) : NULL;
        if (wrong)
            fail(wrong);
    }
    if (heap_alloc(heap, 97 * MIB))
        fail("more than the limit");
    if (heap_statistics(heap).used < MIB)
        fail("the statistics say that nothing is used");
    heap_destroy(heap);
    printf("%s: %s\n", name, free_memory() + 256 * 1024 >= before ? "all is given back" : "memory is lost");
}

int main(void)
{
    struct heap *heap = heap_create(&vm_heap, 0, 0);

    printf("%s\n", IS_ERR(heap_create(&vm_image, 0, 0)) ? "no heap on what cannot allocate" : "a heap on the image");
    heap_destroy(heap); /* the tables and segments' structures are there now */
    use("warm", &vm_heap, 0);
    use("warm, with many segments", &vm_anon, VM_PAGES_4K); /* structures and slots are kept for the next ones */
    use("map of RAM", &vm_heap, 0);
    use("anon, 4 KiB", &vm_anon, VM_PAGES_4K);
    use("anon, 2 MiB", &vm_anon, VM_PAGES_2M);
    use("map of RAM again", &vm_heap, 0);
    return 0;
}
