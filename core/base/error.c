#include "core/base/error.h"

#include "core/base/string.h"

/* Numbers and names side by side: pairs of pointers or a jump table would be larger than all of this. */
/* clang-format off */
#define ERRORS(E)                                                                                                      \
    E(E_SUCCESS) E(E_PERM) E(E_NOENT) E(E_SRCH) E(E_INTR) E(E_IO) E(E_NXIO) E(E_2BIG) E(E_BADF) E(E_CHILD) E(E_AGAIN) E(E_NOMEM)            \
    E(E_ACCES) E(E_FAULT) E(E_BUSY) E(E_EXIST) E(E_XDEV) E(E_NODEV) E(E_NOTDIR) E(E_ISDIR) E(E_INVAL) E(E_MFILE)       \
    E(E_NOTTY) E(E_TXTBSY) E(E_FBIG) E(E_NOSPC) E(E_SPIPE) E(E_ROFS) E(E_MLINK) E(E_PIPE) E(E_RANGE) E(E_DEADLK)       \
    E(E_NAMETOOLONG) E(E_NOSYS) E(E_NOTEMPTY) E(E_LOOP) E(E_NODATA) E(E_OVERFLOW) E(E_NOTSUP) E(E_AFNOSUPPORT)
/* clang-format on */

#define NUMBER(error) error,
#define NAME(error) #error "\0"

static const unsigned char numbers[] = {ERRORS(NUMBER)};
static const char names[] = ERRORS(NAME);

const char *error_name(error_t error)
{
    const char *name = names;

    for (size_t i = 0; i < sizeof(numbers); i++) {
        if (numbers[i] == error)
            return name;
        name += strlen(name) + 1;
    }
    return "E_?";
}
