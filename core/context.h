/*
 * Contexts: what of a thread is the machine's while it does not run. Contract, implemented by arch/x86_64/context.c;
 * struct machine_context and struct trap_frame are the machine's. Interrupts are off in all of this.
 */
#ifndef CORE_CONTEXT_H
#define CORE_CONTEXT_H

#include "core/base/types.h"
#include "machine.h" /* struct machine_context */

struct trap_frame;

/* What runs now becomes a context with this core stack, [low, high): that of the boot CPU's first thread. */
void context_adopt(struct machine_context *, uintptr_t low, uintptr_t high);

/* A context whose core stack is [low, high), aligned to pages: when it is switched to, `begin` runs there with the
 * argument, and never returns. program: it will run the program, and has extended state, which begins as that of the
 * running thread, and a thread pointer (core/cpu.h), which begins as 0. */
void context_make(struct machine_context *, uintptr_t low, uintptr_t high, void (*begin)(void *), void *argument,
                  bool program);
/* The thread pointer of a context that does not run. */
void context_set_thread_pointer(struct machine_context *, uint64_t base);

/* Leaves the running thread, whose context this is, for another one. Returns when that is left for this, perhaps on
 * another CPU: what was read of this_cpu before is of no use then. */
void context_switch(struct machine_context *from, struct machine_context *to);

/* Where on the stack of a context the registers lie with which its thread begins or goes on in the program. */
struct trap_frame *context_program_frame(const struct machine_context *);
/* Goes on in the program with these registers, of context_program_frame of the running thread. */
_Noreturn void context_enter_program(struct trap_frame *);
/* The program was interrupted with these registers, which lie on a stack of the CPU: they go to the thread's own stack,
 * and the function is called there. When it returns the thread goes on in the program. */
_Noreturn void context_interrupt_program(const struct trap_frame *, void (*function)(void));

/* True while the running thread is in a page fault, whose stack belongs to the CPU: it may not be left then. */
bool context_is_pinned(void);

#endif
