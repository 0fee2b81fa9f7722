/*
 * What each thread has for itself: errno, thread-local variables, rounding and exceptions of both floating-point units,
 * and all vector registers, over switches by interrupts and by calls.
 */
#include "threads.h"

#include <cpuid.h>
#include <fenv.h>

#define OWNERS 6u
#define SPINS 3000000u

/* ---- errno and thread-local variables ---- */

static __thread int initialised_local = 11;
static __thread char zero_local[300];
static __thread struct {
    char byte;
} __attribute__((aligned(64))) aligned_local;
static pthread_barrier_t state_barrier;

static void *has_locals(void *number)
{
    int mine = (int)(uintptr_t)number;
    bool good = initialised_local == 11 && zero_local[299] == 0 && (uintptr_t)&aligned_local % 64 == 0;

    errno = 1000 + mine;
    initialised_local = mine;
    memset(zero_local, mine, sizeof(zero_local));
    pthread_barrier_wait(&state_barrier);
    for (int i = 0; i < 20; i++)
        sched_yield();
    good &= errno == 1000 + mine && initialised_local == mine && zero_local[150] == mine;
    close(-1);
    good &= errno == EBADF;
    pthread_barrier_wait(&state_barrier);
    return (void *)(uintptr_t)(good && errno == EBADF);
}

static void check_locals(void)
{
    pthread_t threads[OWNERS];

    errno = 5;
    pthread_barrier_init(&state_barrier, NULL, OWNERS);
    start_all(threads, OWNERS, has_locals);
    SHOW(finish_all(threads, OWNERS));
    pthread_barrier_destroy(&state_barrier);
    YES("main's are as they were", initialised_local == 11 && zero_local[150] == 0);
}

/* ---- rounding ---- */

static const int modes[] = {FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};

static uint32_t mxcsr(void)
{
    uint32_t value;

    __asm__ volatile("stmxcsr %0" : "=m"(value));
    return value;
}

static uint16_t control_word(void)
{
    uint16_t value;

    __asm__ volatile("fnstcw %0" : "=m"(value));
    return value;
}

static double third(volatile double one)
{
    return one / 3;
}

static long double long_third(volatile long double one)
{
    return one / 3;
}

/* Results that differ between rounding up, down and to nearest, positive and negative. */
struct results {
    double positive, negative;
    long double long_positive, long_negative;
};

static struct results compute(void)
{
    return (struct results){third(1), third(-1), long_third(1), long_third(-1)};
}

static bool same(const struct results *one, const struct results *other)
{
    return one->positive == other->positive && one->negative == other->negative &&
           one->long_positive == other->long_positive && one->long_negative == other->long_negative;
}

static void *rounds(void *number)
{
    int mode = modes[(uintptr_t)number % LENGTH(modes)];
    uintptr_t wrong = fegetround() != FE_TONEAREST;

    fesetround(mode);
    feclearexcept(FE_ALL_EXCEPT);
    if ((uintptr_t)number % 2)
        feraiseexcept(FE_OVERFLOW);
    uint32_t vector_control = mxcsr() & ~0x3fu;
    uint16_t control = control_word();
    const struct results first = compute();

    pthread_barrier_wait(&state_barrier);
    for (unsigned i = 0; i < 4000; i++) {
        struct results again = compute();

        wrong += !same(&first, &again) || fegetround() != mode || (mxcsr() & ~0x3fu) != vector_control ||
                 control_word() != control || (fetestexcept(FE_OVERFLOW) != 0) != (uintptr_t)number % 2;
        if (i % 64 == 0)
            sched_yield();
    }
    return (void *)wrong;
}

static void *tells_rounding(void *unused)
{
    (void)unused;
    return (void *)(uintptr_t)(fegetround() == FE_UPWARD && third(1) > 1 / 3.0);
}

static void check_rounding(void)
{
    pthread_t threads[OWNERS];

    pthread_barrier_init(&state_barrier, NULL, OWNERS);
    start_all(threads, OWNERS, rounds);
    SHOW(finish_all(threads, OWNERS));
    pthread_barrier_destroy(&state_barrier);
    YES("main rounds as before", fegetround() == FE_TONEAREST);
    fesetround(FE_UPWARD);
    SHOW((uintptr_t)finish(start(tells_rounding, NULL)));
    fesetround(FE_TONEAREST);
}

/* ---- vector registers ---- */

#define ALL_REGISTERS(operation)                                                                                       \
    operation(0) operation(1) operation(2) operation(3) operation(4) operation(5) operation(6) operation(7)            \
        operation(8) operation(9) operation(10) operation(11) operation(12) operation(13) operation(14) operation(15)
#define CLOBBERED                                                                                                      \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",         \
        "xmm13", "xmm14", "xmm15"
#define LOAD_YMM(n) "vmovdqu " #n "*32(%[in]), %%ymm" #n "\n\t"
#define STORE_YMM(n) "vmovdqu %%ymm" #n ", " #n "*32(%[out])\n\t"
#define LOAD_XMM(n) "movdqu " #n "*32(%[in]), %%xmm" #n "\n\t"
#define STORE_XMM(n) "movdqu %%xmm" #n ", " #n "*32(%[out])\n\t"
#define SPIN "1: subl $1, %[spins]\n\tjnz 1b\n\t"

typedef unsigned char registers[16 * 32];

/* All registers hold the bytes while a loop runs, which interrupts come into. */
__attribute__((target("avx"))) static void hold_ymm(const registers in, registers out, unsigned spins)
{
    __asm__ volatile(ALL_REGISTERS(LOAD_YMM) SPIN ALL_REGISTERS(STORE_YMM) "vzeroupper"
                     : [spins] "+r"(spins)
                     : [in] "r"(in), [out] "r"(out)
                     : CLOBBERED, "cc", "memory");
}

static void hold_xmm(const registers in, registers out, unsigned spins)
{
    __asm__ volatile(ALL_REGISTERS(LOAD_XMM) SPIN ALL_REGISTERS(STORE_XMM)
                     : [spins] "+r"(spins)
                     : [in] "r"(in), [out] "r"(out)
                     : CLOBBERED, "cc", "memory");
}

/* The same over a system call that lets others run. */
static void hold_over_call(const registers in, registers out)
{
    long result = 24; /* sched_yield */

    __asm__ volatile(ALL_REGISTERS(LOAD_XMM) "syscall\n\t" ALL_REGISTERS(STORE_XMM)
                     : "+a"(result)
                     : [in] "r"(in), [out] "r"(out)
                     : CLOBBERED, "rcx", "r11", "cc", "memory");
}

/* The CPU has them and the system keeps them. */
static bool has_avx(void)
{
    unsigned eax, ebx, ecx, edx, kept = 0;

    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_OSXSAVE) && (ecx & bit_AVX))
        __asm__ volatile("xgetbv" : "=a"(kept) : "c"(0) : "edx");
    return (kept & 6) == 6;
}

static bool same_halves(const registers one, const registers other)
{
    for (int i = 0; i < 16; i++)
        if (memcmp(&one[i * 32], &other[i * 32], 16) != 0)
            return false;
    return true;
}

static void *holds(void *number)
{
    bool avx = has_avx();
    registers in, out;
    uintptr_t wrong = 0;

    for (unsigned i = 0; i < sizeof(in); i++)
        in[i] = (unsigned char)(i * 7 + (uintptr_t)number * 31 + 1);
    pthread_barrier_wait(&state_barrier);
    for (int i = 0; i < 8; i++) {
        memset(out, 0, sizeof(out));
        if (avx)
            hold_ymm(in, out, SPINS / 8);
        else
            hold_xmm(in, out, SPINS / 8);
        wrong += avx ? memcmp(in, out, sizeof(in)) != 0 : !same_halves(in, out);
        hold_over_call(in, out);
        wrong += !same_halves(in, out);
    }
    return (void *)wrong;
}

static void check_vectors(void)
{
    pthread_t threads[OWNERS];

    pthread_barrier_init(&state_barrier, NULL, OWNERS);
    start_all(threads, OWNERS, holds);
    SHOW(finish_all(threads, OWNERS));
    pthread_barrier_destroy(&state_barrier);
}

/* ---- registers of the other unit ---- */

static void *holds_x87(void *number)
{
    uintptr_t wrong = 0;
    long double value = (long double)(uintptr_t)number + 0.5L, out;

    pthread_barrier_wait(&state_barrier);
    for (int i = 0; i < 8; i++) {
        unsigned spins = SPINS / 16;

        __asm__ volatile("fldt %[in]\n\tfldt %[in]\n\tfldt %[in]\n\t" SPIN "faddp\n\tfaddp\n\tfstpt %[out]"
                         : [spins] "+r"(spins), [out] "=m"(out)
                         : [in] "m"(value)
                         : "cc", "st", "st(1)", "st(2)", "memory");
        wrong += out != 3 * value;
    }
    return (void *)wrong;
}

static void check_x87(void)
{
    pthread_t threads[OWNERS];

    pthread_barrier_init(&state_barrier, NULL, OWNERS);
    start_all(threads, OWNERS, holds_x87);
    SHOW(finish_all(threads, OWNERS));
    pthread_barrier_destroy(&state_barrier);
}

void check_state(void)
{
    puts("-- locals");
    check_locals();
    puts("-- rounding");
    check_rounding();
    puts("-- vectors");
    check_vectors();
    check_x87();
}
