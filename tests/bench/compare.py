"""
From runs to a summary: for each thing measured what it takes here and on the best variant of Linux, and the ratios. The
summary is what the table, the report and tests read; docs/benchmarking.md describes it.
"""

from __future__ import annotations

import datetime
import math
import statistics
from typing import NamedTuple

import root  # noqa: F401, isort: first

import guest
import kernel
from machine import CALIBRATION, Figure, Outcome, calibrations
from notes import notes_of
from runs import Results, figures_of, host, versions

TOTAL = "total"
HERE, LINUX = "here", "linux"
# The workloads that measure single operations, by what the table calls them.
GROUPS = {
    "system-calls": "system calls",
    "faults": "faults",
    "mapping-calls": "mappings",
    "allocation": "allocation",
    "frames": "frames",
}


class Measured(NamedTuple):
    """One figure of one run: instructions (or ticks) and ns an operation."""

    label: str
    count: float
    ns: float
    zeroed: int


def group_of(workload: str, key: str) -> str:
    return "programs" if key == TOTAL else GROUPS.get(workload, "operations")


def own_ns(run: dict, ns: int) -> float:
    """Of ns by the clock that without what the host made the machine wait (waiting.py), which is known of the whole run."""
    stats = run["stats"]
    return ns * (1 - stats.get("waited", 0) / stats["ns"]) if stats.get("ns") else ns


def measured(run: dict, summary: str = "") -> dict[str, Measured]:
    """By key; of a program that prints no figures its whole run."""
    figures = [figure for figure in figures_of(run) if figure.key != CALIBRATION and figure.operations]
    if not figures:
        whole = run["stats"]
        figures = [Figure(TOTAL, summary, 1, int(whole.get("ticks", 0)), int(whole.get("ns", 0)), 0)]
    return {
        figure.key: Measured(figure.label, figure.ticks / figure.operations, own_ns(run, figure.ns) / figure.operations, figure.zeroed)
        for figure in figures
    }


def printed(run: dict) -> list[str]:
    """What the program printed, without what a workload says of what it cannot measure on one of the systems."""
    return [row.rstrip() for row in run["output"].strip().splitlines() if not row.startswith("bench: ")]


def is_program(run: dict) -> bool:
    return not run["error"] and TOTAL in measured(run)


def best_variant(runs: dict[str, dict]) -> str:
    """That with the least geometric mean over all figures that every variant has."""
    figures = {name: measured(run) for name, run in runs.items()}
    keys = set.intersection(*(set(found) for found in figures.values()))
    cost = {name: sum(math.log(max(found[key].count, 1e-9)) for key in keys) for name, found in figures.items()}
    return min(cost, key=lambda name: cost[name])


def size_of(key: str) -> int | None:
    _, slash, size = key.partition("/")
    return int(size) if slash else None


def variants(subject: dict) -> list[str]:
    """Of Linux: every setting of huge pages with the first allocator that the subject has a program with, one with the others."""
    return [
        f"{malloc}/{thp}"
        for number, malloc in enumerate(subject["natives"])
        for thp in (guest.THP if number == 0 else guest.THP[:1])
    ]


def split_variant(variant: str) -> tuple[str, str]:
    malloc, _, thp = variant.rpartition("/")
    return malloc, thp


def variant_name(subject: dict, variant: str) -> str:
    malloc, thp = split_variant(variant)
    return f"{malloc}, huge pages {thp}" if len(subject["natives"]) > 1 else f"huge pages {thp}"


class SubjectRuns:
    """The runs of one subject; those that failed are problems, and left out."""

    def __init__(self, index: int, subject: dict, results: Results, problems: list[str]):
        self.subject = subject
        self.counted: dict | None = None
        self.linux: dict[str, dict] = {}
        self.timed: dict[tuple[str, int], dict] = {}
        self.traced: dict[str, dict] = {}
        for (number, system, variant, mode, turn), run in sorted(results.runs.items()):
            if number != index:
                continue
            where = "here" if system == HERE else f"Linux, {variant_name(subject, variant)}"
            if run["error"]:
                problems.append(f"{subject['label']}: {where}{'' if mode == 'count' else ' (' + mode + ')'}: {run['error']}")
            elif mode == "count" and system == HERE:
                self.counted = run
            elif mode == "count":
                self.linux[variant] = run
            elif mode == "time":
                self.timed[system, turn] = run
            else:
                self.traced[system] = run
        self._compare_output(problems)

    def _compare_output(self, problems: list[str]) -> None:
        """The same program on the same input prints the same."""
        for variant, run in self.linux.items() if self.counted else ():
            if printed(run) != printed(self.counted):
                problems.append(f"{self.subject['label']}: it prints something else here than on Linux, {variant_name(self.subject, variant)}")
                break

    def wall(self, key: str) -> dict | None:
        """Ratios of wall time of runs that were done in turn."""
        ratios = []
        for (system, turn), run in self.timed.items():
            other = self.timed.get((LINUX, turn))
            if system == LINUX or other is None:
                continue
            own, theirs = measured(run).get(key), measured(other).get(key)
            if own and theirs and theirs.ns:
                ratios.append(own.ns / theirs.ns)
        if not ratios:
            return None
        return {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios), "turns": len(ratios)}

    def ns(self, system: str, key: str) -> float | None:
        """By the clock, the median of the turns."""
        found = [measured(run)[key].ns for (where, _), run in self.timed.items() if where == system and key in measured(run)]
        return statistics.median(found) if found else None

    def row(self, key: str, own: Measured) -> dict:
        counts = {name: measured(run)[key].count for name, run in self.linux.items() if key in measured(run)}
        program = key == TOTAL
        group = group_of(self.subject["workload"], key)
        best = min(counts, key=lambda name: counts[name]) if counts else None
        linux = None
        if best is not None:
            linux = {"variant": variant_name(self.subject, best), "count": counts[best], "ns": self.ns(LINUX, key)}
            linux |= memory_of(self.linux[best]) if program else NO_MEMORY
        return {
            "workload": self.subject["workload"],
            "variant": self.subject["label"],
            "key": key,
            "label": own.label or self.subject["label"],
            "size": size_of(key),
            "group": group,
            "libc": self.subject["libc"],
            "malloc": self.subject["malloc"],
            "here": {"count": own.count, "ns": self.ns(HERE, key)} | (memory_of(self.counted) if program else NO_MEMORY),
            "linux": linux,
            "ratio": own.count / linux["count"] if linux and linux["count"] else None,
            "wall": self.wall(key),
            "all": [{"variant": variant_name(self.subject, name), "count": count} for name, count in counts.items()],
            "zeroed": own.zeroed,
            "notes": notes_of(group, not figures_of(self.counted)) if linux else [],
        }

    def rows(self) -> list[dict]:
        if self.counted is None:
            return []
        return [self.row(key, own) for key, own in measured(self.counted).items()]

    def timelines(self) -> list[dict]:
        return [
            {
                "workload": self.subject["label"],
                "system": system,
                "samples": [
                    {"ns": sample["ns"], "resident": sum(sample["resident"]), "faults": sample["faults"]}
                    for sample in run["samples"]
                ],
            }
            for system, run in self.traced.items()
            if run["samples"]
        ]


NO_MEMORY = {"peak": None, "faults": None}


def memory_of(run: dict) -> dict:
    return {"peak": run["stats"].get("peak"), "faults": run["stats"].get("faults")}


def made() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def worst_calibration(results: Results) -> float | None:
    """How far an instruction was from a tick of the time-stamp counter, at worst, where instructions were counted."""
    off = []
    for run in results.runs.values():
        if run["run"][3] == "count" and not run["error"]:
            off += [abs(1 - ticks) for ticks in calibrations(Outcome(stats=run["stats"], figures=figures_of(run)))]
    return max(off) if off else None


def head(results: Results) -> dict:
    return {"made": made(), "versions": versions(), "host": host(), "calibration": {"worst": worst_calibration(results)}}


def summary(plan: dict, subjects: list[dict], results: Results, problems: list[str]) -> dict:
    problems = list(problems)
    rows, timelines = [], []
    for index, subject in enumerate(subjects):
        runs = SubjectRuns(index, subject, results, problems)
        rows += runs.rows()
        timelines += runs.timelines()
    if not kernel.KERNEL.is_file() and not any("Linux" in problem for problem in problems):
        problems.append("there is no Linux guest to compare with")
    return head(results) | {"rows": rows, "timelines": timelines, "problems": problems}


def sweep_summary(plan: dict, subjects: list[dict], results: Results, problems: list[str]) -> dict:
    """The variants of one application; the first is what the application itself says, as far as it is among them."""
    problems = list(problems)
    cells = [failed_cell(item["cell"], item["why"]) for item in plan["absent"]]
    problems += [f"{item['label']}: {item['why']}" for item in plan["absent"]]
    for index, subject in enumerate(subjects):
        failed: list[str] = []
        runs = SubjectRuns(index, subject, results, failed)
        cell = dict(subject["cell"])
        if runs.counted is None:
            problems += failed
            cells.append(failed_cell(cell, (failed or ["it was not built"])[0]))
            continue
        whole = runs.counted["stats"]
        by_clock = [own_ns(run, run["stats"]["ns"]) for run in runs.timed.values()]
        cells.append(
            cell
            | {
                "count": total_of(runs.counted),
                "ns": statistics.median(by_clock) if by_clock else None,
                "peak": whole.get("peak"),
                "faults": whole.get("faults"),
                "status": 0,
                "error": None,
            }
        )
    app = subjects[0]["workload"] if subjects else plan["absent"][0]["name"] if plan["absent"] else "nothing"
    axes = plan["axes"]
    cells.sort(key=lambda cell: [axes[axis].index(cell[axis]) for axis in axes])
    return head(results) | {"app": app, "axes": axes, "default": plan["default"], "cells": cells, "problems": problems}


def failed_cell(cell: dict[str, str], error: str) -> dict:
    return cell | {"count": None, "ns": None, "peak": None, "faults": None, "status": 1, "error": error}


def total_of(run: dict) -> float:
    """Instructions of all of the run; of a workload what it says of itself."""
    found = measured(run)
    return found[TOTAL].count if TOTAL in found else float(run["stats"].get("ticks", 0))
