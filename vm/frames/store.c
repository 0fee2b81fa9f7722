/*
 * The store of frames.
 *
 * RAM is divided into children of 2 MiB, as in LLFree (Wrenger et al., "LLFree: Scalable and Optionally-Persistent
 * Page-Frame Allocation", USENIX ATC 2023). A child has a count of its free frames and 512 bits, one a frame (set:
 * free). While all of a child is free, or all of it is out, the bits are not looked at and not even initialised: so a
 * 2 MiB frame costs one store, and starting up touches 2 bytes for each 2 MiB. Children are grouped by GiB; a group
 * counts its wholly free and its partly free children, which makes the search for either short and a 1 GiB frame
 * a comparison.
 *
 * Single frames come from the child that the CPU has reserved, so that they stay together and other children stay
 * whole. They go many at once, by words of the bits.
 */
#include "vm/frames/trees.h"

#define WORD_SHIFT (VM_PAGE_SHIFT + 6u) /* 64 frames: a word of bits */

struct store store;

__attribute__((noinline)) void child_set_free(size_t child, unsigned count, unsigned flags)
{
    struct group *group = group_of(child);
    struct tree *tree = tree_of(child);
    uint16_t *state = child_state(child);
    unsigned old = *state & COUNT_MASK;
    tree_place place = (tree_place)(child - tree_first(child));

    group->whole = (tree_count)(group->whole - (old == CHILD_FRAMES) + (count == CHILD_FRAMES));
    group->partial =
        (tree_count)(group->partial - (old > 0 && old < CHILD_FRAMES) + (count > 0 && count < CHILD_FRAMES));
    tree_add_free(tree, (size_t)count - old);
    *state = (uint16_t)(count | flags | (*state & EDGE));
    if (count == CHILD_FRAMES && place < tree->lowest_whole)
        tree->lowest_whole = place;
    if (count > 0 && count < CHILD_FRAMES && place < tree->lowest_partial)
        tree->lowest_partial = place;
}

uint64_t *child_bits(size_t child)
{
    uint64_t *bits = store.bits[child];

    if (!(*child_state(child) & BITS_VALID)) {
        memset(bits, child_free(child) ? 0xff : 0, sizeof(store.bits[child]));
        *child_state(child) |= BITS_VALID;
    }
    return bits;
}

bool child_run_is(const uint64_t *bits, unsigned first, unsigned count, bool free)
{
    while (count > 0) {
        unsigned part = 64 - first % 64 < count ? 64 - first % 64 : count;
        uint64_t mask = bit_run(first, part);

        if ((bits[first / 64] & mask) != (free ? mask : 0))
            return false;
        first += part;
        count -= part;
    }
    return true;
}

static void child_run_flip(uint64_t *bits, unsigned first, unsigned count)
{
    while (count > 0) {
        unsigned part = 64 - first % 64 < count ? 64 - first % 64 : count;

        bits[first / 64] ^= bit_run(first, part);
        first += part;
        count -= part;
    }
}

void child_take_run(size_t child, unsigned first, unsigned count)
{
    if (count == CHILD_FRAMES) {
        child_take(child);
        return;
    }
    note_taken(tree_of(child), count, frame_address(child, first + count));
    child_run_flip(child_bits(child), first, count);
    child_set_free(child, child_free(child) - count, BITS_VALID);
}

bool range_is_ours(paddr_t start, paddr_t end)
{
    for (size_t i = 0; i < store.range_count; i++) {
        if (start < end && start >= store.ranges[i].start && end <= store.ranges[i].end)
            return true;
    }
    return false;
}

/* The child is, or has become, partly free in another way. */
static inline void runs_may_be_in(size_t child)
{
    struct tree *tree = tree_of(child);
    tree_place place = (tree_place)(child - tree_first(child));

    if (LIKELY(place >= tree->highest_run))
        return;
    for (unsigned order = 0; order < FRAME_RUN_ORDER_MAX; order++) {
        if (place < tree->lowest_run[order])
            tree->lowest_run[order] = place;
    }
    tree->highest_run = place;
}

COLD void child_is_split(size_t child)
{
    this_cpu(frame_counts).splits++;
    runs_may_be_in(child);
}

/* ---- single frames are taken ---- */

/* Adds frames to the last run if they come behind it, else as one more; false: there is no place. */
static inline bool add_frames(struct taking *taking, paddr_t first, unsigned count)
{
    struct frame_run *last = taking->runs + taking->count - 1;

    if (taking->count > 0 && frame_run_end(*last) == first)
        last->count += count;
    else if (UNLIKELY(taking->count == taking->places))
        return false;
    else
        taking->runs[taking->count++] = (struct frame_run){.first = first, .count = count};
    taking->want -= count;
    return true;
}

/* Free frames of a word, whose first one is given, from the lowest on. */
static inline void word_take(uint64_t *word, paddr_t first, struct taking *taking)
{
    uint64_t left = *word;

    while (left && taking->want > 0) {
        unsigned at = (unsigned)__builtin_ctzll(left);
        uint64_t behind = ~(left >> at);
        unsigned run = behind ? (unsigned)__builtin_ctzll(behind) : 64;

        run = run < taking->want ? run : taking->want;
        if (!add_frames(taking, first + ((paddr_t)at << VM_PAGE_SHIFT), run))
            break;
        left ^= bit_run(at, run);
    }
    *word = left;
}

/* The lowest of one that is partly free. */
static void partial_take(size_t child, struct taking *taking)
{
    uint64_t *bits = child_bits(child);
    unsigned want = taking->want;

    for (uint64_t *word = bits; word < bits + CHILD_WORDS && taking->want > 0; word++) {
        if (*word != 0)
            word_take(word, frame_address(child, (unsigned)(word - bits) * 64), taking);
    }
    child_set_free(child, child_free(child) - (want - taking->want), BITS_VALID);
    note_taken(tree_of(child), want - taking->want, frame_run_end(taking->runs[taking->count - 1]));
}

/* The first of one that is wholly free, or all of it. */
static void whole_take(size_t child, struct taking *taking)
{
    unsigned count = taking->want < CHILD_FRAMES ? taking->want : CHILD_FRAMES;

    if (!add_frames(taking, frame_address(child, 0), count))
        return;
    if (count < CHILD_FRAMES)
        child_is_split(child);
    child_take_run(child, 0, count);
}

/* The child that single frames come from, with the lock of its tree held. NO_CHILD: no child has any. */
static inline size_t lock_child(void)
{
    struct frame_magazines *own = &this_cpu(frame_magazines);
    struct tree *tree = lock_tree_for(SINGLES);

    if (QUIRE_THREADS && UNLIKELY(tree == NULL))
        return NO_CHILD;
    size_t begin = tree_begin(tree), child = own->reserved;

    if (LIKELY(child - begin < tree_end(begin) - begin && child_free(child) > 0))
        return child;
    child = find_child(begin, true);
    if (child == NO_CHILD)
        child = find_child(begin, false);
    own->reserved = child;
    if (child == NO_CHILD)
        unlock_tree(tree);
    return child;
}

void take_runs(struct taking *taking)
{
    while (taking->want > 0 && taking->count < taking->places) {
        size_t child = lock_child();

        if (child == NO_CHILD)
            break;
        note_virgin(tree_of(child));
        if (child_free(child) == CHILD_FRAMES)
            whole_take(child, taking);
        else
            partial_take(child, taking);
        unlock_tree(tree_of(child));
    }
}

/* ---- and come back ---- */

/* Before its tree is locked: panics if there is none. */
static inline void check_child(size_t child, paddr_t frame)
{
    if (QUIRE_THREADS)
        CHECK(child < store.children, "frame_put: %#llx is not RAM of ours", (unsigned long long)frame);
}

/* Panics unless [start, end), which is inside the child, is RAM that is handed out. */
static inline void check_ours(size_t child, paddr_t start, paddr_t end)
{
    CHECK(child < store.children && !(*child_state(child) & FOREIGN), "frame_put: %#llx is not RAM of ours",
          (unsigned long long)start);
    if (UNLIKELY(*child_state(child) & EDGE))
        CHECK(range_is_ours(start, end) && !range_is_metadata(start, end), "frame_put: %#llx is not RAM of ours",
              (unsigned long long)start);
}

void child_put_run(size_t child, unsigned first, unsigned count)
{
    paddr_t start = frame_address(child, first);

    check_child(child, start);
    struct tree *tree = lock_tree(child);

    check_ours(child, start, start + ((paddr_t)count << VM_PAGE_SHIFT));
    uint64_t *bits = child_bits(child);

    CHECK(child_run_is(bits, first, count, false), "frame_put: %#llx is free already", (unsigned long long)start);
    child_run_flip(bits, first, count);
    unsigned free = child_free(child) + count;
    child_set_free(child, free, free == CHILD_FRAMES ? 0 : BITS_VALID);
    runs_may_be_in(child);
    unlock_tree(tree);
}

/* Frames of one word, in a child that is not all ours: what they span is, or each is looked at. */
COLD static __attribute__((noinline)) void check_word(paddr_t word, uint64_t mask)
{
    paddr_t start = word << WORD_SHIFT, first = start + ((paddr_t)__builtin_ctzll(mask) << VM_PAGE_SHIFT);
    paddr_t end = start + ((paddr_t)(64 - __builtin_clzll(mask)) << VM_PAGE_SHIFT);

    if (LIKELY(range_is_ours(first, end) && !range_is_metadata(first, end)))
        return;
    for (; mask; mask &= mask - 1) {
        first = start + ((paddr_t)__builtin_ctzll(mask) << VM_PAGE_SHIFT);
        check_ours(first >> CHILD_SHIFT, first, first + VM_PAGE_SIZE);
    }
}

/* Sets the bits of the first frames of the array, as many as lie in the same word; the number of them. whole: all of
 * the child is ours. */
static inline unsigned put_word(uint64_t *bits, const paddr_t *frames, unsigned count, bool whole)
{
    paddr_t word = frames[0] >> WORD_SHIFT;
    uint64_t mask = 0, *free = &bits[word % CHILD_WORDS];
    unsigned n = 0;

    do
        mask |= 1ull << (frames[n] >> VM_PAGE_SHIFT) % 64;
    while (++n < count && frames[n] >> WORD_SHIFT == word);
    if (UNLIKELY(!whole))
        check_word(word, mask);
    CHECK(!(*free & mask) && (n == 1 || (unsigned)__builtin_popcountll(mask) == n),
          "frame_put: one of the frames from %#llx on is free already", (unsigned long long)(word << WORD_SHIFT));
    *free |= mask;
    return n;
}

/* Puts the first frames of the array, as many as lie in the same child; the number of them. */
static unsigned put_child(const paddr_t *frames, unsigned count)
{
    size_t child = frames[0] >> CHILD_SHIFT;
    unsigned n = 0;

    CHECK(child < store.children && !(*child_state(child) & FOREIGN), "frame_put: %#llx is not RAM of ours",
          (unsigned long long)frames[0]);
    bool whole = !(*child_state(child) & EDGE);
    uint64_t *bits = child_bits(child);

    do
        n += put_word(bits, frames + n, count - n, whole);
    while (n < count && frames[n] >> CHILD_SHIFT == child);
    unsigned free = child_free(child) + n;

    child_set_free(child, free, free == CHILD_FRAMES ? 0 : BITS_VALID);
    runs_may_be_in(child);
    return n;
}

/* Children of one tree are done with its lock held once. */
void put_singles(const paddr_t *frames, unsigned count)
{
    while (count > 0) {
        check_child(frames[0] >> CHILD_SHIFT, frames[0]);
        struct tree *tree = lock_tree(frames[0] >> CHILD_SHIFT);

        do {
            unsigned put = put_child(frames, count);

            frames += put;
            count -= put;
        } while (count > 0 && tree_of(frames[0] >> CHILD_SHIFT) == tree);
        unlock_tree(tree);
    }
}
