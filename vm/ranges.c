/*
 * Operations on ranges of addresses, which may cover parts of segments and many of them.
 *
 * All work alike: what can be refused is checked first; then the segments at the two edges are split, which is all
 * that can run out of memory; then whole segments are handled one by one; and neighbours that have become alike
 * are merged.
 */
#include "vm/dispatch.h"
#include "vm/fault.h"
#include "vm/segments.h"

static error_t check_range(vaddr_t start, size_t size)
{
    vaddr_t end;

    if (!is_aligned(start | size, VM_PAGE_SIZE) || __builtin_add_overflow(start, size, &end))
        return E_INVAL;
    return E_SUCCESS;
}

/* Whether they could be one segment. */
static bool are_alike(struct address_space *space, const struct vm_segment *low, const struct vm_segment *high)
{
    return low->flags == high->flags && low->driver == high->driver && low->largest == high->largest &&
           (low->driver->properties & VM_DRIVER_MERGES) && low->own == high->own && segment_end(low) == high->start &&
           segment_same_slot(space, low->start, high->start);
}

static bool can_merge(struct address_space *space, const struct vm_segment *low, const struct vm_segment *high)
{
    return (low->origin == high->origin || (low->flags & high->flags & VM_MERGE)) && are_alike(space, low, high) &&
           !segment_is_served(low) && !segment_is_served(high);
}

/* The upper of two neighbours goes up in the lower one. */
static void absorb(struct address_space *space, struct vm_segment *low, struct vm_segment *high)
{
    if (low->driver->join)
        driver_join(space, low, high);
    low->size += high->size;
    low->mapped |= high->mapped;
    for (unsigned i = 0; i < PAGE_SIZES; i++)
        low->faults[i] += high->faults[i];
    low->faults_refused += high->faults_refused;
    low->fallbacks += high->fallbacks;
    segment_clear_counts(high);
    segment_unlink(space, high);
    segment_release(space, high);
}

static void merge_pair(struct address_space *space, struct vm_segment *low, struct vm_segment *high)
{
    if (low && high && low != high && can_merge(space, low, high))
        absorb(space, low, high);
}

/* True if the slot goes on across the address. If not, what is on the other side may be in a domain that is not held,
 * and is nothing that could be cut or merged. */
static inline bool is_inside_slot(struct address_space *space, vaddr_t at)
{
    return !QUIRE_THREADS || segment_same_slot(space, at - 1, at);
}

/* Makes one segment of the two that meet at the address, if they are alike. */
static void merge_at(struct address_space *space, vaddr_t at)
{
    if (is_inside_slot(space, at))
        merge_pair(space_at(space, at), segment_find(space, at - 1), segment_find(space, at));
}

/* Cuts the segment across the address, if there is one: *second is then its upper part, otherwise NULL. */
static error_t split_at(struct address_space *space, vaddr_t at, struct vm_segment **second)
{
    struct vm_segment *segment = is_inside_slot(space, at) ? segment_find(space, at) : NULL;

    *second = NULL;
    if (!segment || segment->start == at)
        return E_SUCCESS;
    struct vm_segment *upper = segment_split(space_at(space, at), segment, at);

    if (IS_ERR(upper))
        return ERR_OF(upper);
    *second = upper;
    return E_SUCCESS;
}

/* Takes a cut back that was just made. */
static void join(struct address_space *space, struct vm_segment *second)
{
    absorb(space_at(space, second->start), segment_find(space, second->start - 1), second);
}

/* Makes room for two cuts: structures, and tables where a large page lies across an edge. */
static error_t prepare_cuts(struct address_space *space, vaddr_t start, vaddr_t end)
{
    const vaddr_t edges[] = {start, end};
    size_t cuts = 0;

    for (size_t i = 0; i < ARRAY_LENGTH(edges); i++) {
        struct address_space *domain = space_at(space, edges[i]);
        struct vm_segment *segment = is_inside_slot(space, edges[i]) ? segment_find(space, edges[i]) : NULL;

        if (!segment || segment->start == edges[i] || segment_in_ram_map(segment))
            continue;
        if (!segment_reserve(domain, ++cuts))
            return E_NOMEM;
        error_t error = mmu_split(&domain->mmu, edges[i]);

        if (error)
            return error;
    }
    return E_SUCCESS;
}

/* Makes both ends of the range ends of segments, or changes nothing. */
COLD static error_t split_edges(struct address_space *space, vaddr_t start, vaddr_t end)
{
    struct vm_segment *first_cut, *second_cut;
    error_t error = prepare_cuts(space, start, end);

    if (!error)
        error = split_at(space, start, &first_cut);
    if (error)
        return error;
    error = split_at(space, end, &second_cut);
    if (error && first_cut)
        join(space, first_cut);
    return error;
}

/* The first segment of the range that lacks something, asked of each; NULL: none does. */
COLD static const struct vm_segment *find_refusing(struct address_space *space, vaddr_t start, vaddr_t end,
                                                   bool (*refuses)(const struct vm_segment *))
{
    struct vm_segment *segment = segment_next(space, start, end);

    while (segment && !refuses(segment))
        segment = segment_next(space, segment_end(segment), end);
    return segment;
}

static bool is_covered(struct address_space *space, vaddr_t start, vaddr_t end)
{
    while (start < end) {
        struct vm_segment *segment = segment_find(space, start);

        if (!segment)
            return false;
        start = segment_end(segment);
    }
    return true;
}

static bool cannot_protect(const struct vm_segment *segment)
{
    return !segment->driver->protect;
}

/*
 * The usual case: a range inside of one segment. Nothing is looked for twice, and neighbours are looked at only where
 * the range ends with the segment: where it was just cut, the neighbour has the old protection.
 */
static error_t protect_inside(struct address_space *space, struct vm_segment *segment, vaddr_t start, vaddr_t end,
                              vm_flags_t protection)
{
    struct vm_segment *first = NULL, *last = NULL;

    if (!segment->driver->protect)
        return E_NOTSUP;
    if ((segment->flags & VM_PROTECTION) == protection)
        return E_SUCCESS;
    if (segment->start != start) {
        struct vm_segment *upper = segment_split(space, segment, start);

        if (IS_ERR(upper))
            return ERR_OF(upper);
        first = segment;
        segment = upper;
    }
    if (segment_end(segment) != end) {
        last = segment_split(space, segment, end);
        if (IS_ERR(last)) {
            if (first)
                absorb(space, first, segment);
            return ERR_OF(last);
        }
    }
    error_t error = driver_protect(space, segment, protection);

    if ((!last || error) && is_inside_slot(space, end))
        merge_pair(space, segment, segment_find(space, end));
    if ((!first || error) && is_inside_slot(space, start))
        merge_pair(space, segment_find(space, start - 1), segment);
    return error;
}

/* A range over several segments. */
COLD static error_t protect_across(struct address_space *space, vaddr_t start, vaddr_t end, vm_flags_t protection)
{
    error_t error;

    if (!is_covered(space, start, end))
        return E_NOMEM;
    if (find_refusing(space, start, end, cannot_protect))
        return E_NOTSUP;
    error = split_edges(space, start, end);
    for (vaddr_t at = start; !error && at < end;) {
        struct vm_segment *segment = segment_find(space, at);

        at = segment_end(segment);
        if ((segment->flags & VM_PROTECTION) != protection)
            error = driver_protect(space_at(space, segment->start), segment, protection);
        merge_at(space, segment->start);
    }
    merge_at(space, end);
    return error;
}

error_t vm_protect(struct address_space *space, vaddr_t start, size_t size, vm_flags_t protection)
{
    error_t error = check_range(start, size);
    vaddr_t end = start + size;

    VM_OPERATION_RANGE(space, start, size);
    if (error || (protection & ~VM_PROTECTION) || ((protection & (VM_WRITE | VM_EXEC)) && !(protection & VM_READ)))
        return E_INVAL;
    if (size == 0)
        return E_SUCCESS;
    struct vm_segment *segment = segment_find_again(space, start);

    if (LIKELY(segment && size <= segment_end(segment) - start))
        return protect_inside(space, segment, start, end, protection);
    return protect_across(space, start, end, protection);
}

static bool is_permanent(const struct vm_segment *segment)
{
    return !segment->driver->vm_free;
}

/* True if the range holds nothing but the end of the segment, which can be made shorter instead of being cut. */
static bool is_tail(struct address_space *space, const struct vm_segment *segment, vaddr_t start, vaddr_t end)
{
    return segment->start < start && segment_end(segment) <= end && !segment_is_served(segment) &&
           segment->driver->vm_resize == vm_segment_resize_owned &&
           segment->driver->split == vm_segment_split_nothing &&
           (segment_end(segment) == end || !segment_next(space, segment_end(segment), end));
}

error_t vm_unmap(struct address_space *space, vaddr_t start, size_t size)
{
    error_t error = check_range(start, size);
    vaddr_t end = start + size;

    VM_OPERATION_RANGE(space, start, size);
    if (error || size == 0)
        return error;
    struct vm_segment *first = segment_find_again(space, start);

    if (first && first->start == start && first->size == size && first->driver->vm_free && !segment_is_served(first)) {
        driver_free(space, first);
        return E_SUCCESS;
    }
    if (!first)
        first = segment_next(space, start, end);
    if (!first)
        return E_SUCCESS;
    if (is_tail(space, first, start, end))
        return vm_segment_resize_owned(space_at(space, first->start), first, start - first->start);
    if (find_refusing(space, start, end, is_permanent))
        return E_NOTSUP;
    if (find_refusing(space, start, end, segment_is_served))
        return E_BUSY;
    error = split_edges(space, start, end);
    if (error)
        return error;
    for (;;) {
        struct vm_segment *segment = segment_next(space, start, end);

        if (!segment)
            return E_SUCCESS;
        start = segment_end(segment);
        driver_free(space_at(space, segment->start), segment);
    }
}

COLD error_t vm_advise(struct address_space *space, vaddr_t start, size_t size, int advice)
{
    error_t error = check_range(start, size);
    vaddr_t end = start + size;

    VM_OPERATION_RANGE(space, start, size);
    if (error || advice < VM_ADVICE_DONTNEED || advice > VM_ADVICE_FREE)
        return E_INVAL;
    bool covered = is_covered(space, start, end);
    struct vm_segment *segment = segment_next(space, start, end);

    while (segment && !error) {
        vaddr_t from = segment->start > start ? segment->start : start;
        vaddr_t to = segment_end(segment) < end ? segment_end(segment) : end;

        if (segment->driver->advise)
            error = driver_advise(space_at(space, from), segment, from, to - from, advice);
        segment = segment_next(space, to, end);
    }
    return error ? error : covered ? E_SUCCESS : E_NOMEM;
}

COLD error_t vm_mark(struct address_space *space, vaddr_t start, size_t size, vm_flags_t clear, vm_flags_t set)
{
    error_t error = check_range(start, size);
    vaddr_t end = start + size;

    VM_OPERATION_RANGE(space, start, size);
    if (error || ((clear | set) & ~(VM_MARKS | VM_PAGES)))
        return E_INVAL;
    if (!is_covered(space, start, end))
        return E_NOMEM;
    error = split_edges(space, start, end);
    for (vaddr_t at = start; !error && at < end;) {
        struct vm_segment *segment = segment_find(space, at);

        at = segment_end(segment);
        segment->flags = (segment->flags & ~clear) | set;
        if ((clear | set) & VM_PAGES)
            segment->largest = largest_page_of(segment->flags);
        merge_at(space, segment->start);
    }
    merge_at(space, end);
    return error;
}

/*
 * A page that is not there, as a touch of it does, but not one in order, which would back ahead, beyond the end as
 * well. Where there is a table, those up to the end go together; the number of them, which are counted as faults.
 */
COLD static size_t back_up_to(struct address_space *space, vaddr_t va, vaddr_t end, vm_flags_t access)
{
    space = space_at(space, va);
    struct vm_segment *segment = segment_find(space, va);
    uint64_t *table = mmu_find_directory(&space->mmu, va);
    size_t backed;

    if (!segment || segment->driver->vm_fault != vm_segment_fault_owned || !(segment->flags & access))
        return 0;
    segment->next = 0;
    if (!table || !mmu_has_table(*table) || !mmu_table_is_used(*table))
        return 0;
    end = end < segment_end(segment) ? end : segment_end(segment);
    backed = segment_back_small(space, segment, table, va, (end - va) >> VM_PAGE_SHIFT);
    segment->faults[PAGE_4K] += backed;
    return backed;
}

COLD error_t vm_populate(struct address_space *space, vaddr_t start, size_t size, vm_flags_t access)
{
    error_t error = check_range(start, size);
    vaddr_t end = start + size;

    VM_OPERATION_RANGE(space, start, size);
    while (!error && start < end) {
        struct mmu_entry entry;
        bool mapped = mmu_query(&space_at(space, start)->mmu, start, &entry);
        size_t backed = mapped ? 0 : back_up_to(space, start, end, access);

        if (backed > 0)
            start += backed << VM_PAGE_SHIFT;
        else if (!mapped || !(entry.flags & VM_READ) || !(entry.flags & access))
            error = vm_handle_fault(start, access, mapped && (entry.flags & VM_READ));
        else
            start = align_down(start, page_bytes(entry.size)) + page_bytes(entry.size);
    }
    return error;
}

COLD error_t vm_join(struct address_space *space, struct vm_segment *first, struct vm_segment *second)
{
    VM_OPERATION_AT(space, first->start);
    if (!(first->driver->properties & VM_DRIVER_MERGES))
        return E_NOTSUP;
    if (segment_end(first) != second->start || !are_alike(space, first, second))
        return E_INVAL;
    if (segment_is_served(first) || segment_is_served(second))
        return E_BUSY;
    absorb(space, first, second);
    return E_SUCCESS;
}

void vm_merge(struct address_space *space, vaddr_t at)
{
    VM_OPERATION_AT(space, at);
    merge_at(space, at);
}
