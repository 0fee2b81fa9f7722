/* Reads stdin to its end with stdio, as wc does, and a number with scanf. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(void)
{
    int number = 0, lines = 0, words = 0, bytes = 0, inside = 0, c;
    char name[32] = "";

    if (scanf("%d %31s", &number, name) != 2)
        return 3;
    while ((c = getchar()) != EOF) {
        bytes++;
        lines += c == '\n';
        words += !isspace(c) && !inside;
        inside = !isspace(c);
    }
    printf("\nnumber %d, name %s\n", number, name);
    printf("%d lines, %d words, %d bytes, error %d\n", lines, words, bytes, ferror(stdin) != 0);
    printf("%-8s|%08.3f|%+d|%#x|%s\n", "left", 3.14159, 5, 255, "end");
    printf("terminals: %d %d %d\n", isatty(0), isatty(1), isatty(2));
    fprintf(stderr, "on stderr\n");
    return number;
}
