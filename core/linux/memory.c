/*
 * mmap, munmap, mprotect and brk as operations of vm.h, which has no mappings but segments: an anonymous mapping is a
 * segment of anon, one of a file or of shared memory a segment of file (mapping.c). Checks are made in Linux's order
 * (mm/mmap.c, do_mmap; mm/mprotect.c), so that of several errors the same one is answered.
 *
 * Something at a MAP_FIXED address is replaced: all that can be refused is asked before, and what the new segment needs
 * is what the old ones leave behind, so that nothing is lost when there is no memory.
 *
 * Each call holds what it finds of the address space until it is done: the domain of what it is for, if that is all
 * that it looks at, else all of them (vm/space.h). Only what is not usual, and may be of files, takes linux_lock.
 */
#include "core/linux/memory.h"

#include "core/config.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/file.h"
#include "core/linux/lock.h"
#include "machine.h"
#include "vm/fault.h"
#include "vm/frames.h"
#include "vm/segments.h"

#define SEGMENT_MAX ((size_t)2 << 40)             /* vm_alloc */
#define SLOTS_END (SLOTS_BASE + 25 * SEGMENT_MAX) /* arch/x86_64/layout.h: from here on whole regions */

#define FLAGS_SIMPLE (MAP_PRIVATE | MAP_ANONYMOUS)
/* What MAP_SHARED_VALIDATE knows of files (LEGACY_MAP_MASK); MAP_SYNC is for persistent memory. */
#define FLAGS_KNOWN                                                                                                    \
    (MAP_TYPE | MAP_FIXED | MAP_ANONYMOUS | MAP_DENYWRITE | MAP_EXECUTABLE | MAP_UNINITIALIZED | MAP_GROWSDOWN |       \
     MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK | MAP_STACK | MAP_HUGETLB | MAP_32BIT | MAP_ABOVE4G |    \
     MAP_FIXED_NOREPLACE | MAP_HUGE_MASK << MAP_HUGE_SHIFT)

/* Where MAP_32BIT looks, as on Linux. */
#define LOW_START 0x40000000ul
#define LOW_END 0x80000000ul

/* Below a mapping that grows down nothing else may be nearer: stack_guard_gap of Linux. */
#define GROWTH_GAP (256 * VM_PAGE_SIZE)
/* How far a mapping may grow down: RLIMIT_STACK as every program starts with. */
#define GROWTH_MAX ((size_t)8 << 20)

/* The file's size cannot be more (MAX_LFS_FILESIZE). */
#define FILE_MAX ((uint64_t)INT64_MAX)

const struct linux_objects *linux_objects;
vm_flags_t linux_future_marks;
static bool huge_pages_used; /* a MAP_HUGETLB mapping was made: only then edges have to be looked at */

/* PROT_* has VM_*'s numbers; on x86 what can be written or executed can be read. */
static inline vm_flags_t protection_flags(unsigned long protection)
{
    vm_flags_t flags = protection & VM_PROTECTION;

    return flags == 0 ? 0 : flags | VM_READ;
}

/* ---- what RAM can hold ---- */

/* A few frames are left for page tables and the stack. */
#define FRAMES_LEFT 64u

/* At once, without a look at the magazines. */
static inline bool has_stored_frames(size_t size)
{
    return (size >> VM_PAGE_SHIFT) + FRAMES_LEFT <= frames_stored_at_least();
}

static inline bool has_frames(size_t size)
{
    return (size >> VM_PAGE_SHIFT) + FRAMES_LEFT <= frames_free();
}

/* With those in magazines; then without what the heap keeps, and pages whose contents the program has given up. */
static __attribute__((noinline, cold)) bool has_frames_at_last(size_t size)
{
    if (has_frames(size))
        return true;
    if (frames_reclaim != NULL)
        frames_reclaim();
    return has_frames(size) || (space_reclaim(vm_space()) && has_frames(size));
}

inline bool linux_has_memory(size_t size)
{
    return LIKELY(has_stored_frames(size)) || has_frames_at_last(size);
}

/* Frames behind [start, start + size), which is not empty, that are not lent by an object. */
static size_t resident_frames(uintptr_t start, size_t size)
{
    struct mmu_count count = mmu_count(&space_at(vm_space(), start)->mmu, start, size);

    return count.pages[PAGE_4K] - count.borrowed + (count.pages[PAGE_2M] << 9) + (count.pages[PAGE_1G] << 18);
}

bool linux_has_memory_for(uintptr_t start, size_t size)
{
    return linux_has_memory(size) ||
           (size >> VM_PAGE_SHIFT) + FRAMES_LEFT <= frames_free() + resident_frames(start, size);
}

/* ---- huge pages ---- */

size_t linux_page_bytes(const struct vm_segment *segment)
{
    if (!(vm_flags(segment) & MARK_HUGE))
        return VM_PAGE_SIZE;
    return page_bytes((vm_flags(segment) & VM_PAGES) == VM_PAGES_1G ? PAGE_1G : PAGE_2M);
}

static bool cuts_huge_page(uintptr_t edge)
{
    if (is_aligned(edge, page_bytes(PAGE_1G))) /* as where another domain begins */
        return false;
    struct address_space *space = vm_space();
    SPACE_HOLD_AT(space, edge);
    const struct vm_segment *segment = vm_find(space, edge);

    return segment != NULL && vm_start(segment) != edge && !is_aligned(edge, linux_page_bytes(segment));
}

error_t linux_check_huge_edges(uintptr_t start, size_t size)
{
    return huge_pages_used && (cuts_huge_page(start) || cuts_huge_page(start + size)) ? E_INVAL : E_SUCCESS;
}

/* The page size that MAP_HUGETLB asks for, as VM_PAGES_*; E_INVAL for sizes that x86-64 does not have. */
static error_t huge_pages(int map_flags, size_t *length, vm_flags_t *flags)
{
    unsigned shift = (unsigned)map_flags >> MAP_HUGE_SHIFT & MAP_HUGE_MASK;
    enum page_size page = shift == page_shift(PAGE_1G) ? PAGE_1G : PAGE_2M;

    if ((shift != 0 && shift != page_shift(page)) || page > mmu_largest_page())
        return E_INVAL;
    *length = *length > LOW_HALF_END ? *length : align_up(*length, page_bytes(page));
    *flags |= MARK_HUGE | (page == PAGE_1G ? VM_PAGES_1G : VM_PAGES_2M);
    huge_pages_used = true;
    return E_SUCCESS;
}

/* ---- munmap ---- */

error_t linux_unmap_range(uintptr_t address, size_t size)
{
    error_t error = linux_is_range(address, size) ? linux_check_huge_edges(address, size) : E_INVAL;

    if (error == E_SUCCESS)
        error = vm_unmap(vm_space(), address, size);
    return error == E_NOTSUP ? E_INVAL : error; /* a permanent segment */
}

static __attribute__((noinline)) long unmap_unusual(uintptr_t address, size_t length)
{
    LINUX_HOLD();
    /* All of an anonymous mapping, but not the one that was touched last. */
    if (!QUIRE_THREADS &&
        LIKELY(address < TASK_END && segment_free_whole(vm_space(), address, align_up(length, VM_PAGE_SIZE))))
        return 0;
    return -linux_unmap_range(address, linux_pages(length));
}

/* All of what was mapped or touched last; a length of 0 is that of one that is gone. */
static inline bool is_all_of_last(const struct vm_segment *segment, uintptr_t address, size_t length)
{
    return LIKELY(segment->start == address && segment->size == align_up(length, VM_PAGE_SIZE) &&
                  segment->driver == &vm_anon);
}

#if QUIRE_THREADS
/* Nothing but anonymous mappings, of the domain that is held, is in the range. */
static bool has_only_anonymous(struct address_space *space, uintptr_t start, uintptr_t end)
{
    while (start < end) {
        const struct vm_segment *segment = segment_next(space, start, end);

        if (segment == NULL)
            return true;
        if (segment->driver != &vm_anon)
            return false;
        start = segment_end(segment);
    }
    return true;
}

/* Anonymous mappings of one domain: all of one as a rule, or a thread's stack with its guard. False: it is not that. */
static bool unmap_usual(struct address_space *space, uintptr_t address, size_t length, long *result)
{
    SPACE_HOLD_AT(space, address);
    struct vm_segment *segment = space->last;
    size_t size = align_up(length, VM_PAGE_SIZE);

    *result = 0;
    if (is_all_of_last(segment, address, length)) {
        *result = segment_free_anon(address, length, space, segment);
        return true;
    }
    if (address >= TASK_END)
        return false;
    if (segment_free_whole(space, address, size))
        return true;
    if (!linux_is_range(address, size) || (address ^ (address + size - 1)) >> DOMAIN_SHIFT != 0 ||
        !has_only_anonymous(space, address, address + size))
        return false;
    *result = -linux_unmap_range(address, size);
    return true;
}

long linux_munmap(uintptr_t address, size_t length)
{
    long result;

    return LIKELY(unmap_usual(current_space, address, length, &result)) ? result : unmap_unusual(address, length);
}
#else
long linux_munmap(uintptr_t address, size_t length)
{
    struct address_space *space = current_space;
    struct vm_segment *segment = space->last;

    if (is_all_of_last(segment, address, length))
        return segment_free_anon(address, length, space, segment);
    return unmap_unusual(address, length);
}
#endif

/* ---- making segments ---- */

struct vm_segment *linux_make_segment(const struct linux_contents *contents, uintptr_t at, size_t offset, size_t size,
                                      vm_flags_t flags)
{
    if (contents->object == NULL)
        return vm_alloc(vm_space(), &vm_anon, at, size, flags);
    return linux_objects->map(vm_space(), contents->object, contents->first_page + (offset >> VM_PAGE_SHIFT), at, size,
                              flags, contents->shared, contents->may_write);
}

/*
 * A range at a given address, all or nothing. One segment lies inside one slot (vm/segments.c), so a range across
 * slots is made of the largest aligned pieces that fit.
 */
static error_t allocate_at(const struct linux_contents *contents, uintptr_t address, size_t size, vm_flags_t flags)
{
    size_t done = 0;

    if (!IS_ERR(linux_make_segment(contents, address, 0, size, flags)))
        return E_SUCCESS;
    while (done < size) {
        uintptr_t at = address + done;
        size_t piece = (size_t)1 << (63 - __builtin_clzll(size - done));
        struct vm_segment *segment;

        if (piece > SEGMENT_MAX)
            piece = SEGMENT_MAX;
        if ((at & -at) < piece)
            piece = at & -at;
        segment = linux_make_segment(contents, at, done, piece, flags);
        if (IS_ERR(segment)) {
            if (done > 0)
                vm_unmap(vm_space(), address, done);
            return ERR_OF(segment);
        }
        done += piece;
    }
    return E_SUCCESS;
}

/* The lowest free range at or above `at` and below the end, aligned to `step`; 0: there is none. */
static uintptr_t find_free(uintptr_t at, uintptr_t end, size_t size, size_t step)
{
    while (at < end && size <= end - at) {
        struct vm_segment *next = vm_next(vm_space(), at);

        if (next == NULL || vm_start(next) >= at + size)
            return at;
        at = align_up(vm_start(next) + vm_size(next), step);
    }
    return 0;
}

/* In a range that the core does not give out by itself: reservations that no segment can hold, MAP_32BIT. */
static long allocate_between(const struct linux_contents *contents, uintptr_t start, uintptr_t end, size_t size,
                             size_t step, vm_flags_t flags)
{
    uintptr_t at = find_free(start, end, size, step);
    error_t error = at != 0 ? allocate_at(contents, at, size, flags) : E_NOMEM;

    return error != E_SUCCESS ? -error : (long)at;
}

/* With room to grow down: the upper end of a slot that is larger. */
static long allocate_growing_down(const struct linux_contents *contents, size_t size, vm_flags_t flags)
{
    size_t room = size + GROWTH_MAX + GROWTH_GAP;
    struct vm_segment *segment = linux_make_segment(contents, VM_ANYWHERE, 0, room, flags);
    uintptr_t start;

    if (IS_ERR(segment))
        return -ERR_OF(segment);
    start = vm_start(segment);
    if (vm_unmap(vm_space(), start, room - size) != E_SUCCESS) {
        vm_free(vm_space(), segment);
        return -E_NOMEM;
    }
    return (long)(start + room - size);
}

static long allocate_anywhere(const struct linux_contents *contents, size_t size, vm_flags_t flags, int map_flags)
{
    size_t step = flags & MARK_HUGE ? page_bytes((flags & VM_PAGES) == VM_PAGES_1G ? PAGE_1G : PAGE_2M) : VM_PAGE_SIZE;
    struct vm_segment *segment;

    if (map_flags & MAP_32BIT)
        return allocate_between(contents, LOW_START, LOW_END, size, step, flags);
    if (size > SEGMENT_MAX)
        return allocate_between(contents, SLOTS_END, TASK_END, size, SEGMENT_MAX, flags);
    if (map_flags & MAP_GROWSDOWN)
        return allocate_growing_down(contents, size, flags);
    segment = linux_make_segment(contents, VM_ANYWHERE, 0, size, flags);
    return IS_ERR(segment) ? -ERR_OF(segment) : (long)vm_start(segment);
}

/* At the address, in place of whatever is there. */
static long replace_at(const struct linux_contents *contents, uintptr_t address, size_t size, vm_flags_t flags)
{
    error_t error = E_SUCCESS;

    if (contents->object != NULL && !linux_objects->prepare())
        return -E_NOMEM;
    if (vm_next(vm_space(), address) != NULL)
        error = linux_unmap_range(address, size);
    if (error == E_SUCCESS)
        error = allocate_at(contents, address, size, flags);
    return error != E_SUCCESS ? -error : (long)address;
}

/* Address of a new mapping (the given one with MAP_FIXED, which was checked), or a negative error. */
static long place(const struct linux_contents *contents, uintptr_t address, size_t size, vm_flags_t flags,
                  int map_flags)
{
    long at;

    if (map_flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
        at = replace_at(contents, address, size, flags);
    } else {
        uintptr_t end = map_flags & MAP_32BIT ? LOW_END : TASK_END;
        bool free = address != 0 && size <= end && address <= end - size && find_free(address, address + size, size, 1);

        if (!free || allocate_at(contents, address, size, flags) != E_SUCCESS)
            return allocate_anywhere(contents, size, flags, map_flags);
        at = (long)address;
    }
    if (at > 0) {
        vm_merge(vm_space(), address);
        vm_merge(vm_space(), address + size);
    }
    return at;
}

/* ---- mappings that grow down ---- */

/*
 * A fault below a MAP_GROWSDOWN mapping makes it longer, as far as RLIMIT_STACK and the gap to what lies below allow
 * (mm/mmap.c, expand_downwards). The new pages are a segment that merges with the old one.
 */
static error_t grow_down(struct address_space *space, vaddr_t address)
{
    SPACE_HOLD_ALL(space);
    struct vm_segment *above = vm_next(space, address), *below;
    uintptr_t start = align_down(address, VM_PAGE_SIZE), end;
    vm_flags_t flags;

    if (above == NULL || !(vm_flags(above) & MARK_GROWS_DOWN) || start < NULL_GUARD_END)
        return E_FAULT;
    flags = vm_flags(above);
    end = vm_start(above);
    if (end - start > GROWTH_MAX || vm_size(above) > GROWTH_MAX - (end - start) || !linux_has_memory(VM_PAGE_SIZE))
        return E_FAULT;
    below = vm_next(space, start > GROWTH_GAP ? start - GROWTH_GAP : 0); /* `above` if there is none */
    if (below != above && (vm_flags(below) & VM_PROTECTION) && !(vm_flags(below) & MARK_GROWS_DOWN))
        return E_FAULT;
    if (IS_ERR(vm_alloc(space, &vm_anon, start, end - start, flags)))
        return E_FAULT;
    vm_merge(space, end);
    return E_SUCCESS;
}

/* ---- mmap ---- */

/* What get_unmapped_area checks, and a hint made an address that may be tried, or 0. */
static error_t check_address(uintptr_t *address, size_t size, vm_flags_t flags, int map_flags)
{
    size_t step = flags & MARK_HUGE ? page_bytes((flags & VM_PAGES) == VM_PAGES_1G ? PAGE_1G : PAGE_2M) : VM_PAGE_SIZE;

    if (size > TASK_END)
        return E_NOMEM;
    if (!(map_flags & (MAP_FIXED | MAP_FIXED_NOREPLACE))) {
        *address = *address > TASK_END ? 0 : align_up(*address & ~VM_PAGE_MASK, step);
        if (*address != 0 && *address < NULL_GUARD_END)
            *address = align_up(NULL_GUARD_END, step); /* vm.mmap_min_addr */
        return E_SUCCESS;
    }
    if (*address > TASK_END - size)
        return E_NOMEM;
    if (!is_aligned(*address, step))
        return E_INVAL;
    if (*address < NULL_GUARD_END)
        return E_PERM;
    if (map_flags & MAP_FIXED_NOREPLACE) {
        struct vm_segment *next = vm_next(vm_space(), *address);

        if (next != NULL && vm_start(next) < *address + size)
            return E_EXIST;
    }
    return E_SUCCESS;
}

/* Anonymous memory; shared memory is an object, which then has a reference that the caller gives back. */
static error_t anonymous_contents(int flags, size_t size, vm_flags_t *vm_flags, struct linux_contents *contents)
{
    *contents = (struct linux_contents){.object = NULL};
    if ((flags & MAP_TYPE) == MAP_PRIVATE)
        return E_SUCCESS;
    if ((flags & MAP_TYPE) != MAP_SHARED || (flags & MAP_GROWSDOWN))
        return E_INVAL;
    if ((*vm_flags & MARK_HUGE) || linux_objects == NULL) {
        *vm_flags |= MARK_SHARED;
        return E_SUCCESS;
    }
    *contents = (struct linux_contents){linux_objects->shared(size), 0, true, true, true};
    return contents->object == NULL ? E_NOMEM : E_SUCCESS;
}

/* The file that is to be mapped: its object and what may be done to it. */
static error_t file_contents(struct file *file, int protection, int flags, uint64_t first_page, size_t size,
                             vm_flags_t *vm_flags, struct linux_contents *contents)
{
    bool shared = (flags & MAP_TYPE) == MAP_SHARED || (flags & MAP_TYPE) == MAP_SHARED_VALIDATE;
    unsigned access = file->flags & O_ACCMODE;

    if (size > FILE_MAX || first_page > (FILE_MAX - size) >> VM_PAGE_SHIFT)
        return E_OVERFLOW;
    if ((flags & MAP_TYPE) == MAP_SHARED_VALIDATE && (flags & ~FLAGS_KNOWN))
        return E_NOTSUP;
    if (shared && (protection & (int)VM_WRITE) && access == O_RDONLY)
        return E_ACCES;
    if (!shared && (flags & MAP_TYPE) != MAP_PRIVATE)
        return E_INVAL;
    if (access != O_RDONLY && access != O_RDWR)
        return E_ACCES;
    if (linux_objects == NULL)
        return E_NODEV;
    bool sealed;
    struct vm_object *object = linux_objects->of_file(file, &sealed);

    if (IS_ERR(object))
        return ERR_OF(object);
    if (flags & MAP_GROWSDOWN)
        return E_INVAL;
    if (sealed && shared && (protection & (int)VM_WRITE))
        return E_PERM;
    if (object == NULL) /* /dev/zero */
        return anonymous_contents(shared ? MAP_SHARED : MAP_PRIVATE, size, vm_flags, contents);
    *contents = (struct linux_contents){object, first_page, shared, access == O_RDWR && !sealed, false};
    return E_SUCCESS;
}

/* As Linux does: without memory for all of it the rest stays for later. */
static void back(uintptr_t address, size_t size, vm_flags_t flags, bool shared)
{
    vm_flags_t access = (flags & VM_WRITE) && !shared ? VM_WRITE : VM_READ;

    if (flags & VM_READ)
        vm_populate(vm_space(), address, size, access);
}

/* Anonymous memory is backed by any touch, a private mapping of a file by a write; a shared one shows what is there. */
static bool is_accountable(vm_flags_t flags, int map_flags)
{
    vm_flags_t backing = map_flags & MAP_ANONYMOUS               ? VM_PROTECTION
                         : (map_flags & MAP_TYPE) == MAP_PRIVATE ? VM_WRITE
                                                                 : 0;

    return (flags & backing) && !(map_flags & MAP_NORESERVE);
}

static bool has_memory(uintptr_t address, size_t size, int map_flags)
{
    return map_flags & MAP_FIXED ? linux_has_memory_for(address, size) : linux_has_memory(size);
}

/* With everything that is not in the six lines of linux_mmap. `file` is NULL for anonymous memory. */
COLD static long map(struct file *file, uintptr_t address, size_t length, int protection, int flags, uint64_t offset)
{
    SPACE_HOLD_ALL(current_space);
    vm_flags_t vm_flags = protection_flags((unsigned)protection) | VM_MERGE | linux_future_marks;
    struct linux_contents contents;
    error_t error = E_SUCCESS;
    size_t size;
    long at;

    if (file != NULL && (flags & MAP_HUGETLB))
        return -E_INVAL;
    if (flags & MAP_HUGETLB)
        error = huge_pages(flags, &length, &vm_flags);
    if (error != E_SUCCESS || length == 0)
        return -E_INVAL;
    size = align_up(length, VM_PAGE_SIZE);
    if (size == 0)
        return -E_NOMEM;
    if (flags & MAP_LOCKED)
        vm_flags |= MARK_LOCKED;
    if (flags & MAP_GROWSDOWN) {
        vm_flags |= MARK_GROWS_DOWN;
        vm_fault_outside = grow_down;
    }
    error = check_address(&address, size, vm_flags, flags);
    if (error == E_SUCCESS)
        error = file != NULL
                    ? file_contents(file, protection, flags, offset >> VM_PAGE_SHIFT, size, &vm_flags, &contents)
                    : anonymous_contents(flags, size, &vm_flags, &contents);
    if (error != E_SUCCESS)
        return -error;
    at = is_accountable(vm_flags, flags) && !has_memory(address, size, flags)
             ? -E_NOMEM
             : place(&contents, address, size, vm_flags, flags);
    if (contents.fresh)
        contents.object->operations->release(contents.object);
    if (at > 0 && ((flags & (MAP_POPULATE | MAP_NONBLOCK)) == MAP_POPULATE || (vm_flags & MARK_LOCK) == MARK_LOCKED))
        back((uintptr_t)at, size, vm_flags, contents.shared);
    return at;
}

/* Private memory where no slot was kept, where frames are few, and of sizes that cannot be. */
COLD static __attribute__((noinline)) long map_slowly(size_t length, int protection, int flags)
{
    size_t size = align_up(length, VM_PAGE_SIZE);
    vm_flags_t vm_flags = protection_flags((unsigned)protection) | VM_MERGE;
    struct vm_segment *segment = ERR_PTR(E_NOMEM);

    if ((length - 1) / SEGMENT_MAX != 0)
        return map(NULL, 0, length, protection, flags, 0);
    if (!is_accountable(vm_flags, flags) || linux_has_memory(size))
        segment = vm_segment_create(vm_space(), &vm_anon, VM_ANYWHERE, size, vm_flags);
    if (QUIRE_THREADS && IS_ERR(segment)) /* the domain of the CPU is full */
        segment = vm_alloc(vm_space(), &vm_anon, VM_ANYWHERE, size, vm_flags);
    return IS_ERR(segment) ? -ERR_OF(segment) : (long)vm_start(segment);
}

COLD static __attribute__((noinline)) long map_unusual(uintptr_t address, size_t length, int protection, int flags,
                                                       int fd, uint64_t offset)
{
    LINUX_HOLD();
    struct file *file = NULL;

    if (!is_aligned(offset, VM_PAGE_SIZE))
        return -E_INVAL;
    if (!(flags & MAP_ANONYMOUS)) {
        file = linux_file_usable(fd);
        if (file == NULL)
            return -E_BADF;
    }
    return map(file, address, length, protection, flags, offset);
}

/* Private memory anywhere, in a slot that was kept; NULL: there is none, or frames are few. */
static inline struct vm_segment *map_usual(size_t size, int protection)
{
    struct address_space *space = current_space;

    SPACE_HOLD_OWN(space);
    if (UNLIKELY(!has_stored_frames(size)))
        return NULL;
    return segment_reuse(space, &vm_anon, size, protection_flags((unsigned)protection) | VM_MERGE);
}

long linux_mmap(uintptr_t address, size_t length, int protection, int flags, int fd, uint64_t offset)
{
    bool unusual = address | (offset & VM_PAGE_MASK) | linux_future_marks |
                   ((unsigned)(flags & ~(MAP_NORESERVE | MAP_STACK)) ^ FLAGS_SIMPLE);

    if (UNLIKELY(unusual))
        return map_unusual(address, length, protection, flags, fd, offset);
    /* Without a size there is no slot. */
    struct vm_segment *segment = map_usual(align_up(length, VM_PAGE_SIZE), protection);

    return LIKELY(segment != NULL) ? (long)segment->start : map_slowly(length, protection, flags);
}

/* ---- mprotect ---- */

/* The end of what is mapped without a hole from the start on, at most `end`. */
static uintptr_t end_of_mapped(uintptr_t start, uintptr_t end)
{
    struct vm_segment *segment;

    while (start < end && (segment = vm_find(vm_space(), start)) != NULL)
        start = vm_start(segment) + vm_size(segment);
    return start < end ? start : end;
}

/* Memory can be touched from now on: RAM has to be able to hold it. What could be before was asked for before. */
static bool may_be_touched(uintptr_t start, size_t size)
{
    struct vm_segment *segment;
    size_t more = 0;

    if (linux_has_memory(size))
        return true;
    for (uintptr_t at = start; at < start + size; at = vm_start(segment) + vm_size(segment)) {
        uintptr_t end;

        segment = vm_find(vm_space(), at);
        if (segment == NULL)
            break;
        end = vm_start(segment) + vm_size(segment) < start + size ? vm_start(segment) + vm_size(segment) : start + size;
        if (!(vm_flags(segment) & VM_PROTECTION) && vm_driver_of(segment) == &vm_anon)
            more += end - at - resident_frames(at, end - at) * VM_PAGE_SIZE;
    }
    return linux_has_memory(more);
}

/* PROT_GROWSDOWN: from the start of the mapping on, which has to be one that grows down. */
static error_t protect_from_start(uintptr_t *start, size_t *size)
{
    struct vm_segment *segment = vm_next(vm_space(), *start);

    if (segment == NULL || vm_start(segment) >= *start + *size)
        return E_NOMEM;
    if (!(vm_flags(segment) & MARK_GROWS_DOWN))
        return E_INVAL;
    *size = *start + *size - vm_start(segment);
    *start = vm_start(segment);
    return E_SUCCESS;
}

/* The rare parts: holes, after Linux has changed what lies before them, and what RAM cannot hold. */
static error_t protect_slowly(uintptr_t start, size_t size, vm_flags_t protection)
{
    uintptr_t end = end_of_mapped(start, start + size);
    error_t error = linux_check_huge_edges(start, size);

    if (error == E_SUCCESS && protection && !may_be_touched(start, size))
        error = E_NOMEM;
    if (error == E_SUCCESS && end > start)
        error = vm_protect(vm_space(), start, end - start, protection);
    if (error == E_NOTSUP)
        return E_ACCES; /* the image's own sections, windows */
    return error == E_SUCCESS && end < start + size ? E_NOMEM : error;
}

/* With more than PROT_READ, PROT_WRITE and PROT_EXEC. */
static __attribute__((noinline)) long protect_unusually(uintptr_t address, size_t length, unsigned long protection)
{
    SPACE_HOLD_ALL(current_space);
    size_t size = align_up(length, VM_PAGE_SIZE);
    unsigned long grows = protection & (PROT_GROWSDOWN | PROT_GROWSUP);
    error_t error = E_SUCCESS;

    protection &= ~grows;
    if (grows == (PROT_GROWSDOWN | PROT_GROWSUP))
        return -E_INVAL;
    if (length == 0)
        return 0;
    if (address + size <= address)
        return -E_NOMEM;
    if (protection & ~(unsigned long)(VM_PROTECTION | PROT_SEM))
        return -E_INVAL;
    if (grows & PROT_GROWSUP) /* no stack grows up on x86 */
        return vm_find(vm_space(), address) == NULL ? -E_NOMEM : -E_INVAL;
    if (grows & PROT_GROWSDOWN)
        error = protect_from_start(&address, &size);
    return error != E_SUCCESS ? -error : linux_mprotect(address, size, protection & VM_PROTECTION);
}

/* All that is not usual, and the errors. */
static __attribute__((noinline)) long mprotect_slowly(uintptr_t address, size_t length, unsigned long protection)
{
    size_t size = align_up(length, VM_PAGE_SIZE);
    vm_flags_t flags = protection_flags(protection);

    if (UNLIKELY(!is_aligned(address, VM_PAGE_SIZE)))
        return -E_INVAL;
    if (UNLIKELY(protection & ~(unsigned long)VM_PROTECTION))
        return protect_unusually(address, length, protection);
    if (UNLIKELY(address + size <= address))
        return length == 0 ? 0 : -E_NOMEM;
    struct address_space *space = current_space;

    SPACE_HOLD_RANGE(space, address, size);
    if (UNLIKELY(huge_pages_used || (flags && !linux_has_memory(size)) ||
                 vm_protect(vm_space(), address, size, flags) != E_SUCCESS))
        return -protect_slowly(address, size, flags);
    return 0;
}

/* False: it is not all of the segment found last, or has to be asked for. */
static inline bool protect_usual(struct address_space *space, uintptr_t address, size_t length,
                                 unsigned long protection)
{
    size_t size = align_up(length, VM_PAGE_SIZE);

    SPACE_HOLD_AT(space, address);
    struct vm_segment *segment = vm_found_again(space, address, size);

    /* What could be touched before was asked for before. */
    if (UNLIKELY(!segment || protection > VM_PROTECTION || huge_pages_used) ||
        (!(segment->flags & VM_PROTECTION) && !has_stored_frames(size)))
        return false;
    vm_protect_found(space, segment, protection_flags(protection));
    return true;
}

long linux_mprotect(uintptr_t address, size_t length, unsigned long protection)
{
    return LIKELY(protect_usual(current_space, address, length, protection))
               ? 0
               : mprotect_slowly(address, length, protection);
}

/* ---- brk ---- */

/*
 * The data segment of brk lies in a slot of its own, chosen as large as RAM so that it can grow without moving. Its
 * first page is always there.
 */
static struct {
    _Alignas(64) uintptr_t start; /* on a line of its own: flags beside it are read by every mmap */
    uintptr_t end;                /* as the program set it; start 0: not made yet */
} data_segment;

static bool make_data_segment(void)
{
    size_t room = (size_t)1 << log2_ceil(frames_stats().total * VM_PAGE_SIZE);
    struct vm_segment *segment = vm_alloc(vm_space(), &vm_anon, VM_ANYWHERE, room, VM_RW | VM_MERGE);

    if (IS_ERR(segment))
        return false;
    data_segment.start = data_segment.end = vm_start(segment);
    return vm_resize(vm_space(), segment, VM_PAGE_SIZE) == E_SUCCESS;
}

error_t linux_brk_begin(uintptr_t start)
{
    struct vm_segment *segment = vm_alloc(vm_space(), &vm_anon, start, VM_PAGE_SIZE, VM_RW | VM_MERGE);

    if (IS_ERR(segment))
        return ERR_OF(segment);
    data_segment.start = data_segment.end = start;
    return E_SUCCESS;
}

/* The page that follows the last one: the pages between the start and it are there. */
static uintptr_t pages_end(uintptr_t end)
{
    uintptr_t pages = align_up(end, VM_PAGE_SIZE);

    return pages == data_segment.start ? pages + VM_PAGE_SIZE : pages;
}

static error_t move_end(uintptr_t old_end, uintptr_t new_end)
{
    struct vm_segment *last;

    if (new_end < old_end)
        return vm_unmap(vm_space(), new_end, old_end - new_end);
    /* The program may have cut the range up by munmap or mprotect: what grows is its last part, if that is ordinary. */
    last = vm_find(vm_space(), old_end - 1);
    if (last == NULL || vm_driver_of(last) != &vm_anon || vm_start(last) + vm_size(last) != old_end ||
        (vm_flags(last) & VM_PROTECTION) != VM_RW || !linux_has_memory(new_end - old_end))
        return E_NOMEM;
    return vm_resize(vm_space(), last, vm_size(last) + (new_end - old_end));
}

long linux_brk(uintptr_t end)
{
    SPACE_HOLD_ALL(current_space);
    uintptr_t old_pages, new_pages;

    if (data_segment.start == 0 && !make_data_segment())
        return 0;
    if (end < data_segment.start || end > LOW_HALF_END)
        return (long)data_segment.end;
    old_pages = pages_end(data_segment.end);
    new_pages = pages_end(end);
    if (new_pages == old_pages || move_end(old_pages, new_pages) == E_SUCCESS)
        data_segment.end = end;
    return (long)data_segment.end;
}

void linux_data_segment(uintptr_t *start, uintptr_t *end)
{
    *start = data_segment.start;
    *end = data_segment.end;
}
