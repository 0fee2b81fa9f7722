/*
 * What /proc says of threads, and /proc/PID/task: a directory for each of them, named by its number, made and removed
 * when it is looked at, and filled when it is itself. Of the process its own files say the same of the first thread,
 * with the CPU time of all. Times are in ticks of 10 ms (sysconf(2)).
 */
#include "core/base/print.h"
#include "core/base/string.h"
#include "core/config.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/proc.h"
#include "core/linux/process.h"
#include "core/linux/signals.h"
#include "core/linux/timers.h"
#include "core/linux/tree.h"
#include "core/program.h"
#include "vm/space.h"

#define TICK (1000000000u / CLOCK_TICKS)

/* The number of the thread that the directory of the file is named by; after its end, too. */
static int thread_of(const struct node *file)
{
    return entry_number(file->names->directory->names);
}

/* ---- names ---- */

void proc_comm(struct text *text)
{
    char name[THREAD_NAME_SIZE];

    linux_thread_name(thread_of(text_subject(text)), name);
    text_add(text, "%s\n", name);
}

long proc_set_comm(const struct node *file, const char *from, size_t length)
{
    char name[THREAD_NAME_SIZE] = "";

    for (size_t i = 0; i < length && i < sizeof(name) - 1 && from[i] != '\0'; i++)
        name[i] = from[i];
    return linux_set_thread_name(thread_of(file), name) ? (long)length : -E_SRCH;
}

/* ---- stat and status ---- */

enum { PR_GET_NO_NEW_PRIVS = 39, PR_GET_THP_DISABLE = 42 };

static long process_option(int option)
{
    return linux_prctl(option, 0, 0, 0, 0);
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

/* As top shows it: fixed priorities are negative. */
static int priority_of(const struct thread_scheduling *scheduling)
{
    return scheduling->priority > 0 ? -1 - scheduling->priority : 20 + scheduling->nice;
}

/* The 52 fields of proc(5), "stat". What there is none of is 0: a terminal, a parent. */
/* Start and end of the segment that holds the entry; zeros if the program has unmapped it. */
static void find_code(uintptr_t entry, uintptr_t code[2])
{
    struct address_space *space = vm_space();
    SPACE_HOLD_AT(space, entry);
    const struct vm_segment *segment = vm_find(space, entry);

    code[0] = segment != NULL ? vm_start(segment) : 0;
    code[1] = segment != NULL ? vm_start(segment) + vm_size(segment) : 0;
}

static void add_stat(struct text *text, int id, uint64_t cpu_time, const struct thread_facts *thread)
{
    const struct program *program = program_running();
    const struct thread_scheduling *scheduling = linux_scheduling(id);
    uintptr_t code[2];
    struct memory_use use = memory_use();
    char name[THREAD_NAME_SIZE];

    find_code(program->entry, code);
    linux_thread_name(id, name);
    text_add(text, "%d (%s) %c 0 1 1 0 -1 4194304 %lu 0 0 0 %lu 0 0 0 %d %d %u 0 0 %lu %lu 18446744073709551615 ", id,
             name, thread->state, (unsigned long)vm_faults(vm_space()), (unsigned long)(cpu_time / TICK),
             priority_of(scheduling), scheduling->nice, linux_thread_count(), (unsigned long)use.size,
             (unsigned long)(use.resident / VM_PAGE_SIZE));
    text_add(text, "%lu %lu %lu 0 0 %lu %lu %lu %lu ", (unsigned long)code[0], (unsigned long)code[1],
             (unsigned long)program->stack, (unsigned long)(thread->pending | process_signals.pending.set),
             (unsigned long)thread->blocked, (unsigned long)ignored_signals(), (unsigned long)caught_signals());
    text_add(text, "0 0 0 17 %u %d %d 0 0 0 ", thread->cpu, scheduling->priority, scheduling->policy);
    text_add(text, "0 0 0 %lu %lu %lu %lu 0\n", (unsigned long)program->arguments,
             (unsigned long)program->arguments_end, (unsigned long)program->arguments_end,
             (unsigned long)program->environment_end);
}

void proc_stat(struct text *text)
{
    struct thread_facts first;

    if (linux_thread_facts(PROCESS, &first))
        add_stat(text, PROCESS, linux_cpu_time(), &first);
}

static void task_stat(struct text *text)
{
    int id = thread_of(text_subject(text));
    struct thread_facts thread;

    if (linux_thread_facts(id, &thread))
        add_stat(text, id, thread.cpu_time, &thread);
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

static void add_cpus(struct text *text, uint64_t cpus)
{
    text_add(text, "Cpus_allowed:\t");
    proc_cpu_mask(text, cpus);
    text_add(text, "Cpus_allowed_list:\t");
    proc_cpu_ranges(text, cpus);
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

static void add_signals(struct text *text, const struct thread_facts *thread)
{
    text_add(text, "SigQ:\t0/0\nSigPnd:\t%016lx\nShdPnd:\t%016lx\nSigBlk:\t%016lx\n", (unsigned long)thread->pending,
             (unsigned long)process_signals.pending.set, (unsigned long)thread->blocked);
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

static const char *name_of_state(char state)
{
    return state == 'R' ? "running" : state == 'S' ? "sleeping" : "zombie";
}

static void add_status(struct text *text, int id, const struct thread_facts *thread)
{
    char name[THREAD_NAME_SIZE];

    linux_thread_name(id, name);
    text_add(text, "Name:\t");
    add_escaped(text, name);
    text_add(text, "\nUmask:\t%04o\nState:\t%c (%s)\nTgid:\t1\nNgid:\t0\nPid:\t%d\nPPid:\t0\nTracerPid:\t0\n",
             file_mode_mask, thread->state, name_of_state(thread->state), id);
    add_users(text);
    text_add(text, "FDSize:\t%d\nGroups:\t \nNStgid:\t1\nNSpid:\t%d\nNSpgid:\t1\nNSsid:\t1\n",
             linux_descriptor_places(), id);
    add_memory_status(text);
    text_add(text, "CoreDumping:\t0\nTHP_enabled:\t%d\nThreads:\t%u\n", process_option(PR_GET_THP_DISABLE) == 0,
             linux_thread_count());
    add_signals(text, thread);
    add_capabilities(text);
    text_add(text, "NoNewPrivs:\t%ld\nSeccomp:\t0\nSeccomp_filters:\t0\n", process_option(PR_GET_NO_NEW_PRIVS));
    add_cpus(text, linux_affinity(id));
    text_add(text, "voluntary_ctxt_switches:\t%lu\nnonvoluntary_ctxt_switches:\t%lu\n", (unsigned long)thread->waits,
             (unsigned long)thread->interruptions);
}

void proc_status(struct text *text)
{
    int id = thread_of(text_subject(text));
    struct thread_facts thread;

    if (linux_thread_facts(id, &thread))
        add_status(text, id, &thread);
}

/* ---- the directories ---- */

static void nothing(struct text *text)
{
    (void)text;
}

static const struct generated_file files[] = {
    {"children", nothing, NULL, 0444}, /* there is one process */
    {"stat", task_stat, NULL, 0444},
};

static error_t fill_task(struct node *directory)
{
    struct thread_facts facts;
    error_t error;

    if (!linux_thread_facts(entry_number(directory->names), &facts))
        return E_NOENT;
    if (directory->directory.first != NULL)
        return E_SUCCESS;
    error = proc_add_common(directory);
    return error != E_SUCCESS ? error : directory_add_generated(directory, files, ARRAY_LENGTH(files));
}

/* Entries and threads are in the order of their numbers, of which new threads get higher ones. */
struct walk {
    struct node *directory;
    struct entry *entry; /* the next one */
};

static void drop(struct entry *entry)
{
    if (node_is_directory(entry->node))
        while (entry->node->directory.first != NULL)
            drop(entry->node->directory.first);
    entry_unlink(entry);
}

static void drop_below(struct walk *walk, int id)
{
    while (walk->entry != NULL && entry_number(walk->entry) < id) {
        struct entry *gone = walk->entry;

        walk->entry = gone->next;
        drop(gone);
    }
}

static error_t visit(int id, void *argument)
{
    struct walk *walk = argument;
    struct node *task;
    char name[16];

    drop_below(walk, id);
    if (walk->entry != NULL) {
        walk->entry = walk->entry->next;
        return E_SUCCESS;
    }
    task = node_create(S_IFDIR | 0555);
    if (task != NULL)
        task->directory.refresh = fill_task;
    return directory_add(walk->directory, name, (size_t)text_format(name, sizeof(name), "%d", id), task);
}

static error_t refresh(struct node *directory)
{
    struct walk walk = {directory, directory->directory.first};
    error_t error = linux_each_thread(visit, &walk);

    if (error == E_SUCCESS)
        drop_below(&walk, INT32_MAX);
    return error;
}

error_t proc_add_tasks(struct node *process)
{
    struct node *directory = node_create(S_IFDIR | 0555);

    if (directory != NULL)
        directory->directory.refresh = refresh;
    return directory_add(process, "task", 4, directory);
}
