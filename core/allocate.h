/*
 * Memory for the core's own small structures: nodes, open files, timers. Zeroed; NULL when there is no frame. The size
 * is given back with the memory, so nothing is stored in front of it. At most ALLOCATE_MAX bytes at once. May not be
 * called by interrupt handlers. What a program can make the core allocate it can exhaust: NULL is ENOMEM, never a
 * panic.
 */
#ifndef CORE_ALLOCATE_H
#define CORE_ALLOCATE_H

#include "core/base/types.h"

#define ALLOCATE_MAX ((size_t)2 << 20)

void *core_allocate(size_t size);
/* NULL is allowed. size: as it was asked for. */
void core_release(void *memory, size_t size);

#endif
