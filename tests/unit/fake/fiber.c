#include "fiber.h"

#include <stdint.h>

#if __has_feature(thread_sanitizer)
#include <sanitizer/tsan_interface.h>
#endif
#if __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#endif

/* The registers that a function preserves, the stack of the one, the stack of the other. */
void fiber_swap(void **from, void *to);
void fiber_begin(void);
__asm__(".pushsection .text\n"
        "fiber_swap:\n"
        "    pushq %rbp\n    pushq %rbx\n    pushq %r12\n    pushq %r13\n    pushq %r14\n    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n    popq %r14\n    popq %r13\n    popq %r12\n    popq %rbx\n    popq %rbp\n"
        "    ret\n"
        "fiber_begin:\n"
        "    movq %r12, %rdi\n"
        "    call *%rbx\n"
        "    ud2\n"
        ".popsection");

struct begin { /* as fiber_swap pops it */
    uintptr_t r15, r14, r13, r12, rbx, rbp;
    uintptr_t address, end[4]; /* of frames; and alignment: 16 where a function is called */
};

void fiber_make(struct fiber *fiber, void *low, size_t size, void (*function)(void *), void *argument)
{
    struct begin *begin = (struct begin *)(((uintptr_t)low + size) & ~(uintptr_t)15) - 1;

    fiber_end(fiber);
#if __has_feature(address_sanitizer)
    __asan_unpoison_memory_region(low, size); /* what ran there may not have returned */
#endif
    *begin = (struct begin){.rbx = (uintptr_t)function, .r12 = (uintptr_t)argument, .address = (uintptr_t)fiber_begin};
    fiber->stack = begin;
#if __has_feature(thread_sanitizer)
    fiber->sanitizer = __tsan_create_fiber(0);
#endif
}

void fiber_end(struct fiber *fiber)
{
#if __has_feature(thread_sanitizer)
    if (fiber->sanitizer)
        __tsan_destroy_fiber(fiber->sanitizer);
#endif
    *fiber = (struct fiber){.stack = NULL};
}

__attribute__((no_sanitize("thread"))) void fiber_switch(struct fiber *from, struct fiber *to)
{
#if __has_feature(thread_sanitizer)
    from->sanitizer = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(to->sanitizer, 0);
#endif
    fiber_swap(&from->stack, to->stack);
}
