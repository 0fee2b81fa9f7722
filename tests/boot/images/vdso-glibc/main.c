#include "tests/boot/images/vdso/main.c"
