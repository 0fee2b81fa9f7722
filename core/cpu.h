/* The machine's CPU as the rest of the core sees it. Contract, implemented by arch/x86_64. */
#ifndef CORE_CPU_H
#define CORE_CPU_H

#include "core/base/error.h"
#include "core/base/types.h"

C_DECLARATIONS_BEGIN

/* Waits with interrupts enabled until the deadline (monotonic ns, core/clock.h), or until this CPU is kicked
 * (cpu_kick): also if it was since the last wait. So who looks for what it waits for, and then waits, misses nothing.
 */
void cpu_wait_until(uint64_t deadline);
/* Interrupts whatever runs at that time (monotonic ns), if it has interrupts enabled, or some time before; UINT64_MAX:
 * not at all. The last call counts. False: this machine has no such timer. */
bool cpu_set_alarm(uint64_t deadline);
/* Hardware random bits; false where there are none. */
bool cpu_random(uint64_t *value);
/* A counter that never reads the same for long: for seeds, not for time. */
uint64_t cpu_cycles(void);
/* How much further cpu_cycles is after a loop of so many instructions (even, not 0): whether it counts them. */
uint64_t cpu_time_instructions(uint64_t count);
/* Page faults call this from now on in place of vm_handle_fault (vm/fault.h), which it calls itself. */
void cpu_watch_faults(error_t (*watcher)(vaddr_t address, vm_flags_t access, bool present));
/* CPUs that run: from 0 on (core/percpu.h). More than one only where the program can create threads. */
unsigned cpu_count(void);
/* CPUs that will run once they are started (cpu_start_others), as far as the firmware tells: at least cpu_count(). */
unsigned cpu_present(void);
/* Areas (core/percpu.h) of CPUs that run or are being started: each of these has one of them, the first one place 0. */
unsigned cpu_places(void);
/* Of the image's one user of places: called with each further one before a CPU has it. False: there is no memory, and
 * the CPU is left out. NULL: none. */
extern bool (*cpu_place_added)(unsigned place);
/*
 * Has the other CPUs of the machine run, those that the core can use (arch/x86_64/smp.c; what is left out is said on
 * the console): each calls the function on a stack of its own, with interrupts off, and for good. Returns when they are
 * there. From then on the program has to run with interrupts enabled, as it answers to other CPUs: one that starts
 * later does, of one that runs the caller sees to it. Once; only in a core with threads, as what follows.
 */
void cpu_start_others(void (*run)(void));

/* Where CPUs wait for each other: a pause, and what others ask of this one (cpu_call). For loops in the core. */
void cpu_relax(void);
/*
 * Has every CPU of the mask (a bit for each; those that are not there, and this one, do not count) run the function
 * with interrupts off, and returns when all have. Several CPUs may do so at once, with locks held: so the function
 * takes no lock and waits for nobody. A CPU that waits in cpu_wait_until runs it, too. Where it interrupts a window of
 * the program (arch/x86_64/malloc.h) that is started again: the function may change what windows do.
 */
void cpu_call(uint64_t mask, void (*function)(void *), void *argument);
/* For that function: this CPU was not waiting (as spin_wait does), and not running the program, but in the middle of
 * the core, which a program has called directly: what that may be changing must be left alone. */
bool cpu_is_inside_core(void);
/* No interrupts from here on; what was before, for cpu_interrupts_restore. Only where there are threads. */
uint64_t cpu_interrupts_off(void);
void cpu_interrupts_restore(uint64_t before);
/* For checks of debug builds: whether interrupts were on before; and that what runs is the handler of an interrupt that
 * came in the middle of the core. */
bool cpu_interrupts_were_on(uint64_t before);
bool cpu_is_handler_in_core(void);
/*
 * Interrupts the CPU: what it runs of the program (frame_on_kick of core/linux/frame.h), and its cpu_wait_until
 * returns: if it is not in one the next one does, at once. What was stored before is seen there. It may be the running
 * one.
 */
void cpu_kick(unsigned cpu);
/* For statistics, of a CPU: interrupts that it sent to others and was sent, kicks among the latter, and functions of
 * cpu_call that it ran. */
struct cpu_messages {
    uint64_t sent, received, kicked, served;
};
struct cpu_messages cpu_messages(unsigned cpu);
/* "GenuineIntel ..." brand string for reports. */
const char *cpu_name(void);
/* What /proc/cpuinfo shows, from CPUID. */
struct cpu_identity {
    char vendor[13];
    unsigned family, model, stepping, level; /* level: the highest leaf */
    unsigned cache_kib, cache_line;          /* of the last level, 0: not told; bytes */
    unsigned physical_bits, virtual_bits;    /* of addresses */
};
void cpu_identify(struct cpu_identity *);
/* Linux's name of the next feature that the CPU has, from *position (at first 0) on; not terminated. NULL: no more. */
const char *cpu_next_flag(unsigned *position, size_t *length);
/* What AT_HWCAP is on this machine: EDX of CPUID's leaf 1. */
uint32_t cpu_capabilities(void);
/* AT_HWCAP2, bits of the kernel's uapi/asm/hwcap2.h: the program may use rdfsbase and its like. */
#define CPU_CAPABILITY_FSGSBASE (1u << 1)
uint32_t cpu_capabilities_2(void);

/* fs base: the thread pointer of the running program. */
void cpu_set_thread_pointer(uint64_t base);
uint64_t cpu_thread_pointer(void);

/* Starts the program: jumps to entry with the stack pointer given, registers zero, direction flag clear. */
__attribute__((noreturn)) void cpu_start_program(vaddr_t entry, vaddr_t stack);

/* Extended state (x87, SSE, AVX ...): bytes of an XSAVE area, 64-byte aligned. */
size_t cpu_extended_state_size(void);

/*
 * Copies between the core and memory that the program named, which may be unmapped or the core's own: E_FAULT, with
 * some bytes copied. Demand-backed pages are backed as usual.
 */
error_t user_read(void *to, const void *user, size_t length);
error_t user_write(void *user, const void *from, size_t length);
/* Atomically: *user becomes value if it is *expected, which becomes what was there. E_FAULT, also if it is not aligned.
 */
error_t user_compare_exchange(uint32_t *user, uint32_t *expected, uint32_t value);
/* The same: the number of bytes at the end that were not copied, 0 if all were. */
size_t user_read_left(void *to, const void *user, size_t length);
size_t user_write_left(void *user, const void *from, size_t length);
/*
 * Until they are resumed these functions take every address: the core itself makes a call with memory of its own, or a
 * segment driver of the program runs inside the core, on its stacks and with frames that it was given. Nests.
 */
void user_check_suspend(void);
void user_check_resume(void);
/* Length of the string at the address without its end, at most max; negative E_FAULT. */
intptr_t user_string_length(const char *string, size_t max);

/* The backtrace of the caller: return addresses, innermost first; the number of them. */
size_t cpu_backtrace(uintptr_t *addresses, size_t max);

C_DECLARATIONS_END

#endif
