/* The start of the program. */
#ifndef CORE_PROGRAM_H
#define CORE_PROGRAM_H

#include "core/command_line.h"

/*
 * Makes the stack segment, lays out arguments, environment and auxiliary vector on it as Linux does, and enters the
 * program at _start. Refuses (core/init.h) if they do not fit or the stack cannot be had.
 */
_Noreturn void program_start(const struct command_line *);

#endif
