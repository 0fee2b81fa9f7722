/*
 * mmap, munmap, mremap, mprotect, madvise and brk as Linux defines them. The same program is run on Linux and must
 * print the same there, so nothing that depends on addresses is printed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096ul
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static const char *error(long result)
{
    switch (result == -1 ? errno : 0) {
    case 0:
        return "ok";
    case EINVAL:
        return "EINVAL";
    case ENOMEM:
        return "ENOMEM";
    case EEXIST:
        return "EEXIST";
    case EFAULT:
        return "EFAULT";
    case EACCES:
        return "EACCES";
    case EBADF:
        return "EBADF";
    case EPERM:
        return "EPERM";
    case EOVERFLOW:
        return "EOVERFLOW";
    default:
        return "another error";
    }
}

static void show(const char *what, long result)
{
    printf("%s: %s\n", what, error(result));
}

static void truth(const char *what, int value)
{
    printf("%s: %s\n", what, value ? "yes" : "no");
}

static char *map(size_t size)
{
    return mmap(NULL, size, RW, ANON, -1, 0);
}

static int all(const char *memory, size_t size, char value)
{
    for (size_t i = 0; i < size; i++)
        if (memory[i] != value)
            return 0;
    return 1;
}

/* The system call: musl's own brk() always fails. Returns the new end, or the old one if it cannot move. */
static char *move_break(char *end)
{
    return (char *)syscall(SYS_brk, end);
}

static void check_mmap(void)
{
    char *memory = map(3 * PAGE + 5);

    truth("mmap is page aligned", ((uintptr_t)memory & (PAGE - 1)) == 0);
    truth("mmap is zero", all(memory, 4 * PAGE, 0));
    memset(memory, 7, 4 * PAGE);
    show("munmap of the middle", munmap(memory + PAGE, PAGE));
    truth("the rest stays", all(memory, PAGE, 7) && all(memory + 2 * PAGE, 2 * PAGE, 7));
    truth("the hint is taken when free", mmap(memory + PAGE, PAGE, RW, ANON, -1, 0) == memory + PAGE);
    truth("and is zero again", all(memory + PAGE, PAGE, 0));
    truth("a hint that is taken is passed over", mmap(memory, PAGE, RW, ANON, -1, 0) != memory);
    truth("MAP_FIXED replaces", mmap(memory, 2 * PAGE, RW, ANON | MAP_FIXED, -1, 0) == memory && all(memory, PAGE, 0));
    show("MAP_FIXED_NOREPLACE", (long)mmap(memory, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
    show("munmap of all", munmap(memory, 4 * PAGE));
    show("munmap of nothing", munmap(memory, 4 * PAGE));
    show("length 0", (long)mmap(NULL, 0, RW, ANON, -1, 0));
    show("no type", (long)mmap(NULL, PAGE, RW, MAP_ANONYMOUS, -1, 0));
    show("huge length", (long)mmap(NULL, (size_t)1 << 60, RW, ANON, -1, 0));
    show("length that wraps", (long)mmap(NULL, SIZE_MAX, RW, ANON, -1, 0));
    show("misaligned MAP_FIXED", (long)mmap((void *)0x10001000007, PAGE, RW, ANON | MAP_FIXED, -1, 0));
    show("bad descriptor", (long)mmap(NULL, PAGE, RW, MAP_PRIVATE, 99, 0));
    show("munmap misaligned", munmap((void *)0x1234, PAGE));
    show("munmap length 0", munmap((void *)0x10000000000, 0));
    memory = mmap(NULL, 2 * PAGE, RW, ANON | MAP_POPULATE, -1, 0);
    truth("MAP_POPULATE is zero", all(memory, 2 * PAGE, 0));
    show("munmap", munmap(memory, 2 * PAGE));
}

static void check_mremap(void)
{
    char *memory = map(4 * PAGE), *moved;

    memset(memory, 3, 4 * PAGE);
    truth("mremap shrinks in place", mremap(memory, 4 * PAGE, 2 * PAGE, 0) == memory);
    truth("mremap grows in place", mremap(memory, 2 * PAGE, 4 * PAGE, 0) == memory);
    truth("old stays, new is zero", all(memory, 2 * PAGE, 3) && all(memory + 2 * PAGE, 2 * PAGE, 0));
    mmap(memory + 3 * PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0);
    memory[3 * PAGE] = 9;
    moved = mremap(memory, 3 * PAGE, 64 * PAGE, MREMAP_MAYMOVE);
    truth("mremap moves and keeps",
          moved != MAP_FAILED && all(moved, 2 * PAGE, 3) && all(moved + 2 * PAGE, 62 * PAGE, 0));
    show("grow to megabytes", (long)(moved = mremap(moved, 64 * PAGE, (size_t)1 << 25, MREMAP_MAYMOVE)));
    truth("and keep", all(moved, 2 * PAGE, 3));
    show("new size 0", (long)mremap(moved, PAGE, 0, MREMAP_MAYMOVE));
    show("misaligned", (long)mremap(moved + 1, PAGE, PAGE, MREMAP_MAYMOVE));
    show("unknown flags", (long)mremap(moved, PAGE, PAGE, 64));
    show("fixed without maymove", (long)mremap(moved, PAGE, PAGE, MREMAP_FIXED, moved + 64 * PAGE));
    show("of nothing", (long)mremap((void *)0x10000000000, PAGE, 2 * PAGE, MREMAP_MAYMOVE));
    memory = map(2 * PAGE);
    truth("to a fixed place", mremap(moved, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, memory) == memory);
    truth("keeps too", all(memory, 2 * PAGE, 3));
    show("munmap", munmap(memory, 2 * PAGE));
}

static void check_failed_mremap(void)
{
    const size_t too_much = (size_t)100 << 40;
    char *memory = map(10 * PAGE), *end = move_break(NULL), *moved;

    memset(memory, 4, 10 * PAGE);
    show("the middle to too much", (long)mremap(memory + PAGE, PAGE, too_much, MREMAP_MAYMOVE));
    moved = mremap(memory, 10 * PAGE, 64 * PAGE, MREMAP_MAYMOVE);
    truth("it is still one", moved != MAP_FAILED && all(moved, 10 * PAGE, 4));
    move_break(end + 8 * PAGE);
    show("of the break", (long)mremap(end + PAGE, PAGE, too_much, MREMAP_MAYMOVE));
    truth("it still grows", move_break(end + 9 * PAGE) == end + 9 * PAGE && move_break(end) == end);
}

static void check_large(void)
{
    const size_t size = (size_t)5 << 40;
    char *memory = mmap(NULL, size, PROT_NONE, ANON | MAP_NORESERVE, -1, 0), *last = memory + size - PAGE;
    char *other = mmap(NULL, size, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);

    truth("reservations of terabytes", memory != MAP_FAILED && other != MAP_FAILED && memory != other);
    show("their last page", mprotect(last, PAGE, RW));
    last[0] = 1;
    truth("is memory", last[0] == 1 && last[1] == 0);
    show("munmap", munmap(memory, size));
    show("munmap", munmap(other, size));
}

static void check_mprotect(void)
{
    char *memory = map(4 * PAGE);

    memset(memory, 5, 4 * PAGE);
    show("mprotect read", mprotect(memory + PAGE, PAGE, PROT_READ));
    truth("still readable", all(memory, 4 * PAGE, 5));
    show("mprotect none", mprotect(memory + PAGE, PAGE, PROT_NONE));
    show("mprotect back", mprotect(memory, 4 * PAGE, RW));
    truth("contents stay", all(memory, 4 * PAGE, 5));
    memory[PAGE] = 6;
    show("misaligned", syscall(SYS_mprotect, memory + 1, PAGE, PROT_READ)); /* musl's mprotect aligns by itself */
    show("length 0", mprotect(memory, 0, PROT_READ));
    show("munmap the middle", munmap(memory + 2 * PAGE, PAGE));
    show("mprotect over a hole", mprotect(memory, 4 * PAGE, RW));
    show("mprotect of nothing", mprotect((void *)0x10000000000, PAGE, RW));
    show("munmap", munmap(memory, 4 * PAGE));
}

static void check_execute(void)
{
    static const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* mov $42, %eax; ret */
    char *memory = map(PAGE);

    memcpy(memory, code, sizeof(code));
    show("mprotect execute", mprotect(memory, PAGE, PROT_READ | PROT_EXEC));
    printf("runs: %d\n", ((int (*)(void))(uintptr_t)memory)());
    show("munmap", munmap(memory, PAGE));
}

static void check_madvise(void)
{
    char *memory = map(4 * PAGE);

    memset(memory, 1, 4 * PAGE);
    show("MADV_DONTNEED", madvise(memory + PAGE, PAGE, MADV_DONTNEED));
    truth("it is zero", all(memory + PAGE, PAGE, 0));
    truth("the rest is not", all(memory, PAGE, 1) && all(memory + 2 * PAGE, 2 * PAGE, 1));
    show("MADV_WILLNEED", madvise(memory, 4 * PAGE, MADV_WILLNEED));
    show("MADV_HUGEPAGE or not", madvise(memory, 4 * PAGE, MADV_NOHUGEPAGE) == 0 || errno == EINVAL ? 0 : -1);
    show("length 0", madvise(memory, 0, MADV_DONTNEED));
    show("misaligned", madvise(memory + 1, PAGE, MADV_DONTNEED));
    show("unknown advice", madvise(memory, PAGE, 12345));
    show("munmap the middle", munmap(memory + PAGE, PAGE));
    show("over a hole", madvise(memory, 4 * PAGE, MADV_DONTNEED));
    truth("done all the same", all(memory + 2 * PAGE, 2 * PAGE, 0));
    show("munmap", munmap(memory, 4 * PAGE));
}

static void check_brk(void)
{
    char *end = move_break(NULL);

    truth("brk grows", move_break(end + 5 * PAGE) == end + 5 * PAGE);
    truth("is zero", all(end, 5 * PAGE, 0));
    memset(end, 2, 5 * PAGE);
    truth("shrinks", move_break(end + PAGE) == end + PAGE);
    truth("keeps", all(end, PAGE, 2));
    truth("grows again, zero", move_break(end + 3 * PAGE) == end + 3 * PAGE && all(end + 2 * PAGE, PAGE, 0));
    truth("does not go below its start", move_break((char *)PAGE) == end + 3 * PAGE);
    truth("shrinks to the start", move_break(end) == end);
}

static void check_many(void)
{
    enum { COUNT = 500 };
    static char *maps[COUNT];
    int good = 1;

    for (int i = 0; i < COUNT; i++) {
        maps[i] = map((size_t)(i % 7 + 1) * PAGE);
        maps[i][0] = (char)i;
    }
    for (int i = 0; i < COUNT; i++)
        good &= maps[i][0] == (char)i;
    for (int i = 0; i < COUNT; i++)
        good &= munmap(maps[i * 7 % COUNT], (size_t)(i * 7 % COUNT % 7 + 1) * PAGE) == 0;
    truth("many small ones", good);
}

int main(void)
{
    check_mmap();
    check_mremap();
    check_failed_mremap();
    check_large();
    check_mprotect();
    check_execute();
    check_madvise();
    check_brk();
    check_many();
    return 0;
}
