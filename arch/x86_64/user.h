/* What user_copy.S and signal.c ask before they touch memory that the program named: user.c. */
#ifndef ARCH_USER_H
#define ARCH_USER_H

#include "core/base/types.h"

/* How many of the bytes from the address on may be the program's memory; the page tables have the last word. */
size_t user_room(uintptr_t address, size_t length);

/* How often user_check_suspend (core/cpu.h) is in force. Not 0 in code of the program: a segment driver that the core
 * called, be it in a fault, in a system call or where the program calls the core directly. */
extern unsigned user_check_suspended;

#endif
