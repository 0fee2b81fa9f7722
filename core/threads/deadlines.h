/*
 * What happens at a time, in the order of the times: a pairing heap (Fredman, Sedgewick, Sleator, Tarjan, 1986), linked
 * through what is in it, so that adding costs nothing but a comparison and needs no memory. The root is the next one.
 */
#ifndef CORE_THREADS_DEADLINES_H
#define CORE_THREADS_DEADLINES_H

#include "core/base/types.h"

/* All zero before it is first added. */
struct deadline {
    uint64_t time; /* may be read */
    struct deadline *child, *next;
    struct deadline *previous; /* the left sibling, or the parent of a first child */
    bool queued;               /* false: whoever took it out does not touch it any more; atomic */
};

/* Both take what is not in a heap, or is in this one. The caller holds the lock of the heap, if it has one. */
void deadline_add(struct deadline **root, struct deadline *, uint64_t time);
void deadline_remove(struct deadline **root, struct deadline *);

#endif
