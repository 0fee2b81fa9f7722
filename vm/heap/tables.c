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

/* CPUs are started after the heap, and look at their tables before they have one. */
static unsigned places(void)
{
    return QUIRE_THREADS ? cpu_places() : 1;
}

bool heap_tables_make(void)
{
    static unsigned made;
    static bool spans;

    while (made < places() &&
           table_make(HEAP_CLASS_TABLE - made * CPU_AREA_STEP - HEAP_CLASS_TABLE_SIZE, HEAP_CLASS_TABLE_SIZE))
        made++;
    spans = spans || table_make(HEAP_SPAN_TABLE - HEAP_SPAN_TABLE_SIZE / 2, HEAP_SPAN_TABLE_SIZE);
    if (made < places() || !spans)
        return false;
    vm_driver_register(&table_driver); /* for their statistics only */
    vm_driver_register(&heap_large_driver);
    return true;
}

#if QUIRE_THREADS
bool heap_tables_back(uintptr_t region)
{
    struct address_space *space = vm_space();
    SPACE_HOLD(space);

    for (unsigned place = 0; place < places(); place++) {
        vaddr_t page = align_down((vaddr_t)heap_class_of_slice(0, region) - place * CPU_AREA_STEP, VM_PAGE_SIZE);
        struct mmu_entry entry;

        if (!mmu_query(&space->mmu, page, &entry) &&
            vm_segment_back(space, segment_find(space, page), page) != E_SUCCESS)
            return false;
    }
    return true;
}
#endif

void heap_copy(uintptr_t to, uintptr_t from, size_t size)
{
    memcpy((void *)to, (const void *)from, size);
}

void heap_zero(uintptr_t block, size_t size)
{
    frame_zero((void *)block, size);
}
