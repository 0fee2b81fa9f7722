/* QEMU's bochs-display: a PCI device with a framebuffer in BAR 0 and registers in BAR 2. */
#ifndef WINDOW_DISPLAY_H
#define WINDOW_DISPLAY_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"

struct vm_segment;

struct display {
    struct vm_segment *framebuffer, *registers; /* windows */
    volatile uint32_t *pixels;                  /* 0x00rrggbb, rows of `width` without gaps */
    unsigned width, height;
};

/* Finds the display, opens its windows and sets the mode. Says on the console what is wrong: E_NODEV, or an error of
 * core/pci.h or vm_alloc_at. */
error_t display_open(struct display *display, unsigned width, unsigned height);
void display_close(struct display *display);

#endif
