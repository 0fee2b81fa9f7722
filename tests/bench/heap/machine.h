/*
 * The native benchmark's half of arch/x86_64/machine.h: one thread of an ordinary process stands for the CPU, and the
 * map of RAM is a range that memory.c reserves. The tables lie where the code of arch/x86_64/malloc.h reaches them: the
 * program is linked for a fixed address.
 */
#ifndef MACHINE_H
#define MACHINE_H

#define HEAP_NATIVE_CLASS_TABLE 0x10000000

#ifndef __ASSEMBLER__

#include "core/base/types.h"

#define PHYSMAP_BASE 0x0000100000000000ul
#define PHYSMAP_SIZE ((size_t)64 << 30)
#define HEAP_CLASS_TABLE ((uintptr_t)HEAP_NATIVE_CLASS_TABLE)
#define HEAP_CLASS_TABLE_SIZE ((size_t)64 << 30)
#define HEAP_SPAN_TABLE 0x0000200000000000ul
#define HEAP_SPAN_TABLE_SIZE ((size_t)256 << 30)

static inline uintptr_t percpu_offset(void)
{
    return 0;
}

#endif
#endif
