/* signalfd(2): signals that are pending are read as structures. Those that are not blocked are delivered as ever. */
#include "core/allocate.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/events.h"
#include "core/linux/signals.h"
#include "core/linux/wait.h"

struct signalfd_siginfo {
    uint32_t signal;
    int32_t error, code;
    uint32_t pid, uid;
    int32_t fd;
    uint32_t timer, band, overrun, trap;
    int32_t status, integer;
    uint64_t pointer, user_time, system_time, address;
    uint8_t unused[48];
};
_Static_assert(sizeof(struct signalfd_siginfo) == 128, "struct signalfd_siginfo of Linux");

struct signalfd {
    uint64_t mask;
};

static struct signalfd_siginfo describe(const struct signal_info *info)
{
    struct signalfd_siginfo result = {.signal = (uint32_t)info->signal, .error = info->error, .code = info->code};

    if (info->code == SI_TIMER) {
        result.timer = (uint32_t)info->timer.id;
        result.overrun = (uint32_t)info->timer.overrun;
        result.pointer = info->timer.value;
        result.integer = (int32_t)info->timer.value;
    } else if (info->code > 0 && info->code != SI_KERNEL) { /* an exception */
        result.address = info->address;
    } else {
        result.pid = (uint32_t)info->sender.pid;
        result.uid = info->sender.uid;
        if (info->code < 0 && info->code != SI_TKILL) { /* sent with a value */
            result.pointer = info->sender.value;
            result.integer = (int32_t)info->sender.value;
        }
    }
    return result;
}

/* The first one, waited for if the file waits; E_AGAIN, E_INTR. */
static error_t take_first(struct file *file, struct signal_info *info)
{
    const struct signalfd *signals = file->own;

    while (signal_take(signals->mask, info) == 0) {
        if (file->flags & O_NONBLOCK)
            return E_AGAIN;
        if (linux_wait(WAIT_FOR_EVER) == E_INTR)
            return E_RESTART;
    }
    return E_SUCCESS;
}

static long signals_read(struct file *file, void *user, size_t length, uint64_t *offset)
{
    const struct signalfd *signals = file->own;
    struct signalfd_siginfo *to = user;
    size_t room = length / sizeof(*to), done = 0;
    struct signal_info info;
    error_t error;

    (void)offset;
    if (room == 0)
        return -E_INVAL;
    error = take_first(file, &info);
    if (error != E_SUCCESS)
        return -error;
    do {
        struct signalfd_siginfo one = describe(&info);

        if (user_write(&to[done], &one, sizeof(one)) != E_SUCCESS)
            return done > 0 ? (long)(done * sizeof(one)) : -E_FAULT;
        done++;
    } while (done < room && signal_take(signals->mask, &info) != 0);
    return (long)(done * sizeof(*to));
}

static unsigned signals_poll(struct file *file)
{
    const struct signalfd *signals = file->own;

    return (own_signals.pending.set | process_signals.pending.set) & signals->mask ? POLLIN : 0;
}

static long signals_seek(struct file *file, int64_t offset, int whence)
{
    (void)file, (void)offset, (void)whence;
    return 0; /* Linux's noop_llseek */
}

static void signals_release(struct file *file)
{
    core_release(file->own, sizeof(struct signalfd));
}

static const struct file_operations signals_operations = {
    .name = "anon_inode:[signalfd]",
    .read = signals_read,
    .poll = signals_poll,
    .seek = signals_seek,
    .release = signals_release,
};

static long change_mask(int fd, uint64_t mask)
{
    struct file *file = linux_file_usable(fd);

    if (file == NULL)
        return -E_BADF;
    if (file->operations != &signals_operations)
        return -E_INVAL;
    ((struct signalfd *)file->own)->mask = mask;
    return fd;
}

long linux_signalfd4(int fd, const uint64_t *user, size_t size, int flags)
{
    struct signalfd *signals;
    uint64_t mask;
    long created;

    if (size != sizeof(mask))
        return -E_INVAL;
    if (user_read(&mask, user, sizeof(mask)) != E_SUCCESS)
        return -E_FAULT;
    if (flags & ~(O_CLOEXEC | O_NONBLOCK))
        return -E_INVAL;
    mask &= ~(signal_bit(SIGKILL) | signal_bit(SIGSTOP));
    if (fd != -1)
        return change_mask(fd, mask);
    signals = core_allocate(sizeof(*signals));
    if (signals == NULL)
        return -E_NOMEM;
    signals->mask = mask;
    created = file_open(&signals_operations, O_RDWR | (unsigned)flags, signals);
    if (created < 0)
        core_release(signals, sizeof(*signals));
    return created;
}

long linux_signalfd(int fd, const uint64_t *mask, size_t size)
{
    return linux_signalfd4(fd, mask, size, 0);
}
