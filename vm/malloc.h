/*
 * malloc and free of sizes that the compiler knows, without a call: five instructions each, in programs that are
 * linked with the project's own heap (malloc = "heap"). What is not on the short path is malloc or free.
 */
#ifndef VM_MALLOC_H
#define VM_MALLOC_H

#include <stddef.h>

#include "core/base/types.h"
#include "vm/malloc_inline.h"

C_DECLARATIONS_BEGIN

/* malloc and free (arch/x86_64/malloc.S). */
void *heap_called_malloc(size_t size);
void heap_called_free(void *block);

C_DECLARATIONS_END

/* Undefined contents, aligned to 16; NULL: no memory. The size is a constant, or this is malloc. */
static inline __attribute__((always_inline)) void *heap_malloc(size_t size)
{
    if (__heap_is_known(size)) {
        void *block;

        __HEAP_TAKE(block, size, none);
        return block;
    }
none:
    return heap_called_malloc(size);
}

/* Frees a block that was allocated with just this size (as free_sized of C23), or NULL. */
static inline __attribute__((always_inline)) void heap_free_sized(void *block, size_t size)
{
    if (__heap_is_known(size)) {
        __HEAP_GIVE(block, size, none);
        return;
    }
none:
    heap_called_free(block);
}

#endif
