/*
 * A MiB of physical memory, with the firmware's tables in it, as the core sees it through fixmap.h: for programs of one
 * file that look at such tables. Beyond it there is nothing: all ones. An address that the CPU cannot have ends the
 * program.
 */
#ifndef FAKE_LOW_MEMORY_H
#define FAKE_LOW_MEMORY_H

#include <stdlib.h>
#include <string.h>

#include "arch/x86_64/fixmap.h"
#include "vm/mmu.h"

#define MEMORY (1u << 20)
#define PHYSICAL_BITS 36

static uint8_t memory[MEMORY] __attribute__((aligned(4096)));

unsigned mmu_physical_bits(void)
{
    return PHYSICAL_BITS;
}

static void check_physical(paddr_t address)
{
    if (address >> PHYSICAL_BITS != 0)
        abort();
}

void *fixmap_open(unsigned slot, paddr_t page, uint64_t attributes)
{
    static uint8_t nothing[4096];

    (void)slot, (void)attributes;
    check_physical(page);
    if (page % sizeof nothing != 0)
        abort();
    memset(nothing, 0xff, sizeof nothing);
    return page < MEMORY ? memory + page : nothing;
}

void fixmap_close(unsigned slot)
{
    (void)slot;
}

void fixmap_copy(void *to, paddr_t from, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        check_physical(from + i);
        ((uint8_t *)to)[i] = from + i < MEMORY ? memory[from + i] : 0xff;
    }
}

#endif
