/* prctl, personality, and waiting for children, of which there are none. */
#include "core/base/print.h"
#include "core/base/string.h"
#include "core/config.h"
#include "core/cpu.h"
#include "core/linux/process.h"

/* linux/prctl.h */
enum {
    PR_SET_PDEATHSIG = 1,
    PR_GET_PDEATHSIG,
    PR_GET_DUMPABLE,
    PR_SET_DUMPABLE,
    PR_GET_KEEPCAPS = 7,
    PR_SET_KEEPCAPS,
    PR_GET_TIMING = 13,
    PR_SET_TIMING,
    PR_SET_NAME,
    PR_GET_NAME,
    PR_GET_SECCOMP = 21,
    PR_CAPBSET_READ = 23,
    PR_CAPBSET_DROP,
    PR_SET_TIMERSLACK = 29,
    PR_GET_TIMERSLACK,
    PR_SET_CHILD_SUBREAPER = 36,
    PR_GET_CHILD_SUBREAPER,
    PR_SET_NO_NEW_PRIVS,
    PR_GET_NO_NEW_PRIVS,
    PR_SET_THP_DISABLE = 41,
    PR_GET_THP_DISABLE,
};
#define TIMER_SLACK 50000 /* nanoseconds */

#if QUIRE_THREADS
#include "core/linux/thread.h"

/* Of the thread with the number, of the running one if that is 0; NULL: there is none. */
static char *name_of(int id)
{
    struct linux_thread *thread = linux_thread_find(id);

    return thread != NULL ? thread->name : NULL;
}
#else
static char *name_of(int id)
{
    static char name[THREAD_NAME_SIZE];

    return process_is_own(id) ? name : NULL;
}
#endif

/* Words of their own, read and written without a lock. */
static struct {
    int parent_death_signal;
    bool not_dumpable, subreaper, no_new_privileges, small_pages;
    unsigned long timer_slack; /* 0: the default */
    uint64_t dropped;          /* of the bounding set */
} state;

/* As on Linux who reads the name of another thread may find half of a new one, never without an end. */
bool linux_set_thread_name(int id, const char name[THREAD_NAME_SIZE])
{
    char *own = name_of(id);

    if (own == NULL)
        return false;
    memcpy(own, name, THREAD_NAME_SIZE);
    if (own[0] == '\0')
        own[1] = 1; /* empty, and not the default */
    return true;
}

void linux_thread_name(int id, char name[THREAD_NAME_SIZE])
{
    const char *own = name_of(id);

    memset(name, 0, THREAD_NAME_SIZE);
    if (own != NULL && own[0] == '\0' && own[1] == '\0')
        text_format(name, THREAD_NAME_SIZE, "%.15s", quire_config.name);
    else if (own != NULL && own[0] != '\0')
        memcpy(name, own, THREAD_NAME_SIZE);
}

static long set_name(const char *user)
{
    char name[THREAD_NAME_SIZE] = "";
    intptr_t length = user_string_length(user, THREAD_NAME_SIZE - 1);

    if (length < 0 || user_read(name, user, (size_t)length) != E_SUCCESS)
        return -E_FAULT;
    linux_set_thread_name(0, name);
    return 0;
}

static long get_name(char *user)
{
    char name[THREAD_NAME_SIZE];

    linux_thread_name(0, name);
    return -user_write(user, name, sizeof(name));
}

/* A switch that is 0 or 1. */
static long set_switch(bool *which, unsigned long value)
{
    if (value > 1)
        return -E_INVAL;
    *which = value != 0;
    return 0;
}

static long capability_bound(int operation, unsigned long number)
{
    if (number > CAPABILITY_LAST)
        return -E_INVAL;
    if (operation == PR_CAPBSET_DROP) {
        __atomic_fetch_or(&state.dropped, (uint64_t)1 << number, __ATOMIC_RELAXED);
        return 0;
    }
    return (state.dropped >> number & 1) == 0;
}

static long no_new_privileges(unsigned long value, unsigned long rest)
{
    if (value != 1 || rest != 0)
        return -E_INVAL;
    state.no_new_privileges = true;
    return 0;
}

static long put_int(unsigned long user, int value)
{
    return -user_write((void *)user, &value, sizeof(value));
}

long linux_prctl(int operation, unsigned long first, unsigned long second, unsigned long third, unsigned long fourth)
{
    unsigned long rest = second | third | fourth;

    switch (operation) {
    case PR_SET_PDEATHSIG:
        if (first > SIGNALS)
            return -E_INVAL;
        state.parent_death_signal = (int)first;
        return 0;
    case PR_GET_PDEATHSIG:
        return put_int(first, state.parent_death_signal);
    case PR_GET_DUMPABLE:
        return !state.not_dumpable;
    case PR_SET_DUMPABLE:
        if (first > 1)
            return -E_INVAL;
        state.not_dumpable = first == 0;
        return 0;
    case PR_GET_KEEPCAPS:
        return process_keeps_capabilities;
    case PR_SET_KEEPCAPS:
        return set_switch(&process_keeps_capabilities, first);
    case PR_GET_TIMING:
        return 0;
    case PR_SET_TIMING:
        return first == 0 ? 0 : -E_INVAL;
    case PR_SET_NAME:
        return set_name((const char *)first);
    case PR_GET_NAME:
        return get_name((char *)first);
    case PR_GET_SECCOMP:
        return 0;
    case PR_CAPBSET_READ:
    case PR_CAPBSET_DROP:
        return capability_bound(operation, first);
    case PR_SET_TIMERSLACK:
        state.timer_slack = (long)first <= 0 ? 0 : first;
        return 0;
    case PR_GET_TIMERSLACK:
        return state.timer_slack != 0 ? (long)state.timer_slack : TIMER_SLACK;
    case PR_SET_CHILD_SUBREAPER:
        state.subreaper = first != 0;
        return 0;
    case PR_GET_CHILD_SUBREAPER:
        return put_int(first, state.subreaper);
    case PR_SET_NO_NEW_PRIVS:
        return no_new_privileges(first, rest);
    case PR_GET_NO_NEW_PRIVS:
        return first | rest ? -E_INVAL : state.no_new_privileges;
    case PR_SET_THP_DISABLE:
        if (rest)
            return -E_INVAL;
        state.small_pages = first != 0;
        return 0;
    case PR_GET_THP_DISABLE:
        return first | rest ? -E_INVAL : state.small_pages;
    default:
        return -E_INVAL;
    }
}

long linux_personality(unsigned persona)
{
    static unsigned kept;
    unsigned before = kept;

    if (persona != UINT32_MAX)
        kept = persona;
    return before;
}

enum { WNOHANG = 1, WUNTRACED = 2, WEXITED = 4, WCONTINUED = 8, WNOWAIT = 0x1000000 };
#define WAIT_KINDS 0xe0000000u /* __WNOTHREAD, __WALL, __WCLONE */

long linux_wait4(int pid, int *status, int options)
{
    const unsigned known = WNOHANG | WUNTRACED | WCONTINUED | WAIT_KINDS;

    (void)status;
    if ((unsigned)options & ~known)
        return -E_INVAL;
    return pid == INT32_MIN ? -E_SRCH : -E_CHILD;
}

long linux_waitid(int kind, int id, void *info, int options)
{
    const unsigned known = WNOHANG | WUNTRACED | WEXITED | WCONTINUED | WNOWAIT | WAIT_KINDS;
    enum { P_ALL, P_PID, P_PGID, P_PIDFD };

    (void)info;
    if (((unsigned)options & ~known) || !(options & (WEXITED | WUNTRACED | WCONTINUED)))
        return -E_INVAL;
    if (kind < P_ALL || kind > P_PIDFD || (kind == P_PID && id <= 0) || (kind == P_PGID && id < 0) ||
        (kind == P_PIDFD && id < 0))
        return -E_INVAL;
    return kind == P_PIDFD ? -E_BADF : -E_CHILD; /* no descriptor names a process */
}
