/* The end of the machine (core/power.h): each way only if the one before did not work. */
#include "core/power.h"

#include "arch/x86_64/acpi.h"
#include "arch/x86_64/arch.h"
#include "core/base/print.h"
#include "core/console.h"
#include "core/observe.h"
#include "core/spinlock.h"

#define DEBUG_EXIT_PORT 0x501
#define RESET_CONTROL_PORT 0xcf9
#define RESET_CONTROL_HARD 0x02
#define RESET_CONTROL_FULL 0x06
#define KEYBOARD_COMMAND 0x64
#define KEYBOARD_PULSE_RESET 0xfe
#define KEYBOARD_BUSY 0x02

#define PM1_BUTTON 0x0100 /* of the event registers: pressed, cleared by writing it; and, behind it, enabled */
#define PM1_EVENT_LENGTH 4
#define PM1_SCI_ENABLED 0x0001
#define PM1_SLEEP_TYPE(type) ((uint16_t)((type)&7) << 10)
#define PM1_SLEEP_TYPE_MASK (7u << 10)
#define PM1_SLEEP_ENABLE (1u << 13)
#define SLEEP_CONTROL(type) ((uint8_t)(((type)&7) << 2 | 1 << 5)) /* ACPI 4.8.3.7 */

/* A read of this port takes about a microsecond everywhere and has no effect. */
#define DELAY_PORT 0x80
#define DELAY_READS 200000u

static bool use_debug_exit;

void power_use_debug_exit(void)
{
    use_debug_exit = true;
}

/* The machine may run on for a moment after it was told to end: some tenths of a second, with interrupts off. */
static void wait_for_the_end(void)
{
    for (unsigned i = 0; i < DELAY_READS; i++)
        (void)port_read8(DELAY_PORT);
}

/* An I/O port of the FADT: the wide field if it names one, else the old 32-bit field; 0: none. */
static uint16_t fadt_port(const struct acpi_table *fadt, uint32_t wide_offset, uint32_t narrow_offset)
{
    struct acpi_register wide;
    uint32_t narrow;

    acpi_read(fadt, wide_offset, &wide, sizeof wide);
    acpi_read(fadt, narrow_offset, &narrow, sizeof narrow);
    if (wide.space == ACPI_SPACE_IO && wide.address != 0 && wide.address <= 0xffff)
        return (uint16_t)wide.address;
    return narrow <= 0xffff ? (uint16_t)narrow : 0;
}

/* Firmware that still owns the power registers hands them over when asked (ACPI 4.8.2.5). */
static void enable_acpi(const struct acpi_table *fadt, uint16_t control)
{
    uint32_t command;
    uint8_t enable;

    acpi_read(fadt, FADT_SMI_COMMAND, &command, sizeof command);
    acpi_read(fadt, FADT_ACPI_ENABLE, &enable, sizeof enable);
    if (port_read16(control) & PM1_SCI_ENABLED || command == 0 || command > 0xffff || enable == 0)
        return;
    port_write8((uint16_t)command, enable);
    for (unsigned i = 0; i < DELAY_READS && !(port_read16(control) & PM1_SCI_ENABLED); i++)
        (void)port_read8(DELAY_PORT);
}

/* The port that shows the power button, which raises its interrupt into nothing; 0: there is none of this kind. */
static COLD uint16_t find_button(void)
{
    struct acpi_table fadt;
    uint32_t flags;
    uint8_t length;

    if (!acpi_find("FACP", 0, &fadt))
        return 0;
    acpi_read(&fadt, FADT_FLAGS, &flags, sizeof flags);
    acpi_read(&fadt, FADT_PM1_EVENT_LENGTH, &length, sizeof length);
    uint16_t control = fadt_port(&fadt, FADT_X_PM1A_CONTROL, FADT_PM1A_CONTROL);
    uint16_t event = fadt_port(&fadt, FADT_X_PM1A_EVENT, FADT_PM1A_EVENT);

    if (flags & (FADT_FLAG_REDUCED | FADT_FLAG_NO_BUTTON) || length < PM1_EVENT_LENGTH || control == 0 || event == 0)
        return 0;
    enable_acpi(&fadt, control);
    port_write16(event, PM1_BUTTON);
    port_write16((uint16_t)(event + length / 2), PM1_BUTTON);
    return event;
}

bool power_button_pressed(void)
{
    static bool searched;
    static uint16_t port;

    if (!searched) {
        searched = true;
        port = find_button();
    }
    uint16_t status = port ? port_read16(port) : 0;

    if (!(status & PM1_BUTTON) || status == 0xffff)
        return false;
    port_write16(port, PM1_BUTTON);
    return true;
}

static void sleep_by(uint16_t control, uint8_t type)
{
    uint16_t value = (uint16_t)(port_read16(control) & ~(PM1_SLEEP_TYPE_MASK | PM1_SLEEP_ENABLE));

    port_write16(control, value | PM1_SLEEP_TYPE(type));
    port_write16(control, value | PM1_SLEEP_TYPE(type) | PM1_SLEEP_ENABLE);
}

static void soft_off(const struct acpi_table *fadt, uint32_t flags)
{
    uint16_t control_a, control_b;
    uint8_t type_a, type_b;

    if (!acpi_soft_off(&type_a, &type_b))
        return;
    if (flags & FADT_FLAG_REDUCED) {
        struct acpi_register sleep;

        if (acpi_read(fadt, FADT_SLEEP_CONTROL, &sleep, sizeof sleep) &&
            acpi_write_register(&sleep, SLEEP_CONTROL(type_a)))
            wait_for_the_end();
        return;
    }
    control_a = fadt_port(fadt, FADT_X_PM1A_CONTROL, FADT_PM1A_CONTROL);
    control_b = fadt_port(fadt, FADT_X_PM1B_CONTROL, FADT_PM1B_CONTROL);
    if (control_a == 0)
        return;
    enable_acpi(fadt, control_a);
    sleep_by(control_a, type_a);
    if (control_b != 0)
        sleep_by(control_b, type_b);
    wait_for_the_end();
}

static void acpi_reset(const struct acpi_table *fadt, uint32_t flags)
{
    struct acpi_register target;
    uint8_t value;

    if (!(flags & FADT_FLAG_RESET))
        return;
    if (acpi_read(fadt, FADT_RESET_REGISTER, &target, sizeof target) &&
        acpi_read(fadt, FADT_RESET_VALUE, &value, sizeof value) && acpi_write_register(&target, value))
        wait_for_the_end();
}

static void end_by_acpi(void)
{
    struct acpi_table fadt;
    uint32_t flags;

    if (!acpi_find("FACP", 0, &fadt))
        return;
    acpi_read(&fadt, FADT_FLAGS, &flags, sizeof flags);
    soft_off(&fadt, flags);
    acpi_reset(&fadt, flags);
}

static void reset(void)
{
    static const struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) no_interrupts = {0, 0};

    port_write8(RESET_CONTROL_PORT, RESET_CONTROL_HARD);
    port_write8(RESET_CONTROL_PORT, RESET_CONTROL_FULL);
    wait_for_the_end();
    for (unsigned i = 0; i < DELAY_READS && (port_read8(KEYBOARD_COMMAND) & KEYBOARD_BUSY); i++)
        cpu_pause();
    port_write8(KEYBOARD_COMMAND, KEYBOARD_PULSE_RESET);
    wait_for_the_end();
    __asm__ volatile("lidt %0; ud2" : : "m"(no_interrupts));
}

_Noreturn void power_off(int status)
{
    static bool ending;

    __asm__ volatile("cli");
    observe_end(status); /* a fault in it comes here again, with the status of its report */
    cpu_stop_others();
    /* A fault on the way out must not print a second status. */
    if (!ending) {
        ending = true;
        console_end();
        kprintf("\036quire: exit %d\n", status & 0xff);
        console_drain();
        if (use_debug_exit) {
            port_write8(DEBUG_EXIT_PORT, status & 0x7f);
            wait_for_the_end();
        }
        end_by_acpi();
    }
    reset();
    for (;;)
        __asm__ volatile("cli; hlt");
}
