/* Parsing what the boot loader left in memory. Host-testable: memory is reached only through the reader. */
#ifndef ARCH_BOOT_INFO_PRIVATE_H
#define ARCH_BOOT_INFO_PRIVATE_H

#include "core/boot_info.h"

#define MULTIBOOT2_MAGIC 0x36d76289u /* in EAX */
#define PVH_MAGIC 0x336ec578u        /* first word of the start info */

/* Copies physical memory; false if the memory is not there (on the machine every address can be read). */
struct boot_reader {
    bool (*read)(void *context, void *to, paddr_t from, size_t length);
    void *context;
};

/*
 * Fill everything but image_start and image_end from the information at the physical address. With multiboot2, rsdp is
 * where the loader put its copy: keep that before memory is reused. E_INVAL, or E_OVERFLOW (more than the limits of
 * core/boot_info.h): *reason is a sentence without its end, and what info holds is undefined.
 */
error_t boot_info_parse_multiboot2(const struct boot_reader *, paddr_t address, struct boot_info *info,
                                   const char **reason);
error_t boot_info_parse_pvh(const struct boot_reader *, paddr_t address, struct boot_info *info, const char **reason);

/* Sets of regions: sorted, disjoint, not touching each other. Ranges of no bytes change nothing. */
struct boot_regions {
    struct boot_region *list; /* room for BOOT_REGIONS_MAX */
    size_t *count;
};

/* E_OVERFLOW: no room, and nothing changed. */
error_t boot_regions_add(struct boot_regions, paddr_t start, paddr_t end);
error_t boot_regions_remove(struct boot_regions, paddr_t start, paddr_t end);

/* True if one region holds all of [start, end). */
bool boot_regions_contain(struct boot_regions, paddr_t start, paddr_t end);

#endif
