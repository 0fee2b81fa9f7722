/*
 * Many vectors that grow by realloc to twice their capacity, each at its own pace: some stay short, a few become large.
 * One that has reached its limit is given up and begins again.
 *
 * Checked: the elements of every vector when it is given up, and the number of all elements ever pushed.
 */
#include "tests/bench/bench.h"

#define VECTORS 1024u
#define PUSHES 27000u /* of RUN elements each, times the scale */
#define RUN 256u
#define LIMIT 65536u /* elements */
#define FIRST 4u
#define SEED 0xc2b2ae3d27d4eb4f

struct vector {
    uint64_t *elements;
    uint32_t count, capacity;
    uint64_t life; /* how often it began again */
};

static struct vector vectors[VECTORS];

static uint64_t element_of(uint32_t number, uint64_t life, uint32_t i)
{
    return ((uint64_t)number << 40 | life << 24) + i;
}

static void push(struct vector *vector, uint64_t element)
{
    if (vector->count == vector->capacity) {
        vector->capacity = vector->capacity ? 2 * vector->capacity : FIRST;
        vector->elements = bench_realloc(vector->elements, vector->capacity * sizeof(*vector->elements));
    }
    vector->elements[vector->count++] = element;
}

/* The number of its elements. */
static uint32_t give_up(struct vector *vector, uint32_t number)
{
    uint32_t count = vector->count;

    for (uint32_t i = 0; i < count; i++) {
        if (vector->elements[i] != element_of(number, vector->life, i))
            bench_fail("element %u of a vector is wrong: growing lost it", i);
    }
    free(vector->elements);
    *vector = (struct vector){.life = vector->life + 1};
    return count;
}

/* Small numbers are likelier than large ones: a few vectors get most. */
static uint32_t random_vector(uint64_t *random)
{
    return bench_random_below(random, 1 + bench_random_below(random, 1 + bench_random_below(random, VECTORS)));
}

/* The number of elements that were pushed. */
static uint64_t run(uint64_t pushes)
{
    uint64_t random = SEED, total = 0;

    for (uint64_t i = 0; i < pushes; i++) {
        uint32_t number = random_vector(&random);
        struct vector *vector = &vectors[number];

        for (uint32_t j = 0; j < RUN; j++)
            push(vector, element_of(number, vector->life, vector->count));
        if (vector->count >= LIMIT)
            total += give_up(vector, number);
    }
    for (uint32_t number = 0; number < VECTORS; number++)
        total += give_up(&vectors[number], number);
    return total;
}

int main(int argc, char **argv)
{
    uint64_t pushes = (uint64_t)PUSHES * bench_scale(argc, argv);
    struct bench_span span = {0};

    bench_open();
    bench_begin(&span);
    uint64_t total = run(pushes);

    bench_end(&span);
    bench_check_number("the number of elements of all vectors", total, pushes * RUN);
    bench_print("total", "many vectors growing by realloc", 1, &span, 0);
    return bench_close();
}
