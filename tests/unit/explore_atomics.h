/* Included before the source that is explored: its atomic operations are steps, and a panic is wrong (explore.h). */
#ifndef EXPLORE_ATOMICS_H
#define EXPLORE_ATOMICS_H

#include "core/base/assert.h"
#include "tests/unit/explore.h"

/* What the source finds itself. */
#define panic(format, arguments...) explore_wrong(format)

#define EXPLORE_VALUE(at, value) ((__typeof__(*(at)))(value))
#define EXPLORE_CHANGE(operation, at, value)                                                                           \
    EXPLORE_VALUE(at, explore_change(__func__, at, sizeof(*(at)), operation, (uint64_t)(value)))

#define __atomic_load_n(at, order) EXPLORE_VALUE(at, explore_load(at, sizeof(*(at))))
#define __atomic_store_n(at, value, order) explore_store(at, sizeof(*(at)), (uint64_t)(value), order)
#define __atomic_exchange_n(at, value, order) EXPLORE_CHANGE(EXPLORE_SET, at, value)
#define __atomic_fetch_add(at, value, order) EXPLORE_CHANGE(EXPLORE_ADD, at, value)
#define __atomic_fetch_sub(at, value, order) EXPLORE_CHANGE(EXPLORE_SUB, at, value)
#define __atomic_fetch_and(at, value, order) EXPLORE_CHANGE(EXPLORE_AND, at, value)
#define __atomic_fetch_or(at, value, order) EXPLORE_CHANGE(EXPLORE_OR, at, value)
#define __atomic_fetch_xor(at, value, order) EXPLORE_CHANGE(EXPLORE_XOR, at, value)
#define __atomic_add_fetch(at, value, order) (__atomic_fetch_add(at, value, order) + (value))
#define __atomic_or_fetch(at, value, order) (__atomic_fetch_or(at, value, order) | (value))
#define __atomic_thread_fence(order) explore_fence()
#define __atomic_sub_fetch(at, value, order) (__atomic_fetch_sub(at, value, order) - (value))
#define __atomic_compare_exchange_n(at, expected, value, weak, order, failed)                                          \
    explore_compare_exchange(__func__, at, sizeof(*(at)), expected, (uint64_t)(value))

#endif
