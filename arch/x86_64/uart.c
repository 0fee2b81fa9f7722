/*
 * A 16550 UART: at the first PC port, else where the firmware's table says (SPCR, Serial Port Console Redirection
 * Table), in I/O space or memory, its registers 1, 2 or 4 bytes apart. Where the scratch register does not keep what
 * is written there is no UART. The transmit FIFO is filled as a whole each time it has run empty, at a port by one
 * string instruction: one exit to a hypervisor for 16 bytes.
 *
 * A reader may stall for as long as it likes, and no byte is lost: output waits for it. Only a UART that never took
 * anything (flow control that nobody answers), or one that takes nothing more while the machine ends, is given up after
 * some seconds without progress; from then on output is dropped until it moves again.
 */
#include "arch/x86_64/uart.h"

#include "arch/x86_64/acpi.h"
#include "arch/x86_64/arch.h"
#include "core/cpu.h"
#include "vm/mmu.h"

#define FIRST_PORT 0x3f8

enum uart_register {
    DATA,
    INTERRUPT_ENABLE,
    FIFO_CONTROL,                /* written */
    INTERRUPT_ID = FIFO_CONTROL, /* read */
    LINE_CONTROL,
    MODEM_CONTROL,
    LINE_STATUS,
    SCRATCH = 7,
};

/* The table: Microsoft, "Serial Port Console Redirection Table", revision 4. */
#define SPCR_INTERFACE 36
#define SPCR_BASE 40
#define INTERFACE_16550 0
#define INTERFACE_16550_SUBSET 1
#define INTERFACE_16550_GENERIC 0x12
#define ACCESS_32 3

#define LINE_8N1 0x03
#define LINE_DIVISOR 0x80
#define DIVISOR_115200 1
#define FIFO_ENABLE 0xc1 /* "received" at 14 bytes: QEMU hands over no more than that at once */
#define FIFO_WORKS 0xc0
#define FIFO_SIZE 16
#define MODEM_DTR_RTS 0x03
#define STATUS_RECEIVED 0x01
#define STATUS_EMPTY 0x20 /* the FIFO, or the holding register */
#define STATUS_IDLE 0x40  /* the shift register too */

/* Time stamps: 17 s at 1 GHz, 3.4 s at 5 GHz. The clock is not asked, as it may not work any more. */
#define PATIENCE (1ull << 34)

/* Where it is. */
static struct {
    volatile char *registers; /* NULL: at the port */
    uint16_t port;
    uint8_t shift; /* of a register's number */
    bool wide;     /* only words of 32 bits can be accessed */
} uart = {.port = FIRST_PORT};

static size_t burst;   /* bytes that may be written when the transmitter is empty; 0: no UART */
static uint64_t moved; /* the time stamp when the transmitter was last seen ready */
static bool written;
static bool patient; /* it has been seen to transmit */

static uint8_t read(enum uart_register number)
{
    unsigned offset = (unsigned)number << uart.shift;

    if (!uart.registers)
        return port_read8((uint16_t)(uart.port + offset));
    return uart.wide ? (uint8_t) * (volatile uint32_t *)(uart.registers + offset)
                     : *(volatile uint8_t *)(uart.registers + offset);
}

static void write(enum uart_register number, uint8_t value)
{
    unsigned offset = (unsigned)number << uart.shift;

    if (!uart.registers)
        port_write8((uint16_t)(uart.port + offset), value);
    else if (uart.wide)
        *(volatile uint32_t *)(uart.registers + offset) = value;
    else
        *(volatile uint8_t *)(uart.registers + offset) = value;
}

static bool present(void)
{
    for (unsigned pattern = 0x5a; pattern < 0x100; pattern += 0xa5 - 0x5a) {
        write(SCRATCH, (uint8_t)pattern);
        if (read(SCRATCH) != pattern)
            return false;
    }
    return true;
}

/*
 * Switching the FIFO on empties it; where the loader has done that, only the trigger level is new. Where input waits
 * already, as when it is piped into QEMU, the UART stays as it is: without the FIFO it is slower, and no byte is lost.
 */
static void use_fifo(void)
{
    bool on = (read(INTERRUPT_ID) & FIFO_WORKS) == FIFO_WORKS;

    if (on || !(read(LINE_STATUS) & STATUS_RECEIVED)) {
        write(FIFO_CONTROL, FIFO_ENABLE);
        on = (read(INTERRUPT_ID) & FIFO_WORKS) == FIFO_WORKS;
    }
    burst = on ? FIFO_SIZE : 1;
}

static bool start(void)
{
    if (!present())
        return false;
    write(INTERRUPT_ENABLE, 0);
    write(MODEM_CONTROL, MODEM_DTR_RTS);
    use_fifo();
    return true;
}

bool uart_init(void)
{
    if (!start())
        return false;
    write(LINE_CONTROL, LINE_DIVISOR);
    write(DATA, DIVISOR_115200);
    write(DATA + 1, 0);
    write(LINE_CONTROL, LINE_8N1);
    return true;
}

/* ---- elsewhere ---- */

static bool open_registers(const struct acpi_register *base)
{
    uart.wide = base->access == ACCESS_32;
    uart.shift = uart.wide || base->bits == 32 ? 2 : base->bits == 16 ? 1 : 0;
    uint64_t size = (uint64_t)(SCRATCH + 1) << uart.shift;

    if (base->space == ACPI_SPACE_IO && base->address != 0 && base->address <= 0x10000 - size) {
        uart.port = (uint16_t)base->address;
        return true;
    }
    if (base->space != ACPI_SPACE_MEMORY || base->address == 0 || !is_aligned(base->address, 1u << uart.shift) ||
        (base->address & VM_PAGE_MASK) > VM_PAGE_SIZE - size || base->address >> mmu_physical_bits() != 0)
        return false;
    uart.registers = device_open(DEVICE_UART, base->address);
    return true;
}

/* The speed stays as the firmware has set it: of which clock it is made is not known. */
bool uart_find(void)
{
    struct acpi_table table;
    struct acpi_register base;
    uint8_t interface;

    return acpi_find("SPCR", 0, &table) && acpi_read(&table, SPCR_INTERFACE, &interface, sizeof interface) &&
           (interface == INTERFACE_16550 || interface == INTERFACE_16550_SUBSET ||
            interface == INTERFACE_16550_GENERIC) &&
           acpi_read(&table, SPCR_BASE, &base, sizeof base) && open_registers(&base) && start();
}

/* ---- bytes ---- */

static bool wait_for(uint8_t status)
{
    do {
        if (read(LINE_STATUS) & status) {
            moved = tsc_read();
            patient = written;
            return true;
        }
#if QUIRE_THREADS
        cpu_relax();
#else
        cpu_pause();
#endif
    } while ((patient && !console_ending) || tsc_read() - moved < PATIENCE);
    return false;
}

static void fill(const char *bytes, size_t count)
{
    if (!uart.registers) {
        port_write_string(uart.port, bytes, count);
        return;
    }
    for (size_t i = 0; i < count; i++)
        write(DATA, (uint8_t)bytes[i]);
}

void uart_write(const char *bytes, size_t length)
{
    while (length > 0) {
        size_t count = length < burst ? length : burst;

        if (wait_for(STATUS_EMPTY)) {
            fill(bytes, count);
            written = true;
        }
        bytes += count;
        length -= count;
    }
}

void uart_begin_end(void)
{
    moved = tsc_read();
}

void uart_drain(void)
{
    wait_for(STATUS_IDLE);
}

size_t uart_read(char *bytes, size_t length)
{
    size_t count = 0;

    while (count < length && (read(LINE_STATUS) & STATUS_RECEIVED))
        bytes[count++] = (char)read(DATA);
    return count;
}
