/*
 * The windows of arch/x86_64/malloc.h for sizes that the compiler knows, without a call: for vm/malloc.h, and for
 * core/libc/inline.h, which every source of an image is compiled with. So there is nothing here of a C library's, and
 * no name that a program may have.
 *
 * An interrupt inside of a window starts it again where it begins. The inputs are still there then, as the outputs are
 * other registers. A window that finds no object, or an address that is none of the map of RAM (where there was no
 * memory, a page serves as an object; and NULL), goes to a label of the caller's.
 */
#ifndef VM_MALLOC_INLINE_H
#define VM_MALLOC_INLINE_H
#pragma GCC system_header

#define __HEAP_INLINE static __inline__ __attribute__((__always_inline__, __unused__))
#define __HEAP_INLINE_MAX 1024
#define __HEAP_SLICE_SHIFT 12 /* that of vm/heap/memory.h */

/* True for sizes that have a window. */
#define __heap_is_known(size) (__builtin_constant_p(size) && (size)-1 < (__SIZE_TYPE__)__HEAP_INLINE_MAX)

/* The class of objects of the size, from 1 to __HEAP_INLINE_MAX: the rule of vm/heap/internal.h. */
__HEAP_INLINE __SIZE_TYPE__ __heap_class(__SIZE_TYPE__ size)
{
    int doubling = size <= 256 ? 0 : 56 - __builtin_clzl(size - 1);

    if (size <= 256)
        return (size + 15) / 16;
    return (__SIZE_TYPE__)(8 + 8 * doubling) +
           ((size - (128ul << doubling) + (16ul << doubling) - 1) >> (4 + doubling));
}

/* The entry goes with the function: when it is not used, or another object has it too. */
#define __HEAP_WINDOW_END                                                                                              \
    ".Lheap_window%=:\n\t"                                                                                             \
    "2:\n\t"                                                                                                           \
    ".pushsection .restarts, \"ao?\", @progbits, .Lheap_window%=\n\t"                                                  \
    ".balign 4\n\t"                                                                                                    \
    ".long 1b - ., 2b - .\n\t"                                                                                         \
    ".popsection"

/* block: a variable for an object of the size, which is not NULL: a caller's look at it is none; or nothing is done and
 * `none` is next. */
#define __HEAP_TAKE(block, size, none)                                                                                 \
    do {                                                                                                               \
        void *__next;                                                                                                  \
                                                                                                                       \
        __asm__ __volatile__ goto("1: movq %%gs:heap_lists + %c[at](%%rip), %[object]\n\t"                             \
                                  "testq %[object], %[object]\n\t"                                                     \
                                  "jz %l[" #none "]\n\t"                                                               \
                                  "movq (%[object]), %[next]\n\t"                                                      \
                                  "movq %[next], %%gs:heap_lists + %c[at](%%rip)\n" __HEAP_WINDOW_END                  \
                                  : [next] "=&r"(__next), [object] "=&r"(block)                                        \
                                  : [at] "i"(8 * __heap_class(size))                                                   \
                                  : "cc", "memory"                                                                     \
                                  : none);                                                                             \
        if (!(block))                                                                                                  \
            __builtin_unreachable();                                                                                   \
    } while (0)

/* The same for any size. */
#define __HEAP_TAKE_ANY(block, size, none)                                                                             \
    do {                                                                                                               \
        void *__next;                                                                                                  \
        __SIZE_TYPE__ __kind;                                                                                          \
                                                                                                                       \
        __asm__ __volatile__ goto("cmpq %[max], %[bytes]\n\t"                                                          \
                                  "ja %l[" #none "]\n\t"                                                               \
                                  "movzwl heap_small_classes(, %[bytes], 2), %k[kind]\n"                               \
                                  "1: movq %%gs:heap_lists(%[kind]), %[object]\n\t"                                    \
                                  "testq %[object], %[object]\n\t"                                                     \
                                  "jz %l[" #none "]\n\t"                                                               \
                                  "movq (%[object]), %[next]\n\t"                                                      \
                                  "movq %[next], %%gs:heap_lists(%[kind])\n" __HEAP_WINDOW_END                         \
                                  : [next] "=&r"(__next), [kind] "=&r"(__kind), [object] "=&r"(block)                  \
                                  : [bytes] "r"(size), [max] "i"(__HEAP_INLINE_MAX)                                    \
                                  : "cc", "memory"                                                                     \
                                  : none);                                                                             \
        if (!(block))                                                                                                  \
            __builtin_unreachable();                                                                                   \
    } while (0)

/* Frees the object, which was allocated with just this size, or nothing is done and `none` is next. */
#define __HEAP_GIVE(block, size, none)                                                                                 \
    do {                                                                                                               \
        void *__next;                                                                                                  \
                                                                                                                       \
        if (__builtin_expect((__INTPTR_TYPE__)(block) >= 0, 0))                                                        \
            goto none;                                                                                                 \
        __asm__ __volatile__("1: movq %%gs:heap_lists + %c[at](%%rip), %[next]\n\t"                                    \
                             "movq %[next], (%[object])\n\t"                                                           \
                             "movq %[object], %%gs:heap_lists + %c[at](%%rip)\n" __HEAP_WINDOW_END                     \
                             : [next] "=&r"(__next)                                                                    \
                             : [at] "i"(8 * __heap_class(size)), [object] "r"(block)                                   \
                             : "memory");                                                                              \
    } while (0)

/* Frees an object of whatever size, or nothing is done and `none` is next. */
#define __HEAP_FREE(block, none)                                                                                       \
    do {                                                                                                               \
        void *__next;                                                                                                  \
        __SIZE_TYPE__ __kind;                                                                                          \
                                                                                                                       \
        __asm__ __volatile__ goto("movq %[object], %[kind]\n\t"                                                        \
                                  "sarq %[shift], %[kind]\n\t"                                                         \
                                  "jns %l[" #none "]\n\t"                                                              \
                                  "movzwl %%gs:heap_class_table(, %[kind], 2), %k[kind]\n"                             \
                                  "1: movq %%gs:heap_lists(%[kind]), %[next]\n\t"                                      \
                                  "movq %[next], (%[object])\n\t"                                                      \
                                  "movq %[object], %%gs:heap_lists(%[kind])\n" __HEAP_WINDOW_END                       \
                                  : [next] "=&r"(__next), [kind] "=&r"(__kind)                                         \
                                  : [object] "r"(block), [shift] "i"(__HEAP_SLICE_SHIFT)                               \
                                  : "cc", "memory"                                                                     \
                                  : none);                                                                             \
    } while (0)

#endif
