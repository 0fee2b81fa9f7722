/* Pipes, poll, epoll, eventfd, timerfd and files that several threads use. */
#include "threads.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

/* ---- pipes ---- */

static int ends[2];

static void *reads_bytes(void *unused)
{
    unsigned char bytes[5000];
    uintptr_t sum = 0;
    ssize_t got;

    (void)unused;
    while ((got = read(ends[0], bytes, sizeof(bytes))) > 0)
        for (ssize_t i = 0; i < got; i++)
            sum += bytes[i];
    return (void *)sum;
}

static void *writes_bytes(void *number)
{
    unsigned char bytes[3000];

    memset(bytes, 1 + (int)(uintptr_t)number, sizeof(bytes));
    for (int i = 0; i < 100; i++)
        must(write(ends[1], bytes, sizeof(bytes)) == sizeof(bytes) ? 0 : errno, "write to the pipe");
    return NULL;
}

/* What is written at once, up to PIPE_BUF, is not torn apart. */
static void *writes_records(void *number)
{
    char record[64];

    memset(record, 'a' + (int)(uintptr_t)number, sizeof(record));
    for (int i = 0; i < 200; i++)
        must(write(ends[1], record, sizeof(record)) == sizeof(record) ? 0 : errno, "write of a record");
    return NULL;
}

static void *reads_records(void *unused)
{
    char record[64];
    uintptr_t good = 0;

    (void)unused;
    for (int i = 0; i < 600; i++) {
        size_t have = 0;

        while (have < sizeof(record)) {
            ssize_t got = read(ends[0], record + have, sizeof(record) - have);

            if (got <= 0)
                return (void *)good;
            have += (size_t)got;
        }
        good += memcmp(record, record + 1, sizeof(record) - 1) == 0;
    }
    return (void *)good;
}

static void check_pipes(void)
{
    pthread_t readers[2], writers[3];

    must(pipe(ends), "pipe");
    start_all(readers, 2, reads_bytes);
    sleep_ms(5); /* they wait */
    start_all(writers, 3, writes_bytes);
    finish_all(writers, 3);
    close(ends[1]);
    SHOW(finish_all(readers, 2));
    close(ends[0]);
    must(pipe(ends), "pipe");
    readers[0] = start(reads_records, NULL);
    start_all(writers, 3, writes_records);
    finish_all(writers, 3);
    SHOW((uintptr_t)finish(readers[0]));
    close(ends[0]);
    close(ends[1]);
}

/* One that waits at a pipe is left alone by what others do with theirs. */
static int other_ends[4]; /* there, and back */
static atomic_int waiting_id;

static void *reads_one(void *unused)
{
    char byte;

    atomic_store(&waiting_id, (int)gettid());
    (void)unused;
    return (void *)(uintptr_t)(read(ends[0], &byte, 1) == 1);
}

static void *sends_back(void *unused)
{
    char byte;

    while (read(other_ends[0], &byte, 1) == 1)
        must(write(other_ends[3], &byte, 1) == 1 ? 0 : errno, "write back");
    return unused;
}

static long times_waited(int id)
{
    char path[64], text[4096];
    ssize_t length;
    int fd;

    snprintf(path, sizeof(path), "/proc/self/task/%d/status", id);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    length = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[length > 0 ? length : 0] = '\0';
    const char *row = strstr(text, "\nvoluntary_ctxt_switches:");

    return row ? strtol(strchr(row + 1, ':') + 1, NULL, 10) : -1;
}

static void check_apart(void)
{
    pthread_t waits, answers;
    char byte = 'a';
    long before, after;

    must(pipe(ends) || pipe(other_ends) || pipe(other_ends + 2), "pipe");
    waits = start(reads_one, NULL);
    answers = start(sends_back, NULL);
    sleep_ms(20); /* it waits */
    before = times_waited(atomic_load(&waiting_id));
    for (int i = 0; i < 500; i++) {
        must(write(other_ends[1], &byte, 1) == 1 ? 0 : errno, "write there");
        must(read(other_ends[2], &byte, 1) == 1 ? 0 : errno, "read back");
    }
    after = times_waited(atomic_load(&waiting_id));
    YES("it slept on", before >= 0 && after - before < 50);
    must(write(ends[1], &byte, 1) == 1 ? 0 : errno, "write");
    SHOW((uintptr_t)finish(waits));
    close(other_ends[1]);
    finish(answers);
    for (int i = 0; i < 4; i++)
        if (i != 1)
            close(other_ends[i]);
    close(ends[0]);
    close(ends[1]);
}

/* ---- waiting for what is ready ---- */

static void *polls_end(void *unused)
{
    struct pollfd one = {.fd = ends[0], .events = POLLIN};

    (void)unused;
    return (void *)(uintptr_t)(poll(&one, 1, -1) == 1 && one.revents == POLLIN);
}

static void *selects_end(void *unused)
{
    fd_set set;

    (void)unused;
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    return (void *)(uintptr_t)(select(ends[0] + 1, &set, NULL, NULL, NULL) == 1 && FD_ISSET(ends[0], &set));
}

static void *polls_hangup(void *unused)
{
    struct pollfd one = {.fd = ends[0], .events = POLLIN};

    (void)unused;
    return (void *)(uintptr_t)(poll(&one, 1, -1) == 1 && one.revents == POLLHUP);
}

static void check_poll_threads(void)
{
    pthread_t threads[5];
    char byte;

    must(pipe(ends), "pipe");
    start_all(threads, 3, polls_end);
    start_all(threads + 3, 2, selects_end);
    sleep_ms(10);
    write(ends[1], "x", 1);
    SHOW(finish_all(threads, 5));
    read(ends[0], &byte, 1);
    start_all(threads, 2, polls_hangup);
    sleep_ms(5);
    close(ends[1]);
    SHOW(finish_all(threads, 2));
    close(ends[0]);
}

static int epoll, event;
static atomic_uint seen, events_done;

/* Each event once, whoever gets it. */
static void *waits_for_events(void *unused)
{
    struct epoll_event got;
    uint64_t value;

    (void)unused;
    for (;;) {
        if (epoll_wait(epoll, &got, 1, -1) != 1)
            return (void *)1;
        if (got.data.u32 == 1)
            return NULL;
        must(read(event, &value, sizeof(value)) == sizeof(value) ? 0 : errno, "read of the counter");
        atomic_fetch_add(&seen, (unsigned)value);
        got = (struct epoll_event){.events = EPOLLIN | EPOLLONESHOT, .data.u32 = 0};
        epoll_ctl(epoll, EPOLL_CTL_MOD, event, &got);
        atomic_fetch_add(&events_done, 1);
    }
}

static void check_epoll_threads(void)
{
    struct epoll_event of_event = {.events = EPOLLIN | EPOLLONESHOT, .data.u32 = 0},
                       of_end = {.events = EPOLLIN, .data.u32 = 1};
    uint64_t one = 1;
    pthread_t threads[3];

    must(pipe(ends), "pipe");
    epoll = epoll_create1(0);
    event = eventfd(0, EFD_NONBLOCK);
    epoll_ctl(epoll, EPOLL_CTL_ADD, event, &of_event);
    epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &of_end);
    start_all(threads, 3, waits_for_events);
    for (unsigned i = 1; i <= 300; i++) {
        write(event, &one, sizeof(one));
        while (i % 3 == 0 && atomic_load(&seen) != i)
            sched_yield();
    }
    SHOW(atomic_load(&seen));
    write(ends[1], "x", 1); /* level-triggered: it wakes all of them */
    SHOW(finish_all(threads, 3));
    close(epoll);
    close(event);
    close(ends[0]);
    close(ends[1]);
}

/* ---- counters ---- */

static int semaphore_fd;

static void *takes_from_counter(void *unused)
{
    uint64_t value, sum = 0;

    (void)unused;
    for (int i = 0; i < 100; i++)
        sum += read(semaphore_fd, &value, sizeof(value)) == sizeof(value) ? value : 1000;
    return (void *)sum;
}

static void *blocks_on_full(void *unused)
{
    uint64_t most = UINT64_MAX - 1;

    (void)unused;
    return (void *)(uintptr_t)(write(semaphore_fd, &most, sizeof(most)) == sizeof(most));
}

static void *waits_for_timer(void *fd)
{
    uint64_t times = 0;

    return (void *)(uintptr_t)(read((int)(uintptr_t)fd, &times, sizeof(times)) == sizeof(times) && times >= 1);
}

static void check_counters(void)
{
    struct itimerspec soon = {.it_value.tv_nsec = 10000000};
    uint64_t some = 60, value;
    pthread_t threads[3];
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);

    semaphore_fd = eventfd(0, EFD_SEMAPHORE);
    start_all(threads, 3, takes_from_counter);
    for (int i = 0; i < 5; i++)
        write(semaphore_fd, &some, sizeof(some));
    SHOW(finish_all(threads, 3));
    close(semaphore_fd);
    semaphore_fd = eventfd(1, 0);
    threads[0] = start(blocks_on_full, NULL);
    sleep_ms(5);
    SHOW(read(semaphore_fd, &value, sizeof(value)));
    SHOW(value);
    SHOW((uintptr_t)finish(threads[0]));
    close(semaphore_fd);
    threads[0] = start(waits_for_timer, (void *)(uintptr_t)timer);
    timerfd_settime(timer, 0, &soon, NULL);
    SHOW((uintptr_t)finish(threads[0]));
    close(timer);
}

/* ---- files ---- */

#define RECORDS 200u
#define RECORD 100u

static int file;
static FILE *stream;

static void *appends(void *number)
{
    char record[RECORD];

    memset(record, 'A' + (int)(uintptr_t)number, sizeof(record));
    for (unsigned i = 0; i < RECORDS; i++)
        must(write(file, record, sizeof(record)) == sizeof(record) ? 0 : errno, "write to the file");
    return NULL;
}

static void *reads_next(void *unused)
{
    char record[RECORD];
    uintptr_t good = 0;

    (void)unused;
    while (read(file, record, sizeof(record)) == sizeof(record))
        good += memcmp(record, record + 1, sizeof(record) - 1) == 0;
    return (void *)good;
}

static void *writes_in_place(void *number)
{
    uintptr_t wrong = 0;
    char record[RECORD], back[RECORD];

    memset(record, 'k' + (int)(uintptr_t)number, sizeof(record));
    for (unsigned i = 0; i < RECORDS; i++) {
        off_t offset = (off_t)((i * 4 + (uintptr_t)number) * RECORD);

        wrong += pwrite(file, record, sizeof(record), offset) != sizeof(record);
        wrong += pread(file, back, sizeof(back), offset) != sizeof(back) || memcmp(record, back, sizeof(back)) != 0;
    }
    return (void *)wrong;
}

static void *prints_lines(void *number)
{
    for (unsigned i = 0; i < RECORDS; i++)
        fprintf(stream, "line of %u, number %u, as a whole\n", (unsigned)(uintptr_t)number, i);
    return NULL;
}

static unsigned count_lines(const char *path)
{
    FILE *again = fopen(path, "re");
    unsigned count = 0, who, which;
    char line[100], wanted[100];

    while (again != NULL && fgets(line, sizeof(line), again) != NULL) {
        if (sscanf(line, "line of %u, number %u", &who, &which) != 2)
            continue;
        snprintf(wanted, sizeof(wanted), "line of %u, number %u, as a whole\n", who, which);
        count += strcmp(line, wanted) == 0;
    }
    if (again != NULL)
        fclose(again);
    return count;
}

/* Names of one folder: each its own, all at once. */
static void *makes_files(void *number)
{
    uintptr_t wrong = 0;
    char name[64], other[64];

    for (unsigned i = 0; i < 40; i++) {
        snprintf(name, sizeof(name), "/tmp/threads/%u-%u", (unsigned)(uintptr_t)number, i);
        snprintf(other, sizeof(other), "/tmp/threads/%u", (unsigned)(uintptr_t)number);
        int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

        wrong += fd < 0 || write(fd, name, sizeof(name)) != sizeof(name) || close(fd) != 0;
        wrong += rename(name, other) != 0 || access(name, F_OK) == 0;
        wrong += unlink(other) != 0;
    }
    return (void *)wrong;
}

static void check_files(void)
{
    const char *path = "/tmp/quire-threads";
    pthread_t threads[4];

    mkdir("/tmp", 0777);
    file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0600);
    must(file < 0 ? errno : 0, "open");
    start_all(threads, 4, appends);
    finish_all(threads, 4);
    SHOW(lseek(file, 0, SEEK_SET));
    start_all(threads, 4, reads_next);
    SHOW(finish_all(threads, 4));
    close(file);
    file = open(path, O_RDWR);
    start_all(threads, 4, writes_in_place);
    SHOW(finish_all(threads, 4));
    SHOW(lseek(file, 0, SEEK_END));
    close(file);
    stream = fopen(path, "we");
    start_all(threads, 4, prints_lines);
    finish_all(threads, 4);
    fclose(stream);
    SHOW(count_lines(path));
    unlink(path);
    mkdir("/tmp/threads", 0700);
    start_all(threads, 4, makes_files);
    SHOW(finish_all(threads, 4));
    SHOW_ERRNO(rmdir("/tmp/threads"));
}

/* ---- timers that expire while somebody falls asleep for them ---- */

static void check_timer_rounds(void)
{
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    uint64_t expiries, sum = 0;

    must(timer < 0 ? errno : 0, "timerfd_create");
    for (long i = 0; i < 3000; i++) {
        struct itimerspec once = {.it_value.tv_nsec = 1000 + i * 37 % 60000};
        struct pollfd wait = {.fd = timer, .events = POLLIN};

        must(timerfd_settime(timer, 0, &once, NULL) ? errno : 0, "timerfd_settime");
        if (i % 2)
            must(poll(&wait, 1, -1) == 1 ? 0 : EIO, "poll");
        must(read(timer, &expiries, sizeof(expiries)) < 0 ? errno : 0, "read of a timer");
        sum += expiries;
    }
    SHOW(sum);
    close(timer);
}

/* ---- locks of files ---- */

#define LOCKERS 3u

static int lock_held;

/* By an open file of its own. */
static void *locks_file(void *number)
{
    int own = open("/tmp/locked", O_RDWR);

    must(own < 0 ? errno : 0, "open");
    must(flock(own, (uintptr_t)number % 2 ? LOCK_SH : LOCK_EX) ? errno : 0, "flock");
    must(flock(own, LOCK_UN) ? errno : 0, "flock");
    close(own);
    return NULL;
}

/* All by one, which has one lock. */
static void *locks_common(void *unused)
{
    must(flock(lock_held, LOCK_EX) ? errno : 0, "flock");
    return unused;
}

static void check_file_locks(void)
{
    int other = open("/tmp/locked", O_RDWR | O_CREAT, 0600);
    pthread_t threads[LOCKERS];

    lock_held = open("/tmp/locked", O_RDWR);
    must(other < 0 || lock_held < 0 ? errno : 0, "open");
    SHOW_ERRNO(flock(other, LOCK_EX));
    SHOW_ERRNO(flock(lock_held, LOCK_EX | LOCK_NB));
    start_all(threads, LOCKERS, locks_file);
    sleep_ms(50);
    SHOW_ERRNO(flock(other, LOCK_UN)); /* they go on, one after the other */
    finish_all(threads, LOCKERS);
    SHOW_ERRNO(flock(other, LOCK_EX));
    start_all(threads, LOCKERS, locks_common);
    sleep_ms(50);
    SHOW_ERRNO(flock(other, LOCK_UN));
    finish_all(threads, LOCKERS);
    SHOW_ERRNO(flock(other, LOCK_SH | LOCK_NB));
    SHOW_ERRNO(flock(lock_held, LOCK_UN)); /* once is enough */
    SHOW_ERRNO(flock(other, LOCK_SH | LOCK_NB));
    SHOW_ERRNO(flock(lock_held, LOCK_SH));
    SHOW_ERRNO(flock(other, LOCK_EX | LOCK_NB)); /* what it had is gone, too */
    SHOW_ERRNO(flock(lock_held, LOCK_EX | LOCK_NB));
    close(other);
    close(lock_held);
    unlink("/tmp/locked");
}

void check_descriptors(void)
{
    puts("-- pipes");
    check_pipes();
    check_apart();
    puts("-- ready");
    check_poll_threads();
    check_epoll_threads();
    puts("-- counters");
    check_counters();
    puts("-- files");
    check_files();
    puts("-- timers and locks");
    check_timer_rounds();
    check_file_locks();
}
