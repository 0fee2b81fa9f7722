#include "core/observe.h"

#include "core/base/print.h"
#include "core/clock.h"
#include "core/cpu.h"
#include "core/init.h"
#include "core/record.h"

uint64_t observe_end_ticks, observe_end_ns;

static bool running;

static size_t observer_count(void)
{
    size_t count = 0;

    while (quire_config.observe->observers[count] != NULL)
        count++;
    return count;
}

void quire_observe_start(void)
{
    const struct observation *observe = quire_config.observe;

    if (core_command_line()->record && !record_open())
        kprintf("quire: quire.record=debugcon: there is no such device at port 0x502, so nothing is recorded\n");
    for (size_t i = observer_count(); i-- > 0;)
        if (observe->observers[i]->start != NULL)
            observe->observers[i]->start(observe);
    running = true;
}

void quire_observe_end(int status)
{
    const struct observation *observe = quire_config.observe;

    if (!running)
        return;
    running = false;
    observe_end_ticks = cpu_cycles();
    observe_end_ns = clock_monotonic();
    for (size_t i = 0; observe->observers[i] != NULL; i++)
        if (observe->observers[i]->end != NULL)
            observe->observers[i]->end(observe, status);
}
