/*
 * For the tests of system calls that run here and on Linux and must print the same: raw calls, without what a libc
 * adds, and lines without addresses, times or anything else of the machine. Each case is a line "what: result", the
 * result a number or the name of an error.
 */
#ifndef TESTS_BOOT_LINUX_H
#define TESTS_BOOT_LINUX_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#define PAGE 4096ul
#define LENGTH(array) (sizeof(array) / sizeof(*(array)))

/* Addresses that no program has: nothing mapped, not canonical, the kernel's half (here the map of RAM lies there). */
#define WILD ((void *)0x700000000000)
#define NOT_CANONICAL ((void *)0x8000000000000000)
#define KERNEL_HALF ((void *)0xffff800000000000)
#define LAST_BYTES ((void *)0xfffffffffffffff0)

#define SYS_close_range_ 436
#define SYS_openat2_ 437
#define SYS_epoll_pwait2_ 441

/* The call itself: a result, or -errno. */
static inline long call6(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

#define CALL_(number, a, b, c, d, e, f, ...)                                                                           \
    call6(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
/* sys(read, fd, buffer, 1): the call of that name. */
#define sys(name, ...) CALL_(SYS_##name, ##__VA_ARGS__, 0, 0, 0, 0, 0, 0)

static inline const char *error_word(long error)
{
    static const struct {
        int number;
        const char *name;
    } names[] = {
#define ERROR(name) {name, #name},
        ERROR(EPERM) ERROR(ENOENT) ERROR(ESRCH) ERROR(EINTR) ERROR(EIO) ERROR(ENXIO) ERROR(E2BIG) ERROR(ENOEXEC)
            ERROR(EBADF) ERROR(ECHILD) ERROR(EAGAIN) ERROR(ENOMEM) ERROR(EACCES) ERROR(EFAULT) ERROR(ENOTBLK)
                ERROR(EBUSY) ERROR(EEXIST) ERROR(EXDEV) ERROR(ENODEV) ERROR(ENOTDIR) ERROR(EISDIR) ERROR(EINVAL)
                    ERROR(ENFILE) ERROR(EMFILE) ERROR(ENOTTY) ERROR(ETXTBSY) ERROR(EFBIG) ERROR(ENOSPC) ERROR(ESPIPE)
                        ERROR(EROFS) ERROR(EMLINK) ERROR(EPIPE) ERROR(EDOM) ERROR(ERANGE) ERROR(EDEADLK)
                            ERROR(ENAMETOOLONG) ERROR(ENOLCK) ERROR(ENOSYS) ERROR(ENOTEMPTY) ERROR(ELOOP) ERROR(ENODATA)
                                ERROR(EOVERFLOW) ERROR(EOPNOTSUPP) ERROR(ETIMEDOUT) ERROR(ENOTSOCK) ERROR(EAFNOSUPPORT)
                                    ERROR(ENOTCONN) ERROR(ENOTSUP) ERROR(ECANCELED) ERROR(EALREADY)
#undef ERROR
    };

    for (size_t i = 0; i < LENGTH(names); i++)
        if (names[i].number == error)
            return names[i].name;
    return NULL;
}

static inline bool failed(long result)
{
    return result < 0 && result > -4096;
}

/* A line; the name may be a format with values behind it. */
static inline void show(long result, const char *format, ...)
{
    const char *word = failed(result) ? error_word(-result) : NULL;
    va_list values;

    va_start(values, format);
    vprintf(format, values);
    va_end(values);
    if (word)
        printf(": %s\n", word);
    else
        printf(": %ld\n", result);
}

/* The case is the call as it is written. */
#define try(name, ...) show(sys(name, ##__VA_ARGS__), "%s(%s)", #name, #__VA_ARGS__)
#define value(expression) show((long)(expression), "%s", #expression)
#define text(expression) printf("%s: %s\n", #expression, (expression))

/* An address of the range that begins at base as its offset, so that it is the same everywhere. */
static inline long offset_of(long result, const void *base)
{
    return failed(result) ? result : result - (long)base;
}

/* What succeeds, whatever it says: 0. */
static inline long done(long result)
{
    return failed(result) ? result : 0;
}

/* For the bytes of a buffer: a checksum. */
static inline unsigned long sum(const void *bytes, size_t length)
{
    unsigned long hash = 1469598103934665603ul; /* FNV-1a */

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * 1099511628211ul;
    return hash % 1000000007;
}

static char fresh[] = "/tmp/quire-test-XXXXXX";

/* An empty folder of this test's own, and the working directory. */
static inline void fresh_folder(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!mkdtemp(fresh) || chdir(fresh)) {
        printf("there is no folder for the test: %s\n", strerror(errno));
        exit(1);
    }
    umask(022);
}

static inline int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)type, (void)place;
    return remove(path);
}

/* Removes the folder with what is in it. */
static inline void remove_folder(void)
{
    chdir("/");
    value(nftw(fresh, remove_one, 16, FTW_DEPTH | FTW_PHYS));
}

/* A file with so many bytes of a pattern; a descriptor that is open for reading and writing. */
static inline int make_file(const char *name, size_t size)
{
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);

    for (size_t i = 0; i < size; i++) {
        char byte = (char)('a' + i % 26);

        if (write(fd, &byte, 1) != 1)
            return -1;
    }
    return fd;
}

#endif
