/* The one process as it sees itself: number 1, root, without parent or children. */
#include "core/linux/process.h"
#include "core/base/print.h"
#include "core/base/string.h"
#include "core/clock.h"
#include "core/config.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/futex.h"
#include "core/linux/lock.h"
#include "core/linux/signals.h"
#include "core/linux/timers.h"
#include "core/linux/wait.h"
#include "core/power.h"
#include "core/random.h"
#include "machine.h"
#include "vm/frames.h"

#define DESCRIPTORS_SOFT 1024
#define DESCRIPTORS_MAX 65536 /* their table has to fit into one allocation (core/allocate.h) */

long linux_zero(void)
{
    return 0;
}

long linux_one(void)
{
    return 1;
}

long linux_quiet(void)
{
    return -E_NOSYS;
}

long linux_arch_prctl(int operation, unsigned long argument)
{
    uint64_t base;

    switch (operation) {
    case ARCH_SET_FS:
        if (argument >= LOW_HALF_END && argument < PHYSMAP_BASE) /* not canonical */
            return -E_PERM;
        cpu_set_thread_pointer(argument);
        return 0;
    case ARCH_GET_FS:
        base = cpu_thread_pointer();
        return -user_write((void *)argument, &base, sizeof(base));
    default: /* ARCH_SET_GS too: gs is the core's own, for there is no change of rings that would swap it */
        return -E_INVAL;
    }
}

long linux_getrandom(void *buffer, size_t length, unsigned flags)
{
    const unsigned known = 7, sources = 6; /* GRND_NONBLOCK; of GRND_RANDOM and GRND_INSECURE one at most */
    size_t done = 0;

    if ((flags & ~known) || (flags & sources) == sources)
        return -E_INVAL;
    if (length > INT32_MAX)
        length = INT32_MAX;
    while (done < length) {
        uint64_t word = random_word();
        size_t part = length - done < sizeof(word) ? length - done : sizeof(word);

        if (user_write((char *)buffer + done, &word, part) != E_SUCCESS)
            return done > 0 ? (long)done : -E_FAULT;
        done += part;
    }
    return (long)done;
}

/* The release is that of the interface which is kept to: C libraries refuse to start on a very old one. */
long linux_uname(struct linux_utsname *to)
{
    struct linux_utsname name = {
        .sysname = "Linux",
        .release = "6.1.0-quire",
        .version = "Quire",
        .machine = "x86_64",
        .domainname = "(none)",
    };

    text_format(name.nodename, sizeof(name.nodename), "%s", quire_config.name);
    return -user_write(to, &name, sizeof(name));
}

long linux_sysinfo(struct linux_sysinfo *to)
{
    struct frame_stats frames = frames_stats();
    struct linux_sysinfo info = {
        .uptime = (int64_t)(clock_monotonic() / 1000000000),
        .ram = frames.total * VM_PAGE_SIZE,
        .free_ram = frames.free * VM_PAGE_SIZE,
        .processes = (uint16_t)linux_thread_count(), /* threads are counted, as on Linux */
        .unit = 1,
    };

    return -user_write(to, &info, sizeof(info));
}

#define FRAMES_PER_SIGNAL 64 /* as Linux chooses the limit by RAM: half of the threads whose stacks an eighth holds */

/* Limits that the program has lowered are kept and returned. Only the two that cannot be raised are enforced. */
static struct linux_rlimit *limits(void)
{
    static struct linux_rlimit table[RLIMITS];
    static bool filled;

    if (!filled) {
        filled = true;
        for (int i = 0; i < RLIMITS; i++)
            table[i] = (struct linux_rlimit){RLIM_INFINITY, RLIM_INFINITY};
        table[RLIMIT_STACK] = (struct linux_rlimit){quire_config.stack, quire_config.stack};
        table[RLIMIT_SIGPENDING].soft = table[RLIMIT_SIGPENDING].hard = frames_stats().total / FRAMES_PER_SIGNAL;
        table[RLIMIT_NOFILE] = (struct linux_rlimit){DESCRIPTORS_SOFT, DESCRIPTORS_MAX};
    }
    return table;
}

uint64_t linux_signal_limit(void)
{
    return limits()[RLIMIT_SIGPENDING].soft;
}

uint64_t linux_descriptor_limit(void)
{
    return limits()[RLIMIT_NOFILE].soft;
}

uint64_t linux_file_size_limit(void)
{
    return limits()[RLIMIT_FSIZE].soft;
}

long linux_prlimit64(int pid, unsigned resource, const struct linux_rlimit *new, struct linux_rlimit *old)
{
    struct linux_rlimit wanted, before;

    if (resource >= RLIMITS)
        return -E_INVAL;
    if (pid != 0 && pid != 1)
        return -E_SRCH;
    before = limits()[resource];
    if (new != NULL) {
        if (user_read(&wanted, new, sizeof(wanted)) != E_SUCCESS)
            return -E_FAULT;
        if (wanted.soft > wanted.hard)
            return -E_INVAL;
        if (wanted.hard > before.hard)
            return -E_PERM;
        limits()[resource] = wanted;
    }
    return old != NULL ? -user_write(old, &before, sizeof(before)) : 0;
}

long linux_getrlimit(unsigned resource, struct linux_rlimit *to)
{
    return to == NULL ? -E_FAULT : linux_prlimit64(0, resource, NULL, to);
}

long linux_setrlimit(unsigned resource, const struct linux_rlimit *from)
{
    return from == NULL ? -E_FAULT : linux_prlimit64(0, resource, from, NULL);
}

bool linux_watches;

/* With the lock: a timer that is due may be expiring on another CPU, whose signal is on its way to a handler. */
void futex_check_alone(const uint32_t *word)
{
    LINUX_HOLD();
    if (linux_watches || signals_deliverable() != 0 || (linux_timers != NULL && linux_timers->next() != UINT64_MAX))
        return;
    kprintf("quire: %s waits for ever: no other thread could wake it from its futex at %p\n", quire_config.name,
            (const void *)word);
    power_off(128 + SIGABRT);
}
