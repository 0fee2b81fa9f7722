/*
 * A console without registers: bytes go through a buffer of the image to the device and come back through another, as a
 * device reaches physical memory only. A device that keeps the buffer for some seconds is given up.
 */
#include "arch/x86_64/virtio_console.h"

#include "arch/x86_64/virtio.h"
#include "core/base/string.h"

#define QUEUE_IN 0
#define QUEUE_OUT 1
#define BUFFER 256

#define PATIENCE (1ull << 34) /* time stamps: 17 s at 1 GHz, 3.4 s at 5 GHz */

static struct virtio_queue in, out;
static char in_buffer[BUFFER], out_buffer[BUFFER];
static uint32_t taken; /* of what came in */
static bool given_up;

bool virtio_console_find(void)
{
    struct virtio_device device;

    if (!virtio_open(VIRTIO_CONSOLE, &device) || !virtio_open_queue(&device, QUEUE_OUT, &out, DEVICE_VIRTIO_CONSOLE) ||
        !virtio_open_queue(&device, QUEUE_IN, &in, DEVICE_VIRTIO_INPUT))
        return false;
    virtio_start(&device);
    virtio_post(&in, in_buffer, BUFFER, true);
    return true;
}

static bool wait_for_output(void)
{
    uint64_t begun = tsc_read();
    uint32_t length;

    while (!virtio_used(&out, &length)) {
        if (tsc_read() - begun > PATIENCE)
            return false;
        cpu_pause();
    }
    return true;
}

void virtio_console_write(const char *bytes, size_t length)
{
    while (length > 0 && !given_up) {
        uint32_t count = length < BUFFER ? (uint32_t)length : BUFFER;

        memcpy(out_buffer, bytes, count);
        virtio_post(&out, out_buffer, count, false);
        given_up = !wait_for_output();
        bytes += count;
        length -= count;
    }
}

size_t virtio_console_read(char *bytes, size_t length)
{
    uint32_t there;
    size_t count = 0;

    if (!virtio_used(&in, &there))
        return 0;
    while (count < length && taken < there)
        bytes[count++] = in_buffer[taken++];
    if (taken == there) {
        taken = 0;
        virtio_post(&in, in_buffer, BUFFER, true);
    }
    return count;
}
