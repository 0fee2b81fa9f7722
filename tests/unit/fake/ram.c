/* Simulated RAM: one reserved mapping, in which only what the machine has is accessible and only what is touched costs.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "fake.h"

#define RANGES_MAX 32

static struct frame_range ram[RANGES_MAX];
static size_t ram_count;
static size_t zeroed, lookups; /* atomic */

_Noreturn void fake_violation(const char *format, ...)
{
    va_list arguments;

    fputs("violation: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    abort();
}

static void map_range(paddr_t start, paddr_t end)
{
    void *wanted = (void *)(PHYSMAP_BASE + start);
    void *got = mmap(wanted, end - start, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

    if (got != wanted)
        fake_violation("cannot map simulated RAM at %p", wanted);
    /* Huge pages of the host would make fake_ram_touched() mean nothing. */
    madvise(got, end - start, MADV_NOHUGEPAGE);
}

void fake_ram(const struct frame_range *ranges, size_t count)
{
    size_t total = 0;

    if (ram_count != 0 || count > RANGES_MAX)
        fake_violation("fake_ram: called twice, or with too many ranges");
    for (size_t i = 0; i < count; i++) {
        paddr_t floor = i == 0 ? 0 : ranges[i - 1].end;

        if (!is_aligned(ranges[i].start | ranges[i].end, VM_PAGE_SIZE) || ranges[i].start < floor ||
            ranges[i].start >= ranges[i].end || ranges[i].end > PHYSMAP_SIZE)
            fake_violation("fake_ram: range %zu is not sorted, aligned or in the map", i);
        map_range(ranges[i].start, ranges[i].end);
        ram[i] = ranges[i];
        total += ranges[i].end - ranges[i].start;
    }
    ram_count = count;
    for (size_t i = 0; total <= FAKE_JUNK_MAX && i < count; i++)
        memset(phys_to_virt(ranges[i].start), FAKE_JUNK, ranges[i].end - ranges[i].start);
}

bool fake_is_ram(paddr_t start, uint64_t size)
{
    for (size_t i = 0; i < ram_count; i++)
        if (start >= ram[i].start && start < ram[i].end)
            return size <= ram[i].end - start;
    return false;
}

static size_t range_touched(const struct frame_range *range)
{
    size_t pages = (range->end - range->start) >> VM_PAGE_SHIFT, touched = 0;
    unsigned char *resident = malloc(pages);

    if (resident == NULL || mincore(phys_to_virt(range->start), pages << VM_PAGE_SHIFT, resident) != 0)
        fake_violation("cannot ask for the resident pages");
    for (size_t i = 0; i < pages; i++)
        touched += resident[i] & 1;
    free(resident);
    return touched << VM_PAGE_SHIFT;
}

size_t fake_ram_touched(void)
{
    size_t touched = 0;

    for (size_t i = 0; i < ram_count; i++)
        touched += range_touched(&ram[i]);
    return touched;
}

void *phys_to_virt(paddr_t physical)
{
    __atomic_fetch_add(&lookups, 1, __ATOMIC_RELAXED);
    if (!fake_is_ram(physical, 1))
        fake_violation("phys_to_virt(%#lx): no RAM there", (unsigned long)physical);
    return (void *)(PHYSMAP_BASE + physical);
}

paddr_t virt_to_phys(const void *mapped_ram)
{
    paddr_t physical = (uintptr_t)mapped_ram - PHYSMAP_BASE;

    if (!fake_is_ram(physical, 1))
        fake_violation("virt_to_phys(%p): not in the map of RAM", mapped_ram);
    return physical;
}

void machine_zero_pages(void *start, size_t size)
{
    if (size == 0 || !is_aligned((uintptr_t)start | size, VM_PAGE_SIZE) || !fake_is_ram(virt_to_phys(start), size))
        fake_violation("machine_zero_pages(%p, %#zx): not whole pages of RAM", start, size);
    memset(start, 0, size);
    __atomic_fetch_add(&zeroed, size, __ATOMIC_RELAXED);
}

const uint64_t *machine_skip_zeros(const uint64_t *words, size_t count)
{
    size_t zero = 0;

    if (count == 0 || count % 32 != 0 || !fake_is_ram(virt_to_phys(words), count * sizeof(*words)))
        fake_violation("machine_skip_zeros(%p, %zu): not blocks of 32 words in RAM", (const void *)words, count);
    while (zero < count && words[zero] == 0)
        zero++;
    return words + (zero - zero % 32);
}

size_t fake_lookups(void)
{
    return __atomic_load_n(&lookups, __ATOMIC_RELAXED);
}

size_t fake_zeroed(void)
{
    return __atomic_load_n(&zeroed, __ATOMIC_RELAXED);
}
