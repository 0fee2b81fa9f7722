/*
 * Whether time-stamp counters agree, by samples: of pretended CPUs whose counters differ, and of threads of the host,
 * whose counters agree, with an offset that is added.
 */
#include <pthread.h>

#include "arch/x86_64/tsc.h"
#include "harness.h"

#define SKEW 1000000000000

/* The way there and the way back take what `random` says, the second more where a host takes the CPU away. */
static size_t pretend(struct tsc_sample *samples, int64_t skew, struct random *random)
{
    uint64_t now = 1ull << 40 | random_below(random, 1ull << 40);

    for (size_t i = 0; i < TSC_ROUNDS; i++) {
        samples[i].before = now;
        now += 50 + random_below(random, 200);
        samples[i].there = now + (uint64_t)skew;
        now += 50 + random_below(random, random_below(random, 4) == 0 ? 10000000 : 200);
        samples[i].after = now;
        now += random_below(random, 100);
    }
    return TSC_ROUNDS;
}

static void test_that_agree(void **state)
{
    struct random random = {harness_seed()};
    struct tsc_sample samples[TSC_ROUNDS];
    int64_t offset;

    (void)state;
    for (int i = 0; i < 10000; i++)
        assert_true(tsc_agree(samples, pretend(samples, 0, &random), &offset));
}

static void assert_found(int64_t skew, struct random *random)
{
    struct tsc_sample samples[TSC_ROUNDS];
    int64_t offset;

    assert_false(tsc_agree(samples, pretend(samples, skew, random), &offset));
    assert_in_range(offset - skew + 250, 0, 500); /* no more than a way takes */
}

static void test_that_differ(void **state)
{
    struct random random = {harness_seed()};

    (void)state;
    for (int i = 0; i < 10000; i++) {
        int64_t skew = 300 + (int64_t)random_below(&random, 1ull << random_below(&random, 60));

        assert_found(skew, &random);
        assert_found(-skew, &random);
    }
}

static void test_no_samples(void **state)
{
    int64_t offset = 1;

    (void)state;
    assert_false(tsc_agree(NULL, 0, &offset));
    assert_int_equal(offset, 0);
}

/* Answers that no offset explains: a counter that is set in between. */
static void test_that_jump(void **state)
{
    const struct tsc_sample samples[] = {{1000, 1100, 1200}, {2000, 5100, 2200}};
    int64_t offset;

    (void)state;
    assert_false(tsc_agree(samples, 2, &offset));
}

static void *answer(void *channel)
{
    tsc_answer(channel);
    return NULL;
}

static void test_between_threads(void **state)
{
    static struct tsc_channel channel;
    struct tsc_sample samples[TSC_ROUNDS];
    int64_t offset, again;
    pthread_t thread;
    size_t count;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, answer, &channel), 0);
    count = tsc_ask(&channel, 0, samples);
    assert_in_range(count, 3, TSC_ROUNDS);
    assert_true(tsc_agree(samples, count, &offset));
    for (int64_t skew = -SKEW; skew <= SKEW; skew += 2 * SKEW) {
        assert_false(tsc_agree(samples, tsc_ask(&channel, skew, samples), &offset));
        assert_true(tsc_agree(samples, tsc_ask(&channel, skew + offset, samples), &again));
    }
    tsc_done(&channel);
    pthread_join(thread, NULL);
    assert_int_equal(tsc_ask(&channel, 0, samples), 0); /* nobody answers any more */
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_that_agree), cmocka_unit_test(test_that_differ),     cmocka_unit_test(test_no_samples),
        cmocka_unit_test(test_that_jump),  cmocka_unit_test(test_between_threads),
    };

    return harness_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
