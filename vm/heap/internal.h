/* What the files of the heap share; the theory is at the top of heap.c. */
#ifndef VM_HEAP_INTERNAL_H
#define VM_HEAP_INTERNAL_H

#include "core/cpu.h"
#include "core/percpu.h"
#include "core/spinlock.h"
#include "vm/heap.h"
#include "vm/heap/memory.h"
#include "vm/heap/remote.h"

/* ---- size classes: classes.c ---- */

/*
 * Classes 1 to CLASS_LAST: 16 bytes apart up to 256, from there on eight to each doubling up to SMALL_MAX, and then, up
 * to CLASS_SIZE_MAX, those of which a few fill a few slices. Larger blocks up to MEDIUM_MAX are runs of slices, and
 * what is larger still is a segment.
 */
#define CLASS_NONE 0u
#define CLASSES_SMALL 32u
#define CLASS_LAST 77u
#define CLASSES (CLASS_LAST + 1)
#define SMALL_MAX ((size_t)1 << 10) /* sizes of the shortest path */
#define CLASS_SIZE_MAX ((size_t)64 << 10)
#define MEDIUM_MAX ((size_t)1 << 20)
#define SIZE_MAX_ASKED ((size_t)PTRDIFF_MAX)

struct size_class {
    uint32_t size;       /* of an object */
    uint32_t reciprocal; /* (offset * reciprocal) >> 32 is the index of the object that begins at the offset */
    uint16_t objects;    /* of a span */
    uint8_t slices;      /* of a span */
    uint8_t batch;       /* objects that the program's list gets from spans at once */
};

extern struct size_class size_classes[CLASSES];

void classes_make(void);

/* CLASS_OFFSET of the class of a size, of which 0 is one, and of (size - 1) >> 4. */
extern uint16_t heap_small_classes[SMALL_MAX + 1], heap_medium_classes[CLASS_SIZE_MAX >> 4];
/* Of the objects of a class, for realloc; 0: of none. Found by the offset. */
extern uint64_t heap_object_sizes[CLASSES];

/* Of a size from 1 to CLASS_SIZE_MAX. */
static inline unsigned class_of_size(size_t size)
{
    return CLASS_AT(size <= SMALL_MAX ? heap_small_classes[size] : heap_medium_classes[(size - 1) >> 4]);
}

/* Of a medium block. */
static inline size_t slices_of(size_t size)
{
    return (size + SLICE_SIZE - 1) >> SLICE_SHIFT;
}

/* The smallest class of objects of at least the size that are all aligned; CLASS_NONE: there is none. */
unsigned class_of_aligned(size_t size, size_t align);

/* What free objects of the hardened heap are full of (hardened.c). */
#define PATTERN_FREE 0xfe

/* ---- regions and spans: regions.c, spans.c ---- */

#define REGION_SLICES 512u
#define REGION_WORDS (REGION_SLICES / 64)
#define REGION_LISTS 10u /* by log2 of the longest run of free slices */
#define REGION_BUCKETS 64u
#define QUARTERS 4u

/* REGION_SIZE bytes of addresses, aligned, of which the heap owns some slices. */
struct region {
    struct region *next, **link; /* in a list of those with free slices: their longest run is no longer than it says */
    struct region *next_of_bucket;
    struct heap *heap;
    uintptr_t start;
    uint16_t owned_slices, free_slices;
    uint16_t longest;                                 /* run of free slices, at most */
    uint16_t lowest;                                  /* no slice below it is free */
    uint64_t owned[REGION_WORDS], free[REGION_WORDS]; /* a bit for each slice */
};

/* A run of slices: objects of a class, or one medium block; of heaps other than the program's also a large block. */
struct span {
    struct span *next, **link; /* in the list of its class and fullness, if an object is free */
    union {
        struct region *region;
        struct heap *heap; /* of a large block */
    };
    uintptr_t start;
    uint32_t size, reciprocal; /* of an object, as its class says */
    uint16_t objects, used;    /* used: handed out, to whoever calls or to the program's lists */
    uint16_t fresh;            /* objects from here on were never handed out, and are not among the free bits */
    uint16_t low, high;        /* with fewer used ones, or so many, it belongs elsewhere */
    uint16_t slices;
    uint8_t class, quarter; /* quarter: its list, while it is in one */
    bool large_structure;
#if QUIRE_THREADS
    uint64_t known; /* a bit for each other CPU whose table has the class, too; atomic */
#endif
    uint64_t free[]; /* a bit for each object */
};

/* Bytes of a span with bits for so many objects: the two kinds. */
#define SPAN_STRUCTURE (sizeof(struct span) + 8)
#define SPAN_STRUCTURE_LARGE (sizeof(struct span) + 4 * 8)
#define SPAN_OBJECTS_MAX (4 * 64u)

/* Structures of one size, on pages of their own: those with free places, and those without. */
struct pool {
    uint32_t size;
    struct pool_page *pages, *full;
};

/* All of it, its regions, spans and structures are changed, and looked at, with the lock held only. Of a span what says
 * where it is, of what class and whose, does not change while an object of it is handed out. */
struct heap {
    struct spinlock_heap lock;
#if QUIRE_THREADS
    unsigned owner; /* 1 + the CPU, of malloc's; 0: of a heap that a program made */
#endif
    const struct vm_segment_driver *driver, *large_driver; /* the latter of blocks of more than a MiB */
    vm_flags_t pages;
    size_t limit;
    struct span *spans[CLASSES][QUARTERS]; /* with free objects, by how full they are */
    uint8_t quarters[CLASSES];             /* a bit for each that is not empty */
    struct region *regions[REGION_LISTS], *buckets[REGION_BUCKETS];
    unsigned lists; /* those with a region, a bit for each */
    size_t free_slices;
    struct pool structures, large_structures, region_structures;
    size_t held;  /* bytes of regions and large blocks */
    size_t large; /* of them in large blocks */
    size_t used;  /* bytes of spans that are handed out, medium blocks included */
    size_t structure_pages;
    uint64_t random;           /* the state of a generator: objects lie at random in their spans; 0: they do not */
    struct span *large_blocks; /* of heaps other than the program's: a structure without slices for each */
};

/* In debug builds the operations of a heap begin with a look at what those before have left (check.c): every so often
 * at all of it, else at a part, so that its cost is bounded. Ends with a report if anything is wrong. */
#ifdef QUIRE_DEBUG
void heap_step(struct heap *, const char *operation);
#define HEAP_STEP(heap) heap_step(heap, __func__)
#else
#define HEAP_STEP(heap) ((void)0)
#endif

/* At the start of a page of structures, in the first place. */
struct pool_page {
    struct pool_page *next, **link; /* of those with a free place, or of those without */
    void *free;                     /* list, through the first word */
    size_t used;
};

/* More of them; false: no memory. */
bool pool_grow(struct heap *, struct pool *);
void pool_destroy(struct heap *, struct pool *);
/* The page has no free place any more. */
void pool_page_full(struct pool *, struct pool_page *);
void pool_put(struct heap *, struct pool *, void *structure);

/* One is free. */
static inline void *pool_take(struct pool *pool)
{
    struct pool_page *page = pool->pages;
    void **structure = page->free;

    page->used++;
    page->free = *structure;
    if (UNLIKELY(!page->free))
        pool_page_full(pool, page);
    return structure;
}

/* NULL: no memory. */
static inline void *pool_get(struct heap *heap, struct pool *pool)
{
    return LIKELY(pool->pages) || pool_grow(heap, pool) ? pool_take(pool) : NULL;
}

/* The region after this one, in no order; the first after NULL. */
struct region *region_after(const struct heap *, const struct region *);
/* A run of slices aligned to `align` slices; 0: no memory, or over the heap's limit. */
uintptr_t slices_get(struct heap *, unsigned count, unsigned align, struct region **region);
void slices_put(struct region *, uintptr_t start, unsigned count);
/* More slices directly behind the run; false: they are not free. */
bool slices_extend(struct region *, uintptr_t end, unsigned count);
void regions_destroy(struct heap *);
/* Gives back all free slices. */
void regions_trim(struct heap *);
/* True if the address lies in a slice of the heap that is not free. */
bool regions_have(const struct heap *, uintptr_t address);

/* Takes at most `count` objects of a class from spans, the fuller ones first, and the lowest of each first, and chains
 * them: the address of the first goes to *link, that of each other one to the first word of the one before. What it
 * returns is where the address of the next would go: of the last object nothing is written; `link`: no memory. */
uintptr_t *span_take(struct heap *, unsigned class, uintptr_t *link, unsigned count);
/* Enters the class of the span, of which an object is handed out, into this CPU's table, if it is another one's. */
void span_know(struct span *);
/* Puts the span where it belongs by the number of its objects that are handed out; one that is empty goes. */
void span_place(struct span *);
struct span *span_make_medium(struct heap *, size_t size, size_t align);
void span_free_medium(struct span *);
bool span_resize_medium(struct span *, size_t size);
/* A structure for a large block, and its end. */
struct span *span_make_large(struct heap *, uintptr_t block);
void span_free_large(struct span *);
static inline struct heap *span_heap(const struct span *span)
{
    return span->slices ? span->region->heap : span->heap;
}

/* Where the object would begin that holds the address: its index; `objects` and more: there is none. */
static inline unsigned span_index(const struct span *span, uintptr_t address)
{
    return (unsigned)((address - span->start) * span->reciprocal >> 32);
}
/* True if the CPU's table may have the class of another one's span. */
static inline bool span_is_known(const struct span *span, unsigned cpu)
{
#if QUIRE_THREADS
    return __atomic_load_n(&span->known, __ATOMIC_RELAXED) >> cpu & 1;
#else
    (void)span, (void)cpu;
    return false;
#endif
}

/* True if an object that is handed out may begin there: as far as the span knows. */
bool span_holds(const struct span *, uintptr_t object);

/* Ends the program: the address that was given to the function is no block. */
_Noreturn void heap_misused(const char *function, uintptr_t address);

/* Back to the span, of a class, that holds the slice; what is none of its objects, or free, ends the program. */
static inline void span_give(struct span *span, uintptr_t object)
{
    unsigned index = span_index(span, object);
    uint64_t bit = 1ull << index % 64, *word = &span->free[index / 64];

    if (UNLIKELY(span->start + (uintptr_t)index * span->size != object || index >= span->fresh || (*word & bit)))
        heap_misused("free", object);
    *word |= bit;
    span->region->heap->used -= span->size;
    if (UNLIKELY(--span->used < span->low))
        span_place(span);
}

/* ---- blocks: heap.c ---- */

/* Makes the tables and classes, once. False: no memory. */
bool heap_start(void);
void heap_init(struct heap *, const struct vm_segment_driver *, vm_flags_t pages, size_t limit);
/* The span of a block that is handed out; NULL: none begins there. Not for large blocks of the program. */
struct span *heap_span_of(struct heap *, uintptr_t block);
/* The size that may be used. */
size_t heap_span_size(const struct span *);
/* Makes the block fit for the size where it is, if that does not waste half of it. */
bool heap_span_resize(struct span *, size_t size);
/* Bytes of a large block for the size. */
static inline size_t large_size(size_t size)
{
    return align_up(size, VM_PAGE_SIZE);
}

/* ---- the program's heap, one for each CPU: program.c ---- */

#define MEDIUM_SLICES ((unsigned)(MEDIUM_MAX >> SLICE_SHIFT))

/* Lengths of medium blocks, eight to each doubling. */
static inline unsigned medium_bin(unsigned slices)
{
    unsigned shift = 28u - (unsigned)__builtin_clz(slices | 8);

    return shift * 8 + (slices >> shift);
}

#define MEDIUM_BINS 49u /* medium_bin(MEDIUM_SLICES) + 1 */
_Static_assert(MEDIUM_SLICES == 256, "the last bin");

/* What each CPU has; in an image of one CPU it goes with the code that uses it. */
#if QUIRE_THREADS
#define HEAP_PERCPU PERCPU
#else
#define HEAP_PERCPU
#endif

/* What is handed out and free, with the heap's lock; lists of objects are linked through the first words. */
struct program {
    bool started;
    uintptr_t aside[CLASSES];
    unsigned filled;                  /* lists, since they were last put aside */
    unsigned turn;                    /* the class of objects beyond a slice that gives back next */
    struct span *last;                /* the medium block that was freed last, or NULL; */
    struct span *medium[MEDIUM_BINS]; /* some before, one of about each length, */
    uint64_t medium_bins;             /* a bit for each that is there, */
    size_t medium_slices;             /* and together not more than the longest */
#if QUIRE_THREADS
    size_t ask_from; /* bytes that the heap holds before it asks other CPUs again for what they have in lists */
#endif
};

extern struct heap program_heap;      /* HEAP_PERCPU */
extern struct program program;        /* HEAP_PERCPU */
extern uintptr_t heap_lists[CLASSES]; /* PERCPU: changed by its CPU only, by who has the lock, or in a window */

static inline bool heap_is_program(const struct heap *heap)
{
#if QUIRE_THREADS
    return heap->owner != 0;
#else
    return heap == &program_heap;
#endif
}

/* The CPU that has it; of one that a program made, any. */
static inline unsigned heap_owner(const struct heap *heap)
{
#if QUIRE_THREADS
    return heap->owner ? heap->owner - 1 : 0;
#else
    (void)heap;
    return 0;
#endif
}

/* CPUs that may have a heap. */
static inline unsigned heap_cpus(void)
{
    return QUIRE_THREADS ? cpu_count() : 1;
}

static inline uintptr_t *link_of(uintptr_t object)
{
    return (uintptr_t *)object;
}

/* The first object of the list; 0: there is none. */
static inline uintptr_t list_take(uintptr_t *list)
{
    uintptr_t object = *list;

    if (object)
        *list = *link_of(object);
    return object;
}

static inline void list_put(uintptr_t *list, uintptr_t object)
{
    *link_of(object) = *list;
    *list = object;
}

/* Before that: medium blocks that were freed last; false: there were none. */
bool kept_give_back(struct heap *);
/* Before the heap grows: objects in the lists go back to their spans if they are many; false: nothing did. */
bool lists_give_back(struct heap *);
/* Objects of the class in this CPU's lists, or more than `most`. */
size_t lists_objects(unsigned class, size_t most);
/* NULL, or what is wrong with this CPU's lists; all: of all heaps nothing changes, so that their spans can be asked. */
const char *lists_validate(bool all);

/* ---- what CPUs free of each other: cpus.c ---- */

extern struct remote heap_remote; /* PERCPU: what other CPUs freed of this one's heap */
extern uint64_t heap_to_send;     /* PERCPU: CPUs whose blocks were collected */
extern uint64_t heap_asked;       /* PERCPU: how often this CPU asked another for lists */

/* A block that was freed, of any CPU's heap, is to go there: heap_send does it. */
void heap_collect(const struct span *, uintptr_t block);
/* With any locks of heaps held, or none. */
void heap_send(void);
/* What is in heap_remote goes to this CPU's lists, as if it had freed it. With the lock of its heap, as is the next. */
void heap_take_remote(void);
/* Asks other CPUs for what they have in lists, if the heap has grown by enough since the last time; true: some of it
 * was this heap's. */
bool heap_ask(struct heap *);
/* All that CPUs have in lists and keep, and free slices, goes back. wait: with no lock held; else heaps may be passed
 * over whose CPU is at it. */
void heap_trim_all(bool wait);
/* The medium blocks that are kept go; false: there are none. */
bool program_free_kept(struct program *);

#endif
