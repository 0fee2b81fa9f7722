/* The picture of the address map; README.md says what is where. */
#ifndef WINDOW_PICTURE_H
#define WINDOW_PICTURE_H

#include "vm/vm.h"

struct display;

#define BANDS_MAX 32
#define BAND_TEXT 100

struct band {
    vaddr_t start;
    size_t size, resident; /* bytes */
    char driver[16], text[BAND_TEXT];
};

struct picture {
    size_t count;
    struct band bands[BANDS_MAX]; /* in the order of addresses; what is more is left out */
};

/* The segments as they are now. */
void picture_take(struct picture *picture);
/* On the console, a line each: "band START SIZE RESIDENT DRIVER|TEXT", numbers in hexadecimal. */
void picture_print(const struct picture *picture);
void picture_draw(const struct picture *picture, const struct display *display);

#endif
