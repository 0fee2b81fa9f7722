/* The core's start, after arch/ has brought up the CPU, the frames and the address space. */
#ifndef CORE_INIT_H
#define CORE_INIT_H

/* The line that tells the launcher that what was printed before came from firmware and loader. First of all output. */
void announce(void);

/*
 * Applies the command line, checks the machine against quire_config, puts the image on the
 * segment map, finds the packed files and starts the program. What is wrong gives one line and status 126.
 */
_Noreturn void core_main(void);

/* One line "quire: ..." (the text is a sentence without its end of line), then power off with this status. */
#define STATUS_REFUSED 126
_Noreturn void refuse(const char *format, ...) __attribute__((format(printf, 1, 2), cold));

#endif
