/*
 * libFuzzer target for the address space: the input's bytes choose operations on an empty address space, each compared
 * with the model of tests/unit/model.h; in the end all frames have to be back.
 */
#include <stddef.h>
#include <stdint.h>

#include "tests/unit/fixture.h"
#include "tests/unit/model.h"

#define STEPS_MAX 100

struct address_space *space;

static struct address_space the_space;
static const uint8_t *bytes;
static size_t bytes_left;

/* One byte below the bound, two if the bound is large; zeros behind the end. */
static uint32_t next(uint32_t bound)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < (bound <= 256 ? 1 : 2) && bytes_left > 0; i++) {
        value = value << 8 | *bytes++;
        bytes_left--;
    }
    return value % bound;
}

/* What waits for an epoch: nobody may have been given it. */
static bool is_waiting(vaddr_t start, size_t size)
{
    struct vm_segment *following = vm_next(space, start);

    return mmu_behind == &space->mmu && (!following || vm_start(following) >= start + size);
}

static size_t frames_kept(void)
{
    frames_drain();
    mmu_trim(&space->mmu);
    return frames_stats().free + vm_bookkeeping_frames(space);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const struct frame_range ram[] = {{MIB, MIB + MODEL_RAM}};

    (void)argc, (void)argv;
    fake_ram(ram, ARRAY_LENGTH(ram));
    fake_allow_write_execute();
    space = &the_space;
    if (frames_init(ram, ARRAY_LENGTH(ram)) || vm_space_init(space, 0, 0))
        fake_violation("no address space to work on");
    vm_space_use(space);
    fake_use_tables(the_space.mmu.root);
    fake_on_fault(vm_handle_fault);
    mmu_set_strict(false);
    fake_tlb_excuse(is_waiting);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t before = frames_kept();

    bytes = data;
    bytes_left = size;
    model_reset();
    for (size_t step = 0; bytes_left > 0 && step < STEPS_MAX; step++)
        model_step(next);
    model_check();
    model_check_contents();
    model_clear();
    if (fake_tlb_stale())
        fake_violation("%s", fake_tlb_stale());
    if (frames_kept() != before)
        fake_violation("%zu frames, were %zu", frames_kept(), before);
    return 0;
}
