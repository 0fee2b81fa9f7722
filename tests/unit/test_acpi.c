/* Tables of the firmware, good and damaged, in a MiB of memory where a BIOS has them; and the CPUs that they tell of.
 */
#include <string.h>

#include "arch/x86_64/acpi.h"
#include "arch/x86_64/arch.h"
#include "arch/x86_64/madt.h"
#include "core/boot_info.h"
#include "fake/harness.h"
#include "fake/low_memory.h"

#define RSDP 0xe0010u
#define XSDT 0xe1000u
#define MADT 0xe2ff0u /* across a page */
#define OWN 0u
#define HEADER 44u

struct boot_info boot_info;

static uint32_t madt_length;

/* ---- what acpi.c stands on ---- */

void *device_open(enum device_window window, paddr_t address)
{
    (void)window, (void)address;
    fail();
    return NULL;
}

/* ---- the tables ---- */

static void put(uint32_t at, const void *bytes, size_t size)
{
    memcpy(memory + at, bytes, size);
}

static void put32(uint32_t at, uint32_t value)
{
    put(at, &value, sizeof value);
}

static void put64(uint32_t at, uint64_t value)
{
    put(at, &value, sizeof value);
}

/* Makes the bytes sum up to 0 by the one at the offset. */
static void close_sum(uint32_t start, uint32_t length, uint32_t offset)
{
    uint8_t sum = 0;

    memory[start + offset] = 0;
    for (uint32_t i = 0; i < length; i++)
        sum = (uint8_t)(sum + memory[start + i]);
    memory[start + offset] = (uint8_t)-sum;
}

static void close_table(uint32_t start, const char *signature, uint32_t length)
{
    put(start, signature, 4);
    put32(start + 4, length);
    close_sum(start, length, 9);
}

static void close_madt(void)
{
    close_table(MADT, "APIC", madt_length);
}

static void add_bytes(const void *bytes, size_t size)
{
    put(MADT + madt_length, bytes, size);
    madt_length += (uint32_t)size;
    close_madt();
}

static void add_apic(uint8_t id, uint8_t flags)
{
    const uint8_t entry[] = {0, 8, id, id, flags, 0, 0, 0};

    add_bytes(entry, sizeof entry);
}

static void add_x2apic(uint32_t id, uint8_t flags)
{
    const uint8_t entry[] = {
        9, 16, 0, 0, (uint8_t)id, (uint8_t)(id >> 8), (uint8_t)(id >> 16), (uint8_t)(id >> 24), flags, 0, 0, 0,
        0, 0,  0, 0};

    add_bytes(entry, sizeof entry);
}

/* A root pointer, a root table, and a MADT without entries. */
static int set_up(void **state)
{
    const uint64_t wide = XSDT;

    (void)state;
    memset(memory, 0, sizeof memory);
    memset(&boot_info, 0, sizeof boot_info);
    put(RSDP, "RSD PTR ", 8);
    memory[RSDP + 15] = 2;
    put32(RSDP + 20, 36);
    put(RSDP + 24, &wide, sizeof wide);
    close_sum(RSDP, 20, 8);
    close_sum(RSDP, 36, 32);
    put64(XSDT + 36, MADT);
    close_table(XSDT, "XSDT", 44);
    madt_length = HEADER;
    close_madt();
    return 0;
}

static size_t find(uint32_t *ids, size_t max)
{
    return madt_cpus(OWN, ids, max);
}

/* ---- tests ---- */

static void finds_cpus(void **state)
{
    uint32_t ids[8];

    (void)state;
    add_apic(0, 1);
    add_apic(2, 1);
    add_bytes((uint8_t[]){1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 12); /* an I/O APIC */
    add_apic(3, 0);                                                  /* disabled */
    add_apic(4, 2);                                                  /* may be added one day */
    add_apic(0xff, 1);
    add_x2apic(2, 1); /* again */
    add_x2apic(0x12345, 1);
    add_x2apic(0x12346, 0);
    add_x2apic(0xffffffff, 1);
    add_apic(7, 3);
    assert_int_equal(find(ids, 8), 3);
    assert_int_equal(ids[0], 2);
    assert_int_equal(ids[1], 0x12345);
    assert_int_equal(ids[2], 7);
}

static void notes_no_more_than_there_is_room_for(void **state)
{
    uint32_t ids[3] = {99, 99, 99};

    (void)state;
    for (unsigned i = 1; i <= 200; i++)
        add_apic((uint8_t)i, 1);
    assert_int_equal(find(ids, 2), 200);
    assert_int_equal(ids[1], 2);
    assert_int_equal(ids[2], 99);
    assert_int_equal(find(NULL, 0), 200);
}

static void without_tables_there_is_no_other(void **state)
{
    uint32_t ids[2];

    (void)state;
    add_apic(1, 1);
    memory[RSDP]++;
    assert_int_equal(find(ids, 2), 0);
}

static void without_this_table_there_is_no_other(void **state)
{
    uint32_t ids[2];

    (void)state;
    add_apic(1, 1);
    close_table(MADT, "BPIC", madt_length);
    assert_int_equal(find(ids, 2), 0);
}

static void damaged_sum(void **state)
{
    uint32_t ids[2];

    (void)state;
    add_apic(1, 1);
    memory[MADT + madt_length - 1] ^= 1;
    assert_int_equal(find(ids, 2), 0);
}

/* Lengths in the header: shorter than a header, larger than memory and than any table, and up to the end of addresses.
 */
static void damaged_table_length(void **state)
{
    static const uint32_t lengths[] = {0, 4, 35, (16u << 20) + 1, 0xffffffff};
    uint32_t ids[2];

    (void)state;
    add_apic(1, 1);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        put32(MADT + 4, lengths[i]);
        assert_int_equal(find(ids, 2), 0);
    }
}

/* What ends before its first entry, and inside of an entry: what is whole counts. */
static void table_ends_early(void **state)
{
    uint32_t ids[2];

    (void)state;
    add_apic(1, 1);
    add_apic(2, 1);
    for (uint32_t length = 36; length <= HEADER + 16; length++) {
        madt_length = length;
        close_madt();
        assert_int_equal(find(ids, 2), length < HEADER + 8 ? 0 : length < HEADER + 16 ? 1 : 2);
    }
}

/* An entry of length 0 or 1 would be read for ever; one that is longer than the table ends it. */
static void damaged_entry_length(void **state)
{
    static const uint8_t lengths[] = {0, 1, 9 + 8, 255};
    uint32_t ids[4];

    (void)state;
    add_apic(1, 1);
    add_apic(2, 1);
    add_apic(3, 1);
    for (size_t i = 0; i < sizeof lengths; i++) {
        memory[MADT + HEADER + 8 + 1] = lengths[i];
        close_madt();
        assert_int_equal(find(ids, 4), 1);
        assert_int_equal(ids[0], 1);
    }
    memory[MADT + HEADER + 8 + 1] = 7; /* too short for what it is: the next begins inside of it, and ends the list */
    close_madt();
    assert_int_equal(find(ids, 4), 1);
}

/* Root tables that point beyond RAM, and beyond what there can be. */
static void damaged_root(void **state)
{
    static const uint64_t addresses[] = {0, MEMORY - 4, (1ull << PHYSICAL_BITS) - 8, 1ull << 40, ~0ull};
    uint32_t ids[2];

    (void)state;
    add_apic(1, 1);
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        put64(XSDT + 36, addresses[i]);
        close_table(XSDT, "XSDT", 44);
        assert_int_equal(find(ids, 2), 0);
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(finds_cpus, set_up),
        cmocka_unit_test_setup(notes_no_more_than_there_is_room_for, set_up),
        cmocka_unit_test_setup(without_tables_there_is_no_other, set_up),
        cmocka_unit_test_setup(without_this_table_there_is_no_other, set_up),
        cmocka_unit_test_setup(damaged_sum, set_up),
        cmocka_unit_test_setup(damaged_table_length, set_up),
        cmocka_unit_test_setup(table_ends_early, set_up),
        cmocka_unit_test_setup(damaged_entry_length, set_up),
        cmocka_unit_test_setup(damaged_root, set_up),
    };

    return harness_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
