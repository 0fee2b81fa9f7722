/*
 * malloc, calloc and C++'s operators new and delete of constant sizes, without a call. Every source in C and C++ of an
 * image with the project's own heap is compiled with this in front (images/graph.py; `inline = false` in app.toml
 * leaves it out), so it includes nothing of a C library's, whose headers look at macros that the source defines first.
 *
 * These are the inline definitions of GNU C (gnu_inline), as those of glibc's _FORTIFY_SOURCE are: they are used where
 * a call stands and never emitted; addresses are those of the functions, and declarations agree with any library's.
 * What is called has names of its own (arch/x86_64/malloc.S, new.S): those of malloc itself would be these definitions
 * again, and a program with a malloc of its own is told by the linker instead of having two.
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
void *heap_called_malloc(__SIZE_TYPE__ __size) __HEAP_NOTHROW __attribute__((__malloc__, __alloc_size__(1)));

__HEAP_REPLACE void *malloc(__SIZE_TYPE__ __size) __HEAP_NOTHROW
{
    void *__block;

    if (__heap_is_known(__size))
        __HEAP_TAKE(__block, __size, __none);
    else
        __HEAP_TAKE_ANY(__block, __size, __none);
    return __block;
__none:
    return heap_called_malloc(__size);
}

#ifndef free
void heap_called_free(void *__block) __HEAP_NOTHROW;

__HEAP_REPLACE void free(void *__block) __HEAP_NOTHROW
{
    __HEAP_FREE(__block, __none);
    return;
__none:
    heap_called_free(__block);
}
#endif

#ifndef calloc
void *heap_called_calloc(__SIZE_TYPE__ __count, __SIZE_TYPE__ __size) __HEAP_NOTHROW
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
    return heap_called_calloc(__count, __size);
}
#endif
#endif

#ifdef __cplusplus
}

extern "C" {
void *heap_called_new(__SIZE_TYPE__ __size) __attribute__((__alloc_size__(1)));
void *heap_called_new_array(__SIZE_TYPE__ __size) __attribute__((__alloc_size__(1)));
void heap_called_delete(void *__block) __HEAP_NOTHROW;
void heap_called_delete_array(void *__block) __HEAP_NOTHROW;
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

__HEAP_NEW(operator new, heap_called_new)
__HEAP_NEW(operator new[], heap_called_new_array)
__HEAP_DELETE(operator delete, heap_called_delete)
__HEAP_DELETE(operator delete[], heap_called_delete_array)
#endif

#endif
