/* The parts of context.c that are no C. */
#include "arch/x86_64/arch.h"

    .text

/* void context_swap(uintptr_t *from, uintptr_t to) */
    .globl context_swap
context_swap:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .type context_swap, @function
    .size context_swap, . - context_swap

/* Where a new context begins: void (*)(void *) in %rbx, its argument in %r12. */
    .globl context_begin
context_begin:
    movq %r12, %rdi
    call *%rbx
    ud2

/* _Noreturn void context_call(struct trap_frame *frame, void (*function)(void)) */
    .globl context_call
context_call:
    movq %rdi, %rsp
    xorl %ebp, %ebp
    unwind_begin
    call *%rsi
    movq %rsp, %rdi
    unwind_trap

/* _Noreturn void context_return(struct trap_frame *frame): `failure` is the stack of its next call. */
    .globl context_return
context_return:
    movq %rdi, %rsp
    jmp syscall_resume

    .section .note.GNU-stack, "", @progbits
