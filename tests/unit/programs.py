"""Test programs of vm/ and of the page-table code that run on the host: the name, and the sources it is made of."""

# The simulated machine without a CPU: RAM and panics. Fuzzers have no test harness.
MACHINE = ["tests/unit/fake/ram.c", "tests/unit/fake/core.c"]
HARNESS = ["tests/unit/fake/harness.c"]
CPU = ["tests/unit/fake/cpu.c", "tests/unit/fake/mmu.c"]
VM = [
    "vm/frames.c",
    "vm/segments.c",
    "vm/space.c",
    "vm/ranges.c",
    "vm/fault.c",
    "vm/backing.c",
    "vm/dispatch.c",
    "vm/drivers.c",
    "vm/report.c",
    "vm/anon.c",
    "vm/heap.c",
    "vm/phys.c",
    "vm/stack.c",
    "vm/file.c",
    "vm/collapse.c",
    "vm/image.c",
    "vm/guard.c",
]
SPACE = ["tests/unit/fixture.c", *VM, *MACHINE, *CPU, *HARNESS]

PROGRAMS: dict[str, list[str]] = {
    "test_frames": ["tests/unit/test_frames.c", "vm/frames.c", *MACHINE, *HARNESS],
    "test_mmu": ["tests/unit/test_mmu.c", *MACHINE, *CPU, *HARNESS],
    "test_space": ["tests/unit/test_space.c", *SPACE],
    "test_drivers": ["tests/unit/test_drivers.c", "tests/unit/conformance.c", *SPACE],
    "test_pager": ["tests/unit/test_pager.c", "apps/pager/mandelbrot.c", "tests/unit/conformance.c", *SPACE],
    "test_file": ["tests/unit/test_file.c", "tests/unit/conformance.c", *SPACE],
    "test_model": ["tests/unit/test_model.c", "tests/unit/model.c", *SPACE],
}

FUZZERS: dict[str, list[str]] = {
    "fuzz_space": ["tests/fuzz/fuzz_space.c", "tests/unit/model.c", *VM, *MACHINE, *CPU],
    "fuzz_boot_info": ["tests/fuzz/fuzz_boot_info.c", "arch/x86_64/boot_info.c"],
}
