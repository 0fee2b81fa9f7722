/* The tables of the heap (vm/heap/memory.h) as mappings of this process, and copying through the simulated CPU. */
#include <sys/mman.h>

#include "fake.h"
#include "vm/heap/memory.h"

static void map(uintptr_t start, size_t size)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;

    if (mmap((void *)start, size, PROT_READ | PROT_WRITE, flags, -1, 0) != (void *)start)
        fake_violation("no room for the tables of the heap");
}

/* Only addresses of the lower half are used. */
bool heap_tables_make(void)
{
    static bool made;

    if (!made) {
        map(HEAP_CLASS_TABLE, HEAP_CLASS_TABLE_SIZE);
        map(HEAP_SPAN_TABLE, HEAP_SPAN_TABLE_SIZE / 2);
    }
    made = true;
    return true;
}

void heap_copy(uintptr_t to, uintptr_t from, size_t size)
{
    for (size_t at = 0; at < size; at += 16) {
        uint64_t words[2];

        if (fake_read(from + at, words, sizeof(words)) || fake_write(to + at, words, sizeof(words)))
            fake_violation("heap_copy: %#lx or %#lx is not there", from + at, to + at);
    }
}

void heap_zero(uintptr_t block, size_t size)
{
    static const uint8_t zeros[VM_PAGE_SIZE];

    for (size_t at = 0; at < size; at += sizeof(zeros)) {
        if (fake_write(block + at, zeros, sizeof(zeros)))
            fake_violation("heap_zero: %#lx is not there", block + at);
    }
}
