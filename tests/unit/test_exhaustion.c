/*
 * No memory is an ordinary result, of every operation and at every point of it: each is run with its first, second, …
 * frame missing until it succeeds. A failure must leave everything as it was: the map, page tables, free frames, blocks
 * and what is in them; and then the same works. tests/unit/conformance.c does this for what all drivers have, here are
 * the operations that one has, and the heaps.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/percpu.h"
#include "fixture.h"
#include "harness.h"
#include "vm/frames.h"
#include "vm/heap/internal.h"

#define RAM (64 * MIB)
#define PAGE VM_PAGE_SIZE
#define A LOW_BASE
#define SIZE (4 * MIB)
#define NTH_MAX 3000

struct operation {
    const char *name;
    error_t (*run)(void);
};

/* ---- the address space ---- */

static unsigned failures;          /* that were seen */
static struct vm_segment *segment; /* at A, of SIZE, every third page touched */

static void stamp(void)
{
    for (size_t at = 0; at < SIZE; at += 3 * PAGE)
        must_write(A + at, at + 1);
}

static void check_stamped(vaddr_t start)
{
    for (size_t at = 0; at < SIZE; at += 3 * PAGE)
        assert_int_equal(must_read(start + at), at + 1);
}

static error_t run_copy(void)
{
    return ERR_OF(vm_copy(space, segment, A, VM_ANYWHERE, SIZE, false));
}

static error_t run_copy_taking(void)
{
    return ERR_OF(vm_copy(space, segment, A, VM_ANYWHERE, SIZE, true));
}

static error_t run_copy_part_taking(void)
{
    return ERR_OF(vm_copy(space, segment, A + 5 * PAGE, A + GIB + 3 * PAGE, SIZE / 2, true));
}

static error_t run_move(void)
{
    return vm_move(space, segment, A + GIB + 3 * PAGE, SIZE);
}

static error_t run_move_growing(void)
{
    return vm_move(space, segment, VM_ANYWHERE, 3 * SIZE);
}

static error_t run_protect_many(void)
{
    for (size_t at = PAGE; at < 64 * PAGE; at += 2 * PAGE) {
        error_t error = vm_protect(space, A + at, PAGE, VM_READ);

        if (error) { /* those before are as they were asked to be: back to what was */
            assert_int_equal(vm_protect(space, A, SIZE, VM_RW), E_SUCCESS);
            return error;
        }
    }
    return E_SUCCESS;
}

static error_t run_protect_middle(void)
{
    return vm_protect(space, A + MIB + 3 * PAGE, 2 * MIB, VM_READ);
}

static error_t run_unmap_middle(void)
{
    return vm_unmap(space, A + MIB + 3 * PAGE, 2 * MIB);
}

static error_t run_mark_middle(void)
{
    return vm_mark(space, A + MIB + PAGE, MIB, VM_MARKS, VM_MARK(2));
}

static error_t run_dontneed_middle(void)
{
    return vm_advise(space, A + MIB + 2 * PAGE, PAGE, VM_ADVICE_DONTNEED);
}

static error_t run_split(void)
{
    return ERR_OF(vm_split(space, segment, A + MIB + PAGE));
}

static error_t run_grow(void)
{
    return vm_resize(space, segment, 3 * SIZE);
}

static error_t run_phys(void)
{
    return ERR_OF(vm_alloc_at(space, &vm_phys, (paddr_t)4 * GIB + PAGE, 8 * MIB, VM_RW | VM_CACHE_UC));
}

static error_t run_stack(void)
{
    return ERR_OF(vm_alloc(space, &vm_stack, VM_ANYWHERE, MIB, VM_RW));
}

static error_t run_span(void)
{
    return ERR_OF(vm_alloc(space, &vm_heap, VM_ANYWHERE, MIB, VM_RW));
}

static const struct operation space_operations[] = {
    {"vm_copy", run_copy},
    {"vm_copy, taking the pages", run_copy_taking},
    {"vm_copy of a part to another alignment", run_copy_part_taking},
    {"vm_move to another alignment", run_move},
    {"vm_move growing", run_move_growing},
    {"vm_protect of many pages", run_protect_many},
    {"vm_protect of the middle", run_protect_middle},
    {"vm_unmap of the middle", run_unmap_middle},
    {"vm_mark of the middle", run_mark_middle},
    {"vm_advise of a page in the middle", run_dontneed_middle},
    {"vm_split inside of a large page", run_split},
    {"vm_resize", run_grow},
    {"vm_alloc_at of a window", run_phys},
    {"vm_alloc of a stack", run_stack},
    {"vm_alloc of a span", run_span},
};

static void free_all(void)
{
    struct vm_segment *left;

    while ((left = vm_next(space, 0)) != NULL)
        vm_free(space, left);
}

/* True if the frame was asked for, so that the next one has its turn. */
static bool try_in_space(const struct operation *operation, vm_flags_t pages, long nth)
{
    static struct trace before, after;
    bool reached;
    error_t error;

    segment = must_alloc(&vm_anon, A, SIZE, VM_RW | VM_MERGE | pages);
    stamp();
    trace_take(&before);
    fixture_inject(nth);
    error = operation->run();
    reached = fixture_inject_end();
    fixture_check();
    if (error) {
        failures++;
        assert_true(reached);
        assert_int_equal(error, E_NOMEM);
        trace_take(&after);
        trace_compare(&before, &after, operation->name, nth);
        check_stamped(A);
        assert_int_equal(operation->run(), E_SUCCESS); /* now that there is memory */
        fixture_check();
    }
    free_all();
    return reached;
}

static void test_space_operations(void **unused)
{
    static const vm_flags_t pages[] = {VM_PAGES_4K, VM_PAGES_2M};

    (void)unused;
    failures = 0;
    fixture_start(RAM);
    for (size_t i = 0; i < ARRAY_LENGTH(space_operations); i++) {
        for (size_t j = 0; j < ARRAY_LENGTH(pages); j++) {
            long nth = 0;

            while (try_in_space(&space_operations[i], pages[j], nth))
                assert_true(++nth < NTH_MAX);
        }
    }
    assert_true(failures > ARRAY_LENGTH(space_operations)); /* some need a frame where the fixture has one at hand */
    fixture_end();
}

/* Those that stop where frames run out: what was done stays, what was not is untouched, and nothing is lost. */
static void test_operations_in_part(void **unused)
{
    (void)unused;
    fixture_start(RAM);
    for (long nth = 0;; nth++) {
        bool reached;
        error_t error;

        segment = must_alloc(&vm_anon, A, SIZE, VM_RW | VM_PAGES_4K);
        stamp();
        assert_int_equal(vm_mark(space, A, SIZE, VM_PAGES, VM_PAGES_2M), E_SUCCESS);
        fixture_inject(nth);
        error = vm_collapse(space, A, SIZE);
        reached = fixture_inject_end();
        fixture_check();
        check_stamped(A);
        assert_true(!error || (reached && error == E_NOMEM));
        assert_int_equal(vm_collapse(space, A, SIZE), E_SUCCESS);
        check_stamped(A);
        free_all();
        if (!reached)
            break;
        assert_true(nth < NTH_MAX);
    }
    for (long nth = 0;; nth++) {
        bool reached;

        segment = must_alloc(&vm_anon, A, SIZE / 16, VM_RW | VM_PAGES_4K);
        fixture_inject(nth);
        error_t error = vm_populate(space, A, SIZE / 16, VM_WRITE);

        reached = fixture_inject_end();
        fixture_check();
        assert_true(!error || (reached && error == E_NOMEM));
        assert_int_equal(vm_populate(space, A, SIZE / 16, VM_WRITE), E_SUCCESS);
        assert_int_equal(vm_segment_statistics(space, segment).resident[PAGE_4K], SIZE / 16 / PAGE);
        free_all();
        if (!reached)
            break;
        assert_true(nth < NTH_MAX);
    }
    fixture_end();
}

/* ---- heaps ---- */

extern uintptr_t heap_lists[CLASSES];

static struct heap *heap; /* NULL: malloc's */
static void *block;       /* of block_size bytes */
static size_t block_size;

static void *get(size_t size)
{
    return heap ? heap_alloc(heap, size) : heap_program_alloc(size);
}

/* Malloc's as its window does it (arch/x86_64/malloc.S). */
static void put(void *freed)
{
    if (heap) {
        heap_free(heap, freed);
    } else if (!heap_is_run((uintptr_t)freed)) {
        heap_program_free_block(freed);
    } else {
        uintptr_t *list = &heap_lists[CLASS_AT(*heap_class_of_slice(cpu_number(), (uintptr_t)freed))];

        *(uintptr_t *)freed = *list;
        *list = (uintptr_t)freed;
    }
}

/* As core/libc/malloc.c. */
static void *finish_realloc(void *moved, void *old, size_t size)
{
    if (!moved)
        return NULL;
    heap_copy((uintptr_t)moved, (uintptr_t)old, align_up(size, 16));
    put(old);
    return moved;
}

static void fill_block(void)
{
    for (size_t at = 0; at + 8 <= block_size; at += block_size < 8 * PAGE ? 8 : PAGE)
        must_write((vaddr_t)block + at, at ^ 0x5a5a);
}

static void check_block(size_t size)
{
    for (size_t at = 0; at + 8 <= size; at += block_size < 8 * PAGE ? 8 : PAGE)
        assert_int_equal(must_read((vaddr_t)block + at), at ^ 0x5a5a);
}

struct heap_case {
    const char *name;
    size_t first, size, align; /* of the block before, or 0; of what is asked for */
    enum { GET, ZEROED, ALIGNED, RESIZED } what;
};

static const struct heap_case heap_cases[] = {
    {"a small object", 0, 40, 16, GET},
    {"an object of 60,000 bytes", 0, 60000, 16, GET},
    {"a medium block", 0, 300000, 16, GET},
    {"a large block", 0, 5 * MIB, 16, GET},
    {"small and zero", 0, 100, 16, ZEROED},
    {"medium and zero", 0, 400000, 16, ZEROED},
    {"large and zero", 0, 3 * MIB, 16, ZEROED},
    {"small and aligned", 0, 100, 4096, ALIGNED},
    {"medium and aligned", 0, 200000, 65536, ALIGNED},
    {"aligned to 1 MiB", 0, 100000, MIB, ALIGNED},
    {"small to small", 40, 4000, 16, RESIZED},
    {"small to medium", 4000, 200000, 16, RESIZED},
    {"medium to medium", 100000, 900000, 16, RESIZED},
    {"medium to large", 900000, 3 * MIB, 16, RESIZED},
    {"large to larger", 3 * MIB, 7 * MIB, 16, RESIZED},
    {"large to so much that it moves", 2 * MIB, 48 * MIB, 16, RESIZED},
    {"large to small", 3 * MIB, 100, 16, RESIZED},
};

static void *perform(const struct heap_case *kind)
{
    switch (kind->what) {
    case GET:
        return get(kind->size);
    case ZEROED:
        return heap ? heap_calloc(heap, 1, kind->size) : heap_program_alloc_zeroed(kind->size);
    case ALIGNED:
        return heap ? heap_alloc_aligned(heap, kind->align, kind->size)
                    : heap_program_alloc_aligned(kind->align, kind->size);
    case RESIZED:
        return heap ? heap_realloc(heap, block, kind->size) : heap_program_realloc(block, kind->size, finish_realloc);
    }
    return NULL;
}

static void check_heap(const struct heap_case *kind, long nth)
{
    const char *wrong = heap_validate(heap);

    if (wrong)
        fail_msg("%s, failing at frame %ld: %s", kind->name, nth, wrong);
    fixture_check();
}

static struct heap_statistics used(void)
{
    struct heap_statistics statistics = heap_statistics(heap ? heap : heap_program());

    statistics.held = statistics.empty = statistics.structures = 0; /* may be kept for the next time */
    return statistics;
}

/* Everything that malloc's heap keeps goes back; what a heap of its own keeps, goes with it. */
static void trim(void)
{
    if (!heap)
        heap_program_trim();
}

static bool try_in_heap(const struct heap_case *kind, long nth)
{
    struct heap_statistics before, after;
    void *made;
    bool reached;

    block_size = kind->first;
    block = block_size ? get(block_size) : NULL;
    fill_block();
    trim();
    before = used();
    fixture_inject(nth);
    made = perform(kind);
    reached = fixture_inject_end();
    check_heap(kind, nth);
    if (!made) {
        failures++;
        assert_true(reached);
        trim();
        after = used();
        assert_memory_equal(&before, &after, sizeof(before));
        check_block(block_size);
        made = perform(kind); /* now that there is memory */
        check_heap(kind, nth);
    }
    assert_non_null(made);
    assert_true(is_aligned((uintptr_t)made, kind->align));
    if (kind->what == RESIZED) {
        block = made;
        check_block(block_size < kind->size ? block_size : kind->size);
    }
    put(made);
    if (block && kind->what != RESIZED)
        put(block);
    trim();
    check_heap(kind, nth);
    return reached;
}

static void test_own_heap(void **unused)
{
    (void)unused;
    failures = 0;
    fixture_start(2 * RAM);
    for (size_t i = 0; i < ARRAY_LENGTH(heap_cases); i++) {
        static struct trace before, after;
        long nth = 0;
        bool reached;

        do {
            trace_take(&before);
            heap = heap_create(&vm_heap, 0, 0);
            assert_false(IS_ERR(heap));
            reached = try_in_heap(&heap_cases[i], nth);
            heap_destroy(heap);
            trace_take(&after);
            trace_compare(&before, &after, heap_cases[i].name, nth);
            assert_true(++nth < NTH_MAX);
        } while (reached);
    }
    assert_true(failures > 0); /* few: where a run of frames fails single ones may serve */
    fixture_end();
}

static void test_heap_create(void **unused)
{
    static struct trace before, after;

    (void)unused;
    fixture_start(RAM);
    trace_take(&before);
    for (long nth = 0;; nth++) {
        fixture_inject(nth);
        heap = heap_create(&vm_anon, VM_PAGES_4K, 0);
        bool reached = fixture_inject_end();

        if (IS_ERR(heap)) {
            assert_true(reached);
            assert_error(heap, E_NOMEM);
        } else {
            assert_non_null(heap_alloc(heap, 100));
            assert_non_null(heap_alloc(heap, 3 * MIB));
            heap_destroy(heap);
        }
        trace_take(&after);
        trace_compare(&before, &after, "heap_create", nth);
        fixture_check();
        if (!reached)
            break;
        assert_true(nth < NTH_MAX);
    }
    fixture_end();
}

/* Malloc's heap is started once in a process: what it takes for that stays, and is not there in the first tries. */
static void test_program_heap(void **unused)
{
    (void)unused;
    fixture_start(2 * RAM);
    heap = NULL;
    for (long nth = 0;; nth++) {
        fixture_inject(nth);
        void *first = heap_program_alloc(100);
        bool reached = fixture_inject_end();

        fixture_check();
        if (first) {
            put(first);
            if (!reached)
                break;
        }
        assert_true(nth < NTH_MAX);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(heap_cases); i++) {
        static struct trace before, after;
        const struct heap_case *kind = &heap_cases[i];
        long nth = 0;
        bool reached;

        /* What is copied into a large block touches it: without a frame that is the end of the program, as of whoever
         * touches memory. heap_has_memory looks before. */
        if (kind->what == RESIZED && kind->first <= MEDIUM_MAX && kind->size > CLASS_SIZE_MAX)
            continue;
        trim();
        trace_take(&before);
        do {
            reached = try_in_heap(kind, nth);
            trim();
            assert_int_equal(heap_statistics(heap_program()).used, 0);
            assert_true(++nth < NTH_MAX);
        } while (reached);
        trace_take(&after);
        if (i > 0) /* the first ones leave structures for the next */
            trace_compare(&before, &after, kind->name, nth);
    }
}

/* The whole way, by a heap that is used up: each kind of request is refused, and after freeing all of it served. */
static void test_used_up(void **unused)
{
    static const size_t sizes[] = {16, 1000, 60000, 200000, MIB, 3 * MIB};
    static void *blocks[1 << 20];

    (void)unused;
    fixture_start(16 * MIB);
    heap = NULL;
    for (unsigned round = 0; round < 2; round++) {
        size_t count = 0, freed = 0;

        for (size_t i = ARRAY_LENGTH(sizes); i-- > 0;) {
            while (count < ARRAY_LENGTH(blocks) && (blocks[count] = get(sizes[i])) != NULL) {
                if (fake_touch((vaddr_t)blocks[count], VM_WRITE, 1) != E_SUCCESS) {
                    put(blocks[count]); /* refused when it was touched: it was asked for without any backing */
                    break;
                }
                count++;
            }
            assert_null(heap_validate(NULL));
        }
        assert_true(count > ARRAY_LENGTH(sizes));
        assert_null(heap_program_realloc(blocks[0], 64 * MIB, finish_realloc));
        assert_null(heap_program_alloc_zeroed(8 * MIB));
        assert_null(heap_program_alloc_aligned(MIB, 2 * MIB));
        assert_error(vm_alloc(space, &vm_anon, VM_ANYWHERE, 32 * MIB, VM_RW | VM_POPULATE), E_NOMEM);
        fixture_check();
        while (freed < count)
            put(blocks[freed++]);
        trim();
        assert_int_equal(heap_statistics(heap_program()).used, 0);
        fixture_check();
        for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
            block = get(sizes[i]);
            assert_non_null(block);
            put(block);
        }
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_space_operations), cmocka_unit_test(test_operations_in_part),
        cmocka_unit_test(test_heap_create),      cmocka_unit_test(test_own_heap),
        cmocka_unit_test(test_program_heap),     cmocka_unit_test(test_used_up),
    };

    return harness_main(argc, argv, tests, ARRAY_LENGTH(tests));
}
