#include "conformance.h"

#include <string.h>

#include "fixture.h"
#include "harness.h"
#include "vm/driver.h"

#define PAGE VM_PAGE_SIZE
#define FIXED (LOW_BASE + 64 * MIB)
#define NTH_MAX 3000
#define STAMPS 4

static const struct vm_segment_driver *driver;
static struct conformance_options options;
static bool by_physical; /* segments come from vm_alloc_at */
static struct trace before, after;

/* ---- segments of the driver, and what is in them ---- */

static struct vm_segment *make(vaddr_t start)
{
    return by_physical ? vm_alloc_at(space, driver, options.physical, options.size, options.flags)
                       : vm_alloc(space, driver, start, options.size, options.flags);
}

static struct vm_segment *must_make(vaddr_t start)
{
    struct vm_segment *segment = make(start);

    if (IS_ERR(segment))
        fail_msg("%s: cannot allocate %#zx bytes: error %d", driver->name, options.size, ERR_OF(segment));
    assert_ptr_equal(vm_driver_of(segment), driver);
    assert_int_equal(vm_size(segment), options.size);
    return segment;
}

static bool is_readable(void)
{
    return !options.never_backed && !options.no_contents;
}

static bool has_contents(void)
{
    return is_readable() && (options.flags & VM_WRITE);
}

static uint64_t fresh(size_t offset)
{
    return options.fresh ? options.fresh(offset) : 0;
}

/* Offsets from the start, in the first, the last and two other accessible pages. */
static size_t stamp_offset(size_t i)
{
    size_t pages = (options.size - options.first) / PAGE;
    size_t page[STAMPS] = {0, pages / 2 - 1, pages / 2, pages - 1};

    return options.first + page[i] * PAGE + i * 8;
}

static uint64_t stamp_value(size_t i)
{
    return 0x5741000000000000u + i;
}

static void stamp(vaddr_t start)
{
    for (size_t i = 0; has_contents() && i < STAMPS; i++)
        must_write(start + stamp_offset(i), stamp_value(i));
}

/* The stamps below the limit are there, and the rest of those pages is fresh. */
static void assert_stamped(vaddr_t start, size_t from, size_t limit)
{
    for (size_t i = 0; is_readable() && i < STAMPS; i++) {
        size_t offset = stamp_offset(i), page = align_down(offset, PAGE);

        if (offset < from || offset >= limit)
            continue;
        assert_int_equal(must_read(start + offset), has_contents() ? stamp_value(i) : fresh(offset));
        assert_int_equal(must_read(start + page + PAGE - 8), fresh(page + PAGE - 8));
    }
}

static bool in_ram_map(vaddr_t start)
{
    return start - PHYSMAP_BASE < PHYSMAP_SIZE;
}

static void assert_gone(vaddr_t start, size_t size)
{
    struct mmu_entry entry;

    if (in_ram_map(start))
        return;
    for (size_t offset = 0; offset < size; offset += PAGE) {
        assert_false(mmu_query(&space->mmu, start + offset, &entry));
        assert_int_equal(fake_touch(start + offset, VM_READ, 0), E_FAULT);
    }
}

/* ---- the table ---- */

static void check_table(void)
{
    assert_non_null(driver->name);
    assert_int_not_equal(driver->name[0], '\0');
    for (const char *c = driver->name; *c; c++)
        assert_true((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '-' || *c == '_');
    if (!vm_driver(driver->name))
        assert_int_equal(vm_driver_register(driver), E_SUCCESS);
    assert_ptr_equal(vm_driver(driver->name), driver);
    assert_non_null(driver->vm_fault);
    assert_int_equal(vm_driver_register(driver), driver->vm_alloc || driver->vm_alloc_at ? E_EXIST : E_INVAL);
}

static void check_null_allocations(void)
{
    trace_take(&before);
    if (!driver->vm_alloc)
        assert_error(vm_alloc(space, driver, VM_ANYWHERE, options.size, options.flags), E_NOTSUP);
    if (!driver->vm_alloc_at)
        assert_error(vm_alloc_at(space, driver, 3 * GIB, options.size, options.flags), E_NOTSUP);
    trace_take(&after);
    trace_compare(&before, &after, "allocating what the driver has not", 0);
}

/* ---- allocating and freeing ---- */

static void check_allocation(void)
{
    struct vm_segment *one, *two;

    trace_take(&before);
    one = must_make(VM_ANYWHERE);
    assert_true(is_aligned(vm_start(one), PAGE));
    assert_int_not_equal(vm_start(one), 0);
    assert_ptr_equal(vm_find(space, vm_start(one)), one);
    assert_ptr_equal(vm_find(space, vm_start(one) + vm_size(one) - 1), one);
    fixture_check();
    stamp(vm_start(one));
    if (!by_physical) {
        two = must_make(VM_ANYWHERE);
        assert_true(vm_start(two) >= vm_start(one) + options.size || vm_start(one) >= vm_start(two) + options.size);
        for (size_t i = 0; is_readable() && i < STAMPS; i++)
            assert_int_equal(must_read(vm_start(two) + stamp_offset(i)), fresh(stamp_offset(i)));
        stamp(vm_start(two));
        vm_free(space, two);
    }
    assert_stamped(vm_start(one), 0, options.size);
    fixture_check();
    vaddr_t start = vm_start(one);
    vm_free(space, one);
    assert_gone(start, options.size);
    trace_take(&after);
    trace_compare(&before, &after, "allocating and freeing", -1);
}

/* At an address: there, or E_NOMEM and no trace. */
static void check_fixed(void)
{
    struct vm_segment *one, *next;

    one = must_make(FIXED);
    assert_int_equal(vm_start(one), FIXED);
    stamp(FIXED);
    trace_take(&before);
    assert_error(make(FIXED), E_NOMEM);
    assert_error(make(FIXED + options.size - PAGE), E_NOMEM);
    assert_error(make(FIXED - options.size + PAGE), E_NOMEM);
    assert_error(make(NULL_GUARD_END - PAGE), E_NOMEM);
    assert_error(make(LOW_HALF_END - PAGE), E_NOMEM);
    trace_take(&after);
    trace_compare(&before, &after, "allocating at addresses that are taken", 0);
    next = must_make(FIXED + options.size);
    vm_free(space, one);
    fixture_check();
    assert_gone(FIXED, options.size);
    vm_free(space, next);
}

static void check_bad_arguments(void)
{
    trace_take(&before);
    if (driver->vm_alloc) {
        assert_error(vm_alloc(space, driver, VM_ANYWHERE, 0, options.flags), E_INVAL);
        assert_error(vm_alloc(space, driver, VM_ANYWHERE, PAGE + 1, options.flags), E_INVAL);
        assert_error(vm_alloc(space, driver, FIXED + 1, options.size, options.flags), E_INVAL);
        assert_error(vm_alloc(space, driver, VM_ANYWHERE, options.size, options.flags | 1u << 30), E_INVAL);
        assert_true(IS_ERR(vm_alloc(space, driver, VM_ANYWHERE, (size_t)1 << 46, options.flags)));
    }
    if (driver->vm_alloc_at) {
        assert_error(vm_alloc_at(space, driver, options.physical, 0, options.flags), E_INVAL);
        assert_error(vm_alloc_at(space, driver, options.physical + 1, options.size, options.flags), E_INVAL);
        assert_error(vm_alloc_at(space, driver, ~(paddr_t)VM_PAGE_MASK, 2 * PAGE, options.flags), E_INVAL);
    }
    trace_take(&after);
    trace_compare(&before, &after, "bad arguments", 0);
}

/* ---- faults ---- */

static size_t resident_bytes(const struct vm_segment *segment)
{
    struct vm_statistics s = vm_segment_statistics(space, segment);
    size_t bytes = 0;

    for (unsigned i = 0; i < PAGE_SIZES; i++)
        bytes += s.resident[i] * page_bytes((enum page_size)i);
    return bytes;
}

static void check_refused(vaddr_t address, vm_flags_t access)
{
    error_t error = fake_touch(address, access, 1);

    assert_true(error == E_ACCES || error == E_FAULT);
}

static void check_faults(void)
{
    struct vm_segment *segment = must_make(VM_ANYWHERE);
    vaddr_t start = vm_start(segment);
    size_t backed = resident_bytes(segment), faults;

    for (size_t offset = 0; offset < options.first; offset += PAGE)
        check_refused(start + offset, VM_READ);
    for (size_t i = 0; options.never_backed && i < STAMPS; i++)
        check_refused(start + stamp_offset(i), VM_READ);
    if (!(options.flags & VM_WRITE))
        check_refused(start + stamp_offset(1), VM_WRITE);
    if (!(options.flags & VM_EXEC) && !in_ram_map(start))
        check_refused(start + stamp_offset(1), VM_EXEC);
    assert_int_equal(resident_bytes(segment), backed); /* a refused access backs nothing */
    fixture_check();
    for (size_t i = 0; !options.never_backed && i < STAMPS; i++) {
        backed = resident_bytes(segment);
        assert_int_equal(fake_touch(start + stamp_offset(i), VM_READ, 0), E_SUCCESS);
        /* One fault backs one page, as large as the policy says, not the segment. */
        assert_true(resident_bytes(segment) - backed <= page_bytes(vm_segment_largest_page(segment)));
        if (is_readable())
            assert_int_equal(must_read(start + stamp_offset(i)), fresh(stamp_offset(i)));
        faults = fake_faults();
        assert_int_equal(fake_touch(start + stamp_offset(i), VM_READ, 0), E_SUCCESS);
        assert_int_equal(fake_faults(), faults); /* and once */
        fixture_check();
    }
    stamp(start);
    assert_stamped(start, 0, options.size);
    vm_free(space, segment);
}

/* ---- operations that may be NULL ---- */

/* E_NOTSUP where it is due; true if the operation is there and did something. */
static bool supported(bool present, error_t error, const char *operation)
{
    if (present && (error != E_NOTSUP || !options.may_refuse)) {
        if (error)
            fail_msg("%s: %s: error %d", driver->name, operation, error);
        return true;
    }
    assert_int_equal(error, E_NOTSUP);
    trace_take(&after);
    trace_compare(&before, &after, operation, 0);
    return false;
}

static void check_resize(void)
{
    struct vm_segment *segment = must_make(VM_ANYWHERE);
    vaddr_t start = vm_start(segment);
    size_t half = align_down(options.size / 2, PAGE);
    error_t error;

    stamp(start);
    trace_take(&before);
    assert_int_equal(vm_resize(space, segment, options.size), E_SUCCESS); /* the size it has */
    if (driver->vm_resize)
        assert_int_equal(vm_resize(space, segment, options.size + 1), E_INVAL);
    error = vm_resize(space, segment, options.size + 4 * PAGE);
    if (supported(driver->vm_resize, error, "growing")) {
        assert_int_equal(vm_size(segment), options.size + 4 * PAGE);
        assert_ptr_equal(vm_find(space, start + options.size + 4 * PAGE - 1), segment);
        if (is_readable())
            assert_int_equal(must_read(start + options.size + 3 * PAGE), fresh(options.size + 3 * PAGE));
        assert_stamped(start, 0, options.size);
        fixture_check();
        assert_int_equal(vm_resize(space, segment, half), E_SUCCESS);
        fixture_check();
        assert_int_equal(vm_start(segment), start);
        assert_stamped(start, 0, half);
        assert_gone(start + half, options.size + 4 * PAGE - half);
        assert_int_equal(vm_resize(space, segment, half + PAGE), E_SUCCESS);
        if (is_readable())
            assert_int_equal(must_read(start + half), fresh(half));
    }
    assert_int_equal(vm_resize(space, segment, 0), E_SUCCESS);
    assert_true(vm_find(space, start) == NULL);
    fixture_check();
}

static void check_blocked_resize(void)
{
    struct vm_segment *segment = must_make(FIXED);
    struct vm_segment *wall = must_alloc(&vm_guard, FIXED + options.size + 2 * PAGE, PAGE, 0);

    stamp(FIXED);
    trace_take(&before);
    assert_int_equal(vm_resize(space, segment, options.size + 3 * PAGE), E_NOMEM);
    assert_int_equal(vm_resize(space, segment, options.size + 64 * PAGE), E_NOMEM);
    assert_int_equal(vm_resize(space, segment, LOW_HALF_END), E_NOMEM);
    trace_take(&after);
    trace_compare(&before, &after, "growing into what is taken", 0);
    assert_int_equal(vm_resize(space, segment, options.size + 2 * PAGE), E_SUCCESS);
    assert_stamped(FIXED, 0, options.size);
    vm_free(space, segment);
    vm_free(space, wall);
}

/* Cuts and frees one of the parts; the other is whole. */
static void check_split(bool free_first)
{
    struct vm_segment *segment = must_make(VM_ANYWHERE), *second;
    vaddr_t start = vm_start(segment);
    size_t cut = options.first + align_down((options.size - options.first) / 2, PAGE);

    stamp(start);
    trace_take(&before);
    second = vm_split(space, segment, start + cut);
    if (!supported(driver->split, ERR_OF(second), "splitting")) {
        vm_free(space, segment);
        return;
    }
    assert_int_equal(vm_start(second), start + cut);
    assert_int_equal(vm_size(segment), cut);
    assert_int_equal(vm_size(second), options.size - cut);
    assert_ptr_equal(vm_driver_of(second), driver);
    fixture_check();
    assert_stamped(start, 0, options.size);
    vm_free(space, free_first ? segment : second);
    fixture_check();
    assert_gone(start + (free_first ? 0 : cut), free_first ? cut : options.size - cut);
    assert_stamped(start, free_first ? cut : 0, free_first ? options.size : cut);
    if (is_readable() && free_first) /* a page of the upper part not touched before */
        assert_int_equal(must_read(start + cut + 2 * PAGE), fresh(cut + 2 * PAGE));
    vm_free(space, free_first ? second : segment);
}

static void check_protect(void)
{
    struct vm_segment *segment = must_make(VM_ANYWHERE);
    vaddr_t start = vm_start(segment), probe = start + stamp_offset(2);
    vm_flags_t protection = options.flags & VM_PROTECTION;

    stamp(start);
    trace_take(&before);
    if (supported(driver->protect, vm_protect(space, start, options.size, VM_READ), "protecting")) {
        assert_int_equal(vm_flags(segment) & VM_PROTECTION, VM_READ);
        fixture_check();
        check_refused(probe, VM_WRITE);
        check_refused(start + options.first + 2 * PAGE, VM_WRITE); /* not touched before */
        assert_stamped(start, 0, options.size);
        assert_int_equal(vm_protect(space, start, options.size, 0), E_SUCCESS);
        check_refused(probe, VM_READ);
        fixture_check();
        assert_int_equal(vm_protect(space, start, options.size, protection), E_SUCCESS);
        fixture_check();
        assert_stamped(start, 0, options.size);
        stamp(start);
    }
    assert_ptr_equal(vm_find(space, start), segment);
    vm_free(space, segment);
}

static void check_advise(void)
{
    struct vm_segment *segment = must_make(VM_ANYWHERE);
    vaddr_t start = vm_start(segment);

    stamp(start);
    if (!driver->advise) {
        trace_take(&before);
        assert_int_equal(vm_advise(space, start, options.size, VM_ADVICE_DONTNEED), E_SUCCESS);
        assert_int_equal(vm_advise(space, start, options.size, VM_ADVICE_WILLNEED), E_SUCCESS);
        trace_take(&after);
        trace_compare(&before, &after, "advice to a driver that takes none", 0);
        assert_stamped(start, 0, options.size);
    } else {
        assert_int_equal(vm_advise(space, start, options.size, VM_ADVICE_WILLNEED), E_SUCCESS);
        assert_stamped(start, 0, options.size);
        fixture_check();
        assert_int_equal(vm_advise(space, start, options.size, VM_ADVICE_DONTNEED), E_SUCCESS);
        fixture_check();
        for (size_t i = 0; is_readable() && !options.keeps_contents && i < STAMPS; i++)
            assert_int_equal(must_read(start + stamp_offset(i)), fresh(stamp_offset(i)));
        if (options.keeps_contents)
            assert_stamped(start, 0, options.size);
        for (size_t offset = 0; offset < options.first; offset += PAGE)
            check_refused(start + offset, VM_READ);
    }
    vm_free(space, segment);
}

static void check_move(void)
{
    struct vm_segment *segment = must_make(VM_ANYWHERE);
    vaddr_t start = vm_start(segment);

    stamp(start);
    trace_take(&before);
    if (supported(driver->properties & VM_DRIVER_MERGES, vm_move(space, segment, VM_ANYWHERE, options.size + 2 * PAGE),
                  "moving")) {
        fixture_check();
        assert_int_not_equal(vm_start(segment), start);
        assert_gone(start, options.size);
        assert_stamped(vm_start(segment), 0, options.size);
    }
    vm_free(space, segment);
}

static void check_describe(void)
{
    struct vm_segment *segment = must_make(VM_ANYWHERE);

    for (size_t size = 1; driver->describe && size <= 100; size++) {
        char buffer[120];

        memset(buffer, '#', sizeof(buffer));
        driver->describe(segment, buffer, size);
        assert_non_null(memchr(buffer, '\0', size));
        assert_null(strchr(buffer, '\n'));
        assert_int_equal(buffer[size], '#');
    }
    vm_free(space, segment);
}

/* ---- failure of the nth frame, in every operation ---- */

struct operation {
    const char *name;
    vaddr_t start; /* of the segment it works on; none is made before those that allocate */
    bool allocates;
    error_t (*run)(struct vm_segment *);
};

static struct vm_segment *made;

static error_t run_alloc(struct vm_segment *unused)
{
    (void)unused;
    made = make(VM_ANYWHERE);
    return ERR_OF(made);
}

static error_t run_alloc_fixed(struct vm_segment *unused)
{
    (void)unused;
    made = make(FIXED);
    return ERR_OF(made);
}

static error_t run_populate(struct vm_segment *unused)
{
    vm_flags_t flags = options.flags;

    (void)unused;
    options.flags |= VM_POPULATE;
    made = make(VM_ANYWHERE);
    options.flags = flags;
    return ERR_OF(made);
}

static error_t run_fault(struct vm_segment *segment)
{
    error_t error = fake_touch(vm_start(segment) + options.first + 3 * PAGE, VM_READ, 0);

    return options.never_backed && error != E_NOMEM ? E_SUCCESS : error;
}

static error_t run_grow(struct vm_segment *segment)
{
    return vm_resize(space, segment, 2 * options.size);
}

static error_t run_shrink(struct vm_segment *segment)
{
    return vm_resize(space, segment, options.size - 5 * PAGE);
}

static error_t run_split(struct vm_segment *segment)
{
    return ERR_OF(vm_split(space, segment, vm_start(segment) + options.first + 7 * PAGE));
}

/* A part in the middle: two cuts. */
static size_t part_size(void)
{
    return options.size - 6 * PAGE;
}

static error_t run_protect_part(struct vm_segment *segment)
{
    return vm_protect(space, vm_start(segment) + 3 * PAGE, part_size(), VM_READ);
}

static error_t run_unmap_part(struct vm_segment *segment)
{
    return vm_unmap(space, vm_start(segment) + 3 * PAGE, part_size());
}

static error_t run_advise_part(struct vm_segment *segment)
{
    return vm_advise(space, vm_start(segment) + options.first + 3 * PAGE, 5 * PAGE, VM_ADVICE_DONTNEED);
}

static error_t run_move(struct vm_segment *segment)
{
    return vm_move(space, segment, VM_ANYWHERE, 2 * options.size);
}

static error_t run_move_misaligned(struct vm_segment *segment)
{
    return vm_move(space, segment, FIXED + GIB + 3 * PAGE, options.size - PAGE);
}

static const struct operation operations[] = {
    {"vm_alloc", 0, true, run_alloc},
    {"vm_alloc at an address", FIXED, true, run_alloc_fixed},
    {"vm_alloc with VM_POPULATE", 0, true, run_populate},
    {"a fault", 0, false, run_fault},
    {"growing", 0, false, run_grow},
    {"shrinking", 0, false, run_shrink},
    {"splitting", 0, false, run_split},
    {"vm_protect of a part", 0, false, run_protect_part},
    {"vm_unmap of a part", 0, false, run_unmap_part},
    {"vm_advise of a part", 0, false, run_advise_part},
    {"moving", 0, false, run_move},
    {"moving to another alignment", 0, false, run_move_misaligned},
};

static void free_all(void)
{
    struct vm_segment *segment;

    while ((segment = vm_next(space, 0)) != NULL)
        vm_free(space, segment);
}

/* One try; false when the operation got every frame it asked for, or does not exist. */
static bool try_with_failure(const struct operation *operation, long nth)
{
    struct vm_segment *segment = operation->allocates ? NULL : must_make(operation->start);
    vaddr_t start = 0;
    bool reached;
    error_t error;

    if (segment) {
        start = vm_start(segment);
        stamp(start);
    }
    trace_take(&before);
    fixture_inject(nth);
    error = operation->run(segment);
    reached = fixture_inject_end();
    fixture_check();
    if (error) {
        bool blocked = segment && in_ram_map(start) && error == E_NOMEM; /* no frames behind it */

        if (error != E_NOTSUP && !blocked && (!reached || error != E_NOMEM))
            fail_msg("%s: %s, failing at frame %ld: error %d", driver->name, operation->name, nth, error);
        trace_take(&after);
        trace_compare(&before, &after, operation->name, nth);
        if (segment) {
            assert_int_equal(vm_start(segment), start);
            assert_int_equal(vm_size(segment), options.size);
            assert_stamped(start, 0, options.size);
        }
    }
    free_all();
    return reached && error != E_NOTSUP;
}

static void check_failures(void)
{
    struct trace at_start;

    trace_take(&at_start);
    for (size_t i = 0; i < ARRAY_LENGTH(operations); i++) {
        long nth = 0;

        if (by_physical && operations[i].start)
            continue;
        while (try_with_failure(&operations[i], nth))
            if (++nth > NTH_MAX)
                fail_msg("%s: %s has no end of frames", driver->name, operations[i].name);
        trace_take(&after);
        trace_compare(&at_start, &after, operations[i].name, -1);
    }
}

/* ---- all of it ---- */

static void check_all(void)
{
    check_allocation();
    if (!by_physical)
        check_fixed();
    check_faults();
    check_resize();
    if (!by_physical && driver->vm_resize)
        check_blocked_resize();
    check_split(true);
    check_split(false);
    check_protect();
    check_advise();
    check_move();
    check_describe();
    check_failures();
}

void conformance_run(const struct vm_segment_driver *tested, const struct conformance_options *given)
{
    struct trace at_start;

    driver = tested;
    options = *given;
    options.size = options.size ? options.size : 64 * PAGE;
    options.flags = options.flags ? options.flags : VM_RW;
    check_table();
    check_null_allocations();
    check_bad_arguments();
    assert_null(vm_next(space, 0));
    trace_take(&at_start);
    for (unsigned way = 0; driver->vm_free && way < 2; way++) {
        by_physical = way == 1;
        if (by_physical ? driver->vm_alloc_at != NULL : driver->vm_alloc != NULL)
            check_all();
    }
    trace_take(&after);
    trace_compare(&at_start, &after, "all of it", -1);
}
