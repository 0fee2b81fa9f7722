/* Text on the screen, by console.c, which has the lock; the last two only where a screen has been found. */
#ifndef ARCH_SCREEN_H
#define ARCH_SCREEN_H

#include "core/base/types.h"

bool screen_find(void);
void screen_write(const char *bytes, size_t length);
/* Some seconds, in which it can be read before the machine is gone. */
void screen_hold(void);

#endif
