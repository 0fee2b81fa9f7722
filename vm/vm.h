/*
 * The VM core's interface, for applications, for segment drivers and for the rest of the core.
 *
 * Memory is allocated as segments: contiguous ranges of the one address space, each served by a segment driver
 * (after SunOS: Gingell, Moran, Shannon, "Virtual Memory Architecture in SunOS", USENIX 1987). A driver is a const
 * table of operations. The core checks arguments, finds the segment and calls the driver; the driver decides about
 * addresses and frames, with the helpers of vm/driver.h.
 *
 * Sizes are bytes and multiples of VM_PAGE_SIZE; addresses are page aligned. Errors: core/base/error.h. An operation
 * that fails has changed nothing. vm_free cannot fail. A segment belongs to whoever allocated it until vm_free (or
 * vm_resize to 0, which is the same); the pointer is dead afterwards. Using a dead or foreign pointer is a bug
 * that is caught and panics.
 *
 * All of it may be called by several threads at once, on any CPU (vm/lock.h): each operation is done before or after
 * another. But a segment is used by one at a time, for instance by who allocated it. Interrupt handlers may not call
 * anything here.
 */
#ifndef VM_VM_H
#define VM_VM_H

#include "core/base/error.h"
#include "core/base/types.h"

C_DECLARATIONS_BEGIN

struct address_space;
struct vm_segment;

/* Protection: the numbers of PROT_* on Linux. x86 cannot write or execute what it cannot read: VM_WRITE or VM_EXEC
 * without VM_READ is E_INVAL. */
#define VM_READ (1u << 0)
#define VM_WRITE (1u << 1)
#define VM_EXEC (1u << 2)
#define VM_RW (VM_READ | VM_WRITE)
#define VM_PROTECTION (VM_READ | VM_WRITE | VM_EXEC)

/* Back the whole segment in vm_alloc; otherwise on first touch. */
#define VM_POPULATE (1u << 3)
/* The contents of fresh pages are undefined: no zeroing. */
#define VM_NOZERO (1u << 4)

/* The largest page the segment may be backed with; none given: the image's policy (vm_page_policy). */
#define VM_PAGES_4K (1u << 5)
#define VM_PAGES_2M (2u << 5)
#define VM_PAGES_1G (3u << 5)
#define VM_PAGES (3u << 5)

/* Memory type of a window (PAT, Intel SDM vol. 3, 11.12). */
#define VM_CACHE_WB (0u << 7) /* write back: ordinary memory */
#define VM_CACHE_WC (1u << 7) /* write combining: framebuffers */
#define VM_CACHE_WT (2u << 7) /* write through */
#define VM_CACHE_UC (3u << 7) /* uncached: device registers */
#define VM_CACHE (3u << 7)

/* The caller keeps no pointer to the segment: it may be merged into an equal neighbour that is VM_MERGE too. (Pieces
 * that vm_protect and vm_unmap cut off need no such flag to be merged with what they were cut from.) */
#define VM_MERGE (1u << 9)

/* Bits for the caller, which mean nothing here; vm_mark changes them, and segments are alike only if theirs are. */
#define VM_MARKS (0xffu << 16)
#define VM_MARK(number) (1u << (16 + (number)))

#define VM_FLAGS_ALL (VM_PROTECTION | VM_POPULATE | VM_NOZERO | VM_PAGES | VM_CACHE | VM_MERGE | VM_MARKS)

/* Anything (addresses of vm_alloc). */
#define VM_ANYWHERE ((vaddr_t)0)

/*
 * A kind of segment. Tables are const and live for ever. The address space is passed to all; the core has checked
 * sizes, alignment, overflow and flags. A NULL operation means what its line says.
 */
struct vm_segment_driver {
    /* A segment of virtual memory; starts at the address if one is given, or fails with E_NOMEM. NULL: E_NOTSUP. */
    struct vm_segment *(*vm_alloc)(struct address_space *, vaddr_t, size_t, vm_flags_t);
    /* A segment on the contiguous physical range that starts at the address. NULL: E_NOTSUP. */
    struct vm_segment *(*vm_alloc_at)(struct address_space *, paddr_t, size_t, vm_flags_t);
    /* Releases frames, MMU entries, addresses and the segment. Cannot fail. NULL: such segments are permanent, and
     * freeing one is a caller's bug. */
    void (*vm_free)(struct address_space *, struct vm_segment *);
    /* New size, never 0. Growing into addresses that are taken: E_NOMEM. NULL: E_NOTSUP. */
    error_t (*vm_resize)(struct address_space *, struct vm_segment *, size_t);
    /* Serves one fault, described by vm_fault_info(). E_ACCES: the protection forbids it; E_FAULT: never backed;
     * E_RANGE: behind the end of what the segment shows (SIGBUS on Linux); E_NOMEM: no frame. Runs on an interrupt
     * stack: may touch demand-backed memory, may not block unless VM_DRIVER_WAITS says so. Required. */
    error_t (*vm_fault)(struct address_space *, struct vm_segment *);

    const char *name;    /* unique, lower case */
    uint32_t properties; /* VM_DRIVER_* */

    /* Changes the protection of all of the segment (the core has split it to fit). NULL: E_NOTSUP. */
    error_t (*protect)(struct address_space *, struct vm_segment *, vm_flags_t protection);
    /* The segment was cut at `second`, a new segment that holds its upper part and began as a copy of the first: divide
     * what is private. On an error the core puts them together again. NULL: E_NOTSUP. */
    error_t (*split)(struct address_space *, struct vm_segment *first, struct vm_segment *second);
    /* The second goes up in its lower neighbour (a cut is taken back, or two that are alike are merged) or in the
     * segment that it was copied for: give up what split or copy gave it. NULL: nothing to give up. */
    void (*join)(struct address_space *, struct vm_segment *first, struct vm_segment *second);
    /* VM_ADVICE_* for a range of the segment. NULL: nothing happens, which is success. */
    error_t (*advise)(struct address_space *, struct vm_segment *, vaddr_t, size_t, int advice);
    /* One line about the segment, into the buffer (at most size bytes, terminated), for the map. NULL: none. */
    void (*describe)(const struct vm_segment *, char *buffer, size_t size);
    /* `second`, an empty segment at another place, is to show what the segment shows from `from` on: give it an `own`
     * for that place. It may not be on the map yet, so no segment is to be made. Only for drivers that merge. NULL: the
     * same `own` serves. */
    error_t (*copy)(struct address_space *, struct vm_segment *segment, vaddr_t from, struct vm_segment *second);
};

/* The operations of this driver use only general registers (-mgeneral-regs-only): the core saves no vector state
 * around them in faults and system calls. Without it a driver is ordinary compiled code. */
#define VM_DRIVER_GENERAL_REGISTERS (1u << 0)
/* Neighbouring segments of this driver with equal flags and `own` may be merged; it keeps nothing else per segment. */
#define VM_DRIVER_MERGES (1u << 1)
/* It shows memory objects (vm/object.h): what it serves is counted as pages of files. */
#define VM_DRIVER_OBJECTS (1u << 2)
/* Its faults back fresh memory: vm_stats counts them so, and not as those of a driver of the program. */
#define VM_DRIVER_DEMAND (1u << 3)
/* Its operations look at no other segment, call nothing of vm/vm.h and are as VM_DRIVER_GENERAL_REGISTERS says: they
 * may run on several CPUs at once, for different segments. */
#define VM_DRIVER_APART (1u << 4)
/* Its vm_fault may wait, for other threads or a time, by system calls; another one than vm_fault may not. Where the
 * core is compiled for threads it is called on the thread's own stack, without locks, and so for several threads at
 * once, for one address too: what is there already is E_EXIST for vm_segment_map, and success for the fault. Until it
 * returns the segment stays: what would cut, resize, move or unmap it is E_BUSY, it is not merged, and vm_free takes
 * place at the end. A fault in a system call has the call fail with EFAULT, inside, and begin again when the fault is
 * served; one that has done a part (read, write) returns that, as it may. */
#define VM_DRIVER_WAITS (1u << 5)

enum vm_advice {
    VM_ADVICE_DONTNEED, /* drop the pages: they read as fresh ones again */
    VM_ADVICE_WILLNEED, /* back the range now, as far as frames allow */
    VM_ADVICE_FREE,     /* the contents may be lost until they are written to: pages go when frames are short */
};

/* The one address space of the image. */
struct address_space *vm_space(void);

/* Drivers by name. Registering: E_EXIST if the name is taken, E_INVAL without a name, vm_fault and one way to
 * allocate. From the start there are anon, heap, phys, stack, image and guard; file where the image maps files. */
error_t vm_driver_register(const struct vm_segment_driver *driver);
const struct vm_segment_driver *vm_driver(const char *name); /* NULL if unknown */
const struct vm_segment_driver *
vm_driver_at(size_t number); /* from 0 on, in the order of registration; NULL: no more */

extern const struct vm_segment_driver vm_anon, vm_heap, vm_phys, vm_stack, vm_image, vm_guard;

/* Segment or encoded error: E_INVAL (size 0, misaligned, overflowing, unknown flags, NULL driver), E_NOMEM (addresses
 * taken or not to be had, or no frames), E_NOTSUP. Drivers add: phys E_RANGE (beyond the CPU's physical addresses) and
 * E_BUSY (over RAM), heap E_BUSY (the RAM at that physical address is in use) and E_INVAL (it is not RAM). A segment is
 * at most 2 TiB; at a given address it ends in the slot it begins in (docs/address-map.md), at the latest at the next
 * multiple of 2 TiB. */
struct vm_segment *vm_alloc(struct address_space *, const struct vm_segment_driver *, vaddr_t, size_t, vm_flags_t);
struct vm_segment *vm_alloc_at(struct address_space *, const struct vm_segment_driver *, paddr_t, size_t, vm_flags_t);
void vm_free(struct address_space *, struct vm_segment *);
/* Size 0 frees. E_NOMEM: the addresses behind are taken, or no frames. */
error_t vm_resize(struct address_space *, struct vm_segment *, size_t);

/*
 * Ranges. They may cover several segments and parts of them, which are split first; where neighbours can be merged
 * afterwards they are. A segment keeps its pointer as long as its first page stays in it; nobody has one to the
 * pieces cut off. Size 0 changes nothing. vm_protect: E_NOMEM if any page of the range is in no segment, E_NOTSUP if a
 * driver cannot (both before any change; an error that a driver's own protect returns comes after the segments below it
 * were changed). vm_unmap: holes are passed over; E_NOTSUP for permanent segments. vm_advise: E_NOMEM for holes, after
 * the rest was done, or where VM_ADVICE_DONTNEED had to split a large page and could not. A failure may leave large
 * pages split into smaller ones, and, where the driver of a program refused the second of two cuts, a segment cut in
 * two; neither changes what is mapped.
 */
error_t vm_protect(struct address_space *, vaddr_t, size_t, vm_flags_t protection);
error_t vm_unmap(struct address_space *, vaddr_t, size_t);
error_t vm_advise(struct address_space *, vaddr_t, size_t, int advice);
/* Clears and sets marks (VM_MARKS) and the page size for what is backed from now on (VM_PAGES), in a range without
 * holes (else E_NOMEM); segments are split and merged to fit. E_NOTSUP: one that has to be cut cannot be. */
error_t vm_mark(struct address_space *, vaddr_t, size_t, vm_flags_t clear, vm_flags_t set);
/* Backs the range now, for reading or writing, page by page as if each were touched: the error of the first page that
 * could not be (E_FAULT: no segment there), those before it are backed. Beyond the range nothing is, but what a large
 * page around its edge covers. */
error_t vm_populate(struct address_space *, vaddr_t, size_t, vm_flags_t access);
/* Makes large pages of the small ones in a part of an anon segment, wherever a page of 2 MiB fits; what was not backed
 * is zeros. E_INVAL: no such segment, no room for a large page, or VM_PAGES_4K; E_NOMEM: frames ran out, some are done.
 */
error_t vm_collapse(struct address_space *, vaddr_t, size_t);
/* Cuts the segment at an address inside it; the upper part is returned as a segment of its own. */
struct vm_segment *vm_split(struct address_space *, struct vm_segment *, vaddr_t);
/* Takes a cut back: the second goes up in the first. E_INVAL if the second does not follow the first or is not like it;
 * E_NOTSUP for drivers that do not merge. */
error_t vm_join(struct address_space *, struct vm_segment *first, struct vm_segment *second);
/* Merges the two segments that meet at the address if they are alike and may be merged (VM_MERGE). */
void vm_merge(struct address_space *, vaddr_t);
/* Moves the segment to the given addresses (or VM_ANYWHERE) and gives it the new size; pages move, their contents are
 * not copied. Afterwards the segment's start has changed. Only for drivers that merge. E_NOTSUP, E_NOMEM. */
error_t vm_move(struct address_space *, struct vm_segment *, vaddr_t, size_t);
/* A second segment, of the size and at `to` or VM_ANYWHERE, that shows what the segment shows from `from` on. take: its
 * pages move there and the old place is as never touched; the size must then lie inside the segment. Only for drivers
 * that merge. Segment or encoded error: E_NOTSUP, E_NOMEM, E_INVAL. */
struct vm_segment *vm_copy(struct address_space *, struct vm_segment *, vaddr_t from, vaddr_t to, size_t, bool take);

/* The segment that holds the address, or NULL. vm_next: the first one that ends above the address, or NULL. */
struct vm_segment *vm_find(struct address_space *, vaddr_t);
struct vm_segment *vm_next(struct address_space *, vaddr_t);

vaddr_t vm_start(const struct vm_segment *);
size_t vm_size(const struct vm_segment *);
vm_flags_t vm_flags(const struct vm_segment *);
const struct vm_segment_driver *vm_driver_of(const struct vm_segment *);

/* The fault that the running CPU is serving; NULL outside of one. */
struct vm_fault_info {
    vaddr_t address;   /* exact, not page aligned */
    vm_flags_t access; /* one of VM_READ, VM_WRITE, VM_EXEC */
    bool present;      /* an entry was there and forbade it */
};
const struct vm_fault_info *vm_fault_info(void);

/* Statistics of a segment, or summed over the segments of a driver that are and were. */
struct vm_statistics {
    uint64_t faults[PAGE_SIZES]; /* faults served with a page of this size */
    uint64_t faults_refused;     /* answered with an error */
    uint64_t fallbacks;          /* a smaller page than the policy allowed, for want of a frame */
    size_t resident[PAGE_SIZES]; /* pages backed now */
    uint64_t segments;           /* alive (1 for a segment) */
};
struct vm_statistics vm_segment_statistics(struct address_space *, const struct vm_segment *);
struct vm_statistics vm_driver_statistics(struct address_space *, const struct vm_segment_driver *);

/* Faults served so far, of all drivers: a sum over the segments, without a look at page tables. */
uint64_t vm_faults(struct address_space *);

/* Who served a fault. */
enum vm_fault_kind {
    VM_FAULT_DEMAND,  /* fresh memory: anon, heap, stack */
    VM_FAULT_FILE,    /* a page of a file or of shared memory, or its private copy */
    VM_FAULT_PROGRAM, /* a driver of the program */
    VM_FAULT_KINDS
};

/* What a CPU has had to do with others, since boot. All of it is 0 while CPUs only touch memory of their own. */
struct vm_cpu_stats {
    uint64_t contended;                         /* how often it found a lock of the core taken */
    uint64_t shootdowns, shot_pages, shot_cpus; /* flushes asked of other CPUs: calls, single pages, CPUs over all */
    uint64_t freed_elsewhere;                   /* blocks of other CPUs' heaps that it freed, and sent there */
};
/* Of one of cpu_count(). */
struct vm_cpu_stats vm_cpu_stats(unsigned cpu);

/* Everything that is counted, since boot and now. Bytes where nothing else is said. */
struct vm_stats {
    uint64_t faults[VM_FAULT_KINDS][PAGE_SIZES]; /* served with a page of that size */
    uint64_t faults_refused, fallbacks;          /* as in struct vm_statistics */
    uint64_t resident[PAGE_SIZES];               /* in pages of that size; spans are of 4 KiB; windows are no memory */
    uint64_t peak[PAGE_SIZES];                   /* the same when most was resident: a sum that never was larger */
    uint64_t zeroed;                             /* fresh frames, and what the core zeroed for itself */
    uint64_t flushed_pages, flushed_all;         /* translations flushed one by one; all of them at once */
    struct vm_cpu_stats cpus;                    /* the sums */
    uint64_t segments;                           /* alive */
    uint64_t spans, span_bytes, span_bytes_peak; /* of the heap driver, in the map of RAM: their number, and bytes */
    uint64_t windows;                            /* of the phys driver */
    uint64_t tables, bookkeeping; /* page tables of the lower half; tables in reserve, segments and slots */
    /* Frames (vm/frames.h): all of them, and those not handed out, now and at the least; of the latter whole large
     * ones. taken: those that have left the store so far, in bytes. */
    uint64_t frames, free, least_free, free_2m, free_1g, taken;
    uint64_t refills, spills, splits; /* of magazines of single frames; of 2 MiB for smaller frames */
    uint64_t clean, cleaned;          /* known to be zeros, of the free ones; zeroed while the CPU was idle */
    bool trusts_virgin;               /* frames that were never used count as zeros (--trust-virgin-ram) */
};
/* Looks at every segment and every page table. Where several CPUs allocate the peak is the sum of what each had at the
 * most. */
struct vm_stats vm_stats(struct address_space *);

/* Prints the segments in address order, a line each, through the given function (NULL: the console). */
void vm_dump(struct address_space *, void (*line)(void *context, const char *text), void *context);

/* The page policy of the image: largest page for segments that do not say (--pages). */
enum page_size vm_page_policy(void);
void vm_set_page_policy(enum page_size);

/* Whole-structure check of segments, slots and page tables; NULL or what is wrong. Slow: for tests. */
const char *vm_validate(struct address_space *);

C_DECLARATIONS_END

#endif
