#include "arch/x86_64/madt.h"

#include "arch/x86_64/acpi.h"

#define ENTRIES 44 /* offset of the first */
#define TYPE_APIC 0
#define TYPE_X2APIC 9
#define FLAG_ENABLED 1u /* without it, and "online capable": a CPU that may be added while the machine runs */
#define APIC_ALL 0xffu
#define X2APIC_ALL 0xffffffffu

struct entry {
    uint8_t type, length; /* both included */
} __attribute__((packed));

struct entry_apic { /* 5.2.12.2 */
    struct entry entry;
    uint8_t uid, id;
    uint32_t flags;
} __attribute__((packed));

struct entry_x2apic { /* 5.2.12.12 */
    struct entry entry;
    uint16_t reserved;
    uint32_t id, flags, uid;
} __attribute__((packed));

/* True if the entry at the offset is of a CPU that is there. */
static bool read_cpu(const struct acpi_table *madt, uint32_t offset, struct entry entry, uint32_t *id)
{
    struct entry_apic narrow;
    struct entry_x2apic wide;

    if (entry.type == TYPE_APIC && entry.length >= sizeof narrow && acpi_read(madt, offset, &narrow, sizeof narrow)) {
        *id = narrow.id;
        return (narrow.flags & FLAG_ENABLED) && narrow.id != APIC_ALL;
    }
    if (entry.type == TYPE_X2APIC && entry.length >= sizeof wide && acpi_read(madt, offset, &wide, sizeof wide)) {
        *id = wide.id;
        return (wide.flags & FLAG_ENABLED) && wide.id != X2APIC_ALL;
    }
    return false;
}

/* Firmware may list a CPU in both forms. */
static bool is_listed(uint32_t id, const uint32_t *ids, size_t count)
{
    while (count > 0)
        if (ids[--count] == id)
            return true;
    return false;
}

size_t madt_cpus(uint32_t own, uint32_t *ids, size_t max)
{
    struct acpi_table madt;
    struct entry entry;
    size_t count = 0;

    if (!acpi_find("APIC", 0, &madt))
        return 0;
    for (uint32_t offset = ENTRIES; acpi_read(&madt, offset, &entry, sizeof entry); offset += entry.length) {
        uint32_t id;

        if (entry.length < sizeof entry || entry.length > madt.length - offset)
            break;
        if (!read_cpu(&madt, offset, entry, &id) || id == own || is_listed(id, ids, count < max ? count : max))
            continue;
        if (count < max)
            ids[count] = id;
        count++;
    }
    return count;
}
