/*
 * The registers are those of the Bochs VBE extensions, 16 bits each, from 0x500 on in BAR 2 (QEMU,
 * docs/specs/standard-vga). The mode is set while the display is disabled.
 */
#include "display.h"

#include <stdbool.h>
#include <stdio.h>

#include "core/pci.h"
#include "vm/vm.h"

#define VENDOR 0x1234
#define DEVICE 0x1111

#define DISPI_OFFSET 0x500u
#define DISPI_ID 0u
#define DISPI_WIDTH 1u
#define DISPI_HEIGHT 2u
#define DISPI_BITS 3u
#define DISPI_ENABLE 4u
#define DISPI_ID_MASK 0xfff0u
#define DISPI_ID_VALUE 0xb0c0u
#define ENABLED 0x01u
#define LINEAR 0x40u

#define EXTENDED_SIZE_OFFSET 0x600u /* 32 bits: bytes of QEMU's own registers */
#define EXTENDED_ORDER_OFFSET 0x604u
#define LITTLE_ENDIAN_PIXELS 0x1e1e1e1eu

static volatile uint16_t *dispi(const struct display *display, unsigned index)
{
    return (volatile uint16_t *)(vm_start(display->registers) + DISPI_OFFSET) + index;
}

static volatile uint32_t *extended(const struct display *display, unsigned offset)
{
    return (volatile uint32_t *)(vm_start(display->registers) + offset);
}

static error_t open_window(const struct pci_device *device, unsigned index, size_t least, vm_flags_t cache,
                           struct vm_segment **window)
{
    struct pci_bar bar;
    error_t error = pci_bar(device, index, &bar);

    if (!error && (bar.io || bar.size < least))
        error = E_NODEV;
    if (error) {
        printf("window: the display's BAR %u is not a window of at least %zu bytes: %s\n", index, least,
               error_name(error));
        return error;
    }
    *window = vm_alloc_at(vm_space(), &vm_phys, bar.start, bar.size, VM_RW | cache);
    error = ERR_OF(*window);
    if (error)
        printf("window: no window at %#llx: %s\n", (unsigned long long)bar.start, error_name(error));
    return error;
}

static error_t set_mode(const struct display *display)
{
    if ((*dispi(display, DISPI_ID) & DISPI_ID_MASK) != DISPI_ID_VALUE) {
        printf("window: the display's registers are not there: identification %#x\n", *dispi(display, DISPI_ID));
        return E_NODEV;
    }
    *dispi(display, DISPI_ENABLE) = 0;
    *dispi(display, DISPI_WIDTH) = (uint16_t)display->width;
    *dispi(display, DISPI_HEIGHT) = (uint16_t)display->height;
    *dispi(display, DISPI_BITS) = 32;
    *dispi(display, DISPI_ENABLE) = ENABLED | LINEAR;
    if (*extended(display, EXTENDED_SIZE_OFFSET) >= 8)
        *extended(display, EXTENDED_ORDER_OFFSET) = LITTLE_ENDIAN_PIXELS;
    if (*dispi(display, DISPI_WIDTH) != display->width || *dispi(display, DISPI_HEIGHT) != display->height ||
        !(*dispi(display, DISPI_ENABLE) & ENABLED)) {
        printf("window: the display cannot show %u by %u dots\n", display->width, display->height);
        return E_NODEV;
    }
    return E_SUCCESS;
}

error_t display_open(struct display *display, unsigned width, unsigned height)
{
    struct pci_device device;
    uint32_t command;
    error_t error = pci_find(VENDOR, DEVICE, 0, &device);

    *display = (struct display){.width = width, .height = height};
    if (error) {
        printf("window: no display: %s; QEMU needs -device bochs-display\n", error_name(error));
        return error;
    }
    error = pci_read(&device, PCI_COMMAND, 2, &command);
    if (!error)
        error = pci_write(&device, PCI_COMMAND, 2, command | PCI_COMMAND_MEMORY);
    if (!error)
        error = open_window(&device, 2, VM_PAGE_SIZE, VM_CACHE_UC, &display->registers);
    if (error)
        return error;
    error = open_window(&device, 0, (size_t)width * height * sizeof(uint32_t), VM_CACHE_WC, &display->framebuffer);
    if (error) {
        vm_free(vm_space(), display->registers);
        return error;
    }
    display->pixels = (volatile uint32_t *)vm_start(display->framebuffer);
    error = set_mode(display);
    if (error)
        display_close(display);
    return error;
}

void display_close(struct display *display)
{
    vm_free(vm_space(), display->framebuffer);
    vm_free(vm_space(), display->registers);
}
