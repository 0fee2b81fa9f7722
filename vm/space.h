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
#define VM_REGION_SHIFT 41u
#define VM_SLOT_ORDER_MIN 16u
#define VM_NO_SLOT 0xffffffu

/*
 * Domains. The regions whose slots are not larger than 32 GiB are divided into 64 parts, by bits 35 to 40 of an
 * address; all other addresses belong to the first part. A part is a domain: an address_space with slots, segment
 * structures, page tables below the common root, and a lock of its own. The first is the one that everybody knows and
 * passes to vm/vm.h (vm_space); another is made when the CPU of that number first allocates, or somebody names an
 * address in it. Each CPU allocates from its own domain, so that what CPUs do to memory of their own touches no common
 * cache line.
 *
 * Whoever looks at segments or page tables holds the lock of their domain, from the entry of each operation of vm/vm.h,
 * vm/object.h and vm/driver.h, and of vm_handle_fault, to its end; only where several CPUs fault in a domain they need
 * none for that (vm/visitors.c). While it waits for a lock a CPU serves what others
 * ask of it (core/spinlock.h): flushes above all, which holders wait for (arch/x86_64/mmu.c).
 *
 * Order: a CPU that holds a domain waits only for one of a higher number. What concerns several domains holds all. What
 * is not anonymous memory, and so may look at other segments from inside of an operation (a driver of the program, a
 * memory object that tells others), is put into domain 0; where the program names an address in another domain, that
 * domain is tied to domain 0 from then on: both are held for whatever is done there, so that who holds domain 0 has it,
 * too.
 *
 * A segment that was found may be gone when the lock is given back: who calls vm_find and uses the segment holds the
 * domain around both, unless it owns the segment.
 */
#if QUIRE_THREADS
#define DOMAIN_SHIFT 35u
#define DOMAINS 64u
#endif

#define VM_SLOT_ORDERS 25u
/* Where several CPUs run each free waits for an epoch, which all of them have to be asked for. */
#define VM_KEPT_MAX (QUIRE_THREADS ? 256u : 8u)
#define VM_WAITING_MAX 32u
#define VM_WAITING_ROOM (QUIRE_THREADS ? 256u : VM_WAITING_MAX)

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
    struct vm_segment *wait[VM_WAITING_ROOM];
};

#define SPACE_LINE _Alignas(QUIRE_THREADS ? 64 : 8)

/* With threads the lock has a cache line to itself, as those that wait for it look at it all the time, and what
 * everybody reads to find a domain is on lines that are seldom changed. The rest is for who holds the lock. */
struct address_space {
    struct space_lock lock;
#if QUIRE_THREADS
    SPACE_LINE union {
        uint16_t special; /* either of these */
        struct {
            bool tied; /* its lock is held together with that of domain 0 */
            bool open; /* atomic: faults need no lock (vm/visitors.c), and who holds it closes it first */
        };
    };
    unsigned number;             /* of the domain */
    struct vm_visitor *visitors; /* of each CPU one; NULL: it was never open */
    struct address_space *whole; /* domain 0 */
    struct vm_segment *returned; /* atomic: structures of its slabs that other domains have given back, by child[0] */
    /* Of domain 0: all of them, atomic; how many times over its holder holds all, and which those are. */
    struct address_space *domains[DOMAINS];
    unsigned all_depth;
    uint64_t all_held;
    uint64_t seed;
#endif
    SPACE_LINE struct mmu mmu;
    bool owns_tables;
    unsigned visits;         /* faults by other CPUs than its own since it was closed last */
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

#if QUIRE_THREADS
static inline unsigned domain_of(vaddr_t va)
{
    vaddr_t offset = va - SLOTS_BASE;

    return offset >> VM_REGION_SHIFT <= DOMAIN_SHIFT - VM_SLOT_ORDER_MIN ? (va >> DOMAIN_SHIFT) % DOMAINS : 0;
}

/* The domain that holds the address; domain 0, which has nothing there, as long as that is not made. */
static inline struct address_space *space_at(struct address_space *space, vaddr_t va)
{
    struct address_space *domain = __atomic_load_n(&space->whole->domains[domain_of(va)], __ATOMIC_ACQUIRE);

    return LIKELY(domain != NULL) ? domain : space->whole;
}

/* The next domain in order; NULL: there is none. */
struct address_space *space_after(struct address_space *domain);

struct space_hold {
    struct address_space *domain; /* NULL: there is no space yet */
    bool tied, all;
};

void space_hold_special(struct space_hold *);
void space_release_all(struct address_space *whole);
struct space_hold space_hold_all(struct address_space *);

static inline struct space_hold space_hold(struct address_space *domain)
{
    struct space_hold hold = {.domain = domain};

    if (UNLIKELY(!domain))
        return hold;
    space_lock(&domain->lock);
    if (UNLIKELY(domain->special))
        space_hold_special(&hold);
    return hold;
}

static inline struct space_hold space_hold_at(struct address_space *space, vaddr_t va)
{
    return space_hold(space ? space_at(space, va) : NULL);
}

/* All, if they are not of one domain. */
static inline struct space_hold space_hold_range(struct address_space *space, vaddr_t start, vaddr_t last)
{
    return LIKELY((start ^ last) >> DOMAIN_SHIFT == 0) ? space_hold_at(space, start) : space_hold_all(space);
}

static inline void space_release(const struct space_hold *hold)
{
    if (UNLIKELY(!hold->domain))
        return;
    if (UNLIKELY(hold->all)) {
        space_release_all(hold->domain);
        return;
    }
    space_unlock(&hold->domain->lock);
    if (UNLIKELY(hold->tied))
        space_unlock(&hold->domain->whole->lock);
}

/* False: another CPU has it. For who may hold another. */
bool space_try(struct space_hold *hold, struct address_space *domain);

/* Each holds something of the space, which may be NULL, from here to the end of the block. What holds a domain has the
 * variable `space` name that from then on; _RANGE: the one with the start. */
#define SPACE_HELD struct space_hold held_space __attribute__((cleanup(space_release), unused))
#define SPACE_HOLD(space) SPACE_HELD = space_hold(space)
#define SPACE_HOLD_ALL(space) SPACE_HELD = space_hold_all(space)
#define SPACE_HOLD_AT(space, va)                                                                                       \
    SPACE_HELD = space_hold_at(space, va);                                                                             \
    (space) = held_space.domain
#define SPACE_HOLD_RANGE(space, start, size)                                                                           \
    SPACE_HELD = space_hold_range(space, start, (start) + (size)-1);                                                   \
    (space) = held_space.all ? space_at(space, start) : held_space.domain

#define SPACE_HOLD_OWN(space)                                                                                          \
    SPACE_HELD = space_hold(space_own(space));                                                                         \
    (space) = held_space.domain

/* The domain of the running CPU; domain 0 if there is no frame for one. */
struct address_space *space_own(struct address_space *);
/* The domain of the address, made if necessary and possible, and tied if it is not domain 0. */
struct address_space *space_at_named(struct address_space *, vaddr_t, bool tied);
#else
static inline struct address_space *space_at(struct address_space *space, vaddr_t va)
{
    (void)va;
    return space;
}

static inline struct address_space *space_after(struct address_space *space)
{
    (void)space;
    return NULL;
}

#define SPACE_HOLD(space) ((void)sizeof(space))
#define SPACE_HOLD_ALL(space) ((void)sizeof(space))
#define SPACE_HOLD_OWN(space) ((void)sizeof(space))
#define SPACE_HOLD_AT(space, va) ((void)sizeof(space))
#define SPACE_HOLD_RANGE(space, start, size) ((void)sizeof(space))
#endif

/* For a panic, when other CPUs have stopped wherever they were: what they held is this CPU's. */
void space_seize(struct address_space *);

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
/* What a further CPU has of the image for itself, VM_RW: the caller maps its pages. */
struct vm_segment *vm_cpu_area_add(struct address_space *, const char *name, vaddr_t, size_t);

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
