/*
 * The report of an exception that nobody serves. The program's exceptions end it with the status a Linux shell would
 * show (128 + signal); the core's are panics.
 */
#include "arch/x86_64/arch.h"
#include "arch/x86_64/layout.h"
#include "arch/x86_64/pte.h"
#include "core/base/print.h"
#include "core/base/string.h"
#include "core/cpu.h"
#include "core/panic.h"
#include "vm/fault.h"
#include "vm/space.h"

#define STATUS_TRAP 133
#define STATUS_ILLEGAL 132
#define STATUS_BUS 135
#define STATUS_FLOAT 136
#define STATUS_SEGMENT 139

#define ERROR_OF_IDT (1u << 1) /* general protection */

#define TRACE_FRAMES 32
#define TRACE_GUESSES 12
#define SCAN_WORDS 512
/* A function without a frame of its own hides its caller; the return address is near the stack pointer then. */
#define TRACE_GUESSES_FIRST 2
#define SCAN_WORDS_FIRST 8
#define CAUSE_MAX 240

extern char fault_stack_guard[], fault_stack_top[];

/* ---- looking at memory that may not be there ---- */

static bool is_canonical(vaddr_t address)
{
    return (intptr_t)(address << 16) >> 16 == (intptr_t)address;
}

/* By the tables that the CPU walks, or its own ones are taken from: the address space may be damaged. Before there is
 * one only the image is mapped. */
static bool mapped(vaddr_t address, vm_flags_t access)
{
    struct mmu tables = {.root = mmu_common_root()};
    struct mmu_entry entry;

    if (!is_canonical(address) || panic_reports > 1)
        return false;
    if (tables.root == 0)
        __asm__("movq %%cr3, %0" : "=r"(tables.root));
    if (vm_space())
        return mmu_query(&tables, address, &entry) && (entry.flags & access) == access &&
               (entry.flags & VM_CACHE) == VM_CACHE_WB;
    for (const struct image_part *part = boot_sections; part < boot_sections_end; part++) {
        if (address >= IMAGE_BASE + part->start && address < IMAGE_BASE + part->end)
            return !(access & VM_EXEC) || !(part->attributes & PTE_NX);
    }
    return false;
}

/* Reads size bytes (at most a page) if they are mapped and readable; never faults. */
static bool peek(vaddr_t address, void *to, size_t size)
{
    if (address + size < address || !mapped(address, VM_READ) || !mapped(address + size - 1, VM_READ))
        return false;
    memcpy(to, (const void *)address, size);
    return true;
}

/* ---- backtraces ---- */

/* Return addresses by the chain of frame pointers. *rest: 0 if it ends where the program began (frame 0) or is longer
 * than max, else the stack above its last frame; unchanged if there is none. */
static size_t follow_frames(uintptr_t frame, uintptr_t *addresses, size_t max, uintptr_t *rest)
{
    struct {
        uintptr_t next, address;
    } link;
    size_t count = 0;

    while (count < max && frame != 0 && is_aligned(frame, 8) && peek(frame, &link, sizeof link) &&
           mapped(link.address, VM_EXEC)) {
        addresses[count++] = link.address;
        *rest = frame + sizeof link;
        frame = link.next;
    }
    if (frame == 0 || count == max)
        *rest = 0;
    return count;
}

/* A call instruction ends before the address. */
static bool follows_call(uintptr_t address)
{
    uint8_t bytes[CALL_LENGTH];

    return mapped(address, VM_EXEC) && peek(address - sizeof bytes, bytes, sizeof bytes) && ends_in_call(bytes);
}

/* What looks like return addresses in the words from the address on. */
static size_t scan_stack(uintptr_t stack, size_t words, struct panic_frame *frames, size_t max)
{
    size_t count = 0;
    uintptr_t word;

    stack &= ~(uintptr_t)7;
    for (size_t i = 0; i < words && count < max && peek(stack + 8 * i, &word, sizeof word); i++) {
        if (follows_call(word))
            frames[count++] = (struct panic_frame){word, false};
    }
    return count;
}

/* Frames by frame pointer, with guesses below where a caller may be hidden, and above where the chain breaks. */
static size_t trace_exception(const struct trap_frame *frame, struct panic_frame *trace)
{
    uintptr_t addresses[TRACE_FRAMES], rest = 0;
    size_t certain = follow_frames(frame->rbp, addresses, TRACE_FRAMES, &rest);
    size_t words = SCAN_WORDS_FIRST, count;

    if (certain == 0)
        return scan_stack(frame->rsp, SCAN_WORDS, trace, TRACE_GUESSES);
    if (frame->rbp - frame->rsp < words * 8)
        words = (frame->rbp - frame->rsp) / 8;
    count = scan_stack(frame->rsp, words, trace, TRACE_GUESSES_FIRST);
    for (size_t i = 0; i < certain; i++)
        trace[count++] = (struct panic_frame){addresses[i], true};
    return rest ? count + scan_stack(rest, SCAN_WORDS, trace + count, TRACE_GUESSES) : count;
}

size_t cpu_backtrace(uintptr_t *addresses, size_t max)
{
    uintptr_t rest = 0, frame = *(uintptr_t *)__builtin_frame_address(0);
    size_t count = max > 0;

    /* The first address is where the caller returns to: the caller's own frame follows. */
    if (count)
        addresses[0] = (uintptr_t)__builtin_return_address(0);
    return count + follow_frames(frame, addresses + count, max - count, &rest);
}

#if QUIRE_THREADS
/* ---- threads, and CPUs that were stopped ---- */

extern uintptr_t syscall_stack;
extern struct tss cpu_tss;

_Static_assert(TRACE_GUESSES_FIRST + TRACE_FRAMES + TRACE_GUESSES == PANIC_TRACE_MAX, "PANIC_TRACE_MAX");

bool panic_peek(uintptr_t address, void *to, size_t size)
{
    size_t part;

    for (; size > 0; size -= part, address += part, to = (char *)to + part) {
        part = VM_PAGE_SIZE - (address & VM_PAGE_MASK);
        part = part < size ? part : size;
        if (!peek(address, to, part))
            return false;
    }
    return true;
}

/* A word of the call that the thread is in; where it was interrupted instead, the word of a return address is cs. */
static uint64_t call_word(const struct machine_context *context, unsigned offset)
{
    uint64_t word = 0;

    peek(context->high - 8 - CALL_SIZE + offset, &word, sizeof word);
    return word;
}

static bool is_in_call(const struct machine_context *context)
{
    return call_word(context, CALL_RIP) != SELECTOR_CODE;
}

static void tell_call(const struct machine_context *context, struct panic_place *place)
{
    place->inside = INSIDE_CALL;
    place->call = call_word(context, CALL_NUMBER);
    place->argument = call_word(context, CALL_RDI);
}

/* The program's frame pointer, behind those of the core, which lie on the context's stack. */
static uintptr_t program_frame_pointer(const struct machine_context *context)
{
    uintptr_t frame = 0;

    peek(context->stack + CONTEXT_RBP, &frame, sizeof frame);
    for (uintptr_t next; frame >= context->low && frame < context->high; frame = next)
        if (!peek(frame, &next, sizeof next) || (next <= frame && next >= context->low))
            return 0;
    return frame;
}

void panic_left_at(const struct machine_context *context, struct panic_place *place)
{
    struct trap_frame frame = {.rip = 0};

    if (is_in_call(context)) {
        *place = (struct panic_place){.instruction = call_word(context, CALL_RIP),
                                      .stack = call_word(context, CALL_RSP),
                                      .frame = program_frame_pointer(context)};
        tell_call(context, place);
        return;
    }
    peek(context->high - sizeof frame, &frame, sizeof frame);
    *place = (struct panic_place){.instruction = frame.rip, .stack = frame.rsp, .frame = frame.rbp};
    if (frame.vector == EXCEPTION_PAGE) {
        place->inside = INSIDE_FAULT;
        place->argument = frame.address;
    }
}

/* Of the first of the faults that are served there. */
static bool is_in_fault(unsigned cpu, unsigned long *address)
{
    uintptr_t top = (uintptr_t)fault_stack_top + percpu_offsets[cpu];
    struct trap_frame frame;

    if (cpu_variable(cpu, cpu_tss).ist[IST_PAGE - 1] == top || !peek(top - sizeof frame, &frame, sizeof frame))
        return false;
    *address = frame.address;
    return true;
}

bool panic_stopped_at(unsigned cpu, const struct machine_context *context, struct panic_place *place)
{
    const struct trap_frame *frame = smp_stopped_at(cpu);

    if (frame == NULL)
        return false;
    *place = (struct panic_place){.instruction = frame->rip, .stack = frame->rsp, .frame = frame->rbp};
    if (is_in_fault(cpu, &place->argument))
        place->inside = INSIDE_FAULT;
    else if (context->program && cpu_variable(cpu, syscall_stack) == 0 && is_in_call(context))
        tell_call(context, place);
    return true;
}

bool panic_is_asleep(const struct panic_place *place)
{
    return trap_is_core(place->instruction) && trap_is_asleep(&(struct trap_frame){.rip = place->instruction});
}

size_t panic_trace(const struct panic_place *place, struct panic_frame *trace)
{
    return trace_exception(&(struct trap_frame){.rsp = place->stack, .rbp = place->frame}, trace);
}
#endif

/* ---- the cause in words ---- */

struct cause {
    int status;
    bool has_address;
    char text[CAUSE_MAX];
};

static const char *access_word(uint64_t error)
{
    return error & ERROR_FETCH ? "execution" : error & ERROR_WRITE ? "write" : "read";
}

static void describe_refused(const struct trap_frame *frame, struct vm_segment *segment, struct cause *cause)
{
    unsigned long address = frame->address;
    const char *word = access_word(frame->error);
    vm_flags_t flags = vm_flags(segment);

    if (frame->failure == E_RANGE)
        text_format(cause->text, CAUSE_MAX, "%s at 0x%lx, behind the end of the file that is mapped there", word,
                    address);
    else if (vm_stack_overflow(segment, frame->address))
        text_format(cause->text, CAUSE_MAX, "stack overflow: the guard of the stack 0x%lx-0x%lx was touched at 0x%lx",
                    (unsigned long)vm_start(segment), (unsigned long)(vm_start(segment) + vm_size(segment)), address);
    else if (!(flags & VM_PROTECTION))
        text_format(cause->text, CAUSE_MAX, "%s at 0x%lx, which is protected against every access", word, address);
    else if ((frame->error & ERROR_WRITE) && (flags & VM_EXEC))
        text_format(cause->text, CAUSE_MAX, "write to text at 0x%lx", address);
    else if ((frame->error & ERROR_WRITE) && !(flags & VM_WRITE))
        text_format(cause->text, CAUSE_MAX, "write to read-only memory at 0x%lx", address);
    else if ((frame->error & ERROR_FETCH) && !(flags & VM_EXEC))
        text_format(cause->text, CAUSE_MAX, "execution of data at 0x%lx", address);
    else
        text_format(cause->text, CAUSE_MAX, "%s at 0x%lx, which the segment's driver %s refused (%s)", word, address,
                    vm_driver_of(segment)->name, error_name((error_t)frame->failure));
}

static void describe_page_fault(const struct trap_frame *frame, struct cause *cause)
{
    struct address_space *space = panic_space();
    struct vm_segment *segment = space ? vm_find(space, frame->address) : NULL;
    unsigned long address = frame->address;
    const char *word = access_word(frame->error);

    cause->status = STATUS_SEGMENT;
    cause->has_address = true;
    if (frame->error & ~(uint64_t)ERROR_ORDINARY)
        text_format(cause->text, CAUSE_MAX, "damaged page table: %s at 0x%lx, error code 0x%lx", word, address,
                    (unsigned long)frame->error);
    else if (frame->address < NULL_GUARD_END)
        text_format(cause->text, CAUSE_MAX, "null pointer %s at 0x%lx", frame->error & ERROR_FETCH ? "call" : word,
                    address);
    else if (address >= (vaddr_t)__boot_stack - VM_PAGE_SIZE && address < (vaddr_t)__boot_stack)
        text_format(cause->text, CAUSE_MAX, "stack overflow in the core at 0x%lx", address);
    else if (!segment)
        text_format(cause->text, CAUSE_MAX, "%s at 0x%lx%s", word, address, space ? ", where no segment is" : "");
    else if (frame->failure == E_NOMEM)
        text_format(cause->text, CAUSE_MAX,
                    "no memory left: the segment 0x%lx-0x%lx (%s) wanted a page for a %s at 0x%lx",
                    (unsigned long)vm_start(segment), (unsigned long)(vm_start(segment) + vm_size(segment)),
                    vm_driver_of(segment)->name, word, address);
    else
        describe_refused(frame, segment, cause);
    if (frame->failure == E_RANGE)
        cause->status = STATUS_BUS;
}

static void describe_opcode(const struct trap_frame *frame, struct cause *cause)
{
    uint8_t bytes[8];
    int length = text_format(cause->text, CAUSE_MAX, "illegal instruction");

    for (unsigned i = 0; i < sizeof bytes && peek(frame->rip + i, bytes + i, 1); i++)
        length += text_format(cause->text + length, CAUSE_MAX - (size_t)length, "%s%02x", i ? " " : ": ", bytes[i]);
}

/* A vector that is not set up shows in bit 1 of the error code (SDM vol. 3, 6.13); which one, in the instruction. */
#define OPCODE_INT 0xcd

static void describe_protection(const struct trap_frame *frame, struct cause *cause)
{
    uint8_t bytes[2];

    if ((frame->error & ERROR_OF_IDT) && peek(frame->rip, bytes, sizeof bytes) && bytes[0] == OPCODE_INT)
        text_format(cause->text, CAUSE_MAX, "int 0x%x: there is no such interrupt%s", bytes[1],
                    bytes[1] == 0x80 ? "; system calls are made by the syscall instruction" : "");
    else
        text_format(cause->text, CAUSE_MAX,
                    "general protection: an address that is not canonical or not aligned, or an invalid operand (error "
                    "code 0x%lx)",
                    frame->error);
}

/* Without an address space's fault record: which of our guards was hit. */
static void describe_double_fault(struct cause *cause)
{
    uintptr_t address;

    __asm__("movq %%cr2, %0" : "=r"(address));
    if (address - percpu_offset() - (uintptr_t)fault_stack_guard < (uintptr_t)(fault_stack_top - fault_stack_guard))
        text_format(cause->text, CAUSE_MAX,
                    "page faults nested more than %d deep: drivers that touch each other's memory", FAULT_SLICES);
    else
        text_format(cause->text, CAUSE_MAX, "double fault, last page fault at 0x%lx", (unsigned long)address);
}

static const struct {
    const char *name;
    uint8_t status;
} exceptions[] = {
    [EXCEPTION_DIVIDE] = {"division by zero, or its result does not fit", STATUS_FLOAT},
    [EXCEPTION_DEBUG] = {"debug trap", STATUS_TRAP},
    [EXCEPTION_NMI] = {"non-maskable interrupt", STATUS_PANIC},
    [EXCEPTION_BREAKPOINT] = {"breakpoint (int3)", STATUS_TRAP},
    [4] = {"overflow trap", STATUS_SEGMENT},
    [5] = {"bound range exceeded", STATUS_SEGMENT},
    [7] = {"floating point unit switched off", STATUS_FLOAT},
    [10] = {"invalid task state segment", STATUS_SEGMENT},
    [11] = {"segment or interrupt vector not present", STATUS_SEGMENT},
    [EXCEPTION_STACK] = {"stack fault: the address is not canonical", STATUS_SEGMENT},
    [EXCEPTION_PROTECTION] = {"general protection", STATUS_SEGMENT},
    [EXCEPTION_FLOAT] = {"floating point exception (x87)", STATUS_FLOAT},
    [EXCEPTION_ALIGNMENT] = {"misaligned access", STATUS_BUS},
    [EXCEPTION_MACHINE] = {"machine check: the hardware reports an error", STATUS_PANIC},
    [EXCEPTION_SIMD] = {"floating point exception (SSE)", STATUS_FLOAT},
};

static void describe(const struct trap_frame *frame, struct cause *cause)
{
    const char *name = frame->vector < ARRAY_LENGTH(exceptions) ? exceptions[frame->vector].name : NULL;

    cause->status = name ? exceptions[frame->vector].status : STATUS_PANIC;
    switch (frame->vector) {
    case EXCEPTION_PAGE:
        describe_page_fault(frame, cause);
        break;
    case EXCEPTION_OPCODE:
        cause->status = STATUS_ILLEGAL;
        describe_opcode(frame, cause);
        break;
    case EXCEPTION_PROTECTION:
        describe_protection(frame, cause);
        break;
    case EXCEPTION_DOUBLE:
        cause->status = STATUS_PANIC;
        describe_double_fault(cause);
        break;
    default:
        text_format(cause->text, CAUSE_MAX, "%s (exception %lu, error code 0x%lx)", name ? name : "unexpected",
                    (unsigned long)frame->vector, (unsigned long)frame->error);
    }
}

/* ---- the report ---- */

void panic_print_registers(const void *registers)
{
    const struct trap_frame *frame = registers;
    unsigned long cr2, cr3, rsp = (unsigned long)__builtin_frame_address(0);

    __asm__("movq %%cr2, %0" : "=r"(cr2));
    __asm__("movq %%cr3, %0" : "=r"(cr3));
#if QUIRE_THREADS
    kprintf("quire: registers (CPU %u of %u, %s)\n", cpu_number(), cpu_count(), cpu_name());
#else
    kprintf("quire: registers (%s)\n", cpu_name());
#endif
    if (frame) {
        const struct trap_frame *f = frame;

        kprintf("quire:   rip %016lx rsp %016lx rbp %016lx rflags %08lx\n", f->rip, f->rsp, f->rbp, f->rflags);
        kprintf("quire:   rax %016lx rbx %016lx rcx %016lx rdx %016lx\n", f->rax, f->rbx, f->rcx, f->rdx);
        kprintf("quire:   rsi %016lx rdi %016lx r8  %016lx r9  %016lx\n", f->rsi, f->rdi, f->r8, f->r9);
        kprintf("quire:   r10 %016lx r11 %016lx r12 %016lx r13 %016lx\n", f->r10, f->r11, f->r12, f->r13);
        kprintf("quire:   r14 %016lx r15 %016lx fs  %016lx error %lx\n", f->r14, f->r15, cpu_thread_pointer(),
                f->error);
        cr2 = f->vector == EXCEPTION_PAGE ? f->address : cr2;
    } else {
        kprintf("quire:   rsp %016lx fs  %016lx\n", rsp, cpu_thread_pointer());
    }
    kprintf("quire:   cr2 %016lx cr3 %016lx\n", cr2, cr3);
}

_Noreturn void trap_report(const struct trap_frame *frame)
{
    struct cause cause = {.has_address = false};
    struct panic_frame trace[TRACE_GUESSES_FIRST + TRACE_FRAMES + TRACE_GUESSES];
    size_t count;

    panic_begin();
    describe(frame, &cause);
    bool core = trap_is_core(frame->rip) || cause.status == STATUS_PANIC;

    panic_cause(core ? "panic" : "program", cause.text);
    count = trace_exception(frame, trace);
    panic_report(&(struct panic_report){
        .status = core ? STATUS_PANIC : cause.status,
        .instruction = frame->rip,
        .registers = frame,
        .has_address = cause.has_address,
        .address = frame->address,
        .trace = trace,
        .trace_count = count,
    });
}
