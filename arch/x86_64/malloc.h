/*
 * The short paths of malloc and free, for malloc.S, new.S and the native benchmark. The lists of free objects are those
 * of vm/heap/program.c; what is not on the way goes there.
 *
 * A window is code that must not be interrupted by anything that allocates: it reads where a list begins and ends with
 * the store that changes it. Nothing before that store shows, so whoever was interrupted inside is started again at the
 * beginning of the window (arch/x86_64/frame.c): no lock, no atomic operation. Each window is in the table .restarts.
 * Registers that are read in a window and written before it are not written in it.
 *
 * Each CPU has a table of the classes of its own heap's objects. What is another heap's has none there, and free puts
 * it where what is no object goes. That a thread moves to another CPU behind the look at the table does no harm.
 *
 * The tables hold of a class the offset of its list in heap_lists, so that its address is a register and a
 * displacement: CPUs that forward a store to a load of the same form without waiting (since Golden Cove, Zen 2) do not
 * where there is an index, and from free to the next malloc it is a chain of such pairs: 4 ticks instead of 11.
 */
/* clang-format off */
#ifndef ARCH_MALLOC_H
#define ARCH_MALLOC_H

#ifdef HEAP_NATIVE /* tests/bench/heap: one thread, and every address has a byte */
#include <machine.h> /* not "": that of this folder */
#define HEAP_LISTS heap_lists
#define HEAP_CLASS_OF HEAP_NATIVE_CLASS_TABLE
#else
#include "arch/x86_64/layout.h"
#define HEAP_LISTS %gs:heap_lists
#define HEAP_CLASS_OF %gs:HEAP_CLASS_TABLE
#endif

    .macro window_begin
7770:
    .endm

    /* The entry goes when the function does, as it is not used. */
    .macro window_end of
7771:
    .pushsection .restarts, "ao", @progbits, .text.\of
    .balign 4
    .long 7770b - ., 7771b - .
    .popsection
    .endm

/* void *name(size_t size): `slow` is given the size, when there is no memory in a hurry. The tables reach to 1024
 * bytes, with an entry for each size, as that needs no rounding, and to 64 KiB, with one for 16 bytes. */
    .macro allocate name, slow
    .section .text.\name, "ax", @progbits
    .balign 64
    .globl \name
\name:
    cmpq $1024, %rdi
    ja 1f
    movzwl heap_small_classes(, %rdi, 2), %esi
3:
    window_begin
    movq HEAP_LISTS(%rsi), %rax
    testq %rax, %rax
    jz 2f
    movq (%rax), %rdx
    movq %rdx, HEAP_LISTS(%rsi)
    window_end \name
    ret
1:
    leaq -1(%rdi), %rsi
    shrq $4, %rsi
    cmpq $4096, %rsi
    jae \slow
    movzwl heap_medium_classes(, %rsi, 2), %esi
    jmp 3b
2:
    pushq %rdi
    call heap_program_refill
    popq %rdi
    testq %rax, %rax
    jz \slow
    ret
    .type \name, @function
    .size \name, . - \name
    .endm

/* The offset in heap_lists for the objects of this CPU's heap where the block lies, or that of class 0; what is in no
 * run, or NULL, is left to `slow`. */
    .macro class_of block, class, class32, slow
    movq \block, \class
    sarq $12, \class
#ifdef HEAP_NATIVE
    jz \slow
#else
    jns \slow
#endif
    movzwl HEAP_CLASS_OF(, \class, 2), \class32
    .endm

/* void name(void *block): what lies in a run and is no object of this CPU's heap is in the list of class 0 then. */
    .macro release name
    .section .text.\name, "ax", @progbits
    .balign 64
    .globl \name
\name:
    class_of %rdi, %rsi, %esi, 1f
    window_begin
    movq HEAP_LISTS(%rsi), %rdx
    movq %rdx, (%rdi)
    movq %rdi, HEAP_LISTS(%rsi)
    window_end \name
    ret
1:
    testq %rdi, %rdi
    jnz heap_program_free_block
    ret
    .type \name, @function
    .size \name, . - \name
    .endm

#endif
