#!/usr/bin/env python3
"""
How long a machine takes from the start of QEMU to the first line of its program, as an image and as a Linux guest
(`ninja bench-boot`): hello, in turn, on microvm and in emulation. Status 1 if the image takes more than 0.15 of
Linux' time.

    tests/bench/boot.py [--turns N]

Linux is that of all comparisons here (guest.py): Debian's kernel for clouds through its PVH note, with all left out of
its command line that a single program does not need. The program is the first and only one, and writes to the serial
line: no init, no file system but the packed one. Times are the median of N turns (5), so that what else the host does
meets both.
"""

import argparse
import json
import select
import shlex
import stat
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from root import ROOT  # isort: first

import guest
import kernel
import qemu
from archive import MODE_PROGRAM, Entry
from tool import Failure, read_input, require, run_main, write_output

CONFIG = ROOT / "build/test/hello/run.json"
NATIVE = ROOT / "build/test/hello/hello.native"
FIRST_LINE = b"Hello, "  # whom, says its first argument, and Linux passes words of its command line
MACHINE, MEMORY, CPUS = "microvm", 128 << 20, 1
TIMEOUT = 120.0
TURNS = 5
LIMIT = 0.15
# In emulation the time-stamp counter runs at 1 GHz. On a microvm Linux has only the PIT to measure it by, which fails on a busy
# host, and then it stands still; not measuring at all is in its favour.
TSC = "tsc_early_khz=1000000"


class Machine(NamedTuple):
    name: str
    command: list[str]


def build() -> None:
    values = json.loads(read_input(CONFIG))
    done = subprocess.run(["ninja", "--quiet", values["elf"], str(NATIVE.relative_to(ROOT))], cwd=ROOT, check=False)
    if done.returncode:
        raise Failure("ninja failed, nothing was measured")
    if not kernel.KERNEL.is_file():
        raise Failure("there is no Linux guest; type   ./configure.py --setup hello")


def image_machine() -> Machine:
    launcher = [sys.executable, str(ROOT / "images/qemu.py"), "run", "--config", str(CONFIG), "--dry-run"]
    launcher += ["--machine", MACHINE, "--memory", qemu.format_memory(MEMORY), "--accelerator", "tcg"]
    done = subprocess.run(launcher, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(done.stderr.strip())
    return Machine("image", shlex.split(done.stdout))


def node(name: str, mode: int, device: tuple[int, int]) -> bytes:
    """A member of an archive as Linux unpacks it, without contents; several archives may follow each other."""
    text = name.encode() + b"\0"
    head = b"070701" + b"".join(b"%08x" % field for field in (0, mode, 0, 0, 1, 0, 0, 0, 0, *device, len(text), 0)) + text
    return head + bytes(-len(head) % 4)


def linux_machine(folder: Path) -> Machine:
    """The program in place of init, and the console that it is given."""
    initrd = folder / "initrd"
    nodes = node("dev", stat.S_IFDIR | 0o755, (0, 0)) + node("dev/console", stat.S_IFCHR | 0o600, (5, 1))
    program = Entry("init", MODE_PROGRAM, read_input(NATIVE))
    write_output(initrd, nodes + b"".join(guest.newc([program])))
    machine = qemu.machine_arguments(MACHINE, MEMORY, CPUS, ["-cpu", "max", "-accel", "tcg"])
    *command, line = guest.command(machine, initrd, "never")
    return Machine("Linux", [*command, f"{line} {TSC}"])


def first_line(machine: Machine) -> float:
    """Seconds from QEMU's start until its program's first line has come."""
    seen = b""
    start = time.monotonic()
    with subprocess.Popen(machine.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as process:
        try:
            while FIRST_LINE not in seen:
                ready, _, _ = select.select([process.stdout], [], [], TIMEOUT)
                piece = process.stdout.read(4096) if ready else b""
                if not piece:
                    raise Failure(f"{machine.name} did not print its first line; the last was {seen.splitlines()[-1:]}")
                seen += piece
            return time.monotonic() - start
        finally:
            process.kill()


def measure(turns: int) -> dict[str, list[float]]:
    with tempfile.TemporaryDirectory(prefix="quire-bench-boot-") as name:
        machines = [image_machine(), linux_machine(Path(name))]
        require(qemu.QEMU)
        times: dict[str, list[float]] = {machine.name: [] for machine in machines}
        for turn in range(turns):
            for machine in machines:
                times[machine.name].append(first_line(machine))
                print(f"[{turn + 1}/{turns}] {machine.name:<6} {times[machine.name][-1] * 1000:8.1f} ms", flush=True)
    return times


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="From the start of QEMU to the first line, here and on Linux.")
    parser.add_argument("--turns", type=int, default=TURNS, metavar="N", help=f"runs of each (default: {TURNS})")
    options = parser.parse_args(arguments)
    if options.turns < 1:
        raise Failure("--turns: at least 1")
    build()
    medians = {name: statistics.median(times) for name, times in measure(options.turns).items()}
    ratio = medians["image"] / medians["Linux"]
    for name, seconds in medians.items():
        print(f"{name:<6} {seconds * 1000:8.1f} ms from QEMU's start to the first line, median of {options.turns}")
    print(f"ratio  {ratio:8.3f}    at most {LIMIT}: {'holds' if ratio <= LIMIT else 'ABOVE'}")
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    run_main("boot.py", main)
