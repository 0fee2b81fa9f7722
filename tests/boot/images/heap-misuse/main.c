/* Does the one thing to its heap that its argument names, which ends the program with a report; with either heap. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB ((size_t)1 << 20)

static char *volatile block, *volatile kept_other;
static char outside[64];

/* What is in a run and was freed as a block of its own is looked at now. */
static void allocate_another(void)
{
    kept_other = malloc(500000);
}

static void free_twice(void)
{
    char *other = malloc(100);

    block = malloc(100);
    free(block);
    free(block);
    for (unsigned i = 0; i < 200; i++) { /* until the list goes to its spans */
        void *more[64];

        for (unsigned j = 0; j < 64; j++)
            more[j] = malloc(100);
        for (unsigned j = 0; j < 64; j++)
            free(more[j]);
    }
    free(other);
}

static void free_large_twice(void)
{
    block = malloc(10 * MIB);
    free(block);
    free(block);
}

static void free_medium_twice(void)
{
    block = malloc(200000);
    free(block);
    free(block);
    allocate_another();
}

static void free_inside(void)
{
    block = malloc(300000);
    free(block + 4096);
    allocate_another();
}

static void free_foreign(void)
{
    block = malloc(10);
    free(outside);
    allocate_another();
}

static void write_behind(void)
{
    block = malloc(100);
    memset(block, 0, 101);
    free(block);
}

static void write_behind_large(void)
{
    block = malloc(10 * MIB);
    memset(block, 0, 10 * MIB + 1);
}

/* A size that the map of RAM has room for. */
static void write_behind_mid(void)
{
    block = malloc(3 * MIB / 2);
    memset(block, 0, 3 * MIB / 2 + 1);
}

static void write_before_large(void)
{
    block = malloc(10 * MIB);
    block[-1] = 1;
}

static void write_before_mid(void)
{
    block = malloc(3 * MIB / 2);
    block[-1] = 1;
}

static void write_freed_large(void)
{
    block = malloc(10 * MIB);
    memset(block, 1, 10 * MIB);
    free(block);
    block[4096] = 1;
}

static void realloc_freed(void)
{
    block = malloc(100);
    kept_other = malloc(100);
    free(block);
    kept_other = realloc(block, 200);
}

static void realloc_foreign(void)
{
    kept_other = realloc(outside, 200);
}

static void write_behind_realloc(void)
{
    block = malloc(100);
    memset(block, 0, 104);
    kept_other = realloc(block, 5000);
}

static void free_stack(void)
{
    char here[64];

    block = here;
    free(block);
}

static char *volatile kept; /* its neighbours' span stays */

static void write_freed(void)
{
    kept = malloc(100);
    for (unsigned i = 0; i < 100; i++) {
        block = malloc(100);
        free(block);
        block[50] = 1;
    }
    for (unsigned i = 0; i < 100000; i++)
        malloc(100);
}

/* No misdeed: says where blocks lie and what freed ones hold. */
static void look(void)
{
    char *blocks[64];
    unsigned rising = 0, same = 0;

    for (unsigned i = 0; i < 64; i++) {
        blocks[i] = malloc(100);
        memset(blocks[i], 1, 100);
        rising += i > 0 && blocks[i] > blocks[i - 1];
    }
    block = blocks[10];
    free(block);
    for (unsigned i = 0; i < 100; i++)
        same += block[i] == block[0] && block[0] != 1;
    printf("%s, freed ones %s\n", rising > 8 && rising < 56 ? "at random" : "in order",
           same == 100 ? "are poisoned" : "are as they were");
}

static const struct {
    const char *name;
    void (*function)(void);
} misdeeds[] = {
    {"free-twice", free_twice},
    {"free-large-twice", free_large_twice},
    {"free-medium-twice", free_medium_twice},
    {"free-inside", free_inside},
    {"free-foreign", free_foreign},
    {"write-behind", write_behind},
    {"write-behind-large", write_behind_large},
    {"write-freed", write_freed},
    {"write-behind-mid", write_behind_mid},
    {"write-before-large", write_before_large},
    {"write-before-mid", write_before_mid},
    {"write-freed-large", write_freed_large},
    {"realloc-freed", realloc_freed},
    {"realloc-foreign", realloc_foreign},
    {"write-behind-realloc", write_behind_realloc},
    {"free-stack", free_stack},
    {"look", look},
};

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    for (size_t i = 0; argc > 1 && i < sizeof(misdeeds) / sizeof(misdeeds[0]); i++) {
        if (strcmp(argv[1], misdeeds[i].name) == 0)
            misdeeds[i].function();
    }
    printf("survived\n");
    return 0;
}
