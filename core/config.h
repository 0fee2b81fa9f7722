/* What configure.py decided, linked into the image as one constant: build/APP/config.c is generated from it. */
#ifndef CORE_CONFIG_H
#define CORE_CONFIG_H

#include "core/base/types.h"

C_DECLARATIONS_BEGIN

struct program;
struct observation;

struct quire_config {
    const char *name;             /* the application */
    const char *command_line;     /* read before the boot loader's, which wins */
    const char *const *arguments; /* argv[1] and on, NULL-terminated; the command line's words after -- replace them */
    const char *const *environment; /* "NAME=value", NULL-terminated */
    uint64_t ram;                   /* bytes that the memory plan needs; less at boot is refused */
    uint64_t stack;                 /* bytes of the program's stack */
    enum page_size pages;           /* page policy */
    bool trust_virgin_ram;          /* RAM that was never used since boot is zeros */
    bool has_files;                 /* the image needs its root file system module */
    /* An existing program among the packed files, instead of one that is linked in: its path without a '/' in front,
     * and what loads it (core/program.h). NULL in other images. */
    const char *program;
    void (*load)(struct program *, bool fixed);
    /* What the image observes of its own run, and with what (core/observe.h). NULL in other images. */
    const struct observation *observe;
};

extern const struct quire_config quire_config;

C_DECLARATIONS_END

#endif
