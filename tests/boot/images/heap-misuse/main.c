/* Does the one thing to its heap that its argument names, which ends the program with a report; with either heap. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB ((size_t)1 << 20)

static char *volatile block;
static char outside[64];

static void free_twice(void)
{
    char *other = malloc(100);

    block = malloc(100);
    free(block);
    free(block);
    for (unsigned i = 0; i < 200; i++) { /* until the magazine is emptied */
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
}

static void free_inside(void)
{
    block = malloc(300000);
    free(block + 4096);
}

static void free_foreign(void)
{
    block = malloc(10);
    free(outside);
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
