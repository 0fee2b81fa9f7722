/*
 * Spans: runs of slices for objects of one class, or for one medium block.
 *
 * Which objects are free is a bit for each, out of line: a span has no bits to set up, as objects are taken from it one
 * after the other as long as there are some that never were. Spans with free objects are in four lists by how full they
 * are: the fuller ones are used first, so that the others become empty. A span that is empty goes back to its region at
 * once; that it is not made again soon is up to the program's lists of free objects.
 */
#include "core/base/assert.h"
#include "core/base/string.h"
#include "vm/heap/internal.h"

/* ---- structures and tables ---- */

static struct span *span_make(struct heap *heap, unsigned slices, unsigned align, unsigned objects)
{
    bool large = objects > 64;
    struct span *span = pool_get(heap, large ? &heap->large_structures : &heap->structures);

    if (!span)
        return NULL;
    span->heap = heap;
    span->start = slices ? slices_get(heap, slices, align, &span->region) : 0;
    if (slices && !span->start) {
        pool_put(heap, large ? &heap->large_structures : &heap->structures, span);
        return NULL;
    }
    span->link = NULL;
    span->objects = (uint16_t)objects;
    span->used = span->fresh = span->high = 0;
    span->low = (uint16_t)objects;
    span->class = CLASS_NONE;
    span->slices = (uint16_t)slices;
    span->large_structure = large;
#if QUIRE_THREADS
    span->known = 0;
#endif
    return span;
}

static void span_unmake(struct span *span)
{
    struct heap *heap = span_heap(span);

    if (span->slices)
        slices_put(span->region, span->start, span->slices);
    pool_put(heap, span->large_structure ? &heap->large_structures : &heap->structures, span);
}

/* Of objects every slice is in the tables, of a medium block the first. */
static inline unsigned slices_in_tables(const struct span *span)
{
    return span->class ? span->slices : 1;
}

/* In the table of a CPU; with threads checks may look at it. */
static inline void set_class(const struct span *span, unsigned slices, unsigned cpu, unsigned class)
{
    uint16_t *classes = heap_class_of_slice(cpu, span->start);

    for (unsigned i = 0; i < slices; i++) {
        if (QUIRE_THREADS)
            __atomic_store_n(&classes[i], (uint16_t)CLASS_OFFSET(class), __ATOMIC_RELEASE);
        else
            classes[i] = (uint16_t)CLASS_OFFSET(class);
    }
}

/* Enters the span into the tables. */
static void set_tables(const struct span *span, struct span *value, unsigned class)
{
    unsigned slices = slices_in_tables(span);
    struct span **spans = heap_span_of_slice(span->start);
    const struct heap *heap = span_heap(span);
    bool known = heap_is_program(heap); /* asked once, as the stores could change it for all that C knows */

    for (unsigned i = 0; i < slices; i++)
        spans[i] = value;
    if (known)
        set_class(span, slices, heap_owner(heap), class);
}

#if QUIRE_THREADS
void span_know(struct span *span)
{
    __atomic_fetch_or(&span->known, 1ull << cpu_number(), __ATOMIC_RELAXED);
    set_class(span, slices_in_tables(span), cpu_number(), span->class);
}

/* Nothing of the span is handed out, so no CPU looks at its table. */
static void forget_known(const struct span *span)
{
    for (uint64_t known = span->known; known; known &= known - 1)
        set_class(span, slices_in_tables(span), (unsigned)__builtin_ctzll(known), CLASS_NONE);
}
#else
static inline void forget_known(const struct span *span)
{
    (void)span;
}
#endif

/* ---- lists by fullness ---- */

static void list_remove(struct span *span)
{
    if (!span->link)
        return;
    *span->link = span->next;
    if (span->next)
        span->next->link = span->link;
    span->link = NULL;
}

/* Of one in a list of a class. */
static void quarter_remove(struct span *span)
{
    struct heap *heap = span->region->heap;

    if (!span->link)
        return;
    list_remove(span);
    if (!heap->spans[span->class][span->quarter])
        heap->quarters[span->class] &= (uint8_t) ~(1u << span->quarter);
}

static void list_insert(struct span *span, struct span **head)
{
    span->next = *head;
    span->link = head;
    if (span->next)
        span->next->link = &span->next;
    *head = span;
}

void span_place(struct span *span)
{
    quarter_remove(span);
    if (span->used == 0) {
        set_tables(span, NULL, CLASS_NONE);
        forget_known(span);
        span_unmake(span);
        return;
    }
    if (span->used == span->objects) {
        span->low = span->objects;
        return;
    }
    struct heap *heap = span->region->heap;
    unsigned quarter = span->used * QUARTERS / span->objects;
    unsigned low = (quarter * span->objects + QUARTERS - 1) / QUARTERS;

    span->low = (uint16_t)(low ? low : 1);
    span->high = (uint16_t)(((quarter + 1) * span->objects + QUARTERS - 1) / QUARTERS);
    span->quarter = (uint8_t)quarter;
    list_insert(span, &heap->spans[span->class][quarter]);
    heap->quarters[span->class] |= (uint8_t)(1u << quarter);
}

/* ---- objects ---- */

/* As if all objects had been handed out before, and freed. */
static void free_all(struct span *span)
{
    memset((void *)span->start, PATTERN_FREE, span->slices * SLICE_SIZE);
    for (unsigned object = 0; object < span->objects; object++)
        span->free[object / 64] |= 1ull << object % 64;
    span->fresh = span->objects;
}

/* One of the free ones at random; there is one. (xorshift64, Marsaglia 2003) */
static uintptr_t *take_at_random(struct span *span, uintptr_t *link)
{
    uint64_t *state = &span->region->heap->random;
    unsigned index;

    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    for (index = (unsigned)(*state >> 32) % span->objects; !(span->free[index / 64] >> index % 64 & 1);)
        index = (index + 1) % span->objects;
    span->free[index / 64] &= ~(1ull << index % 64);
    span->used++;
    *link = span->start + (uintptr_t)index * span->size;
    return (uintptr_t *)*link;
}

static struct span *span_new(struct heap *heap, unsigned class)
{
    const struct size_class *kind = &size_classes[class];
    struct span *span = span_make(heap, kind->slices, 1, kind->objects);

    if (!span)
        return NULL;
    span->class = (uint8_t) class;
    span->size = kind->size;
    span->reciprocal = kind->reciprocal;
    span->free[0] = 0;
    for (unsigned word = 1; word * 64 < kind->objects; word++)
        span->free[word] = 0;
    if (UNLIKELY(heap->random))
        free_all(span);
    set_tables(span, span, class);
    return span;
}

/* NULL: no memory; or, if some objects were taken, there would be more in a new span of several slices only. To have
 * some more is no reason for one: a small program would have two for each class that it uses. */
static struct span *span_with_free(struct heap *heap, unsigned class, bool taken)
{
    unsigned quarters = heap->quarters[class];

    if (LIKELY(quarters))
        return heap->spans[class][31 - __builtin_clz(quarters)];
    return taken && (class > CLASSES_SMALL || size_classes[class].slices > 1) ? NULL : span_new(heap, class);
}

/* From the bits, and then those that were never handed out: at most `count`, chained to the link; the last one's. */
static uintptr_t *take_from(struct span *span, uintptr_t *link, unsigned count)
{
    unsigned left = count;
    size_t size = span->size;

    if (span->used < span->fresh) {
        for (unsigned word = 0; word * 64 < span->fresh && left > 0; word++) {
            uint64_t bits = span->free[word];

            for (; bits && left > 0; bits &= bits - 1, left--) {
                *link = span->start + (word * 64 + (unsigned)__builtin_ctzll(bits)) * size;
                link = (uintptr_t *)*link;
            }
            span->free[word] = bits;
        }
    }
    unsigned fresh = span->objects - span->fresh, wanted = left < fresh ? left : fresh;
    uintptr_t object = span->start + span->fresh * size;

    span->fresh = (uint16_t)(span->fresh + wanted);
    span->used = (uint16_t)(span->used + count - left + wanted);
#pragma clang loop unroll_count(8)
    for (; wanted > 0; wanted--, object += size) {
        *link = object;
        link = (uintptr_t *)object;
    }
    return link;
}

uintptr_t *span_take(struct heap *heap, unsigned class, uintptr_t *link, unsigned count)
{
    const struct size_class *kind = &size_classes[class];
    unsigned taken = 0;

    if (!heap->quarters[class] && (class > CLASSES_SMALL || kind->slices > 1) && count > kind->objects)
        count = kind->objects;
    while (taken < count) {
        struct span *span = span_with_free(heap, class, taken > 0);

        if (!span)
            break;
        unsigned used = span->used;

        link = UNLIKELY(heap->random) ? take_at_random(span, link) : take_from(span, link, count - taken);
        taken += span->used - used;
        if (span->used >= span->high && (span->link || span->used < span->objects))
            span_place(span);
    }
    heap->used += taken * (size_t)kind->size;
    return link;
}

bool span_holds(const struct span *span, uintptr_t object)
{
    if (span->class == CLASS_NONE)
        return object == span->start && span->used;
    unsigned index = span_index(span, object);

    return index < span->fresh && span->start + (uintptr_t)index * span->size == object &&
           !(span->free[index / 64] >> index % 64 & 1);
}

/* ---- medium blocks ---- */

struct span *span_make_medium(struct heap *heap, size_t size, size_t align)
{
    unsigned slices = (unsigned)slices_of(size);
    struct span *span = span_make(heap, slices, align > SLICE_SIZE ? (unsigned)(align >> SLICE_SHIFT) : 1, 1);

    if (!span)
        return NULL;
    span->used = 1;
    set_tables(span, span, CLASS_NONE);
    heap->used += slices * SLICE_SIZE;
    return span;
}

void span_free_medium(struct span *span)
{
    span->region->heap->used -= span->slices * SLICE_SIZE;
    set_tables(span, NULL, CLASS_NONE);
    span_unmake(span);
}

bool span_resize_medium(struct span *span, size_t size)
{
    unsigned slices = (unsigned)slices_of(size);
    uintptr_t end = span->start + span->slices * SLICE_SIZE;

    if (slices > span->slices && !slices_extend(span->region, end, slices - span->slices))
        return false;
    if (slices < span->slices)
        slices_put(span->region, span->start + slices * SLICE_SIZE, span->slices - slices);
    span->region->heap->used += (size_t)slices * SLICE_SIZE - (size_t)span->slices * SLICE_SIZE;
    span->slices = (uint16_t)slices;
    return true;
}

/* ---- large blocks of heaps other than the program's ---- */

struct span *span_make_large(struct heap *heap, uintptr_t block)
{
    struct span *span = span_make(heap, 0, 1, 1);

    if (!span)
        return NULL;
    span->start = block;
    span->used = 1;
    set_tables(span, span, CLASS_NONE);
    list_insert(span, &heap->large_blocks);
    return span;
}

void span_free_large(struct span *span)
{
    list_remove(span);
    set_tables(span, NULL, CLASS_NONE);
    span_unmake(span);
}
