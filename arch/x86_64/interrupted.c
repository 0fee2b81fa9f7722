/*
 * What the timer interrupted (core/linux/frame.h), told from what lies about: neither calls nor faults note anything.
 *
 * An interrupt that was due while the core ran is taken before the program's next instruction. The registers that a
 * call or a fault saved still lie where their stacks end; if they are the ones the program has now, it has not gone on
 * since. They are evidence once only: a loop may come back to the same instruction with the same registers.
 *
 * Return addresses come from the chain of frame pointers. It lacks the caller of a function whose frame is not there
 * (yet, or any more, or ever), but that address then lies on top of the stack; whether it does, the code tells.
 */
#include "arch/x86_64/arch.h"
#include "core/base/string.h"
#include "core/cpu.h"
#include "core/linux/frame.h"
#include "core/percpu.h"
#include "vm/frames.h"
#include "vm/space.h"

#define REACH 4096 /* of a function from its start, where nothing tells its end */
#define CODE_SIZE 12

#define HLT 0xf4
#define WAIT_SIZE 512 /* more than cpu_wait_until has; the instruction is nowhere else behind its start */

extern uintptr_t syscall_stack, kernel_stack;
extern char fault_stack_top[], interrupt_stack_top[];

/* ---- the place ---- */

/* The interrupt's stack holds nothing else above it. */
static inline const struct trap_frame *interrupted(void)
{
    return (const struct trap_frame *)((uintptr_t)interrupt_stack_top + percpu_offset()) - 1;
}

static inline uint64_t *call_word(unsigned offset)
{
    return (uint64_t *)(this_cpu(kernel_stack) - CALL_SIZE + offset);
}

/* The registers from r8 on, as trap.S pushed them at the last fault that interrupted no other. */
static inline struct trap_frame *last_fault(void)
{
    return (struct trap_frame *)((uintptr_t)fault_stack_top + percpu_offset()) - 1;
}

static inline bool is_kernel_stack(uintptr_t address)
{
    return this_cpu(kernel_stack) + 7 - address < KERNEL_STACK;
}

bool trap_is_asleep(const struct trap_frame *frame)
{
    return frame->rip - (uintptr_t)cpu_wait_until < WAIT_SIZE && *(const uint8_t *)(frame->rip - 1) == HLT;
}

static bool is_behind_call(const struct trap_frame *frame)
{
    return *call_word(CALL_RIP) == frame->rip && *call_word(CALL_RSP) == frame->rsp;
}

static bool is_behind_fault(const struct trap_frame *frame)
{
    const struct trap_frame *fault = last_fault();

    return fault->rip == frame->rip && fault->rsp == frame->rsp && fault->rax == frame->rax &&
           fault->rcx == frame->rcx && fault->rdx == frame->rdx && fault->rsi == frame->rsi &&
           fault->rdi == frame->rdi && fault->r8 == frame->r8 && fault->r9 == frame->r9 && fault->r10 == frame->r10 &&
           fault->r11 == frame->r11;
}

enum frame_place frame_interrupted(unsigned long *call)
{
    const struct trap_frame *frame = interrupted();
    enum frame_place place = FRAME_IN_PROGRAM;

    if (trap_is_asleep(frame))
        return FRAME_IN_SLEEP;
    if (is_kernel_stack(frame->rsp))
        return FRAME_IN_START;
    if (trap_is_core(frame->rip) || this_cpu(syscall_stack) == 0)
        return FRAME_IN_CORE;
    if (is_behind_call(frame)) {
        place = FRAME_IN_CALL;
        *call = *call_word(CALL_NUMBER);
    } else if (is_behind_fault(frame)) {
        place = FRAME_IN_FAULT;
    }
    *call_word(CALL_RIP) = last_fault()->rip = 0;
    return place;
}

/* ---- memory ---- */

/* Pages of the program's stack and code that were found mapped, so that the tables are not walked for each word.
 * Threads on other CPUs may unmap what is looked at: the program's memory is read where the map of RAM shows it, which
 * never faults; and tables are walked from the root, as what domains remember of theirs is for who holds them. Those
 * that go stay as they are until this CPU, which has interrupts off, has answered. */
static struct known {
    uintptr_t page;
    const char *memory;
} stack_page, code_page;

#define NO_PAGE 1u

static bool find(uintptr_t page, vm_flags_t access, struct known *known)
{
    const struct mmu tables = {.root = vm_space()->mmu.root};
    struct mmu_entry entry;

    if ((intptr_t)(page << 16) >> 16 != (intptr_t)page || !mmu_query(&tables, page, &entry) ||
        (entry.flags & access) != access || (entry.flags & VM_CACHE) != VM_CACHE_WB)
        return false;
    known->memory = (const char *)page;
    if (page < LOW_HALF_END) {
        paddr_t frame = entry.frame + page % page_bytes(entry.size);

        if (!frames_overlap(frame, VM_PAGE_SIZE))
            return false;
        known->memory = phys_to_virt(frame);
    }
    known->page = page;
    return true;
}

static inline bool look(uintptr_t address, vm_flags_t access, struct known *known)
{
    uintptr_t page = align_down(address, VM_PAGE_SIZE);

    return LIKELY(page == known->page) || find(page, access, known);
}

/* Of two pages at most. */
static inline bool peek(uintptr_t address, void *to, size_t size, vm_flags_t access, struct known *known)
{
    size_t offset = address % VM_PAGE_SIZE, first = VM_PAGE_SIZE - offset < size ? VM_PAGE_SIZE - offset : size;

    if (!look(address, access, known))
        return false;
    __builtin_memcpy(to, known->memory + offset, first);
    if (LIKELY(first == size))
        return true;
    if (!look(address + first, access, known))
        return false;
    __builtin_memcpy((char *)to + first, known->memory, size - first);
    return true;
}

static inline bool peek_stack(uintptr_t address, void *to, size_t size)
{
    return peek(address, to, size, VM_READ, &stack_page);
}

static inline bool peek_code(uintptr_t address, void *to, size_t size)
{
    return peek(address, to, size, VM_READ | VM_EXEC, &code_page);
}

/* ---- code ---- */

static bool is_return_address(uintptr_t address)
{
    uint8_t bytes[CALL_LENGTH];

    return look(address, VM_READ | VM_EXEC, &code_page) && peek_code(address - CALL_LENGTH, bytes, CALL_LENGTH) &&
           ends_in_call(bytes);
}

static const uint8_t *skip_endbr(const uint8_t *code)
{
    return code[0] == 0xf3 && code[1] == 0x0f && code[2] == 0x1e && code[3] == 0xfa ? code + 4 : code;
}

/* push %rbp; mov %rsp, %rbp */
static bool makes_frame(const uint8_t *code)
{
    return code[0] == 0x55 && code[1] == 0x48 && code[2] == 0x89 && code[3] == 0xe5;
}

/* mov $15, %rax (or %eax); syscall: where a handler returns to, rt_sigreturn. */
static bool is_restorer(uintptr_t address)
{
    static const uint8_t wide[] = {0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05};
    static const uint8_t narrow[] = {0xb8, 15, 0, 0, 0, 0x0f, 0x05};
    uint8_t code[CODE_SIZE];

    return peek_code(address, code, sizeof code) &&
           (memcmp(code, wide, sizeof wide) == 0 || memcmp(code, narrow, sizeof narrow) == 0);
}

/* Where the call instruction before the return address goes, if it tells; through the jump of a linkage table. 0: it
 * does not tell. */
static uintptr_t called_function(uintptr_t address)
{
    uint8_t code[CODE_SIZE];
    const uint8_t *jump;
    int32_t distance;
    uintptr_t target;
    struct known page = {.page = NO_PAGE};

    if (!peek_code(address - 5, code, 5) || code[0] != 0xe8)
        return 0;
    memcpy(&distance, code + 1, sizeof distance);
    target = address + (uintptr_t)(intptr_t)distance;
    if (!peek_code(target, code, sizeof code))
        return 0;
    jump = skip_endbr(code);
    if (jump[0] != 0xff || jump[1] != 0x25) /* jmp *distance(%rip) */
        return target;
    memcpy(&distance, jump + 2, sizeof distance);
    target += (uintptr_t)(jump - code) + 6 + (uintptr_t)(intptr_t)distance;
    return peek(target, &target, sizeof target, VM_READ, &page) ? target : 0;
}

/* True if the call before the return address called the function that rip is in, and that has no frame. */
static bool calls_frameless(uintptr_t address, uintptr_t rip)
{
    uintptr_t function = called_function(address);
    uint8_t code[CODE_SIZE];

    return function != 0 && rip - function < REACH && peek_code(function, code, sizeof code) &&
           !makes_frame(skip_endbr(code));
}

/* ---- the stack ---- */

struct registers {
    uintptr_t rip, rsp, rbp;
};

struct trace {
    uintptr_t *addresses;
    size_t count, max;
};

static inline void put(struct trace *trace, uintptr_t address)
{
    if (trace->count < trace->max)
        trace->addresses[trace->count++] = address;
}

/* The frames of the core on its own stack are all linked; above them is the program's. */
static uintptr_t leave_kernel_stack(uintptr_t frame)
{
    while (is_kernel_stack(frame))
        frame = *(const uintptr_t *)frame;
    return frame;
}

/* The code that was interrupted; where a system call sleeps, the code that made it. */
static struct registers interrupted_registers(void)
{
    const struct trap_frame *frame = interrupted();

    if (trap_is_asleep(frame) && this_cpu(syscall_stack) == 0)
        return (struct registers){*call_word(CALL_RIP), *call_word(CALL_RSP), leave_kernel_stack(frame->rbp)};
    return (struct registers){frame->rip, frame->rsp, frame->rbp};
}

/* The return address of a function whose frame is not (yet, or any more) linked; 0: none. */
static uintptr_t hidden_caller(const struct registers *at)
{
    uint8_t before_code[1 + CODE_SIZE];
    const uint8_t *code = skip_endbr(before_code + 1);
    uintptr_t words[2];

    if (!peek_code(at->rip - 1, before_code, sizeof before_code) || !peek_stack(at->rsp, words, sizeof words))
        return 0;
    if (before_code[0] == 0x55 && code[0] == 0x48 && code[1] == 0x89 && code[2] == 0xe5)
        return is_return_address(words[1]) ? words[1] : 0;
    if (!is_return_address(words[0]))
        return 0;
    return makes_frame(code) || code[0] == 0xc3 /* ret */ || calls_frameless(words[0], at->rip) ? words[0] : 0;
}

/* Where the handler whose frame this is interrupted the program; 0: it is no handler's. */
static uintptr_t interrupted_by_handler(uintptr_t frame, uintptr_t address)
{
    uintptr_t rip;

    return is_restorer(address) && peek_stack(frame + sizeof address + SIGNAL_FRAME_RIP, &rip, sizeof rip) ? rip : 0;
}

/* A stack grows downwards, so each frame lies above the one before; but a handler may have a stack of its own. */
static void follow(struct trace *trace, uintptr_t frame)
{
    struct {
        uintptr_t next, address;
    } link;

    while (trace->count < trace->max && is_aligned(frame, 8) && peek_stack(frame, &link, sizeof link)) {
        bool called = is_return_address(link.address);
        uintptr_t address = called ? link.address : interrupted_by_handler(frame, link.address);

        if (address == 0)
            return;
        put(trace, address);
        if (called && link.next <= frame)
            return;
        frame = link.next;
    }
}

size_t frame_interrupted_stack(uintptr_t *addresses, size_t max)
{
    struct registers at = interrupted_registers();
    struct trace trace = {.addresses = addresses, .max = max};
    uintptr_t hidden;

    stack_page.page = code_page.page = NO_PAGE;
    hidden = hidden_caller(&at);
    put(&trace, at.rip);
    if (hidden != 0)
        put(&trace, hidden);
    follow(&trace, at.rbp);
    return trace.count;
}
