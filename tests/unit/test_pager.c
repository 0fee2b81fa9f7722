/* An application's driver, that of apps/pager, passes what every segment driver has to pass. */
#include "apps/pager/mandelbrot.h"
#include "tests/unit/conformance.h"
#include "tests/unit/fake/harness.h"
#include "tests/unit/fixture.h"

static uint64_t picture(size_t offset)
{
    uint64_t word = 0;

    for (unsigned i = 0; i < 8; i++)
        word |= (uint64_t)mandelbrot_value(offset / MANDELBROT_COLUMNS, offset % MANDELBROT_COLUMNS + i) << (8 * i);
    return word;
}

static void test_conformance_mandelbrot(void **state)
{
    (void)state;
    fixture_start(64 * MIB);
    conformance_run(&mandelbrot_driver, &(struct conformance_options){.flags = VM_READ, .fresh = picture});
    fixture_end();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conformance_mandelbrot),
    };

    return harness_main(argc, argv, tests, ARRAY_LENGTH(tests));
}
