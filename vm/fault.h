/* Upcall contract: the page-fault trap of arch/ enters the VM core here (implemented by vm/fault.c). */
#ifndef VM_FAULT_H
#define VM_FAULT_H

#include "vm/vm.h"

/*
 * Serves a page fault at the address. access is one of VM_READ, VM_WRITE, VM_EXEC; present says that an entry was
 * there and forbade it. E_SUCCESS: run the instruction again. Otherwise nothing changed and the error says why:
 * E_FAULT (no segment, or never backed), E_ACCES, E_NOMEM, E_RANGE (behind the end of a mapped object: SIGBUS where
 * Linux has signals; the others are SIGSEGV), FAULT_WAITS. Runs with interrupts off on the fault's own stack.
 */
error_t vm_handle_fault(vaddr_t address, vm_flags_t access, bool present);

/* Inside of vm/: nothing was done: it needs frames of zeros (vm/segments.h), which are to be had without the lock. */
#define FAULT_NEEDS_ZEROS ((error_t)-3)

#if QUIRE_THREADS
/* Nothing was done: the driver may wait, and vm_wait_fault calls it. */
#define FAULT_WAITS ((error_t)-2)

/* Serves a fault for which vm_handle_fault answered FAULT_WAITS, and returns what that would. On the stack of the
 * running thread, without locks, it may be left for another one meanwhile; elsewhere the CPU waits with the driver. */
error_t vm_wait_fault(vaddr_t address, vm_flags_t access, bool present);

/* What the fault is whose driver runs on this CPU, or NULL: goes with the thread that is left. PERCPU. */
extern const struct vm_fault_info *fault_record;
#endif

/* Asked before a fault where no segment is gets E_FAULT; it may make one there: E_SUCCESS means that it did. NULL:
 * nobody is asked. */
extern error_t (*vm_fault_outside)(struct address_space *, vaddr_t);

#endif
