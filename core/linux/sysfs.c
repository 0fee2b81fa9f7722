/*
 * /sys as far as C libraries and allocators read it: which CPUs there are, the one node of memory, huge pages. What is
 * not there (control groups, block devices) is absent as on a machine without it.
 */
#include "core/base/print.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/proc.h"
#include "core/linux/process.h"
#include "core/linux/tree.h"
#include "vm/frames.h"
#include "vm/mmu.h"
#include "vm/vm.h"

#define CPU "/sys/devices/system/cpu/"
#define NODE "/sys/devices/system/node/"
#define THP "/sys/kernel/mm/transparent_hugepage/"
#define HUGE_2M "/sys/kernel/mm/hugepages/hugepages-2048kB/"
#define HUGE_1G "/sys/kernel/mm/hugepages/hugepages-1048576kB/"

static void zero(struct text *text)
{
    text_add(text, "0\n");
}

static void one(struct text *text)
{
    text_add(text, "1\n");
}

static void none(struct text *text)
{
    text_add(text, "\n");
}

static void kernel_max(struct text *text)
{
    text_add(text, "%u\n", cpu_present() - 1);
}

static void cpu_map(struct text *text)
{
    proc_cpu_mask(text, linux_cpus());
}

/* ---- memory ---- */

static void node_meminfo(struct text *text)
{
    struct frame_stats frames = frames_stats();
    unsigned long total = frames.total * VM_PAGE_SIZE >> 10, free = frames.free * VM_PAGE_SIZE >> 10;

    text_add(text, "Node 0 MemTotal:       %8lu kB\nNode 0 MemFree:        %8lu kB\nNode 0 MemUsed:        %8lu kB\n",
             total, free, total - free);
    text_add(text, "Node 0 HugePages_Total: %5lu\nNode 0 HugePages_Free:  %5lu\nNode 0 HugePages_Surp:      0\n",
             (unsigned long)frames.free_2m, (unsigned long)frames.free_2m);
}

static void distance(struct text *text)
{
    text_add(text, "10\n");
}

/* The image's page policy: with pages larger than 4 KiB all memory gets them where it can. */
static void thp_enabled(struct text *text)
{
    text_add(text, vm_page_policy() > PAGE_4K ? "[always] madvise never\n" : "always madvise [never]\n");
}

/* A fault takes a large frame if there is one, and never makes one. */
static void thp_defrag(struct text *text)
{
    text_add(text, "always defer defer+madvise madvise [never]\n");
}

static void thp_shmem(struct text *text)
{
    text_add(text, "always within_size advise [never] deny force\n");
}

static void thp_size(struct text *text)
{
    text_add(text, "%lu\n", (unsigned long)page_bytes(PAGE_2M));
}

/* Huge pages are not set apart: as many as could be had now. */
static void free_2m(struct text *text)
{
    text_add(text, "%lu\n", (unsigned long)frames_stats().free_2m);
}

static void free_1g(struct text *text)
{
    text_add(text, "%lu\n", mmu_largest_page() < PAGE_1G ? 0ul : (unsigned long)frames_stats().free_1g);
}

static const struct generated_file files[] = {
    {CPU "kernel_max", kernel_max, NULL, 0444},
    {CPU "offline", none, NULL, 0444},
    {CPU "online", proc_cpu_list, NULL, 0444},
    {CPU "possible", proc_cpu_list, NULL, 0444},
    {CPU "present", proc_cpu_list, NULL, 0444},
    {NODE "has_cpu", zero, NULL, 0444},
    {NODE "has_memory", zero, NULL, 0444},
    {NODE "node0/cpulist", proc_cpu_list, NULL, 0444},
    {NODE "node0/cpumap", cpu_map, NULL, 0444},
    {NODE "node0/distance", distance, NULL, 0444},
    {NODE "node0/meminfo", node_meminfo, NULL, 0444},
    {NODE "online", zero, NULL, 0444},
    {NODE "possible", zero, NULL, 0444},
    {THP "defrag", thp_defrag, NULL, 0444},
    {THP "enabled", thp_enabled, NULL, 0444},
    {THP "hpage_pmd_size", thp_size, NULL, 0444},
    {THP "shmem_enabled", thp_shmem, NULL, 0444},
    {THP "use_zero_page", zero, NULL, 0444},
    {HUGE_2M "free_hugepages", free_2m, NULL, 0444},
    {HUGE_2M "nr_hugepages", free_2m, NULL, 0444},
    {HUGE_2M "nr_overcommit_hugepages", zero, NULL, 0444},
    {HUGE_2M "resv_hugepages", zero, NULL, 0444},
    {HUGE_2M "surplus_hugepages", zero, NULL, 0444},
    {HUGE_1G "free_hugepages", free_1g, NULL, 0444},
    {HUGE_1G "nr_hugepages", free_1g, NULL, 0444},
    {HUGE_1G "nr_overcommit_hugepages", zero, NULL, 0444},
    {HUGE_1G "resv_hugepages", zero, NULL, 0444},
    {HUGE_1G "surplus_hugepages", zero, NULL, 0444},
};

/* ---- a directory for each CPU ---- */

static error_t add_cpu(unsigned number)
{
    char path[sizeof(NODE) + 16], target[32];
    error_t error;

    text_format(path, sizeof(path), CPU "cpu%u", number);
    error = tree_add_directory(path, 0755);
    if (error != E_SUCCESS)
        return error;
    text_format(path, sizeof(path), NODE "node0/cpu%u", number);
    text_format(target, sizeof(target), "../../cpu/cpu%u", number);
    return tree_add_link(path, target, NULL);
}

/* There is one CPU so far (core/cpu.h). */
static const struct generated_file first_cpu[] = {
    {CPU "cpu0/topology/core_id", zero, NULL, 0444},
    {CPU "cpu0/topology/core_siblings", cpu_map, NULL, 0444},
    {CPU "cpu0/topology/core_siblings_list", proc_cpu_list, NULL, 0444},
    {CPU "cpu0/topology/physical_package_id", zero, NULL, 0444},
    {CPU "cpu0/topology/thread_siblings", one, NULL, 0444},
    {CPU "cpu0/topology/thread_siblings_list", zero, NULL, 0444},
};

static error_t fill(struct node *directory)
{
    error_t error;

    directory->directory.refresh = NULL;
    error = proc_add(files, ARRAY_LENGTH(files));
    for (unsigned i = 0; i < cpu_present() && error == E_SUCCESS; i++)
        error = add_cpu(i);
    return error != E_SUCCESS ? error : proc_add(first_cpu, ARRAY_LENGTH(first_cpu));
}

void linux_sysfs_init(void)
{
    struct node *directory;

    if (tree_enter("/sys", 0555, &directory) == E_SUCCESS)
        directory->directory.refresh = fill;
}
