"""Constants of the C sources, which debug information does not have; tests/images/test_gdb.py compares them."""

CONSTANTS = {
    "vm/driver.h": {"VM_SEGMENT_ALIVE": 0x51534547},
    "vm/space.h": {"VM_REGIONS": 128},
    "vm/segments.h": {"SLOTS_PER_PAGE": 512},
    "vm/heap.h": {"VM_SPAN_MAX": 2 << 20},
    "vm/vm.h": {"VM_READ": 1, "VM_WRITE": 2, "VM_EXEC": 4, "VM_POPULATE": 8},
    "vm/frames/internal.h": {"CHILD_SHIFT": 21, "CHILD_FRAMES": 512, "GIB_CHILDREN": 512, "TREE_CHILDREN": 16, "COUNT_MASK": 0x3FF,
                             "FOREIGN": 0x2000},
    "vm/frames.h": {"FRAME_MAGAZINE_MAX": 64, "FRAME_MAGAZINE_2M": 8},
    "arch/x86_64/arch.h": {"SELECTOR_CODE": 8, "EXCEPTION_PAGE": 14, "CALL_NUMBER": 0, "CALL_RDI": 48, "CALL_RIP": 64, "CALL_RSP": 80, "CALL_SIZE": 88},
    "arch/x86_64/layout.h": {
        "NULL_GUARD_END": 0x10000, "LOW_HALF_END": 1 << 47, "PHYSMAP_BASE": 0xFFFF800000000000, "PHYSMAP_SIZE": 1 << 46,
        "IMAGE_BASE": 0xFFFFFFFF80000000, "FIXMAP_BASE": 0xFFFFFFFFFFC00000,
    },
    "arch/x86_64/mmu.c": {"USED_SHIFT": 52, "USED_MASK": 0x3FF << 52},
    "arch/x86_64/pte.h": {
        "PTE_PRESENT": 1, "PTE_WRITE": 2, "PTE_USER": 4, "PTE_PWT": 8, "PTE_PCD": 16, "PTE_ACCESSED": 32, "PTE_DIRTY": 64,
        "PTE_LARGE": 128, "PTE_PAT_4K": 128, "PTE_PAT_LARGE": 1 << 12, "PTE_GLOBAL": 256, "PTE_NX": 1 << 63,
        "PTE_KEPT": 512, "PTE_BORROWED": 1024, "PTE_ADDRESS": 0xFFFFFFFFFF000, "PAT_LAYOUT": 0x0007040100070406,
    },
}  # fmt: skip
C = {name: value for values in CONSTANTS.values() for name, value in values.items()}
