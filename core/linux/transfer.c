/*
 * Reading and writing through descriptors: what is the same for all kinds of files is checked here, in Linux's order
 * (fs/read_write.c), and the kind's operations do the rest.
 */
#include "core/allocate.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/file.h"
#include "core/linux/memory.h"

#define VECTOR_MAX 1024 /* UIO_MAXIOV */
#define VECTOR_FEW 8    /* kept on the stack, as Linux's UIO_FASTIOV */

static long copied(size_t length, size_t left)
{
    return left > 0 && left == length ? -E_FAULT : (long)(length - left);
}

long linux_user_write(void *user, const void *from, size_t length)
{
    return copied(length, user_write_left(user, from, length));
}

long linux_user_read(void *to, const void *user, size_t length)
{
    return copied(length, user_read_left(to, user, length));
}

static uint64_t *offset_of(struct file *file)
{
    return file->operations->has_offset ? &file->offset : NULL;
}

static long read_file(struct file *file, void *buffer, size_t length, uint64_t *offset)
{
    if (UNLIKELY(!file_is_readable(file)))
        return -E_BADF;
    if (UNLIKELY(file->operations->read == NULL))
        return -E_INVAL;
    if (UNLIKELY(length > COUNT_MAX)) {
        if (length > TASK_END)
            return -E_FAULT; /* no program's memory is that long */
        length = COUNT_MAX;
    }
    if (offset != NULL && (int64_t)(*offset + length) < 0)
        return -E_INVAL;
    if (UNLIKELY(file->watches != NULL) && !file->operations->wakes)
        file_wake(file, 0);
    return file->operations->read(file, buffer, length, offset);
}

static long write_file(struct file *file, const void *buffer, size_t length, uint64_t *offset)
{
    if (UNLIKELY(!file_is_writable(file)))
        return -E_BADF;
    if (UNLIKELY(file->operations->write == NULL))
        return -E_INVAL;
    if (UNLIKELY(length > COUNT_MAX)) {
        if (length > TASK_END)
            return -E_FAULT;
        length = COUNT_MAX;
    }
    if (offset != NULL && (int64_t)(*offset + length) < 0)
        return -E_INVAL;
    return file->operations->write(file, buffer, length, offset);
}

struct file_transfers file_transfers;

static long count_read(long result)
{
    file_transfers.reads++;
    file_transfers.bytes_read += result > 0 ? (unsigned long)result : 0;
    return result;
}

static long count_write(long result)
{
    file_transfers.writes++;
    file_transfers.bytes_written += result > 0 ? (unsigned long)result : 0;
    return result;
}

long linux_read(int fd, void *buffer, size_t length)
{
    struct file *file = linux_file_usable(fd);

    return count_read(file == NULL ? -E_BADF : read_file(file, buffer, length, offset_of(file)));
}

long linux_write(int fd, const void *buffer, size_t length)
{
    struct file *file = linux_file_usable(fd);

    return count_write(file == NULL ? -E_BADF : write_file(file, buffer, length, offset_of(file)));
}

/* What pread and its like may use; NULL with *result. */
static struct file *positioned(int fd, int64_t offset, long *result)
{
    struct file *file = linux_file_usable(fd);

    *result = offset < 0 ? -E_INVAL : file == NULL ? -E_BADF : !file->operations->has_offset ? -E_SPIPE : 0;
    return *result == 0 ? file : NULL;
}

long linux_pread64(int fd, void *buffer, size_t length, int64_t offset)
{
    uint64_t position = (uint64_t)offset;
    long result;
    struct file *file = positioned(fd, offset, &result);

    return count_read(file == NULL ? result : read_file(file, buffer, length, &position));
}

long linux_pwrite64(int fd, const void *buffer, size_t length, int64_t offset)
{
    uint64_t position = (uint64_t)offset;
    long result;
    struct file *file = positioned(fd, offset, &result);

    return count_write(file == NULL ? result : write_file(file, buffer, length, &position));
}

/* A vector copied in, with its total cut to what one call transfers. */
struct vector {
    int count;
    struct linux_iovec *parts, few[VECTOR_FEW];
};

static void vector_release(struct vector *vector)
{
    if (vector->parts != vector->few)
        core_release(vector->parts, (size_t)vector->count * sizeof(*vector->parts));
}

static error_t vector_take(struct vector *vector, const struct linux_iovec *from, int count)
{
    size_t room = COUNT_MAX;
    error_t error;

    if (count < 0 || count > VECTOR_MAX)
        return E_INVAL;
    vector->count = count;
    vector->parts = count <= VECTOR_FEW ? vector->few : core_allocate((size_t)count * sizeof(*from));
    if (vector->parts == NULL)
        return E_NOMEM;
    error = user_read(vector->parts, from, (size_t)count * sizeof(*from));
    for (int i = 0; error == E_SUCCESS && i < count; i++) {
        struct linux_iovec *part = &vector->parts[i];

        if (part->length > TASK_END)
            error = part->length > INT64_MAX ? E_INVAL : E_FAULT;
        if (part->length > room)
            part->length = room;
        room -= part->length;
    }
    if (error != E_SUCCESS)
        vector_release(vector);
    return error;
}

/* True if another part can be filled without waiting: what a stream has given counts, so the call does not wait again.
 */
static bool has_more(struct file *file)
{
    const unsigned readable = POLLIN | POLLRDNORM;

    return file->operations->has_offset ||
           (file->operations->poll != NULL && (file->operations->poll(file) & readable));
}

/* One read or write for each part, until one fails or is short; what was done before counts. */
static long for_each_part(struct file *file, const struct vector *vector, uint64_t *offset, bool writing)
{
    long done = 0, result;

    if (writing ? !file_is_writable(file) : !file_is_readable(file))
        return -E_BADF;
    for (int i = 0; i < vector->count; i++) {
        const struct linux_iovec *part = &vector->parts[i];

        if (part->length == 0)
            continue;
        if (!writing && done > 0 && !has_more(file))
            break;
        result = writing ? write_file(file, part->base, part->length, offset)
                         : read_file(file, part->base, part->length, offset);
        if (result < 0)
            return done > 0 ? done : result;
        done += result;
        if ((size_t)result < part->length)
            break;
    }
    return done;
}

/*
 * What a stream is given in one call of up to a page is in one piece (PIPE_BUF; a packet of a pipe with O_DIRECT): it
 * is put together first. 0: that cannot be had, each part is written for itself.
 */
static long write_together(struct file *file, const struct vector *vector)
{
    size_t length = 0, done = 0;
    char *together;
    long result = 0;

    for (int i = 0; i < vector->count; i++)
        length += vector->parts[i].length;
    if (vector->count < 2 || length == 0 || length > VM_PAGE_SIZE)
        return 0;
    together = core_allocate(length);
    if (together == NULL)
        return 0;
    for (int i = 0; i < vector->count && result == 0; i++) {
        result = -user_read(together + done, vector->parts[i].base, vector->parts[i].length);
        done += vector->parts[i].length;
    }
    if (result == 0) {
        user_check_suspend(); /* the core's copy is written */
        result = write_file(file, together, length, NULL);
        user_check_resume();
    }
    core_release(together, length);
    return result;
}

static long transfer_parts(struct file *file, const struct linux_iovec *from, int count, uint64_t *offset, bool writing)
{
    struct vector vector;
    long done = -vector_take(&vector, from, count);

    if (done < 0)
        return done;
    if (writing && offset == NULL && file->operations->wakes)
        done = write_together(file, &vector);
    if (done == 0)
        done = for_each_part(file, &vector, offset, writing);
    vector_release(&vector);
    return writing ? count_write(done) : count_read(done);
}

long linux_readv(int fd, const struct linux_iovec *vector, int count)
{
    struct file *file = linux_file_usable(fd);

    return file == NULL ? -E_BADF : transfer_parts(file, vector, count, offset_of(file), false);
}

long linux_writev(int fd, const struct linux_iovec *vector, int count)
{
    struct file *file = linux_file_usable(fd);

    return file == NULL ? -E_BADF : transfer_parts(file, vector, count, offset_of(file), true);
}

static long transfer_at(int fd, const struct linux_iovec *vector, int count, int64_t offset, bool writing)
{
    uint64_t position = (uint64_t)offset;
    long result;
    struct file *file = positioned(fd, offset, &result);

    return file == NULL ? result : transfer_parts(file, vector, count, &position, writing);
}

long linux_preadv(int fd, const struct linux_iovec *vector, int count, int64_t offset)
{
    return transfer_at(fd, vector, count, offset, false);
}

long linux_pwritev(int fd, const struct linux_iovec *vector, int count, int64_t offset)
{
    return transfer_at(fd, vector, count, offset, true);
}

/*
 * RWF_HIPRI, DSYNC and SYNC ask for what is always so; RWF_NOWAIT and APPEND are taken as flags of the file for this
 * one call. The fourth register is the upper half of the offset of 32-bit programs.
 */
static long transfer_with(int fd, const struct linux_iovec *vector, int count, int64_t offset, int flags, bool writing)
{
    enum { RWF_HIPRI = 1, RWF_DSYNC = 2, RWF_SYNC = 4, RWF_NOWAIT = 8, RWF_APPEND = 16 };
    struct file *file = linux_file_usable(fd);
    unsigned before;
    long result;

    if (flags & ~(RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND))
        return file == NULL ? -E_BADF : -E_NOTSUP;
    if (file == NULL)
        return offset < -1 ? -E_INVAL : -E_BADF;
    before = file->flags;
    file->flags |= (flags & RWF_NOWAIT ? O_NONBLOCK : 0) | (flags & RWF_APPEND ? O_APPEND : 0);
    result = offset == -1 ? transfer_parts(file, vector, count, offset_of(file), writing)
                          : transfer_at(fd, vector, count, offset, writing);
    file->flags = before;
    return result;
}

long linux_preadv2(int fd, const struct linux_iovec *vector, int count, int64_t offset, unsigned long high, int flags)
{
    (void)high;
    return transfer_with(fd, vector, count, offset, flags, false);
}

long linux_pwritev2(int fd, const struct linux_iovec *vector, int count, int64_t offset, unsigned long high, int flags)
{
    (void)high;
    return transfer_with(fd, vector, count, offset, flags, true);
}

long linux_lseek(int fd, int64_t offset, int whence)
{
    struct file *file = linux_file_usable(fd);

    if (file == NULL)
        return -E_BADF;
    if (whence < 0 || whence > SEEK_HOLE)
        return -E_INVAL;
    return file->operations->seek != NULL ? file->operations->seek(file, offset, whence) : -E_SPIPE;
}
