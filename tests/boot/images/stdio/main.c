/*
 * Reads stdin to its end with stdio, as wc does, and a number with scanf.
 *
 *     stdio NUMBER  prints so many lines
 *     stdio slow    reads when much has been typed, and says how many lines came as they were typed
 *     stdio parts   says how long the reads are, with erasing switched off
 */
#include <ctype.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

/* Lets the terminal take in what is typed: for two seconds, full or not. */
static void let_type(void)
{
    int waiting = 0;

    for (time_t end = time(NULL) + 3; time(NULL) < end;)
        ioctl(0, FIONREAD, &waiting);
}

static int read_slowly(void)
{
    char line[16] = "";
    unsigned length = 0, bytes = 0, lines = 0, whole = 0;
    struct pollfd input = {.events = POLLIN};

    let_type();
    for (;;) {
        while (poll(&input, 1, 0) == 0)
            ;
        if (read(0, &line[length], 1) != 1)
            break;
        bytes++;
        if (line[length++] != '\n' && length < sizeof(line))
            continue;
        lines++;
        whole += length == 12 && !memcmp(line, "typed ahead\n", length);
        length = 0;
    }
    printf("%u bytes, %u lines, %u as typed\n", bytes, lines, whole);
    return 0;
}

static int read_parts(void)
{
    char bytes[100];
    long count;

    let_type();
    while ((count = read(0, bytes, sizeof(bytes))) > 0)
        printf("%ld bytes\n", count);
    return 0;
}

static int print_lines(int count)
{
    for (int i = 0; i < count; i++)
        printf("line %05d\n", i);
    return 3;
}

int main(int count, char **arguments)
{
    struct termios settings;
    int number = 0, lines = 0, words = 0, bytes = 0, inside = 0, c;
    char name[32] = "";

    if (count > 1 && isdigit((unsigned char)arguments[1][0]))
        return print_lines(atoi(arguments[1]));
    if (count > 1) {
        tcgetattr(0, &settings);
        settings.c_lflag &= ~(unsigned)ECHO;
        settings.c_cc[VERASE] = settings.c_cc[VKILL] = 0;
        tcsetattr(0, TCSANOW, &settings);
        return strcmp(arguments[1], "slow") ? read_parts() : read_slowly();
    }
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
