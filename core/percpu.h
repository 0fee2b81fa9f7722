/*
 * Per-CPU variables. Each file defines its own with PERCPU in front; this_cpu(variable) is the running CPU's copy.
 * The copies of all variables of one CPU are one block: CPU 0 uses the linked block itself, further CPUs a copy of
 * it, and gs holds the distance between the two (arch contract: percpu_offset() of machine.h).
 * A pointer into the block is valid only on its CPU. Interrupt handlers may not touch what the fault path uses.
 *
 * An image whose program cannot create threads runs on one CPU (QUIRE_THREADS 0: core/spinlock.h).
 */
#ifndef CORE_PERCPU_H
#define CORE_PERCPU_H

#include "core/base/types.h"
#include "machine.h" /* percpu_offset(): arch/x86_64, or the fake of tests/unit */

#define CPUS_MAX (QUIRE_THREADS ? 64u : 1u)

#ifndef PERCPU
#define PERCPU __attribute__((section(".bss.percpu"), aligned(8)))
#endif

#define this_cpu(variable) (*(__typeof__(&(variable)))((char *)&(variable) + percpu_offset()))

#if QUIRE_THREADS
/* Where the blocks are: percpu_offset() of each CPU that there is (cpu_count() of core/cpu.h). */
extern uintptr_t percpu_offsets[];
extern unsigned percpu_number; /* PERCPU */

/* The running CPU, from 0 on. The core is not preempted: it stays on its CPU until it waits. */
static inline unsigned cpu_number(void)
{
    return this_cpu(percpu_number);
}
#else
static const uintptr_t percpu_offsets[1];

static inline unsigned cpu_number(void)
{
    return 0;
}
#endif

/* The copy of any CPU, which may be changing it. */
#define cpu_variable(cpu, variable) (*(__typeof__(&(variable)))((char *)&(variable) + percpu_offsets[cpu]))

#endif
