/* Size classes: the tables, derived from the rule in internal.h. */
#include "core/base/string.h"
#include "vm/heap/internal.h"
#include "vm/malloc_inline.h"

#define BATCH_MOST 31u
#define BATCH_BYTES ((size_t)64 << 10)

_Static_assert(__HEAP_SLICE_SHIFT == SLICE_SHIFT && __HEAP_INLINE_MAX == SMALL_MAX, "what the inlined windows know");

struct size_class size_classes[CLASSES];
uint16_t heap_small_classes[SMALL_MAX + 1], heap_medium_classes[CLASS_SIZE_MAX >> 7];
uint64_t heap_object_sizes[CLASSES];

static uint32_t size_of_class(unsigned class)
{
    unsigned doubling = (class - 1) / 8;

    return doubling < 1 ? class * 16 : ((class - 1) % 8 + 9) << (doubling + 3);
}

/* A span is as short as may be, so that it is soon empty; but not more than a sixteenth of it is to be waste. */
static unsigned slices_of_class(size_t size)
{
    unsigned least = size <= 1024 ? 16 : size <= 2048 ? 8 : size <= 4096 ? 4 : size <= 8192 ? 2 : 1, slices = 1;

    while (slices * SLICE_SIZE / size < least || slices * SLICE_SIZE % size > slices * SLICE_SIZE / 16)
        slices++;
    return slices;
}

void classes_make(void)
{
    for (unsigned class = 1; class <= CLASS_LAST; class ++) {
        size_t size = size_of_class(class), batch = size < BATCH_BYTES ? BATCH_BYTES / size : 1;
        unsigned slices = slices_of_class(size);

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
            heap_medium_classes[below >> 7] = (uint16_t)CLASS_OFFSET(class);
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
