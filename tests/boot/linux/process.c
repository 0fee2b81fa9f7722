/*
 * Users, groups, capabilities, scheduling, prctl and waiting: as root on both sides. Left out: what depends on who
 * started the program (process groups, sessions, capabilities that a container leaves out, real-time priorities).
 */
#include "tests/boot/linux/linux.h"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#define NONE (-1)
#define OTHER 0x3ffffff0 /* no process has this number */

static uint32_t ids[3];

static void show_users(const char *what)
{
    uint32_t groups[3];

    value(sys(getresuid, &ids[0], &ids[1], &ids[2]));
    value(sys(getresgid, &groups[0], &groups[1], &groups[2]));
    printf("%s: %u %u %u, %u %u %u\n", what, ids[0], ids[1], ids[2], groups[0], groups[1], groups[2]);
    printf("%ld %ld %ld %ld\n", sys(getuid), sys(geteuid), sys(getgid), sys(getegid));
    printf("%ld %ld\n", sys(setfsuid, NONE), sys(setfsgid, NONE));
}

static void groups(void)
{
    uint32_t list[8] = {30, 10, 20};

    try(setgroups, NONE, list);
    try(setgroups, 65537, list);
    try(setgroups, 3, WILD);
    try(setgroups, 3, list);
    try(getgroups, 0, NULL);
    try(getgroups, 2, list);
    try(getgroups, NONE, list);
    try(getgroups, 8, WILD);
    try(getgroups, 8, list);
    printf("%u %u %u\n", list[0], list[1], list[2]);
    list[1] = NONE;
    try(setgroups, 3, list);
    try(setgroups, 0, NULL);
    try(getgroups, 8, list);
}

static void capabilities(void)
{
    struct {
        uint32_t version;
        int pid;
    } header = {0, 0};
    uint32_t data[6];

    try(capget, WILD, data);
    try(capget, &header, NULL);
    printf("version %x\n", header.version);
    header.version = 1;
    try(capget, &header, data);
    printf("version %x\n", header.version);
    header.pid = OTHER;
    try(capget, &header, data);
    header.pid = -5;
    try(capget, &header, data);
    header.pid = 0;
    try(capget, &header, WILD);
    try(capget, &header, data);
    try(capset, &header, WILD);
    try(capset, &header, data);
    data[0] |= 1;
    data[1] &= ~1u;
    try(capset, &header, data); /* effective but not permitted */
    header.pid = OTHER;
    try(capset, &header, data);
    try(prctl, PR_CAPBSET_READ, 0, 0, 0, 0);
    try(prctl, PR_CAPBSET_READ, 64, 0, 0, 0);
    try(prctl, PR_CAPBSET_DROP, 100, 0, 0, 0);
}

static void users(void)
{
    show_users("at first");
    try(getresuid, WILD, &ids[1], &ids[2]);
    try(setuid, NONE);
    try(setgid, NONE);
    try(setresgid, 1, 2, 3);
    try(setregid, 5, NONE);
    show_users("groups");
    try(setregid, NONE, 7);
    try(setresuid, 1000, NONE, NONE);
    show_users("real user");
    try(setreuid, NONE, 1001);
    show_users("effective user");
    try(setuid, 5);
    try(setgid, 99);
    try(setresuid, NONE, 5, NONE);
    try(setreuid, 1001, 1000);
    show_users("changed places");
    try(setuid, 0);
    try(setresuid, NONE, 1001, NONE);
    show_users("at last");
    try(setgroups, 0, NULL);
    try(setfsuid, 77);
    try(setfsuid, NONE);
}

static void scheduling(void)
{
    int priority = 0, one = 1;
    struct timespec interval;

    for (int policy = -1; policy < 7; policy++) {
        show(sys(sched_get_priority_max, policy), "most of %d", policy);
        show(sys(sched_get_priority_min, policy), "least of %d", policy);
    }
    try(sched_getscheduler, 0);
    try(sched_getscheduler, -1);
    try(sched_getscheduler, OTHER);
    try(sched_setscheduler, 0, SCHED_BATCH, NULL);
    try(sched_setscheduler, 0, SCHED_BATCH, WILD);
    try(sched_setscheduler, 0, SCHED_BATCH, &one);
    try(sched_setscheduler, 0, SCHED_FIFO, &priority);
    try(sched_setscheduler, 0, 4, &priority);
    try(sched_setscheduler, 0, 77, &priority);
    try(sched_setscheduler, OTHER, SCHED_BATCH, &priority);
    try(sched_setscheduler, -1, SCHED_BATCH, &priority);
    try(sched_setscheduler, 0, SCHED_BATCH, &priority);
    try(sched_getscheduler, 0);
    try(sched_setscheduler, 0, SCHED_BATCH | 0x40000000, &priority);
    try(sched_getscheduler, 0);
    try(sched_setparam, 0, &priority);
    try(sched_setparam, 0, &one);
    try(sched_setparam, 0, NULL);
    try(sched_getscheduler, 0);
    try(sched_getparam, 0, NULL);
    try(sched_getparam, 0, WILD);
    try(sched_getparam, OTHER, &one);
    try(sched_getparam, 0, &one);
    value(one);
    try(sched_rr_get_interval, -1, &interval);
    try(sched_rr_get_interval, OTHER, &interval);
    try(sched_rr_get_interval, 0, WILD);
    try(sched_rr_get_interval, 0, &interval);
}

static void scheduling_attributes(void)
{
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t rest[20];
    } attr = {0};

    try(sched_getattr, 0, &attr, 48, 1);
    try(sched_getattr, 0, &attr, 40, 0);
    try(sched_getattr, 0, &attr, 5000, 0);
    try(sched_getattr, 0, NULL, 48, 0);
    try(sched_getattr, OTHER, &attr, 48, 0);
    try(sched_getattr, 0, WILD, 48, 0);
    try(sched_getattr, 0, &attr, 48, 0);
    printf("%u %u %lu %d %u\n", attr.size, attr.policy, attr.flags, attr.nice, attr.priority);
    try(sched_getattr, 0, &attr, 100, 0);
    value(attr.size);
    memset(&attr, 0, sizeof(attr));
    attr.size = 10;
    try(sched_setattr, 0, &attr, 0);
    value(attr.size);
    attr.size = 100;
    attr.rest[5] = 1;
    try(sched_setattr, 0, &attr, 0);
    value(attr.size);
    attr.rest[5] = 0;
    attr.size = 100;
    attr.nice = 3;
    try(sched_setattr, 0, &attr, 1);
    try(sched_setattr, 0, NULL, 0);
    try(sched_setattr, 0, WILD, 0);
    try(sched_setattr, -1, &attr, 0);
    try(sched_setattr, OTHER, &attr, 0);
    try(sched_setattr, 0, &attr, 0);
    attr.policy = 4;
    try(sched_setattr, 0, &attr, 0);
    attr.policy = 0;
    attr.priority = 5;
    try(sched_setattr, 0, &attr, 0);
    try(sched_getscheduler, 0);
    try(getpriority, PRIO_PROCESS, 0);
}

static void nice_and_cpus(void)
{
    unsigned cpu = 99, node = 99;
    uint64_t mask[2] = {0, 0};

    try(getpriority, 3, 0);
    try(getpriority, -1, 0);
    try(getpriority, PRIO_PROCESS, OTHER);
    try(setpriority, 3, 0, 5);
    try(setpriority, PRIO_PROCESS, OTHER, 5);
    try(setpriority, PRIO_PROCESS, 0, 5);
    try(getpriority, PRIO_PROCESS, 0);
    value(sys(getpriority, PRIO_PROCESS, getpid()));
    try(setpriority, PRIO_PROCESS, 0, 100);
    try(getpriority, PRIO_PROCESS, 0);
    try(getcpu, WILD, NULL, NULL);
    try(getcpu, NULL, WILD, NULL);
    try(getcpu, &cpu, &node, NULL);
    value(cpu < 99 && node == 0);
    try(sched_setaffinity, 0, 16, WILD);
    try(sched_setaffinity, 0, 16, mask);
    mask[0] = 1;
    try(sched_setaffinity, OTHER, 16, mask);
    try(sched_setaffinity, 0, 16, mask);
    try(sched_getaffinity, 0, 4, mask);
    try(sched_getaffinity, OTHER, 16, mask);
    value(sys(sched_getaffinity, 0, 1024, WILD));
    value(failed(sys(sched_getaffinity, 0, 16, mask)));
    value(mask[0]);
}

static void operations(void)
{
    char name[17] = "";
    int number = 9;

    try(prctl, PR_SET_NAME, "a name that is much too long", 0, 0, 0);
    try(prctl, PR_GET_NAME, name, 0, 0, 0);
    puts(name);
    try(prctl, PR_SET_NAME, "", 0, 0, 0);
    try(prctl, PR_GET_NAME, name, 0, 0, 0);
    puts(name);
    try(prctl, PR_SET_NAME, WILD, 0, 0, 0);
    try(prctl, PR_GET_NAME, WILD, 0, 0, 0);
    try(prctl, PR_SET_PDEATHSIG, 65, 0, 0, 0);
    try(prctl, PR_SET_PDEATHSIG, 0, 0, 0, 0);
    try(prctl, PR_GET_PDEATHSIG, &number, 0, 0, 0);
    value(number);
    try(prctl, PR_GET_PDEATHSIG, WILD, 0, 0, 0);
    try(prctl, PR_SET_DUMPABLE, 2, 0, 0, 0);
    try(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
    try(prctl, PR_GET_DUMPABLE, 0, 0, 0, 0);
    try(prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
    try(prctl, PR_GET_DUMPABLE, 0, 0, 0, 0);
    try(prctl, PR_SET_KEEPCAPS, 2, 0, 0, 0);
    try(prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0);
    try(prctl, PR_GET_KEEPCAPS, 0, 0, 0, 0);
    try(prctl, PR_SET_KEEPCAPS, 0, 0, 0, 0);
    try(prctl, PR_GET_TIMERSLACK, 0, 0, 0, 0);
    try(prctl, PR_SET_TIMERSLACK, 1000, 0, 0, 0);
    try(prctl, PR_GET_TIMERSLACK, 0, 0, 0, 0);
    try(prctl, PR_SET_TIMERSLACK, 0, 0, 0, 0);
    try(prctl, PR_GET_TIMERSLACK, 0, 0, 0, 0);
    try(prctl, PR_SET_CHILD_SUBREAPER, 5, 0, 0, 0);
    try(prctl, PR_GET_CHILD_SUBREAPER, &number, 0, 0, 0);
    value(number);
    try(prctl, PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0);
    try(prctl, PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0);
    try(prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
    try(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    try(prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
    try(prctl, PR_GET_NO_NEW_PRIVS, 1, 0, 0, 0);
    try(prctl, PR_GET_THP_DISABLE, 0, 0, 0, 0);
    try(prctl, PR_SET_THP_DISABLE, 1, 0, 0, 0);
    try(prctl, PR_GET_THP_DISABLE, 0, 0, 0, 0);
    try(prctl, PR_SET_THP_DISABLE, 0, 0, 0, 0);
    try(prctl, 12345, 0, 0, 0, 0);
    try(personality, 0xffffffff);
    try(personality, 0x40000);
    try(personality, 0xffffffff);
    try(personality, 0);
}

static void waiting(void)
{
    int status;
    siginfo_t info;

    try(wait4, -1, &status, 0, NULL);
    try(wait4, OTHER, &status, WNOHANG, NULL);
    try(wait4, 0, &status, 0, NULL);
    try(wait4, -1, &status, 0x100, NULL);
    try(wait4, -1, WILD, 0, NULL);
    try(wait4, INT32_MIN, &status, 0, NULL);
    try(waitid, P_ALL, 0, &info, WEXITED);
    try(waitid, P_ALL, 0, &info, 0);
    try(waitid, P_ALL, 0, &info, WEXITED | 0x100);
    try(waitid, 9, 0, &info, WEXITED);
    try(waitid, P_PID, 0, &info, WEXITED);
    try(waitid, P_PID, OTHER, &info, WEXITED | WNOHANG);
    try(waitid, P_PGID, -4, &info, WEXITED);
    try(waitid, 3, -1, &info, WEXITED);
    try(waitid, 3, 77, &info, WEXITED);
    try(setpgid, 0, -1);
    try(setpgid, OTHER, 0);
    try(getpgid, OTHER);
    try(getsid, OTHER);
    value(sys(getpgid, 0) == sys(getpgrp));
    value(sys(getsid, 0) == sys(getsid, getpid()));
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    sys(setpriority, PRIO_PROCESS, 0, 0);
    scheduling();
    scheduling_attributes();
    nice_and_cpus();
    operations();
    waiting();
    groups();
    capabilities();
    users();
    return 0;
}
