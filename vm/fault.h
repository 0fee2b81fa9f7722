/* Upcall contract: the page-fault trap of arch/ enters the VM core here (implemented by vm/fault.c). */
#ifndef VM_FAULT_H
#define VM_FAULT_H

#include "vm/vm.h"

/*
 * Serves a page fault at the address. access is one of VM_READ, VM_WRITE, VM_EXEC; present says that an entry was
 * there and forbade it. E_SUCCESS: run the instruction again. Otherwise nothing changed and the error says why:
 * E_FAULT (no segment, or never backed), E_ACCES, E_NOMEM, E_RANGE (behind the end of a mapped object: SIGBUS where
 * Linux has signals; the others are SIGSEGV). Runs with interrupts off on the fault's own stack.
 */
error_t vm_handle_fault(vaddr_t address, vm_flags_t access, bool present);

/* Asked before a fault where no segment is gets E_FAULT; it may make one there: E_SUCCESS means that it did. NULL:
 * nobody is asked. */
extern error_t (*vm_fault_outside)(struct address_space *, vaddr_t);

#endif
