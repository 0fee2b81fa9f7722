/* Text that the core makes: what generated files and links show (node.h). It doubles its memory as it grows. */
#include "core/linux/text.h"

#include "core/allocate.h"
#include "core/base/print.h"
#include "core/base/string.h"

#define FIRST_SIZE 256u

struct text {
    const struct node *subject;
    char *bytes;
    size_t length, size;
    bool failed; /* for want of memory */
};

struct text *text_create(const struct node *subject)
{
    struct text *text = core_allocate(sizeof(*text));

    if (text != NULL)
        text->subject = subject;
    return text;
}

const struct node *text_subject(const struct text *text)
{
    return text->subject;
}

void text_destroy(struct text *text)
{
    if (text == NULL)
        return;
    core_release(text->bytes, text->size);
    core_release(text, sizeof(*text));
}

/* Room for `more` bytes and an end. */
static bool make_room(struct text *text, size_t more)
{
    size_t size = text->size > 0 ? text->size : FIRST_SIZE;
    char *larger;

    if (text->length + more < text->size)
        return true;
    while (size <= text->length + more)
        size *= 2;
    larger = size <= ALLOCATE_MAX ? core_allocate(size) : NULL;
    if (larger == NULL)
        return false;
    if (text->length > 0)
        memcpy(larger, text->bytes, text->length);
    core_release(text->bytes, text->size);
    text->bytes = larger;
    text->size = size;
    return true;
}

void text_add(struct text *text, const char *format, ...)
{
    va_list arguments, again;
    int length;

    va_start(arguments, format);
    va_copy(again, arguments);
    length = text_vformat(NULL, 0, format, arguments);
    if (!text->failed && make_room(text, (size_t)length)) {
        text_vformat(text->bytes + text->length, text->size - text->length, format, again);
        text->length += (size_t)length;
    } else {
        text->failed = true;
    }
    va_end(again);
    va_end(arguments);
}

void text_add_bytes(struct text *text, const void *bytes, size_t length)
{
    if (text->failed || !make_room(text, length)) {
        text->failed = true;
        return;
    }
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
}

bool text_failed(const struct text *text)
{
    return text->failed;
}

const char *text_bytes(const struct text *text, size_t *length)
{
    *length = text->length;
    return text->bytes;
}
