#include "tests/boot/images/malloc-mimalloc/main.c"
