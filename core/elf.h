/*
 * Static Linux programs as files: what of an ELF file has to be in memory for it to run (System V gABI, chapters 4 and
 * 5; x86-64 psABI). The file is not trusted. Pure; runs on the host. images/elf.py says the same when an image is
 * configured, in more words.
 */
#ifndef CORE_ELF_H
#define CORE_ELF_H

#include "core/base/types.h"

/* ELF-64 file header. */
struct elf_header {
    uint8_t identification[16];
    uint16_t type, machine;
    uint32_t version;
    uint64_t entry, program_headers, section_headers;
    uint32_t flags;
    uint16_t header_size, program_header_size, program_header_count;
    uint16_t section_header_size, section_header_count, section_names;
};
_Static_assert(sizeof(struct elf_header) == 64, "Elf64_Ehdr");

struct elf_program_header {
    uint32_t type, flags;
    uint64_t offset, address, physical_address, file_size, memory_size, alignment;
};
_Static_assert(sizeof(struct elf_program_header) == 56, "Elf64_Phdr");

#define ELF_SEGMENTS_MAX 16

/* One PT_LOAD: file_size bytes from offset on at address, zeros behind them. offset and address are equal modulo a
 * page.
 */
struct elf_segment {
    uint64_t offset, address, file_size, memory_size;
    bool write, execute; /* not both */
};

struct elf_program {
    bool position_independent; /* addresses count from a base, which is a multiple of alignment */
    uint64_t alignment;        /* a power of two, a page at least */
    uint64_t entry;            /* in an executable segment */
    uint64_t start, end;       /* of all segments, in whole pages */
    uint64_t headers;          /* where the program headers lie in memory (AT_PHDR); 0: nowhere */
    unsigned header_count;
    size_t segment_count; /* at least 1; in the order of their addresses, no two on one page */
    struct elf_segment segments[ELF_SEGMENTS_MAX];
};

/* NULL, or what is wrong with the file, to be put behind "it ": a phrase. Then the program is undefined. */
const char *elf_parse(const void *bytes, size_t size, struct elf_program *program);

#endif
