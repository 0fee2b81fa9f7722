/*
 * The hardened heap of the program (malloc = "hardened"): slower, and finds what goes wrong where it does.
 *
 * Every block goes to its span and comes from it directly, so that a block freed twice is seen at once. In a span it
 * lies at random. Behind what was asked for an object has bytes of a pattern up to its end, where its size is, mixed
 * with its address and a secret: free looks whether all of that is as it was. A free object is full of another pattern,
 * which malloc looks at: nobody has written to it since. A large block is a segment in a slot of its own, also where
 * the map of RAM would have room for it, and unmapped as soon as it is free: before it lies the headroom of another
 * slot, and behind it its own, so that what is written beyond either end faults.
 */
#include "core/base/assert.h"
#include "core/base/string.h"
#include "core/cpu.h"
#include "vm/heap/internal.h"

#define PATTERN_BEHIND 0xfd

static struct {
    struct heap *heap; /* once it is there, all the rest is */
    uint64_t secret;
} hardened;

static COLD bool make(void)
{
    struct heap *heap = heap_create(&vm_heap, 0, 0);

    if (IS_ERR(heap))
        return false;
    if (!cpu_random(&hardened.secret))
        hardened.secret = cpu_cycles() * 0x9e3779b97f4a7c15u;
    heap->random = hardened.secret | 1;
    heap->large_driver = &vm_anon;
    __atomic_store_n(&hardened.heap, heap, __ATOMIC_RELEASE);
    return true;
}

static COLD bool start(void)
{
    static struct spinlock_heap_start lock;
    bool made;

    spin_lock(&lock);
    made = hardened.heap || make();
    spin_unlock(&lock);
    return made;
}

static struct heap *the_heap(void)
{
    return __atomic_load_n(&hardened.heap, __ATOMIC_ACQUIRE);
}

/* Where an object says how large it was asked for: its last word. */
static uint64_t *mark_of(const struct span *span, uintptr_t object)
{
    return (uint64_t *)(object + span->size) - 1;
}

static uint64_t make_mark(uintptr_t object, size_t size)
{
    return size ^ hardened.secret ^ object * 0x9e3779b97f4a7c15u;
}

static bool is_full_of(const uint8_t *start, const uint8_t *end, uint8_t pattern)
{
    while (start < end && *start == pattern)
        start++;
    return start == end;
}

static void mark(const struct span *span, uintptr_t object, size_t size)
{
    uint64_t *end = mark_of(span, object);

    memset((char *)object + size, PATTERN_BEHIND, (uintptr_t)end - object - size);
    *end = make_mark(object, size);
}

/* The size that was asked for; ends the program if something was written behind it. */
static size_t checked_size(const struct span *span, uintptr_t object)
{
    const uint64_t *end = mark_of(span, object);
    size_t size = *end ^ make_mark(object, 0);

    CHECK(size <= span->size - sizeof(*end) &&
              is_full_of((const uint8_t *)object + size, (const uint8_t *)end, PATTERN_BEHIND),
          "heap: something was written behind the end of the block at %#lx, which is in an object of %u bytes",
          (unsigned long)object, span->size);
    return size;
}

static struct span *must_be_block(const char *function, uintptr_t block)
{
    struct heap *heap = the_heap();
    struct span *span = NULL;

    if (heap) {
        spin_lock(&heap->lock);
        span = heap_span_of(heap, block);
        spin_unlock(&heap->lock);
    }
    if (!span)
        heap_misused(function, block);
    return span;
}

static void check_free(const struct span *span, uintptr_t object)
{
    const uint8_t *bytes = (const uint8_t *)object;

    CHECK(is_full_of(bytes, bytes + span->size, PATTERN_FREE),
          "heap: the block at %#lx was written to after it was freed", (unsigned long)object);
}

void *heap_hardened_alloc(size_t align, size_t size)
{
    uintptr_t object;
    struct span *span;

    if (size > SIZE_MAX_ASKED || align > SIZE_MAX_ASKED || (!the_heap() && !start()))
        return NULL;
    /* With room for the mark; the class's objects are aligned as asked. */
    object =
        (uintptr_t)heap_alloc_aligned(hardened.heap, align, size <= CLASS_SIZE_MAX ? size + sizeof(uint64_t) : size);
    span = object ? must_be_block("malloc", object) : NULL;
    if (span && span->class) {
        check_free(span, object);
        mark(span, object, size);
    }
    return (void *)object;
}

void *heap_hardened_alloc_zeroed(size_t size)
{
    void *block;

    if (size > MEDIUM_MAX && (the_heap() || start()))
        return heap_calloc(hardened.heap, 1, size);
    block = heap_hardened_alloc(16, size);
    return block ? memset(block, 0, size) : NULL;
}

void heap_hardened_free(void *block)
{
    struct span *span;

    if (!block)
        return;
    span = must_be_block("free", (uintptr_t)block);
    if (span->class) {
        checked_size(span, (uintptr_t)block);
        memset(block, PATTERN_FREE, span->size);
    }
    heap_free(hardened.heap, block);
}

size_t heap_hardened_size(void *block)
{
    struct span *span = block ? must_be_block("malloc_usable_size", (uintptr_t)block) : NULL;

    if (!span)
        return 0;
    return span->class ? checked_size(span, (uintptr_t)block) : heap_span_size(span);
}

static bool resize(struct span *span, size_t size)
{
    bool fits;

    spin_lock(&hardened.heap->lock);
    fits = heap_span_resize(span, size);
    spin_unlock(&hardened.heap->lock);
    return fits;
}

/* A small block always moves, so that whoever keeps the old address is found out. */
void *heap_hardened_realloc(void *block, size_t size)
{
    struct span *span = must_be_block("realloc", (uintptr_t)block);
    size_t old = heap_hardened_size(block);
    void *moved;

    if (!span->class && size > CLASS_SIZE_MAX && resize(span, size))
        return block;
    moved = heap_hardened_alloc(16, size);
    if (!moved)
        return NULL;
    memcpy(moved, block, old < size ? old : size);
    heap_hardened_free(block);
    return moved;
}

struct heap *heap_hardened(void)
{
    return the_heap() || start() ? hardened.heap : NULL;
}
