#include "core/observe/json.h"

#include "core/base/print.h"
#include "core/base/string.h"
#include "core/record.h"

static void flush(struct json *json)
{
    record_write(json->bytes, json->used);
    json->used = 0;
}

static void put(struct json *json, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (json->used == sizeof(json->bytes))
            flush(json);
        json->bytes[json->used++] = bytes[i];
    }
}

static void separate(struct json *json)
{
    if (json->comma)
        put(json, ",", 1);
    json->comma = true;
}

void json_begin(struct json *json)
{
    json->used = 0;
    json->comma = false;
    json_open(json, '{');
}

void json_end(struct json *json)
{
    json_close(json, '}');
    put(json, "\n", 1);
    flush(json);
}

void json_open(struct json *json, char bracket)
{
    separate(json);
    put(json, &bracket, 1);
    json->comma = false;
}

void json_close(struct json *json, char bracket)
{
    put(json, &bracket, 1);
    json->comma = true;
}

void json_name(struct json *json, const char *name)
{
    json_text(json, name);
    put(json, ":", 1);
    json->comma = false;
}

void json_number(struct json *json, uint64_t number)
{
    char text[24];

    separate(json);
    put(json, text, (size_t)text_format(text, sizeof(text), "%llu", (unsigned long long)number));
}

/* A profile has tens of thousands of them, which are written while the program waits. */
void json_address(struct json *json, uint64_t address)
{
    char text[2 + 16 + 2], *first = text + sizeof(text);

    *--first = '"';
    do {
        *--first = "0123456789abcdef"[address & 15];
        address >>= 4;
    } while (address != 0);
    *--first = 'x';
    *--first = '0';
    separate(json);
    put(json, "\"", 1);
    put(json, first, (size_t)(text + sizeof(text) - first));
}

void json_fraction(struct json *json, uint64_t numerator, uint64_t denominator)
{
    uint64_t decimals = numerator % denominator * 10000 / denominator;
    char text[32];

    separate(json);
    put(json, text,
        (size_t)text_format(text, sizeof(text), "%llu.%04llu", (unsigned long long)(numerator / denominator),
                            (unsigned long long)decimals));
}

void json_text(struct json *json, const char *text)
{
    char escape[8];

    separate(json);
    put(json, "\"", 1);
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '"' || c == '\\')
            put(json, "\\", 1);
        if (c >= 0x20 && c < 0x7f)
            put(json, text, 1);
        else
            put(json, escape, (size_t)text_format(escape, sizeof(escape), "\\u%04x", c));
    }
    put(json, "\"", 1);
}

void json_member_number(struct json *json, const char *name, uint64_t number)
{
    json_name(json, name);
    json_number(json, number);
}

void json_member_text(struct json *json, const char *name, const char *text)
{
    json_name(json, name);
    json_text(json, text);
}
