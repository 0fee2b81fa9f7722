/*
 * The allocator of a program, whichever it is: blocks of many sizes, allocated, grown, shrunk and freed in random order
 * by every function that there is, their contents checked; what is refused; and who answers. Prints the same on Linux.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <locale.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKS 2000
#define TURNS 100000
#define MIB ((size_t)1 << 20)

struct block {
    unsigned char *start;
    size_t size;
    unsigned char fill;
};

static struct block blocks[BLOCKS];
static uint64_t random_state = 42;

/* Each allocator has a name that no other defines. */
extern int mi_version(void) __attribute__((weak));
extern const char *tc_version(int *major, int *minor, const char **patch) __attribute__((weak));
extern int mallctl(const char *name, void *old, size_t *old_size, void *new, size_t size) __attribute__((weak));
extern int mi_is_in_heap_region(const void *block) __attribute__((weak));

static uint64_t next_random(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return random_state >> 33;
}

static void fail(const char *what)
{
    fprintf(stderr, "malloc: %s\n", what);
    exit(1);
}

/* As many small blocks as large ones: the number of bits is random. */
static size_t random_size(void)
{
    return 1 + (next_random() & (((size_t)1 << next_random() % 19) - 1));
}

static void check(const struct block *block)
{
    for (size_t i = 0; i < block->size; i += block->size < 256 ? 1 : 97)
        if (block->start[i] != block->fill)
            fail("a block does not hold what was written to it");
    if (block->size && block->start[block->size - 1] != block->fill)
        fail("the end of a block does not hold what was written to it");
    if (block->start && malloc_usable_size(block->start) < block->size)
        fail("malloc_usable_size is less than what was asked for");
}

static void fill(struct block *block)
{
    if (!block->start)
        fail("out of memory");
    block->fill = (unsigned char)next_random();
    memset(block->start, block->fill, block->size);
}

static void allocate(struct block *block)
{
    size_t alignment = (size_t)16 << next_random() % 9, least;
    void *start = NULL;

    block->size = random_size();
    least = block->size < 16 ? 8 : 16;
    switch (next_random() % 5) {
    case 0:
        start = calloc(block->size, 1);
        for (size_t i = 0; start && i < block->size; i++)
            if (((unsigned char *)start)[i])
                fail("calloc does not zero");
        alignment = least;
        break;
    case 1:
        block->size = (block->size + alignment - 1) / alignment * alignment;
        start = aligned_alloc(alignment, block->size);
        break;
    case 2:
        if (posix_memalign(&start, alignment, block->size))
            fail("posix_memalign");
        break;
    case 3:
        start = memalign(alignment, block->size);
        break;
    default:
        start = malloc(block->size);
        alignment = least;
    }
    if ((uintptr_t)start % alignment)
        fail("a block is not aligned");
    block->start = start;
    fill(block);
}

static void resize(struct block *block)
{
    size_t size = random_size();
    unsigned char *start = realloc(block->start, size);

    if (!start)
        fail("out of memory");
    block->start = start;
    block->size = size < block->size ? size : block->size;
    check(block);
    block->size = size;
    fill(block);
}

static void release(struct block *block)
{
    check(block);
    free(block->start);
    *block = (struct block){0};
}

static void turn(void)
{
    struct block *block = &blocks[next_random() % BLOCKS];

    if (!block->start)
        allocate(block);
    else if (next_random() % 3)
        release(block);
    else
        resize(block);
}

static void many_sizes(void)
{
    for (unsigned i = 0; i < TURNS; i++)
        turn();
    for (unsigned i = 0; i < BLOCKS; i++)
        release(&blocks[i]);
    printf("%u turns with up to %u blocks\n", TURNS, BLOCKS);
}

/* What only mappings of their own can hold, and gives back: 20 times more in sum than there is RAM. */
static void large(void)
{
    for (unsigned i = 0; i < 40; i++) {
        struct block block = {malloc((i % 8 + 1) * MIB), (i % 8 + 1) * MIB, 0};

        fill(&block);
        block.start = realloc(block.start, 4 * block.size);
        check(&block);
        block.size *= 4;
        fill(&block);
        release(&block);
    }
    printf("large blocks\n");
}

static void refused(void)
{
    volatile size_t huge = SIZE_MAX / 2, count = SIZE_MAX / 8;
    void *block = malloc(1);
    void *none = NULL;

    /* Not all of them say it in errno. */
    printf("malloc: %s\n", malloc(huge) ? "there" : "refused");
    printf("calloc: %s\n", calloc(count, 16) ? "there" : "refused");
    printf("realloc: %s\n", realloc(block, huge) ? "there" : "refused");
    printf("posix_memalign: %s\n", posix_memalign(&none, 3, 16) == EINVAL ? "refused" : "there");
    free(block);
    free(NULL);
}

/* The C library's own callers of malloc; musl's duplocale and freelocale know it by names of their own. */
static void callers(void)
{
    char *line = strdup("duplicated"), *printed = NULL, *stream = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&stream, &size);
    locale_t locale = duplocale(newlocale(LC_ALL_MASK, "C", NULL));

    if (!line || asprintf(&printed, "%s %d", "printed", 42) < 0 || !file || !locale)
        fail("out of memory");
    freelocale(locale);
    fprintf(file, "%200d", 42);
    fclose(file);
    printf("%s, %s, %zu\n", line, printed, size);
    free(line);
    free(printed);
    free(stream);
}

/* "libc" if no allocator's names are there, and that it knows a block that malloc gave. */
static const char *allocator(void)
{
    void *block = malloc(1000);
    uint64_t before = 0, after = 0;
    size_t size = sizeof(before);
    const char *name = "libc";

    if (mi_version) {
        name = mi_is_in_heap_region(block) ? "mimalloc" : "mimalloc, which does not know the block";
    } else if (tc_version) {
        name = tc_version(NULL, NULL, NULL) ? "tcmalloc" : "tcmalloc without a version";
    } else if (mallctl) {
        char *more;

        mallctl("thread.allocated", &before, &size, NULL, 0);
        more = malloc(5000);
        mallctl("thread.allocated", &after, &size, NULL, 0);
        name = more && after >= before + 5000 ? "jemalloc" : "jemalloc, which does not count the block";
        free(more);
    }
    free(block);
    return name;
}

int main(void)
{
    many_sizes();
    large();
    refused();
    callers();
    printf("allocator: %s\n", allocator());
    return 0;
}
