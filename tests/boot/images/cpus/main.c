/* Starts all CPUs and has them ask of each other what they can, all at once. Argument: how many there should be; or
 * "broken". */
#include "core/base/error.h"
#include "core/base/print.h"
#include "core/clock.h"
#include "core/cpu.h"
#include "core/percpu.h"
#include "vm/vm.h"

/* By all CPUs together: where the host has fewer, or runs two of them on one, each answer takes a time slice (4 ms). */
#define CALLS (2000u / cpu_count())
#define HOPS 1500u
#define SLEEPS 20u
#define SLEEP_NS 2000000u
#define LATE_NS 1000000000u
#define READINGS 20000u
#define PAGES 64u
#define NUMBER_WRITE 1
#define E_FAULT_RESULT (-14l)

int main(int argc, char **argv);

static unsigned wrong;

#define EXPECT(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            kprintf("WRONG on CPU %u, line %d: %s\n", cpu_number(), __LINE__, #condition);                             \
            __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);                                                           \
        }                                                                                                              \
    } while (0)

/* ---- together ---- */

static unsigned arrived, round;

/* Each CPU goes on when all are here. */
static void meet(void)
{
    unsigned now = __atomic_load_n(&round, __ATOMIC_ACQUIRE);

    if (__atomic_add_fetch(&arrived, 1, __ATOMIC_ACQ_REL) == cpu_count()) {
        __atomic_store_n(&arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&round, now + 1, __ATOMIC_RELEASE);
    }
    while (__atomic_load_n(&round, __ATOMIC_ACQUIRE) == now)
        cpu_relax();
}

static unsigned turn;

/* One after the other. */
static void wait_for_turn(void)
{
    while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != cpu_number())
        cpu_relax();
}

static void end_turn(void)
{
    __atomic_store_n(&turn, (cpu_number() + 1) % cpu_count(), __ATOMIC_RELEASE);
}

/* ---- what each has for itself ---- */

static uintptr_t stacks[CPUS_MAX];

static void check_own(void)
{
    unsigned own = cpu_number();

    EXPECT(own < cpu_count());
    EXPECT(percpu_offset() == percpu_offsets[own]);
    EXPECT(cpu_variable(own, percpu_number) == own);
    stacks[own] = (uintptr_t)__builtin_frame_address(0);
    meet();
    for (unsigned i = 0; i < cpu_count(); i++)
        EXPECT(i == own || (percpu_offsets[i] != percpu_offsets[own] && stacks[i] - stacks[own] + 4096 > 8192));
}

/* ---- calls ---- */

static struct {
    unsigned calls[CPUS_MAX]; /* by each other CPU */
    unsigned foreign;         /* that were run elsewhere */
} __attribute__((aligned(64))) called[CPUS_MAX];

struct call {
    unsigned by, at;
};

static void count_call(void *argument)
{
    const struct call *call = argument;

    called[cpu_number()].calls[call->by]++;
    if (call->at < CPUS_MAX && call->at != cpu_number())
        called[cpu_number()].foreign++;
}

/* Everybody asks all at once, and then one after the other. */
static void check_calls(void)
{
    struct call call = {.by = cpu_number(), .at = CPUS_MAX};
    unsigned count = cpu_count();

    for (unsigned i = 0; i < CALLS; i++)
        cpu_call(~0ull, count_call, &call);
    for (unsigned i = 0; i < CALLS; i++) {
        call.at = i % count;
        cpu_call(1ull << call.at, count_call, &call);
    }
    meet();
    for (unsigned i = 0; i < count; i++) {
        unsigned single = CALLS / count + (cpu_number() < CALLS % count);

        EXPECT(called[cpu_number()].calls[i] == (i == cpu_number() ? 0 : CALLS + single));
    }
    EXPECT(called[cpu_number()].foreign == 0);
}

/* ---- kicks ---- */

static unsigned token;

/* The token goes round: whoever sleeps in the moment when it comes must wake, however close the two are. */
static void check_kicks(void)
{
    unsigned count = cpu_count();

    for (unsigned hop = cpu_number(); hop < HOPS; hop += count) {
        for (unsigned spin = hop % 64; spin > 0; spin--)
            __asm__ volatile("");
        while (__atomic_load_n(&token, __ATOMIC_ACQUIRE) != hop)
            cpu_wait_until(UINT64_MAX);
        __atomic_store_n(&token, hop + 1, __ATOMIC_RELEASE);
        cpu_kick((hop + 1) % count);
    }
}

/* One that comes while the program runs, after it has looked and before it waits. */
static void check_kick_before_wait(void)
{
    uint64_t kicked = cpu_messages(cpu_number()).kicked, until;

    cpu_wait_until(0); /* one of before */
    meet();
    cpu_kick((cpu_number() + 1) % cpu_count());
    while (cpu_messages(cpu_number()).kicked == kicked)
        cpu_relax();
    until = clock_monotonic() + LATE_NS;
    cpu_wait_until(until);
    EXPECT(clock_monotonic() < until);
}

/* ---- timers and the clock ---- */

static void check_timers(void)
{
    for (unsigned i = 0; i < SLEEPS; i++) {
        uint64_t until = clock_monotonic() + SLEEP_NS * (1 + (i + cpu_number()) % 3), now;

        while ((now = clock_monotonic()) < until)
            cpu_wait_until(until);
        EXPECT(now < until + LATE_NS);
    }
}

static uint64_t latest;

/* A time that was read after another, on whichever CPU, is not before it. */
static void check_clock(void)
{
    for (unsigned i = 0; i < READINGS; i++) {
        uint64_t before = __atomic_load_n(&latest, __ATOMIC_ACQUIRE), now = clock_monotonic();

        EXPECT(now >= before);
        while (before < now &&
               !__atomic_compare_exchange_n(&latest, &before, now, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
            continue;
    }
}

/* ---- faults and exceptions ---- */

static long system_call(long number, long first, const void *second, long third)
{
    __asm__ volatile("syscall" : "+a"(number) : "D"(first), "S"(second), "d"(third) : "rcx", "r11", "memory");
    return number;
}

static void check_faults(void)
{
    struct vm_segment *segment;
    volatile char *memory;

    wait_for_turn();
    segment = vm_alloc(vm_space(), &vm_anon, VM_ANYWHERE, PAGES * VM_PAGE_SIZE, VM_RW | VM_PAGES_4K);
    EXPECT(!IS_ERR(segment));
    if (!IS_ERR(segment)) {
        memory = (volatile char *)vm_start(segment);
        for (unsigned i = 0; i < PAGES; i++) {
            EXPECT(memory[i * VM_PAGE_SIZE] == 0);
            memory[i * VM_PAGE_SIZE] = (char)i;
        }
        for (unsigned i = 0; i < PAGES; i++)
            EXPECT(memory[i * VM_PAGE_SIZE] == (char)i);
        vm_free(vm_space(), segment);
    }
    EXPECT(system_call(NUMBER_WRITE, 1, (const void *)0x10, 8) == E_FAULT_RESULT);
    EXPECT(system_call(NUMBER_WRITE, 1, (const void *)0x0000900000000000, 8) == E_FAULT_RESULT); /* not canonical */
    end_turn();
}

/* ---- all of it ---- */

static void check_all(void)
{
    __asm__ volatile("sti");
    meet();
    check_own();
    meet();
    check_calls();
    meet();
    check_kicks();
    meet();
    check_kick_before_wait();
    meet();
    check_timers();
    meet();
    check_clock();
    meet();
    check_faults();
    meet();
}

static void run_other(void)
{
    check_all();
    for (;;)
        cpu_wait_until(UINT64_MAX);
}

/* All at once: one report. */
static void run_broken(void)
{
    meet();
    __asm__ volatile("ud2");
}

static unsigned number_of(const char *text)
{
    unsigned number = 0;

    while (*text)
        number = number * 10 + (unsigned)(*text++ - '0');
    return number;
}

int main(int argc, char **argv)
{
    uint64_t served = 0;

    if (argc > 1 && argv[1][0] == 'b') {
        cpu_start_others(run_broken);
        run_broken();
    }
    cpu_start_others(run_other);
    kprintf("%u CPUs\n", cpu_count());
    EXPECT(argc < 2 || cpu_count() == number_of(argv[1]));
    check_all();
    for (unsigned i = 0; i < cpu_count(); i++)
        served += cpu_messages(i).served;
    EXPECT(cpu_count() == 1 || served >= CALLS);
    EXPECT(vm_validate(vm_space()) == NULL);
    kprintf("%u wrong\n", wrong);
    return wrong > 0;
}
