#include "arch/x86_64/tsc.h"

#include "arch/x86_64/arch.h"

#define ROUNDS_LEAST 3u
#define TICKS_MOST 4000000u            /* after which no further round is begun: a millisecond or some more */
#define TICKS_WAIT ((uint64_t)1 << 35) /* as long as a host may take a CPU away */

/* Not before what comes before, nor behind what follows. */
static uint64_t read_in_order(void)
{
    uint64_t tsc;

    __asm__ volatile("mfence; lfence" : : : "memory");
    tsc = tsc_read();
    __asm__ volatile("lfence" : : : "memory");
    return tsc;
}

static bool ask(struct tsc_channel *channel, int64_t offset, struct tsc_sample *sample)
{
    uint32_t number = channel->asked + 1;

    sample->before = read_in_order() + (uint64_t)offset;
    __atomic_store_n(&channel->asked, number, __ATOMIC_RELEASE);
    while (__atomic_load_n(&channel->answered, __ATOMIC_ACQUIRE) != number) {
        if (__atomic_load_n(&channel->closed, __ATOMIC_RELAXED))
            return false;
        cpu_pause();
    }
    sample->after = read_in_order() + (uint64_t)offset;
    sample->there = channel->there;
    return true;
}

size_t tsc_ask(struct tsc_channel *channel, int64_t offset, struct tsc_sample *samples)
{
    uint64_t begun = tsc_read();
    size_t count = 0;

    while (count < TSC_ROUNDS && (count < ROUNDS_LEAST || tsc_read() - begun < TICKS_MOST) &&
           ask(channel, offset, &samples[count]))
        count++;
    return count;
}

void tsc_answer(struct tsc_channel *channel)
{
    uint64_t begun = tsc_read();

    while (!__atomic_load_n(&channel->done, __ATOMIC_ACQUIRE) && tsc_read() - begun < TICKS_WAIT) {
        uint32_t asked = __atomic_load_n(&channel->asked, __ATOMIC_ACQUIRE);

        if (asked == channel->answered) {
            cpu_pause();
            continue;
        }
        channel->there = read_in_order();
        __atomic_store_n(&channel->answered, asked, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&channel->closed, 1, __ATOMIC_RELEASE);
}

void tsc_done(struct tsc_channel *channel)
{
    __atomic_store_n(&channel->done, 1, __ATOMIC_RELEASE);
}

bool tsc_agree(const struct tsc_sample *samples, size_t count, int64_t *offset)
{
    int64_t low = INT64_MIN, high = INT64_MAX;

    for (size_t i = 0; i < count; i++) {
        int64_t least = (int64_t)(samples[i].there - samples[i].after);
        int64_t most = (int64_t)(samples[i].there - samples[i].before);

        low = least > low ? least : low;
        high = most < high ? most : high;
    }
    *offset = count > 0 ? low + (high - low) / 2 : 0;
    return count > 0 && low <= 0 && high >= 0;
}
