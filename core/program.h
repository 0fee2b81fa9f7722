/* The start of the program: one that is linked into the image, or an existing one among the packed files. */
#ifndef CORE_PROGRAM_H
#define CORE_PROGRAM_H

#include "core/command_line.h"

/* What the auxiliary vector tells about the program, and where it begins. */
struct program {
    vaddr_t entry;
    vaddr_t headers; /* AT_PHDR; 0: not in memory */
    size_t header_size, header_count;
    const char *path; /* AT_EXECFN, /proc/self/exe: absolute; of a linked program / and its name */
    const char *name; /* argv[0] */
    /* Set by program_start, addresses on the stack: its pointer at the start, the strings of argv, which those of the
     * environment follow, and the auxiliary vector. */
    vaddr_t stack, arguments, arguments_end, environment_end, auxiliary;
    size_t auxiliary_size;
};

/*
 * Makes the stack segment, lays out arguments, environment and auxiliary vector on it as Linux does, and enters the
 * program. Refuses (core/init.h) if they do not fit or the stack cannot be had.
 */
_Noreturn void program_start(const struct command_line *);

/* The one that was started. */
const struct program *program_running(void);

/* The ELF header of what the program reads the clock with (AT_SYSINFO_EHDR), or NULL: the image has none. */
extern const void *program_vdso;

/*
 * core/load.c: maps the static ELF file quire_config.program, for an image that has one; quire_config.load is this or
 * NULL, so that other images do without it. fixed: position-independent programs lie at the same address in every run.
 * Refuses what cannot be run.
 */
void quire_load_program(struct program *, bool fixed);

#endif
