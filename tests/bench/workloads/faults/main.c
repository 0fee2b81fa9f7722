/*
 * Page faults, by the size of the page that is wanted: MADV_NOHUGEPAGE and MADV_HUGEPAGE say it, and MAP_HUGETLB for
 * pages of 1 GiB, which exist on Linux only if they were reserved. What a mapping takes besides is not measured.
 *
 * A page of 2 MiB is touched in all its pages of 4 KiB: where there are no huge pages, the figure is what 2 MiB of
 * memory take all the same. Every mapping's contents are looked at before it goes: fresh memory is zero, and each write
 * arrived.
 */
#include <signal.h>
#include <sys/mman.h>

#include "driver.h"
#include "tests/bench/bench.h"

#define SMALL_PAGES 4096u
#define LARGE_PAGES 32u
#define POPULATED_PAGES 16384u
#define HANDLED_FAULTS 1000u
#define MIB_2 (2 * BENCH_MIB)
#ifndef MAP_HUGE_1GB
#define MAP_HUGE_1GB (30 << MAP_HUGE_SHIFT)
#endif

static uint32_t order[SMALL_PAGES]; /* which page is touched next */

static void *map(size_t size, int protection, int flags)
{
    void *memory = mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

    if (memory == MAP_FAILED)
        bench_fail("no memory: mmap of %zu bytes was refused (%s)", size, strerror(errno));
    return memory;
}

static void unmap(void *memory, size_t size)
{
    if (munmap(memory, size))
        bench_fail("munmap of %zu bytes: %s", size, strerror(errno));
}

/* Advice that a system without pages of another size refuses. */
static void advise(void *memory, size_t size, int advice)
{
    if (madvise(memory, size, advice) && errno != EINVAL)
        bench_fail("madvise of %zu bytes: %s", size, strerror(errno));
}

static void forward(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        order[i] = i;
}

static void shuffled(uint32_t count)
{
    uint64_t random = 0x9e3779b97f4a7c15;

    forward(count);
    bench_shuffle(order, count, &random);
}

/* Every page holds the 1 that was written to its first byte, and zeros. */
static void check_touched(const char *memory, size_t size)
{
    for (size_t page = 0; page < size; page += BENCH_PAGE)
        bench_check(memory[page] == 1 && memory[page + 1] == 0 && memory[page + BENCH_PAGE - 1] == 0, "a touched page");
}

static void touch_small(const struct bench_row *row, struct bench_span *span)
{
    size_t size = row->operations * BENCH_PAGE;
    char *memory = map(size, PROT_READ | PROT_WRITE, 0);

    advise(memory, size, MADV_NOHUGEPAGE);
    bench_begin(span);
    for (uint64_t i = 0; i < row->operations; i++)
        *(volatile char *)(memory + order[i] * BENCH_PAGE) = 1;
    bench_end(span);
    check_touched(memory, size);
    unmap(memory, size);
}

static void first_touch(const struct bench_row *row, struct bench_span *span)
{
    forward(SMALL_PAGES);
    touch_small(row, span);
}

static void first_touch_random(const struct bench_row *row, struct bench_span *span)
{
    shuffled(SMALL_PAGES);
    touch_small(row, span);
}

static void touch_large(const struct bench_row *row, struct bench_span *span)
{
    size_t size = row->operations * MIB_2;
    char *reserved = map(size + MIB_2, PROT_READ | PROT_WRITE, 0);
    char *memory = reserved + (-(uintptr_t)reserved & (MIB_2 - 1));

    advise(memory, size, MADV_HUGEPAGE);
    bench_begin(span);
    for (uint64_t i = 0; i < row->operations; i++)
        bench_touch(memory + order[i] * MIB_2, MIB_2);
    bench_end(span);
    check_touched(memory, size);
    unmap(reserved, size + MIB_2);
}

static void first_touch_large(const struct bench_row *row, struct bench_span *span)
{
    forward(LARGE_PAGES);
    touch_large(row, span);
}

static void first_touch_large_random(const struct bench_row *row, struct bench_span *span)
{
    shuffled(LARGE_PAGES);
    touch_large(row, span);
}

static void read_fault(const struct bench_row *row, struct bench_span *span)
{
    size_t size = row->operations * BENCH_PAGE;
    char *memory = map(size, PROT_READ | PROT_WRITE, 0);
    unsigned sum = 0;

    advise(memory, size, MADV_NOHUGEPAGE);
    bench_begin(span);
    for (size_t page = 0; page < size; page += BENCH_PAGE)
        sum |= *(volatile unsigned char *)(memory + page);
    bench_end(span);
    bench_check_number("fresh memory", sum, 0);
    unmap(memory, size);
}

static void populate(const struct bench_row *row, struct bench_span *span)
{
    size_t size = row->operations * BENCH_PAGE;

    bench_begin(span);
    char *memory = map(size, PROT_READ | PROT_WRITE, MAP_POPULATE);

    bench_end(span);
    bench_touch(memory, size);
    check_touched(memory, size);
    unmap(memory, size);
}

static unsigned handled;

static void take_protection_away(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    if (mprotect((void *)((uintptr_t)info->si_addr & ~(BENCH_PAGE - 1)), BENCH_PAGE, PROT_READ | PROT_WRITE))
        _exit(1);
    handled++;
}

static void protect_fault(const struct bench_row *row, struct bench_span *span)
{
    struct sigaction action = {.sa_sigaction = take_protection_away, .sa_flags = SA_SIGINFO}, before;
    char *page = map(BENCH_PAGE, PROT_READ | PROT_WRITE, 0);

    sigemptyset(&action.sa_mask);
    if (sigaction(SIGSEGV, &action, &before))
        bench_fail("sigaction: %s", strerror(errno));
    *page = 1;
    handled = 0;
    bench_begin(span);
    for (uint64_t i = 0; i < row->operations; i++) {
        mprotect(page, BENCH_PAGE, PROT_READ);
        *(volatile char *)page = 1;
    }
    bench_end(span);
    bench_check_number("the number of faults that were handled", handled, row->operations);
    sigaction(SIGSEGV, &before, NULL);
    unmap(page, BENCH_PAGE);
}

/* All of it is there after the first touch, or it was no page of 1 GiB. */
static void touch_gibibyte(void)
{
    const char *key = "first_touch/1073741824";
    struct bench_span span = {0};
    unsigned char resident = 0;
    char *memory =
        mmap(NULL, BENCH_GIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_1GB, -1, 0);

    if (memory == MAP_FAILED) {
        bench_left_out(key, "the system gives no mapping with a page of 1 GiB");
        return;
    }
    bench_begin(&span);
    *(volatile char *)memory = 1;
    bench_end(&span);
    if (mincore(memory + BENCH_GIB - BENCH_PAGE, BENCH_PAGE, &resident))
        bench_fail("mincore: %s", strerror(errno));
    if (resident & 1)
        bench_print(key, "first touch of a page of 1 GiB", 1, &span, BENCH_GIB);
    else
        bench_left_out(key, "memory has no free page of 1 GiB, and smaller ones took its place");
    unmap(memory, BENCH_GIB);
}

static const struct bench_row rows[] = {
    {"first_touch", BENCH_PAGE, "first touch, in order", first_touch, SMALL_PAGES, BENCH_PAGE},
    {"first_touch_random", BENCH_PAGE, "first touch, at random", first_touch_random, SMALL_PAGES, BENCH_PAGE},
    {"first_touch", MIB_2, "first touch of huge pages, in order", first_touch_large, LARGE_PAGES, MIB_2},
    {"first_touch_random", MIB_2, "first touch of huge pages, at random", first_touch_large_random, LARGE_PAGES, MIB_2},
    {"read_fault", BENCH_PAGE, "first touch by reading", read_fault, SMALL_PAGES, 0},
    {"populate", BENCH_PAGE, "MAP_POPULATE, a page", populate, POPULATED_PAGES, BENCH_PAGE},
    {"protect_fault", BENCH_PAGE, "mprotect, SIGSEGV, handler unprotects, return", protect_fault, HANDLED_FAULTS, 0},
};

int main(int argc, char **argv)
{
    bench_no_arguments(argc, argv);
    bench_open();
    bench_run_all(rows, sizeof(rows) / sizeof(rows[0]));
    touch_gibibyte();
    driver_fault();
    return bench_close();
}
