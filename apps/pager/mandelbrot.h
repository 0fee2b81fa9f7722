/* The segment driver "mandelbrot": memory whose contents are computed page by page on first touch. */
#ifndef PAGER_MANDELBROT_H
#define PAGER_MANDELBROT_H

#include "vm/vm.h"

#define MANDELBROT_COLUMNS VM_PAGE_SIZE /* a row is a page, a byte a point */
#define MANDELBROT_ROWS 4096u
#define MANDELBROT_LIMIT 60 /* iterations; points that need all of them count as inside of the set */

extern const struct vm_segment_driver mandelbrot_driver;

/* What the memory holds at a point of the picture: iterations until it leaves the circle of radius 2. */
uint8_t mandelbrot_value(size_t row, size_t column);

/* Pages computed for the segment so far, and the row of its first page. */
uint64_t mandelbrot_computed(const struct vm_segment *);
size_t mandelbrot_first_row(const struct vm_segment *);

#endif
