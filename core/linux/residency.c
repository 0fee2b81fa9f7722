/*
 * mincore, msync and mlock. All memory is RAM: nothing is written back and nothing goes away, so locking backs the
 * pages and keeps a mark, which other calls ask for.
 */
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/memory.h"
#include "vm/space.h"

enum { MS_ASYNC = 1, MS_INVALIDATE = 2, MS_SYNC = 4 };
enum { MCL_CURRENT = 1, MCL_FUTURE = 2, MCL_ONFAULT = 4 };
enum { MLOCK_ONFAULT = 1 };

#define CHUNK 256 /* results of mincore that are copied at once */

/* The end of the segment, or of the range if that comes first. */
static uintptr_t end_in(const struct vm_segment *segment, uintptr_t end)
{
    uintptr_t own = vm_start(segment) + vm_size(segment);

    return own < end ? own : end;
}

static bool is_covered(uintptr_t start, uintptr_t end)
{
    while (start < end) {
        struct vm_segment *segment = vm_find(vm_space(), start);

        if (segment == NULL)
            return false;
        start = end_in(segment, end);
    }
    return true;
}

/* ---- mincore ---- */

/* Pages of a file are in memory whether they are mapped or not; private memory is if it is backed. */
static bool is_resident(const struct vm_segment *segment, uintptr_t address)
{
    struct vm_object_view view = vm_object_view(segment);
    paddr_t frame;
    uint64_t page;

    if (mmu_query(&space_at(vm_space(), address)->mmu, address, NULL))
        return true;
    if (view.object == NULL)
        return false;
    page = view.first_page + ((address - vm_start(segment)) >> VM_PAGE_SHIFT);
    if (view.object->operations->resident != NULL)
        return view.object->operations->resident(view.object, page);
    return view.object->operations->page(view.object, page, false, &frame) == E_SUCCESS;
}

/* False: one of the pages is in no mapping. */
static bool look(uintptr_t address, size_t count, unsigned char *resident)
{
    SPACE_HOLD_ALL(vm_space());
    for (size_t i = 0; i < count; i++, address += VM_PAGE_SIZE) {
        const struct vm_segment *segment = vm_find(vm_space(), address);

        if (segment == NULL)
            return false;
        resident[i] = is_resident(segment, address);
    }
    return true;
}

long linux_mincore(uintptr_t address, size_t length, unsigned char *vector)
{
    size_t size = align_up(length, VM_PAGE_SIZE), done = 0;
    unsigned char chunk[CHUNK];

    if (!is_aligned(address, VM_PAGE_SIZE))
        return -E_INVAL;
    if (size < length || size > TASK_END || address > TASK_END - size)
        return -E_NOMEM;
    while (done < size >> VM_PAGE_SHIFT) {
        size_t left = (size >> VM_PAGE_SHIFT) - done, count = left < CHUNK ? left : CHUNK;

        if (!look(address + (done << VM_PAGE_SHIFT), count, chunk))
            return -E_NOMEM;
        if (user_write(vector + done, chunk, count) != E_SUCCESS)
            return -E_FAULT;
        done += count;
    }
    return 0;
}

/* ---- msync ---- */

long linux_msync(uintptr_t address, size_t length, int flags)
{
    SPACE_HOLD_ALL(vm_space());
    size_t size = align_up(length, VM_PAGE_SIZE);
    uintptr_t end = address + size;
    bool holes = false;

    if ((flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) || !is_aligned(address, VM_PAGE_SIZE) ||
        (flags & (MS_ASYNC | MS_SYNC)) == (MS_ASYNC | MS_SYNC))
        return -E_INVAL;
    if (end < address)
        return -E_NOMEM;
    while (address < end) {
        struct vm_segment *segment = vm_next(vm_space(), address);

        holes |= segment == NULL || vm_start(segment) > address;
        if (segment == NULL || vm_start(segment) >= end)
            break;
        if ((flags & MS_INVALIDATE) && (vm_flags(segment) & MARK_LOCKED))
            return -E_BUSY;
        address = end_in(segment, end);
    }
    return holes ? -E_NOMEM : 0;
}

/* ---- locking ---- */

/* Backs what the program may reach. E_NOMEM: it may not reach it; E_AGAIN: there is not enough memory. */
static error_t back(uintptr_t start, uintptr_t end)
{
    error_t error = linux_has_memory_for(start, end - start) ? E_SUCCESS : E_AGAIN;

    while (error == E_SUCCESS && start < end) {
        struct vm_segment *segment = vm_find(vm_space(), start);
        uintptr_t to = end_in(segment, end);
        bool write = (vm_flags(segment) & VM_WRITE) && !vm_object_view(segment).shared;

        error = vm_populate(vm_space(), start, to - start, write ? VM_WRITE : VM_READ);
        start = to;
    }
    return error == E_NOMEM ? E_AGAIN : error == E_FAULT || error == E_ACCES || error == E_RANGE ? E_NOMEM : error;
}

/* Marks the range, as whole pages; the end in *end, so that the caller can go on. */
static error_t mark(uintptr_t *start, size_t length, uintptr_t *end, vm_flags_t marks)
{
    size_t size = align_up(length + (*start & VM_PAGE_MASK), VM_PAGE_SIZE);
    error_t error;

    *start &= ~VM_PAGE_MASK;
    *end = *start + size;
    if (*end < *start)
        return E_INVAL;
    if (size == 0)
        return E_SUCCESS;
    if (*end > TASK_END || !is_covered(*start, *end))
        return E_NOMEM;
    error = vm_mark(vm_space(), *start, size, MARK_LOCK, marks);
    return error == E_NOTSUP ? E_SUCCESS : error; /* what cannot be cut is never paged out either */
}

static long lock(uintptr_t start, size_t length, vm_flags_t marks)
{
    SPACE_HOLD_ALL(vm_space());
    uintptr_t end;
    error_t error = mark(&start, length, &end, marks);

    if (error == E_SUCCESS && marks == MARK_LOCKED && start < end)
        error = back(start, end);
    return -error;
}

long linux_mlock(uintptr_t address, size_t length)
{
    return lock(address, length, MARK_LOCKED);
}

long linux_mlock2(uintptr_t address, size_t length, int flags)
{
    if (flags & ~MLOCK_ONFAULT)
        return -E_INVAL;
    return lock(address, length, flags & MLOCK_ONFAULT ? MARK_LOCK : MARK_LOCKED);
}

long linux_munlock(uintptr_t address, size_t length)
{
    SPACE_HOLD_ALL(vm_space());
    uintptr_t end;

    return -mark(&address, length, &end, 0);
}

/* Every mapping that programs can make; memory that cannot be had is left for later, as on Linux. */
static void lock_all(vm_flags_t marks)
{
    SPACE_HOLD_ALL(vm_space());
    struct vm_segment *segment = vm_next(vm_space(), 0);
    uintptr_t end;

    for (; segment != NULL && vm_start(segment) < TASK_END; segment = vm_next(vm_space(), end)) {
        uintptr_t start = vm_start(segment);

        end = start + vm_size(segment);
        vm_mark(vm_space(), start, end - start, MARK_LOCK, marks);
        if (marks == MARK_LOCKED && (vm_flags(vm_find(vm_space(), start)) & VM_READ))
            back(start, end);
    }
}

long linux_mlockall(int flags)
{
    vm_flags_t marks = flags & MCL_ONFAULT ? MARK_LOCK : MARK_LOCKED;

    if (flags == 0 || flags == MCL_ONFAULT || (flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)))
        return -E_INVAL;
    linux_future_marks = flags & MCL_FUTURE ? marks : 0;
    if (flags & MCL_CURRENT)
        lock_all(marks);
    return 0;
}

long linux_munlockall(void)
{
    linux_future_marks = 0;
    lock_all(0);
    return 0;
}
