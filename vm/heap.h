/*
 * Spans: physically contiguous, already mapped memory for heaps, straight from the permanent map of RAM. A span of up
 * to 2 MiB costs no page-table entry and never faults; larger ones get a slot with headroom (the heap driver decides).
 */
#ifndef VM_HEAP_H
#define VM_HEAP_H

#include "vm/vm.h"

/* At most this many bytes come from the map of RAM; power-of-two sizes waste nothing. */
#define VM_SPAN_MAX ((size_t)2 << 20)

/* Shorthand for the heap driver: memory of undefined contents, or NULL when there is none. */
void *vm_span_alloc(size_t size);
void vm_span_free(void *span);

#endif
