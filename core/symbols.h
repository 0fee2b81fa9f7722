/*
 * Function names for backtraces, from the blob that images/symbols.py makes of the linked image and the linker puts
 * into the section .symbols. The format is described there. Nothing is allocated, and a damaged blob only means that
 * there are no names: every offset and length is checked.
 */
#ifndef CORE_SYMBOLS_H
#define CORE_SYMBOLS_H

#include "core/base/types.h"

#define SYMBOL_NAME_MAX 256

/*
 * The function that the address falls in: its name into the buffer (at most size bytes, cut and terminated; size > 0)
 * and the distance from its start into *offset. False if the image has no symbols or the address is outside of them.
 * For a return address ask for the byte before it.
 */
bool symbol_lookup(uintptr_t address, char *name, size_t size, size_t *offset);

/* The same in any blob; symbol_lookup uses the image's own. */
bool symbols_find(const void *blob, size_t blob_size, uintptr_t address, char *name, size_t size, size_t *offset);

/* What tells this build from others (images/symbols.py); 0 if the image has no symbols. */
uint64_t symbols_build(void);

#endif
