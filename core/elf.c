#include "core/elf.h"

#include "core/base/string.h"

/* x86-64 addresses that programs may have: the lower half of 47 bits. */
#define ADDRESS_END ((uint64_t)1 << 47)
#define ALIGNMENT_MAX ((uint64_t)1 << 30)

enum { CLASS = 4, DATA = 5, VERSION = 6, OSABI = 7 }; /* in the identification */
enum { CLASS_64 = 2, DATA_LITTLE = 1, VERSION_CURRENT = 1, OSABI_SYSTEM_V = 0, OSABI_LINUX = 3 };
enum { TYPE_RELOCATABLE = 1, TYPE_EXECUTABLE = 2, TYPE_SHARED = 3, TYPE_CORE = 4 };
enum { MACHINE_X86_64 = 62 };
enum { PT_LOAD = 1, PT_INTERP = 3 };
enum { PF_X = 1, PF_W = 2 };

static const char *check_header(const uint8_t *bytes, size_t size, const struct elf_header *header)
{
    if (size >= 2 && bytes[0] == '#' && bytes[1] == '!')
        return "is a script, not a program";
    if (size < sizeof(*header) || memcmp(bytes,
                                         "\x7f"
                                         "ELF",
                                         4) != 0)
        return "is no ELF file";
    if (bytes[CLASS] != CLASS_64)
        return "is no 64-bit program";
    if (bytes[DATA] != DATA_LITTLE || header->machine != MACHINE_X86_64)
        return "is a program for another processor than x86-64";
    if (bytes[VERSION] != VERSION_CURRENT || header->version != VERSION_CURRENT)
        return "is of an unknown version of ELF";
    if (bytes[OSABI] != OSABI_SYSTEM_V && bytes[OSABI] != OSABI_LINUX)
        return "is a program for another system than Linux";
    if (header->type == TYPE_RELOCATABLE)
        return "is an object file, not a program";
    if (header->type == TYPE_CORE)
        return "is a core dump, not a program";
    if (header->type != TYPE_EXECUTABLE && header->type != TYPE_SHARED)
        return "is no program";
    if (header->program_header_size != sizeof(struct elf_program_header) || header->program_header_count == 0)
        return "has no program headers";
    if (header->program_headers > size ||
        header->program_header_count > (size - header->program_headers) / sizeof(struct elf_program_header))
        return "is truncated: its program headers reach past its end";
    return NULL;
}

static const char *check_segment(const struct elf_program *program, const struct elf_program_header *header,
                                 size_t size)
{
    uint64_t address = header->address;

    if (header->offset > size || size - header->offset < header->file_size)
        return "is truncated: a segment reaches past its end";
    if (header->file_size > header->memory_size)
        return "has a segment that is larger in the file than in memory";
    if (address >= ADDRESS_END || header->memory_size > ADDRESS_END - address)
        return "has a segment outside of the addresses that programs have";
    if ((address - header->offset) % VM_PAGE_SIZE != 0)
        return "has a segment whose place in a page is another one in the file";
    if (header->alignment > ALIGNMENT_MAX || (header->alignment & (header->alignment - 1)) != 0)
        return "has a segment whose alignment is no power of two, or too large";
    if ((header->flags & PF_W) && (header->flags & PF_X))
        return "has a segment that would be both writable and executable";
    if (program->segment_count == ELF_SEGMENTS_MAX)
        return "has too many segments";
    /* The end so far is that of a page: what shares a page with the segment before is refused here too. */
    if (program->segment_count > 0 && align_down(address, VM_PAGE_SIZE) < program->end)
        return "has segments that are out of order or share a page";
    return NULL;
}

static void add_segment(struct elf_program *program, const struct elf_header *file,
                        const struct elf_program_header *header)
{
    uint64_t headers_size = file->program_header_count * sizeof(*header);

    program->segments[program->segment_count++] = (struct elf_segment){
        .offset = header->offset,
        .address = header->address,
        .file_size = header->file_size,
        .memory_size = header->memory_size,
        .write = (header->flags & PF_W) != 0,
        .execute = (header->flags & PF_X) != 0,
    };
    if (program->segment_count == 1)
        program->start = align_down(header->address, VM_PAGE_SIZE);
    program->end = align_up(header->address + header->memory_size, VM_PAGE_SIZE);
    if (header->alignment > program->alignment)
        program->alignment = header->alignment;
    if (file->program_headers >= header->offset && headers_size <= header->file_size &&
        file->program_headers - header->offset <= header->file_size - headers_size)
        program->headers = header->address + (file->program_headers - header->offset);
}

static bool is_executable(const struct elf_program *program, uint64_t address)
{
    for (size_t i = 0; i < program->segment_count; i++) {
        const struct elf_segment *segment = &program->segments[i];

        if (segment->execute && address >= segment->address && address - segment->address < segment->memory_size)
            return true;
    }
    return false;
}

const char *elf_parse(const void *bytes, size_t size, struct elf_program *program)
{
    struct elf_header file = {.type = 0};
    const char *wrong;

    memcpy(&file, bytes, size < sizeof(file) ? size : sizeof(file));
    wrong = check_header(bytes, size, &file);
    *program = (struct elf_program){
        .position_independent = file.type == TYPE_SHARED,
        .alignment = VM_PAGE_SIZE,
        .entry = file.entry,
        .header_count = file.program_header_count,
    };
    for (unsigned i = 0; wrong == NULL && i < file.program_header_count; i++) {
        struct elf_program_header header;

        memcpy(&header, (const uint8_t *)bytes + file.program_headers + i * sizeof(header), sizeof(header));
        if (header.type == PT_INTERP)
            wrong = "is dynamically linked: link it with -static";
        if (header.type != PT_LOAD || header.memory_size == 0)
            continue;
        wrong = check_segment(program, &header, size);
        if (wrong == NULL)
            add_segment(program, &file, &header);
    }
    if (wrong == NULL && program->segment_count == 0)
        wrong = "has nothing to load";
    if (wrong == NULL && !is_executable(program, program->entry))
        wrong = program->position_independent ? "is a shared library, not a program"
                                              : "begins where it has no executable segment";
    return wrong;
}
