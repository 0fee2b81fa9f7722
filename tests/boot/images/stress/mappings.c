/*
 * Mappings that every worker changes: made, written, protected, grown, moved, cut, replaced, discarded, removed. One at
 * a time has a mapping; what it finds is what the one before has left. And a common region, which all write to at the
 * same time, each its own words, while some take away the right to: whoever faults tries again until he may.
 */
#include "stress.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#define MAPPINGS 48u
#define UNITS 64u
#define RW (PROT_READ | PROT_WRITE)

/* Of up to 64 units, each of which has been written to (its bit is set: it has stamps) or not (it is zero). */
static struct mapping {
    pthread_mutex_t mutex;
    char *start; /* NULL: there is none */
    size_t unit; /* bytes */
    unsigned units;
    bool shared; /* of a file in memory */
    uint64_t written, generation;
} mappings[MAPPINGS];

static char *common;
static _Atomic uint64_t common_faults;
static __thread sigjmp_buf escape;
static __thread volatile bool escapes;

/* ---- contents ---- */

static uint64_t stamp(const struct mapping *mapping, unsigned unit)
{
    return (uint64_t)(mapping - mappings + 1) << 56 | mapping->generation << 8 | unit;
}

static uint64_t *first_word(const struct mapping *mapping, unsigned unit)
{
    return (uint64_t *)(mapping->start + unit * mapping->unit);
}

static uint64_t *last_word(const struct mapping *mapping, unsigned unit)
{
    return first_word(mapping, unit + 1) - 1;
}

static void write_unit(struct mapping *mapping, unsigned unit)
{
    *first_word(mapping, unit) = *last_word(mapping, unit) = stamp(mapping, unit);
    mapping->written |= 1ull << unit;
}

static void check_unit(const struct mapping *mapping, unsigned unit)
{
    uint64_t wanted = mapping->written >> unit & 1 ? stamp(mapping, unit) : 0;
    uint64_t first = *first_word(mapping, unit), last = *last_word(mapping, unit);

    if (first != wanted || last != wanted)
        finding("mapping %u, unit %u of %u: %#llx and %#llx, not %#llx", (unsigned)(mapping - mappings), unit,
                mapping->units, (unsigned long long)first, (unsigned long long)last, (unsigned long long)wanted);
}

static void check_all(const struct mapping *mapping)
{
    for (unsigned i = 0; i < mapping->units; i++)
        check_unit(mapping, i);
}

/* ---- operations: the mapping is there ---- */

static void check_call(void *result, const char *what)
{
    must(result == MAP_FAILED ? errno : 0, what);
}

static void protect(struct mapping *mapping, int protection)
{
    must(mprotect(mapping->start, mapping->units * mapping->unit, protection) ? errno : 0, "mprotect");
}

static void write_some(struct mapping *mapping, uint64_t *random)
{
    for (unsigned i = below(random, 16); i > 0; i--)
        write_unit(mapping, below(random, mapping->units));
}

static void check_some(struct mapping *mapping, uint64_t *random)
{
    for (unsigned i = below(random, 16); i > 0; i--)
        check_unit(mapping, below(random, mapping->units));
}

static void read_protected(struct mapping *mapping, uint64_t *random)
{
    protect(mapping, PROT_READ);
    check_some(mapping, random);
    protect(mapping, RW);
    write_unit(mapping, below(random, mapping->units));
}

/* A write that is not allowed must fault. */
static void write_protected(struct mapping *mapping, uint64_t *random)
{
    unsigned unit = below(random, mapping->units);

    protect(mapping, below(random, 2) ? PROT_READ : PROT_NONE);
    if (sigsetjmp(escape, 1) == 0) {
        escapes = true;
        *(volatile uint64_t *)first_word(mapping, unit) = 1;
        finding("mapping %u was written to without the right to", (unsigned)(mapping - mappings));
    }
    escapes = false;
    protect(mapping, RW);
    check_unit(mapping, unit);
}

static void forget(struct mapping *mapping, unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++)
        mapping->written &= ~(1ull << i);
}

static void discard(struct mapping *mapping, uint64_t *random)
{
    unsigned first = below(random, mapping->units), count = 1 + below(random, mapping->units - first);

    if (mapping->shared)
        return;
    must(madvise(first_word(mapping, first), count * mapping->unit, MADV_DONTNEED) ? errno : 0, "madvise");
    forget(mapping, first, count);
    check_unit(mapping, first);
}

/* New memory over a part of it. */
static void replace(struct mapping *mapping, uint64_t *random)
{
    unsigned first = below(random, mapping->units), count = 1 + below(random, mapping->units - first);

    if (mapping->shared)
        return;
    check_call(
        mmap(first_word(mapping, first), count * mapping->unit, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
        "mmap of a part");
    forget(mapping, first, count);
    check_unit(mapping, first + count - 1);
}

static void resize(struct mapping *mapping, uint64_t *random)
{
    unsigned units = 1 + below(random, UNITS);
    char *moved = mremap(mapping->start, mapping->units * mapping->unit, units * mapping->unit, MREMAP_MAYMOVE);

    if (moved == MAP_FAILED && errno == EFAULT)
        return; /* parts that were replaced are mappings of their own on Linux, and more than one is not moved */
    check_call(moved, "mremap");
    mapping->start = moved;
    if (units < mapping->units)
        forget(mapping, units, mapping->units - units);
    mapping->units = units;
    check_some(mapping, random);
}

/* A shared file that shrinks keeps what is cut off: nobody expects it to be zero when the mapping grows again. */
static void cut(struct mapping *mapping, uint64_t *random)
{
    unsigned units = 1 + below(random, mapping->units);

    if (mapping->shared || units == mapping->units)
        return;
    must(munmap(first_word(mapping, units), (mapping->units - units) * mapping->unit) ? errno : 0, "munmap of a part");
    forget(mapping, units, mapping->units - units);
    mapping->units = units;
}

static void remove_mapping(struct mapping *mapping, uint64_t *random)
{
    (void)random;
    check_all(mapping);
    must(munmap(mapping->start, mapping->units * mapping->unit) ? errno : 0, "munmap");
    mapping->start = NULL;
    mapping->written = 0;
}

static void make_mapping(struct mapping *mapping, uint64_t *random)
{
    static const size_t units[] = {PAGE, PAGE, PAGE, 4 * PAGE};
    int file = -1;

    mapping->unit = units[below(random, LENGTH(units))];
    mapping->units = 1 + below(random, UNITS);
    mapping->shared = below(random, 6) == 0;
    mapping->generation = random_next(random) >> 16;
    if (mapping->shared) {
        file = memfd_create("stress", 0);
        must(file < 0 || ftruncate(file, (off_t)(UNITS * mapping->unit)) ? errno : 0, "a file in memory");
    }
    void *memory = mmap(NULL, mapping->units * mapping->unit, RW,
                        mapping->shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, file, 0);

    check_call(memory, "mmap");
    mapping->start = memory;
    if (file >= 0)
        close(file);
    check_unit(mapping, mapping->units - 1);
}

static void resize_private(struct mapping *mapping, uint64_t *random)
{
    if (!mapping->shared)
        resize(mapping, random);
}

static void (*const changes[])(struct mapping *, uint64_t *) = {
    write_some, write_some, write_some, check_some,     check_some,     read_protected, write_protected,
    discard,    replace,    cut,        resize_private, resize_private, read_protected, remove_mapping,
};

void change_mapping(uint64_t *random)
{
    struct mapping *mapping = &mappings[below(random, MAPPINGS)];

    if (pthread_mutex_trylock(&mapping->mutex))
        return;
    if (mapping->start == NULL)
        make_mapping(mapping, random);
    else
        changes[below(random, LENGTH(changes))](mapping, random);
    pthread_mutex_unlock(&mapping->mutex);
}

/* ---- the common region ---- */

static volatile uint32_t *common_word(unsigned page, unsigned number)
{
    return (volatile uint32_t *)(common + page * PAGE) + number * 5;
}

static void write_common(struct worker *worker)
{
    for (unsigned i = 0; i < 32; i++) {
        unsigned page = below(&worker->random, COMMON_PAGES);
        uint32_t found = *common_word(page, worker->number);

        if (found != worker->common[page])
            finding("page %u of all: worker %u finds %u, not %u", page, worker->number, found, worker->common[page]);
        *common_word(page, worker->number) = ++worker->common[page];
    }
}

static void protect_common(struct worker *worker)
{
    unsigned first = below(&worker->random, COMMON_PAGES), count = 1 + below(&worker->random, COMMON_PAGES - first);
    char *start = common + first * PAGE;

    must(mprotect(start, count * PAGE, below(&worker->random, 4) ? PROT_READ : PROT_NONE) ? errno : 0,
         "mprotect of all");
    must(mprotect(start, count * PAGE, RW) ? errno : 0, "mprotect of all");
}

void use_common(struct worker *worker)
{
    if (below(&worker->random, 8) == 0)
        protect_common(worker);
    else
        write_common(worker);
}

/* In the common region the right comes back; elsewhere it is expected, or it is a finding. */
static void on_fault(int signal, siginfo_t *info, void *context)
{
    char *address = info->si_addr;

    (void)context;
    if (address >= common && address < common + COMMON_PAGES * PAGE) {
        atomic_fetch_add(&common_faults, 1);
        sched_yield();
        return;
    }
    if (escapes)
        siglongjmp(escape, 1);
    files_escape();
    finding("signal %d at %p", signal, (void *)address);
}

void mappings_begin(void)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO};

    action.sa_sigaction = on_fault;
    must(sigaction(SIGSEGV, &action, NULL) || sigaction(SIGBUS, &action, NULL) ? errno : 0, "sigaction");
    for (unsigned i = 0; i < MAPPINGS; i++)
        pthread_mutex_init(&mappings[i].mutex, NULL);
    common = mmap(NULL, COMMON_PAGES * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check_call(common, "mmap");
}

void mappings_end(void)
{
    for (unsigned i = 0; i < MAPPINGS; i++) {
        if (mappings[i].start)
            remove_mapping(&mappings[i], NULL);
        pthread_mutex_destroy(&mappings[i].mutex);
    }
    for (unsigned i = 0; i < worker_count; i++)
        for (unsigned page = 0; page < COMMON_PAGES; page++)
            if (*common_word(page, i) != workers[i].common[page])
                finding("page %u of all is not as worker %u has left it", page, i);
    must(munmap(common, COMMON_PAGES * PAGE) ? errno : 0, "munmap");
}
