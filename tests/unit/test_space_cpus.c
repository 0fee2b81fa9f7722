/*
 * The address space used by several CPUs at once, which threads of the host play. Each has segments of its own and
 * every so many pages of one segment that they share, keeps a model of both (protection and contents of each page), and
 * does what programs do, in random order: what one does to its memory no other may notice. In the end no CPU knows a
 * translation that is gone, and every frame is back.
 */
#include <string.h>

#include "core/cpu.h"
#include "core/percpu.h"
#include "fixture.h"
#include "harness.h"
#include "vm/frames.h"

#define CPUS 4u
#define RAM (96 * MIB)
#define OWN 12u
#define PAGES_MAX 96u
#define SHARED_PAGES (CPUS * PAGES_MAX)

#define EXPECT(condition, ...)                                                                                         \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            fake_violation(__VA_ARGS__);                                                                               \
    } while (0)

struct page {
    bool there;
    vm_flags_t protection;
    uint64_t stamp; /* what was written last; 0: nothing yet */
};

/* Consecutive pages, or every CPUS-th of the shared segment. */
struct memory {
    vaddr_t start;
    size_t pages, step;
    struct page page[PAGES_MAX];
};

struct player {
    unsigned cpu;
    bool failing; /* frames are short at times */
    struct random random;
    uint64_t stamps;
    struct memory own[OWN], shared;
};

static struct player players[CPUS];
static vaddr_t shared_start;

static uint32_t below(struct player *player, uint32_t bound)
{
    return (uint32_t)random_below(&player->random, bound);
}

static vaddr_t address_of(const struct memory *memory, size_t page)
{
    return memory->start + page * memory->step * VM_PAGE_SIZE;
}

static void fill(struct memory *memory, size_t from, size_t to, struct page page)
{
    for (; from < to; from++)
        memory->page[from] = page;
}

/* False: frames are short, and nothing has happened. */
static bool is_done(const struct player *player, error_t error, const char *what)
{
    EXPECT(!error || (player->failing && error == E_NOMEM), "CPU %u: %s: error %d", player->cpu, what, error);
    return !error;
}

/* ---- touching ---- */

static error_t expected(const struct page *page, vm_flags_t access)
{
    return !page->there ? E_FAULT : page->protection & access ? E_SUCCESS : E_ACCES;
}

static void touch(struct player *player, struct memory *memory, size_t index)
{
    struct page *page = &memory->page[index];
    vaddr_t va = address_of(memory, index) + below(player, VM_PAGE_SIZE / 8) * 8;
    vm_flags_t access = below(player, 2) ? VM_WRITE : VM_READ;
    uint64_t value = (uint64_t)player->cpu << 56 | ++player->stamps, found[2] = {0};
    vaddr_t ends[2] = {align_down(va, VM_PAGE_SIZE), align_down(va, VM_PAGE_SIZE) + VM_PAGE_SIZE - 8};
    error_t error = E_SUCCESS;

    if (!page->there) /* it may be known until the next epoch, or be another's by now */
        return;
    for (size_t i = 0; i < 2 && !error; i++)
        error = access == VM_WRITE ? fake_write(ends[i], &value, 8) : fake_read(ends[i], &found[i], 8);
    if (error == E_NOMEM && player->failing)
        return;
    EXPECT(error == expected(page, access), "CPU %u: access %u of %#lx: error %d, not %d", player->cpu, access, va,
           error, expected(page, access));
    if (error)
        return;
    if (access == VM_WRITE)
        page->stamp = value;
    else
        EXPECT(found[0] == page->stamp && found[1] == page->stamp, "CPU %u: %#lx holds %#lx and %#lx, not %#lx",
               player->cpu, va, (unsigned long)found[0], (unsigned long)found[1], (unsigned long)page->stamp);
}

/* ---- operations ---- */

static void allocate(struct player *player, struct memory *memory)
{
    static const vm_flags_t kinds[] = {VM_RW, VM_RW, VM_RW | VM_MERGE, VM_RW | VM_POPULATE, VM_READ};
    vm_flags_t flags = kinds[below(player, ARRAY_LENGTH(kinds))];
    size_t pages = 1 + below(player, below(player, 2) ? PAGES_MAX : 3);
    const struct vm_segment_driver *driver = below(player, 4) ? &vm_anon : &vm_heap;

    if (driver == &vm_heap)
        flags = VM_RW;
    struct vm_segment *segment = vm_alloc(vm_space(), driver, VM_ANYWHERE, pages * VM_PAGE_SIZE, flags);

    if (!is_done(player, IS_ERR(segment) ? ERR_OF(segment) : E_SUCCESS, "vm_alloc"))
        return;
    memory->start = vm_start(segment);
    memory->pages = pages;
    memory->step = 1;
    fill(memory, 0, pages, (struct page){.there = true, .protection = flags & VM_PROTECTION});
}

/* The heap driver's spans cannot be cut. */
static bool is_span(const struct memory *memory)
{
    return memory->start >= PHYSMAP_BASE && memory->start < PHYSMAP_BASE + PHYSMAP_SIZE;
}

static void free_all(struct player *player, struct memory *memory)
{
    struct vm_segment *whole = vm_find(vm_space(), memory->start);

    if (is_span(memory) || (whole && below(player, 2) && vm_start(whole) == memory->start &&
                            vm_size(whole) == memory->pages * VM_PAGE_SIZE))
        vm_free(vm_space(), whole);
    else if (!is_done(player, vm_unmap(vm_space(), memory->start, memory->pages * VM_PAGE_SIZE), "vm_unmap of all"))
        return;
    memory->pages = 0;
}

static bool all_there(const struct memory *memory, size_t from, size_t to)
{
    while (from < to && memory->page[from].there)
        from++;
    return from == to;
}

static bool none_there(const struct memory *memory)
{
    size_t page = 0;

    while (page < memory->pages && !memory->page[page].there)
        page++;
    return page == memory->pages;
}

static void protect(struct player *player, struct memory *memory, size_t from, size_t to)
{
    static const vm_flags_t kinds[] = {0, VM_READ, VM_RW, VM_RW};
    vm_flags_t protection = kinds[below(player, ARRAY_LENGTH(kinds))];
    error_t error = vm_protect(vm_space(), address_of(memory, from), (to - from) * VM_PAGE_SIZE, protection);

    if (!all_there(memory, from, to)) {
        EXPECT(error == E_NOMEM, "CPU %u: protecting a hole: error %d", player->cpu, error);
        return;
    }
    for (; is_done(player, error, "vm_protect") && from < to; from++)
        memory->page[from].protection = protection;
}

static void unmap(struct player *player, struct memory *memory, size_t from, size_t to)
{
    if (!is_done(player, vm_unmap(vm_space(), address_of(memory, from), (to - from) * VM_PAGE_SIZE), "vm_unmap"))
        return;
    fill(memory, from, to, (struct page){.there = false});
    if (none_there(memory)) /* the addresses may be another's from now on */
        memory->pages = 0;
}

static void drop(struct player *player, struct memory *memory, size_t from, size_t to)
{
    int advice = below(player, 3) ? VM_ADVICE_DONTNEED : VM_ADVICE_WILLNEED;
    error_t error = vm_advise(vm_space(), address_of(memory, from), (to - from) * VM_PAGE_SIZE, advice);

    if (!all_there(memory, from, to)) {
        EXPECT(error == E_NOMEM, "CPU %u: advice for a hole: error %d", player->cpu, error);
        error = E_SUCCESS; /* the rest is done */
    }
    for (; is_done(player, error, "vm_advise") && advice == VM_ADVICE_DONTNEED && from < to; from++)
        memory->page[from].stamp = 0;
}

/* Of one segment, the whole memory. */
static void resize(struct player *player, struct memory *memory)
{
    size_t pages = 1 + below(player, PAGES_MAX), old = memory->pages;
    struct vm_segment *segment = vm_find(vm_space(), memory->start);
    error_t error;

    if (!segment || vm_size(segment) != old * VM_PAGE_SIZE)
        return;
    error = below(player, 2) ? vm_resize(vm_space(), segment, pages * VM_PAGE_SIZE)
                             : vm_move(vm_space(), segment, VM_ANYWHERE, pages * VM_PAGE_SIZE);
    if (error == E_NOMEM || !is_done(player, error, "vm_resize or vm_move")) /* the slot may be too small */
        return;
    memory->start = vm_start(segment);
    memory->pages = pages;
    if (pages > old)
        fill(memory, old, pages, (struct page){.there = true, .protection = memory->page[0].protection});
}

static void do_to_range(struct player *player, struct memory *memory, bool whole)
{
    size_t from = below(player, (uint32_t)memory->pages);
    size_t to = whole ? from + 1 : from + 1 + below(player, (uint32_t)(memory->pages - from));

    switch (below(player, memory->step == 1 ? 3 : 2)) {
    case 0:
        protect(player, memory, from, to);
        break;
    case 1:
        drop(player, memory, from, to);
        break;
    default:
        unmap(player, memory, from, to);
    }
}

static void look_around(struct player *player)
{
    size_t found = 0;

    SPACE_HOLD_ALL(space);
    for (struct vm_segment *segment = vm_next(space, 0); segment;
         segment = vm_next(space, vm_start(segment) + vm_size(segment)))
        found++;
    EXPECT(found == vm_stats(space).segments, "CPU %u: %zu segments", player->cpu, found);
}

static void step(struct player *player)
{
    struct memory *memory = &player->own[below(player, OWN)];
    uint32_t kind = below(player, 32);

    if (player->failing && kind % 8 == 0)
        frames_fail_nth((long)below(player, 6));
    if (kind == 31)
        look_around(player);
    else if (kind > 20)
        touch(player, &player->shared, below(player, PAGES_MAX));
    else if (kind > 18)
        do_to_range(player, &player->shared, true);
    else if (memory->pages == 0)
        allocate(player, memory);
    else if (kind < 3)
        free_all(player, memory);
    else if (kind < 6 && !is_span(memory))
        do_to_range(player, memory, false);
    else if (kind == 6 && !is_span(memory) && all_there(memory, 0, memory->pages))
        resize(player, memory);
    else
        touch(player, memory, below(player, (uint32_t)memory->pages));
}

static void play(unsigned cpu, void *steps)
{
    struct player *player = &players[cpu];

    for (size_t left = *(size_t *)steps; left > 0; left--) {
        step(player);
        fake_cpu_look();
    }
    frames_fail_nth(-1);
}

static void prepare(bool failing, uint64_t seed)
{
    for (unsigned cpu = 0; cpu < CPUS; cpu++) {
        struct player *player = &players[cpu];

        memset(player, 0, sizeof(*player));
        player->cpu = cpu;
        player->failing = failing;
        player->random.state = seed * CPUS + cpu + 1;
        player->shared = (struct memory){shared_start + cpu * VM_PAGE_SIZE, PAGES_MAX, CPUS, {{0}}};
        fill(&player->shared, 0, PAGES_MAX, (struct page){.there = true, .protection = VM_RW});
    }
}

/* All is as the players left it, seen from one CPU, and goes. */
static void finish(void)
{
    for (struct player *player = players; player < players + CPUS; player++) {
        player->failing = false;
        for (struct memory *memory = player->own; memory < player->own + OWN; memory++) {
            for (size_t page = 0; page < memory->pages; page++)
                touch(player, memory, page);
            if (memory->pages > 0)
                free_all(player, memory);
        }
        for (size_t page = 0; page < PAGES_MAX; page++)
            touch(player, &player->shared, page);
    }
    assert_int_equal(vm_unmap(vm_space(), shared_start, SHARED_PAGES * VM_PAGE_SIZE), E_SUCCESS);
}

static void run(bool lazy, bool failing, size_t rounds)
{
    size_t steps = harness_number("QUIRE_STEPS", 1000);

    fake_cpus(CPUS);
    fixture_start(RAM);
    if (lazy)
        fixture_lazy();
    for (size_t round = 0; round < rounds; round++) {
        static struct trace before, after;

        trace_take(&before);
        shared_start = vm_start(vm_alloc(space, &vm_anon, VM_ANYWHERE, SHARED_PAGES * VM_PAGE_SIZE, VM_RW));
        prepare(failing, harness_seed() + round);
        fake_cpus_run(play, &steps);
        fixture_check();
        finish();
        trace_take(&after);
        trace_compare(&before, &after, "a round", -1);
    }
    fixture_end();
}

static void test_exact(void **state)
{
    (void)state;
    run(false, false, 2);
}

static void test_with_epochs(void **state)
{
    (void)state;
    run(true, false, 2);
}

static void test_frames_are_short(void **state)
{
    (void)state;
    run(true, true, 2);
}

/* ---- memory of its own ---- */

#define FREES 2000u

static void allocate_and_free(unsigned cpu, void *times)
{
    for (unsigned left = *(unsigned *)times; left > 0; left--) {
        struct vm_segment *segment = vm_alloc(vm_space(), &vm_anon, VM_ANYWHERE, VM_PAGE_SIZE, VM_RW);
        uint64_t value = 0;

        EXPECT(!IS_ERR(segment), "CPU %u: error %d", cpu, ERR_OF(segment));
        EXPECT(domain_of(vm_start(segment)) == cpu, "CPU %u has %#lx", cpu, vm_start(segment));
        EXPECT(fake_write(vm_start(segment), &(uint64_t){cpu + 1}, 8) == E_SUCCESS &&
                   fake_read(vm_start(segment), &value, 8) == E_SUCCESS && value == cpu + 1,
               "CPU %u reads %lu", cpu, (unsigned long)value);
        vm_free(vm_space(), segment);
    }
}

/* Each allocates in a domain of its own, and asks nobody to flush. */
static void test_each_in_its_domain(void **state)
{
    struct vm_stats stats;

    (void)state;
    fake_cpus(CPUS);
    fixture_start(RAM);
    fixture_lazy();
    fake_cpus_run(allocate_and_free, &(unsigned){FREES});
    stats = vm_stats(space);
    assert_int_equal(stats.cpus.shootdowns, 0);
    assert_int_equal(stats.cpus.shot_cpus, 0);
    assert_int_equal(stats.faults[VM_FAULT_DEMAND][PAGE_4K], CPUS * FREES);
    fixture_end();
}

/* ---- who is asked ---- */

/* One host thread plays the CPUs in turn: what it asks of others is done at once. */
static void start_turns(void)
{
    fake_cpus(CPUS);
    fixture_start(RAM);
}

static void end_turns(void)
{
    struct vm_segment *segment;

    fake_cpu_be(0);
    while ((segment = vm_next(space, SLOTS_BASE)) != NULL && vm_start(segment) < LOW_HALF_END)
        vm_free(space, segment);
    fixture_end();
}

/* How many CPUs have been asked to flush something since the last call. */
static uint64_t asked(void)
{
    static uint64_t before;
    uint64_t now = vm_stats(space).cpus.shot_cpus, more = now - before;

    before = now;
    return more;
}

static vaddr_t make_touched(const struct vm_segment_driver *driver, size_t size)
{
    vaddr_t start = vm_start(must_alloc(driver, VM_ANYWHERE, size, VM_RW | VM_PAGES_4K));

    for (size_t offset = 0; offset < size; offset += VM_PAGE_SIZE)
        assert_int_equal(fake_write(start + offset, &(uint64_t){start + offset}, 8), E_SUCCESS);
    return start;
}

static void test_only_users_are_asked(void **state)
{
    uint64_t value;
    vaddr_t start;

    (void)state;
    start_turns();
    start = make_touched(&vm_anon, 64 * VM_PAGE_SIZE);
    fake_cpu_be(2);
    make_touched(&vm_anon, 64 * VM_PAGE_SIZE);
    fake_cpu_be(0);
    asked();
    assert_int_equal(vm_protect(space, start, VM_PAGE_SIZE, VM_READ), E_SUCCESS);
    assert_int_equal(vm_protect(space, start, 64 * VM_PAGE_SIZE, VM_READ), E_SUCCESS);
    assert_int_equal(vm_protect(space, start, 64 * VM_PAGE_SIZE, VM_RW), E_SUCCESS);
    assert_int_equal(asked(), 0);
    fake_cpu_be(1);
    assert_int_equal(must_read(start), start);
    assert_int_equal(fake_write(start, &(uint64_t){7}, 8), E_SUCCESS);
    fake_cpu_be(0);
    assert_int_equal(vm_protect(space, start, VM_PAGE_SIZE, VM_READ), E_SUCCESS);
    assert_int_equal(asked(), 1);
    fake_cpu_be(1);
    assert_int_equal(fake_write(start, &(uint64_t){8}, 8), E_ACCES);
    assert_int_equal(must_read(start), 7);
    fake_cpu_be(3); /* on memory that only others use */
    assert_int_equal(vm_protect(space, start, 64 * VM_PAGE_SIZE, VM_RW), E_SUCCESS);
    assert_int_equal(vm_protect(space, start, 64 * VM_PAGE_SIZE, 0), E_SUCCESS);
    assert_int_equal(asked(), 2);
    fake_cpu_be(1);
    assert_int_equal(fake_read(start, &value, 8), E_ACCES);
    end_turns();
}

/* Who has not looked there since it was asked before is not asked again, and comes back when it does look. */
static void test_who_stays_away_leaves(void **state)
{
    vaddr_t start;

    (void)state;
    start_turns();
    start = make_touched(&vm_anon, 8 * VM_PAGE_SIZE);
    for (unsigned round = 0; round < 3; round++) {
        fake_cpu_be(1);
        assert_int_equal(must_read(start), start);
        fake_cpu_be(0);
        asked();
        for (unsigned i = 0; i < 6; i++)
            assert_int_equal(vm_protect(space, start, VM_PAGE_SIZE, i % 2 ? VM_RW : VM_READ), E_SUCCESS);
        assert_int_equal(asked(), 2);
        assert_int_equal(vm_protect(space, start, VM_PAGE_SIZE, 0), E_SUCCESS);
        fake_cpu_be(1);
        assert_int_equal(fake_write(start, &(uint64_t){1}, 8), E_ACCES);
        fake_cpu_be(0);
        assert_int_equal(vm_protect(space, start, VM_PAGE_SIZE, VM_RW), E_SUCCESS);
    }
    end_turns();
}

/* Where nothing was there, or nothing that anybody could use, nobody knows anything, whoever uses the table. */
static void test_nobody_is_asked_about_no_page(void **state)
{
    vaddr_t start, none;

    (void)state;
    start_turns();
    start = make_touched(&vm_anon, 8 * VM_PAGE_SIZE);
    none = start + 6 * VM_PAGE_SIZE;
    assert_int_equal(vm_protect(space, none, VM_PAGE_SIZE, 0), E_SUCCESS);
    for (unsigned round = 0; round < 2; round++) {
        fake_cpu_be(1);
        assert_int_equal(must_read(start), start);
        fake_cpu_be(0);
        asked();
        assert_int_equal(vm_advise(space, start + 4 * VM_PAGE_SIZE, 2 * VM_PAGE_SIZE, VM_ADVICE_DONTNEED), E_SUCCESS);
        assert_int_equal(asked(), round == 0);
    }
    assert_int_equal(vm_advise(space, none, VM_PAGE_SIZE, VM_ADVICE_DONTNEED), E_SUCCESS);
    assert_int_equal(asked(), 0);
    assert_int_equal(vm_protect(space, none, VM_PAGE_SIZE, VM_RW), E_SUCCESS);
    assert_int_equal(must_read(none), 0);
    end_turns();
}

/* Where others use memory nearby 2 MiB of zeros are made without the domain held. */
static void test_zeros_are_made_before(void **state)
{
    struct vm_segment *large;

    (void)state;
    start_turns();
    large = must_alloc(&vm_anon, VM_ANYWHERE, 8 * MIB, VM_RW | VM_PAGES_2M);
    frames_drain();
    assert_int_equal(must_read(vm_start(large)), 0);
    assert_int_equal(frame_magazine(PAGE_2M, FRAME_CLEAN)->count, 0);
    fake_cpu_be(1);
    frames_drain();
    assert_int_equal(must_read(vm_start(large) + 2 * MIB), 0);
    assert_int_equal(frame_magazine(PAGE_2M, FRAME_CLEAN)->count, 0);
    assert_int_equal(vm_segment_statistics(space, large).faults[PAGE_2M], 2);
    end_turns();
}

/* ---- visitors ---- */

#define VISITED_PAGES 2048u /* by all, in each of their ways */

struct visited {
    vaddr_t parts, turns, same, large; /* segments of small pages, but for the last one */
    bool failing;
};

static void visit(const struct visited *visited, unsigned cpu, vaddr_t va)
{
    error_t error = fake_write(va, &(uint64_t){va}, 8);

    if (visited->failing && error == E_NOMEM) {
        frames_fail_nth(-1);
        error = fake_write(va, &(uint64_t){va}, 8);
    }
    EXPECT(!error, "CPU %u cannot write to %#lx: error %d", cpu, va, error);
}

static void visit_all(unsigned cpu, void *argument)
{
    const struct visited *visited = argument;
    unsigned part = VISITED_PAGES / CPUS;

    for (unsigned page = 0; page < VISITED_PAGES; page++) {
        vaddr_t offset = page * VM_PAGE_SIZE;

        if (visited->failing && page % 8 == 0)
            frames_fail_nth((long)(page / 8 % 6));
        if (page / part == cpu)
            visit(visited, cpu, visited->parts + offset);
        if (page % CPUS == cpu)
            visit(visited, cpu, visited->turns + offset);
        visit(visited, cpu, visited->same + offset);
        if (page % 64 == cpu)
            visit(visited, cpu, visited->large + (vaddr_t)page / 64 * MIB);
        fake_cpu_look();
    }
    frames_fail_nth(-1);
}

static vaddr_t make_visited(size_t size, vm_flags_t pages)
{
    return vm_start(must_alloc(&vm_anon, VM_ANYWHERE, size, VM_RW | pages));
}

static void check_visited(const struct visited *visited)
{
    for (unsigned page = 0; page < VISITED_PAGES; page++) {
        vaddr_t offset = page * VM_PAGE_SIZE;

        assert_int_equal(must_read(visited->parts + offset), visited->parts + offset);
        assert_int_equal(must_read(visited->turns + offset), visited->turns + offset);
        assert_int_equal(must_read(visited->same + offset), visited->same + offset);
    }
}

static void visit_by_all(bool failing)
{
    struct visited visited = {.failing = failing};
    uint64_t before, faults = 0;

    fake_cpus(CPUS);
    fixture_start(RAM);
    before = vm_resident(space);
    visited.parts = make_visited(VISITED_PAGES * VM_PAGE_SIZE, VM_PAGES_4K);
    visited.turns = make_visited(VISITED_PAGES * VM_PAGE_SIZE, VM_PAGES_4K);
    visited.same = make_visited(VISITED_PAGES * VM_PAGE_SIZE, VM_PAGES_4K);
    visited.large = make_visited(VISITED_PAGES / 64 * MIB, VM_PAGES_2M);
    fake_cpus_run(visit_all, &visited);
    if (!failing) {
        assert_non_null(space->visitors); /* it has been open, and may have been closed last */
        assert_int_equal(vm_stats(space).resident[PAGE_2M], VISITED_PAGES / 64 / 2 * 2 * MIB);
        assert_int_equal(vm_resident(space) - before, VISITED_PAGES / 64 * MIB + 3 * VISITED_PAGES * VM_PAGE_SIZE);
    }
    fixture_check();
    assert_false(space->open);
    check_visited(&visited);
    for (unsigned page = 0; page < PAGE_SIZES; page++)
        faults += vm_stats(space).faults[VM_FAULT_DEMAND][page];
    assert_true(faults >= VISITED_PAGES / 64 / 2 && faults <= 3 * VISITED_PAGES + VISITED_PAGES / 64 / 2 * CPUS);
    end_turns();
}

static void test_visitors(void **state)
{
    (void)state;
    visit_by_all(false);
}

static void test_visitors_find_no_frames(void **state)
{
    (void)state;
    visit_by_all(true);
}

/* Closed by whatever is done to it, and opened after as many faults by others; never where it is tied. */
static void test_opened_and_closed(void **state)
{
    struct vm_segment *segment;
    vaddr_t start;

    (void)state;
    start_turns();
    segment = must_alloc(&vm_anon, VM_ANYWHERE, 64 * VM_PAGE_SIZE, VM_RW | VM_PAGES_4K);
    start = vm_start(segment);
    for (unsigned page = 0; page < 16; page++)
        assert_int_equal(must_read(start + (63 - page) * VM_PAGE_SIZE), 0);
    assert_false(space->open); /* nobody else was there */
    fake_cpu_be(1);
    for (unsigned page = 0; page < 24; page++) {
        assert_int_equal(space->open, page >= 2);
        assert_int_equal(must_read(start + 2 * page * VM_PAGE_SIZE), 0);
    }
    fake_cpu_be(0);
    assert_int_equal(must_read(start + VM_PAGE_SIZE), 0);
    fake_cpu_be(2);
    assert_int_equal(must_read(start + VM_PAGE_SIZE), 0); /* which has been backed */
    assert_true(space->open);
    assert_int_equal(vm_segment_statistics(space, segment).faults[PAGE_4K], 16 + 24 + 1);
    assert_false(space->open);
    assert_int_equal(vm_protect(space, start, VM_PAGE_SIZE, VM_READ), E_SUCCESS);
    assert_int_equal(fake_write(start, &(uint64_t){1}, 8), E_ACCES);
    end_turns();
}

static void fault_inside(vaddr_t start)
{
    for (unsigned page = 0; page < 8; page++)
        assert_int_equal(must_read(start + 2 * page * VM_PAGE_SIZE), 0);
    assert_false(space->open);
}

/* Who holds it has it alone, whatever faults meanwhile: a driver of the program may touch memory. */
static void test_not_opened_by_who_holds_it(void **state)
{
    vaddr_t start;

    (void)state;
    start_turns();
    start = vm_start(must_alloc(&vm_anon, VM_ANYWHERE, 64 * VM_PAGE_SIZE, VM_RW | VM_PAGES_4K));
    fake_cpu_be(1);
    {
        SPACE_HOLD(space);
        fault_inside(start);
    }
    {
        SPACE_HOLD_ALL(space);
        fault_inside(start + 32 * VM_PAGE_SIZE);
    }
    end_turns();
}

static void answer(void *unused)
{
    (void)unused;
}

/* CPU 0 holds the domain, and opens it when CPU 1 waits for that: only then it answers. */
static void open_when_waited_for(unsigned cpu, void *page)
{
    if (cpu == 1)
        EXPECT(fake_write(*(vaddr_t *)page, &(uint64_t){7}, 8) == E_SUCCESS, "the fault that waited is refused");
    if (cpu != 0)
        return;
    cpu_call(1u << 1, answer, NULL);
    __atomic_store_n(&space->open, true, __ATOMIC_SEQ_CST);
    space_unlock(&space->lock);
}

/* Who waited for the domain visits it then, and does not close it for those that follow. */
static void test_opened_while_waited_for(void **state)
{
    vaddr_t start, waited;

    (void)state;
    start_turns();
    start = vm_start(must_alloc(&vm_anon, VM_ANYWHERE, 64 * VM_PAGE_SIZE, VM_RW | VM_PAGES_4K));
    waited = start + 32 * VM_PAGE_SIZE;
    fake_cpu_be(1);
    for (unsigned page = 0; page < 4; page++)
        assert_int_equal(must_read(start + 2 * page * VM_PAGE_SIZE), 0);
    assert_true(space->open);
    fake_cpu_be(0);
    assert_int_equal(vm_protect(space, start, VM_PAGE_SIZE, VM_READ), E_SUCCESS);
    assert_false(space->open);
    space_lock(&space->lock);
    fake_cpus_run(open_when_waited_for, &waited);
    assert_true(space->open);
    assert_int_equal(must_read(waited), 7);
    end_turns();
}

/* The pages read as fresh ones, wherever they were known. */
static void discard(vaddr_t start, size_t pages)
{
    assert_int_equal(vm_advise(space, start, pages * VM_PAGE_SIZE, VM_ADVICE_DONTNEED), E_SUCCESS);
    for (unsigned cpu = 0; cpu < CPUS; cpu++) {
        fake_cpu_be(cpu);
        assert_int_equal(must_read(start + (pages - 1) * VM_PAGE_SIZE), 0);
    }
    fake_cpu_be(0);
    assert_int_equal(fake_write(start + (pages - 1) * VM_PAGE_SIZE, &(uint64_t){7}, 8), E_SUCCESS);
}

/* Few pages and many; the frames are not to be had before the others know. */
static void test_discarded_everywhere(void **state)
{
    vaddr_t start;

    (void)state;
    start_turns();
    start = make_touched(&vm_anon, 64 * VM_PAGE_SIZE);
    for (unsigned i = 0; i < 3; i++) {
        discard(start, 4);
        discard(start, 64);
        discard(start, MMU_FLUSH_SINGLES);
        assert_true(asked() > 0);
    }
    end_turns();
}

/* The tables of a GiB go, and come again: a CPU that knew the old ones finds the new ones. */
static void test_tables_of_a_gib(void **state)
{
    (void)state;
    start_turns();
    for (unsigned i = 0; i < 4; i++) {
        struct vm_segment *segment = must_alloc(&vm_anon, VM_ANYWHERE, GIB, VM_RW | VM_PAGES_4K);
        vaddr_t start = vm_start(segment);

        for (unsigned cpu = 0; cpu < CPUS; cpu++) {
            fake_cpu_be(cpu);
            assert_int_equal(fake_write(start + cpu * MIB, &(uint64_t){cpu}, 8), E_SUCCESS);
            assert_int_equal(must_read(start), 0);
        }
        fake_cpu_be(i);
        vm_free(space, segment);
        mmu_trim(&space->mmu);
        fake_cpu_be(0);
        fixture_check();
    }
    end_turns();
}

/* What domains do not divide is below entries of the root that all have: they stay when nothing is left there. */
static void test_entries_of_the_root(void **state)
{
    const vaddr_t at = (vaddr_t)1 << 40;

    (void)state;
    start_turns();
    for (unsigned i = 0; i < 3; i++) {
        struct vm_segment *segment = must_alloc(&vm_anon, at, 2 * VM_PAGE_SIZE, VM_RW);

        fake_cpu_be(1);
        assert_int_equal(must_read(at), 0);
        fake_cpu_be(0);
        assert_int_equal(must_read(at + VM_PAGE_SIZE), 0);
        vm_free(space, segment);
        mmu_trim(&space->mmu);
        fixture_check();
    }
    end_turns();
}

/* A page of a GiB has its entry where CPUs have tables of their own. */
static void test_page_of_a_gib(void **state)
{
    struct vm_segment *window;
    vaddr_t start;
    uint64_t value;

    (void)state;
    start_turns();
    window = vm_alloc_at(space, &vm_phys, 4 * GIB, GIB, VM_RW | VM_CACHE_UC | VM_PAGES_1G);
    assert_false(IS_ERR(window));
    start = vm_start(window);
    assert_int_equal(vm_stats(space).resident[PAGE_1G], 0);
    for (unsigned i = 0; i < 2; i++) {
        fake_cpu_be(1);
        assert_int_equal(fake_write(start, &(uint64_t){1}, 8), E_SUCCESS);
        assert_int_equal(must_read(start), ~(uint64_t)0); /* nobody answers there */
        fake_cpu_be(0);
        assert_int_equal(vm_protect(space, start, GIB, VM_READ), E_SUCCESS);
        fake_cpu_be(1);
        assert_int_equal(fake_write(start, &(uint64_t){1}, 8), E_ACCES);
        assert_int_equal(must_read(start), ~(uint64_t)0);
        fake_cpu_be(2);
        assert_int_equal(vm_protect(space, start, GIB, VM_RW), E_SUCCESS);
    }
    fake_cpu_be(1);
    assert_int_equal(fake_write(start, &(uint64_t){1}, 8), E_SUCCESS);
    fake_cpu_be(0);
    vm_free(space, window);
    fake_cpu_be(1);
    assert_int_equal(fake_read(start, &value, 8), E_FAULT);
    end_turns();
}

/* ---- named into a domain ---- */

#define NAMED                                                                                                          \
    (SLOTS_BASE + ((vaddr_t)6 << VM_REGION_SHIFT) + ((vaddr_t)3 << DOMAIN_SHIFT)) /* of domain 3, slots of 4 MiB */

static void touch_named(unsigned cpu, void *unused)
{
    (void)unused;
    for (unsigned page = cpu; page < PAGES_MAX; page += CPUS) {
        vaddr_t va = NAMED + page * VM_PAGE_SIZE;

        EXPECT(fake_write(va, &(uint64_t){va}, 8) == E_SUCCESS, "CPU %u cannot write to %#lx", cpu, va);
        EXPECT(vm_protect(vm_space(), va, VM_PAGE_SIZE, VM_READ) == E_SUCCESS, "CPU %u cannot protect %#lx", cpu, va);
        allocate_and_free(cpu, &(unsigned){5});
    }
}

/* A driver that is not apart ties the domain of its address to domain 0, and all goes on as before. */
static void test_tied(void **state)
{
    struct vm_segment *segment;

    (void)state;
    fake_cpus(CPUS);
    fixture_start(RAM);
    fixture_lazy();
    must_alloc(&vm_anon, NAMED + MIB, VM_PAGE_SIZE, VM_RW);
    assert_false(space_at(space, NAMED)->tied);
    segment = must_alloc(&vm_heap, NAMED, PAGES_MAX * VM_PAGE_SIZE, VM_RW);
    assert_int_equal(vm_start(segment), NAMED);
    assert_true(space_at(space, NAMED)->tied && space_at(space, NAMED) != space);
    fake_cpus_run(touch_named, NULL);
    fixture_check();
    for (unsigned page = 0; page < PAGES_MAX; page++)
        assert_int_equal(must_read(NAMED + page * VM_PAGE_SIZE), NAMED + page * VM_PAGE_SIZE);
    assert_int_equal(vm_unmap(space, NAMED, 2 * MIB), E_SUCCESS);
    fixture_end();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact),
        cmocka_unit_test(test_with_epochs),
        cmocka_unit_test(test_frames_are_short),
        cmocka_unit_test(test_each_in_its_domain),
        cmocka_unit_test(test_only_users_are_asked),
        cmocka_unit_test(test_who_stays_away_leaves),
        cmocka_unit_test(test_nobody_is_asked_about_no_page),
        cmocka_unit_test(test_zeros_are_made_before),
        cmocka_unit_test(test_visitors),
        cmocka_unit_test(test_visitors_find_no_frames),
        cmocka_unit_test(test_opened_and_closed),
        cmocka_unit_test(test_not_opened_by_who_holds_it),
        cmocka_unit_test(test_opened_while_waited_for),
        cmocka_unit_test(test_discarded_everywhere),
        cmocka_unit_test(test_tables_of_a_gib),
        cmocka_unit_test(test_entries_of_the_root),
        cmocka_unit_test(test_page_of_a_gib),
        cmocka_unit_test(test_tied),
    };

    return harness_main(argc, argv, tests, ARRAY_LENGTH(tests));
}
