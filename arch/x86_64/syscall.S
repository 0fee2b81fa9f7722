/*
 * The `syscall` instruction, in ring 0: it saves nothing but rip in rcx and flags in r11, so the program's stack is
 * left at once (its red zone may be in use) for the thread's kernel stack. Registers as on Linux: number in rax,
 * arguments in rdi, rsi, rdx, r10, r8, r9; all but rax, rcx and r11 are preserved. The way back is a jump. Of
 * the flags only direction, interrupt and trap flag are defined afterwards: clear, and as before. The core runs with
 * interrupts off.
 *
 * While a call runs, syscall_stack of the CPU is 0: a segment driver of the application, called from inside the core,
 * may make system calls itself, and those stay on the stack they are on.
 *
 * If something is to be done before the program goes on (a signal, rt_sigreturn), linux_attention is not 0: then all
 * registers become a struct trap_frame, which may come back as that of another place.
 *
 * The number lies where a seventh argument would be, for linux_absent.
 */
#include "arch/x86_64/arch.h"

#define E_INVAL 22 /* core/base/error.h */
#define SYSCALL_COUNT 512 /* LINUX_SYSCALL_COUNT of core/linux/linux.h, compared in cpu.c */

    .section .text.syscall_entry, "ax", @progbits
    .balign 64
    .globl syscall_entry
syscall_entry:
    movq %rsp, %gs:syscall_rsp
    movq %gs:syscall_stack, %rsp
    testq %rsp, %rsp
    jz syscall_nested
syscall_on_stack:
    pushq %gs:syscall_rsp
    pushq %gs:syscall_stack
    movq $0, %gs:syscall_stack
    pushq %rcx
    pushq %r11
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
    unwind_begin
syscall_known:
    call *linux_syscalls(, %rax, 8)
syscall_leave:
#if defined(QUIRE_DEBUG) && QUIRE_THREADS
    subq $8, %rsp
    pushq %rax
    movq (16 + CALL_STACK)(%rsp), %rdi
    call syscall_check_locks
    popq %rax
    addq $8, %rsp
#endif
    cmpl $0, %gs:linux_attention
    jne syscall_attend
    addq $8, %rsp
    popq %r9
    popq %r8
    popq %r10
    popq %rdx
    popq %rsi
    popq %rdi
    popq %r11
    popq %rcx
    popq %gs:syscall_stack
    andl $(FLAG_TRAP | FLAG_INTERRUPT), %r11d
    jnz syscall_flags
    popq %rsp
    jmp *%rcx

/* The instruction behind sti and popfq runs before the first interrupt or trap. */
syscall_flags:
    testl $FLAG_TRAP, %r11d
    jnz syscall_trap
    popq %rsp
    sti
    jmp *%rcx

syscall_trap:
    pushq %r11
    popfq
    popq %rsp
    jmp *%rcx

/* Below the red zone of whoever called. */
syscall_nested:
    movq %gs:syscall_rsp, %rsp
    subq $128, %rsp
    andq $-16, %rsp
    subq $8, %rsp
    jmp syscall_on_stack

/* Linux looks at eax only. */
syscall_large:
    movl %eax, %eax
    movq %rax, (%rsp)
    cmpl $SYSCALL_COUNT, %eax
    jb syscall_known
    call linux_absent
    jmp syscall_leave
    unwind_call

/* struct trap_frame, from its high end; `at` is how far the stack pointer is below the call's words. */
    .set at, 0
    .macro push_word offset
    pushq (\offset + at)(%rsp)
    .set at, at + 8
    .endm
    .macro push_value value
    pushq \value
    .set at, at + 8
    .endm

/* The frame of the running call; `result` for %rax. */
    .macro push_frame result
    push_value $SELECTOR_DATA
    push_word CALL_RSP
    push_word CALL_FLAGS
    push_value $SELECTOR_CODE
    push_word CALL_RIP
    push_word CALL_NUMBER
    push_word CALL_RDI
    push_value $0
    push_word CALL_RIP
    push_value \result
    push_word CALL_RDX
    push_word CALL_RSI
    push_word CALL_FLAGS
    push_word CALL_R10
    push_word CALL_R9
    push_word CALL_R8
    push_value %rbx
    push_value %rbp
    push_value %r15
    push_value %r14
    push_value %r13
    push_value %r12
    push_word CALL_STACK
    push_value $VECTOR_SYSCALL
    .endm

syscall_attend:
    push_frame %rax
    unwind_begin
    movq %rsp, %rdi
    call syscall_finish
    .globl syscall_resume
syscall_resume:
    movq 8(%rsp), %rax
    movq %rax, %gs:syscall_stack
    jmp trap_return
    unwind_trap

/*
 * long linux_rt_sigreturn(void), the system call: only a struct trap_frame whose registers linux_signal_return fills in,
 * as those of the caller are of no more use; the stack pointer says where they are. Calls of drivers have no such frame.
 */
    .section .text.linux_rt_sigreturn, "ax", @progbits
    .globl linux_rt_sigreturn
linux_rt_sigreturn:
    leaq (8 + CALL_SIZE)(%rsp), %rax
    cmpq %rax, %gs:kernel_stack
    jne sigreturn_nested
    cmpl $LOW_HALF(fault_stack_top), %gs:cpu_tss + TSS_IST_PAGE
    jne sigreturn_nested
    cmpl $0, %gs:user_check_suspended
    jne sigreturn_nested
    .set at, 8
    push_value $0               /* aligns the frame */
    push_value $SELECTOR_DATA
    push_word CALL_RSP
    push_word CALL_FLAGS
    push_value $SELECTOR_CODE
    subq $TRAP_FRAME_BELOW_CS, %rsp
    movq %rax, 8(%rsp)
    movq %rsp, %rdi
    call linux_signal_return
    jmp syscall_resume
sigreturn_nested:
    movq $-E_INVAL, %rax
    ret

#if QUIRE_THREADS
/*
 * long linux_clone(void), linux_clone3(void), the system calls: linux_begin_thread (core/linux/thread.c) is given a struct
 * trap_frame with all registers of the caller, which those of the new thread are made of.
 */
    .macro clone_call name, is_clone3
    .section .text.\name, "ax", @progbits
    .globl \name
\name:
    leaq (8 + CALL_SIZE)(%rsp), %rax
    cmpq %rax, %gs:kernel_stack
    jne sigreturn_nested
    .set at, 8
    push_value $0               /* aligns the frame */
    push_frame $0
    movq %rsp, %rdi
    movl $\is_clone3, %esi
    call linux_begin_thread
    addq $(TRAP_FRAME_SIZE + 8), %rsp
    ret
    .endm

    clone_call linux_clone, 0
    clone_call linux_clone3, 1
#endif

    .section .note.GNU-stack, "", @progbits
