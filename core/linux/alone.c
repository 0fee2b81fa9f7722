/* Threads, for a program that cannot create any: the end, and futexes. In their place where it can: thread.c, futex.c.
 */
#include "core/clock.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/futex.h"
#include "core/linux/process.h"
#include "core/linux/signals.h"
#include "core/linux/timers.h"
#include "core/linux/wait.h"
#include "core/power.h"

enum { FUTEX_WAIT, FUTEX_WAKE, FUTEX_REQUEUE = 3, FUTEX_CMP_REQUEUE, FUTEX_WAIT_BITSET = 9, FUTEX_WAKE_BITSET };
#define FUTEX_COMMAND 0x7f
#define FUTEX_CLOCK_REALTIME 0x100

_Noreturn void linux_exit(int status)
{
    power_off(status & 0xff);
}

_Noreturn void linux_exit_group(int status) __attribute__((alias("linux_exit")));

unsigned linux_thread_count(void)
{
    return 1;
}

error_t linux_each_thread(error_t (*visit)(int id, void *argument), void *argument)
{
    return visit(PROCESS, argument);
}

bool linux_thread_facts(int id, struct thread_facts *facts)
{
    *facts = (struct thread_facts){
        .state = 'R',
        .cpu_time = linux_cpu_time(),
        .blocked = own_signals.blocked,
        .pending = own_signals.pending.set,
    };
    return process_is_own(id);
}

bool linux_thread_cpu_time(int id, uint64_t *time)
{
    *time = linux_cpu_time();
    return id == 0 || id == 1;
}

long linux_gettid(void)
{
    return 1;
}

long linux_sched_yield(void)
{
    return 0;
}

long linux_set_robust_list(uintptr_t head, size_t size)
{
    (void)head, (void)size; /* nobody is left who could find a lock taken */
    return 0;
}

long linux_set_tid_address(uint32_t *address) __attribute__((alias("linux_gettid")));

static long wait_for_signal(void)
{
    while (linux_wait(WAIT_FOR_EVER) == E_SUCCESS)
        ;
    return -E_RESTART;
}

/*
 * With one thread nobody is ever woken and nobody else can wake: a wait that would have to sleep ends by its time-out,
 * by the handler of a timer's signal, or never. In the last case the program is ended, as the only useful thing to do.
 */
long linux_futex(const uint32_t *word, int operation, uint32_t value, const struct linux_timespec *timeout,
                 const uint32_t *second, uint32_t bitset)
{
    int command = operation & FUTEX_COMMAND;
    uint32_t now;
    uint64_t span, base;
    error_t error;

    if ((command == FUTEX_WAIT_BITSET || command == FUTEX_WAKE_BITSET) && bitset == 0)
        return -E_INVAL;
    if (command == FUTEX_WAKE || command == FUTEX_WAKE_BITSET)
        return is_aligned((uintptr_t)word, sizeof(*word)) ? 0 : -E_INVAL;
    if (command == FUTEX_REQUEUE || command == FUTEX_CMP_REQUEUE) { /* nobody waits who could be moved */
        if (!is_aligned((uintptr_t)word, sizeof(*word)) || !is_aligned((uintptr_t)second, sizeof(*second)))
            return -E_INVAL;
        if (user_read(&now, word, sizeof(now)) != E_SUCCESS)
            return -E_FAULT;
        return command == FUTEX_CMP_REQUEUE && now != bitset ? -E_AGAIN : 0;
    }
    if (command != FUTEX_WAIT && command != FUTEX_WAIT_BITSET)
        return -E_NOSYS;
    if (!is_aligned((uintptr_t)word, sizeof(*word)))
        return -E_INVAL;
    if (user_read(&now, word, sizeof(now)) != E_SUCCESS)
        return -E_FAULT;
    if (now != value)
        return -E_AGAIN;
    if (timeout == NULL) {
        futex_check_alone(word);
        return wait_for_signal();
    }
    error = linux_read_span(timeout, &span);
    if (error != E_SUCCESS)
        return -error;
    if (command == FUTEX_WAIT_BITSET) { /* a moment; FUTEX_WAIT takes a time span */
        base = operation & FUTEX_CLOCK_REALTIME ? clock_realtime() : clock_monotonic();
        span = span > base ? span - base : 0;
    }
    base = clock_monotonic();
    do
        error = linux_wait(base + span);
    while (error == E_SUCCESS);
    return -error;
}
