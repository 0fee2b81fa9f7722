/*
 * Futexes with interleavings of the threads that use them (explore.h): the calls are the core's, threads are actors,
 * and parking is a permit as the scheduler gives it. Structures of those that wait are on their stacks, which are
 * overwritten when a call returns.
 */
#include <string.h>

#include "fake.h"
#include "harness.h"
#include "tests/unit/explore_atomics.h"

#include "core/clock.h"
#include "core/cpu.h"

#define cpu_relax explore_yield
#include "core/linux/futex.c"
#include "core/spinlock.c"

#define FIRST_ID 10

static struct linux_thread players[EXPLORE_ACTORS];
static bool permits[EXPLORE_ACTORS], signalled[EXPLORE_ACTORS], left[EXPLORE_ACTORS];
static bool permits_are_forgotten; /* where the thread is not parked: to see that found */
static bool parked[EXPLORE_ACTORS];
static bool listed[EXPLORE_ACTORS]; /* by who took it out, to be woken soon */
static uint32_t word, other;
static unsigned returned, inside, entered, alone;
static void (*const *acts)(void);

struct spinlock_calls linux_lock;
struct thread_list linux_woken;

/* Nobody is woken with that lock here. */
void linux_leave_to_woken(void)
{
    fail_msg("a thread was woken with linux_lock");
}

/* ---- what futexes ask of others ---- */

struct thread *thread_current(void)
{
    return &players[explore_actor()].thread;
}

static unsigned number_of(const struct thread *thread)
{
    return (unsigned)((const struct linux_thread *)thread - players);
}

static bool has_permit(void *number)
{
    return permits[(uintptr_t)number];
}

void thread_park(uint64_t deadline)
{
    unsigned self = explore_actor();

    explore_step();
    parked[self] = true;
    explore_wait(has_permit, (void *)(uintptr_t)self, deadline);
    if (listed[self])
        explore_wait(has_permit, (void *)(uintptr_t)self, UINT64_MAX);
    parked[self] = permits[self] = listed[self] = false;
}

static bool holds_a_bucket(void)
{
    for (unsigned i = 0; i < BUCKETS; i++)
        if (spin_is_held(&buckets[i].lock))
            return true;
    return false;
}

/* Who is parked may run on another CPU at once, where it takes the lock of its bucket. */
static void give_permit(unsigned number)
{
    EXPLORE_CHECK(number < EXPLORE_ACTORS && !left[number]);
    EXPLORE_CHECK(!parked[number] || permits[number] || !holds_a_bucket());
    permits[number] = !permits_are_forgotten || parked[number];
}

void thread_unpark(struct thread *thread)
{
    explore_fence();
    if (!listed[number_of(thread)])
        give_permit(number_of(thread));
}

void thread_unpark_later(struct thread *thread, struct thread_list *list)
{
    unsigned number = number_of(thread);

    explore_fence();
    if (!parked[number] || permits[number] || listed[number]) {
        give_permit(number);
        return;
    }
    listed[number] = true;
    thread->next = list->first;
    list->first = thread;
}

void threads_go(const struct thread_list *list)
{
    for (struct thread *thread = list->first, *next; thread != NULL; thread = next) {
        next = thread->next;
        explore_fence();
        give_permit(number_of(thread));
    }
}

uint64_t clock_monotonic(void)
{
    explore_pass(1);
    return explore_clock();
}

uint64_t clock_realtime(void)
{
    return clock_monotonic() + 5000;
}

uint64_t linux_deadline(uint64_t span)
{
    return clock_monotonic() + span;
}

bool linux_signal_waits(uint64_t deadline)
{
    (void)deadline;
    return signalled[explore_actor()];
}

bool linux_thread_is_alone(void)
{
    return players[1].exiting && players[2].exiting && players[3].exiting;
}

void futex_check_alone(const uint32_t *at)
{
    (void)at;
    alone++;
}

struct linux_thread *linux_thread_find(int id)
{
    return id >= FIRST_ID && id < FIRST_ID + (int)EXPLORE_ACTORS ? &players[id - FIRST_ID] : NULL;
}

error_t linux_read_span(const struct linux_timespec *user, uint64_t *nanoseconds)
{
    *nanoseconds = (uint64_t)user->seconds * 1000000000 + (uint64_t)user->nanoseconds;
    return user->nanoseconds < 1000000000 ? E_SUCCESS : E_INVAL;
}

/* Words below the first page are not there. */
error_t user_read(void *to, const void *user, size_t length)
{
    uint32_t value;

    if ((uintptr_t)user < VM_PAGE_SIZE || length != sizeof(value))
        return E_FAULT;
    value = __atomic_load_n((const uint32_t *)user, __ATOMIC_RELAXED);
    memcpy(to, &value, sizeof(value));
    return E_SUCCESS;
}

error_t user_compare_exchange(uint32_t *user, uint32_t *expected, uint32_t value)
{
    if ((uintptr_t)user < VM_PAGE_SIZE)
        return E_FAULT;
    __atomic_compare_exchange_n(user, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return E_SUCCESS;
}

/* `word` and `other` may be two mappings of the same word of RAM. What is known of mappings others change, but for who
 * holds the domain. */
static struct address_space space = {.whole = &space, .domains = {&space}};
static struct vm_segment *const shared = (struct vm_segment *)players;
static bool is_shared;

struct address_space *vm_space(void)
{
    return &space;
}

bool vm_object_was_shared = true;

struct vm_segment *vm_find(struct address_space *of_space, vaddr_t va)
{
    (void)of_space, (void)va;
    return is_shared ? shared : NULL;
}

struct vm_object_view vm_object_view(const struct vm_segment *segment)
{
    (void)segment;
    return (struct vm_object_view){.shared = true};
}

const struct vm_segment_driver *vm_driver_of(const struct vm_segment *segment)
{
    static const struct vm_segment_driver driver = {.properties = VM_DRIVER_OBJECTS};

    (void)segment;
    EXPLORE_CHECK(spin_is_held(&space.lock.spin));
    return &driver;
}

bool mmu_query(const struct mmu *mmu, vaddr_t va, struct mmu_entry *entry)
{
    EXPLORE_CHECK(mmu == &space.mmu && spin_is_held(&space.lock.spin));
    *entry = (struct mmu_entry){.frame = 0x7000 - (va & (VM_PAGE_SIZE - 1)), .size = PAGE_4K};
    return true;
}

/* The domain is neither tied nor open, and nobody asks for all. */
void space_hold_special(struct space_hold *hold)
{
    (void)hold;
}

void space_release_all(struct address_space *whole)
{
    (void)whole;
}

/* ---- runs ---- */

/* Whoever still knows a structure of the call that returned finds nonsense. */
static __attribute__((noinline)) void scrub(void)
{
    volatile char stack[4096];

    memset((char *)stack, 0xdb, sizeof(stack));
}

static long futex(uint32_t *at, int operation, uint32_t value, const struct linux_timespec *timeout, uint32_t *second,
                  uint32_t third)
{
    long result = linux_futex(at, operation | FUTEX_PRIVATE, value, timeout, second, third);

    scrub();
    return result;
}

/* A number in place of the time-out. */
static const struct linux_timespec *number(uintptr_t value)
{
    return (const struct linux_timespec *)value;
}

static void begin_run(void)
{
    memset(players, 0, sizeof(players));
    memset(buckets, 0, sizeof(buckets));
    memset(permits, 0, sizeof(permits));
    memset(parked, 0, sizeof(parked));
    memset(listed, 0, sizeof(listed));
    memset(signalled, 0, sizeof(signalled));
    memset(left, 0, sizeof(left));
    for (unsigned i = 0; i < EXPLORE_ACTORS; i++)
        players[i].id = FIRST_ID + (int)i;
    linux_lock = (struct spinlock_calls){0};
    space.lock = (struct space_lock){{0}, 0};
    owned_waiters = 0;
    word = other = 0;
    returned = inside = entered = alone = 0;
}

static void act(unsigned actor)
{
    acts[actor]();
    left[actor] = true;
    returned++;
}

static unsigned actors;
static unsigned bound; /* 0: by the number of actors */

static const char *end_run(void)
{
    for (unsigned i = 0; i < BUCKETS; i++)
        if (buckets[i].first != NULL || buckets[i].last != NULL)
            return "somebody is left in a bucket";
    if (owned_waiters != 0)
        return "somebody still counts as waiting for an owner";
    return returned == actors ? NULL : "a thread waits for ever";
}

static struct exploration exploration(unsigned count, void (*const *functions)(void))
{
    fake_cpus(EXPLORE_ACTORS);
    acts = functions;
    actors = count;
    return (struct exploration){.actors = count,
                                .bound = bound != 0 ? bound : 5 - count,
                                .begin = begin_run,
                                .act = act,
                                .resume = fake_cpu_be,
                                .end = end_run};
}

static void must_hold(unsigned count, void (*const *functions)(void))
{
    struct exploration all = exploration(count, functions);
    size_t runs;
    const char *wrong = explore(&all, &runs);

    print_message("%zu interleavings\n", runs);
    if (wrong == NULL) {
        all.delays = true;
        all.bound -= bound == 0;
        wrong = explore(&all, &runs);
    }
    if (wrong == NULL)
        wrong = explore_some(&all, harness_number("QUIRE_RUNS", 3000), harness_seed());
    if (wrong != NULL)
        fail_msg("run %zu: %s", runs, wrong);
}

static void must_be_found(unsigned count, void (*const *functions)(void), const char *split)
{
    struct exploration broken = exploration(count, functions);
    size_t runs;

    broken.split = split;
    if (explore(&broken, &runs) == NULL)
        fail_msg("%zu interleavings do not show that %s is broken", runs, split != NULL ? split : "something");
}

#define MUST_HOLD(...)                                                                                                 \
    do {                                                                                                               \
        static void (*const functions[])(void) = {__VA_ARGS__};                                                        \
        must_hold(ARRAY_LENGTH(functions), functions);                                                                 \
    } while (0)
#define MUST_BE_FOUND(split, ...)                                                                                      \
    do {                                                                                                               \
        static void (*const functions[])(void) = {__VA_ARGS__};                                                        \
        must_be_found(ARRAY_LENGTH(functions), functions, split);                                                      \
    } while (0)

static uint32_t read_word(const uint32_t *at)
{
    return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

/* ---- waiting and waking ---- */

static void wait_for_word(void)
{
    while (read_word(&word) == 0) {
        long result = futex(&word, FUTEX_WAIT, 0, NULL, NULL, 0);

        EXPLORE_CHECK(result == 0 || result == -E_AGAIN);
    }
}

static void set_word(void)
{
    __atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
    EXPLORE_CHECK(futex(&word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0) <= (long)actors - 1);
}

static void set_word_too_late(void)
{
    futex(&word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
    __atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
}

static void test_no_wake_is_lost(void **state)
{
    (void)state;
    MUST_HOLD(wait_for_word, set_word);
    MUST_HOLD(wait_for_word, wait_for_word, set_word);
}

static void test_that_lost_wakes_are_found(void **state)
{
    (void)state;
    MUST_BE_FOUND(NULL, wait_for_word, set_word_too_late);
    MUST_BE_FOUND("spin_word_lock", wait_for_word, set_word);
    permits_are_forgotten = true;
    MUST_BE_FOUND(NULL, wait_for_word, set_word);
}

static long woken, results[EXPLORE_ACTORS];

static void wait_for_a_time(void)
{
    const struct linux_timespec span = {.nanoseconds = 6};

    woken = -1;
    results[0] = futex(&word, FUTEX_WAIT, 0, &span, NULL, 0);
    EXPLORE_CHECK(results[0] == 0 || results[0] == -E_TIMEDOUT);
    EXPLORE_CHECK(woken < 0 || woken == (results[0] == 0));
}

/* Who was woken knows it, and nobody else. */
static void wake_one(void)
{
    long result;

    explore_step();
    explore_pass(3);
    result = futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0);
    woken = result;
    EXPLORE_CHECK(result == 0 || !left[0] || results[0] == 0);
    EXPLORE_CHECK(result == 1 || !left[0] || results[0] == -E_TIMEDOUT || results[0] == 0);
}

static void signal_first(void)
{
    explore_step();
    signalled[0] = true;
    thread_unpark(&players[0].thread);
    set_word();
}

static void wait_for_signal(void)
{
    long result = futex(&word, FUTEX_WAIT, 0, NULL, NULL, 0);

    EXPLORE_CHECK(result == 0 || result == -E_RESTART || result == -E_AGAIN);
    while (read_word(&word) == 0) /* the other one may still be about to send it */
        explore_yield();
}

static void test_times_and_signals(void **state)
{
    (void)state;
    MUST_HOLD(wait_for_a_time, wake_one);
    MUST_HOLD(wait_for_signal, signal_first);
}

/* ---- more than one ---- */

static void requeue_and_wake(void)
{
    __atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
    EXPLORE_CHECK(futex(&word, FUTEX_CMP_REQUEUE, 1, number(0), &other, 7) == -E_AGAIN);
    EXPLORE_CHECK(futex(&word, FUTEX_CMP_REQUEUE, 1, number(INT32_MAX), &other, 1) <= 2);
    EXPLORE_CHECK(futex(&word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0) == 0);
    futex(&other, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

static void wait_once_for_a_time(void)
{
    const struct linux_timespec span = {.nanoseconds = 9};
    long result = futex(&word, FUTEX_WAIT, 0, &span, NULL, 0);

    EXPLORE_CHECK(result == 0 || result == -E_AGAIN || result == -E_TIMEDOUT);
}

static void wake_by_operation(void)
{
    uint32_t code = (uint32_t)OP_ADD << 28 | (uint32_t)CMP_EQ << 24 | 1 << 12 | 0;

    EXPLORE_CHECK(futex(&other, FUTEX_WAKE_OP, 0, number(INT32_MAX), &word, code) >= 0);
    EXPLORE_CHECK(word == 1);
}

static void test_requeue(void **state)
{
    (void)state;
    MUST_HOLD(wait_for_word, wait_for_word, requeue_and_wake);
    MUST_HOLD(wait_for_word, wait_once_for_a_time, requeue_and_wake);
    MUST_HOLD(wait_for_word, wait_for_word, wake_by_operation);
}

static void wait_for_bit(uint32_t bit)
{
    EXPLORE_CHECK(futex(&word, FUTEX_WAIT_BITSET, 0, NULL, NULL, 1u << bit) == 0);
    EXPLORE_CHECK(other & 1u << bit);
}

static void wait_for_bit_0(void)
{
    wait_for_bit(0);
}

static void wait_for_bit_1(void)
{
    wait_for_bit(1);
}

static void wake_by_bits(void)
{
    EXPLORE_CHECK(futex(&word, FUTEX_WAKE_BITSET, 1, NULL, NULL, 0) == -E_INVAL);
    EXPLORE_CHECK(futex(&word, FUTEX_WAKE_BITSET, INT32_MAX, NULL, NULL, 1u << 2) == 0);
    for (unsigned bit = 2; bit-- > 0;) {
        other |= 1u << bit;
        while (futex(&word, FUTEX_WAKE_BITSET, INT32_MAX, NULL, NULL, 1u << bit) == 0)
            explore_yield();
    }
}

static void test_bits(void **state)
{
    (void)state;
    MUST_HOLD(wait_for_bit_0, wait_for_bit_1, wake_by_bits);
}

/* By another address, as a process-shared futex in memory that is mapped twice. */
static void wait_shared(void)
{
    while (read_word(&word) == 0)
        linux_futex(&word, FUTEX_WAIT, 0, NULL, NULL, 0);
}

static void wake_shared(void)
{
    __atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
    linux_futex(&other, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void test_shared(void **state)
{
    (void)state;
    is_shared = true;
    MUST_HOLD(wait_shared, wake_shared);
    is_shared = false;
    MUST_BE_FOUND(NULL, wait_shared, wake_shared);
}

/* ---- locks with an owner ---- */

static void check_inside(void)
{
    EXPLORE_CHECK(inside++ == 0);
    EXPLORE_CHECK((read_word(&word) & OWNER) == (uint32_t)linux_thread()->id);
    explore_step();
    inside--;
}

static void unlock(void)
{
    uint32_t self = (uint32_t)linux_thread()->id, expected = self;

    if (!__atomic_compare_exchange_n(&word, &expected, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        EXPLORE_CHECK(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0) == 0);
}

static void lock_and_unlock(void)
{
    uint32_t expected = 0;

    if (!__atomic_compare_exchange_n(&word, &expected, (uint32_t)linux_thread()->id, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_SEQ_CST))
        EXPLORE_CHECK(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0) == 0);
    EXPLORE_CHECK(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0) == -E_DEADLK);
    check_inside();
    unlock();
}

static void lock_for_a_time(void)
{
    const struct linux_timespec moment = {.nanoseconds = 1020}; /* monotonic */
    long result = futex(&word, FUTEX_LOCK_PI2, 0, &moment, NULL, 0);

    EXPLORE_CHECK(result == 0 || result == -E_TIMEDOUT);
    if (result != 0)
        return;
    check_inside();
    unlock();
}

static void try_and_unlock(void)
{
    long result = futex(&word, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0);

    EXPLORE_CHECK(result == 0 || result == -E_AGAIN);
    EXPLORE_CHECK(result == 0 || futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0) == -E_PERM);
    if (result != 0)
        return;
    check_inside();
    unlock();
}

static void test_owners(void **state)
{
    (void)state;
    MUST_HOLD(lock_and_unlock, lock_and_unlock);
    MUST_HOLD(lock_and_unlock, lock_and_unlock, lock_and_unlock);
    MUST_HOLD(lock_and_unlock, lock_for_a_time, try_and_unlock);
    MUST_BE_FOUND("user_compare_exchange", lock_and_unlock, lock_and_unlock);
}

/* ---- the end of an owner ---- */

static void leave_list(void)
{
    linux_enter();
    linux_thread()->exiting = true;
    linux_leave();
}

/* As linux_exit does; the first without a list of its locks. */
static void lock_and_end(void)
{
    long result = futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0);

    EXPLORE_CHECK(result == 0 || result == -E_SRCH);
    leave_list();
    futex_thread_ends((uint32_t)linux_thread()->id);
}

static void lock_and_end_early(void)
{
    EXPLORE_CHECK(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0) == 0);
    futex_thread_ends((uint32_t)linux_thread()->id);
    leave_list();
}

static void lock_robust_and_end(void)
{
    EXPLORE_CHECK(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0) == 0);
    futex_owner_died(&word, (uint32_t)linux_thread()->id, true, false);
    leave_list();
    futex_thread_ends((uint32_t)linux_thread()->id);
}

/* Its end has nothing to do with who waits for the lock now. */
static void lock_and_unlock_and_end(void)
{
    lock_and_unlock();
    leave_list();
    futex_thread_ends((uint32_t)linux_thread()->id);
}

static void lock_of_one_that_ended(void)
{
    long result = futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0);

    EXPLORE_CHECK(result == 0 || result == -E_SRCH);
    if (result == 0)
        check_inside();
    if (result == 0)
        unlock();
}

/* The lock is had, and says that its owner died if that was before. */
static void lock_robust(void)
{
    EXPLORE_CHECK(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0) == 0);
    check_inside();
    EXPLORE_CHECK(!left[0] || entered > 0 || (read_word(&word) & OWNER_DIED));
    entered++;
    EXPLORE_CHECK(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0) == 0);
}

/* Between the word's saying that the owner died and its end the lock is had by one who did not wait for it. */
static void lock_robust_and_end_late(void)
{
    EXPLORE_CHECK(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0) == 0);
    while (!parked[1] && !left[1])
        explore_yield();
    futex_owner_died(&word, (uint32_t)linux_thread()->id, true, false);
    __atomic_store_n(&other, 1, __ATOMIC_SEQ_CST);
    leave_list();
    while (read_word(&other) == 1)
        explore_yield();
    futex_thread_ends((uint32_t)linux_thread()->id);
}

static void lock_robust_in_between(void)
{
    while (read_word(&other) == 0)
        explore_yield();
    EXPLORE_CHECK(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0) == 0);
    __atomic_store_n(&other, 2, __ATOMIC_SEQ_CST);
    check_inside();
    entered++;
    EXPLORE_CHECK(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0) == 0);
}

/* A robust one without an owner that the core knows of: who waits for the word is woken. */
static void die_with_word(void)
{
    uint32_t self = (uint32_t)linux_thread()->id;

    __atomic_store_n(&word, self | WAITERS, __ATOMIC_SEQ_CST);
    explore_step();
    futex_owner_died(&word, self, false, false);
    futex_owner_died((uint32_t *)sizeof(word), self, false, false);
    EXPLORE_CHECK(word == (WAITERS | OWNER_DIED));
}

/* One that is free again, but those that wait for it were not woken yet. */
static void die_before_waking(void)
{
    __atomic_store_n(&word, (uint32_t)linux_thread()->id | WAITERS, __ATOMIC_SEQ_CST);
    while (!parked[1])
        explore_yield();
    __atomic_store_n(&word, 0, __ATOMIC_SEQ_CST);
    futex_owner_died(&word, (uint32_t)linux_thread()->id, false, true);
}

static void wait_for_free_word(void)
{
    while (read_word(&word) == 0)
        explore_yield();
    while (read_word(&word) != 0)
        futex(&word, FUTEX_WAIT, WAITERS | FIRST_ID, NULL, NULL, 0);
}

static void wait_for_owner_of_word(void)
{
    while (!(read_word(&word) & OWNER_DIED)) {
        uint32_t value = read_word(&word);

        if (!(value & OWNER_DIED))
            futex(&word, FUTEX_WAIT, value | WAITERS, NULL, NULL, 0);
        explore_yield();
    }
}

static void test_owners_that_end(void **state)
{
    (void)state;
    bound = 1; /* every bucket is looked at: runs are long */
    MUST_HOLD(lock_and_end, lock_of_one_that_ended);
    MUST_HOLD(lock_and_end, lock_of_one_that_ended, lock_of_one_that_ended);
    MUST_HOLD(lock_robust_and_end, lock_robust);
    MUST_HOLD(lock_robust_and_end_late, lock_robust, lock_robust_in_between);
    MUST_HOLD(lock_and_unlock_and_end, lock_and_unlock, lock_and_unlock);
    MUST_HOLD(die_with_word, wait_for_owner_of_word);
    MUST_HOLD(die_before_waking, wait_for_free_word);
    MUST_BE_FOUND(NULL, lock_and_end_early, lock_of_one_that_ended);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_wake_is_lost),
        cmocka_unit_test(test_that_lost_wakes_are_found),
        cmocka_unit_test(test_times_and_signals),
        cmocka_unit_test(test_requeue),
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_shared),
        cmocka_unit_test(test_owners),
        cmocka_unit_test(test_owners_that_end),
    };

    return harness_main(argc, argv, tests, ARRAY_LENGTH(tests));
}
