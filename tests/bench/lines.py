"""
Lines of the cache that CPUs take from each other, counted by a plugin of QEMU (lines/lines.c) while a program of
tests/bench/parallel runs: how to ask for it, and what is made of its file. Each row that a program prints is a region.
"""

from __future__ import annotations

import bisect
import subprocess
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from root import ROOT  # isort: first

from qemu import quote_option
from tool import Failure, require

PLUGIN = Path("build/bench-threads/lines.so")
CPUS = 2
# Instructions of a turn, on average. A row of faults that met once in 240 had 434 shared-line writes with turns of 100, 416 with 300,
# 302 with 1,000, 123 with 10,000, and 32 with those that QEMU makes.
TURN = 200
MARKS = {"begin": "parallel_begin", "end": "parallel_end"}
LINE = 64
SITES_KEPT = 20
# Where data lies (docs/address-map.md).
RAM, SPANS, AREAS, IMAGE = 0xFFFF800000000000, 0xFFFFF0C000000000, 0xFFFFF80000000000, 0xFFFFFFFF80000000
AREA_SHIFT = 37  # of each CPU, downwards: what it has of the image's 2 GiB, and below that its table of classes


class Symbols:
    """The functions and objects of an image, as its own and as those of the CPUs' areas."""

    def __init__(self, rows: str):
        """rows: what nm -n -S prints."""
        words = [row.split() for row in rows.splitlines()]
        found = [(int(row[0], 16), int(row[1], 16) if len(row) == 4 else 0, row[-1]) for row in words if len(row) >= 3]
        self.named = [(start, start + max(size, 1), name) for start, size, name in sorted(found)]
        self.starts = [start for start, _, _ in self.named]
        self.addresses = {name: start for start, _, name in self.named}

    @staticmethod
    def read(debug: Path) -> Symbols:
        done = subprocess.run([require("nm"), "-n", "-S", str(debug)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failure(f"{debug}: no symbols: {done.stderr.strip()}")
        return Symbols(done.stdout)

    def function(self, address: int) -> str:
        index = bisect.bisect_right(self.starts, address) - 1
        return self.named[index][2] if index >= 0 and address >= IMAGE else f"[{address:#x}]"

    def _objects(self, line: int) -> str:
        end = bisect.bisect_left(self.starts, line + LINE)
        # Of those that begin before the line only the last can reach into it.
        begin = max(bisect.bisect_right(self.starts, line) - 1, 0)
        names = [name for start, stop, name in self.named[begin:end] if stop > line]
        return ", ".join(dict.fromkeys(names)) or f"[{line:#x}]"

    def data(self, line: int) -> str:
        """What lies on a line: names, or which part of the address space it is in."""
        if line >= IMAGE:
            return self._objects(line)
        if line >= AREAS:
            cpu = ((1 << 64) - 1 - line) >> AREA_SHIFT
            linked = line + (cpu << AREA_SHIFT)
            return f"{self._objects(linked) if linked >= IMAGE else 'heap: classes'} of CPU {cpu}"
        for start, name in ((SPANS, "heap: spans"), (RAM, "map of RAM")):
            if line >= start:
                return name
        return "the program's memory"


class Region(NamedTuple):
    """Counts of one row. sites: writes and reads by instruction and line."""

    writes: int
    reads: int
    inherited: int
    sites: dict[tuple[int, int], tuple[int, int]]


def read_regions(text: str) -> list[Region]:
    """A Failure if the file is not whole."""
    rows = [row.split() for row in text.splitlines()]
    if not rows or rows[-1] != ["end"]:
        raise Failure("the plugin did not write all of its counts")
    regions: list[Region] = []
    for kind, *words in rows[:-1]:
        if kind == "region":
            _, _, writes, reads, inherited = map(int, words)
            regions.append(Region(writes, reads, inherited, {}))
        else:
            instruction, line, writes, reads, _ = (int(word, 0) for word in words)
            if writes or reads:
                regions[-1].sites[instruction, line] = (writes, reads)
    return regions


def sites_of(region: Region, symbols: Symbols) -> list[dict]:
    """By function and what is on the line, the most first."""
    sums: dict[str, Counter[tuple[str, str]]] = {"writes": Counter(), "reads": Counter()}
    for (instruction, line), counts in region.sites.items():
        place = symbols.function(instruction), symbols.data(line)
        for what, count in zip(sums, counts):
            sums[what][place] += count
    most = (sums["writes"] + sums["reads"]).most_common(SITES_KEPT)
    return [{"function": place[0], "data": place[1], **{what: sums[what][place] for what in sums}} for place, _ in most]


def counts_of(regions: list[Region], symbols: Symbols, operations: dict[str, int]) -> dict[str, dict]:
    """By key of the row, an operation. operations: of the rows, in the order in which they were measured."""
    if len(regions) != len(operations):
        raise Failure(f"the plugin saw {len(regions)} rows, the program has measured {len(operations)}")
    return {
        key: {
            "writes": region.writes / number,
            "reads": region.reads / number,
            "inherited": region.inherited / number,
            "sites": [{**site, "writes": site["writes"] / number, "reads": site["reads"] / number} for site in sites_of(region, symbols)],
        }
        for (key, number), region in zip(operations.items(), regions)
    }


def plugin_words(symbols: Symbols, output: Path, threads: int) -> list[str]:
    """For QEMU's command."""
    missing = [name for name in MARKS.values() if name not in symbols.addresses]
    if missing:
        raise Failure(f"the program has no function {missing[0]}")
    marks = "".join(f",{name}={symbols.addresses[function]:#x}" for name, function in MARKS.items())
    return ["-plugin", f"{quote_option(ROOT / PLUGIN)}{marks},threads={threads},turn={TURN},output={quote_option(output)}"]
