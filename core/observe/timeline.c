/*
 * The timeline (--timeline): the memory in use at regular times, with a first sample at the start of the program and a
 * last one at its end. A sample costs a look at each segment, and none at page tables (vm_usage). It waits until the
 * core is not in the middle of something: where the program called it directly it has interrupts on.
 */
#include "core/clock.h"
#include "core/cpu.h"
#include "core/observe.h"
#include "core/observe/cpus.h"
#include "core/observe/json.h"
#include "core/observe/ticker.h"
#include "core/panic.h"
#include "core/record.h"
#include "vm/space.h"

static struct ticker ticker;
static uint64_t start_ns, start_ticks;

static void write_sample(struct address_space *space, uint64_t ns, uint64_t ticks)
{
    struct vm_usage usage = vm_usage(space);
    struct json line;

    json_begin(&line);
    json_member_text(&line, "kind", "sample");
    json_member_number(&line, "ns", ns);
    json_member_number(&line, "ticks", ticks);
    json_name(&line, "resident");
    json_open(&line, '[');
    for (unsigned size = 0; size < PAGE_SIZES; size++)
        json_number(&line, usage.resident[size]);
    json_close(&line, ']');
    json_member_number(&line, "faults", usage.faults);
    json_member_number(&line, "frames", usage.taken);
    json_member_number(&line, "segments", usage.segments);
    cpus_add_sample(&line);
    json_end(&line);
}

static bool tick(struct trap_frame *program, uint64_t periods)
{
    unsigned long call;

    (void)periods;
    if (program == NULL && frame_interrupted(&call) != FRAME_IN_SLEEP)
        return false;
    write_sample(vm_space(), clock_monotonic() - start_ns, cpu_cycles() - start_ticks);
    return true;
}

/* Time counts from the end of the first sample on. */
static void start(const struct observation *observe)
{
    if (!record_is_open())
        return;
    write_sample(vm_space(), 0, 0);
    ticker_start(&ticker, observe->timeline, false, tick);
    start_ns = clock_monotonic();
    start_ticks = cpu_cycles();
}

static void end(const struct observation *observe, int status)
{
    struct address_space *space = panic_reports > 0 ? panic_space() : vm_space();

    (void)observe, (void)status;
    if (record_is_open() && space != NULL)
        write_sample(space, observe_end_ns - start_ns, observe_end_ticks - start_ticks);
}

const struct observer quire_observer_timeline = {.name = "timeline", .start = start, .end = end};
