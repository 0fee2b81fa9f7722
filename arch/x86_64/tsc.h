/*
 * Whether the time-stamp counters of two CPUs agree. One asks, the other answers with its counter; what is read in
 * between two readings of the first CPU must lie in between them. So each answer bounds the difference, and all
 * together bound it to less than the fastest way there and back takes: closer than programs can see it. A host that
 * takes a CPU away in the middle makes one answer useless, not wrong.
 */
#ifndef ARCH_TSC_H
#define ARCH_TSC_H

#include "core/base/types.h"

#define TSC_ROUNDS 16u

struct tsc_sample {
    uint64_t before, there, after; /* there: of the CPU that answers */
};

/* All zero, and then for several questions of one CPU. */
struct tsc_channel {
    _Alignas(64) uint32_t asked, done;
    _Alignas(64) uint32_t answered, closed;
    uint64_t there;
};

/* Asks at most TSC_ROUNDS times, and less often where that takes long, with an offset added to the own counter: how
 * many samples there are. Fewer than asked for, even none, if the other CPU has given up. */
size_t tsc_ask(struct tsc_channel *, int64_t offset, struct tsc_sample *);
/* Answers until the other CPU calls tsc_done, or for many seconds. */
void tsc_answer(struct tsc_channel *);
void tsc_done(struct tsc_channel *);

/* True if the counters agree, as far as can be seen. Otherwise *offset is about what the CPU that has asked has to add
 * to its own; 0 if there are no samples. */
bool tsc_agree(const struct tsc_sample *samples, size_t count, int64_t *offset);

#endif
