/*
 * Access to memory that the program named (core/cpu.h). An instruction here that faults for good, be it a page
 * fault or an address that is not canonical, continues at the place its entry in the fixup table names (trap.c).
 */
    .macro fixup from, to
    .pushsection .fixups, "a", @progbits
    .quad \from, \to
    .popsection
    .endm

#define E_FAULT 14 /* core/base/error.h */

/* First of all, for what was unmapped is E_FAULT, although the CPU may still know where it was (vm/mmu.h). */
    .macro settle
    cmpq $0, %gs:mmu_behind
    je 1f
    call settle_translations
1:
    .endm

    .section .text.settle_translations, "ax", @progbits
settle_translations:
    pushq %rdi
    pushq %rsi
    pushq %rdx
    pushq %rax
    call mmu_settle
    popq %rax
    popq %rdx
    popq %rsi
    popq %rdi
    ret

/*
 * error_t user_read(void *to, const void *user, size_t length)        size_t user_read_left(same)
 * error_t user_write(void *user, const void *from, size_t length)     size_t user_write_left(same)
 *
 * In the lower half the page tables alone say what is there; in the upper half, where the core lies as well, user_room
 * (user.c) is asked first. A word that lies partly in memory that is not there is tried again byte by byte, so the
 * count is exact.
 */
    .section .text.user_copy, "ax", @progbits
    .globl user_read, user_read_left, user_write, user_write_left
    .type user_read, @function
    .type user_read_left, @function
    .type user_write, @function
    .type user_write_left, @function
user_read:
    call user_read_left
    jmp to_error
    .size user_read, . - user_read
user_write:
    call user_write_left
to_error:
    negq %rax
    sbbl %eax, %eax
    andl $E_FAULT, %eax
    ret
    .size user_write, . - user_write

user_read_left:
    settle
    testq %rsi, %rsi
    movq %rsi, %rax
    js copy_asking
    jmp copy
    .size user_read_left, . - user_read_left
user_write_left:
    settle
    testq %rdi, %rdi
    movq %rdi, %rax
    js copy_asking
copy:
    movq %rdx, %rcx
    shrq $3, %rcx
    andl $7, %edx
words:
    rep movsq
    movl %edx, %ecx
bytes:
    rep movsb
copied:
    movq %rcx, %rax
    ret
words_failed:
    leaq (%rdx, %rcx, 8), %rcx
    jmp bytes
copy_asking: /* %rax: the program's address */
    pushq %rdi
    pushq %rsi
    pushq %rdx
    movq %rax, %rdi
    movq %rdx, %rsi
    call user_room
    popq %rdx
    popq %rsi
    popq %rdi
    subq %rax, %rdx
    pushq %rdx
    movq %rax, %rdx
    call copy
    popq %rdx
    addq %rdx, %rax
    ret
    .size user_write_left, . - user_write_left
    fixup words, words_failed
    fixup bytes, copied

/*
 * error_t user_try(error_t (*function)(void *), void *argument)
 *
 * Where the function accesses memory that is not there, trap.c has the stack pointer be as it was here and goes on at
 * user_try_failed. On the stack: the registers that a C function preserves, and the value for the try around this one.
 */
    .section .text.user_try, "ax", @progbits
    .globl user_try, user_try_failed
    .type user_try, @function
user_try:
    settle
    pushq %gs:user_try_stack
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, %gs:user_try_stack
    movq %rdi, %rax
    movq %rsi, %rdi
    call *%rax
user_try_end:
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    popq %gs:user_try_stack
    ret
user_try_failed:
    movl $E_FAULT, %eax
    jmp user_try_end
    .size user_try, . - user_try

/* intptr_t user_string_length(const char *string, size_t max) */
    .section .text.user_string_length, "ax", @progbits
    .globl user_string_length
    .type user_string_length, @function
user_string_length:
    settle
    testq %rdi, %rdi
    js string_asking
measure:
    xorl %eax, %eax
next:
    cmpq %rsi, %rax
    jae done
character:
    cmpb $0, (%rdi, %rax)
    je done
    incq %rax
    jmp next
done:
    ret
string_failed:
    movq $-E_FAULT, %rax
    ret
string_asking:
    pushq %rdi
    pushq %rsi
    subq $8, %rsp
    call user_room
    addq $8, %rsp
    popq %rsi
    popq %rdi
    cmpq %rsi, %rax
    jae measure
    movq %rax, %rsi
    call measure
    cmpq %rsi, %rax
    je string_failed /* no end where the program's memory ends */
    ret
    .size user_string_length, . - user_string_length
    fixup character, string_failed

    .section .note.GNU-stack, "", @progbits
