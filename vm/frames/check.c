/* What debug builds check whenever a frame is put, and how tests make gets fail. */
#include "vm/frames/internal.h"

#ifdef QUIRE_FAULT_INJECTION
PERCPU long frames_failing;

void frames_fail_nth(long nth)
{
    this_cpu(frames_failing) = nth + 1;
}

#endif

#ifdef QUIRE_DEBUG

#define POISON 0xdb
#define POISON_BYTES 64u /* at the beginning: enough to tell a dirty frame */

static bool is_zeros(paddr_t frame, size_t size)
{
    const uint64_t *words = phys_to_virt(frame);

    for (size_t i = 0; i < size / sizeof(words[0]); i++) {
        if (words[i] != 0)
            return false;
    }
    return true;
}

void check_is_out(paddr_t frame, size_t size)
{
    paddr_t last = frame + size - 1;
    size_t child = frame >> CHILD_SHIFT;

    CHECK(is_aligned(frame, size), "frame_put: %#llx is misaligned", (unsigned long long)frame);
    CHECK(range_is_ours(frame, last + 1) && !range_is_metadata(frame, last + 1), "frame_put: %#llx is not RAM of ours",
          (unsigned long long)frame);
    CHECK(!magazines_hold(&this_cpu(frame_magazines), frame, last + 1), "frame_put: %#llx is free already",
          (unsigned long long)frame);
    for (paddr_t at = frame; at < last; child++, at = (paddr_t)child << CHILD_SHIFT) {
        struct tree *tree = lock_tree(child);
        unsigned count = size < SIZE_2M ? (unsigned)(size >> VM_PAGE_SHIFT) : CHILD_FRAMES;
        bool out = *child_state(child) & BITS_VALID ? child_run_is(store.bits[child], frame_index(at), count, false)
                                                    : child_free(child) == 0;

        unlock_tree(tree);
        CHECK(out, "frame_put: %#llx is free already", (unsigned long long)at);
    }
}

void frame_check_put(paddr_t frame, enum page_size size, enum frame_state state)
{
    check_is_out(frame, page_bytes(size));
    if (state == FRAME_CLEAN)
        CHECK(is_zeros(frame, page_bytes(size)), "frame_put_clean: %#llx is dirty", (unsigned long long)frame);
    else if (size == PAGE_4K)
        memset(phys_to_virt(frame), POISON, POISON_BYTES);
}

/* A look takes a lock: while that is waited for the magazine is not to be emptied. */
void frames_check_filled(unsigned count)
{
    struct frame_magazines *own = &this_cpu(frame_magazines);
    const struct frame_magazine *dirty = &own->of[PAGE_4K][FRAME_DIRTY];

    begin_moving(own);
    for (unsigned i = 0; i < count; i++)
        frame_check_put(dirty->frames[dirty->count + i], PAGE_4K, FRAME_DIRTY);
    end_moving(own);
}

paddr_t frame_check_zeroed(paddr_t frame)
{
    CHECK(is_zeros(frame, POISON_BYTES), "frame_get_zeroed: %#llx is dirty", (unsigned long long)frame);
    return frame;
}

#endif
