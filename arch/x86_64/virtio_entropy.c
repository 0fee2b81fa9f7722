/*
 * Random numbers from virtio's entropy device (5.4), for CPUs that have no generator: eight bytes at a time, by whoever
 * comes first; who comes meanwhile has none. A device that lets wait for long is given up.
 */
#include "arch/x86_64/virtio.h"

#define PATIENCE (1ull << 30) /* time stamps: 1 s at 1 GHz */

static struct virtio_queue queue;
static uint64_t buffer;

static bool open(void)
{
    struct virtio_device device;

    if (!virtio_open(VIRTIO_ENTROPY, &device) || !virtio_open_queue(&device, 0, &queue, DEVICE_VIRTIO_ENTROPY))
        return false;
    virtio_start(&device);
    return true;
}

static bool ask(uint64_t *value)
{
    uint64_t begun = tsc_read();
    uint32_t length;

    virtio_post(&queue, &buffer, sizeof buffer, true);
    while (!virtio_used(&queue, &length)) {
        if (tsc_read() - begun > PATIENCE)
            return false;
        cpu_pause();
    }
    *value = *(volatile uint64_t *)&buffer;
    return length == sizeof buffer;
}

bool virtio_random(uint64_t *value)
{
    static bool busy, given_up;

    if (given_up || __atomic_exchange_n(&busy, true, __ATOMIC_ACQUIRE))
        return false;
    bool good = (queue.doorbell || open()) && ask(value);

    given_up = !good;
    __atomic_store_n(&busy, false, __ATOMIC_RELEASE);
    return good;
}
