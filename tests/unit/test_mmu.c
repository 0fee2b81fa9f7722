/*
 * vm/mmu.h over simulated RAM. The test owns the table frames, full of junk and counted, and looks at the tables with
 * the fake's own walker.
 */
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "harness.h"
#include "vm/mmu.h"
#include "vm/vm.h"

#define RAM_SIZE (16 * MIB)
#define TABLES_MAX 2000
#define VA ((vaddr_t)0x100000000000) /* 1 GiB aligned */
#define PA ((paddr_t)0x40000000)     /* pages need no RAM behind them: nothing reads them here */
#define ALL_CACHES                                                                                                     \
    {                                                                                                                  \
        VM_CACHE_WB, VM_CACHE_WC, VM_CACHE_WT, VM_CACHE_UC                                                             \
    }

/* ---- the upcalls: a strict pool of table frames, and a count of released pages ---- */

static bool table_out[TABLES_MAX];
static size_t tables_out;
static long fail_after = -1; /* table frames until one fails */
static struct mmu_count released;
static paddr_t last_released;

paddr_t mmu_get_table_frame(void)
{
    if (fail_after >= 0 && fail_after-- == 0)
        return FRAME_NONE;
    for (size_t i = 0; i < TABLES_MAX; i++) {
        if (table_out[i])
            continue;
        table_out[i] = true;
        tables_out++;
        memset(phys_to_virt(i * VM_PAGE_SIZE), 0, VM_PAGE_SIZE);
        return i * VM_PAGE_SIZE;
    }
    fake_violation("more table frames than a test expects");
}

void mmu_release_frame(paddr_t frame, enum page_size size)
{
    size_t index = frame / VM_PAGE_SIZE;

    assert_true(is_aligned(frame, page_bytes(size)));
    if (frame < RAM_SIZE) {
        assert_int_equal(size, PAGE_4K);
        assert_true(table_out[index]);
        table_out[index] = false;
        tables_out--;
        memset(phys_to_virt(frame), FAKE_JUNK, VM_PAGE_SIZE);
        return;
    }
    released.pages[size]++;
    last_released = frame;
}

void mmu_release_frames(const paddr_t *frames, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        mmu_release_frame(frames[i], PAGE_4K);
}

void mmu_release_neighbours(paddr_t first, enum page_size size, size_t count)
{
    for (size_t i = 0; i < count; i++)
        mmu_release_frame(first + i * page_bytes(size), size);
}

void mmu_put_table_frame(paddr_t table)
{
    const uint64_t *entries = phys_to_virt(table);

    for (unsigned i = 0; i < VM_PAGE_SIZE / sizeof(entries[0]); i++)
        assert_int_equal(entries[i], 0);
    mmu_release_frame(table, PAGE_4K);
}

static struct mmu mmu;

/* mmu_unmap, and the pages that it removes are added up. */
static void unmap_counting(vaddr_t va, size_t size, bool release, struct mmu_count *removed)
{
    for (unsigned i = 0; i < PAGE_SIZES; i++)
        removed->pages[i] += mmu_pages(&mmu, (enum page_size)i);
    mmu_unmap(&mmu, va, size, release);
    for (unsigned i = 0; i < PAGE_SIZES; i++)
        removed->pages[i] -= mmu_pages(&mmu, (enum page_size)i);
}

static int setup(void)
{
    static const struct frame_range ram[] = {{0, RAM_SIZE}};

    fake_ram(ram, 1);
    assert_int_equal(mmu_init(&mmu), E_SUCCESS);
    fake_use_tables(mmu.root);
    return 0;
}

/* Frames of tables that the mmu says it has are those that are out. */
static void assert_accounts(void)
{
    assert_int_equal(tables_out, 1 + mmu_tables(&mmu) + mmu.cached + mmu.waiting);
    if (fake_tlb_stale())
        fail_msg("%s", fake_tlb_stale());
}

/* Of tables that are empty some may have been left in place. */
static void assert_no_tables(void)
{
    mmu_trim(&mmu);
    assert_int_equal(mmu_tables(&mmu), 0);
    assert_accounts();
}

static void finish(void)
{
    assert_accounts();
    assert_no_tables();
    mmu_destroy(&mmu);
    assert_int_equal(tables_out, 0);
}

/* What the walker and mmu_query find at the address must agree with each other and with the arguments. */
static void assert_mapped(vaddr_t va, paddr_t pa, enum page_size size, vm_flags_t flags)
{
    struct fake_page page;
    struct mmu_entry entry;
    paddr_t frame = align_down(pa, page_bytes(size));

    assert_true(mmu_query(&mmu, va, &entry));
    assert_int_equal(entry.frame, frame);
    assert_int_equal(entry.size, size);
    assert_int_equal(entry.flags, flags);
    assert_true(entry.accessed && entry.dirty);
    assert_int_equal(fake_walk(mmu.root, va, &page), (flags & VM_READ) != 0);
    if (!(flags & VM_READ))
        return;
    assert_int_equal(page.frame, frame);
    assert_int_equal(page.size, size);
    assert_int_equal(page.writable, (flags & VM_WRITE) != 0);
    assert_int_equal(page.executable, (flags & VM_EXEC) != 0);
    assert_int_equal(page.cache, flags & VM_CACHE);
    assert_true(page.accessed && page.dirty);
    assert_false(page.global); /* machine_flush_all() leaves global ones */
}

static void assert_unmapped(vaddr_t va)
{
    struct fake_page page;
    struct mmu_entry entry;

    assert_false(mmu_query(&mmu, va, &entry));
    assert_false(fake_walk(mmu.root, va, &page));
}

static void assert_count(vaddr_t va, size_t size, size_t small, size_t medium, size_t large)
{
    struct mmu_count count = mmu_count(&mmu, va, size);

    assert_int_equal(count.pages[PAGE_4K], small);
    assert_int_equal(count.pages[PAGE_2M], medium);
    assert_int_equal(count.pages[PAGE_1G], large);
}

/* Puts the translations of the range into the TLB; faults are of no interest. */
static void fill_tlb(vaddr_t va, size_t size, size_t step)
{
    fake_on_fault(NULL);
    for (size_t offset = 0; offset < size; offset += step) {
        struct fake_page page;

        if (fake_walk(mmu.root, va + offset, &page) && fake_is_ram(page.frame, 1))
            fake_touch(va + offset, VM_READ, 0);
        else
            fake_execute(va + offset);
    }
}

/* ---- single pages ---- */

static void test_init_and_destroy(void **state)
{
    (void)state;
    setup();
    assert_int_equal(tables_out, 1);
    assert_no_tables();
    assert_unmapped(0);
    assert_unmapped(VA);
    assert_unmapped(LOW_HALF_END - 1);
    assert_unmapped(~(vaddr_t)0);
    finish();
    fail_after = 0;
    assert_int_equal(mmu_init(&mmu), E_NOMEM);
    assert_int_equal(tables_out, 0);
}

static void test_map_each_size_cache_and_protection(void **state)
{
    static const vm_flags_t caches[] = ALL_CACHES;

    (void)state;
    setup();
    fake_allow_write_execute();
    for (unsigned size = PAGE_4K; size <= PAGE_1G; size++) {
        for (size_t c = 0; c < ARRAY_LENGTH(caches); c++) {
            for (vm_flags_t protection = 0; protection <= VM_PROTECTION; protection++) {
                struct mmu_count removed = {.pages = {0}};
                vm_flags_t flags = protection | caches[c];
                size_t bytes = page_bytes(size);
                paddr_t pa = PA + 3 * bytes;

                assert_int_equal(mmu_map(&mmu, VA + bytes, pa, size, flags), E_SUCCESS);
                assert_mapped(VA + bytes, pa, size, flags);
                assert_mapped(VA + 2 * bytes - 1, pa + bytes - 1, size, flags);
                assert_unmapped(VA + bytes - 1);
                assert_unmapped(VA + 2 * bytes);
                fill_tlb(VA + bytes, 1, 1);
                assert_count(VA, 3 * bytes, size == PAGE_4K, size == PAGE_2M, size == PAGE_1G);
                assert_int_equal(mmu_tables(&mmu), PAGE_1G + 1 - size);
                unmap_counting(VA + bytes, bytes, false, &removed);
                assert_int_equal(removed.pages[size], 1);
                assert_unmapped(VA + bytes);
                assert_no_tables();
                assert_accounts();
            }
        }
    }
    assert_int_equal(released.pages[PAGE_4K] + released.pages[PAGE_2M] + released.pages[PAGE_1G], 0);
    finish();
}

static void test_map_edges_of_the_halves(void **state)
{
    static const vaddr_t edges[] = {0, LOW_HALF_END - VM_PAGE_SIZE, ~(LOW_HALF_END - 1), ~(vaddr_t)VM_PAGE_MASK};

    (void)state;
    setup();
    for (size_t i = 0; i < ARRAY_LENGTH(edges); i++) {
        assert_int_equal(mmu_map(&mmu, edges[i], PA + i * VM_PAGE_SIZE, PAGE_4K, VM_RW), E_SUCCESS);
        assert_count(edges[i], VM_PAGE_SIZE, 1, 0, 0);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(edges); i++) {
        assert_mapped(edges[i], PA + i * VM_PAGE_SIZE, PAGE_4K, VM_RW);
        mmu_protect(&mmu, edges[i], VM_PAGE_SIZE, VM_READ);
        assert_mapped(edges[i], PA + i * VM_PAGE_SIZE, PAGE_4K, VM_READ);
        assert_true(mmu_query(&(struct mmu){.root = mmu.root}, edges[i], NULL)); /* remembers no directory */
        mmu_unmap(&mmu, edges[i], VM_PAGE_SIZE, false);
        assert_unmapped(edges[i]);
    }
    mmu_trim(&mmu); /* mmu_tables counts only those of the lower half */
    finish();
}

static void test_physical_address_at_the_width(void **state)
{
    paddr_t top = ((paddr_t)1 << mmu_physical_bits()) - GIB;

    (void)state;
    setup();
    for (unsigned size = PAGE_4K; size <= PAGE_1G; size++) {
        assert_int_equal(mmu_map(&mmu, VA, top, size, VM_RW | VM_CACHE_UC), E_SUCCESS);
        assert_mapped(VA, top, size, VM_RW | VM_CACHE_UC);
        mmu_unmap(&mmu, VA, page_bytes(size), false);
    }
    finish();
}

static void test_map_what_is_mapped(void **state)
{
    (void)state;
    setup();
    for (unsigned there = PAGE_4K; there <= PAGE_1G; there++) {
        assert_int_equal(mmu_map(&mmu, VA, PA, there, VM_RW), E_SUCCESS);
        for (unsigned size = PAGE_4K; size <= PAGE_1G; size++) {
            size_t tables = mmu_tables(&mmu);

            assert_int_equal(mmu_map(&mmu, VA, PA + GIB, size, VM_READ), E_EXIST);
            assert_mapped(VA, PA, there, VM_RW);
            assert_int_equal(mmu_tables(&mmu), tables);
        }
        /* Inside of a larger one. */
        if (there > PAGE_4K)
            assert_int_equal(mmu_map(&mmu, VA + VM_PAGE_SIZE, PA + GIB + VM_PAGE_SIZE, PAGE_4K, VM_READ), E_EXIST);
        mmu_unmap(&mmu, VA, page_bytes(there), false);
    }
    /* An inaccessible page is there too. */
    assert_int_equal(mmu_map(&mmu, VA, PA, PAGE_4K, 0), E_SUCCESS);
    assert_int_equal(mmu_map(&mmu, VA, PA, PAGE_4K, VM_RW), E_EXIST);
    mmu_unmap(&mmu, VA, VM_PAGE_SIZE, false);
    finish();
}

static void test_frame_zero(void **state)
{
    (void)state;
    setup();
    /* The entry of an inaccessible page on frame 0 has hardly a bit set. */
    for (unsigned size = PAGE_4K; size <= PAGE_1G; size++) {
        assert_int_equal(mmu_map(&mmu, VA, 0, size, VM_EXEC), E_SUCCESS);
        assert_mapped(VA, 0, size, VM_EXEC);
        mmu_unmap(&mmu, VA, page_bytes(size), false);
    }
    finish();
}

/* ---- ranges ---- */

struct range_case {
    vaddr_t va;
    paddr_t pa;
    size_t size;
    enum page_size largest;
    size_t small, medium, large;
};

static void test_map_range(void **state)
{
    static const struct range_case cases[] = {
        {VA, PA, 2 * GIB, PAGE_1G, 0, 0, 2},
        {VA, PA, 2 * GIB, PAGE_2M, 0, 1024, 0},
        {VA, PA, 3 * MIB, PAGE_1G, 256, 1, 0},
        {VA, PA, 3 * MIB, PAGE_4K, 768, 0, 0},
        {VA + VM_PAGE_SIZE, PA + VM_PAGE_SIZE, 4 * MIB, PAGE_2M, 512, 1, 0},
        {VA + VM_PAGE_SIZE, PA, 4 * MIB, PAGE_2M, 1024, 0, 0}, /* not aligned alike */
        {VA + 2 * MIB, PA, GIB + 2 * MIB, PAGE_1G, 0, 513, 0},
        {VA + GIB - 2 * MIB - VM_PAGE_SIZE, PA + GIB - 2 * MIB - VM_PAGE_SIZE, GIB + 4 * MIB + 2 * VM_PAGE_SIZE,
         PAGE_1G, 2, 2, 1},
        {LOW_HALF_END - GIB, PA, GIB, PAGE_1G, 0, 0, 1},
        {~(vaddr_t)0 - 2 * MIB + 1, PA, 2 * MIB, PAGE_2M, 0, 1, 0},
    };

    (void)state;
    setup();
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        const struct range_case *c = &cases[i];
        struct mmu_count removed = {.pages = {0}};

        assert_int_equal(mmu_map_range(&mmu, c->va, c->pa, c->size, c->largest, VM_RW), E_SUCCESS);
        assert_count(c->va, c->size, c->small, c->medium, c->large);
        for (size_t offset = 0; offset<c->size; offset += c->size> 16 * MIB ? 511 * VM_PAGE_SIZE : VM_PAGE_SIZE) {
            struct fake_page page;

            assert_true(fake_walk(mmu.root, c->va + offset, &page));
            assert_int_equal(page.frame + (c->va + offset - page.start), c->pa + offset);
        }
        unmap_counting(c->va, c->size, true, &removed);
        assert_int_equal(removed.pages[PAGE_4K], c->small);
        assert_int_equal(removed.pages[PAGE_2M], c->medium);
        assert_int_equal(removed.pages[PAGE_1G], c->large);
        assert_memory_equal(&removed, &released, sizeof(removed));
        memset(&released, 0, sizeof(released));
        assert_no_tables();
        assert_accounts();
    }
    finish();
}

/* Every operation that may need a table frame, with the nth one missing: E_NOMEM and everything as before. */
struct operation {
    const char *name;
    void (*before)(void);
    error_t (*run)(void);
    void (*after)(void);
    bool may_split; /* pages may be smaller after a failure, translating as before */
};

static void clear_all(void)
{
    mmu_unmap(&mmu, VA, 8 * GIB, false);
}

static void nothing(void)
{
}

static error_t map_small(void)
{
    return mmu_map(&mmu, VA, PA, PAGE_4K, VM_RW);
}

static error_t map_ragged(void)
{
    return mmu_map_range(&mmu, VA + GIB - VM_PAGE_SIZE, PA + GIB - VM_PAGE_SIZE, 2 * GIB, PAGE_1G, VM_RW);
}

static void map_1g(void)
{
    mmu_map(&mmu, VA, PA, PAGE_1G, VM_RW | VM_CACHE_WC);
}

static error_t split_1g(void)
{
    return mmu_split(&mmu, VA + 5 * MIB);
}

static void map_around(void)
{
    mmu_map(&mmu, VA, PA, PAGE_4K, VM_RW);
    mmu_map(&mmu, VA + 4 * MIB, PA, PAGE_2M, VM_RW);
    mmu_map(&mmu, VA + 6 * MIB, PA + GIB, PAGE_4K, 0);
}

static error_t move_aligned(void)
{
    return mmu_move(&mmu, VA, VA + 2 * GIB + 16 * MIB, 8 * MIB);
}

static error_t move_misaligned(void)
{
    return mmu_move(&mmu, VA, VA + 2 * GIB - 3 * VM_PAGE_SIZE, 8 * MIB);
}

static error_t move_1g(void)
{
    return mmu_move(&mmu, VA, VA + 4 * GIB - 2 * MIB, GIB);
}

static const struct operation operations[] = {
    {"map", nothing, map_small, clear_all, false},
    {"map a range", nothing, map_ragged, clear_all, false},
    {"split", map_1g, split_1g, clear_all, false},
    {"move", map_around, move_aligned, clear_all, false},
    {"move to another alignment", map_around, move_misaligned, clear_all, true},
    {"move 1 GiB in pieces", map_1g, move_1g, clear_all, true},
};

struct picture {
    struct mmu_count count;
    size_t tables;
    bool there[64];
    struct mmu_entry entries[64];
};

static void take_picture(struct picture *picture, bool sizes)
{
    memset(picture, 0, sizeof(*picture));
    if (sizes) {
        picture->count = mmu_count(&mmu, VA, 8 * GIB);
        picture->tables = mmu_tables(&mmu);
    }
    for (size_t i = 0; i < 64; i++) {
        vaddr_t va = VA + (i / 2) * MIB + (i % 2) * VM_PAGE_SIZE;
        struct mmu_entry *entry = &picture->entries[i];

        picture->there[i] = mmu_query(&mmu, va, entry);
        if (picture->there[i] && !sizes) {
            entry->frame += va & (page_bytes(entry->size) - 1);
            entry->size = PAGE_4K;
        }
    }
}

static void test_no_table_frame_leaves_no_trace(void **state)
{
    (void)state;
    setup();
    for (size_t i = 0; i < ARRAY_LENGTH(operations); i++) {
        const struct operation *operation = &operations[i];
        long nth;

        for (nth = 0;; nth++) {
            struct picture before, after;
            error_t error;

            operation->before();
            mmu_trim(&mmu);
            fill_tlb(VA, 16 * MIB, MIB);
            take_picture(&before, !operation->may_split);
            fail_after = nth;
            error = operation->run();
            if (error == E_SUCCESS)
                break;
            assert_int_equal(error, E_NOMEM);
            fail_after = -1;
            take_picture(&after, !operation->may_split);
            if (memcmp(&before, &after, sizeof(before)) != 0)
                fail_msg("%s: failing at table %ld changed something (tables %zu, were %zu)", operation->name, nth,
                         after.tables, before.tables);
            assert_accounts();
            operation->after();
        }
        assert_true(nth > 0 && fail_after >= 0);
        fail_after = -1;
        operation->after();
        assert_no_tables();
        assert_accounts();
    }
    finish();
}

/* ---- split ---- */

static void test_split_1g_to_4k(void **state)
{
    static const vm_flags_t caches[] = ALL_CACHES;

    (void)state;
    setup();
    for (size_t c = 0; c < ARRAY_LENGTH(caches); c++) {
        vm_flags_t flags = VM_READ | VM_WRITE | caches[c];

        assert_int_equal(mmu_map(&mmu, VA, PA, PAGE_1G, flags), E_SUCCESS);
        fill_tlb(VA, GIB, 64 * MIB);
        assert_int_equal(mmu_split(&mmu, VA), E_SUCCESS); /* a boundary already */
        assert_count(VA, GIB, 0, 0, 1);
        assert_int_equal(mmu_split(&mmu, VA + GIB), E_SUCCESS); /* nothing there */
        assert_int_equal(mmu_split(&mmu, VA + 6 * MIB), E_SUCCESS);
        assert_count(VA, GIB, 0, 512, 0);
        assert_mapped(VA + 6 * MIB, PA + 6 * MIB, PAGE_2M, flags);
        assert_mapped(VA + GIB - 1, PA + GIB - 1, PAGE_2M, flags);
        assert_int_equal(mmu_split(&mmu, VA + 5 * MIB + VM_PAGE_SIZE), E_SUCCESS);
        assert_count(VA, GIB, 512, 511, 0);
        for (size_t offset = 4 * MIB; offset < 6 * MIB; offset += VM_PAGE_SIZE)
            assert_mapped(VA + offset, PA + offset, PAGE_4K, flags);
        assert_mapped(VA + 4 * MIB - 1, PA + 4 * MIB - 1, PAGE_2M, flags);
        assert_accounts();
        mmu_unmap(&mmu, VA, GIB, false);
        /* Both levels at once. */
        assert_int_equal(mmu_map(&mmu, VA, PA, PAGE_1G, flags), E_SUCCESS);
        assert_int_equal(mmu_split(&mmu, VA + GIB - VM_PAGE_SIZE), E_SUCCESS);
        assert_count(VA, GIB, 512, 511, 0);
        assert_mapped(VA + GIB - 1, PA + GIB - 1, PAGE_4K, flags);
        mmu_unmap(&mmu, VA, GIB, false);
    }
    finish();
}

static void test_split_inaccessible(void **state)
{
    (void)state;
    setup();
    assert_int_equal(mmu_map(&mmu, VA, PA, PAGE_1G, VM_CACHE_WC), E_SUCCESS);
    assert_int_equal(mmu_split(&mmu, VA + VM_PAGE_SIZE), E_SUCCESS);
    assert_count(VA, GIB, 512, 511, 0);
    assert_mapped(VA, PA, PAGE_4K, VM_CACHE_WC);
    assert_mapped(VA + 8 * MIB, PA + 8 * MIB, PAGE_2M, VM_CACHE_WC);
    mmu_protect(&mmu, VA, GIB, VM_RW);
    assert_mapped(VA, PA, PAGE_4K, VM_RW | VM_CACHE_WC);
    assert_mapped(VA + 8 * MIB, PA + 8 * MIB, PAGE_2M, VM_RW | VM_CACHE_WC);
    mmu_unmap(&mmu, VA, GIB, false);
    finish();
}

/* ---- unmap, protect ---- */

static void test_unmap_parts(void **state)
{
    struct mmu_count removed = {.pages = {0}};

    (void)state;
    setup();
    assert_int_equal(mmu_map_range(&mmu, VA, PA, 8 * MIB, PAGE_2M, VM_RW), E_SUCCESS);
    assert_int_equal(mmu_split(&mmu, VA + 3 * MIB), E_SUCCESS);
    assert_int_equal(mmu_split(&mmu, VA + 7 * MIB - VM_PAGE_SIZE), E_SUCCESS);
    fill_tlb(VA, 8 * MIB, 32 * VM_PAGE_SIZE);
    unmap_counting(VA + 3 * MIB, 4 * MIB - VM_PAGE_SIZE, true, &removed);
    assert_accounts();
    assert_int_equal(removed.pages[PAGE_4K], 256 + 255);
    assert_int_equal(removed.pages[PAGE_2M], 1);
    assert_memory_equal(&removed, &released, sizeof(removed));
    assert_mapped(VA + 3 * MIB - 1, PA + 3 * MIB - 1, PAGE_4K, VM_RW);
    assert_unmapped(VA + 3 * MIB);
    assert_unmapped(VA + 7 * MIB - VM_PAGE_SIZE - 1);
    assert_mapped(VA + 7 * MIB - VM_PAGE_SIZE, PA + 7 * MIB - VM_PAGE_SIZE, PAGE_4K, VM_RW);
    /* Added to what is there; holes are passed over. */
    unmap_counting(VA - GIB, 3 * GIB, false, &removed);
    assert_int_equal(removed.pages[PAGE_4K], 1024);
    assert_int_equal(removed.pages[PAGE_2M], 2);
    assert_no_tables();
    finish();
}

static void test_unmap_flushes(void **state)
{
    (void)state;
    setup();
    for (size_t pages = 1; pages <= 64; pages++) {
        size_t size = pages * VM_PAGE_SIZE;

        assert_int_equal(mmu_map_range(&mmu, VA, 0x100000, size, PAGE_4K, VM_RW), E_SUCCESS);
        fill_tlb(VA, size, VM_PAGE_SIZE);
        mmu_protect(&mmu, VA, size, VM_READ);
        assert_accounts();
        fill_tlb(VA, size, VM_PAGE_SIZE);
        mmu_protect(&mmu, VA, size, 0);
        assert_accounts();
        mmu_protect(&mmu, VA, size, VM_RW);
        fill_tlb(VA, size, VM_PAGE_SIZE);
        mmu_unmap(&mmu, VA, size, false);
        assert_accounts();
    }
    finish();
}

static void test_freed_tables_leave_the_caches_of_the_cpu(void **state)
{
    (void)state;
    setup();
    /* The table is empty after its inaccessible page goes; the CPU has walked through it before. */
    assert_int_equal(mmu_map(&mmu, VA, 0x100000, PAGE_4K, VM_RW), E_SUCCESS);
    assert_int_equal(mmu_map(&mmu, VA + VM_PAGE_SIZE, 0x101000, PAGE_4K, 0), E_SUCCESS);
    fill_tlb(VA, 1, 1);
    mmu_unmap(&mmu, VA, VM_PAGE_SIZE, false);
    assert_accounts();
    fill_tlb(VA, 2 * VM_PAGE_SIZE, VM_PAGE_SIZE); /* walks down to the inaccessible one */
    mmu_unmap(&mmu, VA + VM_PAGE_SIZE, VM_PAGE_SIZE, false);
    assert_accounts();
    assert_no_tables();
    finish();
}

static void test_protect_keeps_frames_and_caches(void **state)
{
    (void)state;
    setup();
    assert_int_equal(mmu_map_range(&mmu, VA, PA, 4 * MIB + 3 * VM_PAGE_SIZE, PAGE_2M, VM_RW | VM_CACHE_WT), E_SUCCESS);
    mmu_protect(&mmu, VA + 2 * MIB, 2 * MIB + VM_PAGE_SIZE, VM_READ | VM_EXEC);
    assert_mapped(VA, PA, PAGE_2M, VM_RW | VM_CACHE_WT);
    assert_mapped(VA + 2 * MIB, PA + 2 * MIB, PAGE_2M, VM_READ | VM_EXEC | VM_CACHE_WT);
    assert_mapped(VA + 4 * MIB, PA + 4 * MIB, PAGE_4K, VM_READ | VM_EXEC | VM_CACHE_WT);
    assert_mapped(VA + 4 * MIB + VM_PAGE_SIZE, PA + 4 * MIB + VM_PAGE_SIZE, PAGE_4K, VM_RW | VM_CACHE_WT);
    /* Cache flags of the argument do not count. */
    mmu_protect(&mmu, VA - GIB, 3 * GIB, VM_CACHE_UC);
    assert_mapped(VA, PA, PAGE_2M, VM_CACHE_WT);
    assert_count(VA, GIB, 3, 2, 0);
    mmu_protect(&mmu, VA, 4 * MIB + 3 * VM_PAGE_SIZE, VM_READ);
    assert_mapped(VA, PA, PAGE_2M, VM_READ | VM_CACHE_WT);
    mmu_unmap(&mmu, VA, GIB, true);
    assert_int_equal(released.pages[PAGE_4K], 3);
    assert_int_equal(released.pages[PAGE_2M], 2);
    finish();
}

static void test_release_of_inaccessible_pages(void **state)
{
    (void)state;
    setup();
    for (unsigned size = PAGE_4K; size <= PAGE_1G; size++) {
        assert_int_equal(mmu_map(&mmu, VA, PA + 5 * page_bytes(size), size, VM_CACHE_WC), E_SUCCESS);
        mmu_unmap(&mmu, VA, page_bytes(size), true);
        assert_int_equal(released.pages[size], 1);
        assert_int_equal(last_released, PA + 5 * page_bytes(size));
    }
    finish();
}

/* ---- move ---- */

/* A table made ready for the target is still empty when the walk over the source meets it: it must not go. */
static void move_down_within_a_table(enum page_size size)
{
    size_t half = 256 * page_bytes(size); /* of what a table of such pages maps */

    setup();
    assert_int_equal(mmu_map(&mmu, VA + 5 * half, PA, size, VM_RW), E_SUCCESS);
    assert_int_equal(mmu_move(&mmu, VA + 3 * half, VA, 3 * half), E_SUCCESS);
    assert_mapped(VA + 2 * half, PA, size, VM_RW);
    assert_unmapped(VA + 5 * half);
    assert_accounts();
    mmu_unmap(&mmu, VA, 6 * half, false);
    finish();
}

static void test_move_down_within_a_table(void **state)
{
    (void)state;
    move_down_within_a_table(PAGE_4K);
}

static void test_move_2m_down_within_a_table(void **state)
{
    (void)state;
    move_down_within_a_table(PAGE_2M);
}

static void test_move_1g_down_within_a_table(void **state)
{
    (void)state;
    move_down_within_a_table(PAGE_1G);
}

static void test_move_keeps_large_pages(void **state)
{
    vaddr_t to = VA + 2 * GIB;

    (void)state;
    setup();
    assert_int_equal(mmu_map(&mmu, VA, PA, PAGE_1G, VM_RW), E_SUCCESS);
    assert_int_equal(mmu_map(&mmu, VA + GIB, PA + GIB, PAGE_2M, VM_READ), E_SUCCESS);
    assert_int_equal(mmu_map(&mmu, VA + GIB + 4 * MIB, PA + 2 * GIB, PAGE_4K, 0), E_SUCCESS);
    fill_tlb(VA, GIB + 6 * MIB, MIB);
    assert_int_equal(mmu_move(&mmu, VA, to, GIB + 6 * MIB), E_SUCCESS);
    assert_mapped(to, PA, PAGE_1G, VM_RW);
    assert_mapped(to + GIB, PA + GIB, PAGE_2M, VM_READ);
    assert_unmapped(to + GIB + 2 * MIB);
    assert_mapped(to + GIB + 4 * MIB, PA + 2 * GIB, PAGE_4K, 0);
    assert_count(VA, 2 * GIB, 0, 0, 0);
    assert_accounts();
    mmu_unmap(&mmu, to, 2 * GIB, false);
    finish();
}

static void test_move_splits_where_alignment_differs(void **state)
{
    vaddr_t to = VA + 4 * GIB + 2 * MIB;

    (void)state;
    setup();
    assert_int_equal(mmu_map(&mmu, VA, PA, PAGE_1G, VM_RW | VM_CACHE_WC), E_SUCCESS);
    assert_int_equal(mmu_move(&mmu, VA, to, GIB), E_SUCCESS);
    assert_count(to, GIB, 0, 512, 0);
    assert_mapped(to + 6 * MIB, PA + 6 * MIB, PAGE_2M, VM_RW | VM_CACHE_WC);
    assert_int_equal(mmu_move(&mmu, to, VA + VM_PAGE_SIZE, 4 * MIB), E_SUCCESS);
    assert_count(VA, GIB, 1024, 0, 0);
    assert_mapped(VA + VM_PAGE_SIZE, PA, PAGE_4K, VM_RW | VM_CACHE_WC);
    assert_mapped(VA + 4 * MIB, PA + 4 * MIB - VM_PAGE_SIZE, PAGE_4K, VM_RW | VM_CACHE_WC);
    assert_accounts();
    mmu_unmap(&mmu, VA, 8 * GIB, false);
    finish();
}

/* Inside of a directory whole entries go: large pages and tables, also to where a table was left empty. */
static void test_move_in_a_directory(void **state)
{
    vaddr_t to = VA + 64 * MIB;

    (void)state;
    setup();
    for (size_t i = 0; i < 24; i++) {
        if (i % 3 == 0)
            assert_int_equal(mmu_map(&mmu, VA + i * 2 * MIB, PA + i * 2 * MIB, PAGE_2M, VM_RW), E_SUCCESS);
        else if (i % 3 == 1)
            assert_int_equal(mmu_map(&mmu, VA + i * 2 * MIB + MIB, PA + i * 2 * MIB, PAGE_4K, VM_READ), E_SUCCESS);
        if (i % 5 == 0) {
            assert_int_equal(mmu_map(&mmu, to + i * 2 * MIB, PA, PAGE_4K, VM_RW), E_SUCCESS);
            mmu_unmap(&mmu, to + i * 2 * MIB, VM_PAGE_SIZE, false);
        }
    }
    for (unsigned turn = 0; turn < 4; turn++) {
        vaddr_t from = turn % 2 == 0 ? VA : to, there = VA + to - from;

        mmu_find_directory(&mmu, VA);
        fill_tlb(from, 48 * MIB, MIB);
        assert_int_equal(mmu_move(&mmu, from, there, 48 * MIB), E_SUCCESS);
        assert_count(from, 48 * MIB, 0, 0, 0);
        assert_count(there, 48 * MIB, 8, 8, 0);
        for (size_t i = 0; i < 24; i += 3) {
            assert_mapped(there + i * 2 * MIB, PA + i * 2 * MIB, PAGE_2M, VM_RW);
            assert_mapped(there + i * 2 * MIB + 3 * MIB, PA + i * 2 * MIB + 2 * MIB, PAGE_4K, VM_READ);
        }
        assert_accounts();
    }
    mmu_unmap(&mmu, VA, 48 * MIB, false);
    finish();
}

/* Few large pages: each is flushed alone. */
static void test_move_of_few_large_pages(void **state)
{
    uint64_t all;

    (void)state;
    setup();
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(mmu_map(&mmu, VA + i * 4 * MIB, PA + i * 2 * MIB, PAGE_2M, i == 1 ? 0 : VM_RW), E_SUCCESS);
    fill_tlb(VA, 16 * MIB, MIB);
    mmu_find_directory(&mmu, VA);
    all = mmu.flushed_all;
    assert_int_equal(mmu_move(&mmu, VA, VA + 32 * MIB, 16 * MIB), E_SUCCESS);
    assert_int_equal(mmu.flushed_all, all);
    for (size_t i = 0; i < 3; i++)
        assert_mapped(VA + 32 * MIB + i * 4 * MIB, PA + i * 2 * MIB, PAGE_2M, i == 1 ? 0 : VM_RW);
    assert_count(VA, 16 * MIB, 0, 0, 0);
    assert_accounts();
    mmu_unmap(&mmu, VA, 64 * MIB, false);
    finish();
}

/* An entry anywhere in the range is seen, none beside it. */
static void test_is_unused(void **state)
{
    static const struct {
        enum page_size size;
        size_t pages;
    } ranges[] = {{PAGE_4K, 1}, {PAGE_4K, 31}, {PAGE_4K, 33}, {PAGE_4K, 256},
                  {PAGE_2M, 2}, {PAGE_2M, 40}, {PAGE_2M, 256}};

    (void)state;
    setup();
    assert_false(mmu_is_unused(&mmu, VA, MIB)); /* nothing is known of it */
    assert_int_equal(mmu_map(&mmu, VA + GIB - MIB, PA, PAGE_4K, VM_RW), E_SUCCESS);
    assert_int_equal(mmu_map(&mmu, VA, PA, PAGE_4K, VM_RW), E_SUCCESS); /* a table that the pages of 4 KiB are in */
    for (size_t i = 0; i < ARRAY_LENGTH(ranges); i++) {
        size_t bytes = page_bytes(ranges[i].size), size = ranges[i].pages * bytes;
        vaddr_t start = VA + (ranges[i].size == PAGE_4K ? 10 : 4) * bytes;

        for (size_t at = 0; at < ranges[i].pages; at++) {
            mmu_find_directory(&mmu, VA);
            assert_true(mmu_is_unused(&mmu, start, size));
            assert_int_equal(mmu_map(&mmu, start + at * bytes, PA, ranges[i].size, VM_RW), E_SUCCESS);
            assert_false(mmu_is_unused(&mmu, start, size));
            mmu_unmap(&mmu, start + at * bytes, bytes, false);
        }
        assert_int_equal(mmu_map(&mmu, start - bytes, PA, ranges[i].size, 0), E_SUCCESS);
        assert_int_equal(mmu_map(&mmu, start + size, PA, ranges[i].size, 0), E_SUCCESS);
        assert_true(mmu_is_unused(&mmu, start, size));
        mmu_unmap(&mmu, start - bytes, bytes, false);
        mmu_unmap(&mmu, start + size, bytes, false);
    }
    assert_false(mmu_is_unused(&mmu, VA + GIB - MIB, 2 * MIB)); /* in two directories */
    mmu_unmap(&mmu, VA, GIB, false);
    finish();
}

static void map_many(vaddr_t va, paddr_t pa, unsigned count, vm_flags_t flags)
{
    for (unsigned i = 0; i < count; i++, va += VM_PAGE_SIZE, pa += VM_PAGE_SIZE)
        assert_int_equal(mmu_map(&mmu, va, pa, PAGE_4K, flags), E_SUCCESS);
}

/* Small pages that are the first frames of 2 MiB become a page of all of it; others do not. */
static void test_begun_large(void **state)
{
    static const unsigned counts[] = {1, 3, 100, 511, 512};
    unsigned count;

    (void)state;
    setup();
    assert_int_equal(mmu_begun_large(&mmu, VA, &count), FRAME_NONE);
    for (unsigned i = 0; i < ARRAY_LENGTH(counts); i++) {
        map_many(VA, PA, counts[i], VM_RW);
        fill_tlb(VA, counts[i] * VM_PAGE_SIZE, VM_PAGE_SIZE);
        assert_int_equal(mmu_begun_large(&mmu, VA, &count), PA);
        assert_int_equal(count, counts[i]);
        assert_int_equal(mmu_promote(&mmu, VA), count == 512);
        if (count < 512)
            mmu_complete_large(&mmu, VA);
        assert_mapped(VA, PA, PAGE_2M, VM_RW);
        assert_count(VA, 2 * MIB, 0, 1, 0);
        assert_int_equal(mmu_begun_large(&mmu, VA, &count), FRAME_NONE);
        mmu_unmap(&mmu, VA, 2 * MIB, true);
        assert_unmapped(VA);
        assert_accounts();
    }
    map_many(VA, PA + VM_PAGE_SIZE, 8, VM_RW); /* of others */
    assert_int_equal(mmu_begun_large(&mmu, VA, &count), FRAME_NONE);
    mmu_unmap(&mmu, VA, 2 * MIB, false);
    map_many(VA, PA, 8, VM_RW);
    map_many(VA + 9 * VM_PAGE_SIZE, PA + 9 * VM_PAGE_SIZE, 1, VM_RW); /* behind a hole */
    assert_int_equal(mmu_begun_large(&mmu, VA, &count), FRAME_NONE);
    map_many(VA + 8 * VM_PAGE_SIZE, PA + 8 * VM_PAGE_SIZE, 1, VM_READ); /* another protection */
    assert_int_equal(mmu_begun_large(&mmu, VA, &count), FRAME_NONE);
    mmu_protect(&mmu, VA + 8 * VM_PAGE_SIZE, VM_PAGE_SIZE, VM_RW);
    assert_int_equal(mmu_begun_large(&mmu, VA, &count), PA);
    assert_int_equal(count, 10);
    mmu_unmap(&mmu, VA, 2 * MIB, false);
    map_many(VA, PA, 8, VM_RW | VM_BORROWED);
    assert_int_equal(mmu_begun_large(&mmu, VA, &count), FRAME_NONE);
    mmu_unmap(&mmu, VA, 2 * MIB, false);
    finish();
}

static void test_move_of_nothing(void **state)
{
    (void)state;
    setup();
    assert_int_equal(mmu_move(&mmu, VA, VA + GIB, 64 * MIB), E_SUCCESS);
    assert_no_tables();
    finish();
}

/* Freed tables are kept for the next use, up to a bound, and handed back on demand. */
static void test_table_cache(void **state)
{
    (void)state;
    setup();
    assert_int_equal(mmu_map_range(&mmu, VA, PA, 64 * MIB, PAGE_4K, VM_RW), E_SUCCESS);
    assert_int_equal(tables_out, 1 + 32 + 2);
    mmu_unmap(&mmu, VA, 64 * MIB, false);
    assert_in_range(mmu.cached, 1, MMU_TABLE_CACHE);
    assert_accounts();
    fail_after = 0;
    assert_int_equal(mmu_map(&mmu, VA, PA, PAGE_4K, VM_RW), E_SUCCESS); /* from the cache, zeroed */
    fail_after = -1;
    assert_count(VA, GIB, 1, 0, 0);
    mmu_unmap(&mmu, VA, VM_PAGE_SIZE, false);
    mmu_trim(&mmu);
    assert_int_equal(tables_out, 1);
    finish();
}

/* ---- random operations against an array of pages ---- */

#define WINDOW_PAGES 2048 /* 8 MiB around a 1 GiB boundary */
#define WINDOW (VA + 2 * GIB - 4 * MIB)
#define OTHER (VA + 6 * GIB - 4 * MIB)

struct model_page {
    bool there;
    paddr_t frame;
    vm_flags_t flags;
};
static struct model_page pages[WINDOW_PAGES];

static void random_map(struct random *random)
{
    size_t first = random_below(random, WINDOW_PAGES), count = 1 + random_below(random, 600);
    vm_flags_t flags = (vm_flags_t)random_below(random, 8) | (vm_flags_t)random_below(random, 4) << 7;
    paddr_t pa = PA + random_below(random, 4) * 2 * MIB + (first % 512) * VM_PAGE_SIZE;
    enum page_size largest = (enum page_size)random_below(random, 3);

    if (random_below(random, 4) == 0)
        pa += VM_PAGE_SIZE; /* not aligned alike */
    for (size_t i = 0; i < count; i++)
        if (first + i == WINDOW_PAGES || pages[first + i].there)
            count = i;
    if (count == 0)
        return;
    fail_after = (long)random_below(random, 8);
    error_t error = mmu_map_range(&mmu, WINDOW + first * VM_PAGE_SIZE, pa, count * VM_PAGE_SIZE, largest, flags);
    bool failed = fail_after < 0;

    fail_after = -1;
    assert_int_equal(error, failed ? E_NOMEM : E_SUCCESS);
    for (size_t i = 0; error == E_SUCCESS && i < count; i++)
        pages[first + i] = (struct model_page){true, pa + i * VM_PAGE_SIZE, flags};
}

/* Cuts at both ends of a random range, then unmaps or protects it. */
static void random_change(struct random *random)
{
    size_t first = random_below(random, WINDOW_PAGES), count = 1 + random_below(random, 900);
    vaddr_t va = WINDOW + first * VM_PAGE_SIZE;
    vm_flags_t flags = (vm_flags_t)random_below(random, 8);
    bool removing = random_below(random, 2);

    if (count > WINDOW_PAGES - first)
        count = WINDOW_PAGES - first;
    assert_int_equal(mmu_split(&mmu, va), E_SUCCESS);
    assert_int_equal(mmu_split(&mmu, va + count * VM_PAGE_SIZE), E_SUCCESS);
    if (removing)
        mmu_unmap(&mmu, va, count * VM_PAGE_SIZE, random_below(random, 2));
    else
        mmu_protect(&mmu, va, count * VM_PAGE_SIZE, flags);
    for (size_t i = first; i < first + count; i++) {
        pages[i].there = pages[i].there && !removing;
        pages[i].flags = (pages[i].flags & VM_CACHE) | flags;
    }
}

/* There and back, by a way that may not suit large pages. */
static void random_move(struct random *random)
{
    vaddr_t to = OTHER + random_below(random, 3) * VM_PAGE_SIZE;

    assert_int_equal(mmu_move(&mmu, WINDOW, to, WINDOW_PAGES * VM_PAGE_SIZE), E_SUCCESS);
    assert_count(WINDOW, WINDOW_PAGES * VM_PAGE_SIZE, 0, 0, 0);
    assert_int_equal(mmu_move(&mmu, to, WINDOW, WINDOW_PAGES * VM_PAGE_SIZE), E_SUCCESS);
}

static void assert_window(void)
{
    for (size_t i = 0; i < WINDOW_PAGES; i++) {
        vaddr_t va = WINDOW + i * VM_PAGE_SIZE;
        struct mmu_entry entry;

        assert_int_equal(mmu_query(&mmu, va, &entry), pages[i].there);
        if (!pages[i].there)
            continue;
        assert_int_equal(entry.frame + (va & (page_bytes(entry.size) - 1)), pages[i].frame);
        assert_int_equal(entry.flags, pages[i].flags);
        assert_mapped(va, pages[i].frame, entry.size, pages[i].flags);
    }
    assert_accounts();
}

static void test_random(void **state)
{
    struct random random = {harness_seed()};
    size_t steps = harness_number("QUIRE_STEPS", 3000);

    (void)state;
    setup();
    fake_allow_write_execute();
    for (size_t step = 0; step < steps; step++) {
        unsigned kind = (unsigned)random_below(&random, 20);

        fill_tlb(WINDOW, WINDOW_PAGES * VM_PAGE_SIZE, (1 + random_below(&random, 50)) * VM_PAGE_SIZE);
        if (kind < 11)
            random_map(&random);
        else if (kind < 19)
            random_change(&random);
        else
            random_move(&random);
        if (step % 4 == 0)
            assert_window();
        else
            assert_accounts();
    }
    mmu_unmap(&mmu, WINDOW, WINDOW_PAGES * VM_PAGE_SIZE, false);
    finish();
}

/* Frames that belong to others: never given back, never made writable by mmu_protect, the same after moves and splits.
 */
static void test_borrowed(void **state)
{
    struct mmu_count removed = {.pages = {0}};
    size_t released_before = released.pages[PAGE_4K];

    (void)state;
    setup();
    assert_int_equal(mmu_map(&mmu, VA, PA, PAGE_2M, VM_READ | VM_BORROWED), E_SUCCESS);
    assert_mapped(VA, PA, PAGE_2M, VM_READ | VM_BORROWED);
    assert_int_equal(mmu_split(&mmu, VA + VM_PAGE_SIZE), E_SUCCESS);
    assert_mapped(VA + VM_PAGE_SIZE, PA + VM_PAGE_SIZE, PAGE_4K, VM_READ | VM_BORROWED);
    mmu_protect(&mmu, VA, 2 * VM_PAGE_SIZE, VM_RW);
    assert_mapped(VA, PA, PAGE_4K, VM_READ | VM_BORROWED);
    mmu_protect(&mmu, VA, VM_PAGE_SIZE, 0);
    assert_mapped(VA, PA, PAGE_4K, VM_BORROWED);
    mmu_protect(&mmu, VA, VM_PAGE_SIZE, VM_READ);
    fill_tlb(VA, VM_PAGE_SIZE, VM_PAGE_SIZE);
    mmu_replace(&mmu, VA, PA + GIB, VM_RW);
    assert_mapped(VA, PA + GIB, PAGE_4K, VM_RW);
    assert_accounts();
    assert_int_equal(mmu_move(&mmu, VA, VA + GIB, 4 * VM_PAGE_SIZE), E_SUCCESS);
    assert_mapped(VA + GIB, PA + GIB, PAGE_4K, VM_RW);
    assert_mapped(VA + GIB + VM_PAGE_SIZE, PA + VM_PAGE_SIZE, PAGE_4K, VM_READ | VM_BORROWED);
    assert_count(VA + GIB, 4 * VM_PAGE_SIZE, 4, 0, 0);
    assert_int_equal(mmu_count(&mmu, VA + GIB, 4 * VM_PAGE_SIZE).borrowed, 3);
    mmu_unmap_borrowed(&mmu, VA + GIB, 3 * VM_PAGE_SIZE);
    assert_count(VA + GIB, 4 * VM_PAGE_SIZE, 2, 0, 0);
    assert_mapped(VA + GIB, PA + GIB, PAGE_4K, VM_RW);
    assert_unmapped(VA + GIB + VM_PAGE_SIZE);
    assert_int_equal(mmu_count(&mmu, VA + GIB, 2 * VM_PAGE_SIZE).clean_bytes, 0);
    fill_tlb(VA + GIB, VM_PAGE_SIZE, VM_PAGE_SIZE);
    mmu_clean(&mmu, VA + GIB, 2 * VM_PAGE_SIZE);
    assert_int_equal(mmu_count(&mmu, VA + GIB, 2 * VM_PAGE_SIZE).clean_bytes, VM_PAGE_SIZE);
    unmap_counting(VA, 2 * GIB, true, &removed);
    assert_int_equal(removed.pages[PAGE_4K], 508 + 2);
    assert_int_equal(released.pages[PAGE_4K] - released_before, 1);
    finish();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_init_and_destroy),
        cmocka_unit_test(test_map_each_size_cache_and_protection),
        cmocka_unit_test(test_map_edges_of_the_halves),
        cmocka_unit_test(test_physical_address_at_the_width),
        cmocka_unit_test(test_map_what_is_mapped),
        cmocka_unit_test(test_frame_zero),
        cmocka_unit_test(test_map_range),
        cmocka_unit_test(test_no_table_frame_leaves_no_trace),
        cmocka_unit_test(test_split_1g_to_4k),
        cmocka_unit_test(test_split_inaccessible),
        cmocka_unit_test(test_unmap_parts),
        cmocka_unit_test(test_unmap_flushes),
        cmocka_unit_test(test_freed_tables_leave_the_caches_of_the_cpu),
        cmocka_unit_test(test_protect_keeps_frames_and_caches),
        cmocka_unit_test(test_release_of_inaccessible_pages),
        cmocka_unit_test(test_move_down_within_a_table),
        cmocka_unit_test(test_move_2m_down_within_a_table),
        cmocka_unit_test(test_move_1g_down_within_a_table),
        cmocka_unit_test(test_move_keeps_large_pages),
        cmocka_unit_test(test_move_splits_where_alignment_differs),
        cmocka_unit_test(test_move_of_nothing),
        cmocka_unit_test(test_move_in_a_directory),
        cmocka_unit_test(test_move_of_few_large_pages),
        cmocka_unit_test(test_is_unused),
        cmocka_unit_test(test_begun_large),
        cmocka_unit_test(test_table_cache),
        cmocka_unit_test(test_borrowed),
        cmocka_unit_test(test_random),
    };

    return harness_main(argc, argv, tests, ARRAY_LENGTH(tests));
}
