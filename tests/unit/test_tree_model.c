/*
 * The file system against Linux's own: random calls on both, on tmpfs there, with equal results, contents and names.
 * QUIRE_SEED repeats a run, QUIRE_STEPS makes it longer.
 */
#include <string.h>

#include "core/base/print.h"
#include "core/linux/calls.h"
#include "core/linux/file_calls.h"
#include "fake.h"
#include "fixture.h"
#include "harness.h"
#include "linux_calls.h"

#define FDS 6
#define BUFFER (5 * VM_PAGE_SIZE)
#define SIZE_MAX_TRIED (200 * VM_PAGE_SIZE)

static struct random state;
/* To tmpfs pages that were allocated but not written are holes, here they are data: one run does not have both. */
static bool allocating;
static struct {
    int quire, native; /* -1: not open */
} fds[FDS];
static char one[BUFFER], two[BUFFER];

static uint64_t below(uint64_t bound)
{
    return random_below(&state, bound);
}

/* A relative path of a few names; ".." could leave the directory that is compared. */
static const char *some_path(char path[64])
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "."};
    size_t parts = 1 + below(3);

    path[0] = '\0';
    for (size_t i = 0; i < parts; i++) {
        if (i > 0)
            strcat(path, "/");
        strcat(path, names[below(ARRAY_LENGTH(names))]);
    }
    if (below(20) == 0)
        strcat(path, "/");
    return path;
}

static void must_be_equal(const char *what, const char *path, long quire, long native)
{
    if (quire != native)
        fail_msg("%s %s: %ld, on Linux %ld", what, path, quire, native);
}

static long both(const char *what, const char *path, long number, long a, long b, long c, long d, long e)
{
    long quire = quire_call(number, a, b, c, d, e), native = native_call(number, a, b, c, d, e);

    must_be_equal(what, path, quire, native);
    return quire;
}

static void try_open(void)
{
    static const int flags[] = {
        0,
        O_RDWR,
        O_CREAT | O_RDWR,
        O_CREAT | O_RDWR,
        O_CREAT | O_WRONLY | O_TRUNC,
        O_CREAT | O_EXCL | O_RDWR,
        O_RDWR | O_APPEND | O_CREAT,
        O_DIRECTORY,
        O_NOFOLLOW | O_RDWR,
        O_PATH,
        O_PATH | O_NOFOLLOW,
        O_TMPFILE | O_RDWR,
        O_CREAT | O_RDWR | O_NOFOLLOW,
    };
    size_t slot = below(FDS);
    int flag = flags[below(ARRAY_LENGTH(flags))];
    char path[64];
    long quire, native;

    if (fds[slot].quire >= 0) {
        must_be_equal("close", "", quire_call(SYS_close, fds[slot].quire, 0, 0, 0, 0),
                      native_call(SYS_close, fds[slot].native, 0, 0, 0, 0));
        fds[slot].quire = fds[slot].native = -1;
        return;
    }
    some_path(path);
    quire = quire_call(SYS_openat, AT_FDCWD, (long)path, flag, 0644, 0);
    native = native_call(SYS_openat, AT_FDCWD, (long)path, flag, 0644, 0);
    if ((quire < 0 || native < 0) && quire != native)
        fail_msg("open %s %o: %ld, on Linux %ld", path, flag, quire, native);
    fds[slot].quire = (int)quire < 0 ? -1 : (int)quire;
    fds[slot].native = (int)native < 0 ? -1 : (int)native;
}

static void try_names(void)
{
    char path[64], other[64], text[64] = "", text_native[64] = "";

    some_path(path);
    some_path(other);
    switch (below(9)) {
    case 0:
    case 1:
        both("mkdir", path, SYS_mkdir, (long)path, 0755, 0, 0, 0);
        break;
    case 2:
        both("rmdir", path, SYS_rmdir, (long)path, 0, 0, 0, 0);
        break;
    case 3:
        both("unlink", path, SYS_unlink, (long)path, 0, 0, 0, 0);
        break;
    case 4:
        both("rename", path, SYS_renameat2, AT_FDCWD, (long)path, AT_FDCWD, (long)other, (long)below(3));
        break;
    case 5:
        both("link", path, SYS_link, (long)path, (long)other, 0, 0, 0);
        break;
    case 6:
        both("symlink", other, SYS_symlink, (long)path, (long)other, 0, 0, 0);
        break;
    case 7:
        both("chmod", path, SYS_chmod, (long)path, below(2) ? 0755 : 0700, 0, 0, 0);
        break;
    default:
        must_be_equal("readlink", path, quire_call(SYS_readlink, (long)path, (long)text, sizeof(text), 0, 0),
                      native_call(SYS_readlink, (long)path, (long)text_native, sizeof(text), 0, 0));
        assert_string_equal(text, text_native);
    }
}

static void try_stat(void)
{
    static const long calls[] = {SYS_stat, SYS_lstat};
    struct linux_stat quire, native;
    long call = calls[below(2)], result;
    char path[64];

    some_path(path);
    result = quire_call(call, (long)path, (long)&quire, 0, 0, 0);
    must_be_equal("stat", path, result, native_call(call, (long)path, (long)&native, 0, 0, 0));
    if (result != 0)
        return;
    must_be_equal("mode", path, quire.mode, native.mode);
    must_be_equal("links", path, (long)quire.links, (long)native.links);
    if ((quire.mode & 0170000) != 0040000)
        must_be_equal("size", path, quire.size, native.size);
}

static void fill_buffer(size_t length)
{
    int byte = 1 + (int)below(255);

    for (size_t i = 0; i < length; i++)
        one[i] = (char)(byte + (int)(i >> 6));
}

static void try_bytes(size_t slot)
{
    int quire = fds[slot].quire, native = fds[slot].native;
    size_t length = below(4) ? below(300) : below(BUFFER);
    long at = (long)below(SIZE_MAX_TRIED), result;

    if (below(3) == 0)
        at &= ~(long)VM_PAGE_MASK;
    if (below(3) == 0)
        length &= ~VM_PAGE_MASK;
    switch (below(9)) {
    case 0:
    case 1:
        fill_buffer(length);
        must_be_equal("pwrite", "", quire_call(SYS_pwrite64, quire, (long)one, (long)length, at, 0),
                      native_call(SYS_pwrite64, native, (long)one, (long)length, at, 0));
        break;
    case 2:
        fill_buffer(length);
        must_be_equal("write", "", quire_call(SYS_write, quire, (long)one, (long)length, 0, 0),
                      native_call(SYS_write, native, (long)one, (long)length, 0, 0));
        break;
    case 3:
    case 4:
        result = quire_call(SYS_pread64, quire, (long)one, (long)length, at, 0);
        must_be_equal("pread", "", result, native_call(SYS_pread64, native, (long)two, (long)length, at, 0));
        if (result > 0)
            assert_memory_equal(one, two, (size_t)result);
        break;
    case 5:
        result = quire_call(SYS_read, quire, (long)one, (long)length, 0, 0);
        must_be_equal("read", "", result, native_call(SYS_read, native, (long)two, (long)length, 0, 0));
        if (result > 0)
            assert_memory_equal(one, two, (size_t)result);
        break;
    case 6:
        must_be_equal("ftruncate", "", quire_call(SYS_ftruncate, quire, at, 0, 0, 0),
                      native_call(SYS_ftruncate, native, at, 0, 0, 0));
        break;
    default:
        must_be_equal("ftruncate", "", quire_call(SYS_ftruncate, quire, at / 64, 0, 0, 0),
                      native_call(SYS_ftruncate, native, at / 64, 0, 0, 0));
    }
}

static bool is_same_file(size_t first, size_t second)
{
    struct linux_stat one_stat, other;

    quire_call(SYS_fstat, fds[first].quire, (long)&one_stat, 0, 0, 0);
    quire_call(SYS_fstat, fds[second].quire, (long)&other, 0, 0, 0);
    return one_stat.inode == other.inode;
}

static void try_file(void)
{
    size_t slot = below(FDS);
    struct linux_stat quire, native;
    long mode, at = (long)below(SIZE_MAX_TRIED), length = (long)below(20 * VM_PAGE_SIZE);

    if (fds[slot].quire < 0)
        return;
    must_be_equal("fstat", "", quire_call(SYS_fstat, fds[slot].quire, (long)&quire, 0, 0, 0),
                  native_call(SYS_fstat, fds[slot].native, (long)&native, 0, 0, 0));
    must_be_equal("mode", "", quire.mode, native.mode);
    must_be_equal("links", "", (long)quire.links, (long)native.links);
    if ((quire.mode & 0170000) != 0100000)
        return;
    must_be_equal("size", "", quire.size, native.size);
    switch (below(4)) {
    case 0:
        mode = allocating ? (long)below(4) : FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
        must_be_equal("fallocate", "", quire_call(SYS_fallocate, fds[slot].quire, mode, at, length, 0),
                      native_call(SYS_fallocate, fds[slot].native, mode, at, length, 0));
        break;
    case 1:
        mode = (long)below(allocating ? 3 : 6);
        must_be_equal("lseek", "", quire_call(SYS_lseek, fds[slot].quire, at, mode, 0, 0),
                      native_call(SYS_lseek, fds[slot].native, at, mode, 0, 0));
        break;
    case 2:
        mode = (long)below(FDS);
        if (fds[mode].quire >= 0 && !is_same_file((size_t)mode, slot)) /* the size of the parts would show */
            must_be_equal("sendfile", "", quire_call(SYS_sendfile, fds[mode].quire, fds[slot].quire, 0, length, 0),
                          native_call(SYS_sendfile, fds[mode].native, fds[slot].native, 0, length, 0));
        break;
    default:
        try_bytes(slot);
    }
}

/* The names in a directory, one a bit: 'a' to 'f'. */
static unsigned names_in(long (*call)(long, long, long, long, long, long), const char *path)
{
    long fd = call(SYS_openat, AT_FDCWD, (long)path, O_DIRECTORY, 0, 0), length;
    unsigned names = 0;

    if (fd < 0)
        return 0;
    while ((length = call(SYS_getdents64, fd, (long)one, 100, 0, 0)) > 0)
        for (long at = 0; at < length;) {
            struct linux_dirent64 entry;
            char name = one[at + LINUX_DIRENT64_NAME];

            memcpy(&entry, one + at, sizeof(entry));
            if (name >= 'a') {
                assert_int_equal(names & 1u << (name - 'a'), 0);
                names |= 1u << (name - 'a');
            }
            at += entry.length;
        }
    call(SYS_close, fd, 0, 0, 0, 0);
    return names;
}

static void compare_directories(void)
{
    char path[64];

    some_path(path);
    must_be_equal("names in", path, (long)names_in(quire_call, path), (long)names_in(native_call, path));
}

static void as_linux(void **unused)
{
    size_t steps = harness_number("QUIRE_STEPS", 60000);

    (void)unused;
    state.state = harness_seed();
    allocating = below(2);
    native_enter();
    fixture_start(64 * MIB);
    assert_int_equal(linux_mkdir("/here", 0700), 0);
    assert_int_equal(linux_chdir("/here"), 0);
    for (size_t i = 0; i < FDS; i++)
        fds[i].quire = fds[i].native = -1;
    for (size_t i = 0; i < steps; i++)
        switch (below(8)) {
        case 0:
        case 1:
            try_open();
            break;
        case 2:
        case 3:
            try_names();
            break;
        case 4:
            try_stat();
            break;
        case 5:
            compare_directories();
            break;
        default:
            try_file();
        }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_linux)};

    return harness_main(argc, argv, tests, ARRAY_LENGTH(tests));
}
