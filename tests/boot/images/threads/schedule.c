/* Names, processor time, CPUs, priorities, and that all threads get their turn. */
#include "threads.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define CPUS_SEEN 64
#define BUSY_MS 400ll /* long against what a host takes away for itself, and counts as the guest's */

/* ---- names ---- */

static sem_t named, name_seen;
static atomic_int named_tid;

static void *has_a_name(void *unused)
{
    SHOW(pthread_setname_np(pthread_self(), "worker"));
    atomic_store(&named_tid, (int)syscall(SYS_gettid));
    sem_post(&named);
    wait_sem(&name_seen);
    return unused;
}

static void show_comm(const char *what, int tid)
{
    char path[64], name[32] = "";
    ssize_t got;
    int fd;

    snprintf(path, sizeof(path), "/proc/self/task/%d/comm", tid);
    fd = open(path, O_RDONLY);
    got = read(fd, name, sizeof(name) - 1);
    close(fd);
    if (got > 0)
        name[got - 1] = '\0';
    printf("comm of %s: %s\n", what, name);
}

static void check_names(void)
{
    char name[16] = "";

    sem_init(&named, 0, 0);
    sem_init(&name_seen, 0, 0);
    SHOW(pthread_setname_np(pthread_self(), "main thread"));
    pthread_t thread = start(has_a_name, NULL);

    wait_sem(&named);
    SHOW(pthread_getname_np(thread, name, sizeof(name)));
    printf("name: %s\n", name);
    show_comm("the thread", atomic_load(&named_tid));
    show_comm("main", getpid());
    SHOW(pthread_setname_np(thread, "set from outside"));
    SHOW(pthread_setname_np(thread, "from outside"));
    show_comm("the thread", atomic_load(&named_tid));
    SHOW(pthread_getname_np(pthread_self(), name, sizeof(name)));
    printf("name: %s\n", name);
    sem_post(&name_seen);
    finish(thread);
}

/* ---- processor time ---- */

static int64_t used_ns(clockid_t clock)
{
    return to_ns(clock_now(clock));
}

static void burn_ms(int64_t ms)
{
    int64_t end = used_ns(CLOCK_THREAD_CPUTIME_ID) + ms * NS_PER_MS;

    while (used_ns(CLOCK_THREAD_CPUTIME_ID) < end)
        continue;
}

static sem_t burnt, burn_seen;

static void *burns(void *ms)
{
    burn_ms((int64_t)(intptr_t)ms);
    sem_post(&burnt);
    wait_sem(&burn_seen);
    return NULL;
}

static int64_t usage_ns(int who)
{
    struct rusage usage;

    getrusage(who, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * NS_PER_S +
           (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000ll;
}

static void check_clocks(void)
{
    clockid_t of_busy, of_idle, of_main;
    int64_t main_before = used_ns(CLOCK_THREAD_CPUTIME_ID), process = used_ns(CLOCK_PROCESS_CPUTIME_ID);

    sem_init(&burnt, 0, 0);
    sem_init(&burn_seen, 0, 0);
    pthread_t busy = start(burns, (void *)BUSY_MS), idle = start(burns, (void *)0);

    wait_sem(&burnt);
    wait_sem(&burnt);
    SHOW(pthread_getcpuclockid(busy, &of_busy));
    SHOW(pthread_getcpuclockid(idle, &of_idle));
    SHOW(pthread_getcpuclockid(pthread_self(), &of_main));
    YES("a busy thread has used its time", used_ns(of_busy) >= BUSY_MS * NS_PER_MS);
    YES("one that waits has not", used_ns(of_idle) < BUSY_MS / 2 * NS_PER_MS);
    YES("nor has main", used_ns(of_main) - main_before < BUSY_MS / 2 * NS_PER_MS);
    YES("the process has", used_ns(CLOCK_PROCESS_CPUTIME_ID) - process >= BUSY_MS * NS_PER_MS);
    YES("main's two clocks are one", used_ns(of_main) <= used_ns(CLOCK_THREAD_CPUTIME_ID));
    sem_post(&burn_seen);
    sem_post(&burn_seen);
    finish(busy);
    finish(idle);
    YES("what ended threads have used is the process's",
        used_ns(CLOCK_PROCESS_CPUTIME_ID) - process >= BUSY_MS * NS_PER_MS);
    int64_t own = usage_ns(RUSAGE_THREAD);

    burn_ms(40);
    YES("RUSAGE_THREAD", usage_ns(RUSAGE_THREAD) - own >= 20 * NS_PER_MS);
    YES("RUSAGE_SELF", usage_ns(RUSAGE_SELF) >= 80 * NS_PER_MS);
}

/* ---- CPUs ---- */

static void pin(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    must(pthread_setaffinity_np(pthread_self(), sizeof(set), &set), "pthread_setaffinity_np");
}

static cpu_set_t allowed;

/* On every CPU that there is. */
static void *visits_all(void *unused)
{
    uintptr_t wrong = 0;

    (void)unused;
    for (int cpu = 0; cpu < CPUS_SEEN; cpu++) {
        if (!CPU_ISSET(cpu, &allowed))
            continue;
        pin(cpu);
        wrong += sched_getcpu() != cpu;
        sched_yield();
        wrong += sched_getcpu() != cpu;
    }
    return (void *)wrong;
}

static void *inherits_affinity(void *unused)
{
    cpu_set_t set;

    (void)unused;
    pthread_getaffinity_np(pthread_self(), sizeof(set), &set);
    return (void *)(uintptr_t)CPU_COUNT(&set);
}

static int first_cpu(void)
{
    int cpu = 0;

    while (!CPU_ISSET(cpu, &allowed))
        cpu++;
    return cpu;
}

static void check_affinity(void)
{
    pthread_t threads[3];
    cpu_set_t set;

    SHOW(pthread_getaffinity_np(pthread_self(), sizeof(allowed), &allowed));
    YES("as many as sysconf says", CPU_COUNT(&allowed) == sysconf(_SC_NPROCESSORS_ONLN));
    start_all(threads, 3, visits_all);
    SHOW(finish_all(threads, 3));
    CPU_ZERO(&set);
    SHOW(pthread_setaffinity_np(pthread_self(), sizeof(set), &set));
    pin(first_cpu());
    SHOW((uintptr_t)finish(start(inherits_affinity, NULL)));
    SHOW(pthread_setaffinity_np(pthread_self(), sizeof(allowed), &allowed));
    pthread_getaffinity_np(pthread_self(), sizeof(set), &set);
    YES("all again", CPU_EQUAL(&set, &allowed));
}

/* ---- priorities ---- */

static bool accepted(int error)
{
    return error == 0 || error == EPERM; /* on Linux that depends on the user */
}

static void *sets_priorities(void *unused)
{
    struct sched_param param = {.sched_priority = 0};
    int policy = -1;

    SHOW(pthread_setschedparam(pthread_self(), SCHED_OTHER, &param));
    SHOW(pthread_getschedparam(pthread_self(), &policy, &param));
    SHOW(policy == SCHED_OTHER && param.sched_priority == 0);
    SHOW(pthread_setschedparam(pthread_self(), SCHED_BATCH, &param));
    param.sched_priority = 10;
    SHOW(pthread_setschedparam(pthread_self(), SCHED_OTHER, &param));
    YES("fixed priorities", accepted(pthread_setschedparam(pthread_self(), SCHED_FIFO, &param)));
    YES("in turns", accepted(pthread_setschedparam(pthread_self(), SCHED_RR, &param)));
    param.sched_priority = 0;
    SHOW(pthread_setschedparam(pthread_self(), SCHED_OTHER, &param));
    SHOW_ERRNO(setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 7));
    SHOW_ERRNO(getpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid)));
    SHOW_ERRNO(getpriority(PRIO_PROCESS, 0));
    return unused;
}

static void check_priorities(void)
{
    pthread_attr_t attributes;
    struct sched_param param = {.sched_priority = 0};
    pthread_t thread;

    finish(start(sets_priorities, NULL));
    SHOW_ERRNO(getpriority(PRIO_PROCESS, (id_t)getpid()));
    pthread_attr_init(&attributes);
    SHOW(pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED));
    SHOW(pthread_attr_setschedpolicy(&attributes, SCHED_OTHER));
    SHOW(pthread_attr_setschedparam(&attributes, &param));
    SHOW(pthread_create(&thread, &attributes, inherits_affinity, NULL));
    finish(thread);
    pthread_attr_destroy(&attributes);
}

/* ---- turns ---- */

static atomic_int turn;

/* All on one CPU: each lets the other run by sched_yield, or neither goes on. */
static void *yields_in_turn(void *number)
{
    int mine = (int)(uintptr_t)number;

    pin(first_cpu());
    for (int i = 0; i < 1000; i++) {
        while (atomic_load(&turn) % 3 != mine)
            sched_yield();
        atomic_fetch_add(&turn, 1);
    }
    return (void *)1;
}

/* The same without: whoever waits spins, until it is made to let another one run. */
static atomic_int spin_turn;

static void *spins_in_turn(void *number)
{
    int mine = (int)(uintptr_t)number;

    pin(first_cpu());
    for (int i = 0; i < 5; i++) {
        while (atomic_load_explicit(&spin_turn, memory_order_relaxed) % 2 != mine)
            continue;
        atomic_fetch_add(&spin_turn, 1);
    }
    return (void *)1;
}

static atomic_int spinners_stop;

static void *spins_until_stopped(void *unused)
{
    pin(first_cpu());
    while (!atomic_load_explicit(&spinners_stop, memory_order_relaxed))
        continue;
    return unused;
}

/* A thread that slept gets the CPU from those that spin on it. */
static void *sleeps_beside_spinners(void *unused)
{
    pin(first_cpu());
    for (int i = 0; i < 5; i++)
        sleep_ms(1);
    atomic_store(&spinners_stop, 1);
    return unused;
}

static void check_turns(void)
{
    pthread_t threads[3];

    start_all(threads, 3, yields_in_turn);
    SHOW(finish_all(threads, 3));
    SHOW(atomic_load(&turn));
    start_all(threads, 2, spins_in_turn);
    SHOW(finish_all(threads, 2));
    SHOW(atomic_load(&spin_turn));
    start_all(threads, 2, spins_until_stopped);
    threads[2] = start(sleeps_beside_spinners, NULL);
    SHOW(finish_all(threads, 3));
}

void check_schedule(void)
{
    puts("-- names");
    check_names();
    puts("-- processor time");
    check_clocks();
    puts("-- CPUs");
    check_affinity();
    puts("-- priorities");
    check_priorities();
    puts("-- turns");
    check_turns();
}
