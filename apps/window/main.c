/* Windows onto devices: a framebuffer and registers. README.md says what is to be seen. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "display.h"
#include "picture.h"
#include "refusals.h"
#include "registers.h"

#define WIDTH 1024
#define HEIGHT 768
#define HOLD_DEFAULT 1
#define HOLD_MAX 86400

/* Something of every driver to look at: of each segment the first bytes are touched, of a stack the last. */
static const struct {
    const struct vm_segment_driver *driver;
    size_t size, touched;
    vm_flags_t flags;
} examples[] = {
    {&vm_anon, 24 << 20, 11 << 20, VM_RW | VM_PAGES_2M},
    {&vm_anon, 256 << 10, 72 << 10, VM_RW | VM_PAGES_4K},
    {&vm_anon, 64 << 10, 64 << 10, VM_READ | VM_PAGES_4K},
    {&vm_heap, 1 << 20, 0, VM_RW},
    {&vm_heap, 16 << 20, 3 << 20, VM_RW | VM_PAGES_2M},
    {&vm_stack, 512 << 10, 100 << 10, VM_RW},
    {&vm_guard, 2 << 20, 0, 0},
};

struct options {
    bool bad;
    unsigned hold; /* seconds */
};

/* False, with a line on the console, if the arguments are not those of README.md. */
static bool read_options(int argc, char **argv, struct options *options)
{
    *options = (struct options){.hold = HOLD_DEFAULT};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--bad") == 0) {
            options->bad = true;
        } else if (strcmp(argv[i], "--hold") == 0 && i + 1 < argc) {
            char *end;
            unsigned long seconds = strtoul(argv[++i], &end, 10);

            if (end == argv[i] || *end || *argv[i] == '-' || seconds > HOLD_MAX) {
                printf("window: --hold takes seconds from 0 to %d, not %s\n", HOLD_MAX, argv[i]);
                return false;
            }
            options->hold = (unsigned)seconds;
        } else {
            printf("window: unknown argument %s: there are --hold SECONDS and --bad\n", argv[i]);
            return false;
        }
    }
    return true;
}

static void touch(vaddr_t start, size_t size)
{
    for (size_t offset = 0; offset < size; offset += VM_PAGE_SIZE)
        (void)*(const volatile char *)(start + offset);
}

/* The examples as segments; NULL where there is no room for one. */
static void make_examples(struct vm_segment *segments[])
{
    for (size_t i = 0; i < ARRAY_LENGTH(examples); i++) {
        struct vm_segment *segment =
            vm_alloc(vm_space(), examples[i].driver, VM_ANYWHERE, examples[i].size, examples[i].flags);

        segments[i] = IS_ERR(segment) ? NULL : segment;
        if (segments[i])
            touch(vm_start(segment) + (examples[i].driver == &vm_stack ? examples[i].size - examples[i].touched : 0),
                  examples[i].touched);
    }
}

static void free_examples(struct vm_segment *segments[])
{
    for (size_t i = 0; i < ARRAY_LENGTH(examples); i++) {
        if (segments[i])
            vm_free(vm_space(), segments[i]);
    }
}

static int show(unsigned hold)
{
    static struct picture picture;
    struct vm_segment *made[ARRAY_LENGTH(examples)];
    struct vm_segment *device;
    struct display display;

    if (display_open(&display, WIDTH, HEIGHT) != E_SUCCESS)
        return 1;
    if (registers_check(&device) != E_SUCCESS) {
        display_close(&display);
        return 1;
    }
    make_examples(made);
    picture_take(&picture);
    picture_print(&picture);
    picture_draw(&picture, &display);
    printf("The picture is up for %u s.\n", hold);
    fflush(stdout);
    sleep(hold);
    free_examples(made);
    vm_free(vm_space(), device);
    display_close(&display);
    return 0;
}

int main(int argc, char **argv)
{
    struct options options;

    if (!read_options(argc, argv, &options))
        return 2;
    if (options.bad)
        return refusals_check() ? 1 : 0;
    return show(options.hold);
}
