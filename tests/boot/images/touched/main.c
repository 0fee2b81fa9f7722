/* Of the program's constants and zeroed data those pages are resident that were touched. */
#include <stdio.h>
#include <sys/resource.h>

#define PAGE 4096
#define SIZE (1 << 20)
#define KIB 1024

static const volatile char constants[SIZE] = {[0] = 1, [SIZE - 1] = 1};
static const volatile char many[4 * SIZE] = {[0] = 1, [4 * SIZE - 1] = 1}; /* the part is less than IMAGE_LARGE */

/* The most that was resident, in KiB. */
static long resident(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

int main(void)
{
    long before = resident(), sum = 0, after, few;

    for (size_t i = 0; i < SIZE; i += PAGE)
        sum += constants[i];
    after = resident();
    printf("constants: %s\n",
           sum == 1 && after - before > SIZE / KIB * 3 / 4 && after - before < SIZE / KIB * 2 ? "yes" : "no");
    sum = 0;
    for (size_t i = 0; i < sizeof many; i += sizeof many / 4 - 1)
        sum += many[i];
    few = resident();
    printf("a few of many: %s\n", sum == 1 && few - after < 64 ? "yes" : "no");
    printf("and once more: %s\n", resident() - few < 64 ? "yes" : "no");
    return 0;
}
