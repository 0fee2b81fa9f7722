/* /proc/self, which leads to /proc/1: the one process, with one thread. Times are in ticks of 10 ms (sysconf(2)). */
#include "core/base/print.h"
#include "core/base/string.h"
#include "core/clock.h"
#include "core/config.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/file_calls.h"
#include "core/linux/proc.h"
#include "core/linux/process.h"
#include "core/linux/signals.h"
#include "core/linux/timers.h"
#include "core/linux/tree.h"
#include "core/program.h"
#include "vm/space.h"

#define TICK (1000000000u / CLOCK_TICKS)

/* ---- what the program was started with ---- */

/* Memory of the program as it is now, as far as it is there. */
static void add_memory(struct text *text, vaddr_t start, vaddr_t end)
{
    char bytes[256];

    while (start < end) {
        size_t length = end - start < sizeof(bytes) ? end - start : sizeof(bytes);
        long copied = linux_user_read(bytes, (const void *)start, length);

        if (copied <= 0)
            return;
        text_add_bytes(text, bytes, (size_t)copied);
        start += (size_t)copied;
    }
}

/* A program that writes a title for itself over its arguments may go on into the environment: then up to its end. */
static void cmdline(struct text *text)
{
    const struct program *program = program_running();
    vaddr_t end = program->arguments_end;
    char last = '\0';

    if (end > program->arguments && user_read(&last, (const void *)(end - 1), 1) == E_SUCCESS && last != '\0') {
        intptr_t length =
            user_string_length((const char *)program->arguments, program->environment_end - program->arguments);

        end = length < 0 ? end : program->arguments + (vaddr_t)length;
    }
    add_memory(text, program->arguments, end);
}

static void environ(struct text *text)
{
    add_memory(text, program_running()->arguments_end, program_running()->environment_end);
}

static void auxv(struct text *text)
{
    text_add_bytes(text, (const void *)program_running()->auxiliary, program_running()->auxiliary_size);
}

static void exe(struct text *text)
{
    const char *path = program_running()->path;

    text_add(text, "%s%s", *path == '/' ? "" : "/", path);
}

static void add_path(struct text *text, const struct node *node)
{
    char path[PATH_MAX];

    node_path(node, path, sizeof(path));
    text_add(text, "%s", path);
}

static void cwd(struct text *text)
{
    add_path(text, working_directory);
}

static void root(struct text *text)
{
    add_path(text, process_root);
}

/* ---- its name: prctl keeps it ---- */

enum { PR_SET_NAME = 15, PR_GET_NAME, PR_GET_NO_NEW_PRIVS = 39, PR_GET_THP_DISABLE = 42 };
#define NAME_SIZE 16

static long process_option(int option, const void *argument)
{
    return linux_prctl(option, (unsigned long)argument, 0, 0, 0);
}

static void comm(struct text *text)
{
    char name[NAME_SIZE];

    process_option(PR_GET_NAME, name);
    text_add(text, "%s\n", name);
}

static long set_comm(const char *from, size_t length)
{
    char name[NAME_SIZE] = "";

    for (size_t i = 0; i < length && i < NAME_SIZE - 1 && from[i] != '\0'; i++)
        name[i] = from[i];
    process_option(PR_SET_NAME, name);
    return (long)length;
}

/* ---- stat and status ---- */

static uint64_t pending_signals(void)
{
    return own_signals.pending.set | process_signals.pending.set;
}

static uint64_t caught_signals(void)
{
    uint64_t caught = 0;

    for (int signal = 1; signal <= SIGNALS; signal++)
        if (process_signals.actions[signal].handler > SIG_IGN)
            caught |= signal_bit(signal);
    return caught;
}

static uint64_t ignored_signals(void)
{
    uint64_t ignored = 0;

    for (int signal = 1; signal <= SIGNALS; signal++)
        if (process_signals.actions[signal].handler == SIG_IGN)
            ignored |= signal_bit(signal);
    return ignored;
}

static struct linux_rusage usage_now(void)
{
    struct linux_rusage usage = {.user = {0}};

    linux_getrusage(0, &usage);
    return usage;
}

/* The 52 fields of proc(5), "stat". What there is none of is 0: a terminal, a parent, priorities, other CPUs. */
static void stat(struct text *text)
{
    const struct program *program = program_running();
    struct memory_use use = memory_use();
    struct linux_rusage usage = usage_now();
    const struct vm_segment *code = vm_find(vm_space(), program->entry);
    unsigned long ticks = linux_cpu_time() / TICK;
    char name[NAME_SIZE];

    process_option(PR_GET_NAME, name);
    text_add(text, "1 (%s) R 0 1 1 0 -1 4194304 %ld 0 0 0 %lu 0 0 0 20 0 1 0 0 %lu %lu 18446744073709551615 ", name,
             (long)usage.minor_faults, ticks, (unsigned long)use.size, (unsigned long)(use.resident / VM_PAGE_SIZE));
    text_add(text, "%lu %lu %lu 0 0 %lu %lu %lu %lu 0 0 0 17 0 0 0 0 0 0 ", (unsigned long)vm_start(code),
             (unsigned long)(vm_start(code) + vm_size(code)), (unsigned long)program->stack,
             (unsigned long)pending_signals(), (unsigned long)own_signals.blocked, (unsigned long)ignored_signals(),
             (unsigned long)caught_signals());
    text_add(text, "0 0 0 %lu %lu %lu %lu 0\n", (unsigned long)program->arguments,
             (unsigned long)program->arguments_end, (unsigned long)program->arguments_end,
             (unsigned long)program->environment_end);
}

static void add_memory_status(struct text *text)
{
    struct memory_use use = memory_use();
    const struct {
        const char *name;
        uint64_t bytes;
    } rows[] = {
        {"VmPeak", use.size},
        {"VmSize", use.size},
        {"VmLck", use.locked},
        {"VmPin", 0},
        {"VmHWM", vm_resident_peak(vm_space())},
        {"VmRSS", use.resident},
        {"RssAnon", use.anonymous},
        {"RssFile", use.file},
        {"RssShmem", use.shared_memory},
        {"VmData", use.data - use.stack},
        {"VmStk", use.stack},
        {"VmExe", use.text},
        {"VmLib", 0},
        {"VmPTE", memory_page_tables()},
        {"VmSwap", 0},
        {"HugetlbPages", 0},
    };

    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
        text_add(text, "%s:\t%8lu kB\n", rows[i].name, (unsigned long)(rows[i].bytes >> 10));
}

static void add_cpus(struct text *text)
{
    unsigned count = cpu_present();

    text_add(text, "Cpus_allowed:\t%x\nCpus_allowed_list:\t", count >= 32 ? ~0u : (1u << count) - 1);
    proc_cpu_list(text);
    text_add(text, "Mems_allowed:\t1\nMems_allowed_list:\t0\n");
}

static void add_users(struct text *text)
{
    int user[3] = {0}, group[3] = {0};

    linux_getresuid((uint32_t *)&user[0], (uint32_t *)&user[1], (uint32_t *)&user[2]);
    linux_getresgid((uint32_t *)&group[0], (uint32_t *)&group[1], (uint32_t *)&group[2]);
    text_add(text, "Uid:\t%d\t%d\t%d\t%ld\nGid:\t%d\t%d\t%d\t%ld\n", user[0], user[1], user[2],
             linux_setfsuid(UINT32_MAX), group[0], group[1], group[2], linux_setfsgid(UINT32_MAX));
}

static void add_signals(struct text *text)
{
    text_add(text, "SigQ:\t0/0\nSigPnd:\t%016lx\nShdPnd:\t%016lx\nSigBlk:\t%016lx\n",
             (unsigned long)own_signals.pending.set, (unsigned long)process_signals.pending.set,
             (unsigned long)own_signals.blocked);
    text_add(text, "SigIgn:\t%016lx\nSigCgt:\t%016lx\n", (unsigned long)ignored_signals(),
             (unsigned long)caught_signals());
}

static void add_capabilities(struct text *text)
{
    const uint32_t version_3 = 0x20080522;
    struct linux_capability_header header = {.version = version_3};
    struct {
        uint32_t effective, permitted, inheritable;
    } sets[2] = {{0}};
    unsigned long all = (2ul << CAPABILITY_LAST) - 1;

    linux_capget(&header, sets);
    text_add(text, "CapInh:\t%08x%08x\nCapPrm:\t%08x%08x\nCapEff:\t%08x%08x\n", sets[1].inheritable,
             sets[0].inheritable, sets[1].permitted, sets[0].permitted, sets[1].effective, sets[0].effective);
    text_add(text, "CapBnd:\t%016lx\nCapAmb:\t%016lx\n", all, 0ul);
}

/* A name is one line here. */
static void add_escaped(struct text *text, const char *name)
{
    for (; *name != '\0'; name++)
        text_add(text, *name == '\n' ? "\\n" : *name == '\\' ? "\\\\" : "%c", *name);
}

static void status(struct text *text)
{
    char name[NAME_SIZE];

    process_option(PR_GET_NAME, name);
    text_add(text, "Name:\t");
    add_escaped(text, name);
    text_add(text, "\nUmask:\t%04o\nState:\tR (running)\nTgid:\t1\nNgid:\t0\nPid:\t1\nPPid:\t0\nTracerPid:\t0\n",
             file_mode_mask);
    add_users(text);
    text_add(text, "FDSize:\t%d\nGroups:\t \nNStgid:\t1\nNSpid:\t1\nNSpgid:\t1\nNSsid:\t1\n",
             linux_descriptor_places());
    add_memory_status(text);
    text_add(text, "CoreDumping:\t0\nTHP_enabled:\t%d\nThreads:\t%u\n", process_option(PR_GET_THP_DISABLE, NULL) == 0,
             linux_thread_count());
    add_signals(text);
    add_capabilities(text);
    text_add(text, "NoNewPrivs:\t%ld\nSeccomp:\t0\nSeccomp_filters:\t0\n", process_option(PR_GET_NO_NEW_PRIVS, NULL));
    add_cpus(text);
    text_add(text, "voluntary_ctxt_switches:\t0\nnonvoluntary_ctxt_switches:\t0\n");
}

/* ---- the rest ---- */

static void add_limit(struct text *text, uint64_t value)
{
    if (value == RLIM_INFINITY)
        text_add(text, "%-20s ", "unlimited");
    else
        text_add(text, "%-20lu ", (unsigned long)value);
}

static void limits(struct text *text)
{
    static const char *const names[RLIMITS][2] = {
        {"Max cpu time", "seconds"},    {"Max file size", "bytes"},      {"Max data size", "bytes"},
        {"Max stack size", "bytes"},    {"Max core file size", "bytes"}, {"Max resident set", "bytes"},
        {"Max processes", "processes"}, {"Max open files", "files"},     {"Max locked memory", "bytes"},
        {"Max address space", "bytes"}, {"Max file locks", "locks"},     {"Max pending signals", "signals"},
        {"Max msgqueue size", "bytes"}, {"Max nice priority", ""},       {"Max realtime priority", ""},
        {"Max realtime timeout", "us"},
    };

    text_add(text, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for (unsigned i = 0; i < RLIMITS; i++) {
        struct linux_rlimit limit;

        linux_getrlimit(i, &limit);
        text_add(text, "%-25s ", names[i][0]);
        add_limit(text, limit.soft);
        add_limit(text, limit.hard);
        text_add(text, "%-10s\n", names[i][1]);
    }
}

static void io(struct text *text)
{
    text_add(text, "rchar: %lu\nwchar: %lu\nsyscr: %lu\nsyscw: %lu\n", (unsigned long)file_transfers.bytes_read,
             (unsigned long)file_transfers.bytes_written, (unsigned long)file_transfers.reads,
             (unsigned long)file_transfers.writes);
    text_add(text, "read_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n"); /* there is no disk */
}

static int oom_adjustment;

static void oom_score_adj(struct text *text)
{
    text_add(text, "%d\n", oom_adjustment);
}

/* Kept: nobody chooses a process to end, for there is only this one. */
static long set_oom_score_adj(const char *from, size_t length)
{
    bool negative = length > 0 && from[0] == '-';
    size_t i = negative;
    int value = 0;

    for (; i < length && from[i] >= '0' && from[i] <= '9' && value <= 1000; i++)
        value = value * 10 + (from[i] - '0');
    if (i == negative || value > 1000 || (i < length && from[i] != '\n'))
        return -E_INVAL;
    oom_adjustment = negative ? -value : value;
    return (long)length;
}

static void zero(struct text *text)
{
    text_add(text, "0\n");
}

static void personality(struct text *text)
{
    text_add(text, "00000000\n");
}

static void mounts(struct text *text)
{
    text_add(text, "rootfs / tmpfs rw 0 0\nproc /proc proc rw,relatime 0 0\nsysfs /sys sysfs rw,relatime 0 0\n");
}

static void mountinfo(struct text *text)
{
    text_add(text, "1 1 0:1 / / rw - tmpfs rootfs rw\n2 1 0:2 / /proc rw,relatime - proc proc rw\n"
                   "3 1 0:3 / /sys rw,relatime - sysfs sysfs rw\n");
}

static const struct generated_file files[] = {
    {"/proc/1/auxv", auxv, NULL, 0400},
    {"/proc/1/cmdline", cmdline, NULL, 0444},
    {"/proc/1/comm", comm, set_comm, 0644},
    {"/proc/1/environ", environ, NULL, 0400},
    {"/proc/1/io", io, NULL, 0400},
    {"/proc/1/limits", limits, NULL, 0644},
    {"/proc/1/maps", proc_maps, NULL, 0444},
    {"/proc/1/mountinfo", mountinfo, NULL, 0444},
    {"/proc/1/mounts", mounts, NULL, 0444},
    {"/proc/1/oom_score", zero, NULL, 0444},
    {"/proc/1/oom_score_adj", oom_score_adj, set_oom_score_adj, 0644},
    {"/proc/1/personality", personality, NULL, 0400},
    {"/proc/1/smaps", proc_smaps, NULL, 0444},
    {"/proc/1/smaps_rollup", proc_smaps_rollup, NULL, 0444},
    {"/proc/1/stat", stat, NULL, 0444},
    {"/proc/1/statm", proc_statm, NULL, 0444},
    {"/proc/1/status", status, NULL, 0444},
    {"/proc/1/task/1/comm", comm, set_comm, 0644},
    {"/proc/1/task/1/maps", proc_maps, NULL, 0444},
    {"/proc/1/task/1/stat", stat, NULL, 0444},
    {"/proc/1/task/1/status", status, NULL, 0444},
};

error_t proc_process_add(void)
{
    error_t error = proc_add(files, ARRAY_LENGTH(files));

    if (error == E_SUCCESS)
        error = tree_add_link("/proc/1/cwd", NULL, cwd);
    if (error == E_SUCCESS)
        error = tree_add_link("/proc/1/exe", NULL, exe);
    if (error == E_SUCCESS)
        error = tree_add_link("/proc/1/root", NULL, root);
    if (error == E_SUCCESS)
        error = tree_add_descriptors("/proc/1/fd");
    if (error == E_SUCCESS)
        error = tree_add_link("/proc/self", "1", NULL);
    return error != E_SUCCESS ? error : tree_add_link("/proc/thread-self", "1/task/1", NULL);
}
