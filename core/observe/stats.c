/* What --stats tells at the end of the program: counters of memory, faults and time. */
#include "core/clock.h"
#include "core/cpu.h"
#include "core/observe.h"
#include "core/observe/json.h"
#include "core/panic.h"
#include "vm/vm.h"

static uint64_t start_ticks, start_ns;

static void start(const struct observation *observe)
{
    (void)observe;
    start_ns = clock_monotonic();
    start_ticks = cpu_cycles();
}

static void end(const struct observation *observe, int status)
{
    uint64_t ticks = cpu_cycles() - start_ticks, ns = clock_monotonic() - start_ns;
    struct address_space *space = panic_reports > 0 ? panic_space() : vm_space();
    struct json line;

    (void)observe;
    json_begin(&line);
    json_member_text(&line, "kind", "stats");
    json_member_text(&line, "name", quire_config.name);
    json_member_number(&line, "status", (uint64_t)status);
    json_member_number(&line, "ticks", ticks);
    json_member_number(&line, "ns", ns);
    if (space != NULL)
        json_member_number(&line, "faults", vm_faults(space));
    json_end(&line);
}

const struct observer quire_observer_stats = {.name = "stats", .start = start, .end = end};
