/*
 * A tour of the segment drivers. Each step does one thing, says so in a line, prints the segment map and compares
 * contents and statistics with what has to be there.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vm/driver.h"
#include "vm/heap.h"
#include "vm/vm.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

#define HPET_ADDRESS 0xfed00000u /* where the high-precision event timer is on PCs */
#define HPET_VENDOR_INTEL 0x8086u

/* What a read that no device answers gives: all ones on PCs, 0 in QEMU. */
#define IS_ABSENT(value) ((value) == 0 || (value) == 0xffffffffu)

static struct address_space *space;
static unsigned step_number, wrong;

/* ---- saying and checking ---- */

#define MAP_LINES 64
#define MAP_WIDTH 200

struct map {
    size_t count;
    char lines[MAP_LINES][MAP_WIDTH];
};
static struct map maps[2]; /* the one before and the one printed now, in turn */
static unsigned current_map;

static bool map_has(const struct map *map, const char *text)
{
    for (size_t i = 0; i < map->count; i++) {
        if (strcmp(map->lines[i], text) == 0)
            return true;
    }
    return false;
}

static void print_map_line(void *context, const char *text)
{
    struct map *map = &maps[current_map];

    (void)context;
    printf("%c %s\n", map_has(&maps[!current_map], text) ? ' ' : '>', text);
    if (map->count < MAP_LINES)
        snprintf(map->lines[map->count++], MAP_WIDTH, "%s", text);
}

static void expect(bool good, const char *what)
{
    if (good)
        return;
    printf("WRONG: %s\n", what);
    wrong++;
}

/* The line that says what was done, and the map after it. */
static __attribute__((format(printf, 1, 2))) void step(const char *format, ...)
{
    const char *problem = vm_validate(space);
    va_list arguments;

    printf("\n%u. ", ++step_number);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    current_map = !current_map;
    maps[current_map].count = 0;
    vm_dump(space, print_map_line, NULL);
    expect(!problem, problem);
}

static void expect_error(error_t found, error_t wanted, const char *what)
{
    if (found == wanted)
        return;
    printf("WRONG: %s: error %d, not %d\n", what, found, wanted);
    wrong++;
}

static void expect_pages(const char *what, const size_t found[PAGE_SIZES], size_t small, size_t large)
{
    if (found[PAGE_4K] == small && found[PAGE_2M] == large && found[PAGE_1G] == 0)
        return;
    printf("WRONG: %s: %zu/%zu/%zu pages of 4K/2M/1G, not %zu/%zu/0\n", what, found[PAGE_4K], found[PAGE_2M],
           found[PAGE_1G], small, large);
    wrong++;
}

static void expect_resident(const struct vm_segment *segment, size_t small, size_t large)
{
    struct vm_statistics statistics = vm_segment_statistics(space, segment);

    expect_pages("resident", statistics.resident, small, large);
}

static void expect_faults(const struct vm_segment *segment, size_t small, size_t large)
{
    struct vm_statistics statistics = vm_segment_statistics(space, segment);

    expect_pages("faults", statistics.faults, small, large);
}

/* A segment, or the end of the tour: nothing that follows would mean anything. */
static struct vm_segment *need(struct vm_segment *segment, const char *what)
{
    if (!IS_ERR(segment))
        return segment;
    printf("WRONG: %s: error %d\n", what, ERR_OF(segment));
    fflush(stdout);
    _exit(1);
}

static char *byte_at(const struct vm_segment *segment, size_t offset)
{
    return (char *)vm_start(segment) + offset;
}

/* Reads memory for real: the compiler must not know what is there. */
static char read_byte(const char *byte)
{
    return *(const volatile char *)byte;
}

static void write_byte(char *byte, char value)
{
    *(volatile char *)byte = value;
}

static bool all_bytes(const char *bytes, size_t length, char value)
{
    for (size_t i = 0; i < length; i++) {
        if (read_byte(bytes + i) != value)
            return false;
    }
    return true;
}

/* ---- the drivers ---- */

static void image(void)
{
    static int variable = 1;
    static const int constant = 1;
    const struct vm_segment *text = vm_find(space, (vaddr_t)image);

    expect(text && vm_driver_of(text) == &vm_image, "the program's text is in a segment of driver image");
    expect(text && (vm_flags(text) & VM_PROTECTION) == (VM_READ | VM_EXEC), "text is r-x");
    expect((vm_flags(vm_find(space, (vaddr_t)&constant)) & VM_PROTECTION) == VM_READ, "constants are r--");
    expect((vm_flags(vm_find(space, (vaddr_t)&variable)) & VM_PROTECTION) == VM_RW, "variables are rw-");
    vaddr_t page = align_down((vaddr_t)image, VM_PAGE_SIZE);

    expect_error(vm_protect(space, page, VM_PAGE_SIZE, VM_RW), E_NOTSUP, "making text writable");
    expect_error(vm_unmap(space, page, VM_PAGE_SIZE), E_NOTSUP, "unmapping text");
    step("The image: its sections are segments too. Making text writable and unmapping it were refused.");
}

static struct vm_segment *anon_fault(void)
{
    struct vm_segment *segment =
        need(vm_alloc(space, &vm_anon, VM_ANYWHERE, 8 * MIB, VM_RW | VM_PAGES_2M), "allocating anon");

    expect_resident(segment, 0, 0);
    step("anon: allocated 8 MiB of demand-zero memory. It costs addresses and no frame.");

    expect(read_byte(byte_at(segment, 0)) == 0, "fresh memory reads as 0");
    write_byte(byte_at(segment, 0), 'a');
    write_byte(byte_at(segment, MIB), 'b');
    expect_faults(segment, 0, 1);
    expect_resident(segment, 0, 1);
    step("anon: wrote two bytes in the first 2 MiB. One fault backed them with one 2 MiB page.");
    return segment;
}

static void anon_resize(struct vm_segment *segment)
{
    vaddr_t start = vm_start(segment);

    expect_error(vm_resize(space, segment, 16 * MIB), E_SUCCESS, "growing anon");
    expect(vm_start(segment) == start, "growing moves nothing");
    write_byte(byte_at(segment, 16 * MIB - 1), 'z');
    expect_faults(segment, 0, 2);
    expect_resident(segment, 0, 2);
    step("anon: grew it to 16 MiB where it is, and wrote the last byte.");
}

static void anon_protect(struct vm_segment *segment)
{
    vaddr_t page = vm_start(segment) + MIB;

    expect_error(vm_protect(space, page, VM_PAGE_SIZE, VM_READ), E_SUCCESS, "protecting a page");
    expect(read_byte(byte_at(segment, MIB)) == 'b', "a protected page keeps its contents");
    expect(vm_size(segment) == MIB, "the segment ends where the protected page begins");
    expect((vm_flags(vm_find(space, page)) & VM_PROTECTION) == VM_READ, "the page is a segment that is r--");
    expect_resident(segment, 256, 0);
    expect_resident(vm_find(space, page), 1, 0);
    expect_resident(vm_find(space, page + VM_PAGE_SIZE), 255, 1);
    step("anon: made the page at 1 MiB read-only. The 2 MiB page became 512 of 4 KiB, the segment three.");

    expect_error(vm_protect(space, page, VM_PAGE_SIZE, VM_RW), E_SUCCESS, "making the page writable again");
    expect(vm_size(segment) == 16 * MIB, "equal neighbours are one segment again");
    write_byte(byte_at(segment, MIB), 'B');
    expect_resident(segment, 512, 1);
    step("anon: made it writable again. The three are alike and became one.");
}

static void anon_drop(struct vm_segment *segment)
{
    expect_error(vm_advise(space, vm_start(segment), MIB, VM_ADVICE_DONTNEED), E_SUCCESS, "dropping 1 MiB");
    expect_resident(segment, 256, 1);
    expect(read_byte(byte_at(segment, 0)) == 0, "what was dropped reads as 0");
    expect(read_byte(byte_at(segment, MIB)) == 'B', "what was not dropped is still there");
    expect_faults(segment, 1, 2);
    expect_resident(segment, 257, 1);
    step("anon: dropped the first 1 MiB (256 frames went back), then read its first byte: a fresh page of zeros.");

    expect_error(vm_resize(space, segment, 4 * MIB), E_SUCCESS, "shrinking anon");
    expect_resident(segment, 257, 0);
    expect_error(vm_resize(space, segment, 16 * MIB), E_SUCCESS, "growing anon again");
    expect(read_byte(byte_at(segment, 16 * MIB - 1)) == 0, "what was cut off reads as 0 when it is back");
    expect_faults(segment, 1, 3);
    step("anon: shrank it to 4 MiB, grew it to 16 MiB again, and read the last byte: it is gone.");
}

static void anon_taken(struct vm_segment *segment)
{
    vaddr_t end = vm_start(segment) + vm_size(segment);
    struct vm_segment *guard = need(vm_alloc(space, &vm_guard, end, 64 * KIB, 0), "allocating a guard behind it");

    expect_error(vm_resize(space, segment, 32 * MIB), E_NOMEM, "growing into a guard");
    expect(vm_size(segment) == 16 * MIB, "a refused growth changes nothing");
    expect_error(ERR_OF(vm_alloc(space, &vm_anon, end - MIB, MIB, VM_RW)), E_NOMEM, "allocating taken addresses");
    step("guard: put one behind it. Growing over the guard, and allocating taken addresses, were refused.");

    vaddr_t before = vm_start(segment);

    expect_error(vm_move(space, segment, VM_ANYWHERE, 32 * MIB), E_SUCCESS, "moving anon");
    expect(vm_start(segment) != before && vm_size(segment) == 32 * MIB, "it moved and grew");
    expect(read_byte(byte_at(segment, MIB)) == 'B', "moved memory keeps its contents");
    expect_faults(segment, 1, 3);
    step("anon: moved it to addresses where 32 MiB are free. Pages moved, nothing was copied, nothing faulted.");

    vm_free(space, guard);
    vm_free(space, segment);
    step("anon, guard: freed both.");
}

static void anon_split(void)
{
    struct vm_segment *segment =
        need(vm_alloc(space, &vm_anon, VM_ANYWHERE, 64 * KIB, VM_RW | VM_PAGES_4K), "allocating 64 KiB");

    write_byte(byte_at(segment, 0), 1);
    write_byte(byte_at(segment, 20 * KIB), 2);
    write_byte(byte_at(segment, 64 * KIB - 1), 3);
    expect_faults(segment, 3, 0);
    expect_resident(segment, 3, 0);
    step("anon: allocated 64 KiB with pages of 4 KiB at most and touched three of its pages: three faults.");

    struct vm_segment *upper = need(vm_split(space, segment, vm_start(segment) + 32 * KIB), "splitting");

    expect_resident(segment, 2, 0);
    expect_resident(upper, 1, 0);
    vm_free(space, segment);
    expect(read_byte(byte_at(upper, 32 * KIB - 1)) == 3, "the upper part lives on");
    step("anon: split it in the middle and freed the lower part.");
    vm_free(space, upper);

    struct vm_segment *backed =
        need(vm_alloc(space, &vm_anon, VM_ANYWHERE, 4 * MIB, VM_RW | VM_PAGES_2M | VM_POPULATE), "populating");

    expect(all_bytes(byte_at(backed, 0), 4 * MIB, 0), "populated memory reads as 0");
    expect_faults(backed, 0, 0);
    expect_resident(backed, 0, 2);
    step("anon: freed the rest, and allocated 4 MiB backed at once: reading all of it did not fault.");
    vm_free(space, backed);
}

static void heap_span(void)
{
    struct vm_segment *span = need(vm_alloc(space, &vm_heap, VM_ANYWHERE, 256 * KIB, VM_RW), "allocating a span");

    expect(all_bytes(byte_at(span, 0), 256 * KIB, 0), "a span reads as 0");
    memset(byte_at(span, 0), 's', 256 * KIB);
    expect_faults(span, 0, 0);
    expect_resident(span, 64, 0);
    step("heap: allocated a span of 256 KiB, straight from the map of RAM, and wrote all of it: no fault.");

    expect_error(vm_resize(space, span, 128 * KIB), E_SUCCESS, "shrinking a span");
    expect(all_bytes(byte_at(span, 0), 128 * KIB, 's'), "a shrunk span keeps its contents");
    expect_resident(span, 32, 0);
    expect_error(vm_protect(space, vm_start(span), VM_PAGE_SIZE, VM_READ), E_NOTSUP, "protecting part of a span");
    step("heap: gave half of the span back. Protecting a page of it was refused: the page is not its own.");
    vm_free(space, span);

    char *memory = vm_span_alloc(VM_PAGE_SIZE);

    expect(memory != NULL, "vm_span_alloc");
    if (memory) {
        memset(memory, 'x', VM_PAGE_SIZE);
        vm_span_free(memory);
    }
}

static void heap_slot(void)
{
    struct vm_segment *slot =
        need(vm_alloc(space, &vm_heap, VM_ANYWHERE, 8 * MIB, VM_RW | VM_PAGES_2M), "allocating a slot");
    vaddr_t start = vm_start(slot);

    write_byte(byte_at(slot, 0), 'h');
    expect_error(vm_resize(space, slot, 32 * MIB), E_SUCCESS, "growing a slot");
    write_byte(byte_at(slot, 32 * MIB - 1), 'i');
    expect(vm_start(slot) == start && read_byte(byte_at(slot, 0)) == 'h', "a slot grows in place");
    expect_faults(slot, 0, 2);
    expect_resident(slot, 0, 2);
    step("heap: freed the span; 8 MiB are too large for one and got a slot, which grew in place to 32 MiB.");
    vm_free(space, slot);
    step("heap: freed the slot.");
}

static void phys(void)
{
    struct vm_segment *window =
        need(vm_alloc_at(space, &vm_phys, HPET_ADDRESS, VM_PAGE_SIZE, VM_READ | VM_CACHE_UC), "opening a window");
    const volatile uint32_t *registers = (const volatile uint32_t *)vm_start(window);
    uint32_t identity = registers[0], period = registers[1];

    expect_resident(window, 1, 0);
    expect_faults(window, 0, 0);
    if (IS_ABSENT(identity)) {
        step("phys: opened an uncached, read-only window at %#x. No device answers there.", HPET_ADDRESS);
    } else {
        expect(identity >> 16 == HPET_VENDOR_INTEL, "the HPET tells its vendor");
        step("phys: opened an uncached, read-only window on the HPET at %#x: vendor %#x, a tick is %u ns.",
             HPET_ADDRESS, identity >> 16, period / 1000000);
    }
    expect_error(vm_protect(space, vm_start(window), VM_PAGE_SIZE, VM_RW), E_SUCCESS, "making a window writable");
    expect((vm_flags(window) & (VM_PROTECTION | VM_CACHE)) == (VM_RW | VM_CACHE_UC), "the memory type stays");
    expect_error(ERR_OF(vm_alloc_at(space, &vm_phys, 16 * MIB, MIB, VM_RW)), E_BUSY, "a window over RAM");
    step("phys: made it writable; it stays uncached. A window over RAM was refused.");
    vm_free(space, window);
}

#define FRAME_BYTES 1000
#define DEPTH 32

/* Runs function(argument) on another stack; top is aligned to 16. */
void call_on_stack(void *top, void (*function)(void *), void *argument);
__asm__(".text\n"
        "call_on_stack:\n"
        "    pushq %rbp\n"
        "    movq %rsp, %rbp\n"
        "    movq %rdi, %rsp\n"
        "    movq %rdx, %rdi\n"
        "    callq *%rsi\n"
        "    movq %rbp, %rsp\n"
        "    popq %rbp\n"
        "    retq\n");

/* Sums 1 to depth the hard way, with a large frame for each; shown to assembly, so that it stays a call and a frame. */
static unsigned __attribute__((noinline)) deep_sum(unsigned depth)
{
    char frame[FRAME_BYTES];

    __asm__ volatile("" : : "r"(frame) : "memory");
    unsigned sum = depth ? depth + deep_sum(depth - 1) : 0;

    __asm__ volatile("" : : "r"(frame) : "memory");
    return sum;
}

static void sum_to_depth(void *result)
{
    *(unsigned *)result = deep_sum(DEPTH);
}

static void stack(void)
{
    struct vm_segment *segment = need(vm_alloc(space, &vm_stack, VM_ANYWHERE, 256 * KIB, VM_RW), "allocating a stack");
    unsigned sum = 0;

    expect_resident(segment, 0, 0);
    call_on_stack(byte_at(segment, 256 * KIB), sum_to_depth, &sum);
    expect(sum == DEPTH * (DEPTH + 1) / 2, "a function ran on the new stack");
    struct vm_statistics statistics = vm_segment_statistics(space, segment);
    size_t least = DEPTH * FRAME_BYTES / VM_PAGE_SIZE;

    expect(statistics.faults[PAGE_4K] >= least && statistics.faults[PAGE_4K] <= 2 * least, "faults of the new stack");
    expect_resident(segment, statistics.faults[PAGE_4K], 0);
    step("stack: allocated 256 KiB and ran a function %u calls deep on it. It grew down by the pages it touched.",
         DEPTH);
    vm_free(space, segment);
}

static void guard(void)
{
    struct vm_segment *segment = need(vm_alloc(space, &vm_guard, VM_ANYWHERE, 64 * KIB, 0), "allocating a guard");

    errno = 0;
    expect(write(STDOUT_FILENO, (void *)vm_start(segment), 1) == -1 && errno == EFAULT, "writing out of a guard");
    expect(vm_segment_statistics(space, segment).faults_refused > 0, "the guard has refused a fault");
    expect_resident(segment, 0, 0);
    step("guard: freed the stack; allocated a guard and had a system call read from it: EFAULT, a refused fault.");
    expect_error(vm_resize(space, segment, 0), E_SUCCESS, "resizing to 0");
}

/* ---- the whole ---- */

static const char *const driver_names[] = {"anon", "heap", "phys", "stack", "guard", "image"};
#define DRIVERS ARRAY_LENGTH(driver_names)

static void count_segments(uint64_t counts[DRIVERS])
{
    for (size_t i = 0; i < DRIVERS; i++)
        counts[i] = vm_driver_statistics(space, vm_driver(driver_names[i])).segments;
}

static void print_statistics(void)
{
    printf("\n%-8s %8s   %23s   %23s   %8s %9s\n", "", "", "faults served with", "resident pages of", "faults",
           "a smaller");
    printf("%-8s %8s   %7s %7s %7s   %7s %7s %7s   %8s %9s\n", "driver", "segments", "4K", "2M", "1G", "4K", "2M", "1G",
           "refused", "page");
    for (size_t i = 0; i < DRIVERS; i++) {
        struct vm_statistics sum = vm_driver_statistics(space, vm_driver(driver_names[i]));

        printf("%-8s %8llu   %7llu %7llu %7llu   %7zu %7zu %7zu   %8llu %9llu\n", driver_names[i],
               (unsigned long long)sum.segments, (unsigned long long)sum.faults[PAGE_4K],
               (unsigned long long)sum.faults[PAGE_2M], (unsigned long long)sum.faults[PAGE_1G], sum.resident[PAGE_4K],
               sum.resident[PAGE_2M], sum.resident[PAGE_1G], (unsigned long long)sum.faults_refused,
               (unsigned long long)sum.fallbacks);
    }
}

int main(void)
{
    uint64_t before[DRIVERS], after[DRIVERS];

    space = vm_space();
    step("The map as the program finds it: the image, the stack, and what the C library allocated.");
    count_segments(before);
    image();
    struct vm_segment *segment = anon_fault();

    anon_resize(segment);
    anon_protect(segment);
    anon_drop(segment);
    anon_taken(segment);
    anon_split();
    heap_span();
    heap_slot();
    phys();
    stack();
    guard();
    count_segments(after);
    expect(memcmp(before, after, sizeof(before)) == 0, "as many segments at the end as at the beginning");
    step("Freed what was left: the map is as it was.");
    print_statistics();
    printf("\n%u steps, %u wrong\n", step_number, wrong);
    return wrong ? 1 : 0;
}
