/*
 * The image: core and program in one static ELF file, linked at IMAGE_BASE, loaded at IMAGE_LOAD_BASE or where a
 * multiboot2 loader moves it. Run through the C preprocessor; for ld.lld.
 *
 *   headers, boot headers, rodata   r--   the file's first page holds the ELF headers: AT_PHDR points there
 *   text                            r-x   the core's first, then the program's
 *   data, bss                       rw-   the program's
 *   one page never mapped                 between the program's bss and what is the core's
 *   core data                       rw-   data, per-CPU block, interrupt stacks with their guards (these two of CPU 0: smp.c),
 *                                         bss: in one piece, as system calls may not be given it
 *   symbols for backtraces          r--   behind them: a second link that fills them moves nothing the code refers to
 *   one page never mapped                 the guard of the boot stack
 *   boot stack, first page tables   rw-   no bytes in the file
 *
 * Every part begins on a page and is mapped with its protection alone. The names with two underscores in front are
 * what C and assembly refer to; __boot_* is for arch/x86_64 only.
 *
 * Large pages: wherever the image is loaded, it lies there as it is linked modulo 2 MiB, and entry.S maps by 2 MiB what
 * it can of a part of IMAGE_LARGE and more. rodata, text and data of that size begin on a large page (START); SLACK is
 * what the last one of a part may miss and then gets in memory (FILLED). None of this takes bytes in the file; what lies
 * between two parts is RAM as any other (boot.c). The size of a part is known from the linker's pass before, and the
 * same in each.
 *
 * The file that is booted has its section headers stripped (llvm-objcopy --strip-sections): GRUB's multiboot2 loader
 * copies every section that is not loaded into memory, and refuses files with relocation sections, which glibc's
 * .rela.iplt is. An ELF segment is aligned in the file as its sections are, so none of the project's own is aligned to
 * a page (stacks and tables get their pages here), or up to a page of the file would be padding.
 *
 * Every section that an object may bring is named: the linker refuses others (--orphan-handling=error), which it would
 * put where it likes, behind the data for one. glibc walks its own between __start_NAME and __stop_NAME, which the
 * linker defines for output sections of that name.
 */
#include "arch/x86_64/layout.h"

#define PAGE 4096
#define SLACK (LARGE_PAGE / 8)
#define ROUND_UP(value, unit) (((value) + (unit) - 1) / (unit) * (unit))
/* Conditions are in parentheses: without them ld.lld takes the last operand alone for the condition. */
#define IS_LARGE(size) ((size) + SLACK > IMAGE_LARGE)
#define START(size) ROUND_UP(., (IS_LARGE(size) ? LARGE_PAGE : PAGE))
#define FILLED(start) \
    ROUND_UP(., ((IS_LARGE(. - start) && ((. - start) % LARGE_PAGE + SLACK > LARGE_PAGE)) ? LARGE_PAGE : PAGE))
#define LARGE_PAGES(start, end) ((end - start >= IMAGE_LARGE) ? (end - start) / LARGE_PAGE : 0)
#define AT_LOAD(section) AT(ADDR(section) - IMAGE_BASE + IMAGE_LOAD_BASE)

OUTPUT_FORMAT(elf64-x86-64)
ENTRY(__boot_entry)

PHDRS
{
    rodata PT_LOAD FILEHDR PHDRS FLAGS(4);
    text PT_LOAD FLAGS(5);
    data PT_LOAD FLAGS(6);
    core_data PT_LOAD FLAGS(6);
    symbols PT_LOAD FLAGS(4);
    boot PT_LOAD FLAGS(6);
    tls PT_TLS FLAGS(4);
    note PT_NOTE FLAGS(4);
    eh_frame_hdr PT_GNU_EH_FRAME FLAGS(4);
}

SECTIONS
{
    . = IMAGE_BASE;
    __image_start = .;
    __rodata_start = .;
    . += SIZEOF_HEADERS;
    .note.pvh : AT_LOAD(.note.pvh) { KEEP(*(.note.pvh)) } :rodata :note
    .multiboot2 : AT_LOAD(.multiboot2) { KEEP(*(.multiboot2)) } :rodata
    .rodata : AT_LOAD(.rodata) {
        KEEP(*(.boot.rodata))
        *(.rodata .rodata.* .stapsdt.base)
        . = ALIGN(16);
        __fixups_start = .;
        KEEP(*(.fixups))
        __fixups_end = .;
        __restarts_start = .;
        *(.restarts)
        __restarts_end = .;
    } :rodata
    __rela_iplt_start = .;
    .rela.iplt : AT_LOAD(.rela.iplt) { *(.rela.iplt .rela.plt .rela.dyn) }
    __rela_iplt_end = .;
    .eh_frame_hdr : AT_LOAD(.eh_frame_hdr) { *(.eh_frame_hdr) } :rodata :eh_frame_hdr
    .eh_frame : AT_LOAD(.eh_frame) { KEEP(*(.eh_frame)) } :rodata
    .gcc_except_table : AT_LOAD(.gcc_except_table) { *(.gcc_except_table .gcc_except_table.*) } :rodata
    .rodata_fill (NOLOAD) : AT_LOAD(.rodata_fill) { . = FILLED(__rodata_start); } :rodata
    __rodata_end = .;

    . = START(__text_end - __text_start);
    .text : AT_LOAD(.text) {
        __text_start = .;
        __core_text_start = .;
        __boot_entry = .;
        KEEP(*(.boot.text))
        __boot_entry_end = .;
        *quire-core.o(.text .text.*)
        . = ALIGN(16);
        __core_text_end = .;
        *(.vdso.text)
        *(.text.unlikely .text.unlikely.*)
        *(.text .text.*)
        *(google_malloc malloc_hook) /* of tcmalloc */
    } :text
    .init : AT_LOAD(.init) { KEEP(*(.init)) } :text
    .fini : AT_LOAD(.fini) { KEEP(*(.fini)) } :text
    .iplt : AT_LOAD(.iplt) { *(.iplt .plt) } :text
    __libc_freeres_fn : AT_LOAD(__libc_freeres_fn) { *(__libc_freeres_fn) } :text
    .text_fill (NOLOAD) : AT_LOAD(.text_fill) { . = FILLED(__text_start); } :text
    __text_end = .;

    . = START(__data_end - __data_start);
    __data_start = .;
    .tdata : AT_LOAD(.tdata) { *(.tdata .tdata.*) } :data :tls
    .tbss : AT_LOAD(.tbss) { *(.tbss .tbss.*) } :data :tls
    .preinit_array : AT_LOAD(.preinit_array) {
        __preinit_array_start = .;
        KEEP(*(.preinit_array))
        __preinit_array_end = .;
    } :data
    .init_array : AT_LOAD(.init_array) {
        __init_array_start = .;
        KEEP(*(SORT_BY_INIT_PRIORITY(.init_array.*)))
        KEEP(*(.init_array .ctors))
        __init_array_end = .;
    } :data
    .fini_array : AT_LOAD(.fini_array) {
        __fini_array_start = .;
        KEEP(*(SORT_BY_INIT_PRIORITY(.fini_array.*)))
        KEEP(*(.fini_array .dtors))
        __fini_array_end = .;
    } :data
    .data.rel.ro : AT_LOAD(.data.rel.ro) { *(.data.rel.ro .data.rel.ro.*) } :data
    __libc_subfreeres : AT_LOAD(__libc_subfreeres) { *(__libc_subfreeres) } :data
    __libc_atexit : AT_LOAD(__libc_atexit) { *(__libc_atexit) } :data
    __libc_IO_vtables : AT_LOAD(__libc_IO_vtables) { *(__libc_IO_vtables) } :data
    .got : AT_LOAD(.got) { *(.got .got.plt .igot .igot.plt) } :data
    __libc_freeres_ptrs : AT_LOAD(__libc_freeres_ptrs) { *(__libc_freeres_ptrs) } :data
    /* .probes: of SystemTap, in several of Debian's libraries; .PyRuntime: CPython's state, found there by debuggers. */
    .data : AT_LOAD(.data) {
        *(EXCLUDE_FILE(*quire-core.o) .data EXCLUDE_FILE(*quire-core.o) .data.*)
        *(.tm_clone_table .probes .PyRuntime)
    } :data
    /* Without bytes in the file. Empty outputs lie before, as the linker counts them as if they had some. */
    .bss : AT_LOAD(.bss) {
        *(EXCLUDE_FILE(*quire-core.o) .bss EXCLUDE_FILE(*quire-core.o) .bss.* EXCLUDE_FILE(*quire-core.o) COMMON)
        _end = .;
        end = .;
        . = FILLED(__data_start);
    } :data
    __data_end = .;

    . = ALIGN(PAGE) + PAGE;
    __core_data_start = .;
    .core_data : AT_LOAD(.core_data) { *quire-core.o(.data .data.*) } :core_data
    .percpu : AT_LOAD(.percpu) {
        . = ALIGN(64);
        __percpu_start = .;
        KEEP(*(.bss.percpu))
        . = ALIGN(64);
        __percpu_end = .;
    } :core_data
    .core_bss : AT_LOAD(.core_bss) {
        . = ALIGN(PAGE);
        __stacks = .;
        *(.bss..stacks)
        __stacks_end = .;
        *quire-core.o(.bss .bss.* COMMON)
        . = ALIGN(PAGE);
    } :core_data
    __core_data_end = .;

    .symbols : AT_LOAD(.symbols) {
        __symbols_start = .;
        KEEP(*(.symbols))
    } :symbols
    . = ALIGN(PAGE);
    __symbols_end = .;

    . += PAGE;
    /* A page table for every 2 MiB so far that is no large page, and one for the stack and the tables themselves (at
     * most 2 MiB). */
    __boot_large_pages = LARGE_PAGES(__rodata_start, __rodata_end) + LARGE_PAGES(__text_start, __text_end) +
                         LARGE_PAGES(__data_start, __data_end);
    __boot_page_tables = (. - IMAGE_BASE) / LARGE_PAGE + 2 - __boot_large_pages;
    .boot : AT_LOAD(.boot) {
        __boot_stack = .;
        KEEP(*(.boot.stack))
        __boot_stack_end = .;
        __boot_tables = .;
        KEEP(*(.boot.tables))
        . += __boot_page_tables * PAGE;
    } :boot
    __image_end = .;

    /* For the debugger, not loaded. */
    .debug_abbrev 0 : { *(.debug_abbrev) }
    .debug_addr 0 : { *(.debug_addr) }
    .debug_aranges 0 : { *(.debug_aranges) }
    .debug_frame 0 : { *(.debug_frame) }
    .debug_info 0 : { *(.debug_info) }
    .debug_line 0 : { *(.debug_line) }
    .debug_line_str 0 : { *(.debug_line_str) }
    .debug_loc 0 : { *(.debug_loc) }
    .debug_loclists 0 : { *(.debug_loclists) }
    .debug_macinfo 0 : { *(.debug_macinfo) }
    .debug_macro 0 : { *(.debug_macro) }
    .debug_names 0 : { *(.debug_names) }
    .debug_pubnames 0 : { *(.debug_pubnames) }
    .debug_pubtypes 0 : { *(.debug_pubtypes) }
    .debug_ranges 0 : { *(.debug_ranges) }
    .debug_rnglists 0 : { *(.debug_rnglists) }
    .debug_str 0 : { *(.debug_str) }
    .debug_str_offsets 0 : { *(.debug_str_offsets) }
    .debug_types 0 : { *(.debug_types) }
    .symtab 0 : { *(.symtab) }
    .shstrtab 0 : { *(.shstrtab) }
    .strtab 0 : { *(.strtab) }

    /DISCARD/ : { *(.note.gnu.* .note.GNU-* .note.ABI-tag .note.stapsdt .comment .gnu.*) }
}

ASSERT(__image_start == IMAGE_BASE && IMAGE_BASE % 0x40000000 == 0, "the image begins at a GiB: arch/x86_64/layout.h")
ASSERT(__text_start % PAGE == 0 && __data_start % PAGE == 0 && __data_end % PAGE == 0,
       "text, data and symbols begin on pages: arch/x86_64/image.ld.S")
ASSERT(__symbols_start == __core_data_end, "a section lies between data and symbols: arch/x86_64/image.ld.S")
ASSERT(__stacks % PAGE == 0 && __stacks_end % PAGE == 0, "guards of stacks lie on pages: arch/x86_64/trap.S")
ASSERT(__boot_stack % PAGE == 0 && __boot_tables % PAGE == 0, "boot stack and tables lie on pages: arch/x86_64/entry.S")
ASSERT(IMAGE_LOAD_BASE % LARGE_PAGE == 0, "the load address is a multiple of 2 MiB: arch/x86_64/layout.h")
ASSERT(__image_end - IMAGE_BASE <= (__boot_page_tables + __boot_large_pages) * LARGE_PAGE, "too few first page tables: arch/x86_64/image.ld.S")
ASSERT(__image_end - IMAGE_BASE <= 0x3f000000, "the image is larger than 1008 MiB")
ASSERT(__boot_entry_end - __text_start <= PAGE, "the entry code is larger than a page: arch/x86_64/entry.S")
ASSERT(ADDR(.multiboot2) - IMAGE_BASE < 0x7000, "the multiboot2 header lies beyond the file's first 32 KiB")
ASSERT(FIXMAP_BASE % 0x200000 == 0 && FIXMAP_BASE >= 0xffffffffc0000000,
       "the fixmap lies in the last GiB: arch/x86_64/layout.h")
