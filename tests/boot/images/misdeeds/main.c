/* Does what its argument names. Each must end with the right report and status; "survived" must never be printed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vm/vm.h"

static const int constant = 1;
static unsigned char code[] = {0xc3}; /* ret */

static void call(void *address)
{
    void (*volatile function)(void) = (void (*)(void))address;

    function();
}

static void write_text(void)
{
    *(volatile unsigned char *)(uintptr_t)write_text = 0xc3;
}

static void write_constant(void)
{
    *(volatile int *)&constant = 2;
}

static void execute_data(void)
{
    call(code);
}

static void execute_stack(void)
{
    volatile unsigned char local[] = {0xc3};

    call((void *)(uintptr_t)local);
}

static void execute_heap(void)
{
    unsigned char *heap = malloc(1);

    *heap = 0xc3;
    call(heap);
}

static void read_null(void)
{
    (void)*(volatile int *volatile *)(uintptr_t)8;
}

static void write_null(void)
{
    *(volatile int *volatile)NULL = 1;
}

static void call_null(void)
{
    call(NULL);
}

static void non_canonical(void)
{
    *(volatile int *)0x1234567812345678 = 1;
}

/* 512 bytes and more of stack a level. */
static int recurse(volatile char *above, int levels)
{
    volatile char frame[512];

    frame[0] = above[0];
    return levels == 0 ? 0 : recurse(frame, levels - 1) + frame[0];
}

static void stack_overflow(void)
{
    volatile char start = 1;

    printf("%d\n", recurse(&start, 1 << 24));
}

static void divide(void)
{
    volatile int number = 100, zero = 0;

    printf("%d\n", number / zero);
}

static void illegal(void)
{
    __asm__ volatile("ud2");
}

static void breakpoint(void)
{
    __asm__ volatile("int3");
}

static struct vm_segment *make(void)
{
    return vm_alloc(vm_space(), &vm_anon, VM_ANYWHERE, VM_PAGE_SIZE, VM_RW);
}

static void double_free(void)
{
    struct vm_segment *segment = make();

    vm_free(vm_space(), segment);
    vm_free(vm_space(), segment);
}

static void foreign_free(void)
{
    static char not_a_segment[512];

    vm_free(vm_space(), (struct vm_segment *)(void *)not_a_segment);
}

static void free_image(void)
{
    vm_free(vm_space(), vm_find(vm_space(), (vaddr_t)free_image));
}

static void use_after_free(void)
{
    struct vm_segment *segment = make();
    volatile char *memory = (volatile char *)vm_start(segment);

    memory[0] = 1;
    vm_free(vm_space(), segment);
    memory[0] = 2;
}

static void write_protected(void)
{
    struct vm_segment *segment = make();
    volatile char *memory = (volatile char *)vm_start(segment);

    memory[0] = 1;
    vm_protect(vm_space(), vm_start(segment), VM_PAGE_SIZE, VM_READ);
    memory[0] = 2;
}

static void damage_space(void)
{
    memset(vm_space(), 0x5a, 64);
    read_null();
}

/* The pointer lies behind what it points to. */
static void damage_space_pointer(void)
{
    struct address_space *space = vm_space();

    for (struct address_space **word = (struct address_space **)(void *)space; vm_space() == space; word++) {
        if (*word == space)
            *word = (struct address_space *)0x5a5a5a5a5a5a5a5a;
    }
    read_null();
}

static const struct misdeed {
    const char *name;
    void (*act)(void);
} misdeeds[] = {
    {"write-text", write_text},
    {"write-constant", write_constant},
    {"execute-data", execute_data},
    {"execute-stack", execute_stack},
    {"execute-heap", execute_heap},
    {"read-null", read_null},
    {"write-null", write_null},
    {"call-null", call_null},
    {"non-canonical", non_canonical},
    {"stack-overflow", stack_overflow},
    {"divide", divide},
    {"illegal", illegal},
    {"breakpoint", breakpoint},
    {"double-free", double_free},
    {"foreign-free", foreign_free},
    {"free-image", free_image},
    {"use-after-free", use_after_free},
    {"write-protected", write_protected},
    {"damage-space", damage_space},
    {"damage-space-pointer", damage_space_pointer},
    {"abort", abort},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof(misdeeds) / sizeof(misdeeds[0]); i++) {
        if (strcmp(argv[1], misdeeds[i].name))
            continue;
        printf("doing %s\n", argv[1]);
        fflush(stdout);
        misdeeds[i].act();
        printf("survived\n");
        return 0;
    }
    fprintf(stderr, "misdeeds: no such misdeed\n");
    return 2;
}
