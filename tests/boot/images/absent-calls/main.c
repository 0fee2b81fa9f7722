/* Makes every system call that core/linux/calls.def says is not there, twice, and shows those that are not ENOSYS. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

static const struct {
    int number;
    const char *name;
} absent[] = {
#define PART(name, summary)
#define INIT(part, function)
#define CALL(number, name, function, part, missing)
#define NONE(number, name, reason) {number, #name},
#define UNLOCKED(name)
#include "core/linux/calls.def"
};

int main(void)
{
    int count = sizeof(absent) / sizeof(absent[0]), wrong = 0;

    for (int i = 0; i < 2 * count; i++) {
        long result = syscall(absent[i % count].number, -1, -1, -1, -1, -1, -1);

        if (result != -1 || errno != ENOSYS) {
            printf("WRONG: %s is there: %ld\n", absent[i % count].name, result);
            wrong++;
        }
    }
    printf("%d calls, %d wrong\n", count, wrong);
    return wrong > 0;
}
