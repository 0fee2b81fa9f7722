/* Random operations on the address space against the model (model.h), and free frames before and after. */
#include "model.h"

#include "fixture.h"
#include "harness.h"

static struct random random_state;

static uint32_t next(uint32_t bound)
{
    return (uint32_t)random_below(&random_state, bound);
}

/* Rounds that begin with an empty address space and end with every frame back. Each step is made by one of the CPUs. */
static void run(unsigned cpus, bool lazy, size_t rounds, size_t steps, size_t check_every)
{
    fake_cpus(cpus);
    fixture_start(MODEL_RAM);
    if (lazy)
        fixture_lazy();
    fake_allow_write_execute();
    for (size_t round = 0; round < rounds; round++) {
        static struct trace before, after;

        random_state.state = harness_seed() + round;
        model_reset();
        trace_take(&before);
        for (size_t step = 1; step <= steps; step++) {
            fake_cpu_be(next(cpus));
            model_step(next);
            if (step % check_every == 0)
                model_check();
            if (step % 500 == 0)
                model_check_contents();
        }
        model_check_contents();
        model_clear();
        fake_cpu_be(0);
        trace_take(&after);
        trace_compare(&before, &after, "a round", -1);
    }
    fixture_end();
}

static void test_checked_after_each_step(void **state)
{
    (void)state;
    run(1, false, 5, harness_number("QUIRE_STEPS", 2000), 1);
}

static void test_with_epochs_checked_after_each_step(void **state)
{
    (void)state;
    run(1, true, 5, harness_number("QUIRE_STEPS", 2000), 1);
}

static void test_many_steps(void **state)
{
    (void)state;
    run(1, true, 20, harness_number("QUIRE_STEPS", 10000), harness_number("QUIRE_CHECK", 50));
}

static void test_several_cpus_checked_after_each_step(void **state)
{
    (void)state;
    run(3, false, 5, harness_number("QUIRE_STEPS", 2000), 1);
}

static void test_several_cpus_with_epochs(void **state)
{
    (void)state;
    run(4, true, 5, harness_number("QUIRE_STEPS", 2000), 1);
}

static void test_several_cpus_many_steps(void **state)
{
    (void)state;
    run(4, true, 10, harness_number("QUIRE_STEPS", 10000), harness_number("QUIRE_CHECK", 50));
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checked_after_each_step),
        cmocka_unit_test(test_with_epochs_checked_after_each_step),
        cmocka_unit_test(test_many_steps),
        cmocka_unit_test(test_several_cpus_checked_after_each_step),
        cmocka_unit_test(test_several_cpus_with_epochs),
        cmocka_unit_test(test_several_cpus_many_steps),
    };

    return harness_main(argc, argv, tests, ARRAY_LENGTH(tests));
}
