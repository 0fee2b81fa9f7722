/*
 * Several CPUs that threads of the host play: spin locks exclude and count who waits, and every CPU does what others
 * ask of it, also while it waits for a lock.
 */
#include "core/cpu.h"
#include "core/spinlock.h"
#include "fake.h"
#include "harness.h"

#define CPUS 4u
#define ROUNDS 2000u

extern uint64_t spin_contended;

static struct spinlock lock;
static size_t count; /* with the lock held */
static PERCPU size_t answered;

static void add_with_lock(unsigned cpu, void *unused)
{
    (void)cpu, (void)unused;
    for (unsigned round = 0; round < ROUNDS; round++) {
        if (round % 3 != 0 || !spin_try(&lock))
            spin_lock(&lock);
        count++;
        assert_true(spin_is_held(&lock));
        spin_unlock(&lock);
    }
}

static void test_locks_exclude(void **state)
{
    (void)state;
    fake_cpus(CPUS);
    fake_cpus_run(add_with_lock, NULL);
    assert_int_equal(count, CPUS * ROUNDS);
    assert_false(spin_is_held(&lock));
}

static void answer(void *asked)
{
    this_cpu(answered)++;
    __atomic_fetch_add((size_t *)asked, 1, __ATOMIC_RELAXED);
}

/* CPU 0 lets go when the others are waiting: only then they answer. */
static void wait_for_lock(unsigned cpu, void *arrived)
{
    size_t answers = 0;

    if (cpu != 0) {
        assert_false(spin_try(&lock));
        __atomic_fetch_add((unsigned *)arrived, 1, __ATOMIC_RELEASE);
        spin_lock(&lock);
        spin_unlock(&lock);
        return;
    }
    while (__atomic_load_n((unsigned *)arrived, __ATOMIC_ACQUIRE) < CPUS - 1)
        cpu_relax();
    cpu_call(~0ull, answer, &answers);
    assert_int_equal(answers, CPUS - 1);
    spin_unlock(&lock);
}

static void test_lock_that_is_taken(void **state)
{
    unsigned arrived = 0;

    (void)state;
    fake_cpus(CPUS);
    spin_lock(&lock);
    fake_cpus_run(wait_for_lock, &arrived);
    for (unsigned cpu = 0; cpu < CPUS; cpu++)
        assert_int_equal(cpu_variable(cpu, spin_contended), cpu != 0);
}

/* With the lock held, for which the others wait. */
static void ask_with_lock(unsigned cpu, void *unused)
{
    (void)unused;
    for (unsigned round = 0; round < 50; round++) {
        size_t answers = 0;

        spin_lock(&lock);
        cpu_call(~0ull, answer, &answers);
        assert_int_equal(answers, CPUS - 1);
        cpu_call(1ull << cpu, answer, &answers);
        assert_int_equal(answers, CPUS - 1);
        spin_unlock(&lock);
    }
}

static void test_calls_with_a_lock_held(void **state)
{
    (void)state;
    fake_cpus(CPUS);
    fake_cpus_run(ask_with_lock, NULL);
    for (unsigned cpu = 0; cpu < CPUS; cpu++)
        assert_int_equal(cpu_variable(cpu, answered), 50 * (CPUS - 1));
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_locks_exclude),
        cmocka_unit_test(test_lock_that_is_taken),
        cmocka_unit_test(test_calls_with_a_lock_held),
    };

    return harness_main(argc, argv, tests, ARRAY_LENGTH(tests));
}
