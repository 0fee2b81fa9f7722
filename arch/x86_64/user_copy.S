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

/* error_t user_copy(void *to, const void *from, size_t length) */
    .section .text.user_copy, "ax", @progbits
    .globl user_copy
    .type user_copy, @function
user_copy:
    movq %rdx, %rcx
    shrq $3, %rcx
words:
    rep movsq
    movl %edx, %ecx
    andl $7, %ecx
bytes:
    rep movsb
    xorl %eax, %eax
    ret
copy_failed:
    movl $E_FAULT, %eax
    ret
    .size user_copy, . - user_copy
    fixup words, copy_failed
    fixup bytes, copy_failed

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
