/*
 * Faults and mappings of several threads at once: on mappings that each has made for itself, on some that main made for
 * them, on parts of one mapping, on the same pages. Pages are small: there is a fault for each 4 KiB.
 */
#include <sys/mman.h>

#include "tests/bench/parallel.h"

#define KIB_64 (64 * BENCH_KIB)
#define RW (PROT_READ | PROT_WRITE)

/* What threads work on: one region for all, or each its own. */
static char *regions[PARALLEL_MOST];
static size_t region_size;

static char *map(size_t size)
{
    void *memory = mmap(NULL, size, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        bench_fail("no memory: mmap of %zu bytes was refused (%s)", size, strerror(errno));
    return memory;
}

/* EINVAL: a kernel that has no others. */
static char *map_small_pages(size_t size)
{
    char *memory = map(size);

    if (madvise(memory, size, MADV_NOHUGEPAGE) && errno != EINVAL)
        bench_fail("madvise of %zu bytes: %s", size, strerror(errno));
    return memory;
}

static void unmap(void *memory, size_t size)
{
    if (munmap(memory, size))
        bench_fail("munmap of %zu bytes: %s", size, strerror(errno));
}

static size_t own_size(const struct parallel_row *row)
{
    return row->size ? row->size : row->operations * BENCH_PAGE;
}

static void map_own(const struct parallel_row *row, unsigned thread)
{
    regions[thread] = map_small_pages(own_size(row));
}

static void map_own_touched(const struct parallel_row *row, unsigned thread)
{
    map_own(row, thread);
    bench_touch(regions[thread], own_size(row));
}

static void unmap_own(const struct parallel_row *row, unsigned thread)
{
    unmap(regions[thread], own_size(row));
}

static void map_given(const struct parallel_row *row)
{
    for (unsigned i = 0; i < parallel_threads; i++)
        map_own(row, i);
}

static void map_one(const struct parallel_row *row)
{
    region_size = row->operations * parallel_threads * BENCH_PAGE;
    regions[0] = map_small_pages(region_size);
}

static void map_one_for_all(const struct parallel_row *row)
{
    region_size = row->operations * BENCH_PAGE;
    regions[0] = map_small_pages(region_size);
}

/* Each thread has left its number in each page that it was to touch. */
static uint64_t stamp(unsigned thread, uint64_t page)
{
    return (uint64_t)(thread + 1) << 32 | page;
}

static void write_stamp(char *region, uint64_t page, unsigned word, unsigned thread)
{
    volatile uint64_t *words = (volatile uint64_t *)(region + page * BENCH_PAGE);

    words[word] = stamp(thread, page);
}

static void check_stamp(const char *region, uint64_t page, unsigned word, unsigned thread)
{
    const uint64_t *words = (const uint64_t *)(region + page * BENCH_PAGE);

    if (words[word] != stamp(thread, page) || words[511] != 0)
        bench_fail("a page is wrong: page %llu of thread %u", (unsigned long long)page, thread);
}

/* ---- faults ---- */

static void fault_own(const struct parallel_row *row, unsigned thread)
{
    for (uint64_t i = 0; i < row->operations; i++)
        write_stamp(regions[thread], i, 0, thread);
}

static void finish_own(const struct parallel_row *row, unsigned thread)
{
    for (uint64_t i = 0; i < row->operations; i++)
        check_stamp(regions[thread], i, 0, thread);
    unmap_own(row, thread);
}

/* A thread's part of one region. */
static void fault_part(const struct parallel_row *row, unsigned thread)
{
    for (uint64_t i = 0; i < row->operations; i++)
        write_stamp(regions[0], thread * row->operations + i, 0, thread);
}

static void finish_part(const struct parallel_row *row)
{
    for (unsigned thread = 0; thread < parallel_threads; thread++)
        for (uint64_t i = 0; i < row->operations; i++)
            check_stamp(regions[0], thread * row->operations + i, 0, thread);
    unmap(regions[0], region_size);
}

/* Every so-manyth page of one region: neighbours are of other threads. */
static void fault_between(const struct parallel_row *row, unsigned thread)
{
    for (uint64_t i = 0; i < row->operations; i++)
        write_stamp(regions[0], i * parallel_threads + thread, 0, thread);
}

static void finish_between(const struct parallel_row *row)
{
    for (unsigned thread = 0; thread < parallel_threads; thread++)
        for (uint64_t i = 0; i < row->operations; i++)
            check_stamp(regions[0], i * parallel_threads + thread, 0, thread);
    unmap(regions[0], region_size);
}

/* The same pages by all, each its own line of them. */
static void fault_same(const struct parallel_row *row, unsigned thread)
{
    for (uint64_t i = 0; i < row->operations; i++)
        write_stamp(regions[0], i, thread * 7, thread);
}

static void finish_same(const struct parallel_row *row)
{
    for (unsigned thread = 0; thread < parallel_threads; thread++)
        for (uint64_t i = 0; i < row->operations; i++)
            check_stamp(regions[0], i, thread * 7, thread);
    unmap(regions[0], region_size);
}

/* ---- mappings ---- */

static void map_unmap(const struct parallel_row *row, unsigned thread)
{
    (void)thread;
    for (uint64_t i = 0; i < row->operations; i++)
        unmap(map(row->size), row->size);
}

static void map_touch_unmap(const struct parallel_row *row, unsigned thread)
{
    for (uint64_t i = 0; i < row->operations; i++) {
        char *memory = map_small_pages(row->size);

        for (uint64_t page = 0; page < row->size / BENCH_PAGE; page++)
            write_stamp(memory, page, 0, thread);
        check_stamp(memory, row->size / BENCH_PAGE - 1, 0, thread);
        unmap(memory, row->size);
    }
}

static void protect(const struct parallel_row *row, unsigned thread)
{
    for (uint64_t i = 0; i < row->operations; i++)
        if (mprotect(regions[thread], row->size, i % 2 ? RW : PROT_READ))
            bench_fail("mprotect of %zu bytes: %s", row->size, strerror(errno));
}

static void discard(const struct parallel_row *row, unsigned thread)
{
    char *memory = regions[thread];

    for (uint64_t i = 0; i < row->operations; i++) {
        if (madvise(memory, row->size, MADV_DONTNEED))
            bench_fail("madvise of %zu bytes: %s", row->size, strerror(errno));
        bench_check(*(volatile char *)memory == 0, "discarded memory");
        bench_touch(memory, row->size);
    }
}

static const struct parallel_row rows[] = {
    {"faults_own", 0, "first touch, own mappings", 12000, NULL, fault_own, NULL, map_own, finish_own},
    {"faults_given", 0, "first touch, mappings that main made", 12000, map_given, fault_own, NULL, NULL, finish_own},
    {"faults_part", 0, "first touch, parts of one mapping", 12000, map_one, fault_part, finish_part, NULL, NULL},
    {"faults_between", 0, "first touch, pages in turn", 12000, map_one, fault_between, finish_between, NULL, NULL},
    {"faults_same", 0, "first touch, the same pages", 12000, map_one_for_all, fault_same, finish_same, NULL, NULL},
    {"map_unmap", KIB_64, "mmap + munmap", 30000, NULL, map_unmap, NULL, NULL, NULL},
    {"map_touch_unmap", KIB_64, "mmap + touch + munmap", 4000, NULL, map_touch_unmap, NULL, NULL, NULL, 4096},
    {"protect", KIB_64, "mprotect of own memory", 10000, NULL, protect, NULL, map_own_touched, unmap_own, 2048},
    {"discard", KIB_64, "MADV_DONTNEED + touch", 2000, NULL, discard, NULL, map_own_touched, unmap_own, 1024},
};

int main(int argc, char **argv)
{
    return parallel_main(argc, argv, rows, sizeof(rows) / sizeof(*rows));
}
