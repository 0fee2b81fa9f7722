/* Windows that must not be. */
#ifndef WINDOW_REFUSALS_H
#define WINDOW_REFUSALS_H

/* Tries each, prints how it is refused, and returns how many were not refused as they have to be. */
unsigned refusals_check(void);

#endif
