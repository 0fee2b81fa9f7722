/*
 * Entry of every vector, and the stacks. See arch.h for why each has a stack of its own and how page faults nest.
 *
 * Page faults are the hot path: the stub saves what a C function may destroy, calls vm_handle_fault and returns. Only
 * when that fails are the other registers saved and the report made. All other vectors save everything.
 */
#include "arch/x86_64/arch.h"

    .text

/* The registers that a C function may destroy, as in struct trap_frame; what is above (the address, %rdi and the error
 * code) goes with the pops. */
    .macro push_scratch
    pushq %rcx
    pushq %rax
    pushq %rdx
    pushq %rsi
    pushq %r11
    pushq %r10
    pushq %r9
    pushq %r8
    .endm

    .macro push_preserved
    pushq %rbx
    pushq %rbp
    pushq %r15
    pushq %r14
    pushq %r13
    pushq %r12
    .endm

    .macro pop_scratch
    popq %r8
    popq %r9
    popq %r10
    popq %r11
    popq %rsi
    popq %rdx
    popq %rax
    popq %rcx
    movq 8(%rsp), %rdi
    addq $24, %rsp
    .endm

/* VM_READ, VM_WRITE or VM_EXEC (vm/vm.h) by the error code: bit 0 present, 1 write, 4 fetch (SDM vol. 3, 4.7). */
    .section .rodata
    .balign 64
page_access:
    .byte 1, 1, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
    .byte 4, 4

/* The entry of page faults; the instruction is the call that serves one, as vm_handle_fault does (vm/fault.h). */
    .macro page_entry serve:vararg
    subq $FAULT_SLICE, %gs:cpu_tss + TSS_IST_PAGE
    cld
    pushq %rdi
    movq %cr2, %rdi
    pushq %rdi
    push_scratch
    movl 80(%rsp), %edx
    testl $~0x13, %edx          /* reserved bit, protection key: not a matter of segments */
    jnz page_odd
    movzbl page_access(%rdx), %esi
    andl $1, %edx
    unwind_begin
    \serve
    testl %eax, %eax
    jnz page_failed
#if defined(QUIRE_DEBUG) && QUIRE_THREADS
    leaq -TRAP_FRAME_R8(%rsp), %rdi
    call fault_check_locks
#endif
    unwind_fault
    pop_scratch
    addq $FAULT_SLICE, %gs:cpu_tss + TSS_IST_PAGE
    iretq
    .endm

    .section .text.vector_page_watched, "ax", @progbits
    .globl vector_page_watched
    .balign 64
vector_page_watched:
    page_entry call *fault_watcher

    .section .text.vector_page, "ax", @progbits
    .balign 64
vector_page:
    page_entry call vm_handle_fault

page_odd:
    movl $14, %eax              /* E_FAULT, in Linux's numbers */
page_failed:
    push_preserved
    pushq %rax
    pushq $EXCEPTION_PAGE
    movq %rsp, %rdi
    /* A fault of the program itself, and a handler: the same as trap_handle finds out, which asks again otherwise. */
    movq trap_exception, %rax
    testq %rax, %rax
    jz page_other
    cmpl $LOW_HALF(fault_stack_top) - FAULT_SLICE, %gs:cpu_tss + TSS_IST_PAGE
    jne page_other
    cmpq $0, %gs:syscall_stack
    je page_other
    movq TRAP_FRAME_BELOW_CS - 8(%rdi), %rcx
    cmpq $__core_text_start, %rcx
    jb page_program
    cmpq $__core_text_end, %rcx
    jb page_other
page_program:
    call *%rax
    testb %al, %al
    jnz page_handled
    movq %rsp, %rdi
page_other:
    unwind_begin
    call trap_handle            /* returns after a fixup, or to a handler: the preserved registers are as they were */
page_handled:
    addq $FAULT_SLICE, %gs:cpu_tss + TSS_IST_PAGE
    unwind_trap
    addq $64, %rsp
    pop_scratch
    iretq

/* struct trap_frame from the address down; %rdi is pushed already and %edi holds the vector. */
trap_common:
    cld
    pushq $0
    push_scratch
    push_preserved
    pushq $0
    pushq %rdi
    unwind_begin
    movq %rsp, %rdi
    call trap_handle
    .globl trap_return
trap_return:
    addq $16, %rsp
    unwind_trap
    popq %r12
    popq %r13
    popq %r14
    popq %r15
    popq %rbp
    popq %rbx
    pop_scratch
    iretq

/*
 * One stub for every exception, 16 bytes apart; vectors 8, 10 to 14, 17, 21, 29 and 30 push an error code
 * themselves (SDM vol. 3, table 6-1). The page fault's entry in the table points to vector_page instead.
 */
    .balign 16
    .globl vector_stubs
vector_stubs:
    .set vector, 0
    .rept EXCEPTIONS
    .balign 16
    .if (0x60227d00 >> vector) & 1
    .else
    pushq $0
    .endif
    pushq %rdi
    movl $vector, %edi
    jmp trap_common
    .set vector, vector + 1
    .endr

    .macro interrupt name, vector
    .balign 16
    .globl vector_\name
vector_\name:
    pushq $0
    pushq %rdi
    movl $\vector, %edi
    jmp trap_common
    .endm

    .globl vector_ignored, vector_page
    interrupt timer, VECTOR_TIMER
#if QUIRE_THREADS
    interrupt call, VECTOR_CALL
    interrupt kick, VECTOR_KICK
#endif

/* Spurious interrupts are not acknowledged. */
    .balign 16
vector_ignored:
    iretq

/* void descriptors_load(const struct descriptor_pointer *gdt, const struct descriptor_pointer *idt) */
    .globl descriptors_load
descriptors_load:
    lgdt (%rdi)
    lidt (%rsi)
    movl $SELECTOR_DATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    movl $SELECTOR_TSS, %eax
    ltr %ax
    popq %rax
    pushq $SELECTOR_CODE
    pushq %rax
    lretq
    .type descriptors_load, @function
    .size descriptors_load, . - descriptors_load

/* void program_enter(vaddr_t entry, vaddr_t stack): never returns. x87 and MXCSR as at reset of a Linux process. */
    .globl program_enter
program_enter:
    movq %rsi, %rsp
    movq %rdi, %rcx
    fninit
    pushq $0x1f80
    ldmxcsr (%rsp)
    popq %rax
    xorl %eax, %eax
    xorl %ebx, %ebx
    xorl %edx, %edx
    xorl %esi, %esi
    xorl %edi, %edi
    xorl %ebp, %ebp
    movq %rax, %r8
    movq %rax, %r9
    movq %rax, %r10
    movq %rax, %r11
    movq %rax, %r12
    movq %rax, %r13
    movq %rax, %r14
    movq %rax, %r15
    cld
    jmp *%rcx

/* Stacks, each above its guard page. The linker script puts the first on a page, and says why; their sizes the others. */
    .section .bss..stacks, "aw", @nobits
    .balign 16
    .macro stack name, size
    .if (STACK_GUARD + \size) % 4096
    .error "a stack is not made of whole pages"
    .endif
    .globl \name\()_guard, \name\()_top
\name\()_guard:
    .skip STACK_GUARD + \size
\name\()_top:
    .endm

    stack double_stack, STACK_REPORT
    stack nmi_stack, STACK_REPORT
    stack machine_stack, STACK_REPORT
    stack fault_stack, FAULT_SLICE * FAULT_SLICES
    stack exception_stack, STACK_REPORT
    stack interrupt_stack, STACK_REPORT
#if QUIRE_THREADS
    stack cpu_stack, STACK_CPU
#endif

    .section .note.GNU-stack, "", @progbits
