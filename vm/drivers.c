/* Segment drivers by name, and what each has done over the life of the image. */
#include "core/base/string.h"
#include "vm/frames.h"
#include "vm/segments.h"

static const struct vm_segment_driver *drivers[DRIVERS_MAX] = {
    [DRIVER_ANON] = &vm_anon, &vm_heap, &vm_phys, &vm_stack, &vm_image, &vm_guard};

/* Of each driver's segments that are gone; resident and segments stay 0. */
PERCPU struct vm_statistics driver_past[DRIVERS_MAX];

const struct vm_segment_driver *vm_driver(const char *name)
{
    for (size_t i = 0; i < DRIVERS_MAX && drivers[i]; i++) {
        if (strcmp(drivers[i]->name, name) == 0)
            return drivers[i];
    }
    return NULL;
}

const struct vm_segment_driver *vm_driver_at(size_t number)
{
    return number < DRIVERS_MAX ? drivers[number] : NULL;
}

error_t vm_driver_register(const struct vm_segment_driver *driver)
{
    size_t i = 0;

    if (!driver || !driver->name || !*driver->name || !driver->vm_fault || (!driver->vm_alloc && !driver->vm_alloc_at))
        return E_INVAL;
    SPACE_HOLD(current_space);
    if (vm_driver(driver->name))
        return E_EXIST;
    while (i < DRIVERS_MAX && drivers[i])
        i++;
    if (i == DRIVERS_MAX)
        return E_NOMEM;
    drivers[i] = driver;
    return E_SUCCESS;
}

static inline void add_faults(struct vm_statistics *sum, const struct vm_segment *segment)
{
    for (unsigned i = 0; i < PAGE_SIZES; i++)
        sum->faults[i] += segment->faults[i];
    sum->faults_refused += segment->faults_refused;
    sum->fallbacks += segment->fallbacks;
}

static void add_resident(struct vm_statistics *sum, struct mmu_count resident)
{
    for (unsigned i = 0; i < PAGE_SIZES; i++)
        sum->resident[i] += resident.pages[i];
}

void driver_remember_counts(struct vm_segment *segment)
{
    for (size_t i = 0; i < DRIVERS_MAX; i++) {
        if (drivers[i] == segment->driver) {
            add_faults(&this_cpu(driver_past)[i], segment);
            break;
        }
    }
    segment_clear_counts(segment);
}

struct vm_statistics vm_segment_statistics(struct address_space *space, const struct vm_segment *segment)
{
    SPACE_HOLD_AT(space, segment->start);
    struct vm_statistics statistics = {.segments = 1};

    add_faults(&statistics, segment);
    add_resident(&statistics, segment_resident(space, segment));
    return statistics;
}

#if QUIRE_THREADS
/* Of all CPUs, which may be counting. */
static struct vm_statistics sum_of_past(size_t driver)
{
    struct vm_statistics sum = {.segments = 0};

    for (unsigned cpu = 0; cpu < cpu_count(); cpu++) {
        const struct vm_statistics *past = &cpu_variable(cpu, driver_past)[driver];

        for (unsigned i = 0; i < PAGE_SIZES; i++)
            sum.faults[i] += past->faults[i];
        sum.faults_refused += past->faults_refused;
        sum.fallbacks += past->fallbacks;
    }
    return sum;
}
#else
static inline struct vm_statistics sum_of_past(size_t driver)
{
    return driver_past[driver];
}
#endif

struct vm_statistics vm_driver_statistics(struct address_space *space, const struct vm_segment_driver *driver)
{
    SPACE_HOLD_ALL(space);
    struct vm_statistics sum = {.segments = 0};

    for (size_t i = 0; i < DRIVERS_MAX; i++) {
        if (drivers[i] == driver)
            sum = sum_of_past(i);
    }
    for (const struct vm_segment *segment = vm_next(space, 0); segment;
         segment = vm_next(space, segment_end(segment))) {
        if (segment->driver != driver)
            continue;
        add_faults(&sum, segment);
        sum.segments++;
        add_resident(&sum, segment_resident(space, segment));
    }
    return sum;
}

static uint64_t past_faults(void)
{
    uint64_t faults = 0;

    for (size_t i = 0; i < DRIVERS_MAX && drivers[i]; i++) {
        struct vm_statistics past = sum_of_past(i);

        for (unsigned size = 0; size < PAGE_SIZES; size++)
            faults += past.faults[size];
    }
    return faults;
}

static uint64_t segment_faults(const struct vm_segment *segment)
{
    uint64_t faults = 0;

    for (unsigned size = 0; size < PAGE_SIZES; size++)
        faults += segment->faults[size];
    return faults;
}

uint64_t vm_faults(struct address_space *space)
{
    SPACE_HOLD_ALL(space);
    uint64_t faults = past_faults();

    for (const struct vm_segment *segment = vm_next(space, 0); segment; segment = vm_next(space, segment_end(segment)))
        faults += segment_faults(segment);
    return faults;
}

static void add_to_usage(void *context, const struct vm_segment *segment)
{
    struct vm_usage *usage = context;

    usage->segments++;
    usage->faults += segment_faults(segment);
}

struct vm_usage vm_usage(struct address_space *space)
{
    SPACE_HOLD_ALL(space);
    struct vm_usage usage = {.faults = past_faults(), .taken = frames_stats().taken << VM_PAGE_SHIFT};

    vm_resident_by_page(space, usage.resident);
    for (struct address_space *domain = space; domain; domain = space_after(domain))
        segments_visit(domain, add_to_usage, &usage);
    return usage;
}
