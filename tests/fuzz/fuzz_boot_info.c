/*
 * libFuzzer target for what boot loaders leave in memory. The first bytes choose the protocol and where the information
 * lies; the rest is memory, everything else is not there. Whatever is in it, the result keeps the promises of
 * core/boot_info.h, or is an error with a reason; and it depends on nothing but the input.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86_64/boot_info_private.h"

#define MEMORY_START 0x10000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct memory {
    const uint8_t *bytes;
    size_t size;
};

static void check(int condition)
{
    if (!condition)
        abort();
}

static bool read_memory(void *context, void *to, paddr_t from, size_t length)
{
    const struct memory *memory = context;

    if (from < MEMORY_START || from - MEMORY_START > memory->size || length > memory->size - (from - MEMORY_START))
        return false;
    memcpy(to, memory->bytes + (from - MEMORY_START), length);
    return true;
}

static void check_regions(const struct boot_info *info)
{
    check(info->region_count > 0 && info->region_count <= BOOT_REGIONS_MAX);
    for (size_t i = 0; i < info->region_count; i++) {
        check(is_aligned(info->regions[i].start | info->regions[i].end, VM_PAGE_SIZE));
        check(info->regions[i].start < info->regions[i].end);
        check(i == 0 || info->regions[i - 1].end < info->regions[i].start);
    }
}

static void check_rest(const struct boot_info *info)
{
    const struct boot_framebuffer *screen = &info->framebuffer;

    check(info->module_count <= BOOT_MODULES_MAX);
    if (screen->address != 0) {
        check(screen->bits >= 15 && screen->bits <= 32 && screen->width <= 1u << 16 && screen->height <= 1u << 16);
        check(screen->width * ((screen->bits + 7u) / 8) <= screen->pitch);
        check(screen->address + (uint64_t)screen->pitch * screen->height >= screen->address);
    }
    for (size_t i = 0; i < info->module_count; i++)
        check(info->modules[i].start <= info->modules[i].end);
    check(memchr(info->command_line, '\0', sizeof(info->command_line)) != NULL);
}

static error_t parse(bool pvh, struct memory *memory, paddr_t address, struct boot_info *info, int fill)
{
    const struct boot_reader reader = {read_memory, memory};
    const char *reason = NULL;
    error_t error;

    memset(info, fill, sizeof(*info));
    error = (pvh ? boot_info_parse_pvh : boot_info_parse_multiboot2)(&reader, address, info, &reason);
    if (error) {
        check(error == E_INVAL || error == E_OVERFLOW);
        check(reason != NULL && reason[0] != '\0' && strchr(reason, '\n') == NULL);
        return error;
    }
    check(info->protocol == (pvh ? BOOT_PVH : BOOT_MULTIBOOT2));
    check_regions(info);
    check_rest(info);
    return E_SUCCESS;
}

/* Sets of regions: a page taken away is no longer in them, and added is. */
static void check_region_sets(struct boot_info *info, const struct memory *memory)
{
    struct boot_regions regions = {info->regions, &info->region_count};

    for (size_t i = 0; i + 4 <= memory->size && i < 256; i += 4) {
        const uint8_t *bytes = memory->bytes + i;
        paddr_t start = (paddr_t)bytes[0] << (bytes[1] % 56), end = start + ((paddr_t)bytes[2] << (bytes[3] % 56));
        bool add = bytes[1] & 0x80;

        if (start >= end)
            continue;
        if ((add ? boot_regions_add : boot_regions_remove)(regions, start, end) != E_SUCCESS)
            continue;
        check(boot_regions_contain(regions, start, end) == add);
        check(info->region_count <= BOOT_REGIONS_MAX);
        for (size_t k = 1; k < info->region_count; k++)
            check(info->regions[k - 1].end < info->regions[k].start);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct boot_info info, again;
    struct memory memory;
    paddr_t address;
    bool pvh;
    error_t error;

    if (size < 2)
        return 0;
    pvh = data[0] & 1;
    address = MEMORY_START + (data[0] & 2 ? data[1] : 0);
    memory = (struct memory){data + 2, size - 2};
    error = parse(pvh, &memory, address, &info, 0);
    check(parse(pvh, &memory, address, &again, 0xff) == error);
    if (error)
        return 0;
    check(info.rsdp == again.rsdp && info.region_count == again.region_count &&
          info.module_count == again.module_count);
    check(strcmp(info.command_line, again.command_line) == 0);
    check(memcmp(info.regions, again.regions, info.region_count * sizeof(info.regions[0])) == 0);
    check(memcmp(info.modules, again.modules, info.module_count * sizeof(info.modules[0])) == 0);
    check_region_sets(&info, &memory);
    return 0;
}
