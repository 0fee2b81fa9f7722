/* The address space itself, and what the core needs at boot. For core/ and vm/ only; applications use vm/vm.h. */
#ifndef VM_SPACE_H
#define VM_SPACE_H

#include "vm/driver.h"
#include "vm/lock.h"
#include "vm/mmu.h"

/* One of the 128 parts of the address space, by bits 41 to 47 of the address; see vm/segments.c. */
struct vm_region {
    vaddr_t base;              /* of slot 0 */
    unsigned order;            /* log2 of a slot's bytes */
    uint32_t slots;            /* number of slots */
    uint32_t first;            /* where giving out slots begins, then all the way round */
    uint32_t fresh;            /* so many were given out or passed over */
    uint32_t free;             /* first of the list of free slots, or VM_NO_SLOT */
    union vm_slot **directory; /* pages of 512 slots each, made on demand; NULL: none yet */
    union vm_slot *only;       /* for regions of one slot, that slot */
};

/* Root of the tree of segments in a slot; 0: never used. With VM_SLOT_FREE, a link of the region's free list, or with
 * VM_SLOT_KEPT too the structure that is kept with it. */
union vm_slot {
    struct vm_segment *root;
    uintptr_t link;
};

#define VM_SLOT_FREE 1u
#define VM_SLOT_KEPT 2u

#define VM_REGIONS 128
#define VM_NO_SLOT 0xffffffu

#define VM_SLOT_ORDERS 25u
/* Where there may be several CPUs each free waits for an epoch that all of them have to be asked for. */
#define VM_KEPT_MAX (QUIRE_THREADS ? 256u : 8u)
#define VM_WAITING_MAX (QUIRE_THREADS ? 256u : 32u)

/*
 * Free slots with a structure each, for the next segments: first by slot_order (from 1 on: that of 0 is always full),
 * lists by child[0]; then
 * those whose addresses the CPU may still translate, since `epoch` (mmu.flushed_all) or before. Each
 * CPU has such a reserve, and takes slots of its own for it; there is one.
 */
struct vm_reserve {
    struct vm_segment *kept[VM_SLOT_ORDERS + 1];
    unsigned count[VM_SLOT_ORDERS + 1];
    unsigned waiting;
    uint64_t epoch;
    struct vm_segment *wait[VM_WAITING_MAX];
};

struct address_space {
    struct space_lock lock;
    struct mmu mmu;
    bool owns_tables;
    uint64_t origins;        /* segments made so far */
    struct vm_segment *last; /* found last by a fault or a change of protection: the next is often in it */
    struct vm_segment none;  /* of no bytes: `last` where there is no other */
    struct vm_slab *slabs;   /* segment structures: slabs that have a free one */
    struct vm_reserve reserve;
    size_t bookkeeping;    /* frames held for slabs and slots */
    size_t spans, windows; /* bytes of the heap driver's spans, and of the phys driver's windows */
    size_t spans_peak;
    bool has_clean; /* there may be pages whose contents were given up (VM_ADVICE_FREE) */
    /* The most that space_resident ever was, when that was last noted, and in which pages; spans are of 4 KiB. */
    uint64_t peak;
    size_t peak_pages[PAGE_SIZES];
    union vm_slot large[VM_REGIONS]; /* the slots of regions that have one */
    struct vm_region regions[VM_REGIONS];
};

/* Takes over the page tables in `root` (0: makes an empty set) and starts with no segments. seed randomises where slots
 * begin; 0: they begin at the same addresses in every run. E_NOMEM. */
error_t vm_space_init(struct address_space *, paddr_t root, uint64_t seed);
/* Frees every segment, the bookkeeping, and the tables when they were made by vm_space_init. */
void vm_space_destroy(struct address_space *);

/* Makes vm_space() answer this one. */
void vm_space_use(struct address_space *);

/* For whoever is about to refuse memory: drops the pages whose contents were given up, and what is kept for reuse.
 * False: there was nothing. Looks at the page tables of all segments in which such pages may be. Not from inside of a
 * change of page tables. */
bool space_reclaim(struct address_space *);

/* Bytes in memory now: pages of segments, lent ones too, the image and spans, but no windows; and the most that it ever
 * was. Neither looks at page tables (vm/stats.c). */
uint64_t vm_resident(struct address_space *);
uint64_t vm_resident_peak(struct address_space *);
/* The same as vm_resident, by the size of the pages. */
void vm_resident_by_page(struct address_space *, uint64_t bytes[PAGE_SIZES]);

/* For samples: a look at each segment, none at page tables. Bytes where nothing else is said; as in struct vm_stats. */
struct vm_usage {
    uint64_t resident[PAGE_SIZES], taken;
    uint64_t faults, segments; /* numbers */
};
struct vm_usage vm_usage(struct address_space *);

/* Puts a range that is mapped already (the image's sections) on the map; permanent. */
struct vm_segment *vm_image_add(struct address_space *, const char *name, vaddr_t, size_t, vm_flags_t);

/* The stack driver's guard, at the low end of each of its segments: part of the size. */
#define VM_STACK_GUARD ((size_t)16 * VM_PAGE_SIZE)
/* True if the address is in the guard of a stack segment. */
bool vm_stack_overflow(const struct vm_segment *, vaddr_t);

/* Frames that the address space holds for itself: segment structures and slot tables (kept for reuse), page tables.
 * Free frames plus this is what a sequence of operations that frees all it allocates leaves unchanged. */
size_t vm_bookkeeping_frames(const struct address_space *);

/* The only one in its slot. */
static inline bool segment_is_alone(const struct vm_segment *segment)
{
    return segment->slot->root == segment && !((uintptr_t)segment->child[0] | (uintptr_t)segment->child[1]);
}

/* The segment found last, if it is exactly that range, alone in its slot, and keeps nothing that protecting it would
 * change but page-table entries; else NULL. */
static inline struct vm_segment *vm_found_again(struct address_space *space, vaddr_t start, size_t size)
{
    struct vm_segment *segment = space->last;

    if (LIKELY(segment->start == start && segment->size == size && segment_is_alone(segment) &&
               segment->driver->protect == vm_segment_protect_mapped))
        return segment;
    return NULL;
}

/* vm_protect for what vm_found_again found. */
static inline void vm_protect_found(struct address_space *space, struct vm_segment *segment, vm_flags_t protection)
{
    segment->flags = (segment->flags & ~VM_PROTECTION) | protection;
    if (LIKELY(segment->mapped))
        mmu_protect(&space->mmu, segment->start, segment->size, protection);
}

#endif
