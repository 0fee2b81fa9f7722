/* Shows the packed files: names, sizes and contents, and what cannot be done with them. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static void list(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;

    if (!directory) {
        printf("%s: %s\n", path, strerror(errno));
        return;
    }
    printf("%s:", path);
    while ((entry = readdir(directory)))
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            printf(" %s%s", entry->d_name, entry->d_type == DT_DIR ? "/" : "");
    printf("\n");
    closedir(directory);
}

static void show(const char *path)
{
    FILE *file = fopen(path, "r");
    struct stat status;
    char line[100];

    if (!file) {
        printf("%s: %s\n", path, strerror(errno));
        return;
    }
    fstat(fileno(file), &status);
    printf("%s: %ld bytes\n", path, (long)status.st_size);
    while (fgets(line, sizeof(line), file))
        printf("  %s", line);
    if (ferror(file))
        printf("  %s\n", strerror(errno));
    fclose(file);
}

static void result(const char *what, long value)
{
    printf("%s: %ld %s\n", what, value, value == -1 ? strerror(errno) : "");
}

/* Two pages of which the second is not there. */
static char *half_mapped(size_t page)
{
    char *memory = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    munmap(memory + page, page);
    return memory;
}

static void check_reads(int fd)
{
    const size_t page = 4096;
    char *memory = half_mapped(page), bytes[8] = "";
    struct iovec parts[] = {{bytes, 3}, {bytes, (size_t)-1}};

    result("into 5 bytes that are there", read(fd, memory + page - 5, 18));
    result("the offset", lseek(fd, 0, SEEK_CUR));
    result("into 11 bytes from 3 on", pread(fd, memory + page - 11, 15, 3));
    printf("they are: %.11s\n", memory + page - 11);
    result("into none", read(fd, memory + page, 5));
    result("a negative part", syscall(SYS_readv, fd, parts, 2));
    result("too many parts", syscall(SYS_readv, fd, parts, 1025));
    result("nothing was read", lseek(fd, 0, SEEK_CUR) == 5 && bytes[0] == 0);
    result("no part to a file for reading", syscall(SYS_writev, fd, parts, 0));
    result("seek to the last place", lseek(fd, INT64_MAX, SEEK_SET));
    result("seek beyond all", lseek(fd, INT64_MAX, SEEK_CUR));
}

static void check_maps(int fd)
{
    char *private = mmap(NULL, 18, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    char *shared = mmap(NULL, 18, PROT_READ, MAP_SHARED, fd, 0);

    result("DONTNEED", madvise(private, 4096, MADV_DONTNEED));
    printf("mapped: %.17s\n", private);
    result("write shared", mprotect(shared, 4096, PROT_READ | PROT_WRITE));
    result("read shared", mprotect(shared, 4096, PROT_READ));
    result("write private", mprotect(private, 4096, PROT_READ | PROT_WRITE));
    printf("mapped: %.17s\n", shared);
}

static void check_path_only(void)
{
    int file = open("/data/hello.txt", O_PATH | O_RDWR), directory = open("/data", O_PATH | O_WRONLY);
    char buffer[64];

    result("path only", file >= 0 && directory >= 0);
    result("its flags", fcntl(file, F_GETFL) == O_PATH);
    result("its entries", syscall(SYS_getdents64, directory, buffer, sizeof(buffer)));
    result("its bytes", read(file, buffer, 1));
}

int main(void)
{
    int fd = open("/data/hello.txt", O_RDONLY);

    list("/");
    list("/data");
    list("data/deep/er");
    list("/absent");
    show("/data/hello.txt");
    show("etc/motd");
    show("/data/../data/./deep/er/bottom.txt");
    show("/data/empty");
    show("/data/absent");
    show("/data/hello.txt/below");
    printf("write: %s\n", open("/data/hello.txt", O_WRONLY) < 0 ? strerror(errno) : "fine");
    printf("create: %s\n", open("/new", O_CREAT | O_WRONLY, 0644) < 0 ? strerror(errno) : "fine");
    check_reads(fd);
    check_maps(fd);
    check_path_only();
    return 0;
}
