#include "core/base/print.h"

#include "core/console.h"

#include <stdbool.h>
#include <stdint.h>

#define LINE_MAX 256 /* of kprintf, with the end of the string */

/* Where the text goes; length counts on past the end of the buffer. */
struct output {
    char *buffer;
    size_t size, length;
};

/* One conversion: % flags width precision length letter. */
struct conversion {
    bool left, zero, plus, space, alternate;
    int width, precision; /* precision < 0: none given */
    unsigned bytes;       /* of the argument */
    char letter;
};

static void put(struct output *out, char c)
{
    if (out->length + 1 < out->size)
        out->buffer[out->length] = c;
    out->length++;
}

static void put_repeated(struct output *out, char c, int count)
{
    while (count-- > 0)
        put(out, c);
}

static void put_bytes(struct output *out, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        put(out, bytes[i]);
}

static const char *parse_flags(const char *p, struct conversion *c)
{
    for (;; p++) {
        switch (*p) {
        case '-':
            c->left = true;
            break;
        case '0':
            c->zero = true;
            break;
        case '+':
            c->plus = true;
            break;
        case ' ':
            c->space = true;
            break;
        case '#':
            c->alternate = true;
            break;
        default:
            return p;
        }
    }
}

static const char *parse_length(const char *p, struct conversion *c)
{
    c->bytes = sizeof(int);
    switch (*p) {
    case 'h':
        c->bytes = p[1] == 'h' ? 1 : 2;
        return p + (p[1] == 'h' ? 2 : 1);
    case 'l':
        c->bytes = 8;
        return p + (p[1] == 'l' ? 2 : 1);
    case 'z':
    case 'j':
    case 't':
        c->bytes = 8;
        return p + 1;
    default:
        return p;
    }
}

static const char *parse_number(const char *p, int *number)
{
    const int limit = 1 << 20; /* a width beyond it is a mistake; and the sum stays far from INT_MAX */

    *number = 0;
    for (; *p >= '0' && *p <= '9'; p++)
        if (*number < limit)
            *number = *number * 10 + (*p - '0');
    return p;
}

/* Sign or base prefix, zeros up to the precision, digits; padded to the width. */
static void put_number(struct output *out, struct conversion c, uint64_t value, bool negative)
{
    const char *digits = c.letter == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    unsigned base = c.letter == 'o' ? 8 : c.letter == 'x' || c.letter == 'X' || c.letter == 'p' ? 16 : 10;
    char text[24], prefix[2];
    int length = 0, prefix_length = 0, zeros, padding;

    if (negative || c.plus || c.space)
        prefix[prefix_length++] = negative ? '-' : c.plus ? '+' : ' ';
    if (base == 16 && (c.letter == 'p' || (c.alternate && value != 0))) {
        prefix[prefix_length++] = '0';
        prefix[prefix_length++] = c.letter == 'X' ? 'X' : 'x';
    }
    if (value != 0 || c.precision != 0)
        do {
            text[length++] = digits[value % base];
            value /= base;
        } while (value != 0);
    if (base == 8 && c.alternate && c.precision <= length && (length == 0 || text[length - 1] != '0'))
        text[length++] = '0';

    zeros = c.precision > length ? c.precision - length : 0;
    padding = c.width - prefix_length - zeros - length;
    if (c.zero && !c.left && c.precision < 0 && padding > 0) {
        zeros = padding;
        padding = 0;
    }
    if (!c.left)
        put_repeated(out, ' ', padding);
    put_bytes(out, prefix, (size_t)prefix_length);
    put_repeated(out, '0', zeros);
    while (length > 0)
        put(out, text[--length]);
    if (c.left)
        put_repeated(out, ' ', padding);
}

static void put_text(struct output *out, const struct conversion *c, const char *text)
{
    int length = 0, padding;

    if (text == NULL)
        text = "(null)";
    while ((c->precision < 0 || length < c->precision) && text[length] != '\0')
        length++;
    padding = c->width - length;
    if (!c->left)
        put_repeated(out, ' ', padding);
    put_bytes(out, text, (size_t)length);
    if (c->left)
        put_repeated(out, ' ', padding);
}

/* The argument cut to its type, as a sign and a magnitude: INT64_MIN has no positive counterpart. */
static uint64_t signed_argument(uint64_t raw, unsigned bytes, bool *negative)
{
    unsigned unused = 64 - 8 * bytes;
    int64_t value = (int64_t)(raw << unused) >> unused;

    *negative = value < 0;
    return value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
}

/* Everything after '%', in a copy of the caller's list: a va_list parameter may be an array. */
static const char *put_conversion(struct output *out, const char *p, va_list *arguments)
{
    struct conversion c = {.precision = -1};
    const char *start = p;
    uint64_t value;
    bool negative = false;

    p = parse_flags(p, &c);
    if (*p == '*') {
        c.width = va_arg(*arguments, int);
        c.left = c.left || c.width < 0;
        c.width = c.width < 0 ? -c.width : c.width;
        p++;
    } else {
        p = parse_number(p, &c.width);
    }
    if (*p == '.') {
        if (*++p == '*') {
            c.precision = va_arg(*arguments, int);
            p++;
        } else {
            p = parse_number(p, &c.precision);
        }
    }
    p = parse_length(p, &c);
    c.letter = *p++;

    switch (c.letter) {
    case 'd':
    case 'i':
        value = c.bytes == 8 ? va_arg(*arguments, uint64_t) : va_arg(*arguments, unsigned);
        value = signed_argument(value, c.bytes, &negative);
        put_number(out, c, value, negative);
        return p;
    case 'u':
    case 'x':
    case 'X':
    case 'o':
        value = c.bytes == 8 ? va_arg(*arguments, uint64_t) : va_arg(*arguments, unsigned);
        c.plus = c.space = false;
        put_number(out, c, c.bytes < 4 ? value & ((1u << 8 * c.bytes) - 1) : value, false);
        return p;
    case 'p':
        put_number(out, c, (uintptr_t)va_arg(*arguments, void *), false);
        return p;
    case 's':
        put_text(out, &c, va_arg(*arguments, const char *));
        return p;
    case 'c':
        put_repeated(out, ' ', c.left ? 0 : c.width - 1);
        put(out, (char)va_arg(*arguments, int));
        put_repeated(out, ' ', c.left ? c.width - 1 : 0);
        return p;
    case '%':
        put(out, '%');
        return p;
    default: /* not a conversion: shown as it is, so that the mistake is seen */
        put(out, '%');
        return start;
    }
}

int text_vformat(char *buffer, size_t size, const char *format, va_list arguments)
{
    struct output out = {.buffer = buffer, .size = size};
    va_list copy;

    va_copy(copy, arguments);
    while (*format != '\0') {
        if (*format == '%')
            format = put_conversion(&out, format + 1, &copy);
        else
            put(&out, *format++);
    }
    va_end(copy);
    if (size > 0)
        buffer[out.length < size ? out.length : size - 1] = '\0';
    return (int)out.length;
}

int text_format(char *buffer, size_t size, const char *format, ...)
{
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = text_vformat(buffer, size, format, arguments);
    va_end(arguments);
    return length;
}

void kprintf(const char *format, ...)
{
    char line[LINE_MAX];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = text_vformat(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (length >= LINE_MAX) {
        length = LINE_MAX - 1;
        line[length - 1] = '\n'; /* a cut line still ends */
    }
    console_write(line, (size_t)length);
}
