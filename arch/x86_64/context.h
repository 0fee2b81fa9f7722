/* A thread that does not run (core/context.h). Seen through machine.h; tests/unit/fake has its own. */
#ifndef ARCH_CONTEXT_H
#define ARCH_CONTEXT_H

#include "core/base/types.h"

#define CONTEXT_RBP 40 /* where on the stack of a context its frame pointer lies (context.S) */

/* Per-CPU words that follow the thread, which other files define; their values while it does not run. */
struct machine_context {
    uintptr_t stack;               /* pointer, below what context_swap pushed */
    uintptr_t low, high;           /* of the core stack */
    uintptr_t syscall_stack;       /* not 0 only where the thread begins */
    uint64_t thread_pointer;       /* fs base */
    unsigned user_check_suspended; /* core/cpu.h */
    uint32_t attention;            /* linux_attention */
    const void *fault;             /* fault_record of vm/fault.h */
    bool program;                  /* has a thread pointer, and extended state */
    struct machine_state state;
};

#endif
