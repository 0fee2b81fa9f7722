/*
 * Large blocks (memory.h): segments of a driver of their own, which tells them from the program's other segments.
 *
 * A block lies at the start of a slot of sixteen times its size (vm/segments.c). Growing takes addresses, a part of the
 * size in advance, and no memory: most calls of realloc change nothing but a number. Where the slot ends, the block
 * goes to one of many times the size, by its page-table entries.
 *
 * Pages come with the first touch, several at once: a part of the block, so that what is touched in vain is a part of
 * what is not. `own` of the segment is what the program asked for, which pages reach beyond by little only, though the
 * segment may be larger: so a page of 2 MiB is used where the block fills it. The frames of small pages follow each
 * other where that can be had without a search, so that a block that grows over its first 2 MiB turns them into a page
 * of 2 MiB, with the rest of its frames, and nothing is copied.
 *
 * The blocks that were freed last are kept with their pages, up to a part of RAM, as programs often free a block to
 * allocate one like it. That shall cost no memory: what is kept goes before the program holds more than it ever did,
 * and when memory is short.
 */
#include "core/base/assert.h"
#include "core/base/string.h"
#include "core/cpu.h"
#include "core/percpu.h"
#include "core/spinlock.h"
#include "vm/frames.h"
#include "vm/heap/memory.h"
#include "vm/segments.h"

#define GROWTH 4u /* a block that grows takes addresses for so much of its size in advance */
#define ROOM 8u   /* and one that moves a slot of one of so many times its size, up to a size */
#define ROOM_MAX ((size_t)1 << 34)

#define BEYOND 4u                          /* pages reach beyond what was asked for by this part of it, at most, */
#define WINDOW_PART 8u                     /* and a touch backs this part of it, the double in large pages, */
#define WINDOW_LEAST ((size_t)64 << 10)    /* but so much, */
#define WINDOW_MOST_4K ((size_t)512 << 10) /* and not more where pages are small */

#define PER_2M ((unsigned)(page_bytes(PAGE_2M) >> VM_PAGE_SHIFT))
#define RUN_LEAST 8u /* pages of a window for which frames that follow each other are looked for */

#define KEPT 4u         /* blocks that were freed, */
#define KEPT_OF_RAM 32u /* of this part of RAM together, as far as they have pages */

#define ZEROED_IN_PLACE REGION_SIZE /* for calloc, kept blocks up to here */

/* ---- `own` of a segment ---- */

/* What was asked for; with threads 1 + the number of a CPU is in the bits above, if the block may be what that one
 * remembers (`growing`, `kept`). */
#if QUIRE_THREADS
#define OWN_CPU_SHIFT 56u
#else
#define OWN_CPU_SHIFT 64u
#endif

static inline size_t asked_of(const struct vm_segment *segment)
{
#if QUIRE_THREADS
    return (size_t)segment->own & (((size_t)1 << OWN_CPU_SHIFT) - 1);
#else
    return (size_t)segment->own;
#endif
}

static inline void set_asked(struct vm_segment *segment, size_t size)
{
    segment->own = (void *)size;
}

/* The same, and this CPU remembers it. */
static inline void set_asked_here(struct vm_segment *segment, size_t size)
{
#if QUIRE_THREADS
    size |= (size_t)(1 + cpu_number()) << OWN_CPU_SHIFT;
#endif
    segment->own = (void *)size;
}

/* The CPU that may remember it; CPUS_MAX: none. */
static inline unsigned remembered_by(const struct vm_segment *segment)
{
#if QUIRE_THREADS
    size_t cpu = (size_t)segment->own >> OWN_CPU_SHIFT;

    return cpu ? (unsigned)cpu - 1 : CPUS_MAX;
#else
    (void)segment;
    return 0;
#endif
}

/* ---- backing ---- */

/* Neighbours of 2 MiB for the segment; one of zeros, as that takes much longer than a fault. */
static inline paddr_t frames_for(const struct vm_segment *segment, size_t most, size_t *count)
{
    if (segment->flags & VM_NOZERO)
        return frames_get_large(most, count);
    *count = 1;
    return frame_get_zeroed(PAGE_2M);
}

/* Pages are there now; `next` of the segment is where those from its start on end. */
static inline void note_backed(struct vm_segment *segment, vaddr_t from, vaddr_t to)
{
    segment->mapped = true;
    if (from <= segment->next && to > segment->next)
        segment->next = to;
}

/* Pages of 2 MiB where none are, with frames that follow each other: at most `most`, how many. Where the directory is
 * not there, or something that may go is in the place, it is one. */
static size_t back_neighbours(struct address_space *space, struct vm_segment *segment, vaddr_t page, size_t most)
{
    uint64_t *entry = mmu_find_directory(&space->mmu, page);
    size_t places = entry ? mmu_free_large(&space->mmu, entry, most) : 0, count;
    paddr_t first = frames_for(segment, places > 0 ? places : 1, &count);

    if (UNLIKELY(first == FRAME_NONE))
        return 0;
    if (LIKELY(places > 0)) {
        mmu_map_many_large(&space->mmu, entry, first, (unsigned)count, segment->flags);
    } else if (vm_segment_map(space, segment, page, first, PAGE_2M) != E_SUCCESS) {
        frame_put(first, PAGE_2M);
        return 0;
    }
    return count;
}

/* Pages of 2 MiB, from the one of the touch on; false: not one. */
static bool back_2m(struct address_space *space, struct vm_segment *segment, vaddr_t va, vaddr_t end, size_t window)
{
    vaddr_t first = align_down(va, page_bytes(PAGE_2M)), page = first;
    size_t wanted = (window + page_bytes(PAGE_2M) - 1) >> page_shift(PAGE_2M), backed;

    if (wanted > (end - page) >> page_shift(PAGE_2M))
        wanted = (end - page) >> page_shift(PAGE_2M);
    while (wanted > 0 && (backed = back_neighbours(space, segment, page, wanted)) > 0) {
        page += backed << page_shift(PAGE_2M);
        wanted -= backed;
    }
    if (page == first)
        return false;
    note_backed(segment, first, page);
    return true;
}

/* True if the segment can have one around va that ends before `end`. */
static inline bool fits_2m(const struct vm_segment *segment, vaddr_t va, vaddr_t end)
{
    vaddr_t page = align_down(va, page_bytes(PAGE_2M));

    return segment->largest == PAGE_2M && page >= segment->start && end - page >= page_bytes(PAGE_2M);
}

/* True if there could be one. */
static inline bool may_be_2m(const struct address_space *space, const struct vm_segment *segment, vaddr_t va,
                             vaddr_t end)
{
    vaddr_t page = align_down(va, page_bytes(PAGE_2M));

    if (!fits_2m(segment, va, end))
        return false;
    const uint64_t *entry = mmu_directory_entry(&space->mmu, page);

    return (LIKELY(entry != NULL) && *entry == 0) || mmu_is_free(&space->mmu, page, PAGE_2M);
}

/* True if no page of [va, end), all in one table, is there. */
static bool is_free(uint64_t table, vaddr_t va, vaddr_t end)
{
    const uint64_t *entry = mmu_small_entry(table, va);

    for (; va < end; va += VM_PAGE_SIZE) {
        if (*entry++ != 0)
            return false;
    }
    return true;
}

/* Where the frame of the page should be: beside that of a neighbour of the window, with the same place in 2 MiB. */
static inline paddr_t frame_beside(const struct vm_segment *segment, uint64_t table, vaddr_t va, size_t size)
{
    const uint64_t *entry = mmu_small_entry(table, va);
    paddr_t offset = va % page_bytes(PAGE_2M), beside = FRAME_NONE;

    if (va > segment->start && offset > 0 && entry[-1] != 0)
        beside = mmu_entry_frame(entry[-1]) + VM_PAGE_SIZE;
    else if (va + size < segment_end(segment) && offset + size < page_bytes(PAGE_2M) &&
             entry[size >> VM_PAGE_SHIFT] != 0)
        beside = mmu_entry_frame(entry[size >> VM_PAGE_SHIFT]) - size;
    return beside % page_bytes(PAGE_2M) == offset ? beside : align_down(FRAME_NONE, page_bytes(PAGE_2M)) + offset;
}

/* Where the block has grown over a page of 2 MiB: the small pages it began with become that one, if they are the first
 * of its frames and the others can be had. */
static bool complete_2m(struct address_space *space, struct vm_segment *segment, vaddr_t va, vaddr_t end)
{
    vaddr_t page = align_down(va, page_bytes(PAGE_2M));
    unsigned count;

    if (!(segment->flags & VM_NOZERO) || !fits_2m(segment, va, end))
        return false;
    paddr_t frame = mmu_begun_large(&space->mmu, page, &count);

    if (frame == FRAME_NONE || count == PER_2M ||
        !frames_get_at(frame + ((paddr_t)count << VM_PAGE_SHIFT), PER_2M - count))
        return false;
    mmu_complete_large(&space->mmu, page);
    note_backed(segment, page, page + page_bytes(PAGE_2M));
    return true;
}

/* Small pages of one run of frames, so that they can be a large one when the block has grown: how many. */
static unsigned back_run(struct address_space *space, const struct vm_segment *segment, uint64_t *table, vaddr_t va,
                         size_t size)
{
    struct frame_run run = {.count = mmu_free_small(*table, va, (unsigned)(size >> VM_PAGE_SHIFT))};

    if (!(segment->flags & VM_NOZERO) || run.count < RUN_LEAST)
        return 0;
    run.first = frames_get_beside(frame_beside(segment, *table, va, (size_t)run.count << VM_PAGE_SHIFT), run.count);
    if (UNLIKELY(run.first == FRAME_NONE))
        return 0;
    mmu_map_runs(&space->mmu, table, va, &run, 1, segment->flags);
    return run.count;
}

/* Small pages: the window around the touch, for programs copy from the end on too; if some of it is there, what follows
 * the touch. */
static error_t back_4k(struct address_space *space, struct vm_segment *segment, vaddr_t va, vaddr_t end, size_t window)
{
    uint64_t *table = mmu_make_table(&space->mmu, va);
    vaddr_t page = align_down(va, VM_PAGE_SIZE), at = align_down(va, window);

    if (UNLIKELY(!table))
        return E_NOMEM;
    end = at + window < end ? at + window : end;
    if (at < segment->start)
        at = segment->start;
    if (!is_free(*table, at, page))
        at = page;
    size_t pages = back_run(space, segment, table, at, end - at), backed;

    if (pages == 0)
        pages = segment_back_small(space, segment, table, at, (end - at) >> VM_PAGE_SHIFT);
    backed = pages << VM_PAGE_SHIFT;
    note_backed(segment, at, at + backed); /* the table at least is there */
    return at + backed > page ? E_SUCCESS : E_NOMEM;
}

/* Where pages for a touch may end: a little beyond what was asked for, else with the segment. */
static inline vaddr_t end_of_backing(const struct vm_segment *segment, vaddr_t va)
{
    size_t size = align_up(asked_of(segment) + asked_of(segment) / BEYOND, VM_PAGE_SIZE);

    return size < segment->size && va - segment->start < size ? segment->start + size : segment_end(segment);
}

/* A part of the block, where it is touched in order. What is zeroed in vain is not more than a page of 2 MiB. */
static inline size_t window_of(const struct address_space *space, const struct vm_segment *segment, vaddr_t va)
{
    vaddr_t page = align_down(va, VM_PAGE_SIZE);
    size_t part = asked_of(segment) / WINDOW_PART;

    if (part >= REGION_SIZE / 2)
        part *= 2; /* in pages of 2 MiB */
    if (part < 2 * WINDOW_LEAST || page == segment->start)
        return WINDOW_LEAST;
    if (page != segment->next && !mmu_query(&space->mmu, page - VM_PAGE_SIZE, NULL))
        return WINDOW_LEAST;
    if (part > REGION_SIZE && !(segment->flags & VM_NOZERO))
        return REGION_SIZE;
    return (size_t)1 << (63 - __builtin_clzll(part));
}

static error_t large_fault(struct address_space *space, struct vm_segment *segment)
{
    const struct vm_fault_info *fault = this_cpu(fault_record);
    vaddr_t va = fault->address, end = end_of_backing(segment, va);
    enum page_size size = PAGE_4K;

    if (UNLIKELY(fault->present || !asked_of(segment))) /* or the block was freed */
        return E_ACCES;
    if (UNLIKELY(segment->largest == PAGE_1G))
        return vm_segment_back(space, segment, va);
    size_t window = window_of(space, segment, va);

    heap_large_make_room(window);
    if (may_be_2m(space, segment, va, end)) {
        if (back_2m(space, segment, va, end, window))
            size = PAGE_2M;
        else
            segment->fallbacks++;
    } else if (complete_2m(space, segment, va, end)) {
        size = PAGE_2M;
    }
    if (size == PAGE_4K) {
        error_t error = back_4k(space, segment, va, end, window < WINDOW_MOST_4K ? window : WINDOW_MOST_4K);

        if (UNLIKELY(error))
            return error;
    }
    segment->faults[size]++;
    return E_SUCCESS;
}

/* ---- what is known of blocks ---- */

/* What each CPU has, in an image of one CPU it goes with the code that uses it; and of it what others may change. */
#if QUIRE_THREADS
#define LARGE_PERCPU PERCPU
#define shared_read(variable) __atomic_load_n(&(variable), __ATOMIC_RELAXED)
#define shared_write(variable, value) __atomic_store_n(&(variable), value, __ATOMIC_RELAXED)
#else
#define LARGE_PERCPU
#define shared_read(variable) (variable)
#define shared_write(variable, value) ((variable) = (value))
#endif

/* The block that realloc answered last here, what makes steps of it short: sizes from `least` on, `more` bytes more at
 * most, change nothing but what was asked for. Another CPU may only make it forget the block. */
static LARGE_PERCPU struct growing {
    uintptr_t block;
    size_t least, more;
    struct vm_segment *segment;
} growing;

static inline void forget_growing(const struct vm_segment *segment)
{
    unsigned cpu = remembered_by(segment);

    if (QUIRE_THREADS && cpu == CPUS_MAX)
        return;
    struct growing *of = &cpu_variable(cpu, growing);

    if (shared_read(of->segment) == segment)
        shared_write(of->block, 0);
}

/* Blocks that were freed here and are kept: nothing is asked of them. Only this CPU adds one. The lock is taken last of
 * all, under those of vm/, so nothing is freed with it. */
static LARGE_PERCPU struct kept {
    struct spinlock_heap_kept lock;
    struct vm_segment *segments[KEPT];
    unsigned count;
    size_t backed; /* bytes of those that have pages */
} kept;

static inline bool is_kept(const struct vm_segment *segment)
{
    return segment->driver == &heap_large_driver && !asked_of(segment);
}

static struct vm_segment *kept_remove(struct kept *of, unsigned place)
{
    struct vm_segment *segment = of->segments[place];

    shared_write(of->count, of->count - 1);
    if (place < of->count)
        memmove(&of->segments[place], &of->segments[place + 1], (of->count - place) * sizeof(of->segments[0]));
    if (segment->mapped)
        shared_write(of->backed, of->backed - segment->size);
    return segment;
}

/* Frees the one that is there longest. There was one, which another CPU may free first. */
static void free_first(struct kept *of)
{
    struct vm_segment *segment = NULL;

    spin_lock(&of->lock);
    if (!QUIRE_THREADS || of->count > 0)
        segment = kept_remove(of, 0);
    spin_unlock(&of->lock);
    if (!QUIRE_THREADS || segment)
        vm_free(vm_space(), segment);
}

/* less: bytes of it that have gone to another segment. */
COLD static void forget_kept(const struct vm_segment *segment, size_t less)
{
    unsigned cpu = remembered_by(segment);

    if (QUIRE_THREADS && cpu == CPUS_MAX)
        return;
    struct kept *of = &cpu_variable(cpu, kept);

    spin_lock(&of->lock);
    for (unsigned place = 0; place < of->count; place++) {
        if (of->segments[place] != segment)
            continue;
        kept_remove(of, place);
        if (segment->mapped)
            shared_write(of->backed, of->backed - less);
    }
    spin_unlock(&of->lock);
}

/* ---- the driver ---- */

static error_t large_advise(struct address_space *space, struct vm_segment *segment, vaddr_t va, size_t size,
                            int advice)
{
    if (segment->next > va)
        segment->next = va;
    return vm_segment_advise_owned(space, segment, va, size, advice);
}

static void large_free(struct address_space *space, struct vm_segment *segment)
{
    forget_growing(segment);
    forget_kept(segment, 0);
    vm_segment_free_owned(space, segment);
}

COLD static error_t large_split(struct address_space *space, struct vm_segment *first, struct vm_segment *second)
{
    forget_growing(first);
    if (is_kept(first)) { /* by a program that unmaps what it has freed: what is left is addresses */
        forget_kept(first, second->size);
        vm_segment_unmap(space, first, first->start, first->size, true);
        vm_segment_unmap(space, second, second->start, second->size, true);
    }
    return vm_segment_split_nothing(space, first, second);
}

static struct vm_segment *large_alloc(struct address_space *space, vaddr_t start, size_t size, vm_flags_t flags)
{
    struct vm_segment *segment = segment_create_owned(space, &heap_large_driver, start, size, flags, 0);

    if (!IS_ERR(segment))
        set_asked(segment, size);
    return segment;
}

const struct vm_segment_driver heap_large_driver = {
    .vm_alloc = large_alloc,
    .vm_free = large_free,
    .vm_resize = vm_segment_resize_owned,
    .vm_fault = large_fault,
    .name = "large",
    .properties = VM_DRIVER_GENERAL_REGISTERS | VM_DRIVER_MERGES | VM_DRIVER_DEMAND,
    .protect = vm_segment_protect_mapped,
    .split = large_split,
    .advise = large_advise,
};

/* ---- blocks that are kept ---- */

static void free_all(struct kept *of)
{
    while (shared_read(of->count) > 0)
        free_first(of);
}

void heap_large_trim(void)
{
    for (unsigned cpu = 0; cpu < (QUIRE_THREADS ? cpu_count() : 1); cpu++)
        free_all(&cpu_variable(cpu, kept));
}

/* What other CPUs keep is looked at when memory is short only: they keep no more than this one, all together. */
void heap_large_make_room(size_t size)
{
    if (LIKELY(shared_read(this_cpu(kept).backed) == 0))
        return;
    SPACE_HOLD(vm_space());
    if (space_resident(vm_space()) + size > vm_space()->peak)
        free_all(&this_cpu(kept));
}

/* True if RAM has what the block may need beyond the pages it has. */
static bool has_memory_for(const struct vm_segment *segment, size_t size)
{
    if (LIKELY(heap_has_memory(size)))
        return true;
    struct mmu_count resident = segment_resident(vm_space(), segment);
    size_t backed = (resident.pages[PAGE_4K] << page_shift(PAGE_4K)) + (resident.pages[PAGE_2M] << page_shift(PAGE_2M));

    return backed >= size || heap_has_memory(size - backed);
}

/* Whether all of it is: what was touched out of order has been passed over. */
COLD static bool is_backed(struct vm_segment *segment)
{
    if (segment->next < segment->start)
        segment->next = segment->start;
    while (segment->next < segment_end(segment) && mmu_present_entry(&vm_space()->mmu, segment->next))
        segment->next += VM_PAGE_SIZE;
    return segment->next == segment_end(segment);
}

/*
 * A block that was backed from end to end and written to will be so again: zeroed where it is, it needs no new pages.
 * That it was written to is told by its first page, which then counts as not. Of a block that was not the pages go, so
 * that calloc and free alone do not zero it again and again.
 */
static bool zero_in_place(struct vm_segment *segment, size_t size)
{
    if (size > ZEROED_IN_PLACE || size != segment->size)
        return false;
    if (UNLIKELY(segment->next != segment_end(segment)) && !is_backed(segment))
        return false;
    uint64_t *first = mmu_present_entry(&current_space->mmu, segment->start);

    if (!first || !mmu_is_dirty(first))
        return false;
    set_asked(segment, segment->size);
    heap_zero(segment->start, segment->size);
    mmu_forget_dirty(first);
    machine_flush_page(segment->start);
    return true;
}

/* Gives the block the size, without the pages that it has no use for: NULL: RAM cannot hold it. */
static struct vm_segment *make_fit(struct vm_segment *segment, size_t size, bool zero)
{
    struct address_space *space = vm_space();

    if (zero && segment->mapped) {
        if (zero_in_place(segment, size))
            return segment;
        vm_segment_unmap(space, segment, segment->start, segment->size, true);
    } else if (size + size / WINDOW_PART < segment->size) {
        vm_resize(space, segment, size); /* or it stays as large as it is */
    }
    if (has_memory_for(segment, size) &&
        (size <= segment->size || vm_segment_set_size(space, segment, size) == E_SUCCESS))
        return segment;
    vm_free(space, segment);
    return NULL;
}

/* One that is not of quite another size; NULL: there is none. */
static struct vm_segment *take_kept(size_t size, bool zero)
{
    struct kept *of = &this_cpu(kept);
    struct vm_segment *segment = NULL;

    spin_lock(&of->lock);
    for (unsigned place = of->count; !segment && place-- > 0;) {
        if (of->segments[place]->size / 2 <= size && size / 2 <= of->segments[place]->size)
            segment = kept_remove(of, place);
    }
    spin_unlock(&of->lock);
    return segment ? make_fit(segment, size, zero) : NULL;
}

/* Room for one with its pages; false: they are too many. CPUs have equal parts. */
static bool make_room_to_keep(const struct vm_segment *segment)
{
    static LARGE_PERCPU size_t limit;
    struct kept *of = &this_cpu(kept);

    if (!this_cpu(limit))
        this_cpu(limit) = heap_ram() / KEPT_OF_RAM / (QUIRE_THREADS ? cpu_count() : 1);
    if (segment->size > this_cpu(limit))
        return false;
    while (shared_read(of->backed) + segment->size > this_cpu(limit))
        free_first(of);
    space_note_peak(current_space);
    return true;
}

static inline void kept_add(struct kept *of, struct vm_segment *segment)
{
    spin_lock(&of->lock);
    if (segment->mapped)
        shared_write(of->backed, of->backed + segment->size);
    of->segments[of->count] = segment;
    shared_write(of->count, of->count + 1);
    spin_unlock(&of->lock);
}

/* Not what the program has protected or cut. */
static inline bool keep(struct vm_segment *segment)
{
    if (UNLIKELY((segment->flags & VM_PROTECTION) != VM_RW || !segment_is_alone(segment)))
        return false;
    if (segment->mapped && !make_room_to_keep(segment))
        return false;
    if (shared_read(this_cpu(kept).count) == KEPT)
        free_first(&this_cpu(kept));
    forget_growing(segment);
    set_asked_here(segment, 0);
    kept_add(&this_cpu(kept), segment);
    return true;
}

/* ---- large blocks ---- */

static inline struct vm_segment *large_at(const struct vm_segment_driver *driver, uintptr_t block)
{
    struct vm_segment *segment = segment_find_again(current_space, block);

    return LIKELY(segment && segment->start == block && segment->driver == driver && !is_kept(segment)) ? segment
                                                                                                        : NULL;
}

/* Of malloc: one that was kept, or a new one. NULL: no memory. */
static __attribute__((noinline)) struct vm_segment *find_or_make(size_t size, bool zero)
{
    struct vm_segment *segment = take_kept(size, zero);

    if (segment)
        return segment;
    heap_large_make_room(size);
    if (!heap_has_memory(size))
        return NULL;
    segment = vm_segment_create(vm_space(), &heap_large_driver, VM_ANYWHERE, size, VM_RW);
    return IS_ERR(segment) ? NULL : segment;
}

/* The last one that was freed, if it has the size and there is little to do; NULL: it has not, or there is more. */
static inline struct vm_segment *last_kept(struct kept *of, size_t size, bool zero)
{
    struct vm_segment *segment = of->count ? of->segments[of->count - 1] : NULL;

    if (UNLIKELY(!segment || segment->size != size))
        return NULL;
    if (!segment->mapped) {
        if (UNLIKELY(!heap_has_memory(size)))
            return NULL;
        segment->next = segment->start;
    } else {
        if (!zero || !zero_in_place(segment, size))
            return NULL;
        shared_write(of->backed, of->backed - size);
    }
    shared_write(of->count, of->count - 1);
    return segment;
}

static inline struct vm_segment *take_last(size_t size, bool zero)
{
    struct vm_segment *segment;

    spin_lock(&this_cpu(kept).lock);
    segment = last_kept(&this_cpu(kept), size, zero);
    spin_unlock(&this_cpu(kept).lock);
    return segment;
}

/* The same, asked for as that or less. */
static inline uintptr_t get(size_t size, size_t asked, bool zero)
{
    SPACE_HOLD(current_space);
    struct vm_segment *segment = take_last(size, zero);

    if (UNLIKELY(!segment)) {
        segment = find_or_make(size, zero);
        if (!segment)
            return 0;
        if (!segment->mapped)
            segment->next = segment->start;
    }
    segment->flags = VM_RW | (zero ? 0 : VM_NOZERO);
    set_asked(segment, asked);
    return segment->start;
}

static __attribute__((noinline)) uintptr_t get_of_driver(const struct vm_segment_driver *driver, size_t size,
                                                         vm_flags_t flags)
{
    SPACE_HOLD(vm_space());
    struct vm_segment *segment =
        heap_has_memory(size) ? vm_alloc(vm_space(), driver, VM_ANYWHERE, size, flags) : ERR_PTR(E_NOMEM);

    return IS_ERR(segment) ? 0 : segment->start;
}

uintptr_t heap_large_get(const struct vm_segment_driver *driver, size_t size, vm_flags_t pages, bool zero)
{
    return driver == &heap_large_driver ? get(size, size, zero)
                                        : get_of_driver(driver, size, VM_RW | pages | (zero ? 0 : VM_NOZERO));
}

bool heap_large_resize(uintptr_t block, size_t size)
{
    struct address_space *space = vm_space();
    SPACE_HOLD_AT(space, block);
    struct vm_segment *segment = segment_find(space, block);
    size_t old = segment->size;

    return (size <= old || heap_has_memory(size - old)) && vm_resize(vm_space(), segment, size) == E_SUCCESS;
}

bool heap_large_put(const struct vm_segment_driver *driver, uintptr_t block)
{
    struct address_space *space = current_space;
    SPACE_HOLD_AT(space, block);
    struct vm_segment *segment = large_at(driver, block);

    if (!segment)
        return false;
    if (UNLIKELY(driver != &heap_large_driver) || !keep(segment))
        vm_free(vm_space(), segment);
    return true;
}

size_t heap_large_size(const struct vm_segment_driver *driver, uintptr_t block)
{
    struct address_space *space = current_space;
    SPACE_HOLD_AT(space, block);
    const struct vm_segment *segment = large_at(driver, block);

    return segment ? segment->size : 0;
}

/* ---- growing ---- */

/* The segment has become what realloc answers. */
static void note_growing(struct vm_segment *segment)
{
    size_t least = asked_of(segment) - asked_of(segment) / WINDOW_PART;
    struct growing *of = &this_cpu(growing);

    shared_write(of->block, segment->start);
    of->least = least;
    of->more = segment->size - least;
    shared_write(of->segment, segment);
}

/* Of a block that grows. */
static size_t capacity(size_t size)
{
    return align_up(size + size / GROWTH, size < REGION_SIZE ? WINDOW_LEAST : REGION_SIZE);
}

uintptr_t heap_large_get_growing(size_t size)
{
    uintptr_t block = get(capacity(size), size, false);

    return block ? block : get(align_up(size, VM_PAGE_SIZE), size, false);
}

void *heap_large_fits(void *block, size_t size, heap_finish *finish,
                      void *(*otherwise)(void *block, size_t size, heap_finish *finish))
{
    const struct growing *of = &this_cpu(growing);

    if (shared_read(of->block) != (uintptr_t)block || size - of->least > of->more)
        return otherwise(block, size, finish);
    set_asked_here(of->segment, size);
    return block;
}

/* To a slot with room, whose addresses it does not take yet. */
COLD static bool move(struct vm_segment *segment, size_t size)
{
    struct address_space *space = vm_space();
    size_t backed = segment->next - segment->start;

    if (vm_move(space, segment, VM_ANYWHERE, size < ROOM_MAX ? size * ROOM : size) != E_SUCCESS &&
        vm_move(space, segment, VM_ANYWHERE, size) != E_SUCCESS)
        return false;
    segment->size = size;
    segment->next = segment->start + backed;
    return true;
}

/* What is behind goes, unless it is little or a large page across the end cannot be split. */
static void shrink(struct vm_segment *segment, size_t size)
{
    size_t wanted = align_up(size, VM_PAGE_SIZE);

    if (size < asked_of(segment) - asked_of(segment) / WINDOW_PART)
        vm_resize(vm_space(), segment, wanted);
    if (segment->next > segment_end(segment))
        segment->next = segment_end(segment);
}

uintptr_t heap_large_realloc(uintptr_t block, size_t size)
{
    struct address_space *space = vm_space();
    SPACE_HOLD(space);
    struct vm_segment *segment = segment_find_again(space, block);
    size_t more = capacity(size), least = align_up(size, VM_PAGE_SIZE);

    if (size <= segment->size) {
        shrink(segment, size);
    } else {
        heap_large_make_room(size - segment->size);
        if (UNLIKELY(!heap_has_memory(more - segment->size))) {
            more = least;
            if (!heap_has_memory(least - segment->size))
                return 0;
        }
        if (vm_segment_set_size(space, segment, more) != E_SUCCESS &&
            vm_segment_set_size(space, segment, least) != E_SUCCESS && !move(segment, more) && !move(segment, least))
            return 0;
    }
    if (QUIRE_THREADS)
        forget_growing(segment); /* of another CPU */
    set_asked_here(segment, size);
    note_growing(segment);
    return segment->start;
}
