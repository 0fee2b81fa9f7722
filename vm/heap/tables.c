/*
 * The tables of the heap: two segments in the upper half, where no program may point the core to, backed page by page
 * where they are touched and kept. And copying, which needs nothing but memory that is there.
 */
#include "core/base/string.h"
#include "vm/frames.h"
#include "vm/heap/memory.h"
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

bool heap_tables_make(void)
{
    static bool classes, spans;

    classes = classes || table_make(HEAP_CLASS_TABLE - HEAP_CLASS_TABLE_SIZE, HEAP_CLASS_TABLE_SIZE);
    spans = spans || table_make(HEAP_SPAN_TABLE - HEAP_SPAN_TABLE_SIZE / 2, HEAP_SPAN_TABLE_SIZE);
    if (classes && spans) {
        vm_driver_register(&table_driver); /* for their statistics only */
        vm_driver_register(&heap_large_driver);
    }
    return classes && spans;
}

void heap_copy(uintptr_t to, uintptr_t from, size_t size)
{
    memcpy((void *)to, (const void *)from, size);
}

void heap_zero(uintptr_t block, size_t size)
{
    frame_zero((void *)block, size);
}
