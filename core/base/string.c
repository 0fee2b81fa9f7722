/*
 * Copies go by 8 bytes with `rep movsq` and the rest by `rep movsb`: small code, no vector registers, what microcode of
 * present CPUs does well for long runs, and an eighth of the iterations where each is emulated.
 */
#include "core/base/string.h"

#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t length)
{
    void *target = to;
    size_t words = length / 8, rest = length % 8;

    __asm__ volatile("rep movsq" : "+D"(target), "+S"(from), "+c"(words) : : "memory");
    __asm__ volatile("rep movsb" : "+D"(target), "+S"(from), "+c"(rest) : : "memory");
    return to;
}

void *memmove(void *to, const void *from, size_t length)
{
    uint8_t *target = to;
    const uint8_t *source = from;

    /* Forward is right unless the target begins inside the source. */
    if ((uintptr_t)target - (uintptr_t)source >= length)
        return memcpy(to, from, length);
    while (length >= 8) {
        uint64_t word;

        length -= 8;
        __builtin_memcpy(&word, source + length, 8);
        __builtin_memcpy(target + length, &word, 8);
    }
    while (length-- > 0)
        target[length] = source[length];
    return to;
}

void *memset(void *to, int byte, size_t length)
{
    void *target = to;
    uint64_t pattern = (uint8_t)byte * 0x0101010101010101u;
    size_t words = length / 8, rest = length % 8;

    __asm__ volatile("rep stosq" : "+D"(target), "+c"(words) : "a"(pattern) : "memory");
    __asm__ volatile("rep stosb" : "+D"(target), "+c"(rest) : "a"(pattern) : "memory");
    return to;
}

int memcmp(const void *first, const void *second, size_t length)
{
    const uint8_t *a = first, *b = second;

    for (size_t i = 0; i < length; i++)
        if (a[i] != b[i])
            return a[i] - b[i];
    return 0;
}

size_t strlen(const char *text)
{
    size_t length = 0;

    while (text[length] != '\0')
        length++;
    return length;
}

int strncmp(const char *first, const char *second, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (first[i] != second[i])
            return (uint8_t)first[i] - (uint8_t)second[i];
        if (first[i] == '\0')
            break;
    }
    return 0;
}

int strcmp(const char *first, const char *second)
{
    return strncmp(first, second, SIZE_MAX);
}
