/*
 * Sizes and ranges of files: truncation, allocation, holes, advice, and copying between files inside of the core. What
 * is stored is stored in RAM, so there is nothing to write back, and nothing to read ahead.
 */
#include "core/allocate.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/file_calls.h"
#include "core/linux/tree.h"

long linux_truncate(const char *path, int64_t size)
{
    struct lookup lookup;
    error_t error;

    if (size < 0)
        return -E_INVAL;
    error = lookup_node(&lookup, AT_FDCWD, path, LOOKUP_FOLLOW);
    if (error != E_SUCCESS)
        return -error;
    if (node_is_directory(lookup.node))
        error = E_ISDIR;
    else if (node_type(lookup.node) != S_IFREG)
        error = E_INVAL;
    else if (lookup.node->running)
        error = E_TXTBSY;
    else if (lookup.node->generated == NULL)
        error = regular_truncate(lookup.node, (uint64_t)size);
    lookup_end(&lookup);
    return -error;
}

long linux_ftruncate(int fd, int64_t size)
{
    struct file *file;

    if (size < 0)
        return -E_INVAL;
    file = linux_file_usable(fd);
    if (file == NULL)
        return -E_BADF;
    return file->operations->truncate != NULL && file_is_writable(file)
               ? file->operations->truncate(file, (uint64_t)size)
               : -E_INVAL;
}

/* Linux's vfs_fallocate, and what tmpfs has of it. */
static error_t check_fallocate(const struct file *file, int mode, int64_t offset, int64_t length)
{
    const int known = 0x7f;

    if (offset < 0 || length <= 0)
        return E_INVAL;
    if ((mode & ~known) || ((mode & FALLOC_FL_PUNCH_HOLE) && !(mode & FALLOC_FL_KEEP_SIZE)))
        return E_NOTSUP;
    if (!file_is_writable(file))
        return E_BADF;
    if (file->operations != &regular_operations)
        return file->operations == &directory_operations ? E_ISDIR : file->operations->has_offset ? E_NODEV : E_SPIPE;
    if (offset > SIZE_LIMIT - length)
        return E_FBIG;
    return mode & ~(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE) ? E_NOTSUP : E_SUCCESS;
}

long linux_fallocate(int fd, int mode, int64_t offset, int64_t length)
{
    struct file *file = linux_file_usable(fd);
    struct contents *contents;
    uint64_t end = (uint64_t)offset + (uint64_t)length;
    error_t error;

    if (file == NULL)
        return -E_BADF;
    error = check_fallocate(file, mode, offset, length);
    if (error != E_SUCCESS)
        return -error;
    contents = &file->node->contents;
    if (mode & FALLOC_FL_PUNCH_HOLE) {
        if (contents->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
            return -E_PERM;
        error = contents_punch(contents, (uint64_t)offset, end);
    } else {
        if (!regular_may_reach(file->node, end))
            return -E_FBIG;
        if (end > contents->size && (contents->seals & F_SEAL_GROW))
            return -E_PERM;
        error = contents_allocate(contents, (uint64_t)offset, end);
        if (error == E_SUCCESS && !(mode & FALLOC_FL_KEEP_SIZE) && end > contents->size)
            contents_set_size(contents, end);
    }
    if (error == E_SUCCESS)
        node_touch(file->node);
    return -error;
}

long linux_fadvise64(int fd, int64_t offset, int64_t length, int advice)
{
    struct file *file = linux_file_usable(fd);
    const int known = 5; /* POSIX_FADV_NOREUSE */

    (void)offset;
    if (file == NULL)
        return -E_BADF;
    if (!file->operations->has_offset)
        return -E_SPIPE;
    return length < 0 || advice < 0 || advice > known ? -E_INVAL : 0;
}

long linux_readahead(int fd, int64_t offset, size_t length)
{
    struct file *file = linux_file_usable(fd);

    (void)offset, (void)length;
    if (file == NULL || !file_is_readable(file))
        return -E_BADF;
    return file->operations == &regular_operations ? 0 : -E_INVAL;
}

long linux_syncfs(int fd)
{
    return linux_file_usable(fd) == NULL ? -E_BADF : 0;
}

long linux_sync_file_range(int fd, int64_t offset, int64_t length, unsigned flags)
{
    struct file *file = linux_file_usable(fd);
    const unsigned known = 7;

    if (file == NULL)
        return -E_BADF;
    if ((flags & ~known) || offset < 0 || length < 0 || offset > INT64_MAX - length)
        return -E_INVAL;
    return file->operations->is_stored || file->operations == &regular_operations ? 0 : -E_SPIPE;
}

/* ---- copying between files ---- */

#define COPY_BUFFER ((size_t)64 << 10)

/* Moves bytes until count are done, the source ends or the target takes no more: the count, or -E_* if there were none.
 * What was read and not taken is read again: *from_offset follows what was written, if the source has offsets. */
static long copy_bytes(struct file *from, uint64_t *from_offset, struct file *to, uint64_t *to_offset, size_t count)
{
    char *buffer = core_allocate(COPY_BUFFER);
    size_t done = 0;
    long result = 0;

    if (buffer == NULL)
        return -E_NOMEM;
    user_check_suspend(); /* the buffer is the core's */
    while (done < count) {
        size_t part = count - done < COPY_BUFFER ? count - done : COPY_BUFFER;
        long got;

        got = result = from->operations->read(from, buffer, part, from_offset);
        if (got <= 0)
            break;
        result = to->operations->write(to, buffer, (size_t)got, to_offset);
        if (from_offset != NULL)
            *from_offset -= (uint64_t)(got - (result > 0 ? result : 0));
        if (result <= 0)
            break;
        done += (size_t)result;
        if (result < got)
            break;
    }
    user_check_resume();
    core_release(buffer, COPY_BUFFER);
    return done > 0 ? (long)done : result;
}

static error_t check_sendfile(const struct file *to, const struct file *from, const int64_t *offset)
{
    if (from == NULL || !file_is_readable(from))
        return E_BADF;
    if (offset != NULL && !from->operations->has_offset)
        return E_SPIPE;
    if (to == NULL || !file_is_writable(to))
        return E_BADF;
    if (from->operations->read == NULL || to->operations->write == NULL || (to->flags & O_APPEND) ||
        from->operations == &directory_operations || !from->operations->has_offset)
        return E_INVAL;
    return E_SUCCESS;
}

long linux_sendfile(int to_fd, int from_fd, int64_t *user_offset, size_t count)
{
    struct file *to = linux_file_usable(to_fd), *from = linux_file_usable(from_fd);
    int64_t position = 0;
    uint64_t to_position;
    error_t error;
    long done;

    if (user_offset != NULL && user_read(&position, user_offset, sizeof(position)) != E_SUCCESS)
        return -E_FAULT;
    error = check_sendfile(to, from, user_offset);
    if (error == E_SUCCESS && (position < 0 || count > INT64_MAX))
        error = E_INVAL;
    if (error != E_SUCCESS)
        return -error;
    if (count > COUNT_MAX)
        count = COUNT_MAX;
    if (user_offset == NULL)
        position = (int64_t)from->offset;
    to_position = to->offset; /* both files may be one */
    done = copy_bytes(from, (uint64_t *)&position, to, to->operations->has_offset ? &to_position : NULL, count);
    if (done > 0)
        to->offset = to_position;
    if (user_offset != NULL)
        return user_write(user_offset, &position, sizeof(position)) != E_SUCCESS ? -E_FAULT : done;
    from->offset = (uint64_t)position;
    return done;
}

/* The offset of one side: the program's, or the file's own. */
static error_t take_offset(const int64_t *user, const struct file *file, uint64_t *offset)
{
    int64_t given;

    *offset = file->offset;
    if (user == NULL)
        return E_SUCCESS;
    if (user_read(&given, user, sizeof(given)) != E_SUCCESS)
        return E_FAULT;
    *offset = (uint64_t)given;
    return given < 0 ? E_INVAL : E_SUCCESS;
}

static error_t give_offset(int64_t *user, struct file *file, uint64_t offset)
{
    if (user != NULL)
        return user_write(user, &offset, sizeof(offset));
    file->offset = offset;
    return E_SUCCESS;
}

static error_t check_copy(const struct file *from, const struct file *to)
{
    if (from->operations == &directory_operations || to->operations == &directory_operations)
        return E_ISDIR;
    if (from->operations != &regular_operations || to->operations != &regular_operations)
        return E_INVAL;
    return file_is_readable(from) && file_is_writable(to) && !(to->flags & O_APPEND) ? E_SUCCESS : E_BADF;
}

long linux_copy_file_range(int from_fd, int64_t *user_from, int to_fd, int64_t *user_to, size_t length, unsigned flags)
{
    struct file *from = linux_file_usable(from_fd), *to = linux_file_usable(to_fd);
    uint64_t from_offset, to_offset;
    error_t error;
    long done;

    if (from == NULL || to == NULL)
        return -E_BADF;
    error = take_offset(user_from, from, &from_offset);
    if (error == E_SUCCESS)
        error = take_offset(user_to, to, &to_offset);
    if (error == E_SUCCESS && flags != 0)
        error = E_INVAL;
    if (error == E_SUCCESS)
        error = check_copy(from, to);
    if (error == E_SUCCESS &&
        (length > SIZE_LIMIT || from_offset > SIZE_LIMIT - length || to_offset > SIZE_LIMIT - length))
        error = E_OVERFLOW;
    if (error != E_SUCCESS)
        return -error;
    if (length > COUNT_MAX)
        length = COUNT_MAX;
    if (from_offset >= from->node->contents.size)
        length = 0;
    else if (length > from->node->contents.size - from_offset)
        length = from->node->contents.size - from_offset;
    if (from->node == to->node && to_offset + length > from_offset && to_offset < from_offset + length)
        return -E_INVAL;
    done = length > 0 ? copy_bytes(from, &from_offset, to, &to_offset, length) : 0;
    if (done > 0 &&
        (give_offset(user_from, from, from_offset) != E_SUCCESS || give_offset(user_to, to, to_offset) != E_SUCCESS))
        return -E_FAULT;
    return done;
}
