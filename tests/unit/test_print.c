/* core/base/print.c against the C library's printf, and what it does on its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/print.h"
#include "core/console.h"
#include "harness.h"

static char console[1024];
static size_t console_length;

void console_write(const char *bytes, size_t length)
{
    assert_true(console_length + length < sizeof(console));
    memcpy(console + console_length, bytes, length);
    console_length += length;
    console[console_length] = '\0';
}

/* The same text and length, whole and cut to every size. */
#define SAME_AS_C(...)                                                                                                 \
    do {                                                                                                               \
        char expected[256], got[256];                                                                                  \
        int length = snprintf(expected, sizeof(expected), __VA_ARGS__);                                                \
                                                                                                                       \
        assert_int_equal(text_format(got, sizeof(got), __VA_ARGS__), length);                                          \
        assert_string_equal(got, expected);                                                                            \
        for (size_t size = 1; size <= (size_t)length; size++) {                                                        \
            memset(got, '#', sizeof(got));                                                                             \
            assert_int_equal(text_format(got, size, __VA_ARGS__), length);                                             \
            assert_memory_equal(got, expected, size - 1);                                                              \
            assert_int_equal(got[size - 1], '\0');                                                                     \
            assert_int_equal(got[size], '#');                                                                          \
        }                                                                                                              \
    } while (0)

static void numbers(void **state)
{
    (void)state;
    SAME_AS_C("%d %i %u", 0, -1, 1u);
    SAME_AS_C("%d %ld %lld", INT32_MIN, INT64_MIN, (long long)INT64_MAX);
    SAME_AS_C("%hhd %hhu %hd %hu", (signed char)-56, (unsigned char)200, (short)-25536, (unsigned short)40000);
    SAME_AS_C("%zu %jd %td", SIZE_MAX, (intmax_t)-5, (ptrdiff_t)-6);
    SAME_AS_C("%x %X %o %#x %#X %#o %#x", 48879u, 48879u, 8u, 48879u, 48879u, 8u, 0u);
    SAME_AS_C("%lx %p", 0xffffffff80000000ul, (void *)0x1234);
}

static void widths(void **state)
{
    (void)state;
    SAME_AS_C("[%5d] [%-5d] [%05d] [%+d] [% d] [%+05d]", 42, 42, 42, 42, 42, 42);
    SAME_AS_C("[%5d] [%-5d] [%05d] [%.3d] [%8.3d] [%-8.3d] [%08.3d]", -42, -42, -42, -4, -4, -4, -4);
    SAME_AS_C("[%.0d] [%.0x] [%5.0u] [%#.0o]", 0, 0u, 0u, 0u);
    SAME_AS_C("[%#10x] [%-#10x] [%#010x] [%#06o] [%#.4o]", 255u, 255u, 255u, 8u, 8u);
    SAME_AS_C("[%*d] [%*d] [%.*d] [%.*d]", 6, 7, -6, 7, 4, 7, -1, 7);
    SAME_AS_C("[%16lx] [%016lx] [%-16lx]", 0xfeedul, 0xfeedul, 0xfeedul);
}

static void texts(void **state)
{
    const char unterminated[4] = {'a', 'b', 'c', 'd'};

    (void)state;
    SAME_AS_C("%s|%10s|%-10s|%.2s|%10.2s|", "text", "text", "text", "text", "text");
    SAME_AS_C("%.4s", unterminated);
    SAME_AS_C("%c%5c%-5c| 100%%", 'x', 'y', 'z');
    SAME_AS_C("plain, and %s at the end", "");
}

/* What C leaves undefined, or what is ours. */
static void own(void **state)
{
    const char *none = NULL, *wrong = "%q %d";
    char text[32] = "unchanged";

    (void)state;
    text_format(text, sizeof(text), "%s", none);
    assert_string_equal(text, "(null)");
    text_format(text, sizeof(text), "%p", (void *)0);
    assert_string_equal(text, "0x0");
    assert_int_equal(text_format(text, 0, "%d", 12345), 5);
    assert_string_equal(text, "0x0");
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wformat"
#pragma clang diagnostic ignored "-Wformat-security"
#pragma clang diagnostic ignored "-Wformat-nonliteral"
    text_format(text, sizeof(text), wrong, 7);
#pragma clang diagnostic pop
    assert_string_equal(text, "%q 7");
}

static void random_numbers(void **state)
{
    struct random random = {harness_seed()};
    static const char *const formats[] = {"%ld", "%+20ld", "%-22ld|", "%022ld",  "%.21ld",
                                          "%lu", "%#lx",   "%#lo",    "%30.25lX"};

    (void)state;
    for (int i = 0; i < 20000; i++) {
        uint64_t value = random_next(&random) >> random_below(&random, 64);
        const char *format = formats[random_below(&random, sizeof(formats) / sizeof(formats[0]))];
        char expected[64], got[64];

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wformat-nonliteral"
        assert_int_equal(text_format(got, sizeof(got), format, value),
                         snprintf(expected, sizeof(expected), format, value));
#pragma clang diagnostic pop
        assert_string_equal(got, expected);
    }
}

static void lines(void **state)
{
    char longer[600];

    (void)state;
    kprintf("quire: %s %d\n", "line", 1);
    assert_string_equal(console, "quire: line 1\n");

    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    console_length = 0;
    kprintf("%s\n", longer);
    assert_int_equal(console_length, 255);
    assert_int_equal(console[254], '\n');
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers), cmocka_unit_test(widths),         cmocka_unit_test(texts),
        cmocka_unit_test(own),     cmocka_unit_test(random_numbers), cmocka_unit_test(lines),
    };

    return harness_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
