/* What the heap does to large blocks (vm/heap/memory.h), through the simulated CPU. */
#include "fake.h"
#include "vm/heap/memory.h"

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
