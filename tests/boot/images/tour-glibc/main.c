/* apps/tour with the other libc: the core checks the address space, glibc's sections in it, after every step. */
#include "apps/tour/main.c"
