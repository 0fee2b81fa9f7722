/*
 * What tests/bench measures of a run: of --stats that part which costs the run nothing, and in the record alone. Faults
 * enter as in images that observe nothing.
 */
#include "core/clock.h"
#include "core/cpu.h"
#include "core/observe.h"
#include "core/observe/json.h"
#include "core/observe/stats.h"
#include "core/panic.h"

static uint64_t start_ticks, start_ns;

static void start(const struct observation *observe)
{
    (void)observe;
    start_ns = clock_monotonic();
    start_ticks = cpu_cycles();
}

static void add_memory(struct json *line, struct address_space *space)
{
    struct vm_stats vm = vm_stats(space);
    uint64_t faults[PAGE_SIZES];

    for (unsigned i = 0; i < PAGE_SIZES; i++)
        faults[i] = stats_faults(&vm, (enum page_size)i);
    json_member_number(line, "faults", stats_sum(faults));
    json_member_number(line, "resident", stats_sum(vm.resident));
    json_member_number(line, "peak", stats_sum(vm.peak));
}

static void end(const struct observation *observe, int status)
{
    static struct json line;
    uint64_t ticks = observe_end_ticks - start_ticks, ns = observe_end_ns - start_ns;
    struct address_space *space = panic_reports > 0 ? panic_space() : vm_space();

    (void)observe;
    json_begin(&line);
    json_member_text(&line, "kind", "stats");
    json_member_text(&line, "name", quire_config.name);
    json_member_number(&line, "status", (uint64_t)status & 0xff);
    json_member_number(&line, "ticks", ticks);
    json_member_number(&line, "ns", ns);
    json_name(&line, "calibration");
    json_fraction(&line, cpu_time_instructions(STATS_CALIBRATION), STATS_CALIBRATION);
    if (space != NULL)
        add_memory(&line, space);
    json_end(&line);
}

const struct observer quire_observer_measure = {.name = "measure", .start = start, .end = end};
