/*
 * Clocks, sleeping, interval and POSIX timers. Times are compared with the least they must be. Left out: setting
 * clocks (this host's would be set), dynamic clocks, SIGEV_THREAD_ID of other threads, alarm clocks (need a device).
 */
#include "tests/boot/linux/linux.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>

static uint64_t now(int clock)
{
    struct timespec time = {0, 0};

    sys(clock_gettime, clock, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static volatile int ticks, most_overrun;
static siginfo_t last;

static void tick(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    last = *info;
    if (info->si_code == SI_TIMER && info->si_overrun > most_overrun)
        most_overrun = info->si_overrun;
    ticks++;
}

static void install(int signal)
{
    struct sigaction action = {.sa_sigaction = tick, .sa_flags = SA_SIGINFO | SA_RESTART};

    sigaction(signal, &action, NULL);
}

static void clocks(void)
{
    static const int known[] = {0, 1, 2, 3, 4, 5, 6, 7, 11};
    static const int unknown[] = {10, 12, 16, 99, 1000000};
    struct timespec time;
    struct timeval wall, *no_wall = NULL;
    long seconds = 0;

    for (size_t i = 0; i < LENGTH(known); i++) {
        show(sys(clock_gettime, known[i], &time), "clock %d", known[i]);
        printf("%d\n", time.tv_nsec >= 0 && time.tv_nsec < 1000000000);
        show(sys(clock_getres, known[i], &time), "resolution %d", known[i]);
        show(sys(clock_getres, known[i], NULL), "resolution %d to NULL", known[i]);
        uint64_t first = now(known[i]);

        value(now(known[i]) >= first);
    }
    for (size_t i = 0; i < LENGTH(unknown); i++) {
        show(sys(clock_gettime, unknown[i], &time), "clock %d", unknown[i]);
        show(sys(clock_getres, unknown[i], &time), "resolution %d", unknown[i]);
    }
    show(sys(clock_gettime, 0, WILD), "to nowhere");
    show(sys(clock_gettime, 0, NULL), "to NULL");
    show(sys(clock_getres, 1, KERNEL_HALF), "resolution to the kernel");
    show(sys(clock_getres, 1, &time), "resolution");
    value(time.tv_nsec == 1);
    show(sys(gettimeofday, &wall, NULL), "gettimeofday");
    value(wall.tv_sec > 1500000000 && wall.tv_usec < 1000000);
    show(sys(gettimeofday, no_wall, NULL), "gettimeofday, nothing");
    show(sys(gettimeofday, WILD, NULL), "gettimeofday, nowhere");
    show(sys(time, &seconds) == seconds, "time");
    value(seconds - wall.tv_sec <= 1);
    show(sys(time, WILD), "time, nowhere");
    value(now(CLOCK_REALTIME) / 1000000000 - (uint64_t)seconds <= 1);
    show(sys(clock_settime, 99, &time), "set an unknown clock");
    show(sys(clock_settime, CLOCK_MONOTONIC, &time), "set the monotonic clock");
    show(sys(clock_settime, CLOCK_REALTIME, WILD), "set from nowhere");
    time.tv_nsec = -1;
    show(sys(clock_settime, CLOCK_REALTIME, &time), "set to a bad time");
}

static void sleeping(void)
{
    struct timespec some = {0, 15000000}, bad = {0, 1000000000}, negative = {-1, 0}, rest = {7, 7}, until;
    uint64_t start = now(CLOCK_MONOTONIC);

    show(sys(nanosleep, &some, &rest), "nanosleep");
    value(now(CLOCK_MONOTONIC) - start >= 15000000);
    value(rest.tv_sec);
    show(sys(nanosleep, &bad, NULL), "a bad time");
    show(sys(nanosleep, &negative, NULL), "a negative time");
    show(sys(nanosleep, WILD, NULL), "nowhere");
    show(sys(nanosleep, NULL, NULL), "NULL");
    show(sys(clock_nanosleep, CLOCK_REALTIME, 0, &some, NULL), "by the wall clock");
    show(sys(clock_nanosleep, CLOCK_BOOTTIME, 0, &some, NULL), "CLOCK_BOOTTIME");
    show(sys(clock_nanosleep, CLOCK_MONOTONIC_RAW, 0, &some, NULL), "CLOCK_MONOTONIC_RAW");
    show(sys(clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &some, NULL), "the clock of the thread");
    show(sys(clock_nanosleep, 99, 0, &some, NULL), "an unknown clock");
    show(sys(clock_nanosleep, CLOCK_MONOTONIC, 0, &bad, NULL), "a bad time");
    until.tv_sec = (time_t)(now(CLOCK_MONOTONIC) / 1000000000), until.tv_nsec = 0;
    show(sys(clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL), "until a time that is over");
    start = now(CLOCK_MONOTONIC) + 15000000;
    until.tv_sec = (time_t)(start / 1000000000), until.tv_nsec = (long)(start % 1000000000);
    show(sys(clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL), "until a moment");
    value(now(CLOCK_MONOTONIC) >= start);
    start = now(CLOCK_REALTIME) + 15000000;
    until.tv_sec = (time_t)(start / 1000000000), until.tv_nsec = (long)(start % 1000000000);
    show(sys(clock_nanosleep, CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL), "until a moment of the wall clock");
    value(now(CLOCK_REALTIME) >= start);
}

static void interval_timers(void)
{
    struct itimerval once = {{0, 0}, {0, 10000}}, repeat = {{0, 5000}, {0, 5000}}, off = {{0, 0}, {0, 0}}, old;
    struct itimerval bad = {{0, 0}, {0, 1000000}}, negative = {{0, 0}, {0, -1}};
    uint64_t start = now(CLOCK_MONOTONIC);
    struct timespec some = {1, 0};

    install(SIGALRM), install(SIGPROF), install(SIGVTALRM);
    show(sys(setitimer, ITIMER_REAL, &once, &old), "once");
    printf("%ld %ld\n", old.it_value.tv_sec, old.it_value.tv_usec);
    show(sys(getitimer, ITIMER_REAL, &old), "getitimer");
    value(old.it_value.tv_sec == 0 && old.it_value.tv_usec > 0 && old.it_value.tv_usec <= 10000);
    show(sys(nanosleep, &some, NULL), "sleep");
    value(now(CLOCK_MONOTONIC) - start >= 10000000);
    value(ticks);
    printf("signal %d, code %d\n", last.si_signo, last.si_code);
    show(sys(getitimer, ITIMER_REAL, &old), "getitimer");
    printf("%ld %ld\n", old.it_value.tv_sec, old.it_value.tv_usec);
    ticks = 0;
    show(sys(setitimer, ITIMER_REAL, &repeat, NULL), "repeating");
    start = now(CLOCK_MONOTONIC);
    while (ticks < 4 && now(CLOCK_MONOTONIC) - start < 5000000000)
        ;
    value(ticks >= 4 && now(CLOCK_MONOTONIC) - start >= 15000000);
    show(sys(setitimer, ITIMER_REAL, &off, &old), "off");
    printf("interval %ld\n", old.it_interval.tv_usec);
    show(sys(setitimer, 3, &once, NULL), "an unknown timer");
    show(sys(setitimer, -1, &once, NULL), "timer -1");
    show(sys(getitimer, 3, &old), "an unknown timer");
    show(sys(getitimer, 0, WILD), "to nowhere");
    show(sys(setitimer, 0, WILD, NULL), "from nowhere");
    show(sys(setitimer, 0, &bad, NULL), "a bad time");
    show(sys(setitimer, 0, &negative, NULL), "a negative time");
    ticks = 0;
    show(sys(setitimer, ITIMER_VIRTUAL, &once, NULL), "of the program's own time");
    start = now(CLOCK_MONOTONIC);
    while (ticks < 1 && now(CLOCK_MONOTONIC) - start < 5000000000)
        ;
    printf("%d ticks, signal %d\n", ticks, last.si_signo);
    ticks = 0;
    show(sys(setitimer, ITIMER_PROF, &once, NULL), "of its whole time");
    start = now(CLOCK_MONOTONIC);
    while (ticks < 1 && now(CLOCK_MONOTONIC) - start < 5000000000)
        ;
    printf("%d ticks, signal %d\n", ticks, last.si_signo);
    show(sys(alarm, 100), "alarm");
    show(sys(alarm, 50) >= 99, "alarm again");
    show(sys(getitimer, ITIMER_REAL, &old), "getitimer");
    value(old.it_value.tv_sec >= 48 && old.it_value.tv_sec <= 50);
    show(sys(alarm, 0) > 0, "no alarm");
    show(sys(alarm, 0), "again none");
}

static void posix_timers(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1},
                    quiet = {.sigev_notify = SIGEV_NONE};
    struct itimerspec once = {{0, 0}, {0, 10000000}}, repeat = {{0, 2000000}, {0, 2000000}}, off = {{0, 0}, {0, 0}},
                      old;
    struct itimerspec bad = {{0, 0}, {0, -5}};
    uint64_t usr1 = 1ul << (SIGUSR1 - 1), start;
    struct timespec some = {1, 0};
    int id = -1, other = -1;

    install(SIGUSR1);
    event.sigev_value.sival_int = 4242;
    show(sys(timer_create, CLOCK_MONOTONIC, &event, &id), "timer_create");
    show(sys(timer_create, 99, &event, &other), "an unknown clock");
    show(sys(timer_create, CLOCK_MONOTONIC, WILD, &other), "an event nowhere");
    show(sys(timer_create, CLOCK_MONOTONIC, &event, WILD), "an id to nowhere");
    event.sigev_signo = 99;
    show(sys(timer_create, CLOCK_MONOTONIC, &event, &other), "an unknown signal");
    event.sigev_signo = SIGUSR1, event.sigev_notify = 77;
    show(sys(timer_create, CLOCK_MONOTONIC, &event, &other), "an unknown way");
    show(sys(timer_gettime, id, &old), "not running");
    printf("%ld %ld\n", old.it_value.tv_sec, old.it_value.tv_nsec);
    ticks = 0;
    show(sys(timer_settime, id, 0, &once, &old), "once");
    show(sys(timer_gettime, id, &old), "running");
    value(old.it_value.tv_nsec > 0 && old.it_value.tv_nsec <= 10000000);
    show(sys(nanosleep, &some, NULL), "sleep");
    printf("%d ticks, signal %d, code %d, value %d\n", ticks, last.si_signo, last.si_code, last.si_value.sival_int);
    show(sys(timer_getoverrun, id), "overrun");
    sys(rt_sigprocmask, SIG_BLOCK, &usr1, NULL, 8);
    ticks = 0;
    show(sys(timer_settime, id, 0, &repeat, NULL), "repeating, blocked");
    start = now(CLOCK_MONOTONIC);
    while (now(CLOCK_MONOTONIC) - start < 21000000)
        ;
    sys(rt_sigprocmask, SIG_UNBLOCK, &usr1, NULL, 8);
    value(ticks >= 1);
    value(sys(timer_getoverrun, id) >= 0 && most_overrun >= 8);
    show(sys(timer_settime, id, 0, &off, &old), "off");
    printf("interval %ld\n", old.it_interval.tv_nsec);
    show(sys(timer_settime, id, 0, &bad, NULL), "a bad time");
    show(sys(timer_settime, id, 0, WILD, NULL), "from nowhere");
    show(sys(timer_settime, id, 0, NULL, NULL), "from NULL");
    show(sys(timer_settime, 9999, 0, &once, NULL), "no timer");
    show(sys(timer_gettime, 9999, &old), "no timer");
    show(sys(timer_gettime, id, WILD), "to nowhere");
    show(sys(timer_getoverrun, 9999), "no timer");
    sys(clock_gettime, CLOCK_MONOTONIC, &once.it_value);
    ticks = 0;
    show(sys(timer_settime, id, TIMER_ABSTIME, &once, NULL), "a time that is over");
    start = now(CLOCK_MONOTONIC);
    while (ticks == 0 && now(CLOCK_MONOTONIC) - start < 1000000000)
        ;
    value(ticks);
    show(sys(timer_create, CLOCK_REALTIME, &quiet, &other), "without a signal");
    once.it_value.tv_sec = 100, once.it_value.tv_nsec = 0;
    show(sys(timer_settime, other, 0, &once, NULL), "100 s");
    show(sys(timer_gettime, other, &old), "running");
    value(old.it_value.tv_sec == 99 || old.it_value.tv_sec == 100);
    show(sys(timer_delete, other), "delete");
    show(sys(timer_delete, other), "delete again");
    show(sys(timer_create, CLOCK_REALTIME, NULL, &other), "SIGALRM by default");
    show(sys(timer_delete, other), "delete");
    show(sys(timer_create, CLOCK_PROCESS_CPUTIME_ID, NULL, &other), "of the program's own time");
    show(sys(timer_delete, other), "delete");
    show(sys(timer_delete, id), "delete");
}

static void processor_time(void)
{
    uint64_t wall = now(CLOCK_MONOTONIC), start = now(CLOCK_PROCESS_CPUTIME_ID), slept;
    struct timespec some = {0, 30000000};
    struct rusage usage;
    struct tms times_now;

    while (now(CLOCK_PROCESS_CPUTIME_ID) - start < 20000000)
        ;
    value(now(CLOCK_MONOTONIC) - wall >= 20000000);
    slept = now(CLOCK_PROCESS_CPUTIME_ID);
    sys(nanosleep, &some, NULL);
    value(now(CLOCK_PROCESS_CPUTIME_ID) - slept < 25000000);
    show(sys(getrusage, RUSAGE_SELF, &usage), "getrusage");
    value(usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec + usage.ru_stime.tv_sec * 1000000 +
              usage.ru_stime.tv_usec >=
          15000);
    value(usage.ru_maxrss > 0);
    show(sys(getrusage, RUSAGE_CHILDREN, &usage), "of children");
    value(usage.ru_utime.tv_usec);
    show(sys(getrusage, 1, &usage), "of the thread");
    show(sys(getrusage, 99, &usage), "of whom");
    show(sys(getrusage, RUSAGE_SELF, WILD), "to nowhere");
    value(sys(times, &times_now) > 0);
    value(times_now.tms_cutime);
    show(sys(times, WILD), "times to nowhere");
    value(sys(times, NULL) > 0);
}

/* Periods shorter than what it takes to serve them: the program goes on all the same. */
static void shortest_periods(void)
{
    struct sigevent none = {.sigev_notify = SIGEV_NONE};
    struct sigevent ignored = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGCHLD};
    struct itimerspec nanosecond = {{0, 1}, {0, 1}};
    struct itimerval microsecond = {{0, 1}, {0, 1}}, off = {{0, 0}, {0, 0}};
    uint64_t alarm = 1ul << (SIGALRM - 1);
    volatile unsigned long steps = 0;
    struct timespec some = {0, 1000000};
    int id = -1, other = -1;

    show(sys(timer_create, CLOCK_MONOTONIC, &none, &id), "silent timer");
    show(sys(timer_settime, id, 0, &nanosecond, NULL), "every nanosecond");
    show(sys(timer_create, CLOCK_MONOTONIC, &ignored, &other), "ignored timer");
    show(sys(timer_settime, other, 0, &nanosecond, NULL), "every nanosecond");
    sys(nanosleep, &some, NULL);
    show(sys(timer_delete, other), "deleted");
    show(sys(timer_delete, id), "deleted");
    sys(rt_sigprocmask, SIG_BLOCK, &alarm, NULL, 8);
    show(sys(setitimer, ITIMER_REAL, &microsecond, NULL), "every microsecond");
    while (steps < 1000000)
        steps++;
    show(sys(setitimer, ITIMER_REAL, &off, NULL), "off");
    signal(SIGALRM, SIG_IGN);
    sys(rt_sigprocmask, SIG_UNBLOCK, &alarm, NULL, 8);
    show(sys(setitimer, ITIMER_REAL, &microsecond, NULL), "every microsecond, ignored");
    while (steps > 0)
        steps--;
    show(sys(setitimer, ITIMER_REAL, &off, NULL), "off");
    signal(SIGALRM, SIG_DFL);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    clocks();
    sleeping();
    interval_timers();
    posix_timers();
    processor_time();
    shortest_periods();
    return 0;
}
