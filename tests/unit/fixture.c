#include "fixture.h"

#include <stdio.h>
#include <string.h>

#include "harness.h"
#include "vm/frames.h"

struct address_space *space;

static struct address_space the_space;
static size_t frames_at_start;

static size_t frames_kept(void)
{
    for (unsigned cpu = cpu_count(); cpu-- > 0;) {
        fake_cpu_be(cpu);
        frames_drain();
    }
    for (struct address_space *domain = &the_space; domain; domain = space_after(domain))
        mmu_trim(&domain->mmu);
    return frames_stats().free + vm_bookkeeping_frames(&the_space);
}

/* What waits for an epoch: nobody may have been given it. */
static bool is_waiting(vaddr_t start, size_t size)
{
    struct vm_segment *next = vm_next(space, start);

    return (cpu_count() > 1 ? space_at(space, start)->reserve.waiting > 0 : mmu_behind == &the_space.mmu) &&
           (!next || vm_start(next) >= start + size);
}

void fixture_lazy(void)
{
    mmu_set_strict(false);
    fake_tlb_excuse(is_waiting);
}

void fixture_start(size_t ram)
{
    struct frame_range ranges[] = {{0x1000, 0x9f000}, {MIB, MIB + ram}};

    fake_ram(ranges, ARRAY_LENGTH(ranges));
    assert_int_equal(frames_init(ranges, ARRAY_LENGTH(ranges)), E_SUCCESS);
    for (unsigned cpu = 1; cpu < cpu_count(); cpu++)
        cpu_variable(cpu, frame_magazines) = frame_magazines;
    space = &the_space;
    assert_int_equal(vm_space_init(space, 0, 0), E_SUCCESS);
    vm_space_use(space);
    assert_ptr_equal(vm_space(), space);
    fake_use_tables(the_space.mmu.root);
    fake_on_fault(vm_handle_fault);
    if (cpu_count() > 1)
        assert_true(mmu_make_own_tables(&the_space.mmu, cpu_count()));
    frames_at_start = frames_kept();
}

void fixture_check(void)
{
    const char *wrong = vm_validate(space);

    if (wrong)
        fail_msg("vm_validate: %s", wrong);
    wrong = fake_tlb_stale();
    if (wrong)
        fail_msg("%s", wrong);
}

size_t fixture_frames_out(void)
{
    return frames_at_start - frames_kept();
}

void fixture_end(void)
{
    size_t root_and_all = frames_at_start + 1; /* the root is no longer out */

    fixture_check();
    assert_int_equal(frames_kept(), frames_at_start);
    if (cpu_count() > 1) {
        mmu_free_own_tables();
        root_and_all += frames_kept() - frames_at_start;
    }
    vm_space_destroy(space);
    frames_drain();
    assert_int_equal(frames_stats().free, root_and_all);
    assert_null(vm_space());
}

/* The line without "(pages of each size)": an operation that fails may have split large pages. */
static const char *without_page_sizes(const char *text)
{
    static char line[256];
    const char *open = strstr(text, " ("), *close = open ? strchr(open, ')') : NULL;

    if (!close)
        return text;
    snprintf(line, sizeof(line), "%.*s%s", (int)(open - text), text, close + 1);
    return line;
}

static void append_line(void *context, const char *text)
{
    struct trace *trace = context;
    size_t used = strlen(trace->map);

    assert_null(strchr(text, '\n'));
    trace->segments++;
    text = without_page_sizes(text);
    if (used + strlen(text) + 2 > sizeof(trace->map))
        fail_msg("the map is longer than a test expects");
    snprintf(trace->map + used, sizeof(trace->map) - used, "%s\n", text);
}

/* Where there are several domains the tables that the root points to stay. */
static size_t tables_kept(void)
{
    const uint64_t *root = phys_to_virt(the_space.mmu.root);
    size_t kept = 0;

    for (unsigned i = 0; i < 256 && the_space.mmu.shared; i++)
        kept += root[i] != 0;
    return kept;
}

void trace_take(struct trace *trace)
{
    memset(trace, 0, sizeof(*trace));
    trace->frames = frames_kept();
    trace->tables = mmu_tables(&the_space.mmu) - tables_kept();
    vm_dump(space, append_line, trace);
}

void trace_compare(const struct trace *before, const struct trace *after, const char *operation, long nth)
{
    if (before->frames != after->frames)
        fail_msg("%s, failing at frame %ld: %zu frames, were %zu", operation, nth, after->frames, before->frames);
    if (nth < 0 && before->tables != after->tables)
        fail_msg("%s: %zu tables, were %zu", operation, after->tables, before->tables);
    if (strcmp(before->map, after->map) != 0)
        fail_msg("%s, failing at frame %ld: the map is\n%swas\n%s", operation, nth, after->map, before->map);
}

/* A frame beyond the one that fails, so that what is left of the count tells whether it was reached. */
static long injected;

void fixture_inject(long nth)
{
    frames_drain();
    mmu_trim(&the_space.mmu);
    injected = nth;
    frames_fail_nth(nth);
}

bool fixture_inject_end(void)
{
    paddr_t frame;
    bool pending = false;

    /* If the failure is still to come, one of the next gets has it. */
    for (long i = 0; i <= injected && !pending; i++) {
        frame = frame_get(PAGE_4K);
        if (frame == FRAME_NONE)
            pending = true;
        else
            frame_put(frame, PAGE_4K);
    }
    frames_fail_nth(-1);
    return !pending;
}

struct vm_segment *must_alloc(const struct vm_segment_driver *driver, vaddr_t start, size_t size, vm_flags_t flags)
{
    struct vm_segment *segment = vm_alloc(space, driver, start, size, flags);

    if (IS_ERR(segment))
        fail_msg("vm_alloc(%s, %#lx, %#zx, %#x): error %d", driver->name, start, size, flags, ERR_OF(segment));
    assert_non_null(segment);
    assert_int_equal(vm_size(segment), size);
    if (start != VM_ANYWHERE)
        assert_int_equal(vm_start(segment), start);
    assert_ptr_equal(vm_driver_of(segment), driver);
    return segment;
}

struct vm_segment *must_alloc_at(const struct vm_segment_driver *driver, paddr_t start, size_t size, vm_flags_t flags)
{
    struct vm_segment *segment = vm_alloc_at(space, driver, start, size, flags);

    if (IS_ERR(segment))
        fail_msg("vm_alloc_at(%s, %#lx, %#zx, %#x): error %d", driver->name, (unsigned long)start, size, flags,
                 ERR_OF(segment));
    assert_int_equal(vm_size(segment), size);
    return segment;
}

void must_write(vaddr_t address, uint64_t value)
{
    error_t error = fake_write(address, &value, sizeof(value));

    if (error)
        fail_msg("writing %#lx: error %d", address, error);
}

uint64_t must_read(vaddr_t address)
{
    uint64_t value;
    error_t error = fake_read(address, &value, sizeof(value));

    if (error)
        fail_msg("reading %#lx: error %d", address, error);
    return value;
}
