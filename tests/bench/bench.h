/*
 * What the workloads of `ninja bench` share: they measure single operations, or one whole run, and print a line for
 * each figure. The same sources are built into an image and into a program for Linux.
 *
 * Time is read twice: by the time-stamp counter, whose ticks are instructions under `-icount shift=0` (the first line
 * tells: a loop of known length), and by CLOCK_MONOTONIC. A figure is that of a loop over the operation, after
 * two such rounds that do not count (of the first of them an allocator may learn what it is used for); the loop's own
 * two or three instructions are part of it.
 *
 * A line on standard output, fields separated by tabs:
 *
 *     bench KEY LABEL OPERATIONS TICKS NS ZEROED
 *
 * KEY is family/size or family; ZEROED the bytes that the system has to zero for one operation by contract. The last
 * line is `bench ok`: the program has checked its result. What went wrong is a line on standard error and status 1;
 * what cannot be measured on this system is a line there and no figure.
 */
#ifndef BENCH_H
#define BENCH_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BENCH_UNUSED __attribute__((unused))
#define BENCH_KIB ((size_t)1 << 10)
#define BENCH_MIB ((size_t)1 << 20)
#define BENCH_GIB ((size_t)1 << 30)
#define BENCH_PAGE ((size_t)4096)

#define BENCH_WARM_ROUNDS 2u
#define BENCH_CALIBRATION_LOOP 50000u /* of two instructions each: short, so that some of them are not interrupted */
#define BENCH_CALIBRATION_TRIES 16u
#define BENCH_MAX_SCALE 1000u

/* Time between bench_begin and bench_end, summed up. */
struct bench_span {
    uint64_t ticks, ns;
    uint64_t start_ticks, start_ns;
};

/* A figure of many operations. */
struct bench_row {
    const char *family;
    size_t size; /* of the key; 0: the key is the family */
    const char *label;
    /* Sets up, measures `operations` of them, and clears away; fails by bench_fail. */
    void (*round)(const struct bench_row *row, struct bench_span *span);
    uint64_t operations; /* of a round */
    uint64_t zeroed;     /* bytes an operation */
};

static uint64_t bench_clock_cost BENCH_UNUSED; /* ns of an empty span */

/* A line on standard error, and status 1. */
__attribute__((format(printf, 1, 2), noreturn)) BENCH_UNUSED static void bench_fail(const char *format, ...)
{
    char text[256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    dprintf(STDERR_FILENO, "bench: %s\n", text);
    exit(1);
}

BENCH_UNUSED static void bench_check(bool good, const char *what)
{
    if (!good)
        bench_fail("%s is wrong: it is not what it was made as", what);
}

BENCH_UNUSED static void bench_check_number(const char *what, uint64_t found, uint64_t wanted)
{
    if (found != wanted)
        bench_fail("%s is wrong: %llu, not %llu", what, (unsigned long long)found, (unsigned long long)wanted);
}

/* The figure of the key cannot be had on this system. */
BENCH_UNUSED static void bench_left_out(const char *key, const char *why)
{
    dprintf(STDERR_FILENO, "bench: %s is left out: %s\n", key, why);
}

static inline uint64_t bench_ticks(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

static inline uint64_t bench_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The counter is read inside of the clock, so that a span's ticks are without the clock's calls. */
static inline void bench_begin(struct bench_span *span)
{
    span->start_ns = bench_ns();
    span->start_ticks = bench_ticks();
}

static inline void bench_end(struct bench_span *span)
{
    uint64_t ticks = bench_ticks() - span->start_ticks, ns = bench_ns() - span->start_ns;

    span->ticks += ticks;
    span->ns += ns > bench_clock_cost ? ns - bench_clock_cost : 0;
}

/* The compiler takes the value for one that may be anything, and memory for read and written: nothing is optimised
 * away. */
static inline void *bench_keep(void *value)
{
    __asm__ volatile("" : "+r"(value) : : "memory");
    return value;
}

BENCH_UNUSED static void bench_print(const char *key, const char *label, uint64_t operations,
                                     const struct bench_span *span, uint64_t zeroed)
{
    int written =
        dprintf(STDOUT_FILENO, "bench\t%s\t%s\t%llu\t%llu\t%llu\t%llu\n", key, label, (unsigned long long)operations,
                (unsigned long long)span->ticks, (unsigned long long)span->ns, (unsigned long long)zeroed);

    if (written < 0)
        bench_fail("standard output cannot be written to: %s", strerror(errno));
}

/* Measures a row and prints it. */
BENCH_UNUSED static void bench_run(const struct bench_row *row)
{
    struct bench_span warm = {0}, span = {0};
    char key[64];

    for (unsigned i = 0; i < BENCH_WARM_ROUNDS; i++)
        row->round(row, &warm);
    row->round(row, &span);
    snprintf(key, sizeof(key), row->size ? "%s/%zu" : "%s", row->family, row->size);
    bench_print(key, row->label, row->operations, &span, row->zeroed);
}

BENCH_UNUSED static void bench_run_all(const struct bench_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        bench_run(&rows[i]);
}

/* First of all: prints the line of calibration. */
BENCH_UNUSED static void bench_open(void)
{
    struct bench_span span = {0};
    uint64_t cost = UINT64_MAX;

    for (unsigned i = 0; i < 100; i++) {
        uint64_t start = bench_ns();

        bench_ticks();
        bench_ticks();
        start = bench_ns() - start;
        cost = start < cost ? start : cost;
    }
    bench_clock_cost = cost;
    for (unsigned i = 0; i < BENCH_CALIBRATION_TRIES; i++) {
        struct bench_span tried = {0};
        uint64_t count = BENCH_CALIBRATION_LOOP;

        bench_begin(&tried);
        __asm__ volatile("1: subq $1, %0\n jnz 1b" : "+r"(count));
        bench_end(&tried);
        if (i == 0 || tried.ticks < span.ticks)
            span = tried;
    }
    bench_print("calibration", "instructions of a loop of known length", 2 * BENCH_CALIBRATION_LOOP, &span, 0);
}

/* Last of all: what was to be checked has been. The status of main. */
BENCH_UNUSED static int bench_close(void)
{
    if (dprintf(STDOUT_FILENO, "bench\tok\n") < 0)
        bench_fail("standard output cannot be written to: %s", strerror(errno));
    return 0;
}

/* argv[1] of a program: by what its work is multiplied; 1 without. Else a line and status 2. */
BENCH_UNUSED static unsigned bench_scale(int argc, char **argv)
{
    char *end = NULL;
    unsigned long scale = 1;

    if (argc > 1)
        scale = strtoul(argv[1], &end, 10);
    if (argc < 2 || (argc == 2 && argv[1][0] >= '1' && argv[1][0] <= '9' && *end == '\0' && scale <= BENCH_MAX_SCALE))
        return (unsigned)scale;
    dprintf(STDERR_FILENO, "bench: %s: the only argument is the scale, a number from 1 to %u\n",
            argc > 2 ? argv[2] : argv[1], BENCH_MAX_SCALE);
    exit(2);
}

/* For workloads without a scale. */
BENCH_UNUSED static void bench_no_arguments(int argc, char **argv)
{
    if (argc < 2)
        return;
    dprintf(STDERR_FILENO, "bench: %s: there are no arguments\n", argv[1]);
    exit(2);
}

static inline void *bench_allocated(void *memory, size_t size)
{
    if (memory == NULL)
        bench_fail("no memory: %zu bytes were refused", size);
    return bench_keep(memory);
}

/* Memory, or the end of the program. */
static inline void *bench_malloc(size_t size)
{
    return bench_allocated(malloc(size), size);
}

static inline void *bench_calloc(size_t count, size_t size)
{
    return bench_allocated(calloc(count, size), count * size);
}

static inline void *bench_realloc(void *memory, size_t size)
{
    return bench_allocated(realloc(memory, size), size);
}

/* xorshift64 (Marsaglia 2003): the same numbers in every run. The state must not be 0. */
static inline uint64_t bench_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Below the limit, which is far smaller than 2^32: a multiplication instead of a division. */
static inline uint32_t bench_random_below(uint64_t *state, uint32_t limit)
{
    return (uint32_t)((bench_random(state) >> 32) * limit >> 32);
}

BENCH_UNUSED static void bench_shuffle(uint32_t *numbers, uint32_t count, uint64_t *state)
{
    for (uint32_t i = count; i > 1; i--) {
        uint32_t j = bench_random_below(state, i), number = numbers[i - 1];

        numbers[i - 1] = numbers[j];
        numbers[j] = number;
    }
}

/* Writes to a byte of each page. */
static inline void bench_touch(void *memory, size_t size)
{
    volatile char *byte = memory, *end = byte + size;

    for (; byte < end; byte += BENCH_PAGE)
        *byte = 1;
}

#endif
