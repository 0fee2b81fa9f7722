/*
 * The bytes of a regular file. A page of it is, in this order: the file's own, if there is one in its radix tree; a
 * packed one, as far as the packed bytes still reach; a hole, which reads as zeros. So a packed file costs no page
 * until it is written to, and a hole never does until then.
 *
 * The tree has 64 slots a node, so a small file has a small tree: of height 0 the root is the slot of the only page. A
 * slot is empty, the address of a page in the map of RAM, or HOLE: zeros where a packed page would show. Own pages hold
 * zeros behind the end of the file.
 *
 * What can fail for want of memory is done first; then the size and the pages change together. Mappings of the file are
 * told when a page that they may show is replaced (vm/object.h).
 *
 * Files are changed under linux_lock. A fault on a mapping does without that: it asks for a page, and may put one into
 * the tree, with domain 0 of the address space held (vm/space.h). So of a file that is mapped, what is looked at or
 * changed is with that domain held, too, but not while the program's memory is read or written, which may fault: own
 * pages stay until somebody with linux_lock takes them away.
 */
#include "core/allocate.h"
#include "core/base/string.h"
#include "core/linux/tree.h"
#include "machine.h"
#include "vm/frames.h"
#include "vm/space.h"

#define SLOT_BITS 6u
#define SLOTS (1u << SLOT_BITS)
#define HEIGHT_MAX 9u /* 2^54 pages */
#define HOLE ((void *)1)
/* Files leave the last of RAM to page tables and stacks. */
#define FRAMES_LEFT 64u

struct level {
    void *slots[SLOTS];
};

/* Against faults, from here to the end of the block. Without a mapping there are none, nor does one come without
 * linux_lock. */
#define CONTENTS_HOLD(contents)                                                                                        \
    SPACE_HOLD(__atomic_load_n(&(contents)->object.mappings, __ATOMIC_RELAXED) != NULL ? vm_space() : NULL)

static uint64_t page_of(uint64_t position)
{
    return position >> VM_PAGE_SHIFT;
}

static uint64_t pages_up(uint64_t size)
{
    return (size >> VM_PAGE_SHIFT) + ((size & VM_PAGE_MASK) != 0);
}

static bool is_own(const void *slot)
{
    return slot != NULL && slot != HOLE;
}

/* ---- the radix tree ---- */

static bool reaches(const struct contents *contents, uint64_t page)
{
    return page >> SLOT_BITS * contents->height == 0;
}

static unsigned slot_index(uint64_t page, unsigned level)
{
    return page >> SLOT_BITS * (level - 1) & (SLOTS - 1);
}

/* The slot of the page; NULL if the tree has none. */
static void **find_slot(const struct contents *contents, uint64_t page)
{
    void **slot = (void **)&contents->root;

    if (!reaches(contents, page))
        return NULL;
    for (unsigned level = contents->height; level > 0; level--) {
        struct level *node = *slot;

        if (node == NULL)
            return NULL;
        slot = &node->slots[slot_index(page, level)];
    }
    return slot;
}

static bool is_empty(const struct level *node)
{
    for (unsigned i = 0; i < SLOTS; i++)
        if (node->slots[i] != NULL)
            return false;
    return true;
}

/* Takes away the nodes on the way to the page that hold nothing. */
static void prune(void **slot, unsigned level, uint64_t page)
{
    struct level *node = *slot;

    if (level == 0 || node == NULL)
        return;
    prune(&node->slots[slot_index(page, level)], level - 1, page);
    if (is_empty(node)) {
        core_release(node, sizeof(*node));
        *slot = NULL;
    }
}

/* Takes away levels at the top that only lead to their first slot. */
static void lower(struct contents *contents)
{
    while (contents->height > 0) {
        struct level *node = contents->root;
        void *first = node != NULL ? node->slots[0] : NULL;

        if (node != NULL) {
            node->slots[0] = NULL;
            if (!is_empty(node)) {
                node->slots[0] = first;
                return;
            }
            core_release(node, sizeof(*node));
        }
        contents->root = first;
        contents->height--;
    }
}

/* Nothing is left of a slot that was made and not used. */
static void discard(struct contents *contents, uint64_t page)
{
    prune(&contents->root, contents->height, reaches(contents, page) ? page : 0);
    lower(contents);
}

static bool heighten(struct contents *contents, uint64_t page)
{
    while (!reaches(contents, page)) {
        struct level *node = contents->root != NULL ? core_allocate(sizeof(*node)) : NULL;

        if (contents->root != NULL && node == NULL)
            return false;
        if (node != NULL)
            node->slots[0] = contents->root;
        contents->root = node;
        contents->height++;
    }
    return true;
}

/* The slot of the page, which the tree gets if it has none; NULL without memory, and then the tree is as it was. */
static void **make_slot(struct contents *contents, uint64_t page)
{
    void **slot = &contents->root;
    bool made = heighten(contents, page);

    for (unsigned level = contents->height; made && level > 0; level--) {
        if (*slot == NULL)
            *slot = core_allocate(sizeof(struct level));
        made = *slot != NULL;
        if (made)
            slot = &((struct level *)*slot)->slots[slot_index(page, level)];
    }
    if (made)
        return slot;
    discard(contents, page);
    return NULL;
}

/* ---- pages ---- */

static uint64_t packed_pages(const struct contents *contents)
{
    return pages_up(contents->packed_size);
}

/* Packed bytes that show in the page from its start on, if nothing hides them. */
static size_t packed_in(const struct contents *contents, uint64_t page)
{
    uint64_t start = page << VM_PAGE_SHIFT;
    uint64_t left = page < packed_pages(contents) ? contents->packed_size - start : 0;

    return left < VM_PAGE_SIZE ? left : VM_PAGE_SIZE;
}

static void *get_frame(void)
{
    paddr_t frame = frames_free() > FRAMES_LEFT ? frame_get(PAGE_4K) : FRAME_NONE;

    return frame == FRAME_NONE ? NULL : phys_to_virt(frame);
}

/* Bytes [from, VM_PAGE_SIZE) of the page as they are without a page of its own. */
static void fill(const struct contents *contents, uint64_t page, const void *slot, char *memory, size_t from)
{
    size_t packed = slot == HOLE ? 0 : packed_in(contents, page);

    if (from < packed)
        memcpy(memory + from, contents->packed + (page << VM_PAGE_SHIFT) + from, packed - from);
    else
        packed = from;
    memset(memory + packed, 0, VM_PAGE_SIZE - packed);
}

/* Puts the page into its slot, which holds none of the file's own. */
static void set_own(struct contents *contents, uint64_t page, void **slot, void *memory)
{
    bool hides = page < packed_pages(contents) && *slot == NULL;

    *slot = memory;
    contents->own++;
    contents->overridden += hides;
    if (hides && contents->object.mappings != NULL)
        vm_object_invalidate(&contents->object, page, 1, false);
}

/* The file's own page with what the page holds now; NULL without memory. */
static char *own_page(struct contents *contents, uint64_t page)
{
    void **slot = make_slot(contents, page);
    char *memory;

    if (slot == NULL || is_own(*slot))
        return slot != NULL ? *slot : NULL;
    memory = get_frame();
    if (memory == NULL) {
        discard(contents, page);
        return NULL;
    }
    fill(contents, page, *slot, memory, 0);
    set_own(contents, page, slot, memory);
    return memory;
}

/* ---- the object that is mapped ---- */

static error_t object_page(struct vm_object *object, uint64_t page, bool write, paddr_t *frame)
{
    struct contents *contents = CONTAINER_OF(object, struct contents, object);
    void **slot = find_slot(contents, page);
    char *memory;

    if (page >= pages_up(contents->size))
        return E_FAULT;
    if ((slot == NULL || *slot == NULL) && !write && packed_in(contents, page) == VM_PAGE_SIZE &&
        is_aligned((uintptr_t)contents->packed, VM_PAGE_SIZE)) {
        *frame = virt_to_phys(contents->packed + (page << VM_PAGE_SHIFT));
        return E_SUCCESS;
    }
    memory = own_page(contents, page);
    if (memory == NULL)
        return E_NOMEM;
    *frame = virt_to_phys(memory);
    return E_SUCCESS;
}

static error_t object_discard(struct vm_object *object, uint64_t first, uint64_t count)
{
    struct contents *contents = CONTAINER_OF(object, struct contents, object);

    if (contents->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
        return E_PERM;
    return contents_punch(contents, first << VM_PAGE_SHIFT, (first + count) << VM_PAGE_SHIFT);
}

static bool is_there(const struct contents *contents, uint64_t page);

static bool object_resident(struct vm_object *object, uint64_t page)
{
    struct contents *contents = CONTAINER_OF(object, struct contents, object);
    CONTENTS_HOLD(contents);

    return page < pages_up(contents->size) && is_there(contents, page);
}

static struct node *node_of(struct vm_object *object)
{
    return CONTAINER_OF(object, struct node, contents.object);
}

static void object_reference(struct vm_object *object)
{
    node_reference(node_of(object));
}

static void object_release(struct vm_object *object)
{
    node_release(node_of(object));
}

static void object_describe(struct vm_object *object, char *buffer, size_t size)
{
    node_path(node_of(object), buffer, size);
}

static uint64_t object_inode(struct vm_object *object)
{
    return node_of(object)->inode;
}

static const struct vm_object_operations object_operations = {
    .page = object_page,
    .reference = object_reference,
    .release = object_release,
    .describe = object_describe,
    .inode = object_inode,
    .discard = object_discard,
    .resident = object_resident,
};

void contents_init(struct contents *contents)
{
    contents->object.operations = &object_operations;
    contents->seals = F_SEAL_SEAL;
}

/* ---- reading and writing ---- */

/* Where the byte at the position lies, and in *room how many follow it at least. */
static const void *source(const struct contents *contents, uint64_t position, size_t *room)
{
    CONTENTS_HOLD(contents);
    static const char zeros[256];
    uint64_t page = page_of(position);
    size_t offset = position & VM_PAGE_MASK, packed;
    void **slot = contents->root != NULL ? find_slot(contents, page) : NULL;

    *room = VM_PAGE_SIZE - offset;
    if (slot != NULL && is_own(*slot))
        return (const char *)*slot + offset;
    packed = slot != NULL && *slot == HOLE ? 0 : packed_in(contents, page);
    if (offset < packed) {
        *room = packed - offset;
        return contents->packed + position;
    }
    if (*room > sizeof(zeros))
        *room = sizeof(zeros);
    return zeros;
}

long contents_read(struct contents *contents, void *user, size_t length, uint64_t position)
{
    size_t done = 0;

    if (position >= contents->size || length == 0)
        return 0;
    if (length > contents->size - position)
        length = contents->size - position;
    if (contents->root == NULL && position + length <= contents->packed_size)
        return linux_user_write(user, contents->packed + position, length);
    while (done < length) {
        size_t room;
        const void *from = source(contents, position + done, &room);
        size_t part = length - done < room ? length - done : room;
        long copied = linux_user_write((char *)user + done, from, part);

        if (copied < 0)
            return done > 0 ? (long)done : copied;
        done += (size_t)copied;
        if ((size_t)copied < part)
            break;
    }
    return (long)done;
}

/*
 * A page that is written to as a whole needs nothing of what it held. It becomes the file's own when it is complete:
 * the program's memory may be a mapping of this very page, which the copying then makes the file's own before.
 */
static long write_whole(struct contents *contents, uint64_t page, const void *user)
{
    char *memory = get_frame();
    long copied = memory != NULL ? linux_user_read(memory, user, VM_PAGE_SIZE) : -E_NOSPC;
    CONTENTS_HOLD(contents);
    void **slot = copied > 0 ? make_slot(contents, page) : NULL;

    if (slot != NULL && !is_own(*slot)) {
        fill(contents, page, *slot, memory, (size_t)copied);
        set_own(contents, page, slot, memory);
        return copied;
    }
    if (slot != NULL)
        memcpy(*slot, memory, (size_t)copied);
    if (memory != NULL)
        frame_put(virt_to_phys(memory), PAGE_4K);
    return slot != NULL || copied < 0 ? copied : -E_NOSPC;
}

/* The file's own page if there is one, or else, as only a part of it is to be written, what becomes one. */
static char *page_to_write(struct contents *contents, uint64_t page, bool whole)
{
    CONTENTS_HOLD(contents);
    void **slot = find_slot(contents, page);

    if (slot != NULL && is_own(*slot))
        return *slot;
    return whole ? NULL : own_page(contents, page);
}

static long write_page(struct contents *contents, const void *user, size_t length, uint64_t position)
{
    bool whole = length == VM_PAGE_SIZE;
    char *memory = page_to_write(contents, page_of(position), whole);

    if (memory != NULL)
        return linux_user_read(memory + (position & VM_PAGE_MASK), user, length);
    return whole ? write_whole(contents, page_of(position), user) : -E_NOSPC;
}

long contents_write(struct contents *contents, const void *user, size_t length, uint64_t position)
{
    size_t done = 0;

    while (done < length) {
        size_t room = VM_PAGE_SIZE - ((position + done) & VM_PAGE_MASK);
        size_t part = length - done < room ? length - done : room;
        long copied = write_page(contents, (const char *)user + done, part, position + done);

        if (copied < 0)
            return done > 0 ? (long)done : copied;
        done += (size_t)copied;
        if (position + done > contents->size)
            contents->size = position + done;
        /* If less was read: the rest may be a mapping of what has just become a part of the file. */
    }
    return (long)done;
}

/* ---- size and holes ---- */

/* Empties the slots of the pages from `first` on below the slot, whose pages begin with `start`. */
static void cut(struct contents *contents, void **slot, unsigned level, uint64_t start, uint64_t first)
{
    struct level *node = *slot;
    uint64_t step = level > 0 ? (uint64_t)1 << SLOT_BITS * (level - 1) : 0;

    if (*slot == NULL)
        return;
    if (level == 0) {
        if (start < first)
            return;
        contents->overridden -= start < packed_pages(contents);
        if (is_own(*slot)) {
            frame_put(virt_to_phys(*slot), PAGE_4K);
            contents->own--;
        }
        *slot = NULL;
        return;
    }
    for (unsigned i = 0; i < SLOTS; i++)
        if (start + (i + 1) * step > first)
            cut(contents, &node->slots[i], level - 1, start + i * step, first);
    if (is_empty(node)) {
        core_release(node, sizeof(*node));
        *slot = NULL;
    }
}

/* What lies behind the new end in its page reads as zeros if the file grows again: packed bytes are not shown any more.
 */
static void clear_tail(struct contents *contents, uint64_t size)
{
    void **slot = find_slot(contents, page_of(size));

    if (slot != NULL && is_own(*slot))
        memset((char *)*slot + (size & VM_PAGE_MASK), 0, VM_PAGE_SIZE - (size & VM_PAGE_MASK));
    else if (contents->object.mappings != NULL)
        vm_object_invalidate(&contents->object, page_of(size), 1, false);
}

void contents_set_size(struct contents *contents, uint64_t size)
{
    CONTENTS_HOLD(contents);
    uint64_t first = pages_up(size), before = pages_up(contents->size);

    if (size < contents->size) {
        if (contents->object.mappings != NULL && before > first)
            vm_object_invalidate(&contents->object, first, before - first, true);
        cut(contents, &contents->root, contents->height, 0, first);
        lower(contents);
        if (size < contents->packed_size)
            contents->packed_size = size;
        if ((size & VM_PAGE_MASK) != 0)
            clear_tail(contents, size);
    }
    contents->size = size;
}

void contents_destroy(struct contents *contents)
{
    cut(contents, &contents->root, contents->height, 0, 0);
}

/* True if the page holds data; else *next is the page behind which there may be some. */
static bool has_data(const struct contents *contents, uint64_t page, uint64_t *next)
{
    const void *slot = contents->root;

    *next = page + 1;
    if (!reaches(contents, page)) {
        slot = NULL;
        *next = UINT64_MAX;
    }
    for (unsigned level = reaches(contents, page) ? contents->height : 0; level > 0 && slot != NULL; level--) {
        slot = ((const struct level *)slot)->slots[slot_index(page, level)];
        if (slot == NULL)
            *next = ((page >> SLOT_BITS * (level - 1)) + 1) << SLOT_BITS * (level - 1);
    }
    return is_own(slot) || (slot == NULL && packed_in(contents, page) > 0);
}

/* The page is a hole again. */
static void empty(struct contents *contents, uint64_t page)
{
    void **slot = find_slot(contents, page);
    void *before = slot != NULL ? *slot : NULL;
    bool hides = page < packed_pages(contents);

    if (slot == NULL)
        return;
    *slot = hides ? HOLE : NULL;
    contents->overridden += hides && before == NULL;
    if (contents->object.mappings != NULL)
        vm_object_invalidate(&contents->object, page, 1, false);
    if (is_own(before)) {
        contents->own--;
        frame_put(virt_to_phys(before), PAGE_4K);
    }
    if (!hides)
        discard(contents, page);
}

static bool is_there(const struct contents *contents, uint64_t page)
{
    uint64_t next;

    return has_data(contents, page, &next);
}

/* Frames and slots for all pages that are not there come first; then the pages become the file's own. */
static error_t allocate_missing(struct contents *contents, uint64_t first, uint64_t last)
{
    void *spare = NULL; /* each frame begins with the address of the next */
    error_t error = E_SUCCESS;

    for (uint64_t page = first; page < last && error == E_SUCCESS; page++) {
        void *memory = !is_there(contents, page) ? get_frame() : NULL;

        if (is_there(contents, page))
            continue;
        if (memory != NULL) {
            *(void **)memory = spare;
            spare = memory;
        }
        if (memory == NULL || make_slot(contents, page) == NULL)
            error = E_NOSPC;
    }
    for (uint64_t page = first; page < last && error == E_SUCCESS; page++)
        if (!is_there(contents, page)) {
            void *memory = spare;

            spare = *(void **)memory;
            memset(memory, 0, VM_PAGE_SIZE);
            set_own(contents, page, find_slot(contents, page), memory);
        }
    for (uint64_t page = first; page < last && error != E_SUCCESS; page++)
        discard(contents, page);
    while (spare != NULL) {
        void *memory = spare;

        spare = *(void **)memory;
        frame_put(virt_to_phys(memory), PAGE_4K);
    }
    return error;
}

error_t contents_allocate(struct contents *contents, uint64_t start, uint64_t end)
{
    CONTENTS_HOLD(contents);
    uint64_t first = page_of(start), last = pages_up(end), missing = 0;
    size_t room = frames_free() > FRAMES_LEFT ? frames_free() - FRAMES_LEFT : 0;

    for (uint64_t page = first; page < last && missing <= room; page++)
        missing += !is_there(contents, page);
    if (missing + missing / SLOTS > room) /* with the nodes of the tree */
        return E_NOSPC;
    return allocate_missing(contents, first, last);
}

static void zero(struct contents *contents, uint64_t start, uint64_t end)
{
    void **slot = find_slot(contents, page_of(start));

    if (start < end && slot != NULL && is_own(*slot))
        memset((char *)*slot + (start & VM_PAGE_MASK), 0, end - start);
}

/* True if zeros in a part of the page need a page of its own. */
static bool needs_own(const struct contents *contents, uint64_t position)
{
    void **slot = find_slot(contents, page_of(position));

    return (position & VM_PAGE_MASK) != 0 && packed_in(contents, page_of(position)) > 0 &&
           (slot == NULL || *slot == NULL);
}

/* The page shows what is packed again: it was made the file's own and not changed since. */
static void take_back(struct contents *contents, uint64_t page)
{
    void **slot = find_slot(contents, page), *memory = *slot;

    *slot = NULL;
    contents->own--;
    contents->overridden--;
    if (contents->object.mappings != NULL)
        vm_object_invalidate(&contents->object, page, 1, false);
    frame_put(virt_to_phys(memory), PAGE_4K);
    discard(contents, page);
}

/* Pages of their own where a part of a packed page becomes zeros, and slots for packed pages that become holes. */
static error_t prepare_punch(struct contents *contents, uint64_t start, uint64_t end)
{
    bool own_start = needs_own(contents, start), own_end;
    uint64_t page, first = pages_up(start), last = page_of(end);

    if (own_start && own_page(contents, page_of(start)) == NULL)
        return E_NOSPC;
    own_end = needs_own(contents, end); /* not if it is the same page */
    if (!own_end || own_page(contents, page_of(end)) != NULL) {
        for (page = first; page < last && page < packed_pages(contents); page++)
            if (make_slot(contents, page) == NULL)
                break;
        if (page >= last || page >= packed_pages(contents))
            return E_SUCCESS;
        while (page > first)
            discard(contents, --page);
        if (own_end)
            take_back(contents, page_of(end));
    }
    if (own_start)
        take_back(contents, page_of(start));
    return E_NOSPC;
}

error_t contents_punch(struct contents *contents, uint64_t start, uint64_t end)
{
    CONTENTS_HOLD(contents);
    uint64_t first = pages_up(start), last = page_of(end);
    error_t error = prepare_punch(contents, start, end);

    if (error != E_SUCCESS)
        return error;
    if (first > last) { /* inside of one page */
        zero(contents, start, end);
        return E_SUCCESS;
    }
    zero(contents, start, first << VM_PAGE_SHIFT);
    zero(contents, last << VM_PAGE_SHIFT, end);
    for (uint64_t page = first, next; page < last; page = next)
        if (has_data(contents, page, &next))
            empty(contents, page);
    return E_SUCCESS;
}

uint64_t contents_next(const struct contents *contents, uint64_t position, bool data)
{
    CONTENTS_HOLD(contents);
    uint64_t page = page_of(position), next, end = pages_up(contents->size);

    while (page < end && has_data(contents, page, &next) != data)
        page = data ? next : page + 1;
    if (page >= end)
        return contents->size;
    return page << VM_PAGE_SHIFT > position ? page << VM_PAGE_SHIFT : position;
}

uint64_t contents_blocks(const struct contents *contents)
{
    CONTENTS_HOLD(contents);
    return (contents->own + packed_pages(contents) - contents->overridden) * (VM_PAGE_SIZE / 512);
}
