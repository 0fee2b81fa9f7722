"""
Test programs of vm/ and of the page-table code that run on the host: the name, and the sources it is made of. Those
named *_tsan are compiled with ThreadSanitizer, the others with AddressSanitizer and UndefinedBehaviorSanitizer; those
named *_one as the core is for programs without threads.
"""

# The simulated machine without a CPU: RAM and panics. Fuzzers have no test harness.
MACHINE = ["tests/unit/fake/ram.c", "tests/unit/fake/core.c", "tests/unit/fake/cpus.c", "core/spinlock.c", "core/spin_check.c"]
HARNESS = ["tests/unit/fake/harness.c"]
CPU = ["tests/unit/fake/cpu.c", "tests/unit/fake/mmu.c"]
FRAMES_ONE = [
    "vm/frames/check.c",
    "vm/frames/clean.c",
    "vm/frames/large.c",
    "vm/frames/magazines.c",
    "vm/frames/place.c",
    "vm/frames/runs.c",
    "vm/frames/start.c",
    "vm/frames/stats.c",
    "vm/frames/store.c",
]
FRAMES = [*FRAMES_ONE, "vm/frames/drain.c", "vm/frames/trees.c"]
VM = [
    *FRAMES,
    "vm/domains.c",
    "vm/segments.c",
    "vm/space.c",
    "vm/ranges.c",
    "vm/fault.c",
    "vm/backing.c",
    "vm/dispatch.c",
    "vm/drivers.c",
    "vm/report.c",
    "vm/stats.c",
    "vm/anon.c",
    "vm/heap.c",
    "vm/phys.c",
    "vm/stack.c",
    "vm/file.c",
    "vm/collapse.c",
    "vm/image.c",
    "vm/guard.c",
    "vm/visitors.c",
]
HEAP_ALONE = [
    "tests/unit/fake/tables.c",
    "vm/heap/check.c",
    "vm/heap/classes.c",
    "vm/heap/cpus.c",
    "vm/heap/heap.c",
    "vm/heap/program.c",
    "vm/heap/regions.c",
    "vm/heap/spans.c",
]
HEAP = ["tests/unit/fake/heap.c", "vm/heap/large.c", "vm/heap/memory.c", *HEAP_ALONE]
SPACE = ["tests/unit/fixture.c", *VM, *MACHINE, *CPU, *HARNESS]

# The file system of core/linux over the simulated machine.
TREE = [
    "core/allocate.c",
    "core/archive.c",
    "core/linux/attributes.c",
    "core/linux/contents.c",
    "core/linux/descriptors.c",
    "core/linux/directory.c",
    "core/linux/extent.c",
    "core/linux/files.c",
    "core/linux/locks.c",
    "core/linux/lookup.c",
    "core/linux/names.c",
    "core/linux/nodes.c",
    "core/linux/open.c",
    "core/linux/regular.c",
    "core/linux/special.c",
    "core/linux/text.c",
    "core/linux/transfer.c",
    "core/linux/tree.c",
    "tests/unit/fake/fake_linux.c",
    "tests/unit/linux_calls.c",
    "tests/unit/native_calls.c",
]

SPACE_CPUS_TEST = ["tests/unit/test_space_cpus.c", *SPACE]
HEAP_CPUS_TEST = [
    "tests/unit/test_heap_cpus.c",
    "tests/unit/fake/memory.c",
    "vm/heap/hardened.c",
    *HEAP_ALONE,
    *MACHINE,
    *HARNESS,
]
HEAP_VM_CPUS_TEST = [
    "tests/unit/test_heap_cpus.c",
    "tests/unit/memory_vm.c",
    "vm/heap/hardened.c",
    *HEAP,
    *SPACE,
]
CPUS_TEST = ["tests/unit/test_cpus.c", *MACHINE, *HARNESS]
FRAMES_CPUS_TEST = ["tests/unit/test_frames_cpus.c", *FRAMES, *MACHINE, *HARNESS]

PROGRAMS: dict[str, list[str]] = {
    "test_frames_cpus": FRAMES_CPUS_TEST,
    "test_frames_cpus_tsan": FRAMES_CPUS_TEST,
    "test_spin_check": ["tests/unit/test_spin_check.c", *MACHINE, *HARNESS],
    "test_spin_check_tsan": ["tests/unit/test_spin_check.c", *MACHINE, *HARNESS],
    "test_cpus": CPUS_TEST,
    "test_cpus_tsan": CPUS_TEST,
    "test_frames": ["tests/unit/test_frames.c", *FRAMES, *MACHINE, *HARNESS],
    "test_frames_one": ["tests/unit/test_frames.c", *FRAMES_ONE, *MACHINE, *HARNESS],
    "test_mmu": ["tests/unit/test_mmu.c", *MACHINE, *CPU, *HARNESS],
    "test_space": ["tests/unit/test_space.c", *SPACE],
    "test_space_cpus": SPACE_CPUS_TEST,
    "test_space_cpus_tsan": SPACE_CPUS_TEST,
    "test_fault_times": ["tests/unit/test_fault_times.c", "core/observe/faults.c", *SPACE],
    "test_stats": ["tests/unit/test_stats.c", *SPACE],
    "test_drivers": ["tests/unit/test_drivers.c", "tests/unit/conformance.c", *SPACE],
    "test_interleavings": [
        "tests/unit/test_interleavings.c",
        "tests/unit/explore.c",
        "tests/unit/fake/spin_check.c",
        "tests/unit/fake/fiber.c",
        "tests/unit/fake/ram.c",
        "tests/unit/fake/core.c",
        "tests/unit/fake/cpu.c",
        "tests/unit/fake/cpus.c",
        *HARNESS,
    ],
    "test_heap_cpus": HEAP_CPUS_TEST,
    "test_heap_cpus_tsan": HEAP_CPUS_TEST,
    "test_heap_vm_cpus": HEAP_VM_CPUS_TEST,
    "test_heap_vm_cpus_tsan": HEAP_VM_CPUS_TEST,
    "test_heap": ["tests/unit/test_heap.c", *HEAP, *SPACE],
    "test_damage": ["tests/unit/test_damage.c", *HEAP, *SPACE],
    "test_exhaustion": ["tests/unit/test_exhaustion.c", *HEAP, *SPACE],
    "test_pager": ["tests/unit/test_pager.c", "apps/pager/mandelbrot.c", "tests/unit/conformance.c", *SPACE],
    "test_file": ["tests/unit/test_file.c", "tests/unit/conformance.c", *SPACE],
    "test_tree": ["tests/unit/test_tree.c", *TREE, *SPACE],
    "test_tree_model": ["tests/unit/test_tree_model.c", *TREE, *SPACE],
    "test_model": ["tests/unit/test_model.c", "tests/unit/model.c", *SPACE],
}

FUZZERS: dict[str, list[str]] = {
    "fuzz_space": ["tests/fuzz/fuzz_space.c", "tests/unit/model.c", *VM, *MACHINE, *CPU],
    "fuzz_boot_info": ["tests/fuzz/fuzz_boot_info.c", "arch/x86_64/boot_info.c"],
}
