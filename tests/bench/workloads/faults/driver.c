/*
 * The smallest driver that backs pages: a frame, filled with the number of its page, mapped. All names of the VM core
 * are weak references, so that the program for Linux, where nothing defines them, is linked without.
 */
#include "driver.h"

#include "tests/bench/bench.h"
#include "vm/driver.h"

#pragma weak vm_space
#pragma weak vm_driver_register
#pragma weak vm_alloc
#pragma weak vm_free
#pragma weak vm_start
#pragma weak vm_fault_info
#pragma weak vm_segment_create
#pragma weak vm_segment_map
#pragma weak vm_segment_free_owned
#pragma weak vm_frame_get
#pragma weak vm_frame_put
#pragma weak vm_frame_memory

#define PAGES 4096u
#define WORDS (VM_PAGE_SIZE / sizeof(uint64_t))

static const struct vm_segment_driver numbers;

static struct vm_segment *numbers_alloc(struct address_space *space, vaddr_t start, size_t size, vm_flags_t flags)
{
    return vm_segment_create(space, &numbers, start, size, flags);
}

/* The way the core zeroes a page, so that what is left of the figure can be compared with a first touch. */
static void fill(uint64_t *words, uint64_t number)
{
    size_t count = WORDS;

    __asm__ volatile("rep stosq" : "+D"(words), "+c"(count) : "a"(number) : "memory");
}

static error_t numbers_fault(struct address_space *space, struct vm_segment *segment)
{
    const struct vm_fault_info *fault = vm_fault_info();
    vaddr_t page = align_down(fault->address, VM_PAGE_SIZE);

    if (fault->present)
        return E_ACCES;
    paddr_t frame = vm_frame_get();

    if (frame == FRAME_NONE)
        return E_NOMEM;
    fill(vm_frame_memory(frame), (page - segment->start) / VM_PAGE_SIZE);
    error_t error = vm_segment_map(space, segment, page, frame, PAGE_4K);

    if (error)
        vm_frame_put(frame);
    else
        segment->faults[PAGE_4K]++;
    return error;
}

static const struct vm_segment_driver numbers = {
    .vm_alloc = numbers_alloc,
    .vm_free = vm_segment_free_owned,
    .vm_fault = numbers_fault,
    .name = "numbers",
};

static void touch_numbers(const struct bench_row *row, struct bench_span *span)
{
    struct vm_segment *segment = vm_alloc(vm_space(), &numbers, VM_ANYWHERE, row->operations * VM_PAGE_SIZE, VM_READ);

    if (IS_ERR(segment))
        bench_fail("no segment of the program's own driver: error %d", ERR_OF(segment));
    const volatile uint64_t *words = (const volatile uint64_t *)vm_start(segment);
    uint64_t sum = 0;

    bench_begin(span);
    for (uint64_t i = 0; i < row->operations; i++)
        sum += words[i * WORDS];
    bench_end(span);
    bench_check_number("the sum of the pages of the own driver", sum, row->operations * (row->operations - 1) / 2);
    vm_free(vm_space(), segment);
}

void driver_fault(void)
{
    const struct bench_row row = {
        "own_driver", VM_PAGE_SIZE, "fault served by a driver of the program", touch_numbers, PAGES, 0,
    };

    if (!vm_driver_register)
        return; /* Linux */
    error_t error = vm_driver_register(&numbers);

    if (error)
        bench_fail("the program's own driver cannot be registered: error %d", error);
    bench_run(&row);
}
