/*
 * PCI devices for applications that bring a driver: find one, read its base addresses, use its configuration space. The
 * buses are looked through when asked, from bus 0 down through the bridges; nothing happens at boot. Registers are
 * mapped with vm_alloc_at and the phys driver. Contract, implemented by arch/x86_64/pci.c.
 */
#ifndef CORE_PCI_H
#define CORE_PCI_H

#include "core/base/error.h"
#include "core/base/types.h"

C_DECLARATIONS_BEGIN

struct pci_device {
    uint8_t bus, slot, function;
    uint8_t class_code, subclass, interface; /* PCI Code and ID Assignment Specification */
    uint8_t header;                          /* 0: device, 1: bridge */
    uint16_t vendor, device;
};

#define PCI_ANY (-1)

/* The index-th device that matches; E_NOENT if there are not that many, E_NODEV if the machine has no PCI. */
error_t pci_find(int vendor, int device, unsigned index, struct pci_device *found);
error_t pci_find_class(int class_code, int subclass, unsigned index, struct pci_device *found);

/* Configuration space, 256 bytes: width is 1, 2 or 4 bytes, the offset a multiple of it. E_INVAL otherwise. */
error_t pci_read(const struct pci_device *device, unsigned offset, unsigned width, uint32_t *value);
error_t pci_write(const struct pci_device *device, unsigned offset, unsigned width, uint32_t value);

#define PCI_COMMAND 0x04 /* 16 bits */
#define PCI_COMMAND_IO (1u << 0)
#define PCI_COMMAND_MEMORY (1u << 1)
#define PCI_COMMAND_MASTER (1u << 2)

#define PCI_BARS 6

struct pci_bar {
    paddr_t start; /* or an I/O port */
    uint64_t size; /* bytes, a power of two */
    bool io, prefetchable, wide;
};

/*
 * Base address register `index`. Its size is found by writing ones: decoding is off meanwhile, and all is restored.
 * E_NOENT: the device has no such register (the upper half of a wide one is none); E_NODEV: it has, but firmware gave
 * it no address; E_INVAL: no such index.
 */
error_t pci_bar(const struct pci_device *device, unsigned index, struct pci_bar *bar);

C_DECLARATIONS_END

#endif
