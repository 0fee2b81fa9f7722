/*
 * The simulated machine as the tests see it: RAM, a CPU with a TLB that walks page tables by the book (Intel SDM
 * vol. 3, 4.5 and 4.10), and panics that can be expected. Its walker shares no code with arch/x86_64/mmu.c.
 *
 * Everything is fatal that hardware or the contracts forbid: physical addresses outside of RAM, reserved bits, user
 * pages, pages both writable and executable (unless allowed), zeroing that is not whole pages.
 */
#ifndef FAKE_H
#define FAKE_H

#include "core/base/error.h"
#include "core/base/types.h"
#include "machine.h"
#include "vm/frames.h"

#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)

/* What fresh RAM is full of, where it is at most FAKE_JUNK_MAX bytes: nobody may take it for zeros. */
#define FAKE_JUNK 0xa5
#define FAKE_JUNK_MAX (256 * MIB)

/* Puts RAM into the machine, once in a process: sorted, page aligned, below PHYSMAP_SIZE. What lies between is not
 * there. */
void fake_ram(const struct frame_range *ranges, size_t count);
bool fake_is_ram(paddr_t start, uint64_t size);
/* Bytes of RAM that anybody has touched so far (fresh RAM above FAKE_JUNK_MAX is untouched). */
size_t fake_ram_touched(void);
/* Calls of phys_to_virt so far: page-table code makes one for each table it enters, so this measures work. */
size_t fake_lookups(void);
/* Bytes zeroed through machine_zero_pages so far. */
size_t fake_zeroed(void);

/* Ends the test: what hardware or a contract forbids has happened. */
_Noreturn void fake_violation(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What CPUID says: 1 GiB pages and 40 physical address bits unless this is called. */
void fake_cpu_features(enum page_size largest, unsigned physical_bits);

/* One page as the walker finds it. */
struct fake_page {
    vaddr_t start;
    paddr_t frame;
    enum page_size size;
    bool writable, executable, global, accessed, dirty;
    vm_flags_t cache; /* VM_CACHE_*, by the PAT bits as Quire programs the PAT */
};

/* Walks the tables, checks every entry on the way, changes nothing. False: not present. */
bool fake_walk(paddr_t root, vaddr_t address, struct fake_page *page);
/* Pages both writable and executable are a violation unless this was called. */
void fake_allow_write_execute(void);

/* Loads the root: accesses go through these tables from now on; the TLB is empty. */
void fake_use_tables(paddr_t root);
/* Who serves page faults: vm_handle_fault, or a test's own. */
void fake_on_fault(error_t (*handler)(vaddr_t, vm_flags_t access, bool present));

/* Accesses by virtual address, as instructions do them: TLB, walk, fault, again. The error of the fault handler.
 * Addresses in the map of RAM go there directly. A fault that is served but repeats without end is a violation. */
error_t fake_read(vaddr_t address, void *to, size_t length);
error_t fake_write(vaddr_t address, const void *from, size_t length);
error_t fake_execute(vaddr_t address);
/* One access of the given kind to one byte; reads discard it, writes store it. */
error_t fake_touch(vaddr_t address, vm_flags_t access, uint8_t value);
size_t fake_faults(void); /* page faults taken so far */

/* NULL, or which translation or table a CPU still remembers although the tables say otherwise. Nothing is wrong with
 * addresses that are excused: with those of a table, if all in it are. NULL: none is. */
const char *fake_tlb_stale(void);
void fake_tlb_excuse(bool (*excused)(vaddr_t start, size_t size));

/* Saves and loads of extended state so far; a violation when they do not pair. */
size_t fake_extended_state_saves(void);

/*
 * Several CPUs (cpus.c). fake_cpus: from now on there are so many, at most 64; once. fake_cpus_run: each runs the
 * function on a thread of the host that plays it, until all have returned; the caller then is CPU 0 again. A CPU that
 * runs for long without cpu_relax calls fake_cpu_look, where a real one would be interrupted.
 */
void fake_cpus(unsigned count);
void fake_cpus_run(void (*function)(unsigned cpu, void *argument), void *argument);
void fake_cpu_look(void);
/* The caller plays this CPU from now on, which does not run in another thread: for several CPUs in a fixed order. */
void fake_cpu_be(unsigned cpu);
size_t fake_cpu_kicks(unsigned cpu);
/* Whether interrupts are on where the running CPU is, and it is in the handler of one that came in the core. */
void fake_cpu_interrupts(bool on, bool in_handler);
/* It was kicked, and has not taken that; fake_cpu_take_kick: the running one takes it. */
bool fake_cpu_is_kicked(unsigned cpu);
bool fake_cpu_take_kick(void);
/* What cpu_is_inside_core says on this CPU from now on. */
void fake_cpu_inside_core(bool inside);

/*
 * Threads of the core (contexts.c). fake_threads_run: CPU 0 calls the function as the first thread of the program,
 * which has called scheduler_begin with its structure, and the others run when the scheduler starts them, as
 * fake_cpus_run does; it returns some time after fake_threads_end, when every CPU is idle. fake_program: here the
 * program may be interrupted; fake_pin: where it is in a page fault.
 */
void fake_threads_run(void (*first)(void));
void fake_threads_end(void);
void fake_program(void);
void fake_pin(bool pinned);
/* For another machine (explore.h): the time at which the CPU wants to be interrupted, as cpu_set_alarm says; an
 * interrupt of it, and of the program if that runs; and nothing is known of before. */
uint64_t fake_alarm(unsigned cpu);
void fake_interrupt(bool program);
void fake_contexts_reset(void);

/* The text that kprintf has printed since the last call. */
const char *fake_console(void);

/*
 * True if the function panics; the message is then in fake_panic_text(). It runs in a child process, so that what it
 * breaks stays there.
 */
bool fake_panics(void (*function)(void *), void *argument);
const char *fake_panic_text(void);

#endif
