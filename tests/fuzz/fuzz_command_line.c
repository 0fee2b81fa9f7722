/* libFuzzer target: any text as a command line, in two sources. */
#include <stdlib.h>
#include <string.h>

#include "core/command_line.h"
#include "core/console.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

void console_write(const char *bytes, size_t length)
{
    (void)bytes;
    (void)length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct command_line line;
    char *text = malloc(size + 1);

    memcpy(text, data, size);
    text[size] = '\0';
    memset(&line, 0, sizeof(line));
    for (size_t at = 0; at <= size; at += strlen(text + at) + 1) {
        if (command_line_add(&line, text + at) != E_SUCCESS) {
            if (line.problem[0] == '\0')
                abort();
            break;
        }
    }
    free(text);
    return 0;
}
