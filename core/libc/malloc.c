/*
 * malloc and its relatives on the project's own heap, in place of a C library's (images/allocators.py): what C and
 * POSIX say of arguments and errno, and the names that the libraries have beside. The short paths of malloc and free
 * are arch/x86_64/malloc.S, the work is done in vm/heap/program.c, or all of it in vm/heap/hardened.c
 * (core/libc/hardened.c includes this). Application code: built against the library's headers.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vm/heap.h"

#define PAGE 4096u
#define SMALL_MAX 65536u /* up to here malloc's short path may serve */

#ifdef HEAP_HARDENED
#define heap_program_alloc_aligned heap_hardened_alloc
#define heap_program_alloc_zeroed heap_hardened_alloc_zeroed
#define heap_program_size(block) heap_hardened_size(block)
#define heap_program heap_hardened
#endif

static void *or_error(void *block)
{
    if (__builtin_expect(block == NULL, 0)) {
        errno = ENOMEM;
        return NULL; /* not the block, which would have to be saved */
    }
    return block;
}

#ifdef HEAP_HARDENED
void *malloc(size_t size)
{
    return or_error(heap_hardened_alloc(16, size));
}

void free(void *block)
{
    heap_hardened_free(block);
}

static void *resize(void *block, size_t size)
{
    return or_error(heap_hardened_realloc(block, size));
}

void *__libc_malloc(size_t size) __attribute__((alias("malloc")));
void __libc_free(void *block) __attribute__((alias("free")));
void *__libc_realloc(void *block, size_t size) __attribute__((alias("realloc")));
#define realloc_slow realloc
#else
void *realloc_slow(void *block, size_t size);
void *malloc_slow(size_t size);

/* Where malloc goes when no list has an object. */
void *malloc_slow(size_t size)
{
    return or_error(heap_program_alloc(size));
}

static void *finish_realloc(void *block, void *old, size_t size)
{
    if (block == NULL)
        return or_error(NULL);
    memcpy(block, old, size);
    free(old);
    return block;
}

static void *resize(void *block, size_t size)
{
    return heap_program_realloc(block, size, finish_realloc);
}
#endif

void *calloc(size_t count, size_t size)
{
    void *block;

    if (__builtin_mul_overflow(count, size, &size))
        return or_error(NULL);
    if (size > SMALL_MAX)
        return or_error(heap_program_alloc_zeroed(size));
    block = malloc(size);
    return block ? memset(block, 0, size) : NULL;
}

/* And realloc, where the block is no object, or does not become one. */
void *realloc_slow(void *block, size_t size)
{
    if (block == NULL)
        return malloc(size);
    if (size == 0) {
        free(block);
        return NULL;
    }
    return resize(block, size);
}

void *reallocarray(void *block, size_t count, size_t size)
{
    return __builtin_mul_overflow(count, size, &size) ? or_error(NULL) : realloc(block, size);
}

void *memalign(size_t align, size_t size)
{
    if (align == 0 || (align & (align - 1)) != 0) {
        errno = EINVAL;
        return NULL;
    }
    return or_error(heap_program_alloc_aligned(align, size));
}

void *aligned_alloc(size_t align, size_t size)
{
    return memalign(align, size);
}

int posix_memalign(void **block, size_t align, size_t size)
{
    void *memory;

    if (align < sizeof(void *) || (align & (align - 1)) != 0)
        return EINVAL;
    memory = heap_program_alloc_aligned(align, size);
    if (memory == NULL)
        return ENOMEM;
    *block = memory;
    return 0;
}

void *valloc(size_t size)
{
    return memalign(PAGE, size);
}

void *pvalloc(size_t size)
{
    return size > SIZE_MAX - PAGE ? or_error(NULL) : memalign(PAGE, (size + PAGE - 1) & ~(size_t)(PAGE - 1));
}

size_t malloc_usable_size(void *block)
{
    return heap_program_size(block);
}

/* What the C libraries' own callers know them by, such as musl's newlocale. */
void *__libc_calloc(size_t count, size_t size) __attribute__((alias("calloc")));
/* And core/libc/inline.h. */
void *heap_called_calloc(size_t count, size_t size) __attribute__((alias("calloc")));

#ifdef __GLIBC__
/* What else is in the object file of glibc that malloc is in: a program that asks for it must not get both. */

int malloc_trim(size_t keep)
{
    struct heap_statistics before = heap_statistics(heap_program());

    (void)keep;
#ifndef HEAP_HARDENED
    heap_program_trim();
#endif
    return heap_statistics(heap_program()).held < before.held;
}

/* There is nothing to be set. */
int mallopt(int parameter, int value)
{
    (void)parameter, (void)value;
    return 1;
}

struct mallinfo2 mallinfo2(void)
{
    struct heap_statistics heap = heap_statistics(heap_program());

    return (struct mallinfo2){.arena = heap.held, .uordblks = heap.used, .fordblks = heap.held - heap.used};
}

struct mallinfo mallinfo(void)
{
    struct mallinfo2 info = mallinfo2();

    return (struct mallinfo){.arena = (int)info.arena, .uordblks = (int)info.uordblks, .fordblks = (int)info.fordblks};
}
#endif
