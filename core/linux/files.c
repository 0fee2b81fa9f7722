/*
 * Descriptors and what can be read through them. An open file is the console or an entry of the packed files, which
 * are read-only and lie in memory: a read is a copy.
 */
#include "core/clock.h"
#include "core/cpu.h"
#include "core/linux/calls.h"

#define COUNT_MAX 0x7ffff000u      /* bytes of one read or write, as on Linux */
#define VECTOR_MAX 1024            /* UIO_MAXIOV */
#define OFFSET_MAX (INT64_MAX - 1) /* in a file; directories end at the number above */

static struct open_file open_files[DESCRIPTORS];
static struct open_file *descriptors[DESCRIPTORS];
static bool close_on_exec[DESCRIPTORS]; /* kept and returned; nothing is ever executed */
static struct archive packed_files;

struct archive *linux_files(void)
{
    return &packed_files;
}

void linux_files_init(void)
{
    open_files[0] = (struct open_file){.kind = FILE_CONSOLE, .references = 3, .flags = 2 /* O_RDWR */};
    for (int fd = 0; fd < 3; fd++)
        descriptors[fd] = &open_files[0];
}

struct open_file *linux_file(int fd)
{
    return fd >= 0 && fd < DESCRIPTORS ? descriptors[fd] : NULL;
}

struct open_file *linux_file_open(int fd)
{
    struct open_file *file = linux_file(fd);

    return file == NULL || (file->flags & O_PATH) ? NULL : file;
}

/* The lowest free descriptor that is at least `lowest`, or -E_MFILE. */
static int free_descriptor(int lowest)
{
    for (int fd = lowest; fd < DESCRIPTORS; fd++)
        if (descriptors[fd] == NULL)
            return fd;
    return -E_MFILE;
}

static long name_file(int fd, struct open_file *file, bool cloexec)
{
    descriptors[fd] = file;
    close_on_exec[fd] = cloexec;
    file->references++;
    return fd;
}

long linux_open_file(enum file_kind kind, unsigned flags, size_t entry)
{
    int fd = free_descriptor(0), i = 0;

    if (fd < 0)
        return fd;
    while (open_files[i].references > 0) /* there are as many files as descriptors, and one of those is free */
        i++;
    open_files[i] = (struct open_file){.kind = kind, .flags = flags & ~(unsigned)O_CLOEXEC, .entry = entry};
    return name_file(fd, &open_files[i], (flags & O_CLOEXEC) != 0);
}

long linux_close(int fd)
{
    struct open_file *file = linux_file(fd);

    if (file == NULL)
        return -E_BADF;
    file->references--;
    descriptors[fd] = NULL;
    return 0;
}

static long duplicate(int fd, int lowest, bool cloexec)
{
    struct open_file *file = linux_file(fd);
    int copy;

    if (file == NULL)
        return -E_BADF;
    copy = free_descriptor(lowest);
    return copy < 0 ? copy : name_file(copy, file, cloexec);
}

long linux_dup(int fd)
{
    return duplicate(fd, 0, false);
}

long linux_dup3(int fd, int to, int flags)
{
    struct open_file *file = linux_file(fd);

    if (fd == to || (flags & ~O_CLOEXEC) != 0)
        return -E_INVAL;
    if (file == NULL || to < 0 || to >= DESCRIPTORS)
        return -E_BADF;
    linux_close(to);
    return name_file(to, file, (flags & O_CLOEXEC) != 0);
}

long linux_dup2(int fd, int to)
{
    if (fd == to)
        return linux_file(fd) == NULL ? -E_BADF : to;
    return linux_dup3(fd, to, 0);
}

long linux_fcntl(int fd, int command, unsigned long argument)
{
    struct open_file *file = linux_file(fd);
    const unsigned settable = O_APPEND | O_NONBLOCK;

    if (file == NULL)
        return -E_BADF;
    switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        return argument >= DESCRIPTORS ? -E_INVAL : duplicate(fd, (int)argument, command == F_DUPFD_CLOEXEC);
    case F_GETFD:
        return close_on_exec[fd];
    case F_SETFD:
        close_on_exec[fd] = argument & 1;
        return 0;
    case F_GETFL:
        return file->flags;
    case F_SETFL:
        file->flags = (file->flags & ~settable) | ((unsigned)argument & settable);
        return 0;
    default:
        return -E_INVAL;
    }
}

long linux_ioctl(int fd, unsigned request, void *argument)
{
    struct open_file *file = linux_file_open(fd);

    if (file == NULL)
        return -E_BADF;
    return file->kind == FILE_CONSOLE ? console_file_ioctl(request, argument) : -E_NOTTY;
}

long linux_copy(void *to, const void *from, size_t length)
{
    size_t left = user_copy_left(to, from, length);

    return left > 0 && left == length ? -E_FAULT : (long)(length - left);
}

/* Copies from a packed file at the offset; the number of bytes, 0 at the end. */
static long read_packed(const struct open_file *file, void *buffer, size_t length, uint64_t offset)
{
    struct archive_entry entry = archive_entry(&packed_files, file->entry);
    size_t left = offset >= entry.size ? 0 : entry.size - offset;

    if (length > left)
        length = left;
    return linux_copy(buffer, entry.bytes + offset, length);
}

long linux_read(int fd, void *buffer, size_t length)
{
    struct open_file *file = linux_file_open(fd);
    long count;

    if (file == NULL)
        return -E_BADF;
    if (length > COUNT_MAX)
        length = COUNT_MAX;
    switch (file->kind) {
    case FILE_CONSOLE:
        return console_file_read(buffer, length, !(file->flags & O_NONBLOCK));
    case FILE_DIRECTORY:
        return -E_ISDIR;
    default:
        count = read_packed(file, buffer, length, file->offset);
        file->offset += count > 0 ? (uint64_t)count : 0;
        return count;
    }
}

long linux_write(int fd, const void *buffer, size_t length)
{
    struct open_file *file = linux_file(fd);

    if (file == NULL || file->kind != FILE_CONSOLE)
        return -E_BADF; /* packed files are open for reading */
    return console_file_write(buffer, length > COUNT_MAX ? COUNT_MAX : length);
}

long linux_pread64(int fd, void *buffer, size_t length, int64_t offset)
{
    struct open_file *file = linux_file_open(fd);

    if (offset < 0)
        return -E_INVAL;
    if (file == NULL)
        return -E_BADF;
    if (file->kind == FILE_CONSOLE)
        return -E_SPIPE;
    return file->kind == FILE_DIRECTORY ? -E_ISDIR : read_packed(file, buffer, length, (uint64_t)offset);
}

long linux_pwrite64(int fd, const void *buffer, size_t length, int64_t offset)
{
    struct open_file *file = linux_file(fd);

    (void)buffer;
    (void)length;
    if (offset < 0)
        return -E_INVAL;
    return file != NULL && file->kind == FILE_CONSOLE ? -E_SPIPE : -E_BADF;
}

static error_t check_parts(const struct linux_iovec *vector, int count)
{
    struct linux_iovec part;

    if (count < 0 || count > VECTOR_MAX)
        return E_INVAL;
    for (int i = 0; i < count; i++) {
        if (user_copy(&part, &vector[i], sizeof(part)) != E_SUCCESS)
            return E_FAULT;
        if (part.length > INT64_MAX)
            return E_INVAL;
    }
    return E_SUCCESS;
}

/*
 * One read or write for each part of the vector, until one fails or is short; what was done before counts. From
 * the console only one part is filled: a second read might wait.
 */
static long for_each_part(int fd, const struct linux_iovec *vector, int count, bool writing)
{
    struct linux_iovec part;
    long done = 0, result;
    error_t error;

    if (linux_file(fd) == NULL)
        return -E_BADF;
    error = check_parts(vector, count);
    if (error != E_SUCCESS)
        return -error;
    result = writing ? linux_write(fd, NULL, 0) : linux_read(fd, NULL, 0);
    if (result == -E_BADF)
        return result;
    for (int i = 0; i < count; i++) {
        if (user_copy(&part, &vector[i], sizeof(part)) != E_SUCCESS)
            return done > 0 ? done : -E_FAULT;
        if (part.length == 0)
            continue;
        if (!writing && done > 0 && linux_file(fd)->kind == FILE_CONSOLE)
            break;
        result = writing ? linux_write(fd, part.base, part.length) : linux_read(fd, part.base, part.length);
        if (result < 0)
            return done > 0 ? done : result;
        done += result;
        if ((size_t)result < part.length)
            break;
    }
    return done;
}

long linux_readv(int fd, const struct linux_iovec *vector, int count)
{
    return for_each_part(fd, vector, count, false);
}

long linux_writev(int fd, const struct linux_iovec *vector, int count)
{
    return for_each_part(fd, vector, count, true);
}

long linux_lseek(int fd, int64_t offset, int whence)
{
    struct open_file *file = linux_file_open(fd);
    uint64_t base;

    if (file == NULL)
        return -E_BADF;
    if (file->kind == FILE_CONSOLE)
        return -E_SPIPE;
    switch (whence) {
    case SEEK_SET:
        base = 0;
        break;
    case SEEK_CUR:
        base = file->offset;
        break;
    case SEEK_END:
        base = archive_entry(&packed_files, file->entry).size;
        break;
    default:
        return -E_INVAL;
    }
    if (__builtin_add_overflow((int64_t)base, offset, &offset) || offset < 0 ||
        (file->kind == FILE_PACKED && offset > OFFSET_MAX))
        return -E_INVAL;
    file->offset = (uint64_t)offset;
    return offset;
}

long linux_fsync(int fd)
{
    struct open_file *file = linux_file_open(fd);

    return file == NULL ? -E_BADF : file->kind == FILE_CONSOLE ? -E_INVAL : 0;
}

/* Fills in what happened to one descriptor; true if something did. */
static bool poll_one(struct linux_pollfd *poll)
{
    struct open_file *file = linux_file(poll->descriptor);
    int happened = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;

    poll->happened = 0;
    if (poll->descriptor < 0)
        return false;
    if (file == NULL) {
        poll->happened = POLLNVAL;
        return true;
    }
    if (file->kind == FILE_CONSOLE && !console_file_readable())
        happened &= ~(POLLIN | POLLRDNORM);
    poll->happened = (int16_t)(happened & poll->events);
    return poll->happened != 0;
}

static long poll_all(struct linux_pollfd *list, unsigned count)
{
    struct linux_pollfd poll;
    long happened = 0;

    for (unsigned i = 0; i < count; i++) {
        if (user_copy(&poll, &list[i], sizeof(poll)) != E_SUCCESS)
            return -E_FAULT;
        happened += poll_one(&poll);
        if (user_copy(&list[i], &poll, sizeof(poll)) != E_SUCCESS)
            return -E_FAULT;
    }
    return happened;
}

/* end: monotonic ns; UINT64_MAX: no time-out. */
static long poll_until(struct linux_pollfd *list, unsigned count, uint64_t end)
{
    const uint64_t interval = 10000000; /* ns between looks */

    if (count > DESCRIPTORS)
        return -E_INVAL;
    for (;;) {
        long happened = poll_all(list, count);
        uint64_t now;

        if (happened != 0 || end == 0)
            return happened;
        now = clock_monotonic();
        if (now >= end)
            return 0;
        cpu_wait_until(end - now < interval ? end : now + interval);
    }
}

long linux_poll(struct linux_pollfd *list, unsigned count, int timeout)
{
    if (timeout <= 0)
        return poll_until(list, count, timeout == 0 ? 0 : UINT64_MAX);
    return poll_until(list, count, clock_monotonic() + (uint64_t)timeout * 1000000);
}

long linux_ppoll(struct linux_pollfd *list, unsigned count, const struct linux_timespec *timeout, const uint64_t *mask)
{
    uint64_t span;
    error_t error;

    (void)mask; /* signals end the program or are ignored: none interrupts */
    if (timeout == NULL)
        return poll_until(list, count, UINT64_MAX);
    error = linux_read_span(timeout, &span);
    return error != E_SUCCESS ? -error : poll_until(list, count, span == 0 ? 0 : clock_monotonic() + span);
}
