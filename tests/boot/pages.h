/*
 * The same program for images that differ in their page policy: touches a large segment and returns whether the faults
 * were served with pages of the size wanted. Where the machine has no such page, the next smaller one is right.
 */
#include <stdio.h>

#include "vm/vm.h"

static int check_pages(enum page_size wanted, size_t size)
{
    static const char *const names[] = {"4K", "2M", "1G"};
    struct vm_segment *segment = vm_alloc(vm_space(), &vm_anon, VM_ANYWHERE, size, VM_RW);
    struct vm_statistics statistics;
    volatile char *memory;

    if (IS_ERR(segment)) {
        printf("no segment: %s\n", error_name(ERR_OF(segment)));
        return 1;
    }
    memory = (volatile char *)vm_start(segment);
    for (size_t i = 0; i < size; i += 64 << 10)
        memory[i] = 1;
    statistics = vm_segment_statistics(vm_space(), segment);
    for (int i = 0; i < PAGE_SIZES; i++)
        printf("%s: %zu resident, %llu faults\n", names[i], statistics.resident[i],
               (unsigned long long)statistics.faults[i]);
    vm_free(vm_space(), segment);
    return statistics.resident[wanted] > 0 ? 0 : 1;
}
