/*
 * mmap and its like as operations of vm.h, which has no mappings but segments: an anonymous mapping is a segment of
 * anon, a mapping of a packed file one with the file's bytes copied in. Shared and private are the same, for there is
 * one process, but that a shared one is never writable: files are open for reading.
 */
#include "core/base/string.h"
#include "core/config.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/file.h"
#include "machine.h"
#include "vm/driver.h"
#include "vm/frames.h"

#define SEGMENT_MAX ((size_t)2 << 40)             /* vm_alloc */
#define SLOTS_END (SLOTS_BASE + 25 * SEGMENT_MAX) /* arch/x86_64/layout.h: from here on whole regions */

size_t linux_pages(size_t length)
{
    return length > LOW_HALF_END ? 0 : align_up(length, VM_PAGE_SIZE);
}

/* PROT_* has VM_*'s numbers; on x86 what can be written or executed can be read. */
static vm_flags_t protection_flags(unsigned long protection)
{
    vm_flags_t flags = protection & VM_PROTECTION;

    return flags == 0 ? 0 : flags | VM_READ;
}

bool linux_is_range(uintptr_t address, size_t size)
{
    return is_aligned(address, VM_PAGE_SIZE) && size != 0 && size <= LOW_HALF_END && address <= LOW_HALF_END - size;
}

/*
 * Memory is backed when it is touched, but what RAM cannot hold now is refused when it is asked for: malloc answers
 * NULL. Addresses alone (PROT_NONE, MAP_NORESERVE) are free, and vm_alloc itself refuses nothing. A few frames are left
 * for page tables and the stack.
 */
#define FRAMES_LEFT 64u

bool linux_has_memory(size_t size)
{
    return (size >> VM_PAGE_SHIFT) + FRAMES_LEFT <= frames_free();
}

error_t linux_unmap_range(uintptr_t address, size_t size)
{
    error_t error = !linux_is_range(address, size) ? E_INVAL : vm_unmap(vm_space(), address, size);

    return error == E_NOTSUP ? E_INVAL : error; /* a permanent segment */
}

long linux_munmap(uintptr_t address, size_t length)
{
    return -linux_unmap_range(address, linux_pages(length));
}

/*
 * Mappings of files: like anon, but MADV_DONTNEED leaves the contents, for they come back from nowhere else. `own`
 * marks those that are MAP_SHARED.
 */
static struct vm_segment *file_alloc(struct address_space *, vaddr_t, size_t, vm_flags_t);

static error_t file_fault(struct address_space *space, struct vm_segment *segment)
{
    return vm_fault_info()->present ? E_ACCES : vm_segment_back(space, segment, vm_fault_info()->address);
}

static error_t file_protect(struct address_space *space, struct vm_segment *segment, vm_flags_t protection)
{
    if (segment->own != NULL && (protection & VM_WRITE))
        return E_ACCES;
    return vm_segment_protect_mapped(space, segment, protection);
}

static const struct vm_segment_driver file_mapping = {
    .vm_alloc = file_alloc,
    .vm_free = vm_segment_free_owned,
    .vm_resize = vm_segment_resize_owned,
    .vm_fault = file_fault,
    .name = "file",
    .properties = VM_DRIVER_GENERAL_REGISTERS | VM_DRIVER_MERGES,
    .protect = file_protect,
    .split = vm_segment_split_nothing,
};

static struct vm_segment *file_alloc(struct address_space *space, vaddr_t start, size_t size, vm_flags_t flags)
{
    return vm_segment_create(space, &file_mapping, start, size, flags);
}

/*
 * A range at a given address, all or nothing. One segment lies inside one slot (vm/segments.c), so a range across
 * slots is made of the largest aligned pieces that fit.
 */
static error_t allocate_at(const struct vm_segment_driver *driver, uintptr_t address, size_t size, vm_flags_t flags)
{
    size_t done = 0;

    if (!IS_ERR(vm_alloc(vm_space(), driver, address, size, flags)))
        return E_SUCCESS;
    while (done < size) {
        uintptr_t at = address + done;
        size_t piece = (size_t)1 << (63 - __builtin_clzll(size - done));
        struct vm_segment *segment;

        if (piece > SEGMENT_MAX)
            piece = SEGMENT_MAX;
        if ((at & -at) < piece)
            piece = at & -at;
        segment = vm_alloc(vm_space(), driver, at, piece, flags);
        if (IS_ERR(segment)) {
            if (done > 0)
                vm_unmap(vm_space(), address, done);
            return ERR_OF(segment);
        }
        done += piece;
    }
    return E_SUCCESS;
}

/* Reservations that no segment can hold lie above the slots; the address, or a negative error. */
static long allocate_large(const struct vm_segment_driver *driver, size_t size, vm_flags_t flags)
{
    for (uintptr_t at = SLOTS_END; linux_is_range(at, size); at += SEGMENT_MAX) {
        struct vm_segment *next = vm_next(vm_space(), at);
        error_t error;

        if (next != NULL && vm_start(next) < at + size)
            continue;
        error = allocate_at(driver, at, size, flags);
        return error != E_SUCCESS ? -error : (long)at;
    }
    return -E_NOMEM;
}

/* Address of a new range of the driver, or a negative error. */
static long map(const struct vm_segment_driver *driver, uintptr_t address, size_t size, vm_flags_t flags, int map_flags)
{
    struct vm_segment *segment;
    error_t error;

    if (map_flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
        if (!is_aligned(address, VM_PAGE_SIZE))
            return -E_INVAL;
        if (address < NULL_GUARD_END)
            return -E_PERM; /* as below vm.mmap_min_addr */
        if (!linux_is_range(address, size))
            return -E_NOMEM;
        segment = vm_next(vm_space(), address);
        if ((map_flags & MAP_FIXED_NOREPLACE) && segment != NULL && vm_start(segment) < address + size)
            return -E_EXIST;
        error = linux_unmap_range(address, size);
        if (error == E_SUCCESS)
            error = allocate_at(driver, address, size, flags);
        return error != E_SUCCESS ? -error : (long)address;
    }
    address &= ~VM_PAGE_MASK; /* a hint */
    if (address >= NULL_GUARD_END && linux_is_range(address, size)) {
        segment = vm_alloc(vm_space(), driver, address, size, flags);
        if (!IS_ERR(segment))
            return (long)address;
    }
    if (size > SEGMENT_MAX)
        return allocate_large(driver, size, flags);
    segment = vm_alloc(vm_space(), driver, VM_ANYWHERE, size, flags);
    return IS_ERR(segment) ? -ERR_OF(segment) : (long)vm_start(segment);
}

/* The page size that MAP_HUGETLB asks for, as VM_PAGES_*; E_INVAL for sizes that x86-64 does not have. */
static error_t huge_pages(int map_flags, size_t *size, vm_flags_t *flags)
{
    unsigned shift = (unsigned)map_flags >> MAP_HUGE_SHIFT & 63;
    enum page_size page = shift == page_shift(PAGE_1G) ? PAGE_1G : PAGE_2M;

    if ((shift != 0 && shift != page_shift(page)) || page > mmu_largest_page())
        return E_INVAL;
    *size = align_up(*size, page_bytes(page));
    *flags |= page == PAGE_1G ? VM_PAGES_1G : VM_PAGES_2M;
    return E_SUCCESS;
}

/* A regular file that mmap may map. */
static error_t mappable_file(int fd, int flags, int protection, struct file **file)
{
    *file = linux_file_usable(fd);
    if (*file == NULL)
        return E_BADF;
    if (!file_is_readable(*file))
        return E_ACCES;
    if ((*file)->operations->object == NULL)
        return E_NODEV;
    return (flags & MAP_TYPE) != MAP_PRIVATE && (protection & VM_WRITE) ? E_ACCES : E_SUCCESS;
}

/* Copies the file's bytes from offset on to the start of the range, then gives it its protection. */
static error_t fill(uintptr_t address, size_t size, struct file *file, uint64_t offset, vm_flags_t flags, bool shared)
{
    if (file->operations->read(file, (void *)address, size, &offset) < 0)
        return E_NOMEM; /* the range is there: only a frame can be missing */
    for (uintptr_t at = address; shared && at < address + size;) {
        struct vm_segment *segment = vm_find(vm_space(), at);

        segment->own = (void *)&file_mapping;
        at += vm_size(segment);
    }
    return vm_protect(vm_space(), address, size, flags & VM_PROTECTION);
}

static long map_file(uintptr_t address, size_t size, vm_flags_t flags, int map_flags, struct file *file,
                     uint64_t offset)
{
    bool shared = (map_flags & MAP_TYPE) != MAP_PRIVATE;
    long at = map(&file_mapping, address, size, VM_RW | (flags & ~VM_PROTECTION), map_flags);
    error_t error;

    if (at < 0 && at > -ERR_MAX)
        return at;
    error = fill((uintptr_t)at, size, file, offset, flags, shared);
    if (error == E_SUCCESS)
        return at;
    vm_unmap(vm_space(), (uintptr_t)at, size);
    return -error;
}

long linux_mmap(uintptr_t address, size_t length, int protection, int flags, int fd, uint64_t offset)
{
    vm_flags_t vm_flags = protection_flags((unsigned)protection) | VM_MERGE | (flags & MAP_POPULATE ? VM_POPULATE : 0);
    size_t size = linux_pages(length);
    struct file *file;
    error_t error = E_SUCCESS;
    int type = flags & MAP_TYPE;

    if (length == 0 || !is_aligned(offset, VM_PAGE_SIZE))
        return -E_INVAL;
    if (type != MAP_PRIVATE && type != MAP_SHARED && type != MAP_SHARED_VALIDATE)
        return -E_INVAL;
    if (size == 0)
        return -E_NOMEM;
    if ((protection & (int)VM_WRITE) && !(flags & MAP_NORESERVE) && !linux_has_memory(size))
        return -E_NOMEM;
    if (flags & MAP_HUGETLB)
        error = huge_pages(flags, &size, &vm_flags);
    if (error == E_SUCCESS && !(flags & MAP_ANONYMOUS))
        error = mappable_file(fd, flags, protection, &file);
    if (error != E_SUCCESS)
        return -error;
    if (flags & MAP_ANONYMOUS)
        return map(&vm_anon, address, size, vm_flags, flags);
    return map_file(address, size, vm_flags, flags, file, offset);
}

long linux_mprotect(uintptr_t address, size_t length, unsigned long protection)
{
    error_t error;

    if (!is_aligned(address, VM_PAGE_SIZE) || (protection & ~(unsigned long)VM_PROTECTION) != 0)
        return -E_INVAL;
    if (length == 0)
        return 0;
    length = align_up(length, VM_PAGE_SIZE);
    if (length == 0 || address + length < address)
        return -E_NOMEM;
    error = vm_protect(vm_space(), address, length, protection_flags(protection));
    return error == E_NOTSUP ? -E_ACCES : -error;
}

/*
 * The data segment of brk lies in a slot of its own, chosen as large as RAM so that it can grow without moving. Its
 * first page is always there.
 */
static struct {
    uintptr_t start, end; /* end: as the program set it; start 0: not made yet */
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
