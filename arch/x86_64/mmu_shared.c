/*
 * Page-table entries that several CPUs make at once, in tables that nobody changes otherwise meanwhile (vm/visitors.c).
 *
 * An entry that is free becomes one of a page, or of a table, by a compare-and-swap: of several that make one, one
 * does, and the others get their frames back. The count that the entry above keeps (mmu.c) follows, by an atomic
 * addition: it is right as soon as all have gone. For the entries of a directory that comes when they go: the counts of
 * eight GiB are on one line, which all that walk the tables read. Tables, and the entry of the GiB, stay where they
 * are; so does what mmu.c remembers of them.
 */
#include "arch/x86_64/pte.h"
#include "core/cpu.h"
#include "core/percpu.h"
#include "vm/mmu.h"
#include "vm/vm.h"
#include <machine.h> /* not "": the fake of tests/unit must win over the one in this folder */

#if QUIRE_THREADS

#define ROOT_SHIFT 39u
#define GIB_SHIFT 30u

typedef uint64_t entry_t;

static inline entry_t *entry_at(entry_t *table, vaddr_t va, unsigned shift)
{
    return &table[(va >> shift) % PTE_TABLE_ENTRIES];
}

static inline entry_t load(const entry_t *entry)
{
    return __atomic_load_n(entry, __ATOMIC_ACQUIRE);
}

/* False: it is not free. */
static inline bool enter(entry_t *entry, entry_t value)
{
    entry_t none = 0;

    return __atomic_compare_exchange_n(entry, &none, value, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static inline void count(entry_t *above, unsigned entries)
{
    __atomic_fetch_add(above, (entry_t)entries << LEAF_USED_SHIFT, __ATOMIC_RELAXED);
}

bool mmu_find_place(const struct mmu *mmu, vaddr_t va, struct mmu_place *place)
{
    entry_t above = load(entry_at(phys_to_virt(mmu->root), va, ROOT_SHIFT));

    if (UNLIKELY(above == 0))
        return false;
    place->above = entry_at(phys_to_virt(above & PTE_ADDRESS), va, GIB_SHIFT);
    above = load(place->above);
    if (UNLIKELY(!mmu_has_table(above)))
        return false;
    place->directory = entry_at(phys_to_virt(above & PTE_ADDRESS), va, LEAF_TABLE_SHIFT);
    place->entry = load(place->directory);
    return true;
}

void mmu_count_entries(struct mmu_uncounted *uncounted)
{
    if (uncounted->entries > 0)
        count(uncounted->above, uncounted->entries);
    uncounted->entries = 0;
}

static void count_later(struct mmu_uncounted *uncounted, entry_t *above)
{
    if (UNLIKELY(uncounted->above != above)) {
        mmu_count_entries(uncounted);
        uncounted->above = above;
    }
    uncounted->entries++;
}

bool mmu_add_table(struct mmu_place *place, struct mmu_uncounted *uncounted)
{
    paddr_t table = mmu_get_table_frame();

    if (UNLIKELY(table == FRAME_NONE))
        return false;
    if (enter(place->directory, table | PTE_TABLE))
        count_later(uncounted, place->above);
    else
        mmu_put_table_frame(table);
    place->entry = load(place->directory);
    return true;
}

unsigned mmu_add_small(const struct mmu_place *place, vaddr_t va, struct frame_run run, vm_flags_t flags)
{
    entry_t *first = mmu_small_entry(place->entry, va), *entry = first;
    entry_t leaf = run.first | mmu_leaf_bits[flags & VM_PROTECTION];

    for (const entry_t *end = entry + run.count; entry < end && enter(entry, leaf); leaf += VM_PAGE_SIZE)
        entry++;
    if (LIKELY(entry != first))
        count(place->directory, (unsigned)(entry - first));
    return (unsigned)(entry - first);
}

bool mmu_add_large(const struct mmu_place *place, paddr_t frame, vm_flags_t flags, struct mmu_uncounted *uncounted)
{
    if (UNLIKELY(!enter(place->directory, frame | PTE_LARGE | mmu_leaf_bits[flags & VM_PROTECTION])))
        return false;
    count_later(uncounted, place->above);
    return true;
}

bool mmu_forget_allowed(const struct mmu_place *place, vaddr_t va, vm_flags_t access)
{
    entry_t entry = place->entry;

    if (mmu_has_table(entry))
        entry = load(mmu_small_entry(entry, va));
    if (!(entry & PTE_PRESENT) || ((access & VM_WRITE) && !(entry & PTE_WRITE)) ||
        ((access & VM_EXEC) && (entry & PTE_NX)))
        return false;
    machine_flush_page(va);
    return true;
}
#endif
