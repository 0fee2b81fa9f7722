/*
 * While the map of RAM is built there is no map of RAM: each level's current table is seen through its own slot of the
 * fixmap. A walk goes down and comes back, so the slot of an upper level still shows its table afterwards.
 */
#include "arch/x86_64/physmap.h"

#include "arch/x86_64/fixmap.h"
#include "machine.h"

#define LEVEL_TOP 3u

/* Memory types differ below 1 MiB (fixed MTRRs): no large page may cover both sides (Intel SDM vol. 3, 11.11.9). */
#define SMALL_PAGES_BELOW ((paddr_t)2 << 20)

struct builder {
    struct boot_regions free;
    enum page_size largest;
};

/* The part of [start, end) that one table serves, or one entry of it. */
struct span {
    paddr_t start, end;
};

static unsigned level_shift(unsigned level)
{
    return VM_PAGE_SHIFT + PTE_INDEX_BITS * level;
}

static size_t table_index(paddr_t address, unsigned level)
{
    return ((PHYSMAP_BASE + address) >> level_shift(level)) % PTE_TABLE_ENTRIES;
}

static paddr_t end_of_entry(struct span span, unsigned level)
{
    paddr_t end = (span.start | (((paddr_t)1 << level_shift(level)) - 1)) + 1;

    return end < span.end ? end : span.end;
}

/* Fills the entry with a new, empty table. */
static error_t new_table(struct builder *builder, uint64_t *entry, unsigned slot)
{
    struct boot_region *source = builder->free.list;
    paddr_t frame;

    if (*builder->free.count == 0)
        return E_NOMEM;
    frame = source->start;
    boot_regions_remove(builder->free, frame, frame + VM_PAGE_SIZE); /* at the edge of a region: needs no room */
    machine_zero_pages(fixmap_open(slot, frame, 0), VM_PAGE_SIZE);
    *entry = frame | PTE_TABLE;
    return E_SUCCESS;
}

/* Writes leaves of this level from the start of the span on, for as long as they are whole; returns where it ends. */
static paddr_t fill_leaves(const struct builder *builder, uint64_t *entries, unsigned level, struct span span)
{
    paddr_t size = (paddr_t)1 << level_shift(level);
    uint64_t attributes = PTE_CORE_DATA | (level > 0 ? PTE_LARGE : 0);
    uint64_t *entry = &entries[table_index(span.start, level)];
    paddr_t address = span.start;

    if (level > builder->largest || !is_aligned(address, size) || (level > 0 && address < SMALL_PAGES_BELOW))
        return address;
    for (; span.end - address >= size; address += size)
        *entry++ = address | attributes;
    return address;
}

static error_t fill_table(struct builder *builder, paddr_t table, unsigned level, struct span span)
{
    uint64_t *entries = fixmap_open(FIXMAP_TABLE + level, table, 0);

    for (;;) {
        struct span below;
        uint64_t *entry;
        error_t error;

        span.start = fill_leaves(builder, entries, level, span);
        if (span.start == span.end)
            return E_SUCCESS;
        below = (struct span){span.start, end_of_entry(span, level)};
        entry = &entries[table_index(span.start, level)];
        error = *entry & PTE_PRESENT ? E_SUCCESS : new_table(builder, entry, FIXMAP_TABLE + level - 1);
        if (!error)
            error = fill_table(builder, *entry & PTE_ADDRESS, level - 1, below);
        if (error)
            return error;
        span.start = below.end;
    }
}

error_t physmap_build(paddr_t root, struct boot_regions ram, struct boot_regions free, enum page_size largest)
{
    struct builder builder = {free, largest};
    error_t error = E_SUCCESS;

    for (size_t i = 0; i < *ram.count && !error; i++)
        error = fill_table(&builder, root, LEVEL_TOP, (struct span){ram.list[i].start, ram.list[i].end});
    for (unsigned level = 0; level <= LEVEL_TOP; level++)
        fixmap_close(FIXMAP_TABLE + level);
    return error;
}
