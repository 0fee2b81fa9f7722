// The public headers are C++ too. Not called: main.cpp runs on Linux as well, where there is no VM core.
#include "core/base/assert.h"
#include "core/base/error.h"
#include "core/base/print.h"
#include "core/clock.h"
#include "core/config.h"
#include "core/cpu.h"
#include "core/pci.h"
#include "vm/driver.h"
#include "vm/heap.h"
#include "vm/vm.h"

error_t use_the_core(size_t size)
{
    vm_segment *segment = vm_alloc(vm_space(), &vm_anon, VM_ANYWHERE, size, VM_RW);

    if (IS_ERR(segment))
        return ERR_OF(segment);
    segment->own = nullptr;
    kprintf("%s %s at %llu\n", vm_driver_of(segment)->name, error_name(E_SUCCESS),
            static_cast<unsigned long long>(clock_monotonic()));
    vm_free(vm_space(), segment);
    vm_span_free(vm_span_alloc(size));
    return E_SUCCESS;
}
