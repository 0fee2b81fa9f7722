/*
 * The report of an end that nobody wanted: of the core, by panic() (core/base/assert.h), or of the program, by an
 * exception (arch/). Cause, build, registers, backtrace, the segment of the address, its driver's view, the segment
 * map; then power off.
 */
#ifndef CORE_PANIC_H
#define CORE_PANIC_H

#include "core/base/types.h"

#define STATUS_PANIC 134

struct panic_frame {
    uintptr_t address; /* where the function returns to */
    bool certain;      /* by a frame pointer; otherwise a guess from the contents of the stack */
};

struct panic_report {
    int status;
    uintptr_t instruction; /* 0: not known */
    const void *registers; /* of panic_print_registers; NULL: those of the running code */
    bool has_address;      /* the access that failed */
    vaddr_t address;
    const struct panic_frame *trace; /* innermost first */
    size_t trace_count;
};

/*
 * Begin, cause, report: three steps, as what is damaged may break any of them. This is the first call of all, before
 * anything is looked up. A second report, of what broke the first, shows its cause alone; a third ends the machine.
 */
void panic_begin(void);

/* How many have begun. */
extern unsigned panic_reports;

/* The space in which the report may look up memory; NULL: none, its pointer is damaged, or a report broke already. */
struct address_space *panic_space(void);

/* Prints who ends, "panic" or "program", and why, in words. */
void panic_cause(const char *subject, const char *cause);

/* Prints the rest and ends. */
_Noreturn void panic_report(const struct panic_report *report);

/* Prints registers, some to a line. Contract, implemented by arch/. */
void panic_print_registers(const void *registers);

/* A line of a backtrace. is_return: a function returns to the address. */
void panic_print_place(uintptr_t address, bool is_return, bool certain);

#if QUIRE_THREADS
struct machine_context;

/* Reads memory, if it is mapped. Never faults. Contract, as those that follow. */
bool panic_peek(uintptr_t address, void *to, size_t size);

/* Where a thread is: the registers that a backtrace begins with, and what has interrupted the program. */
struct panic_place {
    uintptr_t instruction, stack, frame;
    enum panic_inside { INSIDE_NOTHING, INSIDE_CALL, INSIDE_FAULT } inside;
    unsigned long call, argument; /* its number, and the first argument; else the address of the fault */
};

/* Of a thread that does not run: the place in the program. */
void panic_left_at(const struct machine_context *, struct panic_place *);
/* Of a CPU that was stopped, and the context of its thread. False: it was not, or is the running one. */
bool panic_stopped_at(unsigned cpu, const struct machine_context *, struct panic_place *);
/* True if the CPU slept there, having nothing to do. */
bool panic_is_asleep(const struct panic_place *);
/* Where the functions return to that led to the place, innermost first; their number, at most PANIC_TRACE_MAX. */
#define PANIC_TRACE_MAX 46
size_t panic_trace(const struct panic_place *, struct panic_frame *);

/* Prints what the other CPUs ran, and the threads (core/linux/thread_report.c). */
void panic_print_threads(void);
#endif

#endif
