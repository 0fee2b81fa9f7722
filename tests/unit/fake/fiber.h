/* Stacks of a test's own that are switched between: what contexts of the core and the actors of explore.h run on. */
#ifndef FIBER_H
#define FIBER_H

#include <stddef.h>

/* What is running now needs no making: it is where fiber_switch leaves it. */
struct fiber {
    void *stack;
    void *sanitizer; /* ThreadSanitizer's, of each stack */
};

/* When it is switched to, the function runs on the stack, and never returns. Of one that was made before, which is not
 * running, nothing is left. */
void fiber_make(struct fiber *, void *low, size_t size, void (*function)(void *), void *argument);
/* It will not run again. */
void fiber_end(struct fiber *);
void fiber_switch(struct fiber *from, struct fiber *to);

#endif
