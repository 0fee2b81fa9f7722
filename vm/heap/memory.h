/*
 * What the heap stands on: memory in runs and in large blocks, pages for its own structures, and two tables. Contract,
 * implemented by memory.c and tables.c over the VM core, by tests/unit/fake over the simulated machine (the tables),
 * and by tests/bench/heap over mmap.
 *
 * Addresses of runs are those of the map of RAM as a rule: they never fault, and their high bit is set, which large
 * blocks' is not.
 */
#ifndef VM_HEAP_MEMORY_H
#define VM_HEAP_MEMORY_H

#include "core/percpu.h"
#include "machine.h" /* HEAP_CLASS_TABLE, HEAP_SPAN_TABLE: where the tables are */
#include "vm/heap.h"
#include "vm/vm.h"

#define SLICE_SHIFT 12u
#define SLICE_SIZE ((size_t)1 << SLICE_SHIFT)
#define REGION_SIZE ((size_t)2 << 20)

struct span;

/* Makes the tables, of zeros: a pointer and, for each CPU, two bytes for each slice of the address space, backed when
 * they are touched. False: no memory. Once; later calls do nothing. */
bool heap_tables_make(void);

/* Backs what the tables have for 2 MiB of the map of RAM, of classes for all CPUs: whoever frees looks there. False: no
 * memory, with what others need left. */
#if QUIRE_THREADS
bool heap_tables_back(uintptr_t region);
#else
static inline bool heap_tables_back(uintptr_t region)
{
    (void)region;
    return true;
}
#endif

/* True for what lies in the map of RAM: the runs of malloc's heap, and none of its large blocks. */
static inline bool heap_is_run(uintptr_t address)
{
    return address - PHYSMAP_BASE < PHYSMAP_SIZE;
}

/* Where the list of a class is in heap_lists, which is what tables hold of it, and the other way round. */
#define CLASS_OFFSET(class) ((unsigned)((class) * sizeof(uintptr_t)))
#define CLASS_AT(offset) ((unsigned)((offset) / sizeof(uintptr_t)))

#ifndef HEAP_CLASS_TABLE_OF
#define HEAP_CLASS_TABLE_OF(cpu) (HEAP_CLASS_TABLE + percpu_offsets[cpu])
#endif

/* Of a CPU: the offset for the objects in the slice that holds the address, of malloc's heap of this CPU; 0: none of
 * them. */
static inline uint16_t *heap_class_of_slice(unsigned cpu, uintptr_t address)
{
    return (uint16_t *)(HEAP_CLASS_TABLE_OF(cpu) + (uintptr_t)(((intptr_t)address >> SLICE_SHIFT) * 2));
}

/* The span that holds the slice of the address, where it is a span's first or holds small objects; NULL. */
static inline struct span **heap_span_of_slice(uintptr_t address)
{
    return (struct span **)(HEAP_SPAN_TABLE + (uintptr_t)(((intptr_t)address >> SLICE_SHIFT) * 8));
}

/* A run of a power of two of bytes from SLICE_SIZE to REGION_SIZE, aligned to its length, of undefined contents, from
 * the driver; 0: none. Only REGION_SIZE comes from drivers other than vm_heap. */
uintptr_t heap_run_get(const struct vm_segment_driver *, size_t size, vm_flags_t pages);
/* Takes just this run of pages of the map of RAM; false: not all of it is free. */
bool heap_run_take(uintptr_t run, size_t size);
/* Gives back what gets have given, in the map of RAM also parts of it, or several that lie side by side. False: no
 * structure for what is left of a run, and nothing has changed; never for a whole run. */
bool heap_run_put(uintptr_t run, size_t size);

/* With threads. Holds what runs and blocks are known by, so that nobody is waited for in what follows: for who may hold
 * something that another CPU waits for. False: another CPU has it. */
bool heap_memory_enter(void);
void heap_memory_leave(void);

/* A page for structures; NULL: none. */
void *heap_page_get(void);
void heap_page_put(void *page);

/*
 * Large blocks: segments of the driver of their own, with headroom, backed on touch; without `zero` contents are
 * undefined. Sizes are multiples of VM_PAGE_SIZE. 0, or false: RAM cannot hold them now, or the addresses behind are
 * taken.
 */
uintptr_t heap_large_get(const struct vm_segment_driver *, size_t size, vm_flags_t pages, bool zero);
bool heap_large_resize(uintptr_t block, size_t size);
/* False: no large block of the driver begins there. */
bool heap_large_put(const struct vm_segment_driver *, uintptr_t block);
/* Its size; 0: no large block of the driver begins there. */
size_t heap_large_size(const struct vm_segment_driver *, uintptr_t block);

/*
 * Of malloc: blocks of heap_large_driver, which may be larger than asked for, by addresses that nothing is behind yet.
 */
/* One that will grow: with addresses for the next times. */
uintptr_t heap_large_get_growing(size_t size);
/* The block, if it is the one that heap_large_realloc answered last, has the size, and is not much larger; else what
 * `otherwise` answers, which is called last: the usual step of a block that grows is a few comparisons. */
void *heap_large_fits(void *block, size_t size, heap_finish *finish,
                      void *(*otherwise)(void *block, size_t size, heap_finish *finish));
/* The block with the size where it is, or at other addresses where it can grow: its pages move, nothing is copied. 0,
 * as above. */
uintptr_t heap_large_realloc(uintptr_t block, size_t size);
/* Gives back what of blocks that were freed is kept for the next ones. */
void heap_large_trim(void);
/* The same, if with so many bytes more the program would hold more than it ever did. */
void heap_large_make_room(size_t size);

/* The driver of the large blocks of malloc. */
extern const struct vm_segment_driver heap_large_driver;

/* Bytes of RAM, and whether there is a frame left for so many bytes. */
size_t heap_ram(void);
bool heap_has_memory(size_t size);

/* Zeroes whole pages of a block. */
void heap_zero(uintptr_t block, size_t size);

/* Copies between blocks; sizes are multiples of 16. */
void heap_copy(uintptr_t to, uintptr_t from, size_t size);

#endif
