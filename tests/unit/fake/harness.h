/*
 * Running cmocka tests, each in a process of its own: the core's state is static and made once, and a test that dies
 * does not take the others along. An argument runs only the tests whose names contain it.
 */
#ifndef HARNESS_H
#define HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

int harness_main(int argc, char **argv, const struct CMUnitTest *tests, size_t count);

/* The seed of this run: QUIRE_SEED, or a new one; harness_main prints it. */
uint64_t harness_seed(void);
/* A number from the environment, for longer runs; otherwise the given one. */
size_t harness_number(const char *variable, size_t otherwise);

/* splitmix64 (Steele, Lea, Flood, OOPSLA 2014). */
struct random {
    uint64_t state;
};
uint64_t random_next(struct random *);
/* Uniform enough for tests; bound > 0. */
uint64_t random_below(struct random *, uint64_t bound);

#endif
