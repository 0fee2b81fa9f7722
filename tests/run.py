#!/usr/bin/env python3
"""
Runs the tests: `ninja test` builds what they need and calls this. A line for each test, and at the end
`N passed, N failed`; the status is 1 if any failed. What could not be built counts as failed.

    tests/run.py [SUITE...]              suites: include, python, unit, fuzz, boot; all without a name
    tests/run.py --fuzz-seconds 600 fuzz
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import include_rule

ROOT = Path(__file__).resolve().parent.parent
PYTHON_SUITES = ("tests/build", "tests/images", "tests/apps", "tests/bench")
PROGRAM_TIMEOUT = 300
OUTPUT_LINES = 100  # of what a failed test printed
FUZZ_OPTIONS = ("-max_len=4096", "-timeout=20", "-rss_limit_mb=1024", "-print_final_stats=0", "-verbosity=0")


class Results:
    """Counts and prints, as tests end."""

    def __init__(self):
        self.passed = 0
        self.failures: list[str] = []
        self.start = time.monotonic()
        self.interrupted = ""  # what a suite has to say when Ctrl-C ends it

    def suite(self, title: str) -> None:
        seconds = time.monotonic() - self.start
        print(colour(f"\n{title}", "1") + colour(f"  ({seconds:.0f} s)", "2"), flush=True)

    def count(self) -> int:
        return self.passed + len(self.failures)

    def ok(self, name: str) -> None:
        self.passed += 1
        print(f"{colour('ok', '32')} {name}", flush=True)

    def fail(self, name: str, why: str, output: str = "") -> None:
        self.failures.append(name)
        print(f"{colour('FAIL', '1;31')} {name}: {why}", flush=True)
        self.show(output)

    def show(self, output: str) -> None:
        """Where a report begins, what it is about is said; where a test ends, what was wrong."""
        rows = output.rstrip().splitlines()
        if len(rows) > OUTPUT_LINES:
            rows[OUTPUT_LINES // 2 : -(OUTPUT_LINES // 2)] = ["..."]
        for row in rows:
            print(f"    {row}", flush=True)

    def finish(self) -> int:
        if self.failures:
            print("\nfailed:", *self.failures, sep="\n    ")
        print(f"\n{self.passed} passed, {len(self.failures)} failed", flush=True)
        return 1 if self.failures else 0


def colour(text: str, code: str) -> str:
    return f"\033[{code}m{text}\033[0m" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else text


def load_plan() -> dict:
    """What configure.py wrote down: unit programs, fuzzers, and what cannot be built."""
    try:
        return json.loads((ROOT / "build/tests.json").read_text())
    except OSError:
        sys.exit("tests/run.py: nothing is configured; type   ./configure.py --setup hello")


def run_left_out(results: Results, plan: dict) -> None:
    for name, why in plan["left_out"].items():
        results.fail(name, f"cannot be built: {why}")


def run_include(results: Results, plan: dict) -> None:
    results.suite("Include rule")
    broken = include_rule.check()
    if broken:
        results.fail("include rule", f"{len(broken)} includes break it", "\n".join(broken))
    else:
        results.ok("include rule")


class PythonResult(unittest.TestResult):
    """unittest's results in our lines."""

    def __init__(self, results: Results):
        super().__init__()
        self.results = results

    def addSuccess(self, test):
        self.results.ok(test.id())

    def addFailure(self, test, err):
        self.results.fail(test.id(), "see below", self._exc_info_to_string(err, test))

    addError = addFailure

    def addSkip(self, test, reason):
        self.results.fail(test.id(), f"skipped: {reason}")

    def addSubTest(self, test, subtest, err):
        if err:
            self.results.fail(subtest.id(), "see below", self._exc_info_to_string(err, test))


def python_modules(folder: Path) -> list:
    """Each test file, under a module name of its own."""
    modules = []
    sys.path.insert(0, str(folder))
    for path in sorted(folder.glob("test_*.py")):
        spec = importlib.util.spec_from_file_location(f"{folder.name}.{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        modules.append(module)
    sys.path.remove(str(folder))
    return modules


def run_python(results: Results, plan: dict) -> None:
    loader = unittest.TestLoader()
    for folder in PYTHON_SUITES:
        results.suite(f"Python: {folder}")
        before = results.count()
        for module in python_modules(ROOT / folder):
            loader.loadTestsFromModule(module).run(PythonResult(results))
        if results.count() == before:
            results.fail(folder, "there are no tests in it")


def run_unit(results: Results, plan: dict) -> None:
    """cmocka programs; each case counts (TAP on stdout), and a program that dies early has failed."""
    results.suite("Unit tests (host, ASan and UBSan; *_tsan: TSan)")
    for name in plan["unit"]:
        run_program(results, name, [str(ROOT / "build/unit" / name)])


def run_program(results: Results, name: str, command: list[str]) -> None:
    environment = {**os.environ, "CMOCKA_MESSAGE_OUTPUT": "TAP"}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PROGRAM_TIMEOUT
        )
    except subprocess.TimeoutExpired as expired:
        results.fail(name, f"no end after {PROGRAM_TIMEOUT} s", (expired.stdout or b"").decode(errors="replace"))
        return
    output = done.stdout.decode(errors="replace")
    planned = re.findall(r"^1\.\.(\d+)", output, re.MULTILINE)
    cases = re.findall(r"^(ok|not ok) \d+ - (.*)$", output, re.MULTILINE)
    for outcome, case in cases:
        if outcome == "ok":
            results.ok(f"{name}.{case}")
        else:
            results.fail(f"{name}.{case}", "what it printed is below")
    failed = any(outcome == "not ok" for outcome, _ in cases)
    if not planned or len(cases) != sum(map(int, planned)) or (done.returncode and not failed):
        results.fail(name, f"ended with {done.returncode} after {len(cases)} cases, what it printed is below")
        failed = True
    if failed:
        results.show(output)


def run_fuzz(results: Results, plan: dict, seconds: int) -> None:
    results.suite(f"Fuzzing, {seconds} s each")
    done_before: list[str] = []
    for name in plan["fuzz"]:
        start = time.monotonic()
        seeds = ROOT / "tests/fuzz" / name
        with tempfile.TemporaryDirectory(prefix="quire-fuzz-") as corpus:
            command = [str(ROOT / "build/fuzz" / name), f"-max_total_time={seconds}", *FUZZ_OPTIONS]
            command += [f"-artifact_prefix={ROOT}/build/fuzz/{name}-", corpus, *([str(seeds)] if seeds.is_dir() else [])]
            try:
                done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            except KeyboardInterrupt:
                whole = f"{', '.join(done_before)} for {seconds} s each, " if done_before else ""
                results.interrupted = f"fuzzed {whole}{name} for {time.monotonic() - start:.0f} of {seconds} s"
                raise
        done_before.append(name)
        if done.returncode:
            output = done.stdout.decode(errors="replace")
            results.fail(f"fuzz {name}", "the input is kept in build/fuzz; run the program with it", output)
        else:
            results.ok(f"fuzz {name}")


def run_boot(results: Results, plan: dict) -> None:
    """tests/boot/run.py prints a line `ok NAME` or `FAIL NAME: why` for each boot; its details are passed on."""
    results.suite("Boot tests (QEMU)")
    command = [sys.executable, str(ROOT / "tests/boot/run.py")]
    before, closing = results.count(), None
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as boots:
        for row in boots.stdout:
            verdict = re.match(r"(ok|FAIL) ([^:\n]+)(?:: (.*))?", row)
            if verdict and verdict[1] == "ok":
                results.ok(verdict[2].strip())
            elif verdict:
                results.fail(verdict[2], verdict[3] or "no reason given")
            elif counts := re.fullmatch(r"(\d+) passed, (\d+) failed\n", row):
                closing = int(counts[1]) + int(counts[2])
            else:
                print(row, end="", flush=True)
    if closing is None or closing != results.count() - before or closing == 0:
        results.fail("boot tests", f"tests/boot/run.py ended with {boots.returncode} before it was done")


def main(arguments: list[str]) -> int:
    suites = {"include": run_include, "python": run_python, "unit": run_unit, "fuzz": run_fuzz, "boot": run_boot}
    parser = argparse.ArgumentParser(description="Runs the tests.")
    parser.add_argument("--fuzz-seconds", type=int, default=10, metavar="N", help="time for each fuzzer (default: 10)")
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=", ".join(suites))
    options = parser.parse_args(arguments)
    for name in options.suites:
        if name not in suites:
            parser.error(f"there is no suite {name!r}: {', '.join(suites)}")
    plan, results = load_plan(), Results()
    run_left_out(results, plan)
    try:
        for name in options.suites or suites:
            more = {"seconds": options.fuzz_seconds} if name == "fuzz" else {}
            suites[name](results, plan, **more)
    except KeyboardInterrupt:
        print(f"\ninterrupted: {results.interrupted or f'in the suite {name}'}", flush=True)
        results.finish()
        return 130
    return results.finish()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:  # a second one, or before the first suite
        sys.exit(130)
