/*
 * The program's registers where it was interrupted: by a call of its own, an interrupt or an exception. Contract,
 * implemented by arch/x86_64/frame.c; the frames of signals by arch/x86_64/signal.c.
 */
#ifndef CORE_LINUX_FRAME_H
#define CORE_LINUX_FRAME_H

#include "core/base/error.h"
#include "core/base/types.h"
#include "core/linux/abi.h"

struct signal_info;
struct trap_frame;

/* Of a call at its end: the result; and that the program makes the call again, with the same arguments. */
long frame_result(const struct trap_frame *);
void frame_set_result(struct trap_frame *, long result);
void frame_restart_call(struct trap_frame *);

/* Of a call: its arguments, from 0 on; and registers with which another thread comes out of it, with the result 0, on
 * the stack, or 0: the same. */
unsigned long frame_argument(const struct trap_frame *, unsigned number);
void frame_make_thread(struct trap_frame *, const struct trap_frame *call, uintptr_t stack);

/* True if the running call may have been made by a segment driver inside of another one or of a fault. */
bool frame_in_driver(void);

/* The program goes on with interrupts enabled. */
void frame_enable_interrupts(struct trap_frame *);

/* The timer interrupt calls this from now on: with the frame of the program, or NULL if the core was interrupted (or a
 * segment driver that it had called). Interrupts are off; see cpu_set_alarm (core/cpu.h). */
void frame_on_interrupt(void (*interrupt)(struct trap_frame *program));

/* The same for cpu_kick (core/cpu.h), on the CPU that was kicked. Only in a core with threads. */
void frame_on_kick(void (*kick)(struct trap_frame *program));

/* Called when a call touches memory whose driver may wait (vm_wait_fault of vm/fault.h): with true the access fails,
 * for the call to be made again when the fault is served. Only in a core with threads. */
void frame_on_waiting_fault(bool (*note)(uintptr_t address, uint32_t access));

/*
 * Where the timer interrupt came (arch/x86_64/interrupted.c), for profiles. The core runs with interrupts off, so what
 * was due in a call or a fault comes before the next instruction of the program: then it is the call's, or the fault's.
 */
enum frame_place {
    FRAME_IN_PROGRAM,
    FRAME_IN_CALL,  /* of the system call with the number *call */
    FRAME_IN_FAULT, /* a page fault of the program */
    FRAME_IN_SLEEP, /* the core waits in a call of the program */
    FRAME_IN_CORE,  /* the program called the core directly */
    FRAME_IN_START, /* there is no program yet */
};

/* While the timer interrupt is served, once for each. */
enum frame_place frame_interrupted(unsigned long *call);

/*
 * The stack there, of the program and, where it called it directly, of the core: the instruction, then return
 * addresses, innermost first; their number, at most max. By frame pointers, and in memory that is mapped; what code
 * without them hides is left out: the chain ends there, or goes on with its caller's caller.
 */
size_t frame_interrupted_stack(uintptr_t *addresses, size_t max);

/*
 * Exceptions of the program call this from now on, with the signal that Linux sends for them (except where memory has
 * run out). False: the program is ended with the report of an exception.
 */
void frame_on_exception(bool (*exception)(struct trap_frame *program, const struct signal_info *));

/* The program's stack pointer, and that of the call which is running (at its start). */
uintptr_t frame_stack_pointer(const struct trap_frame *);
uintptr_t frame_call_stack_pointer(void);

/* How a handler is run. */
struct handler_call {
    const struct signal_info *info;
    const struct linux_sigaction *action;
    uint64_t mask;                /* to be restored behind it */
    struct linux_stack *reported; /* the alternate stack, as ucontext shows it */
    uintptr_t stack;              /* high end of the stack to run on; 0: the program's own, below what it uses */
    uintptr_t low;                /* what the frame may not leave, but size is 0; it may end beyond 2^64 */
    size_t size;
    struct trap_frame *registers; /* of frame_enter_handler */
};

/*
 * Pushes a frame with siginfo_t and ucontext_t as the kernel does (linux/arch/x86/kernel/signal_64.c: struct
 * rt_sigframe), the extended state included, and has the program go on in the handler. E_FAULT: the memory is not
 * there, there is no restorer, or the frame leaves the stack.
 */
error_t frame_enter_handler(struct trap_frame *, struct handler_call *);

struct handler_return {
    uint64_t mask;
    struct linux_stack stack;
    struct trap_frame *registers; /* of frame_leave_handler */
};

/* rt_sigreturn: all that the frame at the stack pointer holds becomes the program's, but what *mask and *stack are
 * given. E_FAULT: it is none, or holds what the CPU does not take. */
error_t frame_leave_handler(struct trap_frame *, struct handler_return *);

#endif
