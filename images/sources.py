"""What the core is made of: explicit lists, no globbing. A new file is built when its line is here."""

CORE = [
    "arch/x86_64/acpi.c",
    "arch/x86_64/boot.c",
    "arch/x86_64/boot_info.c",
    "arch/x86_64/clock.c",
    "arch/x86_64/cpu.c",
    "arch/x86_64/entry.S",
    "arch/x86_64/fixmap.c",
    "arch/x86_64/frame.c",
    "arch/x86_64/lapic.c",
    "arch/x86_64/mmu.c",
    "arch/x86_64/pci.c",
    "arch/x86_64/physmap.c",
    "arch/x86_64/power.c",
    "arch/x86_64/syscall.S",
    "arch/x86_64/trap.S",
    "arch/x86_64/trap.c",
    "arch/x86_64/uart.c",
    "arch/x86_64/user_copy.S",
    "core/allocate.c",
    "core/archive.c",
    "core/base/error.c",
    "core/base/print.c",
    "core/base/string.c",
    "core/command_line.c",
    "core/elf.c",
    "core/init.c",
    "core/linux/console.c",
    "core/linux/epoll.c",
    "core/linux/eventfd.c",
    "core/linux/files.c",
    "core/linux/handlers.c",
    "core/linux/memory.c",
    "core/linux/pipe.c",
    "core/linux/poll.c",
    "core/linux/process.c",
    "core/linux/remap.c",
    "core/linux/signalfd.c",
    "core/linux/signals.c",
    "core/linux/table.c",
    "core/linux/time.c",
    "core/linux/transfer.c",
    "core/linux/tree.c",
    "core/linux/wait.c",
    "core/load.c",
    "core/panic.c",
    "core/program.c",
    "core/random.c",
    "core/symbols.c",
    "vm/anon.c",
    "vm/backing.c",
    "vm/dispatch.c",
    "vm/drivers.c",
    "vm/fault.c",
    "vm/file.c",
    "vm/frames.c",
    "vm/guard.c",
    "vm/heap.c",
    "vm/image.c",
    "vm/phys.c",
    "vm/ranges.c",
    "vm/report.c",
    "vm/segments.c",
    "vm/space.c",
    "vm/stack.c",
]

# Where instructions are counted: faults, frames, page tables, segments. Compiled for speed; everything else in the release
# variant for size, because hello.elf is to stay below 120 KiB.
HOT = {
    "arch/x86_64/mmu.c",
    "core/linux/memory.c",
    "vm/anon.c",
    "vm/backing.c",
    "vm/fault.c",
    "vm/frames.c",
    "vm/heap.c",
    "vm/segments.c",
    "vm/space.c",
}

# The linker script of every image, and the names that the core shows to applications.
IMAGE_SCRIPT = "arch/x86_64/image.ld.S"
PUBLIC_SYMBOLS = "core/public-symbols.txt"

# Every system call, and what is here of it (images/calls.py).
CALLS = "core/linux/calls.def"

# What every program with this C library is linked with, beside the library: compiled as application code.
LIBC_SOURCES = {"musl": ["core/libc/fortify.c"], "glibc": [], "none": ["core/libc/none.c"]}
