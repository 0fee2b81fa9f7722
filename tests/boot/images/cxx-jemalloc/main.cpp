#include "tests/boot/images/cxx/main.cpp"
