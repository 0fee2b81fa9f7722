#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    size_t count = 1000000;
    unsigned *squares = malloc(count * sizeof(*squares));

    if (!squares) {
        fprintf(stderr, "@NAME@: out of memory\n");
        return 1;
    }
    for (size_t i = 0; i < count; i++)
        squares[i] = (unsigned)(i * i);
    printf("@NAME@: %zu squares, the last is %u\n", count, squares[count - 1]);
    free(squares);
    return 0;
}
