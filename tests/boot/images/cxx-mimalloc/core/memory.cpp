#include "tests/boot/images/cxx/core/memory.cpp"
