/* The other parts of core/linux as tests/unit/fake/fake_linux.c stands in for them. */
#ifndef FAKE_LINUX_H
#define FAKE_LINUX_H

#include "core/archive.h"
#include "core/base/types.h"

extern struct archive fake_files; /* the packed files; none at first */

extern int fake_signal; /* the last that was sent */

#endif
