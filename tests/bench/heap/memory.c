/*
 * The heap's memory on Linux (vm/heap/memory.h): runs from a range that is reserved once, as the map of RAM is there
 * from the start; large blocks are mappings, grown by mremap. Pages that are put stay with the process, as they would
 * with the frame allocator, as long as it has no more of them than the heap ever had, and some to spare; then the
 * kernel gets them back, so that the peak of resident memory is that of what the heap holds. Their size is the kernel's
 * choice, as for the others.
 */
#define _GNU_SOURCE
#include "vm/heap/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/assert.h"

#define SPARE ((size_t)1 << 20) /* bytes of pages that were put, in any case */
#define BLOCKS_MAX 65536u       /* large ones at once */
#define GROWTH 4u
#define WINDOW_PART 8u                  /* of a block that grows this part is backed in advance, */
#define WINDOW_LEAST ((size_t)64 << 10) /* but so much, as in an image */

#define PAGES (PHYSMAP_SIZE / VM_PAGE_SIZE)

/* A bit for each page of the range that is out, and for each that was put and that the kernel does not know of yet. */
static uint64_t out[PAGES / 64], dirty[PAGES / 64];
static size_t pages_out, pages_out_most, pages_dirty;
static size_t pages_used, lowest; /* from the start of the range; no page below is free */

/* Without malloc, which may be what is failing. */
void panic(const char *format, ...)
{
    char text[256];
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(text, sizeof(text), format, arguments);

    va_end(arguments);
    if (write(STDERR_FILENO, text, (size_t)length) == length)
        (void)!write(STDERR_FILENO, "\n", 1);
    abort();
}

static void *map(uintptr_t at, size_t size)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (at ? MAP_FIXED_NOREPLACE : 0);
    void *memory = mmap((void *)at, size, PROT_READ | PROT_WRITE, flags, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

bool heap_tables_make(void)
{
    static bool made;

    if (made)
        return true;
    made = map(HEAP_CLASS_TABLE, HEAP_CLASS_TABLE_SIZE) && map(HEAP_SPAN_TABLE, HEAP_SPAN_TABLE_SIZE) &&
           map(PHYSMAP_BASE, PHYSMAP_SIZE);
    return made;
}

size_t heap_ram(void)
{
    return (size_t)2 << 30; /* that of the images it is compared with */
}

bool heap_has_memory(size_t size)
{
    (void)size;
    return true;
}

static void mark(uint64_t *bits, size_t first, size_t count, bool value)
{
    for (size_t page = first; page < first + count; page++) {
        if (value)
            bits[page / 64] |= 1ull << page % 64;
        else
            bits[page / 64] &= ~(1ull << page % 64);
    }
}

/* True if none of the pages of an aligned run is out. */
static bool is_free(size_t first, size_t count)
{
    if (count < 64)
        return !(out[first / 64] >> first % 64 & ((1ull << count) - 1));
    for (size_t word = first / 64; word < (first + count) / 64; word++) {
        if (out[word])
            return false;
    }
    return true;
}

static void forget_dirty(void)
{
    for (size_t first = 0, end; first < pages_used; first = end + 1) {
        for (end = first; end < pages_used && (dirty[end / 64] >> end % 64 & 1); end++)
            ;
        if (end > first)
            madvise((void *)(PHYSMAP_BASE + first * VM_PAGE_SIZE), (end - first) * VM_PAGE_SIZE, MADV_DONTNEED);
    }
    memset(dirty, 0, (pages_used + 63) / 64 * 8);
    pages_dirty = 0;
}

static void run_is_out(size_t first, size_t count)
{
    mark(out, first, count, true);
    if (first + count > pages_used)
        pages_used = first + count;
    for (size_t page = first; page < first + count; page++)
        pages_dirty -= dirty[page / 64] >> page % 64 & 1;
    mark(dirty, first, count, false);
    pages_out += count;
    if (pages_out > pages_out_most)
        pages_out_most = pages_out;
    if (pages_out + pages_dirty > pages_out_most && pages_dirty * VM_PAGE_SIZE > SPARE)
        forget_dirty();
}

/* The lowest one that is free, as the frame allocator of an image does. */
uintptr_t heap_run_get(const struct vm_segment_driver *driver, size_t size, vm_flags_t pages)
{
    size_t count = size / VM_PAGE_SIZE, first = (lowest + count - 1) & ~(count - 1);

    (void)driver, (void)pages;
    while (first < PAGES && !is_free(first, count))
        first += count;
    if (first == PAGES)
        return 0;
    run_is_out(first, count);
    if (count == 1)
        lowest = first + 1;
    return PHYSMAP_BASE + first * VM_PAGE_SIZE;
}

bool heap_run_take(uintptr_t run, size_t size)
{
    size_t first = (run - PHYSMAP_BASE) / VM_PAGE_SIZE, count = size / VM_PAGE_SIZE;

    for (size_t page = first; page < first + count; page++) {
        if (!is_free(page, 1))
            return false;
    }
    run_is_out(first, count);
    return true;
}

bool heap_run_put(uintptr_t run, size_t size)
{
    size_t first = (run - PHYSMAP_BASE) / VM_PAGE_SIZE, count = size / VM_PAGE_SIZE;

    if (first < lowest)
        lowest = first;
    mark(out, first, count, false);
    mark(dirty, first, count, true);
    pages_out -= count;
    pages_dirty += count;
    return true;
}

/* As in an image from where runs come from. */
void *heap_page_get(void)
{
    return (void *)heap_run_get(NULL, VM_PAGE_SIZE, 0);
}

void heap_page_put(void *page)
{
    heap_run_put((uintptr_t)page, VM_PAGE_SIZE);
}

/* ---- large blocks: a hash table of what there is ---- */

static struct {
    uintptr_t block;
    size_t size, asked; /* asked: what the program knows, 0 of a new one that grows */
} blocks[BLOCKS_MAX];

static size_t place_of(uintptr_t block)
{
    return (block >> 12) * 0x9e3779b97f4a7c15u >> 48;
}

/* Where the block is, or (0) where it may go. */
static size_t find(uintptr_t block, uintptr_t wanted)
{
    size_t at = place_of(block);

    while (blocks[at].block && blocks[at].block != wanted)
        at = (at + 1) % BLOCKS_MAX;
    return at;
}

static void enter(uintptr_t block, size_t size, size_t asked)
{
    size_t at = find(block, block);

    blocks[at].block = block;
    blocks[at].size = size;
    blocks[at].asked = asked;
}

/* What follows without a gap may belong where the hole is now. */
static void leave(size_t hole)
{
    for (size_t at = (hole + 1) % BLOCKS_MAX; blocks[at].block; at = (at + 1) % BLOCKS_MAX) {
        size_t home = place_of(blocks[at].block);

        if ((at - home) % BLOCKS_MAX < (at - hole) % BLOCKS_MAX)
            continue;
        blocks[hole] = blocks[at];
        hole = at;
    }
    blocks[hole].block = 0;
}

static uintptr_t map_block(size_t size, size_t asked)
{
    uintptr_t block = (uintptr_t)map(0, size);

    if (block)
        enter(block, size, asked);
    return block;
}

uintptr_t heap_large_get(const struct vm_segment_driver *driver, size_t size, vm_flags_t pages, bool zero)
{
    (void)driver, (void)pages, (void)zero;
    return map_block(size, size);
}

size_t heap_large_size(const struct vm_segment_driver *driver, uintptr_t block)
{
    size_t at = find(block, block);

    (void)driver;
    return blocks[at].block ? blocks[at].size : 0;
}

bool heap_large_put(const struct vm_segment_driver *driver, uintptr_t block)
{
    size_t at = find(block, block);

    (void)driver;
    if (!blocks[at].block)
        return false;
    munmap((void *)block, blocks[at].size);
    leave(at);
    return true;
}

static size_t page_up(size_t size)
{
    return (size + VM_PAGE_SIZE - 1) & ~(VM_PAGE_SIZE - 1);
}

/* Of a block that grows. */
static size_t capacity(size_t size)
{
    return page_up(size + size / GROWTH);
}

static uintptr_t remap(uintptr_t block, size_t size, int flags)
{
    size_t at = find(block, block), asked = blocks[at].asked;
    void *moved = mremap((void *)block, blocks[at].size, size, flags);

    if (moved == MAP_FAILED)
        return 0;
    leave(at);
    enter((uintptr_t)moved, size, asked < size ? asked : size);
    return (uintptr_t)moved;
}

bool heap_large_resize(uintptr_t block, size_t size)
{
    return remap(block, size, 0) != 0;
}

/*
 * To an image the first touch tells that a window is to be backed, and a fault costs it little. Here it is the growth
 * that tells, and the window is what one call of the kernel's backs, never beyond the size that was asked for.
 */
static void back_ahead(uintptr_t block, size_t size)
{
    size_t *asked = &blocks[find(block, block)].asked, from = page_up(*asked), end = page_up(size);
    size_t window = page_up(size / WINDOW_PART);

    if (window < WINDOW_LEAST)
        window = WINDOW_LEAST;
    if (*asked == 0)
        window += WINDOW_LEAST; /* what is copied to it */
    if (end > from)
        madvise((void *)(block + from), end - from < window ? end - from : window, MADV_POPULATE_WRITE);
    *asked = size;
}

uintptr_t heap_large_get_growing(size_t size)
{
    uintptr_t block = map_block(capacity(size), 0);

    if (block)
        back_ahead(block, size);
    return block;
}

static bool fits(uintptr_t block, size_t size)
{
    size_t have = heap_large_size(NULL, block);

    return size <= have && capacity(size) >= have;
}

void *heap_large_fits(void *block, size_t size, heap_finish *finish,
                      void *(*otherwise)(void *block, size_t size, heap_finish *finish))
{
    if (!fits((uintptr_t)block, size))
        return otherwise(block, size, finish);
    back_ahead((uintptr_t)block, size);
    return block;
}

uintptr_t heap_large_realloc(uintptr_t block, size_t size)
{
    if (fits(block, size))
        return block;
    if (size <= heap_large_size(NULL, block))
        return remap(block, size, MREMAP_MAYMOVE);
    block = remap(block, capacity(size), MREMAP_MAYMOVE);
    if (block)
        back_ahead(block, size);
    return block;
}

/* Nothing is kept. */
bool heap_memory_enter(void)
{
    return true;
}

void heap_memory_leave(void)
{
}

void heap_large_trim(void)
{
}

void heap_large_make_room(size_t size)
{
    (void)size;
}

void heap_copy(uintptr_t to, uintptr_t from, size_t size)
{
    memcpy((void *)to, (const void *)from, size);
}

const struct vm_segment_driver heap_large_driver, vm_heap;
void (*frames_reclaim)(void); /* nobody asks here */
