#include "picture.h"

#include <stdio.h>
#include <string.h>

#include "display.h"
#include "font.h"

#define BACKGROUND 0x101820u
#define INK 0xf4f4f4u
#define DOT 2u /* a dot of the font is so many dots of the screen wide and high */
#define CELL ((FONT_WIDTH + 1) * DOT)

#define LEFT 24u
#define BAND_WIDTH 976u
#define BAND_HEIGHT 26u
#define BAND_GAP 4u
#define BANDS_TOP 56u
#define BANDS_BOTTOM 716u
#define TITLE_TOP 20u
#define LEGEND_TOP 728u
#define LEGEND_SQUARE 20u

static const struct {
    const char *driver;
    uint32_t colour;
} legend[] = {
    {"image", 0x3d6fb6}, {"anon", 0x2f8f52},  {"heap", 0xb07f22},   {"stack", 0x8e48a8},
    {"phys", 0xbb4a44},  {"guard", 0x5c6470}, {"others", 0x2b8a92},
};

static uint32_t colour_of(const char *driver)
{
    size_t i = 0;

    while (i < ARRAY_LENGTH(legend) - 1 && strcmp(legend[i].driver, driver) != 0)
        i++;
    return legend[i].colour;
}

static void format_size(char *buffer, size_t size, size_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    unsigned unit = 0;

    for (bytes >>= 10; bytes % 1024 == 0 && unit + 1 < ARRAY_LENGTH(units); bytes >>= 10)
        unit++;
    snprintf(buffer, size, "%zu %s", bytes, units[unit]);
}

static void take_band(struct band *band, const struct vm_segment *segment)
{
    const struct vm_segment_driver *driver = vm_driver_of(segment);
    struct vm_statistics statistics = vm_segment_statistics(vm_space(), segment);
    vm_flags_t flags = vm_flags(segment);
    char size[16], detail[60] = "";

    *band = (struct band){.start = vm_start(segment), .size = vm_size(segment)};
    for (unsigned i = 0; i < PAGE_SIZES; i++)
        band->resident += statistics.resident[i] * page_bytes((enum page_size)i);
    if (driver->describe)
        driver->describe(segment, detail, sizeof(detail));
    format_size(size, sizeof(size), band->size);
    snprintf(band->driver, sizeof(band->driver), "%s", driver->name);
    snprintf(band->text, sizeof(band->text), "%016lx %9s %c%c%c %-5s %s", (unsigned long)band->start, size,
             flags & VM_READ ? 'r' : '-', flags & VM_WRITE ? 'w' : '-', flags & VM_EXEC ? 'x' : '-', driver->name,
             detail);
}

void picture_take(struct picture *picture)
{
    vaddr_t at = 0;

    picture->count = 0;
    for (struct vm_segment *segment = vm_next(vm_space(), at); segment && picture->count < BANDS_MAX;
         segment = vm_next(vm_space(), at)) {
        take_band(&picture->bands[picture->count++], segment);
        at = vm_start(segment) + vm_size(segment);
    }
}

void picture_print(const struct picture *picture)
{
    for (size_t i = 0; i < picture->count; i++) {
        const struct band *band = &picture->bands[i];

        printf("band %lx %zx %zx %s|%s\n", (unsigned long)band->start, band->size, band->resident, band->driver,
               band->text);
    }
}

static void fill(const struct display *display, unsigned x, unsigned y, unsigned width, unsigned height,
                 uint32_t colour)
{
    for (unsigned row = y; row < y + height; row++) {
        for (unsigned column = x; column < x + width; column++)
            display->pixels[(size_t)row * display->width + column] = colour;
    }
}

/* Whole characters only, up to the x given by right; returns where the next one would be. */
static unsigned draw_text(const struct display *display, unsigned x, unsigned y, unsigned right, const char *text)
{
    for (; *text && x + CELL <= right; x += CELL, text++) {
        for (unsigned row = 0; row < FONT_HEIGHT; row++) {
            for (unsigned column = 0; column < FONT_WIDTH; column++) {
                if (font_pixel(*text, column, row))
                    fill(display, x + column * DOT, y + row * DOT, DOT, DOT, INK);
            }
        }
    }
    return x;
}

static void draw_band(const struct display *display, const struct band *band, unsigned y)
{
    uint32_t colour = colour_of(band->driver);
    unsigned bright = (unsigned)(BAND_WIDTH * band->resident / band->size);

    fill(display, LEFT, y, bright, BAND_HEIGHT, colour);
    fill(display, LEFT + bright, y, BAND_WIDTH - bright, BAND_HEIGHT, colour >> 1 & 0x7f7f7f);
    draw_text(display, LEFT + 8, y + 5, LEFT + BAND_WIDTH, band->text);
}

void picture_draw(const struct picture *picture, const struct display *display)
{
    unsigned y = BANDS_TOP, x = LEFT;

    fill(display, 0, 0, display->width, display->height, BACKGROUND);
    draw_text(display, LEFT, TITLE_TOP, LEFT + BAND_WIDTH, "Quire: the address map of this program");
    for (size_t i = 0; i < picture->count; i++) {
        const struct band *band = &picture->bands[i];

        if (i > 0 && band[-1].start + band[-1].size != band->start)
            y += BAND_GAP;
        if (y + BAND_HEIGHT > BANDS_BOTTOM)
            break;
        draw_band(display, band, y);
        y += BAND_HEIGHT;
    }
    for (size_t i = 0; i < ARRAY_LENGTH(legend); i++) {
        fill(display, x, LEGEND_TOP, LEGEND_SQUARE, LEGEND_SQUARE, legend[i].colour);
        x = draw_text(display, x + LEGEND_SQUARE + 8, LEGEND_TOP + 2, display->width, legend[i].driver) + 24;
    }
}
