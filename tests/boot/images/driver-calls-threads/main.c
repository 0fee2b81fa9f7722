/* A test has the sources of its folder. */
#include "tests/boot/images/driver-calls/main.c"
