/* Formatted text for the core: a small printf without floating point, locale or allocation. */
#ifndef CORE_BASE_PRINT_H
#define CORE_BASE_PRINT_H

#include <stdarg.h>
#include <stddef.h>

#include "core/base/types.h"

C_DECLARATIONS_BEGIN

/*
 * %d %i %u %x %X %o %c %s %p %% with flags '-', '0', '+', ' ', '#', width, precision and '*', lengths hh h l ll z j t.
 * Writes at most size bytes, always terminated when size > 0. Returns the length the whole text would have had.
 */
int text_vformat(char *buffer, size_t size, const char *format, va_list) __attribute__((format(printf, 3, 0)));
int text_format(char *buffer, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Formats to the console (core/console.h); on the host, to stderr. Lines of more than 255 bytes are cut. */
void kprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

C_DECLARATIONS_END

#endif
