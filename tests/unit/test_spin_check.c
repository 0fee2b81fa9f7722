/*
 * What debug builds check of spin locks: contradicting orders are seen before anybody waits, whichever CPUs they were
 * seen on; what is right passes.
 */
#include "core/clock.h"
#include "core/cpu.h"
#include "core/spinlock.h"
#include "fake.h"
#include "harness.h"

#include <string.h>

#define CPUS 2u
#define SECOND 1000000000ull

static struct spinlock_calls calls;
static struct spinlock_futex futex[2];
static struct spinlock_space space[2];
static struct spinlock_heap heap;
static struct spinlock_frames frames;
static struct spinlock_scheduler scheduler;
static struct spinlock plain[2];
static uint64_t now; /* of the clock; it goes on as it is read */

uint64_t clock_monotonic(void)
{
    return __atomic_fetch_add(&now, SECOND, __ATOMIC_RELAXED);
}

static void assert_panics(void (*function)(void *), const char *const words[])
{
    assert_true(fake_panics(function, NULL));
    for (; *words != NULL; words++)
        if (strstr(fake_panic_text(), *words) == NULL)
            fail_msg("\"%s\" is not in \"%s\"", *words, fake_panic_text());
}

static void calls_then_heap(void *unused)
{
    (void)unused;
    spin_lock(&calls);
    spin_lock(&heap);
    spin_unlock(&heap);
    spin_unlock(&calls);
}

static void heap_then_calls(void *unused)
{
    (void)unused;
    spin_lock(&heap);
    spin_lock(&calls);
}

static void test_nesting_passes(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        calls_then_heap(NULL);
        spin_lock(&calls);
        spin_lock(&futex[0]);
        spin_lock(&futex[1]);
        spin_lock(&scheduler);
        spin_unlock(&futex[0]); /* not the last one first */
        spin_unlock(&calls);
        spin_unlock(&scheduler);
        spin_unlock(&futex[1]);
        spin_lock(&heap); /* alone: the others are not held any more */
        spin_lock(&frames);
        spin_unlock(&heap);
        spin_unlock(&frames);
    }
    spin_check_none("here");
}

static void test_inversion(void **state)
{
    (void)state;
    calls_then_heap(NULL);
    assert_panics(heap_then_calls, (const char *[]){"lock order: calls is taken in ", " with heap held from ",
                                                    "but heap was taken in ", " with calls held from ", NULL});
}

static void on_cpu_1(unsigned cpu, void *unused)
{
    (void)unused;
    if (cpu == 1)
        calls_then_heap(NULL);
}

static void test_inversion_of_another_cpu(void **state)
{
    (void)state;
    fake_cpus(CPUS);
    fake_cpus_run(on_cpu_1, NULL);
    assert_panics(heap_then_calls, (const char *[]){"lock order: calls is taken in ", "with heap held", NULL});
}

static void frames_then_calls(void *unused)
{
    (void)unused;
    spin_lock(&frames);
    spin_lock(&calls);
}

/* calls, heap, frames, calls: no two of them contradict each other. */
static void test_ring_of_three(void **state)
{
    (void)state;
    calls_then_heap(NULL);
    spin_lock(&heap);
    spin_lock(&frames);
    spin_unlock(&frames);
    spin_unlock(&heap);
    assert_panics(frames_then_calls,
                  (const char *[]){"calls is taken in", "with frames held",
                                   "heap, from which one comes there, was taken in", "with calls held", NULL});
}

static void take_twice(void *unused)
{
    (void)unused;
    spin_lock(&plain[0]);
    spin_lock(&plain[0]);
}

static void descend(void *unused)
{
    (void)unused;
    spin_lock(&futex[1]);
    spin_lock(&futex[0]);
}

static void rank_down(void *unused)
{
    (void)unused;
    spin_lock(&space[0]);
    spin_lock(&space[1]);
}

static void release_what_is_free(void *unused)
{
    (void)unused;
    spin_unlock(&heap);
}

static void park(void *unused)
{
    (void)unused;
    spin_lock(&heap);
    spin_check_none("a thread is left");
}

static void test_misuse(void **state)
{
    (void)state;
    assert_panics(take_twice, (const char *[]){"is taken by a CPU that holds it already, from 0x", NULL});
    assert_panics(descend, (const char *[]){"two of futex are not taken in the order of their addresses", NULL});
    spin_set_rank(&space[0], 1);
    spin_lock(&space[1]);
    spin_lock(&space[0]);
    spin_unlock(&space[0]);
    spin_unlock(&space[1]);
    assert_panics(rank_down, (const char *[]){"two of space are not taken in the order of their ranks", NULL});
    assert_panics(release_what_is_free, (const char *[]){"is released by a CPU that does not hold it", NULL});
    assert_panics(park, (const char *[]){"a thread is left: with the spin lock heap held, from 0x", NULL});
}

/* Who only tries waits for nobody; others may be waited for with what was got in that way. */
static void test_tried_locks(void **state)
{
    (void)state;
    calls_then_heap(NULL);
    spin_lock(&heap);
    assert_true(spin_try(&calls));
    spin_unlock(&calls);
    spin_unlock(&heap);
    assert_true(spin_try(&frames));
    spin_lock(&scheduler);
    spin_unlock(&scheduler);
    spin_unlock(&frames);
    spin_lock(&scheduler);
    assert_true(spin_try(&frames));
    spin_unlock(&frames);
    spin_unlock(&scheduler);
    spin_lock(&plain[1]); /* of no class: in any order */
    spin_lock(&plain[0]);
    spin_unlock(&plain[0]);
    spin_unlock(&plain[1]);
}

static void take_in_handler(void *unused)
{
    (void)unused;
    fake_cpu_interrupts(false, true);
    spin_lock(&heap);
}

static void take_with_interrupts(void *unused)
{
    (void)unused;
    fake_cpu_interrupts(true, false);
    spin_lock(&scheduler);
}

static void test_interrupts(void **state)
{
    const char *const words[] = {" is taken with interrupts on in 0x", ", and by an interrupt of the core in 0x", NULL};

    (void)state;
    fake_cpu_interrupts(true, false);
    calls_then_heap(NULL);
    fake_cpu_interrupts(false, true);
    spin_lock(&scheduler);
    spin_unlock(&scheduler);
    assert_true(spin_try(&heap)); /* waits for nobody */
    spin_unlock(&heap);
    fake_cpu_interrupts(false, false);
    spin_lock(&scheduler);
    spin_unlock(&scheduler);
    assert_panics(take_in_handler, words);
    assert_panics(take_with_interrupts, words);
}

static unsigned waiter_begun;

static void hold_or_wait(unsigned cpu, void *unused)
{
    (void)unused;
    if (cpu == 0) {
        spin_lock(&heap);
        __atomic_store_n(&waiter_begun, 1, __ATOMIC_RELEASE);
        for (;;)
            cpu_relax();
    }
    while (__atomic_load_n(&waiter_begun, __ATOMIC_ACQUIRE) == 0)
        cpu_relax();
    spin_lock(&heap);
}

static void wait_for_ever(void *unused)
{
    (void)unused;
    fake_cpus_run(hold_or_wait, NULL);
}

static void test_wait_too_long(void **state)
{
    (void)state;
    fake_cpus(CPUS);
    assert_panics(wait_for_ever, (const char *[]){"(heap) is waited for too long: CPU 0 holds it, from 0x", NULL});
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nesting_passes),
        cmocka_unit_test(test_inversion),
        cmocka_unit_test(test_inversion_of_another_cpu),
        cmocka_unit_test(test_ring_of_three),
        cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_tried_locks),
        cmocka_unit_test(test_interrupts),
        cmocka_unit_test(test_wait_too_long),
    };

    return harness_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
