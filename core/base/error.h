/*
 * The one error convention.
 *
 * A function that can fail returns error_t: E_SUCCESS (0) or a positive E_* whose number is Linux's errno, so
 * that the system-call layer negates it and nothing else. A function that returns a pointer returns an error in
 * its place, told apart by IS_ERR and read by ERR_OF; it never returns NULL for failure unless it says so.
 * A failed operation has changed nothing. Caller bugs assert; bad input returns an error.
 */
#ifndef CORE_BASE_ERROR_H
#define CORE_BASE_ERROR_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/types.h"

C_DECLARATIONS_BEGIN

typedef int error_t;

enum {
    E_SUCCESS = 0,
    E_PERM = 1,
    E_NOENT = 2,
    E_SRCH = 3,
    E_INTR = 4,
    E_IO = 5,
    E_NXIO = 6,
    E_2BIG = 7,
    E_BADF = 9,
    E_CHILD = 10,
    E_AGAIN = 11,
    E_NOMEM = 12, /* out of frames, or the address range is taken */
    E_ACCES = 13, /* the segment's protection forbids the access */
    E_FAULT = 14, /* no segment, or a segment that never backs this address */
    E_BUSY = 16,
    E_EXIST = 17,
    E_XDEV = 18,
    E_NODEV = 19,
    E_NOTDIR = 20,
    E_ISDIR = 21,
    E_INVAL = 22,
    E_MFILE = 24,
    E_NOTTY = 25,
    E_TXTBSY = 26,
    E_FBIG = 27,
    E_NOSPC = 28,
    E_SPIPE = 29,
    E_ROFS = 30,
    E_MLINK = 31,
    E_PIPE = 32,
    E_RANGE = 34,
    E_DEADLK = 35,
    E_NAMETOOLONG = 36,
    E_NOSYS = 38,
    E_NOTEMPTY = 39,
    E_LOOP = 40,
    E_NODATA = 61,
    E_OVERFLOW = 75,
    E_NOTSUP = 95, /* the driver has no such operation */
    E_AFNOSUPPORT = 97,
    E_TIMEDOUT = 110,
};

#define ERR_MAX 4095

static inline void *ERR_PTR(error_t error)
{
    return (void *)-(intptr_t)error;
}

static inline bool IS_ERR(const void *pointer)
{
    return (uintptr_t)pointer >= (uintptr_t)-ERR_MAX;
}

static inline error_t ERR_OF(const void *pointer)
{
    return IS_ERR(pointer) ? (error_t) - (intptr_t)pointer : E_SUCCESS;
}

/* "E_NOMEM" and so on; "E_?" for a number that is not listed above. */
const char *error_name(error_t error);

C_DECLARATIONS_END

#endif
