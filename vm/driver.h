/*
 * For authors of segment drivers, an application's included: the segment as its driver sees it, and the helpers that
 * reserve addresses and map frames. docs/segment-driver.md is the guide; vm/guard.c is the smallest driver.
 */
#ifndef VM_DRIVER_H
#define VM_DRIVER_H

#include "vm/vm.h"

C_DECLARATIONS_BEGIN

/* [start, start + size) of one address space. The core owns every field but `own`; a driver that says
 * VM_DRIVER_GENERAL_REGISTERS counts the faults that it serves without vm_segment_back, for others the core does. */
struct vm_segment {
    vaddr_t start;
    size_t size;
    const struct vm_segment_driver *driver;
    vm_flags_t flags;            /* VM_*; protection may change, the rest is for life */
    uint16_t largest;            /* enum page_size: what flags and policy allowed when it was made */
    uint16_t served;             /* faults that its driver waits in (VM_DRIVER_WAITS), and VM_SERVED_FREED */
    uint32_t magic;              /* VM_SEGMENT_ALIVE while alive: catches dead and foreign pointers */
    bool mapped;                 /* something may be mapped; cleared when all has been unmapped */
    uint8_t slot_order;          /* where a slot begins: from 1 on, by the size of slots; 0: elsewhere */
    uint16_t run;                /* pages that were backed in order before `next` (vm/backing.c) */
    vaddr_t next;                /* where a touch in order comes */
    struct vm_segment *child[2]; /* tree of the slot, vm/segments.c */
    union vm_slot *slot;
    union {
        void *own;        /* the driver's */
        paddr_t physical; /* drivers of vm_alloc_at: where the window starts */
    };
    uint64_t origin; /* equal for pieces that the core cut from one segment: they may be merged again */
    uint64_t faults[PAGE_SIZES], faults_refused, fallbacks;
};

#define VM_SEGMENT_ALIVE 0x51534547u

/* To be freed when the last fault is served. */
#define VM_SERVED_FREED 0x8000u

/*
 * Reserves addresses and makes a segment there, linked and empty. With VM_ANYWHERE the core picks the start of a slot:
 * an aligned power-of-two range with headroom to grow in. With an address, exactly there. Segment or encoded error
 * (E_NOMEM: taken, outside of the address space, or no frame for the bookkeeping).
 */
struct vm_segment *vm_segment_create(struct address_space *, const struct vm_segment_driver *, vaddr_t, size_t,
                                     vm_flags_t);

/* Gives addresses and structure back. The driver has unmapped everything before. */
void vm_segment_destroy(struct address_space *, struct vm_segment *);

/* Changes the reserved size; E_NOMEM if the addresses behind are taken. Shrinking: the driver unmapped the tail. */
error_t vm_segment_set_size(struct address_space *, struct vm_segment *, size_t);

/* Maps one page of the segment at va (aligned to the page, inside) with the segment's protection. The frame
 * stays the driver's. E_NOMEM: no table frame; E_EXIST: something is mapped there. */
error_t vm_segment_map(struct address_space *, struct vm_segment *, vaddr_t va, paddr_t frame, enum page_size);

/* Unmaps [va, va + size) of the segment; with release, frames go back to the frame allocator. */
void vm_segment_unmap(struct address_space *, struct vm_segment *, vaddr_t va, size_t size, bool release);

/* Backs the page that holds va with the largest page that policy, alignment and frames allow, zeroed unless VM_NOZERO,
 * and counts the fault. E_NOMEM, E_EXIST. */
error_t vm_segment_back(struct address_space *, struct vm_segment *, vaddr_t va);

/* Backs all of [va, va + size), of which nothing is mapped, in the same way. E_NOMEM: nothing is mapped afterwards. */
error_t vm_segment_populate(struct address_space *, struct vm_segment *, vaddr_t va, size_t size);

/* Ready-made operations for drivers that own the frames they map and keep nothing private per page. */
void vm_segment_free_owned(struct address_space *, struct vm_segment *);
/* Backs what is touched, and what comes behind it if touches come in order: fresh memory for who asks for no more. */
error_t vm_segment_fault_owned(struct address_space *, struct vm_segment *);
error_t vm_segment_resize_owned(struct address_space *, struct vm_segment *, size_t);
error_t vm_segment_protect_mapped(struct address_space *, struct vm_segment *, vm_flags_t);
error_t vm_segment_split_nothing(struct address_space *, struct vm_segment *first, struct vm_segment *second);
error_t vm_segment_advise_owned(struct address_space *, struct vm_segment *, vaddr_t va, size_t size, int advice);

/* A frame of 4 KiB for a driver, or a large one of 2 MiB, of undefined contents: FRAME_NONE when out. A large one may
 * be put back in single frames. Many of 4 KiB at once: the number of those that there are. */
paddr_t vm_frame_get(void);
void vm_frame_put(paddr_t);
paddr_t vm_frame_get_large(void);
void vm_frame_put_large(paddr_t);
unsigned vm_frames_get(paddr_t *frames, unsigned count);
void vm_frames_put(const paddr_t *frames, unsigned count);
/* The memory of a frame, for as long as the driver holds it. */
void *vm_frame_memory(paddr_t);

/* The largest page the segment may be backed with (flags, else the image's policy, else what the CPU has). */
enum page_size vm_segment_largest_page(const struct vm_segment *);

C_DECLARATIONS_END

#endif
