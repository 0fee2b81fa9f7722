#include "arch/x86_64/acpi.h"

#include "arch/x86_64/arch.h"
#include "arch/x86_64/fixmap.h"
#include "core/base/string.h"
#include "core/boot_info.h"
#include "vm/mmu.h"

#define HEADER_SIZE 36
#define HEADER_LENGTH 4 /* offset of the length */
#define TABLE_MAX (16u << 20)

#define RSDP_SIGNATURE "RSD PTR "
#define RSDP_SIZE_1 20
#define RSDP_SIZE_2 36
#define RSDP_SIZE_MAX 64
#define RSDP_STEP 16

#define BIOS_START 0xe0000
#define BIOS_END 0x100000
#define EBDA_SEGMENT 0x40e
#define EBDA_SIZE 1024

struct rsdp { /* 5.2.5.3 */
    char signature[8];
    uint8_t checksum;
    char oem[6];
    uint8_t revision;
    uint32_t rsdt;
    uint32_t length;
    uint64_t xsdt;
    uint8_t extended_checksum, reserved[3];
} __attribute__((packed));
_Static_assert(sizeof(struct rsdp) == RSDP_SIZE_2, "ACPI 5.2.5.3");

static bool in_physical_space(paddr_t address, uint64_t length)
{
    uint64_t end = 1ull << mmu_physical_bits();

    return address != 0 && address < end && length <= end - address;
}

static uint8_t sum(paddr_t address, uint32_t length)
{
    uint8_t total = 0;

    while (length > 0) {
        uint32_t offset = address & VM_PAGE_MASK;
        uint32_t piece = length < VM_PAGE_SIZE - offset ? length : (uint32_t)VM_PAGE_SIZE - offset;
        const uint8_t *page = fixmap_open(FIXMAP_ACPI, address - offset, 0);

        for (uint32_t i = 0; i < piece; i++)
            total = (uint8_t)(total + page[offset + i]);
        address += piece;
        length -= piece;
    }
    fixmap_close(FIXMAP_ACPI);
    return total;
}

/* ---- the root ---- */

static bool rsdp_at(paddr_t address, struct rsdp *rsdp)
{
    if (!in_physical_space(address, RSDP_SIZE_MAX))
        return false;
    memset(rsdp, 0, sizeof *rsdp);
    fixmap_copy(rsdp, address, RSDP_SIZE_1);
    if (memcmp(rsdp->signature, RSDP_SIGNATURE, sizeof rsdp->signature) != 0 || sum(address, RSDP_SIZE_1) != 0)
        return false;
    if (rsdp->revision < 2)
        return true;
    fixmap_copy(rsdp, address, RSDP_SIZE_2);
    return rsdp->length >= RSDP_SIZE_2 && rsdp->length <= RSDP_SIZE_MAX && sum(address, rsdp->length) == 0;
}

static bool rsdp_in(paddr_t start, paddr_t end, struct rsdp *rsdp)
{
    for (paddr_t address = start; address < end; address += RSDP_STEP) {
        if (rsdp_at(address, rsdp))
            return true;
    }
    return false;
}

/* Where the boot loader said, else where a BIOS has it (5.2.5.1). */
static bool find_rsdp(struct rsdp *rsdp)
{
    uint16_t segment;

    if (rsdp_at(boot_info.rsdp, rsdp))
        return true;
    fixmap_copy(&segment, EBDA_SEGMENT, sizeof segment);
    paddr_t ebda = (paddr_t)segment << 4;

    return (ebda >= 0x400 && ebda < 0xa0000 && rsdp_in(ebda, ebda + EBDA_SIZE, rsdp)) ||
           rsdp_in(BIOS_START, BIOS_END, rsdp);
}

/* ---- tables ---- */

/* A table with the signature (NULL: any) at the address. */
static bool table_at(paddr_t address, const char *signature, struct acpi_table *table)
{
    char header[HEADER_SIZE];

    if (!in_physical_space(address, HEADER_SIZE))
        return false;
    fixmap_copy(header, address, sizeof header);
    table->address = address;
    memcpy(&table->length, header + HEADER_LENGTH, sizeof table->length);
    return memcmp(header, signature, 4) == 0 && table->length >= HEADER_SIZE && table->length <= TABLE_MAX &&
           in_physical_space(address, table->length) && sum(address, table->length) == 0;
}

bool acpi_read(const struct acpi_table *table, uint32_t offset, void *to, uint32_t length)
{
    if (offset > table->length || length > table->length - offset) {
        memset(to, 0, length);
        return false;
    }
    fixmap_copy(to, table->address + offset, length);
    return true;
}

/* The DSDT hangs on the FADT, not on the root table. */
static bool find_dsdt(struct acpi_table *table)
{
    struct acpi_table fadt;
    uint64_t wide;
    uint32_t narrow;

    if (!acpi_find("FACP", 0, &fadt))
        return false;
    acpi_read(&fadt, FADT_X_DSDT, &wide, sizeof wide);
    acpi_read(&fadt, FADT_DSDT, &narrow, sizeof narrow);
    return table_at(wide, "DSDT", table) || table_at(narrow, "DSDT", table);
}

static bool find_root(struct acpi_table *root, unsigned *entry_size)
{
    static bool searched, found;
    static struct acpi_table kept;
    static unsigned kept_size;
    struct rsdp rsdp;

    if (!searched) {
        searched = true;
        if (find_rsdp(&rsdp)) {
            kept_size = rsdp.revision >= 2 && table_at(rsdp.xsdt, "XSDT", &kept) ? 8 : 4;
            found = kept_size == 8 || table_at(rsdp.rsdt, "RSDT", &kept);
        }
    }
    *root = kept;
    *entry_size = kept_size;
    return found;
}

bool acpi_find(const char *signature, unsigned index, struct acpi_table *table)
{
    struct acpi_table root;
    unsigned size;

    if (memcmp(signature, "DSDT", 4) == 0)
        return index == 0 && find_dsdt(table);
    if (!find_root(&root, &size))
        return false;
    for (uint32_t offset = HEADER_SIZE; offset + size <= root.length; offset += size) {
        uint64_t address = 0;

        acpi_read(&root, offset, &address, size);
        if (table_at(address, signature, table) && index-- == 0)
            return true;
    }
    return false;
}

/* ---- soft off ---- */

#define AML_ZERO 0x00
#define AML_ONE 0x01
#define AML_BYTE 0x0a
#define AML_PACKAGE 0x12
#define S5_LENGTH 14 /* name, package, a length of up to 4 bytes, count, two elements */

/* An integer of the package, at `at` of `bytes`; false if it is not one of the forms that fit a sleep type. */
static bool aml_byte(const uint8_t *bytes, unsigned *at, uint8_t *value)
{
    uint8_t first = bytes[(*at)++];

    *value = first;
    if (first == AML_BYTE)
        *value = bytes[(*at)++];
    return first == AML_ZERO || first == AML_ONE || first == AML_BYTE;
}

/* Name (_S5_, Package () {type_a, type_b ...}): 5.7.2, 20.2.5.4. `bytes` begins at the name, zeroes behind its end. */
static bool parse_soft_off(const uint8_t *bytes, uint8_t *type_a, uint8_t *type_b)
{
    unsigned at = 4;

    if (bytes[at++] != AML_PACKAGE)
        return false;
    at += 1 + (bytes[at] >> 6);
    if (bytes[at++] < 1 || !aml_byte(bytes, &at, type_a))
        return false;
    if (!aml_byte(bytes, &at, type_b))
        *type_b = *type_a;
    return true;
}

static bool scan_soft_off(const struct acpi_table *table, uint8_t *type_a, uint8_t *type_b)
{
    static uint8_t block[VM_PAGE_SIZE + S5_LENGTH]; /* blocks overlap by what a match may need */

    for (uint32_t start = HEADER_SIZE; start < table->length; start += VM_PAGE_SIZE) {
        uint32_t length = table->length - start < sizeof block ? table->length - start : (uint32_t)sizeof block;

        memset(block, 0, sizeof block);
        acpi_read(table, start, block, length);
        for (uint32_t i = 0; i < VM_PAGE_SIZE && i + 8 <= length; i++) {
            if (block[i] == '_' && memcmp(block + i, "_S5_", 4) == 0 && parse_soft_off(block + i, type_a, type_b))
                return true;
        }
    }
    return false;
}

bool acpi_soft_off(uint8_t *type_a, uint8_t *type_b)
{
    struct acpi_table table;

    if (acpi_find("DSDT", 0, &table) && scan_soft_off(&table, type_a, type_b))
        return true;
    for (unsigned i = 0; acpi_find("SSDT", i, &table); i++) {
        if (scan_soft_off(&table, type_a, type_b))
            return true;
    }
    return false;
}

bool acpi_write_register(const struct acpi_register *target, uint8_t value)
{
    if (target->address == 0)
        return false;
    if (target->space == ACPI_SPACE_IO && target->address <= 0xffff) {
        port_write8((uint16_t)target->address, value);
        return true;
    }
    if (target->space != ACPI_SPACE_MEMORY || !in_physical_space(target->address, 1))
        return false;
    *(volatile uint8_t *)device_open(DEVICE_POWER, target->address) = value;
    return true;
}
