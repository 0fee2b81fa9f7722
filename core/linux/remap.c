#include "core/linux/calls.h"
#include "vm/vm.h"

/* Grows the mapping where it is: only its segment's last page can be moved outwards. */
static error_t grow_in_place(struct vm_segment *segment, uintptr_t end, size_t more)
{
    if (vm_start(segment) + vm_size(segment) != end)
        return E_NOMEM;
    return vm_resize(vm_space(), segment, vm_size(segment) + more);
}

/* Cuts [address, address + size) out as a segment of its own. */
static struct vm_segment *cut_out(struct vm_segment *segment, uintptr_t address, size_t size)
{
    if (vm_start(segment) != address)
        segment = vm_split(vm_space(), segment, address);
    if (!IS_ERR(segment) && vm_size(segment) != size) {
        struct vm_segment *rest = vm_split(vm_space(), segment, address + size);

        if (IS_ERR(rest))
            segment = rest;
    }
    return segment;
}

/*
 * Moves the pages of [address, address + size) to a free range or to VM_ANYWHERE. After a failure the pieces are one
 * again: giving a range the protection that it has merges it.
 */
static long move(struct vm_segment *segment, uintptr_t address, size_t size, uintptr_t to, size_t new_size)
{
    uintptr_t start = vm_start(segment);
    size_t whole = vm_size(segment);
    vm_flags_t protection = vm_flags(segment) & VM_PROTECTION;
    error_t error;

    if (!(vm_driver_of(segment)->properties & VM_DRIVER_MERGES))
        return -E_NOTSUP;
    segment = cut_out(segment, address, size);
    error = ERR_OF(segment);
    if (error == E_SUCCESS)
        error = vm_move(vm_space(), segment, to, new_size);
    if (error == E_SUCCESS)
        return (long)vm_start(segment);
    vm_protect(vm_space(), start, whole, protection);
    return -error;
}

/* MREMAP_FIXED: what is at the new place, and what is more than the new size, goes first, as on Linux. */
static long move_to(uintptr_t address, size_t size, uintptr_t to, size_t new_size)
{
    error_t error;

    if (!linux_is_range(to, new_size) || (to < address + size && address < to + new_size))
        return -E_INVAL;
    error = linux_unmap_range(to, new_size);
    if (error == E_SUCCESS && new_size < size) {
        error = linux_unmap_range(address + new_size, size - new_size);
        size = new_size;
    }
    if (error != E_SUCCESS)
        return -error;
    return move(vm_find(vm_space(), address), address, size, to, new_size);
}

/* MREMAP_DONTUNMAP is refused with EINVAL, as by a Linux before 5.7. */
long linux_mremap(uintptr_t address, size_t length, size_t new_length, unsigned flags, uintptr_t new_address)
{
    size_t size = linux_pages(length), new_size = linux_pages(new_length);
    struct vm_segment *segment = vm_find(vm_space(), address);
    error_t error;

    if ((flags & ~(unsigned)(MREMAP_MAYMOVE | MREMAP_FIXED)) != 0 || flags == MREMAP_FIXED)
        return -E_INVAL;
    /* length 0 would double a shared mapping. */
    if (!is_aligned(address, VM_PAGE_SIZE) || new_size == 0 || length == 0)
        return -E_INVAL;
    if (segment == NULL || size == 0 || size > vm_start(segment) + vm_size(segment) - address)
        return -E_FAULT;
    if (flags & MREMAP_FIXED)
        return move_to(address, size, new_address, new_size);
    if (new_size <= size) {
        error = new_size < size ? linux_unmap_range(address + new_size, size - new_size) : E_SUCCESS;
        return error != E_SUCCESS ? -error : (long)address;
    }
    if ((vm_flags(segment) & VM_WRITE) && !linux_has_memory(new_size - size))
        return -E_NOMEM;
    error = grow_in_place(segment, address + size, new_size - size);
    if (error == E_SUCCESS)
        return (long)address;
    return flags & MREMAP_MAYMOVE ? move(segment, address, size, VM_ANYWHERE, new_size) : -E_NOMEM;
}

/* Advice that a private mapping of memory accepts on Linux, and that changes nothing here: bit n for number n. */
#define ACCEPTED_ADVICE                                                                                                \
    (1ul << 0 | 1ul << 1 | 1ul << 2 |                /* NORMAL, RANDOM, SEQUENTIAL */                                  \
     1ul << 8 |                                      /* FREE: the pages may stay */                                    \
     1ul << 10 | 1ul << 11 |                         /* DONTFORK, DOFORK */                                            \
     1ul << 12 | 1ul << 13 | 1ul << 14 | 1ul << 15 | /* MERGEABLE, UNMERGEABLE, HUGEPAGE, NOHUGEPAGE */                \
     1ul << 16 | 1ul << 17 | 1ul << 18 | 1ul << 19 | /* DONTDUMP, DODUMP, WIPEONFORK, KEEPONFORK */                    \
     1ul << 20 | 1ul << 21)                          /* COLD, PAGEOUT */

static error_t check_no_holes(uintptr_t address, size_t size)
{
    uintptr_t end = address + size;

    while (address < end) {
        struct vm_segment *segment = vm_find(vm_space(), address);

        if (segment == NULL)
            return E_NOMEM;
        address = vm_start(segment) + vm_size(segment);
    }
    return E_SUCCESS;
}

long linux_madvise(uintptr_t address, size_t length, int advice)
{
    size_t size = align_up(length, VM_PAGE_SIZE);
    bool accepted = advice >= 0 && advice < 64 && (ACCEPTED_ADVICE >> advice & 1) != 0;

    if (!accepted && advice != MADV_DONTNEED && advice != MADV_WILLNEED && advice != MADV_POPULATE_READ &&
        advice != MADV_POPULATE_WRITE)
        return -E_INVAL;
    if (!is_aligned(address, VM_PAGE_SIZE) || size < length || address + size < address)
        return -E_INVAL;
    if (size == 0)
        return 0;
    if (accepted)
        return -check_no_holes(address, size);
    return -vm_advise(vm_space(), address, size, advice == MADV_DONTNEED ? VM_ADVICE_DONTNEED : VM_ADVICE_WILLNEED);
}
