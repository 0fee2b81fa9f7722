#!/usr/bin/env python3
"""
Counts instructions and bytes, and compares them with the limits that the project has set itself, which must not get worse, and
with its goals (goals.py), which it may not have reached yet (`ninja limits`). Status 1 if either is above.

    tests/bench/limits.py [--json] [--check]        --check: the limits alone

Everything runs in QEMU's emulation with -icount, where an instruction is an instruction in every run; an iteration of
`rep` counts as one (images/qemu.py, --icount). Single operations are counted by the program images/micro inside of the
machine, by the time-stamp counter, whose ticks it checks against a loop of known length. The way of hello from the first
instruction of the kernel to its main is counted outside: QEMU writes down every instruction of the image that it executes.
"""

import argparse
import json
import re
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from root import ROOT  # isort: first

import goals

IMAGES = ROOT / "build/test"
LAUNCHER = [sys.executable, str(ROOT / "images/qemu.py"), "run", "--icount", "--append", "quire.aslr=off"]
TIMEOUT = 300

# Where the image is loaded by PVH, and linked (arch/x86_64/layout.h).
IMAGE_LOAD_BASE, IMAGE_BASE = 0x200000, 0xFFFFFFFF80000000
TRACE_LINE = re.compile(r"^Trace \d+: 0x[0-9a-f]+ \[[0-9a-f]+/([0-9a-f]+)/")

BASE_MIB, LARGE_MIB = 128, 16 << 10
FURTHER_GIB = (1, 4, 15)
CALIBRATION_TOLERANCE = 0.001


NOT_AT_BOOT = ("pci_",)  # functions that nothing calls before main: PCI is scanned when it is asked for


class Row(NamedTuple):
    key: str
    label: str
    limit: float | None = None
    unit: str = "instructions"
    others: str = ""  # what others need


# The limits are the project's own; the figures of others are from the same emulation, counted in the same way.
ROWS = [
    Row("entry", f"kernel entry to main, hello, {BASE_MIB} MiB of RAM", 120_000, others="Linux 33,000,000"),
    Row("entry_16g", "  16 GiB of RAM", 200_000),
    Row("entry_gib", "  more for each further GiB, at worst", 50_000),
    Row("null_call", "null system call (getppid)", 50, others="Linux 191 to 313"),
    Row("clock_gettime", "clock_gettime (CLOCK_MONOTONIC), musl", 60, others="Linux 74"),
    Row("fault_4k", "4 KiB demand fault", others="Linux 1,818 to 2,864"),
    Row("fault_4k_unzeroed", "  without the zeroing", 150, others="Linux 1,300 to 2,350"),
    Row("fault_4k_usual", "  the usual one: no table, no refill", 118),
    Row("fault_4k_clean", "  where the frame is zeros already", 118),
    Row("fault_4k_in_order", "  a page of many touched in order, without the zeroing", 22),
    Row("fault_2m", "2 MiB demand fault", others="Linux 288,201 to 291,127"),
    Row("fault_2m_unzeroed", "  without the zeroing", 220),
    Row("alloc_free", "vm_alloc + vm_free, 1 MiB untouched", 120, others="OSv 3,700"),
    Row("mmap_munmap", "mmap + munmap, 1 MiB untouched", others="Linux 10,740 to 14,020"),
    Row("mmap_munmap_64k", "mmap + munmap, 64 KiB untouched", 250, others="Linux 8,900 to 12,100"),
    Row("protect_page", "mprotect of a page in 1 MiB, there and back", 2000),
    Row("protect_fault", "protect, fault, handler unprotects, return", 900, others="Linux 6,600 to 9,000"),
    Row("protect_fault_inside", "  the page in the middle of a mapping"),
    Row("read_4k", "read of 4 KiB, packed file, without the copy", 400),
    Row("malloc_called", "malloc + free, 64 bytes, without the calls", 17),
    Row("malloc_inlined", "  of a constant size, without a call", 12),
    Row("malloc_sized", "  freed by its size, as delete does", 10),
    Row("span", "vm_span_alloc + vm_span_free, 64 KiB"),
    Row("frame", "vm_frame_get + vm_frame_put", 25),
    Row("frame_large", "  of 2 MiB", 30),
    Row("frame_batch", "  512 got, 512 put, each"),
    Row("frame_bulk", "  512 at once (vm_frames_get, vm_frames_put), each", 80),
    Row("elf", "hello.elf", 120 << 10, "bytes"),
    Row("iso", "hello.iso", 1 << 20, "bytes"),
]


class Failure(Exception):
    """The message is the line that the user sees."""


def config_path(name: str) -> Path:
    path = IMAGES / name / "run.json"
    if not path.is_file():
        raise Failure(f"there is no {path.relative_to(ROOT)}; type   ./configure.py hello")
    return path


def load_config(name: str) -> dict:
    return json.loads(config_path(name).read_text())


def build() -> None:
    targets = [load_config(name)["elf"] for name in ("hello", "micro", *goals.IMAGES)]
    targets.append(load_config("hello")["iso"])
    done = subprocess.run(["ninja", *targets], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"ninja failed, nothing was measured:\n{done.stdout}{done.stderr}")


def run_image(name: str, arguments: list[str] | None = None) -> subprocess.CompletedProcess:
    command = [*LAUNCHER, "--config", str(config_path(name)), "--timeout", str(TIMEOUT)]
    command += ["--", *arguments] if arguments else []
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def run_counting(name: str, arguments: list[str] | None = None) -> dict[str, float]:
    """The figures that an image prints."""
    done = run_image(name, arguments)
    figures = goals.read_figures(done.stdout)
    if done.returncode != 0 and "percent" not in figures:  # heap-day's status says that too much is held
        raise Failure(f"{name} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    if "percent" in figures:
        return figures
    ticks = figures.pop("calibration", 0.0)
    if abs(ticks - 1) > CALIBRATION_TOLERANCE:
        raise Failure(f"an instruction takes {ticks} ticks of the time-stamp counter here, not 1: nothing can be counted")
    return figures


def run_goals(micro: dict[str, float]) -> dict[str, dict[str, float]]:
    """The figures of the images that goals are about."""
    with ThreadPoolExecutor(2) as pool:
        found = pool.map(lambda name: run_counting(name, goals.ARGUMENTS.get(name)), goals.IMAGES)
        return {"micro": micro, **dict(zip(goals.IMAGES, found, strict=True))}


def symbols(elf: Path) -> dict[str, int]:
    listed = subprocess.run(["nm", str(elf)], capture_output=True, text=True, check=True).stdout
    return {name: int(address, 16) for address, name in re.findall(r"^([0-9a-f]+) \w (\S+)$", listed, re.MULTILINE)}


def trace_arguments(elf: Path, log: Path) -> list[str]:
    """Has QEMU write a line for every instruction inside of the image, before and after paging is on."""
    size = symbols(elf)["__image_end"] - IMAGE_BASE
    ranges = ",".join(f"{start:#x}+{size:#x}" for start in (IMAGE_LOAD_BASE, IMAGE_BASE))
    return ["-singlestep", "-d", "exec,nochain", "-dfilter", ranges, "-D", str(log)]


def count_until(log: Path, address: int, never: dict[int, str]) -> int:
    """Lines of the trace before the first one at the address; a Failure if a function of `never` is entered until then."""
    count = 0
    with log.open() as lines:
        for line in lines:
            match = TRACE_LINE.match(line)
            if not match:
                continue
            here = int(match[1], 16)
            if here == address:
                return count
            if here in never:
                raise Failure(f"hello calls {never[here]} before its main")
            count += 1
    raise Failure(f"hello did not reach its main within {count} instructions")


def entry_to_main(memory_mib: int) -> int:
    """Instructions from the kernel's first one to main of hello."""
    elf = ROOT / load_config("hello")["debug_elf"]
    with tempfile.TemporaryDirectory(prefix="quire-bench-") as folder:
        log = Path(folder, "trace")
        command = [*LAUNCHER, "--config", str(config_path("hello")), "--memory", f"{memory_mib}M", "--dry-run"]
        dry = subprocess.run(command, capture_output=True, text=True, check=False)
        if dry.returncode != 0:
            raise Failure(dry.stderr.strip())
        machine = [*shlex.split(dry.stdout), *trace_arguments(elf, log)]
        subprocess.run(machine, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT, check=False)
        names = symbols(elf)
        return count_until(log, names["main"], {names[name]: name for name in names if name.startswith(NOT_AT_BOOT)})


def run_entry() -> dict[str, float]:
    with ThreadPoolExecutor(2) as pool:
        base, large, *further = pool.map(entry_to_main, [BASE_MIB, LARGE_MIB, *(BASE_MIB + (gib << 10) for gib in FURTHER_GIB)])
    growth = [(count - base) / gib for count, gib in zip(further, FURTHER_GIB, strict=True)]
    return {"entry": base, "entry_16g": large, "entry_gib": max(growth)}


def sizes() -> dict[str, float]:
    hello = load_config("hello")
    return {key: (ROOT / hello[key]).stat().st_size for key in ("elf", "iso")}


def verdict(row: Row, value: float) -> str:
    if row.limit is None:
        return ""
    return "pass" if value <= row.limit else "MISS"


def print_table(figures: dict[str, float]) -> None:
    print(f"{'':<48}{'here':>11}{'limit':>11}         {'others'}")
    for row in ROWS:
        value = figures[row.key]
        limit = "" if row.limit is None else f"{row.limit:,}"
        line = f"{row.label:<48}{value:>11,.0f}{limit:>11}   {verdict(row, value):<4}  {row.others}"
        print(line.rstrip())
    print("\nInstructions, and bytes for files. The zeroing: 32 bytes an instruction and a little, as the CPU has AVX and no ERMS.")


def print_json(figures: dict[str, float], of_images: dict[str, dict[str, float]]) -> None:
    for row in ROWS:
        value = figures[row.key]
        line = {"name": row.key, "value": value, "unit": row.unit, "limit": row.limit}
        print(json.dumps(line | {"verdict": verdict(row, value) or None}))
    for goal in goals.GOALS if of_images else ():
        line = {"goal": goal.label, "value": goals.value_of(goal, of_images), "limit": goal.limit}
        print(json.dumps(line | {"verdict": goals.word(goals.holds(goal, of_images))}))


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Counts instructions and bytes.")
    parser.add_argument("--json", action="store_true", help="a JSON object a line instead of a table")
    parser.add_argument("--check", action="store_true", help="the limits alone, without the goals")
    options = parser.parse_args(arguments)
    try:
        build()
        micro = run_counting("micro")
        figures = micro | run_entry() | sizes()
        of_images = {} if options.check else run_goals(micro)
    except (Failure, OSError, subprocess.SubprocessError) as failure:
        print(f"limits: {failure}", file=sys.stderr)
        return 2
    if options.json:
        print_json(figures, of_images)
    else:
        print_table(figures)
        if of_images:
            print()
            goals.print_goals(of_images)
    missed = [row.key for row in ROWS if verdict(row, figures[row.key]) == "MISS"]
    missed += [goal.label for goal in goals.GOALS if of_images and not goals.holds(goal, of_images)]
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
