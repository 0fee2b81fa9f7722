/*
 * The console on a 16550 UART at the first PC port (core/console.h). Where the scratch register does not keep what is
 * written there is no UART, and output is dropped. The transmit FIFO is filled as a whole each time it has run
 * empty, by one string instruction: one exit to a hypervisor for 16 bytes.
 *
 * A reader may stall for as long as it likes, and no byte is lost: output waits for it. Only a UART that never took
 * anything (flow control that nobody answers), or one that takes nothing more while the machine ends, is given up after
 * some seconds without progress; from then on output is dropped until it moves again.
 */
#include "arch/x86_64/arch.h"
#include "core/console.h"
#include "core/cpu.h"
#include "core/spinlock.h"

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
#define FIFO_ENABLE 0xc1 /* "received" at 14 bytes: QEMU hands over no more than that at once */
#define FIFO_WORKS 0xc0
#define FIFO_SIZE 16
#define MODEM_DTR_RTS 0x03
#define STATUS_RECEIVED 0x01
#define STATUS_EMPTY 0x20 /* the FIFO, or the holding register */
#define STATUS_IDLE 0x40  /* the shift register too */

/* Time stamps: 17 s at 1 GHz, 3.4 s at 5 GHz. The clock is not asked, as it may not work any more. */
#define PATIENCE (1ull << 34)

static size_t burst;   /* bytes that may be written when the transmitter is empty; 0: no UART */
static uint64_t moved; /* the time stamp when the transmitter was last seen ready */
static bool written, ending;
static bool patient; /* it has been seen to transmit */

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
 * Switching the FIFO on empties it; where the loader has done that, only the trigger level is new. Where input waits
 * already, as when it is piped into QEMU, the UART stays as it is: without the FIFO it is slower, and no byte is lost.
 */
static void use_fifo(void)
{
    bool on = (port_read8(INTERRUPT_ID) & FIFO_WORKS) == FIFO_WORKS;

    if (on || !(port_read8(LINE_STATUS) & STATUS_RECEIVED)) {
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

void console_end(void)
{
    ending = true;
    moved = tsc_read();
}

static bool wait_for(uint8_t status)
{
    do {
        if (port_read8(LINE_STATUS) & status) {
            moved = tsc_read();
            patient = written;
            return true;
        }
#if QUIRE_THREADS
        cpu_relax();
#else
        cpu_pause();
#endif
    } while ((patient && !ending) || tsc_read() - moved < PATIENCE);
    return false;
}

static struct spinlock_console lock; /* of what is written at once */

static void write_bytes(const char *bytes, size_t length)
{
    while (length > 0 && burst > 0) {
        size_t count = length < burst ? length : burst;

        length -= count;
        if (!wait_for(STATUS_EMPTY)) {
            bytes += count;
            continue;
        }
        __asm__ volatile("rep outsb" : "+S"(bytes), "+c"(count) : "d"(DATA) : "memory");
        written = true;
    }
}

/* Whoever holds the lock already is an interrupt or a report that came in between. */
void console_write(const char *bytes, size_t length)
{
    bool inside = spin_is_held(&lock);

    if (!inside)
        spin_lock(&lock);
    write_bytes(bytes, length);
    if (!inside)
        spin_unlock(&lock);
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
