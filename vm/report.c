/* The map of segments as text, and the check of the whole structure. */
#include "core/base/assert.h"
#include "core/base/print.h"
#include "core/base/string.h"
#include "vm/segments.h"

#define LINE_MAX 200

static void print_line(void *context, const char *text)
{
    (void)context;
    kprintf("%s\n", text);
}

static size_t count_kib(const struct mmu_count *count)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < PAGE_SIZES; i++)
        bytes += count->pages[i] << page_shift((enum page_size)i);
    return bytes >> 10;
}

static void describe(struct address_space *space, const struct vm_segment *segment, char *line, size_t size)
{
    struct mmu_count resident = segment_resident(space, segment);
    char detail[80] = "";

    if (segment->driver->describe)
        segment->driver->describe(segment, detail, sizeof(detail));
    text_format(line, size, "%016lx-%016lx %9lu KiB %c%c%c %-10s %9lu KiB resident (%lu/%lu/%lu) faults %lu  %s",
                (unsigned long)segment->start, (unsigned long)segment_end(segment),
                (unsigned long)(segment->size >> 10), segment->flags & VM_READ ? 'r' : '-',
                segment->flags & VM_WRITE ? 'w' : '-', segment->flags & VM_EXEC ? 'x' : '-', segment->driver->name,
                (unsigned long)count_kib(&resident), (unsigned long)resident.pages[PAGE_4K],
                (unsigned long)resident.pages[PAGE_2M], (unsigned long)resident.pages[PAGE_1G],
                (unsigned long)(segment->faults[PAGE_4K] + segment->faults[PAGE_2M] + segment->faults[PAGE_1G]),
                detail);
}

void vm_dump(struct address_space *space, void (*line)(void *context, const char *text), void *context)
{
    SPACE_HOLD_ALL(space);
    char text[LINE_MAX];

    for (struct vm_segment *segment = vm_next(space, 0); segment; segment = vm_next(space, segment_end(segment))) {
        describe(space, segment, text, sizeof(text));
        (line ? line : print_line)(context, text);
    }
}

/* ---- the check ---- */

struct check {
    struct address_space *space;
    vaddr_t end; /* of the segment before */
};

static const char *check_segment(struct check *check, const struct vm_segment *segment)
{
    struct mmu_count count = mmu_count(&space_at(check->space, segment->start)->mmu, segment->start, segment->size);

    if (segment->magic != VM_SEGMENT_ALIVE)
        return "a dead segment is on the map";
    if (segment->size == 0 || !is_aligned(segment->start | segment->size, VM_PAGE_SIZE))
        return "a segment is not made of whole pages";
    if (segment->start < check->end)
        return "segments overlap or are out of order";
    if (segment_find(check->space, segment->start) != segment ||
        segment_find(check->space, segment_end(segment) - 1) != segment)
        return "a segment is not found by its addresses";
    if (!segment_in_ram_map(segment) && segment->driver->vm_free && !segment->mapped && count_kib(&count) != 0)
        return "a segment has pages and does not know";
    check->end = segment_end(segment);
    return NULL;
}

/* In the upper half tables, and the areas of further CPUs: the map of RAM and the image were there before. */
static bool is_backed_above(const struct vm_segment *segment)
{
    return segment->start >= LOW_HALF_END && !segment_in_ram_map(segment) && segment->driver != &vm_image;
}

const char *vm_validate(struct address_space *space)
{
    SPACE_HOLD_ALL(space);
    struct check check = {.space = space};
    struct mmu_count mapped = mmu_count(&space->mmu, 0, LOW_HALF_END), counted = {.pages = {0}}, made = mapped;
    size_t spans = 0, windows = 0, segments = 0, pages[PAGE_SIZES] = {0};
    struct vm_usage usage = vm_usage(space);
    const char *wrong = NULL;

    for (struct vm_segment *segment = vm_next(space, 0); segment && !wrong;
         segment = vm_next(space, segment_end(segment))) {
        struct mmu_count resident = segment_resident(space, segment);

        wrong = check_segment(&check, segment);
        segments++;
        for (unsigned i = 0; segment->start < LOW_HALF_END && !segment_in_ram_map(segment) && i < PAGE_SIZES; i++)
            counted.pages[i] += resident.pages[i];
        for (unsigned i = 0; is_backed_above(segment) && i < PAGE_SIZES; i++)
            made.pages[i] += resident.pages[i];
        spans += segment_in_ram_map(segment) ? segment->size : 0;
        windows += segment->driver == &vm_phys ? segment->size : 0;
    }
    if (!wrong && memcmp(mapped.pages, counted.pages, sizeof(mapped.pages)) != 0)
        wrong = "pages are mapped outside of segments";
    for (struct address_space *domain = space; domain; domain = space_after(domain)) {
        for (unsigned i = 0; i < PAGE_SIZES; i++)
            pages[i] += mmu_pages(&domain->mmu, (enum page_size)i);
    }
    for (unsigned i = 0; !wrong && i < PAGE_SIZES; i++) {
        if (made.pages[i] != pages[i])
            wrong = "the count of mapped pages is wrong";
    }
    if (!wrong && (spans != space->spans || windows != space->windows))
        wrong = "the bytes of spans or windows are wrong";
    if (!wrong && (usage.segments != segments || usage.faults != vm_faults(space)))
        wrong = "not every segment is visited once";
    return wrong;
}

/* ---- in debug builds, before each operation ---- */

#ifdef QUIRE_DEBUG
#define STEP_SEGMENTS 16u  /* looked at in a step: what a step costs does not grow with their number */
#define STEP_PAGES 4096u   /* with no more small pages and segments than in a step everything is checked, */
#define STEPS_TO_ALL 1024u /* and else in every so many steps */

/* The next ones in the order of addresses; true in *all if those are all that there are. */
static const char *check_some(struct address_space *space, bool *all)
{
    static vaddr_t at;
    struct check check = {.space = space};
    const vaddr_t first = at;

    for (unsigned i = 0; i < STEP_SEGMENTS; i++) {
        const struct vm_segment *segment = vm_next(space, at);
        const char *wrong;

        if (!segment) {
            at = 0;
            *all = first == 0;
            return NULL;
        }
        wrong = check_segment(&check, segment);
        if (wrong)
            return wrong;
        at = segment_end(segment);
    }
    return NULL;
}

void vm_step(struct address_space *space, const char *operation)
{
    static const char *before = "the start";
    static unsigned steps;
    bool all = false;

    if (space_after(space) || !is_whole(space)) /* others may not be looked at here */
        return;
    const char *wrong = check_some(space, &all);

    if (!wrong && (++steps % STEPS_TO_ALL == 0 || (all && mmu_pages(&space->mmu, PAGE_4K) <= STEP_PAGES)))
        wrong = vm_validate(space);
    CHECK(!wrong, "the address space is damaged after %s: %s (seen by %s)", before, wrong, operation);
    before = operation;
}
#endif
