/*
 * Which function serves which number. The functions have the types of the calls; the trap passes registers, and what a
 * function does not take it does not look at (psABI, 3.2.3), so the table may hold them all as one type. It is filled
 * when the machine starts: in the file an image has only the calls that its program can make.
 */
#include "core/linux/table.h"

#include "core/base/print.h"
#include "core/base/string.h"
#include "core/linux/calls.h"
#include "core/linux/linux.h"
#include "core/linux/lock.h"
#include "core/linux/signals.h"

#define NUMBER_SIZE 2
#define NUMBER_END 0xffffu

_Alignas(64) linux_syscall linux_syscalls[LINUX_SYSCALL_COUNT]; /* on no line with what is written */

static void *at_distance(const void *from, int32_t distance)
{
    return (void *)((intptr_t)from + distance);
}

#if QUIRE_THREADS

static linux_syscall locked[LINUX_SYSCALL_COUNT];

/* In the place of a call that is made with the lock held. Inside of another one, which a driver of the program makes,
 * the files of that are held meanwhile: this one may wait. */
static long locked_call(unsigned long a, unsigned long b, unsigned long c, unsigned long d, unsigned long e,
                        unsigned long f, unsigned long number)
{
    struct file *outer[FILES_IN_USE];
    bool entered = linux_enter_if(true);
    long result;

    if (UNLIKELY(!entered))
        files_set_aside(outer);
    files_note_none();
    result = locked[number](a, b, c, d, e, f, number);
    if (LIKELY(entered))
        linux_leave();
    else
        files_take_up(outer);
    return result;
}

static void add(uint16_t number, linux_syscall function)
{
    if (!(number & LINUX_CALL_UNLOCKED)) {
        locked[number] = function;
        function = locked_call;
    }
    linux_syscalls[number & ~LINUX_CALL_UNLOCKED] = function;
}

linux_syscall linux_call_function(unsigned long number)
{
    return linux_syscalls[number] == locked_call ? locked[number] : linux_syscalls[number];
}

#else

static void add(uint16_t number, linux_syscall function)
{
    linux_syscalls[number & ~LINUX_CALL_UNLOCKED] = function;
}

#endif

void linux_init(void)
{
    for (size_t i = 0; i < LINUX_SYSCALL_COUNT; i++)
        linux_syscalls[i] = linux_absent;
    for (const struct linux_call *call = linux_calls; call->function != 0; call++)
        add(call->number, (linux_syscall)at_distance(call, call->function));
    for (const int32_t *init = linux_inits; *init != 0; init++)
        ((void (*)(void))at_distance(init, *init))();
}

/* The call's name in the list of those that are absent, or NULL; the part and the reason follow its end. */
static const char *absent_name(unsigned long number)
{
    const char *p = linux_absent_calls;
    uint16_t here;

    for (memcpy(&here, p, NUMBER_SIZE); here != NUMBER_END; memcpy(&here, p, NUMBER_SIZE)) {
        p += NUMBER_SIZE;
        if (here == number)
            return p;
        for (int texts = 0; texts < 3; texts++)
            p += strlen(p) + 1;
    }
    return NULL;
}

static void report_absent(unsigned long number)
{
    const char *name = absent_name(number);
    const char *part = name != NULL ? name + strlen(name) + 1 : "", *reason = part + strlen(part) + 1;

    if (*part != '\0')
        kprintf("quire: system call %s (%lu) is of the part %s, without which this image was linked: ENOSYS; "
                "calls = \"all\" in app.toml links every part\n",
                name, number, part);
    else if (name != NULL)
        kprintf("quire: system call %s (%lu) is not there: ENOSYS%s%s\n", name, number, *reason ? "; " : "", reason);
    else
        kprintf(
            "quire: system call %lu is not in this image: ENOSYS; calls = \"all\" in app.toml links those there are\n",
            number);
}

long linux_absent(unsigned long a, unsigned long b, unsigned long c, unsigned long d, unsigned long e, unsigned long f,
                  unsigned long number)
{
    static uint64_t reported[LINUX_SYSCALL_COUNT / 64 + 1]; /* the last word: numbers beyond the table */
    size_t index = number < LINUX_SYSCALL_COUNT ? number : LINUX_SYSCALL_COUNT;
    uint64_t bit = (uint64_t)1 << index % 64;

    (void)a, (void)b, (void)c, (void)d, (void)e, (void)f;
    if (!(reported[index / 64] & bit)) {
        reported[index / 64] |= bit;
        report_absent(number);
    }
    return -E_NOSYS;
}
