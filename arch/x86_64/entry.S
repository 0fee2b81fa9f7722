/*
 * Entry from the boot loader: PVH (Xen, "x86/HVM direct boot ABI") or multiboot2 (specification 2.0, 3.3).
 *
 * Both enter 32-bit protected mode with flat segments, paging off, no stack, and in EBX the physical address of their
 * information; EAX tells them apart. The image is linked at IMAGE_BASE and may have been loaded anywhere below 4 GiB,
 * so 32-bit code reaches everything as EBP (where the image begins in memory) + OFFSET(symbol).
 *
 * The page tables made here stay in use as the root of the one address space. They map the image with its final
 * protection, its large parts by pages of 2 MiB and all else by 4 KiB, and beside it only one executable, read-only
 * identity page for the switch into long mode, which arch/x86_64/boot.c removes. Order of the tables: see TABLE_* below
 * and __boot_tables in image.ld.S.
 */
#include "arch/x86_64/arch.h"
#include "arch/x86_64/layout.h"
#include "arch/x86_64/pte.h"

#define OFFSET(symbol) (symbol - IMAGE_BASE)

#define MULTIBOOT2_HEADER_MAGIC 0xe85250d6
#define MULTIBOOT2_TAG_INFORMATION_REQUEST 1
#define MULTIBOOT2_TAG_FRAMEBUFFER 5
#define MULTIBOOT2_TAG_MODULE_ALIGN 6
#define MULTIBOOT2_TAG_RELOCATABLE 10
#define MULTIBOOT2_COMMAND_LINE 1
#define MULTIBOOT2_MODULE 3
#define MULTIBOOT2_MEMORY_MAP 6
#define XEN_ELFNOTE_PHYS32_ENTRY 18

#define TABLE_ROOT 0x0000
#define TABLE_TOP 0x1000      /* 512 GiB: the top of the address space, and for a moment its bottom */
#define TABLE_IMAGE 0x2000    /* 1 GiB: the image */
#define TABLE_FIXMAP 0x3000   /* 1 GiB: the fixmap */
#define TABLE_WINDOWS 0x4000  /* 2 MiB: the fixmap's pages, __boot_fixmap_table */
#define TABLE_IDENTITY 0x5000 /* 1 GiB: the switch into long mode */
#define TABLE_PAGES 0x6000    /* 2 MiB each, at most __boot_page_tables of them: the image's pages of 4 KiB */

#define INDEX(address, level) (((address) >> (12 + 9 * (level))) & 511)

#define CPUID_FLAG 0x00200000 /* in EFLAGS: changeable where there is CPUID */

#define UART 0x3f8
#define UART_SPINS 0x10000

    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 4, XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long OFFSET(boot_entry) + IMAGE_LOAD_BASE

    .section .multiboot2, "a", @progbits
    .balign 8
header:
    .long MULTIBOOT2_HEADER_MAGIC, 0, header_end - header
    .long -(MULTIBOOT2_HEADER_MAGIC + (header_end - header))
    .balign 8
    .short MULTIBOOT2_TAG_INFORMATION_REQUEST, 0
    .long 20, MULTIBOOT2_COMMAND_LINE, MULTIBOOT2_MODULE, MULTIBOOT2_MEMORY_MAP
    .balign 8
    .short MULTIBOOT2_TAG_FRAMEBUFFER, 1 /* if there can be one: screen.c */
    .long 20, 1024, 768, 32
    .balign 8
    .short MULTIBOOT2_TAG_MODULE_ALIGN, 0
    .long 8
    .balign 8
    .short MULTIBOOT2_TAG_RELOCATABLE, 0
    .long 24
    .long 0x100000, 0xffffffff  /* lowest and highest address */
    .long 0x200000, 1           /* alignment, and as low as possible */
    .balign 8
    .short 0, 0
    .long 8
header_end:

    /* First of the text (image.ld.S): one page holds all of it, so one identity page is enough for the switch. */
    .section .boot.text, "ax", @progbits
    .code32
boot_entry:
    cld
    cli
    /* Where are we? A call tells, and needs one word of memory: borrowed from the loader's information. */
    movl (%ebx), %ecx
    leal 4(%ebx), %esp
    call .Lhere
.Lhere:
    popl %ebp
    movl %ecx, (%ebx)
    subl $OFFSET(.Lhere), %ebp

    leal OFFSET(__boot_stack_end)(%ebp), %esp
    pushl %eax
    rdtsc
    movl %eax, OFFSET(boot_entry_tsc)(%ebp)
    movl %edx, OFFSET(boot_entry_tsc) + 4(%ebp)
    pushl %ebx
    call check_cpu
    call make_tables

    /* Every bit is set explicitly: what firmware left in these registers differs (UEFI: WP, SSE, MCE on). */
    movl $SWITCH_CR4, %eax
    movl %eax, %cr4
    leal OFFSET(__boot_tables)(%ebp), %eax
    movl %eax, %cr3
    movl $MSR_EFER, %ecx
    movl $SWITCH_EFER, %eax
    xorl %edx, %edx
    wrmsr
    leal OFFSET(boot_gdt)(%ebp), %eax
    movl %eax, OFFSET(boot_gdt_register) + 2(%ebp)
    lgdt OFFSET(boot_gdt_register)(%ebp)
    popl %esi
    popl %edi
    leal OFFSET(boot_switch)(%ebp), %eax
    movl %eax, OFFSET(boot_switch_pointer)(%ebp)
    movl $SWITCH_CR0, %eax
    movl %eax, %cr0
    ljmpl *OFFSET(boot_switch_pointer)(%ebp)

    /* What the switch reads lies beside it, in the identity page; filled in while there is no paging yet. */
    .balign 8
boot_gdt:
    .quad 0
    .quad 0x00af9b000000ffff /* SELECTOR_CODE: 64-bit, ring 0, accessed */
boot_gdt_end:
boot_gdt_register:
    .short boot_gdt_end - boot_gdt - 1
    .long 0
boot_switch_pointer:
    .long 0
    .short SELECTOR_CODE

    .code64
boot_switch:
    movq $boot_entry64, %rax
    jmpq *%rax
boot_entry64:
    xorl %eax, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %eax, %fs
    movl %eax, %gs
    movq $__boot_stack_end, %rsp
    /* boot_main(magic, information, load address); the upper halves are undefined after the switch. */
    movl %edi, %edi
    movl %esi, %esi
    movl %ebp, %edx
    xorl %ebp, %ebp
    call boot_main
    ud2

    .code32
/* Fills the tables, which the loader has zeroed with the rest of the segment. Keeps EBP. */
make_tables:
    leal OFFSET(__boot_tables)(%ebp), %edi
    leal TABLE_TOP + PTE_TABLE(%edi), %eax
    movl %eax, TABLE_ROOT + INDEX(IMAGE_BASE, 3) * 8(%edi)
    movl %eax, TABLE_ROOT(%edi)
    leal TABLE_IMAGE + PTE_TABLE(%edi), %eax
    movl %eax, TABLE_TOP + INDEX(IMAGE_BASE, 2) * 8(%edi)
    leal TABLE_FIXMAP + PTE_TABLE(%edi), %eax
    movl %eax, TABLE_TOP + INDEX(FIXMAP_BASE, 2) * 8(%edi)
    leal TABLE_WINDOWS + PTE_TABLE(%edi), %eax
    movl %eax, TABLE_FIXMAP + INDEX(FIXMAP_BASE, 1) * 8(%edi)

    leal OFFSET(boot_switch)(%ebp), %eax
    movl %eax, %ecx
    movl %eax, %edx
    shrl $30, %edx
    shrl $21, %ecx
    andl $511, %ecx
    andl $0xffe00000, %eax
    orl $(PTE_PRESENT | PTE_ACCESSED | PTE_LARGE), %eax
    movl %eax, TABLE_IDENTITY(%edi, %ecx, 8)
    leal TABLE_IDENTITY + PTE_TABLE(%edi), %eax
    movl %eax, TABLE_TOP(%edi, %edx, 8)

    leal TABLE_PAGES + PTE_TABLE(%edi), %eax
    pushl %eax /* the table that is used next */
    leal OFFSET(boot_sections)(%ebp), %esi
1:  movl (%esi), %ecx
2:  cmpl 4(%esi), %ecx
    jae 7f
    leal (%ebp, %ecx), %eax
    orl 8(%esi), %eax
    movl 12(%esi), %edx
    movl %ecx, %ebx
    shrl $21, %ebx
    leal TABLE_IMAGE(%edi, %ebx, 8), %ebx
    testl $(LARGE_PAGE - 1), %ecx
    jnz 4f
    pushl %edx
    movl 4(%esi), %edx
    subl (%esi), %edx
    cmpl $IMAGE_LARGE, %edx
    popl %edx
    jb 4f
    addl $LARGE_PAGE, %ecx
    cmpl 4(%esi), %ecx
    ja 3f
    orl $PTE_LARGE, %eax
    movl %eax, (%ebx)
    movl %edx, 4(%ebx)
    jmp 2b
3:  subl $LARGE_PAGE, %ecx
4:  cmpl $0, (%ebx)
    jne 5f
    popl (%ebx)
    pushl (%ebx)
    addl $0x1000, (%esp)
5:  movl (%ebx), %ebx
    andl $~0xfff, %ebx
    pushl %ecx
    shrl $9, %ecx /* page number * 8 */
    andl $0xff8, %ecx
    addl %ecx, %ebx
    popl %ecx
6:  movl %eax, (%ebx)
    movl %edx, 4(%ebx)
    addl $8, %ebx
    addl $0x1000, %eax
    addl $0x1000, %ecx
    testl $(LARGE_PAGE - 1), %ecx
    jz 2b
    cmpl 4(%esi), %ecx
    jb 6b
7:  addl $16, %esi
    leal OFFSET(boot_sections_end)(%ebp), %eax
    cmpl %eax, %esi
    jb 1b
    popl %eax
    ret

/* Returns if the CPU has what the core and every x86-64 program need, else says what is missing and stops. */
check_cpu:
    leal OFFSET(boot_features)(%ebp), %esi
    pushfl
    popl %eax
    movl %eax, %ecx
    xorl $CPUID_FLAG, %eax
    pushl %eax
    popfl
    pushfl
    popl %eax
    xorl %ecx, %eax
    testl $CPUID_FLAG, %eax
    jz cpu_refused
    movl $0x80000000, %eax
    cpuid
    cmpl $0x80000001, %eax
    jb cpu_refused
1:  movl (%esi), %eax
    cpuid
    testl %edx, 4(%esi)
    jz cpu_refused
    addl $12, %esi
    leal OFFSET(boot_features_end)(%ebp), %eax
    cmpl %eax, %esi
    jb 1b
    ret

/* ESI: the line of boot_features that is not there. */
cpu_refused:
    pushl 8(%esi)
    leal OFFSET(text_begin)(%ebp), %esi
    call print
    movl OFFSET(quire_config)(%ebp), %esi /* the first field is the name */
    addl $0x80000000, %esi                /* IMAGE_BASE, which ends in 31 zero bits */
    addl %ebp, %esi
    call print
    leal OFFSET(text_missing)(%ebp), %esi
    call print
    popl %esi
    addl %ebp, %esi
    call print
    leal OFFSET(text_status)(%ebp), %esi
    call print
    /* The last byte leaves, then an exception without a handler resets the machine on every platform. */
    call wait_for_uart
    lidt OFFSET(no_interrupts)(%ebp)
    ud2

/* Prints the bytes from ESI to the next zero. */
print:
    call wait_for_uart
    lodsb
    movw $UART, %dx
    testb %al, %al
    jz 1f
    outb %al, %dx
    jmp print
1:  ret

/* Until holding and shift register are empty; a UART that is absent or stuck costs a bounded time. */
wait_for_uart:
    movl $UART_SPINS, %ecx
    movw $(UART + 5), %dx
1:  inb %dx, %al
    andb $0x60, %al
    cmpb $0x60, %al
    loopne 1b
    ret

/* The low half of the entry: the CPU notes which pages of the image are used (mmu_count). */
#define UNTOUCHED(leaf) (leaf & 0xffffffff & ~PTE_ACCESSED)

    .section .boot.rodata, "a", @progbits
    .balign 4
    .globl boot_sections, boot_sections_end
boot_sections: /* offset of start and end, low and high half of the entry's attributes; whole pages */
    .long OFFSET(__rodata_start), OFFSET(__rodata_end), UNTOUCHED(PTE_CORE_RODATA), PTE_CORE_RODATA >> 32
    .long OFFSET(__text_start), OFFSET(__text_end), UNTOUCHED(PTE_CORE_TEXT), 0
    .long OFFSET(__data_start), OFFSET(__data_end), UNTOUCHED(PTE_CORE_DATA), PTE_CORE_DATA >> 32
    .long OFFSET(__core_data_start), OFFSET(__core_data_end), UNTOUCHED(PTE_CORE_DATA), PTE_CORE_DATA >> 32
    .long OFFSET(__symbols_start), OFFSET(__symbols_end), UNTOUCHED(PTE_CORE_RODATA), PTE_CORE_RODATA >> 32
    .long OFFSET(__boot_stack), OFFSET(__boot_tables), UNTOUCHED(PTE_CORE_DATA), PTE_CORE_DATA >> 32
    .long OFFSET(__boot_tables), OFFSET(__image_end), UNTOUCHED(PTE_CORE_DATA), PTE_CORE_DATA >> 32
boot_sections_end:

boot_features: /* CPUID leaf, bit of EDX, text; SYSCALL is not asked for: Intel shows it in 64-bit mode only */
    .long 0x80000001, 1 << 29, OFFSET(text_long_mode)
    .long 0x80000001, 1 << 20, OFFSET(text_nx)
    .long 1, 1 << 6, OFFSET(text_pae)
    .long 1, 1 << 13, OFFSET(text_pge)
    .long 1, 1 << 16, OFFSET(text_pat)
    .long 1, 1 << 24, OFFSET(text_fxsr)
    .long 1, 1 << 26, OFFSET(text_sse2)
boot_features_end:

text_begin:
    .asciz "\036quire: "
text_missing:
    .asciz "\nquire: this CPU has no "
text_long_mode:
    .asciz "long mode: a 64-bit x86 CPU is needed"
text_nx:
    .asciz "NX (execute disable): switch it on in the firmware or the hypervisor"
text_pae:
    .asciz "PAE: a 64-bit x86 CPU is needed"
text_pge:
    .asciz "PGE (global pages): choose another CPU model in the hypervisor"
text_pat:
    .asciz "PAT (page attribute table): choose another CPU model in the hypervisor"
text_fxsr:
    .asciz "FXSR: choose another CPU model in the hypervisor"
text_sse2:
    .asciz "SSE2: choose another CPU model in the hypervisor"
text_status:
    .asciz "\n\036quire: exit 126\n"
    .balign 4
no_interrupts:
    .short 0
    .long 0

    .data
    .balign 8
    .globl boot_entry_tsc /* the time stamp at entry, where a boot's instructions are counted from */
boot_entry_tsc:
    .quad 0

    /* Both lie on pages by the linker script; an alignment of their own would pad the file. */
    .section .boot.stack, "aw", @nobits
    .balign 16
    .skip KERNEL_STACK

    .section .boot.tables, "aw", @nobits
    .balign 16
    .skip TABLE_WINDOWS
    .globl __boot_fixmap_table
__boot_fixmap_table:
    .skip TABLE_PAGES - TABLE_WINDOWS /* the linker script adds those of the image's pages */

    .section .note.GNU-stack, "", @progbits
