/*
 * Page n of a segment is row first_row + n of one picture, so all segments together look like one file that nobody ever
 * wrote. Pages are read-only, computed on first touch, and may be dropped at any time, for they can be computed again.
 *
 * vm_fault computes with doubles. The driver does not say VM_DRIVER_GENERAL_REGISTERS, so the core saves the vector
 * registers of the program that faulted around it. It does not allocate either: a fault can come in the middle
 * of malloc.
 */
#include "mandelbrot.h"

#include <stdio.h>
#include <stdlib.h>

#include "vm/driver.h"

struct picture {
    size_t first_row;
    uint64_t computed;
};

#define LEFT (-2.1)
#define TOP (-1.2)
#define WIDTH 2.8
#define HEIGHT 2.4

uint8_t mandelbrot_value(size_t row, size_t column)
{
    double real = LEFT + WIDTH * (double)column / MANDELBROT_COLUMNS;
    double imaginary = TOP + HEIGHT * (double)row / MANDELBROT_ROWS;
    double x = 0, y = 0;
    uint8_t n = 0;

    while (n < MANDELBROT_LIMIT && x * x + y * y <= 4) {
        double next = x * x - y * y + real;

        y = 2 * x * y + imaginary;
        x = next;
        n++;
    }
    return n;
}

uint64_t mandelbrot_computed(const struct vm_segment *segment)
{
    return ((const struct picture *)segment->own)->computed;
}

size_t mandelbrot_first_row(const struct vm_segment *segment)
{
    return ((const struct picture *)segment->own)->first_row;
}

/* Computes the page at va into a frame and maps it. */
static error_t compute_page(struct address_space *space, struct vm_segment *segment, vaddr_t va)
{
    struct picture *picture = segment->own;
    size_t row = picture->first_row + (va - segment->start) / VM_PAGE_SIZE;
    paddr_t frame = vm_frame_get();

    if (frame == FRAME_NONE)
        return E_NOMEM;
    uint8_t *points = vm_frame_memory(frame);

    for (size_t column = 0; column < MANDELBROT_COLUMNS; column++)
        points[column] = mandelbrot_value(row, column);
    error_t error = vm_segment_map(space, segment, va, frame, PAGE_4K);

    if (error)
        vm_frame_put(frame);
    else
        picture->computed++;
    return error;
}

static error_t compute_all(struct address_space *space, struct vm_segment *segment)
{
    error_t error = E_SUCCESS;

    for (size_t offset = 0; !error && offset < segment->size; offset += VM_PAGE_SIZE)
        error = compute_page(space, segment, segment->start + offset);
    return error;
}

static void mandelbrot_free(struct address_space *space, struct vm_segment *segment)
{
    vm_segment_unmap(space, segment, segment->start, segment->size, true);
    free(segment->own);
    vm_segment_destroy(space, segment);
}

static struct vm_segment *mandelbrot_alloc(struct address_space *space, vaddr_t start, size_t size, vm_flags_t flags)
{
    if ((flags & VM_PROTECTION) != VM_READ || size > MANDELBROT_ROWS * VM_PAGE_SIZE)
        return ERR_PTR(E_INVAL);
    struct picture *picture = calloc(1, sizeof(*picture));

    if (!picture)
        return ERR_PTR(E_NOMEM);
    struct vm_segment *segment = vm_segment_create(space, &mandelbrot_driver, start, size, flags);

    if (IS_ERR(segment)) {
        free(picture);
        return segment;
    }
    segment->own = picture;
    error_t error = flags & VM_POPULATE ? compute_all(space, segment) : E_SUCCESS;

    if (error) {
        mandelbrot_free(space, segment);
        return ERR_PTR(error);
    }
    return segment;
}

static error_t mandelbrot_resize(struct address_space *space, struct vm_segment *segment, size_t size)
{
    if (mandelbrot_first_row(segment) + size / VM_PAGE_SIZE > MANDELBROT_ROWS)
        return E_NOMEM; /* the picture ends there */
    if (size < segment->size)
        vm_segment_unmap(space, segment, segment->start + size, segment->size - size, true);
    return vm_segment_set_size(space, segment, size);
}

static error_t mandelbrot_fault(struct address_space *space, struct vm_segment *segment)
{
    const struct vm_fault_info *fault = vm_fault_info();

    if (fault->present || fault->access != VM_READ)
        return E_ACCES;
    return compute_page(space, segment, align_down(fault->address, VM_PAGE_SIZE));
}

/* What was computed stays with the first part: nobody recorded which rows it was. */
static error_t mandelbrot_split(struct address_space *space, struct vm_segment *first, struct vm_segment *second)
{
    struct picture *lower = first->own, *upper = calloc(1, sizeof(*upper));

    (void)space;
    if (!upper)
        return E_NOMEM;
    upper->first_row = lower->first_row + first->size / VM_PAGE_SIZE;
    second->own = upper;
    return E_SUCCESS;
}

/* The cut is taken back: `second` vanishes. */
static void mandelbrot_join(struct address_space *space, struct vm_segment *first, struct vm_segment *second)
{
    (void)space, (void)first;
    free(second->own);
}

static error_t mandelbrot_advise(struct address_space *space, struct vm_segment *segment, vaddr_t va, size_t size,
                                 int advice)
{
    if (advice == VM_ADVICE_DONTNEED)
        vm_segment_unmap(space, segment, va, size, true);
    return E_SUCCESS;
}

static void mandelbrot_describe(const struct vm_segment *segment, char *buffer, size_t size)
{
    const struct picture *picture = segment->own;

    snprintf(buffer, size, "rows from %zu on, %llu computed", picture->first_row,
             (unsigned long long)picture->computed);
}

const struct vm_segment_driver mandelbrot_driver = {
    .vm_alloc = mandelbrot_alloc,
    .vm_free = mandelbrot_free,
    .vm_resize = mandelbrot_resize,
    .vm_fault = mandelbrot_fault,
    .name = "mandelbrot",
    .split = mandelbrot_split,
    .join = mandelbrot_join,
    .advise = mandelbrot_advise,
    .describe = mandelbrot_describe,
};
