/*
 * The file driver over an object of the test's: pages are those of a "packed" file until somebody writes to them, as
 * those of the real file system are.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"
#include "fixture.h"
#include "harness.h"
#include "vm/frames.h"
#include "vm/object.h"

#define PAGE VM_PAGE_SIZE
#define RAM (64 * MIB)
#define A LOW_BASE
#define PAGES_MAX 256

/* ---- the object ---- */

struct fake_object {
    struct vm_object object;
    uint64_t pages; /* the contents' */
    unsigned references;
    paddr_t packed[PAGES_MAX]; /* never written to */
    paddr_t own[PAGES_MAX];    /* FRAME_NONE: the packed one still */
};

static struct fake_object *fake_of(struct vm_object *object)
{
    return CONTAINER_OF(object, struct fake_object, object);
}

static uint64_t packed_word(size_t offset)
{
    return 0xf11e000000000000u + offset;
}

static paddr_t must_get(void)
{
    paddr_t frame = frame_get(PAGE_4K);

    assert_true(frame != FRAME_NONE);
    return frame;
}

static error_t fake_page(struct vm_object *object, uint64_t page, bool write, paddr_t *frame)
{
    struct fake_object *fake = fake_of(object);

    assert_true(fake->references > 0);
    if (page >= fake->pages)
        return E_FAULT;
    if (write && fake->own[page] == FRAME_NONE) {
        paddr_t fresh = frame_get(PAGE_4K);

        if (fresh == FRAME_NONE)
            return E_NOMEM;
        memcpy(phys_to_virt(fresh), phys_to_virt(fake->packed[page]), PAGE);
        fake->own[page] = fresh;
        vm_object_invalidate(object, page, 1, false);
    }
    *frame = fake->own[page] == FRAME_NONE ? fake->packed[page] : fake->own[page];
    return E_SUCCESS;
}

static void fake_forget_writes(struct fake_object *fake)
{
    for (size_t i = 0; i < PAGES_MAX; i++) {
        if (fake->own[i] != FRAME_NONE)
            frame_put(fake->own[i], PAGE_4K);
        fake->own[i] = FRAME_NONE;
    }
}

static void fake_reference(struct vm_object *object)
{
    fake_of(object)->references++;
}

/* Nobody shows it any more: what was written is forgotten. */
static void fake_release(struct vm_object *object)
{
    assert_true(fake_of(object)->references-- > 0);
    if (fake_of(object)->references == 0)
        fake_forget_writes(fake_of(object));
}

static void fake_describe(struct vm_object *object, char *buffer, size_t size)
{
    (void)object;
    snprintf(buffer, size, "/fake");
}

static const struct vm_object_operations fake_operations = {
    .page = fake_page, .reference = fake_reference, .release = fake_release, .describe = fake_describe};

static struct fake_object objects[2];

static struct fake_object *object_start(size_t index, uint64_t pages)
{
    struct fake_object *fake = &objects[index];

    *fake = (struct fake_object){.object = {.operations = &fake_operations}, .pages = pages};
    for (size_t i = 0; i < PAGES_MAX; i++) {
        fake->own[i] = FRAME_NONE;
        fake->packed[i] = i < pages ? must_get() : FRAME_NONE;
        for (size_t word = 0; i < pages && word < PAGE / 8; word++)
            ((uint64_t *)phys_to_virt(fake->packed[i]))[word] = packed_word(i * PAGE + word * 8);
    }
    return fake;
}

static void object_end(struct fake_object *fake)
{
    assert_int_equal(fake->references, 0);
    assert_null(fake->object.mappings);
    for (size_t i = 0; i < PAGES_MAX; i++) {
        if (fake->packed[i] == FRAME_NONE)
            continue;
        for (size_t word = 0; word < PAGE / 8; word++) /* nobody has written to what was lent for reading */
            assert_int_equal(((uint64_t *)phys_to_virt(fake->packed[i]))[word], packed_word(i * PAGE + word * 8));
        frame_put(fake->packed[i], PAGE_4K);
    }
}

static uint64_t *object_word(struct fake_object *fake, size_t page)
{
    return phys_to_virt(fake->own[page] == FRAME_NONE ? fake->packed[page] : fake->own[page]);
}

static struct vm_segment *must_map(struct fake_object *fake, uint64_t first, vaddr_t va, size_t pages, vm_flags_t flags,
                                   bool shared)
{
    struct vm_segment *segment =
        vm_object_map(space, &fake->object, first, va, pages * PAGE, flags, shared, !shared || (flags & VM_WRITE));

    if (IS_ERR(segment))
        fail_msg("vm_object_map: error %d", ERR_OF(segment));
    assert_int_equal(vm_size(segment), pages * PAGE);
    return segment;
}

static size_t count_segments(void)
{
    size_t count = 0;

    for (struct vm_segment *segment = vm_next(space, 0); segment;
         segment = vm_next(space, vm_start(segment) + vm_size(segment)))
        count += vm_driver_of(segment) == &vm_file;
    return count;
}

/* ---- private and shared ---- */

static void test_private_pages_are_copied(void **state)
{
    struct fake_object *fake;
    struct vm_segment *one, *two;
    size_t free_frames;

    (void)state;
    fixture_start(RAM);
    fake = object_start(0, 16);
    one = must_map(fake, 2, A, 8, VM_RW | VM_MERGE, false);
    two = must_map(fake, 0, A + MIB, 16, VM_RW | VM_MERGE, false);
    assert_int_equal(fake->references, 2);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(must_read(A + i * PAGE + 8), packed_word((i + 2) * PAGE + 8));
    free_frames = frames_free();
    must_write(A + 3 * PAGE, 33);  /* read before */
    must_write(A + MIB + PAGE, 1); /* not */
    must_write(A + 3 * PAGE + 8, 34);
    assert_true(free_frames - frames_free() <= 4); /* two copies, at most two tables */
    assert_int_equal(must_read(A + 3 * PAGE), 33);
    assert_int_equal(must_read(A + 3 * PAGE + 8), 34);
    assert_int_equal(must_read(A + 3 * PAGE + 16), packed_word(5 * PAGE + 16));
    assert_int_equal(must_read(A + MIB + 5 * PAGE), packed_word(5 * PAGE));
    fixture_check();
    assert_int_equal(vm_segment_statistics(space, one).faults[PAGE_4K], 9);
    /* Protecting there and back gives the lent pages no writer. */
    assert_int_equal(vm_protect(space, A, 8 * PAGE, VM_READ), E_SUCCESS);
    assert_int_equal(fake_touch(A + 3 * PAGE, VM_WRITE, 1), E_ACCES);
    assert_int_equal(vm_protect(space, A, 8 * PAGE, VM_RW), E_SUCCESS);
    must_write(A + 4 * PAGE, 44);
    assert_int_equal(must_read(A + 3 * PAGE), 33);
    /* The copies go, the contents come back. */
    assert_int_equal(vm_advise(space, A, 8 * PAGE, VM_ADVICE_DONTNEED), E_SUCCESS);
    assert_int_equal(must_read(A + 3 * PAGE), packed_word(5 * PAGE));
    assert_int_equal(must_read(A + 4 * PAGE), packed_word(6 * PAGE));
    vm_free(space, one);
    vm_free(space, two);
    object_end(fake);
    fixture_end();
}

static void test_shared_pages_are_the_objects(void **state)
{
    struct fake_object *fake;
    struct vm_segment *writer, *reader, *private;

    (void)state;
    fixture_start(RAM);
    fake = object_start(0, 16);
    writer = must_map(fake, 0, A, 16, VM_RW, true);
    reader = must_map(fake, 4, A + MIB, 4, VM_READ, true);
    private = must_map(fake, 4, A + 2 * MIB, 4, VM_RW, false);
    assert_int_equal(must_read(A + MIB), packed_word(4 * PAGE));
    assert_int_equal(must_read(A + 2 * MIB), packed_word(4 * PAGE));
    must_write(A + 2 * MIB + PAGE, 55);
    assert_int_equal(must_read(A + 5 * PAGE), packed_word(5 * PAGE));
    must_write(A + 4 * PAGE, 4); /* the page moves: those that have mapped the packed one learn of it */
    must_write(A + 5 * PAGE, 5);
    fixture_check();
    assert_int_equal(*object_word(fake, 4), 4);
    assert_int_equal(must_read(A + MIB), 4);
    assert_int_equal(must_read(A + MIB + PAGE), 5);
    assert_int_equal(must_read(A + 2 * MIB), 4);
    assert_int_equal(must_read(A + 2 * MIB + PAGE), 55); /* a private copy is nobody's business */
    assert_int_equal(vm_protect(space, A + MIB, PAGE, VM_RW), E_ACCES);
    assert_int_equal(fake_touch(A + MIB, VM_WRITE, 1), E_ACCES);
    assert_int_equal(vm_protect(space, A, 16 * PAGE, 0), E_SUCCESS);
    assert_int_equal(fake_touch(A + 4 * PAGE, VM_READ, 0), E_ACCES);
    assert_int_equal(vm_protect(space, A, 16 * PAGE, VM_RW), E_SUCCESS);
    must_write(A + 4 * PAGE, 6);
    assert_int_equal(must_read(A + MIB), 6);
    assert_int_equal(vm_advise(space, A, 16 * PAGE, VM_ADVICE_DONTNEED), E_SUCCESS);
    assert_int_equal(must_read(A + 4 * PAGE), 6);
    assert_error(vm_object_map(space, &fake->object, 0, VM_ANYWHERE, PAGE, VM_RW, true, false), E_ACCES);
    vm_free(space, writer);
    vm_free(space, reader);
    vm_free(space, private);
    object_end(fake);
    fixture_end();
}

static void test_behind_the_end(void **state)
{
    struct fake_object *fake;
    struct vm_segment *segment, *shared;

    (void)state;
    fixture_start(RAM);
    fake = object_start(0, 4);
    segment = must_map(fake, 2, A, 8, VM_RW | VM_POPULATE, false);
    shared = must_map(fake, 0, A + MIB, 8, VM_RW, true);
    assert_int_equal(must_read(A + PAGE), packed_word(3 * PAGE));
    assert_int_equal(fake_touch(A + 2 * PAGE, VM_READ, 0), E_RANGE);
    assert_int_equal(fake_touch(A + 2 * PAGE, VM_WRITE, 0), E_RANGE);
    assert_int_equal(fake_touch(A + MIB + 4 * PAGE, VM_WRITE, 0), E_RANGE);
    must_write(A, 1);
    must_write(A + PAGE, 2);
    must_write(A + MIB + 3 * PAGE, 3);
    assert_int_equal(vm_populate(space, A, 3 * PAGE, VM_READ), E_RANGE);
    /* Truncation takes the copies too, a write to the file only what is lent. */
    fake->pages = 3;
    vm_object_invalidate(&fake->object, 3, UINT64_MAX, true);
    fixture_check();
    assert_int_equal(must_read(A), 1);
    assert_int_equal(fake_touch(A + PAGE, VM_READ, 0), E_RANGE);
    assert_int_equal(fake_touch(A + MIB + 3 * PAGE, VM_READ, 0), E_RANGE);
    vm_object_invalidate(&fake->object, 0, 3, false);
    assert_int_equal(must_read(A), 1);
    fake->pages = 4;
    assert_int_equal(must_read(A + PAGE), 3); /* the object kept the frame */
    vm_free(space, segment);
    vm_free(space, shared);
    object_end(fake);
    fixture_end();
}

/* In another domain than the first, with one before it: the fault holds both when the object tells others. */
static void test_told_from_a_named_place(void **state)
{
    const vaddr_t named = SLOTS_BASE + ((vaddr_t)6 << VM_REGION_SHIFT) + ((vaddr_t)3 << DOMAIN_SHIFT);
    struct vm_segment *before, *shared, *elsewhere;
    struct fake_object *fake;

    (void)state;
    fixture_start(RAM);
    fake = object_start(0, 4);
    before = vm_alloc(space, &vm_anon, named - ((vaddr_t)2 << DOMAIN_SHIFT), PAGE, VM_RW);
    assert_false(IS_ERR(before));
    shared = must_map(fake, 0, named, 4, VM_RW, true);
    elsewhere = must_map(fake, 0, A, 4, VM_READ, true);
    assert_int_equal(must_read(A + PAGE), packed_word(PAGE));
    must_write(named + PAGE, 7);
    assert_int_equal(must_read(A + PAGE), 7);
    fixture_check();
    vm_free(space, before);
    vm_free(space, shared);
    vm_free(space, elsewhere);
    object_end(fake);
    fixture_end();
}

/* ---- cutting, merging, moving ---- */

static void test_pieces_merge_again(void **state)
{
    struct fake_object *fake;

    (void)state;
    fixture_start(RAM);
    fake = object_start(0, 16);
    must_map(fake, 0, A, 16, VM_READ | VM_MERGE, false);
    for (size_t i = 0; i < 16; i += 2)
        assert_int_equal(vm_protect(space, A + i * PAGE, PAGE, VM_RW), E_SUCCESS);
    assert_int_equal(count_segments(), 16);
    assert_int_equal(fake->references, 1); /* one record serves all pieces */
    for (size_t i = 0; i < 16; i++)
        assert_int_equal(must_read(A + i * PAGE), packed_word(i * PAGE));
    assert_int_equal(vm_protect(space, A, 16 * PAGE, VM_READ), E_SUCCESS);
    assert_int_equal(count_segments(), 1);
    /* A hole, filled with the same pages, with others, and privately or not. */
    assert_int_equal(vm_unmap(space, A + 4 * PAGE, 4 * PAGE), E_SUCCESS);
    assert_int_equal(count_segments(), 2);
    must_map(fake, 4, A + 4 * PAGE, 4, VM_READ | VM_MERGE, false);
    vm_merge(space, A + 4 * PAGE);
    vm_merge(space, A + 8 * PAGE);
    assert_int_equal(count_segments(), 1);
    assert_int_equal(fake->references, 1);
    assert_int_equal(vm_unmap(space, A + 4 * PAGE, 4 * PAGE), E_SUCCESS);
    must_map(fake, 5, A + 4 * PAGE, 4, VM_READ | VM_MERGE, false);
    vm_merge(space, A + 4 * PAGE);
    vm_merge(space, A + 8 * PAGE);
    assert_int_equal(count_segments(), 3);
    assert_int_equal(fake->references, 2);
    assert_int_equal(must_read(A + 4 * PAGE), packed_word(5 * PAGE));
    assert_int_equal(must_read(A + 8 * PAGE), packed_word(8 * PAGE));
    assert_int_equal(vm_unmap(space, A + 4 * PAGE, 4 * PAGE), E_SUCCESS);
    must_map(fake, 4, A + 4 * PAGE, 4, VM_READ | VM_MERGE, true);
    vm_merge(space, A + 4 * PAGE);
    assert_int_equal(count_segments(), 3);
    assert_int_equal(vm_unmap(space, A, 16 * PAGE), E_SUCCESS);
    object_end(fake);
    fixture_end();
}

static void test_moving_and_copying(void **state)
{
    struct fake_object *fake;
    struct vm_segment *segment, *copy, *private;
    vaddr_t moved;

    (void)state;
    fixture_start(RAM);
    fake = object_start(0, 32);
    segment = must_map(fake, 4, A, 8, VM_RW, true);
    private = must_map(fake, 4, A + MIB, 8, VM_RW, false);
    must_write(A + PAGE, 1);
    must_write(A + MIB + PAGE, 2);
    assert_int_equal(vm_move(space, segment, VM_ANYWHERE, 16 * PAGE), E_SUCCESS);
    moved = vm_start(segment);
    assert_int_equal(vm_object_view(segment).first_page, 4);
    assert_int_equal(must_read(moved + PAGE), 1);
    assert_int_equal(must_read(moved + 15 * PAGE), packed_word(19 * PAGE));
    assert_int_equal(fake_touch(A + PAGE, VM_READ, 0), E_FAULT);
    copy = vm_copy(space, segment, moved + PAGE, A, 4 * PAGE, false);
    assert_false(IS_ERR(copy));
    assert_int_equal(must_read(A), 1);
    must_write(A, 3);
    assert_int_equal(must_read(moved + PAGE), 3);
    fixture_check();
    /* MREMAP_DONTUNMAP: copies go along, and the old place shows the contents again. */
    must_read(A + MIB + 4 * PAGE);
    copy = vm_copy(space, private, A + MIB + PAGE, A + 2 * MIB, 4 * PAGE, true);
    assert_false(IS_ERR(copy));
    assert_int_equal(must_read(A + 2 * MIB), 2);
    assert_int_equal(must_read(A + MIB + PAGE), 3);
    assert_int_equal(must_read(A + 2 * MIB + 3 * PAGE), packed_word(8 * PAGE));
    fixture_check();
    /* Invalidation finds what was moved. */
    fake->pages = 5;
    vm_object_invalidate(&fake->object, 5, 1000, true);
    assert_int_equal(fake_touch(moved + PAGE, VM_READ, 0), E_RANGE);
    assert_int_equal(fake_touch(A, VM_READ, 0), E_RANGE);
    assert_int_equal(fake_touch(A + MIB + PAGE, VM_READ, 0), E_RANGE);
    assert_int_equal(fake_touch(A + 2 * MIB, VM_READ, 0), E_RANGE);
    assert_error(vm_copy(space, private, A + MIB + PAGE, A + 3 * MIB, 8 * PAGE, true), E_INVAL);
    assert_error(vm_copy(space, private, A, A + 3 * MIB, PAGE, true), E_INVAL);
    assert_error(vm_copy(space, private, A + MIB, A, PAGE, true), E_NOMEM);
    while ((segment = vm_next(space, 0)))
        vm_free(space, segment);
    object_end(fake);
    fixture_end();
}

static void test_joining_a_cut(void **state)
{
    struct fake_object *fake;
    struct vm_segment *segment, *second, *anon;
    struct trace before, after;

    (void)state;
    fixture_start(RAM);
    fake = object_start(0, 16);
    segment = must_map(fake, 0, A, 16, VM_RW, false); /* not VM_MERGE */
    anon = must_alloc(&vm_anon, A + 16 * PAGE, PAGE, VM_RW);
    must_write(A + 9 * PAGE, 1);
    trace_take(&before);
    second = vm_split(space, segment, A + 8 * PAGE);
    assert_int_equal(vm_join(space, second, segment), E_INVAL);
    assert_int_equal(vm_join(space, second, anon), E_INVAL);
    assert_int_equal(vm_join(space, segment, second), E_SUCCESS);
    trace_take(&after);
    trace_compare(&before, &after, "joining", 0);
    assert_int_equal(must_read(A + 9 * PAGE), 1);
    vm_free(space, segment);
    vm_free(space, anon);
    object_end(fake);
    fixture_end();
}

/* ---- random operations beside a naive table of pages ---- */

#define WINDOW 48
#define STEPS 30000

struct naive {
    bool there, shared, copied;
    unsigned object, page;
    vm_flags_t protection;
    uint64_t copy;
};

static struct naive table[WINDOW];
static struct random random_numbers;

static unsigned pick(size_t bound)
{
    return (unsigned)random_below(&random_numbers, bound);
}

static void check_page(size_t i)
{
    const struct naive *page = &table[i];
    uint64_t value;
    error_t error = fake_read(A + i * PAGE + 8, &value, sizeof(value));

    if (!page->there)
        assert_int_equal(error, E_FAULT);
    else if (!(page->protection & VM_READ))
        assert_int_equal(error, E_ACCES);
    else if (page->copied)
        assert_int_equal(value, page->copy);
    else if (page->page >= objects[page->object].pages)
        assert_int_equal(error, E_RANGE);
    else
        assert_int_equal(value, object_word(&objects[page->object], page->page)[1]);
}

static void write_page(size_t i, uint64_t value)
{
    struct naive *page = &table[i];
    error_t error = fake_write(A + i * PAGE + 8, &value, sizeof(value));

    if (!page->there || !(page->protection & VM_WRITE)) {
        assert_int_equal(error, page->there ? E_ACCES : E_FAULT);
        return;
    }
    if (!page->copied && page->page >= objects[page->object].pages) {
        assert_int_equal(error, E_RANGE);
        return;
    }
    assert_int_equal(error, E_SUCCESS);
    if (page->shared) {
        assert_int_equal(object_word(&objects[page->object], page->page)[1], value);
    } else {
        page->copied = true;
        page->copy = value;
    }
}

static void map_pages(size_t first, size_t count)
{
    unsigned object = pick(2), start = pick(8);
    bool shared = pick(2);
    vm_flags_t flags = pick(3) ? VM_RW : VM_READ;

    if (pick(2)) /* so that neighbours often go on */
        start = (unsigned)first;
    assert_int_equal(vm_unmap(space, A + first * PAGE, count * PAGE), E_SUCCESS);
    bool populate = pick(4) == 0;

    assert_false(IS_ERR(vm_object_map(space, &objects[object].object, start, A + first * PAGE, count * PAGE,
                                      flags | VM_MERGE | (populate ? VM_POPULATE : 0), shared, true)));
    vm_merge(space, A + first * PAGE);
    vm_merge(space, A + (first + count) * PAGE);
    for (size_t i = first; i < first + count; i++) {
        unsigned page = start + (unsigned)(i - first);

        table[i] = (struct naive){true, shared, false, object, page, flags, 0};
        if (populate && !shared && (flags & VM_WRITE) && page < objects[object].pages) {
            table[i].copied = true; /* as on Linux */
            table[i].copy = object_word(&objects[object], page)[1];
        }
    }
}

static void protect_pages(size_t first, size_t count)
{
    static const vm_flags_t choices[] = {0, VM_READ, VM_RW};
    vm_flags_t protection = choices[pick(3)];
    bool whole = true;

    for (size_t i = first; i < first + count; i++)
        whole &= table[i].there;
    assert_int_equal(vm_protect(space, A + first * PAGE, count * PAGE, protection), whole ? E_SUCCESS : E_NOMEM);
    for (size_t i = first; whole && i < first + count; i++)
        table[i].protection = protection;
}

/* What mremap does with MREMAP_MAYMOVE | MREMAP_FIXED. */
static void move_pages(size_t from, size_t to)
{
    struct vm_segment *segment = vm_find(space, A + from * PAGE);
    size_t count, start;

    if (!segment)
        return;
    start = (vm_start(segment) - A) / PAGE;
    count = vm_size(segment) / PAGE;
    if (to + count > WINDOW || (to < start + count && start < to + count))
        return;
    assert_int_equal(vm_unmap(space, A + to * PAGE, count * PAGE), E_SUCCESS);
    assert_int_equal(vm_move(space, segment, A + to * PAGE, count * PAGE), E_SUCCESS);
    memmove(&table[to], &table[start], count * sizeof(table[0]));
    memset(&table[start], 0, count * sizeof(table[0]));
}

static void truncate_object(unsigned object)
{
    objects[object].pages = pick(40);
    vm_object_invalidate(&objects[object].object, objects[object].pages, UINT64_MAX, true);
    for (size_t i = 0; i < WINDOW; i++)
        table[i].copied &= table[i].object != object || table[i].page < objects[object].pages;
}

static void one_step(void)
{
    size_t first = pick(WINDOW), count = 1 + pick(WINDOW - first);

    switch (pick(12)) {
    case 0:
        map_pages(first, count);
        break;
    case 1:
        assert_int_equal(vm_unmap(space, A + first * PAGE, count * PAGE), E_SUCCESS);
        memset(&table[first], 0, count * sizeof(table[0]));
        break;
    case 2:
        protect_pages(first, count);
        break;
    case 3:
        vm_advise(space, A + first * PAGE, count * PAGE, VM_ADVICE_DONTNEED);
        for (size_t i = first; i < first + count; i++)
            table[i].copied = false;
        break;
    case 4:
        move_pages(first, pick(WINDOW));
        break;
    case 5:
        if (pick(4) == 0)
            truncate_object(pick(2));
        break;
    default:
        write_page(first, random_next(&random_numbers));
        check_page(pick(WINDOW));
    }
}

static void test_random_operations(void **state)
{
    (void)state;
    fixture_start(RAM);
    object_start(0, 40);
    object_start(1, 40);
    objects[0].references = objects[1].references = 1; /* open all the time */
    random_numbers.state = harness_seed();
    for (size_t i = 0; i < STEPS; i++) {
        one_step();
        if (i % 64 == 0) {
            fixture_check();
            for (size_t page = 0; page < WINDOW; page++)
                check_page(page);
        }
    }
    assert_int_equal(vm_unmap(space, A, WINDOW * PAGE), E_SUCCESS);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(objects[i].references, 1);
        fake_release(&objects[i].object);
        object_end(&objects[i]);
    }
    fixture_end();
}

/* ---- conformance: the driver with an object behind vm_alloc ---- */

static struct vm_segment_driver tested;
static bool conform_shared;

/* Each segment has an object of its own, as MAP_SHARED | MAP_ANONYMOUS; what was written dies with the mapping. */
static struct vm_segment *tested_alloc(struct address_space *in, vaddr_t start, size_t size, vm_flags_t flags)
{
    size_t index = objects[0].references > 0 && objects[0].object.mappings ? 1 : 0;
    struct vm_segment *segment = vm_object_map(in, &objects[index].object, 0, start, size, flags, conform_shared, true);

    if (!IS_ERR(segment))
        segment->driver = &tested;
    return segment;
}

static void conform(bool shared, vm_flags_t flags)
{
    fixture_start(RAM);
    object_start(0, PAGES_MAX);
    object_start(1, PAGES_MAX);
    conform_shared = shared;
    tested = vm_file;
    tested.vm_alloc = tested_alloc;
    conformance_run(&tested,
                    &(struct conformance_options){.fresh = packed_word, .flags = flags, .keeps_contents = shared});
    object_end(&objects[0]);
    object_end(&objects[1]);
    fixture_end();
}

static void test_conformance_private(void **state)
{
    (void)state;
    conform(false, VM_RW);
}

static void test_conformance_private_read_only(void **state)
{
    (void)state;
    conform(false, VM_READ);
}

static void test_conformance_shared(void **state)
{
    (void)state;
    conform(true, VM_RW);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_private_pages_are_copied),
        cmocka_unit_test(test_shared_pages_are_the_objects),
        cmocka_unit_test(test_behind_the_end),
        cmocka_unit_test(test_told_from_a_named_place),
        cmocka_unit_test(test_pieces_merge_again),
        cmocka_unit_test(test_moving_and_copying),
        cmocka_unit_test(test_joining_a_cut),
        cmocka_unit_test(test_random_operations),
        cmocka_unit_test(test_conformance_private),
        cmocka_unit_test(test_conformance_private_read_only),
        cmocka_unit_test(test_conformance_shared),
    };

    return harness_main(argc, argv, tests, ARRAY_LENGTH(tests));
}
