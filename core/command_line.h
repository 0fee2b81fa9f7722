/*
 * The command line: words before `--` are for the core, words after it are the program's arguments.
 *
 *   quire.exit=debug       the status also goes to QEMU's isa-debug-exit device (core/power.h)
 *   quire.aslr=off         segments begin at the same addresses in every run
 *   quire.unmap=strict     a touch of unmapped memory always faults (vm/mmu.h); lazy: as in release builds
 *   quire.env=NAME=VALUE   a variable of the program's environment
 *   quire.record=debugcon  what the image observes goes to QEMU's isa-debugcon device (core/record.h)
 *
 * Quoting is the shell's: "..." and '...' group, a backslash takes the next character as it is (not in '...'). That
 * covers GRUB, which turns b="two words" into "b=two words" and puts a backslash before quotes and backslashes. Two
 * sources are read one after the other, the image's own and the boot loader's: the later one wins, and its `--`
 * replaces the arguments. Pure; runs on the host.
 */
#ifndef CORE_COMMAND_LINE_H
#define CORE_COMMAND_LINE_H

#include "core/base/error.h"
#include "core/base/types.h"

#define COMMAND_LINE_TEXT 8192
#define COMMAND_LINE_WORDS 256

struct command_line {
    bool debug_exit;
    bool aslr_off;
    bool unmap_strict, unmap_lazy; /* neither: as the build has it */
    bool record;
    bool has_arguments; /* a `--` was there: arguments replace the image's own, even if there are none */
    size_t argument_count, environment_count, unused_count;
    const char *arguments[COMMAND_LINE_WORDS];
    const char *environment[COMMAND_LINE_WORDS]; /* NAME=VALUE */
    const char *unused[COMMAND_LINE_WORDS];      /* words that are neither options nor a loader's own */
    char problem[192];                           /* after an error: a sentence without its end of line */
    size_t text_used;
    char text[COMMAND_LINE_TEXT]; /* the words, without their quotes */
};

/* Adds one source to a zeroed or used structure. E_INVAL: unknown or malformed option, open quote; E_RANGE: too long.
 */
error_t command_line_add(struct command_line *, const char *source);

#endif
