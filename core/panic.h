/*
 * The report of an end that nobody wanted: of the core, by panic() (core/base/assert.h), or of the program, by an
 * exception (arch/). Cause, registers, backtrace, the segment of the address, its driver's view, the segment map; then
 * power off.
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
    const char *subject; /* "panic" or "program" */
    const char *cause;   /* in words */
    int status;
    uintptr_t instruction; /* 0: not known */
    const void *registers; /* of panic_print_registers; NULL: those of the running code */
    bool has_address;      /* the access that failed */
    vaddr_t address;
    const struct panic_frame *trace; /* innermost first */
    size_t trace_count;
};

/* Prints the report and ends. A report that breaks itself ends the machine with one more line. */
_Noreturn void panic_report(const struct panic_report *report);

/* Prints registers, some to a line. Contract, implemented by arch/. */
void panic_print_registers(const void *registers);

#endif
