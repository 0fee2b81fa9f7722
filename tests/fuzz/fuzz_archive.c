/* libFuzzer target: any bytes as packed files. Opened archives are read whole and walked along every name in them. */
#include <stdlib.h>
#include <string.h>

#include "core/archive.h"
#include "core/console.h"

#define FIELD_OF_TEXT 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

void console_write(const char *bytes, size_t length)
{
    (void)bytes;
    (void)length;
}

static void check(int condition)
{
    if (!condition)
        abort();
}

static void visit(const struct archive *archive, size_t number)
{
    struct archive_entry entry = archive_entry(archive, number);
    size_t found;

    check(archive_find(archive, entry.path, entry.path_length, &found) == E_SUCCESS && found == number);
    if (archive_walk(archive, ARCHIVE_ROOT, entry.path, &found) == E_SUCCESS)
        check(found == number);
    archive_parent(archive, number);
    for (size_t child = archive_next_child(archive, number, SIZE_MAX); child != SIZE_MAX;
         child = archive_next_child(archive, number, child))
        check(child < archive->count && archive_parent(archive, child) == number);
}

/* The first bytes are a path, the rest the archive. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct archive archive;
    char path[FIELD_OF_TEXT + 1] = "";
    size_t path_length = size < FIELD_OF_TEXT ? size : FIELD_OF_TEXT, number;
    struct archive_record *index = NULL;

    memcpy(path, data, path_length);
    data += path_length;
    size -= path_length;
    if (archive_measure(&archive, data, size) == E_SUCCESS) {
        archive_verify(&archive); /* reads all contents */
        index = malloc(archive.count * sizeof(*index));
        if (archive_index(&archive, index) == E_SUCCESS) {
            for (number = 0; number < archive.count; number++)
                visit(&archive, number);
            archive_walk(&archive, ARCHIVE_ROOT, path, &number);
        }
    }
    free(index);
    return 0;
}
