#include "core/symbols.h"

#define SYMBOLS_MAGIC 0x4d595351u /* "QSYM" */

#define NAME_STEPS 512u /* 256 characters, and the tokens above them */

/* As written by images/symbols.py, which owns the description. */
struct symbols_header {
    uint32_t magic;
    uint32_t count;
    uint64_t base;
    uint32_t limit;
    uint16_t characters;
    uint16_t tokens;
    uint32_t distance_bytes;
    uint32_t name_bytes;
    uint64_t build;
};

_Static_assert(sizeof(struct symbols_header) == 40, "layout of images/symbols.py");

struct bytes {
    const uint8_t *start;
    size_t size;
};

struct symbols {
    const struct symbols_header *header;
    const uint8_t *characters, *tokens;
    struct bytes distances, names;
};

struct output { /* of one name; size includes the terminator */
    char *text;
    size_t size, length;
    size_t before; /* names that are passed over */
    size_t steps;  /* left: no more than names can take */
};

static bool symbols_open(struct symbols *symbols, const void *blob, size_t size)
{
    const struct symbols_header *header = blob;
    uint64_t needed;

    if (size < sizeof(*header) || !is_aligned((uintptr_t)blob, 8) || header->magic != SYMBOLS_MAGIC)
        return false;
    needed = sizeof(*header) + header->characters + 2ull * header->tokens + header->distance_bytes + header->name_bytes;
    if (needed > size)
        return false;
    symbols->header = header;
    symbols->characters = (const uint8_t *)(header + 1);
    symbols->tokens = symbols->characters + header->characters;
    symbols->distances = (struct bytes){symbols->tokens + 2u * header->tokens, header->distance_bytes};
    symbols->names = (struct bytes){symbols->distances.start + header->distance_bytes, header->name_bytes};
    return true;
}

/* Takes the next number (ULEB128 of at most 32 bits); false if there is none. */
static bool take_number(struct bytes *numbers, uint32_t *number)
{
    *number = 0;
    for (unsigned shift = 0; numbers->size > 0 && shift < 32; shift += 7) {
        uint8_t byte = *numbers->start++;

        numbers->size--;
        *number |= (uint32_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

/* The index of the last symbol that starts at or before the offset, and its start; false if there is none. */
static bool find_index(const struct symbols *symbols, uint32_t offset, size_t *index, uint32_t *start)
{
    struct bytes left = symbols->distances;
    uint32_t at = 0, distance;
    size_t i = 0;

    while (i < symbols->header->count && take_number(&left, &distance) && distance <= offset - at) {
        at += distance;
        i++;
    }
    *index = i - 1;
    *start = at;
    return i > 0;
}

/* What a byte of the names stands for; false at the end of the wanted name, and where the blob is damaged. A token's
 * bytes are less than its own, so this ends. */
static bool expand(const struct symbols *symbols, unsigned byte, struct output *output)
{
    const struct symbols_header *header = symbols->header;

    if (output->steps-- == 0)
        return false;
    if (byte >= header->characters) {
        const uint8_t *token = &symbols->tokens[2 * (byte - header->characters)];

        return byte - header->characters < header->tokens && token[0] < byte && token[1] < byte &&
               expand(symbols, token[0], output) && expand(symbols, token[1], output);
    }
    if (output->before > 0) {
        output->before -= byte == 0;
        return true;
    }
    if (byte != 0 && output->length + 1 < output->size)
        output->text[output->length++] = (char)symbols->characters[byte];
    return byte != 0;
}

bool symbols_find(const void *blob, size_t blob_size, uintptr_t address, char *name, size_t size, size_t *offset)
{
    struct output output = {.text = name, .size = size};
    struct symbols symbols;
    uint32_t start;
    size_t index;

    if (size == 0 || !symbols_open(&symbols, blob, blob_size))
        return false;
    if (address < symbols.header->base || address - symbols.header->base >= symbols.header->limit)
        return false;
    address -= symbols.header->base;
    if (!find_index(&symbols, (uint32_t)address, &index, &start))
        return false;
    output.before = index;
    output.steps = (index + 1) * NAME_STEPS;
    for (size_t i = 0; i < symbols.names.size && expand(&symbols, symbols.names.start[i], &output);)
        i++;
    name[output.length] = '\0';
    *offset = address - start;
    return output.length > 0;
}

uint64_t symbols_build(void)
{
    extern const char __symbols_start[], __symbols_end[];
    struct symbols symbols;
    bool good = symbols_open(&symbols, __symbols_start, (size_t)(__symbols_end - __symbols_start));

    return good ? symbols.header->build : 0;
}

bool symbol_lookup(uintptr_t address, char *name, size_t size, size_t *offset)
{
    extern const char __symbols_start[], __symbols_end[];

    return symbols_find(__symbols_start, (size_t)(__symbols_end - __symbols_start), address, name, size, offset);
}
