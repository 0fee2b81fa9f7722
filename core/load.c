/*
 * Loading an existing static program (after Linux's fs/binfmt_elf.c). Every PT_LOAD becomes a private mapping of the
 * packed file for the pages that have bytes there, and one of anon for the zeros behind them; brk begins behind the
 * last one. Text and constants are the archive's own pages, data are copied when they are written to. Nothing is
 * writable and executable at once.
 */
#include "core/archive.h"
#include "core/base/string.h"
#include "core/config.h"
#include "core/cpu.h"
#include "core/elf.h"
#include "core/init.h"
#include "core/linux/calls.h"
#include "core/linux/memory.h"
#include "core/linux/node.h"
#include "core/program.h"
#include "core/random.h"
#include "vm/object.h"

/* Where position-independent programs lie: Linux's place for them (ELF_ET_DYN_BASE), moved up by so many random pages,
 * which leaves brk 400 GiB in the region of 2 TiB. */
#define BASE 0x555555554000u
#define BASE_RANDOM_PAGES ((uint64_t)1 << 26)

static _Noreturn void refuse_program(const char *why)
{
    refuse("the program %s cannot be run: it %s", quire_config.program, why);
}

static struct archive_entry find_program(void)
{
    struct archive *files = linux_files();
    size_t number;

    if (archive_find(files, quire_config.program, strlen(quire_config.program), &number) != E_SUCCESS)
        refuse("the program %s is not among the packed files", quire_config.program);
    return archive_entry(files, number);
}

static uint64_t choose_base(const struct elf_program *elf, bool fixed)
{
    uint64_t base = BASE + (fixed ? 0 : random_word() % BASE_RANDOM_PAGES * VM_PAGE_SIZE);

    return elf->position_independent ? align_down(base, elf->alignment) : 0;
}

static void check(const void *result, vaddr_t start)
{
    if (IS_ERR(result))
        refuse("the program %s cannot be put at %#llx: %s", quire_config.program, (unsigned long long)start,
               error_name(ERR_OF(result)));
}

/* Clears the rest of the page that the file's bytes of a segment end in. */
static void clear_tail(vaddr_t from, vaddr_t to)
{
    static const char zeros[256];

    while (from < to) {
        size_t part = to - from < sizeof(zeros) ? to - from : sizeof(zeros);

        if (user_write((void *)from, zeros, part) != E_SUCCESS)
            refuse_program("needs more RAM than there is");
        from += part;
    }
}

static void map_segment(struct vm_object *file, const struct elf_segment *segment, uint64_t base)
{
    vaddr_t at = base + segment->address, start = align_down(at, VM_PAGE_SIZE);
    vaddr_t file_end = at + segment->file_size, zeros = align_up(file_end, VM_PAGE_SIZE);
    vaddr_t end = align_up(at + segment->memory_size, VM_PAGE_SIZE);
    vm_flags_t flags = VM_READ | (segment->write ? VM_WRITE : 0) | (segment->execute ? VM_EXEC : 0);
    bool has_tail = segment->file_size < segment->memory_size && file_end < zeros;

    if (segment->file_size == 0)
        zeros = start;
    else
        check(vm_object_map(vm_space(), file, segment->offset / VM_PAGE_SIZE, start, zeros - start,
                            VM_MERGE | (has_tail ? VM_RW : flags | (segment->write ? 0 : VM_POPULATE)), false, false),
              start);
    if (segment->file_size != 0 && has_tail) {
        clear_tail(file_end, zeros);
        check(ERR_PTR(vm_protect(vm_space(), start, zeros - start, flags)), start);
    }
    if (zeros < end)
        check(vm_alloc(vm_space(), &vm_anon, zeros, end - zeros, VM_MERGE | flags), zeros);
}

void quire_load_program(struct program *program, bool fixed)
{
    static char path[ARCHIVE_PATH_MAX + 1] = "/";
    struct archive_entry file = find_program();
    struct elf_program elf;
    struct node *node;
    const char *wrong = elf_parse(file.bytes, file.size, &elf), *name = path;
    uint64_t base;

    if (wrong != NULL)
        refuse_program(wrong);
    base = choose_base(&elf, fixed);
    node = tree_execute(quire_config.program);
    if (node == NULL)
        refuse_program("needs more RAM than there is");
    for (size_t i = 0; i < elf.segment_count; i++)
        map_segment(node_object(node), &elf.segments[i], base);
    check(ERR_PTR(linux_brk_begin(base + elf.end)), base + elf.end);
    memcpy(path + 1, file.path, file.path_length + 1);
    for (const char *c = path; *c != '\0'; c++)
        if (*c == '/')
            name = c + 1;
    *program = (struct program){
        .entry = base + elf.entry,
        .headers = elf.headers == 0 ? 0 : base + elf.headers,
        .header_size = sizeof(struct elf_program_header),
        .header_count = elf.header_count,
        .path = path,
        .name = name,
    };
}
