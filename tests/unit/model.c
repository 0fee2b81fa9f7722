#include "model.h"

#include <stdio.h>
#include <string.h>

#include "fixture.h"
#include "vm/frames.h"

#define PAGE VM_PAGE_SIZE
#define TABLE_ENTRIES (1u << 15)
#define TABLE_USED_MAX 20000u
#define PAGES_MAX 8000u
#define STARTS 32

/* Where fixed addresses are chosen: across a 1 GiB boundary, and high up; 8 MiB each, so that 2 MiB pages occur. */
static const vaddr_t windows[] = {LOW_BASE + GIB - 4 * MIB - 8 * PAGE, 0x620040000000 - 2 * MIB};
#define WINDOW_PAGES 2048u

struct page {
    vaddr_t va; /* 0: unused entry */
    bool there, guard;
    bool undefined; /* fresh contents are not zeros (VM_NOZERO) */
    vm_flags_t protection;
    uint64_t stamp; /* written to both ends of the page; 0: fresh */
};

static struct page table[TABLE_ENTRIES]; /* open addressing; entries stay until compact() */
static size_t table_used;
static vaddr_t starts[STARTS]; /* of segments that were put anywhere, lately */
static uint64_t stamps;
static bool injected;
static char last[160];

#define EXPECT(condition, ...)                                                                                         \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "after: %s\n", last);                                                                      \
            fake_violation(__VA_ARGS__);                                                                               \
        }                                                                                                              \
    } while (0)

#define SAY(...) snprintf(last, sizeof(last), __VA_ARGS__)

/* ---- pages ---- */

static struct page *find_page(vaddr_t va)
{
    size_t i = ((va >> VM_PAGE_SHIFT) * 0x9e3779b97f4a7c15u) >> 49;

    while (table[i].va != 0 && table[i].va != va)
        i = (i + 1) % TABLE_ENTRIES;
    return &table[i];
}

static struct page *page_at(vaddr_t va)
{
    struct page *page = find_page(va);

    if (page->va == 0) {
        table_used++;
        page->va = va;
    }
    return page;
}

static bool is_there(vaddr_t va)
{
    const struct page *page = find_page(va);

    return page->va == va && page->there;
}

static bool any_there(vaddr_t va, size_t pages)
{
    for (size_t i = 0; i < pages; i++)
        if (is_there(va + i * PAGE))
            return true;
    return false;
}

static void set_pages(vaddr_t va, size_t pages, vm_flags_t flags, bool guard)
{
    for (size_t i = 0; i < pages; i++) {
        struct page *page = page_at(va + i * PAGE);

        *page = (struct page){.va = page->va,
                              .there = true,
                              .guard = guard,
                              .undefined = (flags & VM_NOZERO) != 0,
                              .protection = guard ? 0 : flags & VM_PROTECTION};
    }
}

static void remove_pages(vaddr_t va, size_t pages)
{
    for (size_t i = 0; i < pages; i++)
        if (is_there(va + i * PAGE))
            find_page(va + i * PAGE)->there = false;
}

/* ---- choices ---- */

static vaddr_t choose_window_page(model_source next)
{
    return windows[next(ARRAY_LENGTH(windows))] + next(WINDOW_PAGES) * PAGE;
}

static vaddr_t choose_page(model_source next)
{
    vaddr_t start = next(2) ? starts[next(STARTS)] : 0;

    return start ? start + next(24) * PAGE : choose_window_page(next);
}

static size_t choose_length(model_source next)
{
    return next(8) ? 1 + next(24) : 1 + next(1100);
}

static vm_flags_t choose_protection(model_source next)
{
    static const vm_flags_t protections[] = {VM_RW, VM_RW, VM_RW, VM_READ, 0, VM_READ | VM_EXEC, VM_PROTECTION};

    return protections[next(ARRAY_LENGTH(protections))];
}

static vm_flags_t choose_flags(model_source next)
{
    vm_flags_t flags = choose_protection(next) | (next(3) + 0u) * VM_PAGES_4K;

    if (next(2))
        flags |= VM_MERGE;
    if (next(12) == 0)
        flags |= VM_NOZERO;
    if (next(12) == 0)
        flags |= VM_POPULATE;
    return flags;
}

/* Segments that the choice falls on, checked against the pages. */
static struct vm_segment *choose_segment(model_source next)
{
    vaddr_t va = choose_page(next);
    struct vm_segment *segment = vm_find(space, va);
    const struct page *page = find_page(va);

    EXPECT((segment != NULL) == is_there(va), "vm_find(%#lx) is %p", va, (void *)segment);
    if (!segment)
        return NULL;
    EXPECT(va - vm_start(segment) < vm_size(segment), "vm_find(%#lx) starts at %#lx", va, vm_start(segment));
    EXPECT(vm_driver_of(segment) == (page->guard ? &vm_guard : &vm_anon), "%#lx has another driver", va);
    EXPECT((vm_flags(segment) & VM_PROTECTION) == page->protection, "%#lx has other protection", va);
    return segment;
}

/* The one error that may come unexpectedly, and only if it was asked for. */
static bool failed_as_injected(error_t error)
{
    return injected && error == E_NOMEM;
}

static void expect_result(error_t error, error_t expected)
{
    EXPECT(error == expected || failed_as_injected(error), "error %d, not %d", error, expected);
}

/* ---- operations ---- */

static void note_start(model_source next, vaddr_t start)
{
    starts[next(STARTS)] = start;
}

static void do_alloc(model_source next)
{
    const struct vm_segment_driver *driver = next(10) ? &vm_anon : &vm_guard;
    vaddr_t start = next(2) ? choose_window_page(next) : VM_ANYWHERE;
    size_t pages = choose_length(next);
    vm_flags_t flags = choose_flags(next);
    bool taken = start && any_there(start, pages);
    struct vm_segment *segment;

    SAY("vm_alloc(%s, %#lx, %zu pages, %#x)", driver->name, start, pages, flags);
    segment = vm_alloc(space, driver, start, pages * PAGE, flags);
    expect_result(ERR_OF(segment), taken ? E_NOMEM : E_SUCCESS);
    if (IS_ERR(segment))
        return;
    EXPECT(!start || vm_start(segment) == start, "it starts at %#lx", vm_start(segment));
    EXPECT(!any_there(vm_start(segment), pages), "%#lx was taken", vm_start(segment));
    if (!start)
        note_start(next, vm_start(segment));
    set_pages(vm_start(segment), pages, flags, driver == &vm_guard);
}

static void do_free(model_source next)
{
    struct vm_segment *segment = choose_segment(next);

    if (!segment)
        return;
    SAY("vm_free(%#lx, %zu pages)", vm_start(segment), vm_size(segment) / PAGE);
    remove_pages(vm_start(segment), vm_size(segment) / PAGE);
    vm_free(space, segment);
}

static void do_resize(model_source next)
{
    struct vm_segment *segment = choose_segment(next);
    size_t pages = next(30) ? choose_length(next) : 0, old;
    vaddr_t start;
    error_t error;

    if (!segment)
        return;
    start = vm_start(segment);
    old = vm_size(segment) / PAGE;
    vm_flags_t flags = vm_flags(segment);
    bool guard = vm_driver_of(segment) == &vm_guard;

    SAY("vm_resize(%#lx, %zu to %zu pages)", start, old, pages);
    error = vm_resize(space, segment, pages * PAGE);
    if (pages > old && any_there(start + old * PAGE, pages - old))
        expect_result(error, E_NOMEM);
    else if (error == E_NOMEM && pages > old && start >= SLOTS_BASE && start < windows[1])
        return; /* the slot's headroom has an end */
    else
        expect_result(error, E_SUCCESS);
    if (error)
        return;
    if (pages < old)
        remove_pages(start + pages * PAGE, old - pages);
    else
        set_pages(start + old * PAGE, pages - old, flags, guard);
}

static void do_protect(model_source next)
{
    vaddr_t va = choose_page(next);
    size_t pages = choose_length(next);
    vm_flags_t protection = choose_protection(next);
    error_t expected = E_SUCCESS, error;

    for (size_t i = 0; i < pages; i++) {
        if (!is_there(va + i * PAGE))
            expected = E_NOMEM;
        else if (expected == E_SUCCESS && find_page(va + i * PAGE)->guard)
            expected = E_NOTSUP;
    }
    SAY("vm_protect(%#lx, %zu pages, %u)", va, pages, protection);
    error = vm_protect(space, va, pages * PAGE, protection);
    expect_result(error, expected);
    for (size_t i = 0; !error && i < pages; i++)
        find_page(va + i * PAGE)->protection = protection;
}

static void do_unmap(model_source next)
{
    vaddr_t va = choose_page(next);
    size_t pages = choose_length(next);
    error_t error;

    SAY("vm_unmap(%#lx, %zu pages)", va, pages);
    error = vm_unmap(space, va, pages * PAGE);
    expect_result(error, E_SUCCESS);
    if (!error)
        remove_pages(va, pages);
}

static void do_split(model_source next)
{
    struct vm_segment *segment = choose_segment(next), *second;
    size_t at;

    if (!segment || vm_size(segment) == PAGE)
        return;
    at = 1 + next((uint32_t)(vm_size(segment) / PAGE - 1));
    SAY("vm_split(%#lx at page %zu)", vm_start(segment), at);
    second = vm_split(space, segment, vm_start(segment) + at * PAGE);
    expect_result(ERR_OF(second), E_SUCCESS);
    EXPECT(IS_ERR(second) || vm_start(second) == vm_start(segment) + at * PAGE, "the second starts at %#lx",
           vm_start(second));
}

/* Carries the pages over in the model. */
static void move_pages(vaddr_t from, size_t old, vaddr_t to, size_t pages, vm_flags_t flags, bool guard)
{
    size_t kept = old < pages ? old : pages;

    set_pages(to, pages, flags, guard);
    for (size_t i = 0; i < kept; i++)
        page_at(to + i * PAGE)->stamp = find_page(from + i * PAGE)->stamp;
    remove_pages(from, old);
}

static void do_move(model_source next)
{
    struct vm_segment *segment = choose_segment(next);
    vaddr_t to = next(3) ? VM_ANYWHERE : choose_window_page(next), from;
    size_t pages = choose_length(next), old;
    error_t error;

    if (!segment)
        return;
    from = vm_start(segment);
    old = vm_size(segment) / PAGE;
    SAY("vm_move(%#lx, %zu pages, to %#lx, %zu pages)", from, old, to, pages);
    error = vm_move(space, segment, to, pages * PAGE);
    expect_result(error, to && any_there(to, pages) ? E_NOMEM : E_SUCCESS);
    if (error) {
        EXPECT(vm_start(segment) == from && vm_size(segment) == old * PAGE, "it has moved nevertheless");
        return;
    }
    EXPECT(to ? vm_start(segment) == to : !any_there(vm_start(segment), pages), "it is now at %#lx", vm_start(segment));
    if (!to)
        note_start(next, vm_start(segment));
    move_pages(from, old, vm_start(segment), pages, vm_flags(segment), vm_driver_of(segment) == &vm_guard);
}

static void do_advise(model_source next)
{
    vaddr_t va = choose_page(next);
    size_t pages = choose_length(next);
    int advice = next(2) ? VM_ADVICE_DONTNEED : VM_ADVICE_WILLNEED;
    bool holes = false;

    frames_fail_nth(-1); /* over several segments it may stop half way: tests of single ones are in conformance.c */
    injected = false;
    SAY("vm_advise(%#lx, %zu pages, %d)", va, pages, advice);
    for (size_t i = 0; i < pages; i++) {
        if (!is_there(va + i * PAGE))
            holes = true;
        else if (advice == VM_ADVICE_DONTNEED)
            find_page(va + i * PAGE)->stamp = 0;
    }
    expect_result(vm_advise(space, va, pages * PAGE, advice), holes ? E_NOMEM : E_SUCCESS);
}

static void check_word(const struct page *page, vaddr_t va, uint64_t value)
{
    if (page->stamp == 0 && page->undefined)
        return;
    EXPECT(value == page->stamp, "%#lx holds %#lx, not %#lx", va, (unsigned long)value, (unsigned long)page->stamp);
}

static error_t access_page(vaddr_t va, vm_flags_t access, uint64_t stamp, struct page *page)
{
    vaddr_t ends[2] = {va, va + PAGE - 8};
    error_t error = E_SUCCESS;

    if (access == VM_EXEC)
        return fake_execute(va);
    for (size_t i = 0; !error && i < 2; i++) {
        uint64_t value = stamp;

        error = access == VM_WRITE ? fake_write(ends[i], &value, 8) : fake_read(ends[i], &value, 8);
        if (!error && access == VM_READ)
            check_word(page, ends[i], value);
    }
    return error;
}

static void do_touch(model_source next)
{
    static const vm_flags_t kinds[] = {VM_WRITE, VM_WRITE, VM_WRITE, VM_READ, VM_READ, VM_EXEC};
    vaddr_t va = choose_page(next);
    vm_flags_t access = kinds[next(ARRAY_LENGTH(kinds))];
    struct page *page = find_page(va);
    error_t error;

    SAY("access %u of %#lx", access, va);
    if (!is_there(va))
        mmu_flush(&space->mmu); /* what was unmapped may be known until the next epoch */
    error = access_page(va, access, stamps + 1, page);
    if (!is_there(va))
        EXPECT(error == E_FAULT, "nothing is there: error %d", error);
    else if (!(page->protection & access))
        EXPECT(error == E_ACCES || (page->guard && error == E_FAULT), "forbidden: error %d", error);
    else
        expect_result(error, E_SUCCESS);
    if (!error && access == VM_WRITE)
        page->stamp = ++stamps;
}

/* Drops the entries of pages that are gone; the number of those left. */
static size_t compact(void)
{
    static struct page old[TABLE_ENTRIES];

    memcpy(old, table, sizeof(old));
    memset(table, 0, sizeof(table));
    table_used = 0;
    for (size_t i = 0; i < TABLE_ENTRIES; i++)
        if (old[i].there)
            *page_at(old[i].va) = old[i];
    return table_used;
}

/* Bounds the model: too many pages, and all segments that were put anywhere go. */
static void make_room(void)
{
    if (table_used <= TABLE_USED_MAX || compact() <= PAGES_MAX)
        return;
    SAY("vm_unmap of all slots");
    expect_result(vm_unmap(space, SLOTS_BASE, windows[1] - GIB - SLOTS_BASE), E_SUCCESS);
    for (size_t i = 0; i < TABLE_ENTRIES; i++)
        if (table[i].va >= SLOTS_BASE && table[i].va < windows[1] - GIB)
            table[i].there = false;
    compact();
}

void model_step(model_source next)
{
    uint32_t kind = next(64);

    make_room();
    injected = next(8) == 0;
    if (injected)
        frames_fail_nth((long)next(6));
    if (kind < 8)
        do_alloc(next);
    else if (kind < 11)
        do_free(next);
    else if (kind < 16)
        do_resize(next);
    else if (kind < 21)
        do_protect(next);
    else if (kind < 24)
        do_unmap(next);
    else if (kind < 26)
        do_split(next);
    else if (kind < 30)
        do_move(next);
    else if (kind < 32)
        do_advise(next);
    else
        do_touch(next);
    frames_fail_nth(-1);
}

/* ---- checks ---- */

void model_reset(void)
{
    memset(table, 0, sizeof(table));
    memset(starts, 0, sizeof(starts));
    table_used = 0;
    SAY("the start");
}

void model_check(void)
{
    const char *wrong = vm_validate(space);

    EXPECT(!wrong, "vm_validate: %s", wrong);
    wrong = fake_tlb_stale();
    EXPECT(!wrong, "%s", wrong);
}

/* Without faults: what was written is mapped, with the right contents; what is not mapped is fresh. */
static void check_page(struct page *page)
{
    struct mmu_entry entry;
    const uint64_t *words;

    if (!mmu_query(&space->mmu, page->va, &entry)) {
        EXPECT(!page->there || page->stamp == 0, "%#lx lost its contents", page->va);
        return;
    }
    EXPECT(page->there, "%#lx is mapped", page->va);
    EXPECT((entry.flags & VM_PROTECTION) == page->protection, "%#lx has protection %u", page->va, entry.flags);
    words = phys_to_virt(entry.frame + (page->va & (page_bytes(entry.size) - 1)));
    check_word(page, page->va, words[0]);
    check_word(page, page->va + PAGE - 8, words[PAGE / 8 - 1]);
}

void model_check_contents(void)
{
    size_t there = 0, mapped = 0;

    for (size_t i = 0; i < TABLE_ENTRIES; i++) {
        if (table[i].va == 0)
            continue;
        check_page(&table[i]);
        there += table[i].there;
    }
    for (struct vm_segment *s = vm_next(space, 0); s; s = vm_next(space, vm_start(s) + vm_size(s)))
        mapped += vm_size(s) / PAGE;
    EXPECT(there == mapped, "segments have %zu pages, not %zu", mapped, there);
}

void model_clear(void)
{
    SAY("vm_unmap of everything");
    EXPECT(vm_unmap(space, 0, LOW_HALF_END) == E_SUCCESS, "it fails");
    EXPECT(vm_next(space, 0) == NULL, "something is left");
    model_reset();
}

const char *model_last(void)
{
    return last;
}
