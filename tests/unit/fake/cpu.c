/*
 * The simulated CPU: supervisor mode, CR0.WP, EFER.NXE, SMEP. It caches translations and upper-level entries like the
 * TLB and the paging-structure caches of a real one (Intel SDM vol. 3, 4.10), small and with round-robin replacement:
 * enough that a missing flush shows. Each CPU has caches of its own, and an access is one step for the others: what
 * they ask of the CPU is done before it or after it. The walker is hardware: ThreadSanitizer does not look at it.
 *
 * The PAT is the one that arch/x86_64 loads: WB, WT, UC-, UC as after reset, then WC. -1: nobody should use the entry.
 */
#include <string.h>

#include "core/cpu.h"
#include "core/percpu.h"
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

struct caches {
    struct {
        bool valid;
        struct fake_page page;
    } tlb[TLB_ENTRIES];
    struct table_cache_entry tables[TLB_ENTRIES];
    unsigned tlb_next, tables_next;
};

static struct caches caches[CPUS_MAX];
static paddr_t current_root;
static bool write_execute_allowed;
static error_t (*fault_handler)(vaddr_t, vm_flags_t, bool);
static PERCPU size_t faults, saves;
static PERCPU bool saved;
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

static struct caches *own_caches(void)
{
    return &caches[cpu_number()];
}

/* What the CPU walks: tables of its own, where it has some (vm/mmu.h). */
static paddr_t root_of(unsigned cpu)
{
#if QUIRE_THREADS
    if (cpu_variable(cpu, mmu_own_root) != 0)
        return cpu_variable(cpu, mmu_own_root);
#endif
    (void)cpu;
    return current_root;
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
    struct caches *own = own_caches();

    for (unsigned i = 0; i < TLB_ENTRIES; i++)
        if (own->tables[i].valid && own->tables[i].level == level && own->tables[i].prefix == prefix)
            return;
    own->tables[own->tables_next++ % TLB_ENTRIES] = (struct table_cache_entry){true, level, prefix, table};
}

#define HARDWARE __attribute__((no_sanitize("thread")))

HARDWARE static uint64_t load_entry(const volatile uint64_t *entry)
{
    return *entry;
}

/* Sets accessed and dirty, unless the entry has changed. */
HARDWARE static bool mark_entry(uint64_t *entry, uint64_t old, uint64_t bits)
{
    uint64_t found = old;

    if ((old & bits) == bits)
        return true;
    __asm__ volatile("lock cmpxchgq %2, %1" : "+a"(found), "+m"(*entry) : "r"(old | bits) : "memory", "cc");
    return found == old;
}

/* The walk proper; as_hardware sets accessed and dirty bits and fills the caches of upper-level entries. */
static bool walk(paddr_t root, vaddr_t address, struct fake_page *page, bool as_hardware, bool write)
{
    paddr_t table = root;
    bool writable = true, executable = true;

    if ((uint64_t)((int64_t)(address << 16) >> 16) != address)
        fake_violation("%#lx is not a canonical address", address);
    for (unsigned level = 4;; level--) {
        uint64_t *place = entry_of(table, level, address), entry = load_entry(place);
        bool leaf = level == 1 || (level < 4 && (entry & ENTRY_LARGE));

        if (!(entry & ENTRY_PRESENT))
            return false;
        check_entry(entry, level, leaf, address);
        writable = writable && (entry & ENTRY_WRITE);
        executable = executable && !(entry & ENTRY_NO_EXECUTE);
        uint64_t marks = as_hardware ? ENTRY_ACCESSED | (leaf && write && writable ? ENTRY_DIRTY : 0) : 0;

        if (!mark_entry(place, entry, marks))
            return walk(root, address, page, as_hardware, write);
        if (leaf) {
            fill_page(page, entry | marks, level, address);
            break;
        }
        if (level == 4 && (entry & ENTRY_LARGE))
            fake_violation("entry %#lx for %#lx: page size bit in the top level", entry, address);
        table = entry & ENTRY_ADDRESS;
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
    memset(caches, 0, sizeof(caches));
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
    struct caches *own = own_caches();

    for (unsigned i = 0; i < TLB_ENTRIES; i++)
        if (own->tlb[i].valid && covers(&own->tlb[i].page, address))
            own->tlb[i].valid = false;
}

/* INVLPG drops all cached upper-level entries, whatever the address (4.10.4.1). */
void machine_flush_page(vaddr_t address)
{
    forget(address);
    memset(own_caches()->tables, 0, sizeof(own_caches()->tables));
}

void machine_flush_all(void)
{
    struct caches *own = own_caches();

    for (unsigned i = 0; i < TLB_ENTRIES; i++)
        if (!own->tlb[i].page.global)
            own->tlb[i].valid = false;
    memset(own->tables, 0, sizeof(own->tables));
}

static bool allows(const struct fake_page *page, vm_flags_t access)
{
    return access == VM_READ || (access == VM_WRITE ? page->writable : page->executable);
}

/* A translation for the access: from the TLB, or walked and remembered. present tells why there is none. */
static bool translate(vaddr_t address, vm_flags_t access, struct fake_page *page, bool *present)
{
    struct caches *own = own_caches();

    *present = true;
    for (unsigned i = 0; i < TLB_ENTRIES; i++) {
        if (own->tlb[i].valid && covers(&own->tlb[i].page, address)) {
            *page = own->tlb[i].page;
            if (access == VM_WRITE && page->writable && !page->dirty) { /* the entry in memory is told (4.8) */
                own->tlb[i].valid = false;
                continue;
            }
            return allows(page, access);
        }
    }
    *present = walk(root_of(cpu_number()), address, page, true, access == VM_WRITE);
    if (!*present || !allows(page, access))
        return false;
    own->tlb[own->tlb_next % TLB_ENTRIES].valid = true;
    own->tlb[own->tlb_next++ % TLB_ENTRIES].page = *page;
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
        this_cpu(faults)++;
        forget(address); /* a fault does that (4.10.4.1) */
        if (fault_handler == NULL)
            return E_FAULT;
        error = fault_handler(address, access, present);
        if (this_cpu(saved))
            fake_violation("extended state was saved and not loaded again");
        if (error != E_SUCCESS)
            return error;
    }
    fake_violation("fault at %#lx, access %u, was served %d times and still is one", address, access, RETRIES_MAX);
}

/* Programs order what their CPUs do to the same memory, or do not care. */
HARDWARE static void copy_bytes(volatile uint8_t *to, const volatile uint8_t *from, size_t length)
{
    while (length-- > 0)
        *to++ = *from++;
}

/* Where there is no RAM nobody answers: reads are all ones, writes go nowhere. */
static void transfer_physical(paddr_t physical, uint8_t *to, const uint8_t *from, size_t length)
{
    bool ram = fake_is_ram(physical, length);

    if (from && ram)
        copy_bytes(phys_to_virt(physical), from, length);
    else if (to && ram)
        copy_bytes(to, phys_to_virt(physical), length);
    else if (to)
        memset(to, 0xff, length);
}

static error_t transfer(vaddr_t address, uint8_t *to, const uint8_t *from, size_t length)
{
    while (length > 0) {
        size_t rest = VM_PAGE_SIZE - (address & VM_PAGE_MASK), part = length < rest ? length : rest;
        paddr_t physical;

        fake_cpu_look();
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
    size_t sum = 0;

    for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
        sum += cpu_variable(cpu, faults);
    return sum;
}

/* Where several CPUs run, they may know a page as more protected than it is. */
static bool may_be_known_as(bool old, bool now)
{
    return old == now || (now && cpu_count() > 1);
}

static bool same_translation(const struct fake_page *old, vaddr_t address)
{
    struct fake_page now;

    return fake_walk(current_root, address, &now) && may_be_known_as(old->writable, now.writable) &&
           may_be_known_as(old->executable, now.executable) && now.cache == old->cache && now.dirty >= old->dirty &&
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

static bool table_stale(const struct table_cache_entry *cached, unsigned cpu)
{
    vaddr_t address = cached->prefix << (VM_PAGE_SHIFT + 9 * cached->level);
    paddr_t table = root_of(cpu);

    for (unsigned level = 4; level > cached->level; level--) {
        uint64_t entry = load_entry(entry_of(table, level, address));

        if (!(entry & ENTRY_PRESENT) || (level < 4 && (entry & ENTRY_LARGE)))
            return true;
        table = entry & ENTRY_ADDRESS;
    }
    return table != cached->table;
}

/* Where several CPUs run, one may use a table that is not in the tree any more, as long as nothing is in it: the CPU
 * faults on what is there by now, and forgets it. */
static bool table_is_harmless(const struct table_cache_entry *cached)
{
    const uint64_t *entries = phys_to_virt(cached->table);
    uint64_t any = 0;

    for (size_t i = 0; i < VM_PAGE_SIZE / sizeof(*entries); i++)
        any |= entries[i];
    return cpu_count() > 1 && any == 0;
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

static const char *caches_stale(unsigned cpu)
{
    static char text[96];
    const struct caches *of = &caches[cpu];

    for (unsigned i = 0; i < TLB_ENTRIES; i++) {
        const struct table_cache_entry *table = &of->tables[i];
        const struct fake_page *page = &of->tlb[i].page;
        unsigned shift = VM_PAGE_SHIFT + 9 * table->level;

        if (of->tlb[i].valid && page_stale(page) && !is_excused(page->start, page_bytes(page->size))) {
            __builtin_snprintf(text, sizeof(text), "the TLB of CPU %u still translates %#lx", cpu, page->start);
            return text;
        }
        if (table->valid && table_stale(table, cpu) && !is_excused(table->prefix << shift, (size_t)1 << shift) &&
            !table_is_harmless(table)) {
            __builtin_snprintf(text, sizeof(text), "CPU %u still uses a freed table of level %u", cpu, table->level);
            return text;
        }
    }
    return NULL;
}

const char *fake_tlb_stale(void)
{
    const char *stale = NULL;

    for (unsigned cpu = 0; cpu < cpu_count() && !stale; cpu++)
        stale = caches_stale(cpu);
    return stale;
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
    if (this_cpu(saved) || !is_aligned((uintptr_t)interrupted, 64))
        fake_violation("extended state saved twice, or into a misaligned area");
    memset(interrupted->area, 0x5a, sizeof(interrupted->area));
    this_cpu(saved) = true;
    this_cpu(saves)++;
}

void machine_leave_program_code(const struct machine_state *interrupted)
{
    if (!this_cpu(saved) || interrupted->area[0] != 0x5a || interrupted->area[sizeof(interrupted->area) - 1] != 0x5a)
        fake_violation("extended state loaded that was not saved");
    this_cpu(saved) = false;
}

size_t fake_extended_state_saves(void)
{
    return this_cpu(saves);
}
