/* Pipes and eventfd: results, errors, sizes and what poll says of them. Prints the same on Linux. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static char bytes[200000];

/* The result, and errno if it is -1: texts of errors are not the same in all C libraries. */
#define SHOW(call)                                                                                                     \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        long result_ = (long)(call);                                                                                   \
        printf("%s: %ld%s%d\n", #call, result_, result_ == -1 ? " errno " : " ", result_ == -1 ? errno : 0);           \
        fflush(stdout);                                                                                                \
    } while (0)

static int polled(int fd)
{
    struct pollfd one = {.fd = fd, .events = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM | POLLPRI};

    return poll(&one, 1, 0) < 0 ? -1 : one.revents;
}

static int waiting(int fd)
{
    int count = -1;

    return ioctl(fd, FIONREAD, &count) < 0 ? -1 : count;
}

static void reading_and_writing(void)
{
    int ends[2];

    puts("-- reading and writing");
    SHOW(pipe(ends));
    SHOW(ends[1] - ends[0]);
    SHOW(polled(ends[0]));
    SHOW(polled(ends[1]));
    SHOW(write(ends[1], "hello, pipe", 11));
    SHOW(waiting(ends[0]));
    SHOW(waiting(ends[1]));
    SHOW(polled(ends[0]));
    SHOW(read(ends[0], bytes, 5));
    SHOW(read(ends[0], bytes + 5, 100));
    SHOW(memcmp(bytes, "hello, pipe", 11));
    SHOW(write(ends[0], "x", 1));
    SHOW(read(ends[1], bytes, 1));
    SHOW(write(ends[1], "x", 0));
    SHOW(write(ends[1], NULL, 5));
    SHOW(write(ends[1], "y", 1));
    SHOW(read(ends[0], NULL, 5));
    SHOW(waiting(ends[0]));
    SHOW(lseek(ends[0], 0, SEEK_SET));
    SHOW(pread(ends[0], bytes, 1, 0));
    SHOW(pwrite(ends[1], bytes, 1, 0));
    SHOW(fsync(ends[1]));
    SHOW(ftruncate(ends[1], 0));
    SHOW(close(ends[1]));
    SHOW(polled(ends[0]));
    SHOW(read(ends[0], bytes, 5));
    SHOW(polled(ends[0]));
    SHOW(read(ends[0], bytes, 5));
    SHOW(close(ends[0]));
}

static void sizes(void)
{
    int ends[2];
    struct iovec parts[] = {{bytes, 3000}, {bytes, 1000}, {bytes, 96}};

    puts("-- sizes");
    SHOW(pipe2(ends, O_NONBLOCK));
    SHOW(read(ends[0], bytes, 1));
    SHOW(fcntl(ends[0], F_GETPIPE_SZ));
    SHOW(write(ends[1], bytes, sizeof(bytes)));
    SHOW(write(ends[1], bytes, 1));
    SHOW(polled(ends[1]));
    SHOW(read(ends[0], bytes, 4095));
    SHOW(polled(ends[1]));
    SHOW(write(ends[1], bytes, 1));
    SHOW(read(ends[0], bytes, 1));
    SHOW(polled(ends[1]));
    SHOW(write(ends[1], bytes, 5000));
    SHOW(fcntl(ends[1], F_SETPIPE_SZ, 4096));
    SHOW(fcntl(ends[1], F_SETPIPE_SZ, 131072));
    SHOW(write(ends[1], bytes, sizeof(bytes)));
    SHOW(read(ends[0], bytes, sizeof(bytes)));
    SHOW(fcntl(ends[1], F_SETPIPE_SZ, 5000));
    SHOW(fcntl(ends[1], F_SETPIPE_SZ, 0));
    SHOW(fcntl(ends[1], F_SETPIPE_SZ, -1));
    SHOW(fcntl(ends[1], F_SETPIPE_SZ, 16384));
    for (int i = 0; i < 5; i++)
        SHOW(write(ends[1], bytes, 3000));
    SHOW(write(ends[1], bytes, 1096));
    SHOW(write(ends[1], bytes, 1));
    SHOW(waiting(ends[0]));
    SHOW(read(ends[0], bytes, sizeof(bytes)));
    SHOW(write(ends[1], bytes, 4096 * 4 - 1000));
    SHOW(writev(ends[1], parts, 3));
    SHOW(writev(ends[1], parts + 1, 1));
    SHOW(readv(ends[0], parts, 3));
    SHOW(writev(ends[1], parts, 3));
    SHOW(fcntl(0, F_GETPIPE_SZ) == -1 || fcntl(0, F_GETPIPE_SZ) > 0);
    SHOW(close(ends[0]) + close(ends[1]));
}

static void packets(void)
{
    int ends[2];

    puts("-- packets");
    SHOW(pipe2(ends, O_DIRECT | O_NONBLOCK | O_CLOEXEC));
    SHOW(fcntl(ends[0], F_GETFL));
    SHOW(fcntl(ends[1], F_GETFL));
    SHOW(fcntl(ends[0], F_GETFD));
    SHOW(write(ends[1], "one", 3));
    SHOW(write(ends[1], "second", 6));
    SHOW(write(ends[1], bytes, 5000));
    SHOW(waiting(ends[0]));
    SHOW(read(ends[0], bytes, 100));
    SHOW(read(ends[0], bytes, 2));
    SHOW(read(ends[0], bytes, 10000));
    SHOW(read(ends[0], bytes, 10000));
    SHOW(read(ends[0], bytes, 10000));
    SHOW(fcntl(ends[1], F_SETFL, O_NONBLOCK));
    SHOW(write(ends[1], "a", 1));
    SHOW(write(ends[1], "b", 1));
    SHOW(read(ends[0], bytes, 100));
    SHOW(close(ends[0]) + close(ends[1]));
}

/* Parts of one write stay together. */
static void parts(void)
{
    int ends[2], packets[2];
    struct iovec two[] = {{bytes, 400}, {bytes, 400}};

    puts("-- parts");
    pipe2(ends, O_NONBLOCK);
    SHOW(write(ends[1], bytes, 65536 - 4096 + 3500));
    SHOW(writev(ends[1], two, 2));
    SHOW(read(ends[0], bytes, 4096));
    SHOW(writev(ends[1], two, 2));
    SHOW(waiting(ends[0]));
    two[1].iov_base = (void *)8;
    SHOW(writev(ends[1], two, 2));
    SHOW(waiting(ends[0]));
    two[1].iov_base = bytes + 1000;
    pipe2(packets, O_NONBLOCK | O_DIRECT);
    SHOW(writev(packets[1], two, 2));
    SHOW(read(packets[0], bytes, 4096));
    close(ends[0]), close(ends[1]), close(packets[0]), close(packets[1]);

    puts("-- no sockets");
    SHOW(socket(99, SOCK_STREAM, 0));
    SHOW(socket(99, SOCK_STREAM | 0x100, 0));
    SHOW(socketpair(99, SOCK_STREAM, 0, ends));
    SHOW(syscall(SYS_socketpair, 99, SOCK_STREAM, 0, 8));
    SHOW(bind(1, NULL, 0));
    SHOW(bind(99, NULL, 0));
    SHOW(listen(1, 1));
    SHOW(recv(99, bytes, 1, 0));
}

static volatile sig_atomic_t broken;

static void on_pipe(int signal)
{
    broken += signal;
}

static void no_reader(void)
{
    int ends[2];

    puts("-- no reader");
    signal(SIGPIPE, SIG_IGN);
    SHOW(pipe(ends));
    SHOW(write(ends[1], "left over", 9));
    SHOW(close(ends[0]));
    SHOW(polled(ends[1]));
    SHOW(write(ends[1], "x", 1));
    SHOW(write(ends[1], "x", 0));
    SHOW(close(ends[1]));
}

static void errors(void)
{
    int ends[2];
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct stat stat;

    puts("-- errors");
    munmap(page + 4096, 4096);
    SHOW(syscall(SYS_pipe2, ends, O_APPEND));
    SHOW(syscall(SYS_pipe2, 8, 0));
    SHOW(pipe2(ends, O_NONBLOCK));
    SHOW(ends[0]);
    SHOW(fstat(ends[0], &stat));
    SHOW(stat.st_mode);
    SHOW(stat.st_size);
    SHOW(stat.st_nlink);
    SHOW(stat.st_blksize);
    SHOW(write(ends[1], page + 4000, 200));
    SHOW(write(ends[1], page + 4096 - 5000 % 4096, 5000));
    SHOW(write(ends[1], bytes, 100));
    SHOW(waiting(ends[0]));
    SHOW(read(ends[0], page + 4090, 100));
    SHOW(waiting(ends[0]));
    SHOW(read(ends[0], page + 4046, 50));
    SHOW(ioctl(ends[0], TIOCGWINSZ, bytes));
    SHOW(fcntl(ends[0], 999));
    SHOW(dup2(ends[0], 20));
    SHOW(close(ends[0]));
    SHOW(write(ends[1], "x", 1));
    SHOW(close(20));
    SHOW(polled(ends[1]));
    SHOW(close(ends[1]));
    SHOW(read(ends[0], bytes, 1));
}

static void counters(void)
{
    uint64_t one = 1, big = UINT64_MAX - 1, most = UINT64_MAX, value = 0;
    int event = eventfd(3, EFD_NONBLOCK), semaphore = eventfd(2, EFD_NONBLOCK | EFD_SEMAPHORE | EFD_CLOEXEC);

    puts("-- counters");
    SHOW(polled(event));
    SHOW(read(event, &value, 8));
    SHOW(value);
    SHOW(polled(event));
    SHOW(read(event, &value, 8));
    SHOW(read(event, &value, 7));
    SHOW(write(event, &one, 7));
    SHOW(write(event, &most, 8));
    SHOW(write(event, &one, 8));
    SHOW(write(event, &one, 8));
    SHOW(read(event, bytes, 100));
    SHOW(bytes[0]);
    SHOW(write(event, &big, 8));
    SHOW(polled(event));
    SHOW(write(event, &one, 8));
    SHOW(write(event, NULL, 8));
    SHOW(read(event, NULL, 8));
    SHOW(read(event, &value, 8));
    SHOW(read(semaphore, &value, 8));
    SHOW(value);
    SHOW(read(semaphore, &value, 8));
    SHOW(read(semaphore, &value, 8));
    SHOW(lseek(event, 5, SEEK_SET));
    SHOW(pread(event, &value, 8, 0));
    SHOW(fcntl(event, F_GETFL));
    SHOW(fcntl(semaphore, F_GETFD));
    SHOW(ioctl(event, FIONREAD, &value));
    SHOW(fcntl(event, F_SETPIPE_SZ, 4096));
    SHOW(eventfd(0, 2));
    SHOW(mmap(NULL, 4096, PROT_READ, MAP_SHARED, event, 0) == MAP_FAILED ? errno : 0);
    SHOW(close(event) + close(semaphore));
}

static void alarmed(int signal)
{
    (void)signal;
}

static void named(void)
{
    int reader, writer, both;
    struct stat stat;
    const char *path = "/tmp/quire-fifo";

    puts("-- named");
    unlink(path);
    SHOW(mkfifo(path, 0600));
    SHOW(mkfifo(path, 0600));
    SHOW(open(path, O_WRONLY | O_NONBLOCK));
    SHOW((reader = open(path, O_RDONLY | O_NONBLOCK)) >= 0);
    SHOW(polled(reader));
    SHOW(read(reader, bytes, 10));
    SHOW((writer = open(path, O_WRONLY)) >= 0);
    SHOW(read(reader, bytes, 10));
    SHOW(write(writer, "named", 5));
    SHOW(polled(reader));
    SHOW(fstat(reader, &stat));
    SHOW(stat.st_mode);
    SHOW(stat.st_size);
    SHOW(close(writer));
    SHOW(polled(reader));
    SHOW(read(reader, bytes, 10));
    SHOW(read(reader, bytes, 10));
    SHOW(polled(reader));
    SHOW(close(reader));
    SHOW((both = open(path, O_RDWR)) >= 0);
    SHOW(write(both, "left", 4));
    SHOW(polled(both));
    SHOW(waiting(both));
    SHOW(close(both));
    SHOW((both = open(path, O_RDWR | O_NONBLOCK)) >= 0);
    SHOW(read(both, bytes, 10));
    SHOW(unlink(path));
    SHOW(write(both, "gone", 4));
    SHOW(read(both, bytes, 10));
    SHOW(lseek(both, 0, SEEK_CUR));
    SHOW(close(both));
}

/* Calls that would wait for ever end with a signal. */
static void interrupted(void)
{
    struct sigaction action = {.sa_handler = alarmed};
    int ends[2], event = eventfd(0, 0);

    puts("-- interrupted");
    signal(SIGPIPE, on_pipe);
    SHOW(pipe(ends));
    SHOW(close(ends[0]));
    SHOW(write(ends[1], "x", 1));
    SHOW(broken);
    SHOW(close(ends[1]));
    sigaction(SIGALRM, &action, NULL);
    SHOW(pipe(ends));
    alarm(1);
    SHOW(read(ends[0], bytes, 1));
    SHOW(write(ends[1], bytes, 65536));
    alarm(1);
    SHOW(write(ends[1], bytes, 100));
    SHOW(read(ends[0], bytes, 4096));
    alarm(1);
    SHOW(write(ends[1], bytes, 10000));
    alarm(1);
    SHOW(read(event, bytes, 8));
    SHOW(close(event) + close(ends[0]) + close(ends[1]));
}

/* A wait that nothing but Ctrl-C can end. */
static int wait_for_ever(void)
{
    int ends[2];

    puts("waiting");
    fflush(stdout);
    return pipe(ends) == 0 && read(ends[0], bytes, 1) >= 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "forever"))
        return wait_for_ever();
    reading_and_writing();
    sizes();
    packets();
    parts();
    no_reader();
    errors();
    counters();
    named();
    interrupted();
    return 0;
}
