/*
 * What a program without a libc (libc = "none") starts with: the entry, and the four functions that compilers call
 * by themselves. Built as application code. The stack on entry is Linux's: argc, argv, envp.
 */
#include <stddef.h>
#include <stdint.h>

int main(int argc, char **argv, char **envp);
void *memcpy(void *restrict to, const void *restrict from, size_t length);
void *memmove(void *to, const void *from, size_t length);
void *memset(void *to, int byte, size_t length);
int memcmp(const void *first, const void *second, size_t length);
_Noreturn void start_main(uintptr_t *stack);

/* The one place where the stack pointer is known before C code moves it. */
__asm__(".globl _start\n"
        ".type _start, @function\n"
        "_start:\n"
        "    xorl %ebp, %ebp\n"
        "    movq %rsp, %rdi\n"
        "    andq $-16, %rsp\n"
        "    call start_main\n"
        "    ud2\n"
        ".size _start, . - _start\n");

_Noreturn void start_main(uintptr_t *stack)
{
    int argc = (int)stack[0];
    char **argv = (char **)&stack[1];
    long number = 231; /* exit_group */
    long status = main(argc, argv, argv + argc + 1);

    __asm__ volatile("syscall" : "+a"(number) : "D"(status) : "rcx", "r11", "memory");
    __builtin_unreachable();
}

void *memcpy(void *restrict to, const void *restrict from, size_t length)
{
    void *target = to;

    __asm__ volatile("rep movsb" : "+D"(target), "+S"(from), "+c"(length) : : "memory");
    return to;
}

void *memmove(void *to, const void *from, size_t length)
{
    volatile uint8_t *target = to; /* volatile: or the loop is recognised as a call of memmove */
    const uint8_t *source = from;

    if ((uintptr_t)to - (uintptr_t)from >= length)
        return memcpy(to, from, length);
    while (length-- > 0)
        target[length] = source[length];
    return to;
}

void *memset(void *to, int byte, size_t length)
{
    void *target = to;

    __asm__ volatile("rep stosb" : "+D"(target), "+c"(length) : "a"(byte) : "memory");
    return to;
}

int memcmp(const void *first, const void *second, size_t length)
{
    const volatile uint8_t *a = first, *b = second;

    for (; length > 0; length--, a++, b++) {
        int difference = *a - *b;

        if (difference != 0)
            return difference;
    }
    return 0;
}
