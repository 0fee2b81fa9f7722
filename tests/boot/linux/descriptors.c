/*
 * Descriptors, fcntl, locks, pipes. Left out: what needs a second process (locks that conflict, SIGIO), F_SETOWN,
 * leases, splice and tee, F_SETPIPE_SZ above what is allowed to everybody.
 */
#include "tests/boot/linux/linux.h"

#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/uio.h>

static int file;

static bool is_open(int fd)
{
    return sys(fcntl, fd, F_GETFD) >= 0;
}

static void duplicates(void)
{
    int first = (int)sys(dup, file), second;

    show(first - file, "dup: the next");
    second = (int)sys(dup2, file, 50);
    show(second, "dup2");
    show(sys(dup2, file, file), "dup2 to itself");
    show(sys(dup2, 9999, 9999), "dup2 of none to itself");
    show(sys(dup2, 9999, 51), "dup2 of none");
    show(sys(dup2, file, -1), "dup2 to -1");
    show(sys(dup2, file, 1 << 30), "dup2 to a large one");
    show(sys(dup, 9999), "dup of none");
    show(sys(dup, -1), "dup of -1");
    show(sys(dup3, file, 51, 0), "dup3");
    show(sys(dup3, file, 52, O_CLOEXEC), "dup3 O_CLOEXEC");
    show(sys(dup3, file, 53, O_APPEND), "dup3 with another flag");
    show(sys(dup3, file, file, 0), "dup3 to itself");
    show(sys(dup3, 9999, 53, 0), "dup3 of none");
    show(sys(fcntl, 51, F_GETFD), "51");
    show(sys(fcntl, 52, F_GETFD), "52");
    show(sys(dup2, 52, 51), "over an open one");
    show(sys(fcntl, 51, F_GETFD), "51");
    show(sys(lseek, first, 7, SEEK_SET), "lseek");
    show(sys(lseek, 50, 0, SEEK_CUR), "the same offset");
    show(sys(fcntl, first, F_SETFL, O_APPEND), "append");
    show(sys(fcntl, 50, F_GETFL) & (O_APPEND | O_ACCMODE), "the same flags");
    show(sys(fcntl, first, F_SETFL, 0), "no append");
    show(sys(close, 50), "close");
    show(sys(close, 50), "close again");
    show(sys(close, -1), "close -1");
    show(sys(lseek, first, 0, SEEK_CUR), "the other is open");
    close(first), close(51), close(52);
}

static void fcntl_cases(void)
{
    int fd;

    fd = (int)sys(fcntl, file, F_DUPFD, 60);
    show(fd, "F_DUPFD");
    show(sys(fcntl, file, F_DUPFD, 60), "F_DUPFD again");
    show(sys(fcntl, file, F_DUPFD_CLOEXEC, 60), "F_DUPFD_CLOEXEC");
    show(sys(fcntl, 62, F_GETFD), "its flag");
    show(sys(fcntl, file, F_DUPFD, -1), "from -1");
    show(sys(fcntl, file, F_DUPFD, 1 << 30), "from a large one");
    show(sys(fcntl, 9999, F_DUPFD, 0), "of none");
    show(sys(fcntl, fd, F_GETFD), "F_GETFD");
    show(sys(fcntl, fd, F_SETFD, 1), "F_SETFD");
    show(sys(fcntl, fd, F_GETFD), "F_GETFD");
    show(sys(fcntl, fd, F_SETFD, 2), "F_SETFD 2");
    show(sys(fcntl, fd, F_GETFD), "F_GETFD");
    show(sys(fcntl, fd, F_GETFL) & ~0100000, "F_GETFL");
    show(sys(fcntl, fd, F_SETFL, O_NONBLOCK | O_APPEND | O_WRONLY | O_CREAT), "F_SETFL");
    show(sys(fcntl, fd, F_GETFL) & ~0100000, "F_GETFL");
    show(sys(fcntl, fd, F_SETFL, 0), "F_SETFL 0");
    show(sys(fcntl, fd, 9999), "an unknown command");
    show(sys(fcntl, fd, -1), "command -1");
    show(sys(fcntl, 9999, F_GETFL), "no descriptor");
    show(sys(fcntl, fd, F_GETPIPE_SZ), "the pipe size of a file");
    close(60), close(61), close(62);
}

static void locks(void)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10};
    struct flock asked = lock, wrong = {.l_type = 99}, negative = {.l_type = F_RDLCK, .l_start = -5};
    int read_only = open("file", O_RDONLY), other = open("file", O_RDWR);

    show(sys(fcntl, file, F_SETLK, &lock), "lock");
    show(sys(fcntl, file, F_GETLK, &asked), "ask");
    show(asked.l_type == F_UNLCK, "it is ours");
    show(sys(fcntl, file, F_SETLKW, &lock), "lock again");
    show(sys(fcntl, read_only, F_SETLK, &lock), "to write, open for reading");
    show(sys(fcntl, file, F_SETLK, &wrong), "an unknown kind");
    show(sys(fcntl, file, F_SETLK, &negative), "a negative start");
    show(sys(fcntl, file, F_SETLK, WILD), "from nowhere");
    show(sys(fcntl, 9999, F_SETLK, &lock), "no descriptor");
    lock.l_type = F_UNLCK;
    show(sys(fcntl, file, F_SETLK, &lock), "unlock");
    show(sys(flock, file, LOCK_EX), "flock");
    show(sys(flock, other, LOCK_EX | LOCK_NB), "by another open file");
    show(sys(flock, other, LOCK_SH | LOCK_NB), "shared");
    show(sys(flock, file, LOCK_SH), "make it shared");
    show(sys(flock, other, LOCK_SH | LOCK_NB), "shared");
    show(sys(flock, file, LOCK_EX | LOCK_NB), "back, while another has it");
    show(sys(flock, other, LOCK_UN), "unlock");
    show(sys(flock, file, LOCK_UN), "unlock");
    show(sys(flock, file, 0), "nothing");
    show(sys(flock, 9999, LOCK_EX), "no descriptor");
    close(read_only), close(other);
}

static void ranges(void)
{
    for (int fd = 100; fd < 110; fd++)
        dup2(file, fd);
    show(sys(close_range_, 102, 104, 0), "close_range");
    printf("%d%d%d%d%d\n", is_open(101), is_open(102), is_open(103), is_open(104), is_open(105));
    show(sys(close_range_, 105, 107, 4), "only mark them");
    show(sys(fcntl, 105, F_GETFD), "105");
    show(sys(fcntl, 108, F_GETFD), "108");
    show(sys(close_range_, 108, 107, 0), "an empty range");
    show(sys(close_range_, 107, 108, 1), "unknown flags");
    show(sys(close_range_, 105, -1, 0), "all from there");
    printf("%d%d%d%d\n", is_open(100), is_open(101), is_open(105), is_open(109));
    show(sys(close_range_, 100, 100000000, 2), "with CLOSE_RANGE_UNSHARE");
    value(is_open(101));
}

static void limits(void)
{
    struct rlimit old, small = {20, 0};
    int fds[64], count = 0, fd;

    getrlimit(RLIMIT_NOFILE, &old);
    small.rlim_max = old.rlim_max;
    setrlimit(RLIMIT_NOFILE, &small);
    while ((fd = (int)sys(open, "file", O_RDONLY)) >= 0 && count < 64)
        fds[count++] = fd;
    show(fd, "the last open");
    show(fds[count - 1], "the highest descriptor");
    show(sys(dup, file), "dup");
    show(sys(dup2, file, 20), "dup2");
    show(sys(fcntl, file, F_DUPFD, 20), "F_DUPFD");
    show(sys(fcntl, file, F_DUPFD, 19), "F_DUPFD");
    show(sys(pipe, fds), "pipe");
    close(fds[2]);
    show(sys(open, "file", O_RDONLY) - fds[2], "the lowest free one");
    setrlimit(RLIMIT_NOFILE, &old);
    for (int i = 0; i < count; i++)
        close(fds[i]);
    for (count = 0; count < 64; count++)
        fds[count] = (int)sys(dup, file);
    value(fds[63] - fds[0]);
    for (int i = 0; i < count; i++)
        close(fds[i]);
    show(done(sys(dup2, file, 900)), "a high one");
    close(900);
}

static void pipes(void)
{
    char bytes[8192] = "";
    int ends[2] = {-1, -1}, queued = -1;
    struct stat status;

    show(sys(pipe, ends), "pipe");
    show(ends[1] - ends[0], "the next descriptor");
    show(sys(pipe, WILD), "pipe to nowhere");
    show(sys(pipe, KERNEL_HALF), "pipe to the kernel");
    show(sys(pipe2, ends, 1), "pipe2 with an unknown flag");
    show(sys(fcntl, ends[0], F_GETFL), "flags of the reading end");
    show(sys(fcntl, ends[1], F_GETFL), "flags of the writing end");
    show(sys(write, ends[1], "hello", 5), "write");
    show(sys(ioctl, ends[0], FIONREAD, &queued), "FIONREAD");
    value(queued);
    show(sys(read, ends[0], bytes, 3), "read");
    show(sys(read, ends[0], bytes + 3, 100), "read");
    text(bytes);
    show(sys(write, ends[0], "x", 1), "write to the reading end");
    show(sys(read, ends[1], bytes, 1), "read from the writing end");
    show(sys(write, ends[1], "", 0), "write nothing");
    show(sys(read, ends[0], bytes, 0), "read nothing");
    show(sys(write, ends[1], WILD, 5), "write from nowhere");
    show(sys(write, ends[1], KERNEL_HALF, 5), "write from the kernel");
    show(sys(pread64, ends[0], bytes, 1, 0), "pread");
    show(sys(pwrite64, ends[1], bytes, 1, 0), "pwrite");
    show(sys(fstat, ends[0], &status), "fstat");
    printf("mode %o, size %ld\n", status.st_mode, (long)status.st_size);
    show(sys(fcntl, ends[0], F_SETFL, O_NONBLOCK), "without blocking");
    show(sys(read, ends[0], bytes, 1), "read of an empty pipe");
    show(sys(read, ends[0], WILD, 1), "read of an empty pipe to nowhere");
    show(sys(fcntl, ends[1], F_SETFL, O_NONBLOCK), "without blocking");
    show(sys(fcntl, ends[1], F_GETPIPE_SZ), "size");
    long count = 0, written;

    while ((written = sys(write, ends[1], bytes, 4096)) > 0)
        count += written;
    show(written, "full");
    value(count);
    show(sys(write, ends[1], bytes, 1), "write one byte");
    show(sys(read, ends[0], bytes, 1000), "read");
    show(sys(write, ends[1], bytes, 4096), "write a page, which is not split");
    show(sys(read, ends[0], bytes, 8192), "read");
    show(sys(write, ends[1], bytes, 8192), "write more than a page");
    show(sys(fcntl, ends[1], F_SETPIPE_SZ, 4096), "shrink a full one");
    while (sys(read, ends[0], bytes, 8192) > 0)
        ;
    show(sys(fcntl, ends[1], F_SETPIPE_SZ, 4096), "shrink");
    show(sys(fcntl, ends[1], F_SETPIPE_SZ, 5000), "grow");
    show(sys(fcntl, ends[0], F_GETPIPE_SZ), "size");
    show(sys(fcntl, ends[1], F_SETPIPE_SZ, -1), "to -1");
    show(sys(read, ends[0], WILD, 10), "read to nowhere");
    sys(write, ends[1], "kept", 4);
    show(sys(read, ends[0], WILD, 10), "read to nowhere");
    close(ends[1]);
    show(sys(read, ends[0], bytes, 10), "what is left");
    show(sys(read, ends[0], bytes, 10), "the end");
    close(ends[0]);
}

static volatile int broken;

static void on_broken_pipe(int signal)
{
    broken = signal;
}

static void broken_pipes(void)
{
    struct iovec parts[2] = {{"ab", 2}, {"cde", 3}};
    char bytes[16] = "";
    int ends[2];

    signal(SIGPIPE, on_broken_pipe);
    sys(pipe2, ends, O_CLOEXEC | O_NONBLOCK);
    show(sys(fcntl, ends[0], F_GETFD), "close on exec");
    show(sys(fcntl, ends[0], F_GETFL), "flags");
    show(sys(writev, ends[1], parts, 2), "writev");
    parts[0].iov_base = bytes, parts[1].iov_base = bytes + 8;
    show(sys(readv, ends[0], parts, 2), "readv");
    text(bytes + 8);
    close(ends[0]);
    show(sys(write, ends[1], "x", 1), "write that nobody reads");
    show(broken, "SIGPIPE");
    broken = 0;
    show(sys(write, ends[1], "", 0), "write nothing that nobody reads");
    show(broken, "no signal");
    signal(SIGPIPE, SIG_IGN);
    show(sys(write, ends[1], "x", 1), "ignored");
    close(ends[1]);
    sys(pipe2, ends, O_DIRECT);
    show(sys(write, ends[1], "packet", 6), "a packet");
    show(sys(write, ends[1], "next", 4), "another");
    show(sys(read, ends[0], bytes, 3), "the start of the first");
    show(sys(read, ends[0], bytes, 16), "the second");
    close(ends[0]), close(ends[1]);
}

static void fifos(void)
{
    char bytes[8] = "";
    int fd, other;

    show(sys(mknod, "fifo", S_IFIFO | 0600, 0), "mknod");
    fd = (int)sys(open, "fifo", O_RDWR);
    show(done(fd), "open for both");
    show(sys(write, fd, "through", 7), "write");
    other = (int)sys(open, "fifo", O_RDONLY | O_NONBLOCK);
    show(sys(read, other, bytes, 7), "read by another");
    text(bytes);
    show(sys(lseek, fd, 0, SEEK_SET), "lseek");
    close(fd);
    show(sys(read, other, bytes, 7), "nobody writes");
    fd = (int)sys(open, "fifo", O_WRONLY | O_NONBLOCK);
    show(done(fd), "open for writing");
    show(sys(read, other, bytes, 7), "nothing written yet");
    close(fd), close(other);
    show(sys(open, "fifo", O_WRONLY | O_NONBLOCK), "nobody reads");
    unlink("fifo");
}

static void ioctls(void)
{
    int on = 1, count = -1, ends[2];

    pipe(ends);
    lseek(file, 30, SEEK_SET);
    show(sys(ioctl, file, FIONREAD, &count), "FIONREAD of a file");
    value(count);
    show(sys(ioctl, file, TIOCGWINSZ, &count), "the window of a file");
    show(sys(ioctl, file, TCGETS, &count), "the terminal of a file");
    show(sys(ioctl, file, FIOCLEX), "FIOCLEX");
    show(sys(fcntl, file, F_GETFD), "flag");
    show(sys(ioctl, file, FIONCLEX), "FIONCLEX");
    show(sys(fcntl, file, F_GETFD), "flag");
    show(sys(ioctl, ends[0], FIONBIO, &on), "FIONBIO");
    show(sys(fcntl, ends[0], F_GETFL), "flags");
    show(sys(ioctl, ends[0], FIONBIO, WILD), "FIONBIO from nowhere");
    show(sys(ioctl, ends[0], FIONREAD, WILD), "FIONREAD to nowhere");
    show(sys(ioctl, ends[0], 0x12345678, 0), "an unknown request");
    show(sys(ioctl, 9999, FIONBIO, &on), "no descriptor");
    close(ends[0]), close(ends[1]);
}

static void self_descriptors(void)
{
    char path[64], target[256] = "";
    long length;
    int fd;

    lseek(file, 5, SEEK_SET);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    length = sys(readlink, path, target, sizeof target - 1);
    target[length > 0 ? length : 0] = '\0';
    value(length > 5 && !strcmp(target + length - 5, "/file"));
    fd = (int)sys(open, path, O_RDONLY);
    show(done(fd), "open it again");
    show(sys(lseek, fd, 0, SEEK_CUR), "with an offset of its own");
    close(fd);
    snprintf(path, sizeof path, "/dev/fd/%d", file);
    fd = (int)sys(open, path, O_RDONLY);
    show(done(fd), "by /dev/fd");
    close(fd);
    try(open, "/proc/self/fd/9999", O_RDONLY);
    try(open, "/proc/self/fd/x", O_RDONLY);
    try(open, "/proc/self/fd/-1", O_RDONLY);
}

int main(void)
{
    fresh_folder();
    file = make_file("file", 100);
    duplicates();
    fcntl_cases();
    locks();
    ranges();
    limits();
    pipes();
    broken_pipes();
    fifos();
    ioctls();
    self_descriptors();
    remove_folder();
    return 0;
}
