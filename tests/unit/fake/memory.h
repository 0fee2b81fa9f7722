/*
 * What the heap stands on (vm/heap/memory.h), for several CPUs and without a VM core: pages of simulated RAM and slots
 * of addresses, each operation with a lock of the host.
 */
#ifndef FAKE_MEMORY_H
#define FAKE_MEMORY_H

#include <stddef.h>

/* So many bytes of RAM, once in a process. */
void fake_memory(size_t size);
/* Pages that are in use: of runs, structures and large blocks. */
size_t fake_memory_used(void);
/* Every nth request for memory fails from now on; 0: only those for which there is none. */
void fake_memory_fail_each(unsigned nth);

#endif
