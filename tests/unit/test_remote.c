/*
 * What CPUs free of each other's heaps (vm/heap/remote.h), with every interleaving: two put chains while a third takes
 * them. Each is a context of its own that comes back here where another may do something, and a run is a row of
 * choices of who is next; rows are counted through until there is none left.
 */
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "harness.h"

static void step(void);
#define REMOTE_STEP() step()
#include "vm/heap/remote.h"

#define ACTORS 3u /* the last one takes */
#define CHOICES_MAX 64u
#define BLOCKS 3u /* of the first one: a chain of two, and then one; the second one has the chain only */
#define STACK ((size_t)64 << 10)

static struct remote remote;
static struct {
    uintptr_t next;
    unsigned taken;
} blocks[ACTORS - 1][BLOCKS];

static ucontext_t scheduler, actors[ACTORS];
static char *stacks[ACTORS];
static bool ended[ACTORS];
static unsigned running;

static void step(void)
{
    swapcontext(&actors[running], &scheduler);
}

/* ---- what they do ---- */

static void put_all(unsigned actor)
{
    uintptr_t first = (uintptr_t)&blocks[actor][1], last = (uintptr_t)&blocks[actor][2];

    blocks[actor][1].next = last;
    assert_in_range(remote_put(&remote, first, last, 2), 2, 5);
    if (actor == 0)
        assert_in_range(remote_put(&remote, (uintptr_t)&blocks[actor][0], (uintptr_t)&blocks[actor][0], 1), 1, 5);
}

static void take(void)
{
    size_t taken = 0;

    for (uintptr_t block = remote_take(&remote); block; block = *(uintptr_t *)block, taken++)
        ((__typeof__(&blocks[0][0]))block)->taken++;
    remote_taken(&remote, taken);
    assert_true(remote.bytes <= 5);
}

static void act(unsigned actor)
{
    if (actor < ACTORS - 1) {
        put_all(actor);
    } else {
        take();
        take();
    }
    ended[actor] = true;
    swapcontext(&actors[actor], &scheduler);
}

/* ---- every row of choices ---- */

static struct {
    unsigned of, next; /* so many could go on, of which this one does */
} choices[CHOICES_MAX];

static void begin(void)
{
    memset(&remote, 0, sizeof(remote));
    memset(blocks, 0, sizeof(blocks));
    for (unsigned actor = 0; actor < ACTORS; actor++) {
        ended[actor] = false;
        getcontext(&actors[actor]);
        actors[actor].uc_stack.ss_sp = stacks[actor];
        actors[actor].uc_stack.ss_size = STACK;
        makecontext(&actors[actor], (void (*)(void))act, 1, actor);
    }
}

/* The actor that is the number of those that have not ended. */
static unsigned actor_of(unsigned number)
{
    unsigned actor = 0;

    while (ended[actor] || number-- > 0)
        actor++;
    return actor;
}

/* One run by the choices made so far, first ones from there on: how many. */
static unsigned run(unsigned made)
{
    unsigned depth = 0;

    begin();
    for (;;) {
        unsigned left = 0;

        for (unsigned actor = 0; actor < ACTORS; actor++)
            left += !ended[actor];
        if (left == 0)
            return depth;
        assert_true(depth < CHOICES_MAX);
        if (depth >= made)
            choices[depth].next = 0;
        choices[depth].of = left;
        running = actor_of(choices[depth++].next);
        swapcontext(&scheduler, &actors[running]);
    }
}

/* Nothing is lost, and nothing is there twice. */
static void check(void)
{
    running = 0;
    for (uintptr_t block = remote.first; block; block = *(uintptr_t *)block)
        ((__typeof__(&blocks[0][0]))block)->taken++;
    for (unsigned actor = 0; actor < ACTORS - 1; actor++) {
        for (unsigned block = 0; block < BLOCKS; block++)
            assert_int_equal(blocks[actor][block].taken, actor == 0 || block > 0);
    }
}

static size_t left_behind(void)
{
    size_t count = 0;

    for (uintptr_t block = remote.first; block; block = *(uintptr_t *)block)
        count++;
    return count;
}

static void test_every_interleaving(void **state)
{
    size_t runs = 0;
    unsigned made = 0;

    (void)state;
    for (unsigned actor = 0; actor < ACTORS; actor++)
        stacks[actor] = malloc(STACK);
    do {
        unsigned depth = run(made);

        assert_int_equal(remote.bytes, left_behind());
        check();
        for (made = depth; made > 0 && choices[made - 1].next + 1 == choices[made - 1].of; made--)
            ;
        if (made > 0)
            choices[made - 1].next++;
        runs++;
    } while (made > 0);
    assert_true(runs > 10000);
    print_message("%zu interleavings\n", runs);
    for (unsigned actor = 0; actor < ACTORS; actor++)
        free(stacks[actor]);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_interleaving),
    };

    return harness_main(argc, argv, tests, ARRAY_LENGTH(tests));
}
