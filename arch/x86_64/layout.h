/*
 * The address map (4-level paging). One owner for these constants: C, assembly and the linker script include this.
 *
 *   0x0000000000000000  64 KiB    never mapped: NULL and small offsets from it fault
 *   0x0000000000010000  16 TiB    addresses that a program asks for by itself (wrapped ELF files at 0x400000)
 *   0x0000100000000000  50 TiB    segments: slots of 64 KiB to 1 TiB, one region of 2 TiB for each size (vm/segments.c)
 *   0x0000420000000000  62 TiB    again for addresses asked for
 *   0xffff800000000000  64 TiB    all RAM, read-write, never executable, in the largest pages the CPU has
 *   0xfffff0c000000000  512 GiB   a pointer for each 4 KiB of addresses: the span of the heap (vm/heap/memory.h)
 *   0xfffff80000000000  8 TiB     128 GiB for each CPU, the first one last, of which the last 66 GiB are used:
 *      64 GiB: two bytes for each 4 KiB of the upper half: the class of the objects there of the CPU's heap
 *      2 GiB: the per-CPU block and stacks, as they lie in the image; what the first CPU has here is the image
 *   0xffffffff80000000  2 GiB     the image: text r-x, rodata r--, data and bss rw-
 *   0xffffffffffc00000  2 MiB     fixmap: short-lived windows of arch/x86_64 onto any physical page
 */
#ifndef ARCH_LAYOUT_H
#define ARCH_LAYOUT_H

#ifdef __ASSEMBLER__
#define LAYOUT_ADDRESS(value) value
#else
#define LAYOUT_ADDRESS(value) value##ul
#endif

#define NULL_GUARD_END LAYOUT_ADDRESS(0x0000000000010000)
#define SLOTS_BASE LAYOUT_ADDRESS(0x0000100000000000)
#define LOW_HALF_END LAYOUT_ADDRESS(0x0000800000000000)
#define PHYSMAP_BASE LAYOUT_ADDRESS(0xffff800000000000)
#define PHYSMAP_SIZE LAYOUT_ADDRESS(0x0000400000000000)
/* Of the heap: what the two bytes, or pointer, of an address are found from (its number of 4 KiB, signed). The first is
 * that of 0, so that a displacement of 32 bits reaches all of the table below it. Each CPU has a table of classes, as
 * far from this one as its area is from the image. */
#define HEAP_CLASS_TABLE LAYOUT_ADDRESS(0xffffffff80000000)
#define HEAP_CLASS_TABLE_SIZE LAYOUT_ADDRESS(0x1000000000)
#define HEAP_SPAN_TABLE LAYOUT_ADDRESS(0xfffff10000000000)
#define HEAP_SPAN_TABLE_SIZE LAYOUT_ADDRESS(0x8000000000)
#define IMAGE_BASE LAYOUT_ADDRESS(0xffffffff80000000)
#define FIXMAP_BASE LAYOUT_ADDRESS(0xffffffffffc00000)

/* The area of a further CPU lies so many steps below where the image has that of CPU 0 (smp.c), with its table of
 * classes in front. */
#define CPU_AREA_STEP (2 * HEAP_CLASS_TABLE_SIZE)

/* Where the image is loaded when nothing moves it (PVH); the multiboot2 loader may move it by multiples of 2 MiB. */
#define IMAGE_LOAD_BASE LAYOUT_ADDRESS(0x200000)
#define LARGE_PAGE LAYOUT_ADDRESS(0x200000)
/* Parts of the image of this size and more are mapped by large pages: 1,536 small ones, as many as the second level of
 * a TLB holds. A smaller one would gain nothing, and be in memory as a whole where some pages of it are used. */
#define IMAGE_LARGE LAYOUT_ADDRESS(0x600000)

#endif
