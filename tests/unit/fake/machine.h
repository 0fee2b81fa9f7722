/*
 * The simulated machine's half of arch/x86_64/machine.h: the same names, over RAM that is a mapping of this process
 * and a TLB that is an array. Stricter than the real one: an address outside of RAM ends the test.
 * tests/unit/fake/fake.h is what the tests themselves use.
 */
#ifndef MACHINE_H
#define MACHINE_H

#include "arch/x86_64/layout.h"
#include "core/base/types.h"
#include "fiber.h"

/* Where simulated RAM and the tables of the heap are in this process: away from what the host and the sanitizers use.
 * ThreadSanitizer has no shadow for most of the address space: below 512 GiB it has. */
#undef PHYSMAP_BASE
#undef PHYSMAP_SIZE
#undef HEAP_CLASS_TABLE
#undef HEAP_SPAN_TABLE
/* Of simulated RAM: 32 MiB of the one mapping for each CPU. */
#define HEAP_CLASS_TABLE_OF(cpu) (HEAP_CLASS_TABLE + (cpu)*LAYOUT_ADDRESS(0x2000000))
#define PHYSMAP_SIZE LAYOUT_ADDRESS(0x0000001000000000)
#if __has_feature(thread_sanitizer)
#define PHYSMAP_BASE LAYOUT_ADDRESS(0x0000001000000000)
#define HEAP_CLASS_TABLE LAYOUT_ADDRESS(0x0000002000000000)
#define HEAP_SPAN_TABLE LAYOUT_ADDRESS(0x0000003000000000)
#else
#define PHYSMAP_BASE LAYOUT_ADDRESS(0x0000500000000000)
#define HEAP_CLASS_TABLE LAYOUT_ADDRESS(0x0000520000000000)
#define HEAP_SPAN_TABLE LAYOUT_ADDRESS(0x0000530000000000)
#endif

void *phys_to_virt(paddr_t physical);
paddr_t virt_to_phys(const void *mapped_ram);

/* Of the CPU that the running thread of the host plays (fake_cpu_begin of fake.h); CPU 0 has the linked block itself.
 */
extern _Thread_local uintptr_t fake_percpu_offset;
extern char fake_percpu_memory; /* stands for it, where the compiler would take its address once */
static inline uintptr_t percpu_offset(void)
{
    uintptr_t offset;

    /* Read anew behind whatever may have changed memory: a thread of the core that waits may go on on another CPU,
     * which is another thread of the host. */
    __asm__("movq %%fs:fake_percpu_offset@tpoff, %0" : "=r"(offset) : "m"(fake_percpu_memory));
    return offset;
}

/* A section that the host's linker bounds by name. */
#define PERCPU __attribute__((section("percpu"), aligned(8)))

static inline void machine_back_stack(size_t bytes)
{
    (void)bytes;
}

void machine_flush_page(vaddr_t address);
void machine_flush_all(void);
void machine_zero_pages(void *start, size_t size);
const uint64_t *machine_skip_zeros(const uint64_t *words, size_t count);

/* arch/x86_64/state.h */
struct machine_state {
    _Alignas(64) unsigned char area[2560];
};
void machine_enter_program_code(struct machine_state *interrupted);
void machine_leave_program_code(const struct machine_state *interrupted);

/* Stacks of the test (contexts.c). */
struct machine_context {
    struct fiber fiber;
};

#include "arch/x86_64/leaf.h"

#endif
