/* /proc without the process: the machine and the limits of the interface. */
#include "core/base/print.h"
#include "core/clock.h"
#include "core/config.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/events.h"
#include "core/linux/proc.h"
#include "core/linux/process.h"
#include "core/linux/timers.h"
#include "core/linux/tree.h"
#include "core/random.h"
#include "core/threads/scheduler.h"
#include "machine.h"
#include "vm/frames.h"
#include "vm/vm.h"

#define SECOND 1000000000ull
#define TICK (SECOND / CLOCK_TICKS)
#define FRAMES_PER_THREAD 8 /* its stacks, and where it is noted */

void proc_cpu_ranges(struct text *text, uint64_t cpus)
{
    const char *between = "";

    while (cpus != 0) {
        unsigned first = (unsigned)__builtin_ctzll(cpus);
        unsigned last = first;

        while (last < 63 && cpus >> (last + 1) & 1)
            last++;
        text_add(text, first < last ? "%s%u-%u" : "%s%u", between, first, last);
        between = ",";
        cpus &= last < 63 ? UINT64_MAX << (last + 1) : 0;
    }
    text_add(text, "\n");
}

/* As many digits as all CPUs take, in words of 32 from the highest. */
void proc_cpu_mask(struct text *text, uint64_t cpus)
{
    unsigned count = cpu_present(), words = (count + 31) / 32;

    text_add(text, "%0*x", (int)((count - 1) % 32 / 4 + 1), (unsigned)(cpus >> 32 * (words - 1)));
    if (words > 1)
        text_add(text, ",%08x", (unsigned)cpus);
    text_add(text, "\n");
}

void proc_cpu_list(struct text *text)
{
    proc_cpu_ranges(text, linux_cpus());
}

/* ---- memory ---- */

/* What is free and what is used agree with sysinfo(2) and frames_stats: there are no caches, swap or kernel threads.
 * Huge pages are not set apart: those shown could be had now, and count as free memory too. */
static void meminfo(struct text *text)
{
    struct frame_stats frames = frames_stats();
    struct memory_use use = memory_use();
    uint64_t tables = memory_page_tables(), total = frames.total * VM_PAGE_SIZE, free = frames.free * VM_PAGE_SIZE;
    const struct {
        const char *name;
        uint64_t bytes;
    } rows[] = {
        {"MemTotal:", total},
        {"MemFree:", free},
        {"MemAvailable:", free},
        {"Buffers:", 0},
        {"Cached:", use.file + use.shared_memory},
        {"SwapCached:", 0},
        {"Active:", use.resident},
        {"Inactive:", 0},
        {"Unevictable:", use.locked},
        {"Mlocked:", use.locked},
        {"SwapTotal:", 0},
        {"SwapFree:", 0},
        {"Dirty:", 0},
        {"Writeback:", 0},
        {"AnonPages:", use.anonymous},
        {"Mapped:", use.file + use.shared_memory},
        {"Shmem:", use.shared_memory},
        {"PageTables:", tables},
        {"CommitLimit:", total},
        {"Committed_AS:", total - free},
        {"VmallocTotal:", PHYSMAP_SIZE},
        {"VmallocUsed:", 0},
        {"VmallocChunk:", 0},
        {"AnonHugePages:", use.by_page[PAGE_2M] + use.by_page[PAGE_1G]},
    };

    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
        text_add(text, "%-15s %8lu kB\n", rows[i].name, (unsigned long)(rows[i].bytes >> 10));
    text_add(text,
             "HugePages_Total:   %5lu\nHugePages_Free:    %5lu\nHugePages_Rsvd:        0\nHugePages_Surp:        0\n"
             "Hugepagesize:       2048 kB\nHugetlb:               0 kB\n",
             (unsigned long)frames.free_2m, (unsigned long)frames.free_2m);
}

/* ---- CPUs and time ---- */

static void add_flags(struct text *text)
{
    const char *flag;
    size_t length;
    unsigned position = 0;

    text_add(text, "flags\t\t:");
    while ((flag = cpu_next_flag(&position, &length)) != NULL)
        text_add(text, " %.*s", (int)length, flag);
    text_add(text, "\n");
}

static void cpuinfo(struct text *text)
{
    struct cpu_identity cpu;
    unsigned long mhz = clock_rate() / 1000000, khz = clock_rate() / 1000 % 1000;

    cpu_identify(&cpu);
    for (unsigned i = 0; i < cpu_present(); i++) {
        text_add(text, "processor\t: %u\nvendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\nmodel name\t: %s\n", i,
                 cpu.vendor, cpu.family, cpu.model, cpu_name() + sizeof(cpu.vendor)); /* the vendor is first in it */
        text_add(text, "stepping\t: %u\ncpu MHz\t\t: %lu.%03lu\n", cpu.stepping, mhz, khz);
        if (cpu.cache_kib != 0)
            text_add(text, "cache size\t: %u KB\n", cpu.cache_kib);
        text_add(text, "physical id\t: 0\nsiblings\t: %u\ncore id\t\t: %u\ncpu cores\t: %u\n", cpu_present(), i,
                 cpu_present());
        text_add(text, "fpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: %u\nwp\t\t: yes\n", cpu.level);
        add_flags(text);
        text_add(text, "bogomips\t: %lu.%02lu\nclflush size\t: %u\ncache_alignment\t: %u\n", 2 * clock_rate() / 1000000,
                 2 * clock_rate() / 10000 % 100, cpu.cache_line, cpu.cache_line);
        text_add(text, "address sizes\t: %u bits physical, %u bits virtual\npower management:\n\n", cpu.physical_bits,
                 cpu.virtual_bits);
    }
}

/* What a CPU has done; one that was not started yet, nothing. */
struct cpu_use {
    uint64_t busy; /* ns */
    uint64_t switches, kicked, served;
};

#if QUIRE_THREADS
static struct cpu_use cpu_use(unsigned cpu)
{
    struct cpu_messages messages;

    if (cpu >= cpu_count())
        return (struct cpu_use){0};
    messages = cpu_messages(cpu);
    return (struct cpu_use){
        .busy = scheduler_busy_time(cpu),
        .switches = scheduler_counts(cpu).switches,
        .kicked = messages.kicked,
        .served = messages.served,
    };
}
#else
static struct cpu_use cpu_use(unsigned cpu)
{
    (void)cpu;
    return (struct cpu_use){.busy = linux_cpu_time()};
}
#endif

/* Of all CPUs. */
static struct cpu_use all_use(void)
{
    struct cpu_use all = {0};

    for (unsigned cpu = 0; cpu < cpu_present(); cpu++) {
        struct cpu_use of = cpu_use(cpu);

        all.busy += of.busy;
        all.switches += of.switches;
        all.kicked += of.kicked;
        all.served += of.served;
    }
    return all;
}

static uint64_t idle_time(uint64_t time, uint64_t busy)
{
    return time > busy ? time - busy : 0;
}

static error_t count_running(int id, void *count)
{
    struct thread_facts thread;

    *(unsigned *)count += linux_thread_facts(id, &thread) && thread.state == 'R';
    return E_SUCCESS;
}

static unsigned running_threads(void)
{
    unsigned count = 0;

    linux_each_thread(count_running, &count);
    return count;
}

static void add_cpu_times(struct text *text, uint64_t busy, uint64_t idle)
{
    text_add(text, " %lu 0 0 %lu 0 0 0 0 0 0\n", (unsigned long)(busy / TICK), (unsigned long)(idle / TICK));
}

/* All CPU time is the program's; of interrupts those are counted that CPUs send each other. */
static void stat(struct text *text)
{
    uint64_t up = clock_monotonic(), start = clock_realtime() - up;
    struct cpu_use all = all_use();

    text_add(text, "cpu ");
    add_cpu_times(text, all.busy, idle_time(up * cpu_present(), all.busy));
    for (unsigned cpu = 0; cpu < cpu_present(); cpu++) {
        uint64_t busy = cpu_use(cpu).busy;

        text_add(text, "cpu%u", cpu);
        add_cpu_times(text, busy, idle_time(up, busy));
    }
    text_add(text, "intr %lu\nctxt %lu\nbtime %lu\nprocesses 1\nprocs_running %u\nprocs_blocked 0\nsoftirq 0\n",
             (unsigned long)(all.kicked + all.served), (unsigned long)all.switches, (unsigned long)(start / SECOND),
             running_threads());
}

static void add_interrupts(struct text *text, const char *name, size_t count_at, const char *what)
{
    text_add(text, "%4s:", name);
    for (unsigned cpu = 0; cpu < cpu_present(); cpu++) {
        struct cpu_use of = cpu_use(cpu);

        text_add(text, " %10lu", (unsigned long)*(const uint64_t *)((const char *)&of + count_at));
    }
    text_add(text, "   %s\n", what);
}

static void interrupts(struct text *text)
{
    text_add(text, "     ");
    for (unsigned cpu = 0; cpu < cpu_present(); cpu++)
        text_add(text, "      CPU%-2u", cpu);
    text_add(text, "\n");
    add_interrupts(text, "RES", offsetof(struct cpu_use, kicked), "Rescheduling interrupts");
    add_interrupts(text, "CAL", offsetof(struct cpu_use, served), "Function call interrupts");
}

static void uptime(struct text *text)
{
    uint64_t up = clock_monotonic(), idle = idle_time(up * cpu_present(), all_use().busy);

    text_add(text, "%lu.%02lu %lu.%02lu\n", (unsigned long)(up / SECOND), (unsigned long)(up / TICK % CLOCK_TICKS),
             (unsigned long)(idle / SECOND), (unsigned long)(idle / TICK % CLOCK_TICKS));
}

/* sysinfo(2) has no averages either: nothing samples what runs. */
static void loadavg(struct text *text)
{
    text_add(text, "0.00 0.00 0.00 %u/%u 1\n", running_threads(), linux_thread_count());
}

/* ---- names and numbers ---- */

static void version(struct text *text)
{
    struct linux_utsname name;

    linux_uname(&name);
    text_add(text, "%s version %s %s\n", name.sysname, name.release, name.version);
}

static void ostype(struct text *text)
{
    struct linux_utsname name;

    linux_uname(&name);
    text_add(text, "%s\n", name.sysname);
}

static void osrelease(struct text *text)
{
    struct linux_utsname name;

    linux_uname(&name);
    text_add(text, "%s\n", name.release);
}

static void kernel_version(struct text *text)
{
    struct linux_utsname name;

    linux_uname(&name);
    text_add(text, "%s\n", name.version);
}

static void hostname(struct text *text)
{
    struct linux_utsname name;

    linux_uname(&name);
    text_add(text, "%s\n", name.nodename);
}

static void domainname(struct text *text)
{
    struct linux_utsname name;

    linux_uname(&name);
    text_add(text, "%s\n", name.domainname);
}

/* A random UUID (RFC 4122, 4.4): version 4 in the highest bits of the third part, variant 10 in those of the fourth. */
static void add_uuid(struct text *text, uint64_t high, uint64_t low)
{
    high = (high & ~0xf000ull) | 0x4000;
    low = (low & ~(3ull << 62)) | 2ull << 62;
    text_add(text, "%08lx-%04lx-%04lx-%04lx-%012lx\n", (unsigned long)(high >> 32),
             (unsigned long)(high >> 16 & 0xffff), (unsigned long)(high & 0xffff), (unsigned long)(low >> 48),
             (unsigned long)(low & 0xffffffffffff));
}

static void uuid(struct text *text)
{
    uint64_t high = random_word();

    add_uuid(text, high, random_word());
}

static void boot_id(struct text *text)
{
    static uint64_t high, low;

    if (high == 0) {
        high = random_word() | 1;
        low = random_word();
    }
    add_uuid(text, high, low);
}

static void filesystems(struct text *text)
{
    text_add(text, "nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tpipefs\n");
}

static void add_number(struct text *text, uint64_t number)
{
    text_add(text, "%lu\n", (unsigned long)number);
}

/* What RLIMIT_NOFILE may be raised to. */
static uint64_t descriptors_max(void)
{
    struct linux_rlimit limit;

    linux_getrlimit(RLIMIT_NOFILE, &limit);
    return limit.hard;
}

#define NUMBER(name, value)                                                                                            \
    static void name(struct text *text)                                                                                \
    {                                                                                                                  \
        add_number(text, value);                                                                                       \
    }

NUMBER(pid_max, 32768)
NUMBER(threads_max, QUIRE_THREADS ? frames_stats().total / FRAMES_PER_THREAD : 1)
NUMBER(ngroups_max, 65536)
NUMBER(cap_last_cap, 40)
NUMBER(randomize_va_space, 2)
/* What RAM cannot hold is refused unless it is MAP_NORESERVE: Linux's heuristic comes nearest. */
NUMBER(overcommit_memory, 0)
NUMBER(overcommit_ratio, 50)
NUMBER(max_map_count, INT32_MAX) /* as many as there is memory for */
NUMBER(mmap_min_addr, NULL_GUARD_END)
NUMBER(swappiness, 0)
NUMBER(nr_hugepages, frames_stats().free_2m)
NUMBER(nr_overcommit_hugepages, 0)
NUMBER(file_max, INT64_MAX)
NUMBER(nr_open, descriptors_max())
NUMBER(pipe_max_size, PIPE_SIZE_MAX)
NUMBER(somaxconn, 4096)

static const struct generated_file files[] = {
    {"/proc/cpuinfo", cpuinfo, NULL, 0444},
    {"/proc/filesystems", filesystems, NULL, 0444},
    {"/proc/interrupts", interrupts, NULL, 0444},
    {"/proc/loadavg", loadavg, NULL, 0444},
    {"/proc/meminfo", meminfo, NULL, 0444},
    {"/proc/stat", stat, NULL, 0444},
    {"/proc/sys/fs/file-max", file_max, NULL, 0444},
    {"/proc/sys/fs/nr_open", nr_open, NULL, 0444},
    {"/proc/sys/fs/pipe-max-size", pipe_max_size, NULL, 0444},
    {"/proc/sys/kernel/cap_last_cap", cap_last_cap, NULL, 0444},
    {"/proc/sys/kernel/domainname", domainname, NULL, 0444},
    {"/proc/sys/kernel/hostname", hostname, NULL, 0444},
    {"/proc/sys/kernel/ngroups_max", ngroups_max, NULL, 0444},
    {"/proc/sys/kernel/osrelease", osrelease, NULL, 0444},
    {"/proc/sys/kernel/ostype", ostype, NULL, 0444},
    {"/proc/sys/kernel/pid_max", pid_max, NULL, 0444},
    {"/proc/sys/kernel/random/boot_id", boot_id, NULL, 0444},
    {"/proc/sys/kernel/random/uuid", uuid, NULL, 0444},
    {"/proc/sys/kernel/randomize_va_space", randomize_va_space, NULL, 0444},
    {"/proc/sys/kernel/threads-max", threads_max, NULL, 0444},
    {"/proc/sys/kernel/version", kernel_version, NULL, 0444},
    {"/proc/sys/net/core/somaxconn", somaxconn, NULL, 0444},
    {"/proc/sys/vm/max_map_count", max_map_count, NULL, 0444},
    {"/proc/sys/vm/mmap_min_addr", mmap_min_addr, NULL, 0444},
    {"/proc/sys/vm/nr_hugepages", nr_hugepages, NULL, 0444},
    {"/proc/sys/vm/nr_overcommit_hugepages", nr_overcommit_hugepages, NULL, 0444},
    {"/proc/sys/vm/overcommit_memory", overcommit_memory, NULL, 0444},
    {"/proc/sys/vm/overcommit_ratio", overcommit_ratio, NULL, 0444},
    {"/proc/sys/vm/swappiness", swappiness, NULL, 0444},
    {"/proc/uptime", uptime, NULL, 0444},
    {"/proc/version", version, NULL, 0444},
};

error_t proc_add(const struct generated_file *table, size_t count)
{
    error_t error = E_SUCCESS;

    for (size_t i = 0; i < count && error == E_SUCCESS; i++)
        error = tree_add_generated(&table[i]);
    return error;
}

error_t proc_system_add(void)
{
    error_t error = proc_add(files, ARRAY_LENGTH(files));

    return error != E_SUCCESS ? error : tree_add_link("/proc/mounts", "self/mounts", NULL);
}

/* ---- making the tree ---- */

static error_t fill(struct node *directory)
{
    error_t error;

    directory->directory.refresh = NULL;
    error = proc_process_add();
    return error != E_SUCCESS ? error : proc_system_add();
}

void linux_proc_init(void)
{
    struct node *directory;

    if (tree_enter("/proc", 0555, &directory) == E_SUCCESS)
        directory->directory.refresh = fill;
}
