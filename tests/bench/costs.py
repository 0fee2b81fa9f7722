"""
What CPUs cost each other in the rows of `ninja bench-threads`: locks of the core that were found taken and flushes asked of
other CPUs, which the program prints beside its figures (parallel.h), and lines of the cache (lines.py). All an operation.
"""

from __future__ import annotations

import statistics

import root  # noqa: F401, isort: first

from machine import Outcome
from report import format_size, paint
from runs import Results
from table import LABEL_WIDTH

COSTS = {"contended": "locks", "shootdowns": "flushes", "shot_cpus": "CPUs"}
LINE_COSTS = {"writes": "writes", "reads": "reads"}
# An operation, and below it nothing. Threads that start and end, and ticks of the timer, cost a few times in a row: with the
# fewest operations, 400 of two threads, up to four times are no operation's.
ZERO = 0.01
SITES_SHOWN = 4


def take_costs(outcome: Outcome) -> None:
    """From the figures to the counters of the run, by the row's key."""
    for figure in outcome.figures:
        key, colon, name = figure.key.partition(":")
        if colon:
            outcome.stats.setdefault("costs", {}).setdefault(key, {})[name] = figure.ticks / figure.operations
    outcome.figures = [figure for figure in outcome.figures if ":" not in figure.key]


def costs(results: Results, index: int, system: str, mode: str, key: str) -> dict[str, float] | None:
    """Medians of the turns."""
    runs = [kept["stats"].get("costs", {}).get(key) for run, kept in results.runs.items() if (run[0], run[1], run[3]) == (index, system, mode) and not kept["error"]]
    found = [run for run in runs if run]
    return {name: statistics.median(run[name] for run in found) for name in COSTS} if found else None


def lines(results: Results, index: int, mode: str, key: str) -> dict | None:
    for run, kept in results.runs.items():
        if (run[0], run[3]) == (index, mode) and not kept["error"]:
            return kept["stats"].get("lines", {}).get(key)
    return None


def not_zero(row: dict) -> list[str]:
    """What CPUs cost each other in a row."""
    found = []
    for cpus, cell in row["costs"].items():
        found += [f"{COSTS[name]} {value:.3g} with {cpus} CPUs" for name, value in (cell or {}).items() if value >= ZERO]
    if row["lines"]:
        found += [f"lines' {name} {row['lines'][name]:.3g}" for name in LINE_COSTS if row["lines"][name] >= ZERO]
    return found


def number(value: float | None) -> str:
    if value is None:
        return "-"
    return "0" if value == 0 else f"{value:.3f}" if value < 10 else f"{value:.1f}"


def growth(row: dict) -> float | None:
    """What two CPUs do in the time of one, by instructions: what CPUs would do that cost each other nothing else."""
    of = row["counted"]
    return 2 * of["1"] / of["2"] if of and of["2"] else None


def growth_text(row: dict, goal: float | None) -> str:
    value = growth(row)
    text = "-" if value is None else f"{value:.2f}"
    return f" {text:>8}" if value is None or goal is None else paint(f" {text:>8}", "32" if value >= goal else "31")


def painted(value: float | None, wanted: bool) -> str:
    text = f" {number(value):>8}"
    return text if value is None or not wanted else paint(text, "32" if value < ZERO else "31")


def row_text(row: dict, cpus: list[str], wanted: bool, goal: float | None) -> str:
    label = row["label"] + (f", {format_size(row['size'])}" if row["size"] is not None else "")
    values = [(row["costs"][mode] or {}).get(name) for mode in cpus for name in COSTS]
    values += [(row["lines"] or {}).get(name) for name in LINE_COSTS]
    return f"  {label[:LABEL_WIDTH]:<{LABEL_WIDTH}}" + "".join(painted(value, wanted) for value in values) + growth_text(row, goal)


def print_table(summary: dict, disjoint: tuple[str, ...], goal: float) -> None:
    """disjoint: families of rows in which threads only use memory that is theirs alone; goal: of growth."""
    cpus = [str(number) for number in summary["cpus"] if number > 1]
    heads = [f"{mode} CPUs" for mode in cpus] + ["lines, 2 CPUs", "counted"]
    widths = [9 * len(COSTS)] * len(cpus) + [9 * len(LINE_COSTS), 9]
    print("\n" + paint(f"{'What CPUs cost each other, an operation':<{LABEL_WIDTH + 2}}", "1") + "".join(f"{head:>{width}}" for head, width in zip(heads, widths)))
    names = [*COSTS.values()] * len(cpus) + [*LINE_COSTS.values(), "growth"]
    print(paint(" " * (LABEL_WIDTH + 2) + "".join(f" {name:>8}" for name in names), "2"))
    for row in summary["rows"]:
        alone = row["key"].partition("/")[0] in disjoint
        print(row_text(row, cpus, alone, goal if alone else None))
    print("\nlocks: of the core, found taken; flushes asked of other CPUs, and CPUs asked; writes to lines of the cache that another CPU had, reads")
    print("of lines that another one had written, while all threads were at work. counted: by how much more two CPUs do than one, by instructions,")
    print("those for which they wait for each other included: the same in each run, whatever the host does.")
    alone = [row for row in summary["rows"] if row["key"].partition("/")[0] in disjoint]
    print_verdict(alone)
    print_growth(alone, goal)


def growth_verdict(how: str, found: dict[str, float], goal: float) -> str:
    """found: by the row's key."""
    less = [f"{key} {value:.2f}" for key, value in found.items() if value < goal]
    together = statistics.geometric_mean(found.values())
    text = f"On memory of their own two CPUs do {together:.2f} times as much as one {how} (geometric mean), {goal} in {len(found) - len(less)} of {len(found)}"
    return text + (f"; not {', '.join(less)}" if less else "")


def print_growth(rows: list[dict], goal: float) -> None:
    found = {row["key"]: value for row in rows if (value := growth(row)) is not None}
    if found:
        print(growth_verdict("by instructions", found, goal))


def print_verdict(rows: list[dict]) -> None:
    rows = [row for row in rows if row["lines"] or any(row["costs"].values())]
    shared = {row["key"]: not_zero(row) for row in rows if not_zero(row)}
    if rows:
        print(f"On memory of their own it is zero (below {ZERO}) in {len(rows) - len(shared)} of {len(rows)}" + ("; not in" if shared else ""))
    for row in rows:
        if row["key"] not in shared:
            continue
        print(f"  {row['key']}: {', '.join(shared[row['key']])}")
        for site in (row["lines"] or {"sites": []})["sites"][:SITES_SHOWN]:
            if site["writes"] + site["reads"] >= ZERO / 10:
                print(f"    {site['function']}: writes {number(site['writes'])}, reads {number(site['reads'])}: {site['data']}")
