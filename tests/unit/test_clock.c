/*
 * Who is asked for the rate of the time-stamp counter, in which order, and what is believed: hypervisors and timers of
 * a pretended machine, which answers nonsense as well, stands still, or has nothing at all.
 */
#include "harness.h"
#include "machine_calls.h"

#include "arch/x86_64/clock.c"

#define REAL_RATE 2400000000ull
#define TSC_STEP 2400u /* a microsecond each time that it is read */
#define PM_PORT 0x608

struct boot_info boot_info = {.image_start = 0x200000};
struct cpu_features cpu_features;
uint64_t boot_tsc;

static struct {
    const char *signature;             /* of the hypervisor; NULL: none */
    uint32_t leaves;                   /* the highest, from 0x40000000 on */
    uint32_t hyperv_a, hyperv_d, khz;  /* leaf 3, and leaf 0x10 */
    uint64_t hyperv_rate, hyperv_page; /* the MSR, the scale in the page */
    uint32_t kvm_multiplier, crystal;
    uint32_t base_mhz;
    bool pm, pm_frozen, pit;
    uint32_t hpet_period;
} machine;

static uint64_t now;
static uint32_t hpet_registers[256];
static unsigned pit_byte, pages_open;

/* ---- the machine ---- */

uint64_t fake_tsc(void)
{
    return now += TSC_STEP;
}

static uint64_t ticks(uint64_t rate)
{
    return (uint64_t)((unsigned __int128)now * rate / REAL_RATE);
}

uint8_t fake_read8(uint16_t port)
{
    uint16_t count = (uint16_t)(0xffff - ticks(1193182));

    now += TSC_STEP;
    if (!machine.pit)
        return 0xff;
    return port != PIT_CHANNEL_2 ? 0 : pit_byte++ % 2 ? (uint8_t)(count >> 8) : (uint8_t)count;
}

void fake_write8(uint16_t port, uint8_t value)
{
    (void)port, (void)value;
}

uint32_t fake_read32(uint16_t port)
{
    now += TSC_STEP;
    assert_int_equal(port, PM_PORT);
    return machine.pm_frozen ? 0xffffffff : (uint32_t)ticks(3579545) & 0xffffff;
}

struct cpuid fake_cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid id = {0};

    (void)subleaf;
    if (leaf == 0x15)
        return (struct cpuid){machine.crystal ? 2 : 0, machine.crystal ? 192 : 0, machine.crystal, 0};
    if (leaf == 0x16)
        return (struct cpuid){machine.base_mhz, 0, 0, 0};
    if (leaf == HYPERVISOR_LEAF && machine.signature) {
        id.a = machine.leaves;
        memcpy(&id.b, machine.signature, 12);
    }
    if (leaf == HYPERVISOR_LEAF + KVM_FEATURES && machine.kvm_multiplier)
        id.a = KVM_CLOCK;
    if (leaf == HYPERVISOR_LEAF + HYPERV_FEATURES)
        id = (struct cpuid){machine.hyperv_a, 0, 0, machine.hyperv_d};
    if (leaf == HYPERVISOR_LEAF + LEAF_FREQUENCY)
        id.a = machine.khz;
    return id;
}

uint64_t fake_msr_read(uint32_t msr)
{
    assert_int_equal(msr, MSR_HYPERV_TSC_FREQUENCY);
    return machine.hyperv_rate;
}

/* Fills the page that is shown, as the hypervisor does at once. */
void fake_msr_write(uint32_t msr, uint64_t value)
{
    void *page = (void *)(IMAGE_BASE + (value & ~1ull) - boot_info.image_start);

    if (!(value & 1)) {
        pages_open--;
        return;
    }
    pages_open++;
    if (msr == MSR_KVM_CLOCK) {
        kvm_page.tsc_to_system_mul = machine.kvm_multiplier;
        return;
    }
    assert_int_equal(msr, MSR_HYPERV_PAGE);
    assert_true(is_aligned(value & ~1ull, VM_PAGE_SIZE));
    *(struct hyperv_page *)page = (struct hyperv_page){machine.hyperv_page != 0, 0, machine.hyperv_page, 0};
}

void *device_open(enum device_window window, paddr_t address)
{
    assert_int_equal(window, DEVICE_TIMER);
    assert_int_equal(address, 0xfed00000);
    hpet_registers[HPET_PERIOD / 4] = machine.hpet_period;
    return hpet_registers;
}

bool acpi_find(const char *signature, unsigned index, struct acpi_table *table)
{
    bool wants_hpet = memcmp(signature, "HPET", 4) == 0;

    *table = (struct acpi_table){wants_hpet, 276};
    return index == 0 && (wants_hpet ? machine.hpet_period != 0 : machine.pm);
}

bool acpi_read(const struct acpi_table *table, uint32_t offset, void *to, uint32_t length)
{
    const uint32_t port = PM_PORT;
    const uint8_t size = 4;
    const struct acpi_register base = {ACPI_SPACE_MEMORY, 64, 0, 0, 0xfed00000};

    memset(to, 0, length);
    if (table->address)
        memcpy(to, &base, length);
    else if (offset == FADT_PM_TIMER)
        memcpy(to, &port, length);
    else if (offset == FADT_PM_TIMER_LENGTH)
        memcpy(to, &size, length);
    return true;
}

static int set_up(void **unused)
{
    (void)unused;
    memset(&machine, 0, sizeof machine);
    memset(&state, 0, sizeof state);
    memset(&clock_scale, 0, sizeof clock_scale);
    memset(&cpu_features, 0, sizeof cpu_features);
    cpu_features.highest_leaf = 0x16;
    now = 1000000;
    pages_open = 0;
    return 0;
}

static void use_hypervisor(const char *signature)
{
    cpu_features.hypervisor = true;
    machine.signature = signature;
    machine.leaves = HYPERVISOR_LEAF + LEAF_FREQUENCY;
}

static void assert_clock(const char *source, uint64_t rate, uint64_t tolerance)
{
    memset(&state, 0, sizeof state);
    memset(&clock_scale, 0, sizeof clock_scale);
    assert_string_equal(clock_source(), source);
    assert_in_range(clock_rate(), rate - tolerance, rate + tolerance);
    assert_int_equal(pages_open, 0);
}

/* ---- tests ---- */

/* Whoever comes first is taken away, and the next one is asked. */
static void order(void **unused)
{
    (void)unused;
    use_hypervisor("Microsoft Hv");
    machine.hyperv_a = HYPERV_FREQUENCY_ALLOWED | HYPERV_PAGE_ALLOWED;
    machine.hyperv_d = HYPERV_FREQUENCY_THERE;
    machine.hyperv_rate = 2500000000;
    machine.hyperv_page = (uint64_t)(((unsigned __int128)10000000 << 64) / 2600000000u);
    machine.crystal = 25000000;
    machine.base_mhz = 2300;
    machine.pm = machine.pit = true;
    machine.hpet_period = 69841279;
    assert_clock("Hyper-V", 2500000000, 0);
    machine.hyperv_d = 0;
    assert_clock("Hyper-V", 2600000000, 1000);
    machine.hyperv_a = 0;
    assert_clock("CPUID 0x15", 2400000000, 0);
    use_hypervisor("VMwareVMware");
    machine.khz = 2700000;
    assert_clock("CPUID 0x40000010", 2700000000, 0);
    use_hypervisor(KVM_SIGNATURE);
    machine.khz = 0;
    machine.kvm_multiplier = (uint32_t)((1000000000ull << 32) / 2800000000u);
    assert_clock("kvm-clock", 2800000000, 10);
    machine.kvm_multiplier = 0;
    assert_clock("CPUID 0x15", 2400000000, 0);
    machine.crystal = 0;
    assert_clock("CPUID 0x15", 2300000000, 0);
    machine.base_mhz = 0;
    assert_clock("ACPI PM timer", REAL_RATE, REAL_RATE / 200);
    machine.pm = false;
    machine.pit = false;
    machine.hpet_period = 0;
    assert_clock("none, 1 GHz assumed", 1000000000, 0);
}

static void timers(void **unused)
{
    (void)unused;
    machine.pit = true;
    assert_clock("PIT", REAL_RATE, REAL_RATE / 100);
    machine.pm = machine.pm_frozen = true;
    assert_clock("PIT", REAL_RATE, REAL_RATE / 100);
    machine.pm_frozen = false;
    assert_clock("ACPI PM timer", REAL_RATE, REAL_RATE / 200);
}

/* Rates that no counter has; timers that stand still or answer ones; nothing waits for ever. */
static void nonsense(void **unused)
{
    static const uint64_t rates[] = {0, 1, 999999, 16000000001, ~0ull};

    (void)unused;
    use_hypervisor("Microsoft Hv");
    machine.hyperv_a = HYPERV_FREQUENCY_ALLOWED;
    machine.hyperv_d = HYPERV_FREQUENCY_THERE;
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        machine.hyperv_rate = rates[i];
        assert_clock("none, 1 GHz assumed", 1000000000, 0);
    }
    machine.hyperv_a = HYPERV_PAGE_ALLOWED;
    for (machine.hyperv_page = 0; machine.hyperv_page < 8; machine.hyperv_page++)
        assert_clock("none, 1 GHz assumed", 1000000000, 0);
    machine.hyperv_page = 1ull << 32;
    assert_clock("none, 1 GHz assumed", 1000000000, 0);
    use_hypervisor("VMwareVMware");
    machine.khz = ~0u;
    assert_clock("none, 1 GHz assumed", 1000000000, 0);
    machine.leaves = HYPERVISOR_LEAF + LEAF_FREQUENCY - 1; /* it has no such leaf */
    machine.khz = 2000000;
    assert_clock("none, 1 GHz assumed", 1000000000, 0);
    machine.pm = machine.pm_frozen = true;
    machine.hpet_period = 69841279; /* its counter does not move either */
    assert_clock("none, 1 GHz assumed", 1000000000, 0);
    machine.hpet_period = ~0u;
    assert_clock("none, 1 GHz assumed", 1000000000, 0);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(order, set_up),
        cmocka_unit_test_setup(timers, set_up),
        cmocka_unit_test_setup(nonsense, set_up),
    };

    return harness_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
