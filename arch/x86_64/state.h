/*
 * The extended state (x87, SSE, AVX, AVX-512) around code of the program that the core calls in the middle of a fault
 * or a system call, both of which preserve it. Inline and seen through machine.h, for faults; tests/unit/fake has its
 * own.
 *
 * XSAVEC leaves out the components that are as at reset, whereas XSAVEOPT would leave out what it takes to lie in the
 * area still, and areas are on stacks. The header has to be zero before: XSAVE writes only the bits of XSTATE_BV,
 * XSAVEC the first 16 bytes, and XRSTOR faults on others (SDM vol. 1, 13.4.2, 13.7 to 13.10).
 */
#ifndef ARCH_STATE_H
#define ARCH_STATE_H

#include "arch/x86_64/user.h"
#include "core/base/types.h"

#define STATE_MAX 2688 /* with AVX-512; a CPU that needs more does without it (cpu.c) */
#define STATE_HEADER 512
#define STATE_COMPONENTS 0xe7u

struct machine_state {
    _Alignas(64) unsigned char area[STATE_MAX];
};

extern enum state_instruction { STATE_FXSAVE, STATE_XSAVE, STATE_XSAVEC } state_instruction;

static inline void machine_save_state(struct machine_state *to)
{
    uint64_t *header = (uint64_t *)(to->area + STATE_HEADER); /* without a loop */

    header[0] = header[1] = header[2] = header[3] = header[4] = header[5] = header[6] = header[7] = 0;
    if (state_instruction == STATE_XSAVEC)
        __asm__ volatile("xsavec64 %0" : "+m"(*to) : "a"(STATE_COMPONENTS), "d"(0) : "memory");
    else if (LIKELY(state_instruction == STATE_XSAVE))
        __asm__ volatile("xsave64 %0" : "+m"(*to) : "a"(STATE_COMPONENTS), "d"(0) : "memory");
    else
        __asm__ volatile("fxsave64 %0" : "+m"(*to) : : "memory");
}

static inline void machine_load_state(const struct machine_state *from)
{
    if (LIKELY(state_instruction != STATE_FXSAVE))
        __asm__ volatile("xrstor64 %0" : : "m"(*from), "a"(STATE_COMPONENTS), "d"(0) : "memory");
    else
        __asm__ volatile("fxrstor64 %0" : : "m"(*from) : "memory");
}

/* Saves the state of the interrupted code, and suspends the checks of what the program names (core/cpu.h). */
static inline void machine_enter_program_code(struct machine_state *interrupted)
{
    __asm__ volatile("incl %%gs:%c0" : : "i"(&user_check_suspended) : "memory", "cc");
    machine_save_state(interrupted);
}

static inline void machine_leave_program_code(const struct machine_state *interrupted)
{
    machine_load_state(interrupted);
    __asm__ volatile("decl %%gs:%c0" : : "i"(&user_check_suspended) : "memory", "cc");
}

#endif
