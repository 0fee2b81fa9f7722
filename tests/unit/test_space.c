/* The operations of vm/vm.h on one address space, line by line of the contract. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vm/segments.h" /* before fixture.h: its parameters are named as a variable there */

#include "fixture.h"
#include "harness.h"
#include "vm/driver.h"

#define PAGE VM_PAGE_SIZE
#define RAM (32 * MIB)
#define A LOW_BASE
#define FAR ((vaddr_t)0x600000000000) /* addresses asked for, above the slots */

static size_t count_segments(vaddr_t start, vaddr_t end)
{
    size_t count = 0;

    for (struct vm_segment *s = vm_next(space, start); s && vm_start(s) < end;
         s = vm_next(space, vm_start(s) + vm_size(s)))
        count++;
    return count;
}

static error_t touch(vaddr_t address, vm_flags_t access)
{
    return fake_touch(address, access, 1);
}

/* ---- epochs ---- */

#define MANY (64 * PAGE) /* more than is flushed page by page */

static struct vm_segment *alloc_touched(size_t size)
{
    struct vm_segment *segment = must_alloc(&vm_anon, VM_ANYWHERE, size, VM_RW | VM_PAGES_4K);

    for (size_t offset = 0; offset < size; offset += PAGE)
        must_write(vm_start(segment) + offset, offset + 1);
    return segment;
}

/* Freed memory flushes nothing, its frames are free at once, and its addresses are not given out before the epoch. */
static void test_addresses_wait_for_an_epoch(void **state)
{
    static vaddr_t used[100];
    size_t free_before, count = 0;
    uint64_t epoch;

    (void)state;
    fixture_start(RAM);
    fixture_lazy();
    free_before = frames_free();
    epoch = space->mmu.flushed_all;
    for (; count < ARRAY_LENGTH(used) && space->mmu.flushed_all == epoch; count++) {
        struct vm_segment *segment = alloc_touched(MANY);
        uint64_t pages = space->mmu.flushed_pages;

        used[count] = vm_start(segment);
        for (size_t i = 0; space->mmu.flushed_all == epoch && i < count; i++)
            assert_int_not_equal(used[i], used[count]);
        vm_free(space, segment);
        assert_true(free_before - frames_free() < MANY / PAGE);
        assert_true(space->mmu.flushed_all != epoch || mmu_behind == &space->mmu);
        assert_true(space->mmu.flushed_pages <= pages + 1);
        fixture_check();
    }
    assert_in_range(count, 8, ARRAY_LENGTH(used) - 1);
    /* After it they are. */
    mmu_settle();
    assert_null(mmu_behind);
    assert_null(fake_tlb_stale());
    struct vm_segment *segment = must_alloc(&vm_anon, VM_ANYWHERE, MANY, VM_RW);

    fixture_check();
    vm_free(space, segment);
    fixture_end();
}

/* The table of small pages of a slot whose addresses wait goes at once. */
static void test_tables_of_what_waits_go(void **state)
{
    size_t tables;

    (void)state;
    fixture_start(RAM);
    fixture_lazy();
    vm_free(space, alloc_touched(MANY)); /* the tables above it, which stay */
    tables = mmu_tables(&space->mmu);
    for (unsigned i = 0; i < 40; i++) {
        struct vm_segment *segment = alloc_touched(MANY);

        assert_int_equal(mmu_tables(&space->mmu), tables + 1);
        vm_free(space, segment);
        assert_int_equal(mmu_tables(&space->mmu), tables);
        fixture_check();
    }
    fixture_end();
}

/* One page, touched and freed again and again: the table stays, the counts are kept, and a segment begins without any.
 */
static void test_single_page_comes_and_goes(void **state)
{
    uint64_t faults;
    size_t tables;

    (void)state;
    fixture_start(RAM);
    vm_free(space, alloc_touched(PAGE));
    faults = vm_driver_statistics(space, &vm_anon).faults[PAGE_4K];
    tables = mmu_tables(&space->mmu);
    for (unsigned i = 1; i <= 200; i++) {
        size_t free_before = frames_free();
        struct vm_segment *segment = alloc_touched(PAGE);

        assert_int_equal(vm_segment_statistics(space, segment).faults[PAGE_4K], 1);
        if (i % 3 == 0)
            assert_int_equal(touch(vm_start(segment) + PAGE, VM_WRITE), E_FAULT);
        vm_free(space, segment);
        assert_null(fake_tlb_stale());
        assert_int_equal(frames_free(), free_before);
        assert_int_equal(mmu_tables(&space->mmu), tables);
        assert_int_equal(vm_driver_statistics(space, &vm_anon).faults[PAGE_4K], faults + i);
        assert_true(vm_resident_peak(space) >= PAGE);
    }
    fixture_end();
}

/* Who asks for addresses that wait gets them, flushed. */
static void test_addresses_that_wait_can_be_asked_for(void **state)
{
    (void)state;
    fixture_start(RAM);
    fixture_lazy();
    for (size_t offset = 0; offset <= 16 * MANY - PAGE; offset += 16 * MANY - PAGE) {
        struct vm_segment *segment = alloc_touched(MANY);
        vaddr_t start = vm_start(segment);

        vm_free(space, segment);
        assert_ptr_equal(mmu_behind, &space->mmu);
        segment = must_alloc(&vm_anon, start + offset, PAGE, VM_RW);
        assert_null(mmu_behind);
        assert_int_equal(must_read(start + offset), 0);
        fixture_check();
        vm_free(space, segment);
    }
    fixture_end();
}

/* Few pages, parts of segments, those that share a slot, what is moved, emptied or protected: flushed at once. */
static void test_what_is_flushed_at_once(void **state)
{
    struct vm_segment *segment;
    vaddr_t start;

    (void)state;
    fixture_start(RAM);
    fixture_lazy();
    segment = alloc_touched(MMU_FLUSH_SINGLES * PAGE);
    vm_free(space, segment);
    assert_null(mmu_behind);
    segment = alloc_touched(2 * MANY);
    start = vm_start(segment);
    assert_int_equal(vm_unmap(space, start + PAGE, MANY), E_SUCCESS);
    assert_null(fake_tlb_stale());
    assert_int_equal(vm_unmap(space, start, 2 * MANY), E_SUCCESS);
    assert_null(fake_tlb_stale());
    segment = alloc_touched(2 * MANY);
    start = vm_start(segment);
    assert_int_equal(vm_protect(space, start, MANY, VM_READ), E_SUCCESS);
    assert_null(fake_tlb_stale());
    assert_int_equal(vm_protect(space, start, MANY, VM_RW), E_SUCCESS);
    assert_int_equal(vm_advise(space, start, MANY, VM_ADVICE_DONTNEED), E_SUCCESS);
    assert_null(fake_tlb_stale());
    assert_int_equal(vm_resize(space, segment, PAGE), E_SUCCESS);
    assert_int_equal(vm_move(space, segment, VM_ANYWHERE, 2 * MANY), E_SUCCESS);
    assert_null(fake_tlb_stale());
    vm_free(space, segment);
    segment = must_alloc(&vm_anon, A, MANY, VM_RW | VM_POPULATE);
    vm_free(space, segment);
    assert_null(fake_tlb_stale());
    mmu_set_strict(true);
    vm_free(space, alloc_touched(MANY));
    assert_null(mmu_behind);
    fixture_end();
}

/* Segments come and go, frames fail, and the CPU never knows an address of a living one from before. */
static void test_epochs_at_random(void **state)
{
    struct vm_segment *segments[24] = {NULL};
    struct random random = {harness_seed()};

    (void)state;
    fixture_start(RAM);
    fixture_lazy();
    for (size_t step = 0; step < harness_number("QUIRE_STEPS", 4000); step++) {
        struct vm_segment **segment = &segments[random_below(&random, ARRAY_LENGTH(segments))];
        size_t pages = 1 + random_below(&random, 80);

        if (random_below(&random, 4) == 0)
            frames_fail_nth((long)random_below(&random, 40));
        if (*segment) {
            vm_free(space, *segment);
            *segment = NULL;
        } else {
            *segment = vm_alloc(space, &vm_anon, VM_ANYWHERE, pages * PAGE, VM_RW | VM_PAGES_4K);
            if (IS_ERR(*segment))
                *segment = NULL;
        }
        for (size_t i = 0; *segment && i < pages; i++) {
            uint64_t word = 1;

            if (fake_read(vm_start(*segment) + i * PAGE, &word, sizeof(word)) == E_SUCCESS) {
                assert_int_equal(word, 0);
                assert_int_equal(fake_write(vm_start(*segment) + i * PAGE, &step, sizeof(step)), E_SUCCESS);
            }
        }
        frames_fail_nth(-1);
        fixture_check();
    }
    assert_true(space->mmu.flushed_all > 5);
    assert_int_equal(vm_unmap(space, 0, LOW_HALF_END), E_SUCCESS);
    fixture_end();
}

/* ---- arguments ---- */

struct bad_arguments {
    vaddr_t start;
    size_t size;
    vm_flags_t flags;
    error_t error;
};

static void test_bad_arguments(void **state)
{
    static const struct bad_arguments bad[] = {
        {0, 0, VM_RW, E_INVAL},
        {A, 0, VM_RW, E_INVAL},
        {0, 1, VM_RW, E_INVAL},
        {0, PAGE + 1, VM_RW, E_INVAL},
        {A + 1, PAGE, VM_RW, E_INVAL},
        {A + PAGE / 2, PAGE, VM_RW, E_INVAL},
        {~(vaddr_t)VM_PAGE_MASK, 2 * PAGE, VM_RW, E_INVAL},
        {A, ~(size_t)VM_PAGE_MASK, VM_RW, E_INVAL},
        {0, PAGE, VM_RW | 1u << 10, E_INVAL},
        {0, PAGE, VM_RW | 1u << 31, E_INVAL},
        {A, (size_t)1 << 47, VM_RW, E_NOMEM},
        {0, (size_t)1 << 47, VM_RW, E_NOMEM},
        {LOW_HALF_END - PAGE, 2 * PAGE, VM_RW, E_NOMEM},
        {LOW_HALF_END, PAGE, VM_RW, E_NOMEM},
        {~(LOW_HALF_END - 1) - PAGE, PAGE, VM_RW, E_NOMEM},
        {PAGE, PAGE, VM_RW, E_NOMEM}, /* never mapped */
        {NULL_GUARD_END - PAGE, PAGE, VM_RW, E_NOMEM},
        {NULL_GUARD_END - PAGE, 2 * PAGE, VM_RW, E_NOMEM},
    };
    struct trace before, after;

    (void)state;
    fixture_start(RAM);
    trace_take(&before);
    assert_error(vm_alloc(space, NULL, 0, PAGE, VM_RW), E_INVAL);
    assert_error(vm_alloc_at(space, NULL, GIB, PAGE, VM_RW), E_INVAL);
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        struct vm_segment *segment = vm_alloc(space, &vm_anon, bad[i].start, bad[i].size, bad[i].flags);

        if (ERR_OF(segment) != bad[i].error)
            fail_msg("case %zu: error %d, not %d", i, ERR_OF(segment), bad[i].error);
    }
    assert_error(vm_alloc_at(space, &vm_phys, GIB, 0, VM_RW), E_INVAL);
    assert_error(vm_alloc_at(space, &vm_phys, GIB + 1, PAGE, VM_RW), E_INVAL);
    assert_error(vm_alloc_at(space, &vm_phys, GIB, PAGE - 1, VM_RW), E_INVAL);
    assert_error(vm_alloc_at(space, &vm_phys, ~(paddr_t)VM_PAGE_MASK, 2 * PAGE, VM_RW), E_INVAL);
    assert_error(vm_alloc_at(space, &vm_phys, GIB, PAGE, VM_RW | 1u << 30), E_INVAL);
    assert_int_equal(vm_protect(space, A + 1, PAGE, VM_READ), E_INVAL);
    assert_int_equal(vm_protect(space, A, PAGE + 1, VM_READ), E_INVAL);
    assert_int_equal(vm_protect(space, A, PAGE, VM_POPULATE), E_INVAL);
    assert_int_equal(vm_protect(space, ~(vaddr_t)VM_PAGE_MASK, 2 * PAGE, VM_READ), E_INVAL);
    assert_int_equal(vm_unmap(space, A + 1, PAGE), E_INVAL);
    assert_int_equal(vm_unmap(space, A, 1), E_INVAL);
    assert_int_equal(vm_unmap(space, ~(vaddr_t)VM_PAGE_MASK, 2 * PAGE), E_INVAL);
    assert_int_equal(vm_advise(space, A + 1, PAGE, VM_ADVICE_DONTNEED), E_INVAL);
    assert_int_equal(vm_advise(space, A, PAGE, 77), E_INVAL);
    assert_int_equal(vm_advise(space, A, PAGE, -1), E_INVAL);
    trace_take(&after);
    trace_compare(&before, &after, "bad arguments", 0);
    fixture_end();
}

/* ---- addresses ---- */

static void test_fixed_addresses_at_every_edge(void **state)
{
    static const struct {
        long first, last; /* pages from A on, last exclusive; the segment in place is [16, 32) */
        error_t error;
    } cases[] = {
        {0, 16, E_SUCCESS},  {0, 17, E_NOMEM},  {15, 17, E_NOMEM}, {16, 17, E_NOMEM},   {16, 32, E_NOMEM},
        {20, 24, E_NOMEM},   {31, 32, E_NOMEM}, {31, 33, E_NOMEM}, {32, 33, E_SUCCESS}, {0, 64, E_NOMEM},
        {15, 16, E_SUCCESS}, {15, 33, E_NOMEM}, {16, 40, E_NOMEM}, {8, 32, E_NOMEM},    {33, 64, E_SUCCESS},
    };

    (void)state;
    fixture_start(RAM);
    must_alloc(&vm_anon, A + 16 * PAGE, 16 * PAGE, VM_RW);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        vaddr_t start = A + (vaddr_t)cases[i].first * PAGE;
        size_t size = (size_t)(cases[i].last - cases[i].first) * PAGE;
        struct vm_segment *segment = vm_alloc(space, &vm_anon, start, size, VM_RW);

        if (ERR_OF(segment) != cases[i].error)
            fail_msg("[%ld, %ld): error %d", cases[i].first, cases[i].last, ERR_OF(segment));
        fixture_check();
        if (!IS_ERR(segment))
            vm_free(space, segment);
    }
    assert_int_equal(vm_unmap(space, A, 64 * PAGE), E_SUCCESS);
    fixture_end();
}

static void test_lowest_and_highest_address(void **state)
{
    struct vm_segment *low, *high;

    (void)state;
    fixture_start(RAM);
    low = must_alloc(&vm_anon, NULL_GUARD_END, PAGE, VM_RW);
    high = must_alloc(&vm_anon, LOW_HALF_END - PAGE, PAGE, VM_RW);
    must_write(NULL_GUARD_END, 1);
    must_write(LOW_HALF_END - 8, 2);
    assert_ptr_equal(vm_next(space, 0), low);
    assert_ptr_equal(vm_next(space, NULL_GUARD_END + PAGE), high);
    assert_null(vm_next(space, LOW_HALF_END));
    fixture_check();
    vm_free(space, low);
    vm_free(space, high);
    fixture_end();
}

static void test_addresses_inside_slots_can_be_asked_for(void **state)
{
    struct vm_segment *any, *next;

    (void)state;
    fixture_start(RAM);
    any = must_alloc(&vm_anon, VM_ANYWHERE, 4 * PAGE, VM_RW);
    next = must_alloc(&vm_anon, vm_start(any) + 4 * PAGE, PAGE, VM_RW);
    assert_error(vm_alloc(space, &vm_anon, vm_start(any), PAGE, VM_RW), E_NOMEM);
    assert_int_equal(vm_resize(space, any, 5 * PAGE), E_NOMEM);
    vm_free(space, next);
    assert_int_equal(vm_resize(space, any, 5 * PAGE), E_SUCCESS);
    fixture_check();
    vm_free(space, any);
    fixture_end();
}

static void test_slots_have_headroom(void **state)
{
    struct vm_segment *segments[64];

    (void)state;
    fixture_start(RAM);
    for (size_t i = 0; i < 64; i++) {
        size_t size = (i % 8 + 1) * PAGE << (i / 8 * 2);

        segments[i] = must_alloc(&vm_anon, VM_ANYWHERE, size, VM_RW);
        assert_true(vm_start(segments[i]) >= SLOTS_BASE);
        assert_true(is_aligned(vm_start(segments[i]), (uint64_t)1 << log2_ceil(size)));
    }
    fixture_check();
    for (size_t i = 0; i < 64; i++) /* all of them double, whoever is next to them */
        assert_int_equal(vm_resize(space, segments[i], 2 * vm_size(segments[i])), E_SUCCESS);
    fixture_check();
    for (size_t i = 0; i < 64; i++)
        vm_free(space, segments[i]);
    fixture_end();
}

static void test_largest_segment(void **state)
{
    struct vm_segment *segment;

    (void)state;
    fixture_start(RAM);
    segment = must_alloc(&vm_anon, VM_ANYWHERE, (size_t)1 << 41, VM_RW);
    must_write(vm_start(segment) + ((size_t)1 << 41) - 8, 7);
    assert_error(vm_alloc(space, &vm_anon, VM_ANYWHERE, ((size_t)1 << 41) + PAGE, VM_RW), E_NOMEM);
    vm_free(space, segment);
    fixture_end();
}

/* An address space of its own, which becomes the current one; vm_space_destroy ends that. */
static void start_other(struct address_space *other, uint64_t seed)
{
    assert_int_equal(vm_space_init(other, 0, seed), E_SUCCESS);
    vm_space_use(other);
    fake_use_tables(other->mmu.root);
}

static void back_to_the_first(struct address_space *other)
{
    vm_space_destroy(other);
    vm_space_use(space);
    fake_use_tables(space->mmu.root);
}

static const uint64_t seeds[] = {0, 1, 2, 0x123456789abcdef, 0x9e3779b97f4a7c15, ~(uint64_t)0};

/* So many segments of one size fit wherever slots begin, each with a first page to use. */
static void use_many(size_t count, size_t size)
{
    static struct address_space other;

    fixture_start(RAM);
    for (size_t s = 0; s < ARRAY_LENGTH(seeds); s++) {
        start_other(&other, seeds[s]);
        for (size_t i = 0; i < count; i++) {
            struct vm_segment *segment = vm_alloc(&other, &vm_anon, VM_ANYWHERE, size, VM_RW | VM_PAGES_4K);

            if (IS_ERR(segment))
                fail_msg("seed %#lx: segment %zu of %zu GiB is refused", (unsigned long)seeds[s], i, size / GIB);
            must_write(vm_start(segment), i);
        }
        assert_null(vm_validate(&other));
        back_to_the_first(&other);
    }
    fixture_end();
}

static void test_many_segments_of_40_gib(void **state)
{
    (void)state;
    use_many(20, 40 * GIB);
}

static void test_many_segments_of_4_gib(void **state)
{
    (void)state;
    use_many(300, 4 * GIB);
}

static void test_many_segments_of_1_gib(void **state)
{
    (void)state;
    use_many(2000, GIB);
}

/* What a program's start does: the heap's box reserved, most of it given back, then a large mmap. */
static void test_large_reservations(void **state)
{
    static struct address_space other;

    (void)state;
    fixture_start(RAM);
    for (size_t s = 0; s < ARRAY_LENGTH(seeds); s++) {
        struct vm_segment *box, *mapping;

        start_other(&other, seeds[s]);
        box = vm_alloc(&other, &vm_anon, VM_ANYWHERE, 64 * GIB, VM_RW);
        assert_false(IS_ERR(box));
        assert_int_equal(vm_resize(&other, box, PAGE), E_SUCCESS);
        mapping = vm_alloc(&other, &vm_anon, VM_ANYWHERE, 33 * GIB, VM_RW | VM_MERGE | VM_PAGES_4K);
        assert_false(IS_ERR(mapping));
        must_write(vm_start(mapping) + 33 * GIB - 8, 1);
        assert_int_equal(vm_resize(&other, box, 64 * GIB), E_SUCCESS);
        assert_null(vm_validate(&other));
        back_to_the_first(&other);
    }
    fixture_end();
}

/* Addresses are taken and given back many times: slots and structures are reused, nothing accumulates. */
static void test_slots_are_reused(void **state)
{
    size_t kept = 0;

    (void)state;
    fixture_start(RAM);
    for (size_t round = 0; round < 2000; round++) {
        struct vm_segment *a = must_alloc(&vm_anon, VM_ANYWHERE, PAGE, VM_RW);
        struct vm_segment *b = must_alloc(&vm_anon, VM_ANYWHERE, 64 * PAGE, VM_RW);

        vm_free(space, a);
        vm_free(space, b);
        if (round == 0)
            kept = vm_bookkeeping_frames(space);
    }
    assert_int_equal(vm_bookkeeping_frames(space), kept);
    fixture_end();
}

static void test_many_segments_in_random_order(void **state)
{
    enum { COUNT = 4000 };
    static struct vm_segment *segments[COUNT];
    struct random random = {harness_seed()};

    (void)state;
    fixture_start(RAM);
    for (size_t done = 0; done < COUNT;) {
        size_t at = random_below(&random, COUNT);

        while (segments[at])
            at = (at + 1) % COUNT;
        segments[at] = must_alloc(&vm_anon, A + 2 * at * PAGE, PAGE, VM_RW);
        done++;
    }
    fixture_check();
    for (size_t i = 0; i < COUNT; i++) {
        assert_ptr_equal(vm_find(space, A + 2 * i * PAGE), segments[i]);
        assert_null(vm_find(space, A + (2 * i + 1) * PAGE));
        assert_ptr_equal(vm_next(space, A + (2 * i + 1) * PAGE), i + 1 < COUNT ? segments[i + 1] : NULL);
    }
    for (size_t left = COUNT; left > COUNT / 2; left--) {
        size_t at = random_below(&random, COUNT);

        while (!segments[at])
            at = (at + 1) % COUNT;
        vm_free(space, segments[at]);
        segments[at] = NULL;
    }
    fixture_check();
    assert_int_equal(count_segments(0, LOW_HALF_END), COUNT / 2);
    assert_int_equal(vm_unmap(space, A, 2 * COUNT * PAGE), E_SUCCESS);
    fixture_end();
}

static unsigned depth(const struct vm_segment *segment)
{
    unsigned low = segment ? depth(segment->child[0]) : 0, high = segment ? depth(segment->child[1]) : 0;

    return segment ? 1 + (low > high ? low : high) : 0;
}

/* Segments at equal distances are usual; their priorities must be as good as random all the same (expected depth of
 * 3000: about 30). Some strides are Fibonacci numbers, which multiplicative hashes do badly with. */
static void test_trees_stay_shallow(void **state)
{
    static const size_t strides[] = {2, 16, 89, 512, 987, 1597, 4181, 10946};
    enum { COUNT = 3000 };

    (void)state;
    fixture_start(RAM);
    for (size_t k = 0; k < ARRAY_LENGTH(strides); k++) {
        for (size_t i = 0; i < COUNT; i++)
            must_alloc(&vm_guard, FAR + i * strides[k] * PAGE, PAGE, 0);
        if (depth(slot_root(slot_of(space, FAR))) >= 60)
            fail_msg("stride %zu pages: depth %u", strides[k], depth(slot_root(slot_of(space, FAR))));
        assert_int_equal(vm_unmap(space, FAR, COUNT * strides[k] * PAGE), E_SUCCESS);
    }
    fixture_end();
}

/* A slot table that could not be made for want of a frame hides nothing that lies behind it. */
static void test_failed_slot_tables_hide_nothing(void **state)
{
    struct vm_segment *behind;
    struct trace before, after;

    (void)state;
    fixture_start(RAM);
    behind = must_alloc(&vm_anon, FAR, MIB, VM_RW);
    must_write(FAR, 1);
    trace_take(&before);
    for (unsigned order = 16; order <= 40; order++) {
        vaddr_t base = SLOTS_BASE + ((vaddr_t)(order - 16) << VM_REGION_SHIFT);

        for (long nth = 0; nth < 2; nth++) { /* the directory, then the table */
            fixture_inject(nth);
            assert_error(vm_alloc(space, &vm_guard, base, PAGE, 0), E_NOMEM);
            assert_true(fixture_inject_end());
            assert_ptr_equal(vm_next(space, 0), behind);
            assert_ptr_equal(vm_next(space, base), behind);
        }
    }
    trace_take(&after);
    trace_compare(&before, &after, "slot tables", 0);
    assert_int_equal(vm_unmap(space, SLOTS_BASE, FAR + MIB - SLOTS_BASE), E_SUCCESS);
    assert_null(vm_find(space, FAR));
    fixture_end();
}

/* All between the two halves of the address space comes before what is lowest in the upper one. */
static void test_next_of_addresses_that_are_none(void **state)
{
    static const vaddr_t upper_half = ~(LOW_HALF_END - 1);
    static const vaddr_t bad[] = {LOW_HALF_END, 0x900000000000, 0x0008900000000000, upper_half - 1};
    struct vm_segment *lowest, *image;

    (void)state;
    fixture_start(RAM);
    lowest = vm_image_add(space, "lowest", upper_half + PAGE, PAGE, VM_READ);
    image = vm_image_add(space, "text", IMAGE_BASE, PAGE, VM_READ | VM_EXEC);
    assert_false(IS_ERR(lowest) || IS_ERR(image));
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        assert_ptr_equal(vm_next(space, bad[i]), lowest);
        assert_null(vm_find(space, bad[i]));
    }
    assert_ptr_equal(vm_next(space, upper_half + 2 * PAGE), image);
    assert_null(vm_next(space, IMAGE_BASE + PAGE));
}

static void test_find_and_next(void **state)
{
    struct vm_segment *one, *two;

    (void)state;
    fixture_start(RAM);
    assert_null(vm_find(space, A));
    assert_null(vm_next(space, 0));
    one = must_alloc(&vm_anon, A, 2 * PAGE, VM_RW);
    two = must_alloc(&vm_guard, A + 4 * PAGE, PAGE, 0);
    assert_null(vm_find(space, A - 1));
    assert_ptr_equal(vm_find(space, A), one);
    assert_ptr_equal(vm_find(space, A + 2 * PAGE - 1), one);
    assert_null(vm_find(space, A + 2 * PAGE));
    assert_null(vm_find(space, ~(vaddr_t)0));
    assert_null(vm_find(space, LOW_HALF_END)); /* not canonical */
    assert_ptr_equal(vm_next(space, 0), one);
    assert_ptr_equal(vm_next(space, A + PAGE), one);
    assert_ptr_equal(vm_next(space, A + 2 * PAGE), two);
    assert_ptr_equal(vm_next(space, A + 5 * PAGE - 1), two);
    assert_null(vm_next(space, A + 5 * PAGE));
    vm_free(space, one);
    vm_free(space, two);
    fixture_end();
}

/* ---- faults ---- */

static void test_faults_are_refused(void **state)
{
    struct vm_segment *segment;

    (void)state;
    fixture_start(RAM);
    assert_int_equal(touch(0, VM_READ), E_FAULT);
    assert_int_equal(touch(8, VM_WRITE), E_FAULT);
    assert_int_equal(touch(A, VM_READ), E_FAULT);
    segment = must_alloc(&vm_anon, A, 2 * PAGE, VM_READ | VM_PAGES_4K);
    assert_int_equal(touch(A, VM_WRITE), E_ACCES); /* nothing backed yet */
    assert_int_equal(touch(A, VM_EXEC), E_ACCES);
    assert_int_equal(vm_segment_statistics(space, segment).resident[PAGE_4K], 0);
    assert_int_equal(touch(A, VM_READ), E_SUCCESS);
    assert_int_equal(touch(A, VM_WRITE), E_ACCES); /* now there is an entry */
    assert_int_equal(touch(A, VM_EXEC), E_ACCES);
    assert_int_equal(touch(A + 2 * PAGE, VM_READ), E_FAULT);
    assert_int_equal(touch(A - 1, VM_READ), E_FAULT);
    assert_int_equal(vm_segment_statistics(space, segment).faults_refused, 4);
    assert_int_equal(vm_segment_statistics(space, segment).faults[PAGE_4K], 1);
    fixture_check();
    vm_free(space, segment);
    assert_int_equal(touch(A, VM_READ), E_FAULT);
    fixture_end();
}

static void test_fault_without_frames(void **state)
{
    struct vm_segment *segment;
    paddr_t frame;

    (void)state;
    fixture_start(4 * MIB);
    segment = must_alloc(&vm_anon, A, PAGE, VM_RW);
    while ((frame = frame_get(PAGE_4K)) != FRAME_NONE)
        continue;
    assert_int_equal(touch(A, VM_WRITE), E_NOMEM);
    assert_int_equal(vm_segment_statistics(space, segment).faults_refused, 1);
    fixture_check();
}

/* ---- resize ---- */

static void test_resize(void **state)
{
    struct vm_segment *segment, *wall;

    (void)state;
    fixture_start(RAM);
    segment = must_alloc(&vm_anon, A, 4 * PAGE, VM_RW);
    wall = must_alloc(&vm_guard, A + 16 * PAGE, PAGE, 0);
    must_write(A + 3 * PAGE, 33);
    assert_int_equal(vm_resize(space, segment, 4 * PAGE), E_SUCCESS);
    assert_int_equal(vm_resize(space, segment, 16 * PAGE), E_SUCCESS);
    must_write(A + 15 * PAGE, 55);
    assert_int_equal(vm_resize(space, segment, 17 * PAGE), E_NOMEM);
    assert_int_equal(vm_resize(space, segment, 18 * PAGE), E_NOMEM);
    assert_int_equal(vm_size(segment), 16 * PAGE);
    assert_int_equal(vm_resize(space, segment, PAGE + 1), E_INVAL);
    assert_int_equal(vm_resize(space, segment, ~(size_t)VM_PAGE_MASK), E_INVAL);
    assert_int_equal(vm_resize(space, segment, LOW_HALF_END), E_NOMEM);
    assert_int_equal(must_read(A + 3 * PAGE), 33);
    assert_int_equal(must_read(A + 15 * PAGE), 55);
    fixture_check();
    assert_int_equal(vm_resize(space, segment, 3 * PAGE), E_SUCCESS);
    fixture_check();
    assert_int_equal(touch(A + 3 * PAGE, VM_READ), E_FAULT);
    assert_int_equal(vm_resize(space, segment, 16 * PAGE), E_SUCCESS);
    assert_int_equal(must_read(A + 3 * PAGE), 0); /* fresh, not what it was */
    vm_free(space, wall);
    assert_int_equal(vm_resize(space, segment, 20 * PAGE), E_SUCCESS);
    assert_int_equal(vm_resize(space, segment, 0), E_SUCCESS);
    assert_null(vm_find(space, A));
    fixture_end();
}

static void test_resize_cuts_large_pages(void **state)
{
    struct vm_segment *segment;

    (void)state;
    fixture_start(RAM);
    segment = must_alloc(&vm_anon, A, 4 * MIB, VM_RW | VM_PAGES_2M | VM_POPULATE);
    assert_int_equal(vm_segment_statistics(space, segment).resident[PAGE_2M], 2);
    must_write(A + 3 * MIB - 8, 3);
    assert_int_equal(vm_resize(space, segment, 3 * MIB), E_SUCCESS);
    fixture_check();
    assert_int_equal(must_read(A + 3 * MIB - 8), 3);
    assert_int_equal(touch(A + 3 * MIB, VM_READ), E_FAULT);
    assert_int_equal(vm_segment_statistics(space, segment).resident[PAGE_4K], 256);
    assert_int_equal(vm_resize(space, segment, 4 * MIB), E_SUCCESS);
    assert_int_equal(must_read(A + 3 * MIB), 0);
    vm_free(space, segment);
    fixture_end();
}

/* ---- split ---- */

static void test_split(void **state)
{
    struct vm_segment *first, *second;

    (void)state;
    fixture_start(RAM);
    first = must_alloc(&vm_anon, A, 4 * MIB, VM_RW | VM_PAGES_2M);
    must_write(A, 1);
    must_write(A + 3 * MIB, 2);
    assert_error(vm_split(space, first, A), E_INVAL);
    assert_error(vm_split(space, first, A + 4 * MIB), E_INVAL);
    assert_error(vm_split(space, first, A - PAGE), E_INVAL);
    assert_error(vm_split(space, first, A + MIB + 1), E_INVAL);
    second = vm_split(space, first, A + MIB);
    assert_false(IS_ERR(second));
    assert_int_equal(vm_start(second), A + MIB);
    assert_int_equal(vm_size(second), 3 * MIB);
    assert_int_equal(vm_size(first), MIB);
    assert_ptr_equal(vm_driver_of(second), &vm_anon);
    assert_int_equal(vm_flags(second) & (VM_PROTECTION | VM_PAGES), VM_RW | VM_PAGES_2M);
    fixture_check();
    vm_free(space, first);
    fixture_check();
    assert_int_equal(must_read(A + 3 * MIB), 2);
    assert_int_equal(must_read(A + MIB), 0);
    assert_int_equal(touch(A, VM_READ), E_FAULT);
    vm_free(space, second);
    fixture_end();
}

/* Whoever cut a segment holds both pointers: equal protection is no reason to make one of them again. */
static void test_split_segments_stay_apart(void **state)
{
    struct vm_segment *first, *second;

    (void)state;
    fixture_start(RAM);
    first = must_alloc(&vm_anon, A, 8 * MIB, VM_RW | VM_PAGES_4K);
    second = vm_split(space, first, A + 4 * MIB);
    assert_false(IS_ERR(second));
    assert_int_equal(vm_protect(space, A + 4 * MIB, 4 * MIB, VM_READ), E_SUCCESS);
    assert_int_equal(vm_protect(space, A + 4 * MIB, 4 * MIB, VM_RW), E_SUCCESS);
    assert_ptr_equal(vm_find(space, A + 4 * MIB), second);
    assert_int_equal(vm_size(first), 4 * MIB);
    /* Pieces that nobody holds go back to what they were cut from, on either side. */
    assert_int_equal(vm_protect(space, A + 3 * MIB, 2 * MIB, VM_READ), E_SUCCESS);
    assert_int_equal(count_segments(A, A + 8 * MIB), 4);
    assert_ptr_equal(vm_find(space, A + 4 * MIB), second);
    assert_int_equal(vm_protect(space, A + 3 * MIB, 2 * MIB, VM_RW), E_SUCCESS);
    assert_int_equal(count_segments(A, A + 8 * MIB), 2);
    assert_int_equal(vm_size(first), 4 * MIB);
    assert_int_equal(vm_size(second), 4 * MIB);
    fixture_check();
    vm_free(space, second);
    vm_free(space, first);
    fixture_end();
}

/* ---- protect ---- */

static void test_protect_parts_and_merge_back(void **state)
{
    struct vm_segment *segment;

    (void)state;
    fixture_start(RAM);
    segment = must_alloc(&vm_anon, A, 4 * MIB, VM_RW | VM_PAGES_2M);
    for (size_t i = 0; i < 4; i++)
        must_write(A + i * MIB, i + 1);
    assert_int_equal(vm_protect(space, A + MIB, MIB, VM_READ), E_SUCCESS);
    fixture_check();
    assert_int_equal(count_segments(A, A + 4 * MIB), 3);
    assert_ptr_equal(vm_find(space, A), segment); /* its first page stayed */
    assert_int_equal(touch(A + MIB, VM_WRITE), E_ACCES);
    assert_int_equal(touch(A + 2 * MIB - 1, VM_WRITE), E_ACCES);
    assert_int_equal(touch(A + MIB - 1, VM_WRITE), E_SUCCESS);
    assert_int_equal(touch(A + 2 * MIB + 8, VM_WRITE), E_SUCCESS);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(must_read(A + i * MIB), i + 1);
    assert_int_equal(vm_protect(space, A + MIB, MIB, 0), E_SUCCESS);
    assert_int_equal(touch(A + MIB, VM_READ), E_ACCES);
    fixture_check();
    assert_int_equal(vm_protect(space, A + MIB, MIB, VM_READ | VM_EXEC), E_SUCCESS);
    assert_int_equal(touch(A + MIB, VM_EXEC), E_SUCCESS);
    assert_int_equal(touch(A, VM_EXEC), E_ACCES);
    assert_int_equal(vm_protect(space, A + MIB, MIB, VM_RW), E_SUCCESS);
    fixture_check();
    assert_int_equal(count_segments(A, A + 4 * MIB), 1);
    assert_int_equal(vm_size(segment), 4 * MIB);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(must_read(A + i * MIB), i + 1);
    vm_free(space, segment);
    fixture_end();
}

static void test_protect_several_segments(void **state)
{
    (void)state;
    fixture_start(RAM);
    for (size_t i = 0; i < 3; i++) {
        must_alloc(&vm_anon, A + 2 * i * PAGE, 2 * PAGE, VM_RW | VM_MERGE);
        must_write(A + 2 * i * PAGE, i);
    }
    assert_int_equal(vm_protect(space, A + PAGE, 4 * PAGE, VM_READ), E_SUCCESS);
    fixture_check();
    assert_int_equal(touch(A, VM_WRITE), E_SUCCESS);
    for (size_t i = 1; i < 5; i++)
        assert_int_equal(touch(A + i * PAGE, VM_WRITE), E_ACCES);
    assert_int_equal(touch(A + 5 * PAGE, VM_WRITE), E_SUCCESS);
    assert_int_equal(count_segments(A, A + 6 * PAGE), 3);
    assert_int_equal(vm_protect(space, A, 6 * PAGE, VM_RW), E_SUCCESS);
    assert_int_equal(count_segments(A, A + 6 * PAGE), 1);
    assert_int_equal(vm_unmap(space, A, 6 * PAGE), E_SUCCESS);
    fixture_end();
}

static void test_segments_whose_pointers_are_held_do_not_merge(void **state)
{
    struct vm_segment *one, *two;

    (void)state;
    fixture_start(RAM);
    one = must_alloc(&vm_anon, A, 2 * PAGE, VM_RW);
    two = must_alloc(&vm_anon, A + 2 * PAGE, 2 * PAGE, VM_RW);
    assert_int_equal(vm_protect(space, A, 4 * PAGE, VM_READ), E_SUCCESS);
    assert_int_equal(vm_protect(space, A, 4 * PAGE, VM_RW), E_SUCCESS);
    assert_int_equal(vm_protect(space, A + PAGE, 2 * PAGE, VM_READ), E_SUCCESS);
    assert_int_equal(vm_protect(space, A + PAGE, 2 * PAGE, VM_RW), E_SUCCESS);
    fixture_check();
    assert_ptr_equal(vm_find(space, A), one);
    assert_int_equal(vm_size(one), 2 * PAGE);
    assert_ptr_equal(vm_find(space, A + 2 * PAGE), two);
    assert_int_equal(vm_size(two), 2 * PAGE);
    vm_free(space, two);
    vm_free(space, one);
    fixture_end();
}

/* Both must have been given away, whichever side the one is that somebody holds. */
static void test_held_segments_absorb_no_neighbour(void **state)
{
    struct vm_segment *held;

    (void)state;
    fixture_start(RAM);
    must_alloc(&vm_anon, A, MIB, VM_RW | VM_MERGE);
    held = must_alloc(&vm_anon, A + MIB, MIB, VM_RW);
    must_alloc(&vm_anon, A + 2 * MIB, MIB, VM_RW | VM_MERGE);
    assert_int_equal(vm_protect(space, A + 2 * MIB, MIB, VM_RW), E_SUCCESS);
    assert_int_equal(vm_protect(space, A, MIB, VM_RW), E_SUCCESS);
    assert_int_equal(vm_protect(space, A, 3 * MIB, VM_READ), E_SUCCESS);
    assert_int_equal(vm_protect(space, A, 3 * MIB, VM_RW), E_SUCCESS);
    assert_int_equal(count_segments(A, A + 3 * MIB), 3);
    assert_ptr_equal(vm_find(space, A + MIB), held);
    assert_int_equal(vm_size(held), MIB);
    vm_free(space, held);
    assert_int_equal(count_segments(A, A + 3 * MIB), 2);
    assert_int_equal(vm_unmap(space, A, 3 * MIB), E_SUCCESS);
    fixture_end();
}

/* Inside of segments that could be cut there, that could not, and where nothing is. */
static void test_ranges_of_size_0_change_nothing(void **state)
{
    static const vaddr_t inside[] = {A + 3 * MIB, A + 3 * MIB + PAGE, A + 16 * MIB + 512 * PAGE, A + GIB, A};
    struct trace before, after;

    (void)state;
    fixture_start(RAM);
    must_alloc(&vm_heap, A, 8 * MIB, VM_RW | VM_PAGES_2M);
    must_alloc(&vm_stack, A + 16 * MIB, 4 * MIB, VM_RW);
    must_write(A + 3 * MIB, 1);
    trace_take(&before);
    for (size_t i = 0; i < ARRAY_LENGTH(inside); i++) {
        assert_int_equal(vm_protect(space, inside[i], 0, VM_READ), E_SUCCESS);
        assert_int_equal(vm_unmap(space, inside[i], 0), E_SUCCESS);
    }
    trace_take(&after);
    trace_compare(&before, &after, "ranges of size 0", -1);
    assert_int_equal(vm_unmap(space, A, 32 * MIB), E_SUCCESS);
    fixture_end();
}

static void test_protect_refused(void **state)
{
    struct trace before, after;

    (void)state;
    fixture_start(RAM);
    must_alloc(&vm_anon, A, 4 * PAGE, VM_RW);
    must_alloc(&vm_anon, A + 5 * PAGE, 2 * PAGE, VM_RW);
    must_alloc(&vm_guard, A + 7 * PAGE, PAGE, 0);
    trace_take(&before);
    assert_int_equal(vm_protect(space, A + PAGE, 5 * PAGE, VM_READ), E_NOMEM);      /* a hole inside */
    assert_int_equal(vm_protect(space, A - PAGE, 2 * PAGE, VM_READ), E_NOMEM);      /* before */
    assert_int_equal(vm_protect(space, A + 3 * PAGE, 2 * PAGE, VM_READ), E_NOMEM);  /* behind */
    assert_int_equal(vm_protect(space, A + 6 * PAGE, 2 * PAGE, VM_READ), E_NOTSUP); /* a guard */
    trace_take(&after);
    trace_compare(&before, &after, "vm_protect", 0);
    assert_int_equal(vm_unmap(space, A, 8 * PAGE), E_SUCCESS);
    fixture_end();
}

/* ---- unmap ---- */

static void test_unmap_several_segments_and_holes(void **state)
{
    struct vm_segment *first, *last;

    (void)state;
    fixture_start(RAM);
    assert_int_equal(vm_unmap(space, A, 16 * PAGE), E_SUCCESS); /* nothing there */
    first = must_alloc(&vm_anon, A, 4 * PAGE, VM_RW);
    must_alloc(&vm_anon, A + 4 * PAGE, PAGE, VM_READ);
    must_alloc(&vm_guard, A + 7 * PAGE, 2 * PAGE, 0);
    last = must_alloc(&vm_anon, A + 9 * PAGE, 4 * PAGE, VM_RW);
    must_write(A, 1);
    must_write(A + 3 * PAGE, 2);
    must_write(A + 12 * PAGE, 3);
    (void)last;
    assert_int_equal(vm_unmap(space, A + 2 * PAGE, 9 * PAGE), E_SUCCESS);
    fixture_check();
    assert_ptr_equal(vm_find(space, A), first);
    assert_int_equal(vm_size(first), 2 * PAGE);
    assert_null(vm_find(space, A + 2 * PAGE));
    assert_null(vm_find(space, A + 10 * PAGE));
    assert_int_equal(vm_start(vm_next(space, A + 2 * PAGE)), A + 11 * PAGE);
    assert_int_equal(must_read(A), 1);
    assert_int_equal(must_read(A + 12 * PAGE), 3);
    assert_int_equal(touch(A + 3 * PAGE, VM_READ), E_FAULT);
    assert_int_equal(count_segments(0, LOW_HALF_END), 2);
    assert_int_equal(vm_unmap(space, A - PAGE, 64 * PAGE), E_SUCCESS);
    assert_int_equal(count_segments(0, LOW_HALF_END), 0);
    fixture_end();
}

static void test_unmap_the_middle(void **state)
{
    (void)state;
    fixture_start(RAM);
    must_alloc(&vm_anon, A, 6 * MIB, VM_RW | VM_PAGES_2M | VM_POPULATE);
    must_write(A + 3 * MIB - 8, 1);
    must_write(A + 5 * MIB, 2);
    assert_int_equal(vm_unmap(space, A + 3 * MIB, 2 * MIB), E_SUCCESS);
    fixture_check();
    assert_int_equal(must_read(A + 3 * MIB - 8), 1);
    assert_int_equal(must_read(A + 5 * MIB), 2);
    assert_int_equal(touch(A + 3 * MIB, VM_READ), E_FAULT);
    assert_int_equal(touch(A + 5 * MIB - 1, VM_READ), E_FAULT);
    must_alloc(&vm_anon, A + 3 * MIB, 2 * MIB, VM_RW);
    assert_int_equal(must_read(A + 3 * MIB), 0);
    assert_int_equal(vm_unmap(space, A, 6 * MIB), E_SUCCESS);
    fixture_end();
}

/* The address space has no structure to spare and RAM no frame: a whole segment goes all the same. */
static void test_unmap_of_whole_segments_needs_no_frame(void **state)
{
    size_t count = 0;

    (void)state;
    fixture_start(4 * MIB);
    while (count < 5 || space->slabs) {
        must_alloc(&vm_guard, A + 2 * count * PAGE, PAGE, 0);
        count++;
    }
    while (frame_get(PAGE_4K) != FRAME_NONE)
        continue;
    assert_int_equal(vm_unmap(space, A + PAGE, PAGE), E_SUCCESS); /* a hole */
    assert_int_equal(vm_unmap(space, A + 2 * PAGE, 3 * PAGE), E_SUCCESS);
    assert_int_equal(vm_unmap(space, A, PAGE), E_SUCCESS);
    assert_int_equal(count_segments(A, A + GIB), count - 3);
    fixture_check();
}

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* The time to unmap that many segments, each in a slot of its own, by one call. */
static double time_of_unmapping(size_t count)
{
    vaddr_t low = ~(vaddr_t)0, high = 0;
    double start;

    for (size_t i = 0; i < count; i++) {
        vaddr_t at = vm_start(must_alloc(&vm_guard, VM_ANYWHERE, PAGE, 0));

        low = at < low ? at : low;
        high = at > high ? at : high;
    }
    start = seconds();
    assert_int_equal(vm_unmap(space, low, high + PAGE - low), E_SUCCESS);
    start = seconds() - start;
    assert_null(vm_next(space, 0));
    return start;
}

/* Sixteen times as many segments take sixteen times as long, not 256 times: generous, for time is not exact. */
static void test_unmap_is_not_quadratic(void **state)
{
    double few, many;

    (void)state;
    fixture_start(RAM);
    time_of_unmapping(16 * 625); /* slots and caches are warm */
    few = time_of_unmapping(625);
    for (size_t i = 0; i < 4; i++) {
        double again = time_of_unmapping(625);

        few = again < few ? again : few;
    }
    many = time_of_unmapping(16 * 625);
    if (many > 64 * few)
        fail_msg("unmapping 625 segments takes %.6f s, 10000 take %.6f s", few, many);
    fixture_end();
}

static void test_permanent_segments(void **state)
{
    struct vm_segment *image;
    struct trace before, after;

    (void)state;
    fixture_start(RAM);
    image = vm_image_add(space, "text", IMAGE_BASE, 16 * PAGE, VM_READ | VM_EXEC);
    assert_false(IS_ERR(image));
    must_alloc(&vm_anon, A, PAGE, VM_RW);
    assert_ptr_equal(vm_find(space, IMAGE_BASE + PAGE), image);
    assert_ptr_equal(vm_driver_of(image), &vm_image);
    assert_ptr_equal(vm_next(space, A + PAGE), image);
    trace_take(&before);
    assert_int_equal(vm_unmap(space, IMAGE_BASE, PAGE), E_NOTSUP);
    assert_int_equal(vm_unmap(space, IMAGE_BASE + 3 * PAGE, 64 * PAGE), E_NOTSUP);
    assert_int_equal(vm_protect(space, IMAGE_BASE, PAGE, VM_RW), E_NOTSUP);
    assert_int_equal(vm_resize(space, image, PAGE), E_NOTSUP);
    assert_error(vm_split(space, image, IMAGE_BASE + PAGE), E_NOTSUP);
    assert_int_equal(vm_move(space, image, VM_ANYWHERE, PAGE), E_NOTSUP);
    assert_int_equal(vm_advise(space, IMAGE_BASE, PAGE, VM_ADVICE_DONTNEED), E_SUCCESS);
    assert_error(vm_alloc(space, &vm_image, A + GIB, PAGE, VM_READ), E_NOTSUP);
    assert_int_equal(vm_handle_fault(IMAGE_BASE, VM_WRITE, true), E_ACCES);
    assert_int_not_equal(vm_handle_fault(IMAGE_BASE, VM_READ, false), E_SUCCESS);
    trace_take(&after);
    trace_compare(&before, &after, "on the image", 0);
    assert_true(strstr(after.map, "text") != NULL);
}

/* ---- move ---- */

static void test_move(void **state)
{
    struct vm_segment *segment;
    vaddr_t old, new;

    (void)state;
    fixture_start(RAM);
    segment = must_alloc(&vm_anon, VM_ANYWHERE, 4 * MIB, VM_RW | VM_PAGES_2M);
    old = vm_start(segment);
    must_write(old, 1);
    must_write(old + 3 * MIB, 2);
    size_t zeroed = fake_zeroed();

    assert_int_equal(vm_move(space, segment, VM_ANYWHERE, 8 * MIB), E_SUCCESS);
    new = vm_start(segment);
    fixture_check();
    assert_int_not_equal(new, old);
    assert_int_equal(vm_size(segment), 8 * MIB);
    assert_null(vm_find(space, old));
    assert_ptr_equal(vm_find(space, new + 8 * MIB - 1), segment);
    assert_int_equal(must_read(new), 1);
    assert_int_equal(must_read(new + 3 * MIB), 2);
    assert_int_equal(touch(old, VM_READ), E_FAULT);
    assert_true(fake_zeroed() - zeroed <= 64 * PAGE); /* tables, not contents */
    assert_int_equal(must_read(new + 5 * MIB), 0);
    assert_int_equal(vm_move(space, segment, A + PAGE, 3 * MIB + 2 * PAGE), E_SUCCESS); /* no longer aligned; smaller */
    fixture_check();
    assert_int_equal(vm_start(segment), A + PAGE);
    assert_int_equal(must_read(A + PAGE), 1);
    assert_int_equal(must_read(A + PAGE + 3 * MIB), 2);
    assert_int_equal(touch(A + PAGE + 3 * MIB + 2 * PAGE, VM_READ), E_FAULT);
    vm_free(space, segment);
    fixture_end();
}

/* From one table to a lower place in it: what is made for the target must outlive what goes from the source. */
static void move_down(enum page_size size)
{
    size_t half = 256 * page_bytes(size); /* of what a table of such pages maps */
    struct vm_segment *segment;

    fixture_start(RAM);
    segment = must_alloc(&vm_anon, A + 3 * half, 3 * half, VM_RW | VM_PAGES_4K * (size + 1));
    must_write(A + 5 * half, 42);
    assert_int_equal(vm_segment_statistics(space, segment).resident[size], 1);
    assert_int_equal(vm_move(space, segment, A, 3 * half), E_SUCCESS);
    fixture_check();
    assert_int_equal(must_read(A + 2 * half), 42);
    assert_int_equal(vm_segment_statistics(space, segment).resident[size], 1);
    vm_free(space, segment);
    fixture_end();
}

static void test_move_down_4k(void **state)
{
    (void)state;
    move_down(PAGE_4K);
}

static void test_move_down_2m(void **state)
{
    (void)state;
    move_down(PAGE_2M);
}

/* The segment at the root of a slot's tree leaves the others there. */
static void test_move_takes_no_neighbour_along(void **state)
{
    struct vm_segment *segments[8], *root, *neighbour;
    vaddr_t new;

    (void)state;
    fixture_start(RAM);
    for (size_t i = 0; i < ARRAY_LENGTH(segments); i++)
        segments[i] = must_alloc(&vm_anon, A + i * 16 * PAGE, PAGE, VM_RW);
    root = slot_root(slot_of(space, A));
    assert_true(root->child[0] || root->child[1]);
    assert_int_equal(vm_move(space, root, VM_ANYWHERE, PAGE), E_SUCCESS);
    assert_null(root->child[0]);
    assert_null(root->child[1]);
    new = vm_start(root);
    neighbour = must_alloc(&vm_anon, new + 2 * PAGE, PAGE, VM_RW);
    for (size_t i = 0; i < ARRAY_LENGTH(segments); i++) {
        if (segments[i] == root)
            continue;
        assert_ptr_equal(vm_find(space, A + i * 16 * PAGE), segments[i]);
        vm_free(space, segments[i]);
    }
    fixture_check();
    assert_ptr_equal(vm_find(space, new), root);
    assert_ptr_equal(vm_find(space, new + 2 * PAGE), neighbour);
    vm_free(space, root);
    vm_free(space, neighbour);
    fixture_end();
}

/* In a slot that the segment is alone in it goes to and fro, but not over itself and not beyond. */
static void test_move_within_its_slot(void **state)
{
    struct vm_segment *segment;
    size_t size = 3 * MIB, slot = 64 * MIB;
    vaddr_t start;

    (void)state;
    fixture_start(RAM);
    segment = must_alloc(&vm_anon, VM_ANYWHERE, size, VM_RW);
    start = vm_start(segment);
    must_write(start, 1);
    must_write(start + size - PAGE, 2);
    for (vaddr_t to = start + size + PAGE; to < start + 4 * size; to += PAGE + MIB / 2) {
        vaddr_t from = vm_start(segment);

        assert_int_equal(vm_move(space, segment, from + size - PAGE, size), E_NOMEM);
        assert_int_equal(vm_move(space, segment, from - PAGE, 2 * PAGE), E_NOMEM);
        assert_int_equal(vm_move(space, segment, start + slot - size + PAGE, size), E_NOMEM);
        assert_int_equal(vm_start(segment), from);
        if (to - from < size)
            continue;
        assert_int_equal(vm_move(space, segment, to, size), E_SUCCESS);
        assert_ptr_equal(vm_find(space, to + size - PAGE), segment);
        assert_null(vm_find(space, to - PAGE));
        assert_null(vm_find(space, from));
        fixture_check();
    }
    assert_int_equal(vm_move(space, segment, start, size), E_SUCCESS);
    assert_int_equal(must_read(start), 1);
    assert_int_equal(must_read(start + size - PAGE), 2);
    assert_true(segment_has_room(segment, slot));
    assert_false(segment_has_room(segment, slot + PAGE));
    assert_int_equal(vm_resize(space, segment, slot), E_SUCCESS);
    fixture_check();
    vm_free(space, segment);
    fixture_end();
}

/* What lies beside the old place, and the new one, in the same 2 MiB. */
struct beside {
    bool old_touched, new_touched;
    bool whole; /* the table goes along with the entry that points to it: no other is taken */
};

static void move_beside(const struct beside *c)
{
    struct vm_segment *segment, *old, *new;
    vaddr_t to = A + 8 * MIB;

    segment = must_alloc(&vm_anon, A + PAGE, MIB, VM_RW | VM_PAGES_4K);
    old = must_alloc(&vm_anon, A + MIB + PAGE, 2 * PAGE, VM_RW | VM_PAGES_4K);
    new = must_alloc(&vm_anon, to, PAGE, VM_RW | VM_PAGES_4K);
    for (size_t offset = 0; offset < MIB; offset += PAGE)
        must_write(A + PAGE + offset, 1 + offset / PAGE);
    if (c->old_touched)
        must_write(A + MIB + 2 * PAGE, 1001);
    if (c->new_touched)
        must_write(to, 1002);
    uint64_t *entry = mmu_find_directory(&space->mmu, A);
    paddr_t table = *entry & PTE_ADDRESS;

    assert_int_equal(vm_move(space, segment, to + PAGE, MIB), E_SUCCESS);
    assert_null(fake_tlb_stale());
    fixture_check();
    entry = mmu_find_directory(&space->mmu, to);
    assert_int_equal((*entry & PTE_ADDRESS) == table, c->whole);
    for (size_t offset = 0; offset < MIB; offset += PAGE)
        assert_int_equal(must_read(to + PAGE + offset), 1 + offset / PAGE);
    assert_int_equal(must_read(A + MIB + 2 * PAGE), c->old_touched ? 1001 : 0);
    assert_int_equal(must_read(to), c->new_touched ? 1002 : 0);
    assert_int_equal(touch(A + PAGE, VM_READ), E_FAULT);
    vm_free(space, segment);
    vm_free(space, old);
    vm_free(space, new);
}

static void test_move_takes_tables_of_its_own(void **state)
{
    static const struct beside cases[] = {
        {false, false, true}, {true, false, false}, {false, true, false}, {true, true, false}};

    (void)state;
    fixture_start(RAM);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        move_beside(&cases[i]);
    fixture_end();
}

/* The places share a table, or the tables at their ends. */
static void test_move_nearby(void **state)
{
    static const struct {
        size_t below, size;
    } cases[] = {{0, MIB}, {MIB, MIB}, {MIB, 3 * MIB / 2}, {MIB, 2 * MIB}, {2 * MIB - PAGE, 2 * PAGE}, {PAGE, 4 * MIB}};

    (void)state;
    fixture_start(RAM);
    for (size_t i = 0; i < 2 * ARRAY_LENGTH(cases); i++) {
        size_t size = cases[i / 2].size;
        vaddr_t low = A + cases[i / 2].below, high = low + align_up(size, 2 * MIB), from = i % 2 ? low : high;
        vaddr_t to = low + high - from;
        struct vm_segment *segment = must_alloc(&vm_anon, from, size, VM_RW | VM_PAGES_4K);

        for (size_t offset = 0; offset < size; offset += PAGE)
            must_write(from + offset, 1 + offset / PAGE);
        assert_int_equal(vm_move(space, segment, to, size), E_SUCCESS);
        assert_null(fake_tlb_stale());
        fixture_check();
        for (size_t offset = 0; offset < size; offset += PAGE)
            assert_int_equal(must_read(to + offset), 1 + offset / PAGE);
        vm_free(space, segment);
    }
    fixture_end();
}

/* VM_POPULATE holds for what a move adds, as it does for vm_resize. */
static void test_move_backs_the_growth(void **state)
{
    struct vm_segment *segment;
    size_t faults;

    (void)state;
    fixture_start(RAM);
    segment = must_alloc(&vm_anon, VM_ANYWHERE, MIB, VM_RW | VM_POPULATE | VM_PAGES_4K);
    must_write(vm_start(segment), 7);
    assert_int_equal(vm_move(space, segment, VM_ANYWHERE, 4 * MIB), E_SUCCESS);
    assert_int_equal(vm_segment_statistics(space, segment).resident[PAGE_4K], 4 * MIB / PAGE);
    faults = fake_faults();
    assert_int_equal(must_read(vm_start(segment)), 7);
    for (size_t offset = MIB; offset < 4 * MIB; offset += PAGE)
        assert_int_equal(must_read(vm_start(segment) + offset), 0);
    assert_int_equal(fake_faults(), faults);
    fixture_check();
    assert_int_equal(vm_move(space, segment, VM_ANYWHERE, 2 * RAM), E_NOMEM); /* more than there is */
    assert_int_equal(vm_size(segment), 4 * MIB);
    assert_int_equal(must_read(vm_start(segment)), 7);
    fixture_check();
    vm_free(space, segment);
    fixture_end();
}

static void test_move_refused(void **state)
{
    struct vm_segment *segment, *stack;
    struct trace before, after;

    (void)state;
    fixture_start(RAM);
    segment = must_alloc(&vm_anon, A, 4 * PAGE, VM_RW);
    must_alloc(&vm_guard, A + 16 * PAGE, PAGE, 0);
    stack = must_alloc(&vm_stack, VM_ANYWHERE, MIB, VM_RW);
    must_write(A, 9);
    trace_take(&before);
    assert_int_equal(vm_move(space, segment, VM_ANYWHERE, 0), E_INVAL);
    assert_int_equal(vm_move(space, segment, VM_ANYWHERE, PAGE + 1), E_INVAL);
    assert_int_equal(vm_move(space, segment, A + 1, PAGE), E_INVAL);
    assert_int_equal(vm_move(space, segment, A + 14 * PAGE, 4 * PAGE), E_NOMEM);
    assert_int_equal(vm_move(space, segment, A + 2 * PAGE, 4 * PAGE), E_NOMEM); /* over itself */
    assert_int_equal(vm_move(space, segment, LOW_HALF_END - PAGE, 2 * PAGE), E_NOMEM);
    assert_int_equal(vm_move(space, segment, VM_ANYWHERE, (size_t)1 << 45), E_NOMEM);
    assert_int_equal(vm_move(space, stack, VM_ANYWHERE, 2 * MIB), E_NOTSUP);
    trace_take(&after);
    trace_compare(&before, &after, "vm_move", 0);
    assert_int_equal(must_read(A), 9);
}

/* ---- advise ---- */

static void test_advise(void **state)
{
    struct vm_segment *segment;

    (void)state;
    fixture_start(RAM);
    segment = must_alloc(&vm_anon, A, 4 * MIB, VM_RW | VM_PAGES_2M);
    assert_int_equal(vm_advise(space, A, 4 * MIB, VM_ADVICE_WILLNEED), E_SUCCESS);
    assert_int_equal(vm_segment_statistics(space, segment).resident[PAGE_2M], 2);
    must_write(A, 1);
    must_write(A + 3 * MIB, 2);
    assert_int_equal(vm_advise(space, A + MIB, 2 * MIB + PAGE, VM_ADVICE_DONTNEED), E_SUCCESS);
    fixture_check();
    assert_int_equal(must_read(A), 1);
    assert_int_equal(must_read(A + 3 * MIB), 0);
    assert_int_equal(must_read(A + MIB), 0);
    assert_int_equal(vm_advise(space, A + MIB, MIB, VM_ADVICE_WILLNEED), E_SUCCESS);
    assert_int_equal(must_read(A), 1);
    fixture_check();
    /* Over a hole: all the rest is done. */
    must_alloc(&vm_anon, A + 8 * MIB, MIB, VM_RW);
    must_write(A + 8 * MIB, 3);
    assert_int_equal(vm_advise(space, A, 16 * MIB, VM_ADVICE_DONTNEED), E_NOMEM);
    assert_int_equal(must_read(A), 0);
    assert_int_equal(must_read(A + 8 * MIB), 0);
    assert_int_equal(vm_unmap(space, A, 16 * MIB), E_SUCCESS);
    assert_int_equal(vm_advise(space, A, PAGE, VM_ADVICE_WILLNEED), E_NOMEM);
    fixture_end();
}

static size_t resident(vaddr_t at, enum page_size size)
{
    return vm_segment_statistics(space, vm_find(space, at)).resident[size];
}

/* The contents may go until they are written to again, and go when frames are short. */
static void test_contents_given_up(void **state)
{
    size_t pages = 16 * MIB / PAGE, lost = 0;

    (void)state;
    fixture_start(RAM);
    must_alloc(&vm_anon, A, 16 * MIB, VM_RW | VM_PAGES_4K);
    for (size_t i = 0; i < pages; i++)
        must_write(A + i * PAGE, i + 1);
    must_read(A + PAGE); /* known to the CPU */
    assert_int_equal(vm_advise(space, A, 16 * MIB, VM_ADVICE_FREE), E_SUCCESS);
    fixture_check();
    assert_int_equal(resident(A, PAGE_4K), pages);
    for (size_t i = 0; i < pages; i++)
        assert_int_equal(must_read(A + i * PAGE), i + 1);
    for (size_t i = 0; i < pages; i += 7)
        must_write(A + i * PAGE, 1000000 + i);
    /* More than there is without them: faults take what was given up. */
    must_alloc(&vm_anon, A + GIB, 24 * MIB, VM_RW | VM_PAGES_4K);
    for (size_t i = 0; i < 24 * MIB / PAGE; i++)
        must_write(A + GIB + i * PAGE, i);
    fixture_check();
    assert_int_equal(resident(A, PAGE_4K), (pages + 6) / 7);
    for (size_t i = 0; i < pages; i += 7)
        assert_int_equal(must_read(A + i * PAGE), 1000000 + i);
    assert_int_equal(vm_unmap(space, A + GIB, 24 * MIB), E_SUCCESS);
    for (size_t i = 0; i < pages; i++)
        lost += must_read(A + i * PAGE) == 0;
    assert_int_equal(lost, pages - (pages + 6) / 7);
    assert_int_equal(vm_unmap(space, A, 16 * MIB), E_SUCCESS);
    assert_false(space_reclaim(space) && space_reclaim(space));
    fixture_end();
}

/* A stack that grows when there is no frame takes them too. */
static void test_stack_takes_contents_given_up(void **state)
{
    paddr_t frames[4 * MIB / PAGE];
    unsigned taken = 0;

    (void)state;
    fixture_start(4 * MIB);
    must_alloc(&vm_stack, A, MIB, VM_RW);
    must_write(A + MIB - PAGE, 1); /* its table is there */
    must_alloc(&vm_anon, A + GIB, 64 * MIB, VM_RW | VM_PAGES_4K);
    assert_int_equal(vm_advise(space, A + GIB, 64 * MIB, VM_ADVICE_WILLNEED), E_SUCCESS);
    assert_int_equal(vm_advise(space, A + GIB, 64 * MIB, VM_ADVICE_FREE), E_SUCCESS);
    while ((frames[taken] = vm_frame_get()) != FRAME_NONE)
        taken++;
    assert_int_equal(frames_free(), 0);
    for (size_t i = 2; i < 64; i++)
        must_write(A + MIB - i * PAGE, i);
    assert_int_equal(resident(A, PAGE_4K), 63);
    vm_frames_put(frames, taken);
    assert_int_equal(vm_unmap(space, A, 2 * GIB), E_SUCCESS);
    fixture_end();
}

/* Given up, then protected, moved and cut: what was written to stays, and what was not may go. */
static void test_contents_given_up_and_moved(void **state)
{
    (void)state;
    fixture_start(RAM);
    must_alloc(&vm_anon, A, 4 * MIB, VM_RW | VM_MERGE);
    for (size_t i = 0; i < 4 * MIB / PAGE; i++)
        must_write(A + i * PAGE, i + 1);
    assert_int_equal(vm_advise(space, A + PAGE, 3 * MIB, VM_ADVICE_FREE), E_SUCCESS);
    must_write(A + 2 * PAGE, 77);
    assert_int_equal(vm_protect(space, A + MIB, MIB, VM_READ), E_SUCCESS);
    assert_int_equal(vm_protect(space, A + MIB, MIB, VM_RW), E_SUCCESS);
    assert_int_equal(vm_move(space, vm_find(space, A), A + GIB, 4 * MIB), E_SUCCESS);
    fixture_check();
    assert_true(space_reclaim(space));
    fixture_check();
    assert_int_equal(must_read(A + GIB), 1);
    assert_int_equal(must_read(A + GIB + PAGE), 0);
    assert_int_equal(must_read(A + GIB + 2 * PAGE), 77);
    assert_int_equal(must_read(A + GIB + 3 * MIB + PAGE), 3 * MIB / PAGE + 2);
    assert_int_equal(vm_unmap(space, A + GIB, 4 * MIB), E_SUCCESS);
    fixture_end();
}

/* A large page that was cut, and whose parts are alike again, needs no frame to be one again. */
static void test_collapse_without_copying(void **state)
{
    (void)state;
    fixture_start(RAM);
    must_alloc(&vm_anon, A, 2 * MIB, VM_RW | VM_PAGES_2M | VM_MERGE);
    must_write(A + MIB, 5);
    assert_int_equal(resident(A, PAGE_2M), 1);
    assert_int_equal(vm_protect(space, A + PAGE, PAGE, VM_READ), E_SUCCESS);
    assert_int_equal(vm_protect(space, A + PAGE, PAGE, VM_RW), E_SUCCESS);
    assert_int_equal(resident(A, PAGE_4K), 512);
    fixture_inject(0);
    assert_int_equal(vm_collapse(space, A, 2 * MIB), E_SUCCESS);
    assert_false(fixture_inject_end());
    assert_int_equal(resident(A, PAGE_2M), 1);
    fixture_check();
    assert_int_equal(must_read(A + MIB), 5);
    assert_int_equal(vm_unmap(space, A, 2 * MIB), E_SUCCESS);
    fixture_end();
}

static void test_collapse(void **state)
{
    struct vm_segment *segment;

    (void)state;
    fixture_start(RAM);
    segment = must_alloc(&vm_anon, A, 6 * MIB, VM_RW | VM_PAGES_2M);
    assert_int_equal(vm_mark(space, A, 6 * MIB, VM_PAGES, VM_PAGES_4K), E_SUCCESS);
    for (size_t offset = 0; offset < 4 * MIB; offset += 3 * PAGE)
        must_write(A + offset, offset);
    assert_int_equal(vm_collapse(space, A, 6 * MIB), E_INVAL); /* small pages were asked for */
    assert_int_equal(vm_mark(space, A, 6 * MIB, VM_PAGES, VM_PAGES_2M), E_SUCCESS);
    fixture_inject(0);
    assert_int_equal(vm_collapse(space, A, 6 * MIB), E_NOMEM);
    assert_true(fixture_inject_end());
    assert_int_equal(resident(A, PAGE_2M), 0);
    assert_int_equal(vm_collapse(space, A + PAGE, 6 * MIB - PAGE), E_SUCCESS);
    fixture_check();
    assert_int_equal(resident(A, PAGE_2M), 2); /* the first block was not all inside */
    assert_int_equal(vm_collapse(space, A, 6 * MIB), E_SUCCESS);
    fixture_check();
    assert_int_equal(resident(A, PAGE_2M), 3);
    assert_int_equal(resident(A, PAGE_4K), 0);
    for (size_t offset = 0; offset < 6 * MIB; offset += PAGE)
        assert_int_equal(must_read(A + offset), offset < 4 * MIB && offset % (3 * PAGE) == 0 ? offset : 0);
    assert_int_equal(vm_collapse(space, A, 6 * MIB), E_SUCCESS);
    assert_int_equal(vm_collapse(space, A, 7 * MIB), E_INVAL);
    assert_int_equal(vm_collapse(space, A + 6 * MIB, MIB), E_INVAL);
    vm_free(space, segment);
    fixture_end();
}

static void test_marks(void **state)
{
    struct trace before, after;

    (void)state;
    fixture_start(RAM);
    must_alloc(&vm_anon, A, 8 * PAGE, VM_RW | VM_MERGE | VM_MARK(0));
    must_write(A + 3 * PAGE, 1);
    trace_take(&before);
    for (long nth = 0;; nth++) { /* a part in the middle: two cuts */
        fixture_inject(nth);
        error_t error = vm_mark(space, A + 2 * PAGE, 4 * PAGE, VM_MARK(0), VM_MARK(3));
        bool reached = fixture_inject_end();

        if (!error)
            break;
        assert_true(reached);
        assert_int_equal(error, E_NOMEM);
        trace_take(&after);
        trace_compare(&before, &after, "marking", nth);
    }
    assert_int_equal(vm_flags(vm_find(space, A)) & VM_MARKS, VM_MARK(0));
    assert_int_equal(vm_flags(vm_find(space, A + 2 * PAGE)) & VM_MARKS, VM_MARK(3));
    assert_int_equal(vm_size(vm_find(space, A + 2 * PAGE)), 4 * PAGE);
    assert_int_equal(vm_protect(space, A, 8 * PAGE, VM_READ), E_SUCCESS); /* merges nothing that is marked otherwise */
    assert_int_equal(vm_size(vm_find(space, A)), 2 * PAGE);
    assert_int_equal(vm_protect(space, A, 8 * PAGE, VM_RW), E_SUCCESS);
    fixture_check();
    assert_int_equal(vm_mark(space, A, 9 * PAGE, VM_MARKS, 0), E_NOMEM); /* a hole at the end */
    assert_int_equal(vm_mark(space, A, PAGE, VM_WRITE, 0), E_INVAL);
    assert_int_equal(vm_mark(space, A + 1, PAGE, VM_MARKS, 0), E_INVAL);
    assert_int_equal(vm_mark(space, A, 8 * PAGE, VM_MARKS, VM_MARK(0)), E_SUCCESS);
    trace_take(&after);
    trace_compare(&before, &after, "marking and back", 0);
    assert_int_equal(must_read(A + 3 * PAGE), 1);
    assert_int_equal(vm_unmap(space, A, 8 * PAGE), E_SUCCESS);
    fixture_end();
}

static void test_populate(void **state)
{
    size_t faults;

    (void)state;
    fixture_start(RAM);
    must_alloc(&vm_anon, A, 8 * PAGE, VM_RW | VM_PAGES_4K);
    must_alloc(&vm_anon, A + 8 * PAGE, 2 * PAGE, VM_READ | VM_PAGES_4K);
    faults = fake_faults();
    assert_int_equal(vm_populate(space, A + PAGE, 4 * PAGE, VM_WRITE), E_SUCCESS);
    assert_int_equal(resident(A, PAGE_4K), 4);
    assert_int_equal(vm_faults(space), 4);
    assert_int_equal(vm_populate(space, A, 10 * PAGE, VM_WRITE), E_ACCES); /* what came before is backed */
    assert_int_equal(resident(A, PAGE_4K), 8);
    assert_int_equal(vm_populate(space, A, 11 * PAGE, VM_READ), E_FAULT);
    assert_int_equal(resident(A + 8 * PAGE, PAGE_4K), 2);
    for (size_t i = 0; i < 10; i++)
        must_read(A + i * PAGE);
    assert_int_equal(fake_faults(), faults);
    assert_int_equal(vm_faults(space), 10);
    assert_int_equal(vm_unmap(space, A, 10 * PAGE), E_SUCCESS);
    assert_int_equal(vm_faults(space), 10); /* of segments that are gone, too */
    fixture_end();
}

/* Touches in order back ahead; what is populated behind them is what was asked for. */
static void test_populate_behind_touches(void **state)
{
    size_t backed;

    (void)state;
    fixture_start(RAM);
    must_alloc(&vm_anon, A, 4 * MIB, VM_RW | VM_PAGES_4K);
    for (size_t i = 0; i < 100; i++)
        must_write(A + i * PAGE, 1);
    backed = resident(A, PAGE_4K);
    assert_true(backed > 100 && backed < 512);
    assert_int_equal(vm_populate(space, A + backed * PAGE, PAGE, VM_WRITE), E_SUCCESS);
    assert_int_equal(resident(A, PAGE_4K), backed + 1);
    assert_int_equal(vm_populate(space, A + backed * PAGE, 2 * MIB, VM_WRITE), E_SUCCESS); /* into a second table */
    assert_int_equal(resident(A, PAGE_4K), backed + 512);
    must_write(A + (backed + 512) * PAGE, 1);
    assert_int_equal(resident(A, PAGE_4K), backed + 513);
    assert_int_equal(vm_unmap(space, A, 4 * MIB), E_SUCCESS);
    fixture_end();
}

/* What was moved merges with what came along, not with what it meets. */
static void test_moved_pages_and_neighbours(void **state)
{
    struct vm_segment *segment, *second;

    (void)state;
    fixture_start(RAM);
    segment = must_alloc(&vm_anon, A, 4 * PAGE, VM_RW | VM_MERGE);
    must_write(A, 1);
    second = vm_copy(space, segment, A, A + 16 * PAGE, 2 * PAGE, true);
    assert_false(IS_ERR(second));
    assert_int_equal(must_read(A + 16 * PAGE), 1);
    assert_int_equal(must_read(A), 0); /* as never touched */
    must_alloc(&vm_anon, A + 18 * PAGE, PAGE, VM_RW | VM_MERGE);
    vm_merge(space, A + 18 * PAGE);
    assert_int_equal(vm_size(vm_find(space, A + 16 * PAGE)), 2 * PAGE);
    assert_int_equal(vm_move(space, vm_find(space, A + 18 * PAGE), A + 20 * PAGE, PAGE), E_SUCCESS);
    must_alloc(&vm_anon, A + 21 * PAGE, PAGE, VM_RW | VM_MERGE);
    vm_merge(space, A + 21 * PAGE); /* an untouched one is at home anywhere */
    assert_int_equal(vm_size(vm_find(space, A + 20 * PAGE)), 2 * PAGE);
    fixture_check();
    assert_error(vm_copy(space, segment, A, A + 32 * PAGE, 5 * PAGE, true), E_INVAL);
    assert_error(vm_copy(space, segment, A + 4 * PAGE, A + 32 * PAGE, PAGE, false), E_INVAL);
    assert_error(vm_copy(space, segment, A, A + 16 * PAGE, PAGE, true), E_NOMEM);
    assert_int_equal(vm_unmap(space, A, 64 * PAGE), E_SUCCESS);
    fixture_end();
}

static void test_willneed_backs_as_far_as_frames_allow(void **state)
{
    struct vm_segment *segment;

    (void)state;
    fixture_start(4 * MIB);
    segment = must_alloc(&vm_anon, A, 64 * MIB, VM_RW);
    assert_int_equal(vm_advise(space, A, 64 * MIB, VM_ADVICE_WILLNEED), E_SUCCESS);
    fixture_check();
    assert_true(vm_segment_statistics(space, segment).resident[PAGE_4K] +
                    512 * vm_segment_statistics(space, segment).resident[PAGE_2M] >
                512);
    vm_free(space, segment);
    fixture_end();
}

/* ---- cost ---- */

/* Tables that an operation on one page of a segment enters. */
static size_t work_of(void (*operation)(struct vm_segment *), struct vm_segment *segment)
{
    size_t before = fake_lookups();

    operation(segment);
    return fake_lookups() - before;
}

static void drop_a_page(struct vm_segment *segment)
{
    assert_int_equal(vm_advise(space, vm_start(segment) + PAGE, PAGE, VM_ADVICE_DONTNEED), E_SUCCESS);
}

static void protect_a_page(struct vm_segment *segment)
{
    vaddr_t page = vm_start(segment) + vm_size(segment) / 2;

    assert_int_equal(vm_protect(space, page, PAGE, VM_READ), E_SUCCESS);
    assert_int_equal(vm_protect(space, page, PAGE, VM_RW), E_SUCCESS);
}

static void shrink_by_a_page(struct vm_segment *segment)
{
    assert_int_equal(vm_resize(space, segment, vm_size(segment) - PAGE), E_SUCCESS);
}

static void unmap_the_last_page(struct vm_segment *segment)
{
    assert_int_equal(vm_unmap(space, vm_start(segment) + vm_size(segment) - PAGE, PAGE), E_SUCCESS);
}

static void (*const on_one_page[])(struct vm_segment *) = {drop_a_page, protect_a_page, shrink_by_a_page,
                                                           unmap_the_last_page};

/* What is done to one page does not cost more where many others are resident. */
static void test_cost_of_one_page(void **state)
{
    vm_flags_t flags = VM_RW | VM_PAGES_4K | VM_POPULATE | VM_NOZERO;
    struct vm_segment *small, *large;

    (void)state;
    fixture_start(300 * MIB);
    small = must_alloc(&vm_anon, A, MIB, flags);
    large = must_alloc(&vm_anon, A + GIB, 256 * MIB, flags);
    assert_int_equal(vm_segment_statistics(space, large).resident[PAGE_4K], 256 * MIB / PAGE);
    for (size_t i = 0; i < ARRAY_LENGTH(on_one_page); i++) {
        size_t few = work_of(on_one_page[i], small), many = work_of(on_one_page[i], large);

        if (many > 2 * few + 8)
            fail_msg("operation %zu: %zu tables with 1 MiB resident, %zu with 256 MiB", i, few, many);
    }
    fixture_check();
    vm_free(space, small);
    vm_free(space, large);
    fixture_end();
}

/* ---- statistics, dump, drivers, policy ---- */

static void test_statistics(void **state)
{
    struct vm_segment *segment;
    struct vm_statistics s;

    (void)state;
    fixture_start(RAM);
    segment = must_alloc(&vm_anon, A, 2 * MIB + 2 * PAGE, VM_RW | VM_PAGES_2M);
    must_write(A, 1);
    must_write(A + MIB, 1); /* same page */
    must_write(A + 2 * MIB, 1);
    assert_int_equal(touch(A, VM_EXEC), E_ACCES);
    s = vm_segment_statistics(space, segment);
    assert_int_equal(s.faults[PAGE_2M], 1);
    assert_int_equal(s.faults[PAGE_4K], 1);
    assert_int_equal(s.faults[PAGE_1G], 0);
    assert_int_equal(s.faults_refused, 1);
    assert_int_equal(s.resident[PAGE_2M], 1);
    assert_int_equal(s.resident[PAGE_4K], 1);
    assert_int_equal(s.segments, 1);
    assert_int_equal(s.fallbacks, 0);
    s = vm_driver_statistics(space, &vm_anon);
    assert_int_equal(s.segments, 1);
    assert_int_equal(s.faults[PAGE_4K] + s.faults[PAGE_2M], 2);
    vm_free(space, segment);
    /* Faults of segments that are gone stay, residents do not. */
    s = vm_driver_statistics(space, &vm_anon);
    assert_int_equal(s.faults[PAGE_4K] + s.faults[PAGE_2M], 2);
    assert_int_equal(s.faults_refused, 1);
    assert_int_equal(s.resident[PAGE_4K] + s.resident[PAGE_2M], 0);
    assert_int_equal(s.segments, 0);
    segment = must_alloc(&vm_anon, A, PAGE, VM_RW);
    must_write(A, 1);
    s = vm_driver_statistics(space, &vm_anon);
    assert_int_equal(s.faults[PAGE_4K] + s.faults[PAGE_2M], 3);
    assert_int_equal(s.segments, 1);
    assert_int_equal(vm_driver_statistics(space, &vm_stack).segments, 0);
    vm_free(space, segment);
    fixture_end();
}

/* Splitting and merging neither loses nor doubles what was counted. */
static void test_statistics_of_pieces(void **state)
{
    struct vm_statistics s;

    (void)state;
    fixture_start(RAM);
    must_alloc(&vm_anon, A, 8 * PAGE, VM_RW | VM_PAGES_4K);
    for (size_t i = 0; i < 8; i++)
        must_write(A + i * PAGE, i);
    assert_int_equal(vm_protect(space, A + 2 * PAGE, 4 * PAGE, VM_READ), E_SUCCESS);
    s = vm_driver_statistics(space, &vm_anon);
    assert_int_equal(s.faults[PAGE_4K], 5); /* in order: three, a window of four, and the last */
    assert_int_equal(s.resident[PAGE_4K], 8);
    assert_int_equal(s.segments, 3);
    assert_int_equal(vm_protect(space, A + 2 * PAGE, 4 * PAGE, VM_RW), E_SUCCESS);
    s = vm_driver_statistics(space, &vm_anon);
    assert_int_equal(s.faults[PAGE_4K], 5);
    assert_int_equal(s.resident[PAGE_4K], 8);
    assert_int_equal(vm_unmap(space, A, 8 * PAGE), E_SUCCESS);
    assert_int_equal(vm_driver_statistics(space, &vm_anon).faults[PAGE_4K], 5);
    fixture_end();
}

static void test_dump(void **state)
{
    struct trace trace;
    const char *console;
    char *lines;

    (void)state;
    fixture_start(RAM);
    must_alloc(&vm_guard, A + GIB, PAGE, 0);
    must_alloc(&vm_anon, A, 2 * PAGE, VM_RW);
    must_alloc_at(&vm_phys, 3 * GIB, PAGE, VM_RW | VM_CACHE_UC);
    trace_take(&trace);
    assert_int_equal(trace.segments, 3);
    lines = trace.map;
    assert_non_null(strstr(lines, "anon"));
    assert_true(strstr(lines, "anon") < strstr(lines, "guard")); /* in address order */
    assert_true(strstr(lines, "guard") < strstr(lines, "phys"));
    fake_console();
    vm_dump(space, NULL, NULL);
    console = fake_console();
    assert_int_equal(strncmp(console, trace.map, 40), 0); /* the same lines, ended */
    assert_int_equal(console[strlen(console) - 1], '\n');
}

static struct vm_segment *some_alloc(struct address_space *in, vaddr_t start, size_t size, vm_flags_t flags);

static error_t some_fault(struct address_space *in, struct vm_segment *segment)
{
    (void)in, (void)segment;
    return E_FAULT;
}

static const struct vm_segment_driver some_driver = {
    .vm_alloc = some_alloc, .vm_fault = some_fault, .vm_free = vm_segment_destroy, .name = "some"};

static struct vm_segment *some_alloc(struct address_space *in, vaddr_t start, size_t size, vm_flags_t flags)
{
    return vm_segment_create(in, &some_driver, start, size, flags);
}

static void test_registering(void **state)
{
    static const char *const names[] = {"anon", "heap", "phys", "stack", "image", "guard"};
    static struct vm_segment_driver bad;

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        assert_non_null(vm_driver(names[i]));
        assert_string_equal(vm_driver(names[i])->name, names[i]);
    }
    assert_ptr_equal(vm_driver("anon"), &vm_anon);
    assert_null(vm_driver("some"));
    assert_null(vm_driver(""));
    assert_null(vm_driver("ano"));
    assert_int_equal(vm_driver_register(&some_driver), E_SUCCESS);
    assert_ptr_equal(vm_driver("some"), &some_driver);
    assert_int_equal(vm_driver_register(&some_driver), E_EXIST);
    bad = some_driver;
    bad.name = "anon";
    assert_int_equal(vm_driver_register(&bad), E_EXIST);
    bad.name = NULL;
    assert_int_equal(vm_driver_register(&bad), E_INVAL);
    bad.name = "";
    assert_int_equal(vm_driver_register(&bad), E_INVAL);
    bad.name = "bad";
    bad.vm_fault = NULL;
    assert_int_equal(vm_driver_register(&bad), E_INVAL);
    bad.vm_fault = some_fault;
    bad.vm_alloc = NULL;
    assert_int_equal(vm_driver_register(&bad), E_INVAL);
    assert_int_equal(vm_driver_register(NULL), E_INVAL);
    assert_null(vm_driver("bad"));
}

/* ---- windows ---- */

#define WINDOW_PAGES 1500u

/* What touches back: a run of touches in order, windows by its length, and where they end (vm/backing.c). */
static struct {
    vaddr_t start;
    bool backed[WINDOW_PAGES];
    size_t next, run, events, pages;
} windows;

static bool has_table(size_t page)
{
    size_t first = windows.start / PAGE, block = (first + page) / 512;

    for (size_t i = 0; i < WINDOW_PAGES; i++) {
        if ((first + i) / 512 == block && windows.backed[i])
            return true;
    }
    return false;
}

static void model_touch(size_t page)
{
    static const size_t sizes[] = {512, 64, 16, 4, 1};
    size_t window = 1, done = 0;

    if (windows.backed[page])
        return;
    for (size_t i = 0; page == windows.next && has_table(page) && i < ARRAY_LENGTH(sizes) && window == 1; i++)
        window = sizes[i] <= windows.run + 1 ? sizes[i] : 1;
    while (done < window && page + done < WINDOW_PAGES && !windows.backed[page + done] &&
           (done == 0 || (windows.start / PAGE + page + done) % 512 != 0))
        windows.backed[page + done++] = true;
    windows.run = page == windows.next ? windows.run + done : done;
    windows.next = page + done;
    windows.pages += done;
    windows.events++;
}

static void touch_both(size_t page)
{
    model_touch(page);
    must_write(windows.start + page * PAGE, page);
}

static void assert_windows(const struct vm_segment *segment)
{
    assert_int_equal(vm_segment_statistics(space, segment).resident[PAGE_4K], windows.pages);
    assert_int_equal(vm_segment_statistics(space, segment).faults[PAGE_4K], windows.events);
    for (size_t i = 0; i < WINDOW_PAGES; i++)
        assert_int_equal(mmu_query(&space->mmu, windows.start + i * PAGE, NULL), windows.backed[i]);
}

/* Each at addresses of its own: tables that were emptied may still be there. */
static struct vm_segment *start_windows(unsigned number)
{
    memset(&windows, 0, sizeof(windows));
    windows.start = A + 100 * PAGE + number * 16 * MIB;
    windows.next = WINDOW_PAGES;
    return must_alloc(&vm_anon, windows.start, WINDOW_PAGES * PAGE, VM_RW | VM_PAGES_4K);
}

/* In order: few faults, never more than twice what was touched, all of it zeros. */
static void test_windows_in_order(void **state)
{
    struct vm_segment *segment;

    (void)state;
    fixture_start(RAM);
    segment = start_windows(0);
    for (size_t page = 0; page < WINDOW_PAGES; page++) {
        touch_both(page);
        assert_true(windows.pages <= 2 * (page + 1));
    }
    assert_windows(segment);
    assert_true(windows.events < 40);
    for (size_t page = 0; page < WINDOW_PAGES; page++)
        assert_int_equal(must_read(windows.start + page * PAGE), page);
    vm_free(space, segment);
    fixture_end();
}

static void test_windows_of_any_touches(void **state)
{
    struct random random = {harness_seed()};
    struct vm_segment *segment;

    (void)state;
    fixture_start(RAM);
    for (unsigned round = 0; round < 20; round++) {
        segment = start_windows(round);
        for (unsigned step = 0; step < 40; step++) {
            size_t page = random_below(&random, WINDOW_PAGES), count = 1 + random_below(&random, 100);

            for (; count > 0 && page < WINDOW_PAGES; count--, page += random_below(&random, 50) ? 1 : 2)
                touch_both(page);
            if (step % 8 == 7)
                assert_windows(segment);
        }
        vm_free(space, segment);
    }
    fixture_end();
}

/* What a run has backed comes back at once after it was dropped as a whole, up to 64 pages; anything else page by page.
 */
static void test_windows_after_dropping(void **state)
{
    static const struct {
        size_t touched, first, count, back;
    } cases[] = {
        {31, 0, 31, 31},    /* all of a run: 1, 1, 1, 4, 4, 4, 16 */
        {31, 16, 15, 15},   /* its end */
        {31, 0, 16, 1},     /* its beginning */
        {31, 0, 64, 1},     /* more than there was */
        {31, 1, 31, 1},     /* shifted */
        {2, 0, 2, 2},       /* too short for windows */
        {191, 0, 191, 64},  /* larger than what is expected */
        {191, 91, 100, 64}, /* its end */
    };

    (void)state;
    fixture_start(RAM);
    for (unsigned i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct vm_segment *segment = start_windows(i);
        vaddr_t first = windows.start + cases[i].first * PAGE;
        size_t before;

        must_write(windows.start + 411 * PAGE, 1); /* the table stays in use */
        for (size_t page = 0; page < cases[i].touched; page++)
            must_write(windows.start + page * PAGE, page + 1);
        for (unsigned again = 0; again < 2; again++) {
            assert_int_equal(vm_advise(space, first, cases[i].count * PAGE, VM_ADVICE_DONTNEED), E_SUCCESS);
            before = vm_segment_statistics(space, segment).resident[PAGE_4K];
            must_write(first, 1);
            assert_int_equal(vm_segment_statistics(space, segment).resident[PAGE_4K], before + cases[i].back);
            if (cases[i].count > 1 && cases[i].back > 1)
                assert_int_equal(must_read(first + PAGE), 0);
            if (cases[i].back != cases[i].count)
                break;
        }
        /* What lies before something that was dropped is not expected for that. */
        assert_int_equal(vm_advise(space, first, cases[i].count * PAGE, VM_ADVICE_DONTNEED), E_SUCCESS);
        if (cases[i].first == 16) {
            assert_int_equal(vm_advise(space, first - 15 * PAGE, 15 * PAGE, VM_ADVICE_DONTNEED), E_SUCCESS);
            before = vm_segment_statistics(space, segment).resident[PAGE_4K];
            must_write(first - 15 * PAGE, 1);
            assert_int_equal(vm_segment_statistics(space, segment).resident[PAGE_4K], before + 1);
        }
        vm_free(space, segment);
    }
    fixture_end();
}

/* Frames that end in the middle of a window end it; the next touch without one is refused, and works again later. */
static void test_windows_without_frames(void **state)
{
    static paddr_t taken[RAM / PAGE + 256];
    struct vm_segment *segment;
    size_t count = 0, backed;

    (void)state;
    fixture_start(RAM);
    segment = start_windows(0);
    for (size_t page = 0; page < 70; page++)
        touch_both(page);
    while ((taken[count] = frame_get(PAGE_4K)) != FRAME_NONE)
        count++;
    for (unsigned i = 0; i < 10; i++)
        frame_put(taken[--count], PAGE_4K);
    while (windows.backed[windows.next])
        windows.next++;
    assert_int_equal(touch(windows.start + windows.next * PAGE, VM_WRITE), E_SUCCESS);
    backed = vm_segment_statistics(space, segment).resident[PAGE_4K];
    assert_int_equal(backed, windows.pages + 10);
    assert_int_equal(touch(windows.start + (windows.next + 10) * PAGE, VM_WRITE), E_NOMEM);
    assert_int_equal(vm_segment_statistics(space, segment).faults_refused, 1);
    assert_int_equal(vm_segment_statistics(space, segment).resident[PAGE_4K], backed);
    fixture_check();
    while (count > 0)
        frame_put(taken[--count], PAGE_4K);
    must_write(windows.start + (windows.next + 10) * PAGE, 1);
    vm_free(space, segment);
    fixture_end();
}

static void test_page_policy(void **state)
{
    struct vm_segment *segment;

    (void)state;
    fixture_start(RAM);
    for (unsigned policy = PAGE_4K; policy <= PAGE_2M; policy++) {
        vm_set_page_policy(policy);
        assert_int_equal(vm_page_policy(), policy);
        segment = must_alloc(&vm_anon, A, 2 * MIB, VM_RW);
        must_write(A, 1);
        assert_int_equal(vm_segment_statistics(space, segment).resident[policy], 1);
        vm_free(space, segment);
        segment = must_alloc(&vm_anon, A, 2 * MIB, VM_RW | VM_PAGES_4K); /* a segment's own wish counts more */
        must_write(A, 1);
        assert_int_equal(vm_segment_statistics(space, segment).resident[PAGE_4K], 1);
        vm_free(space, segment);
    }
    fake_cpu_features(PAGE_2M, 40);
    vm_set_page_policy(PAGE_1G);
    assert_int_equal(vm_page_policy(), PAGE_2M); /* what the CPU has */
    fixture_end();
}

/* ---- pointers ---- */

static struct vm_segment *dead;

static void free_it(void *segment)
{
    vm_free(space, segment);
}

static void resize_it(void *segment)
{
    vm_resize(space, segment, PAGE);
}

static void remove_it(void *segment)
{
    vm_resize(space, segment, 0);
}

static void split_it(void *segment)
{
    vm_split(space, segment, A + PAGE);
}

static void move_it(void *segment)
{
    vm_move(space, segment, VM_ANYWHERE, PAGE);
}

static void test_dead_and_foreign_pointers_panic(void **state)
{
    static void (*const operations[])(void *) = {free_it, resize_it, remove_it, split_it, move_it};
    static uint64_t foreign[64];
    struct vm_segment *alive, *image;
    void *bad[7];

    (void)state;
    fixture_start(RAM);
    alive = must_alloc(&vm_anon, A + GIB, 4 * PAGE, VM_RW);
    image = vm_image_add(space, "text", IMAGE_BASE, PAGE, VM_READ | VM_EXEC);
    dead = must_alloc(&vm_anon, A, 4 * PAGE, VM_RW);
    vm_free(space, dead);
    bad[0] = dead;
    bad[1] = NULL;
    bad[2] = foreign;
    bad[3] = (char *)alive + 8;
    bad[4] = (char *)alive + 1;
    bad[5] = ERR_PTR(E_NOMEM); /* errors that were not looked at */
    bad[6] = ERR_PTR(E_BUSY);
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        for (size_t k = 0; k < ARRAY_LENGTH(operations); k++) {
            if (!fake_panics(operations[k], bad[i]))
                fail_msg("pointer %zu, operation %zu: no panic", i, k);
            assert_true(fake_panic_text()[0] != '\0');
        }
    }
    assert_true(fake_panics(free_it, image));
    assert_true(fake_panics(remove_it, image));
    assert_false(fake_panics(free_it, alive));
}

/* ---- the address space ---- */

static void test_seed_moves_slots(void **state)
{
    vaddr_t starts[3];
    static struct address_space other;

    (void)state;
    fixture_start(RAM);
    for (size_t i = 0; i < 3; i++) {
        struct vm_segment *segment;

        assert_int_equal(vm_space_init(&other, 0, i < 2 ? 0 : 0x123456789abcdef), E_SUCCESS);
        segment = vm_alloc(&other, &vm_anon, VM_ANYWHERE, PAGE, VM_RW);
        assert_false(IS_ERR(segment));
        starts[i] = vm_start(segment);
        vm_space_destroy(&other); /* frees what is left */
    }
    assert_int_equal(starts[0], starts[1]);
    assert_int_not_equal(starts[0], starts[2]);
    fixture_end();
}

static void test_init_without_frames(void **state)
{
    static struct address_space other;
    size_t free_before;

    (void)state;
    fixture_start(RAM);
    frames_drain();
    free_before = frames_stats().free;
    frames_fail_nth(0);
    assert_int_equal(vm_space_init(&other, 0, 0), E_NOMEM);
    frames_drain();
    assert_int_equal(frames_stats().free, free_before);
    fixture_end();
}

static void test_taking_over_tables(void **state)
{
    static struct address_space other;
    struct mmu tables;
    size_t free_before;
    struct vm_segment *segment, *image;

    (void)state;
    fixture_start(RAM);
    frames_drain();
    free_before = frames_stats().free;
    assert_int_equal(mmu_init(&tables), E_SUCCESS);
    assert_int_equal(mmu_map(&tables, IMAGE_BASE, MIB, PAGE_4K, VM_READ | VM_EXEC), E_SUCCESS);
    assert_int_equal(vm_space_init(&other, tables.root, 0), E_SUCCESS);
    image = vm_image_add(&other, "text", IMAGE_BASE, PAGE, VM_READ | VM_EXEC);
    assert_false(IS_ERR(image));
    assert_int_equal(vm_segment_statistics(&other, image).resident[PAGE_4K], 1);
    segment = vm_alloc(&other, &vm_anon, VM_ANYWHERE, 64 * PAGE, VM_RW | VM_POPULATE);
    assert_false(IS_ERR(segment));
    assert_null(vm_validate(&other));
    vm_space_destroy(&other);
    assert_true(mmu_query(&tables, IMAGE_BASE, NULL)); /* the tables were not ours to take down */
    mmu_unmap(&tables, IMAGE_BASE, PAGE, false);
    mmu_destroy(&tables);
    frames_drain();
    assert_int_equal(frames_stats().free, free_before);
    fixture_end();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses_wait_for_an_epoch),
        cmocka_unit_test(test_tables_of_what_waits_go),
        cmocka_unit_test(test_single_page_comes_and_goes),
        cmocka_unit_test(test_addresses_that_wait_can_be_asked_for),
        cmocka_unit_test(test_what_is_flushed_at_once),
        cmocka_unit_test(test_epochs_at_random),
        cmocka_unit_test(test_bad_arguments),
        cmocka_unit_test(test_fixed_addresses_at_every_edge),
        cmocka_unit_test(test_lowest_and_highest_address),
        cmocka_unit_test(test_addresses_inside_slots_can_be_asked_for),
        cmocka_unit_test(test_slots_have_headroom),
        cmocka_unit_test(test_largest_segment),
        cmocka_unit_test(test_many_segments_of_40_gib),
        cmocka_unit_test(test_many_segments_of_4_gib),
        cmocka_unit_test(test_many_segments_of_1_gib),
        cmocka_unit_test(test_large_reservations),
        cmocka_unit_test(test_slots_are_reused),
        cmocka_unit_test(test_many_segments_in_random_order),
        cmocka_unit_test(test_trees_stay_shallow),
        cmocka_unit_test(test_failed_slot_tables_hide_nothing),
        cmocka_unit_test(test_next_of_addresses_that_are_none),
        cmocka_unit_test(test_find_and_next),
        cmocka_unit_test(test_faults_are_refused),
        cmocka_unit_test(test_fault_without_frames),
        cmocka_unit_test(test_resize),
        cmocka_unit_test(test_resize_cuts_large_pages),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_split_segments_stay_apart),
        cmocka_unit_test(test_protect_parts_and_merge_back),
        cmocka_unit_test(test_protect_several_segments),
        cmocka_unit_test(test_segments_whose_pointers_are_held_do_not_merge),
        cmocka_unit_test(test_held_segments_absorb_no_neighbour),
        cmocka_unit_test(test_ranges_of_size_0_change_nothing),
        cmocka_unit_test(test_protect_refused),
        cmocka_unit_test(test_unmap_several_segments_and_holes),
        cmocka_unit_test(test_unmap_the_middle),
        cmocka_unit_test(test_unmap_of_whole_segments_needs_no_frame),
        cmocka_unit_test(test_unmap_is_not_quadratic),
        cmocka_unit_test(test_permanent_segments),
        cmocka_unit_test(test_move),
        cmocka_unit_test(test_move_down_4k),
        cmocka_unit_test(test_move_down_2m),
        cmocka_unit_test(test_move_takes_no_neighbour_along),
        cmocka_unit_test(test_move_within_its_slot),
        cmocka_unit_test(test_move_takes_tables_of_its_own),
        cmocka_unit_test(test_move_nearby),
        cmocka_unit_test(test_move_backs_the_growth),
        cmocka_unit_test(test_move_refused),
        cmocka_unit_test(test_advise),
        cmocka_unit_test(test_contents_given_up),
        cmocka_unit_test(test_stack_takes_contents_given_up),
        cmocka_unit_test(test_contents_given_up_and_moved),
        cmocka_unit_test(test_collapse_without_copying),
        cmocka_unit_test(test_collapse),
        cmocka_unit_test(test_marks),
        cmocka_unit_test(test_populate),
        cmocka_unit_test(test_populate_behind_touches),
        cmocka_unit_test(test_moved_pages_and_neighbours),
        cmocka_unit_test(test_willneed_backs_as_far_as_frames_allow),
        cmocka_unit_test(test_cost_of_one_page),
        cmocka_unit_test(test_statistics),
        cmocka_unit_test(test_statistics_of_pieces),
        cmocka_unit_test(test_dump),
        cmocka_unit_test(test_registering),
        cmocka_unit_test(test_page_policy),
        cmocka_unit_test(test_windows_in_order),
        cmocka_unit_test(test_windows_of_any_touches),
        cmocka_unit_test(test_windows_after_dropping),
        cmocka_unit_test(test_windows_without_frames),
        cmocka_unit_test(test_dead_and_foreign_pointers_panic),
        cmocka_unit_test(test_seed_moves_slots),
        cmocka_unit_test(test_init_without_frames),
        cmocka_unit_test(test_taking_over_tables),
    };

    return harness_main(argc, argv, tests, ARRAY_LENGTH(tests));
}
