/*
 * Blocks of one heap that other CPUs freed: any number of CPUs put chains in front, of blocks that are linked by their
 * first words, and one at a time takes them all. Nobody takes a single one, so that no address comes back while
 * somebody holds it for the first.
 */
#ifndef VM_HEAP_REMOTE_H
#define VM_HEAP_REMOTE_H

#include "core/base/types.h"

/* On a line of its own: its CPU looks at it in each slow step. */
struct remote {
    _Alignas(64) uintptr_t first;
    size_t bytes; /* of the blocks that are here, are on their way, or were taken and are being given to spans */
};

/* The chain from `first` to `last`; the bytes that are there now. */
static inline size_t remote_put(struct remote *remote, uintptr_t first, uintptr_t last, size_t bytes)
{
    size_t sum = __atomic_add_fetch(&remote->bytes, bytes, __ATOMIC_RELAXED);
    uintptr_t next = __atomic_load_n(&remote->first, __ATOMIC_RELAXED);

    do {
        *(uintptr_t *)last = next;
    } while (!__atomic_compare_exchange_n(&remote->first, &next, first, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
    return sum;
}

static inline bool remote_has(const struct remote *remote)
{
    return __atomic_load_n(&remote->first, __ATOMIC_RELAXED) != 0;
}

/* All: the first one; 0: there is none. */
static inline uintptr_t remote_take(struct remote *remote)
{
    return __atomic_exchange_n(&remote->first, 0, __ATOMIC_ACQUIRE);
}

/* So many bytes that were taken are in their spans. */
static inline void remote_taken(struct remote *remote, size_t bytes)
{
    __atomic_sub_fetch(&remote->bytes, bytes, __ATOMIC_RELAXED);
}

#endif
