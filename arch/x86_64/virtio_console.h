/* virtio's console (5.3), port 0, by console.c, which has the lock; read and write only where it has been found. */
#ifndef ARCH_VIRTIO_CONSOLE_H
#define ARCH_VIRTIO_CONSOLE_H

#include "core/base/types.h"

bool virtio_console_find(void);
void virtio_console_write(const char *bytes, size_t length);
size_t virtio_console_read(char *bytes, size_t length);

#endif
