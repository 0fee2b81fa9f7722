/*
 * Signals on x86-64: which signal an exception is, and the frame that a handler runs on (core/linux/frame.h). The frame
 * is the kernel's to the byte, as debuggers, garbage collectors and unwinders know it:
 *
 *     extended state, at a multiple of 64     XSAVE area in standard format, then FP_XSTATE_MAGIC2
 *     siginfo_t
 *     ucontext_t
 *     return address                          the restorer, which calls rt_sigreturn
 *
 * The program runs in ring 0 and interrupts may be off, but sees ring 3 and interrupts on: selectors are checked and
 * otherwise not used, and the interrupt flag stays as it is.
 */
#include "arch/x86_64/arch.h"
#include "arch/x86_64/layout.h"
#include "arch/x86_64/user.h"
#include "core/base/string.h"
#include "core/linux/frame.h"
#include "core/percpu.h"

#define RED_ZONE 128
#define STATE_ALIGN 64
#define STATE_MAGIC_1 0x46505853u /* FP_XSTATE_MAGIC1 */
#define STATE_MAGIC_2 0x46505845u
#define STATE_LEGACY 3u /* x87 and SSE */

#define UC_FP_XSTATE 1u
#define UC_SIGCONTEXT_SS 2u
#define UC_STRICT_RESTORE_SS 4u

#define USER_CODE 0x33ull
#define USER_DATA 0x2bull
#define SELECTORS_OF(code, data) ((code) | (data) << 48)

/* The flags that rt_sigreturn restores: status, trap, direction, overflow, resume, alignment (Linux: FIX_EFLAGS). */
#define FLAGS_RESTORED 0x50dd5u

#define DR6_SINGLE_STEP (1u << 14)
#define DR6_BREAKPOINTS 15u
#define TRAP_HWBKPT 4

struct signal_registers { /* struct sigcontext */
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, flags;
    uint64_t selectors; /* cs, gs, fs, ss, 16 bits each */
    uint64_t error, trap, mask, cr2;
    uintptr_t state; /* 0: none */
    uint64_t reserved[8];
};
_Static_assert(sizeof(struct signal_registers) == 256, "struct sigcontext of x86-64");

struct signal_frame { /* struct rt_sigframe */
    uintptr_t restorer;
    struct {
        uint64_t flags, link;
        struct linux_stack stack;
        struct signal_registers registers;
        uint64_t mask;
    } context;
    struct signal_info info;
    uint64_t info_rest[(LINUX_SIGINFO_SIZE - sizeof(struct signal_info)) / 8];
};
_Static_assert(sizeof(struct signal_frame) == 440, "struct rt_sigframe of x86-64");
_Static_assert(offsetof(struct signal_frame, context.registers.rip) == SIGNAL_FRAME_RIP, "for interrupted.c");

/* What the kernel tells in the part of the legacy area that is left to software (struct _fpx_sw_bytes). */
struct state_description {
    uint32_t magic, whole_size;
    uint64_t features;
    uint32_t size, reserved[7];
};

struct state_area {
    uint16_t x87_control;
    char x87[22];
    uint32_t mxcsr;
    char legacy[436];
    struct state_description description;
    uint64_t header[8]; /* the first: what the area holds */
};
_Static_assert(offsetof(struct state_area, mxcsr) == 24 && offsetof(struct state_area, description) == 464 &&
                   sizeof(struct state_area) == 576,
               "XSAVE area: Intel SDM vol. 1, 13.4");

/* As a handler finds it, and a program at its start. */
static const struct state_area initial_state __attribute__((aligned(64))) = {.x87_control = 0x37f, .mxcsr = 0x1f80};

static uint32_t features;  /* of the state that is switched on: XCR0 */
static bool asks_for_use;  /* XGETBV tells what is in use */
static size_t state_bytes; /* of a frame */
static struct state_description description;
static uint64_t context_flags;
static PERCPU struct { /* of the last exception, which frames show until the next */
    uint64_t error, trap, cr2;
} last;

extern uintptr_t syscall_rsp;

/*
 * Copies of 16 bytes by a vector register, which is free once the state has been saved, and before it is loaded.
 */
struct pair {
    uint64_t words[2];
} __attribute__((may_alias));

static inline void copy_pair(void *to, const void *from)
{
    __asm__ volatile("movups %1, %%xmm0; movups %%xmm0, %0"
                     : "=m"(*(struct pair *)to)
                     : "m"(*(const struct pair *)from));
}

static inline void zero_pairs(void *to, unsigned count)
{
    __asm__ volatile("pxor %%xmm0, %%xmm0" : :);
    for (unsigned i = 0; i < count; i++)
        __asm__ volatile("movups %%xmm0, %0" : "=m"(((struct pair *)to)[i]));
}

/* ---- the extended state ---- */

/* The lower half: no state of the upper one is switched on (cpu.c). */
static inline uint32_t xgetbv_low(uint32_t index)
{
    uint32_t low, high;

    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(index));
    return low;
}

static void find_state(void)
{
    state_bytes = cpu_features.extended_state_size;
    context_flags = UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
    if (cpu_features.xsave) {
        description = (struct state_description){.magic = STATE_MAGIC_1,
                                                 .whole_size = (uint32_t)(state_bytes + sizeof(uint32_t)),
                                                 .features = xgetbv_low(0),
                                                 .size = (uint32_t)state_bytes};
        state_bytes += sizeof(uint32_t);
        context_flags |= UC_FP_XSTATE;
        features = xgetbv_low(0);
        asks_for_use = cpuid(0xd, 1).a & 1u << 2;
    }
}

/*
 * Only what is in use is written: the header says which that is, the rest of the area keeps its place. (XSAVEOPT is of
 * no use here: it leaves out what did not change since it was read from the same address, where the stack has been
 * since.)
 */
static void save_state(struct state_area *area)
{
    uint32_t wanted = features;
    uint32_t size = cpu_features.extended_state_size;

    if (!cpu_features.xsave) {
        __asm__ volatile("fxsave64 %0" : "=m"(*area));
        area->description = (struct state_description){.magic = 0};
        return;
    }
    if (asks_for_use)
        wanted &= xgetbv_low(1) | STATE_LEGACY;
    *(uint32_t *)((char *)area + size) = STATE_MAGIC_2;
    area->header[0] = 0;
    __asm__ volatile("xsave64 %0" : "+m"(*area) : "a"(wanted), "d"(0) : "memory");
    area->header[0] |= STATE_LEGACY; /* written in any case: what a handler changes there counts, as on Linux */
    copy_pair(&area->description, &description);
    copy_pair(&area->description.size, &description.size);
    copy_pair(&area->description.reserved[3], &description.reserved[3]);
    area->header[1] = 0;
    zero_pairs(&area->header[2], 3);
}

static inline void load_features(const struct state_area *area, uint32_t which)
{
    __asm__ volatile("xrstor64 %0" : : "m"(*area), "a"(which), "d"(0) : "memory");
}

static void load_initial_state(void)
{
    if (cpu_features.xsave)
        load_features(&initial_state, features);
    else
        __asm__ volatile("fxrstor64 %0" : : "m"(initial_state) : "memory");
}

/* What the area does not hold begins anew. Without a description in it, it is an FXSAVE area. */
static void load_state(const struct state_area *area)
{
    uint32_t size = area->description.size;
    uint32_t given = (uint32_t)area->description.features & features;

    if (LIKELY(size == description.size && area->description.magic == STATE_MAGIC_1 && given == features && size != 0 &&
               *(const uint32_t *)((const char *)area + size) == STATE_MAGIC_2)) {
        load_features(area, features);
        return;
    }
    if (!cpu_features.xsave) {
        __asm__ volatile("fxrstor64 %0" : : "m"(*area) : "memory");
        return;
    }
    if (area->description.magic != STATE_MAGIC_1 || size < sizeof(*area) || size > cpu_features.extended_state_size ||
        size > area->description.whole_size || *(const uint32_t *)((const char *)area + size) != STATE_MAGIC_2) {
        __asm__ volatile("fxrstor64 %0" : : "m"(*area) : "memory");
        given = STATE_LEGACY;
    } else {
        load_features(area, given);
    }
    if (given != features)
        load_features(&initial_state, features & ~given);
}

/* ---- frames ---- */

static inline bool is_canonical(uint64_t address)
{
    return (int64_t)(address << 16) >> 16 == (int64_t)address;
}

static inline void write_registers(struct signal_registers *to, const struct trap_frame *from)
{
    copy_pair(&to->r8, &from->r8);
    copy_pair(&to->r10, &from->r10);
    copy_pair(&to->r12, &from->r12);
    copy_pair(&to->r14, &from->r14);
    to->rdi = from->rdi;
    to->rsi = from->rsi;
    copy_pair(&to->rbp, &from->rbp);
    copy_pair(&to->rdx, &from->rdx);
    to->rcx = from->rcx;
    to->rsp = from->rsp;
    to->rip = from->rip;
    to->flags = from->rflags | FLAG_INTERRUPT;
}

/* Writes first to both ends, so that nothing is lost of the program's state if the memory is not there. */
static inline void write_frame(struct signal_frame *frame, struct state_area *state, const struct handler_call *call)
{
    struct signal_registers *registers = &frame->context.registers;

    frame->restorer = call->action->restorer;
    save_state(state);
    frame->context.flags = context_flags;
    frame->context.link = 0;
    copy_pair(&frame->context.stack, call->reported);
    frame->context.stack.size = call->reported->size;
    write_registers(registers, call->registers);
    registers->selectors = SELECTORS_OF(USER_CODE, USER_DATA);
    registers->error = this_cpu(last).error;
    registers->trap = this_cpu(last).trap;
    registers->mask = call->mask;
    registers->cr2 = this_cpu(last).cr2;
    registers->state = (uintptr_t)state;
    frame->context.mask = call->mask;
    if (call->action->flags & SA_SIGINFO) {
        for (size_t i = 0; i < sizeof(frame->info); i += 16)
            copy_pair((char *)&frame->info + i, (const char *)call->info + i);
        zero_pairs(frame->info_rest, sizeof(frame->info_rest) / 16);
    }
}

static error_t enter_handler(void *argument)
{
    const struct handler_call *call = argument;
    struct trap_frame *registers = call->registers;
    uintptr_t top = call->stack != 0 ? call->stack : registers->rsp - RED_ZONE;
    uintptr_t state = align_down(top - state_bytes, STATE_ALIGN);
    uintptr_t start = align_down(state - sizeof(struct signal_frame), 16) - 8; /* as if it had been called */

    if (UNLIKELY(!(call->action->flags & SA_RESTORER) || !is_canonical(call->action->handler) ||
                 (call->size != 0 && (start <= call->low || start - call->low > call->size)) ||
                 ((start | top) >= LOW_HALF_END && user_room(start, top - start) != top - start)))
        return E_FAULT;
    write_frame((struct signal_frame *)start, (struct state_area *)state, call);
    load_initial_state();
    registers->rdi = (uint64_t)call->info->signal;
    registers->rsi = start + offsetof(struct signal_frame, info);
    registers->rdx = start + offsetof(struct signal_frame, context);
    registers->rax = 0;
    registers->rsp = start;
    registers->rip = call->action->handler;
    registers->rflags &= ~(uint64_t)(FLAG_DIRECTION | FLAG_RESUME | FLAG_TRAP);
    return E_SUCCESS;
}

error_t frame_enter_handler(struct trap_frame *registers, struct handler_call *call)
{
    call->registers = registers;
    return user_try(enter_handler, call);
}

static inline void read_registers(struct trap_frame *to, const struct signal_registers *from)
{
    copy_pair(&to->r8, &from->r8);
    copy_pair(&to->r10, &from->r10);
    copy_pair(&to->r12, &from->r12);
    copy_pair(&to->r14, &from->r14);
    to->rdi = from->rdi;
    to->rsi = from->rsi;
    copy_pair(&to->rbp, &from->rbp);
    copy_pair(&to->rdx, &from->rdx);
    to->rcx = from->rcx;
    to->rsp = from->rsp;
    to->rip = from->rip;
    to->rflags = (to->rflags & ~(uint64_t)FLAGS_RESTORED) | (from->flags & FLAGS_RESTORED);
}

/* Linux takes them as ring 3's; the data segment is looked at only if the flags say so. */
static inline bool are_selectors(uint64_t selectors, uint64_t flags)
{
    uint64_t ignored = flags & UC_STRICT_RESTORE_SS ? 0 : SELECTORS_OF(0ull, 0xffffull);

    if (LIKELY(selectors == SELECTORS_OF(USER_CODE, USER_DATA)))
        return true;
    selectors = (selectors & SELECTORS_OF(0xffffull, 0xffffull)) | SELECTORS_OF(3ull, 3ull);
    return (selectors | ignored) == (SELECTORS_OF(USER_CODE, USER_DATA) | ignored);
}

static error_t leave_handler(void *argument)
{
    struct handler_return *back = argument;
    const struct signal_frame *frame = (struct signal_frame *)(back->registers->rsp - sizeof(uintptr_t));
    const struct signal_registers *registers = &frame->context.registers;

    back->mask = frame->context.mask;
    copy_pair(&back->stack, &frame->context.stack);
    back->stack.size = frame->context.stack.size;
    read_registers(back->registers, registers);
    if (UNLIKELY(registers->state == 0))
        load_initial_state();
    else
        load_state((const struct state_area *)registers->state);
    return is_canonical(registers->rip) && are_selectors(registers->selectors, frame->context.flags) ? E_SUCCESS
                                                                                                     : E_FAULT;
}

error_t frame_leave_handler(struct trap_frame *registers, struct handler_return *back)
{
    back->registers = registers;
    return user_try(leave_handler, back);
}

uintptr_t frame_stack_pointer(const struct trap_frame *registers)
{
    return registers->rsp;
}

uintptr_t frame_call_stack_pointer(void)
{
    return this_cpu(syscall_rsp);
}

/* ---- exceptions ---- */

/* The first of the exceptions that are flagged and not masked, in Linux's order; 0: none (spurious). */
static int float_code(uint32_t flags, uint32_t masks)
{
    uint32_t raised = flags & ~masks & 0x3f;

    return raised & 0x01   ? FPE_FLTINV
           : raised & 0x04 ? FPE_FLTDIV
           : raised & 0x08 ? FPE_FLTOVF
           : raised & 0x12 ? FPE_FLTUND
           : raised & 0x20 ? FPE_FLTRES
                           : 0;
}

static int x87_code(void)
{
    uint16_t status, control;

    __asm__ volatile("fnstsw %0; fnstcw %1" : "=m"(status), "=m"(control));
    return float_code(status, control);
}

static int sse_code(void)
{
    uint32_t mxcsr;

    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    return float_code(mxcsr, mxcsr >> 7);
}

static int debug_code(void)
{
    uint64_t dr6;

    __asm__ volatile("movq %%dr6, %0" : "=r"(dr6));
    __asm__ volatile("movq %0, %%dr6" : : "r"(0xffff0ff0ul)); /* as after reset: bits are set and never cleared */
    return dr6 & DR6_SINGLE_STEP ? TRAP_TRACE : dr6 & DR6_BREAKPOINTS ? TRAP_HWBKPT : TRAP_BRKPT;
}

/* False: there is none, as the core ends the program. */
static bool page_signal(const struct trap_frame *frame, struct signal_info *info)
{
    bool behind_the_end = frame->failure == E_RANGE; /* of a file: vm/file.c */

    info->signal = behind_the_end ? SIGBUS : SIGSEGV;
    info->code = behind_the_end ? BUS_ADRERR : frame->failure == E_ACCES ? SEGV_ACCERR : SEGV_MAPERR;
    info->address = frame->address;
    this_cpu(last).cr2 = frame->address;
    this_cpu(last).error = frame->error | ERROR_USER;
    return behind_the_end || frame->failure == E_ACCES ||
           (frame->failure == E_FAULT && !(frame->error & ~(uint64_t)ERROR_ORDINARY));
}

static bool signal_of(const struct trap_frame *frame, struct signal_info *info)
{
    this_cpu(last).error = frame->error;
    this_cpu(last).trap = frame->vector;
    info->address = frame->rip;
    switch (frame->vector) {
    case EXCEPTION_PAGE:
        return page_signal(frame, info);
    case EXCEPTION_DIVIDE:
        info->signal = SIGFPE;
        info->code = FPE_INTDIV;
        return true;
    case EXCEPTION_DEBUG:
        info->signal = SIGTRAP;
        info->code = debug_code();
        return true;
    case EXCEPTION_OPCODE:
        info->signal = SIGILL;
        info->code = ILL_OPN;
        return true;
    case EXCEPTION_FLOAT:
    case EXCEPTION_SIMD:
        info->signal = SIGFPE;
        info->code = frame->vector == EXCEPTION_FLOAT ? x87_code() : sse_code();
        return true;
    case EXCEPTION_ALIGNMENT:
        info->signal = SIGBUS;
        info->code = BUS_ADRALN;
        return true;
    case EXCEPTION_BREAKPOINT:
        info->signal = SIGTRAP;
        break;
    case EXCEPTION_STACK:
        info->signal = SIGBUS;
        break;
    case EXCEPTION_PROTECTION:
        info->signal = SIGSEGV;
        break;
    default:
        return false;
    }
    info->code = SI_KERNEL;
    info->address = 0;
    return true;
}

static bool (*on_exception)(struct trap_frame *program, const struct signal_info *);

static bool exception(struct trap_frame *frame)
{
    struct signal_info info = {.error = 0};

    if (LIKELY(frame->vector == EXCEPTION_PAGE && frame->failure == E_ACCES)) {
        info.signal = SIGSEGV;
        info.code = SEGV_ACCERR;
        info.address = this_cpu(last).cr2 = frame->address;
        this_cpu(last).error = frame->error | ERROR_USER;
        this_cpu(last).trap = EXCEPTION_PAGE;
        return on_exception(frame, &info);
    }
    if (!signal_of(frame, &info))
        return false;
    return info.code == 0 /* spurious: the instruction runs again */ || on_exception(frame, &info);
}

void frame_on_exception(bool (*handle)(struct trap_frame *program, const struct signal_info *))
{
    find_state();
    on_exception = handle;
    trap_exception = exception;
}
