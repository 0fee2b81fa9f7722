/*
 * The short pieces of vm/ and core/ that several CPUs run at once, in every interleaving (explore.h): spin locks, the
 * locks of domains, what CPUs free of each other's heaps, tables that are entered into a root of several, what CPUs
 * learn for tables of their own while it changes, and faults without a lock. What is broken on purpose has to be found.
 */
#include <string.h>

#include "fake.h"
#include "harness.h"
#include "tests/unit/explore_atomics.h"

#include "core/cpu.h"

#define cpu_relax explore_yield
#define cpu_call ask_others
static void ask_others(uint64_t mask, void (*function)(void *), void *argument);
#include "arch/x86_64/mmu.c"

#include "arch/x86_64/cpu_tables.c"
#undef ROOT_SHIFT
#undef GIB_SHIFT
#include "arch/x86_64/mmu_shared.c"
#include "core/spinlock.c"
#include "vm/domains.c"
#include "vm/heap/remote.h"
#include "vm/visitors.c"

static void (*const *acts)(void);
static unsigned actors, returned;
static void (*prepare)(void);
static const char *(*check)(void);

/* ---- runs ---- */

static void act(unsigned actor)
{
    acts[actor]();
    returned++;
}

static void begin_run(void)
{
    returned = 0;
    prepare();
}

static const char *end_run(void)
{
    return returned != actors ? "a CPU waits for ever" : check();
}

static struct exploration exploration(unsigned count, void (*const *functions)(void), unsigned bound)
{
    fake_cpus(EXPLORE_ACTORS);
    acts = functions;
    actors = count;
    return (struct exploration){
        .actors = count, .bound = bound, .begin = begin_run, .act = act, .resume = fake_cpu_be, .end = end_run};
}

static void must_hold(unsigned count, void (*const *functions)(void), unsigned bound)
{
    struct exploration all = exploration(count, functions, bound);
    size_t runs;
    const char *wrong = explore(&all, &runs);

    print_message("%zu interleavings\n", runs);
    all.delays = true;
    all.bound = bound < 3 ? bound : 3;
    if (wrong == NULL)
        wrong = explore(&all, &runs);
    if (wrong != NULL)
        fail_msg("run %zu: %s", runs, wrong);
}

static void must_be_found(unsigned count, void (*const *functions)(void), const char *split)
{
    struct exploration broken = exploration(count, functions, 4);
    size_t runs;

    broken.split = split;
    if (explore(&broken, &runs) == NULL)
        fail_msg("%zu interleavings do not show what is broken", runs);
}

#define MUST_HOLD(bound, ...)                                                                                          \
    do {                                                                                                               \
        static void (*const functions[])(void) = {__VA_ARGS__};                                                        \
        must_hold(ARRAY_LENGTH(functions), functions, bound);                                                          \
    } while (0)
#define MUST_BE_FOUND(split, ...)                                                                                      \
    do {                                                                                                               \
        static void (*const functions[])(void) = {__VA_ARGS__};                                                        \
        must_be_found(ARRAY_LENGTH(functions), functions, split);                                                      \
    } while (0)

/* ---- spin locks ---- */

static struct spinlock lock;
static unsigned inside[3], entered;

static void go_inside(unsigned domain)
{
    EXPLORE_CHECK(inside[domain]++ == 0);
    explore_step();
    inside[domain]--;
}

static void lock_twice(void)
{
    for (unsigned i = 0; i < 2; i++) {
        if (i == 0 || !spin_try(&lock))
            spin_lock(&lock);
        go_inside(0);
        entered++;
        spin_unlock(&lock);
    }
}

static void prepare_lock(void)
{
    lock = (struct spinlock){0};
    memset(inside, 0, sizeof(inside));
    entered = 0;
}

static const char *check_lock(void)
{
    return entered == 2 * actors && lock.taken == 0 ? NULL : "not every turn was had";
}

static void test_spin_locks(void **state)
{
    (void)state;
    prepare = prepare_lock;
    check = check_lock;
    MUST_HOLD(EXPLORE_ALL, lock_twice, lock_twice);
    MUST_HOLD(3, lock_twice, lock_twice, lock_twice);
    MUST_BE_FOUND("spin_word_lock", lock_twice, lock_twice);
    MUST_BE_FOUND("spin_word_try", lock_twice, lock_twice);
    MUST_BE_FOUND("try_when_free", lock_twice, lock_twice);
}

/* ---- domains ---- */

static struct address_space domains[3];

static void hold_one(void)
{
    struct space_hold hold = space_hold(&domains[1]), again = space_hold(&domains[1]);

    EXPLORE_CHECK(hold.tied == domains[1].tied && again.tied == hold.tied);
    go_inside(1);
    if (hold.tied)
        go_inside(0);
    space_release(&again);
    space_release(&hold);
}

static void hold_whole(void)
{
    struct space_hold hold = space_hold(&domains[0]);

    go_inside(0);
    space_release(&hold);
}

static void hold_all(void)
{
    struct space_hold hold = space_hold_all(&domains[2]), again = space_hold_all(&domains[1]);
    struct space_hold one = space_hold(&domains[1]);

    for (unsigned domain = 0; domain < 3; domain++)
        go_inside(domain);
    space_release(&one);
    space_release(&again);
    go_inside(1);
    space_release(&hold);
}

static void tie_and_hold(void)
{
    tie(&domains[1]);
    hold_one();
    EXPLORE_CHECK(domains[1].tied);
}

/* From the last one the first may only be tried. */
static void try_another(void)
{
    struct space_hold hold = space_hold(&domains[2]), other;

    if (space_try(&other, &domains[1])) {
        go_inside(1);
        if (other.tied)
            go_inside(0);
        space_release(&other);
    }
    go_inside(2);
    space_release(&hold);
}

/* Domain 0 behind another, against the order. */
static void hold_backwards(void)
{
    space_lock(&domains[1].lock);
    explore_step();
    space_lock(&domains[0].lock);
    space_unlock(&domains[0].lock);
    space_unlock(&domains[1].lock);
}

/* It holds the other one without looking whether it is tied. */
static void hold_untied(void)
{
    space_lock(&domains[1].lock);
    go_inside(1);
    if (domains[1].tied)
        go_inside(0);
    space_unlock(&domains[1].lock);
}

static void prepare_domains(void)
{
    memset(inside, 0, sizeof(inside));
    for (unsigned number = 0; number < 3; number++) {
        struct address_space *domain = &domains[number];

        domain->lock = (struct space_lock){{0}, 0};
        domain->tied = false;
        domain->number = number;
        domain->whole = domains;
        domain->all_depth = 0;
        domains->domains[number] = domain;
    }
}

static const char *check_domains(void)
{
    for (unsigned number = 0; number < 3; number++)
        if (domains[number].lock.spin.taken != 0 || domains[number].lock.depth != 0)
            return "a domain is held by nobody";
    return NULL;
}

static void test_domains(void **state)
{
    (void)state;
    prepare = prepare_domains;
    check = check_domains;
    MUST_HOLD(3, hold_one, tie_and_hold);
    MUST_HOLD(3, hold_all, hold_one);
    MUST_HOLD(3, hold_all, tie_and_hold);
    MUST_HOLD(2, tie_and_hold, hold_whole, hold_all);
    MUST_HOLD(2, try_another, tie_and_hold, hold_all);
    MUST_BE_FOUND(NULL, hold_backwards, hold_all);
    MUST_BE_FOUND(NULL, hold_untied, tie_and_hold, hold_whole);
}

/* ---- what other CPUs freed ---- */

#define BLOCKS 3u /* of the first one: a chain of two, and then one; the second one has the chain only */

static struct remote remote;
static struct block {
    struct block *next;
    unsigned taken;
} blocks[2][BLOCKS];

static void put_chain(unsigned actor)
{
    struct block *chain = &blocks[actor][1];

    chain[0].next = &chain[1];
    EXPLORE_CHECK(remote_put(&remote, (uintptr_t)&chain[0], (uintptr_t)&chain[1], 2) <= 5);
}

static void put_chain_and_block(void)
{
    put_chain(0);
    EXPLORE_CHECK(remote_put(&remote, (uintptr_t)&blocks[0][0], (uintptr_t)&blocks[0][0], 1) - 1 <= 4);
}

static void put_other_chain(void)
{
    put_chain(1);
}

static void take_all(void)
{
    size_t taken = 0;

    for (struct block *block = (struct block *)remote_take(&remote); block != NULL; block = block->next, taken++)
        block->taken++;
    remote_taken(&remote, taken);
}

static void take_twice(void)
{
    take_all();
    take_all();
}

static void prepare_remote(void)
{
    memset(&remote, 0, sizeof(remote));
    memset(blocks, 0, sizeof(blocks));
}

/* Nothing is lost, and nothing is there twice. */
static const char *check_remote(void)
{
    size_t left = 0;

    for (struct block *block = (struct block *)remote.first; block != NULL && left <= 5; block = block->next, left++)
        block->taken++;
    if (remote.bytes != left)
        return "the bytes are not those that are there";
    for (unsigned actor = 0; actor < 2; actor++)
        for (unsigned block = 0; block < BLOCKS; block++)
            if (blocks[actor][block].taken != (actor == 0 || block > 0))
                return "a block was lost, or is there twice";
    return NULL;
}

static void test_remote(void **state)
{
    (void)state;
    prepare = prepare_remote;
    check = check_remote;
    MUST_HOLD(5, put_chain_and_block, put_other_chain, take_twice);
    MUST_BE_FOUND("remote_put", put_chain_and_block, put_other_chain, take_twice);
    MUST_BE_FOUND("remote_take", put_chain_and_block, put_other_chain, take_twice);
    MUST_BE_FOUND("remote_taken", put_chain_and_block, put_other_chain, take_twice);
}

/* ---- tables of several ---- */

#define TABLES 96u
#define SHARED_AT ((vaddr_t)1 << 46)
#define PART ((vaddr_t)1 << 35) /* nothing but the root holds addresses of two of them */

static struct mmu whole, parts[2];
static unsigned tables_out;
static bool table_is_out[TABLES];

paddr_t mmu_get_table_frame(void)
{
    for (unsigned i = 0; i < TABLES; i++) {
        if (table_is_out[i])
            continue;
        table_is_out[i] = true;
        tables_out++;
        memset(phys_to_virt((i + 1) * VM_PAGE_SIZE), 0, VM_PAGE_SIZE);
        return (i + 1) * VM_PAGE_SIZE;
    }
    return FRAME_NONE;
}

void mmu_put_table_frame(paddr_t table)
{
    EXPLORE_CHECK(table_is_out[table / VM_PAGE_SIZE - 1]);
    table_is_out[table / VM_PAGE_SIZE - 1] = false;
    tables_out--;
}

static void map_part(unsigned part)
{
    for (unsigned page = 0; page < 2; page++)
        EXPLORE_CHECK(mmu_map(&parts[part], SHARED_AT + part * PART + page * VM_PAGE_SIZE, 0x800000, PAGE_4K, VM_RW) ==
                      E_SUCCESS);
}

static void map_first(void)
{
    map_part(0);
}

static void map_second(void)
{
    map_part(1);
}

static void prepare_tables(void)
{
    memset(table_is_out, 0, sizeof(table_is_out));
    tables_out = 0;
    if (mmu_init(&whole) != E_SUCCESS)
        fake_violation("no root");
    mmu_begin_sharing(&whole);
    mmu_share(&whole, &parts[0]);
    mmu_share(&whole, &parts[1]);
}

/* One table of the root for both, which counts the two below it; each has one of its own for each level below. */
static const char *check_tables(void)
{
    const entry_t *root = phys_to_virt(whole.root), entry = root[entry_index(SHARED_AT, ROOT_LEVEL)];
    struct mmu_entry found;

    for (unsigned part = 0; part < 2; part++)
        for (unsigned page = 0; page < 2; page++)
            if (!mmu_query(&parts[1 - part], SHARED_AT + part * PART + page * VM_PAGE_SIZE, &found))
                return "a page is not there";
    if (entry_used(entry) != 2)
        return "the entry of the root does not count the tables";
    return tables_out - parts[0].cached - parts[1].cached - whole.cached == 6 ? NULL : "a table is lost";
}

static void test_tables_of_several(void **state)
{
    (void)state;
    fake_ram(&(struct frame_range){0, 16 * MIB}, 1);
    prepare = prepare_tables;
    check = check_tables;
    MUST_HOLD(3, map_first, map_second);
    MUST_BE_FOUND("enter_table", map_first, map_second);
    MUST_BE_FOUND("parent_add", map_first, map_second);
}

/* ---- tables of each ---- */

#define LEARNED_AT (SLOTS_BASE + ((vaddr_t)5 << VM_REGION_SHIFT)) /* of domain 0 */
#define LEARNERS 2u

static entry_t known[LEARNERS]; /* what the TLB of each has; 0: nothing */

/* Those that are asked forget what they know. */
static void ask_others(uint64_t mask, void (*function)(void *), void *argument)
{
    (void)function, (void)argument;
    for (unsigned cpu = 0; cpu < LEARNERS; cpu++) {
        explore_step();
        if (mask >> cpu & 1)
            known[cpu] = 0;
    }
}

static entry_t own_entry(unsigned cpu)
{
    return *entry_in(phys_to_virt(cpu_variable(cpu, mmu_own_root)), LEARNED_AT);
}

/* A fault, and the access again. The walk is one step. */
static void touch_learned(void)
{
    unsigned cpu = cpu_number();
    entry_t entry;

    mmu_learn(LEARNED_AT);
    explore_step();
    entry = own_entry(cpu);
    for (unsigned level = 1; entry != 0 && level < 3; level++)
        entry = entry_table(entry)[entry_index(LEARNED_AT, 2 - level)];
    known[cpu] = entry;
}

static void protect_learned(void)
{
    mmu_protect(&whole, LEARNED_AT, VM_PAGE_SIZE, VM_READ);
}

/* With all tables of the GiB. */
static void unmap_learned(void)
{
    mmu_unmap(&whole, LEARNED_AT, page_bytes(PAGE_1G), false);
}

static void map_learned(void)
{
    EXPLORE_CHECK(mmu_map(&whole, LEARNED_AT, 0x800000, PAGE_4K, VM_RW) == E_SUCCESS);
}

static void replace_learned(void)
{
    unmap_learned();
    map_learned();
}

static void prepare_learning(void)
{
    memset(table_is_out, 0, sizeof(table_is_out));
    tables_out = 0;
    memset(known, 0, sizeof(known));
    if (mmu_init(&whole) != E_SUCCESS)
        fake_violation("no root");
    map_learned();
    if (!mmu_make_own_tables(&whole, LEARNERS + 1))
        fake_violation("no tables");
}

static const char *check_learning(void)
{
    struct path path = path_from_root(&whole, LEARNED_AT, 0);
    const entry_t *common = common_entry(LEARNED_AT);

    for (unsigned cpu = 0; cpu < LEARNERS; cpu++) {
        if (own_entry(cpu) != 0 && (!common || ((own_entry(cpu) ^ *common) & LEARNED_BITS) != 0))
            return "a CPU's tables lead elsewhere";
        if (known[cpu] != 0 && known[cpu] != (path.level == 0 ? *path.entry : 0))
            return "a CPU knows what has gone";
    }
    return NULL;
}

static bool gib_written;

/* A page of the GiB whose contents were given up: it is not dirty, and learning it makes it so. */
static void touch_gib(void)
{
    mmu_learn(LEARNED_AT);
}

static void unmap_gib(void)
{
    mmu_unmap(&whole, LEARNED_AT, page_bytes(PAGE_1G), true);
}

static void drop_clean_gib(void)
{
    mmu_unmap_clean(&whole, LEARNED_AT, page_bytes(PAGE_1G));
}

static void split_gib(void)
{
    EXPLORE_CHECK(mmu_split(&whole, LEARNED_AT + page_bytes(PAGE_2M)) == E_SUCCESS);
}

/* As the processor does it: the walk, and the dirty bit in the last entry, are one step. */
static void write_gib(void)
{
    mmu_learn(LEARNED_AT);
    explore_step();
    entry_t *entry = entry_in(phys_to_virt(cpu_variable(cpu_number(), mmu_own_root)), LEARNED_AT);

    if ((*entry & (PTE_PRESENT | PTE_LARGE)) == PTE_PRESENT)
        entry = &entry_table(*entry)[entry_index(LEARNED_AT, PAGE_2M)];
    if (!(*entry & PTE_PRESENT))
        return;
    *entry |= PTE_DIRTY;
    gib_written = true;
}

static void prepare_learning_gib(void)
{
    gib_written = false;
    prepare_learning();
    unmap_learned();
    EXPLORE_CHECK(mmu_map(&whole, LEARNED_AT, 0, PAGE_1G, VM_RW) == E_SUCCESS);
    mmu_clean(&whole, LEARNED_AT, page_bytes(PAGE_1G));
}

/* It is the page as it was made, dirty or not, or nothing. */
static const char *check_learning_gib(void)
{
    entry_t entry = *common_entry(LEARNED_AT);

    if (entry != 0 && ((entry ^ make_plain_leaf(0, PAGE_1G, VM_RW)) & ~(entry_t)PTE_DIRTY) != 0)
        return "an entry that went was changed";
    return check_learning();
}

/* What was written to is dirty, in pages of whatever size. */
static const char *check_split_gib(void)
{
    struct path path = path_from_root(&whole, LEARNED_AT, PAGE_2M);

    if (gib_written && !(*path.entry & PTE_DIRTY))
        return "what was written would be dropped";
    return check_learning();
}

static void test_learning(void **state)
{
    (void)state;
    fake_ram(&(struct frame_range){0, 16 * MIB}, 1);
    prepare = prepare_learning;
    check = check_learning;
    MUST_HOLD(3, touch_learned, touch_learned, protect_learned);
    MUST_HOLD(3, touch_learned, touch_learned, unmap_learned);
    MUST_HOLD(3, touch_learned, touch_learned, replace_learned);
    MUST_BE_FOUND("learn", touch_learned, touch_learned, protect_learned);
    prepare = prepare_learning_gib;
    check = check_learning_gib;
    MUST_HOLD(3, touch_gib, unmap_gib);
    MUST_HOLD(3, touch_gib, touch_gib, drop_clean_gib);
    check = check_split_gib;
    MUST_HOLD(3, write_gib, split_gib);
    MUST_HOLD(3, write_gib, write_gib, split_gib);
    MUST_BE_FOUND("replace_split", write_gib, split_gib);
    mmu_free_own_tables();
}

/* ---- visitors ---- */

#define VISITED_AT (SLOTS_BASE + ((vaddr_t)7 << VM_REGION_SHIFT)) /* of domain 0 */
#define VISITED_PAGES 8u

static struct vm_visitor visitors[EXPLORE_ACTORS];
static struct vm_segment visited;
static union vm_slot visited_slot = {.root = &visited};
static const struct vm_segment_driver visited_driver = {.name = "visited", .vm_fault = vm_segment_fault_owned};
static unsigned visiting, frames_out;

/* A frame at a time; the walk, and what is counted, as they are. */
static void visit_page(unsigned page)
{
    vaddr_t va = VISITED_AT + page * VM_PAGE_SIZE;

    if (!visitors_serve(&domains[0], va, VM_WRITE, false))
        return; /* the domain is closed */
    struct mmu_place place;

    EXPLORE_CHECK(mmu_find_place(&domains[0].mmu, va, &place));
    EXPLORE_CHECK(mmu_has_table(place.entry) && *mmu_small_entry(place.entry, va) != 0);
}

static void visit_both(void)
{
    visit_page(0);
    visit_page(1);
}

static void visit_other(void)
{
    visit_page(1);
    visit_page(2);
}

static void come_and_go(void)
{
    struct vm_visitor *visitor = come(&domains[0]);

    if (!visitor)
        return;
    visiting++;
    EXPLORE_CHECK(inside[0] == 0);
    explore_step();
    EXPLORE_CHECK(inside[0] == 0);
    visiting--;
    go(visitor);
}

static void close_and_open(void)
{
    struct space_hold hold = space_hold(&domains[0]);

    EXPLORE_CHECK(!domains[0].open && visiting == 0);
    go_inside(0);
    EXPLORE_CHECK(visiting == 0);
    open_domain(&domains[0]);
    space_release(&hold);
}

/* What was closed and opened is closed again, while another CPU is between its two steps of coming. */
static void close_twice(void)
{
    close_and_open();
    close_and_open();
}

/* It has something to count when it comes again. */
static void visit_and_come(void)
{
    visit_page(0);
    come_and_go();
}

/* As if the lock were enough. */
static void hold_without_closing(void)
{
    space_lock(&domains[0].lock);
    EXPLORE_CHECK(visiting == 0);
    go_inside(0);
    space_unlock(&domains[0].lock);
}

static void prepare_visitors(void)
{
    prepare_domains();
    memset(table_is_out, 0, sizeof(table_is_out));
    memset(visitors, 0, sizeof(visitors));
    tables_out = frames_out = visiting = 0;
    visited = (struct vm_segment){
        .start = VISITED_AT, .size = VISITED_PAGES * VM_PAGE_SIZE, .driver = &visited_driver, .flags = VM_RW};
    domains[0].visitors = visitors;
    domains[0].regions[(VISITED_AT >> VM_REGION_SHIFT) % VM_REGIONS].only = &visited_slot;
    if (mmu_init(&domains[0].mmu) != E_SUCCESS)
        fake_violation("no root");
    EXPLORE_CHECK(mmu_map(&domains[0].mmu, VISITED_AT + GIB / 2, 0x800000, PAGE_4K, VM_RW) == E_SUCCESS);
    open_domain(&domains[0]);
}

/* What the domain counts when it has been closed is what there is. */
static const char *check_visitors(void)
{
    struct space_hold hold = space_hold(&domains[0]);
    struct mmu_count there = mmu_count(&domains[0].mmu, VISITED_AT, VISITED_PAGES * VM_PAGE_SIZE);
    struct path path = path_from_root(&domains[0].mmu, VISITED_AT, PAGE_2M);

    space_release(&hold);
    if (mmu_pages(&domains[0].mmu, PAGE_4K) != 1 + there.pages[PAGE_4K] || frames_out != there.pages[PAGE_4K])
        return "pages are not counted, or frames are lost";
    if (visited.faults[PAGE_4K] != there.pages[PAGE_4K])
        return "faults are not counted";
    if (entry_used(*path.entry) != there.pages[PAGE_4K])
        return "the table does not count its pages";
    if (entry_used(*path.parent) != (there.pages[PAGE_4K] > 0) + 1)
        return "the directory does not count its tables";
    return tables_out - domains[0].mmu.cached == 4 + (there.pages[PAGE_4K] > 0) ? NULL : "a table is lost";
}

static void test_visitors(void **state)
{
    (void)state;
    fake_ram(&(struct frame_range){0, 16 * MIB}, 1);
    prepare = prepare_visitors;
    check = check_visitors;
    MUST_HOLD(4, come_and_go, come_and_go, close_and_open);
    MUST_HOLD(3, come_and_go, close_and_open, close_and_open);
    MUST_HOLD(5, visit_and_come, close_twice);
    MUST_HOLD(3, visit_both, visit_other);
    MUST_HOLD(2, visit_both, visit_other, close_and_open);
    MUST_BE_FOUND(NULL, come_and_go, hold_without_closing);
    MUST_BE_FOUND("enter", visit_both, visit_other);
    MUST_BE_FOUND("count", visit_both, visit_other);
}

paddr_t frame_get_zeroed(enum page_size size)
{
    EXPLORE_CHECK(size == PAGE_4K);
    return 0x1000000 + (paddr_t)++frames_out * VM_PAGE_SIZE;
}

void frame_put_clean(paddr_t frame, enum page_size size)
{
    EXPLORE_CHECK(size == PAGE_4K && frame > 0x1000000);
    frames_out--;
}

/* ---- what is asked of others, none of which happens here ---- */

paddr_t frame_get(enum page_size size)
{
    (void)size;
    return FRAME_NONE;
}

void frame_put(paddr_t frame, enum page_size size)
{
    (void)frame, (void)size;
}

unsigned frames_get_runs(struct frame_run *runs, unsigned places, unsigned count, bool zeroed)
{
    (void)runs, (void)places, (void)count, (void)zeroed;
    return 0;
}

void frames_put_neighbours(paddr_t first, enum page_size size, size_t count)
{
    (void)first, (void)size, (void)count;
}

PERCPU struct frame_magazines frame_magazines;
PERCPU long frames_failing;
PERCPU uint64_t frames_zeroed;

paddr_t frame_check_zeroed(paddr_t frame)
{
    return frame;
}

void *bookkeeping_page(struct address_space *domain)
{
    (void)domain;
    return NULL;
}

void bookkeeping_put(struct address_space *domain, void *page)
{
    (void)domain, (void)page;
}

error_t vm_segment_fault_owned(struct address_space *space, struct vm_segment *segment)
{
    (void)space, (void)segment;
    return E_FAULT;
}

paddr_t frame_get_run(unsigned order)
{
    (void)order;
    return FRAME_NONE;
}

void frame_put_run(paddr_t run, unsigned order)
{
    (void)run, (void)order;
}

void space_init_domain(struct address_space *domain, struct address_space *of, unsigned number)
{
    (void)domain, (void)of, (void)number;
}

void space_empty(struct address_space *domain)
{
    (void)domain;
}

void mmu_release_frame(paddr_t frame, enum page_size size)
{
    (void)frame, (void)size;
}

void mmu_release_frames(const paddr_t *frames, unsigned count)
{
    (void)frames, (void)count;
}

void mmu_release_neighbours(paddr_t first, enum page_size size, size_t count)
{
    (void)first, (void)size, (void)count;
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spin_locks),        cmocka_unit_test(test_domains),  cmocka_unit_test(test_remote),
        cmocka_unit_test(test_tables_of_several), cmocka_unit_test(test_learning), cmocka_unit_test(test_visitors),
    };

    return harness_main(argc, argv, tests, ARRAY_LENGTH(tests));
}
