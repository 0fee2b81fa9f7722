/*
 * The heap of the program: what malloc and its relatives do when their short paths (core/libc/malloc.S) do not suffice.
 *
 * For each class a CPU has a magazine (Bonwick, Adams, "Magazines and Vmem", USENIX 2001): 31 objects and a link, 256
 * bytes at a multiple of 256, of which heap_tops points to the first place that is empty. Because of that alignment it
 * is the carry of an addition to the low byte that says that a magazine is full, or, of a subtraction, empty. Large
 * objects have smaller magazines, which begin later; the place before is 0. A magazine that is full goes to the list of
 * its class, and one from there takes the place of one that is empty: an object costs next to nothing beyond malloc and
 * free.
 *
 * Objects in magazines keep their spans from becoming empty. So there is a limit to them: a part of RAM, or of the
 * heap; beyond it magazines are given back to the spans. And before the heap takes another region from the frame
 * allocator, as when the program frees objects of one size to allocate others of another, all are.
 *
 * heap_tops is changed here and in the windows of malloc.S only, which are started again when an interrupt is to run
 * something of the program (arch/x86_64/frame.c). Here signals wait, as everywhere in the core.
 */
#include "core/base/assert.h"
#include "core/base/string.h"
#include "core/percpu.h"
#include "vm/frames.h"
#include "vm/heap/internal.h"

#define PLACES 32u
#define MEDIUM_SLICES (MEDIUM_MAX >> SLICE_SHIFT)
#define LIMIT_OF_RAM 32u  /* objects in full magazines: at most this part of RAM, */
#define LIMIT_OF_HEAP 32u /* or this one of the heap */
#define WORTH_OF_HEAP                                                                                                  \
    64u /* what is less than this part of the heap, and the bytes below, is not given back before growth */
#define WORTH_LEAST ((size_t)128 << 10)
#define TURN_OF_HEAP 256u /* of objects beyond a slice so much at a time */
#define ZEROED_LARGE                                                                                                   \
    ((size_t)128 << 10)    /* from here on what is to be zero is a large block: the pages that are touched are */
#define DECAY 16384u       /* magazines filled by free: what a class did not need meanwhile goes back, */
#define DECAY_OF_LIMIT 16u /* down to this part of the limit */

struct magazine {
    uintptr_t objects[PLACES - 1];
    struct magazine *next;
};
_Static_assert(sizeof(struct magazine) == 256, "what the low byte of a pointer counts");

PERCPU uintptr_t *heap_tops[CLASSES];

struct heap program_heap;

static struct {
    bool started;
    struct pool pool;
    struct magazine *full[CLASSES];
    struct magazine *unused[CLASSES];       /* where the full ones begin that were so at the last decay */
    const uintptr_t *tops[CLASSES];         /* heap_tops as they were then */
    unsigned filled;                        /* since then */
    size_t cached, cached_least;            /* bytes of objects in them, and what is always allowed */
    unsigned turn;                          /* the class of objects beyond a slice that gives back next */
    struct span *medium[MEDIUM_SLICES + 1]; /* the last block freed of each number of slices, at most, */
    size_t medium_bytes;                    /* and together not more than the longest */
} magazines;

static struct magazine nowhere __attribute__((aligned(256))); /* full: for what is no object */

/* ---- magazines ---- */

static unsigned first_place(unsigned class)
{
    return PLACES - 1 - size_classes[class].cached;
}

static struct magazine *magazine_of(const uintptr_t *top)
{
    return (struct magazine *)((uintptr_t)top & ~(sizeof(struct magazine) - 1));
}

static inline struct magazine *magazine_make_of(void *structure, unsigned class)
{
    struct magazine *magazine = structure;

    if (UNLIKELY(first_place(class) > 0))
        magazine->objects[first_place(class) - 1] = 0;
    return magazine;
}

static struct magazine *magazine_make(unsigned class)
{
    void *structure = pool_get(&program_heap, &magazines.pool);

    return structure ? magazine_make_of(structure, class) : NULL;
}

static inline void give(uintptr_t object)
{
    struct span *span = *heap_span_of_slice(object);

    if (UNLIKELY(!span)) /* all of its slice is free */
        heap_misused("free", object);
    span_give(span, object);
}

static inline size_t bytes_of_full(unsigned class)
{
    return (size_t)size_classes[class].cached * size_classes[class].size;
}

/* Takes a full magazine from the list of its class. */
static inline struct magazine *full_take(unsigned class, struct magazine **link)
{
    struct magazine *magazine = *link;

    *link = magazine->next;
    if (magazines.unused[class] == magazine)
        magazines.unused[class] = magazine->next;
    magazines.cached -= bytes_of_full(class);
    return magazine;
}

/* The objects of a full magazine go to their spans. */
static void empty_full(unsigned class, struct magazine **link)
{
    struct magazine *magazine = full_take(class, link);

    for (unsigned place = first_place(class); place < PLACES - 1; place++)
        give(magazine->objects[place]);
    pool_put(&program_heap, &magazines.pool, magazine);
}

static void free_medium_kept(unsigned slices)
{
    struct span *span = magazines.medium[slices];

    if (!span)
        return;
    magazines.medium[slices] = NULL;
    magazines.medium_bytes -= slices * SLICE_SIZE;
    span_free_medium(span);
}

/* False: none was kept. */
static bool free_all_medium_kept(void)
{
    bool any = magazines.medium_bytes > 0;

    for (unsigned slices = 1; slices <= MEDIUM_SLICES && magazines.medium_bytes; slices++)
        free_medium_kept(slices);
    return any;
}

/* Of the classes up to this one. */
static void empty_all_full(unsigned last)
{
    for (unsigned class = 1; class <= last; class ++) {
        while (magazines.full[class])
            empty_full(class, &magazines.full[class]);
    }
}

/* Some bytes of classes beyond this one, which take turns. */
static void empty_some_full(unsigned last, size_t bytes)
{
    size_t least = magazines.cached > bytes ? magazines.cached - bytes : 0;

    for (unsigned left = CLASS_LAST - last; left && magazines.cached > least;) {
        if (magazines.turn <= last || magazines.turn > CLASS_LAST)
            magazines.turn = last + 1;
        if (magazines.full[magazines.turn])
            empty_full(magazines.turn, &magazines.full[magazines.turn]);
        else
            magazines.turn++, left--;
    }
}

/* The objects of the class's magazine that is not full, too. */
static void empty_top(unsigned class)
{
    uintptr_t **top = &this_cpu(heap_tops)[class];
    struct magazine *magazine = magazine_of(*top);

    while (magazine && *top > &magazine->objects[first_place(class)])
        give(*--*top);
}

/* The full magazines that the class never needed since the last time, the oldest first. */
static void empty_unused(unsigned class)
{
    struct magazine **link = &magazines.full[class];

    while (*link != magazines.unused[class])
        link = &(*link)->next;
    while (*link && magazines.cached > magazines.cached_least / DECAY_OF_LIMIT)
        empty_full(class, link);
    magazines.unused[class] = magazines.full[class];
}

/* What was not needed since the last time goes back: a few objects would keep many spans. */
static COLD void decay(void)
{
    magazines.filled = 0;
    free_all_medium_kept();
    for (unsigned class = 1; class < CLASSES; class ++) {
        empty_unused(class);
        if (magazines.tops[class] == this_cpu(heap_tops)[class])
            empty_top(class);
        magazines.tops[class] = this_cpu(heap_tops)[class];
    }
}

/*
 * Objects of up to a slice keep slices that hold others too, and all of them go. Larger ones are slices that the next
 * of their class would have to get again: where sizes are random and what is free is on its way from class to class,
 * giving back all for each growth is most of the work. They go by and by.
 */
bool magazines_give_back(struct heap *heap)
{
    bool any;

    heap_large_make_room(REGION_SIZE);
    if (heap != &program_heap)
        return false;
    any = free_all_medium_kept();
    if (magazines.cached < WORTH_LEAST || magazines.cached < heap->held / WORTH_OF_HEAP)
        return any;
    empty_all_full(class_of_size(SLICE_SIZE));
    empty_some_full(class_of_size(SLICE_SIZE), heap->held / TURN_OF_HEAP);
    return true;
}

size_t magazines_objects(unsigned class)
{
    const uintptr_t *top = this_cpu(heap_tops)[class];
    size_t count = top ? (size_t)(top - &magazine_of(top)->objects[first_place(class)]) : 0;

    for (const struct magazine *magazine = magazines.full[class]; magazine; magazine = magazine->next)
        count += size_classes[class].cached;
    return count;
}

static const char *magazine_validate(unsigned class, const struct magazine *magazine, const uintptr_t *end)
{
    const uintptr_t *object = &magazine->objects[first_place(class)];

    if (end < object || end > &magazine->objects[PLACES - 1])
        return "a magazine is filled beyond its ends";
    for (; object < end; object++) {
        const struct span *span = *heap_span_of_slice(*object);

        if (!span || span->class != class || !span_holds(span, *object))
            return "a magazine holds what is no object of its class, or is free";
    }
    return NULL;
}

COLD const char *magazines_validate(const struct heap *heap)
{
    const char *wrong = NULL;
    size_t cached = 0;

    for (unsigned class = 1; heap == &program_heap && class < CLASSES && !wrong; class ++) {
        const uintptr_t *top = this_cpu(heap_tops)[class];

        wrong = top ? magazine_validate(class, magazine_of(top), top) : NULL;
        for (const struct magazine *full = magazines.full[class]; full && !wrong; full = full->next) {
            wrong = magazine_validate(class, full, &full->objects[PLACES - 1]);
            cached += bytes_of_full(class);
        }
    }
    return wrong || heap != &program_heap || cached == magazines.cached ? wrong : "the bytes in magazines are wrong";
}

void heap_program_trim(void)
{
    heap_large_trim();
    free_all_medium_kept();
    empty_all_full(CLASS_LAST);
    for (unsigned class = 1; class < CLASSES; class ++)
        empty_top(class);
    regions_trim(&program_heap);
}

/* ---- start ---- */

static COLD bool start(void)
{
    if (!heap_tables_make())
        return false;
    classes_make();
    heap_init(&program_heap, &vm_heap, 0, SIZE_MAX_ASKED);
    magazines.pool.size = sizeof(struct magazine);
    magazines.cached_least = heap_ram() / LIMIT_OF_RAM;
    this_cpu(heap_tops)[CLASS_NONE] = (uintptr_t *)&nowhere.next;
    frames_reclaim = heap_program_trim;
    magazines.started = true;
    return true;
}

/* ---- objects ---- */

static inline bool has_object(unsigned class)
{
    const uintptr_t *top = this_cpu(heap_tops)[class];

    return top && top > &magazine_of(top)->objects[first_place(class)];
}

/* A full magazine takes the place of the empty one; 0: there is none. */
static inline uintptr_t object_get_full(unsigned class)
{
    struct magazine *full = magazines.full[class];
    uintptr_t **top = &this_cpu(heap_tops)[class];

    if (!full)
        return 0;
    pool_put(&program_heap, &magazines.pool, magazine_of(*top));
    full_take(class, &magazines.full[class]);
    *top = &full->objects[PLACES - 2];
    return **top;
}

/* Objects from the spans fill the magazine, which is empty; 0: no memory. */
static uintptr_t object_get_new(unsigned class)
{
    uintptr_t **top = &this_cpu(heap_tops)[class];
    struct magazine *magazine = *top ? magazine_of(*top) : magazine_make(class);
    unsigned count = size_classes[class].cached;

    if (!magazine)
        return 0;
    uintptr_t *first = &magazine->objects[first_place(class)];

    *top = first; /* as taking may give back what is in others */
    count = span_take(&program_heap, class, first, count);
    if (count == 0)
        return 0;
    *top = first + count - 1;
    return **top;
}

/* An object, from the magazine, one that is full, or else the spans; 0: no memory. */
static uintptr_t object_get(unsigned class)
{
    uintptr_t object;

    if (has_object(class))
        return *--this_cpu(heap_tops)[class];
    object = object_get_full(class);
    return object ? object : object_get_new(class);
}

/* There may be too much in full magazines: one of the class goes, not the latest if there is another. */
static __attribute__((noinline)) void object_put_over(unsigned class)
{
    struct magazine *full = magazines.full[class];

    if (full && magazines.cached > program_heap.held / LIMIT_OF_HEAP)
        empty_full(class, full->next ? &full->next : &magazines.full[class]);
}

/* The magazine of the class is full (there is one, as there is an object): an empty one takes its place. */
static inline void object_put_into(struct magazine *magazine, unsigned class, uintptr_t object)
{
    uintptr_t **top = &this_cpu(heap_tops)[class];
    struct magazine *full = magazine_of(*top);

    *top = &magazine->objects[first_place(class)];
    *(*top)++ = object;
    full->next = magazines.full[class];
    magazines.full[class] = full;
    magazines.cached += bytes_of_full(class);
    if (UNLIKELY(++magazines.filled >= DECAY))
        decay();
    if (UNLIKELY(magazines.cached > magazines.cached_least))
        object_put_over(class);
}

/* No empty magazine is at hand. */
static COLD __attribute__((noinline)) void object_put_last(unsigned class, uintptr_t object)
{
    struct magazine *magazine = magazine_make(class);

    if (magazine)
        object_put_into(magazine, class, object);
    else
        give(object);
}

static __attribute__((noinline)) void object_put(uintptr_t object, unsigned class)
{
    HEAP_STEP(&program_heap);
    if (LIKELY(magazines.pool.pages))
        object_put_into(magazine_make_of(pool_take(&magazines.pool), class), class, object);
    else
        object_put_last(class, object);
}

/* ---- blocks ---- */

static uintptr_t large_get(size_t size, bool zero)
{
    uintptr_t block = heap_large_get(&heap_large_driver, large_size(size), 0, zero);

    if (UNLIKELY(!block)) {
        heap_program_trim();
        block = heap_large_get(&heap_large_driver, large_size(size), 0, zero);
    }
    return block;
}

/* One that was kept; 0: there is none. */
static inline uintptr_t medium_get_kept(size_t slices)
{
    struct span *span = magazines.medium[slices];

    if (!span)
        return 0;
    magazines.medium[slices] = NULL;
    magazines.medium_bytes -= slices * SLICE_SIZE;
    span->used = 1;
    return span->start;
}

static uintptr_t medium_get(size_t size, size_t align)
{
    uintptr_t block = align <= SLICE_SIZE ? medium_get_kept(slices_of(size)) : 0;
    struct span *span = block ? NULL : span_make_medium(&program_heap, size, align);

    return span ? span->start : block;
}

/* The span of a block that was just freed is kept in the place of the one before of its length. */
static void medium_put(struct span *span)
{
    unsigned slices = span->slices;

    span->used = 0;
    if (slices > MEDIUM_SLICES) {
        span_free_medium(span);
        return;
    }
    free_medium_kept(slices);
    if (magazines.medium_bytes + slices * SLICE_SIZE > MEDIUM_MAX) {
        span_free_medium(span);
        return;
    }
    magazines.medium[slices] = span;
    magazines.medium_bytes += slices * SLICE_SIZE;
}

static inline uintptr_t span_block_get(size_t size)
{
    return size <= CLASS_SIZE_MAX ? object_get(class_of_size(size)) : medium_get(size, 1);
}

/* When there is no memory: with what magazines hold. */
static COLD __attribute__((noinline)) uintptr_t span_block_get_last(size_t size)
{
    heap_program_trim();
    return span_block_get(size);
}

/* For sizes up to SIZE_MAX_ASKED: in the map of RAM, or else as a large block, for which single pages do. Only those
 * are zeroed where they are to be. */
static uintptr_t block_get(size_t size, bool zero)
{
    uintptr_t block;

    if (size > MEDIUM_MAX)
        return large_get(size, zero);
    size += size == 0;
    block = span_block_get(size);
    if (UNLIKELY(!block))
        block = span_block_get_last(size);
    return LIKELY(block) ? block : large_get(size, zero);
}

static bool can_have(size_t size)
{
    return LIKELY(size <= SIZE_MAX_ASKED && (magazines.started || start()));
}

static __attribute__((noinline)) void *alloc_large(size_t size)
{
    return can_have(size) ? (void *)large_get(size, false) : NULL;
}

static __attribute__((noinline)) void *alloc_block(size_t size)
{
    return can_have(size) ? (void *)block_get(size, false) : NULL;
}

void *heap_program_alloc(size_t size)
{
    HEAP_STEP(&program_heap);
    if (size > MEDIUM_MAX)
        return alloc_large(size);
    uintptr_t kept = size > CLASS_SIZE_MAX ? medium_get_kept(slices_of(size)) : 0;

    return kept ? (void *)kept : alloc_block(size);
}

/* There is no class before the heap has started. A handler that ran behind the window may have filled the magazine. */
static __attribute__((noinline)) void *refill_from_spans(size_t size, unsigned class)
{
    HEAP_STEP(&program_heap);
    uintptr_t block = class != CLASS_NONE && !has_object(class) ? object_get_new(class) : 0;

    return LIKELY(block) ? (void *)block : heap_program_alloc(size);
}

void *heap_program_refill(size_t size, unsigned kind)
{
    unsigned class = CLASS_AT(kind);
    uintptr_t block = has_object(class) ? 0 : object_get_full(class);

    return LIKELY(block) ? (void *)block : refill_from_spans(size, class);
}

void *heap_program_alloc_zeroed(size_t size)
{
    uintptr_t block = 0;

    HEAP_STEP(&program_heap);
    if (!can_have(size))
        return NULL;
    if (size >= ZEROED_LARGE)
        block = large_get(size, true);
    if (block || size > MEDIUM_MAX)
        return (void *)block;
    block = block_get(size, true);
    return heap_is_run(block) ? memset((void *)block, 0, size) : (void *)block;
}

void *heap_program_alloc_aligned(size_t align, size_t size)
{
    unsigned class;
    uintptr_t block = 0;

    HEAP_STEP(&program_heap);
    if (align > SIZE_MAX_ASKED || !can_have(size))
        return NULL;
    if (align <= 16)
        return (void *)block_get(size, false);
    class = class_of_aligned(size ? size : 1, align);
    if (class)
        block = object_get(class);
    else if (size <= MEDIUM_MAX && align <= MEDIUM_MAX)
        block = medium_get(size, align);
    /* A slot is a power of two of at least the size, and aligned to it. */
    return (void *)(block ? block : large_get(size < align ? align : size, false));
}

void heap_program_free_block(void *memory)
{
    uintptr_t block = (uintptr_t)memory;
    struct span *span;

    HEAP_STEP(&program_heap);
    if (block == 0)
        return;
    if (!heap_is_run(block)) {
        if (!heap_large_put(&heap_large_driver, block))
            heap_misused("free", block);
        return;
    }
    span = *heap_span_of_slice(block);
    if (UNLIKELY(!span || span->start != block || span->class || !span->used || span_heap(span) != &program_heap))
        heap_misused("free", block);
    medium_put(span);
}

/* Neither needs a frame of this function's. */
void heap_program_free(void *memory, unsigned kind)
{
    if (LIKELY(kind != CLASS_OFFSET(CLASS_NONE)))
        object_put((uintptr_t)memory, CLASS_AT(kind));
    else
        heap_program_free_block(memory);
}

/* The size of a block; it ends the program with the name of the function if there is none. *span: NULL for large ones.
 */
static size_t size_of_block(const char *function, uintptr_t block, struct span **span)
{
    size_t size = 0;

    *span = NULL;
    if (!heap_is_run(block)) {
        size = heap_large_size(&heap_large_driver, block);
    } else if (magazines.started) {
        *span = heap_span_of(&program_heap, block);
        size = *span ? heap_span_size(*span) : 0;
    }
    if (UNLIKELY(!size))
        heap_misused(function, block);
    return size;
}

size_t heap_program_size(const void *memory)
{
    struct span *span;

    return memory ? size_of_block("malloc_usable_size", (uintptr_t)memory, &span) : 0;
}

/* ---- growing ---- */

/* A block that grows becomes a large one, which can do so without being copied again. */
static uintptr_t block_get_growing(size_t size)
{
    return size > CLASS_SIZE_MAX ? heap_large_get_growing(size) : 0;
}

/* Another block, into which the old one of that size is to be copied; 0: no memory. */
static uintptr_t block_get_other(size_t old, size_t size)
{
    uintptr_t block = 0;

    if (UNLIKELY(size > SIZE_MAX_ASKED))
        return 0;
    if (size > old)
        block = block_get_growing(size);
    return block ? block : block_get(size, false);
}

/* The block with the size, where it is or, without a byte being copied, elsewhere; 0: it has to be copied. */
static uintptr_t resize(uintptr_t block, struct span *span, size_t size)
{
    if (UNLIKELY(size > SIZE_MAX_ASKED))
        return 0;
    if (span)
        return heap_span_resize(span, size) ? block : 0;
    return size > CLASS_SIZE_MAX / 2 ? heap_large_realloc(block, size) : 0;
}

static void *realloc_other(void *memory, size_t size, heap_finish *finish)
{
    struct span *span;
    size_t old = size_of_block("realloc", (uintptr_t)memory, &span);
    uintptr_t moved = resize((uintptr_t)memory, span, size);

    return moved ? (void *)moved : finish((void *)block_get_other(old, size), memory, old < size ? old : size);
}

void *heap_program_realloc(void *memory, size_t size, heap_finish *finish)
{
    HEAP_STEP(&program_heap);
    return heap_large_fits(memory, size, finish, realloc_other);
}

struct heap *heap_program(void)
{
    return &program_heap;
}
