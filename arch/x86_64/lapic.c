/*
 * The local interrupt controller (Intel SDM vol. 3, chapter 10), for one purpose: a one-shot timer that ends a sleep or
 * interrupts the program. It is set up when it is first needed. Interrupts are on while the CPU waits here, and in a
 * program that has a timer of its own or is sampled.
 */
#include "arch/x86_64/arch.h"
#include "core/clock.h"
#include "core/cpu.h"

#define APIC_BASE_X2 (1u << 10)
#define APIC_BASE_ENABLE (1u << 11)
#define APIC_BASE_ADDRESS 0x000ffffffffff000ull

#define REGISTER_EOI 0x0b0
#define REGISTER_SPURIOUS 0x0f0
#define REGISTER_TIMER 0x320
#define REGISTER_LINT0 0x350
#define REGISTER_INITIAL 0x380
#define REGISTER_CURRENT 0x390
#define REGISTER_DIVIDE 0x3e0

#define SPURIOUS_ENABLE (1u << 8)
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
static uint64_t timer_rate;      /* of the counting timer, Hz */
static uint64_t alarm = UINT64_MAX;

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

    msr_write(MSR_APIC_BASE, base); /* x2APIC is entered from the enabled state only */
    if (cpu_features.x2apic)
        msr_write(MSR_APIC_BASE, base | APIC_BASE_X2);
    else
        registers = device_open(DEVICE_LAPIC, base & APIC_BASE_ADDRESS);
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
    mode = ABSENT;
    if (!cpu_features.apic)
        return;
    move_pics();
    enable();
    if (cpu_features.tsc_deadline) {
        lapic_write(REGISTER_TIMER, TIMER_DEADLINE | VECTOR_TIMER);
        __asm__ volatile("mfence" : : : "memory"); /* orders it before the MSR (SDM vol. 3, 10.5.4.1) */
        mode = DEADLINE;
        return;
    }
    timer_rate = measure_timer();
    if (timer_rate == 0)
        return;
    lapic_write(REGISTER_TIMER, VECTOR_TIMER);
    mode = COUNTING;
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

void lapic_timer_interrupt(void)
{
    lapic_write(REGISTER_EOI, 0);
}

static void arm_alarm(void)
{
    uint64_t now = clock_monotonic();

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
        start_timer();
    alarm = deadline;
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
        start_timer();
    /* Only the timer interrupts today, so what ends the wait is the deadline. The alarm is heeded on the way. */
    while ((now = clock_monotonic()) < deadline) {
        if (mode == ABSENT) {
            cpu_pause();
            continue;
        }
        arm(now, alarm > now && alarm < deadline ? alarm : deadline);
        __asm__ volatile("sti; hlt; cli" : : : "memory"); /* nothing interrupts between sti and hlt */
    }
    if (alarm != UINT64_MAX)
        arm_alarm();
    if (flags & FLAG_INTERRUPT)
        __asm__ volatile("sti" : : : "memory");
}
