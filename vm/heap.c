/*
 * The heap driver.
 *
 * Up to VM_SPAN_MAX a segment is a span: a run of frames used where the permanent map of RAM shows it. It is
 * mapped already, in the largest pages the CPU has, so it costs no page-table entry and never faults. All else, larger,
 * at a given address, or when no such run is free, is a slot with headroom, backed on touch as anon is. Contents are
 * zeroed only without VM_NOZERO.
 *
 * A span cannot be protected or split: its pages are not its own. It grows when the frames behind it happen to be free.
 */
#include "vm/heap.h"

#include "core/base/assert.h"
#include "core/base/print.h"
#include "vm/frames.h"
#include "vm/segments.h"

static bool is_span(const struct vm_segment *segment)
{
    return segment_in_ram_map(segment);
}

static paddr_t span_frame(const struct vm_segment *segment)
{
    return virt_to_phys((void *)segment->start);
}

/* Puts back a run of frames of any length, in aligned pieces. */
static void put_frames(paddr_t start, size_t size)
{
    while (size > 0) {
        unsigned order = (unsigned)__builtin_ctzll((start >> VM_PAGE_SHIFT) | 1ull << FRAME_RUN_ORDER_MAX);
        unsigned most = 63u - (unsigned)__builtin_clzll(size >> VM_PAGE_SHIFT);

        if (order > most)
            order = most;
        frame_put_run(start, order);
        start += VM_PAGE_SIZE << order;
        size -= VM_PAGE_SIZE << order;
    }
}

/* Makes a segment of frames that are taken already; they go back if that fails. */
static struct vm_segment *span_create(struct address_space *space, paddr_t start, size_t size, vm_flags_t flags)
{
    void *memory = phys_to_virt(start);
    struct vm_segment *segment = vm_segment_create(space, &vm_heap, (vaddr_t)memory, size, flags);

    if (IS_ERR(segment)) {
        put_frames(start, size);
        return segment;
    }
    space->spans += size;
    if (!(flags & VM_NOZERO))
        frame_zero(memory, size);
    return segment;
}

static struct vm_segment *span_alloc(struct address_space *space, size_t size, vm_flags_t flags)
{
    unsigned order = log2_ceil(size >> VM_PAGE_SHIFT);
    paddr_t first = frame_get_run(order);

    if (first == FRAME_NONE)
        return ERR_PTR(E_NOMEM);
    put_frames(first + size, (VM_PAGE_SIZE << order) - size);
    return span_create(space, first, size, flags);
}

static struct vm_segment *heap_segment_alloc(struct address_space *space, vaddr_t start, size_t size, vm_flags_t flags)
{
    if ((flags & VM_PROTECTION) == VM_RW && (flags & VM_CACHE) == VM_CACHE_WB && start == VM_ANYWHERE &&
        size <= VM_SPAN_MAX) {
        struct vm_segment *span = span_alloc(space, size, flags);

        if (!IS_ERR(span))
            return span;
        flags |= VM_POPULATE; /* single frames are left: as sure not to fault as a span */
    }
    return segment_create_owned(space, &vm_heap, start, size, flags, 0);
}

/* The RAM at that very place, if it is free. */
static struct vm_segment *heap_segment_alloc_at(struct address_space *space, paddr_t start, size_t size,
                                                vm_flags_t flags)
{
    if ((flags & VM_PROTECTION) != VM_RW || (flags & VM_CACHE) != VM_CACHE_WB)
        return ERR_PTR(E_INVAL);
    error_t error = frame_take(start, size);

    if (error == E_INVAL && frames_overlap(start, size))
        error = E_BUSY; /* RAM, but not the frame allocator's */
    return error ? ERR_PTR(error) : span_create(space, start, size, flags);
}

void space_spans_shrink(struct address_space *space, size_t size)
{
    space_note_peak(space);
    if (UNLIKELY(space->spans > space->spans_peak))
        space->spans_peak = space->spans;
    space->spans -= size;
}

static void heap_segment_free(struct address_space *space, struct vm_segment *segment)
{
    if (!is_span(segment)) {
        vm_segment_free_owned(space, segment);
        return;
    }
    space_spans_shrink(space, segment->size);
    put_frames(span_frame(segment), segment->size);
    vm_segment_destroy(space, segment);
}

static error_t span_resize(struct address_space *space, struct vm_segment *segment, size_t size)
{
    size_t old = segment->size;
    error_t error = E_SUCCESS;

    if (size < old) {
        space_spans_shrink(space, old - size);
        put_frames(span_frame(segment) + size, old - size);
    } else {
        error = frame_take(span_frame(segment) + old, size - old);
    }
    if (error)
        return E_NOMEM;
    error = vm_segment_set_size(space, segment, size);
    if (error) {
        put_frames(span_frame(segment) + old, size - old);
        return error;
    }
    if (size > old)
        space->spans += size - old;
    if (size > old && !(segment->flags & VM_NOZERO))
        frame_zero((char *)segment->start + old, size - old);
    return E_SUCCESS;
}

static error_t heap_segment_resize(struct address_space *space, struct vm_segment *segment, size_t size)
{
    return is_span(segment) ? span_resize(space, segment, size) : vm_segment_resize_owned(space, segment, size);
}

static error_t heap_segment_protect(struct address_space *space, struct vm_segment *segment, vm_flags_t protection)
{
    return is_span(segment) ? E_NOTSUP : vm_segment_protect_mapped(space, segment, protection);
}

static error_t heap_segment_advise(struct address_space *space, struct vm_segment *segment, vaddr_t va, size_t size,
                                   int advice)
{
    if (!is_span(segment))
        return vm_segment_advise_owned(space, segment, va, size, advice);
    if (advice == VM_ADVICE_DONTNEED)
        frame_zero((void *)va, size);
    return E_SUCCESS;
}

static void heap_segment_describe(const struct vm_segment *segment, char *buffer, size_t size)
{
    if (is_span(segment))
        text_format(buffer, size, "span of RAM at %#llx", (unsigned long long)span_frame(segment));
    else
        text_format(buffer, size, "slot");
}

const struct vm_segment_driver vm_heap = {
    .vm_alloc = heap_segment_alloc,
    .vm_alloc_at = heap_segment_alloc_at,
    .vm_free = heap_segment_free,
    .vm_resize = heap_segment_resize,
    .vm_fault = vm_segment_fault_owned,
    .name = "heap",
    .properties = VM_DRIVER_GENERAL_REGISTERS | VM_DRIVER_MERGES | VM_DRIVER_DEMAND,
    .protect = heap_segment_protect,
    .split = vm_segment_split_nothing,
    .advise = heap_segment_advise,
    .describe = heap_segment_describe,
};

void *vm_span_alloc(size_t size)
{
    struct vm_segment *segment = vm_alloc(vm_space(), &vm_heap, VM_ANYWHERE, size, VM_RW | VM_NOZERO);

    return IS_ERR(segment) ? NULL : (void *)segment->start;
}

void vm_span_free(void *span)
{
    struct vm_segment *segment = vm_find(vm_space(), (vaddr_t)span);

    CHECK(segment && segment->start == (vaddr_t)span && segment->driver == &vm_heap, "vm_span_free: %p is not a span",
          span);
    vm_free(vm_space(), segment);
}
