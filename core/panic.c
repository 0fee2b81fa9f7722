#include "core/panic.h"

#include "core/base/assert.h"
#include "core/base/print.h"
#include "core/config.h"
#include "core/console.h"
#include "core/cpu.h"
#include "core/power.h"
#include "core/program.h"
#include "core/spinlock.h"
#include "core/symbols.h"
#include "vm/space.h"

#define MESSAGE_MAX 240
#define TRACE_MAX 32
#define MAP_LINES 64
/* The map of a damaged address space may have no end. */
#define MAP_LINES_BROKEN 1000000

extern char __core_data_start[], __core_data_end[];

unsigned panic_reports; /* everything below may fault, and is tried once */

void panic_begin(void)
{
    cpu_stop_others();
    if (++panic_reports > 2)
        power_off(STATUS_PANIC);
}

struct address_space *panic_space(void)
{
    struct address_space *space = vm_space();

    /* It is a variable of the image (boot.c). */
    if (panic_reports > 1 || (char *)space < __core_data_start || (char *)space >= __core_data_end)
        return NULL;
    space_seize(space);
    return space;
}

void panic_cause(const char *subject, const char *cause)
{
    console_end();
    kprintf("\nquire: %s%s: %s\n", panic_reports > 1 ? "and while this was reported: " : "", subject, cause);
    if (panic_reports > 1)
        power_off(STATUS_PANIC);
}

/* By this a report is read back (images/panic.py): of which build it is, and where an existing program lies. */
static void print_build(void)
{
    unsigned long entry = quire_config.program ? program_running()->entry : 0; /* 0: not loaded yet */

    kprintf("quire: image %s, build %016lx", quire_config.name, (unsigned long)symbols_build());
    if (entry)
        kprintf(", program entered at %#lx", entry);
    kprintf("\n");
}

void panic_print_place(uintptr_t address, bool is_return, bool certain)
{
    char name[SYMBOL_NAME_MAX];
    size_t offset;

    /* A call may be the last instruction of its function. */
    if (symbol_lookup(address - is_return, name, sizeof name, &offset))
        kprintf("quire:   %#018lx %s%.120s+%#zx\n", (unsigned long)address, certain ? "" : "? ", name,
                offset + is_return);
    else
        kprintf("quire:   %#018lx%s\n", (unsigned long)address, certain ? "" : " ?");
}

/* Equal frames in a row, as an endless recursion has them, are printed once. */
static void print_trace(const struct panic_report *report)
{
    const struct panic_frame *trace = report->trace;

    kprintf("quire: backtrace (?: a guess from the contents of the stack)\n");
    if (report->instruction)
        panic_print_place(report->instruction, false, true);
    for (size_t i = 0, next; i < report->trace_count; i = next) {
        for (next = i + 1; next < report->trace_count && trace[next].address == trace[i].address; next++)
            continue;
        panic_print_place(trace[i].address, true, trace[i].certain);
        if (next - i > 1)
            kprintf("quire:   the same %zu times more\n", next - i - 1);
    }
}

static void print_statistics(const char *of, const char *name, const struct vm_statistics *statistics)
{
    const uint64_t *faults = statistics->faults;
    const size_t *resident = statistics->resident;

    kprintf(
        "quire:   %s %s: %lu alive; faults %lu of 4K, %lu of 2M, %lu of 1G, %lu refused; pages %zu of 4K, %zu of 2M, "
        "%zu of 1G; %lu fallbacks\n",
        of, name, (unsigned long)statistics->segments, (unsigned long)faults[PAGE_4K], (unsigned long)faults[PAGE_2M],
        (unsigned long)faults[PAGE_1G], (unsigned long)statistics->faults_refused, resident[PAGE_4K], resident[PAGE_2M],
        resident[PAGE_1G], (unsigned long)statistics->fallbacks);
}

static void print_neighbours(struct address_space *space, vaddr_t address)
{
    struct vm_segment *next = vm_next(space, address);

    kprintf("quire: the address 0x%lx is in no segment", (unsigned long)address);
    if (next)
        kprintf("; the next one begins 0x%lx bytes above", (unsigned long)(vm_start(next) - address));
    kprintf("\n");
}

static void print_segment(struct address_space *space, vaddr_t address)
{
    struct vm_segment *segment = vm_find(space, address);
    char text[160] = "";

    if (!segment) {
        print_neighbours(space, address);
        return;
    }
    const struct vm_segment_driver *driver = vm_driver_of(segment);
    struct vm_statistics own = vm_segment_statistics(space, segment);
    struct vm_statistics all = vm_driver_statistics(space, driver);
    vm_flags_t flags = vm_flags(segment);

    if (driver->describe)
        driver->describe(segment, text, sizeof text);
    kprintf("quire: the address 0x%lx is 0x%lx bytes into the segment 0x%lx-0x%lx %c%c%c %s %s\n",
            (unsigned long)address, (unsigned long)(address - vm_start(segment)), (unsigned long)vm_start(segment),
            (unsigned long)(vm_start(segment) + vm_size(segment)), flags & VM_READ ? 'r' : '-',
            flags & VM_WRITE ? 'w' : '-', flags & VM_EXEC ? 'x' : '-', driver->name, text);
    print_statistics("segment of", driver->name, &own);
    print_statistics("driver", driver->name, &all);
}

static void print_map_line(void *context, const char *text)
{
    size_t *lines = context;

    if ((*lines)++ < MAP_LINES)
        kprintf("quire:   %s\n", text);
    if (*lines > MAP_LINES_BROKEN)
        power_off(STATUS_PANIC);
}

static void print_map(struct address_space *space)
{
    size_t lines = 0;

    kprintf("quire: segments\n");
    vm_dump(space, print_map_line, &lines);
    if (lines > MAP_LINES)
        kprintf("quire:   and %zu more\n", lines - MAP_LINES);
}

_Noreturn void panic_report(const struct panic_report *report)
{
    struct address_space *space = panic_space();

    print_build();
    panic_print_registers(report->registers);
    print_trace(report);
    if (space) {
        if (report->has_address)
            print_segment(space, report->address);
        print_map(space);
    }
#if QUIRE_THREADS
    if (panic_reports == 1)
        panic_print_threads();
#endif
    power_off(report->status);
}

_Noreturn void panic(const char *format, ...)
{
    static char message[MESSAGE_MAX];
    uintptr_t addresses[TRACE_MAX];
    struct panic_frame trace[TRACE_MAX];
    size_t count;
    va_list arguments;

    panic_begin();
    va_start(arguments, format);
    text_vformat(message, sizeof message, format, arguments);
    va_end(arguments);
    panic_cause("panic", message);
    count = cpu_backtrace(addresses, TRACE_MAX);
    for (size_t i = 0; i < count; i++)
        trace[i] = (struct panic_frame){addresses[i], true};
    panic_report(&(struct panic_report){
        .status = STATUS_PANIC,
        .trace = trace + 1, /* without this function */
        .trace_count = count - 1,
    });
}
