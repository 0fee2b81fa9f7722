/*
 * The program's registers where it was interrupted: by a call of its own, an interrupt or an exception. Contract,
 * implemented by arch/x86_64/frame.c; the frames of signals by arch/x86_64/signal.c.
 */
#ifndef CORE_LINUX_FRAME_H
#define CORE_LINUX_FRAME_H

#include "core/base/types.h"

struct trap_frame;

/* Of a call at its end: the result; and that the program makes the call again, with the same arguments. */
long frame_result(const struct trap_frame *);
void frame_set_result(struct trap_frame *, long result);
void frame_restart_call(struct trap_frame *);

/* The program goes on with interrupts enabled. */
void frame_enable_interrupts(struct trap_frame *);

#endif
