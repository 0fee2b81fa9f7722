/*
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

C_DECLARATIONS_END

#endif
