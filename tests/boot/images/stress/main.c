/*
 * Everything that threads do to memory and to each other, at random, for a time.
 *
 *     stress [--seconds N] [--seed N] [--workers N]      600 seconds, a seed of its own, two workers for each CPU and
 * two
 *
 * It prints its seed, where it is every five seconds, and at its end whether all memory is back: it runs twice, a short
 * time and then all of it, and compares what is free after each. The order of what threads do is the machine's, so the
 * same seed is not the same run, but the same mixture. Status 1 and a line with FOUND: something was wrong.
 */
#include "stress.h"

#include <inttypes.h>
#include <stdarg.h>
#include <sys/sysinfo.h>

#include "vm/heap.h"
#include "vm/vm.h"

/* Of the program itself in an image; on Linux nothing defines them. */
#pragma weak vm_space
#pragma weak vm_validate
#pragma weak heap_program_trim
#pragma weak heap_validate

#define PROGRESS_S 5
#define STANDSTILL_S 60
/*
 * Bytes that may be kept: of the first spans of classes that the short run had not used, and tables of addresses that
 * were not used before. It does not grow with time: a minute leaves as much as ten.
 */
#define KEPT ((size_t)4 << 20)

struct worker workers[WORKERS_MOST];
unsigned worker_count;
atomic_bool stopping;
_Atomic uint64_t threads_made;
static atomic_bool leaving;
static uint64_t seed;

void finding(const char *format, ...)
{
    char text[256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    dprintf(STDOUT_FILENO, "stress: FOUND (seed %" PRIu64 "): %s\n", seed, text);
    _exit(1);
}

/* ---- workers ---- */

static void do_one(struct worker *worker)
{
    uint32_t kind = below(&worker->random, 100);

    if (kind < 34) {
        atomic_store(&worker->doing, "a mapping");
        change_mapping(&worker->random);
    } else if (kind < 46) {
        atomic_store(&worker->doing, "a file");
        use_file(worker);
    } else if (kind < 80) {
        atomic_store(&worker->doing, "a block");
        change_block(&worker->random);
    } else if (kind < 90) {
        atomic_store(&worker->doing, "the common region");
        use_common(worker);
    } else {
        atomic_store(&worker->doing, "a thread");
        live(&worker->random);
    }
    atomic_fetch_add(&worker->operations, 1);
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct timespec little = {.tv_nsec = 1000000};

    count_signals_of(worker);
    while (!atomic_load(&stopping))
        do_one(worker);
    while (!atomic_load(&leaving))
        nanosleep(&little, NULL);
    return NULL;
}

static pthread_barrier_t all_made;

/* Who sends a signal to a worker needs its thread: nobody begins before all are there. */
static void *wait_and_work(void *worker)
{
    pthread_barrier_wait(&all_made);
    return work(worker);
}

static void make_workers(void)
{
    memset(workers, 0, sizeof(workers));
    for (unsigned i = 0; i < worker_count; i++) {
        workers[i].number = i;
        workers[i].random = (seed + i + 1) * 0x9e3779b97f4a7c15 | 1;
        atomic_store(&workers[i].doing, "nothing yet");
    }
    atomic_store(&stopping, false);
    atomic_store(&leaving, false);
    must(pthread_barrier_init(&all_made, NULL, worker_count + 1), "pthread_barrier_init");
    for (unsigned i = 0; i < worker_count; i++)
        must(pthread_create(&workers[i].thread, NULL, wait_and_work, &workers[i]), "pthread_create");
    pthread_barrier_wait(&all_made);
}

static void join_workers(void)
{
    atomic_store(&leaving, true);
    for (unsigned i = 0; i < worker_count; i++)
        must(pthread_join(workers[i].thread, NULL), "pthread_join");
    pthread_barrier_destroy(&all_made);
}

/* ---- progress ---- */

static int64_t seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static uint64_t all_operations(void)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < worker_count; i++)
        sum += atomic_load(&workers[i].operations);
    return sum;
}

/* seen: when a worker's operations were these for the first time. */
struct seen {
    uint64_t operations;
    int64_t since;
};

static void look_for_standstill(struct seen *seen, int64_t now)
{
    for (unsigned i = 0; i < worker_count; i++) {
        uint64_t operations = atomic_load(&workers[i].operations);

        if (operations != seen[i].operations)
            seen[i] = (struct seen){operations, now};
        else if (now - seen[i].since > STANDSTILL_S)
            finding("worker %u has stood still for %d s with %s", i, STANDSTILL_S, atomic_load(&workers[i].doing));
    }
}

static void watch(int64_t seconds)
{
    struct timespec time = {.tv_nsec = 200000000};
    static struct seen seen[WORKERS_MOST];
    int64_t start = seconds_now(), now, told = start;

    for (unsigned i = 0; i < worker_count; i++)
        seen[i] = (struct seen){0, start};
    while ((now = seconds_now()) < start + seconds) {
        nanosleep(&time, NULL);
        look_for_standstill(seen, now);
        if (now - told < PROGRESS_S)
            continue;
        told = now;
        printf("stress: %d of %d s, %" PRIu64 " operations, %" PRIu64 " threads made\n", (int)(now - start),
               (int)seconds, all_operations(), atomic_load(&threads_made));
        fflush(stdout);
    }
}

/* ---- all of it ---- */

/* On Linux what others do with the machine's memory does not count: what the process has not. */
static size_t free_memory(void)
{
    struct sysinfo info;
    size_t size = 0, resident = 0;
    FILE *file;

    if (heap_program_trim)
        heap_program_trim();
    if (vm_space)
        return sysinfo(&info) ? 0 : info.freeram * info.mem_unit;
    file = fopen("/proc/self/statm", "re");
    if (file == NULL || fscanf(file, "%zu %zu", &size, &resident) != 2)
        finding("/proc/self/statm cannot be read");
    fclose(file);
    return ((size_t)1 << 40) - resident * PAGE;
}

/* Everything is given back at its end: what is free then. */
static size_t run(int64_t seconds)
{
    mappings_begin();
    files_begin();
    lives_begin();
    make_workers();
    watch(seconds);
    atomic_store(&stopping, true);
    signals_end();
    join_workers();
    lives_end();
    mappings_end();
    files_end();
    blocks_end();
    return free_memory();
}

static void check_system(void)
{
    const char *wrong = vm_validate ? vm_validate(vm_space()) : NULL;

    if (wrong)
        finding("the address space: %s", wrong);
    wrong = heap_validate ? heap_validate(NULL) : NULL;
    if (wrong)
        finding("the heap: %s", wrong);
}

/* The number behind the word, of those from least to most. */
static uint64_t number_behind(char **argument, uint64_t least, uint64_t most)
{
    char *end = NULL;
    uint64_t number = argument[1] ? strtoull(argument[1], &end, 0) : 0;

    if (argument[1] == NULL || *end != '\0' || end == argument[1] || number < least || number > most) {
        fprintf(stderr, "stress: %s must be a number from %" PRIu64 " to %" PRIu64 "\n", argument[0], least, most);
        exit(2);
    }
    return number;
}

static uint64_t seed_of_time(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_nsec << 20 ^ (uint64_t)now.tv_sec;
}

int main(int argc, char **argv)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    int64_t seconds = 600;

    (void)argc;
    worker_count = 2 * (unsigned)cpus + 2 < WORKERS_MOST ? 2 * (unsigned)cpus + 2 : WORKERS_MOST;
    seed = seed_of_time();
    for (char **word = argv + 1; *word; word += 2) {
        if (strcmp(*word, "--seconds") == 0)
            seconds = (int64_t)number_behind(word, 1, 1000000);
        else if (strcmp(*word, "--seed") == 0)
            seed = number_behind(word, 0, UINT64_MAX);
        else if (strcmp(*word, "--workers") == 0)
            worker_count = (unsigned)number_behind(word, 1, WORKERS_MOST);
        else
            return fprintf(stderr, "stress: %s: the options are --seconds, --seed and --workers\n", *word), 2;
    }
    printf("stress: seed %" PRIu64 ", %ld CPUs, %u workers, %d s\n", seed, cpus, worker_count, (int)seconds);
    fflush(stdout);
    size_t before = run(seconds < 20 ? 1 + seconds / 4 : 5), after = run(seconds);

    check_system();
    if (after + KEPT < before)
        finding("%zu bytes are not given back", before - after);
    printf("stress: %" PRIu64 " operations, %" PRIu64 " threads made\nmemory given back: yes\nnothing found\n",
           all_operations(), atomic_load(&threads_made));
    return 0;
}
