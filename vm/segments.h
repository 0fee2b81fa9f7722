/* Finding, making and linking segments: private to vm/. The theory is at the top of segments.c. */
#ifndef VM_SEGMENTS_H
#define VM_SEGMENTS_H

#include "machine.h"
#include "vm/space.h"

#define REGION_SHIFT 41u
#define SLOTS_PER_PAGE 512u

/* What vm_space() answers. */
extern struct address_space *current_space;

static inline struct vm_region *region_of(struct address_space *space, vaddr_t va)
{
    return &space->regions[(va >> REGION_SHIFT) % VM_REGIONS];
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
    return slot && !(slot->link & 1) ? slot->root : NULL;
}

static inline vaddr_t segment_end(const struct vm_segment *segment)
{
    return segment->start + segment->size;
}

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

/* The first segment that ends above va and starts below the limit, or NULL. */
struct vm_segment *segment_next(struct address_space *space, vaddr_t va, vaddr_t limit);

/* True if [start, end) touches no segment and lies within one slot (or region without slots). */
bool segment_range_free(struct address_space *space, vaddr_t start, vaddr_t end);

/* True if both addresses are in the same slot, so that segments there can be merged. */
bool segment_same_slot(struct address_space *space, vaddr_t a, vaddr_t b);

/* A segment structure, zeroed but alive and not linked; NULL when there is no frame. */
struct vm_segment *segment_allocate(struct address_space *space);
void segment_release(struct address_space *space, struct vm_segment *segment);

/* Makes sure that the next `count` allocations (a few) succeed; false when there is no frame. */
bool segment_reserve(struct address_space *space, size_t count);

/* Enters the segment into its slot and the list. The slot's table exists or is made: E_NOMEM. */
error_t segment_link(struct address_space *space, struct vm_segment *segment);
void segment_unlink(struct address_space *space, struct vm_segment *segment);

/* Recounts what is resident from the page tables. */
void segment_recount(struct address_space *space, struct vm_segment *segment);

/* Folds a dying segment's counts into its driver's (vm/drivers.c). */
void driver_remember(const struct vm_segment *segment);

#endif
