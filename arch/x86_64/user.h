/* What user_copy.S and signal.c ask before they touch memory that the program named: user.c. */
#ifndef ARCH_USER_H
#define ARCH_USER_H

#include "core/base/types.h"

/* How many of the bytes from the address on may be the program's memory; the page tables have the last word. */
size_t user_room(uintptr_t address, size_t length);

#endif
