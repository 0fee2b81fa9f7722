#include "refusals.h"

#include <stdio.h>

#include "vm/vm.h"

#define DEVICE 0xfed00000u /* where nothing is wrong: the HPET's page */

static const struct {
    const char *what;
    paddr_t start;
    size_t size;
    vm_flags_t flags;
    error_t error;
} windows[] = {
    {"over RAM", 0x1000000, VM_PAGE_SIZE, VM_RW | VM_CACHE_UC, E_BUSY},
    {"that begins in a hole and ends in RAM", 0xff000, 0x2000000, VM_RW | VM_CACHE_UC, E_BUSY},
    {"beyond the physical addresses", (paddr_t)1 << 52, VM_PAGE_SIZE, VM_RW | VM_CACHE_UC, E_RANGE},
    {"across the end of the physical addresses", ((paddr_t)1 << 52) - VM_PAGE_SIZE, 2 * VM_PAGE_SIZE, VM_READ, E_RANGE},
    {"at an address that is not a page's", DEVICE + 0x800, VM_PAGE_SIZE, VM_RW | VM_CACHE_UC, E_INVAL},
    {"of half a page", DEVICE, VM_PAGE_SIZE / 2, VM_RW | VM_CACHE_UC, E_INVAL},
    {"of no size", DEVICE, 0, VM_RW | VM_CACHE_UC, E_INVAL},
    {"that wraps around", ~(paddr_t)VM_PAGE_MASK, 2 * VM_PAGE_SIZE, VM_RW | VM_CACHE_UC, E_INVAL},
    {"that can be written but not read", DEVICE, VM_PAGE_SIZE, VM_WRITE | VM_CACHE_UC, E_INVAL},
    {"with flags that are none", DEVICE, VM_PAGE_SIZE, VM_READ | 1u << 31, E_INVAL},
};

unsigned refusals_check(void)
{
    unsigned wrong = 0;

    for (size_t i = 0; i < ARRAY_LENGTH(windows); i++) {
        struct vm_segment *window =
            vm_alloc_at(vm_space(), &vm_phys, windows[i].start, windows[i].size, windows[i].flags);
        error_t error = ERR_OF(window);

        printf("a window %s (%#llx, %#zx bytes): %s\n", windows[i].what, (unsigned long long)windows[i].start,
               windows[i].size, error ? error_name(error) : "not refused");
        if (!error)
            vm_free(vm_space(), window);
        if (error != windows[i].error) {
            printf("WRONG: it has to be %s\n", error_name(windows[i].error));
            wrong++;
        }
    }
    return wrong;
}
