/* Frames of zeros, which a CPU makes while it has nothing else to do. */
#include "vm/frames/trees.h"

#define CLEAN_2M 2u         /* frames of 2 MiB that an idle CPU keeps clean, of those that were used */
#define CLEAN_PART 8u       /* of what is free so much is kept clean by several CPUs */
#define CLEAN_PIECE 0x8000u /* bytes of them that it zeroes before it looks around */

static inline unsigned clean_2m_most(void)
{
    return frame_magazine_places(PAGE_2M) < CLEAN_2M ? frame_magazine_places(PAGE_2M) : CLEAN_2M;
}

/* A piece of 2 MiB; true while there is more to do. */
static bool clean_2m(struct frame_magazines *own)
{
    if (own->uncleaned == 0) {
        if (own->of[PAGE_2M][FRAME_CLEAN].count >= clean_2m_most() ||
            (own->cleaning = pop(PAGE_2M, FRAME_DIRTY)) == FRAME_NONE)
            return false;
        own->uncleaned = SIZE_2M;
    }
    own->uncleaned -= CLEAN_PIECE;
    frame_zero((char *)phys_to_virt(own->cleaning) + own->uncleaned, CLEAN_PIECE);
    this_cpu(frame_counts).cleaned += CLEAN_PIECE;
    if (own->uncleaned == 0)
        frame_put_clean(own->cleaning, PAGE_2M);
    return true;
}

/* Single frames; false if there is nothing to do. */
static bool clean_4k(struct frame_magazines *own)
{
    const struct frame_magazine *dirty = &own->of[PAGE_4K][FRAME_DIRTY], *clean = &own->of[PAGE_4K][FRAME_CLEAN];
    unsigned done = 0;

    while (done < CLEAN_PIECE && clean->count < FRAME_MAGAZINE_MAX) {
        if (dirty->count == 0 && stored() >= REFILL)
            refill();
        if (dirty->count == 0)
            break;
        paddr_t frame = pop(PAGE_4K, FRAME_DIRTY);

        frame_zero(phys_to_virt(frame), VM_PAGE_SIZE);
        frame_put_clean(frame, PAGE_4K);
        done += VM_PAGE_SIZE;
    }
    this_cpu(frame_counts).cleaned += done;
    return done > 0;
}

#if QUIRE_THREADS

/* Frames of 4 KiB that are clean, or are becoming so. */
RACY static size_t clean_frames(void)
{
    size_t clean = 0;

    for (unsigned cpu = 0; cpu < cpus(); cpu++) {
        const struct frame_magazines *own = &cpu_variable(cpu, frame_magazines);

        clean += own->of[PAGE_4K][FRAME_CLEAN].count;
        clean += (own->of[PAGE_2M][FRAME_CLEAN].count + (own->uncleaned > 0)) * (size_t)CHILD_FRAMES;
    }
    return clean;
}

/* A CPU that has got frames before, which are then its own trees', and as long as all have not made too many. */
static bool may_clean(void)
{
    bool has_tree = this_cpu(own_trees)[SINGLES] != NULL || this_cpu(own_trees)[LARGE] != NULL;

    return has_tree && clean_frames() < frames_free() / CLEAN_PART;
}

#else

static inline bool may_clean(void)
{
    return true;
}

#endif

COLD bool frames_clean(void)
{
    struct frame_magazines *own = &this_cpu(frame_magazines);

    if (!may_clean())
        return false;
    begin_moving(own); /* it may be interrupted */
    bool done = clean_4k(own) || clean_2m(own);

    end_moving(own);
    return done;
}
