#!/usr/bin/env python3
"""
Measures programs with threads here and in a Linux guest with as many CPUs (`ninja bench-threads`).

    tests/bench/threads.py [--cpus 1,2,4,8] [--only NAME,NAME] [--rows FAMILY] [options]

Every workload of tests/bench/parallel is run with as many threads as there are CPUs, each of which does the same work, in
turn as an image and as a program for Linux with each allocator that there is. Time runs as it does, for with several CPUs
instructions cannot be counted; what the host made the machine wait is taken off (waiting.py). With one CPU each is also run
once with instructions counted.

For each row the table shows what an operation takes of all threads together, the ratio to the best Linux, and by how much two
CPUs do more than one. The one is the slower of two machines with one CPU each that run at the same time, right before: so it
has what the host gives to each of two, whose cores are not equal, nor the same from second to second. A second table shows what CPUs cost each other (costs.py), with the lines of the cache that they share from a run with
a plugin of QEMU (lines.py). The status is 1 if something failed. What is measured is kept as by `ninja bench`, in build/bench-threads/.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from root import ROOT  # isort: first

import bench
import compare
import costs
import lines
import machine
from bench import HERE, LINUX, Bench, Progress, Run
from machine import CALIBRATION, COUNT, Mode, Outcome
from report import format_size, paint
from runs import Results, digest_of
from table import LABEL_WIDTH, amount
from tool import Failure

PLAN = ROOT / "build/bench-threads/plan.json"
CPUS = (1, 2, 4, 8)
TURNS = 3
COUNTED = "count"
LINES = "lines"  # with the plugin
PAIR = "pair"  # two machines with one CPU at the same time
CPUS_THERE = "cpus"  # the figure with the number of CPUs
NO_ROWS = (CALIBRATION, CPUS_THERE)
# What threads do on memory of their own, so that they cost each other nothing, and what it has to bring from one CPU to two.
DISJOINT = ("faults_own", "faults_given", "faults_part", "map_unmap", "map_touch_unmap", "protect", "discard", "disjoint", "thrash", "scratch", "large", "call", "compute")
SCALING_GOAL = 1.8
# The program's own instructions, or those of the C library: the same on both sides, so that neither can be ahead.
OWN_CODE = ("compute", "thrash", "scratch", "lock_shared")


class Threads(Bench):
    """The mode of a run is COUNTED, LINES, PAIR or the number of CPUs."""

    def mode(self, run: Run) -> Mode:
        if run.mode == LINES:
            return Mode(True, cpus=lines.CPUS)
        return COUNT if run.mode == COUNTED else Mode(False, cpus=1 if run.mode == PAIR else int(run.mode), backed=True)

    def arguments(self, run: Run) -> list[str]:
        return [str(self.mode(run).cpus), str(self.options.scale), *([self.options.rows] if self.options.rows else [])]

    def digest(self, run: Run) -> str:
        plugin = [digest_of([ROOT / lines.PLUGIN], lines.TURN)] if run.mode == LINES else []
        return super().digest(run) + "-".join(["", *self.arguments(run), *plugin])

    def execute(self, run: Run) -> Outcome:
        if run.mode != PAIR:
            return self.execute_one(run)
        with ThreadPoolExecutor(2) as pool:
            return slower(list(pool.map(self.execute_one, [run, run])))

    def execute_one(self, run: Run) -> Outcome:
        subject = self.subjects[run.subject]
        subject, mode = subject | {"arguments": self.arguments(run)}, self.mode(run)
        if run.system == LINUX:
            malloc, thp = compare.split_variant(run.variant)
            outcome = machine.run_guest(subject, subject["natives"][malloc], thp, self.memory(subject), mode, self.options.timeout)
        elif run.mode == LINES:
            outcome = self.count_lines(subject, mode)
        else:
            outcome = machine.run_image(subject, subject["config"], self.memory(subject), mode, self.options.timeout)
        check_cpus(outcome, mode.cpus)
        costs.take_costs(outcome)
        return outcome

    def count_lines(self, subject: dict, mode: Mode) -> Outcome:
        debug = json.loads((ROOT / subject["config"]).read_text())["debug_elf"]
        symbols = lines.Symbols.read(ROOT / debug)
        with tempfile.NamedTemporaryFile("r", prefix="quire-lines-") as file:
            words = lines.plugin_words(symbols, Path(file.name), mode.cpus)
            outcome = machine.run_image(subject, subject["config"], self.memory(subject), mode, self.options.timeout, words)
            if not outcome.error:
                rows = {figure.key: figure.operations for figure in outcome.figures if figure.key not in NO_ROWS and ":" not in figure.key}
                outcome.stats["lines"] = lines.counts_of(lines.read_regions(file.read()), symbols, rows)
        return outcome

    def describe(self, run: Run) -> str:
        subject = self.subjects[run.subject]
        where = "here" if run.system == HERE else f"Linux, {compare.split_variant(run.variant)[0]}"
        return f"{subject['label']}: {where}, {mode_text(run.mode)}"

    def variants(self, index: int) -> list[str]:
        """Pages are small by request where they matter: huge ones are as the system gives them without."""
        return [f"{malloc}/always" for malloc in self.subjects[index]["natives"]] if self.linux else []

    def runs_of(self, mode: str, turn: int) -> list[Run]:
        modes = [PAIR, mode] if mode == "2" else [mode]
        systems = [(index, system, variant) for index in range(len(self.subjects)) for system, variant in self.systems(index)]
        return [Run(index, system, variant, each, turn) for index, system, variant in systems for each in modes]

    def systems(self, index: int) -> list[tuple[str, str]]:
        return [(HERE, ""), *((LINUX, variant) for variant in self.variants(index))]

    def all_runs(self) -> None:
        runs = self.runs_of(COUNTED, 0)
        runs += [Run(index, HERE, "", LINES) for index in range(len(self.subjects)) if self.options.lines]
        for turn in range(self.options.turns):
            runs += [run for cpus in self.options.cpus for run in self.runs_of(str(cpus), turn)]
        self.progress.total = len(runs)
        for run in runs:
            self.do(run)


def slower(outcomes: list[Outcome]) -> Outcome:
    """Of machines that ran at the same time; or one that failed."""
    failed = [outcome for outcome in outcomes if outcome.error]
    return failed[0] if failed else max(outcomes, key=lambda outcome: sum(figure.ns for figure in outcome.figures))


def check_cpus(outcome: Outcome, wanted: int) -> None:
    """What was measured on fewer CPUs is no figure of so many."""
    there = [figure.operations for figure in outcome.figures if figure.key == CPUS_THERE]
    outcome.figures = [figure for figure in outcome.figures if figure.key != CPUS_THERE]
    if not outcome.error and there != [wanted]:
        outcome.error = f"the program found {there[0] if there else 'no number of'} CPUs, not {wanted}"


# ---- from runs to rows ----


class Cell(NamedTuple):
    """Of one row with so many CPUs: ns an operation, and the ratios of the turns; of the best Linux."""

    here: float | None
    linux: float | None
    ratios: list[float]

    @property
    def ratio(self) -> float | None:
        return statistics.median(self.ratios) if self.ratios else None


def figures(results: Results, index: int, key: str, mode: str, count: bool) -> dict[tuple[str, str], dict[int, float]]:
    """For each system and variant what an operation took in each turn: ns, or instructions. A guest that did not end in time
    has some."""
    found: dict[tuple[str, str], dict[int, float]] = {}
    for run, kept in results.runs.items():
        if run[0] != index or run[3] != mode or (kept["error"] and not kept["stats"].get("late")):
            continue
        measured = compare.measured(kept).get(key)
        if measured:
            found.setdefault((run[1], run[2]), {})[run[4]] = measured.count if count else measured.ns
    return found


def cell(results: Results, index: int, key: str, mode: str) -> Cell:
    found = figures(results, index, key, mode, mode == COUNTED)
    here = found.pop((HERE, ""), {})
    best = min(found.values(), key=lambda turns: statistics.median(turns.values()), default={})
    ratios = [here[turn] / best[turn] for turn in here if best.get(turn)]
    middle = [statistics.median(turns.values()) if turns else None for turns in (here, best)]
    return Cell(middle[0], middle[1], ratios)


def scaling(results: Results, index: int, key: str, system: str) -> float | None:
    """How much more is done with two CPUs than with one; of Linux with what is best with two."""
    one, two = (figures(results, index, key, mode, False) for mode in (PAIR, "2"))
    variants = sorted((statistics.median(turns.values()), name) for name, turns in two.items() if name[0] == system)
    if not variants or variants[0][1] not in one:
        return None
    name = variants[0][1]
    return statistics.median([one[name][turn] / two[name][turn] for turn in two[name] if turn in one[name]] or [0]) or None


def counted(results: Results, index: int, key: str) -> dict[str, float] | None:
    """Instructions an operation here, of all threads together, by CPUs; with two those that wait for each other count, too."""
    runs = {cpus: figures(results, index, key, mode, True).get((HERE, "")) for cpus, mode in (("1", COUNTED), ("2", LINES))}
    return {cpus: statistics.median(turns.values()) for cpus, turns in runs.items()} if all(runs.values()) else None


def keys_of(results: Results, index: int) -> dict[str, str]:
    """With their labels, as the program printed them."""
    found: dict[str, str] = {}
    for run, kept in results.runs.items():
        if run[0] == index and not kept["error"]:
            found |= {key: measured.label for key, measured in compare.measured(kept).items()}
    return found


def summary_of(threads: Threads, problems: list[str]) -> dict:
    """What the table shows, for summary.json."""
    rows = []
    modes = [COUNTED, *map(str, threads.options.cpus)]
    for run, kept in threads.results.runs.items():
        if kept["error"]:
            problems.append(f"{threads.describe(Run(*run))}: {kept['error']}")
    for index, subject in enumerate(threads.subjects):
        for key, label in keys_of(threads.results, index).items():
            cells = {mode: cell(threads.results, index, key, mode) for mode in modes}
            row = {"workload": subject["workload"], "key": key, "label": label, "size": compare.size_of(key)}
            row["cells"] = {mode: {**found._asdict(), "ratio": found.ratio} for mode, found in cells.items()}
            row["costs"] = {str(cpus): costs.costs(threads.results, index, HERE, str(cpus), key) for cpus in threads.options.cpus if cpus > 1}
            row["lines"] = costs.lines(threads.results, index, LINES, key)
            row["counted"] = counted(threads.results, index, key)
            row["scaling"] = {system: scaling(threads.results, index, key, system) for system in (HERE, LINUX)}
            rows.append(row)
    return {"cpus": list(threads.options.cpus), "linux": threads.linux, "rows": rows, "problems": list(dict.fromkeys(problems))}


# ---- the table ----


def cpus_text(cpus: int) -> str:
    return "1 CPU" if cpus == 1 else f"{cpus} CPUs"


def mode_text(mode: str) -> str:
    return {COUNTED: "1 CPU, counted", LINES: "2 CPUs, lines of the cache", PAIR: "1 CPU, two at once"}.get(mode) or cpus_text(int(mode))


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def painted(text: str, good: bool | None) -> str:
    return text if good is None else paint(text, "32" if good else "31")


def cell_text(found: dict) -> str:
    ratio = found["ratio"]
    line = f" {amount(found['here']):>10} {amount(found['linux']):>10} "
    return line + painted(f"{number(ratio):>5}", None if ratio is None else ratio < 1)


def row_text(row: dict) -> str:
    label = row["label"] + (f", {format_size(row['size'])}" if row["size"] is not None else "")
    line = f"  {label[:LABEL_WIDTH]:<{LABEL_WIDTH}}" + "".join(map(cell_text, row["cells"].values()))
    here, linux = row["scaling"][HERE], row["scaling"][LINUX]
    wanted = here is not None and row["key"].partition("/")[0] in DISJOINT
    return line + " " + painted(f"{number(here):>6}", here >= SCALING_GOAL if wanted else None) + f" {number(linux):>6}"


def print_table(summary: dict) -> None:
    heads = ["1 CPU, instructions", *(f"{cpus_text(cpus)}, ns" for cpus in summary["cpus"])]
    print("\n" + " " * (LABEL_WIDTH + 2) + "".join(f"{head:>28}" for head in heads) + f"{'from 1 to 2':>14}")
    print(paint(" " * (LABEL_WIDTH + 2) + f" {'here':>10} {'Linux':>10} ratio" * len(heads) + f" {'here':>6} {'Linux':>6}", "2"))
    for workload in dict.fromkeys(row["workload"] for row in summary["rows"]):
        print(paint(workload, "1"))
        for row in summary["rows"]:
            if row["workload"] == workload:
                print(row_text(row))
    print("\nAn operation of all threads together, medians; ratios are here / Linux with the best allocator, of runs in turn; from 1 to 2")
    print("CPUs by how much more is done than by the slower of two machines with one at the same time. Without what the host's other work")
    print("made the machine wait for a processor.")
    print_verdict(summary)


def print_verdict(summary: dict) -> None:
    compared_rows = [row for row in summary["rows"] if row["key"].partition("/")[0] not in OWN_CODE]
    for mode in [COUNTED, *map(str, summary["cpus"])]:
        compared = [row for row in compared_rows if row["cells"][mode]["ratio"] is not None]
        behind = [row["key"] for row in compared if row["cells"][mode]["ratio"] >= 1]
        only_here = [row["key"] for row in compared_rows if summary["linux"] and row not in compared]
        what = "1 CPU, instructions" if mode == COUNTED else cpus_text(int(mode))
        rest = [f"; {text} {', '.join(keys)}" for text, keys in (("not in", behind), ("without a figure of both:", only_here)) if keys]
        print(f"{what}: ahead in {len(compared) - len(behind)} of {len(compared)}" + "".join(rest))
    print(f"Of these are left out {', '.join(OWN_CODE)}: what they do is the program's own code, which is the same on both sides.")
    alone = [row for row in summary["rows"] if row["key"].partition("/")[0] in DISJOINT]
    scaled = {row["key"]: row["scaling"][HERE] for row in alone if row["scaling"][HERE] is not None}
    if scaled:
        print(costs.growth_verdict("by the clock", scaled, SCALING_GOAL))


# ---- all of it ----


def cpu_list(text: str) -> list[int]:
    words = text.split(",")
    if not all(word.isdigit() and 1 <= int(word) <= 64 for word in words) or len(set(words)) != len(words):
        raise argparse.ArgumentTypeError(f"'{text}' must be numbers from 1 to 64, separated by commas")
    return sorted(map(int, words))


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = bench.Parser(description="Measures programs with threads here and in a Linux guest with as many CPUs.", allow_abbrev=False)
    parser.add_argument("--plan", type=Path, default=PLAN, help="what is measured (default: build/bench-threads/plan.json)")
    parser.add_argument("--cpus", type=cpu_list, default=list(CPUS), metavar="N,...", help="of the machine, and threads of the program (default: 1,2,4,8)")
    parser.add_argument("--only", metavar="NAME,...", default="", help="these workloads of the plan")
    parser.add_argument("--rows", metavar="FAMILY", default="", help="the rows of this key alone")
    parser.add_argument("--scale", type=bench.number(1, "a number from 1 to 1000"), default=1, help="by what the work is multiplied (default: 1)")
    parser.add_argument("--turns", type=bench.number(1, "a number from 1 to 1000"), default=TURNS, help=f"runs by the clock (default {TURNS})")
    parser.add_argument("--lines", action=argparse.BooleanOptionalAction, default=True, help="count the lines of the cache that two CPUs share (default: yes)")
    parser.add_argument("--no-linux", dest="linux", action="store_false", help="only here")
    parser.add_argument("--timeout", type=float, default=bench.TIMEOUT, metavar="S", help=f"seconds for one run (default {bench.TIMEOUT:g})")
    parser.add_argument("--fresh", action="store_true", help="forget what an interrupted benchmark has left")
    options = parser.parse_args(arguments)
    if not options.timeout > 0:
        raise Failure("--timeout must be a positive number of seconds")
    options.sweep = False
    return options


def have_plugin(problems: list[str]) -> bool:
    done = bench.ninja([str(lines.PLUGIN)], False)
    if done.returncode != 0:
        problems.append(f"lines of the cache are not counted: {lines.PLUGIN} was not built: {machine.last_line(done.stdout)}")
    return done.returncode == 0


def measure(options: argparse.Namespace) -> int:
    plan, output = bench.read_plan(options.plan), options.plan.resolve().parent
    problems = [f"{item['label']}: {item['why']}" for item in plan["absent"]]
    linux = bench.have_guest(problems, options.linux)
    subjects = bench.build(bench.choose(plan["subjects"], options.only), problems)
    options.lines = options.lines and have_plugin(problems)
    results = Results(output)
    if options.fresh:
        results.forget()
    threads = Threads(subjects, results, options, Progress(0), linux)
    results.load()
    try:
        threads.all_runs()
    finally:
        threads.progress.close()
    summary = summary_of(threads, problems)
    results.finish(summary)
    print_table(summary)
    costs.print_table(summary, DISJOINT, SCALING_GOAL)
    found = [*summary["problems"], *results.problems]
    return bench.tell(found)


def main(arguments: list[str]) -> int:
    return bench.run(lambda: measure(parse(arguments)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
