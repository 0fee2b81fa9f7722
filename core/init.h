/* The core's start, after arch/ has brought up the CPU, the frames and the address space. */
#ifndef CORE_INIT_H
#define CORE_INIT_H

#include "core/command_line.h"

/* The line that tells the launcher that what was printed before came from firmware and loader. First of all output. */
void announce(void);

/*
 * The words of the image's and of the loader's command line, read and applied the first time; boot_info must be there.
 * Refuses what is wrong with them.
 */
const struct command_line *core_command_line(void);

/*
 * Checks the machine against quire_config, puts the image on the segment map, starts the parts of the system-call
 * interface that the image has, and the program. What is wrong gives one line and status 126.
 */
_Noreturn void core_main(void);

/* One line "quire: ..." (the text is a sentence without its end of line), then power off with this status. */
#define STATUS_REFUSED 126
_Noreturn void refuse(const char *format, ...) __attribute__((format(printf, 1, 2), cold));

#endif
