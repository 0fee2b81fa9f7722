/* core/observe/faults.c: the buckets cover all numbers, and each fault is counted once, by its outcome. */
#include <pthread.h>

#include "core/cpu.h"
#include "core/observe/faults.h"
#include "fixture.h"
#include "harness.h"

static uint64_t now, step; /* cpu_cycles, and by how much it grows with each look */

uint64_t cpu_cycles(void)
{
    return now += step;
}

void cpu_watch_faults(error_t (*watcher)(vaddr_t, vm_flags_t, bool))
{
    fake_on_fault(watcher);
}

static void buckets(void **state)
{
    (void)state;
    assert_int_equal(fault_bucket(0), 0);
    for (unsigned i = 0; i < FAULT_BUCKETS; i++) {
        uint64_t start = fault_bucket_start(i);

        assert_int_equal(fault_bucket(start), i);
        if (i > 0) {
            assert_true(start > fault_bucket_start(i - 1));
            assert_int_equal(fault_bucket(start - 1), i - 1);
        }
        /* A quarter of a power of two at most. */
        if (i >= 4 && i < FAULT_BUCKETS - 1)
            assert_true((fault_bucket_start(i + 1) - start) * 4 <= start);
    }
    assert_int_equal(fault_bucket(UINT64_MAX), FAULT_BUCKETS - 1);
}

static void adding(void **state)
{
    struct fault_times times = {.count = 0};

    (void)state;
    fault_times_add(&times, 100);
    fault_times_add(&times, 7);
    fault_times_add(&times, 100);
    assert_int_equal(times.count, 3);
    assert_int_equal(times.sum, 207);
    assert_int_equal(times.least, 7);
    assert_int_equal(times.most, 100);
    assert_int_equal(times.buckets[fault_bucket(100)], 2);
    assert_int_equal(times.buckets[7], 1);
}

#define ADDED 1000000u

static pthread_barrier_t all_there;

static void *add_many(void *times)
{
    pthread_barrier_wait(&all_there);
    for (unsigned i = 1; i <= ADDED; i++)
        fault_times_add(times, i);
    return NULL;
}

/* Several CPUs fault at once. */
static void adding_at_once(void **state)
{
    struct fault_times times = {.count = 0};
    pthread_t threads[4];
    uint64_t sum = 0;

    (void)state;
    pthread_barrier_init(&all_there, NULL, ARRAY_LENGTH(threads));
    for (unsigned i = 0; i < ARRAY_LENGTH(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, &times), 0);
    for (unsigned i = 0; i < ARRAY_LENGTH(threads); i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < FAULT_BUCKETS; i++)
        sum += times.buckets[i];
    assert_int_equal(times.count, ARRAY_LENGTH(threads) * ADDED);
    assert_int_equal(sum, times.count);
    assert_int_equal(times.sum, times.count / 2 * (ADDED + 1));
    assert_int_equal(times.least, 1);
    assert_int_equal(times.most, ADDED);
}

static void outcomes(void **state)
{
    (void)state;
    fixture_start(64 * MIB);
    vm_set_page_policy(PAGE_2M);
    struct vm_segment *small = must_alloc(&vm_anon, VM_ANYWHERE, MIB, VM_READ | VM_PAGES_4K);
    struct vm_segment *large = must_alloc(&vm_anon, VM_ANYWHERE, 8 * MIB, VM_RW);

    faults_watch();
    step = 50;
    for (unsigned i = 0; i < 9; i++)
        assert_int_equal(fake_touch(vm_start(small) + i * 2 * VM_PAGE_SIZE, VM_READ, 0), E_SUCCESS);
    step = 3000;
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(fake_touch(vm_start(large) + i * page_bytes(PAGE_2M), VM_WRITE, 1), E_SUCCESS);
    step = 1;
    assert_int_equal(fake_touch(vm_start(small), VM_WRITE, 1), E_ACCES);
    assert_int_equal(fake_touch(LOW_BASE, VM_WRITE, 1), E_FAULT);
    assert_int_equal(fault_times(PAGE_4K)->count, 9);
    assert_int_equal(fault_times(PAGE_4K)->sum, 9 * 50);
    assert_int_equal(fault_times(PAGE_2M)->count, 4);
    assert_int_equal(fault_times(PAGE_2M)->least, 3000);
    assert_int_equal(fault_times(PAGE_1G)->count, 0);
    assert_int_equal(fault_times(FAULT_REFUSED)->count, 2);
    assert_int_equal(fault_times(FAULT_REFUSED)->most, 1);
    vm_free(space, small);
    vm_free(space, large);
    fixture_end();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets),
        cmocka_unit_test(adding),
        cmocka_unit_test(adding_at_once),
        cmocka_unit_test(outcomes),
    };

    return harness_main(argc, argv, tests, ARRAY_LENGTH(tests));
}
