/*
 * A console on the screen: the framebuffer that the boot loader tells of (multiboot2, tag 8; UEFI's GOP or a VESA
 * mode), else VGA's text mode.
 *
 * Screens are slow to write and far slower to read, so what they show is kept in memory, as cells of a character each.
 * A write changes the cells that are wanted, scrolling among them, and then draws the ones that are not shown yet: each
 * once, however far it scrolled. Dots are reached page by page through one short-lived window (fixmap.h), so nothing of
 * the screen is mapped, and it works from before the first page table on to the last report.
 *
 * The font holds the printable characters of ASCII (images/font.py); what is beyond becomes a question mark.
 */
#include "arch/x86_64/screen.h"

#include "arch/x86_64/arch.h"
#include "arch/x86_64/fixmap.h"
#include "core/base/string.h"
#include "vm/mmu.h"

#define COLUMNS_MAX 160
#define ROWS_MAX 64
#define GLYPH_WIDTH 8
#define GLYPH_HEIGHT 16
#define TAB 8

#define VGA_MISC_READ 0x3cc
#define VGA_CRTC 0x3d4
#define VGA_CURSOR_OFF 0x200a /* register 0x0a, its bit 5 */
#define VGA_GRAPHICS 0x3ce
#define VGA_GRAPHICS_MISC 6
#define VGA_TEXT_MASK 0x0d
#define VGA_TEXT 0x0c /* characters, and their memory at 0xb8000 */
#define VGA_MEMORY 0xb8000
#define VGA_GREY 0x0700

#define PATIENCE (1ull << 34) /* time stamps: 17 s at 1 GHz, 3.4 s at 5 GHz */

/* From ' ' to '~', of each the box that has dots: (left << 4 | width), (top << 4 | height), its dots by rows. (font.py)
 */
extern const uint8_t screen_font[];

static struct {
    unsigned columns, rows;
    unsigned column, row; /* where the next character goes; column may be `columns` */
    bool escape;          /* in a sequence of the terminal, which is passed over */
    char wanted[ROWS_MAX * COLUMNS_MAX], shown[ROWS_MAX * COLUMNS_MAX];
} text;

/* ---- dots ---- */

struct window {
    paddr_t page;
    char *address;
};

static volatile char *window_at(struct window *window, paddr_t at)
{
    paddr_t page = align_down(at, VM_PAGE_SIZE);

    if (window->page != page || !window->address) {
        window->page = page;
        window->address = fixmap_open(FIXMAP_SCREEN, page, PTE_PAT_4K); /* write combining */
    }
    return window->address + (at - page);
}

static void unpack(char character, uint8_t rows[GLYPH_HEIGHT])
{
    const uint8_t *glyph = screen_font;

    for (; character > ' '; character--)
        glyph += 2 + ((glyph[0] & 15u) * (glyph[1] & 15u) + 7) / 8;
    unsigned left = glyph[0] >> 4, width = glyph[0] & 15, top = glyph[1] >> 4, dots = width * (glyph[1] & 15);

    memset(rows, 0, GLYPH_HEIGHT);
    for (unsigned i = 0; i < dots; i++)
        if (glyph[2 + i / 8] << i % 8 & 0x80)
            rows[top + i / width] |= (uint8_t)(0x80 >> (left + i % width));
}

static void draw_dots(struct window *window, unsigned cell, char character)
{
    const struct boot_framebuffer *screen = &boot_info.framebuffer;
    unsigned bytes = (screen->bits + 7u) / 8;
    uint8_t rows[GLYPH_HEIGHT];

    unpack(character, rows);
    for (unsigned row = 0; row < GLYPH_HEIGHT; row++) {
        paddr_t line = screen->address + (uint64_t)(cell / text.columns * GLYPH_HEIGHT + row) * screen->pitch +
                       cell % text.columns * GLYPH_WIDTH * bytes;

        for (unsigned i = 0; i < GLYPH_WIDTH * bytes; i++)
            *window_at(window, line + i) = (char)(rows[row] << i / bytes & 0x80 ? 0xff : 0);
    }
}

static void draw_character(struct window *window, unsigned cell, char character)
{
    *(volatile uint16_t *)window_at(window, VGA_MEMORY + 2 * cell) = (uint16_t)(VGA_GREY | (uint8_t)character);
}

static void show(void)
{
    struct window window = {0, NULL};

    for (unsigned cell = 0; cell < text.columns * text.rows; cell++) {
        if (text.shown[cell] == text.wanted[cell])
            continue;
        text.shown[cell] = text.wanted[cell];
        (boot_info.framebuffer.address ? draw_dots : draw_character)(&window, cell, text.wanted[cell]);
    }
    fixmap_close(FIXMAP_SCREEN);
}

/* ---- characters ---- */

static void new_line(void)
{
    unsigned last = (text.rows - 1) * text.columns;

    text.column = 0;
    if (text.row + 1 < text.rows) {
        text.row++;
        return;
    }
    memmove(text.wanted, text.wanted + text.columns, last);
    memset(text.wanted + last, ' ', text.columns);
}

static void put_cell(char character)
{
    if (text.column == text.columns)
        new_line();
    text.wanted[text.row * text.columns + text.column++] = character;
}

/* What begins with ESC is over at a letter; of UTF-8 the first byte counts. */
static void put(char character)
{
    bool letter = (character | 0x20) >= 'a' && (character | 0x20) <= 'z';

    if (text.escape)
        text.escape = !letter;
    else if (character == '\033')
        text.escape = true;
    else if (character == '\n')
        new_line();
    else if (character == '\r')
        text.column = 0;
    else if (character == '\b')
        text.column -= text.column > 0;
    else if (character == '\t')
        do
            put_cell(' ');
        while (text.column % TAB != 0 && text.column < text.columns);
    else if (character >= ' ' && character <= '~')
        put_cell(character);
    else if ((character & 0xc0) == 0xc0)
        put_cell('?');
}

void screen_write(const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        put(bytes[i]);
    show();
}

void screen_hold(void)
{
    uint64_t begun = tsc_read();

    while (tsc_read() - begun < PATIENCE)
        cpu_pause();
}

/* ---- finding it ---- */

static bool is_text_mode(void)
{
    if (port_read8(VGA_MISC_READ) == 0xff)
        return false;
    port_write8(VGA_GRAPHICS, VGA_GRAPHICS_MISC);
    return (port_read8(VGA_GRAPHICS + 1) & VGA_TEXT_MASK) == VGA_TEXT;
}

static unsigned at_most(unsigned value, unsigned most)
{
    return value < most ? value : most;
}

bool screen_find(void)
{
    const struct boot_framebuffer *screen = &boot_info.framebuffer;
    paddr_t end = screen->address + (uint64_t)screen->pitch * screen->height;

    if (screen->address != 0 && (end - 1) >> mmu_physical_bits() == 0) {
        text.columns = at_most(screen->width / GLYPH_WIDTH, COLUMNS_MAX);
        text.rows = at_most(screen->height / GLYPH_HEIGHT, ROWS_MAX);
    } else if (boot_info.framebuffer.address = 0, is_text_mode()) {
        port_write16(VGA_CRTC, VGA_CURSOR_OFF);
        text.columns = 80;
        text.rows = 25;
    }
    memset(text.wanted, ' ', sizeof text.wanted); /* all is drawn the first time: what it shows is not known */
    return text.columns != 0 && text.rows != 0;
}
