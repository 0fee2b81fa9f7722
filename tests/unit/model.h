/*
 * Operations on the address space, each compared with a naive model: a table of pages with protection and contents.
 * What to do next is asked of a source of numbers: a random generator (test_model.c) or a fuzzer's bytes
 * (fuzz_space.c). Only vm/vm.h and the simulated CPU are used to look at the result. A difference ends the process with
 * a message.
 */
#ifndef MODEL_H
#define MODEL_H

#include "core/base/types.h"

/* RAM that the model never runs out of. */
#define MODEL_RAM ((size_t)128 << 20)

/* A number below the bound, which is not 0. */
typedef uint32_t (*model_source)(uint32_t bound);

/* Forgets all pages; the address space is empty. */
void model_reset(void);
/* One operation, and the cheap checks. */
void model_step(model_source next);
/* vm_validate, and that the CPU remembers nothing that is gone. */
void model_check(void);
/* Compares every page's contents. */
void model_check_contents(void);
/* Frees everything. */
void model_clear(void);
/* What the last operation was, for reports. */
const char *model_last(void);

#endif
