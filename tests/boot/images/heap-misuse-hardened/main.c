#include "tests/boot/images/heap-misuse/main.c"
