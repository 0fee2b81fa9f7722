/* The heap's memory is the VM core's, on the simulated machine; blocks are reached through its CPUs. */
#include "core/percpu.h"
#include "fixture.h"
#include "harness.h"
#include "memory.h"
#include "vm/frames.h"

const bool fake_memory_has_locks = true;

static bool failing;
static PERCPU struct random turns;

void fake_memory(size_t size)
{
    fixture_start(size);
    fixture_lazy();
}

void fake_memory_check(size_t structures)
{
    fixture_check();
    assert_int_equal(fixture_frames_out(), structures >> VM_PAGE_SHIFT);
}

void fake_memory_fail(bool on)
{
    failing = on;
}

void fake_memory_turn(void)
{
    struct random *random = &this_cpu(turns);

    if (failing)
        frames_fail_nth(random_below(random, 2) ? (long)random_below(random, 6) : -1);
}

/* As by mprotect, with a domain held that need not be the one of malloc's memory. */
void fake_memory_reclaim(void)
{
    SPACE_HOLD(space_own(vm_space()));
    __atomic_load_n(&frames_reclaim, __ATOMIC_RELAXED)(); /* another CPU may be the one that sets it, to the same */
}

/* A fault that fails for want of a frame does not the next time. */
uint64_t fake_memory_read(uintptr_t address)
{
    uint64_t value = 0;

    for (unsigned turn = 0; fake_read(address, &value, sizeof(value)); turn++) {
        if (turn > 3)
            fake_violation("%#lx cannot be read", address);
    }
    return value;
}

void fake_memory_write(uintptr_t address, uint64_t value)
{
    for (unsigned turn = 0; fake_write(address, &value, sizeof(value)); turn++) {
        if (turn > 3)
            fake_violation("%#lx cannot be written", address);
    }
}
