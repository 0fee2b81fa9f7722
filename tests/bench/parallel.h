/*
 * What the workloads of `ninja bench-threads` share, beside tests/bench/bench.h: each row is done by so many threads at
 * once, each of which does as many operations as one alone, so that on as many CPUs the time stays the same if nothing
 * is waited for. A figure is that of all threads: from when the first begins until the last one ends.
 *
 * What CPUs cost each other in that time is told by the core, where there is one (vm_cpu_stats), and printed as figures
 * whose ticks are counts: KEY:contended, KEY:shootdowns, KEY:shot_cpus. Of lines of the cache a plugin of QEMU tells
 * (lines/lines.c), which sees parallel_begin and parallel_end.
 *
 * The figure `cpus` has the number of CPUs as its operations: what was measured on fewer is no figure of so many.
 *
 * Arguments: THREADS, as many as there are CPUs without; SCALE, by what the work is multiplied; FAMILY, the only rows
 * that are measured.
 */
#ifndef PARALLEL_H
#define PARALLEL_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "tests/bench/bench.h"
#include "vm/vm.h"

#pragma weak vm_cpu_stats /* not on Linux */

#define PARALLEL_MOST 64u
#define PARALLEL_LINE 64u /* bytes of a cache line */

struct parallel_row {
    const char *family;
    size_t size; /* of the key; 0: the key is the family */
    const char *label;
    uint64_t operations;                             /* of one thread */
    void (*prepare)(const struct parallel_row *row); /* by main; may be NULL, as finish may */
    void (*work)(const struct parallel_row *row, unsigned thread);
    void (*finish)(const struct parallel_row *row); /* checks and clears away */
    /* By each thread for itself, before the time that is measured and after it; may be NULL. */
    void (*begin)(const struct parallel_row *row, unsigned thread);
    void (*end)(const struct parallel_row *row, unsigned thread);
    /* Operations of all threads together where they are more than two, of what some systems take milliseconds for then;
     * 0: as many as each alone. */
    uint64_t together;
};

/* Of all CPUs, since boot. */
struct parallel_costs {
    uint64_t contended, shootdowns, shot_cpus;
};

/* One thread's; each on lines of its own. */
struct parallel_worker {
    pthread_t thread;
    const struct parallel_row *row;
    unsigned number;
    bool counts; /* the round does */
    uint64_t first_ns, last_ns, first_ticks, last_ticks;
    struct parallel_costs first, last;
} __attribute__((aligned(2 * PARALLEL_LINE)));

static unsigned parallel_threads = 1;
static unsigned parallel_there = 1; /* CPUs */
static unsigned parallel_scale = 1;
static const char *parallel_only;
static struct parallel_worker parallel_workers[PARALLEL_MOST];
static pthread_barrier_t parallel_start;

BENCH_UNUSED static void parallel_must(int error, const char *what)
{
    if (error)
        bench_fail("%s: %s", what, strerror(error));
}

BENCH_UNUSED static pthread_t parallel_create(void *(*function)(void *), void *argument)
{
    pthread_t thread;

    parallel_must(pthread_create(&thread, NULL, function, argument), "pthread_create");
    return thread;
}

BENCH_UNUSED static void parallel_join(pthread_t thread)
{
    parallel_must(pthread_join(thread, NULL), "pthread_join");
}

static struct parallel_costs parallel_read_costs(void)
{
    struct parallel_costs sum = {0};

    for (unsigned cpu = 0; vm_cpu_stats && cpu < parallel_there; cpu++) {
        struct vm_cpu_stats of = vm_cpu_stats(cpu);

        sum.contended += of.contended;
        sum.shootdowns += of.shootdowns;
        sum.shot_cpus += of.shot_cpus;
    }
    return sum;
}

/* Where a thread begins with what is measured, and has ended it: marks for who looks on from outside. */
__attribute__((noinline)) static void parallel_begin(void)
{
    __asm__ volatile("" : : : "memory");
}

__attribute__((noinline)) static void parallel_end(void)
{
    __asm__ volatile("" : : : "memory");
}

/* Keeps the thread on a CPU, each on another one. */
static void parallel_stay(unsigned number)
{
    uint64_t cpus = (uint64_t)1 << number % parallel_there;

    if (syscall(SYS_sched_setaffinity, 0, sizeof(cpus), &cpus) != 0)
        bench_fail("sched_setaffinity: %s", strerror(errno));
}

static void *parallel_run(void *argument)
{
    struct parallel_worker *worker = argument;

    pthread_barrier_wait(&parallel_start);
    if (worker->row->begin) { /* what a thread makes for itself is made where it runs */
        parallel_stay(worker->number);
        worker->row->begin(worker->row, worker->number);
        pthread_barrier_wait(&parallel_start);
    }
    worker->first = parallel_read_costs();
    if (worker->counts)
        parallel_begin();
    worker->first_ns = bench_ns();
    worker->first_ticks = bench_ticks();
    worker->row->work(worker->row, worker->number);
    worker->last_ticks = bench_ticks();
    worker->last_ns = bench_ns();
    if (worker->counts)
        parallel_end();
    worker->last = parallel_read_costs();
    if (worker->row->end)
        worker->row->end(worker->row, worker->number);
    return NULL;
}

/* From the first's begin to the last's end. */
static struct bench_span parallel_span(void)
{
    uint64_t first_ns = UINT64_MAX, first_ticks = UINT64_MAX, last_ns = 0, last_ticks = 0;

    for (unsigned i = 0; i < parallel_threads; i++) {
        const struct parallel_worker *worker = &parallel_workers[i];

        first_ns = worker->first_ns < first_ns ? worker->first_ns : first_ns;
        last_ns = worker->last_ns > last_ns ? worker->last_ns : last_ns;
        first_ticks = worker->first_ticks < first_ticks ? worker->first_ticks : first_ticks;
        last_ticks = worker->last_ticks > last_ticks ? worker->last_ticks : last_ticks;
    }
    return (struct bench_span){.ticks = last_ticks - first_ticks, .ns = last_ns - first_ns};
}

/* The same of a count that all threads have read: it only grows. */
static uint64_t parallel_count(size_t member)
{
    uint64_t first = UINT64_MAX, last = 0;

    for (unsigned i = 0; i < parallel_threads; i++) {
        const struct parallel_worker *worker = &parallel_workers[i];
        uint64_t before = *(const uint64_t *)((const char *)&worker->first + member);
        uint64_t after = *(const uint64_t *)((const char *)&worker->last + member);

        first = before < first ? before : first;
        last = after > last ? after : last;
    }
    return last - first;
}

static void parallel_print_count(const char *key, const char *name, uint64_t operations, size_t member)
{
    char whole[96];

    snprintf(whole, sizeof(whole), "%s:%s", key, name);
    bench_print(whole, name, operations, &(struct bench_span){.ticks = parallel_count(member)}, 0);
}

static void parallel_print_costs(const char *key, uint64_t operations)
{
    if (!vm_cpu_stats)
        return;
    parallel_print_count(key, "contended", operations, offsetof(struct parallel_costs, contended));
    parallel_print_count(key, "shootdowns", operations, offsetof(struct parallel_costs, shootdowns));
    parallel_print_count(key, "shot_cpus", operations, offsetof(struct parallel_costs, shot_cpus));
}

static struct bench_span parallel_round(const struct parallel_row *row, bool counts)
{
    if (row->prepare)
        row->prepare(row);
    pthread_barrier_init(&parallel_start, NULL, parallel_threads);
    for (unsigned i = 0; i < parallel_threads; i++) {
        parallel_workers[i].row = row;
        parallel_workers[i].number = i;
        parallel_workers[i].counts = counts;
        parallel_workers[i].thread = parallel_create(parallel_run, &parallel_workers[i]);
    }
    for (unsigned i = 0; i < parallel_threads; i++)
        parallel_join(parallel_workers[i].thread);
    pthread_barrier_destroy(&parallel_start);
    if (row->finish)
        row->finish(row);
    return parallel_span();
}

/* A round that does not count, and one that does. */
static void parallel_measure(const struct parallel_row *row)
{
    struct parallel_row scaled = *row;
    char key[64];

    if (parallel_threads > 2 && row->together > 0)
        scaled.operations = row->together / parallel_threads;
    scaled.operations *= parallel_scale;
    parallel_round(&scaled, false);
    struct bench_span span = parallel_round(&scaled, true);

    snprintf(key, sizeof(key), row->size ? "%s/%zu" : "%s", row->family, row->size);
    bench_print(key, row->label, scaled.operations * parallel_threads, &span, 0);
    parallel_print_costs(key, scaled.operations * parallel_threads);
}

static unsigned parallel_number(const char *text, unsigned most)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);

    if (*text >= '1' && *text <= '9' && *end == '\0' && number <= most)
        return (unsigned)number;
    dprintf(STDERR_FILENO, "bench: %s: the arguments are the number of threads (to %u), the scale, a family of rows\n",
            text, PARALLEL_MOST);
    exit(2);
}

static unsigned parallel_cpus(void)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    return cpus < 1 ? 1 : cpus > PARALLEL_MOST ? PARALLEL_MOST : (unsigned)cpus;
}

static void parallel_arguments(int argc, char **argv)
{
    parallel_threads = parallel_there = parallel_cpus();
    if (argc > 1)
        parallel_threads = parallel_number(argv[1], PARALLEL_MOST);
    if (argc > 2)
        parallel_scale = parallel_number(argv[2], BENCH_MAX_SCALE);
    if (argc > 3)
        parallel_only = argv[3];
}

/* The whole program. */
BENCH_UNUSED static int parallel_main(int argc, char **argv, const struct parallel_row *rows, size_t count)
{
    parallel_arguments(argc, argv);
    bench_open();
    bench_print("cpus", "CPUs that are there", parallel_there, &(struct bench_span){0}, 0);
    for (size_t i = 0; i < count; i++)
        if (parallel_only == NULL || strcmp(parallel_only, rows[i].family) == 0)
            parallel_measure(&rows[i]);
    return bench_close();
}

#endif
