/*
 * Switching threads. A thread is left only on its own core stack: where it made a system call, or where an interrupt
 * came while the program ran, whose registers are moved there (context_interrupt_program). So what of it is to be kept
 * are the registers that a C function preserves, the extended state and the thread pointer. Both of the latter are
 * saved and loaded at every switch between programs' threads: no thread ever finds the state of another one.
 *
 * Stacks for page faults and interrupts belong to the CPU: nobody is left there.
 */
#include "core/context.h"

#include "arch/x86_64/arch.h"
#include "core/base/assert.h"
#include "core/cpu.h"
#include "core/linux/linux.h"
#include "core/percpu.h"
#include "vm/fault.h"

extern uintptr_t syscall_stack, kernel_stack;

/* context.S */
void context_swap(uintptr_t *from, uintptr_t to);
void context_begin(void);
_Noreturn void context_return(struct trap_frame *);
_Noreturn void context_call(struct trap_frame *, void (*function)(void));

struct begin { /* as context_swap pops it */
    uint64_t r15, r14, r13, r12, rbx, rbp;
    uintptr_t address;
    uint64_t end[2]; /* of frame pointers; and alignment */
};
_Static_assert(offsetof(struct begin, rbp) == CONTEXT_RBP, "of context.h");

/* What syscall_stack is while the program runs. */
static inline uintptr_t stack_of_calls(const struct machine_context *context)
{
    return context->high - 8;
}

void context_adopt(struct machine_context *context, uintptr_t low, uintptr_t high)
{
    context->low = low;
    context->high = high;
    context->program = true;
}

void context_make(struct machine_context *context, uintptr_t low, uintptr_t high, void (*begin)(void *), void *argument,
                  bool program)
{
    struct begin *start = (struct begin *)context_program_frame(&(struct machine_context){.high = high}) - 1;

    *context = (struct machine_context){.low = low, .high = high, .program = program};
    *start = (struct begin){.rbx = (uintptr_t)begin, .r12 = (uintptr_t)argument, .address = (uintptr_t)context_begin};
    context->stack = (uintptr_t)start;
    if (program)
        machine_save_state(&context->state);
}

void context_set_thread_pointer(struct machine_context *context, uint64_t base)
{
    context->thread_pointer = base;
}

/* The stack of context_program_frame ends where a system call would begin. */
struct trap_frame *context_program_frame(const struct machine_context *context)
{
    return (struct trap_frame *)context->high - 1;
}

static void leave(struct machine_context *from)
{
    from->fault = this_cpu(fault_record);
    from->user_check_suspended = this_cpu(user_check_suspended);
    from->attention = this_cpu(linux_attention);
    if (!from->program)
        return;
    from->thread_pointer = cpu_thread_pointer();
    machine_save_state(&from->state);
}

static void enter(const struct machine_context *to)
{
    this_cpu(fault_record) = to->fault;
    this_cpu(user_check_suspended) = to->user_check_suspended;
    this_cpu(linux_attention) = to->attention;
    this_cpu(kernel_stack) = stack_of_calls(to);
    this_cpu(syscall_stack) = 0;
    if (!to->program)
        return;
    cpu_set_thread_pointer(to->thread_pointer);
    machine_load_state(&to->state);
}

void context_switch(struct machine_context *from, struct machine_context *to)
{
    leave(from);
    enter(to);
    context_swap(&from->stack, to->stack);
}

_Noreturn void context_enter_program(struct trap_frame *frame)
{
    frame->failure = this_cpu(kernel_stack);
    context_return(frame);
}

_Noreturn void context_interrupt_program(const struct trap_frame *interrupted, void (*function)(void))
{
    struct trap_frame *frame = (struct trap_frame *)(this_cpu(kernel_stack) + 8) - 1;

    *frame = *interrupted;
    frame->failure = this_cpu(kernel_stack);
    this_cpu(syscall_stack) = 0;
    context_call(frame, function);
}

bool context_is_pinned(void)
{
    return !fault_depth_is(0);
}
