/*
 * The local interrupt controller of each CPU (Intel SDM vol. 3, chapter 10), for two purposes: a one-shot timer that
 * ends a sleep or interrupts the program, and messages to other CPUs (smp.c). It is set up when it is first needed.
 * Interrupts are on while the CPU waits here, in a program that has a timer of its own or is sampled, and where there
 * are several CPUs.
 */
#include "arch/x86_64/arch.h"
#include "core/clock.h"
#include "core/cpu.h"
#include "core/percpu.h"

#define APIC_BASE_X2 (1u << 10)
#define APIC_BASE_ENABLE (1u << 11)
#define APIC_BASE_ADDRESS 0x000ffffffffff000ull

#define REGISTER_ID 0x020
#define REGISTER_EOI 0x0b0
#define REGISTER_SPURIOUS 0x0f0
#define REGISTER_COMMAND 0x300     /* x2APIC: with the destination in the upper half */
#define REGISTER_DESTINATION 0x310 /* xAPIC */
#define REGISTER_TIMER 0x320
#define REGISTER_LINT0 0x350
#define REGISTER_LINT1 0x360
#define REGISTER_INITIAL 0x380
#define REGISTER_CURRENT 0x390
#define REGISTER_DIVIDE 0x3e0

#define SPURIOUS_ENABLE (1u << 8)
#define COMMAND_PENDING (1u << 12)
#define COMMAND_SPINS 100000u
#define XAPIC_ID_SHIFT 24
#define XAPIC_ID_MAX 0xfeu
#define LVT_MASKED (1u << 16)
#define TIMER_DEADLINE (2u << 17)
#define DIVIDE_BY_1 0xb

#define PIC_1 0x20
#define PIC_2 0xa0
#define PIC_INIT 0x11
#define PIC_CASCADE_1 4
#define PIC_CASCADE_2 2
#define PIC_8086 1
#define PIC_ALL 0xff

/* The timer's rate is taken over this time, which is part of the first sleep. */
#define MEASURE_NS 200000

/* One arming of the deadline timer; farther deadlines take several. */
#define SLEEP_MAX 3600000000000ull

static enum { UNTRIED, ABSENT, COUNTING, DEADLINE } mode;
static volatile char *registers; /* NULL: x2APIC, by MSR */
static paddr_t window;           /* where they are, of each CPU its own */
static uint64_t timer_rate;      /* of the counting timer, Hz */
/* What cpu_set_alarm asked for, and one more: what has asked for nothing is 0. */
static PERCPU uint64_t alarm_behind;

static void lapic_write(unsigned offset, uint32_t value)
{
    if (registers)
        *(volatile uint32_t *)(registers + offset) = value;
    else
        msr_write(MSR_X2APIC + offset / 16, value);
}

static uint32_t lapic_read(unsigned offset)
{
    return registers ? *(volatile uint32_t *)(registers + offset) : (uint32_t)msr_read(MSR_X2APIC + offset / 16);
}

void pics_mask(void)
{
    port_write8(PIC_1 + 1, PIC_ALL);
    port_write8(PIC_2 + 1, PIC_ALL);
}

/* Nobody uses the PICs: masked, and moved off the exceptions' vectors because a spurious request comes even so. */
static void move_pics(void)
{
    port_write8(PIC_1, PIC_INIT);
    port_write8(PIC_2, PIC_INIT);
    port_write8(PIC_1 + 1, VECTOR_PIC);
    port_write8(PIC_2 + 1, VECTOR_PIC + 8);
    port_write8(PIC_1 + 1, PIC_CASCADE_1);
    port_write8(PIC_2 + 1, PIC_CASCADE_2);
    port_write8(PIC_1 + 1, PIC_8086);
    port_write8(PIC_2 + 1, PIC_8086);
    pics_mask();
}

static void enable(void)
{
    uint64_t base = msr_read(MSR_APIC_BASE) | APIC_BASE_ENABLE;

    if (window == 0)
        window = base & APIC_BASE_ADDRESS;
    base = (base & ~APIC_BASE_ADDRESS) | window;
    msr_write(MSR_APIC_BASE, base); /* x2APIC is entered from the enabled state only */
    if (cpu_features.x2apic)
        msr_write(MSR_APIC_BASE, base | APIC_BASE_X2);
    else if (!registers)
        registers = device_open(DEVICE_LAPIC, window);
    lapic_write(REGISTER_SPURIOUS, SPURIOUS_ENABLE | VECTOR_SPURIOUS);
    lapic_write(REGISTER_LINT0, LVT_MASKED);
}

struct sample {
    uint64_t ns;
    uint32_t count; /* counts down */
};

/* The hypervisor may take the CPU away between the two readings: the quickest of a few pairs is the truest. */
static struct sample take_sample(void)
{
    struct sample best = {0};
    uint64_t shortest = ~0ull;

    for (unsigned i = 0; i < 4; i++) {
        uint64_t before = clock_monotonic();
        uint32_t count = lapic_read(REGISTER_CURRENT);
        uint64_t after = clock_monotonic();

        if (after - before < shortest) {
            shortest = after - before;
            best = (struct sample){before + shortest / 2, count};
        }
    }
    return best;
}

static uint64_t measure_timer(void)
{
    lapic_write(REGISTER_TIMER, LVT_MASKED | VECTOR_TIMER);
    lapic_write(REGISTER_DIVIDE, DIVIDE_BY_1);
    lapic_write(REGISTER_INITIAL, ~0u);
    struct sample first = take_sample(), second;

    do {
        second = take_sample();
    } while (second.ns - first.ns < MEASURE_NS);
    return (uint64_t)(first.count - second.count) * 1000000000ull / (second.ns - first.ns);
}

static void start_timer(void)
{
    if (mode == DEADLINE) {
        lapic_write(REGISTER_TIMER, TIMER_DEADLINE | VECTOR_TIMER);
        __asm__ volatile("mfence" : : : "memory"); /* orders it before the MSR (SDM vol. 3, 10.5.4.1) */
    } else if (mode == COUNTING) {
        lapic_write(REGISTER_DIVIDE, DIVIDE_BY_1);
        lapic_write(REGISTER_TIMER, VECTOR_TIMER);
    }
}

/* Of the boot CPU; its timer is like those of all others. */
static void start(void)
{
    mode = ABSENT;
    if (!cpu_features.apic)
        return;
    move_pics();
    enable();
    if (cpu_features.tsc_deadline) {
        mode = DEADLINE;
    } else {
        timer_rate = measure_timer();
        if (timer_rate != 0)
            mode = COUNTING;
    }
    start_timer();
}

/* One arming may end earlier than asked for: the longest that the timer can do. */
static void arm(uint64_t now, uint64_t deadline)
{
    if (mode == DEADLINE) {
        msr_write(MSR_TSC_DEADLINE, clock_tsc_at(deadline - now < SLEEP_MAX ? deadline : now + SLEEP_MAX));
        return;
    }
    uint64_t ns = deadline - now;
    uint64_t longest = (uint64_t)~0u * 1000000000ull / timer_rate;
    uint64_t count = ns < longest ? ns * timer_rate / 1000000000ull : ~0u;

    lapic_write(REGISTER_INITIAL, count ? (uint32_t)count : 1);
}

void lapic_end_interrupt(void)
{
    lapic_write(REGISTER_EOI, 0);
}

#if QUIRE_THREADS
/* LINT1 is where the firmware may have NMIs come in, to the boot CPU alone. */
bool lapic_start(void)
{
    if (mode == UNTRIED) {
        start();
    } else if (percpu_offset() != 0) { /* its number is not known yet */
        enable();
        lapic_write(REGISTER_LINT1, LVT_MASKED);
        start_timer();
    }
    return mode != ABSENT;
}

uint32_t lapic_id(void)
{
    return registers ? lapic_read(REGISTER_ID) >> XAPIC_ID_SHIFT : lapic_read(REGISTER_ID);
}

bool lapic_reaches(uint32_t id)
{
    return !registers || id <= XAPIC_ID_MAX;
}

/* What was stored before is seen by whoever is interrupted: stores are in order, and WRMSR, which is none, comes after
 * an atomic operation in all callers. */
void lapic_send(uint32_t id, uint32_t what)
{
    if (!registers) {
        msr_write(MSR_X2APIC + REGISTER_COMMAND / 16, (uint64_t)id << 32 | what);
        return;
    }
    for (unsigned i = 0; i < COMMAND_SPINS && (lapic_read(REGISTER_COMMAND) & COMMAND_PENDING); i++)
        cpu_pause();
    lapic_write(REGISTER_DESTINATION, id << XAPIC_ID_SHIFT);
    lapic_write(REGISTER_COMMAND, what);
}
#endif

static inline uint64_t alarm_time(void)
{
    return this_cpu(alarm_behind) - 1;
}

static void arm_alarm(void)
{
    uint64_t now = clock_monotonic(), alarm = alarm_time();

    if (alarm != UINT64_MAX)
        arm(now, alarm > now ? alarm : now + 1);
    else if (mode == DEADLINE)
        msr_write(MSR_TSC_DEADLINE, 0);
    else
        lapic_write(REGISTER_INITIAL, 0);
}

bool cpu_set_alarm(uint64_t deadline)
{
    if (mode == UNTRIED)
        start();
    this_cpu(alarm_behind) = deadline + 1;
    if (mode != ABSENT)
        arm_alarm();
    return mode != ABSENT;
}

/* The program may call this too, with interrupts on or off. */
void cpu_wait_until(uint64_t deadline)
{
    uint64_t now = clock_monotonic(), flags;

    __asm__ volatile("pushfq; popq %0; cli" : "=r"(flags) : : "memory");

    if (UNLIKELY(mode == UNTRIED) && now < deadline)
        start();
    /* Other interrupts than the deadline's, alarms among them, are served on the way. A kick that comes before the CPU
     * halts is in smp_take_kick, or is taken behind sti, in hlt: none is lost. */
    while (!smp_take_kick() && (now = clock_monotonic()) < deadline) {
        if (mode == ABSENT) {
            cpu_pause();
            continue;
        }
        arm(now, alarm_time() > now && alarm_time() < deadline ? alarm_time() : deadline);
        __asm__ volatile("sti; hlt; cli" : : : "memory"); /* nothing interrupts between sti and hlt */
    }
    if (alarm_time() != UINT64_MAX)
        arm_alarm();
    if (flags & FLAG_INTERRUPT)
        __asm__ volatile("sti" : : : "memory");
}
