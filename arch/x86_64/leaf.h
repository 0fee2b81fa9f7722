/*
 * Entering small pages where their table is there already: what of vm/mmu.h stands in the path of a fault, and so
 * inline. Seen through machine.h, on the host too.
 *
 * The way down begins at the directory (the table of level 1, for a GiB of addresses) that was used last. Who gives
 * back a directory or a table above it, or puts it in another place, forgets that first.
 */
#ifndef ARCH_LEAF_H
#define ARCH_LEAF_H

#include "arch/x86_64/pte.h"
#include "vm/mmu.h"
#include "vm/vm.h"

#define LEAF_USED_SHIFT 52
#define LEAF_USED_ONE (1ull << LEAF_USED_SHIFT)
#define LEAF_USED_MASK (0x3ffull << LEAF_USED_SHIFT)
/* Software: an entry that points to a table whose place is among those remembered as empty. */
#define LEAF_NOTED PTE_BIT(11)
#define LEAF_DIRECTORY_SHIFT 30u
#define LEAF_TABLE_SHIFT 21u

/* Entries of ordinary memory by VM_READ, VM_WRITE and VM_EXEC, accessed and dirty preset. */
extern const uint64_t mmu_leaf_bits[8];

static inline void mmu_forget_table(struct mmu *mmu)
{
    mmu->directory_number = ~(vaddr_t)0;
}

/* The entry for the 2 MiB around va in the directory used last; NULL: va is in another. */
static inline uint64_t *mmu_directory_entry(const struct mmu *mmu, vaddr_t va)
{
    if (UNLIKELY(va >> LEAF_DIRECTORY_SHIFT != mmu->directory_number))
        return NULL;
    if (!mmu->directory)
        __builtin_unreachable();
    return &mmu->directory[(va >> LEAF_TABLE_SHIFT) % PTE_TABLE_ENTRIES];
}

/* True if the entry of a directory points to a table of small pages; and to one with a page in it, which only such an
 * entry counts. */
static inline bool mmu_has_table(uint64_t directory_entry)
{
    return (directory_entry & (PTE_PRESENT | PTE_LARGE)) == PTE_PRESENT;
}

/* The same where no page of 2 MiB can be. */
static inline bool mmu_has_only_table(uint64_t directory_entry)
{
    return directory_entry & PTE_PRESENT;
}

static inline bool mmu_table_is_used(uint64_t directory_entry)
{
    return directory_entry & LEAF_USED_MASK;
}

/* The entry for the small page at va in the table that the directory's entry points to. */
static inline uint64_t *mmu_small_entry(uint64_t directory_entry, vaddr_t va)
{
    return (uint64_t *)phys_to_virt(directory_entry & PTE_ADDRESS) + (va >> VM_PAGE_SHIFT) % PTE_TABLE_ENTRIES;
}

/* The directory's entry for a range of so few pages that each is flushed by itself, if all are in one table of the
 * directory used last, and some there; else NULL. */
static inline uint64_t *mmu_few_in_table(const struct mmu *mmu, vaddr_t va, size_t size)
{
    if (size > MMU_FLUSH_SINGLES * VM_PAGE_SIZE || (va ^ (va + size - 1)) >> LEAF_TABLE_SHIFT != 0)
        return NULL;
    uint64_t *entry = mmu_directory_entry(mmu, va);

    return LIKELY(entry && mmu_table_is_used(*entry)) ? entry : NULL;
}

/* The entry of the small page that is at va; NULL: none is. */
static inline uint64_t *mmu_present_entry(struct mmu *mmu, vaddr_t va)
{
    uint64_t *table = mmu_directory_entry(mmu, va);

    if (UNLIKELY(!table))
        table = mmu_find_directory(mmu, va);
    if (UNLIKELY(!table || !mmu_has_table(*table)))
        return NULL;
    uint64_t *entry = mmu_small_entry(*table, va);

    __asm__("" : "+r"(entry)); /* an address, not base and index: else two registers are saved */
    return *entry & PTE_PRESENT ? entry : NULL;
}

/* True if the page was written to since it was entered, or since mmu_forget_dirty, as long as nobody else asks
 * (mmu_clean). */
static inline bool mmu_is_dirty(const uint64_t *entry)
{
    return *entry & PTE_DIRTY;
}

/* The caller flushes the page. */
static inline void mmu_forget_dirty(uint64_t *entry)
{
    *entry &= ~(uint64_t)PTE_DIRTY;
}

/* Enters a page of ordinary memory into a free entry, for which the directory's counts it. */
static inline void mmu_enter_small(struct mmu *mmu, uint64_t *directory_entry, uint64_t *entry, paddr_t frame,
                                   vm_flags_t protection)
{
    uint64_t none = 0;

    if (LIKELY(__atomic_compare_exchange_n(entry, &none, frame | mmu_leaf_bits[protection], false, __ATOMIC_ACQ_REL,
                                           __ATOMIC_RELAXED))) {
        uint64_t one = LEAF_USED_ONE;

        __asm__("" : "+r"(one)); /* else it is made of the mask, in more instructions */
        *directory_entry += one;
        mmu->bytes += VM_PAGE_SIZE;
    }
}

/* The same at va, where that is free and its table there and used last, of ordinary memory: else false. */
static inline bool mmu_map_hot(struct mmu *mmu, vaddr_t va, paddr_t frame, vm_flags_t flags)
{
    uint64_t *table = mmu_directory_entry(mmu, va), *entry;

    if (UNLIKELY(!table || !mmu_has_table(*table)))
        return false;
    entry = mmu_small_entry(*table, va);
    __asm__("" : "+r"(table), "+r"(entry)); /* addresses, not bases and indices: else registers are saved */
    if (UNLIKELY(*entry != 0 || flags & (VM_CACHE | VM_BORROWED)))
        return false;
    mmu_enter_small(mmu, table, entry, frame, flags & VM_PROTECTION);
    return true;
}

/* So many were written into free entries of the directory's table. */
static inline void mmu_count_entered(struct mmu *mmu, uint64_t *directory_entry, size_t count)
{
    mmu->bytes += count << VM_PAGE_SHIFT;
    *directory_entry += (uint64_t)count << LEAF_USED_SHIFT;
}

/* So many pages of 4 KiB and 2 MiB were entered that are not counted yet (mmu_add_small, mmu_add_large). */
static inline void mmu_count_added(struct mmu *mmu, size_t small, size_t large)
{
    mmu->bytes += (small << VM_PAGE_SHIFT) + (large << LEAF_TABLE_SHIFT);
    mmu->large[PAGE_2M - 1] += large;
}

/* Enters a page of 2 MiB of ordinary memory into the free entry of a directory, the one that was used last. */
static inline void mmu_enter_large(struct mmu *mmu, uint64_t *directory_entry, paddr_t frame, vm_flags_t protection)
{
    *directory_entry = frame | PTE_LARGE | mmu_leaf_bits[protection];
    *mmu->directory_parent += LEAF_USED_ONE;
    mmu->bytes += (size_t)1 << LEAF_TABLE_SHIFT;
    mmu->large[PAGE_2M - 1]++;
}

/* The other way: takes the page at va, which is there, out of its table, and flushes it. The entry, whose frame is the
 * caller's now. */
static inline uint64_t mmu_take_small(uint64_t *entry, vaddr_t va)
{
    uint64_t old = *entry;

    *entry = 0;
    machine_flush_page(va);
    return old;
}

/* So many were taken out of the directory's table. The table stays: who sees that mmu_table_is_new_empty calls
 * mmu_note_empty. */
static inline void mmu_count_taken(struct mmu *mmu, uint64_t *directory_entry, size_t count)
{
    mmu->flushed_pages += count;
    mmu->bytes -= count << VM_PAGE_SHIFT;
    *directory_entry -= (uint64_t)count << LEAF_USED_SHIFT;
}

static inline bool mmu_entry_is_borrowed(uint64_t small_entry)
{
    return small_entry & PTE_BORROWED;
}

/* False: no CPU knows a translation by it. */
static inline bool mmu_entry_may_be_known(uint64_t small_entry)
{
    return small_entry & PTE_PRESENT;
}

static inline paddr_t mmu_entry_frame(uint64_t small_entry)
{
    return small_entry & PTE_ADDRESS;
}

/* True if no page is in the table that the directory's entry points to, and its place is not remembered yet. */
static inline bool mmu_table_is_new_empty(uint64_t directory_entry)
{
    return (directory_entry & (LEAF_USED_MASK | LEAF_NOTED)) == 0;
}

#endif
