/* core/observe/json.c: commas, nesting, escapes, and lines longer than its buffer. */
#include <stdio.h>
#include <string.h>

#include "core/console.h"
#include "core/observe/json.h"
#include "core/record.h"
#include "harness.h"

static char record[8192];
static size_t recorded;

void record_write(const char *bytes, size_t length)
{
    assert_true(recorded + length < sizeof(record));
    memcpy(record + recorded, bytes, length);
    recorded += length;
    record[recorded] = '\0';
}

/* For kprintf, which nothing here calls. */
void console_write(const char *bytes, size_t length)
{
    (void)bytes;
    fail_msg("%zu bytes were printed", length);
}

static void values(void **state)
{
    struct json line;

    (void)state;
    json_begin(&line);
    json_member_text(&line, "kind", "test");
    json_member_number(&line, "most", UINT64_MAX);
    json_name(&line, "list");
    json_open(&line, '[');
    json_number(&line, 0);
    json_open(&line, '{');
    json_close(&line, '}');
    json_open(&line, '[');
    json_close(&line, ']');
    json_address(&line, 0xffffffff80001234);
    json_close(&line, ']');
    json_member_number(&line, "last", 7);
    json_end(&line);
    assert_string_equal(record,
                        "{\"kind\":\"test\",\"most\":18446744073709551615,\"list\":[0,{},[],\"0xffffffff80001234\"],"
                        "\"last\":7}\n");
}

static void fractions(void **state)
{
    static const struct {
        uint64_t numerator, denominator;
        const char *text;
    } cases[] = {{1, 1, "1.0000"},
                 {1, 3, "0.3333"},
                 {20001, 10000, "2.0001"},
                 {0, 5, "0.0000"},
                 {1, (1ull << 50) - 1, "0.0000"},
                 {(1ull << 50) - 2, (1ull << 50) - 1, "0.9999"}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char expected[32];
        struct json line;

        recorded = 0;
        json_begin(&line);
        json_name(&line, "f");
        json_fraction(&line, cases[i].numerator, cases[i].denominator);
        json_end(&line);
        snprintf(expected, sizeof(expected), "{\"f\":%s}\n", cases[i].text);
        assert_string_equal(record, expected);
    }
}

static void escapes(void **state)
{
    struct json line;

    (void)state;
    json_begin(&line);
    json_member_text(&line, "a", "say \"x\"\\\n\x01\x7f\xc3\xa9");
    json_end(&line);
    assert_string_equal(record, "{\"a\":\"say \\\"x\\\"\\\\\\u000a\\u0001\\u007f\\u00c3\\u00a9\"}\n");
}

/* The pieces of a line that is written in parts fit together wherever they are cut. */
static void long_lines(void **state)
{
    char text[3 * sizeof(((struct json *)NULL)->bytes)], expected[sizeof(text) + 16];

    (void)state;
    for (size_t length = 0; length < sizeof(text); length++) {
        struct json line;

        memset(text, 'x', length);
        text[length] = '\0';
        recorded = 0;
        json_begin(&line);
        json_member_text(&line, "a", text);
        json_end(&line);
        snprintf(expected, sizeof(expected), "{\"a\":\"%s\"}\n", text);
        assert_string_equal(record, expected);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),
        cmocka_unit_test(fractions),
        cmocka_unit_test(escapes),
        cmocka_unit_test(long_lines),
    };

    return harness_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
