/*
 * QEMU without hardware virtualisation keeps the translations of 4 KiB pages, whatever the size of the page they are
 * in, in a table that is looked up by the low bits of the page's number. The table begins with 256 slots, so that a
 * program of more than a MiB misses again and again, and it grows only when everything in it is flushed: to double the
 * size if most slots were used since the flush before. Systems with several address spaces flush often enough, an image
 * never.
 *
 * So pages are read and everything is flushed, as often as it takes. It costs some ten thousand instructions at boot,
 * where the CPU says that it is this emulation. A table that is flushed while few slots are in use gets smaller again
 * by itself.
 */
#include "arch/x86_64/arch.h"
#include "arch/x86_64/boot_info_private.h"
#include "machine.h"

#define SLOTS_FIRST 256u
#define SLOTS_WANTED 8192u                /* for 32 MiB */
#define SLOTS_USED(slots) ((slots)*3 / 4) /* it grows above 70 % */

static bool is_emulated(void)
{
    struct cpuid id = cpuid(HYPERVISOR_LEAF, 0);

    return cpu_features.hypervisor && cpuid_is_signed(&id, "TCGTCGTCGTCG");
}

static void make_room(const struct boot_region *ram)
{
    size_t pages = (ram->end - ram->start) >> VM_PAGE_SHIFT;

    for (size_t slots = SLOTS_FIRST; slots < SLOTS_WANTED && SLOTS_USED(slots) <= pages; slots *= 2) {
        const volatile char *page = phys_to_virt(ram->start);

        for (size_t i = 0; i < SLOTS_USED(slots); i++, page += VM_PAGE_SIZE)
            (void)*page;
        machine_flush_all();
    }
}

#if QUIRE_THREADS
static struct boot_region looked_at;

void emulation_begin(void)
{
    make_room(&looked_at);
}
#endif

void emulation_init(const struct boot_region *ram)
{
    if (!is_emulated())
        return;
#if QUIRE_THREADS
    looked_at = *ram;
#endif
    make_room(ram);
}
