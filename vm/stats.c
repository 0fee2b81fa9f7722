/*
 * What the space has done and holds, in numbers. Nothing here is counted on the way of a fault but the pages that are
 * mapped (vm/mmu.h), the bytes that are zeroed (vm/frames.h) and each segment's own; the rest is derived when it is
 * asked for, or counted where work is done anyway: refills, splits, flushes, releases.
 */
#include "core/cpu.h"
#include "core/spinlock.h"
#include "vm/frames.h"
#include "vm/heap/counts.h"
#include "vm/segments.h"

void space_subtract_windows(struct address_space *space, size_t *pages)
{
    for (const struct vm_segment *segment = vm_next(space, 0); segment;
         segment = vm_next(space, segment_end(segment))) {
        if (segment->driver != &vm_phys)
            continue;
        struct mmu_count count = segment_resident(space, segment);

        for (unsigned i = 0; i < PAGE_SIZES; i++)
            pages[i] -= count.pages[i];
    }
}

/*
 * The image was mapped at boot, by nobody who counts. All of it is in memory, as the file of a program is in a file
 * system in memory, and as there those pages are resident that were touched: it is the CPU that notes them. Pages of
 * the image only become more, so that the peak of all else and those of now are the peak, or hardly above it.
 */
static struct mmu_count image_pages(struct address_space *space)
{
    struct mmu_count sum = {.borrowed = 0};

    for (const struct vm_segment *segment = vm_next(space, IMAGE_BASE); segment;
         segment = vm_next(space, segment_end(segment))) {
        if (segment->driver != &vm_image)
            continue;
        struct mmu_count count = segment_resident(space, segment);

        for (unsigned i = 0; i < PAGE_SIZES; i++)
            sum.pages[i] += count.pages[i];
    }
    return sum;
}

static uint64_t image_bytes(struct address_space *space)
{
    struct mmu_count count = image_pages(space);
    uint64_t bytes = 0;

    for (unsigned i = 0; i < PAGE_SIZES; i++)
        bytes += (uint64_t)count.pages[i] << page_shift((enum page_size)i);
    return bytes;
}

uint64_t vm_resident(struct address_space *space)
{
    SPACE_HOLD_ALL(space);
    uint64_t bytes = image_bytes(space);

    for (struct address_space *domain = space; domain; domain = space_after(domain))
        bytes += space_resident(domain);
    return bytes;
}

uint64_t vm_resident_peak(struct address_space *space)
{
    SPACE_HOLD_ALL(space);
    uint64_t bytes = image_bytes(space);

    for (struct address_space *domain = space; domain; domain = space_after(domain)) {
        space_note_peak(domain);
        bytes += domain->peak;
    }
    return bytes;
}

/* The other drivers of the core serve nothing. */
static enum vm_fault_kind kind_of(const struct vm_segment_driver *driver)
{
    if (driver->properties & VM_DRIVER_OBJECTS)
        return VM_FAULT_FILE;
    return driver->properties & VM_DRIVER_DEMAND ? VM_FAULT_DEMAND : VM_FAULT_PROGRAM;
}

static void add_driver(struct vm_stats *stats, struct address_space *space, const struct vm_segment_driver *driver)
{
    struct vm_statistics of_driver = vm_driver_statistics(space, driver);

    for (unsigned i = 0; i < PAGE_SIZES; i++)
        stats->faults[kind_of(driver)][i] += of_driver.faults[i];
    stats->faults_refused += of_driver.faults_refused;
    stats->fallbacks += of_driver.fallbacks;
    stats->segments += of_driver.segments;
}

/* The image is not among the pages. */
static void to_bytes(struct address_space *space, const size_t *pages, uint64_t *bytes)
{
    struct mmu_count image = image_pages(space);

    for (unsigned i = 0; i < PAGE_SIZES; i++)
        bytes[i] = (uint64_t)(pages[i] + image.pages[i]) << page_shift((enum page_size)i);
}

void vm_resident_by_page(struct address_space *space, uint64_t bytes[PAGE_SIZES])
{
    SPACE_HOLD_ALL(space);
    size_t pages[PAGE_SIZES] = {0};

    for (struct address_space *domain = space; domain; domain = space_after(domain)) {
        for (unsigned i = 0; i < PAGE_SIZES; i++)
            pages[i] += mmu_pages(&domain->mmu, (enum page_size)i);
    }
    pages[PAGE_4K] += space->spans >> VM_PAGE_SHIFT;
    if (space->windows > 0)
        space_subtract_windows(space, pages);
    to_bytes(space, pages, bytes);
}

static void add_memory(struct vm_stats *stats, struct address_space *space)
{
    size_t peak[PAGE_SIZES] = {0};

    vm_resident_by_page(space, stats->resident);
    for (struct address_space *domain = space; domain; domain = space_after(domain)) {
        space_note_peak(domain);
        for (unsigned i = 0; i < PAGE_SIZES; i++)
            peak[i] += domain->peak_pages[i];
    }
    to_bytes(space, peak, stats->peak);
    stats->span_bytes = space->spans;
    stats->span_bytes_peak = space->spans > space->spans_peak ? space->spans : space->spans_peak;
    stats->windows = space->windows;
    for (const struct vm_segment *segment = vm_next(space, PHYSMAP_BASE); segment && segment_in_ram_map(segment);
         segment = vm_next(space, segment_end(segment)))
        stats->spans++;
}

static void add_frames(struct vm_stats *stats)
{
    struct frame_stats frames = frames_stats();

    stats->frames = (uint64_t)frames.total << VM_PAGE_SHIFT;
    stats->free = (uint64_t)frames.free << VM_PAGE_SHIFT;
    stats->least_free = (uint64_t)frames.least_free << VM_PAGE_SHIFT;
    stats->free_2m = (uint64_t)frames.free_2m << page_shift(PAGE_2M);
    stats->free_1g = (uint64_t)frames.free_1g << page_shift(PAGE_1G);
    stats->taken = frames.taken << VM_PAGE_SHIFT;
    stats->refills = frames.refills;
    stats->spills = frames.spills;
    stats->splits = frames.splits;
    stats->clean = (uint64_t)frames.clean << VM_PAGE_SHIFT;
    stats->cleaned = frames.cleaned;
    stats->zeroed = frames.zeroed;
    stats->trusts_virgin = frames_trust_virgin;
}

#if QUIRE_THREADS
PERCPU uint64_t heap_freed_elsewhere;

/* What the CPU may be counting at. */
RACY COLD struct vm_cpu_stats vm_cpu_stats(unsigned cpu)
{
    const struct mmu_shootdowns *asked = &cpu_variable(cpu, mmu_shootdowns);

    return (struct vm_cpu_stats){
        .contended = cpu_variable(cpu, spin_contended),
        .shootdowns = asked->calls,
        .shot_pages = asked->pages,
        .shot_cpus = asked->cpus,
        .freed_elsewhere = cpu_variable(cpu, heap_freed_elsewhere),
    };
}
#else
COLD struct vm_cpu_stats vm_cpu_stats(unsigned cpu)
{
    (void)cpu;
    return (struct vm_cpu_stats){0};
}
#endif

static void add_cpus(struct vm_stats *stats)
{
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++) {
        struct vm_cpu_stats of = vm_cpu_stats(cpu);

        stats->cpus.contended += of.contended;
        stats->cpus.shootdowns += of.shootdowns;
        stats->cpus.shot_pages += of.shot_pages;
        stats->cpus.shot_cpus += of.shot_cpus;
        stats->cpus.freed_elsewhere += of.freed_elsewhere;
    }
}

COLD struct vm_stats vm_stats(struct address_space *space)
{
    SPACE_HOLD_ALL(space);
    struct vm_stats stats = {
        .tables = (uint64_t)mmu_tables(&space->mmu) << VM_PAGE_SHIFT,
    };
    const struct vm_segment_driver *driver;

    for (struct address_space *domain = space; domain; domain = space_after(domain)) {
        stats.flushed_pages += domain->mmu.flushed_pages;
        stats.flushed_all += domain->mmu.flushed_all;
        stats.bookkeeping += (uint64_t)(domain->bookkeeping + domain->mmu.cached) << VM_PAGE_SHIFT;
    }
    if (QUIRE_THREADS)
        add_cpus(&stats);
    for (size_t i = 0; (driver = vm_driver_at(i)) != NULL; i++)
        add_driver(&stats, space, driver);
    add_memory(&stats, space);
    add_frames(&stats);
    return stats;
}
