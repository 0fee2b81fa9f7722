/*
 * C++'s operators new where the short path (arch/x86_64/new.S) has no object at hand: the handler is asked as long as
 * there is one, then std::bad_alloc is thrown, or NULL returned by those that do not throw.
 */
#include <cstdlib>
#include <new>

#include "vm/heap.h"

extern "C" void *new_slow(std::size_t size);
extern "C" void *new_nothrow_slow(std::size_t size) noexcept;

template <typename Allocate> static void *allocate(Allocate attempt)
{
    for (;;) {
        if (void *block = attempt())
            return block;
        std::new_handler handler = std::get_new_handler();
        if (handler == nullptr)
            throw std::bad_alloc();
        handler();
    }
}

template <typename Allocate> static void *allocate_or_null(Allocate attempt) noexcept
{
    try {
        return allocate(attempt);
    } catch (const std::bad_alloc &) {
        return nullptr;
    }
}

extern "C" void *new_slow(std::size_t size)
{
    return allocate([=] { return heap_program_alloc(size); });
}

extern "C" void *new_nothrow_slow(std::size_t size) noexcept
{
    return allocate_or_null([=] { return heap_program_alloc(size); });
}

void *operator new(std::size_t size, std::align_val_t align)
{
    return allocate([=] { return heap_program_alloc_aligned(static_cast<std::size_t>(align), size); });
}

void *operator new[](std::size_t size, std::align_val_t align)
{
    return operator new(size, align);
}

void *operator new(std::size_t size, std::align_val_t align, const std::nothrow_t &) noexcept
{
    return allocate_or_null([=] { return heap_program_alloc_aligned(static_cast<std::size_t>(align), size); });
}

void *operator new[](std::size_t size, std::align_val_t align, const std::nothrow_t &none) noexcept
{
    return operator new(size, align, none);
}
