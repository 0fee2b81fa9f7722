/* malloc, free and realloc of the project's own heap, linked in front of a C library's (images/allocators.py). */
#include "arch/x86_64/malloc.h"

    allocate malloc, malloc_slow
    release free

/*
 * void *realloc(void *block, size_t size): of NULL, of an object that fits or grows to another one; what is left is
 * realloc_slow. Copied by the C library, which knows the widest registers of the CPU.
 */
    .section .text.realloc, "ax", @progbits
    .balign 64
    .globl realloc
realloc:
    testq %rdi, %rdi
    jz 1f
    class_of %rdi, %rcx, %ecx, realloc_slow
    movl heap_object_sizes(%rcx), %edx
    leaq -1(%rsi), %rax
    cmpq %rdx, %rax
    jae 2f
    leaq (%rsi, %rsi), %rax
    cmpq %rdx, %rax
    jb realloc_slow /* it would waste more than half */
    movq %rdi, %rax
    ret
1: /* as malloc */
    cmpq $1024, %rsi
    ja 6f
    movzwl heap_small_classes(, %rsi, 2), %ecx
    window_begin
    movq HEAP_LISTS(%rcx), %rax
    testq %rax, %rax
    jz 6f
    movq (%rax), %rdx
    movq %rdx, HEAP_LISTS(%rcx)
    window_end realloc
    ret
6:
    movq %rsi, %rdi
    jmp malloc
2:
    testl %edx, %edx
    jz realloc_slow
    cmpq $65536 - 1, %rax
    ja realloc_slow
    pushq %rbp
    movq %rsp, %rbp
    pushq %rdi
    pushq %rdx
    movq %rsi, %rdi
    call malloc
    testq %rax, %rax
    jz 5f
    movq -8(%rbp), %rdi
    movq -16(%rbp), %rdx
    movq %rax, -8(%rbp)
    cmpl $64, %edx
    ja 4f
3: /* a multiple of 16 */
    movups -16(%rdi, %rdx), %xmm0
    movups %xmm0, -16(%rax, %rdx)
    subl $16, %edx
    jnz 3b
    call free
    movq -8(%rbp), %rax
5:
    leave
    ret
4:
    movq %rdi, -16(%rbp)
    movq %rdi, %rsi
    movq %rax, %rdi
    call memcpy
    movq -16(%rbp), %rdi
    call free
    movq -8(%rbp), %rax
    leave
    ret
    .type realloc, @function
    .size realloc, . - realloc

    /* For core/libc/inline.h. */
    .globl heap_called_malloc, heap_called_free, heap_class_table
    .set heap_called_malloc, malloc
    .set heap_called_free, free
    .set heap_class_table, HEAP_CLASS_TABLE

    /* What the C libraries' own callers know them by. */
    .globl __libc_malloc, __libc_free, __libc_realloc
    .set __libc_malloc, malloc
    .set __libc_free, free
    .set __libc_realloc, realloc

    .section .note.GNU-stack, "", @progbits
