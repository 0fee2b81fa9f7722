/*
 * Reads what C libraries, allocators and programs read of /proc and /sys. Without arguments: facts that hold on any
 * Linux, so that it prints the same there. "show PATH...": the files themselves.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

static char buffer[1 << 18];

#define FACT(condition) (printf("%s: %s\n", #condition, (condition) ? "yes" : "no"), fflush(stdout))

/* The whole file, terminated; its length or -1. */
static long slurp(const char *path)
{
    int fd = open(path, O_RDONLY);
    long length = 0, count = 0;

    if (fd < 0)
        return -1;
    while (length < (long)sizeof(buffer) - 1 && (count = read(fd, buffer + length, sizeof(buffer) - 1 - length)) > 0)
        length += count;
    close(fd);
    buffer[length] = '\0';
    return count < 0 ? -1 : length;
}

static int has(const char *path, const char *text)
{
    return slurp(path) >= 0 && strstr(buffer, text) != NULL;
}

/* The number behind a name in a file of lines "Name: number". */
static long number(const char *path, const char *name)
{
    const char *at = slurp(path) < 0 ? NULL : strstr(buffer, name);

    return at == NULL ? -1 : strtol(at + strlen(name), NULL, 10);
}

static long lines_with(const char *path, const char *start)
{
    long lines = 0;

    if (slurp(path) < 0)
        return -1;
    for (const char *at = buffer; at != NULL; at = strchr(at, '\n')) {
        at += *at == '\n';
        lines += strncmp(at, start, strlen(start)) == 0;
    }
    return lines;
}

struct mapping {
    uintptr_t start, end;
    char permissions[5], name[256];
    unsigned long offset, inode;
};

/* The mapping that holds the address, by /proc/self/maps. */
static int find(const void *address, struct mapping *found)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    int count = 0;

    while (maps != NULL && fgets(line, sizeof(line), maps)) {
        struct mapping one = {.name = ""};
        unsigned major, minor;

        if (sscanf(line, "%lx-%lx %4s %lx %x:%x %lu %255[^\n]", &one.start, &one.end, one.permissions, &one.offset,
                   &major, &minor, &one.inode, one.name) < 7)
            puts("a line of another form");
        if ((uintptr_t)address >= one.start && (uintptr_t)address < one.end) {
            *found = one;
            count++;
        }
    }
    if (maps != NULL)
        fclose(maps);
    return count == 1;
}

static void check_maps(void)
{
    struct mapping one = {0};
    int local, fd = open("/tmp/quire-proc", O_RDWR | O_CREAT | O_TRUNC, 0600);
    char *anonymous = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *file;
    long before = number("/proc/self/status", "VmRSS:");

    puts("-- maps");
    FACT(find(&local, &one) && strcmp(one.permissions, "rw-p") == 0 && strcmp(one.name, "[stack]") == 0);
    FACT(find((void *)(uintptr_t)slurp, &one) && strcmp(one.permissions, "r-xp") == 0);
    FACT(find(buffer, &one) && strcmp(one.permissions, "rw-p") == 0);
    FACT(find(anonymous, &one) && one.offset == 0 && one.inode == 0);
    mprotect(anonymous + 4096, 4096, PROT_NONE);
    FACT(find(anonymous + 4096, &one) && strcmp(one.permissions, "---p") == 0 && one.end - one.start == 4096);
    mprotect(anonymous + 4096, 4096, PROT_READ | PROT_WRITE);
    memset(anonymous, 1, 1 << 20);
    FACT(number("/proc/self/status", "VmRSS:") >= before + 1000);
    FACT(number("/proc/self/smaps", "Rss:") >= 0);
    FACT(has("/proc/self/smaps", "VmFlags: rd"));
    FACT(number("/proc/self/smaps_rollup", "Private_Dirty:") >= 1024);
    FACT(madvise(anonymous, 1 << 20, MADV_FREE) == 0);
    FACT(number("/proc/self/smaps_rollup", "LazyFree:") >= 512); /* Linux gives up pages in batches */
    memset(anonymous, 1, 1 << 20);
    FACT(number("/proc/self/smaps_rollup", "LazyFree:") == 0);
    FACT(ftruncate(fd, 8192) == 0);
    file = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 4096);
    FACT(find(file, &one) && strcmp(one.permissions, "r--s") == 0 && one.offset == 4096 && one.inode != 0 &&
         strcmp(one.name, "/tmp/quire-proc") == 0);
    unlink("/tmp/quire-proc");
    FACT(find(file, &one) && strcmp(one.name, "/tmp/quire-proc (deleted)") == 0);
    close(fd);
}

static void check_process(int argc, char **argv)
{
    unsigned long size, resident, shared, text, library, data, dirty;
    char name[64];
    struct rlimit limit;
    int pid, parent, fd;
    char state;

    puts("-- process");
    FACT(slurp("/proc/self/statm") > 0 &&
         sscanf(buffer, "%lu %lu %lu %lu %lu %lu %lu", &size, &resident, &shared, &text, &library, &data, &dirty) ==
             7 &&
         resident > 0 && size >= resident);
    FACT(slurp("/proc/self/stat") > 0 && sscanf(buffer, "%d (%63[^)]) %c %d", &pid, name, &state, &parent) == 4 &&
         pid == getpid() && state == 'R' && parent == getppid());
    FACT(number("/proc/self/status", "Pid:\t") == getpid());
    FACT(number("/proc/self/status", "Threads:") == 1);
    FACT(slurp("/proc/self/cmdline") > 0 && strcmp(buffer, argv[0]) == 0);
    FACT(argc == 1 || strcmp(buffer + strlen(argv[0]) + 1, argv[1]) == 0);
    FACT(slurp("/proc/self/comm") > 0 && buffer[strlen(buffer) - 1] == '\n');
    FACT(slurp("/proc/self/auxv") > 0 && slurp("/proc/self/auxv") % 16 == 0);
    FACT(getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
         number("/proc/self/limits", "Max open files") == (long)limit.rlim_cur);
    FACT(prctl(PR_SET_NAME, "a name") == 0 && has("/proc/self/comm", "a name\n"));
    FACT(has("/proc/self/status", "Name:\ta name\n") && strstr(buffer, "\nCapPrm:\t000001ff"));
    FACT((fd = open("/proc/self/comm", O_WRONLY)) >= 0 && write(fd, "other\n", 6) == 6);
    FACT(prctl(PR_GET_NAME, name) == 0 && strcmp(name, "other\n") == 0);
    FACT(has("/proc/self/status", "Name:\tother\\n\nUmask:"));
    FACT(has("/proc/self/mounts", " /proc "));
    FACT(has("/proc/self/mountinfo", " / /proc "));
    FACT(number("/proc/self/io", "rchar: ") > 0);
    FACT(number("/proc/self/oom_score_adj", "") == 0);
    FACT(slurp("/proc/self/absent") == -1 && errno == ENOENT);
    FACT(open("/proc/self/absent", O_RDWR | O_CREAT, 0600) == -1 && errno == ENOENT);
    FACT(unlink("/proc/self/maps") == -1 && errno == EPERM);
    FACT(mkdir("/proc/new", 0700) == -1 && errno == ENOENT);
}

static void check_links(void)
{
    char link[512], other[512];
    struct stat one, two;
    int fd = open("/tmp", O_RDONLY | O_DIRECTORY), ends[2], entries = 0;
    DIR *directory = opendir("/proc/self/fd");

    puts("-- links");
    FACT(readlink("/proc/self/cwd", link, sizeof(link)) > 0);
    memset(link, 0, sizeof(link));
    FACT(readlink("/proc/self/cwd", link, sizeof(link)) > 0 && strcmp(getcwd(other, sizeof(other)), link) == 0);
    FACT(readlink("/proc/self/root", link, sizeof(link)) == 1 && link[0] == '/');
    FACT(readlink("/proc/self/exe", link, sizeof(link)) > 1 && link[0] == '/');
    memset(link, 0, sizeof(link));
    FACT(readlink("/proc/self", link, sizeof(link)) > 0 && atoi(link) == getpid());
    snprintf(other, sizeof(other), "/proc/self/fd/%d", fd);
    memset(link, 0, sizeof(link));
    FACT(readlink(other, link, sizeof(link)) == 4 && strcmp(link, "/tmp") == 0);
    FACT(stat(other, &one) == 0 && fstat(fd, &two) == 0 && one.st_ino == two.st_ino);
    FACT(lstat(other, &one) == 0 && S_ISLNK(one.st_mode));
    FACT(pipe(ends) == 0);
    fstat(ends[0], &one);
    snprintf(other, sizeof(other), "/proc/self/fd/%d", ends[0]);
    memset(link, 0, sizeof(link));
    readlink(other, link, sizeof(link));
    snprintf(other, sizeof(other), "pipe:[%lu]", (unsigned long)one.st_ino);
    FACT(strcmp(link, other) == 0);
    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;)
        entries += entry->d_name[0] != '.';
    FACT(entries >= 7);
    FACT(stat("/proc/self/task", &one) == 0 && S_ISDIR(one.st_mode));
    FACT(access("/proc/1/status", F_OK) == 0);
    FACT(access("/dev/fd/0", F_OK) == 0);
}

static void check_system(void)
{
    struct sysinfo info;
    struct utsname name;

    puts("-- system");
    sysinfo(&info);
    uname(&name);
    FACT(number("/proc/meminfo", "MemTotal:") == (long)(info.totalram * info.mem_unit / 1024));
    FACT(number("/proc/meminfo", "MemFree:") > 0);
    FACT(number("/proc/meminfo", "MemAvailable:") > 0);
    FACT(number("/proc/meminfo", "Hugepagesize:") == 2048);
    FACT(has("/proc/cpuinfo", "flags\t\t: fpu ") && strstr(buffer, " sse2") && strstr(buffer, " lm"));
    FACT(has("/proc/cpuinfo", "processor\t: 0\nvendor_id\t: "));
    FACT(has("/proc/stat", "\nbtime "));
    FACT(has("/proc/stat", "cpu0 "));
    FACT(lines_with("/proc/stat", "cpu") == 1 + sysconf(_SC_NPROCESSORS_ONLN));
    FACT(lines_with("/proc/cpuinfo", "processor\t: ") == sysconf(_SC_NPROCESSORS_ONLN));
    FACT(number("/proc/stat", "procs_running ") >= 1);
    FACT(number("/proc/stat", "ctxt ") >= 0);
    FACT(has("/proc/interrupts", " CPU0"));
    FACT(slurp("/proc/uptime") > 8);
    FACT(slurp("/proc/loadavg") > 8);
    FACT(has("/proc/version", "Linux version "));
    FACT(slurp("/proc/sys/kernel/osrelease") > 0 && strncmp(buffer, name.release, strlen(name.release)) == 0);
    FACT(has("/proc/sys/kernel/ostype", "Linux\n"));
    FACT(slurp("/proc/sys/kernel/random/uuid") == 37 && buffer[14] == '4');
    FACT(slurp("/proc/sys/kernel/random/boot_id") == 37);
    FACT(number("/proc/sys/kernel/pid_max", "") >= 32768);
    FACT(number("/proc/sys/vm/overcommit_memory", "") >= 0);
    FACT(number("/proc/sys/vm/max_map_count", "") >= 65530);
    FACT(number("/proc/sys/vm/mmap_min_addr", "") >= 4096);
    FACT(number("/proc/sys/fs/pipe-max-size", "") == 1048576);
    FACT(has("/proc/filesystems", "nodev\tproc\n"));
    FACT(has("/proc/mounts", " /proc proc "));
    FACT(has("/sys/devices/system/cpu/online", "0"));
    FACT(has("/sys/devices/system/cpu/possible", "0"));
    FACT(has("/sys/kernel/mm/transparent_hugepage/enabled", "["));
    FACT(number("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", "") == 2097152);
    FACT(number("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "") >= 0);
    FACT(has("/sys/devices/system/node/online", "0\n"));
    FACT(access("/sys/devices/system/cpu/cpu0", F_OK) == 0);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "show") == 0) {
        static char *all[] = {"/proc/self/maps",   "/proc/self/smaps_rollup", "/proc/self/status", "/proc/self/stat",
                              "/proc/self/limits", "/proc/meminfo",           "/proc/cpuinfo",     "/proc/stat",
                              "/proc/uptime",      "/proc/self/mounts",       "/proc/self/smaps",  "/proc/version"};

        for (size_t i = 0; i < (argc > 2 ? (size_t)argc - 2 : sizeof(all) / sizeof(*all)); i++) {
            const char *path = argc > 2 ? argv[2 + i] : all[i];

            printf("== %s: %ld\n%s\n", path, slurp(path), buffer);
        }
        return 0;
    }
    check_maps();
    check_process(argc, argv);
    check_links();
    check_system();
    return 0;
}
