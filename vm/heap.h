/*
 * Heaps for programs that want several (vm/heap/heap.c), and spans.
 *
 * Spans: memory for heaps that never faults, as a rule straight from the permanent map of RAM: up to 2 MiB physically
 * contiguous and without a page-table entry. When RAM is too scattered for that, single frames are mapped instead.
 * Larger ones get a slot with headroom, backed on touch (the heap driver decides).
 */
#ifndef VM_HEAP_H
#define VM_HEAP_H

#include "vm/vm.h"

C_DECLARATIONS_BEGIN

/* At most this many bytes come from the map of RAM; power-of-two sizes waste nothing. */
#define VM_SPAN_MAX ((size_t)2 << 20)

/* Shorthand for the heap driver: memory of undefined contents, or NULL when there is none. */
void *vm_span_alloc(size_t size);
void vm_span_free(void *span);

struct heap;

/*
 * A heap of its own on a segment driver, which has to allocate segments anywhere: vm_heap for memory that never faults.
 * pages: VM_PAGES_*, or 0; limit: bytes that it may hold, 0: any number. Heap or encoded error: E_INVAL, E_NOMEM.
 * Blocks are aligned to 16; those of VM_PAGE_SIZE and its multiples up to 32 KiB to the page. NULL: no memory, or over
 * the limit. A block that is given back twice or to another heap ends the program with a report.
 *
 * Threads may share a heap: its operations but heap_destroy have a lock, one for each heap, and wait for each other. So
 * a driver may use malloc, and other heaps, but not the heap whose memory it is.
 */
struct heap *heap_create(const struct vm_segment_driver *driver, vm_flags_t pages, size_t limit);
/* Frees all of its blocks, in time for each 2 MiB and large block. */
void heap_destroy(struct heap *heap);
void *heap_alloc(struct heap *heap, size_t size);
void *heap_alloc_aligned(struct heap *heap, size_t align, size_t size); /* a power of two */
void *heap_calloc(struct heap *heap, size_t count, size_t size);
/* A block of NULL: heap_alloc. NULL: the block is as it was. */
void *heap_realloc(struct heap *heap, void *block, size_t size);
void heap_free(struct heap *heap, void *block); /* NULL: nothing */
size_t heap_size(struct heap *heap, void *block);

struct heap_statistics {
    size_t held;       /* bytes of memory that the heap has from its driver */
    size_t used;       /* of them in blocks, those in malloc's lists of free objects included */
    size_t large;      /* of them in blocks of more than a MiB; those of malloc are the driver large's */
    size_t empty;      /* bytes of it in no span: for spans of any class and medium blocks */
    size_t structures; /* bytes beside */
};
struct heap_statistics heap_statistics(const struct heap *heap);

/* Whole-structure check; NULL or what is wrong. A heap of NULL: malloc's. Slow: for tests. */
const char *heap_validate(struct heap *heap);

/*
 * The heap of the program, in images with malloc = "heap": what the C library's functions call (core/libc/malloc.c).
 * NULL: no memory. free and realloc of what is no block end the program with a report.
 */
void *heap_program_alloc(size_t size);
void *heap_program_refill(size_t size, unsigned kind); /* where malloc's list of the kind is empty */
void *heap_program_alloc_zeroed(size_t size);
void *heap_program_alloc_aligned(size_t align, size_t size); /* a power of two */
void heap_program_free_block(void *block);                   /* what is no object, or NULL */
size_t heap_program_size(const void *block);
/* realloc, neither of NULL nor to 0, but for the copying, which C libraries do best: the block with the size, if
 * nothing is to be copied. Otherwise what `finish` answers, which is called last: it copies so many bytes, frees the
 * old block and answers the new one. NULL: there is no memory, nothing has changed, and nothing is to be done. */
typedef void *heap_finish(void *block, void *old, size_t size);
void *heap_program_realloc(void *block, size_t size, heap_finish *finish);
/* Gives back what is kept to be allocated again. */
void heap_program_trim(void);
struct heap *heap_program(void);

/* The same in images with malloc = "hardened" (vm/heap/hardened.c). */
void *heap_hardened_alloc(size_t align, size_t size);
void *heap_hardened_alloc_zeroed(size_t size);
void *heap_hardened_realloc(void *block, size_t size);
void heap_hardened_free(void *block);
size_t heap_hardened_size(void *block); /* what was asked for */
struct heap *heap_hardened(void);       /* NULL: no memory */

C_DECLARATIONS_END

#endif
