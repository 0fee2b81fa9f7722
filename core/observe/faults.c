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

void fault_times_add(struct fault_times *to, uint64_t ticks)
{
    if (to->count == 0 || ticks < to->least)
        to->least = ticks;
    if (ticks > to->most)
        to->most = ticks;
    to->count++;
    to->sum += ticks;
    to->buckets[fault_bucket(ticks)]++;
}

/* The page tables know with which page the fault was served. */
static error_t serve(vaddr_t address, vm_flags_t access, bool present)
{
    uint64_t start = cpu_cycles();
    error_t error = vm_handle_fault(address, access, present);
    uint64_t ticks = cpu_cycles() - start;
    struct mmu_entry entry = {.size = PAGE_4K};

#if QUIRE_THREADS
    if (error == FAULT_WAITS) /* it is not the core that takes the time */
        return error;
#endif
    if (error == E_SUCCESS)
        mmu_query(&vm_space()->mmu, address, &entry);
    fault_times_add(&times[error == E_SUCCESS ? (unsigned)entry.size : FAULT_REFUSED], ticks);
    return error;
}

void faults_watch(void)
{
    cpu_watch_faults(serve);
}
