/* Each driver's own behaviour, and the conformance test over all of them and over one that an application could bring.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"
#include "fixture.h"
#include "harness.h"
#include "vm/driver.h"
#include "vm/fault.h"

#define PAGE VM_PAGE_SIZE
#define RAM (64 * MIB)
#define A LOW_BASE

static struct vm_statistics stats(const struct vm_segment *segment)
{
    return vm_segment_statistics(space, segment);
}

static struct fake_page must_walk(vaddr_t va)
{
    struct fake_page page;

    assert_true(fake_walk(space->mmu.root, va, &page));
    return page;
}

/* ---- anon ---- */

static void test_anon_zeroes(void **state)
{
    struct vm_segment *segment;
    size_t zeroed;

    (void)state;
    fixture_start(RAM);
    for (unsigned size = PAGE_4K; size <= PAGE_2M; size++) {
        segment = must_alloc(&vm_anon, VM_ANYWHERE, 4 * MIB, VM_RW | VM_PAGES_4K * (size + 1));
        for (size_t offset = 0; offset < 4 * MIB; offset += 8 * PAGE + 8)
            assert_int_equal(must_read(vm_start(segment) + offset), 0);
        vm_free(space, segment);
    }
    zeroed = fake_zeroed();
    segment = must_alloc(&vm_anon, A, 16 * PAGE, VM_RW | VM_NOZERO | VM_POPULATE);
    assert_true(fake_zeroed() - zeroed <= 8 * PAGE); /* tables */
    vm_free(space, segment);
    fixture_end();
}

static void test_anon_large_pages_stay_inside(void **state)
{
    struct vm_segment *segment;

    (void)state;
    fixture_start(RAM);
    segment = must_alloc(&vm_anon, A + MIB, 4 * MIB, VM_RW | VM_PAGES_2M);
    must_write(A + MIB, 1);         /* the 2 MiB around it begin before the segment */
    must_write(A + 5 * MIB - 8, 2); /* and these end behind it */
    must_write(A + 3 * MIB, 3);
    assert_int_equal(stats(segment).resident[PAGE_4K], 2);
    assert_int_equal(stats(segment).resident[PAGE_2M], 1);
    assert_int_equal(stats(segment).fallbacks, 0); /* nothing was wanting */
    assert_int_equal(must_walk(A + 3 * MIB).size, PAGE_2M);
    vm_free(space, segment);
    /* Small pages in the way: the large one is not for this place any more. */
    segment = must_alloc(&vm_anon, A, 2 * MIB, VM_RW | VM_PAGES_4K);
    must_write(A + MIB, 4);
    vm_free(space, segment);
    segment = must_alloc(&vm_anon, A, 4 * MIB, VM_RW | VM_PAGES_2M);
    must_write(A, 1);
    assert_int_equal(vm_advise(space, A, MIB, VM_ADVICE_DONTNEED), E_SUCCESS);
    must_write(A, 2);
    assert_int_equal(must_read(A), 2);
    assert_int_equal(must_walk(A).size, PAGE_4K);
    fixture_check();
    vm_free(space, segment);
    fixture_end();
}

/* Zeros of frames that were clean or are made so, in directories by turns, and at the edges of a segment. */
static void test_anon_large_touches(void **state)
{
    struct vm_segment *segment;
    size_t zeroed;
    paddr_t frame;

    (void)state;
    fixture_start(RAM);
    segment = must_alloc(&vm_anon, A, 2 * GIB, VM_RW | VM_PAGES_2M);
    for (unsigned i = 0; i < 4; i++) {
        vaddr_t va = A + (i % 2) * GIB + (2 * i + 1) * MIB;

        zeroed = fake_zeroed();
        assert_int_equal(must_read(va), 0);
        assert_true(fake_zeroed() - zeroed >= 2 * MIB);
        must_write(va, 1);
        assert_int_equal(stats(segment).faults[PAGE_2M], i + 1);
        fixture_check();
    }
    frame = frame_get(PAGE_2M);
    memset(phys_to_virt(frame), 0, 2 * MIB);
    frame_put_clean(frame, PAGE_2M);
    zeroed = fake_zeroed();
    assert_int_equal(must_read(A + 16 * MIB), 0);
    assert_int_equal(fake_zeroed(), zeroed);
    assert_int_equal(must_walk(A + 16 * MIB).frame, frame);
    frames_fail_nth(0); /* the next size, once */
    assert_int_equal(must_read(A + 20 * MIB), 0);
    frames_fail_nth(-1);
    assert_int_equal(stats(segment).faults_refused, 0);
    assert_int_equal(stats(segment).resident[PAGE_4K] + stats(segment).resident[PAGE_2M], 6);
    fixture_check();
    vm_free(space, segment);
    fixture_end();
}

static void test_anon_falls_back_without_2m_frames(void **state)
{
    struct vm_segment *segment;
    paddr_t frame, singles[64];
    size_t count = 0;

    (void)state;
    fixture_start(8 * MIB);
    while ((frame = frame_get(PAGE_2M)) != FRAME_NONE)
        singles[count++] = frame;
    segment = must_alloc(&vm_anon, A, 4 * MIB, VM_RW | VM_PAGES_2M);
    must_write(A + PAGE, 1);
    assert_int_equal(stats(segment).resident[PAGE_2M], 0);
    assert_int_equal(stats(segment).resident[PAGE_4K], 1);
    assert_int_equal(stats(segment).fallbacks, 1);
    assert_int_equal(stats(segment).faults[PAGE_4K], 1);
    assert_int_equal(must_read(A), 0);
    vm_free(space, segment);
    while (count > 0)
        frame_put(singles[--count], PAGE_2M);
    fixture_end();
}

/* From 1 GiB past 2 MiB to 4 KiB is one fallback; a fault that is refused is none. */
static void test_fallbacks_count_faults(void **state)
{
    struct vm_segment *segment;

    (void)state;
    fixture_start(8 * MIB);
    while (frame_get(PAGE_2M) != FRAME_NONE)
        continue;
    segment = must_alloc(&vm_anon, A, 4 * GIB, VM_RW | VM_PAGES_1G);
    must_write(A, 1);
    assert_int_equal(stats(segment).faults[PAGE_4K], 1);
    assert_int_equal(stats(segment).fallbacks, 1);
    while (frame_get(PAGE_4K) != FRAME_NONE)
        continue;
    assert_int_equal(fake_touch(A + GIB, VM_WRITE, 1), E_NOMEM);
    assert_int_equal(stats(segment).faults_refused, 1);
    assert_int_equal(stats(segment).fallbacks, 1);
    fixture_check();
}

static void test_anon_1g(void **state)
{
    struct vm_segment *segment;

    (void)state;
    fixture_start(3 * GIB);
    segment = must_alloc(&vm_anon, A, 2 * GIB, VM_RW | VM_PAGES_1G | VM_NOZERO);
    must_write(A + 5 * MIB, 1);
    assert_int_equal(stats(segment).resident[PAGE_1G], 1);
    assert_int_equal(stats(segment).faults[PAGE_1G], 1);
    must_write(A + GIB, 2); /* no second one is free and aligned: the next size */
    assert_int_equal(stats(segment).resident[PAGE_1G] + stats(segment).resident[PAGE_2M], 2);
    fixture_check();
    assert_int_equal(vm_unmap(space, A + 6 * MIB + PAGE, 4 * MIB), E_SUCCESS);
    fixture_check();
    assert_int_equal(must_read(A + 5 * MIB), 1);
    assert_int_equal(fake_touch(A + 8 * MIB, VM_READ, 0), E_FAULT);
    assert_int_equal(vm_unmap(space, A, 2 * GIB), E_SUCCESS);
    frames_drain();
    assert_true(frames_stats().free_1g >= 1);
    fake_cpu_features(PAGE_2M, 40); /* a CPU without them */
    segment = must_alloc(&vm_anon, A, GIB, VM_RW | VM_PAGES_1G);
    must_write(A, 1);
    assert_int_equal(stats(segment).resident[PAGE_2M], 1);
    vm_free(space, segment);
    fixture_end();
}

static void test_anon_populate(void **state)
{
    struct vm_segment *segment;
    size_t faults;

    (void)state;
    fixture_start(RAM);
    segment = must_alloc(&vm_anon, A + PAGE, 4 * MIB, VM_RW | VM_PAGES_2M | VM_POPULATE);
    assert_int_equal(stats(segment).resident[PAGE_2M], 1);
    assert_int_equal(stats(segment).resident[PAGE_4K], 512);
    faults = fake_faults();
    for (size_t offset = 0; offset < 4 * MIB; offset += PAGE)
        must_write(A + PAGE + offset, offset);
    assert_int_equal(fake_faults(), faults);
    assert_int_equal(vm_resize(space, segment, 5 * MIB), E_SUCCESS); /* what is new is backed as well */
    must_write(A + PAGE + 5 * MIB - PAGE, 1);
    assert_int_equal(fake_faults(), faults);
    fixture_check();
    vm_free(space, segment);
    /* More than there is. */
    assert_error(vm_alloc(space, &vm_anon, VM_ANYWHERE, 2 * RAM, VM_RW | VM_POPULATE), E_NOMEM);
    fixture_end();
}

static void test_anon_without_access(void **state)
{
    struct vm_segment *segment;

    (void)state;
    fixture_start(RAM);
    segment = must_alloc(&vm_anon, A, 4 * PAGE, 0);
    assert_int_equal(fake_touch(A, VM_READ, 0), E_ACCES);
    assert_int_equal(vm_protect(space, A, 2 * PAGE, VM_RW), E_SUCCESS);
    must_write(A, 1);
    assert_int_equal(vm_protect(space, A, 4 * PAGE, 0), E_SUCCESS);
    assert_int_equal(fake_touch(A, VM_READ, 0), E_ACCES);
    assert_int_equal(stats(segment).resident[PAGE_4K], 1); /* kept */
    assert_int_equal(vm_protect(space, A, 4 * PAGE, VM_READ), E_SUCCESS);
    assert_int_equal(must_read(A), 1);
    fixture_check();
    assert_int_equal(vm_unmap(space, A, 4 * PAGE), E_SUCCESS);
    fixture_end();
}

/* ---- heap ---- */

static void test_spans(void **state)
{
    (void)state;
    fixture_start(RAM);
    for (size_t size = PAGE; size <= VM_SPAN_MAX; size += size < 64 * PAGE ? PAGE : 61 * PAGE) {
        size_t faults = fake_faults(), tables = mmu_tables(&space->mmu);
        struct vm_segment *segment = must_alloc(&vm_heap, VM_ANYWHERE, size, VM_RW);
        vaddr_t start = vm_start(segment);

        assert_int_equal(start - PHYSMAP_BASE, virt_to_phys((void *)start));
        assert_true(fake_is_ram(start - PHYSMAP_BASE, size));
        for (size_t offset = 0; offset < size; offset += PAGE)
            assert_int_equal(must_read(start + offset), 0);
        memset((void *)start, 0xee, size);
        assert_int_equal(fake_faults(), faults);
        assert_int_equal(mmu_tables(&space->mmu), tables);
        assert_ptr_equal(vm_find(space, start + size - 1), segment);
        assert_int_equal(stats(segment).resident[PAGE_4K] * PAGE + stats(segment).resident[PAGE_2M] * 2 * MIB, size);
        fixture_check();
        vm_free(space, segment);
    }
    fixture_end();
}

static void test_span_sizes_waste_nothing(void **state)
{
    struct vm_segment *segment;
    struct trace before, after;

    (void)state;
    fixture_start(RAM);
    segment = must_alloc(&vm_heap, VM_ANYWHERE, 5 * PAGE, VM_RW);
    vm_free(space, segment);
    trace_take(&before);
    segment = must_alloc(&vm_heap, VM_ANYWHERE, 5 * PAGE, VM_RW);
    trace_take(&after);
    assert_int_equal(before.frames - after.frames, 5);
    vm_free(space, segment);
    fixture_end();
}

static void test_span_functions(void **state)
{
    void *span, *other;
    size_t zeroed;

    (void)state;
    fixture_start(RAM);
    zeroed = fake_zeroed();
    span = vm_span_alloc(VM_SPAN_MAX);
    assert_non_null(span);
    assert_true(fake_zeroed() - zeroed <= 16 * PAGE); /* contents are undefined: not zeroed */
    memset(span, 1, VM_SPAN_MAX);
    other = vm_span_alloc(4 * VM_SPAN_MAX); /* a slot: backed on touch */
    assert_non_null(other);
    must_write((vaddr_t)other + 8, 5);
    assert_null(vm_span_alloc(0));
    assert_null(vm_span_alloc(PAGE - 1));
    vm_span_free(span);
    vm_span_free(other);
    fixture_end();
}

static void span_free(void *span)
{
    vm_span_free(span);
}

static void test_bad_span_frees_panic(void **state)
{
    struct vm_segment *anon;
    char *span, *freed;

    (void)state;
    fixture_start(RAM);
    anon = must_alloc(&vm_anon, VM_ANYWHERE, PAGE, VM_RW);
    span = vm_span_alloc(4 * PAGE);
    freed = vm_span_alloc(4 * PAGE);
    vm_span_free(freed);
    assert_true(fake_panics(span_free, NULL));
    assert_true(fake_panics(span_free, span + PAGE));
    assert_true(fake_panics(span_free, span + 8));
    assert_true(fake_panics(span_free, freed));
    assert_true(fake_panics(span_free, (void *)vm_start(anon)));
    vm_free(space, anon);
    vm_span_free(span);
    fixture_end();
}

static void test_spans_run_out(void **state)
{
    static void *spans[4096];
    size_t count = 0;

    (void)state;
    fixture_start(8 * MIB);
    while ((spans[count] = vm_span_alloc(64 * PAGE)) != NULL)
        count++;
    assert_in_range(count, 24, 34);
    assert_int_equal(frames_stats().free + 64 * count + vm_bookkeeping_frames(space) + 1, frames_stats().total);
    fixture_check();
    while (count > 0)
        vm_span_free(spans[--count]);
    fixture_end();
}

static void test_heap_at_physical_addresses(void **state)
{
    struct vm_segment *segment, *taken;

    (void)state;
    fixture_start(RAM);
    segment = must_alloc_at(&vm_heap, 32 * MIB, 4 * MIB, VM_RW);
    assert_int_equal(vm_start(segment), PHYSMAP_BASE + 32 * MIB);
    must_write(vm_start(segment), 1);
    assert_error(vm_alloc_at(space, &vm_heap, 34 * MIB, PAGE, VM_RW), E_BUSY);
    assert_error(vm_alloc_at(space, &vm_heap, 0x100000 + RAM, PAGE, VM_RW), E_INVAL);
    assert_error(vm_alloc_at(space, &vm_heap, 0x9f000, PAGE, VM_RW), E_INVAL);
    assert_error(vm_alloc_at(space, &vm_heap, 40 * MIB, PAGE, VM_RW | VM_CACHE_WC), E_INVAL);
    taken = must_alloc_at(&vm_heap, 36 * MIB, PAGE, VM_RW);
    assert_int_equal(vm_resize(space, segment, 5 * MIB), E_NOMEM);
    vm_free(space, taken);
    assert_int_equal(vm_resize(space, segment, 5 * MIB), E_SUCCESS);
    assert_int_equal(must_read(vm_start(segment)), 1);
    assert_int_equal(must_read(vm_start(segment) + 4 * MIB), 0);
    fixture_check();
    vm_free(space, segment);
    fixture_end();
}

static void test_spans_cannot_be_cut(void **state)
{
    struct vm_segment *segment;
    struct trace before, after;
    vaddr_t start;

    (void)state;
    fixture_start(RAM);
    segment = must_alloc(&vm_heap, VM_ANYWHERE, 16 * PAGE, VM_RW);
    start = vm_start(segment);
    must_write(start, 1);
    trace_take(&before);
    assert_error(vm_split(space, segment, start + PAGE), E_NOTSUP);
    assert_int_equal(vm_protect(space, start, 16 * PAGE, VM_READ), E_NOTSUP);
    assert_int_equal(vm_unmap(space, start, PAGE), E_NOTSUP);
    trace_take(&after);
    trace_compare(&before, &after, "cutting a span", 0);
    assert_int_equal(must_read(start), 1);
    vm_free(space, segment);
    fixture_end();
}

/* The image and boot modules are not the frame allocator's, yet they are RAM, and in use. */
static void test_heap_at_declared_ram(void **state)
{
    static const struct frame_range declared[] = {{0, 0x1000}, {MIB + RAM, 2 * MIB + RAM}};

    (void)state;
    fixture_start(RAM);
    frames_declare_ram(declared, ARRAY_LENGTH(declared));
    assert_error(vm_alloc_at(space, &vm_heap, 0, PAGE, VM_RW), E_BUSY);
    assert_error(vm_alloc_at(space, &vm_heap, MIB + RAM, PAGE, VM_RW), E_BUSY);
    assert_error(vm_alloc_at(space, &vm_heap, 2 * MIB + RAM - PAGE, PAGE, VM_RW), E_BUSY);
    assert_error(vm_alloc_at(space, &vm_heap, 2 * MIB + RAM, PAGE, VM_RW), E_INVAL);
    fixture_end();
}

/* Frames to have are those just put back, still in the cache of the CPU; asking for others in vain leaves them so. */
static void test_blocked_span_leaves_the_magazines(void **state)
{
    struct vm_segment *span, *wall;
    paddr_t hot[8];
    size_t free_before;

    (void)state;
    fixture_start(RAM);
    span = must_alloc_at(&vm_heap, 32 * MIB, MIB, VM_RW);
    wall = must_alloc_at(&vm_heap, 33 * MIB, PAGE, VM_RW);
    for (size_t i = 0; i < ARRAY_LENGTH(hot); i++)
        hot[i] = frame_get(PAGE_4K);
    for (size_t i = 0; i < ARRAY_LENGTH(hot); i++)
        frame_put(hot[i], PAGE_4K);
    free_before = frames_stats().free;
    assert_int_equal(vm_resize(space, span, MIB + 64 * PAGE), E_NOMEM);
    assert_int_equal(frames_stats().free, free_before);
    for (size_t i = ARRAY_LENGTH(hot); i-- > 0;)
        assert_int_equal(frame_get(PAGE_4K), hot[i]);
    for (size_t i = 0; i < ARRAY_LENGTH(hot); i++)
        frame_put(hot[i], PAGE_4K);
    vm_free(space, wall);
    vm_free(space, span);
    fixture_end();
}

/* Takes all RAM and puts every second frame back: no two free ones are neighbours. The frames held, their number. */
static paddr_t *scatter_ram(size_t *held)
{
    paddr_t *frames = malloc(sizeof(paddr_t) * frames_stats().total), frame;
    size_t count = 0;

    for (*held = 0; (frame = frame_get(PAGE_4K)) != FRAME_NONE;)
        frames[count++] = frame;
    for (size_t i = 0; i < count; i++) {
        if (frames[i] & VM_PAGE_SIZE)
            frame_put(frames[i], PAGE_4K);
        else
            frames[(*held)++] = frames[i];
    }
    return frames;
}

static void test_small_spans_in_scattered_ram(void **state)
{
    size_t held, faults;
    paddr_t *frames;

    (void)state;
    fixture_start(8 * MIB);
    frames = scatter_ram(&held);
    assert_true(frame_get_run(1) == FRAME_NONE);
    for (size_t size = PAGE; size <= MIB; size *= 2) {
        struct vm_segment *segment = must_alloc(&vm_heap, VM_ANYWHERE, size, VM_RW);

        faults = fake_faults();
        for (size_t offset = 0; offset < size; offset += PAGE)
            assert_int_equal(must_read(vm_start(segment) + offset), 0);
        must_write(vm_start(segment) + size - 8, size);
        assert_int_equal(fake_faults(), faults); /* as sure as a run of frames */
        fixture_check();
        vm_free(space, segment);
    }
    assert_error(vm_alloc(space, &vm_heap, VM_ANYWHERE, VM_SPAN_MAX * 4, VM_RW | VM_POPULATE), E_NOMEM);
    while (held > 0)
        frame_put(frames[--held], PAGE_4K);
    free(frames);
    fixture_end();
}

/* The permanent map shows all RAM as write back: a second type for the same frame is undefined. */
static void test_memory_has_the_ordinary_type(void **state)
{
    static const vm_flags_t caches[] = {VM_CACHE_WC, VM_CACHE_WT, VM_CACHE_UC};
    static const struct vm_segment_driver *const drivers[] = {&vm_anon, &vm_heap, &vm_stack};
    static const size_t sizes[] = {32 * PAGE, 4 * MIB};
    struct trace before, after;

    (void)state;
    fixture_start(RAM);
    trace_take(&before);
    for (size_t d = 0; d < ARRAY_LENGTH(drivers); d++) {
        for (size_t c = 0; c < ARRAY_LENGTH(caches); c++) {
            for (size_t s = 0; s < ARRAY_LENGTH(sizes); s++) {
                assert_error(vm_alloc(space, drivers[d], VM_ANYWHERE, sizes[s], VM_RW | caches[c]), E_INVAL);
                assert_error(vm_alloc(space, drivers[d], A, sizes[s], VM_RW | VM_POPULATE | caches[c]), E_INVAL);
            }
        }
    }
    trace_take(&after);
    trace_compare(&before, &after, "other memory types for RAM", 0);
    fixture_end();
}

/* ---- phys ---- */

static void test_windows(void **state)
{
    static const vm_flags_t caches[] = {VM_CACHE_WB, VM_CACHE_WC, VM_CACHE_WT, VM_CACHE_UC};

    (void)state;
    fixture_start(RAM);
    for (size_t i = 0; i < ARRAY_LENGTH(caches); i++) {
        for (vm_flags_t protection = VM_READ; protection <= VM_RW; protection += VM_WRITE) {
            struct vm_segment *window = must_alloc_at(&vm_phys, 2 * GIB + PAGE, 4 * MIB, protection | caches[i]);
            size_t faults = fake_faults();

            for (size_t offset = 0; offset < 4 * MIB; offset += PAGE) {
                struct fake_page page = must_walk(vm_start(window) + offset);

                assert_int_equal(page.frame + (vm_start(window) + offset - page.start), 2 * GIB + PAGE + offset);
                assert_int_equal(page.cache, caches[i]);
                assert_int_equal(page.writable, protection == VM_RW);
                assert_false(page.executable);
            }
            assert_int_equal(fake_touch(vm_start(window), VM_READ, 0), E_SUCCESS);
            assert_int_equal(fake_faults(), faults); /* all of it is mapped from the start */
            fixture_check();
            vm_free(space, window);
        }
    }
    fixture_end();
}

static void test_aligned_windows_use_large_pages(void **state)
{
    struct vm_segment *window;

    (void)state;
    fixture_start(RAM);
    window = must_alloc_at(&vm_phys, 4 * GIB, 2 * GIB, VM_RW | VM_CACHE_UC);
    assert_int_equal(stats(window).resident[PAGE_1G], 2);
    vm_free(space, window);
    window = must_alloc_at(&vm_phys, 2 * GIB, 6 * MIB, VM_RW | VM_CACHE_WC);
    assert_int_equal(stats(window).resident[PAGE_2M], 3);
    assert_int_equal(stats(window).resident[PAGE_4K], 0);
    vm_free(space, window);
    window = must_alloc_at(&vm_phys, 2 * GIB, 6 * MIB, VM_RW | VM_PAGES_4K);
    assert_int_equal(stats(window).resident[PAGE_4K], 6 * MIB / PAGE);
    vm_free(space, window);
    fixture_end();
}

static void test_window_refused(void **state)
{
    struct trace before, after;
    paddr_t top = (paddr_t)1 << mmu_physical_bits();
    struct vm_segment *window;

    (void)state;
    fixture_start(RAM);
    trace_take(&before);
    assert_error(vm_alloc_at(space, &vm_phys, 2 * MIB, PAGE, VM_RW), E_BUSY); /* RAM */
    assert_error(vm_alloc_at(space, &vm_phys, MIB - PAGE, 2 * PAGE, VM_RW), E_BUSY);
    assert_error(vm_alloc_at(space, &vm_phys, MIB + RAM - PAGE, 2 * PAGE, VM_RW), E_BUSY);
    assert_error(vm_alloc_at(space, &vm_phys, 0, 4 * GIB, VM_RW), E_BUSY);
    assert_error(vm_alloc_at(space, &vm_phys, top, PAGE, VM_RW), E_RANGE);
    assert_error(vm_alloc_at(space, &vm_phys, top - PAGE, 2 * PAGE, VM_RW), E_RANGE);
    trace_take(&after);
    trace_compare(&before, &after, "windows that are refused", 0);
    window = must_alloc_at(&vm_phys, top - PAGE, PAGE, VM_RW);
    assert_int_equal(vm_resize(space, window, 2 * PAGE), E_RANGE);
    vm_free(space, window);
    window = must_alloc_at(&vm_phys, MIB - 16 * PAGE, 15 * PAGE, VM_RW); /* the hole below 1 MiB */
    assert_int_equal(vm_resize(space, window, 16 * PAGE), E_SUCCESS);
    assert_int_equal(vm_resize(space, window, 17 * PAGE), E_BUSY);
    assert_int_equal(vm_size(window), 16 * PAGE);
    fixture_check();
    vm_free(space, window);
    fixture_end();
}

static void test_parts_of_windows(void **state)
{
    struct vm_segment *window, *upper;
    vaddr_t start;

    (void)state;
    fixture_start(RAM);
    window = must_alloc_at(&vm_phys, 2 * GIB, 4 * MIB, VM_RW | VM_CACHE_WC);
    start = vm_start(window);
    upper = vm_split(space, window, start + MIB);
    assert_false(IS_ERR(upper));
    assert_int_equal(vm_resize(space, upper, 4 * MIB), E_SUCCESS); /* grows along its own physical range */
    assert_int_equal(must_walk(start + 5 * MIB - PAGE).frame +
                         (start + 5 * MIB - PAGE - must_walk(start + 5 * MIB - PAGE).start),
                     2 * GIB + 5 * MIB - PAGE);
    assert_int_equal(vm_unmap(space, start + 2 * MIB, PAGE), E_SUCCESS);
    fixture_check();
    assert_int_equal(vm_unmap(space, start, 5 * MIB), E_SUCCESS);
    fixture_end();
}

/* ---- stack ---- */

static void test_stack(void **state)
{
    struct vm_segment *stack;
    vaddr_t start, end;

    (void)state;
    fixture_start(RAM);
    stack = must_alloc(&vm_stack, VM_ANYWHERE, MIB, VM_RW | VM_PAGES_2M);
    start = vm_start(stack);
    end = start + MIB;
    for (vaddr_t va = end - 8; va > end - 16 * PAGE; va -= 1000)
        must_write(align_down(va, 8), va);
    assert_int_equal(stats(stack).resident[PAGE_4K], 16);
    must_write(start + VM_STACK_GUARD, 1); /* far below the others */
    assert_int_equal(stats(stack).resident[PAGE_4K], 17);
    for (vaddr_t va = start; va < start + VM_STACK_GUARD; va += PAGE) {
        assert_int_equal(fake_touch(va, VM_WRITE, 1), E_FAULT);
        assert_int_equal(fake_touch(va + PAGE - 1, VM_READ, 1), E_FAULT);
        assert_true(vm_stack_overflow(stack, va));
        assert_true(vm_stack_overflow(stack, va + PAGE - 1));
    }
    assert_false(vm_stack_overflow(stack, start - 1));
    assert_false(vm_stack_overflow(stack, start + VM_STACK_GUARD));
    assert_false(vm_stack_overflow(stack, end));
    assert_int_equal(fake_touch(end, VM_READ, 1), E_FAULT);
    assert_int_equal(fake_touch(end - 1, VM_EXEC, 1), E_ACCES);
    fixture_check();
    vm_free(space, stack);
    assert_error(vm_alloc(space, &vm_stack, VM_ANYWHERE, VM_STACK_GUARD, VM_RW), E_INVAL);
    fixture_end();
}

static void test_stack_guard_is_never_backed(void **state)
{
    struct vm_segment *stack, *anon;
    vaddr_t start;

    (void)state;
    fixture_start(RAM);
    stack = must_alloc(&vm_stack, A, MIB, VM_RW | VM_POPULATE);
    assert_int_equal(stats(stack).resident[PAGE_4K], (MIB - VM_STACK_GUARD) / PAGE);
    assert_int_equal(fake_touch(A, VM_WRITE, 1), E_FAULT);
    assert_int_equal(vm_advise(space, A, MIB, VM_ADVICE_WILLNEED), E_SUCCESS);
    assert_int_equal(fake_touch(A + VM_STACK_GUARD - 1, VM_WRITE, 1), E_FAULT);
    assert_int_equal(vm_protect(space, A, MIB, VM_READ), E_SUCCESS);
    assert_int_equal(vm_protect(space, A, MIB, VM_RW), E_SUCCESS);
    assert_int_equal(fake_touch(A, VM_WRITE, 1), E_FAULT);
    start = vm_start(stack);
    anon = must_alloc(&vm_anon, start + MIB, PAGE, VM_RW);
    assert_false(vm_stack_overflow(anon, start + MIB));
    vm_free(space, anon);
    vm_free(space, stack);
    fixture_end();
}

/* ---- guard ---- */

static void test_guard(void **state)
{
    struct vm_segment *guard;
    struct trace before, after;

    (void)state;
    fixture_start(RAM);
    guard = must_alloc(&vm_guard, A, 16 * PAGE, VM_RW | VM_POPULATE);
    trace_take(&before);
    for (vm_flags_t access = VM_READ; access <= VM_EXEC; access <<= 1)
        assert_true(fake_touch(A + 5 * PAGE, access, 1) != E_SUCCESS);
    trace_take(&after);
    trace_compare(&before, &after, "touching a guard", 0);
    assert_int_equal(vm_unmap(space, A + 4 * PAGE, PAGE), E_SUCCESS);
    fixture_check();
    assert_int_equal(vm_unmap(space, A, 16 * PAGE), E_SUCCESS);
    (void)guard;
    fixture_end();
}

/* ---- a driver whose fault waits, while other threads do something to its segment ---- */

static void (*meanwhile)(struct vm_segment *);

static struct vm_segment *waiting_alloc(struct address_space *in, vaddr_t start, size_t size, vm_flags_t flags);

static error_t waiting_fault(struct address_space *in, struct vm_segment *segment)
{
    paddr_t frame = vm_frame_get();

    assert_int_not_equal(frame, FRAME_NONE);
    meanwhile(segment);
    error_t error = vm_segment_map(in, segment, align_down(vm_fault_info()->address, PAGE), frame, PAGE_4K);

    if (error)
        vm_frame_put(frame);
    return error;
}

static const struct vm_segment_driver waiting = {
    .vm_alloc = waiting_alloc,
    .vm_free = vm_segment_free_owned,
    .vm_fault = waiting_fault,
    .name = "waiting",
    .properties = VM_DRIVER_WAITS | VM_DRIVER_MERGES | VM_DRIVER_GENERAL_REGISTERS,
    .split = vm_segment_split_nothing,
    .protect = vm_segment_protect_mapped,
};

static struct vm_segment *waiting_alloc(struct address_space *in, vaddr_t start, size_t size, vm_flags_t flags)
{
    return vm_segment_create(in, &waiting, start, size, flags);
}

static void assert_stays(const struct vm_segment *segment, vaddr_t start)
{
    assert_int_equal(segment->magic, VM_SEGMENT_ALIVE);
    assert_int_equal(vm_start(segment), start);
    assert_ptr_equal(vm_find(space, start), segment);
}

static void free_it(struct vm_segment *segment)
{
    vaddr_t start = vm_start(segment);

    vm_free(space, segment);
    assert_stays(segment, start);
}

bool segment_free_whole(struct address_space *, vaddr_t, size_t); /* vm/segments.h, of munmap */

static void unmap_it(struct vm_segment *segment)
{
    vaddr_t start = vm_start(segment);

    assert_false(segment_free_whole(space, start, vm_size(segment)));
    assert_int_equal(vm_unmap(space, start, vm_size(segment)), E_BUSY);
    assert_int_equal(vm_unmap(space, start, PAGE), E_BUSY);
    assert_stays(segment, start);
}

/* What is below becomes like it again. */
static void protect_below(struct vm_segment *segment)
{
    vaddr_t start = vm_start(segment);

    assert_int_equal(vm_protect(space, start - PAGE, PAGE, VM_RW), E_SUCCESS);
    assert_int_equal(vm_join(space, vm_find(space, start - PAGE), segment), E_BUSY);
    assert_stays(segment, start);
}

static void test_waiting_segment_stays(void **state)
{
    struct vm_segment *segment;
    vaddr_t start;

    (void)state;
    fixture_start(RAM);
    segment = must_alloc(&waiting, VM_ANYWHERE, 2 * PAGE, VM_RW);
    start = vm_start(segment);
    meanwhile = unmap_it;
    assert_int_equal(vm_wait_fault(start, VM_WRITE, false), E_SUCCESS);
    must_walk(start);
    assert_int_equal(vm_protect(space, start, PAGE, VM_READ), E_SUCCESS);
    meanwhile = protect_below;
    assert_int_equal(vm_wait_fault(start + PAGE, VM_WRITE, false), E_SUCCESS);
    vm_merge(space, start + PAGE);
    assert_ptr_equal(vm_find(space, start), vm_find(space, start + PAGE));
    assert_int_equal(vm_unmap(space, start + PAGE, PAGE), E_SUCCESS);
    assert_int_equal(vm_advise(space, start, PAGE, VM_ADVICE_DONTNEED), E_SUCCESS);
    meanwhile = free_it;
    vm_segment_unmap(space, vm_find(space, start), start, PAGE, true);
    assert_int_equal(vm_wait_fault(start, VM_WRITE, false), E_FAULT);
    assert_null(vm_find(space, start));
    fixture_end();
}

/* ---- a driver as an application would write it: every word is its offset, computed on first touch ---- */

struct computed {
    size_t first;    /* offset of the segment's first byte in the whole */
    uint64_t served; /* pages computed */
};

static struct vm_fault_info last_fault;

static struct computed *computed_of(const struct vm_segment *segment)
{
    return segment->own;
}

static struct vm_segment *computed_alloc(struct address_space *in, vaddr_t start, size_t size, vm_flags_t flags);

static void computed_free(struct address_space *in, struct vm_segment *segment)
{
    vm_segment_unmap(in, segment, segment->start, segment->size, true);
    vm_frame_put(virt_to_phys(segment->own));
    vm_segment_destroy(in, segment);
}

static error_t computed_fault(struct address_space *in, struct vm_segment *segment)
{
    vaddr_t page = align_down(vm_fault_info()->address, PAGE);
    paddr_t frame;
    error_t error;

    last_fault = *vm_fault_info();
    if (vm_fault_info()->present)
        return E_ACCES;
    frame = vm_frame_get();
    if (frame == FRAME_NONE)
        return E_NOMEM;
    for (size_t i = 0; i < PAGE / 8; i++)
        ((uint64_t *)vm_frame_memory(frame))[i] = computed_of(segment)->first + (page - segment->start) + 8 * i;
    error = vm_segment_map(in, segment, page, frame, PAGE_4K);
    if (error)
        vm_frame_put(frame);
    else
        computed_of(segment)->served++;
    return error;
}

static error_t computed_split(struct address_space *in, struct vm_segment *first, struct vm_segment *second)
{
    paddr_t frame = vm_frame_get();

    (void)in;
    if (frame == FRAME_NONE)
        return E_NOMEM;
    second->own = vm_frame_memory(frame);
    *computed_of(second) = (struct computed){computed_of(first)->first + first->size, 0};
    return E_SUCCESS;
}

static void computed_join(struct address_space *in, struct vm_segment *first, struct vm_segment *second)
{
    (void)in, (void)first;
    vm_frame_put(virt_to_phys(second->own));
}

static error_t computed_advise(struct address_space *in, struct vm_segment *segment, vaddr_t va, size_t size,
                               int advice)
{
    if (advice == VM_ADVICE_DONTNEED)
        vm_segment_unmap(in, segment, va, size, true);
    return E_SUCCESS;
}

static void computed_describe(const struct vm_segment *segment, char *buffer, size_t size)
{
    snprintf(buffer, size, "from %zu, %lu pages computed", computed_of(segment)->first,
             (unsigned long)computed_of(segment)->served);
}

static const struct vm_segment_driver computed = {
    .vm_alloc = computed_alloc,
    .vm_free = computed_free,
    .vm_resize = vm_segment_resize_owned,
    .vm_fault = computed_fault,
    .name = "computed",
    .protect = vm_segment_protect_mapped,
    .split = computed_split,
    .join = computed_join,
    .advise = computed_advise,
    .describe = computed_describe,
};

static struct vm_segment *computed_alloc(struct address_space *in, vaddr_t start, size_t size, vm_flags_t flags)
{
    paddr_t frame = vm_frame_get();
    struct vm_segment *segment;

    if (frame == FRAME_NONE)
        return ERR_PTR(E_NOMEM);
    segment = vm_segment_create(in, &computed, start, size, flags & ~VM_POPULATE);
    if (IS_ERR(segment)) {
        vm_frame_put(frame);
        return segment;
    }
    segment->own = vm_frame_memory(frame);
    *computed_of(segment) = (struct computed){0, 0};
    return segment;
}

static uint64_t computed_fresh(size_t offset)
{
    return offset;
}

static void test_application_driver(void **state)
{
    struct vm_segment *segment;
    struct trace trace;
    size_t saves;

    (void)state;
    fixture_start(RAM);
    assert_int_equal(vm_driver_register(&computed), E_SUCCESS);
    segment = must_alloc(vm_driver("computed"), VM_ANYWHERE, MIB, VM_READ);
    saves = fake_extended_state_saves();
    assert_int_equal(must_read(vm_start(segment) + 12345 * 8), 12345 * 8);
    assert_int_equal(fake_extended_state_saves(), saves + 1);            /* ordinary code: its registers are saved */
    assert_int_equal(last_fault.address, vm_start(segment) + 12345 * 8); /* exact */
    assert_int_equal(last_fault.access, VM_READ);
    assert_false(last_fault.present);
    trace_take(&trace);
    assert_non_null(strstr(trace.map, "1 pages computed"));
    vm_free(space, segment);
    /* The core's own drivers do without. */
    segment = must_alloc(&vm_anon, VM_ANYWHERE, MIB, VM_RW);
    saves = fake_extended_state_saves();
    must_write(vm_start(segment), 1);
    assert_int_equal(fake_extended_state_saves(), saves);
    vm_free(space, segment);
    fixture_end();
}

/* A driver whose fault touches demand-backed memory itself: the record of the outer fault survives the inner one. */
static vaddr_t nested_target;

static error_t nested_fault(struct address_space *in, struct vm_segment *segment)
{
    struct vm_fault_info outer = *vm_fault_info();
    paddr_t frame;

    if (fake_touch(nested_target, VM_WRITE, 3) != E_SUCCESS)
        return E_FAULT;
    assert_memory_equal(&outer, vm_fault_info(), sizeof(outer));
    frame = vm_frame_get();
    assert_true(frame != FRAME_NONE);
    return vm_segment_map(in, segment, align_down(vm_fault_info()->address, PAGE), frame, PAGE_4K);
}

static const struct vm_segment_driver nested;

static struct vm_segment *nested_alloc(struct address_space *in, vaddr_t start, size_t size, vm_flags_t flags)
{
    return vm_segment_create(in, &nested, start, size, flags);
}

static const struct vm_segment_driver nested = {
    .vm_alloc = nested_alloc,
    .vm_free = vm_segment_free_owned,
    .vm_fault = nested_fault,
    .name = "nested",
    .properties = VM_DRIVER_GENERAL_REGISTERS,
};

static void test_fault_inside_a_fault(void **state)
{
    struct vm_segment *segment, *target;

    (void)state;
    fixture_start(RAM);
    target = must_alloc(&vm_anon, A, PAGE, VM_RW);
    nested_target = A;
    segment = must_alloc(&nested, A + MIB, PAGE, VM_RW);
    assert_int_equal(fake_touch(A + MIB + 123, VM_WRITE, 7), E_SUCCESS);
    assert_int_equal(must_read(A) & 0xff, 3);
    vm_free(space, segment);
    vm_free(space, target);
    fixture_end();
}

/* A driver with nothing but what it must have. */
static const struct vm_segment_driver least;

static struct vm_segment *least_alloc(struct address_space *in, vaddr_t start, size_t size, vm_flags_t flags)
{
    return vm_segment_create(in, &least, start, size, flags);
}

static error_t least_fault(struct address_space *in, struct vm_segment *segment)
{
    (void)in, (void)segment;
    return E_FAULT;
}

static const struct vm_segment_driver least = {
    .vm_alloc = least_alloc, .vm_free = vm_segment_destroy, .vm_fault = least_fault, .name = "least"};

/* ---- conformance ---- */

static void conform(const struct vm_segment_driver *driver, struct conformance_options options)
{
    fixture_start(RAM);
    conformance_run(driver, &options);
    fixture_end();
}

static void test_conformance_anon(void **state)
{
    (void)state;
    conform(&vm_anon, (struct conformance_options){0});
}

static void test_conformance_anon_2m(void **state)
{
    (void)state;
    conform(&vm_anon, (struct conformance_options){.size = 6 * MIB, .flags = VM_RW | VM_PAGES_2M});
}

static void test_conformance_anon_read_only(void **state)
{
    (void)state;
    conform(&vm_anon, (struct conformance_options){.flags = VM_READ | VM_PAGES_4K});
}

static void test_conformance_heap(void **state)
{
    (void)state;
    conform(&vm_heap, (struct conformance_options){.may_refuse = true, .physical = 32 * MIB});
}

static void test_conformance_heap_slots(void **state)
{
    (void)state;
    conform(&vm_heap, (struct conformance_options){.size = 4 * MIB, .may_refuse = true, .physical = 32 * MIB});
}

static void test_conformance_phys(void **state)
{
    (void)state;
    conform(&vm_phys,
            (struct conformance_options){.flags = VM_RW | VM_CACHE_UC, .no_contents = true, .physical = 3 * GIB});
}

static void test_conformance_phys_2m(void **state)
{
    (void)state;
    conform(&vm_phys, (struct conformance_options){
                          .size = 4 * MIB, .flags = VM_RW | VM_CACHE_WC, .no_contents = true, .physical = 3 * GIB});
}

static void test_conformance_stack(void **state)
{
    (void)state;
    conform(&vm_stack, (struct conformance_options){.first = VM_STACK_GUARD, .size = 128 * PAGE});
}

static void test_conformance_image(void **state)
{
    (void)state;
    conform(&vm_image, (struct conformance_options){0});
}

static void test_conformance_guard(void **state)
{
    (void)state;
    conform(&vm_guard, (struct conformance_options){.never_backed = true});
}

static void test_conformance_computed(void **state)
{
    (void)state;
    conform(&computed, (struct conformance_options){.fresh = computed_fresh});
}

static void test_conformance_least(void **state)
{
    (void)state;
    conform(&least, (struct conformance_options){.never_backed = true});
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_anon_zeroes),
        cmocka_unit_test(test_anon_large_pages_stay_inside),
        cmocka_unit_test(test_anon_large_touches),
        cmocka_unit_test(test_anon_falls_back_without_2m_frames),
        cmocka_unit_test(test_fallbacks_count_faults),
        cmocka_unit_test(test_anon_1g),
        cmocka_unit_test(test_anon_populate),
        cmocka_unit_test(test_anon_without_access),
        cmocka_unit_test(test_spans),
        cmocka_unit_test(test_span_sizes_waste_nothing),
        cmocka_unit_test(test_span_functions),
        cmocka_unit_test(test_bad_span_frees_panic),
        cmocka_unit_test(test_spans_run_out),
        cmocka_unit_test(test_heap_at_physical_addresses),
        cmocka_unit_test(test_spans_cannot_be_cut),
        cmocka_unit_test(test_heap_at_declared_ram),
        cmocka_unit_test(test_blocked_span_leaves_the_magazines),
        cmocka_unit_test(test_small_spans_in_scattered_ram),
        cmocka_unit_test(test_memory_has_the_ordinary_type),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_aligned_windows_use_large_pages),
        cmocka_unit_test(test_window_refused),
        cmocka_unit_test(test_parts_of_windows),
        cmocka_unit_test(test_stack),
        cmocka_unit_test(test_stack_guard_is_never_backed),
        cmocka_unit_test(test_guard),
        cmocka_unit_test(test_application_driver),
        cmocka_unit_test(test_fault_inside_a_fault),
        cmocka_unit_test(test_conformance_anon),
        cmocka_unit_test(test_conformance_anon_2m),
        cmocka_unit_test(test_conformance_anon_read_only),
        cmocka_unit_test(test_conformance_heap),
        cmocka_unit_test(test_conformance_heap_slots),
        cmocka_unit_test(test_conformance_phys),
        cmocka_unit_test(test_conformance_phys_2m),
        cmocka_unit_test(test_conformance_stack),
        cmocka_unit_test(test_conformance_image),
        cmocka_unit_test(test_conformance_guard),
        cmocka_unit_test(test_waiting_segment_stays),
        cmocka_unit_test(test_conformance_computed),
        cmocka_unit_test(test_conformance_least),
    };

    return harness_main(argc, argv, tests, ARRAY_LENGTH(tests));
}
