/*
 * What debug builds look at before each operation (VM_STEP, HEAP_STEP): damage to a structure ends the program within a
 * bounded number of operations, with a report that says what is wrong and between which operations it happened, in a
 * small map and heap and in large ones.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "harness.h"
#include "vm/driver.h"
#include "vm/heap/internal.h"

#define RAM (64 * MIB)
#define MANY 500u
#define WITHIN 2048 /* operations */

static struct vm_segment *segments[MANY];

static void operate_on_space(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < WITHIN; i++) {
        struct vm_segment *segment = vm_alloc(space, &vm_guard, VM_ANYWHERE, MIB, 0);

        vm_free(space, segment);
    }
}

static void operate_on_heap(void *heap)
{
    for (unsigned i = 0; i < WITHIN; i++) {
        void *block = heap ? heap_alloc(heap, 50000) : heap_program_alloc(200000);

        if (heap)
            heap_free(heap, block);
        else
            heap_program_free_block(block);
    }
}

static void expect(void (*operate)(void *), void *argument, const char *text, const char *where)
{
    assert_true(fake_panics(operate, argument));
    if (!strstr(fake_panic_text(), text) || !strstr(fake_panic_text(), where))
        fail_msg("'%s' and '%s' are not in '%s'", text, where, fake_panic_text());
}

static void start_space(unsigned count)
{
    fixture_start(RAM);
    for (unsigned i = 0; i < count; i++) {
        segments[i] = must_alloc(&vm_anon, VM_ANYWHERE, MIB, VM_RW | VM_PAGES_4K);
        must_write(vm_start(segments[i]), i);
    }
    assert_false(fake_panics(operate_on_space, NULL));
}

static void damage_sums(unsigned count)
{
    start_space(count);
    space->spans += VM_PAGE_SIZE;
    expect(operate_on_space, NULL, "the address space is damaged after vm_", "the bytes of spans or windows are wrong");
}

static void test_sums_of_a_small_map(void **unused)
{
    (void)unused;
    damage_sums(3);
}

static void test_sums_of_a_large_map(void **unused)
{
    (void)unused;
    damage_sums(MANY);
}

static void damage_segment(unsigned count, unsigned which)
{
    start_space(count);
    segments[which]->size += 7;
    expect(operate_on_space, NULL, "the address space is damaged after vm_", "a segment is not made of whole pages");
}

static void test_segment_of_a_small_map(void **unused)
{
    (void)unused;
    damage_segment(3, 1);
}

static void test_segment_of_a_large_map(void **unused)
{
    (void)unused;
    damage_segment(MANY, MANY / 2);
}

/* Pages without a segment: an entry was left. */
static void test_pages_that_were_left(void **unused)
{
    (void)unused;
    start_space(3);
    segments[2]->mapped = false;
    expect(operate_on_space, NULL, "the address space is damaged after vm_", "a segment has pages and does not know");
}

static struct heap *start_heap(unsigned blocks)
{
    struct heap *heap;

    fixture_start(RAM);
    heap = heap_create(&vm_heap, 0, 0);
    assert_false(IS_ERR(heap));
    for (unsigned i = 0; i < blocks; i++)
        assert_non_null(heap_alloc(heap, 60000));
    assert_false(fake_panics(operate_on_heap, heap));
    return heap;
}

static void damage_heap(unsigned blocks)
{
    struct heap *heap = start_heap(blocks);

    heap->used += 16;
    expect(operate_on_heap, heap, "the heap is damaged after heap_", "the heap's sums are wrong");
}

static void test_sums_of_a_small_heap(void **unused)
{
    (void)unused;
    damage_heap(3);
}

static void test_sums_of_a_large_heap(void **unused)
{
    (void)unused;
    damage_heap(500);
}

static void test_span_of_a_large_heap(void **unused)
{
    struct heap *heap = start_heap(500);
    struct span *span = *heap_span_of_slice((uintptr_t)heap_alloc(heap, 60000));

    (void)unused;
    span->fresh = (uint16_t)(span->objects + 1);
    expect(operate_on_heap, heap, "the heap is damaged after heap_", "the objects of a span are not as many");
}

/* Malloc's, where a block in a list is given back behind its back. */
static void test_program_heap(void **unused)
{
    (void)unused;
    fixture_start(RAM);
    assert_non_null(heap_program_alloc(100));
    assert_false(fake_panics(operate_on_heap, NULL));
    heap_program()->held += SLICE_SIZE;
    expect(operate_on_heap, NULL, "the heap is damaged after heap_program_", "the heap's sums are wrong");
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums_of_a_small_map),    cmocka_unit_test(test_sums_of_a_large_map),
        cmocka_unit_test(test_segment_of_a_small_map), cmocka_unit_test(test_segment_of_a_large_map),
        cmocka_unit_test(test_pages_that_were_left),   cmocka_unit_test(test_sums_of_a_small_heap),
        cmocka_unit_test(test_sums_of_a_large_heap),   cmocka_unit_test(test_span_of_a_large_heap),
        cmocka_unit_test(test_program_heap),
    };

    return harness_main(argc, argv, tests, ARRAY_LENGTH(tests));
}
