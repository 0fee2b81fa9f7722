#include "core/base/error.h"

const char *error_name(error_t error)
{
#define NAME(error_constant)                                                                                           \
    case error_constant:                                                                                               \
        return #error_constant

    switch (error) {
        NAME(E_SUCCESS);
        NAME(E_PERM);
        NAME(E_NOENT);
        NAME(E_SRCH);
        NAME(E_INTR);
        NAME(E_IO);
        NAME(E_BADF);
        NAME(E_AGAIN);
        NAME(E_NOMEM);
        NAME(E_ACCES);
        NAME(E_FAULT);
        NAME(E_BUSY);
        NAME(E_EXIST);
        NAME(E_NODEV);
        NAME(E_NOTDIR);
        NAME(E_ISDIR);
        NAME(E_INVAL);
        NAME(E_MFILE);
        NAME(E_NOTTY);
        NAME(E_SPIPE);
        NAME(E_ROFS);
        NAME(E_RANGE);
        NAME(E_NAMETOOLONG);
        NAME(E_NOSYS);
        NAME(E_OVERFLOW);
        NAME(E_NOTSUP);
    default:
        return "E_?";
    }
#undef NAME
}
