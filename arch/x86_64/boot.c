/*
 * From the first C instruction to core_main: what the loader said is copied, RAM is mapped and divided, and the parts
 * that stand on it are started. Called by arch/x86_64/entry.S on the boot stack, with the image mapped.
 *
 * RAM not handed to the frame allocator: the parts of the image, the boot modules, the tables of the map of RAM, and
 * the first 64 KiB, which firmware writes to behind our back and where further CPUs start. The map of RAM covers all of
 * it but the image's parts, large pages to their ends: these have one address only, so nothing executable or constant
 * has a writable alias. Between its parts are gaps of up to 2 MiB, which are RAM as any other.
 */
#include "arch/x86_64/arch.h"
#include "arch/x86_64/boot_info_private.h"
#include "arch/x86_64/fixmap.h"
#include "arch/x86_64/physmap.h"
#include "core/config.h"
#include "core/console.h"
#include "core/init.h"
#include "core/random.h"
#include "machine.h"
#include "vm/frames.h"
#include "vm/space.h"

#define RSDP_SIZE 36u

struct boot_info boot_info;

/* image.ld.S */
extern char __boot_tables[], __image_end[];

static struct boot_region mapped_list[BOOT_REGIONS_MAX], free_list[BOOT_REGIONS_MAX];
static size_t mapped_count, free_count;
static const struct boot_regions all = {boot_info.regions, &boot_info.region_count};
static const struct boot_regions mapped = {mapped_list, &mapped_count}; /* what the map of RAM covers */
static const struct boot_regions unused = {free_list, &free_count};     /* what the frame allocator gets */

static struct address_space space;

_Noreturn void boot_main(uint32_t magic, paddr_t information, paddr_t load_address);

/* The page that entry.S switched into long mode with, below 4 GiB; not global, so a reload of the root forgets it. The
 * table that holds it is the one at the top of the address space too. */
static void remove_identity(void)
{
    uint64_t *root = (uint64_t *)__boot_tables, *top = root + PTE_TABLE_ENTRIES;

    root[0] = 0;
    for (size_t i = 0; i < 4; i++)
        top[i] = 0;
    machine_flush_all();
}

static bool read_physical(void *context, void *to, paddr_t from, size_t length)
{
    paddr_t limit = (paddr_t)1 << mmu_physical_bits();

    (void)context;
    if (from >= limit || length > limit - from)
        return false;
    fixmap_copy(to, from, length);
    return true;
}

/* A multiboot2 loader passes the ACPI root pointer as a copy beside its other information. */
static void keep_rsdp(void)
{
    static char copy[RSDP_SIZE];

    if (boot_info.protocol != BOOT_MULTIBOOT2 || boot_info.rsdp == 0)
        return;
    fixmap_copy(copy, boot_info.rsdp, sizeof(copy));
    boot_info.rsdp = image_physical(copy);
}

/* The console is looked for as soon as it can be, and the first line comes before any other. */
static void read_boot_info(uint32_t magic, paddr_t information, paddr_t load_address, bool console_known)
{
    static const struct boot_reader reader = {read_physical, NULL};
    const char *reason = "";
    error_t error;

    boot_info.image_start = load_address;
    boot_info.image_end = image_physical(__image_end);
    if (magic == MULTIBOOT2_MAGIC)
        error = boot_info_parse_multiboot2(&reader, information, &boot_info, &reason);
    else
        error = boot_info_parse_pvh(&reader, information, &boot_info, &reason);
    if (error)
        boot_info.rsdp = 0;
    keep_rsdp();
    if (!console_known) {
        console_find();
        announce();
    }
    if (error)
        refuse("%s", reason);
}

static void reserve(struct boot_regions regions, paddr_t start, paddr_t end)
{
    if (boot_regions_remove(regions, start, end) != E_SUCCESS)
        refuse("RAM is divided into more than %d ranges: boot with fewer modules", BOOT_REGIONS_MAX);
}

static void copy_regions(struct boot_regions to, struct boot_regions from)
{
    *to.count = *from.count;
    for (size_t i = 0; i < *from.count; i++)
        to.list[i] = from.list[i];
}

/* All of the image at once, then the gaps are given back; a page that is a guard is not worth it. */
static void reserve_image(void)
{
    reserve(mapped, boot_info.image_start, image_physical(__boot_tables));
    reserve(unused, boot_info.image_start, boot_info.image_end);
    for (const struct image_part *part = boot_sections; part + 1 < boot_sections_end; part++) {
        paddr_t start = boot_info.image_start + part->end, end = boot_info.image_start + part[1].start;

        if (end - start <= VM_PAGE_SIZE)
            continue;
        if (boot_regions_add(mapped, start, end) != E_SUCCESS || boot_regions_add(unused, start, end) != E_SUCCESS)
            refuse("RAM is divided into more than %d ranges: boot with fewer modules", BOOT_REGIONS_MAX);
    }
}

/* Decides what is mapped and what is free. RAM that cannot be addressed is dropped. */
static void divide_memory(void)
{
    unsigned bits = mmu_physical_bits();
    paddr_t limit = bits < 46 ? (paddr_t)1 << bits : PHYSMAP_SIZE;

    reserve(all, limit, UINT64_MAX);
    copy_regions(mapped, all);
    copy_regions(unused, all);
    reserve(unused, 0, LOW_MEMORY_END);
    reserve_image();
    for (size_t i = 0; i < boot_info.module_count; i++) {
        const struct boot_module *module = &boot_info.modules[i];

        if (module->start < boot_info.image_end && module->end > boot_info.image_start)
            refuse("the boot loader put a module over the image: pass a smaller module or more RAM");
        if (!boot_regions_contain(all, module->start, module->end))
            refuse("the boot loader put a module where its memory map has no RAM");
        reserve(unused, align_down(module->start, VM_PAGE_SIZE), align_up(module->end, VM_PAGE_SIZE));
    }
}

_Static_assert(PHYSMAP_SIZE == 1ul << 46, "the limit in divide_memory");

static size_t frame_ranges(struct frame_range *ranges, struct boot_regions regions)
{
    for (size_t i = 0; i < *regions.count; i++)
        ranges[i] = (struct frame_range){regions.list[i].start, regions.list[i].end};
    return *regions.count;
}

static void start_frames(void)
{
    struct frame_range ranges[BOOT_REGIONS_MAX];

    if (physmap_build(image_physical(__boot_tables), mapped, unused, mmu_largest_page()) != E_SUCCESS)
        refuse("too little RAM for the page tables: give the machine more");
    if (frames_init(ranges, frame_ranges(ranges, unused)) != E_SUCCESS)
        refuse("too little RAM to start: give the machine more");
    frames_declare_ram(ranges, frame_ranges(ranges, all));
}

static const struct boot_region *largest_region(struct boot_regions regions)
{
    const struct boot_region *largest = &regions.list[0];

    for (size_t i = 1; i < *regions.count; i++)
        if (regions.list[i].end - regions.list[i].start > largest->end - largest->start)
            largest = &regions.list[i];
    return largest;
}

/* Where segments begin: never 0, which stands for fixed addresses. */
static uint64_t address_seed(void)
{
    return core_command_line()->aslr_off ? 0 : random_word() | 1;
}

void boot_main(uint32_t magic, paddr_t information, paddr_t load_address)
{
    remove_identity();
    bool console_known = console_init();

    if (console_known)
        announce();
    cpu_early_init();
    read_boot_info(magic, information, load_address, console_known);
    core_command_line();
    divide_memory();
    start_frames();
    emulation_init(largest_region(unused));
    if (vm_space_init(&space, image_physical(__boot_tables), address_seed()) != E_SUCCESS)
        refuse("too little RAM for the address space: give the machine more");
    vm_space_use(&space);
    core_main();
}
