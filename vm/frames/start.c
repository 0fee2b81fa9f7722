/* The allocator takes over RAM. */
#include "vm/frames/trees.h"

#define MAGAZINES_PART 16u /* of all frames: what the magazine of 2 MiB of each CPU holds at most, or 1 */
#define BATCH_PART 256u    /* of all frames: what each CPU counts by itself, */
#define BATCH_MIN 1024u    /* or 4 MiB, so that 2 MiB are less, */
#define BATCH_MAX 4096u    /* and at most 16 MiB */

/* Keeps the ranges, those that touch as one: a 2 MiB frame may cross the seam. */
static void keep_ranges(const struct frame_range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (store.range_count > 0 && store.ranges[store.range_count - 1].end == ranges[i].start)
            store.ranges[store.range_count - 1].end = ranges[i].end;
        else
            store.ranges[store.range_count++] = ranges[i];
    }
}

/* Where the metadata goes: the lowest range that holds it, so that high memory stays in whole large frames. */
static paddr_t place_metadata(size_t size)
{
    for (size_t i = 0; i < store.range_count; i++) {
        if (store.ranges[i].end - store.ranges[i].start >= size)
            return store.ranges[i].start;
    }
    return FRAME_NONE;
}

COLD static void set_states(size_t first, size_t end, uint16_t state)
{
    for (size_t child = first; child < end; child++)
        *child_state(child) = state;
}

/* What the range has of children is ours, and out. */
static void claim(paddr_t start, paddr_t end)
{
    size_t first = start >> CHILD_SHIFT, last = (end - 1) >> CHILD_SHIFT;

    set_states(first, last + 1, 0);
    if (!is_aligned(start, SIZE_2M))
        *child_state(first) = EDGE;
    if (!is_aligned(end, SIZE_2M))
        *child_state(last) = EDGE;
}

/* Lays out the metadata for so many children: its size. */
static size_t lay_out(uintptr_t at)
{
    size_t bits = store.children * sizeof(store.bits[0]);

    store.bits = (void *)at;
#if QUIRE_THREADS
    store.tree = (void *)(at + bits);
    return bits + TREES * sizeof(store.tree[0]);
#else
    size_t state = align_up(store.children * sizeof(store.state[0]), 8);
    size_t groups = (store.children + GROUP_CHILDREN - 1) / GROUP_CHILDREN;

    store.state = (void *)(at + bits);
    store.group = (void *)(at + bits + state);
    return bits + state + groups * sizeof(store.group[0]);
#endif
}

/* Each child's state is written once: what lies between the ranges belongs to nobody. */
static void make_store(void)
{
    size_t next = 0;

#if QUIRE_THREADS
    memset(store.tree, 0, TREES * sizeof(store.tree[0]));
#else
    memset(store.group, 0, (store.children + GROUP_CHILDREN - 1) / GROUP_CHILDREN * sizeof(store.group[0]));
#endif
    for (size_t i = 0; i < store.range_count; i++) {
        set_states(next, store.ranges[i].start >> CHILD_SHIFT, FOREIGN);
        claim(store.ranges[i].start, store.ranges[i].end);
        next = ((store.ranges[i].end - 1) >> CHILD_SHIFT) + 1;
    }
    set_states(next, store.children, FOREIGN);
    for (size_t i = 0; i < store.range_count; i++)
        put_range(store.ranges[i].start, store.ranges[i].end);
}

#if QUIRE_THREADS
static size_t within(size_t least, size_t value, size_t most)
{
    return value < least ? least : value > most ? most : value;
}
#endif

/* What there is was never used. */
static void begin_counting(void)
{
    memset(&this_cpu(frame_counts), 0, sizeof(frame_counts));
    frames_least_free = frames_stored;
    for (size_t child = 0; child < store.children; child = tree_end(child))
        tree_of(child)->virgin = 0;
#if QUIRE_THREADS
    store.batch = (ptrdiff_t)within(BATCH_MIN, frames_stored / BATCH_PART, BATCH_MAX);
    frame_magazine_2m = (unsigned)within(1, frames_stored / (MAGAZINES_PART * CHILD_FRAMES), FRAME_MAGAZINE_2M);
#endif
}

COLD error_t frames_init(const struct frame_range *ranges, size_t count)
{
    memset(&store, 0, sizeof(store));
    frames_stored = 0;
    memset(&this_cpu(frame_magazines), 0, sizeof(frame_magazines));
    this_cpu(frame_magazines).reserved = NO_CHILD;
#if QUIRE_THREADS
    memset(&this_cpu(own_trees), 0, sizeof(own_trees));
    this_cpu(stored_change) = 0;
#endif
    if (count == 0 || count > RANGES_MAX)
        return E_NOMEM;
    keep_ranges(ranges, count);
    store.children = (ranges[count - 1].end + SIZE_2M - 1) >> CHILD_SHIFT;
    if (QUIRE_THREADS)
        store.children = align_up(store.children, TREE_CHILDREN);
    size_t size = align_up(lay_out(0), VM_PAGE_SIZE);
    paddr_t place = place_metadata(size);

    if (place == FRAME_NONE) {
        memset(&store, 0, sizeof(store));
        return E_NOMEM;
    }
    lay_out((uintptr_t)phys_to_virt(place));
    make_store();
    if (frame_take(place, size) != E_SUCCESS)
        return E_NOMEM;
    store.metadata_start = place;
    store.metadata = size;
    for (paddr_t at = place; at < place + size; at += VM_PAGE_SIZE)
        *child_state(at >> CHILD_SHIFT) |= EDGE;
    begin_counting();
    return E_SUCCESS;
}
