/*
 * Page-table entries, 4-level paging (Intel SDM vol. 3, 4.5, tables 4-15 to 4-20). Usable from C and assembly.
 *
 * An entry that maps a page is a leaf. Entries that refer to a table have address, PRESENT, WRITE and ACCESSED only:
 * protection is decided by the leaf. USER stays 0 everywhere, all code runs in ring 0.
 */
#ifndef ARCH_PTE_H
#define ARCH_PTE_H

#ifdef __ASSEMBLER__
#define PTE_VALUE(value) value
#else
#define PTE_VALUE(value) value##ul
#endif
#define PTE_BIT(number) (PTE_VALUE(1) << (number))

#define PTE_PRESENT PTE_BIT(0)
#define PTE_WRITE PTE_BIT(1)
#define PTE_USER PTE_BIT(2)
#define PTE_PWT PTE_BIT(3)
#define PTE_PCD PTE_BIT(4)
#define PTE_ACCESSED PTE_BIT(5)
#define PTE_DIRTY PTE_BIT(6)      /* leaves only */
#define PTE_LARGE PTE_BIT(7)      /* leaf of 2 MiB or 1 GiB; in a 4 KiB leaf this bit is PTE_PAT_4K */
#define PTE_PAT_4K PTE_BIT(7)     /* 4 KiB leaf */
#define PTE_PAT_LARGE PTE_BIT(12) /* 2 MiB and 1 GiB leaf */
#define PTE_GLOBAL PTE_BIT(8)     /* leaves only */
#define PTE_NX PTE_BIT(63)

/*
 * The page attribute table (MSR 0x277, Intel SDM vol. 3, 11.12). Index = PAT * 4 + PCD * 2 + PWT:
 * 0 write back, 1 write through, 2 uncached but for MTRRs, 3 uncached, 4 write combining, 5 to 7 as 1 to 3.
 */
#define PAT_LAYOUT PTE_VALUE(0x0007040100070406)

/* Software: a leaf that is kept with its frame but not accessible. Goes with PTE_PRESENT clear. */
#define PTE_KEPT PTE_BIT(9)
/* Software: a leaf whose frame belongs to somebody else (VM_BORROWED of vm/mmu.h). */
#define PTE_BORROWED PTE_BIT(10)

/* Physical address of the table or 4 KiB frame; larger leaves leave the low bits to the bits above. */
#define PTE_ADDRESS PTE_VALUE(0x000ffffffffff000)

#define PTE_TABLE (PTE_PRESENT | PTE_WRITE | PTE_ACCESSED)
/* Leaves of the core's own memory, accessed and dirty preset so that the CPU never writes to the entry; those of the
 * image are made without the first (entry.S). */
#define PTE_CORE_TEXT (PTE_PRESENT | PTE_ACCESSED | PTE_GLOBAL)
#define PTE_CORE_RODATA (PTE_CORE_TEXT | PTE_NX)
#define PTE_CORE_DATA (PTE_PRESENT | PTE_WRITE | PTE_ACCESSED | PTE_DIRTY | PTE_GLOBAL | PTE_NX)

#define PTE_TABLE_ENTRIES 512
#define PTE_INDEX_BITS 9

#endif
