#include "core/observe/faults.h"

#include "core/cpu.h"
#include "vm/fault.h"
#include "vm/space.h"

static struct fault_times times[FAULT_OUTCOMES];

const struct fault_times *fault_times(unsigned outcome)
{
    return &times[outcome];
}

unsigned fault_bucket(uint64_t ticks)
{
    unsigned octave, bucket;

    if (ticks < 4)
        return (unsigned)ticks;
    octave = 63u - (unsigned)__builtin_clzll(ticks);
    bucket = 4 * (octave - 1) + (unsigned)(ticks >> (octave - 2) & 3);
    return bucket < FAULT_BUCKETS ? bucket : FAULT_BUCKETS - 1;
}

uint64_t fault_bucket_start(unsigned bucket)
{
    return bucket < 4 ? bucket : (uint64_t)(4 + bucket % 4) << (bucket / 4 - 1);
}

/* Several CPUs may add at once. */
static void add(uint64_t *to, uint64_t value)
{
    if (QUIRE_THREADS)
        __atomic_fetch_add(to, value, __ATOMIC_RELAXED);
    else
        *to += value;
}

static void set_extreme(uint64_t *extreme, uint64_t ticks, bool least)
{
    uint64_t seen = __atomic_load_n(extreme, __ATOMIC_RELAXED);

    while ((seen == 0 || (least ? ticks < seen : ticks > seen)) &&
           !__atomic_compare_exchange_n(extreme, &seen, ticks, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        continue;
}

void fault_times_add(struct fault_times *to, uint64_t ticks)
{
    set_extreme(&to->least, ticks, true);
    set_extreme(&to->most, ticks, false);
    add(&to->count, 1);
    add(&to->sum, ticks);
    add(&to->buckets[fault_bucket(ticks)], 1);
}

/* By the root alone, for what a domain remembers of its tables is for who holds it. Interrupts are off: what other CPUs
 * take out of the tree stays as it is until this one answers them. */
static enum page_size page_at(vaddr_t address)
{
    const struct mmu tables = {.root = vm_space()->mmu.root};
    struct mmu_entry entry = {.size = PAGE_4K};

    mmu_query(&tables, address, &entry);
    return entry.size;
}

/* The page tables know with which page the fault was served. */
static error_t serve(vaddr_t address, vm_flags_t access, bool present)
{
    uint64_t start = cpu_cycles();
    error_t error = vm_handle_fault(address, access, present);
    uint64_t ticks = cpu_cycles() - start;

#if QUIRE_THREADS
    if (error == FAULT_WAITS) /* it is not the core that takes the time */
        return error;
#endif
    fault_times_add(&times[error == E_SUCCESS ? (unsigned)page_at(address) : FAULT_REFUSED], ticks);
    return error;
}

void faults_watch(void)
{
    cpu_watch_faults(serve);
}
