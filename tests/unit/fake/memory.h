/*
 * What the heap stands on (vm/heap/memory.h), for tests with several CPUs: pages of simulated RAM and slots of
 * addresses, each operation with a lock of the host (memory.c), or the VM core (memory_vm.c).
 */
#ifndef FAKE_MEMORY_H
#define FAKE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* So many bytes of RAM, once in a process. */
void fake_memory(size_t size);
/* Fails the test if more or less is in use than the heap's structures, of so many bytes, or anything is wrong. */
void fake_memory_check(size_t structures);
/* From now on, or no more, requests for memory fail at times, if each CPU calls fake_memory_turn often. */
void fake_memory_fail(bool on);
void fake_memory_turn(void);

/* As mmap does when frames are short. */
void fake_memory_reclaim(void);

/* Whether CPUs may wait for each other in there (core/spinlock.h). */
extern const bool fake_memory_has_locks;

/* 8 bytes of a block. */
uint64_t fake_memory_read(uintptr_t address);
void fake_memory_write(uintptr_t address, uint64_t value);

#endif
