/*
 * Slabs (Bonwick, USENIX 1994) on single frames, in the permanent map of RAM. A slab is a frame: a header, then objects
 * of one size class. Objects are taken from the list of those that were given back, else from the part that was never
 * used, so a fresh slab needs no preparation. A slab's frame goes back with its last object. What is larger than half
 * a frame is a run of frames. The class follows from the size, which both calls are told.
 *
 * One lock for all slabs: most callers hold linux_lock, but faults on mapped files make nodes of their trees without
 * it. Frames are asked for and given back when the lock is not held.
 */
#include "core/allocate.h"

#include "core/base/assert.h"
#include "core/base/string.h"
#include "core/spinlock.h"
#include "machine.h"
#include "vm/frames.h"

struct slab {                     /* the start of a frame */
    struct slab *next, *previous; /* of the same class, with room */
    void *returned;               /* objects given back, linked through their first words */
    uint16_t fresh;               /* offset in the frame of what was never used */
    uint16_t used;                /* objects that are out */
    uint16_t object_size;         /* of the class, to catch a wrong size */
};

#define SLAB_START 48u
_Static_assert(sizeof(struct slab) <= SLAB_START && SLAB_START % 16 == 0, "objects are aligned to 16 bytes");

/* Bytes of an object: multiples of 16; the larger ones divide what a slab holds without much left over. */
static const uint16_t class_sizes[] = {16, 32, 48, 64, 96, 128, 192, 256, 336, 448, 576, 672, 1008, 1344, 2016};
static struct slab *slabs[ARRAY_LENGTH(class_sizes)]; /* with room */
static struct spinlock_slabs lock;

#define SMALL_MAX 2016u

static unsigned class_of(size_t size)
{
    unsigned class = 0;

    while (class_sizes[class] < size)
        class ++;
    return class;
}

static bool is_full(const struct slab *slab)
{
    return slab->returned == NULL && slab->fresh + slab->object_size > VM_PAGE_SIZE;
}

static void link_slab(struct slab *slab, struct slab **list)
{
    slab->previous = NULL;
    slab->next = *list;
    if (slab->next != NULL)
        slab->next->previous = slab;
    *list = slab;
}

static void unlink_slab(struct slab *slab, struct slab **list)
{
    if (slab->previous != NULL)
        slab->previous->next = slab->next;
    else
        *list = slab->next;
    if (slab->next != NULL)
        slab->next->previous = slab->previous;
}

/* An object of a slab that has room; NULL: there is none. */
static void *take_object(unsigned class)
{
    struct slab *slab = slabs[class];
    void *object;

    if (slab == NULL)
        return NULL;
    object = slab->returned;
    if (object != NULL) {
        slab->returned = *(void **)object;
    } else {
        object = (char *)slab + slab->fresh;
        slab->fresh += slab->object_size;
    }
    slab->used++;
    if (is_full(slab))
        unlink_slab(slab, &slabs[class]);
    return object;
}

/* False: no frame. */
static bool add_slab(unsigned class)
{
    paddr_t frame = frame_get(PAGE_4K);
    struct slab *slab;

    if (frame == FRAME_NONE)
        return false;
    slab = phys_to_virt(frame);
    *slab = (struct slab){.fresh = SLAB_START, .object_size = class_sizes[class]};
    spin_lock(&lock);
    link_slab(slab, &slabs[class]);
    spin_unlock(&lock);
    return true;
}

static void *allocate_small(size_t size)
{
    unsigned class = class_of(size);
    void *object;

    do {
        spin_lock(&lock);
        object = take_object(class);
        spin_unlock(&lock);
    } while (object == NULL && add_slab(class));
    return object != NULL ? memset(object, 0, class_sizes[class]) : NULL;
}

/* True: the slab has none left, and is in no list. */
static bool return_object(struct slab *slab, void *object, unsigned class)
{
    bool was_full = is_full(slab);

    if (--slab->used == 0) {
        if (!was_full)
            unlink_slab(slab, &slabs[class]);
        return true;
    }
    *(void **)object = slab->returned;
    slab->returned = object;
    if (was_full)
        link_slab(slab, &slabs[class]);
    return false;
}

static void release_small(void *object, size_t size)
{
    struct slab *slab = (struct slab *)align_down((uintptr_t)object, VM_PAGE_SIZE);
    unsigned class = class_of(size);
    bool is_empty;

    CHECK(slab->object_size == class_sizes[class] && slab->used > 0, "%p of %zu bytes was not allocated", object, size);
    spin_lock(&lock);
    is_empty = return_object(slab, object, class);
    spin_unlock(&lock);
    if (is_empty)
        frame_put(virt_to_phys(slab), PAGE_4K);
}

/* log2 of the frames. */
static unsigned run_order(size_t size)
{
    return log2_ceil((size + VM_PAGE_SIZE - 1) >> VM_PAGE_SHIFT);
}

void *core_allocate(size_t size)
{
    paddr_t run;
    void *memory;

    ASSERT(size > 0 && size <= ALLOCATE_MAX);
    if (size <= SMALL_MAX)
        return allocate_small(size);
    run = size <= VM_PAGE_SIZE ? frame_get(PAGE_4K) : frame_get_run(run_order(size));
    if (run == FRAME_NONE)
        return NULL;
    memory = phys_to_virt(run);
    frame_zero(memory, VM_PAGE_SIZE << run_order(size));
    return memory;
}

void core_release(void *memory, size_t size)
{
    if (memory == NULL)
        return;
    if (size <= SMALL_MAX)
        release_small(memory, size);
    else if (size <= VM_PAGE_SIZE)
        frame_put(virt_to_phys(memory), PAGE_4K);
    else
        frame_put_run(virt_to_phys(memory), run_order(size));
}
