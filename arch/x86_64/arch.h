/*
 * What the files of arch/x86_64 share: selectors and stacks (also for assembly), control-register and port access, the
 * features of the CPU, and the order of bringing it up. Private to this folder.
 */
#ifndef ARCH_ARCH_H
#define ARCH_ARCH_H

/* Segment selectors. SYSCALL loads CS and the following descriptor as SS (Intel SDM vol. 3, 5.8.8). */
#define SELECTOR_CODE 0x08
#define SELECTOR_DATA 0x10
#define SELECTOR_TSS 0x18

/* What the switch to 64 bits sets, of the boot CPU (entry.S) and of others (ap_entry.S). */
#define SWITCH_CR0 0x80010033  /* PG, WP, NE, ET, MP, PE */
#define SWITCH_CR4 0x000000a0  /* PGE, PAE */
#define SWITCH_EFER 0x00000900 /* NXE, LME */
#define MSR_EFER 0xc0000080

/* Vectors above the exceptions. The PICs are masked and moved here only to catch what is spurious. */
#define VECTOR_PIC 0x20
#define VECTOR_TIMER 0x30
#define VECTOR_CALL 0x31 /* from another CPU: look at what it asks for (smp.c) */
#define VECTOR_KICK 0x32 /* from another CPU: stop waiting, or what you run of the program */
#define VECTOR_SPURIOUS 0xff
#define VECTOR_SYSCALL 0x100 /* in a trap frame: none, but the system call whose number is `error` */
#define EXCEPTIONS 32

/* Flags (Intel SDM vol. 1, 3.4.3). */
#define FLAG_TRAP 0x100
#define FLAG_INTERRUPT 0x200
#define FLAG_DIRECTION 0x400
#define FLAG_NESTED_TASK 0x4000
#define FLAG_RESUME 0x10000
#define FLAG_ALIGNMENT 0x40000

/* The error code of a page fault (Intel SDM vol. 3, 4.7). */
#define ERROR_PRESENT (1u << 0)
#define ERROR_WRITE (1u << 1)
#define ERROR_USER (1u << 2)
#define ERROR_FETCH (1u << 4)
#define ERROR_ORDINARY (ERROR_PRESENT | ERROR_WRITE | ERROR_FETCH)

#define EXCEPTION_DIVIDE 0
#define EXCEPTION_DEBUG 1
#define EXCEPTION_NMI 2
#define EXCEPTION_BREAKPOINT 3
#define EXCEPTION_OPCODE 6
#define EXCEPTION_DOUBLE 8
#define EXCEPTION_STACK 12
#define EXCEPTION_PROTECTION 13
#define EXCEPTION_PAGE 14
#define EXCEPTION_FLOAT 16
#define EXCEPTION_ALIGNMENT 17
#define EXCEPTION_MACHINE 18
#define EXCEPTION_SIMD 19

/*
 * Stacks (trap.S). Code below may be in the middle of its red zone at any instruction, so every vector switches
 * stacks by the interrupt stack table: index 1 to 7, one for each class of vector. Below every stack is a guard page.
 * A page fault may come while another is served (a driver touched demand memory): each nesting takes the next
 * slice of the fault stack, and one too many runs into the guard, which is a double fault.
 */
#define IST_DOUBLE 1
#define IST_NMI 2
#define IST_MACHINE 3
#define IST_PAGE 4
#define IST_EXCEPTION 5
#define IST_INTERRUPT 6
#define IST_COUNT 6

#define STACK_GUARD 4096
#define STACK_REPORT 12288 /* room for a report */
#define KERNEL_STACK 32768 /* of a thread, for its calls: what boot.stack has, too */
#define STACK_CPU 16384    /* of a CPU that runs nothing of the program */
#define FAULT_SLICE 8192
#define FAULT_SLICES 4

/*
 * Each CPU has a per-CPU block and these stacks, at the same distance (percpu_offset) from those of the image, which
 * are CPU 0's. It is a multiple of 4 GiB: so the low half of an address tells which stack it is on, whatever the CPU.
 */
#define LOW_HALF(symbol) (symbol - 0xffffffff00000000)

/* RAM below is not handed out: boot.c. */
#define LOW_MEMORY_END 0x10000u

/* Where the fault stack's entry is in the task state segment (Intel SDM vol. 3, 8.7). */
#define TSS_IST_PAGE (0x24 + 8 * (IST_PAGE - 1))

/* Bytes of struct trap_frame, and of it before cs. */
#define TRAP_FRAME_SIZE 192
#define TRAP_FRAME_BELOW_CS 160
#define TRAP_FRAME_R8 64

/* What lies above the kernel stack pointer while a system call runs (syscall.S), and stays there when it has ended. */
#define CALL_NUMBER 0
#define CALL_R9 8
#define CALL_R8 16
#define CALL_R10 24
#define CALL_RDX 32
#define CALL_RSI 40
#define CALL_RDI 48
#define CALL_FLAGS 56
#define CALL_RIP 64
#define CALL_STACK 72 /* syscall_stack before */
#define CALL_RSP 80
#define CALL_SIZE 88

#ifdef __ASSEMBLER__
/* clang-format off */
/*
 * For debuggers: where code that calls a function has the registers of what it was entered from, above the stack pointer
 * of that call. unwind_begin before the call, one of the others behind it. DWARF's call frame information by hand, as
 * the assembler does not say in .debug_frame that these are frames as of signals (S), whose callers may be on any other
 * stack; no image loads it.
 */
    .macro unwind_begin
771:
    .endm

    /* size: bytes up to the end of what is saved; saved: for each register 0x80 + its number in DWARF (psABI, figure
     * 3.36), and how many words below that end it lies. */
    .macro unwind_end size, saved:vararg
772:
    .pushsection .debug_frame, "", @progbits
773:
    .long 775f - 774f
774:
    .long 0xffffffff /* what is common */
    .byte 1, 'S', 0, 1, 0x78, 16 /* version, augmentation, factors 1 and -8, the return address */
    .byte 0x0c, 7 /* the end is so far above rsp */
    .uleb128 \size
    .byte \saved
    .balign 8, 0
775:
    .long 777f - 776f
776:
    .long 773b
    .quad 771b, 772b - 771b
    .balign 8, 0
777:
    .popsection
    .endm

    .macro unwind_call
    unwind_end CALL_SIZE, 0x80 + 16, (CALL_SIZE - CALL_RIP) / 8, 0x87, (CALL_SIZE - CALL_RSP) / 8
    .endm

    /* A whole struct trap_frame; or from r8 on, without the preserved registers. */
    .macro unwind_trap
    unwind_end TRAP_FRAME_SIZE, 0x80 + 16, 5, 0x87, 2, 0x83, 17, 0x86, 18, 0x8f, 19, 0x8e, 20, 0x8d, 21, 0x8c, 22
    .endm

    .macro unwind_fault
    unwind_end TRAP_FRAME_SIZE - TRAP_FRAME_R8, 0x80 + 16, 5, 0x87, 2
    .endm
/* clang-format on */
#else

#include "core/base/error.h"
#include "core/base/string.h"
#include "core/base/types.h"
#include "core/boot_info.h"
#include "core/percpu.h"

/* Where a part of the image lies in memory. */
#define image_physical(symbol) (boot_info.image_start + ((uintptr_t)(symbol)-IMAGE_BASE))

struct tss {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3, io_map;
} __attribute__((packed));

/* Registers as trap.S pushes them; those that a C function preserves only once a page fault is known to be no ordinary
 * one. Where they can they lie in pairs as in a signal's frame (signal.c). */
struct trap_frame {
    uint64_t vector;
    uint64_t failure; /* page fault: what vm_handle_fault answered; system call: syscall_stack of the caller */
    uint64_t r12, r13, r14, r15, rbp, rbx;
    uint64_t r8, r9, r10, r11, rsi, rdx, rax, rcx;
    uint64_t address; /* page fault: what was accessed */
    uint64_t rdi;
    uint64_t error; /* system call: its number */
    uint64_t rip, cs, rflags, rsp, ss;
};

_Static_assert(offsetof(struct trap_frame, cs) == TRAP_FRAME_BELOW_CS && sizeof(struct trap_frame) == TRAP_FRAME_SIZE &&
                   offsetof(struct trap_frame, r8) == TRAP_FRAME_R8,
               "for syscall.S and trap.S");

struct cpu_features {
    bool xsave, fsgsbase, rdrand, rdseed, apic, x2apic, tsc_deadline, invariant_tsc, hypervisor, pages_1g;
    bool fast_strings; /* ERMS */
    uint8_t physical_bits;
    uint32_t highest_leaf;        /* of CPUID */
    uint32_t extended_state_size; /* bytes of an XSAVE or FXSAVE area */
};
extern struct cpu_features cpu_features;

/* The parts of the image (entry.S): offsets from IMAGE_BASE, and from where it is loaded; what its leaves have. */
struct image_part {
    uint32_t start, end;
    uint64_t attributes;
};
extern const struct image_part boot_sections[], boot_sections_end[];

/* True if the address is in the core's text. */
static inline bool trap_is_core(uintptr_t address)
{
    extern char __core_text_start[], __core_text_end[];

    return address - (uintptr_t)__core_text_start < (uintptr_t)(__core_text_end - __core_text_start);
}

/* True if the interrupt came where the CPU waits (interrupted.c). */
bool trap_is_asleep(const struct trap_frame *);

extern struct tss cpu_tss; /* PERCPU */

/* True while no page fault is being served on the running CPU but so many. */
static inline bool fault_depth_is(unsigned depth)
{
    extern char fault_stack_top[];

    return (uint32_t)this_cpu(cpu_tss).ist[IST_PAGE - 1] == (uint32_t)(uintptr_t)fault_stack_top - depth * FAULT_SLICE;
}

/* Reports an exception that nobody serves, and ends (trap.c). */
_Noreturn void trap_report(const struct trap_frame *);

/* Whether so many bytes of code, those before a return address, end in a call instruction: E8 rel32, or FF /2 with the
 * forms that compilers use. */
#define CALL_LENGTH 7
static inline bool ends_in_call(const uint8_t *bytes)
{
    if (bytes[CALL_LENGTH - 5] == 0xe8)
        return true;
    for (unsigned length = 2; length <= CALL_LENGTH; length++) {
        if (bytes[CALL_LENGTH - length] == 0xff && (bytes[CALL_LENGTH - length + 1] >> 3 & 7) == 2)
            return true;
    }
    return false;
}

/* Where in a handler's frame, from the restorer's address on, the instruction is that it interrupted (signal.c). */
#define SIGNAL_FRAME_RIP 176

/* What a timer interrupt, a kick and an exception of the program do besides; NULL: nothing, and the report (signal.c).
 * The last returns false for the report. */
extern void (*trap_timer)(struct trap_frame *);
extern void (*trap_kick)(struct trap_frame *);
extern bool (*trap_exception)(struct trap_frame *);

/* Calls the function, which may access any memory: its result, or E_FAULT if that was not there (user_copy.S). */
error_t user_try(error_t (*function)(void *), void *argument);

/* The time-stamp counter at boot: clock_monotonic counts from here. */
extern uint64_t boot_tsc;

/*
 * Brings the boot CPU up, from boot_main, once the image runs at its link address and fixmap() works: per-CPU base,
 * descriptor tables, stacks, control registers, PAT, extended state, system calls. Leaves interrupts disabled.
 */
void cpu_early_init(void);

/* The same for a further CPU. First the boot CPU fills the per-CPU block, which begins with zeros, at that distance;
 * then the CPU itself begins. False: it has not what the boot CPU has, and must not go on. */
void cpu_prepare(uintptr_t offset);
bool cpu_begin(uintptr_t offset);
/* True if the page is a guard below a stack of CPU 0. */
bool cpu_is_guard(uintptr_t page);

/* Prepares QEMU's emulation for a program, where this is it. Reads in the range of RAM, which is mapped. */
void emulation_init(const struct boot_region *ram);
/* The same for a further CPU. */
void emulation_begin(void);

/* The boot stack, which later serves the system calls of the first thread (image.ld.S). */
extern char __boot_stack[], __boot_stack_end[];

/* What clock.c computes the time from. It changes while the core runs; `version` counts, for code that can be
 * interrupted. */
extern struct clock_scale {
    uint64_t version;
    uint64_t valid_until; /* the time stamp from which on clock_monotonic has to be asked */
    uint64_t base_tsc, base_ns;
    uint64_t multiplier; /* nanoseconds a tick, 32 fractional bits */
    uint64_t date;       /* the wall clock's when the monotonic one was 0; 0: not known */
} clock_scale;

/* Monotonic nanoseconds at a time stamp, below valid_until. */
static inline uint64_t clock_scale_ns(uint64_t tsc)
{
    /* Readings are of CPUs whose counters agree, to within a few ticks. */
    uint64_t ticks = tsc > clock_scale.base_tsc ? tsc - clock_scale.base_tsc : 0;

    return clock_scale.base_ns + (uint64_t)((unsigned __int128)ticks * clock_scale.multiplier >> 32);
}

/* The time stamp of this CPU at which the monotonic clock will show ns; the clock has been read before. */
uint64_t clock_tsc_at(uint64_t ns);

#if QUIRE_THREADS
/* Not all time-stamp counters agree (tsc.h): from now on the clock is read by calls only, and never goes back whatever
 * CPU it is read on. own: what is added to the running CPU's, ticks. The clock has been read before. */
void clock_split(int64_t own);
#endif

/* Console (console.c): true once the machine is about to end, and nothing is waited for any more but some seconds. */
extern bool console_ending;
/* Until the last byte has left the UART; on a screen, until somebody had time to read it. */
void console_drain(void);

/* No request of the old interrupt controllers reaches the CPU (lapic.c). */
void pics_mask(void);

/* The local APIC of the running CPU (lapic.c): switched on, that of the boot CPU before others; false: there is none.
 */
bool lapic_start(void);
uint32_t lapic_id(void);
/* True if a CPU with this id can be told anything: without x2APIC not all can. */
bool lapic_reaches(uint32_t id);
/* The end of the interrupt that is served. */
void lapic_end_interrupt(void);
/* With interrupts off. what: a vector, or one of these. */
void lapic_send(uint32_t id, uint32_t what);
#define LAPIC_NMI 0x4400u
#define LAPIC_INIT 0x4500u
#define LAPIC_START(page) (0x4600u | (page) >> 12)

#if QUIRE_THREADS
/* What the interrupts from other CPUs do (smp.c); the second tells whether the CPU waits for it in cpu_wait_until. */
void smp_serve(bool outside); /* the CPU was running the program, or waiting */
/* Of an NMI, with what it interrupted: does not return if another CPU ends the machine. */
void smp_stop_if_told(const struct trap_frame *);
/* What that was; NULL: the CPU was not stopped, or has not come to it. */
const struct trap_frame *smp_stopped_at(unsigned cpu);
void smp_kicked(void);
/* True once, if the running CPU was kicked. With interrupts off. */
bool smp_take_kick(void);
#else
static inline bool smp_take_kick(void)
{
    return false;
}
#endif

/* Windows onto device registers, fixmap.h: one owner each. */
enum device_window {
    DEVICE_LAPIC,
    DEVICE_TIMER,
    DEVICE_POWER,
    DEVICE_UART,
    DEVICE_VIRTIO,
    DEVICE_VIRTIO_CONSOLE,
    DEVICE_VIRTIO_INPUT,
    DEVICE_VIRTIO_ENTROPY
};

/* Opens the window at a physical address of any alignment, uncached; the registers may not cross a page. */
void *device_open(enum device_window window, paddr_t address);

#define MSR_APIC_BASE 0x1bu
#define MSR_PAT 0x277u
#define MSR_TSC_DEADLINE 0x6e0u
#define MSR_X2APIC 0x800u
#define MSR_STAR 0xc0000081u
#define MSR_LSTAR 0xc0000082u
#define MSR_FMASK 0xc0000084u
#define MSR_FS_BASE 0xc0000100u
#define MSR_GS_BASE 0xc0000101u

static inline uint64_t msr_read(uint32_t msr)
{
    uint32_t low, high;

    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return (uint64_t)high << 32 | low;
}

static inline void msr_write(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

struct cpuid {
    uint32_t a, b, c, d;
};

static inline struct cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid id;

    __asm__ volatile("cpuid" : "=a"(id.a), "=b"(id.b), "=c"(id.c), "=d"(id.d) : "a"(leaf), "c"(subleaf));
    return id;
}

/* A hypervisor names itself in twelve bytes from EBX on. */
#define HYPERVISOR_LEAF 0x40000000u
static inline bool cpuid_is_signed(const struct cpuid *id, const char *signature)
{
    return memcmp(&id->b, signature, 3 * sizeof(id->b)) == 0;
}

static inline uint64_t tsc_read(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

static inline void cpu_pause(void)
{
    __asm__ volatile("pause");
}

static inline void port_write8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void port_write16(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline void port_write32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline void port_write_string(uint16_t port, const char *bytes, size_t count)
{
    __asm__ volatile("rep outsb" : "+S"(bytes), "+c"(count) : "d"(port) : "memory");
}

static inline uint8_t port_read8(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint16_t port_read16(uint16_t port)
{
    uint16_t value;

    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint32_t port_read32(uint16_t port)
{
    uint32_t value;

    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

#endif
#endif
