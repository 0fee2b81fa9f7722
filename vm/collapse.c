/* Small pages made one large page: what khugepaged does on Linux, here only when it is asked for (vm_collapse). */
#include "core/base/string.h"
#include "vm/frames.h"
#include "vm/segments.h"

/* What the small pages hold, and zeros between them. */
static void gather(struct address_space *space, vaddr_t block, void *to)
{
    for (size_t offset = 0; offset < page_bytes(PAGE_2M); offset += VM_PAGE_SIZE) {
        struct mmu_entry entry;

        if (mmu_query(&space->mmu, block + offset, &entry))
            memcpy((char *)to + offset, phys_to_virt(entry.frame), VM_PAGE_SIZE);
        else
            frame_zero((char *)to + offset, VM_PAGE_SIZE);
    }
}

static error_t collapse_block(struct address_space *space, struct vm_segment *segment, vaddr_t block)
{
    struct mmu_entry entry;

    if (mmu_query(&space->mmu, block, &entry) && entry.size != PAGE_4K)
        return E_SUCCESS;
    if (mmu_promote(&space->mmu, block)) /* the frames are those of a large page already */
        return E_SUCCESS;
    paddr_t frame = frame_get(PAGE_2M);

    if (frame == FRAME_NONE)
        return E_NOMEM;
    /* Nobody is to write to what was copied: who touches it waits for the lock. */
    if (other_cpus_run())
        mmu_protect(&space->mmu, block, page_bytes(PAGE_2M), 0);
    gather(space, block, phys_to_virt(frame));
    error_t error = E_SUCCESS;

    if (mmu_is_free(&space->mmu, block, PAGE_2M))
        error = vm_segment_map(space, segment, block, frame, PAGE_2M);
    else
        mmu_collapse(&space->mmu, block, frame, segment->flags);
    if (error)
        frame_put(frame, PAGE_2M);
    return error;
}

error_t vm_collapse(struct address_space *space, vaddr_t start, size_t size)
{
    VM_OPERATION_RANGE(space, start, size);
    struct vm_segment *segment = segment_find(space, start);
    vaddr_t block = align_up(start, page_bytes(PAGE_2M)), end = start + size;
    error_t error = E_SUCCESS;

    if (!segment || segment->driver != &vm_anon || (segment->flags & VM_PAGES) == VM_PAGES_4K ||
        end > segment_end(segment) ||
        align_up(segment->start, page_bytes(PAGE_2M)) + page_bytes(PAGE_2M) > segment_end(segment))
        return E_INVAL;
    for (; !error && block + page_bytes(PAGE_2M) <= end; block += page_bytes(PAGE_2M))
        error = collapse_block(space, segment, block);
    return error;
}
