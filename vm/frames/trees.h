/* Which part of the store a CPU's frames come from (trees.c), and the search in it. */
#ifndef VM_FRAMES_TREES_H
#define VM_FRAMES_TREES_H

#include "vm/frames/internal.h"

static inline bool child_is(size_t child, bool partial)
{
    unsigned free = child_free(child);

    return partial ? free > 0 && free < CHILD_FRAMES : free == CHILD_FRAMES;
}

/* The first child of the tree that begins there which is partly free, or else wholly free; groups without one are
 * passed over. */
static inline __attribute__((always_inline)) size_t find_child(size_t begin, bool partial)
{
    struct tree *tree = tree_of(begin);
    tree_place *lowest = partial ? &tree->lowest_partial : &tree->lowest_whole;
    size_t end = tree_end(begin);

    for (size_t child = begin + *lowest; child < end; child++) {
        const struct group *group = group_of(child);

        if (!(partial ? group->partial : group->whole)) {
            child |= GROUP_CHILDREN - 1;
            continue;
        }
        if (child_is(child, partial)) {
            *lowest = (tree_place)(child - begin);
            return child;
        }
    }
    *lowest = (tree_place)(end - begin);
    return NO_CHILD;
}

enum use { SINGLES, LARGE, USES }; /* of frames: single ones and runs, or 2 MiB as a whole */

#if QUIRE_THREADS

extern struct tree *own_trees[USES]; /* PERCPU */

/* How well the tree suits a CPU that needs another one: a look from outside is a guess. */
enum fit { GOOD, UNOWNED, ANY, FITS };

RACY bool tree_fits(const struct tree *tree, enum use use, enum fit fit);
/* The lowest that fits best, so that 1 GiB stay whole above; CPUs that must share trees begin at different ones. */
COLD struct tree *other_tree(enum use use);

static inline size_t tree_begin(const struct tree *tree)
{
    return (size_t)(tree - store.tree) * TREE_CHILDREN;
}

RACY static inline bool tree_has(const struct tree *tree, enum use use)
{
    return use == LARGE ? tree->group.whole > 0 : tree->free > 0;
}

/* The tree that this CPU's frames come from, which has some, with its lock held. NULL: no tree has any. */
static inline struct tree *lock_tree_for(enum use use)
{
    struct tree *tree = this_cpu(own_trees)[use];

    back_stack();
    if (UNLIKELY(tree == NULL))
        return other_tree(use);
    spin_lock(&tree->lock);
    if (LIKELY(tree_has(tree, use)))
        return tree;
    this_cpu(own_trees)[use] = NULL;
    if (tree->owner == 1 + cpu_number() && this_cpu(own_trees)[USES - 1 - use] != tree)
        tree->owner = 0;
    unlock_tree(tree);
    return other_tree(use);
}

#else

static inline size_t tree_begin(const struct tree *tree)
{
    (void)tree;
    return 0;
}

static inline struct tree *lock_tree_for(enum use use)
{
    (void)use;
    return lock_tree(0);
}

#endif

/* Of all children from one on up to another; in this order by all CPUs, which else hold one at most. */
COLD static inline void lock_trees(size_t first, size_t last)
{
    for (size_t child = tree_first(first); child <= last; child = tree_end(child))
        lock_tree(child);
}

COLD static inline void unlock_trees(size_t first, size_t last)
{
    for (size_t child = tree_first(first); child <= last; child = tree_end(child))
        unlock_tree(tree_of(child));
}

#endif
