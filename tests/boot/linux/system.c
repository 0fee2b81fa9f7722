/*
 * /dev, /proc and /sys, as far as every Linux has them alike: what is there, what kind it is, that the numbers in it
 * agree with what the program did. Left out: what describes the machine, and the errors of changing /proc and /sys,
 * which have file systems of their own on Linux.
 */
#include "tests/boot/linux/linux.h"

#include <dirent.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

static void devices(void)
{
    static const char *const names[] = {"null", "zero", "full", "random", "urandom"};
    char bytes[16], path[32];
    struct stat status;
    int fd;

    for (size_t i = 0; i < LENGTH(names); i++) {
        snprintf(path, sizeof path, "/dev/%s", names[i]);
        show(sys(stat, path, &status), "%s", path);
        printf("kind %o, device %u:%u\n", status.st_mode & S_IFMT, major(status.st_rdev), minor(status.st_rdev));
        fd = open(path, O_RDWR);
        memset(bytes, 'x', sizeof bytes);
        show(sys(read, fd, bytes, 16), "read");
        value(i > 2 || bytes[15] == (i == 0 ? 'x' : 0));
        show(sys(write, fd, bytes, 16), "write");
        show(sys(read, fd, WILD, 16), "read to nowhere");
        show(sys(read, fd, bytes, 0), "read nothing");
        show(sys(lseek, fd, 1000, SEEK_SET) >= 0, "lseek");
        show(sys(ftruncate, fd, 5), "ftruncate");
        show(sys(pread64, fd, bytes, 4, 100), "pread");
        close(fd);
    }
    fd = open("/dev/null", O_WRONLY);
    show(sys(write, fd, WILD, 100), "write from nowhere to null");
    show(sys(write, fd, bytes, 0), "write nothing");
    show(sys(read, fd, bytes, 1), "read what is open for writing");
    close(fd);
    fd = open("/dev/zero", O_RDWR);
    char *zero = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

    value(zero != MAP_FAILED && zero[PAGE] == 0);
    close(fd);
    try(open, "/dev/null/x", O_RDONLY);
    try(open, "/dev/missing", O_RDONLY);
    try(open, "/dev/null", O_RDONLY | O_DIRECTORY);
    show(done(sys(open, "/dev/null", O_RDWR | O_CREAT | O_TRUNC, 0644)), "null, created and truncated");
    try(access, "/dev/null", 6);
    try(chdir, "/dev/null");
}

/* The value behind a name in a file of "name: value" lines, or -1. */
static long field(const char *path, const char *name)
{
    FILE *file = fopen(path, "r");
    char line[4096];
    long number = -1;

    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, name, strlen(name)) && line[strlen(name)] == ':') {
            number = strtol(line + strlen(name) + 1, NULL, 10);
            break;
        }
    if (file)
        fclose(file);
    return number;
}

static void process_files(void)
{
    char text_of[4096] = "", target[4096] = "", part[16] = "";
    struct stat status, other;
    long length, size = 0, resident = 0;
    FILE *file;
    int fd;

    show(sys(readlink, "/proc/self/exe", target, sizeof target - 1) > 0, "exe");
    show(sys(stat, "/proc/self/exe", &status), "what it names");
    show(sys(stat, target, &other), "by its name");
    value(status.st_ino == other.st_ino && status.st_size == other.st_size);
    fd = open("/proc/self/cmdline", O_RDONLY);
    length = sys(read, fd, text_of, sizeof text_of);
    value(length > 0 && text_of[length - 1] == '\0');
    show(sys(read, fd, text_of, sizeof text_of), "cmdline, its end");
    show(sys(lseek, fd, 0, SEEK_SET), "back");
    show(sys(read, fd, text_of, sizeof text_of) == length, "again");
    show(sys(fstat, fd, &status), "fstat");
    printf("%o, %ld bytes\n", status.st_mode, (long)status.st_size);
    show(sys(write, fd, "x", 1), "write");
    close(fd);
    try(open, "/proc/self/cmdline", O_WRONLY | O_DIRECTORY);
    value(field("/proc/self/status", "Pid") == getpid());
    value(field("/proc/self/status", "Tgid") == getpid());
    value(field("/proc/self/status", "Threads"));
    value(field("/proc/self/status", "VmRSS") > 0);
    value(field("/proc/self/status", "VmSize") >= field("/proc/self/status", "VmRSS"));
    value(field("/proc/meminfo", "MemTotal") >= field("/proc/meminfo", "MemFree"));
    value(field("/proc/meminfo", "MemAvailable") > 0);
    value(field("/proc/meminfo", "Hugepagesize"));
    file = fopen("/proc/self/statm", "r");
    value(file && fscanf(file, "%ld %ld", &size, &resident) == 2 && size >= resident && resident > 0);
    if (file)
        fclose(file);
    file = fopen("/proc/self/stat", "r");
    int pid = 0;
    char state = 0;

    value(file && fscanf(file, "%d %*s %c", &pid, &state) == 2 && pid == getpid());
    printf("state %c\n", state);
    if (file)
        fclose(file);
    snprintf(target, sizeof target, "/proc/%d/maps", getpid());
    show(sys(access, target, 4), "maps by number");
    try(access, "/proc/999999/maps", 4);
    show(done(sys(open, "/proc/self", O_RDONLY | O_DIRECTORY)), "the folder");
    try(open, "/proc/self/missing", O_RDONLY);
    try(open, "/proc/new", O_RDWR | O_CREAT, 0644);
    try(unlink, "/proc/self/maps");
    try(mkdir, "/proc/new", 0755);
    fd = open("/proc/self/maps", O_RDONLY);
    long total = 0, pieces = 0;

    while ((length = sys(read, fd, part, 7)) > 0)
        total += length, pieces += length < 7;
    value(total > 100);
    show(sys(read, fd, WILD, 7), "maps, its end to nowhere");
    close(fd);
}

static void maps_and_smaps(void)
{
    size_t count = 64;
    char *at = mmap(NULL, count * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), line[512];
    unsigned long start, end;
    long size = -1, rss = -1;
    FILE *file;
    char flags[8];
    bool inside = false;

    madvise(at, count * PAGE, MADV_NOHUGEPAGE);
    mprotect(at - 0, PAGE, PROT_NONE);
    for (size_t i = 1; i < 11; i++)
        at[i * PAGE] = 1;
    file = fopen("/proc/self/smaps", "r");
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "%lx-%lx %7s", &start, &end, flags) == 3)
            inside = (char *)start <= at + PAGE && (char *)end > at + PAGE;
        if (inside && size < 0 && !strncmp(line, "Size:", 5))
            size = atol(line + 5);
        if (inside && rss < 0 && !strncmp(line, "Rss:", 4))
            rss = atol(line + 4);
    }
    value(file != NULL);
    if (file)
        fclose(file);
    value(size >= 252);
    value(rss >= 40 && rss < 252);
    munmap(at, count * PAGE);
    file = fopen("/proc/self/maps", "r");
    int stacks = 0, text = 0, ordered = 1;
    unsigned long before = 0;

    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "%lx-%lx %7s", &start, &end, flags) != 3)
            ordered = 0;
        ordered &= start >= before && end > start;
        before = end;
        stacks += strstr(line, "[stack]") != NULL;
        text += (char *)start <= (char *)maps_and_smaps && (char *)end > (char *)maps_and_smaps && flags[2] == 'x';
    }
    printf("stack %d, text %d, in order %d\n", stacks, text, ordered);
    if (file)
        fclose(file);
}

static void kernel_files(void)
{
    char bytes[256] = "";
    int fd, cpus = 0, processors = 0;
    FILE *file;

    fd = open("/sys/devices/system/cpu/online", O_RDONLY);
    show(sys(read, fd, bytes, sizeof bytes - 1) >= 2, "online CPUs");
    value(bytes[0]);
    show(sys(pread64, fd, bytes, 100, 1000), "behind the end");
    close(fd);
    file = fopen("/proc/cpuinfo", "r");
    while (file && fgets(bytes, sizeof bytes, file))
        processors += !strncmp(bytes, "processor\t:", 11);
    if (file)
        fclose(file);
    file = fopen("/proc/stat", "r");
    while (file && fgets(bytes, sizeof bytes, file))
        cpus += !strncmp(bytes, "cpu", 3) && bytes[3] != ' ';
    if (file)
        fclose(file);
    value(cpus == processors && cpus > 0);
    show(sys(access, "/sys/kernel/mm/transparent_hugepage/enabled", 4), "transparent huge pages");
    show(sys(access, "/sys/kernel/mm/hugepages", 4), "huge pages");
    show(sys(access, "/proc/sys/vm/overcommit_memory", 4), "overcommit");
    try(rmdir, "/proc");
    try(open, "/proc/cpuinfo", O_RDONLY | O_DIRECTORY);
    show(done(sys(open, "/proc/version", O_RDONLY)), "version");
    show(done(sys(open, "/proc/uptime", O_RDONLY)), "uptime");
    show(done(sys(open, "/proc/loadavg", O_RDONLY)), "loadavg");
    show(done(sys(open, "/proc/filesystems", O_RDONLY)), "filesystems");
    show(done(sys(open, "/proc/mounts", O_RDONLY)), "mounts");
}

static void descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    struct dirent *entry;
    int found = 0, fd = open("file", O_RDWR | O_CREAT, 0644);
    char bytes[64] = "";

    dup2(fd, 77);
    while (folder && (entry = readdir(folder)))
        found += !strcmp(entry->d_name, "77");
    value(found);
    if (folder)
        closedir(folder);
    close(77), close(fd);
    try(readlink, "/proc/self/fd/77", bytes, 64);
}

int main(void)
{
    fresh_folder();
    devices();
    process_files();
    maps_and_smaps();
    kernel_files();
    descriptors();
    remove_folder();
    return 0;
}
