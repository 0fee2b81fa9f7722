/*
 * Page tables (vm/mmu.h), four levels (Intel SDM vol. 3, 4.5). Level 0 holds pages of 4 KiB, level 3 is the root.
 *
 * An entry that points to a table keeps, in bits that the CPU ignores, how many entries of that table are in use. So
 * an emptied table is known without a scan, and zeroed already. If all of its addresses were unmapped it goes at once;
 * otherwise it stays where it is, since what empties a table by parts fills it again as a rule. The last few such
 * places are remembered, and the oldest table goes, if it is still empty, when one more comes. A table that went out of
 * the tree waits for the next flush of any kind, for the CPU may remember where it was (SDM vol. 3, 4.10.3), and is
 * then ready for use again.
 *
 * Accessed and dirty are set when an entry is made: the CPU never has to write one. An entry that is not dirty is that
 * of a page whose contents were given up (mmu_clean), and which was not written to since.
 *
 * An inaccessible page (no VM_READ) keeps its entry with the present bit clear and PTE_KEPT set.
 *
 * Operations that need tables take them first (prepare) and only then change anything (commit).
 *
 * Several CPUs walk the same tables, and the caller's lock keeps only others that change them away. What makes an entry
 * less permissive, or puts another in its place, is told to the CPUs that may know it (cpu_tables.c), once for each
 * operation (struct flush); what adds an entry, or makes one more permissive, to none: a CPU that knows better faults,
 * and forgets (vm/fault.c). The frames of pages that are unmapped one by one are given away only when no CPU can reach
 * them any more: such pages are made inaccessible first, which is when the others are told, and then removed. A CPU
 * that uses a table that went out of the tree finds nothing in it, and faults; so such a table may wait for the next
 * flush of everything on all of them. A CPU sets the dirty bit of an entry at any time: entries that are present and
 * not dirty are changed by atomic operations.
 */
#include "vm/mmu.h"

#include "arch/x86_64/cpu_tables.h"
#include "arch/x86_64/pte.h"
#include "core/base/assert.h"
#include "core/base/string.h"
#include "core/percpu.h"
#include "vm/vm.h"
#include <machine.h> /* not "": the fake of tests/unit must win over the one in this folder */

#define ENTRIES 512u
#define ROOT_LEVEL 3u
#define USED_SHIFT LEAF_USED_SHIFT
#define USED_ONE LEAF_USED_ONE
#define USED_MASK LEAF_USED_MASK

#define PTE_NOTED LEAF_NOTED

/* Software: an entry that points to a table that has to stay although it is empty, for something is about to be moved
 * there. */
#define PTE_HELD PTE_BIT(10)

typedef uint64_t entry_t;

PERCPU struct mmu *mmu_behind;
#if QUIRE_THREADS
PERCPU struct mmu_shootdowns mmu_shootdowns;
#endif

#ifdef QUIRE_DEBUG
bool mmu_strict = true;
#else
bool mmu_strict;
#endif

static inline unsigned level_shift(unsigned level)
{
    return VM_PAGE_SHIFT + 9 * level;
}

static inline unsigned entry_index(vaddr_t va, unsigned level)
{
    return (va >> level_shift(level)) % ENTRIES;
}

static inline entry_t *entry_table(entry_t entry)
{
    return phys_to_virt(entry & PTE_ADDRESS);
}

static inline bool entry_is_leaf(entry_t entry, unsigned level)
{
    return level == 0 ? entry != 0 : (entry & PTE_LARGE) != 0;
}

static inline unsigned entry_used(entry_t entry)
{
    return (unsigned)((entry & USED_MASK) >> USED_SHIFT);
}

static inline paddr_t leaf_frame(entry_t entry, unsigned level)
{
    return entry & PTE_ADDRESS & ~(((paddr_t)1 << level_shift(level)) - 1);
}

/* The end of the level's entry that holds va, or the end of the range if that comes first; no overflow at the top. */
static inline vaddr_t entry_end(vaddr_t va, vaddr_t last, unsigned level)
{
    vaddr_t entry_last = va | (((vaddr_t)1 << level_shift(level)) - 1);

    return entry_last < last ? entry_last : last;
}

/* How many entries are zero from this one on, which is; looks at 32 of many, at eight of others at a time. */
static __attribute__((noinline)) unsigned zeros_from(const entry_t *entry, unsigned count)
{
    const entry_t *next = entry, *end = entry + count;

    if (count >= 32)
        next = machine_skip_zeros(next, align_down(count, 32));
    while (end - next >= 8 && (next[0] | next[1] | next[2] | next[3] | next[4] | next[5] | next[6] | next[7]) == 0)
        next += 8;
    while (next < end && *next == 0)
        next++;
    return (unsigned)(next - entry);
}

static inline unsigned zeros(const entry_t *entry, unsigned count)
{
    return count == 0 || *entry != 0 ? 0 : zeros_from(entry, count);
}

/* ---- entries and flags ---- */

/* By VM_READ, VM_WRITE and VM_EXEC: a table, since every fault asks. */
#define LEAF_BITS(protection, bits) [protection] = (bits) | PTE_ACCESSED | PTE_DIRTY

const uint64_t mmu_leaf_bits[VM_PROTECTION + 1] = {
    LEAF_BITS(0, PTE_KEPT | PTE_NX),
    LEAF_BITS(VM_WRITE, PTE_KEPT | PTE_WRITE | PTE_NX),
    LEAF_BITS(VM_EXEC, PTE_KEPT),
    LEAF_BITS(VM_WRITE | VM_EXEC, PTE_KEPT | PTE_WRITE),
    LEAF_BITS(VM_READ, PTE_PRESENT | PTE_NX),
    LEAF_BITS(VM_READ | VM_WRITE, PTE_PRESENT | PTE_WRITE | PTE_NX),
    LEAF_BITS(VM_READ | VM_EXEC, PTE_PRESENT),
    LEAF_BITS(VM_READ | VM_WRITE | VM_EXEC, PTE_PRESENT | PTE_WRITE),
};

/* What ordinary memory has not. The page attribute table is laid out by arch/x86_64/cpu.c. */
static entry_t rare_bits(vm_flags_t flags, unsigned level)
{
    entry_t borrowed = flags & VM_BORROWED ? PTE_BORROWED : 0;

    if ((flags & VM_CACHE) == VM_CACHE_WB)
        return borrowed;
    if ((flags & VM_CACHE) == VM_CACHE_WC)
        return borrowed | (level == 0 ? PTE_PAT_4K : PTE_PAT_LARGE);
    return borrowed | ((flags & VM_CACHE) == VM_CACHE_WT ? PTE_PWT : PTE_PCD | PTE_PWT);
}

/* Of ordinary memory. */
static inline entry_t make_plain_leaf(paddr_t pa, unsigned level, vm_flags_t flags)
{
    return pa | mmu_leaf_bits[flags & VM_PROTECTION] | (level > 0 ? PTE_LARGE : 0);
}

#define RARE_FLAGS (VM_CACHE | VM_BORROWED)

static entry_t make_leaf(paddr_t pa, unsigned level, vm_flags_t flags)
{
    return make_plain_leaf(pa, level, flags) | (flags & RARE_FLAGS ? rare_bits(flags, level) : 0);
}

#define PROTECTION_BITS (PTE_PRESENT | PTE_KEPT | PTE_WRITE | PTE_NX)

/* True if what a CPU may know of the old entry allows more than the new one. */
static inline bool is_weaker(entry_t old, entry_t new)
{
    return (old & PTE_PRESENT) && ((old & ~new &(PTE_PRESENT | PTE_WRITE)) || (new & ~old &PTE_NX));
}

/* True if another CPU may be about to set the dirty bit. */
static inline bool is_written_by_cpus(entry_t entry)
{
    return QUIRE_THREADS && (entry & (PTE_PRESENT | PTE_DIRTY)) == PTE_PRESENT;
}

static inline void entry_change(entry_t *entry, entry_t old, entry_t change)
{
    if (UNLIKELY(is_written_by_cpus(old)))
        __atomic_fetch_xor(entry, change, __ATOMIC_RELAXED);
    else
        *entry = old ^ change;
}

/* What is in the entry, which is free afterwards. */
static inline entry_t entry_take(entry_t *entry)
{
    entry_t old = *entry;

    if (UNLIKELY(is_written_by_cpus(old)))
        return __atomic_exchange_n(entry, 0, __ATOMIC_RELAXED);
    *entry = 0;
    return old;
}

static vm_flags_t leaf_flags(entry_t entry, unsigned level)
{
    vm_flags_t flags = entry & PTE_PRESENT ? VM_READ : 0;

    if (entry & PTE_WRITE)
        flags |= VM_WRITE;
    if (!(entry & PTE_NX))
        flags |= VM_EXEC;
    if (entry & PTE_BORROWED)
        flags |= VM_BORROWED;
    if (entry & (level == 0 ? PTE_PAT_4K : PTE_PAT_LARGE))
        return flags | VM_CACHE_WC;
    if (entry & PTE_PCD)
        return flags | VM_CACHE_UC;
    return flags | (entry & PTE_PWT ? VM_CACHE_WT : VM_CACHE_WB);
}

/* ---- tables ---- */

/* One that may be changed meanwhile: of the root. */
static inline entry_t entry_load(const entry_t *entry)
{
    return QUIRE_THREADS ? __atomic_load_n(entry, __ATOMIC_ACQUIRE) : *entry;
}

/* True if entries of the level are those of a root that others use, too: tables they point to stay. */
static inline bool is_shared(const struct mmu *mmu, unsigned level)
{
#if QUIRE_THREADS
    return level == ROOT_LEVEL && mmu->shared;
#else
    (void)mmu, (void)level;
    return false;
#endif
}

/* The tables that wait are ready: nobody remembers them. */
COLD static void tables_settle(struct mmu *mmu)
{
    while (mmu->waiting > 0) {
        paddr_t table = mmu->wait[--mmu->waiting];

        if (mmu->cached < MMU_TABLE_CACHE)
            mmu->cache[mmu->cached++] = table;
        else
            mmu_put_table_frame(table);
    }
}

/* Translations that have become stale: single ones as long as they are few. */
struct flush {
    unsigned count;
#if QUIRE_THREADS
    bool only_here; /* what other CPUs know does no harm */
#endif
    vaddr_t *pages; /* MMU_FLUSH_SINGLES of them, not part of this: nobody wants them cleared */
};

static inline bool flush_is_all(const struct flush *flush)
{
    return flush->count > MMU_FLUSH_SINGLES;
}

#if QUIRE_THREADS
static void flush_everything(void)
{
    this_cpu(mmu_behind) = NULL; /* before: what comes after this may be known again */
    machine_flush_all();
}

struct request {
    const struct flush *flush;
    vaddr_t va; /* the range, of which all users are asked; size 0: all of the address space, and all CPUs */
    size_t size;
};

/* What another CPU asks of this one. */
static void flush_for_other(void *argument)
{
    const struct request *request = argument;
    const struct flush *flush = request->flush;

    if ((request->size > 0 && mmu_leave(request->va, request->size)) || flush_is_all(flush)) {
        flush_everything();
        return;
    }
    for (unsigned i = 0; i < flush->count; i++)
        machine_flush_page(flush->pages[i]);
}

COLD static __attribute__((noinline)) void call_others(const struct flush *flush, uint64_t cpus, vaddr_t va,
                                                       size_t size)
{
    struct request request = {flush, va, size};
    struct mmu_shootdowns *counts = &this_cpu(mmu_shootdowns);

    counts->calls++;
    counts->pages += flush_is_all(flush) ? 0 : flush->count;
    counts->cpus += (unsigned)__builtin_popcountll(cpus);
    cpu_call(cpus, flush_for_other, &request);
}

/* Those that run, without this one. */
static inline uint64_t all_others(void)
{
    return ~(uint64_t)0 >> (64 - cpu_count()) & ~((uint64_t)1 << cpu_number());
}

static inline bool flush_is_only_here(const struct flush *flush)
{
    return flush->only_here;
}

static inline void flush_only_here(struct flush *flush, bool on)
{
    flush->only_here = on;
}
#else
static inline void call_others(const struct flush *flush, uint64_t cpus, vaddr_t va, size_t size)
{
    (void)flush, (void)cpus, (void)va, (void)size;
}

static inline uint64_t all_others(void)
{
    return 0;
}

static inline uint64_t mmu_users(vaddr_t va, size_t size)
{
    (void)va, (void)size;
    return 0;
}

static inline bool flush_is_only_here(const struct flush *flush)
{
    (void)flush;
    return false;
}

static inline void flush_only_here(struct flush *flush, bool on)
{
    (void)flush, (void)on;
}
#endif

/* Those that may know something of the range, which has been changed. */
static inline uint64_t others_of(vaddr_t va, size_t size)
{
    return other_cpus_run() ? mmu_users(va, size) & all_others() : 0;
}

static inline void flush_others(const struct flush *flush, uint64_t cpus, vaddr_t va, size_t size)
{
    if (UNLIKELY(cpus != 0))
        call_others(flush, cpus, va, size);
}

/* On all CPUs. */
COLD void mmu_flush(struct mmu *mmu)
{
    mmu->flushed_all++;
    machine_flush_all();
    if (QUIRE_THREADS || this_cpu(mmu_behind) == mmu)
        this_cpu(mmu_behind) = NULL;
    if (other_cpus_run())
        call_others(&(struct flush){.count = MMU_FLUSH_SINGLES + 1}, all_others(), 0, 0);
    tables_settle(mmu);
}

/* On this one. */
static inline void flush_page(struct mmu *mmu, vaddr_t va)
{
    mmu->flushed_pages++;
    machine_flush_page(va);
}

static inline void flush_page_on_others(vaddr_t va)
{
    flush_others(&(struct flush){.count = 1, .pages = &va}, others_of(va, VM_PAGE_SIZE), va, VM_PAGE_SIZE);
}

#if QUIRE_THREADS
COLD void mmu_flush_elsewhere(vaddr_t va, size_t size)
{
    vaddr_t pages[MMU_FLUSH_SINGLES];
    struct flush flush = {.pages = pages};

    for (vaddr_t at = va; at < va + size; at += VM_PAGE_SIZE)
        pages[flush.count++] = at;
    flush_others(&flush, others_of(va, size), va, size);
}
#endif

/* A table went out of the tree for one that is not empty any more or for a page: with a flush of any page it is ready,
 * but where other CPUs would have to be asked for that it waits. */
COLD static void tables_settle_soon(struct mmu *mmu, vaddr_t va)
{
    if (other_cpus_run())
        return;
    flush_page(mmu, va);
    tables_settle(mmu);
}

static inline unsigned tables_waiting_max(void)
{
    return other_cpus_run() ? MMU_TABLES_ROOM : MMU_TABLES_WAITING;
}

static paddr_t table_get(struct mmu *mmu)
{
    if (mmu->cached == 0 && mmu->waiting >= tables_waiting_max() / 2)
        mmu_flush(mmu);
    if (mmu->cached > 0)
        return mmu->cache[--mmu->cached];
    return mmu_get_table_frame();
}

/* Takes back a table that was never in the tree, whose entries are all zero. */
static void table_put(struct mmu *mmu, paddr_t table)
{
    if (mmu->cached < MMU_TABLE_CACHE)
        mmu->cache[mmu->cached++] = table;
    else
        mmu_put_table_frame(table);
}

/* The same for one that was in the tree until now: all of them come by here. */
COLD static void table_retire(struct mmu *mmu, paddr_t table)
{
    if (phys_to_virt(table) == mmu->directory)
        mmu_forget_table(mmu);
    if (mmu->waiting >= tables_waiting_max())
        mmu_flush(mmu);
    mmu->wait[mmu->waiting++] = table;
}

/* Takes `count` tables or none. */
COLD static error_t tables_get(struct mmu *mmu, paddr_t *tables, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        tables[i] = table_get(mmu);
        if (tables[i] == FRAME_NONE) {
            while (i-- > 0)
                table_put(mmu, tables[i]);
            return E_NOMEM;
        }
    }
    return E_SUCCESS;
}

/*
 * The way down to the entry for va at a level: the entry, and the one that points to the table it is in. If a table
 * is missing or a larger page is in the way, `entry` is that place and `level` its level.
 */
struct path {
    entry_t *parent, *entry;
    unsigned level;
};

static entry_t no_entry;

static struct path path_from_root(const struct mmu *mmu, vaddr_t va, unsigned level)
{
    entry_t *table = phys_to_virt(mmu->root);
    struct path path = {.parent = NULL, .level = ROOT_LEVEL};

    for (;;) {
        path.entry = &table[entry_index(va, path.level)];
        entry_t entry = entry_load(path.entry);

        if (path.level == level || entry == 0 || entry_is_leaf(entry, path.level))
            break;
        path.parent = path.entry;
        table = entry_table(entry);
        path.level--;
    }
    if (is_shared(mmu, path.level) && path.level != level)
        path.entry = &no_entry; /* it may become one of a table at any time */
    return path;
}

/* From the directory that was used last, if it is that; a structure that has no more than a root remembers none. */
static __attribute__((noinline)) struct path path_to(const struct mmu *mmu, vaddr_t va, unsigned level)
{
    entry_t *directory = level <= 1 && mmu->directory ? mmu_directory_entry(mmu, va) : NULL;

    if (!directory)
        return path_from_root(mmu, va, level);
    if (level == 1 || !mmu_has_table(*directory))
        return (struct path){.parent = mmu->directory_parent, .entry = directory, .level = 1};
    return (struct path){.parent = directory, .entry = mmu_small_entry(*directory, va), .level = 0};
}

/* The parent may be an entry of the root, which others count in, too. */
static inline void parent_add(entry_t *parent, entry_t count)
{
    if (QUIRE_THREADS)
        __atomic_fetch_add(parent, count, __ATOMIC_RELAXED);
    else
        *parent += count;
}

static inline void parent_count(entry_t *parent, int change)
{
    if (parent)
        parent_add(parent, change > 0 ? USED_ONE : -USED_ONE);
}

/* Has the path's entry point to the table, unless somebody else has made one for a shared entry of the root. */
static void enter_table(struct mmu *mmu, struct path *path, paddr_t table)
{
    entry_t none = 0;

    if (!is_shared(mmu, path->level)) {
        *path->entry = table | PTE_TABLE;
        parent_count(path->parent, 1);
    } else if (!__atomic_compare_exchange_n(path->entry, &none, table | PTE_TABLE, false, __ATOMIC_ACQ_REL,
                                            __ATOMIC_RELAXED)) {
        table_put(mmu, table);
    }
}

/* Makes the tables that are missing between the path's end and the level; the path then ends there. */
COLD static error_t path_extend(struct mmu *mmu, struct path *path, vaddr_t va, unsigned level)
{
    paddr_t tables[ROOT_LEVEL];
    unsigned missing = path->level - level;

    if (is_shared(mmu, path->level))
        path->entry = (entry_t *)phys_to_virt(mmu->root) + entry_index(va, ROOT_LEVEL);
    else if (*path->entry != 0)
        return E_EXIST;
    error_t error = tables_get(mmu, tables, missing);

    if (error)
        return error;
    for (unsigned i = 0; i < missing; i++) {
        enter_table(mmu, path, tables[i]);
        path->parent = path->entry;
        path->level--;
        path->entry = &entry_table(entry_load(path->parent))[entry_index(va, path->level)];
    }
    return E_SUCCESS;
}

/* ---- empty tables ---- */

static inline bool entry_is_table(entry_t entry, unsigned level)
{
    return entry != 0 && !entry_is_leaf(entry, level);
}

/* Takes the table, which has nothing in it, out of the tree. */
COLD static __attribute__((noinline)) void table_cut(struct mmu *mmu, entry_t *parent, entry_t *entry, unsigned level,
                                                     vaddr_t va)
{
    table_retire(mmu, *entry & PTE_ADDRESS);
    *entry = 0;
    if (level == PAGE_1G)
        mmu_forget_gib(va);
    parent_count(parent, -1);
}

/* True if no page is in the table that the entry points to, nor in tables below it. */
COLD static bool table_is_empty(entry_t entry, unsigned level)
{
    const entry_t *table = entry_table(entry);

    if (entry_used(entry) == 0)
        return true;
    if (level == 1 || entry_used(entry) > MMU_TABLES_EMPTY)
        return false;
    for (unsigned i = 0; i < ENTRIES; i++) {
        if (table[i] != 0 && (entry_is_leaf(table[i], level - 1) || !table_is_empty(table[i], level - 1)))
            return false;
    }
    return true;
}

/* Takes an empty table out of the tree, with those below it. */
COLD static void cut_empty(struct mmu *mmu, entry_t *parent, entry_t *entry, unsigned level, vaddr_t va)
{
    entry_t *table = entry_table(*entry);

    for (unsigned i = 0; entry_used(*entry) > 0; i++) {
        if (table[i] != 0)
            cut_empty(mmu, entry, &table[i], level - 1, va);
    }
    table_cut(mmu, parent, entry, level, va);
}

/* Takes the table below the place out of the tree if nothing is in it, and those above that were there only for it. */
COLD static void cut_upwards(struct mmu *mmu, vaddr_t va, struct path path)
{
    while (is_shared(mmu, path.level) || *path.entry == 0 ||
           (entry_is_table(*path.entry, path.level) && entry_used(*path.entry) == 0 && !(*path.entry & PTE_HELD))) {
        if (is_shared(mmu, path.level))
            return;
        if (*path.entry != 0)
            table_cut(mmu, path.parent, path.entry, path.level, va);
        if (path.level == ROOT_LEVEL)
            return;
        path = path_to(mmu, va, path.level + 1);
    }
}

/* The same for a remembered place, which is then forgotten. */
COLD static void cut_noted(struct mmu *mmu, vaddr_t place)
{
    unsigned level = (unsigned)(place & VM_PAGE_MASK);
    struct path path = path_to(mmu, place, level);

    if (path.level != level || !entry_is_table(*path.entry, level) || !(*path.entry & PTE_NOTED))
        return;
    *path.entry &= ~(entry_t)PTE_NOTED;
    cut_upwards(mmu, place, path);
}

/* The table at va that the entry of the level points to has become empty and stays. */
COLD static __attribute__((noinline)) void note_empty(struct mmu *mmu, entry_t *entry, unsigned level, vaddr_t va)
{
    vaddr_t *place = &mmu->empty[mmu->emptied % MMU_TABLES_EMPTY];
    vaddr_t oldest = *place;

    if (is_shared(mmu, level) || (*entry & PTE_NOTED))
        return;
    *entry |= PTE_NOTED;
    *place = align_down(va, 1ull << level_shift(level)) | level;
    mmu->emptied++;
    if (oldest != 0 && oldest != *place)
        cut_noted(mmu, oldest);
}

/* Of a table of small pages whose last ones were flushed one by one. */
COLD long mmu_note_empty(struct mmu *mmu, uint64_t *directory_entry, vaddr_t va)
{
    note_empty(mmu, directory_entry, 1, va);
    if (mmu->waiting > 0) /* another table went for it */
        tables_settle_soon(mmu, va);
    return 0;
}

/* Takes out all that are remembered. */
COLD static void cut_all_noted(struct mmu *mmu)
{
    for (unsigned i = 0; i < MMU_TABLES_EMPTY; i++) {
        vaddr_t place = mmu->empty[i];

        mmu->empty[i] = 0;
        if (place != 0)
            cut_noted(mmu, place);
    }
}

/* The path to a free entry at the level, with tables made as needed. An empty table there makes room. */
COLD static error_t path_to_free(struct mmu *mmu, vaddr_t va, unsigned level, struct path *path)
{
    *path = path_to(mmu, va, level);
    if (UNLIKELY(path->level != level)) {
        error_t error = path_extend(mmu, path, va, level);

        if (error)
            return error;
    }
    if (*path->entry == 0)
        return E_SUCCESS;
    if (!entry_is_table(*path->entry, level) || !table_is_empty(*path->entry, level))
        return E_EXIST;
    cut_empty(mmu, path->parent, path->entry, level, va);
    tables_settle_soon(mmu, va);
    return E_SUCCESS;
}

/* Nothing is to be moved below the place after all. */
COLD static void release_hold(struct mmu *mmu, vaddr_t va)
{
    for (unsigned level = path_to(mmu, va, 1).level; level <= ROOT_LEVEL; level++) {
        entry_t *entry = path_to(mmu, va, level).entry;

        if (!is_shared(mmu, level) && entry_is_table(*entry, level))
            *entry &= ~(entry_t)PTE_HELD;
    }
}

/* What was made for a range and is not needed after all: takes its empty tables out of the tree. */
COLD static void prune(struct mmu *mmu, vaddr_t va, size_t size)
{
    vaddr_t at = va, last = va + size - 1;

    for (;;) {
        struct path path = path_to(mmu, at, 1);
        vaddr_t end = entry_end(at, last, path.level);

        release_hold(mmu, at);
        cut_upwards(mmu, at, path);
        if (end == last)
            break;
        at = end + 1;
    }
    tables_settle_soon(mmu, va);
}

error_t mmu_init(struct mmu *mmu)
{
    *mmu = (struct mmu){.cached = 0};
    mmu_forget_table(mmu);
    mmu->root = table_get(mmu);
    return mmu->root == FRAME_NONE ? E_NOMEM : E_SUCCESS;
}

COLD void mmu_trim(struct mmu *mmu)
{
    cut_all_noted(mmu);
    if (mmu->waiting > 0 || this_cpu(mmu_behind) == mmu)
        mmu_flush(mmu);
    while (mmu->cached > 0)
        mmu_put_table_frame(mmu->cache[--mmu->cached]);
}

static void count_pages(struct mmu *mmu, unsigned level, long change);

#if QUIRE_THREADS
COLD void mmu_begin_sharing(struct mmu *mmu)
{
    if (!mmu->shared)
        cut_all_noted(mmu);
    mmu->shared = true;
}

COLD void mmu_share(const struct mmu *mmu, struct mmu *other)
{
    *other = (struct mmu){.root = mmu->root, .shared = true};
    mmu_forget_table(other);
}

/* Afterwards nothing in the structure refers to addresses of others that it was used for. The other one may have given
 * back the directory that this one used last. */
COLD static void mmu_part(struct mmu *mmu)
{
    mmu_forget_table(mmu);
    cut_all_noted(mmu);
}

COLD void mmu_hand_over(struct mmu *from, struct mmu *to, vaddr_t va, size_t size)
{
    struct mmu_count count;

    mmu_part(from);
    mmu_part(to);
    if (size == 0)
        return;
    count = mmu_count(to, va, size);
    for (unsigned level = 0; level < PAGE_SIZES; level++) {
        count_pages(from, level, -(long)count.pages[level]);
        count_pages(to, level, (long)count.pages[level]);
    }
}

/* Nobody shares the root any more. */
COLD static void end_sharing(struct mmu *mmu)
{
    entry_t *root = phys_to_virt(mmu->root);

    for (unsigned i = 0; mmu->shared && i < ENTRIES / 2; i++) {
        if (root[i] != 0 && entry_used(root[i]) == 0)
            table_cut(mmu, NULL, &root[i], ROOT_LEVEL, 0);
    }
    mmu->shared = false;
}
#else
static inline void end_sharing(struct mmu *mmu)
{
    (void)mmu;
}
#endif

COLD void mmu_destroy(struct mmu *mmu)
{
    end_sharing(mmu);
    mmu_trim(mmu);
    ASSERT(mmu_tables(mmu) == 0);
    mmu_put_table_frame(mmu->root);
    mmu->root = FRAME_NONE;
}

/* Where there can be other CPUs the caller has no lock, so that it is no epoch. */
void mmu_settle(void)
{
#if QUIRE_THREADS
    if (this_cpu(mmu_behind) != NULL)
        flush_everything();
#else
    if (this_cpu(mmu_behind) != NULL)
        mmu_flush(this_cpu(mmu_behind));
#endif
}

/* ---- mapping ---- */

static __attribute__((noinline)) void count_pages(struct mmu *mmu, unsigned level, long change)
{
    mmu->bytes += (size_t)change << level_shift(level);
    if (level > 0)
        mmu->large[level - 1] += (size_t)change;
}

/* The rare part: tables are missing, or a larger page is there. */
COLD static __attribute__((noinline)) error_t map_extending(struct mmu *mmu, vaddr_t va, unsigned level, entry_t leaf)
{
    struct path path;
    error_t error = path_to_free(mmu, va, level, &path);

    if (error)
        return error;
    *path.entry = leaf;
    parent_count(path.parent, 1);
    count_pages(mmu, level, 1);
    return E_SUCCESS;
}

/* With a constant level the way down is straight-line code. */
static inline __attribute__((always_inline)) error_t map_at_level(struct mmu *mmu, vaddr_t va, unsigned level,
                                                                  entry_t leaf)
{
    entry_t *parent = NULL, *table = phys_to_virt(mmu->root);

    for (unsigned above = ROOT_LEVEL; above > level; above--) {
        parent = &table[entry_index(va, above)];
        entry_t found = entry_load(parent);

        if (UNLIKELY((found & (PTE_PRESENT | (above < ROOT_LEVEL ? PTE_LARGE : 0))) != PTE_PRESENT))
            return map_extending(mmu, va, level, leaf);
        table = entry_table(found);
    }
    entry_t *entry = &table[entry_index(va, level)];

    if (UNLIKELY(*entry != 0))
        return level == 0 ? E_EXIST : map_extending(mmu, va, level, leaf);
    *entry = leaf;
    *parent += USED_ONE;
    count_pages(mmu, level, 1);
    return E_SUCCESS;
}

/* Out of the way: a call in mmu_map itself would make it save registers. */
static __attribute__((noinline)) error_t map_rare(struct mmu *mmu, vaddr_t va, paddr_t pa, enum page_size size,
                                                  vm_flags_t flags)
{
    return map_extending(mmu, va, size, make_leaf(pa, size, flags));
}

/* In another directory, which is the one used last from now on. */
static __attribute__((noinline)) error_t map_elsewhere(struct mmu *mmu, vaddr_t va, entry_t leaf)
{
    mmu_find_directory(mmu, va);
    return map_at_level(mmu, va, PAGE_4K, leaf);
}

/* By the directory that was used last, if it is that. */
static inline __attribute__((always_inline)) error_t map_small(struct mmu *mmu, vaddr_t va, paddr_t pa,
                                                               vm_flags_t flags)
{
    if (LIKELY(mmu_map_hot(mmu, va, pa, flags)))
        return E_SUCCESS;
    return map_elsewhere(mmu, va, make_plain_leaf(pa, PAGE_4K, flags));
}

error_t mmu_map(struct mmu *mmu, vaddr_t va, paddr_t pa, enum page_size size, vm_flags_t flags)
{
    ASSERT(is_aligned(va | pa, page_bytes(size)));
    if (UNLIKELY(flags & RARE_FLAGS || size == PAGE_1G))
        return map_rare(mmu, va, pa, size, flags);
    if (LIKELY(size == PAGE_4K))
        return map_small(mmu, va, pa, flags);
    return map_at_level(mmu, va, PAGE_2M, make_plain_leaf(pa, PAGE_2M, flags));
}

uint64_t *mmu_find_directory(struct mmu *mmu, vaddr_t va)
{
    struct path path;
    entry_t *entry = mmu_directory_entry(mmu, va);

    if (LIKELY(entry != NULL))
        return entry;
    path = path_to(mmu, va, PAGE_2M);
    if (path.level != PAGE_2M)
        return NULL;
    mmu->directory_number = va >> LEAF_DIRECTORY_SHIFT;
    mmu->directory = path.entry - entry_index(va, PAGE_2M);
    mmu->directory_parent = path.parent;
    return path.entry;
}

uint64_t *mmu_make_table(struct mmu *mmu, vaddr_t va)
{
    uint64_t *entry = mmu_find_directory(mmu, va);

    if (LIKELY(entry && mmu_has_table(*entry)))
        return entry;
    struct path path = path_to(mmu, va, 0);

    if (path.level > 0 && path_extend(mmu, &path, va, 0) != E_SUCCESS)
        return NULL;
    return mmu_find_directory(mmu, va);
}

unsigned mmu_free_small(uint64_t directory_entry, vaddr_t va, unsigned most)
{
    ASSERT(entry_index(va, 0) + most <= ENTRIES);
    return mmu_table_is_used(directory_entry) ? zeros(mmu_small_entry(directory_entry, va), most) : most;
}

/* Writes leaves of one run: the place behind. */
static entry_t *write_run(entry_t *entry, entry_t leaf, unsigned count, entry_t step)
{
    for (; count >= 8; count -= 8, entry += 8) {
#pragma clang loop unroll(full)
        for (unsigned i = 0; i < 8; i++, leaf += step)
            entry[i] = leaf;
    }
    for (; count > 0; count--, leaf += step)
        *entry++ = leaf;
    return entry;
}

unsigned mmu_map_runs(struct mmu *mmu, uint64_t *directory_entry, vaddr_t va, const struct frame_run *runs,
                      unsigned count, vm_flags_t flags)
{
    entry_t *first = mmu_small_entry(*directory_entry, va), *entry = first;

    for (const struct frame_run *run = runs; run < runs + count; run++) {
        ASSERT(zeros(entry, run->count) == run->count);
        entry = write_run(entry, make_plain_leaf(run->first, 0, flags), run->count, VM_PAGE_SIZE);
    }
    unsigned done = (unsigned)(entry - first);

    *directory_entry += done * USED_ONE;
    count_pages(mmu, PAGE_4K, done);
    return done;
}

unsigned mmu_free_large(const struct mmu *mmu, const uint64_t *directory_entry, size_t most)
{
    size_t left = (size_t)(mmu->directory + ENTRIES - directory_entry);

    return zeros(directory_entry, (unsigned)(most < left ? most : left));
}

void mmu_map_large(struct mmu *mmu, uint64_t *directory_entry, paddr_t frame, vm_flags_t flags)
{
    ASSERT(*directory_entry == 0 && directory_entry - mmu->directory < ENTRIES);
    mmu_enter_large(mmu, directory_entry, frame, flags & VM_PROTECTION);
}

void mmu_map_many_large(struct mmu *mmu, uint64_t *directory_entry, paddr_t first, unsigned count, vm_flags_t flags)
{
    ASSERT(directory_entry >= mmu->directory && mmu_free_large(mmu, directory_entry, count) == count);
    write_run(directory_entry, make_plain_leaf(first, PAGE_2M, flags), count, page_bytes(PAGE_2M));
    *mmu->directory_parent += count * USED_ONE;
    count_pages(mmu, PAGE_2M, count);
}

void mmu_replace(struct mmu *mmu, vaddr_t va, paddr_t pa, vm_flags_t flags)
{
    struct path path = path_to(mmu, va, 0);

    ASSERT(path.level == 0 && *path.entry != 0);
    entry_t old = *path.entry, new = make_leaf(pa, 0, flags);

    *path.entry = new;
    flush_page(mmu, va);
    if (leaf_frame(old, 0) != pa || is_weaker(old, new))
        flush_page_on_others(va);
}

/* The largest page that both addresses and the length allow. */
static enum page_size largest_fit(vaddr_t va, paddr_t pa, size_t size, enum page_size largest)
{
    while (largest > PAGE_4K && (!is_aligned(va | pa, page_bytes(largest)) || size < page_bytes(largest)))
        largest--;
    return largest;
}

COLD error_t mmu_map_range(struct mmu *mmu, vaddr_t va, paddr_t pa, size_t size, enum page_size largest,
                           vm_flags_t flags)
{
    size_t done = 0;

    while (done < size) {
        enum page_size page = largest_fit(va + done, pa + done, size - done, largest);
        error_t error = mmu_map(mmu, va + done, pa + done, page, flags);

        if (error) {
            if (done)
                mmu_unmap(mmu, va, done, false);
            prune(mmu, va, size);
            return error;
        }
        done += page_bytes(page);
    }
    return E_SUCCESS;
}

/* ---- splitting ---- */

/* Fills a table with what the large entry of the level above maps. */
static void fill_split(entry_t *table, entry_t large, unsigned level)
{
    entry_t entry = large & ~(PTE_ADDRESS | PTE_PAT_LARGE | USED_MASK);
    paddr_t pa = leaf_frame(large, level);

    if (level == 1)
        entry &= ~(entry_t)PTE_LARGE;
    if (large & PTE_PAT_LARGE)
        entry |= level == 1 ? PTE_PAT_4K : PTE_PAT_LARGE;
    for (unsigned i = 0; i < ENTRIES; i++)
        table[i] = entry | (pa + ((paddr_t)i << level_shift(level - 1)));
}

/* The large entry becomes one of the table, filled with what it maps. Another CPU may write to the page meanwhile. */
static void replace_split(entry_t *entry, paddr_t table, unsigned level)
{
    entry_t old = *entry, new = table | PTE_TABLE | ((entry_t)ENTRIES << USED_SHIFT);

    fill_split(phys_to_virt(table), old, level);
    if (LIKELY(!is_written_by_cpus(old))) {
        *entry = new;
    } else if (__atomic_exchange_n(entry, new, __ATOMIC_ACQ_REL) & PTE_DIRTY) {
        for (unsigned i = 0; i < ENTRIES; i++)
            __atomic_fetch_or((entry_t *)phys_to_virt(table) + i, PTE_DIRTY, __ATOMIC_RELAXED);
    }
}

COLD static __attribute__((noinline)) error_t split_large(struct mmu *mmu, vaddr_t va)
{
    struct path path = path_to(mmu, va, 0);
    paddr_t tables[ROOT_LEVEL];
    unsigned count = 0;

    if (*path.entry == 0)
        return E_SUCCESS;
    while (path.level > count && !is_aligned(va, 1ull << level_shift(path.level - count)))
        count++;
    error_t error = tables_get(mmu, tables, count);

    if (error)
        return error;
    for (unsigned i = 0; i < count; i++) {
        replace_split(path.entry, tables[i], path.level);
        count_pages(mmu, path.level, -1);
        if (path.level == PAGE_1G)
            mmu_forget_gib(va);
        path.level--;
        count_pages(mmu, path.level, ENTRIES);
        path.entry = &entry_table(*path.entry)[entry_index(va, path.level)];
    }
    if (count) { /* also drops the large translation (SDM vol. 3, 4.10.4.1) */
        flush_page(mmu, va);
        flush_page_on_others(va);
    }
    return E_SUCCESS;
}

error_t mmu_split(struct mmu *mmu, vaddr_t va)
{
    const entry_t *directory = mmu_directory_entry(mmu, va);

    if (UNLIKELY(directory == NULL))
        directory = mmu_find_directory(mmu, va);
    return LIKELY(directory && !(*directory & PTE_LARGE)) ? E_SUCCESS : split_large(mmu, va);
}

/* ---- flushing ---- */

static inline void flush_add(struct flush *flush, vaddr_t va)
{
    if (flush->count < MMU_FLUSH_SINGLES)
        flush->pages[flush->count] = va;
    flush->count++;
}

/* More than can be told one by one. */
static inline void flush_add_many(struct flush *flush)
{
    flush->count = MMU_FLUSH_SINGLES + 1;
}

/* An epoch, unless there are CPUs that need not be asked. */
static void flush_many(struct mmu *mmu, const struct flush *flush, uint64_t cpus, vaddr_t va, size_t size)
{
    if (cpus == all_others() && !flush_is_only_here(flush)) {
        mmu_flush(mmu);
    } else {
        machine_flush_all();
        flush_others(flush, cpus, va, size);
    }
}

/* Of the range, which has been changed. One INVLPG drops all that the CPU remembers of tables (SDM vol. 3, 4.10.4.1).
 */
static void flush_run(struct mmu *mmu, const struct flush *flush, vaddr_t va, size_t size)
{
    uint64_t cpus = flush->count > 0 && !flush_is_only_here(flush) ? others_of(va, size) : 0;

    if (flush_is_all(flush)) {
        flush_many(mmu, flush, cpus, va, size);
        return;
    }
    for (unsigned i = 0; i < flush->count; i++)
        flush_page(mmu, flush->pages[i]);
    flush_others(flush, cpus, va, size);
    if (LIKELY(mmu->waiting == 0))
        return;
    if (flush->count == 0 || cpus != all_others())
        tables_settle_soon(mmu, va);
    else
        tables_settle(mmu);
}

/* ---- walking ranges ---- */

struct walk {
    struct mmu *mmu;
    /*
     * Handles the entries of one table from `entry` on, which is that of va, up to the first that points to a table:
     * how many that were, at most `count`. At level 0 all are. Entries that it clears it takes off the count of
     * `parent`.
     */
    unsigned (*run)(struct walk *, entry_t *parent, entry_t *entry, unsigned count, unsigned level, vaddr_t va);
    bool pruning; /* look after tables that become empty */
    vaddr_t room; /* so many bytes from the range's start on nobody uses before the next epoch; 0: that is not known */
    entry_t keep; /* when removing: the frames of entries with one of these bits stay with their owner */
    entry_t protection;
    struct flush flush;
    struct mmu_count count;
};

/* The table below the entry was walked and may be empty; whole: all of its addresses were in the range. */
static void prune_table(struct walk *walk, entry_t *parent, entry_t *entry, unsigned level, vaddr_t va, bool whole)
{
    if (entry_used(*entry) > 0 || is_shared(walk->mmu, level))
        return;
    if (whole)
        table_cut(walk->mmu, parent, entry, level, va);
    else
        note_empty(walk->mmu, entry, level, va);
}

/* Entries that are for a GiB each have been handled: those of pages may have changed. */
COLD static void forget_gibs(vaddr_t va, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        mmu_forget_gib(va + ((vaddr_t)i << level_shift(PAGE_1G)));
}

/* Visits [va, last], which lies inside of the table. */
static void walk_table(struct walk *walk, entry_t *parent, entry_t *table, unsigned level, vaddr_t va, vaddr_t last)
{
    vaddr_t bytes = 1ull << level_shift(level);

    for (;;) {
        unsigned index = entry_index(va, level), left = entry_index(last, level) - index + 1;
        unsigned done = walk->run(walk, parent, &table[index], left, level, va);

        if (UNLIKELY(level == PAGE_1G))
            forget_gibs(va, done);
        if (done == left)
            return;
        if (done > 0)
            va = align_down(va, bytes) + done * bytes;
        entry_t *entry = &table[index + done];
        vaddr_t end = entry_end(va, last, level);

        walk_table(walk, entry, entry_table(*entry), level - 1, va, end);
        if (walk->pruning)
            prune_table(walk, parent, entry, level, va, end - va == bytes - 1);
        if (end == last)
            return;
        va = end + 1;
    }
}

/* The table that holds all of the range, to which the entry of the level points, has become empty. If it holds nothing
 * else until an epoch it will not be filled again before that, and goes. */
COLD static __attribute__((noinline)) void prune_top(struct walk *walk, entry_t *entry, unsigned level, vaddr_t va)
{
    vaddr_t bytes = 1ull << level_shift(level);
    struct path path;

    if (bytes > walk->room || !flush_is_all(&walk->flush) || is_shared(walk->mmu, level)) {
        note_empty(walk->mmu, entry, level, va);
        return;
    }
    path = path_to(walk->mmu, va, level);
    table_cut(walk->mmu, path.parent, entry, level, va);
    if (path.parent && entry_used(entry_load(path.parent)) == 0)
        note_empty(walk->mmu, path.parent, level + 1, va);
}

/* Begins at the lowest table that holds all of the range. */
static void walk_tables(struct walk *walk, vaddr_t va, vaddr_t last)
{
    unsigned level = (unsigned)(63 - __builtin_clzll((va ^ last) | VM_PAGE_SIZE) - VM_PAGE_SHIFT) / 9;
    struct path path = path_to(walk->mmu, va, level);

    if (path.level == level) {
        walk_table(walk, path.parent, path.entry - entry_index(va, path.level), path.level, va, last);
    } else if (*path.entry != 0) {
        walk->run(walk, path.parent, path.entry, 1, path.level, va);
        if (path.level == PAGE_1G)
            forget_gibs(va, 1);
    }
    if (walk->pruning && path.parent && entry_used(entry_load(path.parent)) == 0)
        prune_top(walk, path.parent, path.level + 1, va);
}

static void walk_range(struct walk *walk, vaddr_t va, size_t size)
{
    vaddr_t pages[MMU_FLUSH_SINGLES];

    walk->flush.pages = pages;
    walk_tables(walk, va, va + size - 1);
    flush_run(walk->mmu, &walk->flush, va, size);
}

bool mmu_is_unused(const struct mmu *mmu, vaddr_t va, size_t size)
{
    const entry_t *entry = mmu_directory_entry(mmu, va);
    vaddr_t last = va + size - 1;
    unsigned count = (unsigned)((last >> LEAF_TABLE_SHIFT) - (va >> LEAF_TABLE_SHIFT)) + 1;

    if (UNLIKELY(!entry || (va ^ last) >> LEAF_DIRECTORY_SHIFT != 0))
        return false;
    if (count == 1 && mmu_has_table(*entry)) {
        entry = mmu_small_entry(*entry, va);
        count = (unsigned)(size >> VM_PAGE_SHIFT);
    }
    return zeros(entry, count) == count;
}
/* The address of the i-th entry of a run that begins with that of va. */
static inline vaddr_t run_va(vaddr_t va, unsigned i, unsigned level)
{
    return i == 0 ? va : align_down(va, 1ull << level_shift(level)) + ((vaddr_t)i << level_shift(level));
}

/* The pages of the run's entries from the i-th on. */
static void flush_add_run(struct flush *flush, vaddr_t va, unsigned i, unsigned count, unsigned level)
{
    if (flush->count + count > MMU_FLUSH_SINGLES) {
        flush_add_many(flush);
        return;
    }
    for (unsigned end = i + count; i < end; i++)
        flush_add(flush, run_va(va, i, level));
}

/* ---- unmapping ---- */

#define RELEASE_MAX 32u

/* A page that is not the usual one of many. */
static void remove_entry(struct walk *walk, entry_t *parent, entry_t *entry, unsigned level, vaddr_t va)
{
    entry_t old = *entry;

    ASSERT(is_aligned(va, 1ull << level_shift(level)));
    *entry = 0;
    parent_count(parent, -1);
    walk->count.pages[level]++;
    if (old & PTE_PRESENT)
        flush_add(&walk->flush, va);
    if (!(old & walk->keep))
        mmu_release_frame(leaf_frame(old, level), (enum page_size)level);
}

/* How many entries, this one first, have the same bits and frames that follow each other. */
static inline unsigned neighbours(const entry_t *entry, unsigned count, unsigned level)
{
    const entry_t *at = entry, *end = entry + count;
    entry_t step = (entry_t)1 << level_shift(level), next = *entry;

    for (; end - at >= 4 && at[3] == next + 3 * step && at[1] == next + step && at[2] == next + 2 * step; at += 4) {
        if (*at != next)
            return (unsigned)(at - entry);
        next += 4 * step;
    }
    for (; at < end && *at == next; at++)
        next += step;
    return (unsigned)(at - entry);
}

/* From so many on they are removed, and their frames put back, together. */
#define NEIGHBOURS_MIN 4u

/* Pages whose frames follow each other, from this one on: how many, or 0 if they are too few. */
static unsigned remove_neighbours(struct walk *walk, entry_t *parent, entry_t *entry, unsigned count, unsigned level,
                                  vaddr_t va)
{
    unsigned found = neighbours(entry, count, level);
    entry_t old = *entry;

    if (found < NEIGHBOURS_MIN)
        return 0;
    memset(entry, 0, found * sizeof(*entry));
    parent_add(parent, -(found * USED_ONE));
    walk->count.pages[level] += found;
    if (found > MMU_FLUSH_SINGLES)
        flush_add_many(&walk->flush);
    for (unsigned i = 0; (old & PTE_PRESENT) && !flush_is_all(&walk->flush) && i < found; i++)
        flush_add(&walk->flush, run_va(va, i, level));
    if (!(old & walk->keep))
        mmu_release_neighbours(leaf_frame(old, level), (enum page_size)level, found);
    return found;
}

/* Small pages: at most RELEASE_MAX entries, which begin with that of va. */
static void remove_small(struct walk *walk, entry_t *parent, entry_t *entry, unsigned count, vaddr_t va)
{
    paddr_t frames[RELEASE_MAX];
    entry_t keep = walk->keep;
    unsigned released = 0, removed = 0;

    for (entry_t *end = entry + count; entry < end; entry++, va += VM_PAGE_SIZE) {
        entry_t old = *entry;

        if (old == 0)
            continue;
        *entry = 0;
        removed++;
        if (!flush_is_all(&walk->flush) && (old & PTE_PRESENT))
            flush_add(&walk->flush, va);
        if (old & keep)
            continue;
        frames[released++] = old & PTE_ADDRESS;
    }
    parent_add(parent, -(removed * USED_ONE));
    walk->count.pages[PAGE_4K] += removed;
    if (released > 0)
        mmu_release_frames(frames, released);
}

/* Large pages up to the first table. */
static unsigned remove_large(struct walk *walk, entry_t *parent, entry_t *entry, unsigned count, unsigned level,
                             vaddr_t va)
{
    unsigned i = 0;

    for (; i < count; i++) {
        i += zeros(&entry[i], count - i);
        if (i == count || !(entry[i] & PTE_LARGE))
            break;
        unsigned together = remove_neighbours(walk, parent, &entry[i], count - i, level, run_va(va, i, level));

        if (together > 0)
            i += together - 1;
        else
            remove_entry(walk, parent, &entry[i], level, run_va(va, i, level));
    }
    return i;
}

static unsigned run_remove(struct walk *walk, entry_t *parent, entry_t *entry, unsigned count, unsigned level,
                           vaddr_t va)
{
    unsigned i = 0;

    if (level > 0)
        return remove_large(walk, parent, entry, count, level, va);
    while (i < count && entry_used(*parent) > 0) {
        i += zeros(&entry[i], count - i);
        if (i == count)
            break;
        vaddr_t at = va + ((vaddr_t)i << VM_PAGE_SHIFT);
        unsigned part = remove_neighbours(walk, parent, &entry[i], count - i, 0, at);

        if (part == 0) {
            part = count - i < RELEASE_MAX ? count - i : RELEASE_MAX;
            remove_small(walk, parent, &entry[i], part, at);
        }
        i += part;
    }
    return count;
}

static __attribute__((noinline)) void count_removed(const struct walk *walk)
{
    for (unsigned i = 0; i < PAGE_SIZES; i++) {
        if (walk->count.pages[i] > 0)
            count_pages(walk->mmu, i, -(long)walk->count.pages[i]);
    }
}

#define KEEP_ALL (~(entry_t)0)

COLD void mmu_unmap(struct mmu *mmu, vaddr_t va, size_t size, bool release)
{
    struct walk walk = {.mmu = mmu, .run = run_remove, .pruning = true, .keep = release ? PTE_BORROWED : KEEP_ALL};

    if (release && other_cpus_run()) /* what is given away nobody reaches any more */
        mmu_protect(mmu, va, size, 0);
    walk_range(&walk, va, size);
    count_removed(&walk);
}

bool mmu_unmap_lazily(struct mmu *mmu, vaddr_t va, size_t size, size_t room)
{
    struct walk walk = {
        .mmu = mmu, .run = run_remove, .pruning = true, .room = mmu_strict ? 0 : room, .keep = PTE_BORROWED};
    vaddr_t pages[MMU_FLUSH_SINGLES];
    unsigned emptied = mmu->emptied;

    if (mmu_strict && other_cpus_run())
        mmu_protect(mmu, va, size, 0);
    walk.flush.pages = pages;
    walk_tables(&walk, va, va + size - 1);
    count_removed(&walk);
    if (mmu_strict || (!flush_is_all(&walk.flush) && !mmu_is_known_elsewhere(va, size))) {
        flush_run(mmu, &walk.flush, va, size);
        return false;
    }
    this_cpu(mmu_behind) = mmu;
    if (mmu->emptied != emptied && mmu->waiting > 0) /* a table of other addresses may have gone */
        tables_settle_soon(mmu, va);
    return true;
}

void mmu_set_strict(bool on)
{
    mmu_strict = on;
}

COLD static unsigned run_remove_borrowed(struct walk *walk, entry_t *parent, entry_t *entry, unsigned count,
                                         unsigned level, vaddr_t va)
{
    for (unsigned i = 0; i < count; i++) {
        if (level > 0 && entry_is_table(entry[i], level))
            return i;
        if (level == 0 && (entry[i] & PTE_BORROWED))
            remove_entry(walk, parent, &entry[i], 0, va + ((vaddr_t)i << VM_PAGE_SHIFT));
    }
    return count;
}

COLD void mmu_unmap_borrowed(struct mmu *mmu, vaddr_t va, size_t size)
{
    struct walk walk = {.mmu = mmu, .run = run_remove_borrowed, .pruning = true, .keep = KEEP_ALL};

    walk_range(&walk, va, size);
    count_removed(&walk);
}

/* ---- from small pages to a large one ---- */

/* The entry of a table of small pages becomes that of the large one in their place. */
static void replace_table(struct mmu *mmu, const struct path *path, entry_t leaf)
{
    table_retire(mmu, *path->entry & PTE_ADDRESS);
    *path->entry = leaf;
    count_pages(mmu, PAGE_2M, 1);
    mmu_flush(mmu);
}

paddr_t mmu_begun_large(const struct mmu *mmu, vaddr_t va, unsigned *count)
{
    struct path path = path_to(mmu, va, PAGE_2M);

    if (path.level != PAGE_2M || !entry_is_table(*path.entry, PAGE_2M) || entry_used(*path.entry) == 0)
        return FRAME_NONE;
    const entry_t *table = entry_table(*path.entry);

    *count = entry_used(*path.entry);
    if ((table[0] & (PTE_BORROWED | PTE_PAT_4K)) || !is_aligned(table[0] & PTE_ADDRESS, page_bytes(PAGE_2M)) ||
        table[*count - 1] == 0 || neighbours(table, *count, 0) != *count)
        return FRAME_NONE;
    return table[0] & PTE_ADDRESS;
}

void mmu_complete_large(struct mmu *mmu, vaddr_t va)
{
    struct path path = path_to(mmu, va, PAGE_2M);
    entry_t *table = entry_table(*path.entry), first = table[0];
    unsigned count = entry_used(*path.entry);

    if (is_written_by_cpus(first)) /* any of them may have become dirty by now */
        first |= PTE_DIRTY;
    memset(table, 0, count * sizeof(*table));
    count_pages(mmu, PAGE_4K, -(long)count);
    replace_table(mmu, &path, first | PTE_LARGE);
}

bool mmu_promote(struct mmu *mmu, vaddr_t va)
{
    unsigned count;

    if (mmu_begun_large(mmu, va, &count) == FRAME_NONE || count != ENTRIES)
        return false;
    mmu_complete_large(mmu, va);
    return true;
}

void mmu_collapse(struct mmu *mmu, vaddr_t va, paddr_t pa, vm_flags_t flags)
{
    struct walk walk = {.mmu = mmu, .run = run_remove, .keep = PTE_BORROWED, .flush.count = MMU_FLUSH_SINGLES + 1};
    struct path path = path_to(mmu, va, PAGE_2M);

    ASSERT(path.level == PAGE_2M && entry_is_table(*path.entry, path.level));
    walk_tables(&walk, va, va + page_bytes(PAGE_2M) - 1);
    count_removed(&walk);
    replace_table(mmu, &path, make_leaf(pa, PAGE_2M, flags));
}

/* ---- protecting ---- */

/* The bits that the protection changes. */
static inline entry_t protection_change(entry_t old, entry_t protection)
{
    if (UNLIKELY(old & PTE_BORROWED))
        protection &= ~(entry_t)PTE_WRITE;
    return (old & PROTECTION_BITS) ^ protection;
}

/* What tells entries apart that are protected in the same way; where there are tables between pages, those too. */
#define ALIKE_BITS (PROTECTION_BITS | PTE_BORROWED | PTE_LARGE)

/* The entries from this one on, which is that of a page, that are like it, at most `count`: their number. */
static __attribute__((noinline)) unsigned protect_alike(entry_t *entry, unsigned count, entry_t change)
{
    entry_t alike = *entry, *next = entry;

    for (const entry_t *end = entry + count; next < end; next++) {
        entry_t old = *next;

        if ((old ^ alike) & ALIKE_BITS)
            break;
        entry_change(next, old, change);
    }
    return (unsigned)(next - entry);
}

static unsigned run_protect(struct walk *walk, entry_t *parent, entry_t *entry, unsigned count, unsigned level,
                            vaddr_t va)
{
    (void)parent;
    for (unsigned i = 0; i < count;) {
        i += zeros(&entry[i], count - i);
        if (i == count || (level > 0 && !(entry[i] & PTE_LARGE)))
            return i;
        entry_t old = entry[i], change = protection_change(old, walk->protection);

        ASSERT(is_aligned(run_va(va, i, level), 1ull << level_shift(level)));
        unsigned alike = protect_alike(&entry[i], count - i, change);

        if (change != 0 && (old & PTE_PRESENT))
            flush_add_run(&walk->flush, va, i, alike, level);
        if (is_weaker(old, old ^ change))
            flush_only_here(&walk->flush, false);
        i += alike;
    }
    return count;
}

/* One page of 4 KiB, the usual unit of guards and garbage collectors; false if another directory was used last, a table
 * is missing, or a page is larger. */
static inline bool protect_single(struct mmu *mmu, vaddr_t va, entry_t protection)
{
    entry_t *directory = mmu_directory_entry(mmu, va);

    if (UNLIKELY(!directory || !mmu_has_table(*directory)))
        return false;
    entry_t *entry = mmu_small_entry(*directory, va);

    entry_t old = *entry, change = protection_change(old, protection);

    if (old == 0 || change == 0)
        return true;
    entry_change(entry, old, change);
    if (!(old & PTE_PRESENT))
        return true;
    flush_page(mmu, va);
    if (is_weaker(old, old ^ change))
        flush_page_on_others(va);
    return true;
}

static __attribute__((noinline)) void protect_range(struct mmu *mmu, vaddr_t va, size_t size, entry_t protection)
{
    struct walk walk = {.mmu = mmu, .run = run_protect, .protection = protection};

    mmu_find_directory(mmu, va); /* for the next page */
    flush_only_here(&walk.flush, true);
    walk_range(&walk, va, size);
}

void mmu_protect(struct mmu *mmu, vaddr_t va, size_t size, vm_flags_t flags)
{
    entry_t protection = mmu_leaf_bits[flags & VM_PROTECTION] & PROTECTION_BITS;

    if (size != VM_PAGE_SIZE || !protect_single(mmu, va, protection))
        protect_range(mmu, va, size, protection);
}

/* ---- contents given up ---- */

COLD static unsigned run_clean(struct walk *walk, entry_t *parent, entry_t *entry, unsigned count, unsigned level,
                               vaddr_t va)
{
    (void)parent;
    for (unsigned i = 0; i < count; i++) {
        i += zeros(&entry[i], count - i);
        if (i == count || (level > 0 && !(entry[i] & PTE_LARGE)))
            return i;
        entry_t old = entry[i];

        if (!(old & PTE_DIRTY) || (old & PTE_BORROWED))
            continue;
        entry[i] = old & ~(entry_t)PTE_DIRTY;
        if (old & PTE_PRESENT)
            flush_add(&walk->flush, run_va(va, i, level));
    }
    return count;
}

COLD static __attribute__((noinline)) void clean_walking(struct mmu *mmu, vaddr_t va, size_t size)
{
    struct walk walk = {.mmu = mmu, .run = run_clean};

    walk_range(&walk, va, size);
}

void mmu_clean(struct mmu *mmu, vaddr_t va, size_t size)
{
    entry_t *directory = mmu_few_in_table(mmu, va, size), *entry;

    if (!directory || other_cpus_run()) {
        clean_walking(mmu, va, size);
        return;
    }
    entry = mmu_small_entry(*directory, va);
    for (vaddr_t end = va + size; va != end; va += VM_PAGE_SIZE, entry++) {
        if ((*entry & (PTE_DIRTY | PTE_BORROWED)) != PTE_DIRTY)
            continue;
        *entry &= ~(entry_t)PTE_DIRTY;
        flush_page(mmu, va);
    }
}

COLD static unsigned run_remove_clean(struct walk *walk, entry_t *parent, entry_t *entry, unsigned count,
                                      unsigned level, vaddr_t va)
{
    for (unsigned i = 0; i < count; i++) {
        i += zeros(&entry[i], count - i);
        if (i == count || (level > 0 && !(entry[i] & PTE_LARGE)))
            return i;
        if (!(entry[i] & (PTE_DIRTY | PTE_BORROWED)))
            remove_entry(walk, parent, &entry[i], level, run_va(va, i, level));
    }
    return count;
}

/* Makes pages that are not dirty inaccessible: from then on they stay so. */
COLD static unsigned run_close_clean(struct walk *walk, entry_t *parent, entry_t *entry, unsigned count, unsigned level,
                                     vaddr_t va)
{
    (void)parent;
    for (unsigned i = 0; i < count; i++) {
        i += zeros(&entry[i], count - i);
        if (i == count || (level > 0 && !(entry[i] & PTE_LARGE)))
            return i;
        entry_t old = entry[i];

        if ((old & (PTE_PRESENT | PTE_DIRTY | PTE_BORROWED)) == PTE_PRESENT &&
            __atomic_compare_exchange_n(&entry[i], &old, old ^ (PTE_PRESENT | PTE_KEPT), false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            flush_add(&walk->flush, run_va(va, i, level));
    }
    return count;
}

COLD size_t mmu_unmap_clean(struct mmu *mmu, vaddr_t va, size_t size)
{
    struct walk walk = {.mmu = mmu, .run = run_remove_clean, .pruning = true, .keep = PTE_BORROWED};
    size_t bytes = 0;

    if (other_cpus_run()) {
        struct walk closing = {.mmu = mmu, .run = run_close_clean};

        walk_range(&closing, va, size);
    }
    walk_range(&walk, va, size);
    count_removed(&walk);
    for (unsigned i = 0; i < PAGE_SIZES; i++)
        bytes += walk.count.pages[i] << page_shift((enum page_size)i);
    return bytes;
}

/* ---- counting ---- */

COLD static unsigned run_count(struct walk *walk, entry_t *parent, entry_t *entry, unsigned count, unsigned level,
                               vaddr_t va)
{
    (void)parent, (void)va;
    for (unsigned i = 0; i < count; i++) {
        i += zeros(&entry[i], count - i);
        if (i == count || (level > 0 && !(entry[i] & PTE_LARGE)))
            return i;
        walk->count.pages[level] += (entry[i] & PTE_ACCESSED) != 0;
        walk->count.borrowed += level == 0 && (entry[i] & PTE_BORROWED);
        if (!(entry[i] & (PTE_DIRTY | PTE_BORROWED)))
            walk->count.clean_bytes += page_bytes((enum page_size)level);
    }
    return count;
}

struct mmu_count mmu_count(const struct mmu *mmu, vaddr_t va, size_t size)
{
    struct walk walk = {.mmu = (struct mmu *)mmu, .run = run_count};

    walk_tables(&walk, va, va + size - 1);
    return walk.count;
}

bool mmu_query(const struct mmu *mmu, vaddr_t va, struct mmu_entry *entry)
{
    struct path path = path_to(mmu, va, 0);

    if (*path.entry == 0)
        return false;
    if (entry)
        *entry = (struct mmu_entry){.frame = leaf_frame(*path.entry, path.level),
                                    .size = (enum page_size)path.level,
                                    .flags = leaf_flags(*path.entry, path.level),
                                    .accessed = *path.entry & PTE_ACCESSED,
                                    .dirty = *path.entry & PTE_DIRTY};
    return true;
}

bool mmu_is_free(const struct mmu *mmu, vaddr_t va, enum page_size size)
{
    struct path path = path_to(mmu, va, size);

    return *path.entry == 0 || (path.level == size && entry_is_table(*path.entry, size) && /* left in place */
                                table_is_empty(*path.entry, size));
}

/* ---- moving ---- */

/* A large page whose new place is not aligned to it has to go in smaller pieces. */
COLD static error_t split_misaligned(struct mmu *mmu, vaddr_t from, vaddr_t to, size_t size)
{
    for (vaddr_t va = from; va - from < size;) {
        struct path path = path_to(mmu, va, PAGE_2M);
        size_t length = (size_t)1 << level_shift(path.level);

        if (entry_is_leaf(*path.entry, path.level) && !is_aligned(va - from + to, length)) {
            error_t error = mmu_split(mmu, va + (length >> 9));

            if (error)
                return error;
            continue;
        }
        if (path.level == PAGE_2M && is_aligned(from ^ to, page_bytes(PAGE_2M)))
            length = page_bytes(PAGE_1G); /* nothing below has to be split */
        va = (va | (length - 1)) + 1;
    }
    return E_SUCCESS;
}

/*
 * What is moved at once: entries of one level, from one table to another, which lie next to each other in both. The
 * level is the highest at which both places begin: a table of smaller pages goes along with the entry that points to
 * it.
 */
struct piece {
    struct path from, to;
    unsigned level, count; /* 0: nothing is there, for larger pages were split */
    size_t size;
};

static struct piece piece_at(const struct mmu *mmu, vaddr_t from, vaddr_t to, size_t size)
{
    unsigned level = largest_fit(from, to, size, PAGE_1G), end = ENTRIES;
    struct piece piece = {.from = path_to(mmu, from, level), .level = level};

    if (piece.from.level != level) {
        piece.size = entry_end(from, from + size - 1, piece.from.level) - from + 1;
        return piece;
    }
    if (entry_index(from, level) > entry_index(to, level))
        end -= entry_index(from, level);
    else
        end -= entry_index(to, level);
    piece.count = size >> level_shift(level) < end ? (unsigned)(size >> level_shift(level)) : end;
    piece.size = (size_t)piece.count << level_shift(level);
    piece.to = path_to(mmu, to, level);
    return piece;
}

/* A page, or a table with something in it; tables that are empty stay where they are. */
static inline bool entry_is_moved(entry_t entry, unsigned level)
{
    return level == 0 ? entry != 0 : (entry & (PTE_LARGE | USED_MASK)) != 0;
}

/* Makes the table that the piece goes to, and has it stay until then. */
static error_t prepare_piece(struct mmu *mmu, struct piece *piece, vaddr_t to)
{
    unsigned first = 0;

    while (first < piece->count && !entry_is_moved(piece->from.entry[first], piece->level))
        first++;
    if (first == piece->count)
        return E_SUCCESS;
    if (piece->to.level != piece->level && path_extend(mmu, &piece->to, to, piece->level) != E_SUCCESS)
        return E_NOMEM;
    if (!is_shared(mmu, piece->level + 1))
        *piece->to.parent |= PTE_HELD;
    return E_SUCCESS;
}

/* The small pages of a piece; the number of them. */
static unsigned move_small(struct flush *flush, const struct piece *piece, vaddr_t va)
{
    entry_t *from = piece->from.entry, *to = piece->to.entry;
    unsigned moved = 0;

    for (unsigned i = 0; i < piece->count; i++) {
        entry_t entry = from[i];

        if (entry == 0)
            continue;
        to[i] = entry_take(&from[i]);
        moved++;
    }
    if (moved > MMU_FLUSH_SINGLES) {
        flush_add_many(flush);
        return moved;
    }
    for (unsigned i = 0; moved > 0 && i < piece->count; i++) {
        if (to[i] & PTE_PRESENT)
            flush_add(flush, va + ((vaddr_t)i << VM_PAGE_SHIFT));
    }
    return moved;
}

/* Takes empty tables out of the tree where others, or large pages, come. */
COLD static void make_room(struct mmu *mmu, const struct piece *piece, vaddr_t to_va)
{
    entry_t *to = piece->to.entry;

    for (unsigned i = 0; i < piece->count; i++) {
        if (to[i] == 0 || !entry_is_moved(piece->from.entry[i], piece->level))
            continue;
        ASSERT(entry_is_table(to[i], piece->level) && table_is_empty(to[i], piece->level));
        cut_empty(mmu, piece->to.parent, &to[i], piece->level, run_va(to_va, i, piece->level));
    }
}

/* What was moved is remembered at the old place, if at all. */
COLD static __attribute__((noinline)) void forget_notes(entry_t *entry, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (entry_used(entry[i]) > 0)
            entry[i] &= ~(entry_t)PTE_NOTED;
    }
}

/* Few large pages were moved; `to` has empty tables, too. */
static __attribute__((noinline)) void flush_add_large(struct flush *flush, const struct piece *piece, vaddr_t va)
{
    const entry_t *to = piece->to.entry;

    for (unsigned i = 0; i < piece->count; i++) {
        if ((to[i] & (PTE_LARGE | PTE_PRESENT)) == (PTE_LARGE | PTE_PRESENT))
            flush_add(flush, run_va(va, i, piece->level));
    }
}

/* Large pages and tables; the number of them. */
static __attribute__((noinline)) unsigned move_large(struct mmu *mmu, struct flush *flush, const struct piece *piece,
                                                     vaddr_t va, vaddr_t to_va)
{
    entry_t *from = piece->from.entry, *to = piece->to.entry, any = 0;
    unsigned count = piece->count, moved = count;

    if (UNLIKELY(zeros(to, count) != count))
        make_room(mmu, piece, to_va);
#pragma clang loop unroll_count(8)
    for (unsigned i = 0; i < count; i++) {
        entry_t entry = from[i];

        if (LIKELY(entry & (PTE_LARGE | USED_MASK))) {
            to[i] = entry_take(&from[i]);
            any |= entry;
        } else {
            moved--;
        }
    }
    if (UNLIKELY(any & PTE_NOTED))
        forget_notes(to, count);
    if (piece->level == PAGE_1G)
        forget_gibs(va, count);
    if ((any & USED_MASK) || moved > MMU_FLUSH_SINGLES)
        flush_add_many(flush);
    else if (moved > 0)
        flush_add_large(flush, piece, va);
    return moved;
}

static void move_piece(struct mmu *mmu, struct flush *flush, const struct piece *piece, vaddr_t va, vaddr_t to_va)
{
    entry_t *from = piece->from.parent, *to = piece->to.parent;
    unsigned moved;

    if (piece->to.level != piece->level) /* there was nothing to be moved */
        return;
    moved = piece->level == 0 ? move_small(flush, piece, va) : move_large(mmu, flush, piece, va, to_va);
    parent_add(to, moved * USED_ONE);
    if (!is_shared(mmu, piece->level + 1))
        *to &= ~(entry_t)PTE_HELD;
    parent_add(from, -(moved * USED_ONE));
    if (entry_used(entry_load(from)) == 0)
        note_empty(mmu, from, piece->level + 1, va);
}

/* All of it in the directory used last, and made of whole entries of it: the usual move of much memory. */
static inline bool is_in_directory(const struct mmu *mmu, vaddr_t from, vaddr_t to, size_t size)
{
    vaddr_t directory = mmu->directory_number << LEAF_DIRECTORY_SHIFT;

    return ((from - directory) | (from + size - 1 - directory) | (to - directory) | (to + size - 1 - directory)) >>
                   LEAF_DIRECTORY_SHIFT ==
               0 &&
           is_aligned(from | to | size, page_bytes(PAGE_2M));
}

static __attribute__((noinline)) error_t move_in_directory(struct mmu *mmu, vaddr_t from, vaddr_t to, size_t size)
{
    vaddr_t pages[MMU_FLUSH_SINGLES];
    struct flush flush = {.count = 0, .pages = pages};
    struct piece piece;

    piece.from.entry = &mmu->directory[entry_index(from, PAGE_2M)];
    piece.to.entry = &mmu->directory[entry_index(to, PAGE_2M)];
    piece.to.parent = mmu->directory_parent; /* whose count stays as it is */
    piece.level = PAGE_2M;
    piece.count = (unsigned)(size >> LEAF_TABLE_SHIFT);
    move_large(mmu, &flush, &piece, from, to);
    flush_run(mmu, &flush, from, size);
    return E_SUCCESS;
}

static __attribute__((noinline)) error_t move_walking(struct mmu *mmu, vaddr_t from, vaddr_t to, size_t size)
{
    vaddr_t pages[MMU_FLUSH_SINGLES];
    struct flush flush = {.count = 0, .pages = pages};
    bool alike = is_aligned(from ^ to, page_bytes(mmu_pages(mmu, PAGE_1G) > 0 ? PAGE_1G : PAGE_2M));
    error_t error = alike ? E_SUCCESS : split_misaligned(mmu, from, to, size);
    struct piece piece;

    if (size >= page_bytes(PAGE_1G)) {
        mmu_forget_table(mmu);
        cut_all_noted(mmu); /* what is remembered would not go along with the tables above it */
    }
    for (size_t done = 0; !error && done < size; done += piece.size) {
        piece = piece_at(mmu, from + done, to + done, size - done);
        if (piece.count > 0)
            error = prepare_piece(mmu, &piece, to + done);
    }
    if (error) {
        prune(mmu, to, size);
        return error;
    }
    for (size_t done = 0; done < size; done += piece.size) {
        if (piece.size != size) /* it is not all, which was found above */
            piece = piece_at(mmu, from + done, to + done, size - done);
        if (piece.count > 0)
            move_piece(mmu, &flush, &piece, from + done, to + done);
    }
    flush_run(mmu, &flush, from, size);
    return E_SUCCESS;
}

error_t mmu_move(struct mmu *mmu, vaddr_t from, vaddr_t to, size_t size)
{
    return is_in_directory(mmu, from, to, size) ? move_in_directory(mmu, from, to, size)
                                                : move_walking(mmu, from, to, size);
}

/* ---- statistics ---- */

static size_t count_tables(const entry_t *table, unsigned level, unsigned entries)
{
    size_t count = 0;

    for (unsigned i = 0; level > 0 && i < entries; i++) {
        if (table[i] != 0 && !entry_is_leaf(table[i], level))
            count += 1 + count_tables(entry_table(table[i]), level - 1, ENTRIES);
    }
    return count;
}

size_t mmu_tables(const struct mmu *mmu)
{
    return count_tables(phys_to_virt(mmu->root), ROOT_LEVEL, ENTRIES / 2);
}
