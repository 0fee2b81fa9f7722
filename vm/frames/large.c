/* Frames of 2 MiB, which are children, and of 1 GiB, from the store. */
#include "vm/frames/trees.h"

static paddr_t take_2m(void)
{
    struct tree *tree = lock_tree_for(LARGE);

    if (QUIRE_THREADS && tree == NULL)
        return FRAME_NONE;
    note_virgin(tree);
    size_t child = find_child(tree_begin(tree), false);

    if (child != NO_CHILD)
        child_take(child);
    unlock_tree(tree);
    return child != NO_CHILD ? frame_address(child, 0) : FRAME_NONE;
}

RACY bool gib_is_whole(size_t first)
{
    size_t child = first;

    if (store.children < first + GIB_CHILDREN)
        return false;
    while (child < first + GIB_CHILDREN && group_of(child)->whole == GROUP_CHILDREN)
        child += GROUP_CHILDREN;
    return child == first + GIB_CHILDREN;
}

/* With all its trees locked. */
COLD static bool take_gib(size_t first)
{
    if (!gib_is_whole(first))
        return false;
    for (size_t child = first; child < first + GIB_CHILDREN; child++) {
        note_virgin(tree_of(child));
        child_take(child);
    }
    return true;
}

static paddr_t take_1g(void)
{
    for (size_t first = 0; first < store.children; first += GIB_CHILDREN) {
        if (!gib_is_whole(first))
            continue;
        lock_trees(first, first + GIB_CHILDREN - 1);
        bool taken = take_gib(first);

        unlock_trees(first, first + GIB_CHILDREN - 1);
        if (taken)
            return frame_address(first, 0);
    }
    return FRAME_NONE;
}

paddr_t take_large(enum page_size size)
{
    paddr_t frame = size == PAGE_2M ? take_2m() : take_1g();

    note_extreme();
    return frame;
}

/* ---- neighbours ---- */

/* Neighbours of one tree that have so many free frames, none or all, have the other number then: how many children, up
 * to the first that is not so, at most `most`. */
static size_t set_children(size_t first, size_t most, unsigned from, unsigned to)
{
    size_t child = first, end = first + most, begin, seam;

    do {
        begin = child;
        seam = align_down(child, GROUP_CHILDREN) + GROUP_CHILDREN;
        seam = seam < end ? seam : end;
        while (child < seam && (*child_state(child) & ~BITS_VALID) == from)
            *child_state(child++) = (uint16_t)to;
        group_of(begin)->whole += (tree_count)(to > from ? child - begin : begin - child);
    } while (child == seam && child < end);
    tree_add_free(tree_of(first), (child - first) * ((size_t)to - from));
    return child - first;
}

/* Neighbours of one tree from one on that is wholly free, with its lock held: how many, at most `most`. */
static size_t take_tree_children(size_t first, size_t most)
{
    struct tree *tree = tree_of(first);
    size_t left = tree_end(first) - first, count = set_children(first, most < left ? most : left, CHILD_FRAMES, 0);

    tree->lowest_whole = (tree_place)(first + count - tree_first(first));
    note_taken(tree, (unsigned)count * CHILD_FRAMES, frame_address(first + count, 0));
    return count;
}

#if QUIRE_THREADS
/* The next ones, in trees that no CPU has. */
static size_t take_next_children(size_t first, size_t most)
{
    size_t count = 0, part;

    do {
        size_t child = first + count;

        if (count == most || child >= store.children || child != tree_first(child) ||
            !tree_fits(tree_of(child), LARGE, UNOWNED))
            break;
        struct tree *tree = lock_tree(child);

        part = child_free(child) == CHILD_FRAMES ? take_tree_children(child, most - count) : 0;
        count += part;
        unlock_tree(tree);
    } while (part == TREE_CHILDREN);
    return count;
}
#endif

/* Neighbours, at most `most` wholly free ones: the first frame of 2 MiB, or FRAME_NONE. */
static paddr_t take_children(size_t most, size_t *count)
{
    struct tree *tree = lock_tree_for(LARGE);

    if (QUIRE_THREADS && tree == NULL)
        return FRAME_NONE;
    size_t first = find_child(tree_begin(tree), false);

    if (first != NO_CHILD)
        *count = take_tree_children(first, most);
    unlock_tree(tree);
    if (first == NO_CHILD)
        return FRAME_NONE;
#if QUIRE_THREADS
    *count += take_next_children(first + *count, most - *count);
#endif
    return frame_address(first, 0);
}

paddr_t frames_get_large(size_t most, size_t *count)
{
    struct frame_magazine *hot = frame_magazine(PAGE_2M, FRAME_DIRTY);
    paddr_t first = frame_get_hot(PAGE_2M, FRAME_DIRTY);

    *count = 1;
    if (first != FRAME_NONE) {
        for (; *count < most && hot->count > 0 && hot->frames[hot->count - 1] == first + *count * SIZE_2M; ++*count)
            hot->count--;
        return first;
    }
    if (UNLIKELY(FRAMES_MAY_FAIL) || (first = take_children(most, count)) == FRAME_NONE)
        return frame_get(PAGE_2M);
    note_extreme();
    return first;
}

/* ---- the way back ---- */

/* Neighbours of one tree, whole ones: how many, up to the first that is not out. */
static size_t put_tree_children(size_t child, size_t count)
{
    struct tree *tree = lock_tree(child);
    tree_place place = (tree_place)(child - tree_first(child));

    if (place < tree->lowest_whole)
        tree->lowest_whole = place;
    size_t put = set_children(child, count, 0, CHILD_FRAMES);

    unlock_tree(tree);
    return put;
}

void put_children(size_t child, size_t count)
{
    CHECK(child + count <= store.children, "frame_put: %#llx is not RAM of ours",
          (unsigned long long)frame_address(child, 0));
    size_t end = child + count, part, put;

    do {
        part = !QUIRE_THREADS || end < tree_end(child) ? end - child : tree_end(child) - child;
        put = put_tree_children(child, part);
        child += put;
    } while (QUIRE_THREADS && put == part && child < end);
    CHECK(put == part, "frame_put: %#llx is %s", (unsigned long long)frame_address(child, 0),
          child_free(child) ? "free already" : "not RAM of ours");
}

COLD void put_range(paddr_t start, paddr_t end)
{
    while (start < end) {
        size_t child = start >> CHILD_SHIFT, count = (end - start) >> VM_PAGE_SHIFT;
        unsigned first = frame_index(start);

        if (first == 0 && count >= CHILD_FRAMES) {
            count -= count % CHILD_FRAMES;
            put_children(child, count / CHILD_FRAMES);
        } else {
            count = count < CHILD_FRAMES - first ? count : CHILD_FRAMES - first;
            child_put_run(child, first, (unsigned)count);
        }
        start += (paddr_t)count << VM_PAGE_SHIFT;
    }
}
