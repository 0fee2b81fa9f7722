/*
 * Trees, where CPUs are several (QUIRE_THREADS).
 *
 * 16 children are a tree: a cache line with a lock, counts and the children's states. As in LLFree (store.c) each CPU
 * has trees of its own, one that its single frames come from and one for 2 MiB, and moves to another when it has none
 * left: the lowest that is nobody's. So CPUs that keep to their own memory write to no line that another one uses, and
 * find no lock taken; one that is freed on another CPU than it was got on costs that CPU's lock. Only when all trees
 * are somebody's are they shared. At most one lock is held, but for 1 GiB and frame_take, which take those of all their
 * trees in order.
 */
#include "vm/frames/trees.h"

#define TREE_FREE_GOOD                                                                                                 \
    (TREE_CHILDREN * CHILD_FRAMES / 16)     /* frames that a tree should have for whoever moves there                  \
                                             */
#define TREE_LARGE_GOOD (TREE_CHILDREN / 4) /* or 2 MiB */

PERCPU struct tree *own_trees[USES];

RACY bool tree_fits(const struct tree *tree, enum use use, enum fit fit)
{
    if (!tree_has(tree, use))
        return false;
    if (fit == ANY)
        return true;
    if (tree->owner != 0 && tree->owner != 1 + cpu_number())
        return false;
    if (fit == UNOWNED)
        return true;
    return use == LARGE ? tree->group.whole >= TREE_LARGE_GOOD
                        : tree->group.partial > 0 && tree->free >= TREE_FREE_GOOD;
}

/* Takes the lock; the tree becomes this CPU's own if it is nobody's. False: it does not fit after all, or somebody is
 * there just now, as long as there may be others. */
static bool take_tree(struct tree *tree, enum use use, enum fit fit)
{
    if (fit == ANY)
        spin_lock(&tree->lock);
    else if (!spin_try(&tree->lock))
        return false;
    if (!tree_fits(tree, use, fit)) {
        unlock_tree(tree);
        return false;
    }
    if (tree->owner == 0)
        tree->owner = (uint8_t)(1 + cpu_number());
    this_cpu(own_trees)[use] = tree;
    return true;
}

COLD struct tree *other_tree(enum use use)
{
    size_t shared = TREES * cpu_number() / cpus();

    for (enum fit fit = GOOD; fit < FITS; fit++) {
        for (size_t i = 0; i < TREES; i++) {
            struct tree *tree = &store.tree[fit == ANY ? (i + shared) % TREES : i];

            if (tree_fits(tree, use, fit) && take_tree(tree, use, fit))
                return tree;
        }
    }
    return NULL;
}
