/* Faults that are served by a segment driver of the program's own: only where the VM core is part of the program. */
#ifndef DRIVER_H
#define DRIVER_H

/* Measures and prints the row own_driver, or does nothing on Linux. */
void driver_fault(void);

#endif
