/*
 * Keeps memory of every kind, prints where it is and what the core counts, and calls here(): what the debugger shows
 * there has to agree (tests/images/test_gdb.py). Lines: a name and numbers.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>

#include "vm/driver.h"
#include "vm/heap.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define WINDOW 0xfd000000u    /* neither RAM nor a device */
#define SCATTERED 0x20000000u /* an address of our choice is never a span's */
#define MARK 0x6b726f77206f6e21u

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

static volatile char *make(const char *name, const struct vm_segment_driver *driver, vaddr_t at, size_t size,
                           vm_flags_t flags)
{
    struct vm_segment *segment = driver == &vm_phys ? vm_alloc_at(vm_space(), driver, at, size, flags)
                                                    : vm_alloc(vm_space(), driver, at, size, flags);

    if (IS_ERR(segment)) {
        printf("WRONG: %s: %s\n", name, error_name(ERR_OF(segment)));
        return NULL;
    }
    printf("%s 0x%lx\n", name, (unsigned long)vm_start(segment));
    return (volatile char *)vm_start(segment);
}

static void make_all(void)
{
    volatile char *small = make("small", &vm_anon, VM_ANYWHERE, 8 * MIB, VM_RW | VM_PAGES_4K);
    volatile char *large = make("large", &vm_anon, VM_ANYWHERE, 4 * MIB, VM_RW | VM_PAGES_2M);
    volatile char *kept = make("kept", &vm_anon, VM_ANYWHERE, 4 * KIB, VM_RW);
    volatile char *gone = make("gone", &vm_anon, VM_ANYWHERE, 8 * KIB, VM_RW | VM_PAGES_4K);
    volatile char *mine;
    char *lent;

    *(volatile uint64_t *)(small + 5 * VM_PAGE_SIZE + 0x120) = MARK;
    small[0] = small[3 * VM_PAGE_SIZE] = 1;
    *(volatile uint64_t *)(large + 2 * MIB + 0x120) = MARK;
    kept[0] = gone[0] = gone[VM_PAGE_SIZE] = 1;
    vm_protect(vm_space(), (vaddr_t)kept, VM_PAGE_SIZE, 0);
    vm_free(vm_space(), vm_find(vm_space(), (vaddr_t)gone)); /* its faults still count */
    make("window", &vm_phys, WINDOW, 64 * KIB, VM_RW | VM_CACHE_WC);
    make("scattered", &vm_heap, SCATTERED, 64 * KIB, VM_RW | VM_PAGES_4K | VM_POPULATE);
    printf("span 0x%lx\n", (unsigned long)vm_span_alloc(64 * KIB));
    printf("span_large 0x%lx\n", (unsigned long)vm_span_alloc(2 * MIB));
    lent = mmap(NULL, VM_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, open("/data", O_RDONLY), 0);
    printf("lent 0x%lx %d\n", (unsigned long)lent, *(volatile char *)lent);
    vm_driver_register(&own);
    mine = make("own", &own, VM_ANYWHERE, 64 * KIB, VM_RW);
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
    make_all();
    print_counts();
    print_counts(); /* printing may have touched memory; now it has not */
    here();
    return 0;
}
