/*
 * Waiting for many things. Times are short and only compared with what they must at least be. Left out: what needs
 * a second thread or process (a wake-up from outside), sockets, timers that are cancelled by setting the clock.
 */
#include "tests/boot/linux/linux.h"

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>

static int ends[2], file;

static uint64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void fresh_pipe(void)
{
    pipe(ends);
}

static void close_pipe(void)
{
    close(ends[0]), close(ends[1]);
}

static void show_poll(const char *what, struct pollfd *polled, unsigned count, int timeout)
{
    long result = sys(poll, polled, count, timeout);

    printf("%s:", what);
    for (unsigned i = 0; i < count; i++)
        printf(" %x", (unsigned short)polled[i].revents);
    show(result, "");
}

static void poll_cases(void)
{
    struct pollfd polled[4];
    struct timespec zero = {0, 0}, bad = {0, 1000000000}, negative = {-1, 0}, some = {0, 20000000};
    uint64_t start = now(), mask = 0;

    fresh_pipe();
    show(sys(poll, NULL, 0, 0), "nothing");
    show(sys(poll, NULL, 0, 20), "nothing for a while");
    value(now() - start >= 20000000);
    show(sys(poll, NULL, 1, 0), "at NULL");
    show(sys(poll, WILD, 1, 0), "nowhere");
    show(sys(poll, KERNEL_HALF, 1, 0), "in the kernel");
    show(sys(poll, polled, -1, 0), "too many");
    show(sys(poll, WILD, 1 << 30, 0), "too many, nowhere");
    polled[0] = (struct pollfd){ends[0], POLLIN | POLLOUT, -1};
    polled[1] = (struct pollfd){ends[1], POLLIN | POLLOUT, -1};
    polled[2] = (struct pollfd){-1, POLLIN | POLLOUT, -1};
    polled[3] = (struct pollfd){9999, POLLIN | POLLOUT, -1};
    show_poll("an empty pipe", polled, 2, 0);
    show_poll("with -1", polled, 3, 0);
    show_poll("with a bad one", polled, 4, -1);
    sys(write, ends[1], "x", 1);
    show_poll("a filled pipe", polled, 2, -1);
    polled[0].events = 0;
    polled[1].events = 0;
    show_poll("asking nothing", polled, 2, 0);
    polled[0].events = POLLIN | POLLRDNORM | POLLPRI | POLLRDHUP;
    polled[1].events = POLLOUT | POLLWRNORM;
    show_poll("other names", polled, 2, 0);
    polled[2] = (struct pollfd){file, POLLIN | POLLOUT | POLLPRI | POLLRDNORM | POLLWRNORM, 0};
    show_poll("a file", polled + 2, 1, 0);
    show(sys(ppoll, polled, 2, &zero, NULL, 8), "ppoll");
    show(sys(ppoll, polled, 2, &bad, NULL, 8), "ppoll with a bad time");
    show(sys(ppoll, polled, 2, &negative, NULL, 8), "ppoll with a negative time");
    show(sys(ppoll, polled, 2, WILD, NULL, 8), "ppoll with a time nowhere");
    show(sys(ppoll, polled, 2, &zero, &mask, 4), "ppoll with a small mask");
    show(sys(ppoll, polled, 2, &zero, WILD, 8), "ppoll with a mask nowhere");
    start = now();
    show(sys(ppoll, NULL, 0, &some, &mask, 8), "ppoll for a while");
    value(now() - start >= 20000000);
    show(some.tv_sec || some.tv_nsec, "what is left of the time");
    close(ends[1]);
    polled[0].events = POLLIN;
    show_poll("the writer is gone", polled, 1, -1);
    sys(read, ends[0], &zero, 8);
    show_poll("and all is read", polled, 1, -1);
    close(ends[0]);
    fresh_pipe();
    close(ends[0]);
    polled[0] = (struct pollfd){ends[1], POLLOUT, 0};
    show_poll("the reader is gone", polled, 1, -1);
    close(ends[1]);
    show_poll("closed", polled, 1, -1);
}

static void select_cases(void)
{
    struct timeval zero = {0, 0}, some = {0, 20000}, bad = {0, -1}, negative = {-1, 0}, carried = {0, 1000000};
    struct timespec nothing = {0, 0};
    uint64_t mask = 0, start;
    struct {
        uint64_t *mask;
        size_t size;
    } pair = {&mask, 8}, wrong = {&mask, 4};
    fd_set read_set, write_set;
    int closed;

    fresh_pipe();
    FD_ZERO(&read_set);
    FD_ZERO(&write_set);
    show(sys(select, 0, NULL, NULL, NULL, &zero), "nothing");
    show(sys(select, -1, NULL, NULL, NULL, &zero), "-1");
    show(sys(select, 1, WILD, NULL, NULL, &zero), "a set nowhere");
    show(sys(select, 1, NULL, KERNEL_HALF, NULL, &zero), "a set in the kernel");
    show(sys(select, 0, NULL, NULL, NULL, WILD), "a time nowhere");
    show(sys(select, 0, NULL, NULL, NULL, &bad), "a bad time");
    show(sys(select, 0, NULL, NULL, NULL, &negative), "a negative time");
    FD_SET(ends[0], &read_set);
    FD_SET(ends[1], &write_set);
    show(sys(select, ends[1] + 1, &read_set, &write_set, NULL, &zero), "an empty pipe");
    printf("%d %d\n", FD_ISSET(ends[0], &read_set) != 0, FD_ISSET(ends[1], &write_set) != 0);
    sys(write, ends[1], "x", 1);
    FD_SET(ends[0], &read_set);
    FD_SET(ends[1], &write_set);
    show(sys(select, ends[1] + 1, &read_set, &write_set, NULL, NULL), "a filled pipe");
    printf("%d %d\n", FD_ISSET(ends[0], &read_set) != 0, FD_ISSET(ends[1], &write_set) != 0);
    show(sys(select, ends[0], &read_set, NULL, NULL, &zero), "the number does not reach it");
    start = now();
    show(sys(select, 0, NULL, NULL, NULL, &some), "for a while");
    value(now() - start >= 20000000);
    show(some.tv_sec || some.tv_usec, "what is left of the time");
    closed = dup(file);
    close(closed);
    FD_SET(closed, &read_set);
    show(sys(select, closed + 1, &read_set, NULL, NULL, &zero), "a closed descriptor");
    FD_ZERO(&read_set);
    FD_ZERO(&write_set);
    FD_SET(file, &read_set);
    FD_SET(file, &write_set);
    show(sys(select, file + 1, &read_set, &write_set, &read_set, &carried), "a file");
    FD_ZERO(&read_set);
    FD_SET(ends[0], &read_set);
    show(sys(pselect6, ends[0] + 1, &read_set, NULL, NULL, &nothing, &pair), "pselect6");
    show(sys(pselect6, ends[0] + 1, &read_set, NULL, NULL, &nothing, NULL), "pselect6 without a mask");
    show(sys(pselect6, ends[0] + 1, &read_set, NULL, NULL, &nothing, &wrong), "pselect6 with a small mask");
    show(sys(pselect6, ends[0] + 1, &read_set, NULL, NULL, &nothing, WILD), "pselect6 with a mask nowhere");
    close(ends[1]);
    sys(read, ends[0], &mask, 8);
    FD_ZERO(&read_set);
    FD_SET(ends[0], &read_set);
    show(sys(select, ends[0] + 1, &read_set, NULL, NULL, NULL), "the writer is gone");
    close(ends[0]);
}

static void eventfds(void)
{
    uint64_t number = 0, most = UINT64_MAX - 1;
    struct pollfd polled;
    char small[4] = "";
    int fd;

    show(sys(eventfd2, 0, 2), "an unknown flag");
    fd = (int)sys(eventfd2, 3, EFD_CLOEXEC | EFD_NONBLOCK);
    show(sys(fcntl, fd, F_GETFD), "close on exec");
    show(sys(fcntl, fd, F_GETFL), "flags");
    show(sys(read, fd, &number, 8), "read");
    value(number);
    show(sys(read, fd, &number, 8), "read of none");
    number = 5;
    show(sys(write, fd, &number, 8), "write");
    show(sys(write, fd, &number, 4), "write half");
    show(sys(read, fd, small, 4), "read half");
    show(sys(read, fd, WILD, 8), "read to nowhere");
    show(sys(write, fd, WILD, 8), "write from nowhere");
    number = 7;
    sys(write, fd, &number, 8);
    show(sys(read, fd, &number, 100), "read, more room");
    value(number);
    number = UINT64_MAX;
    show(sys(write, fd, &number, 8), "write the largest");
    show(sys(write, fd, &most, 8), "write the largest but one");
    polled = (struct pollfd){fd, POLLIN | POLLOUT, 0};
    show_poll("full", &polled, 1, 0);
    number = 1;
    show(sys(write, fd, &number, 8), "one more");
    number = 0;
    show(sys(write, fd, &number, 8), "nothing more");
    show(sys(read, fd, &number, 8), "read");
    value(number == most);
    show_poll("empty", &polled, 1, 0);
    close(fd);
    fd = (int)sys(eventfd2, 2, EFD_SEMAPHORE | EFD_NONBLOCK);
    show(sys(read, fd, &number, 8), "a semaphore");
    value(number);
    show_poll("one left", &polled, 1, 0);
    show(sys(read, fd, &number, 8), "again");
    show(sys(read, fd, &number, 8), "none");
    close(fd);
    fd = (int)sys(eventfd, 1);
    show(sys(fcntl, fd, F_GETFL), "the old call");
    show(sys(ftruncate, fd, 0), "ftruncate");
    show(sys(mmap, NULL, PAGE, 1, 1, fd, 0), "mmap");
    close(fd);
}

static void timerfds(void)
{
    struct itimerspec spec = {{0, 0}, {0, 30000000}}, old, bad = {{0, 0}, {0, 1000000000}}, repeat;
    struct itimerspec negative = {{0, 0}, {-1, 0}};
    struct pollfd polled;
    uint64_t count = 0, start;
    int fd;

    show(sys(timerfd_create, 99, 0), "an unknown clock");
    show(sys(timerfd_create, CLOCK_PROCESS_CPUTIME_ID, 0), "a clock of the process");
    show(sys(timerfd_create, CLOCK_MONOTONIC, 1), "an unknown flag");
    fd = (int)sys(timerfd_create, CLOCK_MONOTONIC, TFD_CLOEXEC);
    show(sys(fcntl, fd, F_GETFD), "close on exec");
    show(sys(timerfd_gettime, fd, &old), "gettime");
    printf("%ld %ld\n", old.it_value.tv_sec, old.it_value.tv_nsec);
    start = now();
    show(sys(timerfd_settime, fd, 0, &spec, &old), "settime");
    show(sys(timerfd_gettime, fd, &old), "gettime");
    value(old.it_value.tv_sec == 0 && old.it_value.tv_nsec > 0 && old.it_value.tv_nsec <= 30000000);
    show(sys(read, fd, &count, 8), "read waits");
    value(count);
    value(now() - start >= 30000000);
    show(sys(timerfd_settime, fd, 0, &bad, NULL), "a bad time");
    show(sys(timerfd_settime, fd, 0, &negative, NULL), "a negative time");
    show(sys(timerfd_settime, fd, 4, &spec, NULL), "an unknown flag");
    show(sys(timerfd_settime, fd, 0, WILD, NULL), "from nowhere");
    show(sys(timerfd_settime, fd, 0, &spec, WILD), "the old one to nowhere");
    show(sys(timerfd_gettime, fd, WILD), "to nowhere");
    show(sys(timerfd_settime, 9999, 0, &spec, NULL), "no descriptor");
    show(sys(timerfd_settime, file, 0, &spec, NULL), "of a file");
    show(sys(timerfd_gettime, file, &old), "of a file");
    show(sys(read, fd, &count, 4), "half a number");
    show(sys(write, fd, &count, 8), "write");
    repeat = (struct itimerspec){{0, 10000000}, {0, 1}};
    show(sys(timerfd_settime, fd, 0, &repeat, NULL), "repeating");
    start = now();
    while (now() - start < 55000000)
        ;
    show(sys(read, fd, &count, 8), "read");
    value(count >= 5);
    repeat = (struct itimerspec){{0, 0}, {0, 0}};
    show(sys(timerfd_settime, fd, 0, &repeat, &old), "disarm");
    value(old.it_interval.tv_nsec);
    polled = (struct pollfd){fd, POLLIN, 0};
    show_poll("disarmed", &polled, 1, 20);
    sys(fcntl, fd, F_SETFL, O_NONBLOCK);
    show(sys(read, fd, &count, 8), "read");
    clock_gettime(CLOCK_MONOTONIC, &spec.it_value);
    show(sys(timerfd_settime, fd, TFD_TIMER_ABSTIME, &spec, NULL), "a time that is over");
    show_poll("over", &polled, 1, 1000);
    show(sys(read, fd, &count, 8), "read");
    value(count);
    close(fd);
    fd = (int)sys(timerfd_create, CLOCK_REALTIME, TFD_NONBLOCK);
    spec = (struct itimerspec){{0, 0}, {1, 0}};
    show(sys(timerfd_settime, fd, TFD_TIMER_ABSTIME, &spec, NULL), "in 1970");
    polled.fd = fd;
    show_poll("over", &polled, 1, 1000);
    show(sys(read, fd, &count, 8), "read");
    close(fd);
    fd = (int)sys(timerfd_create, CLOCK_BOOTTIME, 0);
    show(done(fd), "CLOCK_BOOTTIME");
    close(fd);
}

static void signalfds(void)
{
    struct signalfd_siginfo info[2];
    uint64_t usr1 = 1ul << (SIGUSR1 - 1), usr2 = 1ul << (SIGUSR2 - 1), both = usr1 | usr2, kill_only = 1ul << 8;
    struct pollfd polled;
    int fd;

    sys(rt_sigprocmask, SIG_BLOCK, &both, NULL, 8);
    show(sys(signalfd4, -1, &usr1, 8, 1), "an unknown flag");
    show(sys(signalfd4, -1, &usr1, 4, 0), "a small mask");
    show(sys(signalfd4, -1, WILD, 8, 0), "a mask nowhere");
    show(sys(signalfd4, 9999, &usr1, 8, 0), "no descriptor");
    show(sys(signalfd4, file, &usr1, 8, 0), "of a file");
    fd = (int)sys(signalfd4, -1, &usr1, 8, SFD_CLOEXEC | SFD_NONBLOCK);
    show(sys(fcntl, fd, F_GETFL), "flags");
    polled = (struct pollfd){fd, POLLIN, 0};
    show_poll("none", &polled, 1, 0);
    show(sys(read, fd, info, sizeof info), "read of none");
    show(sys(read, fd, info, 10), "too little room");
    kill(getpid(), SIGUSR2);
    show_poll("another one", &polled, 1, 0);
    kill(getpid(), SIGUSR1);
    show_poll("the one", &polled, 1, -1);
    show(sys(read, fd, info, sizeof info), "read");
    printf("signal %u, code %d, ours %d\n", info[0].ssi_signo, info[0].ssi_code, info[0].ssi_pid == (uint32_t)getpid());
    show(sys(signalfd4, fd, &both, 8, 0) == fd, "more signals");
    kill(getpid(), SIGUSR1);
    show(sys(read, fd, info, sizeof info), "two at once");
    printf("signals %u %u\n", info[0].ssi_signo, info[1].ssi_signo);
    show(sys(write, fd, info, sizeof *info), "write");
    kill(getpid(), SIGUSR1);
    show(sys(read, fd, WILD, sizeof info), "read to nowhere");
    show(done(sys(signalfd4, -1, &kill_only, 8, 0)), "SIGKILL");
    close(fd);
    signal(SIGUSR1, SIG_IGN), signal(SIGUSR2, SIG_IGN);
    sys(rt_sigprocmask, SIG_UNBLOCK, &both, NULL, 8);
}

static void show_events(const char *what, int epoll, int room, int timeout)
{
    struct epoll_event events[8];
    long count = sys(epoll_wait, epoll, events, room, timeout);

    printf("%s:", what);
    for (long i = 0; i < count; i++)
        printf(" %x/%lu", events[i].events, (unsigned long)events[i].data.u64);
    show(count, "");
}

static void epoll_errors(void)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 1}, unaligned[3];
    int epoll = (int)sys(epoll_create1, 0), other = (int)sys(epoll_create1, EPOLL_CLOEXEC);
    struct timespec zero = {0, 0}, bad = {0, -1};
    uint64_t mask = 0;

    fresh_pipe();
    show(sys(epoll_create1, 1), "an unknown flag");
    show(sys(epoll_create, 0), "size 0");
    show(sys(epoll_create, -1), "size -1");
    show(sys(fcntl, other, F_GETFD), "close on exec");
    show(sys(epoll_ctl, epoll, EPOLL_CTL_ADD, 9999, &event), "add none");
    show(sys(epoll_ctl, 9999, EPOLL_CTL_ADD, ends[0], &event), "to none");
    show(sys(epoll_ctl, file, EPOLL_CTL_ADD, ends[0], &event), "to a file");
    show(sys(epoll_ctl, epoll, EPOLL_CTL_ADD, file, &event), "add a file");
    show(sys(epoll_ctl, epoll, EPOLL_CTL_ADD, epoll, &event), "add itself");
    show(sys(epoll_ctl, epoll, EPOLL_CTL_ADD, ends[0], WILD), "from nowhere");
    show(sys(epoll_ctl, epoll, EPOLL_CTL_ADD, ends[0], NULL), "from NULL");
    show(sys(epoll_ctl, epoll, 99, ends[0], &event), "an unknown operation");
    show(sys(epoll_ctl, epoll, EPOLL_CTL_MOD, ends[0], &event), "change what is not there");
    show(sys(epoll_ctl, epoll, EPOLL_CTL_DEL, ends[0], NULL), "remove what is not there");
    show(sys(epoll_ctl, epoll, EPOLL_CTL_ADD, ends[0], &event), "add");
    show(sys(epoll_ctl, epoll, EPOLL_CTL_ADD, ends[0], &event), "add again");
    show(sys(epoll_ctl, epoll, EPOLL_CTL_DEL, ends[0], NULL), "remove");
    show(sys(epoll_ctl, epoll, EPOLL_CTL_ADD, other, &event), "add another epoll");
    show(sys(epoll_ctl, other, EPOLL_CTL_ADD, epoll, &event), "a circle");
    show(sys(epoll_wait, epoll, unaligned, 0, 0), "no room");
    show(sys(epoll_wait, epoll, unaligned, -1, 0), "room for -1");
    show(sys(epoll_wait, epoll, unaligned, 1 << 30, 0), "room for many");
    show(sys(epoll_wait, 9999, unaligned, 1, 0), "wait for none");
    show(sys(epoll_wait, file, unaligned, 1, 0), "wait for a file");
    show(sys(epoll_wait, epoll, WILD, 1, 0), "to nowhere, no event");
    show(sys(epoll_wait, epoll, KERNEL_HALF, 1, 0), "to the kernel");
    show(sys(epoll_pwait, epoll, unaligned, 1, 0, &mask, 8), "epoll_pwait");
    show(sys(epoll_pwait, epoll, unaligned, 1, 0, &mask, 4), "epoll_pwait, a small mask");
    show(sys(epoll_pwait, epoll, unaligned, 1, 0, WILD, 8), "epoll_pwait, a mask nowhere");
    show(sys(epoll_pwait2_, epoll, unaligned, 1, &zero, NULL, 8), "epoll_pwait2");
    show(sys(epoll_pwait2_, epoll, unaligned, 1, &bad, NULL, 8), "epoll_pwait2, a bad time");
    show(sys(read, epoll, unaligned, 8), "read");
    show(sys(write, epoll, unaligned, 8), "write");
    close(epoll), close(other);
    close_pipe();
}

static void epoll_levels(void)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 7};
    int epoll = (int)sys(epoll_create1, 0), twin, spare[2];
    struct pollfd polled = {epoll, POLLIN, 0};
    uint64_t start = now();
    char bytes[16];

    fresh_pipe();
    sys(epoll_ctl, epoll, EPOLL_CTL_ADD, ends[0], &event);
    event = (struct epoll_event){.events = EPOLLOUT, .data.u64 = 8};
    sys(epoll_ctl, epoll, EPOLL_CTL_ADD, ends[1], &event);
    show_events("a pipe", epoll, 8, -1);
    sys(epoll_ctl, epoll, EPOLL_CTL_DEL, ends[1], NULL);
    show_poll("nothing", &polled, 1, 0);
    show_events("for a while", epoll, 8, 20);
    value(now() - start >= 20000000);
    sys(write, ends[1], "xy", 2);
    show_poll("something", &polled, 1, 0);
    show_events("filled", epoll, 8, -1);
    show_events("still filled", epoll, 8, 0);
    sys(read, ends[0], bytes, 2);
    show_events("emptied", epoll, 8, 0);
    event = (struct epoll_event){.events = EPOLLIN | EPOLLET, .data.u64 = 9};
    show(sys(epoll_ctl, epoll, EPOLL_CTL_MOD, ends[0], &event), "edges");
    sys(write, ends[1], "xy", 2);
    show_events("filled", epoll, 8, -1);
    show_events("no new edge", epoll, 8, 0);
    sys(write, ends[1], "z", 1);
    show_events("a new edge", epoll, 8, 0);
    sys(read, ends[0], bytes, 1);
    show_events("reading is none", epoll, 8, 0);
    event = (struct epoll_event){.events = EPOLLIN | EPOLLONESHOT, .data.u64 = 10};
    show(sys(epoll_ctl, epoll, EPOLL_CTL_MOD, ends[0], &event), "once");
    show_events("once", epoll, 8, -1);
    sys(write, ends[1], "z", 1);
    show_events("not again", epoll, 8, 0);
    show(sys(epoll_ctl, epoll, EPOLL_CTL_MOD, ends[0], &event), "armed again");
    show_events("again", epoll, 8, 0);
    event = (struct epoll_event){.events = 0, .data.u64 = 11};
    sys(epoll_ctl, epoll, EPOLL_CTL_MOD, ends[0], &event);
    show_events("no events asked", epoll, 8, 0);
    twin = dup(ends[1]);
    close(ends[1]);
    show_events("one writer left", epoll, 8, 0);
    close(twin);
    show_events("no writer left", epoll, 8, -1);
    twin = dup(ends[0]);
    close(ends[0]);
    show_events("closed, but its file is open", epoll, 8, 0);
    close(twin);
    show_events("closed", epoll, 8, 0);
    pipe(spare);
    event = (struct epoll_event){.events = EPOLLOUT | EPOLLERR, .data.u64 = 12};
    sys(epoll_ctl, epoll, EPOLL_CTL_ADD, spare[1], &event);
    close(spare[0]);
    show_events("no reader left", epoll, 8, -1);
    close(spare[1]);
    close(epoll);
}

static void epoll_many(void)
{
    int epoll = (int)sys(epoll_create1, 0), fds[40], outer = (int)sys(epoll_create1, 0);
    struct epoll_event event, events[64];
    unsigned seen = 0;
    uint64_t one = 1;
    long count;

    for (int i = 0; i < 40; i++) {
        fds[i] = (int)sys(eventfd2, 0, EFD_NONBLOCK);
        event = (struct epoll_event){.events = EPOLLIN, .data.u64 = (uint64_t)i};
        sys(epoll_ctl, epoll, EPOLL_CTL_ADD, fds[i], &event);
    }
    event = (struct epoll_event){.events = EPOLLIN, .data.u64 = 1000};
    sys(epoll_ctl, outer, EPOLL_CTL_ADD, epoll, &event);
    show_events("outer, nothing", outer, 8, 0);
    for (int i = 0; i < 40; i += 3)
        sys(write, fds[i], &one, 8);
    show_events("outer", outer, 8, 0);
    count = sys(epoll_wait, epoll, events, 64, 0);
    for (long i = 0; i < count; i++)
        seen += events[i].data.u64 % 3 == 0 && events[i].events == EPOLLIN;
    show(count, "inner");
    value(seen);
    /* Little room: nobody is forgotten. */
    uint64_t set = 0;

    for (int i = 0; i < 20; i++) {
        count = sys(epoll_wait, epoll, events, 3, 0);
        for (long j = 0; j < count; j++)
            set |= 1ul << events[j].data.u64;
    }
    value(__builtin_popcountl(set));
    for (int i = 0; i < 40; i++)
        close(fds[i]);
    show_events("all closed", epoll, 8, 0);
    close(outer), close(epoll);
}

static void epoll_of_others(void)
{
    int epoll = (int)sys(epoll_create1, 0), timer = (int)sys(timerfd_create, CLOCK_MONOTONIC, 0), event_fd, signals;
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 1};
    struct itimerspec spec = {{0, 0}, {0, 20000000}};
    uint64_t usr1 = 1ul << (SIGUSR1 - 1), number = 1;

    sys(epoll_ctl, epoll, EPOLL_CTL_ADD, timer, &event);
    sys(timerfd_settime, timer, 0, &spec, NULL);
    show_events("a timer", epoll, 8, 5000);
    sys(read, timer, &number, 8);
    show_events("read", epoll, 8, 0);
    event_fd = (int)sys(eventfd2, 1, EFD_SEMAPHORE);
    event.data.u64 = 2, event.events = EPOLLIN | EPOLLOUT | EPOLLET;
    sys(epoll_ctl, epoll, EPOLL_CTL_ADD, event_fd, &event);
    show_events("an eventfd", epoll, 8, 0);
    show_events("no new edge", epoll, 8, 0);
    sys(write, event_fd, &number, 8);
    show_events("written", epoll, 8, 0);
    signal(SIGUSR1, SIG_DFL);
    sys(rt_sigprocmask, SIG_BLOCK, &usr1, NULL, 8);
    signals = (int)sys(signalfd4, -1, &usr1, 8, 0);
    event.data.u64 = 3, event.events = EPOLLIN;
    sys(epoll_ctl, epoll, EPOLL_CTL_ADD, signals, &event);
    show_events("no signal", epoll, 8, 0);
    kill(getpid(), SIGUSR1);
    show_events("a signal", epoll, 8, 0);
    close(timer), close(event_fd), close(signals), close(epoll);
    signal(SIGUSR1, SIG_IGN);
    sys(rt_sigprocmask, SIG_UNBLOCK, &usr1, NULL, 8);
}

static volatile int handled;

static void on_alarm(int signal)
{
    handled = signal;
}

/* A signal ends every wait, even where SA_RESTART is set, and the masks of the p-calls are those of the wait only. */
static void interrupted(void)
{
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct itimerval soon = {{0, 0}, {0, 20000}};
    uint64_t none = 0, alarm_only = 1ul << (SIGALRM - 1);
    int epoll = (int)sys(epoll_create1, 0);
    struct epoll_event event;
    struct timespec long_time = {5, 0};
    struct pollfd polled = {-1, 0, 0};

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &soon, NULL);
    show(sys(poll, &polled, 1, 5000), "poll");
    setitimer(ITIMER_REAL, &soon, NULL);
    show(sys(select, 0, NULL, NULL, NULL, NULL), "select");
    setitimer(ITIMER_REAL, &soon, NULL);
    show(sys(epoll_wait, epoll, &event, 1, 5000), "epoll_wait");
    show(handled, "handled");
    handled = 0;
    sys(rt_sigprocmask, SIG_BLOCK, &alarm_only, NULL, 8);
    kill(getpid(), SIGALRM);
    show(sys(poll, &polled, 1, 10), "blocked");
    show(handled, "handled");
    show(sys(ppoll, &polled, 1, &long_time, &none, 8), "ppoll");
    show(handled, "handled");
    handled = 0;
    kill(getpid(), SIGALRM);
    show(sys(epoll_pwait, epoll, &event, 1, 5000, &none, 8), "epoll_pwait");
    show(handled, "handled");
    handled = 0;
    kill(getpid(), SIGALRM);
    show(sys(epoll_pwait2_, epoll, &event, 1, &long_time, &none, 8), "epoll_pwait2");
    show(handled, "handled");
    sys(rt_sigprocmask, SIG_UNBLOCK, &alarm_only, NULL, 8);
    pipe(ends);
    char bytes[8];
    action.sa_flags = 0;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &soon, NULL);
    show(sys(read, ends[0], bytes, 8), "read without SA_RESTART");
    close_pipe();
    close(epoll);
}

int main(void)
{
    fresh_folder();
    file = make_file("file", 10);
    poll_cases();
    select_cases();
    eventfds();
    timerfds();
    signalfds();
    epoll_errors();
    epoll_levels();
    epoll_many();
    epoll_of_others();
    interrupted();
    remove_folder();
    return 0;
}
