/*
 * Boot information: multiboot2 (specification 2.0, 3.4) and PVH (Xen, start_info.h).
 *
 * Nothing here is trusted: it was written by a loader, lies in memory that may hold anything, and every offset and
 * length is checked before it is used. Memory maps come unsorted, with overlaps; a byte is RAM if one entry calls it
 * RAM and none calls it anything else, and a page is RAM if all its bytes are.
 */
#include "arch/x86_64/boot_info_private.h"

#define MEMORY_RAM 1

#define TOO_MANY_REGIONS "the boot loader's memory map has too many separate ranges"
#define TRUNCATED "the boot loader's information is truncated"

enum multiboot2_tag {
    TAG_END = 0,
    TAG_COMMAND_LINE = 1,
    TAG_MODULE = 3,
    TAG_MEMORY_MAP = 6,
    TAG_FRAMEBUFFER = 8,
    TAG_RSDP_1 = 14,
    TAG_RSDP_2 = 15,
};

/* The fixed part is 8 bytes, a real loader needs a few KiB: what is larger is garbage. */
#define MULTIBOOT2_SIZE_MAX (1u << 20)
#define PVH_MEMORY_MAP_MAX 4096u

#define RSDP_SIZE_1 20 /* ACPI 1.0; later ones are longer (ACPI 6.5, 5.2.5.3) */

struct multiboot2_tag_header {
    uint32_t type, size; /* size with this header, without the padding to 8 bytes */
};

struct multiboot2_memory_map {
    uint32_t entry_size, entry_version;
};

#define FRAMEBUFFER_MAX 65536u /* dots in each direction */
#define FRAMEBUFFER_DIRECT 1   /* colours by red, green and blue */

struct multiboot2_framebuffer {
    uint64_t address;
    uint32_t pitch, width, height;
    uint8_t bits, type;
} __attribute__((packed));

struct memory_map_entry { /* the same layout in both protocols */
    uint64_t start, length;
    uint32_t type, reserved;
};

struct pvh_start_info {
    uint32_t magic, version, flags, module_count;
    uint64_t modules, command_line, rsdp;
    uint64_t memory_map; /* from version 1 on */
    uint32_t memory_map_entries, reserved;
};

struct pvh_module {
    uint64_t start, size, command_line, reserved;
};

/* One parse: where from, where to, and why it failed. */
struct parser {
    const struct boot_reader *reader;
    struct boot_info *info;
    const char **reason;
};

static error_t fail(const struct parser *parser, error_t error, const char *reason)
{
    *parser->reason = reason;
    return error;
}

static error_t read_memory(const struct parser *parser, void *to, paddr_t from, size_t length)
{
    if (length > UINT64_MAX - from || !parser->reader->read(parser->reader->context, to, from, length))
        return fail(parser, E_INVAL, TRUNCATED);
    return E_SUCCESS;
}

/* The first region that ends at or behind the address, or the count. */
static size_t regions_find(struct boot_regions regions, paddr_t address)
{
    size_t index = 0;

    while (index < *regions.count && regions.list[index].end < address)
        index++;
    return index;
}

/* Replaces list[first, last) by nothing, or by one entry. */
static error_t regions_replace(struct boot_regions regions, size_t first, size_t last, const struct boot_region *by)
{
    size_t added = by ? 1 : 0;
    size_t tail = *regions.count - last;

    if (first + added + tail > BOOT_REGIONS_MAX)
        return E_OVERFLOW;
    __builtin_memmove(&regions.list[first + added], &regions.list[last], tail * sizeof(*regions.list));
    if (by)
        regions.list[first] = *by;
    *regions.count = first + added + tail;
    return E_SUCCESS;
}

error_t boot_regions_add(struct boot_regions regions, paddr_t start, paddr_t end)
{
    size_t first = regions_find(regions, start), last = first;
    struct boot_region joined = {start, end};

    if (start >= end)
        return E_SUCCESS;
    for (; last < *regions.count && regions.list[last].start <= end; last++) {
        const struct boot_region *touched = &regions.list[last];

        joined.start = touched->start < joined.start ? touched->start : joined.start;
        joined.end = touched->end > joined.end ? touched->end : joined.end;
    }
    return regions_replace(regions, first, last, &joined);
}

error_t boot_regions_remove(struct boot_regions regions, paddr_t start, paddr_t end)
{
    size_t index = regions_find(regions, start);

    if (start >= end)
        return E_SUCCESS;
    while (index < *regions.count && regions.list[index].start < end) {
        struct boot_region *region = &regions.list[index];
        struct boot_region upper = {end, region->end};

        if (region->start < start && region->end > end) { /* the only case that needs room, and then the only region */
            if (regions_replace(regions, index + 1, index + 1, &upper) != E_SUCCESS)
                return E_OVERFLOW;
            region->end = start;
            return E_SUCCESS;
        }
        if (region->start < start)
            region->end = start < region->end ? start : region->end;
        else if (region->end > end)
            region->start = end;
        else {
            regions_replace(regions, index, index + 1, NULL);
            continue;
        }
        index++;
    }
    return E_SUCCESS;
}

bool boot_regions_contain(struct boot_regions regions, paddr_t start, paddr_t end)
{
    for (size_t i = 0; i < *regions.count; i++)
        if (regions.list[i].start <= start && end <= regions.list[i].end)
            return true;
    return false;
}

static struct boot_regions info_regions(struct boot_info *info)
{
    return (struct boot_regions){info->regions, &info->region_count};
}

/* Adds an entry if it is RAM (when ram) or takes it away if it is anything else (when not). */
static error_t apply_entry(const struct parser *parser, const struct memory_map_entry *entry, bool ram)
{
    struct boot_regions regions = info_regions(parser->info);
    bool overflows = entry->length > UINT64_MAX - entry->start;
    paddr_t end = overflows ? UINT64_MAX : entry->start + entry->length;
    error_t error;

    if ((entry->type == MEMORY_RAM) != ram)
        return E_SUCCESS;
    if (ram && overflows)
        return fail(parser, E_INVAL, "the boot loader's memory map has a range beyond the end of addresses");
    error = ram ? boot_regions_add(regions, entry->start, end) : boot_regions_remove(regions, entry->start, end);
    return error ? fail(parser, error, TOO_MANY_REGIONS) : E_SUCCESS;
}

static void align_inwards(struct boot_regions regions)
{
    size_t kept = 0;

    for (size_t i = 0; i < *regions.count; i++) {
        paddr_t end = align_down(regions.list[i].end, VM_PAGE_SIZE);

        /* Rounding up cannot wrap where a whole page follows. */
        if (regions.list[i].start >= end || align_up(regions.list[i].start, VM_PAGE_SIZE) >= end)
            continue;
        regions.list[kept].start = align_up(regions.list[i].start, VM_PAGE_SIZE);
        regions.list[kept++].end = end;
    }
    *regions.count = kept;
}

/* entry_size bytes lie between the starts of two entries; the caller has bounded the whole map. */
static error_t parse_memory_map(const struct parser *parser, paddr_t first, size_t count, size_t entry_size)
{
    struct memory_map_entry entry;

    for (int ram = 1; ram >= 0; ram--) {
        for (size_t i = 0; i < count; i++) {
            error_t error = read_memory(parser, &entry, first + i * entry_size, sizeof(entry));

            if (!error)
                error = apply_entry(parser, &entry, ram);
            if (error)
                return error;
        }
    }
    align_inwards(info_regions(parser->info));
    if (parser->info->region_count == 0)
        return fail(parser, E_INVAL, "the boot loader's memory map has no RAM");
    return E_SUCCESS;
}

static error_t add_module(const struct parser *parser, paddr_t start, uint64_t size)
{
    struct boot_info *info = parser->info;

    if (info->module_count == BOOT_MODULES_MAX)
        return fail(parser, E_OVERFLOW, "the boot loader passed more modules than the 8 that are possible");
    if (size > UINT64_MAX - start)
        return fail(parser, E_INVAL, "a boot module reaches beyond the end of addresses");
    info->modules[info->module_count++] = (struct boot_module){start, start + size};
    return E_SUCCESS;
}

/* Reads text up to its zero byte, in pieces that cannot cross into a page that the text is not in. */
static error_t read_command_line(const struct parser *parser, paddr_t from, size_t limit)
{
    char *line = parser->info->command_line;
    size_t done = 0;

    while (done < limit && done < BOOT_COMMAND_LINE_MAX) {
        size_t piece = 32 - (from + done) % 32;
        error_t error;

        piece = piece < limit - done ? piece : limit - done;
        piece = piece < BOOT_COMMAND_LINE_MAX - done ? piece : BOOT_COMMAND_LINE_MAX - done;
        error = read_memory(parser, line + done, from + done, piece);
        if (error)
            return error;
        for (size_t end = done + piece; done < end; done++)
            if (line[done] == '\0')
                return E_SUCCESS;
    }
    if (done == BOOT_COMMAND_LINE_MAX)
        return fail(parser, E_OVERFLOW, "the command line is longer than 4095 bytes");
    return fail(parser, E_INVAL, "the boot loader's command line has no end");
}

static void clear_info(struct boot_info *info, enum boot_protocol protocol)
{
    info->protocol = protocol;
    info->rsdp = 0;
    info->framebuffer.address = 0;
    info->region_count = info->module_count = 0;
    info->command_line[0] = '\0';
}

/* payload and size: the tag without its header. */
static error_t parse_module_tag(const struct parser *parser, paddr_t payload, size_t size)
{
    uint32_t bounds[2];
    error_t error;

    if (size < sizeof(bounds))
        return fail(parser, E_INVAL, TRUNCATED);
    error = read_memory(parser, bounds, payload, sizeof(bounds));
    if (error)
        return error;
    if (bounds[1] < bounds[0])
        return fail(parser, E_INVAL, "a boot module ends before it begins");
    return add_module(parser, bounds[0], bounds[1] - bounds[0]);
}

static error_t parse_memory_map_tag(const struct parser *parser, paddr_t payload, size_t size)
{
    struct multiboot2_memory_map map;
    error_t error;

    if (size < sizeof(map))
        return fail(parser, E_INVAL, TRUNCATED);
    error = read_memory(parser, &map, payload, sizeof(map));
    if (error)
        return error;
    if (map.entry_size < sizeof(struct memory_map_entry))
        return fail(parser, E_INVAL, "the boot loader's memory map has entries of an unknown size");
    if (parser->info->region_count > 0)
        return fail(parser, E_INVAL, "the boot loader passed two memory maps");
    return parse_memory_map(parser, payload + sizeof(map), (size - sizeof(map)) / map.entry_size, map.entry_size);
}

/* One that cannot be used is none. */
static error_t parse_framebuffer_tag(const struct parser *parser, paddr_t payload, size_t size)
{
    struct multiboot2_framebuffer tag;
    error_t error;

    if (size < sizeof(tag))
        return fail(parser, E_INVAL, TRUNCATED);
    error = read_memory(parser, &tag, payload, sizeof(tag));
    if (error)
        return error;
    if (tag.type == FRAMEBUFFER_DIRECT && tag.bits >= 15 && tag.bits <= 32 && tag.height <= FRAMEBUFFER_MAX &&
        tag.width <= FRAMEBUFFER_MAX && tag.pitch / ((tag.bits + 7u) / 8) >= tag.width &&
        tag.address <= UINT64_MAX - (uint64_t)tag.pitch * tag.height)
        parser->info->framebuffer = (struct boot_framebuffer){tag.address, tag.pitch, tag.width, tag.height, tag.bits};
    return E_SUCCESS;
}

static error_t parse_tag(const struct parser *parser, const struct multiboot2_tag_header *tag, paddr_t payload)
{
    size_t size = tag->size - sizeof(*tag);

    switch (tag->type) {
    case TAG_COMMAND_LINE:
        return read_command_line(parser, payload, size);
    case TAG_MODULE:
        return parse_module_tag(parser, payload, size);
    case TAG_MEMORY_MAP:
        return parse_memory_map_tag(parser, payload, size);
    case TAG_FRAMEBUFFER:
        return parse_framebuffer_tag(parser, payload, size);
    case TAG_RSDP_1:
    case TAG_RSDP_2:
        if (size < RSDP_SIZE_1)
            return fail(parser, E_INVAL, TRUNCATED);
        if (tag->type == TAG_RSDP_2 || parser->info->rsdp == 0)
            parser->info->rsdp = payload;
        return E_SUCCESS;
    default:
        return E_SUCCESS;
    }
}

static error_t parse_tags(const struct parser *parser, paddr_t first, size_t total)
{
    struct multiboot2_tag_header tag;
    error_t error = E_SUCCESS;

    for (size_t offset = 0; !error && offset <= total && total - offset >= sizeof(tag);
         offset += align_up(tag.size, 8)) {
        error = read_memory(parser, &tag, first + offset, sizeof(tag));
        if (error)
            return error;
        if (tag.type == TAG_END)
            return E_SUCCESS;
        if (tag.size < sizeof(tag) || tag.size > total - offset)
            break;
        error = parse_tag(parser, &tag, first + offset + sizeof(tag));
    }
    return error ? error : fail(parser, E_INVAL, TRUNCATED);
}

error_t boot_info_parse_multiboot2(const struct boot_reader *reader, paddr_t address, struct boot_info *info,
                                   const char **reason)
{
    const struct parser parser = {reader, info, reason};
    uint32_t fixed[2]; /* total size, reserved */
    error_t error;

    clear_info(info, BOOT_MULTIBOOT2);
    error = read_memory(&parser, fixed, address, sizeof(fixed));
    if (error)
        return error;
    if (fixed[0] < sizeof(fixed) || fixed[0] > MULTIBOOT2_SIZE_MAX || fixed[0] > UINT64_MAX - address)
        return fail(&parser, E_INVAL, "the boot loader's information has an impossible size");
    error = parse_tags(&parser, address + sizeof(fixed), fixed[0] - sizeof(fixed));
    if (!error && info->region_count == 0)
        error = fail(&parser, E_INVAL, "the boot loader passed no memory map");
    return error;
}

static error_t parse_pvh_modules(const struct parser *parser, paddr_t list, size_t count)
{
    error_t error = E_SUCCESS;

    if (list > UINT64_MAX - count * sizeof(struct pvh_module))
        return fail(parser, E_INVAL, TRUNCATED);
    for (size_t i = 0; i < count && !error; i++) {
        struct pvh_module module;

        error = read_memory(parser, &module, list + i * sizeof(module), sizeof(module));
        if (!error)
            error = add_module(parser, module.start, module.size);
    }
    return error;
}

error_t boot_info_parse_pvh(const struct boot_reader *reader, paddr_t address, struct boot_info *info,
                            const char **reason)
{
    const struct parser parser = {reader, info, reason};
    struct pvh_start_info start;
    error_t error;

    clear_info(info, BOOT_PVH);
    error = read_memory(&parser, &start, address, sizeof(start));
    if (error)
        return error;
    if (start.magic != PVH_MAGIC)
        return fail(&parser, E_INVAL, "the image was not started by a PVH or multiboot2 boot loader");
    if (start.version < 1 || start.memory_map == 0)
        return fail(&parser, E_INVAL, "the boot loader passed no memory map");
    if (start.memory_map_entries > PVH_MEMORY_MAP_MAX)
        return fail(&parser, E_OVERFLOW, TOO_MANY_REGIONS);
    if (start.memory_map > UINT64_MAX - start.memory_map_entries * sizeof(struct memory_map_entry))
        return fail(&parser, E_INVAL, TRUNCATED);
    info->rsdp = start.rsdp;
    error = parse_memory_map(&parser, start.memory_map, start.memory_map_entries, sizeof(struct memory_map_entry));
    if (!error)
        error = parse_pvh_modules(&parser, start.modules, start.module_count);
    if (!error && start.command_line != 0)
        error = read_command_line(&parser, start.command_line, UINT64_MAX - start.command_line);
    return error;
}
