/*
 * Which memory a program may name to the core. Program and core share one address space and ring 0, so the page tables
 * do not tell the program's memory from the core's. The lower half is the program's: what is mapped there it may name.
 * In the upper half these are the program's:
 *
 *     the image     all but the core's data (image.ld.S gathers it) and what lies behind the symbols: boot stack, first
 *                   page tables. Text and constants are the core's as well, but nobody can write to them.
 *     map of RAM    the spans of the heap, which are segments (vm/heap.c)
 *
 * All else there is E_FAULT to a system call, as the kernel's half is on Linux.
 */
#include "arch/x86_64/user.h"
#include "arch/x86_64/arch.h"
#include "arch/x86_64/layout.h"
#include "core/cpu.h"
#include "core/percpu.h"
#include "vm/space.h"

extern char __core_data_start[], __core_data_end[], __symbols_end[];

PERCPU unsigned user_check_suspended;

void user_check_suspend(void)
{
    this_cpu(user_check_suspended)++;
}

void user_check_resume(void)
{
    this_cpu(user_check_suspended)--;
}

static uintptr_t image_end(uintptr_t address)
{
    if (address < (uintptr_t)__core_data_start)
        return (uintptr_t)__core_data_start;
    return address >= (uintptr_t)__core_data_end && address < (uintptr_t)__symbols_end ? (uintptr_t)__symbols_end : 0;
}

/* Where the spans end that hold the addresses from this one on, at least as far as `end`; 0 if none does. */
static uintptr_t spans_end(uintptr_t address, uintptr_t end)
{
    SPACE_HOLD(vm_space());
    struct vm_segment *segment = vm_find(vm_space(), address);
    uintptr_t found = 0;

    while (segment != NULL && vm_driver_of(segment) == &vm_heap) {
        found = vm_start(segment) + vm_size(segment);
        if (found >= end)
            break;
        segment = vm_find(vm_space(), found);
    }
    return found;
}

struct exchange {
    uint32_t *user, *expected, value;
};

static error_t compare_exchange(void *argument)
{
    const struct exchange *exchange = argument;

    __atomic_compare_exchange_n(exchange->user, exchange->expected, exchange->value, false, __ATOMIC_SEQ_CST,
                                __ATOMIC_SEQ_CST);
    return E_SUCCESS;
}

error_t user_compare_exchange(uint32_t *user, uint32_t *expected, uint32_t value)
{
    struct exchange exchange = {user, expected, value};

    if (!is_aligned((uintptr_t)user, sizeof(*user)) || user_room((uintptr_t)user, sizeof(*user)) != sizeof(*user))
        return E_FAULT;
    return user_try(compare_exchange, &exchange);
}

size_t user_room(uintptr_t address, size_t length)
{
    uintptr_t end;

    if (address < LOW_HALF_END || this_cpu(user_check_suspended) > 0)
        return length;
    if (address >= IMAGE_BASE)
        end = image_end(address);
    else if (address >= PHYSMAP_BASE && address < PHYSMAP_BASE + PHYSMAP_SIZE && vm_space() != NULL)
        end = spans_end(address, address + length < address ? UINTPTR_MAX : address + length);
    else
        end = 0;
    return end <= address ? 0 : length < end - address ? length : end - address;
}
