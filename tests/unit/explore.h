/*
 * Every interleaving of a short piece that several CPUs run at once. Each is an actor, a stack of its own; before each
 * atomic operation (explore_atomics.h) another one may go on. A run is a row of choices of who does; rows are counted
 * through, each from the start, until there is none left. What is between two atomic operations is one step: data that
 * nobody else may touch meanwhile, which ThreadSanitizer has to see to.
 *
 * Pieces that are too long for that are bounded (Musuvathi, Qadeer, PLDI 2007): an actor that could go on loses its
 * turn at most so often in a run. A few times are enough for most mistakes, and the number of runs is a polynomial of
 * the length.
 *
 * Stores that are not sequentially consistent may be delayed as x86's are (Owens, Sarkar, Sewell, TPHOLs 2009): they
 * wait, in order, until the actor's next locked instruction, or its next store that is not delayed, while it reads on.
 * Each counts as a turn that was lost.
 */
#ifndef EXPLORE_H
#define EXPLORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPLORE_ACTORS 4u
#define EXPLORE_ALL (~0u)
#define EXPLORE_NEVER UINT64_MAX

struct exploration {
    unsigned actors, bound;
    bool delays;
    const char *split; /* NULL, or a function whose atomic operations are each made two, a load and a store: to see that
                        * found */
    void (*begin)(void); /* all that is changed, anew */
    void (*act)(unsigned actor);
    void (*resume)(unsigned actor); /* it goes on; NULL: nothing to be done */
    const char *(*end)(void);       /* nobody can go on: NULL, or what is wrong */
};

/* NULL, or what is wrong in the first run in which anything is. runs: their number. */
const char *explore(const struct exploration *, size_t *runs);
/* The same, of so many runs at random; the bound does not count. */
const char *explore_some(const struct exploration *, size_t runs, uint64_t seed);

/* ---- for actors ---- */

/* Another may do something here. */
void explore_step(void);
/* So, and what it has stored is seen by all; it may change what is not memory. */
void explore_fence(void);
/* Nothing can be done until another has done something. */
void explore_yield(void);
/* Goes on when that holds, or at the time: true: it holds. Time is that of explore_clock, and goes on where nobody can.
 */
bool explore_wait(bool (*until)(void *), void *argument, uint64_t deadline);
uint64_t explore_clock(void);
void explore_pass(uint64_t time);
unsigned explore_actor(void);
/* The memory is given back: until the end of the run no atomic operation may touch it. */
void explore_gone(const void *start, size_t size);
/* The run ends, and is wrong. Never returns, which ASan need not know: it would take this stack for the test's. */
void explore_wrong(const char *what);
#define EXPLORE_CHECK(condition)                                                                                       \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            explore_wrong(#condition);                                                                                 \
    } while (0)

/* ---- for explore_atomics.h ---- */

enum explore_operation { EXPLORE_SET, EXPLORE_ADD, EXPLORE_SUB, EXPLORE_AND, EXPLORE_OR, EXPLORE_XOR };

uint64_t explore_load(const void *at, size_t size);
void explore_store(void *at, size_t size, uint64_t value, int order);
/* What was there. */
uint64_t explore_change(const char *where, void *at, size_t size, enum explore_operation, uint64_t value);
bool explore_compare_exchange(const char *where, void *at, size_t size, void *expected, uint64_t value);

#endif
