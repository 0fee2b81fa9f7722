/*
 * Descriptors: a table from small numbers to open files, which grows as it is needed up to the limit RLIMIT_NOFILE.
 * Several descriptors may name one open file; it goes with the last reference. The first table is part of the image, so
 * that a program with few files allocates nothing here.
 */
#include "core/linux/file.h"

#include "core/allocate.h"
#include "core/base/string.h"
#include "core/cpu.h"
#include "core/linux/calls.h"

#define FIRST_DESCRIPTORS 64

struct descriptor {
    struct file *file;
    bool close_on_exec; /* kept and returned; nothing is ever executed */
};

static struct descriptor first_table[FIRST_DESCRIPTORS], *table = first_table;
static int table_size = FIRST_DESCRIPTORS;
static int lowest_free; /* no descriptor below it is free */

const struct file_hooks *file_hooks;

void linux_files_init(void)
{
    static struct file console = {
        .operations = &console_operations, .flags = O_RDWR | O_LARGEFILE, .references = 4 /* never released */};

    for (int fd = 0; fd < 3; fd++)
        table[fd].file = &console;
}

struct file *linux_file(int fd)
{
    struct file *file = (unsigned)fd < (unsigned)table_size ? table[fd].file : NULL;

    files_note_use(file);
    return file;
}

struct file *linux_file_usable(int fd)
{
    struct file *file = linux_file(fd);

    return file == NULL || (file->flags & O_PATH) ? NULL : file;
}

/* The access modes are 0, 1, 2 for reading, writing, both; of 3 Linux makes a file that allows neither. */
bool file_is_readable(const struct file *file)
{
    return ((file->flags + 1) & 1) != 0;
}

bool file_is_writable(const struct file *file)
{
    return ((file->flags + 1) & 2) != 0;
}

int linux_next_descriptor(int fd)
{
    for (; fd < table_size; fd++)
        if (table[fd].file != NULL)
            return fd;
    return -1;
}

int linux_descriptor_places(void)
{
    return table_size;
}

struct file *file_create(const struct file_operations *operations, unsigned flags, void *own)
{
    struct file *file = core_allocate(sizeof(*file));

    if (file != NULL)
        *file =
            (struct file){.operations = operations, .own = own, .flags = flags & ~(unsigned)O_CLOEXEC, .references = 1};
    return file;
}

void file_reference(struct file *file)
{
    file->references++;
}

static void destroy(struct file *file)
{
    if (file->node != NULL)
        file_hooks->unlock(file);
    if (file->operations->release != NULL)
        file->operations->release(file);
    if (file->node != NULL)
        file_hooks->release(file->node);
    core_release(file, sizeof(*file));
}

static struct file *deferred;

/* in_use: the running call still has it. */
static void release(struct file *file, bool in_use)
{
    if (--file->references > 0)
        return;
    linux_wake_waiting();
    while (file->watches != NULL)
        file->watches->close(file->watches);
    if (LIKELY(!file_defer_release(in_use))) {
        destroy(file);
        return;
    }
    file->references = 1; /* the list's: another call, or this one, may take hold of it again meanwhile */
    file->deferred = deferred;
    deferred = file;
}

void file_release(struct file *file)
{
    release(file, false);
}

/* One that a call has taken hold of again is put off again when that lets go of it. */
void file_release_deferred(void)
{
    while (deferred != NULL) {
        struct file *file = deferred;

        deferred = file->deferred;
        if (--file->references == 0)
            destroy(file);
    }
}

#if QUIRE_THREADS
void files_hold(struct file *const *files)
{
    for (unsigned i = 0; i < FILES_IN_USE; i++)
        if (files[i] != NULL)
            files[i]->references++;
}

void files_let_go(struct file *const *files)
{
    for (unsigned i = 0; i < FILES_IN_USE; i++)
        if (files[i] != NULL)
            release(files[i], true);
}
#endif

/* Makes room for a descriptor below the limit; E_NOMEM. */
static error_t grow_table(int fd)
{
    int size = table_size;
    struct descriptor *larger;

    if (fd < table_size)
        return E_SUCCESS;
    while (size <= fd)
        size *= 2;
    larger = core_allocate((size_t)size * sizeof(*larger));
    if (larger == NULL)
        return E_NOMEM;
    memcpy(larger, table, (size_t)table_size * sizeof(*table));
    if (table != first_table)
        core_release(table, (size_t)table_size * sizeof(*table));
    table = larger;
    table_size = size;
    return E_SUCCESS;
}

static void set_descriptor(int fd, struct file *file, bool close_on_exec)
{
    table[fd] = (struct descriptor){file, close_on_exec};
    if (fd == lowest_free)
        lowest_free++;
}

long file_install(struct file *file, int lowest, bool close_on_exec)
{
    int fd = lowest > lowest_free ? lowest : lowest_free;
    error_t error;

    while (fd < table_size && table[fd].file != NULL)
        fd++;
    if (lowest <= lowest_free)
        lowest_free = fd;
    if ((uint64_t)fd >= linux_descriptor_limit())
        return -E_MFILE;
    error = grow_table(fd);
    if (error != E_SUCCESS)
        return -error;
    set_descriptor(fd, file, close_on_exec);
    return fd;
}

long file_open(const struct file_operations *operations, unsigned flags, void *own)
{
    struct file *file = file_create(operations, flags, own);
    long fd;

    if (file == NULL)
        return -E_NOMEM;
    fd = file_install(file, 0, (flags & O_CLOEXEC) != 0);
    if (fd < 0)
        core_release(file, sizeof(*file)); /* not file_release: `own` stays the caller's */
    return fd;
}

long linux_close(int fd)
{
    struct file *file = linux_file(fd);

    if (file == NULL)
        return -E_BADF;
    table[fd].file = NULL;
    if (fd < lowest_free)
        lowest_free = fd;
    file_release(file);
    return 0;
}

long linux_close_range(unsigned first, unsigned last, unsigned flags)
{
    enum { CLOSE_RANGE_UNSHARE = 2, CLOSE_RANGE_CLOEXEC = 4 };

    if ((flags & ~(unsigned)(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)) || first > last)
        return -E_INVAL;
    for (; first <= last && first < (unsigned)table_size; first++)
        if (flags & CLOSE_RANGE_CLOEXEC)
            table[first].close_on_exec = true;
        else if (table[first].file != NULL)
            linux_close((int)first);
    return 0;
}

static long duplicate(int fd, int lowest, bool close_on_exec)
{
    struct file *file = linux_file(fd);
    long copy;

    if (file == NULL)
        return -E_BADF;
    copy = file_install(file, lowest, close_on_exec);
    if (copy >= 0)
        file_reference(file);
    return copy;
}

long linux_dup(int fd)
{
    return duplicate(fd, 0, false);
}

long linux_dup3(int fd, int to, int flags)
{
    struct file *file = linux_file(fd);
    error_t error;

    if (fd == to || (flags & ~O_CLOEXEC) != 0)
        return -E_INVAL;
    if (file == NULL || to < 0 || (uint64_t)to >= linux_descriptor_limit())
        return -E_BADF;
    error = grow_table(to);
    if (error != E_SUCCESS)
        return -error;
    file_reference(file);
    linux_close(to);
    set_descriptor(to, file, (flags & O_CLOEXEC) != 0);
    return to;
}

long linux_dup2(int fd, int to)
{
    if (fd == to)
        return linux_file(fd) == NULL ? -E_BADF : to;
    return linux_dup3(fd, to, 0);
}

long linux_fcntl(int fd, int command, unsigned long argument)
{
    struct file *file = linux_file(fd);
    const unsigned settable = O_APPEND | O_NONBLOCK | O_ASYNC | O_DIRECT | O_NOATIME;

    if (file == NULL)
        return -E_BADF;
    if ((file->flags & O_PATH) && command != F_DUPFD && command != F_DUPFD_CLOEXEC && command != F_GETFD &&
        command != F_SETFD && command != F_GETFL)
        return -E_BADF;
    switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        return argument >= linux_descriptor_limit() ? -E_INVAL
                                                    : duplicate(fd, (int)argument, command == F_DUPFD_CLOEXEC);
    case F_GETFD:
        return table[fd].close_on_exec;
    case F_SETFD:
        table[fd].close_on_exec = argument & 1;
        return 0;
    case F_GETFL:
        return file->flags;
    case F_SETFL:
        file->flags = (file->flags & ~settable) | ((unsigned)argument & settable);
        return 0;
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        return file->node != NULL ? file_hooks->lock(file, command, argument) : -E_INVAL;
    default:
        if (file->operations->fcntl != NULL)
            return file->operations->fcntl(file, command, argument);
        return command == F_SETPIPE_SZ || command == F_GETPIPE_SZ ? -E_BADF : -E_INVAL;
    }
}

long linux_ioctl(int fd, unsigned request, unsigned long argument)
{
    struct file *file = linux_file_usable(fd);
    int on;

    if (file == NULL)
        return -E_BADF;
    switch (request) {
    case FIOCLEX:
    case FIONCLEX:
        table[fd].close_on_exec = request == FIOCLEX;
        return 0;
    case FIONBIO:
        if (user_read(&on, (const void *)argument, sizeof(on)) != E_SUCCESS)
            return -E_FAULT;
        file->flags = on ? file->flags | O_NONBLOCK : file->flags & ~(unsigned)O_NONBLOCK;
        return 0;
    default:
        return file->operations->ioctl != NULL ? file->operations->ioctl(file, request, argument) : -E_NOTTY;
    }
}

long linux_fstat(int fd, struct linux_stat *to)
{
    struct file *file = linux_file(fd);
    struct linux_stat stat;

    if (file == NULL)
        return -E_BADF;
    file_stat(file, &stat);
    return -user_write(to, &stat, sizeof(stat));
}

/* An anonymous inode of Linux is a regular file of no type, which only its owner may read and write. */
void file_stat(struct file *file, struct linux_stat *stat)
{
    *stat = (struct linux_stat){.device = 1, .inode = 1, .links = 1, .mode = 0600, .block_size = VM_PAGE_SIZE};
    if (file->operations->stat != NULL)
        file->operations->stat(file, stat);
    else if (file->node != NULL)
        file_hooks->stat(file->node, stat);
}

long linux_fsync(int fd)
{
    struct file *file = linux_file_usable(fd);

    return file == NULL ? -E_BADF : file->operations->is_stored ? 0 : -E_INVAL;
}
