/*
 * The simulated CPU: supervisor mode, CR0.WP, EFER.NXE, SMEP. It caches translations and upper-level entries like the
 * TLB and the paging-structure caches of a real one (Intel SDM vol. 3, 4.10), small and with round-robin replacement:
 * enough that a missing flush shows.
 *
 * The PAT is the one that arch/x86_64 loads: WB, WT, UC-, UC as after reset, then WC. -1: nobody should use the entry.
 */
#include <string.h>

#include "core/cpu.h"
#include "fake.h"
#include "vm/mmu.h"
#include "vm/vm.h"

#define TLB_ENTRIES 64
#define RETRIES_MAX 8

#define ENTRY_PRESENT ((uint64_t)1 << 0)
#define ENTRY_WRITE ((uint64_t)1 << 1)
#define ENTRY_USER ((uint64_t)1 << 2)
#define ENTRY_ACCESSED ((uint64_t)1 << 5)
#define ENTRY_DIRTY ((uint64_t)1 << 6)
#define ENTRY_LARGE ((uint64_t)1 << 7)
#define ENTRY_GLOBAL ((uint64_t)1 << 8)
#define ENTRY_NO_EXECUTE ((uint64_t)1 << 63)
#define ENTRY_ADDRESS (((uint64_t)1 << 52) - VM_PAGE_SIZE)

struct table_cache_entry {
    bool valid;
    unsigned level; /* of the table it leads to: 3 to 1 */
    vaddr_t prefix;
    paddr_t table;
};

static struct {
    bool valid;
    struct fake_page page;
} tlb[TLB_ENTRIES];
static struct table_cache_entry tables[TLB_ENTRIES];
static unsigned tlb_next, tables_next;
static paddr_t current_root;
static bool write_execute_allowed;
static error_t (*fault_handler)(vaddr_t, vm_flags_t, bool);
static size_t faults, saves;
static bool saved;
static enum page_size largest_page = PAGE_1G;
static unsigned physical_bits = 40;

enum page_size mmu_largest_page(void)
{
    return largest_page;
}

unsigned mmu_physical_bits(void)
{
    return physical_bits;
}

void fake_cpu_features(enum page_size largest, unsigned bits)
{
    largest_page = largest;
    physical_bits = bits;
}

static uint64_t *entry_of(paddr_t table, unsigned level, vaddr_t address)
{
    return (uint64_t *)phys_to_virt(table) + ((address >> (VM_PAGE_SHIFT + 9 * (level - 1))) & 511);
}

static void check_entry(uint64_t entry, unsigned level, bool leaf, vaddr_t address)
{
    uint64_t beyond = ENTRY_ADDRESS & ~(((uint64_t)1 << mmu_physical_bits()) - 1);
    unsigned largest_level = mmu_largest_page() == PAGE_1G ? 3 : 2;

    if (entry & beyond)
        fake_violation("entry %#lx for %#lx: beyond the physical width", entry, address);
    if (entry & ENTRY_USER)
        fake_violation("entry %#lx for %#lx: a user page in supervisor memory", entry, address);
    if (!leaf && !fake_is_ram(entry & ENTRY_ADDRESS, VM_PAGE_SIZE))
        fake_violation("entry %#lx for %#lx: table outside of RAM", entry, address);
    if (leaf && level > largest_level)
        fake_violation("entry %#lx for %#lx: page size that the CPU has not", entry, address);
    if (leaf && level > 1 &&
        (entry & ENTRY_ADDRESS & (page_bytes((enum page_size)(level - 1)) - 1) & ~(uint64_t)0x1000))
        fake_violation("entry %#lx for %#lx: reserved bits of a large page", entry, address);
}

static vm_flags_t memory_type(uint64_t entry, unsigned level, vaddr_t address)
{
    unsigned pat = (entry >> (level == 1 ? 7 : 12)) & 1, pcd = (entry >> 4) & 1, pwt = (entry >> 3) & 1;
    static const int types[8] = {VM_CACHE_WB, VM_CACHE_WT, -1, VM_CACHE_UC, VM_CACHE_WC, -1, -1, -1};
    int type = types[pat << 2 | pcd << 1 | pwt];

    if (type < 0)
        fake_violation("entry %#lx for %#lx: PAT index %u", entry, address, pat << 2 | pcd << 1 | pwt);
    return (vm_flags_t)type;
}

static void fill_page(struct fake_page *page, uint64_t entry, unsigned level, vaddr_t address)
{
    size_t bytes = page_bytes((enum page_size)(level - 1));

    page->size = (enum page_size)(level - 1);
    page->start = align_down(address, bytes);
    page->frame = entry & ENTRY_ADDRESS & ~(bytes - 1);
    page->global = (entry & ENTRY_GLOBAL) != 0;
    page->accessed = (entry & ENTRY_ACCESSED) != 0;
    page->dirty = (entry & ENTRY_DIRTY) != 0;
    page->cache = memory_type(entry, level, address);
}

static void remember_table(unsigned level, vaddr_t address, paddr_t table)
{
    vaddr_t prefix = address >> (VM_PAGE_SHIFT + 9 * level);

    for (unsigned i = 0; i < TLB_ENTRIES; i++)
        if (tables[i].valid && tables[i].level == level && tables[i].prefix == prefix)
            return;
    tables[tables_next++ % TLB_ENTRIES] = (struct table_cache_entry){true, level, prefix, table};
}

/* The walk proper; as_hardware sets accessed and dirty bits and fills the caches of upper-level entries. */
static bool walk(paddr_t root, vaddr_t address, struct fake_page *page, bool as_hardware, bool write)
{
    paddr_t table = root;
    bool writable = true, executable = true;

    if ((uint64_t)((int64_t)(address << 16) >> 16) != address)
        fake_violation("%#lx is not a canonical address", address);
    for (unsigned level = 4;; level--) {
        uint64_t *entry = entry_of(table, level, address);
        bool leaf = level == 1 || (level < 4 && (*entry & ENTRY_LARGE));

        if (!(*entry & ENTRY_PRESENT))
            return false;
        check_entry(*entry, level, leaf, address);
        writable = writable && (*entry & ENTRY_WRITE);
        executable = executable && !(*entry & ENTRY_NO_EXECUTE);
        if (as_hardware)
            *entry |= ENTRY_ACCESSED | (leaf && write && writable ? ENTRY_DIRTY : 0);
        if (leaf) {
            fill_page(page, *entry, level, address);
            break;
        }
        if (level == 4 && (*entry & ENTRY_LARGE))
            fake_violation("entry %#lx for %#lx: page size bit in the top level", *entry, address);
        table = *entry & ENTRY_ADDRESS;
        if (as_hardware)
            remember_table(level - 1, address, table);
    }
    page->writable = writable;
    page->executable = executable;
    if (writable && executable && !write_execute_allowed)
        fake_violation("%#lx is both writable and executable", address);
    return true;
}

bool fake_walk(paddr_t root, vaddr_t address, struct fake_page *page)
{
    return walk(root, address, page, false, false);
}

void fake_allow_write_execute(void)
{
    write_execute_allowed = true;
}

void fake_use_tables(paddr_t root)
{
    current_root = root;
    memset(tlb, 0, sizeof(tlb));
    memset(tables, 0, sizeof(tables));
}

void fake_on_fault(error_t (*handler)(vaddr_t, vm_flags_t, bool))
{
    fault_handler = handler;
}

static bool covers(const struct fake_page *page, vaddr_t address)
{
    return address - page->start < page_bytes(page->size);
}

static void forget(vaddr_t address)
{
    for (unsigned i = 0; i < TLB_ENTRIES; i++)
        if (tlb[i].valid && covers(&tlb[i].page, address))
            tlb[i].valid = false;
}

/* INVLPG drops all cached upper-level entries, whatever the address (4.10.4.1). */
void machine_flush_page(vaddr_t address)
{
    forget(address);
    memset(tables, 0, sizeof(tables));
}

void machine_flush_all(void)
{
    for (unsigned i = 0; i < TLB_ENTRIES; i++)
        if (!tlb[i].page.global)
            tlb[i].valid = false;
    memset(tables, 0, sizeof(tables));
}

static bool allows(const struct fake_page *page, vm_flags_t access)
{
    return access == VM_READ || (access == VM_WRITE ? page->writable : page->executable);
}

/* A translation for the access: from the TLB, or walked and remembered. present tells why there is none. */
static bool translate(vaddr_t address, vm_flags_t access, struct fake_page *page, bool *present)
{
    *present = true;
    for (unsigned i = 0; i < TLB_ENTRIES; i++) {
        if (tlb[i].valid && covers(&tlb[i].page, address)) {
            *page = tlb[i].page;
            if (access == VM_WRITE && page->writable && !page->dirty) { /* the entry in memory is told (4.8) */
                tlb[i].valid = false;
                continue;
            }
            return allows(page, access);
        }
    }
    *present = walk(current_root, address, page, true, access == VM_WRITE);
    if (!*present || !allows(page, access))
        return false;
    tlb[tlb_next % TLB_ENTRIES].valid = true;
    tlb[tlb_next++ % TLB_ENTRIES].page = *page;
    return true;
}

static bool in_map_of_ram(vaddr_t address)
{
    return address - PHYSMAP_BASE < PHYSMAP_SIZE;
}

static error_t access_physical(vaddr_t address, vm_flags_t access, paddr_t *physical)
{
    struct fake_page page;
    bool present;

    if (in_map_of_ram(address)) {
        *physical = address - PHYSMAP_BASE;
        return fake_is_ram(*physical, 1) && access != VM_EXEC ? E_SUCCESS : E_FAULT;
    }
    for (unsigned retry = 0; retry < RETRIES_MAX; retry++) {
        error_t error;

        if (translate(address, access, &page, &present)) {
            *physical = page.frame + (address - page.start);
            return E_SUCCESS;
        }
        faults++;
        forget(address); /* a fault does that (4.10.4.1) */
        if (fault_handler == NULL)
            return E_FAULT;
        error = fault_handler(address, access, present);
        if (saved)
            fake_violation("extended state was saved and not loaded again");
        if (error != E_SUCCESS)
            return error;
    }
    fake_violation("fault at %#lx, access %u, was served %d times and still is one", address, access, RETRIES_MAX);
}

/* Where there is no RAM nobody answers: reads are all ones, writes go nowhere. */
static void transfer_physical(paddr_t physical, uint8_t *to, const uint8_t *from, size_t length)
{
    bool ram = fake_is_ram(physical, length);

    if (from && ram)
        memcpy(phys_to_virt(physical), from, length);
    else if (to && ram)
        memcpy(to, phys_to_virt(physical), length);
    else if (to)
        memset(to, 0xff, length);
}

static error_t transfer(vaddr_t address, uint8_t *to, const uint8_t *from, size_t length)
{
    while (length > 0) {
        size_t rest = VM_PAGE_SIZE - (address & VM_PAGE_MASK), part = length < rest ? length : rest;
        paddr_t physical;
        error_t error = access_physical(address, from ? VM_WRITE : VM_READ, &physical);

        if (error != E_SUCCESS)
            return error;
        transfer_physical(physical, to, from, part);
        address += part;
        length -= part;
        from = from ? from + part : NULL;
        to = to ? to + part : NULL;
    }
    return E_SUCCESS;
}

error_t fake_read(vaddr_t address, void *to, size_t length)
{
    return transfer(address, to, NULL, length);
}

error_t fake_write(vaddr_t address, const void *from, size_t length)
{
    return transfer(address, NULL, from, length);
}

error_t fake_execute(vaddr_t address)
{
    paddr_t physical;

    return access_physical(address, VM_EXEC, &physical);
}

error_t fake_touch(vaddr_t address, vm_flags_t access, uint8_t value)
{
    if (access == VM_EXEC)
        return fake_execute(address);
    return access == VM_WRITE ? fake_write(address, &value, 1) : fake_read(address, &value, 1);
}

size_t fake_faults(void)
{
    return faults;
}

static bool same_translation(const struct fake_page *old, vaddr_t address)
{
    struct fake_page now;

    return fake_walk(current_root, address, &now) && now.writable == old->writable &&
           now.executable == old->executable && now.cache == old->cache && now.dirty >= old->dirty &&
           now.frame + (address - now.start) == old->frame + (address - old->start);
}

static bool page_stale(const struct fake_page *page)
{
    struct fake_page now;

    if (fake_walk(current_root, page->start, &now) && now.size >= page->size)
        return !same_translation(page, page->start);
    for (size_t offset = 0; offset < page_bytes(page->size); offset += VM_PAGE_SIZE)
        if (!same_translation(page, page->start + offset))
            return true;
    return false;
}

static bool table_stale(const struct table_cache_entry *cached)
{
    vaddr_t address = cached->prefix << (VM_PAGE_SHIFT + 9 * cached->level);
    paddr_t table = current_root;

    for (unsigned level = 4; level > cached->level; level--) {
        uint64_t entry = *entry_of(table, level, address);

        if (!(entry & ENTRY_PRESENT) || (level < 4 && (entry & ENTRY_LARGE)))
            return true;
        table = entry & ENTRY_ADDRESS;
    }
    return table != cached->table;
}

static bool (*excuse)(vaddr_t, size_t);

void fake_tlb_excuse(bool (*excused)(vaddr_t, size_t))
{
    excuse = excused;
}

static bool is_excused(vaddr_t start, size_t size)
{
    return excuse != NULL && excuse(start, size);
}

const char *fake_tlb_stale(void)
{
    static char text[96];

    for (unsigned i = 0; i < TLB_ENTRIES; i++) {
        unsigned shift = VM_PAGE_SHIFT + 9 * tables[i].level;

        if (tlb[i].valid && page_stale(&tlb[i].page) && !is_excused(tlb[i].page.start, page_bytes(tlb[i].page.size))) {
            __builtin_snprintf(text, sizeof(text), "the TLB still translates %#lx", tlb[i].page.start);
            return text;
        }
        if (tables[i].valid && table_stale(&tables[i]) && !is_excused(tables[i].prefix << shift, (size_t)1 << shift)) {
            __builtin_snprintf(text, sizeof(text), "the CPU still uses a freed table of level %u", tables[i].level);
            return text;
        }
    }
    return NULL;
}

void user_check_suspend(void)
{
}

void user_check_resume(void)
{
}

size_t cpu_extended_state_size(void)
{
    return 2560;
}

void machine_enter_program_code(struct machine_state *interrupted)
{
    if (saved || !is_aligned((uintptr_t)interrupted, 64))
        fake_violation("extended state saved twice, or into a misaligned area");
    memset(interrupted->area, 0x5a, sizeof(interrupted->area));
    saved = true;
    saves++;
}

void machine_leave_program_code(const struct machine_state *interrupted)
{
    if (!saved || interrupted->area[0] != 0x5a || interrupted->area[sizeof(interrupted->area) - 1] != 0x5a)
        fake_violation("extended state loaded that was not saved");
    saved = false;
}

size_t fake_extended_state_saves(void)
{
    return saves;
}
