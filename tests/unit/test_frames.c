/*
 * vm/frames.h against a model that knows, for every 4 KiB of RAM, whether it is handed out.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "harness.h"
#include "vm/frames.h"

#define FRAME VM_PAGE_SIZE
#define PER_2M (page_bytes(PAGE_2M) / FRAME)
#define PER_1G (page_bytes(PAGE_1G) / FRAME)
#define STATE (QUIRE_THREADS ? 4u : 2u) /* bytes that there are of each 2 MiB from the start */

/* ---- the model ---- */

static struct {
    const struct frame_range *ranges;
    size_t count;
    size_t frames; /* of RAM */
    size_t out;
    uint8_t *owned; /* by frame number: 1 handed out */
} model;

static void start(const struct frame_range *ranges, size_t count)
{
    paddr_t end = ranges[count - 1].end;

    fake_ram(ranges, count);
    model.ranges = ranges;
    model.count = count;
    model.owned = calloc(end / FRAME, 1);
    assert_non_null(model.owned);
    for (size_t i = 0; i < count; i++)
        model.frames += (ranges[i].end - ranges[i].start) / FRAME;
    assert_int_equal(frames_init(ranges, count), E_SUCCESS);
}

static void model_get(paddr_t first, size_t frames)
{
    assert_true(is_aligned(first, FRAME));
    assert_true(fake_is_ram(first, frames * FRAME));
    for (size_t i = 0; i < frames; i++) {
        if (model.owned[first / FRAME + i])
            fail_msg("frame %#lx was handed out twice", (unsigned long)(first + i * FRAME));
        model.owned[first / FRAME + i] = 1;
    }
    model.out += frames;
}

static void model_put(paddr_t first, size_t frames)
{
    for (size_t i = 0; i < frames; i++) {
        assert_int_equal(model.owned[first / FRAME + i], 1);
        model.owned[first / FRAME + i] = 0;
    }
    model.out -= frames;
}

static paddr_t get(enum page_size size)
{
    paddr_t frame = frame_get(size);

    if (frame != FRAME_NONE) {
        assert_true(is_aligned(frame, page_bytes(size)));
        model_get(frame, page_bytes(size) / FRAME);
    }
    return frame;
}

static void put(paddr_t frame, enum page_size size)
{
    model_put(frame, page_bytes(size) / FRAME);
    frame_put(frame, size);
}

static paddr_t get_run(unsigned order)
{
    paddr_t first = frame_get_run(order);

    if (first != FRAME_NONE) {
        assert_true(is_aligned(first, FRAME << order));
        model_get(first, (size_t)1 << order);
    }
    return first;
}

static void put_run(paddr_t first, unsigned order)
{
    model_put(first, (size_t)1 << order);
    frame_put_run(first, order);
}

static void assert_counts(void)
{
    struct frame_stats stats = frames_stats();

    assert_int_equal(stats.free + model.out, stats.total);
    assert_int_equal(stats.total + stats.metadata / FRAME, model.frames);
    assert_int_equal(stats.metadata % FRAME, 0);
}

/* Gets until there are none; the frames in an array that the caller frees. */
static paddr_t *get_all(enum page_size size, size_t *count)
{
    paddr_t *frames = malloc(sizeof(paddr_t) * (model.frames + 1)), frame;

    for (*count = 0; (frame = get(size)) != FRAME_NONE; (*count)++)
        frames[*count] = frame;
    return frames;
}

static void put_all(paddr_t *frames, size_t count, enum page_size size)
{
    for (size_t i = 0; i < count; i++)
        put(frames[i], size);
    free(frames);
}

/* Aligned blocks of the size that lie in RAM. */
static size_t blocks_of(enum page_size size)
{
    size_t blocks = 0;

    for (size_t i = 0; i < model.count; i++) {
        paddr_t first = align_up(model.ranges[i].start, page_bytes(size));
        paddr_t end = align_down(model.ranges[i].end, page_bytes(size));

        blocks += first < end ? (end - first) / page_bytes(size) : 0;
    }
    return blocks;
}

/* ---- the tests ---- */

static const struct frame_range plain[] = {{0x100000, 66 * MIB}};
static const struct frame_range holes[] = {
    {0x1000, 0x9f000},                       /* below the hole at 640 KiB */
    {0x100000, 0x7ff000},                    /* ends one page before a 2 MiB boundary */
    {0x801000, 0x1001000},                   /* begins and ends one page after one */
    {0x1002000, 0x1003000},                  /* a single page */
    {0x1200000, 0x1400000},                  /* exactly 2 MiB */
    {0x1fff000, 0x2a00000},                  /* a page and then 2 MiB blocks */
    {0x40000000 - 0x1000, 0x40000000 + MIB}, /* across 1 GiB */
};

static void test_single_frames(void **state)
{
    size_t count;
    paddr_t *frames;

    (void)state;
    start(plain, ARRAY_LENGTH(plain));
    assert_counts();
    frames = get_all(PAGE_4K, &count);
    assert_int_equal(count, frames_stats().total);
    assert_int_equal(frames_stats().free, 0);
    /* All of it is the caller's: writing to it must not disturb the allocator. */
    for (size_t i = 0; i < count; i++)
        memset(phys_to_virt(frames[i]), 0xff, FRAME);
    assert_true(frame_get(PAGE_4K) == FRAME_NONE);
    assert_true(frame_get(PAGE_2M) == FRAME_NONE);
    for (unsigned order = 0; order <= FRAME_RUN_ORDER_MAX; order++)
        assert_true(frame_get_run(order) == FRAME_NONE);
    put_all(frames, count, PAGE_4K);
    assert_counts();
    free(get_all(PAGE_4K, &count));
    assert_int_equal(count, frames_stats().total);
}

static void test_2m_frames(void **state)
{
    size_t count, singles, total;
    paddr_t *frames, *rest;

    (void)state;
    start(plain, ARRAY_LENGTH(plain));
    total = frames_stats().total;
    assert_in_range(frames_stats().free_2m, blocks_of(PAGE_2M) - 1, blocks_of(PAGE_2M));
    frames = get_all(PAGE_2M, &count);
    assert_in_range(count, blocks_of(PAGE_2M) - 1, blocks_of(PAGE_2M));
    rest = get_all(PAGE_4K, &singles);
    assert_int_equal(count * PER_2M + singles, total);
    put_all(rest, singles, PAGE_4K);
    put_all(frames, count, PAGE_2M);
    assert_counts();
    /* Everything as single frames and back: the 2 MiB frames are whole again. */
    rest = get_all(PAGE_4K, &singles);
    assert_int_equal(singles, total);
    put_all(rest, singles, PAGE_4K);
    frames_drain();
    assert_int_equal(frames_stats().free_2m, count);
    put_all(get_all(PAGE_2M, &singles), 0, PAGE_2M);
    assert_int_equal(singles, count);
}

static void test_2m_put_in_pieces(void **state)
{
    paddr_t frame;

    (void)state;
    start(plain, ARRAY_LENGTH(plain));
    for (unsigned order = 0; order < FRAME_RUN_ORDER_MAX; order++) {
        frame = get(PAGE_2M);
        assert_true(frame != FRAME_NONE);
        for (size_t i = PER_2M >> order; i-- > 0;)
            put_run(frame + (i << order) * FRAME, order);
        assert_counts();
    }
    frames_drain();
    assert_in_range(frames_stats().free_2m, blocks_of(PAGE_2M) - 1, blocks_of(PAGE_2M));
}

static void test_2m_from_run_of_the_highest_order(void **state)
{
    paddr_t run, frame;

    (void)state;
    start(plain, ARRAY_LENGTH(plain));
    run = get_run(FRAME_RUN_ORDER_MAX);
    frame = get(PAGE_2M);
    put(run, PAGE_2M);
    put_run(frame, FRAME_RUN_ORDER_MAX);
    assert_counts();
}

static void test_runs(void **state)
{
    (void)state;
    start(holes, ARRAY_LENGTH(holes));
    for (unsigned order = 0; order <= FRAME_RUN_ORDER_MAX; order++) {
        paddr_t *runs = malloc(sizeof(paddr_t) * (model.frames + 1));
        size_t count = 0, possible = 0;

        frames_drain();
        for (size_t frame = 0; frame < holes[ARRAY_LENGTH(holes) - 1].end / FRAME; frame += (size_t)1 << order)
            possible += fake_is_ram(frame * FRAME, FRAME << order);
        while ((runs[count] = get_run(order)) != FRAME_NONE)
            count++;
        assert_counts();
        /* All that RAM has, but for those that the metadata is in. */
        assert_in_range(count, possible - frames_stats().metadata / FRAME - 1, possible);
        while (count > 0) {
            count--;
            if (count % 2)
                put_run(runs[count], order);
            for (size_t i = 0; count % 2 == 0 && i < (size_t)1 << order; i++)
                put(runs[count] + i * FRAME, PAGE_4K);
        }
        free(runs);
        assert_counts();
        assert_int_equal(frames_stats().free, frames_stats().total);
    }
}

static void test_holes_and_edges(void **state)
{
    struct frame_stats stats;
    size_t count;
    paddr_t *frames;

    (void)state;
    start(holes, ARRAY_LENGTH(holes));
    stats = frames_stats();
    assert_counts();
    assert_int_equal(stats.highest, holes[ARRAY_LENGTH(holes) - 1].end);
    assert_in_range(stats.free_2m, blocks_of(PAGE_2M) - 1, blocks_of(PAGE_2M));
    assert_int_equal(stats.free_1g, 0);
    frames = get_all(PAGE_4K, &count);
    assert_int_equal(count, stats.total);
    put_all(frames, count, PAGE_4K);
    frames_drain();
    assert_int_equal(frames_stats().free_2m, stats.free_2m);
    for (size_t i = 0; i < ARRAY_LENGTH(holes); i++) {
        assert_true(frames_overlap(holes[i].start, 1));
        assert_true(frames_overlap(holes[i].end - 1, 1));
        assert_false(frames_overlap(holes[i].end, 1));
        assert_false(frames_overlap(holes[i].start - 1, 1));
        assert_true(frames_overlap(holes[i].start - 1, 2));
        assert_true(frames_overlap(holes[i].end - 1, 1 << 30));
    }
    assert_true(frames_overlap(0, ~(uint64_t)0));
    assert_false(frames_overlap(stats.highest, ~(uint64_t)0 - stats.highest));
}

/* The boot loader may give one piece of RAM as two: a 2 MiB frame across the seam is as good as any. */
static void test_ranges_that_touch(void **state)
{
    static const struct frame_range whole[] = {{MIB, 65 * MIB}}, pieces[] = {{MIB, 5 * MIB}, {5 * MIB, 65 * MIB}};
    size_t count, again;
    paddr_t *frames;

    (void)state;
    start(whole, ARRAY_LENGTH(whole));
    assert_int_equal(frames_init(pieces, ARRAY_LENGTH(pieces)), E_SUCCESS);
    frames = get_all(PAGE_2M, &count);
    assert_in_range(count, blocks_of(PAGE_2M) - 1, blocks_of(PAGE_2M));
    assert_true(model.owned[5 * MIB / FRAME - 1] && model.owned[5 * MIB / FRAME]);
    put_all(frames, count, PAGE_2M);
    frames_drain();
    assert_counts();
    free(get_all(PAGE_2M, &again));
    assert_int_equal(again, count);
}

static void test_take_across_ranges_that_touch(void **state)
{
    static const struct frame_range whole[] = {{MIB, 65 * MIB}}, pieces[] = {{MIB, 5 * MIB}, {5 * MIB, 65 * MIB}};
    paddr_t run = 5 * MIB - 4 * FRAME;

    (void)state;
    start(whole, ARRAY_LENGTH(whole));
    assert_int_equal(frames_init(pieces, ARRAY_LENGTH(pieces)), E_SUCCESS);
    assert_int_equal(frame_take(run, 8 * FRAME), E_SUCCESS);
    model_get(run, 8);
    assert_counts();
    for (size_t i = 0; i < 8; i++)
        put(run + i * FRAME, PAGE_4K);
    frames_drain();
    assert_counts();
}

static void test_frame_zero_is_a_frame(void **state)
{
    static const struct frame_range low[] = {{0, 4 * MIB}};
    size_t count;
    bool seen = false;
    paddr_t *frames;

    (void)state;
    start(low, 1);
    frames = get_all(PAGE_4K, &count);
    assert_int_equal(count, frames_stats().total);
    for (size_t i = 0; i < count; i++)
        seen |= frames[i] == 0;
    assert_true(seen || frames_stats().metadata > 0); /* the metadata may be there */
    put_all(frames, count, PAGE_4K);
    assert_counts();
}

static void test_tiny_ram(void **state)
{
    static const struct frame_range tiny[] = {{0x7000, 0xb000}};
    size_t count;

    (void)state;
    start(tiny, 1);
    assert_counts();
    assert_in_range(frames_stats().total, 1, 3);
    assert_int_equal(frames_stats().free_2m, 0);
    assert_true(get(PAGE_2M) == FRAME_NONE);
    assert_true(get(PAGE_1G) == FRAME_NONE);
    free(get_all(PAGE_4K, &count));
    assert_int_equal(count, frames_stats().total);
}

static void test_no_ram(void **state)
{
    (void)state;
    assert_int_equal(frames_init(NULL, 0), E_NOMEM);
    assert_true(frame_get(PAGE_4K) == FRAME_NONE);
    assert_false(frames_overlap(0, 4096));
    assert_int_equal(frames_stats().total, 0);
}

static void test_ram_too_small_for_its_metadata(void **state)
{
    /* A page here and there up to 64 GiB: if it does not fit, it says so. */
    static const struct frame_range sparse[] = {{0x1000, 0x2000}, {64 * GIB - 0x1000, 64 * GIB}};
    error_t error;

    (void)state;
    fake_ram(sparse, ARRAY_LENGTH(sparse));
    error = frames_init(sparse, ARRAY_LENGTH(sparse));
    assert_true(error == E_NOMEM || error == E_SUCCESS);
    if (error == E_NOMEM)
        assert_true(frame_get(PAGE_4K) == FRAME_NONE);
}

static void test_64_gib(void **state)
{
    static const struct frame_range large[] = {{0x100000, 3 * GIB}, {4 * GIB, 64 * GIB}};
    size_t count, touched, total;
    paddr_t *frames;

    (void)state;
    start(large, ARRAY_LENGTH(large));
    touched = fake_ram_touched();
    total = frames_stats().total;
    assert_counts();
    /* 66 or 68 bytes for each 2 MiB, of which 64 are not touched; a few bytes for each GiB; whole pages. */
    assert_true(frames_stats().metadata <= 64 * GIB / page_bytes(PAGE_2M) * (64 + STATE) + 4 * FRAME);
    assert_true(touched <= 64 * GIB / page_bytes(PAGE_2M) * STATE + 8 * FRAME);
    assert_in_range(frames_stats().free_1g, 60 + 1, 62);
    frames = get_all(PAGE_1G, &count);
    assert_in_range(count, 61, 62);
    assert_int_equal(frames_stats().free_1g, 0);
    put_all(frames, count, PAGE_1G);
    frames = get_all(PAGE_2M, &count);
    assert_in_range(count, blocks_of(PAGE_2M) - 1, blocks_of(PAGE_2M));
    put_all(frames, count, PAGE_2M);
    frames_drain();
    assert_in_range(frames_stats().free_1g, 61, 62);
    assert_int_equal(frames_stats().free, total);
    assert_int_equal(frames_stats().total, total);
    /* Large frames cost no more RAM than the metadata. */
    assert_true(fake_ram_touched() <= touched + frames_stats().metadata + FRAME);
}

static void test_1g_put_in_pieces(void **state)
{
    static const struct frame_range large[] = {{0x200000, 4 * GIB}};
    paddr_t frame;

    (void)state;
    start(large, 1);
    frame = get(PAGE_1G);
    assert_true(frame != FRAME_NONE);
    for (size_t i = 0; i < PER_2M; i++) {
        paddr_t part = frame + i * page_bytes(PAGE_2M);

        if (i % 3)
            put(part, PAGE_2M);
        for (size_t k = 0; i % 3 == 0 && k < PER_2M; k++)
            put(part + k * FRAME, PAGE_4K);
    }
    frames_drain();
    assert_counts();
    assert_int_equal(frames_stats().free_1g, 3);
}

static void test_metadata_bound(void **state)
{
    static const struct frame_range ram[] = {{0x100000, 0x100000 + 128 * MIB}};

    (void)state;
    start(ram, 1);
    assert_true(frames_stats().metadata * 10000 <= 128 * MIB);
}

/* Frames are only useful large if small ones keep together. */
static void test_singles_keep_together(void **state)
{
    (void)state;
    start(plain, 1);
    for (size_t i = 0; i < 2 * PER_2M; i++)
        assert_true(get(PAGE_4K) != FRAME_NONE);
    assert_true(frames_stats().free_2m >= blocks_of(PAGE_2M) - 5);
}

static void test_magazine_frames_are_found(void **state)
{
    size_t count;
    paddr_t *frames;

    (void)state;
    start(plain, 1);
    /* All 2 MiB frames go through single frames; then 2 MiB ones are asked for with magazines full of singles. */
    frames = get_all(PAGE_4K, &count);
    put_all(frames, count, PAGE_4K);
    for (size_t i = blocks_of(PAGE_2M) - 1; i-- > 0;)
        assert_true(get(PAGE_2M) != FRAME_NONE);
    /* And single frames when the rest is in the magazine of 2 MiB frames. */
    free(get_all(PAGE_2M, &count));
    free(get_all(PAGE_4K, &count));
    assert_int_equal(frames_stats().free, 0);
    for (size_t frame = 0; frame < plain[0].end / FRAME; frame += PER_2M)
        if (model.owned[frame] && frame * FRAME >= 4 * MIB)
            put(frame * FRAME, PAGE_2M);
    free(get_all(PAGE_4K, &count));
    assert_int_equal(frames_stats().free, 0);
}

static void test_take(void **state)
{
    paddr_t frame, run = 16 * MIB + 5 * FRAME;
    size_t size = 5 * MIB;

    (void)state;
    start(plain, 1);
    assert_int_equal(frame_take(run, size), E_SUCCESS);
    model_get(run, size / FRAME);
    assert_counts();
    assert_int_equal(frame_take(run, size), E_BUSY);
    assert_int_equal(frame_take(run + size - FRAME, 2 * FRAME), E_BUSY);
    assert_int_equal(frame_take(run - FRAME, 2 * FRAME), E_BUSY);
    assert_counts();
    assert_int_equal(frame_take(run - FRAME, FRAME), E_SUCCESS);
    model_get(run - FRAME, 1);
    put(run - FRAME, PAGE_4K);
    /* What was just put back is free, even if a magazine has it. */
    assert_int_equal(frame_take(run - FRAME, FRAME), E_SUCCESS);
    model_get(run - FRAME, 1);
    assert_int_equal(frame_take(plain[0].start - FRAME, FRAME), E_INVAL);
    assert_int_equal(frame_take(plain[0].end - FRAME, 2 * FRAME), E_INVAL);
    assert_int_equal(frame_take(plain[0].end, FRAME), E_INVAL);
    assert_int_equal(frame_take(~(paddr_t)0 - VM_PAGE_MASK, 2 * FRAME), E_INVAL);
    frame = get(PAGE_4K);
    assert_int_equal(frame_take(frame, FRAME), E_BUSY);
    for (size_t i = 0; i < size / FRAME; i++)
        put(run + i * FRAME, PAGE_4K);
    assert_counts();
}

static void test_take_1g_and_holes(void **state)
{
    static const struct frame_range ram[] = {{0x100000, 8 * MIB}, {9 * MIB, 3 * GIB}};

    (void)state;
    start(ram, ARRAY_LENGTH(ram));
    assert_int_equal(frame_take(7 * MIB, 3 * MIB), E_INVAL);
    assert_counts();
    assert_int_equal(frame_take(GIB, GIB), E_SUCCESS);
    model_get(GIB, PER_1G);
    put(GIB, PAGE_1G);
    assert_counts();
    assert_int_equal(frames_stats().free_1g, 2);
}

/* ---- caller's bugs ---- */

static void put_twice(void *size)
{
    paddr_t frame = frame_get(*(enum page_size *)size);

    frame_put(frame, *(enum page_size *)size);
    frame_put(frame, *(enum page_size *)size);
}

static void put_after_drain(void *size)
{
    paddr_t frame = frame_get(*(enum page_size *)size);

    frame_put(frame, *(enum page_size *)size);
    frames_drain();
    frame_put(frame, *(enum page_size *)size);
}

struct bad_put {
    paddr_t frame;
    enum page_size size;
};

static void put_bad(void *argument)
{
    const struct bad_put *bad = argument;

    frame_put(bad->frame, bad->size);
}

static void put_piece_then_whole(void *unused)
{
    paddr_t frame = frame_get(PAGE_2M);

    (void)unused;
    frame_put(frame + 7 * FRAME, PAGE_4K);
    frame_put(frame, PAGE_2M);
}

static void put_piece_then_gigabyte(void *piece)
{
    paddr_t frame = frame_get(PAGE_1G);

    frame_put(frame + page_bytes(PAGE_2M), *(enum page_size *)piece);
    frame_put(frame, PAGE_1G);
}

static void put_gigabyte_then_piece(void *piece)
{
    paddr_t frame = frame_get(PAGE_1G);

    frame_put(frame, PAGE_1G);
    frame_put(frame + page_bytes(PAGE_2M), *(enum page_size *)piece);
}

static void put_whole_then_piece(void *unused)
{
    paddr_t frame = frame_get(PAGE_2M);

    (void)unused;
    frame_put(frame, PAGE_2M);
    frame_put(frame + 7 * FRAME, PAGE_4K);
}

static void put_run_twice(void *unused)
{
    paddr_t run = frame_get_run(4);

    (void)unused;
    frame_put_run(run, 4);
    frame_put_run(run, 4);
}

static void put_run_of_which_a_piece_is_back(void *unused)
{
    paddr_t run = frame_get_run(4);

    (void)unused;
    frame_put(run + 3 * FRAME, PAGE_4K);
    frame_put_run(run, 4);
}

static void assert_panics(void (*function)(void *), void *argument)
{
    assert_true(fake_panics(function, argument));
    assert_true(fake_panic_text()[0] != '\0');
    assert_null(strchr(fake_panic_text(), '\n'));
}

static void test_bad_puts_panic(void **state)
{
    static const struct frame_range ram[] = {{0x100000, 0x5ff000}, {0x800000, 3 * GIB}};
    static struct bad_put bad[] = {
        {0x100800, PAGE_4K},
        {0x900000, PAGE_2M},
        {0x20000000, PAGE_1G}, /* misaligned */
        {0x0, PAGE_4K},
        {0x5ff000, PAGE_4K},
        {0x7ff000, PAGE_4K}, /* not RAM */
        {0x400000, PAGE_2M},
        {3 * GIB, PAGE_4K},
        {1 * GIB * 1024, PAGE_1G},
        {FRAME_NONE, PAGE_4K},
        {FRAME_NONE & ~(paddr_t)VM_PAGE_MASK, PAGE_4K},
        {0x40000000, PAGE_4K},
        {0x40000000, PAGE_2M},
        {0x40000000, PAGE_1G}, /* never handed out */
    };
    static enum page_size sizes[] = {PAGE_4K, PAGE_2M, PAGE_1G};

    (void)state;
    start(ram, ARRAY_LENGTH(ram));
    for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
        assert_panics(put_twice, &sizes[i]);
        assert_panics(put_after_drain, &sizes[i]);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        if (!fake_panics(put_bad, &bad[i]))
            fail_msg("putting %#lx, size %u, does not panic", (unsigned long)bad[i].frame, bad[i].size);
    }
    for (size_t i = PAGE_4K; i <= PAGE_2M; i++) {
        assert_panics(put_piece_then_gigabyte, &sizes[i]);
        assert_panics(put_gigabyte_then_piece, &sizes[i]);
    }
    assert_panics(put_piece_then_whole, NULL);
    assert_panics(put_whole_then_piece, NULL);
    assert_panics(put_run_twice, NULL);
    assert_panics(put_run_of_which_a_piece_is_back, NULL);
    assert_counts();
}

/* The allocator's own pages are not anybody's to put back: each page that is not free at the start is one of them. */
static void test_metadata_cannot_be_put(void **state)
{
    size_t count, found = 0;
    struct bad_put bad = {0, PAGE_4K};

    (void)state;
    start(plain, 1);
    free(get_all(PAGE_4K, &count));
    for (bad.frame = plain[0].start; bad.frame < plain[0].end; bad.frame += FRAME) {
        if (model.owned[bad.frame / FRAME])
            continue;
        assert_panics(put_bad, &bad);
        found++;
    }
    assert_int_equal(found, frames_stats().metadata / FRAME);
}

static void test_fail_nth(void **state)
{
    paddr_t frame;

    (void)state;
    start(plain, 1);
    frames_fail_nth(0);
    assert_true(get(PAGE_4K) == FRAME_NONE);
    assert_true(get(PAGE_4K) != FRAME_NONE);
    frames_fail_nth(2);
    assert_true(get(PAGE_2M) != FRAME_NONE);
    assert_true(get_run(3) != FRAME_NONE);
    assert_true(get(PAGE_2M) == FRAME_NONE);
    assert_true(get(PAGE_2M) != FRAME_NONE);
    frames_fail_nth(0);
    assert_true(get_run(9) == FRAME_NONE);
    frames_fail_nth(0);
    assert_true(mmu_get_table_frame() == FRAME_NONE);
    frames_fail_nth(1);
    frames_fail_nth(-1);
    frame = get(PAGE_4K);
    assert_true(frame != FRAME_NONE);
    assert_true(get(PAGE_4K) != FRAME_NONE);
    assert_counts();
}

static void test_table_frames(void **state)
{
    paddr_t table;

    (void)state;
    start(plain, 1);
    table = mmu_get_table_frame();
    model_get(table, 1);
    assert_counts();
    model_put(table, 1);
    mmu_release_frame(table, PAGE_4K);
    put(get(PAGE_4K), PAGE_4K);
    table = get(PAGE_2M);
    model_put(table, PER_2M);
    mmu_release_frame(table, PAGE_2M);
    assert_counts();
}

/* ---- random operations ---- */

#define HELD_MAX 3000

struct held {
    paddr_t first;
    unsigned order;
};
static struct held held[HELD_MAX];
static size_t held_count;

static void hold(paddr_t first, unsigned order)
{
    held[held_count++] = (struct held){first, order};
}

static bool free_block_exists(unsigned order)
{
    for (size_t i = 0; i < model.count; i++) {
        paddr_t first = align_up(model.ranges[i].start, FRAME << order);

        for (; first + (FRAME << order) <= model.ranges[i].end; first += FRAME << order)
            if (memchr(model.owned + first / FRAME, 1, (size_t)1 << order) == NULL)
                return true;
    }
    return false;
}

/* Puts in one, two or many pieces; the part that stays is held on. */
static void put_some(struct random *random)
{
    size_t which = random_below(random, held_count);
    struct held one = held[which];

    held[which] = held[--held_count];
    while (one.order > 0 && random_below(random, 2) == 0) {
        one.order--;
        hold(one.first + (FRAME << one.order), one.order); /* the upper half */
    }
    if (one.order == FRAME_RUN_ORDER_MAX && random_below(random, 2))
        put(one.first, PAGE_2M);
    else
        put_run(one.first, one.order);
}

static paddr_t get_beside(paddr_t first, unsigned count)
{
    paddr_t got = frames_get_beside(first, count);

    if (got != FRAME_NONE) {
        assert_int_equal((got ^ first) % page_bytes(PAGE_2M), 0);
        model_get(got, count);
    }
    return got;
}

/* Around what is held already: there, exactly if all of it is free. */
static void get_some_beside(struct random *random, unsigned order)
{
    paddr_t next = align_down(held[random_below(random, held_count)].first, FRAME << order) ^ (FRAME << order);
    bool free = false;

    for (size_t i = 0; i < model.count && !free; i++)
        free = next >= model.ranges[i].start && next + (FRAME << order) <= model.ranges[i].end &&
               memchr(model.owned + next / FRAME, 1, (size_t)1 << order) == NULL;
    frames_drain();
    if (frames_get_at(next, 1u << order) != free)
        fail_msg("%u frames from %#lx on are %sfree", 1u << order, (unsigned long)next, free ? "" : "not ");
    if (free)
        model_get(next, (size_t)1 << order);
    else
        next = get_beside(next, 1u << order);
    if (next != FRAME_NONE)
        hold(next, order);
}

static void get_some(struct random *random)
{
    unsigned order = random_below(random, 2) ? 0 : (unsigned)random_below(random, FRAME_RUN_ORDER_MAX + 1);
    paddr_t first = order == 9 && random_below(random, 2) ? get(PAGE_2M) : get_run(order);

    if (order < 9 && held_count > 0 && random_below(random, 4) == 0)
        get_some_beside(random, order);
    if (first != FRAME_NONE)
        hold(first, order);
    else if (free_block_exists(order))
        fail_msg("no run of order %u was found although there is one", order);
}

static void take_some(struct random *random)
{
    const struct frame_range *range = &model.ranges[random_below(random, model.count)];
    size_t frames = (range->end - range->start) / FRAME, length = 1 + random_below(random, 20);
    paddr_t first = range->start + random_below(random, frames) * FRAME;
    error_t error = frame_take(first, length * FRAME);

    if (!fake_is_ram(first, length * FRAME)) {
        assert_int_equal(error, E_INVAL);
    } else if (memchr(model.owned + first / FRAME, 1, length)) {
        assert_int_equal(error, E_BUSY);
    } else {
        assert_int_equal(error, E_SUCCESS);
        model_get(first, length);
        for (size_t i = 0; i < length; i++)
            hold(first + i * FRAME, 0);
    }
}

/* The metadata counts as handed out for the model. */
static void own_metadata(void)
{
    size_t count, out;
    paddr_t *frames = get_all(PAGE_4K, &count);

    for (size_t i = 0; i < model.count; i++)
        for (paddr_t frame = model.ranges[i].start; frame < model.ranges[i].end; frame += FRAME)
            model.owned[frame / FRAME] ^= 1;
    for (size_t i = 0; i < count; i++)
        frame_put(frames[i], PAGE_4K);
    free(frames);
    out = model.frames - count;
    assert_int_equal(out, frames_stats().metadata / FRAME);
    model.out = 0;
}

static size_t free_2m_of_model(void)
{
    size_t found = 0;

    for (size_t i = 0; i < model.count; i++) {
        paddr_t first = align_up(model.ranges[i].start, page_bytes(PAGE_2M));

        for (; first + page_bytes(PAGE_2M) <= model.ranges[i].end; first += page_bytes(PAGE_2M))
            found += memchr(model.owned + first / FRAME, 1, PER_2M) == NULL;
    }
    return found;
}

static void run_random(const struct frame_range *ranges, size_t count, size_t steps)
{
    struct random random = {harness_seed()};
    bool growing = true;

    start(ranges, count);
    own_metadata();
    for (size_t step = 0; step < steps; step++) {
        unsigned kind = (unsigned)random_below(&random, 100);

        if (held_count > HELD_MAX - 50 || model.out + 40 > frames_stats().total)
            growing = false;
        if (held_count < 10)
            growing = true;
        if (kind == 0)
            take_some(&random);
        else if (kind < (growing ? 65u : 35u))
            get_some(&random);
        else if (held_count > 0)
            put_some(&random);
        if (kind == 99) {
            assert_counts();
            frames_drain();
            assert_counts();
            assert_int_equal(frames_stats().free_2m, free_2m_of_model());
        }
    }
    while (held_count > 0)
        put_some(&random);
    frames_drain();
    assert_counts();
    assert_int_equal(frames_stats().free, frames_stats().total);
    assert_int_equal(frames_stats().free_2m, free_2m_of_model());
}

static void test_random(void **state)
{
    (void)state;
    run_random(plain, ARRAY_LENGTH(plain), harness_number("QUIRE_STEPS", 300000));
}

static void test_random_with_holes(void **state)
{
    (void)state;
    run_random(holes, ARRAY_LENGTH(holes), harness_number("QUIRE_STEPS", 300000));
}

/* ---- many at once, and states ---- */

static bool is_zeros(paddr_t frame, size_t size)
{
    const uint64_t *words = phys_to_virt(frame);

    for (size_t i = 0; i < size / sizeof(words[0]); i++) {
        if (words[i] != 0)
            return false;
    }
    return true;
}

/* Runs, one after the other, into an array: as many frames as they hold. */
static unsigned get_runs(paddr_t *frames, unsigned places, unsigned count, bool zeroed)
{
    struct frame_run runs[16];
    unsigned got = 0, found = frames_get_runs(runs, places, count, zeroed);

    assert_true(found <= places && found <= count);
    for (unsigned i = 0; i < found; i++) {
        assert_true(runs[i].count > 0 && got + runs[i].count <= count);
        for (unsigned k = 0; k < runs[i].count; k++)
            frames[got++] = runs[i].first + k * FRAME;
    }
    return got;
}

/* More than there are: all of them, and all are whole again afterwards. */
static void test_bulk(void **state)
{
    (void)state;
    start(holes, ARRAY_LENGTH(holes));
    size_t total = frames_stats().total, whole = frames_stats().free_2m;
    paddr_t *frames = calloc(total + 100, sizeof(paddr_t)), more;
    unsigned got = 0;

    put(get(PAGE_2M), PAGE_2M); /* one is in a magazine */
    for (unsigned part = 1; got < total; part += 17) {
        unsigned count = frames_get(frames + got, part);

        assert_int_equal(count, part < total - got ? part : total - got);
        for (unsigned i = got; i < got + count; i++)
            model_get(frames[i], 1);
        got += count;
        assert_counts();
    }
    assert_int_equal(frames_get(&more, 1), 0);
    assert_int_equal(get_runs(&more, 1, 1, true), 0);
    for (unsigned at = 0, part = 1; at < got; at += part, part = part * 3 % 509) {
        part = part < got - at ? part : got - at;
        for (unsigned i = at; i < at + part; i++)
            model_put(frames[i], 1);
        frames_put(frames + at, part);
        assert_counts();
    }
    frames_drain();
    assert_int_equal(frames_stats().free_2m, whole);
    free(frames);
}

static int compare_frames(const void *a, const void *b)
{
    const paddr_t *first = a, *second = b;

    return (*first > *second) - (*first < *second);
}

/* Across words and 2 MiB, and around what is not RAM of ours. */
static void test_neighbours(void **state)
{
    size_t whole, total;
    paddr_t *frames;

    (void)state;
    start(holes, ARRAY_LENGTH(holes));
    whole = frames_stats().free_2m;
    total = frames_stats().total;
    frames = calloc(total, sizeof(paddr_t));
    for (size_t i = 0; i < total; i++)
        frames[i] = get(PAGE_4K);
    qsort(frames, total, sizeof(frames[0]), compare_frames);
    for (size_t at = 0, count; at < total; at += count) {
        for (count = 1; at + count < total && count < 3000 && frames[at + count] == frames[at] + count * FRAME; count++)
            ;
        for (size_t i = at; i < at + count; i++)
            model_put(frames[i], 1);
        frames_put_neighbours(frames[at], PAGE_4K, count);
        assert_counts();
    }
    frames_drain();
    assert_int_equal(frames_stats().free_2m, whole);
    free(frames);
}

/* Across 2 MiB, and until there is none; what a magazine holds, known to be zeros or not, stays for who asks it. */
static void test_many_as_runs(void **state)
{
    struct frame_run runs[2];
    const paddr_t *hot;
    paddr_t put[3];
    unsigned count, got = 0;
    size_t total, zeroed;
    paddr_t *frames;

    (void)state;
    start(plain, ARRAY_LENGTH(plain));
    assert_int_equal(frames_get_runs(runs, 2, 3 * PER_2M - 7, false), 1);
    assert_int_equal(runs[0].count, 3 * PER_2M - 7);
    memset(phys_to_virt(runs[0].first), 0xff, runs[0].count * FRAME);
    memset(phys_to_virt(runs[0].first), 0, FRAME);
    frame_put_clean(runs[0].first, PAGE_4K);
    for (unsigned i = 0; i < ARRAY_LENGTH(put); i++)
        put[i] = runs[0].first + (1 + 2 * i) * FRAME;
    frames_put(put, ARRAY_LENGTH(put));
    for (unsigned i = 0; i < ARRAY_LENGTH(put); i++)
        frames_put_neighbours(put[i] + FRAME, PAGE_4K, i + 1 < ARRAY_LENGTH(put) ? 1 : runs[0].count - 6);
    zeroed = fake_zeroed();
    assert_null(frames_get_hot(2, FRAME_CLEAN));
    assert_null(frames_get_hot(4, FRAME_DIRTY));
    assert_int_equal(*frames_get_hot(1, FRAME_CLEAN), runs[0].first);
    frame_put_clean(runs[0].first, PAGE_4K);
    assert_non_null(hot = frames_get_hot(2, FRAME_DIRTY));
    assert_memory_equal(hot, put + 1, 2 * sizeof(put[0]));
    frames_put(put + 1, 2);
    assert_int_equal(fake_zeroed() - zeroed, 0);
    assert_int_equal(frames_get_runs(runs, 2, 10, true), 1);
    assert_int_equal(runs[0].count, 10);
    assert_int_equal(fake_zeroed() - zeroed, 10 * FRAME);
    assert_int_equal(frames_get_hot(3, FRAME_DIRTY)[0], put[0]);
    frames_put(put, ARRAY_LENGTH(put));
    frames_put_neighbours(runs[0].first, PAGE_4K, runs[0].count);
    total = frames_free();
    frames = calloc(total, sizeof(paddr_t));
    for (unsigned places = 1; (count = get_runs(frames + got, places, 1000, places % 2)) > 0;
         places = places % 16 + 1) {
        for (unsigned i = 0; i < count; i++) {
            model_get(frames[got + i], 1);
            assert_true(places % 2 == 0 || is_zeros(frames[got + i], FRAME));
        }
        got += count;
        assert_counts();
    }
    assert_int_equal(got, total);
    free(frames);
}

/* They are handed out in order again. */
static void test_large_neighbours(void **state)
{
    paddr_t large[4];

    (void)state;
    start(plain, ARRAY_LENGTH(plain));
    for (unsigned i = 0; i < ARRAY_LENGTH(large); i++)
        large[i] = frame_get(PAGE_2M);
    assert_int_equal(large[3], large[0] + 3 * page_bytes(PAGE_2M));
    frames_put_neighbours(large[0], PAGE_2M, ARRAY_LENGTH(large));
    for (unsigned i = 0; i < ARRAY_LENGTH(large); i++)
        assert_int_equal(frame_get(PAGE_2M), large[i]);
}

/* Across a GiB, of which either side keeps its count; a 2 MiB that went as single frames comes back with others. */
static void test_large_neighbours_over_gigabytes(void **state)
{
    static const struct frame_range large[] = {{0x200000, 3 * GIB}};
    size_t count, whole, most = PER_2M + 100;
    struct frame_run run;
    paddr_t first;

    (void)state;
    start(large, 1);
    whole = frames_stats().free_2m;
    first = frames_get_large(most, &count);
    assert_int_equal(count, most);
    assert_true(first < GIB && first + count * page_bytes(PAGE_2M) > GIB);
    model_get(first, count * PER_2M);
    assert_counts();
    assert_int_equal(frames_stats().free_2m, whole - count);
    assert_int_equal(frames_stats().free_1g, 1);
    model_put(first, count * PER_2M);
    frames_put_neighbours(first, PAGE_2M, count);
    frames_drain();
    assert_counts();
    assert_int_equal(frames_stats().free_2m, whole);
    assert_int_equal(frames_stats().free_1g, 2);
    for (size_t left = frames_free() - (whole - 1) * PER_2M; left > 0;
         left -= run.count) /* the metadata's 2 MiB before */
        assert_int_equal(frames_get_runs(&run, 1, (unsigned)left, false), 1);
    first = run.first + run.count * FRAME - page_bytes(PAGE_2M);
    assert_true(is_aligned(first, page_bytes(PAGE_2M)));
    assert_true(frames_get_large(9, &count) == first + page_bytes(PAGE_2M));
    frames_put_neighbours(first, PAGE_2M, count + 1);
    frames_drain();
    assert_int_equal(frames_stats().free_2m, whole);
    assert_int_equal(frames_stats().free, whole * PER_2M);
}

static void put_neighbours_of_which_one_is_back(void *argument)
{
    size_t count, most = 12;
    paddr_t first = frames_get_large(most, &count);

    (void)argument;
    assert_int_equal(count, most);
    frames_put_neighbours(first + (count - 1) * page_bytes(PAGE_2M), PAGE_2M, 1);
    frames_drain();
    frames_put_neighbours(first, PAGE_2M, count);
}

static void test_large_neighbours_put_twice_panic(void **state)
{
    (void)state;
    start(plain, ARRAY_LENGTH(plain));
    assert_panics(put_neighbours_of_which_one_is_back, NULL);
}

/* Single frames stay where they are quickly had, unless there are no others. */
static void test_runs_leave_the_magazine(void **state)
{
    struct frame_run runs[2];
    paddr_t frame, hot;

    (void)state;
    start(plain, ARRAY_LENGTH(plain));
    hot = get(PAGE_4K);
    frame = get(PAGE_4K);
    put(frame, PAGE_4K);
    put(hot, PAGE_4K);
    assert_int_equal(frames_get_runs(runs, 2, 16, false), 1);
    model_get(runs[0].first, 16);
    assert_true(get(PAGE_4K) == hot);
    assert_true(get(PAGE_4K) == frame);
    assert_counts();
}

/* What the magazine holds as far as it is neighbours, else the store's, up to one that is out. */
static void test_many_large(void **state)
{
    paddr_t first, out;
    size_t count, got = 0;

    (void)state;
    start(plain, ARRAY_LENGTH(plain));
    first = get(PAGE_2M);
    out = get(PAGE_2M);
    put(first, PAGE_2M);
    frames_fail_nth(0);
    assert_true(frames_get_large(9, &count) == FRAME_NONE);
    assert_true(frames_get_large(9, &count) == first);
    assert_int_equal(count, 1);
    frame_put(first, PAGE_2M);
    for (size_t most = 1; (first = frames_get_large(most, &count)) != FRAME_NONE; most = most % 5 + 1) {
        assert_true(count >= 1 && count <= most && is_aligned(first, page_bytes(PAGE_2M)));
        model_get(first, count * PER_2M);
        got += count;
        assert_counts();
    }
    assert_int_equal(got, blocks_of(PAGE_2M) - 1);
    put(out, PAGE_2M);
    assert_true(frames_get_large(9, &count) == out);
    assert_int_equal(count, 1);
}

/* An idle CPU cleans what the magazines hold: then zeros cost nothing. */
static void test_cleaning(void **state)
{
    paddr_t large, frames[100];
    size_t zeroed, clean;

    (void)state;
    start(plain, ARRAY_LENGTH(plain));
    memset(phys_to_virt(large = get(PAGE_2M)), 0xff, page_bytes(PAGE_2M));
    put(large, PAGE_2M);
    for (unsigned i = 0; i < 10; i++)
        assert_true(frames_clean());
    frames_drain(); /* in the middle of 2 MiB */
    assert_counts();
    put(large = get(PAGE_2M), PAGE_2M);
    while (frames_clean())
        assert_counts();
    clean = frames_stats().clean;
    assert_int_equal(clean, FRAME_MAGAZINE_MAX + PER_2M);
    zeroed = fake_zeroed();
    assert_true(frame_get_zeroed(PAGE_2M) == large);
    model_get(large, PER_2M);
    assert_true(is_zeros(large, page_bytes(PAGE_2M)));
    for (unsigned i = 0; i < FRAME_MAGAZINE_MAX; i++) {
        model_get(frames[i] = frame_get_zeroed(PAGE_4K), 1);
        assert_true(is_zeros(frames[i], FRAME));
    }
    assert_int_equal(fake_zeroed(), zeroed);
    model_get(frames[FRAME_MAGAZINE_MAX] = frame_get_zeroed(PAGE_4K), 1);
    assert_int_equal(fake_zeroed(), zeroed + FRAME);
    assert_true(is_zeros(frames[FRAME_MAGAZINE_MAX], FRAME));
    assert_int_equal(frames_stats().clean, 0);
    assert_counts();
}

/* RAM that was zeros at boot is so until it is handed out, and no longer. */
static void test_virgin(void **state)
{
    size_t count = 0, zeroed;
    paddr_t *frames;

    (void)state;
    start(plain, ARRAY_LENGTH(plain));
    memset(phys_to_virt(plain[0].start), 0, plain[0].end - plain[0].start);
    assert_int_equal(frames_init(plain, ARRAY_LENGTH(plain)), E_SUCCESS);
    frames_trust_virgin = true;
    frames = calloc(model.frames, sizeof(paddr_t));
    zeroed = fake_zeroed();
    while ((frames[count] = frame_get_zeroed(count % 100 ? PAGE_4K : PAGE_2M)) != FRAME_NONE) {
        size_t size = page_bytes(count % 100 ? PAGE_4K : PAGE_2M);

        model_get(frames[count], size / FRAME);
        assert_true(is_zeros(frames[count], size));
        memset(phys_to_virt(frames[count++]), 0xff, size);
    }
    assert_true(fake_zeroed() - zeroed < (plain[0].end - plain[0].start) / 4);
    while (count-- > 0)
        put(frames[count], count % 100 ? PAGE_4K : PAGE_2M);
    while ((frames[0] = frame_get_zeroed(PAGE_4K)) != FRAME_NONE) {
        model_get(frames[0], 1);
        assert_true(is_zeros(frames[0], FRAME));
    }
    free(frames);
}

static void put_dirty_as_clean(void *unused)
{
    paddr_t frame = frame_get(PAGE_4K);

    (void)unused;
    memset((char *)phys_to_virt(frame) + FRAME - 1, 1, 1);
    frame_put_clean(frame, PAGE_4K);
}

static void use_after_put(void *unused)
{
    paddr_t frame = frame_get_zeroed(PAGE_4K);

    (void)unused;
    frame_put_clean(frame, PAGE_4K);
    memset(phys_to_virt(frame), 1, 1);
    frame_get_zeroed(PAGE_4K);
}

static void put_twice_at_once(void *unused)
{
    paddr_t frames[200];

    (void)unused;
    frames_get(frames, ARRAY_LENGTH(frames));
    frames[150] = frames[40];
    frames_put(frames, ARRAY_LENGTH(frames));
}

static void test_bad_states_panic(void **state)
{
    (void)state;
    start(plain, ARRAY_LENGTH(plain));
    assert_panics(put_dirty_as_clean, NULL);
    assert_panics(use_after_put, NULL);
    assert_panics(put_twice_at_once, NULL);
}

/* Where they were asked for, else at the same place of another 2 MiB, as long as there are many; none is taken then. */
static void test_beside(void **state)
{
    paddr_t none = align_down(FRAME_NONE, page_bytes(PAGE_2M)), first, other;
    size_t whole;

    (void)state;
    start(plain, ARRAY_LENGTH(plain));
    first = get_beside(none + 30 * FRAME, 70); /* over two seams of words */
    assert_true(first != FRAME_NONE);
    assert_int_equal(get_beside(first + 70 * FRAME, PER_2M - 100), first + 70 * FRAME);
    assert_int_equal(get_beside(first - 30 * FRAME, 30), first - 30 * FRAME);
    assert_false(frames_get_at(first, 1));
    assert_false(frames_get_at(none, 1));
    assert_counts();
    other = get_beside(first, 70);
    assert_true(other != FRAME_NONE && other != first);
    assert_false(frames_get_at(other - FRAME, 2));
    assert_true(frames_get_at(other - FRAME, 1));
    model_get(other - FRAME, 1);
    frames_fail_nth(0);
    assert_false(frames_get_at(other + 70 * FRAME, 1));
    assert_counts();
    while (get_beside(none, 8) != FRAME_NONE)
        ;
    whole = frames_stats().free_2m;
    assert_true(whole > 20); /* of 32 */
    put(get(PAGE_2M), PAGE_2M);
    assert_counts();
    model_put(other - FRAME, 71);
    frames_put_neighbours(other - FRAME, PAGE_4K, 71);
    frames_drain();
    assert_int_equal(frames_stats().free_2m, whole + 1);
    assert_true(get_beside(none, 8) != FRAME_NONE);
    assert_counts();
    model_put(first - 30 * FRAME, PER_2M);
    frame_put(first - 30 * FRAME, PAGE_2M); /* got in pieces */
    frames_drain();
    assert_int_equal(frames_stats().free_2m, whole + 1);
}

#define STATES_HELD 2000u

static void get_in_state(struct random *random, paddr_t *frames, unsigned *out)
{
    bool zeroed = random_below(random, 2), many = random_below(random, 4) == 0;
    unsigned count = 1 + (many ? (unsigned)random_below(random, 150) : 0), got;

    zeroed = zeroed && (!many || count % 2); /* as runs */

    if (*out + count > STATES_HELD)
        return;
    if (random_below(random, 8) == 0)
        frames_fail_nth((long)random_below(random, 3));
    if (many)
        got = count % 2 ? get_runs(frames + *out, 1 + count % 16, count, zeroed) : frames_get(frames + *out, count);
    else
        got = (frames[*out] = zeroed ? frame_get_zeroed(PAGE_4K) : frame_get(PAGE_4K)) != FRAME_NONE;
    frames_fail_nth(-1);
    for (; got > 0; got--, ++*out) {
        model_get(frames[*out], 1);
        assert_true(!zeroed || is_zeros(frames[*out], FRAME));
        memset(phys_to_virt(frames[*out]), 0xa5, FRAME);
    }
}

static void put_in_state(struct random *random, paddr_t *frames, unsigned *out)
{
    unsigned count = 1 + (unsigned)random_below(random, 150);

    count = count < *out ? count : *out;
    *out -= count;
    for (unsigned i = 0; i < count; i++)
        model_put(frames[*out + i], 1);
    if (random_below(random, 2)) {
        frames_put(frames + *out, count);
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        bool clean = random_below(random, 2);

        if (clean)
            memset(phys_to_virt(frames[*out + i]), 0, FRAME);
        if (clean)
            frame_put_clean(frames[*out + i], PAGE_4K);
        else
            frame_put(frames[*out + i], PAGE_4K);
    }
}

/* Whatever comes and goes, and fails in between: what is asked for as zeros is zeros, and nothing is lost. */
static void test_random_states(void **state)
{
    struct random random = {harness_seed()};
    static paddr_t frames[STATES_HELD];
    unsigned out = 0;

    (void)state;
    start(holes, ARRAY_LENGTH(holes));
    own_metadata();
    for (size_t step = 0; step < harness_number("QUIRE_STEPS", 20000); step++) {
        unsigned kind = (unsigned)random_below(&random, 100);

        if (kind < 50)
            get_in_state(&random, frames, &out);
        else if (kind < 90)
            put_in_state(&random, frames, &out);
        else if (kind < 99)
            frames_clean();
        else
            frames_drain();
        assert_int_equal(frames_stats().free + model.out, frames_stats().total);
    }
    while (out > 0)
        put_in_state(&random, frames, &out);
    frames_drain();
    assert_int_equal(frames_stats().free, frames_stats().total);
    assert_int_equal(frames_stats().free_2m, free_2m_of_model());
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_single_frames),
        cmocka_unit_test(test_2m_frames),
        cmocka_unit_test(test_2m_put_in_pieces),
        cmocka_unit_test(test_2m_from_run_of_the_highest_order),
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_holes_and_edges),
        cmocka_unit_test(test_ranges_that_touch),
        cmocka_unit_test(test_take_across_ranges_that_touch),
        cmocka_unit_test(test_frame_zero_is_a_frame),
        cmocka_unit_test(test_tiny_ram),
        cmocka_unit_test(test_no_ram),
        cmocka_unit_test(test_ram_too_small_for_its_metadata),
        cmocka_unit_test(test_64_gib),
        cmocka_unit_test(test_1g_put_in_pieces),
        cmocka_unit_test(test_metadata_bound),
        cmocka_unit_test(test_singles_keep_together),
        cmocka_unit_test(test_magazine_frames_are_found),
        cmocka_unit_test(test_take),
        cmocka_unit_test(test_take_1g_and_holes),
        cmocka_unit_test(test_bad_puts_panic),
        cmocka_unit_test(test_metadata_cannot_be_put),
        cmocka_unit_test(test_fail_nth),
        cmocka_unit_test(test_table_frames),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_random_with_holes),
        cmocka_unit_test(test_bulk),
        cmocka_unit_test(test_neighbours),
        cmocka_unit_test(test_many_as_runs),
        cmocka_unit_test(test_large_neighbours),
        cmocka_unit_test(test_large_neighbours_over_gigabytes),
        cmocka_unit_test(test_large_neighbours_put_twice_panic),
        cmocka_unit_test(test_runs_leave_the_magazine),
        cmocka_unit_test(test_many_large),
        cmocka_unit_test(test_cleaning),
        cmocka_unit_test(test_virgin),
        cmocka_unit_test(test_beside),
        cmocka_unit_test(test_bad_states_panic),
        cmocka_unit_test(test_random_states),
    };

    return harness_main(argc, argv, tests, ARRAY_LENGTH(tests));
}
