#include "core/init.h"

#include "core/base/print.h"
#include "core/base/string.h"
#include "core/boot_info.h"
#include "core/command_line.h"
#include "core/config.h"
#include "core/console.h"
#include "core/linux/linux.h"
#include "core/power.h"
#include "core/program.h"
#include "vm/frames.h"
#include "vm/space.h"

#define MARKER "\x1e" /* before the first line of the core: what is older comes from the firmware and the loader */
#define KIB 1024u

extern char __text_start[], __text_end[], __rodata_start[], __rodata_end[], __data_start[], __data_end[];
extern char __core_data_start[], __core_data_end[];
extern char __symbols_start[], __symbols_end[], __boot_stack[], __boot_stack_end[], __boot_tables[], __image_end[];

void announce(void)
{
    kprintf(MARKER "quire: %s\n", quire_config.name);
}

_Noreturn void refuse(const char *format, ...)
{
    char text[256];
    va_list arguments;

    va_start(arguments, format);
    text_vformat(text, sizeof(text), format, arguments);
    va_end(arguments);
    console_write("quire: ", 7);
    console_write(text, strlen(text));
    console_write("\n", 1);
    power_off(STATUS_REFUSED);
}

const struct command_line *core_command_line(void)
{
    static struct command_line line; /* too large for the stack */
    static bool done;
    const char *const sources[] = {quire_config.command_line, boot_info.command_line};

    if (done)
        return &line;
    done = true;
    for (size_t i = 0; i < ARRAY_LENGTH(sources); i++)
        if (sources[i] != NULL && command_line_add(&line, sources[i]) != E_SUCCESS)
            refuse("%s", line.problem);
    if (line.debug_exit)
        power_use_debug_exit();
    for (size_t i = 0; i < line.unused_count; i++)
        kprintf("quire: the word %s on the command line has no use: the program's words come after --\n",
                line.unused[i]);
    return &line;
}

/*
 * The plan counts what lies in RAM: the image, its files, tables, stack and heap. All of that lies in what the machine
 * says is RAM, in which the firmware's part is not.
 */
static void check_ram(void)
{
    uint64_t ram = 0;

    for (size_t i = 0; i < boot_info.region_count; i++)
        ram += boot_info.regions[i].end - boot_info.regions[i].start;
    if (ram < quire_config.ram)
        refuse("%s needs %llu KiB of RAM and this machine has %llu KiB, %llu KiB too little: give it more",
               quire_config.name, (unsigned long long)align_up(quire_config.ram, KIB) / KIB,
               (unsigned long long)(ram / KIB), (unsigned long long)align_up(quire_config.ram - ram, KIB) / KIB);
}

static void add_section(const char *name, const char *start, const char *end, vm_flags_t flags)
{
    struct vm_segment *segment;

    if (start == end)
        return;
    segment = vm_image_add(vm_space(), name, (vaddr_t)start, (size_t)(end - start), flags);
    if (IS_ERR(segment))
        refuse("the image's %s cannot be put on the segment map: %s", name, error_name(ERR_OF(segment)));
}

static void add_image(void)
{
    add_section("rodata", __rodata_start, __rodata_end, VM_READ);
    add_section("text", __text_start, __text_end, VM_READ | VM_EXEC);
    add_section("data", __data_start, __data_end, VM_RW);
    add_section("core data", __core_data_start, __core_data_end, VM_RW);
    add_section("symbols", __symbols_start, __symbols_end, VM_READ);
    add_section("kernel stack", __boot_stack, __boot_stack_end, VM_RW);
    add_section("boot tables", __boot_tables, __image_end, VM_RW);
}

_Noreturn void core_main(void)
{
    check_ram();
    vm_set_page_policy(quire_config.pages);
    if (core_command_line()->unmap_strict || core_command_line()->unmap_lazy)
        mmu_set_strict(core_command_line()->unmap_strict);
    frames_trust_virgin = quire_config.trust_virgin_ram;
    add_image();
    linux_init();
    program_start(core_command_line());
}
