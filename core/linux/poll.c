/* poll and ppoll: the files are looked at again and again until something has happened. */
#include "core/clock.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/file.h"
#include "core/linux/wait.h"

/* Fills in what happened to one descriptor; true if something did. */
static bool poll_one(struct linux_pollfd *poll)
{
    const unsigned always = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
    struct file *file = linux_file_usable(poll->descriptor);
    unsigned happened;

    poll->happened = 0;
    if (poll->descriptor < 0)
        return false;
    if (file == NULL) {
        poll->happened = POLLNVAL;
        return true;
    }
    happened = file->operations->poll != NULL ? file->operations->poll(file) : always;
    poll->happened = (int16_t)(happened & (unsigned)poll->events);
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
    if (count > linux_descriptor_limit())
        return -E_INVAL;
    for (;;) {
        long happened = poll_all(list, count);
        error_t error;

        if (happened != 0 || end == 0)
            return happened;
        error = linux_wait(end);
        if (error != E_SUCCESS)
            return error == E_TIMEDOUT ? 0 : -error;
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
