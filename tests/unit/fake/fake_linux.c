/*
 * What core/linux asks of the machine and of its other parts, for tests of the file system on the host. The program's
 * memory is the test's own; the first 64 KiB of addresses are not there.
 */
#include <string.h>

#include "fake_linux.h"

#include "core/clock.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/events.h"
#include "core/linux/node.h"
#include "core/linux/wait.h"
#include "machine.h"

struct archive fake_files;
int fake_signal;

static uint64_t now = 1000000000000000000u;

static bool is_there(const void *address)
{
    return (uintptr_t)address >= NULL_GUARD_END;
}

static size_t copy(void *to, const void *from, size_t length)
{
    if (length > 0 && (!is_there(to) || !is_there(from)))
        return length;
    memmove(to, from, length);
    return 0;
}

size_t user_read_left(void *to, const void *user, size_t length)
{
    return copy(to, user, length);
}

size_t user_write_left(void *user, const void *from, size_t length)
{
    return copy(user, from, length);
}

error_t user_read(void *to, const void *user, size_t length)
{
    return copy(to, user, length) > 0 ? E_FAULT : E_SUCCESS;
}

error_t user_write(void *user, const void *from, size_t length)
{
    return copy(user, from, length) > 0 ? E_FAULT : E_SUCCESS;
}

intptr_t user_string_length(const char *string, size_t max)
{
    return is_there(string) ? (intptr_t)strnlen(string, max) : -E_FAULT;
}

/* Nobody else waits. */
void linux_wake_waiting(void)
{
}

void linux_wake_waiting_for(const struct file *file)
{
    (void)file;
}

uint64_t clock_realtime(void)
{
    return now += 1000;
}

long linux_getrandom(void *buffer, size_t length, unsigned flags)
{
    (void)flags;
    memset(buffer, 0x5a, length);
    return (long)length;
}

uint64_t linux_descriptor_limit(void)
{
    return 1024;
}

uint64_t linux_file_size_limit(void)
{
    return UINT64_MAX;
}

void linux_send_signal(int signal)
{
    fake_signal = signal;
}

error_t linux_wait(uint64_t deadline)
{
    (void)deadline;
    return E_INTR;
}

error_t linux_wait_for(const struct file *file, uint64_t deadline)
{
    (void)file;
    return linux_wait(deadline);
}

struct archive *linux_files(void)
{
    return &fake_files;
}

error_t pipe_open_fifo(struct file *file, struct node *node)
{
    (void)file, (void)node;
    return E_NXIO;
}

const struct file_operations console_operations = {.name = "/dev/console"};

void files_note_use(struct file *file)
{
    (void)file;
}

bool file_defer_release(bool in_use)
{
    (void)in_use;
    return false;
}
