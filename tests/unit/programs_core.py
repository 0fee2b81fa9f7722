"""Test programs of core/ that run on the host, in the form of programs.py: the name, and the sources it is made of."""

# Threads of the core on CPUs that threads of the host, or the explorer, play.
THREADS = [
    "tests/unit/fake/clock.c",
    "tests/unit/fake/contexts.c",
    "tests/unit/fake/fiber.c",
    "tests/unit/fake/core.c",
    "tests/unit/fake/cpus.c",
    "tests/unit/fake/ram.c",
    "tests/unit/fake/harness.c",
]

# What sources that are explored need beside themselves.
EXPLORER = [
    "tests/unit/explore.c",
    "tests/unit/fake/spin_check.c",
    "tests/unit/fake/fiber.c",
    "tests/unit/fake/core.c",
    "tests/unit/fake/cpus.c",
    "tests/unit/fake/ram.c",
    "tests/unit/fake/harness.c",
]

THREADS_CPUS_TEST = [
    "tests/unit/test_threads_cpus.c",
    "core/linux/futex.c",
    "core/spinlock.c",
    "tests/unit/fake/spin_check.c",
    "core/threads/deadlines.c",
    "core/threads/scheduler.c",
    *THREADS,
]

PROGRAMS: dict[str, list[str]] = {
    "test_threads_cpus": THREADS_CPUS_TEST,
    "test_threads_cpus_tsan": THREADS_CPUS_TEST,
    "test_print": ["tests/unit/test_print.c", "tests/unit/fake/harness.c", "core/base/print.c"],
    "test_command_line": [
        "tests/unit/test_command_line.c",
        "tests/unit/fake/harness.c",
        "core/command_line.c",
        "core/base/print.c",
    ],
    "test_json": [
        "tests/unit/test_json.c",
        "tests/unit/fake/harness.c",
        "core/observe/json.c",
        "core/base/print.c",
    ],
    "test_scheduler": [
        "tests/unit/test_scheduler.c",
        "tests/unit/explore.c",
        "tests/unit/fake/spin_check.c",
        "core/threads/deadlines.c",
        *THREADS,
    ],
    "test_futex": ["tests/unit/test_futex.c", *EXPLORER],
    "test_signals": ["tests/unit/test_signals.c", *EXPLORER],
    "test_stacks": ["tests/unit/test_stacks.c", "tests/unit/fake/harness.c", "core/observe/stacks.c"],
    "test_alarm": [
        "tests/unit/test_alarm.c",
        "tests/unit/fake/harness.c",
        "core/linux/alarm.c",
        "core/observe/ticker.c",
    ],
    "test_acpi": ["tests/unit/test_acpi.c", "tests/unit/fake/harness.c", "arch/x86_64/acpi.c", "arch/x86_64/madt.c"],
    "test_clock_one": ["tests/unit/test_clock.c", "tests/unit/fake/harness.c"],
    "test_uart": ["tests/unit/test_uart.c", "tests/unit/fake/harness.c"],
    "test_tsc": ["tests/unit/test_tsc.c", "tests/unit/fake/harness.c", "arch/x86_64/tsc.c"],
    "test_elf": ["tests/unit/test_elf.c", "tests/unit/fake/harness.c", "core/elf.c"],
    "test_archive": ["tests/unit/test_archive.c", "tests/unit/fake/harness.c", "core/archive.c", "core/base/print.c"],
    "test_events": [
        "tests/unit/test_events.c",
        "core/linux/pipe.c",
        "core/linux/eventfd.c",
        "core/linux/epoll.c",
        "core/linux/poll.c",
        "core/linux/files.c",
        "core/linux/transfer.c",
        "core/allocate.c",
        "vm/frames/check.c",
        "vm/frames/clean.c",
        "vm/frames/drain.c",
        "vm/frames/large.c",
        "vm/frames/magazines.c",
        "vm/frames/place.c",
        "vm/frames/runs.c",
        "vm/frames/start.c",
        "vm/frames/stats.c",
        "vm/frames/store.c",
        "vm/frames/trees.c",
        "tests/unit/fake/ram.c",
        "tests/unit/fake/core.c",
        "tests/unit/fake/cpus.c",
        "core/spinlock.c",
        "core/spin_check.c",
        "tests/unit/fake/harness.c",
    ],
}

FUZZERS: dict[str, list[str]] = {
    "fuzz_acpi": ["tests/fuzz/fuzz_acpi.c", "arch/x86_64/acpi.c", "arch/x86_64/madt.c"],
    "fuzz_archive": ["tests/fuzz/fuzz_archive.c", "core/archive.c", "core/base/print.c"],
    "fuzz_elf": ["tests/fuzz/fuzz_elf.c", "core/elf.c"],
    "fuzz_command_line": ["tests/fuzz/fuzz_command_line.c", "core/command_line.c", "core/base/print.c"],
}
