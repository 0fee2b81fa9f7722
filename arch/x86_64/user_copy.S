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

/*
 * error_t user_copy(void *to, const void *from, size_t length)
 * size_t user_copy_left(void *to, const void *from, size_t length)
 *
 * A word that lies partly in memory that is not there is tried again byte by byte, so the count is exact.
 */
    .section .text.user_copy, "ax", @progbits
    .globl user_copy, user_copy_left
    .type user_copy, @function
    .type user_copy_left, @function
user_copy:
    call user_copy_left
    negq %rax
    sbbl %eax, %eax
    andl $E_FAULT, %eax
    ret
    .size user_copy, . - user_copy
user_copy_left:
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
    .size user_copy_left, . - user_copy_left
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
    .size user_string_length, . - user_string_length
    fixup character, string_failed

    .section .note.GNU-stack, "", @progbits
