"""
The workloads of `ninja bench`: each as a program for Linux on this machine, some of them as images, with the same keys.
What they measure is not looked at here; that they find their results right is, and that they end with a line where they
cannot run.
"""

import json
import re
import subprocess
import sys
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
BUILT = ROOT / "build/test"
WORKLOADS = sorted(path.parent.name for path in ROOT.glob("tests/bench/workloads/*/app.toml"))
MEASURED = ["allocation", "faults", "frames", "mapping-calls", "system-calls"]  # operations; all others are programs
BOOTED = ["batches", "collector", "faults", "frames", "mapping-calls", "system-calls"]
ONLY_HERE = {"own_driver", "alloc_free", "frame", "frame_batch", "frame_bulk", "span", "span_batch"}  # families of the VM core's own
GIBIBYTE = "first_touch/1073741824"  # where a system has such a page
KEY = re.compile(r"\A[a-z0-9_]+(/[0-9]+)?\Z")
SCALE_ONLY = "the only argument is the scale, a number from 1 to 1000"
LITTLE = 4 << 10  # KiB of addresses
NEED_LITTLE = ["frames", "nbody", "system-calls"]
TIMEOUT = 120


class Row(NamedTuple):
    key: str
    label: str
    operations: int
    ticks: int
    ns: int
    zeroed: int


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=2 * TIMEOUT, check=False
    )


def native(name: str, *arguments: str, kibibytes: int | None = None) -> subprocess.CompletedProcess[str]:
    """kibibytes: of addresses that the program may have."""
    limit = ["sh", "-c", 'ulimit -v "$0" && exec "$@"', str(kibibytes)] if kibibytes else []
    return run(*limit, str(BUILT / name / f"{name}.native"), *arguments)


def booted(name: str, *arguments: str, memory: str = "2G") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "images/qemu.py"), "run", "--config", str(BUILT / name / "run.json")]
    command += ["--memory", memory, "--timeout", str(TIMEOUT), *(["--", *arguments] if arguments else [])]
    return run(*command)


def family(key: str) -> str:
    return key.partition("/")[0]


class Workloads(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        targets = [f"build/test/{name}/{name}.native" for name in WORKLOADS]
        for name in BOOTED:
            targets.append(json.loads((BUILT / name / "run.json").read_text())["elf"])
        done = subprocess.run(["ninja", *targets], cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"ninja failed:\n{done.stdout}{done.stderr}")
        cls.native = {name: native(name) for name in WORKLOADS}

    def rows(self, done: subprocess.CompletedProcess[str]) -> list[Row]:
        """The figures of a run that ended well, without the calibration. An image has one console for both streams."""
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        lines = [line for line in done.stdout.replace("\r", "").splitlines() if not line.startswith("bench: ")]
        self.assertEqual(lines[-1], "bench\tok", done.stderr)
        found = []
        for line in lines[:-1]:
            word, key, label, *numbers = line.split("\t")
            self.assertEqual((word, len(numbers)), ("bench", 4), line)
            found.append(Row(key, label, *map(int, numbers)))
        self.assertEqual((found[0].key, found[0].operations), ("calibration", 100_000))
        for row in found:
            self.assertRegex(row.key, KEY)
            self.assertTrue(row.label and row.label == row.label.strip(), row)
            self.assertGreater(row.operations, 0, row)
            self.assertGreater(row.ticks, 0, row)
            self.assertGreater(row.ns, 0, row)
            self.assertGreaterEqual(row.zeroed, 0, row)
        keys = [row.key for row in found]
        self.assertEqual(len(set(keys)), len(keys), keys)
        return found[1:]

    def test_programs_end_well_on_linux(self) -> None:
        for name in WORKLOADS:
            with self.subTest(name):
                rows = self.rows(self.native[name])
                self.assertFalse(ONLY_HERE & {family(row.key) for row in rows})
                if name in MEASURED:
                    self.assertNotIn("total", [row.key for row in rows])
                else:
                    self.assertEqual([(row.key, row.operations) for row in rows], [("total", 1)])

    def test_images_print_the_same_keys(self) -> None:
        with ThreadPoolExecutor(2) as pool:
            runs = dict(zip(BOOTED, pool.map(booted, BOOTED), strict=True))
        only_here = set()
        for name, done in runs.items():
            with self.subTest(name):
                here, linux = ([row.key for row in self.rows(output)] for output in (done, self.native[name]))
                common = [key for key in here if family(key) not in ONLY_HERE and key != GIBIBYTE]
                self.assertEqual(common, [key for key in linux if key != GIBIBYTE])
                only_here |= {family(key) for key in here} & ONLY_HERE
        self.assertEqual(only_here, ONLY_HERE)

    def test_what_is_left_out_is_said(self) -> None:
        why = "bench: frame is left out: there is no frame allocator that a program can call\n"
        self.assertEqual(self.native["frames"].stderr, why)
        if GIBIBYTE not in self.native["faults"].stdout:
            self.assertIn(f"bench: {GIBIBYTE} is left out: ", self.native["faults"].stderr)

    def test_the_scale_multiplies_the_work(self) -> None:
        for name in ("churn", "matrix"):
            once, more = (min(self.rows(native(name, scale))[0].ticks for _ in range(2)) for scale in ("1", "4"))
            self.assertGreater(more, 2 * once, name)

    def test_wrong_arguments(self) -> None:
        for name in WORKLOADS:
            words = ["1"] if name in MEASURED else ["0", "-1", "x", "2x", "1001", "99999999999999999999", ""]
            says = "there are no arguments" if name in MEASURED else SCALE_ONLY
            for word in words:
                with self.subTest(name, word=word):
                    done = native(name, word)
                    self.assertEqual((done.returncode, done.stdout, done.stderr), (2, "", f"bench: {word}: {says}\n"))
        self.assertEqual(native("trees", "1", "2").stderr, f"bench: 2: {SCALE_ONLY}\n")

    def test_memory_that_is_refused(self) -> None:
        """A line and status 1, never a crash; a few programs need less than what there is."""
        for name in WORKLOADS:
            with self.subTest(name):
                done = native(name, kibibytes=LITTLE)
                if name in NEED_LITTLE:
                    self.rows(done)
                else:
                    self.assertEqual(done.returncode, 1, done.stderr)
                    self.assertRegex(done.stderr, r"\Abench: no memory: [^\n]+ refused[^\n]*\n\Z")
                    self.assertNotIn("bench\tok", done.stdout)

    def test_memory_that_is_refused_in_an_image(self) -> None:
        done = booted("strings", "1000", memory="64M")
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertRegex(done.stderr + done.stdout, r"bench: no memory: [0-9]+ bytes were refused")


if __name__ == "__main__":
    unittest.main()
