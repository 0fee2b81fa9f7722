/*
 * I/O ports, time stamps, CPUID and MSRs for one source of arch/x86_64 that a test includes behind this header: what
 * touches the machine in it goes to functions of the test.
 */
#ifndef FAKE_MACHINE_CALLS_H
#define FAKE_MACHINE_CALLS_H

#include "arch/x86_64/arch.h"

uint8_t fake_read8(uint16_t port);
void fake_write8(uint16_t port, uint8_t value);
uint32_t fake_read32(uint16_t port);
uint64_t fake_tsc(void);
struct cpuid fake_cpuid(uint32_t leaf, uint32_t subleaf);
uint64_t fake_msr_read(uint32_t msr);
void fake_msr_write(uint32_t msr, uint64_t value);

static inline void fake_write_string(uint16_t port, const char *bytes, size_t count)
{
    while (count-- > 0)
        fake_write8(port, (uint8_t)*bytes++);
}

#define port_read8 fake_read8
#define port_read32 fake_read32
#define port_write8 fake_write8
#define port_write_string fake_write_string
#define tsc_read fake_tsc
#define cpuid(leaf, subleaf) fake_cpuid(leaf, subleaf)
#define msr_read fake_msr_read
#define msr_write fake_msr_write

#endif
