/* The UART at ports and in memory, where the firmware's table says, and where there is none or one that is stuck. */
#include "harness.h"
#include "machine_calls.h"

#include "arch/x86_64/uart.c"

#define PHYSICAL_BITS 36
#define MEMORY_ADDRESS 0xfe001000u

struct boot_info boot_info;
bool console_ending;

static uint8_t memory[64] __attribute__((aligned(64))); /* the registers of a UART in memory */
static bool opened;
static uint16_t base; /* of the UART at ports; 0: there is none */
static uint8_t ports[8], nothing;
static char sent[64];
static size_t sent_count;
static uint64_t now;

static struct {
    bool there;
    uint8_t interface;
    struct acpi_register base;
} table;

/* ---- the machine ---- */

uint8_t fake_read8(uint16_t port)
{
    return base != 0 && port - base < 8 ? ports[port - base] : nothing;
}

void fake_write8(uint16_t port, uint8_t value)
{
    if (base == 0 || port - base >= 8)
        return;
    if (port == base && !(ports[LINE_CONTROL] & LINE_DIVISOR))
        sent[sent_count++ % sizeof sent] = (char)value;
    ports[port - base] = value;
}

uint64_t fake_tsc(void)
{
    return now += 1ull << 30;
}

void cpu_relax(void)
{
}

unsigned mmu_physical_bits(void)
{
    return PHYSICAL_BITS;
}

void *device_open(enum device_window window, paddr_t address)
{
    assert_int_equal(window, DEVICE_UART);
    assert_int_equal(address, MEMORY_ADDRESS);
    opened = true;
    return memory;
}

bool acpi_find(const char *signature, unsigned index, struct acpi_table *found)
{
    assert_memory_equal(signature, "SPCR", 4);
    *found = (struct acpi_table){0, 80};
    return table.there && index == 0;
}

bool acpi_read(const struct acpi_table *of, uint32_t offset, void *to, uint32_t length)
{
    (void)of;
    if (offset == SPCR_INTERFACE)
        memcpy(to, &table.interface, length);
    else
        memcpy(to, &table.base, length);
    return true;
}

static int set_up(void **state)
{
    (void)state;
    memset(&uart, 0, sizeof uart);
    uart.port = FIRST_PORT;
    burst = 0;
    moved = now = 0;
    written = patient = console_ending = opened = false;
    memset(memory, 0, sizeof memory);
    memset(ports, 0, sizeof ports);
    ports[LINE_STATUS] = STATUS_EMPTY | STATUS_IDLE;
    nothing = 0xff;
    base = 0;
    sent_count = 0;
    table.there = true;
    table.interface = INTERFACE_16550;
    table.base = (struct acpi_register){ACPI_SPACE_MEMORY, 8, 0, 1, MEMORY_ADDRESS};
    return 0;
}

/* ---- tests ---- */

static void first_port(void **state)
{
    (void)state;
    base = FIRST_PORT;
    assert_true(uart_init());
    uart_write("hello", 5);
    uart_drain();
    assert_int_equal(sent_count, 5);
    assert_memory_equal(sent, "hello", 5);
}

static void other_port(void **state)
{
    (void)state;
    base = 0x2f8;
    table.base = (struct acpi_register){ACPI_SPACE_IO, 8, 0, 1, 0x2f8};
    assert_false(uart_init());
    assert_true(uart_find());
    uart_write("hello", 5);
    assert_memory_equal(sent, "hello", 5);
}

static void none(void **state)
{
    (void)state;
    for (unsigned value = 0; value <= 0xff; value += 0xff) {
        nothing = (uint8_t)value;
        assert_false(uart_init());
        table.there = false;
        assert_false(uart_find());
        table.there = true;
        table.base = (struct acpi_register){ACPI_SPACE_IO, 8, 0, 1, 0x3e8};
        assert_false(uart_find());
    }
}

/* How far registers lie apart by what the table says, and how wide they are accessed. */
static void in_memory(void **state)
{
    static const struct {
        uint8_t bits, access, distance;
    } cases[] = {{8, 1, 1}, {0, 0, 1}, {16, 2, 2}, {32, 1, 4}, {32, 3, 4}, {8, 3, 4}, {255, 1, 1}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        set_up(state);
        table.base.bits = cases[i].bits;
        table.base.access = cases[i].access;
        memory[LINE_STATUS * cases[i].distance] = STATUS_EMPTY | STATUS_IDLE;
        assert_true(uart_find());
        assert_true(opened);
        uart_write("ab", 2);
        assert_int_equal(memory[0], 'b');
        assert_int_equal(memory[MODEM_CONTROL * cases[i].distance], MODEM_DTR_RTS);
        assert_int_equal(memory[SCRATCH * cases[i].distance], 0xf0);
    }
}

static void addresses_that_cannot_be(void **state)
{
    static const struct acpi_register bases[] = {
        {ACPI_SPACE_MEMORY, 8, 0, 1, 0},
        {ACPI_SPACE_MEMORY, 8, 0, 1, ~0ull},
        {ACPI_SPACE_MEMORY, 8, 0, 1, 1ull << PHYSICAL_BITS},
        {ACPI_SPACE_MEMORY, 32, 0, 3, MEMORY_ADDRESS + 2},
        {ACPI_SPACE_MEMORY, 32, 0, 3, MEMORY_ADDRESS + 0xff0}, /* across a page */
        {ACPI_SPACE_MEMORY, 8, 0, 1, MEMORY_ADDRESS + 0xffc},
        {ACPI_SPACE_IO, 8, 0, 1, 0},
        {ACPI_SPACE_IO, 8, 0, 1, 0xfffc},
        {ACPI_SPACE_IO, 8, 0, 1, 0x102f8},
        {2, 8, 0, 1, 0x2f8},
        {0xff, 0xff, 0xff, 0xff, ~0ull},
    };

    base = 0x2f8;
    for (size_t i = 0; i < sizeof bases / sizeof *bases; i++) {
        table.base = bases[i];
        assert_false(uart_find());
    }
    assert_false(opened);
    set_up(state);
    for (table.interface = 2; table.interface < 255; table.interface++)
        assert_int_equal(uart_find(), false || table.interface == INTERFACE_16550_GENERIC);
}

/* It never takes a byte: each write ends after some seconds, as does the last wait. */
static void stuck(void **state)
{
    (void)state;
    base = FIRST_PORT;
    assert_true(uart_init());
    ports[LINE_STATUS] = 0;
    uart_write("hello", 5);
    uart_drain();
    assert_int_equal(sent_count, 0);
    ports[LINE_STATUS] = STATUS_EMPTY;
    uart_write("hello", 5);
    assert_int_equal(sent_count, 5);
    ports[LINE_STATUS] = 0;
    console_ending = true; /* it has worked before, and would be waited for else */
    uart_begin_end();
    uart_write("again", 5);
    assert_int_equal(sent_count, 5);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(first_port, set_up),
        cmocka_unit_test_setup(other_port, set_up),
        cmocka_unit_test_setup(none, set_up),
        cmocka_unit_test_setup(in_memory, set_up),
        cmocka_unit_test_setup(addresses_that_cannot_be, set_up),
        cmocka_unit_test_setup(stuck, set_up),
    };

    return harness_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
