/* What is ready: poll, select, epoll in all its ways, signalfd, timerfd. Prints the same on Linux. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/* The result, and errno if it is -1: texts of errors are not the same in all C libraries. */
#define SHOW(call)                                                                                                     \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        long result_ = (long)(call);                                                                                   \
        printf("%s: %ld%s%d\n", #call, result_, result_ == -1 ? " errno " : " ", result_ == -1 ? errno : 0);           \
        fflush(stdout);                                                                                                \
    } while (0)

#define IMPOSSIBLE ((void *)-8)

static char bytes[70000];

static int polled(int fd, int events)
{
    struct pollfd one = {.fd = fd, .events = (short)events};

    return poll(&one, 1, 0) < 0 ? -1 : one.revents;
}

static void check_poll(void)
{
    int ends[2];
    struct pollfd list[40];
    struct timespec none = {0, 0}, wrong = {0, 1000000000}, little = {0, 20000000};

    puts("-- poll");
    pipe2(ends, O_NONBLOCK);
    for (int i = 0; i < 40; i++)
        list[i] = (struct pollfd){.fd = i % 4 == 0   ? -1
                                        : i % 4 == 1 ? ends[0]
                                        : i % 4 == 2 ? ends[1]
                                                     : 77,
                                  .events = POLLIN | POLLOUT,
                                  .revents = 99};
    SHOW(poll(list, 40, 0));
    for (int i = 36; i < 40; i++)
        SHOW(list[i].revents);
    SHOW(polled(ends[1], 0));
    SHOW(polled(ends[1], POLLWRNORM));
    SHOW(poll(NULL, 0, 10));
    SHOW(poll(NULL, 1, 0));
    SHOW(poll(list, 2000000, 0));
    list[0] = (struct pollfd){.fd = ends[0], .events = POLLIN};
    SHOW(ppoll(list, 1, &little, NULL));
    SHOW(ppoll(list, 1, &none, NULL));
    SHOW(ppoll(list, 1, &wrong, NULL));
    SHOW(syscall(SYS_ppoll, list, 1, &little, list, 7));
    SHOW(syscall(SYS_ppoll, list, 1, &little, 8, 8));
    SHOW(syscall(SYS_ppoll, list, 1, &little, NULL, 7));
    SHOW(little.tv_sec + little.tv_nsec);
    SHOW(syscall(SYS_ppoll, list, 1, IMPOSSIBLE, NULL, 8));
    write(ends[1], "x", 1);
    little.tv_sec = 100;
    SHOW(syscall(SYS_ppoll, list, 1, &little, NULL, 8));
    SHOW(little.tv_sec >= 99 && little.tv_sec < 101);
    close(ends[1]);
    SHOW(polled(ends[0], POLLIN));
    SHOW(polled(ends[0], 0));
    close(ends[0]);
}

static void show_set(const char *name, const fd_set *set)
{
    printf("%s:", name);
    for (int fd = 0; fd < FD_SETSIZE; fd++)
        if (FD_ISSET(fd, set))
            printf(" %d", fd);
    puts("");
}

static void check_select(void)
{
    int ends[2], high = dup2(1, 900);
    fd_set in, out, exceptional;
    struct timeval none = {0, 0}, little = {0, 20000}, odd = {0, 1500000}, wrong = {0, -1};
    struct timespec span = {0, 20000000};
    uintptr_t mask[2] = {8, 8};

    puts("-- select");
    pipe2(ends, O_NONBLOCK);
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_ZERO(&exceptional);
    FD_SET(ends[0], &in), FD_SET(ends[1], &in), FD_SET(ends[0], &out), FD_SET(ends[1], &out);
    FD_SET(high, &out), FD_SET(ends[0], &exceptional);
    SHOW(syscall(SYS_select, FD_SETSIZE, &in, &out, &exceptional, &none));
    FD_CLR(high, &out);
    show_set("in", &in), show_set("out", &out), show_set("exceptional", &exceptional);
    write(ends[1], "x", 1);
    FD_SET(ends[0], &in);
    SHOW(syscall(SYS_select, ends[0] + 1, &in, NULL, NULL, NULL));
    show_set("in", &in);
    read(ends[0], bytes, 1);
    SHOW(syscall(SYS_select, ends[0], &in, NULL, NULL, &little));
    show_set("in", &in);
    SHOW(little.tv_sec + little.tv_usec);
    FD_SET(ends[0], &in);
    SHOW(syscall(SYS_select, ends[0] + 1, &in, NULL, NULL, &none));
    show_set("in", &in);
    FD_SET(77, &in);
    SHOW(syscall(SYS_select, 100, &in, NULL, NULL, &none));
    SHOW(syscall(SYS_select, 77, &in, NULL, NULL, &none));
    SHOW(syscall(SYS_select, -1, NULL, NULL, NULL, &none));
    SHOW(syscall(SYS_select, 10, IMPOSSIBLE, NULL, NULL, &none));
    SHOW(syscall(SYS_select, 0, NULL, NULL, NULL, &wrong));
    SHOW(syscall(SYS_select, 0, NULL, NULL, NULL, IMPOSSIBLE));
    write(ends[1], "x", 1);
    FD_ZERO(&in);
    FD_SET(ends[0], &in);
    SHOW(syscall(SYS_select, ends[0] + 1, &in, NULL, NULL, &odd));
    SHOW(odd.tv_sec * 1000000 + odd.tv_usec > 1400000);
    SHOW(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &span, NULL));
    SHOW(span.tv_nsec);
    SHOW(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &span, mask));
    SHOW(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &span, IMPOSSIBLE));
    mask[1] = 7;
    SHOW(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &span, mask));
    close(ends[1]);
    read(ends[0], bytes, 1);
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(ends[0], &in), FD_SET(ends[0], &out);
    SHOW(syscall(SYS_select, ends[0] + 1, &in, &out, NULL, NULL));
    show_set("in", &in), show_set("out", &out);
    close(ends[0]);
    close(high);
}

static int control(int epoll, int operation, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};

    return epoll_ctl(epoll, operation, fd, &event);
}

static void show_events(int epoll, int max)
{
    struct epoll_event events[64];
    int count = epoll_wait(epoll, events, max, 0);

    printf("epoll_wait: %d", count);
    for (int i = 0; i < count; i++)
        printf(" %lu=%x", (unsigned long)events[i].data.u64, events[i].events);
    puts("");
    fflush(stdout);
}

static void check_levels(void)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC), one = eventfd(0, EFD_NONBLOCK), two = eventfd(0, EFD_NONBLOCK);

    puts("-- epoll, level");
    show_events(epoll, 10);
    SHOW(control(epoll, EPOLL_CTL_ADD, one, EPOLLIN, 1));
    SHOW(control(epoll, EPOLL_CTL_ADD, two, EPOLLIN, 2));
    SHOW(control(epoll, EPOLL_CTL_ADD, two, EPOLLIN, 2));
    show_events(epoll, 10);
    eventfd_write(two, 1);
    eventfd_write(one, 1);
    show_events(epoll, 10);
    show_events(epoll, 1);
    show_events(epoll, 1);
    show_events(epoll, 1);
    show_events(epoll, 10);
    SHOW(control(epoll, EPOLL_CTL_MOD, one, EPOLLIN | EPOLLOUT, 11));
    show_events(epoll, 10);
    read(two, bytes, 8);
    show_events(epoll, 10);
    SHOW(control(epoll, EPOLL_CTL_DEL, one, 0, 0));
    SHOW(control(epoll, EPOLL_CTL_DEL, one, 0, 0));
    SHOW(control(epoll, EPOLL_CTL_MOD, one, EPOLLIN, 0));
    show_events(epoll, 10);
    SHOW(control(epoll, EPOLL_CTL_MOD, two, 0, 22));
    eventfd_write(two, 1);
    show_events(epoll, 10);
    SHOW(polled(epoll, POLLIN));
    SHOW(control(epoll, EPOLL_CTL_MOD, two, EPOLLIN, 22));
    SHOW(polled(epoll, POLLIN | POLLOUT | POLLRDNORM));
    close(one), close(two), close(epoll);
}

static void check_edges(void)
{
    int epoll = epoll_create(1), ends[2];

    puts("-- epoll, edge");
    pipe2(ends, O_NONBLOCK);
    SHOW(control(epoll, EPOLL_CTL_ADD, ends[0], EPOLLIN | EPOLLET, 1));
    SHOW(control(epoll, EPOLL_CTL_ADD, ends[1], EPOLLOUT | EPOLLET, 2));
    show_events(epoll, 10);
    show_events(epoll, 10);
    write(ends[1], bytes, 10);
    show_events(epoll, 10);
    show_events(epoll, 10);
    write(ends[1], bytes, 10);
    show_events(epoll, 10);
    read(ends[0], bytes, 5);
    show_events(epoll, 10);
    SHOW(control(epoll, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLET, 3));
    show_events(epoll, 10);
    show_events(epoll, 10);
    SHOW(write(ends[1], bytes, sizeof(bytes)));
    show_events(epoll, 10);
    read(ends[0], bytes, 3000);
    show_events(epoll, 10);
    read(ends[0], bytes, 4096);
    show_events(epoll, 10);
    read(ends[0], bytes, sizeof(bytes));
    show_events(epoll, 10);
    write(ends[1], "x", 1);
    read(ends[0], bytes, 1);
    show_events(epoll, 10);
    close(ends[1]);
    show_events(epoll, 10);
    show_events(epoll, 10);
    close(ends[0]);
    show_events(epoll, 10);

    puts("-- epoll, one shot");
    pipe2(ends, O_NONBLOCK);
    SHOW(control(epoll, EPOLL_CTL_ADD, ends[0], EPOLLIN | EPOLLONESHOT, 4));
    write(ends[1], "x", 1);
    show_events(epoll, 10);
    write(ends[1], "x", 1);
    show_events(epoll, 10);
    SHOW(control(epoll, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLONESHOT, 5));
    show_events(epoll, 10);
    show_events(epoll, 10);
    close(ends[1]);
    show_events(epoll, 10);
    close(ends[0]), close(epoll);
}

/* A descriptor that is closed is no longer watched once its open file is. */
static void check_closing(void)
{
    int epoll = epoll_create1(0), event = eventfd(1, 0), copy = dup(event);

    puts("-- epoll, closing");
    SHOW(control(epoll, EPOLL_CTL_ADD, event, EPOLLIN, 1));
    SHOW(control(epoll, EPOLL_CTL_ADD, copy, EPOLLIN, 2));
    SHOW(control(epoll, EPOLL_CTL_DEL, copy, EPOLLIN, 2));
    close(event);
    show_events(epoll, 10);
    SHOW(control(epoll, EPOLL_CTL_DEL, event, 0, 0));
    close(copy);
    show_events(epoll, 10);
    event = eventfd(1, 0);
    SHOW(control(epoll, EPOLL_CTL_ADD, event, EPOLLIN, 3));
    close(epoll);
    SHOW(polled(event, POLLIN));
    close(event);
}

static void check_nesting(void)
{
    int chain[8], event = eventfd(0, 0), other;

    puts("-- epoll, nested");
    for (int i = 0; i < 8; i++)
        chain[i] = epoll_create1(0);
    for (int i = 0; i < 6; i++)
        SHOW(control(chain[i], EPOLL_CTL_ADD, chain[i + 1], EPOLLIN, 100 + i));
    SHOW(control(chain[2], EPOLL_CTL_ADD, chain[0], EPOLLIN, 0));
    SHOW(control(chain[2], EPOLL_CTL_ADD, chain[2], EPOLLIN, 0));
    SHOW(control(chain[4], EPOLL_CTL_ADD, event, EPOLLIN, 7));
    show_events(chain[0], 10);
    eventfd_write(event, 1);
    SHOW(polled(chain[0], POLLIN));
    show_events(chain[0], 10);
    show_events(chain[3], 10);
    show_events(chain[4], 10);
    read(event, bytes, 8);
    show_events(chain[0], 10);
    other = epoll_create1(0);
    SHOW(control(other, EPOLL_CTL_ADD, chain[4], EPOLLIN | EPOLLET, 8));
    eventfd_write(event, 1);
    show_events(other, 10);
    show_events(other, 10);
    eventfd_write(event, 1);
    show_events(chain[4], 10);
    show_events(other, 10);
    for (int i = 0; i < 8; i++)
        close(chain[i]);
    show_events(other, 10);
    close(other), close(event);
}

static void check_errors(void)
{
    int epoll = epoll_create1(0), event = eventfd(1, 0), other = epoll_create1(0);
    struct epoll_event one;
    struct timespec wrong = {-1, 0}, none = {0, 0};

    puts("-- epoll, errors");
    SHOW(syscall(SYS_epoll_create, 0));
    SHOW(syscall(SYS_epoll_create, -1));
    SHOW(epoll_create1(1));
    SHOW(epoll_ctl(epoll, EPOLL_CTL_ADD, event, NULL));
    SHOW(control(99, EPOLL_CTL_ADD, event, EPOLLIN, 0));
    SHOW(control(epoll, EPOLL_CTL_ADD, 99, EPOLLIN, 0));
    SHOW(control(event, EPOLL_CTL_ADD, epoll, EPOLLIN, 0));
    SHOW(control(epoll, 4, event, EPOLLIN, 0));
    SHOW(control(epoll, EPOLL_CTL_ADD, other, EPOLLIN | EPOLLEXCLUSIVE, 0));
    SHOW(control(epoll, EPOLL_CTL_ADD, event, EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT, 0));
    SHOW(control(epoll, EPOLL_CTL_ADD, event, EPOLLIN | EPOLLEXCLUSIVE, 9));
    SHOW(control(epoll, EPOLL_CTL_MOD, event, EPOLLIN, 0));
    SHOW(control(epoll, EPOLL_CTL_MOD, event, EPOLLIN | EPOLLEXCLUSIVE, 0));
    show_events(epoll, 10);
    SHOW(epoll_wait(epoll, &one, 0, 0));
    SHOW(epoll_wait(epoll, &one, -1, 0));
    SHOW(epoll_wait(epoll, &one, INT32_MAX / 12 + 1, 0));
    SHOW(syscall(SYS_epoll_wait, epoll, 8, 1, 0));
    SHOW(syscall(SYS_epoll_wait, epoll, -1L, 1, 0));
    SHOW(epoll_wait(event, &one, 1, 0));
    SHOW(epoll_wait(99, &one, 1, 0));
    SHOW(syscall(SYS_epoll_pwait, epoll, &one, 1, 0, &one, 7L));
    SHOW(syscall(SYS_epoll_pwait, epoll, &one, 1, 0, 8L, 8L));
    SHOW(syscall(SYS_epoll_pwait2, epoll, &one, 1, &none, NULL, 0L));
    SHOW(syscall(SYS_epoll_pwait2, epoll, &one, 1, &wrong, NULL, 0L));
    SHOW(syscall(SYS_epoll_pwait2, epoll, &one, 1, 8L, NULL, 0L));
    SHOW(read(epoll, bytes, 1));
    SHOW(write(epoll, bytes, 1));
    SHOW(lseek(epoll, 0, SEEK_SET));
    SHOW(fcntl(epoll, F_GETFL));
    SHOW(epoll_wait(other, &one, 1, 20));
    close(epoll), close(event), close(other);
}

/* A thousand descriptors of which two are ready. */
static void check_many(void)
{
    int epoll = epoll_create1(0), events[400];

    puts("-- epoll, many");
    for (int i = 0; i < 400; i++)
        control(epoll, EPOLL_CTL_ADD, events[i] = eventfd(0, EFD_NONBLOCK), EPOLLIN, (uint64_t)i);
    show_events(epoll, 64);
    eventfd_write(events[399], 1), eventfd_write(events[200], 1);
    show_events(epoll, 64);
    for (int i = 0; i < 400; i++)
        close(events[i]);
    show_events(epoll, 64);
    close(epoll);
}

static void show_signal(int fd)
{
    struct signalfd_siginfo info;
    long count = read(fd, &info, sizeof(info));

    printf("signalfd: %ld", count);
    if (count == sizeof(info))
        printf(" signal %u code %d mine %d value %d", info.ssi_signo, info.ssi_code, info.ssi_pid == (unsigned)getpid(),
               info.ssi_int);
    puts(count < 0 ? errno == EAGAIN ? " EAGAIN" : " error" : "");
}

static void check_signals(void)
{
    sigset_t set, none;
    int fd, epoll = epoll_create1(0);

    puts("-- signalfd");
    sigemptyset(&none), sigemptyset(&set), sigaddset(&set, SIGUSR1), sigaddset(&set, SIGUSR2), sigaddset(&set, SIGKILL);
    sigprocmask(SIG_BLOCK, &set, NULL);
    fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    SHOW(polled(fd, POLLIN | POLLOUT));
    show_signal(fd);
    SHOW(control(epoll, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLET, 1));
    kill(getpid(), SIGUSR1);
    kill(getpid(), SIGUSR1);
    raise(SIGUSR2);
    show_events(epoll, 10);
    show_events(epoll, 10);
    SHOW(polled(fd, POLLIN | POLLOUT));
    SHOW(read(fd, bytes, 127));
    show_signal(fd);
    show_signal(fd);
    show_signal(fd);
    raise(SIGUSR2);
    show_events(epoll, 10);
    SHOW(signalfd(fd, &none, 0) == fd);
    SHOW(polled(fd, POLLIN));
    show_signal(fd);
    SHOW(signalfd(fd, &set, 0) == fd);
    show_signal(fd);
    SHOW(syscall(SYS_signalfd4, -1, &set, 7, 0));
    SHOW(syscall(SYS_signalfd4, -1, 8, 8, 0));
    SHOW(syscall(SYS_signalfd4, -1, &set, 8, 1));
    SHOW(syscall(SYS_signalfd4, epoll, &set, 8, 0));
    SHOW(syscall(SYS_signalfd4, 99, &set, 8, 0));
    close(fd), close(epoll);
}

static long elapsed_ms(const struct timespec *since)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - since->tv_sec) * 1000 + (now.tv_nsec - since->tv_nsec) / 1000000;
}

static void check_timers(void)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), epoll = epoll_create1(0), wall;
    struct itimerspec once = {.it_value = {0, 30000000}}, often = {{0, 10000000}, {0, 20000000}},
                      off = {{0, 0}, {0, 0}}, now, wrong = {.it_value = {0, 1000000000}};
    struct timespec start;
    uint64_t ticks = 0;

    puts("-- timerfd");
    SHOW(timerfd_create(CLOCK_PROCESS_CPUTIME_ID, 0));
    SHOW(timerfd_create(CLOCK_MONOTONIC, 1));
    SHOW(timerfd_settime(fd, 4, &once, NULL));
    SHOW(timerfd_settime(fd, 0, &wrong, NULL));
    SHOW(syscall(SYS_timerfd_settime, fd, 0, NULL, NULL));
    SHOW(timerfd_settime(epoll, 0, &once, NULL));
    SHOW(timerfd_settime(99, 0, &once, NULL));
    SHOW(syscall(SYS_timerfd_gettime, fd, NULL));
    SHOW(timerfd_gettime(epoll, &now));
    SHOW(polled(fd, POLLIN | POLLOUT));
    SHOW(read(fd, &ticks, 8));
    SHOW(read(fd, &ticks, 7));
    SHOW(write(fd, &ticks, 8));
    SHOW(control(epoll, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLET, 5));
    clock_gettime(CLOCK_MONOTONIC, &start);
    SHOW(timerfd_settime(fd, 0, &once, &now));
    SHOW(now.it_value.tv_nsec + now.it_interval.tv_nsec);
    SHOW(timerfd_gettime(fd, &now));
    SHOW(now.it_value.tv_nsec > 0 && now.it_value.tv_nsec <= 30000000);
    show_events(epoll, 10);
    SHOW(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 5000));
    SHOW(elapsed_ms(&start) >= 30);
    show_events(epoll, 10);
    show_events(epoll, 10);
    SHOW(read(fd, &ticks, 8));
    SHOW(ticks);
    SHOW(read(fd, &ticks, 8));
    SHOW(timerfd_gettime(fd, &now));
    SHOW(now.it_value.tv_nsec);
    SHOW(timerfd_settime(fd, 0, &often, NULL));
    usleep(55000);
    SHOW(read(fd, &ticks, 8));
    SHOW(ticks >= 4);
    SHOW(timerfd_gettime(fd, &now));
    SHOW(now.it_interval.tv_nsec);
    fcntl(fd, F_SETFL, 0);
    SHOW(read(fd, &ticks, 8));
    SHOW(ticks >= 1);
    SHOW(timerfd_settime(fd, 0, &off, &now));
    SHOW(now.it_interval.tv_nsec);
    SHOW(polled(fd, POLLIN));

    wall = timerfd_create(CLOCK_REALTIME, 0);
    once.it_value.tv_sec = 1;
    SHOW(timerfd_settime(wall, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &once, NULL));
    SHOW(read(wall, &ticks, 8));
    SHOW(ticks);
    clock_gettime(CLOCK_REALTIME, &once.it_value);
    once.it_value.tv_sec++;
    SHOW(timerfd_settime(wall, TFD_TIMER_ABSTIME, &once, NULL));
    SHOW(read(wall, &ticks, 8));
    clock_gettime(CLOCK_REALTIME, &start);
    SHOW(start.tv_sec >= once.it_value.tv_sec);
    close(wall), close(fd), close(epoll);
}

static volatile sig_atomic_t alarms;

static void on_alarm(int signal)
{
    (void)signal;
    alarms++;
}

static int is_blocked(int signal)
{
    sigset_t now;

    sigprocmask(SIG_BLOCK, NULL, &now);
    return sigismember(&now, signal);
}

/* Waits that a signal ends, with masks of their own: the handler runs with the wait's mask, and the old one comes back.
 */
static void check_masks(void)
{
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    int ends[2], epoll = epoll_create1(0);
    struct pollfd one;
    struct epoll_event event;
    struct timespec second = {1, 0};
    struct timeval wait = {5, 0};
    fd_set in;
    sigset_t none, set;

    puts("-- masks");
    sigemptyset(&none), sigemptyset(&set), sigaddset(&set, SIGALRM);
    sigaction(SIGALRM, &action, NULL);
    pipe(ends);
    one = (struct pollfd){.fd = ends[0], .events = POLLIN};
    control(epoll, EPOLL_CTL_ADD, ends[0], EPOLLIN, 1);
    FD_ZERO(&in);
    FD_SET(ends[0], &in);
    alarm(1);
    SHOW(poll(&one, 1, 5000));
    alarm(1);
    SHOW(epoll_wait(epoll, &event, 1, -1));
    alarm(1);
    SHOW(syscall(SYS_select, ends[0] + 1, &in, NULL, NULL, &wait));
    SHOW(wait.tv_sec == 3 || wait.tv_sec == 4);
    SHOW(FD_ISSET(ends[0], &in));
    SHOW(alarms);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGALRM);
    SHOW(ppoll(&one, 1, &second, NULL));
    SHOW(alarms);
    SHOW(ppoll(&one, 1, NULL, &none));
    SHOW(alarms);
    SHOW(is_blocked(SIGALRM));
    raise(SIGALRM);
    SHOW(pselect(ends[0] + 1, &in, NULL, NULL, NULL, &none));
    SHOW(alarms);
    raise(SIGALRM);
    SHOW(epoll_pwait(epoll, &event, 1, -1, &none));
    SHOW(alarms);
    SHOW(is_blocked(SIGALRM));
    write(ends[1], "x", 1);
    raise(SIGALRM);
    SHOW(epoll_pwait(epoll, &event, 1, -1, &none));
    SHOW(alarms);
    SHOW(ppoll(&one, 1, NULL, &none));
    SHOW(alarms);
    SHOW(is_blocked(SIGALRM));
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    SHOW(alarms);
    close(ends[0]), close(ends[1]), close(epoll);
}

int main(void)
{
    check_poll();
    check_select();
    check_levels();
    check_edges();
    check_closing();
    check_nesting();
    check_errors();
    check_many();
    check_signals();
    check_timers();
    check_masks();
    return 0;
}
