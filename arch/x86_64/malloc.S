/* malloc and free of the project's own heap, linked in front of a C library's (images/allocators.py). */
#include "arch/x86_64/malloc.h"

    allocate malloc, malloc_slow
    release free, heap_program_free

    /* What the C libraries' own callers know them by. */
    .globl __libc_malloc, __libc_free
    .set __libc_malloc, malloc
    .set __libc_free, free

    .section .note.GNU-stack, "", @progbits
