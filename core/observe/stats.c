/* What --stats tells at the end of the program: counters of memory, faults and time. docs/observing.md explains them.
 */
#include "core/observe/stats.h"

#include "core/clock.h"
#include "core/cpu.h"
#include "core/observe.h"
#include "core/observe/cpus.h"
#include "core/observe/faults.h"
#include "core/observe/json.h"
#include "core/panic.h"
#include "vm/space.h"

/* Segments in the line; how many there are more is said. */
#define SEGMENTS_MAX 4096

static uint64_t start_ticks, start_ns;

static const char *const page_names[] = {"4k", "2m", "1g"};

static void start(const struct observation *observe)
{
    (void)observe;
    faults_watch();
    start_ns = clock_monotonic();
    start_ticks = cpu_cycles();
}

/* ---- the line of JSON ---- */

static void add_by_page(struct json *line, const char *name, const uint64_t *values)
{
    json_name(line, name);
    json_open(line, '{');
    for (unsigned i = 0; i < PAGE_SIZES; i++)
        json_member_number(line, page_names[i], values[i]);
    json_close(line, '}');
}

static void add_faults(struct json *line, const struct vm_stats *vm)
{
    static const char *const kinds[VM_FAULT_KINDS] = {"demand", "file", "program"};
    uint64_t pages[PAGE_SIZES];

    for (unsigned i = 0; i < PAGE_SIZES; i++)
        pages[i] = stats_faults(vm, (enum page_size)i);
    json_member_number(line, "faults", stats_sum(pages));
    add_by_page(line, "fault_pages", pages);
    json_name(line, "fault_kinds");
    json_open(line, '{');
    for (unsigned i = 0; i < VM_FAULT_KINDS; i++)
        add_by_page(line, kinds[i], vm->faults[i]);
    json_close(line, '}');
    json_member_number(line, "faults_refused", vm->faults_refused);
    json_member_number(line, "fallbacks", vm->fallbacks);
}

static void add_object(struct json *line, const char *name, const char *const *names, const uint64_t *values,
                       size_t count)
{
    json_name(line, name);
    json_open(line, '{');
    for (size_t i = 0; i < count; i++)
        json_member_number(line, names[i], values[i]);
    json_close(line, '}');
}

static void add_memory(struct json *line, const struct vm_stats *vm)
{
    static const char *const spans[] = {"number", "bytes", "peak"}, *const flushes[] = {"pages", "all"};
    static const char *const frames[] = {"total",   "free",  "least_free",      "free_2m",
                                         "free_1g", "taken", "refills",         "spills",
                                         "splits",  "clean", "cleaned_in_idle", "trust_virgin"};

    json_member_number(line, "peak", stats_sum(vm->peak));
    json_member_number(line, "resident", stats_sum(vm->resident));
    add_by_page(line, "peak_pages", vm->peak);
    add_by_page(line, "resident_pages", vm->resident);
    add_faults(line, vm);
    json_member_number(line, "zeroed", vm->zeroed);
    json_member_number(line, "windows", vm->windows);
    json_member_number(line, "tables", vm->tables);
    json_member_number(line, "bookkeeping", vm->bookkeeping);
    add_object(line, "flushes", flushes, (uint64_t[]){vm->flushed_pages, vm->flushed_all}, ARRAY_LENGTH(flushes));
    add_object(line, "spans", spans, (uint64_t[]){vm->spans, vm->span_bytes, vm->span_bytes_peak}, ARRAY_LENGTH(spans));
    add_object(line, "frames", frames,
               (uint64_t[]){vm->frames, vm->free, vm->least_free, vm->free_2m, vm->free_1g, vm->taken, vm->refills,
                            vm->spills, vm->splits, vm->clean, vm->cleaned, vm->trusts_virgin},
               ARRAY_LENGTH(frames));
}

static void add_statistics(struct json *line, const struct vm_statistics *statistics)
{
    uint64_t resident[PAGE_SIZES];

    for (unsigned i = 0; i < PAGE_SIZES; i++)
        resident[i] = (uint64_t)statistics->resident[i] << page_shift((enum page_size)i);
    add_by_page(line, "resident_pages", resident);
    add_by_page(line, "fault_pages", statistics->faults);
    json_member_number(line, "faults_refused", statistics->faults_refused);
    json_member_number(line, "fallbacks", statistics->fallbacks);
}

static void add_drivers(struct json *line, const struct run_stats *stats)
{
    json_name(line, "drivers");
    json_open(line, '[');
    for (size_t i = 0; i < stats->driver_count; i++) {
        json_open(line, '{');
        json_member_text(line, "name", stats->drivers[i].driver->name);
        json_member_number(line, "segments", stats->drivers[i].statistics.segments);
        add_statistics(line, &stats->drivers[i].statistics);
        json_close(line, '}');
    }
    json_close(line, ']');
}

static void add_segment(struct json *line, struct address_space *space, const struct vm_segment *segment)
{
    const struct vm_segment_driver *driver = vm_driver_of(segment);
    struct vm_statistics statistics = vm_segment_statistics(space, segment);
    vm_flags_t flags = vm_flags(segment);
    char text[160] = "";
    const char access[] = {flags & VM_READ ? 'r' : '-', flags & VM_WRITE ? 'w' : '-', flags & VM_EXEC ? 'x' : '-',
                           '\0'};

    if (driver->describe)
        driver->describe(segment, text, sizeof(text));
    json_open(line, '{');
    json_name(line, "start");
    json_address(line, vm_start(segment));
    json_member_number(line, "size", vm_size(segment));
    json_member_text(line, "access", access);
    json_member_text(line, "driver", driver->name);
    json_member_text(line, "text", text);
    add_statistics(line, &statistics);
    json_close(line, '}');
}

/* In address order. */
static void add_segments(struct json *line, struct address_space *space)
{
    SPACE_HOLD_ALL(space);
    uint64_t count = 0, left_out = 0;

    json_name(line, "segments");
    json_open(line, '[');
    for (struct vm_segment *segment = vm_next(space, 0); segment;
         segment = vm_next(space, vm_start(segment) + vm_size(segment))) {
        if (count < SEGMENTS_MAX)
            add_segment(line, space, segment);
        left_out += count++ >= SEGMENTS_MAX;
    }
    json_close(line, ']');
    json_member_number(line, "segments_left_out", left_out);
}

/* Pairs of the least number of ticks in a bucket and the number of faults, buckets with none left out. */
static void add_buckets(struct json *line, const struct fault_times *times)
{
    json_name(line, "buckets");
    json_open(line, '[');
    for (unsigned i = 0; i < FAULT_BUCKETS; i++) {
        if (times->buckets[i] == 0)
            continue;
        json_open(line, '[');
        json_number(line, fault_bucket_start(i));
        json_number(line, times->buckets[i]);
        json_close(line, ']');
    }
    json_close(line, ']');
}

static void add_fault_times(struct json *line)
{
    static const char *const names[] = {"count", "sum", "least", "most"};

    json_name(line, "fault_ticks");
    json_open(line, '{');
    for (unsigned outcome = 0; outcome < FAULT_OUTCOMES; outcome++) {
        const struct fault_times *times = fault_times(outcome);

        json_name(line, outcome == FAULT_REFUSED ? "refused" : page_names[outcome]);
        json_open(line, '{');
        json_member_number(line, names[0], times->count);
        json_member_number(line, names[1], times->sum);
        json_member_number(line, names[2], times->least);
        json_member_number(line, names[3], times->most);
        add_buckets(line, times);
        json_close(line, '}');
    }
    json_close(line, '}');
}

static void write_line(const struct run_stats *stats)
{
    static struct json line;

    json_begin(&line);
    json_member_text(&line, "kind", "stats");
    json_member_text(&line, "name", quire_config.name);
    json_member_number(&line, "status", (uint64_t)stats->status & 0xff);
    json_member_number(&line, "ticks", stats->ticks);
    json_member_number(&line, "ns", stats->ns);
    json_name(&line, "calibration");
    json_fraction(&line, stats->calibration, STATS_CALIBRATION);
    if (stats->space) {
        add_memory(&line, &stats->vm);
        cpus_add(&line);
        add_drivers(&line, stats);
        add_segments(&line, stats->space);
    }
    add_fault_times(&line);
    json_end(&line);
}

/* ---- the end ---- */

static void collect_memory(struct run_stats *stats)
{
    const struct vm_segment_driver *driver;

    stats->vm = vm_stats(stats->space);
    for (size_t i = 0; i < STATS_DRIVERS_MAX && (driver = vm_driver_at(i)) != NULL; i++)
        stats->drivers[stats->driver_count++] =
            (struct stats_driver){driver, vm_driver_statistics(stats->space, driver)};
}

static void end(const struct observation *observe, int status)
{
    static struct run_stats stats;

    (void)observe;
    stats.ticks = observe_end_ticks - start_ticks;
    stats.ns = observe_end_ns - start_ns;
    stats.status = status;
    stats.space = panic_reports > 0 ? panic_space() : vm_space();
    if (stats.space)
        collect_memory(&stats);
    stats.calibration = cpu_time_instructions(STATS_CALIBRATION);
    stats_print_table(&stats);
    write_line(&stats);
}

const struct observer quire_observer_stats = {.name = "stats", .start = start, .end = end};
