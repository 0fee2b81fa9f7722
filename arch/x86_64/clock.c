/*
 * Time from the time-stamp counter (core/clock.h). Nothing is measured at boot. The first use asks, in this order,
 * whoever knows the counter's rate (the hypervisor, CPUID), else measures it against a timer for two milliseconds:
 * ACPI PM timer, HPET, PIT. Any of them can be absent or frozen, so all loops are bounded. A measured rate is made
 * precise later, without waiting: by a second sample of the timer when the clock is read after half a second or more.
 */
#include "core/clock.h"

#include "arch/x86_64/acpi.h"
#include "arch/x86_64/arch.h"
#include "arch/x86_64/layout.h"
#include "core/base/string.h"
#include "core/boot_info.h"
#include "core/spinlock.h"

#define SECOND 1000000000ull

/* What is believed to be a rate of a time-stamp counter, in Hz. */
#define RATE_MIN 1000000ull
#define RATE_MAX 16000000000ull
/* When nothing tells: 1 GHz. Time then runs at a wrong speed, but it runs. */
#define RATE_ASSUMED 1000000000ull

struct timer {
    const char *name;
    uint64_t rate; /* Hz */
    uint64_t mask; /* of the counter, which counts up */
    uint64_t (*read)(void);
};

struct sample {
    uint64_t tsc, ticks;
};

static struct {
    const char *source; /* NULL: not started */
    uint64_t rate;
    struct timer timer; /* of a measured rate */
    struct sample first;
} state;

/* valid_until: 0 before the first use, then when a second sample makes sense. */
struct clock_scale clock_scale;

/* ---- whoever knows the rate ---- */

#define HYPERVISOR_LEAF_NEXT 0x40000100u /* KVM, where the first place shows Hyper-V's interface */
#define LEAF_FREQUENCY 0x10u             /* VMware's leaf: kHz in EAX */
#define HYPERV_FEATURES 3u
#define HYPERV_FREQUENCY_ALLOWED (1u << 11) /* EAX */
#define HYPERV_FREQUENCY_THERE (1u << 8)    /* EDX */
#define HYPERV_PAGE_ALLOWED (1u << 9)       /* EAX */
#define MSR_HYPERV_PAGE 0x40000021u
#define MSR_HYPERV_TSC_FREQUENCY 0x40000022u
#define HYPERV_PAGE_ENABLE 1u
#define KVM_SIGNATURE "KVMKVMKVM\0\0\0"
#define KVM_FEATURES 1u
#define KVM_CLOCK_OLD (1u << 0)
#define KVM_CLOCK (1u << 3)
#define MSR_KVM_CLOCK_OLD 0x12u
#define MSR_KVM_CLOCK 0x4b564d01u
#define KVM_CLOCK_ENABLE 1u

/* Hyper-V's reference TSC page (TLFS 12.7), read once for the rate in it, then given back: its time, in units of 100
 * ns, is ticks * scale >> 64. */
struct hyperv_page {
    uint32_t sequence, reserved; /* 0: what it says is not to be used */
    uint64_t scale;
    int64_t offset;
};

static uint64_t rate_from_hyperv_page(void)
{
    static char
        room[2 * VM_PAGE_SIZE]; /* a page somewhere in it: nothing of the image is aligned to one (image.ld.S) */
    volatile struct hyperv_page *page = (struct hyperv_page *)align_up((uintptr_t)room, VM_PAGE_SIZE);

    msr_write(MSR_HYPERV_PAGE, image_physical(page) | HYPERV_PAGE_ENABLE);
    uint64_t scale = page->sequence != 0 ? page->scale >> 32 : 0;

    msr_write(MSR_HYPERV_PAGE, 0);
    return scale != 0 ? (SECOND / 100 << 32) / scale : 0;
}

static uint64_t rate_from_hyperv(void)
{
    struct cpuid id = cpuid(HYPERVISOR_LEAF, 0);

    if (!cpuid_is_signed(&id, "Microsoft Hv") || id.a < HYPERVISOR_LEAF + HYPERV_FEATURES)
        return 0;
    id = cpuid(HYPERVISOR_LEAF + HYPERV_FEATURES, 0);
    if (id.a & HYPERV_FREQUENCY_ALLOWED && id.d & HYPERV_FREQUENCY_THERE)
        return msr_read(MSR_HYPERV_TSC_FREQUENCY);
    return id.a & HYPERV_PAGE_ALLOWED ? rate_from_hyperv_page() : 0;
}

/* VMware's leaf; QEMU with KVM shows it too. */
static uint64_t rate_from_frequency_leaf(void)
{
    struct cpuid id = cpuid(HYPERVISOR_LEAF, 0);

    if ((!cpuid_is_signed(&id, "VMwareVMware") && !cpuid_is_signed(&id, KVM_SIGNATURE)) ||
        id.a < HYPERVISOR_LEAF + LEAF_FREQUENCY)
        return 0;
    return cpuid(HYPERVISOR_LEAF + LEAF_FREQUENCY, 0).a * 1000ull;
}

/* KVM's clock page (Linux, Documentation/virt/kvm/x86/msr.rst), read once for the rate in it, then given back. */
static struct {
    uint32_t version, pad;
    uint64_t tsc_timestamp, system_time;
    uint32_t tsc_to_system_mul;
    int8_t tsc_shift;
    uint8_t flags, pad2[2];
} volatile kvm_page __attribute__((aligned(64)));

static uint64_t rate_from_kvm_page(uint32_t msr)
{
    paddr_t page = image_physical(&kvm_page);
    uint64_t rate = 0;

    msr_write(msr, page | KVM_CLOCK_ENABLE);
    uint32_t multiplier = kvm_page.tsc_to_system_mul;
    int shift = kvm_page.tsc_shift;

    if (multiplier != 0 && shift > -32 && shift < 32) {
        rate = (SECOND << 32) / multiplier; /* ns = (ticks << shift) * multiplier >> 32 */
        rate = shift < 0 ? rate << -shift : rate >> shift;
    }
    msr_write(msr, 0);
    return rate;
}

static uint64_t rate_from_kvm(void)
{
    for (uint32_t base = HYPERVISOR_LEAF; base <= HYPERVISOR_LEAF_NEXT; base += 0x100) {
        struct cpuid id = cpuid(base, 0);

        if (!cpuid_is_signed(&id, KVM_SIGNATURE))
            continue;
        uint32_t features = cpuid(base + KVM_FEATURES, 0).a;

        if (features & KVM_CLOCK)
            return rate_from_kvm_page(MSR_KVM_CLOCK);
        if (features & KVM_CLOCK_OLD)
            return rate_from_kvm_page(MSR_KVM_CLOCK_OLD);
    }
    return 0;
}

/* Crystal and ratio (SDM vol. 3, 18.7.3); without the crystal's rate, the base frequency of leaf 0x16 in MHz. */
static uint64_t rate_from_cpuid(void)
{
    if (cpu_features.highest_leaf < 0x15)
        return 0;
    struct cpuid ratio = cpuid(0x15, 0);

    if (ratio.a != 0 && ratio.b != 0 && ratio.c != 0)
        return (uint64_t)ratio.c * ratio.b / ratio.a;
    if (cpu_features.highest_leaf < 0x16)
        return 0;
    return (cpuid(0x16, 0).a & 0xffff) * 1000000ull;
}

/* ---- timers ---- */

static uint16_t pm_port;

static uint64_t pm_read(void)
{
    return port_read32(pm_port);
}

static bool pm_start(struct timer *timer)
{
    struct acpi_table fadt;
    struct acpi_register wide;
    uint32_t narrow, flags;
    uint8_t length;

    if (!acpi_find("FACP", 0, &fadt))
        return false;
    acpi_read(&fadt, FADT_PM_TIMER, &narrow, sizeof narrow);
    acpi_read(&fadt, FADT_PM_TIMER_LENGTH, &length, sizeof length);
    acpi_read(&fadt, FADT_FLAGS, &flags, sizeof flags);
    acpi_read(&fadt, FADT_X_PM_TIMER, &wide, sizeof wide);
    if (wide.space == ACPI_SPACE_IO && wide.address != 0 && wide.address <= 0xffff)
        narrow = (uint32_t)wide.address;
    if (narrow == 0 || narrow > 0xffff || length != 4 || flags & FADT_FLAG_REDUCED)
        return false;
    pm_port = (uint16_t)narrow;
    *timer = (struct timer){"ACPI PM timer", 3579545, flags & FADT_FLAG_TIMER_32 ? 0xffffffff : 0xffffff, pm_read};
    return true;
}

/* HPET specification 1.0a, 2.3 and 3.2.4. */
#define HPET_TABLE_ADDRESS 40
#define HPET_PERIOD 0x004 /* femtoseconds */
#define HPET_CONFIG 0x010
#define HPET_CONFIG_RUN 1u
#define HPET_COUNTER 0x0f0
#define HPET_PERIOD_MIN 10000000u
#define HPET_PERIOD_MAX 100000000u

static volatile char *hpet;

static volatile uint32_t *hpet_register(unsigned offset)
{
    return (volatile uint32_t *)(hpet + offset);
}

static uint64_t hpet_read(void)
{
    return *hpet_register(HPET_COUNTER);
}

static bool hpet_start(struct timer *timer)
{
    struct acpi_table table;
    struct acpi_register base;

    if (!acpi_find("HPET", 0, &table) || !acpi_read(&table, HPET_TABLE_ADDRESS, &base, sizeof base) ||
        base.space != ACPI_SPACE_MEMORY || base.address == 0 || !is_aligned(base.address, 1024))
        return false;
    hpet = device_open(DEVICE_TIMER, base.address);
    uint32_t period = *hpet_register(HPET_PERIOD);

    if (period < HPET_PERIOD_MIN || period > HPET_PERIOD_MAX)
        return false;
    *hpet_register(HPET_CONFIG) |= HPET_CONFIG_RUN;
    *timer = (struct timer){"HPET", 1000000000000000ull / period, 0xffffffff, hpet_read};
    return true;
}

/* Channel 2 of the 8254 as a free running counter, speaker off. Its output bit in port 0x61 is never waited for: it
 * does not move on Hyper-V. */
#define PIT_CHANNEL_2 0x42
#define PIT_COMMAND 0x43
#define PIT_RATE_GENERATOR 0xb4
#define PIT_LATCH_2 0x80
#define PIT_GATE_PORT 0x61
#define PIT_GATE 0x01
#define PIT_SPEAKER 0x02

static uint64_t pit_read(void)
{
    port_write8(PIT_COMMAND, PIT_LATCH_2);
    uint8_t low = port_read8(PIT_CHANNEL_2);
    uint8_t high = port_read8(PIT_CHANNEL_2);

    return 0xffffu - (uint32_t)(high << 8 | low);
}

static bool pit_start(struct timer *timer)
{
    port_write8(PIT_GATE_PORT, (uint8_t)((port_read8(PIT_GATE_PORT) & ~PIT_SPEAKER) | PIT_GATE));
    port_write8(PIT_COMMAND, PIT_RATE_GENERATOR);
    port_write8(PIT_CHANNEL_2, 0);
    port_write8(PIT_CHANNEL_2, 0);
    *timer = (struct timer){"PIT", 1193182, 0xffff, pit_read};
    return true;
}

/* ---- measuring ---- */

/* Reading a timer leaves a virtual machine: the quickest of a few pairs is the truest. */
static struct sample take_sample(const struct timer *timer)
{
    struct sample best = {0};
    uint64_t shortest = ~0ull;

    for (unsigned i = 0; i < 3; i++) {
        uint64_t before = tsc_read();
        uint64_t ticks = timer->read();
        uint64_t after = tsc_read();

        if (after - before < shortest) {
            shortest = after - before;
            best = (struct sample){before + shortest / 2, ticks};
        }
    }
    return best;
}

static uint64_t rate_between(const struct timer *timer, struct sample first, struct sample second)
{
    uint64_t ticks = (second.ticks - first.ticks) & timer->mask;

    return ticks ? (second.tsc - first.tsc) * timer->rate / ticks : 0;
}

/* Two milliseconds; 0 if the timer does not move, or far too slowly. Where reading it costs ten instructions and no
 * more, as when they are counted (-icount), that is 200,000 readings. */
#define MEASURE_READS 400000u
#define FROZEN_READS 1000u

static uint64_t measure(const struct timer *timer, struct sample *first)
{
    uint64_t enough = timer->rate / 500;

    *first = take_sample(timer);
    for (unsigned i = 0; i < MEASURE_READS; i++) {
        uint64_t moved = (timer->read() - first->ticks) & timer->mask;

        if (moved >= enough)
            return rate_between(timer, *first, take_sample(timer));
        if (moved == 0 && i == FROZEN_READS)
            return 0;
    }
    return 0;
}

static void use_rate(const char *source, uint64_t rate)
{
    state.source = source;
    state.rate = rate;
    clock_scale.multiplier = (SECOND << 32) / rate;
    clock_scale.valid_until = ~0ull;
}

static bool plausible(uint64_t rate)
{
    return rate >= RATE_MIN && rate <= RATE_MAX;
}

static bool use_known_rate(void)
{
    static const struct {
        const char *name;
        uint64_t (*rate)(void);
        bool hypervisor;
    } sources[] = {
        {"Hyper-V", rate_from_hyperv, true},
        {"CPUID 0x40000010", rate_from_frequency_leaf, true},
        {"kvm-clock", rate_from_kvm, true},
        {"CPUID 0x15", rate_from_cpuid, false},
    };

    for (size_t i = 0; i < ARRAY_LENGTH(sources); i++) {
        uint64_t rate = sources[i].hypervisor && !cpu_features.hypervisor ? 0 : sources[i].rate();

        if (plausible(rate)) {
            use_rate(sources[i].name, rate);
            return true;
        }
    }
    return false;
}

static bool use_measured_rate(void)
{
    static bool (*const starts[])(struct timer *) = {pm_start, hpet_start, pit_start};

    for (size_t i = 0; i < ARRAY_LENGTH(starts); i++) {
        uint64_t rate = starts[i](&state.timer) ? measure(&state.timer, &state.first) : 0;

        if (plausible(rate)) {
            use_rate(state.timer.name, rate);
            /* A second sample within one turn of the counter; the PIT turns too fast. */
            if (state.timer.mask / state.timer.rate >= 2)
                clock_scale.valid_until = state.first.tsc + rate / 2;
            return true;
        }
    }
    return false;
}

static void start(void)
{
    clock_scale.base_tsc = boot_tsc;
    if (!use_known_rate() && !use_measured_rate())
        use_rate("none, 1 GHz assumed", RATE_ASSUMED);
}

/* ---- changing the scale ---- */

/* `version` is odd while it is changed, and readers try again; a reader on this CPU would do so for ever, so interrupts
 * are off. */
#if QUIRE_THREADS
static struct spinlock_clock changing;

static uint64_t begin_change(void)
{
    uint64_t flags;

    __asm__ volatile("pushfq; popq %0; cli" : "=r"(flags) : : "memory");
    spin_lock(&changing);
    __atomic_store_n(&clock_scale.version, clock_scale.version + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    return flags;
}

static void end_change(uint64_t flags)
{
    __atomic_store_n(&clock_scale.version, clock_scale.version + 1, __ATOMIC_RELEASE);
    spin_unlock(&changing);
    if (flags & FLAG_INTERRUPT)
        __asm__ volatile("sti" : : : "memory");
}

static uint64_t scaled(uint64_t tsc)
{
    uint64_t version, ns;

    do {
        version = __atomic_load_n(&clock_scale.version, __ATOMIC_ACQUIRE) & ~1ull;
        ns = clock_scale_ns(tsc);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    } while (UNLIKELY(__atomic_load_n(&clock_scale.version, __ATOMIC_RELAXED) != version) && !cpu_others_stopped());
    return ns;
}
#else
static inline uint64_t begin_change(void)
{
    clock_scale.version++;
    return 0;
}

static inline void end_change(uint64_t flags)
{
    (void)flags;
}

static inline uint64_t scaled(uint64_t tsc)
{
    return clock_scale_ns(tsc);
}
#endif

#if QUIRE_THREADS
/* ---- counters that do not agree ---- */

/* valid_until is 0 then, for good: whoever reads the clock finds the way here, programs by a call. */
static bool apart;
static PERCPU int64_t counter_offset; /* of the CPU's counter to that of CPU 0, in ticks, about */
static uint64_t latest;               /* that was told to anybody, ns */

void clock_split(int64_t own)
{
    uint64_t flags = begin_change();

    this_cpu(counter_offset) = own;
    apart = true;
    clock_scale.valid_until = 0;
    end_change(flags);
}

static COLD uint64_t read_apart(uint64_t tsc)
{
    uint64_t ns = scaled(tsc + (uint64_t)this_cpu(counter_offset)), told = __atomic_load_n(&latest, __ATOMIC_RELAXED);

    while (told < ns && !__atomic_compare_exchange_n(&latest, &told, ns, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        continue;
    return told < ns ? ns : told;
}

static inline uint64_t own_tsc(uint64_t tsc)
{
    return tsc - (uint64_t)this_cpu(counter_offset);
}
#else
static inline uint64_t own_tsc(uint64_t tsc)
{
    return tsc;
}
#endif

/* ---- a more precise rate ---- */

/* Takes the second sample; too late, when the counter may have turned, it becomes the first. */
static __attribute__((noinline)) void refine(void)
{
    struct sample second = take_sample(&state.timer);
    uint64_t ns = scaled(second.tsc);
    uint64_t turn = state.timer.mask / state.timer.rate;

    if (second.tsc - state.first.tsc < (turn < 4 ? turn - 1 : 3) * state.rate) {
        uint64_t rate = rate_between(&state.timer, state.first, second);

        if (plausible(rate)) {
            uint64_t flags = begin_change();

            clock_scale.base_tsc = second.tsc;
            clock_scale.base_ns = ns;
            use_rate(state.source, rate);
            end_change(flags);
        }
        clock_scale.valid_until = ~0ull;
        return;
    }
    state.first = second;
    clock_scale.valid_until = second.tsc + state.rate / 2;
}

/* By one CPU; others go on with the rate as it is. */
static inline void refine_once(void)
{
#if QUIRE_THREADS
    static bool refining;

    if (__atomic_exchange_n(&refining, true, __ATOMIC_ACQUIRE))
        return;
    refine();
    __atomic_store_n(&refining, false, __ATOMIC_RELEASE);
#else
    refine();
#endif
}

uint64_t clock_monotonic(void)
{
    if (UNLIKELY(!state.source))
        start();
    uint64_t tsc = tsc_read();

    if (UNLIKELY(tsc >= clock_scale.valid_until)) {
#if QUIRE_THREADS
        if (apart)
            return read_apart(tsc);
#endif
        refine_once();
    }
    return scaled(tsc);
}

uint64_t clock_tsc_at(uint64_t ns)
{
    uint64_t ahead = ns > clock_scale.base_ns ? ns - clock_scale.base_ns : 0;

    return own_tsc(clock_scale.base_tsc + ahead / SECOND * state.rate + ahead % SECOND * state.rate / SECOND);
}

const char *clock_source(void)
{
    clock_monotonic();
    return state.source;
}

uint64_t clock_rate(void)
{
    clock_monotonic();
    return state.rate;
}

/* ---- the date ---- */

#define CMOS_INDEX 0x70
#define CMOS_DATA 0x71
#define CMOS_SECOND 0
#define CMOS_MINUTE 2
#define CMOS_HOUR 4
#define CMOS_DAY 7
#define CMOS_MONTH 8
#define CMOS_YEAR 9
#define CMOS_STATUS_A 10
#define CMOS_STATUS_B 11
#define CMOS_UPDATING 0x80
#define CMOS_NOTHING 0xff /* what is read where there is no such clock */
#define CMOS_24_HOURS 0x02
#define CMOS_BINARY 0x04
#define CMOS_PM 0x80
#define CMOS_UPDATE_READS 10000u /* an update takes at most 2 ms */

struct date {
    uint8_t second, minute, hour, day, month, year, century;
};

static uint8_t cmos_read(uint8_t index)
{
    port_write8(CMOS_INDEX, index);
    return port_read8(CMOS_DATA);
}

static struct date date_read(uint8_t century_index)
{
    for (unsigned i = 0; i < CMOS_UPDATE_READS && cmos_read(CMOS_STATUS_A) & CMOS_UPDATING; i++)
        cpu_pause();
    return (struct date){.second = cmos_read(CMOS_SECOND),
                         .minute = cmos_read(CMOS_MINUTE),
                         .hour = cmos_read(CMOS_HOUR),
                         .day = cmos_read(CMOS_DAY),
                         .month = cmos_read(CMOS_MONTH),
                         .year = cmos_read(CMOS_YEAR),
                         .century = century_index ? cmos_read(century_index) : 0};
}

static uint8_t from_bcd(uint8_t value)
{
    return (uint8_t)((value >> 4) * 10 + (value & 15));
}

static void date_normalise(struct date *date)
{
    uint8_t mode = cmos_read(CMOS_STATUS_B);
    bool afternoon = !(mode & CMOS_24_HOURS) && date->hour & CMOS_PM;
    uint8_t *fields = &date->second;

    if (!(mode & CMOS_24_HOURS))
        date->hour &= (uint8_t)~CMOS_PM;
    for (size_t i = 0; i < sizeof *date && !(mode & CMOS_BINARY); i++)
        fields[i] = from_bcd(fields[i]);
    if (!(mode & CMOS_24_HOURS))
        date->hour = (uint8_t)(date->hour % 12 + (afternoon ? 12 : 0));
    if (date->century < 19 || date->century > 29)
        date->century = 20;
}

/* Seconds since 1970, or 0 if that is no date. */
static uint64_t date_seconds(const struct date *date)
{
    static const uint16_t before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    unsigned year = date->century * 100u + date->year;

    if (year < 1970 || date->year > 99 || date->month < 1 || date->month > 12 || date->day < 1 || date->day > 31 ||
        date->hour > 23 || date->minute > 59 || date->second > 60)
        return 0;
    unsigned passed = year - (date->month <= 2); /* years whose 29 February has passed */
    uint64_t days = (year - 1970) * 365ull + (passed / 4 - 1969 / 4) - (passed / 100 - 1969 / 100) +
                    (passed / 400 - 1969 / 400) + before[date->month - 1] + date->day - 1;

    return ((days * 24 + date->hour) * 60 + date->minute) * 60 + date->second;
}

static uint64_t cmos_seconds(void)
{
    struct acpi_table fadt;
    uint8_t century = 0;

    if (cmos_read(CMOS_STATUS_A) == CMOS_NOTHING)
        return 0;
    if (acpi_find("FACP", 0, &fadt))
        acpi_read(&fadt, FADT_CENTURY, &century, sizeof century);
    struct date read = date_read(century), again;

    for (unsigned i = 0; i < 4; i++, read = again) { /* equal twice: no update came in between */
        again = date_read(century);
        if (memcmp(&read, &again, sizeof read) == 0)
            break;
    }
    date_normalise(&read);
    return date_seconds(&read);
}

static bool date_asked;

static void set_date(uint64_t offset)
{
    uint64_t flags = begin_change();

    clock_scale.date = offset;
    end_change(flags);
    __atomic_store_n(&date_asked, true, __ATOMIC_RELEASE);
}

/* By one CPU, as reading the CMOS takes several steps; others wait for the scale. */
static COLD void ask_date(void)
{
    uint64_t now = clock_monotonic(), flags = begin_change();

    if (!date_asked) {
        uint64_t seconds = cmos_seconds();

        clock_scale.date = seconds ? seconds * SECOND - now : 0;
        __atomic_store_n(&date_asked, true, __ATOMIC_RELEASE);
    }
    end_change(flags);
}

uint64_t clock_realtime(void)
{
    if (UNLIKELY(!__atomic_load_n(&date_asked, __ATOMIC_ACQUIRE)))
        ask_date();
    return clock_scale.date + clock_monotonic();
}

void clock_set_realtime(uint64_t ns)
{
    set_date(ns - clock_monotonic());
}
