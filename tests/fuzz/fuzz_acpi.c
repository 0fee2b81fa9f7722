/*
 * libFuzzer target for the firmware's tables: FADT, MADT, SPCR, DSDT and an SSDT. An input is their contents, one
 * behind the other; what a checksum would keep out is repaired, but for tables whose mark says no. Memory is a MiB,
 * beyond it everything reads as ones. Whatever is in them, looking ends, reads no address that the CPU cannot have, and
 * is the same the second time.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "machine_calls.h"

#include "arch/x86_64/acpi.h"
#include "arch/x86_64/madt.h"
#include "arch/x86_64/uart.c"
#include "low_memory.h"

#define RSDP 0xf0000u
#define XSDT 0xf1000u
#define FIRST_TABLE 0x20000u
#define HEADER 36u
#define IDS 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct boot_info boot_info = {.rsdp = RSDP};
bool console_ending;

static uint64_t now;

static void check(int condition)
{
    if (!condition)
        abort();
}

/* ---- the machine ---- */

void *device_open(enum device_window window, paddr_t address)
{
    static uint8_t registers[4096];

    (void)window;
    check(address != 0 && address >> PHYSICAL_BITS == 0);
    return registers + address % sizeof registers;
}

uint8_t fake_read8(uint16_t port)
{
    return (uint8_t)port;
}

void fake_write8(uint16_t port, uint8_t value)
{
    (void)port, (void)value;
}

uint64_t fake_tsc(void)
{
    return now += 1ull << 30;
}

void cpu_relax(void)
{
}

/* ---- the tables ---- */

static void close_sum(uint32_t start, uint32_t length, uint32_t offset)
{
    uint8_t sum = 0;

    memory[start + offset] = 0;
    for (uint32_t i = 0; i < length; i++)
        sum = (uint8_t)(sum + memory[start + i]);
    memory[start + offset] = (uint8_t)-sum;
}

static void put_root(void)
{
    const uint64_t xsdt = XSDT;

    memcpy(memory + RSDP, "RSD PTR ", 8);
    memory[RSDP + 15] = 2;
    memory[RSDP + 20] = 36;
    memcpy(memory + RSDP + 24, &xsdt, sizeof xsdt);
    close_sum(RSDP, 20, 8);
    close_sum(RSDP, 36, 32);
    memcpy(memory + XSDT, "XSDT", 4);
}

/* A table of the input: its length, a mark, its contents. What is left of the input. */
static size_t put_table(const char *signature, uint32_t at, uint32_t entry, const uint8_t *data, size_t size)
{
    uint32_t length = size >= 3 ? data[0] | (uint32_t)(data[1] & 15) << 8 : 0;
    uint32_t there = length < size ? length : (uint32_t)size;
    const uint64_t address = at;

    memcpy(memory + at + HEADER, data, there);
    memcpy(memory + at, signature, 4);
    length += HEADER;
    memcpy(memory + at + 4, &length, sizeof length);
    if (size >= 3 && data[2] & 1) /* a length that is not its own */
        memcpy(memory + at + 4, data, sizeof(uint16_t));
    close_sum(at, length, 9);
    memcpy(memory + XSDT + HEADER + 8 * entry, &address, sizeof address);
    return size - there;
}

static void put_tables(const uint8_t *data, size_t size)
{
    static const char *const signatures[] = {"FACP", "APIC", "SPCR", "DSDT", "SSDT"};
    static const uint32_t count = sizeof signatures / sizeof *signatures;
    uint32_t length = HEADER + 8 * count;
    const uint64_t dsdt = FIRST_TABLE + 3 * 0x2000;
    size_t left = size;

    memset(memory + FIRST_TABLE, 0, count * 0x2000);
    for (uint32_t i = 0; i < count; i++)
        left = put_table(signatures[i], FIRST_TABLE + i * 0x2000, i, data + (size - left), left);
    memcpy(memory + FIRST_TABLE + FADT_X_DSDT, &dsdt, sizeof dsdt);
    close_sum(FIRST_TABLE, memory[FIRST_TABLE + 4] | (uint32_t)memory[FIRST_TABLE + 5] << 8, 9);
    memcpy(memory + XSDT + 4, &length, sizeof length);
    close_sum(XSDT, length, 9);
}

/* ---- what is looked for ---- */

struct result {
    size_t cpus;
    uint32_t ids[IDS];
    bool off, uart;
    uint8_t type_a, type_b;
    struct acpi_table fadt;
};

static void look(struct result *result)
{
    memset(result, 0, sizeof *result);
    memset(&uart, 0, sizeof uart);
    written = patient = false; /* one that has worked is waited for as long as its reader likes */
    result->cpus = madt_cpus(0, result->ids, IDS);
    for (size_t i = 0; i < result->cpus && i < IDS; i++)
        for (size_t k = 0; k < i; k++)
            check(result->ids[i] != result->ids[k] && result->ids[i] != 0);
    result->off = acpi_soft_off(&result->type_a, &result->type_b);
    if (!result->off)
        result->type_a = result->type_b = 0;
    if (!acpi_find("FACP", 0, &result->fadt))
        memset(&result->fadt, 0, sizeof result->fadt);
    result->uart = uart_find();
    if (result->uart)
        uart_write("text", 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct result once, again;

    put_root();
    put_tables(data, size);
    look(&once);
    look(&again);
    check(memcmp(&once, &again, sizeof once) == 0);
    return 0;
}
