#include "arch/x86_64/virtio.h"

#include "arch/x86_64/layout.h"
#include "core/pci.h"
#include "vm/mmu.h"

#define VENDOR 0x1af4
#define DEVICE_MODERN 0x1040 /* and the type */
#define DEVICE_TRANSITIONAL_CONSOLE 0x1003
#define DEVICE_TRANSITIONAL_ENTROPY 0x1005

/* Capabilities of PCI (3.0, 6.7), and what virtio's say (4.1.4). */
#define PCI_BAR 0x10
#define PCI_CAPABILITIES 0x34
#define CAPABILITY_FIRST 0x40
#define CAPABILITY_VENDOR 0x09
#define CAPABILITIES_MAX 48
#define TYPE_COMMON 1
#define TYPE_DOORBELLS 2

struct capability {
    uint8_t id, next, size, type;
    uint8_t bar, unused[3];
    uint32_t offset, length;
    uint32_t step; /* of doorbells */
};

/* The common configuration (4.1.4.3). */
#define COMMON_FEATURE_SELECT 8
#define COMMON_FEATURES 12
#define COMMON_STATUS 20
#define COMMON_QUEUE_SELECT 22
#define COMMON_QUEUE_SIZE 24
#define COMMON_QUEUE_ENABLE 28
#define COMMON_QUEUE_DOORBELL 30
#define COMMON_QUEUE_DESCRIPTORS 32
#define COMMON_QUEUE_AVAILABLE 40
#define COMMON_QUEUE_USED 48
#define COMMON_SIZE 56

#define STATUS_ACKNOWLEDGE 1u
#define STATUS_DRIVER 2u
#define STATUS_DRIVER_OK 4u
#define STATUS_FEATURES_OK 8u
#define FEATURE_VERSION_1 (1u << 0) /* of the upper half */
#define DESCRIPTOR_WRITE 2u
#define NO_INTERRUPT 1u

#define RESET_READS 100000u

/* ---- finding it ---- */

static uint32_t config(const struct pci_device *pci, unsigned offset)
{
    uint32_t value = ~0u;

    pci_read(pci, offset, 4, &value);
    return value;
}

/* Where the region of a capability begins; 0: nowhere. */
static paddr_t region(const struct pci_device *pci, const struct capability *capability)
{
    unsigned bar = PCI_BAR + 4u * capability->bar;

    if (capability->bar > 5)
        return 0;
    uint32_t low = config(pci, bar);
    uint64_t high = (low & 6) == 4 && capability->bar < 5 ? config(pci, bar + 4) : 0;
    paddr_t start = high << 32 | (low & ~15u), at = start + capability->offset;

    return low & 1 || start == 0 || at < start || at >> mmu_physical_bits() != 0 ? 0 : at;
}

static void look_at(const struct pci_device *pci, const struct capability *capability, struct virtio_device *device)
{
    paddr_t start = region(pci, capability);

    if (capability->type == TYPE_COMMON && !device->common && start != 0 && capability->length >= COMMON_SIZE &&
        (start & VM_PAGE_MASK) <= VM_PAGE_SIZE - COMMON_SIZE)
        device->common = device_open(DEVICE_VIRTIO, start);
    if (capability->type == TYPE_DOORBELLS && device->doorbells == 0) {
        device->doorbells = start;
        device->doorbells_size = capability->length;
        device->doorbell_step = capability->step;
    }
}

static bool find_regions(const struct pci_device *pci, struct virtio_device *device)
{
    unsigned at = config(pci, PCI_CAPABILITIES) & 0xfc;

    for (unsigned i = 0; i < CAPABILITIES_MAX && at >= CAPABILITY_FIRST && at <= 256 - sizeof(struct capability); i++) {
        struct capability capability;

        for (unsigned k = 0; k < sizeof capability; k += 4) {
            uint32_t word = config(pci, at + k);

            memcpy((char *)&capability + k, &word, sizeof word);
        }
        if (capability.id == CAPABILITY_VENDOR)
            look_at(pci, &capability, device);
        at = capability.next & 0xfc;
    }
    return device->common && device->doorbells != 0;
}

/* ---- bringing it up ---- */

#define COMMON(device, type, offset) (*(volatile type *)((device)->common + (offset)))

static void write64(const struct virtio_device *device, unsigned offset, const volatile void *image)
{
    paddr_t value = image_physical(image);

    COMMON(device, uint32_t, offset) = (uint32_t)value;
    COMMON(device, uint32_t, offset + 4) = (uint32_t)(value >> 32);
}

/* 3.1.1. Of the features nothing is needed but that the device is no legacy one. */
static bool reset(const struct virtio_device *device)
{
    COMMON(device, uint8_t, COMMON_STATUS) = 0;
    for (unsigned i = 0; COMMON(device, uint8_t, COMMON_STATUS) != 0; i++) {
        if (i == RESET_READS)
            return false;
        cpu_pause();
    }
    COMMON(device, uint8_t, COMMON_STATUS) = STATUS_ACKNOWLEDGE | STATUS_DRIVER;
    for (uint32_t half = 0; half < 2; half++) {
        COMMON(device, uint32_t, COMMON_FEATURE_SELECT) = half;
        COMMON(device, uint32_t, COMMON_FEATURES) = half ? FEATURE_VERSION_1 : 0;
    }
    COMMON(device, uint8_t, COMMON_STATUS) = STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK;
    return COMMON(device, uint8_t, COMMON_STATUS) == (STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK);
}

bool virtio_open(unsigned type, struct virtio_device *device)
{
    int old = type == VIRTIO_CONSOLE ? DEVICE_TRANSITIONAL_CONSOLE : DEVICE_TRANSITIONAL_ENTROPY;
    struct pci_device pci;
    uint32_t command;

    *device = (struct virtio_device){0};
    if (pci_find(VENDOR, DEVICE_MODERN + (int)type, 0, &pci) != E_SUCCESS &&
        pci_find(VENDOR, old, 0, &pci) != E_SUCCESS)
        return false;
    pci_read(&pci, PCI_COMMAND, 2, &command);
    pci_write(&pci, PCI_COMMAND, 2, command | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    return find_regions(&pci, device) && reset(device);
}

bool virtio_open_queue(const struct virtio_device *device, uint16_t number, struct virtio_queue *queue,
                       enum device_window window)
{
    COMMON(device, uint16_t, COMMON_QUEUE_SELECT) = number;
    uint16_t size = COMMON(device, uint16_t, COMMON_QUEUE_SIZE);
    uint64_t doorbell = (uint64_t)COMMON(device, uint16_t, COMMON_QUEUE_DOORBELL) * device->doorbell_step;

    if (size < VIRTIO_QUEUE_SIZE || doorbell + sizeof(uint16_t) > device->doorbells_size ||
        !is_aligned(device->doorbells + doorbell, sizeof(uint16_t)))
        return false;
    COMMON(device, uint16_t, COMMON_QUEUE_SIZE) = VIRTIO_QUEUE_SIZE;
    write64(device, COMMON_QUEUE_DESCRIPTORS, queue->descriptors);
    write64(device, COMMON_QUEUE_AVAILABLE, &queue->available);
    write64(device, COMMON_QUEUE_USED, &queue->used);
    queue->available.flags = NO_INTERRUPT;
    queue->number = number;
    queue->doorbell = device_open(window, device->doorbells + doorbell);
    COMMON(device, uint16_t, COMMON_QUEUE_ENABLE) = 1;
    return true;
}

void virtio_start(const struct virtio_device *device)
{
    COMMON(device, uint8_t, COMMON_STATUS) = STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK;
}

/* ---- using it ---- */

void virtio_post(struct virtio_queue *queue, const void *buffer, uint32_t size, bool device_writes)
{
    queue->descriptors[0].address = image_physical(buffer);
    queue->descriptors[0].length = size;
    queue->descriptors[0].flags = device_writes ? DESCRIPTOR_WRITE : 0;
    __atomic_store_n(&queue->available.index, (uint16_t)(queue->available.index + 1), __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    *queue->doorbell = queue->number;
}

bool virtio_used(const struct virtio_queue *queue, uint32_t *length)
{
    uint16_t index = __atomic_load_n(&queue->used.index, __ATOMIC_ACQUIRE);
    uint32_t written = queue->used.ring[(uint16_t)(index - 1) % VIRTIO_QUEUE_SIZE].length;

    *length = written < queue->descriptors[0].length ? written : queue->descriptors[0].length;
    return index == queue->available.index;
}
