/*
 * malloc, calloc and C++'s operators new and delete of constant sizes, without a call. Every source in C and C++ of an
 * image with the project's own heap is compiled with this in front (images/graph.py; `inline = false` in app.toml
 * leaves it out), so it includes nothing of a C library's, whose headers look at macros that the source defines first.
 *
 * These are the inline definitions of GNU C (gnu_inline), as those of glibc's _FORTIFY_SOURCE are: they are used where
 * a call stands and never emitted. Addresses are those of the functions, declarations agree with any library's, and
 * what defines malloc itself may; but such a program is not linked with the project's heap, and the symbol that the
 * windows name is then missing.
 */
#if !defined(CORE_LIBC_INLINE_H) && defined(__OPTIMIZE__) && !defined(__ASSEMBLER__)
#define CORE_LIBC_INLINE_H
#include "vm/malloc_inline.h"
#pragma GCC system_header /* behind: what it includes would be left out of dependencies */

#define __HEAP_REPLACE extern __inline__ __attribute__((__gnu_inline__, __always_inline__, __artificial__))

#ifdef __cplusplus
#define __HEAP_NOTHROW noexcept(true)
extern "C" {
#else
#define __HEAP_NOTHROW
#endif

#ifndef malloc
void *__heap_malloc_called(__SIZE_TYPE__ __size) __HEAP_NOTHROW __asm__("malloc")
    __attribute__((__malloc__, __alloc_size__(1)));

__HEAP_REPLACE void *malloc(__SIZE_TYPE__ __size) __HEAP_NOTHROW
{
    void *__block;

    if (__heap_is_known(__size))
        __HEAP_TAKE(__block, __size, __none);
    else
        __HEAP_TAKE_ANY(__block, __size, __none);
    return __block;
__none:
    return __heap_malloc_called(__size);
}

#ifndef free
void __heap_free_called(void *__block) __HEAP_NOTHROW __asm__("free");

__HEAP_REPLACE void free(void *__block) __HEAP_NOTHROW
{
    __HEAP_FREE(__block, __none);
    return;
__none:
    __heap_free_called(__block);
}
#endif

#ifndef calloc
void *__heap_calloc_called(__SIZE_TYPE__ __count, __SIZE_TYPE__ __size) __HEAP_NOTHROW __asm__("calloc")
    __attribute__((__malloc__, __alloc_size__(1, 2)));

__HEAP_REPLACE void *calloc(__SIZE_TYPE__ __count, __SIZE_TYPE__ __size) __HEAP_NOTHROW
{
    if (__builtin_constant_p(__count) && __count <= (__SIZE_TYPE__)__HEAP_INLINE_MAX && __heap_is_known(__size) &&
        __heap_is_known(__count * __size)) {
        void *__block;

        __HEAP_TAKE(__block, __count * __size, __none);
        return __builtin_memset(__block, 0, __count * __size);
    }
__none:
    return __heap_calloc_called(__count, __size);
}
#endif
#endif

#ifdef __cplusplus
}

/* Other names of the operators (arch/x86_64/new.S): by their own, clang takes the inline definition. */
extern "C" {
void *heap_operator_new(__SIZE_TYPE__ __size) __attribute__((__alloc_size__(1)));
void *heap_operator_new_array(__SIZE_TYPE__ __size) __attribute__((__alloc_size__(1)));
void heap_operator_delete(void *__block) __HEAP_NOTHROW;
void heap_operator_delete_array(void *__block) __HEAP_NOTHROW;
}

#define __HEAP_NEW(operation, called)                                                                                  \
    __HEAP_REPLACE void *operation(__SIZE_TYPE__ __size)                                                               \
    {                                                                                                                  \
        if (__heap_is_known(__size)) {                                                                                 \
            void *__block;                                                                                             \
                                                                                                                       \
            __HEAP_TAKE(__block, __size, __none);                                                                      \
            return __block;                                                                                            \
        }                                                                                                              \
    __none:                                                                                                            \
        return called(__size);                                                                                         \
    }
#define __HEAP_DELETE(operation, called)                                                                               \
    __HEAP_REPLACE void operation(void *__block, __SIZE_TYPE__ __size) __HEAP_NOTHROW                                  \
    {                                                                                                                  \
        if (__heap_is_known(__size)) {                                                                                 \
            __HEAP_GIVE(__block, __size, __none);                                                                      \
            return;                                                                                                    \
        }                                                                                                              \
    __none:                                                                                                            \
        called(__block);                                                                                               \
    }

__HEAP_NEW(operator new, heap_operator_new)
__HEAP_NEW(operator new[], heap_operator_new_array)
__HEAP_DELETE(operator delete, heap_operator_delete)
__HEAP_DELETE(operator delete[], heap_operator_delete_array)
#endif

#endif
