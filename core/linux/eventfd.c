/* eventfd(2): a counter that reads and writes as a file. */
#include "core/allocate.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/events.h"
#include "core/linux/wait.h"

#define EFD_SEMAPHORE 1

struct event {
    uint64_t count; /* UINT64_MAX is never reached */
    bool semaphore;
};

static long event_read(struct file *file, void *user, size_t length, uint64_t *offset)
{
    struct event *event = file->own;
    uint64_t value;

    (void)offset;
    if (length < sizeof(value))
        return -E_INVAL;
    while (event->count == 0) {
        if (file->flags & O_NONBLOCK)
            return -E_AGAIN;
        if (linux_wait_for(file, WAIT_FOR_EVER) == E_INTR)
            return -E_RESTART;
    }
    value = event->semaphore ? 1 : event->count;
    event->count -= value;
    file_wake(file, POLLOUT);
    /* As on Linux the count is gone even if it cannot be delivered. */
    return user_write(user, &value, sizeof(value)) != E_SUCCESS ? -E_FAULT : (long)sizeof(value);
}

static long event_write(struct file *file, const void *user, size_t length, uint64_t *offset)
{
    struct event *event = file->own;
    uint64_t value;

    (void)offset;
    if (length != sizeof(value)) /* since Linux 6.9; before, more was taken for 8 */
        return -E_INVAL;
    if (user_read(&value, user, sizeof(value)) != E_SUCCESS)
        return -E_FAULT;
    if (value == UINT64_MAX)
        return -E_INVAL;
    while (UINT64_MAX - event->count <= value) {
        if (file->flags & O_NONBLOCK)
            return -E_AGAIN;
        if (linux_wait_for(file, WAIT_FOR_EVER) == E_INTR)
            return -E_RESTART;
    }
    event->count += value;
    file_wake(file, POLLIN);
    return sizeof(value);
}

static unsigned event_poll(struct file *file)
{
    const struct event *event = file->own;

    return (event->count > 0 ? POLLIN : 0) | (event->count < UINT64_MAX - 1 ? POLLOUT : 0);
}

static long no_seek(struct file *file, int64_t offset, int whence)
{
    (void)file, (void)offset, (void)whence;
    return 0; /* Linux's noop_llseek */
}

static void event_release(struct file *file)
{
    core_release(file->own, sizeof(struct event));
}

static const struct file_operations event_operations = {
    .name = "anon_inode:[eventfd]",
    .read = event_read,
    .write = event_write,
    .poll = event_poll,
    .seek = no_seek,
    .release = event_release,
    .wakes = true,
};

long linux_eventfd2(unsigned value, int flags)
{
    struct event *event;
    long fd;

    if (flags & ~(EFD_SEMAPHORE | O_CLOEXEC | O_NONBLOCK))
        return -E_INVAL;
    event = core_allocate(sizeof(*event));
    if (event == NULL)
        return -E_NOMEM;
    *event = (struct event){.count = value, .semaphore = (flags & EFD_SEMAPHORE) != 0};
    fd = file_open(&event_operations, O_RDWR | ((unsigned)flags & (O_CLOEXEC | O_NONBLOCK)), event);
    if (fd < 0)
        core_release(event, sizeof(*event));
    return fd;
}

long linux_eventfd(unsigned value)
{
    return linux_eventfd2(value, 0);
}
