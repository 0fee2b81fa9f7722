/* The Linux system-call interface: what the trap of arch/ calls. */
#ifndef CORE_LINUX_LINUX_H
#define CORE_LINUX_LINUX_H

#include "core/base/error.h"
#include "core/base/types.h"

/*
 * The six arguments as in the registers (rdi, rsi, rdx, r10, r8, r9), then the number (rax) as the seventh, on the
 * stack as the psABI says: at 8(%rsp) on entry. The result is a value, or -E_*.
 */
typedef long (*linux_syscall)(unsigned long, unsigned long, unsigned long, unsigned long, unsigned long, unsigned long,
                              unsigned long number);

/* One past the highest number in the table; the trap sends numbers from here on to linux_absent, in the same way. */
#define LINUX_SYSCALL_COUNT 512
/* Once linux_init has run never NULL: calls that are not there point to linux_absent. */
extern linux_syscall linux_syscalls[LINUX_SYSCALL_COUNT];

/* Makes the table and runs the initialisation of the parts that the image has. Refuses (core/init.h) as they do. */
void linux_init(void);

/* Initialisation, of arch/: the program is told where it can read the clock without a call (program_vdso). */
void linux_vdso_init(void);

/* ENOSYS, reported by name the first time. */
long linux_absent(unsigned long, unsigned long, unsigned long, unsigned long, unsigned long, unsigned long,
                  unsigned long number);

struct trap_frame;

/*
 * Not 0: linux_attend is called at the exit of the program's running or next call, with its frame (core/linux/frame.h),
 * and clears it. Calls made by a segment driver inside of a fault or another call do not look at it. For the running
 * CPU (this_cpu).
 */
extern uint32_t linux_attention;
void linux_attend(struct trap_frame *);
/* In its place for calls of drivers: what such a call may not have asked for is undone. */
void linux_attend_nested(struct trap_frame *);

#endif
