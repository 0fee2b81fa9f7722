/*
 * mmap and everything around it, by the man pages. Left out because Linux itself differs from machine to machine:
 * huge pages that succeed (reserved by the administrator or not), MADV_COLLAPSE, MADV_MERGEABLE, MADV_HWPOISON, NUMA,
 * protection keys, MAP_FIXED below vm.mmap_min_addr as root, residency of pages read from a disk.
 */
#include "tests/boot/linux/linux.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLD
#define MADV_COLD 20
#define MADV_PAGEOUT 21
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x10
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x20
#endif
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define RW (PROT_READ | PROT_WRITE)
#define HUGE_16K (14 << 26)

/* Pages at an address of the system's choice, with `around` unmapped pages on both sides. */
static char *pages(size_t count)
{
    size_t around = 16;
    char *all = (char *)sys(mmap, NULL, (count + 2 * around) * PAGE, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);

    sys(munmap, all, (count + 2 * around) * PAGE);
    return (char *)sys(mmap, all + around * PAGE, count * PAGE, RW, ANON | MAP_FIXED, -1, 0);
}

/* How an access ends: 0, or the signal. */
static sigjmp_buf jump;
static volatile int caught_code;

static void caught(int signal, siginfo_t *info, void *context)
{
    (void)context;
    caught_code = info->si_code;
    siglongjmp(jump, signal);
}

static int access_ends(volatile char *address, bool write)
{
    struct sigaction action = {.sa_sigaction = caught, .sa_flags = SA_SIGINFO};
    int signal;

    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    signal = sigsetjmp(jump, 1);
    if (signal)
        return signal;
    if (write)
        *address = 'w';
    else
        (void)*address;
    return 0;
}
#define can_read(address) access_ends(address, false)
#define can_write(address) access_ends(address, true)

/* The lines of /proc/self/maps inside a range: offset in pages, pages, protection. */
static void show_maps(const char *what, const char *base, size_t count)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512], flags[8];
    unsigned long start, end;

    printf("%s:", what);
    while (maps && fgets(line, sizeof line, maps))
        if (sscanf(line, "%lx-%lx %7s", &start, &end, flags) == 3 && end > (unsigned long)base &&
            start < (unsigned long)base + count * PAGE)
            printf(" %ld+%ld %s", ((long)start - (long)base) / (long)PAGE, (long)((end - start) / PAGE), flags);
    puts(maps ? "" : " no maps");
    if (maps)
        fclose(maps);
}

static void mmap_errors(void)
{
    int read_only = open("file", O_RDONLY), write_only = open("file", O_WRONLY), both = open("file", O_RDWR);
    int folder = open(".", O_RDONLY), path = open("file", O_PATH), ends[2], null = open("/dev/null", O_RDWR);
    char *at = pages(4);

    pipe(ends);
    try(mmap, NULL, 0, RW, ANON, -1, 0);
    try(mmap, NULL, PAGE, RW, ANON, -1, 1);
    try(mmap, NULL, PAGE, RW, MAP_PRIVATE, read_only, 100);
    try(mmap, NULL, PAGE, RW, MAP_ANONYMOUS, -1, 0);
    try(mmap, NULL, PAGE, RW, MAP_ANONYMOUS | 4, -1, 0);
    try(mmap, NULL, PAGE, RW, MAP_ANONYMOUS | 15, -1, 0);
    try(mmap, NULL, PAGE, RW, MAP_PRIVATE, -1, 0);
    try(mmap, NULL, PAGE, RW, MAP_PRIVATE, 9999, 0);
    try(mmap, NULL, PAGE, RW, MAP_PRIVATE, folder, 0);
    try(mmap, NULL, PAGE, PROT_READ, MAP_PRIVATE, path, 0);
    try(mmap, NULL, PAGE, PROT_READ, MAP_PRIVATE, ends[0], 0);
    try(mmap, NULL, PAGE, PROT_READ, MAP_SHARED, ends[0], 0);
    try(mmap, NULL, PAGE, PROT_READ, MAP_SHARED, null, 0);
    try(mmap, NULL, PAGE, PROT_READ, MAP_PRIVATE, write_only, 0);
    try(mmap, NULL, PAGE, PROT_READ, MAP_SHARED, write_only, 0);
    try(mmap, NULL, PAGE, PROT_WRITE, MAP_SHARED, write_only, 0);
    try(mmap, NULL, PAGE, RW, MAP_SHARED, read_only, 0);
    try(mmap, NULL, PAGE, PROT_NONE, MAP_SHARED, write_only, 0);
    show(done(sys(mmap, NULL, PAGE, RW, MAP_PRIVATE, read_only, 0)), "private and writable of a file to read");
    show(done(sys(mmap, NULL, PAGE, PROT_READ, MAP_SHARED, read_only, 0)), "shared of a file to read");
    try(mmap, NULL, -1, RW, ANON, -1, 0);
    try(mmap, NULL, -PAGE, RW, ANON, -1, 0);
    try(mmap, NULL, 1ul << 47, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
    try(mmap, NULL, 1ul << 63, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
    try(mmap, NULL, PAGE, PROT_READ, MAP_PRIVATE, both, -PAGE);
    try(mmap, NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE, both, -PAGE);
    show(done(sys(mmap, NULL, PAGE, PROT_READ, MAP_PRIVATE, both, 1ul << 62)), "far behind the end");
    try(mmap, NULL, PAGE, PROT_READ, MAP_PRIVATE, both, 1ul << 63);
    try(mmap, 4097, PAGE, RW, ANON | MAP_FIXED, -1, 0);
    try(mmap, 4097, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0);
    try(mmap, 1ul << 47, PAGE, RW, ANON | MAP_FIXED, -1, 0);
    try(mmap, (1ul << 47) - PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0);
    try(mmap, KERNEL_HALF, PAGE, RW, ANON | MAP_FIXED, -1, 0);
    try(mmap, 0xffffffffff600000, PAGE, RW, ANON | MAP_FIXED, -1, 0);
    try(mmap, -PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0);
    try(mmap, at, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0);
    try(mmap, at - PAGE, 2 * PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0);
    try(mmap, at + 3 * PAGE, 2 * PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0);
    show(offset_of(sys(mmap, at + 4 * PAGE, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0), at), "behind it");
    try(mmap, NULL, PAGE, RW, ANON | MAP_HUGETLB | HUGE_16K, -1, 0);
    try(mmap, NULL, PAGE, RW, MAP_SHARED_VALIDATE | 0x200000, both, 0);
    try(mmap, NULL, PAGE, RW, MAP_SHARED_VALIDATE | MAP_ANONYMOUS, -1, 0);
    show(done(sys(mmap, NULL, PAGE, RW, MAP_SHARED | 0x200000, both, 0)), "unknown flags without VALIDATE");
    show(done(sys(mmap, NULL, PAGE, RW, MAP_SHARED_VALIDATE, both, 0)), "VALIDATE");
    try(mmap, NULL, PAGE, RW, MAP_SHARED_VALIDATE | 0x80000, both, 0);
    show(done(sys(mmap, NULL, PAGE, 0xff, ANON, -1, 0)), "unknown protection bits");
    show(done(sys(mmap, NULL, 1, PROT_NONE, ANON, -1, 0)), "no protection");
    show(done(sys(mmap, NULL, PAGE, RW, ANON | MAP_STACK | MAP_NORESERVE | MAP_DENYWRITE | MAP_EXECUTABLE, 77, 0)),
         "flags that mean nothing");
    close(ends[0]), close(ends[1]), close(null), close(path), close(folder), close(both), close(write_only);
    close(read_only);
}

static void mmap_places(void)
{
    char *at = pages(8), *other;
    long low = sys(mmap, NULL, PAGE, RW, ANON | MAP_32BIT, -1, 0);

    value(failed(low) || (unsigned long)low < 1ul << 31);
    sys(munmap, at, 8 * PAGE);
    show(offset_of(sys(mmap, at + 2 * PAGE, PAGE, RW, ANON, -1, 0), at), "a hint that is free");
    show(offset_of(sys(mmap, at + 4 * PAGE + 100, PAGE, RW, ANON, -1, 0), at), "a hint that is not aligned");
    other = (char *)sys(mmap, at + 2 * PAGE, PAGE, RW, ANON, -1, 0);
    value(!failed((long)other) && other != at + 2 * PAGE && (unsigned long)other % PAGE == 0);
    show(offset_of(sys(mmap, at, 8 * PAGE, PROT_READ, ANON | MAP_FIXED, -1, 0), at), "over all of it");
    show_maps("maps", at, 8);
    value(can_read(at + 2 * PAGE));
    value(can_write(at + 2 * PAGE));
    show(offset_of(sys(mmap, at + 3 * PAGE, 100, RW, ANON | MAP_FIXED | MAP_POPULATE, -1, 0), at), "100 bytes");
    show_maps("maps", at, 8);
    value(can_write(at + 4 * PAGE - 1));
    value(can_write(at + 4 * PAGE));
    show(sys(munmap, at, 8 * PAGE), "away");
    show_maps("maps", at, 8);
    value(can_read(at + 3 * PAGE));
    value(caught_code == SEGV_MAPERR);
}

static void munmap_cases(void)
{
    char *at = pages(8);

    try(munmap, at, 0);
    try(munmap, at + 1, PAGE);
    try(munmap, at, -1);
    try(munmap, at, -PAGE);
    try(munmap, NOT_CANONICAL, PAGE);
    try(munmap, KERNEL_HALF, PAGE);
    try(munmap, -PAGE, PAGE);
    try(munmap, (1ul << 47) - PAGE, 2 * PAGE);
    try(munmap, at - 8 * PAGE, 4 * PAGE);
    try(munmap, at + 2 * PAGE, 1);
    show_maps("a hole", at, 8);
    try(munmap, at + 2 * PAGE, PAGE);
    try(munmap, at + PAGE, 3 * PAGE + 1);
    show_maps("a larger one", at, 8);
    value(can_write(at));
    value(can_write(at + PAGE));
    value(can_write(at + 5 * PAGE - 1));
    value(can_write(at + 5 * PAGE));
    try(munmap, at - 4 * PAGE, 16 * PAGE);
    show_maps("nothing", at, 8);
    try(munmap, at, 8 * PAGE);
}

static void mprotect_cases(void)
{
    char *at = pages(8), *shared;
    int read_only = open("file", O_RDONLY);

    memset(at, 'p', 8 * PAGE);
    try(mprotect, at + 1, PAGE, RW);
    try(mprotect, at, 0, PROT_READ);
    try(mprotect, WILD, 0, PROT_READ);
    try(mprotect, WILD, PAGE, PROT_READ);
    try(mprotect, at, -1, PROT_READ);
    try(mprotect, at, -PAGE, PROT_READ);
    try(mprotect, at, PAGE, 0x100);
    try(mprotect, at, PAGE, 16);
    try(mprotect, at, PAGE, PROT_READ | PROT_GROWSDOWN);
    try(mprotect, at, PAGE, PROT_READ | PROT_GROWSUP);
    try(mprotect, at, PAGE, PROT_READ | PROT_GROWSDOWN | PROT_GROWSUP);
    try(mprotect, KERNEL_HALF, PAGE, RW);
    try(mprotect, NOT_CANONICAL, PAGE, RW);
    try(mprotect, at + 2 * PAGE, PAGE, PROT_READ);
    show_maps("one page read only", at, 8);
    value(can_write(at + 2 * PAGE));
    value(caught_code == SEGV_ACCERR);
    value(can_write(at + 3 * PAGE));
    try(mprotect, at + 3 * PAGE, 1, PROT_NONE);
    show_maps("one more without", at, 8);
    value(can_read(at + 3 * PAGE));
    value(caught_code == SEGV_ACCERR);
    try(mprotect, at, 8 * PAGE, PROT_READ);
    show_maps("all read only", at, 8);
    value(at[3 * PAGE + 5] == 'p');
    try(mprotect, at + 6 * PAGE, 4 * PAGE, RW);
    show_maps("up to the hole", at, 8);
    try(mprotect, at - 2 * PAGE, 4 * PAGE, RW);
    show_maps("from a hole", at, 8);
    sys(munmap, at + 3 * PAGE, PAGE);
    try(mprotect, at, 8 * PAGE, PROT_NONE);
    show_maps("a hole in the middle", at, 8);
    shared = (char *)sys(mmap, NULL, PAGE, PROT_READ, MAP_SHARED, read_only, 0);
    show(sys(mprotect, shared, PAGE, RW), "shared of a file to read");
    show(sys(mprotect, shared, PAGE, PROT_NONE), "the same without access");
    show(sys(mprotect, shared, PAGE, PROT_READ | PROT_EXEC), "the same executable");
    shared = (char *)sys(mmap, NULL, PAGE, PROT_READ, MAP_PRIVATE, read_only, 0);
    show(sys(mprotect, shared, PAGE, RW), "private of a file to read");
    value(can_write(shared));
    close(read_only);
}

static void execute(void)
{
    static const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* mov $42, %eax; ret */
    char *at = pages(2);
    int (*function)(void) = (int (*)(void))at;

    memcpy(at, code, sizeof code);
    try(mprotect, at, PAGE, PROT_READ | PROT_EXEC);
    value(function());
    value(can_write(at));
    try(mprotect, at, PAGE, RW | PROT_EXEC);
    at[1] = 43;
    value(function());
    try(mprotect, at, PAGE, PROT_EXEC);
    value(function());
    try(mprotect, at, PAGE, RW);
    at[1] = 44;
    try(mprotect, at, 2 * PAGE, PROT_READ | PROT_EXEC);
    value(function());
}

static void mremap_errors(void)
{
    char *at = pages(8), *other = pages(8);

    try(mremap, at + 1, PAGE, PAGE, 0);
    try(mremap, at, PAGE, 0, 0);
    try(mremap, at, PAGE, 0, MREMAP_MAYMOVE);
    try(mremap, at, PAGE, PAGE, 8);
    try(mremap, at, PAGE, PAGE, MREMAP_FIXED, other);
    try(mremap, at, PAGE, PAGE, MREMAP_DONTUNMAP);
    try(mremap, at, PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
    try(mremap, at, 0, PAGE, MREMAP_MAYMOVE);
    try(mremap, at, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, other + 1);
    try(mremap, at, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at + PAGE);
    try(mremap, at, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at - PAGE);
    try(mremap, at, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at);
    try(mremap, at, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, 1ul << 47);
    try(mremap, at, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, KERNEL_HALF);
    try(mremap, at, PAGE, -1, MREMAP_MAYMOVE);
    try(mremap, at, PAGE, 1ul << 48, MREMAP_MAYMOVE);
    try(mremap, at, PAGE, 1ul << 46, 0);
    try(mremap, WILD, PAGE, 2 * PAGE, MREMAP_MAYMOVE);
    try(mremap, WILD, PAGE, PAGE, MREMAP_MAYMOVE);
    try(mremap, KERNEL_HALF, PAGE, 2 * PAGE, MREMAP_MAYMOVE);
    try(mremap, at, 16 * PAGE, 17 * PAGE, MREMAP_MAYMOVE);
    sys(mprotect, at + 2 * PAGE, PAGE, PROT_READ);
    try(mremap, at, 4 * PAGE, 5 * PAGE, MREMAP_MAYMOVE);
    show_maps("as before", at, 8);
    try(mremap, at, PAGE, 2 * PAGE, 0);
}

static void mremap_works(void)
{
    char *at = pages(8), *other = pages(8), *moved;

    memset(at, 'm', 8 * PAGE);
    show(offset_of(sys(mremap, at, 8 * PAGE, 6 * PAGE, 0), at), "shrink");
    show_maps("shrunk", at, 8);
    show(offset_of(sys(mremap, at, 6 * PAGE, 7 * PAGE, 0), at), "grow in place");
    show_maps("grown", at, 8);
    value(at[6 * PAGE]);
    value(at[6 * PAGE - 1]);
    show(offset_of(sys(mremap, at, 100, 50, 0), at), "the same number of pages");
    show(offset_of(sys(mremap, at + PAGE, 2 * PAGE, PAGE, 0), at), "shrink inside");
    show_maps("a hole", at, 8);
    show(offset_of(sys(mremap, at + 3 * PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, other + 2 * PAGE), other),
         "move to");
    show_maps("moved from", at, 8);
    value(other[2 * PAGE]); /* Linux merges it with its neighbours or not, by what was touched before */
    value(other[PAGE]);
    other[0] = 'o';
    moved = (char *)sys(mremap, other, PAGE, 4 * PAGE, MREMAP_MAYMOVE);
    value(moved != other && moved[0] == 'o' && moved[PAGE] == 0 && moved[4 * PAGE - 1] == 0);
    value(can_read(other));
    show(offset_of(sys(mremap, moved, 4 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, other), other),
         "move, shrink");
    value(can_read(moved + 2 * PAGE));
    value(can_read(moved));
    value(other[0]);
    show(offset_of(sys(mremap, other, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP | MREMAP_FIXED, at + PAGE), at),
         "leave the old");
    value(at[PAGE]);
    value(other[0]);
    value(can_write(other));
    sys(mprotect, at + PAGE, PAGE, PROT_READ);
    show(offset_of(sys(mremap, at + PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, other + 4 * PAGE), other),
         "a read-only page");
    value(can_write(other + 5 * PAGE));
    value(other[4 * PAGE]);
}

/* The new place is a part of the mapping that is moved. */
static void mremap_within(void)
{
    char *at = pages(16);

    for (size_t i = 0; i < 16; i++)
        at[i * PAGE] = (char)i;
    show(offset_of(sys(mremap, at + 8 * PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at + 2 * PAGE), at),
         "down");
    show(offset_of(sys(mremap, at + 4 * PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at + 12 * PAGE), at),
         "up");
    show(offset_of(sys(mremap, at + 14 * PAGE, 2 * PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at + PAGE), at),
         "smaller");
    show(offset_of(sys(mremap, at + 6 * PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at + 10 * PAGE), at),
         "larger");
    for (size_t i = 0; i < 16; i++)
        if (can_read(at + i * PAGE))
            putchar('-');
        else
            printf("%d ", at[i * PAGE]);
    putchar('\n');
    sys(munmap, at, 16 * PAGE);
}

static void mremap_large(void)
{
    size_t size = 3 << 20;
    char *at = (char *)sys(mmap, NULL, size, RW, ANON, -1, 0), *moved;
    unsigned long before;

    for (size_t i = 0; i < size; i += 8)
        *(unsigned long *)(at + i) = i * 2654435761u;
    before = sum(at, size);
    moved = (char *)sys(mremap, at, size, 5 * size, MREMAP_MAYMOVE);
    value(sum(moved, size) == before);
    value(moved[size] == 0 && moved[5 * size - 1] == 0);
    moved = (char *)sys(mremap, moved, 5 * size, size / 2, MREMAP_MAYMOVE);
    value(*(unsigned long *)(moved + size / 2 - 8) == (unsigned long)(size / 2 - 8) * 2654435761u);
    try(munmap, moved, size / 2);
}

static void mremap_shared(void)
{
    char *at = (char *)sys(mmap, NULL, 2 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0), *twin;

    at[0] = 's';
    twin = (char *)sys(mremap, at, 0, 2 * PAGE, MREMAP_MAYMOVE);
    show(failed((long)twin) ? (long)twin : 0, "a second mapping of the same pages");
    if (failed((long)twin))
        return;
    value(twin != at && twin[0] == 's');
    twin[PAGE] = 't';
    value(at[PAGE]);
    try(munmap, at, 2 * PAGE);
    value(twin[0]);
    try(munmap, twin, 2 * PAGE);
}

/* An old size of 0: the new place is made free first, even if that is where the old pages are. */
static void mremap_onto_itself(void)
{
    char *at = pages(2);

    at = (char *)sys(mmap, at, 2 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    show(sys(mremap, at, 0, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at), "onto itself");
    show_maps("the second page", at, 2);
    show(sys(mremap, KERNEL_HALF, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at), "the kernel's half");
    show(sys(munmap, at, 2 * PAGE), "unmap");
}

/* The old places of several mappings stay, without what was in them; what is opposite of a hole stays too. */
static void mremap_all_kept(void)
{
    char *at = pages(3), *to = pages(3);

    memset(at, 'k', 3 * PAGE);
    memset(to, 't', 3 * PAGE);
    sys(munmap, at + PAGE, PAGE);
    show(offset_of(sys(mremap, at, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to), to),
         "two mappings and a hole");
    show_maps("what stays", at, 3);
    show_maps("what came", to, 3);
    printf("%d %d %d %d %d\n", at[0], at[2 * PAGE], to[0], to[PAGE], to[2 * PAGE]);
    show(offset_of(sys(mremap, at, 3 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to), to), "more than the first");
    show(offset_of(sys(mremap, at, 3 * PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to), to),
         "the first, the rest cut off");
    show_maps("nothing", at, 3);
    sys(munmap, at, 3 * PAGE), sys(munmap, to, 3 * PAGE);
}

static void madvise_errors(void)
{
    char *at = pages(4), *none = pages(1);

    memset(at, 'a', 4 * PAGE);
    sys(mprotect, none, PAGE, PROT_NONE);
    try(madvise, at + 1, PAGE, MADV_DONTNEED);
    try(madvise, at, PAGE, 999);
    try(madvise, at, PAGE, -1);
    try(madvise, at, 0, MADV_DONTNEED);
    try(madvise, at, 0, 999);
    try(madvise, at, -1, MADV_NORMAL);
    try(madvise, at, -PAGE, MADV_NORMAL);
    try(madvise, WILD, PAGE, MADV_DONTNEED);
    try(madvise, WILD, PAGE, MADV_WILLNEED);
    try(madvise, WILD, PAGE, MADV_NORMAL);
    try(madvise, WILD, PAGE, MADV_FREE);
    try(madvise, WILD, PAGE, MADV_POPULATE_READ);
    try(madvise, WILD, PAGE, MADV_POPULATE_WRITE);
    try(madvise, KERNEL_HALF, PAGE, MADV_DONTNEED);
    try(madvise, at + 2 * PAGE, 4 * PAGE, MADV_DONTNEED);
    value(at[0] == 'a' && at[2 * PAGE] == 0 && at[3 * PAGE] == 0);
    try(madvise, none, PAGE, MADV_POPULATE_READ);
    try(madvise, none, PAGE, MADV_POPULATE_WRITE);
    try(madvise, none, PAGE, MADV_DONTNEED);
    sys(mprotect, at, PAGE, PROT_READ);
    try(madvise, at, PAGE, MADV_POPULATE_WRITE);
    try(madvise, at, PAGE, MADV_POPULATE_READ);
    try(madvise, at, PAGE, MADV_REMOVE);
}

static void madvise_works(void)
{
    char *at = pages(4);

    memset(at, 'a', 4 * PAGE);
    try(madvise, at + PAGE, PAGE, MADV_DONTNEED);
    value(at[PAGE - 1] == 'a' && at[PAGE] == 0 && at[2 * PAGE - 1] == 0 && at[2 * PAGE] == 'a');
    try(madvise, at, 1, MADV_DONTNEED);
    value(at[0] == 0 && at[PAGE - 1] == 0);
    try(madvise, at + 2 * PAGE, PAGE, MADV_FREE);
    at[2 * PAGE] = 'f';
    value(at[2 * PAGE] == 'f' && (at[3 * PAGE - 1] == 'a' || at[3 * PAGE - 1] == 0));
    try(madvise, at, 4 * PAGE, MADV_NORMAL);
    try(madvise, at, 4 * PAGE, MADV_RANDOM);
    try(madvise, at, 4 * PAGE, MADV_SEQUENTIAL);
    try(madvise, at, 4 * PAGE, MADV_WILLNEED);
    try(madvise, at, 4 * PAGE, MADV_HUGEPAGE);
    try(madvise, at, 4 * PAGE, MADV_NOHUGEPAGE);
    try(madvise, at, 4 * PAGE, MADV_DONTFORK);
    try(madvise, at, 4 * PAGE, MADV_DOFORK);
    try(madvise, at, 4 * PAGE, MADV_DONTDUMP);
    try(madvise, at, 4 * PAGE, MADV_DODUMP);
    try(madvise, at, 4 * PAGE, MADV_WIPEONFORK);
    try(madvise, at, 4 * PAGE, MADV_KEEPONFORK);
    try(madvise, at, 4 * PAGE, MADV_COLD);
    try(madvise, at, 4 * PAGE, MADV_PAGEOUT);
    value(at[3 * PAGE]);
    try(madvise, at, 4 * PAGE, MADV_POPULATE_WRITE);
    value(at[3 * PAGE]);
    try(munmap, at + PAGE, PAGE);
    try(madvise, at, 4 * PAGE, MADV_WILLNEED);
    try(madvise, at, 4 * PAGE, MADV_DONTNEED);
    value(at[3 * PAGE]);
}

/* As C libraries do at the end of a thread: from its guard on, over mappings that are not alike. */
static void madvise_over_mappings(void)
{
    char *at = pages(6);

    memset(at, 'a', 6 * PAGE);
    try(mprotect, at, PAGE, PROT_NONE);
    try(mprotect, at + 3 * PAGE, PAGE, PROT_READ);
    try(madvise, at, 5 * PAGE, MADV_DONTNEED);
    value(at[PAGE] == 0 && at[3 * PAGE] == 0 && at[5 * PAGE - 1] == 0 && at[5 * PAGE] == 'a');
    try(mprotect, at, 6 * PAGE, PROT_READ | PROT_WRITE);
    value(at[0] == 0 && at[PAGE - 1] == 0);
    memset(at, 'b', 6 * PAGE);
    try(mprotect, at + 2 * PAGE, PAGE, PROT_READ);
    try(mlock, at + 4 * PAGE, PAGE);
    try(madvise, at, 6 * PAGE, MADV_DONTNEED);
    value(at[PAGE] == 0 && at[2 * PAGE] == 0 && at[4 * PAGE] == 'b' && at[5 * PAGE] == 'b');
    try(munlock, at + 4 * PAGE, PAGE);
    try(munmap, at + 4 * PAGE, PAGE);
    try(madvise, at, 6 * PAGE, MADV_DONTNEED);
    value(at[3 * PAGE] == 0 && at[5 * PAGE] == 0);
}

static void show_resident(const char *what, void *at, size_t count)
{
    unsigned char vector[16] = {0};
    long result = sys(mincore, at, count * PAGE, vector);

    printf("%s: ", what);
    for (size_t i = 0; i < count; i++)
        putchar(vector[i] & 1 ? '1' : '0');
    show(result, "");
}

static void mincore_cases(void)
{
    char *at = pages(8);
    unsigned char vector[8];

    sys(madvise, at, 8 * PAGE, MADV_NOHUGEPAGE);
    try(mincore, at + 1, PAGE, vector);
    try(mincore, at, PAGE, WILD);
    try(mincore, at, PAGE, NULL);
    try(mincore, at, PAGE, KERNEL_HALF);
    try(mincore, WILD, PAGE, vector);
    try(mincore, KERNEL_HALF, PAGE, vector);
    try(mincore, at, -1, vector);
    try(mincore, at, 0, vector);
    try(mincore, at + 7 * PAGE, 2 * PAGE, vector);
    show_resident("untouched", at, 8);
    at[PAGE] = 1;
    at[7 * PAGE] = 1;
    show_resident("two pages written to", at, 8);
    sys(madvise, at + PAGE, PAGE, MADV_DONTNEED);
    show_resident("one dropped", at, 8);
    sys(madvise, at + 2 * PAGE, 2 * PAGE, MADV_POPULATE_WRITE);
    show_resident("two populated", at, 8);
    sys(mmap, at + 5 * PAGE, PAGE, RW, ANON | MAP_FIXED | MAP_POPULATE, -1, 0);
    show_resident("one more", at, 8);
    sys(mprotect, at, 8 * PAGE, PROT_NONE);
    show_resident("protected", at, 8);
}

static void msync_cases(void)
{
    int fd = make_file("synced", 2 * PAGE);
    char *at = (char *)sys(mmap, NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0), *anonymous = pages(2);
    char bytes[4] = "";

    try(msync, at + 1, PAGE, MS_SYNC);
    try(msync, at, PAGE, MS_SYNC | MS_ASYNC);
    try(msync, at, PAGE, 8);
    try(msync, at, PAGE, 0);
    try(msync, at, 0, MS_SYNC);
    try(msync, at, PAGE, MS_ASYNC);
    try(msync, WILD, PAGE, MS_SYNC);
    try(msync, WILD, 0, MS_SYNC);
    try(msync, at, -1, MS_SYNC);
    try(msync, at, -PAGE, MS_SYNC);
    try(msync, anonymous, 2 * PAGE, MS_SYNC);
    sys(munmap, anonymous, PAGE);
    try(msync, anonymous, 2 * PAGE, MS_SYNC);
    at[PAGE] = 'Z';
    try(msync, at, 2 * PAGE, MS_SYNC);
    try(msync, at, 2 * PAGE, MS_INVALIDATE);
    pread(fd, bytes, 3, PAGE - 1);
    text(bytes);
    try(mlock, at, PAGE);
    try(msync, at, 2 * PAGE, MS_INVALIDATE);
    try(munlock, at, PAGE);
    close(fd);
}

static void mlock_cases(void)
{
    char *at = pages(4);

    try(mlock, at, 0);
    try(mlock, at + 1, 1);
    try(mlock, WILD, PAGE);
    try(mlock, at, 5 * PAGE);
    try(mlock, at, -1);
    try(mlock, at, -PAGE);
    try(munlock, WILD, PAGE);
    try(munlock, at, 4 * PAGE);
    try(munlock, at, 0);
    try(mlock2, at, PAGE, 2);
    try(mlock2, at, PAGE, 1);
    try(mlock2, at, PAGE, 0);
    sys(madvise, at + PAGE, 3 * PAGE, MADV_NOHUGEPAGE);
    sys(munlock, at, 4 * PAGE);
    try(mlock, at + 2 * PAGE, PAGE);
    show_resident("locked", at + PAGE, 3);
    try(madvise, at + 2 * PAGE, PAGE, MADV_DONTNEED);
    try(munlock, at, 4 * PAGE);
    try(mlockall, 0);
    try(mlockall, 8);
    try(mlockall, MCL_ONFAULT);
    try(mlockall, MCL_CURRENT | MCL_ONFAULT);
    try(munlockall);
}

static void brk_cases(void)
{
    char *start = (char *)sys(brk, 0);

    value((unsigned long)start > 0);
    show(offset_of(sys(brk, start + 100), start), "100 more");
    memset(start, 'b', 100);
    show(offset_of(sys(brk, start + 3 * PAGE), start), "three pages more");
    memset(start, 'b', 3 * PAGE);
    show(offset_of(sys(brk, 1), start), "to address 1");
    show(offset_of(sys(brk, -1), start), "to the end of the address space");
    show(offset_of(sys(brk, KERNEL_HALF), start), "to the other half");
    show(offset_of(sys(brk, start + (1ul << 46)), start), "64 TiB more");
    show(offset_of(sys(brk, start + 10), start), "back");
    value(can_write(start + 4 * PAGE));
    show(offset_of(sys(brk, start + 3 * PAGE), start), "again");
    value(start[2 * PAGE + 7] == 0 && start[0] == 'b');
    show(offset_of(sys(brk, start), start), "as at first");
}

static void memfd_cases(void)
{
    char name[300], bytes[8] = "", *at, *twin, *copy;
    struct stat status;
    int fd;

    memset(name, 'n', sizeof name);
    name[250] = '\0';
    try(memfd_create, name, 0);
    name[249] = '\0';
    show(done(sys(memfd_create, name, 0)), "a name of 249");
    try(memfd_create, NULL, 0);
    try(memfd_create, WILD, 0);
    try(memfd_create, KERNEL_HALF, 0);
    try(memfd_create, "x", 0x100);
    try(memfd_create, "x", 0x80000000);
    try(memfd_create, "x", MFD_HUGETLB | HUGE_16K);
    fd = (int)sys(memfd_create, "mine", MFD_CLOEXEC);
    show(sys(fcntl, fd, F_GETFD), "close on exec");
    show(sys(fcntl, fd, F_GETFL) & O_ACCMODE, "access mode");
    show(sys(fstat, fd, &status), "stat");
    printf("mode %o, size %ld, links %ld\n", status.st_mode, (long)status.st_size, (long)status.st_nlink);
    show(sys(write, fd, "memory", 6), "write");
    show(sys(pread64, fd, bytes, 8, 1), "read");
    text(bytes);
    show(sys(ftruncate, fd, 3 * PAGE), "truncate");
    at = (char *)sys(mmap, NULL, 3 * PAGE, RW, MAP_SHARED, fd, 0);
    twin = (char *)sys(mmap, NULL, 2 * PAGE, RW, MAP_SHARED, fd, PAGE);
    copy = (char *)sys(mmap, NULL, 3 * PAGE, RW, MAP_PRIVATE, fd, 0);
    value(copy[0]);
    copy[0] = 'C';
    value(at[0]);
    twin[10] = 'T';
    value(at[PAGE + 10]);
    value(copy[PAGE + 10]);
    copy[PAGE + 11] = 'P';
    at[PAGE + 10] = 'U';
    value(twin[10]);
    value(copy[PAGE + 10]);
    show(sys(pread64, fd, bytes, 1, PAGE + 10), "read it");
    value(bytes[0]);
    show(sys(ftruncate, fd, PAGE + 5), "cut off");
    value(can_read(at + PAGE + 100));
    value(can_read(at + 2 * PAGE));
    value(can_read(twin + PAGE));
    value(can_read(copy + 2 * PAGE));
    show(sys(ftruncate, fd, 3 * PAGE), "grow again");
    value(at[PAGE + 10]);
    value(at[2 * PAGE]);
    show(sys(madvise, at, PAGE, MADV_DONTNEED), "DONTNEED of a shared mapping");
    value(at[0]);
    show(sys(madvise, copy, PAGE, MADV_DONTNEED), "DONTNEED of a private one");
    value(copy[0]);
    show(sys(madvise, at, PAGE, MADV_FREE), "FREE of a shared one");
    show(sys(madvise, at, PAGE, MADV_WIPEONFORK), "WIPEONFORK of a shared one");
    show(sys(madvise, at, PAGE, MADV_REMOVE), "REMOVE");
    value(at[0]);
    show(sys(fallocate, fd, 3, PAGE, PAGE), "punch a hole");
    value(at[PAGE + 10]);
    show(sys(close, fd), "close");
    at[0] = 'c';
    show(sys(munmap, at, 3 * PAGE), "unmap");
    value(copy[0]);
}

static void seal_cases(void)
{
    int fd = (int)sys(memfd_create, "sealed", MFD_ALLOW_SEALING), plain = (int)sys(memfd_create, "plain", 0);
    char *at, *more;

    show(sys(fcntl, plain, F_GET_SEALS), "seals without ALLOW_SEALING");
    show(sys(fcntl, plain, F_ADD_SEALS, F_SEAL_GROW), "adding one");
    show(sys(fcntl, fd, F_GET_SEALS), "seals");
    show(sys(ftruncate, fd, 2 * PAGE), "size");
    show(sys(fcntl, fd, F_ADD_SEALS, 0x1000), "an unknown seal");
    show(sys(fcntl, fd, F_ADD_SEALS, F_SEAL_SHRINK), "no shrinking");
    show(sys(ftruncate, fd, PAGE), "shrink");
    show(sys(ftruncate, fd, 3 * PAGE), "grow");
    show(sys(fcntl, fd, F_ADD_SEALS, F_SEAL_GROW), "no growing");
    show(sys(ftruncate, fd, 4 * PAGE), "grow");
    show(sys(pwrite64, fd, "x", 1, 3 * PAGE), "write behind the end");
    at = (char *)sys(mmap, NULL, PAGE, RW, MAP_SHARED, fd, 0);
    show(sys(fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE), "no writing while it is mapped");
    show(sys(munmap, at, PAGE), "unmap");
    show(sys(fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL), "no writing");
    show(sys(write, fd, "x", 1), "write");
    show(done(sys(mmap, NULL, PAGE, RW, MAP_SHARED, fd, 0)), "map to write");
    more = (char *)sys(mmap, NULL, PAGE, RW, MAP_PRIVATE, fd, 0);
    show(done((long)more), "map privately");
    show(sys(fcntl, fd, F_ADD_SEALS, F_SEAL_SHRINK), "another seal");
    show(sys(fcntl, fd, F_GET_SEALS), "seals");
    show(sys(fallocate, fd, 3, 0, PAGE), "punch a hole");
    show(sys(fcntl, 0, F_GET_SEALS) == -EINVAL || sys(fcntl, 0, F_GET_SEALS) >= 0, "seals of what has none");
    close(fd), close(plain);
}

/* What a write would make longer is written up to the last whole page. */
static void seal_growth(void)
{
    static const char bytes[3 * PAGE];
    int fd = (int)sys(memfd_create, "sealed", MFD_ALLOW_SEALING);

    show(sys(ftruncate, fd, PAGE + 100), "size");
    show(sys(fcntl, fd, F_ADD_SEALS, F_SEAL_GROW), "no growing");
    show(sys(pwrite64, fd, bytes, 3 * PAGE, 0), "over the end");
    show(sys(pwrite64, fd, bytes, PAGE, 100), "up to the end");
    show(sys(pwrite64, fd, bytes, PAGE, 101), "one byte over the end");
    show(sys(pwrite64, fd, bytes, 100, PAGE + 50), "over the end from the last page");
    close(fd);
}

static void seal_execution(void)
{
    int fd = (int)sys(memfd_create, "executable", MFD_ALLOW_SEALING);
    char *at;

    show(sys(ftruncate, fd, PAGE), "size");
    at = (char *)sys(mmap, NULL, PAGE, RW, MAP_SHARED, fd, 0);
    show(sys(fcntl, fd, F_ADD_SEALS, F_SEAL_EXEC), "while it is mapped");
    show(sys(munmap, at, PAGE), "unmap");
    show(sys(fcntl, fd, F_ADD_SEALS, F_SEAL_EXEC), "executable for ever");
    show(sys(fcntl, fd, F_GET_SEALS), "seals");
    show(sys(fchmod, fd, 0644), "not executable");
    show(sys(fchmod, fd, 0755), "others may not write");
    close(fd);
    fd = (int)sys(memfd_create, "data", MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    show(sys(fchmod, fd, 0755), "executable");
    show(sys(fchmod, fd, 0600), "not executable");
    close(fd);
}

/* A mapping made before F_SEAL_FUTURE_WRITE writes on, but makes no holes. */
static void seal_holes(void)
{
    int fd = (int)sys(memfd_create, "sealed", MFD_ALLOW_SEALING);
    char *at;

    show(sys(ftruncate, fd, PAGE), "size");
    at = (char *)sys(mmap, NULL, PAGE, RW, MAP_SHARED, fd, 0);
    at[0] = 'h';
    show(sys(fcntl, fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), "no new writing");
    show(sys(madvise, at, PAGE, MADV_REMOVE), "a hole");
    value(at[0]);
    show(sys(munmap, at, PAGE), "unmap");
    close(fd);
}

static void file_mappings(void)
{
    int fd = make_file("mapped", PAGE + 100);
    char *shared = (char *)sys(mmap, NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0);
    char *private = (char *)sys(mmap, NULL, 2 * PAGE, RW, MAP_PRIVATE, fd, 0);
    char *second = (char *)sys(mmap, NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, PAGE), bytes[8] = "";

    value(sum(shared, PAGE + 100));
    value(sum(private, 2 * PAGE));
    value(second[0] == shared[PAGE] && second[99] == shared[PAGE + 99] && second[100] == 0);
    shared[0] = 'S';
    private[1] = 'P';
    show(sys(pread64, fd, bytes, 4, 0), "read");
    text(bytes);
    show(sys(pwrite64, fd, "wwww", 4, 0), "write");
    printf("shared %.4s, private %.4s\n", shared, private);
    show(sys(pwrite64, fd, "xxxx", 4, PAGE + 2), "write the second page");
    printf("shared %.6s, private %.6s, second %.6s\n", shared + PAGE, private + PAGE, second);
    shared[PAGE + 200] = 'E';
    show(lseek(fd, 0, SEEK_END), "size, after a store behind the end");
    value(sum(second, PAGE) == sum(shared + PAGE, PAGE));
    show(sys(unlink, "mapped"), "unlink");
    show(sys(close, fd), "close");
    shared[5] = 'u';
    value(shared[5]);
    show(sys(madvise, private, PAGE, MADV_DONTNEED), "drop the private copy");
    printf("private %.6s\n", private);
    show(sys(mprotect, shared, PAGE, PROT_READ), "protect");
    show_maps("maps", shared, 2);
    show(sys(munmap, shared, 2 * PAGE), "unmap");
    value(private[5]);
}

/* What is written is a mapping of the same file, whose end it moves on the way. */
static void written_from_itself(void)
{
    int fd = (int)sys(memfd_create, "itself", 0);
    char *at;

    show(sys(pwrite64, fd, "start", 5, PAGE + 95), "write");
    at = (char *)sys(mmap, NULL, 4 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
    show(sys(pwrite64, fd, at + PAGE, 2 * PAGE, PAGE + 100), "from before the end to behind it");
    value(sum(at, 3 * PAGE + 100));
    show(sys(munmap, at, 4 * PAGE), "unmap");
    close(fd);
}

static void behind_the_end(void)
{
    int fd = make_file("short", 10), empty = make_file("empty", 0);
    char *at = (char *)sys(mmap, NULL, 3 * PAGE, RW, MAP_SHARED, fd, 0);
    char *private = (char *)sys(mmap, NULL, 3 * PAGE, RW, MAP_PRIVATE, fd, 0), bytes[16];
    char *nothing = (char *)sys(mmap, NULL, PAGE, PROT_READ, MAP_PRIVATE, empty, 0);
    char *far = (char *)sys(mmap, NULL, PAGE, PROT_READ, MAP_SHARED, fd, 100 * PAGE);

    value(can_read(at + 4095));
    value(can_read(at + PAGE));
    value(caught_code == BUS_ADRERR);
    value(can_write(at + PAGE));
    value(can_read(private + PAGE));
    value(can_write(private + 2 * PAGE));
    value(can_read(nothing));
    value(can_read(far));
    show(sys(read, empty, nothing, 1), "read of nothing");
    show(sys(pread64, fd, at + PAGE, 4, 0), "read to where it ends");
    show(sys(write, empty, at + PAGE, 4), "write from there");
    show(sys(write, empty, at + PAGE - 2, 4), "write over the end");
    show(sys(ftruncate, fd, 2 * PAGE), "the file grows");
    value(can_read(at + PAGE));
    value(can_read(private + PAGE));
    private[PAGE] = 'k';
    show(sys(ftruncate, fd, 5), "and shrinks");
    value(can_read(at + PAGE));
    value(can_read(private + PAGE));
    show(sys(ftruncate, fd, 10), "and grows");
    memset(bytes, '#', sizeof bytes);
    show(sys(pread64, fd, bytes, 10, 0), "read");
    value(bytes[4] == 'e' && bytes[5] == 0 && bytes[9] == 0);
    close(fd), close(empty);
    sys(munmap, at, 3 * PAGE);
    sys(munmap, private, 3 * PAGE);
}

static void anonymous_shared(void)
{
    char *at = (char *)sys(mmap, NULL, 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int zero = open("/dev/zero", O_RDWR);
    char *device = (char *)sys(mmap, NULL, PAGE, RW, MAP_SHARED, zero, 0);
    char *private = (char *)sys(mmap, NULL, PAGE, RW, MAP_PRIVATE, zero, 0);

    value(at[0]);
    at[0] = 1;
    show(sys(madvise, at, PAGE, MADV_DONTNEED), "DONTNEED of shared memory");
    value(at[0]);
    show(sys(madvise, at, PAGE, MADV_REMOVE), "REMOVE of shared memory");
    value(at[0]);
    value(device[7]);
    device[7] = 7;
    value(private[7]);
    private[7] = 6;
    value(device[7]);
    show(sys(close, zero), "close");
    value(device[7]);
    show(sys(munmap, device, PAGE), "unmap");
    show(sys(munmap, at + PAGE, PAGE), "a hole");
    show_maps("maps", at, 4);
}

static void split_and_merge(void)
{
    char *at = pages(16);

    show_maps("one", at, 16);
    sys(mprotect, at + 4 * PAGE, 4 * PAGE, PROT_READ);
    show_maps("three", at, 16);
    sys(mprotect, at + 4 * PAGE, 2 * PAGE, RW);
    show_maps("three, moved", at, 16);
    sys(mprotect, at + 6 * PAGE, 2 * PAGE, RW);
    show_maps("one again", at, 16);
    sys(munmap, at + 8 * PAGE, PAGE);
    show_maps("two", at, 16);
    sys(mmap, at + 8 * PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0);
    show_maps("filled", at, 16);
    sys(mmap, at + 2 * PAGE, PAGE, PROT_READ, ANON | MAP_FIXED, -1, 0);
    sys(mmap, at + 3 * PAGE, PAGE, PROT_READ, ANON | MAP_FIXED, -1, 0);
    show_maps("two read only", at, 16);
    for (size_t i = 0; i < 16; i += 2)
        sys(mprotect, at + i * PAGE, PAGE, PROT_NONE);
    show_maps("every other", at, 16);
    sys(mprotect, at, 16 * PAGE, RW);
    show_maps("all alike", at, 16);
    for (size_t i = 0; i < 16; i++)
        at[i * PAGE] = (char)i;
    for (size_t i = 0; i < 16; i += 2)
        sys(munmap, at + i * PAGE, PAGE);
    show_maps("half of it", at, 16);
    for (size_t i = 1; i < 16; i += 2)
        if (at[i * PAGE] != (char)i)
            printf("page %zu is damaged\n", i);
    sys(munmap, at, 16 * PAGE);
}

static void file_split(void)
{
    int fd = make_file("split", 8 * PAGE);
    char *at = pages(8);

    sys(mmap, at, 8 * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);
    show_maps("file", at, 8);
    sys(mmap, at + 3 * PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0);
    show_maps("memory in it", at, 8);
    value(sum(at + 4 * PAGE, 4 * PAGE));
    sys(mmap, at + 3 * PAGE, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 3 * PAGE);
    show_maps("file again", at, 8);
    value(sum(at, 8 * PAGE));
    sys(mmap, at + 3 * PAGE, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 5 * PAGE);
    show_maps("another page of it", at, 8);
    value(sum(at, 8 * PAGE));
    sys(mprotect, at + 6 * PAGE, 2 * PAGE, RW);
    show_maps("writable end", at, 8);
    show(offset_of(sys(mremap, at + 6 * PAGE, 2 * PAGE, PAGE, 0), at), "shrink");
    show(offset_of(sys(mremap, at + 6 * PAGE, PAGE, 2 * PAGE, 0), at), "grow");
    value(at[7 * PAGE] == 'a' + 7 * PAGE % 26);
    show(offset_of(sys(mremap, at + 4 * PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at), at), "move");
    value(at[0] == 'a' + 4 * PAGE % 26);
    show_maps("moved", at, 8);
    close(fd);
}

static void grows_down(void)
{
    char *all = pages(600), *end = all + 600 * PAGE;

    sys(munmap, all, 600 * PAGE);
    show(offset_of(sys(mmap, end - PAGE, PAGE, RW, ANON | MAP_FIXED | MAP_GROWSDOWN, -1, 0), end), "a stack");
    show_maps("one page", all, 600);
    value(can_write(end - PAGE - 1));
    value(can_write(end - 3 * PAGE));
    show_maps("three pages", all, 600);
    value(end[-PAGE - 1] == 'w');
    show(sys(mprotect, end - PAGE, PAGE, PROT_READ | PROT_GROWSDOWN), "protect to its start");
    show_maps("read only", all, 600);
    show(sys(munmap, all, 600 * PAGE), "unmap");
    all = (char *)0x30000; /* near the lowest address that may be mapped */
    show(offset_of(sys(mmap, all, PAGE, RW, ANON | MAP_FIXED_NOREPLACE | MAP_GROWSDOWN, -1, 0), all), "a low stack");
    value(can_write(all - PAGE));
    value(can_write(all - 2 * PAGE));
    show_maps("three pages", all - 16 * PAGE, 32);
    show(sys(munmap, all - 2 * PAGE, 3 * PAGE), "unmap");
}

static void membarrier_cases(void)
{
    value((sys(membarrier, 0, 0, 0) & 25) == 25);
    try(membarrier, 0, 1, 0);
    try(membarrier, 3, 0, 0);
    try(membarrier, -1, 0, 0);
    try(membarrier, 1 << 20, 0, 0);
    try(membarrier, 8, 0, 0);
    try(membarrier, 16, 0, 0);
    try(membarrier, 8, 0, 0);
    try(membarrier, 1, 0, 0);
    try(membarrier, 8, 2, 0);
}

/* A large reservation costs nothing; parts of it are made usable one after the other. */
static void reservation(void)
{
    size_t size = 64ul << 30;
    char *at = (char *)sys(mmap, NULL, size, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);

    show(done((long)at), "reserve 64 GiB");
    for (size_t offset = 0; offset < size; offset += size / 8) {
        show(sys(mprotect, at + offset, 2 * PAGE, RW), "use two pages");
        memset(at + offset, 'r', 2 * PAGE);
    }
    value(at[size / 2 + PAGE]);
    show(sys(madvise, at, size, MADV_DONTNEED), "drop all");
    value(at[size / 2 + PAGE]);
    value(can_write(at + 2 * PAGE));
    show(sys(munmap, at + size / 2, PAGE), "a hole");
    show(sys(munmap, at, size), "unmap");
}

/* More neighbours than a map of a few could hold, in an order that is not theirs. */
static void many(void)
{
    size_t count = 2000, wrong = 0;
    char *at = (char *)sys(mmap, NULL, count * PAGE, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);

    for (size_t i = 0; i < count; i++)
        wrong += sys(mprotect, at + i * 773 % count * PAGE, PAGE, i % 2 ? RW : PROT_READ) != 0;
    value(wrong);
    for (size_t i = 0; i < count; i++)
        wrong += *(volatile char *)(at + i * PAGE) != 0;
    value(wrong);
    for (size_t i = 0; i < count; i++)
        wrong += sys(munmap, at + i * 1409 % count * PAGE, PAGE) != 0;
    value(wrong);
    show_maps("none", at, count);
}

int main(void)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } groups[] = {
#define GROUP(name) {#name, name}
        GROUP(mmap_errors),
        GROUP(mmap_places),
        GROUP(munmap_cases),
        GROUP(mprotect_cases),
        GROUP(execute),
        GROUP(mremap_errors),
        GROUP(mremap_works),
        GROUP(mremap_within),
        GROUP(mremap_large),
        GROUP(mremap_shared),
        GROUP(mremap_onto_itself),
        GROUP(mremap_all_kept),
        GROUP(madvise_errors),
        GROUP(madvise_works),
        GROUP(madvise_over_mappings),
        GROUP(mincore_cases),
        GROUP(msync_cases),
        GROUP(mlock_cases),
        GROUP(brk_cases),
        GROUP(memfd_cases),
        GROUP(seal_cases),
        GROUP(seal_growth),
        GROUP(seal_execution),
        GROUP(seal_holes),
        GROUP(file_mappings),
        GROUP(written_from_itself),
        GROUP(behind_the_end),
        GROUP(anonymous_shared),
        GROUP(split_and_merge),
        GROUP(file_split),
        GROUP(grows_down),
        GROUP(membarrier_cases),
        GROUP(reservation),
        GROUP(many),
    };

    fresh_folder();
    close(make_file("file", 3 * PAGE));
    for (size_t i = 0; i < LENGTH(groups); i++) {
        printf("\n-- %s\n", groups[i].name);
        groups[i].run();
    }
    remove_folder();
    return 0;
}
