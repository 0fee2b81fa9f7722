/* Names: what can be made, removed, renamed and found, in a directory of its own in /dev/shm. Prints the same on Linux.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tree.h"

#define RENAME_BAD 0x80

/* Opens and closes again: 0 or -1. */
static int opened(const char *path, int flags)
{
    int fd = open(path, flags, 0644);

    if (fd >= 0)
        close(fd);
    return fd >= 0 ? 0 : -1;
}

static int made(const char *path)
{
    return opened(path, O_CREAT | O_EXCL | O_RDWR);
}

static int by_name(const void *first, const void *second)
{
    return strcmp(*(char *const *)first, *(char *const *)second);
}

static void list(const char *path)
{
    char *names[64];
    int count = 0;
    DIR *directory = opendir(path);
    struct dirent *entry;

    while (directory && (entry = readdir(directory))) {
        char text[300];

        snprintf(text, sizeof(text), "%s(%d)", entry->d_name, entry->d_type);
        names[count++] = strdup(text);
    }
    if (directory)
        closedir(directory);
    qsort(names, count, sizeof(names[0]), by_name);
    printf("%s:", path);
    for (int i = 0; i < count; i++) {
        printf(" %s", names[i]);
        free(names[i]);
    }
    printf("\n");
}

static void check_open(void)
{
    int fd;

    SHOW(opened("a", O_RDONLY));
    SHOW(opened("a", O_CREAT | O_RDWR));
    SHOW(opened("a", O_CREAT | O_EXCL | O_RDWR));
    SHOW(opened("a/", O_CREAT | O_RDWR));
    SHOW(opened("a/", O_RDONLY));
    SHOW(opened("a/b", O_RDONLY));
    SHOW(opened("new/", O_CREAT | O_RDWR));
    SHOW(opened("none/new", O_CREAT | O_RDWR));
    SHOW(opened("", O_RDONLY));
    SHOW(opened("", O_CREAT | O_RDWR));
    SHOW(opened(NOWHERE, O_RDONLY));
    SHOW(opened("a", O_DIRECTORY));
    SHOW(mkdir("d", 0755));
    SHOW(opened("d", O_RDWR));
    SHOW(opened("d", O_CREAT | O_RDONLY));
    SHOW(opened("d", O_DIRECTORY | O_RDONLY));
    SHOW(opened("d/", O_RDONLY));
    SHOW(opened("d/.", O_CREAT | O_RDWR));
    SHOW(opened(".", O_CREAT | O_EXCL | O_RDWR));
    SHOW(opened("d", O_TRUNC | O_RDONLY));
    SHOW(opened("a", O_CREAT | O_DIRECTORY | O_RDWR));
    SHOW(opened("d", O_TMPFILE | O_RDONLY));
    SHOW(opened("d", O_TMPFILE | O_CREAT | O_RDWR));
    SHOW(opened("a", O_TMPFILE | O_RDWR));
    SHOW(opened("none", O_TMPFILE | O_RDWR));
    SHOW(opened("d", O_TMPFILE | O_RDWR));
    fd = open("a", O_PATH | O_RDWR | O_CREAT);
    SHOW(fcntl(fd, F_GETFL) & ~O_CLOEXEC);
    SHOW(read(fd, &fd, 0));
    SHOW(ftruncate(fd, 0));
    SHOW(fchmod(fd, 0600));
    SHOW(fcntl(fd, F_SETFD, 1));
    SHOW(fcntl(fd, F_GETFD));
    SHOW(fcntl(fd, F_SETFL, 0));
    SHOW(close(fd));
    fd = open("a", O_WRONLY | O_RDWR);
    SHOW(read(fd, &fd, 1));
    SHOW(write(fd, &fd, 1));
    SHOW(close(fd));
    fd = open("a", O_WRONLY | O_APPEND);
    SHOW(read(fd, &fd, 1));
    SHOW(fcntl(fd, F_GETFL));
    SHOW(fcntl(fd, F_SETFL, O_NONBLOCK));
    SHOW(fcntl(fd, F_GETFL));
    close(fd);
    list(".");
}

static void check_links(void)
{
    char text[64] = "";

    SHOW(symlink("a", "to-a"));
    SHOW(symlink("d", "to-d"));
    SHOW(symlink("loop", "loop"));
    SHOW(symlink("nothing", "dangling"));
    SHOW(symlink("", "empty"));
    SHOW(symlink("x", "to-a"));
    SHOW(symlink("x", "y/"));
    SHOW(readlink("to-a", text, sizeof(text)));
    SHOW(strcmp(text, "a"));
    SHOW(readlink("to-d", text, 0));
    SHOW(readlink("a", text, sizeof(text)));
    SHOW(readlink("none", text, sizeof(text)));
    SHOW(readlink("to-a", NOWHERE, 8));
    SHOW(opened("loop", O_RDONLY));
    SHOW(opened("loop/x", O_RDONLY));
    SHOW(opened("to-a", O_RDONLY | O_NOFOLLOW));
    SHOW(opened("to-a", O_PATH | O_NOFOLLOW));
    SHOW(opened("to-a", O_PATH | O_NOFOLLOW | O_DIRECTORY));
    SHOW(opened("to-d", O_RDONLY | O_DIRECTORY));
    SHOW(opened("to-d", O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    SHOW(opened("to-d/", O_RDONLY | O_NOFOLLOW));
    SHOW(opened("dangling", O_RDONLY));
    SHOW(opened("dangling", O_CREAT | O_EXCL | O_RDWR));
    SHOW(opened("dangling", O_CREAT | O_RDWR));
    SHOW(access("nothing", F_OK));
    SHOW(unlink("nothing"));
    SHOW(mkdir("dangling", 0700));
    SHOW(mkdir("dangling/", 0700));
    SHOW(rmdir("to-d"));
    SHOW(rmdir("to-d/"));
    SHOW(unlink("to-d/"));
    SHOW(made("to-d/inside"));
    SHOW(access("d/inside", F_OK));
    SHOW(unlink("to-d/inside"));
    SHOW(symlink("../to-d/../a", "d/up"));
    SHOW(opened("d/up", O_RDONLY));
    SHOW(unlink("d/up"));
    for (int i = 0; i < 41; i++) {
        char name[16], target[16];

        snprintf(name, sizeof(name), "chain%d", i);
        snprintf(target, sizeof(target), i ? "chain%d" : "a", i - 1);
        if (symlink(target, name))
            printf("symlink failed\n");
    }
    SHOW(opened("chain39", O_RDONLY));
    SHOW(opened("chain40", O_RDONLY));
    for (int i = 0; i < 41; i++) {
        char name[16];

        snprintf(name, sizeof(name), "chain%d", i);
        unlink(name);
    }
    SHOW(link("a", "b"));
    SHOW(link("a", "b"));
    SHOW(link("d", "e"));
    SHOW(link("none", "e"));
    SHOW(link("a", "none/e"));
    SHOW(link("a", "e/"));
    SHOW(link("to-a", "l"));
    SHOW(readlink("l", text, sizeof(text)));
    SHOW(linkat(AT_FDCWD, "to-a", AT_FDCWD, "f", AT_SYMLINK_FOLLOW));
    SHOW(linkat(AT_FDCWD, "a", AT_FDCWD, "g", 1));
    SHOW(unlink("l"));
    SHOW(unlink("f"));
    list(".");
}

static void check_removal(void)
{
    SHOW(unlink("d"));
    SHOW(unlink("."));
    SHOW(unlink(".."));
    SHOW(unlink("none"));
    SHOW(unlink("none/"));
    SHOW(unlink("a/"));
    SHOW(unlink("d/"));
    SHOW(unlink("b/x"));
    SHOW(rmdir("a"));
    SHOW(rmdir("."));
    SHOW(rmdir(".."));
    SHOW(rmdir("d/."));
    SHOW(rmdir("d/.."));
    SHOW(rmdir("/"));
    SHOW(rmdir("none"));
    SHOW(made("d/x"));
    SHOW(rmdir("d"));
    SHOW(mkdir("d", 0700));
    SHOW(mkdir("a", 0700));
    SHOW(mkdir(".", 0700));
    SHOW(mkdir("/", 0700));
    SHOW(mkdir("none/x", 0700));
    SHOW(mkdir("a/x", 0700));
    SHOW(mkdir("d/y/", 0700));
    SHOW(rmdir("d/y/"));
    SHOW(unlinkat(AT_FDCWD, "d/x", 1));
    SHOW(unlink("d/x"));
    SHOW(unlinkat(AT_FDCWD, "d", AT_REMOVEDIR));
    SHOW(unlinkat(99, "d", 0));
    SHOW(unlinkat(AT_FDCWD, NOWHERE, 0));
    list(".");
}

static void check_rename(void)
{
    SHOW(mkdir("d", 0755));
    SHOW(mkdir("d/e", 0755));
    SHOW(mkdir("full", 0755));
    SHOW(made("full/x"));
    SHOW(rename("a", "c"));
    SHOW(rename("none", "c"));
    SHOW(rename("c", "b"));
    SHOW(access("c", F_OK));
    SHOW(made("other"));
    SHOW(rename("other", "b"));
    SHOW(access("other", F_OK));
    SHOW(rename("c", "d"));
    SHOW(rename("d", "c"));
    SHOW(rename("d", "d/e/f"));
    SHOW(rename("d/e", "d"));
    SHOW(rename("d", "full"));
    SHOW(rename("full", "d"));
    SHOW(rename("d/e", "d2"));
    SHOW(rename("full", "d2"));
    SHOW(rename("d2", "d"));
    SHOW(rename("c", "c/"));
    SHOW(rename("c/", "x"));
    SHOW(rename("d/", "x/"));
    SHOW(rename(".", "y"));
    SHOW(rename("x", "."));
    SHOW(rename("x", "x/.."));
    SHOW(rename("c", "none/x"));
    SHOW(rename("x", "x"));
    SHOW(renameat2(AT_FDCWD, "c", AT_FDCWD, "b", RENAME_NOREPLACE));
    SHOW(renameat2(AT_FDCWD, "c", AT_FDCWD, ".", RENAME_NOREPLACE));
    SHOW(renameat2(AT_FDCWD, "c", AT_FDCWD, "n", RENAME_NOREPLACE));
    SHOW(renameat2(AT_FDCWD, "n", AT_FDCWD, "none", RENAME_EXCHANGE));
    SHOW(renameat2(AT_FDCWD, "n", AT_FDCWD, "x", RENAME_EXCHANGE));
    SHOW(renameat2(AT_FDCWD, "x", AT_FDCWD, "n/x", RENAME_EXCHANGE));
    SHOW(renameat2(AT_FDCWD, "n", AT_FDCWD, "n/x", RENAME_EXCHANGE));
    SHOW(renameat2(AT_FDCWD, "n", AT_FDCWD, "x", RENAME_EXCHANGE | RENAME_NOREPLACE));
    SHOW(renameat2(AT_FDCWD, "n", AT_FDCWD, "x", RENAME_BAD));
    list(".");
    list("n");
    SHOW(unlink("n/x"));
    SHOW(rmdir("n"));
}

static void check_directories(void)
{
    char buffer[PATH_MAX], name[300], small[32];
    int fd, here = open(".", O_RDONLY | O_DIRECTORY);
    struct stat status;

    SHOW(mkdir("w", 0755));
    SHOW(chdir("w"));
    SHOW(strcmp(strrchr(getcwd(buffer, sizeof(buffer)), '/'), "/w"));
    SHOW(syscall(SYS_getcwd, buffer, 2));
    SHOW(syscall(SYS_getcwd, NOWHERE, sizeof(buffer)));
    fd = open(".", O_RDONLY);
    SHOW(rmdir("../w"));
    SHOW(syscall(SYS_getcwd, buffer, sizeof(buffer)));
    SHOW(made("inside"));
    SHOW(mkdir("inside", 0700));
    SHOW(opened(".", O_RDONLY));
    SHOW(opened("..", O_RDONLY));
    SHOW(syscall(SYS_getdents64, fd, buffer, sizeof(buffer)));
    SHOW(fstat(fd, &status));
    SHOW(status.st_nlink);
    SHOW(fchdir(here));
    SHOW(fchdir(99));
    SHOW(chdir("b"));
    SHOW(chdir("none"));
    close(fd);
    memset(name, 'n', sizeof(name));
    name[256] = '\0';
    SHOW(opened(name, O_CREAT | O_RDWR));
    SHOW(mkdir(name, 0700));
    name[255] = '\0';
    SHOW(mkdir(name, 0700));
    SHOW(rmdir(name));
    memset(buffer, '/', sizeof(buffer));
    buffer[sizeof(buffer) - 1] = '\0';
    SHOW(access(buffer, F_OK));
    memset(buffer, '.', sizeof(buffer));
    SHOW(access(buffer, F_OK));
    SHOW(mkdir("list", 0755));
    fd = open("list", O_RDONLY);
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "list/file%d", i);
        made(name);
    }
    SHOW(syscall(SYS_getdents64, fd, buffer, 10));
    SHOW(syscall(SYS_getdents64, fd, buffer, 24));
    SHOW(syscall(SYS_getdents64, fd, NOWHERE, 100));
    SHOW(syscall(SYS_getdents64, here + 50, buffer, 100));
    SHOW(lseek(fd, 0, SEEK_END));
    SHOW(lseek(fd, -1, SEEK_SET));
    SHOW(lseek(fd, 0, SEEK_SET));
    SHOW(read(fd, small, 1));
    SHOW(pread(fd, small, 1, 0));
    SHOW(write(fd, small, 1));
    close(fd);
    /* Removing while reading: every name is seen once. */
    DIR *directory = opendir("list");
    struct dirent *entry;
    int seen = 0;

    while ((entry = readdir(directory)))
        if (entry->d_name[0] == 'f') {
            snprintf(name, sizeof(name), "list/%.200s", entry->d_name);
            seen += unlink(name) == 0;
        }
    SHOW(seen);
    rewinddir(directory);
    SHOW(readdir(directory) != NULL);
    closedir(directory);
    SHOW(rmdir("list"));
    close(here);
}

static void check_deleted(void)
{
    char text[16] = "";
    int fd = open("gone", O_CREAT | O_RDWR, 0600), other;
    struct stat status;

    SHOW(write(fd, "still here", 10));
    SHOW(unlink("gone"));
    SHOW(opened("gone", O_RDONLY));
    SHOW(pread(fd, text, sizeof(text), 0));
    SHOW(strcmp(text, "still here"));
    SHOW(fstat(fd, &status));
    SHOW(status.st_nlink);
    SHOW(linkat(fd, "", AT_FDCWD, "back", AT_EMPTY_PATH));
    close(fd);
    fd = open(".", O_TMPFILE | O_RDWR, 0600);
    SHOW(write(fd, "nameless", 8));
    SHOW(linkat(fd, "", AT_FDCWD, "named", AT_EMPTY_PATH));
    SHOW(stat("named", &status));
    SHOW(status.st_size);
    SHOW(status.st_nlink);
    close(fd);
    fd = open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600);
    SHOW(linkat(fd, "", AT_FDCWD, "never", AT_EMPTY_PATH));
    close(fd);
    fd = open("named", O_RDONLY);
    other = open("named", O_RDONLY);
    SHOW(flock(fd, LOCK_EX));
    SHOW(flock(other, LOCK_SH | LOCK_NB));
    SHOW(flock(fd, LOCK_SH));
    SHOW(flock(other, LOCK_SH | LOCK_NB));
    SHOW(flock(fd, LOCK_EX | LOCK_NB));
    SHOW(flock(other, LOCK_UN));
    SHOW(flock(fd, LOCK_EX | LOCK_NB));
    SHOW(flock(fd, 77));
    SHOW(flock(99, LOCK_SH));
    close(fd);
    SHOW(flock(other, LOCK_EX | LOCK_NB));
    close(other);
    SHOW(unlink("named"));
}

static void check_special(void)
{
    char text[16] = "";
    int reader, writer;
    struct stat status;

    SHOW(mkfifo("fifo", 0600));
    SHOW(stat("fifo", &status));
    printf("mode %o\n", (unsigned)status.st_mode);
    SHOW(opened("fifo", O_WRONLY | O_NONBLOCK));
    reader = open("fifo", O_RDONLY | O_NONBLOCK);
    writer = open("fifo", O_WRONLY);
    SHOW(write(writer, "through", 7));
    SHOW(read(reader, text, sizeof(text)));
    SHOW(fstat(reader, &status));
    printf("mode %o size %ld\n", (unsigned)status.st_mode, (long)status.st_size);
    SHOW(lseek(reader, 0, SEEK_SET));
    close(writer);
    SHOW(read(reader, text, sizeof(text)));
    close(reader);
    SHOW(unlink("fifo"));
    SHOW(mknod("sock", S_IFSOCK | 0600, 0));
    SHOW(opened("sock", O_RDWR));
    SHOW(unlink("sock"));
    SHOW(mknod("dir", S_IFDIR | 0600, 0));
    SHOW(mknod("what", 0050000 | 0600, 0));
    SHOW(mknod("plain", 0600, 0));
    SHOW(unlink("plain"));
    SHOW(opened("/dev/null", O_RDWR | O_TRUNC | O_CREAT));
    writer = open("/dev/full", O_RDWR);
    SHOW(write(writer, "x", 1));
    SHOW(read(writer, text, 4));
    SHOW(lseek(writer, 10, SEEK_SET));
    SHOW(pread(writer, text, 4, 100));
    SHOW(fsync(writer));
    SHOW(ftruncate(writer, 0));
    close(writer);
    writer = open("/dev/null", O_RDWR);
    SHOW(write(writer, NOWHERE, 100));
    SHOW(read(writer, NOWHERE, 100));
    SHOW(lseek(writer, 10, SEEK_END));
    close(writer);
    writer = open("/dev/zero", O_RDONLY);
    SHOW(read(writer, NOWHERE, 100));
    SHOW(write(writer, text, 1));
    close(writer);
    SHOW(stat("/dev/urandom", &status));
    printf("mode %o device %lx\n", (unsigned)status.st_mode, (unsigned long)status.st_rdev);
}

int main(void)
{
    char folder[] = "/dev/shm/tree-XXXXXX";

    umask(022);
    if (!mkdtemp(folder) || chdir(folder)) {
        perror(folder);
        return 1;
    }
    check_open();
    check_links();
    check_removal();
    check_rename();
    check_directories();
    check_deleted();
    check_special();
    list(".");
    check_contents();
    check_attributes();
    SHOW(unlink("back") & 0);
    SHOW(unlink("b"));
    SHOW(unlink("to-a"));
    SHOW(unlink("to-d"));
    SHOW(unlink("loop"));
    SHOW(unlink("dangling"));
    SHOW(unlink("x") & 0);
    list(".");
    SHOW(rmdir(folder));
    return 0;
}
