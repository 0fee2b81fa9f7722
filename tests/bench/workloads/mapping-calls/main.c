/*
 * What mappings cost, by size: made and removed, protected, moved, grown, emptied. Pages are of the size that the
 * system chooses, but for the rows of mprotect and of mremap on memory that was touched: they ask for small pages, of
 * which there is one for each 4 KiB to be changed.
 *
 * On Linux what a mapping costs depends on those that there are, for they are kept in a tree of nodes of up to 16: with
 * the few of this program it is near the least (10,600 instructions for the first row; 16,600 with two mappings more).
 *
 * The rows of vm_alloc are the same on the VM core's own interface, without a system call: only where it is part of the
 * program (its names are weak references, which nothing defines on Linux).
 */
#include <sys/mman.h>

#include "tests/bench/bench.h"
#include "vm/vm.h"

#pragma weak vm_space
#pragma weak vm_anon
#pragma weak vm_alloc
#pragma weak vm_free

#define KIB_4 (4 * BENCH_KIB)
#define KIB_64 (64 * BENCH_KIB)
#define MIB_1 BENCH_MIB
#define MIB_2 (2 * BENCH_MIB)
#define MIB_64 (64 * BENCH_MIB)

static char *map(size_t size, int protection)
{
    void *memory = mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        bench_fail("no memory: mmap of %zu bytes was refused (%s)", size, strerror(errno));
    return memory;
}

static char *map_rw(size_t size)
{
    return map(size, PROT_READ | PROT_WRITE);
}

static void unmap(void *memory, size_t size)
{
    if (munmap(memory, size))
        bench_fail("munmap of %zu bytes: %s", size, strerror(errno));
}

/* EINVAL: a kernel that has no others. */
static void use_small_pages(void *memory, size_t size)
{
    if (madvise(memory, size, MADV_NOHUGEPAGE) && errno != EINVAL)
        bench_fail("madvise of %zu bytes: %s", size, strerror(errno));
}

static char *map_small_pages(size_t size)
{
    char *memory = map_rw(size);

    use_small_pages(memory, size);
    bench_touch(memory, size);
    return memory;
}

static void protect(void *memory, size_t size, int protection)
{
    if (mprotect(memory, size, protection))
        bench_fail("mprotect of %zu bytes: %s", size, strerror(errno));
}

static void map_unmap(const struct bench_row *row, struct bench_span *span)
{
    bench_begin(span);
    for (uint64_t i = 0; i < row->operations; i++)
        unmap(map_rw(row->size), row->size);
    bench_end(span);
}

static void map_touch_unmap(const struct bench_row *row, struct bench_span *span)
{
    bench_begin(span);
    for (uint64_t i = 0; i < row->operations; i++) {
        char *memory = map_rw(row->size);

        bench_touch(memory, row->size);
        unmap(memory, row->size);
    }
    bench_end(span);
}

static void unmap_touched(const struct bench_row *row, struct bench_span *span)
{
    for (uint64_t i = 0; i < row->operations; i++) {
        char *memory = map_rw(row->size);

        bench_touch(memory, row->size);
        bench_begin(span);
        unmap(memory, row->size);
        bench_end(span);
    }
}

static void protect_toggle(const struct bench_row *row, struct bench_span *span)
{
    char *memory = map_small_pages(row->size);

    bench_begin(span);
    for (uint64_t i = 0; i < row->operations; i++)
        protect(memory, row->size, i % 2 ? PROT_READ | PROT_WRITE : PROT_READ);
    bench_end(span);
    unmap(memory, row->size);
}

static void protect_touch(const struct bench_row *row, struct bench_span *span)
{
    char *memory = map_small_pages(row->size);

    bench_begin(span);
    for (uint64_t i = 0; i < row->operations; i++) {
        protect(memory, row->size, PROT_READ);
        protect(memory, row->size, PROT_READ | PROT_WRITE);
        bench_touch(memory, row->size);
    }
    bench_end(span);
    unmap(memory, row->size);
}

/* Cut in three, and one again: an operation is one of the two. */
static void protect_middle(const struct bench_row *row, struct bench_span *span)
{
    char *memory = map_small_pages(MIB_1), *page = memory + MIB_1 / 2;

    bench_begin(span);
    for (uint64_t i = 0; i < row->operations; i++)
        protect(page, row->size, i % 2 ? PROT_READ | PROT_WRITE : PROT_READ);
    bench_end(span);
    unmap(memory, MIB_1);
}

/* At `to` unless that is NULL. */
static char *remap(char *memory, size_t from, size_t size, int flags, char *to)
{
    char *moved = to ? mremap(memory, from, size, flags, to) : mremap(memory, from, size, flags);

    if (moved == MAP_FAILED)
        bench_fail("no memory: mremap to %zu bytes was refused (%s)", size, strerror(errno));
    return moved;
}

/*
 * Addresses of their own for a mapping: they begin at a multiple of 2 MiB, so that a figure does not depend on what was
 * mapped before, and are followed by as many that are free.
 */
static char *find_place(size_t size)
{
    size_t room = 2 * size + MIB_2;
    char *reserved = map(room, PROT_NONE);

    unmap(reserved, room);
    return reserved + (-(uintptr_t)reserved & (MIB_2 - 1));
}

static char *map_at(char *place, size_t size)
{
    char *memory = mmap(place, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

    if (memory != place)
        bench_fail("no memory: mmap of %zu bytes was refused (%s)", size, strerror(errno));
    return memory;
}

static void grow_shrink(const struct bench_row *row, struct bench_span *span)
{
    char *memory = map_at(find_place(row->size), row->size);

    bench_touch(memory, row->size);
    bench_begin(span);
    for (uint64_t i = 0; i < row->operations; i++) {
        remap(memory, row->size, 2 * row->size, 0, NULL);
        remap(memory, 2 * row->size, row->size, 0, NULL);
    }
    bench_end(span);
    bench_check(memory[0] == 1 && memory[row->size - BENCH_PAGE] == 1, "what was grown and shrunk");
    unmap(memory, row->size);
}

/* There and back, between places that do not touch. */
static void move(const struct bench_row *row, struct bench_span *span)
{
    char *first = find_place(2 * row->size + MIB_2), *second = first + row->size + MIB_2, *memory = first;

    second += -(uintptr_t)second & (MIB_2 - 1);
    map_at(first, row->size);
    use_small_pages(memory, row->size);
    bench_touch(memory, row->size);
    bench_begin(span);
    for (uint64_t i = 0; i < row->operations; i++)
        memory = remap(memory, row->size, row->size, MREMAP_MAYMOVE | MREMAP_FIXED, memory == first ? second : first);
    bench_end(span);
    bench_check(memory[0] == 1 && memory[row->size - BENCH_PAGE] == 1, "what was moved");
    unmap(memory, row->size);
}

/* What lies behind the mapping makes it move when it grows to twice its size. */
static void grow_move(const struct bench_row *row, struct bench_span *span)
{
    for (uint64_t i = 0; i < row->operations; i++) {
        char *memory = map_rw(row->size + BENCH_PAGE);

        protect(memory + row->size, BENCH_PAGE, PROT_NONE);
        bench_touch(memory, row->size);
        bench_begin(span);
        char *moved = remap(memory, row->size, 2 * row->size, MREMAP_MAYMOVE, NULL);

        bench_end(span);
        bench_check(moved != memory && moved[0] == 1 && moved[row->size - BENCH_PAGE] == 1, "what grew by moving");
        unmap(moved, 2 * row->size);
        unmap(memory + row->size, BENCH_PAGE);
    }
}

static void advise_touch(const struct bench_row *row, struct bench_span *span, int advice)
{
    char *memory = map_at(find_place(row->size), row->size);

    bench_touch(memory, row->size);
    bench_begin(span);
    for (uint64_t i = 0; i < row->operations; i++) {
        if (madvise(memory, row->size, advice))
            bench_fail("madvise of %zu bytes: %s", row->size, strerror(errno));
        bench_touch(memory, row->size);
    }
    bench_end(span);
    unmap(memory, row->size);
}

static void dontneed_touch(const struct bench_row *row, struct bench_span *span)
{
    advise_touch(row, span, MADV_DONTNEED);
}

static void free_touch(const struct bench_row *row, struct bench_span *span)
{
    advise_touch(row, span, MADV_FREE);
}

static void alloc_free(const struct bench_row *row, struct bench_span *span)
{
    bench_begin(span);
    for (uint64_t i = 0; i < row->operations; i++) {
        struct vm_segment *segment = vm_alloc(vm_space(), &vm_anon, VM_ANYWHERE, row->size, VM_RW);

        if (IS_ERR(segment))
            bench_fail("no memory: vm_alloc of %zu bytes was refused: error %d", row->size, ERR_OF(segment));
        vm_free(vm_space(), segment);
    }
    bench_end(span);
}

static const struct bench_row rows[] = {
    {"map_unmap", KIB_4, "mmap + munmap, untouched", map_unmap, 3000, 0},
    {"map_unmap", KIB_64, "mmap + munmap, untouched", map_unmap, 3000, 0},
    {"map_unmap", MIB_1, "mmap + munmap, untouched", map_unmap, 3000, 0},
    {"map_unmap", MIB_64, "mmap + munmap, untouched", map_unmap, 3000, 0},
    {"map_touch_unmap", KIB_4, "mmap + touch + munmap", map_touch_unmap, 2000, KIB_4},
    {"map_touch_unmap", KIB_64, "mmap + touch + munmap", map_touch_unmap, 200, KIB_64},
    {"map_touch_unmap", MIB_1, "mmap + touch + munmap", map_touch_unmap, 20, MIB_1},
    {"map_touch_unmap", MIB_64, "mmap + touch + munmap", map_touch_unmap, 2, MIB_64},
    {"unmap", KIB_4, "munmap of touched memory", unmap_touched, 200, 0},
    {"unmap", KIB_64, "munmap of touched memory", unmap_touched, 100, 0},
    {"unmap", MIB_1, "munmap of touched memory", unmap_touched, 20, 0},
    {"unmap", MIB_64, "munmap of touched memory", unmap_touched, 2, 0},
    {"protect", KIB_4, "mprotect, to read-only or back", protect_toggle, 1000, 0},
    {"protect", MIB_1, "mprotect, to read-only or back", protect_toggle, 200, 0},
    {"protect", MIB_64, "mprotect, to read-only or back", protect_toggle, 10, 0},
    {"protect_touch", KIB_4, "mprotect, to read-only and back, touch", protect_touch, 1000, 0},
    {"protect_touch", MIB_1, "mprotect, to read-only and back, touch", protect_touch, 20, 0},
    {"protect_touch", MIB_64, "mprotect, to read-only and back, touch", protect_touch, 1, 0},
    {"protect_middle", KIB_4, "mprotect of a page in the middle, or back", protect_middle, 3000, 0},
    {"grow_shrink", MIB_1, "mremap, grown and shrunk in place", grow_shrink, 1000, 0},
    {"grow_shrink", MIB_64, "mremap, grown and shrunk in place", grow_shrink, 1000, 0},
    {"move", MIB_1, "mremap, moved", move, 1000, 0},
    {"move", MIB_64, "mremap, moved", move, 100, 0},
    {"grow_move", MIB_1, "mremap, grown by moving", grow_move, 100, 0},
    {"grow_move", MIB_64, "mremap, grown by moving", grow_move, 2, 0},
    {"dontneed_touch", KIB_64, "MADV_DONTNEED + touch", dontneed_touch, 200, KIB_64},
    {"dontneed_touch", MIB_1, "MADV_DONTNEED + touch", dontneed_touch, 20, MIB_1},
    {"dontneed_touch", MIB_64, "MADV_DONTNEED + touch", dontneed_touch, 2, MIB_64},
    {"free_touch", KIB_64, "MADV_FREE + touch", free_touch, 200, 0},
    {"free_touch", MIB_1, "MADV_FREE + touch", free_touch, 20, 0},
    {"free_touch", MIB_64, "MADV_FREE + touch", free_touch, 2, 0},
};

static const struct bench_row core_rows[] = {
    {"alloc_free", KIB_4, "vm_alloc + vm_free, untouched", alloc_free, 1000, 0},
    {"alloc_free", KIB_64, "vm_alloc + vm_free, untouched", alloc_free, 1000, 0},
    {"alloc_free", MIB_1, "vm_alloc + vm_free, untouched", alloc_free, 1000, 0},
    {"alloc_free", MIB_64, "vm_alloc + vm_free, untouched", alloc_free, 1000, 0},
};

int main(int argc, char **argv)
{
    bench_no_arguments(argc, argv);
    bench_open();
    bench_run_all(rows, sizeof(rows) / sizeof(rows[0]));
    if (vm_alloc)
        bench_run_all(core_rows, sizeof(core_rows) / sizeof(core_rows[0]));
    return bench_close();
}
