/*
 * Faults of several CPUs on one domain: threads that share an allocation touch it at the same time. The domain's lock
 * would have them wait for each other, so such a domain is opened, in the manner of Dice and Kogan, "BRAVO: Biased
 * Locking for Reader-Writer Locks" (USENIX ATC 2019): the usual faults are served without the lock, by visitors, each
 * of which says so on a line of its own and then looks whether the domain is still open. Whoever takes the lock, for
 * anything else, closes the domain: it says so, and then waits until no visitor is there. A fault that gets the lock
 * and finds the domain opened meanwhile gives it back, and is a visitor, too (vm/fault.c). Of a CPU that comes and one
 * that closes one sees what the other has said. Nothing else is written that two of them share.
 *
 * A domain opens after so many faults by other CPUs than its own, and so closing it, a look at a line of each CPU, is
 * paid for by the faults that came before. Domains that nobody visits have no part in this. Those that are tied never
 * open.
 *
 * While a domain is open its segments and tables of page tables stay as they are; visitors add pages to these tables
 * (arch/x86_64/mmu_shared.c). What a fault counts, and where the next one is expected (vm/backing.c), each visitor
 * keeps for itself, and who closes the domain adds it up.
 *
 * Visitors serve first touches of anonymous memory, and faults on what another CPU has backed meanwhile. They wait for
 * nobody who holds a domain.
 */
#include "vm/visitors.h"

#include "core/base/string.h"
#include "core/cpu.h"
#include "vm/frames.h"

#if QUIRE_THREADS

#define VISITS_TO_OPEN 2u

_Static_assert(sizeof(struct vm_visitor) * CPUS_MAX <= VM_PAGE_SIZE, "the visitors of a domain have one frame");

/* ---- opening and closing ---- */

/* Without a frame it stays as it is. */
COLD static void open_domain(struct address_space *domain)
{
    if (!domain->visitors)
        domain->visitors = bookkeeping_page(domain);
    domain->visits = 0;
    if (domain->visitors)
        __atomic_store_n(&domain->open, true, __ATOMIC_SEQ_CST);
}

/* A fault inside of an operation, whose domain stays closed, is none of a visitor. */
COLD void visitors_note(struct address_space *domain)
{
    const struct vm_segment_driver *driver = domain->last->driver;

    if (domain->tied || domain->lock.depth > 0 || !driver || driver->vm_fault != vm_segment_fault_owned)
        return;
    if (++domain->visits >= VISITS_TO_OPEN)
        open_domain(domain);
}

/* The segment counts what the visitor has counted for it. Others may do so, too. */
static void tell_segment(struct vm_visitor *visitor)
{
    struct vm_segment *segment = visitor->segment;

    if (!segment)
        return;
    __atomic_fetch_add(&segment->faults[PAGE_4K], visitor->faults_small, __ATOMIC_RELAXED);
    __atomic_fetch_add(&segment->faults[PAGE_2M], visitor->faults_large, __ATOMIC_RELAXED);
    visitor->faults_small = visitor->faults_large = 0;
}

/* All but `here`, which only the visitor itself changes: it may be coming just now, and find the domain open again. */
static void add_up(struct address_space *domain, struct vm_visitor *visitor)
{
    tell_segment(visitor);
    mmu_count_added(&domain->mmu, visitor->small, visitor->large);
    mmu_count_entries(&visitor->uncounted);
    memset(&visitor->run, 0, sizeof(*visitor) - offsetof(struct vm_visitor, run));
}

/* Of CPUs that were stopped for good some may be there. The call that another one may be waiting for is served here. */
COLD static void wait_until_gone(const struct vm_visitor *visitor)
{
    uint64_t interrupts = cpu_interrupts_off();

    while (__atomic_load_n(&visitor->here, __ATOMIC_SEQ_CST) && !cpu_others_stopped())
        cpu_relax();
    cpu_interrupts_restore(interrupts);
}

COLD void visitors_leave(struct address_space *domain)
{
    __atomic_store_n(&domain->open, false, __ATOMIC_SEQ_CST);
    domain->visits = 0;
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++) {
        struct vm_visitor *visitor = &domain->visitors[cpu];

        if (UNLIKELY(__atomic_load_n(&visitor->here, __ATOMIC_SEQ_CST)))
            wait_until_gone(visitor);
        if (visitor->segment)
            add_up(domain, visitor);
    }
}

COLD void visitors_destroy(struct address_space *domain)
{
    if (domain->visitors)
        bookkeeping_put(domain, domain->visitors);
    domain->visitors = NULL;
}

static inline void go(struct vm_visitor *visitor)
{
    __atomic_store_n(&visitor->here, false, __ATOMIC_RELEASE);
}

/* NULL: the domain has been closed. */
static inline struct vm_visitor *come(struct address_space *domain)
{
    struct vm_visitor *visitor = &domain->visitors[cpu_number()];

    __atomic_store_n(&visitor->here, true, __ATOMIC_SEQ_CST);
    if (LIKELY(__atomic_load_n(&domain->open, __ATOMIC_SEQ_CST)))
        return visitor;
    go(visitor);
    return NULL;
}

/* ---- serving ---- */

/* The segment at the address, which the visitor counts for from here on; NULL: there is none. */
static inline struct vm_segment *find(struct address_space *domain, struct vm_visitor *visitor, vaddr_t va)
{
    struct vm_segment *segment = visitor->segment;

    if (LIKELY(segment && va - segment->start < segment->size))
        return segment;
    segment = segment_find(domain, va);
    if (segment) {
        tell_segment(visitor);
        visitor->segment = segment;
    }
    return segment;
}

/* How many pages a touch of this one backs, none of them beyond the segment or the table. */
static inline unsigned window_at(const struct vm_visitor *visitor, vaddr_t page)
{
    size_t left = PTE_TABLE_ENTRIES - (page >> VM_PAGE_SHIFT) % PTE_TABLE_ENTRIES;
    size_t pages = (segment_end(visitor->segment) - page) >> VM_PAGE_SHIFT;
    unsigned window = page == visitor->next ? window_after(visitor->run) : 1;

    if (pages < left)
        left = pages;
    return window < left ? window : (unsigned)left;
}

static inline void note_touch(struct vm_visitor *visitor, vaddr_t page, unsigned backed)
{
    unsigned run = page == visitor->next ? visitor->run + backed : backed;

    visitor->run = run < WINDOW_MAX ? (uint16_t)run : WINDOW_MAX;
    visitor->next = page + ((vaddr_t)backed << VM_PAGE_SHIFT);
}

static inline enum frame_state state_of(const struct vm_segment *segment)
{
    return segment->flags & VM_NOZERO ? FRAME_DIRTY : FRAME_CLEAN;
}

static inline void put_back(paddr_t frame, enum page_size size, enum frame_state state)
{
    if (state == FRAME_CLEAN)
        frame_put_clean(frame, size);
    else
        frame_put(frame, size);
}

static inline paddr_t get_one(enum page_size size, enum frame_state state)
{
    return state == FRAME_CLEAN ? frame_get_zeroed(size) : frame_get(size);
}

/* The number of pages that were entered; 0: another CPU was quicker, or there is no frame. */
static unsigned enter_one(const struct mmu_place *place, const struct vm_segment *segment, vaddr_t page)
{
    enum frame_state state = state_of(segment);
    paddr_t frame = get_one(PAGE_4K, state);

    if (UNLIKELY(frame == FRAME_NONE))
        return 0;
    if (LIKELY(mmu_add_small(place, page, (struct frame_run){frame, 1}, segment->flags) == 1))
        return 1;
    put_back(frame, PAGE_4K, state);
    return 0;
}

/* All of a window, with frames that a magazine has; fewer: another CPU was there. 0: it has not so many. */
static unsigned enter_hot(const struct mmu_place *place, const struct vm_segment *segment, vaddr_t page,
                          unsigned window)
{
    enum frame_state state = state_of(segment);
    const paddr_t *frames = frames_get_hot(window, state);
    bool zeroing = !frames;
    unsigned done = 0;

    if (zeroing)
        frames = frames_get_hot(window, FRAME_DIRTY);
    for (bool free = true; frames && free && done < window; done += free) {
        if (zeroing)
            frame_zero(phys_to_virt(frames[done]), VM_PAGE_SIZE);
        free = mmu_add_small(place, page + ((vaddr_t)done << VM_PAGE_SHIFT), (struct frame_run){frames[done], 1},
                             segment->flags) == 1;
    }
    for (unsigned i = done; frames && i < window; i++) /* into the same places of the magazine, or ones before */
        put_back(frames[i], PAGE_4K, zeroing ? FRAME_DIRTY : state);
    return done;
}

#define RUNS_MIN 16u /* pages, from which on neighbours are worth to be looked for */
#define BATCH 16u    /* runs of frames at once: a fault's stack is small */

/* The same with frames from the store, which are neighbours as a rule. */
static unsigned enter_runs(const struct mmu_place *place, const struct vm_segment *segment, vaddr_t page,
                           unsigned window)
{
    struct frame_run runs[BATCH];
    unsigned count = frames_get_runs(runs, BATCH, window, state_of(segment) == FRAME_CLEAN), done = 0;
    bool free = true;

    for (const struct frame_run *run = runs; run < runs + count; run++) {
        vaddr_t at = page + ((vaddr_t)done << VM_PAGE_SHIFT);
        unsigned entered = free ? mmu_add_small(place, at, *run, segment->flags) : 0;

        done += entered;
        free = entered == run->count;
        if (UNLIKELY(!free))
            frames_put_neighbours(run->first + ((paddr_t)entered << VM_PAGE_SHIFT), PAGE_4K, run->count - entered);
    }
    return done;
}

static unsigned enter_small(const struct mmu_place *place, const struct vm_segment *segment, vaddr_t page,
                            unsigned window)
{
    unsigned done = 0;

    if (window >= RUNS_MIN)
        done = enter_runs(place, segment, page, window);
    if (done == 0 && window > 1)
        done = enter_hot(place, segment, page, window);
    return done > 0 ? done : enter_one(place, segment, page);
}

static bool touch_large(const struct mmu_place *place, struct vm_visitor *visitor, vaddr_t va)
{
    const struct vm_segment *segment = visitor->segment;
    enum frame_state state = state_of(segment);
    paddr_t frame = get_one(PAGE_2M, state);

    if (UNLIKELY(frame == FRAME_NONE))
        return false;
    if (UNLIKELY(!mmu_add_large(place, frame, segment->flags, &visitor->uncounted))) {
        put_back(frame, PAGE_2M, state);
        return false;
    }
    visitor->large++;
    visitor->faults_large++;
    note_touch(visitor, align_down(va, page_bytes(PAGE_2M)), (unsigned)(page_bytes(PAGE_2M) >> VM_PAGE_SHIFT));
    return true;
}

static bool touch_small(const struct mmu_place *place, struct vm_visitor *visitor, vaddr_t page)
{
    if (__atomic_load_n(mmu_small_entry(place->entry, page), __ATOMIC_RELAXED) != 0) /* another CPU was there before */
        return false;
    unsigned done = enter_small(place, visitor->segment, page, window_at(visitor, page));

    if (UNLIKELY(done == 0))
        return false;
    visitor->small += done;
    visitor->faults_small++;
    note_touch(visitor, page, done);
    return true;
}

/* Where nothing is mapped. */
static bool touch(struct mmu_place *place, struct vm_visitor *visitor, vaddr_t va)
{
    struct vm_segment *segment = visitor->segment;
    bool large = segment_may_be_large(segment, va);

    if (UNLIKELY(segment->largest > PAGE_2M))
        return false;
    if (UNLIKELY(!__atomic_load_n(&segment->mapped, __ATOMIC_RELAXED)))
        __atomic_store_n(&segment->mapped, true, __ATOMIC_RELAXED);
    if (large && place->entry == 0)
        return touch_large(place, visitor, va);
    if (place->entry == 0 && UNLIKELY(!mmu_add_table(place, &visitor->uncounted)))
        return false;
    if (UNLIKELY(!mmu_has_table(place->entry) || (large && !mmu_table_is_used(place->entry))))
        return false;
    return touch_small(place, visitor, align_down(va, VM_PAGE_SIZE));
}

static bool serve(struct address_space *domain, struct vm_visitor *visitor, vaddr_t va, vm_flags_t access, bool present)
{
    const struct vm_segment *segment = find(domain, visitor, va);
    struct mmu_place place;

    if (UNLIKELY(!segment || !(segment->flags & access) || segment->driver->vm_fault != vm_segment_fault_owned ||
                 !mmu_find_place(&domain->mmu, va, &place)))
        return false;
    if (UNLIKELY(present))
        return mmu_forget_allowed(&place, va, access);
    return LIKELY(touch(&place, visitor, va)) || mmu_forget_allowed(&place, va, access);
}

bool visitors_serve(struct address_space *domain, vaddr_t va, vm_flags_t access, bool present)
{
    struct vm_visitor *visitor = come(domain);
    bool served = LIKELY(visitor != NULL) && serve(domain, visitor, va, access, present);

    if (LIKELY(visitor != NULL))
        go(visitor);
    return served;
}
#endif
