/* An address space on a simulated machine, for tests of vm/: made once in a test's process. */
#ifndef FIXTURE_H
#define FIXTURE_H

#include "fake.h"
#include "vm/fault.h"
#include "vm/heap.h"
#include "vm/space.h"
#include "vm/vm.h"

/* Addresses that programs ask for by themselves: no slots there. Aligned to 1 GiB. */
#define LOW_BASE ((vaddr_t)0x40000000)

extern struct address_space *space; /* == vm_space() */

/* RAM of the size from 1 MiB on (everything below 640 KiB too), frames, address space, faults served by
 * vm_handle_fault. */
void fixture_start(size_t ram);
/* From now on unmapping leaves translations to the next epoch, as release builds do. */
void fixture_lazy(void);
/* Fails the test if anything is wrong with the address space or the CPU still uses what is gone. */
void fixture_check(void);
/* Frees what is left and fails the test if frames were lost since fixture_start. */
void fixture_end(void);

/* Frames that are neither free nor the address space's own. */
size_t fixture_frames_out(void);

/* Everything that a failed operation must not have changed: the map of segments, and the frames that are not free or
 * bookkeeping. Taken after giving back caches. */
#define TRACE_TEXT_MAX 32768
struct trace {
    size_t frames; /* free, plus those the address space keeps for itself */
    size_t tables;
    size_t segments;
    char map[TRACE_TEXT_MAX];
};
void trace_take(struct trace *);
/* Fails the test, saying where they differ. nth: the frame that failed; negative: none did, then the tables have to be
 * the same too. */
void trace_compare(const struct trace *before, const struct trace *after, const char *operation, long nth);

/* Makes the nth frame from now on fail; fixture_inject_end() tells whether it has been asked for. */
void fixture_inject(long nth);
bool fixture_inject_end(void);

/* Allocations that must succeed. */
struct vm_segment *must_alloc(const struct vm_segment_driver *, vaddr_t, size_t, vm_flags_t);
struct vm_segment *must_alloc_at(const struct vm_segment_driver *, paddr_t, size_t, vm_flags_t);

/* 8 bytes at the address. */
void must_write(vaddr_t, uint64_t value);
uint64_t must_read(vaddr_t);

#define assert_error(call, error) assert_int_equal(ERR_OF(call), error)

#endif
