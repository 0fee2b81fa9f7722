/*
 * Fragmentation: after a day in miniature (tests/bench/heap/day.h) the heap holds little more than what is alive, and
 * what it gave back is in pieces of 2 MiB. The arguments are the number of operations, in thousands, and a seed.
 */
#include "tests/bench/heap/day.h"
#include "vm/heap.h"

#define MOST_PERCENT 118u

static size_t whole_2m(void)
{
    size_t count = 0;

    for (struct vm_segment *segment; count < 1000; count++) {
        segment = vm_alloc(vm_space(), &vm_heap, VM_ANYWHERE, 2 * DAY_MIB, VM_RW | VM_NOZERO);
        if (IS_ERR(segment) || vm_start(segment) < (vaddr_t)1 << 63)
            break;
    }
    return count;
}

int main(int argc, char **argv)
{
    uint64_t length = (argc > 1 ? strtoul(argv[1], NULL, 10) : 1000) * 1000;
    struct heap_statistics heap;
    size_t percent;

    day_begin(length, argc > 2 ? strtoul(argv[2], NULL, 10) : 0);
    day_until(length);
    heap = heap_statistics(heap_program());
    percent = (heap.held + heap.structures) * 100 / day.live;
    printf("live %zu KiB, held %zu KiB, structures %zu KiB: %zu percent\n", day.live >> 10, heap.held >> 10,
           heap.structures >> 10, percent);
    printf("%s\n", heap_validate(NULL) ? heap_validate(NULL) : "the heap is whole");
    printf("%zu pieces of 2 MiB\n", whole_2m());
    if (percent > MOST_PERCENT)
        printf("too much is held: more than %u percent\n", MOST_PERCENT);
    return percent > MOST_PERCENT;
}
