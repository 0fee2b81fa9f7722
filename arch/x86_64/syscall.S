/*
 * The `syscall` instruction, in ring 0: it saves nothing but rip in rcx and flags in r11, so the program's stack is
 * left at once (its red zone may be in use) for the thread's kernel stack. Registers as on Linux: number in rax,
 * arguments in rdi, rsi, rdx, r10, r8, r9; all but rax, rcx and r11 are preserved. The way back is a jump. Of
 * the flags only the direction flag and the interrupt flag are defined afterwards: clear, and as before.
 *
 * While a call runs, syscall_stack of the CPU is 0: a segment driver of the application, called from inside the core,
 * may make system calls itself, and those stay on the stack they are on.
 *
 * The number lies where a seventh argument would be, for linux_absent.
 */
#include "arch/x86_64/arch.h"

#define SYSCALL_COUNT 512 /* LINUX_SYSCALL_COUNT of core/linux/linux.h, compared in cpu.c */

    .section .text.syscall_entry, "ax", @progbits
    .balign 64
    .globl syscall_entry
syscall_entry:
    movq %rsp, %r11
    movq %gs:syscall_stack, %rsp
    testq %rsp, %rsp
    jz syscall_nested
syscall_on_stack:
    pushq %r11
    pushq %gs:syscall_stack
    movq $0, %gs:syscall_stack
    pushq %rcx
    pushq %rdi
    pushq %rsi
    pushq %rdx
    pushq %r10
    pushq %r8
    pushq %r9
    pushq %rax
    movq %r10, %rcx
    cmpq $SYSCALL_COUNT, %rax
    jae syscall_large
syscall_known:
    call *linux_syscalls(, %rax, 8)
syscall_leave:
    addq $8, %rsp
    popq %r9
    popq %r8
    popq %r10
    popq %rdx
    popq %rsi
    popq %rdi
    popq %rcx
    popq %gs:syscall_stack
    popq %rsp
    jmp *%rcx

/* Below the red zone of whoever called. */
syscall_nested:
    leaq -128(%r11), %rsp
    andq $-16, %rsp
    jmp syscall_on_stack

/* Linux looks at eax only. */
syscall_large:
    movl %eax, %eax
    movq %rax, (%rsp)
    cmpl $SYSCALL_COUNT, %eax
    jb syscall_known
    call linux_absent
    jmp syscall_leave

    .section .note.GNU-stack, "", @progbits
