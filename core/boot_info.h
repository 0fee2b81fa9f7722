/*
 * What the boot loader handed over, in one form for multiboot2 and PVH. Filled by arch/x86_64/boot_info.c from memory
 * that is not ours (so every offset and length is checked), before anything is allocated; plain data afterwards.
 */
#ifndef CORE_BOOT_INFO_H
#define CORE_BOOT_INFO_H

#include "core/base/error.h"
#include "core/base/types.h"

#define BOOT_REGIONS_MAX 128
#define BOOT_MODULES_MAX 8
#define BOOT_COMMAND_LINE_MAX 4096

enum boot_protocol { BOOT_MULTIBOOT2, BOOT_PVH };

struct boot_region { /* RAM, sorted, disjoint, page aligned inwards */
    paddr_t start, end;
};

struct boot_module {
    paddr_t start, end; /* bytes; inside the RAM regions as a rule, reserved by the frame allocator's caller */
};

struct boot_framebuffer { /* dots of red, green and blue; all ones is white */
    paddr_t address;      /* 0: there is none */
    uint32_t pitch, width, height;
    uint8_t bits; /* of a dot: 15 to 32 */
};

struct boot_info {
    enum boot_protocol protocol;
    paddr_t image_start, image_end; /* where the image was loaded */
    paddr_t rsdp;                   /* ACPI root pointer, 0: not told (search the BIOS area) */
    struct boot_framebuffer framebuffer;
    size_t region_count, module_count;
    struct boot_region regions[BOOT_REGIONS_MAX];
    struct boot_module modules[BOOT_MODULES_MAX];
    char command_line[BOOT_COMMAND_LINE_MAX];
};

extern struct boot_info boot_info;

#endif
