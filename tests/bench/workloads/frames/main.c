/*
 * The frame allocator as programs and their drivers reach it: 4 KiB by vm_frame_get, 2 MiB by vm_frame_get_large, many
 * of 4 KiB by vm_frames_get, and contiguous frames as memory by vm_span_alloc. Hot: what was put last is got next. In
 * batches: more than a magazine holds. Only where the VM core is part of the program; its names are weak references,
 * which nothing defines on Linux.
 */
#include "tests/bench/bench.h"
#include "vm/driver.h"
#include "vm/heap.h"

#pragma weak vm_frame_get
#pragma weak vm_frame_put
#pragma weak vm_frame_get_large
#pragma weak vm_frame_put_large
#pragma weak vm_frames_get
#pragma weak vm_frames_put
#pragma weak vm_frame_memory
#pragma weak vm_span_alloc
#pragma weak vm_span_free

#define LOOP 1000u
#define BATCH 512u
#define UNROLL _Pragma("clang loop unroll_count(8)") /* so that the loop hardly counts */

static paddr_t get(void)
{
    paddr_t frame = vm_frame_get();

    if (frame == FRAME_NONE)
        bench_fail("no memory: there is no frame");
    return frame;
}

static void *get_span(void)
{
    void *span = vm_span_alloc(VM_SPAN_MAX);

    if (span == NULL)
        bench_fail("no memory: there are no contiguous frames of %zu bytes", VM_SPAN_MAX);
    return span;
}

static void frame_hot(const struct bench_row *row, struct bench_span *span)
{
    (void)row;
    bench_begin(span);
    UNROLL
    for (unsigned i = 0; i < LOOP; i++)
        vm_frame_put(get());
    bench_end(span);
}

/* Each holds its number until it is put. */
static void frame_batch(const struct bench_row *row, struct bench_span *span)
{
    static paddr_t frames[BATCH];

    bench_begin(span);
    UNROLL
    for (unsigned i = 0; i < BATCH; i++)
        frames[i] = get();
    bench_end(span);
    for (unsigned i = 0; i < row->operations; i++)
        *(unsigned *)vm_frame_memory(frames[i]) = i;
    for (unsigned i = 0; i < row->operations; i++)
        bench_check_number("the number in a frame", *(unsigned *)vm_frame_memory(frames[i]), i);
    bench_begin(span);
    UNROLL
    for (unsigned i = 0; i < BATCH; i++)
        vm_frame_put(frames[i]);
    bench_end(span);
}

static void large_hot(const struct bench_row *row, struct bench_span *span)
{
    (void)row;
    bench_begin(span);
    UNROLL
    for (unsigned i = 0; i < LOOP; i++) {
        paddr_t frame = vm_frame_get_large();

        if (frame == FRAME_NONE)
            bench_fail("no memory: there is no frame of 2 MiB");
        vm_frame_put_large(frame);
    }
    bench_end(span);
}

static void frame_bulk(const struct bench_row *row, struct bench_span *span)
{
    static paddr_t frames[BATCH];

    bench_begin(span);
    if (vm_frames_get(frames, BATCH) != BATCH)
        bench_fail("no memory: there are no %u frames", BATCH);
    bench_end(span);
    for (unsigned i = 0; i < row->operations; i++)
        *(unsigned *)vm_frame_memory(frames[i]) = i;
    for (unsigned i = 0; i < row->operations; i++)
        bench_check_number("the number in a frame", *(unsigned *)vm_frame_memory(frames[i]), i);
    bench_begin(span);
    vm_frames_put(frames, BATCH);
    bench_end(span);
}

static void span_hot(const struct bench_row *row, struct bench_span *span)
{
    bench_begin(span);
    for (uint64_t i = 0; i < row->operations; i++)
        vm_span_free(get_span());
    bench_end(span);
}

static void span_batch(const struct bench_row *row, struct bench_span *span)
{
    static void *spans[BATCH];

    bench_begin(span);
    for (unsigned i = 0; i < BATCH; i++)
        spans[i] = get_span();
    bench_end(span);
    for (unsigned i = 0; i < row->operations; i++)
        *(unsigned *)spans[i] = i;
    for (unsigned i = 0; i < row->operations; i++)
        bench_check_number("the number in a span", *(unsigned *)spans[i], i);
    bench_begin(span);
    for (unsigned i = 0; i < BATCH; i++)
        vm_span_free(spans[i]);
    bench_end(span);
}

static const struct bench_row rows[] = {
    {"frame", VM_PAGE_SIZE, "frame, get + put", frame_hot, LOOP, 0},
    {"frame", 512 * VM_PAGE_SIZE, "frame of 2 MiB, get + put", large_hot, LOOP, 0},
    {"frame_batch", VM_PAGE_SIZE, "frame, 512 got, 512 put, each", frame_batch, BATCH, 0},
    {"frame_bulk", VM_PAGE_SIZE, "512 frames got at once and put at once, each", frame_bulk, BATCH, 0},
    {"span", VM_SPAN_MAX, "contiguous frames, vm_span_alloc + vm_span_free", span_hot, LOOP, 0},
    {"span_batch", VM_SPAN_MAX, "contiguous frames, 512 times vm_span_alloc, vm_span_free, each", span_batch, BATCH, 0},
};

int main(int argc, char **argv)
{
    bench_no_arguments(argc, argv);
    bench_open();
    if (vm_frame_get)
        bench_run_all(rows, sizeof(rows) / sizeof(rows[0]));
    else
        bench_left_out("frame", "there is no frame allocator that a program can call");
    return bench_close();
}
