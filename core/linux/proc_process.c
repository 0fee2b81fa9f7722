/* /proc/self, which leads to /proc/1: the one process. What it shows of its threads is proc_task.c's. */
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
static long set_oom_score_adj(const struct node *unused, const char *from, size_t length)
{
    bool negative = length > 0 && from[0] == '-';
    size_t i = negative;
    int value = 0;

    (void)unused;
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
    {"auxv", auxv, NULL, 0400},
    {"cmdline", cmdline, NULL, 0444},
    {"comm", proc_comm, proc_set_comm, 0644},
    {"environ", environ, NULL, 0400},
    {"io", io, NULL, 0400},
    {"limits", limits, NULL, 0644},
    {"maps", proc_maps, NULL, 0444},
    {"mountinfo", mountinfo, NULL, 0444},
    {"mounts", mounts, NULL, 0444},
    {"oom_score", zero, NULL, 0444},
    {"oom_score_adj", oom_score_adj, set_oom_score_adj, 0644},
    {"personality", personality, NULL, 0400},
    {"smaps", proc_smaps, NULL, 0444},
    {"smaps_rollup", proc_smaps_rollup, NULL, 0444},
    {"statm", proc_statm, NULL, 0444},
    {"status", proc_status, NULL, 0444},
};
static const struct generated_file own_stat[] = {{"stat", proc_stat, NULL, 0444}};

error_t proc_add_common(struct node *directory)
{
    error_t error = directory_add_generated(directory, files, ARRAY_LENGTH(files));

    if (error == E_SUCCESS)
        error = directory_add_link(directory, "cwd", cwd);
    if (error == E_SUCCESS)
        error = directory_add_link(directory, "exe", exe);
    if (error == E_SUCCESS)
        error = directory_add_link(directory, "root", root);
    return error != E_SUCCESS ? error : directory_add_descriptors(directory);
}

static void thread_self(struct text *text)
{
    text_add(text, "%d/task/%ld", PROCESS, linux_gettid());
}

error_t proc_process_add(void)
{
    struct node *directory;
    error_t error = tree_enter("/proc/1", 0555, &directory);

    if (error == E_SUCCESS)
        error = proc_add_common(directory);
    if (error == E_SUCCESS)
        error = directory_add_generated(directory, own_stat, ARRAY_LENGTH(own_stat));
    if (error == E_SUCCESS)
        error = proc_add_tasks(directory);
    if (error == E_SUCCESS)
        error = tree_add_link("/proc/self", "1", NULL);
    return error != E_SUCCESS ? error : tree_add_link("/proc/thread-self", NULL, thread_self);
}
