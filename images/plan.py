#!/usr/bin/env python3
"""
The memory plan of an image: what it needs, line by line, against the RAM it is configured with.

configure.py prints the plan before anything is built, with the sections of the last link or, without one, an allowance.
After linking this script does it again with the real sections, fails the build if they do not fit, and hands the need to
the linker as the symbol quire_plan_ram, which becomes quire_config.ram: less RAM at boot is refused.

Needed RAM is the sum of
    image       the loaded segments in whole pages, with the symbol table for backtraces
    files       the packed files, in whole pages (a boot module)
    program     of an existing program its writable segments
    core        tables of the frame allocator, 128 bytes for 2 MiB of RAM, and 64 KiB for the rest
    stack, heap as the manifest says
    page tables 4 KiB each: the map of RAM (a page directory a GiB, some for its edges and between the parts of the image),
                and three upper levels with one table for every 2 MiB begun for the stack, the heap and every window;
                windows themselves are not RAM
RAM that the machine keeps is not in this sum: 512 KiB of what QEMU is given is firmware, so they are added when
the sum is compared with the configured RAM. An image is entered at 2 MiB (arch/x86_64/image.ld.S), so RAM has to reach its end, too.
"""

from __future__ import annotations

import argparse
import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from report import format_size
from tool import Failure, read_input, run_main, write_output

PAGE = 4096
FIRMWARE = 512 << 10
IMAGE_START = 2 << 20
CORE_FIXED = 64 << 10
CORE_PER_2M = 128
IMAGE_ALLOWANCE = 1 << 20
PT_LOAD, PF_X, PF_W = 1, 1, 2


class Row(NamedTuple):
    label: str
    size: int
    note: str = ""
    counted: bool = True


@dataclass
class Plan:
    name: str
    ram: int
    rows: list[Row] = field(default_factory=list)
    calls: dict | None = None  # what images/calls.py reports

    @property
    def need(self) -> int:
        return sum(row.size for row in self.rows if row.counted)

    @property
    def least(self) -> int:
        """RAM that a machine has to be given."""
        return max(self.need + FIRMWARE, least_for([row for row in self.rows if row.label.startswith("image ")]))

    @property
    def over(self) -> int:
        """Bytes by which the image does not fit; 0 or less if it does."""
        return self.least - self.ram


def pages(size: int) -> int:
    return -(-size // PAGE) * PAGE


def tables_for(size: int) -> int:
    """Page tables of one segment that may use 4 KiB pages throughout."""
    return (3 + -(-size // (2 << 20))) * PAGE if size else 0


def image_rows(elf: bytes) -> list[Row]:
    """The loaded segments of a linked image (System V gABI, program header)."""
    if elf[:6] != b"\x7fELF\x02\x01":
        raise Failure("not a 64-bit little-endian ELF file")
    start, entry, count = struct.unpack_from("<32xQ14xHH", elf)
    sizes = {"text": 0, "rodata": 0, "data": 0, "bss": 0}
    for index in range(count):
        kind, flags, _, _, _, in_file, in_memory = struct.unpack_from("<IIQQQQQ", elf, start + index * entry)
        if kind != PT_LOAD:
            continue
        if flags & PF_W:
            sizes["data"] += in_file
            sizes["bss"] += pages(in_memory) - in_file
        else:
            sizes["text" if flags & PF_X else "rodata"] += pages(in_memory)
    return [Row(f"image {name}", size) for name, size in sizes.items()]


def least_for(image: list[Row]) -> int:
    """RAM without which nothing of the image runs: it would lie where the firmware is, or nothing."""
    return IMAGE_START + sum(row.size for row in image) + FIRMWARE


def make_plan(settings: dict, image: list[Row], files: int) -> Plan:
    """settings: name, ram, stack, heap in bytes, windows as [name, size, cache]; files: bytes of the packed files."""
    plan = Plan(settings["name"], settings["ram"], list(image))
    windows = settings["windows"]
    if files:
        plan.rows.append(Row("files", pages(files), "packed, loaded as a boot module"))
    if settings.get("program"):
        plan.rows.append(Row("program", settings["program"], "what it writes to; the rest is shared with its file"))
    plan.rows.append(Row("core", CORE_FIXED + CORE_PER_2M * -(-plan.ram // (2 << 20)), "frame tables and the rest"))
    plan.rows.append(Row("stack", settings["stack"]))
    if settings["heap"]:
        plan.rows.append(Row("heap", settings["heap"]))
    tables = (7 + -(-plan.ram // (1 << 30))) * PAGE
    tables += sum(map(tables_for, [settings["stack"], settings["heap"], *(size for _, size, _ in windows)]))
    plan.rows.append(Row("page tables", tables))
    for name, size, cache in windows:
        plan.rows.append(Row(f"window {name}", size, f"{cache.upper()}, addresses only", counted=False))
    return plan


def render(plan: Plan) -> str:
    """The plan as a table that ends with the need, the RAM and the system calls."""
    rows = [f"Memory plan of {plan.name}"]
    for row in plan.rows:
        shown = format_size(row.size) if row.counted else f"({format_size(row.size)})"
        rows.append(f"    {row.label:<20} {shown:>12}   {row.note}".rstrip())
    rows.append(f"    {'RAM needed':<20} {format_size(plan.need):>12}   less at boot is refused")
    rows.append(f"    {'RAM configured':<20} {format_size(plan.ram):>12}   {format_size(FIRMWARE)} of it for firmware")
    if plan.calls:
        linked = f"{plan.calls['linked']} of {plan.calls['there']}"
        note = f"{plan.calls['why']} (parts: {' '.join(plan.calls['parts'])})"
        rows.append(f"    {'system calls linked':<20} {linked:>12}   {note}")
    left = f"{format_size(plan.ram - plan.need - FIRMWARE)} are left for what the program allocates" if plan.over <= 0 else overflow(plan)
    return "\n".join([*rows, f"    {left}", ""])


def overflow(plan: Plan) -> str:
    whole = -(-plan.least // (1 << 20))
    largest = max((row for row in plan.rows if row.counted), key=lambda row: row.size)
    return (
        f"too large by {format_size(plan.over)}: give it --ram {whole}M, or less of its largest part, "
        f"{largest.label} ({format_size(largest.size)})"
    )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Checks that a linked image fits into its RAM.")
    parser.add_argument("--elf", type=Path, required=True, help="the linked image")
    parser.add_argument("--symbols", type=Path, required=True, help="symbol blob that the last link will add")
    parser.add_argument("--files", type=Path, help="the packed files")
    parser.add_argument("--calls", type=Path, help="what images/calls.py chose (JSON)")
    parser.add_argument("--settings", type=Path, required=True, help="what configure.py decided (JSON)")
    parser.add_argument("--text", type=Path, required=True, help="the plan, for people")
    parser.add_argument("--linker-options", type=Path, required=True, help="the need, for the last link")
    options = parser.parse_args(arguments)
    image = image_rows(read_input(options.elf))
    image.append(Row("image symbols", pages(options.symbols.stat().st_size)))
    files = options.files.stat().st_size if options.files else 0
    plan = make_plan(json.loads(read_input(options.settings)), image, files)
    plan.calls = json.loads(read_input(options.calls)) if options.calls else None
    if plan.over > 0:
        raise Failure(f"{plan.name}: the memory plan is {overflow(plan)}")
    write_output(options.text, render(plan).encode())
    write_output(options.linker_options, f"--defsym=quire_plan_ram={plan.need:#x}\n".encode())
    return 0


if __name__ == "__main__":
    run_main("plan", main)
