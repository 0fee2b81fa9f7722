#include "tests/boot/images/languages/main.c"
