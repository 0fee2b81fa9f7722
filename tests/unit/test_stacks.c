/* core/observe/stacks.c against a naive list, and what happens when there is no more room. */
#include <string.h>

#include "core/base/types.h"
#include "core/observe/stacks.h"
#include "harness.h"

static struct stacks stacks;

static uint64_t weight_of(const uintptr_t *words, size_t length)
{
    uint64_t found = 0;

    for (size_t i = 0; i < stacks.count; i++) {
        const struct stack *stack = &stacks.stacks[i];

        if (stack->length == length && memcmp(stacks.words + stack->first, words, length * sizeof(*words)) == 0) {
            assert_int_equal(found, 0); /* once only */
            found = stack->weight;
        }
    }
    return found;
}

/* Few words, so that stacks are equal, begin alike, and are the beginning of others. */
static void adds_up(void **state)
{
    enum { KINDS = 200, ROUNDS = 20000 };
    static struct {
        uintptr_t words[STACK_WORDS_MAX];
        size_t length;
        uint64_t weight;
    } kinds[KINDS];
    struct random random = {harness_seed()};
    uint64_t all = 0, listed = 0;

    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        kinds[i].length = 1 + i % 7;
        for (size_t j = 0; j < kinds[i].length; j++)
            kinds[i].words[j] = 0xffffffff80000000u + 8 * (i >> j & 1) + (j == 0 ? i / 7 : 0);
    }
    for (size_t round = 0; round < ROUNDS; round++) {
        size_t i = random_below(&random, KINDS);
        uint64_t weight = 1 + random_below(&random, 3);

        assert_true(stacks_add(&stacks, kinds[i].words, kinds[i].length, weight));
        kinds[i].weight += weight;
        all += weight;
    }
    for (size_t i = 0; i < KINDS; i++)
        for (size_t j = 0; j < i; j++)
            if (kinds[i].length == kinds[j].length &&
                memcmp(kinds[i].words, kinds[j].words, kinds[i].length * sizeof(uintptr_t)) == 0)
                fail_msg("the test's stacks %zu and %zu are equal", i, j);
    for (size_t i = 0; i < KINDS; i++)
        assert_int_equal(weight_of(kinds[i].words, kinds[i].length), kinds[i].weight);
    for (size_t i = 0; i < stacks.count; i++)
        listed += stacks.stacks[i].weight;
    assert_int_equal(listed, all);
}

static void full_of_stacks(void **state)
{
    uintptr_t word = 1, other = STACKS_MAX + 1;

    (void)state;
    for (; word <= STACKS_MAX; word++)
        assert_true(stacks_add(&stacks, &word, 1, word));
    assert_false(stacks_add(&stacks, &other, 1, 1));
    assert_int_equal(weight_of(&other, 1), 0);
    for (word = 1; word <= STACKS_MAX; word++) { /* those that are there still count */
        assert_true(stacks_add(&stacks, &word, 1, 1));
        assert_int_equal(weight_of(&word, 1), word + 1);
    }
    stacks_clear(&stacks);
    assert_int_equal(stacks.count, 0);
    assert_true(stacks_add(&stacks, &other, 1, 5));
    assert_int_equal(weight_of(&other, 1), 5);
}

static void full_of_words(void **state)
{
    uintptr_t words[STACK_WORDS_MAX] = {0};
    size_t fit = STACKS_WORDS / STACK_WORDS_MAX;

    (void)state;
    for (words[0] = 1; words[0] <= fit; words[0]++)
        assert_true(stacks_add(&stacks, words, STACK_WORDS_MAX, 1));
    assert_false(stacks_add(&stacks, words, STACK_WORDS_MAX, 1));
    assert_true(stacks_add(&stacks, words, STACKS_WORDS % STACK_WORDS_MAX, 1)); /* what is left, to the last word */
    assert_false(stacks_add(&stacks, words, 1, 1));
    assert_int_equal(stacks.used, STACKS_WORDS);
    words[0] = fit;
    assert_true(stacks_add(&stacks, words, STACK_WORDS_MAX, 1));
    assert_int_equal(weight_of(words, STACK_WORDS_MAX), 2);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adds_up),
        cmocka_unit_test(full_of_stacks),
        cmocka_unit_test(full_of_words),
    };

    return harness_main(argc, argv, tests, ARRAY_LENGTH(tests));
}
