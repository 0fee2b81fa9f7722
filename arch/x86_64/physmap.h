/* The permanent map of RAM at PHYSMAP_BASE, and where its tables come from. */
#ifndef ARCH_PHYSMAP_H
#define ARCH_PHYSMAP_H

#include "arch/x86_64/boot_info_private.h"

/*
 * Maps the regions (sorted, disjoint, page aligned, below PHYSMAP_SIZE) under the top-level table at `root`, with the
 * largest pages up to `largest`. Table frames are taken off the front of `free`, which is a set of RAM nobody uses.
 * E_NOMEM: it ran empty.
 */
error_t physmap_build(paddr_t root, struct boot_regions ram, struct boot_regions free, enum page_size largest);

#endif
