#include "tests/boot/images/cxx/memory.cpp"
