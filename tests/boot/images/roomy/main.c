/* Fills the memory that its plan promises. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
    size_t size = (size_t)38 << 20;
    char *memory = malloc(size);

    if (!memory)
        return 1;
    memset(memory, 1, size);
    printf("filled %zu bytes\n", size);
    return 0;
}
