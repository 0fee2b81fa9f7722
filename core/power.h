/* The end of the machine. Contract, implemented by arch/x86_64/power.c. */
#ifndef CORE_POWER_H
#define CORE_POWER_H

#include "core/base/types.h"

/* How to hand the status over, from the command line (quire.exit=debug: isa-debug-exit is there at port 0x501). */
void power_use_debug_exit(void);

/*
 * Prints the status line that the launcher reads, then ends the machine: isa-debug-exit if power_use_debug_exit was
 * called, ACPI S5, the FADT's reset register, the keyboard controller, a triple fault; each only if the one before
 * did not work. status: 0 to 255.
 */
_Noreturn void power_off(int status);

/* True once each time that somebody has asked for the machine's end (ACPI's power button, where it is a fixed one); the
 * first call looks for it. */
bool power_button_pressed(void);

#endif
