#include "explore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fiber.h"
#include "harness.h"

#define STACK ((size_t)64 << 10)
#define CHOICES_MAX 4096u
#define STEPS_MAX 20000u /* of a run: one that has more does not end */
#define DELAYED_MAX 8u
#define GONE_MAX 8u
#define NOBODY EXPLORE_ACTORS

struct delayed {
    void *at;
    size_t size;
    uint64_t value;
};

struct actor {
    struct fiber at; /* where it goes on */
    void *stack;
    bool ended, yielded;
    bool (*until)(void *); /* NULL: it can go on */
    void *argument;
    uint64_t deadline;
    struct delayed delayed[DELAYED_MAX];
    unsigned delayed_count;
};

static const struct exploration *of;
static struct actor actors[EXPLORE_ACTORS];
static struct fiber explorer;
static unsigned current;
static unsigned spent, steps;
static uint64_t now;
static const char *wrong;
static bool running; /* false: what begins or looks at a run has it alone */
static unsigned gone_count;

/* ---- choices ---- */

static struct {
    unsigned of, next; /* so many are possible, of which this one is taken */
} choices[CHOICES_MAX];
static unsigned depth, made; /* of this run; those that are taken over from the one before */
static struct random *by_chance;

static unsigned choose(unsigned count)
{
    if (count <= 1)
        return 0;
    if (by_chance != NULL) /* now and then another one */
        return random_below(by_chance, 4) != 0 ? 0 : (unsigned)random_below(by_chance, count);
    if (depth >= CHOICES_MAX)
        explore_wrong("more choices than there is room for");
    if (depth >= made)
        choices[depth].next = 0;
    choices[depth].of = count;
    return choices[depth++].next;
}

/* The next row; false: that was the last one. */
static bool next_row(void)
{
    for (made = depth; made > 0 && choices[made - 1].next + 1 == choices[made - 1].of; made--)
        ;
    if (made > 0)
        choices[made - 1].next++;
    return made > 0;
}

/* ---- who goes on ---- */

static bool is_ready(struct actor *actor)
{
    return !actor->ended && (actor->until == NULL || actor->until(actor->argument) || actor->deadline <= now);
}

/* Those that can go on, the current one first; *first: it is one of them, and would not be asked. */
static unsigned collect(unsigned *ready, bool *first)
{
    unsigned count = 0;

    *first = false;
    for (unsigned i = 0; i < of->actors; i++) {
        unsigned actor = (current + i) % of->actors;

        if (!is_ready(&actors[actor]) || actors[actor].yielded)
            continue;
        *first |= actor == current;
        ready[count++] = actor;
    }
    return count;
}

/* Nobody can go on: those that have yielded look again, or time passes. False: it is the end. */
static bool stir(void)
{
    uint64_t next = EXPLORE_NEVER;
    bool any = false;

    for (struct actor *actor = actors; actor < actors + of->actors; actor++) {
        any |= actor->yielded;
        actor->yielded = false;
        if (!actor->ended && actor->until != NULL && actor->deadline < next)
            next = actor->deadline;
    }
    if (!any && next != EXPLORE_NEVER)
        now = next > now ? next : now;
    return any || next != EXPLORE_NEVER;
}

static unsigned decide(void)
{
    unsigned ready[EXPLORE_ACTORS], count, next;
    bool first;

    while ((count = collect(ready, &first)) == 0)
        if (!stir())
            return NOBODY;
    next = ready[choose(first && spent >= of->bound ? 1 : count)];
    spent += first && next != current;
    return next;
}

static void drain(struct actor *actor);

/* Something has changed: who has yielded may look. */
static void changed(void)
{
    for (unsigned i = 0; i < of->actors; i++)
        actors[i].yielded = false;
}

/* To whom it is decided; the actor that runs is left, or has ended. */
static void turn(void)
{
    unsigned self = current, next = NOBODY;

    if (!running)
        return;
    if (wrong == NULL && ++steps > STEPS_MAX)
        wrong = "it does not end";
    if (wrong == NULL)
        next = decide();
    if (next == self)
        return;
    if (next == NOBODY) {
        fiber_switch(&actors[self].at, &explorer);
        return;
    }
    current = next;
    if (of->resume != NULL)
        of->resume(next);
    fiber_switch(&actors[self].at, &actors[next].at);
}

static void live(void *argument)
{
    struct actor *self = argument;

    of->act((unsigned)(self - actors));
    self = &actors[current]; /* contexts may have come to another one */
    drain(self);
    self->ended = true;
    changed();
    turn();
    __builtin_unreachable();
}

/* ---- a run ---- */

static void begin(void)
{
    depth = spent = steps = gone_count = 0;
    now = 1000;
    wrong = NULL;
    for (unsigned i = 0; i < of->actors; i++) {
        struct actor *actor = &actors[i];
        void *stack = actor->stack != NULL ? actor->stack : malloc(STACK);

        *actor = (struct actor){.stack = stack};
        fiber_make(&actor->at, stack, STACK, live, actor);
    }
    current = 0;
    of->begin();
}

static const char *run(void)
{
    begin();
    current = decide();
    if (of->resume != NULL)
        of->resume(current);
    running = true;
    fiber_switch(&explorer, &actors[current].at);
    running = false;
    if (wrong == NULL)
        wrong = of->end();
    return wrong;
}

const char *explore(const struct exploration *exploration, size_t *runs)
{
    of = exploration;
    by_chance = NULL;
    made = 0;
    *runs = 0;
    do
        ++*runs;
    while (run() == NULL && next_row());
    return wrong;
}

const char *explore_some(const struct exploration *exploration, size_t runs, uint64_t seed)
{
    struct random random = {.state = seed};
    struct exploration unbound = *exploration;

    unbound.bound = EXPLORE_ALL;
    of = &unbound;
    by_chance = &random;
    for (wrong = NULL; wrong == NULL && runs > 0; runs--)
        run();
    return wrong;
}

/* ---- for actors ---- */

void explore_step(void)
{
    turn();
}

void explore_fence(void)
{
    turn();
    drain(&actors[current]);
    changed();
}

void explore_yield(void)
{
    drain(&actors[current]);
    actors[current].yielded = true;
    turn();
    actors[current].yielded = false;
}

bool explore_wait(bool (*until)(void *), void *argument, uint64_t deadline)
{
    struct actor *self = &actors[current];

    drain(self);
    self->argument = argument;
    self->deadline = deadline;
    self->until = until;
    turn();
    self->until = NULL;
    return until(argument);
}

uint64_t explore_clock(void)
{
    return now;
}

void explore_pass(uint64_t time)
{
    now += time;
}

unsigned explore_actor(void)
{
    return current;
}

void explore_wrong(const char *what)
{
    wrong = what;
    for (;;)
        fiber_switch(&actors[current].at, &explorer);
}

/* ---- memory ---- */

static struct {
    uintptr_t start;
    size_t size;
} gone[GONE_MAX];

void explore_gone(const void *start, size_t size)
{
    if (gone_count == GONE_MAX)
        explore_wrong("more memory goes than there is room for");
    gone[gone_count].start = (uintptr_t)start;
    gone[gone_count++].size = size;
}

static void check_there(const void *at)
{
    for (unsigned i = 0; i < gone_count; i++)
        if ((uintptr_t)at - gone[i].start < gone[i].size)
            explore_wrong("memory is used that is gone");
}

static uint64_t get(const void *at, size_t size)
{
    uint64_t value = 0;

    memcpy(&value, at, size);
    return value;
}

static void put(void *at, size_t size, uint64_t value)
{
    if (memcmp(at, &value, size) != 0)
        changed();
    memcpy(at, &value, size);
}

static void drain(struct actor *actor)
{
    for (unsigned i = 0; i < actor->delayed_count; i++)
        put(actor->delayed[i].at, actor->delayed[i].size, actor->delayed[i].value);
    actor->delayed_count = 0;
}

uint64_t explore_load(const void *at, size_t size)
{
    struct actor *self;

    explore_step();
    check_there(at);
    self = &actors[current];
    for (unsigned i = self->delayed_count; i-- > 0;)
        if (self->delayed[i].at == at)
            return self->delayed[i].value;
    return get(at, size);
}

void explore_store(void *at, size_t size, uint64_t value, int order)
{
    struct actor *self;

    explore_step();
    check_there(at);
    self = &actors[current];
    if (of->delays && order != __ATOMIC_SEQ_CST && self->delayed_count < DELAYED_MAX && spent < of->bound &&
        choose(2) == 1) {
        self->delayed[self->delayed_count++] = (struct delayed){at, size, get(&value, size)};
        spent++;
        return;
    }
    drain(self);
    put(at, size, value);
}

static uint64_t operate(enum explore_operation operation, uint64_t old, uint64_t value)
{
    switch (operation) {
    case EXPLORE_ADD:
        return old + value;
    case EXPLORE_SUB:
        return old - value;
    case EXPLORE_AND:
        return old & value;
    case EXPLORE_OR:
        return old | value;
    case EXPLORE_XOR:
        return old ^ value;
    default:
        return value;
    }
}

/* The operation as the source has it, or in two steps. */
static uint64_t begin_change(const char *where, void *at, size_t size)
{
    uint64_t old;

    explore_step();
    check_there(at);
    drain(&actors[current]);
    old = get(at, size);
    if (of->split != NULL && strcmp(where, of->split) == 0)
        explore_step();
    return old;
}

uint64_t explore_change(const char *where, void *at, size_t size, enum explore_operation operation, uint64_t value)
{
    uint64_t old = begin_change(where, at, size), new = operate(operation, old, value);

    put(at, size, new);
    return old;
}

bool explore_compare_exchange(const char *where, void *at, size_t size, void *expected, uint64_t value)
{
    uint64_t old = begin_change(where, at, size);
    bool same = old == get(expected, size);

    if (same)
        put(at, size, value);
    else
        memcpy(expected, &old, size);
    return same;
}
