/*
 * The terminal behind descriptors 0, 1 and 2, over the byte contract of core/console.h.
 *
 * Input goes through a line discipline like Linux's (termios(3)): in canonical mode it is collected, echoed and edited
 * as a line; otherwise bytes are handed out as they come. It is collected while the program waits, and now and then
 * while one computes that handles Ctrl-C, or whose other threads wait for input (handlers.c), which is enough as long
 * as the serial port's buffer holds what was typed ahead. Output is passed on unchanged, without the "\n" to "\r\n" of
 * OPOST: the bytes a program writes are the bytes that arrive.
 */
#include "core/console.h"

#include "core/base/string.h"
#include "core/clock.h"
#include "core/cpu.h"
#include "core/linux/calls.h"
#include "core/linux/file.h"
#include "core/linux/process.h"
#include "core/linux/wait.h"
#include "core/power.h"

#define LINE_SIZE 4096 /* as Linux's: longer lines are cut */

#define CONTROL(letter) ((letter)&0x1f)
#define DELETE 0x7f
#define CONSOLE_DEVICE (4u << 8 | 64u) /* ttyS0 */

static struct linux_termios settings = {
    .input = ICRNL,
    .control = CONTROL_115200_8N1,
    .local = ISIG | ICANON | ECHO | ECHOE | ECHOK | IEXTEN,
    .characters =
        {
            [VINTR] = CONTROL('C'),
            [VQUIT] = CONTROL('\\'),
            [VERASE] = DELETE,
            [VKILL] = CONTROL('U'),
            [VEOF] = CONTROL('D'),
            [VMIN] = 1,
            [VSTART] = CONTROL('Q'),
            [VSTOP] = CONTROL('S'),
            [VSUSP] = CONTROL('Z'),
            [VREPRINT] = CONTROL('R'),
            [VDISCARD] = CONTROL('O'),
            [VWERASE] = CONTROL('W'),
            [VLNEXT] = CONTROL('V'),
        },
};
static struct linux_winsize window; /* 0: unknown, as on a serial line of Linux */

/* The line being read: [taken, complete) can be handed out, [complete, length) may still be edited. */
static char line[LINE_SIZE];
static size_t line_taken, line_complete, line_length;
/* VEOF was typed: nothing more is taken in until all that is complete, or the 0 of an empty line, was handed out. */
static bool line_stopped, line_end_of_file;

static bool canonical(void)
{
    return (settings.local & ICANON) != 0;
}

/* A setting of 0 disables the control character: a NUL byte is none. */
static bool is_control(char c, int index)
{
    return c != '\0' && (uint8_t)c == settings.characters[index];
}

static bool ends_line(char c)
{
    return c == '\n' || is_control(c, VEOL);
}

static void echo(const char *bytes, size_t length)
{
    if (settings.local & ECHO)
        console_write(bytes, length);
}

static void erase_last(void)
{
    if (line_length > line_complete) {
        line_length--;
        echo("\b \b", 3);
    }
}

/* Puts a byte on the line; true if that makes input complete. */
static bool keep(char c)
{
    bool end = ends_line(c);

    /* The last place is kept for the line's end: what does not fit is dropped. */
    if (line_length < LINE_SIZE - 1 || (end && line_length < LINE_SIZE)) {
        line[line_length++] = c;
        echo(&c, 1);
    }
    if (end)
        line_complete = line_length;
    return end;
}

/* Editing and signals of canonical mode; false if the byte is an ordinary one. */
static bool edit(char c)
{
    if (is_control(c, VERASE)) {
        erase_last();
    } else if (is_control(c, VKILL)) {
        while (line_length > line_complete)
            erase_last();
    } else if (is_control(c, VEOF)) {
        line_stopped = true;
        line_end_of_file = line_length == line_complete;
        line_complete = line_length;
    } else {
        return false;
    }
    return true;
}

static void receive(char c)
{
    if (c == '\r' && (settings.input & IGNCR))
        return;
    if (c == '\r' && (settings.input & ICRNL))
        c = '\n';
    else if (c == '\n' && (settings.input & INLCR))
        c = '\r';
    if ((settings.local & ISIG) && is_control(c, VINTR)) {
        echo("^C\n", 3);
        linux_send_signal(SIGINT);
        return;
    }
    if (canonical() && edit(c))
        return;
    keep(c);
    if (!canonical())
        line_complete = line_length;
}

/* Takes in what has arrived, as long as the line has room: more stays in the port. True: something had. */
static bool collect(void)
{
    bool any = false;
    char c;

    if (line_taken > 0) {
        memmove(line, line + line_taken, line_length - line_taken);
        line_length -= line_taken;
        line_complete -= line_taken;
        line_taken = 0;
    }
    /* A line that is too long by itself is taken in to its end all the same. */
    while ((line_length < LINE_SIZE - 1 || line_complete == 0) && !line_stopped && console_read(&c, 1) == 1) {
        receive(c);
        any = true;
    }
    return any;
}

bool console_look(void)
{
    bool asked = power_button_pressed();

    if (asked)
        linux_send_signal(SIGTERM);
    return collect() || asked;
}

static bool has_input(void)
{
    if (collect())
        linux_wake_waiting();
    if (line_taken < line_complete || line_end_of_file)
        return true;
    if (QUIRE_THREADS && linux_thread_count() > 1)
        linux_watch_console();
    return false;
}

/* Bytes that one read may take: in canonical mode no further than the end of the first line. */
static size_t available(size_t length)
{
    size_t count = line_complete - line_taken;

    if (count > length)
        count = length;
    for (size_t i = 0; canonical() && i < count; i++)
        if (ends_line(line[line_taken + i]))
            return i + 1;
    return count;
}

/* Until when a read waits: for ever, or in raw mode without VMIN as long as VTIME (tenths of a second) says. */
static uint64_t wait_end(void)
{
    if (canonical() || settings.characters[VMIN] > 0)
        return UINT64_MAX;
    return linux_deadline(settings.characters[VTIME] * 100000000ull);
}

static long console_file_read(struct file *file, void *buffer, size_t length, uint64_t *offset)
{
    bool wait = !(file->flags & O_NONBLOCK);
    uint64_t end = wait_end();
    size_t count;
    long done;

    (void)offset;
    if (length == 0)
        return 0;
    while (!has_input()) {
        error_t error;

        if (!wait)
            return -E_AGAIN;
        error = linux_wait(end);
        if (error == E_TIMEDOUT)
            return 0;
        if (error != E_SUCCESS)
            return -E_RESTART;
    }
    count = available(length);
    done = linux_user_write(buffer, line + line_taken, count);
    if (done < 0)
        return done;
    line_taken += (size_t)done;
    if (count == 0)
        line_end_of_file = false;
    if (line_taken == line_complete)
        line_stopped = line_end_of_file;
    return done;
}

static long console_file_write(struct file *file, const void *buffer, size_t length, uint64_t *offset)
{
    char part[256];
    size_t done = 0;

    (void)file, (void)offset;
    while (done < length) {
        size_t count = length - done < sizeof(part) ? length - done : sizeof(part);
        long copied = linux_user_read(part, (const char *)buffer + done, count);

        if (copied < 0)
            return done > 0 ? (long)done : copied;
        console_write(part, (size_t)copied);
        done += (size_t)copied;
    }
    return (long)done;
}

static long set_settings(const void *from, bool flush)
{
    struct linux_termios wanted;

    if (user_read(&wanted, from, sizeof(wanted)) != E_SUCCESS)
        return -E_FAULT;
    settings = wanted;
    settings.output = 0; /* no output processing: see the top */
    if (flush) {
        char c;

        while (console_read(&c, 1) == 1)
            ;
        line_taken = line_complete = line_length = 0;
        line_stopped = line_end_of_file = false;
    }
    if (!canonical())
        line_complete = line_length;
    return 0;
}

static long console_file_ioctl(struct file *file, unsigned request, unsigned long address)
{
    void *argument = (void *)address;
    struct linux_winsize size;
    int number;

    (void)file;
    switch (request) {
    case TCGETS:
        return -user_write(argument, &settings, sizeof(settings));
    case TCSETS:
    case TCSETSW:
    case TCSETSF:
        return set_settings(argument, request == TCSETSF);
    case TIOCGWINSZ:
        return -user_write(argument, &window, sizeof(window));
    case TIOCSWINSZ:
        if (user_read(&size, argument, sizeof(size)) != E_SUCCESS)
            return -E_FAULT;
        window = size;
        return 0;
    case TIOCGPGRP:
        number = 1;
        return -user_write(argument, &number, sizeof(number));
    case FIONREAD:
        collect();
        number = (int)(line_complete - line_taken);
        return -user_write(argument, &number, sizeof(number));
    default:
        return -E_NOTTY;
    }
}

static unsigned console_file_poll(struct file *file)
{
    (void)file;
    return POLLOUT | POLLWRNORM | (has_input() ? POLLIN | POLLRDNORM : 0);
}

static void console_file_stat(struct file *file, struct linux_stat *stat)
{
    if (file->node != NULL) {
        file_hooks->stat(file->node, stat);
        return;
    }
    stat->mode = LINUX_S_IFCHR | 0620;
    stat->special_device = CONSOLE_DEVICE;
}

const struct file_operations console_operations = {
    .name = "/dev/console",
    .read = console_file_read,
    .write = console_file_write,
    .ioctl = console_file_ioctl,
    .poll = console_file_poll,
    .stat = console_file_stat,
};
