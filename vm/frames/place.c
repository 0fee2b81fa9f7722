/* Frames of a place that the caller names, and what is RAM at all. */
#include "vm/frames/trees.h"

#define SPLIT_PART 4u /* runs are taken of whole 2 MiB while these are more than so many times those in part free */

/* Calls for every child that [start, end) touches with the part of it inside. */
static bool for_each_child(paddr_t start, paddr_t end, bool (*part)(size_t child, unsigned first, unsigned count))
{
    while (start < end) {
        size_t child = start >> CHILD_SHIFT;
        unsigned first = frame_index(start);
        uint64_t left = (end - start) >> VM_PAGE_SHIFT;
        unsigned count = left < CHILD_FRAMES - first ? (unsigned)left : CHILD_FRAMES - first;

        if (!part(child, first, count))
            return false;
        start += (paddr_t)count << VM_PAGE_SHIFT;
    }
    return true;
}

COLD static bool part_is_free(size_t child, unsigned first, unsigned count)
{
    return child_free(child) == CHILD_FRAMES ||
           (child_free(child) >= count && child_run_is(child_bits(child), first, count, true));
}

COLD static bool part_take(size_t child, unsigned first, unsigned count)
{
    if (child_free(child) == CHILD_FRAMES && count < CHILD_FRAMES)
        child_is_split(child);
    child_take_run(child, first, count);
    return true;
}

/* Single frames and runs of other orders shall not be the only ones left: in a GiB most of what is free is whole. */
static inline bool may_be_split(size_t child)
{
    const struct group *group = group_of(child);

    return group->whole > SPLIT_PART * group->partial;
}

/* With the lock of the child's tree held. */
static inline bool take_at(size_t child, unsigned place, unsigned count)
{
    unsigned free = child_free(child);

    ASSERT(count > 0 && place + count <= CHILD_FRAMES);
    if (free < count)
        return false;
    if (free == CHILD_FRAMES || place % 64 + count > 64)
        return part_is_free(child, place, count) && part_take(child, place, count);
    uint64_t *word = &store.bits[child][place / 64], mask = bit_run(place, count);

    if ((*word & mask) != mask)
        return false;
    *word ^= mask;
    note_taken(tree_of(child), count, frame_address(child, place + count));
    child_set_free(child, free - count, BITS_VALID);
    return true;
}

bool frames_get_at(paddr_t first, unsigned count)
{
    size_t child = first >> CHILD_SHIFT;

    if (get_fails() || child >= store.children)
        return false;
    struct tree *tree = lock_tree(child);
    bool taken = take_at(child, frame_index(first), count);

    unlock_tree(tree);
    return taken;
}

paddr_t frames_get_beside(paddr_t first, unsigned count)
{
    if (frames_get_at(first, count))
        return first;
    struct tree *tree = lock_tree_for(LARGE);

    if (QUIRE_THREADS && tree == NULL)
        return FRAME_NONE;
    size_t child = find_child(tree_begin(tree), false);
    bool may = child != NO_CHILD && may_be_split(child);

    unlock_tree(tree);
    first = frame_address(child, frame_index(first));
    return may && frames_get_at(first, count) ? first : FRAME_NONE;
}

COLD static bool take_range(paddr_t start, paddr_t end)
{
    size_t first = start >> CHILD_SHIFT, last = (end - 1) >> CHILD_SHIFT;

    lock_trees(first, last);
    bool free = for_each_child(start, end, part_is_free);

    if (free)
        for_each_child(start, end, part_take);
    unlock_trees(first, last);
    return free;
}

RACY COLD bool magazines_hold(const struct frame_magazines *own, paddr_t start, paddr_t end)
{
    for (unsigned i = 0; i < 2 * FRAME_STATES; i++) {
        enum page_size size = i < FRAME_STATES ? PAGE_4K : PAGE_2M;
        const struct frame_magazine *magazine = &own->of[size][i % FRAME_STATES];

        for (unsigned k = 0; k < magazine->count; k++) {
            if (magazine->frames[k] < end && magazine->frames[k] + page_bytes(size) > start)
                return true;
        }
    }
    return own->uncleaned > 0 && own->cleaning < end && own->cleaning + SIZE_2M > start;
}

/* True if the magazine of another CPU has a frame of the range, as far as a look at what that CPU may be changing
 * tells: nobody is interrupted in vain. */
RACY COLD static bool others_hold(paddr_t start, paddr_t end)
{
    bool hold = false;

    for (unsigned cpu = 0; cpu < cpus() && !hold; cpu++)
        hold = cpu != cpu_number() && magazines_hold(&cpu_variable(cpu, frame_magazines), start, end);
    return hold;
}

COLD error_t frame_take(paddr_t start, size_t size)
{
    paddr_t end;

    if (size == 0 || !is_aligned(start | size, VM_PAGE_SIZE) || __builtin_add_overflow(start, size, &end) ||
        !range_is_ours(start, end))
        return E_INVAL;
    if (get_fails())
        return E_NOMEM;
    if (magazines_hold(&this_cpu(frame_magazines), start, end))
        frames_drain();
    return take_range(start, end) || (others_hold(start, end) && drain_others(false) && take_range(start, end))
               ? E_SUCCESS
               : E_BUSY;
}

void frames_declare_ram(const struct frame_range *ranges, size_t count)
{
    CHECK(count <= RANGES_MAX, "frames_declare_ram: %lu ranges, at most %u", (unsigned long)count, RANGES_MAX);
    memcpy(store.declared, ranges, count * sizeof(ranges[0]));
    store.declared_count = count;
}

static bool overlaps(const struct frame_range *ranges, size_t count, paddr_t start, paddr_t end)
{
    for (size_t i = 0; i < count; i++) {
        if (start < ranges[i].end && end > ranges[i].start)
            return true;
    }
    return false;
}

bool frames_overlap(paddr_t start, uint64_t size)
{
    paddr_t end;

    if (__builtin_add_overflow(start, size, &end))
        end = ~(paddr_t)0;
    return overlaps(store.ranges, store.range_count, start, end) ||
           overlaps(store.declared, store.declared_count, start, end);
}
