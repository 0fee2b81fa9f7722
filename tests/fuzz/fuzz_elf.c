/* libFuzzer target: any bytes as a program. What is accepted keeps what core/elf.h promises. */
#include <stdlib.h>

#include "core/elf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct elf_program program;
    uint64_t end = 0;
    bool entered = false;

    if (elf_parse(data, size, &program) != NULL)
        return 0;
    check(program.segment_count >= 1 && program.segment_count <= ELF_SEGMENTS_MAX);
    check(program.alignment >= VM_PAGE_SIZE && (program.alignment & (program.alignment - 1)) == 0);
    for (size_t i = 0; i < program.segment_count; i++) {
        const struct elf_segment *segment = &program.segments[i];

        check(segment->offset <= size && segment->file_size <= size - segment->offset);
        check(segment->file_size <= segment->memory_size && segment->memory_size > 0);
        check(segment->address % VM_PAGE_SIZE == segment->offset % VM_PAGE_SIZE);
        check(align_down(segment->address, VM_PAGE_SIZE) >= end);
        check(!(segment->write && segment->execute));
        end = align_up(segment->address + segment->memory_size, VM_PAGE_SIZE);
        check(end <= (uint64_t)1 << 47);
        entered |= segment->execute && program.entry - segment->address < segment->memory_size;
    }
    check(program.end == end && entered);
    return 0;
}
