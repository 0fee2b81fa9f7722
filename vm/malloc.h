/*
 * malloc and free of sizes that the compiler knows, without a call: five instructions each, for programs that include
 * this and are linked with the project's own heap (malloc = "heap"). What is not on the short path is malloc or free.
 *
 * These are windows as in arch/x86_64/malloc.h: an interrupt inside one starts it again where it begins. The inputs are
 * still there then, as the outputs are other registers.
 */
#ifndef VM_MALLOC_H
#define VM_MALLOC_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/types.h"

C_DECLARATIONS_BEGIN

void *malloc(size_t size);
void free(void *block);

C_DECLARATIONS_END

#define HEAP_INLINE_MAX 1024u

/* The class of objects of the size, from 1 to HEAP_INLINE_MAX: the rule of vm/heap/internal.h. */
static inline __attribute__((always_inline)) unsigned heap_inline_class(size_t size)
{
    unsigned doubling = 0;

    if (size <= 256)
        return (unsigned)((size + 15) / 16);
    while (size > (size_t)256 << doubling)
        doubling++;
    return 8 + 8 * doubling +
           (unsigned)((size - ((size_t)128 << doubling) + ((size_t)16 << doubling) - 1) >> (4 + doubling));
}

#define HEAP_WINDOW_END                                                                                                \
    "2:\n\t"                                                                                                           \
    ".pushsection .restarts.inline, \"a\", @progbits\n\t"                                                              \
    ".balign 4\n\t"                                                                                                    \
    ".long 1b - ., 2b - .\n\t"                                                                                         \
    ".popsection"

/* Undefined contents, aligned to 16; NULL: no memory. The size is a constant, or this is malloc. */
static inline __attribute__((always_inline)) void *heap_malloc(size_t size)
{
    if (__builtin_constant_p(size) && size - 1 < HEAP_INLINE_MAX) {
        void *block;
        uintptr_t top;

        __asm__ goto("1: movq %%gs:heap_tops + %c[at](%%rip), %[top]\n\t"
                     "subb $8, %b[top]\n\t"
                     "jc %l[none]\n\t"
                     "movq (%[top]), %[block]\n\t"
                     "movq %[top], %%gs:heap_tops + %c[at](%%rip)\n" HEAP_WINDOW_END
                     : [top] "=&r"(top), [block] "=&r"(block)
                     : [at] "i"(8 * heap_inline_class(size))
                     : "cc", "memory"
                     : none);
        return block;
    }
none:
    return malloc(size);
}

/* Frees a block that was allocated with just this size (as free_sized of C23), not NULL. */
static inline __attribute__((always_inline)) void heap_free_sized(void *block, size_t size)
{
    if (__builtin_constant_p(size) && size - 1 < HEAP_INLINE_MAX) {
        uintptr_t top;

        __asm__ goto("1: movq %%gs:heap_tops + %c[at](%%rip), %[top]\n\t"
                     "movq %[block], (%[top])\n\t"
                     "addb $8, %b[top]\n\t"
                     "jc %l[full]\n\t"
                     "movq %[top], %%gs:heap_tops + %c[at](%%rip)\n" HEAP_WINDOW_END
                     : [top] "=&r"(top)
                     : [at] "i"(8 * heap_inline_class(size)), [block] "r"(block)
                     : "cc", "memory"
                     : full);
        return;
    }
full:
    free(block);
}

#endif
