/*
 * The image driver: the sections of the image itself. They were mapped at boot and stay; here they are on the map.
 * Beside them, what each further CPU has of the image for itself: mapped later, as other memory is.
 */
#include "core/base/print.h"
#include "vm/segments.h"

static struct vm_segment *add(struct address_space *space, const struct vm_segment_driver *driver, const char *name,
                              vaddr_t start, size_t size, vm_flags_t flags)
{
    struct vm_segment *segment = vm_segment_create(space, driver, start, size, flags);

    if (IS_ERR(segment))
        return segment;
    segment->own = (void *)(uintptr_t)name;
    segment->mapped = true;
    return segment;
}

struct vm_segment *vm_image_add(struct address_space *space, const char *name, vaddr_t start, size_t size,
                                vm_flags_t flags)
{
    return add(space, &vm_image, name, start, size, flags);
}

/* All of it is mapped: what faults is a forbidden access. */
static error_t image_fault(struct address_space *space, struct vm_segment *segment)
{
    (void)space, (void)segment;
    return E_ACCES;
}

static void image_describe(const struct vm_segment *segment, char *buffer, size_t size)
{
    text_format(buffer, size, "%s", (const char *)segment->own);
}

const struct vm_segment_driver vm_image = {
    .vm_fault = image_fault,
    .name = "image",
    .properties = VM_DRIVER_GENERAL_REGISTERS,
    .describe = image_describe,
};

#if QUIRE_THREADS
static const struct vm_segment_driver vm_cpu_area = {
    .vm_fault = image_fault,
    .name = "cpu",
    .properties = VM_DRIVER_GENERAL_REGISTERS,
    .describe = image_describe,
};

struct vm_segment *vm_cpu_area_add(struct address_space *space, const char *name, vaddr_t start, size_t size)
{
    return add(space, &vm_cpu_area, name, start, size, VM_RW);
}
#endif
