#include "core/threads/deadlines.h"

static struct deadline *meld(struct deadline *first, struct deadline *second)
{
    struct deadline *least = first, *other = second;

    if (first == NULL || second == NULL)
        return first != NULL ? first : second;
    if (second->time < first->time) {
        least = second;
        other = first;
    }
    other->next = least->child;
    if (other->next != NULL)
        other->next->previous = other;
    other->previous = least;
    least->child = other;
    least->next = least->previous = NULL;
    return least;
}

/* One heap of the children of a root that goes: in pairs from the left, then the pairs from the right. */
static struct deadline *meld_children(struct deadline *child)
{
    struct deadline *pairs = NULL, *result = NULL;

    while (child != NULL) {
        struct deadline *first = child, *second = child->next, *pair;

        child = second != NULL ? second->next : NULL;
        first->next = first->previous = NULL;
        if (second != NULL)
            second->next = second->previous = NULL;
        pair = meld(first, second);
        pair->next = pairs;
        pairs = pair;
    }
    while (pairs != NULL) {
        struct deadline *next = pairs->next;

        pairs->next = NULL;
        result = meld(result, pairs);
        pairs = next;
    }
    return result;
}

/* Whether there is one is asked without the lock, too. */
static void set_root(struct deadline **root, struct deadline *first)
{
    __atomic_store_n(root, first, __ATOMIC_RELAXED);
}

void deadline_add(struct deadline **root, struct deadline *deadline, uint64_t time)
{
    *deadline = (struct deadline){.time = time, .queued = true};
    set_root(root, meld(*root, deadline));
}

void deadline_remove(struct deadline **root, struct deadline *deadline)
{
    struct deadline *rest = meld_children(deadline->child);

    if (deadline == *root) {
        set_root(root, rest);
    } else {
        if (deadline->previous->child == deadline)
            deadline->previous->child = deadline->next;
        else
            deadline->previous->next = deadline->next;
        if (deadline->next != NULL)
            deadline->next->previous = deadline->previous;
        set_root(root, meld(*root, rest));
    }
    deadline->child = deadline->next = deadline->previous = NULL;
    __atomic_store_n(&deadline->queued, false, __ATOMIC_RELEASE);
}
