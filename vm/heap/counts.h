/* What malloc's heaps count of their CPUs for vm_stats (vm/stats.c), which images without a heap have, too. */
#ifndef VM_HEAP_COUNTS_H
#define VM_HEAP_COUNTS_H

#include "core/percpu.h"

extern uint64_t heap_freed_elsewhere; /* PERCPU: blocks that this CPU sent to others */

#endif
