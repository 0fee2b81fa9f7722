#include "core/observe/stacks.h"

#include "core/base/string.h"

_Static_assert((STACKS_SLOTS & (STACKS_SLOTS - 1)) == 0 && STACKS_MAX < UINT16_MAX, "indices of slots");
_Static_assert(sizeof(struct stacks) <= 320 << 10, "as stacks.h and docs/observing.md say");

/* Multiplicative (Knuth, TAOCP vol. 3, 6.4), over all words; the upper bits are the good ones. */
static uint32_t hash(const uintptr_t *words, size_t length)
{
    uint64_t sum = length;

    for (size_t i = 0; i < length; i++)
        sum = (sum ^ words[i]) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(sum >> 32);
}

static bool is_same(const struct stacks *all, const struct stack *stack, const uintptr_t *words, size_t length)
{
    return stack->length == length && memcmp(all->words + stack->first, words, length * sizeof(*words)) == 0;
}

static bool insert(struct stacks *all, uint16_t *slot, const uintptr_t *words, size_t length, uint64_t weight)
{
    if (all->count == STACKS_MAX || length > STACKS_WORDS - all->used)
        return false;
    memcpy(all->words + all->used, words, length * sizeof(*words));
    all->stacks[all->count++] =
        (struct stack){.weight = weight, .first = (uint32_t)all->used, .length = (uint32_t)length};
    all->used += length;
    *slot = (uint16_t)all->count;
    return true;
}

bool stacks_add(struct stacks *all, const uintptr_t *words, size_t length, uint64_t weight)
{
    for (uint32_t i = hash(words, length);; i++) {
        uint16_t *slot = &all->slots[i % STACKS_SLOTS];

        if (*slot == 0)
            return insert(all, slot, words, length, weight);
        if (is_same(all, &all->stacks[*slot - 1], words, length)) {
            all->stacks[*slot - 1].weight += weight;
            return true;
        }
    }
}

void stacks_clear(struct stacks *all)
{
    all->count = all->used = 0;
    memset(all->slots, 0, sizeof(all->slots));
}
