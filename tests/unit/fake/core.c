/* What vm/ needs of core/, for tests: printing into a buffer, and panics that end a process and can be expected. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/assert.h"
#include "core/base/print.h"
#include "fake.h"

#define STATUS_PANICKED 77

static char console[1 << 16];
static size_t console_length;
static char panic_text[512];
static int panic_pipe = -1;

/* No leak check: the tests' few buffers end with the process. Signals are reported by ASan, with a backtrace, not by
 * cmocka. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0:handle_segv=2:handle_abort=2:handle_sigfpe=2:handle_sigill=2";
}

void panic(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(panic_text, sizeof(panic_text), format, arguments);
    va_end(arguments);
    if (panic_pipe >= 0) {
        if (write(panic_pipe, panic_text, sizeof(panic_text)) != (ssize_t)sizeof(panic_text))
            _exit(EXIT_FAILURE);
        _exit(STATUS_PANICKED);
    }
    fprintf(stderr, "panic: %s\n", panic_text);
    abort();
}

bool fake_panics(void (*function)(void *), void *argument)
{
    int ends[2], status;
    pid_t child;

    fflush(NULL);
    if (pipe(ends) != 0 || (child = fork()) < 0)
        fake_violation("cannot fork");
    if (child == 0) {
        panic_pipe = ends[1];
        signal(SIGSEGV, SIG_DFL); /* cmocka's would run on in the child */
        signal(SIGABRT, SIG_DFL);
        function(argument);
        _exit(EXIT_SUCCESS);
    }
    close(ends[1]);
    panic_text[0] = '\0';
    if (read(ends[0], panic_text, sizeof(panic_text)) < 0)
        fake_violation("cannot read the message of a panic");
    close(ends[0]);
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
        fake_violation("a call that should panic ended in another way");
    return WEXITSTATUS(status) == STATUS_PANICKED;
}

const char *fake_panic_text(void)
{
    return panic_text;
}

int text_vformat(char *buffer, size_t size, const char *format, va_list arguments)
{
    return vsnprintf(buffer, size, format, arguments);
}

int text_format(char *buffer, size_t size, const char *format, ...)
{
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(buffer, size, format, arguments);
    va_end(arguments);
    return length;
}

void kprintf(const char *format, ...)
{
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(console + console_length, sizeof(console) - console_length, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof(console) - console_length)
        fake_violation("more console output than a test expects");
    console_length += (size_t)length;
}

const char *fake_console(void)
{
    static char text[sizeof(console)];

    memcpy(text, console, console_length);
    text[console_length] = '\0';
    console_length = 0;
    return text;
}

const char *error_name(error_t error)
{
    static char text[16];

    snprintf(text, sizeof(text), "error %d", error);
    return text;
}
