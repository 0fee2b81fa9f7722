/* The tables of the heap (vm/heap/memory.h) as mappings of this process. */
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

#if QUIRE_THREADS
bool heap_tables_back(uintptr_t region)
{
    (void)region;
    return true;
}
#endif
