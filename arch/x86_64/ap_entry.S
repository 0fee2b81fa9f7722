/*
 * Where further CPUs begin (SDM vol. 3, 8.4.4): in real mode, at the start of a page below 64 KiB to which smp.c has
 * copied what lies between ap_trampoline and its end. They may run it at the same time, so nothing here writes to it.
 *
 * The segment of the data is the page's until 64-bit mode: its base is kept when protected mode is entered.
 */
#include "arch/x86_64/arch.h"

#define SELECTOR_32 0x10
#define AT(symbol) (symbol - ap_trampoline)

    .section .rodata.ap_trampoline, "a", @progbits
    .balign 16
    .globl ap_trampoline, ap_trampoline_end, ap_gdt, ap_gdt_base, ap_protected, ap_protected_pointer, ap_long
    .globl ap_long_pointer, ap_root
    .code16
ap_trampoline:
    cli
    cld
    movw %cs, %ax
    movw %ax, %ds
    lgdtl AT(ap_gdt_register)
    movl $1, %eax /* PE */
    movl %eax, %cr0
    ljmpl *AT(ap_protected_pointer)

    .code32
ap_protected:
    movl $SWITCH_CR4, %eax
    movl %eax, %cr4
    movl AT(ap_root), %eax
    movl %eax, %cr3
    movl $MSR_EFER, %ecx
    movl $SWITCH_EFER, %eax
    xorl %edx, %edx
    wrmsr
    movl $SWITCH_CR0, %eax
    movl %eax, %cr0
    ljmpl *AT(ap_long_pointer)

    .code64
ap_long:
    movq $ap_entry, %rax
    jmpq *%rax

/* Addresses that smp.c fills in. */
    .balign 8
ap_gdt:
    .quad 0
    .quad 0x00af9b000000ffff /* SELECTOR_CODE: 64-bit, ring 0, accessed */
    .quad 0x00cf9b000000ffff /* SELECTOR_32: all of 4 GiB */
ap_gdt_end:
    .short 0
ap_gdt_register:
    .short ap_gdt_end - ap_gdt - 1
ap_gdt_base:
    .long 0
ap_protected_pointer:
    .long 0
    .short SELECTOR_32, 0
ap_long_pointer:
    .long 0
    .short SELECTOR_CODE, 0
ap_root: /* page tables: those of the image, and the trampoline where it lies */
    .long 0
ap_trampoline_end:

    .text
/* In the image. Each CPU takes the next place, and the stack there; one that comes when they are gone stops. */
ap_entry:
    movq ap_image_root, %rax
    movq %rax, %cr3
    xorl %eax, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %eax, %fs
    movl %eax, %gs
    incl %eax
    lock xaddl %eax, ap_places_taken
    cmpl ap_places, %eax
    jae ap_stop
    movl %eax, %edi
    movq ap_offsets(, %rdi, 8), %rsp
    addq $cpu_stack_top, %rsp
    xorl %ebp, %ebp
    call ap_main /* (place) */
ap_stop:
    cli
    hlt
    jmp ap_stop

    .section .note.GNU-stack, "", @progbits
