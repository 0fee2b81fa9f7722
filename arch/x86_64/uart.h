/* The UART as a console, by console.c, which has the lock. Nothing but the first two is called where there is none. */
#ifndef ARCH_UART_H
#define ARCH_UART_H

#include "core/base/types.h"

/* Looks at the first PC port; then where the firmware says. False: there is no UART. */
bool uart_init(void);
bool uart_find(void);

void uart_write(const char *bytes, size_t length);
size_t uart_read(char *bytes, size_t length);
/* The machine is about to end: output waits no longer than some seconds without progress. */
void uart_begin_end(void);
/* Until the last byte has left. */
void uart_drain(void);

#endif
