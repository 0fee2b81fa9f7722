/* The program's registers at the end of its system calls (core/linux/frame.h). */
#include "core/linux/frame.h"

#include "arch/x86_64/arch.h"
#include "core/linux/linux.h"
#include "core/percpu.h"

#define SYSCALL_LENGTH 2 /* bytes of the instruction */

void syscall_finish(struct trap_frame *frame); /* called by syscall.S */

long frame_result(const struct trap_frame *frame)
{
    return (long)frame->rax;
}

void frame_set_result(struct trap_frame *frame, long result)
{
    frame->rax = (uint64_t)result;
}

void frame_restart_call(struct trap_frame *frame)
{
    frame->rax = frame->error;
    frame->rip -= SYSCALL_LENGTH;
}

void frame_enable_interrupts(struct trap_frame *frame)
{
    frame->rflags |= FLAG_INTERRUPT;
}

void frame_on_interrupt(void (*interrupt)(struct trap_frame *program))
{
    trap_timer = interrupt;
}

/* A call made by a segment driver is ended as it is; whatever waits, waits for the program's own next call. */
void syscall_finish(struct trap_frame *frame)
{
    if (frame->failure != 0 && trap_is_program(frame))
        linux_attend(frame);
    else
        linux_attend_nested(frame);
}
