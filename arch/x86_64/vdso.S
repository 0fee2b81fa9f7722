/*
 * What the program's C library looks up to read the clock without a system call (vdso(7)): a shared object, as far as
 * anybody reads it. AT_SYSINFO_EHDR leads to its ELF header. It is no file and no part of one: the values of its symbols
 * are distances to the functions where they were linked (vdso.c), in the image as everything else is.
 *
 * Names are found by DT_HASH, which has one bucket; there are no versions, which those who look up accept.
 */
#define PT_LOAD 1
#define PT_DYNAMIC 2
#define PF_READ 4
#define PF_EXEC 1
#define DT_NULL 0
#define DT_HASH 4
#define DT_STRTAB 5
#define DT_SYMTAB 6
#define DT_STRSZ 10
#define DT_SYMENT 11
#define DT_SONAME 14
#define SYMBOL_SIZE 24
#define SYMBOL_FUNCTION 0x12 /* global, a function */
#define SYMBOLS 5            /* with the first, which is none */

    .section .rodata.vdso, "a", @progbits
    .balign 8
    .globl vdso_header
vdso_header:
    .byte 0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0
    .short 3, 62 /* ET_DYN, EM_X86_64 */
    .long 1
    .quad 0, segments - vdso_header, 0
    .long 0
    .short segments - vdso_header, 56, 2, 0, 0, 0
segments:
    .long PT_LOAD, PF_READ | PF_EXEC
    .quad 0, 0, 0, end - vdso_header, end - vdso_header, 8
    .long PT_DYNAMIC, PF_READ
    .quad dynamic - vdso_header, dynamic - vdso_header, 0
    .quad dynamic_end - dynamic, dynamic_end - dynamic, 8
dynamic:
    .quad DT_SONAME, name_object - names
    .quad DT_HASH, hash - vdso_header
    .quad DT_STRTAB, names - vdso_header
    .quad DT_SYMTAB, symbols - vdso_header
    .quad DT_STRSZ, end - names
    .quad DT_SYMENT, SYMBOL_SIZE
    .quad DT_NULL, 0
dynamic_end:

    .macro symbol name
    .long name_\name - names
    .byte SYMBOL_FUNCTION, 0
    .short 1 /* of a section, whichever */
    .quad __vdso_\name - vdso_header, 0
    .endm
symbols:
    .quad 0, 0, 0
    symbol clock_gettime
    symbol gettimeofday
    symbol time
    symbol getcpu

/* The bucket begins with the last symbol, and each is followed by the one before it. */
hash:
    .long 1, SYMBOLS, SYMBOLS - 1
    .long 0, 0, 1, 2, 3

names:
    .byte 0
name_object:
    .asciz "linux-vdso.so.1"
    .macro name of
name_\of:
    .asciz "__vdso_\of"
    .endm
    name clock_gettime
    name gettimeofday
    name time
    name getcpu
end:

    .section .note.GNU-stack, "", @progbits
