/*
 * More than IMAGE_LARGE of text, constants and data each: prints the pages that the image's parts are mapped by, and
 * the page tables that this takes, and checks that RAM between the parts is there to be allocated. With an argument it
 * breaks the protection of a large page instead.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86_64/layout.h"
#include "arch/x86_64/pte.h"
#include "vm/heap.h"

#define MIB ((size_t)1 << 20)

/* Two calls from each other by more than 6 MiB of text. */
__asm__(".pushsection .text.wide, \"ax\", @progbits\n"
        ".globl first_function, last_function\n"
        "first_function: movl $1, %eax\n ret\n"
        ".fill 0x6c0000, 1, 0xcc\n"
        "last_function: movl $2, %eax\n ret\n"
        ".popsection");
extern char __boot_tables[], __image_end[]; /* arch/x86_64/image.ld.S */
int first_function(void), last_function(void);

static const volatile char constants[7 * MIB] = {[7 * MIB - 1] = 3};
static volatile char data[2 * MIB] = {0xc3}; /* a return instruction */
static volatile char bss[11 * MIB / 2];

static uint64_t *table(uint64_t physical)
{
    return (uint64_t *)(PHYSMAP_BASE + (physical & PTE_ADDRESS));
}

/* The image's directory of pages of 2 MiB, and the tables below it. */
static void print_tables(void)
{
    uint64_t root, *directory, *first;
    unsigned large = 0, tables = 0;
    bool inside = true;

    __asm__("movq %%cr3, %0" : "=r"(root));
    first = table(root); /* of the tables that the image was linked with */
    directory = table(table(table(root)[IMAGE_BASE >> 39 & 511])[IMAGE_BASE >> 30 & 511]);
    for (unsigned i = 0; i < PTE_TABLE_ENTRIES; i++) {
        bool present = directory[i] & PTE_PRESENT, leaf = directory[i] & PTE_LARGE;

        large += present && leaf;
        tables += present && !leaf;
        if (present && !leaf &&
            (size_t)((char *)table(directory[i]) - (char *)first) >= (size_t)(__image_end - __boot_tables))
            inside = false;
    }
    printf("directory: %u large pages, %u tables, %s\n", large, tables, inside ? "all in the image" : "some elsewhere");
}

/* Every page is touched, as others are not resident. */
static void print_part(const char *name, const volatile void *inside)
{
    struct vm_segment *part = vm_find(vm_space(), (vaddr_t)inside);
    struct vm_statistics statistics;
    size_t bytes;

    for (size_t i = 0; i < vm_size(part); i += 4096)
        (void)((const volatile char *)vm_start(part))[i];
    statistics = vm_segment_statistics(vm_space(), part);
    bytes = (statistics.resident[PAGE_4K] << 12) + (statistics.resident[PAGE_2M] << 21);
    printf("%s: %zu of 2M, %s\n", name, statistics.resident[PAGE_2M], bytes == vm_size(part) ? "all of it" : "not all");
}

/* Every free byte of RAM, those between the image's parts as well, is written to; nothing of the image may change. */
static int use_up(void)
{
    static void *blocks[100000];
    size_t count = 0;

    while (count < 100000 && (blocks[count] = vm_span_alloc(4096)) != NULL)
        memset(blocks[count++], 0xff, 4096);
    while (count > 0)
        vm_span_free(blocks[--count]);
    for (size_t i = 0; i < sizeof constants - 1; i++)
        if (constants[i] != 0)
            return 1;
    for (size_t i = 1; i < sizeof data; i++)
        if (data[i] != 0)
            return 1;
    for (size_t i = 0; i < sizeof bss; i++)
        if (bss[i] != 0)
            return 1;
    return first_function() != 1 || last_function() != 2 || constants[7 * MIB - 1] != 3;
}

int main(int count, char **arguments)
{
    const char *what = count > 1 ? arguments[1] : "";

    print_part("rodata", constants);
    print_part("text", (void *)first_function);
    print_part("data", data);
    print_tables();
    printf("RAM used up: %s\n", use_up() ? "the image has changed" : "the image is as it was");
    if (strcmp(what, "write-text") == 0)
        *(volatile char *)last_function = 1;
    if (strcmp(what, "write-constant") == 0)
        *(volatile char *)&constants[MIB] = 1;
    if (strcmp(what, "execute-data") == 0)
        ((void (*)(void))data)();
    return *what != '\0';
}
