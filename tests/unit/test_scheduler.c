/*
 * The scheduler with interleavings of its CPUs (explore.h): two or three of them, with few threads that do what is
 * short. CPUs are actors; interrupts come where a thread says `program`, or while its CPU waits; a kick is remembered,
 * as by core/cpu.h. Who is lost is found at the end, when nobody can go on and not all threads have ended; a thread
 * that has ended is memory that is gone.
 */
#include <string.h>

#include "fake.h"
#include "harness.h"
#include "tests/unit/explore_atomics.h"

#include "core/clock.h"
#include "core/cpu.h"

static void kick(unsigned cpu);
static void wait_until(uint64_t deadline);
static uint64_t read_clock(void);
static void (*const send_kick)(unsigned cpu) = cpu_kick;

#define cpu_kick kick
#define cpu_relax explore_yield
#define cpu_wait_until wait_until
#define clock_monotonic read_clock
#include "core/spinlock.c"
#include "core/threads/scheduler.c"

#define STACK ((size_t)64 << 10)
#define THREADS 4u

static struct thread threads[THREADS];
static _Alignas(64) char stacks[THREADS][STACK];
static unsigned started, ended, order_length;
static struct spinlock flag_lock;
static bool flag, done, given_up;

static bool kicks_are_forgotten; /* where the CPU does not wait: to see that found */

static bool waits[EXPLORE_ACTORS];
static void (*first)(void); /* what the first thread does */

/* ---- the machine ---- */

bool frames_clean(void)
{
    return false;
}

static void kick(unsigned cpu)
{
    explore_fence();
    if (!kicks_are_forgotten || waits[cpu])
        send_kick(cpu);
}

static uint64_t read_clock(void)
{
    explore_pass(1);
    return explore_clock();
}

static bool is_kicked(void *cpu)
{
    return fake_cpu_is_kicked((unsigned)(uintptr_t)cpu);
}

static void wait_until(uint64_t deadline)
{
    unsigned cpu = cpu_number();
    uint64_t time;

    explore_step();
    while (!fake_cpu_take_kick() && explore_clock() < deadline) {
        time = fake_alarm(cpu) < deadline ? fake_alarm(cpu) : deadline;
        waits[cpu] = true;
        explore_wait(is_kicked, (void *)(uintptr_t)cpu, time);
        waits[cpu] = false;
        if (!fake_cpu_is_kicked(cpu) && fake_alarm(cpu) <= explore_clock())
            fake_interrupt(false);
    }
}

/* The running thread can be interrupted. */
static void program(void)
{
    explore_step();
    if (fake_cpu_is_kicked(cpu_number()) || fake_alarm(cpu_number()) <= explore_clock())
        fake_interrupt(true);
}

/* ---- threads ---- */

static unsigned self(void)
{
    return (unsigned)(thread_current() - threads);
}

static void gone(struct thread *thread)
{
    char here;

    EXPLORE_CHECK((uintptr_t)(&here - stacks[thread - threads]) >= STACK);
    EXPLORE_CHECK(thread != own()->current);
    explore_gone(thread, sizeof(*thread));
    ended++;
}

static void end_here(void)
{
    thread_end(gone);
}

static struct thread *prepare(void (*function)(struct thread *), uint64_t affinity)
{
    struct thread *thread = &threads[started];

    thread_make(thread, (uintptr_t)stacks[started], (uintptr_t)stacks[started] + STACK, function, true);
    thread->affinity = affinity;
    started++;
    return thread;
}

static void start(void (*function)(struct thread *), uint64_t affinity)
{
    thread_start(prepare(function, affinity));
}

/* What is set is said to the first thread, which may be gone when the lock is free again; not if it has given up. */
static void set_flag(bool *which)
{
    spin_lock(&flag_lock);
    __atomic_store_n(which, true, __ATOMIC_RELEASE);
    if (!given_up)
        thread_unpark(&threads[0]);
    spin_unlock(&flag_lock);
}

/* By the first thread; false: it gave up, at the deadline. */
static bool wait_for(bool *which, uint64_t deadline)
{
    while (!__atomic_load_n(which, __ATOMIC_ACQUIRE) && read_clock() < deadline)
        thread_park(deadline);
    spin_lock(&flag_lock);
    given_up = !*which;
    spin_unlock(&flag_lock);
    return !given_up;
}

static void wake_the_first(struct thread *unused)
{
    (void)unused;
    set_flag(&flag);
    end_here();
}

/* ---- runs ---- */

static void begin_run(void)
{
    for (unsigned cpu = 0; cpu < EXPLORE_ACTORS; cpu++) {
        memset(&cpu_variable(cpu, scheduler), 0, sizeof(struct scheduler));
        cpu_variable(cpu, spin_contended) = 0;
        waits[cpu] = false;
        fake_cpu_be(cpu);
        while (fake_cpu_take_kick())
            continue;
    }
    fake_contexts_reset();
    memset(threads, 0, sizeof(threads));
    started = ended = 0;
    flag = done = given_up = false;
    flag_lock = (struct spinlock){0};
    on_interrupt = NULL;
    idle_cpus = 0;
    alarm = UINT64_MAX;
}

static void act(unsigned cpu)
{
    if (cpu > 0)
        run_cpu();
    started = 1;
    scheduler_begin(&threads[0], 0, 0);
    first();
    end_here();
}

static const char *end_run(void)
{
    for (unsigned cpu = 0; cpu < EXPLORE_ACTORS; cpu++)
        if (cpu_variable(cpu, scheduler).length > 0 || cpu_variable(cpu, scheduler).sleepers != NULL)
            return "somebody is left in a queue";
    return ended == started ? NULL : "a thread waits for ever";
}

static struct exploration exploration(unsigned cpus, unsigned bound, void (*function)(void))
{
    first = function;
    return (struct exploration){
        .actors = cpus, .bound = bound, .begin = begin_run, .act = act, .resume = fake_cpu_be, .end = end_run};
}

static void must_hold(unsigned cpus, unsigned bound, void (*function)(void))
{
    struct exploration all = exploration(cpus, bound, function);
    size_t runs;
    const char *wrong;

    fake_cpus(EXPLORE_ACTORS);
    wrong = explore(&all, &runs);
    print_message("%zu interleavings\n", runs);
    if (wrong == NULL && cpus > 1) {
        all.delays = true;
        wrong = explore(&all, &runs);
        print_message("%zu with stores that are delayed\n", runs);
    }
    if (wrong == NULL)
        wrong = explore_some(&all, harness_number("QUIRE_RUNS", 2000), harness_seed());
    if (wrong != NULL)
        fail_msg("run %zu: %s", runs, wrong);
}

/* Something that is broken is found to be so. */
static void must_be_found(unsigned cpus, unsigned bound, void (*function)(void), const char *split)
{
    struct exploration broken = exploration(cpus, bound, function);
    size_t runs;

    broken.split = split;
    fake_cpus(EXPLORE_ACTORS);
    if (explore(&broken, &runs) == NULL)
        fail_msg("%zu interleavings do not show that %s is broken", runs, split != NULL ? split : "the machine");
}

/* ---- waiting ---- */

static void wake_parked(void)
{
    start(wake_the_first, UINT64_MAX);
    EXPLORE_CHECK(wait_for(&flag, UINT64_MAX));
}

static void wake_from_another_cpu(void)
{
    start(wake_the_first, (uint64_t)1 << 1);
    EXPLORE_CHECK(wait_for(&flag, UINT64_MAX));
}

/* The same, but what lies in between is done without the lock. */
static void wake_later(struct thread *unused)
{
    struct thread_list woken = {NULL, NULL};

    (void)unused;
    spin_lock(&flag_lock);
    __atomic_store_n(&flag, true, __ATOMIC_RELEASE);
    if (!given_up)
        thread_unpark_later(&threads[0], &woken);
    spin_unlock(&flag_lock);
    threads_go(&woken);
    end_here();
}

static void wake_later_from_another_cpu(void)
{
    start(wake_later, (uint64_t)1 << 1);
    EXPLORE_CHECK(wait_for(&flag, UINT64_MAX));
}

static void test_no_wake_is_lost(void **state)
{
    (void)state;
    must_hold(2, 3, wake_parked);
    must_hold(2, 2, wake_from_another_cpu);
    must_hold(2, 2, wake_later_from_another_cpu);
}

static void test_that_lost_wakes_are_found(void **state)
{
    (void)state;
    must_be_found(2, 2, wake_from_another_cpu, "arrive");
    must_be_found(2, 2, wake_from_another_cpu, "thread_park");
    must_be_found(2, 2, wake_from_another_cpu, "permit");
    kicks_are_forgotten = true;
    must_be_found(2, 2, wake_from_another_cpu, NULL);
}

static void park_until_done(struct thread *thread)
{
    while (!done)
        thread_park(UINT64_MAX);
    EXPLORE_CHECK(order_length + 1 == (unsigned)(thread - threads));
    order_length++;
    end_here();
}

/* On one CPU: in the order in which they went into the list. */
static void wake_a_list(void)
{
    struct thread_list woken = {NULL, NULL};

    order_length = 0;
    for (unsigned i = 1; i < THREADS; i++)
        start(park_until_done, (uint64_t)1 << 0);
    thread_yield();
    done = true;
    for (unsigned i = 1; i < THREADS; i++)
        thread_unpark_later(&threads[i], &woken);
    thread_yield();
    EXPLORE_CHECK(order_length == 0);
    threads_go(&woken);
    thread_yield();
    EXPLORE_CHECK(order_length == THREADS - 1);
}

static void test_a_list_is_woken_in_order(void **state)
{
    (void)state;
    must_hold(1, 0, wake_a_list);
}

#define SPAN 50u

/* When the time is over. */
static void wake_late(struct thread *unused)
{
    explore_pass(SPAN);
    wake_the_first(unused);
}

/* Its CPU is waking it while another does, where its thread may end. */
static void wake_at_the_deadline(void)
{
    start(wake_late, (uint64_t)1 << 1);
    wait_for(&flag, read_clock() + SPAN);
}

static void wake_later_and_late(struct thread *unused)
{
    explore_pass(SPAN);
    wake_later(unused);
}

static void wake_later_at_the_deadline(void)
{
    start(wake_later_and_late, (uint64_t)1 << 1);
    wait_for(&flag, read_clock() + SPAN);
}

static void test_deadline_and_wake(void **state)
{
    (void)state;
    must_hold(2, 2, wake_at_the_deadline);
    must_hold(2, 2, wake_later_at_the_deadline);
}

static void wake_twice(struct thread *unused)
{
    (void)unused;
    set_flag(&flag);
    set_flag(&done);
    end_here();
}

static void wait_twice(void)
{
    start(wake_twice, UINT64_MAX);
    wait_for(&flag, UINT64_MAX);
    wait_for(&done, UINT64_MAX);
}

static void wait_in_a_fault(void)
{
    start(wake_twice, (uint64_t)1 << 1);
    fake_pin(true);
    while (!__atomic_load_n(&flag, __ATOMIC_ACQUIRE) || !__atomic_load_n(&done, __ATOMIC_ACQUIRE))
        thread_park(UINT64_MAX);
    fake_pin(false);
    wait_for(&done, UINT64_MAX);
}

static void test_wakes_one_after_the_other(void **state)
{
    (void)state;
    must_hold(2, 2, wait_twice);
    must_hold(2, 3, wait_in_a_fault);
}

/* A permit is kept, and there is only one. */
static void park_with_permit(void)
{
    uint64_t time = read_clock();

    thread_unpark(thread_current());
    thread_unpark(thread_current());
    thread_park(UINT64_MAX);
    thread_park(time + 10000);
    EXPLORE_CHECK(read_clock() >= time + 10000);
    thread_park(0);
    EXPLORE_CHECK(threads[0].wake.queued == false);
}

static void test_permits(void **state)
{
    (void)state;
    must_hold(1, 0, park_with_permit);
    must_hold(2, 2, park_with_permit);
}

/* ---- deadlines ---- */

static unsigned order[THREADS];

static void sleep_by_number(struct thread *thread)
{
    uint64_t time = 20000 + 1000 * ((7 * self()) % THREADS);

    while (read_clock() < time)
        thread_park(time);
    order[order_length++] = (unsigned)(thread - threads);
    end_here();
}

static void sleep_in_order(void)
{
    order_length = 0;
    for (unsigned i = 1; i < THREADS; i++)
        start(sleep_by_number, UINT64_MAX);
    sleep_by_number(&threads[0]);
}

/* (7 i) mod 4: 0, 3, 2, 1. */
static void check_order(void)
{
    static const unsigned expected[THREADS] = {0, 3, 2, 1};

    assert_memory_equal(order, expected, sizeof(order));
}

static void test_deadlines_in_order(void **state)
{
    (void)state;
    must_hold(1, 0, sleep_in_order);
    check_order();
    must_hold(2, 2, sleep_in_order);
    check_order();
}

static void ring(struct trap_frame *unused)
{
    (void)unused;
    if (cpu_number() == 0 && alarm <= read_clock()) {
        alarm = UINT64_MAX;
        set_flag(&flag);
    }
}

static void set_alarm_of_0(struct thread *unused)
{
    (void)unused;
    scheduler_set_alarm(read_clock() + 500);
    end_here();
}

static void wait_for_alarm(void)
{
    scheduler_on_interrupt(ring);
    start(set_alarm_of_0, (uint64_t)1 << 1);
    EXPLORE_CHECK(wait_for(&flag, UINT64_MAX));
}

static void test_alarm_from_another_cpu(void **state)
{
    (void)state;
    must_hold(2, 2, wait_for_alarm);
}

/* The last one of a CPU's queue gets it when the slice of one is over that another CPU takes over: who sleeps there,
 * and the alarm, are waited for as before. */
static void compute_until_done(struct thread *unused)
{
    (void)unused;
    while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE)) {
        program();
        explore_yield();
        explore_pass(SLICE_NS / 10);
        EXPLORE_CHECK(read_clock() < 20 * (uint64_t)SLICE_NS);
    }
    end_here();
}

static void sleep_beside_others(void)
{
    uint64_t time = 5 * (uint64_t)SLICE_NS;

    start(compute_until_done, UINT64_MAX);
    start(compute_until_done, (uint64_t)1 << 0);
    while (read_clock() < time)
        thread_park(time);
    done = true;
}

static void alarm_beside_others(void)
{
    scheduler_on_interrupt(ring);
    scheduler_set_alarm(5 * (uint64_t)SLICE_NS);
    start(compute_until_done, UINT64_MAX);
    start(compute_until_done, (uint64_t)1 << 0);
    EXPLORE_CHECK(wait_for(&flag, UINT64_MAX));
    done = true;
}

static void test_times_of_a_cpu_whose_queue_is_empty(void **state)
{
    (void)state;
    must_hold(2, 1, sleep_beside_others);
    must_hold(2, 1, alarm_beside_others);
}

/* ---- idle CPUs ---- */

static bool is_done(void *unused)
{
    (void)unused;
    return done;
}

static void say_done(struct thread *unused)
{
    (void)unused;
    __atomic_exchange_n(&done, true, __ATOMIC_SEQ_CST);
    end_here();
}

/* It has the other one's CPU, and no timer interrupts it, until the other one has run. */
static void keep_the_cpu(void)
{
    start(say_done, UINT64_MAX);
    explore_wait(is_done, NULL, UINT64_MAX);
}

/* Who goes to sleep finds what was put into a queue when nobody was idle yet, or is woken for it. */
static void test_none_is_idle_while_others_wait(void **state)
{
    (void)state;
    must_hold(2, 3, keep_the_cpu);
    must_hold(3, 2, keep_the_cpu);
}

/* ---- CPUs ---- */

static void stay(struct thread *thread)
{
    for (unsigned i = 0; i < 3; i++) {
        EXPLORE_CHECK(thread->affinity & cpu_bit(cpu_number()));
        thread_yield();
        program();
    }
    end_here();
}

static void stay_where_allowed(void)
{
    start(stay, (uint64_t)1 << 1);
    start(stay, (uint64_t)1 << 0);
    start(stay, UINT64_MAX);
    stay(&threads[0]);
}

static void test_affinity(void **state)
{
    (void)state;
    must_hold(2, 2, stay_where_allowed);
}

/* It was told to leave: at the next interrupt it has. */
static void run_until_done(struct thread *thread)
{
    while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE)) {
        program();
        explore_yield();
    }
    program();
    EXPLORE_CHECK(thread->affinity & cpu_bit(cpu_number()));
    end_here();
}

static void move_another(void)
{
    start(run_until_done, UINT64_MAX);
    thread_set_affinity(&threads[1], (uint64_t)1 << 0);
    __atomic_store_n(&done, true, __ATOMIC_RELEASE);
}

static void move_itself(void)
{
    start(stay, UINT64_MAX);
    thread_set_affinity(&threads[0], (uint64_t)1 << 1);
    EXPLORE_CHECK(cpu_number() == 1);
    thread_set_affinity(&threads[0], (uint64_t)1 << 0);
    EXPLORE_CHECK(cpu_number() == 0);
    EXPLORE_CHECK(scheduler_counts(1).migrations >= 1);
}

static void test_changed_affinity(void **state)
{
    (void)state;
    must_hold(2, 2, move_itself);
    must_hold(2, 2, move_another);
}

/* ---- turns ---- */

static unsigned turns;

static void take_turns(struct thread *unused)
{
    (void)unused;
    for (unsigned i = 0; i < 5; i++) {
        EXPLORE_CHECK(turns++ % THREADS == self());
        thread_yield();
    }
    end_here();
}

static void yield_to_all(void)
{
    turns = 0;
    for (unsigned i = 1; i < THREADS; i++)
        start(take_turns, UINT64_MAX);
    take_turns(NULL);
}

/* Who never yields is interrupted when its slice is over, not before, and only if somebody waits. */
static void compute(struct thread *unused)
{
    uint64_t begin = read_clock(), slices = scheduler_counts(0).preemptions;

    (void)unused;
    while (!done) {
        program();
        explore_pass(SLICE_NS / 10);
    }
    EXPLORE_CHECK(scheduler_counts(0).preemptions <= slices + 2 + (read_clock() - begin) / SLICE_NS);
    end_here();
}

static void compute_in_turn(void)
{
    for (unsigned i = 0; i < 30; i++) {
        program();
        explore_pass(SLICE_NS / 10);
    }
    EXPLORE_CHECK(scheduler_counts(0).preemptions == 0);
    start(compute, UINT64_MAX);
    for (unsigned i = 0; i < 100; i++) {
        program();
        explore_pass(SLICE_NS / 10);
    }
    EXPLORE_CHECK(scheduler_counts(0).preemptions >= 5);
    EXPLORE_CHECK(thread_cpu_time(&threads[1]) >= 3 * SLICE_NS && thread_cpu_time(&threads[0]) >= 10 * SLICE_NS);
    done = true;
}

static void test_turns(void **state)
{
    (void)state;
    must_hold(1, 0, yield_to_all);
    must_hold(1, 0, compute_in_turn);
}

/* Who sleeps and computes little has the CPU when it is time, not at the end of a slice of one that computes. */
static void sleep_often(struct thread *unused)
{
    (void)unused;
    for (unsigned i = 0; i < 10; i++) {
        uint64_t time = read_clock() + SLICE_NS / 3;

        while (read_clock() < time)
            thread_park(time);
        EXPLORE_CHECK(read_clock() < time + SLICE_NS / 5);
    }
    done = true;
    end_here();
}

static void compute_beside_sleepers(void)
{
    start(sleep_often, UINT64_MAX);
    start(sleep_often, UINT64_MAX);
    while (!done) {
        program();
        explore_pass(SLICE_NS / 10);
        EXPLORE_CHECK(read_clock() < 20 * (uint64_t)SLICE_NS);
    }
}

/* Those that only wake each other take their turns with one that computes. */
static void wake_each_other(struct thread *thread)
{
    struct thread *other = thread == &threads[1] ? &threads[2] : &threads[1];

    while (!done) {
        explore_pass(SLICE_NS / 20);
        thread_unpark(other);
        thread_park(UINT64_MAX);
    }
    if (turns++ == 0)
        thread_unpark(other);
    end_here();
}

static void compute_beside_wakers(void)
{
    turns = 0;
    start(wake_each_other, UINT64_MAX);
    start(wake_each_other, UINT64_MAX);
    for (unsigned i = 0; i < 100; i++) {
        program();
        explore_pass(SLICE_NS / 10);
    }
    EXPLORE_CHECK(thread_cpu_time(&threads[0]) * 4 >= read_clock());
    done = true;
}

/* Woken at once, who has computed for long before it waited comes last. */
static void park_and_note(struct thread *thread)
{
    while (!done)
        thread_park(UINT64_MAX);
    order[order_length++] = (unsigned)(thread - threads);
    end_here();
}

static void compute_and_park(struct thread *thread)
{
    explore_pass(2 * SLICE_NS);
    park_and_note(thread);
}

static void wake_in_order(void)
{
    order_length = 0;
    start(compute_and_park, UINT64_MAX);
    start(park_and_note, UINT64_MAX);
    start(park_and_note, UINT64_MAX);
    thread_yield();
    done = true;
    for (unsigned i = 1; i < THREADS; i++)
        thread_unpark(&threads[i]);
    thread_yield();
    EXPLORE_CHECK(order_length == 3 && order[0] == 2 && order[1] == 3 && order[2] == 1);
}

static void test_turns_of_those_that_wait(void **state)
{
    (void)state;
    must_hold(1, 0, compute_beside_sleepers);
    must_hold(1, 0, compute_beside_wakers);
    must_hold(1, 0, wake_in_order);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_wake_is_lost),
        cmocka_unit_test(test_that_lost_wakes_are_found),
        cmocka_unit_test(test_a_list_is_woken_in_order),
        cmocka_unit_test(test_deadline_and_wake),
        cmocka_unit_test(test_wakes_one_after_the_other),
        cmocka_unit_test(test_permits),
        cmocka_unit_test(test_deadlines_in_order),
        cmocka_unit_test(test_alarm_from_another_cpu),
        cmocka_unit_test(test_times_of_a_cpu_whose_queue_is_empty),
        cmocka_unit_test(test_none_is_idle_while_others_wait),
        cmocka_unit_test(test_affinity),
        cmocka_unit_test(test_changed_affinity),
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_turns_of_those_that_wait),
    };

    return harness_main(argc, argv, tests, ARRAY_LENGTH(tests));
}
