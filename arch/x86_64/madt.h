/*
 * The CPUs of the machine, as the firmware tells them: the ACPI table "APIC" (MADT, ACPI specification 6.5, 5.2.12).
 * Nothing in it is trusted: a damaged entry ends the list.
 */
#ifndef ARCH_MADT_H
#define ARCH_MADT_H

#include "core/base/types.h"

/* The local APICs of the CPUs that are there, without the running one's: their number, of which `max` are noted, each
 * once, in the firmware's order. 0 where there is no such table. */
size_t madt_cpus(uint32_t own, uint32_t *ids, size_t max);

#endif
