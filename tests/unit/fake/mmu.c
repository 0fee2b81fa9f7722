/* The real page-table code on the simulated machine: a quoted include looks beside the including file first, so the
 * fake's machine.h has to be there before that of arch/x86_64. */
#include "machine.h"

#include "arch/x86_64/cpu_tables.c"
#include "arch/x86_64/mmu.c"
#undef ROOT_SHIFT
#undef GIB_SHIFT
#include "arch/x86_64/mmu_shared.c"
