#include "core/command_line.h"

#include "core/base/print.h"
#include "core/base/string.h"

/* Takes one word off the source, a character at a time. */
struct word_reader {
    const char *next;
    char quote; /* the open one, or 0 */
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Goes to the start of the next word; false at the end of the source. */
static bool word_begin(struct word_reader *reader)
{
    while (is_blank(*reader->next))
        reader->next++;
    reader->quote = 0;
    return *reader->next != '\0';
}

/* The next character of the word as an unsigned char, or -1 at its end. */
static int word_next(struct word_reader *reader)
{
    for (;;) {
        char c = *reader->next;

        if (c == '\0' || (reader->quote == 0 && is_blank(c)))
            return -1;
        reader->next++;
        if (c == reader->quote) {
            reader->quote = 0;
        } else if (reader->quote == 0 && (c == '"' || c == '\'')) {
            reader->quote = c;
        } else if (c == '\\' && reader->quote != '\'' && *reader->next != '\0') {
            return (unsigned char)*reader->next++;
        } else {
            return (unsigned char)c;
        }
    }
}

/* Copies a word into the text; E_INVAL for an open quote, E_RANGE if there is no room. */
static error_t keep_word(struct command_line *line, struct word_reader *reader, char **word)
{
    int c;

    *word = line->text + line->text_used;
    while ((c = word_next(reader)) >= 0) {
        if (line->text_used + 1 >= COMMAND_LINE_TEXT)
            return E_RANGE;
        line->text[line->text_used++] = (char)c;
    }
    if (line->text_used >= COMMAND_LINE_TEXT)
        return E_RANGE;
    line->text[line->text_used++] = '\0';
    return reader->quote == 0 ? E_SUCCESS : E_INVAL;
}

static error_t append(const char **list, size_t *count, const char *word)
{
    if (*count == COMMAND_LINE_WORDS)
        return E_RANGE;
    list[(*count)++] = word;
    return E_SUCCESS;
}

/* Bytes of NAME in NAME=VALUE; 0 if there is no name or no '='. */
static size_t name_length(const char *variable)
{
    size_t length = 0;

    while (variable[length] != '\0' && variable[length] != '=')
        length++;
    return variable[length] == '=' ? length : 0;
}

static error_t add_variable(struct command_line *line, const char *variable)
{
    size_t length = name_length(variable);

    if (length == 0)
        return E_INVAL;
    for (size_t i = 0; i < line->environment_count; i++)
        if (strncmp(line->environment[i], variable, length + 1) == 0) {
            line->environment[i] = variable;
            return E_SUCCESS;
        }
    return append(line->environment, &line->environment_count, variable);
}

/* An option without its "quire.". */
static error_t add_option(struct command_line *line, const char *option)
{
    if (strcmp(option, "exit=debug") == 0)
        line->debug_exit = true;
    else if (strcmp(option, "aslr=off") == 0)
        line->aslr_off = true;
    else if (strcmp(option, "record=debugcon") == 0)
        line->record = true;
    else if (strcmp(option, "unmap=strict") == 0 || strcmp(option, "unmap=lazy") == 0)
        line->unmap_lazy = !(line->unmap_strict = option[6] == 's');
    else if (strncmp(option, "env=", 4) == 0)
        return add_variable(line, option + 4);
    else
        return E_INVAL;
    return E_SUCCESS;
}

static error_t add_word(struct command_line *line, const char *word)
{
    if (strncmp(word, "quire.", 6) == 0)
        return add_option(line, word + 6);
    if (strncmp(word, "BOOT_IMAGE=", 11) == 0)
        return E_SUCCESS;
    return append(line->unused, &line->unused_count, word);
}

/* Says what was wrong with the word. */
static error_t failed(struct command_line *line, error_t error, const char *word, bool open_quote)
{
    if (error == E_RANGE)
        text_format(line->problem, sizeof(line->problem), "the command line is too long: at most %d words, %d bytes",
                    COMMAND_LINE_WORDS, COMMAND_LINE_TEXT);
    else if (open_quote)
        text_format(line->problem, sizeof(line->problem), "the command line has a quote that is not closed");
    else
        text_format(line->problem, sizeof(line->problem),
                    "unknown option %.60s on the command line; there are quire.exit=debug, quire.aslr=off, "
                    "quire.unmap=strict or lazy, quire.record=debugcon and quire.env=NAME=VALUE",
                    word);
    return error;
}

error_t command_line_add(struct command_line *line, const char *source)
{
    struct word_reader reader = {.next = source};
    bool program = false;
    char *word;
    error_t error;

    while (word_begin(&reader)) {
        error = keep_word(line, &reader, &word);
        if (error != E_SUCCESS)
            return failed(line, error, word, true);
        if (!program && strcmp(word, "--") == 0) {
            program = line->has_arguments = true;
            line->argument_count = 0;
            continue;
        }
        error = program ? append(line->arguments, &line->argument_count, word) : add_word(line, word);
        if (error != E_SUCCESS)
            return failed(line, error, word, false);
    }
    return E_SUCCESS;
}
