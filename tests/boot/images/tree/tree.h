/* The result of a call, and errno if it is -1: texts of errors are not the same in all C libraries. */
#ifndef TREE_H
#define TREE_H

#include <errno.h>
#include <stdio.h>

#define SHOW(call)                                                                                                     \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        long result_ = (long)(call);                                                                                   \
        printf("%s: %ld%s%d\n", #call, result_, result_ == -1 ? " errno " : " ", result_ == -1 ? errno : 0);           \
    } while (0)

#define NOWHERE ((void *)16)

/* contents.c */
void check_contents(void);
/* attributes.c */
void check_attributes(void);

#endif
