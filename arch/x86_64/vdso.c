/*
 * Reading the clock without a system call: the functions behind vdso.S. They are code of the program's, outside of the
 * core's text: they may be interrupted, and a signal may be delivered in them; what is wrong with a pointer is the
 * program's exception. What they cannot answer by themselves the system call of the same name does: another clock than
 * the wall's and the monotonic one, and a clock that is read the first time or has to be adjusted.
 */
#include "arch/x86_64/arch.h"
#include "core/linux/abi.h"
#include "core/linux/linux.h"
#include "core/percpu.h"
#include "core/program.h"

#define VDSO __attribute__((section(".vdso.text")))
#define CALL_GETTIMEOFDAY 96
#define CALL_TIME 201
#define CALL_CLOCK_GETTIME 228

#define SECOND 1000000000ull
#define CLOCK_BIT(clock) (1u << (clock))
#define REALTIME_CLOCKS (CLOCK_BIT(CLOCK_REALTIME) | CLOCK_BIT(CLOCK_REALTIME_COARSE) | CLOCK_BIT(CLOCK_TAI))
#define MONOTONIC_CLOCKS                                                                                               \
    (CLOCK_BIT(CLOCK_MONOTONIC) | CLOCK_BIT(CLOCK_MONOTONIC_RAW) | CLOCK_BIT(CLOCK_MONOTONIC_COARSE) |                 \
     CLOCK_BIT(CLOCK_BOOTTIME))

extern const char vdso_header[]; /* vdso.S */

long __vdso_clock_gettime(int clock, struct linux_timespec *to);
long __vdso_gettimeofday(struct linux_timeval *to, void *zone);
long __vdso_time(int64_t *to);
long __vdso_getcpu(unsigned *cpu, unsigned *node, void *unused);

/* The system call; apart, so that what reads the clock has no registers to save. */
static VDSO __attribute__((noinline)) long call(long first, void *second, long number)
{
    long result;

    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(first), "S"(second) : "rcx", "r11", "memory");
    return result;
}

/* Nanoseconds since the date began, or since boot; false: the clock has to be asked by a call. Read again if it was
 * changed meanwhile, by a handler of a signal that came in between, or another CPU. */
static inline __attribute__((always_inline)) bool read_clock(bool realtime, uint64_t *ns)
{
    const volatile uint64_t *changes = &clock_scale.version;
    uint64_t version, tsc, date;

    do {
        version = *changes & ~(uint64_t)QUIRE_THREADS; /* odd while another CPU changes it */
        tsc = tsc_read();
        date = realtime ? clock_scale.date : 0;
        if (UNLIKELY(tsc >= clock_scale.valid_until || (realtime && date == 0)))
            return false;
        *ns = clock_scale_ns(tsc) + date;
    } while (UNLIKELY(*changes != version));
    return true;
}

VDSO long __vdso_clock_gettime(int clock, struct linux_timespec *to)
{
    uint64_t ns;
    bool known;

    if (LIKELY((unsigned)clock < 32 && (MONOTONIC_CLOCKS >> clock & 1)))
        known = read_clock(false, &ns);
    else
        known = (unsigned)clock < 32 && (REALTIME_CLOCKS >> clock & 1) && read_clock(true, &ns);
    if (UNLIKELY(!known))
        return call(clock, to, CALL_CLOCK_GETTIME);
    *to = (struct linux_timespec){.seconds = (int64_t)(ns / SECOND), .nanoseconds = (int64_t)(ns % SECOND)};
    return 0;
}

VDSO long __vdso_gettimeofday(struct linux_timeval *to, void *zone)
{
    uint64_t ns;

    if (UNLIKELY(to == NULL || zone != NULL || !read_clock(true, &ns)))
        return call((long)to, zone, CALL_GETTIMEOFDAY);
    *to = (struct linux_timeval){.seconds = (int64_t)(ns / SECOND), .microseconds = (int64_t)(ns % SECOND / 1000)};
    return 0;
}

VDSO long __vdso_time(int64_t *to)
{
    uint64_t ns;

    if (UNLIKELY(!read_clock(true, &ns)))
        return call((long)to, NULL, CALL_TIME);
    if (to != NULL)
        *to = (int64_t)(ns / SECOND);
    return (int64_t)(ns / SECOND);
}

/* By one instruction, as the thread may be on another CPU before the next. There is one node. */
static inline unsigned running_cpu(void)
{
#if QUIRE_THREADS
    unsigned number;

    __asm__ volatile("movl %%gs:%c1, %0" : "=r"(number) : "i"(&percpu_number));
    return number;
#else
    return 0;
#endif
}

VDSO long __vdso_getcpu(unsigned *cpu, unsigned *node, void *unused)
{
    (void)unused;
    if (cpu != NULL)
        *cpu = running_cpu();
    if (node != NULL)
        *node = 0;
    return 0;
}

void linux_vdso_init(void)
{
    program_vdso = vdso_header;
}
