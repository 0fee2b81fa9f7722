/*
 * How long page faults take, in ticks of the time-stamp counter: only in images with --stats, in which the vector of
 * page faults is another one (core/cpu.h). Timed is what serves the fault, without entry and exit of the exception. A
 * fault of a driver that is serving another one counts in both.
 */
#ifndef CORE_OBSERVE_FAULTS_H
#define CORE_OBSERVE_FAULTS_H

#include "core/base/types.h"

/* Served with a page of that size, or refused. */
#define FAULT_REFUSED PAGE_SIZES
#define FAULT_OUTCOMES (PAGE_SIZES + 1)

/* Four buckets for each power of two; up to 3 ticks there is one for each number. The last one has no end. */
#define FAULT_BUCKETS 160

struct fault_times {
    uint64_t count, sum, least, most; /* least, most: 0: none yet */
    uint64_t buckets[FAULT_BUCKETS];
};

/* Begins to time; all counts are 0. */
void faults_watch(void);

const struct fault_times *fault_times(unsigned outcome);

/* The bucket of a number of ticks, and the least number in a bucket. */
unsigned fault_bucket(uint64_t ticks);
uint64_t fault_bucket_start(unsigned bucket);

/* Adds one that took so many ticks. */
void fault_times_add(struct fault_times *, uint64_t ticks);

#endif
