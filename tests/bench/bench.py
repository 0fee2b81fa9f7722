#!/usr/bin/env python3
"""
Measures programs here and in a Linux guest in the same machine, side by side (`ninja bench`, `./configure.py --bench`).

    tests/bench/bench.py [--plan build/bench/plan.json] [--only NAME,NAME] [options]

Every subject of the plan (images/subjects.py) is run
  * once as an image and once on Linux with each setting of transparent huge pages, in emulation with -icount, where an
    instruction takes a nanosecond in every run: what an operation takes in instructions, peak memory, faults;
  * in turn as an image and on Linux, where it did best, with time running as it does: ratios of wall time;
  * once each while its memory is sampled, if it is a program and no list of operations.
A workload measures itself and prints figures (tests/bench/bench.h); of any other program all of its run is measured.

What fails is said, and the rest goes on; the status is then 1. An interrupted benchmark goes on where it was when it is
started again. --sweep only runs images, and compares the variants with each other.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, NamedTuple

from root import ROOT  # isort: first

import compare
import goals
import guest
import kernel
import machine
from machine import COUNT, TIME, Mode, Outcome
from table import print_sweep, print_table
from runs import Results, digest_of, versions
from tool import Failure

PLAN = ROOT / "build/bench/plan.json"
HERE, LINUX = "here", "linux"
MEMORY_LEAST = 1 << 30  # the Linux guest unpacks its file system into RAM
TIMEOUT = 600.0
INTERVAL_NS = 10_000_000
TURNS = 5


class Run(NamedTuple):
    """One run that is to be done. variant: of Linux, its allocator and its setting of huge pages; empty here."""

    subject: int
    system: str
    variant: str
    mode: str  # "count", "time" or "trace"
    turn: int = 0


MODES = {"count": COUNT, "time": TIME, "trace": Mode(False, INTERVAL_NS)}


class Progress:
    """Where the benchmark is: on a terminal one line that changes, else a line for each run."""

    def __init__(self, total: int):
        self.total, self.done = total, 0
        self.start = time.monotonic()
        self.terminal = sys.stderr.isatty()

    def ended(self, what: str, seconds: float, error: str) -> None:
        self.done += 1
        passed = int(time.monotonic() - self.start)
        line = f"[{self.done}/{self.total}] {passed // 60}:{passed % 60:02} {what} ({seconds:.1f} s)"
        if error:
            self.say(f"{line}: {error}")
        elif self.terminal:
            print(f"\r\033[K{line}"[: 5 + 110], end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        print(("\r\033[K" if self.terminal else "") + text, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


@dataclass
class Bench:
    subjects: list[dict]
    results: Results
    options: argparse.Namespace
    progress: Progress
    linux: bool  # there is a guest to compare with

    # ---- one run ----

    def memory(self, subject: dict) -> int:
        return subject["ram"] if self.options.sweep else max(subject["ram"], MEMORY_LEAST)

    def digest(self, run: Run) -> str:
        subject = self.subjects[run.subject]
        names = subject["traced_targets"] if run.mode == "trace" else subject["targets"]
        paths = [ROOT / name for name in names] if run.system == HERE else [*map(ROOT.joinpath, subject["natives"].values()), guest.INIT]
        paths += [ROOT / host for host, _ in subject["files"]]
        more = [run, subject["arguments"], subject["environment"], self.memory(subject), versions()["qemu"], self.options.timeout]
        return digest_of(paths, *more, kernel.version() if run.system == LINUX else "")

    def do(self, run: Run) -> dict:
        """The result of the run: the one that is kept, or a new one."""
        digest = self.digest(run)
        kept = self.results.find(run, digest)
        start = time.monotonic()
        if kept is None:
            try:
                outcome = self.execute(run)
            except (Failure, OSError) as failure:
                outcome = Outcome(error=str(failure))
            kept = self.results.add(run, digest, outcome)
        self.progress.ended(self.describe(run), time.monotonic() - start, kept["error"])
        return kept

    def execute(self, run: Run) -> Outcome:
        subject, mode = self.subjects[run.subject], MODES[run.mode]
        if run.system == LINUX:
            malloc, thp = compare.split_variant(run.variant)
            return machine.run_guest(subject, subject["natives"][malloc], thp, self.memory(subject), mode, self.options.timeout)
        config = subject["traced"] if run.mode == "trace" else subject["config"]
        return machine.run_image(subject, config, self.memory(subject), mode, self.options.timeout)

    def describe(self, run: Run) -> str:
        subject = self.subjects[run.subject]
        where = "here" if run.system == HERE else f"Linux, {compare.variant_name(subject, run.variant)}"
        what = {"count": "", "time": ", by the clock", "trace": ", memory over time"}[run.mode]
        return f"{subject['label']}: {where}{what}"

    # ---- all runs ----

    def variants(self, index: int) -> list[str]:
        """Of Linux; none without a guest, or of a program that cannot run there."""
        return compare.variants(self.subjects[index]) if self.linux else []

    def counting_runs(self) -> list[Run]:
        runs = []
        for index in range(len(self.subjects)):
            runs.append(Run(index, HERE, "", "count"))
            runs += [Run(index, LINUX, variant, "count") for variant in self.variants(index)]
        return runs

    def timing_runs(self) -> list[Run]:
        """Each turn runs both systems, one right after the other: what else the host does changes slowly."""
        runs = []
        for index in range(len(self.subjects)):
            best = self.best(index)
            for turn in range(self.options.turns):
                runs.append(Run(index, HERE, "", "time", turn))
                runs += [Run(index, LINUX, best, "time", turn)] if best else []
        return runs

    def tracing_runs(self) -> list[Run]:
        runs = []
        for index in range(len(self.subjects)):
            counted = self.results.runs.get(Run(index, HERE, "", "count"))
            if self.options.sweep or self.options.turns == 0 or not counted or not compare.is_program(counted):
                continue
            runs.append(Run(index, HERE, "", "trace"))
            best = self.best(index)
            runs += [Run(index, LINUX, best, "trace")] if best else []
        return runs

    def best(self, index: int) -> str:
        """The variant with which Linux needs the fewest instructions; empty if none has run."""
        counted = {}
        for variant in self.variants(index):
            run = self.results.runs.get(Run(index, LINUX, variant, "count"))
            if run and not run["error"]:
                counted[variant] = run
        return compare.best_variant(counted) if counted else ""

    def all_runs(self) -> None:
        runs = self.counting_runs()
        timed = self.options.turns * len(self.subjects)
        linux = sum(bool(self.variants(index)) for index in range(len(self.subjects)))
        self.progress.total = len(runs) + timed + self.options.turns * linux
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            self.wait_all([pool.submit(self.do, run) for run in runs])
        tracing = self.tracing_runs()
        self.progress.total += len(tracing)
        for run in [*self.timing_runs(), *tracing]:
            self.do(run)

    @staticmethod
    def wait_all(futures: list) -> None:
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            for future in futures:
                future.cancel()
            machine.end_all()
            raise


# ---- before and after ----


def read_plan(path: Path) -> dict:
    try:
        plan = json.loads(path.read_text())
        if isinstance(plan["subjects"], list) and isinstance(plan["absent"], list):
            return plan
        raise ValueError
    except OSError:
        raise Failure(f"there is no {path.name} of what is to be measured; type   ./configure.py --setup hello") from None
    except (ValueError, KeyError, TypeError):
        raise Failure(f"{path} is damaged; type   ./configure.py hello") from None


def choose(subjects: list[dict], only: str) -> list[dict]:
    if not only:
        return subjects
    wanted = only.split(",")
    names = [subject["workload"] for subject in subjects]
    for name in wanted:
        if name not in names:
            raise Failure(f"--only {name}: there is no such workload; there are {', '.join(names)}")
    return [subject for subject in subjects if subject["workload"] in wanted]


def build(subjects: list[dict], problems: list[str]) -> list[dict]:
    """Builds all; what cannot be built is a problem, and the others are returned."""
    groups = {subject["label"]: subject["targets"] + subject["traced_targets"] for subject in subjects}
    whole = [target for targets in groups.values() for target in targets] + [str(guest.INIT.relative_to(ROOT))]
    if ninja(whole, sys.stderr.isatty()).returncode == 0:
        return subjects
    built = []
    for subject in subjects:
        done = ninja([*groups[subject["label"]], str(guest.INIT.relative_to(ROOT))], False)
        if done.returncode == 0:
            built.append(subject)
        else:
            rows = [row for row in done.stdout.splitlines() if "error" in row or row.startswith(("FAILED", "ninja: "))]
            problems.append(f"{subject['label']}: it was not built: {(rows or ['ninja failed'])[0]}")
    return built


def ninja(targets: list[str], show: bool) -> subprocess.CompletedProcess:
    command = ["ninja", *([] if show else ["--quiet"]), *targets]
    try:
        output = None if show else subprocess.PIPE
        return subprocess.run(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT if not show else None, text=True, check=False)
    except FileNotFoundError:
        raise Failure("ninja is not installed; type   ./configure.py --setup hello") from None


def have_guest(problems: list[str], wanted: bool) -> bool:
    if not wanted:
        return False
    try:
        if not kernel.KERNEL.is_file():
            print("Fetching Debian's Linux kernel for the guest", file=sys.stderr, flush=True)
        kernel.fetch()
        return True
    except (Failure, OSError) as failure:
        problems.append(f"{failure}; nothing is compared with Linux")
        return False


def write_page(options: argparse.Namespace, output: Path) -> str | None:
    """Draws the report; what it says if it cannot."""
    command = ["/usr/bin/python3", str(ROOT / "tests/bench/report.py")]
    if options.sweep:
        command += ["--sweep", str(output / "summary.json")]
    else:
        command += ["--summary", str(output / "summary.json"), "--output", str(output)]
    try:
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    except OSError as error:
        return f"the report was not drawn: {error.strerror}"
    return None if done.returncode == 0 else f"the report was not drawn: {machine.last_line(done.stdout)}"


def number(least: int, what: str) -> Callable[[str], int]:
    def check(text: str) -> int:
        if not text.isdigit() or not least <= int(text) <= 1000:
            raise argparse.ArgumentTypeError(f"'{text}' must be {what}")
        return int(text)

    return check


class Parser(argparse.ArgumentParser):
    def error(self, message: str):
        raise Failure(f"{message}; tests/bench/{self.prog} --help lists the options")


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = Parser(description="Measures programs here and in a Linux guest, side by side.", allow_abbrev=False)
    parser.add_argument("--plan", type=Path, default=PLAN, help="what is measured (default: build/bench/plan.json)")
    parser.add_argument("--only", metavar="NAME,...", default="", help="these workloads of the plan")
    parser.add_argument("--turns", type=number(0, "a number from 0 to 1000"), default=TURNS, help=f"runs by the clock (default {TURNS}; 0: none, and no memory over time)")
    parser.add_argument("--no-linux", dest="linux", action="store_false", help="only here")
    parser.add_argument("--sweep", action="store_true", help="compare the plan's variants with each other, here")
    parser.add_argument("--timeout", type=float, default=TIMEOUT, metavar="S", help=f"seconds for one run (default {TIMEOUT:g})")
    parser.add_argument("--fresh", action="store_true", help="forget what an interrupted benchmark has left")
    options = parser.parse_args(arguments)
    if not options.timeout > 0:
        raise Failure("--timeout must be a positive number of seconds")
    return options


def measure(options: argparse.Namespace) -> int:
    plan, output = read_plan(options.plan), options.plan.resolve().parent
    problems = [f"{item['label']}: {item['why']}" for item in plan["absent"]] if not options.sweep else []
    linux = have_guest(problems, options.linux and not options.sweep)
    for name in dict.fromkeys(name for subject in plan["subjects"] if linux for name in subject.get("missing", [])):
        problems.append(f"Linux is not run with {name}, which is missing; type   ./configure.py --setup hello")
    subjects = build(choose(plan["subjects"], options.only), problems)
    results = Results(output)
    if options.fresh:
        results.forget()
    bench = Bench(subjects, results, options, Progress(0), linux)
    if results.load():
        print(f"Going on with a benchmark that was interrupted: {len(results.runs)} runs are there", file=sys.stderr)
    try:
        bench.all_runs()
    finally:
        bench.progress.close()
    make = compare.sweep_summary if options.sweep else compare.summary
    summary = make(plan, subjects, results, problems)
    results.finish(summary)
    (print_sweep if options.sweep else print_table)(summary)
    if options.plan.resolve() == PLAN:
        goals.print_verdicts(goals.program_goals(summary))
    page = write_page(options, output)
    found = [*summary["problems"], *results.problems, *([page] if page else [])]
    return tell(found)


def tell(problems: list[str]) -> int:
    """The status of a benchmark."""
    for problem in dict.fromkeys(problems):
        print(f"bench: {problem}", file=sys.stderr)
    return 1 if problems else 0


def run(measure: Callable[[], int]) -> int:
    """The same where it may fail or be interrupted."""
    try:
        return measure()
    except Failure as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        machine.end_all()
        print("bench: interrupted; started again it goes on from here", file=sys.stderr)
        return 130


def main(arguments: list[str]) -> int:
    return run(lambda: measure(parse(arguments)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
