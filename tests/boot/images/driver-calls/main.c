/*
 * A segment driver that makes system calls inside of other calls and faults: what it closes stays until the call that
 * uses it has ended, no handler runs in the middle of the core's work, and the interrupted code keeps its vectors.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "core/base/error.h"
#include "vm/driver.h"

static volatile bool in_driver;
static volatile int handled, handled_in_driver;
static int close_it = -1;

static bool masks; /* to be used in the next fault */

/* Calls with a mask of their own: behind the program's call it has its own again. */
static void use_masks(void)
{
    uint64_t first = 1ull << (SIGHUP - 1), second = 1ull << (SIGTERM - 1);
    struct timespec none = {0, 0};

    syscall(SYS_ppoll, NULL, 0, &none, &first, sizeof(first));
    syscall(SYS_ppoll, NULL, 0, &none, &second, sizeof(second));
}

static bool spoils; /* vector registers, as any C function may */

static error_t back(struct address_space *space, struct vm_segment *segment)
{
    int ends[2];

    if (spoils)
        __asm__ volatile("pxor %%xmm0, %%xmm0; movdqa %%xmm0, %%xmm5; movdqa %%xmm0, %%xmm15"
                         :
                         :
                         : "xmm0", "xmm5", "xmm15");
    for (int i = 0; close_it >= 0 && i < 8; i++) {
        if (i == 0)
            printf("closed in a fault: %d\n", close(close_it));
        /* What lay where the file was is something else now. */
        if (pipe(ends) == 0 && write(ends[1], "####", 4) != 4)
            puts("WRONG: the new pipe takes nothing");
    }
    close_it = -1;
    if (masks)
        use_masks();
    masks = false;
    return vm_segment_back(space, segment, vm_fault_info()->address);
}

static error_t protect(struct address_space *space, struct vm_segment *segment, vm_flags_t flags)
{
    uint64_t wild = 0;
    struct itimerval once = {{0, 0}, {0, 1000}};

    in_driver = true;
    raise(SIGUSR1);
    setitimer(ITIMER_REAL, &once, NULL);
    for (unsigned i = 0; i < 20000000; i++)
        __asm__ volatile("" : "+r"(wild));
    in_driver = false;
    return vm_segment_protect_mapped(space, segment, flags);
}

static struct vm_segment *make(struct address_space *space, vaddr_t start, size_t size, vm_flags_t flags);

static const struct vm_segment_driver driver = {
    .name = "calling",
    .vm_alloc = make,
    .vm_free = vm_segment_free_owned,
    .vm_resize = vm_segment_resize_owned,
    .vm_fault = back,
    .protect = protect,
    .split = vm_segment_split_nothing,
};

static struct vm_segment *make(struct address_space *space, vaddr_t start, size_t size, vm_flags_t flags)
{
    return vm_segment_create(space, &driver, start, size, flags);
}

static void handler(int signal)
{
    handled += signal == SIGUSR1 ? 1 : 10;
    handled_in_driver += in_driver;
}

static char *segment_of(size_t size)
{
    struct vm_segment *segment = vm_alloc(vm_space(), &driver, VM_ANYWHERE, size, VM_RW);

    if (IS_ERR(segment)) {
        printf("WRONG: no segment: %s\n", error_name(ERR_OF(segment)));
        _exit(1);
    }
    return (char *)vm_start(segment);
}

static void signals_in_a_driver(void)
{
    char *memory = segment_of(VM_PAGE_SIZE);
    struct itimerval once = {{0, 0}, {0, 1}};

    signal(SIGUSR1, handler);
    signal(SIGALRM, handler);
    /* The first timer switches interrupts on. */
    setitimer(ITIMER_REAL, &once, NULL);
    while (handled == 0)
        ;
    handled = 0;
    memory[0] = 1;
    printf("protected: %s\n", error_name(vm_protect(vm_space(), (vaddr_t)memory, VM_PAGE_SIZE, VM_READ)));
    getppid();
    printf("handled: %d, in the driver: %d\n", handled, handled_in_driver);
    printf("pointer into the core: %ld, error %d\n", syscall(SYS_uname, (void *)(UINTPTR_MAX - 4095)), errno);
}

static void closed_while_read(void)
{
    char *memory = segment_of(4 * VM_PAGE_SIZE);
    int ends[2], fd;
    long got;

    if (pipe(ends) != 0 || write(ends[1], "through", 8) != 8)
        puts("WRONG: no pipe");
    close(ends[1]);
    close_it = ends[0];
    got = read(ends[0], memory, 8);
    printf("pipe: %ld, %s\n", got, got == 8 ? memory : "?");
    fd = open("/tmp/file", O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, "contents", 9) != 9 || unlink("/tmp/file") != 0)
        puts("WRONG: no file");
    lseek(fd, 0, SEEK_SET);
    close_it = fd;
    got = read(fd, memory + VM_PAGE_SIZE, 9);
    printf("file: %ld, %s\n", got, got == 9 ? memory + VM_PAGE_SIZE : "?");
}

static void masks_in_a_driver(void)
{
    uint64_t before = 1ull << (SIGUSR2 - 1), behind = 0;
    char *memory = segment_of(VM_PAGE_SIZE);

    syscall(SYS_rt_sigprocmask, SIG_BLOCK, &before, NULL, sizeof(before));
    masks = true;
    syscall(SYS_uname, memory);
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &behind, sizeof(behind));
    printf("mask behind the call: %lx, as before: %d\n", (unsigned long)behind, behind == before);
}

/* The fault is in the middle of code that has them in use. */
static void vectors_across_a_fault(void)
{
    char *memory = segment_of(4 * VM_PAGE_SIZE);
    uint64_t wrong = 0;

    spoils = true;
    for (uint64_t i = 1; i <= 4; i++, memory += VM_PAGE_SIZE) {
        uint64_t before[2] = {i, ~i}, low[2], high[2];

        __asm__ volatile("movdqu %3, %%xmm5; movdqu %3, %%xmm15; movb $1, %2; movdqu %%xmm5, %0; movdqu %%xmm15, %1"
                         : "=m"(low), "=m"(high), "=m"(*memory)
                         : "m"(before)
                         : "xmm5", "xmm15");
        wrong += memcmp(low, before, sizeof(before)) != 0 || memcmp(high, before, sizeof(before)) != 0;
    }
    spoils = false;
    printf("vectors lost in faults: %lu\n", (unsigned long)wrong);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    signals_in_a_driver();
    closed_while_read();
    masks_in_a_driver();
    vectors_across_a_fault();
    return 0;
}
