/*
 * Segments: where they are, and how one is found.
 *
 * The address space has 128 regions of 2 TiB, chosen by bits 41 to 47 of an address. 25 of them, from SLOTS_BASE on,
 * are divided into slots: the first into slots of 64 KiB, the next 128 KiB, up to 1 TiB. A segment that may lie
 * anywhere gets a slot of sixteen times its size to itself, so that growing finds the addresses behind it free, and its
 * page tables hold nothing else as soon as the slot is larger than 2 MiB. Addresses cost nothing: there are 128 TiB of
 * them. The other regions are one slot each; they hold what asked for its address, the map of RAM and the image.
 *
 * A slot has a tree of the segments in it: a treap (Seidel, Aragon, "Randomized Search Trees", 1996) by address
 * whose priorities are a hash of the start, hence derived and not stored. Nearly always it is a single segment. So
 * finding a segment is: region, slot, one comparison, whatever number of segments there are; and taking and freeing an
 * address range is a push or pop on the region's list of free slots, which is threaded through the slots themselves.
 *
 * With threads a region is divided between domains (vm/space.h), each of which has a vm_region for its part.
 *
 * When the slots of a size are used up, larger ones serve, then smaller ones, then what lies behind all that asked for
 * its address. Slot tables are pages of 512 slots, made when first used and kept. Segment structures come from slabs of
 * a page each.
 */
#include "vm/visitors.h"

#include "core/base/assert.h"
#include "core/base/string.h"
#include "vm/dispatch.h"
#include "vm/frames.h"

#define SLOT_ORDER_MAX 40u
#define HEADROOM_ORDER 4u
#define SLOTS_MAX (SLOTS_PER_PAGE * SLOTS_PER_PAGE)

/* ---- slots ---- */

static inline uintptr_t make_link(uint32_t next, uint32_t previous)
{
    return (uintptr_t)previous << 32 | (uintptr_t)next << 2 | VM_SLOT_FREE;
}

static inline uint32_t link_next(uintptr_t link)
{
    return (uint32_t)(link >> 2) & VM_NO_SLOT;
}

static inline uint32_t link_previous(uintptr_t link)
{
    return (uint32_t)(link >> 32);
}

static inline union vm_slot *slot_at(const struct vm_region *region, uint32_t index)
{
    return &region->directory[index / SLOTS_PER_PAGE][index % SLOTS_PER_PAGE];
}

static inline uint32_t slot_index(const struct vm_region *region, vaddr_t va)
{
    return (uint32_t)((va - region->base) >> region->order);
}

void *bookkeeping_page(struct address_space *space)
{
    paddr_t frame = frame_get_zeroed(PAGE_4K);

    if (frame == FRAME_NONE)
        return NULL;
    space->bookkeeping++;
    return phys_to_virt(frame);
}

void bookkeeping_put(struct address_space *space, void *page)
{
    frame_put(virt_to_phys(page), PAGE_4K);
    space->bookkeeping--;
}

/* The slot that holds va, its table made if necessary. E_NOMEM: no frame, or no slot covers the address. */
COLD static error_t slot_make(struct address_space *space, vaddr_t va, union vm_slot **slot)
{
    struct vm_region *region = region_of(space, va);
    size_t index = (va - region->base) >> region->order;

    *slot = slot_of(space, va);
    if (*slot)
        return E_SUCCESS;
    if (index >= region->slots)
        return E_NOMEM;
    if (!region->directory)
        region->directory = bookkeeping_page(space);
    if (!region->directory)
        return E_NOMEM;
    union vm_slot **page = &region->directory[index / SLOTS_PER_PAGE];

    *page = bookkeeping_page(space);
    if (!*page)
        return E_NOMEM;
    *slot = &(*page)[index % SLOTS_PER_PAGE];
    return E_SUCCESS;
}

static void slot_list_remove(struct vm_region *region, union vm_slot *slot)
{
    uint32_t next = link_next(slot->link), previous = link_previous(slot->link);

    if (previous == VM_NO_SLOT)
        region->free = next;
    else
        slot_at(region, previous)->link = make_link(next, link_previous(slot_at(region, previous)->link));
    if (next != VM_NO_SLOT)
        slot_at(region, next)->link = make_link(link_next(slot_at(region, next)->link), previous);
    slot->link = 0;
}

static void slot_list_push(struct vm_region *region, uint32_t index)
{
    if (region->free != VM_NO_SLOT)
        slot_at(region, region->free)->link = make_link(link_next(slot_at(region, region->free)->link), index);
    slot_at(region, index)->link = make_link(region->free, VM_NO_SLOT);
    region->free = index;
}

/* A slot of the region that was never used, its table made; false if there is none, or no frame for the table. */
COLD static bool region_fresh_slot(struct address_space *space, struct vm_place *place)
{
    struct vm_region *region = place->region;

    for (; region->fresh < region->slots; region->fresh++) {
        uint32_t index = (region->first + region->fresh) % region->slots;

        place->start = region->base + ((vaddr_t)index << region->order);
        if (slot_make(space, place->start, &place->slot) != E_SUCCESS)
            return false;
        if (place->slot->link == 0)
            return true;
    }
    return false;
}

/* The domain's own. */
static inline struct vm_region *region_of_order(struct address_space *space, unsigned order)
{
    return &space->regions[(SLOTS_BASE >> VM_REGION_SHIFT) + order - VM_SLOT_ORDER_MIN];
}

/* A slot that was used before, else a fresh one, else one that the reserve has; false if the region has none. */
COLD static bool region_find_slot(struct address_space *space, struct vm_region *region, struct vm_place *place)
{
    place->region = region;
    if (QUIRE_THREADS && region->slots == 0) /* too large for the domain */
        return false;
    if (region->free == VM_NO_SLOT && region_fresh_slot(space, place))
        return true;
    if (region->free == VM_NO_SLOT)
        reserve_release(space);
    if (region->free == VM_NO_SLOT)
        return false;
    place->start = region->base + ((vaddr_t)region->free << region->order);
    place->slot = slot_at(region, region->free);
    return true;
}

/* Behind all that is in one of the regions without slots that nobody gives out. */
static bool place_in_large_region(struct address_space *space, size_t size, struct vm_place *place)
{
    for (place->region = region_of_order(space, SLOT_ORDER_MAX) + 1; place->region != region_of(space, LOW_HALF_END);
         place->region++) {
        const struct vm_segment *last = place->region->only->root;

        while (last && last->child[1])
            last = last->child[1];
        place->start = last ? segment_end(last) : place->region->base;
        place->slot = place->region->only;
        if (size <= ((vaddr_t)1 << VM_REGION_SHIFT) - (place->start - place->region->base))
            return true;
    }
    return false;
}

/* When the slots of the size with headroom are used up: larger ones, then those with less headroom, then none. */
static COLD __attribute__((noinline)) bool find_other_place(struct address_space *space, unsigned least, unsigned order,
                                                            size_t size, struct vm_place *place)
{
    for (unsigned larger = order + 1; larger <= SLOT_ORDER_MAX; larger++) {
        if (region_find_slot(space, region_of_order(space, larger), place))
            return true;
    }
    while (order-- > (least < VM_SLOT_ORDER_MIN ? VM_SLOT_ORDER_MIN : least)) {
        if (region_find_slot(space, region_of_order(space, order), place))
            return true;
    }
    return is_whole(space) && place_in_large_region(space, size, place);
}

/* A slot with headroom for a segment of the size, if there is one. */
static inline bool find_place(struct address_space *space, size_t size, struct vm_place *place)
{
    unsigned least = log2_ceil(size);
    unsigned order = least + HEADROOM_ORDER < VM_SLOT_ORDER_MIN ? VM_SLOT_ORDER_MIN : least + HEADROOM_ORDER;

    if (UNLIKELY(order > SLOT_ORDER_MAX))
        order = SLOT_ORDER_MAX;
    if (LIKELY(least <= SLOT_ORDER_MAX && region_find_slot(space, region_of_order(space, order), place)))
        return true;
    return find_other_place(space, least, order, size, place);
}

/* The last address of the slot (or of the region or its part, or of what in it has no slots) that holds va. */
static vaddr_t slot_last(struct address_space *space, vaddr_t va)
{
    const struct vm_region *region = region_of(space, va);
    vaddr_t region_last = va | (((vaddr_t)1 << part_shift(va)) - 1);
    size_t index = (va - region->base) >> region->order;

    if (region->only || va < region->base || index >= region->slots)
        return va < region->base ? region->base - 1 : region_last;
    return region->base + ((index + 1) << region->order) - 1;
}

/* ---- trees ---- */

/* The finalizer of MurmurHash3 (Appleby 2011), so that no regular spacing of segments makes regular priorities. */
static inline uint64_t priority(const struct vm_segment *segment)
{
    uint64_t bits = segment->start >> VM_PAGE_SHIFT;

    bits = (bits ^ bits >> 33) * 0xff51afd7ed558ccdu;
    bits = (bits ^ bits >> 33) * 0xc4ceb9fe1a85ec53u;
    return bits ^ bits >> 33;
}

COLD static void tree_insert(struct vm_segment **link, struct vm_segment *segment)
{
    if (LIKELY(!*link)) { /* a segment that is in no tree has no children */
        *link = segment;
        return;
    }
    while (*link && priority(*link) >= priority(segment))
        link = &(*link)->child[segment->start > (*link)->start];

    struct vm_segment *rest = *link;
    struct vm_segment **low = &segment->child[0], **high = &segment->child[1];

    *link = segment;
    while (rest) { /* what is left of the segment goes to its low side, the rest to its high side */
        if (rest->start < segment->start) {
            *low = rest;
            low = &rest->child[1];
            rest = *low;
        } else {
            *high = rest;
            high = &rest->child[0];
            rest = *high;
        }
    }
    *low = *high = NULL;
}

COLD static void tree_remove(struct vm_segment **link, struct vm_segment *segment)
{
    while (*link != segment) {
        CHECK(*link, "segment %p at %#lx is not on the map", (void *)segment, (unsigned long)segment->start);
        link = &(*link)->child[segment->start > (*link)->start];
    }

    struct vm_segment *low = segment->child[0], *high = segment->child[1];

    if (LIKELY(!low && !high)) {
        *link = NULL;
        return;
    }
    while (low && high) {
        struct vm_segment *winner = priority(low) >= priority(high) ? low : high;
        unsigned side = winner == low;

        *link = winner;
        link = &winner->child[side];
        if (side)
            low = *link;
        else
            high = *link;
    }
    *link = low ? low : high;
    segment->child[0] = segment->child[1] = NULL;
}

/* The first segment of the tree that ends above va. */
COLD static struct vm_segment *tree_lower_bound(struct vm_segment *segment, vaddr_t va)
{
    struct vm_segment *best = NULL;

    while (segment) {
        if (segment_end(segment) > va) {
            best = segment;
            segment = segment->child[0];
        } else {
            segment = segment->child[1];
        }
    }
    return best;
}

COLD struct vm_segment *segment_next(struct address_space *space, vaddr_t va, vaddr_t limit)
{
    struct vm_segment *found = space_at(space, va)->last; /* nearly always */

    if (LIKELY(va < limit && va - found->start < found->size))
        return found;
    while (va < limit) {
        struct vm_region *region = region_of(space, va);
        size_t index = (va - region->base) >> region->order;
        const union vm_slot *slot = slot_of(space, va);
        struct vm_segment *segment = tree_lower_bound(slot_root(slot), va);
        vaddr_t last = slot_last(space, va);

        if (segment)
            return segment->start < limit ? segment : NULL;
        /* Without a table there is nothing in any slot of it. */
        if (!region->only && va >= region->base && index < region->slots && !slot) {
            vaddr_t table_last = region->base + (((index / SLOTS_PER_PAGE + 1) * SLOTS_PER_PAGE) << region->order) - 1;

            last = va | (((vaddr_t)1 << part_shift(va)) - 1);
            if (region->directory && table_last < last)
                last = table_last;
        }
        /* The slots behind it in the same table that are empty too. */
        if (!region->only && slot)
            for (; ++index % SLOTS_PER_PAGE && index < region->slots && last < limit - 1 && !slot_root(++slot);)
                last += (vaddr_t)1 << region->order;
        if (last >= limit - 1)
            return NULL;
        va = last + 1;
        if (va == LOW_HALF_END) /* the hole between the canonical halves */
            va = ~(LOW_HALF_END - 1);
    }
    return NULL;
}

/* As deep as the tree on its low sides. */
static void visit_tree(const struct vm_segment *segment, void (*visit)(void *, const struct vm_segment *),
                       void *context)
{
    for (; segment; segment = segment->child[1]) {
        if (segment->child[0])
            visit_tree(segment->child[0], visit, context);
        visit(context, segment);
    }
}

COLD void segments_visit(struct address_space *space, void (*visit)(void *, const struct vm_segment *), void *context)
{
    SPACE_HOLD(space);
    for (const struct vm_region *region = space->regions; region < space->regions + VM_REGIONS; region++) {
        size_t tables = region->directory ? (region->slots + SLOTS_PER_PAGE - 1) / SLOTS_PER_PAGE : 0;

        if (region->only)
            visit_tree(region->only->root, visit, context);
        for (size_t table = 0; table < tables; table++) {
            const union vm_slot *slot = region->directory[table];

            for (unsigned left = slot ? SLOTS_PER_PAGE : 0; left > 0; left--, slot++) {
                if (UNLIKELY(slot->link && !(slot->link & VM_SLOT_FREE)))
                    visit_tree(slot->root, visit, context);
            }
        }
    }
}

bool segment_range_free(struct address_space *space, vaddr_t start, vaddr_t end)
{
    return end - 1 <= slot_last(space, start) && !segment_next(space, start, end);
}

/* ---- structures ---- */

/* A page of segment structures. */
struct vm_slab {
    struct vm_slab *previous, *next; /* among those with a free one */
#if QUIRE_THREADS
    struct address_space *owner;
#endif
    struct vm_segment *free; /* by child[0] */
    unsigned used, fresh;    /* structures from `fresh` on were never given out */
    struct vm_segment segments[];
};

#define SLAB_SEGMENTS ((VM_PAGE_SIZE - sizeof(struct vm_slab)) / sizeof(struct vm_segment))

static void slab_link(struct address_space *space, struct vm_slab *slab)
{
#if QUIRE_THREADS
    slab->owner = space;
#endif
    slab->previous = NULL;
    slab->next = space->slabs;
    if (slab->next)
        slab->next->previous = slab;
    space->slabs = slab;
}

static void slab_unlink(struct address_space *space, struct vm_slab *slab)
{
    if (slab->previous)
        slab->previous->next = slab->next;
    else
        space->slabs = slab->next;
    if (slab->next)
        slab->next->previous = slab->previous;
}

/* Field by field: as one assignment the compiler builds it on the stack and copies it. The counts are zero: in a fresh
 * slab, and again when a segment dies. */
static inline void clear(struct vm_segment *segment)
{
    segment->magic = VM_SEGMENT_ALIVE;
    segment->child[0] = segment->child[1] = NULL;
    segment->own = NULL;
    segment->mapped = false;
    segment->run = 0;
    segment->next = 0;
    segment->slot_order = 0;
}

static void slab_put(struct address_space *space, struct vm_slab *slab, struct vm_segment *segment)
{
    segment->child[0] = slab->free;
    slab->free = segment;
    if (slab->used-- == SLAB_SEGMENTS)
        slab_link(space, slab);
    if (slab->used == 0 && (slab->previous || slab->next)) { /* the last one with room is kept */
        slab_unlink(space, slab);
        bookkeeping_put(space, slab);
    }
}

static inline struct vm_slab *slab_of(const struct vm_segment *segment)
{
    return (struct vm_slab *)align_down((uintptr_t)segment, VM_PAGE_SIZE);
}

#if QUIRE_THREADS
/* The structure of a segment that was moved here: its domain takes it back when it needs one. */
COLD static void return_to_owner(struct address_space *owner, struct vm_segment *segment)
{
    segment->child[0] = __atomic_load_n(&owner->returned, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&owner->returned, &segment->child[0], segment, true, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED))
        continue;
}

static bool take_returned(struct address_space *space)
{
    struct vm_segment *segment = NULL, *next;

    if (__atomic_load_n(&space->returned, __ATOMIC_RELAXED))
        segment = __atomic_exchange_n(&space->returned, NULL, __ATOMIC_ACQUIRE);
    for (next = segment; next; segment = next) {
        next = segment->child[0];
        slab_put(space, slab_of(segment), segment);
    }
    return space->slabs != NULL;
}

static inline bool is_of_other(const struct address_space *space, const struct vm_segment *segment)
{
    return slab_of(segment)->owner != space;
}
#else
static inline bool take_returned(struct address_space *space)
{
    (void)space;
    return false;
}
#endif

void segment_release(struct address_space *space, struct vm_segment *segment)
{
    if (space->last == segment)
        space->last = &space->none;
    segment->magic = 0;
#if QUIRE_THREADS
    if (UNLIKELY(is_of_other(space, segment))) {
        return_to_owner(slab_of(segment)->owner, segment);
        return;
    }
#endif
    slab_put(space, slab_of(segment), segment);
}

struct vm_segment *segment_allocate(struct address_space *space)
{
    struct vm_slab *slab = space->slabs;
    struct vm_segment *segment;

    if (UNLIKELY(!slab && take_returned(space)))
        slab = space->slabs;
    if (UNLIKELY(!slab)) {
        slab = bookkeeping_page(space);
        if (!slab)
            return NULL;
        slab_link(space, slab);
    }
    if (slab->free) {
        segment = slab->free;
        slab->free = segment->child[0];
    } else {
        segment = &slab->segments[slab->fresh++];
    }
    if (++slab->used == SLAB_SEGMENTS)
        slab_unlink(space, slab);
    clear(segment);
    return segment;
}

bool segment_reserve(struct address_space *space, size_t count)
{
    struct vm_segment *first;

    if (count == 0)
        return true;
    first = segment_allocate(space);
    if (!first)
        return false;
    bool reserved = segment_reserve(space, count - 1);

    segment_release(space, first);
    return reserved;
}

/* ---- the reserve ---- */

/* The slot, whose segment was the only one and is dead, goes to the list of its region, and the structure to its slab.
 */
COLD static void give_up(struct address_space *space, struct vm_segment *segment)
{
    struct vm_region *region = region_of(space, segment->start);

    slot_list_push(region, slot_index(region, segment->start));
    segment_release(space, segment);
}

/* The addresses that wait can be used: everything was flushed since. */
COLD static void settle_waiting(struct address_space *space)
{
    struct vm_reserve *reserve = &space->reserve;

    while (reserve->waiting > 0) {
        struct vm_segment *segment = reserve->wait[--reserve->waiting];

        segment->mapped = false;
        segment->slot->root = segment;
        segment->child[0] = segment->child[1] = NULL;
        if (segment_may_be_kept(space, segment))
            segment_keep(space, segment);
        else
            give_up(space, segment);
    }
}

void segment_wait(struct address_space *space, struct vm_segment *segment)
{
    struct vm_reserve *reserve = &space->reserve;

    if (reserve->waiting >= (other_cpus_run() ? VM_WAITING_ROOM : VM_WAITING_MAX) &&
        reserve->epoch == space->mmu.flushed_all)
        mmu_flush(&space->mmu);
    if (reserve->epoch != space->mmu.flushed_all)
        settle_waiting(space);
    reserve->epoch = space->mmu.flushed_all;
    reserve->wait[reserve->waiting++] = segment;
    segment->size = 0;
    segment->magic = 0;
    segment->slot->link = (uintptr_t)segment | VM_SLOT_FREE | VM_SLOT_KEPT;
}

COLD void reserve_release(struct address_space *space)
{
    struct vm_reserve *reserve = &space->reserve;

    if (reserve->waiting > 0 && reserve->epoch == space->mmu.flushed_all)
        mmu_flush(&space->mmu);
    settle_waiting(space);
    for (unsigned order = 1; order <= VM_SLOT_ORDERS; order++) {
        while (reserve->kept[order]) {
            struct vm_segment *segment = reserve->kept[order];

            reserve->kept[order] = segment->child[0];
            give_up(space, segment);
        }
        reserve->count[order] = 0;
    }
}

/* ---- linking ---- */

COLD static inline void link_at(struct address_space *space, const struct vm_place *place, struct vm_segment *segment)
{
    if (place->slot->link & VM_SLOT_KEPT)
        reserve_release(space_at(space, place->start));
    if (LIKELY(place->slot->link & VM_SLOT_FREE))
        slot_list_remove(place->region, place->slot);
    segment->slot = place->slot;
    tree_insert(&place->slot->root, segment);
}

/* The place at a given address; false if not all of [start, start + size) is free. */
static __attribute__((noinline)) bool place_at(struct address_space *space, vaddr_t start, size_t size,
                                               struct vm_place *place)
{
    place->start = start;
    place->region = region_of(space, start);
    return start >= NULL_GUARD_END && segment_range_free(space, start, start + size) &&
           slot_make(space, start, &place->slot) == E_SUCCESS;
}

static __attribute__((noinline)) bool place_for(struct address_space *space, vaddr_t start, size_t size,
                                                struct vm_place *place)
{
    return start == VM_ANYWHERE ? find_place(space, size, place) : place_at(space, start, size, place);
}

bool segment_find_place(struct address_space *space, const struct vm_segment *segment, vaddr_t start, size_t size,
                        struct vm_place *place)
{
    if (!segment_has_slot_of(space, segment, start, start + size - 1))
        return place_for(space, start, size, place);
    place->start = start;
    place->region = region_of(space, start);
    place->slot = segment->slot;
    return start - segment->start >= segment->size && segment->start - start >= size;
}

/* The addresses at the place become the segment's. */
static inline void set_range(struct vm_segment *segment, const struct vm_place *place, size_t size)
{
    const struct vm_region *region = place->region;

    segment->start = place->start;
    segment->size = size;
    segment->slot_order = 0;
    if (!region->only && is_aligned(place->start - region->base, (vaddr_t)1 << region->order))
        segment->slot_order = (uint8_t)(region->order - VM_SLOT_ORDER_MIN + 1);
}

void segment_link_beside(struct address_space *space, const struct vm_segment *there, struct vm_segment *segment)
{
    (void)space;
    segment->slot = there->slot;
    tree_insert(&there->slot->root, segment);
}

COLD void segment_unlink(struct address_space *space, struct vm_segment *segment)
{
    union vm_slot *slot = slot_of(space, segment->start);
    struct vm_region *region = region_of(space, segment->start);

    tree_remove(&slot->root, segment);
    if (!slot->root && !region->only)
        slot_list_push(region, slot_index(region, segment->start));
}

COLD struct vm_segment *vm_segment_create(struct address_space *space, const struct vm_segment_driver *driver,
                                          vaddr_t start, size_t size, vm_flags_t flags)
{
    SPACE_HOLD_AT_HOME(space, driver, start, size);
    struct vm_place place;
    struct vm_segment *segment = start == VM_ANYWHERE ? segment_reuse(space, driver, size, flags) : NULL;

    if (LIKELY(segment)) {
        segment->origin = ++space->origins;
        return segment;
    }
    if (UNLIKELY(!place_for(space, start, size, &place)))
        return ERR_PTR(E_NOMEM);
    segment = segment_allocate(space);
    if (UNLIKELY(!segment))
        return ERR_PTR(E_NOMEM);
    segment->driver = driver;
    segment->flags = flags;
    segment->largest = largest_page_of(flags);
    segment->origin = ++space->origins;
    set_range(segment, &place, size);
    link_at(space, &place, segment);
    space->last = segment;
    return segment;
}

/* To a slot that has or had other segments. */
static __attribute__((noinline)) void change_slot(struct address_space *space, struct vm_segment *segment,
                                                  const struct vm_place *place, size_t size)
{
    segment_unlink(space, segment);
    set_range(segment, place, size);
    link_at(space, place, segment);
}

void segment_change_place(struct address_space *space, struct vm_segment *segment, const struct vm_place *place,
                          size_t size)
{
    if (place->slot == segment->slot && segment_is_alone(segment))
        set_range(segment, place, size);
    else
        change_slot(space, segment, place, size);
}

COLD void vm_segment_destroy(struct address_space *space, struct vm_segment *segment)
{
    SPACE_HOLD_AT(space, segment->start);
    driver_remember(segment);
    if (!segment->mapped && segment_may_be_kept(space, segment)) {
        segment_keep(space, segment);
        return;
    }
    segment_unlink(space, segment);
    segment_release(space, segment);
}

/* True if the segment is all that is in a slot. */
static bool has_slot(struct address_space *space, const struct vm_segment *segment)
{
    return segment_is_alone(segment) && !region_of(space, segment->start)->only;
}

/* The bytes of the slot that begins with the segment; 0: none does. */
static size_t slot_room(const struct vm_segment *segment)
{
    return segment->slot_order > 0 ? (size_t)1 << (segment->slot_order + VM_SLOT_ORDER_MIN - 1) : 0;
}

long segment_free_slowly(struct address_space *space, struct vm_segment *segment)
{
    if (segment->size == 0)
        return -E_INVAL;
    segment->next = 0; /* the structure may be kept for a segment that begins as this one did */
    bool may_wait = has_slot(space, segment) && mmu_is_known_elsewhere(segment->start, segment->size);

    if (segment->mapped && (may_wait || !space_put_few(space, segment->start, segment->size))) {
        space_note_peak(space);
        if (!has_slot(space, segment)) {
            mmu_unmap(&space->mmu, segment->start, segment->size, true);
        } else if (mmu_unmap_lazily(&space->mmu, segment->start, segment->size, slot_room(segment))) {
            driver_remember(segment);
            segment_wait(space, segment);
            return 0;
        }
    }
    segment->mapped = false;
    vm_segment_destroy(space, segment);
    return 0;
}

bool segment_free_whole(struct address_space *space, vaddr_t start, size_t size)
{
    struct vm_segment *segment = space->last;

    if (UNLIKELY(segment->start != start))
        segment = slot_root(slot_of(space, start));
    if (UNLIKELY(!segment || segment->start != start || segment->size != size || !segment_is_alone(segment) ||
                 segment->driver->vm_free != vm_segment_free_owned || segment_is_served(segment)))
        return false;
    segment_free_owned(space, segment);
    return true;
}

error_t vm_segment_set_size(struct address_space *space, struct vm_segment *segment, size_t size)
{
    SPACE_HOLD_AT(space, segment->start);
    vaddr_t end;

    if (size > segment->size) {
        if (__builtin_add_overflow(segment->start, size, &end) || end - 1 > slot_last(space, segment->start) ||
            (!segment_is_alone(segment) && segment_next(space, segment_end(segment), end)))
            return E_NOMEM;
    }
    segment->size = size;
    return E_SUCCESS;
}

/* ---- the address space ---- */

/* xorshift64* (Vigna 2016): a start address needs no more than to differ from run to run. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1du;
}

static void region_init(struct address_space *space, unsigned index, uint64_t *seed)
{
    struct vm_region *region = &space->regions[index];
    vaddr_t start = (vaddr_t)((int64_t)((uint64_t)index << (VM_REGION_SHIFT + 16)) >> 16);
    unsigned order = (unsigned)((start - SLOTS_BASE) >> VM_REGION_SHIFT) + VM_SLOT_ORDER_MIN;
    unsigned shift = part_shift(start);

    region->base = start + ((vaddr_t)space_number(space) << shift);
    region->free = VM_NO_SLOT;
    if (start < SLOTS_BASE || start >= LOW_HALF_END || order > SLOT_ORDER_MAX) {
        region->order = VM_REGION_SHIFT;
        region->slots = 1;
        region->only = &space->large[index];
        return;
    }
    if (!is_whole(space) && shift == VM_REGION_SHIFT)
        return;
    uint64_t all = (uint64_t)1 << (shift - order);

    region->order = order;
    region->slots = all < SLOTS_MAX ? (uint32_t)all : SLOTS_MAX;
    if (*seed && all > region->slots)
        region->base += (next_random(seed) % (all - region->slots + 1)) << order;
    else if (*seed)
        region->first = (uint32_t)(next_random(seed) % region->slots);
}

struct address_space *current_space;

struct address_space *vm_space(void)
{
    return current_space;
}

void vm_space_use(struct address_space *space)
{
    current_space = space;
}

static void init_slots(struct address_space *space, uint64_t seed)
{
    space->reserve.count[0] = VM_KEPT_MAX;
    space->none.slot = &space->large[0];
    space->last = &space->none;
    for (unsigned i = 0; i < VM_REGIONS; i++)
        region_init(space, i, &seed);
}

COLD error_t vm_space_init(struct address_space *space, paddr_t root, uint64_t seed)
{
    memset(space, 0, sizeof(*space));
#if QUIRE_THREADS
    space->whole = space->domains[0] = space;
    space->seed = seed;
#endif
    space->mmu.root = root;
    mmu_forget_table(&space->mmu);
    space->owns_tables = root == 0;
    if (space->owns_tables && mmu_init(&space->mmu) != E_SUCCESS)
        return E_NOMEM;
    init_slots(space, seed);
    return E_SUCCESS;
}

#if QUIRE_THREADS
COLD void space_init_domain(struct address_space *domain, struct address_space *whole, unsigned number)
{
    memset(domain, 0, sizeof(*domain));
    domain->whole = whole;
    domain->number = number;
    spin_set_rank(&domain->lock.spin, number);
    domain->bookkeeping = (size_t)1 << DOMAIN_FRAMES_ORDER;
    domain->origins = (uint64_t)number << 56; /* two of them never have the same */
    mmu_share(&whole->mmu, &domain->mmu);
    init_slots(domain, whole->seed ? whole->seed + number : 0);
}
#endif

static void region_destroy(struct address_space *space, struct vm_region *region)
{
    if (!region->directory)
        return;
    for (unsigned i = 0; i < SLOTS_PER_PAGE; i++) {
        if (region->directory[i])
            bookkeeping_put(space, region->directory[i]);
    }
    bookkeeping_put(space, region->directory);
}

/* Gives back all that the domain has but its page tables. */
COLD void space_empty(struct address_space *space)
{
    reserve_release(space);
    visitors_destroy(space);
    for (unsigned i = 0; i < VM_REGIONS; i++)
        region_destroy(space, &space->regions[i]);
    take_returned(space);
    while (space->slabs) {
        struct vm_slab *slab = space->slabs;

        slab_unlink(space, slab);
        bookkeeping_put(space, slab);
    }
}

COLD void vm_space_destroy(struct address_space *space)
{
    struct vm_segment *segment;

    while ((segment = vm_next(space, 0))) {
        if (segment->driver->vm_free)
            segment->driver->vm_free(space_at(space, segment->start), segment);
        else
            vm_segment_destroy(space, segment);
    }
    for (struct address_space *domain = space; domain; domain = space_after(domain))
        reserve_release(domain); /* of which structures may be another's */
    domains_destroy(space);
    space_empty(space);
    if (space->owns_tables)
        mmu_destroy(&space->mmu);
    else
        mmu_trim(&space->mmu);
    if (current_space == space)
        current_space = NULL;
}

size_t vm_bookkeeping_frames(const struct address_space *space)
{
    SPACE_HOLD_ALL((struct address_space *)space);
    size_t frames = mmu_tables(&space->mmu);

    for (const struct address_space *domain = space; domain; domain = space_after((struct address_space *)domain))
        frames += domain->bookkeeping + domain->mmu.cached;
    return frames;
}
