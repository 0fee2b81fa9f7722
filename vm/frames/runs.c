/* Aligned runs of 2^order frames, up to 2 MiB. */
#include "vm/frames/trees.h"

/* The first aligned free run of 2^order frames in the child, or CHILD_FRAMES. */
COLD static unsigned child_find_run(size_t child, unsigned order)
{
    static const uint64_t aligned[] = {
        ~0ull, 0x5555555555555555, 0x1111111111111111, 0x0101010101010101, 0x0001000100010001, 0x0000000100000001, 1};
    unsigned length = 1u << order;

    if (child_free(child) < length)
        return CHILD_FRAMES;
    uint64_t *bits = child_bits(child);

    for (unsigned first = 0; first < CHILD_FRAMES; first += length < 64 ? 64 : length) {
        if (length >= 64) {
            if (child_run_is(bits, first, length, true))
                return first;
            continue;
        }
        uint64_t runs = bits[first / 64];

        for (unsigned shift = 1; shift < length; shift *= 2)
            runs &= runs >> shift;
        runs &= aligned[order];
        if (runs)
            return first + (unsigned)__builtin_ctzll(runs);
    }
    return CHILD_FRAMES;
}

static void begin_runs_at(struct tree *tree, unsigned order, size_t place)
{
    tree->lowest_run[order] = (tree_place)place;
    if (place > tree->highest_run)
        tree->highest_run = (tree_place)place;
}

/* The lowest partly free child of the tree with a free run of that order: where in it, or CHILD_FRAMES: none has. */
COLD static unsigned find_run(struct tree *tree, unsigned order, size_t *child)
{
    size_t begin = tree_begin(tree);

    for (size_t c = begin + tree->lowest_run[order]; c < tree_end(begin); c++) {
        unsigned first;

        if (!group_of(c)->partial) {
            c |= GROUP_CHILDREN - 1;
            continue;
        }
        if (child_free(c) == CHILD_FRAMES || (first = child_find_run(c, order)) == CHILD_FRAMES)
            continue;
        *child = c;
        begin_runs_at(tree, order, c - begin);
        return first;
    }
    begin_runs_at(tree, order, tree_end(begin) - begin);
    return CHILD_FRAMES;
}

/* Of one tree: from the child that single frames come from, from another one, from one that is wholly free. */
COLD static paddr_t tree_take_run(struct tree *tree, size_t reserved, unsigned order)
{
    size_t begin = tree_begin(tree), child = reserved;
    unsigned first = child - begin < tree_end(begin) - begin ? child_find_run(child, order) : CHILD_FRAMES;

    if (first == CHILD_FRAMES)
        first = find_run(tree, order, &child);
    if (first == CHILD_FRAMES) {
        child = find_child(begin, false);
        if (child == NO_CHILD)
            return FRAME_NONE;
        first = 0;
        child_is_split(child);
    }
    child_take_run(child, first, 1u << order);
    return frame_address(child, first);
}

#if QUIRE_THREADS
/* From whichever tree has one. */
COLD static paddr_t take_run_anywhere(size_t reserved, unsigned order)
{
    paddr_t first = FRAME_NONE;

    for (struct tree *tree = store.tree; tree < store.tree + TREES && first == FRAME_NONE; tree++) {
        if (!tree_fits(tree, SINGLES, ANY))
            continue;
        spin_lock(&tree->lock);
        first = tree_take_run(tree, reserved, order);
        unlock_tree(tree);
    }
    return first;
}
#endif

COLD static paddr_t take_run(struct frame_magazines *own, unsigned order)
{
    struct tree *tree = lock_tree_for(SINGLES);

    if (QUIRE_THREADS && tree == NULL)
        return FRAME_NONE;
    paddr_t first = tree_take_run(tree, own->reserved, order);

    unlock_tree(tree);
#if QUIRE_THREADS
    if (first == FRAME_NONE)
        first = take_run_anywhere(own->reserved, order);
#endif
    return first;
}

paddr_t frame_get_run(unsigned order)
{
    struct frame_magazines *own = &this_cpu(frame_magazines);

    ASSERT(order <= FRAME_RUN_ORDER_MAX);
    if (order == 0)
        return frame_get(PAGE_4K);
    if (order == FRAME_RUN_ORDER_MAX)
        return frame_get(PAGE_2M);
    if (get_fails())
        return FRAME_NONE;
    paddr_t first = take_run(own, order);

    if (first == FRAME_NONE) {
        frames_drain();
        first = take_run(own, order);
    }
    if (first == FRAME_NONE && drain_others(false))
        first = take_run(own, order);
    return first;
}

void frame_put_run(paddr_t first, unsigned order)
{
    if (order == 0)
        frame_put(first, PAGE_4K);
    else if (order == FRAME_RUN_ORDER_MAX)
        frame_put(first, PAGE_2M);
    else {
        CHECK(is_aligned(first, VM_PAGE_SIZE << order), "frame_put: %#llx is misaligned", (unsigned long long)first);
        check_is_out(first, VM_PAGE_SIZE << order);
        child_put_run(first >> CHILD_SHIFT, frame_index(first), 1u << order);
    }
}
