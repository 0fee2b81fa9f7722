/* Running out of memory is an ordinary result: malloc answers NULL, and after freeing everything works again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct block {
    struct block *next;
};

/* Bytes until malloc says no, all of them written to; all are freed. */
static size_t exhaust(size_t size)
{
    struct block *all = NULL, *block;
    size_t bytes = 0;

    while ((block = malloc(size))) {
        memset(block, 0x5a, size);
        block->next = all;
        all = block;
        bytes += size;
    }
    while ((block = all)) {
        all = block->next;
        free(block);
    }
    return bytes;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        size_t size = strtoul(argv[i], NULL, 10), bytes = exhaust(size), again = exhaust(size);

        printf("%zu: %s\n", size, bytes > 16u << 20 && again > bytes - bytes / 8 ? "yes" : "no");
    }
    void *volatile large = malloc((size_t)100 << 20); /* volatile: else the compiler takes it for granted */

    printf("too large: %s\n", large ? "no" : "yes");
    return 0;
}
