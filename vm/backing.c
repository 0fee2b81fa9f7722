/*
 * Backing segments with frames: what drivers that own their frames share (vm/driver.h).
 *
 * Fresh memory that is touched in order is backed ahead, in windows that grow (Linux: readahead, fault-around). A
 * segment remembers where the next touch in order would come and how many pages the run before it has. A touch there
 * backs the largest of 1, 4, 16, 64 and 512 pages that the run, with this page, is long: never more ahead than was
 * touched. Any other touch begins a new run; but one that is dropped as a whole, or its end (VM_ADVICE_DONTNEED), is
 * expected again, and the next touch of the first page dropped backs up to AGAIN_MAX of them. A window ends with its
 * segment and its 2 MiB, before the first page that is there, and where frames are short; at a free 2 MiB that policy
 * and segment allow, a large page takes its place.
 */
#include "core/base/assert.h"
#include "core/base/string.h"
#include "vm/fault.h"
#include "vm/frames.h"
#include "vm/segments.h"

enum page_size page_policy = PAGE_2M;

enum page_size vm_page_policy(void)
{
    return page_policy;
}

void vm_set_page_policy(enum page_size largest)
{
    page_policy = largest > mmu_largest_page() ? mmu_largest_page() : largest;
}

/* ---- frames ---- */

paddr_t vm_frame_get(void)
{
    paddr_t frame = frame_get_hot(PAGE_4K, FRAME_DIRTY);

    return LIKELY(frame != FRAME_NONE) ? frame : frame_get(PAGE_4K);
}

void vm_frame_put(paddr_t frame)
{
    if (UNLIKELY(!frame_put_hot(frame, PAGE_4K, FRAME_DIRTY)))
        frame_put(frame, PAGE_4K);
}

paddr_t vm_frame_get_large(void)
{
    paddr_t frame = frame_get_hot(PAGE_2M, FRAME_DIRTY);

    return LIKELY(frame != FRAME_NONE) ? frame : frame_get(PAGE_2M);
}

void vm_frame_put_large(paddr_t frame)
{
    if (UNLIKELY(!frame_put_hot(frame, PAGE_2M, FRAME_DIRTY)))
        frame_put(frame, PAGE_2M);
}

unsigned vm_frames_get(paddr_t *frames, unsigned count)
{
    return frames_get(frames, count);
}

void vm_frames_put(const paddr_t *frames, unsigned count)
{
    frames_put(frames, count);
}

void *vm_frame_memory(paddr_t frame)
{
    return phys_to_virt(frame);
}

/* ---- pages ---- */

enum page_size vm_segment_largest_page(const struct vm_segment *segment)
{
    return (enum page_size)segment->largest;
}

enum page_size largest_page_asked(vm_flags_t flags)
{
    unsigned asked = (flags & VM_PAGES) / VM_PAGES_4K - 1;

    return asked > (unsigned)mmu_largest_page() ? mmu_largest_page() : (enum page_size)asked;
}

static __attribute__((noinline)) error_t map_elsewhere(struct address_space *space, struct vm_segment *segment,
                                                       vaddr_t va, paddr_t frame, enum page_size size)
{
    error_t error = mmu_map(&space->mmu, va, frame, size, segment->flags);

    if (LIKELY(!error))
        segment->mapped = true;
    return error;
}

__attribute__((noinline)) error_t vm_segment_map(struct address_space *space, struct vm_segment *segment, vaddr_t va,
                                                 paddr_t frame, enum page_size size)
{
    SPACE_HOLD_AT(space, va);
    ASSERT(va >= segment->start && va + page_bytes(size) <= segment_end(segment));
    ASSERT(is_aligned(va | frame, page_bytes(size)));
    if (UNLIKELY(size != PAGE_4K))
        return map_elsewhere(space, segment, va, frame, size);
    if (UNLIKELY(!mmu_map_hot(&space->mmu, va, frame, segment->flags)))
        return map_elsewhere(space, segment, va, frame, PAGE_4K); /* without a register for the size */
    segment->mapped = true;
    return E_SUCCESS;
}

static COLD void keep_peak(struct address_space *space, uint64_t resident)
{
    space->peak = resident;
    for (unsigned i = 0; i < PAGE_SIZES; i++)
        space->peak_pages[i] = mmu_pages(&space->mmu, (enum page_size)i);
    space->peak_pages[PAGE_4K] += space->spans >> VM_PAGE_SHIFT;
    if (space->windows > 0)
        space_subtract_windows(space, space->peak_pages);
}

void space_note_peak(struct address_space *space)
{
    uint64_t resident = space_resident(space);

    if (UNLIKELY(resident > space->peak))
        keep_peak(space, resident);
}

/* The frames, at most MMU_FLUSH_SINGLES, are in the magazine's room; first other CPUs are to forget the pages. */
COLD static __attribute__((noinline)) void put_forgotten(const paddr_t *frames, size_t count, vaddr_t va, size_t size)
{
    paddr_t kept[MMU_FLUSH_SINGLES]; /* while this CPU waits its magazine may be emptied */

    memcpy(kept, frames, count * sizeof(*frames));
    mmu_flush_elsewhere(va, size);
    frames_put(kept, (unsigned)count);
}

bool space_put_few(struct address_space *space, vaddr_t va, size_t size)
{
    uint64_t *table = mmu_few_in_table(&space->mmu, va, size), *entry, *end;
    uint64_t known = 0; /* of all entries */
    size_t borrowed = 0;

    if (UNLIKELY(!table))
        return false;
    paddr_t *frames = frames_put_room(size >> VM_PAGE_SHIFT), *next = frames;

    if (UNLIKELY(!frames))
        return false;
    space_note_peak(space);
    entry = mmu_small_entry(*table, va);
    end = entry + (size >> VM_PAGE_SHIFT);
    for (vaddr_t at = va; entry < end; entry++, at += VM_PAGE_SIZE) {
        if (LIKELY(*entry != 0)) {
            uint64_t old = mmu_take_small(entry, at);

            known |= old;
            if (LIKELY(!mmu_entry_is_borrowed(old)))
                *next++ = mmu_entry_frame(old);
            else
                borrowed++;
        }
    }
    if (UNLIKELY(mmu_entry_may_be_known(known) && mmu_is_known_elsewhere(va, size)))
        put_forgotten(frames, (size_t)(next - frames), va, size);
    else
        frames_put_filled((size_t)(next - frames));
    mmu_count_taken(&space->mmu, table, (size_t)(next - frames) + borrowed);
    if (UNLIKELY(mmu_table_is_new_empty(*table)))
        mmu_note_empty(&space->mmu, table, va);
    return true;
}

void vm_segment_unmap(struct address_space *space, struct vm_segment *segment, vaddr_t va, size_t size, bool release)
{
    SPACE_HOLD_AT(space, va);
    if (!segment->mapped)
        return;
    if (!release || !space_put_few(space, va, size)) {
        space_note_peak(space);
        mmu_unmap(&space->mmu, va, size, release);
    }
    if (size == segment->size)
        segment->mapped = false;
}

struct mmu_count segment_resident(struct address_space *space, const struct vm_segment *segment)
{
    if (segment_in_ram_map(segment))
        return (struct mmu_count){.pages = {[PAGE_4K] = segment->size >> VM_PAGE_SHIFT}};
    return mmu_count(&space->mmu, segment->start, segment->size);
}

/* A fresh page of the given size at its aligned address; the frame goes back if it cannot be mapped. */
static inline error_t back_page(struct address_space *space, struct vm_segment *segment, vaddr_t page,
                                enum page_size size)
{
    paddr_t frame = segment->flags & VM_NOZERO ? frame_get(size) : frame_get_zeroed(size);

    if (UNLIKELY(frame == FRAME_NONE))
        return E_NOMEM;
    error_t error = vm_segment_map(space, segment, page, frame, size);

    if (UNLIKELY(error))
        frame_put(frame, size);
    return error;
}

/* Backs the page around va inside [start, end) with the largest page there may be; size says with which. */
static __attribute__((noinline)) error_t back_within(struct address_space *space, struct vm_segment *segment,
                                                     vaddr_t va, vaddr_t start, vaddr_t end, enum page_size *size)
{
    bool fallen = false;
    error_t error = E_NOMEM;

    for (*size = vm_segment_largest_page(segment); error && *size > PAGE_4K; *size -= error != E_SUCCESS) {
        vaddr_t page = align_down(va, page_bytes(*size));

        if (!page_fits(va, start, end, *size) || !mmu_is_free(&space->mmu, page, *size))
            continue;
        error = back_page(space, segment, page, *size);
        fallen |= error != E_SUCCESS;
    }
    if (error)
        error = back_page(space, segment, align_down(va, VM_PAGE_SIZE), PAGE_4K);
    segment->fallbacks += fallen && !error;
    return error;
}

static inline error_t back_alone(struct address_space *space, struct vm_segment *segment, vaddr_t va,
                                 enum page_size *size)
{
    if (!segment_may_be_large(segment, va))
        return back_page(space, segment, align_down(va, VM_PAGE_SIZE), PAGE_4K);
    return back_within(space, segment, va, segment->start, segment_end(segment), size);
}

error_t vm_segment_back(struct address_space *space, struct vm_segment *segment, vaddr_t va)
{
    SPACE_HOLD_AT(space, va);
    enum page_size size = PAGE_4K;
    error_t error = back_alone(space, segment, va, &size);

    if (LIKELY(!error))
        segment->faults[size]++;
    return error;
}

#define BATCH 16u         /* runs of frames at once: a fault's stack is small */
#define RUN_AGAIN 0x8000u /* in `run`: so many pages from `next` on were touched before, and dropped */
#define AGAIN_MAX 64u

/* All of them, with frames of a magazine, which hardly ever are neighbours: a short loop. False: it has less. */
static bool back_from_magazine(struct address_space *space, const struct vm_segment *segment, uint64_t *table,
                               vaddr_t page, unsigned count)
{
    bool zeroing = !(segment->flags & VM_NOZERO);
    const paddr_t *frames = zeroing ? frames_get_hot(count, FRAME_CLEAN) : NULL, *end;
    uint64_t leaf = mmu_leaf_bits[segment->flags & VM_PROTECTION], *entry = mmu_small_entry(*table, page);

    if (UNLIKELY(frames != NULL))
        zeroing = false;
    else if (UNLIKELY((frames = frames_get_hot(count, FRAME_DIRTY)) == NULL))
        return false;
    if (zeroing)
        this_cpu(frames_zeroed) += (uint64_t)count << VM_PAGE_SHIFT;
    for (end = frames + count; frames < end; frames++) {
        if (zeroing)
            machine_zero_pages(phys_to_virt(*frames), VM_PAGE_SIZE);
        *entry++ = *frames | leaf;
    }
    mmu_count_entered(&space->mmu, table, count);
    return true;
}

/* Up to `most` of them, none beyond the table, which is there. */
unsigned segment_back_small(struct address_space *space, struct vm_segment *segment, uint64_t *table, vaddr_t page,
                            size_t most)
{
    size_t left = PTE_TABLE_ENTRIES - (page >> VM_PAGE_SHIFT) % PTE_TABLE_ENTRIES;
    unsigned done = 0, wanted = mmu_free_small(*table, page, (unsigned)(most < left ? most : left));
    struct frame_run runs[BATCH];

    if (wanted > 0 && back_from_magazine(space, segment, table, page, wanted))
        done = wanted;
    while (done < wanted) {
        unsigned count = frames_get_runs(runs, BATCH, wanted - done, !(segment->flags & VM_NOZERO));

        if (UNLIKELY(count == 0))
            break;
        done += mmu_map_runs(&space->mmu, table, page + ((vaddr_t)done << VM_PAGE_SHIFT), runs, count, segment->flags);
    }
    if (done > 0)
        segment->mapped = true;
    return done;
}

/* The pages that a touch of the page backs. Where other CPUs may be waiting, no more than a magazine has. */
static unsigned window_of(const struct vm_segment *segment, vaddr_t page)
{
    unsigned run = segment->run, window = run & RUN_AGAIN ? run & ~RUN_AGAIN : window_after(run);
    size_t left = (segment_end(segment) - page) >> VM_PAGE_SHIFT;

    if (run + 1 >= WINDOW_MAX && !(run & RUN_AGAIN) && !mmu_is_known_elsewhere(page, VM_PAGE_SIZE))
        window = WINDOW_MAX;
    return window < left ? window : (unsigned)left;
}

static inline void note_touch(struct vm_segment *segment, vaddr_t page, size_t backed)
{
    size_t run = page == segment->next && !(segment->run & RUN_AGAIN) ? segment->run + backed : backed;

    segment->run = run < WINDOW_MAX ? (uint16_t)run : WINDOW_MAX;
    segment->next = page + (backed << VM_PAGE_SHIFT);
}

/* The pages of the range go: those of the run before `next` are expected again. */
static inline void note_dropped(struct vm_segment *segment, vaddr_t va, size_t size)
{
    size_t pages = size >> VM_PAGE_SHIFT;

    if (segment->next != va + size || (segment->run & RUN_AGAIN) ||
        segment->run < (pages < WINDOW_MAX ? pages : WINDOW_MAX))
        return;
    segment->next = va;
    segment->run = (uint16_t)((pages < AGAIN_MAX ? pages : AGAIN_MAX) | RUN_AGAIN);
}

#if QUIRE_THREADS
PERCPU bool fault_has_zeros;

/* True if the fault, which lacks a large frame of zeros, is to be answered with FAULT_NEEDS_ZEROS. */
static inline bool needs_zeros(const struct vm_segment *segment, vaddr_t va)
{
    return other_cpus_run() && frame_magazine(PAGE_2M, FRAME_CLEAN)->count == 0 && !(segment->flags & VM_NOZERO) &&
           !this_cpu(fault_has_zeros) && mmu_is_known_elsewhere(va, VM_PAGE_SIZE);
}
#else
static inline bool needs_zeros(const struct vm_segment *segment, vaddr_t va)
{
    (void)segment, (void)va;
    return false;
}
#endif

/* Small pages in a table that is there: the window of a touch in order. */
static error_t touch_table(struct address_space *space, struct vm_segment *segment, uint64_t *table, vaddr_t page)
{
    unsigned backed =
        segment_back_small(space, segment, table, page, page == segment->next ? window_of(segment, page) : 1);

    if (backed == 0)
        return *mmu_small_entry(*table, page) != 0 ? E_EXIST : E_NOMEM;
    note_touch(segment, page, backed);
    segment->faults[PAGE_4K]++;
    return E_SUCCESS;
}

/* What is not usual: a touch in order, a large page, a table or the way to it that is missing, an empty magazine. */
static error_t touch_rare(struct address_space *space, struct vm_segment *segment, vaddr_t va)
{
    uint64_t *entry = mmu_find_directory(&space->mmu, va);
    enum page_size size = PAGE_4K;

    if (LIKELY(entry && mmu_has_table(*entry) && (mmu_table_is_used(*entry) || !segment_may_be_large(segment, va))))
        return touch_table(space, segment, entry, align_down(va, VM_PAGE_SIZE));
    error_t error = back_alone(space, segment, va, &size);

    if (error)
        return error;
    note_touch(segment, align_down(va, page_bytes(size)), page_bytes(size) >> VM_PAGE_SHIFT);
    segment->faults[size]++;
    return E_SUCCESS;
}

/* It could not be served, unless another CPU has. */
COLD static __attribute__((noinline)) error_t touch_refused(struct address_space *space, struct vm_segment *segment,
                                                            vaddr_t va, error_t error)
{
    if (error == E_NOMEM && space_reclaim(space))
        error = touch_rare(space, segment, va);
    if (error == E_EXIST && other_cpus_run() && space_allows(space, va, VM_READ))
        return E_SUCCESS;
    segment->faults_refused += error != E_SUCCESS;
    return error;
}

static __attribute__((noinline)) error_t touch_counting(struct address_space *space, struct vm_segment *segment,
                                                        vaddr_t va)
{
    error_t error = touch_rare(space, segment, va);

    return LIKELY(!error) ? error : touch_refused(space, segment, va, error);
}

/* True if the directory's entry points to a table in which a page of the segment is to be a small one. */
static inline bool may_be_small(const struct vm_segment *segment, uint64_t entry)
{
    return LIKELY(mmu_table_is_used(entry)) || (mmu_has_table(entry) && segment->size < page_bytes(PAGE_2M));
}

static inline void touch_large(struct address_space *space, struct vm_segment *segment, vaddr_t page, uint64_t *entry,
                               paddr_t frame)
{
    mmu_enter_large(&space->mmu, entry, frame, segment->flags & VM_PROTECTION);
    segment->mapped = true;
    note_touch(segment, page, page_bytes(PAGE_2M) >> VM_PAGE_SHIFT);
    segment->faults[PAGE_2M]++;
}

/* With a frame that no magazine has as it should be. */
static __attribute__((noinline)) error_t touch_large_slowly(struct address_space *space, struct vm_segment *segment,
                                                            vaddr_t va, uint64_t *entry)
{
    paddr_t frame = segment->flags & VM_NOZERO ? frame_get(PAGE_2M) : frame_get_zeroed(PAGE_2M);

    if (UNLIKELY(frame == FRAME_NONE))
        return touch_counting(space, segment, va);
    touch_large(space, segment, align_down(va, page_bytes(PAGE_2M)), entry, frame);
    return E_SUCCESS;
}

/* Where there is no table of small pages, at the entry of the directory: a page of 2 MiB, if one may be there. */
static __attribute__((noinline)) error_t touch_directory(struct address_space *space, struct vm_segment *segment,
                                                         vaddr_t va, uint64_t *entry)
{
    vaddr_t page = align_down(va, page_bytes(PAGE_2M));

    if (UNLIKELY(*entry != 0 || segment->largest != PAGE_2M ||
                 !page_fits(va, segment->start, segment_end(segment), PAGE_2M)))
        return touch_counting(space, segment, va);
    paddr_t frame = frame_get_hot(PAGE_2M, segment->flags & VM_NOZERO ? FRAME_DIRTY : FRAME_CLEAN);

    if (UNLIKELY(frame == FRAME_NONE && needs_zeros(segment, va)))
        return FAULT_NEEDS_ZEROS;
    if (UNLIKELY(frame == FRAME_NONE))
        return touch_large_slowly(space, segment, va, entry);
    touch_large(space, segment, page, entry, segment->flags & VM_NOZERO ? frame : frame_check_zeroed(frame));
    return E_SUCCESS;
}

/* In a directory that is not the one used last, but is from now on. */
static __attribute__((noinline)) error_t touch_elsewhere(struct address_space *space, struct vm_segment *segment,
                                                         vaddr_t va)
{
    return mmu_find_directory(&space->mmu, va) ? segment_touch(space, segment, va) : touch_counting(space, segment, va);
}

/* All that is called is the end of this: so no register is saved. */
error_t segment_touch(struct address_space *space, struct vm_segment *segment, vaddr_t va)
{
    vaddr_t page = align_down(va, VM_PAGE_SIZE);
    uint64_t *table = mmu_directory_entry(&space->mmu, va), *entry;

    bool in_order = page == segment->next;

    if (UNLIKELY(!table))
        return touch_elsewhere(space, segment, va);
    __asm__("" : "+r"(table)); /* addresses, not bases and indices: else registers are saved */
    if (UNLIKELY(!may_be_small(segment, *table)))
        return touch_directory(space, segment, va, table);
    if (UNLIKELY(in_order && segment->run >= WINDOW_FIRST))
        return touch_counting(space, segment, va);
    entry = mmu_small_entry(*table, va);
    __asm__("" : "+r"(entry));
    if (UNLIKELY(*entry != 0))
        return touch_counting(space, segment, va);
    paddr_t frame = segment->flags & VM_NOZERO ? frame_get_hot(PAGE_4K, FRAME_DIRTY) : frame_get_zeroed_hot();

    if (UNLIKELY(frame == FRAME_NONE))
        return touch_counting(space, segment, va);
    mmu_enter_small(&space->mmu, table, entry, frame, segment->flags & VM_PROTECTION);
    segment->mapped = true;
    segment->run = in_order ? segment->run + 1 : 1;
    segment->next = page + VM_PAGE_SIZE;
    segment->faults[PAGE_4K]++;
    return E_SUCCESS;
}

error_t vm_segment_fault_owned(struct address_space *space, struct vm_segment *segment)
{
    const struct vm_fault_info *fault = this_cpu(fault_record);

    return fault->present ? E_ACCES : touch_rare(space, segment, fault->address);
}

COLD error_t vm_segment_populate(struct address_space *space, struct vm_segment *segment, vaddr_t va, size_t size)
{
    SPACE_HOLD_AT(space, va);
    vaddr_t end = va + size;

    for (vaddr_t at = va; at < end;) {
        uint64_t *table = mmu_find_directory(&space->mmu, at);
        enum page_size page = PAGE_4K;
        error_t error = E_SUCCESS;
        size_t left = (end - at) >> VM_PAGE_SHIFT, backed;

        if (table && mmu_has_table(*table) &&
            (mmu_table_is_used(*table) || segment->largest == PAGE_4K || !page_fits(at, va, end, PAGE_2M))) {
            backed = segment_back_small(space, segment, table, at, left);
            error = backed > 0 ? E_SUCCESS : E_NOMEM;
        } else {
            error = back_within(space, segment, at, va, end, &page);
            backed = page_bytes(page) >> VM_PAGE_SHIFT;
        }
        if (error) {
            vm_segment_unmap(space, segment, va, size, true);
            return error;
        }
        at += backed << VM_PAGE_SHIFT;
    }
    return E_SUCCESS;
}

struct vm_segment *segment_create_owned(struct address_space *space, const struct vm_segment_driver *driver,
                                        vaddr_t start, size_t size, vm_flags_t flags, size_t guard)
{
    /* RAM has its memory type from the permanent map; a second one for the same frame is undefined on x86. */
    if (flags & VM_CACHE)
        return ERR_PTR(E_INVAL);
    struct vm_segment *segment = vm_segment_create(space, driver, start, size, flags);

    if (!(flags & VM_POPULATE) || IS_ERR(segment))
        return segment;
    error_t error = vm_segment_populate(space, segment, segment->start + guard, size - guard);

    if (error && space_reclaim(space))
        error = vm_segment_populate(space, segment, segment->start + guard, size - guard);
    if (error) {
        vm_segment_destroy(space, segment);
        return ERR_PTR(error);
    }
    return segment;
}

/* ---- ready-made operations ---- */

/*
 * The short way back of what segment_touch gives: the one page of the segment, in a table of the directory used last.
 * What is rare, no room in the magazine and a peak that has to be noted first included, is decided before anything is
 * done, and all that is called is the end of this, as there.
 */
long segment_free_touched(vaddr_t start, size_t size, struct address_space *space, struct vm_segment *segment)
{
    uint64_t *table = mmu_directory_entry(&space->mmu, start), *entry;
    struct frame_magazine *own;

    if (UNLIKELY(!table))
        return segment_free_slowly(space, segment);
    if (UNLIKELY(size > VM_PAGE_SIZE || (mmu_strict && other_cpus_run()) || !mmu_has_only_table(*table) ||
                 segment_rare_counts(segment) || !segment_may_be_kept(space, segment) ||
                 space_resident(space) > space->peak))
        return segment_free_slowly(space, segment);
    entry = mmu_small_entry(*table, start);
    __asm__("" : "+r"(entry)); /* as in segment_touch */
    own = frame_magazine(PAGE_4K, FRAME_DIRTY);
    __asm__("" : "+r"(own));
    if (UNLIKELY(*entry == 0 || own->count == FRAME_MAGAZINE_MAX))
        return segment_free_slowly(space, segment);
    frame_check_put(mmu_entry_frame(*entry), PAGE_4K, FRAME_DIRTY);
    own->frames[own->count] = mmu_entry_frame(*entry);
    __asm__("" : "+m"(own->count)); /* counted where it is: else a register is saved */
    own->count++;
    mmu_take_small(entry, start);
    mmu_count_taken(&space->mmu, table, 1);
    this_cpu(driver_past)[DRIVER_ANON].faults[PAGE_4K] += segment->faults[PAGE_4K];
    segment->faults[PAGE_4K] = 0;
    segment->mapped = false;
    segment->next = 0; /* the structure is kept for a segment that begins as this one did */
    if (mmu_is_known_elsewhere(start, VM_PAGE_SIZE))
        segment_wait(space, segment);
    else
        segment_keep(space, segment);
    return UNLIKELY(mmu_table_is_new_empty(*table)) ? mmu_note_empty(&space->mmu, table, start) : 0;
}

void segment_free_used(struct address_space *space, struct vm_segment *segment)
{
    if (segment->driver == &vm_anon)
        segment_free_touched(segment->start, segment->size, space, segment);
    else
        segment_free_slowly(space, segment);
}

void vm_segment_free_owned(struct address_space *space, struct vm_segment *segment)
{
    segment_free_owned(space, segment);
}

error_t segment_shrink_mapped(struct address_space *space, struct vm_segment *segment, size_t size)
{
    vaddr_t end = segment->start + size;
    error_t error = mmu_split(&space->mmu, end);

    if (error)
        return error;
    vm_segment_unmap(space, segment, end, segment->size - size, true);
    segment->size = size;
    return E_SUCCESS;
}

error_t vm_segment_resize_owned(struct address_space *space, struct vm_segment *segment, size_t size)
{
    size_t old = segment->size;

    if (size < old)
        return segment_shrink(space, segment, size);
    error_t error = vm_segment_set_size(space, segment, size);

    if (error || !(segment->flags & VM_POPULATE))
        return error;
    error = vm_segment_populate(space, segment, segment->start + old, size - old);
    if (error)
        segment->size = old;
    return error;
}

error_t vm_segment_protect_mapped(struct address_space *space, struct vm_segment *segment, vm_flags_t protection)
{
    segment->flags = (segment->flags & ~VM_PROTECTION) | protection;
    if (segment->mapped)
        mmu_protect(&space->mmu, segment->start, segment->size, protection);
    return E_SUCCESS;
}

error_t vm_segment_split_nothing(struct address_space *space, struct vm_segment *first, struct vm_segment *second)
{
    (void)space, (void)first, (void)second;
    return E_SUCCESS;
}

/* Where both edges are those of pages. */
static error_t split_pages(struct address_space *space, vaddr_t va, size_t size)
{
    error_t error = mmu_split(&space->mmu, va);

    return error ? error : mmu_split(&space->mmu, va + size);
}

static error_t drop_range(struct address_space *space, struct vm_segment *segment, vaddr_t va, size_t size)
{
    error_t error = E_SUCCESS;

    if (UNLIKELY(!space_put_few(space, va, size))) {
        error = split_pages(space, va, size);
        if (!error)
            vm_segment_unmap(space, segment, va, size, true);
    }
    if (!error)
        note_dropped(segment, va, size);
    return error;
}

/* The pages stay until frames are short (space_reclaim), unless they are written to before. */
static error_t give_up_contents(struct address_space *space, struct vm_segment *segment, vaddr_t va, size_t size)
{
    if (segment->mapped && split_pages(space, va, size) == E_SUCCESS) { /* without a table for that they just stay */
        mmu_clean(&space->mmu, va, size);
        space->has_clean = true;
    }
    return E_SUCCESS;
}

COLD static void drop_clean(void *context, const struct vm_segment *segment)
{
    struct address_space *space = context;

    if (segment->mapped && segment->start < LOW_HALF_END && segment->driver->advise == vm_segment_advise_owned)
        mmu_unmap_clean(&space->mmu, segment->start, segment->size);
}

COLD static void reclaim(struct address_space *space)
{
    if (space->has_clean) {
        space->has_clean = false;
        space_note_peak(space);
        segments_visit(space, drop_clean, space);
    }
    reserve_release(space);
    mmu_trim(&space->mmu);
}

/* Domains that other CPUs are busy in are passed over: they may be waiting for one that this CPU holds. */
COLD bool space_reclaim(struct address_space *space)
{
    size_t before = frames_free();

#if QUIRE_THREADS
    for (struct address_space *domain = space->whole; domain; domain = space_after(domain)) {
        SPACE_HELD = {.domain = NULL};

        if (space_try(&held_space, domain))
            reclaim(domain);
    }
#else
    reclaim(space);
#endif
    return frames_free() > before;
}

/* Backs what is not backed yet; running out of frames on the way is no error, as for a hint. */
COLD static void back_missing(struct address_space *space, struct vm_segment *segment, vaddr_t va, size_t size)
{
    vaddr_t end = va + size;

    while (va < end) {
        struct mmu_entry entry;
        enum page_size page;

        if (mmu_query(&space->mmu, va, &entry))
            page = entry.size;
        else if (back_within(space, segment, va, va, end, &page))
            return;
        va = align_down(va, page_bytes(page)) + page_bytes(page);
    }
}

error_t vm_segment_advise_owned(struct address_space *space, struct vm_segment *segment, vaddr_t va, size_t size,
                                int advice)
{
    if (advice == VM_ADVICE_DONTNEED)
        return drop_range(space, segment, va, size);
    if (advice == VM_ADVICE_FREE)
        return give_up_contents(space, segment, va, size);
    if (segment->flags & VM_READ)
        back_missing(space, segment, va, size);
    return E_SUCCESS;
}
