/*
 * Which function serves which number. The functions have the types of the calls; the trap passes registers, and what a
 * function does not take it does not look at (psABI, 3.2.3), so the table may hold them all as one type.
 */
#include "core/base/print.h"
#include "core/linux/calls.h"
#include "core/linux/linux.h"

/* The range first, then what is there: the override is meant. */
#pragma clang diagnostic ignored "-Winitializer-overrides"

const linux_syscall linux_syscalls[LINUX_SYSCALL_COUNT] = {
    [0 ... LINUX_SYSCALL_COUNT - 1] = linux_absent,
#define CALL(number, name, function, part, missing) [number] = (linux_syscall)(void (*)(void))function,
#define NONE(number, name, reason)
#include "core/linux/calls.def"
#undef CALL
#undef NONE
};

long linux_absent(unsigned long a, unsigned long b, unsigned long c, unsigned long d, unsigned long e, unsigned long f,
                  unsigned long number)
{
    static uint64_t reported[LINUX_SYSCALL_COUNT / 64 + 1]; /* the last word: numbers beyond the table */
    size_t index = number < LINUX_SYSCALL_COUNT ? number : LINUX_SYSCALL_COUNT;
    uint64_t bit = (uint64_t)1 << index % 64;
    char name[40] = "";

    (void)a, (void)b, (void)c, (void)d, (void)e, (void)f;
    if (!(reported[index / 64] & bit)) {
        reported[index / 64] |= bit;
        linux_syscall_name(number, name, sizeof(name));
        kprintf("quire: system call %s%s%lu%s is not there: ENOSYS\n", name, *name ? " (" : "", number,
                *name ? ")" : "");
    }
    return -E_NOSYS;
}
