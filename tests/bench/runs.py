"""
Results of runs, kept as JSON lines while a benchmark goes on, so that one that was interrupted can go on later.

A run is kept under what it was (subject, system, mode, turn) and a digest of all that it depended on: programs, files,
kernel, QEMU and options. One that would be the same again is not done again.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from functools import cache
from pathlib import Path

from root import ROOT  # isort: first

import kernel
from machine import Figure, Outcome

RUNNING, RESULTS, SUMMARY = "running.jsonl", "results.jsonl", "summary.json"


@cache
def file_digest(path: str, _time: int) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def digest_of(paths: list[Path], *more: object) -> str:
    """Of the contents of the files that are there, and of values."""
    found = [file_digest(str(path), path.stat().st_mtime_ns) for path in paths if path.is_file()]
    return hashlib.sha256(json.dumps([found, more], default=str).encode()).hexdigest()[:16]


def answer(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    except FileNotFoundError:
        return "none"
    return done.stdout.splitlines()[0].strip() if done.returncode == 0 and done.stdout else "none"


@cache
def versions() -> dict[str, str]:
    return {
        "quire": answer("git", "describe", "--always", "--dirty"),
        "linux": kernel.version(),
        "qemu": answer("qemu-system-x86_64", "--version"),
        "clang": answer("clang", "--version"),
        "gcc": answer("gcc", "--version"),
    }


@cache
def host() -> dict[str, object]:
    rows = Path("/proc/cpuinfo").read_text().splitlines()
    models = [row.partition(":")[2].strip() for row in rows if row.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"cpu": models[0] if models else "unknown", "cores": os.cpu_count(), "memory": memory, "system": platform.release()}


class Results:
    """All runs so far; written down as they come. What could not be written is said once and kept in memory."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.runs: dict[tuple, dict] = {}
        self.problems: list[str] = []
        self._unwritten = False

    def forget(self) -> None:
        """What an interrupted benchmark has left."""
        (self.folder / RUNNING).unlink(missing_ok=True)

    def load(self) -> int:
        """Takes over what an interrupted benchmark has left; the number of runs."""
        path = self.folder / RUNNING
        for row in path.read_text(errors="replace").splitlines() if path.is_file() else []:
            try:
                run = json.loads(row)
                self.runs[tuple(run["run"])] = run
            except (ValueError, KeyError, TypeError):
                continue  # cut off in the middle
        return len(self.runs)

    def find(self, run: tuple, digest: str) -> dict | None:
        """A run that is there and would be the same again."""
        kept = self.runs.get(run)
        return kept if kept and kept["digest"] == digest and not kept["error"] else None

    def add(self, run: tuple, digest: str, outcome: Outcome) -> dict:
        kept = {
            "run": list(run),
            "digest": digest,
            "error": outcome.error,
            "figures": [figure._asdict() for figure in outcome.figures],
            "stats": outcome.stats,
            "samples": outcome.samples,
            "output": outcome.output,
            "command": outcome.command,
            "versions": versions(),
            "host": host(),
        }
        self.runs[run] = kept
        self._append(json.dumps(kept))
        return kept

    def _append(self, row: str) -> None:
        try:
            with (self.folder / RUNNING).open("a") as stream:
                stream.write(row + "\n")
        except OSError as error:
            self._unwritable(self.folder / RUNNING, error)

    def _unwritable(self, path: Path, error: OSError) -> None:
        if not self._unwritten:
            self._unwritten = True
            self.problems.append(f"{path}: {error.strerror}: the results are not kept")

    def finish(self, summary: dict) -> None:
        """The benchmark is complete: its results get their name, and nothing is left to go on with."""
        try:
            partial = self.folder / (SUMMARY + ".partial")
            partial.write_text(json.dumps(summary, indent=1) + "\n")
            os.replace(partial, self.folder / SUMMARY)
            os.replace(self.folder / RUNNING, self.folder / RESULTS)
        except OSError as error:
            self._unwritable(self.folder / SUMMARY, error)


def figures_of(run: dict) -> list[Figure]:
    return [Figure(**figure) for figure in run["figures"]]


