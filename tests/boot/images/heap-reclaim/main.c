/*
 * What the heap keeps to be allocated again does not stand in the way of others: after all blocks are freed, mmap gets
 * nearly all of RAM, and malloc as well; and when malloc has used it up, freeing makes everything possible again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>

#define COUNT 1000000u
#define MIB ((size_t)1 << 20)

static void *blocks[COUNT];

static size_t free_memory(void)
{
    struct sysinfo info;

    return sysinfo(&info) ? 0 : info.freeram * info.mem_unit;
}

/* Until there is no memory; how many. */
static unsigned use_up(size_t size)
{
    unsigned count = 0;

    errno = 0;
    while (count < COUNT && (blocks[count] = malloc(size)) != NULL)
        memset(blocks[count++], 1, size);
    printf("%s\n", count < COUNT && errno == ENOMEM ? "malloc: ENOMEM" : "malloc: no error");
    return count;
}

static void release(unsigned count)
{
    while (count > 0)
        free(blocks[--count]);
}

static void map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    printf("mmap: %s\n", memory == MAP_FAILED ? strerror(errno) : "as much as there was before");
    if (memory != MAP_FAILED) {
        memset(memory, 2, size);
        munmap(memory, size);
    }
}

int main(void)
{
    static const size_t sizes[] = {100, 1000, 20000, 200000, 3 * MIB};
    size_t before;

    free(malloc(1));
    before = free_memory();
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        release(use_up(sizes[i]));
        map(before - MIB);
    }
    return 0;
}
