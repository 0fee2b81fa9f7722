#!/usr/bin/env python3
"""
The heap on this machine, against the C library's malloc, jemalloc and mimalloc: the same sources as in an image (vm/heap/,
arch/x86_64/malloc.S) over mmap, so that what is saved in instructions is seen on real caches (`ninja bench-heap`).

    tests/bench/heap/run.py [--turns N] [WORKLOAD ...]

Runs of the allocators take turns; a cell is the least of the processor's milliseconds and of the peak of resident memory;
below the table stands which of the goals (tests/bench/goals.py) hold. What else the machine does only adds, so there are
more turns until the least figures of each allocator agree, for those that a ratio may come from: the ratios of two runs
of this program then agree, too. Where they never do a cell has a `~`. Where it says "not there", a Debian package or
source is missing, as the line below the table says.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/bench"))

import goals  # noqa: E402

HERE = Path("tests/bench/heap")
BUILD = Path("build/bench-heap")
HEAP = [f"vm/heap/{name}.c" for name in ("check", "classes", "heap", "program", "regions", "spans")]
OWN = [*HEAP, "arch/x86_64/malloc.S", str(HERE / "memory.c")]
FLAGS = ["clang", "-O2", "-g", "-fno-pie", "-no-pie", "-fno-builtin-malloc", "-ffunction-sections", "-fdata-sections",
         "-I.", f"-I{HERE}", "-DHEAP_NATIVE"]
JEMALLOC = Path("/usr/lib/x86_64-linux-gnu/libjemalloc.a")
MIMALLOC = Path("build/sources/mimalloc")
OURS = "quire"
AGREEING, WITHIN = 3, 1.03  # so many of the least figures, within so much
MOST_SECONDS = 30  # of a workload's turns
RIVAL = 1.15  # ratios may come from those that are no worse than this, of the best

Run = tuple[float, float]  # milliseconds, MiB at the peak


class Failure(Exception):
    """The message is the line that the user sees."""


def variants() -> dict[str, list[str] | str]:
    """What each allocator adds to the link, or why it is not there."""
    tree = next((path for path in sorted((ROOT / MIMALLOC).glob("*/src/static.c"))), None)
    if tree is None and (ROOT / MIMALLOC / "src/static.c").is_file():
        tree = ROOT / MIMALLOC / "src/static.c"
    mimalloc: list[str] | str = "type   ./configure.py --setup hello --malloc mimalloc"
    if tree is not None:
        mimalloc = ["-w", f"-I{tree.parent.parent / 'include'}", "-DNDEBUG", "-DMI_MALLOC_OVERRIDE", str(tree), "-lpthread"]
    jemalloc: list[str] | str = [str(JEMALLOC), "-lm", "-lpthread", "-ldl"] if JEMALLOC.is_file() else "type   apt-get install libjemalloc-dev"
    return {OURS: [*OWN, "core/libc/malloc.c"], "glibc": [], "jemalloc": jemalloc, "mimalloc": mimalloc}


def build(name: str, words: list[str]) -> Path:
    program = ROOT / BUILD / name
    program.parent.mkdir(parents=True, exist_ok=True)
    command = [*FLAGS, "-Wl,--gc-sections", "-o", str(program), str(HERE / "workloads.c"), *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(f"{name} cannot be built:\n{done.stderr[:2000]}")
    return program


def measure(program: Path, workload: str) -> Run:
    done = subprocess.run([program, workload], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(f"{program.name} {workload} ended with status {done.returncode}: {done.stderr.strip()}")
    nanoseconds, peak = done.stdout.split()
    return int(nanoseconds) / 1e6, int(peak) / 1024


def least(runs: list[Run]) -> Run:
    return min(run[0] for run in runs), min(run[1] for run in runs)


def agree(runs: list[Run]) -> bool:
    return len(runs) >= AGREEING and all(sorted(figures)[AGREEING - 1] <= min(figures) * WITHIN for figures in zip(*runs))


def rivals(cells: dict[str, Run]) -> list[str]:
    """Ours, and those of the others that may be the best in time or peak."""
    best = least([cell for name, cell in cells.items() if name != OURS])
    return [name for name, cell in cells.items() if name == OURS or any(cell[i] <= best[i] * RIVAL for i in (0, 1))]


def take_turns(programs: dict[str, Path], workload: str, turns: int) -> tuple[dict[str, Run], set[str]]:
    """The least of each, and of which it is not sure."""
    runs: dict[str, list[Run]] = {name: [] for name in programs}
    names, end = list(programs), time.monotonic() + MOST_SECONDS
    while True:
        for name in names:
            runs[name].append(measure(programs[name], workload))
        if len(runs[OURS]) < turns:
            continue
        cells = {name: least(of) for name, of in runs.items()}
        names = rivals(cells)
        unsure = {name for name in names if not agree(runs[name])}
        if not unsure or time.monotonic() > end:
            return cells, unsure


def table(programs: dict[str, Path], workloads: list[str], turns: int) -> None:
    others = [name for name in programs if name != OURS]
    print(f"{'ms (peak MiB)':<18}" + "".join(f"{name:>20}" for name in programs) + f"{'of the best other':>20}")
    ratios: dict[str, float] = {}
    peaks: dict[str, float] = {}
    for workload in workloads:
        cells, unsure = take_turns(programs, workload, turns)
        ratio, peak = (cells[OURS][i] / min(cells[name][i] for name in others) for i in (0, 1))
        ratios[workload], peaks[workload] = ratio, peak
        texts = [f"{'~' if name in unsure else ''}{ms:.0f} ({mib:.2f})" for name, (ms, mib) in cells.items()]
        print(f"{workload:<18}" + "".join(f"{text:>20}" for text in texts) + f"{ratio:>13.2f} ({peak:.2f})", flush=True)
    mean = statistics.geometric_mean(ratios.values())
    print(f"geometric mean of the time, of the best other: {mean:.2f}")
    goals.print_verdicts(goals.heap_goals(ratios, peaks, mean))


def main() -> int:
    parser = argparse.ArgumentParser(description="The heap on this machine, against other allocators.")
    parser.add_argument("--turns", type=int, default=5, help="runs of each, at least (default: 5)")
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD")
    options = parser.parse_args()
    known = variants()
    programs = {name: build(name, words) for name, words in known.items() if not isinstance(words, str)}
    every = subprocess.run([programs["glibc"]], capture_output=True, text=True, check=True).stdout.split()
    for name in options.workloads:
        if name not in every:
            raise Failure(f"there is no workload {name}; there are {', '.join(every)}")
    table(programs, options.workloads or every, options.turns)
    for name, why in known.items():
        if isinstance(why, str):
            print(f"{name} is not there: {why}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"bench-heap: {failure}", file=sys.stderr)
        sys.exit(1)
