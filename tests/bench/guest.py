"""
The Linux guest that images are compared with: Debian's kernel for clouds, unpacked from its package and booted through its
PVH note like an image, and an initial file system that holds nothing but guest/init.c, one program and the program's files.

The kernel's command line leaves out what a single program on a machine of its own does not need, so that it is Linux at its
best that is compared with: no mitigations, no randomisation, no zeroing beyond what programs are promised, no accounting.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Iterator, NamedTuple

from root import ROOT  # isort: first

import kernel
from archive import MODE_FILE, MODE_PROGRAM, TRAILER, Entry, collect
from tool import Failure, read_input, write_output

INIT = ROOT / "build/linux/init"
THP = ("always", "madvise", "never")
TUNED = (
    "quiet loglevel=0 panic=-1 mitigations=off nokaslr norandmaps randomize_kstack_offset=off init_on_alloc=0 "
    "hardened_usercopy=off cgroup_disable=memory preempt=none"
)
CONSOLE = "console=ttyS0"


class Program(NamedTuple):
    """What the guest runs; files: of the host, and their names in the guest."""

    path: Path
    name: str
    arguments: list[str]
    environment: dict[str, str]
    files: list[tuple[Path, str]]


def newc(entries: list[Entry]) -> Iterator[bytes]:
    """A cpio archive as Linux unpacks it (Documentation/driver-api/early-userspace/buffer-format.rst)."""
    for number, entry in enumerate([*entries, Entry(TRAILER, 0)], start=1):
        data, name = entry.read(), os.fsencode(entry.name) + b"\0"
        links = 2 if stat.S_ISDIR(entry.mode) else 1
        fields = (number, entry.mode, 0, 0, links, entry.time, len(data), 0, 0, 0, 0, len(name), 0)
        head = b"070701" + b"".join(b"%08x" % field for field in fields) + name
        yield head + bytes(-len(head) % 4)
        yield data + bytes(-len(data) % 4)


def words(texts: list[str]) -> bytes:
    return b"".join(os.fsencode(text) + b"\0" for text in texts)


def write_initrd(path: Path, program: Program, interval: int, limit: float) -> None:
    """interval: nanoseconds between samples, or 0; limit: seconds after which the program is ended."""
    entries = {entry.name: entry for entry in collect(program.files)}
    own = [
        Entry("bench", stat.S_IFDIR | 0o755),
        Entry("bench/arguments", MODE_FILE, words([f"/{program.name}", *program.arguments])),
        Entry("bench/environment", MODE_FILE, words([f"{name}={value}" for name, value in program.environment.items()])),
        Entry("bench/interval", MODE_FILE, b"%d" % interval),
        Entry("bench/limit", MODE_FILE, b"%f" % limit),
        Entry("init", MODE_PROGRAM, read_input(INIT)),
        Entry(program.name, MODE_PROGRAM, read_input(program.path)),
    ]
    taken = [entry.name for entry in own if entry.name in entries and entry.name != program.name]
    if taken:
        raise Failure(f"the Linux guest: {taken[0]} is the name of a file of the program, and the guest's own")
    entries |= {entry.name: entry for entry in own}
    write_output(path, b"".join(newc(sorted(entries.values(), key=lambda entry: entry.name.split("/")))))


def command(machine: list[str], initrd: Path, thp: str) -> list[str]:
    """QEMU's command. machine: what both sides share."""
    line = f"{CONSOLE} {TUNED} transparent_hugepage={thp}"
    return [*machine, "-kernel", str(kernel.KERNEL), "-initrd", str(initrd), "-append", line]
