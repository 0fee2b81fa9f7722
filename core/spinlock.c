#include "core/spinlock.h"

#if QUIRE_THREADS

#include "core/cpu.h"

PERCPU uint64_t spin_contended;

/* Looks before it tries again: only a store takes the line from whoever holds the lock. True: it is ours. */
static bool try_when_free(uint32_t *taken, uint32_t owner)
{
    uint32_t expected = 0;
    uint64_t since = 0;

    while (__atomic_load_n(taken, __ATOMIC_RELAXED) != 0) {
        if (cpu_others_stopped()) {
            *taken = owner;
            return true;
        }
        spin_check_time(taken, &since);
        cpu_relax();
    }
    return __atomic_compare_exchange_n(taken, &expected, owner, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

/* What other CPUs ask is done where cpu_relax is called, and nowhere in between. */
COLD void spin_wait(uint32_t *taken, uint32_t owner)
{
    uint64_t interrupts = cpu_interrupts_off();

    this_cpu(spin_contended)++;
    while (!try_when_free(taken, owner))
        continue;
    cpu_interrupts_restore(interrupts);
}
#endif
