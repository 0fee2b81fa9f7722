/*
 * Per-CPU variables. Each file defines its own with PERCPU in front; this_cpu(variable) is the running CPU's copy.
 * The copies of all variables of one CPU are one block: CPU 0 uses the linked block itself, further CPUs a copy of
 * it, and gs holds the distance between the two (arch contract: percpu_offset() of machine.h).
 * A pointer into the block is valid only on its CPU. Interrupt handlers may not touch what the fault path uses.
 */
#ifndef CORE_PERCPU_H
#define CORE_PERCPU_H

#include "machine.h" /* percpu_offset(): arch/x86_64, or the fake of tests/unit */

#define PERCPU __attribute__((section(".bss.percpu"), aligned(8)))

#define this_cpu(variable) (*(__typeof__(&(variable)))((char *)&(variable) + percpu_offset()))

#endif
