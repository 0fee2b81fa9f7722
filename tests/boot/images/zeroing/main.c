/*
 * Memory that was written and given back is zero again wherever a fault backs it, by pages of 4 KiB and of 2 MiB, and
 * the vector registers are what they were before the fault, whichever way the core zeroes on this CPU (zero.S). And
 * memory that is cut off is found and given back, wherever in a table a page of it is, with the same registers,
 * whichever way the core looks for what is not zero.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define PAGE ((size_t)4096)
#define SIZE ((size_t)6 << 20)

struct registers {
    uint8_t bytes[16][32];
};

/* Loads all registers from %1, does something, and stores them. */
#define ALL_REGISTERS ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
#define WITH_REGISTERS(something)                                                                                      \
    ALL_REGISTERS "vmovdqu \\n*32(%1), %%ymm\\n\n .endr\n" something "\n" ALL_REGISTERS                                \
                  "vmovdqu %%ymm\\n, \\n*32(%1)\n .endr\n vzeroupper"
#define ALL_CLOBBERED                                                                                                  \
    "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",        \
        "xmm12", "xmm13", "xmm14", "xmm15"

__attribute__((target("avx"))) static void touch_with_avx(volatile char *byte, struct registers *registers)
{
    __asm__ volatile(WITH_REGISTERS("movb $1, (%0)") : : "r"(byte), "r"(registers) : ALL_CLOBBERED);
}

__attribute__((target("avx"))) static void shrink_with_avx(char *memory, size_t size, size_t new_size,
                                                           struct registers *registers)
{
    register unsigned long flags __asm__("r10") = 0;
    long result = SYS_mremap;

    __asm__ volatile(WITH_REGISTERS("syscall")
                     : "+a"(result)
                     : "r"(registers), "D"(memory), "S"(size), "d"(new_size), "r"(flags)
                     : "rcx", "r11", ALL_CLOBBERED);
}

static void touch_with_sse(volatile char *byte, struct registers *registers)
{
    __asm__ volatile("movdqu (%1), %%xmm0\n movb $1, (%0)\n movdqu %%xmm0, (%1)"
                     :
                     : "r"(byte), "r"(registers)
                     : "memory", "xmm0");
}

/* Pages of `memory` that are not as they should be after a touch, one every `step` bytes. */
static unsigned wrong_pages(char *memory, size_t step)
{
    static const char zeros[PAGE];
    unsigned wrong = 0;

    for (size_t at = 0; at < SIZE; at += step) {
        struct registers before, after;

        memset(&before, (int)(at / step % 255 + 1), sizeof(before));
        after = before;
        if (__builtin_cpu_supports("avx"))
            touch_with_avx(memory + at, &after);
        else
            touch_with_sse(memory + at, &after);
        wrong += memcmp(&before, &after, sizeof(before)) != 0;
        memory[at] = 0;
        for (size_t page = at; page < at + step; page += PAGE)
            wrong += memcmp(memory + page, zeros, PAGE) != 0;
    }
    return wrong;
}

static int check(const char *what, int advice, size_t step)
{
    unsigned wrong = 0;

    for (int round = 0; round < 3; round++) {
        char *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (memory == MAP_FAILED || madvise(memory, SIZE, advice) != 0)
            return printf("%s: no memory\n", what), 1;
        wrong += wrong_pages(memory, step);
        memset(memory, 0xff, SIZE);
        munmap(memory, SIZE);
    }
    printf("%s: %u wrong\n", what, wrong);
    return wrong != 0;
}

/* Grown by 1 MiB, of which one page is written, and shrunk by some pages less: that page is gone, or is there. */
static int check_shrinking(void)
{
    size_t size = 64 * PAGE, more = (size_t)1 << 20;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned wrong = 0;

    if (memory == MAP_FAILED)
        return printf("shrunk: no memory\n"), 1;
    memset(memory, 1, size);
    for (size_t page = 0; page < 256; page += 3) {
        size_t kept = size + page % 7 * PAGE;
        struct registers before, after;

        memset(&before, (int)page + 1, sizeof(before));
        after = before;
        wrong += mremap(memory, size, size + more, 0) != memory;
        memory[size + page * PAGE] = 1;
        if (__builtin_cpu_supports("avx"))
            shrink_with_avx(memory, size + more, kept, &after);
        else
            wrong += mremap(memory, size + more, kept, 0) != memory;
        wrong += memcmp(&before, &after, sizeof(before)) != 0;
        wrong += mremap(memory, kept, size + more, 0) != memory;
        wrong += memory[size + page * PAGE] != (size + page * PAGE < kept);
        wrong += mremap(memory, size + more, size, 0) != memory || memory[size - PAGE] != 1;
    }
    printf("shrunk: %u wrong\n", wrong);
    return wrong != 0;
}

int main(void)
{
    printf("avx: %s\n", __builtin_cpu_supports("avx") ? "yes" : "no");
    return check("4 KiB", MADV_NOHUGEPAGE, PAGE) | check("2 MiB", MADV_HUGEPAGE, (size_t)2 << 20) | check_shrinking();
}
