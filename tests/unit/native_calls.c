#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "linux_calls.h"

static char folder[64];

long native_call(long number, long a, long b, long c, long d, long e)
{
    long result = syscall(number, a, b, c, d, e);

    return result == -1 ? -errno : result;
}

static void leave(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", folder);
    if (chdir("/") != 0 || system(command) != 0)
        perror(folder);
}

void native_enter(void)
{
    strcpy(folder, "/dev/shm/quire-XXXXXX");
    umask(022);
    if (mkdtemp(folder) == NULL || chdir(folder) != 0) {
        perror("a directory in /dev/shm, which the test compares with");
        exit(EXIT_FAILURE);
    }
    atexit(leave);
}
