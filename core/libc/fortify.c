/*
 * What Debian's static libraries, compiled against glibc with _FORTIFY_SOURCE=2, ask of a C library beyond musl: the
 * checked variants of the Linux Standard Base (LSB 5.0 Core, "Interfaces for libc", __*_chk) and glibc's names for
 * 64-bit file offsets. Each does what the plain function does; one that is told the size of its target ends the program
 * when the target is too small, as the standard says. Format strings are not checked (flag), as musl has no %n check.
 * Application code: built against musl's headers and linked as an archive, so that programs without need get nothing.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>
#include <wchar.h>

#define UNKNOWN ((size_t)-1) /* the compiler did not know the size of the target */

_Noreturn void __chk_fail(void)
{
    static const char message[] = "*** buffer overflow detected ***: terminated\n";

    (void)!write(STDERR_FILENO, message, sizeof(message) - 1);
    abort();
}

static void check(size_t wanted, size_t available)
{
    if (wanted > available)
        __chk_fail();
}

/* Copies and fills. */

void *__memcpy_chk(void *restrict to, const void *restrict from, size_t length, size_t available)
{
    check(length, available);
    return memcpy(to, from, length);
}

void *__memmove_chk(void *to, const void *from, size_t length, size_t available)
{
    check(length, available);
    return memmove(to, from, length);
}

void *__mempcpy_chk(void *restrict to, const void *restrict from, size_t length, size_t available)
{
    check(length, available);
    return mempcpy(to, from, length);
}

void *__memset_chk(void *to, int byte, size_t length, size_t available)
{
    check(length, available);
    return memset(to, byte, length);
}

void __explicit_bzero_chk(void *to, size_t length, size_t available)
{
    check(length, available);
    explicit_bzero(to, length);
}

/* Strings. */

char *__strcpy_chk(char *restrict to, const char *restrict from, size_t available)
{
    check(strlen(from) + 1, available);
    return strcpy(to, from);
}

char *__stpcpy_chk(char *restrict to, const char *restrict from, size_t available)
{
    check(strlen(from) + 1, available);
    return stpcpy(to, from);
}

char *__strncpy_chk(char *restrict to, const char *restrict from, size_t length, size_t available)
{
    check(length, available);
    return strncpy(to, from, length);
}

char *__stpncpy_chk(char *restrict to, const char *restrict from, size_t length, size_t available)
{
    check(length, available);
    return stpncpy(to, from, length);
}

char *__strcat_chk(char *restrict to, const char *restrict from, size_t available)
{
    check(strlen(to) + strlen(from) + 1, available);
    return strcat(to, from);
}

char *__strncat_chk(char *restrict to, const char *restrict from, size_t length, size_t available)
{
    check(strlen(to) + strnlen(from, length) + 1, available);
    return strncat(to, from, length);
}

/* Formatted output. */

int __vsnprintf_chk(char *to, size_t size, int flag, size_t available, const char *format, va_list arguments)
{
    (void)flag;
    check(size, available);
    return vsnprintf(to, size, format, arguments);
}

int __snprintf_chk(char *to, size_t size, int flag, size_t available, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int length = __vsnprintf_chk(to, size, flag, available, format, arguments);
    va_end(arguments);
    return length;
}

int __vsprintf_chk(char *to, int flag, size_t available, const char *format, va_list arguments)
{
    (void)flag;
    if (available == UNKNOWN)
        return vsprintf(to, format, arguments);
    int length = vsnprintf(to, available, format, arguments);
    if (length >= 0)
        check((size_t)length + 1, available);
    return length;
}

int __sprintf_chk(char *to, int flag, size_t available, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int length = __vsprintf_chk(to, flag, available, format, arguments);
    va_end(arguments);
    return length;
}

int __vfprintf_chk(FILE *file, int flag, const char *format, va_list arguments)
{
    (void)flag;
    return vfprintf(file, format, arguments);
}

int __fprintf_chk(FILE *file, int flag, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int length = __vfprintf_chk(file, flag, format, arguments);
    va_end(arguments);
    return length;
}

int __vprintf_chk(int flag, const char *format, va_list arguments)
{
    return __vfprintf_chk(stdout, flag, format, arguments);
}

int __printf_chk(int flag, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int length = __vprintf_chk(flag, format, arguments);
    va_end(arguments);
    return length;
}

int __vdprintf_chk(int descriptor, int flag, const char *format, va_list arguments)
{
    (void)flag;
    return vdprintf(descriptor, format, arguments);
}

int __dprintf_chk(int descriptor, int flag, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int length = __vdprintf_chk(descriptor, flag, format, arguments);
    va_end(arguments);
    return length;
}

int __vasprintf_chk(char **to, int flag, const char *format, va_list arguments)
{
    (void)flag;
    return vasprintf(to, format, arguments);
}

int __asprintf_chk(char **to, int flag, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int length = __vasprintf_chk(to, flag, format, arguments);
    va_end(arguments);
    return length;
}

/* Input. */

char *__fgets_chk(char *to, size_t available, int size, FILE *file)
{
    check(size > 0 ? (size_t)size : 0, available);
    return fgets(to, size, file);
}

size_t __fread_chk(void *to, size_t available, size_t size, size_t count, FILE *file)
{
    size_t length;

    if (__builtin_mul_overflow(size, count, &length))
        __chk_fail();
    check(length, available);
    return fread(to, size, count, file);
}

ssize_t __read_chk(int descriptor, void *to, size_t length, size_t available)
{
    check(length, available);
    return read(descriptor, to, length);
}

ssize_t __pread_chk(int descriptor, void *to, size_t length, off_t offset, size_t available)
{
    check(length, available);
    return pread(descriptor, to, length, offset);
}

ssize_t __pread64_chk(int descriptor, void *to, size_t length, off_t offset, size_t available)
{
    return __pread_chk(descriptor, to, length, offset, available);
}

ssize_t __recv_chk(int descriptor, void *to, size_t length, size_t available, int flags)
{
    check(length, available);
    return recv(descriptor, to, length, flags);
}

ssize_t __readlink_chk(const char *path, char *to, size_t length, size_t available)
{
    check(length, available);
    return readlink(path, to, length);
}

char *__getcwd_chk(char *to, size_t size, size_t available)
{
    check(size, available);
    return getcwd(to, size);
}

char *__realpath_chk(const char *path, char *to, size_t available)
{
    check(to ? 4096 /* PATH_MAX */ : 0, available);
    return realpath(path, to);
}

int __poll_chk(struct pollfd *descriptors, nfds_t count, int timeout, size_t available)
{
    check(count, available / sizeof(*descriptors));
    return poll(descriptors, count, timeout);
}

/* Index of the descriptor's word in an fd_set. */
long __fdelt_chk(long descriptor)
{
    if (descriptor < 0 || descriptor >= FD_SETSIZE)
        __chk_fail();
    return descriptor / (8 * (long)sizeof(long));
}

size_t __mbstowcs_chk(wchar_t *to, const char *from, size_t length, size_t available)
{
    check(length, available / sizeof(*to));
    return mbstowcs(to, from, length);
}

size_t __wcstombs_chk(char *to, const wchar_t *from, size_t length, size_t available)
{
    check(length, available);
    return wcstombs(to, from, length);
}

/* glibc refuses jumps to frames that are gone by comparing stack pointers; musl's jmp_buf hides nothing from longjmp.
 */
_Noreturn void __longjmp_chk(jmp_buf buffer, int value)
{
    longjmp(buffer, value);
}

/* 64-bit offsets: musl has no others. */

int __open_2(const char *path, int flags)
{
    return open(path, flags);
}

int __open64_2(const char *path, int flags)
{
    return open(path, flags);
}

int fcntl64(int descriptor, int command, ...)
{
    va_list arguments;

    va_start(arguments, command);
    long argument = va_arg(arguments, long); /* every command takes a word, a pointer or nothing */
    va_end(arguments);
    return fcntl(descriptor, command, argument);
}
