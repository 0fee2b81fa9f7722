/* The heap checks itself, and reports what a program did to it. */
#include "core/base/assert.h"
#include "core/base/print.h"
#include "vm/heap/internal.h"

struct sums {
    size_t held, used;
    unsigned empty;
    size_t objects[CLASSES];
};

static unsigned count_bits(const struct span *span)
{
    unsigned count = 0;

    for (unsigned word = 0; word * 64 < span->objects; word++)
        count += (unsigned)__builtin_popcountll(span->free[word]);
    return count;
}

static const char *check_span(const struct heap *heap, const struct span *span, const struct region *region)
{
    const struct size_class *kind = &size_classes[span->class];

    if (span->heap != heap || span->region != region)
        return "a span is another's";
    if (span->class == CLASS_NONE)
        return span->objects == 1 && span->used <= 1 ? NULL : "a medium block is not one object";
    if (span->size != kind->size || span->slices != kind->slices || span->objects != kind->objects)
        return "a span is not as its class says";
    if (span->fresh > span->objects || span->used == 0 || count_bits(span) + span->used != span->fresh)
        return "the objects of a span are not as many as are used and free";
    if (!span->link != (span->used == span->objects))
        return "a span is not in a list that has free objects, or the other way round";
    if (span->link && (span->used < span->low || span->used >= span->high))
        return "a span is in the list of another fullness";
    return NULL;
}

static const char *check_tables(const struct heap *heap, const struct span *span, uintptr_t start)
{
    unsigned slices = span->class ? span->slices : 1;

    for (unsigned i = 0; i < span->slices; i++) {
        if (*heap_span_of_slice(start + i * SLICE_SIZE) != (i < slices ? span : NULL))
            return "the table of spans is wrong";
        if (heap == &program_heap && *heap_class_of_slice(start + i * SLICE_SIZE) != (i < slices ? span->class : 0))
            return "the table of classes is wrong";
    }
    return NULL;
}

static const char *check_region(const struct heap *heap, const struct region *region, struct sums *sums)
{
    if (region->heap != heap || (region->free & ~region->owned) || !region->owned || !region->link != !region->free)
        return "a region is not as it says";
    for (unsigned slice = 0; slice < REGION_SLICES;) {
        uintptr_t start = region->start + slice * SLICE_SIZE;
        const struct span *span = *heap_span_of_slice(start);
        const char *wrong;

        if (!((region->owned & ~region->free) >> slice & 1)) {
            if (span && region->owned >> slice & 1) /* others may be a large block's, in the map of RAM */
                return "a slice that is free is a span's";
            slice++;
            continue;
        }
        if (!span || span->start != start)
            return "a slice is neither free nor a span's";
        wrong = check_span(heap, span, region);
        if (!wrong)
            wrong = check_tables(heap, span, start);
        if (wrong)
            return wrong;
        sums->used += span->class ? (size_t)span->used * span->size : span->slices * SLICE_SIZE;
        sums->objects[span->class] += span->used;
        slice += span->slices;
    }
    sums->held += (size_t)__builtin_popcountll(region->owned) << SLICE_SHIFT;
    sums->empty += region->whole && region->free == region->owned;
    return NULL;
}

const char *heap_validate(struct heap *asked)
{
    struct heap *heap = asked ? asked : &program_heap;
    struct sums sums = {.held = heap->large};

    for (const struct region *region = heap->all_regions; region; region = region->next_of_all) {
        const char *wrong = check_region(heap, region, &sums);

        if (wrong)
            return wrong;
    }
    if (sums.held != heap->held || sums.used != heap->used || sums.empty != heap->empty_regions)
        return "the heap's sums are wrong";
    for (unsigned class = 1; heap == &program_heap && class < CLASSES; class ++) {
        if (magazines_objects(class) > sums.objects[class])
            return "magazines hold more objects than were taken";
    }
    return magazines_validate(heap);
}

/* ---- in debug builds, before each operation ---- */

#ifdef QUIRE_DEBUG
#define STEP_SMALL ((size_t)8 << 20) /* a heap that holds no more is checked */
#define STEPS_TO_ALL_SMALL 16u       /* in every so many steps, */
#define STEPS_TO_ALL 1024u           /* one that holds more in so many; and a region in each of the others */

/* The regions in turn. */
static const char *check_one(const struct heap *heap, unsigned number)
{
    const struct region *region = heap->all_regions;
    struct sums sums = {.held = 0};

    for (number %= (unsigned)(heap->held / REGION_SIZE) + 1; region && number > 0; number--)
        region = region->next_of_all;
    return region ? check_region(heap, region, &sums) : NULL;
}

void heap_step(struct heap *heap, const char *operation)
{
    static const char *before = "the start";
    static unsigned steps;
    unsigned to_all = heap->held <= STEP_SMALL ? STEPS_TO_ALL_SMALL : STEPS_TO_ALL;
    const char *wrong = ++steps % to_all == 0 ? heap_validate(heap) : check_one(heap, steps);

    CHECK(!wrong, "the heap is damaged after %s: %s (seen by %s)", before, wrong, operation);
    before = operation;
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
