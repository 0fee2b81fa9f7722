/* Size classes: the tables, derived from the rule in internal.h. */
#include "core/base/string.h"
#include "vm/heap/internal.h"
#include "vm/malloc_inline.h"

#define SMALL_OBJECTS 16u /* of a span, at least */
#define BATCH_MOST 31u
#define BATCH_BYTES ((size_t)64 << 10)

_Static_assert(__HEAP_SLICE_SHIFT == SLICE_SHIFT && __HEAP_INLINE_MAX == SMALL_MAX, "what the inlined windows know");

struct size_class size_classes[CLASSES];
uint16_t heap_small_classes[SMALL_MAX + 1], heap_medium_classes[CLASS_SIZE_MAX >> 4];
uint64_t heap_object_sizes[CLASSES];

/*
 * Above SMALL_MAX it is the spans that come first: few slices in which few objects leave nothing over. Of objects of
 * any size one that is alive keeps its span, and the fewer they are the sooner it is empty. Of the fractions of small
 * numbers those were chosen that make the sum of the rounding and of what is free in spans least, for sizes whose
 * logarithms are evenly distributed, while a block costs no more than a seventh of its size. Pages and their multiples
 * up to 32 KiB are among them.
 */
static const struct {
    uint8_t slices, objects;
} fits[] = {
    {2, 7}, {3, 10}, {1, 3},  {3, 8},  {2, 5},  {3, 7},  {4, 9},  {1, 2},  {4, 7},  {3, 5}, {2, 3},  {3, 4},
    {4, 5}, {5, 6},  {7, 8},  {1, 1},  {8, 7},  {5, 4},  {4, 3},  {3, 2},  {5, 3},  {7, 4}, {2, 1},  {9, 4},
    {5, 2}, {8, 3},  {3, 1},  {10, 3}, {7, 2},  {4, 1},  {9, 2},  {5, 1},  {11, 2}, {6, 1}, {13, 2}, {7, 1},
    {8, 1}, {9, 1},  {10, 1}, {11, 1}, {12, 1}, {13, 1}, {14, 1}, {15, 1}, {16, 1},
};

_Static_assert(CLASS_LAST == CLASSES_SMALL + sizeof(fits) / sizeof(fits[0]), "a class for each");

static uint32_t size_of_small(unsigned class)
{
    unsigned doubling = (class - 1) / 8;

    return doubling < 1 ? class * 16 : ((class - 1) % 8 + 9) << (doubling + 3);
}

/* Of small objects so many that a span is not made for a few; but not more than a sixteenth of it is to be waste. */
static unsigned slices_of_small(size_t size)
{
    unsigned slices = 1;

    while (slices * SLICE_SIZE / size < SMALL_OBJECTS || slices * SLICE_SIZE % size > slices * SLICE_SIZE / 16)
        slices++;
    return slices;
}

static unsigned slices_of_class(unsigned class)
{
    return class <= CLASSES_SMALL ? slices_of_small(size_of_small(class)) : fits[class - CLASSES_SMALL - 1].slices;
}

static uint32_t size_of_class(unsigned class)
{
    if (class <= CLASSES_SMALL)
        return size_of_small(class);
    unsigned slices = fits[class - CLASSES_SMALL - 1].slices, objects = fits[class - CLASSES_SMALL - 1].objects;

    return (uint32_t)(slices * SLICE_SIZE / objects) & ~15u;
}

void classes_make(void)
{
    for (unsigned class = 1; class <= CLASS_LAST; class ++) {
        size_t size = size_of_class(class), batch = size < BATCH_BYTES ? BATCH_BYTES / size : 1;
        unsigned slices = slices_of_class(class);

        size_classes[class] = (struct size_class){
            .size = (uint32_t)size,
            .reciprocal = (uint32_t)((((uint64_t)1 << 32) + size - 1) / size),
            .objects = (uint16_t)(slices * SLICE_SIZE / size),
            .slices = (uint8_t)slices,
            .batch = (uint8_t)(batch > BATCH_MOST ? BATCH_MOST : batch),
        };
        heap_object_sizes[class] = size;
        size_t below = class == 1 ? 0 : size_of_class(class - 1);

        for (size_t of = below + 1; of <= size && size <= SMALL_MAX; of++)
            heap_small_classes[of] = (uint16_t)CLASS_OFFSET(class);
        for (; below < size; below += 16)
            heap_medium_classes[below >> 4] = (uint16_t)CLASS_OFFSET(class);
    }
    heap_small_classes[0] = heap_small_classes[1];
}

unsigned class_of_aligned(size_t size, size_t align)
{
    if (size > CLASS_SIZE_MAX || align > SLICE_SIZE)
        return CLASS_NONE;
    for (unsigned class = class_of_size(size); class <= CLASS_LAST; class ++) {
        if (size_classes[class].size % align == 0)
            return class;
    }
    return CLASS_NONE;
}
