/*
 * Contents of files: open flags, read and write in all forms, seeking, sizes, times, copying between descriptors. Left
 * out because file systems and kernels differ: O_DIRECT, SEEK_DATA inside a file, st_blocks, st_blksize, FALLOC_FL_*
 * that only some have, RWF_* other than 0, what exactly is copied before an EFAULT in the middle of a block device's
 * page.
 */
#include "tests/boot/linux/linux.h"

#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <time.h>

#ifndef O_TMPFILE
#define O_TMPFILE 020200000
#endif

static char *edge; /* an address with PAGE bytes in front of it and nothing behind */

static void make_edge(void)
{
    char *at = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    munmap(at + PAGE, PAGE);
    edge = at + PAGE;
}

static void show_size(const char *what, int fd)
{
    struct stat status;

    if (fstat(fd, &status))
        show(-errno, "%s", what);
    else
        printf("%s: size %ld, offset %ld\n", what, (long)status.st_size, (long)lseek(fd, 0, SEEK_CUR));
}

static void open_flags(void)
{
    int fd;
    char byte;

    try(open, "missing", O_RDONLY);
    try(open, "", O_RDONLY);
    try(open, NULL, O_RDONLY);
    try(open, WILD, O_RDONLY);
    try(open, NOT_CANONICAL, O_RDONLY);
    try(open, KERNEL_HALF, O_RDONLY);
    try(open, "file", O_RDONLY | O_DIRECTORY);
    try(open, "file", O_CREAT | O_EXCL | O_RDWR, 0644);
    try(open, "file/", O_RDONLY);
    try(open, "file/", O_RDWR | O_CREAT, 0644);
    try(open, "file/below", O_RDONLY);
    try(open, "new/", O_RDWR | O_CREAT, 0644);
    try(open, ".", O_WRONLY);
    try(open, ".", O_RDWR);
    try(open, ".", O_RDONLY | O_CREAT, 0644);
    try(open, ".", O_RDONLY | O_TRUNC);
    try(open, "folder", O_RDWR | O_CREAT | O_EXCL, 0644);
    try(open, "missing/file", O_RDWR | O_CREAT, 0644);
    try(openat, -1, "file", O_RDONLY);
    try(openat, 9999, "file", O_RDONLY);
    try(openat, AT_FDCWD, "", O_RDONLY);
    fd = (int)sys(open, "new", O_WRONLY | O_CREAT | O_EXCL, 0644);
    show(done(fd), "new");
    show(sys(write, fd, "abcdef", 6), "write");
    show(sys(read, fd, &byte, 1), "read what is open for writing");
    show(sys(pread64, fd, &byte, 1, 0), "pread what is open for writing");
    close(fd);
    fd = (int)sys(open, "new", O_RDONLY);
    show(sys(write, fd, "x", 1), "write what is open for reading");
    show(sys(pwrite64, fd, "x", 1, 0), "pwrite what is open for reading");
    show(sys(ftruncate, fd, 0), "truncate what is open for reading");
    close(fd);
    fd = (int)sys(open, "new", O_WRONLY | O_APPEND);
    show_size("append", fd);
    show(sys(write, fd, "gh", 2), "append");
    show_size("append", fd);
    show(sys(lseek, fd, 0, SEEK_SET), "to the start");
    show(sys(write, fd, "ij", 2), "append");
    show_size("append", fd);
    show(sys(pwrite64, fd, "kl", 2, 0), "pwrite appends");
    show_size("append", fd);
    close(fd);
    fd = (int)sys(open, "new", O_RDWR | O_TRUNC);
    show_size("truncated", fd);
    close(fd);
    fd = (int)sys(creat, "made", 0600);
    show_size("creat", fd);
    show(sys(fcntl, fd, F_GETFL) & (O_ACCMODE | O_APPEND), "flags");
    close(fd);
    fd = (int)sys(open, "file", O_PATH);
    show(done(fd), "path only");
    show(sys(read, fd, &byte, 1), "read");
    show(sys(write, fd, &byte, 1), "write");
    show(sys(lseek, fd, 0, SEEK_SET), "lseek");
    show(sys(ftruncate, fd, 0), "ftruncate");
    show(sys(fchmod, fd, 0600), "fchmod");
    show(sys(ioctl, fd, 0x541b, &byte), "ioctl");
    show(sys(fcntl, fd, F_GETFL) & O_PATH ? 1 : 0, "fcntl");
    show(sys(fsync, fd), "fsync");
    close(fd);
    try(unlink, "new");
    try(unlink, "made");
}

static void modes(void)
{
    static const int given[] = {0777, 0640, 04755, 02000, 01777, 0, 0177777};
    struct stat status;

    for (size_t i = 0; i < LENGTH(given); i++) {
        close(open("mode", O_CREAT | O_WRONLY, given[i]));
        stat("mode", &status);
        printf("created with %o: %o\n", given[i], status.st_mode);
        show(sys(chmod, "mode", given[i]), "chmod");
        stat("mode", &status);
        printf("%o\n", status.st_mode);
        unlink("mode");
    }
    try(umask, 077);
    close(open("mode", O_CREAT | O_WRONLY, 0666));
    stat("mode", &status);
    printf("%o\n", status.st_mode);
    try(umask, 07777);
    try(umask, 022);
    unlink("mode");
    try(chmod, "missing", 0);
    try(chmod, WILD, 0);
    try(chmod, "", 0);
    try(fchmod, 9999, 0);
    try(fchmodat, AT_FDCWD, "missing", 0);
    try(fchmodat, 9999, "x", 0);
    try(chown, "missing", 0, 0);
    try(chown, "file", -1, -1);
    try(chown, "file", 12, 34);
    stat("file", &status);
    printf("owner %u, group %u\n", status.st_uid, status.st_gid);
    try(chown, "file", -1, 56);
    try(fchownat, AT_FDCWD, "file", 78, -1, 0);
    try(fchownat, AT_FDCWD, "file", 78, -1, 0x10000);
    try(fchownat, AT_FDCWD, "", 78, -1, 0);
    stat("file", &status);
    printf("owner %u, group %u\n", status.st_uid, status.st_gid);
    try(lchown, "file", 0, 0);
    try(fchown, 9999, 0, 0);
    try(fchown, -1, 0, 0);
}

static void reading(void)
{
    int fd = make_file("read", 10000), folder = open(".", O_RDONLY);
    char bytes[64];

    memset(bytes, 0, sizeof bytes);
    lseek(fd, 0, SEEK_SET);
    show(sys(read, fd, bytes, 10), "ten");
    text(bytes);
    show(sys(read, fd, bytes, 0), "none");
    show(sys(read, fd, NULL, 0), "none to NULL");
    show(sys(read, fd, WILD, 0), "none to nowhere");
    show(sys(read, fd, NULL, 1), "to NULL");
    show(sys(read, fd, WILD, 1), "to nowhere");
    show(sys(read, fd, NOT_CANONICAL, 1), "to a wild address");
    show(sys(read, fd, KERNEL_HALF, 1), "to the kernel");
    show(sys(read, fd, LAST_BYTES, 8), "to the last bytes");
    show(sys(read, fd, LAST_BYTES, 64), "around the end");
    show(sys(read, fd, bytes, -1), "a negative length");
    show(sys(read, fd, bytes, 1ul << 63), "a large length");
    show(lseek(fd, 0, SEEK_CUR), "offset");
    show(sys(read, fd, edge - 5, 5), "up to the edge");
    show(lseek(fd, 0, SEEK_CUR), "offset");
    show(sys(read, fd, edge, 5), "behind the edge");
    show(lseek(fd, 0, SEEK_CUR), "offset");
    show(sys(pread64, fd, bytes, 5, 9998), "at the end");
    show(sys(pread64, fd, bytes, 5, 10000), "behind the end");
    show(sys(pread64, fd, bytes, 5, 1ul << 62), "far behind the end");
    show(sys(pread64, fd, bytes, 5, -1), "at -1");
    show(sys(pread64, fd, bytes, 5, 1ul << 63), "at the most negative");
    show(sys(pread64, fd, bytes, 0, -1), "nothing at -1");
    show(sys(pread64, fd, bytes, 5, LONG_MAX), "at the last place");
    show(sys(pread64, 9999, bytes, 5, 0), "no descriptor");
    show(sys(read, 9999, bytes, 5), "no descriptor");
    show(sys(read, -1, bytes, 5), "descriptor -1");
    show(sys(read, 0x100000000 + fd, bytes, 5), "descriptor of 33 bits");
    show(sys(read, folder, bytes, 5), "of a directory");
    show(sys(pread64, folder, bytes, 5, 0), "of a directory");
    show(sys(write, folder, bytes, 5), "to a directory");
    lseek(fd, 9990, SEEK_SET);
    show(sys(read, fd, bytes, 64), "the rest");
    show(sys(read, fd, bytes, 64), "no more");
    show(sys(read, fd, WILD, 64), "no more to nowhere");
    close(fd), close(folder);
    unlink("read");
}

static void writing(void)
{
    int fd = make_file("write", 100);
    char bytes[128] = "";
    struct rlimit limit = {1000, 1000}, old;
    long across, behind, larger, equal;

    show(sys(write, fd, NULL, 0), "none from NULL");
    show(sys(write, fd, WILD, 0), "none from nowhere");
    show(sys(write, fd, NULL, 5), "from NULL");
    show(sys(write, fd, WILD, 5), "from nowhere");
    show(sys(write, fd, NOT_CANONICAL, 5), "from a wild address");
    show(sys(write, fd, KERNEL_HALF, 5), "from the kernel");
    show(sys(write, fd, edge, 5), "from behind the edge");
    show(sys(write, fd, "x", -1), "a negative length");
    show_size("as before", fd);
    memcpy(edge - 4, "edge", 4);
    show(sys(write, fd, edge - 4, 4), "up to the edge");
    show_size("four more", fd);
    show(sys(pwrite64, fd, "p", 1, 50), "in the middle");
    show(sys(pwrite64, fd, "p", 1, -1), "at -1");
    show(sys(pwrite64, fd, "", 0, -1), "nothing at -1");
    show(sys(pwrite64, 9999, "p", 1, 0), "no descriptor");
    show(sys(pwrite64, fd, "hole", 4, 3 * PAGE), "behind a hole");
    show_size("with a hole", fd);
    show(sys(pread64, fd, bytes, 8, 3 * PAGE - 4), "its end");
    value(memcmp(bytes, "\0\0\0\0hole", 8) == 0);
    show(sys(pread64, fd, bytes, 6, 100), "its start");
    value(memcmp(bytes, "edge\0\0", 6) == 0);
    show(sys(write, 9999, "x", 1), "no descriptor");
    show(sys(write, fd, bytes, 1l << 50), "more than there are addresses");
    show(sys(read, fd, bytes, 1l << 50), "as much to read");
    show(sys(pwrite64, fd, "x", 1, LONG_MAX), "at the last place");
    show(sys(pwrite64, fd, "xx", 2, LONG_MAX - 1), "across the last place");
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    limit.rlim_max = old.rlim_max;
    setrlimit(RLIMIT_FSIZE, &limit);
    across = sys(pwrite64, fd, bytes, 100, 950);
    behind = sys(pwrite64, fd, "x", 1, 1000);
    larger = sys(ftruncate, fd, 1001);
    equal = sys(ftruncate, fd, 1000);
    setrlimit(RLIMIT_FSIZE, &old); /* standard output may be a file */
    show(across, "across the limit of size");
    show(behind, "behind it");
    show(larger, "truncate behind it");
    show(equal, "truncate to it");
    show_size("at the end", fd);
    close(fd);
    unlink("write");
}

static void vectors(void)
{
    int fd = make_file("vector", 100), other = open("vector", O_WRONLY);
    char one[8] = "", two[8] = "", three[8] = "";
    struct iovec parts[] = {{one, 3}, {NULL, 0}, {two, 4}, {three, 7}}, bad[] = {{one, 3}, {WILD, 3}, {two, 3}};
    struct iovec negative[] = {{one, 3}, {two, (size_t)-1}}, many[1025];
    struct iovec large[] = {{one, 3}, {two, 1ul << 62}, {three, 1ul << 62}};

    for (size_t i = 0; i < LENGTH(many); i++)
        many[i] = (struct iovec){one, 1};
    lseek(fd, 0, SEEK_SET);
    show(sys(readv, fd, parts, 4), "readv");
    printf("%s %s %s\n", one, two, three);
    show(sys(readv, fd, parts, 0), "no parts");
    show(sys(readv, fd, NULL, 0), "no parts at NULL");
    show(sys(readv, fd, parts, -1), "-1 parts");
    show(sys(readv, fd, many, 1024), "1024 parts");
    show(sys(readv, fd, many, 1025), "1025 parts");
    show(sys(readv, fd, NULL, 1), "a part at NULL");
    show(sys(readv, fd, WILD, 1), "a part nowhere");
    show(sys(readv, fd, edge - 8, 1), "half a part");
    show(sys(readv, fd, negative, 2), "a negative part");
    lseek(fd, 0, SEEK_SET);
    show(sys(readv, fd, bad, 3), "a wild part in the middle");
    show(lseek(fd, 0, SEEK_CUR), "offset");
    show(sys(readv, fd, bad + 1, 2), "a wild part first");
    show(done(sys(readv, fd, large, 1)), "the first of large ones");
    show(sys(readv, 9999, parts, 4), "no descriptor");
    show(sys(readv, other, parts, 4), "open for writing");
    show(sys(preadv, fd, parts, 4, 20, 0), "preadv");
    printf("%s %s %s\n", one, two, three);
    show(sys(preadv, fd, parts, 4, 95, 0), "preadv at the end");
    show(sys(preadv, fd, parts, 4, -1, 0), "preadv at -1");
    show(sys(preadv2, fd, parts, 4, -1, -1, 0), "preadv2 at the offset");
    show(sys(preadv2, fd, parts, 4, 0, 0, 0x10000), "preadv2 with an unknown flag");
    show(sys(preadv2, fd, parts, 4, -2, -1, 0), "preadv2 at -2");
    memcpy(one, "ONE", 3), memcpy(two, "TWOX", 4), memcpy(three, "THREEXX", 7);
    show(sys(pwritev, fd, parts, 4, 10, 0), "pwritev");
    show(sys(pwritev2, fd, parts, 4, 100, 0, 0), "pwritev2");
    show(sys(pwritev2, fd, parts, 4, 100, 0, 0x10000), "pwritev2 with an unknown flag");
    show(sys(writev, other, parts, 4), "writev");
    show(sys(writev, other, bad, 3), "a wild part in the middle");
    show(sys(writev, other, bad + 1, 1), "a wild part");
    show(sys(writev, fd, negative, 2), "a negative part");
    show(sys(writev, 9999, parts, 4), "no descriptor");
    show_size("one", fd);
    show_size("other", other);
    close(fd), close(other);
    unlink("vector");
}

static void seeking(void)
{
    int fd = make_file("seek", 100), folder = open(".", O_RDONLY), ends[2];

    pipe(ends);
    show(sys(lseek, fd, 10, SEEK_SET), "to 10");
    show(sys(lseek, fd, 5, SEEK_CUR), "5 on");
    show(sys(lseek, fd, -20, SEEK_CUR), "before the start");
    show(sys(lseek, fd, 0, SEEK_CUR), "unchanged");
    show(sys(lseek, fd, -100, SEEK_END), "from the end to the start");
    show(sys(lseek, fd, -101, SEEK_END), "and one more");
    show(sys(lseek, fd, 1000, SEEK_END), "behind the end");
    show(sys(lseek, fd, -1, SEEK_SET), "to -1");
    show(sys(lseek, fd, 0, 5), "whence 5");
    show(sys(lseek, fd, 0, -1), "whence -1");
    show(sys(lseek, fd, 0, SEEK_DATA), "data");
    show(sys(lseek, fd, 0, SEEK_HOLE), "hole");
    show(sys(lseek, fd, 50, SEEK_HOLE), "hole from the middle");
    show(sys(lseek, fd, 100, SEEK_DATA), "data at the end");
    show(sys(lseek, fd, 100, SEEK_HOLE), "hole at the end");
    show(sys(lseek, fd, -1, SEEK_DATA), "data at -1");
    show(sys(lseek, fd, 1l << 62, SEEK_SET) == -EINVAL || sys(lseek, fd, 0, SEEK_CUR) == 1l << 62, "far");
    show(sys(lseek, fd, LONG_MAX, SEEK_CUR), "overflow");
    show(sys(lseek, 9999, 0, SEEK_SET), "no descriptor");
    show(sys(lseek, ends[0], 0, SEEK_SET), "a pipe");
    show(sys(lseek, ends[0], 0, SEEK_CUR), "a pipe");
    show(sys(lseek, folder, 0, SEEK_SET), "a directory");
    show(sys(lseek, folder, -1, SEEK_SET), "a directory to -1");
    close(fd), close(folder), close(ends[0]), close(ends[1]);
    unlink("seek");
}

static void sizes(void)
{
    int fd = make_file("size", 100), read_only = open("size", O_RDONLY), ends[2];
    char bytes[128];

    pipe(ends);
    try(truncate, "size", 50);
    show_size("50", fd);
    try(truncate, "size", 5000);
    show_size("5000", fd);
    show(sys(pread64, fd, bytes, 100, 20), "read");
    value(bytes[29] == 'a' + 49 % 26 && bytes[30] == 0 && bytes[99] == 0);
    try(truncate, "size", -1);
    try(truncate, "missing", 1);
    try(truncate, ".", 1);
    try(truncate, "", 1);
    try(truncate, WILD, 1);
    try(truncate, "size/", 1);
    show(sys(ftruncate, fd, 0), "to nothing");
    show(sys(ftruncate, fd, -1), "to -1");
    show(sys(ftruncate, read_only, 1), "open for reading");
    show(sys(ftruncate, ends[1], 1), "a pipe");
    show(sys(ftruncate, 9999, 1), "no descriptor");
    show(sys(fallocate, fd, 0, 0, 100), "allocate");
    show_size("100", fd);
    show(sys(fallocate, fd, 1, 0, 200), "allocate and keep the size");
    show_size("100", fd);
    show(sys(fallocate, fd, 0, 0, 0), "nothing");
    show(sys(fallocate, fd, 0, -1, 10), "at -1");
    show(sys(fallocate, fd, 0, 0, -1), "-1 bytes");
    show(sys(fallocate, fd, 0x800, 0, 10), "unknown mode");
    show(sys(fallocate, fd, 2, 0, 10), "punch without keep");
    show(sys(fallocate, fd, 0, LONG_MAX, 10), "behind the last place");
    show(sys(fallocate, read_only, 0, 0, 10), "open for reading");
    show(sys(fallocate, 9999, 0, 0, 10), "no descriptor");
    show(sys(fallocate, ends[1], 0, 0, 10), "a pipe");
    show(sys(pwrite64, fd, "abcdefghij", 10, 0), "write");
    show(sys(fallocate, fd, 3, 2, 4), "punch a hole");
    show(sys(pread64, fd, bytes, 10, 0), "read");
    value(memcmp(bytes, "ab\0\0\0\0ghij", 10) == 0);
    show_size("as before", fd);
    show(sys(fadvise64, fd, 0, 0, 3), "WILLNEED");
    show(sys(fadvise64, fd, 0, 0, 99), "unknown advice");
    show(sys(fadvise64, 9999, 0, 0, 0), "no descriptor");
    show(sys(fadvise64, ends[0], 0, 0, 0), "a pipe");
    show(sys(readahead, fd, 0, 100), "readahead");
    show(sys(readahead, 9999, 0, 100), "no descriptor");
    show(sys(fsync, fd), "fsync");
    show(sys(fdatasync, fd), "fdatasync");
    show(sys(fsync, ends[0]), "a pipe");
    show(sys(fsync, 9999), "no descriptor");
    show(sys(syncfs, fd), "syncfs");
    show(sys(syncfs, 9999), "no descriptor");
    show(sys(sync_file_range, fd, 0, 10, 7), "sync_file_range");
    show(sys(sync_file_range, fd, 0, 10, 8), "unknown flag");
    show(sys(sync_file_range, fd, -1, 10, 0), "at -1");
    show(sys(sync), "sync");
    close(fd), close(read_only), close(ends[0]), close(ends[1]);
    unlink("size");
}

static void status_calls(void)
{
    struct stat status, other;
    int fd = make_file("stat", 77);

    show(sys(stat, "stat", &status), "stat");
    printf("%o %ld links, %ld bytes\n", status.st_mode, (long)status.st_nlink, (long)status.st_size);
    show(sys(fstat, fd, &other), "fstat");
    value(status.st_ino == other.st_ino && status.st_dev == other.st_dev);
    try(stat, "missing", &status);
    try(stat, "stat", NULL);
    try(stat, "stat", WILD);
    try(stat, "stat", KERNEL_HALF);
    try(stat, WILD, &status);
    try(stat, "", &status);
    try(stat, "stat/", &status);
    try(stat, "stat/..", &status);
    try(lstat, "missing", &status);
    try(fstat, 9999, &status);
    try(fstat, -1, &status);
    show(sys(fstat, fd, WILD), "to nowhere");
    try(newfstatat, AT_FDCWD, "", &status, 0);
    show(sys(newfstatat, fd, "", &status, 0), "an empty path");
    show(sys(newfstatat, fd, "", &status, 0x1000), "AT_EMPTY_PATH");
    show(sys(newfstatat, fd, "x", &status, 0), "below a file");
    show(sys(newfstatat, fd, "/", &status, 0), "an absolute path");
    show(sys(newfstatat, 9999, "/", &status, 0), "an absolute path and no descriptor");
    try(newfstatat, 9999, "x", &status, 0);
    try(newfstatat, 9999, "", &status, 0x1000);
    try(newfstatat, AT_FDCWD, "", &status, 0x1000);
    value(S_ISDIR(status.st_mode));
    try(newfstatat, AT_FDCWD, "stat", &status, 0x80000);
    try(newfstatat, AT_FDCWD, "stat", &status, 0x200);
    try(access, "stat", 0);
    try(access, "stat", 6);
    try(access, "stat", 1);
    try(access, "stat", 8);
    try(access, "missing", 0);
    try(access, WILD, 0);
    try(access, ".", 7);
    chmod("stat", 0100);
    try(access, "stat", 7);
    try(faccessat, 9999, "stat", 0);
    try(faccessat2, AT_FDCWD, "stat", 0, 0x200);
    try(faccessat2, AT_FDCWD, "stat", 0, 0x1);
    show(sys(faccessat2, fd, "", 0, 0x1000), "faccessat2, AT_EMPTY_PATH");
    close(fd);
    unlink("stat");
}

static void statx_calls(void)
{
    struct {
        uint32_t mask, block;
        uint64_t attributes;
        uint32_t links, uid, gid;
        uint16_t mode, unused;
        uint64_t inode, size, blocks, attributes_mask;
        uint64_t rest[24];
    } status = {0};
    int fd = make_file("statx", 78);

    show(sys(statx, AT_FDCWD, "statx", 0, 0x7ff, &status), "statx");
    printf("%o %u links, %lu bytes, mask %x\n", status.mode, status.links, status.size, status.mask & 0x7ff);
    show(sys(statx, fd, "", 0x1000, 0x7ff, &status), "of a descriptor");
    printf("%lu bytes\n", status.size);
    show(sys(statx, fd, "", 0, 0x7ff, &status), "an empty path");
    show(sys(statx, AT_FDCWD, "statx", 0x6000, 0x7ff, &status), "both kinds of synchronising");
    show(sys(statx, AT_FDCWD, "statx", 0x1, 0x7ff, &status), "an unknown flag");
    show(sys(statx, AT_FDCWD, "statx", 0, 0x80000000, &status), "a reserved mask");
    show(sys(statx, AT_FDCWD, "statx", 0, 0x7ff, WILD), "to nowhere");
    show(sys(statx, AT_FDCWD, WILD, 0, 0x7ff, &status), "a path from nowhere");
    show(sys(statx, 9999, "statx", 0, 0x7ff, &status), "no descriptor");
    show(sys(statx, AT_FDCWD, "missing", 0, 0x7ff, &status), "missing");
    close(fd);
    unlink("statx");
}

static void times_of_files(void)
{
    struct timespec given[2] = {{1000000000, 123456789}, {1100000000, 987654321}}, bad[2] = {{0, 1000000000}, {0, 0}};
    struct timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}}, omit[2] = {{5, UTIME_OMIT}, {6, UTIME_OMIT}};
    struct timespec negative[2] = {{0, -1}, {0, 0}};
    struct stat before, after;
    int fd = make_file("times", 10);

    try(utimensat, AT_FDCWD, "times", given, 0);
    stat("times", &before);
    printf("%ld.%09ld %ld.%09ld\n", before.st_atim.tv_sec, before.st_atim.tv_nsec, before.st_mtim.tv_sec,
           before.st_mtim.tv_nsec);
    try(utimensat, AT_FDCWD, "times", bad, 0);
    try(utimensat, AT_FDCWD, "times", negative, 0);
    try(utimensat, AT_FDCWD, "times", omit, 0);
    stat("times", &after);
    value(before.st_mtim.tv_sec == after.st_mtim.tv_sec && before.st_atim.tv_nsec == after.st_atim.tv_nsec);
    try(utimensat, AT_FDCWD, "times", now, 0);
    stat("times", &after);
    value(after.st_atim.tv_sec > 1500000000 && after.st_mtim.tv_sec == 1100000000);
    show(sys(utimensat, fd, NULL, given, 0), "of a descriptor");
    show(sys(utimensat, fd, "", given, 0x1000), "with an empty path");
    show(sys(utimensat, AT_FDCWD, NULL, given, 0), "no path");
    try(utimensat, AT_FDCWD, "times", WILD, 0);
    try(utimensat, AT_FDCWD, "times", given, 1);
    try(utimensat, AT_FDCWD, "missing", given, 0);
    try(utimensat, 9999, "times", given, 0);
    try(utimensat, AT_FDCWD, "times", NULL, 0);
    stat("times", &after);
    value(after.st_mtim.tv_sec > 1500000000);
    show(sys(utimensat, fd, NULL, given, 0), "back");
    show(sys(write, fd, "x", 1), "write");
    stat("times", &after);
    value(after.st_mtim.tv_sec > 1500000000 && after.st_ctim.tv_sec > 1500000000);
    show(sys(utimensat, fd, NULL, given, 0), "back");
    show(sys(ftruncate, fd, 3), "truncate");
    stat("times", &after);
    value(after.st_mtim.tv_sec > 1500000000);
    long seconds[2] = {1200000000, 1300000000}, micro[4] = {1, 2, 3, 4}, wrong[4] = {1, 1000000, 3, 4};

    try(utime, "times", seconds);
    stat("times", &after);
    printf("%ld %ld\n", after.st_atim.tv_sec, after.st_mtim.tv_sec);
    try(utimes, "times", micro);
    try(utimes, "times", wrong);
    try(futimesat, AT_FDCWD, "times", micro);
    stat("times", &after);
    printf("%ld.%09ld %ld.%09ld\n", after.st_atim.tv_sec, after.st_atim.tv_nsec, after.st_mtim.tv_sec,
           after.st_mtim.tv_nsec);
    close(fd);
    unlink("times");
}

static void copying(void)
{
    int from = make_file("from", 10000), to = make_file("to", 0), read_only = open("to", O_RDONLY);
    int append = open("to", O_WRONLY | O_APPEND), folder = open(".", O_RDONLY), ends[2];
    off_t at = 100, where = 0, negative = -1;

    pipe(ends);
    show(sys(sendfile, to, from, &at, 500), "sendfile");
    show(at, "offset");
    show_size("from", from);
    show_size("to", to);
    lseek(from, 9900, SEEK_SET);
    show(sys(sendfile, to, from, NULL, 500), "up to the end");
    show_size("from", from);
    show(sys(sendfile, to, from, NULL, 500), "at the end");
    show(sys(sendfile, to, from, NULL, 0), "nothing");
    show(sys(sendfile, to, from, &negative, 5), "from -1");
    show(sys(sendfile, to, from, WILD, 5), "offset nowhere");
    show(sys(sendfile, to, 9999, NULL, 5), "no source");
    show(sys(sendfile, 9999, from, NULL, 5), "no target");
    show(sys(sendfile, read_only, from, NULL, 5), "a target open for reading");
    show(sys(sendfile, to, append, NULL, 5), "a source open for writing");
    show(sys(sendfile, append, from, NULL, 5), "a target that appends");
    at = 0;
    show(sys(sendfile, ends[1], from, &at, 300), "to a pipe");
    show(sys(sendfile, to, folder, NULL, 5), "from a directory");
    at = 0;
    show(sys(copy_file_range, from, &at, to, &where, 1000, 0), "copy_file_range");
    printf("offsets %ld %ld\n", (long)at, (long)where);
    show_size("to", to);
    at = 9990;
    show(sys(copy_file_range, from, &at, to, NULL, 1000, 0), "to the offset");
    show_size("to", to);
    at = 20000;
    show(sys(copy_file_range, from, &at, to, NULL, 1000, 0), "behind the end");
    at = 0, where = 0;
    show(sys(copy_file_range, from, &at, to, &where, 10, 1), "flags");
    show(sys(copy_file_range, from, &at, to, &where, 0, 0), "nothing");
    show(sys(copy_file_range, from, &at, read_only, &where, 10, 0), "a target open for reading");
    show(sys(copy_file_range, from, &at, append, NULL, 10, 0), "a target that appends");
    show(sys(copy_file_range, append, &at, to, &where, 10, 0), "a source open for writing");
    show(sys(copy_file_range, from, &at, ends[1], NULL, 10, 0), "to a pipe");
    show(sys(copy_file_range, folder, NULL, to, NULL, 10, 0), "from a directory");
    show(sys(copy_file_range, 9999, NULL, to, NULL, 10, 0), "no source");
    show(sys(copy_file_range, from, WILD, to, NULL, 10, 0), "offset nowhere");
    at = 0, where = 5;
    show(sys(copy_file_range, from, &at, from, &where, 10, 0), "overlapping");
    at = 0, where = 5000;
    show(sys(copy_file_range, from, &at, from, &where, 10, 0), "within a file");
    close(from), close(to), close(read_only), close(append), close(folder), close(ends[0]), close(ends[1]);
    unlink("from"), unlink("to");
}

/* Many sizes and places, compared with an array in memory. */
static void against_a_model(void)
{
    static unsigned char model[200000], bytes[70000];
    int fd = open("model", O_RDWR | O_CREAT, 0644);
    size_t size = 0, wrong = 0;
    uint64_t random = 88172645463325252u;

    for (int i = 0; i < 600; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        size_t at = random % 120000, length = (random >> 20) % (i % 3 ? 300 : 65000);

        switch ((random >> 40) % 5) {
        case 0: /* a new size */
            if (ftruncate(fd, (off_t)at))
                wrong++;
            if (at < size)
                memset(model + at, 0, size - at);
            size = at;
            break;
        case 1:
        case 2:
            for (size_t j = 0; j < length; j++)
                bytes[j] = (unsigned char)(random >> 8 * (j % 7));
            if (pwrite(fd, bytes, length, (off_t)at) != (ssize_t)length)
                wrong++;
            memcpy(model + at, bytes, length);
            if (length && at + length > size)
                size = at + length;
            break;
        default: {
            ssize_t wanted = at >= size ? 0 : (ssize_t)(size - at < length ? size - at : length);

            if (pread(fd, bytes, length, (off_t)at) != wanted || memcmp(bytes, model + at, (size_t)wanted))
                wrong++;
        }
        }
    }
    value(wrong);
    show_size("model", fd);
    value(sum(model, size));
    close(fd);
    unlink("model");
}

static void deleted_file(void)
{
    int fd = make_file("deleted", 1000);
    struct stat status;
    char bytes[8] = "";

    try(unlink, "deleted");
    try(open, "deleted", O_RDONLY);
    fstat(fd, &status);
    value(status.st_nlink);
    show(sys(pread64, fd, bytes, 5, 26), "read");
    text(bytes);
    show(sys(pwrite64, fd, "more", 4, 2000), "write");
    show_size("deleted", fd);
    close(fd);
    fd = (int)sys(open, ".", O_TMPFILE | O_RDWR, 0600);
    show(done(fd), "O_TMPFILE");
    show(sys(write, fd, "temporary", 9), "write");
    fstat(fd, &status);
    printf("%o, %ld links\n", status.st_mode, (long)status.st_nlink);
    close(fd);
    try(open, ".", O_TMPFILE | O_RDONLY, 0600);
    try(open, "file", O_TMPFILE | O_RDWR, 0600);
    try(open, "missing", O_TMPFILE | O_RDWR, 0600);
}

/* A write that fails leaves the offset where it was; with O_APPEND too. */
static void appending(void)
{
    int fd = make_file("append", 10);

    show(sys(fcntl, fd, F_SETFL, O_APPEND), "append");
    show(sys(lseek, fd, 3, SEEK_SET), "seek");
    show(sys(write, fd, WILD, 5), "from nowhere");
    show(sys(lseek, fd, 0, SEEK_CUR), "offset");
    show(sys(write, fd, "more", 4), "write");
    show_size("appended", fd);
    close(fd);
}

/* RLIMIT_FSIZE holds for what is allocated too; on the file system of memfd whether or not the size stays. */
static void allocation_limit(void)
{
    struct rlimit limit = {2 * PAGE, 0}, old;
    int fd = (int)sys(memfd_create, "limited", 0);
    long within, beyond, kept;

    getrlimit(RLIMIT_FSIZE, &old);
    limit.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    within = sys(fallocate, fd, 0, 0, 2 * PAGE);
    beyond = sys(fallocate, fd, 0, 0, 2 * PAGE + 1);
    kept = sys(fallocate, fd, 1, 2 * PAGE, 1);
    setrlimit(RLIMIT_FSIZE, &old); /* standard output may be a file */
    show(within, "within the limit"), show(beyond, "beyond it"), show(kept, "beyond it, the size kept");
    show_size("limited", fd);
    close(fd);
}

/* A file of O_TMPFILE gets its first name once. */
static void temporary_linked(void)
{
    int fd = (int)sys(open, ".", O_TMPFILE | O_RDWR, 0600);
    char path[32];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    show(sys(linkat, AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW), "a name");
    try(unlink, "named");
    show(sys(linkat, AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW), "another one");
    try(open, "named", O_RDONLY);
    close(fd);
}

int main(void)
{
    fresh_folder();
    make_edge();
    close(make_file("file", 100));
    mkdir("folder", 0755);
    open_flags();
    modes();
    reading();
    writing();
    vectors();
    seeking();
    sizes();
    status_calls();
    statx_calls();
    times_of_files();
    copying();
    against_a_model();
    deleted_file();
    appending();
    allocation_limit();
    temporary_linked();
    remove_folder();
    return 0;
}
