/*
 * The interface of the frame allocator, and its magazines.
 *
 * In front of the store each CPU has magazines (Bonwick, Adams, "Magazines and Vmem", USENIX 2001): small stacks of
 * frames, so that the usual get and put are a load and a store, and a frame that is reused is still in the cache.
 * Frames in a magazine look handed out to the store.
 *
 * A frame is virgin (never handed out: above a mark, as the lowest are handed out first), clean (all zeros) or dirty.
 * Only magazines tell clean from dirty: who wants zeros takes clean ones first, and who does not, dirty ones.
 * Clean are those that came back so (emptied page tables), that an idle CPU has zeroed, and, if the image was built to
 * trust that RAM is zeros at boot, virgin ones.
 */
#include "vm/frames/internal.h"

#define FEW 4u   /* frames for which the magazine is filled, where it is empty: for the next ones, too */
#define RUNS 16u /* of neighbours that are taken from the store before they are looked at */

PERCPU struct frame_magazines frame_magazines;
#if QUIRE_THREADS
PERCPU paddr_t virgin_before;
unsigned frame_magazine_2m;
#endif

void (*frames_reclaim)(void);

/* Single frames from the store, as far as it has some: the number of them. */
static unsigned take_singles(paddr_t *frames, unsigned want)
{
    struct frame_run runs[RUNS];
    struct taking taking = {.runs = runs, .places = RUNS, .want = want};
    paddr_t *next = frames;

    do {
        taking.count = 0;
        take_runs(&taking);
        for (const struct frame_run *run = runs; run < runs + taking.count; next += run++->count) {
            for (unsigned i = 0; i < run->count; i++)
                next[i] = run->first + ((paddr_t)i << VM_PAGE_SHIFT);
        }
    } while (taking.want > 0 && taking.count > 0);
    return want - taking.want;
}

/* Single frames from `virgin` on go to the magazine of clean ones, as far as there is room. */
static __attribute__((noinline, cold)) void sort_out_virgin(struct frame_magazines *own, paddr_t virgin)
{
    struct frame_magazine *dirty = &own->of[PAGE_4K][FRAME_DIRTY], *clean = &own->of[PAGE_4K][FRAME_CLEAN];

    while (dirty->count > 0 && dirty->frames[dirty->count - 1] >= virgin && clean->count < FRAME_MAGAZINE_MAX)
        clean->frames[clean->count++] = dirty->frames[--dirty->count];
}

void refill(void)
{
    struct frame_magazines *own = &this_cpu(frame_magazines);
    struct frame_magazine *dirty = &own->of[PAGE_4K][FRAME_DIRTY];
    paddr_t virgin = virgin_mark();

    begin_moving(own);
    dirty->count = take_singles(dirty->frames, REFILL);
    end_moving(own);
    this_cpu(frame_counts).refills++;
    if (UNLIKELY(frames_trust_virgin))
        sort_out_virgin(own, virgin_mark_then(virgin));
}

COLD void frames_drain(void)
{
    struct frame_magazines *own = &this_cpu(frame_magazines);

    begin_moving(own);
    for (unsigned state = 0; state < FRAME_STATES; state++) {
        struct frame_magazine *single = &own->of[PAGE_4K][state], *large = &own->of[PAGE_2M][state];

        put_singles(single->frames, single->count);
        single->count = 0;
        while (large->count > 0)
            put_children(large->frames[--large->count] >> CHILD_SHIFT, 1);
    }
    if (own->uncleaned > 0)
        put_children(own->cleaning >> CHILD_SHIFT, 1);
    own->uncleaned = 0;
    end_moving(own);
}

/* From the store. */
static paddr_t take(enum page_size size)
{
    if (size == PAGE_4K) {
        refill();
        return pop(PAGE_4K, FRAME_DIRTY);
    }
    return take_large(size);
}

static paddr_t get(enum page_size size)
{
    paddr_t frame;

    if ((frame = pop(size, FRAME_DIRTY)) != FRAME_NONE || (frame = take(size)) != FRAME_NONE ||
        (frame = pop(size, FRAME_CLEAN)) != FRAME_NONE)
        return frame;
    frames_drain();
    if ((frame = take(size)) != FRAME_NONE || !drain_others(size > PAGE_4K))
        return frame;
    return take(size);
}

static __attribute__((noinline)) paddr_t get_failing(enum page_size size)
{
    return get_fails() ? FRAME_NONE : get(size);
}

paddr_t frame_get(enum page_size size)
{
    paddr_t frame = LIKELY(size <= PAGE_2M) ? frame_get_hot(size, FRAME_DIRTY) : FRAME_NONE;

    return LIKELY(frame != FRAME_NONE) ? frame : get_failing(size);
}

static __attribute__((noinline)) paddr_t get_zeroed(enum page_size size)
{
    paddr_t frame, virgin = virgin_mark();

    if (get_fails())
        return FRAME_NONE;
    if ((frame = pop(size, FRAME_CLEAN)) != FRAME_NONE)
        return frame_check_zeroed(frame);
    frame = virgin != FRAME_NONE && size > PAGE_4K ? take(size) : FRAME_NONE;
    virgin = virgin_mark_then(virgin);
    if (frame == FRAME_NONE) {
        frame = get(size); /* which need not be one that was just taken */
        virgin = QUIRE_THREADS ? FRAME_NONE : virgin;
    }
    if (frame != FRAME_NONE && frame < virgin)
        frame_zero(phys_to_virt(frame), page_bytes(size));
    return frame;
}

paddr_t frame_get_zeroed(enum page_size size)
{
    paddr_t frame = LIKELY(size == PAGE_4K) ? frame_get_zeroed_hot() : FRAME_NONE;

    return LIKELY(frame != FRAME_NONE) ? frame : get_zeroed(size);
}

COLD void frames_prepare_zeroed(enum page_size size, unsigned count)
{
    const struct frame_magazine *clean = frame_magazine(size, FRAME_CLEAN);

    while (clean->count < count && clean->count < frame_magazine_places(size)) {
        paddr_t frame = frame_get_hot(size, FRAME_DIRTY);

        if (frame == FRAME_NONE)
            frame = frame_get(size);
        if (frame == FRAME_NONE)
            return;
        frame_zero(phys_to_virt(frame), page_bytes(size));
        frame_put_clean(frame, size);
    }
}

/* The half of the magazine that was put first goes to the store. */
static void spill(struct frame_magazine *own)
{
    this_cpu(frame_counts).spills++;
    note_extreme();
    begin_moving(&this_cpu(frame_magazines));
    put_singles(own->frames, FRAME_MAGAZINE_MAX - REFILL);
    own->count = REFILL;
    memmove(own->frames, own->frames + FRAME_MAGAZINE_MAX - REFILL, REFILL * sizeof(own->frames[0]));
    end_moving(&this_cpu(frame_magazines));
}

COLD static __attribute__((noinline)) void put_overflow(paddr_t frame, enum page_size size)
{
    struct frame_magazine *own = frame_magazine(size, FRAME_DIRTY);

    CHECK(is_aligned(frame, page_bytes(size)), "frame_put: %#llx is misaligned", (unsigned long long)frame);
    if (size == PAGE_4K) {
        if (own->count == FRAME_MAGAZINE_MAX)
            spill(own);
        own->frames[own->count++] = frame;
        return;
    }
    note_extreme();
    put_children(frame >> CHILD_SHIFT, page_bytes(size) >> CHILD_SHIFT);
}

void frame_put(paddr_t frame, enum page_size size)
{
    if (UNLIKELY(size > PAGE_2M))
        frame_check_put(frame, size, FRAME_DIRTY);
    if (UNLIKELY(size > PAGE_2M || !frame_put_hot(frame, size, FRAME_DIRTY)))
        put_overflow(frame, size);
}

void frame_put_clean(paddr_t frame, enum page_size size)
{
    if (UNLIKELY(!frame_put_hot(frame, size, FRAME_CLEAN)))
        put_overflow(frame, size);
}

unsigned frames_get(paddr_t *frames, unsigned count)
{
    struct frame_magazines *own = &this_cpu(frame_magazines);
    struct frame_magazine *hot = &own->of[PAGE_4K][FRAME_DIRTY];
    unsigned got;

    if (get_fails())
        return 0;
    got = count < hot->count ? count : hot->count;
    hot->count -= got;
    memcpy(frames, hot->frames + hot->count, got * sizeof(frames[0])); /* in this order they are neighbours, if any */
    got += take_singles(frames + got, count - got);
    if (LIKELY(got == count))
        return got;
    frames_drain();
    got += take_singles(frames + got, count - got);
    if (got < count && drain_others(false))
        got += take_singles(frames + got, count - got);
    return got;
}

/* What is behind `virgin` is zeros. */
static void zero_runs(const struct frame_run *runs, unsigned count, paddr_t virgin)
{
    for (const struct frame_run *run = runs; run < runs + count; run++) {
        paddr_t end = frame_run_end(*run) < virgin ? frame_run_end(*run) : virgin;

        if (run->first < end)
            frame_zero(phys_to_virt(run->first), end - run->first);
    }
}

unsigned frames_get_runs(struct frame_run *runs, unsigned places, unsigned count, bool zeroed)
{
    struct frame_magazines *own = &this_cpu(frame_magazines);
    struct taking taking = {.runs = runs, .places = places, .want = count};
    paddr_t virgin = virgin_mark();

    if (get_fails())
        return 0;
    take_runs(&taking);
    if (UNLIKELY(taking.want > 0 && taking.count < taking.places)) {
        frames_drain();
        take_runs(&taking);
        if (taking.want > 0 && taking.count < taking.places && drain_others(false))
            take_runs(&taking);
    }
    virgin = virgin_mark_then(virgin);
    if (count <= FEW && own->of[PAGE_4K][FRAME_DIRTY].count == 0)
        refill();
    if (zeroed)
        zero_runs(taking.runs, taking.count, virgin);
    return taking.count;
}

void frames_put(const paddr_t *frames, unsigned count)
{
    struct frame_magazine *hot = frame_magazine(PAGE_4K, FRAME_DIRTY);

    for (unsigned i = 0; i < count; i++)
        frame_check_put(frames[i], PAGE_4K, FRAME_DIRTY);
    if (count > FRAME_MAGAZINE_MAX - hot->count) {
        note_extreme();
        put_singles(frames, count);
        return;
    }
    memcpy(hot->frames + hot->count, frames, count * sizeof(frames[0]));
    hot->count += count;
}

void frames_put_neighbours(paddr_t first, enum page_size size, size_t count)
{
    struct frame_magazine *hot = frame_magazine(PAGE_2M, FRAME_DIRTY);
    paddr_t end = first + (count << page_shift(size));
    unsigned room = size == PAGE_2M ? frame_magazine_places(PAGE_2M) - hot->count : 0;

    CHECK(is_aligned(first, page_bytes(size)), "frame_put: %#llx is misaligned", (unsigned long long)first);
    for (paddr_t frame = first; frame < end; frame += page_bytes(size))
        frame_check_put(frame, size, FRAME_DIRTY);
    room = count < room ? (unsigned)count : room;
    for (unsigned i = room; i-- > 0;) /* the lowest is the next one got */
        hot->frames[hot->count++] = first + i * SIZE_2M;
    note_extreme();
    put_range(first + room * SIZE_2M, end);
}

/* ---- upcalls of the page tables ---- */

paddr_t mmu_get_table_frame(void)
{
    return frame_get_zeroed(PAGE_4K);
}

void mmu_put_table_frame(paddr_t table)
{
    frame_put_clean(table, PAGE_4K);
}

void mmu_release_frame(paddr_t frame, enum page_size size)
{
    frame_put(frame, size);
}

void mmu_release_frames(const paddr_t *frames, unsigned count)
{
    frames_put(frames, count);
}

void mmu_release_neighbours(paddr_t first, enum page_size size, size_t count)
{
    frames_put_neighbours(first, size, count);
}
