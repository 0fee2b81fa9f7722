"""
One run of one subject: an image, or the same program in the Linux guest, in the same machine. What comes of it is an
Outcome: what the program printed, what was recorded of it, and in one line what went wrong, if anything did.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Sequence

from root import ROOT  # isort: first

import guest
import qemu
import waiting
from tool import require

LAUNCHER = ROOT / "images/qemu.py"
CALIBRATION_TOLERANCE = 0.001
FIGURE = re.compile(r"^bench\t([a-z0-9_]+(?:/[0-9]+)?(?::[a-z_]+)?)\t([^\t]*)\t(\d+)\t(\d+)\t(\d+)\t(\d+)$")
GUEST_MORE_S = 30  # for the guest to boot, and to tell what a program that it ended had measured
FIGURES_END = "bench\tok"
CALIBRATION = "calibration"
# What the program is told of the machine: nothing that differs between two runs.
REPEATABLE = ["-seed", "1", "-rtc", "base=2026-01-01,clock=vm"]
RECORD_PORT = 0x502


class Figure(NamedTuple):
    """What a program measured of itself: so many operations took so many ticks and ns."""

    key: str
    label: str
    operations: int
    ticks: int
    ns: int
    zeroed: int  # bytes an operation that the system has to zero by contract


@dataclass
class Outcome:
    output: str = ""
    figures: list[Figure] = field(default_factory=list)
    stats: dict = field(default_factory=dict)
    samples: list[dict] = field(default_factory=list)
    error: str = ""
    command: list[str] = field(default_factory=list)


class Mode(NamedTuple):
    """How a run is done: count instructions, or let time pass; interval: ns between samples of the memory, 0: none.

    backed: the host gives the machine all of its memory before it starts, and not as it is touched, which takes longer than what
    touches it, and CPUs wait for each other there.
    """

    count: bool
    interval: int = 0
    cpus: int = 1
    backed: bool = False

    @property
    def options(self) -> list[str]:
        """QEMU's, beside those for the processor."""
        return [*(REPEATABLE if self.count else []), *(["-mem-prealloc"] if self.backed else [])]


COUNT, TIME = Mode(True), Mode(False)

_running: set[subprocess.Popen] = set()
_lock = threading.Lock()


def end_all() -> None:
    """Ends the machines that still run, for whoever was interrupted."""
    with _lock:
        for process in _running:
            process.terminate()


class Ended(NamedTuple):
    """A command that has ended. status: None if not in time; waits: of its threads."""

    status: int | None
    output: bytes
    errors: bytes
    waits: dict[str, list[waiting.Sample]]


def execute(command: list[str], timeout: float) -> Ended:
    """In a process group of its own."""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, cwd=ROOT
    ) as process, waiting.Watch(process.pid) as watch:
        with _lock:
            _running.add(process)
        try:
            output, errors = process.communicate(timeout=timeout)
            return Ended(process.returncode, output, errors, watch.threads)
        except subprocess.TimeoutExpired:
            process.terminate()  # the launcher then ends its machine, which has a process group of its own
            output, errors = process.communicate()
            return Ended(None, output, errors, watch.threads)
        finally:
            with _lock:
                _running.discard(process)


# ---- what a run left behind ----


def read_record(path: Path) -> list[dict]:
    """The lines that are whole: the last one of a machine that was ended may not be."""
    entries = []
    for row in path.read_bytes().splitlines() if path.is_file() else []:
        try:
            entry = json.loads(row)
        except ValueError:
            continue
        if isinstance(entry, dict):
            entries.append(entry)
    return entries


def take_record(outcome: Outcome, entries: list[dict]) -> None:
    for entry in entries:
        kind = entry.get("kind")
        if kind == "stats":
            outcome.stats = entry
        elif kind == "sample":
            outcome.samples.append(entry)
        elif kind == "output":
            outcome.output += entry["text"]
        elif kind == "error":
            outcome.error = entry["text"]


def take_figures(outcome: Outcome) -> bool:
    """Takes the lines of figures out of what the program printed; false if there are some and the last line is not there."""
    rest = []
    ended = False
    for row in outcome.output.replace("\r\n", "\n").split("\n"):
        match = FIGURE.fullmatch(row)
        if match:
            outcome.figures.append(Figure(match[1], match[2], *map(int, match.groups()[2:])))
        elif row == FIGURES_END:
            ended = True
        else:
            rest.append(row)
    outcome.output = "\n".join(rest)
    return ended or not outcome.figures


def last_line(text: str) -> str:
    rows = [row.strip() for row in text.splitlines() if row.strip()]
    return rows[-1][:200] if rows else "it printed nothing"


def told(text: str) -> str:
    """What is said of a failure: by the workload, by the core's report (its first line), by the plugin, or else in the last line."""
    for speaker in ("bench: ", "quire: ", "lines: "):
        rows = [row.strip() for row in text.splitlines() if row.startswith(speaker)]
        if rows:
            return rows[0][:200]
    return last_line(text)


def check(outcome: Outcome, status: int | None, mode: Mode, timeout: float, complaints: str) -> None:
    """Says in outcome.error what is wrong with the run, if anything is. status: of the program."""
    ended = take_figures(outcome)
    if status is None or outcome.stats.get("late"):
        outcome.error = f"it did not end within {timeout:g} s"
    elif outcome.error:
        pass
    elif status != 0:
        outcome.error = f"it ended with status {status}: {told(complaints or outcome.output)}"
    elif not outcome.stats:
        outcome.error = f"nothing was recorded: {last_line(complaints or outcome.output)}"
    elif not ended:
        outcome.error = "it ended before its last figure"
    if not outcome.error and mode.count:
        check_calibration(outcome)


def check_calibration(outcome: Outcome) -> None:
    for ticks in calibrations(outcome):
        if abs(ticks - 1) > CALIBRATION_TOLERANCE:
            outcome.error = f"an instruction takes {ticks:.4f} ticks of the time-stamp counter, not 1: nothing can be counted"


def calibrations(outcome: Outcome) -> list[float]:
    """Ticks an instruction, by the system and by the workload itself."""
    own = [figure.ticks / figure.operations for figure in outcome.figures if figure.key == CALIBRATION and figure.operations]
    return [float(outcome.stats.get("calibration", 0)), *own]


def finish(outcome: Outcome, ended: Ended, status: int | None, mode: Mode, timeout: float, complaints: str) -> Outcome:
    """Checks a run. By the clock, what the machine waited for the host while the program ran is kept with it."""
    check(outcome, status, mode, timeout, complaints)
    if not mode.count and "ns" in outcome.stats:
        outcome.stats["waited"] = waiting.waited(ended.waits, outcome.stats["ns"], mode.cpus)
    return outcome


# ---- the two systems ----


def run_image(subject: dict, config: str, memory: int, mode: Mode, timeout: float, more: Sequence[str] = ()) -> Outcome:
    """config: run.json of an image of the subject that records what it measures, relative to the root; more: words for QEMU."""
    with tempfile.TemporaryDirectory(prefix="quire-bench-") as folder:
        record = Path(folder, "record.jsonl")
        command = [sys.executable, str(LAUNCHER), "run", "--config", config, "--memory", qemu.format_memory(memory)]
        command += ["--append", "quire.aslr=off", "--record", str(record)]
        for word in [*mode.options, *more]:
            command.append(f"--qemu={word}")
        command += ["--icount"] if mode.count else ["--accelerator", "tcg"]
        command += ["--cpus", str(mode.cpus)]
        command += ["--", *subject["arguments"]]
        ended = execute(command, timeout)
        outcome = Outcome(ended.output.decode(errors="replace"), command=command)
        take_record(outcome, read_record(record))
        return finish(outcome, ended, ended.status, mode, timeout, ended.errors.decode(errors="replace"))


def machine_command(machine: str, memory: int, mode: Mode, record: Path) -> list[str]:
    """What both systems run on; for images images/qemu.py says the same."""
    processor = qemu.COUNTING if mode.count else ["-cpu", "max", "-accel", "tcg"]
    return [
        *qemu.machine_arguments(machine, memory, mode.cpus, processor),
        *mode.options,
        *("-device", qemu.DEBUG_EXIT),
        *("-chardev", f"file,id=record,path={qemu.quote_option(record)}"),
        *("-device", f"isa-debugcon,iobase={RECORD_PORT:#x},chardev=record"),
    ]


def panic_line(console: str) -> str | None:
    rows = [row for row in console.splitlines() if "Kernel panic" in row or "Out of memory" in row or "Oops" in row]
    return re.sub(r"^\[ *[\d.]+\] ", "", rows[0])[:200] if rows else None


def run_guest(subject: dict, native: str, thp: str, memory: int, mode: Mode, timeout: float) -> Outcome:
    """One of the subject's programs for Linux, with transparent huge pages as named."""
    with tempfile.TemporaryDirectory(prefix="quire-bench-") as folder:
        record, initrd = Path(folder, "record.jsonl"), Path(folder, "initrd")
        program = guest.Program(
            path=ROOT / native,
            name=Path(native).name if native.startswith("/") else subject["workload"],
            arguments=subject["arguments"],
            environment=subject["environment"],
            files=[(ROOT / host, target) for host, target in subject["files"]],
        )
        guest.write_initrd(initrd, program, mode.interval, timeout)
        command = guest.command(machine_command(subject["machine"], memory, mode, record), initrd, thp)
        require(command[0])
        ended = execute(command, timeout + GUEST_MORE_S)
        outcome = Outcome(command=command)
        take_record(outcome, read_record(record))
        text = ended.output.decode(errors="replace")
        panic = panic_line(text)
        if panic and not outcome.stats:
            outcome.error = f"Linux: {panic}"
        status = ended.status if ended.status is None else int(outcome.stats.get("status", 0))
        complaints = "" if outcome.stats else text + ended.errors.decode(errors="replace")
        return finish(outcome, ended, status, mode, timeout, complaints)
