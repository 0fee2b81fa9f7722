/*
 * mremap. The checks and their order are Linux's (mm/mremap.c of 6.18). A range that is to be moved is cut out of its
 * segment first; when the move then fails, the pieces are joined again.
 */
#include "core/linux/calls.h"
#include "core/linux/memory.h"
#include "vm/segments.h"

struct request {
    uintptr_t address;
    size_t size, new_size;
    unsigned long flags;
    uintptr_t to; /* what was given: with MREMAP_FIXED the place, with MREMAP_DONTUNMAP a hint */
};

/* ---- cutting ---- */

struct cut {
    struct vm_segment *first, *middle, *last; /* first and last: NULL where nothing was cut off */
};

static void undo_cut(const struct cut *cut)
{
    if (cut->last != NULL)
        vm_join(vm_space(), cut->middle, cut->last);
    if (cut->first != NULL)
        vm_join(vm_space(), cut->first, cut->middle);
}

/* Makes [address, address + size) of the segment one of its own. */
static error_t cut_out(struct vm_segment *segment, uintptr_t address, size_t size, struct cut *cut)
{
    *cut = (struct cut){.middle = segment};
    if (vm_start(segment) != address) {
        struct vm_segment *upper = vm_split(vm_space(), segment, address);

        if (IS_ERR(upper))
            return ERR_OF(upper);
        cut->first = segment;
        cut->middle = upper;
    }
    if (vm_size(cut->middle) != size) {
        struct vm_segment *rest = vm_split(vm_space(), cut->middle, address + size);

        if (IS_ERR(rest)) {
            undo_cut(cut);
            return ERR_OF(rest);
        }
        cut->last = rest;
    }
    return E_SUCCESS;
}

/* ---- moving ---- */

static void merge_edges(uintptr_t start, size_t size)
{
    if (segment_is_alone(segment_find_again(current_space, start)))
        return;
    vm_merge(vm_space(), start);
    vm_merge(vm_space(), start + size);
}

/* Moves a part of a segment to a free range or to VM_ANYWHERE: the address, or a negative error. */
static long move(struct vm_segment *segment, uintptr_t address, size_t size, uintptr_t to, size_t new_size)
{
    struct cut cut;
    error_t error = E_INVAL; /* windows, stacks: nothing that a program got from mmap */

    if (vm_driver_of(segment)->properties & VM_DRIVER_MERGES)
        error = cut_out(segment, address, size, &cut);
    if (error != E_SUCCESS)
        return -error;
    error = vm_move(vm_space(), cut.middle, to, new_size);
    if (error != E_SUCCESS) {
        undo_cut(&cut);
        return -error;
    }
    to = vm_start(cut.middle);
    merge_edges(to, new_size);
    return (long)to;
}

/* A second mapping of the same pages: to the given place, at the hint if that is free, or anywhere. */
static long copy(const struct request *request, struct vm_segment *segment, bool take)
{
    struct vm_segment *second = ERR_PTR(E_NOMEM);
    uintptr_t to = request->to;

    if (!(vm_driver_of(segment)->properties & VM_DRIVER_MERGES))
        return -E_INVAL;
    if ((request->flags & MREMAP_FIXED) || linux_is_range(to, request->new_size))
        second = vm_copy(vm_space(), segment, request->address, to, request->new_size, take);
    if (IS_ERR(second) && !(request->flags & MREMAP_FIXED))
        second = vm_copy(vm_space(), segment, request->address, VM_ANYWHERE, request->new_size, take);
    if (IS_ERR(second))
        return -ERR_OF(second);
    to = vm_start(second);
    if (take && (vm_flags(segment) & MARK_LOCK)) /* the old place is not locked any more */
        vm_mark(vm_space(), request->address, request->size, MARK_LOCK, 0);
    merge_edges(to, request->new_size);
    return (long)to;
}

/* One mapping, or a part of one, to a place that is made free for it. */
static long move_one(const struct request *part)
{
    error_t error = linux_unmap_range(part->to, part->size);
    struct vm_segment *segment =
        segment_find_again(current_space, part->address); /* what was there may have been a part of it */

    if (error != E_SUCCESS)
        return -error;
    return part->flags & MREMAP_DONTUNMAP ? copy(part, segment, true)
                                          : move(segment, part->address, part->size, part->to, part->size);
}

/*
 * Without a change of the size any number of mappings go along (since Linux 6.17). The holes between them stay holes,
 * and at the new place what is opposite of a hole stays too.
 */
static long move_all(const struct request *request)
{
    uintptr_t at = request->address, end = at + request->size;
    struct vm_segment *segment = segment_find_again(current_space, at);

    if (segment == NULL || at >= TASK_END)
        return -E_FAULT;
    if (linux_check_huge_edges(at, request->size) != E_SUCCESS ||
        !is_aligned(request->to - at, linux_page_bytes(segment)))
        return -E_INVAL;
    for (; segment != NULL; segment = at < end ? vm_next(vm_space(), at) : NULL) {
        uintptr_t from = vm_start(segment) > at ? vm_start(segment) : at, to = request->to + (from - request->address);
        long moved;

        if (from >= end)
            break;
        at = vm_start(segment) + vm_size(segment) < end ? vm_start(segment) + vm_size(segment) : end;
        moved = move_one(&(struct request){from, at - from, at - from, request->flags, to});
        if (moved < 0)
            return moved;
    }
    return (long)request->to;
}

/* MREMAP_FIXED, MREMAP_DONTUNMAP: what is at the new place, and what is more than the new size, goes first. */
static long remap_to(struct request *request, struct vm_segment *segment)
{
    error_t error = E_SUCCESS;

    if (request->flags & MREMAP_FIXED)
        error = linux_unmap_range(request->to, request->new_size);
    if (error == E_SUCCESS && request->new_size < request->size) {
        error = linux_unmap_range(request->address + request->new_size, request->size - request->new_size);
        request->size = request->new_size;
    }
    if (error != E_SUCCESS)
        return -error;
    segment = segment_find_again(current_space, request->address);
    if (segment == NULL) /* an old size of 0, and the new place was around the old one */
        return -E_FAULT;
    if (request->size == 0 || (request->flags & MREMAP_DONTUNMAP))
        return copy(request, segment, request->size != 0);
    return move(segment, request->address, request->size, request->to, request->new_size);
}

/* ---- in place ---- */

static bool is_shared(const struct vm_segment *segment)
{
    return vm_object_view(segment).shared || (vm_flags(segment) & MARK_SHARED);
}

/* What the mapping grows by has to fit into RAM if a touch backs it; a shared object is there already. */
static bool may_grow(const struct vm_segment *segment, size_t more)
{
    vm_flags_t backing = vm_driver_of(segment) == &vm_anon ? VM_PROTECTION : VM_WRITE;

    return !(vm_flags(segment) & backing) || is_shared(segment) || linux_has_memory(more);
}

static long expand(const struct request *request, struct vm_segment *segment)
{
    size_t rest = vm_start(segment) + vm_size(segment) - request->address, more = request->new_size - request->size;
    uintptr_t end = request->address + request->size;

    if (rest == request->size && linux_is_range(request->address, request->new_size) &&
        vm_resize(vm_space(), segment, vm_size(segment) + more) == E_SUCCESS) {
        if (!segment_is_alone(segment))
            vm_merge(vm_space(), end + more);
        return (long)request->address;
    }
    if (!(request->flags & MREMAP_MAYMOVE))
        return -E_NOMEM;
    if (request->size == 0) {
        struct request anywhere = *request;

        anywhere.to = 0;
        return copy(&anywhere, segment, false);
    }
    return move(segment, request->address, request->size, VM_ANYWHERE, request->new_size);
}

/* ---- the call ---- */

/* What is wrong with the arguments as such. */
static error_t check(const struct request *request)
{
    if (request->flags & ~(unsigned long)(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP))
        return E_INVAL;
    if (!is_aligned(request->address, VM_PAGE_SIZE) || request->new_size == 0 || request->new_size > TASK_END)
        return E_INVAL;
    if (!(request->flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)))
        return E_SUCCESS;
    if (request->to > TASK_END - request->new_size || !is_aligned(request->to, VM_PAGE_SIZE) ||
        !(request->flags & MREMAP_MAYMOVE))
        return E_INVAL;
    if ((request->flags & MREMAP_DONTUNMAP) && request->size != request->new_size)
        return E_INVAL;
    if (request->to < request->address + request->size && request->address < request->to + request->new_size)
        return E_INVAL;
    return E_SUCCESS;
}

/* What is wrong with them for this mapping; makes the sizes whole pages of it. */
static error_t check_mapping(struct request *request, const struct vm_segment *segment)
{
    size_t page = linux_page_bytes(segment);
    bool elsewhere = request->flags & (MREMAP_FIXED | MREMAP_DONTUNMAP);
    size_t moved;

    if (page != VM_PAGE_SIZE) {
        request->size = align_up(request->size, page);
        request->new_size = align_up(request->new_size, page);
        if (!is_aligned(request->address, page) || (elsewhere && !is_aligned(request->to, page)) ||
            request->new_size > request->size)
            return E_INVAL;
    }
    if (!elsewhere && request->new_size <= request->size)
        return E_SUCCESS;
    if (request->size == 0 && !is_shared(segment))
        return E_INVAL;
    moved = request->size < request->new_size ? request->size : request->new_size;
    if (moved > vm_start(segment) + vm_size(segment) - request->address) /* what is cut off may be anything */
        return E_FAULT;
    if (request->new_size > request->size && request->size != 0 &&
        !may_grow(segment, request->new_size - request->size))
        return E_NOMEM;
    return E_SUCCESS;
}

static long remap(struct request *request)
{
    struct vm_segment *segment = segment_find_again(current_space, request->address);
    error_t error = segment == NULL || request->address >= TASK_END ? E_FAULT : check_mapping(request, segment);

    if (error != E_SUCCESS)
        return -error;
    if (request->flags & (MREMAP_FIXED | MREMAP_DONTUNMAP))
        return remap_to(request, segment);
    if (request->new_size > request->size)
        return expand(request, segment);
    if (request->new_size < request->size)
        error = linux_unmap_range(request->address + request->new_size, request->size - request->new_size);
    return error != E_SUCCESS ? -error : (long)request->address;
}

COLD static __attribute__((noinline)) long remap_any(uintptr_t address, size_t size, size_t new_size,
                                                     unsigned long flags, uintptr_t to)
{
    struct request request = {address, size, new_size, flags, to};
    error_t error = check(&request);
    struct vm_segment *segment;
    long at;

    if (error != E_SUCCESS)
        return -error;
    if ((request.flags & MREMAP_FIXED) && request.size == request.new_size)
        return move_all(&request);
    at = remap(&request);
    /* What a locked mapping grew by is backed at once. */
    segment = at > 0 && request.new_size > size ? segment_find_again(current_space, (uintptr_t)at) : NULL;
    if (segment != NULL && (vm_flags(segment) & MARK_LOCK) == MARK_LOCKED)
        vm_populate(vm_space(), (uintptr_t)at + size, request.new_size - size,
                    (vm_flags(segment) & VM_WRITE) && !is_shared(segment) ? VM_WRITE : VM_READ);
    return at;
}

/* ---- the usual ---- */

#define UNUSUAL (MARK_HUGE | MARK_LOCK | MARK_SHARED | VM_POPULATE)

/* All of a mapping of private anonymous memory, the one found last, with nothing beside it in its slot. */
static inline bool is_usual(const struct vm_segment *segment, uintptr_t address, size_t size)
{
    return segment != NULL && segment->start == address && segment->size == size && segment->driver == &vm_anon &&
           !(segment->flags & UNUSUAL) && segment_is_alone(segment) && address + size <= TASK_END;
}

/* False: it cannot be done so easily, and nothing was done. */
static inline bool resize_usual(struct vm_segment *segment, size_t new_size)
{
    size_t size = segment->size;

    VM_STEP(current_space);
    if (new_size <= size)
        return new_size == size || (new_size != 0 && segment_shrink(space_at(current_space, segment->start), segment,
                                                                    new_size) == E_SUCCESS);
    if (!segment_has_room(segment, new_size) ||
        ((segment->flags & VM_PROTECTION) && !linux_has_memory(new_size - size)))
        return false;
    segment->size = new_size;
    return true;
}

/* To addresses that are free. */
static inline bool move_usual(struct vm_segment *segment, uintptr_t to)
{
    size_t size = segment->size;

    if (!is_aligned(to, VM_PAGE_SIZE) || to > TASK_END - size || vm_move(current_space, segment, to, size) != E_SUCCESS)
        return false;
    if (UNLIKELY(!segment_is_alone(segment)))
        merge_edges(to, size);
    return true;
}

long linux_mremap(uintptr_t address, size_t length, size_t new_length, unsigned long flags, uintptr_t new_address)
{
    SPACE_HOLD_ALL(current_space);
    size_t size = align_up(length, VM_PAGE_SIZE), new_size = align_up(new_length, VM_PAGE_SIZE);
    struct vm_segment *segment = space_at(current_space, address)->last;

    if (LIKELY(is_usual(segment, address, size))) {
        if ((flags & ~(unsigned long)MREMAP_MAYMOVE) == 0 && resize_usual(segment, new_size))
            return (long)address;
        if (flags == (MREMAP_MAYMOVE | MREMAP_FIXED) && new_size == size && move_usual(segment, new_address))
            return (long)new_address;
    }
    return remap_any(address, size, new_size, flags, new_address);
}
