/*
 * Counts instructions by the time-stamp counter, which under `-icount shift=0` goes up by one with every instruction
 * (checked by tests/bench/limits.py with the first line). Prints a line for each operation: its name and the
 * instructions that one takes. Every figure is the median over some rounds, of a loop over the operation without what
 * the same loop takes without it.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "vm/driver.h"
#include "vm/heap.h"
#include "vm/malloc.h"
#include "vm/vm.h"

#define ROUNDS 9
#define LOOP 1000
#define CALIBRATION_LOOP 1000000u /* of two instructions each */
#define SMALL_PAGES 1024u
#define LARGE_PAGES 16u
#define SCATTERED 389u /* pages from one touch to the next, so that none is in order */
#define CLEAN_PAGES 128u
#define BATCH 512u
#define MIB ((size_t)1 << 20)

static struct address_space *space;

static uint64_t ticks(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

static void fail(const char *what)
{
    printf("micro: %s failed\n", what);
    exit(1);
}

static int compare(const void *first, const void *second)
{
    double a = *(const double *)first, b = *(const double *)second;

    return a < b ? -1 : a > b;
}

/* The median of what the function returns in ROUNDS calls, after one that does not count. */
static void report(const char *name, double (*round)(void))
{
    double results[ROUNDS];

    round();
    for (unsigned i = 0; i < ROUNDS; i++)
        results[i] = round();
    qsort(results, ROUNDS, sizeof(results[0]), compare);
    printf("%s %.3f\n", name, results[ROUNDS / 2]);
}

static double calibrate(void)
{
    uint64_t count = CALIBRATION_LOOP, start = ticks();

    __asm__ volatile("1: subq $1, %0\n jnz 1b" : "+r"(count));
    return (double)(ticks() - start) / (2.0 * CALIBRATION_LOOP);
}

static double empty_loop(unsigned count)
{
    uint64_t start = ticks();

    for (unsigned i = 0; i < count; i++)
        __asm__ volatile("");
    return (double)(ticks() - start);
}

static double null_call(void)
{
    uint64_t start = ticks();

    for (unsigned i = 0; i < LOOP; i++)
        getppid();
    return ((double)(ticks() - start) - empty_loop(LOOP)) / LOOP;
}

static double read_clock(void)
{
    struct timespec now;
    uint64_t start = ticks();

    for (unsigned i = 0; i < LOOP; i++)
        clock_gettime(CLOCK_MONOTONIC, &now);
    return ((double)(ticks() - start) - empty_loop(LOOP)) / LOOP;
}

/* All pages once: `stride` pages on each time and round, which comes to all of a power of two of them if it is odd. */
static double touch(struct vm_segment *segment, size_t page, unsigned stride)
{
    volatile char *bytes = (volatile char *)vm_start(segment);
    size_t offset = 0, step = stride * page, mask = vm_size(segment) - 1;
    uint64_t start = ticks();

    do
        bytes[offset] = 1;
    while ((offset = (offset + step) & mask) != 0);
    return (double)(ticks() - start);
}

/* Page faults on a fresh segment, page tables included; touching it again tells what the loop takes. */
static double fault(unsigned pages, enum page_size size, vm_flags_t flags, unsigned stride)
{
    struct vm_segment *segment =
        vm_alloc(space, &vm_anon, VM_ANYWHERE, (size_t)pages * page_bytes(size), VM_RW | flags);

    if (IS_ERR(segment))
        fail("allocating a segment");
    double cost = touch(segment, page_bytes(size), stride) - touch(segment, page_bytes(size), stride);

    if (vm_segment_statistics(space, segment).resident[size] != pages)
        fail("backing with pages of the wanted size");
    vm_free(space, segment);
    return cost / pages;
}

static double fault_small(void)
{
    return fault(SMALL_PAGES, PAGE_4K, VM_PAGES_4K, SCATTERED);
}

static double fault_small_unzeroed(void)
{
    return fault(SMALL_PAGES, PAGE_4K, VM_PAGES_4K | VM_NOZERO, SCATTERED);
}

static double fault_small_in_order(void)
{
    return fault(SMALL_PAGES, PAGE_4K, VM_PAGES_4K | VM_NOZERO, 1);
}

/* The usual fault: what most of many touches take, each timed by itself. Tables and refills of magazines are rarer. */
static double fault_small_usual(void)
{
    static double costs[SMALL_PAGES];
    struct vm_segment *segment =
        vm_alloc(space, &vm_anon, VM_ANYWHERE, SMALL_PAGES * VM_PAGE_SIZE, VM_RW | VM_PAGES_4K | VM_NOZERO);

    if (IS_ERR(segment))
        fail("allocating a segment");
    for (unsigned i = 0; i < SMALL_PAGES; i++) {
        volatile char *byte = (volatile char *)vm_start(segment) + (size_t)(i * SCATTERED % SMALL_PAGES) * VM_PAGE_SIZE;
        uint64_t start = ticks();

        *byte = 1;
        uint64_t end = ticks();

        *byte = 1;
        costs[i] = (double)(end - start) - (double)(ticks() - end);
    }
    vm_free(space, segment);
    qsort(costs, SMALL_PAGES, sizeof(costs[0]), compare);
    return costs[SMALL_PAGES / 2];
}

/* The same where frames are zeros already: an idle machine has cleaned them. As many as a magazine has. */
static double fault_small_clean(void)
{
    struct vm_segment *segment =
        vm_alloc(space, &vm_anon, VM_ANYWHERE, CLEAN_PAGES * VM_PAGE_SIZE, VM_RW | VM_PAGES_4K);

    if (IS_ERR(segment))
        fail("allocating a segment");
    *(volatile char *)(vm_start(segment)) = 1; /* makes the table */
    usleep(1000);
    uint64_t zeroed = vm_stats(space).zeroed;
    double cost = 0;

    for (unsigned i = 2; i < CLEAN_PAGES; i += 2) {
        volatile char *byte = (volatile char *)vm_start(segment) + i * VM_PAGE_SIZE;
        uint64_t start = ticks();

        *byte = 1;
        uint64_t end = ticks();

        *byte = 1;
        cost += (double)(end - start) - (double)(ticks() - end);
    }
    if (vm_stats(space).zeroed != zeroed)
        fail("finding clean frames");
    vm_free(space, segment);
    return cost / (CLEAN_PAGES / 2 - 1);
}

static double fault_large(void)
{
    return fault(LARGE_PAGES, PAGE_2M, VM_PAGES_2M, 1);
}

static double fault_large_unzeroed(void)
{
    return fault(LARGE_PAGES, PAGE_2M, VM_PAGES_2M | VM_NOZERO, 1);
}

static double alloc_free(void)
{
    uint64_t start = ticks();

    for (unsigned i = 0; i < LOOP; i++) {
        struct vm_segment *segment = vm_alloc(space, &vm_anon, VM_ANYWHERE, MIB, VM_RW);

        if (IS_ERR(segment))
            fail("vm_alloc");
        vm_free(space, segment);
    }
    return ((double)(ticks() - start) - empty_loop(LOOP)) / LOOP;
}

static double map_unmap(void)
{
    uint64_t start = ticks();

    for (unsigned i = 0; i < LOOP; i++) {
        void *memory = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (memory == MAP_FAILED)
            fail("mmap");
        munmap(memory, MIB);
    }
    return ((double)(ticks() - start) - empty_loop(LOOP)) / LOOP;
}

static void unprotect(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    mprotect(info->si_addr, VM_PAGE_SIZE, PROT_READ | PROT_WRITE);
}

/* A page is protected and written to; the handler of SIGSEGV takes the protection away. */
static double protect_fault(char *memory, char *page)
{
    struct sigaction action = {.sa_sigaction = unprotect, .sa_flags = SA_SIGINFO};
    uint64_t start;

    sigemptyset(&action.sa_mask);
    if (memory == MAP_FAILED || sigaction(SIGSEGV, &action, NULL))
        fail("setting a handler");
    *page = 1;
    start = ticks();
    for (unsigned i = 0; i < LOOP; i++) {
        mprotect(page, VM_PAGE_SIZE, PROT_READ);
        *(volatile char *)page = 1;
    }
    return ((double)(ticks() - start) - empty_loop(LOOP)) / LOOP;
}

static double protect_fault_alone(void)
{
    static char *page;

    if (page == NULL)
        page = mmap(NULL, VM_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return protect_fault(page, page);
}

static double protect_fault_inside(void)
{
    static char *memory;

    if (memory == NULL)
        memory = mmap(NULL, 16 * VM_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return protect_fault(memory, memory + 5 * VM_PAGE_SIZE);
}

static double map_unmap_small(void)
{
    uint64_t start = ticks();

    for (unsigned i = 0; i < LOOP; i++) {
        void *memory = mmap(NULL, MIB / 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (memory == MAP_FAILED)
            fail("mmap");
        munmap(memory, MIB / 16);
    }
    return ((double)(ticks() - start) - empty_loop(LOOP)) / LOOP;
}

/* One page of a mapping whose pages are there loses the right to write and gets it back: two cuts, then one again. */
static double protect_page(void)
{
    char *memory = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    for (size_t offset = 0; offset < MIB; offset += VM_PAGE_SIZE)
        memory[offset] = 1;
    uint64_t start = ticks();

    for (unsigned i = 0; i < LOOP; i++) {
        char *page = memory + (i % 254 + 1) * VM_PAGE_SIZE;

        if (mprotect(page, VM_PAGE_SIZE, PROT_READ) || mprotect(page, VM_PAGE_SIZE, PROT_READ | PROT_WRITE))
            fail("mprotect");
    }
    double cost = (double)(ticks() - start) - empty_loop(LOOP);

    munmap(memory, MIB);
    return cost / LOOP;
}

/* Not functions: each is its return. */
__attribute__((naked, noinline)) static void *no_malloc(size_t size __attribute__((unused)))
{
    __asm__("ret");
}

__attribute__((naked, noinline)) static void no_free(void *block __attribute__((unused)))
{
    __asm__("ret");
}

/* A block whose size and use the compiler does not see. */
static inline void *kept(void *block)
{
    __asm__ volatile("" : "+r"(block) : : "memory");
    return block;
}

__attribute__((noinline)) static double pairs(void *take(size_t), void give(void *))
{
    uint64_t start = ticks();

    for (unsigned i = 0; i < LOOP; i++)
        give(kept(take(64)));
    return (double)(ticks() - start) / LOOP;
}

/* What both functions execute, the returns included, and neither the calls nor their arguments. */
static double malloc_called(void)
{
    return pairs(malloc, free) - pairs(no_malloc, no_free) + 2;
}

static double malloc_inlined(void)
{
    uint64_t start = ticks();

    for (unsigned i = 0; i < LOOP; i++)
        free(kept(malloc(64)));
    return ((double)(ticks() - start) - empty_loop(LOOP)) / LOOP;
}

static double malloc_sized(void)
{
    uint64_t start = ticks();

    for (unsigned i = 0; i < LOOP; i++)
        heap_free_sized(kept(malloc(64)), 64);
    return ((double)(ticks() - start) - empty_loop(LOOP)) / LOOP;
}

static double span(void)
{
    uint64_t start = ticks();

    for (unsigned i = 0; i < LOOP; i++) {
        void *memory = vm_span_alloc(MIB / 16);

        if (!memory)
            fail("vm_span_alloc");
        vm_span_free(memory);
    }
    return ((double)(ticks() - start) - empty_loop(LOOP)) / LOOP;
}

static double frame(void)
{
    uint64_t start = ticks();

    for (unsigned i = 0; i < LOOP; i++)
        vm_frame_put(vm_frame_get());
    return ((double)(ticks() - start) - empty_loop(LOOP)) / LOOP;
}

static double frame_large(void)
{
    uint64_t start = ticks();

    for (unsigned i = 0; i < LOOP; i++)
        vm_frame_put_large(vm_frame_get_large());
    return ((double)(ticks() - start) - empty_loop(LOOP)) / LOOP;
}

static double frame_bulk(void)
{
    static paddr_t frames[BATCH];
    uint64_t start = ticks();

    vm_frames_put(frames, vm_frames_get(frames, BATCH));
    return (double)(ticks() - start) / BATCH;
}

/* Many at a time: more than a magazine holds. */
static double frame_batch(void)
{
    static paddr_t frames[BATCH];
    uint64_t start = ticks();

    for (unsigned i = 0; i < BATCH; i++)
        frames[i] = vm_frame_get();
    for (unsigned i = 0; i < BATCH; i++)
        vm_frame_put(frames[i]);
    return ((double)(ticks() - start) - 2 * empty_loop(BATCH)) / BATCH;
}

/* The copy that a read of 4 KiB has to make, the way the core makes it. */
static double copy_page(char *to, const char *from)
{
    uint64_t start = ticks();

    for (unsigned i = 0; i < LOOP; i++) {
        char *target = to;
        const char *source = from;
        size_t words = VM_PAGE_SIZE / 8;

        __asm__ volatile("rep movsq" : "+D"(target), "+S"(source), "+c"(words) : : "memory");
    }
    return (double)(ticks() - start);
}

static double rewind_file(int fd)
{
    uint64_t start = ticks();

    for (unsigned i = 0; i < LOOP; i++)
        lseek(fd, 0, SEEK_SET);
    return (double)(ticks() - start);
}

/* Without the copy; rewinding before each is taken off again. */
static double read_page(void)
{
    static char page[VM_PAGE_SIZE], other[VM_PAGE_SIZE];
    int fd = open("/main.c", O_RDONLY);
    uint64_t start = ticks();
    double cost;

    for (unsigned i = 0; i < LOOP; i++) {
        lseek(fd, 0, SEEK_SET);
        if (read(fd, page, sizeof(page)) != sizeof(page))
            fail("reading a packed file");
    }
    cost = (double)(ticks() - start);
    cost -= rewind_file(fd) + copy_page(other, page);
    close(fd);
    return cost / LOOP;
}

int main(void)
{
    space = vm_space();
    report("calibration", calibrate);
    report("null_call", null_call);
    report("clock_gettime", read_clock);
    report("fault_4k", fault_small);
    report("fault_4k_unzeroed", fault_small_unzeroed);
    report("fault_4k_usual", fault_small_usual);
    report("fault_4k_clean", fault_small_clean);
    report("fault_4k_in_order", fault_small_in_order);
    report("fault_2m", fault_large);
    report("fault_2m_unzeroed", fault_large_unzeroed);
    report("alloc_free", alloc_free);
    report("mmap_munmap", map_unmap);
    report("mmap_munmap_64k", map_unmap_small);
    report("protect_page", protect_page);
    report("protect_fault", protect_fault_alone);
    report("protect_fault_inside", protect_fault_inside);
    report("read_4k", read_page);
    report("malloc_called", malloc_called);
    report("malloc_inlined", malloc_inlined);
    report("malloc_sized", malloc_sized);
    report("span", span);
    report("frame", frame);
    report("frame_large", frame_large);
    report("frame_batch", frame_batch);
    report("frame_bulk", frame_bulk);
    return 0;
}
