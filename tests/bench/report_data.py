"""
What tests/bench/report.py draws: the summary that `ninja bench` has written, checked, and what follows from it.

A ratio is ours divided by Linux's, of the Linux variant that needs the fewest instructions: below 1 we are ahead. Means
of ratios are geometric.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any, Iterable, NamedTuple

from charts import bytes_text, file_name
from tool import Failure, read_input

GROUPS = ("programs", "system calls", "faults", "mappings", "allocation", "frames")
NUMBER = (int, float)


class Measure(NamedTuple):
    count: float  # instructions per operation
    ns: float | None = None
    peak: int | None = None
    faults: float | None = None
    variant: str = ""


class Wall(NamedTuple):
    median: float
    least: float
    most: float
    turns: int


class Row(NamedTuple):
    workload: str
    key: str
    label: str
    size: int | None
    group: str
    here: Measure
    linux: Measure | None
    ratio: float | None
    wall: Wall | None
    variants: list[tuple[str, float]]
    zeroed: float
    notes: list[str]
    libc: str
    malloc: str
    title: str = ""

    @property
    def family(self) -> str:
        return self.key.split("/")[0]

    @property
    def build(self) -> str:
        return ", ".join(filter(None, (self.libc, self.malloc if self.malloc not in ("", "libc") else "")))


class Timeline(NamedTuple):
    workload: str
    system: str
    samples: list[tuple[int, int]]  # nanoseconds, bytes


class Summary(NamedTuple):
    made: str
    versions: dict[str, Any]
    host: dict[str, Any]
    worst: float | None
    rows: list[Row]
    timelines: list[Timeline]
    problems: list[str]


# Reading: whatever a file lacks or has wrong is one line that names the place.


def get(values: Any, key: str, kinds: type | tuple, where: str, default: Any = ...) -> Any:
    if not isinstance(values, dict):
        raise Failure(f"{where} is no object")
    value = values.get(key, default)
    if value is ...:
        raise Failure(f"{where} has no '{key}'")
    if not isinstance(value, kinds) and value is not default or isinstance(value, bool):
        raise Failure(f"{where}: '{key}' is {json.dumps(value)[:40]}")
    if isinstance(value, float) and not math.isfinite(value):
        raise Failure(f"{where}: '{key}' is not finite")
    return value


def load(path: Path, writer: str) -> Any:
    if not path.is_file():
        raise Failure(f"there is no {path}: {writer} writes it")
    try:
        return json.loads(read_input(path))
    except (ValueError, RecursionError) as error:
        raise Failure(f"{path} is damaged: {error}") from None


def texts(values: Any, key: str, where: str) -> list[str]:
    return [str(text) for text in get(values, key, list, where, [])]


def read_measure(values: Any, where: str) -> Measure:
    count = get(values, "count", NUMBER, where)
    more = [get(values, key, NUMBER, where, None) for key in ("ns", "peak", "faults")]
    return Measure(count, *more, get(values, "variant", str, where, ""))


def read_wall(values: Any, where: str) -> Wall:
    return Wall(*(get(values, key, NUMBER, where) for key in ("median", "min", "max", "turns")))


def read_row(values: Any, where: str) -> Row:
    text = {key: get(values, key, str, where) for key in ("workload", "key", "label", "group")}
    where = f"{where} ({text['workload']} {text['key']})"
    linux, wall = (get(values, key, dict, where, None) for key in ("linux", "wall"))
    linux = read_measure(linux, f"{where}, linux") if linux else None
    every = [read_measure(one, f"{where}, all") for one in get(values, "all", list, where, [])] or [linux] * bool(linux)
    return Row(
        **text,
        size=get(values, "size", int, where, None),
        here=read_measure(get(values, "here", dict, where), f"{where}, here"),
        linux=linux,
        ratio=get(values, "ratio", NUMBER, where, None),
        wall=read_wall(wall, f"{where}, wall") if wall else None,
        variants=[(one.variant, one.count) for one in every],
        zeroed=get(values, "zeroed", NUMBER, where, 0),
        notes=texts(values, "notes", where),
        libc=get(values, "libc", str, where, ""),
        malloc=get(values, "malloc", str, where, ""),
    )


def read_timeline(values: Any, where: str) -> Timeline:
    samples = [
        (get(s, "ns", NUMBER, where), get(s, "resident", NUMBER, where)) for s in get(values, "samples", list, where)
    ]
    return Timeline(get(values, "workload", str, where), get(values, "system", str, where), sorted(samples))


def titled(rows: list[Row]) -> list[Row]:
    """Each row under a title of its own: what it does, to how much, and as a last resort built with what."""
    names = []
    for row in rows:
        words = [row.workload] if row.group == "programs" else []
        words += [row.label] if row.label not in (*words, "") else []
        size = f", {bytes_text(row.size)}" if row.size and bytes_text(row.size) not in row.label else ""
        names.append(": ".join(words) + size)
    often = Counter(names)
    return [row._replace(title=f"{name} ({row.build})" if often[name] > 1 else name) for row, name in zip(rows, names)]


def read_summary(path: Path) -> Summary:
    values, where = load(path, "ninja bench"), str(path)
    rows = [read_row(row, f"{where}, row {i}") for i, row in enumerate(get(values, "rows", list, where), 1)]
    if not rows:
        problems = texts(values, "problems", where) or ["it does not say why"]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise Failure(f"{where} has no rows, nothing was measured: {problems[0]}{more}")
    lines = [
        read_timeline(line, f"{where}, timeline {i}")
        for i, line in enumerate(get(values, "timelines", list, where, []), 1)
    ]
    return Summary(
        made=get(values, "made", str, where, ""),
        versions=get(values, "versions", dict, where, {}),
        host=get(values, "host", dict, where, {}),
        worst=get(get(values, "calibration", dict, where, {}), "worst", NUMBER, where, None),
        rows=titled(rows),
        timelines=lines,
        problems=texts(values, "problems", where),
    )


# What follows from the numbers.


def grouped(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The rows of each group, the known groups first, and in a group those of a family together."""
    groups: dict[str, dict[tuple, list[Row]]] = {name: {} for name in GROUPS}
    for row in rows:
        family = (row.workload, row.family, row.libc, row.malloc)
        groups.setdefault(row.group, {}).setdefault(family, []).append(row)
    return {name: [row for family in found.values() for row in family] for name, found in groups.items() if found}


def mean(ratios: Iterable[float]) -> float | None:
    """The geometric mean; None of nothing."""
    logarithms = [math.log(ratio) for ratio in ratios if ratio > 0]
    return math.exp(sum(logarithms) / len(logarithms)) if logarithms else None


def compared(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row.ratio is not None and row.ratio > 0]


def ratio_text(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:#.2g}"


def times_text(ratio: float) -> str:
    """How many times fewer or more; "0.9" is clearer as a percentage."""
    if 0.5 < ratio < 2:
        percent = round(abs(ratio - 1) * 100)
        return f"{percent} % {'fewer' if ratio < 1 else 'more'}" if percent else "the same"
    factor = max(ratio, 1 / ratio)
    return f"{factor:.{0 if factor >= 9.95 else 1}f} × {'fewer' if ratio < 1 else 'more'}"


def families(rows: list[Row]) -> dict[str, list[Row]]:
    """The rows that differ in their size alone, two and more, by the name of their chart."""
    found: dict[tuple, list[Row]] = {}
    for row in rows:
        if row.size:
            found.setdefault((row.family, row.workload, row.libc, row.malloc), []).append(row)
    several = {key: sorted(members, key=lambda row: row.size or 0) for key, members in found.items()}
    several = {key: members for key, members in several.items() if len({row.size for row in members}) > 1}
    often = Counter(key[0] for key in several)
    return {file_name("cost", *(key if often[key[0]] > 1 else key[:1])): rows for key, rows in several.items()}


def variant_names(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name, _ in row.variants))
