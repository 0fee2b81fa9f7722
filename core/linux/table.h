/*
 * What images/calls.py makes for an image out of core/linux/calls.def: the calls that it has, the initialisation of the
 * parts that they belong to, and the names of calls that it does not have. Assembly, so that it is 4 bytes an address.
 */
#ifndef CORE_LINUX_TABLE_H
#define CORE_LINUX_TABLE_H

#include "core/base/types.h"
#include "core/linux/linux.h"

struct linux_call {
    int32_t function; /* distance from here; 0 ends the list */
    uint16_t number;  /* with LINUX_CALL_UNLOCKED if linux_lock is not held (core/linux/lock.h) */
} __attribute__((packed));
#define LINUX_CALL_UNLOCKED 0x8000u

extern const struct linux_call linux_calls[];

#if QUIRE_THREADS
/* The function of a call, whose number is below LINUX_SYSCALL_COUNT. */
linux_syscall linux_call_function(unsigned long number);
#endif

/* Functions that take and return nothing, each by its distance from here; 0 ends the list. */
extern const int32_t linux_inits[];

/*
 * Calls that this program can make and the image has not, each: the number (2 bytes, 0xffff ends the list), the name,
 * the part, and why it is not there, each terminated. Without a part: no image has it.
 */
extern const char linux_absent_calls[];

#endif
