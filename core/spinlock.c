#include "core/spinlock.h"

#if QUIRE_THREADS

#include "core/base/assert.h"
#include "core/cpu.h"

PERCPU uint64_t spin_contended;

/* Looks before it tries again: only a store takes the line from whoever holds the lock. True: it is ours. */
static bool try_when_free(struct spinlock *lock, uint32_t owner)
{
    uint32_t expected = 0;

    while (__atomic_load_n(&lock->taken, __ATOMIC_RELAXED) != 0) {
        if (cpu_others_stopped()) {
            lock->taken = owner;
            return true;
        }
        cpu_relax();
    }
    return __atomic_compare_exchange_n(&lock->taken, &expected, owner, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

/* What other CPUs ask is done where cpu_relax is called, and nowhere in between. */
COLD void spin_wait(struct spinlock *lock, uint32_t owner)
{
    uint64_t interrupts = cpu_interrupts_off();

    this_cpu(spin_contended)++;
    while (!try_when_free(lock, owner))
        continue;
    cpu_interrupts_restore(interrupts);
}

#ifdef QUIRE_DEBUG
void spin_check_take(const struct spinlock *lock)
{
    CHECK(!spin_is_held(lock) || cpu_others_stopped(), "spin lock %p is taken by a CPU that holds it already",
          (const void *)lock);
}

void spin_check_release(const struct spinlock *lock)
{
    CHECK(spin_is_held(lock), "spin lock %p is released by a CPU that does not hold it", (const void *)lock);
}
#endif
#endif
