/* Device registers through an uncached window: QEMU's edu device, or else the HPET. */
#ifndef WINDOW_REGISTERS_H
#define WINDOW_REGISTERS_H

#include "core/base/error.h"

struct vm_segment;

/* Opens the window, exercises the device and says on the console what it answered. E_IO: it answered wrongly. */
error_t registers_check(struct vm_segment **window);

#endif
