/* PCI by configuration mechanism 1 (PCI Local Bus Specification 3.0, 3.2.2.3.2). */
#include "core/pci.h"

#include "arch/x86_64/arch.h"

#define ADDRESS_PORT 0xcf8
#define DATA_PORT 0xcfc
#define ADDRESS_ENABLE (1u << 31)

#define SLOTS 32
#define FUNCTIONS 8
#define BUSES 256
#define CONFIG_SIZE 256

#define OFFSET_ID 0x00
#define OFFSET_CLASS 0x08
#define OFFSET_HEADER 0x0c
#define OFFSET_BAR 0x10
#define OFFSET_SECONDARY_BUS 0x18
#define ID_NONE 0xffff
#define HEADER_TYPE 0x7f
#define HEADER_MULTIFUNCTION 0x80
#define HEADER_BRIDGE 1
#define BRIDGE_BARS 2

#define BAR_IO (1u << 0)
#define BAR_TYPE (3u << 1)
#define BAR_WIDE (2u << 1)
#define BAR_PREFETCHABLE (1u << 3)
#define BAR_IO_MASK (~(uint32_t)3)
#define BAR_MEMORY_MASK (~(uint32_t)15)

static void select(unsigned bus, unsigned slot, unsigned function, unsigned offset)
{
    port_write32(ADDRESS_PORT, ADDRESS_ENABLE | bus << 16 | slot << 11 | function << 8 | (offset & ~3u));
}

static uint32_t config_read(unsigned bus, unsigned slot, unsigned function, unsigned offset)
{
    select(bus, slot, function, offset);
    return port_read32(DATA_PORT);
}

static bool pci_present(void)
{
    uint32_t before = port_read32(ADDRESS_PORT);

    port_write32(ADDRESS_PORT, ADDRESS_ENABLE);
    bool present = port_read32(ADDRESS_PORT) == ADDRESS_ENABLE;

    port_write32(ADDRESS_PORT, before);
    return present;
}

/* ---- configuration space of a device ---- */

static bool valid(unsigned offset, unsigned width)
{
    return (width == 1 || width == 2 || width == 4) && offset < CONFIG_SIZE && offset % width == 0;
}

error_t pci_read(const struct pci_device *device, unsigned offset, unsigned width, uint32_t *value)
{
    uint16_t port = (uint16_t)(DATA_PORT + (offset & 3));

    if (!valid(offset, width))
        return E_INVAL;
    select(device->bus, device->slot, device->function, offset);
    *value = width == 1 ? port_read8(port) : width == 2 ? port_read16(port) : port_read32(port);
    return E_SUCCESS;
}

error_t pci_write(const struct pci_device *device, unsigned offset, unsigned width, uint32_t value)
{
    uint16_t port = (uint16_t)(DATA_PORT + (offset & 3));

    if (!valid(offset, width))
        return E_INVAL;
    select(device->bus, device->slot, device->function, offset);
    if (width == 1)
        port_write8(port, (uint8_t)value);
    else if (width == 2)
        port_write16(port, (uint16_t)value);
    else
        port_write32(port, value);
    return E_SUCCESS;
}

/* ---- looking for devices ---- */

struct search {
    int vendor, device, class_code, subclass; /* PCI_ANY: no matter */
    unsigned index;
    struct pci_device *found;
};

static bool matches(int wanted, int value)
{
    return wanted == PCI_ANY || wanted == value;
}

static bool read_device(unsigned bus, unsigned slot, unsigned function, struct pci_device *device)
{
    uint32_t id = config_read(bus, slot, function, OFFSET_ID);

    if ((id & 0xffff) == ID_NONE)
        return false;
    uint32_t class = config_read(bus, slot, function, OFFSET_CLASS);
    uint32_t header = config_read(bus, slot, function, OFFSET_HEADER) >> 16;

    *device = (struct pci_device){.bus = (uint8_t)bus,
                                  .slot = (uint8_t)slot,
                                  .function = (uint8_t)function,
                                  .class_code = (uint8_t)(class >> 24),
                                  .subclass = (uint8_t)(class >> 16),
                                  .interface = (uint8_t)(class >> 8),
                                  .header = (uint8_t)header,
                                  .vendor = (uint16_t)id,
                                  .device = (uint16_t)(id >> 16)};
    return true;
}

static bool is_wanted(struct search *search, const struct pci_device *device)
{
    if (!matches(search->vendor, device->vendor) || !matches(search->device, device->device) ||
        !matches(search->class_code, device->class_code) || !matches(search->subclass, device->subclass))
        return false;
    return search->index-- == 0;
}

/* Marks the bus behind a bridge for a later look. */
static void note_bridge(const struct pci_device *device, uint32_t *pending)
{
    uint32_t buses = config_read(device->bus, device->slot, device->function, OFFSET_SECONDARY_BUS);
    unsigned secondary = buses >> 8 & 0xff;

    pending[secondary / 32] |= 1u << secondary % 32;
}

static bool search_slot(struct search *search, unsigned bus, unsigned slot, uint32_t *pending)
{
    unsigned functions = 1;

    for (unsigned function = 0; function < functions; function++) {
        struct pci_device device;

        if (!read_device(bus, slot, function, &device))
            continue;
        if (function == 0 && device.header & HEADER_MULTIFUNCTION)
            functions = FUNCTIONS;
        device.header &= HEADER_TYPE;
        if (device.header == HEADER_BRIDGE)
            note_bridge(&device, pending);
        if (is_wanted(search, &device)) {
            *search->found = device;
            return true;
        }
    }
    return false;
}

/* Looks through bus 0 and then what its bridges lead to; a bridge's bus has a higher number than the one it is on. */
static error_t search_all(struct search *search)
{
    uint32_t pending[BUSES / 32] = {1};

    if (!pci_present())
        return E_NODEV;
    for (unsigned bus = 0; bus < BUSES; bus++) {
        if (!(pending[bus / 32] & 1u << bus % 32))
            continue;
        for (unsigned slot = 0; slot < SLOTS; slot++) {
            if (search_slot(search, bus, slot, pending))
                return E_SUCCESS;
        }
    }
    return E_NOENT;
}

error_t pci_find(int vendor, int device, unsigned index, struct pci_device *found)
{
    struct search search = {vendor, device, PCI_ANY, PCI_ANY, index, found};

    return search_all(&search);
}

error_t pci_find_class(int class_code, int subclass, unsigned index, struct pci_device *found)
{
    struct search search = {PCI_ANY, PCI_ANY, class_code, subclass, index, found};

    return search_all(&search);
}

/* ---- base addresses ---- */

static uint32_t bar_read(const struct pci_device *device, unsigned index)
{
    return config_read(device->bus, device->slot, device->function, OFFSET_BAR + 4 * index);
}

/* The bits of the register that can be set, i.e. do not lie inside the size. */
static uint32_t bar_probe(const struct pci_device *device, unsigned index)
{
    uint32_t value = bar_read(device, index), ones;

    pci_write(device, OFFSET_BAR + 4 * index, 4, ~0u);
    ones = bar_read(device, index);
    pci_write(device, OFFSET_BAR + 4 * index, 4, value);
    return ones;
}

/* True if the register is the upper half of the one before. */
static bool is_upper_half(const struct pci_device *device, unsigned index)
{
    unsigned i = 0;

    while (i < index)
        i += (bar_read(device, i) & (BAR_IO | BAR_TYPE)) == BAR_WIDE ? 2 : 1;
    return i > index;
}

static error_t bar_of(const struct pci_device *device, unsigned index, struct pci_bar *bar)
{
    uint32_t value = bar_read(device, index);
    uint64_t ones = bar_probe(device, index);

    *bar = (struct pci_bar){.io = value & BAR_IO};
    if (bar->io) {
        bar->start = value & BAR_IO_MASK;
        ones &= BAR_IO_MASK;
        ones |= ones ? ~(uint64_t)0xffff : 0; /* the upper half may be wired to zero */
    } else {
        bar->prefetchable = value & BAR_PREFETCHABLE;
        bar->wide = (value & BAR_TYPE) == BAR_WIDE;
        bar->start = value & BAR_MEMORY_MASK;
        ones &= BAR_MEMORY_MASK;
        if (bar->wide) {
            bar->start |= (uint64_t)bar_read(device, index + 1) << 32;
            ones |= (uint64_t)bar_probe(device, index + 1) << 32;
        } else {
            ones |= ones ? ~(uint64_t)0xffffffff : 0;
        }
    }
    bar->size = ones & -ones;
    if (bar->size == 0)
        return E_NOENT;
    return bar->start ? E_SUCCESS : E_NODEV;
}

error_t pci_bar(const struct pci_device *device, unsigned index, struct pci_bar *bar)
{
    unsigned bars = device->header == 0 ? PCI_BARS : device->header == HEADER_BRIDGE ? BRIDGE_BARS : 0;
    uint32_t command;

    if (index >= bars)
        return E_INVAL;
    if (is_upper_half(device, index))
        return E_NOENT;
    if ((bar_read(device, index) & (BAR_IO | BAR_TYPE)) == BAR_WIDE && index + 1 >= bars)
        return E_NOENT;
    pci_read(device, PCI_COMMAND, 2, &command);
    pci_write(device, PCI_COMMAND, 2, command & ~(PCI_COMMAND_IO | PCI_COMMAND_MEMORY));
    error_t error = bar_of(device, index, bar);

    pci_write(device, PCI_COMMAND, 2, command);
    return error;
}
