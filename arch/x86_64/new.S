/*
 * C++'s operators, by the names of the Itanium ABI: the same as malloc and free but for the end of memory, which is
 * std::bad_alloc (core/libc/new.cc), and for what has an alignment.
 */
#include "arch/x86_64/malloc.h"

    allocate _Znwm, new_slow
    allocate _ZnwmRKSt9nothrow_t, new_nothrow_slow
    release _ZdlPv

    .macro same name, as
    .globl \name
    .type \name, @function
    .set \name, \as
    .endm

    /* For core/libc/inline.h. */
    same heap_called_new, _Znwm
    same heap_called_new_array, _Znwm
    same heap_called_delete, _ZdlPv
    same heap_called_delete_array, _ZdlPv
    /* operator new[] */
    same _Znam, _Znwm
    same _ZnamRKSt9nothrow_t, _ZnwmRKSt9nothrow_t
    /* operator delete[]; sized; nothrow; aligned; aligned and sized; aligned and nothrow */
    same _ZdaPv, _ZdlPv
    same _ZdlPvm, _ZdlPv
    same _ZdaPvm, _ZdlPv
    same _ZdlPvRKSt9nothrow_t, _ZdlPv
    same _ZdaPvRKSt9nothrow_t, _ZdlPv
    same _ZdlPvSt11align_val_t, _ZdlPv
    same _ZdaPvSt11align_val_t, _ZdlPv
    same _ZdlPvmSt11align_val_t, _ZdlPv
    same _ZdaPvmSt11align_val_t, _ZdlPv
    same _ZdlPvSt11align_val_tRKSt9nothrow_t, _ZdlPv
    same _ZdaPvSt11align_val_tRKSt9nothrow_t, _ZdlPv

    .section .note.GNU-stack, "", @progbits
