/*
 * The integer types every part stands on, page sizes, and range arithmetic that cannot overflow silently.
 * Freestanding: usable from the core, from drivers of an application, and on the host.
 */
#ifndef CORE_BASE_TYPES_H
#define CORE_BASE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether the core is compiled for programs that create threads, and for several CPUs (images/graph.py). */
#ifndef QUIRE_THREADS
#define QUIRE_THREADS 0
#endif

/* Around the declarations of public headers: applications may be C++. */
#ifdef __cplusplus
#define C_DECLARATIONS_BEGIN extern "C" {
#define C_DECLARATIONS_END }
#else
#define C_DECLARATIONS_BEGIN
#define C_DECLARATIONS_END
#endif

typedef uintptr_t vaddr_t;   /* a virtual address */
typedef uint64_t paddr_t;    /* a physical address */
typedef uint32_t vm_flags_t; /* VM_* of vm/vm.h, or'ed */

#define FRAME_NONE (~(paddr_t)0) /* in place of a frame: there is none */

/* Page and frame sizes of x86-64 (Intel SDM vol. 3, 4.5). */
enum page_size { PAGE_4K, PAGE_2M, PAGE_1G, PAGE_SIZES };

#define VM_PAGE_SHIFT 12u
#define VM_PAGE_SIZE ((size_t)1 << VM_PAGE_SHIFT)
#define VM_PAGE_MASK (VM_PAGE_SIZE - 1)

/* log2 of the bytes of a page: 12, 21, 30. */
static inline unsigned page_shift(enum page_size size)
{
    return VM_PAGE_SHIFT + 9u * (unsigned)size;
}

static inline size_t page_bytes(enum page_size size)
{
    return (size_t)1 << page_shift(size);
}

static inline uint64_t align_down(uint64_t value, uint64_t power_of_two)
{
    return value & ~(power_of_two - 1);
}

/* Wraps to 0 when there is no such multiple below 2^64: check the input first. */
static inline uint64_t align_up(uint64_t value, uint64_t power_of_two)
{
    return (value + power_of_two - 1) & ~(power_of_two - 1);
}

static inline bool is_aligned(uint64_t value, uint64_t power_of_two)
{
    return (value & (power_of_two - 1)) == 0;
}

/* ceil(log2(value)); value > 0. */
static inline unsigned log2_ceil(uint64_t value)
{
    return value <= 1 ? 0 : 64u - (unsigned)__builtin_clzll(value - 1);
}

#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define CONTAINER_OF(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

#define LIKELY(condition) __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)
/* Runs once or seldom: small rather than fast, also in files where speed counts. */
#ifdef __clang__
#define COLD __attribute__((cold, minsize))
#else
#define COLD __attribute__((cold))
#endif
/* Reads what other CPUs may be changing, where any value that was there will do: no race for ThreadSanitizer. */
#define RACY __attribute__((no_sanitize("thread")))

#endif
