/*
 * Time. Contract, implemented by arch/x86_64/clock.c. The rate of the time-stamp counter is settled when the clock is
 * first asked for, not at boot: from the hypervisor or CPUID where they tell, otherwise against a timer (bounded).
 */
#ifndef CORE_CLOCK_H
#define CORE_CLOCK_H

#include "core/base/types.h"

C_DECLARATIONS_BEGIN

/* Nanoseconds since some moment at boot; never goes back. */
uint64_t clock_monotonic(void);
/* Nanoseconds since 1970-01-01 UTC: the CMOS clock read once, then monotonic; 0-based where there is none. */
uint64_t clock_realtime(void);
/* Sets it, for as long as the machine runs. */
void clock_set_realtime(uint64_t ns);
/* How the rate was found ("CPUID 0x15", "PM timer" ...), and it in Hz. */
const char *clock_source(void);
uint64_t clock_rate(void);

C_DECLARATIONS_END

#endif
