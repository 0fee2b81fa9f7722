/* What stat says, and what changes it. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

#include "tree.h"

static struct stat status;

static void show_status(const char *path)
{
    if (lstat(path, &status)) {
        printf("%s: errno %d\n", path, errno);
        return;
    }
    printf("%s: mode %o links %ld owner %u %u size %ld\n", path, (unsigned)status.st_mode, (long)status.st_nlink,
           (unsigned)status.st_uid, (unsigned)status.st_gid, S_ISDIR(status.st_mode) ? 0 : (long)status.st_size);
}

static void check_modes(int fd)
{
    show_status("file");
    SHOW(chmod("file", 07777));
    show_status("file");
    SHOW(write(fd, "x", 1));
    show_status("file");
    SHOW(fchmod(fd, 0));
    show_status("file");
    SHOW(access("file", R_OK | W_OK));
    SHOW(access("file", X_OK));
    SHOW(access("file", 8));
    SHOW(access(".", X_OK));
    SHOW(faccessat(AT_FDCWD, "link", F_OK, AT_SYMLINK_NOFOLLOW));
    SHOW(syscall(SYS_faccessat2, AT_FDCWD, "file", 0, 0x8000));
    SHOW(chmod("none", 0));
    SHOW(fchmod(99, 0));
    SHOW(chown("file", 5, -1));
    SHOW(fchown(fd, -1, 6));
    show_status("file");
    SHOW(chmod("file", 06755));
    SHOW(chown("file", 7, 8));
    show_status("file");
    SHOW(lchown("link", 1, 2));
    show_status("link");
    SHOW(fchownat(fd, "", 0, 0, AT_EMPTY_PATH));
    SHOW(fchownat(fd, "", 0, 0, 0));
    SHOW(fchownat(AT_FDCWD, "file", 0, 0, 1));
    show_status("file");
    umask(077);
    SHOW(mkdir("private", 0777));
    show_status("private");
    SHOW(umask(022));
    SHOW(chmod("private", 02755));
    SHOW(chown("private", 0, 9));
    SHOW(mkdir("private/sub", 0755));
    show_status("private/sub");
    show_status("private");
    SHOW(rmdir("private/sub"));
    SHOW(rmdir("private"));
}

static void show_times(void)
{
    lstat("file", &status);
    printf("times %ld.%ld %ld.%ld\n", (long)status.st_atim.tv_sec, status.st_atim.tv_nsec, (long)status.st_mtim.tv_sec,
           status.st_mtim.tv_nsec);
}

static void check_times(int fd)
{
    struct timespec times[2] = {{100, 5}, {200, 6}}, omit[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
    struct timespec bad[2] = {{0, 1000000000}, {0, 0}}, now[2] = {{0, UTIME_OMIT}, {0, UTIME_NOW}};
    struct timeval micro[2] = {{300, 7}, {400, 8}}, wrong[2] = {{0, -1}, {0, 0}};
    struct utimbuf seconds = {500, 600};

    SHOW(utimensat(AT_FDCWD, "file", times, 0));
    show_times();
    SHOW(futimens(fd, omit));
    show_times();
    SHOW(utimensat(AT_FDCWD, "none", omit, 0));
    SHOW(utimensat(AT_FDCWD, "file", bad, 0));
    SHOW(utimensat(AT_FDCWD, "file", times, 1));
    SHOW(syscall(SYS_utimensat, AT_FDCWD, NULL, times, 0));
    SHOW(futimens(99, times));
    SHOW(syscall(SYS_utimensat, AT_FDCWD, "file", NOWHERE, 0));
    SHOW(utimes("file", micro));
    show_times();
    SHOW(utimes("file", wrong));
    SHOW(utime("file", &seconds));
    show_times();
    SHOW(futimens(fd, now));
    lstat("file", &status);
    SHOW(status.st_atim.tv_sec == 500 && status.st_mtim.tv_sec >= 600);
    SHOW(status.st_mtim.tv_sec == status.st_ctim.tv_sec);
    SHOW(lstat("link", &status));
    SHOW(utimensat(AT_FDCWD, "link", times, AT_SYMLINK_NOFOLLOW));
    lstat("link", &status);
    SHOW(status.st_mtim.tv_sec);
}

static void check_stat(int fd)
{
    struct statx extended;
    struct statfs file_system;
    struct stat other;

    SHOW(stat("link", &status));
    SHOW(fstat(fd, &other));
    SHOW(status.st_ino == other.st_ino && status.st_dev == other.st_dev);
    SHOW(lstat("link/", &status));
    SHOW(stat("none", &status));
    SHOW(stat("", &status));
    SHOW(fstat(99, &status));
    SHOW(syscall(SYS_newfstatat, fd, "", &status, AT_EMPTY_PATH));
    SHOW(syscall(SYS_newfstatat, fd, "x", &status, 0));
    SHOW(syscall(SYS_newfstatat, 99, "x", &status, 0));
    SHOW(syscall(SYS_newfstatat, 99, "/", &status, 0));
    SHOW(syscall(SYS_newfstatat, AT_FDCWD, "file", NOWHERE, 0));
    SHOW(syscall(SYS_newfstatat, AT_FDCWD, "file", &status, 0x8000));
    SHOW(statx(AT_FDCWD, "file", 0, STATX_BASIC_STATS, &extended));
    SHOW((extended.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS);
    SHOW(extended.stx_size == (uint64_t)other.st_size && extended.stx_ino == other.st_ino);
    SHOW(extended.stx_mode == other.st_mode && extended.stx_mtime.tv_sec == other.st_mtim.tv_sec);
    SHOW(statx(AT_FDCWD, "file", 0, 0x80000000u, &extended));
    SHOW(statx(AT_FDCWD, "file", 0x6000, STATX_SIZE, &extended));
    SHOW(statx(AT_FDCWD, "file", 0x8000, STATX_SIZE, &extended));
    SHOW(statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &extended));
    SHOW(statx(AT_FDCWD, "none", 0, STATX_SIZE, &extended));
    SHOW(statfs(".", &file_system));
    printf("type %lx block %ld name %ld\n", (long)file_system.f_type, (long)file_system.f_bsize,
           (long)file_system.f_namelen);
    SHOW(statfs("none", &file_system));
    SHOW(fstatfs(99, &file_system));
    SHOW(fstatfs(fd, &file_system));
    SHOW(getxattr("none", "user.a", NULL, 0));
    SHOW(listxattr("file", NULL, 0));
}

static void check_openat2(void)
{
    struct how {
        uint64_t flags, mode, resolve, more;
    } how = {.flags = O_RDONLY}, beneath = {.resolve = 8}, links = {.resolve = 4}, unknown = {.resolve = 64};
    struct how mode = {.mode = 0644}, flags = {.flags = 1ull << 40}, both = {.resolve = 8 | 16};
    struct how path = {.flags = O_PATH | O_CREAT}, rest = {.more = 1};
    int fd = (int)syscall(SYS_openat2, AT_FDCWD, "file", &how, 24);

    SHOW(fd >= 0);
    close(fd);
    SHOW(syscall(SYS_openat2, AT_FDCWD, "file", &how, 8));
    SHOW(syscall(SYS_openat2, AT_FDCWD, "file", &how, 5000));
    SHOW(syscall(SYS_openat2, AT_FDCWD, "file", NOWHERE, 24));
    SHOW(syscall(SYS_openat2, AT_FDCWD, "file", &rest, 32));
    SHOW(syscall(SYS_openat2, AT_FDCWD, "..", &beneath, 24));
    SHOW(syscall(SYS_openat2, AT_FDCWD, "/", &beneath, 24));
    SHOW(syscall(SYS_openat2, AT_FDCWD, "link", &links, 24));
    SHOW(syscall(SYS_openat2, AT_FDCWD, "file", &unknown, 24));
    SHOW(syscall(SYS_openat2, AT_FDCWD, "file", &mode, 24));
    SHOW(syscall(SYS_openat2, AT_FDCWD, "file", &flags, 24));
    SHOW(syscall(SYS_openat2, AT_FDCWD, "file", &both, 24));
    SHOW(syscall(SYS_openat2, AT_FDCWD, "file", &path, 24));
}

static void check_locks(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10};
    int reader = open("file", O_RDONLY);

    SHOW(fcntl(fd, F_SETLK, &lock));
    SHOW(fcntl(reader, F_SETLK, &lock));
    SHOW(fcntl(fd, F_GETLK, &lock));
    SHOW(lock.l_type == F_UNLCK);
    SHOW(fcntl(fd, F_GETLK, &lock));
    lock.l_type = F_RDLCK;
    SHOW(fcntl(reader, F_SETLKW, &lock));
    lock.l_whence = 9;
    SHOW(fcntl(fd, F_SETLK, &lock));
    lock.l_whence = SEEK_SET, lock.l_start = -1;
    SHOW(fcntl(fd, F_SETLK, &lock));
    lock.l_start = INT64_MAX, lock.l_len = 2;
    SHOW(fcntl(fd, F_SETLK, &lock));
    lock.l_start = 5, lock.l_len = -10;
    SHOW(fcntl(fd, F_SETLK, &lock));
    lock.l_type = 9, lock.l_len = 1;
    SHOW(fcntl(fd, F_SETLK, &lock));
    SHOW(fcntl(fd, F_SETLK, NOWHERE));
    SHOW(fcntl(99, F_SETLK, &lock));
    SHOW(fcntl(fd, 7777));
    SHOW(fcntl(fd, F_DUPFD, 100000000));
    SHOW(dup2(fd, -1));
    SHOW(dup2(99, 5));
    SHOW(dup2(fd, fd) == fd);
    SHOW(dup3(fd, fd, 0));
    SHOW(dup3(fd, 200, 1));
    SHOW(dup3(fd, 200, O_CLOEXEC));
    SHOW(fcntl(200, F_GETFD));
    SHOW(fcntl(fd, F_DUPFD_CLOEXEC, 201));
    SHOW(fcntl(201, F_GETFD));
    SHOW(close_range(200, 300, 0));
    SHOW(close_range(300, 200, 0));
    SHOW(close_range(200, 300, 1));
    SHOW(fcntl(200, F_GETFD));
    close(reader);
}

void check_attributes(void)
{
    int fd = open("file", O_CREAT | O_EXCL | O_RDWR, 0666);

    SHOW(symlink("file", "link"));
    check_modes(fd);
    check_times(fd);
    check_stat(fd);
    check_openat2();
    check_locks(fd);
    close(fd);
    SHOW(unlink("link"));
    SHOW(unlink("file"));
}
