"""
The goals: what single operations are to cost at most, in instructions, and what the comparisons of `ninja bench` and
`ninja bench-heap` are to show. limits.py prints the first, those two the second behind their tables. They are aims: what
must not get worse is the limits of limits.py.

A goal's figure is the worst of those that it names. Each is IMAGE KEY: of a workload a figure an operation as the
workload prints it (tests/bench/bench.h), of the images micro and heap-costs one of their lines, of heap-day what is held
of what is alive. `zeroed` are bytes whose zeroing the goal leaves out, at what the core takes for it (micro; 512
instructions a page by `rep stosq`, 140 by stores of 32 bytes), `less` instructions of the operation's own.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import machine
import table

IMAGES = ("system-calls", "frames", "faults", "mapping-calls", "heap-costs", "heap-day")
ARGUMENTS = {"heap-day": ["10000"]}  # thousands of operations
DAY = re.compile(r"^live \d+ KiB, held \d+ KiB, .*: (\d+) percent$", re.MULTILINE)
KIB_4, KIB_64, MIB_1, MIB_2, MIB_64 = 4 << 10, 64 << 10, 1 << 20, 2 << 20, 64 << 20
SIZES = (KIB_4, KIB_64, MIB_1, MIB_64)
OWN_FILLING = 512  # of the driver of the workload faults

ALLOCATING = ("trees", "churn", "batches", "vectors", "lua")
MEAN_LIMIT, HEAP_MEAN_LIMIT, PEAK_LIMIT = 0.65, 0.80, 1.10


class Goal(NamedTuple):
    label: str
    limit: float
    image: str
    keys: tuple[str, ...]
    zeroed: int = 0
    less: float = 0
    times: float = 1  # operations of the figure are so many of the goal


GOALS = [
    Goal("null system call", 45, "system-calls", ("null_call",)),
    Goal("frame got and put, hot, 4 KiB", 25, "frames", (f"frame/{KIB_4}",)),
    Goal("frame got and put, hot, 2 MiB", 30, "frames", (f"frame/{MIB_2}",)),
    Goal("4 KiB fault, at random, frame clean", 120, "micro", ("fault_4k_clean",)),
    Goal("first touch in order, a page, without the zeroing", 30, "faults", ("first_touch/4096",), KIB_4),
    Goal("2 MiB first touch, without the zeroing", 250, "micro", ("fault_2m",), MIB_2),
    Goal("fault served by the program's driver, without its filling", 250, "faults", ("own_driver/4096",), less=OWN_FILLING),
    Goal("vm_alloc + vm_free, untouched, any size", 120, "mapping-calls", tuple(f"alloc_free/{size}" for size in SIZES)),
    Goal("mmap + munmap, untouched, 4 KiB to 64 MiB", 200, "mapping-calls", tuple(f"map_unmap/{size}" for size in SIZES)),
    Goal("mmap + touch + munmap, 4 KiB, without the zeroing", 400, "mapping-calls", ("map_touch_unmap/4096",), KIB_4),
    Goal("munmap of 64 MiB touched", 1500, "mapping-calls", (f"unmap/{MIB_64}",)),
    Goal("mprotect of 4 KiB there and back, touched", 300, "mapping-calls", ("protect_touch/4096",)),
    Goal("mremap, grown in place, or shrunk: half of both", 250, "mapping-calls",
         (f"grow_shrink/{MIB_1}", f"grow_shrink/{MIB_64}"), times=0.5),
    Goal("mremap, 64 MiB moved", 800, "mapping-calls", (f"move/{MIB_64}",)),
    Goal("MADV_DONTNEED + touch, 64 KiB, without the zeroing", 1200, "mapping-calls", (f"dontneed_touch/{KIB_64}",), KIB_64),
    Goal("malloc + free, 16 to 1024 bytes, hot, with the calls", 20, "heap-costs", ("malloc_called",)),
    Goal("malloc + free of a constant size, hot, inlined", 12, "heap-costs", ("malloc_inlined",)),
    Goal("malloc + free, 64 KiB untouched", 60, "heap-costs", ("malloc_64k",)),
    Goal("malloc + free, 1 MiB untouched", 120, "heap-costs", ("malloc_1m",)),
    Goal("malloc + free, 32 MiB untouched", 250, "heap-costs", ("malloc_32m",)),
    Goal("100,000 of random sizes, a pair, again", 40, "heap-costs", ("random_warm",)),
    Goal("100,000 of random sizes, a pair, first time", 60, "heap-costs", ("random_cold",)),
    Goal("realloc to 256 MiB by doubling, without touch and copies", 15_000, "heap-costs", ("realloc_double",)),
    Goal("realloc to 256 MiB by 64 KiB, without touch", 400_000, "heap-costs", ("realloc_steps",)),
    Goal("calloc + free, 64 MiB untouched", 1500, "heap-costs", ("calloc_64m",)),
    Goal("calloc, touch, free, 1 MiB, without touch and zeroing", 300, "heap-costs", ("calloc_touch_1m",), MIB_1),
    Goal("10 million operations, sizes shifting: held of the live, %", 115, "heap-day", ("percent",)),
]  # fmt: skip


def read_lines(output: str) -> dict[str, float]:
    """What the images micro and heap-costs print: a name and a figure a line."""
    return {name: float(value) for name, value in re.findall(r"^(\w+) ([0-9.]+)\r?$", output, re.MULTILINE)}


def read_figures(output: str) -> dict[str, float]:
    """The figures of any of the images."""
    output = output.replace("\r\n", "\n")
    found = [match for match in map(machine.FIGURE.fullmatch, output.split("\n")) if match]
    figures = {match[1]: int(match[4]) / int(match[3]) for match in found if int(match[3])}
    day = DAY.search(output)
    return read_lines(output) | figures | ({"percent": float(day[1])} if day else {})


def zeroing(micro: dict[str, float]) -> float:
    """Instructions a byte."""
    return (micro["fault_2m"] - micro["fault_2m_unzeroed"]) / MIB_2


def value_of(goal: Goal, figures: dict[str, dict[str, float]]) -> float | None:
    """figures: of each image by key; None: what the goal is about cannot be measured here."""
    found = [figures[goal.image].get(key) for key in goal.keys]
    if None in found:
        return None
    return max(found) * goal.times - goal.less - goal.zeroed * zeroing(figures["micro"])


def holds(goal: Goal, figures: dict[str, dict[str, float]]) -> bool:
    value = value_of(goal, figures)
    return value is not None and round(value) <= goal.limit


def word(met: bool) -> str:
    return "holds" if met else "ABOVE"


def print_goals(figures: dict[str, dict[str, float]]) -> None:
    print(f"{'goals':<60}{'here':>11}{'goal':>11}")
    for goal in GOALS:
        value = value_of(goal, figures)
        shown = "-" if value is None else f"{value:,.0f}"
        print(f"{goal.label:<60}{shown:>11}{goal.limit:>11,.0f}   {word(holds(goal, figures))}")
    met = sum(holds(goal, figures) for goal in GOALS)
    print(f"\n{met} of {len(GOALS)} goals hold. The goals of whole programs: ninja bench, of the heap alone: ninja bench-heap.")


# ---- of whole programs, from a summary of bench.py ----


def whole_programs(summary: dict) -> list[dict]:
    """The rows of programs that Linux has run as well."""
    return [row for row in summary["rows"] if row["group"] == "programs" and row["linux"]]


def worse(rows: list[dict], key: str, factor: float) -> list[str]:
    """The programs that have more here than so many times what Linux has, and how many times it is."""
    found = []
    for row in rows:
        here, linux = row["here"][key], row["linux"][key]
        if here is not None and linux and here > factor * linux:
            found.append(f"{row['workload']} {here / linux:.2f}")
    return found


def program_goals(summary: dict) -> list[tuple[str, bool]]:
    """A line for each goal, and whether it holds; none if nothing was compared with Linux."""
    rows = whole_programs(summary)
    if not rows:
        return []
    more, larger = worse(rows, "count", 1.0), worse(rows, "peak", PEAK_LIMIT)
    timed = {row["workload"]: row["wall"]["median"] for row in rows if row["wall"]}
    longer = [f"{name} {ratio:.2f}" for name, ratio in timed.items() if ratio > 1]
    ratios = {row["workload"]: row["ratio"] for row in rows if row["workload"] in ALLOCATING and row["ratio"]}
    absent = [name for name in ALLOCATING if name not in ratios]
    mean = table.mean(list(ratios.values())) if ratios else 0.0
    what = f"{', '.join(absent)} not measured" if absent else f"{mean:.3f}, at most {MEAN_LIMIT}"
    return [
        (f"fewer instructions than Linux in every program: {', '.join(more) or f'all {len(rows)}'}", not more),
        *([(f"less wall time than Linux in every program: {', '.join(longer) or f'all {len(timed)}'}", not longer)] if timed else []),
        (f"geometric mean of {', '.join(ALLOCATING)}: {what}", not absent and mean <= MEAN_LIMIT),
        (f"peak memory at most {PEAK_LIMIT:.2f} of Linux: {', '.join(larger) or f'all {len(rows)}'}", not larger),
    ]


# ---- of the heap alone, from the medians of heap/run.py ----


def heap_goals(time: dict[str, float], peak: dict[str, float], mean: float) -> list[tuple[str, bool]]:
    """time, peak: of each workload how many times what the best other allocator has."""
    slower = [f"{name} {ratio:.2f}" for name, ratio in time.items() if ratio > 1]
    larger = [f"{name} {ratio:.2f}" for name, ratio in peak.items() if ratio > PEAK_LIMIT]
    return [
        (f"at most the time of the best other in every workload: {', '.join(slower) or f'all {len(time)}'}", not slower),
        (f"geometric mean of the time: {mean:.2f}, at most {HEAP_MEAN_LIMIT}", mean <= HEAP_MEAN_LIMIT),
        (f"peak memory at most {PEAK_LIMIT:.2f} of the best other: {', '.join(larger) or f'all {len(peak)}'}", not larger),
    ]


def print_verdicts(goals: list[tuple[str, bool]]) -> None:
    for line, met in goals:
        print(f"{word(met)}  {line}")
