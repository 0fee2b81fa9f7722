/*
 * The console on a 16550 UART at the first PC port (core/console.h). Where the scratch register does not keep what is
 * written there is no UART, and output is dropped. The transmit FIFO is filled as a whole each time it has run
 * empty, by one string instruction: one exit to a hypervisor for 16 bytes.
 */
#include "arch/x86_64/arch.h"
#include "core/console.h"

#define PORT 0x3f8
#define DATA (PORT + 0)
#define INTERRUPT_ENABLE (PORT + 1)
#define FIFO_CONTROL (PORT + 2) /* written */
#define INTERRUPT_ID (PORT + 2) /* read */
#define LINE_CONTROL (PORT + 3)
#define MODEM_CONTROL (PORT + 4)
#define LINE_STATUS (PORT + 5)
#define SCRATCH (PORT + 7)

#define LINE_8N1 0x03
#define LINE_DIVISOR 0x80
#define DIVISOR_115200 1
#define FIFO_ENABLE 0x01
#define FIFO_WORKS 0xc0
#define FIFO_SIZE 16
#define MODEM_DTR_RTS 0x03
#define STATUS_RECEIVED 0x01
#define STATUS_EMPTY 0x20 /* the FIFO, or the holding register */
#define STATUS_IDLE 0x40  /* the shift register too */

/* A status read takes about a microsecond on a PC bus: 16 bytes at 9600 baud are gone after 17,000. After a wait in
 * vain (flow control that nobody answers) the next ones are short until something moves. */
#define SPINS 200000u
#define SPINS_STUCK 100u

static size_t burst; /* bytes that may be written when the transmitter is empty; 0: no UART */
static bool stuck;

static bool present(void)
{
    static const uint8_t patterns[] = {0x5a, 0xa5};

    for (size_t i = 0; i < sizeof patterns; i++) {
        port_write8(SCRATCH, patterns[i]);
        if (port_read8(SCRATCH) != patterns[i])
            return false;
    }
    return true;
}

/*
 * Switching the FIFO on empties it. Where input waits already, as when it is piped into QEMU, the UART stays as it is:
 * without the FIFO it is slower, and no byte is lost.
 */
static void use_fifo(void)
{
    bool on = (port_read8(INTERRUPT_ID) & FIFO_WORKS) == FIFO_WORKS;

    if (!on && !(port_read8(LINE_STATUS) & STATUS_RECEIVED)) {
        port_write8(FIFO_CONTROL, FIFO_ENABLE);
        on = (port_read8(INTERRUPT_ID) & FIFO_WORKS) == FIFO_WORKS;
    }
    burst = on ? FIFO_SIZE : 1;
}

void console_init(void)
{
    if (!present())
        return;
    port_write8(INTERRUPT_ENABLE, 0);
    port_write8(LINE_CONTROL, LINE_DIVISOR);
    port_write8(DATA, DIVISOR_115200);
    port_write8(DATA + 1, 0);
    port_write8(LINE_CONTROL, LINE_8N1);
    port_write8(MODEM_CONTROL, MODEM_DTR_RTS);
    use_fifo();
}

static bool wait_for(uint8_t status)
{
    for (unsigned spins = stuck ? SPINS_STUCK : SPINS; spins > 0; spins--) {
        if (port_read8(LINE_STATUS) & status) {
            stuck = false;
            return true;
        }
        cpu_pause();
    }
    stuck = true;
    return false;
}

void console_write(const char *bytes, size_t length)
{
    while (length > 0 && burst > 0) {
        size_t count = length < burst ? length : burst;

        length -= count;
        if (wait_for(STATUS_EMPTY))
            __asm__ volatile("rep outsb" : "+S"(bytes), "+c"(count) : "d"(DATA) : "memory");
        else
            bytes += count;
    }
}

void uart_drain(void)
{
    if (burst > 0)
        wait_for(STATUS_IDLE);
}

size_t console_read(char *bytes, size_t length)
{
    size_t count = 0;

    while (burst > 0 && count < length && (port_read8(LINE_STATUS) & STATUS_RECEIVED))
        bytes[count++] = (char)port_read8(DATA);
    return count;
}
