/*
 * Devices by virtio 1.2 over PCI, without interrupts: the core posts one buffer to a queue and looks whether the device
 * has used it. Nothing is believed that a device says: a queue whose answer is impossible is given up.
 */
#ifndef ARCH_VIRTIO_H
#define ARCH_VIRTIO_H

#include "arch/x86_64/arch.h"
#include "core/base/types.h"

#define VIRTIO_CONSOLE 3
#define VIRTIO_ENTROPY 4

#define VIRTIO_QUEUE_SIZE 2 /* of which one is used at a time */

struct virtio_queue { /* 2.7: as the device reads and writes it; zero before it is opened */
    struct {
        uint64_t address;
        uint32_t length;
        uint16_t flags, next;
    } descriptors[VIRTIO_QUEUE_SIZE];
    struct {
        uint16_t flags, index, ring[VIRTIO_QUEUE_SIZE];
    } available;
    volatile struct {
        uint16_t flags, index;
        struct {
            uint32_t id, length;
        } ring[VIRTIO_QUEUE_SIZE];
    } used;
    volatile uint16_t *doorbell; /* NULL: the queue is not open; here and below the core's own */
    uint16_t number;
} __attribute__((aligned(16)));

struct virtio_device {
    volatile char *common;
    paddr_t doorbells;
    uint32_t doorbell_step, doorbells_size;
};

/* Finds the first device of the type and resets it; false if there is none that can be used. */
bool virtio_open(unsigned type, struct virtio_device *device);
/* A queue of the image; its doorbell lies in the window. */
bool virtio_open_queue(const struct virtio_device *, uint16_t number, struct virtio_queue *, enum device_window window);
/* All queues are open. */
void virtio_start(const struct virtio_device *);

/* Hands the device a buffer of the image, to read or to write; only when the one before has come back. */
void virtio_post(struct virtio_queue *, const void *buffer, uint32_t size, bool device_writes);
/* True if the device has used the buffer; *length: the bytes it wrote, at most the size. */
bool virtio_used(const struct virtio_queue *, uint32_t *length);

/* Random bits of the entropy device; false: there is none (virtio_entropy.c). */
bool virtio_random(uint64_t *value);

#endif
