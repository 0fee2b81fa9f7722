/*
 * What debug builds check of spin locks, before a deadlock and not only when there is one (as lockdep of Linux).
 *
 * Order. A CPU that waits for a lock of class B with one of class A held puts B behind A, for good. If A was behind B
 * before, in one step or in several, then two CPUs may wait for each other: a panic that names both places, although
 * nobody waits yet. Locks of one class are taken in the order of their addresses, or ranks. A lock that is only tried
 * is not waited for, but others may be with it held.
 *
 * Interrupts. A lock that is ever taken with interrupts on, where the program calls the core directly, must not be
 * taken by a handler that has interrupted the core: it might wait for its own CPU.
 *
 * And a lock is taken once at a time, given back by its holder, held by nobody who parks or goes back to the program,
 * and waited for a bounded time.
 *
 * A place is two return addresses, as most locks are taken in small functions. The lists of what is held are the CPU's
 * own; others read them only to report. Steps are noted once, with both places: then taking a lock writes to nothing
 * that is shared.
 */
#include "core/spinlock.h"

#if QUIRE_THREADS && defined(QUIRE_DEBUG)

#include "core/base/assert.h"
#include "core/base/print.h"
#include "core/clock.h"
#include "core/cpu.h"
#include "core/symbols.h"

#define HELD_MOST 80u /* all domains of the address space, and some */
#define WAIT_MOST_NS 20000000000ull
#define TURNS_BETWEEN_LOOKS 0x10000u
#define PLACE_SIZE 160u

enum order { ADDRESS, RANK };
static const struct {
    const char *name;
    enum order order;
} classes[] = {
#define SPIN_CLASS_ROW(name, order) {#name, order},
    SPIN_CLASSES(SPIN_CLASS_ROW)
#undef SPIN_CLASS_ROW
};
#define CLASSES ARRAY_LENGTH(classes)
_Static_assert(CLASSES <= 32, "a bit for each");

struct place {
    uintptr_t in, of; /* the function, and its caller */
};

struct held {
    const uint32_t *taken;
    enum spin_class class;
    struct place place;
};

static PERCPU struct {
    unsigned count;
    struct held locks[HELD_MOST];
} held;

/* Those behind each, a bit for each, and where it was seen: the one held, and the other taken. */
static uint32_t behind[CLASSES];
static struct step {
    struct place first, second;
} steps[CLASSES][CLASSES];

/* Classes that were taken with interrupts on, and by a handler that had interrupted the core; and where. */
static uint32_t with_interrupts, in_handlers;
static struct place place_with_interrupts[CLASSES], place_in_handlers[CLASSES];

/* The core has frame pointers, but for functions that call none. */
static inline __attribute__((always_inline)) struct place here(void)
{
    uintptr_t *const *frame = __builtin_frame_address(0);

    return (struct place){(uintptr_t)__builtin_return_address(0), frame[0][1]};
}

static void put_place(struct place *to, struct place place)
{
    __atomic_store_n(&to->in, place.in, __ATOMIC_RELAXED);
    __atomic_store_n(&to->of, place.of, __ATOMIC_RELAXED);
}

static inline uint32_t bit(enum spin_class class)
{
    return 1u << class;
}

/* ---- words ---- */

static size_t put_function(char *text, size_t size, uintptr_t address)
{
    char name[48];
    size_t offset;

    if (symbol_lookup(address - 1, name, sizeof(name), &offset))
        return (size_t)text_format(text, size, "%s+%#zx", name, offset + 1);
    return (size_t)text_format(text, size, "%#lx", (unsigned long)address);
}

static const char *show(struct place place, char *text)
{
    size_t length = put_function(text, PLACE_SIZE / 2, place.in);

    length += (size_t)text_format(text + length, PLACE_SIZE - length, " of ");
    put_function(text + length, PLACE_SIZE - length, place.of);
    return text;
}

static COLD _Noreturn void panic_order(enum spin_class first, enum spin_class second, struct step now)
{
    char texts[4][PLACE_SIZE];
    uint32_t on = __atomic_load_n(&behind[second], __ATOMIC_RELAXED);
    enum spin_class next = on & bit(first) ? first : (enum spin_class)__builtin_ctz(on);
    struct step before = steps[second][next];

    panic("lock order: %s is taken in %s with %s held from %s; but %s%s was taken in %s with %s held from %s",
          classes[second].name, show(now.second, texts[0]), classes[first].name, show(now.first, texts[1]),
          classes[next].name, next == first ? "" : ", from which one comes there,", show(before.second, texts[2]),
          classes[second].name, show(before.first, texts[3]));
}

/* ---- order ---- */

/* All that may be taken with it held. */
static uint32_t reachable(enum spin_class from)
{
    uint32_t found = bit(from), looked = 0;

    while (found & ~looked) {
        unsigned class = (unsigned)__builtin_ctz(found & ~looked);

        looked |= 1u << class;
        found |= __atomic_load_n(&behind[class], __ATOMIC_SEQ_CST);
    }
    return found;
}

/* Noted before it is looked at: of two CPUs that note what contradicts, one sees both. */
static void note_step(const struct held *first, enum spin_class second, struct place place)
{
    struct step step = {first->place, place};

    if (__atomic_load_n(&behind[first->class], __ATOMIC_RELAXED) & bit(second))
        return;
    if (reachable(second) & bit(first->class))
        panic_order(first->class, second, step);
    put_place(&steps[first->class][second].first, step.first);
    put_place(&steps[first->class][second].second, step.second);
    __atomic_fetch_or(&behind[first->class], bit(second), __ATOMIC_SEQ_CST);
    if (reachable(second) & bit(first->class))
        panic_order(first->class, second, step);
}

/* The rank lies behind the word. */
static uintptr_t place_in_class(const uint32_t *taken, enum spin_class class)
{
    return classes[class].order == RANK ? taken[1] : (uintptr_t)taken;
}

static void check_same_class(const struct held *first, const uint32_t *taken, struct place place)
{
    enum spin_class class = first->class;
    char texts[2][PLACE_SIZE];

    CHECK(place_in_class(first->taken, class) < place_in_class(taken, class),
          "lock order: two of %s are not taken in the order of their %s: in %s with one held from %s",
          classes[class].name, classes[class].order == RANK ? "ranks" : "addresses", show(place, texts[0]),
          show(first->place, texts[1]));
}

/* ---- interrupts ---- */

static void note_interrupts(enum spin_class class, bool handler, struct place place)
{
    uint32_t *own = handler ? &in_handlers : &with_interrupts, *other = handler ? &with_interrupts : &in_handlers;
    struct place *places = handler ? place_in_handlers : place_with_interrupts;
    char texts[2][PLACE_SIZE];

    if (__atomic_load_n(own, __ATOMIC_RELAXED) & bit(class))
        return;
    put_place(&places[class], place);
    __atomic_fetch_or(own, bit(class), __ATOMIC_SEQ_CST);
    CHECK(!(__atomic_load_n(other, __ATOMIC_SEQ_CST) & bit(class)),
          "%s is taken with interrupts on in %s, and by an interrupt of the core in %s", classes[class].name,
          show(place_with_interrupts[class], texts[0]), show(place_in_handlers[class], texts[1]));
}

/* ---- what locks call ---- */

static inline bool is_checked(void)
{
    return !cpu_others_stopped();
}

static struct held *find(unsigned cpu, const uint32_t *taken)
{
    struct held *locks = cpu_variable(cpu, held).locks;

    for (unsigned i = cpu_variable(cpu, held).count; i > 0; i--)
        if (locks[i - 1].taken == taken)
            return &locks[i - 1];
    return NULL;
}

void spin_check_wait(const uint32_t *taken, enum spin_class class)
{
    const struct held *locks = this_cpu(held).locks, *own;
    char text[PLACE_SIZE];

    if (!is_checked())
        return;
    own = find(cpu_number(), taken);
    CHECK(!spin_word_is_held(taken), "spin lock %p (%s) is taken by a CPU that holds it already, from %s",
          (const void *)taken, classes[class].name, own != NULL ? show(own->place, text) : "?");
    if (class == SPIN_CLASS_none)
        return;
    for (unsigned i = 0; i < this_cpu(held).count; i++) {
        if (locks[i].class == class)
            check_same_class(&locks[i], taken, here());
        else if (locks[i].class != SPIN_CLASS_none)
            note_step(&locks[i], class, here());
    }
}

/* The list is that of an interrupt, too. */
void spin_check_taken(const uint32_t *taken, enum spin_class class, bool waited)
{
    uint64_t interrupts = cpu_interrupts_off();
    unsigned count = this_cpu(held).count;

    if (is_checked()) {
        CHECK(count < HELD_MOST, "a CPU holds more than %u spin locks", HELD_MOST);
        this_cpu(held).locks[count] = (struct held){taken, class, here()};
        this_cpu(held).count = count + 1;
        if (waited && class != SPIN_CLASS_none && cpu_is_handler_in_core())
            note_interrupts(class, true, here());
        if (class != SPIN_CLASS_none && cpu_interrupts_were_on(interrupts))
            note_interrupts(class, false, here());
    }
    cpu_interrupts_restore(interrupts);
}

void spin_check_release(const uint32_t *taken)
{
    uint64_t interrupts = cpu_interrupts_off();
    struct held *locks = this_cpu(held).locks, *own = find(cpu_number(), taken);

    if (is_checked()) {
        CHECK(own != NULL && spin_word_is_held(taken), "spin lock %p is released by a CPU that does not hold it",
              (const void *)taken);
        this_cpu(held).count--;
        for (; own < locks + this_cpu(held).count; own++)
            own[0] = own[1];
    }
    cpu_interrupts_restore(interrupts);
}

/* The owner may be giving it back just now. */
static COLD _Noreturn void panic_time(const uint32_t *taken, uint32_t owner)
{
    const struct held *by = owner > 0 ? find(owner - 1, taken) : NULL;
    char text[PLACE_SIZE];

    panic("spin lock %p (%s) is waited for too long: CPU %u holds it, from %s", (const void *)taken,
          by != NULL ? classes[by->class].name : "?", owner - 1, by != NULL ? show(by->place, text) : "?");
}

/* Reading the clock may wait for a lock, too. */
void spin_check_time(const uint32_t *taken, uint64_t *since)
{
    static PERCPU unsigned turns;
    static PERCPU bool reading;
    uint64_t now;

    if (++this_cpu(turns) % TURNS_BETWEEN_LOOKS != 0 || this_cpu(reading) || !is_checked())
        return;
    this_cpu(reading) = true;
    now = clock_monotonic();
    this_cpu(reading) = false;
    if (*since == 0)
        *since = now;
    if (now >= *since + WAIT_MOST_NS)
        panic_time(taken, __atomic_load_n(taken, __ATOMIC_RELAXED));
}

void spin_check_none(const char *where)
{
    const struct held *last = &this_cpu(held).locks[0];
    char text[PLACE_SIZE];

    CHECK(this_cpu(held).count == 0 || !is_checked(), "%s: with the spin lock %s held, from %s", where,
          classes[last->class].name, show(last->place, text));
}
#endif
