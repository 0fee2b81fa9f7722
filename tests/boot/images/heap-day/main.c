/*
 * A day of a program in miniature: what it keeps grows and shrinks, and the mix of sizes shifts all the time, so that
 * memory that held one has to hold another. In the end the heap holds little more than what is alive, and what it gave
 * back is in pieces of 2 MiB. The argument is the number of operations, in thousands.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "vm/heap.h"

#define SLOTS 400000u
#define MIB ((size_t)1 << 20)
#define PHASES 24u

static uint32_t *blocks[SLOTS];
static uint32_t sizes[SLOTS];
static uint64_t state = 0x9e3779b97f4a7c15;
static size_t live;

static uint32_t below(uint32_t limit)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)((state >> 32) * limit >> 32);
}

/* Sizes around a centre that goes up and down from phase to phase; one in a thousand is large. */
static uint32_t size_of(unsigned phase)
{
    uint32_t centre = 32u << (phase * 5 % 9);

    if (below(1000) == 0)
        return 30000 + below(300000);
    return centre / 2 + below(centre);
}

static void release(uint32_t slot)
{
    if (blocks[slot][0] != slot || blocks[slot][sizes[slot] / 4 - 1] != ~slot) {
        fprintf(stderr, "heap-day: a block does not hold what was written to it\n");
        exit(1);
    }
    free(blocks[slot]);
    blocks[slot] = NULL;
    live -= sizes[slot];
}

static void turn(unsigned phase, size_t wanted)
{
    uint32_t slot = below(SLOTS);

    if (blocks[slot] && (live > wanted || below(4) == 0)) {
        release(slot);
    } else if (!blocks[slot] && live <= wanted) {
        sizes[slot] = size_of(phase);
        blocks[slot] = malloc(sizes[slot]);
        if (!blocks[slot]) {
            fprintf(stderr, "heap-day: no memory with %zu MiB alive\n", live / MIB);
            exit(1);
        }
        blocks[slot][0] = slot;
        blocks[slot][sizes[slot] / 4 - 1] = ~slot;
        live += sizes[slot];
    }
}

static size_t whole_2m(void)
{
    size_t count = 0;

    for (struct vm_segment *segment; count < 1000; count++) {
        segment = vm_alloc(vm_space(), &vm_heap, VM_ANYWHERE, 2 * MIB, VM_RW | VM_NOZERO);
        if (IS_ERR(segment) || vm_start(segment) < (vaddr_t)1 << 63)
            break;
    }
    return count;
}

int main(int argc, char **argv)
{
    unsigned long turns = (argc > 1 ? strtoul(argv[1], NULL, 10) : 1000) * 1000;
    struct heap_statistics heap;

    for (unsigned phase = 0; phase < PHASES; phase++) {
        size_t wanted = (phase % 3 == 0 ? 40 : phase % 3 == 1 ? 100 : 64) * MIB;

        for (unsigned long i = 0; i < turns / PHASES; i++)
            turn(phase, wanted);
    }
    heap = heap_statistics(heap_program());
    printf("live %zu KiB, held %zu KiB, structures %zu KiB: %zu percent\n", live >> 10, heap.held >> 10,
           heap.structures >> 10, (heap.held + heap.structures) * 100 / live);
    printf("%s\n", (heap.held + heap.structures) * 100 / live <= 115 ? "little more is held than is alive"
                                                                     : "too much is held");
    printf("%zu pieces of 2 MiB\n", whole_2m());
    printf("%s\n", heap_validate(NULL) ? heap_validate(NULL) : "the heap is whole");
    return 0;
}
