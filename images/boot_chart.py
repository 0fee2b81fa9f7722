#!/usr/bin/python3
"""
Draws how an image boots (`./configure.py APP --boot-chart`): instructions and time of each phase, from reset to main.

    images/boot_chart.py --config build/APP/run.json [--output FOLDER] [--memory SIZE] [--attach HOW] [--firmware bios|uefi]
                         [--machine MACHINE] [--turns N]

    boot.json                       instructions and nanoseconds of each phase
    boot.html, boot.png             the same as a chart

A phase begins where a function of the image is entered for the first time. A plugin of QEMU (images/plugin/phases.c)
watches for the addresses, so that an image pays nothing for being observed, and any image can be. Instructions are
counted in a run of their own under -icount, where they are the same each time; the time is the median of N runs (3) in
emulation without counting, where it is that of this machine and what else it does.

Before the image there is firmware and, if it boots from an ISO, a loader, GRUB. For BIOS this begins at 0x7c00, for
UEFI it is the program BOOTX64.EFI of the ISO, known by its first instructions. The direct way has no loader: what is
before the image is QEMU's firmware, which hands over to it. UEFI's time is nearly all its own.

Only pictures need matplotlib; Debian's belongs to Debian's Python, hence the first line.
"""

from __future__ import annotations

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until everything is imported Ctrl-C just ends it

import argparse
import json
import re
import statistics
import struct
import subprocess
import sys
import tempfile
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import charts
import qemu
from charts import LIGHT, NARROW, WIDE, Chart
from qemu import Config, build_command, load_config, quote_option
from symbols import read_functions
from tool import Failure, check_folder, read_input, require, run_main, write_output

ROOT = Path(__file__).resolve().parent.parent
PLUGIN = Path("build/boot-chart/phases.so")  # images/graph.py
TIMEOUT = 120
TURNS = 3

IMAGE_ALIGNMENT = 2 << 20  # a loader keeps the addresses modulo this (arch/x86_64/image.ld.S)
IMAGE_BASE = 0xFFFFFFFF80000000
BIOS_LOADER = 0x7C00
PAGE = 4096
LOADER_BYTES = 16
ENTRY_BYTES = 12  # up to the first call, which ends a block of QEMU's


class Phase(NamedTuple):
    """begin: the function with which it begins, the first of these that an image has; none: it is found otherwise."""

    name: str
    begin: tuple[str, ...]
    own: bool = True  # of the image


FIRMWARE = Phase("firmware", (), own=False)
LOADER = Phase("boot loader", (), own=False)
ENTRY = Phase("entry: CPU checked, image mapped", ("boot_entry", "__boot_entry"))
PHASES = [
    Phase("console", ("boot_main",)),
    Phase("CPU: descriptors, registers", ("cpu_early_init",)),
    Phase("what the loader said", ("boot_info_parse_pvh", "boot_info_parse_multiboot2")),
    Phase("map of RAM", ("physmap_build",)),
    Phase("frame allocator", ("frames_init",)),
    Phase("room for translations (QEMU)", ("emulation_init",)),
    Phase("address space", ("vm_space_init",)),
    Phase("image on the map", ("core_main",)),
    Phase("system calls, files, clock", ("linux_init",)),
    Phase("stack of the program", ("program_start",)),
    Phase("C library", ("_start",)),
]
LAST = ("main", "_start")  # where the boot ends; for an existing program where it is entered


class Place(NamedTuple):
    """Where a phase begins, in the words of the plugin."""

    phase: Phase
    word: str


class Step(NamedTuple):
    """A phase that was passed."""

    name: str
    instructions: int
    ns: float
    own: bool


# ---- where phases begin ----


def addresses_of(elf: bytes) -> dict[str, int]:
    """Of all functions, by each name."""
    return {symbol.name: symbol.address for symbol in read_functions(elf)[0]}


def code_at(elf: bytes, address: int, size: int) -> bytes:
    """What is loaded at an address of an ELF file."""
    start, entry_size, count = struct.unpack_from("<32xQ14xHH", elf)
    for index in range(count):
        _, _, offset, base, _, length = struct.unpack_from("<IIQQQQ", elf, start + index * entry_size)
        if base <= address and address + size <= base + length:
            return elf[offset + address - base :][:size]
    raise Failure(f"the ELF file has no code at {address:#x}")


def moved(address: int, alignment: int, code: bytes) -> str:
    return f"{address % alignment:#x}/{alignment:#x}/{code.hex()}"


def efi_entry(iso: bytes) -> str:
    """The first instructions of BOOTX64.EFI (Microsoft, PE Format), which lies in the ISO in one piece."""
    for match in re.finditer(rb"MZ", iso):
        start = match.start()
        if start % 512 or start + 0x40 > len(iso):
            continue
        header = start + struct.unpack_from("<I", iso, start + 0x3C)[0]
        if iso[header : header + 6] != b"PE\0\0\x64\x86":
            continue
        sections, optional = struct.unpack_from("<6xH12xH", iso, header)
        [entry] = struct.unpack_from("<I", iso, header + 24 + 16)
        for index in range(sections):
            size, address, _, offset = struct.unpack_from("<IIII", iso, header + 24 + optional + 40 * index + 8)
            if address <= entry < address + size:
                code = start + offset + entry - address
                return moved(entry, PAGE, iso[code : code + LOADER_BYTES])
    raise Failure("the ISO has no program for UEFI")


def find_loader(config: Config, boot: Any) -> list[Place]:
    if boot.is_direct:
        return []
    return [Place(LOADER, efi_entry(read_input(config.iso)) if boot.firmware == "uefi" else f"{BIOS_LOADER:#x}")]


def last_address(config: Config, functions: dict[str, int]) -> int:
    if config.program:
        file, base = config.program
        return base + struct.unpack_from("<24xQ", read_input(Path(file)))[0]
    found = next((functions[name] for name in LAST if name in functions), None)
    if found is None:
        raise Failure(f"{config.name} has no function {' or '.join(LAST)}: the end of its boot is not known")
    return found


def find_places(config: Config, boot: Any) -> list[Place]:
    """In the order in which they are passed; the last one is the end."""
    elf = read_input(qemu.need_file(config.debug_elf, "file with debug data"))
    functions = addresses_of(elf)
    entry = next(functions[name] for name in ENTRY.begin if name in functions)
    places = find_loader(config, boot)
    places.append(Place(ENTRY, moved(entry - IMAGE_BASE, IMAGE_ALIGNMENT, code_at(elf, entry, ENTRY_BYTES))))
    end = last_address(config, functions)
    for phase in PHASES:
        found = [functions[name] for name in phase.begin if name in functions]
        if phase.name == "what the loader said" and not boot.is_direct:
            found.reverse()
        if found and found[0] != end:
            places.append(Place(phase, f"{found[0]:#x}"))
    return [*places, Place(Phase("main", ()), f"{end:#x}")]


# ---- runs ----


def watch(command: list[str], places: list[Place], counting: bool) -> list[tuple[int, int]]:
    """Instructions and nanoseconds from reset to each place."""
    with tempfile.TemporaryDirectory(prefix="quire-boot-chart-") as folder:
        output = Path(folder, "times")
        plugin = f"{quote_option(ROOT / PLUGIN)},output={quote_option(output)}" + (",count=1" if counting else "")
        plugin += "".join(f",place={place.word}" for place in places)
        try:
            done = subprocess.run([*command, "-plugin", plugin], stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT, check=False)
            errors = done.stderr.decode(errors="replace").strip()
        except subprocess.TimeoutExpired:
            errors = f"not within {TIMEOUT} s"
        found = dict.fromkeys(range(len(places)))
        for row in output.read_text().splitlines() if output.is_file() else []:
            index, instructions, ns = map(int, row.split())
            found[index] = (instructions, ns)
    if found[len(places) - 1] is None:
        passed = [place.phase.name for index, place in enumerate(places) if found[index]]
        raise Failure(f"main was not reached ({errors.splitlines()[-1] if errors else 'the machine ended'}); "
                      f"the last phase was {passed[-1] if passed else 'firmware'}")  # fmt: skip
    missing = [place.phase.name for index, place in enumerate(places) if not found[index]]
    if missing:
        raise Failure(f"main was reached, but not {', '.join(missing)}: the phases of images/boot_chart.py are not those of this core")
    return list(found.values())


def command_for(config: Config, options: argparse.Namespace, counting: bool) -> list[str]:
    options.icount = counting
    command = build_command(config, options, "tcg", None)
    command[0] = require(qemu.QEMU)
    return command


def measure(config: Config, options: argparse.Namespace) -> list[Step]:
    boot = qemu.boot_of(config, options)
    if boot.is_direct:
        options.append = "quire.aslr=off"  # places of an existing program are known then
    elif config.program and config.program[1]:
        raise Failure(f"{config.name} begins at a random address from an ISO: use --attach elf")
    places = find_places(config, boot)
    check_folder(folder_of(options))
    counted = [instructions for instructions, _ in watch(command_for(config, options, True), places, True)]
    timed = [watch(command_for(config, options, False), places, False) for _ in range(options.turns)]
    names = [FIRMWARE, *(place.phase for place in places[:-1])]
    passed = [0, *counted]
    times = [[0, *(ns for _, ns in turn)] for turn in timed]
    steps = []
    for index, phase in enumerate(names):
        ns = statistics.median(turn[index + 1] - turn[index] for turn in times)
        steps.append(Step(phase.name, passed[index + 1] - passed[index], ns, phase.own))
    return steps


# ---- what is shown ----


def total(steps: list[Step], name: str) -> Step:
    return Step(name, sum(step.instructions for step in steps), sum(step.ns for step in steps), True)


def sums(steps: list[Step]) -> list[Step]:
    return [total([step for step in steps if step.own], "entry to main"), total(steps, "reset to main")]


def print_table(steps: list[Step]) -> None:
    print(f"{'phase':<34}{'instructions':>14}{'time':>12}")
    for step in steps:
        print(f"{step.name:<34}{step.instructions:>14,}{charts.time_text(step.ns):>12}")
    for step in sums(steps):
        print(f"{step.name:<34}{step.instructions:>14,}{charts.time_text(step.ns):>12}")


def draw_bars(axes: Any, steps: list[Step], values: list[float], text: Any, title: str) -> None:
    """A logarithmic axis: firmware takes a thousand times what a phase of the image takes."""
    rows = range(len(steps))
    least = min((value for value in values if value > 0), default=1)
    axes.set_xscale("log")
    colours = [LIGHT["here"] if step.own else LIGHT["other1"] for step in steps]
    axes.barh(rows, [max(value, least / 2) for value in values], color=colours, height=0.6)
    for row, value in zip(rows, values):
        axes.annotate(text(value), (max(value, least / 2), row), xytext=(4, 0), textcoords="offset points", va="center")
    axes.set_xlim(least / 4, max(values) * 12)
    charts.number_axis(axes.xaxis, True, text)
    axes.set(title=title)
    axes.invert_yaxis()
    axes.set_yticks(list(rows), [step.name for step in steps])
    axes.grid(False, axis="y")


def figure_of(plot: Any, steps: list[Step], width: float) -> Any:
    wide = width > NARROW
    layout = {"nrows": 1, "ncols": 2, "sharey": True} if wide else {"nrows": 2, "ncols": 1}
    height = 1.2 + 0.33 * len(steps)
    figure, (counts, times) = plot.subplots(**layout, figsize=(width, height if wide else 2 * height))
    draw_bars(counts, steps, [step.instructions for step in steps], charts.short_number, "Instructions")
    draw_bars(times, steps, [step.ns for step in steps], charts.time_text, "Time, in emulation")
    if wide:
        times.invert_yaxis()  # the axis is shared, and was turned twice
    return figure


def chart_of(steps: list[Step]) -> Chart:
    plot = charts.pyplot()
    own, whole = sums(steps)
    what = (f"Instructions and time of each phase of the boot: {own.instructions:,} instructions from entry to main, "
            f"{whole.instructions:,} from reset.")  # fmt: skip
    caption = "Logarithmic. Blue is the image's own, orange what is before it."
    return Chart("boot", what, figure_of(plot, steps, NARROW), caption, figure_of(plot, steps, WIDE))


def page_of(config: Config, boot: Any, chart: Chart, steps: list[Step]) -> bytes:
    own, whole = sums(steps)
    shown = [(step.name, f"{step.instructions:,} instructions, {charts.time_text(step.ns)}") for step in (own, whole)]
    how = f"{boot.machine}, {'PVH' if boot.is_direct else f'{boot.firmware.upper()} from {boot.attach}'}"
    body = f"<h1>{escape(config.name)}: boot</h1>{charts.definitions([*shown, ('machine', how)])}{charts.chart_html(chart)}"
    return charts.page(f"{config.name}: boot", body)


def folder_of(options: argparse.Namespace) -> Path:
    return options.output or options.config.parent


def write_files(config: Config, options: argparse.Namespace, steps: list[Step]) -> None:
    boot = qemu.boot_of(config, options)
    about = {"name": config.name, **boot._asdict(), "memory": options.memory or config.memory}
    files = {"boot.json": json.dumps(about | {"phases": [step._asdict() for step in steps]}, indent=4).encode() + b"\n"}
    chart = chart_of(steps)
    files |= {"boot.html": page_of(config, boot, chart, steps)} | charts.chart_files([chart])
    for name, content in files.items():
        write_output(folder_of(options) / name, content)
        print(folder_of(options) / name)


def turns_option(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]?", text):
        raise argparse.ArgumentTypeError(f"'{text}' must be a number from 1 to 99")
    return int(text)


def main(arguments: list[str]) -> int:
    parser = qemu.Parser(prog="boot_chart.py", description="Draws how an image boots.")
    qemu.add_machine(parser)
    parser.set_defaults(append="", arguments=None, cpu="max", image=None, qemu=[], record=None)
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="where the chart goes (default: beside run.json)")
    parser.add_argument("--turns", type=turns_option, default=TURNS, metavar="N", help=f"runs by the clock (default: {TURNS})")
    options = parser.parse_args(arguments)
    if not (ROOT / PLUGIN).is_file():
        raise Failure(f"there is no {PLUGIN}: build it with ninja {PLUGIN}")
    config = load_config(options.config)._replace(observe=False)  # no record of this run
    charts.pyplot()
    steps = measure(config, options)
    print_table(steps)
    sys.stdout.flush()
    write_files(config, options, steps)
    return 0


if __name__ == "__main__":
    run_main("boot_chart.py", main)
