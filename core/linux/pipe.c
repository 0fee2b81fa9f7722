/*
 * Pipes. A pipe is a ring of slots, each a page with up to 4,096 bytes in it, as on Linux (fs/pipe.c): a write fills
 * new slots, but its odd bytes are added to the last page if they fit there. So a write of up to PIPE_BUF bytes, which
 * is a page, is in one piece or not at all, and a pipe of 16 slots may be full with less than 64 KiB in it, exactly
 * where it is on Linux. Pages are taken when there is something to put into them.
 *
 * Each open file on a pipe is an end. An anonymous pipe has two; one with a name (FIFO), or one opened again through
 * /proc/self/fd, has as many as there are opens. The pipe goes with its last end.
 */
#include "core/allocate.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/events.h"
#include "core/linux/node.h"
#include "core/linux/process.h"
#include "core/linux/wait.h"
#include "machine.h"
#include "vm/frames.h"

#define SLOTS_DEFAULT 16u
#define CAP_SYS_RESOURCE 24u
#define PIPE_DEVICE 15u    /* the number of pipefs does not matter, but it is none of the file systems' */
#define INODE_FIRST 10000u /* of pipes, in the order they were made */
#define LINUX_S_IFIFO 0010000u

struct slot {
    char *page;
    uint16_t offset, length;
    bool packet; /* of O_DIRECT: read as a whole, never added to */
};

struct pipe {
    struct slot *slots;
    unsigned slot_count; /* a power of two */
    unsigned head, tail; /* slots [tail, head) hold something; they count on and wrap */
    unsigned readers, writers, readers_ever, writers_ever;
    char *spare; /* the last page that was emptied */
    struct end *ends;
    struct pipe **home; /* where the pipe is known by name, or NULL */
    uint64_t inode;
};

struct end {
    struct end *next;
    struct pipe *pipe;
    struct file *file;
    unsigned writers_then; /* POLLHUP is not for a FIFO that never had a writer since this end was opened */
};

static bool is_empty(const struct pipe *pipe)
{
    return pipe->head == pipe->tail;
}

static bool is_full(const struct pipe *pipe)
{
    return pipe->head - pipe->tail >= pipe->slot_count;
}

static struct slot *slot_at(struct pipe *pipe, unsigned index)
{
    return &pipe->slots[index & (pipe->slot_count - 1)];
}

static char *take_page(struct pipe *pipe)
{
    char *page = pipe->spare;
    paddr_t frame;

    if (page != NULL) {
        pipe->spare = NULL;
        return page;
    }
    frame = frame_get(PAGE_4K);
    return frame == FRAME_NONE ? NULL : phys_to_virt(frame);
}

static void give_page(struct pipe *pipe, char *page)
{
    if (pipe->spare == NULL)
        pipe->spare = page;
    else
        frame_put(virt_to_phys(page), PAGE_4K);
}

static void wake_ends(struct pipe *pipe, unsigned events)
{
    for (struct end *end = pipe->ends; end != NULL; end = end->next)
        file_wake(end->file, events);
}

static struct pipe *pipe_of(const struct file *file)
{
    return ((struct end *)file->own)->pipe;
}

/* E_INTR, which the whole call may be repeated for; anything else may have changed the pipe. */
static long wait_for_change(const struct file *file)
{
    return linux_wait_for(file, WAIT_FOR_EVER) == E_INTR ? -E_RESTART : 0;
}

/* ---- reading ---- */

/* Copies from the first slot what it holds, at most length bytes: the number, or -E_FAULT with nothing taken. */
static long read_slot(struct pipe *pipe, char *user, size_t length)
{
    struct slot *slot = slot_at(pipe, pipe->tail);
    size_t count = slot->length < length ? slot->length : length;

    if (user_write(user, slot->page + slot->offset, count) != E_SUCCESS)
        return -E_FAULT;
    slot->offset += (uint16_t)count;
    slot->length = slot->packet ? 0 : (uint16_t)(slot->length - count);
    if (slot->length == 0) {
        give_page(pipe, slot->page);
        pipe->tail++;
    }
    return (long)count;
}

/* What is there now, up to length bytes or one packet; 0 if nothing is. */
static long read_available(struct pipe *pipe, char *user, size_t length)
{
    bool was_full = is_full(pipe), packet = false;
    size_t done = 0;
    long count = 0;

    while (done < length && !is_empty(pipe) && !packet) {
        packet = slot_at(pipe, pipe->tail)->packet;
        count = read_slot(pipe, user + done, length - done);
        if (count < 0)
            break;
        done += (size_t)count;
    }
    if (was_full && !is_full(pipe))
        wake_ends(pipe, POLLOUT | POLLWRNORM);
    return done > 0 ? (long)done : count;
}

static long pipe_read(struct file *file, void *user, size_t length, uint64_t *offset)
{
    struct pipe *pipe = pipe_of(file);

    (void)offset;
    if (length == 0)
        return 0;
    while (is_empty(pipe)) {
        long interrupted;

        if (pipe->writers == 0)
            return 0;
        if (file->flags & O_NONBLOCK)
            return -E_AGAIN;
        interrupted = wait_for_change(file);
        if (interrupted != 0)
            return interrupted;
    }
    return read_available(pipe, user, length);
}

/* ---- writing ---- */

static long broken(void)
{
    linux_send_signal(SIGPIPE);
    return -E_PIPE;
}

/* Adds to the last page the bytes that would not fill one, if they fit there: their number, 0 if not, -E_FAULT. */
static long write_odd_bytes(struct pipe *pipe, const char *user, size_t length)
{
    size_t count = length % VM_PAGE_SIZE;
    struct slot *last = slot_at(pipe, pipe->head - 1);

    if (count == 0 || is_empty(pipe) || last->packet || last->offset + last->length + count > VM_PAGE_SIZE)
        return 0;
    if (user_read(last->page + last->offset + last->length, user, count) != E_SUCCESS)
        return -E_FAULT;
    last->length += (uint16_t)count;
    return (long)count;
}

/* Fills a slot, of which one is free. */
static long write_slot(struct pipe *pipe, const char *user, size_t length, bool packet)
{
    size_t count = length < VM_PAGE_SIZE ? length : VM_PAGE_SIZE;
    char *page = take_page(pipe);

    if (page == NULL)
        return -E_NOMEM;
    if (user_read(page, user, count) != E_SUCCESS) {
        give_page(pipe, page);
        return -E_FAULT;
    }
    *slot_at(pipe, pipe->head++) = (struct slot){.page = page, .length = (uint16_t)count, .packet = packet};
    return (long)count;
}

/* One slot when there is room, else waits: bytes written, or the error that ends the call. */
static long write_when_possible(struct file *file, const char *user, size_t length)
{
    struct pipe *pipe = pipe_of(file);

    for (;;) {
        long interrupted;

        if (pipe->readers == 0)
            return broken();
        if (!is_full(pipe))
            return write_slot(pipe, user, length, (file->flags & O_DIRECT) != 0);
        if (file->flags & O_NONBLOCK)
            return -E_AGAIN;
        wake_ends(pipe, POLLIN | POLLRDNORM);
        interrupted = wait_for_change(file);
        if (interrupted != 0)
            return interrupted;
    }
}

static long pipe_write(struct file *file, const void *user, size_t length, uint64_t *offset)
{
    struct pipe *pipe = pipe_of(file);
    size_t done = 0;
    long count;

    (void)offset;
    if (length == 0)
        return 0;
    if (pipe->readers == 0)
        return broken();
    count = write_odd_bytes(pipe, user, length);
    while (count >= 0) {
        done += (size_t)count;
        if (done == length)
            break;
        count = write_when_possible(file, (const char *)user + done, length - done);
    }
    if (done > 0)
        wake_ends(pipe, POLLIN | POLLRDNORM);
    return done > 0 ? (long)done : count;
}

/* ---- the other operations ---- */

static unsigned pipe_poll(struct file *file)
{
    const struct end *end = file->own;
    const struct pipe *pipe = end->pipe;
    unsigned events = 0;

    if (file_is_readable(file)) {
        events |= is_empty(pipe) ? 0 : POLLIN | POLLRDNORM;
        events |= pipe->writers == 0 && pipe->writers_ever != end->writers_then ? POLLHUP : 0;
    }
    if (file_is_writable(file)) {
        events |= is_full(pipe) ? 0 : POLLOUT | POLLWRNORM;
        events |= pipe->readers == 0 ? POLLERR : 0;
    }
    return events;
}

static long pipe_ioctl(struct file *file, unsigned request, unsigned long argument)
{
    struct pipe *pipe = pipe_of(file);
    int bytes = 0;

    if (request != FIONREAD)
        return -E_NOTTY;
    for (unsigned i = pipe->tail; i != pipe->head; i++)
        bytes += slot_at(pipe, i)->length;
    return -user_write((void *)argument, &bytes, sizeof(bytes));
}

static error_t set_slots(struct pipe *pipe, unsigned count)
{
    unsigned used = pipe->head - pipe->tail;
    struct slot *slots;

    if (count < used)
        return E_BUSY;
    slots = core_allocate(count * sizeof(*slots));
    if (slots == NULL)
        return E_NOMEM;
    for (unsigned i = 0; i < used; i++)
        slots[i] = *slot_at(pipe, pipe->tail + i);
    core_release(pipe->slots, pipe->slot_count * sizeof(*slots));
    pipe->slots = slots;
    pipe->slot_count = count;
    pipe->tail = 0;
    pipe->head = used;
    return E_SUCCESS;
}

static long set_size(struct pipe *pipe, unsigned size)
{
    bool was_full = is_full(pipe);
    unsigned count;
    error_t error;

    if (size > 1u << 31)
        return -E_INVAL;
    count = size <= VM_PAGE_SIZE ? 1 : 1u << (log2_ceil(size) - VM_PAGE_SHIFT);
    if (count > pipe->slot_count && count > PIPE_SIZE_MAX / VM_PAGE_SIZE && !process_has_capability(CAP_SYS_RESOURCE))
        return -E_PERM;
    error = set_slots(pipe, count);
    if (error != E_SUCCESS)
        return -error;
    if (was_full && !is_full(pipe))
        wake_ends(pipe, POLLOUT | POLLWRNORM);
    return (long)(count * VM_PAGE_SIZE);
}

static long pipe_fcntl(struct file *file, int command, unsigned long argument)
{
    struct pipe *pipe = pipe_of(file);

    switch (command) {
    case F_GETPIPE_SZ:
        return (long)(pipe->slot_count * VM_PAGE_SIZE);
    case F_SETPIPE_SZ:
        return set_size(pipe, (unsigned)argument);
    default:
        return -E_INVAL;
    }
}

static void pipe_stat(struct file *file, struct linux_stat *stat)
{
    stat->device = PIPE_DEVICE;
    stat->inode = pipe_of(file)->inode;
    stat->mode = LINUX_S_IFIFO | 0600;
}

static void destroy_pipe(struct pipe *pipe)
{
    while (!is_empty(pipe))
        give_page(pipe, slot_at(pipe, pipe->tail++)->page);
    if (pipe->spare != NULL)
        frame_put(virt_to_phys(pipe->spare), PAGE_4K);
    if (pipe->home != NULL)
        *pipe->home = NULL;
    core_release(pipe->slots, pipe->slot_count * sizeof(*pipe->slots));
    core_release(pipe, sizeof(*pipe));
}

static void pipe_release(struct file *file)
{
    struct end *end = file->own, **link;
    struct pipe *pipe = end->pipe;

    for (link = &pipe->ends; *link != end; link = &(*link)->next)
        ;
    *link = end->next;
    core_release(end, sizeof(*end));
    pipe->readers -= file_is_readable(file);
    pipe->writers -= file_is_writable(file);
    if (pipe->ends == NULL)
        destroy_pipe(pipe);
    else if ((pipe->readers == 0) != (pipe->writers == 0))
        wake_ends(pipe, POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLERR | POLLHUP);
}

static const struct file_operations pipe_operations = {
    .name = "pipe",
    .read = pipe_read,
    .write = pipe_write,
    .ioctl = pipe_ioctl,
    .fcntl = pipe_fcntl,
    .poll = pipe_poll,
    .stat = pipe_stat,
    .release = pipe_release,
    .wakes = true,
};

/* A FIFO shows the inode that has its name. */
static const struct file_operations fifo_operations = {
    .name = "pipe",
    .read = pipe_read,
    .write = pipe_write,
    .ioctl = pipe_ioctl,
    .fcntl = pipe_fcntl,
    .poll = pipe_poll,
    .release = pipe_release,
    .wakes = true,
};

/* ---- opening ---- */

static struct pipe *create_pipe(void)
{
    static uint64_t pipes;
    struct pipe *pipe = core_allocate(sizeof(*pipe));
    struct slot *slots = core_allocate(SLOTS_DEFAULT * sizeof(*slots));

    if (pipe == NULL || slots == NULL) {
        core_release(pipe, sizeof(*pipe));
        core_release(slots, SLOTS_DEFAULT * sizeof(*slots));
        return NULL;
    }
    *pipe = (struct pipe){.slots = slots, .slot_count = SLOTS_DEFAULT, .inode = INODE_FIRST + pipes++};
    return pipe;
}

/* Makes the file, whose flags say which, an end of the pipe; false: no memory. */
static bool add_end(struct pipe *pipe, struct file *file)
{
    struct end *end = core_allocate(sizeof(*end));

    if (end == NULL)
        return false;
    *end = (struct end){.next = pipe->ends, .pipe = pipe, .file = file, .writers_then = pipe->writers_ever};
    pipe->ends = end;
    pipe->readers += file_is_readable(file);
    pipe->writers += file_is_writable(file);
    pipe->readers_ever += file_is_readable(file);
    pipe->writers_ever += file_is_writable(file);
    file->own = end;
    return true;
}

/* A new end of the pipe; NULL: no memory. */
static struct file *open_end(struct pipe *pipe, unsigned flags)
{
    struct file *file = file_create(&pipe_operations, flags, NULL);

    if (file == NULL || add_end(pipe, file))
        return file;
    core_release(file, sizeof(*file));
    return NULL;
}

/* Waits until somebody holds the other end, or has come and left again. */
static error_t wait_for_other(const struct pipe *pipe, const struct file *file)
{
    bool reads = file_is_readable(file), writes = file_is_writable(file);
    const unsigned *others = reads ? &pipe->writers : &pipe->readers;
    const unsigned *ever = reads ? &pipe->writers_ever : &pipe->readers_ever, then = *ever;

    if (reads && writes)
        return E_SUCCESS;
    while (*others == 0 && *ever == then) {
        if (file->flags & O_NONBLOCK)
            return reads ? E_SUCCESS : E_NXIO;
        if (wait_for_change(file) != 0)
            return E_RESTART;
    }
    return E_SUCCESS;
}

error_t pipe_open_fifo(struct file *file, struct node *node)
{
    struct pipe **home = (struct pipe **)node_own(node), *pipe = *home != NULL ? *home : create_pipe();
    const struct file_operations *before = file->operations;
    error_t error;

    if (pipe == NULL)
        return E_NOMEM;
    if (!add_end(pipe, file)) {
        if (pipe->ends == NULL)
            destroy_pipe(pipe);
        return E_NOMEM;
    }
    file->operations = &fifo_operations;
    pipe->home = home;
    *home = pipe;
    wake_ends(pipe, POLLOUT | POLLWRNORM);
    error = wait_for_other(pipe, file);
    if (error != E_SUCCESS) {
        pipe_release(file);
        file->operations = before;
    }
    return error;
}

/* Both ends of a new pipe; E_NOMEM. */
static error_t create_ends(struct file *ends[2], unsigned flags)
{
    struct pipe *pipe = create_pipe();

    if (pipe == NULL)
        return E_NOMEM;
    ends[0] = open_end(pipe, flags & ~(unsigned)O_DIRECT);
    ends[1] = ends[0] != NULL ? open_end(pipe, flags | O_WRONLY) : NULL;
    if (ends[1] != NULL)
        return E_SUCCESS;
    if (ends[0] != NULL)
        file_release(ends[0]);
    else
        destroy_pipe(pipe);
    return E_NOMEM;
}

long linux_pipe2(int *user, int flags)
{
    bool close_on_exec = (flags & O_CLOEXEC) != 0;
    struct file *ends[2];
    long fds[2];
    error_t error;

    if (flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT))
        return -E_INVAL;
    error = create_ends(ends, (unsigned)flags);
    if (error != E_SUCCESS)
        return -error;
    fds[0] = file_install(ends[0], 0, close_on_exec);
    fds[1] = fds[0] >= 0 ? file_install(ends[1], 0, close_on_exec) : fds[0];
    if (fds[1] < 0) {
        if (fds[0] >= 0)
            linux_close((int)fds[0]);
        else
            file_release(ends[0]);
        file_release(ends[1]);
        return fds[1];
    }
    if (user_write(user, (int[]){(int)fds[0], (int)fds[1]}, 2 * sizeof(int)) == E_SUCCESS)
        return 0;
    linux_close((int)fds[0]);
    linux_close((int)fds[1]);
    return -E_FAULT;
}

long linux_pipe(int *user)
{
    return linux_pipe2(user, 0);
}
