/* The table of --stats on the console, for people. */
#include "core/base/print.h"
#include "core/base/string.h"
#include "core/config.h"
#include "core/observe/cpus.h"
#include "core/observe/faults.h"
#include "core/observe/stats.h"
#include "vm/space.h"

#define SEGMENTS_SHOWN 12
#define DRIVERS_SHOWN 12
#define ROWS 16 /* of a histogram with fine steps */
#define BAR 40

/* Texts of numbers: as many at once as a line has. */
struct texts {
    unsigned used;
    char text[8][32];
};

/* 1,234,567 */
static const char *number(struct texts *texts, uint64_t value)
{
    char *text = texts->text[texts->used++ % ARRAY_LENGTH(texts->text)], digits[24];
    int length = text_format(digits, sizeof(digits), "%llu", (unsigned long long)value);
    char *to = text;

    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
    return text;
}

/* Sizes are of whole pages or small: KiB below a MiB, with a decimal above. */
static const char *bytes(struct texts *texts, uint64_t value)
{
    static const char units[] = "KMGT";
    char *text = texts->text[texts->used++ % ARRAY_LENGTH(texts->text)];
    unsigned unit = 0;

    while (unit + 2 < sizeof(units) && value >> (20 + 10 * unit))
        unit++;
    uint64_t scale = (uint64_t)1 << (10 + 10 * unit), tenths = (value % scale * 10 + scale / 2) / scale;

    if (value == 0)
        text_format(text, sizeof(texts->text[0]), "-");
    else if (unit == 0)
        text_format(text, sizeof(texts->text[0]), "%llu KiB", (unsigned long long)(value + scale / 2) / scale);
    else
        text_format(text, sizeof(texts->text[0]), "%llu.%llu %ciB", (unsigned long long)(value / scale + tenths / 10),
                    (unsigned long long)(tenths % 10), units[unit]);
    return text;
}

/* ---- the run ---- */

static void print_run(const struct run_stats *stats)
{
    struct texts texts = {.used = 0};
    uint64_t ms = stats->ns / 1000000, parts = stats->calibration * 10000 / STATS_CALIBRATION;

    kprintf("\nquire: statistics of %s, which ended with status %d\n\n", quire_config.name, stats->status & 0xff);
    kprintf("time             %llu.%03llu s, %s ticks of the time-stamp counter (%llu.%04llu an instruction)\n",
            (unsigned long long)(ms / 1000), (unsigned long long)(ms % 1000), number(&texts, stats->ticks),
            (unsigned long long)(parts / 10000), (unsigned long long)(parts % 10000));
}

/* ---- memory ---- */

static void print_bytes_row(const char *name, const uint64_t *by_page)
{
    struct texts texts = {.used = 0};

    kprintf("  %-22s %12s %12s %12s %12s\n", name, bytes(&texts, by_page[PAGE_4K]), bytes(&texts, by_page[PAGE_2M]),
            bytes(&texts, by_page[PAGE_1G]), bytes(&texts, stats_sum(by_page)));
}

static void print_number_row(const char *name, const uint64_t *by_page)
{
    struct texts texts = {.used = 0};

    kprintf("  %-22s %12s %12s %12s %12s\n", name, number(&texts, by_page[PAGE_4K]), number(&texts, by_page[PAGE_2M]),
            number(&texts, by_page[PAGE_1G]), number(&texts, stats_sum(by_page)));
}

static void print_faults(const struct vm_stats *vm)
{
    static const char *const names[VM_FAULT_KINDS] = {"fresh memory", "files, their copies", "the program's drivers"};
    uint64_t pages[PAGE_SIZES];
    unsigned kinds = 0;
    struct texts texts = {.used = 0};

    for (unsigned i = 0; i < PAGE_SIZES; i++)
        pages[i] = stats_faults(vm, (enum page_size)i);
    for (unsigned i = 0; i < VM_FAULT_KINDS; i++) {
        if (stats_sum(vm->faults[i]) == 0)
            continue;
        print_number_row(names[i], vm->faults[i]);
        kinds++;
    }
    if (kinds != 1)
        print_number_row("all faults served", pages);
    kprintf("  refused %s, served with a smaller page for want of a frame %s\n\n", number(&texts, vm->faults_refused),
            number(&texts, vm->fallbacks));
}

static void print_memory(const struct vm_stats *vm)
{
    struct texts texts = {.used = 0};

    kprintf("\n%-24s %12s %12s %12s %12s\n", "memory", "in 4K pages", "in 2M pages", "in 1G pages", "all");
    print_bytes_row("at the end", vm->resident);
    print_bytes_row("at the peak", vm->peak);
    kprintf("%-24s %12s %12s %12s %12s\n", "faults", "4K pages", "2M pages", "1G pages", "all");
    print_faults(vm);
    kprintf("zeroed           %s\n", bytes(&texts, vm->zeroed));
    kprintf("flushes          of single translations %s, of all at once %s\n", number(&texts, vm->flushed_pages),
            number(&texts, vm->flushed_all));
    if (vm->span_bytes_peak > 0)
        kprintf("spans            %s now (%s), at most %s\n", number(&texts, vm->spans), bytes(&texts, vm->span_bytes),
                bytes(&texts, vm->span_bytes_peak));
    if (vm->windows > 0)
        kprintf("windows          %s\n", bytes(&texts, vm->windows));
    kprintf("page tables      %s; tables in reserve, structures of segments and slots %s\n", bytes(&texts, vm->tables),
            bytes(&texts, vm->bookkeeping));
    kprintf("frames           %s, of which %s are free, at the least %s; %s of 2M and %s of 1G are whole\n",
            bytes(&texts, vm->frames), bytes(&texts, vm->free), bytes(&texts, vm->least_free),
            number(&texts, vm->free_2m >> page_shift(PAGE_2M)), number(&texts, vm->free_1g >> page_shift(PAGE_1G)));
    kprintf("                 %s were taken; refills of magazines %s, spills %s; splits of 2M %s\n",
            bytes(&texts, vm->taken), number(&texts, vm->refills), number(&texts, vm->spills),
            number(&texts, vm->splits));
    kprintf(
        "                 %s are known to be zeros, %s were cleaned while idle; RAM that was never used is%s trusted\n",
        bytes(&texts, vm->clean), bytes(&texts, vm->cleaned), vm->trusts_virgin ? "" : " not");
}

/* ---- the most resident first ---- */

struct ranked {
    uint64_t resident;
    const void *what;
};

/* Keeps the largest ones, in order; of equals the earlier. */
static void rank(struct ranked *list, size_t size, uint64_t resident, const void *what)
{
    struct ranked entry = {resident, what};

    for (size_t i = 0; i < size; i++) {
        if (list[i].what && list[i].resident >= entry.resident)
            continue;
        struct ranked lower = list[i];

        list[i] = entry;
        entry = lower;
    }
}

static void print_more(uint64_t count, size_t shown, const char *what)
{
    if (count > shown)
        kprintf("  and %llu more %s\n", (unsigned long long)(count - shown), what);
}

static void print_driver(const struct stats_driver *row)
{
    const struct vm_statistics *of = &row->statistics;
    struct texts texts = {.used = 0};

    kprintf("%-14.14s %7s %12s %12s %10s %8s %9s %10s\n", row->driver->name, number(&texts, of->segments),
            bytes(&texts, stats_resident(of)), number(&texts, of->faults[PAGE_4K]), number(&texts, of->faults[PAGE_2M]),
            number(&texts, of->faults[PAGE_1G]), number(&texts, of->faults_refused), number(&texts, of->fallbacks));
}

/* Those that have done anything. */
static void print_drivers(const struct run_stats *stats)
{
    struct ranked list[DRIVERS_SHOWN] = {{0, NULL}};
    uint64_t count = 0;

    for (size_t i = 0; i < stats->driver_count; i++) {
        const struct vm_statistics *of = &stats->drivers[i].statistics;

        if (of->segments == 0 && stats_sum(of->faults) == 0 && of->faults_refused == 0)
            continue;
        rank(list, DRIVERS_SHOWN, stats_resident(of), &stats->drivers[i]);
        count++;
    }
    kprintf("\n%-12s %9s %12s %12s %10s %8s %9s %10s\n", "driver", "segments", "resident", "4K faults", "2M faults",
            "1G", "refused", "fall-backs");
    for (size_t i = 0; i < DRIVERS_SHOWN && list[i].what; i++)
        print_driver(list[i].what);
    print_more(count, DRIVERS_SHOWN, "drivers");
}

static void print_segment(struct address_space *space, const struct vm_segment *segment, uint64_t resident)
{
    struct vm_statistics of = vm_segment_statistics(space, segment);
    const struct vm_segment_driver *driver = vm_driver_of(segment);
    struct texts texts = {.used = 0};
    char text[64] = "";

    if (driver->describe)
        driver->describe(segment, text, sizeof(text));
    for (char *c = text; *c != '\0'; c++)
        *c = *c < ' ' ? '?' : *c; /* the words of a program's driver: one line here */
    kprintf("%016llx     %12s %12s %12s %10s  %s%s%.60s\n", (unsigned long long)vm_start(segment),
            bytes(&texts, vm_size(segment)), bytes(&texts, resident), number(&texts, stats_sum(of.faults)),
            number(&texts, of.faults_refused), driver->name, *text ? ": " : "", text);
}

static void print_segments(struct address_space *space)
{
    SPACE_HOLD_ALL(space);
    struct ranked list[SEGMENTS_SHOWN] = {{0, NULL}};
    uint64_t count = 0;

    for (struct vm_segment *segment = vm_next(space, 0); segment;
         segment = vm_next(space, vm_start(segment) + vm_size(segment))) {
        struct vm_statistics statistics = vm_segment_statistics(space, segment);

        rank(list, SEGMENTS_SHOWN, stats_resident(&statistics), segment);
        count++;
    }
    kprintf("\n%-20s %12s %12s %12s %10s\n", "segment at", "size", "resident", "faults", "refused");
    for (size_t i = 0; i < SEGMENTS_SHOWN && list[i].what; i++)
        print_segment(space, list[i].what, list[i].resident);
    print_more(count, SEGMENTS_SHOWN, "segments");
}

/* ---- how long faults took ---- */

static uint64_t in_buckets(const struct fault_times *times, unsigned first, unsigned count)
{
    uint64_t sum = 0;

    for (unsigned i = first; i < first + count; i++)
        sum += times->buckets[i];
    return sum;
}

/* A row for each bucket, or where that is many for each power of two. */
static void print_rows(const struct fault_times *times)
{
    static const char bar[BAR + 1] = "########################################";
    unsigned first = fault_bucket(times->least), last = fault_bucket(times->most);
    unsigned step = last - first < ROWS ? 1 : 4;
    uint64_t most = 0;

    first = first / step * step;
    for (unsigned i = first; i <= last; i += step)
        most = in_buckets(times, i, step) > most ? in_buckets(times, i, step) : most;
    for (unsigned i = first; i <= last; i += step) {
        struct texts texts = {.used = 0};
        uint64_t count = in_buckets(times, i, step);

        kprintf("  from %15s  %-*.*s %s\n", number(&texts, fault_bucket_start(i)), BAR,
                (int)((count * BAR + most - 1) / most), bar, number(&texts, count));
    }
}

static void print_histogram(const char *name, const struct fault_times *times)
{
    struct texts texts = {.used = 0};

    kprintf("\nticks of faults, %s: %s, on average %s, %s at the least, %s at most\n", name,
            number(&texts, times->count), number(&texts, times->sum / times->count), number(&texts, times->least),
            number(&texts, times->most));
    print_rows(times);
}

void stats_print_table(const struct run_stats *stats)
{
    static const char *const names[FAULT_OUTCOMES] = {"pages of 4K", "pages of 2M", "pages of 1G", "refused"};

    print_run(stats);
    if (stats->space) {
        print_memory(&stats->vm);
        cpus_print();
        print_drivers(stats);
        print_segments(stats->space);
    } else {
        kprintf("memory can no longer be looked at\n");
    }
    for (unsigned i = 0; i < FAULT_OUTCOMES; i++)
        if (fault_times(i)->count > 0)
            print_histogram(names[i], fault_times(i));
    kprintf("\n");
}
