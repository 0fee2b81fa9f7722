/*
 * What the entries of trap.S and syscall.S call: exceptions, the fixup table, the timer, the end of a system call; and
 * the program's registers there (core/linux/frame.h).
 */
#include "core/linux/frame.h"

#include "arch/x86_64/arch.h"
#include "arch/x86_64/user.h"
#include "core/context.h"
#include "core/linux/linux.h"
#include "core/percpu.h"
#include "core/spinlock.h"
#include "vm/fault.h"

#define SYSCALL_LENGTH 2 /* bytes of the instruction */

#define TRY_STACK 4096 /* more than any function takes that is tried */

struct fixup {
    uintptr_t from, to;
};

extern const struct fixup __fixups_start[], __fixups_end[];
extern char user_try_failed[];
extern uintptr_t syscall_stack, kernel_stack;

PERCPU uintptr_t user_try_stack; /* user_copy.S; 0: nothing is tried */

void (*trap_timer)(struct trap_frame *);
#if QUIRE_THREADS
void (*trap_kick)(struct trap_frame *);
static bool (*on_waiting_fault)(uintptr_t address, uint32_t access);
#endif
bool (*trap_exception)(struct trap_frame *);

void trap_handle(struct trap_frame *frame);    /* called by trap.S */
void syscall_finish(struct trap_frame *frame); /* called by syscall.S */

/* ---- windows ---- */

/* Code of the program that is started again, where it begins, if it was interrupted before its end (malloc.h). Both
 * relative to where they stand. */
struct window {
    int32_t start, end;
};

extern const struct window __restarts_start[], __restarts_end[];

/* Where the window begins that the address is inside of, at its second instruction or behind; 0: none. */
static uintptr_t window_start(uintptr_t address)
{
    for (const struct window *window = __restarts_start; window < __restarts_end; window++) {
        uintptr_t start = (uintptr_t)&window->start + (uintptr_t)(intptr_t)window->start;
        uintptr_t end = (uintptr_t)&window->end + (uintptr_t)(intptr_t)window->end;

        if (address > start && address < end)
            return start;
    }
    return 0;
}

static void restart_window(struct trap_frame *frame)
{
    uintptr_t start = window_start(frame->rip);

    if (start != 0)
        frame->rip = start;
}

/* ---- traps ---- */

/* Of an access of the core to memory that the program named; NULL: it is none. */
static const struct fixup *fixup_of(const struct trap_frame *frame)
{
    const struct fixup *fixup = __fixups_start;

    while (fixup < __fixups_end && fixup->from != frame->rip)
        fixup++;
    return fixup < __fixups_end ? fixup : NULL;
}

/* Such an access goes on where its fixup says, or a user_try ends. */
static bool fix_up(struct trap_frame *frame)
{
    const struct fixup *fixup = fixup_of(frame);
    uintptr_t try = this_cpu(user_try_stack);

    if (fixup) {
        frame->rip = fixup->to;
        return true;
    }
    /* Of the function tried, and not of a fault that it caused, which has another stack. */
    if (frame->rsp <= try && try - frame->rsp < TRY_STACK) {
        frame->rip = (uintptr_t)user_try_failed;
        frame->rsp = try;
        return true;
    }
    return false;
}

/* True if no fault is being served, but for the frame's own. */
static inline bool is_outermost(const struct trap_frame *frame)
{
    return fault_depth_is(frame->vector == EXCEPTION_PAGE);
}

/* Not the core's, and not that of a segment driver which the core called. */
static inline bool is_program(const struct trap_frame *frame)
{
    return !trap_is_core(frame->rip) && is_outermost(frame) && this_cpu(syscall_stack) != 0 &&
           this_cpu(user_check_suspended) == 0;
}

static bool is_of_address(const struct trap_frame *frame)
{
    return frame->vector == EXCEPTION_PAGE || frame->vector == EXCEPTION_PROTECTION || frame->vector == EXCEPTION_STACK;
}

/* A program that steps through itself sees a function of the core that it calls as one instruction, as it does a system
 * call; and a window, which it would never leave if that were started again at each. */
static bool is_step_over(const struct trap_frame *frame)
{
    return frame->vector == EXCEPTION_DEBUG && (frame->rflags & FLAG_TRAP) != 0 &&
           (trap_is_core(frame->rip) || window_start(frame->rip) != 0);
}

#if QUIRE_THREADS
/* ---- faults whose driver waits ---- */

static vm_flags_t access_of(const struct trap_frame *frame)
{
    return frame->error & ERROR_FETCH ? VM_EXEC : frame->error & ERROR_WRITE ? VM_WRITE : VM_READ;
}

static error_t wait_fault(const struct trap_frame *frame)
{
    return vm_wait_fault(frame->address, access_of(frame), frame->error & ERROR_PRESENT);
}

static inline bool is_waiting(const struct trap_frame *frame)
{
    return frame->vector == EXCEPTION_PAGE && (error_t)frame->failure == FAULT_WAITS;
}

/* On the stack of the thread, whose frame is the program's; what has come meanwhile is done afterwards. */
static void wait_for_program(void)
{
    struct trap_frame *frame = (struct trap_frame *)(this_cpu(kernel_stack) + 8) - 1;
    uint64_t stack = frame->failure;
    error_t error = wait_fault(frame);

    if (error != E_SUCCESS) {
        frame->failure = (uint64_t)error;
        if (!trap_exception || !trap_exception(frame))
            trap_report(frame);
    }
    frame->failure = stack;
    trap_kick(frame);
}

/* The core, in a call of the program that no driver has made, and in no fault but this one. */
static bool is_call(const struct trap_frame *frame)
{
    return trap_is_core(frame->rip) && is_outermost(frame) && this_cpu(syscall_stack) == 0 &&
           this_cpu(user_check_suspended) == 0;
}

/* True: the frame goes on. False: its `failure` says why it does not. Where the fault cannot be moved the CPU waits. */
static bool serve_waiting(struct trap_frame *frame)
{
    if (is_program(frame) && trap_kick) {
        this_cpu(cpu_tss).ist[IST_PAGE - 1] += FAULT_SLICE; /* as trap.S does when it leaves a fault */
        context_interrupt_program(frame, wait_for_program);
    }
    if (is_call(frame) && on_waiting_fault && fixup_of(frame) &&
        on_waiting_fault(frame->address, (uint32_t)access_of(frame)))
        return fix_up(frame);
    error_t error = wait_fault(frame);

    frame->failure = (uint64_t)error;
    return error == E_SUCCESS;
}
#endif

/* program: the frame, or NULL if the core was interrupted. */
static void interrupt(const struct trap_frame *frame, struct trap_frame *program)
{
    uint64_t vector = frame->vector;

#if QUIRE_THREADS
    if (vector == VECTOR_CALL) {
        smp_serve(program != NULL || trap_is_asleep(frame));
        return;
    }
    if (vector == VECTOR_KICK) {
        smp_kicked();
        if (trap_kick != NULL)
            trap_kick(program);
        return;
    }
#endif
    (void)vector;
    if (trap_timer != NULL)
        trap_timer(program);
}

/* Those of the program, usually of addresses, come first. */
void trap_handle(struct trap_frame *frame)
{
#if QUIRE_THREADS
    if (UNLIKELY(frame->vector == EXCEPTION_NMI))
        smp_stop_if_told(frame);
#endif
    if (UNLIKELY(is_step_over(frame)))
        return;
#if QUIRE_THREADS
    if (UNLIKELY(is_waiting(frame)) && serve_waiting(frame))
        return;
#endif
    if (LIKELY(frame->vector < EXCEPTIONS && trap_exception != NULL && is_program(frame) && trap_exception(frame)))
        return;
    if (frame->vector >= VECTOR_TIMER) {
        lapic_end_interrupt();
        restart_window(frame);
        interrupt(frame, is_program(frame) ? frame : NULL);
    } else if (!trap_is_core(frame->rip) || !is_of_address(frame) || !fix_up(frame)) {
        trap_report(frame);
    }
}

#if defined(QUIRE_DEBUG) && QUIRE_THREADS
/* Where the program goes on no lock is held (core/spin_check.c). Of the fault only what is above preserved registers is
 * there. */
void syscall_check_locks(uintptr_t stack_before);
void syscall_check_locks(uintptr_t stack_before)
{
    if (stack_before != 0 && fault_depth_is(0) && this_cpu(user_check_suspended) == 0)
        spin_check_none("a system call ends");
}

void fault_check_locks(const struct trap_frame *frame);
void fault_check_locks(const struct trap_frame *frame)
{
    if (!trap_is_core(frame->rip) && fault_depth_is(1) && this_cpu(syscall_stack) != 0 &&
        this_cpu(user_check_suspended) == 0)
        spin_check_none("a page fault ends");
}
#endif

/* ---- the end of a system call ---- */

/* A call made by a segment driver is ended as it is; whatever waits, waits for the program's own next call. */
void syscall_finish(struct trap_frame *frame)
{
    if (LIKELY(frame->failure != 0 && is_outermost(frame) && this_cpu(user_check_suspended) == 0))
        linux_attend(frame);
    else
        linux_attend_nested(frame);
}

bool frame_in_driver(void)
{
    return !fault_depth_is(0) || this_cpu(user_check_suspended) != 0;
}

long frame_result(const struct trap_frame *frame)
{
    return (long)frame->rax;
}

void frame_set_result(struct trap_frame *frame, long result)
{
    frame->rax = (uint64_t)result;
}

void frame_restart_call(struct trap_frame *frame)
{
    frame->rax = frame->error;
    frame->rip -= SYSCALL_LENGTH;
}

unsigned long frame_argument(const struct trap_frame *frame, unsigned number)
{
    const uint64_t arguments[] = {frame->rdi, frame->rsi, frame->rdx, frame->r10, frame->r8, frame->r9};

    return arguments[number];
}

void frame_make_thread(struct trap_frame *frame, const struct trap_frame *call, uintptr_t stack)
{
    *frame = *call;
    frame->rax = 0;
    frame->rflags |= FLAG_INTERRUPT;
    if (stack != 0)
        frame->rsp = stack;
}

void frame_enable_interrupts(struct trap_frame *frame)
{
    frame->rflags |= FLAG_INTERRUPT;
}

void frame_on_interrupt(void (*timer)(struct trap_frame *program))
{
    trap_timer = timer;
}

#if QUIRE_THREADS
void frame_on_kick(void (*kick)(struct trap_frame *program))
{
    trap_kick = kick;
}

void frame_on_waiting_fault(bool (*note)(uintptr_t address, uint32_t access))
{
    on_waiting_fault = note;
}
#endif
