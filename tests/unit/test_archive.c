/* core/archive.c: archives made here, walked, cut at every length and damaged at every byte. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/archive.h"
#include "core/console.h"
#include "harness.h"

/* For kprintf, which nothing here calls. */
void console_write(const char *bytes, size_t length)
{
    (void)bytes;
    fail_msg("%zu bytes were printed", length);
}

#define DIRECTORY (ARCHIVE_DIRECTORY | 0755)
#define REGULAR (ARCHIVE_REGULAR | 0644)
#define LINK (ARCHIVE_LINK | 0777)

struct source {
    const char *path;
    uint32_t mode;
    const char *contents;
};

static const struct source files[] = {
    {"a", DIRECTORY, ""},           {"a/b", DIRECTORY, ""},
    {"a/b/c.txt", REGULAR, "deep"}, {"a/b/link", LINK, "../b.txt"},
    {"a/b.txt", REGULAR, "next"},   {"a-b", REGULAR, "dash"},
    {"empty", REGULAR, ""},         {"z", DIRECTORY, ""},
    {"z/empty", DIRECTORY, ""},     {"z/\xc3\xa9", REGULAR, "accent"},
};
#define FILES (sizeof(files) / sizeof(files[0]))

static size_t padding = 44; /* zero bytes behind the end of a regular file's name */

struct image {
    uint8_t bytes[16384];
    size_t size;
};

static void add_entry(struct image *image, const char *name, uint32_t mode, const char *contents)
{
    uint32_t sum = 0;
    size_t length = strlen(contents), name_size = strlen(name) + 1 + (mode == REGULAR ? padding : 0);

    for (size_t i = 0; i < length; i++)
        sum += (uint8_t)contents[i];
    sprintf((char *)image->bytes + image->size, "070702%08x%08x%08x%08x%08x%08x%08zx%08x%08x%08x%08x%08zx%08x%s", 1,
            mode, 0, 0, 1, 77, length, 0, 0, 0, 0, name_size, sum, name);
    image->size += 110 + name_size;
    image->size = (image->size + 3) & ~(size_t)3;
    memcpy(image->bytes + image->size, contents, length);
    image->size = (image->size + length + 3) & ~(size_t)3;
}

/* Fletcher's checksum, by its definition: the second sum counts each word once for every word from it on. */
static void add_seal(struct image *image)
{
    unsigned long long first = 0, second = 0;
    size_t words = image->size / 4;

    for (size_t i = 0; i < words; i++) {
        const uint8_t *b = &image->bytes[4 * i];
        unsigned long long word = b[0] | b[1] << 8 | b[2] << 16 | (unsigned long long)b[3] << 24;

        first += word;
        second += word * (words - i);
    }
    image->size += (size_t)sprintf((char *)image->bytes + image->size, "checksum: %016llx %016llx\n", first, second);
}

/* The size stands in the first entry with a fixed number of digits, so that two passes agree. */
static struct image pack(const struct source *sources, size_t count)
{
    struct image image = {.size = 0};
    char manifest[64];

    for (int pass = 0; pass < 2; pass++) {
        snprintf(manifest, sizeof(manifest), "quire-files 3\nbytes %06zu\nentries %zu\n", image.size, count);
        memset(&image, 0, sizeof(image));
        add_entry(&image, ".quire", ARCHIVE_REGULAR | 0600, manifest);
        for (size_t i = 0; i < count; i++)
            add_entry(&image, sources[i].path, sources[i].mode, sources[i].contents);
        add_entry(&image, "TRAILER!!!", 0, "");
        add_seal(&image);
    }
    return image;
}

/* Bytes and index in memory of exactly their size: an access beyond is seen by the sanitizer. Nothing is kept of what
 * is refused. */
static error_t open_copy(struct archive *archive, const void *bytes, size_t size)
{
    uint8_t *copy = malloc(size);
    struct archive_record *index = NULL;
    error_t error;

    memcpy(copy, bytes, size);
    error = archive_measure(archive, copy, size);
    if (error == E_SUCCESS) {
        index = malloc(archive->count * sizeof(*index));
        error = archive_index(archive, index);
    }
    if (error) {
        free(index);
        free(copy);
    }
    return error;
}

static void close_copy(struct archive *archive)
{
    free((void *)archive->bytes);
    free(archive->index);
}

static struct archive opened(void)
{
    struct image image = pack(files, FILES);
    struct archive archive;

    assert_int_equal(open_copy(&archive, image.bytes, image.size), E_SUCCESS);
    return archive;
}

static void finds_all(void **state)
{
    struct archive archive = opened();
    size_t number;

    (void)state;
    assert_int_equal(archive.count, FILES);
    for (size_t i = 0; i < FILES; i++) {
        struct archive_entry entry;

        assert_int_equal(archive_find(&archive, files[i].path, strlen(files[i].path), &number), E_SUCCESS);
        assert_int_equal(number, i);
        entry = archive_entry(&archive, number);
        assert_string_equal(entry.path, files[i].path);
        assert_int_equal(entry.mode, files[i].mode);
        assert_int_equal(entry.time, 77);
        assert_int_equal(entry.size, strlen(files[i].contents));
        assert_memory_equal(entry.bytes, files[i].contents, entry.size);
    }
    assert_int_equal(archive_verify(&archive), E_SUCCESS);
    assert_int_equal(archive_find(&archive, "a/b/", 4, &number), E_NOENT);
    assert_int_equal(archive_find(&archive, "zz", 2, &number), E_NOENT);
    assert_int_equal(archive_find(&archive, "", 0, &number), E_SUCCESS);
    assert_true(number == ARCHIVE_ROOT);
    close_copy(&archive);
}

static void walks(void **state)
{
    static const struct {
        const char *directory, *path;
        error_t error;
        const char *found;
    } cases[] = {
        {"", "/", E_SUCCESS, ""},
        {"", ".", E_SUCCESS, ""},
        {"", "/..", E_SUCCESS, ""},
        {"", "//a///b//c.txt", E_SUCCESS, "a/b/c.txt"},
        {"", "a/./b/../b.txt", E_SUCCESS, "a/b.txt"},
        {"", "a/b/../..", E_SUCCESS, ""},
        {"a", "b/c.txt", E_SUCCESS, "a/b/c.txt"},
        {"a/b", "..", E_SUCCESS, "a"},
        {"a/b", "/a-b", E_SUCCESS, "a-b"},
        {"", "a/", E_SUCCESS, "a"},
        {"", "z/\xc3\xa9", E_SUCCESS, "z/\xc3\xa9"},
        {"", "", E_NOENT, NULL},
        {"", "b", E_NOENT, NULL},
        {"", "none/../a", E_NOENT, NULL},
        {"", "a-b/", E_NOTDIR, NULL},
        {"", "a-b/..", E_NOTDIR, NULL},
        {"", "a-b/x", E_NOTDIR, NULL},
        {"", "a/b/link", E_SUCCESS, "a/b/link"}, /* not followed */
        {"", "a/b/link/x", E_NOTDIR, NULL},
        {"", "...", E_NOENT, NULL},
    };
    struct archive archive = opened();

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t directory, number;

        assert_int_equal(archive_find(&archive, cases[i].directory, strlen(cases[i].directory), &directory), E_SUCCESS);
        assert_int_equal(archive_walk(&archive, directory, cases[i].path, &number), cases[i].error);
        if (cases[i].found != NULL)
            assert_string_equal(archive_entry(&archive, number).path, cases[i].found);
    }
    close_copy(&archive);
}

static void long_names(void **state)
{
    struct archive archive = opened();
    char path[2 * ARCHIVE_PATH_MAX];
    size_t number;

    (void)state;
    memset(path, 'x', sizeof(path));
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(archive_walk(&archive, ARCHIVE_ROOT, path, &number), E_NAMETOOLONG);
    path[256] = '\0';
    assert_int_equal(archive_walk(&archive, ARCHIVE_ROOT, path, &number), E_NAMETOOLONG);
    path[255] = '\0';
    assert_int_equal(archive_walk(&archive, ARCHIVE_ROOT, path, &number), E_NOENT);
    close_copy(&archive);
}

static void assert_children(const struct archive *archive, const char *path, const char *expected)
{
    char text[256] = "";
    size_t directory;

    assert_int_equal(archive_walk(archive, ARCHIVE_ROOT, path, &directory), E_SUCCESS);
    for (size_t child = archive_next_child(archive, directory, SIZE_MAX); child != SIZE_MAX;
         child = archive_next_child(archive, directory, child)) {
        assert_true(archive_parent(archive, child) == directory);
        strcat(text, archive_entry(archive, child).path);
        strcat(text, " ");
    }
    assert_string_equal(text, expected);
}

static void directories(void **state)
{
    struct archive archive = opened(), none = {.count = 0};
    size_t number;

    (void)state;
    assert_children(&archive, "/", "a a-b empty z ");
    assert_children(&archive, "a", "a/b a/b.txt ");
    assert_children(&archive, "a/b", "a/b/c.txt a/b/link ");
    assert_children(&archive, "z", "z/empty z/\xc3\xa9 ");
    close_copy(&archive);

    assert_children(&none, "/", "");
    assert_int_equal(archive_walk(&none, ARCHIVE_ROOT, "a", &number), E_NOENT);
}

static void refuses(void **state)
{
    static const struct {
        struct source sources[3];
        const char *problem;
    } cases[] = {
        {{{"b", REGULAR, ""}, {"a", REGULAR, ""}, {"c", REGULAR, ""}}, "out of order"},
        {{{"a", REGULAR, ""}, {"b", REGULAR, ""}, {"b", REGULAR, ""}}, "out of order"},
        {{{"/a", REGULAR, ""}, {"b", REGULAR, ""}, {"c", REGULAR, ""}}, "plain"},
        {{{"a/../b", REGULAR, ""}, {"b", REGULAR, ""}, {"c", REGULAR, ""}}, "plain"},
        {{{"a/", REGULAR, ""}, {"b", REGULAR, ""}, {"c", REGULAR, ""}}, "plain"},
        {{{"a", 0020666, ""}, {"b", REGULAR, ""}, {"c", REGULAR, ""}}, "neither"},
        {{{"a", LINK, ""}, {"b", REGULAR, ""}, {"c", REGULAR, ""}}, "target is empty"},
        {{{"a", DIRECTORY, ""}, {"b/c", REGULAR, ""}, {"c", REGULAR, ""}}, "in no directory"},
        {{{"a", REGULAR, ""}, {"a/b", REGULAR, ""}, {"c", REGULAR, ""}}, "in no directory"},
        {{{"a", LINK, "c"}, {"a/b", REGULAR, ""}, {"c", DIRECTORY, ""}}, "in no directory"},
        {{{"a", DIRECTORY, ""}, {"a/b", DIRECTORY, ""}, {"a/c/d", REGULAR, ""}}, "in no directory"},
        {{{"a/b", REGULAR, ""}, {"c", REGULAR, ""}, {"d", REGULAR, ""}}, "in no directory"},

        {{{"a", DIRECTORY, "contents"}, {"b", REGULAR, ""}, {"c", REGULAR, ""}}, "directory with"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct image image = pack(cases[i].sources, 3);
        struct archive archive;

        assert_int_equal(open_copy(&archive, image.bytes, image.size), E_INVAL);
        assert_non_null(strstr(archive.problem, cases[i].problem));
    }
}

/* Targets of links are text of a bounded length; sums of files of all lengths are those of the bytes. */
static void contents(void **state)
{
    static char text[ARCHIVE_PATH_MAX + 2];
    struct source sources[] = {{"a", LINK, text}};
    struct archive archive;
    struct image image;

    (void)state;
    memset(text, 0xff, ARCHIVE_PATH_MAX + 1);
    for (size_t length = ARCHIVE_PATH_MAX + 1; length > 0; length -= length > 40 ? 39 : 1) {
        text[length] = '\0';
        image = pack(sources, 1);
        assert_int_equal(open_copy(&archive, image.bytes, image.size), length < ARCHIVE_PATH_MAX ? E_SUCCESS : E_INVAL);
        if (length >= ARCHIVE_PATH_MAX)
            continue;
        assert_int_equal(archive_entry(&archive, 0).size, length);
        assert_int_equal(archive_verify(&archive), E_SUCCESS);
        *(uint8_t *)(archive_entry(&archive, 0).bytes + length / 2) = 0;
        assert_int_equal(archive_index(&archive, archive.index), E_INVAL);
        assert_non_null(strstr(archive.problem, "zero byte"));
        close_copy(&archive);
    }
}

static void padding_of_names(void **state)
{
    static const struct {
        size_t padding;
        const char *problem;
    } cases[] = {{0, NULL}, {4094, NULL}, {4096, "behind its name"}, {2 * 4096, "out of range"}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct archive archive;
        struct image image;
        error_t error;

        padding = cases[i].padding;
        image = pack(files + 5, 1);
        error = open_copy(&archive, image.bytes, image.size);
        padding = 44;
        assert_int_equal(error, cases[i].problem == NULL ? E_SUCCESS : E_INVAL);
        if (error)
            assert_non_null(strstr(archive.problem, cases[i].problem));
        else
            close_copy(&archive);
    }
}

static void truncated(void **state)
{
    struct image image = pack(files, FILES);
    struct archive archive;

    (void)state;
    for (size_t size = 1; size < image.size; size++) {
        assert_int_equal(open_copy(&archive, image.bytes, size), E_INVAL);
        assert_true(archive.problem[0] != '\0');
    }
    assert_int_equal(archive_measure(&archive, image.bytes, image.size - 1), E_INVAL);
    assert_non_null(strstr(archive.problem, "truncated"));
    /* A module may be longer: some loaders round up. */
    assert_int_equal(open_copy(&archive, image.bytes, image.size + 8), E_SUCCESS);
    close_copy(&archive);
}

/* Every byte changed: never an access beyond, and the checksum tells. */
static void damaged(void **state)
{
    struct image image = pack(files, FILES);

    (void)state;
    for (size_t i = 0; i < image.size; i++) {
        struct archive archive;

        image.bytes[i] ^= 0x55;
        if (open_copy(&archive, image.bytes, image.size) == E_SUCCESS) {
            assert_int_equal(archive_verify(&archive), E_INVAL);
            assert_non_null(strstr(archive.problem, "checksum"));
            close_copy(&archive);
        }
        image.bytes[i] ^= 0x55;
    }
}

/* Any two words that changed places, and any two bits that changed. */
static void damaged_twice(void **state)
{
    struct image image = pack(files, FILES), other;
    size_t words = (image.size - 44) / 4;
    struct archive archive;

    (void)state;
    for (size_t i = 0; i < 20000; i++) {
        size_t first = 50 + (size_t)rand() % (words - 50), second = 50 + (size_t)rand() % (words - 50);

        other = image;
        if (i % 2 == 0) {
            memcpy(&other.bytes[4 * first], &image.bytes[4 * second], 4);
            memcpy(&other.bytes[4 * second], &image.bytes[4 * first], 4);
        } else {
            other.bytes[4 * first + 3] ^= 0x80;
            other.bytes[4 * second + 3] ^= 0x80;
        }
        if (memcmp(&other, &image, sizeof(image)) == 0 ||
            archive_measure(&archive, other.bytes, other.size) != E_SUCCESS)
            continue;
        assert_int_equal(archive_verify(&archive), E_INVAL);
    }
}

static void no_seal(void **state)
{
    struct image image = pack(files, FILES);
    struct archive archive;

    (void)state;
    for (size_t behind = 1; behind <= 44; behind++) {
        image.bytes[image.size - behind] ^= 0x40;
        assert_int_equal(archive_measure(&archive, image.bytes, image.size), E_SUCCESS);
        assert_int_equal(archive_verify(&archive), E_INVAL);
        image.bytes[image.size - behind] ^= 0x40;
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_all),        cmocka_unit_test(walks),
        cmocka_unit_test(long_names),       cmocka_unit_test(directories),
        cmocka_unit_test(refuses),          cmocka_unit_test(truncated),
        cmocka_unit_test(damaged),          cmocka_unit_test(damaged_twice),
        cmocka_unit_test(no_seal),          cmocka_unit_test(contents),
        cmocka_unit_test(padding_of_names),
    };

    return harness_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
