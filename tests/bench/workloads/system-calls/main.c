/*
 * System calls that do next to nothing, so that the way in and out is what is measured, and one that copies a page. The
 * file is a memfd: all of it is in memory on every system.
 */
#include <sys/mman.h>

#include "tests/bench/bench.h"

#define LOOP 1000u
#define UNROLL _Pragma("clang loop unroll_count(8)") /* so that the loop hardly counts */

static int file;

static void null_call(const struct bench_row *row, struct bench_span *span)
{
    bench_begin(span);
    UNROLL
    for (uint64_t i = 0; i < row->operations; i++)
        getppid();
    bench_end(span);
}

static void read_clock(const struct bench_row *row, struct bench_span *span)
{
    struct timespec now;

    bench_begin(span);
    UNROLL
    for (uint64_t i = 0; i < row->operations; i++)
        clock_gettime(CLOCK_MONOTONIC, &now);
    bench_end(span);
}

static void read_page(const struct bench_row *row, struct bench_span *span)
{
    static char page[BENCH_PAGE];

    if (lseek(file, 0, SEEK_SET) != 0)
        bench_fail("lseek of a memfd: %s", strerror(errno));
    bench_begin(span);
    UNROLL
    for (uint64_t i = 0; i < row->operations; i++) {
        if (read(file, page, sizeof(page)) != sizeof(page))
            bench_fail("read of a memfd ended before its end");
    }
    bench_end(span);
    bench_check_number("the last byte that was read", (unsigned char)page[BENCH_PAGE - 1], row->operations % 251);
}

static const struct bench_row rows[] = {
    {"null_call", 0, "null call (getppid)", null_call, LOOP, 0},
    {"clock_gettime", 0, "clock_gettime (CLOCK_MONOTONIC)", read_clock, LOOP, 0},
    {"read", BENCH_PAGE, "read of a file in memory", read_page, LOOP, 0},
};

/* A file of a page for each read; each page is filled with its own number. */
static int make_file(void)
{
    static char page[BENCH_PAGE];
    int made = memfd_create("bench", 0);

    if (made < 0)
        bench_fail("memfd_create: %s", strerror(errno));
    for (unsigned i = 1; i <= LOOP; i++) {
        memset(page, (int)(i % 251), sizeof(page));
        if (write(made, page, sizeof(page)) != sizeof(page))
            bench_fail("no memory for a file of %u pages: %s", LOOP, strerror(errno));
    }
    return made;
}

int main(int argc, char **argv)
{
    bench_no_arguments(argc, argv);
    bench_open();
    file = make_file();
    bench_run_all(rows, sizeof(rows) / sizeof(rows[0]));
    return bench_close();
}
