/* Running out of memory is an ordinary result: malloc answers NULL, and after freeing everything works again. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

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

/* More addresses than RAM are refused where memory is promised, and to be had where it is not: then a touch ends it. */
static int touch_all(void)
{
    const size_t size = (size_t)1 << 30;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    printf("promised: %s\n", memory == MAP_FAILED && errno == ENOMEM ? "ENOMEM" : "no");
    memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    printf("not promised: %s\n", memory == MAP_FAILED ? "no" : "yes");
    fflush(stdout);
    for (size_t at = 0; at < size; at += 4096)
        memory[at] = 1;
    printf("survived\n");
    return 1;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "touch") == 0)
        return touch_all();
    for (int i = 1; i < argc; i++) {
        size_t size = strtoul(argv[i], NULL, 10), bytes = exhaust(size), again = exhaust(size);

        printf("%zu: %s\n", size, bytes > 16u << 20 && again > bytes - bytes / 8 ? "yes" : "no");
    }
    void *volatile large = malloc((size_t)100 << 20); /* volatile: else the compiler takes it for granted */

    printf("too large: %s\n", large ? "no" : "yes");
    return 0;
}
