/* A call of the linked parts, one of a part that was not linked, one that no image has, and a number that no call has.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void show(const char *what, long result)
{
    printf("%s: %s\n", what, result == -1 ? strerror(errno) : "there");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    (void)argv;
    show("access", access("/", R_OK));
    show("poll", syscall(SYS_poll, NULL, 0, 0));
    show("poll", syscall(SYS_poll, NULL, 0, 0));
    show("io_uring_setup", syscall(SYS_io_uring_setup, 1, NULL));
    show("511", syscall(510 + argc));
    return 0;
}
