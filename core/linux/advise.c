/*
 * madvise. There is no swap and no second process, so much advice changes nothing; which of it a mapping accepts is
 * Linux's all the same (mm/madvise.c).
 */
#include "core/linux/calls.h"
#include "core/linux/lock.h"
#include "core/linux/memory.h"
#include "vm/segments.h"

enum {
    MADV_NORMAL,
    MADV_RANDOM,
    MADV_SEQUENTIAL,
    MADV_WILLNEED,
    MADV_DONTNEED,
    MADV_FREE = 8,
    MADV_REMOVE,
    MADV_DONTFORK,
    MADV_DOFORK,
    MADV_MERGEABLE,
    MADV_UNMERGEABLE,
    MADV_HUGEPAGE,
    MADV_NOHUGEPAGE,
    MADV_DONTDUMP,
    MADV_DODUMP,
    MADV_WIPEONFORK,
    MADV_KEEPONFORK,
    MADV_COLD,
    MADV_PAGEOUT,
    MADV_POPULATE_READ,
    MADV_POPULATE_WRITE,
    MADV_DONTNEED_LOCKED,
    MADV_COLLAPSE,
    MADV_END,
};

static bool is_anonymous(const struct vm_segment *segment)
{
    return vm_object_view(segment).object == NULL && !(vm_flags(segment) & MARK_SHARED);
}

static bool is_huge(const struct vm_segment *segment)
{
    return vm_flags(segment) & MARK_HUGE;
}

/* The pages go; what the mapping shows comes back on the next touch. Of huge pages only whole ones go. */
static error_t drop(struct vm_segment *segment, uintptr_t from, uintptr_t to)
{
    size_t page = linux_page_bytes(segment);

    if (!is_aligned(from, page))
        return E_INVAL;
    to = align_down(to, page);
    if ((vm_flags(segment) & MARK_SHARED) || from == to)
        return E_SUCCESS; /* what is shared is kept by others */
    return vm_advise(vm_space(), from, to - from, VM_ADVICE_DONTNEED);
}

/* Makes a hole in the file or in shared memory. */
static error_t punch(struct vm_segment *segment, uintptr_t from, uintptr_t to)
{
    struct vm_object_view view = vm_object_view(segment);
    uint64_t first = view.first_page + ((from - vm_start(segment)) >> VM_PAGE_SHIFT);

    if (view.object == NULL)
        return E_INVAL;
    if (!view.shared || !view.may_write)
        return E_ACCES;
    if (view.object->operations->discard == NULL)
        return E_NOTSUP;
    return view.object->operations->discard(view.object, first, (to - from) >> VM_PAGE_SHIFT);
}

/* The size of pages from now on; what cannot be cut stays as it is, for it is only advice. */
static error_t prefer_pages(uintptr_t from, uintptr_t to, vm_flags_t pages)
{
    error_t error = vm_mark(vm_space(), from, to - from, VM_PAGES, pages);

    return error == E_NOTSUP ? E_SUCCESS : error == E_NOMEM ? E_AGAIN : error;
}

/* [from, to) lies inside of the segment. */
static error_t advise(struct vm_segment *segment, uintptr_t from, uintptr_t to, int advice)
{
    bool locked = vm_flags(segment) & MARK_LOCKED;

    switch (advice) {
    case MADV_DONTNEED:
        return locked ? E_INVAL : drop(segment, from, to);
    case MADV_DONTNEED_LOCKED:
        return drop(segment, from, to);
    case MADV_FREE:
        if (locked || !is_anonymous(segment) || is_huge(segment))
            return E_INVAL;
        return vm_advise(vm_space(), from, to - from, VM_ADVICE_FREE);
    case MADV_REMOVE:
        return locked ? E_INVAL : punch(segment, from, to);
    case MADV_COLD:
    case MADV_PAGEOUT:
        return locked || is_huge(segment) ? E_INVAL : E_SUCCESS;
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE:
        if (is_huge(segment))
            return E_INVAL;
        return prefer_pages(from, to, advice == MADV_HUGEPAGE ? VM_PAGES_2M : VM_PAGES_4K);
    case MADV_COLLAPSE:
        return is_huge(segment) ? E_INVAL : vm_collapse(vm_space(), from, to - from);
    case MADV_WIPEONFORK:
        return is_anonymous(segment) ? E_SUCCESS : E_INVAL;
    default:
        return E_SUCCESS;
    }
}

/* Backs all of the range now; Linux tells the ways to fail apart in another way than for other advice. */
static error_t populate(uintptr_t start, uintptr_t end, vm_flags_t access)
{
    if (access == VM_WRITE && !linux_has_memory_for(start, end - start))
        return E_NOMEM;
    while (start < end) {
        struct vm_segment *segment = vm_find(vm_space(), start);
        uintptr_t to;
        error_t error;

        if (segment == NULL)
            return E_NOMEM;
        if (!(vm_flags(segment) & access))
            return E_INVAL;
        to = vm_start(segment) + vm_size(segment) < end ? vm_start(segment) + vm_size(segment) : end;
        error = vm_populate(vm_space(), start, to - start, access);
        if (error != E_SUCCESS)
            return error == E_NOMEM ? E_NOMEM : E_FAULT;
        start = to;
    }
    return E_SUCCESS;
}

/* Holes are passed over, and told of at the end. */
static error_t advise_range(uintptr_t start, uintptr_t end, int advice)
{
    bool holes = false;

    while (start < end) {
        struct vm_segment *segment = vm_next(vm_space(), start);
        uintptr_t to;
        error_t error;

        holes |= segment == NULL || vm_start(segment) > start;
        if (segment == NULL || vm_start(segment) >= end)
            break;
        start = vm_start(segment) > start ? vm_start(segment) : start;
        to = vm_start(segment) + vm_size(segment) < end ? vm_start(segment) + vm_size(segment) : end;
        error = advise(segment, start, to, advice);
        if (error != E_SUCCESS)
            return error;
        start = to;
    }
    return holes ? E_NOMEM : E_SUCCESS;
}

static __attribute__((noinline)) long advise_unusual(uintptr_t address, size_t length, int advice)
{
    LINUX_HOLD();
    SPACE_HOLD_ALL(current_space);
    size_t size = align_up(length, VM_PAGE_SIZE);

    if (advice < 0 || advice >= MADV_END || (advice > MADV_DONTNEED && advice < MADV_FREE))
        return -E_INVAL;
    if (!is_aligned(address, VM_PAGE_SIZE) || (length != 0 && size == 0) || address + size < address)
        return -E_INVAL;
    if (size == 0)
        return 0;
    if (address + size > TASK_END) /* nothing that a program mapped */
        return -E_NOMEM;
    if (advice == MADV_POPULATE_READ || advice == MADV_POPULATE_WRITE)
        return -populate(address, address + size, advice == MADV_POPULATE_READ ? VM_READ : VM_WRITE);
    return -advise_range(address, address + size, advice);
}

/* Of what is not to be dropped at once. */
#define MARKS_UNUSUAL (MARK_LOCKED | MARK_SHARED | MARK_HUGE)

static inline bool is_usual(const struct vm_segment *segment)
{
    return segment->driver == &vm_anon && !(segment->flags & MARKS_UNUSUAL);
}

static inline bool is_about_contents(int advice)
{
    return advice == MADV_DONTNEED || advice == MADV_FREE;
}

static inline error_t advise_contents(struct address_space *space, struct vm_segment *segment, uintptr_t from,
                                      uintptr_t to, int advice)
{
    return vm_segment_advise_owned(space, segment, from, to - from,
                                   advice == MADV_FREE ? VM_ADVICE_FREE : VM_ADVICE_DONTNEED);
}

#if QUIRE_THREADS
/* A private mapping of this domain. */
static inline struct vm_segment *find_usual(struct address_space *space, uintptr_t address)
{
    struct vm_segment *segment = space_at(space, address) == space ? segment_find_again(space, address) : NULL;

    return LIKELY(segment && is_usual(segment)) ? segment : NULL;
}

/* With the domain of the mappings that the range lies in, and nothing else. False: from *start on it is not done; what
 * lies before is, and is not done twice, for others may have written there since. */
static bool advise_usual(struct address_space *space, uintptr_t *start, size_t size, int advice, error_t *error)
{
    uintptr_t address = *start, end = address + size, to;
    SPACE_HOLD_AT(space, address);
    bool contents = is_about_contents(advice);

    if (!is_aligned(address, VM_PAGE_SIZE) || end <= address ||
        (!contents && advice != MADV_HUGEPAGE && advice != MADV_NOHUGEPAGE))
        return false;
    for (*error = E_SUCCESS; *error == E_SUCCESS && address < end; *start = address = to) {
        struct vm_segment *segment = find_usual(space, address);

        if (!segment)
            return false;
        to = segment_end(segment) < end ? segment_end(segment) : end;
        *error = contents ? advise_contents(space, segment, address, to, advice) : advise(segment, address, to, advice);
    }
    return true;
}

long linux_madvise(uintptr_t address, size_t length, int advice)
{
    uintptr_t start = address;
    error_t error;

    return LIKELY(advise_usual(current_space, &start, align_up(length, VM_PAGE_SIZE), advice, &error))
               ? -error
               : advise_unusual(start, length - (start - address), advice);
}
#else
/* What is inside of the mapping. */
static inline bool is_inside(const struct vm_segment *segment, uintptr_t address, size_t size)
{
    size_t offset = address - segment->start;

    return offset < segment->size && size - 1 < segment->size - offset && is_aligned(address, VM_PAGE_SIZE);
}

long linux_madvise(uintptr_t address, size_t length, int advice)
{
    struct address_space *space = current_space;
    struct vm_segment *segment = space->last;
    size_t size = align_up(length, VM_PAGE_SIZE);

    if (!is_about_contents(advice) || !is_inside(segment, address, size) || !is_usual(segment))
        return advise_unusual(address, length, advice);
    return -advise_contents(space, segment, address, address + size, advice);
}
#endif
