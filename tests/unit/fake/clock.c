/* The host's clock as the core's. */
#include <time.h>

#include "core/clock.h"

uint64_t clock_monotonic(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}
