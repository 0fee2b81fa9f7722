/*
 * Uses memory in known amounts and says what it did, a line each, for tests/apps/test_observe.py: the statistics must
 * say the same. The argument is how it ends.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "vm/driver.h"
#include "vm/heap.h"

#define MIB ((size_t)1 << 20)
#define PAGE ((size_t)4096)

static struct address_space *space;
static int damaged;

static void touch(char *start, size_t size, size_t step)
{
    for (size_t i = 0; i < size; i += step)
        ((volatile char *)start)[i] = 1;
}

static void tell(const char *name, const void *start, size_t count, size_t page)
{
    printf("segment %s %#lx %zu %zu\n", name, (unsigned long)start, count, page);
}

static struct vm_segment *allocate(const struct vm_segment_driver *driver, size_t size, vm_flags_t flags)
{
    struct vm_segment *segment = vm_alloc(space, driver, VM_ANYWHERE, size, flags);

    if (IS_ERR(segment)) {
        printf("vm_alloc: error %d\n", ERR_OF(segment));
        exit(1);
    }
    return segment;
}

/* ---- a driver of the program ---- */

static struct vm_segment *own_alloc(struct address_space *in, vaddr_t start, size_t size, vm_flags_t flags)
{
    return vm_segment_create(in, vm_driver("an \"own\" driver"), start, size, flags);
}

static error_t own_fault(struct address_space *in, struct vm_segment *segment)
{
    return vm_segment_back(in, segment, vm_fault_info()->address);
}

static void own_describe(const struct vm_segment *segment, char *buffer, size_t size)
{
    if (damaged)
        *(volatile int *)8 = 1;
    snprintf(buffer, size, "\"%zu\"\n\\", vm_size(segment) / PAGE);
}

static const struct vm_segment_driver own = {
    .vm_alloc = own_alloc,
    .vm_free = vm_segment_free_owned,
    .vm_fault = own_fault,
    .name = "an \"own\" driver",
    .describe = own_describe,
};

/* ---- what is done ---- */

static void use_pages(void)
{
    struct vm_segment *small = allocate(&vm_anon, MIB, VM_RW | VM_PAGES_4K);
    struct vm_segment *large = allocate(&vm_anon, 8 * MIB, VM_RW);
    struct vm_segment *mine = allocate(&own, MIB, VM_RW | VM_PAGES_4K);

    for (size_t page = 37; page > 0; page--) /* not in order, which would back more at once */
        touch((char *)vm_start(small) + (page - 1) * PAGE, PAGE, PAGE);
    touch((char *)vm_start(large), 6 * MIB, 2 * MIB);
    touch((char *)vm_start(mine), 11 * PAGE, PAGE);
    tell("anon", (void *)vm_start(small), 37, PAGE);
    tell("anon", (void *)vm_start(large), 3, 2 * MIB);
    tell("own", (void *)vm_start(mine), 11, PAGE);
}

/* Read first, then copied: two faults a page. */
static void use_file(void)
{
    int fd = open("/data/pages.txt", O_RDONLY);
    char *map = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    char sum = 0;

    if (map == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    for (size_t i = 0; i < 4; i++)
        sum += ((volatile char *)map)[i * PAGE];
    printf("sum %d\n", sum);
    touch(map, 2 * PAGE, PAGE);
    tell("file", map, 6, PAGE);
}

static void unprotect(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    mprotect((void *)((unsigned long)info->si_addr & ~(PAGE - 1)), PAGE, PROT_READ | PROT_WRITE);
}

static void be_refused(void)
{
    struct sigaction action = {.sa_sigaction = unprotect, .sa_flags = SA_SIGINFO};
    char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    sigaction(SIGSEGV, &action, NULL);
    for (int i = 0; i < 5; i++) {
        mprotect(page, PAGE, PROT_READ);
        touch(page, PAGE, PAGE);
    }
    signal(SIGSEGV, SIG_DFL);
    printf("refused 5\n");
}

static void have_been_larger(void)
{
    struct rusage usage;
    char *memory = mmap(NULL, 48 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *span = vm_span_alloc(MIB / 2);

    touch(memory, 48 * MIB, PAGE);
    vm_span_free(span);
    munmap(memory, 48 * MIB);
    getrusage(RUSAGE_SELF, &usage);
    printf("peak %ld\n", usage.ru_maxrss);
}

static void smaps(void)
{
    char line[128];
    FILE *file = fopen("/proc/self/smaps_rollup", "r");

    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (strncmp(line, "Fault", 5) == 0 || strncmp(line, "Fall", 4) == 0)
            printf("smaps %s", line);
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "exit";

    space = vm_space();
    vm_driver_register(&own);
    have_been_larger();
    use_pages();
    use_file();
    be_refused();
    smaps();
    fflush(stdout);
    if (strcmp(how, "abort") == 0)
        abort();
    if (strcmp(how, "access") == 0)
        *(volatile int *)16 = 1;
    if (strcmp(how, "panic") == 0) {
        struct vm_segment *segment = allocate(&vm_anon, MIB, VM_RW);

        vm_free(space, segment);
        vm_free(space, segment);
    }
    if (strcmp(how, "space") == 0) {
        memset(space, 0x5a, 64);
        *(volatile int *)16 = 1;
    }
    damaged = strcmp(how, "damage") == 0;
    return 7;
}
