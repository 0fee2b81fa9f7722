/*
 * The few machine operations that have to be inline: reaching physical memory, the TLB, per-CPU data, the extended
 * state around code of the program. tests/unit/fake
 * has a header of the same name that gives vm/ and mmu.c a simulated machine; the include path chooses.
 */
#ifndef MACHINE_H
#define MACHINE_H

#include "arch/x86_64/layout.h"
#include "core/base/types.h"

/* The permanent map of RAM. Only for RAM. */
static inline void *phys_to_virt(paddr_t physical)
{
    return (void *)(PHYSMAP_BASE + physical);
}

static inline paddr_t virt_to_phys(const void *mapped_ram)
{
    return (uintptr_t)mapped_ram - PHYSMAP_BASE;
}

/* Linked address of CPU 0's per-CPU block to the running CPU's: kept in its own per-CPU word. One CPU: 0. */
static inline uintptr_t percpu_offset(void)
{
#if QUIRE_THREADS
    extern uintptr_t percpu_self_offset;
    uintptr_t offset;

    /* Read anew behind whatever may have changed memory: a call that waits may return on another CPU. */
    __asm__("movq %%gs:%c1, %0" : "=r"(offset) : "i"(&percpu_self_offset), "m"(percpu_self_offset));
    return offset;
#else
    return 0;
#endif
}

/*
 * Before a lock is taken on a stack of the program, which may be backed as it is touched: the bytes below the stack
 * pointer, at most 8 KiB, are touched, so that no fault comes in the middle of what the lock protects. Where they reach
 * into the stack's guard the access is passed over (fixups of user_copy.S). The core's stacks are there.
 */
static inline __attribute__((always_inline)) void machine_back_stack(size_t bytes)
{
    __asm__ volatile("testq %%rsp, %%rsp\n\t"
                     "js 3f\n"
                     "1: testb $0, %c0(%%rsp)\n"
                     "2: testb $0, %c1(%%rsp)\n"
                     "3:\n\t"
                     ".pushsection .fixups, \"a\", @progbits\n\t"
                     ".quad 1b, 3b, 2b, 3b\n\t"
                     ".popsection"
                     :
                     : "i"(-(long)bytes / 2), "i"(-(long)bytes)
                     : "cc");
}

static inline void machine_flush_page(vaddr_t address)
{
    __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

/* Everything but global entries. */
static inline void machine_flush_all(void)
{
    uintptr_t root;

    __asm__ volatile("movq %%cr3, %0; movq %0, %%cr3" : "=r"(root) : : "memory");
}

/* Zeroes whole pages: size is a multiple of 4 KiB. (zero.S) */
static inline void machine_zero_pages(void *start, size_t size)
{
    __asm__ volatile("call zero_pages" : "+D"(start), "+c"(size) : : "cc", "memory");
}

/* Passes over words that are zero, as far as the CPU is good at that: the word behind them. count: a multiple of 32,
 * not 0. (zero.S) */
static inline const uint64_t *machine_skip_zeros(const uint64_t *words, size_t count)
{
    extern bool look_wide;

    if (look_wide)
        __asm__ volatile("call skip_zeros" : "+D"(words), "+c"(count) : : "cc", "memory");
    return words;
}

#include "arch/x86_64/leaf.h"
#include "arch/x86_64/state.h"

#include "arch/x86_64/context.h"

#endif
