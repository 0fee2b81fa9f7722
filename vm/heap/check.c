/* The heap checks itself, and reports what a program did to it. */
#include "core/base/assert.h"
#include "core/base/print.h"
#include "vm/heap/internal.h"

struct sums {
    size_t held, used, free_slices;
    size_t objects[CLASSES];
};

static unsigned count_bits(const struct span *span)
{
    unsigned count = 0;

    for (unsigned word = 0; word * 64 < span->objects; word++)
        count += (unsigned)__builtin_popcountll(span->free[word]);
    return count;
}

static const char *check_span(const struct span *span, const struct region *region)
{
    const struct size_class *kind = &size_classes[span->class];

    if (span->region != region)
        return "a span is another's";
    if (span->class == CLASS_NONE)
        return span->objects == 1 && span->used <= 1 ? NULL : "a medium block is not one object";
    if (span->size != kind->size || span->slices != kind->slices || span->objects != kind->objects)
        return "a span is not as its class says";
    if (span->fresh > span->objects || span->used == 0 || count_bits(span) + span->used != span->fresh)
        return "the objects of a span are not as many as are used and free";
    if (!span->link != (span->used == span->objects))
        return "a span is not in a list that has free objects, or the other way round";
    if (span->link && (span->used < span->low || span->used >= span->high ||
                       !(region->heap->quarters[span->class] >> span->quarter & 1)))
        return "a span is in the list of another fullness";
    return NULL;
}

/* Whether the entry of a CPU for a slice is as it should be. A CPU that comes to know the class says so before. */
static bool class_is(const struct span *span, unsigned cpu, uintptr_t slice, unsigned class)
{
    unsigned offset = __atomic_load_n(heap_class_of_slice(cpu, slice), __ATOMIC_ACQUIRE);

    if (cpu == heap_owner(span_heap(span)))
        return offset == CLASS_OFFSET(class);
    return offset == 0 || (offset == CLASS_OFFSET(class) && span_is_known(span, cpu));
}

static bool classes_are(const struct span *span, uintptr_t slice, unsigned class)
{
    for (unsigned cpu = 0; cpu < heap_cpus(); cpu++) {
        if (!class_is(span, cpu, slice, class))
            return false;
    }
    return true;
}

static const char *check_tables(const struct heap *heap, const struct span *span, uintptr_t start)
{
    unsigned slices = span->class ? span->slices : 1;

    for (unsigned i = 0; i < span->slices; i++) {
        if (*heap_span_of_slice(start + i * SLICE_SIZE) != (i < slices ? span : NULL))
            return "the table of spans is wrong";
        if (heap_is_program(heap) && !classes_are(span, start + i * SLICE_SIZE, i < slices ? span->class : CLASS_NONE))
            return "a table of classes is wrong";
    }
    return NULL;
}

static bool bit(const uint64_t *bits, unsigned slice)
{
    return bits[slice / 64] >> slice % 64 & 1;
}

/* What the region says of its bits. */
static const char *check_counts(const struct region *region)
{
    unsigned owned = 0, free = 0, run = 0, longest = 0;

    for (unsigned slice = 0; slice < REGION_SLICES; slice++) {
        owned += bit(region->owned, slice);
        free += bit(region->free, slice);
        run = bit(region->free, slice) ? run + 1 : 0;
        longest = run > longest ? run : longest;
        if (bit(region->free, slice) && !bit(region->owned, slice))
            return "a slice is free that is not the heap's";
    }
    if (owned != region->owned_slices || free != region->free_slices || !owned)
        return "a region does not own, or have free, as many slices as it says";
    if (longest > region->longest || !region->link != !region->longest)
        return "a region is in a list for shorter runs than it has";
    for (unsigned slice = 0; slice < region->lowest; slice++) {
        if (bit(region->free, slice))
            return "a slice is free below the lowest one";
    }
    return NULL;
}

static const char *check_region(const struct heap *heap, const struct region *region, struct sums *sums)
{
    const char *wrong = region->heap == heap ? check_counts(region) : "a region is another heap's";

    for (unsigned slice = 0; slice < REGION_SLICES && !wrong;) {
        uintptr_t start = region->start + slice * SLICE_SIZE;
        const struct span *span = bit(region->owned, slice) ? *heap_span_of_slice(start) : NULL;

        if (!bit(region->owned, slice) || bit(region->free, slice)) {
            wrong = span ? "a slice that is free is a span's" : NULL;
            slice++;
            continue;
        }
        if (!span || span->start != start)
            return "a slice is neither free nor a span's";
        wrong = check_span(span, region);
        if (!wrong)
            wrong = check_tables(heap, span, start);
        sums->used += span->class ? (size_t)span->used * span->size : span->slices * SLICE_SIZE;
        sums->objects[span->class] += span->used;
        slice += span->slices;
    }
    sums->held += region->owned_slices * SLICE_SIZE;
    sums->free_slices += region->free_slices;
    return wrong;
}

/* Of a heap whose lock is held: the objects of each class that were taken are added to *taken. */
static const char *validate(const struct heap *heap, size_t *taken)
{
    struct sums sums = {.held = heap->large};

    for (const struct region *region = NULL; (region = region_after(heap, region));) {
        const char *wrong = check_region(heap, region, &sums);

        if (wrong)
            return wrong;
    }
    if (sums.held != heap->held || sums.used != heap->used || sums.free_slices != heap->free_slices)
        return "the heap's sums are wrong";
    for (unsigned class = 1; class < CLASSES; class ++)
        *taken += sums.objects[class];
    return NULL;
}

/* What the running CPU's lists hold is taken from what was; all: nobody changes any heap of malloc's. */
static const char *validate_lists(size_t *taken, bool all)
{
    for (unsigned class = 1; class < CLASSES; class ++) {
        size_t count = lists_objects(class, *taken);

        if (count > *taken)
            return "the lists hold more objects than were taken";
        *taken -= count;
    }
    return lists_validate(all);
}

#if QUIRE_THREADS
struct validation {
    size_t taken;
    const char *wrong;
};

static void validate_own_lists(void *argument)
{
    struct validation *validation = argument;

    validation->wrong = validate_lists(&validation->taken, true);
}

/* The others' lists, by themselves: whoever is about to change his waits for his heap's lock. */
static const char *validate_all_lists(struct validation *validation)
{
    for (unsigned cpu = 0; cpu < cpu_count() && !validation->wrong; cpu++) {
        if (cpu == cpu_number())
            validate_own_lists(validation);
        else
            cpu_call(1ull << cpu, validate_own_lists, validation);
    }
    return validation->wrong;
}

/* All CPUs' heaps, which nobody changes meanwhile: the only place where one CPU waits for several of these locks. */
static const char *validate_program(void)
{
    struct validation validation = {0};

    for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
        spin_lock(&cpu_variable(cpu, program_heap).lock);
    for (unsigned cpu = 0; cpu < cpu_count() && !validation.wrong; cpu++)
        validation.wrong = validate(&cpu_variable(cpu, program_heap), &validation.taken);
    validate_all_lists(&validation);
    for (unsigned cpu = cpu_count(); cpu-- > 0;)
        spin_unlock(&cpu_variable(cpu, program_heap).lock);
    return validation.wrong;
}
#else
static const char *validate_program(void)
{
    size_t taken = 0;
    const char *wrong = validate(&program_heap, &taken);

    return wrong ? wrong : validate_lists(&taken, true);
}
#endif

const char *heap_validate(struct heap *heap)
{
    const char *wrong;

    if (!heap || heap == &program_heap)
        return validate_program();
    spin_lock(&heap->lock);
    wrong = validate(heap, &(size_t){0});
    spin_unlock(&heap->lock);
    return wrong;
}

/* ---- in debug builds, before each operation ---- */

#ifdef QUIRE_DEBUG
#define STEP_SMALL ((size_t)8 << 20) /* a heap that holds no more is checked */
#define STEPS_TO_ALL_SMALL 16u       /* in every so many steps, */
#define STEPS_TO_ALL 1024u           /* one that holds more in so many; and a region in each of the others */

/* The regions in turn. */
static const char *check_one(const struct heap *heap, unsigned number)
{
    const struct region *region = region_after(heap, NULL);
    struct sums sums = {.held = 0};

    for (number %= (unsigned)(heap->held / REGION_SIZE) + 1; region && number > 0; number--)
        region = region_after(heap, region);
    return region ? check_region(heap, region, &sums) : NULL;
}

/* Of this CPU's heap all but what is other CPUs'. */
static const char *check_all(const struct heap *heap)
{
    size_t taken = 0;
    const char *wrong = validate(heap, &taken);

    if (wrong || !heap_is_program(heap))
        return wrong;
    taken = cpu_count() > 1 ? heap_ram() / 16 : taken; /* lists hold others' objects, too */
    return validate_lists(&taken, cpu_count() == 1);
}

void heap_step(struct heap *heap, const char *operation)
{
    static PERCPU const char *before;
    static PERCPU unsigned steps;
    unsigned step = ++this_cpu(steps);

    spin_lock(&heap->lock);
    unsigned to_all = heap->held <= STEP_SMALL ? STEPS_TO_ALL_SMALL : STEPS_TO_ALL;
    const char *wrong = step % to_all == 0 ? check_all(heap) : check_one(heap, step);

    CHECK(!wrong, "the heap is damaged after %s: %s (seen by %s)", this_cpu(before) ? this_cpu(before) : "the start",
          wrong, operation);
    spin_unlock(&heap->lock);
    this_cpu(before) = operation;
}
#endif

_Noreturn void heap_misused(const char *function, uintptr_t address)
{
    struct span *span = NULL;

    if (heap_is_run(address))
        span = *heap_span_of_slice(address);
    if (span && span->class && (address - span->start) / span->size < span->objects) {
        uintptr_t start = address - (address - span->start) % span->size;

        if (start != address)
            panic("%s: %#lx is %lu bytes inside of a block of %u bytes", function, (unsigned long)address,
                  (unsigned long)(address - start), span->size);
        panic("%s: %#lx is a block of %u bytes that is free already", function, (unsigned long)address, span->size);
    }
    panic("%s: %#lx is not a block that is allocated now (freed twice, or never one)", function,
          (unsigned long)address);
}
