/* Finding, making and linking segments: private to vm/. The theory is at the top of segments.c. */
#ifndef VM_SEGMENTS_H
#define VM_SEGMENTS_H

#include "core/percpu.h"
#include "machine.h"
#include "vm/space.h"

#define SLOTS_PER_PAGE 512u

/* What vm_space() answers. */
extern struct address_space *current_space;

/* In debug builds every operation of vm/vm.h begins with a look at what the one before has left (vm/report.c): at all
 * of it while that is little, or else a part, so that its cost is bounded. Ends with a report if anything is wrong. */
#ifdef QUIRE_DEBUG
void vm_step(struct address_space *, const char *operation);
#define VM_STEP_OF(space, operation) vm_step(space, operation)
#else
#define VM_STEP_OF(space, operation) ((void)0)
#endif

#define VM_STEP(space) VM_STEP_OF(space, __func__)

/* How each of them begins: with all domains, with that of an address, or with those of a range. */
#define VM_OPERATION(space)                                                                                            \
    SPACE_HOLD_ALL(space);                                                                                             \
    VM_STEP(space)
#define VM_OPERATION_AT(space, va)                                                                                     \
    SPACE_HOLD_AT(space, va);                                                                                          \
    VM_STEP(space)
#define VM_OPERATION_RANGE(space, start, size)                                                                         \
    SPACE_HOLD_RANGE(space, start, size);                                                                              \
    VM_STEP(space)

/* Where a driver's segment of the size goes, at the address or VM_ANYWHERE: see vm/space.h. */
#if QUIRE_THREADS
#define DOMAIN_SEGMENT_MAX ((size_t)1 << (DOMAIN_SHIFT - 4)) /* with headroom: vm/segments.c */

static inline struct address_space *space_home(struct address_space *space, const struct vm_segment_driver *driver,
                                               vaddr_t start, size_t size)
{
    bool apart = driver->properties & VM_DRIVER_APART;

    if (start != VM_ANYWHERE)
        return space_at_named(space, start, !apart);
    return apart && size <= DOMAIN_SEGMENT_MAX ? space_own(space) : space->whole;
}

/* For who makes the segment: it stays with the domain that the caller has chosen by holding it. */
static inline struct address_space *space_chosen(struct address_space *space, const struct vm_segment_driver *driver,
                                                 vaddr_t start, size_t size)
{
    return start == VM_ANYWHERE && spin_is_held(&space->lock.spin) ? space : space_home(space, driver, start, size);
}

#define SPACE_HOLD_AT_HOME(space, driver, start, size)                                                                 \
    SPACE_HELD = space_hold(space_chosen(space, driver, start, size));                                                 \
    (space) = held_space.domain
#else
#define SPACE_HOLD_AT_HOME(space, driver, start, size) ((void)sizeof(space))
#endif

/* What vm_fault_info() answers on each CPU. */
extern const struct vm_fault_info *fault_record;

/* What else there is of domains (vm/domains.c, vm/segments.c). */
#if QUIRE_THREADS
void space_init_domain(struct address_space *domain, struct address_space *whole, unsigned number);
void domains_destroy(struct address_space *whole);

#define DOMAIN_FRAMES_ORDER log2_ceil((sizeof(struct address_space) + VM_PAGE_SIZE - 1) >> VM_PAGE_SHIFT)

static inline bool is_whole(const struct address_space *space)
{
    return space->number == 0;
}

static inline unsigned space_number(const struct address_space *space)
{
    return space->number;
}

/* log2 of the bytes around va that are of one domain, and of one region. */
static inline unsigned part_shift(vaddr_t va)
{
    return (va - SLOTS_BASE) >> VM_REGION_SHIFT <= DOMAIN_SHIFT - VM_SLOT_ORDER_MIN ? DOMAIN_SHIFT : VM_REGION_SHIFT;
}
#else
static inline void domains_destroy(struct address_space *space)
{
    (void)space;
}

static inline bool is_whole(const struct address_space *space)
{
    (void)space;
    return true;
}

static inline unsigned space_number(const struct address_space *space)
{
    (void)space;
    return 0;
}

static inline unsigned part_shift(vaddr_t va)
{
    (void)va;
    return VM_REGION_SHIFT;
}
#endif
void space_empty(struct address_space *domain);

/* A page of zeros for what the domain remembers; NULL: no frame. */
void *bookkeeping_page(struct address_space *domain);
void bookkeeping_put(struct address_space *domain, void *page);

/* By any domain, of the one that holds the address. */
static inline struct vm_region *region_of(struct address_space *space, vaddr_t va)
{
    return &space_at(space, va)->regions[(va >> VM_REGION_SHIFT) % VM_REGIONS];
}

/* The slot that holds va, or NULL where there is none (yet). */
static inline union vm_slot *slot_of(struct address_space *space, vaddr_t va)
{
    struct vm_region *region = region_of(space, va);
    size_t index = (va - region->base) >> region->order;

    if (region->only)
        return region->only;
    if (UNLIKELY(index >= region->slots || !region->directory))
        return NULL;
    union vm_slot *page = region->directory[index / SLOTS_PER_PAGE];

    return page ? &page[index % SLOTS_PER_PAGE] : NULL;
}

static inline struct vm_segment *slot_root(const union vm_slot *slot)
{
    return slot && !(slot->link & VM_SLOT_FREE) ? slot->root : NULL;
}

static inline vaddr_t segment_end(const struct vm_segment *segment)
{
    return segment->start + segment->size;
}

/* So many bytes of spans go, or become pages of a segment: before that the most there was is noted. */
void space_spans_shrink(struct address_space *space, size_t size);

/* True for the heap driver's spans, whose addresses are those of the permanent map of RAM. */
static inline bool segment_in_ram_map(const struct vm_segment *segment)
{
    return segment->start - PHYSMAP_BASE < PHYSMAP_SIZE;
}

static inline struct vm_segment *segment_find(struct address_space *space, vaddr_t va)
{
    struct vm_segment *segment = slot_root(slot_of(space, va));

    while (segment && va - segment->start >= segment->size)
        segment = segment->child[va >= segment->start];
    return segment;
}

/* The same, quickly where the last one asked for is that again (SunOS: a_seglast). */
static inline struct vm_segment *segment_find_again(struct address_space *space, vaddr_t va)
{
    space = space_at(space, va);
    struct vm_segment *segment = space->last;

    if (LIKELY(va - segment->start < segment->size))
        return segment;
    segment = segment_find(space, va);
    if (segment)
        space->last = segment;
    return segment;
}

/* The first segment that ends above va and starts below the limit, or NULL. */
struct vm_segment *segment_next(struct address_space *space, vaddr_t va, vaddr_t limit);

/* Calls for every segment, in no order: far quicker than one segment_next after the other. */
void segments_visit(struct address_space *space, void (*visit)(void *context, const struct vm_segment *),
                    void *context);

/* True if [start, end) touches no segment and lies within one slot (or region without slots). */
bool segment_range_free(struct address_space *space, vaddr_t start, vaddr_t end);

/* True if both addresses are in the same slot, so that segments there can be merged. */
static inline bool segment_same_slot(struct address_space *space, vaddr_t a, vaddr_t b)
{
    const struct vm_region *region = region_of(space, a);

    return region == region_of(space, b) && (a - region->base) >> region->order == (b - region->base) >> region->order;
}

/* Cuts the segment at an address inside it (vm_split without its checks): the upper part, of the same origin. */
struct vm_segment *segment_split(struct address_space *space, struct vm_segment *segment, vaddr_t at);
/* The same, also for spans in the map of RAM, which are not the program's to cut. */
struct vm_segment *segment_cut(struct address_space *space, struct vm_segment *segment, vaddr_t at);

/* Frees what is at [start, start + size) if that is all of the only segment of its slot, and its driver frees it as
 * vm_segment_free_owned does: the usual end of a segment, without finding it twice. False: nothing was done. */
bool segment_free_whole(struct address_space *space, vaddr_t start, size_t size);

/* The largest page that the flags ask for and the CPU has (vm/backing.c). */
enum page_size largest_page_asked(vm_flags_t flags);

/* What vm_page_policy() answers. */
extern enum page_size page_policy;

/* The largest page that flags, else the image's policy, and the CPU allow. */
static inline enum page_size largest_page_of(vm_flags_t flags)
{
    return LIKELY(!(flags & VM_PAGES)) ? page_policy : largest_page_asked(flags);
}

static inline void segment_clear_counts(struct vm_segment *segment)
{
    for (unsigned i = 0; i < PAGE_SIZES; i++)
        segment->faults[i] = 0;
    segment->faults_refused = segment->fallbacks = 0;
}

/* Folds a dying segment's counts into its driver's and clears them (vm/drivers.c). */
void driver_remember_counts(struct vm_segment *segment);

/* PERCPU, by driver, vm_anon first: what its segments that are gone have counted. */
enum { DRIVER_ANON, DRIVERS_MAX = 32 };
extern struct vm_statistics driver_past[DRIVERS_MAX];

/* Other things than faults of small pages. */
static inline uint64_t segment_rare_counts(const struct vm_segment *segment)
{
    return segment->faults[PAGE_2M] | segment->faults[PAGE_1G] | segment->faults_refused | segment->fallbacks;
}

static inline bool segment_is_counted(const struct vm_segment *segment)
{
    return segment->faults[PAGE_4K] | segment_rare_counts(segment);
}

static inline void driver_remember(struct vm_segment *segment)
{
    if (UNLIKELY(segment_is_counted(segment)))
        driver_remember_counts(segment);
}

/* True if [start, last] lies in the slot that the segment is alone in. */
static inline bool segment_has_slot_of(struct address_space *space, const struct vm_segment *segment, vaddr_t start,
                                       vaddr_t last)
{
    const struct vm_region *region = region_of(space, segment->start);

    return ((start ^ segment->start) | (last ^ segment->start)) >> region->order == 0 && !region->only &&
           segment_is_alone(segment);
}

/* True if the segment begins a slot that it is alone in, and would have room there for so many bytes. */
static inline bool segment_has_room(const struct vm_segment *segment, size_t size)
{
    return segment->slot_order != 0 && size <= (size_t)1 << (segment->slot_order - 1 + VM_SLOT_ORDER_MIN) &&
           segment_is_alone(segment);
}

/* The reserve's list for slots that are right for the size, with room for sixteen times as much; there may be none. */
static inline size_t reserve_order(size_t size)
{
    return (size_t)(63 ^ __builtin_clzll(size - 1)) - (VM_PAGE_SHIFT - 2);
}

/* vm_segment_create anywhere, with a slot and a structure of the reserve; NULL: there is none. size: whole pages.
 * Without VM_MERGE, which merges whatever the origin, the caller gives it an origin of its own. */
static inline struct vm_segment *segment_reuse(struct address_space *space, const struct vm_segment_driver *driver,
                                               size_t size, vm_flags_t flags)
{
    size_t order = reserve_order(size);

    if (UNLIKELY(order > VM_SLOT_ORDERS))
        return NULL;
    struct vm_segment *segment = space->reserve.kept[order];

    if (UNLIKELY(!segment))
        return NULL;
    space->reserve.kept[order] = segment->child[0];
    space->reserve.count[order]--;
    segment->size = size;
    segment->driver = driver;
    segment->flags = flags;
    segment->largest = largest_page_of(flags);
    segment->magic = VM_SEGMENT_ALIVE;
    segment->child[0] = NULL;
    segment->own = NULL;
    segment->slot->root = segment;
    space->last = segment;
    return segment;
}

/* True if the segment is all of its slot, from where that begins on, and the reserve has room for it. */
static inline bool segment_may_be_kept(const struct address_space *space, const struct vm_segment *segment)
{
    return LIKELY(space->reserve.count[segment->slot_order] != VM_KEPT_MAX && segment_is_alone(segment));
}

/* The other way: the segment, which segment_may_be_kept, is dead: its counts are zero, and nothing is mapped. */
static inline __attribute__((always_inline)) void segment_keep(struct address_space *space, struct vm_segment *segment)
{
    unsigned order = segment->slot_order;

    segment->size = 0; /* space->last may be this one */
    segment->magic = 0;
    segment->child[0] = space->reserve.kept[order];
    segment->slot->link |= VM_SLOT_FREE | VM_SLOT_KEPT;
    space->reserve.kept[order] = segment;
    space->reserve.count[order]++;
}

/* The segment, which was all of its slot, is dead; CPUs may know translations of its addresses. */
void segment_wait(struct address_space *space, struct vm_segment *segment);

/* vm_segment_free_owned where something is mapped, counted, or beside it in the slot. -E_INVAL: the segment is dead
 * (and has no bytes); else 0, for system calls whose last thing it is. */
long segment_free_slowly(struct address_space *space, struct vm_segment *segment);
/* The same for anonymous memory that was touched (vm/backing.c). Start and size are the segment's, where munmap has
 * them. */
long segment_free_touched(vaddr_t start, size_t size, struct address_space *space, struct vm_segment *segment);

static inline long segment_free_anon(vaddr_t start, size_t size, struct address_space *space,
                                     struct vm_segment *segment)
{
    if (segment->mapped || UNLIKELY(segment_is_counted(segment) || !segment_may_be_kept(space, segment)))
        return segment_free_touched(start, size, space, segment);
    segment_keep(space, segment);
    return 0;
}

/* One of the two, by the driver. */
void segment_free_used(struct address_space *space, struct vm_segment *segment);

static inline void segment_free_owned(struct address_space *space, struct vm_segment *segment)
{
    if (UNLIKELY(segment->mapped || segment_is_counted(segment) || !segment_may_be_kept(space, segment)))
        segment_free_used(space, segment);
    else
        segment_keep(space, segment);
}

/* Gives back the structures and addresses of the reserve, with a flush if addresses wait for one. */
void reserve_release(struct address_space *space);

/* What vm_alloc checks of its arguments, the slots left out: E_INVAL, E_NOMEM. */
error_t segment_check_arguments(vaddr_t start, size_t size, vm_flags_t flags);

/* A segment structure: alive, no counts, not linked, place and kind still to be filled in; NULL: no frame. */
struct vm_segment *segment_allocate(struct address_space *space);
void segment_release(struct address_space *space, struct vm_segment *segment);

/* Makes sure that the next `count` allocations (a few) succeed; false when there is no frame. */
bool segment_reserve(struct address_space *space, size_t count);

/* Where a segment can go: addresses that are free, until the next change of segments. */
struct vm_place {
    vaddr_t start;
    struct vm_region *region;
    union vm_slot *slot;
};

/* Where the segment can move to: so many bytes at the address or VM_ANYWHERE, the slot's table made. False: taken, or
 * no frame for that. */
bool segment_find_place(struct address_space *space, const struct vm_segment *segment, vaddr_t start, size_t size,
                        struct vm_place *place);
/* Takes the segment from where it is to the place, with a new size. Cannot fail. */
void segment_change_place(struct address_space *space, struct vm_segment *segment, const struct vm_place *place,
                          size_t size);

/* Enters a segment that begins in the slot of another. */
void segment_link_beside(struct address_space *space, const struct vm_segment *there, struct vm_segment *segment);
void segment_unlink(struct address_space *space, struct vm_segment *segment);

/* vm_segment_create for drivers that own their frames: memory of the ordinary type (else E_INVAL), and backed at once
 * from `guard` bytes on with VM_POPULATE. */
struct vm_segment *segment_create_owned(struct address_space *, const struct vm_segment_driver *, vaddr_t, size_t,
                                        vm_flags_t, size_t guard);

/* The pages that back the segment now: from the page tables, or for a span all of it. */
struct mmu_count segment_resident(struct address_space *space, const struct vm_segment *segment);

/* Windows are counted with the pages, as vm/mmu.h knows of no drivers: takes them off (vm/stats.c). */
void space_subtract_windows(struct address_space *space, size_t *pages);

/* vm_resident without the image, which is there all the time. */
static inline uint64_t space_resident(const struct address_space *space)
{
    return space->mmu.bytes + space->spans - space->windows;
}

/* True if the page at va is there and allows the access after all: this CPU forgets what it knew of it. */
bool space_allows(struct address_space *space, vaddr_t va, vm_flags_t access);

/* ---- backing of touches in order: the theory is in vm/backing.c ---- */

#define WINDOW_MAX 512u
#define WINDOW_FIRST 3u /* pages touched before the first window of more than one */

/* The pages that a touch backs which comes in order behind so many, where WINDOW_MAX is out of the question. */
static inline unsigned window_after(unsigned run)
{
    return run < WINDOW_FIRST ? 1 : run < 15 ? 4 : run < 63 ? 16 : 64;
}

/* True if the aligned page of that size around va lies inside [start, end). */
static inline bool page_fits(vaddr_t va, vaddr_t start, vaddr_t end, enum page_size size)
{
    vaddr_t page = align_down(va, page_bytes(size));

    return page >= start && end - page >= page_bytes(size);
}

static inline bool segment_may_be_large(const struct vm_segment *segment, vaddr_t va)
{
    return segment->largest > PAGE_4K && page_fits(va, segment->start, segment_end(segment), PAGE_2M);
}

#if QUIRE_THREADS
/* PERCPU: the fault has been answered with FAULT_NEEDS_ZEROS, and given what there is, which is done once. */
extern bool fault_has_zeros;
#endif

/* vm_segment_fault_owned for an address where nothing is mapped (vm/backing.c). Where other CPUs use memory nearby, and
 * so may be waiting for the domain, 2 MiB are not zeroed with it held: FAULT_NEEDS_ZEROS. */
error_t segment_touch(struct address_space *space, struct vm_segment *segment, vaddr_t va);

/* Small pages from `page` on, in the table that the directory's entry points to (vm/mmu.h): up to the first that is
 * there, as many as have frames, at most `most`. Their number. */
unsigned segment_back_small(struct address_space *space, struct vm_segment *segment, uint64_t *table, vaddr_t page,
                            size_t most);

/* vm_segment_resize_owned to a smaller size where something may be mapped behind it (vm/backing.c). */
error_t segment_shrink_mapped(struct address_space *space, struct vm_segment *segment, size_t size);

/* vm_segment_resize_owned to a smaller size. */
static inline error_t segment_shrink(struct address_space *space, struct vm_segment *segment, size_t size)
{
    if (UNLIKELY(segment->mapped && !mmu_is_unused(&space->mmu, segment->start + size, segment->size - size)))
        return segment_shrink_mapped(space, segment, size);
    segment->size = size;
    return E_SUCCESS;
}

/* Unmaps at most MMU_FLUSH_SINGLES pages that are in one table of the directory used last, and puts their frames that
 * are not lent into the magazine; no page is larger there, so none need be split. False: it is not that, or there is no
 * room, and nothing was done (vm/backing.c). */
bool space_put_few(struct address_space *space, vaddr_t va, size_t size);

/* Called before pages or a span are released: peaks come right before that (vm/backing.c). */
void space_note_peak(struct address_space *space);

#endif
