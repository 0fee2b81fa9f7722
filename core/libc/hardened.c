/* malloc and its relatives on the hardened heap (vm/heap/hardened.c). C++'s operators are those of its library, on
 * these. */
#define HEAP_HARDENED
#include "core/libc/malloc.c" /* the same but for what it calls */
