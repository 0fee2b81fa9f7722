/*
 * Keeps memory of every kind, prints what the core counts of it, and calls here(): what the debugger shows there has to
 * agree (tests/images/test_gdb.py).
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>

#include "vm/driver.h"
#include "vm/heap.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define WINDOW 0xfd000000u    /* neither RAM nor a device */
#define SCATTERED 0x20000000u /* an address of our choice is never a span's */
#define MARK 0x6b726f77206f6e21u

/* For the debugger's expressions. */
struct {
    vaddr_t small, large, kept, gone, window, scattered, span, span_large, lent, own;
} places;

static const struct vm_segment_driver own;

__attribute__((noinline)) void in_fault(void)
{
    __asm__ volatile("");
}

__attribute__((noinline)) void here(void)
{
    __asm__ volatile("");
}

static error_t own_fault(struct address_space *space, struct vm_segment *segment)
{
    in_fault();
    return vm_segment_back(space, segment, vm_fault_info()->address);
}

static struct vm_segment *own_alloc(struct address_space *space, vaddr_t start, size_t size, vm_flags_t flags)
{
    return vm_segment_create(space, &own, start, size, flags);
}

static const struct vm_segment_driver own = {
    .vm_alloc = own_alloc,
    .vm_free = vm_segment_free_owned,
    .vm_fault = own_fault,
    .name = "own",
};

static volatile char *make(const struct vm_segment_driver *driver, vaddr_t at, size_t size, vm_flags_t flags,
                           vaddr_t *place)
{
    struct vm_segment *segment = driver == &vm_phys ? vm_alloc_at(vm_space(), driver, at, size, flags)
                                                    : vm_alloc(vm_space(), driver, at, size, flags);

    if (IS_ERR(segment)) {
        printf("WRONG: %s: %s\n", driver->name, error_name(ERR_OF(segment)));
        exit(1);
    }
    *place = vm_start(segment);
    return (volatile char *)*place;
}

static void make_touched(void)
{
    volatile char *small = make(&vm_anon, VM_ANYWHERE, 8 * MIB, VM_RW | VM_PAGES_4K, &places.small);
    volatile char *large = make(&vm_anon, VM_ANYWHERE, 4 * MIB, VM_RW | VM_PAGES_2M, &places.large);
    volatile char *kept = make(&vm_anon, VM_ANYWHERE, 4 * KIB, VM_RW, &places.kept);
    volatile char *gone = make(&vm_anon, VM_ANYWHERE, 8 * KIB, VM_RW | VM_PAGES_4K, &places.gone);

    *(volatile uint64_t *)(small + 5 * VM_PAGE_SIZE + 0x120) = MARK;
    small[0] = small[3 * VM_PAGE_SIZE] = 1;
    *(volatile uint64_t *)(large + 2 * MIB + 0x120) = MARK;
    kept[0] = gone[0] = gone[VM_PAGE_SIZE] = 1;
    vm_protect(vm_space(), places.kept, VM_PAGE_SIZE, 0);
    vm_free(vm_space(), vm_find(vm_space(), places.gone)); /* its faults still count */
}

static void make_others(void)
{
    volatile char *mine;

    make(&vm_phys, WINDOW, 64 * KIB, VM_RW | VM_CACHE_WC, &places.window);
    make(&vm_heap, SCATTERED, 64 * KIB, VM_RW | VM_PAGES_4K | VM_POPULATE, &places.scattered);
    places.span = (vaddr_t)vm_span_alloc(64 * KIB);
    places.span_large = (vaddr_t)vm_span_alloc(2 * MIB);
    places.lent = (vaddr_t)mmap(NULL, VM_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, open("/data", O_RDONLY), 0);
    (void)*(volatile char *)places.lent;
    vm_driver_register(&own);
    mine = make(&own, VM_ANYWHERE, 64 * KIB, VM_RW, &places.own);
    mine[0x1234] = 1;
}

static void print_counts(void)
{
    static const char *const names[] = {"anon", "heap", "phys", "stack", "image", "guard", "file", "own"};
    struct sysinfo info;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct vm_statistics s = vm_driver_statistics(vm_space(), vm_driver(names[i]));

        printf("counts %s %lu %lu %lu %lu %lu %lu %lu %lu %lu\n", names[i], s.segments, s.resident[0], s.resident[1],
               s.resident[2], s.faults[0], s.faults[1], s.faults[2], s.faults_refused, s.fallbacks);
    }
    sysinfo(&info);
    printf("free 0x%lx\n", info.freeram);
    fflush(stdout);
}

int main(void)
{
    make_touched();
    make_others();
    print_counts();
    print_counts(); /* printing may have touched memory; now it has not */
    here();
    return 0;
}
