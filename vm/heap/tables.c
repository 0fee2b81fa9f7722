/*
 * The tables of the heap: segments in the upper half, where no program may point the core to, backed page by page where
 * they are touched and kept. And copying, which needs nothing but memory that is there.
 */
#include "core/base/string.h"
#include "vm/frames.h"
#include "vm/heap/internal.h"
#include "vm/segments.h"

static error_t table_fault(struct address_space *space, struct vm_segment *segment)
{
    return vm_segment_back(space, segment, vm_fault_info()->address);
}

static struct vm_segment *table_alloc(struct address_space *space, vaddr_t start, size_t size, vm_flags_t flags)
{
    (void)space, (void)start, (void)size, (void)flags;
    return ERR_PTR(E_NOTSUP);
}

static const struct vm_segment_driver table_driver = {
    .vm_alloc = table_alloc,
    .vm_fault = table_fault,
    .name = "table",
    .properties = VM_DRIVER_GENERAL_REGISTERS | VM_DRIVER_DEMAND,
};

static bool table_make(vaddr_t start, size_t size)
{
    return !IS_ERR(vm_segment_create(vm_space(), &table_driver, start, size, VM_RW | VM_PAGES_4K));
}

static unsigned places; /* of CPUs, that have a table of classes */

static bool table_make_next(void)
{
    if (!table_make(HEAP_CLASS_TABLE - places * CPU_AREA_STEP - HEAP_CLASS_TABLE_SIZE, HEAP_CLASS_TABLE_SIZE))
        return false;
    places++;
    return true;
}

#if QUIRE_THREADS
#define FRAMES_EACH 3u /* a page, and page tables for it */

static vaddr_t page_of_classes(unsigned place, uintptr_t region)
{
    return align_down((vaddr_t)heap_class_of_slice(0, region) - place * CPU_AREA_STEP, VM_PAGE_SIZE);
}

static vaddr_t page_of_spans(uintptr_t region)
{
    return align_down((vaddr_t)heap_span_of_slice(region), VM_PAGE_SIZE);
}

static bool is_backed(vaddr_t page)
{
    struct mmu_entry entry;

    return mmu_query(&vm_space()->mmu, page, &entry);
}

static bool back(vaddr_t page)
{
    return is_backed(page) || vm_segment_back(vm_space(), segment_find(vm_space(), page), page) == E_SUCCESS;
}

/* Of the places from the first one on. Before anything is backed it is known that there are frames, so that those stay
 * that others count on. */
static bool back_from(unsigned first, uintptr_t region)
{
    unsigned missing = !is_backed(page_of_spans(region));
    bool done;

    for (unsigned place = first; place < places; place++)
        missing += !is_backed(page_of_classes(place, region));
    if (missing == 0)
        return true;
    if (!heap_has_memory((size_t)missing * FRAMES_EACH << VM_PAGE_SHIFT))
        return false;
    done = back(page_of_spans(region));
    for (unsigned place = first; done && place < places; place++)
        done = back(page_of_classes(place, region));
    return done;
}

bool heap_tables_back(uintptr_t region)
{
    SPACE_HOLD(vm_space());
    return back_from(0, region);
}

/* Another CPU is to be started, by the only one that runs: what that one allocated may be freed there. */
static bool add_place(unsigned place)
{
    SPACE_HOLD(vm_space());

    while (places <= place) {
        if (!table_make_next())
            return false;
    }
    for (const struct region *region = NULL; (region = region_after(&program_heap, region));) {
        if (!back_from(place, region->start))
            return false;
    }
    return true;
}
#endif

static bool tables_of_cpus_make(void)
{
#if QUIRE_THREADS
    unsigned wanted = cpu_places();

    cpu_place_added = add_place;
#else
    unsigned wanted = 1;
#endif
    while (places < wanted && table_make_next())
        ;
    return places >= wanted;
}

bool heap_tables_make(void)
{
    static bool spans;

    spans = spans || table_make(HEAP_SPAN_TABLE - HEAP_SPAN_TABLE_SIZE / 2, HEAP_SPAN_TABLE_SIZE);
    if (!tables_of_cpus_make() || !spans)
        return false;
    vm_driver_register(&table_driver); /* for their statistics only */
    vm_driver_register(&heap_large_driver);
    return true;
}

void heap_copy(uintptr_t to, uintptr_t from, size_t size)
{
    memcpy((void *)to, (const void *)from, size);
}

void heap_zero(uintptr_t block, size_t size)
{
    frame_zero((void *)block, size);
}
