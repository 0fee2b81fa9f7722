/*
 * What the magazines of other CPUs hold.
 *
 * A frame is refused only if there is none anywhere: before, all CPUs are asked for what their magazines hold, by one
 * CPU at a time. They chain their frames, without a lock, as they may be asked at any time; who is in the middle of
 * moving some is asked again.
 */
#include "vm/frames/internal.h"

/* What CPUs are asked for: their frames come as a chain, each of which says which is the next and how large it is. */
struct draining {
    bool large;    /* those of 2 MiB alone */
    uint64_t busy; /* CPUs that are moving frames just now */
    paddr_t first; /* FRAME_NONE: the end */
};

struct link {
    paddr_t next;
    enum page_size size;
};

static void chain_push(paddr_t *first, paddr_t frame, enum page_size size)
{
    struct link *link = phys_to_virt(frame);

    link->size = size;
    link->next = __atomic_load_n(first, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(first, &link->next, frame, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        ;
}

/* On the CPU that is asked. */
COLD static void give_frames(void *argument)
{
    struct draining *draining = argument;
    struct frame_magazines *own = &this_cpu(frame_magazines);

    if (own->moving > 0 || cpu_is_inside_core()) {
        __atomic_fetch_or(&draining->busy, 1ull << cpu_number(), __ATOMIC_RELAXED);
        return;
    }
    for (unsigned i = draining->large ? FRAME_STATES : 0; i < 2 * FRAME_STATES; i++) {
        enum page_size size = i < FRAME_STATES ? PAGE_4K : PAGE_2M;
        struct frame_magazine *magazine = &own->of[size][i % FRAME_STATES];

        while (magazine->count > 0)
            chain_push(&draining->first, magazine->frames[--magazine->count], size);
    }
    if (own->uncleaned > 0)
        chain_push(&draining->first, own->cleaning, PAGE_2M);
    own->uncleaned = 0;
}

/* CPUs besides this one that have frames, or are moving some. */
RACY COLD static uint64_t cpus_with_frames(bool large)
{
    uint64_t mask = 0;

    for (unsigned cpu = 0; cpu < cpus(); cpu++) {
        const struct frame_magazines *other = &cpu_variable(cpu, frame_magazines);

        if (cpu != cpu_number() && (magazines_free(other) >= (large ? CHILD_FRAMES : 1) || other->moving > 0))
            mask |= 1ull << cpu;
    }
    return mask;
}

static struct spinlock_draining draining_lock;

/* One at a time, for what is on its way from one CPU nobody else finds: who waited here looks after that. */
COLD bool drain_others(bool large)
{
    if (cpus() == 1)
        return false;
    back_stack();
    spin_lock(&draining_lock);
    struct draining draining = {.large = large, .busy = cpus_with_frames(large), .first = FRAME_NONE};

    while (draining.busy != 0)
        cpu_call(__atomic_exchange_n(&draining.busy, 0, __ATOMIC_RELAXED), give_frames, &draining);
    while (draining.first != FRAME_NONE) {
        paddr_t frame = draining.first;
        struct link link = *(struct link *)phys_to_virt(frame);

        draining.first = link.next;
        if (link.size == PAGE_4K)
            put_singles(&frame, 1);
        else
            put_children(frame >> CHILD_SHIFT, 1);
    }
    spin_unlock(&draining_lock);
    return true;
}
