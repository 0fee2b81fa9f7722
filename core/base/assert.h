/*
 * CHECK stays in every build and guards what would corrupt memory (double frees, foreign pointers);
 * ASSERT states what a caller inside the core must have done and is compiled only into debug builds.
 * Neither is for input: input returns an error.
 */
#ifndef CORE_BASE_ASSERT_H
#define CORE_BASE_ASSERT_H

#include "core/base/types.h"

C_DECLARATIONS_BEGIN

/* Reports the message (printf, see core/base/print.h) with registers, backtrace and segment map; ends with 134.
 * Implemented by core/panic.c, and on the host by tests/unit/fake. */
void panic(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2), cold));

#define CHECK(condition, ...)                                                                                          \
    do {                                                                                                               \
        if (UNLIKELY(!(condition)))                                                                                    \
            panic(__VA_ARGS__);                                                                                        \
    } while (0)

#ifdef QUIRE_DEBUG
#define ASSERT(condition) CHECK(condition, "%s:%d: assertion failed: %s", __FILE__, __LINE__, #condition)
#else
#define ASSERT(condition) ((void)sizeof(condition))
#endif

C_DECLARATIONS_END

#endif
