/*
 * An ordinary C program: it says hello, shows its arguments and its environment, and returns a status, which is the
 * status of `ninja run`: 0, or N if `--status N` is among its arguments.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

/* The number after --status, 0 if there is none; -1 if it is not one from 0 to 255. */
static long status_of(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--status"))
            continue;
        char *end = NULL;
        long status = i + 1 < argc ? strtol(argv[i + 1], &end, 10) : -1;
        return end && end != argv[i + 1] && !*end && status >= 0 && status <= 255 ? status : -1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *greeting = getenv("GREETING");
    const char *name = argc > 1 && argv[1][0] != '-' ? argv[1] : "world";
    long status = status_of(argc, argv);

    printf("%s, %s.\n", greeting ? greeting : "Hello", name);
    for (int i = 0; i < argc; i++)
        printf("argv[%d] = %s\n", i, argv[i]);
    for (char **variable = environ; *variable; variable++)
        printf("environ: %s\n", *variable);
    if (status < 0) {
        fprintf(stderr, "hello: --status takes a number from 0 to 255\n");
        return 2;
    }
    return (int)status;
}
