/* malloc and free of the project's own heap, linked in front of a C library's (images/allocators.py). */
#include "arch/x86_64/malloc.h"

    allocate malloc, malloc_slow
    release free, heap_program_free

    .section .note.GNU-stack, "", @progbits
