/* What --stats has found out, for its two forms: the line of JSON (stats.c) and the table (table.c). */
#ifndef CORE_OBSERVE_STATS_H
#define CORE_OBSERVE_STATS_H

#include "vm/vm.h"

#define STATS_CALIBRATION 1000000u /* instructions */
#define STATS_DRIVERS_MAX 32       /* there cannot be more (vm/drivers.c) */

struct run_stats {
    int status;
    uint64_t ticks, ns;          /* of the program, from its first instruction on */
    uint64_t calibration;        /* ticks that STATS_CALIBRATION instructions took */
    struct address_space *space; /* NULL: what it holds can no longer be looked at, and the rest is empty */
    struct vm_stats vm;
    /* Taken at the same time: drivers of the program that describe their segments may fault. */
    size_t driver_count;
    struct stats_driver {
        const struct vm_segment_driver *driver;
        struct vm_statistics statistics;
    } drivers[STATS_DRIVERS_MAX];
};

static inline uint64_t stats_sum(const uint64_t *by_page)
{
    return by_page[PAGE_4K] + by_page[PAGE_2M] + by_page[PAGE_1G];
}

/* Of all kinds, by page. */
static inline uint64_t stats_faults(const struct vm_stats *stats, enum page_size size)
{
    uint64_t faults = 0;

    for (unsigned kind = 0; kind < VM_FAULT_KINDS; kind++)
        faults += stats->faults[kind][size];
    return faults;
}

/* Bytes in memory by the statistics of a segment or driver. */
static inline uint64_t stats_resident(const struct vm_statistics *statistics)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < PAGE_SIZES; i++)
        bytes += (uint64_t)statistics->resident[i] << page_shift((enum page_size)i);
    return bytes;
}

void stats_print_table(const struct run_stats *);

#endif
