/*
 * The record: bytes for the host beside the console, a line of JSON for each thing that was observed
 * (docs/observing.md). Contract, implemented by arch/x86_64/record.c over QEMU's isa-debugcon, which writes them into a
 * file. Linked only into images that observe.
 */
#ifndef CORE_RECORD_H
#define CORE_RECORD_H

#include "core/base/types.h"

/* The command line says that the device is there (quire.record=debugcon). False: it does not answer. Before this call
 * nothing is written. */
bool record_open(void);

/* True if what is written arrives. */
bool record_is_open(void);

/* Writes all bytes at once; dropped if the record is not open. May be called with interrupts off. */
void record_write(const char *bytes, size_t length);

#endif
