/* core/command_line.c: sources, options, arguments, quotes, and what is refused. */
#include <stdlib.h>
#include <string.h>

#include "core/command_line.h"
#include "core/console.h"
#include "harness.h"

/* For kprintf, which nothing here calls. */
void console_write(const char *bytes, size_t length)
{
    (void)bytes;
    fail_msg("%zu bytes were printed", length);
}

static struct command_line *parsed(const char *first, const char *second)
{
    struct command_line *line = calloc(1, sizeof(*line));

    assert_non_null(line);
    assert_int_equal(command_line_add(line, first), E_SUCCESS);
    assert_int_equal(command_line_add(line, second), E_SUCCESS);
    return line;
}

static void assert_words(const char *const *words, size_t count, const char *expected)
{
    char text[512] = "";

    for (size_t i = 0; i < count; i++) {
        strcat(text, words[i]);
        strcat(text, "|");
    }
    assert_string_equal(text, expected);
}

static void options(void **state)
{
    struct command_line *line = parsed("", "  ");

    (void)state;
    assert_false(line->debug_exit || line->aslr_off || line->record || line->has_arguments);
    assert_int_equal(line->unused_count, 0);
    free(line);

    line = parsed("quire.exit=debug", "\tquire.aslr=off\n");
    assert_true(line->debug_exit && line->aslr_off && !line->record && !line->unmap_strict && !line->unmap_lazy);
    free(line);

    line = parsed("quire.unmap=strict", "");
    assert_true(line->unmap_strict && !line->unmap_lazy);
    free(line);

    line = parsed("quire.unmap=strict", "quire.unmap=lazy");
    assert_true(line->unmap_lazy && !line->unmap_strict);
    free(line);

    line = parsed("", "quire.record=debugcon");
    assert_true(line->record && !line->debug_exit);
    free(line);
}

static void environment(void **state)
{
    struct command_line *line = parsed("quire.env=A=1 quire.env=B=b=c quire.env=AA=2", "quire.env=A=3 quire.env=E=");

    (void)state;
    assert_words(line->environment, line->environment_count, "A=3|B=b=c|AA=2|E=|");
    free(line);
}

static void arguments(void **state)
{
    struct command_line *line = parsed("-- one two", "");

    (void)state;
    assert_true(line->has_arguments);
    assert_words(line->arguments, line->argument_count, "one|two|");
    free(line);

    line = parsed("-- one two", "quire.exit=debug -- three -- quire.exit=no");
    assert_words(line->arguments, line->argument_count, "three|--|quire.exit=no|");
    free(line);

    line = parsed("-- one two", "--");
    assert_true(line->has_arguments);
    assert_int_equal(line->argument_count, 0);
    free(line);
}

static void quotes(void **state)
{
    struct command_line *line = parsed("-- \"a b\" c\" d\"e 'f \\ g' h\\ i \"j\\\"k\" '' l\\\\m \"n'o\"", "");

    (void)state;
    assert_words(line->arguments, line->argument_count, "a b|c de|f \\ g|h i|j\"k||l\\m|n'o|");
    free(line);

    /* GRUB's form of quire.env=b="two words". */
    line = parsed("", "\"quire.env=b=two words\" -- \"it\\'s\"");
    assert_words(line->environment, line->environment_count, "b=two words|");
    assert_words(line->arguments, line->argument_count, "it's|");
    free(line);
}

static void other_words(void **state)
{
    struct command_line *line = parsed("BOOT_IMAGE=/boot/hello.elf console=ttyS0", "quiet");

    (void)state;
    assert_words(line->unused, line->unused_count, "console=ttyS0|quiet|");
    free(line);
}

static void refused(void **state)
{
    static const struct {
        const char *source, *named;
    } cases[] = {
        {"quire.exit=debag", "quire.exit=debag"},
        {"quire.", "quire."},
        {"quire.env=", "quire.env="},
        {"quire.env==value", "quire.env==value"},
        {"quire.env=NAME", "quire.env=NAME"},
        {"quire.aslr=off2", "quire.aslr=off2"},
        {"quire.unmap=stricter", "quire.unmap=stricter"},
        {"quire.record=file", "quire.record=file"},
        {"quire.record", "quire.record"},
        {"quire.reco",
         "there are quire.exit=debug, quire.aslr=off, quire.unmap=strict or lazy, quire.record=debugcon and "
         "quire.env=NAME=VALUE"},
        {"-- \"open", "quote"},
        {"'open", "quote"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct command_line *line = calloc(1, sizeof(*line));

        assert_int_equal(command_line_add(line, cases[i].source), E_INVAL);
        assert_non_null(strstr(line->problem, cases[i].named));
        assert_null(strchr(line->problem, '\n'));
        free(line);
    }
}

static void too_long(void **state)
{
    struct command_line *line = calloc(1, sizeof(*line));
    char *source = malloc(2 * COMMAND_LINE_TEXT);

    (void)state;
    memset(source, 'x', 2 * COMMAND_LINE_TEXT);
    source[COMMAND_LINE_TEXT - 1] = '\0'; /* the longest word that fits */
    assert_int_equal(command_line_add(line, source), E_SUCCESS);
    assert_int_equal(strlen(line->unused[0]), COMMAND_LINE_TEXT - 1);
    assert_int_equal(command_line_add(line, "y"), E_RANGE);

    memset(line, 0, sizeof(*line));
    source[COMMAND_LINE_TEXT - 1] = 'x';
    source[2 * COMMAND_LINE_TEXT - 1] = '\0';
    assert_int_equal(command_line_add(line, source), E_RANGE);
    assert_non_null(strstr(line->problem, "too long"));

    memset(line, 0, sizeof(*line));
    for (size_t i = 0; i < COMMAND_LINE_WORDS + 1; i++)
        memcpy(source + 2 * i, "w ", 3);
    assert_int_equal(command_line_add(line, source), E_RANGE);
    free(source);
    free(line);
}

/* Any bytes: no crash, and words that lie inside the text. */
static void random_lines(void **state)
{
    struct random random = {harness_seed()};
    static const char alphabet[] = "ab -'\"\\=quire.env";

    (void)state;
    for (int i = 0; i < 20000; i++) {
        struct command_line *line = calloc(1, sizeof(*line));
        char source[64];
        size_t length = random_below(&random, sizeof(source));

        for (size_t j = 0; j < length; j++)
            source[j] = alphabet[random_below(&random, sizeof(alphabet) - 1)];
        source[length] = '\0';
        if (command_line_add(line, source) == E_SUCCESS)
            for (size_t j = 0; j < line->unused_count; j++)
                assert_in_range(line->unused[j] - line->text, 0, line->text_used - 1);
        else
            assert_true(line->problem[0] != '\0');
        free(line);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options),  cmocka_unit_test(environment),  cmocka_unit_test(arguments),
        cmocka_unit_test(quotes),   cmocka_unit_test(other_words),  cmocka_unit_test(refused),
        cmocka_unit_test(too_long), cmocka_unit_test(random_lines),
    };

    return harness_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
