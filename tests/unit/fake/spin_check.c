/* Of the checks of locks only whose they are: for tests that try all orders (explore.h), wrong ones too. */
#include "core/cpu.h"
#include "core/spinlock.h"
#include "tests/unit/explore.h"

void spin_check_wait(const uint32_t *taken, enum spin_class class)
{
    (void)taken, (void)class;
}

void spin_check_taken(const uint32_t *taken, enum spin_class class, bool waited)
{
    (void)taken, (void)class, (void)waited;
}

void spin_check_release(const uint32_t *taken)
{
    if (__atomic_load_n(taken, __ATOMIC_RELAXED) != 1 + cpu_number())
        explore_wrong("a lock is given back that is not held");
}

void spin_check_time(const uint32_t *taken, uint64_t *since)
{
    (void)taken, (void)since;
}

void spin_check_none(const char *where)
{
    (void)where;
}
