/*
 * Paths, links, directories, renaming and removing. Left out because file systems differ: the order of entries and
 * their offsets (entries are sorted here), sizes of directories, EXDEV, limits of links, who may link what
 * (fs.protected_hardlinks), RENAME_WHITEOUT, device nodes.
 */
#include "tests/boot/linux/linux.h"

#include <dirent.h>
#include <limits.h>
#include <sys/statfs.h>

/* openat2(2); <linux/openat2.h> is not among the headers of every libc. */
struct open_how {
    uint64_t flags, mode, resolve;
};
#define RESOLVE_NO_SYMLINKS 4
#define RESOLVE_BENEATH 8
#define RESOLVE_IN_ROOT 16

static char long_name[NAME_MAX + 2], longest_path[PATH_MAX + 1];

static void make_names(void)
{
    memset(long_name, 'n', NAME_MAX + 1);
    for (size_t i = 0; i < PATH_MAX; i++)
        longest_path[i] = i % 2 ? '/' : '.';
}

static void show_links(const char *name)
{
    struct stat status;

    if (lstat(name, &status))
        printf("%s: %s\n", name, error_word(errno));
    else
        printf("%s: %o, %ld links\n", name, status.st_mode, (long)status.st_nlink);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list(const char *folder)
{
    char *names[300];
    size_t count = 0;
    DIR *directory = opendir(folder);
    struct dirent *entry;

    printf("%s:", folder);
    while (directory && (entry = readdir(directory)) && count < LENGTH(names)) {
        char *line = malloc(300);

        snprintf(line, 300, "%s/%d", entry->d_name, entry->d_type);
        names[count++] = line;
    }
    qsort(names, count, sizeof *names, by_name);
    for (size_t i = 0; i < count; i++) {
        printf(" %s", names[i]);
        free(names[i]);
    }
    puts(directory ? "" : " none");
    if (directory)
        closedir(directory);
}

static void directories(void)
{
    try(mkdir, "d", 0755);
    try(mkdir, "d", 0755);
    try(mkdir, "d/", 0755);
    try(mkdir, "d/e/", 0700);
    try(mkdir, "missing/e", 0755);
    try(mkdir, "", 0755);
    try(mkdir, "/", 0755);
    try(mkdir, ".", 0755);
    try(mkdir, "..", 0755);
    try(mkdir, "d/.", 0755);
    try(mkdir, "d/x/.", 0755);
    try(mkdir, NULL, 0755);
    try(mkdir, WILD, 0755);
    try(mkdir, NOT_CANONICAL, 0755);
    try(mkdir, KERNEL_HALF, 0755);
    try(mkdir, long_name, 0755);
    try(mkdir, longest_path, 0755);
    try(mkdirat, AT_FDCWD, "d/f", 0755);
    try(mkdirat, 9999, "g", 0755);
    show_links("d");
    show_links("d/e");
    list("d");
    try(rmdir, "d");
    try(rmdir, "d/e/");
    try(rmdir, "d/f/.");
    try(rmdir, "d/f/..");
    try(rmdir, "d/.");
    try(rmdir, ".");
    try(rmdir, "..");
    try(rmdir, "/");
    try(rmdir, "missing");
    try(rmdir, "");
    try(rmdir, WILD);
    close(make_file("file", 3));
    try(rmdir, "file");
    try(rmdir, "file/x");
    try(unlinkat, AT_FDCWD, "d/f", 0);
    try(unlinkat, AT_FDCWD, "d/f", AT_REMOVEDIR);
    try(unlinkat, AT_FDCWD, "d/f", 1);
    try(unlinkat, AT_FDCWD, "file", AT_REMOVEDIR);
    try(unlinkat, 9999, "file", 0);
    show_links("d");
    try(mkdir, "mode", 07777);
    show_links("mode");
    try(rmdir, "mode");
    try(rmdir, "d");
    try(unlink, "file");
}

static void removing(void)
{
    mkdir("d", 0755);
    close(make_file("file", 3));
    try(unlink, "d");
    try(unlink, "d/");
    try(unlink, "missing");
    try(unlink, "");
    try(unlink, ".");
    try(unlink, "file/");
    try(unlink, "file/x");
    try(unlink, "missing/x");
    try(unlink, WILD);
    try(unlink, KERNEL_HALF);
    try(unlink, long_name);
    try(unlink, "file");
    try(unlink, "file");
    try(rmdir, "d");
}

static void symbolic_links(void)
{
    char bytes[64], target[NAME_MAX + 1] = "";
    struct stat status;

    memset(bytes, '.', sizeof bytes);
    close(make_file("file", 5));
    mkdir("d", 0755);
    try(symlink, "file", "link");
    try(symlink, "file", "link");
    try(symlink, "", "empty");
    try(symlink, "file", "");
    try(symlink, "file", "missing/link");
    try(symlink, "file", "d");
    try(symlink, "file", "new/");
    try(symlink, WILD, "x");
    try(symlink, "x", WILD);
    try(symlink, longest_path, "x");
    try(symlink, "x", long_name);
    try(symlinkat, "../file", AT_FDCWD, "d/up");
    try(symlinkat, "x", 9999, "y");
    show_links("link");
    show(sys(readlink, "link", bytes, 64), "readlink");
    printf("%.6s\n", bytes);
    show(sys(readlink, "link", bytes, 2), "two bytes of it");
    try(readlink, "link", bytes, 0);
    try(readlink, "link", bytes, -1);
    try(readlink, "link", WILD, 64);
    try(readlink, "link", KERNEL_HALF, 64);
    try(readlink, "file", bytes, 64);
    try(readlink, "d", bytes, 64);
    try(readlink, "missing", bytes, 64);
    try(readlink, "", bytes, 64);
    try(readlink, "link/", bytes, 64);
    try(readlinkat, AT_FDCWD, "d/up", bytes, 64);
    try(readlinkat, 9999, "link", bytes, 64);
    show(sys(stat, "link", &status), "stat");
    value(S_ISREG(status.st_mode) && status.st_size == 5);
    show(sys(lstat, "link", &status), "lstat");
    value(S_ISLNK(status.st_mode) && status.st_size == 4);
    show(sys(stat, "d/up", &status), "through a folder");
    try(open, "link", O_RDONLY | O_NOFOLLOW);
    show(done(sys(open, "link", O_PATH | O_NOFOLLOW)), "the link itself");
    try(open, "link", O_CREAT | O_EXCL | O_WRONLY, 0644);
    try(open, "link/", O_RDONLY);
    try(unlink, "link");
    show_links("file");
    try(symlink, "loop2", "loop1");
    try(symlink, "loop1", "loop2");
    try(open, "loop1", O_RDONLY);
    try(stat, "loop1", &status);
    try(lstat, "loop1", &status);
    try(stat, "loop1/x", &status);
    try(mkdir, "loop1", 0755);
    try(mkdir, "loop1/x", 0755);
    try(unlink, "loop1");
    try(open, "loop2", O_RDONLY);
    show(done(sys(open, "loop2", O_RDWR | O_CREAT, 0644)), "create through a dangling link");
    show_links("loop1");
    try(unlink, "loop1"), try(unlink, "loop2");
    try(symlink, "self", "self");
    try(readlink, "self", bytes, 64);
    try(open, "self", O_RDWR | O_CREAT, 0644);
    try(unlink, "self");
    /* Forty links are followed, not one more. */
    try(symlink, "file", "chain1");
    for (int i = 2; i <= 42; i++) {
        char from[16], to[16];

        snprintf(from, sizeof from, "chain%d", i - 1);
        snprintf(to, sizeof to, "chain%d", i);
        symlink(from, to);
    }
    try(stat, "chain40", &status);
    try(stat, "chain41", &status);
    for (int i = 1; i <= 42; i++) {
        char name[16];

        snprintf(name, sizeof name, "chain%d", i);
        unlink(name);
    }
    memset(target, 't', NAME_MAX);
    try(symlink, target, "far");
    try(stat, "far", &status);
    try(unlink, "far");
    try(symlink, "d", "dl");
    try(mkdir, "dl/below", 0755);
    try(rmdir, "dl");
    try(rmdir, "dl/");
    try(rmdir, "dl/below");
    try(stat, "dl/", &status);
    value(S_ISDIR(status.st_mode));
    try(lstat, "dl/", &status);
    value(S_ISDIR(status.st_mode));
    try(unlink, "dl/");
    try(unlink, "dl");
    try(unlink, "d/up"), try(rmdir, "d"), try(unlink, "file");
}

static void hard_links(void)
{
    int fd = make_file("one", 4), path;
    char bytes[16] = "";

    mkdir("d", 0755);
    symlink("one", "soft");
    try(link, "one", "two");
    try(link, "one", "two");
    try(link, "one", "d/three");
    show_links("one");
    show(sys(write, fd, "more", 4), "write");
    show_links("two");
    path = open("d/three", O_RDONLY);
    show(sys(read, path, bytes, 8), "read by another name");
    text(bytes);
    close(path);
    try(link, "missing", "x");
    try(link, "d", "x");
    try(link, "one", "missing/x");
    try(link, "one", "");
    try(link, "", "x");
    try(link, "one/", "x");
    try(link, "one", "x/");
    try(link, WILD, "x");
    try(link, "one", WILD);
    try(link, "one", long_name);
    try(linkat, AT_FDCWD, "one", AT_FDCWD, "x", 1);
    try(linkat, 9999, "one", AT_FDCWD, "x", 0);
    try(linkat, AT_FDCWD, "one", 9999, "x", 0);
    try(linkat, AT_FDCWD, "soft", AT_FDCWD, "softer", 0);
    show_links("softer");
    try(linkat, AT_FDCWD, "soft", AT_FDCWD, "followed", AT_SYMLINK_FOLLOW);
    show_links("followed");
    show(sys(linkat, fd, "", AT_FDCWD, "x", 0), "an empty path");
    show(sys(linkat, fd, "", AT_FDCWD, "named", 0x1000), "AT_EMPTY_PATH");
    show_links("named");
    try(unlink, "one"), try(unlink, "two"), try(unlink, "followed"), try(unlink, "named");
    try(unlink, "soft"), try(unlink, "softer");
    show_links("d/three");
    try(unlink, "d/three"), try(rmdir, "d");
    close(fd);
}

static void renaming(void)
{
    struct stat before, after;

    close(make_file("a", 1));
    close(make_file("b", 2));
    mkdir("d", 0755), mkdir("e", 0755), mkdir("full", 0755), mkdir("full/in", 0755);
    symlink("a", "s");
    stat("a", &before);
    try(rename, "a", "c");
    stat("c", &after);
    value(before.st_ino == after.st_ino);
    show_links("a");
    try(rename, "c", "b");
    stat("b", &after);
    value(before.st_ino == after.st_ino && after.st_size == 1);
    try(rename, "b", "b");
    try(rename, "missing", "x");
    try(rename, "b", "missing/x");
    try(rename, "b/x", "y");
    try(rename, "b", "b/x");
    try(rename, "", "x");
    try(rename, "b", "");
    try(rename, WILD, "x");
    try(rename, "b", WILD);
    try(rename, "b", long_name);
    try(rename, "b", "d");
    try(rename, "d", "b");
    try(rename, "d", "d/x");
    try(rename, "d", "full");
    try(rename, "d", "full/in/x");
    show_links("d");
    try(rename, "full/in/x", "d");
    try(rename, "d", "e");
    show_links("e");
    show_links("d");
    try(rename, "e", "d/");
    try(rename, "b", "x/");
    try(rename, "b/", "x");
    try(rename, "full", "full/in/x");
    try(rename, "full/in", "full");
    try(rename, ".", "x");
    try(rename, "d", ".");
    try(rename, "d/.", "x");
    try(rename, "d", "..");
    try(rename, "d/..", "x");
    try(rename, "/", "x");
    try(rename, "d", "/");
    show_links("full");
    try(rename, "full/in", "moved");
    show_links("full");
    show_links("moved");
    try(rename, "s", "t");
    show_links("t");
    try(rename, "b", "t");
    show_links("t");
    try(link, "t", "u");
    try(rename, "t", "u");
    show_links("t");
    try(renameat, AT_FDCWD, "u", 9999, "x");
    try(renameat, 9999, "u", AT_FDCWD, "x");
    try(renameat2, AT_FDCWD, "u", AT_FDCWD, "t", 1);
    try(renameat2, AT_FDCWD, "u", AT_FDCWD, "new", 1);
    try(renameat2, AT_FDCWD, "new", AT_FDCWD, "full", 2);
    show_links("new");
    show_links("full");
    try(renameat2, AT_FDCWD, "new", AT_FDCWD, "missing", 2);
    try(renameat2, AT_FDCWD, "new", AT_FDCWD, "full", 3);
    try(renameat2, AT_FDCWD, "new", AT_FDCWD, "full", 0x100);
    try(renameat2, AT_FDCWD, "d", AT_FDCWD, "d/x", 2);
    list(".");
    try(rmdir, "d"), try(rmdir, "moved"), try(rmdir, "new"), try(unlink, "full"), try(unlink, "t");
    list(".");
}

static void working_directory(void)
{
    char path[PATH_MAX], before[PATH_MAX], *name;
    int fd, folder;

    getcwd(before, sizeof before);
    mkdir("d", 0755), mkdir("d/e", 0755);
    close(make_file("file", 1));
    try(chdir, "missing");
    try(chdir, "file");
    try(chdir, "file/x");
    try(chdir, "");
    try(chdir, WILD);
    try(chdir, KERNEL_HALF);
    try(chdir, long_name);
    try(chdir, longest_path);
    try(fchdir, 9999);
    try(fchdir, -1);
    fd = open("file", O_RDONLY);
    show(sys(fchdir, fd), "to a file");
    close(fd);
    try(chdir, "d/e");
    value(sys(getcwd, path, sizeof path) == (long)strlen(path) + 1);
    name = strlen(path) > strlen(before) ? path + strlen(before) : "shorter";
    text(name);
    try(getcwd, path, 3);
    try(getcwd, path, 0);
    try(getcwd, NULL, 0);
    try(getcwd, WILD, 4096);
    try(getcwd, KERNEL_HALF, 4096);
    value(sys(getcwd, path, strlen(before) + 4) == -ERANGE);
    value(sys(getcwd, path, strlen(before) + 5) > 0);
    folder = open(".", O_RDONLY | O_DIRECTORY);
    try(chdir, "../..");
    try(rename, "d", "f");
    show(sys(fchdir, folder), "fchdir");
    getcwd(path, sizeof path);
    name = path + strlen(before);
    text(name);
    try(rmdir, "../e");
    show(sys(getcwd, path, sizeof path), "getcwd of a removed folder");
    try(open, "x", O_RDWR | O_CREAT, 0644);
    try(mkdir, "x", 0755);
    try(chdir, "..");
    getcwd(path, sizeof path);
    name = path + strlen(before);
    text(name);
    try(chdir, "../f/.././/f//");
    getcwd(path, sizeof path);
    name = path + strlen(before);
    text(name);
    try(chdir, "/../..");
    getcwd(path, sizeof path);
    text(path);
    close(folder);
    chdir(before);
    fd = open("f", O_RDONLY);
    show(done(sys(openat, fd, "../file", O_RDONLY)), "from a descriptor");
    close(fd);
    try(rmdir, "f"), try(unlink, "file");
}

static void long_paths(void)
{
    char path[PATH_MAX + 2];
    struct stat status;

    try(stat, longest_path, &status);
    longest_path[PATH_MAX - 1] = '\0';
    try(stat, longest_path, &status);
    longest_path[PATH_MAX - 1] = '/';
    try(stat, long_name, &status);
    long_name[NAME_MAX] = '\0';
    try(stat, long_name, &status);
    close(make_file(long_name, 3));
    show_links(long_name);
    try(unlink, long_name);
    long_name[NAME_MAX] = 'n';
    memset(path, '/', sizeof path);
    path[PATH_MAX - 1] = '\0';
    try(stat, path, &status);
    path[PATH_MAX - 1] = '/';
    path[PATH_MAX] = '\0';
    try(stat, path, &status);
    try(stat, "//", &status);
    try(stat, "/.", &status);
    try(stat, "/..", &status);
    try(stat, "./././.", &status);
    mkdir("deep", 0755);
    chdir("deep");
    for (int i = 0; i < 60; i++) {
        mkdir("0123456789012345678901234567890123456789012345678901234567890123456789", 0755);
        chdir("0123456789012345678901234567890123456789012345678901234567890123456789");
    }
    show(sys(getcwd, path, sizeof path) == -ENAMETOOLONG || sys(getcwd, path, sizeof path) == -ERANGE, "too deep");
    close(make_file("bottom", 9));
    show(sys(stat, "bottom", &status), "stat");
    try(unlink, "bottom");
    for (int i = 0; i < 60; i++) {
        chdir("..");
        rmdir("0123456789012345678901234567890123456789012345678901234567890123456789");
    }
    chdir("..");
    try(rmdir, "deep");
}

static void reading_directories(void)
{
    char bytes[4096], name[16];
    int fd, file = make_file("file", 1);
    size_t total = 0, entries = 0;
    long length;

    mkdir("many", 0755);
    for (int i = 0; i < 250; i++) {
        snprintf(name, sizeof name, "many/%d", i);
        close(open(name, O_CREAT | O_WRONLY, 0644));
    }
    fd = open("many", O_RDONLY | O_DIRECTORY);
    show(sys(getdents64, fd, bytes, 0), "no room");
    show(sys(getdents64, fd, bytes, 10), "too little room");
    show(sys(getdents64, fd, WILD, 4096), "to nowhere");
    show(sys(getdents64, fd, KERNEL_HALF, 4096), "to the kernel");
    show(sys(getdents64, file, bytes, 4096), "of a file");
    show(sys(getdents64, 9999, bytes, 4096), "no descriptor");
    while ((length = sys(getdents64, fd, bytes, 500)) > 0) {
        for (long at = 0; at < length; entries++)
            at += *(unsigned short *)(bytes + at + 16);
        total += (size_t)length;
    }
    show(length, "the end");
    show(sys(getdents64, fd, bytes, 4096), "again the end");
    printf("%zu entries, %zu bytes\n", entries, total);
    show(sys(lseek, fd, 0, SEEK_SET), "back to the start");
    for (entries = 0; (length = sys(getdents64, fd, bytes, 4096)) > 0;)
        for (long at = 0; at < length; entries++)
            at += *(unsigned short *)(bytes + at + 16);
    value(entries);
    /* Removing while reading loses none of those that stay. */
    lseek(fd, 0, SEEK_SET);
    for (entries = 0; (length = sys(getdents64, fd, bytes, 300)) > 0;)
        for (long at = 0; at < length; at += *(unsigned short *)(bytes + at + 16)) {
            if (bytes[at + 19] == '.')
                continue;
            snprintf(name, sizeof name, "many/%s", bytes + at + 19);
            entries += unlink(name) == 0;
        }
    value(entries);
    list("many");
    close(make_file("many/z", 1)), mkdir("many/y", 0755), symlink("z", "many/x");
    list("many");
    unlink("many/z"), rmdir("many/y"), unlink("many/x");
    try(rmdir, "many");
    show(sys(getdents64, fd, bytes, 4096) == -ENOENT || sys(getdents64, fd, bytes, 4096) == 0, "of a removed folder");
    close(fd), close(file);
    try(unlink, "file");
}

static long try_openat2(const char *path, struct open_how how, size_t size)
{
    return done(sys(openat2_, AT_FDCWD, path, &how, size));
}

static void open_how(void)
{
    struct open_how how = {0};
    size_t size = sizeof how;

    close(make_file("file", 1)), mkdir("d", 0755), symlink("../file", "d/up"), symlink("/", "d/root");
    show(try_openat2("file", (struct open_how){.flags = O_RDONLY}, size), "plain");
    show(try_openat2("file", (struct open_how){.flags = O_RDONLY}, 8), "too small");
    show(try_openat2("file", (struct open_how){.flags = 1ul << 40}, size), "unknown flags");
    show(try_openat2("file", (struct open_how){.mode = 0644}, size), "a mode without O_CREAT");
    show(try_openat2("new", (struct open_how){.flags = O_CREAT, .mode = 0200000}, size), "an unknown mode");
    show(try_openat2("file", (struct open_how){.resolve = 0x1000}, size), "unknown resolve");
    show(try_openat2("d/up", (struct open_how){.resolve = RESOLVE_NO_SYMLINKS}, size), "no links");
    show(try_openat2("d/../file", (struct open_how){.resolve = RESOLVE_BENEATH}, size), "beneath");
    show(try_openat2("../file", (struct open_how){.resolve = RESOLVE_BENEATH}, size), "not beneath");
    show(try_openat2("/tmp", (struct open_how){.resolve = RESOLVE_BENEATH}, size), "absolute, not beneath");
    show(try_openat2("d/root", (struct open_how){.resolve = RESOLVE_BENEATH}, size), "a link not beneath");
    show(try_openat2("/file", (struct open_how){.resolve = RESOLVE_IN_ROOT}, size), "in a root");
    show(try_openat2("../../file", (struct open_how){.resolve = RESOLVE_IN_ROOT}, size), "out of a root");
    show(sys(openat2_, AT_FDCWD, "file", WILD, size), "from nowhere");
    unlink("d/up"), unlink("d/root"), rmdir("d"), unlink("file");
}

static void nodes(void)
{
    struct stat status;

    try(mknod, "plain", S_IFREG | 0640, 0);
    show_links("plain");
    try(mknod, "plain", S_IFREG | 0640, 0);
    try(mknod, "none", 0600, 0);
    show_links("none");
    try(mknod, "fifo", S_IFIFO | 0600, 0);
    show_links("fifo");
    show(sys(open, "fifo", O_WRONLY | O_NONBLOCK), "open a FIFO that nobody reads");
    show(done(sys(open, "fifo", O_RDONLY | O_NONBLOCK)), "open it to read");
    try(mknod, "folder", S_IFDIR | 0700, 0);
    try(mknod, "wrong", 0170000, 0);
    try(mknod, "missing/x", S_IFREG, 0);
    try(mknod, WILD, S_IFREG, 0);
    try(mknodat, 9999, "x", S_IFREG, 0);
    try(stat, "fifo", &status);
    try(unlink, "plain"), try(unlink, "none"), try(unlink, "fifo");
}

/* A removed directory that is open keeps the removed ones above it; they go together. */
static void removed_chain(void)
{
    const int depth = 3000;
    int top = open(".", O_RDONLY | O_DIRECTORY), deepest, wrong = 0;

    for (int i = 0; i < depth; i++)
        wrong += mkdir("down", 0755) != 0 || chdir("down") != 0;
    deepest = open(".", O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < depth; i++)
        wrong += chdir("..") != 0 || rmdir("down") != 0;
    value(wrong);
    show(sys(close, deepest), "the last of a chain");
    show(sys(fchdir, top), "up again");
    close(top);
}

static void file_systems(void)
{
    struct statfs status;
    int fd = make_file("file", 1);

    show(sys(statfs, ".", &status), "statfs");
    value(status.f_bsize > 0 && status.f_blocks >= status.f_bfree && status.f_namelen == 255);
    try(statfs, "missing", &status);
    try(statfs, ".", WILD);
    try(statfs, WILD, &status);
    show(sys(fstatfs, fd, &status), "fstatfs");
    try(fstatfs, 9999, &status);
    show(sys(fstatfs, fd, WILD), "to nowhere");
    close(fd);
    try(unlink, "file");
}

int main(void)
{
    fresh_folder();
    make_names();
    directories();
    removing();
    symbolic_links();
    hard_links();
    renaming();
    working_directory();
    long_paths();
    reading_directories();
    open_how();
    nodes();
    removed_chain();
    file_systems();
    list(".");
    remove_folder();
    return 0;
}
