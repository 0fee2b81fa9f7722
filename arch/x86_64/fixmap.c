#include "arch/x86_64/fixmap.h"

#include "core/base/assert.h"
#include "machine.h"

/* The page table that serves FIXMAP_BASE, linked into the first page tables by arch/x86_64/entry.S. */
extern uint64_t __boot_fixmap_table[PTE_TABLE_ENTRIES];

static void *slot_address(unsigned slot)
{
    return (void *)(FIXMAP_BASE + slot * VM_PAGE_SIZE);
}

static void set_slot(unsigned slot, uint64_t entry)
{
    ASSERT(slot < FIXMAP_SLOTS);
    __boot_fixmap_table[slot] = entry;
    machine_flush_page((vaddr_t)slot_address(slot));
}

void *fixmap_open(unsigned slot, paddr_t page, uint64_t attributes)
{
    ASSERT((page & ~PTE_ADDRESS) == 0);
    set_slot(slot, page | PTE_CORE_DATA | attributes);
    return slot_address(slot);
}

void fixmap_close(unsigned slot)
{
    set_slot(slot, 0);
}

void fixmap_copy(void *to, paddr_t from, size_t length)
{
    char *target = to;

    while (length > 0) {
        size_t offset = from & VM_PAGE_MASK;
        size_t piece = length < VM_PAGE_SIZE - offset ? length : VM_PAGE_SIZE - offset;
        const char *window = fixmap_open(FIXMAP_COPY, from - offset, 0);

        __builtin_memcpy(target, window + offset, piece);
        target += piece;
        from += piece;
        length -= piece;
    }
    fixmap_close(FIXMAP_COPY);
}
