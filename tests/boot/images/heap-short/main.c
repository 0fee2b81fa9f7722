/*
 * Other CPUs are started, RAM is used up but for so many frames (the first argument), and malloc is asked for blocks
 * (of so many bytes, the second one) until it refuses: from regions of RAM of which its tables know nothing yet. Then
 * as many frames are free as anonymous memory leaves, too, with which the program goes on.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>

#define PAGE 4096u
#define LARGE (2u << 20)
#define LEFT 48u /* of the 64 frames that are kept: some are the stacks' */

static size_t frames(void)
{
    struct sysinfo info;

    if (sysinfo(&info) != 0)
        abort();
    return info.freeram * info.mem_unit / PAGE;
}

static void *nothing(void *argument)
{
    return argument;
}

/* Memory of 2 MiB, then of pages, until few are left: the fifth of the large ones. */
static char *fill(void)
{
    char *fifth = NULL;
    unsigned count = 0;

    for (size_t size = LARGE; size >= PAGE; size = size == LARGE ? 16 * PAGE : size == 16 * PAGE ? PAGE : 0) {
        while (frames() > size / PAGE + 8) {
            char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

            if (memory == MAP_FAILED)
                break;
            memset(memory, 1, size);
            if (size == LARGE && ++count == 5)
                fifth = memory;
        }
    }
    return fifth;
}

static int deep(int calls)
{
    volatile char page[PAGE];

    page[0] = (char)calls;
    return calls > 0 ? deep(calls - 1) + page[0] - calls : 0;
}

int main(int argc, char **argv)
{
    size_t target = argc > 1 ? strtoul(argv[1], NULL, 10) : 80, size = argc > 2 ? strtoul(argv[2], NULL, 10) : 16;
    unsigned blocks = 0;
    pthread_t thread;

    setvbuf(stdout, NULL, _IONBF, 0);
    if (pthread_create(&thread, NULL, nothing, NULL) != 0 || pthread_join(thread, NULL) != 0)
        return 2;
    for (char *page = fill(); page != NULL && frames() < target; page += PAGE)
        munmap(page, PAGE);
    while (malloc(size) != NULL)
        blocks++;

    size_t left = frames();

    printf("of %zu frames %zu are left behind %s blocks\n", target, left, blocks > 0 ? "some" : "no");
    printf("deep: %d\n", deep(8));
    return left < LEFT;
}
