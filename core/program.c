/*
 * The initial stack, from its high end (System V psABI for x86-64, 3.4.1; Linux fs/binfmt_elf.c):
 *
 *     0 (8 bytes)            the end
 *     strings                file name, environment, arguments
 *     more for the vector    16 random bytes, the platform's name
 *     auxiliary vector       pairs, the last one AT_NULL
 *     environment            pointers, NULL
 *     arguments              pointers, NULL
 *     argc                   the stack pointer, a multiple of 16
 */
#include "core/program.h"

#include "core/base/print.h"
#include "core/base/string.h"
#include "core/config.h"
#include "core/cpu.h"
#include "core/elf.h"
#include "core/init.h"
#include "core/linux/abi.h"
#include "core/observe.h"
#include "core/random.h"
#include "vm/space.h"

enum {
    AT_NULL = 0,
    AT_IGNORE = 1,
    AT_PHDR = 3,
    AT_PHENT = 4,
    AT_PHNUM = 5,
    AT_PAGESZ = 6,
    AT_BASE = 7,
    AT_FLAGS = 8,
    AT_ENTRY = 9,
    AT_UID = 11,
    AT_EUID = 12,
    AT_GID = 13,
    AT_EGID = 14,
    AT_PLATFORM = 15,
    AT_HWCAP = 16,
    AT_CLKTCK = 17,
    AT_SECURE = 23,
    AT_RANDOM = 25,
    AT_HWCAP2 = 26,
    AT_EXECFN = 31,
    AT_SYSINFO_EHDR = 33,
    AT_MINSIGSTKSZ = 51,
};

struct auxiliary {
    uint64_t type, value;
};

#define SIGNAL_FRAME 1024 /* bytes of a signal frame besides the extended state, generously */

extern const struct elf_header __image_start; /* the linker maps the file's headers there */
void _start(void) __attribute__((weak));      /* the libc's; not in an image with an existing program */

static struct program program;
const void *program_vdso;

const struct program *program_running(void)
{
    return &program;
}

/* The part of the stack that is still free, from its low end: what is pushed goes to its high end. */
struct room {
    char *low, *high;
};

static void *push(struct room *room, const void *bytes, size_t size)
{
    if (size > (size_t)(room->high - room->low))
        refuse("arguments and environment take more than half of the stack of %llu KiB: give the program a larger one",
               (unsigned long long)quire_config.stack / 1024);
    room->high -= size;
    return memcpy(room->high, bytes, size);
}

static uintptr_t push_string(struct room *room, const char *text)
{
    return (uintptr_t)push(room, text, strlen(text) + 1);
}

/* Pushes the last string first, so that they lie in memory in their order. */
static void push_strings(struct room *room, const char *const *strings, size_t count)
{
    while (count > 0)
        push_string(room, strings[--count]);
}

static size_t count_strings(const char *const *strings)
{
    size_t count = 0;

    while (strings[count] != NULL)
        count++;
    return count;
}

static bool is_replaced(const struct command_line *line, const char *variable)
{
    size_t length = 0;

    while (variable[length] != '\0' && variable[length] != '=')
        length++;
    for (size_t i = 0; i < line->environment_count; i++)
        if (strncmp(line->environment[i], variable, length) == 0 && line->environment[i][length] == '=')
            return true;
    return false;
}

/* Variables of the command line replace those of the same name in the configuration. Returns their number. */
static size_t push_environment(struct room *room, const struct command_line *line)
{
    size_t count = line->environment_count;

    push_strings(room, line->environment, count);
    for (size_t i = count_strings(quire_config.environment); i > 0; i--)
        if (!is_replaced(line, quire_config.environment[i - 1])) {
            push_string(room, quire_config.environment[i - 1]);
            count++;
        }
    return count;
}

static size_t push_arguments(struct room *room, const struct command_line *line)
{
    const char *const *arguments = line->has_arguments ? line->arguments : quire_config.arguments;
    size_t count = line->has_arguments ? line->argument_count : count_strings(arguments);

    push_strings(room, arguments, count);
    push_string(room, program.name);
    return count + 1;
}

/* Pointers to `count` strings that follow each other, then NULL; the strings' end in *strings. */
static uintptr_t *put_pointers(uintptr_t *slot, const char **strings, size_t count)
{
    for (; count > 0; count--) {
        *slot++ = (uintptr_t)*strings;
        *strings += strlen(*strings) + 1;
    }
    *slot++ = 0;
    return slot;
}

/* Returns the initial stack pointer. */
static vaddr_t build_stack(struct room room, const struct command_line *line)
{
    const uint64_t end = 0, random[2] = {random_word(), random_word()};
    uintptr_t name, *stack, *slot;
    size_t argument_count, environment_count, size;
    const char *strings;

    push(&room, &end, sizeof(end));
    name = push_string(&room, program.path);
    environment_count = push_environment(&room, line);
    argument_count = push_arguments(&room, line);
    strings = room.high;

    const struct auxiliary vector[] = {
        {program_vdso != NULL ? AT_SYSINFO_EHDR : AT_IGNORE, (uintptr_t)program_vdso},
        {AT_MINSIGSTKSZ, cpu_extended_state_size() + SIGNAL_FRAME},
        {AT_HWCAP, cpu_capabilities()},
        {AT_PAGESZ, VM_PAGE_SIZE},
        {AT_CLKTCK, CLOCK_TICKS},
        {AT_PHDR, program.headers},
        {AT_PHENT, program.header_size},
        {AT_PHNUM, program.header_count},
        {AT_BASE, 0},
        {AT_FLAGS, 0},
        {AT_ENTRY, program.entry},
        {AT_UID, 0},
        {AT_EUID, 0},
        {AT_GID, 0},
        {AT_EGID, 0},
        {AT_SECURE, 0},
        {AT_RANDOM, (uintptr_t)push(&room, random, sizeof(random))},
        {AT_HWCAP2, cpu_capabilities_2()},
        {AT_EXECFN, name},
        {AT_PLATFORM, push_string(&room, "x86_64")},
        {AT_NULL, 0},
    };

    size = (1 + argument_count + 1 + environment_count + 1) * sizeof(*stack) + sizeof(vector);
    if (size + 16 > (size_t)(room.high - room.low))
        push(&room, NULL, SIZE_MAX); /* refuses */
    stack = slot = (uintptr_t *)align_down((uintptr_t)room.high - size, 16);
    *slot++ = argument_count;
    program.stack = (vaddr_t)stack;
    program.arguments = (vaddr_t)strings;
    slot = put_pointers(slot, &strings, argument_count);
    program.arguments_end = (vaddr_t)strings;
    slot = put_pointers(slot, &strings, environment_count);
    program.environment_end = (vaddr_t)strings;
    program.auxiliary = (vaddr_t)memcpy(slot, vector, sizeof(vector));
    program.auxiliary_size = sizeof(vector);
    return (vaddr_t)stack;
}

/* The program that the image was linked with. */
static void use_linked_program(void)
{
    static char path[64];
    const struct elf_header *elf = &__image_start;

    text_format(path, sizeof(path), "/%s", quire_config.name);
    program = (struct program){
        .entry = (vaddr_t)_start,
        .headers = (vaddr_t)elf + elf->program_headers,
        .header_size = elf->program_header_size,
        .header_count = elf->program_header_count,
        .path = path,
        .name = quire_config.name,
    };
}

_Noreturn void program_start(const struct command_line *line)
{
    size_t size = quire_config.stack + VM_STACK_GUARD;
    struct vm_segment *segment = vm_alloc(vm_space(), &vm_stack, VM_ANYWHERE, size, VM_RW);
    char *end;
    vaddr_t stack;

    if (IS_ERR(segment))
        refuse("there is no room for a stack of %llu KiB: %s", (unsigned long long)quire_config.stack / 1024,
               error_name(ERR_OF(segment)));
    end = (char *)vm_start(segment) + size;
    if (quire_config.load != NULL)
        quire_config.load(&program, line->aslr_off);
    else
        use_linked_program();
    stack = build_stack((struct room){end - quire_config.stack / 2, end}, line);
    observe_start();
    cpu_start_program(program.entry, stack);
}
