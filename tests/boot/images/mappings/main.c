/*
 * Of the memory calls what cannot be compared with Linux, because it depends on how that is set up: huge pages,
 * policies of nodes, protection keys, refusing what RAM cannot hold. The rest is in tests/boot/linux/memory.c.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096ul
#define MIB (1ul << 20)
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define HUGE_2M (21 << 26)
#define HUGE_1G (30 << 26)
#define TOO_MUCH (200 * MIB)

static void check(const char *what, int good)
{
    printf("%s %s (errno %d)\n", good ? "ok" : "WRONG", what, good ? 0 : errno);
    if (!good)
        exit(1);
}

static int fails(long result, int error)
{
    return result == -1 && errno == error;
}

static void huge_pages(void)
{
    char *memory = mmap(NULL, 3 * MIB, RW, ANON | MAP_HUGETLB, -1, 0), *large;

    check("MAP_HUGETLB is aligned", memory != MAP_FAILED && (uintptr_t)memory % (2 * MIB) == 0);
    memset(memory, 1, 4 * MIB); /* the length was rounded up */
    check("munmap that cuts a page", fails(munmap(memory, PAGE), EINVAL));
    check("mprotect that cuts a page", fails(mprotect(memory + PAGE, PAGE, PROT_READ), EINVAL));
    check("mremap to more", fails((long)mremap(memory, 4 * MIB, 6 * MIB, MREMAP_MAYMOVE), EINVAL));
    check("MADV_FREE", fails(madvise(memory, 4 * MIB, MADV_FREE), EINVAL));
    check("MADV_DONTNEED of the middle", fails(madvise(memory + PAGE, 2 * MIB, MADV_DONTNEED), EINVAL));
    check("MADV_DONTNEED of less than a page", madvise(memory, PAGE, MADV_DONTNEED) == 0 && memory[0] == 1);
    check("MADV_DONTNEED", madvise(memory, 2 * MIB, MADV_DONTNEED) == 0 && memory[0] == 0 && memory[2 * MIB] == 1);
    check("over it at another place",
          fails((long)mmap(memory + PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0), EINVAL) && memory[2 * MIB] == 1);
    check("MAP_FIXED misaligned",
          fails((long)mmap(memory + PAGE, 2 * MIB, RW, ANON | MAP_HUGETLB | MAP_FIXED, -1, 0), EINVAL));
    check("munmap of a page", munmap(memory, 2 * MIB) == 0 && munmap(memory + 2 * MIB, 2 * MIB) == 0);
    memory = mmap(NULL, 2 * MIB, RW, ANON | MAP_HUGETLB | HUGE_2M, -1, 0);
    check("2 MiB by name", memory != MAP_FAILED);
    large = mmap(NULL, PAGE, PROT_NONE, ANON | MAP_HUGETLB | HUGE_1G, -1, 0);
    check("1 GiB by name, or no such pages", large == MAP_FAILED ? errno == EINVAL : (uintptr_t)large % (1 << 30) == 0);
    check("16 KiB", fails((long)mmap(NULL, PAGE, RW, ANON | MAP_HUGETLB | 14 << 26, -1, 0), EINVAL));
}

static void collapse(void)
{
    char *memory = mmap(NULL, 8 * MIB, RW, ANON, -1, 0);
    int good = 1;

    check("NOHUGEPAGE", madvise(memory, 8 * MIB, MADV_NOHUGEPAGE) == 0);
    for (size_t i = 0; i < 8 * MIB; i += PAGE)
        memory[i] = (char)(i / PAGE);
    check("COLLAPSE of NOHUGEPAGE", fails(madvise(memory, 8 * MIB, 25), EINVAL));
    check("HUGEPAGE", madvise(memory, 8 * MIB, MADV_HUGEPAGE) == 0);
    check("COLLAPSE", madvise(memory, 8 * MIB, 25) == 0);
    for (size_t i = 0; i < 8 * MIB; i += PAGE)
        good &= memory[i] == (char)(i / PAGE) && memory[i + PAGE - 1] == 0;
    check("contents stay", good && munmap(memory, 8 * MIB) == 0);
}

/* Refused when it is asked for, not when it is touched; what is there already is no obstacle. */
static void limits(void)
{
    char *memory = mmap(NULL, 70 * MIB, RW, ANON, -1, 0), *space;

    check("what RAM can hold", memory != MAP_FAILED);
    check("what it cannot", fails((long)mmap(NULL, TOO_MUCH, RW, ANON, -1, 0), ENOMEM));
    check("what it cannot, to read", fails((long)mmap(NULL, TOO_MUCH, PROT_READ, ANON, -1, 0), ENOMEM));
    check("mremap to what it cannot", fails((long)mremap(memory, 70 * MIB, TOO_MUCH, MREMAP_MAYMOVE), ENOMEM));
    memset(memory, 1, 70 * MIB);
    check("to read-only and back", mprotect(memory, 70 * MIB, PROT_READ) == 0 && mprotect(memory, 70 * MIB, RW) == 0);
    check("MAP_FIXED over itself", mmap(memory, 70 * MIB, RW, ANON | MAP_FIXED, -1, 0) == memory && memory[0] == 0);
    memset(memory, 2, 70 * MIB);
    check("mlock of what is there", mlock(memory, 70 * MIB) == 0);
    check("MADV_DONTNEED of what is locked", fails(madvise(memory, PAGE, MADV_DONTNEED), EINVAL));
    check("munlock", munlock(memory, 70 * MIB) == 0 && madvise(memory, PAGE, MADV_DONTNEED) == 0 && memory[0] == 0);
    space = mmap(NULL, TOO_MUCH, PROT_NONE, ANON, -1, 0);
    check("addresses alone", space != MAP_FAILED);
    check("made readable", fails(mprotect(space, TOO_MUCH, PROT_READ), ENOMEM));
    check("made writable", fails(mprotect(space, TOO_MUCH, RW), ENOMEM) && mprotect(space, MIB, RW) == 0);
    check("POPULATE_WRITE of too much", fails(madvise(space, TOO_MUCH, 23), ENOMEM));
    check("MAP_NORESERVE", mmap(NULL, TOO_MUCH, RW, ANON | MAP_NORESERVE, -1, 0) != MAP_FAILED);
    check("munmap", munmap(memory, 70 * MIB) == 0 && munmap(space, TOO_MUCH) == 0);
    memory = mmap(NULL, 70 * MIB, RW, ANON | MAP_POPULATE, -1, 0);
    check("all came back", memory != MAP_FAILED && munmap(memory, 70 * MIB) == 0);
}

/* What was given up is there while memory is not short, and what was written to afterwards in any case. */
static void given_up(void)
{
    char *memory = mmap(NULL, 70 * MIB, RW, ANON, -1, 0), *other;
    size_t kept = 0, gone = 0;

    memset(memory, 1, 70 * MIB);
    check("MADV_FREE of a part", madvise(memory, 69 * MIB + PAGE, MADV_FREE) == 0);
    check("contents are still there", memory[0] == 1 && memory[68 * MIB] == 1);
    for (size_t i = 0; i < 70 * MIB; i += 8 * MIB)
        memory[i] = 3;
    other = mmap(NULL, 60 * MIB, RW, ANON, -1, 0);
    check("mmap of what only fits without them", other != MAP_FAILED);
    memset(other, 2, 60 * MIB);
    for (size_t i = 0; i < 70 * MIB; i += 2 * MIB) {
        kept += memory[i] == 3;
        gone += memory[i] == 0;
    }
    check("what was written to is kept, the others gone", kept == 9 && gone >= 20 && kept + gone == 35);
    check("what was not given up is there", memory[69 * MIB + PAGE] == 1 && memory[70 * MIB - 1] == 1);
    check("munmap of both", munmap(memory, 70 * MIB) == 0 && munmap(other, 60 * MIB) == 0);
}

/* Too much for single flushes: system calls answer EFAULT at once all the same, and who asks for the addresses gets
 * them. */
static void unmapped(void)
{
    for (size_t size = PAGE; size <= 32 * MIB; size *= 2) {
        char *memory = mmap(NULL, size, RW, ANON, -1, 0);
        int good, ends[2];

        memset(memory, 1, size);
        good = pipe(ends) == 0 && munmap(memory, size) == 0 && fails(write(ends[1], memory + size - PAGE, 1), EFAULT) &&
               fails(access(memory, F_OK), EFAULT) && fails(munmap(memory, 0), EINVAL);
        good = good && mmap(memory, PAGE, RW, ANON | MAP_FIXED, -1, 0) == memory && memory[0] == 0;
        check("munmap", good && munmap(memory, PAGE) == 0 && close(ends[0]) == 0 && close(ends[1]) == 0);
    }
}

/* One node, as get_mempolicy, mbind and set_mempolicy tell allocators; no protection keys. */
static void policies(void)
{
    unsigned long nodes[16] = {1}, wrong[16] = {2};
    char *memory = mmap(NULL, MIB, RW, ANON, -1, 0);
    int mode = -1;

    check("get_mempolicy", syscall(SYS_get_mempolicy, &mode, nodes, 1024, NULL, 0) == 0 && mode == 0 && nodes[0] == 0);
    check("nodes allowed", syscall(SYS_get_mempolicy, NULL, nodes, 1024, NULL, 4) == 0 && nodes[0] == 1);
    check("node of a page", syscall(SYS_get_mempolicy, &mode, NULL, 0, memory, 3) == 0 && mode == 0);
    check("mbind", syscall(SYS_mbind, memory, MIB, 2, nodes, 1024, 0) == 0);
    check("mbind to a node that is not", fails(syscall(SYS_mbind, memory, MIB, 2, wrong, 1024, 0), EINVAL));
    check("mbind of nothing", fails(syscall(SYS_mbind, 0x70000000000, MIB, 2, nodes, 1024, 0), EFAULT));
    check("set_mempolicy", syscall(SYS_set_mempolicy, 3, nodes, 1024) == 0);
    check("is remembered", syscall(SYS_get_mempolicy, &mode, NULL, 0, NULL, 0) == 0 && mode == 3);
    check("a mode that is not", fails(syscall(SYS_set_mempolicy, 99, nodes, 1024), EINVAL));
    check("pkey_alloc", fails(syscall(SYS_pkey_alloc, 0, 0), ENOSPC) && fails(syscall(SYS_pkey_alloc, 1, 0), EINVAL));
    check("pkey_mprotect", syscall(SYS_pkey_mprotect, memory, PAGE, PROT_READ, -1) == 0 &&
                               fails(syscall(SYS_pkey_mprotect, memory, PAGE, RW, 3), EINVAL));
}

int main(void)
{
    huge_pages();
    collapse();
    limits();
    given_up();
    unmapped();
    policies();
    puts("all is well");
    return 0;
}
