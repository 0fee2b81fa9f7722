/*
 * The conformance test that every segment driver has to pass, an application's included: what vm/vm.h and vm/driver.h
 * promise to callers, whatever the driver does with its pages.
 *
 * To pass your own driver, write a test program of a few lines beside those in tests/unit/ (and list it, with your
 * driver's source file, in tests/unit/programs.py):
 *
 *     static void test_my_driver(void **state)
 *     {
 *         fixture_start(64 * MIB);
 *         conformance_run(&my_driver, &(struct conformance_options){.fresh = my_fresh_contents});
 *         fixture_end();
 *     }
 *
 * Each operation is also run with the nth frame missing, for every n until it gets all it asks for: it has to answer
 * E_NOMEM and leave no trace, but for large pages that were split. An operation that is NULL has to mean what vm/vm.h
 * says. Segments in the permanent map of RAM (the heap driver's spans) stay readable after vm_free, may refuse to grow,
 * and know no VM_EXEC.
 */
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#include "vm/vm.h"

/* What the test has to know of the driver; zeros are the usual case. */
struct conformance_options {
    size_t size;                      /* bytes of the segments to test with, at least 16 pages; 0: 64 pages */
    vm_flags_t flags;                 /* to allocate with; 0: VM_RW */
    size_t first;                     /* bytes at the low end of a segment that are never backed */
    bool never_backed;                /* every access is refused */
    bool no_contents;                 /* there is no memory behind it: a device */
    bool keeps_contents;              /* VM_ADVICE_DONTNEED drops pages, but what was written is kept elsewhere */
    bool may_refuse;                  /* operations that are there may still answer E_NOTSUP */
    uint64_t (*fresh)(size_t offset); /* the 8 bytes that a fresh page reads as at the offset; NULL: zeros */
    paddr_t physical; /* drivers with vm_alloc_at: the start of a range, twice the size long, that is accepted */
};

/* Fails the running cmocka test if the driver breaks a promise. Needs fixture_start; registers the driver if it is not.
 */
void conformance_run(const struct vm_segment_driver *driver, const struct conformance_options *options);

#endif
