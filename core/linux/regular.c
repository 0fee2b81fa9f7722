/* Open files on regular nodes: positions, appending, seals, and the times of the node. Pages are in contents.c. */
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/tree.h"
#include "core/linux/wait.h"

static struct contents *contents_of(const struct file *file)
{
    return &file->node->contents;
}

/* Times of reading are not kept, as on a file system that is mounted with noatime. */
static long regular_read(struct file *file, void *user, size_t length, uint64_t *offset)
{
    long done = contents_read(contents_of(file), user, length, *offset);

    if (LIKELY(done > 0))
        *offset += (uint64_t)done;
    return done;
}

/* Bytes that may be written from the offset on, at most `length`: none is E_FBIG, and a signal if the limit is the
 * process's. */
static size_t within_limits(size_t length, uint64_t offset)
{
    uint64_t limit = linux_file_size_limit();

    if (offset >= limit) {
        linux_send_signal(SIGXFSZ);
        return 0;
    }
    if (limit > SIZE_LIMIT)
        limit = SIZE_LIMIT;
    return offset >= limit ? 0 : length > limit - offset ? limit - offset : length;
}

static long regular_write(struct file *file, const void *user, size_t length, uint64_t *offset)
{
    struct contents *contents = contents_of(file);
    uint64_t position = file->flags & O_APPEND ? contents->size : *offset;
    long done;

    if (length == 0)
        return 0;
    length = within_limits(length, position);
    if (length == 0)
        return -E_FBIG;
    if (contents->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
        return -E_PERM;
    if ((contents->seals & F_SEAL_GROW) && position + length > contents->size) {
        /* Linux writes page by page: the pages before the one that would make the file longer. */
        if (position >= align_down(contents->size, VM_PAGE_SIZE))
            return -E_PERM;
        length = align_down(contents->size, VM_PAGE_SIZE) - position;
    }
    done = contents_write(contents, user, length, position);
    if (done > 0) {
        *offset = position + (uint64_t)done;
        node_touch(file->node);
    }
    return done;
}

static long regular_seek(struct file *file, int64_t offset, int whence)
{
    struct contents *contents = contents_of(file);
    uint64_t found;

    if (whence == SEEK_DATA || whence == SEEK_HOLE) {
        if (offset < 0 || (uint64_t)offset >= contents->size)
            return -E_NXIO;
        found = contents_next(contents, (uint64_t)offset, whence == SEEK_DATA);
        if (whence == SEEK_DATA && found == contents->size)
            return -E_NXIO;
        offset = (int64_t)found;
    } else if (whence != SEEK_SET &&
               __builtin_add_overflow((int64_t)(whence == SEEK_CUR ? file->offset : contents->size), offset, &offset)) {
        return -E_INVAL;
    }
    if (offset < 0)
        return -E_INVAL;
    file->offset = (uint64_t)offset;
    return offset;
}

bool regular_may_reach(const struct node *node, uint64_t size)
{
    return size <= node->contents.size || within_limits(1, size - 1) > 0;
}

error_t regular_truncate(struct node *node, uint64_t size)
{
    struct contents *contents = &node->contents;

    if ((size < contents->size && (contents->seals & F_SEAL_SHRINK)) ||
        (size > contents->size && (contents->seals & F_SEAL_GROW)))
        return E_PERM;
    if (!regular_may_reach(node, size))
        return E_FBIG;
    contents_set_size(contents, size);
    node_touch(node);
    return E_SUCCESS;
}

static long regular_truncate_file(struct file *file, uint64_t size)
{
    return -regular_truncate(file->node, size);
}

static long regular_ioctl(struct file *file, unsigned request, unsigned long argument)
{
    int64_t left = (int64_t)(contents_of(file)->size - file->offset);
    int number = (int)left;

    return request == FIONREAD ? -user_write((void *)argument, &number, sizeof(number)) : -E_NOTTY;
}

static long add_seals(struct file *file, unsigned long seals)
{
    struct contents *contents = contents_of(file);
    const unsigned known = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE | F_SEAL_EXEC;

    if (!file_is_writable(file))
        return -E_PERM;
    if (seals & ~(unsigned long)known)
        return -E_INVAL;
    if (contents->seals & F_SEAL_SEAL)
        return -E_PERM;
    if ((seals & F_SEAL_EXEC) && (file->node->mode & 0111)) /* what can be executed cannot change */
        seals |= F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;
    if ((seals & F_SEAL_WRITE) && !(contents->seals & F_SEAL_WRITE) && node_is_mapped_for_writing(file->node))
        return -E_BUSY;
    contents->seals |= (unsigned)seals;
    return 0;
}

static long regular_fcntl(struct file *file, int command, unsigned long argument)
{
    switch (command) {
    case F_ADD_SEALS:
        return add_seals(file, argument);
    case F_GET_SEALS:
        return contents_of(file)->seals;
    case F_SETPIPE_SZ:
    case F_GETPIPE_SZ:
        return -E_BADF;
    default:
        return -E_INVAL;
    }
}

static struct vm_object *regular_object(struct file *file)
{
    return node_object(file->node);
}

struct vm_object *node_object(struct node *node)
{
    return &node->contents.object;
}

void node_set_seals(struct node *node, unsigned seals)
{
    node->contents.seals = seals;
}

unsigned node_seals(const struct node *node)
{
    return node->contents.seals;
}

/* Set by who maps files. */
bool (*node_writable_mapping)(struct vm_object *);

bool node_is_mapped_for_writing(struct node *node)
{
    return node->contents.object.mappings != NULL && node_writable_mapping != NULL &&
           node_writable_mapping(&node->contents.object);
}

const struct file_operations regular_operations = {
    .read = regular_read,
    .write = regular_write,
    .ioctl = regular_ioctl,
    .seek = regular_seek,
    .truncate = regular_truncate_file,
    .fcntl = regular_fcntl,
    .object = regular_object,
    .has_offset = true,
    .is_stored = true,
};
