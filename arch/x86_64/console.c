/*
 * Which device is the console (core/console.h): the first of
 *
 *     a UART at the first PC port, known before anything else      (uart.c)
 *     a UART where the firmware says                               (uart.c)
 *     virtio's console                                             (virtio_console.c)
 *     the screen, in text mode or as a framebuffer                 (screen.c)
 *
 * All but the first are looked for only where there is none before it, and once the boot loader's information is known.
 * Without any of them output is dropped.
 */
#include "core/console.h"

#include "arch/x86_64/arch.h"
#include "arch/x86_64/screen.h"
#include "arch/x86_64/uart.h"
#include "arch/x86_64/virtio_console.h"
#include "core/spinlock.h"

static const struct console {
    void (*write)(const char *bytes, size_t length);
    size_t (*read)(char *bytes, size_t length);
    void (*begin_end)(void);
    void (*drain)(void);
} * console;

static const struct console uart = {uart_write, uart_read, uart_begin_end, uart_drain},
                            virtio = {virtio_console_write, virtio_console_read, NULL, NULL},
                            screen = {screen_write, NULL, NULL, screen_hold};

bool console_ending;

bool console_init(void)
{
    console = uart_init() ? &uart : NULL;
    return console != NULL;
}

void console_find(void)
{
    console = uart_find() ? &uart : virtio_console_find() ? &virtio : screen_find() ? &screen : NULL;
}

void console_end(void)
{
    console_ending = true;
    if (console && console->begin_end)
        console->begin_end();
}

void console_drain(void)
{
    if (console && console->drain)
        console->drain();
}

static struct spinlock_console lock; /* of what is written at once */

/* Whoever holds the lock already is an interrupt or a report that came in between. */
void console_write(const char *bytes, size_t length)
{
    bool inside = spin_is_held(&lock);

    if (!console)
        return;
    if (!inside)
        spin_lock(&lock);
    console->write(bytes, length);
    if (!inside)
        spin_unlock(&lock);
}

size_t console_read(char *bytes, size_t length)
{
    return console && console->read ? console->read(bytes, length) : 0;
}
