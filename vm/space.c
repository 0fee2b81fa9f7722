/*
 * The operations on segments: arguments are checked here, and what a NULL operation of the driver means (vm/vm.h) is
 * decided. Ranges that cover several segments are in vm/ranges.c.
 */
#include "core/base/assert.h"
#include "vm/dispatch.h"
#include "vm/segments.h"

static void check_alive(const struct vm_segment *segment, const char *operation)
{
    CHECK((uintptr_t)segment - PHYSMAP_BASE < PHYSMAP_SIZE && is_aligned((uintptr_t)segment, sizeof(void *)) &&
              segment->magic == VM_SEGMENT_ALIVE,
          "%s: %p is not a segment that is allocated now (freed twice, or never one)", operation,
          (const void *)segment);
}

static bool range_is_bad(uint64_t start, size_t size)
{
    uint64_t end;

    return size == 0 || !is_aligned(start | size, VM_PAGE_SIZE) || __builtin_add_overflow(start, size, &end);
}

static bool flags_are_bad(vm_flags_t flags)
{
    return (flags & ~VM_FLAGS_ALL) || ((flags & (VM_WRITE | VM_EXEC)) && !(flags & VM_READ));
}

inline error_t segment_check_arguments(vaddr_t start, size_t size, vm_flags_t flags)
{
    if (range_is_bad(start, size) || flags_are_bad(flags))
        return E_INVAL;
    return start + size > LOW_HALF_END ? E_NOMEM : E_SUCCESS;
}

static __attribute__((noinline)) struct vm_segment *alloc_any(struct address_space *space,
                                                              const struct vm_segment_driver *driver, vaddr_t start,
                                                              size_t size, vm_flags_t flags)
{
    error_t error = driver ? segment_check_arguments(start, size, flags) : E_INVAL;

    if (error)
        return ERR_PTR(error);
    return driver->vm_alloc ? driver->vm_alloc(space, start, size, flags) : ERR_PTR(E_NOTSUP);
}

#define PLAIN_FLAGS (VM_PROTECTION | VM_NOZERO | VM_MERGE | VM_MARKS)

static inline struct vm_segment *alloc_in(struct address_space *space, const struct vm_segment_driver *driver,
                                          vaddr_t start, size_t size, vm_flags_t flags)
{
    struct vm_segment *segment;

    SPACE_HOLD(space);
    VM_STEP_OF(space, "vm_alloc");
    /* The usual one: readable, no other wishes. What may be wrong with the size finds no slot. */
    if (LIKELY(driver == &vm_anon && start == VM_ANYWHERE && (flags & (VM_READ | ~PLAIN_FLAGS)) == VM_READ &&
               is_aligned(size, VM_PAGE_SIZE))) {
        segment = segment_reuse(space, &vm_anon, size, flags);
        if (LIKELY(segment)) {
            segment->origin = ++space->origins;
            return segment;
        }
    }
    return alloc_any(space, driver, start, size, flags);
}

#if QUIRE_THREADS
struct vm_segment *vm_alloc(struct address_space *space, const struct vm_segment_driver *driver, vaddr_t start,
                            size_t size, vm_flags_t flags)
{
    struct address_space *home = driver ? space_home(space, driver, start, size) : space;
    struct vm_segment *segment = alloc_in(home, driver, start, size, flags);

    if (UNLIKELY(IS_ERR(segment)) && ERR_OF(segment) == E_NOMEM && start == VM_ANYWHERE && !is_whole(home))
        segment = alloc_in(home->whole, driver, start, size, flags);
    return segment;
}
#else
struct vm_segment *vm_alloc(struct address_space *space, const struct vm_segment_driver *driver, vaddr_t start,
                            size_t size, vm_flags_t flags)
{
    return alloc_in(space, driver, start, size, flags);
}
#endif

struct vm_segment *vm_alloc_at(struct address_space *space, const struct vm_segment_driver *driver, paddr_t start,
                               size_t size, vm_flags_t flags)
{
    VM_OPERATION_AT(space, 0);
    if (!driver || range_is_bad(start, size) || flags_are_bad(flags))
        return ERR_PTR(E_INVAL);
    return driver->vm_alloc_at ? driver->vm_alloc_at(space, start, size, flags) : ERR_PTR(E_NOTSUP);
}

void vm_free(struct address_space *space, struct vm_segment *segment)
{
    check_alive(segment, "vm_free");
    VM_OPERATION_AT(space, segment->start);
    CHECK(segment->driver->vm_free, "vm_free: segment %#lx of driver %s is permanent", (unsigned long)segment->start,
          segment->driver->name);
    if (LIKELY(segment->driver->vm_free == vm_segment_free_owned && !segment_is_served(segment)))
        segment_free_owned(space, segment);
    else
        driver_free(space, segment);
}

error_t vm_resize(struct address_space *space, struct vm_segment *segment, size_t size)
{
    check_alive(segment, "vm_resize");
    VM_OPERATION_AT(space, segment->start);
    if (size == 0) {
        vm_free(space, segment);
        return E_SUCCESS;
    }
    if (range_is_bad(segment->start, size))
        return E_INVAL;
    if (size == segment->size)
        return E_SUCCESS;
    if (segment_is_served(segment))
        return E_BUSY;
    return segment->driver->vm_resize ? driver_resize(space, segment, size) : E_NOTSUP;
}

/* Makes `second` the upper part of the segment: it begins as a copy and has the same origin. */
static void cut(struct address_space *space, struct vm_segment *segment, struct vm_segment *second, vaddr_t at)
{
    second->start = at;
    second->size = segment_end(segment) - at;
    second->driver = segment->driver;
    second->flags = segment->flags;
    second->largest = segment->largest;
    second->mapped = segment->mapped;
    second->origin = segment->origin;
    second->own = segment->own;
    segment->size = at - segment->start;
    segment_link_beside(space, segment, second);
}

COLD struct vm_segment *segment_split(struct address_space *space, struct vm_segment *segment, vaddr_t at)
{
    return segment_in_ram_map(segment) ? ERR_PTR(E_NOTSUP) : segment_cut(space, segment, at);
}

struct vm_segment *segment_cut(struct address_space *space, struct vm_segment *segment, vaddr_t at)
{
    if (!segment->driver->split)
        return ERR_PTR(E_NOTSUP);
    if (segment_is_served(segment))
        return ERR_PTR(E_BUSY);
    struct vm_segment *second = segment_allocate(space);

    if (!second)
        return ERR_PTR(E_NOMEM);
    error_t error = segment->mapped ? mmu_split(&space->mmu, at) : E_SUCCESS;

    if (error) {
        segment_release(space, second);
        return ERR_PTR(error);
    }
    cut(space, segment, second, at);
    error = driver_split(space, segment, second);
    if (error) {
        segment->size += second->size;
        segment_unlink(space, second);
        segment_release(space, second);
        return ERR_PTR(error);
    }
    return second;
}

COLD struct vm_segment *vm_split(struct address_space *space, struct vm_segment *segment, vaddr_t at)
{
    check_alive(segment, "vm_split");
    VM_OPERATION_AT(space, segment->start);
    if (!is_aligned(at, VM_PAGE_SIZE) || at <= segment->start || at >= segment_end(segment))
        return ERR_PTR(E_INVAL);
    struct vm_segment *second = segment_split(space, segment, at);

    if (!IS_ERR(second))
        second->origin = ++space->origins; /* the caller's own: it is not merged back */
    return second;
}

/* For what goes from the segment to the address, or to VM_ANYWHERE, which is in the same domain. */
#if QUIRE_THREADS
static struct space_hold hold_both(struct address_space *space, const struct vm_segment *segment, vaddr_t to)
{
    struct address_space *from = space_at(space, segment->start);

    if (LIKELY(to == VM_ANYWHERE || domain_of(to) == from->number))
        return space_hold(from);
    space_at_named(space, to, !(segment->driver->properties & VM_DRIVER_APART));
    return space_hold_all(space);
}

#define HOLD_BOTH(space, segment, to)                                                                                  \
    SPACE_HELD = hold_both(space, segment, to);                                                                        \
    (space) = space_at(space, (segment)->start)

/* What was moved by the one domain is the other's from now on. */
static inline void hand_over(struct address_space *from, const struct vm_segment *segment, vaddr_t start, size_t size)
{
    struct address_space *to = space_at(from, start);

    if (LIKELY(from == to))
        return;
    mmu_hand_over(&from->mmu, &to->mmu, start, size);
    if (from->last == segment)
        from->last = &from->none;
}
#else
#define HOLD_BOTH(space, segment, to) ((void)0)

static inline void hand_over(struct address_space *from, const struct vm_segment *segment, vaddr_t start, size_t size)
{
    (void)from, (void)segment, (void)start, (void)size;
}
#endif

/* A segment at `to` that will show what the segment shows from `from` on. */
COLD static struct vm_segment *make_copy(struct address_space *space, struct vm_segment *segment, vaddr_t from,
                                         vaddr_t to, size_t size)
{
    struct vm_segment *target =
        vm_segment_create(to == VM_ANYWHERE ? space : space_at(space, to), segment->driver, to, size, segment->flags);

    if (IS_ERR(target))
        return target;
    target->largest = segment->largest;
    target->own = segment->own;
    error_t error = segment->driver->copy ? driver_copy(space, segment, from, target) : E_SUCCESS;

    if (error) {
        vm_segment_destroy(space, target);
        return ERR_PTR(error);
    }
    return target;
}

/* The copy is not wanted after all: nothing that is mapped there is more than a copy. */
COLD static void drop_copy(struct address_space *space, struct vm_segment *segment, struct vm_segment *target)
{
    hand_over(space, target, target->start, 0);
    vm_segment_unmap(space, target, target->start, target->size, true);
    if (segment->driver->join)
        driver_join(space, segment, target);
    vm_segment_destroy(space, target);
}

/* What the segment will be, as far as that concerns its driver and the backing of pages. */
static inline void sketch(struct vm_segment *target, const struct vm_segment *segment, vaddr_t start, size_t size)
{
    target->start = start;
    target->size = size;
    target->driver = segment->driver;
    target->flags = segment->flags;
    target->largest = segment->largest;
    target->magic = VM_SEGMENT_ALIVE;
    target->mapped = false;
    target->own = segment->own;
    target->fallbacks = 0;
}

/* What the segment will be at the place: with an `own` for there, and with VM_POPULATE what it grows by is backed. */
static error_t prepare_move(struct address_space *space, struct vm_segment *segment, struct vm_segment *target)
{
    error_t error = segment->driver->copy ? driver_copy(space, segment, segment->start, target) : E_SUCCESS;

    if (error || !(segment->flags & VM_POPULATE) || target->size <= segment->size)
        return error;
    error = vm_segment_populate(space, target, target->start + segment->size, target->size - segment->size);
    if (error && segment->driver->join)
        driver_join(space, segment, target);
    return error;
}

/* It will not be there after all. */
COLD static void cancel_move(struct address_space *space, struct vm_segment *segment, struct vm_segment *target)
{
    hand_over(space, target, target->start, 0);
    vm_segment_unmap(space, target, target->start, target->size, true);
    if (segment->driver->join)
        driver_join(space, segment, target);
}

/* What showed the contents at the old place goes. */
static __attribute__((noinline)) void give_up_old(struct address_space *space, struct vm_segment *segment,
                                                  struct vm_segment *target, void *old)
{
    target->own = old;
    driver_join(space, segment, target);
}

/* It is there. */
static inline void commit_move(struct address_space *space, struct vm_segment *segment, struct vm_segment *target,
                               const struct vm_place *place)
{
    size_t moved = segment->size < target->size ? segment->size : target->size;
    void *old = segment->own;

    segment->own = target->own;
    segment->mapped |= target->mapped;
    segment->fallbacks += target->fallbacks;
    if (UNLIKELY(segment->driver->join))
        give_up_old(space, segment, target, old);
    segment_change_place(space, segment, place, target->size);
    hand_over(space, segment, place->start, moved);
}

/* True if nothing that is mapped there belongs to others. */
static bool has_to_itself(struct address_space *space, const struct vm_segment *segment, vaddr_t start, vaddr_t end)
{
    const struct vm_segment *other;

    if (segment_has_slot_of(space, segment, start, end - 1))
        return true;
    for (other = segment_next(space, start, end); other; other = segment_next(space, segment_end(other), end)) {
        if (other != segment && other->mapped)
            return false;
    }
    return true;
}

static inline bool are_apart(vaddr_t a, vaddr_t b, size_t size)
{
    return a - b >= size && b - a >= size;
}

/* With the tables at the two ends of the range, if they are aligned alike and hold nothing else, nor both places. */
static __attribute__((noinline)) error_t move_with_ends(struct address_space *space, const struct vm_segment *segment,
                                                        vaddr_t to)
{
    vaddr_t below = to % page_bytes(PAGE_2M), from = segment->start - below;
    size_t size = align_up(below + segment->size, page_bytes(PAGE_2M));

    to -= below;
    if (is_aligned(from, page_bytes(PAGE_2M)) && are_apart(from, to, size) &&
        has_to_itself(space, segment, from, from + size) && has_to_itself(space, segment, to, to + size))
        return mmu_move(&space->mmu, from, to, size);
    return mmu_move(&space->mmu, segment->start, to + below, segment->size);
}

/* Much memory goes by whole tables. */
static inline error_t move_all_pages(struct address_space *space, const struct vm_segment *segment, vaddr_t to)
{
    if (!is_aligned(to | segment->size, page_bytes(PAGE_2M)) && segment->size > MMU_FLUSH_SINGLES * VM_PAGE_SIZE)
        return move_with_ends(space, segment, to);
    return mmu_move(&space->mmu, segment->start, to, segment->size);
}

/* The first bytes of the segment, fewer than all, go to the target; the others are given back. */
COLD static error_t move_some_pages(struct address_space *space, struct vm_segment *segment, vaddr_t to, size_t kept)
{
    vaddr_t end = segment->start + kept;
    error_t error = mmu_split(&space->mmu, end);

    if (!error)
        error = mmu_move(&space->mmu, segment->start, to, kept);
    if (!error)
        vm_segment_unmap(space, segment, end, segment->size - kept, true);
    return error;
}

static inline error_t move_pages(struct address_space *space, struct vm_segment *segment,
                                 const struct vm_segment *target)
{
    if (UNLIKELY(target->size < segment->size))
        return move_some_pages(space, segment, target->start, target->size);
    if (UNLIKELY(target->mapped))
        return mmu_move(&space->mmu, segment->start, target->start, segment->size);
    return move_all_pages(space, segment, target->start);
}

error_t vm_move(struct address_space *space, struct vm_segment *segment, vaddr_t to, size_t size)
{
    check_alive(segment, "vm_move");
    HOLD_BOTH(space, segment, to);
    VM_STEP(space);
    if (range_is_bad(to, size))
        return E_INVAL;
    if (to + size > LOW_HALF_END)
        return E_NOMEM;
    if (!(segment->driver->properties & VM_DRIVER_MERGES) || segment_in_ram_map(segment))
        return E_NOTSUP;
    if (segment_is_served(segment))
        return E_BUSY;
    struct vm_place place;

    if (!segment_find_place(space, segment, to, size, &place))
        return E_NOMEM;
    struct vm_segment target;

    sketch(&target, segment, place.start, size);

    error_t error = prepare_move(space, segment, &target);

    if (error)
        return error;
    if (segment->mapped)
        error = move_pages(space, segment, &target);
    if (error)
        cancel_move(space, segment, &target);
    else
        commit_move(space, segment, &target, &place);
    return error;
}

static bool copy_is_bad(const struct vm_segment *segment, vaddr_t from, vaddr_t to, size_t size, bool take)
{
    return range_is_bad(to, size) || !is_aligned(from, VM_PAGE_SIZE) || from - segment->start >= segment->size ||
           (take && size > segment_end(segment) - from);
}

COLD struct vm_segment *vm_copy(struct address_space *space, struct vm_segment *segment, vaddr_t from, vaddr_t to,
                                size_t size, bool take)
{
    check_alive(segment, "vm_copy");
    HOLD_BOTH(space, segment, to);
    VM_STEP(space);
    if (copy_is_bad(segment, from, to, size, take))
        return ERR_PTR(E_INVAL);
    if (to + size > LOW_HALF_END)
        return ERR_PTR(E_NOMEM);
    if (!(segment->driver->properties & VM_DRIVER_MERGES) || segment_in_ram_map(segment))
        return ERR_PTR(E_NOTSUP);
    struct vm_segment *second = make_copy(space, segment, from, to, size);

    if (IS_ERR(second) || !take || !segment->mapped)
        return second;
    error_t error = mmu_split(&space->mmu, from);

    if (!error)
        error = mmu_split(&space->mmu, from + size);
    if (!error)
        error = mmu_move(&space->mmu, from, second->start, size);
    if (error) {
        drop_copy(space, segment, second);
        return ERR_PTR(error);
    }
    second->mapped = true;
    hand_over(space, second, second->start, size);
    return second;
}

struct vm_segment *vm_find(struct address_space *space, vaddr_t va)
{
    SPACE_HOLD_AT(space, va);
    return segment_find(space, va);
}

struct vm_segment *vm_next(struct address_space *space, vaddr_t va)
{
    SPACE_HOLD_ALL(space);
    if (va >= LOW_HALF_END && va < ~(LOW_HALF_END - 1)) /* not canonical */
        va = ~(LOW_HALF_END - 1);
    return segment_next(space, va, ~(vaddr_t)0);
}

vaddr_t vm_start(const struct vm_segment *segment)
{
    return segment->start;
}

size_t vm_size(const struct vm_segment *segment)
{
    return segment->size;
}

vm_flags_t vm_flags(const struct vm_segment *segment)
{
    return segment->flags;
}

const struct vm_segment_driver *vm_driver_of(const struct vm_segment *segment)
{
    return segment->driver;
}
