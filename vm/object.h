/*
 * Memory objects: contents that segments of the `file` driver show (a packed file, a file in memory, a memfd, shared
 * anonymous memory). The object owns its frames; a shared mapping maps them, a private one maps them read-only and
 * copies the page on the first write (after SunOS's vnode pages and seg_vn: Gingell, Moran, Shannon, 1987).
 *
 * Frames of an object are mapped with VM_BORROWED (vm/mmu.h), so that unmapping never gives them to the frame
 * allocator; private copies belong to the mapping and go back with it.
 */
#ifndef VM_OBJECT_H
#define VM_OBJECT_H

#include "vm/driver.h"

struct vm_object;

struct vm_object_operations {
    /*
     * The frame that holds page number `page` (bytes page * VM_PAGE_SIZE and on), which stays the object's. write: for
     * a shared mapping that may be written to. Bytes behind the end of the contents in the last page read as zeros.
     * E_FAULT: behind the last page (the program gets SIGBUS); E_NOMEM. Called from the fault path: may not block. If
     * the frame is another one than before, the others that show the page are told first (vm_object_invalidate).
     */
    error_t (*page)(struct vm_object *, uint64_t page, bool write, paddr_t *frame);
    /* A mapping refers to the object, or no longer does. */
    void (*reference)(struct vm_object *);
    void (*release)(struct vm_object *);
    /* Path or label for /proc/self/maps, and its inode number. */
    void (*describe)(struct vm_object *, char *buffer, size_t size);
    uint64_t (*inode)(struct vm_object *);
    /* Gives up the contents of the pages, which read as zeros again (MADV_REMOVE, a hole in a file), and tells those
     * that show them. NULL: E_NOTSUP. */
    error_t (*discard)(struct vm_object *, uint64_t first, uint64_t count);
    /* Whether the page is in memory without page() having to make it. NULL: if page() finds it. */
    bool (*resident)(struct vm_object *, uint64_t page);
};

struct vm_object {
    const struct vm_object_operations *operations;
    struct vm_mapping *mappings; /* vm/file.c's: what shows the object now */
};

extern const struct vm_segment_driver vm_file;

/* Makes sure that the next vm_object_map does not fail for want of a frame of its own; false without one. */
bool vm_object_prepare(void);

/*
 * A segment of the file driver on [first_page, ...) of the object: at va, or VM_ANYWHERE. shared: writes go to the
 * object (MAP_SHARED), else to private copies. may_write: false if a shared mapping may never become writable (the file
 * is open for reading: vm_protect answers E_ACCES). Takes a reference for as long as a piece of the segment is there.
 * VM_POPULATE backs what the object has now, private copies made where the program may write (as Linux does), not what
 * the segment grows by. Segment or encoded error as vm_alloc.
 */
struct vm_segment *vm_object_map(struct address_space *, struct vm_object *, uint64_t first_page, vaddr_t va,
                                 size_t size, vm_flags_t flags, bool shared, bool may_write);

/* Whether an object has ever been shown shared: until then no two addresses have the same memory. Takes no lock. */
extern bool vm_object_was_shared;

/* True if somebody shows the object shared and may write to it, or may come to. */
bool vm_object_is_writable(struct vm_object *);

/* What a segment of the file driver shows: at its start, page `first_page` of the object. NULL: another driver's. */
struct vm_object_view {
    struct vm_object *object;
    uint64_t first_page;
    bool shared, may_write;
};
struct vm_object_view vm_object_view(const struct vm_segment *);

/*
 * The object's pages [first, first + count) have other frames now, or none: every mapping of them is taken out of the
 * page tables, so that the next touch asks again. private_too: copies of private mappings as well (truncation), else
 * they stay (the file was written to).
 */
void vm_object_invalidate(struct vm_object *, uint64_t first, uint64_t count, bool private_too);

#endif
