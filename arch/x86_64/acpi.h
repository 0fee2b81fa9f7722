/*
 * ACPI tables (ACPI specification 6.5, chapter 5.2), found when asked for and never at boot. Every table is read
 * through short-lived windows: nothing stays mapped and nothing is trusted. Lengths are bounded, checksums must be
 * right.
 */
#ifndef ARCH_ACPI_H
#define ARCH_ACPI_H

#include "core/base/types.h"

struct acpi_table {
    paddr_t address;
    uint32_t length; /* header included */
};

/* The table with the signature ("FACP", "APIC", "DSDT" ...), the index-th of its kind; false if there is none. */
bool acpi_find(const char *signature, unsigned index, struct acpi_table *table);

/* Copies part of the table; false, and zeroes, where it is shorter. */
bool acpi_read(const struct acpi_table *table, uint32_t offset, void *to, uint32_t length);

/* Generic address structure (5.2.3.2). */
#define ACPI_SPACE_MEMORY 0
#define ACPI_SPACE_IO 1

struct acpi_register {
    uint8_t space, bits, bit_offset, access;
    uint64_t address;
} __attribute__((packed));

/* Fields of the FADT ("FACP", 5.2.9) by offset. */
enum acpi_fadt {
    FADT_DSDT = 40,
    FADT_SMI_COMMAND = 48,
    FADT_ACPI_ENABLE = 52,
    FADT_PM1A_EVENT = 56,
    FADT_PM1A_CONTROL = 64,
    FADT_PM1B_CONTROL = 68,
    FADT_PM_TIMER = 76,
    FADT_PM1_EVENT_LENGTH = 88,
    FADT_PM_TIMER_LENGTH = 91,
    FADT_CENTURY = 108,
    FADT_FLAGS = 112,
    FADT_RESET_REGISTER = 116,
    FADT_RESET_VALUE = 128,
    FADT_X_DSDT = 140,
    FADT_X_PM1A_EVENT = 148,
    FADT_X_PM1A_CONTROL = 172,
    FADT_X_PM1B_CONTROL = 184,
    FADT_X_PM_TIMER = 208,
    FADT_SLEEP_CONTROL = 244,
};

#define FADT_FLAG_NO_BUTTON (1u << 4) /* no fixed one */
#define FADT_FLAG_TIMER_32 (1u << 8)
#define FADT_FLAG_RESET (1u << 10)
#define FADT_FLAG_REDUCED (1u << 20)

/* The sleep types of S5 (soft off) from the _S5_ package in the DSDT or an SSDT (7.4.2.1). */
bool acpi_soft_off(uint8_t *type_a, uint8_t *type_b);

/* Writes the low byte to a register in memory or I/O space; false if there is none. */
bool acpi_write_register(const struct acpi_register *target, uint8_t value);

#endif
