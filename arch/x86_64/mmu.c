/*
 * Page tables (vm/mmu.h), four levels (Intel SDM vol. 3, 4.5). Level 0 holds pages of 4 KiB, level 3 is the root.
 *
 * An entry that points to a table keeps, in bits that the CPU ignores, how many entries of that table are in use. So
 * an emptied table is known without a scan and goes back at once, zeroed already, to a small cache of tables.
 * Accessed and dirty are set when an entry is made: the CPU never has to write one.
 *
 * An inaccessible page (no VM_READ) keeps its entry with the present bit clear and PTE_KEPT set.
 *
 * Operations that need tables take them first (prepare) and only then change anything (commit).
 */
#include "vm/mmu.h"

#include "arch/x86_64/pte.h"
#include "core/base/assert.h"
#include "core/base/string.h"
#include "vm/vm.h"
#include <machine.h> /* not "": the fake of tests/unit must win over the one in this folder */

#define ENTRIES 512u
#define ROOT_LEVEL 3u
#define USED_SHIFT 52
#define USED_ONE (1ull << USED_SHIFT)
#define USED_MASK (0x3ffull << USED_SHIFT)

/* From here on one reload of the root is cheaper than INVLPG for each page. */
#define FLUSH_SINGLES 16u

typedef uint64_t entry_t;

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

/* ---- entries and flags ---- */

/* By VM_READ, VM_WRITE and VM_EXEC: a table, since every fault asks. */
static const entry_t protections[VM_PROTECTION + 1] = {
    [0] = PTE_KEPT | PTE_NX,
    [VM_WRITE] = PTE_KEPT | PTE_WRITE | PTE_NX,
    [VM_EXEC] = PTE_KEPT,
    [VM_WRITE | VM_EXEC] = PTE_KEPT | PTE_WRITE,
    [VM_READ] = PTE_PRESENT | PTE_NX,
    [VM_READ | VM_WRITE] = PTE_PRESENT | PTE_WRITE | PTE_NX,
    [VM_READ | VM_EXEC] = PTE_PRESENT,
    [VM_READ | VM_WRITE | VM_EXEC] = PTE_PRESENT | PTE_WRITE,
};

#define PROTECTION_BITS (PTE_PRESENT | PTE_KEPT | PTE_WRITE | PTE_NX)

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
    return pa | protections[flags & VM_PROTECTION] | PTE_ACCESSED | PTE_DIRTY | (level > 0 ? PTE_LARGE : 0);
}

#define RARE_FLAGS (VM_CACHE | VM_BORROWED)

static entry_t make_leaf(paddr_t pa, unsigned level, vm_flags_t flags)
{
    return make_plain_leaf(pa, level, flags) | (flags & RARE_FLAGS ? rare_bits(flags, level) : 0);
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

static paddr_t table_get(struct mmu *mmu)
{
    if (mmu->cached > 0)
        return mmu->cache[--mmu->cached];
    return mmu_get_table_frame();
}

/* Takes back a table whose entries are all zero. */
static void table_put(struct mmu *mmu, paddr_t table)
{
    if (mmu->cached < MMU_TABLE_CACHE)
        mmu->cache[mmu->cached++] = table;
    else
        mmu_put_table_frame(table);
}

/* Takes `count` tables or none. */
static error_t tables_get(struct mmu *mmu, paddr_t *tables, unsigned count)
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

static inline struct path path_to(const struct mmu *mmu, vaddr_t va, unsigned level)
{
    entry_t *table = phys_to_virt(mmu->root);
    struct path path = {.parent = NULL, .level = ROOT_LEVEL};

    for (;;) {
        path.entry = &table[entry_index(va, path.level)];
        if (path.level == level || *path.entry == 0 || entry_is_leaf(*path.entry, path.level))
            return path;
        path.parent = path.entry;
        table = entry_table(*path.entry);
        path.level--;
    }
}

/* The entry for va among those of 4 KiB pages; NULL: no such table is there. With constant levels it is straight code.
 */
static inline __attribute__((always_inline)) entry_t *small_entry(const struct mmu *mmu, vaddr_t va)
{
    entry_t *table = phys_to_virt(mmu->root);

    for (unsigned level = ROOT_LEVEL; level > 0; level--) {
        entry_t entry = table[entry_index(va, level)];

        if (UNLIKELY((entry & (PTE_PRESENT | (level < ROOT_LEVEL ? PTE_LARGE : 0))) != PTE_PRESENT))
            return NULL;
        table = entry_table(entry);
    }
    return &table[entry_index(va, 0)];
}

static inline void parent_count(entry_t *parent, int change)
{
    if (parent)
        *parent = change > 0 ? *parent + USED_ONE : *parent - USED_ONE;
}

/* Makes the tables that are missing between the path's end and the level; the path then ends there. */
static error_t path_extend(struct mmu *mmu, struct path *path, vaddr_t va, unsigned level)
{
    paddr_t tables[ROOT_LEVEL];
    unsigned missing = path->level - level;

    if (*path->entry != 0)
        return E_EXIST;
    error_t error = tables_get(mmu, tables, missing);

    if (error)
        return error;
    for (unsigned i = 0; i < missing; i++) {
        *path->entry = tables[i] | PTE_TABLE;
        parent_count(path->parent, 1);
        path->parent = path->entry;
        path->level--;
        path->entry = &entry_table(*path->parent)[entry_index(va, path->level)];
    }
    return E_SUCCESS;
}

/* The path to a free entry at the level, with tables made as needed. */
static error_t path_to_free(struct mmu *mmu, vaddr_t va, unsigned level, struct path *path)
{
    *path = path_to(mmu, va, level);
    if (UNLIKELY(path->level != level)) {
        error_t error = path_extend(mmu, path, va, level);

        if (error)
            return error;
    }
    return *path->entry == 0 ? E_SUCCESS : E_EXIST;
}

error_t mmu_init(struct mmu *mmu)
{
    *mmu = (struct mmu){.cached = 0};
    mmu->root = table_get(mmu);
    return mmu->root == FRAME_NONE ? E_NOMEM : E_SUCCESS;
}

void mmu_trim(struct mmu *mmu)
{
    while (mmu->cached > 0)
        mmu_put_table_frame(mmu->cache[--mmu->cached]);
}

void mmu_destroy(struct mmu *mmu)
{
    ASSERT(mmu_tables(mmu) == 0);
    mmu_trim(mmu);
    mmu_put_table_frame(mmu->root);
    mmu->root = FRAME_NONE;
}

static inline void flush_page(struct mmu *mmu, vaddr_t va)
{
    mmu->flushed_pages++;
    machine_flush_page(va);
}

/* ---- mapping ---- */

/* The rare part: tables are missing, or a larger page is there. */
static __attribute__((noinline)) error_t map_extending(struct mmu *mmu, vaddr_t va, unsigned level, entry_t leaf)
{
    struct path path;
    error_t error = path_to_free(mmu, va, level, &path);

    if (error)
        return error;
    *path.entry = leaf;
    parent_count(path.parent, 1);
    mmu->pages[level]++;
    return E_SUCCESS;
}

/* With a constant level the way down is straight-line code. */
static inline __attribute__((always_inline)) error_t map_at_level(struct mmu *mmu, vaddr_t va, unsigned level,
                                                                  entry_t leaf)
{
    entry_t *parent = NULL, *table = phys_to_virt(mmu->root);

    for (unsigned above = ROOT_LEVEL; above > level; above--) {
        parent = &table[entry_index(va, above)];
        if (UNLIKELY((*parent & (PTE_PRESENT | (above < ROOT_LEVEL ? PTE_LARGE : 0))) != PTE_PRESENT))
            return map_extending(mmu, va, level, leaf);
        table = entry_table(*parent);
    }
    entry_t *entry = &table[entry_index(va, level)];

    if (UNLIKELY(*entry != 0))
        return E_EXIST;
    *entry = leaf;
    *parent += USED_ONE;
    mmu->pages[level]++;
    return E_SUCCESS;
}

/* Out of the way: a call in mmu_map itself would make it save registers. */
static __attribute__((noinline)) error_t map_rare(struct mmu *mmu, vaddr_t va, paddr_t pa, enum page_size size,
                                                  vm_flags_t flags)
{
    return map_extending(mmu, va, size, make_leaf(pa, size, flags));
}

error_t mmu_map(struct mmu *mmu, vaddr_t va, paddr_t pa, enum page_size size, vm_flags_t flags)
{
    ASSERT(is_aligned(va | pa, page_bytes(size)));
    if (UNLIKELY(flags & RARE_FLAGS))
        return map_rare(mmu, va, pa, size, flags);
    if (LIKELY(size == PAGE_4K))
        return map_at_level(mmu, va, PAGE_4K, make_plain_leaf(pa, PAGE_4K, flags));
    if (LIKELY(size == PAGE_2M))
        return map_at_level(mmu, va, PAGE_2M, make_plain_leaf(pa, PAGE_2M, flags));
    return map_at_level(mmu, va, PAGE_1G, make_plain_leaf(pa, PAGE_1G, flags));
}

unsigned mmu_free_run(const struct mmu *mmu, vaddr_t va, unsigned most)
{
    struct path path = path_to(mmu, va, 0);
    unsigned count = 0;

    if (path.level > 0)
        return *path.entry == 0 ? most : 0;
    while (count < most && path.entry[count] == 0)
        count++;
    return count;
}

error_t mmu_map_run(struct mmu *mmu, vaddr_t va, paddr_t pa, unsigned count, vm_flags_t flags)
{
    struct path path;
    error_t error = path_to_free(mmu, va, 0, &path);
    entry_t leaf = make_leaf(pa, 0, flags);

    ASSERT(entry_index(va, 0) + count <= ENTRIES);
    if (error)
        return error;
    for (entry_t *entry = path.entry, *end = entry + count; entry < end; entry++, leaf += VM_PAGE_SIZE)
        *entry = leaf;
    *path.parent += count * USED_ONE;
    mmu->pages[PAGE_4K] += count;
    return E_SUCCESS;
}

void mmu_replace(struct mmu *mmu, vaddr_t va, paddr_t pa, vm_flags_t flags)
{
    struct path path = path_to(mmu, va, 0);

    ASSERT(path.level == 0 && *path.entry != 0);
    *path.entry = make_leaf(pa, 0, flags);
    flush_page(mmu, va);
}

/* The largest page that both addresses and the length allow. */
static enum page_size largest_fit(vaddr_t va, paddr_t pa, size_t size, enum page_size largest)
{
    while (largest > PAGE_4K && (!is_aligned(va | pa, page_bytes(largest)) || size < page_bytes(largest)))
        largest--;
    return largest;
}

error_t mmu_map_range(struct mmu *mmu, vaddr_t va, paddr_t pa, size_t size, enum page_size largest, vm_flags_t flags)
{
    size_t done = 0;

    while (done < size) {
        enum page_size page = largest_fit(va + done, pa + done, size - done, largest);
        error_t error = mmu_map(mmu, va + done, pa + done, page, flags);

        if (error) {
            if (done)
                mmu_unmap(mmu, va, done, false, NULL);
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
        fill_split(phys_to_virt(tables[i]), *path.entry, path.level);
        *path.entry = tables[i] | PTE_TABLE | ((entry_t)ENTRIES << USED_SHIFT);
        mmu->pages[path.level]--;
        path.level--;
        mmu->pages[path.level] += ENTRIES;
        path.entry = &entry_table(*path.entry)[entry_index(va, path.level)];
    }
    if (count)
        flush_page(mmu, va); /* also drops the large translation (SDM vol. 3, 4.10.4.1) */
    return E_SUCCESS;
}

error_t mmu_split(struct mmu *mmu, vaddr_t va)
{
    return LIKELY(small_entry(mmu, va) != NULL) ? E_SUCCESS : split_large(mmu, va);
}

/* ---- flushing ---- */

/* Translations that have become stale: single ones as long as they are few. */
struct flush {
    unsigned count;
    vaddr_t *pages; /* FLUSH_SINGLES of them, not part of this: nobody wants them cleared */
};

static inline void flush_add(struct flush *flush, vaddr_t va)
{
    if (flush->count < FLUSH_SINGLES)
        flush->pages[flush->count] = va;
    flush->count++;
}

static void flush_run(struct mmu *mmu, const struct flush *flush)
{
    if (flush->count > FLUSH_SINGLES) {
        mmu->flushed_all++;
        machine_flush_all();
        return;
    }
    mmu->flushed_pages += flush->count;
    for (unsigned i = 0; i < flush->count; i++)
        machine_flush_page(flush->pages[i]);
}

/* ---- walking ranges ---- */

struct walk {
    struct mmu *mmu;
    void (*leaf)(struct walk *, entry_t *entry, unsigned level, vaddr_t va);
    bool pruning; /* give empty tables back */
    bool release;
    error_t error;
    vaddr_t target; /* of a move: what is added to va */
    struct flush flush;
    struct mmu_count count;
};

/* Visits the leaves of [va, last] below the table that `parent` points to (NULL: the root). */
static void walk_table(struct walk *walk, entry_t *parent, entry_t *table, unsigned level, vaddr_t va, vaddr_t last)
{
    for (;;) {
        entry_t *entry = &table[entry_index(va, level)];
        vaddr_t end = entry_end(va, last, level);

        if (*entry != 0 && entry_is_leaf(*entry, level)) {
            walk->leaf(walk, entry, level, va);
            if (*entry == 0)
                parent_count(parent, -1);
        } else if (*entry != 0) {
            walk_table(walk, entry, entry_table(*entry), level - 1, va, end);
            if (walk->pruning && entry_used(*entry) == 0) {
                /* The CPU may remember the table without having found a page in it: one INVLPG drops all such
                 * memories (SDM vol. 3, 4.10.4.1), and usually a page has asked for it already. */
                if (walk->flush.count == 0)
                    flush_add(&walk->flush, va);
                table_put(walk->mmu, *entry & PTE_ADDRESS);
                *entry = 0;
                parent_count(parent, -1);
            }
        }
        if (end == last || walk->error)
            return;
        va = end + 1;
    }
}

static void walk_range(struct walk *walk, vaddr_t va, size_t size)
{
    vaddr_t pages[FLUSH_SINGLES];

    walk->flush.pages = pages;
    walk_table(walk, NULL, phys_to_virt(walk->mmu->root), ROOT_LEVEL, va, va + size - 1);
    flush_run(walk->mmu, &walk->flush);
}

static void leaf_remove(struct walk *walk, entry_t *entry, unsigned level, vaddr_t va)
{
    entry_t old = *entry;

    ASSERT(is_aligned(va, 1ull << level_shift(level)));
    *entry = 0;
    walk->count.pages[level]++;
    if (old & PTE_PRESENT)
        flush_add(&walk->flush, va);
    if (walk->release && !(old & PTE_BORROWED))
        mmu_release_frame(leaf_frame(old, level), (enum page_size)level);
}

static void count_removed(const struct walk *walk)
{
    for (unsigned i = 0; i < PAGE_SIZES; i++)
        walk->mmu->pages[i] -= walk->count.pages[i];
}

void mmu_unmap(struct mmu *mmu, vaddr_t va, size_t size, bool release, struct mmu_count *removed)
{
    struct walk walk = {.mmu = mmu, .leaf = leaf_remove, .pruning = true, .release = release};

    walk_range(&walk, va, size);
    count_removed(&walk);
    for (unsigned i = 0; removed && i < PAGE_SIZES; i++)
        removed->pages[i] += walk.count.pages[i];
}

static void leaf_remove_borrowed(struct walk *walk, entry_t *entry, unsigned level, vaddr_t va)
{
    if (*entry & PTE_BORROWED)
        leaf_remove(walk, entry, level, va);
}

void mmu_unmap_borrowed(struct mmu *mmu, vaddr_t va, size_t size)
{
    struct walk walk = {.mmu = mmu, .leaf = leaf_remove_borrowed, .pruning = true};

    walk_range(&walk, va, size);
    count_removed(&walk);
}

void mmu_collapse(struct mmu *mmu, vaddr_t va, paddr_t pa, vm_flags_t flags)
{
    struct walk walk = {.mmu = mmu, .leaf = leaf_remove, .release = true};
    struct path path = path_to(mmu, va, PAGE_2M);

    ASSERT(path.level == PAGE_2M && *path.entry != 0 && !entry_is_leaf(*path.entry, path.level));
    walk_range(&walk, va, page_bytes(PAGE_2M));
    count_removed(&walk);
    table_put(mmu, *path.entry & PTE_ADDRESS);
    *path.entry = make_leaf(pa, PAGE_2M, flags);
    mmu->pages[PAGE_2M]++;
    flush_page(mmu, va);
}

/* The new protection; true if the CPU may remember another one. */
static inline bool entry_protect(entry_t *entry, entry_t protection)
{
    entry_t old = *entry;

    *entry = (old & ~(entry_t)PROTECTION_BITS) | protection;
    if (UNLIKELY(old & PTE_BORROWED))
        *entry &= ~(entry_t)PTE_WRITE;
    return (old & PTE_PRESENT) && old != *entry;
}

static void leaf_protect(struct walk *walk, entry_t *entry, unsigned level, vaddr_t va)
{
    ASSERT(is_aligned(va, 1ull << level_shift(level)));
    (void)level;
    if (entry_protect(entry, walk->target))
        flush_add(&walk->flush, va);
}

/* One page of 4 KiB, the usual unit of guards and garbage collectors; false if a table is missing or a page is larger.
 */
static inline bool protect_single(struct mmu *mmu, vaddr_t va, entry_t protection)
{
    entry_t *entry = small_entry(mmu, va);

    if (UNLIKELY(entry == NULL))
        return false;
    if (*entry != 0 && entry_protect(entry, protection))
        flush_page(mmu, va);
    return true;
}

static __attribute__((noinline)) void protect_range(struct mmu *mmu, vaddr_t va, size_t size, entry_t protection)
{
    struct walk walk = {.mmu = mmu, .leaf = leaf_protect, .target = protection};

    walk_range(&walk, va, size);
}

void mmu_protect(struct mmu *mmu, vaddr_t va, size_t size, vm_flags_t flags)
{
    entry_t protection = protections[flags & VM_PROTECTION];

    if (size != VM_PAGE_SIZE || !protect_single(mmu, va, protection))
        protect_range(mmu, va, size, protection);
}

static void leaf_count(struct walk *walk, entry_t *entry, unsigned level, vaddr_t va)
{
    (void)va;
    walk->count.pages[level]++;
    walk->count.borrowed += level == 0 && (*entry & PTE_BORROWED);
}

struct mmu_count mmu_count(const struct mmu *mmu, vaddr_t va, size_t size)
{
    struct walk walk = {.mmu = (struct mmu *)mmu, .leaf = leaf_count};

    walk_range(&walk, va, size);
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
    return *path_to(mmu, va, size).entry == 0;
}

/* ---- moving ---- */

/* A large page whose new place is not aligned to it has to go in smaller pieces. */
static error_t split_misaligned(struct mmu *mmu, vaddr_t from, vaddr_t to, size_t size)
{
    for (vaddr_t va = from; va - from < size;) {
        struct path path = path_to(mmu, va, 0);
        size_t length = (size_t)1 << level_shift(path.level);

        if (*path.entry != 0 && path.level > 0 && !is_aligned(va - from + to, length)) {
            error_t error = mmu_split(mmu, va + (length >> 9));

            if (error)
                return error;
            continue;
        }
        va = (va | (length - 1)) + 1;
    }
    return E_SUCCESS;
}

static void leaf_prepare_move(struct walk *walk, entry_t *entry, unsigned level, vaddr_t va)
{
    struct path path;

    (void)entry;
    if (path_to_free(walk->mmu, va + walk->target, level, &path) == E_NOMEM)
        walk->error = E_NOMEM;
}

static void leaf_move(struct walk *walk, entry_t *entry, unsigned level, vaddr_t va)
{
    struct path path = path_to(walk->mmu, va + walk->target, level);

    ASSERT(path.level == level && *path.entry == 0);
    *path.entry = *entry;
    parent_count(path.parent, 1);
    leaf_remove(walk, entry, level, va);
}

static void leaf_ignore(struct walk *walk, entry_t *entry, unsigned level, vaddr_t va)
{
    (void)walk, (void)entry, (void)level, (void)va;
}

/* Gives back the empty tables of a range. */
static void prune(struct mmu *mmu, vaddr_t va, size_t size)
{
    struct walk walk = {.mmu = mmu, .leaf = leaf_ignore, .pruning = true};

    walk_range(&walk, va, size);
}

error_t mmu_move(struct mmu *mmu, vaddr_t from, vaddr_t to, size_t size)
{
    struct walk prepare = {.mmu = mmu, .leaf = leaf_prepare_move, .target = to - from};
    struct walk move = {.mmu = mmu, .leaf = leaf_move, .target = to - from};
    error_t error = split_misaligned(mmu, from, to, size);

    if (error)
        return error;
    walk_range(&prepare, from, size);
    if (prepare.error) {
        prune(mmu, to, size);
        return prepare.error;
    }
    walk_range(&move, from, size);
    prune(mmu, from, size); /* only now: on the way a table made for the target may still have been empty */
    return E_SUCCESS;
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
