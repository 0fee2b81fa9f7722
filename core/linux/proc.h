/*
 * /proc and /sys: what of them C libraries, allocators and the usual programs read. Each file is a function that makes
 * its text, in Linux's formats (proc(5); Documentation/filesystems/proc.rst, Documentation/ABI). The trees are made
 * when somebody first looks into them.
 */
#ifndef CORE_LINUX_PROC_H
#define CORE_LINUX_PROC_H

#include "core/linux/text.h"

/* INIT of the part files. */
void linux_proc_init(void);
void linux_sysfs_init(void);

/* proc_memory.c: all bytes. */
struct memory_use {
    uint64_t size;
    uint64_t text, data, stack; /* parts of it: code, what can be written to, the initial stack */
    uint64_t resident, anonymous, file, shared_memory;      /* the first is the sum of the rest */
    uint64_t shared_writable;                               /* file and shared memory that can be written to */
    uint64_t locked, lazily_freed;                          /* the latter: MADV_FREE, and not written to since */
    uint64_t by_page[PAGE_SIZES];                           /* the resident ones */
    uint64_t faults[PAGE_SIZES], faults_refused, fallbacks; /* numbers; as in struct vm_statistics */
};
struct memory_use memory_use(void);
uint64_t memory_page_tables(void);

void proc_maps(struct text *);
void proc_smaps(struct text *);
void proc_smaps_rollup(struct text *);
void proc_statm(struct text *);

/* proc_process.c */
error_t proc_process_add(void);
/* What the process and each of its threads have in their directories, which are filled. */
error_t proc_add_common(struct node *directory);

/* proc_task.c: of the thread whose directory the file is in, in that of the process the first one. */
void proc_comm(struct text *);
long proc_set_comm(const struct node *, const char *from, size_t length);
void proc_status(struct text *);
/* Of the process. */
void proc_stat(struct text *);
/* The directory "task". */
error_t proc_add_tasks(struct node *process);

/* proc_system.c */
error_t proc_system_add(void);
/* Of CPUs, a bit for each, their numbers ("0-3,5"), and the mask in hexadecimal digits. A line each. */
void proc_cpu_ranges(struct text *, uint64_t cpus);
void proc_cpu_mask(struct text *, uint64_t cpus);
/* The numbers of all. */
void proc_cpu_list(struct text *);

/* Adds all of a table; E_NOMEM. */
error_t proc_add(const struct generated_file *, size_t count);

#endif
