/* The other side of text_add (node.h): who makes a text and reads it. */
#ifndef CORE_LINUX_TEXT_H
#define CORE_LINUX_TEXT_H

#include "core/linux/node.h"

struct text *text_create(const struct node *subject); /* empty; NULL: no memory */
void text_destroy(struct text *);
/* Any bytes, for files that are no text. */
void text_add_bytes(struct text *, const void *, size_t length);
bool text_failed(const struct text *);                       /* something did not fit into memory */
const char *text_bytes(const struct text *, size_t *length); /* not terminated; of an empty text NULL */

#endif
