/*
 * Page faults: from the address to the segment to its driver.
 *
 * A driver of the image's own program is ordinary compiled code, so the vector registers of the interrupted code
 * are saved around it; the core's own drivers use general registers only and go straight through. What a driver needs
 * to know of the fault it reads from the running CPU's record. A driver may fault itself (it may touch demand-backed
 * memory): the record of the outer fault is current again afterwards.
 *
 * All of that is done with the domain held, on a stack of the CPU. A driver that may wait (VM_DRIVER_WAITS) is called
 * later, when the trap has moved to where a thread can be left: its own stack, on which the program's fault goes on, or
 * to the end of the system call in which the core touched the memory, which then begins again. So nothing is held while
 * it waits; that the segment stays is counted in it.
 *
 * Before all that comes the fault of a CPU whose own tables lack what all have (mmu_learn): it may come in the middle
 * of anything, and takes no lock.
 */
#include "vm/fault.h"

#include "machine.h"
#include "vm/dispatch.h"
#include "vm/frames.h"
#include "vm/visitors.h"

PERCPU const struct vm_fault_info *fault_record;

const struct vm_fault_info *vm_fault_info(void)
{
    return this_cpu(fault_record);
}

error_t (*vm_fault_outside)(struct address_space *, vaddr_t);

/* Not inside of another fault, whose driver may be looking at the segments. */
static __attribute__((noinline, cold)) error_t fault_outside(vaddr_t address, vm_flags_t access, bool present)
{
    if (!current_space || !vm_fault_outside || this_cpu(fault_record))
        return E_FAULT;
#if QUIRE_THREADS
    if (spin_is_held(&space_at(current_space, address)->lock.spin)) /* inside of an operation: others may not be held */
        return E_FAULT;
#endif
    error_t error = vm_fault_outside(current_space, address);

    return error ? error : vm_handle_fault(address, access, present);
}

#if QUIRE_THREADS
/* A CPU may fault although the tables allow the access: another one has backed the page, or made it less protected,
 * which nobody is told of. */
COLD __attribute__((noinline)) bool space_allows(struct address_space *space, vaddr_t va, vm_flags_t access)
{
    struct mmu_entry entry;

    if (!mmu_query(&space->mmu, va, &entry) || !(entry.flags & VM_READ) || (access & ~entry.flags))
        return false;
    machine_flush_page(va);
    return true;
}
#endif

static inline uint64_t faults_of(const struct vm_segment *segment)
{
    return segment->faults[PAGE_4K] + segment->faults[PAGE_2M] + segment->faults[PAGE_1G];
}

/* The driver has refused, or served a fault and counted none: vm_segment_back counts what it serves, what was mapped in
 * another way is counted here. */
COLD static void count(struct address_space *space, struct vm_segment *segment, vaddr_t address, uint64_t before,
                       error_t error)
{
    struct mmu_entry entry = {.size = PAGE_4K};

    if (error) {
        segment->faults_refused++;
    } else if (faults_of(segment) == before && !driver_is_plain(segment)) {
        mmu_query(&space->mmu, address, &entry);
        segment->faults[entry.size]++;
    }
}

/* Once more if memory can be had. */
COLD static __attribute__((noinline)) error_t finish(struct vm_segment *segment, error_t error)
{
    struct address_space *space = space_at(current_space, segment->start);
    uint64_t before = faults_of(segment);

    if (error == E_NOMEM && space_reclaim(space))
        error = segment->driver->vm_fault(space, segment);
    count(space, segment, vm_fault_info()->address, before, error);
    return error;
}

/* By a driver of the program. */
static __attribute__((noinline)) error_t serve_by_program(struct address_space *space, struct vm_segment *segment,
                                                          vaddr_t address, vm_flags_t access, bool present)
{
    const struct vm_fault_info fault = {.address = address, .access = access, .present = present};
    const struct vm_fault_info **current = &this_cpu(fault_record), *outer = *current;
    uint64_t before = faults_of(segment);
    struct machine_state interrupted;

    *current = &fault;
    machine_enter_program_code(&interrupted);
    error_t error = segment->driver->vm_fault(space, segment);

    if (UNLIKELY(error || faults_of(segment) == before))
        error = finish(segment, error);
    machine_leave_program_code(&interrupted);
    *current = outer;
    return error;
}

/* By one of the core, or that is compiled as the core is. */
static __attribute__((noinline)) error_t serve_by_core(struct address_space *space, struct vm_segment *segment,
                                                       vaddr_t address, vm_flags_t access, bool present)
{
    const struct vm_fault_info fault = {.address = address, .access = access, .present = present};
    const struct vm_fault_info **current = &this_cpu(fault_record), *outer = *current;

    *current = &fault;
    error_t error = segment->driver->vm_fault(space, segment);

    if (UNLIKELY(error))
        error = finish(segment, error);
    *current = outer;
    return error;
}

/* Nothing is there; with several domains vm_fault_outside is asked later, for it may look at segments of any of them.
 */
#define NOT_FOUND (-1)

/* In a segment that is not the last one asked for. */
static __attribute__((noinline)) error_t serve_elsewhere(vaddr_t address, vm_flags_t access, bool present)
{
    struct address_space *space = current_space ? space_at(current_space, address) : NULL;
    struct vm_segment *segment = space ? segment_find(space, address) : NULL;

    if (UNLIKELY(!segment))
        return QUIRE_THREADS ? NOT_FOUND : fault_outside(address, access, present);
    space->last = segment;
    return vm_handle_fault(address, access, present);
}

/* What protection forbids, as garbage collectors have it, is answered at once, and fresh memory without a call of its
 * driver. */
static inline error_t serve(struct address_space *space, vaddr_t address, vm_flags_t access, bool present)
{
    if (UNLIKELY(!space || address - space->last->start >= space->last->size))
        return serve_elsewhere(address, access, present);
    struct vm_segment *segment = space->last;

    if (UNLIKELY(!(segment->flags & access))) {
        segment->faults_refused++;
        return E_ACCES;
    }
    if (UNLIKELY(present || segment->driver->vm_fault != vm_segment_fault_owned)) {
#if QUIRE_THREADS
        if (other_cpus_run() && space_allows(space, address, access))
            return E_SUCCESS;
        if (UNLIKELY(segment->driver->properties & VM_DRIVER_WAITS))
            return FAULT_WAITS;
#endif
        return driver_is_plain(segment) ? serve_by_core(space, segment, address, access, present)
                                        : serve_by_program(space, segment, address, access, present);
    }
    return segment_touch(space, segment, address);
}

#if QUIRE_THREADS
/* ---- drivers that wait ---- */

/* The segment, which stays until end_waiting; NULL: *error is the answer. */
static struct vm_segment *begin_waiting(vaddr_t address, vm_flags_t access, uint64_t *faults, error_t *error)
{
    SPACE_HOLD_AT(current_space, address);
    struct address_space *space = space_at(current_space, address);
    struct vm_segment *segment = segment_find(space, address);

    *error = E_FAULT;
    if (!segment || (segment->served & VM_SERVED_FREED))
        return NULL;
    *error = E_SUCCESS; /* it is looked once more */
    if (!(segment->driver->properties & VM_DRIVER_WAITS) || space_allows(space, address, access))
        return NULL;
    if (segment->served == VM_SERVED_FREED - 1)
        return NULL;
    *faults = faults_of(segment);
    segment->served++;
    return segment;
}

static error_t end_waiting(struct vm_segment *segment, vaddr_t address, vm_flags_t access, uint64_t faults,
                           error_t error)
{
    SPACE_HOLD_AT(current_space, address);
    struct address_space *space = space_at(current_space, address);

    if (error && space_allows(space, address, access)) /* another thread's fault was quicker */
        error = E_SUCCESS;
    count(space, segment, address, faults, error);
    if (--segment->served != VM_SERVED_FREED)
        return error;
    segment->served = 0;
    driver_free(space, segment);
    return E_FAULT;
}

/* The thread may come back on another CPU. */
static error_t call_waiting(struct vm_segment *segment, const struct vm_fault_info *fault)
{
    const struct vm_fault_info *outer = vm_fault_info();
    struct machine_state interrupted;

    this_cpu(fault_record) = fault;
    machine_enter_program_code(&interrupted);
    error_t error = segment->driver->vm_fault(current_space, segment);

    machine_leave_program_code(&interrupted);
    this_cpu(fault_record) = outer;
    return error;
}

static bool reclaim_at(vaddr_t address)
{
    SPACE_HOLD_AT(current_space, address);
    return space_reclaim(space_at(current_space, address));
}

COLD error_t vm_wait_fault(vaddr_t address, vm_flags_t access, bool present)
{
    const struct vm_fault_info fault = {.address = address, .access = access, .present = present};
    uint64_t faults;
    error_t error;
    struct vm_segment *segment = begin_waiting(address, access, &faults, &error);

    if (!segment)
        return error;
    error = call_waiting(segment, &fault);
    if (error == E_NOMEM && reclaim_at(address))
        error = call_waiting(segment, &fault);
    return end_waiting(segment, address, access, faults, error);
}

/* ---- from the trap ---- */

/* True: the fault is served without the lock of the domain. False: this CPU has taken that. A domain that another CPU
 * has opened while this one waited for the lock is visited, too: closing it would have the other one wait in turn, and
 * threads that begin at the same time would open and close it many times. */
static inline bool visit_or_lock(struct address_space *domain, vaddr_t address, vm_flags_t access, bool present)
{
    for (bool open;; space_unlock(&domain->lock)) {
        open = is_open(domain);
        if (UNLIKELY(open) && visitors_serve(domain, address, access, present))
            return true;
        space_lock(&domain->lock);
        if (LIKELY(open || !is_open(domain)))
            return false;
    }
}

static error_t serve_in(struct address_space *domain, vaddr_t address, vm_flags_t access, bool present)
{
    if (UNLIKELY(visit_or_lock(domain, address, access, present)))
        return E_SUCCESS;
    SPACE_HELD = {.domain = domain};

    if (UNLIKELY(domain->special))
        space_hold_special(&held_space);
    error_t error = serve(domain, address, access, present);

    if (UNLIKELY(domain->number != cpu_number()))
        visitors_note(domain);
    return error;
}

/* Once more, with the frame that it lacked, if there is one. */
COLD static __attribute__((noinline)) error_t serve_with_zeros(struct address_space *domain, vaddr_t address,
                                                               vm_flags_t access, bool present)
{
    bool *has_zeros = &this_cpu(fault_has_zeros);

    frames_prepare_zeroed(PAGE_2M, 1);
    *has_zeros = true;
    error_t error = serve_in(domain, address, access, present);

    *has_zeros = false;
    return error;
}

error_t vm_handle_fault(vaddr_t address, vm_flags_t access, bool present)
{
    if (UNLIKELY(mmu_learn(address)))
        return E_SUCCESS;
    if (UNLIKELY(!current_space))
        return E_FAULT;
    struct address_space *domain = space_at(current_space, address);
    error_t error = serve_in(domain, address, access, present);

    if (UNLIKELY(error == FAULT_NEEDS_ZEROS))
        error = serve_with_zeros(domain, address, access, present);

    return LIKELY(error != NOT_FOUND) ? error : fault_outside(address, access, present);
}
#else
error_t vm_handle_fault(vaddr_t address, vm_flags_t access, bool present)
{
    return serve(current_space, address, access, present);
}
#endif
