#!/usr/bin/env python3
"""
The heap on this machine, against the C library's malloc, jemalloc and mimalloc: the same sources as in an image (vm/heap/,
arch/x86_64/malloc.S) over mmap, so that what is saved in instructions is seen on real caches (`ninja bench-heap`).

    tests/bench/heap/run.py [--turns N] [WORKLOAD ...]

Runs of the allocators take turns; a cell is the least of the time-stamp counter's ticks, in millions, and of the peak of
resident memory; below the table stands which of the goals (tests/bench/goals.py) hold. Where it says "not there", a Debian package or source is missing, as the line below the table says.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/bench"))

import goals  # noqa: E402

HERE = Path("tests/bench/heap")
BUILD = Path("build/bench-heap")
HEAP = [f"vm/heap/{name}.c" for name in ("check", "classes", "heap", "program", "regions", "spans")]
OWN = [*HEAP, "arch/x86_64/malloc.S", str(HERE / "memory.c")]
FLAGS = ["clang", "-O2", "-g", "-fno-pie", "-no-pie", "-fno-builtin-malloc", "-I.", f"-I{HERE}", "-DHEAP_NATIVE"]
JEMALLOC = Path("/usr/lib/x86_64-linux-gnu/libjemalloc.a")
MIMALLOC = Path("build/sources/mimalloc")
OURS = "quire"


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


def measure(program: Path, workload: str) -> tuple[float, float]:
    """Millions of ticks, MiB at the peak."""
    done = subprocess.run([program, workload], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(f"{program.name} {workload} ended with status {done.returncode}: {done.stderr.strip()}")
    ticks, peak = done.stdout.split()
    return int(ticks) / 1e6, int(peak) / 1024


def table(programs: dict[str, Path], workloads: list[str], turns: int) -> None:
    others = [name for name in programs if name != OURS]
    print(f"{'Mticks (peak MiB)':<18}" + "".join(f"{name:>20}" for name in programs) + f"{'of the best other':>20}")
    ratios: dict[str, float] = {}
    peaks: dict[str, float] = {}
    for workload in workloads:
        runs: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
        for _ in range(turns):
            for name, program in programs.items():
                runs[name].append(measure(program, workload))
        # Whatever else the machine does only adds.
        least = {name: tuple(min(run[i] for run in runs[name]) for i in (0, 1)) for name in programs}
        ratio, peak = (least[OURS][i] / min(least[name][i] for name in others) for i in (0, 1))
        ratios[workload], peaks[workload] = ratio, peak
        cells = "".join(f"{f'{ticks:.0f} ({peak:.1f})':>20}" for ticks, peak in least.values())
        print(f"{workload:<18}{cells}{ratio:>20.2f}", flush=True)
    mean = statistics.geometric_mean(ratios.values())
    print(f"geometric mean of the time, of the best other: {mean:.2f}")
    goals.print_verdicts(goals.heap_goals(ratios, peaks, mean))


def main() -> int:
    parser = argparse.ArgumentParser(description="The heap on this machine, against other allocators.")
    parser.add_argument("--turns", type=int, default=5, help="runs of each (default: 5)")
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
