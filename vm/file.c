/*
 * The file driver: segments that show a memory object (vm/object.h), shared or with private copies of what was written.
 *
 * A page that the object lends is mapped as borrowed, without VM_WRITE until somebody writes to it: the write fault
 * then asks the object for a frame that may be written to, or, in a private segment, copies the page. A copy belongs to
 * the segment and is not borrowed; so the page table alone says what is whose, and nothing is kept per page.
 *
 * Which page of the object is where is one number for a whole mapping: the object's page that address 0 would show,
 * modulo 2^64. Hence all pieces that a segment is cut into share one record (struct vm_mapping), cutting takes no
 * memory, and the core merges pieces again because their `own` is equal. Two segments that were mapped apart but meet,
 * with the contents going on across the border, share a record too. Only a move makes a new one.
 *
 * An object finds what shows it by its list of records; each knows between which addresses its segments are.
 */
#include "vm/object.h"

#include "core/base/print.h"
#include "core/base/string.h"
#include "vm/frames.h"
#include "vm/segments.h"

struct vm_mapping {
    struct vm_mapping *next, *previous; /* of the object; free records: by next */
    struct vm_object *object;
    struct address_space *space;
    uint64_t page_at_zero;
    size_t segments;   /* pieces that have this as their `own` */
    vaddr_t low, high; /* they lie in [low, high) */
    bool shared, may_write;
};

static inline struct vm_mapping *mapping_of(const struct vm_segment *segment)
{
    return segment->own;
}

static inline uint64_t object_page(const struct vm_mapping *mapping, vaddr_t va)
{
    return mapping->page_at_zero + (va >> VM_PAGE_SHIFT);
}

/* ---- records ---- */

struct record_page {
    struct record_page *next, *previous; /* among those with a free record */
    struct vm_mapping *free;
    unsigned used;
    struct vm_mapping records[];
};

#define RECORDS_PER_PAGE ((VM_PAGE_SIZE - sizeof(struct record_page)) / sizeof(struct vm_mapping))

static struct record_page *record_pages;

static void record_page_link(struct record_page *page)
{
    page->previous = NULL;
    page->next = record_pages;
    if (page->next)
        page->next->previous = page;
    record_pages = page;
}

static void record_page_unlink(struct record_page *page)
{
    if (page->previous)
        page->previous->next = page->next;
    else
        record_pages = page->next;
    if (page->next)
        page->next->previous = page->previous;
}

static struct record_page *record_page_make(void)
{
    paddr_t frame = frame_get(PAGE_4K);
    struct record_page *page;

    if (frame == FRAME_NONE)
        return NULL;
    page = phys_to_virt(frame);
    page->free = NULL;
    page->used = 0;
    for (size_t i = 0; i < RECORDS_PER_PAGE; i++) {
        page->records[i].next = page->free;
        page->free = &page->records[i];
    }
    record_page_link(page);
    return page;
}

static struct vm_mapping *record_get(void)
{
    struct record_page *page = record_pages ? record_pages : record_page_make();
    struct vm_mapping *record;

    if (!page)
        return NULL;
    record = page->free;
    page->free = record->next;
    if (++page->used == RECORDS_PER_PAGE)
        record_page_unlink(page);
    return record;
}

static void record_put(struct vm_mapping *record)
{
    struct record_page *page = (struct record_page *)align_down((uintptr_t)record, VM_PAGE_SIZE);

    record->next = page->free;
    page->free = record;
    if (page->used-- == RECORDS_PER_PAGE)
        record_page_link(page);
    if (page->used == 0) {
        record_page_unlink(page);
        frame_put(virt_to_phys(page), PAGE_4K);
    }
}

bool vm_object_prepare(void)
{
    SPACE_HOLD(current_space);
    return record_pages || record_page_make();
}

/* ---- mappings ---- */

/* A record for one segment, on the object's list and with a reference to it; NULL: no frame. */
static struct vm_mapping *mapping_make(const struct vm_mapping *like, vaddr_t start, size_t size)
{
    struct vm_mapping *mapping = record_get();
    struct vm_object *object = like->object;

    if (!mapping)
        return NULL;
    *mapping = *like;
    mapping->segments = 1;
    mapping->low = start;
    mapping->high = start + size;
    mapping->previous = NULL;
    mapping->next = object->mappings;
    if (mapping->next)
        mapping->next->previous = mapping;
    object->mappings = mapping;
    object->operations->reference(object);
    return mapping;
}

/* One more segment shows it. */
static struct vm_mapping *mapping_share(struct vm_mapping *mapping, vaddr_t start, size_t size)
{
    mapping->segments++;
    mapping->low = start < mapping->low ? start : mapping->low;
    mapping->high = start + size > mapping->high ? start + size : mapping->high;
    return mapping;
}

static void mapping_put(struct vm_mapping *mapping)
{
    struct vm_object *object = mapping->object;

    if (--mapping->segments > 0)
        return;
    if (mapping->previous)
        mapping->previous->next = mapping->next;
    else
        object->mappings = mapping->next;
    if (mapping->next)
        mapping->next->previous = mapping->previous;
    record_put(mapping);
    object->operations->release(object);
}

/* The record of the segment at the address if what is wanted goes on there. */
static struct vm_mapping *mapping_at(struct address_space *space, vaddr_t va, const struct vm_mapping *wanted)
{
    const struct vm_segment *segment = space_at(space, va) == space ? segment_find(space, va) : NULL;
    struct vm_mapping *there = segment && segment->driver == &vm_file ? segment->own : NULL;

    return there && there->object == wanted->object && there->page_at_zero == wanted->page_at_zero &&
                   there->shared == wanted->shared && there->may_write == wanted->may_write
               ? there
               : NULL;
}

/* A neighbour's record or a new one; NULL: no frame. */
static struct vm_mapping *mapping_get(struct address_space *space, const struct vm_mapping *wanted, vaddr_t start,
                                      size_t size)
{
    struct vm_mapping *mapping = mapping_at(space, start - 1, wanted);

    if (!mapping)
        mapping = mapping_at(space, start + size, wanted);
    return mapping ? mapping_share(mapping, start, size) : mapping_make(wanted, start, size);
}

/* ---- backing pages ---- */

/* A copy of the lent page for the segment alone. */
static error_t map_copy(struct address_space *space, struct vm_segment *segment, vaddr_t page, paddr_t lent,
                        bool mapped)
{
    paddr_t frame = frame_get(PAGE_4K);
    error_t error = E_SUCCESS;

    if (frame == FRAME_NONE)
        return E_NOMEM;
    memcpy(phys_to_virt(frame), phys_to_virt(lent), VM_PAGE_SIZE);
    if (mapped)
        mmu_replace(&space->mmu, page, frame, segment->flags & VM_PROTECTION);
    else
        error = mmu_map(&space->mmu, page, frame, PAGE_4K, segment->flags & VM_PROTECTION);
    if (error)
        frame_put(frame, PAGE_4K);
    return error;
}

static error_t map_lent(struct address_space *space, struct vm_segment *segment, vaddr_t page, paddr_t lent,
                        bool mapped, bool write)
{
    vm_flags_t flags = (segment->flags & VM_PROTECTION & (write ? ~0u : ~VM_WRITE)) | VM_BORROWED;

    if (!mapped)
        return mmu_map(&space->mmu, page, lent, PAGE_4K, flags);
    mmu_replace(&space->mmu, page, lent, flags);
    return E_SUCCESS;
}

/* Makes the page at va, which the protection allows to be reached so, reachable. */
static error_t serve(struct address_space *space, struct vm_segment *segment, vaddr_t va, bool write)
{
    struct vm_mapping *mapping = mapping_of(segment);
    vaddr_t page = align_down(va, VM_PAGE_SIZE);
    struct mmu_entry entry;
    paddr_t lent;
    bool mapped;
    error_t error;

    if (mmu_query(&space->mmu, page, &entry) && !(entry.flags & VM_BORROWED))
        return E_SUCCESS; /* a copy has all of the protection */
    error =
        mapping->object->operations->page(mapping->object, object_page(mapping, va), write && mapping->shared, &lent);
    if (error)
        return error == E_FAULT ? E_RANGE : error;
    mapped = mmu_query(&space->mmu, page, NULL); /* after the object has told others, of which this may be one */
    if (write && !mapping->shared)
        error = map_copy(space, segment, page, lent, mapped);
    else
        error = map_lent(space, segment, page, lent, mapped, write);
    segment->mapped |= !error;
    return error;
}

static error_t file_fault(struct address_space *space, struct vm_segment *segment)
{
    const struct vm_fault_info *fault = this_cpu(fault_record);
    error_t error = serve(space, segment, fault->address, fault->access == VM_WRITE);

    segment->faults[PAGE_4K] += !error;
    return error;
}

/* Backs what the object has of the range. */
static error_t back_range(struct address_space *space, struct vm_segment *segment, vaddr_t va, size_t size, bool write)
{
    error_t error = E_SUCCESS;

    for (vaddr_t end = va + size; va < end && (segment->flags & VM_READ); va += VM_PAGE_SIZE) {
        error = serve(space, segment, va, write);
        if (error)
            break;
    }
    return error == E_RANGE ? E_SUCCESS : error;
}

/* ---- the operations ---- */

/* Without an object there is nothing to show: vm_object_map. */
static struct vm_segment *file_alloc(struct address_space *space, vaddr_t start, size_t size, vm_flags_t flags)
{
    (void)space, (void)start, (void)size, (void)flags;
    return ERR_PTR(E_NOTSUP);
}

static void file_free(struct address_space *space, struct vm_segment *segment)
{
    struct vm_mapping *mapping = mapping_of(segment);

    vm_segment_free_owned(space, segment);
    mapping_put(mapping);
}

static error_t file_resize(struct address_space *space, struct vm_segment *segment, size_t size)
{
    error_t error = vm_segment_resize_owned(space, segment, size);

    if (!error && segment_end(segment) > mapping_of(segment)->high)
        mapping_of(segment)->high = segment_end(segment);
    return error;
}

static error_t file_protect(struct address_space *space, struct vm_segment *segment, vm_flags_t protection)
{
    if ((protection & VM_WRITE) && mapping_of(segment)->shared && !mapping_of(segment)->may_write)
        return E_ACCES;
    return vm_segment_protect_mapped(space, segment, protection);
}

static error_t file_split(struct address_space *space, struct vm_segment *first, struct vm_segment *second)
{
    (void)space, (void)second;
    mapping_of(first)->segments++;
    return E_SUCCESS;
}

static void file_join(struct address_space *space, struct vm_segment *first, struct vm_segment *second)
{
    (void)space, (void)first;
    mapping_put(mapping_of(second));
}

static error_t file_copy(struct address_space *space, struct vm_segment *segment, vaddr_t from,
                         struct vm_segment *second)
{
    struct vm_mapping wanted = *mapping_of(segment);

    wanted.page_at_zero = object_page(&wanted, from) - (second->start >> VM_PAGE_SHIFT);
    second->own = mapping_get(space, &wanted, second->start, second->size);
    return second->own ? E_SUCCESS : E_NOMEM;
}

static error_t file_advise(struct address_space *space, struct vm_segment *segment, vaddr_t va, size_t size, int advice)
{
    if (advice == VM_ADVICE_WILLNEED)
        back_range(space, segment, va, size, false); /* a hint: without a frame it stays as it is */
    else
        vm_segment_unmap(space, segment, va, size, true);
    return E_SUCCESS;
}

static void file_describe(const struct vm_segment *segment, char *buffer, size_t size)
{
    struct vm_object_view view = vm_object_view(segment);
    char name[64] = "";

    if (view.object->operations->describe)
        view.object->operations->describe(view.object, name, sizeof(name));
    text_format(buffer, size, "%s page %llu of %s", view.shared ? "shared" : "private",
                (unsigned long long)view.first_page, name);
}

const struct vm_segment_driver vm_file = {
    .vm_alloc = file_alloc,
    .vm_free = file_free,
    .vm_resize = file_resize,
    .vm_fault = file_fault,
    .name = "file",
    .properties = VM_DRIVER_GENERAL_REGISTERS | VM_DRIVER_MERGES | VM_DRIVER_OBJECTS,
    .protect = file_protect,
    .split = file_split,
    .join = file_join,
    .advise = file_advise,
    .describe = file_describe,
    .copy = file_copy,
};

/* ---- for who has an object ---- */

bool vm_object_was_shared;

struct vm_segment *vm_object_map(struct address_space *space, struct vm_object *object, uint64_t first_page, vaddr_t va,
                                 size_t size, vm_flags_t flags, bool shared, bool may_write)
{
    SPACE_HOLD_AT_HOME(space, &vm_file, va, size);
    struct vm_mapping wanted = {.object = object, .space = space, .shared = shared, .may_write = may_write};
    error_t error = segment_check_arguments(va, size, flags);
    struct vm_segment *segment;

    if (!error && (flags & VM_CACHE))
        error = E_INVAL;
    if (!error && shared && !may_write && (flags & VM_WRITE))
        error = E_ACCES;
    if (error)
        return ERR_PTR(error);
    if (shared)
        __atomic_store_n(&vm_object_was_shared, true, __ATOMIC_RELAXED); /* known to whoever gets to know the address */
    segment = vm_segment_create(space, &vm_file, va, size, (flags & ~(VM_PAGES | VM_POPULATE)) | VM_PAGES_4K);
    if (IS_ERR(segment))
        return segment;
    wanted.page_at_zero = first_page - (segment->start >> VM_PAGE_SHIFT);
    segment->own = mapping_get(space, &wanted, segment->start, size);
    if (!segment->own) {
        vm_segment_destroy(space, segment);
        return ERR_PTR(E_NOMEM);
    }
    if (flags & VM_POPULATE)
        error = back_range(space, segment, segment->start, size, (flags & VM_WRITE) && !shared);
    if (error) {
        file_free(space, segment);
        return ERR_PTR(error);
    }
    return segment;
}

bool vm_object_is_writable(struct vm_object *object)
{
    SPACE_HOLD(current_space);
    const struct vm_mapping *mapping = object->mappings;

    while (mapping && !(mapping->shared && mapping->may_write))
        mapping = mapping->next;
    return mapping;
}

struct vm_object_view vm_object_view(const struct vm_segment *segment)
{
    struct vm_mapping *mapping = segment->driver->vm_fault == file_fault ? segment->own : NULL;

    if (!mapping)
        return (struct vm_object_view){.object = NULL};
    return (struct vm_object_view){.object = mapping->object,
                                   .first_page = object_page(mapping, segment->start),
                                   .shared = mapping->shared,
                                   .may_write = mapping->may_write};
}

/* Takes the object's pages [first, last] out of the part of a segment that shows them. */
static void forget(struct vm_segment *segment, const struct vm_mapping *mapping, uint64_t first, uint64_t last,
                   bool private_too)
{
    uint64_t from = object_page(mapping, segment->start), to = from + (segment->size >> VM_PAGE_SHIFT) - 1;

    if (!segment->mapped || first > to || last < from)
        return;
    first = first > from ? first : from;
    last = last < to ? last : to;
    vaddr_t va = segment->start + ((first - from) << VM_PAGE_SHIFT);
    size_t size = (last - first + 1) << VM_PAGE_SHIFT;

    struct address_space *space = space_at(mapping->space, va);

    space_note_peak(space);
    if (private_too)
        mmu_unmap(&space->mmu, va, size, true);
    else
        mmu_unmap_borrowed(&space->mmu, va, size);
}

/* Segments of files are in domain 0 and in those tied to it, which nobody changes without domain 0: a fault, which may
 * hold one of these, waits for no other. */
void vm_object_invalidate(struct vm_object *object, uint64_t first, uint64_t count, bool private_too)
{
    SPACE_HOLD(current_space);
    uint64_t last;

    if (count == 0)
        return;
    if (__builtin_add_overflow(first, count - 1, &last))
        last = UINT64_MAX;
    for (struct vm_mapping *mapping = object->mappings; mapping; mapping = mapping->next) {
        struct vm_segment *segment = segment_next(mapping->space, mapping->low, mapping->high);

        for (; segment; segment = segment_next(mapping->space, segment_end(segment), mapping->high)) {
            if (segment->own == mapping)
                forget(segment, mapping, first, last, private_too);
        }
    }
}
