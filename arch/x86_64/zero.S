/*
 * Zeroing pages, and looking for what is not zero.
 *
 * Pages are zeroed the way that the CPU is best at, as C libraries choose for memset. `rep stosq` where it is fast, which
 * the CPU tells (ERMS) and which writes whole lines then; else stores of 32 bytes. The interrupted program's register is
 * put back: VEX stores would clear what AVX-512 adds to it, so where that is switched on it is `rep stosq` again.
 */
#include "arch/x86_64/arch.h"

    .section .data.zero_wide, "aw", @progbits
    .globl zero_wide
zero_wide:
    .byte 0

/* %rdi: the start, aligned to pages; %rcx: bytes, whole pages. Changes no other register, and the flags. */
    .section .text.zero_pages, "ax", @progbits
    .globl zero_pages
    .balign 64
zero_pages:
    cmpb $0, zero_wide(%rip)
    je 2f
    subq $32, %rsp
    vmovdqu %ymm0, (%rsp)
    vpxor %xmm0, %xmm0, %xmm0
1:
    .set at, 0
    .rept 32
    vmovdqa %ymm0, at(%rdi)
    .set at, at + 32
    .endr
    addq $1024, %rdi
    subq $1024, %rcx
    ja 1b
    vmovdqu (%rsp), %ymm0
    addq $32, %rsp
    ret
2:
    pushq %rax
    xorl %eax, %eax
    shrq $3, %rcx
    rep stosq
    popq %rax
    ret
    .type zero_pages, @function
    .size zero_pages, . - zero_pages

/*
 * Passes over 8-byte words that are zero, 32 at a time, by loads of 32 bytes: only where look_wide says that this can be
 * done. %rdi: the first; %rcx: their number, a multiple of 32, not 0. Both are moved on, to a block with another word
 * in it or to the end. Changes no other register, and the flags.
 */
    .section .data.look_wide, "aw", @progbits
    .globl look_wide
look_wide:
    .byte 0

    .section .text.skip_zeros, "ax", @progbits
    .globl skip_zeros
    .balign 64
skip_zeros:
    subq $32, %rsp
    vmovdqu %ymm0, (%rsp)
1:
    vmovups (%rdi), %ymm0
    .set at, 32
    .rept 7
    vorps at(%rdi), %ymm0, %ymm0
    .set at, at + 32
    .endr
    vptest %ymm0, %ymm0
    jnz 2f
    addq $256, %rdi
    subq $32, %rcx
    ja 1b
2:
    vmovdqu (%rsp), %ymm0
    addq $32, %rsp
    ret
    .type skip_zeros, @function
    .size skip_zeros, . - skip_zeros

    .section .note.GNU-stack, "", @progbits
