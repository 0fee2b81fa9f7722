/*
 * What the parts of the stress test share. Workers, two for each CPU and two more, choose operations at random; what
 * they work on, mappings, files, blocks and a common region, belongs to all of them. All contents are stamped and
 * checked. What is wrong is a finding: a line, and status 1.
 */
#ifndef STRESS_H
#define STRESS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096ul
#define LENGTH(array) (sizeof(array) / sizeof(*(array)))
#define WORKERS_MOST 64u
#define COMMON_PAGES 256u

/* A thread that chooses; on lines of its own. */
struct worker {
    pthread_t thread;
    unsigned number;
    uint64_t random;
    _Atomic uint64_t operations;
    _Atomic(const char *) doing;
    _Atomic uint64_t signals_got;
    uint32_t common[COMMON_PAGES]; /* what it wrote to each page of the common region */
} __attribute__((aligned(128)));

extern struct worker workers[WORKERS_MOST];
extern unsigned worker_count;
extern atomic_bool stopping;
extern _Atomic uint64_t threads_made;

__attribute__((format(printf, 1, 2), noreturn)) void finding(const char *format, ...);

/* A call that must succeed. error: a number of errno, or 0. */
static inline void must(int error, const char *what)
{
    if (error)
        finding("%s: %s", what, strerror(error));
}

/* xorshift64 (Marsaglia 2003). */
static inline uint64_t random_next(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random;
}

static inline uint32_t below(uint64_t *random, uint32_t limit)
{
    return (uint32_t)((random_next(random) >> 32) * limit >> 32);
}

/* One operation of each part: with the random numbers of the thread that does it. */
void change_mapping(uint64_t *random);
void change_block(uint64_t *random);
void use_common(struct worker *worker);
void use_file(struct worker *worker);
void live(uint64_t *random);

void mappings_begin(void);
void mappings_end(void); /* all is given back */
void files_begin(void);
void files_end(void);
void files_escape(void); /* of a fault, if it is one behind the end of a file */
void blocks_end(void);
void lives_begin(void);
void lives_end(void);
void count_signals_of(struct worker *worker); /* by itself */
void signals_end(void);                       /* with all workers still there: what was sent has arrived */

#endif
