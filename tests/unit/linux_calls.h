/*
 * The system calls of the file system by their numbers: those of core/linux over the simulated machine, and those of
 * the host, which is Linux. Results are counts or -errno.
 */
#ifndef LINUX_CALLS_H
#define LINUX_CALLS_H

#include <sys/syscall.h>

long quire_call(long number, long a, long b, long c, long d, long e);
long native_call(long number, long a, long b, long c, long d, long e);

/* Makes a directory of tmpfs the host's working directory, until the test's process ends. */
void native_enter(void);

#endif
