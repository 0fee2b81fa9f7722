/*
 * A line of JSON for the record (core/record.h), written as it is made: of any length, without allocation. The writer
 * sets commas; names and values are the caller's business:
 *
 *     json_begin(&line);                       {
 *     json_member_text(&line, "kind", "x");    "kind":"x"
 *     json_name(&line, "list");                ,"list":
 *     json_open(&line, '[');                   [
 *     json_number(&line, 1);                   1
 *     json_number(&line, 2);                   ,2
 *     json_close(&line, ']');                  ]
 *     json_end(&line);                         } and the end of the line
 */
#ifndef CORE_OBSERVE_JSON_H
#define CORE_OBSERVE_JSON_H

#include "core/base/types.h"

struct json {
    size_t used;
    bool comma; /* the next value or name needs one in front */
    char bytes[256];
};

void json_begin(struct json *);
void json_end(struct json *);

/* '{' or '[', and the closing one. */
void json_open(struct json *, char bracket);
void json_close(struct json *, char bracket);

/* The name of the value that follows; a plain word. */
void json_name(struct json *, const char *name);

void json_number(struct json *, uint64_t);
void json_address(struct json *, uint64_t); /* "0x...": JSON's own numbers end at 2^53 for many readers */
void json_fraction(struct json *, uint64_t numerator, uint64_t denominator); /* four decimals; denominator < 2^50 */
/* Any bytes: quotes, backslashes and control characters are escaped, and so is each byte that is no ASCII, as the
 * character of that number, so that the line is always valid. */
void json_text(struct json *, const char *);

void json_member_number(struct json *, const char *name, uint64_t);
void json_member_text(struct json *, const char *name, const char *);

#endif
