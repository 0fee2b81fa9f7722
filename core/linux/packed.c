/*
 * The packed files: the boot module is checked before the program starts, and refused if it is no archive. An image
 * that was built without files takes them too: configure.py --repack adds some to an ISO.
 */
#include "core/boot_info.h"
#include "core/config.h"
#include "core/init.h"
#include "core/linux/calls.h"
#include "machine.h"
#include "vm/vm.h"

static struct archive packed_files;

struct archive *linux_files(void)
{
    return &packed_files;
}

/* The index of the packed files: kept for as long as the machine runs. */
static struct archive_record *make_index(size_t count)
{
    size_t size = align_up(count * sizeof(struct archive_record), VM_PAGE_SIZE);
    struct vm_segment *segment;

    if (size == 0)
        return NULL;
    segment = vm_alloc(vm_space(), &vm_anon, VM_ANYWHERE, size, VM_RW | VM_POPULATE);
    if (IS_ERR(segment))
        refuse("there is no room for the index of %zu packed files: %s", count, error_name(ERR_OF(segment)));
    return (struct archive_record *)vm_start(segment);
}

void linux_tree_init(void)
{
    const struct boot_module *module = &boot_info.modules[0];
    struct archive *files = linux_files();
    error_t error;

    if (boot_info.module_count == 0 && !quire_config.has_files)
        return;
    if (boot_info.module_count == 0)
        refuse("the packed files are missing: give %s.files to the loader as a module (QEMU: -initrd); "
               "a loader that has no room leaves it out: then give the machine more RAM",
               quire_config.name);
    error = archive_measure(files, phys_to_virt(module->start), module->end - module->start);
    if (error == E_SUCCESS)
        error = archive_verify(files);
    if (error == E_SUCCESS)
        error = archive_index(files, make_index(files->count));
    if (error != E_SUCCESS)
        refuse("the module %s.files cannot be used: %s", quire_config.name, files->problem);
}
