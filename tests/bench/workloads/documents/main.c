/*
 * Documents in a part of JSON (objects, arrays, strings with escapes, whole numbers, true, false, null): a text is
 * written by random numbers, parsed into a tree with a block for each value, name and string, changed, written again
 * and torn down. A few documents are kept while the next ones come.
 *
 * Checked: the tree gives the text that it was parsed from, and after one is added to each number and the result was
 * parsed again, the sum of the numbers is what the text was made with and their number.
 */
#include "tests/bench/bench.h"

#define DOCUMENTS 8u /* times the scale */
#define KEPT 4u
#define DEPTH 6u
#define WIDTH 9u     /* at most so many members */
#define VALUES 6000u /* of a document, at least */
#define SEED 0xa0761d6478bd642f

enum kind { NOTHING, NO, YES, NUMBER, STRING, ARRAY, OBJECT };

struct value {
    enum kind kind;
    int64_t number;
    char *text;           /* of a string */
    struct member *first; /* of an array or object */
};

struct member {
    struct member *next;
    char *name; /* NULL in an array */
    struct value value;
};

/* A text that grows at its end. */
struct text {
    char *bytes;
    size_t length, capacity;
};

static void put(struct text *text, char byte)
{
    if (text->length == text->capacity) {
        text->capacity = text->capacity ? 2 * text->capacity : 256;
        text->bytes = bench_realloc(text->bytes, text->capacity);
    }
    text->bytes[text->length++] = byte;
}

static void put_word(struct text *text, const char *word)
{
    while (*word)
        put(text, *word++);
}

static void put_number(struct text *text, int64_t number)
{
    char digits[24];
    unsigned count = 0;
    uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;

    if (number < 0)
        put(text, '-');
    do {
        digits[count++] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    while (count > 0)
        put(text, digits[--count]);
}

static void put_string(struct text *text, const char *string)
{
    put(text, '"');
    for (; *string; string++) {
        if (*string == '"' || *string == '\\')
            put(text, '\\');
        if (*string == '\n')
            put_word(text, "\\n");
        else
            put(text, *string);
    }
    put(text, '"');
}

static void put_value(struct text *text, const struct value *value)
{
    static const char *const words[] = {"null", "false", "true"};

    if (value->kind <= YES) {
        put_word(text, words[value->kind]);
    } else if (value->kind == NUMBER) {
        put_number(text, value->number);
    } else if (value->kind == STRING) {
        put_string(text, value->text);
    } else {
        put(text, value->kind == OBJECT ? '{' : '[');
        for (const struct member *member = value->first; member; member = member->next) {
            if (member->name) {
                put_string(text, member->name);
                put(text, ':');
            }
            put_value(text, &member->value);
            if (member->next)
                put(text, ',');
        }
        put(text, value->kind == OBJECT ? '}' : ']');
    }
}

/* What is parsed; it ends with a NUL. */
static const char *input;

static void expect(const char *word)
{
    for (; *word; word++, input++) {
        if (*input != *word)
            bench_fail("the text of a document is wrong: '%c' where '%c' should be", *input, *word);
    }
}

static char *parse_string(void)
{
    struct text text = {0};

    expect("\"");
    for (; *input != '"' && *input; input++) {
        if (*input == '\\')
            put(&text, *++input == 'n' ? '\n' : *input);
        else
            put(&text, *input);
    }
    expect("\"");
    put(&text, '\0');
    return bench_realloc(text.bytes, text.length);
}

static int64_t parse_number(void)
{
    bool negative = *input == '-';
    uint64_t number = 0;

    for (input += negative; *input >= '0' && *input <= '9'; input++)
        number = 10 * number + (uint64_t)(*input - '0');
    return (int64_t)(negative ? -number : number);
}

static struct value parse(void);

static struct member *parse_members(bool named, char end)
{
    struct member *first = NULL, **last = &first;

    input++;
    while (*input != end) {
        struct member *member = bench_malloc(sizeof(*member));

        if (first)
            expect(",");
        *member = (struct member){.name = named ? parse_string() : NULL};
        if (named)
            expect(":");
        member->value = parse();
        *last = member;
        last = &member->next;
    }
    input++;
    return first;
}

static struct value parse(void)
{
    switch (*input) {
    case 'n':
        expect("null");
        return (struct value){.kind = NOTHING};
    case 'f':
        expect("false");
        return (struct value){.kind = NO};
    case 't':
        expect("true");
        return (struct value){.kind = YES};
    case '"':
        return (struct value){.kind = STRING, .text = parse_string()};
    case '[':
        return (struct value){.kind = ARRAY, .first = parse_members(false, ']')};
    case '{':
        return (struct value){.kind = OBJECT, .first = parse_members(true, '}')};
    default:
        return (struct value){.kind = NUMBER, .number = parse_number()};
    }
}

static void tear_down(struct value *value)
{
    free(value->text);
    for (struct member *member = value->first, *next; member; member = next) {
        next = member->next;
        free(member->name);
        tear_down(&member->value);
        free(member);
    }
}

struct sum {
    int64_t numbers;
    uint64_t count;
};

/* Adds to each number, and sums up. */
static void add(struct value *value, int64_t more, struct sum *sum)
{
    if (value->kind == NUMBER) {
        value->number += more;
        sum->numbers += value->number;
        sum->count++;
    }
    for (struct member *member = value->first; member; member = member->next)
        add(&member->value, more, sum);
}

static void write_string(struct text *text, uint64_t *random)
{
    char string[64];
    uint32_t length = bench_random_below(random, sizeof(string));

    for (uint32_t i = 0; i < length; i++) {
        uint32_t letter = bench_random_below(random, 32);

        string[i] = letter < 26 ? (char)('a' + letter) : " .\"\\\n-"[letter - 26];
    }
    string[length] = '\0';
    put_string(text, string);
}

/* A random value of at most this depth. The number of values in it. */
static uint32_t write_value(struct text *text, unsigned depth, uint64_t *random, struct sum *sum)
{
    enum kind kind = bench_random_below(random, depth > 0 ? OBJECT + 1 : STRING + 1);
    uint32_t values = 1;

    if (kind == NUMBER) {
        int64_t number = (int64_t)bench_random(random) >> (8 + bench_random_below(random, 56));

        put_number(text, number);
        sum->numbers += number;
        sum->count++;
    } else if (kind == STRING) {
        write_string(text, random);
    } else if (kind <= YES) {
        put_value(text, &(struct value){.kind = kind});
    } else {
        uint32_t count = bench_random_below(random, WIDTH + 1);

        put(text, kind == OBJECT ? '{' : '[');
        for (uint32_t i = 0; i < count; i++) {
            if (i > 0)
                put(text, ',');
            if (kind == OBJECT) {
                write_string(text, random);
                put(text, ':');
            }
            values += write_value(text, depth - 1, random, sum);
        }
        put(text, kind == OBJECT ? '}' : ']');
    }
    return values;
}

/* An array with values until there are enough. */
static struct text write_document(uint64_t *random, struct sum *sum)
{
    struct text text = {0};

    put(&text, '[');
    for (uint32_t values = 0; values < VALUES;) {
        if (values > 0)
            put(&text, ',');
        values += write_value(&text, DEPTH, random, sum);
    }
    put(&text, ']');
    put(&text, '\0');
    return text;
}

static struct value parse_text(const struct text *text)
{
    input = text->bytes;
    struct value value = parse();

    bench_check_number("the length of what was parsed", (uint64_t)(input - text->bytes), text->length - 1);
    return value;
}

static struct text text_of(const struct value *value)
{
    struct text text = {0};

    put_value(&text, value);
    put(&text, '\0');
    return text;
}

/* The document after its change. */
static struct value process(uint64_t *random)
{
    struct sum wanted = {0}, changed = {0}, found = {0};
    struct text written = write_document(random, &wanted);
    struct value value = parse_text(&written);
    struct text same = text_of(&value);

    if (same.length != written.length || memcmp(same.bytes, written.bytes, same.length) != 0)
        bench_fail("the text of a document is wrong: it is not that which was parsed");
    add(&value, 1, &changed);
    struct text other = text_of(&value);
    struct value again = parse_text(&other);

    add(&again, 0, &found);
    bench_check_number("the number of numbers in a document", found.count, wanted.count);
    bench_check_number("the sum of a document", (uint64_t)found.numbers, (uint64_t)wanted.numbers + wanted.count);
    tear_down(&value);
    free(written.bytes);
    free(same.bytes);
    free(other.bytes);
    return again;
}

int main(int argc, char **argv)
{
    uint32_t documents = DOCUMENTS * bench_scale(argc, argv);
    struct value kept[KEPT] = {{0}};
    struct bench_span span = {0};
    uint64_t random = SEED;

    bench_open();
    bench_begin(&span);
    for (uint32_t i = 0; i < documents; i++) {
        tear_down(&kept[i % KEPT]);
        kept[i % KEPT] = process(&random);
    }
    for (uint32_t i = 0; i < KEPT; i++)
        tear_down(&kept[i]);
    bench_end(&span);
    bench_print("total", "documents parsed, changed, written, torn down", 1, &span, 0);
    return bench_close();
}
