/*
 * Bad input to the VM core: each request is answered by the right error and changes nothing. At the end a series of
 * good operations leaves as much free memory as there was.
 */
#include <stdio.h>
#include <sys/sysinfo.h>

#include "vm/heap.h"
#include "vm/vm.h"

static int failures;

static void expect(const char *what, error_t got, error_t wanted)
{
    printf("%s: %s%s\n", what, error_name(got), got == wanted ? "" : " WRONG");
    failures += got != wanted;
}

static error_t alloc(vaddr_t address, size_t size, vm_flags_t flags)
{
    struct vm_segment *segment = vm_alloc(vm_space(), &vm_anon, address, size, flags);

    if (IS_ERR(segment))
        return ERR_OF(segment);
    vm_free(vm_space(), segment);
    return E_SUCCESS;
}

static error_t window(paddr_t physical, size_t size)
{
    struct vm_segment *segment = vm_alloc_at(vm_space(), &vm_phys, physical, size, VM_RW | VM_CACHE_UC);

    if (IS_ERR(segment))
        return ERR_OF(segment);
    vm_free(vm_space(), segment);
    return E_SUCCESS;
}

static void check_sizes(void)
{
    expect("size 0", alloc(VM_ANYWHERE, 0, VM_RW), E_INVAL);
    expect("size 1", alloc(VM_ANYWHERE, 1, VM_RW), E_INVAL);
    expect("size 4097", alloc(VM_ANYWHERE, VM_PAGE_SIZE + 1, VM_RW), E_INVAL);
    expect("size 2^64 - 4096", alloc(VM_ANYWHERE, -VM_PAGE_SIZE, VM_RW), E_NOMEM);
    expect("address + size beyond 2^64", alloc((vaddr_t)-VM_PAGE_SIZE, 2 * VM_PAGE_SIZE, VM_RW), E_INVAL);
    expect("misaligned address", alloc(SIZE_MAX / 8 + 2, VM_PAGE_SIZE, VM_RW), E_INVAL);
    expect("unknown flags", alloc(VM_ANYWHERE, VM_PAGE_SIZE, 1u << 31), E_INVAL);
    expect("the image's address", alloc((vaddr_t)&failures & ~VM_PAGE_MASK, VM_PAGE_SIZE, VM_RW), E_NOMEM);
    expect("page zero", alloc(VM_PAGE_SIZE, VM_PAGE_SIZE, VM_RW), E_NOMEM);
    expect("non-canonical address", alloc((vaddr_t)1 << 50, VM_PAGE_SIZE, VM_RW), E_NOMEM);
    expect("more than there is, at once", alloc(VM_ANYWHERE, (size_t)1 << 36, VM_RW | VM_POPULATE), E_NOMEM);
}

static void check_windows(void)
{
    expect("window over RAM", window(0x100000, VM_PAGE_SIZE), E_BUSY);
    expect("window that ends in RAM", window(0xff000, 2 * VM_PAGE_SIZE), E_BUSY);
    expect("window beyond the physical width", window((paddr_t)1 << 52, VM_PAGE_SIZE), E_RANGE);
    expect("window across the end of the width", window(((paddr_t)1 << 52) - VM_PAGE_SIZE, 2 * VM_PAGE_SIZE), E_RANGE);
    expect("window beyond 2^64", window((paddr_t)-VM_PAGE_SIZE, 2 * VM_PAGE_SIZE), E_INVAL);
    expect("misaligned window", window(0xfed00001, VM_PAGE_SIZE), E_INVAL);
    expect("window of no bytes", window(0xfed00000, 0), E_INVAL);
    expect("good window", window(0xfed00000, VM_PAGE_SIZE), E_SUCCESS);
}

static void check_drivers(void)
{
    static const struct vm_segment_driver nameless = {0};
    static const struct vm_segment_driver second = {.name = "anon"};
    struct vm_segment *segment = vm_alloc(vm_space(), &vm_anon, VM_ANYWHERE, 4 * VM_PAGE_SIZE, VM_RW);
    struct vm_segment *next = vm_alloc(vm_space(), &vm_anon, vm_start(segment) + 8 * VM_PAGE_SIZE, VM_PAGE_SIZE, VM_RW);

    expect("driver without a name", vm_driver_register(&nameless), E_INVAL);
    expect("driver without operations", vm_driver_register(&second), E_INVAL);
    expect("no driver", ERR_OF(vm_alloc(vm_space(), NULL, VM_ANYWHERE, VM_PAGE_SIZE, VM_RW)), E_INVAL);
    expect("phys without a physical address", ERR_OF(vm_alloc(vm_space(), &vm_phys, VM_ANYWHERE, VM_PAGE_SIZE, VM_RW)),
           E_NOTSUP);
    expect("resize to a misaligned size", vm_resize(vm_space(), segment, 5), E_INVAL);
    if (!IS_ERR(next)) {
        expect("resize into a neighbour", vm_resize(vm_space(), segment, 16 * VM_PAGE_SIZE), E_NOMEM);
        vm_free(vm_space(), next);
    } else {
        expect("second segment in the headroom of the first", ERR_OF(next), E_NOMEM);
    }
    expect("its size did not change", vm_size(segment) == 4 * VM_PAGE_SIZE ? E_SUCCESS : E_INVAL, E_SUCCESS);
    expect("protect a hole", vm_protect(vm_space(), vm_start(segment), 64 * VM_PAGE_SIZE, VM_READ), E_NOMEM);
    expect("resize to 0 frees", vm_resize(vm_space(), segment, 0), E_SUCCESS);
}

static unsigned long free_memory(void)
{
    struct sysinfo info;

    sysinfo(&info);
    return info.freeram * info.mem_unit;
}

/* Touches, protects, cuts, grows and frees; leaves nothing behind. */
static void work(size_t size, vm_flags_t pages)
{
    struct vm_segment *segment = vm_alloc(vm_space(), &vm_anon, VM_ANYWHERE, size, VM_RW | pages), *upper;
    volatile char *memory = (volatile char *)vm_start(segment);
    void *span = vm_span_alloc(size);

    for (size_t i = 0; i < size; i += VM_PAGE_SIZE)
        memory[i] = 1;
    vm_resize(vm_space(), segment, 2 * size);
    memory[2 * size - 1] = 1;
    vm_protect(vm_space(), vm_start(segment) + VM_PAGE_SIZE, VM_PAGE_SIZE, VM_READ);
    vm_advise(vm_space(), vm_start(segment), size, VM_ADVICE_DONTNEED);
    memory[0] = 1;
    vm_unmap(vm_space(), vm_start(segment) + size, VM_PAGE_SIZE);
    upper = vm_find(vm_space(), (vaddr_t)memory + size + VM_PAGE_SIZE);
    if (upper)
        vm_free(vm_space(), upper);
    vm_unmap(vm_space(), (vaddr_t)memory, 2 * size);
    if (span)
        vm_span_free(span);
}

static void check_frames(void)
{
    unsigned long before = 0;

    for (int i = 0; i < 24; i++) {
        if (i == 4) /* empty tables at the places used last stay: there are as many as there will be */
            before = free_memory();
        work(1 << 20, VM_PAGES_4K);
        work(4 << 20, VM_PAGES_2M);
    }
    if (free_memory() != before)
        printf("free memory: %lu, before %lu\n", free_memory(), before);
    expect("free memory as before", free_memory() == before ? E_SUCCESS : E_NOMEM, E_SUCCESS);
}

int main(void)
{
    const char *wrong;

    check_sizes();
    check_windows();
    check_drivers();
    check_frames();
    wrong = vm_validate(vm_space());
    if (wrong)
        printf("vm_validate: %s WRONG\n", wrong);
    printf("%d wrong\n", failures);
    return failures || wrong ? 1 : 0;
}
