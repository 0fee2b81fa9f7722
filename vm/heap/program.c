/*
 * The heap of the program: what malloc and its relatives do when their short paths (arch/x86_64/malloc.S) do not
 * suffice.
 *
 * For each class a CPU has a list of free objects, which are linked by their first words: malloc takes the first one,
 * free puts one in front. So what was freed last, and is in the caches still, is used first, and neither looks at how
 * many there are. A list that is empty gets some objects from the spans.
 *
 * Objects in lists keep their spans from becoming empty, and what one class has another cannot. So lists are short of
 * what is not used: from time to time all of a list is put aside. From there it comes back by and by, as it is needed;
 * what is still aside the next time was not, and goes to the spans. A class that would have to get a new span is lent
 * objects of a larger one that has many: how many of a class are alive goes up and down, and each would keep the most
 * it ever had. Before the heap takes more memory, as when a program frees objects of one size to allocate others, lists
 * go to the spans too, if that is worth it; and all do when memory is short.
 *
 * What is freed in a run and is no object that the table of classes has is in the list of CLASS_NONE: medium blocks,
 * and mistakes. It is looked at when something is allocated the next time that a list does not have.
 *
 * heap_lists is changed here and in the windows of malloc.S only, which are started again when an interrupt is to run
 * something of the program (arch/x86_64/frame.c). Here signals wait, as everywhere in the core.
 *
 * Several CPUs have a heap each: spans, regions and what is behind the lists are the CPU's that made them, and have its
 * lock, which as a rule nobody else takes. A CPU's table of classes has its own objects, so that free puts those of
 * other heaps into the list of CLASS_NONE, too. An object that shares a line of the cache with others goes back to its
 * owner: no line serves two CPUs' lists. Longer ones stay where they are freed, and so do their neighbours from then
 * on, as the class of their span is entered in the table. What goes to its owner, or leaves a list for its span, is
 * collected for a whole slow step and put there in one piece (remote.h), to be taken into the lists by the owner's next
 * slow step. If that does not come, and it has become much, whoever puts it there does the owner's work.
 *
 * A CPU that only frees gets nowhere where it could be told to stop. So before a heap grows, if it has by a part of
 * itself since the last time, it looks at what other CPUs' lists begin with (cpus.c). If that is an object of its own
 * it asks for the list; and again when it has grown to as much, or, if it got little, by a larger part. A CPU's lists
 * are taken by the CPU itself, asked to by an interrupt, with its heap's lock held by who asks: so it is not here, in
 * the midst of changing them, and a window is started again. CPUs that free what they allocated are not asked, and
 * nothing is written where they look; the list of CLASS_NONE may hold anybody's, and is asked for if it holds any. When
 * memory is short all CPUs' lists, what they keep and free slices go back.
 *
 * Order of locks: a heap that a program made (its driver may use malloc), a CPU's heap, those of vm/, what a CPU keeps
 * of large blocks. Nobody who has a CPU's heap waits for another's, but for checks of them all, in the order of CPUs;
 * who has one may try another, and ask other CPUs: they answer where they wait for a lock. Who is called with locks of
 * vm/ held (frames_reclaim) only tries.
 */
#include "core/base/assert.h"
#include "core/base/string.h"
#include "core/percpu.h"
#include "vm/frames.h"
#include "vm/heap/internal.h"

#define WORTH_OF_HEAP                                                                                                  \
    64u /* what is less than this part of the heap, and the bytes below, is not given back before growth */
#define WORTH_LEAST ((size_t)256 << 10)
#define TURN_OF_HEAP 1024u /* of objects beyond a slice so much at a time */
#define ZEROED_LARGE                                                                                                   \
    ((size_t)128 << 10) /* from here on what is to be zero is a large block: the pages that are touched are */
#define CLASS_SHORT 3u  /* the last one of objects that are shorter than a line of the cache: 48 bytes */
#define DECAY 512u      /* lists that were empty until what is not needed goes */
#define MEDIUM_MORE 4u  /* what a medium block that was kept may be too long by: this part, so of the next two bins */
#define LENDERS 4u      /* classes above that may lend: objects of up to one and a half times the size */

PERCPU uintptr_t heap_lists[CLASSES];

HEAP_PERCPU struct heap program_heap;
HEAP_PERCPU struct program program;

/* ---- the running CPU's heap ---- */

static inline void enter(void)
{
    spin_lock(&this_cpu(program_heap).lock);
}

static inline void leave(void)
{
    spin_unlock(&this_cpu(program_heap).lock);
    if (QUIRE_THREADS && UNLIKELY(this_cpu(heap_to_send)))
        heap_send();
}

/* True for what has to be sent to another CPU's heap. */
static inline bool is_others(const struct span *span)
{
    return QUIRE_THREADS && UNLIKELY(span->region->heap != &this_cpu(program_heap));
}

/* ---- lists ---- */

/* The list without its first `count` objects, which stay in it. */
static uintptr_t list_cut(uintptr_t *list, size_t count)
{
    while (*list && count-- > 0)
        list = link_of(*list);
    uintptr_t rest = *list;

    if (rest)
        *list = 0;
    return rest;
}

static inline void give(uintptr_t object)
{
    struct span *span = *heap_span_of_slice(object);

    if (UNLIKELY(!span)) /* all of its slice is free */
        heap_misused("free", object);
    if (is_others(span))
        heap_collect(span, object);
    else
        span_give(span, object);
}

/* The objects go to their spans, until that is so many bytes: how many it was. */
static size_t list_give(unsigned class, uintptr_t *list, size_t most)
{
    size_t bytes = 0;

    for (uintptr_t object; bytes < most && (object = list_take(list)); bytes += size_classes[class].size)
        give(object);
    return bytes;
}

static size_t list_give_all(unsigned class, uintptr_t *list)
{
    return list_give(class, list, SIZE_MAX);
}

/* True if it has more objects than are put into it at once. */
static bool list_is_long(unsigned class, uintptr_t list)
{
    for (unsigned left = size_classes[class].batch; list && left > 0; left--)
        list = *link_of(list);
    return list != 0;
}

/* Bytes of the list's objects, or `most` if it is more. */
static size_t list_bytes(unsigned class, uintptr_t list, size_t most)
{
    size_t bytes = 0;

    for (; list && bytes < most; list = *link_of(list))
        bytes += size_classes[class].size;
    return bytes;
}

/* ---- what was freed and is no object ---- */

/* The one of the bin, which is there, is kept no longer. */
static inline struct span *medium_take(struct program *of, unsigned bin)
{
    struct span *span = of->medium[bin];

    of->medium_bins &= ~(1ull << bin);
    of->medium_slices -= span->slices;
    return span;
}

bool program_free_kept(struct program *of)
{
    struct span *last = of->last;
    bool any = last || of->medium_bins;

    of->last = NULL;
    if (last)
        span_free_medium(last);
    while (of->medium_bins)
        span_free_medium(medium_take(of, (unsigned)__builtin_ctzll(of->medium_bins)));
    return any;
}

/* Of a bin the longer one stays, which does for more. Where all are too much the next larger goes, or else the
 * smallest: all have their turn. */
static __attribute__((noinline)) void medium_keep(struct program *of, struct span *span)
{
    unsigned slices = span->slices, bin = medium_bin(slices);

    if (of->medium_bins >> bin & 1) {
        struct span *other = of->medium[bin];

        if (other->slices > slices) {
            span_free_medium(span);
            return;
        }
        span_free_medium(medium_take(of, bin));
    }
    while (of->medium_slices + slices > MEDIUM_SLICES) {
        uint64_t larger = of->medium_bins & ~0ull << bin;

        span_free_medium(medium_take(of, (unsigned)__builtin_ctzll(larger ? larger : of->medium_bins)));
    }
    of->medium[bin] = span;
    of->medium_bins |= 1ull << bin;
    of->medium_slices += slices;
}

/* The span of a block that was just freed. */
static inline void medium_put(struct span *span)
{
    struct span *before = this_cpu(program).last;

    span->used = 0;
    if (UNLIKELY(span->slices > MEDIUM_SLICES)) {
        span_free_medium(span);
        return;
    }
    this_cpu(program).last = span;
    if (before)
        medium_keep(&this_cpu(program), before);
}

/* Where the map of RAM is the program's addresses, as natively, large blocks are among what is pending, too. */
static void large_put(uintptr_t block)
{
    if (!heap_large_put(&heap_large_driver, block))
        heap_misused("free", block);
}

/* An object that does not fill a line of the cache goes back to its owner, which has what else lies there, and so does
 * a medium block, as it is: the owner will see whether it is handed out. Others stay, and from now on free puts what
 * lies beside them into the list at once. An object may be of this CPU's heap: its thread came here after it had looked
 * for the class. */
static bool others_put(struct span *span, uintptr_t block)
{
    if (UNLIKELY(!span || !span->slices || (!span->class && span->start != block) || !heap_is_program(span_heap(span))))
        return false;
    if (!is_others(span)) {
        if (span->class)
            span_give(span, block);
        return span->class;
    }
    if (span->class <= CLASS_SHORT) {
        heap_collect(span, block);
    } else {
        span_know(span);
        list_put(&this_cpu(heap_lists)[span->class], block);
    }
    return true;
}

static __attribute__((noinline)) void free_pending_blocks(void)
{
    for (uintptr_t block; (block = list_take(&this_cpu(heap_lists)[CLASS_NONE]));) {
        struct span *span = *heap_span_of_slice(block);

        if (LIKELY(span && span->start == block && !span->class && span->used &&
                   span_heap(span) == &this_cpu(program_heap)))
            medium_put(span);
        else if (!QUIRE_THREADS || !others_put(span, block))
            large_put(block);
    }
}

/* What this CPU freed, and what others did of its heap. */
static inline void free_pending(void)
{
    if (UNLIKELY(this_cpu(heap_lists)[CLASS_NONE]))
        free_pending_blocks();
    if (QUIRE_THREADS && UNLIKELY(remote_has(&this_cpu(heap_remote))))
        heap_take_remote();
}

void heap_program_free_block(void *memory)
{
    uintptr_t block = (uintptr_t)memory;

    HEAP_STEP(&this_cpu(program_heap));
    if (block == 0)
        return;
    if (LIKELY(!heap_is_run(block))) {
        large_put(block);
        return;
    }
    enter();
    list_put(&this_cpu(heap_lists)[CLASS_NONE], block);
    free_pending_blocks();
    leave();
}

/* ---- what is not needed ---- */

/* What is aside since the last time goes to the spans; then all is put aside. */
static COLD void decay(void)
{
    this_cpu(program).filled = 0;
    program_free_kept(&this_cpu(program));
    for (unsigned class = 1; class < CLASSES; class ++) {
        list_give_all(class, &this_cpu(program).aside[class]);
        this_cpu(program).aside[class] = this_cpu(heap_lists)[class];
        this_cpu(heap_lists)[class] = 0;
    }
}

/* True if the lists, and what is aside, have so many bytes. */
static bool are_worth(size_t worth)
{
    size_t bytes = 0;

    for (unsigned class = 1; class < CLASSES && bytes < worth; class ++) {
        bytes += list_bytes(class, this_cpu(program).aside[class], worth - bytes);
        if (bytes < worth)
            bytes += list_bytes(class, this_cpu(heap_lists)[class], worth - bytes);
    }
    return bytes >= worth;
}

/* Of the classes up to this one. */
static void give_all(unsigned last)
{
    for (unsigned class = 1; class <= last; class ++) {
        list_give_all(class, &this_cpu(program).aside[class]);
        list_give_all(class, &this_cpu(heap_lists)[class]);
    }
}

/* Some bytes of classes beyond this one, which take turns. */
static void give_some(unsigned last, size_t bytes)
{
    size_t given = 0;

    for (unsigned left = CLASS_LAST - last; left && given < bytes;) {
        if (this_cpu(program).turn <= last || this_cpu(program).turn > CLASS_LAST)
            this_cpu(program).turn = last + 1;
        given += list_give(this_cpu(program).turn, &this_cpu(program).aside[this_cpu(program).turn], bytes - given);
        if (given < bytes)
            given += list_give(this_cpu(program).turn, &this_cpu(heap_lists)[this_cpu(program).turn], bytes - given);
        if (given < bytes)
            this_cpu(program).turn++, left--;
    }
}

bool kept_give_back(struct heap *heap)
{
    return heap_is_program(heap) && program_free_kept(&this_cpu(program));
}

/*
 * Objects of up to a slice keep slices that hold others too, and all of them go. Larger ones are slices that the next
 * of their class would have to get again: where sizes are random and what is free is on its way from class to class,
 * giving back all for each growth is most of the work. They go by and by.
 */
bool lists_give_back(struct heap *heap)
{
    size_t worth = heap->held / WORTH_OF_HEAP;
    unsigned slice = class_of_size(SLICE_SIZE);
    bool any;

    heap_large_make_room(REGION_SIZE);
    if (!heap_is_program(heap))
        return false;
    free_pending();
    any = kept_give_back(heap);
    if (are_worth(worth > WORTH_LEAST ? worth : WORTH_LEAST)) {
        give_all(slice);
        give_some(slice, heap->held / TURN_OF_HEAP);
        any = true;
    }
    return (QUIRE_THREADS && heap_ask(heap)) || any;
}

COLD void heap_program_trim(void)
{
    heap_large_trim();
#if QUIRE_THREADS
    heap_trim_all(true);
#else
    free_pending();
    program_free_kept(&this_cpu(program));
    give_all(CLASS_LAST);
    regions_trim(&this_cpu(program_heap));
#endif
}

/* For who wants frames, maybe with locks of vm/ held, for which a CPU may wait that has its heap's, or the memory. */
#if QUIRE_THREADS
static COLD void reclaim(void)
{
    if (!heap_memory_enter())
        return;
    heap_large_trim();
    heap_trim_all(false);
    heap_memory_leave();
}
#else
#define reclaim heap_program_trim
#endif

/* ---- checks ---- */

size_t lists_objects(unsigned class, size_t most)
{
    size_t count = 0;

    for (uintptr_t object = this_cpu(heap_lists)[class]; object && count <= most; object = *link_of(object))
        count++;
    for (uintptr_t object = this_cpu(program).aside[class]; object && count <= most; object = *link_of(object))
        count++;
    return count;
}

static const char *list_validate(unsigned class, uintptr_t object, bool all)
{
    for (; object; object = *link_of(object)) {
        const struct span *span = heap_is_run(object) ? *heap_span_of_slice(object) : NULL;

        if (!span || span->class < class || ((all || !is_others(span)) && !span_holds(span, object)))
            return "a list holds what is no object of its class or a larger one, or is free";
    }
    return NULL;
}

/* Of lists that end, as lists_objects has found. */
COLD const char *lists_validate(bool all)
{
    const char *wrong = NULL;

    for (unsigned class = 1; class < CLASSES && !wrong; class ++) {
        wrong = list_validate(class, this_cpu(heap_lists)[class], all);
        wrong = wrong ? wrong : list_validate(class, this_cpu(program).aside[class], all);
    }
    return wrong;
}

/* ---- start ---- */

static COLD bool start(void)
{
    if (!heap_start())
        return false;
    enter();
    heap_init(&this_cpu(program_heap), &vm_heap, 0, SIZE_MAX_ASKED);
#if QUIRE_THREADS
    this_cpu(program_heap).owner = 1 + cpu_number();
#endif
    __atomic_store_n(&frames_reclaim, reclaim, __ATOMIC_RELEASE);
    this_cpu(program).started = true;
    leave();
    return true;
}

/* ---- objects ---- */

/* True if the list is as it was filled: an object behind the other. */
static inline bool list_is_new(unsigned class, uintptr_t list)
{
    return *link_of(list) == list + size_classes[class].size;
}

/* The last class that may lend to a class. Where there are other CPUs, what is shorter than a line is only lent what
 * is, too, and so nobody else's. */
static inline unsigned last_lender(unsigned class)
{
    unsigned most = QUIRE_THREADS && class <= CLASS_SHORT ? CLASS_SHORT : CLASS_LAST;

    return class + LENDERS < most ? class + LENDERS : most;
}

/* Half a batch of the first larger class whose list is long; 0: there is none. Where one is new as yet, the heap grows,
 * and there is nothing to look for. */
static uintptr_t objects_lent(unsigned class)
{
    unsigned last = last_lender(class);

    for (unsigned lender = class + 1; lender <= last; lender++) {
        uintptr_t *list = &this_cpu(heap_lists)[lender], first = *list;

        if (first && list_is_new(lender, first))
            break;
        if (first && list_is_long(lender, first)) {
            *list = list_cut(&first, (size_classes[lender].batch + 1u) / 2);
            return first;
        }
    }
    return 0;
}

/* Some objects from the spans; 0: no memory. */
static uintptr_t objects_new(unsigned class)
{
    uintptr_t first, *end = span_take(&this_cpu(program_heap), class, &first, size_classes[class].batch);

    if (UNLIKELY(end == &first))
        return 0;
    *end = QUIRE_THREADS ? this_cpu(heap_lists)[class] : 0; /* what others freed may have come while the heap grew */
    return first;
}

/* Some objects for the list, which is empty; the first of them; 0: no memory. */
static uintptr_t object_get_new(unsigned class)
{
    uintptr_t first;

    free_pending();
    if (UNLIKELY(++this_cpu(program).filled >= DECAY))
        decay();
    if (QUIRE_THREADS && (first = list_take(&this_cpu(heap_lists)[class]))) /* others freed it */
        return first;
    first = this_cpu(program).aside[class];
    if (first)
        this_cpu(program).aside[class] = list_cut(&first, size_classes[class].batch);
    else if (!this_cpu(program_heap).quarters[class])
        first = objects_lent(class);
    if (!first)
        first = objects_new(class);
    if (first)
        this_cpu(heap_lists)[class] = *link_of(first);
    return first;
}

/* An object, from the list, or else for it; 0: no memory. */
static uintptr_t object_get(unsigned class)
{
    uintptr_t object = list_take(&this_cpu(heap_lists)[class]);

    return object ? object : object_get_new(class);
}

/* The same, aligned, of a class whose own objects are; one that was lent may not be. */
static uintptr_t object_get_aligned(unsigned class, size_t align)
{
    uintptr_t object = object_get(class);

    if (LIKELY((object & (align - 1)) == 0))
        return object;
    list_put(&this_cpu(heap_lists)[class], object);
    object = 0;
    span_take(&this_cpu(program_heap), class, &object, 1);
    return object;
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

/* Not shorter, and little longer. */
static inline bool medium_serves(const struct span *span, unsigned slices)
{
    return span->slices - slices <= slices / MEDIUM_MORE;
}

/* One of the bins; NULL: there is none. */
static __attribute__((noinline)) struct span *medium_find(struct program *of, unsigned slices)
{
    for (uint64_t bins = of->medium_bins & 7ull << medium_bin(slices); bins; bins &= bins - 1) {
        unsigned bin = (unsigned)__builtin_ctzll(bins);

        if (medium_serves(of->medium[bin], slices))
            return medium_take(of, bin);
    }
    return NULL;
}

/* One that was kept; 0: there is none. */
static inline uintptr_t medium_get_kept(unsigned slices)
{
    struct span *span = this_cpu(program).last;

    if (LIKELY(span && medium_serves(span, slices)))
        this_cpu(program).last = NULL;
    else if (!(span = medium_find(&this_cpu(program), slices)))
        return 0;
    span->used = 1;
    return span->start;
}

static uintptr_t medium_get(size_t size, size_t align)
{
    uintptr_t block = align <= SLICE_SIZE ? medium_get_kept((unsigned)slices_of(size)) : 0;
    struct span *span = block ? NULL : span_make_medium(&this_cpu(program_heap), size, align);

    return span ? span->start : block;
}

static inline uintptr_t span_block_get(size_t size)
{
    uintptr_t block;

    enter();
    block = size <= CLASS_SIZE_MAX ? object_get(class_of_size(size)) : medium_get(size, 1);
    leave();
    return block;
}

/* When there is no memory: with what lists hold. */
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
    return LIKELY(size <= SIZE_MAX_ASKED && (this_cpu(program).started || start()));
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
    HEAP_STEP(&this_cpu(program_heap));
    enter();
    free_pending();
    if (size > MEDIUM_MAX) {
        leave();
        return alloc_large(size);
    }
    uintptr_t kept = size > CLASS_SIZE_MAX ? medium_get_kept((unsigned)slices_of(size)) : 0;

    leave();
    return kept ? (void *)kept : alloc_block(size);
}

/* There is no class before the heap has started, the first of all CPUs'. A handler that ran behind the window may have
 * filled the list. */
void *heap_program_refill(size_t size, unsigned kind)
{
    bool started = LIKELY(kind != CLASS_OFFSET(CLASS_NONE)) && (!QUIRE_THREADS || this_cpu(program).started);

    enter();
    uintptr_t block = LIKELY(started) ? object_get(CLASS_AT(kind)) : 0;

    leave();
    HEAP_STEP(&this_cpu(program_heap));
    return LIKELY(block) ? (void *)block : heap_program_alloc(size);
}

void *heap_program_alloc_zeroed(size_t size)
{
    uintptr_t block = 0;

    HEAP_STEP(&this_cpu(program_heap));
    enter();
    free_pending();
    leave();
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

    HEAP_STEP(&this_cpu(program_heap));
    enter();
    free_pending();
    leave();
    if (align > SIZE_MAX_ASKED || !can_have(size))
        return NULL;
    if (align <= 16)
        return (void *)block_get(size, false);
    class = class_of_aligned(size ? size : 1, align);
    enter();
    if (class)
        block = object_get_aligned(class, align);
    else if (size <= MEDIUM_MAX && align <= MEDIUM_MAX)
        block = medium_get(size, align);
    leave();
    /* A slot is a power of two of at least the size, and aligned to it. */
    return (void *)(block ? block : large_get(size < align ? align : size, false));
}

/* Whose block it may be, of malloc's heaps: what says it does not change while it is one. NULL: nobody's. */
static inline struct heap *heap_of_block(uintptr_t block)
{
#if QUIRE_THREADS
    const struct span *span = *heap_span_of_slice(block);
    struct heap *heap = span ? span_heap(span) : NULL;

    return heap && heap_is_program(heap) ? heap : NULL;
#else
    (void)block;
    return &this_cpu(program_heap);
#endif
}

/* The span of a block in a run, and its size; 0: there is none. */
static inline size_t size_in_span(uintptr_t block, struct span **span)
{
    struct heap *heap = heap_of_block(block);
    size_t size;

    if (QUIRE_THREADS && !heap)
        return 0;
    spin_lock(&heap->lock);
    *span = heap_span_of(heap, block);
    size = *span ? heap_span_size(*span) : 0;
    spin_unlock(&heap->lock);
    return size;
}

static inline bool is_any_started(void)
{
    return __atomic_load_n(&frames_reclaim, __ATOMIC_ACQUIRE) != NULL;
}

/* The size of a block; it ends the program with the name of the function if there is none. *span: NULL for large ones.
 */
static size_t size_of_block(const char *function, uintptr_t block, struct span **span)
{
    size_t size = 0;

    *span = NULL;
    if (!heap_is_run(block)) {
        size = heap_large_size(&heap_large_driver, block);
    } else if (QUIRE_THREADS ? is_any_started() : this_cpu(program).started) {
        size = size_in_span(block, span);
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

    if (!can_have(size)) /* the old one may be another CPU's, whose heap alone has started */
        return 0;
    if (size > old)
        block = block_get_growing(size);
    return block ? block : block_get(size, false);
}

static inline bool resize_in_span(struct span *span, size_t size)
{
    struct heap *heap = span_heap(span);
    bool fits;

    spin_lock(&heap->lock);
    fits = heap_span_resize(span, size);
    spin_unlock(&heap->lock);
    return fits;
}

/* The block with the size, where it is or, without a byte being copied, elsewhere; 0: it has to be copied. */
static uintptr_t resize(uintptr_t block, struct span *span, size_t size)
{
    if (UNLIKELY(size > SIZE_MAX_ASKED))
        return 0;
    if (span)
        return resize_in_span(span, size) ? block : 0;
    return size > CLASS_SIZE_MAX / 2 ? heap_large_realloc(block, size) : 0;
}

static void *realloc_other(void *memory, size_t size, heap_finish *finish)
{
    struct span *span;
    size_t old = size_of_block("realloc", (uintptr_t)memory, &span);

    enter();
    free_pending();
    leave();
    uintptr_t moved = resize((uintptr_t)memory, span, size);

    return moved ? (void *)moved : finish((void *)block_get_other(old, size), memory, old < size ? old : size);
}

void *heap_program_realloc(void *memory, size_t size, heap_finish *finish)
{
    HEAP_STEP(&this_cpu(program_heap));
    return heap_large_fits(memory, size, finish, realloc_other);
}

struct heap *heap_program(void)
{
    return &program_heap;
}
