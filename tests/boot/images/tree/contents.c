/* Bytes of files: positions, holes, sizes, copying. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tree.h"

#define PAGE 4096
#define MIB (1L << 20)

static char bytes[3 * PAGE];

/* Size, blocks, and a sum of all bytes. */
static void summary(int fd)
{
    struct stat status;
    unsigned long sum = 0;
    long position = 0, got;

    fstat(fd, &status);
    while ((got = pread(fd, bytes, sizeof(bytes), position)) > 0)
        for (long i = 0; i < got; i++)
            sum = sum * 31 + (unsigned char)bytes[i], position++;
    printf("size %ld blocks %ld sum %lx\n", (long)status.st_size, (long)status.st_blocks, sum);
}

static void check_holes(int fd)
{
    SHOW(ftruncate(fd, 0));
    SHOW(pwrite(fd, "first", 5, 2 * PAGE + 100));
    SHOW(pwrite(fd, "second", 6, 300L * PAGE));
    summary(fd);
    SHOW(lseek(fd, 0, SEEK_DATA));
    SHOW(lseek(fd, 0, SEEK_HOLE));
    SHOW(lseek(fd, 2 * PAGE + 50, SEEK_DATA));
    SHOW(lseek(fd, 2 * PAGE + 50, SEEK_HOLE));
    SHOW(lseek(fd, 4 * PAGE, SEEK_DATA));
    SHOW(lseek(fd, 300L * PAGE + 3, SEEK_HOLE));
    SHOW(lseek(fd, 300L * PAGE + 6, SEEK_DATA));
    SHOW(lseek(fd, 300L * PAGE + 6, SEEK_HOLE));
    SHOW(lseek(fd, -1, SEEK_DATA));
    SHOW(lseek(fd, 0, 7));
    SHOW(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2 * PAGE + 101, 2));
    summary(fd);
    SHOW(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE, 2 * PAGE));
    SHOW(lseek(fd, 0, SEEK_DATA));
    summary(fd);
    SHOW(fallocate(fd, 0, 0, 3 * PAGE + 1));
    summary(fd);
    SHOW(fallocate(fd, FALLOC_FL_KEEP_SIZE, 310L * PAGE, PAGE));
    summary(fd);
    SHOW(fallocate(fd, 0, 300L * PAGE, 2 * PAGE));
    summary(fd);
    SHOW(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, PAGE));
    SHOW(fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, PAGE));
    SHOW(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, PAGE));
    SHOW(fallocate(fd, 0x1000, 0, PAGE));
    SHOW(fallocate(fd, 0, -1, PAGE));
    SHOW(fallocate(fd, 0, 0, 0));
    SHOW(fallocate(fd, 0, INT64_MAX, 10));
    SHOW(fallocate(fd, 0, INT64_MAX - PAGE, PAGE / 2) == -1 && errno == ENOSPC);
    SHOW(ftruncate(fd, 100));
    SHOW(ftruncate(fd, PAGE));
    summary(fd);
    SHOW(ftruncate(fd, INT64_MAX));
    SHOW(ftruncate(fd, -1));
    SHOW(lseek(fd, 0, SEEK_END));
    SHOW(pwrite(fd, "x", 1, INT64_MAX));
    SHOW(pwrite(fd, "xy", 2, INT64_MAX - 1));
    SHOW(pwrite(fd, "x", 1, INT64_MAX - 1));
    SHOW(ftruncate(fd, 0));
    summary(fd);
}

static void check_positions(int fd)
{
    struct iovec parts[3] = {{bytes, 3}, {bytes + 100, 0}, {bytes + 200, 4}};
    struct iovec bad[2] = {{bytes, 3}, {NOWHERE, 4}}, negative[2] = {{bytes, 3}, {bytes, (size_t)-1}};

    SHOW(write(fd, "0123456789", 10));
    SHOW(lseek(fd, 4, SEEK_SET));
    SHOW(write(fd, "abc", 3));
    SHOW(lseek(fd, -2, SEEK_CUR));
    SHOW(read(fd, bytes, 100));
    printf("read %.5s\n", bytes);
    SHOW(read(fd, bytes, 100));
    SHOW(lseek(fd, -20, SEEK_CUR));
    SHOW(lseek(fd, 5, SEEK_END));
    SHOW(read(fd, bytes, 1));
    SHOW(lseek(fd, 1, SEEK_SET));
    SHOW(readv(fd, parts, 3));
    printf("read %.3s %.4s\n", bytes, bytes + 200);
    SHOW(lseek(fd, 0, SEEK_CUR));
    SHOW(preadv(fd, parts, 3, 8));
    SHOW(preadv(fd, parts, 3, -1));
    SHOW(preadv2(fd, parts, 3, -1, 0));
    SHOW(preadv2(fd, parts, 3, 2, 0x1000));
    SHOW(preadv2(fd, parts, 3, -2, 0));
    SHOW(pwritev2(fd, parts, 3, 2, RWF_APPEND));
    summary(fd);
    SHOW(lseek(fd, 0, SEEK_SET));
    SHOW(readv(fd, bad, 2));
    SHOW(lseek(fd, 0, SEEK_CUR));
    SHOW(readv(fd, negative, 2));
    SHOW(readv(fd, NOWHERE, 2));
    SHOW(readv(fd, parts, -1));
    SHOW(readv(fd, parts, 1025));
    SHOW(writev(fd, bad + 1, 1));
    SHOW(pread(fd, bytes, 4, -1));
    SHOW(pread(99, bytes, 4, -1));
    SHOW(pread(99, bytes, 4, 0));
    SHOW(read(fd, NOWHERE, 0));
    SHOW(read(fd, NOWHERE, 1));
    SHOW(write(fd, NOWHERE, 1));
    SHOW(read(fd, bytes, (size_t)-1));
    summary(fd);
    SHOW(fcntl(fd, F_SETFL, O_APPEND));
    SHOW(lseek(fd, 0, SEEK_SET));
    SHOW(write(fd, "end", 3));
    SHOW(lseek(fd, 0, SEEK_CUR));
    SHOW(pwrite(fd, "END", 3, 0));
    summary(fd);
    SHOW(fcntl(fd, F_SETFL, 0));
}

/* Writes of every alignment, against the same on a buffer. */
static void check_pattern(int fd)
{
    static char expected[40 * PAGE], got[40 * PAGE];
    unsigned state = 1, wrong = 0;

    SHOW(ftruncate(fd, 0));
    for (int i = 0; i < 400; i++) {
        state = state * 1103515245 + 12345;
        size_t at = (state >> 8) % sizeof(expected), length = (state >> 3) % (3 * PAGE);

        if (length > sizeof(expected) - at)
            length = sizeof(expected) - at;
        memset(bytes, i, length);
        memset(expected + at, i, length);
        wrong += pwrite(fd, bytes, length, (long)at) != (long)length;
    }
    ftruncate(fd, sizeof(expected));
    SHOW(wrong);
    SHOW(pread(fd, got, sizeof(got), 0));
    SHOW(memcmp(got, expected, sizeof(got)));
    summary(fd);
}

static void check_copying(int fd)
{
    int other = open("copy", O_CREAT | O_RDWR | O_TRUNC, 0644), reader = open("copy", O_RDONLY);
    off_t from = 100, to = 7;

    SHOW(lseek(fd, 5 * PAGE, SEEK_SET));
    SHOW(sendfile(other, fd, NULL, 2 * PAGE + 5));
    SHOW(lseek(fd, 0, SEEK_CUR));
    SHOW(sendfile(other, fd, &from, 1000));
    printf("offset %ld\n", (long)from);
    summary(other);
    SHOW(sendfile(reader, fd, NULL, 1));
    SHOW(sendfile(99, fd, NULL, 1));
    SHOW(sendfile(other, fd, NOWHERE, 1));
    from = -1;
    SHOW(sendfile(other, fd, &from, 1));
    from = 39L * PAGE;
    SHOW(copy_file_range(fd, &from, other, &to, 2 * PAGE, 0));
    printf("offsets %ld %ld\n", (long)from, (long)to);
    SHOW(copy_file_range(fd, &from, other, &to, 100, 0));
    SHOW(copy_file_range(fd, NULL, other, NULL, 0, 0));
    SHOW(copy_file_range(fd, &from, other, &to, 100, 1));
    SHOW(copy_file_range(fd, &from, reader, &to, 100, 0));
    from = 0, to = 50;
    SHOW(copy_file_range(fd, &from, fd, &to, 100, 0));
    summary(other);
    SHOW(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
    SHOW(posix_fadvise(fd, 0, 0, 77));
    SHOW(posix_fadvise(99, 0, 0, 0));
    SHOW(readahead(fd, 0, 100));
    SHOW(fsync(fd));
    SHOW(fdatasync(99));
    SHOW(syncfs(fd));
    SHOW(sync_file_range(fd, 0, 100, 0));
    SHOW(sync_file_range(fd, -1, 100, 0));
    close(other);
    close(reader);
    SHOW(truncate("copy", 10));
    SHOW(truncate("copy", -1));
    SHOW(truncate(".", 1));
    SHOW(truncate("none", 1));
    SHOW(truncate("/dev/null", 1));
    SHOW(unlink("copy"));
}

void check_contents(void)
{
    int fd = open("contents", O_CREAT | O_EXCL | O_RDWR, 0644);

    check_positions(fd);
    check_holes(fd);
    check_pattern(fd);
    check_copying(fd);
    close(fd);
    SHOW(unlink("contents"));
}
