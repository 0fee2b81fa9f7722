/*
 * How many frames are free, and what was done. Where CPUs are several, what is stored is counted by each, which tells
 * it to all by batches.
 */
#include "vm/frames/internal.h"

PERCPU struct frame_counts frame_counts;
PERCPU uint64_t frames_zeroed;
size_t frames_least_free;

/* In a cache line of its own: what is next begins another one, and is only read. */
size_t frames_stored __attribute__((aligned(64)));
bool frames_trust_virgin __attribute__((aligned(64)));

#if QUIRE_THREADS

PERCPU ptrdiff_t stored_change;
PERCPU bool stored_told;

COLD void tell_stored(void)
{
    __atomic_fetch_add(&frames_stored, (size_t)this_cpu(stored_change), __ATOMIC_RELAXED);
    this_cpu(stored_change) = 0;
    this_cpu(stored_told) = true;
}

size_t frames_stored_at_least(void)
{
    size_t told = __atomic_load_n(&frames_stored, __ATOMIC_RELAXED), untold = cpus() * (size_t)store.batch;

    return told > untold ? told - untold : 0;
}

RACY size_t stored(void)
{
    size_t sum = __atomic_load_n(&frames_stored, __ATOMIC_RELAXED);

    for (unsigned cpu = 0; cpu < cpus(); cpu++)
        sum += (size_t)cpu_variable(cpu, stored_change);
    return (ptrdiff_t)sum < 0 ? 0 : sum; /* while CPUs were looked at, others took what these had put */
}

#endif

RACY size_t frames_free(void)
{
    size_t free = stored();

    for (unsigned cpu = 0; cpu < cpus(); cpu++)
        free += magazines_free(&cpu_variable(cpu, frame_magazines));
    return free;
}

COLD void note_least_free(void)
{
    size_t free = frames_free(), least = __atomic_load_n(&frames_least_free, __ATOMIC_RELAXED);

    if (!QUIRE_THREADS && free < least)
        frames_least_free = free;
    while (QUIRE_THREADS && free < least &&
           !__atomic_compare_exchange_n(&frames_least_free, &least, free, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

RACY static void add_counts(struct frame_stats *stats, unsigned cpu)
{
    const __typeof__(frame_counts) *own = &cpu_variable(cpu, frame_counts);
    const struct frame_magazines *magazines = &cpu_variable(cpu, frame_magazines);

    stats->taken += own->taken;
    stats->refills += own->refills;
    stats->spills += own->spills;
    stats->splits += own->splits;
    stats->cleaned += own->cleaned;
    stats->zeroed += cpu_variable(cpu, frames_zeroed);
    stats->clean +=
        magazines->of[PAGE_4K][FRAME_CLEAN].count + (size_t)magazines->of[PAGE_2M][FRAME_CLEAN].count * CHILD_FRAMES;
}

RACY static size_t whole_of_group(size_t child)
{
    return group_of(child)->whole;
}

COLD struct frame_stats frames_stats(void)
{
    note_least_free();
    struct frame_stats stats = {.metadata = store.metadata,
                                .least_free = __atomic_load_n(&frames_least_free, __ATOMIC_RELAXED),
                                .free = frames_free()};

    for (size_t child = 0; child < store.children; child += GROUP_CHILDREN) {
        stats.free_2m += whole_of_group(child);
        stats.free_1g += child % GIB_CHILDREN == 0 && gib_is_whole(child);
    }
    for (size_t i = 0; i < store.range_count; i++)
        stats.total += (store.ranges[i].end - store.ranges[i].start) >> VM_PAGE_SHIFT;
    stats.total -= store.metadata >> VM_PAGE_SHIFT;
    stats.highest = store.range_count ? store.ranges[store.range_count - 1].end : 0;
    for (unsigned cpu = 0; cpu < cpus(); cpu++)
        add_counts(&stats, cpu);
    return stats;
}
