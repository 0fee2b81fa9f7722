/* Random numbers: getrandom, AT_RANDOM, where segments begin. */
#ifndef CORE_RANDOM_H
#define CORE_RANDOM_H

#include "core/base/types.h"

/* Hardware random bits where the CPU has them; otherwise the output of a generator that was seeded from the time-stamp
 * counter, which is different in every run but no secret. */
uint64_t random_word(void);

#endif
