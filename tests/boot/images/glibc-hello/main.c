/* What a program with glibc uses before it does anything special: stdio, malloc of all sizes, qsort, atexit, time. */
#include <gnu/libc-version.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SLOTS = 1000, ROUNDS = 100000 };

static void last(void)
{
    printf("exit handler\n");
}

static int compare(const void *first, const void *second)
{
    return *(const int *)first - *(const int *)second;
}

/* Random sizes up to 256 KiB, contents checked at the end of each block's life. */
static int busy_malloc(void)
{
    static unsigned char *blocks[SLOTS];
    static size_t sizes[SLOTS];
    unsigned state = 1;

    for (int i = 0; i < ROUNDS; i++) {
        unsigned slot, size;

        state = state * 1664525 + 1013904223;
        slot = (state >> 8) % SLOTS;
        size = 1u << (state >> 20) % 14;
        if (i % 1000 == 0)
            size = 256 << 10;
        if (blocks[slot] && (blocks[slot][0] != slot % 256 || blocks[slot][sizes[slot] - 1] != slot % 256))
            return 1;
        blocks[slot] = realloc(blocks[slot], size);
        if (!blocks[slot])
            return 2;
        sizes[slot] = size;
        blocks[slot][size - 1] = blocks[slot][0] = (unsigned char)slot;
    }
    for (int i = 0; i < SLOTS; i++)
        free(blocks[i]);
    malloc_trim(0);
    return 0;
}

int main(int argc, char **argv)
{
    int numbers[100];
    double sum = 0;

    (void)argc;
    atexit(last);
    printf("glibc %s, %s, LANGUAGE=%s\n", gnu_get_libc_version(), argv[0], getenv("LANGUAGE"));
    for (int i = 0; i < 100; i++)
        numbers[i] = i * 37 % 100;
    qsort(numbers, 100, sizeof(int), compare);
    for (int i = 0; i < 100; i++)
        sum += (double)(numbers[i] == i);
    printf("sorted %.0f of 100\n", sum);
    printf("malloc %d\n", busy_malloc());
    printf("time %s\n", time(NULL) > 1000000000 ? "later than 2001" : "wrong");
    printf("copy %s\n", strchr(strdup("of a=string"), '=') + 1);
    return 7;
}
