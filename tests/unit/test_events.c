/*
 * Pipes, eventfd and epoll on simulated RAM: random operations against naive models, and every frame is given back,
 * also when one cannot be had.
 */
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/events.h"
#include "core/linux/node.h"
#include "core/linux/process.h"
#include "core/linux/signals.h"
#include "core/linux/timers.h"
#include "core/linux/wait.h"

/* Behind the core's headers: the host's define some of the same names. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "harness.h"
#include "vm/frames.h"

/* ---- what the files under test ask of the rest of the core ---- */

const struct file_operations console_operations = {.name = "/dev/console"};
const struct timer_hooks *linux_timers;
static unsigned signals_sent, waits;
static void (*while_waiting)(void); /* what another thread does in the next wait */

void linux_wake_waiting(void)
{
}

void linux_wake_waiting_for(const struct file *file)
{
    (void)file;
}

uint64_t linux_deadline(uint64_t span)
{
    return clock_monotonic() + span;
}

error_t linux_wait(uint64_t deadline)
{
    void (*other)(void) = while_waiting;

    waits++;
    while_waiting = NULL;
    if (other != NULL) {
        other();
        return E_SUCCESS;
    }
    return deadline == WAIT_FOR_EVER ? E_INTR : E_TIMEDOUT;
}

error_t linux_wait_for(const struct file *file, uint64_t deadline)
{
    (void)file;
    return linux_wait(deadline);
}

void linux_send_signal(int signal)
{
    assert_int_equal(signal, SIGPIPE);
    signals_sent++;
}

size_t user_read_left(void *to, const void *user, size_t length)
{
    if (user == NULL)
        return length;
    memcpy(to, user, length);
    return 0;
}

size_t user_write_left(void *user, const void *from, size_t length)
{
    if (user == NULL)
        return length;
    memcpy(user, from, length);
    return 0;
}

error_t user_read(void *to, const void *user, size_t length)
{
    return user_read_left(to, user, length) > 0 ? E_FAULT : E_SUCCESS;
}

error_t user_write(void *user, const void *from, size_t length)
{
    return user_write_left(user, from, length) > 0 ? E_FAULT : E_SUCCESS;
}

void files_note_use(struct file *file)
{
    (void)file;
}

static unsigned puts_off; /* files that are destroyed once the call has ended */

bool file_defer_release(bool in_use)
{
    puts_off += in_use;
    return in_use;
}

void user_check_suspend(void)
{
}

void user_check_resume(void)
{
}

uint64_t clock_monotonic(void)
{
    return 1;
}

uint64_t linux_descriptor_limit(void)
{
    return 1024;
}

error_t linux_temporary_mask(const uint64_t *user, size_t size)
{
    (void)user, (void)size;
    return E_SUCCESS;
}

error_t linux_read_span(const struct linux_timespec *span, uint64_t *nanoseconds)
{
    *nanoseconds = (uint64_t)span->nanoseconds;
    return E_SUCCESS;
}

bool process_has_capability(unsigned number)
{
    (void)number;
    return false;
}

void **node_own(struct node *node)
{
    return (void **)node;
}

/* ---- the fixture ---- */

static size_t frames_before;

static int start(void **state)
{
    const struct frame_range ram = {MIB, 17 * MIB};

    (void)state;
    fake_ram(&ram, 1);
    assert_int_equal(frames_init(&ram, 1), E_SUCCESS);
    linux_files_init();
    frames_before = frames_free();
    return 0;
}

static int end(void **state)
{
    (void)state;
    assert_int_equal(linux_close_range(3, UINT32_MAX, 0), 0);
    assert_int_equal(frames_free(), frames_before);
    return 0;
}

/* ---- pipes ---- */

#define MODEL_SIZE (1u << 18)

struct model {
    unsigned char bytes[MODEL_SIZE];
    size_t length;
};

static void model_read(struct model *model, const unsigned char *got, size_t count)
{
    assert_true(count <= model->length);
    assert_memory_equal(model->bytes, got, count);
    memmove(model->bytes, model->bytes + count, model->length - count);
    model->length -= count;
}

static void pipe_keeps_bytes_in_order(void **state)
{
    struct random random = {harness_seed()};
    struct model *model = calloc(1, sizeof(*model));
    unsigned char buffer[20000], next = 0;
    int ends[2], waiting;

    (void)state;
    assert_int_equal(linux_pipe2(ends, O_NONBLOCK), 0);
    for (size_t i = harness_number("QUIRE_STEPS", 20000); i > 0; i--) {
        size_t length = random_below(&random, random_below(&random, 2) ? 300 : sizeof(buffer));
        long done;

        if (random_below(&random, 2)) {
            for (size_t k = 0; k < length; k++)
                buffer[k] = (unsigned char)(next + k);
            done = linux_write(ends[1], buffer, length);
            if (done == -E_AGAIN)
                continue;
            assert_true(done >= 0 && (length > 4096 || (size_t)done == length)); /* PIPE_BUF: all or nothing */
            memcpy(model->bytes + model->length, buffer, (size_t)done);
            model->length += (size_t)done;
            next = (unsigned char)(next + done);
        } else {
            done = linux_read(ends[0], buffer, length);
            assert_int_equal(done, length == 0          ? 0
                                   : model->length == 0 ? -E_AGAIN
                                                        : (long)(length < model->length ? length : model->length));
            model_read(model, buffer, done > 0 ? (size_t)done : 0);
        }
        assert_int_equal(linux_ioctl(ends[0], FIONREAD, (unsigned long)&waiting), 0);
        assert_int_equal(waiting, model->length);
        if (random_below(&random, 50) == 0) {
            long size = linux_fcntl(ends[0], F_SETPIPE_SZ, random_below(&random, 200000));

            assert_true(size == -E_BUSY || (size >= waiting && size % 4096 == 0));
        }
    }
    free(model);
    end(state);
}

static void pipe_ends(void **state)
{
    char byte = 'x';
    int ends[2];

    (void)state;
    assert_int_equal(linux_pipe2(ends, 0), 0);
    assert_int_equal(linux_read(ends[0], &byte, 1), -E_RESTART); /* waited, and a signal came */
    assert_int_equal(waits, 1);
    assert_int_equal(linux_write(ends[1], &byte, 1), 1);
    assert_int_equal(linux_write(ends[1], NULL, 5000), -E_FAULT);
    assert_int_equal(linux_close(ends[1]), 0);
    assert_int_equal(linux_read(ends[0], &byte, 1), 1);
    assert_int_equal(linux_read(ends[0], &byte, 1), 0);
    assert_int_equal(linux_close(ends[0]), 0);
    assert_int_equal(linux_pipe2(ends, 0), 0);
    assert_int_equal(linux_close(ends[0]), 0);
    assert_int_equal(linux_write(ends[1], &byte, 1), -E_PIPE);
    assert_int_equal(signals_sent, 1);
    end(state);
}

/* ---- FIFOs ---- */

static void *fifo; /* of the node */

static long open_fifo(unsigned flags)
{
    struct file *file = file_create(&console_operations, flags, NULL);
    error_t error = pipe_open_fifo(file, (struct node *)&fifo);

    assert_int_equal(error, E_SUCCESS);
    return file_install(file, 0, false);
}

static void write_and_leave(void)
{
    long end = open_fifo(O_WRONLY);

    assert_int_equal(linux_write((int)end, "left", 4), 4);
    assert_int_equal(linux_close((int)end), 0);
}

static void read_and_leave(void)
{
    assert_int_equal(linux_close((int)open_fifo(O_RDONLY)), 0);
}

/* Who waits in open for the other end has it, though that is gone again before it looks. */
static void fifo_ends_that_leave(void **state)
{
    char bytes[8];
    long end_here;

    while_waiting = write_and_leave;
    end_here = open_fifo(O_RDONLY);
    assert_int_equal(linux_read((int)end_here, bytes, sizeof(bytes)), 4);
    assert_int_equal(linux_read((int)end_here, bytes, sizeof(bytes)), 0);
    assert_int_equal(linux_close((int)end_here), 0);
    while_waiting = read_and_leave;
    end_here = open_fifo(O_WRONLY);
    assert_int_equal(linux_write((int)end_here, bytes, 1), -E_PIPE);
    assert_int_equal(linux_close((int)end_here), 0);
    signals_sent = 0;
    end(state);
}

/* ---- files that are closed while a call waits ---- */

static void wait_with(struct file *file, int close)
{
    struct file *const in_use[FILES_IN_USE] = {file};

    files_hold(in_use);
    if (close >= 0)
        assert_int_equal(linux_close(close), 0);
    files_let_go(in_use);
}

/* The call may wait again: each is destroyed once, when the call has ended. */
static void closed_while_in_use(void **state)
{
    uint64_t value = 1;
    int ends[2];
    struct file *reader, *writer;

    assert_int_equal(linux_pipe2(ends, 0), 0);
    reader = linux_file(ends[0]);
    writer = linux_file(ends[1]);
    wait_with(reader, ends[0]);
    assert_int_equal(puts_off, 1);
    wait_with(reader, -1);
    wait_with(writer, ends[1]);
    wait_with(reader, -1);
    wait_with(writer, -1);
    file_release_deferred();
    file_release_deferred();
    ends[0] = (int)linux_eventfd2(0, O_NONBLOCK);
    ends[1] = (int)linux_eventfd2(0, O_NONBLOCK);
    assert_ptr_not_equal(linux_file(ends[0]), linux_file(ends[1]));
    assert_int_equal(linux_write(ends[0], &value, sizeof(value)), sizeof(value));
    assert_int_equal(linux_read(ends[1], &value, sizeof(value)), -E_AGAIN);
    end(state);
}

/* While it is put off for one call another one waits with it. */
static void put_off_while_held(void **state)
{
    struct file *const in_use[FILES_IN_USE] = {linux_file((int)linux_eventfd(0))};
    struct file *const others[FILES_IN_USE] = {in_use[0], in_use[0]};

    wait_with(in_use[0], 3);
    files_hold(others);
    file_release_deferred();
    wait_with(in_use[0], -1);
    files_let_go(others);
    file_release_deferred();
    end(state);
}

/* ---- epoll ---- */

#define COUNTERS 32

struct counter {
    int fd;
    bool watched, once, edge, armed; /* armed: an edge is to be reported, or the one shot is not used up */
    uint64_t value;
};

static int epoll_change(int epoll, int operation, int fd, uint32_t events, uint64_t data)
{
    struct linux_epoll_event event = {events, data};

    return (int)linux_epoll_ctl(epoll, operation, fd, &event);
}

static void change_watch(struct random *random, int epoll, struct counter *counter, uint64_t number)
{
    enum { ADD = 1, DELETE, MODIFY };
    const uint32_t edge = 1u << 31, once = 1u << 30;
    int operation = 1 + (int)random_below(random, 3);
    bool is_edge = random_below(random, 2), is_once = random_below(random, 4) == 0;
    int result =
        epoll_change(epoll, operation, counter->fd, POLLIN | (is_edge ? edge : 0) | (is_once ? once : 0), number);

    if (operation == ADD && counter->watched)
        assert_int_equal(result, -E_EXIST);
    else if (operation != ADD && !counter->watched)
        assert_int_equal(result, -E_NOENT);
    else
        assert_int_equal(result, 0);
    if (result != 0)
        return;
    counter->watched = operation != DELETE;
    counter->edge = is_edge;
    counter->once = is_once;
    counter->armed = true;
}

static void check_events(int epoll, struct counter *counters)
{
    struct linux_epoll_event events[COUNTERS];
    long count = linux_epoll_wait(epoll, events, COUNTERS, 0), expected = 0;
    bool seen[COUNTERS] = {false};

    for (long i = 0; i < count; i++) {
        assert_int_equal(events[i].events, POLLIN);
        assert_false(seen[events[i].data]);
        seen[events[i].data] = true;
    }
    for (int i = 0; i < COUNTERS; i++) {
        struct counter *counter = &counters[i];
        bool ready = counter->watched && counter->value > 0 && (counter->armed || (!counter->edge && !counter->once));

        assert_int_equal(seen[i], ready);
        expected += ready;
        if (ready)
            counter->armed = false;
    }
    assert_int_equal(count, expected);
}

static void epoll_reports_what_is_ready(void **state)
{
    struct random random = {harness_seed()};
    struct counter counters[COUNTERS] = {{0}};
    int epoll = (int)linux_epoll_create1(0);
    uint64_t value;

    (void)state;
    for (int i = 0; i < COUNTERS; i++)
        counters[i].fd = (int)linux_eventfd2(0, O_NONBLOCK);
    for (size_t step = harness_number("QUIRE_STEPS", 20000); step > 0; step--) {
        uint64_t number = random_below(&random, COUNTERS);
        struct counter *counter = &counters[number];

        switch (random_below(&random, 5)) {
        case 0:
            value = 1 + random_below(&random, 3);
            assert_int_equal(linux_write(counter->fd, &value, sizeof(value)), sizeof(value));
            counter->value += value;
            counter->armed |= counter->edge && !counter->once;
            break;
        case 1:
            assert_int_equal(linux_read(counter->fd, &value, sizeof(value)), counter->value ? 8 : -E_AGAIN);
            counter->value = 0;
            break;
        case 2:
            change_watch(&random, epoll, counter, number);
            break;
        case 3:
            assert_int_equal(linux_close(counter->fd), 0);
            counters[number] = (struct counter){.fd = (int)linux_eventfd2(0, O_NONBLOCK)};
            break;
        default:
            check_events(epoll, counters);
        }
    }
    end(state);
}

static void epoll_nests_without_circles(void **state)
{
    enum { INSTANCES = 8 };
    struct random random = {harness_seed()};
    bool below[INSTANCES][INSTANCES] = {{false}};
    int epolls[INSTANCES];

    for (int i = 0; i < INSTANCES; i++)
        epolls[i] = (int)linux_epoll_create1(0);
    for (int step = 0; step < 200; step++) {
        unsigned from = (unsigned)random_below(&random, INSTANCES), to = (unsigned)random_below(&random, INSTANCES);
        int result = epoll_change(epolls[from], 1, epolls[to], POLLIN, 0);

        assert_true(result == 0 || result == (from == to ? -E_INVAL : below[from][to] ? result : -E_LOOP));
        if (result == -E_LOOP || result == -E_EXIST || result == -E_INVAL)
            continue;
        for (unsigned i = 0; i < INSTANCES; i++) /* closure: whoever reaches `from` reaches what `to` reaches */
            for (unsigned k = 0; k < INSTANCES; k++)
                below[i][k] |= (i == from || below[i][from]) && (k == to || below[to][k]);
        for (unsigned i = 0; i < INSTANCES; i++)
            assert_false(below[i][i]);
        linux_epoll_wait(epolls[from], (struct linux_epoll_event[4]){{0}}, 4, 0);
    }
    end(state);
}

/* ---- no memory ---- */

/* Makes every frame in turn fail: what was done before has to be undone. */
static void failures_leave_no_trace(void **state)
{
    static char bytes[20000];
    int ends[2];

    for (long nth = 0; nth < 12; nth++) {
        long made, written = 0, epoll;

        frames_fail_nth(nth);
        made = linux_pipe2(ends, O_NONBLOCK);
        assert_true(made == 0 || made == -E_NOMEM);
        if (made == 0)
            written = linux_write(ends[1], bytes, sizeof(bytes));
        assert_true(written >= 0 || written == -E_NOMEM);
        epoll = linux_epoll_create1(0);
        assert_true(epoll >= 0 || epoll == -E_NOMEM);
        if (made == 0 && epoll >= 0) {
            long added = epoll_change((int)epoll, 1, ends[0], POLLIN, 0);

            assert_true(added == 0 || added == -E_NOMEM);
        }
        frames_fail_nth(-1);
        end(state);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(pipe_keeps_bytes_in_order, start),
        cmocka_unit_test_setup(pipe_ends, start),
        cmocka_unit_test_setup(fifo_ends_that_leave, start),
        cmocka_unit_test_setup(closed_while_in_use, start),
        cmocka_unit_test_setup(put_off_while_held, start),
        cmocka_unit_test_setup(epoll_reports_what_is_ready, start),
        cmocka_unit_test_setup(epoll_nests_without_circles, start),
        cmocka_unit_test_setup(failures_leave_no_trace, start),
    };

    return harness_main(argc, argv, tests, sizeof(tests) / sizeof(*tests));
}
