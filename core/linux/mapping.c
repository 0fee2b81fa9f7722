/*
 * Mappings of files, and shared memory without a file. The file driver (vm/file.c) does the mapping; here are the
 * objects. Base reaches this through linux_objects, so that images which map no files do without.
 *
 * Shared memory (MAP_SHARED | MAP_ANONYMOUS) is an object because a second mapping of the same pages can be made of it
 * (mremap with an old size of 0). It is as long as the first mapping was; like Linux's it does not grow with it. Its
 * frames are found by a tree of tables of 512 frames each, made where it was touched.
 */
#include "core/allocate.h"
#include "core/base/print.h"
#include "core/base/string.h"
#include "core/linux/calls.h"
#include "core/linux/file.h"
#include "core/linux/memory.h"
#include "core/linux/node.h"
#include "core/linux/tree.h"
#include "machine.h"
#include "vm/frames.h"

#define ENTRIES_SHIFT 9
#define ENTRIES (1u << ENTRIES_SHIFT)

struct shared_memory {
    struct vm_object object;
    unsigned references;
    unsigned levels; /* of tables; an entry of level 0 is a frame, others a table; 0 is none */
    uint64_t pages;
    paddr_t root;
    uint64_t inode;
};

static uint64_t last_inode;

static struct shared_memory *shared_of(struct vm_object *object)
{
    return CONTAINER_OF(object, struct shared_memory, object);
}

static paddr_t zeroed_frame(void)
{
    paddr_t frame = frame_get(PAGE_4K);

    if (frame != FRAME_NONE)
        frame_zero(phys_to_virt(frame), VM_PAGE_SIZE);
    return frame;
}

/* The entry of the page, its tables made; NULL: no frame. */
static paddr_t *shared_entry(struct shared_memory *shared, uint64_t page, bool make)
{
    paddr_t *entry = &shared->root;

    for (unsigned level = shared->levels; level-- > 0;) {
        if (*entry == 0) {
            paddr_t table = make ? zeroed_frame() : FRAME_NONE;

            if (table == FRAME_NONE)
                return NULL;
            *entry = table;
        }
        entry = (paddr_t *)phys_to_virt(*entry) + (page >> level * ENTRIES_SHIFT) % ENTRIES;
    }
    return entry;
}

static error_t shared_page(struct vm_object *object, uint64_t page, bool write, paddr_t *frame)
{
    struct shared_memory *shared = shared_of(object);
    paddr_t *entry;

    (void)write;
    if (page >= shared->pages)
        return E_FAULT;
    entry = shared_entry(shared, page, true);
    if (entry == NULL)
        return E_NOMEM;
    if (*entry == 0) {
        *frame = zeroed_frame();
        if (*frame == FRAME_NONE)
            return E_NOMEM;
        *entry = *frame;
    }
    *frame = *entry;
    return E_SUCCESS;
}

static void shared_reference(struct vm_object *object)
{
    shared_of(object)->references++;
}

static void put_tree(paddr_t entry, unsigned levels)
{
    const paddr_t *table = phys_to_virt(entry);

    if (entry == 0)
        return;
    for (unsigned i = 0; levels > 0 && i < ENTRIES; i++)
        put_tree(table[i], levels - 1);
    frame_put(entry, PAGE_4K);
}

static void shared_release(struct vm_object *object)
{
    struct shared_memory *shared = shared_of(object);

    if (--shared->references > 0)
        return;
    put_tree(shared->root, shared->levels);
    core_release(shared, sizeof(*shared));
}

static error_t shared_discard(struct vm_object *object, uint64_t first, uint64_t count)
{
    struct shared_memory *shared = shared_of(object);
    uint64_t end = first + count < shared->pages ? first + count : shared->pages;

    vm_object_invalidate(object, first, count, false);
    for (uint64_t page = first; page < end; page++) {
        paddr_t *entry = shared_entry(shared, page, false);

        if (entry == NULL) { /* nor is there any of the pages that the last table would hold */
            page |= ENTRIES - 1;
        } else if (*entry != 0) {
            frame_put(*entry, PAGE_4K);
            *entry = 0;
        }
    }
    return E_SUCCESS;
}

static bool shared_resident(struct vm_object *object, uint64_t page)
{
    const paddr_t *entry = page < shared_of(object)->pages ? shared_entry(shared_of(object), page, false) : NULL;

    return entry != NULL && *entry != 0;
}

static void shared_describe(struct vm_object *object, char *buffer, size_t size)
{
    (void)object;
    text_format(buffer, size, "/dev/zero (deleted)");
}

static uint64_t shared_inode(struct vm_object *object)
{
    return shared_of(object)->inode;
}

static const struct vm_object_operations shared_operations = {
    .page = shared_page,
    .reference = shared_reference,
    .release = shared_release,
    .describe = shared_describe,
    .inode = shared_inode,
    .discard = shared_discard,
    .resident = shared_resident,
};

static struct vm_object *make_shared(size_t size)
{
    struct shared_memory *shared = core_allocate(sizeof(*shared));

    if (shared == NULL)
        return NULL;
    shared->object.operations = &shared_operations;
    shared->references = 1;
    shared->pages = size >> VM_PAGE_SHIFT;
    shared->inode = ++last_inode;
    while (shared->levels * ENTRIES_SHIFT < 64 && shared->pages > (uint64_t)1 << shared->levels * ENTRIES_SHIFT)
        shared->levels++;
    return &shared->object;
}

/* ---- files ---- */

static struct vm_object *object_of_file(struct file *file, bool *sealed)
{
    long seals = file->operations->fcntl != NULL ? file->operations->fcntl(file, F_GET_SEALS, 0) : 0;

    *sealed = seals > 0 && (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE));
    return file->operations->object != NULL ? file->operations->object(file) : ERR_PTR(E_NODEV);
}

static const struct linux_objects objects = {
    .map = vm_object_map, .prepare = vm_object_prepare, .of_file = object_of_file, .shared = make_shared};

void linux_mappings_init(void)
{
    if (linux_objects == NULL)
        vm_driver_register(&vm_file);
    linux_objects = &objects;
    node_writable_mapping = vm_object_is_writable;
}
