/* Registers of the edu device: QEMU, docs/specs/edu.txt; of the HPET: IA-PC HPET Specification 1.0a, 2.3. */
#include "registers.h"

#include <stdio.h>

#include "core/pci.h"
#include "vm/vm.h"

#define EDU_VENDOR 0x1234
#define EDU_DEVICE 0x11e8
#define EDU_IDENTITY 0x00u /* 0xRRrr00ed */
#define EDU_LIVENESS 0x04u /* answers the complement of what was written */
#define EDU_FACTORIAL 0x08u
#define EDU_STATUS 0x20u
#define EDU_COMPUTING 1u
#define EDU_POLLS 10000000u

#define HPET_ADDRESS 0xfed00000u
#define HPET_PERIOD 0x04u /* femtoseconds a tick */
#define HPET_PERIOD_MAX 0x05f5e100u

static volatile uint32_t *at(const struct vm_segment *window, unsigned offset)
{
    return (volatile uint32_t *)(vm_start(window) + offset);
}

static error_t check_edu(const struct vm_segment *window)
{
    uint32_t identity = *at(window, EDU_IDENTITY), pattern = 0x12345678, polls = 0;

    *at(window, EDU_LIVENESS) = pattern;
    uint32_t answer = *at(window, EDU_LIVENESS);

    *at(window, EDU_FACTORIAL) = 10;
    while ((*at(window, EDU_STATUS) & EDU_COMPUTING) && polls < EDU_POLLS)
        polls++;
    uint32_t factorial = *at(window, EDU_FACTORIAL);

    printf("edu: identification %#010x, liveness %#x -> %#x, 10! = %u\n", identity, pattern, answer, factorial);
    return (identity & 0xffff) == 0x00ed && answer == ~pattern && factorial == 3628800 ? E_SUCCESS : E_IO;
}

static error_t check_hpet(const struct vm_segment *window)
{
    uint32_t identity = *at(window, 0), period = *at(window, HPET_PERIOD);

    printf("HPET: identification %#010x, %u fs a tick\n", identity, period);
    return period > 0 && period <= HPET_PERIOD_MAX ? E_SUCCESS : E_IO;
}

error_t registers_check(struct vm_segment **window)
{
    struct pci_device device;
    struct pci_bar bar = {.start = HPET_ADDRESS, .size = VM_PAGE_SIZE};
    error_t error, absent = pci_find(EDU_VENDOR, EDU_DEVICE, 0, &device);

    error = absent ? E_SUCCESS : pci_bar(&device, 0, &bar);
    if (error) {
        printf("window: the edu device's BAR 0: %s\n", error_name(error));
        return error;
    }
    *window = vm_alloc_at(vm_space(), &vm_phys, bar.start, bar.size, VM_RW | VM_CACHE_UC);
    if (IS_ERR(*window)) {
        printf("window: no window at %#llx: %s\n", (unsigned long long)bar.start, error_name(ERR_OF(*window)));
        return ERR_OF(*window);
    }
    error = absent ? check_hpet(*window) : check_edu(*window);
    if (error) {
        printf("window: the device does not answer as it should\n");
        vm_free(vm_space(), *window);
    }
    return error;
}
