/*
 * poll and select: the files are asked again and again until something has happened. What is reported is what was true
 * in the last look.
 */
#include "core/allocate.h"
#include "core/base/string.h"
#include "core/clock.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/events.h"
#include "core/linux/signals.h"
#include "core/linux/wait.h"

#define SECOND 1000000000ull

unsigned file_poll(struct file *file)
{
    const unsigned always = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;

    return file->operations->poll != NULL ? file->operations->poll(file) : always;
}

/* ---- time-outs: 0 is not to wait at all ---- */

/* Asked for even then: what was left to a call that is begun again may be 0. */
static uint64_t deadline_of(uint64_t span)
{
    uint64_t deadline = linux_deadline(span);

    return span == 0 ? 0 : deadline;
}

/* Writes what is left of the time to where it came from; as on Linux nobody hears of it if that fails. */
static void return_rest(uint64_t deadline, struct linux_timespec *timeout)
{
    uint64_t now = clock_monotonic(), rest = deadline > now ? deadline - now : 0;
    struct linux_timespec value = {.seconds = (int64_t)(rest / SECOND), .nanoseconds = (int64_t)(rest % SECOND)};

    if (timeout != NULL && deadline != 0)
        (void)user_write(timeout, &value, sizeof(value));
}

static error_t deadline_of_span(const struct linux_timespec *timeout, uint64_t *deadline)
{
    uint64_t span;
    error_t error;

    *deadline = WAIT_FOR_EVER;
    if (timeout == NULL)
        return E_SUCCESS;
    error = linux_read_span(timeout, &span);
    if (error == E_SUCCESS)
        *deadline = deadline_of(span);
    return error;
}

/* ---- poll ---- */

#define POLLED_AT_ONCE 32u /* structures on the stack */

/* Fills in what happened to one descriptor; true if something did. */
static bool poll_one(struct linux_pollfd *poll)
{
    struct file *file = linux_file_usable(poll->descriptor);

    poll->happened = 0;
    if (poll->descriptor < 0)
        return false;
    if (file == NULL)
        poll->happened = POLLNVAL;
    else
        poll->happened = (int16_t)(file_poll(file) & ((uint16_t)poll->events | POLLERR | POLLHUP));
    return poll->happened != 0;
}

static long poll_all(struct linux_pollfd *list, unsigned count)
{
    struct linux_pollfd part[POLLED_AT_ONCE];
    long happened = 0;

    for (unsigned done = 0; done < count;) {
        unsigned length = count - done < POLLED_AT_ONCE ? count - done : POLLED_AT_ONCE;

        if (user_read(part, list + done, length * sizeof(*part)) != E_SUCCESS)
            return -E_FAULT;
        for (unsigned i = 0; i < length; i++)
            happened += poll_one(&part[i]);
        if (user_write(list + done, part, length * sizeof(*part)) != E_SUCCESS)
            return -E_FAULT;
        done += length;
    }
    return happened;
}

static long poll_until(struct linux_pollfd *list, unsigned count, uint64_t deadline)
{
    if (count > linux_descriptor_limit())
        return -E_INVAL;
    for (;;) {
        long happened = poll_all(list, count);
        error_t error;

        if (happened != 0 || deadline == 0)
            return happened;
        error = linux_wait(deadline);
        if (error != E_SUCCESS)
            return error == E_TIMEDOUT ? 0 : -error;
    }
}

long linux_poll(struct linux_pollfd *list, unsigned count, int timeout)
{
    if (timeout <= 0)
        return poll_until(list, count, timeout == 0 ? 0 : WAIT_FOR_EVER);
    return poll_until(list, count, linux_deadline((uint64_t)timeout * 1000000));
}

long linux_ppoll(struct linux_pollfd *list, unsigned count, struct linux_timespec *timeout, const uint64_t *mask,
                 size_t size)
{
    uint64_t deadline;
    error_t error = deadline_of_span(timeout, &deadline);
    long result;

    if (error == E_SUCCESS)
        error = linux_temporary_mask(mask, size);
    if (error != E_SUCCESS)
        return -error;
    result = poll_until(list, count, deadline);
    return_rest(deadline, timeout);
    return result;
}

/* ---- select ---- */

enum { IN, OUT, EXCEPTIONAL, SETS };

#define WORD_BITS 64u
#define FEW_WORDS 16u /* of each set: 1,024 descriptors are kept on the stack */

struct selection {
    unsigned count, words;
    uint64_t *asked[SETS], *happened[SETS];
    uint64_t few[2 * SETS * FEW_WORDS];
};

static size_t selection_bytes(const struct selection *selection)
{
    return 2ul * SETS * selection->words * sizeof(uint64_t);
}

static void selection_release(struct selection *selection)
{
    if (selection->asked[0] != selection->few)
        core_release(selection->asked[0], selection_bytes(selection));
}

/* Copies the sets in; E_NOMEM, E_FAULT with nothing to release. */
static error_t selection_take(struct selection *selection, unsigned count, void *const user[SETS])
{
    size_t words = (count + WORD_BITS - 1) / WORD_BITS;
    uint64_t *memory = selection->few;

    selection->count = count;
    selection->words = (unsigned)words;
    if (words > FEW_WORDS)
        memory = core_allocate(selection_bytes(selection));
    if (memory == NULL)
        return E_NOMEM;
    for (int i = 0; i < SETS; i++) {
        selection->asked[i] = memory + (unsigned)i * words;
        selection->happened[i] = memory + (unsigned)(SETS + i) * words;
    }
    memset(memory, 0, selection_bytes(selection));
    for (int i = 0; i < SETS; i++)
        if (user[i] != NULL && user_read(selection->asked[i], user[i], words * sizeof(*memory)) != E_SUCCESS) {
            selection_release(selection);
            return E_FAULT;
        }
    return E_SUCCESS;
}

/* The descriptors of a word that are in any of the sets. */
static uint64_t asked_of(const struct selection *selection, unsigned word)
{
    unsigned last = selection->count - word * WORD_BITS;
    uint64_t all = selection->asked[IN][word] | selection->asked[OUT][word] | selection->asked[EXCEPTIONAL][word];

    return last < WORD_BITS ? all & (((uint64_t)1 << last) - 1) : all;
}

/* What the events of a descriptor count as (fs/select.c). */
static const unsigned set_events[SETS] = {
    [IN] = POLLNVAL | POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR,
    [OUT] = POLLNVAL | POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR,
    [EXCEPTIONAL] = POLLNVAL | POLLPRI,
};

static long select_one(struct selection *selection, unsigned fd)
{
    unsigned word = fd / WORD_BITS;
    uint64_t bit = (uint64_t)1 << fd % WORD_BITS;
    struct file *file = linux_file_usable((int)fd);
    unsigned events = file != NULL ? file_poll(file) : POLLNVAL;
    long happened = 0;

    for (int i = 0; i < SETS; i++)
        if ((selection->asked[i][word] & bit) && (events & set_events[i])) {
            selection->happened[i][word] |= bit;
            happened++;
        }
    return happened;
}

static long select_all(struct selection *selection)
{
    long happened = 0;

    for (unsigned word = 0; word < selection->words; word++)
        for (uint64_t left = asked_of(selection, word); left != 0; left &= left - 1)
            happened += select_one(selection, word * WORD_BITS + (unsigned)__builtin_ctzll(left));
    return happened;
}

static error_t check_descriptors(const struct selection *selection)
{
    for (unsigned word = 0; word < selection->words; word++)
        for (uint64_t left = asked_of(selection, word); left != 0; left &= left - 1)
            if (linux_file((int)(word * WORD_BITS) + __builtin_ctzll(left)) == NULL)
                return E_BADF;
    return E_SUCCESS;
}

static long select_until(struct selection *selection, uint64_t deadline)
{
    error_t error = check_descriptors(selection);

    if (error != E_SUCCESS)
        return -error;
    for (;;) {
        long happened = select_all(selection);

        if (happened != 0 || deadline == 0)
            return happened;
        error = linux_wait(deadline);
        if (error != E_SUCCESS)
            return error == E_TIMEDOUT ? 0 : -error;
    }
}

/* count: descriptors from 0 on. Those that the table has no place for are left out, as Linux leaves them out. */
static long select_sets(int count, void *const user[SETS], uint64_t deadline)
{
    struct selection selection;
    long result;
    error_t error;

    if (count < 0)
        return -E_INVAL;
    if (count > linux_descriptor_places())
        count = linux_descriptor_places();
    error = selection_take(&selection, (unsigned)count, user);
    if (error != E_SUCCESS)
        return -error;
    result = select_until(&selection, deadline);
    for (int i = 0; i < SETS && result >= 0; i++)
        if (user[i] != NULL &&
            user_write(user[i], selection.happened[i], selection.words * sizeof(uint64_t)) != E_SUCCESS)
            result = -E_FAULT;
    selection_release(&selection);
    return result;
}

/* Microseconds may be more than a second, but neither part negative. */
static error_t deadline_of_timeval(const struct linux_timeval *user, uint64_t *deadline)
{
    const int64_t most = 1 << 30; /* seconds: longer than any machine runs */
    struct linux_timeval span;
    uint64_t nanoseconds;

    *deadline = WAIT_FOR_EVER;
    if (user == NULL)
        return E_SUCCESS;
    if (user_read(&span, user, sizeof(span)) != E_SUCCESS)
        return E_FAULT;
    span.seconds = (int64_t)((uint64_t)span.seconds + (uint64_t)(span.microseconds / 1000000));
    span.microseconds %= 1000000;
    if (span.seconds < 0 || span.microseconds < 0)
        return E_INVAL;
    nanoseconds = (uint64_t)(span.seconds < most ? span.seconds : most) * SECOND + (uint64_t)span.microseconds * 1000;
    *deadline = deadline_of(nanoseconds);
    return E_SUCCESS;
}

long linux_select(int count, void *in, void *out, void *exceptional, struct linux_timeval *timeout)
{
    uint64_t deadline, now, rest;
    error_t error = deadline_of_timeval(timeout, &deadline);
    struct linux_timeval left;
    long result;

    if (error != E_SUCCESS)
        return -error;
    result = select_sets(count, (void *const[]){in, out, exceptional}, deadline);
    if (timeout == NULL || deadline == 0)
        return result;
    now = clock_monotonic();
    rest = deadline > now ? deadline - now : 0;
    left = (struct linux_timeval){(int64_t)(rest / SECOND), (int64_t)(rest % SECOND / 1000)};
    (void)user_write(timeout, &left, sizeof(left));
    return result;
}

long linux_pselect6(int count, void *in, void *out, void *exceptional, struct linux_timespec *timeout,
                    const uintptr_t *mask_and_size)
{
    uintptr_t mask[2] = {0, 0};
    uint64_t deadline;
    error_t error = E_SUCCESS;
    long result;

    if (mask_and_size != NULL && user_read(mask, mask_and_size, sizeof(mask)) != E_SUCCESS)
        return -E_FAULT;
    error = deadline_of_span(timeout, &deadline);
    if (error == E_SUCCESS)
        error = linux_temporary_mask((const uint64_t *)mask[0], mask[1]);
    if (error != E_SUCCESS)
        return -error;
    result = select_sets(count, (void *const[]){in, out, exceptional}, deadline);
    return_rest(deadline, timeout);
    return result;
}
