/*
 * What the memory calls share: memory.c (mmap, munmap, mprotect, brk), mapping.c (files, shared memory), remap.c,
 * advise.c, residency.c, policy.c. A mapping is one or more segments; Linux's view of it is kept in marks on them.
 */
#ifndef CORE_LINUX_MEMORY_H
#define CORE_LINUX_MEMORY_H

#include "core/linux/abi.h"
#include "machine.h"
#include "vm/object.h"
#include "vm/space.h"

struct file;

#define MARK_LOCKED VM_MARK(0)     /* mlock: VM_LOCKED */
#define MARK_ON_FAULT VM_MARK(1)   /* with it: MLOCK_ONFAULT, not backed at once */
#define MARK_GROWS_DOWN VM_MARK(2) /* MAP_GROWSDOWN */
#define MARK_HUGE VM_MARK(3)       /* MAP_HUGETLB: length and cuts are multiples of its pages */
#define MARK_SHARED VM_MARK(4)     /* MAP_SHARED of anon: of huge pages, and in images without mapping.c */
#define MARK_LOCK (MARK_LOCKED | MARK_ON_FAULT)

/* The bytes as whole pages; 0 if there are none or too many for the address space. */
static inline size_t linux_pages(size_t length)
{
    return length > LOW_HALF_END ? 0 : align_up(length, VM_PAGE_SIZE);
}

/* Programs map below: TASK_SIZE of Linux, a page less than the half of the address space. */
#define TASK_END (LOW_HALF_END - VM_PAGE_SIZE)

/* Page aligned, not empty, and below TASK_END. */
static inline bool linux_is_range(uintptr_t address, size_t size)
{
    return is_aligned(address, VM_PAGE_SIZE) && size != 0 && size <= TASK_END && address <= TASK_END - size;
}

/*
 * Memory is backed when it is touched, but what RAM cannot hold now is refused when it is asked for: malloc answers
 * NULL. Addresses alone (PROT_NONE, MAP_NORESERVE) are free, as are shared mappings of files, whose pages the file has
 * anyway; and vm_alloc itself refuses nothing. False if RAM cannot hold that much more. What is backed in [start, start
 * + size) already need not be found again: linux_has_memory_for looks there.
 */
bool linux_has_memory(size_t size);
bool linux_has_memory_for(uintptr_t start, size_t size);

/* vm_unmap; E_INVAL if that is no range, holds a permanent segment, or cuts a huge page. */
error_t linux_unmap_range(uintptr_t address, size_t size);

/* E_INVAL if an edge of the range lies inside of a page of a MAP_HUGETLB mapping. */
error_t linux_check_huge_edges(uintptr_t start, size_t size);
/* The bytes of a page of the mapping if that is MAP_HUGETLB, else VM_PAGE_SIZE. */
size_t linux_page_bytes(const struct vm_segment *);

/* What a mapping is to be made of: an object from a page on, or anon. */
struct linux_contents {
    struct vm_object *object; /* NULL: anon */
    uint64_t first_page;
    bool shared, may_write;
    bool fresh; /* the object was made for this mapping: a reference is to be given back */
};

/* Makes a segment at the address or VM_ANYWHERE: encoded errors. offset: of its start in the mapping, bytes. */
struct vm_segment *linux_make_segment(const struct linux_contents *, uintptr_t at, size_t offset, size_t size,
                                      vm_flags_t flags);

/*
 * Mapping objects is a part of its own (mapping.c); NULL in images that have neither files nor the part memory.
 * of_file: the object that the open file shows, without a reference; encoded errors. sealed: F_SEAL_WRITE and the like
 * forbid writable mappings. shared: memory of its own for
 * MAP_SHARED | MAP_ANONYMOUS with one reference, or NULL. prepare: the next map cannot fail for want of memory of its
 * own.
 */
struct linux_objects {
    struct vm_segment *(*map)(struct address_space *, struct vm_object *, uint64_t first_page, vaddr_t va, size_t size,
                              vm_flags_t flags, bool shared, bool may_write);
    bool (*prepare)(void);
    struct vm_object *(*of_file)(struct file *, bool *sealed);
    struct vm_object *(*shared)(size_t size);
};
extern const struct linux_objects *linux_objects;
/* INIT of the parts files and memory. */
void linux_mappings_init(void);

/* Marks that every new mapping gets (mlockall with MCL_FUTURE). */
extern vm_flags_t linux_future_marks;

/* The program's data segment (brk): start, and the end as it was set last; start 0: not there yet. */
void linux_data_segment(uintptr_t *start, uintptr_t *end);

/* Before the program starts: its data segment begins at this page, behind the program. E_NOMEM. */
error_t linux_brk_begin(uintptr_t start);

long linux_mmap(uintptr_t address, size_t length, int protection, int flags, int fd, uint64_t offset);
long linux_munmap(uintptr_t address, size_t length);
long linux_mprotect(uintptr_t address, size_t length, unsigned long protection);
long linux_pkey_mprotect(uintptr_t address, size_t length, unsigned long protection, int key);
long linux_brk(uintptr_t end);
long linux_mremap(uintptr_t address, size_t length, size_t new_length, unsigned long flags, uintptr_t new_address);
long linux_madvise(uintptr_t address, size_t length, int advice);
long linux_mincore(uintptr_t address, size_t length, unsigned char *vector);
long linux_msync(uintptr_t address, size_t length, int flags);
long linux_mlock(uintptr_t address, size_t length);
long linux_mlock2(uintptr_t address, size_t length, int flags);
long linux_munlock(uintptr_t address, size_t length);
long linux_mlockall(int flags);
long linux_munlockall(void);
long linux_membarrier(int command, unsigned flags, int cpu);
long linux_pkey_alloc(unsigned long flags, unsigned long rights);
long linux_pkey_free(int key);
long linux_mbind(uintptr_t address, size_t length, unsigned long mode, const uint64_t *mask, unsigned long bits,
                 unsigned flags);
long linux_set_mempolicy(int mode, const uint64_t *mask, unsigned long bits);
long linux_get_mempolicy(int *mode, uint64_t *mask, unsigned long bits, uintptr_t address, unsigned long flags);
long linux_memfd_create(const char *name, unsigned flags);

#endif
