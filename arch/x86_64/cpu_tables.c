/*
 * Page tables of single CPUs, for knowing which of them may translate an address (RadixVM: Clements, Kaashoek,
 * Zeldovich, "RadixVM: Scalable Address Spaces for Multithreaded Applications", EuroSys 2013, has whole sets of tables
 * for each; here it is their two upper levels).
 *
 * Where several CPUs run each has a root of its own. For the addresses that domains divide (vm/space.h) the root points
 * to a table of the CPU's own as well, with an entry for each GiB, which is missing until the CPU touches something
 * there: then it faults, is noted among the users of that GiB, and gets the entry that the common tables have
 * (mmu_learn). What is below, the tables of each GiB, is common to all, and so is what domains do not divide, by
 * entries of the root that stay once they are made (mmu_begin_sharing). So what has become stale is told to the users
 * of its GiB, and as a CPU's own allocations are in parts of the address space where others have nothing, that is
 * nobody else as a rule.
 *
 * The common tables are the truth: mmu.c reads and changes nothing else. When the entry of a GiB there goes, or is that
 * of a page and changes, it is taken out of all CPUs' tables (mmu_forget_gib), which then learn it anew.
 *
 * A user that is asked to flush, and has not walked through its entry since it was asked before (the accessed bit,
 * which is its own), flushes everything and is no user any more (mmu_leave): a thread that was here for a while, and
 * has gone on to another CPU, costs it two such requests. One that does use the GiB, by translations that are in the
 * TLB all the time, learns it again.
 *
 * Learning takes no lock, for the core itself may learn in the middle of anything. It is ordered against changes in two
 * ways. A CPU is noted before it reads the common entry, and who changes entries reads the users only after that: one
 * of the two sees what the other did. And it looks again whether the entry is still that after it has entered it, while
 * who changes the entry takes it out of the CPU's table after that: whoever comes last leaves what is right. A table
 * that went may be used until the next epoch, which waits for this CPU (mmu.c).
 */
#include "arch/x86_64/cpu_tables.h"

#include "arch/x86_64/pte.h"
#include "core/base/string.h"
#include "core/cpu.h"
#include "core/percpu.h"
#include "vm/space.h"

#if QUIRE_THREADS

#define ROOT_SHIFT 39u
#define GIB_SHIFT 30u
#define PARTED_REGIONS (DOMAIN_SHIFT - VM_SLOT_ORDER_MIN + 1)
#define PART_GIBS (1u << (DOMAIN_SHIFT - GIB_SHIFT))
#define ROOT_PARTS (1u << (ROOT_SHIFT - DOMAIN_SHIFT)) /* below one entry of the root */
#define USERS_REGIONS (VM_PAGE_SIZE / sizeof(uint64_t) / PART_GIBS)
#define USERS_PAGES ((PARTED_REGIONS + USERS_REGIONS - 1) / USERS_REGIONS)

typedef uint64_t entry_t;

/* The CPUs that may translate an address, a bit for each, by GiB: a page of them. */
typedef uint64_t users_t[USERS_REGIONS][PART_GIBS];

PERCPU paddr_t mmu_own_root;
static PERCPU users_t *domain_users[USERS_PAGES]; /* of the CPU's own domain */

static entry_t *common_root;
static unsigned owners; /* CPUs that have tables of their own, and domains that are theirs; 0: none */

static inline unsigned index_at(vaddr_t va, unsigned shift)
{
    return (va >> shift) % PTE_TABLE_ENTRIES;
}

static inline entry_t *table_of(entry_t entry)
{
    return phys_to_virt(entry & PTE_ADDRESS);
}

/* True if the entry of a CPU's root points to a table of its own. */
static inline bool has_own_table(vaddr_t va)
{
    return (va - SLOTS_BASE) >> VM_REGION_SHIFT < PARTED_REGIONS &&
           (va >> ROOT_SHIFT) % (DOMAINS / ROOT_PARTS) * ROOT_PARTS < owners;
}

/* NULL: it is not known who has something there. */
static inline uint64_t *users_of(vaddr_t va)
{
    vaddr_t region = (va - SLOTS_BASE) >> VM_REGION_SHIFT;
    unsigned part = (va >> DOMAIN_SHIFT) % DOMAINS;

    if (region >= PARTED_REGIONS || part >= owners)
        return NULL;
    users_t *users = cpu_variable(part, domain_users)[region / USERS_REGIONS];

    return &(*users)[region % USERS_REGIONS][(va >> GIB_SHIFT) % PART_GIBS];
}

/* A CPU's entry for the address: of the root, or of its own table below that. */
static inline entry_t *entry_in(entry_t *root, vaddr_t va)
{
    entry_t *entry = &root[index_at(va, ROOT_SHIFT)];

    return has_own_table(va) ? &table_of(*entry)[index_at(va, GIB_SHIFT)] : entry;
}

/* As the processor looks at it when it walks the tables: whoever changes an entry stores it as a whole, and needs no
 * more for that (mmu.c), so that ThreadSanitizer need not know of it. After all that was stored before. */
__attribute__((no_sanitize("thread"))) static entry_t look_at(const volatile entry_t *common)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return *common;
}

/* The same in the common tables; NULL: there is none. */
static entry_t *common_entry(vaddr_t va)
{
    entry_t *top = &common_root[index_at(va, ROOT_SHIFT)], entry;

    if (!has_own_table(va))
        return top;
    entry = look_at(top);
    return entry != 0 ? &table_of(entry)[index_at(va, GIB_SHIFT)] : NULL;
}

/* ---- learning and forgetting ---- */

/* What the CPU looks at; of the rest counts change all the time. */
#define LEARNED_BITS (PTE_ADDRESS | PTE_PRESENT | PTE_WRITE | PTE_LARGE | PTE_NX | PTE_PCD | PTE_PWT)

/* A page that a CPU may write to through its own entry is dirty for all, if it still is there. */
static inline entry_t load_common(entry_t *common)
{
    entry_t entry = look_at(common);

    while (UNLIKELY((entry & (PTE_PRESENT | PTE_LARGE | PTE_DIRTY)) == (PTE_PRESENT | PTE_LARGE))) {
        if (__atomic_compare_exchange_n(common, &entry, entry | PTE_DIRTY, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            entry |= PTE_DIRTY;
    }
    return entry;
}

COLD static __attribute__((noinline)) bool learn(vaddr_t va, entry_t *own)
{
    entry_t *common = common_entry(va), entry;
    uint64_t *users = users_of(va);

    if (!common || look_at(common) == 0)
        return false;
    if (users)
        __atomic_fetch_or(users, (uint64_t)1 << cpu_number(), __ATOMIC_SEQ_CST);
    do {
        entry = load_common(common);
        __atomic_store_n(own, entry, __ATOMIC_SEQ_CST);
    } while (((look_at(common) ^ entry) & LEARNED_BITS) != 0);
    return entry != 0;
}

bool mmu_learn(vaddr_t va)
{
    paddr_t root = this_cpu(mmu_own_root);

    if (root == 0)
        return false;
    entry_t *own = entry_in(phys_to_virt(root), va);

    return UNLIKELY(__atomic_load_n(own, __ATOMIC_RELAXED) == 0) && learn(va, own);
}

COLD void mmu_forget_gib(vaddr_t va)
{
    const uint64_t *users = users_of(va);

    if (!has_own_table(va))
        return;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    uint64_t left = users ? __atomic_load_n(users, __ATOMIC_SEQ_CST) : ~(uint64_t)0 >> (64 - owners);

    for (; left != 0; left &= left - 1) {
        entry_t *root = phys_to_virt(cpu_variable(__builtin_ctzll(left), mmu_own_root));

        __atomic_store_n(entry_in(root, va), 0, __ATOMIC_SEQ_CST);
    }
}

bool mmu_leave(vaddr_t va, size_t size)
{
    uint64_t *users = users_of(va), self = (uint64_t)1 << cpu_number();

    if (!users || (va ^ (va + size - 1)) >> GIB_SHIFT != 0)
        return false;
    entry_t *own = entry_in(phys_to_virt(this_cpu(mmu_own_root)), va), entry = __atomic_load_n(own, __ATOMIC_RELAXED);

    if (entry & PTE_ACCESSED) {
        __atomic_store_n(own, entry & ~PTE_ACCESSED, __ATOMIC_RELAXED);
        return false;
    }
    __atomic_store_n(own, 0, __ATOMIC_RELAXED);
    __atomic_fetch_and(users, ~self, __ATOMIC_SEQ_CST);
    return true;
}

uint64_t mmu_users(vaddr_t va, size_t size)
{
    vaddr_t gibs = ((va + size - 1) >> GIB_SHIFT) - (va >> GIB_SHIFT) + 1;
    uint64_t all = 0;

    if (gibs > PART_GIBS)
        return ~(uint64_t)0;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    for (; gibs > 0; gibs--, va += (vaddr_t)1 << GIB_SHIFT) {
        const uint64_t *users = users_of(va);

        if (!users)
            return ~(uint64_t)0;
        all |= __atomic_load_n(users, __ATOMIC_RELAXED);
    }
    return all;
}

bool mmu_others_know(vaddr_t va, size_t size)
{
    return (mmu_users(va, size) & ~((uint64_t)1 << cpu_number())) != 0;
}

/* ---- making ---- */

static void table_free(paddr_t table)
{
    memset(phys_to_virt(table), 0, VM_PAGE_SIZE);
    mmu_put_table_frame(table);
}

/* As far as it was made. */
static void cpu_free(unsigned cpu)
{
    paddr_t root = cpu_variable(cpu, mmu_own_root);
    entry_t *entries = phys_to_virt(root);

    cpu_variable(cpu, mmu_own_root) = 0;
    for (unsigned i = 0; root != 0 && i < PTE_TABLE_ENTRIES; i++)
        if (has_own_table((vaddr_t)i << ROOT_SHIFT) && entries[i] != 0)
            table_free(entries[i] & PTE_ADDRESS);
    if (root != 0)
        table_free(root);
    for (unsigned i = 0; i < USERS_PAGES; i++) {
        users_t **page = &cpu_variable(cpu, domain_users)[i];

        if (*page != NULL)
            table_free(virt_to_phys(*page));
        *page = NULL;
    }
}

static bool root_fill(entry_t *root)
{
    for (unsigned i = 0; i < PTE_TABLE_ENTRIES; i++) {
        if (!has_own_table((vaddr_t)i << ROOT_SHIFT)) {
            root[i] = common_root[i];
            continue;
        }
        paddr_t table = mmu_get_table_frame();

        if (table == FRAME_NONE)
            return false;
        root[i] = table | PTE_TABLE;
    }
    return true;
}

/* False: there is no memory, and some was taken. */
static bool cpu_make(unsigned cpu)
{
    for (unsigned i = 0; i < USERS_PAGES; i++) {
        paddr_t page = mmu_get_table_frame();

        if (page == FRAME_NONE)
            return false;
        cpu_variable(cpu, domain_users)[i] = phys_to_virt(page);
    }
    paddr_t root = mmu_get_table_frame();

    if (root == FRAME_NONE)
        return false;
    cpu_variable(cpu, mmu_own_root) = root;
    return root_fill(phys_to_virt(root));
}

COLD paddr_t mmu_common_root(void)
{
    return owners > 0 ? virt_to_phys(common_root) : 0;
}

COLD void mmu_free_own_tables(void)
{
    for (unsigned cpu = 0; cpu < owners; cpu++)
        cpu_free(cpu);
    owners = 0;
}

COLD bool mmu_make_own_tables(struct mmu *mmu, unsigned cpus)
{
    mmu_begin_sharing(mmu); /* each CPU has the entries of the root */
    common_root = phys_to_virt(mmu->root);
    owners = cpus;
    for (unsigned cpu = 0; cpu < cpus; cpu++) {
        if (!cpu_make(cpu)) {
            mmu_free_own_tables();
            return false;
        }
    }
    return true;
}
#endif
