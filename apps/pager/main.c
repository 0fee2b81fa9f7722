/*
 * Uses the driver of mandelbrot.c as anybody would: allocate, read, split, resize, free. Every value read is compared
 * with one computed directly. Status 1 if anything differs.
 */
#include <stdio.h>
#include <string.h>

#include "mandelbrot.h"

#define PICTURE_SIZE (MANDELBROT_ROWS * VM_PAGE_SIZE)
#define SHOWN_ROWS 24u
#define SHOWN_COLUMNS 76u
#define VISITS 60u
#define READS_PER_VISIT 50u

static struct address_space *space;
static unsigned wrong;
static bool touched[MANDELBROT_ROWS]; /* rows read so far */

static void expect(bool good, const char *what)
{
    if (good)
        return;
    printf("WRONG: %s\n", what);
    wrong++;
}

static uint8_t read_point(const struct vm_segment *segment, size_t row, size_t column)
{
    size_t offset = (row - mandelbrot_first_row(segment)) * VM_PAGE_SIZE + column;

    touched[row] = true;
    return *(const volatile uint8_t *)(vm_start(segment) + offset);
}

static void check_point(const struct vm_segment *segment, size_t row, size_t column)
{
    uint8_t found = read_point(segment, row, column), wanted = mandelbrot_value(row, column);

    if (found == wanted)
        return;
    printf("WRONG: row %zu, column %zu is %u, not %u\n", row, column, found, wanted);
    wrong++;
}

static size_t touched_rows(void)
{
    size_t count = 0;

    for (size_t row = 0; row < MANDELBROT_ROWS; row++)
        count += touched[row];
    return count;
}

/* Counts of the driver against what was read: a page is computed on its first touch and on no other. */
static void check_counts(const struct vm_segment *segment)
{
    struct vm_statistics statistics = vm_segment_statistics(space, segment);

    expect(mandelbrot_computed(segment) == touched_rows(), "as many pages computed as rows touched");
    expect(statistics.faults[PAGE_4K] == touched_rows(), "as many faults as rows touched");
    expect(statistics.resident[PAGE_4K] == touched_rows(), "as many pages resident as rows touched");
}

static void draw(const struct vm_segment *segment)
{
    static const char shades[] = " .,:;-=+*oO%@#";

    for (size_t y = 0; y < SHOWN_ROWS; y++) {
        char line[SHOWN_COLUMNS + 1];
        size_t row = (2 * y + 1) * MANDELBROT_ROWS / (2 * SHOWN_ROWS);

        for (size_t x = 0; x < SHOWN_COLUMNS; x++) {
            unsigned value = read_point(segment, row, x * MANDELBROT_COLUMNS / SHOWN_COLUMNS);

            line[x] = shades[value * (sizeof(shades) - 2) / MANDELBROT_LIMIT];
        }
        line[SHOWN_COLUMNS] = '\0';
        puts(line);
    }
}

/* xorshift64 (Marsaglia 2003). */
static uint64_t next_random(void)
{
    static uint64_t state = 0x9e3779b97f4a7c15;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void read_at_random(const struct vm_segment *segment)
{
    for (unsigned visit = 0; visit < VISITS; visit++) {
        size_t row = next_random() % MANDELBROT_ROWS;

        for (unsigned i = 0; i < READS_PER_VISIT; i++)
            check_point(segment, row, next_random() % MANDELBROT_COLUMNS);
    }
}

/* Fills all vector registers, reads a byte (which faults), and stores the registers again. */
static void touch_with_registers(const volatile uint8_t *byte, const uint64_t before[32], uint64_t after[32])
{
#define LOAD(n) "movups 16*" #n "(%1), %%xmm" #n "\n"
#define STORE(n) "movups %%xmm" #n ", 16*" #n "(%2)\n"
#define ALL(what)                                                                                                      \
    what(0) what(1) what(2) what(3) what(4) what(5) what(6) what(7) what(8) what(9) what(10) what(11) what(12)         \
        what(13) what(14) what(15)
    __asm__ volatile(ALL(LOAD) "movb (%0), %%al\n" ALL(STORE)
                     :
                     : "r"(byte), "r"(before), "r"(after)
                     : "rax", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                       "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

static void check_registers(const struct vm_segment *segment)
{
    uint64_t before[32], after[32] = {0};
    size_t row = 0;

    while (touched[row])
        row++;
    for (size_t i = 0; i < 32; i++)
        before[i] = next_random();
    touched[row] = true;
    touch_with_registers((const uint8_t *)vm_start(segment) + row * VM_PAGE_SIZE, before, after);
    expect(memcmp(before, after, sizeof(before)) == 0, "a fault leaves the vector registers alone");
    check_counts(segment);
}

/* Cuts the picture in two, drops a page and has it computed again, and cuts off the end. */
static void check_operations(struct vm_segment *segment)
{
    struct vm_segment *upper = vm_split(space, segment, vm_start(segment) + PICTURE_SIZE / 2);

    if (IS_ERR(upper)) {
        expect(false, "splitting");
        return;
    }
    size_t row = MANDELBROT_ROWS / 2 + 7;
    uint64_t computed = mandelbrot_computed(upper);

    expect(mandelbrot_first_row(upper) == MANDELBROT_ROWS / 2, "the upper half begins at its row");
    check_point(upper, row, 1234);
    expect(mandelbrot_computed(upper) == computed + 1, "the upper half computes its own pages");
    expect(vm_advise(space, vm_start(upper), vm_size(upper), VM_ADVICE_DONTNEED) == E_SUCCESS, "dropping pages");
    expect(vm_segment_statistics(space, upper).resident[PAGE_4K] == 0, "nothing of the upper half is resident");
    check_point(upper, row, 1234);
    expect(mandelbrot_computed(upper) == computed + 2, "a dropped page is computed again");
    expect(vm_resize(space, upper, 16 * VM_PAGE_SIZE) == E_SUCCESS, "shrinking");
    check_point(upper, row, 4000);
    expect(vm_resize(space, upper, PICTURE_SIZE) == E_NOMEM, "growing beyond the picture is refused");
    puts("\nThe picture split in two, the upper half dropped and cut to 16 rows:");
}

static void print_line(void *context, const char *text)
{
    (void)context;
    printf("    %s\n", text);
}

static void check_refusals(void)
{
    expect(vm_driver_register(&mandelbrot_driver) == E_EXIST, "registering twice");
    expect(ERR_OF(vm_alloc(space, &mandelbrot_driver, VM_ANYWHERE, PICTURE_SIZE, VM_RW)) == E_INVAL,
           "a picture that can be written");
}

int main(void)
{
    space = vm_space();
    expect(vm_driver_register(&mandelbrot_driver) == E_SUCCESS, "registering the driver");
    check_refusals();
    struct vm_segment *segment = vm_alloc(space, vm_driver("mandelbrot"), VM_ANYWHERE, PICTURE_SIZE, VM_READ);

    if (IS_ERR(segment)) {
        printf("pager: no segment: error %d\n", ERR_OF(segment));
        return 1;
    }
    draw(segment);
    check_counts(segment);
    printf("\n%u points of the picture cost %zu of %u pages.\n", SHOWN_ROWS * SHOWN_COLUMNS, touched_rows(),
           MANDELBROT_ROWS);
    read_at_random(segment);
    check_counts(segment);
    check_registers(segment);
    printf("%u reads at random later: %zu of %u pages, %llu KiB instead of %zu KiB.\n", VISITS * READS_PER_VISIT,
           touched_rows(), MANDELBROT_ROWS, (unsigned long long)mandelbrot_computed(segment) * VM_PAGE_SIZE >> 10,
           PICTURE_SIZE >> 10);
    vm_dump(space, print_line, NULL);
    check_operations(segment);
    vm_dump(space, print_line, NULL);
    expect(vm_unmap(space, vm_start(segment), PICTURE_SIZE) == E_SUCCESS, "freeing both halves");
    expect(vm_driver_statistics(space, &mandelbrot_driver).segments == 0, "no segment is left");
    printf("\npager: %s\n", wrong ? "something is wrong" : "every value was right");
    return wrong ? 1 : 0;
}
