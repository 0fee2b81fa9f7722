/* Page tables of single CPUs: private to mmu.c and its like. The theory is at the top of cpu_tables.c. */
#ifndef ARCH_CPU_TABLES_H
#define ARCH_CPU_TABLES_H

#include "vm/mmu.h"

#if QUIRE_THREADS
/* The common entry of a GiB has changed, other than by getting a table: no CPU has it any more. Before what is stale
 * now is flushed. */
void mmu_forget_gib(vaddr_t va);

/* By a user of a range that is asked to flush part of it: true: it is none any more, and is to flush everything.
 * Whoever asks holds the range. */
bool mmu_leave(vaddr_t va, size_t size);
#else
static inline void mmu_forget_gib(vaddr_t va)
{
    (void)va;
}
#endif

#endif
