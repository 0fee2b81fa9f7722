/* A font of 5 by 8 dots: seven above the line, one below. */
#ifndef WINDOW_FONT_H
#define WINDOW_FONT_H

#include <stdbool.h>

#define FONT_WIDTH 5u
#define FONT_HEIGHT 8u

/* True if the dot in column x of row y is set; characters that are not there are blank. */
bool font_pixel(char character, unsigned x, unsigned y);

#endif
