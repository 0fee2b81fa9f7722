/*
 * What a process is to itself and may change of itself: users and capabilities (users.c), scheduling (schedule.c), the
 * rest (attributes of prctl and the like: prctl.c). There is one process, number 1, the leader of process group and
 * session 1; it starts as root. Errors are Linux's (man 2 of the call's name).
 */
#ifndef CORE_LINUX_PROCESS_H
#define CORE_LINUX_PROCESS_H

#include "core/base/error.h"
#include "core/base/types.h"
#include "core/linux/abi.h"

#define PROCESS 1 /* its number, and that of its one thread */

/* True if a call that takes a process, 0 for the caller's, means the one there is. */
static inline bool process_is_own(int pid)
{
    return pid == 0 || pid == PROCESS;
}

/* Threads, as others see them: thread.c, alone.c. */
struct thread_facts {
    char state; /* of proc(5): R, S, or Z of the first one when it has ended before others */
    unsigned cpu;
    uint64_t cpu_time;             /* ns */
    uint64_t waits, interruptions; /* how often it left a CPU because it waited, and because others were to run */
    uint64_t blocked, pending;     /* signals: its mask, and what was sent to it alone */
};
/* False: there is no such thread. */
bool linux_thread_facts(int id, struct thread_facts *);
/* Those that there are, and the first one after its end. */
unsigned linux_thread_count(void);
/* Calls the function for each, in the order of their numbers, until it fails. */
error_t linux_each_thread(error_t (*visit)(int id, void *argument), void *argument);

/* users.c */
enum { CAPABILITY_SETGID = 6, CAPABILITY_SETUID = 7, CAPABILITY_LAST = 40 };
/* What the process may do: of its effective set. */
bool process_has_capability(unsigned number);
/* prctl PR_SET_KEEPCAPS: the permitted set stays when all user numbers become another than 0. */
extern bool process_keeps_capabilities;
uint32_t process_user(void);

long linux_getuid(void);
long linux_geteuid(void);
long linux_getgid(void);
long linux_getegid(void);
long linux_setuid(uint32_t id);
long linux_setgid(uint32_t id);
long linux_setreuid(uint32_t real, uint32_t effective);
long linux_setregid(uint32_t real, uint32_t effective);
long linux_setresuid(uint32_t real, uint32_t effective, uint32_t saved);
long linux_setresgid(uint32_t real, uint32_t effective, uint32_t saved);
long linux_getresuid(uint32_t *real, uint32_t *effective, uint32_t *saved);
long linux_getresgid(uint32_t *real, uint32_t *effective, uint32_t *saved);
long linux_setfsuid(uint32_t id);
long linux_setfsgid(uint32_t id);
long linux_getgroups(int size, uint32_t *list);
long linux_setgroups(int size, const uint32_t *list);
long linux_setpgid(int pid, int group);
long linux_getpgid(int pid);
long linux_setsid(void);
struct linux_capability_header {
    uint32_t version;
    int32_t pid;
};
long linux_capget(struct linux_capability_header *, void *data);
long linux_capset(struct linux_capability_header *, const void *data);

#define THREAD_NAME_SIZE 16
/* prctl.c: as PR_GET_NAME and PR_SET_NAME, of any thread. Without such a thread: the empty name, and false. */
void linux_thread_name(int id, char name[THREAD_NAME_SIZE]);
bool linux_set_thread_name(int id, const char name[THREAD_NAME_SIZE]);

/* schedule.c: what is kept of a thread's. */
struct thread_scheduling {
    int policy, priority, nice; /* all 0 at first: SCHED_OTHER */
    bool reset_on_fork;
};
/* Of the thread with the number, of the running one if that is 0; NULL: there is none. */
struct thread_scheduling *linux_scheduling(int id);
/* CPUs that there are, and those of them that a thread may run on; a bit for each. */
uint64_t linux_cpus(void);
uint64_t linux_affinity(int id);
struct linux_sched_attr {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
    uint32_t clamp_least, clamp_most;
};
_Static_assert(sizeof(struct linux_sched_attr) == 56, "struct sched_attr, second version");
long linux_sched_setscheduler(int pid, int policy, const int *priority);
long linux_sched_getscheduler(int pid);
long linux_sched_setparam(int pid, const int *priority);
long linux_sched_getparam(int pid, int *priority);
long linux_sched_get_priority_max(int policy);
long linux_sched_get_priority_min(int policy);
long linux_sched_rr_get_interval(int pid, struct linux_timespec *);
long linux_sched_setattr(int pid, struct linux_sched_attr *, unsigned flags);
long linux_sched_getattr(int pid, struct linux_sched_attr *, unsigned size, unsigned flags);
long linux_sched_setaffinity(int pid, unsigned size, const void *mask);
long linux_sched_getaffinity(int pid, unsigned size, uint64_t *mask);
long linux_getpriority(int which, int who);
long linux_setpriority(int which, int who, int nice);
long linux_getcpu(unsigned *cpu, unsigned *node);

/* prctl.c */
long linux_prctl(int operation, unsigned long, unsigned long, unsigned long, unsigned long);
long linux_personality(unsigned persona);
/* There are no children: E_CHILD for what is asked rightly. */
long linux_wait4(int pid, int *status, int options);
long linux_waitid(int kind, int id, void *info, int options);

#endif
