#include "core/archive.h"

#include "core/base/print.h"
#include "core/base/string.h"

#define HEADER_SIZE 110u  /* magic and thirteen fields of eight hexadecimal digits */
#define PADDING_MAX 4096u /* bytes of the end of a name and of what puts the contents on a page */
#define MANIFEST ".quire"
#define TRAILER "TRAILER!!!"
#define SEAL "checksum: " /* two numbers of sixteen hexadecimal digits follow, and the end of the line */
#define SEAL_SIZE (sizeof(SEAL) - 1 + 16 + 1 + 16 + 1)

enum header_field { INODE, MODE, UID, GID, LINKS, TIME, SIZE, DEV_MAJOR, DEV_MINOR, RDEV_MAJOR, RDEV_MINOR, NAME_SIZE };

/* Eight hexadecimal digits; false if one is none. */
static bool parse_field(const uint8_t *digits, uint32_t *value)
{
    *value = 0;
    for (int i = 0; i < 8; i++) {
        uint8_t c = digits[i], digit;

        if (c >= '0' && c <= '9')
            digit = c - '0';
        else if (c >= 'a' && c <= 'f')
            digit = c - 'a' + 10;
        else if (c >= 'A' && c <= 'F')
            digit = c - 'A' + 10;
        else
            return false;
        *value = *value << 4 | digit;
    }
    return true;
}

static bool field(const uint8_t *header, enum header_field which, uint32_t *value)
{
    return parse_field(header + 6 + 8 * which, value);
}

/* Length of the text that ends within so many bytes, or that number. */
static size_t length_within(const char *text, size_t limit)
{
    size_t length = 0;

    while (length < limit && text[length] != '\0')
        length++;
    return length;
}

/* NULL, or what is wrong with the entry that starts at the offset. */
static const char *parse_record(const struct archive *archive, uint64_t offset, struct archive_record *record)
{
    const uint8_t *header = archive->bytes + offset;
    uint32_t name_size;
    uint64_t name_end;
    size_t name_length;

    if (archive->size - offset < HEADER_SIZE)
        return "its header reaches past the end";
    if (memcmp(header, "070702", 6) != 0)
        return "it does not begin with the magic 070702";
    if (!field(header, MODE, &record->mode) || !field(header, TIME, &record->time) ||
        !field(header, SIZE, &record->size) || !field(header, NAME_SIZE, &name_size))
        return "its header has a field that is no number";
    if (name_size < 2 || name_size > ARCHIVE_PATH_MAX + PADDING_MAX)
        return "the length of its name is out of range";
    name_end = offset + HEADER_SIZE + name_size;
    if (name_end > archive->size)
        return "its name reaches past the end";
    record->name = (const char *)header + HEADER_SIZE;
    name_length = length_within(record->name, name_size < ARCHIVE_PATH_MAX ? name_size : ARCHIVE_PATH_MAX);
    if (name_length == name_size || name_length == ARCHIVE_PATH_MAX)
        return "its name does not end where it should";
    if (name_size - name_length > PADDING_MAX)
        return "there is more behind its name than a page needs";
    record->name_length = (uint16_t)name_length;
    record->data = align_up(name_end, 4);
    if (record->data > archive->size || archive->size - record->data < record->size)
        return "its contents reach past the end";
    return NULL;
}

/* The offset of the next header. */
static uint64_t next_header(const struct archive_record *record)
{
    return align_up(record->data + record->size, 4);
}

/* Reads "key N\n" at *text, not beyond end. */
static bool parse_line(const char **text, const char *end, const char *key, uint64_t *value)
{
    size_t length = strlen(key);
    const char *p = *text;
    int digits = 0;

    if ((size_t)(end - p) < length || memcmp(p, key, length) != 0)
        return false;
    *value = 0;
    for (p += length; p < end && *p >= '0' && *p <= '9' && digits < 18; p++, digits++)
        *value = *value * 10 + (uint64_t)(*p - '0');
    if (digits == 0 || p == end || *p != '\n')
        return false;
    *text = p + 1;
    return true;
}

static error_t refused(struct archive *archive, const char *what)
{
    text_format(archive->problem, sizeof(archive->problem), "%s", what);
    return E_INVAL;
}

error_t archive_measure(struct archive *archive, const void *bytes, size_t size)
{
    struct archive_record manifest;
    uint64_t version, length, entries;
    const char *text, *end;

    *archive = (struct archive){.bytes = bytes, .size = size};
    if (parse_record(archive, 0, &manifest) != NULL || strcmp(manifest.name, MANIFEST) != 0)
        return refused(archive, "it is not an archive of packed files");
    text = (const char *)archive->bytes + manifest.data;
    end = text + manifest.size;
    if (!parse_line(&text, end, "quire-files ", &version) || version != 3)
        return refused(archive, "it is of another version than this image reads");
    if (!parse_line(&text, end, "bytes ", &length) || !parse_line(&text, end, "entries ", &entries))
        return refused(archive, "its first entry is damaged");
    if (length > size) {
        text_format(archive->problem, sizeof(archive->problem), "it is truncated: %zu of %llu bytes are there", size,
                    (unsigned long long)length);
        return E_INVAL;
    }
    if (length < next_header(&manifest) || entries > (length - next_header(&manifest)) / HEADER_SIZE ||
        entries >= UINT32_MAX)
        return refused(archive, "its first entry is damaged");
    archive->size = length;
    archive->count = entries;
    return E_SUCCESS;
}

/* Two sums of little-endian words of 32 bits, each modulo 2^64. */
struct fletcher {
    uint64_t first, second;
};

static inline void fletcher_add(struct fletcher *sums, const uint8_t *bytes)
{
    uint32_t word;

    __builtin_memcpy(&word, bytes, sizeof(word));
    sums->first += word;
    sums->second += sums->first;
}

/* size: a multiple of 4. Eight words at a time take half of the instructions: there may be many. */
static struct fletcher fletcher_sum(const uint8_t *bytes, size_t size)
{
    const size_t eight = 8 * sizeof(uint32_t);
    struct fletcher sums = {0, 0};
    size_t at = 0;

    for (; size - at >= eight; at += eight) {
#pragma clang loop unroll(full)
        for (size_t i = 0; i < 8; i++)
            fletcher_add(&sums, bytes + at + i * sizeof(uint32_t));
    }
    for (; at < size; at += sizeof(uint32_t))
        fletcher_add(&sums, bytes + at);
    return sums;
}

/* Sixteen hexadecimal digits. */
static bool parse_sum(const uint8_t *digits, uint64_t *value)
{
    uint32_t high, low;

    if (!parse_field(digits, &high) || !parse_field(digits + 8, &low))
        return false;
    *value = (uint64_t)high << 32 | low;
    return true;
}

error_t archive_verify(struct archive *archive)
{
    const uint8_t *seal = archive->bytes + archive->size - SEAL_SIZE, *digits = seal + sizeof(SEAL) - 1;
    struct fletcher recorded, sums;

    /* The first entry is longer than the seal, so there is room for one. */
    if (archive->size % sizeof(uint32_t) != 0 || memcmp(seal, SEAL, sizeof(SEAL) - 1) != 0 ||
        !parse_sum(digits, &recorded.first) || digits[16] != ' ' || !parse_sum(digits + 17, &recorded.second) ||
        digits[33] != '\n')
        return refused(archive, "it is damaged: there is no checksum at its end");
    sums = fletcher_sum(archive->bytes, archive->size - SEAL_SIZE);
    if (sums.first == recorded.first && sums.second == recorded.second)
        return E_SUCCESS;
    text_format(archive->problem, sizeof(archive->problem),
                "it was altered: its checksum is %016llx %016llx, not %016llx %016llx", (unsigned long long)sums.first,
                (unsigned long long)sums.second, (unsigned long long)recorded.first,
                (unsigned long long)recorded.second);
    return E_INVAL;
}

/* Order of names: bytes, but '/' before all others, so that a directory stands before what is in it. */
static int compare_paths(const char *first, size_t first_length, const char *second, size_t second_length)
{
    size_t shorter = first_length < second_length ? first_length : second_length;

    for (size_t i = 0; i < shorter; i++) {
        int a = first[i] == '/' ? 0 : (uint8_t)first[i], b = second[i] == '/' ? 0 : (uint8_t)second[i];

        if (a != b)
            return a - b;
    }
    return first_length < second_length ? -1 : first_length > second_length;
}

/* No empty part, ".", or "..". */
static bool is_plain_path(const char *path)
{
    for (;;) {
        size_t length = 0;

        while (path[length] != '\0' && path[length] != '/')
            length++;
        if (length == 0 || (length <= 2 && path[0] == '.' && path[length - 1] == '.'))
            return false;
        if (path[length] == '\0')
            return true;
        path += length + 1;
    }
}

static error_t refused_entry(struct archive *archive, size_t number, const char *name, const char *what)
{
    text_format(archive->problem, sizeof(archive->problem), "entry %zu (%.80s): %s", number + 1, name, what);
    return E_INVAL;
}

static bool is_directory_of(const struct archive_record *directory, const struct archive_record *record)
{
    return (directory->mode & ARCHIVE_TYPE) == ARCHIVE_DIRECTORY && record->name_length > directory->name_length &&
           record->name[directory->name_length] == '/' &&
           memcmp(record->name, directory->name, directory->name_length) == 0;
}

/*
 * Finds the directory that an entry is in: in the order of names it is the entry before, or one that the entry before
 * lies in; those that it does not lie in end here. False if its directory is not there.
 */
static bool find_parent(const struct archive *archive, struct archive_record *index, size_t number)
{
    struct archive_record *record = &index[number];
    uint32_t parent = (uint32_t)number;
    size_t prefix;

    while (parent != 0 && !is_directory_of(&index[parent - 1], record)) {
        index[parent - 1].end = (uint32_t)number;
        parent = index[parent - 1].parent;
    }
    record->parent = parent;
    record->end = (uint32_t)archive->count;
    prefix = parent == 0 ? 0 : index[parent - 1].name_length + 1u;
    while (prefix < record->name_length && record->name[prefix] != '/')
        prefix++;
    return prefix == record->name_length;
}

static const char *check_entry(const struct archive *archive, struct archive_record *index, size_t number)
{
    const struct archive_record *record = &index[number];
    const char *target = (const char *)archive->bytes + record->data;
    uint32_t type = record->mode & ARCHIVE_TYPE;

    if (!is_plain_path(record->name))
        return "its name is no plain relative path";
    if (type != ARCHIVE_REGULAR && type != ARCHIVE_DIRECTORY && type != ARCHIVE_LINK)
        return "it is neither a file nor a directory nor a link";
    if (type == ARCHIVE_DIRECTORY && record->size != 0)
        return "it is a directory with contents";
    if (type == ARCHIVE_LINK && (record->size == 0 || record->size >= ARCHIVE_PATH_MAX))
        return "it is a link whose target is empty or too long";
    if (type == ARCHIVE_LINK && length_within(target, record->size) != record->size)
        return "it is a link whose target has a zero byte in it";
    if (number > 0 && compare_paths(record[-1].name, record[-1].name_length, record->name, record->name_length) >= 0)
        return "it is out of order";
    if (!find_parent(archive, index, number))
        return "it is in no directory";
    return NULL;
}

error_t archive_index(struct archive *archive, struct archive_record *index)
{
    struct archive_record record;
    const char *wrong = parse_record(archive, 0, &record);
    uint64_t offset = wrong == NULL ? next_header(&record) : archive->size;

    for (size_t i = 0; i <= archive->count; i++, offset = next_header(&record)) {
        record = (struct archive_record){.name = NULL};
        wrong = offset > archive->size ? "its header reaches past the end" : parse_record(archive, offset, &record);
        if (wrong != NULL)
            return refused_entry(archive, i, "unnamed", wrong);
        if (i == archive->count)
            break;
        index[i] = record;
        wrong = check_entry(archive, index, i);
        if (wrong != NULL)
            return refused_entry(archive, i, record.name, wrong);
    }
    if (strcmp(record.name, TRAILER) != 0)
        return refused_entry(archive, archive->count, record.name, "it should be the trailer");
    archive->index = index;
    return E_SUCCESS;
}

struct archive_entry archive_entry(const struct archive *archive, size_t number)
{
    const struct archive_record *record;

    if (number == ARCHIVE_ROOT)
        return (struct archive_entry){.path = "", .mode = ARCHIVE_DIRECTORY | 0755};
    record = &archive->index[number];
    return (struct archive_entry){
        .path = record->name,
        .path_length = record->name_length,
        .mode = record->mode,
        .time = record->time,
        .bytes = archive->bytes + record->data,
        .size = record->size,
    };
}

/* The first entry whose name is not below the given one. */
static size_t lower_bound(const struct archive *archive, const char *path, size_t length)
{
    size_t low = 0, high = archive->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct archive_record *record = &archive->index[middle];

        if (compare_paths(record->name, record->name_length, path, length) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

error_t archive_find(const struct archive *archive, const char *path, size_t length, size_t *number)
{
    struct archive_entry entry;
    size_t place;

    if (length == 0) {
        *number = ARCHIVE_ROOT;
        return E_SUCCESS;
    }
    place = lower_bound(archive, path, length);
    if (place == archive->count)
        return E_NOENT;
    entry = archive_entry(archive, place);
    if (compare_paths(entry.path, entry.path_length, path, length) != 0)
        return E_NOENT;
    *number = place;
    return E_SUCCESS;
}

static bool is_directory(const struct archive *archive, size_t number)
{
    return number == ARCHIVE_ROOT || (archive_entry(archive, number).mode & ARCHIVE_TYPE) == ARCHIVE_DIRECTORY;
}

size_t archive_parent(const struct archive *archive, size_t number)
{
    uint32_t parent = number == ARCHIVE_ROOT ? 0 : archive->index[number].parent;

    return parent == 0 ? ARCHIVE_ROOT : parent - 1;
}

/* The entry named `part` in the directory; its full name is put together in the buffer of ARCHIVE_PATH_MAX bytes. */
static error_t find_in(const struct archive *archive, size_t directory, const char *part, size_t length, char *buffer,
                       size_t *number)
{
    struct archive_entry entry = archive_entry(archive, directory);
    size_t used = entry.path_length;

    if (length > ARCHIVE_NAME_MAX || used + 1 + length >= ARCHIVE_PATH_MAX)
        return E_NAMETOOLONG;
    memcpy(buffer, entry.path, used);
    if (used > 0)
        buffer[used++] = '/';
    memcpy(buffer + used, part, length);
    return archive_find(archive, buffer, used + length, number);
}

error_t archive_walk(const struct archive *archive, size_t directory, const char *path, size_t *number)
{
    char buffer[ARCHIVE_PATH_MAX];
    size_t at = *path == '/' ? ARCHIVE_ROOT : directory;

    if (*path == '\0')
        return E_NOENT;
    while (*path != '\0') {
        size_t length = 0;
        error_t error = E_SUCCESS;

        if (!is_directory(archive, at))
            return E_NOTDIR;
        while (path[length] != '\0' && path[length] != '/')
            length++;
        if (length == 2 && path[0] == '.' && path[1] == '.')
            at = archive_parent(archive, at);
        else if (length > 0 && !(length == 1 && path[0] == '.'))
            error = find_in(archive, at, path, length, buffer, &at);
        if (error != E_SUCCESS)
            return error;
        path += length;
        /* A '/' behind a name asks for a directory, at the end too. */
        if (*path == '/' && !is_directory(archive, at))
            return E_NOTDIR;
        while (*path == '/')
            path++;
    }
    *number = at;
    return E_SUCCESS;
}

size_t archive_next_child(const struct archive *archive, size_t directory, size_t previous)
{
    size_t first = directory == ARCHIVE_ROOT ? 0 : directory + 1;
    size_t end = directory == ARCHIVE_ROOT ? archive->count : archive->index[directory].end;
    size_t number = previous == SIZE_MAX ? first : archive->index[previous].end;

    return number < end ? number : SIZE_MAX;
}
