/* Unknown system calls return ENOSYS, wild pointers EFAULT, bad descriptors EBADF; nothing of it harms. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "vm/heap.h"

static void show(const char *what, long result)
{
    printf("%s: %ld %s\n", what, result, result == -1 ? strerror(errno) : "");
    fflush(stdout);
}

static void check_futex(void)
{
    enum { WAIT_BITSET = 9, REALTIME = 256 };
    uint32_t word = 5;
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    show("futex until a wall time", syscall(SYS_futex, &word, WAIT_BITSET | REALTIME, 5, &until, NULL, -1));
    show("it is then", time(NULL) >= until.tv_sec && time(NULL) < until.tv_sec + 5);
    clock_gettime(CLOCK_MONOTONIC, &until);
    show("futex until a moment", syscall(SYS_futex, &word, WAIT_BITSET, 5, &until, NULL, -1));
    show("futex without bits", syscall(SYS_futex, &word, WAIT_BITSET, 5, &until, NULL, 0));
}

static void check_writes(void)
{
    char *memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct iovec parts[] = {{"WRONG\n", 6}, {memory, (size_t)-1}};

    munmap(memory + 4096, 4096);
    memset(memory, '.', 4096);
    memory[4095] = '\n';
    show("write of 301 that are there", syscall(SYS_write, 1, memory + 4096 - 301, 400));
    show("write of a negative part", syscall(SYS_writev, 1, parts, 2));
}

static void check_arguments(void)
{
    char bytes[8];
    struct timespec none = {0, 0};
    struct rlimit limit = {0, 0};

    show("getrandom of two sources", syscall(SYS_getrandom, bytes, 8, 6));
    show("sleep on clock 8", syscall(SYS_clock_nanosleep, 8, 0, &none, NULL));
    show("sleep on clock 12", syscall(SYS_clock_nanosleep, 12, 0, &none, NULL));
    show("getpid by eax", syscall(SYS_getpid | 1l << 32));
    show("no more files", syscall(SYS_setrlimit, RLIMIT_NOFILE, &limit));
    show("they are", syscall(SYS_getrlimit, RLIMIT_NOFILE, &limit));
    show("none", (long)limit.rlim_max);
}

/* Wild pointers into the core itself, which one ring and one address space do not keep out. */
static void check_core(void)
{
    extern char __core_data_start[], __core_data_end[], __boot_stack[]; /* arch/x86_64/image.ld.S */
    char *ram = (char *)0xffff800000100000;
    void *span = vm_span_alloc(4096);

    show("time to the core's data", syscall(SYS_time, __core_data_start));
    show("time to the core's bss", syscall(SYS_time, __core_data_end - 64));
    show("time to the core's stack", syscall(SYS_time, __boot_stack + 4096));
    show("time to RAM", syscall(SYS_time, ram));
    show("write from RAM", syscall(SYS_write, 1, ram, 8));
    show("open by a name in RAM", syscall(SYS_open, ram, 0));
    show("time to a span", syscall(SYS_time, span) > 0);
    vm_span_free(span);
}

int main(void)
{
    char *wild = (char *)0x700000000000;

    show("io_uring_setup", syscall(SYS_io_uring_setup, 1, 0));
    show("io_uring_setup", syscall(SYS_io_uring_setup, 1, 0));
    show("number 511", syscall(511));
    show("number 100000", syscall(100000));
    show("number -1", syscall(-1));
    show("write from nowhere", syscall(SYS_write, 1, wild, 8));
    show("write from null", syscall(SYS_write, 1, 0, 8));
    show("write from the other half", syscall(SYS_write, 1, 0x8000000000000000, 8));
    show("read to nowhere", syscall(SYS_uname, wild));
    show("write to 99", syscall(SYS_write, 99, "x", 1));
    show("close 99", syscall(SYS_close, 99));
    show("still alive", 0);
    check_futex();
    check_writes();
    check_arguments();
    check_core();
    return 0;
}
