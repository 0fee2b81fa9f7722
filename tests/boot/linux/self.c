/*
 * The process: who it is, limits, scheduling, random bytes, children that there are none of. Left out: what this host's
 * administrator set (names, limits, users), new processes, capabilities, RLIMIT_AS and RLIMIT_DATA, which the core
 * keeps and does not heed.
 */
#include "tests/boot/linux/linux.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/wait.h>

static void identity(void)
{
    struct utsname name;
    int self = getpid();

    value(self == sys(gettid) && self > 0);
    show(sys(uname, &name), "uname");
    printf("%s %s, release %d\n", name.sysname, name.machine, name.release[0] >= '5');
    show(sys(uname, WILD), "uname to nowhere");
    show(sys(uname, KERNEL_HALF), "uname to the kernel");
    value(sys(getuid) == sys(geteuid) && sys(getgid) == sys(getegid));
    value(sys(getpgid, 0) == sys(getpgrp));
    value(sys(getpgid, self) == sys(getpgrp));
    show(sys(getpgid, 0x7fffffff), "group of nobody");
    show(sys(getpgid, -1), "group of -1");
    show(sys(getsid, 0x7fffffff), "session of nobody");
    show(sys(setpgid, 0x7fffffff, 0), "setpgid of nobody");
    show(sys(setpgid, 0, -1), "setpgid to -1");
    show(done(sys(getgroups, 0, NULL)), "getgroups, the number");
    show(sys(getgroups, -1, NULL), "getgroups, -1");
    int word = 0;

    show(sys(set_tid_address, &word) == self, "set_tid_address");
    show(sys(getcpu, NULL, NULL, NULL), "getcpu");
    show(sys(getcpu, WILD, NULL, NULL), "getcpu to nowhere");
    show(sys(getpriority, 9, 0), "getpriority of what");
    show(sys(getpriority, PRIO_PROCESS, 0x7fffffff), "getpriority of nobody");
    show(sys(setpriority, 9, 0, 0), "setpriority of what");
    show(sys(setpriority, PRIO_PROCESS, 0, 0), "setpriority");
    show(sys(personality, 0xffffffff), "personality");
}

static void children(void)
{
    siginfo_t info;
    int status;

    show(sys(wait4, -1, &status, 0, NULL), "wait4");
    show(sys(wait4, -1, &status, WNOHANG, NULL), "wait4, WNOHANG");
    show(sys(wait4, 0x7fffffff, &status, 0, NULL), "wait4 for nobody");
    show(sys(wait4, -1, &status, 0x10000000, NULL), "wait4, unknown options");
    show(sys(wait4, 0x80000000, &status, 0, NULL), "wait4 for the most negative group");
    show(sys(waitid, P_ALL, 0, &info, WEXITED), "waitid");
    show(sys(waitid, P_ALL, 0, &info, 0), "waitid for nothing");
    show(sys(waitid, 99, 0, &info, WEXITED), "waitid of what");
    show(sys(waitid, P_PID, 0, &info, WEXITED), "waitid of process 0");
}

static void limits(void)
{
    static const int resources[] = {RLIMIT_CPU,      RLIMIT_FSIZE, RLIMIT_DATA,   RLIMIT_STACK,
                                    RLIMIT_CORE,     RLIMIT_RSS,   RLIMIT_NPROC,  RLIMIT_NOFILE,
                                    RLIMIT_MEMLOCK,  RLIMIT_AS,    RLIMIT_LOCKS,  RLIMIT_SIGPENDING,
                                    RLIMIT_MSGQUEUE, RLIMIT_NICE,  RLIMIT_RTPRIO, RLIMIT_RTTIME};
    struct rlimit limit, old, wrong = {10, 5};

    for (size_t i = 0; i < LENGTH(resources); i++) {
        show(sys(getrlimit, resources[i], &limit), "limit %d", resources[i]);
        value(limit.rlim_cur <= limit.rlim_max);
    }
    try(getrlimit, 16, &limit);
    try(getrlimit, -1, &limit);
    try(getrlimit, RLIMIT_STACK, WILD);
    try(setrlimit, RLIMIT_CORE, WILD);
    try(setrlimit, 16, &limit);
    try(setrlimit, RLIMIT_CORE, &wrong);
    try(prlimit64, 0, RLIMIT_CORE, NULL, NULL);
    try(prlimit64, 0, RLIMIT_CORE, NULL, &old);
    try(prlimit64, 0, 16, NULL, &old);
    try(prlimit64, 0x7fffffff, RLIMIT_CORE, NULL, &old);
    try(prlimit64, -1, RLIMIT_CORE, NULL, &old);
    try(prlimit64, 0, RLIMIT_CORE, &wrong, &old);
    try(prlimit64, 0, RLIMIT_CORE, WILD, &old);
    try(prlimit64, 0, RLIMIT_CORE, NULL, WILD);
    getrlimit(RLIMIT_NOFILE, &old);
    limit = (struct rlimit){100, old.rlim_max};
    try(prlimit64, 0, RLIMIT_NOFILE, &limit, &old);
    try(getrlimit, RLIMIT_NOFILE, &limit);
    value(limit.rlim_cur);
    setrlimit(RLIMIT_NOFILE, &old);
}

static void scheduling(void)
{
    unsigned long mask[128] = {0};
    struct sched_param param = {0};
    struct timespec interval;

    value(sys(sched_getaffinity, 0, sizeof mask, mask) > 0 && mask[0] != 0);
    show(sys(sched_getaffinity, 0, 4, mask), "4 bytes");
    show(sys(sched_getaffinity, 0, 0, mask), "no bytes");
    show(sys(sched_getaffinity, 0, sizeof mask, WILD), "to nowhere");
    show(sys(sched_getaffinity, 0x7fffffff, sizeof mask, mask), "of nobody");
    show(sys(sched_getaffinity, -1, sizeof mask, mask), "of -1");
    show(sys(sched_setaffinity, 0, sizeof mask, mask), "the same");
    memset(mask, 0, sizeof mask);
    show(sys(sched_setaffinity, 0, sizeof mask, mask), "no CPU");
    show(sys(sched_setaffinity, 0, sizeof mask, WILD), "from nowhere");
    show(sys(sched_yield), "sched_yield");
    show(sys(sched_getscheduler, 0), "sched_getscheduler");
    show(sys(sched_getscheduler, -1), "of -1");
    show(sys(sched_getscheduler, 0x7fffffff), "of nobody");
    show(sys(sched_getparam, 0, &param), "sched_getparam");
    value(param.sched_priority);
    show(sys(sched_getparam, 0, NULL), "to NULL");
    show(sys(sched_get_priority_max, SCHED_FIFO), "the highest of FIFO");
    show(sys(sched_get_priority_min, SCHED_RR), "the lowest of RR");
    show(sys(sched_get_priority_max, SCHED_OTHER), "the highest of others");
    show(sys(sched_get_priority_max, 99), "of what");
    show(sys(sched_setscheduler, 0, 99, &param), "an unknown policy");
    param.sched_priority = 1;
    show(sys(sched_setscheduler, 0, SCHED_OTHER, &param), "a priority that is not allowed");
    show(sys(sched_rr_get_interval, 0, &interval), "interval");
    show(sys(sched_rr_get_interval, 0, WILD), "interval to nowhere");
}

static void random_bytes(void)
{
    unsigned char bytes[256] = {0}, other[256] = {0};

    show(sys(getrandom, bytes, 256, 0), "256");
    show(sys(getrandom, other, 256, 1), "256 without blocking");
    value(memcmp(bytes, other, 256) != 0);
    show(sys(getrandom, bytes, 0, 0), "none");
    show(sys(getrandom, WILD, 0, 0), "none to nowhere");
    show(sys(getrandom, WILD, 5, 0), "to nowhere");
    show(sys(getrandom, KERNEL_HALF, 5, 0), "to the kernel");
    show(sys(getrandom, bytes, 5, 8), "an unknown flag");
    show(sys(getrandom, bytes, 5, 6), "two sources");
    show(sys(getrandom, bytes, 5, 4), "insecure ones");
}

static void prctls(void)
{
    char name[16] = "";
    int number = 99;
    unsigned long base = 0;

    show(sys(prctl, PR_SET_NAME, "a name that is much too long"), "name");
    show(sys(prctl, PR_GET_NAME, name), "name");
    text(name);
    show(sys(prctl, PR_SET_NAME, WILD), "from nowhere");
    show(sys(prctl, PR_GET_NAME, WILD), "to nowhere");
    show(sys(prctl, PR_GET_DUMPABLE), "dumpable");
    show(sys(prctl, PR_SET_DUMPABLE, 9), "dumpable 9");
    show(sys(prctl, PR_GET_PDEATHSIG, &number), "signal at the parent's end");
    value(number);
    show(sys(prctl, PR_SET_PDEATHSIG, 99), "signal 99");
    show(sys(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges");
    show(sys(prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), "no new privileges");
    show(sys(prctl, PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), "and back");
    show(sys(prctl, PR_GET_TIMERSLACK) > 0, "timer slack");
    show(sys(prctl, 123456), "an unknown option");
    show(sys(arch_prctl, 0x1003, &base), "ARCH_GET_FS");
    value(base != 0);
    show(sys(arch_prctl, 0x1003, WILD), "to nowhere");
    show(sys(arch_prctl, 0x1002, 0x8000000000000000), "FS at a wild address");
    show(sys(arch_prctl, 0x9999, 0), "an unknown option");
}

static void information(void)
{
    struct sysinfo info;

    show(sys(sysinfo, &info), "sysinfo");
    value(info.totalram >= info.freeram && info.totalram > 0 && info.mem_unit > 0 && info.procs > 0);
    show(sys(sysinfo, WILD), "to nowhere");
    show(sys(sysinfo, NULL), "to NULL");
    value(sysconf(_SC_PAGESIZE));
    value(sysconf(_SC_CLK_TCK));
    value(sysconf(_SC_NPROCESSORS_ONLN) >= 1);
    value(sysconf(_SC_PHYS_PAGES) > 1000);
}

/* KiB in the line of /proc/self/status. */
static long status_kib(const char *name)
{
    char line[256];
    long kib = -1;
    FILE *file = fopen("/proc/self/status", "r");

    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            kib = atol(line + strlen(name));
    if (file != NULL)
        fclose(file);
    return kib;
}

/* The most memory there ever was is remembered when it is gone, to 2 %. (ru_maxrss begins on Linux with what the
 * program had that was there before exec.) */
static void peak(void)
{
    const long kib = 64 << 10, tolerance = kib / 50;
    long before = status_kib("VmRSS:"), most, after;
    struct rusage usage;
    char *memory = mmap(NULL, (size_t)kib << 10, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    for (long i = 0; memory != MAP_FAILED && i < kib << 10; i += PAGE)
        memory[i] = 1;
    show(sys(munmap, memory, (size_t)kib << 10), "munmap of 64 MiB that were touched");
    most = status_kib("VmHWM:");
    after = status_kib("VmRSS:");
    value(before > 0 && labs(after - before) < tolerance);
    value(labs(most - before - kib) < tolerance);
    show(sys(getrusage, RUSAGE_SELF, &usage), "getrusage");
    value(usage.ru_maxrss >= most);
    value(status_kib("VmHWM:") == most);
}

static void futexes(void)
{
    struct timespec some = {0, 10000000}, bad = {0, -1};
    unsigned word = 5;

    show(sys(futex, &word, 0, 6, NULL), "wait, another value");
    show(sys(futex, &word, 0, 5, &some), "wait");
    show(sys(futex, &word, 128, 5, &some), "wait, private");
    show(sys(futex, &word, 0, 5, &bad), "a bad time");
    show(sys(futex, &word, 1, 10), "wake");
    show(sys(futex, WILD, 0, 5, NULL), "nowhere");
    show(sys(futex, (char *)&word + 1, 0, 5, NULL), "not aligned");
    show(sys(futex, &word, 99, 5, NULL), "an unknown operation");
    show(sys(futex, &word, 3, 1, 1, &word + 1), "requeue");
    show(sys(futex, &word, 4, 1, 1, &word + 1, 9), "requeue, another value");
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    identity();
    children();
    limits();
    scheduling();
    random_bytes();
    prctls();
    information();
    peak();
    futexes();
    return 0;
}
