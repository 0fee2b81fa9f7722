/*
 * I/O ports and time stamps for one source of arch/x86_64 that a test includes behind this header: what touches the
 * machine in it goes to functions of the test.
 */
#ifndef FAKE_PORTS_H
#define FAKE_PORTS_H

#include "arch/x86_64/arch.h"

uint8_t fake_read8(uint16_t port);
void fake_write8(uint16_t port, uint8_t value);
uint64_t fake_tsc(void);

static inline void fake_write_string(uint16_t port, const char *bytes, size_t count)
{
    while (count-- > 0)
        fake_write8(port, (uint8_t)*bytes++);
}

#define port_read8 fake_read8
#define port_write8 fake_write8
#define port_write_string fake_write_string
#define tsc_read fake_tsc

#endif
