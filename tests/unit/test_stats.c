/* vm_stats, vm_resident and its peak, the counters of the frame allocator: exactly what was done. */
#include <string.h>

#include "fixture.h"
#include "harness.h"
#include "vm/object.h"

#define RAM (128 * MIB)
#define LARGE (page_bytes(PAGE_2M))

static int setup(void **state)
{
    (void)state;
    fixture_start(RAM);
    vm_set_page_policy(PAGE_2M);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fixture_end();
    return 0;
}

static void touch(struct vm_segment *segment, size_t offset, size_t size, size_t step)
{
    for (size_t i = 0; i < size; i += step)
        must_write(vm_start(segment) + offset + i, i);
}

/* Pages of each size and refused faults are counted once each, by who served them, also when their segment is gone. */
static void faults(void **state)
{
    struct vm_segment *small = must_alloc(&vm_anon, VM_ANYWHERE, MIB, VM_RW | VM_PAGES_4K);
    struct vm_segment *large = must_alloc(&vm_heap, VM_ANYWHERE, 8 * MIB, VM_RW);
    struct vm_segment *stack = must_alloc(&vm_stack, VM_ANYWHERE, MIB, VM_RW);
    struct vm_stats before = vm_stats(space), after;

    (void)state;
    touch(small, 0, 74 * VM_PAGE_SIZE, 2 * VM_PAGE_SIZE); /* not in order: each is a fault */
    touch(small, 0, 74 * VM_PAGE_SIZE, 2 * VM_PAGE_SIZE); /* again: no fault */
    touch(large, 0, 6 * MIB, LARGE);
    touch(stack, VM_STACK_GUARD, 5 * VM_PAGE_SIZE, VM_PAGE_SIZE);
    assert_int_equal(fake_touch(vm_start(stack), VM_WRITE, 0), E_FAULT);
    assert_int_equal(fake_touch(vm_start(small), VM_EXEC, 0), E_ACCES);
    for (int gone = 0; gone < 2; gone++) {
        after = vm_stats(space);
        assert_int_equal(after.faults[VM_FAULT_DEMAND][PAGE_4K] - before.faults[VM_FAULT_DEMAND][PAGE_4K], 42);
        assert_int_equal(after.faults[VM_FAULT_DEMAND][PAGE_2M] - before.faults[VM_FAULT_DEMAND][PAGE_2M], 3);
        assert_int_equal(after.faults_refused - before.faults_refused, 2);
        assert_int_equal(after.faults[VM_FAULT_FILE][PAGE_4K] + after.faults[VM_FAULT_PROGRAM][PAGE_4K], 0);
        assert_int_equal(after.segments, before.segments - (gone ? 3 : 0));
        if (!gone) {
            vm_free(space, small);
            vm_free(space, large);
            vm_free(space, stack);
        }
    }
    assert_int_equal(vm_faults(space), 45);
}

static struct vm_segment *own_alloc(struct address_space *in, vaddr_t start, size_t size, vm_flags_t flags)
{
    return vm_segment_create(in, vm_driver("own"), start, size, flags);
}

/* The first half in its own way, the second as anon does. */
static error_t own_fault(struct address_space *in, struct vm_segment *segment)
{
    vaddr_t page = align_down(vm_fault_info()->address, VM_PAGE_SIZE);

    if (vm_fault_info()->access == VM_WRITE)
        return E_ACCES;
    if (page - vm_start(segment) >= vm_size(segment) / 2)
        return vm_segment_back(in, segment, page);
    return vm_segment_map(in, segment, page, vm_frame_get(), PAGE_4K);
}

/* A fault is counted once, whichever way the program's driver serves it. */
static void driver_of_the_program(void **state)
{
    static const struct vm_segment_driver own = {
        .vm_alloc = own_alloc, .vm_free = vm_segment_free_owned, .vm_fault = own_fault, .name = "own"};
    struct vm_segment *segment;

    (void)state;
    assert_int_equal(vm_driver_register(&own), E_SUCCESS);
    segment = must_alloc(&own, VM_ANYWHERE, MIB, VM_RW | VM_PAGES_4K);
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(fake_touch(vm_start(segment) + i * VM_PAGE_SIZE, VM_READ, 0), E_SUCCESS);
        assert_int_equal(fake_touch(vm_start(segment) + MIB / 2 + i * VM_PAGE_SIZE, VM_READ, 0), E_SUCCESS);
    }
    assert_int_equal(fake_touch(vm_start(segment) + MIB - 1, VM_WRITE, 0), E_ACCES);
    struct vm_stats stats = vm_stats(space);

    assert_int_equal(stats.faults[VM_FAULT_PROGRAM][PAGE_4K], 14);
    assert_int_equal(stats.faults[VM_FAULT_PROGRAM][PAGE_2M], 0);
    assert_int_equal(stats.faults_refused, 1);
    vm_free(space, segment);
}

/* Falling back is counted where a large page could have been: once there is a small one, others are no longer. */
static void fallbacks(void **state)
{
    paddr_t taken[RAM / (2 * MIB)];
    size_t count = 0;

    (void)state;
    while (count < ARRAY_LENGTH(taken) && (taken[count] = frame_get(PAGE_2M)) != FRAME_NONE)
        count++;
    struct vm_segment *segment = must_alloc(&vm_anon, VM_ANYWHERE, 4 * MIB, VM_RW);

    touch(segment, 0, 3 * VM_PAGE_SIZE, VM_PAGE_SIZE);
    touch(segment, LARGE, VM_PAGE_SIZE, VM_PAGE_SIZE);
    assert_int_equal(vm_stats(space).fallbacks, 2);
    assert_int_equal(vm_stats(space).free_2m, 0);
    vm_free(space, segment);
    while (count > 0)
        frame_put(taken[--count], PAGE_2M);
}

static uint64_t sum(const uint64_t *bytes)
{
    return bytes[PAGE_4K] + bytes[PAGE_2M] + bytes[PAGE_1G];
}

static void assert_resident(uint64_t small, uint64_t large)
{
    struct vm_stats stats = vm_stats(space);

    assert_int_equal(stats.resident[PAGE_4K], small);
    assert_int_equal(stats.resident[PAGE_2M], large);
    assert_int_equal(sum(stats.resident), vm_resident(space));
}

/* By page size, through splits, moves, collapsing, and spans. */
static void resident(void **state)
{
    (void)state;
    assert_resident(0, 0);
    struct vm_segment *segment = must_alloc(&vm_anon, LOW_BASE, 8 * MIB, VM_RW);

    touch(segment, 0, 8 * MIB, LARGE);
    assert_resident(0, 8 * MIB);
    assert_int_equal(vm_protect(space, LOW_BASE + VM_PAGE_SIZE, VM_PAGE_SIZE, VM_READ), E_SUCCESS);
    assert_resident(2 * MIB, 6 * MIB);
    assert_int_equal(vm_unmap(space, LOW_BASE + VM_PAGE_SIZE, VM_PAGE_SIZE), E_SUCCESS);
    assert_resident(2 * MIB - VM_PAGE_SIZE, 6 * MIB);
    segment = vm_find(space, LOW_BASE + 4 * MIB);
    assert_int_equal(vm_move(space, segment, LOW_BASE + 64 * MIB, vm_size(segment)), E_SUCCESS);
    assert_resident(2 * MIB - VM_PAGE_SIZE + 6 * MIB, 0); /* it is no longer aligned */
    assert_int_equal(vm_collapse(space, vm_start(segment), vm_size(segment)), E_SUCCESS);
    fixture_check();
    void *span = vm_span_alloc(64 << 10);
    struct vm_stats stats = vm_stats(space);

    assert_int_equal(stats.spans, 1);
    assert_int_equal(stats.span_bytes, 64 << 10);
    fixture_check();
    vm_span_free(span);
    assert_int_equal(vm_unmap(space, LOW_BASE, GIB), E_SUCCESS);
    assert_resident(0, 0);
    assert_int_equal(vm_stats(space).span_bytes_peak, 64 << 10);
}

/* Windows are mapped and are no memory. */
static void windows(void **state)
{
    struct vm_segment *window = must_alloc_at(&vm_phys, 4 * GIB, 4 * MIB, VM_RW | VM_CACHE_UC);
    struct vm_segment *segment = must_alloc(&vm_anon, VM_ANYWHERE, 4 * MIB, VM_RW);

    (void)state;
    assert_resident(0, 0);
    touch(segment, 0, 4 * MIB, LARGE);
    assert_resident(0, 4 * MIB);
    assert_int_equal(vm_resize(space, window, MIB), E_SUCCESS);
    assert_int_equal(vm_stats(space).windows, MIB);
    assert_resident(0, 4 * MIB);
    vm_free(space, segment);
    vm_free(space, window);
    struct vm_stats stats = vm_stats(space);

    assert_int_equal(stats.peak[PAGE_4K], 0);
    assert_int_equal(stats.peak[PAGE_2M], 4 * MIB);
    assert_int_equal(stats.windows, 0);
}

/* The peak is exact, whatever released it, and is in the pages that there were. */
static void peak(void **state)
{
    struct vm_segment *segment = must_alloc(&vm_anon, VM_ANYWHERE, 32 * MIB, VM_RW);
    uint64_t most = 0;

    (void)state;
    touch(segment, 0, 16 * MIB, LARGE);
    assert_int_equal(vm_advise(space, vm_start(segment), 16 * MIB, VM_ADVICE_DONTNEED), E_SUCCESS);
    most = 16 * MIB;
    assert_int_equal(vm_resident_peak(space), most);
    assert_int_equal(vm_resident(space), 0);
    touch(segment, 0, 8 * MIB, LARGE); /* less than before */
    assert_int_equal(vm_resize(space, segment, 4 * MIB), E_SUCCESS);
    assert_int_equal(vm_resident_peak(space), most);

    struct vm_segment *small = must_alloc(&vm_anon, VM_ANYWHERE, 16 * MIB, VM_RW | VM_PAGES_4K);

    touch(small, 0, 16 * MIB, VM_PAGE_SIZE);
    vm_free(space, small);
    struct vm_stats stats = vm_stats(space);

    most = 20 * MIB;
    assert_int_equal(vm_resident_peak(space), most);
    assert_int_equal(stats.peak[PAGE_4K], 16 * MIB);
    assert_int_equal(stats.peak[PAGE_2M], 4 * MIB);
    assert_int_equal(sum(stats.resident), 4 * MIB);

    /* A span at the top of it, released first; then what is there when somebody asks. */
    touch(must_alloc(&vm_anon, LOW_BASE, 16 * MIB, VM_RW), 0, 16 * MIB, LARGE);
    vm_span_free(vm_span_alloc(MIB));
    most += MIB;
    assert_int_equal(vm_resident_peak(space), most);
    touch(must_alloc(&vm_anon, LOW_BASE + GIB, 2 * MIB, VM_RW), 0, 2 * MIB, LARGE);
    assert_int_equal(vm_resident_peak(space), most + MIB);
    vm_free(space, segment);
    assert_int_equal(vm_unmap(space, LOW_BASE, 2 * GIB), E_SUCCESS);
}

/* The image counts with its pages, which others have mapped. */
static void image(void **state)
{
    struct mmu tables = {.root = space->mmu.root};

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(mmu_map(&tables, IMAGE_BASE + i * VM_PAGE_SIZE, MIB, PAGE_4K, VM_READ), E_SUCCESS);
    assert_false(IS_ERR(vm_image_add(space, "rodata", IMAGE_BASE, 2 * VM_PAGE_SIZE, VM_READ)));
    assert_resident(2 * VM_PAGE_SIZE, 0);
    assert_false(IS_ERR(vm_image_add(space, "text", IMAGE_BASE + 2 * VM_PAGE_SIZE, VM_PAGE_SIZE, VM_READ)));
    assert_resident(3 * VM_PAGE_SIZE, 0);
    assert_int_equal(vm_resident_peak(space), 3 * VM_PAGE_SIZE);
    mmu_unmap(&tables, IMAGE_BASE, 3 * VM_PAGE_SIZE, false);
}

static void flushes(void **state)
{
    struct vm_segment *segment = must_alloc(&vm_anon, VM_ANYWHERE, MIB, VM_RW | VM_PAGES_4K);
    struct vm_stats before;

    (void)state;
    touch(segment, 0, MIB, VM_PAGE_SIZE);
    before = vm_stats(space);
    assert_int_equal(vm_protect(space, vm_start(segment), VM_PAGE_SIZE, VM_READ), E_SUCCESS);
    assert_int_equal(vm_stats(space).flushed_pages, before.flushed_pages + 1);
    assert_int_equal(vm_advise(space, vm_start(segment), 5 * VM_PAGE_SIZE, VM_ADVICE_DONTNEED), E_SUCCESS);
    assert_int_equal(vm_stats(space).flushed_pages, before.flushed_pages + 6);
    assert_int_equal(vm_stats(space).flushed_all, before.flushed_all);
    assert_int_equal(vm_unmap(space, vm_start(segment), MIB), E_SUCCESS);
    assert_int_equal(vm_stats(space).flushed_all, before.flushed_all + 1);
}

/* What the machine zeroed, and nothing else. */
static void zeroed(void **state)
{
    struct vm_segment *segment = must_alloc(&vm_anon, VM_ANYWHERE, 8 * MIB, VM_RW);

    (void)state;
    touch(segment, 0, 4 * MIB, LARGE);
    vm_free(space, must_alloc(&vm_anon, VM_ANYWHERE, MIB, VM_RW | VM_POPULATE | VM_PAGES_4K));
    vm_free(space, must_alloc(&vm_heap, VM_ANYWHERE, 64 << 10, VM_RW));
    vm_span_free(vm_span_alloc(64 << 10));
    assert_int_equal(vm_stats(space).zeroed, fake_zeroed());
    vm_free(space, segment);
}

static void frames(void **state)
{
    struct vm_stats before = vm_stats(space), after;
    paddr_t single[200], large[3];

    (void)state;
    assert_int_equal(before.frames, RAM + 0x9e000 - frames_stats().metadata);
    assert_int_equal(before.free, frames_stats().free * VM_PAGE_SIZE);
    for (size_t i = 0; i < ARRAY_LENGTH(large); i++)
        large[i] = frame_get(PAGE_2M);
    for (size_t i = 0; i < ARRAY_LENGTH(large); i++)
        frame_put(large[i], PAGE_2M);
    after = vm_stats(space);
    assert_int_equal(after.free, before.free);
    assert_int_equal(after.least_free, before.free - 6 * MIB);
    for (size_t i = 0; i < ARRAY_LENGTH(single); i++)
        single[i] = frame_get(PAGE_4K);
    assert_int_equal(vm_stats(space).least_free, before.free - 6 * MIB);
    for (size_t i = 0; i < ARRAY_LENGTH(single); i++)
        frame_put(single[i], PAGE_4K);
    after = vm_stats(space);
    assert_in_range(after.refills - before.refills, 5, 7); /* 32 at a time */
    assert_in_range(after.spills - before.spills, 4, 6);
    assert_in_range(after.taken - before.taken, 6 * MIB + 150 * VM_PAGE_SIZE, 6 * MIB + 256 * VM_PAGE_SIZE);
    before = after;
    frames_drain();
    frame_put_run(frame_get_run(4), 4); /* of what is split already */
    assert_int_equal(vm_stats(space).splits, before.splits);
    for (size_t i = 0; i < 20; i++)
        single[i] = frame_get_run(8); /* of a child that is split one leaves room for another */
    assert_in_range(vm_stats(space).splits - before.splits, 8, 10);
    for (size_t i = 0; i < 20; i++)
        frame_put_run(single[i], 8);
}

/* All that the single frames ever took is seen when they come back, but for a magazine of them. */
static void least_free_of_single_frames(void **state)
{
    static paddr_t single[2000];
    struct vm_stats before = vm_stats(space);

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(single); i++)
        single[i] = frame_get(PAGE_4K);
    for (size_t i = 0; i < ARRAY_LENGTH(single); i++)
        frame_put(single[i], PAGE_4K);
    assert_in_range(before.free - vm_stats(space).least_free, (ARRAY_LENGTH(single) - 64) * VM_PAGE_SIZE,
                    ARRAY_LENGTH(single) * VM_PAGE_SIZE);
}

/* The drivers by number are those by name. */
static void drivers(void **state)
{
    size_t count = 0;

    (void)state;
    for (; vm_driver_at(count) != NULL; count++)
        assert_ptr_equal(vm_driver(vm_driver_at(count)->name), vm_driver_at(count));
    assert_int_equal(count, 6);
    assert_int_equal(vm_driver_register(&vm_file), E_SUCCESS);
    assert_ptr_equal(vm_driver_at(count), &vm_file);
    assert_null(vm_driver_at(count + 1));
    assert_null(vm_driver_at(SIZE_MAX));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(faults, setup, teardown),
        cmocka_unit_test_setup_teardown(driver_of_the_program, setup, teardown),
        cmocka_unit_test_setup_teardown(fallbacks, setup, teardown),
        cmocka_unit_test_setup_teardown(resident, setup, teardown),
        cmocka_unit_test_setup_teardown(windows, setup, teardown),
        cmocka_unit_test_setup_teardown(peak, setup, teardown),
        cmocka_unit_test_setup(image, setup), /* its tables stay */
        cmocka_unit_test_setup_teardown(flushes, setup, teardown),
        cmocka_unit_test_setup_teardown(zeroed, setup, teardown),
        cmocka_unit_test_setup_teardown(frames, setup, teardown),
        cmocka_unit_test_setup_teardown(least_free_of_single_frames, setup, teardown),
        cmocka_unit_test_setup_teardown(drivers, setup, teardown),
    };

    return harness_main(argc, argv, tests, ARRAY_LENGTH(tests));
}
