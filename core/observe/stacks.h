/*
 * Stacks and how much time was spent on each: a hash table with open addressing, of a fixed size and without deletion;
 * the words of all stacks lie behind each other. Pure; runs on the host.
 */
#ifndef CORE_OBSERVE_STACKS_H
#define CORE_OBSERVE_STACKS_H

#include "core/base/types.h"

#define STACK_WORDS_MAX 68 /* of one stack */
#define STACKS_MAX 2048
#define STACKS_WORDS 32768
#define STACKS_SLOTS (2 * STACKS_MAX) /* half of them stay free, so that searches are short; a power of two */

struct stack {
    uint64_t weight;
    uint32_t first, length; /* in the words */
};

/* Empty when all zero. 320 KiB. */
struct stacks {
    size_t count, used;
    uint16_t slots[STACKS_SLOTS]; /* 1 + the index of a stack; 0: free */
    struct stack stacks[STACKS_MAX];
    uintptr_t words[STACKS_WORDS];
};

/* Adds the weight to the stack of these words, at most STACK_WORDS_MAX. False: it is new and there is no room, nothing
 * has changed. */
bool stacks_add(struct stacks *, const uintptr_t *words, size_t length, uint64_t weight);

void stacks_clear(struct stacks *);

#endif
