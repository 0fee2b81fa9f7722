/* The console: bytes out and in. Contract, implemented by arch/x86_64/console.c, which says what it is. */
#ifndef CORE_CONSOLE_H
#define CORE_CONSOLE_H

#include "core/base/types.h"

/* First thing: true if the console is known already. If not, once boot_info is known: looks for another. */
bool console_init(void);
void console_find(void);
/* Writes all bytes, "\n" as "\r\n" is not done here; waits for as long as the reader does, and
 * only while the machine ends for some seconds (arch/x86_64/uart.c). */
void console_write(const char *bytes, size_t length);
/* The machine is about to end: from here on output waits for a reader only some seconds, anew with each call. */
void console_end(void);
/* Reads what has arrived, at most length bytes; 0 when nothing has. Never waits. */
size_t console_read(char *bytes, size_t length);

#endif
