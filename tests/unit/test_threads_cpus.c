/*
 * The scheduler and futexes on four CPUs that threads of the host play, also under ThreadSanitizer: more threads than
 * CPUs lock, wait with time-outs, wake each other, yield, move and end, and others are started. What they do with a
 * lock held is plain data. In the end all have ended, each once.
 */
#include <string.h>

#include "core/clock.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/futex.h"
#include "core/linux/lock.h"
#include "core/linux/thread.h"
#include "core/linux/wait.h"
#include "fake.h"
#include "harness.h"
#include "vm/object.h"
#include "vm/space.h"

#define CPUS 4u
#define THREADS 12u
#define STACK ((size_t)128 << 10)
#define FIRST_ID 10

enum { FUTEX_WAIT, FUTEX_WAKE, FUTEX_LOCK_PI = 6, FUTEX_UNLOCK_PI };

#define EXPECT(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            fake_violation("%s", #condition);                                                                          \
    } while (0)

static struct linux_thread players[THREADS];
static _Alignas(64) char stacks[THREADS][STACK];
static struct random randoms[THREADS];
static uint32_t plain_lock, owned_lock;
static size_t plain_count, owned_count; /* each with its lock held */
static size_t rounds;
static unsigned ended;

struct spinlock_calls linux_lock;
struct thread_list linux_woken;

void explore_wrong(const char *what); /* of fake/spin_check.c */

/* Nobody is woken with that lock here. */
void linux_leave_to_woken(void)
{
    fail_msg("a thread was woken with linux_lock");
}

/* ---- what is asked of others ---- */

void explore_wrong(const char *what)
{
    fake_violation("%s", what);
}

bool frames_clean(void)
{
    return false;
}

uint64_t clock_realtime(void)
{
    return clock_monotonic();
}

uint64_t linux_deadline(uint64_t span)
{
    return clock_monotonic() + span;
}

bool linux_signal_waits(uint64_t deadline)
{
    (void)deadline;
    return false;
}

bool linux_thread_is_alone(void)
{
    return false;
}

void futex_check_alone(const uint32_t *word)
{
    (void)word;
}

struct linux_thread *linux_thread_find(int id)
{
    return &players[id - FIRST_ID];
}

error_t linux_read_span(const struct linux_timespec *user, uint64_t *nanoseconds)
{
    *nanoseconds = (uint64_t)user->nanoseconds;
    return E_SUCCESS;
}

error_t user_read(void *to, const void *user, size_t length)
{
    uint32_t value = __atomic_load_n((const uint32_t *)user, __ATOMIC_ACQUIRE);

    memcpy(to, &value, length);
    return E_SUCCESS;
}

error_t user_compare_exchange(uint32_t *user, uint32_t *expected, uint32_t value)
{
    __atomic_compare_exchange_n(user, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return E_SUCCESS;
}

struct address_space *vm_space(void)
{
    return NULL;
}

void space_hold_special(struct space_hold *hold)
{
    (void)hold;
}

void space_release_all(struct address_space *whole)
{
    (void)whole;
}

bool vm_object_was_shared;

struct vm_segment *vm_find(struct address_space *space, vaddr_t va)
{
    (void)space, (void)va;
    return NULL;
}

struct vm_object_view vm_object_view(const struct vm_segment *segment)
{
    (void)segment;
    return (struct vm_object_view){.shared = true};
}

const struct vm_segment_driver *vm_driver_of(const struct vm_segment *segment)
{
    (void)segment;
    return NULL;
}

bool mmu_query(const struct mmu *mmu, vaddr_t va, struct mmu_entry *entry)
{
    (void)mmu, (void)va, (void)entry;
    return false;
}

/* ---- what threads do ---- */

#define PRIVATE 128

static unsigned self(void)
{
    return (unsigned)(linux_thread() - players);
}

static uint32_t below(uint32_t bound)
{
    return (uint32_t)random_below(&randoms[self()], bound);
}

/* Free, taken, or taken with others that wait (Drepper, Futexes Are Tricky, 2011). A time-out looks again. */
static void lock_plain(void)
{
    const struct linux_timespec span = {.nanoseconds = below(200000)};
    uint32_t expected = 0;

    if (__atomic_compare_exchange_n(&plain_lock, &expected, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return;
    while (__atomic_exchange_n(&plain_lock, 2, __ATOMIC_ACQUIRE) != 0)
        linux_futex(&plain_lock, FUTEX_WAIT | PRIVATE, 2, below(2) ? &span : NULL, NULL, 0);
}

static void unlock_plain(void)
{
    if (__atomic_exchange_n(&plain_lock, 0, __ATOMIC_RELEASE) == 2)
        linux_futex(&plain_lock, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0);
}

static void lock_owned(void)
{
    uint32_t expected = 0;

    if (!__atomic_compare_exchange_n(&owned_lock, &expected, (uint32_t)linux_thread()->id, false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED))
        EXPECT(linux_futex(&owned_lock, FUTEX_LOCK_PI | PRIVATE, 0, NULL, NULL, 0) == 0);
    EXPECT((__atomic_load_n(&owned_lock, __ATOMIC_ACQUIRE) & 0xffff) == (uint32_t)linux_thread()->id);
}

static void unlock_owned(void)
{
    uint32_t expected = (uint32_t)linux_thread()->id;

    if (!__atomic_compare_exchange_n(&owned_lock, &expected, 0, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        EXPECT(linux_futex(&owned_lock, FUTEX_UNLOCK_PI | PRIVATE, 0, NULL, NULL, 0) == 0);
}

static void use(void (*lock)(void), void (*unlock)(void), size_t *count)
{
    size_t before;

    lock();
    before = *count;
    if (below(4) == 0)
        thread_yield();
    fake_program();
    *count = before + 1;
    unlock();
}

static void gone(struct thread *thread)
{
    (void)thread;
    if (__atomic_add_fetch(&ended, 1, __ATOMIC_ACQ_REL) == THREADS)
        fake_threads_end();
}

static void do_something(void)
{
    switch (below(8)) {
    case 0:
        thread_set_affinity(thread_current(), 1 + below((1u << CPUS) - 1));
        EXPECT(thread_current()->affinity >> cpu_number() & 1);
        break;
    case 1:
        thread_park(clock_monotonic() + below(300000));
        break;
    case 2:
        thread_yield();
        break;
    default:
        fake_program();
    }
}

static void live(struct thread *thread)
{
    for (size_t round = 0; round < rounds; round++) {
        use(lock_plain, unlock_plain, &plain_count);
        use(lock_owned, unlock_owned, &owned_count);
        do_something();
    }
    EXPECT(thread == thread_current());
    thread_end(gone);
}

static void first(void)
{
    scheduler_begin(&players[0].thread, 0, 0);
    for (unsigned i = 1; i < THREADS; i++) {
        thread_make(&players[i].thread, (uintptr_t)stacks[i], (uintptr_t)stacks[i] + STACK, live, true);
        thread_start(&players[i].thread);
        if (i == 1)
            scheduler_use_all_cpus();
    }
    live(&players[0].thread);
}

static void test_threads_on_cpus(void **state)
{
    uint64_t switches = 0, migrations = 0;

    (void)state;
    rounds = harness_number("QUIRE_ROUNDS", 2000);
    for (unsigned i = 0; i < THREADS; i++) {
        players[i].id = FIRST_ID + (int)i;
        randoms[i].state = harness_seed() + i;
    }
    fake_cpus(CPUS);
    fake_threads_run(first);
    assert_int_equal(ended, THREADS);
    assert_int_equal(plain_count, THREADS * rounds);
    assert_int_equal(owned_count, THREADS * rounds);
    for (unsigned cpu = 0; cpu < CPUS; cpu++) {
        switches += scheduler_counts(cpu).switches;
        migrations += scheduler_counts(cpu).migrations;
    }
    assert_true(switches > THREADS && migrations > 0);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_on_cpus),
    };

    return harness_main(argc, argv, tests, ARRAY_LENGTH(tests));
}
