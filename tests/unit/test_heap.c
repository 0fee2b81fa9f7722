/*
 * The heap over the simulated machine. Blocks are random and each is full of a number of its own, so that two that
 * overlap are seen; the heap checks itself after each step. malloc and free are as in arch/x86_64/malloc.S.
 */
#include "vm/heap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/percpu.h"
#include "fixture.h"
#include "harness.h"
#include "vm/frames.h"
#include "vm/heap/internal.h"
#include "vm/space.h"

#define BLOCKS 400
#define RAM (64 * MIB)

extern uintptr_t heap_lists[CLASSES];

struct block {
    uintptr_t start;
    size_t size, align;
    uint8_t fill;
};

static struct block blocks[BLOCKS];
static struct random state;

static uint64_t random_number(void)
{
    return random_next(&state);
}

/* ---- malloc and free as the windows do them ---- */

static void *program_malloc(size_t size)
{
    uintptr_t *list, object;

    if (size - 1 >= CLASS_SIZE_MAX)
        return heap_program_alloc(size);
    list = &this_cpu(heap_lists)[class_of_size(size)];
    object = *list;
    if (object == 0)
        return heap_program_refill(size, CLASS_OFFSET(class_of_size(size)));
    *list = *(uintptr_t *)object;
    return (void *)object;
}

static void program_free(void *block)
{
    if (!heap_is_run((uintptr_t)block)) {
        heap_program_free_block(block);
        return;
    }
    uintptr_t *list = &this_cpu(heap_lists)[CLASS_AT(*heap_class_of_slice(cpu_number(), (uintptr_t)block))];

    *(uintptr_t *)block = *list;
    *list = (uintptr_t)block;
}

/* As core/libc/malloc.c. */
static void *finish_realloc(void *block, void *old, size_t size)
{
    if (!block)
        return NULL;
    heap_copy((uintptr_t)block, (uintptr_t)old, align_up(size, 16));
    program_free(old);
    return block;
}

static void *program_realloc(void *block, size_t size)
{
    return heap_program_realloc(block, size, finish_realloc);
}

/* ---- the heap under test: the program's if NULL ---- */

static struct heap *heap;

static void *allocate(size_t size, size_t align)
{
    if (align > 16)
        return heap ? heap_alloc_aligned(heap, align, size) : heap_program_alloc_aligned(align, size);
    return heap ? heap_alloc(heap, size) : program_malloc(size);
}

static void release(void *block)
{
    if (heap)
        heap_free(heap, block);
    else
        program_free(block);
}

static size_t usable(void *block)
{
    return heap ? heap_size(heap, block) : heap_program_size(block);
}

static void check_heap(void)
{
    const char *wrong = heap_validate(heap);

    if (wrong)
        fail_msg("heap_validate: %s", wrong);
}

/* ---- contents: some bytes of large blocks ---- */

static size_t step(size_t size)
{
    return size < 4096 ? 1 : size / 64;
}

static void fill(struct block *block)
{
    block->fill = (uint8_t)random_number();
    for (size_t at = 0; at < block->size; at += step(block->size))
        assert_int_equal(fake_write(block->start + at, &block->fill, 1), E_SUCCESS);
    assert_int_equal(fake_write(block->start + block->size - 1, &block->fill, 1), E_SUCCESS);
}

static void check(const struct block *block, size_t size)
{
    uint8_t byte = 0;

    for (size_t at = 0; at < size; at += step(block->size)) {
        assert_int_equal(fake_read(block->start + at, &byte, 1), E_SUCCESS);
        if (byte != block->fill)
            fail_msg("a block of %zu bytes does not hold what was written to it", block->size);
    }
}

/* ---- steps ---- */

static size_t random_size(size_t most)
{
    size_t size = 1 + (random_number() & (((size_t)1 << random_number() % 22) - 1));

    return size < most ? size : most;
}

static void make(struct block *block)
{
    block->align = random_number() % 4 ? 16 : (size_t)16 << random_number() % 12;
    block->size = random_size(3 * MIB);
    if (block->align > 16 && block->size > MIB / 4)
        block->size = MIB / 4;
    block->start = (uintptr_t)allocate(block->size, block->align);
    if (!block->start)
        return; /* RAM is small */
    assert_true(is_aligned(block->start, block->align));
    assert_true(usable((void *)block->start) >= block->size);
    fill(block);
}

static void make_zeroed(struct block *block)
{
    uint8_t byte;

    *block = (struct block){.size = random_size(3 * MIB), .align = 16};
    block->start = (uintptr_t)(heap ? heap_calloc(heap, block->size, 1) : heap_program_alloc_zeroed(block->size));
    for (size_t at = 0; block->start && at < block->size; at += block->size < 4096 ? 1 : 509) {
        assert_int_equal(fake_read(block->start + at, &byte, 1), E_SUCCESS);
        assert_int_equal(byte, 0);
    }
    if (block->start)
        fill(block);
}

static void change(struct block *block)
{
    size_t size = random_number() % 2 ? random_size(6 * MIB) : block->size + block->size / 3 + 1;
    void *moved = heap ? heap_realloc(heap, (void *)block->start, size) : program_realloc((void *)block->start, size);

    if (moved) {
        block->start = (uintptr_t)moved;
        assert_true(usable(moved) >= size);
    } else {
        size = block->size;
    }
    check(block, size < block->size ? size : block->size);
    block->size = size;
    fill(block);
}

static void turn(void)
{
    struct block *block = &blocks[random_number() % BLOCKS];

    if (!block->start && random_number() % 4 == 0)
        make_zeroed(block);
    else if (!block->start)
        make(block);
    else if (random_number() % 3 == 0)
        change(block);
    else {
        check(block, block->size);
        release((void *)block->start);
        block->start = 0;
    }
}

static void release_all(void)
{
    for (unsigned i = 0; i < BLOCKS; i++) {
        if (!blocks[i].start)
            continue;
        check(&blocks[i], blocks[i].size);
        release((void *)blocks[i].start);
        blocks[i].start = 0;
    }
    check_heap();
}

static void run(unsigned turns)
{
    state.state = harness_seed();
    memset(blocks, 0, sizeof(blocks));
    for (unsigned i = 0; i < turns; i++) {
        turn();
        if (i % 16 == 0)
            check_heap();
        if (i % 4096 == 4095)
            fixture_check();
    }
    release_all();
}

/* ---- tests ---- */

static void test_program(void **unused)
{
    (void)unused;
    fixture_start(RAM);
    heap = NULL;
    run(20000);
    heap_program_trim();
    check_heap();
    assert_int_equal(heap_statistics(heap_program()).held, 0);
    assert_int_equal(heap_statistics(heap_program()).used, 0);
    run(5000);
}

static void test_own(void **unused)
{
    static const struct {
        const struct vm_segment_driver *driver;
        vm_flags_t pages;
    } kinds[] = {{&vm_heap, 0}};

    (void)unused;
    fixture_start(RAM);
    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
        heap = heap_create(kinds[i].driver, kinds[i].pages, 0);
        assert_false(IS_ERR(heap));
        run(10000);
        for (unsigned j = 0; j < 100; j++)
            assert_non_null(heap_alloc(heap, random_size(2 * MIB) / 4 + 1));
        heap_destroy(heap);
    }
    fixture_end();
}

static void test_limit(void **unused)
{
    struct heap_statistics before, after;
    void *block;

    (void)unused;
    fixture_start(RAM);
    assert_error(heap_create(NULL, 0, 0), E_INVAL);
    assert_error(heap_create(&vm_heap, VM_RW, 0), E_INVAL);
    heap = heap_create(&vm_heap, 0, 8 * MIB);
    assert_null(heap_alloc(heap, 9 * MIB));
    block = heap_alloc(heap, 5 * MIB);
    assert_non_null(block);
    assert_null(heap_alloc(heap, 4 * MIB));
    before = heap_statistics(heap);
    assert_null(heap_realloc(heap, block, 20 * MIB));
    after = heap_statistics(heap);
    assert_memory_equal(&before, &after, sizeof(before));
    while (heap_alloc(heap, 1000))
        ;
    assert_true(heap_statistics(heap).held <= 8 * MIB);
    heap_free(heap, block);
    assert_non_null(heap_alloc(heap, 1 * MIB));
    check_heap();
    heap_destroy(heap);
    fixture_end();
}

/* RAM is used up to the end, each block can be freed, and then all is there again. */
static void test_exhaustion(void **unused)
{
    size_t sizes[] = {16, 1000, 30000, 200000, 3 * MIB};

    (void)unused;
    fixture_start(16 * MIB);
    heap = NULL;
    for (unsigned round = 0; round < 2; round++) {
        for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
            void *list = NULL, *block;
            size_t count = 0;

            while ((block = program_malloc(sizes[i]))) {
                assert_int_equal(fake_write((vaddr_t)block, &list, sizeof(list)), E_SUCCESS);
                list = block;
                count++;
            }
            assert_true(count * sizes[i] > 12 * MIB || sizes[i] > MIB);
            check_heap();
            for (; list; list = block) {
                assert_int_equal(fake_read((vaddr_t)list, &block, sizeof(block)), E_SUCCESS);
                program_free(list);
            }
            check_heap();
        }
    }
    heap_program_trim();
    assert_int_equal(heap_statistics(heap_program()).held, 0);
    fixture_check();
}

/* Every frame fails in turn: nothing is lost, and the heap is whole. */
static void test_failures(void **unused)
{
    static const size_t sizes[] = {16, 3000, 60000, 100000, MIB, 3 * MIB};

    (void)unused;
    fixture_start(RAM);
    for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
        bool failed = true;

        for (long nth = 0; failed; nth++) {
            struct heap_statistics before, after;
            void *block, *grown;

            heap = heap_create(&vm_heap, 0, 0);
            before = heap_statistics(heap);
            fixture_inject(nth);
            block = heap_alloc(heap, sizes[i]);
            grown = block ? heap_realloc(heap, block, 3 * sizes[i]) : NULL;
            failed = fixture_inject_end();
            check_heap();
            if (grown || block)
                heap_free(heap, grown ? grown : block);
            check_heap();
            after = heap_statistics(heap);
            assert_int_equal(after.used, before.used);
            assert_true(after.held <= before.held + REGION_SIZE);
            heap_destroy(heap);
            fixture_check();
            assert_true(nth < 100);
        }
    }
    fixture_end();
}

/* A block that grows is copied while it is small, and then moves by its pages. */
static void test_growth(void **unused)
{
    struct block block = {.size = 1024, .align = 16};

    (void)unused;
    fixture_start(RAM);
    block.start = (uintptr_t)heap_program_alloc(block.size);
    fill(&block);
    for (unsigned i = 0; i < 14; i++) {
        size_t zeroed = fake_zeroed();

        block.start = (uintptr_t)program_realloc((void *)block.start, 2 * block.size);
        assert_true(block.start != 0);
        check(&block, block.size);
        block.size *= 2;
        fill(&block);
        check_heap();
        assert_true(fake_zeroed() - zeroed <= 64 * VM_PAGE_SIZE); /* page tables */
    }
    assert_true(heap_program_size((void *)block.start) >= 16 * MIB);
    block.start = (uintptr_t)program_realloc((void *)block.start, 3 * MIB);
    assert_int_equal(heap_program_size((void *)block.start), 3 * MIB);
    program_free((void *)block.start);
    check_heap();
    fixture_check();
}

/* ---- large blocks of malloc ---- */

static size_t frames_used(void)
{
    return frames_stats().total - frames_free();
}

static void touch(uintptr_t start, size_t size)
{
    uint8_t byte = 0xa5;

    for (size_t at = 0; at < size; at += VM_PAGE_SIZE)
        assert_int_equal(fake_write(start + at, &byte, 1), E_SUCCESS);
}

/* Growing takes addresses; pages come with the touch and little beyond it, and go when the block shrinks. */
static void test_backing(void **unused)
{
    uintptr_t block;
    size_t before, one = VM_PAGE_SIZE;

    (void)unused;
    fixture_start(RAM);
    heap = NULL;
    block = (uintptr_t)program_malloc(60000);
    block = (uintptr_t)program_realloc((void *)block, 100000);
    before = frames_used();
    for (size_t size = 200000; size < 30 * MIB; size += size / 3) {
        block = (uintptr_t)program_realloc((void *)block, size);
        assert_true(block != 0);
    }
    assert_true(frames_used() - before <= 16); /* tables */
    before = frames_used();
    touch(block + 20 * MIB, 1);
    assert_true((frames_used() - before) * one <= 2 * MIB + 16 * one);
    touch(block, 20 * MIB);
    assert_true((frames_used() - before) * one <= 24 * MIB);
    block = (uintptr_t)program_realloc((void *)block, 5 * MIB / 2);
    touch(block, 5 * MIB / 2);
    assert_true((frames_used() - before) * one <= 3 * MIB);
    check_heap();
    program_free((void *)block);
    heap_program_trim();
    fixture_check();
}

/* What is asked for is backed by large pages only where it fills them. */
static void test_tail(void **unused)
{
    uintptr_t block;
    size_t before;

    (void)unused;
    fixture_start(RAM);
    program_free(program_malloc(1));
    before = frames_used();
    block = (uintptr_t)program_malloc(5 * MIB);
    touch(block, 5 * MIB);
    assert_in_range((frames_used() - before) * VM_PAGE_SIZE, 5 * MIB, 5 * MIB + MIB / 2);
    assert_int_equal(vm_segment_statistics(vm_space(), vm_find(vm_space(), block)).resident[PAGE_2M], 2);
    program_free((void *)block);
    heap_program_trim();
    fixture_check();
}

static size_t large_pages(uintptr_t block)
{
    return vm_segment_statistics(vm_space(), vm_find(vm_space(), block)).resident[PAGE_2M];
}

/* Grows by doubling, and is written to in order; where a fault fails, the next one does not. */
static uintptr_t grow(uintptr_t block, size_t from, size_t to)
{
    for (size_t at = from; from < to; from *= 2) {
        block = (uintptr_t)program_realloc((void *)block, 2 * from);
        assert_int_not_equal(block, 0);
        for (; at < 2 * from; at += VM_PAGE_SIZE) {
            if (fake_write(block + at, &at, sizeof(at)) != E_SUCCESS)
                assert_int_equal(fake_write(block + at, &at, sizeof(at)), E_SUCCESS);
        }
    }
    return block;
}

static void check_grown(uintptr_t block, size_t from, size_t to)
{
    for (size_t at = from, found; at < to; at += VM_PAGE_SIZE) {
        assert_int_equal(fake_read(block + at, &found, sizeof(found)), E_SUCCESS);
        assert_int_equal(found, at);
    }
    check_heap();
    fixture_check();
}

#define GROWN_FROM ((size_t)64 << 10)

/* The small pages that a block began with become a large one when it has grown over that, unless others have the frames
 * between, and whatever fails. */
static void test_joining(void **unused)
{
    struct mmu_entry entry;
    uintptr_t block;
    size_t used;

    (void)unused;
    fixture_start(RAM);
    heap = NULL;
    block = grow((uintptr_t)program_malloc(GROWN_FROM), GROWN_FROM, 8 * MIB);
    assert_int_equal(large_pages(block), 4);
    check_grown(block, GROWN_FROM, 8 * MIB);
    block = (uintptr_t)program_realloc((void *)block, MIB);
    assert_int_equal(large_pages(block), 0);
    check_grown(block, GROWN_FROM, MIB);
    program_free((void *)block);
    heap_program_trim();
    used = frames_used();

    block = grow((uintptr_t)program_malloc(GROWN_FROM), GROWN_FROM, MIB);
    assert_true(mmu_query(&space->mmu, block, &entry));
    assert_int_equal(frame_take(entry.frame + 3 * MIB / 2, VM_PAGE_SIZE), E_SUCCESS);
    block = grow(block, MIB, 4 * MIB);
    assert_int_equal(large_pages(block), 1);
    check_grown(block, GROWN_FROM, 4 * MIB);
    frame_put(entry.frame + 3 * MIB / 2, PAGE_4K);
    program_free((void *)block);
    heap_program_trim();

    for (long nth = 0; nth < 40; nth++) {
        frames_fail_nth(-1);
        block = (uintptr_t)program_malloc(GROWN_FROM);
        block = (uintptr_t)program_realloc((void *)block, 2 * GROWN_FROM);
        frames_fail_nth(nth);
        block = grow(block, 2 * GROWN_FROM, 4 * MIB);
        frames_fail_nth(-1);
        check_grown(block, 2 * GROWN_FROM, 4 * MIB);
        program_free((void *)block);
        heap_program_trim();
    }
    assert_in_range(frames_used(), used - 8, used + 8); /* tables; less than a frame for each of these */
}

/* The next zeroed block is that one, and is zeros. */
static void check_zeroed(uintptr_t block, size_t size)
{
    uint8_t byte;

    assert_int_equal(heap_program_alloc_zeroed(size), block);
    for (size_t at = 0; at < size; at += 511) {
        assert_int_equal(fake_read(block + at, &byte, 1), E_SUCCESS);
        assert_int_equal(byte, 0);
    }
}

/* A block that was freed is the next one of about its size, with its pages; to the program it is gone until then. */
static void test_kept(void **unused)
{
    uintptr_t block, other;
    size_t used;

    (void)unused;
    fixture_start(RAM);
    block = (uintptr_t)program_malloc(3 * MIB / 2);
    touch(block, 3 * MIB / 2);
    used = frames_used();
    program_free((void *)block);
    assert_int_equal(frames_used(), used);
    other = (uintptr_t)program_malloc(3 * MIB / 2);
    assert_int_equal(other, block);
    touch(other, 3 * MIB / 2);
    assert_int_equal(frames_used(), used);
    program_free((void *)other);

    check_zeroed(block, 3 * MIB / 2); /* where it is */
    assert_int_equal(frames_used(), used);
    touch(block + MIB, 2 * VM_PAGE_SIZE);
    program_free((void *)block);
    check_zeroed(block, 3 * MIB / 2); /* its start was not written to: the pages went */
    program_free((void *)block);
    touch((uintptr_t)heap_program_alloc_zeroed(3 * MIB / 2), MIB);
    program_free((void *)block);
    check_zeroed(block, 3 * MIB / 2); /* it was not written to from end to end */
    touch(block, 3 * MIB / 2);
    program_free((void *)block);
    assert_int_equal(heap_program_alloc(MIB + MIB / 4), block);
    program_free((void *)block);
    check_zeroed(block, MIB + MIB / 4);
    program_free((void *)block);
    heap_program_trim();
    assert_true(frames_used() < used - 200);
    check_heap();
    fixture_check();
}

/* The program may map something where a block was, or cut away a part of it: it is kept no more. */
static void test_kept_is_unmapped(void **unused)
{
    uintptr_t block;

    (void)unused;
    fixture_start(RAM);
    for (unsigned part = 1; part <= 2; part++) {
        block = (uintptr_t)program_malloc(3 * MIB / 2);
        touch(block, 3 * MIB / 2);
        program_free((void *)block);
        assert_int_equal(vm_unmap(space, block, 3 * MIB / 2 / part), E_SUCCESS);
        block = (uintptr_t)program_malloc(3 * MIB / 2);
        assert_int_not_equal(block, 0);
        touch(block, 3 * MIB / 2);
        program_free((void *)block);
        heap_program_trim();
        check_heap();
    }
    fixture_check();
}

/* What is kept is no reason to hold more than without it: it goes before that, and before there is no memory. */
static void test_kept_goes(void **unused)
{
    uint64_t peak;
    void *list = NULL, *block;
    uintptr_t large;

    (void)unused;
    fixture_start(256 * MIB);
    large = (uintptr_t)program_malloc(7 * MIB);
    touch(large, 7 * MIB);
    program_free((void *)large);
    peak = vm_resident_peak(vm_space());
    for (unsigned i = 0; i < 30; i++) {
        block = program_malloc(200000);
        assert_int_equal(fake_write((vaddr_t)block, &list, sizeof(list)), E_SUCCESS);
        list = block;
    }
    assert_true(vm_resident_peak(vm_space()) <= peak + 2 * MIB);
    for (; list; list = block) {
        assert_int_equal(fake_read((vaddr_t)list, &block, sizeof(block)), E_SUCCESS);
        program_free(list);
    }
    large = (uintptr_t)program_malloc(7 * MIB);
    touch(large, 7 * MIB);
    program_free((void *)large);
    assert_non_null(program_malloc(frames_free() * VM_PAGE_SIZE + 4 * MIB));
    check_heap();
}

/* Copying is the C library's business, and that pages are there for it. */
static struct {
    void *old;
    size_t size;
} unfinished;

static void *finish_later(void *block, void *old, size_t size)
{
    unfinished.old = block ? old : NULL;
    unfinished.size = size;
    return block;
}

/* Each frame fails in turn while malloc's blocks grow: the old block is as it was, and grows when there is memory. */
static void test_growth_fails(void **unused)
{
    static const size_t sizes[] = {3000, 60000, 100000, 300000, 2 * MIB, 9 * MIB, 200000};

    (void)unused;
    fixture_start(RAM);
    heap = NULL;
    for (long nth = 0; nth < 40; nth++) {
        struct block block = {.size = 1000, .align = 16};

        block.start = (uintptr_t)program_malloc(block.size);
        fill(&block);
        for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
            fixture_inject(nth);
            uintptr_t moved = (uintptr_t)heap_program_realloc((void *)block.start, sizes[i], finish_later);
            bool failed = fixture_inject_end();

            check_heap();
            if (!moved) {
                assert_true(failed);
                check(&block, block.size);
                continue;
            }
            if (unfinished.old)
                moved = (uintptr_t)finish_realloc((void *)moved, unfinished.old, unfinished.size);
            unfinished.old = NULL;
            block.start = moved;
            check(&block, block.size < sizes[i] ? block.size : sizes[i]);
            block.size = sizes[i];
            fill(&block);
        }
        program_free((void *)block.start);
    }
    heap_program_trim();
    assert_int_equal(heap_statistics(heap_program()).held, 0);
    fixture_check();
}

static void free_block(void *block)
{
    program_free(block);
    heap_program_trim();
}

static void free_twice(void *block)
{
    program_free(block);
    program_free(block);
    heap_program_trim();
}

static void expect(void (*function)(void *), uintptr_t block, const char *text)
{
    assert_true(fake_panics(function, (void *)block));
    if (!strstr(fake_panic_text(), text))
        fail_msg("'%s' is not in '%s'", text, fake_panic_text());
}

static void test_misuse(void **unused)
{
    uintptr_t small, medium, large;

    (void)unused;
    fixture_start(RAM);
    small = (uintptr_t)program_malloc(100);
    program_malloc(100);
    medium = (uintptr_t)program_malloc(100000);
    large = (uintptr_t)program_malloc(10 * MIB);
    expect(free_twice, small, "is a block of 112 bytes that is free already");
    expect(free_block, small + 16, "is 16 bytes inside of a block of 112 bytes");
    expect(free_twice, medium, "is not a block that is allocated now");
    expect(free_block, medium + 16, "is not a block that is allocated now");
    expect(free_twice, large, "is not a block that is allocated now");
    expect(free_block, large + 4096, "is not a block that is allocated now");
    expect(free_block, (uintptr_t)PHYSMAP_BASE + MIB, "is not a block that is allocated now");
    free_block((void *)small);
    free_block((void *)medium);
    free_block((void *)large);
    free_block(NULL);
    check_heap();
}

static void free_around(void *block)
{
    void *other = *(void **)block;

    program_free(block);
    program_free(other);
    program_free(block);
    heap_program_trim();
}

/* By another CPU than the one that allocated it. */
static void test_misuse_elsewhere(void **unused)
{
    uintptr_t small, other, medium;

    (void)unused;
    fake_cpus(2);
    fixture_start(RAM);
    small = (uintptr_t)program_malloc(100);
    other = (uintptr_t)program_malloc(100);
    medium = (uintptr_t)program_malloc(100000);
    *(uintptr_t *)small = other;
    fake_cpu_be(1);
    expect(free_twice, small, "is a block of 112 bytes that is free already");
    expect(free_around, small, "is a block of 112 bytes that is free already");
    expect(free_block, small + 16, "is 16 bytes inside of a block of 112 bytes");
    expect(free_twice, medium, "is not a block that is allocated now");
    expect(free_block, medium + 16, "is not a block that is allocated now");
    free_block((void *)small);
    expect(free_block, small, "is a block of 112 bytes that is free already");
    free_block((void *)other);
    free_block((void *)medium);
    fake_cpu_be(0);
    check_heap();
}

/* An object of each class costs a span of it, whatever a batch is; two if they are a slice each. */
static void test_few(void **unused)
{
    struct heap_statistics statistics;
    void *objects[CLASSES];
    size_t spans = 0;

    (void)unused;
    fixture_start(RAM);
    heap = NULL;
    program_free(program_malloc(1));
    for (unsigned class = 1; class < CLASSES; class ++) {
        objects[class] = program_malloc(size_classes[class].size);
        assert_non_null(objects[class]);
        spans += (size_classes[class].slices == 1 ? 2 : size_classes[class].slices) * SLICE_SIZE;
    }
    statistics = heap_statistics(heap_program());
    assert_true(statistics.held - statistics.empty <= spans);
    check_heap();
    for (unsigned class = 1; class < CLASSES; class ++)
        program_free(objects[class]);
    heap_program_trim();
    assert_int_equal(heap_statistics(heap_program()).held, 0);
}

/* What realloc remembers of a block is forgotten when another CPU frees it: another one may be at its address. */
static void test_growth_elsewhere(void **unused)
{
    uintptr_t block, other;

    (void)unused;
    fake_cpus(2);
    fixture_start(RAM);
    heap = NULL;
    block = (uintptr_t)program_malloc(5 * MIB / 2);
    block = (uintptr_t)program_realloc((void *)block, 21 * MIB / 8);
    fake_cpu_be(1);
    program_free((void *)block);
    heap_program_trim();
    other = (uintptr_t)program_malloc(9 * MIB / 4);
    assert_int_equal(other, block);
    fake_cpu_be(0);
    block = (uintptr_t)program_realloc((void *)other, 22 * MIB / 8);
    assert_true(heap_program_size((void *)block) >= 22 * MIB / 8);
    program_free((void *)block);
    heap_program_trim();
    fixture_check();
}

/* Every class: its size, alignment and neighbours; and what aligned sizes get. */
static void test_classes(void **unused)
{
    (void)unused;
    fixture_start(RAM);
    program_free(program_malloc(1));
    for (size_t size = 1; size <= CLASS_SIZE_MAX; size += size < 2048 ? 1 : 61) {
        unsigned class = class_of_size(size);

        assert_true(size_classes[class].size >= size && (class == 1 || size_classes[class - 1].size < size));
        assert_true(size <= 16 || size_classes[class].size - size < 16 || (size_classes[class].size - size) * 7 < size);
        for (size_t align = 16; align <= SLICE_SIZE; align *= 2) {
            unsigned aligned = class_of_aligned(size, align);

            assert_true(!aligned || (size_classes[aligned].size % align == 0 && size_classes[aligned].size >= size));
        }
    }
    for (unsigned class = 1; class < CLASSES; class ++) {
        for (unsigned i = 0; i < size_classes[class].objects; i++) {
            uint64_t at = (uint64_t)i * size_classes[class].size;

            assert_int_equal(at * size_classes[class].reciprocal >> 32, i);
        }
    }
}

/* Before growth all small objects go from the lists, and of the large ones a few, of one class after the other. */
static void test_give_back(void **unused)
{
    static const size_t sizes[] = {500, 20000, 40000};
    void *some[3][128];
    size_t before[3], after[3], large;

    (void)unused;
    fixture_start(RAM);
    heap = NULL;
    for (unsigned i = 0; i < 128; i++) {
        for (unsigned kind = 0; kind < 3; kind++)
            assert_non_null(some[kind][i] = program_malloc(sizes[kind]));
    }
    for (unsigned i = 0; i < 128; i++) {
        for (unsigned kind = 0; kind < 3; kind++) {
            if (i < 128 - 100 * (kind > 0))
                program_free(some[kind][i]);
        }
    }
    for (unsigned turns = 0;; turns++) {
        for (unsigned kind = 0; kind < 3; kind++)
            before[kind] = lists_objects(class_of_size(sizes[kind]), SIZE_MAX);
        if (!lists_give_back(heap_program())) {
            assert_true(turns > 2);
            break;
        }
        check_heap();
        for (unsigned kind = 0; kind < 3; kind++)
            after[kind] = lists_objects(class_of_size(sizes[kind]), SIZE_MAX);
        assert_true(after[0] < 32);
        large = (before[1] - after[1]) * sizes[1] + (before[2] - after[2]) * sizes[2];
        assert_true(large > 0 && large < MIB / 8);
        assert_true(after[1] > 0 || after[2] > 0);
    }
    for (unsigned i = 0; i < 128; i++) {
        for (unsigned kind = 0; kind < 3; kind++) {
            if (i >= 128 - 100 * (kind > 0))
                program_free(some[kind][i]);
        }
    }
    heap_program_trim();
    assert_int_equal(heap_statistics(heap_program()).held, 0);
}

/* Takes objects that are never given back until lists were filled so often. */
static void fill_lists(unsigned count)
{
    while (count > 0) {
        count -= heap_lists[class_of_size(16)] == 0;
        assert_non_null(program_malloc(16));
    }
}

/* What is in a list is put aside from time to time, comes back from there in small numbers, and goes if it does not. */
static void test_aside(void **unused)
{
    enum { COUNT = 200, SIZE = 500, FILLS = 512 };
    unsigned class = 0;
    void *some[COUNT];
    size_t used;

    (void)unused;
    fixture_start(RAM);
    heap = NULL;
    heap_program_trim();
    fill_lists(2 * FILLS); /* the start and what was before are over */
    class = class_of_size(SIZE);
    for (unsigned i = 0; i < COUNT; i++)
        assert_non_null(some[i] = program_malloc(SIZE));
    for (unsigned i = 0; i < COUNT; i++)
        program_free(some[i]);
    assert_true(heap_lists[class] == (uintptr_t)some[COUNT - 1]);
    fill_lists(FILLS);
    check_heap();
    assert_int_equal(heap_lists[class], 0);
    assert_in_range(lists_objects(class, SIZE_MAX), COUNT, COUNT + 31);
    used = heap_statistics(heap_program()).used;
    some[0] = program_malloc(SIZE);
    assert_ptr_equal(some[0], some[COUNT - 1]);
    assert_int_equal(heap_statistics(heap_program()).used, used);
    fill_lists(FILLS);
    check_heap();
    assert_int_equal(heap_lists[class], 0);
    assert_in_range(lists_objects(class, SIZE_MAX), 1, 31);
    fill_lists(FILLS);
    assert_int_equal(lists_objects(class, SIZE_MAX), 0);
}

/* A class that would need a new span gets objects of a larger one that has many, and nothing that is not aligned. */
static void test_lent(void **unused)
{
    enum { COUNT = 200 };
    void *some[COUNT], *small;
    size_t used;

    (void)unused;
    fixture_start(RAM);
    heap = NULL;
    heap_program_trim();
    for (unsigned i = 0; i < COUNT; i++)
        assert_non_null(some[i] = program_malloc(144));
    for (unsigned i = 0; i < COUNT; i++)
        program_free(some[i * 7 % COUNT]);
    used = heap_statistics(heap_program()).used;
    small = program_malloc(112);
    check_heap();
    assert_int_equal(heap_program_size(small), 144);
    assert_int_equal(heap_statistics(heap_program()).used, used);
    for (unsigned i = 0; i < COUNT; i++) { /* all that could be lent, and more */
        assert_non_null(some[i] = heap_program_alloc_aligned(128, 128));
        assert_int_equal((uintptr_t)some[i] % 128, 0);
    }
    check_heap();
    for (unsigned i = 0; i < COUNT; i++)
        program_free(some[i]);
    program_free(small);
    check_heap();
    heap_program_trim();
    check_heap();
}

/* What was freed serves for blocks that are little shorter, so where sizes change by little the heap does not. */
static void test_medium_kept(void **unused)
{
    size_t used = 0;
    void *last = NULL;

    (void)unused;
    fixture_start(RAM);
    heap = NULL;
    heap_program_trim();
    for (unsigned i = 0; i < 64; i++) {
        size_t size = MIB / 4 + i % 16 * VM_PAGE_SIZE;
        void *block = program_malloc(size);

        assert_non_null(block);
        assert_in_range(heap_program_size(block), size, size + size / 4);
        if (i >= 16) {
            assert_ptr_equal(block, last);
            assert_int_equal(heap_statistics(heap_program()).used, used);
        }
        used = heap_statistics(heap_program()).used;
        last = block;
        program_free(block);
    }
    last = program_malloc(MIB / 5); /* for which what is kept is too long */
    assert_in_range(heap_program_size(last), MIB / 5, MIB / 4);
    program_free(last);
    check_heap();
    heap_program_trim();
    assert_int_equal(heap_statistics(heap_program()).held, 0);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_program),
        cmocka_unit_test(test_own),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_growth),
        cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_exhaustion),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_backing),
        cmocka_unit_test(test_tail),
        cmocka_unit_test(test_kept),
        cmocka_unit_test(test_kept_goes),
        cmocka_unit_test(test_growth_fails),
        cmocka_unit_test(test_kept_is_unmapped),
        cmocka_unit_test(test_give_back),
        cmocka_unit_test(test_few),
        cmocka_unit_test(test_aside),
        cmocka_unit_test(test_joining),
        cmocka_unit_test(test_misuse_elsewhere),
        cmocka_unit_test(test_lent),
        cmocka_unit_test(test_growth_elsewhere),
        cmocka_unit_test(test_medium_kept),
    };

    return harness_main(argc, argv, tests, ARRAY_LENGTH(tests));
}
