/* The parser of ELF files: a program made here, with one thing wrong at a time, cut at every length and damaged at
 * every byte of its headers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/elf.h"
#include "harness.h"

#define LOAD 1
#define INTERPRETER 3
#define NOTE 4
#define X 1
#define W 2
#define R 4

#define HEADERS 4

/* Text with the headers in it, a note, data with zeros behind them, and a segment of zeros alone. */
struct image {
    struct elf_header header;
    struct elf_program_header segments[HEADERS];
    uint8_t contents[0x3000];
};

static struct image good(void)
{
    struct image image = {
        .header =
            {
                .identification = {0x7f, 'E', 'L', 'F', 2, 1, 1, 0},
                .type = 2,
                .machine = 62,
                .version = 1,
                .entry = 0x400800,
                .program_headers = sizeof(struct elf_header),
                .header_size = sizeof(struct elf_header),
                .program_header_size = sizeof(struct elf_program_header),
                .program_header_count = HEADERS,
            },
        .segments =
            {
                {LOAD, R | X, 0, 0x400000, 0, 0x1000, 0x1000, 0x1000},
                {NOTE, R, 0, 0x400000, 0, 0x20, 0x20, 4},
                {LOAD, R | W, 0x1ff0, 0x402ff0, 0, 0x100, 0x2000, 0x1000},
                {LOAD, R, 0, 0x406000, 0, 0, 0x1000, 0x200000},
            },
    };

    return image;
}

static const char *parse(const struct image *image, struct elf_program *program)
{
    return elf_parse(image, sizeof(*image), program);
}

static void reads(void **state)
{
    struct image image = good();
    struct elf_program program;

    (void)state;
    assert_null(parse(&image, &program));
    assert_false(program.position_independent);
    assert_int_equal(program.entry, 0x400800);
    assert_int_equal(program.start, 0x400000);
    assert_int_equal(program.end, 0x407000);
    assert_int_equal(program.alignment, 0x200000);
    assert_int_equal(program.headers, 0x400000 + sizeof(struct elf_header));
    assert_int_equal(program.header_count, HEADERS);
    assert_int_equal(program.segment_count, 3);
    assert_true(program.segments[0].execute && !program.segments[0].write);
    assert_true(program.segments[1].write && !program.segments[1].execute);
    assert_int_equal(program.segments[1].offset, 0x1ff0);
    assert_int_equal(program.segments[1].memory_size, 0x2000);
    assert_int_equal(program.segments[2].file_size, 0);

    image.header.type = 3;
    assert_null(parse(&image, &program));
    assert_true(program.position_independent);

    image.segments[0].file_size = 64; /* without the program headers */
    assert_null(parse(&image, &program));
    assert_int_equal(program.headers, 0);
}

/* A change of one field, and what is then said. */
struct change {
    size_t offset, size;
    uint64_t value;
    const char *problem; /* NULL: none */
};

#define FIELD(member) offsetof(struct image, member), sizeof(((struct image *)0)->member)

static void refuses(void **state)
{
    static const struct change changes[] = {
        {FIELD(header.identification[0]), '#', "no ELF"},
        {FIELD(header.identification[4]), 1, "64-bit"},
        {FIELD(header.identification[5]), 2, "another processor"},
        {FIELD(header.identification[6]), 2, "version"},
        {FIELD(header.identification[7]), 3, NULL},
        {FIELD(header.identification[7]), 9, "another system"},
        {FIELD(header.type), 1, "object file"},
        {FIELD(header.type), 4, "core dump"},
        {FIELD(header.type), 0, "no program"},
        {FIELD(header.machine), 183, "another processor"},
        {FIELD(header.version), 0, "version"},
        {FIELD(header.entry), 0x3fffff, "no executable segment"},
        {FIELD(header.entry), 0x400fff, NULL},
        {FIELD(header.entry), 0x401000, "no executable segment"},
        {FIELD(header.entry), 0x403000, "no executable segment"},
        {FIELD(header.entry), UINT64_MAX, "no executable segment"},
        {FIELD(header.program_header_size), 55, "no program headers"},
        {FIELD(header.program_header_count), 0, "no program headers"},
        {FIELD(header.program_header_count), 0xffff, "truncated"},
        {FIELD(header.program_headers), UINT64_MAX, "truncated"},
        {FIELD(header.program_headers), sizeof(struct image), "truncated"},
        {FIELD(segments[1].type), INTERPRETER, "dynamically linked"},
        {FIELD(segments[0].flags), R | W | X, "both writable and executable"},
        {FIELD(segments[0].flags), X, NULL},
        {FIELD(segments[0].flags), R, "no executable segment"},
        {FIELD(segments[0].file_size), 0x1001, "larger in the file"},
        {FIELD(segments[0].file_size), UINT64_MAX, "truncated"},
        {FIELD(segments[0].offset), UINT64_MAX - 0xfff, "truncated"},
        {FIELD(segments[0].offset), 0x10, "place in a page"},
        {FIELD(segments[0].address), 0x800000000000, "outside"},
        {FIELD(segments[0].address), 0x400010, "place in a page"},
        {FIELD(segments[0].address), 0x408000, "out of order"},
        {FIELD(segments[0].memory_size), UINT64_MAX, "outside"},
        {FIELD(segments[0].memory_size), 0x2000, NULL},
        {FIELD(segments[0].memory_size), 0x2001, "share a page"},
        {FIELD(segments[0].memory_size), 0, "no executable segment"}, /* passed over */
        {FIELD(segments[0].alignment), 0, NULL},
        {FIELD(segments[0].alignment), 3, "alignment"},
        {FIELD(segments[0].alignment), (uint64_t)1 << 31, "alignment"},
        {FIELD(segments[3].address), 0x405000 - 0x1000, "share a page"},
        {FIELD(segments[3].memory_size), 0, NULL},
        {FIELD(segments[3].memory_size), ((uint64_t)1 << 47) - 0x406000, NULL},
        {FIELD(segments[3].memory_size), ((uint64_t)1 << 47) - 0x405fff, "outside"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        struct image image = good();
        struct elf_program program;
        const char *problem;

        memcpy((uint8_t *)&image + changes[i].offset, &changes[i].value, changes[i].size);
        problem = parse(&image, &program);
        if ((problem == NULL) != (changes[i].problem == NULL) ||
            (problem != NULL && strstr(problem, changes[i].problem) == NULL))
            fail_msg("change %zu: %s", i, problem ? problem : "accepted");
    }
}

static void other_files(void **state)
{
    static const struct {
        const char *text, *problem;
    } cases[] = {{"", "no ELF"},
                 {"#!/bin/sh\n", "script"},
                 {"\x7f"
                  "ELF",
                  "no ELF"},
                 {"MZ", "no ELF"}};
    struct elf_program program;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t size = strlen(cases[i].text);
        uint8_t *copy = malloc(size + 1);

        memcpy(copy, cases[i].text, size);
        assert_non_null(strstr(elf_parse(copy, size, &program), cases[i].problem));
        free(copy);
    }
}

static void many_segments(void **state)
{
    struct {
        struct elf_header header;
        struct elf_program_header segments[ELF_SEGMENTS_MAX + 1];
    } image;
    struct image model = good();
    struct elf_program program;

    (void)state;
    image.header = model.header;
    for (unsigned i = 0; i <= ELF_SEGMENTS_MAX; i++) {
        image.segments[i] = (struct elf_program_header){LOAD, R | X, 0, 0x400000 + i * 0x1000, 0, 0, 0x1000, 0x1000};
        image.header.program_header_count = (uint16_t)(i + 1);
        if (i < ELF_SEGMENTS_MAX)
            assert_null(elf_parse(&image, sizeof(image), &program));
        else
            assert_non_null(strstr(elf_parse(&image, sizeof(image), &program), "too many"));
    }
    image.header.program_header_count = 1;
    image.segments[0].type = NOTE;
    assert_non_null(strstr(elf_parse(&image, sizeof(image), &program), "nothing to load"));
}

/* Never an access beyond the end, and what is accepted lies inside. */
static void truncated_and_damaged(void **state)
{
    struct image image = good();
    struct elf_program program;

    (void)state;
    for (size_t size = 0; size < sizeof(image); size += size < 512 ? 1 : 61) {
        uint8_t *copy = malloc(size + 1);

        memcpy(copy, &image, size);
        if (elf_parse(copy, size, &program) == NULL)
            for (size_t i = 0; i < program.segment_count; i++)
                assert_true(program.segments[i].offset + program.segments[i].file_size <= size);
        free(copy);
    }
    for (size_t i = 0; i < offsetof(struct image, contents); i++)
        for (int bit = 0; bit < 8; bit++) {
            ((uint8_t *)&image)[i] ^= (uint8_t)(1 << bit);
            elf_parse(&image, sizeof(image), &program);
            ((uint8_t *)&image)[i] ^= (uint8_t)(1 << bit);
        }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads),
        cmocka_unit_test(refuses),
        cmocka_unit_test(other_files),
        cmocka_unit_test(many_segments),
        cmocka_unit_test(truncated_and_damaged),
    };

    return harness_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
