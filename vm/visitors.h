/* Faults without the lock of their domain: private to vm/. The theory is at the top of visitors.c. */
#ifndef VM_VISITORS_H
#define VM_VISITORS_H

#include "vm/segments.h"

#if QUIRE_THREADS

/* What a CPU does, and has done, in a domain while that is open: for itself, and when it has gone for whoever closes
 * the domain. A line for each. */
struct vm_visitor {
    bool here;                           /* atomic; the CPU's own, and the first */
    uint16_t run;                        /* pages that it has backed in order before `next`: vm/backing.c */
    uint32_t small, large;               /* pages of 4 KiB and 2 MiB that the domain does not count yet */
    uint32_t faults_small, faults_large; /* that the segment does not */
    struct vm_segment *segment;          /* where the last one was; NULL: nowhere yet */
    vaddr_t next;
    struct mmu_uncounted uncounted;
} __attribute__((aligned(64)));

/* Where the core serves a fault with the domain held, for another CPU than that whose domain it is: after so many it
 * is open. */
void visitors_note(struct address_space *domain);

/* True: the fault is served. False: the domain is not open, or the fault is none of those that are served so. */
bool visitors_serve(struct address_space *domain, vaddr_t va, vm_flags_t access, bool present);

/* With the lock of the domain, which is open: from here on it is held as any other. */
void visitors_leave(struct address_space *domain);

/* Gives back what the domain has for them. */
void visitors_destroy(struct address_space *domain);

static inline bool is_open(const struct address_space *domain)
{
    return __atomic_load_n(&domain->open, __ATOMIC_ACQUIRE);
}
#else
static inline void visitors_destroy(struct address_space *domain)
{
    (void)domain;
}
#endif
#endif
