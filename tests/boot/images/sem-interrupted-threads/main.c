/* A test has the sources of its folder. */
#include "tests/boot/images/sem-interrupted/main.c"
