/*
 * Windows onto any physical page, RAM or not, at fixed addresses (FIXMAP_BASE): one page-table page that is part of the
 * image. They work from the first C line on and need no allocation. A slot has one owner and one page at a time;
 * opening it again moves it. Memory that stays in use belongs in a segment (vm_phys) or in the map of RAM.
 */
#ifndef ARCH_FIXMAP_H
#define ARCH_FIXMAP_H

#include "arch/x86_64/pte.h"
#include "core/base/types.h"

enum fixmap_slot {
    FIXMAP_COPY,                    /* fixmap_copy */
    FIXMAP_TABLE,                   /* one a level of page tables (arch/x86_64/physmap.c) */
    FIXMAP_ACPI = FIXMAP_TABLE + 4, /* tables of the firmware */
    FIXMAP_SCREEN,                  /* a framebuffer, page by page */
    FIXMAP_DEVICE,                  /* device registers, with PTE_PCD | PTE_PWT */
    FIXMAP_SLOTS = FIXMAP_DEVICE + 8,
};

/* Points the slot at the physical page and returns its address, writable. attributes: 0 for ordinary memory, or
 * PTE_PWT, PTE_PCD, PTE_PAT_4K for another memory type. */
void *fixmap_open(unsigned slot, paddr_t page, uint64_t attributes);

/* Afterwards the slot's address faults. */
void fixmap_close(unsigned slot);

/* Copies physical memory, of any alignment, as ordinary memory. */
void fixmap_copy(void *to, paddr_t from, size_t length);

#endif
