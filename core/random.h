/* Random numbers: getrandom, AT_RANDOM, where segments begin. */
#ifndef CORE_RANDOM_H
#define CORE_RANDOM_H

#include "core/base/types.h"

/* Random bits of the CPU, else of virtio's entropy device, mixed with the output of a generator that runs on from the
 * time-stamp counter: where there is neither, it alone is different in every run but no secret. Boot loaders pass no
 * seed by PVH and multiboot2. */
uint64_t random_word(void);

#endif
