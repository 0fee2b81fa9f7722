/* Unknown system calls return ENOSYS, wild pointers EFAULT, bad descriptors EBADF; nothing of it harms. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void show(const char *what, long result)
{
    printf("%s: %ld %s\n", what, result, result == -1 ? strerror(errno) : "");
    fflush(stdout);
}

int main(void)
{
    char *wild = (char *)0x700000000000;

    show("io_uring_setup", syscall(SYS_io_uring_setup, 1, 0));
    show("io_uring_setup", syscall(SYS_io_uring_setup, 1, 0));
    show("number 511", syscall(511));
    show("number 100000", syscall(100000));
    show("number -1", syscall(-1));
    show("write from nowhere", syscall(SYS_write, 1, wild, 8));
    show("write from null", syscall(SYS_write, 1, 0, 8));
    show("write from the other half", syscall(SYS_write, 1, 0x8000000000000000, 8));
    show("read to nowhere", syscall(SYS_uname, wild));
    show("write to 99", syscall(SYS_write, 99, "x", 1));
    show("close 99", syscall(SYS_close, 99));
    show("still alive", 0);
    return 0;
}
